/* SPDX-License-Identifier: MIT */
/* docs/reassembly.md has the rules; the steps of segment() are in its order. */
#include "flowscope/reassembler.h"

#include "reassembler_internal.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { AHEAD_LIMIT_MAXIMUM = 1 << 30, HISTORY_MAXIMUM = 64 << 10 };

/* The call at hand: whose time and frame events carry. */
struct occasion {
    uint64_t time_ns;
    uint32_t frame;
    uint64_t given_up; /* bytes in holes */
    bool conflict;
};

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

/* ---- a side ---- */

struct fs_reassembler *fs_reassembler_new(struct fs_reassembly *reassembly, struct fs_reassembler *peer,
                                          void *stream_user) {
    struct fs_reassembler *side = reassembly->free;
    if (side) {
        reassembly->free = side->peer;
    } else {
        side = fs__alloc(&reassembly->store.memory, sizeof *side);
        if (!side)
            return NULL;
        fs__chunk_pool_note_peak(&reassembly->store.pool);
    }
    memset(side, 0, sizeof *side);
    side->shared = reassembly;
    side->stream_user = stream_user;
    side->fin = FS__NO_FIN;
    side->peer = peer;
    if (peer) {
        if (peer->peer)
            peer->peer->peer = NULL;
        peer->peer = side;
    }
    return side;
}

/* What the stream no longer needs. Returns the payload bytes that waited. */
static uint64_t drop_all(struct fs_reassembler *side) {
    struct fs_reassembly *shared = side->shared;
    uint64_t bytes = 0;
    while (side->waiting.last) {
        bytes += side->waiting.last->length;
        fs__segments_drop_last(&side->waiting, &shared->store);
    }
    fs__history_free(side->history, &shared->histories);
    side->history = NULL;
    return bytes;
}

void fs_reassembler_free(struct fs_reassembler *reassembler) {
    if (!reassembler)
        return;
    drop_all(reassembler);
    if (reassembler->peer)
        reassembler->peer->peer = NULL;
    reassembler->peer = reassembler->shared->free;
    reassembler->shared->free = reassembler;
}

void fs_reassembler_info(const struct fs_reassembler *reassembler, struct fs_stream_info *info) {
    *info = (struct fs_stream_info){.next_offset = reassembler->next,
                                    .waiting_bytes = reassembler->waiting.cost,
                                    .gaps = reassembler->gaps,
                                    .gap_bytes = reassembler->gap_bytes,
                                    .uncaptured_bytes = reassembler->uncaptured_bytes,
                                    .overlap_bytes = reassembler->overlap_bytes,
                                    .conflict_bytes = reassembler->conflict_bytes,
                                    .retransmissions = reassembler->retransmissions,
                                    .out_of_order = reassembler->out_of_order,
                                    .retransmitted_bytes = reassembler->retransmitted_bytes,
                                    .out_of_order_bytes = reassembler->out_of_order_bytes,
                                    .dropped_bytes = reassembler->dropped_bytes,
                                    .from_middle = (reassembler->bits & FS__STREAM_FROM_MIDDLE) != 0,
                                    .end = reassembler->end};
}

static void set(struct fs_reassembler *side, unsigned bits) {
    side->bits = (uint8_t)(side->bits | bits);
}

static void clear(struct fs_reassembler *side, unsigned bits) {
    side->bits = (uint8_t)(side->bits & ~bits);
}

static int64_t offset_of(const struct fs_reassembler *side, uint32_t seq) {
    return (int64_t)side->next + (int32_t)(seq - (side->start_seq + (uint32_t)side->next));
}

static void count_dropped(struct fs_reassembler *side, uint64_t *cause, uint64_t bytes) {
    *cause += bytes;
    side->dropped_bytes += bytes;
}

/* ---- events ---- */

static void emit(const struct fs_reassembler *side, const struct fs_stream_event *event) {
    const struct fs_reassembly_config *config = &side->shared->config;
    if (config->on_event)
        config->on_event(side->stream_user, event, config->user);
}

static void remember(struct fs_reassembler *side, uint64_t offset, const uint8_t *data, uint64_t length,
                     uint32_t frame) {
    struct fs_reassembly *shared = side->shared;
    fs__history_add(&side->history, &shared->histories, offset, data, length, frame);
    fs__chunk_pool_note_peak(&shared->store.pool);
}

static void send_data(struct fs_reassembler *side, const uint8_t *data, uint64_t length, uint64_t time_ns,
                      uint32_t frame) {
    struct fs_reassembly *shared = side->shared;
    struct fs_stream_event event = {.kind = FS_STREAM_DATA,
                                    .offset = side->next,
                                    .length = length,
                                    .data = data,
                                    .time_ns = time_ns,
                                    .frame = frame};
    side->next += length;
    shared->stats.delivered_bytes += length;
    if (shared->config.history)
        remember(side, event.offset, data, length, frame);
    emit(side, &event);
}

