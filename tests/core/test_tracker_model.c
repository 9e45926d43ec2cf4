/* SPDX-License-Identifier: MIT */
/* The tracker against its slow twin: random packets, everything compared after each. A failing sequence is shrunk and
 * printed.
 *
 *     FLOWSCOPE_SEED=N       first sequence; default 1
 *     FLOWSCOPE_SEQUENCES=N  how many; default 20000
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model_tracker.h"
#include "packet_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_OPS = 60, MAX_CONNECTION = 40, MAX_TRACKER_EVENTS = 1024, MAX_LIVE = 64, MAX_BATCH = 8 };

enum op_kind { OP_PACKET, OP_SWEEP, OP_CLOSE, OP_FINISH };

struct op {
    enum op_kind kind;
    struct fs_packet packet; /* time_ns is also the time of a sweep */
    unsigned pick;           /* CLOSE: which live flow; PACKET: its parent, 0 for none */
};

struct sequence {
    struct fs_tracker_config config;
    struct op ops[MAX_OPS];
    size_t count;
    size_t batch; /* packets of one batch call at most */
};

/* What a tracker reported, with ids for numbers. */
struct report {
    struct fs_event event;
    uint64_t id;
    struct fs_flow_info info; /* ENDED and STARTED */
};

struct log {
    struct report reports[MAX_TRACKER_EVENTS];
    size_t count;
    bool bad_info;
};

static char failure[1024];

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

/* Asked at creation: some hosts get their own timeout. */
static uint64_t own_timeout(const struct fs_packet *packet, void *user) {
    (void)user;
    return packet->key.port[0] % 3 == 0 ? MS(700) : packet->key.port[0] % 3 == 1 ? SECONDS(5) : 0;
}

static void random_config(struct fs_tracker_config *config) {
    static const uint64_t choices[] = {MS(100), MS(900), SECONDS(2), SECONDS(30), SECONDS(300), SECONDS(1200)};
    fs_tracker_config_defaults(config);
    for (int i = 0; i < FS_TIMEOUT_COUNT && chance(80); i++) {
        config->timeout_ns[i] = choices[below(6)];
    }
    if (chance(20)) {
        config->timeout_ns[FS_TIMEOUT_TCP_CLOSED] = 0;
    }
    config->max_flows = chance(50) ? 1 + below(5) : MAX_LIVE;
    config->seed = random_next() | 1;
    config->auto_sweep = chance(80);
    config->roles_by_syn = chance(80);
    config->use_flow_label = chance(25);
    config->count_duplicates = chance(50);
    config->events = (1u << FS_EVENT_COUNT) - 1;
    config->idle_timeout = chance(20) ? own_timeout : NULL;
}

struct connection {
    struct end end[2];
    uint32_t next[2]; /* sequence numbers */
    uint64_t time;
    struct fs_packet packets[MAX_CONNECTION];
    size_t count;
};

static uint32_t random_isn(void) {
    switch (below(4)) {
    case 0:
        return UINT32_MAX - below(4000);
    case 1:
        return below(3);
    case 2:
        return 0x80000000u - 2000 + below(4000);
    default:
        return (uint32_t)random_next();
    }
}

static struct fs_packet *say(struct connection *c, int from, unsigned flags, uint32_t payload) {
    if (c->count == MAX_CONNECTION) {
        c->count--;
    }
    c->time += 1000u * (1 + below(200000));
    uint32_t ack = flags & FS_TCP_ACK ? c->next[!from] : 0;
    struct fs_packet *packet = &c->packets[c->count++];
    *packet = tcp_between(c->end[from], c->end[!from], c->time, flags, c->next[from], ack, payload);
    packet->tcp.window = chance(8) ? 0 : (uint16_t)(1 + below(65535));
    c->next[from] += payload + ((flags & FS_TCP_SYN) != 0) + ((flags & FS_TCP_FIN) != 0);
    return packet;
}

static void offer_options(struct fs_packet *packet) {
    if (chance(70)) {
        packet->tcp.options |= FS_TCP_OPT_WINDOW_SCALE;
        packet->tcp.window_scale = (uint8_t)below(15);
    }
    if (chance(50)) {
        packet->tcp.options |= FS_TCP_OPT_MSS;
        packet->tcp.mss = 1460;
    }
}

static uint32_t random_length(void) {
    static const uint32_t lengths[] = {1, 2, 100, 1460, 65000, 900000};
    return lengths[below(6)];
}

