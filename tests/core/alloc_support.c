/* SPDX-License-Identifier: MIT */
#include "alloc_support.h"

#include <stdlib.h>
#include <string.h>

/* In front of each block, so that the size given back can be checked. */
union header {
    size_t size;
    max_align_t align;
};

static void *counting_alloc(size_t size, void *user) {
    struct counting_allocator *counting = user;
    counting->calls++;
    bool fails = counting->fail_at != 0 &&
                 (counting->calls == counting->fail_at || (counting->fail_on && counting->calls > counting->fail_at));
    union header *header = fails ? NULL : malloc(sizeof(*header) + size);
    if (header == NULL) {
        return NULL;
    }
    header->size = size;
    counting->live++;
    counting->bytes += size;
    memset(header + 1, 0xa5, size); /* nobody may count on zeros */
    return header + 1;
}

static void counting_release(void *pointer, size_t size, void *user) {
    struct counting_allocator *counting = user;
    union header *header = (union header *)pointer - 1;
    if (header->size != size) {
        counting->wrong_size = true;
    }
    counting->live--;
    counting->bytes -= header->size;
    free(header);
}

struct fs_allocator counting_allocator_init(struct counting_allocator *counting) {
    memset(counting, 0, sizeof(*counting));
    struct fs_allocator allocator = {counting_alloc, counting_release, counting};
    return allocator;
}
