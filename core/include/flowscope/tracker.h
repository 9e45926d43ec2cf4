/* SPDX-License-Identifier: MIT */
/** @file tracker.h
 * The flow table: finds the flow of a packet or creates it, follows its life, counts, expires and evicts.
 *
 * A tracker belongs to one thread. Use several, with fs_shard_of(), for several threads, and fs_tracker_stats_add() for
 * their sum.
 *
 * Time is the packets' own. It may step backwards: a flow is never older than its latest packet, so nothing expires
 * early. At all times created = ended + live.
 *
 * A flow is named by its *number*, a small integer that is valid from its started event until its ended event returns,
 * and then used again. Its *id* (fs_flow_info.id) is never used again.
 *
 * Cost: one hash, one look-up, three cache lines a packet. A flow takes at most 320 bytes for TCP and 192 otherwise,
 * the index included. Memory grows in slabs with the number of flows that were live at once, up to max_flows, and is
 * not given back before fs_tracker_free(); no memory is allocated while that number does not grow.
 */
#ifndef FLOWSCOPE_TRACKER_H
#define FLOWSCOPE_TRACKER_H

#include "flowscope/allocator.h"
#include "flowscope/error.h"
#include "flowscope/flow.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fs_tracker;

/** Classes of idle timeout; index of fs_tracker_config.timeout_ns. */
enum fs_timeout_class {
    FS_TIMEOUT_TCP_OPENING = 0, /**< TCP before the handshake is complete; default 60 s */
    FS_TIMEOUT_TCP,             /**< TCP, established to closing; default 300 s */
    FS_TIMEOUT_TCP_CLOSED,      /**< tombstone of a closed or reset connection; default 60 s; 0 ends it at once */
    FS_TIMEOUT_UDP,             /**< UDP and UDP-Lite; default 60 s */
    FS_TIMEOUT_OTHER,           /**< everything else; default 30 s */
    FS_TIMEOUT_UDP_ONE_WAY,     /**< FS_TIMEOUT_UDP before an answer; default 0: the same */
    FS_TIMEOUT_OTHER_ONE_WAY,   /**< FS_TIMEOUT_OTHER before an answer; default 0: the same */
    FS_TIMEOUT_COUNT
};

/** What happened to a flow. Callbacks may read the tracker and set user pointers; they must not call functions that
 * track, sweep, end or free. The order within one packet: evicted or replaced flows ended, started, anomalies,
 * established or state change, packet, ended. */
enum fs_event_kind {
    FS_EVENT_STARTED = 0, /**< the flow exists, with no packet counted yet */
    FS_EVENT_ESTABLISHED, /**< TCP: handshake complete or picked up in mid-stream; others: answered. Once a flow */
    FS_EVENT_STATE,       /**< any other change of state */
    FS_EVENT_PACKET,      /**< a packet was counted */
    FS_EVENT_TICK,        /**< periodic, with a packet of the flow, at most once in tick_ns */
    FS_EVENT_ENDED,       /**< last: the number is free when the callback returns */
    FS_EVENT_ANOMALY,
    FS_EVENT_COUNT
};

struct fs_event {
    enum fs_event_kind kind;
    uint32_t flow;                  /**< number */
    uint64_t time_ns;               /**< of the packet, or of the sweep */
    const struct fs_packet *packet; /**< that caused it; NULL for sweeps, force close and end of input */
    uint8_t side;                   /**< enum fs_side of `packet` */
    uint8_t from, to;               /**< FS_EVENT_STATE and ESTABLISHED: enum fs_state */
    uint8_t end;                    /**< FS_EVENT_ENDED: enum fs_end */
    unsigned anomaly;               /**< FS_EVENT_ANOMALY: one bit of enum fs_anomaly */
};

