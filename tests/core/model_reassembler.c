/* SPDX-License-Identifier: MIT */
#include "model_reassembler.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SPACE = 1 << 14, MAX_SEGMENTS = 128, MAX_SIDES = 16 };

#define NEVER INT64_MAX

/* What is known of one offset. */
enum cell {
    NOTHING = 0, /* no segment claimed it */
    WAITING,     /* with text */
    LACKING,     /* waits too, but was not captured */
    URGENT,      /* waits too, but is no part of the stream */
    DELIVERED,
    GAP
};

struct supplier {
    int64_t start, end; /* extents, clipped at arrival */
    uint64_t time_ns;
    uint32_t frame;
    bool waited;
};

struct model_reassembly {
    struct fs_reassembly_config config;
    uint64_t run_overhead;
    struct fs_reassembly_stats stats;
    struct model_reassembler *sides[MAX_SIDES];
    size_t side_count;
};

struct model_reassembler {
    struct model_reassembly *shared;
    struct model_reassembler *peer;
    struct stream_log *log;
    struct fs_stream_info info;

    uint8_t cell[SPACE];
    uint8_t text[SPACE];
    uint16_t owner[SPACE];
    int64_t top; /* no cell at or beyond it was ever claimed */
    struct supplier suppliers[MAX_SEGMENTS];
    unsigned supplier_count;
    bool overflow;

    bool has_base;
    uint32_t base; /* sequence number of offset 0 */
    int64_t next, fin, highest;

    /* the other side */
    int64_t acked, sacked_left;
    bool window_known;
    uint16_t window;
    unsigned duplicate_acks;

    /* round-trip time */
    bool timed, has_rtt;
    int64_t timed_end;
    uint64_t timed_ns, rtt_ns;
    uint64_t handshake_ns; /* 0: unknown */

    /* the call at hand */
    uint64_t now_ns;
    uint32_t frame;
    uint64_t given_up;
    bool conflict, limit;
};

/* ---- logs ---- */

void stream_log_init(struct stream_log *log) {
    stream_log_clear(log);
    log->position = 0;
    log->ended = false;
    log->broken = NULL;
}

void stream_log_clear(struct stream_log *log) {
    log->count = 0;
    log->text_length = 0;
    log->overflow = false;
}

static bool continues(const struct fs_stream_event *last, const struct fs_stream_event *event) {
    return event->kind == FS_STREAM_DATA && last->kind == FS_STREAM_DATA && last->frame == event->frame &&
           last->time_ns == event->time_ns && last->offset + last->length == event->offset;
}

static void check_contract(struct stream_log *log, const struct fs_stream_event *event) {
    if (log->broken) {
        return;
    }
    if (log->ended) {
        log->broken = "an event after the end";
    } else if (event->kind == FS_STREAM_CONFLICT) {
        log->broken = event->length == 0                     ? "an empty conflict"
                      : event->digest == event->other_digest ? "a conflict of equal texts"
                                                             : NULL;
    } else if (event->offset != log->position) {
        log->broken = event->offset < log->position ? "an offset that decreases or overlaps" : "a gap without an event";
    } else if (event->kind == FS_STREAM_ENDED) {
        log->ended = true;
        log->broken = event->end == FS_STREAM_OPEN || event->end >= FS_STREAM_END_COUNT ? "an end without cause" : NULL;
    } else if (event->length == 0) {
        log->broken = "an empty event";
    } else if ((event->kind == FS_STREAM_DATA) != (event->data != NULL)) {
        log->broken = "data without bytes, or bytes without data";
    }
    log->position += event->kind == FS_STREAM_DATA || event->kind == FS_STREAM_GAP ? event->length : 0;
}

void stream_log_add(struct stream_log *log, const struct fs_stream_event *event) {
    check_contract(log, event);
    bool has_text = event->kind == FS_STREAM_DATA;
    if (log->count == STREAM_LOG_EVENTS || (has_text && event->length > STREAM_LOG_TEXT - log->text_length)) {
        log->overflow = true;
        return;
    }
    struct fs_stream_event *last = log->count > 0 ? &log->events[log->count - 1] : NULL;
    if (last && continues(last, event)) {
        last->length += event->length;
    } else {
        log->text_at[log->count] = log->text_length;
        log->events[log->count] = *event;
        log->events[log->count++].data = NULL;
    }
    if (has_text && event->length > 0) {
        memcpy(log->text + log->text_length, event->data, (size_t)event->length);
        log->text_length += (size_t)event->length;
    }
}