static void send_gap(struct fs_reassembler *side, uint64_t end, bool uncaptured, uint64_t time_ns, uint32_t frame) {
    struct fs_reassembly *shared = side->shared;
    struct fs_stream_event event = {.kind = FS_STREAM_GAP,
                                    .uncaptured = uncaptured,
                                    .offset = side->next,
                                    .length = end - side->next,
                                    .time_ns = time_ns,
                                    .frame = frame};
    side->next = end;
    side->gap_bytes += event.length;
    side->uncaptured_bytes += uncaptured ? event.length : 0;
    side->gaps += !uncaptured && side->gaps < UINT32_MAX;
    shared->stats.gaps++;
    shared->stats.gap_bytes += event.length;
    fs__history_skip(&side->history, &shared->histories, end);
    fs__chunk_pool_note_peak(&shared->store.pool);
    emit(side, &event);
}

static void send_end(struct fs_reassembler *side, enum fs_stream_end end, const struct occasion *occasion) {
    side->end = (uint8_t)end;
    drop_all(side);
    struct fs_stream_event event = {.kind = FS_STREAM_ENDED,
                                    .end = (uint8_t)end,
                                    .offset = side->next,
                                    .time_ns = occasion->time_ns,
                                    .frame = occasion->frame};
    emit(side, &event);
}

static void end_at_fin(struct fs_reassembler *side, const struct occasion *occasion) {
    if (side->end == FS_STREAM_OPEN && side->next == side->fin)
        send_end(side, FS_STREAM_FIN, occasion);
}

/* ---- delivery of what waits ---- */

static void deliver_first(struct fs_reassembler *side) {
    struct fs__segment_store *store = &side->shared->store;
    struct fs__piece *piece = fs__segments_take_first(&side->waiting, store);
    if (piece->is_captured) {
        side->shared->stats.copied_bytes += piece->length;
        send_data(side, fs__piece_data(piece), piece->length, piece->time_ns, piece->frame);
    } else {
        side->shared->stats.uncaptured_bytes += piece->is_urgent ? 0 : piece->length;
        send_gap(side, fs__piece_end(piece), true, piece->time_ns, piece->frame);
    }
    fs__segments_release(store, piece);
}

static void deliver_waiting(struct fs_reassembler *side) {
    while (side->waiting.first && side->waiting.first->start == side->next)
        deliver_first(side);
}

static void give_up_to(struct fs_reassembler *side, uint64_t end, struct occasion *occasion) {
    occasion->given_up += end - side->next;
    send_gap(side, end, false, occasion->time_ns, occasion->frame);
}

static void give_up_hole(struct fs_reassembler *side, struct occasion *occasion) {
    give_up_to(side, side->waiting.first->start, occasion);
    deliver_waiting(side);
}

static void give_up_old_holes(struct fs_reassembler *side, struct occasion *occasion) {
    while (side->waiting.first &&
           fs__piece_age(side->waiting.first, occasion->time_ns) > side->shared->config.hole_deadline_ns)
        give_up_hole(side, occasion);
    end_at_fin(side, occasion);
}

/* Lost to the capture, not to the receiver. */
static void give_up_acknowledged_holes(struct fs_reassembler *side, struct occasion *occasion) {
    while (side->waiting.first && side->waiting.first->start < side->acked)
        give_up_hole(side, occasion);
    end_at_fin(side, occasion);
}

/* ---- parts of a payload ---- */

/* An unbroken range of the payload that begins at `at`: all captured, or all not. */
struct part {
    uint64_t end;
    bool is_captured, is_urgent;
};

static struct part part_at(const struct fs__payload *payload, uint64_t at) {
    int64_t position = (int64_t)at;
    if (position == payload->urgent)
        return (struct part){at + 1, false, true};
    if (position >= payload->captured)
        return (struct part){(uint64_t)payload->end, false, false};
    bool is_cut = payload->urgent > position && payload->urgent < payload->captured;
    return (struct part){(uint64_t)(is_cut ? payload->urgent : payload->captured), true, false};
}

static const uint8_t *text_at(const struct fs__payload *payload, uint64_t at) {
    return payload->data + ((int64_t)at - payload->start);
}

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- conflicts ---- */

static void send_conflict(struct fs_reassembler *side, struct occasion *occasion, struct fs_stream_event *event,
                          const uint8_t *text) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    event->kind = FS_STREAM_CONFLICT;
    event->time_ns = occasion->time_ns;
    event->frame = occasion->frame;
    event->digest = XXH3_64bits(text, (size_t)event->length);
    stats->conflicts++;
    stats->conflict_bytes += event->length;
    side->conflict_bytes += event->length;
    occasion->conflict = true;
    emit(side, event);
}

static void count_overlap(struct fs_reassembler *side, uint64_t bytes) {
    side->overlap_bytes += bytes;
    side->shared->stats.overlap_bytes += bytes;
}

