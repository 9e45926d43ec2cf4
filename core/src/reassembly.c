/* SPDX-License-Identifier: MIT */
/* Names, defaults, and the life of what reassemblers share. */
#include "reassembler_internal.h"

#include <string.h>

enum { AHEAD_LIMIT_MAXIMUM = 1 << 30, HISTORY_MAXIMUM = 64 << 10 };

/* ---- names ---- */

static const char *const segment_names[FS_SEGMENT_COUNT] = {
#define NAME(symbol, value, name) [symbol] = name,
    FS_SEGMENT_MAP(NAME)
#undef NAME
};

static const char *const limit_names[FS_LIMIT_COUNT] = {[FS_LIMIT_SKIP_HOLE] = "skip-hole",
                                                        [FS_LIMIT_SLIDE] = "slide",
                                                        [FS_LIMIT_DROP_STREAM] = "drop-stream",
                                                        [FS_LIMIT_REFUSE] = "refuse"};

static const char *const end_names[FS_STREAM_END_COUNT] = {
    [FS_STREAM_OPEN] = "open",   [FS_STREAM_FIN] = "fin",         [FS_STREAM_RST] = "rst",
    [FS_STREAM_LIMIT] = "limit", [FS_STREAM_FLUSHED] = "flushed", [FS_STREAM_NOMEM] = "nomem"};

const char *fs_segment_name(int segment_class) {
    return segment_class >= 0 && segment_class < FS_SEGMENT_COUNT ? segment_names[segment_class] : "unknown";
}

const char *fs_limit_name(int policy) {
    return policy >= 0 && policy < FS_LIMIT_COUNT ? limit_names[policy] : "unknown";
}

const char *fs_stream_end_name(int end) {
    return end >= 0 && end < FS_STREAM_END_COUNT ? end_names[end] : "unknown";
}

/* ---- the store ---- */

void fs_reassembly_config_defaults(struct fs_reassembly_config *config) {
    memset(config, 0, sizeof *config);
    config->side_limit = 256 << 10;
    config->flow_limit = 512 << 10;
    config->total_limit = 256 << 20;
    config->hole_deadline_ns = 1000000000;
    config->ahead_limit = 16 << 20;
    config->history_limit = 64 << 20;
    config->overlap = FS_OVERLAP_BSD;
}

static bool is_valid(const struct fs_reassembly_config *config) {
    return (unsigned)config->at_side_limit < FS_LIMIT_COUNT && (unsigned)config->at_flow_limit < FS_LIMIT_COUNT &&
           (unsigned)config->at_total_limit < FS_LIMIT_COUNT && (unsigned)config->overlap < FS_OVERLAP_COUNT &&
           (unsigned)config->urgent < FS_URGENT_COUNT && config->ahead_limit <= AHEAD_LIMIT_MAXIMUM &&
           config->history <= HISTORY_MAXIMUM;
}

struct fs_reassembly *fs_reassembly_new(const struct fs_reassembly_config *config,
                                        const struct fs_allocator *allocator) {
    struct fs_reassembly_config defaults;
    if (!config) {
        fs_reassembly_config_defaults(&defaults);
        config = &defaults;
    }
    if (!is_valid(config))
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_reassembly *reassembly = fs__alloc(&memory, sizeof *reassembly);
    if (!reassembly)
        return NULL;
    memset(reassembly, 0, sizeof *reassembly);
    reassembly->config = *config;
    reassembly->store.memory = memory;
    fs__chunk_pool_init(&reassembly->store.pool, &reassembly->store.memory);
    reassembly->histories = (struct fs__history_store){
        .memory = &reassembly->store.memory, .maximum = config->history, .limit = config->history_limit};
    fs__chunk_pool_note_peak(&reassembly->store.pool);
    return reassembly;
}

void fs_reassembly_free(struct fs_reassembly *reassembly) {
    if (!reassembly)
        return;
    struct fs__memory *memory = &reassembly->store.memory;
    while (reassembly->free) {
        struct fs_reassembler *side = reassembly->free;
        reassembly->free = side->peer;
        fs__release(memory, side, sizeof *side);
    }
    fs__chunk_pool_free(&reassembly->store.pool);
    struct fs__memory own = *memory;
    fs__release(&own, reassembly, sizeof *reassembly);
}

void fs_reassembly_get_stats(const struct fs_reassembly *reassembly, struct fs_reassembly_stats *stats) {
    *stats = reassembly->stats;
    stats->waiting_bytes = reassembly->store.cost;
    stats->memory_bytes = reassembly->store.memory.bytes;
    stats->peak_memory_bytes = reassembly->store.pool.peak_memory;
    stats->histories_refused = reassembly->histories.refused;
}

void fs_reassembly_stats_add(struct fs_reassembly_stats *sum, const struct fs_reassembly_stats *other) {
    for (unsigned i = 0; i < FS_SEGMENT_COUNT; i++)
        sum->segments[i] += other->segments[i];
    for (unsigned i = 0; i < FS_LIMIT_COUNT; i++)
        sum->limit_hits[i] += other->limit_hits[i];
    sum->delivered_bytes += other->delivered_bytes;
    sum->copied_bytes += other->copied_bytes;
    sum->gaps += other->gaps;
    sum->gap_bytes += other->gap_bytes;
    sum->overlap_bytes += other->overlap_bytes;
    sum->conflicts += other->conflicts;
    sum->conflict_bytes += other->conflict_bytes;
    sum->duplicate_bytes += other->duplicate_bytes;
    sum->overruled_bytes += other->overruled_bytes;
    sum->beyond_bytes += other->beyond_bytes;
    sum->after_end_bytes += other->after_end_bytes;
    sum->refused_bytes += other->refused_bytes;
    sum->slid_bytes += other->slid_bytes;
    sum->uncaptured_bytes += other->uncaptured_bytes;
    sum->histories_refused += other->histories_refused;
    sum->waiting_bytes += other->waiting_bytes;
    sum->memory_bytes += other->memory_bytes;
    sum->peak_memory_bytes += other->peak_memory_bytes;
}
