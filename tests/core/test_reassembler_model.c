/* SPDX-License-Identifier: MIT */
/* The reassembler against its slow twin: random segments, everything compared after each call. A failing case is shrunk
 * and printed.
 *
 *     FLOWSCOPE_SEED=N   first case; default 1
 *     FLOWSCOPE_CASES=N  how many; default 24000
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model_reassembler.h"
#include "packet_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_OPS = 64, MAX_TEXT = 80, SIDES = 3 /* two of one connection, and one of another */ };

enum op_kind { OP_SEGMENT, OP_ACKNOWLEDGE, OP_ADVANCE, OP_FLUSH };

struct op {
    enum op_kind kind;
    unsigned side; /* the one whose reassembler is called */
    struct fs_packet packet;
    uint8_t text[MAX_TEXT];
    enum fs_stream_end end; /* FLUSH */
};

struct sequence {
    struct fs_reassembly_config config;
    uint32_t isn[SIDES];
    struct op ops[MAX_OPS];
    size_t count;
};

/* What the cases met, so that a generator that has lost its way fails. */
struct coverage {
    struct fs_reassembly_stats sums;
    uint64_t ends[FS_STREAM_END_COUNT];
    uint64_t policies[FS_OVERLAP_COUNT]; /* cases with overruled bytes */
    uint64_t conflicts_delivered, conflicts_waiting, wraps, before_start, from_middle, too_long;
};

static struct stream_log got_logs[SIDES], model_logs[SIDES];
static char failure[1024];
static uint64_t run_overhead;

/* ---- random numbers ---- */

static uint64_t random_state;

static uint64_t random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t n) {
    return (uint32_t)(random_next() % n);
}

static bool chance(uint32_t percent) {
    return below(100) < percent;
}

/* ---- sequences ---- */

static uint64_t random_limit(void) {
    switch (below(5)) {
    case 0:
        return 1 + below(200);
    case 1:
        return run_overhead + below(60);
    case 2:
        return 2 * run_overhead + below(100);
    case 3:
        return 5 * run_overhead + below(200);
    default:
        return UINT64_MAX;
    }
}

static void random_config(struct fs_reassembly_config *config) {
    static const uint64_t deadlines[] = {SECONDS(1), MS(50), 0, UINT64_MAX, MS(300), SECONDS(10)};
    static const uint32_t ahead[] = {60, 1000, 3000};
    static const uint32_t histories[] = {0, 0, 1, 20, 100, 4096};
    fs_reassembly_config_defaults(config);
    bool tight = chance(60);
    config->side_limit = tight ? random_limit() : UINT64_MAX;
    config->flow_limit = tight ? random_limit() : UINT64_MAX;
    config->total_limit = tight ? random_limit() : UINT64_MAX;
    config->at_side_limit = (enum fs_limit_policy)below(FS_LIMIT_COUNT);
    config->at_flow_limit = (enum fs_limit_policy)below(FS_LIMIT_COUNT);
    config->at_total_limit = (enum fs_limit_policy)below(FS_LIMIT_COUNT);
    config->hole_deadline_ns = deadlines[below(6)];
    config->ahead_limit = ahead[below(3)];
    config->history = histories[below(6)];
    config->overlap = (enum fs_overlap_policy)below(FS_OVERLAP_COUNT);
    config->urgent = chance(20) ? FS_URGENT_DROP_LAST : FS_URGENT_INLINE;
}

struct talk {
    uint64_t time;
    uint32_t sent[SIDES]; /* relative to the first byte after the SYN */
    uint32_t acked[SIDES];
    bool syn_sent[SIDES];
    uint32_t last_at[SIDES], last_length[SIDES]; /* of a segment that may come again */
    uint32_t noise;                              /* percent of segments with another text */
    bool quiet;                                  /* short steps of time */
};

static uint64_t random_step(const struct talk *talk) {
    static const uint64_t steps[] = {0, 1000, MS(1), MS(20), MS(100), MS(50), MS(200), MS(800), SECONDS(2)};
    return chance(30) ? MS(below(60)) : steps[below(talk->quiet ? 6 : 9)];
}

static uint8_t true_text(uint32_t at) {
    return (uint8_t)(at * 151u + (at >> 8) * 7u + 13);
}