static void open_connection(struct connection *c) {
    switch (below(10)) {
    case 0: /* mid-stream */
        break;
    case 1: /* simultaneous open */
        offer_options(say(c, 0, FS_TCP_SYN, 0));
        c->next[1]++;
        c->packets[c->count - 1].tcp.ack = 0;
        c->next[1]--;
        offer_options(say(c, 1, FS_TCP_SYN, 0));
        c->next[0]--;
        say(c, 0, FS_TCP_SYN | FS_TCP_ACK, 0);
        c->next[1]--;
        say(c, 1, FS_TCP_SYN | FS_TCP_ACK, 0);
        break;
    case 2: /* refused */
        say(c, 0, FS_TCP_SYN, 0);
        say(c, 1, FS_TCP_RST | FS_TCP_ACK, 0)->tcp.seq = 0;
        break;
    default:
        offer_options(say(c, 0, FS_TCP_SYN, chance(10) ? 200 : 0));
        offer_options(say(c, 1, FS_TCP_SYN | FS_TCP_ACK, 0));
        say(c, 0, FS_TCP_ACK, 0);
    }
}

static void close_connection(struct connection *c) {
    int from = (int)below(2);
    switch (below(5)) {
    case 0:
        break;
    case 1:
        say(c, from, FS_TCP_RST | (chance(50) ? FS_TCP_ACK : 0u), chance(20) ? 30 : 0);
        break;
    case 2:
        say(c, from, FS_TCP_FIN | FS_TCP_ACK, chance(30) ? 50 : 0);
        say(c, !from, FS_TCP_RST | FS_TCP_ACK, 0);
        break;
    default:
        say(c, from, FS_TCP_FIN | FS_TCP_ACK, chance(30) ? 50 : 0);
        if (chance(50)) {
            say(c, !from, FS_TCP_ACK, 0);
        }
        say(c, !from, FS_TCP_FIN | FS_TCP_ACK, 0);
        say(c, from, FS_TCP_ACK, 0);
    }
}

static void tcp_script(struct connection *c) {
    open_connection(c);
    for (uint32_t n = below(8); n > 0; n--) {
        int from = (int)below(2);
        say(c, from, FS_TCP_ACK | FS_TCP_PSH, random_length());
        if (chance(70)) {
            say(c, !from, FS_TCP_ACK, 0);
        }
        if (chance(10)) { /* keep-alive */
            struct fs_packet *probe = say(c, from, FS_TCP_ACK, 0);
            probe->tcp.seq--;
            say(c, !from, FS_TCP_ACK, 0);
        }
    }
    close_connection(c);
    if (chance(30) && c->count + 6 < MAX_CONNECTION) { /* the same ports again */
        c->next[0] = chance(80) ? random_isn() : c->packets[0].tcp.seq;
        c->next[1] = random_isn();
        open_connection(c);
    }
}

static void drop_one(struct connection *c) {
    size_t at = below((uint32_t)c->count);
    memmove(&c->packets[at], &c->packets[at + 1], (c->count - at - 1) * sizeof(c->packets[0]));
    c->count--;
}

static void repeat_one(struct connection *c) {
    if (c->count == MAX_CONNECTION) {
        return;
    }
    struct fs_packet again = c->packets[below((uint32_t)c->count)];
    size_t at = below((uint32_t)c->count + 1);
    memmove(&c->packets[at + 1], &c->packets[at], (c->count - at) * sizeof(c->packets[0]));
    if (chance(80) && at > 0) {
        again.time_ns = c->packets[at - 1].time_ns;
    }
    c->packets[at] = again;
    c->count++;
}

static void swap_two(struct connection *c) {
    size_t a = below((uint32_t)c->count), b = below((uint32_t)c->count);
    struct fs_packet packet = c->packets[a];
    uint64_t time = c->packets[b].time_ns;
    c->packets[a] = c->packets[b];
    c->packets[b] = packet;
    if (chance(80)) { /* the wire's order, not the clock's */
        c->packets[b].time_ns = time;
        c->packets[a].time_ns = packet.time_ns;
    }
}

static uint32_t random_number(uint32_t near_to) {
    static const int32_t steps[] = {-1, 1, -1000, 70000, -70000, 65535, 1048576, 1048577, -1048577, 0x7fffffff};
    return chance(70) ? near_to + (uint32_t)steps[below(10)] : chance(50) ? (uint32_t)random_next() : 0;
}

static void distort_one(struct connection *c) {
    struct fs_packet *packet = &c->packets[below((uint32_t)c->count)];
    switch (below(8)) {
    case 0:
        packet->tcp.seq = random_number(packet->tcp.seq);
        break;
    case 1:
        packet->tcp.ack = random_number(packet->tcp.ack);
        break;
    case 2:
        packet->tcp.flags = (uint16_t)below(64);
        break;
    case 3:
        packet->tcp.flags ^= (uint16_t)(1u << below(6));
        break;
    case 4:
        packet->payload_len = chance(50) ? 0 : random_length();
        break;
    case 5:
        packet->tcp.window = 0;
        break;
    case 6:
        packet->flags = (uint16_t)((packet->flags & ~FS_PACKET_HAS_TCP) | FS_PACKET_TRUNCATED | FS_PACKET_CUT_HEADER);
        break;
    default:
        packet->flags |= chance(50) ? FS_PACKET_TRUNCATED : FS_PACKET_FIRST_FRAGMENT;
    }
}

