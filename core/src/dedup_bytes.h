/* SPDX-License-Identifier: MIT */
/* The bytes of the latest frames, in a ring of fixed size. */
#ifndef FS_DEDUP_BYTES_H
#define FS_DEDUP_BYTES_H

#include "flowscope/dedup.h"

struct fs__bytes {
    uint8_t *ring; /* NULL: none are kept */
    uint64_t size;
    uint64_t written; /* since creation, ends that were skipped included: a frame's bytes are never broken in two */
};

/* Where a frame's bytes are. */
struct fs__held {
    uint64_t at; /* in all that was written; UINT64_MAX: not kept */
    uint32_t captured, wire_len, linktype;
    uint32_t ip_at; /* of the IP header, from the first byte; UINT32_MAX: none */
    uint32_t ip_captured;
    uint32_t reserved;
};

void fs__bytes_keep(struct fs__bytes *bytes, const struct fs_dedup_frame *frame, struct fs__held *held);
/* The frame, or false if its bytes are gone. Numbers and times are not set. */
bool fs__bytes_find(const struct fs__bytes *bytes, const struct fs__held *held, struct fs_dedup_frame *frame);

#endif