static void compare_with_held(struct fs_reassembler *side, struct occasion *occasion, const struct fs__held *held,
                              const uint8_t *text) {
    count_overlap(side, held->end - held->start);
    if (memcmp(text, held->text[0], held->length[0]) == 0 &&
        memcmp(text + held->length[0], held->text[1], held->length[1]) == 0)
        return;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, held->text[0], held->length[0]);
    XXH3_64bits_update(&state, held->text[1], held->length[1]);
    struct fs_stream_event event = {.offset = held->start,
                                    .length = held->end - held->start,
                                    .other_frame = held->frame,
                                    .other_digest = XXH3_64bits_digest(&state)};
    send_conflict(side, occasion, &event, text);
}

/* Compare what was delivered before with what comes again. */
static void compare_with_history(struct fs_reassembler *side, struct occasion *occasion,
                                 const struct fs__payload *payload) {
    if (!side->history)
        return;
    uint64_t at = payload->start > 0 ? (uint64_t)payload->start : 0;
    uint64_t end = lesser((uint64_t)(payload->end > 0 ? payload->end : 0), side->next);
    while (at < end) {
        struct part part = part_at(payload, at);
        part.end = lesser(part.end, end);
        struct fs__held held;
        while (part.is_captured && fs__history_find(side->history, at, part.end, &held)) {
            compare_with_held(side, occasion, &held, text_at(payload, held.start));
            at = held.end;
        }
        at = part.end;
    }
}

/* The waiting run that `piece` is of, and [from, to) inside it: the digest and the comparison of its text. */
static bool differs_from_run(const struct fs__piece *piece, uint64_t from, uint64_t to, const uint8_t *text) {
    for (uint64_t at = from; at < to; piece = piece->next) {
        uint64_t end = lesser(to, fs__piece_end(piece));
        if (memcmp(text + (at - from), fs__piece_data(piece) + (at - piece->start), (size_t)(end - at)) != 0)
            return true;
        at = end;
    }
    return false;
}

static uint64_t digest_of_run(const struct fs__piece *piece, uint64_t from, uint64_t to) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (uint64_t at = from; at < to; piece = piece->next) {
        uint64_t end = lesser(to, fs__piece_end(piece));
        XXH3_64bits_update(&state, fs__piece_data(piece) + (at - piece->start), (size_t)(end - at));
        at = end;
    }
    return XXH3_64bits_digest(&state);
}

static void compare_with_run(struct fs_reassembler *side, struct occasion *occasion, const struct fs__piece *piece,
                             uint64_t from, uint64_t to, const uint8_t *text) {
    count_overlap(side, to - from);
    if (!differs_from_run(piece, from, to, text))
        return;
    struct fs_stream_event event = {.offset = from,
                                    .length = to - from,
                                    .other_frame = piece->frame,
                                    .other_digest = digest_of_run(piece, from, to)};
    send_conflict(side, occasion, &event, text);
}

/* ---- disputes ---- */

static bool new_wins(const struct fs_reassembler *side, const struct fs__payload *payload, const struct part *part,
                     const struct fs__piece *piece) {
    if (!part->is_captured)
        return false;
    if (!piece->is_captured)
        return true;
    const struct fs__extent older = fs__piece_segment(piece);
    const struct fs__extent newer = {payload->start > (int64_t)side->next ? (uint64_t)payload->start : side->next,
                                     (uint64_t)payload->end};
    return fs__overlap_new_wins(side->shared->config.overlap, &newer, &older);
}

static uint64_t run_end(const struct fs__piece *piece, uint64_t limit) {
    while (fs__piece_end(piece) < limit && piece->next && piece->next->is_joined)
        piece = piece->next;
    return lesser(fs__piece_end(piece), limit);
}

/* Take [from, to) out of the pieces, of which `piece` is the first. */
static bool cut_pieces(struct fs_reassembler *side, struct fs__piece *piece, uint64_t from, uint64_t to) {
    while (from < to) {
        struct fs__piece *next = piece->next;
        uint64_t end = lesser(to, fs__piece_end(piece));
        if (!fs__segments_cut(&side->waiting, &side->shared->store, piece, from, end))
            return false;
        from = end;
        piece = next;
    }
    return true;
}

/* Decide who supplies what of [from, end) is claimed by waiting pieces: they lose what the payload wins. */
static bool contest(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload,
                    uint64_t from) {
    uint64_t end = (uint64_t)payload->end;
    struct fs__piece *piece = fs__segments_find(&side->waiting, from);
    while (piece && from < end && piece->start < end) {
        uint64_t at = piece->start > from ? piece->start : from;
        struct part part = part_at(payload, at);
        uint64_t to = run_end(piece, lesser(part.end, end));
        bool both = part.is_captured && piece->is_captured;
        if (both) {
            compare_with_run(side, occasion, piece, at, to, text_at(payload, at));
            side->shared->stats.overruled_bytes += to - at;
        }
        if (new_wins(side, payload, &part, piece) && !cut_pieces(side, piece, at, to))
            return false;
        from = to;
        piece = fs__segments_find(&side->waiting, from);
    }
    return true;
}