static void mutate(struct connection *c) {
    for (uint32_t n = below(6); n > 0 && c->count > 0; n--) {
        switch (below(4)) {
        case 0:
            drop_one(c);
            break;
        case 1:
            repeat_one(c);
            break;
        case 2:
            swap_two(c);
            break;
        default:
            distort_one(c);
        }
    }
}

static void one_direction(struct connection *c) {
    size_t kept = 0;
    uint8_t orientation = (uint8_t)below(2);
    for (size_t i = 0; i < c->count; i++) {
        if (c->packets[i].orientation == orientation) {
            c->packets[kept++] = c->packets[i];
        }
    }
    c->count = kept;
}

static void noise(struct connection *c) {
    for (uint32_t n = 1 + below(12); n > 0; n--) {
        say(c, (int)below(2), chance(50) ? FS_TCP_ACK : below(64), chance(50) ? 0 : random_length());
        struct fs_packet *packet = &c->packets[c->count - 1];
        packet->tcp.seq = chance(50) ? packet->tcp.seq : random_number(packet->tcp.seq);
        packet->tcp.ack = chance(50) ? packet->tcp.ack : random_number(packet->tcp.ack);
        packet->tcp.options = chance(20) ? FS_TCP_OPT_WINDOW_SCALE : 0;
        packet->tcp.window_scale = packet->tcp.options ? 3 : 0;
    }
}

static void datagrams(struct connection *c) {
    static const uint8_t protocols[] = {FS_PROTO_UDP, FS_PROTO_UDP, FS_PROTO_UDPLITE, FS_PROTO_SCTP, FS_PROTO_ESP};
    uint8_t protocol = protocols[below(5)];
    for (uint32_t n = 1 + below(6); n > 0; n--) {
        int from = (int)below(2);
        c->time += 1000u * below(400000);
        struct fs_packet packet = packet_between(protocol, c->end[from], c->end[!from], c->time);
        if (chance(20)) { /* ICMP echo */
            const uint8_t a[4] = {10, 0, 0, 1}, b[4] = {10, 0, 0, 2};
            uint8_t type = from ? 0 : 8;
            packet.orientation = (uint8_t)fs_key_set_icmp(&packet.key, FS_FAMILY_IPV4, from ? b : a, from ? a : b,
                                                          FS_PROTO_ICMP, type, 0, 7, false);
        }
        add_payload(&packet, below(1400));
        packet.flags |= chance(5) ? FS_PACKET_TRUNCATED : chance(5) ? FS_PACKET_LATER_FRAGMENT : 0;
        c->packets[c->count++] = packet;
    }
}

static void random_connection(struct connection *c, uint64_t start, bool labels) {
    memset(c, 0, sizeof(*c));
    c->time = start;
    c->end[0] = (struct end){(uint16_t)(1 + below(2)), (uint16_t)(1000 + below(3))};
    c->end[1] = (struct end){(uint16_t)(1 + below(3)), (uint16_t)(80 + below(2))};
    c->next[0] = random_isn();
    c->next[1] = random_isn();
    uint32_t what = below(10);
    if (what < 6) {
        tcp_script(c);
        mutate(c);
        if (chance(10)) {
            one_direction(c);
        }
    } else if (what < 7) {
        noise(c);
    } else {
        datagrams(c);
    }
    uint32_t label[2] = {1 + below(3), 1 + below(3)};
    for (size_t i = 0; labels && i < c->count; i++) {
        c->packets[i].flags |= chance(90) ? FS_PACKET_FLOW_LABEL : 0;
        c->packets[i].flow_label = label[c->packets[i].orientation];
    }
}

static void shift_times(struct op *ops, size_t count, uint64_t by) {
    for (size_t i = 0; i < count; i++) {
        ops[i].packet.time_ns += by;
    }
}

