/* SPDX-License-Identifier: MIT */
#include "segments.h"

#include <string.h>

_Static_assert(FS__CHUNK_MAXIMUM <= UINT16_MAX, "sizes and skips");

/* ---- the tree ---- */

/* Top-down splaying (Sleator and Tarjan 1985): the piece that starts at `start`, or one next to that place, becomes the
 * root. */
static struct fs__piece *splay(struct fs__piece *root, uint64_t start) {
    struct fs__piece *lower = NULL, *higher = NULL;
    struct fs__piece **lower_end = &lower, **higher_end = &higher;
    for (;;) {
        if (start < root->start) {
            struct fs__piece *child = root->left;
            if (child && start < child->start) {
                root->left = child->right;
                child->right = root;
                root = child;
                child = root->left;
            }
            if (!child)
                break;
            *higher_end = root;
            higher_end = &root->left;
            root = child;
        } else if (start > root->start) {
            struct fs__piece *child = root->right;
            if (child && start > child->start) {
                root->right = child->left;
                child->left = root;
                root = child;
                child = root->right;
            }
            if (!child)
                break;
            *lower_end = root;
            lower_end = &root->right;
            root = child;
        } else {
            break;
        }
    }
    *lower_end = root->left;
    *higher_end = root->right;
    root->left = lower;
    root->right = higher;
    return root;
}

static void tree_insert(struct fs__segments *segments, struct fs__piece *piece) {
    piece->left = piece->right = NULL;
    if (!piece->next) {
        piece->left = segments->root;
    } else if (!piece->previous) {
        piece->right = segments->root;
    } else {
        struct fs__piece *root = splay(segments->root, piece->start);
        if (root->start < piece->start) {
            piece->left = root;
            piece->right = root->right;
            root->right = NULL;
        } else {
            piece->right = root;
            piece->left = root->left;
            root->left = NULL;
        }
    }
    segments->root = piece;
}

static void tree_remove(struct fs__segments *segments, const struct fs__piece *piece) {
    struct fs__piece *root = splay(segments->root, piece->start);
    if (!root->left) {
        segments->root = root->right;
    } else {
        /* All of it starts before the piece: its last becomes the root, with nothing to its right. */
        segments->root = splay(root->left, piece->start);
        segments->root->right = root->right;
    }
}

struct fs__piece *fs__segments_find(struct fs__segments *segments, uint64_t offset) {
    if (!segments->root || fs__piece_end(segments->last) <= offset)
        return NULL;
    if (fs__piece_end(segments->first) > offset)
        return segments->first;
    struct fs__piece *piece = segments->root = splay(segments->root, offset);
    if (piece->start > offset && piece->previous)
        piece = piece->previous;
    return fs__piece_end(piece) > offset ? piece : piece->next;
}

/* ---- pieces ---- */

static void add_cost(struct fs__segments *segments, struct fs__segment_store *store, uint64_t cost) {
    segments->cost += cost;
    store->cost += cost;
}

static void take_cost(struct fs__segments *segments, struct fs__segment_store *store, uint64_t cost) {
    segments->cost -= cost;
    store->cost -= cost;
}

static uint64_t cost_of(const struct fs__piece *piece) {
    return fs__piece_bytes(piece) + (piece->is_joined ? 0 : FS__RUN_OVERHEAD);
}

/* What is before the piece is no longer of its run. */
static void begin_run(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece) {
    if (!piece || !piece->is_joined)
        return;
    piece->is_joined = false;
    add_cost(segments, store, FS__RUN_OVERHEAD);
}

static struct fs__piece *piece_new(struct fs__segment_store *store, size_t bytes) {
    size_t size = sizeof(struct fs__piece) + bytes;
    struct fs__piece *piece = fs__chunk_take(&store->pool, size);
    if (!piece)
        return NULL;
    piece->size = (uint16_t)size;
    piece->skip = 0;
    return piece;
}

static void link_piece(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece,
                       struct fs__piece *next) {
    struct fs__piece *previous = next ? next->previous : segments->last;
    piece->next = next;
    piece->previous = previous;
    *(previous ? &previous->next : &segments->first) = piece;
    *(next ? &next->previous : &segments->last) = piece;
    tree_insert(segments, piece);
    add_cost(segments, store, cost_of(piece));
}

static void unlink_piece(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece) {
    tree_remove(segments, piece);
    *(piece->previous ? &piece->previous->next : &segments->first) = piece->next;
    *(piece->next ? &piece->next->previous : &segments->last) = piece->previous;
    take_cost(segments, store, cost_of(piece));
    begin_run(segments, store, piece->next);
}

