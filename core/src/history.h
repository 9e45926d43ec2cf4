/* SPDX-License-Identifier: MIT */
/* The latest delivered bytes of a side, and which frame brought them, to compare repetitions with. */
#ifndef FS_HISTORY_H
#define FS_HISTORY_H

#include "allocation.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that one frame delivered. What lies between marks was never delivered. */
struct fs__mark {
    uint64_t start;
    uint32_t length;
    uint32_t frame;
};

/* Shared by all sides. */
struct fs__history_store {
    struct fs__memory *memory;
    uint32_t maximum; /* bytes of text a side */
    uint64_t limit;   /* bytes that all may take */
    uint64_t used;    /* bytes that they take */
    uint64_t refused; /* times that the limit kept one from growing */
};

struct fs__history {
    uint64_t next; /* end of what was delivered or given up; the last `size` offsets before it are looked at */
    uint32_t size; /* grows up to the maximum: most streams are short */
    uint32_t first, count, room; /* of the marks, a ring; room is a power of two, or 0 */
    struct fs__mark *marks;
    /* `size` bytes follow: offset % size */
};

/* A range of held bytes; the text is in two parts where the ring wraps. */
struct fs__held {
    uint64_t start, end;
    const uint8_t *text[2];
    size_t length[2];
    uint32_t frame; /* of the first byte */
};

/* NULL is ignored. */
void fs__history_free(struct fs__history *history, struct fs__history_store *store);

/* `*own` may be NULL, and be replaced by a larger one. Without memory, what is held becomes less; never fails. */
void fs__history_add(struct fs__history **own, struct fs__history_store *store, uint64_t offset, const uint8_t *data,
                     uint64_t length, uint32_t frame);
/* A gap up to `end`; otherwise likewise. */
void fs__history_skip(struct fs__history **own, struct fs__history_store *store, uint64_t end);

/* First unbroken range of held bytes inside [from, to). False if there is none. */
bool fs__history_find(const struct fs__history *history, uint64_t from, uint64_t to, struct fs__held *held);

#endif