/* Two or three connections, interleaved, with calls between. */
static void random_sequence(struct sequence *sequence, uint64_t seed) {
    random_state = seed * 0x2545f4914f6cdd1du;
    memset(sequence, 0, sizeof(*sequence));
    random_config(&sequence->config);
    sequence->batch = 1 + below(MAX_BATCH);
    bool marks = chance(40);
    static struct connection connections[4];
    size_t at[4] = {0};
    uint32_t n = 1 + below(4);
    for (uint32_t i = 0; i < n; i++) {
        random_connection(&connections[i], SECONDS(1000) + 1000u * below(3000000), sequence->config.use_flow_label);
    }
    size_t room = 5 + below(MAX_OPS - 5);
    for (uint32_t tries = 0; sequence->count < room && tries < 4 * MAX_OPS; tries++) {
        uint32_t i = below(n);
        struct op *op = &sequence->ops[sequence->count];
        if (at[i] == connections[i].count) {
            continue;
        }
        op->packet = connections[i].packets[at[i]++];
        op->pick = chance(10) ? 1 + below(8) : 0;
        if (chance(4)) {
            op->packet.flags |= FS_PACKET_QUOTED;
        }
        if (marks && chance(20)) {
            op->packet.flags |= FS_PACKET_DUPLICATE; /* often without what it would be a copy of */
        }
        sequence->count++;
        if (sequence->count < room && chance(6)) {
            struct op *call = &sequence->ops[sequence->count++];
            call->kind = chance(60) ? OP_SWEEP : chance(80) ? OP_CLOSE : OP_FINISH;
            call->packet.time_ns = op->packet.time_ns + (chance(50) ? 0 : 1000u * below(3000000));
            call->pick = below(8);
        }
    }
    for (uint32_t jumps = below(3); jumps > 0 && sequence->count > 0; jumps--) {
        static const uint64_t far[] = {MS(100), MS(900), SECONDS(2), SECONDS(29), SECONDS(30), SECONDS(300)};
        uint32_t from = below((uint32_t)sequence->count);
        shift_times(sequence->ops + from, sequence->count - from, far[below(6)]);
    }
    if (chance(20) && sequence->count > 1) { /* exactly at the limit */
        uint32_t i = 1 + below((uint32_t)sequence->count - 1);
        uint64_t timeout = sequence->config.timeout_ns[below(FS_TIMEOUT_COUNT)];
        sequence->ops[i].packet.time_ns = sequence->ops[i - 1].packet.time_ns + timeout - (chance(30) ? 1000 : 0);
    }
    for (size_t i = 0; i < sequence->count; i++) {
        sequence->ops[i].packet.frame = (uint32_t)i + 1;
    }
}

/* ---- the tracker's side ---- */

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct log *log = user;
    if (log->count == MAX_TRACKER_EVENTS) {
        abort();
    }
    struct report *report = &log->reports[log->count++];
    memset(report, 0, sizeof(*report));
    report->event = *event;
    if (fs_tracker_flow_info(tracker, event->flow, &report->info) != 0) {
        log->bad_info = true;
    }
    report->id = report->info.id;
}

static size_t ended_flows(const struct log *log, uint64_t ids[MAX_TRACKER_EVENTS]) {
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++) {
        if (log->reports[i].event.kind == FS_EVENT_ENDED) {
            ids[count++] = log->reports[i].id;
        }
    }
    return count;
}

static bool differs(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
    return false;
}

#define SAME(what, got, expected, field)                                                                               \
    do {                                                                                                               \
        if ((got).field != (expected).field) {                                                                         \
            return differs("%s: " #field " is %" PRIu64 ", the model says %" PRIu64, what, (uint64_t)(got).field,      \
                           (uint64_t)(expected).field);                                                                \
        }                                                                                                              \
    } while (0)

static bool same_rtt(const char *what, const struct fs_rtt *got, const struct fs_rtt *expected) {
    SAME(what, *got, *expected, samples);
    SAME(what, *got, *expected, minimum_ns);
    SAME(what, *got, *expected, maximum_ns);
    if (got->mean_ns > expected->mean_ns + 1000 || expected->mean_ns > got->mean_ns + 1000) {
        return differs("%s: mean RTT is %" PRIu64 ", the model says %" PRIu64, what, got->mean_ns, expected->mean_ns);
    }
    return true;
}

static bool same_tcp(const char *what, const struct fs_tcp_side *got, const struct fs_tcp_side *expected) {
    SAME(what, *got, *expected, isn);
    SAME(what, *got, *expected, stream_bytes);
    SAME(what, *got, *expected, flags);
    SAME(what, *got, *expected, window_minimum);
    SAME(what, *got, *expected, window_maximum);
    SAME(what, *got, *expected, window_scale);
    SAME(what, *got, *expected, acknowledged);
    SAME(what, *got, *expected, zero_windows);
    SAME(what, *got, *expected, retransmissions);
    return same_rtt(what, &got->rtt, &expected->rtt);
}