/* ---- small questions ---- */

static bool waits(uint8_t cell) {
    return cell == WAITING || cell == LACKING || cell == URGENT;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t place(const struct model_reassembler *side, uint32_t sequence) {
    return side->next + (int32_t)(sequence - (side->base + (uint32_t)side->next));
}

/* The first waiting offset at or after `from`, or NEVER. */
static int64_t first_waiting(const struct model_reassembler *side, int64_t from) {
    for (int64_t o = most(from, side->next); o < side->top; o++) {
        if (waits(side->cell[o])) {
            return o;
        }
    }
    return NEVER;
}

/* End of the run that begins at `from`: one segment, one kind of cell. */
static int64_t run_end(const struct model_reassembler *side, int64_t from) {
    int64_t o = from;
    while (o < side->top && side->cell[o] == side->cell[from] && side->owner[o] == side->owner[from]) {
        o++;
    }
    return o;
}

static uint64_t cost(const struct model_reassembler *side) {
    uint64_t sum = 0;
    for (int64_t o = first_waiting(side, side->next); o != NEVER; o = first_waiting(side, o)) {
        int64_t end = run_end(side, o);
        sum += side->shared->run_overhead + (side->cell[o] == WAITING ? (uint64_t)(end - o) : 0);
        o = end;
    }
    return sum;
}

static bool seen_before(const struct model_reassembler *side, int64_t a, int64_t b) {
    for (int64_t o = most(a, side->next); o < b; o++) {
        if (o >= side->top || !waits(side->cell[o])) {
            return false;
        }
    }
    return true;
}

static bool held_by_history(const struct model_reassembler *side, int64_t o) {
    return o >= 0 && o < side->next && o < side->top && side->cell[o] == DELIVERED &&
           o >= side->next - (int64_t)side->shared->config.history;
}

static const struct supplier *supplier_of(const struct model_reassembler *side, int64_t o) {
    return &side->suppliers[side->owner[o]];
}

/* ---- events ---- */

static struct fs_stream_event event_now(const struct model_reassembler *side, enum fs_stream_event_kind kind,
                                        int64_t offset, int64_t length) {
    struct fs_stream_event event;
    memset(&event, 0, sizeof(event));
    event.kind = kind;
    event.offset = (uint64_t)offset;
    event.length = (uint64_t)length;
    event.time_ns = side->now_ns;
    event.frame = side->frame;
    return event;
}

static void send_gap(struct model_reassembler *side, struct fs_stream_event event) {
    side->shared->stats.gaps++;
    side->shared->stats.gap_bytes += event.length;
    side->info.gap_bytes += event.length;
    side->info.uncaptured_bytes += event.uncaptured ? event.length : 0;
    side->info.gaps += !event.uncaptured;
    stream_log_add(side->log, &event);
}

static void end_stream(struct model_reassembler *side, enum fs_stream_end end) {
    struct fs_stream_event event = event_now(side, FS_STREAM_ENDED, side->next, 0);
    event.end = (uint8_t)end;
    side->info.end = (uint8_t)end;
    stream_log_add(side->log, &event);
}

static void end_at_fin(struct model_reassembler *side) {
    if (side->info.end == FS_STREAM_OPEN && side->next >= side->fin) {
        end_stream(side, FS_STREAM_FIN);
    }
}

/* All that is contiguous from next. */
static void deliver(struct model_reassembler *side) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    while (side->next < side->top && waits(side->cell[side->next])) {
        int64_t from = side->next;
        int64_t end = run_end(side, from);
        bool has_text = side->cell[from] == WAITING;
        const struct supplier *supplier = supplier_of(side, from);
        struct fs_stream_event event = event_now(side, FS_STREAM_DATA, from, end - from);
        event.time_ns = supplier->time_ns;
        event.frame = supplier->frame;
        if (has_text) {
            event.data = side->text + from;
            stats->delivered_bytes += event.length;
            stats->copied_bytes += supplier->waited ? event.length : 0;
            stream_log_add(side->log, &event);
        } else {
            event.kind = FS_STREAM_GAP;
            event.uncaptured = true;
            stats->uncaptured_bytes += side->cell[from] == LACKING ? event.length : 0;
            send_gap(side, event);
        }
        memset(side->cell + from, has_text ? DELIVERED : GAP, (size_t)(end - from));
        side->next = end;
    }
}

