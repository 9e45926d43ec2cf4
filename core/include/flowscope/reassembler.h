/* SPDX-License-Identifier: MIT */
/** @file reassembler.h
 * TCP reassembly: every byte, every gap, every overlap, within stated bounds.
 *
 * A `fs_reassembler` turns the segments of one side of a connection into its byte stream. What is in order reaches the
 * consumer straight from the packet, without a copy. What is ahead waits in chunks of a pool that all reassemblers of
 * one `fs_reassembly` share. Holes that stay open are given up by deadline or at a cap, and delivered as gaps.
 *
 * *Offsets* are 64-bit positions in the stream: 0 is the first byte after the SYN, or the first byte seen where no SYN
 * was (fs_stream_info.from_middle). Sequence numbers are mapped to the offset nearest to the next expected one.
 *
 * Contract for consumers: offsets never decrease, ranges never overlap, every byte between 0 and the end is delivered
 * once or lies in a gap that is reported before what follows it, and nothing comes after the end.
 */
#ifndef FLOWSCOPE_REASSEMBLER_H
#define FLOWSCOPE_REASSEMBLER_H

#include "flowscope/allocator.h"
#include "flowscope/error.h"
#include "flowscope/packet.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fs_reassembly;
struct fs_reassembler;

/** Who supplies a byte that two segments claim, while it waits to be delivered; a delivered byte never changes. Each
 * name stands for a row of a table (docs/reassembly.md): the new segment wins or loses by where it starts and ends
 * relative to the segment that supplied the byte. XX(symbol, value, name). Source: Suricata's and Snort's policies of
 * these names; Paxson and Shankar 2003; Novak and Sturges 2007. */
#define FS_OVERLAP_MAP(XX)                                                                                             \
    XX(FS_OVERLAP_FIRST, 0, "first")                                                                                   \
    XX(FS_OVERLAP_LAST, 1, "last")                                                                                     \
    XX(FS_OVERLAP_BSD, 2, "bsd")                                                                                       \
    XX(FS_OVERLAP_BSD_RIGHT, 3, "bsd-right")                                                                           \
    XX(FS_OVERLAP_LINUX, 4, "linux")                                                                                   \
    XX(FS_OVERLAP_OLD_LINUX, 5, "old-linux")                                                                           \
    XX(FS_OVERLAP_WINDOWS, 6, "windows")                                                                               \
    XX(FS_OVERLAP_WINDOWS_2K3, 7, "windows-2k3")                                                                       \
    XX(FS_OVERLAP_VISTA, 8, "vista")                                                                                   \
    XX(FS_OVERLAP_SOLARIS, 9, "solaris")                                                                               \
    XX(FS_OVERLAP_OLD_SOLARIS, 10, "old-solaris")                                                                      \
    XX(FS_OVERLAP_HPUX10, 11, "hpux10")                                                                                \
    XX(FS_OVERLAP_HPUX11, 12, "hpux11")                                                                                \
    XX(FS_OVERLAP_IRIX, 13, "irix")                                                                                    \
    XX(FS_OVERLAP_MACOS, 14, "macos")

enum fs_overlap_policy {
#define FS_OVERLAP_ENUM(symbol, value, name) symbol = value,
    FS_OVERLAP_MAP(FS_OVERLAP_ENUM)
#undef FS_OVERLAP_ENUM
        FS_OVERLAP_COUNT
};

/** What happens when a segment that must wait would pass a cap. */
enum fs_limit_policy {
    FS_LIMIT_SKIP_HOLE = 0, /**< give up the first hole, deliver what follows it, and try again */
    FS_LIMIT_SLIDE,       /**< drop the waiting bytes that lie furthest ahead to make room for those that lie nearer */
    FS_LIMIT_DROP_STREAM, /**< end this side's stream: fs_stream_end FS_STREAM_LIMIT */
    FS_LIMIT_REFUSE,      /**< drop the new segment */
    FS_LIMIT_COUNT
};

