/* SPDX-License-Identifier: MIT */
#include "flowscope/allocator.h"

#include <stdlib.h>

static void *plain_alloc(size_t size, void *user) {
    (void)user;
    return malloc(size);
}

static void plain_release(void *pointer, size_t size, void *user) {
    (void)size;
    (void)user;
    free(pointer);
}

struct fs_allocator fs_allocator_default(void) {
    struct fs_allocator allocator = {plain_alloc, plain_release, NULL};
    return allocator;
}