/* Give up what lies before `to`, of which nothing waits, and deliver what follows. */
static void give_up(struct model_reassembler *side, int64_t to) {
    side->given_up += (uint64_t)(to - side->next);
    send_gap(side, event_now(side, FS_STREAM_GAP, side->next, to - side->next));
    memset(side->cell + side->next, GAP, (size_t)(to - side->next));
    side->next = to;
    deliver(side);
}

static void give_up_old_holes(struct model_reassembler *side) {
    uint64_t deadline = side->shared->config.hole_deadline_ns;
    for (;;) {
        int64_t waiting = first_waiting(side, side->next);
        if (deadline == UINT64_MAX || waiting == NEVER) {
            return;
        }
        uint64_t since = supplier_of(side, waiting)->time_ns;
        if (side->now_ns <= since || side->now_ns - since <= deadline) {
            return;
        }
        give_up(side, waiting);
    }
}

static void give_up_acknowledged_holes(struct model_reassembler *side) {
    for (;;) {
        int64_t waiting = first_waiting(side, side->next);
        if (waiting == NEVER || side->acked <= waiting) {
            return;
        }
        give_up(side, waiting);
    }
}

/* ---- classes ---- */

static uint64_t round_trip(const struct model_reassembler *side) {
    const struct model_reassembler *peer = side->peer;
    bool both = side->has_rtt && peer && peer->has_rtt;
    uint64_t known = (side->has_rtt ? side->rtt_ns : 0) + (peer && peer->has_rtt ? peer->rtt_ns : 0);
    if (both) {
        return known;
    }
    if (side->handshake_ns > 0) {
        return known > side->handshake_ns ? known : side->handshake_ns;
    }
    if (!side->has_rtt && !(peer && peer->has_rtt)) {
        return 200000000u;
    }
    return known > 3000000u ? known : 3000000u;
}

static enum fs_segment_class class_of_repetition(const struct model_reassembler *side, int64_t a, int64_t b) {
    bool seen = seen_before(side, a, b);
    bool visible = false;
    uint64_t age = 0;
    if (!seen) {
        int64_t o = most(a, side->next);
        while (o < side->top && waits(side->cell[o])) {
            o++;
        }
        int64_t behind = first_waiting(side, o);
        if (behind != NEVER) {
            visible = true;
            uint64_t since = supplier_of(side, behind)->time_ns;
            age = side->now_ns > since ? side->now_ns - since : 0;
        }
    }
    uint64_t rtt = round_trip(side);
    bool asked = (side->duplicate_acks >= 2 && side->acked == a) || side->sacked_left > a;
    if (b <= side->highest && asked && ((visible && age >= rtt / 2) || seen)) {
        return FS_SEGMENT_FAST_RETRANSMISSION;
    }
    if (seen || (visible && age >= rtt)) {
        return FS_SEGMENT_RETRANSMISSION;
    }
    return visible ? FS_SEGMENT_OUT_OF_ORDER : FS_SEGMENT_GAP_FILL;
}

static enum fs_segment_class classify(const struct model_reassembler *side, int64_t a, int64_t b,
                                      const struct fs_packet *packet) {
    unsigned flags = packet->tcp.flags;
    if (packet->payload_len == 0) {
        return FS_SEGMENT_NONE;
    }
    if (side->info.end != FS_STREAM_OPEN || (flags & FS_TCP_RST) || a >= side->fin) {
        return FS_SEGMENT_AFTER_END;
    }
    if (b <= side->next && b - a <= 1 && a == side->highest - 1 && !(flags & (FS_TCP_SYN | FS_TCP_FIN))) {
        return FS_SEGMENT_KEEP_ALIVE;
    }
    if (a > side->next + (int64_t)side->shared->config.ahead_limit) {
        return FS_SEGMENT_BEYOND_WINDOW;
    }
    if (b - a == 1 && a == side->highest && a == side->acked && side->window_known && side->window == 0) {
        return FS_SEGMENT_ZERO_WINDOW_PROBE;
    }
    if (a == side->next && first_waiting(side, side->next) == NEVER) {
        return FS_SEGMENT_IN_ORDER;
    }
    if (a >= side->highest && a > side->next) {
        return FS_SEGMENT_AHEAD;
    }
    if (b <= side->acked) {
        return FS_SEGMENT_SPURIOUS_RETRANSMISSION;
    }
    if (a < side->highest && side->highest < b) {
        return FS_SEGMENT_OVERLAP;
    }
    return class_of_repetition(side, a, b);
}