static void fill_text(struct op *op, uint32_t at, bool other) {
    uint32_t change = other ? 1 + below(255) : 0;
    uint32_t from = other ? below(MAX_TEXT) / 2 : 0; /* often only the tail differs */
    for (uint32_t i = 0; i < MAX_TEXT; i++) {
        op->text[i] = (uint8_t)(true_text(at + i) ^ (i >= from ? change : 0));
    }
}

static uint32_t random_place(struct talk *talk, unsigned side, uint32_t *length) {
    uint32_t sent = talk->sent[side];
    switch (below(14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        talk->sent[side] += *length;
        return sent;
    case 4:
    case 5:
        talk->sent[side] += 1 + below(40) + *length;
        return talk->sent[side] - *length;
    case 6:
        return sent + 1 + below(90);
    case 7: /* keep-alive or probe */
        *length = chance(80) ? 1 : 0;
        return sent - below(2);
    case 8:
        return chance(20) ? (uint32_t)random_next() : sent + below(2000);
    case 9:
    case 10: /* again, or from the same place, or up to the same place */
        if (chance(50)) {
            *length = talk->last_length[side];
        } else if (chance(50) && talk->last_length[side] > 1) {
            uint32_t less = below(talk->last_length[side]);
            *length = talk->last_length[side] - less;
            return talk->last_at[side] + less;
        }
        return talk->last_at[side];
    default:
        return sent - below(140) + below(50);
    }
}

static unsigned random_flags(struct talk *talk, unsigned side) {
    unsigned flags = FS_TCP_ACK;
    if (!talk->syn_sent[side]) {
        talk->syn_sent[side] = true;
        flags |= chance(65) ? FS_TCP_SYN : 0u;
    } else if (chance(1)) {
        flags |= FS_TCP_SYN;
    }
    flags |= chance(4) ? FS_TCP_FIN : 0u;
    flags |= chance(1) ? FS_TCP_RST : 0u;
    flags |= chance(6) ? FS_TCP_URG : 0u;
    return flags;
}

static void random_segment(struct talk *talk, struct op *op, uint32_t isn) {
    bool first = !talk->syn_sent[op->side];
    unsigned flags = random_flags(talk, op->side);
    uint32_t length = chance(6) ? 0 : 1 + below(chance(30) ? MAX_TEXT : 20);
    uint32_t at = 0;
    if (first && chance(80)) {
        length = chance(25) ? length : 0;
        talk->sent[op->side] += length;
    } else {
        at = random_place(talk, op->side, &length);
    }
    if (chance(60)) {
        talk->last_at[op->side] = at;
        talk->last_length[op->side] = length;
    }
    struct fs_packet *packet = &op->packet;
    packet->tcp.seq = isn + 1 + at - (flags & FS_TCP_SYN ? 1u : 0u);
    packet->tcp.flags = (uint16_t)flags;
    packet->tcp.urgent = (uint16_t)below(length + 3);
    packet->payload_len = length;
    packet->payload_captured = chance(8) ? below(length + 1) : length;
    fill_text(op, at, chance(talk->noise));
}

static void random_acknowledgement(struct talk *talk, struct op *op, uint32_t isn) {
    static const uint16_t windows[] = {0, 100, 100, 100, 5000};
    struct fs_tcp *tcp = &op->packet.tcp;
    uint32_t sent = talk->sent[op->side];
    if (chance(30)) {
        talk->acked[op->side] = sent;
    } else if (chance(40)) {
        talk->acked[op->side] = sent - below(chance(50) ? 60 : 2) + below(3) * (chance(10) ? below(60) : 0);
    }
    tcp->ack = isn + 1 + talk->acked[op->side];
    tcp->ack = chance(1) ? (uint32_t)random_next() : tcp->ack;
    tcp->flags = chance(97) ? FS_TCP_ACK : (uint16_t)below(64);
    tcp->window = windows[below(chance(60) ? 4 : 5)];
    op->packet.payload_len = chance(20) ? 30 : 0;
    tcp->sack_count = chance(15) ? (uint8_t)(1 + below(FS_SACK_MAX)) : 0;
    for (unsigned i = 0; i < tcp->sack_count; i++) {
        tcp->sack[i].left = tcp->ack + below(60);
        tcp->sack[i].right = tcp->sack[i].left + 1 + below(40);
    }
}

static void random_op(struct sequence *s, struct talk *talk, uint32_t frame) {
    struct op *op = &s->ops[s->count++];
    op->side = below(10) < 6 ? 0 : 1 + below(2);
    op->packet = tcp_between((struct end){1, 1000}, (struct end){2, 80}, 0, 0, 0, 0, 0);
    talk->time += random_step(talk);
    talk->time -= chance(3) ? MS(below(400)) : 0;
    op->packet.time_ns = talk->time;
    op->packet.frame = frame;
    op->end = FS_STREAM_FLUSHED;
    uint32_t what = below(100);
    if (what < 68) {
        op->kind = OP_SEGMENT;
        random_segment(talk, op, s->isn[op->side]);
    } else if (what < 95) {
        op->kind = OP_ACKNOWLEDGE;
        random_acknowledgement(talk, op, s->isn[op->side]);
    } else if (what < 99 || s->count < 20) {
        op->kind = OP_ADVANCE;
    } else {
        op->kind = OP_FLUSH;
        op->end = chance(50) ? FS_STREAM_RST : FS_STREAM_FLUSHED;
    }
}

static void random_sequence(struct sequence *s, uint64_t seed) {
    random_state = seed * 0x2545f4914f6cdd1du;
    memset(s, 0, sizeof(*s));
    random_config(&s->config);
    struct talk talk;
    memset(&talk, 0, sizeof(talk));
    talk.time = SECONDS(1000);
    talk.noise = chance(50) ? 30 : 5;
    talk.quiet = chance(40);
    for (unsigned side = 0; side < SIDES; side++) {
        s->isn[side] = chance(60) ? UINT32_MAX - below(250) : (uint32_t)random_next();
    }
    uint32_t ops = 5 + below(MAX_OPS - 5 - SIDES);
    for (uint32_t i = 0; i < ops; i++) {
        random_op(s, &talk, 10 + i);
    }
    for (unsigned side = 0; side < SIDES; side++) { /* what waits must come out in the end */
        struct op *op = &s->ops[s->count++];
        op->kind = OP_FLUSH;
        op->side = side;
        op->packet.time_ns = talk.time;
        op->packet.frame = 10 + ops + side;
        op->end = FS_STREAM_FLUSHED;
    }
}

/* ---- printing ---- */

static const char *flag_names(unsigned flags, char *out) {
    static const char letters[] = "FSRPAUEC";
    size_t n = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (flags & 1u << i) {
            out[n++] = letters[i];
        }
    }
    out[n] = '\0';
    return out;
}

