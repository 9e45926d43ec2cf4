/* SPDX-License-Identifier: MIT */
/* A side's state, shared by what classes its segments (segment_class.c) and what takes them in (reassembler.c). */
#ifndef FS_REASSEMBLER_INTERNAL_H
#define FS_REASSEMBLER_INTERNAL_H

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

/* By the table of docs/reassembly.md, before anything of the segment is taken in or cut. */
enum fs_segment_class fs__segment_class(struct fs_reassembler *side, const struct fs_packet *packet,
                                        const struct fs__payload *payload);

/* Frame that brought the payload's first byte before; 0 if none did, or it is no longer known. */
uint32_t fs__segment_repeats_frame(struct fs_reassembler *side, const struct fs__payload *payload);

/* Frame that showed the hole in which the payload's first new byte lies; 0 if it lies in none that was seen. */
uint32_t fs__segment_hole_frame(struct fs_reassembler *side, const struct fs__payload *payload);

#endif
