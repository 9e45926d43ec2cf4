/* SPDX-License-Identifier: MIT */
/** @file alloc_support.h
 * An allocator that counts, checks sizes, and fails when told to.
 */
#ifndef FLOWSCOPE_TESTS_ALLOC_SUPPORT_H
#define FLOWSCOPE_TESTS_ALLOC_SUPPORT_H

#include "flowscope/allocator.h"

#include <stdbool.h>
#include <stdint.h>

struct counting_allocator {
    uint64_t calls;   /* of alloc, failed ones included */
    uint64_t live;    /* blocks */
    uint64_t bytes;   /* in them */
    uint64_t fail_at; /* number of the call that fails, from 1; 0: none */
    bool fail_on;     /* so do all after it */
    bool wrong_size;  /* a block came back with another size than it was asked with */
};

/** Start counting; `counting` must outlive the allocator. */
struct fs_allocator counting_allocator_init(struct counting_allocator *counting);

#endif
