/* SPDX-License-Identifier: MIT */
/* Allocation through the caller's functions, with a running total. */
#ifndef FS_ALLOCATION_H
#define FS_ALLOCATION_H

#include "flowscope/allocator.h"

struct fs__memory {
    struct fs_allocator functions;
    size_t bytes; /* allocated and not released */
};

static inline void fs__memory_init(struct fs__memory *memory, const struct fs_allocator *allocator) {
    memory->functions = allocator ? *allocator : fs_allocator_default();
    memory->bytes = 0;
}

static inline void *fs__alloc(struct fs__memory *memory, size_t size) {
    void *pointer = memory->functions.alloc(size, memory->functions.user);
    if (pointer)
        memory->bytes += size;
    return pointer;
}

static inline void fs__release(struct fs__memory *memory, void *pointer, size_t size) {
    if (!pointer)
        return;
    memory->bytes -= size;
    memory->functions.release(pointer, size, memory->functions.user);
}

#endif