static void print_segment(const struct op *op, uint32_t isn) {
    const struct fs_packet *packet = &op->packet;
    char flags[9];
    uint32_t data = packet->tcp.seq + (packet->tcp.flags & FS_TCP_SYN ? 1u : 0u) - isn - 1;
    printf("segment     %-4s at %-6" PRId32 " length %u", flag_names(packet->tcp.flags, flags), (int32_t)data,
           packet->payload_len);
    if (packet->payload_captured < packet->payload_len) {
        printf(" captured %u", packet->payload_captured);
    }
    if (packet->tcp.flags & FS_TCP_URG) {
        printf(" urgent %u", packet->tcp.urgent);
    }
    uint32_t differs = 0;
    while (differs < packet->payload_captured && op->text[differs] == true_text(data + differs)) {
        differs++;
    }
    if (differs < packet->payload_captured) {
        printf(" (text differs from byte %u on)", differs);
    }
    printf("\n");
}

static void print_acknowledgement(const struct op *op, uint32_t isn) {
    const struct fs_tcp *tcp = &op->packet.tcp;
    char flags[9];
    printf("acknowledge %-4s %" PRId32 " window %u", flag_names(tcp->flags, flags), (int32_t)(tcp->ack - isn - 1),
           tcp->window);
    if (op->packet.payload_len > 0) {
        printf(" with data");
    }
    for (unsigned i = 0; i < tcp->sack_count; i++) {
        printf(" sack %" PRId32 "-%" PRId32, (int32_t)(tcp->sack[i].left - isn - 1),
               (int32_t)(tcp->sack[i].right - isn - 1));
    }
    printf("\n");
}