/** What urgent data (RFC 6093) means to the stream. */
enum fs_urgent_policy {
    FS_URGENT_INLINE = 0, /**< an ordinary byte, as SO_OOBINLINE and Windows stacks with it; default */
    FS_URGENT_DROP_LAST,  /**< the byte before the urgent pointer is not part of the stream: reported as a gap of 1 */
    FS_URGENT_COUNT
};

/** How a segment relates to what was seen before. */
#define FS_SEGMENT_MAP(XX)                                                                                             \
    XX(FS_SEGMENT_NONE, 0, "none")                               /* no payload */                                      \
    XX(FS_SEGMENT_IN_ORDER, 1, "in-order")                       /* begins where the stream ends, no hole open */      \
    XX(FS_SEGMENT_AHEAD, 2, "ahead")                             /* leaves a hole before it */                         \
    XX(FS_SEGMENT_GAP_FILL, 3, "gap-fill")                       /* fills a hole and is neither of the next four */    \
    XX(FS_SEGMENT_OUT_OF_ORDER, 4, "out-of-order")               /* fills a hole too soon to be sent again */          \
    XX(FS_SEGMENT_RETRANSMISSION, 5, "retransmission")           /* sent again after a time-out */                     \
    XX(FS_SEGMENT_FAST_RETRANSMISSION, 6, "fast-retransmission") /* sent again after duplicate ACKs or SACK */         \
    XX(FS_SEGMENT_SPURIOUS_RETRANSMISSION, 7, "spurious-retransmission") /* all its bytes were acknowledged before */  \
    XX(FS_SEGMENT_OVERLAP, 8, "overlap")                      /* some of its bytes are known and some are new */       \
    XX(FS_SEGMENT_KEEP_ALIVE, 9, "keep-alive")                /* RFC 9293, 3.8.4: up to one known byte at next - 1 */  \
    XX(FS_SEGMENT_ZERO_WINDOW_PROBE, 10, "zero-window-probe") /* one byte into a closed window */                      \
    XX(FS_SEGMENT_BEYOND_WINDOW, 11, "beyond-window")         /* further ahead than the sanity limit: dropped */       \
    XX(FS_SEGMENT_AFTER_END, 12, "after-end")                 /* after the stream's end: dropped */

enum fs_segment_class {
#define FS_SEGMENT_ENUM(symbol, value, name) symbol = value,
    FS_SEGMENT_MAP(FS_SEGMENT_ENUM)
#undef FS_SEGMENT_ENUM
        FS_SEGMENT_COUNT
};

/** Why a stream is over. */
enum fs_stream_end {
    FS_STREAM_OPEN = 0,
    FS_STREAM_FIN,     /**< all bytes up to the FIN were delivered or lie in gaps */
    FS_STREAM_RST,     /**< reset by either side */
    FS_STREAM_LIMIT,   /**< a cap with FS_LIMIT_DROP_STREAM */
    FS_STREAM_FLUSHED, /**< the flow ended without FIN or RST */
    FS_STREAM_NOMEM,   /**< memory could not be allocated */
    FS_STREAM_END_COUNT
};

const char *fs_overlap_name(int policy); /**< "unknown" for other numbers; static storage */
/** The policy of a name, or -1. */
int fs_overlap_from_name(const char *name);
const char *fs_segment_name(int segment_class);
const char *fs_limit_name(int policy);
const char *fs_stream_end_name(int end);

/** One event of a stream; plain data, valid during the callback. */
enum fs_stream_event_kind {
    FS_STREAM_DATA = 0, /**< `length` bytes at `offset` */
    FS_STREAM_GAP,      /**< `length` bytes at `offset` will never come */
    FS_STREAM_CONFLICT, /**< an overlap whose texts differ: [offset, offset + length) is the overlap's range */
    FS_STREAM_ENDED     /**< last; `end` says why, `offset` is the stream's length */
};

