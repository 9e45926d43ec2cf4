/* SPDX-License-Identifier: MIT */
/** @file model_tracker.h
 * A second flow tracker: slow and obvious, written from docs/semantics.md and the public headers alone. Linear
 * searches, plain 64-bit stream positions, one field a fact. The tracker is compared with it packet by packet.
 */
#ifndef FLOWSCOPE_TESTS_MODEL_TRACKER_H
#define FLOWSCOPE_TESTS_MODEL_TRACKER_H

#include "flowscope/tracker.h"

enum { MODEL_MAX_EVENTS = 512 };

/** What the model expects to be reported. Flows are named by id, since numbers are the tracker's own choice. */
struct model_event {
    enum fs_event_kind kind;
    uint64_t id;
    unsigned anomaly;
    uint8_t side, from, to, end;
    bool by_packet;           /**< of this packet's flow, so side is meaningful */
    bool swept;               /**< ended by a sweep: the order among its kind is free */
    struct fs_flow_info info; /**< ENDED: the flow's last snapshot */
};

struct model;

struct model *model_new(const struct fs_tracker_config *config);
void model_free(struct model *model);

/** One packet. `parent_id` is FS_NO_FLOW or the carrier's id. `ended` are the ids of the flows that the tracker ended
 * with this packet: which flow is evicted is open within a tick, so if one must be, the model follows the tracker if
 * its choice is legal (see model_error). */
void model_track(struct model *model, const struct fs_packet *packet, uint64_t parent_id, const uint64_t *ended,
                 size_t ended_count, struct fs_verdict *verdict);
size_t model_sweep(struct model *model, uint64_t now_ns);
void model_finish(struct model *model);
int model_close(struct model *model, uint64_t id);

/** Events of the last call. */
size_t model_events(const struct model *model, const struct model_event **events);
/** A sentence if the tracker's choice of the evicted flow was illegal, else NULL. */
const char *model_error(const struct model *model);

size_t model_live(const struct model *model);
/** Id of the n-th live flow in order of creation. */
uint64_t model_live_id(const struct model *model, size_t n);
void model_info(const struct model *model, uint64_t id, struct fs_flow_info *info);
void model_stats(const struct model *model, struct fs_tracker_stats *stats);

#endif
