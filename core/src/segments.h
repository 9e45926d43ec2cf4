/* SPDX-License-Identifier: MIT */
/* What waits of one side, in order of offsets.
 *
 * A *run* is an unbroken range of one segment; it is stored in *pieces*, each a chunk that holds its description and
 * its bytes. Pieces hang in a list and in a splay tree: m operations on at most n pieces cost O((m + n) log n)
 * together, however a sender orders them, and adding at the end, as most do, O(1). The tree needs no memory of its own,
 * so nothing but a new piece can fail.
 *
 * A run costs its bytes and FS__RUN_OVERHEAD. That covers the piece's description and what the chunk's size was rounded
 * up by, so that no more is stored than counted. Only runs in more than one piece, which are longer than 4,024 bytes or
 * were cut out of such, add to it: 3 % while they are whole, a quarter at worst. */
#ifndef FS_SEGMENTS_H
#define FS_SEGMENTS_H

#include "chunk_pool.h"
#include "overlap.h"

struct fs__piece {
    struct fs__piece *left, *right;
    struct fs__piece *previous, *next;
    uint64_t start;
    uint64_t time_ns;
    uint32_t length;
    uint32_t segment_before; /* bytes of the segment's extent before `start` */
    uint32_t segment_length; /* of the extent, which is what the policy looks at */
    uint32_t frame;
    uint16_t skip;    /* bytes of the chunk before the first that counts */
    uint16_t size;    /* of the chunk */
    bool is_joined;   /* continues the run of the piece before */
    bool is_captured; /* else there are no bytes */
    bool is_urgent;   /* not captured, but not missing either */
};

/* The same on every platform, so that equal captures give equal answers. */
enum {
    FS__PIECE_SIZE = 72, /* sizeof(struct fs__piece), where pointers are largest */
    FS__PIECE_ROOM = FS__CHUNK_MAXIMUM - FS__PIECE_SIZE,
    FS__RUN_OVERHEAD = FS__PIECE_SIZE + FS__CHUNK_STEP
};

_Static_assert(sizeof(struct fs__piece) <= FS__PIECE_SIZE, "what a run is charged for");

/* Shared by all sides. */
struct fs__segment_store {
    struct fs__memory memory;
    struct fs__chunk_pool pool;
    uint64_t cost; /* over all sides */
};

struct fs__segments {
    struct fs__piece *root, *first, *last;
    uint64_t cost;
};

/* A range of a segment that is to wait: all captured, or all not. */
struct fs__range {
    uint64_t start, end;
    const uint8_t *data;
    bool is_captured, is_urgent;
    struct fs__extent segment;
    uint64_t time_ns;
    uint32_t frame;
};

static inline uint64_t fs__piece_end(const struct fs__piece *piece) {
    return piece->start + piece->length;
}

static inline const uint8_t *fs__piece_data(const struct fs__piece *piece) {
    return (const uint8_t *)(piece + 1) + piece->skip;
}

static inline struct fs__extent fs__piece_segment(const struct fs__piece *piece) {
    uint64_t start = piece->start - piece->segment_before;
    return (struct fs__extent){start, start + piece->segment_length};
}

static inline uint64_t fs__piece_bytes(const struct fs__piece *piece) {
    return piece->is_captured ? piece->length : 0;
}

/* First piece that ends after `offset`, or NULL. */
struct fs__piece *fs__segments_find(struct fs__segments *segments, uint64_t offset);

/* Store a range that no piece claims, before the piece `next` (NULL: at the end). False without memory. */
bool fs__segments_insert(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *next,
                         const struct fs__range *range);

/* Take [from, to), which lies inside the piece, out of it. False without memory. The piece that follows the range is
 * then fs__segments_find(to). */
bool fs__segments_cut(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece,
                      uint64_t from, uint64_t to);

/* Take the first piece out; fs__segments_release() frees it. */
struct fs__piece *fs__segments_take_first(struct fs__segments *segments, struct fs__segment_store *store);
void fs__segments_release(struct fs__segment_store *store, struct fs__piece *piece);

/* Drop the last piece, and free it. */
void fs__segments_drop_last(struct fs__segments *segments, struct fs__segment_store *store);

#endif
