/* SPDX-License-Identifier: MIT */
/* Storage of flows: pointer-stable slabs, addressed by flow number, and the index from key hash to number.
 *
 * A flow is in two parts, so that a packet touches the lines that it needs: `flow` (key, last time; counters), two
 * lines side by side, and `cold`. TCP flows have two more, in slabs of their own. Optional features add `extra`. */
#ifndef FS_FLOW_TABLE_H
#define FS_FLOW_TABLE_H

#include "allocation.h"
#include "flowscope/error.h"
#include "flowscope/flow.h"
#include "tcp.h"

#include <stddef.h>

#define FS__NONE UINT32_MAX

enum fs__flow_bit {
    FS__ORIENTATION = 0x01, /* enum fs_orientation of the initiator's packets */
    FS__LIVE = 0x02,
    FS__OPENED = 0x04,  /* the established event was due */
    FS__SEEN_SHIFT = 3, /* two bits: side 0, side 1 has sent */
    FS__CLASS_SHIFT = 5 /* three bits: enum fs_timeout_class */
};

struct fs__counts {
    uint64_t wire[2], ip[2], payload[2];
    uint32_t packets[2];  /* low words */
    uint64_t id_and_high; /* id: 48 bits; above it one byte a side, packets >> 32, saturating: 2^40 packets a side */
};

enum { FS__ID_BITS = 48 };

struct fs__flow {
    struct fs_key key;
    uint32_t last_frame;
    uint64_t last_ns;
    uint32_t tcp; /* number in the TCP slabs, or FS__NONE */
    uint8_t state;
    uint8_t marks;  /* enum fs_flow_mark */
    uint8_t bits;   /* enum fs__flow_bit */
    uint8_t steady; /* fs__tcp_steady_sides(), as long as the flow is established and the event was due */
    struct fs__counts counts;
};

struct fs__cold {
    uint64_t first_ns;
    uint32_t next, previous; /* in the slot of the expiry wheel; `next` also chains free flows */
    void *user;
    uint32_t first_frame;
    uint32_t parent_distance; /* how many ids before this one; 0: no parent */
};

/* Present only when the configuration asks for it. */
struct fs__extra {
    uint64_t tick_ns;       /* time of the last tick */
    uint64_t timeout_ns;    /* override; 0: none */
    uint32_t label[2];      /* by orientation; FS__NO_LABEL: none yet */
    uint32_t duplicates[2]; /* by side; saturating */
};

#define FS__NO_LABEL UINT32_MAX

_Static_assert(offsetof(struct fs__flow, counts) == 64 && sizeof(struct fs__flow) == 128, "two cache lines");
_Static_assert(sizeof(struct fs__cold) <= 32, "half a cache line");

enum { FS__CHUNK_SHIFT = 10, FS__CHUNK = 1 << FS__CHUNK_SHIFT };

struct fs__entry {
    uint32_t tag;  /* 32 bits of the hash; their low bits are the place */
    uint32_t flow; /* FS__NONE: empty */
};

/* The index is at most 13/16 full, and at least half of that once it has grown. */
#define FS__INDEX_BYTES (sizeof(struct fs__entry) * 32 / 13 + 1)
#define FS__FLOW_BYTES (sizeof(struct fs__flow) + sizeof(struct fs__cold))
_Static_assert(FS__FLOW_BYTES + FS__INDEX_BYTES <= 192, "cost of a flow that is not TCP");
_Static_assert(FS__FLOW_BYTES + sizeof(struct fs__tcp) + sizeof(struct fs__tcp_more) + FS__INDEX_BYTES <= 320,
               "cost of a TCP flow");

struct fs__slab {
    void **chunks;
    size_t item_size;
    uint32_t chunk_count, chunk_room;
    uint32_t used; /* numbers handed out so far; the rest are free and not chained */
};

struct fs__flow_table {
    struct fs__memory *memory;
    struct fs__slab flows, cold, extra, tcp, tcp_more;
    bool has_extra;
    uint32_t free_flow, free_tcp; /* chains of freed numbers */
    uint32_t live;
    struct fs__entry *index;
    uint32_t mask; /* entries - 1 */
};

static inline void *fs__slab_at(const struct fs__slab *slab, uint32_t number) {
    unsigned char *chunk = slab->chunks[number >> FS__CHUNK_SHIFT];
    return chunk + (size_t)(number & (FS__CHUNK - 1)) * slab->item_size;
}

static inline struct fs__flow *fs__flow_at(const struct fs__flow_table *table, uint32_t flow) {
    return (struct fs__flow *)table->flows.chunks[flow >> FS__CHUNK_SHIFT] + (flow & (FS__CHUNK - 1));
}

static inline struct fs__cold *fs__cold_at(const struct fs__flow_table *table, uint32_t flow) {
    return (struct fs__cold *)table->cold.chunks[flow >> FS__CHUNK_SHIFT] + (flow & (FS__CHUNK - 1));
}

static inline struct fs__extra *fs__extra_at(const struct fs__flow_table *table, uint32_t flow) {
    return (struct fs__extra *)table->extra.chunks[flow >> FS__CHUNK_SHIFT] + (flow & (FS__CHUNK - 1));
}

static inline struct fs__tcp *fs__tcp_at(const struct fs__flow_table *table, uint32_t tcp) {
    return (struct fs__tcp *)table->tcp.chunks[tcp >> FS__CHUNK_SHIFT] + (tcp & (FS__CHUNK - 1));
}

static inline struct fs__tcp_more *fs__tcp_more_at(const struct fs__flow_table *table, uint32_t tcp) {
    return (struct fs__tcp_more *)table->tcp_more.chunks[tcp >> FS__CHUNK_SHIFT] + (tcp & (FS__CHUNK - 1));
}

static inline bool fs__is_live(const struct fs__flow_table *table, uint32_t flow) {
    return flow < table->flows.used && (fs__flow_at(table, flow)->bits & FS__LIVE);
}

int fs__flow_table_init(struct fs__flow_table *table, struct fs__memory *memory, bool has_extra);
void fs__flow_table_free(struct fs__flow_table *table);

/* A number for a new flow, all parts but `flow`'s key zeroed, not yet in the index; FS__NONE without memory, with
 * nothing changed. */
uint32_t fs__flow_table_take(struct fs__flow_table *table, bool is_tcp);

/* Enter a taken flow, whose key has this hash. Room was made by take. */
void fs__flow_table_enter(struct fs__flow_table *table, uint32_t flow, uint32_t tag);

/* Take a flow out of the index and free its number. */
void fs__flow_table_remove(struct fs__flow_table *table, uint32_t number, uint32_t tag);

/* Longest run of entries that a look-up of a live flow walks. For tests. */
size_t fs__flow_table_longest_probe(const struct fs__flow_table *table);

#endif
