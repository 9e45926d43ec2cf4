/* SPDX-License-Identifier: MIT */
/* From a hash to the latest frame that has it. Frames have running numbers; a chain leads from the latest of a bucket
 * to those before it, and ends where it leaves the window. So nothing is ever removed, and a frame that is new costs
 * one look at its bucket, mostly. */
#ifndef FS_DEDUP_INDEX_H
#define FS_DEDUP_INDEX_H

#include <stdint.h>

struct fs__index {
    uint32_t *heads; /* numbers */
    uint32_t shift;  /* of a hash, to its bucket */
};

enum { FS__BUCKETS_A_FRAME = 4 };

static inline uint32_t *fs__index_head(const struct fs__index *index, uint64_t hash) {
    return &index->heads[hash >> index->shift];
}

#endif