static uint32_t repeats_frame(const struct model_reassembler *side, int64_t a) {
    bool waiting = a >= side->next && a < side->top && waits(side->cell[a]);
    return waiting || held_by_history(side, a) ? supplier_of(side, a)->frame : 0;
}

static uint32_t hole_frame(const struct model_reassembler *side, int64_t a, int64_t e) {
    int64_t o = most(a, side->next);
    while (o < side->top && waits(side->cell[o])) {
        o++;
    }
    int64_t behind = o < e ? first_waiting(side, o) : NEVER;
    return behind == NEVER ? 0 : supplier_of(side, behind)->frame;
}

static void count_class(struct model_reassembler *side, enum fs_segment_class class, uint32_t length) {
    side->shared->stats.segments[class]++;
    switch (class) {
    case FS_SEGMENT_RETRANSMISSION:
    case FS_SEGMENT_FAST_RETRANSMISSION:
    case FS_SEGMENT_SPURIOUS_RETRANSMISSION:
        side->info.retransmitted_bytes += length;
        side->info.retransmissions++;
        break;
    case FS_SEGMENT_OUT_OF_ORDER:
        side->info.out_of_order_bytes += length;
        side->info.out_of_order++;
        break;
    default:
        break;
    }
}

/* ---- who wins ---- */

static bool new_wins(enum fs_overlap_policy policy, const struct supplier *new, const struct supplier *old) {
    switch (policy) {
    case FS_OVERLAP_FIRST:
    case FS_OVERLAP_VISTA:
        return false;
    case FS_OVERLAP_LAST:
        return true;
    case FS_OVERLAP_BSD:
    case FS_OVERLAP_WINDOWS:
    case FS_OVERLAP_WINDOWS_2K3:
    case FS_OVERLAP_MACOS:
    case FS_OVERLAP_IRIX:
    case FS_OVERLAP_HPUX10:
        return new->start < old->start;
    case FS_OVERLAP_BSD_RIGHT:
        return new->start >= old->start;
    case FS_OVERLAP_LINUX:
        return new->start < old->start || (new->start == old->start &&new->end > old->end);
    case FS_OVERLAP_OLD_LINUX:
        return new->start < old->start || (new->start == old->start &&new->end >= old->end);
    case FS_OVERLAP_SOLARIS:
    case FS_OVERLAP_HPUX11:
        return (new->start <= old->start &&new->end >= old->end) || (new->start > old->start &&new->end > old->end);
    case FS_OVERLAP_OLD_SOLARIS:
        return new->end > old->end;
    default:
        return false;
    }
}

/* ---- one segment's bytes ---- */

struct incoming {
    const struct fs_packet *packet;
    int64_t a, e;     /* payload, cut at the FIN */
    int64_t captured; /* end of what was captured */
    int64_t urgent;   /* offset that is no part of the stream, or -1 */
    unsigned number;  /* as a supplier */
};

static enum cell incoming_cell(const struct incoming *in, int64_t o) {
    return o >= in->captured ? LACKING : o == in->urgent ? URGENT : WAITING;
}

static uint8_t incoming_text(const struct incoming *in, int64_t o) {
    return in->packet->payload[o - in->a];
}

static bool contested(const struct model_reassembler *side, const struct incoming *in, int64_t o) {
    return side->cell[o] == WAITING && incoming_cell(in, o) == WAITING;
}

/* Whether the segment takes the byte. */
static bool takes(const struct model_reassembler *side, const struct incoming *in, int64_t o) {
    if (contested(side, in, o)) {
        return new_wins(side->shared->config.overlap, &side->suppliers[in->number], supplier_of(side, o));
    }
    return !waits(side->cell[o]) || (side->cell[o] != WAITING && incoming_cell(in, o) == WAITING);
}