struct fs_tracker_config {
    /** Idle time that ends a flow, inclusive: a packet exactly this late starts a new one. */
    uint64_t timeout_ns[FS_TIMEOUT_COUNT];
    /** Cap, 1 to FS_MAX_FLOWS; default 1,000,000. At the cap the flow that would expire first is evicted, so that
     * half-open and closed flows go before established ones. */
    uint32_t max_flows;
    /** Of the hash; pass a random number, so that nobody can choose keys that collide; default 0: derived from the
     * address of the tracker. */
    uint64_t seed;
    /** Interval of FS_EVENT_TICK; default 0: none. */
    uint64_t tick_ns;
    /** Expire by the time of each packet; default true. If false, only fs_tracker_sweep() and the look-up of a key end
     * idle flows. */
    bool auto_sweep;
    /** TCP: the sender of the SYN is the initiator; default true. If false, the sender of the first packet. */
    bool roles_by_syn;
    /** Flows of one key are told apart by their IPv6 flow labels, one of each direction; default false. */
    bool use_flow_label;
    /** Fill fs_counters.duplicates, for 32 bytes a flow (shared with ticks, flow labels and idle_timeout); default
     * false. */
    bool count_duplicates;
    /** Set of 1u << enum fs_event_kind to report; default all but packet and tick. */
    unsigned events;
    /** Called for each event in `events`; may be NULL. */
    void (*on_event)(struct fs_tracker *tracker, const struct fs_event *event, void *user);
    /** Called with a flow's user pointer, if it is not NULL, after its ended event and in fs_tracker_free(); may be
     * NULL. */
    void (*destroy_flow_user)(void *flow_user, void *user);
    /** Asked once a flow, at its creation: its idle timeout in ns, in every state, or 0 for the classes above; may be
     * NULL. Resolution 1 ms. */
    uint64_t (*idle_timeout)(const struct fs_packet *packet, void *user);
    /** Handed to the callbacks. */
    void *user;
};

enum { FS_MAX_FLOWS = 0x7fffffff };

/** Result of one packet; plain data. */
struct fs_verdict {
    uint64_t flow_id;        /**< FS_NO_FLOW if the packet belongs to no flow (quoted in an ICMP error and unknown) */
    uint64_t packet;         /**< its number in the flow, both sides, from 1; 0 for quoted packets */
    uint64_t bytes;          /**< wire bytes of the flow up to and with this packet */
    uint64_t rtt_ns;         /**< measured by this packet, an acknowledgement; FS_NO_TIME if none */
    uint32_t flow;           /**< number; FS_NO_NUMBER if none. Of an ended flow if `ended` */
    uint32_t previous_frame; /**< frame of the flow's packet before this one; 0 if none */
    uint16_t anomalies;      /**< set of enum fs_anomaly */
    uint8_t side;            /**< enum fs_side */
    uint8_t orientation;     /**< enum fs_orientation */
    uint8_t state;           /**< enum fs_state after the packet */
    bool created;            /**< first packet of its flow */
    bool ended;              /**< the flow ended with this packet (only if the closed timeout is 0) */
    bool quoted;             /**< names the flow, changes nothing */
    bool retransmission;     /**< TCP: data that brings no new sequence number */
    bool duplicate;          /**< had FS_PACKET_DUPLICATE: counted, with no say in anything else */
};

#define FS_NO_NUMBER UINT32_MAX

/** Totals since creation; they never shrink and may be summed over trackers. */
struct fs_tracker_stats {
    uint64_t packets;        /**< counted into a flow */
    uint64_t duplicates;     /**< of these, with FS_PACKET_DUPLICATE */
    uint64_t quoted;         /**< named a flow only */
    uint64_t quoted_unknown; /**< quoted, and no such flow */
    uint64_t unallocated;    /**< no memory for a new flow: packet not counted */
    uint64_t created;
    uint64_t ended[FS_END_COUNT];         /**< by reason; [FS_END_LIVE] is 0 */
    uint64_t anomalies[FS_ANOMALY_COUNT]; /**< by bit number */
    uint64_t live;                        /**< now; summing adds up */
};

/** Fill `config` with the defaults named above. */
void fs_tracker_config_defaults(struct fs_tracker_config *config);

/** Set the timeouts of `config` to the defaults of the system `name`: "flowscope", "zeek" or "suricata". Returns 0, or
 * FS_ERR_INVALID for another name, with nothing changed. docs/records.md says where they differ from what these systems
 * do. */
int fs_timeouts_like(struct fs_tracker_config *config, const char *name);

/** Create a tracker. `config` and `allocator` may be NULL for defaults. Returns NULL without memory or if a
 * value is out of range. */
struct fs_tracker *fs_tracker_new(const struct fs_tracker_config *config, const struct fs_allocator *allocator);