static bool same_info(const struct fs_flow_info *got, const struct fs_flow_info *expected) {
    char what[64];
    snprintf(what, sizeof(what), "flow %" PRIu64, expected->id);
    SAME(what, *got, *expected, id);
    SAME(what, *got, *expected, state);
    SAME(what, *got, *expected, end);
    SAME(what, *got, *expected, ended_by);
    if (strcmp(got->history, expected->history) != 0) {
        return differs("%s: history is %s, the model says %s", what, got->history, expected->history);
    }
    if (strcmp(got->conn_state, expected->conn_state) != 0) {
        return differs("%s: conn_state is %s, the model says %s", what, got->conn_state, expected->conn_state);
    }
    if (memcmp(&got->key, &expected->key, sizeof(got->key)) != 0) {
        return differs("%s: another key", what);
    }
    SAME(what, *got, *expected, parent);
    SAME(what, *got, *expected, first_ns);
    SAME(what, *got, *expected, last_ns);
    SAME(what, *got, *expected, first_frame);
    SAME(what, *got, *expected, last_frame);
    SAME(what, *got, *expected, marks);
    SAME(what, *got, *expected, initiator_orientation);
    SAME(what, *got, *expected, is_tcp);
    for (int s = 0; s < 2; s++) {
        snprintf(what, sizeof(what), "flow %" PRIu64 " %s", expected->id, fs_side_name(s));
        SAME(what, got->side[s], expected->side[s], packets);
        SAME(what, got->side[s], expected->side[s], wire_bytes);
        SAME(what, got->side[s], expected->side[s], ip_bytes);
        SAME(what, got->side[s], expected->side[s], payload_bytes);
        SAME(what, got->side[s], expected->side[s], duplicates);
        if (expected->is_tcp && !same_tcp(what, &got->tcp[s], &expected->tcp[s])) {
            return false;
        }
    }
    if (expected->is_tcp) {
        SAME(what, *got, *expected, handshake_syn_ns);
        SAME(what, *got, *expected, handshake_ack_ns);
        SAME(what, *got, *expected, closed_ns);
    }
    return true;
}

static bool same_verdict(const struct fs_verdict *got, const struct fs_verdict *expected) {
    const char *what = "verdict";
    SAME(what, *got, *expected, flow_id);
    SAME(what, *got, *expected, quoted);
    if (expected->flow_id == FS_NO_FLOW) {
        return got->flow == FS_NO_NUMBER ? true : differs("verdict: a number without a flow");
    }
    SAME(what, *got, *expected, packet);
    SAME(what, *got, *expected, side);
    SAME(what, *got, *expected, orientation);
    SAME(what, *got, *expected, anomalies);
    SAME(what, *got, *expected, state);
    SAME(what, *got, *expected, created);
    SAME(what, *got, *expected, ended);
    SAME(what, *got, *expected, retransmission);
    SAME(what, *got, *expected, duplicate);
    SAME(what, *got, *expected, rtt_ns);
    if (!expected->quoted) {
        SAME(what, *got, *expected, bytes);
        SAME(what, *got, *expected, previous_frame);
    }
    return true;
}

static const char *event_name(int kind) {
    static const char *const names[] = {"started", "established", "state", "packet", "tick", "ended", "anomaly"};
    return kind < FS_EVENT_COUNT ? names[kind] : "?";
}

static bool same_event(const struct report *got, const struct model_event *expected) {
    char what[64];
    snprintf(what, sizeof(what), "event %s of flow %" PRIu64, event_name((int)expected->kind), expected->id);
    if (got->event.kind != expected->kind || got->id != expected->id) {
        return differs("event is %s of flow %" PRIu64 ", the model says %s of flow %" PRIu64,
                       event_name((int)got->event.kind), got->id, event_name((int)expected->kind), expected->id);
    }
    switch (expected->kind) {
    case FS_EVENT_ESTABLISHED:
    case FS_EVENT_STATE:
        SAME(what, got->event, *expected, from);
        SAME(what, got->event, *expected, to);
        break;
    case FS_EVENT_ANOMALY:
        SAME(what, got->event, *expected, anomaly);
        break;
    case FS_EVENT_ENDED:
        SAME(what, got->event, *expected, end);
        return same_info(&got->info, &expected->info);
    case FS_EVENT_STARTED:
        if (got->info.side[0].packets + got->info.side[1].packets != 0) {
            return differs("%s: a packet is counted already", what);
        }
        break;
    default:
        break;
    }
    if (expected->by_packet) {
        SAME(what, got->event, *expected, side);
        if (got->event.packet == NULL) {
            return differs("%s: no packet", what);
        }
    }
    return true;
}

/* A sweep's order is the tracker's own: bring its endings into the model's order, by id. */
static void sort_swept(struct report *reports, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && reports[j - 1].id > reports[j].id; j--) {
            struct report swap = reports[j];
            reports[j] = reports[j - 1];
            reports[j - 1] = swap;
        }
    }
}

static bool is_swept(const struct report *report) {
    enum fs_end end = report->event.end;
    return report->event.kind == FS_EVENT_ENDED && (end == FS_END_IDLE || end == FS_END_FIN || end == FS_END_RST);
}