/* What contest() and store() will add to the cost of what waits. */
static int64_t cost_change(struct fs_reassembler *side, const struct fs__payload *payload) {
    enum { NONE, CAPTURED, UNCAPTURED, URGENT };
    int run = NONE; /* of the new segment, up to here */
    uint64_t end = (uint64_t)payload->end;
    int64_t change = 0;
    const struct fs__piece *piece = fs__segments_find(&side->waiting, (uint64_t)payload->start);
    uint64_t left = piece ? piece->start : 0;  /* what is left of the piece starts here */
    bool is_head = piece && !piece->is_joined; /* and pays for its run */
    for (uint64_t at = (uint64_t)payload->start; at < end;) {
        struct part part = part_at(payload, at);
        uint64_t to = lesser(part.end, end);
        bool is_claimed = piece && piece->start <= at;
        bool wins = true;
        if (is_claimed) {
            to = lesser(to, fs__piece_end(piece));
            wins = new_wins(side, payload, &part, piece);
        } else if (piece) {
            to = lesser(to, piece->start);
        }
        if (wins) {
            int kind = part.is_captured ? CAPTURED : part.is_urgent ? URGENT : UNCAPTURED;
            change += run == kind ? 0 : FS__RUN_OVERHEAD;
            change += part.is_captured ? (int64_t)(to - at) : 0;
            run = kind;
        } else {
            run = NONE;
        }
        if (is_claimed && wins) {
            change -= piece->is_captured ? (int64_t)(to - at) : 0;
            change -= at == left && is_head ? FS__RUN_OVERHEAD : 0;
            if (to < fs__piece_end(piece)) {
                change += FS__RUN_OVERHEAD;
                left = to;
                is_head = true;
            } else {
                piece = piece->next;
                change += piece && piece->is_joined ? FS__RUN_OVERHEAD : 0;
                left = piece ? piece->start : 0;
                is_head = true;
            }
        } else if (is_claimed && to == fs__piece_end(piece)) {
            piece = piece->next;
            left = piece ? piece->start : 0;
            is_head = piece && !piece->is_joined;
        }
        at = to;
    }
    return change;
}

/* ---- caps ---- */

enum room { ROOM, IN_ORDER_NOW, DROPPED };

static bool passes(uint64_t cost, int64_t change, uint64_t limit) {
    return change > 0 && (cost > limit || (uint64_t)change > limit - cost);
}

static void refuse(struct fs_reassembler *side, const struct fs__payload *payload) {
    count_dropped(side, &side->shared->stats.refused_bytes, (uint64_t)(payload->end - payload->start));
}

static void drop_last_run(struct fs_reassembler *side) {
    struct fs_reassembly *shared = side->shared;
    bool is_joined;
    do {
        is_joined = side->waiting.last->is_joined;
        count_dropped(side, &shared->stats.slid_bytes, side->waiting.last->length);
        fs__segments_drop_last(&side->waiting, &shared->store);
    } while (is_joined);
}

static uint64_t last_run_start(const struct fs_reassembler *side) {
    const struct fs__piece *piece = side->waiting.last;
    while (piece && piece->is_joined)
        piece = piece->previous;
    return piece ? piece->start : 0;
}

static uint64_t cost_under(const struct fs_reassembler *side, const uint64_t *limit) {
    const struct fs_reassembly *shared = side->shared;
    if (limit == &shared->config.total_limit)
        return shared->store.cost;
    uint64_t cost = side->waiting.cost;
    if (limit == &shared->config.flow_limit && side->peer)
        cost += side->peer->waiting.cost;
    return cost;
}

/* Move to what is nearest; true if that is the segment, or a run that reaches it. */
static bool skip_hole(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload) {
    uint64_t start = (uint64_t)payload->start;
    const struct fs__piece *first = side->waiting.first;
    if (!first || first->start > start)
        give_up_to(side, start, occasion);
    else
        give_up_hole(side, occasion);
    return side->next >= start;
}

static enum room make_room(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload,
                           enum fs_limit_policy policy) {
    switch (policy) {
    case FS_LIMIT_SKIP_HOLE:
        return skip_hole(side, occasion, payload) ? IN_ORDER_NOW : ROOM;
    case FS_LIMIT_SLIDE:
        if (side->waiting.last && fs__piece_end(side->waiting.last) > (uint64_t)payload->end) {
            drop_last_run(side);
            return ROOM;
        }
        count_dropped(side, &side->shared->stats.slid_bytes, (uint64_t)(payload->end - payload->start));
        return DROPPED;
    case FS_LIMIT_DROP_STREAM:
        refuse(side, payload);
        count_dropped(side, &side->shared->stats.refused_bytes, drop_all(side));
        send_end(side, FS_STREAM_LIMIT, occasion);
        return DROPPED;
    default:
        refuse(side, payload);
        return DROPPED;
    }
}

