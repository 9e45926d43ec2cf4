/* SPDX-License-Identifier: MIT */
/* docs/reassembly.md has the rules; the steps of segment() are in its order. */
#include "reassembler_internal.h"

#include <string.h>

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
    fs__emit(side, &event);
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
    fs__emit(side, &event);
}

static void send_end(struct fs_reassembler *side, enum fs_stream_end end, const struct fs__occasion *occasion) {
    side->end = (uint8_t)end;
    drop_all(side);
    struct fs_stream_event event = {.kind = FS_STREAM_ENDED,
                                    .end = (uint8_t)end,
                                    .offset = side->next,
                                    .time_ns = occasion->time_ns,
                                    .frame = occasion->frame};
    fs__emit(side, &event);
}

static void end_at_fin(struct fs_reassembler *side, const struct fs__occasion *occasion) {
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

static void give_up_to(struct fs_reassembler *side, uint64_t end, struct fs__occasion *occasion) {
    occasion->given_up += end - side->next;
    send_gap(side, end, false, occasion->time_ns, occasion->frame);
}

static void give_up_hole(struct fs_reassembler *side, struct fs__occasion *occasion) {
    give_up_to(side, side->waiting.first->start, occasion);
    deliver_waiting(side);
}

static void give_up_old_holes(struct fs_reassembler *side, struct fs__occasion *occasion) {
    while (side->waiting.first &&
           fs__piece_age(side->waiting.first, occasion->time_ns) > side->shared->config.hole_deadline_ns)
        give_up_hole(side, occasion);
    end_at_fin(side, occasion);
}

/* Lost to the capture, not to the receiver. */
static void give_up_acknowledged_holes(struct fs_reassembler *side, struct fs__occasion *occasion) {
    while (side->waiting.first && side->waiting.first->start < side->acked)
        give_up_hole(side, occasion);
    end_at_fin(side, occasion);
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
static bool skip_hole(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__payload *payload) {
    uint64_t start = (uint64_t)payload->start;
    const struct fs__piece *first = side->waiting.first;
    if (!first || first->start > start)
        give_up_to(side, start, occasion);
    else
        give_up_hole(side, occasion);
    return side->next >= start;
}

static enum room make_room(struct fs_reassembler *side, struct fs__occasion *occasion,
                           const struct fs__payload *payload, enum fs_limit_policy policy) {
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
static enum room check_limits(struct fs_reassembler *side, struct fs__occasion *occasion,
                              const struct fs__payload *payload, struct fs_segment_verdict *verdict) {
    const struct fs_reassembly_config *config = &side->shared->config;
    const uint64_t *limits[] = {&config->side_limit, &config->flow_limit, &config->total_limit};
    const enum fs_limit_policy policies[] = {config->at_side_limit, config->at_flow_limit, config->at_total_limit};
    int64_t change = fs__cost_change(side, payload);
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
                change = fs__cost_change(side, payload);
        } while (passes(cost_under(side, limits[i]), change, *limits[i]));
    }
    return ROOM;
}

/* ---- taking a payload in ---- */

/* Store what of the payload no piece claims, after fs__contest(). */
static bool store(struct fs_reassembler *side, const struct fs__occasion *occasion, const struct fs__payload *payload) {
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
        struct fs__part part = fs__part_at(payload, at);
        uint64_t to = fs__lesser(part.end, end);
        to = piece ? fs__lesser(to, piece->start) : to;
        struct fs__range range = {.start = at,
                                  .end = to,
                                  .data = part.is_captured ? fs__text_at(payload, at) : NULL,
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
static void deliver_own(struct fs_reassembler *side, const struct fs__occasion *occasion,
                        const struct fs__payload *payload, uint64_t to) {
    struct fs__part part = fs__part_at(payload, side->next);
    uint64_t end = fs__lesser(part.end, to);
    if (part.is_captured) {
        send_data(side, fs__text_at(payload, side->next), end - side->next, occasion->time_ns, occasion->frame);
        return;
    }
    side->shared->stats.uncaptured_bytes += part.is_urgent ? 0 : end - side->next;
    send_gap(side, end, true, occasion->time_ns, occasion->frame);
}

/* The payload begins at or before `next`. */
static bool take_in_order(struct fs_reassembler *side, struct fs__occasion *occasion,
                          const struct fs__payload *payload) {
    int64_t next = (int64_t)side->next;
    int64_t known = payload->end < next ? payload->end : next;
    if (payload->start < known) {
        side->shared->stats.duplicate_bytes += (uint64_t)(known - payload->start);
        fs__compare_with_history(side, occasion, payload);
    }
    if (payload->end <= next)
        return true;
    if (side->waiting.first && !fs__contest(side, occasion, payload, side->next))
        return false;
    uint64_t end = (uint64_t)payload->end;
    while (side->next < end) {
        const struct fs__piece *first = side->waiting.first;
        if (first && first->start == side->next)
            deliver_first(side);
        else
            deliver_own(side, occasion, payload, first ? fs__lesser(first->start, end) : end);
    }
    deliver_waiting(side);
    return true;
}

static bool take_payload(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__payload *payload,
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
        return fs__contest(side, occasion, payload, (uint64_t)payload->start) && store(side, occasion, payload);
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

static int no_memory(struct fs_reassembler *side, const struct fs__occasion *occasion) {
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
static int take_segment(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs_packet *packet,
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
    struct fs__occasion occasion = {.time_ns = packet->time_ns, .frame = packet->frame};
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
    struct fs__occasion occasion = {.time_ns = packet->time_ns, .frame = packet->frame};
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
    struct fs__occasion occasion = {.time_ns = now_ns};
    if (reassembler->end == FS_STREAM_OPEN)
        give_up_old_holes(reassembler, &occasion);
    return occasion.given_up;
}

void fs_reassembler_flush(struct fs_reassembler *reassembler, enum fs_stream_end end, uint64_t now_ns, uint32_t frame) {
    struct fs_reassembler *side = reassembler;
    struct fs__occasion occasion = {.time_ns = now_ns, .frame = frame};
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