struct fs_stream_event {
    enum fs_stream_event_kind kind;
    uint8_t end;     /**< FS_STREAM_ENDED: enum fs_stream_end */
    bool uncaptured; /**< FS_STREAM_GAP: the segment was seen, but these bytes of it were not captured */
    uint64_t offset;
    uint64_t length;
    const uint8_t *data;  /**< FS_STREAM_DATA: borrowed, from the packet or from waiting chunks */
    uint64_t time_ns;     /**< of the segment that supplied the data; of the packet or sweep that decided a gap */
    uint32_t frame;       /**< likewise; FS_STREAM_CONFLICT: of the new segment */
    uint32_t other_frame; /**< FS_STREAM_CONFLICT: of the segment that was there first; 0 if no longer known */
    uint64_t digest, other_digest; /**< FS_STREAM_CONFLICT: XXH3-64, seed 0, of the new and the old text of the range */
};

struct fs_reassembly_config {
    uint64_t side_limit;  /**< bytes that may wait, per side; default 256 KiB */
    uint64_t flow_limit;  /**< per flow, both sides; default 512 KiB */
    uint64_t total_limit; /**< over all; default 256 MiB. Chunk overhead counts */
    enum fs_limit_policy at_side_limit, at_flow_limit, at_total_limit; /**< default FS_LIMIT_SKIP_HOLE */
    /** A hole older than this, in packet time, is given up; default 1 s; UINT64_MAX: never. */
    uint64_t hole_deadline_ns;
    /** A segment that begins further ahead is dropped (beyond-window); default 16 MiB; at most 1 GiB. */
    uint32_t ahead_limit;
    uint32_t history; /**< delivered bytes kept per side to compare repetitions with; default 0: none; at most 64 KiB */
    /** Bytes that all histories may take, marks included; default 64 MiB. At the limit they grow no more, and sides
     * that have none get none: see fs_reassembly_stats.histories_refused. */
    uint64_t history_limit;
    enum fs_overlap_policy overlap; /**< default FS_OVERLAP_BSD, as Suricata's */
    enum fs_urgent_policy urgent;
    /** Called for each event, in order; `stream_user` is the reassembler's. Must not call back into the same
     * reassembler. */
    void (*on_event)(void *stream_user, const struct fs_stream_event *event, void *user);
    void *user;
};

/** Totals over all reassemblers. */
struct fs_reassembly_stats {
    uint64_t segments[FS_SEGMENT_COUNT];    /**< by class */
    uint64_t delivered_bytes, copied_bytes; /**< copied: those that had to wait */
    uint64_t gaps, gap_bytes;
    uint64_t overlap_bytes; /**< claimed twice, before or after delivery */
    uint64_t conflicts, conflict_bytes;
    uint64_t duplicate_bytes; /**< dropped: delivered before */
    uint64_t overruled_bytes; /**< dropped: lost to another segment by policy */
    uint64_t beyond_bytes, after_end_bytes, refused_bytes, slid_bytes, uncaptured_bytes; /**< dropped, by cause */
    uint64_t limit_hits[FS_LIMIT_COUNT];
    uint64_t histories_refused;           /**< times that history_limit kept a history from growing */
    uint64_t waiting_bytes, memory_bytes; /**< now */
    uint64_t peak_memory_bytes;
};

/** Counters of one side. */
struct fs_stream_info {
    uint64_t next_offset; /**< everything before is delivered or in gaps */
    uint64_t waiting_bytes;
    uint64_t gaps;             /**< those of lost bytes; uncaptured ones are not counted */
    uint64_t gap_bytes;        /**< of all gaps */
    uint64_t uncaptured_bytes; /**< of these, bytes of segments that were seen */
    uint64_t overlap_bytes, conflict_bytes;
    uint64_t retransmissions, out_of_order;           /**< segments of these classes; saturate at UINT32_MAX */
    uint64_t retransmitted_bytes, out_of_order_bytes; /**< their payload */
    uint64_t dropped_bytes;                           /**< refused, slid, beyond the window, after the end */
    bool from_middle;                                 /**< offset 0 is the first byte seen, not the first byte sent */
    uint8_t end;                                      /**< enum fs_stream_end */
};