/** Free a tracker without events: call fs_tracker_finish() first to have its flows ended. NULL is ignored. */
void fs_tracker_free(struct fs_tracker *tracker);

/** Count one packet. A duplicate (FS_PACKET_DUPLICATE) counts in packets, bytes and times, and may create or keep alive
 * a flow; it has no part in TCP's state, retransmissions, round-trip times and history, replaces no flow, and has no
 * anomaly of its own. `parent` is the number of its carrier's flow, FS_NO_NUMBER if none; used when the flow is
 * created. The verdict is always filled. Returns 0, or FS_ERR_NOMEM if a new flow could not be stored. */
int fs_tracker_track(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t parent,
                     struct fs_verdict *verdict);

/** As fs_tracker_track() for each of `count` packets in turn, without parents, with the memory of later ones fetched
 * ahead: the same results, faster past about 10,000 flows. Returns 0, or FS_ERR_NOMEM if at least one packet had no
 * room for its new flow. */
int fs_tracker_track_batch(struct fs_tracker *tracker, const struct fs_packet *packets, size_t count,
                           struct fs_verdict *verdicts);

/** Expire what is idle at `now_ns`. Returns the number of ended flows. Costs O(expired), and once a timeout per live
 * flow. */
size_t fs_tracker_sweep(struct fs_tracker *tracker, uint64_t now_ns);

/** End all flows with FS_END_INPUT (closed and reset ones with their own reason), in order of creation. The tracker may
 * be used on. */
void fs_tracker_finish(struct fs_tracker *tracker);

/** End one flow now, with its own reason if it is closed or reset, else FS_END_FORCED. Returns 0 or
 * FS_ERR_NOT_FOUND. */
int fs_tracker_close(struct fs_tracker *tracker, uint32_t flow);

/** Name the flow of a packet without counting the packet, whatever it is: the verdict is that of a quoted packet but
 * for `quoted`. Returns 0, or FS_ERR_NOT_FOUND if there is none, with `flow` FS_NO_NUMBER. */
int fs_tracker_name(const struct fs_tracker *tracker, const struct fs_packet *packet, struct fs_verdict *verdict);

/** The number of the live flow with this key (and, with use_flow_label, any labels); FS_NO_NUMBER if there is none. */
uint32_t fs_tracker_find(const struct fs_tracker *tracker, const struct fs_key *key);

/** Number of the first live flow after `flow` in storage order; start with FS_NO_NUMBER; FS_NO_NUMBER at the end. Flows
 * that end during an iteration may be passed over, new ones may or may not be met. */
uint32_t fs_tracker_next(const struct fs_tracker *tracker, uint32_t flow);

/** Copy all that is known of a live flow, or inside its ended event. Returns 0 or FS_ERR_NOT_FOUND. */
int fs_tracker_flow_info(const struct fs_tracker *tracker, uint32_t flow, struct fs_flow_info *info);

/** Tell the history of a TCP flow that bytes of `side` are missing from its stream, which a reassembler knows and the
 * tracker does not: adds the letter g, which Zeek's histories have at the 1st, 10th, 100th ... gap of a side. Returns 0
 * or FS_ERR_NOT_FOUND if it is no live TCP flow. */
int fs_tracker_add_gap(struct fs_tracker *tracker, uint32_t flow, enum fs_side side);

/** Id of a live flow; FS_NO_FLOW if `flow` is not live. */
uint64_t fs_tracker_flow_id(const struct fs_tracker *tracker, uint32_t flow);

/** The caller's pointer of a flow; NULL at first, and for numbers that are not live. */
void *fs_tracker_flow_user(const struct fs_tracker *tracker, uint32_t flow);
/** Set it. The old one is not destroyed. Returns 0 or FS_ERR_NOT_FOUND. */
int fs_tracker_set_flow_user(struct fs_tracker *tracker, uint32_t flow, void *flow_user);

/** Copy the totals. */
void fs_tracker_get_stats(const struct fs_tracker *tracker, struct fs_tracker_stats *stats);
/** Add `other` to `sum`, field by field. */
void fs_tracker_stats_add(struct fs_tracker_stats *sum, const struct fs_tracker_stats *other);

/** Bytes that the tracker has allocated, itself included. */
size_t fs_tracker_memory(const struct fs_tracker *tracker);

#ifdef __cplusplus
}
#endif
#endif