/* Put the bytes that it takes into the array. */
static void claim(struct model_reassembler *side, const struct incoming *in) {
    for (int64_t o = most(in->a, side->next); o < in->e; o++) {
        if (!takes(side, in, o)) {
            continue;
        }
        side->cell[o] = (uint8_t)incoming_cell(in, o);
        side->owner[o] = (uint16_t)in->number;
        if (side->cell[o] == WAITING) {
            side->text[o] = incoming_text(in, o);
        }
    }
    side->top = most(side->top, in->e);
}

static void set_extents(struct model_reassembler *side, const struct incoming *in) {
    struct supplier *supplier = &side->suppliers[in->number];
    supplier->start = most(in->a, side->next);
    supplier->end = in->e;
    supplier->time_ns = side->now_ns;
    supplier->frame = side->frame;
}

static void *copy_of(const void *bytes, size_t length) {
    void *copy = malloc(length);
    if (copy == NULL) {
        abort();
    }
    return memcpy(copy, bytes, length);
}

/* What would wait if the segment did, found by trying. */
static uint64_t cost_with(struct model_reassembler *side, const struct incoming *in) {
    size_t from = (size_t)most(in->a, side->next);
    size_t length = (size_t)in->e - from;
    int64_t top = side->top;
    uint8_t *cell = copy_of(side->cell + from, length);
    uint8_t *text = copy_of(side->text + from, length);
    uint16_t *owner = copy_of(side->owner + from, length * sizeof(*owner));
    set_extents(side, in);
    claim(side, in);
    uint64_t result = cost(side);
    memcpy(side->cell + from, cell, length);
    memcpy(side->text + from, text, length);
    memcpy(side->owner + from, owner, length * sizeof(*owner));
    side->top = top;
    free(cell);
    free(text);
    free(owner);
    return result;
}

static bool passes(struct model_reassembler *side, const struct incoming *in, int which) {
    const struct model_reassembly *shared = side->shared;
    uint64_t used = cost_with(side, in);
    if (which == 0) {
        return used > shared->config.side_limit;
    }
    if (which == 1) {
        return used + (side->peer ? cost(side->peer) : 0) > shared->config.flow_limit;
    }
    for (size_t i = 0; i < shared->side_count; i++) {
        used += shared->sides[i] != side ? cost(shared->sides[i]) : 0;
    }
    return used > shared->config.total_limit;
}

/* Forget what waits from `from` on; returns how much that was. */
static uint64_t forget_from(struct model_reassembler *side, int64_t from) {
    uint64_t bytes = 0;
    for (int64_t o = most(from, side->next); o < side->top; o++) {
        if (waits(side->cell[o])) {
            side->cell[o] = NOTHING;
            bytes++;
        }
    }
    return bytes;
}

/* Drop the run that ends last, if it ends beyond `end`. */
static bool slide(struct model_reassembler *side, int64_t end) {
    int64_t last = NEVER;
    for (int64_t o = first_waiting(side, side->next); o != NEVER; o = first_waiting(side, o)) {
        last = o;
        o = run_end(side, o);
    }
    if (last == NEVER || run_end(side, last) <= end) {
        return false;
    }
    uint64_t bytes = forget_from(side, last);
    side->shared->stats.slid_bytes += bytes;
    side->info.dropped_bytes += bytes;
    return true;
}

static void drop(struct model_reassembler *side, uint64_t *counter, uint64_t bytes) {
    *counter += bytes;
    side->info.dropped_bytes += bytes;
}

/* Whether the segment still wants to wait, or has become in order, after one step against a limit. */
static bool step_against_limit(struct model_reassembler *side, const struct incoming *in, enum fs_limit_policy policy) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    uint64_t bytes = (uint64_t)(in->e - in->a);
    switch (policy) {
    case FS_LIMIT_SKIP_HOLE:
        give_up(side, least(in->a, first_waiting(side, side->next)));
        return true;
    case FS_LIMIT_SLIDE:
        if (slide(side, in->e)) {
            return true;
        }
        drop(side, &stats->slid_bytes, bytes);
        return false;
    case FS_LIMIT_DROP_STREAM:
        drop(side, &stats->refused_bytes, bytes + forget_from(side, side->next));
        end_stream(side, FS_STREAM_LIMIT);
        return false;
    default:
        drop(side, &stats->refused_bytes, bytes);
        return false;
    }
}

