/* SPDX-License-Identifier: MIT */
/* Packets that change nothing but numbers take a shorter way through the tracker. A tracker that has ticks to watch
 * does without it: both must say the same of every packet and flow. */
#include "flowscope/tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEQUENCES = 3000, STEPS = 150, BATCH = 16 };

#define NO_TICK_NS (3600U * (uint64_t)1000000000000) /* watched for, and never due */

static uint64_t state;

/* SplitMix64 */
static uint32_t draw(uint32_t below) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

static bool one_in(uint32_t n) {
    return draw(n) == 0;
}

/* What both ends of a connection know, and when it is. */
struct connection {
    uint32_t next[2], acked[2];
    uint64_t now_ns;
    uint32_t frame;
    unsigned unusual; /* one in that many packets is something else than data or an acknowledgement */
    bool one_way;
    bool huge;
    bool no_ack; /* what nobody would send: data without acknowledgement, and acknowledgements of 0 */
};

static uint16_t choose_flags(const struct connection *connection) {
    static const uint16_t odd[] = {FS_TCP_SYN, FS_TCP_SYN | FS_TCP_ACK, FS_TCP_FIN | FS_TCP_ACK,
                                   FS_TCP_RST, FS_TCP_RST | FS_TCP_ACK, 0,
                                   FS_TCP_PSH, FS_TCP_URG | FS_TCP_ACK, FS_TCP_AE | FS_TCP_ECE | FS_TCP_ACK};
    if (one_in(connection->unusual))
        return odd[draw(sizeof odd / sizeof odd[0])];
    if (connection->no_ack && one_in(2))
        return FS_TCP_PSH;
    return one_in(2) ? FS_TCP_ACK : FS_TCP_ACK | FS_TCP_PSH;
}

static uint32_t choose_length(const struct connection *connection) {
    if (one_in(3))
        return 0;
    return connection->huge && one_in(2) ? draw(0x7fffffff) : draw(1500);
}

static uint32_t choose_seq(const struct connection *connection, unsigned side) {
    uint32_t next = connection->next[side];
    switch (draw(12)) {
    case 0:
        return next - draw(3000);
    case 1:
        return next + draw(3000);
    case 2:
        return one_in(4) ? draw(UINT32_MAX) : next;
    default:
        return next;
    }
}

static uint32_t choose_ack(struct connection *connection, unsigned side) {
    uint32_t *acked = &connection->acked[side];
    uint32_t in_flight = connection->next[!side] - *acked;
    if (connection->no_ack)
        return 0;
    switch (draw(12)) {
    case 0:
        return *acked - draw(3000);
    case 1:
        return connection->next[!side] + draw(3000);
    case 2:
        return one_in(4) ? draw(UINT32_MAX) : 0;
    case 3:
    case 4:
    case 5:
        *acked += in_flight ? draw(in_flight) : 0;
        return *acked;
    case 6:
    case 7:
        return *acked = connection->next[!side];
    default:
        return *acked;
    }
}

static uint64_t choose_time(struct connection *connection) {
    if (one_in(200))
        connection->now_ns += (uint64_t)(290 + draw(20)) * 1000000000;
    if (one_in(100))
        return connection->now_ns - draw(1000000);
    return connection->now_ns += draw(3000000);
}

static void choose_segment(struct connection *connection, unsigned side, struct fs_packet *packet) {
    packet->key.protocol = FS_PROTO_TCP;
    packet->flags = FS_PACKET_HAS_TCP;
    packet->payload_len = choose_length(connection);
    packet->tcp.flags = choose_flags(connection);
    packet->tcp.seq = choose_seq(connection, side);
    packet->tcp.ack = choose_ack(connection, side);
    packet->tcp.window = (uint16_t)(one_in(20) ? 0 : 400 + draw(300));
    uint32_t end = packet->tcp.seq + packet->payload_len;
    if ((int32_t)(end - connection->next[side]) > 0)
        connection->next[side] = end;
}

static struct fs_packet choose_packet(struct connection *connection) {
    struct fs_packet packet;
    memset(&packet, 0, sizeof packet);
    unsigned side = connection->one_way ? 0 : draw(2);
    uint8_t a[4] = {10, 0, 0, 1}, b[4] = {10, 0, 0, 2};
    bool is_udp = one_in(10);
    (void)fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, a, b, 1000, 80, is_udp ? FS_PROTO_UDP : FS_PROTO_TCP,
                     false);
    packet.orientation = (uint8_t)side;
    packet.time_ns = choose_time(connection);
    packet.frame = ++connection->frame;
    packet.payload_len = draw(1000);
    if (!is_udp)
        choose_segment(connection, side, &packet);
    packet.ip_len = packet.payload_len + 40;
    packet.wire_len = packet.ip_len + 14;
    if (one_in(30))
        packet.flags |= FS_PACKET_DUPLICATE;
    if (one_in(60))
        packet.flags |= FS_PACKET_TRUNCATED;
    if (one_in(90))
        packet.flags |= FS_PACKET_QUOTED;
    if (one_in(90))
        packet.flags &= (uint16_t)~FS_PACKET_HAS_TCP;
    return packet;
}

struct events {
    uint64_t packets;
    uint64_t digest;
};

/* Order, kind and what an event says, in one number. */
static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct events *events = user;
    (void)tracker;
    if (event->kind == FS_EVENT_TICK)
        return;
    events->packets += event->kind == FS_EVENT_PACKET;
    uint64_t said[] = {(uint64_t)event->kind, event->flow, event->time_ns, event->side,
                       event->from,           event->to,   event->end,     event->anomaly};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        events->digest = (events->digest ^ said[i]) * 0x100000001b3;
}

