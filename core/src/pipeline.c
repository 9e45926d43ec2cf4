/* SPDX-License-Identifier: MIT */
#include "flowscope/pipeline.h"

#include "allocation.h"

#include <string.h>

struct fs_pipeline {
    struct fs__memory memory;
    struct fs_tracker *tracker;
    struct fs_pipeline_stats stats; /* without the tracker's */
};

void fs_pipeline_config_defaults(struct fs_pipeline_config *config) {
    fs_tracker_config_defaults(&config->tracker);
}

struct fs_pipeline *fs_pipeline_new(const struct fs_pipeline_config *config, const struct fs_allocator *allocator) {
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_pipeline *pipeline = fs__alloc(&memory, sizeof *pipeline);
    if (!pipeline)
        return NULL;
    memset(pipeline, 0, sizeof *pipeline);
    pipeline->memory = memory;
    pipeline->tracker = fs_tracker_new(config ? &config->tracker : NULL, allocator);
    if (!pipeline->tracker) {
        fs_pipeline_free(pipeline);
        return NULL;
    }
    return pipeline;
}

void fs_pipeline_free(struct fs_pipeline *pipeline) {
    if (!pipeline)
        return;
    fs_tracker_free(pipeline->tracker);
    struct fs__memory memory = pipeline->memory;
    fs__release(&memory, pipeline, sizeof *pipeline);
}

static bool parents_are_valid(const struct fs_packet *packets, size_t count, const int *parents) {
    for (size_t i = 0; i < count; i++) {
        if (parents[i] < -1 || parents[i] >= (int)i)
            return false;
        if (parents[i] >= 0 && (packets[parents[i]].flags & FS_PACKET_QUOTED))
            return false;
    }
    return true;
}

/* The flow of the carrier, unless it is gone: an inner packet may have evicted it. */
static uint32_t parent_flow(const struct fs_pipeline *pipeline, const struct fs_verdict *verdicts, int parent) {
    if (parent < 0)
        return FS_NO_NUMBER;
    const struct fs_verdict *carrier = &verdicts[parent];
    bool live = carrier->flow != FS_NO_NUMBER && !carrier->quoted &&
                fs_tracker_flow_id(pipeline->tracker, carrier->flow) == carrier->flow_id;
    return live ? carrier->flow : FS_NO_NUMBER;
}

int fs_pipeline_frame(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count, const int *parents,
                      struct fs_verdict *verdicts) {
    if (count < 1 || count > FS_FRAME_MAX || (parents && !parents_are_valid(packets, count, parents)))
        return FS_ERR_INVALID;
    pipeline->stats.frames++;
    pipeline->stats.frame_bytes += packets[0].wire_len;
    int result = FS_OK;
    bool counted = false;
    for (size_t i = 0; i < count; i++) {
        int parent = parents ? parents[i] : (int)i - 1;
        uint32_t flow = parent_flow(pipeline, verdicts, parent);
        int error = fs_tracker_track(pipeline->tracker, &packets[i], flow, &verdicts[i]);
        result = error ? error : result;
        counted |= verdicts[i].packet != 0;
    }
    if (!counted)
        pipeline->stats.without_flow++;
    return result;
}

int fs_pipeline_batch(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                      struct fs_verdict *verdicts) {
    int result = fs_tracker_track_batch(pipeline->tracker, packets, count, verdicts);
    pipeline->stats.frames += count;
    for (size_t i = 0; i < count; i++) {
        pipeline->stats.frame_bytes += packets[i].wire_len;
        pipeline->stats.without_flow += verdicts[i].packet == 0;
    }
    return result;
}

void fs_pipeline_reject(struct fs_pipeline *pipeline, int reject, uint32_t wire_len) {
    if (reject < 0 || reject >= FS_REJECT_COUNT)
        reject = FS_REJECT_NONE;
    pipeline->stats.frames++;
    pipeline->stats.frame_bytes += wire_len;
    pipeline->stats.untracked[reject]++;
}

void fs_pipeline_tick(struct fs_pipeline *pipeline, uint64_t now_ns) {
    fs_tracker_sweep(pipeline->tracker, now_ns);
}

void fs_pipeline_finish(struct fs_pipeline *pipeline) {
    fs_tracker_finish(pipeline->tracker);
}

struct fs_tracker *fs_pipeline_tracker(struct fs_pipeline *pipeline) {
    return pipeline->tracker;
}

void fs_pipeline_get_stats(const struct fs_pipeline *pipeline, struct fs_pipeline_stats *stats) {
    *stats = pipeline->stats;
    fs_tracker_get_stats(pipeline->tracker, &stats->tracker);
}

void fs_pipeline_stats_add(struct fs_pipeline_stats *sum, const struct fs_pipeline_stats *other) {
    sum->frames += other->frames;
    sum->frame_bytes += other->frame_bytes;
    for (unsigned i = 0; i < FS_REJECT_COUNT; i++)
        sum->untracked[i] += other->untracked[i];
    sum->without_flow += other->without_flow;
    fs_tracker_stats_add(&sum->tracker, &other->tracker);
}