/* False if the segment was dropped. */
static bool make_room(struct model_reassembler *side, const struct incoming *in) {
    const struct fs_reassembly_config *config = &side->shared->config;
    const enum fs_limit_policy policies[3] = {config->at_side_limit, config->at_flow_limit, config->at_total_limit};
    for (int which = 0; which < 3; which++) {
        bool hit = false;
        while (in->a > side->next && passes(side, in, which)) {
            if (!hit) {
                side->shared->stats.limit_hits[policies[which]]++;
                side->limit = true;
                hit = true;
            }
            if (!step_against_limit(side, in, policies[which])) {
                return false;
            }
        }
    }
    return true;
}

/* One comparison of [from, to). */
static void compare(struct model_reassembler *side, const struct incoming *in, int64_t from, int64_t to) {
    size_t length = (size_t)(to - from);
    const uint8_t *text = in->packet->payload + (from - in->a);
    side->shared->stats.overlap_bytes += length;
    side->info.overlap_bytes += length;
    if (memcmp(text, side->text + from, length) == 0) {
        return;
    }
    struct fs_stream_event event = event_now(side, FS_STREAM_CONFLICT, from, to - from);
    event.other_frame = supplier_of(side, from)->frame;
    event.digest = XXH3_64bits(text, length);
    event.other_digest = XXH3_64bits(side->text + from, length);
    side->shared->stats.conflicts++;
    side->shared->stats.conflict_bytes += length;
    side->info.conflict_bytes += length;
    side->conflict = true;
    stream_log_add(side->log, &event);
}

static void compare_with_history(struct model_reassembler *side, const struct incoming *in) {
    int64_t end = least(in->e, side->next);
    for (int64_t o = in->a; o < end;) {
        int64_t from = o;
        while (o < end && held_by_history(side, o) && incoming_cell(in, o) == WAITING) {
            o++;
        }
        if (o > from) {
            compare(side, in, from, o);
        } else {
            o++;
        }
    }
}

static void compare_with_waiting(struct model_reassembler *side, const struct incoming *in) {
    for (int64_t o = most(in->a, side->next); o < in->e;) {
        int64_t from = o;
        while (o < in->e && contested(side, in, o) && side->owner[o] == side->owner[from]) {
            o++;
        }
        if (o > from) {
            side->shared->stats.overruled_bytes += (uint64_t)(o - from);
            compare(side, in, from, o);
        } else {
            o++;
        }
    }
}

static void take(struct model_reassembler *side, const struct fs_packet *packet, int64_t a, int64_t b) {
    int64_t e = least(b, side->fin);
    drop(side, &side->shared->stats.after_end_bytes, (uint64_t)(b - e));
    if (e <= a) {
        return;
    }
    struct incoming in = {packet, a, e, a + packet->payload_captured, -1, side->supplier_count};
    if (e > SPACE || side->supplier_count == MAX_SEGMENTS) {
        side->overflow = true;
        return;
    }
    side->supplier_count++;
    if (side->shared->config.urgent == FS_URGENT_DROP_LAST && (packet->tcp.flags & FS_TCP_URG)) {
        in.urgent = place(side, packet->tcp.seq + packet->tcp.urgent - 1);
    }
    if (!make_room(side, &in)) {
        return;
    }
    side->shared->stats.duplicate_bytes += (uint64_t)most(0, least(e, side->next) - a);
    set_extents(side, &in);
    compare_with_history(side, &in);
    compare_with_waiting(side, &in);
    side->suppliers[in.number].waited = a > side->next;
    claim(side, &in);
    if (a <= side->next) {
        deliver(side);
    }
}

/* ---- the calls ---- */

static void begin_call(struct model_reassembler *side, uint64_t now_ns, uint32_t frame) {
    side->now_ns = now_ns;
    side->frame = frame;
    side->given_up = 0;
    side->conflict = false;
    side->limit = false;
}

static void note_fin(struct model_reassembler *side, int64_t at) {
    if (at < side->next || at > side->next + (int64_t)side->shared->config.ahead_limit || at >= side->fin) {
        return;
    }
    side->fin = at;
    drop(side, &side->shared->stats.after_end_bytes, forget_from(side, at));
}

