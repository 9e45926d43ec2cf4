/* SPDX-License-Identifier: MIT */
/* Chunks of memory for what waits, kept for reuse when they are freed.
 *
 * Sizes are multiples of FS__CHUNK_STEP, with a list of free chunks each. The pool, free chunks included, is never
 * larger than the chunks were that were in use at one time: a free chunk of another size is given back before that is
 * passed. So neither fragmentation nor a change of sizes can blow it up, and a load that repeats allocates nothing. */
#ifndef FS_CHUNK_POOL_H
#define FS_CHUNK_POOL_H

#include "allocation.h"

#include <stdint.h>

enum { FS__CHUNK_STEP = 128, FS__CHUNK_SIZES = 32, FS__CHUNK_MAXIMUM = FS__CHUNK_STEP * FS__CHUNK_SIZES };

struct fs__chunk_pool {
    struct fs__memory *memory;
    size_t used, free; /* bytes */
    size_t most_used;
    size_t peak_memory; /* most that `memory` held */
    uint64_t occupied;  /* one bit a size: has free chunks */
    void *lists[FS__CHUNK_SIZES];
};

static inline size_t fs__chunk_size(size_t bytes) {
    return (bytes + FS__CHUNK_STEP - 1) / FS__CHUNK_STEP * FS__CHUNK_STEP;
}

void fs__chunk_pool_init(struct fs__chunk_pool *pool, struct fs__memory *memory);
void fs__chunk_pool_free(struct fs__chunk_pool *pool);

/* `bytes`: 1 to FS__CHUNK_MAXIMUM; the chunk has fs__chunk_size(bytes). NULL without memory. */
void *fs__chunk_take(struct fs__chunk_pool *pool, size_t bytes);
void fs__chunk_give(struct fs__chunk_pool *pool, void *chunk, size_t bytes);

/* To be called after each allocation from the pool's memory that does not go through the pool. */
void fs__chunk_pool_note_peak(struct fs__chunk_pool *pool);

#endif