static void print_sequence(const struct sequence *s) {
    const struct fs_reassembly_config *c = &s->config;
    printf("overlap %s, urgent %d, history %u, ahead %u, deadline %" PRIu64 " ns\n", fs_overlap_name((int)c->overlap),
           (int)c->urgent, c->history, c->ahead_limit, c->hole_deadline_ns);
    printf("limits: side %" PRIu64 " %s, flow %" PRIu64 " %s, total %" PRIu64 " %s; a run costs %" PRIu64
           " and its bytes\n",
           c->side_limit, fs_limit_name((int)c->at_side_limit), c->flow_limit, fs_limit_name((int)c->at_flow_limit),
           c->total_limit, fs_limit_name((int)c->at_total_limit), run_overhead);
    printf("ISNs: %u %u, and %u of another connection\n", s->isn[0], s->isn[1], s->isn[2]);
    for (size_t i = 0; i < s->count; i++) {
        const struct op *op = &s->ops[i];
        printf("%3zu frame %-3u %10.3f ms side %u ", i, op->packet.frame,
               (double)(int64_t)(op->packet.time_ns - SECONDS(1000)) / 1e6, op->side);
        switch (op->kind) {
        case OP_SEGMENT:
            print_segment(op, s->isn[op->side]);
            break;
        case OP_ACKNOWLEDGE:
            print_acknowledgement(op, s->isn[op->side]);
            break;
        case OP_ADVANCE:
            printf("advance\n");
            break;
        case OP_FLUSH:
            printf("flush       %s\n", fs_stream_end_name((int)op->end));
            break;
        }
    }
}

/* ---- comparing ---- */

static bool differs(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool differs(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
    return false;
}

#define SAME(what, got, expected, field)                                                                               \
    do {                                                                                                               \
        if ((uint64_t)(got)->field != (uint64_t)(expected)->field) {                                                   \
            return differs("%s: " #field " is %" PRIu64 ", the model says %" PRIu64, what, (uint64_t)(got)->field,     \
                           (uint64_t)(expected)->field);                                                               \
        }                                                                                                              \
    } while (0)

static const char *event_text(const struct fs_stream_event *e, char *out, size_t room) {
    static const char *const kinds[] = {"data", "gap", "conflict", "ended"};
    snprintf(out, room,
             "%s at %" PRIu64 " length %" PRIu64 " frame %u/%u time %" PRIu64 " end %s digests %" PRIx64 " %" PRIx64,
             kinds[e->kind], e->offset, e->length, e->frame, e->kind == FS_STREAM_CONFLICT ? e->other_frame : 0,
             e->time_ns, e->kind == FS_STREAM_ENDED ? fs_stream_end_name(e->end) : "-",
             e->kind == FS_STREAM_CONFLICT ? e->digest : 0, e->kind == FS_STREAM_CONFLICT ? e->other_digest : 0);
    return out;
}

static bool same_event(const struct stream_log *got, const struct stream_log *expected, size_t i) {
    const struct fs_stream_event *g = &got->events[i];
    const struct fs_stream_event *e = &expected->events[i];
    bool same = g->kind == e->kind && g->offset == e->offset && g->length == e->length && g->time_ns == e->time_ns &&
                g->frame == e->frame;
    if (same && g->kind == FS_STREAM_ENDED) {
        same = g->end == e->end;
    }
    if (same && g->kind == FS_STREAM_CONFLICT) {
        same = g->other_frame == e->other_frame && g->digest == e->digest && g->other_digest == e->other_digest;
    }
    if (!same) {
        char one[256], two[256];
        return differs("event %zu is: %s\n  the model says: %s", i, event_text(g, one, sizeof(one)),
                       event_text(e, two, sizeof(two)));
    }
    if (g->kind == FS_STREAM_DATA &&
        memcmp(got->text + got->text_at[i], expected->text + expected->text_at[i], (size_t)g->length) != 0) {
        return differs("event %zu: other bytes at %" PRIu64, i, g->offset);
    }
    return true;
}

static bool same_events(const struct stream_log *got, const struct stream_log *expected) {
    if (got->broken) {
        return differs("contract: %s", got->broken);
    }
    if (expected->broken) {
        return differs("the model breaks the contract: %s", expected->broken);
    }
    for (size_t i = 0; i < got->count && i < expected->count; i++) {
        if (!same_event(got, expected, i)) {
            return false;
        }
    }
    if (got->count != expected->count) {
        const struct stream_log *more = got->count > expected->count ? got : expected;
        size_t at = got->count < expected->count ? got->count : expected->count;
        char text[256];
        return differs("%zu events, the model says %zu; %s", got->count, expected->count,
                       event_text(&more->events[at], text, sizeof(text)));
    }
    return true;
}

static bool same_verdict(const struct fs_segment_verdict *got, const struct fs_segment_verdict *expected) {
    if (got->segment != expected->segment) {
        return differs("class %s, the model says %s", fs_segment_name(got->segment),
                       fs_segment_name(expected->segment));
    }
    SAME("verdict", got, expected, offset);
    SAME("verdict", got, expected, gap_bytes);
    SAME("verdict", got, expected, hole_bytes);
    SAME("verdict", got, expected, repeats_frame);
    SAME("verdict", got, expected, hole_frame);
    SAME("verdict", got, expected, conflict);
    SAME("verdict", got, expected, limit);
    return true;
}

static bool same_info(const struct fs_stream_info *got, const struct fs_stream_info *expected, const char *what) {
    SAME(what, got, expected, next_offset);
    SAME(what, got, expected, waiting_bytes);
    SAME(what, got, expected, gaps);
    SAME(what, got, expected, gap_bytes);
    SAME(what, got, expected, uncaptured_bytes);
    SAME(what, got, expected, overlap_bytes);
    SAME(what, got, expected, conflict_bytes);
    SAME(what, got, expected, retransmissions);
    SAME(what, got, expected, out_of_order);
    SAME(what, got, expected, retransmitted_bytes);
    SAME(what, got, expected, out_of_order_bytes);
    SAME(what, got, expected, dropped_bytes);
    SAME(what, got, expected, from_middle);
    SAME(what, got, expected, end);
    return true;
}

static bool same_stats(const struct fs_reassembly_stats *got, const struct fs_reassembly_stats *expected) {
    const char *what = "statistics";
    for (int i = 0; i < FS_SEGMENT_COUNT; i++) {
        SAME(what, got, expected, segments[i]);
    }
    for (int i = 0; i < FS_LIMIT_COUNT; i++) {
        SAME(what, got, expected, limit_hits[i]);
    }
    SAME(what, got, expected, delivered_bytes);
    SAME(what, got, expected, copied_bytes);
    SAME(what, got, expected, gaps);
    SAME(what, got, expected, gap_bytes);
    SAME(what, got, expected, overlap_bytes);
    SAME(what, got, expected, conflicts);
    SAME(what, got, expected, conflict_bytes);
    SAME(what, got, expected, duplicate_bytes);
    SAME(what, got, expected, overruled_bytes);
    SAME(what, got, expected, beyond_bytes);
    SAME(what, got, expected, after_end_bytes);
    SAME(what, got, expected, refused_bytes);
    SAME(what, got, expected, slid_bytes);
    SAME(what, got, expected, uncaptured_bytes);
    SAME(what, got, expected, waiting_bytes);
    return true;
}

/* ---- running ---- */

struct pair {
    struct fs_reassembly *shared;
    struct fs_reassembler *sides[SIDES];
    struct model_reassembly *model;
    struct model_reassembler *model_sides[SIDES];
};

static void on_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    (void)user;
    stream_log_add(stream_user, event);
}