static bool same_events(struct log *log, const struct model *model) {
    const struct model_event *expected;
    size_t count = model_events(model, &expected);
    size_t swept = 0;
    while (swept < count && expected[swept].swept) {
        swept++;
    }
    size_t leading = 0;
    while (leading < log->count && leading < swept && is_swept(&log->reports[leading])) {
        leading++;
    }
    sort_swept(log->reports, leading);
    for (size_t i = 0; i < count && i < log->count; i++) {
        if (!same_event(&log->reports[i], &expected[i])) {
            return false;
        }
    }
    if (log->count != count) {
        return differs("%zu events, the model says %zu; %s", log->count, count,
                       count > log->count ? event_name((int)expected[log->count].kind)
                                          : event_name((int)log->reports[count].event.kind));
    }
    return log->bad_info ? differs("no snapshot inside an event") : true;
}

static bool same_stats(const struct fs_tracker *tracker, const struct model *model) {
    struct fs_tracker_stats got, expected;
    fs_tracker_get_stats(tracker, &got);
    model_stats(model, &expected);
    SAME("statistics", got, expected, packets);
    SAME("statistics", got, expected, duplicates);
    SAME("statistics", got, expected, quoted);
    SAME("statistics", got, expected, quoted_unknown);
    SAME("statistics", got, expected, unallocated);
    SAME("statistics", got, expected, created);
    SAME("statistics", got, expected, live);
    uint64_t ended = 0;
    for (int i = 0; i < FS_END_COUNT; i++) {
        SAME("statistics", got, expected, ended[i]);
        ended += got.ended[i];
    }
    for (int i = 0; i < FS_ANOMALY_COUNT; i++) {
        SAME("statistics", got, expected, anomalies[i]);
    }
    return got.created == ended + got.live ? true : differs("created is not ended + live");
}

static bool same_flows(const struct fs_tracker *tracker, const struct model *model) {
    size_t live = 0;
    for (uint32_t flow = fs_tracker_next(tracker, FS_NO_NUMBER); flow != FS_NO_NUMBER;
         flow = fs_tracker_next(tracker, flow)) {
        struct fs_flow_info got, expected;
        if (fs_tracker_flow_info(tracker, flow, &got) != 0) {
            return differs("a flow of the iteration is not live");
        }
        size_t n = 0;
        while (n < model_live(model) && model_live_id(model, n) != got.id) {
            n++;
        }
        if (n == model_live(model)) {
            return differs("flow %" PRIu64 " is live, and not in the model", got.id);
        }
        model_info(model, got.id, &expected);
        if (!same_info(&got, &expected)) {
            return false;
        }
        live++;
    }
    return live == model_live(model) ? true : differs("%zu live flows, the model says %zu", live, model_live(model));
}

static uint32_t pick_live(const struct fs_tracker *tracker, unsigned pick) {
    uint32_t flow = fs_tracker_next(tracker, FS_NO_NUMBER);
    for (unsigned i = 0; i < pick && flow != FS_NO_NUMBER; i++) {
        flow = fs_tracker_next(tracker, flow);
    }
    return flow;
}

static bool run_op(struct fs_tracker *tracker, struct log *log, struct model *model, const struct op *op,
                   struct fs_verdict *verdict) {
    log->count = 0;
    uint32_t flow;
    switch (op->kind) {
    case OP_SWEEP: {
        size_t got = fs_tracker_sweep(tracker, op->packet.time_ns);
        size_t expected = model_sweep(model, op->packet.time_ns);
        return got == expected ? true : differs("sweep ended %zu, the model says %zu", got, expected);
    }
    case OP_CLOSE:
        flow = pick_live(tracker, op->pick);
        if (flow == FS_NO_NUMBER) {
            model_close(model, FS_NO_FLOW);
            return fs_tracker_close(tracker, flow) == FS_ERR_NOT_FOUND ? true : differs("no flow was closed");
        }
        model_close(model, fs_tracker_flow_id(tracker, flow));
        return fs_tracker_close(tracker, flow) == 0 ? true : differs("a live flow could not be closed");
    case OP_FINISH:
        fs_tracker_finish(tracker);
        model_finish(model);
        return true;
    case OP_PACKET:
        break;
    }
    uint32_t parent = op->pick == 0 ? FS_NO_NUMBER : pick_live(tracker, op->pick - 1);
    uint64_t parent_id = fs_tracker_flow_id(tracker, parent);
    struct fs_verdict expected;
    if (fs_tracker_track(tracker, &op->packet, parent, verdict) != 0) {
        return differs("track failed");
    }
    uint64_t ended[MAX_TRACKER_EVENTS];
    size_t ended_count = ended_flows(log, ended);
    model_track(model, &op->packet, parent_id, ended, ended_count, &expected);
    if (model_error(model) != NULL) {
        return differs("%s", model_error(model));
    }
    return same_verdict(verdict, &expected);
}

/* Packets without calls and parents between, given to another tracker as batches. */
struct batch {
    struct fs_packet packets[MAX_BATCH];
    struct fs_verdict verdicts[MAX_BATCH], expected[MAX_BATCH];
    size_t count;
};

