/* SPDX-License-Identifier: MIT */
/** @file allocator.h
 * The caller's memory functions. Every object that owns memory takes an optional `const struct fs_allocator *`; NULL
 * means the C library's malloc and free. The structure is copied, so it need not outlive the call; `user` must.
 */
#ifndef FLOWSCOPE_ALLOCATOR_H
#define FLOWSCOPE_ALLOCATOR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fs_allocator {
    /** Returns `size` > 0 bytes aligned as malloc's, or NULL. */
    void *(*alloc)(size_t size, void *user);
    /** Takes back what alloc returned; `size` is the size that was asked for. `pointer` is never NULL. */
    void (*release)(void *pointer, size_t size, void *user);
    void *user;
};

/** The allocator over malloc and free. */
struct fs_allocator fs_allocator_default(void);

#ifdef __cplusplus
}
#endif
#endif
