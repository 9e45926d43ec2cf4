/* SPDX-License-Identifier: MIT */
/* A side's state, shared by what classes its segments (segment_class.c), what decides who supplies a byte (disputes.c)
 * and what takes them in (reassembler.c). */
#ifndef FS_REASSEMBLER_INTERNAL_H
#define FS_REASSEMBLER_INTERNAL_H

#include "flowscope/reassembler.h"
#include "history.h"
#include "segments.h"

enum { FS__MANY_DUPLICATES = 2 /* acknowledgements that ask for a segment */ };

#define FS__NO_FIN UINT64_MAX
#define FS__NOWHERE INT64_MAX

struct fs_reassembly {
    struct fs_reassembly_config config;
    struct fs__segment_store store;
    struct fs_reassembly_stats stats; /* less waiting_bytes and the memory fields */
    struct fs_reassembler *free;      /* for reuse; chained by `peer` */
    struct fs__history_store histories;
};

enum fs__stream_bit {
    FS__STREAM_STARTED = 0x01, /* start_seq is known */
    FS__STREAM_FROM_MIDDLE = 0x02,
    FS__STREAM_TIMED = 0x04,     /* a segment is being timed */
    FS__STREAM_HAS_RTT = 0x08,   /* rtt_ns is measured */
    FS__STREAM_HAS_WINDOW = 0x10 /* the other side has shown its window */
};

struct fs_reassembler {
    struct fs_reassembly *shared;
    struct fs_reassembler *peer;
    void *stream_user;
    struct fs__segments waiting;
    struct fs__history *history;
    uint64_t next;      /* all before it is delivered or in gaps */
    uint64_t highest;   /* end of the highest byte seen */
    uint64_t acked;     /* highest acknowledgement */
    uint64_t sacked;    /* highest left edge of a SACK block */
    uint64_t fin;       /* or FS__NO_FIN */
    uint64_t timed_end; /* end of the timed segment */
    uint64_t timed_ns;
    uint64_t rtt_ns;
    uint64_t handshake_ns; /* 0: unknown */
    uint64_t gap_bytes, uncaptured_bytes, overlap_bytes, conflict_bytes, retransmitted_bytes, out_of_order_bytes,
        dropped_bytes;
    uint32_t start_seq; /* of offset 0 */
    uint32_t gaps, retransmissions, out_of_order;
    uint8_t duplicate_acks;
    uint16_t window; /* the other side's last */
    uint8_t end;     /* enum fs_stream_end */
    uint8_t bits;    /* enum fs__stream_bit */
};

_Static_assert(sizeof(struct fs_reassembler) <= 256, "cost of an idle side");

/* Payload at offsets, cut at the FIN; `start` may be negative. [start, captured) is there, but for an urgent byte. */
struct fs__payload {
    int64_t start, end;
    int64_t captured;
    int64_t urgent; /* offset of the byte that is no part of the stream, or FS__NOWHERE */
    const uint8_t *data;
};

static inline uint64_t fs__piece_age(const struct fs__piece *piece, uint64_t now_ns) {
    return now_ns > piece->time_ns ? now_ns - piece->time_ns : 0;
}

/* ---- the call at hand ---- */

/* The call at hand: whose time and frame events carry. */
struct fs__occasion {
    uint64_t time_ns;
    uint32_t frame;
    uint64_t given_up; /* bytes in holes */
    bool conflict;
};

static inline void fs__emit(const struct fs_reassembler *side, const struct fs_stream_event *event) {
    const struct fs_reassembly_config *config = &side->shared->config;
    if (config->on_event)
        config->on_event(side->stream_user, event, config->user);
}

/* ---- parts of a payload ---- */

/* An unbroken range of the payload that begins at `at`: all captured, or all not. */
struct fs__part {
    uint64_t end;
    bool is_captured, is_urgent;
};

static inline struct fs__part fs__part_at(const struct fs__payload *payload, uint64_t at) {
    int64_t position = (int64_t)at;
    if (position == payload->urgent)
        return (struct fs__part){at + 1, false, true};
    if (position >= payload->captured)
        return (struct fs__part){(uint64_t)payload->end, false, false};
    bool is_cut = payload->urgent > position && payload->urgent < payload->captured;
    return (struct fs__part){(uint64_t)(is_cut ? payload->urgent : payload->captured), true, false};
}

static inline const uint8_t *fs__text_at(const struct fs__payload *payload, uint64_t at) {
    return payload->data + ((int64_t)at - payload->start);
}

static inline uint64_t fs__lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- segment_class.c ---- */

/* By the table of docs/reassembly.md, before anything of the segment is taken in or cut. */
enum fs_segment_class fs__segment_class(struct fs_reassembler *side, const struct fs_packet *packet,
                                        const struct fs__payload *payload);

/* Frame that brought the payload's first byte before; 0 if none did, or it is no longer known. */
uint32_t fs__segment_repeats_frame(struct fs_reassembler *side, const struct fs__payload *payload);

/* Frame that showed the hole in which the payload's first new byte lies; 0 if it lies in none that was seen. */
uint32_t fs__segment_hole_frame(struct fs_reassembler *side, const struct fs__payload *payload);

/* ---- disputes.c ---- */

/* Compare what was delivered before with what comes again. */
void fs__compare_with_history(struct fs_reassembler *side, struct fs__occasion *occasion,
                              const struct fs__payload *payload);

/* Decide who supplies what of [from, end) is claimed by waiting pieces: they lose what the payload wins. False without
 * memory. */
bool fs__contest(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__payload *payload,
                 uint64_t from);

/* What fs__contest(), and storing what nobody claims, will add to the cost of what waits. */
int64_t fs__cost_change(struct fs_reassembler *side, const struct fs__payload *payload);

#endif
