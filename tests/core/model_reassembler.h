/* SPDX-License-Identifier: MIT */
/** @file model_reassembler.h
 * A second reassembler: slow and obvious, written from docs/reassembly.md and the public headers alone. One array cell
 * a byte, each with the number of the segment that supplies it; plain 64-bit offsets; nothing is kept that can be
 * counted again. The reassembler is compared with it call by call.
 */
#ifndef FLOWSCOPE_TESTS_MODEL_REASSEMBLER_H
#define FLOWSCOPE_TESTS_MODEL_REASSEMBLER_H

#include "flowscope/reassembler.h"

enum { STREAM_LOG_EVENTS = 1024, STREAM_LOG_TEXT = 1 << 15 };

/** Events of one side with copies of their bytes. Data of one segment that comes in several pieces, as where chunks
 * end, is one event here. Each event is held against the contract of flowscope/reassembler.h. */
struct stream_log {
    struct fs_stream_event events[STREAM_LOG_EVENTS]; /**< `data` is not to be used */
    size_t text_at[STREAM_LOG_EVENTS];                /**< of FS_STREAM_DATA: where in `text` */
    size_t count, text_length;
    uint8_t text[STREAM_LOG_TEXT];
    bool overflow;
    /* over the stream's whole life */
    uint64_t position; /**< where the next data or gap must begin */
    bool ended;
    const char *broken; /**< what was against the contract; NULL if nothing */
};

void stream_log_init(struct stream_log *log);
/** Forget the events, not the stream. */
void stream_log_clear(struct stream_log *log);
void stream_log_add(struct stream_log *log, const struct fs_stream_event *event);

struct model_reassembly;
struct model_reassembler;

/** `run_overhead`: what a waiting run costs beyond its bytes, which docs/reassembly.md leaves open. */
struct model_reassembly *model_reassembly_new(const struct fs_reassembly_config *config, uint64_t run_overhead);
void model_reassembly_free(struct model_reassembly *shared);
/** All but the memory fields. */
void model_reassembly_stats(const struct model_reassembly *shared, struct fs_reassembly_stats *stats);

struct model_reassembler *model_reassembler_new(struct model_reassembly *shared, struct model_reassembler *peer,
                                                struct stream_log *log);
void model_reassembler_free(struct model_reassembler *side);
void model_reassembler_set_handshake(struct model_reassembler *side, uint64_t handshake_ns);
void model_reassembler_segment(struct model_reassembler *side, const struct fs_packet *packet,
                               struct fs_segment_verdict *verdict);
uint64_t model_reassembler_acknowledge(struct model_reassembler *side, const struct fs_packet *packet);
uint64_t model_reassembler_advance(struct model_reassembler *side, uint64_t now_ns);
void model_reassembler_flush(struct model_reassembler *side, enum fs_stream_end end, uint64_t now_ns, uint32_t frame);
void model_reassembler_info(const struct model_reassembler *side, struct fs_stream_info *info);
/** Everything before is delivered or given up. */
uint64_t model_reassembler_next(const struct model_reassembler *side);
/** True if the stream was longer than the model's arrays: its answers are worth nothing. */
bool model_reassembler_overflow(const struct model_reassembler *side);

#endif
