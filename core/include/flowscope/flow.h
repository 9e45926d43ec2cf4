/* SPDX-License-Identifier: MIT */
/** @file flow.h
 * What is known of a flow: states, end reasons, marks, counters, and a snapshot of all of them.
 *
 * Arrays of two are indexed by *side*: enum fs_side.
 */
#ifndef FLOWSCOPE_FLOW_H
#define FLOWSCOPE_FLOW_H

#include "flowscope/packet.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Who opened the flow. TCP: the sender of the SYN without ACK, also when the SYN-ACK was seen first. Without a
 * SYN, and for everything else: the sender of the first packet seen. */
enum fs_side { FS_INITIATOR = 0, FS_RESPONDER = 1 };

/** Where a flow stands: XX(symbol, value, slug). TCP states follow both ends together. */
#define FS_STATE_MAP(XX)                                                                                               \
    XX(FS_STATE_ONE_WAY, 0, "one-way")           /* not TCP: one side has sent */                                      \
    XX(FS_STATE_TWO_WAY, 1, "two-way")           /* not TCP: both sides have sent */                                   \
    XX(FS_STATE_SYN_SENT, 2, "syn-sent")         /* a SYN, no answer yet */                                            \
    XX(FS_STATE_SYN_RECEIVED, 3, "syn-received") /* a SYN and a SYN-ACK, or two SYNs (simultaneous open) */            \
    XX(FS_STATE_ESTABLISHED, 4, "established")   /* handshake complete, or picked up in mid-stream */                  \
    XX(FS_STATE_HALF_CLOSED, 5, "half-closed")   /* one side has sent its FIN */                                       \
    XX(FS_STATE_CLOSING, 6, "closing")           /* both have, not both acknowledged */                                \
    XX(FS_STATE_CLOSED, 7, "closed")             /* both FINs acknowledged: a tombstone for late packets */            \
    XX(FS_STATE_RESET, 8, "reset")               /* ended by an RST: a tombstone too */

enum fs_state {
#define FS_STATE_ENUM(symbol, value, slug) symbol = value,
    FS_STATE_MAP(FS_STATE_ENUM)
#undef FS_STATE_ENUM
        FS_STATE_COUNT
};

/** Why a flow is over: XX(symbol, value, slug). */
#define FS_END_MAP(XX)                                                                                                 \
    XX(FS_END_LIVE, 0, "live")             /* it is not */                                                             \
    XX(FS_END_FIN, 1, "fin")               /* TCP: both sides closed */                                                \
    XX(FS_END_RST, 2, "rst")               /* TCP: reset */                                                            \
    XX(FS_END_IDLE, 3, "idle")             /* no packet for its idle timeout */                                        \
    XX(FS_END_EVICTED, 4, "evicted")       /* the table was full */                                                    \
    XX(FS_END_PORT_REUSE, 5, "port-reuse") /* a new connection took its addresses and ports before it closed */        \
    XX(FS_END_FORCED, 6, "forced")         /* the caller ended it */                                                   \
    XX(FS_END_INPUT, 7, "end-of-input")    /* the capture ended first */

enum fs_end {
#define FS_END_ENUM(symbol, value, slug) symbol = value,
    FS_END_MAP(FS_END_ENUM)
#undef FS_END_ENUM
        FS_END_COUNT
};

/** Quality marks of a flow; bits. */
enum fs_flow_mark {
    FS_MARK_MIDSTREAM = 0x0001,    /**< TCP: no SYN was seen */
    FS_MARK_ONE_SIDED = 0x0002,    /**< only one side was seen; in snapshots, derived */
    FS_MARK_TRUNCATED = 0x0004,    /**< some packet was captured incompletely */
    FS_MARK_ROLE_FLIPPED = 0x0008, /**< the first packet seen came from the responder */
    FS_MARK_PORT_REUSED = 0x0010,  /**< its SYN ended the flow that had the key before */
    FS_MARK_FRAGMENTS = 0x0020,    /**< holds fragments of IP packets */
    FS_MARK_HISTORY_FULL = 0x0040  /**< letters of the history were left out at its end */
};

/** Name of one mark, e.g. "midstream"; "unknown" for others. Static storage. */
const char *fs_flow_mark_slug(unsigned mark);

/** Unusual things about a packet or flow; bits, and reported as events. XX(symbol, bit, slug, text). */
#define FS_ANOMALY_MAP(XX)                                                                                             \
    XX(FS_ANOMALY_RST_OUT_OF_WINDOW, 0x0001, "rst_out_of_window",                                                      \
       "reset outside the receiver's window: ignored (RFC 5961)")                                                      \
    XX(FS_ANOMALY_SYN_IN_FLOW, 0x0002, "syn_in_flow", "SYN with a new sequence number inside an open connection")      \
    XX(FS_ANOMALY_PORT_REUSE, 0x0004, "port_reuse", "addresses and ports are used again by a new connection")          \
    XX(FS_ANOMALY_SYN_ACK_MISMATCH, 0x0008, "syn_ack_mismatch",                                                        \
       "SYN-ACK acknowledges another sequence number than the SYN's")                                                  \
    XX(FS_ANOMALY_BAD_FLAGS, 0x0010, "bad_flags", "impossible combination of TCP flags")                               \
    XX(FS_ANOMALY_AFTER_END, 0x0020, "after_end", "data after the connection was reset or closed")                     \
    XX(FS_ANOMALY_ACK_UNSEEN, 0x0040, "ack_unseen", "acknowledges data that the capture does not hold")                \
    XX(FS_ANOMALY_TIME_BACKWARDS, 0x0080, "time_backwards", "earlier than the flow's packet before it")                \
    XX(FS_ANOMALY_EVICTION, 0x0100, "eviction", "flow table full: a live flow was evicted")                            \
    XX(FS_ANOMALY_GAP, 0x0200, "gap", "bytes are missing from the stream: not in the capture")                         \
    XX(FS_ANOMALY_CONFLICT, 0x0400, "conflict", "overlaps what was seen before with other content")                    \
    XX(FS_ANOMALY_LIMIT, 0x0800, "reassembly_limit",                                                                   \
       "a limit of reassembly was reached: a hole was given up, or bytes were dropped")