/* Before a segment waits. */
static enum room check_limits(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload,
                              struct fs_segment_verdict *verdict) {
    const struct fs_reassembly_config *config = &side->shared->config;
    const uint64_t *limits[] = {&config->side_limit, &config->flow_limit, &config->total_limit};
    const enum fs_limit_policy policies[] = {config->at_side_limit, config->at_flow_limit, config->at_total_limit};
    int64_t change = cost_change(side, payload);
    for (int i = 0; i < 3; i++) {
        if (!passes(cost_under(side, limits[i]), change, *limits[i]))
            continue;
        verdict->limit = true;
        side->shared->stats.limit_hits[policies[i]]++;
        do {
            /* Only runs that overlap the segment have a part in the change, and only sliding may drop one, once: else a
             * long segment over many runs would be looked at for each of them. */
            bool may_change = policies[i] == FS_LIMIT_SLIDE && last_run_start(side) < (uint64_t)payload->end;
            enum room room = make_room(side, occasion, payload, policies[i]);
            if (room != ROOM)
                return room;
            if (may_change)
                change = cost_change(side, payload);
        } while (passes(cost_under(side, limits[i]), change, *limits[i]));
    }
    return ROOM;
}

/* ---- taking a payload in ---- */

/* Store what of the payload no piece claims, after contest(). */
static bool store(struct fs_reassembler *side, const struct occasion *occasion, const struct fs__payload *payload) {
    struct fs__segment_store *store = &side->shared->store;
    uint64_t end = (uint64_t)payload->end;
    uint64_t start = (uint64_t)payload->start;
    struct fs__piece *piece = fs__segments_find(&side->waiting, start);
    for (uint64_t at = start; at < end;) {
        if (piece && piece->start <= at) {
            at = fs__piece_end(piece);
            piece = piece->next;
            continue;
        }
        struct part part = part_at(payload, at);
        uint64_t to = lesser(part.end, end);
        to = piece ? lesser(to, piece->start) : to;
        struct fs__range range = {.start = at,
                                  .end = to,
                                  .data = part.is_captured ? text_at(payload, at) : NULL,
                                  .is_captured = part.is_captured,
                                  .is_urgent = part.is_urgent,
                                  .segment = {start, end},
                                  .time_ns = occasion->time_ns,
                                  .frame = occasion->frame};
        if (!fs__segments_insert(&side->waiting, store, piece, &range))
            return false;
        at = to;
    }
    return true;
}

/* From `next`, which lies inside the payload and is claimed by no piece, to `to`. */
static void deliver_own(struct fs_reassembler *side, const struct occasion *occasion, const struct fs__payload *payload,
                        uint64_t to) {
    struct part part = part_at(payload, side->next);
    uint64_t end = lesser(part.end, to);
    if (part.is_captured) {
        send_data(side, text_at(payload, side->next), end - side->next, occasion->time_ns, occasion->frame);
        return;
    }
    side->shared->stats.uncaptured_bytes += part.is_urgent ? 0 : end - side->next;
    send_gap(side, end, true, occasion->time_ns, occasion->frame);
}

/* The payload begins at or before `next`. */
static bool take_in_order(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload) {
    int64_t next = (int64_t)side->next;
    int64_t known = payload->end < next ? payload->end : next;
    if (payload->start < known) {
        side->shared->stats.duplicate_bytes += (uint64_t)(known - payload->start);
        compare_with_history(side, occasion, payload);
    }
    if (payload->end <= next)
        return true;
    if (side->waiting.first && !contest(side, occasion, payload, side->next))
        return false;
    uint64_t end = (uint64_t)payload->end;
    while (side->next < end) {
        const struct fs__piece *first = side->waiting.first;
        if (first && first->start == side->next)
            deliver_first(side);
        else
            deliver_own(side, occasion, payload, first ? lesser(first->start, end) : end);
    }
    deliver_waiting(side);
    return true;
}

static bool take_payload(struct fs_reassembler *side, struct occasion *occasion, const struct fs__payload *payload,
                         struct fs_segment_verdict *verdict) {
    if (payload->start >= payload->end)
        return true;
    if (payload->start <= (int64_t)side->next)
        return take_in_order(side, occasion, payload);
    switch (check_limits(side, occasion, payload, verdict)) {
    case DROPPED:
        return true;
    case IN_ORDER_NOW:
        return take_in_order(side, occasion, payload);
    default:
        if (!side->waiting.first || payload->start >= (int64_t)fs__piece_end(side->waiting.last))
            return store(side, occasion, payload);
        return contest(side, occasion, payload, (uint64_t)payload->start) && store(side, occasion, payload);
    }
}

/* ---- classes ---- */

static void count_class(struct fs_reassembler *side, enum fs_segment_class class, uint64_t bytes) {
    side->shared->stats.segments[class]++;
    if (class == FS_SEGMENT_OUT_OF_ORDER) {
        side->out_of_order_bytes += bytes;
        side->out_of_order += side->out_of_order < UINT32_MAX;
    }
    if (class == FS_SEGMENT_RETRANSMISSION || class == FS_SEGMENT_FAST_RETRANSMISSION ||
        class == FS_SEGMENT_SPURIOUS_RETRANSMISSION) {
        side->retransmitted_bytes += bytes;
        side->retransmissions += side->retransmissions < UINT32_MAX;
    }
}

/* ---- round-trip time ---- */