static void pair_new(struct pair *pair, const struct fs_reassembly_config *config) {
    struct fs_reassembly_config with_callback = *config;
    with_callback.on_event = on_event;
    pair->shared = fs_reassembly_new(&with_callback, NULL);
    assert_non_null(pair->shared);
    pair->model = model_reassembly_new(config, run_overhead);
    for (unsigned i = 0; i < SIDES; i++) {
        stream_log_init(&got_logs[i]);
        stream_log_init(&model_logs[i]);
        pair->sides[i] = fs_reassembler_new(pair->shared, i == 1 ? pair->sides[0] : NULL, &got_logs[i]);
        assert_non_null(pair->sides[i]);
        pair->model_sides[i] = model_reassembler_new(pair->model, i == 1 ? pair->model_sides[0] : NULL, &model_logs[i]);
        uint64_t handshake_ns = config->history % 3 == 0 ? MS(30) : 0; /* some know it */
        fs_reassembler_set_handshake(pair->sides[i], handshake_ns);
        model_reassembler_set_handshake(pair->model_sides[i], handshake_ns);
    }
}

static void pair_free(struct pair *pair) {
    for (unsigned i = 0; i < SIDES; i++) {
        fs_reassembler_free(pair->sides[i]);
        model_reassembler_free(pair->model_sides[i]);
    }
    fs_reassembly_free(pair->shared);
    model_reassembly_free(pair->model);
}

