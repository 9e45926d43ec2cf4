/* SPDX-License-Identifier: MIT */
/** @file pipeline.h
 * The one composition of the stages: descriptors in, verdicts and events out. The Wireshark plugin, the replay tool and
 * users of the library all call it, so that what is measured is what ships.
 *
 * A frame is a chain of descriptors, outermost first (extract.h). Each is tracked; the carrier's flow becomes the
 * parent of the flow that it carries. A quoted packet (FS_PACKET_QUOTED) names its flow and changes nothing.
 *
 * The segments of a TCP flow are reassembled, each side by itself, from its first payload or FIN on. An RST that the
 * tracker takes ends both streams, and so does the end of the flow, before its ended event. What reassembly finds
 * unusual is in the verdict's anomalies and reported as FS_EVENT_ANOMALY, behind the packet's other events.
 *
 * With sessions, a flow with payload may get a parser (session.h): TCP for the bytes that reassembly delivers, UDP for
 * its datagrams; of a fragmented datagram it sees the first fragment. A packet's messages come before its packet event,
 * and all of a flow's before its ended event. Only packets of the flow let its parser's time pass.
 *
 * A capture of a mirror port holds packets twice. If `duplicates` asks for it, each frame is compared with those before
 * it first, and copies are either marked, that is counted in flows without being taken for retransmissions, or left out
 * of them (docs/duplicates.md). A frame that is a copy is one with all its descriptors, carriers included.
 *
 * Events of the tracker reach the caller's callback as without a pipeline. Inside callbacks the pipeline may be read,
 * not run.
 */
#ifndef FLOWSCOPE_PIPELINE_H
#define FLOWSCOPE_PIPELINE_H

#include "flowscope/dedup.h"
#include "flowscope/extract.h"
#include "flowscope/reassembler.h"
#include "flowscope/session.h"
#include "flowscope/tracker.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fs_pipeline;

enum { FS_FRAME_MAX = 64 /**< descriptors of one frame at most */ };

/** A frame as it was captured, and what the comparison with those before it said. */
struct fs_compared {
    struct fs_dedup_frame frame; /**< in: fs_dedup_frame_set() fills it */
    struct fs_dedup_result
        result;     /**< out: also of frames that are kept; as without a match with FS_DUPLICATES_IGNORE */
    bool duplicate; /**< out: run as a duplicate, marked or left out */
};

/** What becomes of copies of frames. */
enum fs_duplicates {
    FS_DUPLICATES_IGNORE = 0, /**< nothing is looked for; default */
    /** Every duplicate gets FS_PACKET_DUPLICATE: see fs_tracker_track(). Streams do not see it. Flows count them apart
     * (fs_tracker_config.count_duplicates is set). */
    FS_DUPLICATES_MARK,
    /** Duplicates on strong evidence do not reach the tracker: flows are as if they had not been captured. The others
     * are packets like any other, unless `exclude_weak`. */
    FS_DUPLICATES_EXCLUDE,
    FS_DUPLICATES_COUNT
};

struct fs_pipeline_config {
    struct fs_tracker_config tracker;
    bool reassemble;                        /**< default true */
    struct fs_reassembly_config reassembly; /**< `on_event` and `user` are the pipeline's own: ignored */
    enum fs_duplicates duplicates;
    struct fs_dedup_config dedup; /**< unused with FS_DUPLICATES_IGNORE */
    /** FS_DUPLICATES_EXCLUDE leaves out those on weak evidence too, and frames that the detector withheld: all that is
     * equal under the mode and near in time. Default false. */
    bool exclude_weak;
    /** Called for each event of a stream, in order; `flow` is the number in the tracker. May be NULL. */
    void (*on_stream)(struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                      const struct fs_stream_event *event, void *user);
    void *stream_user;                /**< handed to on_stream */
    bool sessions;                    /**< default true; without `reassemble` of datagrams only */
    struct fs_session_config session; /**< `on_message` and `user` are the pipeline's own: ignored. The `user` of a flow
                                          that `hint` gets is its number */
    /** Called for each message of a flow's parser. May be NULL. */
    void (*on_message)(struct fs_pipeline *pipeline, uint32_t flow, const struct fs_message *message, void *user);
    void *message_user; /**< handed to on_message */
};