static void start_timer(struct fs_reassembler *side, const struct fs_packet *packet,
                        const struct fs__payload *payload) {
    if ((side->bits & FS__STREAM_TIMED) && payload->start < (int64_t)side->timed_end)
        clear(side, FS__STREAM_TIMED);
    if ((side->bits & FS__STREAM_TIMED) || (packet->tcp.flags & FS_TCP_SYN) || payload->end <= (int64_t)side->highest ||
        payload->end <= (int64_t)side->acked)
        return;
    side->timed_end = (uint64_t)payload->end;
    side->timed_ns = packet->time_ns;
    set(side, FS__STREAM_TIMED);
}

static void stop_timer(struct fs_reassembler *side, uint64_t now_ns) {
    if (!(side->bits & FS__STREAM_TIMED) || side->acked < side->timed_end)
        return;
    clear(side, FS__STREAM_TIMED);
    if (now_ns < side->timed_ns)
        return;
    uint64_t sample = now_ns - side->timed_ns;
    /* 7 R may pass 64 bits; a quotient of each does not. */
    side->rtt_ns = side->bits & FS__STREAM_HAS_RTT
                       ? side->rtt_ns / 8 * 7 + sample / 8 + (side->rtt_ns % 8 * 7 + sample % 8) / 8
                       : sample;
    set(side, FS__STREAM_HAS_RTT);
}

/* ---- segments ---- */

static void start(struct fs_reassembler *side, const struct fs_tcp *tcp) {
    bool has_syn = (tcp->flags & FS_TCP_SYN) != 0;
    if (!(side->bits & FS__STREAM_STARTED)) {
        side->start_seq = tcp->seq + has_syn;
        set(side, has_syn ? FS__STREAM_STARTED : FS__STREAM_STARTED | FS__STREAM_FROM_MIDDLE);
    } else if (has_syn && tcp->seq + 1 == side->start_seq) {
        clear(side, FS__STREAM_FROM_MIDDLE);
    }
}

void fs_reassembler_set_handshake(struct fs_reassembler *reassembler, uint64_t handshake_ns) {
    reassembler->handshake_ns = handshake_ns;
}

void fs_reassembler_begin(struct fs_reassembler *reassembler, uint32_t seq, bool from_middle) {
    if (reassembler->bits & FS__STREAM_STARTED)
        return;
    reassembler->start_seq = seq;
    set(reassembler, from_middle ? FS__STREAM_STARTED | FS__STREAM_FROM_MIDDLE : FS__STREAM_STARTED);
}

static struct fs__payload payload_of(const struct fs_reassembler *side, const struct fs_packet *packet) {
    const struct fs_tcp *tcp = &packet->tcp;
    uint32_t seq = tcp->seq + ((tcp->flags & FS_TCP_SYN) ? 1 : 0);
    struct fs__payload payload = {.start = offset_of(side, seq), .urgent = FS__NOWHERE, .data = packet->payload};
    payload.end = payload.start + packet->payload_len;
    payload.captured = payload.start + packet->payload_captured;
    if ((tcp->flags & FS_TCP_URG) && side->shared->config.urgent == FS_URGENT_DROP_LAST) {
        int64_t urgent = payload.start + tcp->urgent - 1 - ((tcp->flags & FS_TCP_SYN) ? 1 : 0);
        if (urgent >= payload.start && urgent < payload.captured)
            payload.urgent = urgent;
    }
    return payload;
}

static void cut_at_fin(const struct fs_reassembler *side, struct fs__payload *payload) {
    if (side->fin == FS__NO_FIN || payload->end <= (int64_t)side->fin)
        return;
    payload->end = payload->start > (int64_t)side->fin ? payload->start : (int64_t)side->fin;
    if (payload->captured > payload->end)
        payload->captured = payload->end;
}

static void drop_beyond_fin(struct fs_reassembler *side) {
    struct fs_reassembly *shared = side->shared;
    while (side->waiting.last && fs__piece_end(side->waiting.last) > side->fin) {
        struct fs__piece *last = side->waiting.last;
        uint64_t from = last->start > side->fin ? last->start : side->fin;
        count_dropped(side, &shared->stats.after_end_bytes, fs__piece_end(last) - from);
        /* At an end of a piece, which needs no memory. */
        fs__segments_cut(&side->waiting, &shared->store, last, from, fs__piece_end(last));
    }
}

static void note_fin(struct fs_reassembler *side, int64_t fin) {
    if (fin < (int64_t)side->next || fin > (int64_t)(side->next + side->shared->config.ahead_limit))
        return;
    if (side->fin != FS__NO_FIN && fin >= (int64_t)side->fin)
        return;
    side->fin = (uint64_t)fin;
    drop_beyond_fin(side);
}

static int no_memory(struct fs_reassembler *side, const struct occasion *occasion) {
    count_dropped(side, &side->shared->stats.refused_bytes, drop_all(side));
    send_end(side, FS_STREAM_NOMEM, occasion);
    return FS_ERR_NOMEM;
}

