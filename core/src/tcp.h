/* SPDX-License-Identifier: MIT */
/* The TCP part of a flow: what both sides sent and acknowledged, and what a segment changes. docs/semantics.md has the
 * rules. Two blocks, so that a segment without surprises touches one cache line. */
#ifndef FS_TCP_H
#define FS_TCP_H

#include "flowscope/flow.h"

/* Zeek's endpoint states: conn_state and history are defined by them. */
enum fs__endpoint {
    FS__INACTIVE = 0,
    FS__SYN_SENT,
    FS__SYN_ACK_SENT,
    FS__PARTIAL,
    FS__ESTABLISHED,
    FS__CLOSED,
    FS__RESET
};

enum fs__side_bit {
    FS__STATE_MASK = 0x0007,    /* enum fs__endpoint */
    FS__PREVIOUS_SHIFT = 3,     /* the endpoint state before this one */
    FS__KNOWN = 0x0040,         /* has sent a segment that counts */
    FS__TIMED = 0x0080,         /* timed_ns and timed_seq are running */
    FS__TIMED_SYN = 0x0100,     /* what they time is the SYN */
    FS__SCALE_OFFERED = 0x0200, /* its SYN had the window scale option */
    FS__SPOKE = 0x0400,         /* has sent a segment without SYN and RST */
    FS__SYN_TIMED = 0x0800,     /* its SYN's acknowledgement was seen: the handshake time is final */
    FS__SCALE_SHIFT = 12        /* four bits: the offered shift */
};

/* History letters that a side has used, and one more fact; bits of fs__tcp_side.used. */
enum fs__used {
    FS__USED_SYN = 0x01,
    FS__USED_FIN = 0x02,
    FS__USED_RST = 0x04,
    FS__USED_DATA = 0x08,
    FS__USED_ACK = 0x10,
    FS__USED_MULTI = 0x20,
    FS__USED_FIN_RST = 0x40,
    FS__SENT_PLAIN_SYN = 0x80 /* no letter: a SYN without ACK */
};

struct fs__tcp_side {
    uint64_t timed_ns;  /* when the timed segment was sent; the initiator's, once both are closed: when that was */
    uint32_t isn;       /* number before the first byte */
    uint32_t next;      /* highest number sent, exclusive */
    uint32_t ack;       /* highest acknowledgement received */
    uint32_t timed_seq; /* end of the timed segment; after an RST of the side: number of the latest one */
    uint16_t window_minimum, window_maximum; /* unscaled; minimum > maximum: none seen */
    uint16_t bits;                           /* enum fs__side_bit */
    uint8_t flags;                           /* union of flags sent */
    uint8_t used;                            /* enum fs__used */
};

struct fs__tcp {
    struct fs__tcp_side side[2];
};

struct fs__tcp_side_more {
    uint64_t rtt; /* sum of samples in µs << 24 | number of samples */
    uint32_t rtt_minimum_us, rtt_maximum_us;
    unsigned retransmissions : 20; /* saturating */
    unsigned next_wraps : 12;      /* times that `next` has passed isn; saturating: 16 TiB */
    unsigned zero_windows : 20;    /* saturating */
    unsigned ack_wraps : 12;       /* likewise of `ack` */
};

enum { FS__COUNT_MAX = (1 << 20) - 1, FS__WRAPS_MAX = (1 << 12) - 1 };

struct fs__tcp_more {
    struct fs__tcp_side_more side[2];
    uint64_t history[2];      /* 12 letters of 5 bits each from bit 0 on, their number in the top 4 bits */
    uint32_t handshake_us[2]; /* of the SYN of each side; UINT32_MAX: not seen */
};

_Static_assert(sizeof(struct fs__tcp) == 64, "one cache line");
_Static_assert(sizeof(struct fs__tcp_more) == 72, "a TCP flow's cost");

/* What one segment did, for the verdict. */
struct fs__tcp_result {
    uint64_t rtt_ns; /* FS_NO_TIME if it measured none */
    unsigned anomalies;
    uint8_t state;    /* enum fs_state after it */
    bool established; /* the condition holds */
    bool retransmission;
};

void fs__tcp_init(struct fs__tcp *tcp, struct fs__tcp_more *more, bool flipped);

/* Whether the segment opens a new connection on the flow's key. */
bool fs__tcp_is_new_connection(const struct fs__tcp *tcp, uint8_t state, unsigned side, const struct fs_tcp *segment);

void fs__tcp_update(struct fs__tcp *tcp, struct fs__tcp_more *more, uint8_t state, unsigned side,
                    const struct fs_packet *packet, struct fs__tcp_result *result);

/* ---- the steady way ----
 *
 * What most segments of a connection are: a few numbers grow, and all else stays as it is. The result is that of
 * fs__tcp_update() for a fifth of its instructions, and the second block is touched only if there is something to
 * count. */

/* Whose segments fs__tcp_steady_segment() may take, as long as the flow is established, which has been noted; shifted
 * by the side. */
enum fs__steady_side {
    FS__STEADY_SIDE = 0x01,
    FS__FAR_SIDE = 0x04 /* it may, and more than 2 GiB of the side are in flight, as where one direction was captured */
};
unsigned fs__tcp_steady_sides(const struct fs__tcp *tcp, const struct fs__tcp_more *more);

enum fs__steady {
    FS__STEADY = 0x1,        /* the segment was applied; 0: it is of another kind, and nothing has changed */
    FS__RETRANSMITTED = 0x2, /* to be counted: fs__tcp_count_retransmission() */
    FS__TIMER_COVERED = 0x4  /* the peer's timer is to be stopped: fs__tcp_stop_timer() */
};

/* Apply a segment of `self`. The state of the flow is the same after it, and it shows no anomaly. */
unsigned fs__tcp_steady_segment(struct fs__tcp_side *self, struct fs__tcp_side *peer, bool is_far,
                                const struct fs_packet *packet);

/* An acknowledgement covers the timed segment of `peer`, whose side it is: returns its round-trip time, or
 * FS_NO_TIME. */
uint64_t fs__tcp_stop_timer(struct fs__tcp_side *peer, struct fs__tcp_more *more, unsigned side, uint64_t now_ns);

/* Returns whether letters of the history were left out. */
bool fs__tcp_count_retransmission(struct fs__tcp_more *more, unsigned side);

/* ---- snapshots ---- */

/* Fill the TCP fields, history and conn_state of a snapshot. */
void fs__tcp_info(const struct fs__tcp *tcp, const struct fs__tcp_more *more, struct fs_flow_info *info);

/* Some letters come at the 1st, 10th, 100th ... time. */
static inline bool fs__is_power_of_ten(uint64_t count) {
    if (count % 4) /* three of four, without a division */
        return count == 1 || count == 10;
    while (count >= 10 && count % 10 == 0)
        count /= 10;
    return count == 1;
}

/* A gap in what `side` sent: only the reassembler sees it. */
void fs__tcp_history_gap(struct fs__tcp_more *more, unsigned side);

/* Whether history letters were left out. */
bool fs__tcp_history_full(const struct fs__tcp_more *more);

/* Whether a SYN, with or without ACK, was seen of either side. */
static inline bool fs__tcp_syn_seen(const struct fs__tcp *tcp) {
    return ((tcp->side[0].flags | tcp->side[1].flags) & FS_TCP_SYN) != 0;
}

#endif
