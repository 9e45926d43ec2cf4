/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of the capture: one record for each packet of each frame, and the flows. Filled on the first pass,
 * read by every later one in any order, gone with the file. */
#ifndef FS_PLUGIN_STORE_H
#define FS_PLUGIN_STORE_H

#include "compat.h"

#include "links.h"
#include "pack.h"

#include "flowscope/pipeline.h"
#include "flowscope/record.h"

enum fs_record_bit {
    FS_RECORD_STATE = 0x000f, /* enum fs_state after the packet; of an untracked frame: enum fs_reject */
    FS_RECORD_SIDE = 0x0010,  /* from the responder */
    FS_RECORD_REVERSE = 0x0020,
    FS_RECORD_QUOTED = 0x0040,
    FS_RECORD_MORE = 0x0080, /* the frame has further packets */
    FS_RECORD_RTT = 0x0100,  /* it measured a round-trip time */
    FS_RECORD_ANOMALY = 0x0200,
    FS_RECORD_RETRANSMISSION = 0x0400,
    FS_RECORD_SEGMENT_SHIFT = 11, /* four bits: enum fs_segment_class */
    FS_RECORD_SET = 0x8000,
    FS_RECORD_COUNTED = 0x10000 /* it is in its flow's counters */
};

/* One packet of a frame. */
struct fs_record {
    uint32_t flow;     /* id, or FS_RECORD_NO_FLOW */
    uint32_t wire_len; /* of the frame */
    uint32_t bits;     /* enum fs_record_bit */
};

#define FS_RECORD_NO_FLOW UINT32_MAX

_Static_assert(sizeof(struct fs_record) == 12, "the cost of a frame");

static inline unsigned fs_record_side(const struct fs_record *record) {
    return record->bits & FS_RECORD_SIDE ? FS_RESPONDER : FS_INITIATOR;
}

static inline unsigned fs_record_segment(const struct fs_record *record) {
    return record->bits >> FS_RECORD_SEGMENT_SHIFT & 0xf;
}

_Static_assert(FS_SEGMENT_COUNT <= 16, "four bits");

/* A packet of a frame as the running dissection shows it. */
struct fs_seen {
    struct fs_record record;
    struct fs_link link;
    uint64_t rtt_ns;                                /* with FS_RECORD_RTT */
    unsigned anomalies;                             /* set of enum fs_anomaly */
    uint32_t repeats_frame;                         /* as in struct fs_segment_verdict */
    uint32_t hole_frame;                            /* likewise */
    uint64_t hole_bytes, gap_bytes, peer_gap_bytes; /* likewise */
    const struct fs_packet *packet;                 /* NULL if this dissection did not reach it */
};

/* What the search for duplicates found out about a frame. */
enum fs_treatment {
    FS_DUPLICATE_MARKED,
    FS_DUPLICATE_EXCLUDED,
    FS_DUPLICATE_KEPT,     /* weak evidence, and only strong evidence excludes */
    FS_DUPLICATE_WITHHELD, /* equal, but no duplicate: struct fs_dedup_result */
    FS_TREATMENT_COUNT
};

/* As in struct fs_dedup_result, but for the treatment. */
struct fs_duplicate {
    uint32_t frame;
    uint32_t original;
    int64_t delta_ns;
    uint32_t previous;
    int16_t hops;
    uint16_t differences;
    uint8_t mode;
    uint8_t evidence;
    uint8_t grounds;
    uint8_t pair;
    uint8_t treatment; /* enum fs_treatment */
};

_Static_assert(sizeof(struct fs_duplicate) == 32, "the cost of a duplicate");

/* Whether the packet is in its flow's counters: what ICMP errors quote is not, nor are excluded duplicates. */
static inline bool fs_record_is_counted(const struct fs_record *record) {
    return record->bits & FS_RECORD_COUNTED;
}

/* Open with the file, close before it goes. */
void fs_store_open(void);
/* Before the first frame, which says whether messages are wanted. */
void fs_store_begin(bool sessions);
bool fs_store_has_begun(void);
void fs_store_close(void);
bool fs_store_is_open(void);

/* First pass: run the frame's packets through the pipeline and remember the verdicts. `parents` and `compared` as in
 * fs_pipeline_frame(), `seen` has room for `count`; returns how many belong to a flow. A frame number that comes again
 * (read filters do that) replaces the old one. */
unsigned fs_store_frame(const struct fs_packet *packets, unsigned count, const int *parents,
                        struct fs_compared *compared, struct fs_seen *seen);