enum fs_anomaly {
#define FS_ANOMALY_ENUM(symbol, bit, slug, text) symbol = bit,
    FS_ANOMALY_MAP(FS_ANOMALY_ENUM)
#undef FS_ANOMALY_ENUM
};
enum { FS_ANOMALY_COUNT = 12 };

/** Names for people and machines. "unknown" for other numbers; static storage. */
const char *fs_state_name(int state);
const char *fs_end_name(int end);
const char *fs_side_name(int side); /**< "initiator", "responder" */
/** Slug and text of one anomaly bit. */
const char *fs_anomaly_slug(unsigned anomaly);
const char *fs_anomaly_text(unsigned anomaly);

/** Counters of one side's packets. */
struct fs_counters {
    uint64_t packets;
    uint64_t wire_bytes;    /**< whole frames, link header and carriers included */
    uint64_t ip_bytes;      /**< from the IP header on, as the IP header says */
    uint64_t payload_bytes; /**< above the transport header, retransmissions included */
    /** Of `packets`, those with FS_PACKET_DUPLICATE; stops at UINT32_MAX; 0 without
     * fs_tracker_config.count_duplicates. */
    uint64_t duplicates;
};

/** Round-trip times of one side's data: from a segment to the first acknowledgement that covers it, timed at the point
 * of capture and not across retransmissions (Karn's rule, RFC 6298). Resolution 1 µs. */
struct fs_rtt {
    uint64_t samples;                         /**< stops at 16,777,215, or when `mean_ns` stands for 12 days in sum */
    uint64_t minimum_ns, mean_ns, maximum_ns; /**< 0 without samples */
};

/** What one side of a TCP connection did. */
struct fs_tcp_side {
    /** Payload by sequence number: each byte once, holes included, from the SYN or the first byte seen (Zeek's
     * orig_bytes and resp_bytes). */
    uint64_t stream_bytes;
    /** Sequence number before the first byte: that of the SYN, or one less than the first seen. */
    uint32_t isn;
    /** Bytes, scaled once the scale is known; of segments without SYN and RST; 0, 0 if none. */
    uint32_t window_minimum, window_maximum;
    uint32_t zero_windows;    /**< segments that closed the window; saturates at 1,048,575 */
    uint32_t retransmissions; /**< data segments that brought no new sequence number; saturates likewise */
    uint8_t window_scale;     /**< shift that its windows have; 0 unless both sides offered the option */
    uint8_t flags;            /**< union of the low 8 TCP flags it sent */
    bool acknowledged;        /**< the other side has acknowledged all that it sent, a FIN included */
    struct fs_rtt rtt;        /**< of its data */
};

enum { FS_HISTORY_MAX = 24 };

/** Everything about one flow at one moment: a copy, owned by the caller, valid for ever. */
struct fs_flow_info {
    uint64_t id;     /**< number of the flow in its tracker, from 0 in order of creation; never used twice */
    uint64_t parent; /**< id of the carrier's flow; FS_NO_FLOW if none */
    struct fs_key key;
    uint64_t first_ns, last_ns; /**< earliest and latest packet time */
    uint32_t first_frame, last_frame;
    struct fs_counters side[2];
    uint16_t marks;   /**< enum fs_flow_mark */
    uint8_t state;    /**< enum fs_state */
    uint8_t end;      /**< enum fs_end */
    uint8_t ended_by; /**< enum fs_end: what removed it; differs from `end` for closed and reset ones only */
    uint8_t initiator_orientation; /**< enum fs_orientation of packets from the initiator */
    bool is_tcp;                   /**< the fields below are set */
    /** TCP handshake: SYN to SYN-ACK and SYN-ACK to ACK, in ns with 1 µs resolution; FS_NO_TIME if not seen. */
    uint64_t handshake_syn_ns, handshake_ack_ns;
    /** TCP: time of the packet by which both sides had sent a FIN or an accepted RST; FS_NO_TIME if they have not.
     * Zeek's duration ends here. */
    uint64_t closed_ns;
    struct fs_tcp_side tcp[2];
    /** Zeek's history letters: s SYN, h SYN-ACK, a pure ACK, d data, f FIN, r RST, t retransmission, w zero window,
     * g gap (with reassembly), i FIN+RST, q SYN+FIN or SYN+RST, ^ roles flipped; upper case from the initiator.
     * NUL-terminated. */
    char history[FS_HISTORY_MAX + 1];
    /** Zeek's conn_state: S0 S1 SF REJ S2 S3 RSTO RSTR RSTOS0 RSTRH SH SHR OTH. NUL-terminated. */
    char conn_state[8];
};

#define FS_NO_FLOW UINT64_MAX
#define FS_NO_TIME UINT64_MAX

/** Index of the endpoint of `side` in the key: info->key.address[fs_endpoint(info, side)]. */
static inline unsigned fs_endpoint(const struct fs_flow_info *info, enum fs_side side) {
    return (unsigned)side ^ info->initiator_orientation;
}

/** The port of `side`, host order. ICMP and ICMPv6, as Zeek shows them: the initiator's message type; for the responder
 * the type that answers it, or the code of a one-way message. */
uint16_t fs_flow_port(const struct fs_flow_info *info, enum fs_side side);

#ifdef __cplusplus
}
#endif
#endif