static void fill_verdict(struct fs_reassembler *side, const struct fs__payload *payload, enum fs_segment_class class,
                         struct fs_segment_verdict *verdict) {
    memset(verdict, 0, sizeof *verdict);
    verdict->offset = payload->start < 0 ? UINT64_MAX : (uint64_t)payload->start;
    verdict->segment = (uint8_t) class;
    if (class == FS_SEGMENT_NONE || class == FS_SEGMENT_AFTER_END || class == FS_SEGMENT_BEYOND_WINDOW)
        return;
    verdict->repeats_frame = fs__segment_repeats_frame(side, payload);
    verdict->hole_frame = fs__segment_hole_frame(side, payload);
    if (class == FS_SEGMENT_AHEAD) {
        uint64_t known = side->highest > side->next ? side->highest : side->next;
        verdict->hole_bytes = (uint64_t)payload->start - known;
    }
}

/* The segment after it was classed. */
static int take_segment(struct fs_reassembler *side, struct occasion *occasion, const struct fs_packet *packet,
                        int64_t uncut, const struct fs__payload *payload, struct fs_segment_verdict *verdict) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    if (packet->tcp.flags & FS_TCP_RST || verdict->segment == FS_SEGMENT_AFTER_END) {
        count_dropped(side, &stats->after_end_bytes, packet->payload_len);
        return FS_OK;
    }
    if (verdict->segment == FS_SEGMENT_BEYOND_WINDOW) {
        count_dropped(side, &stats->beyond_bytes, packet->payload_len);
        return FS_OK;
    }
    count_dropped(side, &stats->after_end_bytes, (uint64_t)(uncut - payload->end));
    if (packet->payload_len) {
        start_timer(side, packet, payload);
        if (payload->end > (int64_t)side->highest)
            side->highest = (uint64_t)payload->end;
    }
    if (packet->tcp.flags & FS_TCP_FIN)
        note_fin(side, uncut);
    if (!take_payload(side, occasion, payload, verdict))
        return no_memory(side, occasion);
    if (side->end == FS_STREAM_OPEN)
        give_up_acknowledged_holes(side, occasion);
    return FS_OK;
}

/* Nothing but payload, all captured, where the stream ends, with nothing open: of class in-order by the table, and
 * nothing of the rest can apply. Nearly all segments are such. */
static bool is_plain(const struct fs_reassembler *side, const struct fs_packet *packet) {
    const struct fs_tcp *tcp = &packet->tcp;
    return !(tcp->flags & (FS_TCP_SYN | FS_TCP_FIN | FS_TCP_RST | FS_TCP_URG)) && (side->bits & FS__STREAM_STARTED) &&
           tcp->seq == side->start_seq + (uint32_t)side->next && packet->payload_len &&
           packet->payload_len == packet->payload_captured && !side->waiting.first && side->end == FS_STREAM_OPEN &&
           side->fin == FS__NO_FIN && (side->window || !(side->bits & FS__STREAM_HAS_WINDOW));
}

static void take_plain(struct fs_reassembler *side, const struct fs_packet *packet,
                       struct fs_segment_verdict *verdict) {
    const struct fs__payload payload = {.start = (int64_t)side->next, .end = (int64_t)side->next + packet->payload_len};
    *verdict = (struct fs_segment_verdict){.offset = side->next, .segment = FS_SEGMENT_IN_ORDER};
    side->shared->stats.segments[FS_SEGMENT_IN_ORDER]++;
    start_timer(side, packet, &payload);
    if (payload.end > (int64_t)side->highest)
        side->highest = (uint64_t)payload.end;
    send_data(side, packet->payload, packet->payload_len, packet->time_ns, packet->frame);
}

static int after_end(struct fs_reassembler *side, const struct fs_packet *packet, struct fs_segment_verdict *verdict) {
    int64_t start = offset_of(side, packet->tcp.seq + ((packet->tcp.flags & FS_TCP_SYN) ? 1 : 0));
    enum fs_segment_class class = packet->payload_len ? FS_SEGMENT_AFTER_END : FS_SEGMENT_NONE;
    *verdict =
        (struct fs_segment_verdict){.offset = start < 0 ? UINT64_MAX : (uint64_t)start, .segment = (uint8_t) class};
    side->shared->stats.segments[class]++;
    count_dropped(side, &side->shared->stats.after_end_bytes, packet->payload_len);
    return FS_OK;
}

int fs_reassembler_segment(struct fs_reassembler *reassembler, const struct fs_packet *packet,
                           struct fs_segment_verdict *verdict) {
    struct fs_reassembler *side = reassembler;
    if (is_plain(side, packet)) {
        take_plain(side, packet, verdict);
        return FS_OK;
    }
    start(side, &packet->tcp);
    if (side->end != FS_STREAM_OPEN)
        return after_end(side, packet, verdict);
    struct occasion occasion = {.time_ns = packet->time_ns, .frame = packet->frame};
    give_up_old_holes(side, &occasion);
    if (side->end != FS_STREAM_OPEN) {
        int result = after_end(side, packet, verdict);
        verdict->gap_bytes = occasion.given_up;
        return result;
    }
    struct fs__payload payload = payload_of(side, packet);
    int64_t uncut = payload.end;
    enum fs_segment_class class = fs__segment_class(side, packet, &payload);
    cut_at_fin(side, &payload);
    fill_verdict(side, &payload, class, verdict);
    count_class(side, class, packet->payload_len);
    int result = take_segment(side, &occasion, packet, uncut, &payload, verdict);
    if (payload.start <= (int64_t)side->next)
        verdict->hole_bytes = 0; /* given up at once */
    verdict->gap_bytes = occasion.given_up;
    verdict->conflict = occasion.conflict;
    return result;
}