void fs__segments_release(struct fs__segment_store *store, struct fs__piece *piece) {
    fs__chunk_give(&store->pool, piece, piece->size);
}

/* Put `copy`, with its own chunk and bytes, in the place of `piece`. The piece is the tree's root. */
static void replace_root(struct fs__segments *segments, struct fs__piece *piece, struct fs__piece *copy) {
    *(piece->previous ? &piece->previous->next : &segments->first) = copy;
    *(piece->next ? &piece->next->previous : &segments->last) = copy;
    segments->root = copy;
}

/* After bytes were cut off: a smaller chunk, if one will do. Without memory the larger one stays. */
static void fit(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece) {
    size_t bytes = piece->is_captured ? piece->length : 0;
    if (fs__chunk_size(sizeof *piece + bytes) >= fs__chunk_size(piece->size))
        return;
    struct fs__piece *copy = piece_new(store, bytes);
    if (!copy)
        return;
    segments->root = splay(segments->root, piece->start);
    size_t size = copy->size;
    *copy = *piece;
    copy->skip = 0;
    copy->size = (uint16_t)size;
    memcpy(copy + 1, fs__piece_data(piece), bytes);
    replace_root(segments, piece, copy);
    fs__segments_release(store, piece);
}

static bool insert_piece(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *next,
                         const struct fs__range *range, uint64_t start, uint64_t end) {
    size_t bytes = range->is_captured ? (size_t)(end - start) : 0;
    struct fs__piece *piece = piece_new(store, bytes);
    if (!piece)
        return false;
    piece->start = start;
    piece->length = (uint32_t)(end - start);
    piece->segment_before = (uint32_t)(start - range->segment.start);
    piece->segment_length = (uint32_t)(range->segment.end - range->segment.start);
    piece->time_ns = range->time_ns;
    piece->frame = range->frame;
    piece->is_joined = start > range->start;
    piece->is_captured = range->is_captured;
    piece->is_urgent = range->is_urgent;
    if (bytes)
        memcpy(piece + 1, range->data + (start - range->start), bytes);
    link_piece(segments, store, piece, next);
    return true;
}

bool fs__segments_insert(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *next,
                         const struct fs__range *range) {
    for (uint64_t start = range->start; start < range->end;) {
        uint64_t end = range->end;
        if (range->is_captured && end - start > FS__PIECE_ROOM)
            end = start + FS__PIECE_ROOM;
        if (!insert_piece(segments, store, next, range, start, end))
            return false;
        start = end;
    }
    return true;
}

/* The part of the piece from `start` on becomes a piece of its own, the first of its run. */
static bool split_off(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece,
                      uint64_t start) {
    uint64_t end = fs__piece_end(piece);
    uint32_t keep = (uint32_t)(start - piece->start);
    struct fs__range rest = {.start = start,
                             .end = end,
                             .data = piece->is_captured ? fs__piece_data(piece) + keep : NULL,
                             .is_captured = piece->is_captured,
                             .is_urgent = piece->is_urgent,
                             .segment = fs__piece_segment(piece),
                             .time_ns = piece->time_ns,
                             .frame = piece->frame};
    if (!insert_piece(segments, store, piece->next, &rest, start, end))
        return false;
    take_cost(segments, store, piece->is_captured ? end - start : 0);
    piece->length = keep;
    return true;
}

bool fs__segments_cut(struct fs__segments *segments, struct fs__segment_store *store, struct fs__piece *piece,
                      uint64_t from, uint64_t to) {
    uint64_t end = fs__piece_end(piece);
    if (from == piece->start && to == end) {
        unlink_piece(segments, store, piece);
        fs__segments_release(store, piece);
        return true;
    }
    uint32_t lost = (uint32_t)(to - from);
    if (from > piece->start && to < end && !split_off(segments, store, piece, to))
        return false;
    if (from == piece->start) {
        /* The key in the tree grows, past nothing: the next piece starts later still. */
        piece->start = to;
        piece->segment_before += lost;
        piece->skip = (uint16_t)(piece->skip + (piece->is_captured ? lost : 0));
        begin_run(segments, store, piece);
    } else {
        begin_run(segments, store, piece->next);
    }
    take_cost(segments, store, piece->is_captured ? lost : 0);
    piece->length -= lost;
    fit(segments, store, piece);
    return true;
}

struct fs__piece *fs__segments_take_first(struct fs__segments *segments, struct fs__segment_store *store) {
    struct fs__piece *piece = segments->first;
    unlink_piece(segments, store, piece);
    return piece;
}

void fs__segments_drop_last(struct fs__segments *segments, struct fs__segment_store *store) {
    struct fs__piece *piece = segments->last;
    unlink_piece(segments, store, piece);
    fs__segments_release(store, piece);
}