/* First pass: a frame without a packet that can be tracked. */
void fs_store_untracked(uint32_t frame, int reject, uint32_t wire_len, struct fs_compared *compared);
/* Whether frames are to be compared: else `compared` is NULL. */
bool fs_store_compares(void);
/* What was found about the frame, in any pass; NULL if nothing was. */
const struct fs_duplicate *fs_store_duplicate(uint32_t frame);
/* A row of the table of fs_dedup_stats; false for the row of all others. Its count is not set. */
bool fs_store_duplicate_pair(uint8_t row, struct fs_dedup_pair *pair);
/* The frame with which duplicates became many, or 0: FS_MANY_PERCENT of at least FS_MANY_FRAMES. */
enum { FS_MANY_PERCENT = 20, FS_MANY_FRAMES = 100 };
uint32_t fs_store_many_duplicates(void);
/* Frames that were forgotten while the window covered them: copies of them were missed. */
uint64_t fs_store_forgotten_frames(void);
/* False for frames past the preference max_frames. */
bool fs_store_remembers(uint32_t frame);

/* Later passes: what is remembered of the frame's packets, and of how many: `seen` has room for FS_FRAME_MAX. `packets`
 * are those that the running dissection reached. */
unsigned fs_store_recall(uint32_t frame, const struct fs_packet *packets, unsigned count, struct fs_seen *seen);
/* Why an untracked frame is; FS_REJECT_NONE if it was tracked or is not known. */
int fs_store_reject(uint32_t frame);
/* The n-th packet of a frame, from 0; NULL if there is none. */
const struct fs_record *fs_store_record(uint32_t frame, unsigned n);
/* The packet after the n-th, `record`; most frames have but one. */
static inline const struct fs_record *fs_store_next(uint32_t frame, unsigned n, const struct fs_record *record) {
    return n == 0 && !(record->bits & FS_RECORD_MORE) ? NULL : fs_store_record(frame, n + 1);
}

/* The latest frame that is remembered; 0: none. */
uint32_t fs_store_newest(void);
/* The innermost packet of a frame, whose flow stands for it; NULL if it has none. */
const struct fs_record *fs_store_innermost(uint32_t frame);

/* One more than the highest id so far; 0 without flows. */
uint32_t fs_store_flow_count(void);

/* The flow as it is now; false if it was forgotten. */
bool fs_store_flow(uint64_t id, struct fs_flow_facts *facts);
/* The same as the tracker has it, for records: retransmissions are counted by sequence number alone, and a connection
 * whose tombstone still waits for late packets is live. */
bool fs_store_tracked(uint64_t id, struct fs_flow_facts *facts);

/* Offset in its stream of a TCP segment's first payload byte; false if it has none, or lies before the stream. */
bool fs_store_offset(uint32_t frame, unsigned n, const struct fs_seen *seen, uint64_t *offset);

/* What Wireshark took a flow for: the first protocol above its transport, by filter name; else what our parsers took it
 * for, else "-". */
const char *fs_store_app(uint32_t id);
/* First pass: `proto` is the protocol above the transport of a packet of the flow. */
bool fs_store_wants_app(uint32_t id);
void fs_store_set_app(uint32_t id, int proto);

/* An answer, told by turns of direction alone: from the initiator's last payload to the responder's next. */
struct fs_turn {
    uint64_t time_ns;
    uint32_t flow, frame;
};
guint fs_store_turn_count(void);
const struct fs_turn *fs_store_turn(guint i);
/* Whether our parsers found messages in the flow. */
bool fs_store_has_messages(uint32_t id);

/* Whoever writes streams: called on the first pass with each event, and before the file is closed or the capture is
 * reported on, when all flows end. Only one at a time; NULL: none. */
typedef void (*fs_stream_sink)(uint32_t flow_id, enum fs_side side, const struct fs_stream_event *event);
void fs_store_set_sink(fs_stream_sink sink);
/* End all flows: nothing comes any more. */
void fs_store_finish(void);

/* Whoever writes records: called when a flow ends, with what fs_store_tracked() says. Only one; NULL: none. */
typedef void (*fs_end_sink)(const struct fs_flow_facts *facts);
void fs_store_set_end_sink(fs_end_sink sink);

/* Whoever writes what happens in flows: called on the first pass with each message of a flow's parser and with each
 * anomaly, before the flow's end. `facts` as fs_store_tracked() has them. Only one; NULL: none. */
struct fs_event_sink {
    void (*message)(const struct fs_flow_facts *facts, const struct fs_message *message);
    void (*anomaly)(const struct fs_flow_facts *facts, const struct fs_record_anomaly *anomaly);
};
void fs_store_set_event_sink(const struct fs_event_sink *sink);

/* A frame is being dissected, tracked or not. */
void fs_store_note_frame(uint32_t frame, uint64_t time_ns);
/* Time of the frame that was noted first, for relative times. */
uint64_t fs_store_start_ns(void);
/* The latest time, and the greatest number. */
uint64_t fs_store_latest_ns(void);
uint32_t fs_store_last_frame(void);

#endif