static bool run_segment(struct fs_reassembler *side, struct model_reassembler *model, const struct fs_packet *packet) {
    struct fs_segment_verdict got, expected;
    memset(&got, 0xa5, sizeof(got));
    int result = fs_reassembler_segment(side, packet, &got);
    model_reassembler_segment(model, packet, &expected);
    return result == 0 ? same_verdict(&got, &expected) : differs("segment() returned %d", result);
}

static bool same_given_up(uint64_t got, uint64_t expected) {
    return got == expected || differs("given up: %" PRIu64 ", not %" PRIu64, got, expected);
}

static bool run_op(struct pair *pair, const struct op *op) {
    struct fs_reassembler *side = pair->sides[op->side];
    struct model_reassembler *model = pair->model_sides[op->side];
    struct fs_packet packet = op->packet;
    /* Of its own size, so that a sanitizer sees a byte that is read past the end, or kept after the call. */
    uint8_t *copy = malloc(packet.payload_captured + 1);
    assert_non_null(copy);
    bool same = true;
    switch (op->kind) {
    case OP_SEGMENT:
        memcpy(copy, op->text, packet.payload_captured);
        packet.payload = packet.payload_captured > 0 ? copy : NULL;
        same = run_segment(side, model, &packet);
        break;
    case OP_ACKNOWLEDGE:
        same = same_given_up(fs_reassembler_acknowledge(side, &packet), model_reassembler_acknowledge(model, &packet));
        break;
    case OP_ADVANCE:
        same = same_given_up(fs_reassembler_advance(side, packet.time_ns),
                             model_reassembler_advance(model, packet.time_ns));
        break;
    case OP_FLUSH:
        fs_reassembler_flush(side, op->end, packet.time_ns, packet.frame);
        model_reassembler_flush(model, op->end, packet.time_ns, packet.frame);
        break;
    }
    memset(copy, 0xee, packet.payload_captured);
    free(copy);
    return same;
}

static bool within_caps(const struct pair *pair, const struct fs_reassembly_config *config) {
    struct fs_reassembly_stats stats;
    fs_reassembly_get_stats(pair->shared, &stats);
    struct fs_stream_info info[SIDES];
    for (unsigned i = 0; i < SIDES; i++) {
        fs_reassembler_info(pair->sides[i], &info[i]);
        if (info[i].waiting_bytes > config->side_limit) {
            return differs("the side limit was passed");
        }
    }
    if (info[0].waiting_bytes + info[1].waiting_bytes > config->flow_limit) {
        return differs("the flow limit was passed");
    }
    return stats.waiting_bytes <= config->total_limit ? true : differs("the total limit was passed");
}

static bool same_after(struct pair *pair, const struct fs_reassembly_config *config) {
    static const char *const names[SIDES] = {"side 0", "side 1", "side 2"};
    struct fs_reassembly_stats got_stats, model_stats;
    for (unsigned i = 0; i < SIDES; i++) {
        struct fs_stream_info got, expected;
        fs_reassembler_info(pair->sides[i], &got);
        model_reassembler_info(pair->model_sides[i], &expected);
        if (!same_events(&got_logs[i], &model_logs[i]) || !same_info(&got, &expected, names[i])) {
            return false;
        }
    }
    fs_reassembly_get_stats(pair->shared, &got_stats);
    model_reassembly_stats(pair->model, &model_stats);
    return same_stats(&got_stats, &model_stats) && within_caps(pair, config);
}

static void cover_events(struct coverage *c, uint64_t next_before) {
    for (unsigned side = 0; side < SIDES; side++) {
        for (size_t i = 0; i < model_logs[side].count; i++) {
            const struct fs_stream_event *event = &model_logs[side].events[i];
            if (event->kind == FS_STREAM_ENDED) {
                c->ends[event->end]++;
            }
            if (event->kind == FS_STREAM_CONFLICT) {
                *(event->offset < next_before ? &c->conflicts_delivered : &c->conflicts_waiting) += 1;
            }
        }
    }
}

static void cover_case(struct coverage *c, const struct sequence *s, const struct pair *pair) {
    struct fs_reassembly_stats stats;
    model_reassembly_stats(pair->model, &stats);
    uint64_t *sums = (uint64_t *)&c->sums; /* the structure is nothing but 64-bit counters */
    const uint64_t *values = (const uint64_t *)&stats;
    for (size_t i = 0; i < sizeof(stats) / sizeof(uint64_t); i++) {
        sums[i] += values[i];
    }
    c->policies[s->config.overlap] += stats.overruled_bytes > 0;
    for (unsigned i = 0; i < SIDES; i++) {
        struct fs_stream_info info;
        model_reassembler_info(pair->model_sides[i], &info);
        c->wraps += info.next_offset > (uint32_t)(0 - (s->isn[i] + 1));
        c->from_middle += info.from_middle;
    }
}

