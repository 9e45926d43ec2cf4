/* SPDX-License-Identifier: MIT */
#include "chunk_pool.h"

#include <string.h>

_Static_assert(FS__CHUNK_SIZES <= 64, "one bit each");

static unsigned list_of(size_t size) {
    return (unsigned)(size / FS__CHUNK_STEP - 1);
}

static unsigned highest_bit(uint64_t bits) {
    unsigned bit = 0;
    while (bits >>= 1)
        bit++;
    return bit;
}

static void *pop(struct fs__chunk_pool *pool, unsigned list) {
    void *chunk = pool->lists[list];
    memcpy(&pool->lists[list], chunk, sizeof pool->lists[list]);
    if (!pool->lists[list])
        pool->occupied &= ~((uint64_t)1 << list);
    pool->free -= ((size_t)list + 1) * FS__CHUNK_STEP;
    return chunk;
}

static void give_back(struct fs__chunk_pool *pool) {
    unsigned list = highest_bit(pool->occupied);
    fs__release(pool->memory, pop(pool, list), ((size_t)list + 1) * FS__CHUNK_STEP);
}

static void give_back_all(struct fs__chunk_pool *pool) {
    while (pool->free)
        give_back(pool);
}

/* Give free chunks back until, with `size` bytes more, the pool is no larger than ever was in use. */
static void make_room(struct fs__chunk_pool *pool, size_t size) {
    while (pool->free && pool->used + pool->free + size > pool->most_used)
        give_back(pool);
}

void fs__chunk_pool_init(struct fs__chunk_pool *pool, struct fs__memory *memory) {
    memset(pool, 0, sizeof *pool);
    pool->memory = memory;
}

void fs__chunk_pool_free(struct fs__chunk_pool *pool) {
    give_back_all(pool);
}

void fs__chunk_pool_note_peak(struct fs__chunk_pool *pool) {
    if (pool->memory->bytes > pool->peak_memory)
        pool->peak_memory = pool->memory->bytes;
}

void *fs__chunk_take(struct fs__chunk_pool *pool, size_t bytes) {
    size_t size = fs__chunk_size(bytes);
    unsigned list = list_of(size);
    void *chunk;
    if (pool->lists[list]) {
        chunk = pop(pool, list);
    } else {
        make_room(pool, size);
        chunk = fs__alloc(pool->memory, size);
        if (!chunk && pool->free) {
            give_back_all(pool);
            chunk = fs__alloc(pool->memory, size);
        }
        if (!chunk)
            return NULL;
        fs__chunk_pool_note_peak(pool);
    }
    pool->used += size;
    if (pool->used > pool->most_used)
        pool->most_used = pool->used;
    return chunk;
}

void fs__chunk_give(struct fs__chunk_pool *pool, void *chunk, size_t bytes) {
    size_t size = fs__chunk_size(bytes);
    unsigned list = list_of(size);
    memcpy(chunk, &pool->lists[list], sizeof(void *));
    pool->lists[list] = chunk;
    pool->occupied |= (uint64_t)1 << list;
    pool->used -= size;
    pool->free += size;
}