static struct fs_tracker *make(struct events *events, uint64_t tick_ns, bool forever) {
    struct fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    if (forever)
        config.timeout_ns[FS_TIMEOUT_TCP] = UINT64_MAX;
    config.seed = 1;
    config.events = (1U << FS_EVENT_COUNT) - 1;
    config.on_event = on_event;
    config.user = events;
    config.tick_ns = tick_ns;
    struct fs_tracker *tracker = fs_tracker_new(&config, NULL);
    assert_non_null(tracker);
    return tracker;
}

static void compare_flow(const struct fs_tracker *a, const struct fs_tracker *b, uint32_t flow) {
    struct fs_flow_info x, y;
    assert_int_equal(fs_tracker_flow_info(a, flow, &x), fs_tracker_flow_info(b, flow, &y));
    if (fs_tracker_flow_info(a, flow, &x) == FS_OK)
        assert_memory_equal(&x, &y, sizeof x); /* both were cleared before they were filled */
}

static uint64_t run_sequence(uint64_t seed, bool batched) {
    struct events events[2] = {{0, 0}, {0, 0}};
    state = seed;
    bool forever = one_in(4);
    struct fs_tracker *quick = make(&events[0], 0, forever), *slow = make(&events[1], NO_TICK_NS, forever);
    struct fs_packet packets[BATCH];
    struct fs_verdict verdicts[2][BATCH];
    struct connection connection = {.now_ns = 1000000000000};
    connection.unusual = one_in(2) ? 100 : 20;
    connection.one_way = one_in(4);
    connection.huge = one_in(3);
    connection.no_ack = one_in(10);
    connection.next[0] = connection.acked[1] = one_in(2) ? UINT32_MAX - draw(9000) : draw(UINT32_MAX);
    connection.next[1] = connection.acked[0] = draw(UINT32_MAX);
    for (unsigned step = 0; step < STEPS; step += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            packets[i] = choose_packet(&connection);
        if (batched)
            (void)fs_tracker_track_batch(quick, packets, BATCH, verdicts[0]);
        for (unsigned i = 0; i < BATCH; i++) {
            if (!batched)
                (void)fs_tracker_track(quick, &packets[i], FS_NO_NUMBER, &verdicts[0][i]);
            (void)fs_tracker_track(slow, &packets[i], FS_NO_NUMBER, &verdicts[1][i]);
            if (!batched)
                compare_flow(quick, slow, verdicts[1][i].flow);
        }
        assert_memory_equal(verdicts[0], verdicts[1], sizeof verdicts[0]);
        for (uint32_t flow = fs_tracker_next(slow, FS_NO_NUMBER); flow != FS_NO_NUMBER;
             flow = fs_tracker_next(slow, flow))
            compare_flow(quick, slow, flow);
    }
    struct fs_tracker_stats stats[2];
    fs_tracker_get_stats(quick, &stats[0]);
    fs_tracker_get_stats(slow, &stats[1]);
    assert_memory_equal(&stats[0], &stats[1], sizeof stats[0]);
    assert_true(events[0].digest == events[1].digest);
    fs_tracker_free(quick);
    fs_tracker_free(slow);
    return events[0].packets;
}

static void test_one_by_one(void **unused) {
    (void)unused;
    uint64_t packets = 0;
    for (uint64_t seed = 0; seed < SEQUENCES; seed++)
        packets += run_sequence(seed, false);
    assert_true(packets > (uint64_t)SEQUENCES * STEPS / 2);
}

static void test_in_batches(void **unused) {
    (void)unused;
    for (uint64_t seed = 0; seed < SEQUENCES; seed++)
        (void)run_sequence(seed, true);
}

/* More in flight than 32 bits hold, as where one direction of a connection was captured: no timer, no error, and the
 * bytes are counted. */
static void test_gigabytes_in_flight(void **unused) {
    (void)unused;
    struct events events[2] = {{0, 0}, {0, 0}};
    struct fs_tracker *quick = make(&events[0], 0, false), *slow = make(&events[1], NO_TICK_NS, false);
    struct connection connection = {.now_ns = 1, .unusual = 1U << 31, .one_way = true};
    struct fs_packet packet = choose_packet(&connection);
    (void)fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, "\x0a\0\0\1", "\x0a\0\0\2", 1000, 80, FS_PROTO_TCP,
                     false);
    packet.orientation = 0;
    packet.flags = FS_PACKET_HAS_TCP;
    packet.tcp.flags = FS_TCP_ACK;
    packet.tcp.window = 100;
    packet.tcp.seq = packet.tcp.ack = 0xfffff000;
    packet.payload_len = 1000000;
    const unsigned segments = 20000; /* 20 GB */
    for (unsigned i = 0; i < segments; i++) {
        struct fs_verdict a, b;
        (void)fs_tracker_track(quick, &packet, FS_NO_NUMBER, &a);
        (void)fs_tracker_track(slow, &packet, FS_NO_NUMBER, &b);
        assert_memory_equal(&a, &b, sizeof a);
        packet.tcp.seq += packet.payload_len;
        packet.time_ns += 1000;
    }
    compare_flow(quick, slow, 0);
    struct fs_flow_info info;
    assert_int_equal(fs_tracker_flow_info(quick, 0, &info), FS_OK);
    assert_true(info.tcp[0].stream_bytes == (uint64_t)segments * 1000000);
    fs_tracker_free(quick);
    fs_tracker_free(slow);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_by_one), cmocka_unit_test(test_in_batches),
                                       cmocka_unit_test(test_gigabytes_in_flight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