/* True if the reassembler and the model agree; else `failed_at` is the call after which they do not. */
static bool run(const struct sequence *s, size_t *failed_at, struct coverage *coverage) {
    struct pair pair;
    pair_new(&pair, &s->config);
    bool same = true;
    bool too_long = false;
    for (size_t i = 0; same && !too_long && i < s->count; i++) {
        for (unsigned side = 0; side < SIDES; side++) {
            stream_log_clear(&got_logs[side]);
            stream_log_clear(&model_logs[side]);
        }
        const struct model_reassembler *side = pair.model_sides[s->ops[i].side];
        uint64_t next_before = model_reassembler_next(side);
        same = run_op(&pair, &s->ops[i]);
        too_long = model_reassembler_overflow(side);
        same = too_long || (same && same_after(&pair, &s->config));
        *failed_at = i;
        if (coverage) {
            cover_events(coverage, next_before);
        }
    }
    if (coverage && same) {
        coverage->too_long += too_long;
        cover_case(coverage, s, &pair);
    }
    pair_free(&pair);
    return same;
}

/* ---- shrinking ---- */

static bool fails(const struct sequence *s) {
    size_t at;
    return !run(s, &at, NULL);
}

static bool try_without(struct sequence *s, size_t i) {
    struct sequence smaller = *s;
    memmove(&smaller.ops[i], &smaller.ops[i + 1], (smaller.count - i - 1) * sizeof(smaller.ops[0]));
    smaller.count--;
    if (!fails(&smaller)) {
        return false;
    }
    *s = smaller;
    return true;
}

static void try_config(struct sequence *s, const struct fs_reassembly_config *config) {
    struct sequence simpler = *s;
    simpler.config = *config;
    if (fails(&simpler)) {
        *s = simpler;
    }
}

static void shrink_config(struct sequence *s) {
    struct fs_reassembly_config config = s->config;
    config.side_limit = UINT64_MAX;
    try_config(s, &config);
    config = s->config;
    config.flow_limit = UINT64_MAX;
    try_config(s, &config);
    config = s->config;
    config.total_limit = UINT64_MAX;
    try_config(s, &config);
    config = s->config;
    config.history = 0;
    try_config(s, &config);
    config = s->config;
    config.urgent = FS_URGENT_INLINE;
    try_config(s, &config);
    config = s->config;
    config.hole_deadline_ns = UINT64_MAX;
    try_config(s, &config);
    config = s->config;
    config.overlap = FS_OVERLAP_FIRST;
    try_config(s, &config);
}

static bool try_op(struct sequence *s, size_t i, const struct op *op) {
    struct op before = s->ops[i];
    s->ops[i] = *op;
    if (fails(s)) {
        return true;
    }
    s->ops[i] = before;
    return false;
}

static void shrink_op(struct sequence *s, size_t i) {
    struct op op = s->ops[i];
    op.packet.payload_captured = op.packet.payload_len;
    try_op(s, i, &op);
    op = s->ops[i];
    op.packet.tcp.flags &= FS_TCP_SYN | FS_TCP_ACK;
    try_op(s, i, &op);
    op = s->ops[i];
    op.packet.tcp.sack_count = 0;
    try_op(s, i, &op);
    while (s->ops[i].packet.payload_len > 1) {
        op = s->ops[i];
        op.packet.payload_len--;
        if (op.packet.payload_captured > op.packet.payload_len) {
            op.packet.payload_captured = op.packet.payload_len;
        }
        if (!try_op(s, i, &op)) {
            break;
        }
    }
    op = s->ops[i];
    fill_text(&op, op.packet.tcp.seq + (op.packet.tcp.flags & FS_TCP_SYN ? 1u : 0u) - s->isn[op.side] - 1, false);
    try_op(s, i, &op);
}

static void shrink(struct sequence *s) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = s->count; i > 0; i--) {
            changed |= try_without(s, i - 1);
        }
    }
    shrink_config(s);
    for (size_t i = 0; i < s->count; i++) {
        shrink_op(s, i);
    }
    for (size_t i = s->count; i > 0; i--) {
        try_without(s, i - 1);
    }
}