static bool same_batch(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        SAME("batch", batch->verdicts[i], batch->expected[i], flow);
        SAME("batch", batch->verdicts[i], batch->expected[i], previous_frame);
        SAME("batch", batch->verdicts[i], batch->expected[i], bytes);
        if (!same_verdict(&batch->verdicts[i], &batch->expected[i])) {
            return false;
        }
    }
    return true;
}

static struct log batch_log, single_log;

/* The events of the whole sequence, condensed: a batch must report the same. */
static uint64_t digest(uint64_t before, const struct log *log) {
    for (size_t i = 0; i < log->count; i++) {
        const struct fs_event *e = &log->reports[i].event;
        const uint64_t words[] = {
            (uint64_t)e->kind, e->flow,          log->reports[i].id, e->time_ns, e->side, e->from, e->to, e->end,
            e->anomaly,        e->packet != NULL};
        for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
            before = (before ^ words[w]) * 0x100000001b3u;
        }
    }
    return before;
}

static bool flush_batch(struct fs_tracker *tracker, struct batch *batch) {
    if (batch->count == 0) {
        return true;
    }
    if (fs_tracker_track_batch(tracker, batch->packets, batch->count, batch->verdicts) != 0) {
        return differs("batch failed");
    }
    bool same = same_batch(batch);
    batch->count = 0;
    return same;
}

static bool run_on_batches(struct fs_tracker *tracker, struct batch *batch, const struct sequence *sequence,
                           const struct op *op, const struct fs_verdict *verdict) {
    if (op->kind == OP_PACKET && op->pick == 0) {
        batch->packets[batch->count] = op->packet;
        batch->expected[batch->count++] = *verdict;
        return batch->count < sequence->batch ? true : flush_batch(tracker, batch);
    }
    if (!flush_batch(tracker, batch)) {
        return false;
    }
    if (op->kind == OP_SWEEP) {
        fs_tracker_sweep(tracker, op->packet.time_ns);
    } else if (op->kind == OP_CLOSE) {
        fs_tracker_close(tracker, pick_live(tracker, op->pick));
    } else if (op->kind == OP_FINISH) {
        fs_tracker_finish(tracker);
    } else {
        struct fs_verdict again;
        fs_tracker_track(tracker, &op->packet, pick_live(tracker, op->pick - 1), &again);
    }
    return true;
}

static bool run_with(struct fs_tracker *single, struct fs_tracker *batched, struct model *model,
                     const struct sequence *sequence) {
    static struct batch batch;
    batch.count = 0;
    uint64_t single_digest = 0;
    batch_log.count = 0;
    for (size_t i = 0; i < sequence->count; i++) {
        struct fs_verdict verdict;
        memset(&verdict, 0, sizeof(verdict));
        char what[sizeof(failure)];
        bool ok = run_op(single, &single_log, model, &sequence->ops[i], &verdict);
        single_digest = digest(single_digest, &single_log);
        ok = ok && same_events(&single_log, model) && same_flows(single, model) && same_stats(single, model);
        if (ok) {
            ok = run_on_batches(batched, &batch, sequence, &sequence->ops[i], &verdict);
        }
        if (!ok) {
            memcpy(what, failure, sizeof(what));
            snprintf(failure, sizeof(failure), "step %zu: %.900s", i + 1, what);
            return false;
        }
    }
    if (!flush_batch(batched, &batch)) {
        return false;
    }
    return digest(0, &batch_log) == single_digest ? true : differs("batches report other events than single packets");
}

static bool run_sequence(const struct sequence *sequence) {
    struct fs_tracker_config config = sequence->config;
    config.on_event = on_event;
    config.user = &single_log;
    struct fs_tracker *single = fs_tracker_new(&config, NULL);
    config.user = &batch_log;
    struct fs_tracker *batched = fs_tracker_new(&config, NULL);
    assert_non_null(single);
    assert_non_null(batched);
    struct model *model = model_new(&sequence->config);
    single_log.bad_info = batch_log.bad_info = false;
    bool ok = run_with(single, batched, model, sequence);
    fs_tracker_free(single);
    fs_tracker_free(batched);
    model_free(model);
    return ok;
}

/* ---- what failed ---- */

static void print_flags(unsigned flags) {
    static const char letters[] = "FSRPAUECN";
    for (int i = 0; i < 9; i++) {
        if (flags & 1u << i) {
            putchar(letters[i]);
        }
    }
    if (flags == 0) {
        putchar('-');
    }
}