/** Totals; they may be summed over pipelines. */
struct fs_pipeline_stats {
    uint64_t frames;                     /**< handed in, rejected ones included */
    uint64_t frame_bytes;                /**< on the wire */
    uint64_t untracked[FS_REJECT_COUNT]; /**< frames without a descriptor, by reason */
    uint64_t without_flow;               /**< frames with descriptors none of which could be counted */
    uint64_t duplicates;                 /**< frames that were run as duplicates, marked or left out */
    uint64_t excluded;                   /**< of these, left out: neither in a flow nor in `without_flow` */
    struct fs_tracker_stats tracker;     /**< its anomalies include those of reassembly */
    struct fs_reassembly_stats reassembly;
    struct fs_dedup_stats dedup;
    uint64_t unreassembled; /**< sides without a stream for want of memory: segments that found none */
    struct fs_session_stats session;
};

/** Fill `config` with the stages' defaults. */
void fs_pipeline_config_defaults(struct fs_pipeline_config *config);

/** Create a pipeline. NULL for defaults. Returns NULL without memory or if a value is out of range. */
struct fs_pipeline *fs_pipeline_new(const struct fs_pipeline_config *config, const struct fs_allocator *allocator);

/** Free it, without events. NULL is ignored. */
void fs_pipeline_free(struct fs_pipeline *pipeline);

/** Run one frame: `count` descriptors, 1 to FS_FRAME_MAX, outermost first, each with its verdict in `verdicts[count]`,
 * and what it was to its stream in `segments[count]`, which may be NULL (class FS_SEGMENT_NONE where there is no
 * stream). A descriptor's parent is the one before it, unless `parents` is given: then parents[i] is the index of its
 * carrier, less than i, or -1. A quoted packet is nobody's carrier.
 *
 * Unless `duplicates` is FS_DUPLICATES_IGNORE, the frame is compared first: by `compared`, or, if that is NULL, by the
 * IP packet of its innermost descriptor that is not quoted (fs_dedup_frame_set_packet(); without its bytes, not at
 * all). It is also a duplicate if its first descriptor has FS_PACKET_DUPLICATE, set by a caller that has a detector of
 * its own. Left out, its verdicts are those of fs_tracker_name() with `duplicate` set: flow, side and state, nothing
 * counted. Marked, events and callbacks see a copy of its descriptors with the flag.
 *
 * Returns 0, FS_ERR_NOMEM (counted, the rest of the frame was run), or FS_ERR_INVALID for a bad count or parent, with
 * nothing changed. */
int fs_pipeline_frame(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count, const int *parents,
                      struct fs_compared *compared, struct fs_verdict *verdicts, struct fs_segment_verdict *segments);

/** Run `count` frames of one descriptor each, with memory fetched ahead; see fs_tracker_track_batch(). `compared` has
 * an entry for each, or is NULL. The results are those of fs_pipeline_frame(). */
int fs_pipeline_batch(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                      struct fs_compared *compared, struct fs_verdict *verdicts, struct fs_segment_verdict *segments);

/** Count a frame that gave no descriptor, and compare it, unless `compared` is NULL: later ones may be copies of it.
 * `reject` is an enum fs_reject; others count as FS_REJECT_NONE. */
void fs_pipeline_reject(struct fs_pipeline *pipeline, int reject, uint32_t wire_len, struct fs_compared *compared);

/** Expire what is idle at `now_ns`; for callers whose clock goes on without packets. */
void fs_pipeline_tick(struct fs_pipeline *pipeline, uint64_t now_ns);

/** End of input: every flow ends. The pipeline may be used on. */
void fs_pipeline_finish(struct fs_pipeline *pipeline);

/** The stage, for look-ups, iteration, snapshots and user pointers. Owned by the pipeline. */
struct fs_tracker *fs_pipeline_tracker(struct fs_pipeline *pipeline);

/** Copy what is known of the stream of a side of a live flow, or inside its ended event. Returns 0 or FS_ERR_NOT_FOUND
 * if there is none; `info` is zero then. */
int fs_pipeline_stream_info(const struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                            struct fs_stream_info *info);

/** Protocol of a live flow's parser, also when that is done or poisoned: enum fs_session_protocol or a caller's number.
 * FS_SESSION_NONE if it has none, yet or at all. */
uint8_t fs_pipeline_session_protocol(const struct fs_pipeline *pipeline, uint32_t flow);

/** Bytes that the pipeline has allocated, itself and its stages included. */
size_t fs_pipeline_memory(const struct fs_pipeline *pipeline);

/** Copy the totals. */
void fs_pipeline_get_stats(const struct fs_pipeline *pipeline, struct fs_pipeline_stats *stats);
/** Add `other` to `sum`, field by field. */
void fs_pipeline_stats_add(struct fs_pipeline_stats *sum, const struct fs_pipeline_stats *other);

#ifdef __cplusplus
}
#endif
#endif