/* ---- the other side ---- */

static bool is_duplicate_ack(const struct fs_reassembler *side, const struct fs_packet *packet, int64_t ack) {
    return !packet->payload_len && !(packet->tcp.flags & (FS_TCP_SYN | FS_TCP_FIN)) && ack == (int64_t)side->acked &&
           side->acked < side->highest && (side->bits & FS__STREAM_HAS_WINDOW) && side->window == packet->tcp.window;
}

static void note_acknowledgement(struct fs_reassembler *side, const struct fs_packet *packet) {
    int64_t limit = (int64_t)(side->next + side->shared->config.ahead_limit);
    int64_t ack = offset_of(side, packet->tcp.ack);
    if (ack > limit)
        return;
    if (ack > (int64_t)side->acked) {
        side->acked = (uint64_t)ack;
        side->duplicate_acks = 0;
        stop_timer(side, packet->time_ns);
    } else if (is_duplicate_ack(side, packet, ack) && side->duplicate_acks < FS__MANY_DUPLICATES) {
        side->duplicate_acks++;
    }
    for (unsigned i = 0; i < packet->tcp.sack_count && i < FS_SACK_MAX; i++) {
        int64_t left = offset_of(side, packet->tcp.sack[i].left);
        if (left > (int64_t)side->sacked)
            side->sacked = (uint64_t)left;
    }
}

uint64_t fs_reassembler_acknowledge(struct fs_reassembler *reassembler, const struct fs_packet *packet) {
    struct fs_reassembler *side = reassembler;
    struct occasion occasion = {.time_ns = packet->time_ns, .frame = packet->frame};
    if (side->end != FS_STREAM_OPEN || !(packet->tcp.flags & FS_TCP_ACK) || (packet->tcp.flags & FS_TCP_RST))
        return 0;
    if (side->bits & FS__STREAM_STARTED) {
        give_up_acknowledged_holes(side, &occasion);
        note_acknowledgement(side, packet);
    }
    side->window = packet->tcp.window;
    set(side, FS__STREAM_HAS_WINDOW);
    return occasion.given_up;
}

uint64_t fs_reassembler_advance(struct fs_reassembler *reassembler, uint64_t now_ns) {
    struct occasion occasion = {.time_ns = now_ns};
    if (reassembler->end == FS_STREAM_OPEN)
        give_up_old_holes(reassembler, &occasion);
    return occasion.given_up;
}

void fs_reassembler_flush(struct fs_reassembler *reassembler, enum fs_stream_end end, uint64_t now_ns, uint32_t frame) {
    struct fs_reassembler *side = reassembler;
    struct occasion occasion = {.time_ns = now_ns, .frame = frame};
    if (side->end != FS_STREAM_OPEN)
        return;
    while (side->waiting.first)
        give_up_hole(side, &occasion);
    if (side->fin != FS__NO_FIN && side->next < side->fin)
        send_gap(side, side->fin, false, now_ns, frame);
    send_end(side, end == FS_STREAM_OPEN ? FS_STREAM_FLUSHED : end, &occasion);
}

/* ---- what a flush would give ---- */

static void peek_gap(uint64_t from, uint64_t to, void (*use)(const struct fs_stream_event *event, void *user),
                     void *user) {
    const struct fs_stream_event gap = {.kind = FS_STREAM_GAP, .offset = from, .length = to - from};
    if (from < to)
        use(&gap, user);
}

void fs_reassembler_peek(const struct fs_reassembler *reassembler,
                         void (*use)(const struct fs_stream_event *event, void *user), void *user) {
    uint64_t next = reassembler->next;
    if (reassembler->end != FS_STREAM_OPEN)
        return;
    for (const struct fs__piece *piece = reassembler->waiting.first; piece; piece = piece->next) {
        const struct fs_stream_event event = {.kind = piece->is_captured ? FS_STREAM_DATA : FS_STREAM_GAP,
                                              .uncaptured = !piece->is_captured,
                                              .offset = piece->start,
                                              .length = piece->length,
                                              .data = piece->is_captured ? fs__piece_data(piece) : NULL,
                                              .time_ns = piece->time_ns,
                                              .frame = piece->frame};
        peek_gap(next, piece->start, use, user);
        use(&event, user);
        next = fs__piece_end(piece);
    }
    if (reassembler->fin != FS__NO_FIN)
        peek_gap(next, reassembler->fin, use, user);
}