/** What one segment did. */
struct fs_segment_verdict {
    /** Stream offset of its first payload byte; UINT64_MAX if it lies before the start of the stream. */
    uint64_t offset;
    uint64_t hole_bytes;     /**< ahead: the new hole that it leaves before it */
    uint64_t gap_bytes;      /**< of its side, given up as lost with it */
    uint64_t peer_gap_bytes; /**< of the other side, likewise; set by the pipeline, which runs both */
    uint32_t repeats_frame;  /**< that brought its first byte before; 0: none did, or it is no longer known */
    uint32_t hole_frame;     /**< that showed the hole in which its first new byte lies; 0: in none that was seen */
    uint8_t segment;         /**< enum fs_segment_class */
    bool conflict;
    bool limit; /**< a cap was reached */
};

void fs_reassembly_config_defaults(struct fs_reassembly_config *config);

/** Create the shared store. NULL for defaults. Returns NULL without memory or if a value is out of range. */
struct fs_reassembly *fs_reassembly_new(const struct fs_reassembly_config *config,
                                        const struct fs_allocator *allocator);
/** Free it; all its reassemblers must have been freed. NULL is ignored. */
void fs_reassembly_free(struct fs_reassembly *reassembly);
void fs_reassembly_get_stats(const struct fs_reassembly *reassembly, struct fs_reassembly_stats *stats);
/** Add `other` to `sum`, field by field; peaks add up too. */
void fs_reassembly_stats_add(struct fs_reassembly_stats *sum, const struct fs_reassembly_stats *other);

/** Create the reassembler of one side. `peer` is the other side's, if it exists, so that both count against flow_limit;
 * they then refer to each other. Returns NULL without memory. */
struct fs_reassembler *fs_reassembler_new(struct fs_reassembly *reassembly, struct fs_reassembler *peer,
                                          void *stream_user);
/** Say how long the connection's handshake took, from SYN to ACK: the round trip until both sides' segments have
 * measured it. 0: unknown. */
void fs_reassembler_set_handshake(struct fs_reassembler *reassembler, uint64_t handshake_ns);
/** Say where the stream of a new reassembler begins, if segments of the side were seen before it was made: `seq` is the
 * sequence number of offset 0, `from_middle` that no SYN said so. Ignored once a segment has run. */
void fs_reassembler_begin(struct fs_reassembler *reassembler, uint32_t seq, bool from_middle);
/** Free it, without events: call fs_reassembler_flush() first. Its memory goes back to the pool. NULL is ignored. */
void fs_reassembler_free(struct fs_reassembler *reassembler);

/** Run one segment of this side. `packet` must have FS_PACKET_HAS_TCP. SYN and FIN take sequence space; data on SYN,
 * FIN and RST counts as data, that of an RST being dropped. Payload that was not captured becomes a gap. The verdict is
 * always filled. Returns 0 or FS_ERR_NOMEM (the stream ends with FS_STREAM_NOMEM). */
int fs_reassembler_segment(struct fs_reassembler *reassembler, const struct fs_packet *packet,
                           struct fs_segment_verdict *verdict);

/** Note a segment of the *other* side: its acknowledgement, SACK blocks and window. They tell retransmissions from
 * reordering, and acknowledged holes from late data: a hole that is acknowledged was lost to the capture, not to the
 * receiver, and is given up when data beyond it was acknowledged too. Returns the bytes given up. */
uint64_t fs_reassembler_acknowledge(struct fs_reassembler *reassembler, const struct fs_packet *packet);

/** Give up holes older than the deadline at `now_ns`. Called by segment() for its own side; call it for silent ones.
 * Returns the bytes given up. */
uint64_t fs_reassembler_advance(struct fs_reassembler *reassembler, uint64_t now_ns);

/** End the stream: deliver all that waits, with gaps, then the end event with `end`. Later calls are ignored. */
void fs_reassembler_flush(struct fs_reassembler *reassembler, enum fs_stream_end end, uint64_t now_ns, uint32_t frame);

/** Call `use` with the events that a flush would give now, less the end: what waits, and the gaps before it. Nothing
 * changes. */
void fs_reassembler_peek(const struct fs_reassembler *reassembler,
                         void (*use)(const struct fs_stream_event *event, void *user), void *user);

void fs_reassembler_info(const struct fs_reassembler *reassembler, struct fs_stream_info *info);

#ifdef __cplusplus
}
#endif
#endif