/* ---- tests ---- */

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* What a waiting run costs beyond its bytes: docs/reassembly.md leaves it open, and says that it is fixed. */
static int learn_overhead(void **state) {
    (void)state;
    struct fs_reassembly_config config;
    fs_reassembly_config_defaults(&config);
    config.on_event = on_event;
    struct fs_reassembly *shared = fs_reassembly_new(&config, NULL);
    assert_non_null(shared);
    stream_log_init(&got_logs[0]);
    struct fs_reassembler *side = fs_reassembler_new(shared, NULL, &got_logs[0]);
    assert_non_null(side);
    static const uint8_t text[3000];
    static const uint32_t lengths[] = {1, 100, 3000};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct fs_segment_verdict verdict;
        struct fs_stream_info info;
        struct fs_packet packet = tcp_between((struct end){1, 1}, (struct end){2, 2}, SECONDS(1),
                                              i == 0 ? FS_TCP_SYN : FS_TCP_ACK, i * 4000, 0, i == 0 ? 0 : lengths[i]);
        if (i == 0) {
            assert_int_equal(fs_reassembler_segment(side, &packet, &verdict), 0);
            packet.tcp.flags = FS_TCP_ACK;
            packet.tcp.seq = 100;
            packet.payload_len = lengths[0];
        }
        packet.payload = text;
        packet.payload_captured = packet.payload_len;
        assert_int_equal(fs_reassembler_segment(side, &packet, &verdict), 0);
        bytes += packet.payload_len;
        fs_reassembler_info(side, &info);
        assert_true(info.waiting_bytes >= bytes);
        run_overhead = i == 0 ? info.waiting_bytes - bytes : run_overhead;
        assert_int_equal(info.waiting_bytes, bytes + (i + 1) * run_overhead);
    }
    fs_reassembler_flush(side, FS_STREAM_FLUSHED, SECONDS(1), 0);
    fs_reassembler_free(side);
    fs_reassembly_free(shared);
    return 0;
}

static void check_coverage(const struct coverage *c, uint64_t cases) {
    for (int i = 0; i < FS_SEGMENT_COUNT; i++) {
        if (c->sums.segments[i] < cases / 100) {
            fail_msg("only %" PRIu64 " segments of class %s", c->sums.segments[i], fs_segment_name(i));
        }
    }
    for (int i = 0; i < FS_LIMIT_COUNT; i++) {
        assert_true(c->sums.limit_hits[i] > cases / 10);
    }
    for (int i = 0; i < FS_OVERLAP_COUNT; i++) {
        assert_true(c->policies[i] > cases / 100);
    }
    assert_true(c->ends[FS_STREAM_FIN] > cases / 10);
    assert_true(c->ends[FS_STREAM_RST] > cases / 100);
    assert_true(c->ends[FS_STREAM_LIMIT] > cases / 100);
    assert_true(c->ends[FS_STREAM_FLUSHED] > cases / 10);
    assert_true(c->conflicts_delivered > cases / 20);
    assert_true(c->conflicts_waiting > cases / 20);
    assert_true(c->wraps > cases / 5);
    assert_true(c->from_middle > cases / 5);
    assert_true(c->sums.gaps > cases);
    assert_true(c->sums.copied_bytes > cases);
    assert_true(c->sums.uncaptured_bytes > cases);
    assert_true(c->sums.beyond_bytes > cases);
    assert_true(c->too_long < cases / 100);
}

static void test_random_segments_are_answered_as_by_the_model(void **state) {
    (void)state;
    static struct sequence s;
    static struct coverage coverage;
    uint64_t first = number_from("FLOWSCOPE_SEED", 1);
    uint64_t cases = number_from("FLOWSCOPE_CASES", 24000);
    for (uint64_t seed = first; seed < first + cases; seed++) {
        size_t at;
        random_sequence(&s, seed);
        if (run(&s, &at, &coverage)) {
            continue;
        }
        shrink(&s);
        run(&s, &at, NULL);
        printf("\nseed %" PRIu64 ", shrunk to %zu calls:\n", seed, s.count);
        print_sequence(&s);
        fail_msg("after call %zu: %s", at, failure);
    }
    if (cases >= 1000) {
        check_coverage(&coverage, cases);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_segments_are_answered_as_by_the_model),
    };
    return cmocka_run_group_tests_name("reassembler_model", tests, learn_overhead, NULL);
}