static void print_packet(const struct fs_packet *p) {
    const struct fs_key *key = &p->key;
    unsigned from = p->orientation;
    printf("%s %u:%u > %u:%u len %u", fs_protocol_name(key->protocol), key->address[from][3], key->port[from],
           key->address[!from][3], key->port[!from], p->payload_len);
    if (p->flags & FS_PACKET_HAS_TCP) {
        printf(" flags ");
        print_flags(p->tcp.flags);
        printf(" seq %u ack %u win %u", p->tcp.seq, p->tcp.ack, p->tcp.window);
        if (p->tcp.options & FS_TCP_OPT_WINDOW_SCALE) {
            printf(" wscale %u", p->tcp.window_scale);
        }
    }
    if (p->flags & FS_PACKET_FLOW_LABEL) {
        printf(" label %u", p->flow_label);
    }
    if (p->flags & ~(FS_PACKET_HAS_TCP | FS_PACKET_FLOW_LABEL)) {
        printf(" marks %#x", (unsigned)p->flags & ~(unsigned)(FS_PACKET_HAS_TCP | FS_PACKET_FLOW_LABEL));
    }
}

static void print_sequence(const struct sequence *sequence) {
    const struct fs_tracker_config *config = &sequence->config;
    printf("timeouts (ms): opening %" PRIu64 " tcp %" PRIu64 " closed %" PRIu64 " udp %" PRIu64 " other %" PRIu64
           "%s; max_flows %u%s%s%s; batches of %zu\n",
           config->timeout_ns[0] / 1000000, config->timeout_ns[1] / 1000000, config->timeout_ns[2] / 1000000,
           config->timeout_ns[3] / 1000000, config->timeout_ns[4] / 1000000,
           config->idle_timeout != NULL ? " own_timeout()" : "", config->max_flows,
           config->auto_sweep ? "" : " no auto_sweep", config->roles_by_syn ? "" : " no roles_by_syn",
           config->use_flow_label ? " use_flow_label" : "", sequence->batch);
    for (size_t i = 0; i < sequence->count; i++) {
        const struct op *op = &sequence->ops[i];
        printf("%3zu  %" PRIu64 ".%09" PRIu64 "  ", i + 1, op->packet.time_ns / 1000000000u,
               op->packet.time_ns % 1000000000u);
        switch (op->kind) {
        case OP_PACKET:
            print_packet(&op->packet);
            printf(op->pick > 0 ? " parent: live flow %u\n" : "\n", op->pick - 1);
            break;
        case OP_SWEEP:
            printf("sweep\n");
            break;
        case OP_CLOSE:
            printf("close live flow %u\n", op->pick);
            break;
        case OP_FINISH:
            printf("finish\n");
            break;
        }
    }
}

static void remove_op(struct sequence *sequence, size_t at) {
    memmove(&sequence->ops[at], &sequence->ops[at + 1], (sequence->count - at - 1) * sizeof(sequence->ops[0]));
    sequence->count--;
}

static void shrink(struct sequence *sequence) {
    static struct sequence smaller;
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = sequence->count; i-- > 0;) {
            smaller = *sequence;
            remove_op(&smaller, i);
            if (!run_sequence(&smaller)) {
                *sequence = smaller;
                changed = true;
            }
        }
    }
    run_sequence(sequence); /* for its message */
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void test_random_sequences(void **state) {
    (void)state;
    static struct sequence sequence;
    uint64_t first = number_from("FLOWSCOPE_SEED", 1);
    uint64_t count = number_from("FLOWSCOPE_SEQUENCES", 20000);
    printf("%" PRIu64 " sequences from FLOWSCOPE_SEED=%" PRIu64 "\n", count, first);
    for (uint64_t seed = first; seed < first + count; seed++) {
        random_sequence(&sequence, seed);
        if (run_sequence(&sequence)) {
            continue;
        }
        shrink(&sequence);
        printf("FLOWSCOPE_SEED=%" PRIu64 " FLOWSCOPE_SEQUENCES=1: %s\n", seed, failure);
        print_sequence(&sequence);
        fail_msg("%s", failure);
    }
}

/* The comparison must be able to fail: a model with another setting is noticed. */
static void test_comparison_sees_differences(void **state) {
    (void)state;
    static struct sequence sequence;
    size_t noticed = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        random_sequence(&sequence, seed);
        struct fs_tracker_config config = sequence.config;
        config.on_event = on_event;
        config.user = &single_log;
        struct fs_tracker *single = fs_tracker_new(&config, NULL);
        config.user = &batch_log;
        struct fs_tracker *batched = fs_tracker_new(&config, NULL);
        config.roles_by_syn = !config.roles_by_syn;
        config.timeout_ns[FS_TIMEOUT_TCP_CLOSED] += 1;
        config.timeout_ns[FS_TIMEOUT_UDP] /= 2;
        struct model *model = model_new(&config);
        noticed += !run_with(single, batched, model, &sequence);
        fs_tracker_free(single);
        fs_tracker_free(batched);
        model_free(model);
    }
    assert_in_range(noticed, 5, 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sequences),
        cmocka_unit_test(test_comparison_sees_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