static void time_segment(struct model_reassembler *side, int64_t a, int64_t e, const struct fs_packet *packet) {
    if (packet->payload_len == 0) {
        return;
    }
    if (side->timed && a < side->timed_end) {
        side->timed = false;
    }
    if (!side->timed && !(packet->tcp.flags & FS_TCP_SYN) && e > side->highest && e > side->acked) {
        side->timed = true;
        side->timed_end = e;
        side->timed_ns = packet->time_ns;
    }
}

static void find_start(struct model_reassembler *side, const struct fs_packet *packet) {
    bool syn = (packet->tcp.flags & FS_TCP_SYN) != 0;
    if (!side->has_base) {
        side->has_base = true;
        side->base = packet->tcp.seq + (syn ? 1u : 0u);
        side->info.from_middle = !syn;
    } else if (syn && place(side, packet->tcp.seq + 1) == 0) {
        side->info.from_middle = false;
    }
}

static void run_segment(struct model_reassembler *side, const struct fs_packet *packet, int64_t a, int64_t b,
                        enum fs_segment_class class) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    if (class == FS_SEGMENT_AFTER_END) {
        drop(side, &stats->after_end_bytes, packet->payload_len);
        return;
    }
    if (class == FS_SEGMENT_BEYOND_WINDOW) {
        drop(side, &stats->beyond_bytes, packet->payload_len);
        return;
    }
    if (side->info.end != FS_STREAM_OPEN || (packet->tcp.flags & FS_TCP_RST)) {
        return;
    }
    if (packet->tcp.flags & FS_TCP_FIN) {
        note_fin(side, b);
    }
    time_segment(side, a, least(b, side->fin), packet);
    if (packet->payload_len > 0) {
        side->highest = most(side->highest, least(b, side->fin));
        take(side, packet, a, b);
    }
    if (side->info.end == FS_STREAM_OPEN) {
        give_up_acknowledged_holes(side);
        end_at_fin(side);
    }
}

void model_reassembler_segment(struct model_reassembler *side, const struct fs_packet *packet,
                               struct fs_segment_verdict *verdict) {
    begin_call(side, packet->time_ns, packet->frame);
    find_start(side, packet);
    if (side->info.end == FS_STREAM_OPEN) {
        give_up_old_holes(side);
        end_at_fin(side);
    }
    int64_t a = place(side, packet->tcp.seq + (packet->tcp.flags & FS_TCP_SYN ? 1u : 0u));
    int64_t b = a + packet->payload_len;
    enum fs_segment_class class = classify(side, a, b, packet);
    memset(verdict, 0, sizeof(*verdict));
    verdict->offset = a < 0 ? UINT64_MAX : (uint64_t)a;
    verdict->segment = (uint8_t) class;
    if (class != FS_SEGMENT_NONE && class != FS_SEGMENT_AFTER_END && class != FS_SEGMENT_BEYOND_WINDOW) {
        verdict->repeats_frame = repeats_frame(side, a);
        verdict->hole_frame = hole_frame(side, a, least(b, side->fin));
    }
    int64_t new_hole = a - most(side->highest, side->next);
    count_class(side, class, packet->payload_len);
    run_segment(side, packet, a, b, class);
    verdict->hole_bytes = class == FS_SEGMENT_AHEAD && side->next < a ? (uint64_t)new_hole : 0;
    verdict->gap_bytes = side->given_up;
    verdict->conflict = side->conflict;
    verdict->limit = side->limit;
}

static void note_acknowledgement(struct model_reassembler *side, const struct fs_packet *packet) {
    int64_t at = place(side, packet->tcp.ack);
    if (at > side->next + (int64_t)side->shared->config.ahead_limit) {
        return;
    }
    for (unsigned i = 0; i < packet->tcp.sack_count; i++) {
        side->sacked_left = most(side->sacked_left, place(side, packet->tcp.sack[i].left));
    }
    bool bare = packet->payload_len == 0 && !(packet->tcp.flags & (FS_TCP_SYN | FS_TCP_FIN));
    if (at > side->acked) {
        side->acked = at;
        side->duplicate_acks = 0;
    } else if (at == side->acked && bare && at < side->highest && side->window_known &&
               side->window == packet->tcp.window) {
        side->duplicate_acks++;
    }
    if (!side->timed || at < side->timed_end) {
        return;
    }
    side->timed = false;
    if (packet->time_ns < side->timed_ns) {
        return;
    }
    uint64_t sample = packet->time_ns - side->timed_ns;
    side->rtt_ns = side->has_rtt ? (7 * side->rtt_ns + sample) / 8 : sample;
    side->has_rtt = true;
}

void model_reassembler_set_handshake(struct model_reassembler *side, uint64_t handshake_ns) {
    side->handshake_ns = handshake_ns;
}

uint64_t model_reassembler_acknowledge(struct model_reassembler *side, const struct fs_packet *packet) {
    begin_call(side, packet->time_ns, packet->frame);
    if (!(packet->tcp.flags & FS_TCP_ACK) || (packet->tcp.flags & FS_TCP_RST) || side->info.end != FS_STREAM_OPEN) {
        return 0;
    }
    if (side->has_base) {
        give_up_acknowledged_holes(side);
        end_at_fin(side);
        note_acknowledgement(side, packet);
    }
    side->window_known = true;
    side->window = packet->tcp.window;
    return side->given_up;
}

uint64_t model_reassembler_advance(struct model_reassembler *side, uint64_t now_ns) {
    begin_call(side, now_ns, 0);
    if (side->info.end != FS_STREAM_OPEN || !side->has_base) {
        return 0;
    }
    give_up_old_holes(side);
    end_at_fin(side);
    return side->given_up;
}

void model_reassembler_flush(struct model_reassembler *side, enum fs_stream_end end, uint64_t now_ns, uint32_t frame) {
    if (side->info.end != FS_STREAM_OPEN) {
        return;
    }
    begin_call(side, now_ns, frame);
    for (int64_t waiting = first_waiting(side, side->next); waiting != NEVER;
         waiting = first_waiting(side, side->next)) {
        give_up(side, waiting);
    }
    if (side->fin != NEVER && side->fin > side->next) {
        send_gap(side, event_now(side, FS_STREAM_GAP, side->next, side->fin - side->next));
        side->next = side->fin;
    }
    end_stream(side, end);
}

void model_reassembler_info(const struct model_reassembler *side, struct fs_stream_info *info) {
    *info = side->info;
    info->next_offset = (uint64_t)side->next;
    info->waiting_bytes = cost(side);
}

uint64_t model_reassembler_next(const struct model_reassembler *side) {
    return (uint64_t)side->next;
}

bool model_reassembler_overflow(const struct model_reassembler *side) {
    return side->overflow;
}

/* ---- making and freeing ---- */

struct model_reassembly *model_reassembly_new(const struct fs_reassembly_config *config, uint64_t run_overhead) {
    struct model_reassembly *shared = calloc(1, sizeof(*shared));
    if (shared == NULL) {
        abort();
    }
    shared->config = *config;
    shared->run_overhead = run_overhead;
    return shared;
}

void model_reassembly_free(struct model_reassembly *shared) {
    free(shared);
}

void model_reassembly_stats(const struct model_reassembly *shared, struct fs_reassembly_stats *stats) {
    *stats = shared->stats;
    for (size_t i = 0; i < shared->side_count; i++) {
        stats->waiting_bytes += cost(shared->sides[i]);
    }
}

struct model_reassembler *model_reassembler_new(struct model_reassembly *shared, struct model_reassembler *peer,
                                                struct stream_log *log) {
    struct model_reassembler *side = calloc(1, sizeof(*side));
    if (side == NULL || shared->side_count == MAX_SIDES) {
        abort();
    }
    side->shared = shared;
    side->peer = peer;
    side->log = log;
    side->fin = NEVER;
    if (peer) {
        peer->peer = side;
    }
    shared->sides[shared->side_count++] = side;
    return side;
}

void model_reassembler_free(struct model_reassembler *side) {
    if (side == NULL) {
        return;
    }
    struct model_reassembly *shared = side->shared;
    for (size_t i = 0; i < shared->side_count; i++) {
        if (shared->sides[i] == side) {
            shared->sides[i] = shared->sides[--shared->side_count];
            break;
        }
    }
    if (side->peer) {
        side->peer->peer = NULL;
    }
    free(side);
}
