/* SPDX-License-Identifier: MIT */
/* One test a statement of docs/semantics.md and tracker.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flowscope/tracker.h"
#include "packet_support.h"
#include "tracker_internal.h"

#include <stdlib.h>

#define ALL_EVENTS ((1u << FS_EVENT_COUNT) - 1)

enum { SYN = FS_TCP_SYN, ACK = FS_TCP_ACK, FIN = FS_TCP_FIN, RST = FS_TCP_RST, MAX_REPORTS = 4096 };

static const struct end A = {1, 40000}, B = {2, 80};

/* ---- a tracker, and what it reported ---- */

struct fixture {
    struct fs_tracker *tracker;
    struct fs_tracker_config config;
    struct fs_verdict verdict; /* of the last packet */
    uint64_t now;
    uint32_t frame;
    size_t count;
    struct fs_event events[MAX_REPORTS];
    struct fs_flow_info infos[MAX_REPORTS];
    uint64_t ids[MAX_REPORTS];
};

static struct fixture F;

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct fixture *f = user;
    assert_true(f->count < MAX_REPORTS);
    f->events[f->count] = *event;
    assert_int_equal(fs_tracker_flow_info(tracker, event->flow, &f->infos[f->count]), 0);
    f->ids[f->count] = f->infos[f->count].id;
    f->count++;
}

static void defaults(void) {
    memset(&F, 0, sizeof(F));
    fs_tracker_config_defaults(&F.config);
    F.config.seed = 1;
    F.config.events = ALL_EVENTS;
    F.config.on_event = on_event;
    F.config.user = &F;
    F.now = SECONDS(1000);
}

static void begin(void) {
    F.tracker = fs_tracker_new(&F.config, NULL);
    assert_non_null(F.tracker);
}

static int setup(void **state) {
    (void)state;
    defaults();
    begin();
    return 0;
}

/* For tests that begin() with settings of their own. */
static int setup_defaults(void **state) {
    (void)state;
    defaults();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fs_tracker_free(F.tracker);
    F.tracker = NULL;
    return 0;
}

static void give(struct fs_packet packet) {
    F.count = 0;
    packet.frame = ++F.frame;
    assert_int_equal(fs_tracker_track(F.tracker, &packet, FS_NO_NUMBER, &F.verdict), 0);
}

static void tcp_win(struct end from, struct end to, unsigned flags, uint32_t seq, uint32_t ack, uint32_t payload,
                    uint16_t window) {
    F.now += MS(1);
    struct fs_packet packet = tcp_between(from, to, F.now, flags, seq, ack, payload);
    packet.tcp.window = window;
    give(packet);
}

static void tcp(struct end from, struct end to, unsigned flags, uint32_t seq, uint32_t ack, uint32_t payload) {
    tcp_win(from, to, flags, seq, ack, payload, 8192);
}

static void udp(struct end from, struct end to, uint64_t time_ns) {
    give(udp_between(from, to, time_ns, 10));
}

/* A: ISN 100, B: ISN 500. */
static void handshake(void) {
    tcp(A, B, SYN, 100, 0, 0);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    tcp(A, B, ACK, 101, 501, 0);
}

static void close_both(void) {
    tcp(A, B, FIN | ACK, 101, 501, 0);
    tcp(B, A, FIN | ACK, 501, 102, 0);
    tcp(A, B, ACK, 102, 502, 0);
}

static struct fs_flow_info info_of(uint32_t flow) {
    struct fs_flow_info info;
    assert_int_equal(fs_tracker_flow_info(F.tracker, flow, &info), 0);
    return info;
}

static struct fs_flow_info info(void) {
    return info_of(F.verdict.flow);
}

static struct fs_tracker_stats stats(void) {
    struct fs_tracker_stats got;
    fs_tracker_get_stats(F.tracker, &got);
    uint64_t ended = 0;
    for (int i = 0; i < FS_END_COUNT; i++) {
        ended += got.ended[i];
    }
    assert_int_equal(got.created, ended + got.live);
    return got;
}

/* The kinds of the last call's events, as letters: Started, Opened (established), Changed state, Packet, Tick, Ended,
 * aNomaly. */
static void assert_events(const char *expected) {
    static const char letters[] = "SOCPTEN";
    char got[MAX_REPORTS + 1];
    for (size_t i = 0; i < F.count; i++) {
        got[i] = letters[F.events[i].kind];
    }
    got[F.count] = '\0';
    assert_string_equal(got, expected);
}

static void assert_change(size_t at, enum fs_state from, enum fs_state to) {
    assert_int_equal(F.events[at].from, from);
    assert_int_equal(F.events[at].to, to);
}

/* ---- handshake, roles ---- */

static void test_handshake_events_in_order(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    assert_events("SCP");
    assert_change(1, FS_STATE_ONE_WAY, FS_STATE_SYN_SENT);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    assert_events("CP");
    assert_change(0, FS_STATE_SYN_SENT, FS_STATE_SYN_RECEIVED);
    assert_int_equal(F.events[1].side, FS_RESPONDER);
    tcp(A, B, ACK, 101, 501, 0);
    assert_events("OP");
    assert_change(0, FS_STATE_SYN_RECEIVED, FS_STATE_ESTABLISHED);
    tcp(B, A, ACK, 501, 101, 10);
    assert_events("P");
    assert_non_null(F.events[0].packet);
    assert_int_equal(F.events[0].time_ns, F.now);
    assert_int_equal(F.verdict.packet, 4);
    assert_string_equal(info().history, "ShAd");
    assert_string_equal(info().conn_state, "S1");
    assert_int_equal(info().marks, 0);
}

static void test_one_established_a_flow(void **state) {
    (void)state;
    unsigned established = 0;
    for (int round = 0; round < 2; round++) {
        handshake();
        established += F.events[0].kind == FS_EVENT_ESTABLISHED;
        for (uint32_t i = 0; i < 5; i++) {
            tcp(A, B, ACK, 101 + i * 10, 501, 10);
            tcp(B, A, ACK, 501, 111 + i * 10, 0);
            assert_events("P");
        }
        tcp(A, B, SYN, 100, 0, 0); /* repeated, late */
        assert_events("P");
        assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
        fs_tracker_finish(F.tracker);
    }
    assert_int_equal(established, 2);
}

static void test_only_the_chosen_events_come(void **state) {
    (void)state;
    F.config.events = 1u << FS_EVENT_ENDED;
    begin();
    handshake();
    assert_events("");
    fs_tracker_finish(F.tracker);
    assert_events("E");
}

static void test_default_events_are_all_but_packet_and_tick(void **state) {
    (void)state;
    struct fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    assert_int_equal(config.events, ALL_EVENTS & ~(1u << FS_EVENT_PACKET) & ~(1u << FS_EVENT_TICK));
    assert_int_equal(config.timeout_ns[FS_TIMEOUT_TCP_OPENING], SECONDS(60));
    assert_int_equal(config.timeout_ns[FS_TIMEOUT_TCP], SECONDS(300));
    assert_int_equal(config.timeout_ns[FS_TIMEOUT_TCP_CLOSED], SECONDS(60));
    assert_int_equal(config.timeout_ns[FS_TIMEOUT_UDP], SECONDS(60));
    assert_int_equal(config.timeout_ns[FS_TIMEOUT_OTHER], SECONDS(30));
    assert_int_equal(config.max_flows, 1000000);
    assert_true(config.auto_sweep);
    assert_true(config.roles_by_syn);
    assert_false(config.use_flow_label);
}

static void test_udp_is_established_when_answered(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    assert_events("SP");
    assert_int_equal(F.verdict.state, FS_STATE_ONE_WAY);
    assert_string_equal(info().conn_state, "S0");
    assert_string_equal(info().history, "D");
    assert_int_equal(info().marks, FS_MARK_ONE_SIDED);
    udp(B, A, SECONDS(2));
    assert_events("OP");
    assert_change(0, FS_STATE_ONE_WAY, FS_STATE_TWO_WAY);
    assert_int_equal(F.verdict.side, FS_RESPONDER);
    udp(B, A, SECONDS(3));
    assert_events("P");
    assert_string_equal(info().conn_state, "SF");
    assert_string_equal(info().history, "Dd");
    assert_int_equal(info().marks, 0);
    assert_false(info().is_tcp);
    assert_int_equal(info().side[FS_INITIATOR].packets, 1);
    assert_int_equal(info().side[FS_RESPONDER].packets, 2);
    assert_int_equal(info().side[FS_RESPONDER].payload_bytes, 20);
}

static void test_first_sender_is_the_initiator_in_either_orientation(void **state) {
    (void)state;
    udp(B, A, SECONDS(1));
    assert_int_equal(F.verdict.side, FS_INITIATOR);
    assert_int_equal(F.verdict.orientation, FS_REVERSE);
    assert_int_equal(info().initiator_orientation, FS_REVERSE);
    struct fs_flow_info got = info();
    assert_int_equal(got.key.port[fs_endpoint(&got, FS_INITIATOR)], B.port);
    udp(A, B, SECONDS(1));
    assert_int_equal(F.verdict.side, FS_RESPONDER);
    assert_int_equal(F.verdict.orientation, FS_FORWARD);
}

static void test_syn_ack_first_comes_from_the_responder(void **state) {
    (void)state;
    tcp(B, A, SYN | ACK, 500, 101, 0);
    assert_int_equal(F.verdict.side, FS_RESPONDER);
    assert_int_equal(F.verdict.state, FS_STATE_SYN_RECEIVED);
    assert_int_equal(info().marks, FS_MARK_ROLE_FLIPPED | FS_MARK_ONE_SIDED);
    tcp(A, B, SYN, 100, 0, 0); /* the SYN that was captured late */
    assert_false(F.verdict.created);
    assert_int_equal(F.verdict.side, FS_INITIATOR);
    tcp(A, B, ACK, 101, 501, 0);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_string_equal(info().history, "^hSA");
    assert_int_equal(info().marks, FS_MARK_ROLE_FLIPPED);
}

static void test_roles_by_syn_off_takes_the_first_sender(void **state) {
    (void)state;
    F.config.roles_by_syn = false;
    begin();
    tcp(B, A, SYN | ACK, 500, 101, 0);
    assert_int_equal(F.verdict.side, FS_INITIATOR);
    assert_int_equal(info().marks & FS_MARK_ROLE_FLIPPED, 0);
    assert_string_equal(info().history, "H");
}

static void test_simultaneous_open(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    tcp(B, A, SYN, 500, 0, 0);
    assert_int_equal(F.verdict.side, FS_RESPONDER);
    assert_int_equal(F.verdict.state, FS_STATE_SYN_RECEIVED);
    tcp(A, B, SYN | ACK, 100, 501, 0);
    assert_int_equal(F.verdict.state, FS_STATE_SYN_RECEIVED);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_int_equal(F.verdict.anomalies, 0);
    assert_int_equal(stats().created, 1);
}

static void test_midstream_is_established_and_marked(void **state) {
    (void)state;
    tcp(A, B, ACK, 5000, 9000, 100);
    assert_events("SOP");
    assert_change(1, FS_STATE_ONE_WAY, FS_STATE_ESTABLISHED);
    assert_int_equal(info().marks, FS_MARK_MIDSTREAM | FS_MARK_ONE_SIDED);
    tcp(B, A, ACK, 9000, 5100, 30);
    assert_int_equal(info().marks, FS_MARK_MIDSTREAM);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 100);
    assert_int_equal(info().tcp[FS_RESPONDER].stream_bytes, 30);
    assert_int_equal(info().tcp[FS_INITIATOR].isn, 4999);
    assert_string_equal(info().conn_state, "OTH");
    assert_string_equal(info().history, "Dd");
}

static void test_one_direction_is_enough(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    tcp(A, B, ACK, 101, 501, 0);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_events("OP");
    assert_int_equal(info().marks, FS_MARK_ONE_SIDED);
}

static void test_syn_ack_that_acknowledges_something_else(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    tcp(B, A, SYN | ACK, 500, 7777, 0);
    assert_true(F.verdict.anomalies & FS_ANOMALY_SYN_ACK_MISMATCH);
    assert_int_equal(F.verdict.flow_id, 0);
}

static void test_handshake_times(void **state) {
    (void)state;
    F.now = SECONDS(10);
    tcp(A, B, SYN, 100, 0, 0); /* lost; the repetition counts */
    F.now += SECONDS(1);
    tcp(A, B, SYN, 100, 0, 0);
    F.now += MS(19);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    assert_int_equal(info().handshake_syn_ns, MS(20));
    assert_true(info().handshake_ack_ns == FS_NO_TIME);
    F.now += MS(4);
    tcp(A, B, ACK, 101, 501, 0);
    assert_int_equal(info().handshake_syn_ns, MS(20));
    assert_int_equal(info().handshake_ack_ns, MS(5));
    assert_int_equal(info().tcp[0].rtt.samples + info().tcp[1].rtt.samples, 0);
}

/* ---- round trips ---- */

static void test_rtt_of_data(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 10); /* timed */
    tcp(A, B, ACK, 111, 501, 10); /* not: one at a time */
    tcp(B, A, ACK, 501, 121, 0);
    assert_int_equal(F.verdict.rtt_ns, MS(2));
    tcp(B, A, ACK, 501, 121, 0);
    assert_true(F.verdict.rtt_ns == FS_NO_TIME);
    tcp(A, B, ACK, 121, 501, 10);
    F.now += MS(5);
    tcp(B, A, ACK, 501, 131, 0);
    struct fs_rtt rtt = info().tcp[FS_INITIATOR].rtt;
    assert_int_equal(rtt.samples, 2);
    assert_int_equal(rtt.minimum_ns, MS(2));
    assert_int_equal(rtt.maximum_ns, MS(6));
    assert_int_equal(rtt.mean_ns, MS(4));
    assert_int_equal(info().tcp[FS_RESPONDER].rtt.samples, 0);
}

static void test_rtt_not_across_retransmissions(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 10);
    tcp(A, B, ACK, 101, 501, 10);
    assert_true(F.verdict.retransmission);
    tcp(B, A, ACK, 501, 111, 0);
    assert_true(F.verdict.rtt_ns == FS_NO_TIME);
    assert_int_equal(info().tcp[FS_INITIATOR].rtt.samples, 0);
    assert_int_equal(info().tcp[FS_INITIATOR].retransmissions, 1);
}

/* ---- closing ---- */

static void test_fin_of_both_sides_closes(void **state) {
    (void)state;
    handshake();
    tcp(A, B, FIN | ACK, 101, 501, 0);
    assert_int_equal(F.verdict.state, FS_STATE_HALF_CLOSED);
    tcp(B, A, ACK, 501, 102, 0);
    assert_int_equal(F.verdict.state, FS_STATE_HALF_CLOSED);
    tcp(B, A, ACK, 501, 102, 20); /* the other side may go on */
    assert_int_equal(F.verdict.state, FS_STATE_HALF_CLOSED);
    tcp(B, A, FIN | ACK, 521, 102, 0);
    assert_int_equal(F.verdict.state, FS_STATE_CLOSING);
    tcp(A, B, ACK, 102, 521, 0); /* the data, not the FIN */
    assert_int_equal(F.verdict.state, FS_STATE_CLOSING);
    tcp(A, B, ACK, 102, 522, 0);
    assert_events("CP");
    assert_int_equal(F.verdict.state, FS_STATE_CLOSED);
    assert_string_equal(info().history, "ShAFadf");
    assert_string_equal(info().conn_state, "SF");
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 0);
    assert_int_equal(info().tcp[FS_RESPONDER].stream_bytes, 20);
}

static void test_repeated_fin_of_one_side_does_not_close(void **state) {
    (void)state;
    handshake();
    for (int i = 0; i < 4; i++) {
        tcp(A, B, FIN | ACK, 101, 501, 0);
        assert_int_equal(F.verdict.state, FS_STATE_HALF_CLOSED);
    }
    assert_string_equal(info().history, "ShAF");
}

static void test_conn_states_of_half_closed(void **state) {
    (void)state;
    handshake();
    tcp(A, B, FIN | ACK, 101, 501, 0);
    assert_string_equal(info().conn_state, "S2");
    fs_tracker_finish(F.tracker);
    handshake();
    tcp(B, A, FIN | ACK, 501, 101, 0);
    assert_string_equal(info().conn_state, "S3");
    fs_tracker_finish(F.tracker);
    tcp(A, B, SYN, 100, 0, 0);
    assert_string_equal(info().conn_state, "S0");
    tcp(A, B, FIN | ACK, 101, 501, 0);
    assert_string_equal(info().conn_state, "SH");
    fs_tracker_finish(F.tracker);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    tcp(B, A, FIN | ACK, 501, 101, 0);
    assert_string_equal(info().conn_state, "SHR");
}

static void test_tombstone_absorbs_what_comes_late(void **state) {
    (void)state;
    handshake();
    close_both();
    assert_int_equal(F.verdict.state, FS_STATE_CLOSED);
    tcp(B, A, FIN | ACK, 501, 102, 0);
    assert_events("P");
    tcp(A, B, ACK, 102, 502, 0);
    assert_events("P");
    assert_int_equal(F.verdict.state, FS_STATE_CLOSED);
    assert_int_equal(F.verdict.anomalies, 0);
    tcp(A, B, ACK, 102, 502, 40);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_AFTER_END);
    tcp(A, B, RST, 102, 0, 0);
    assert_int_equal(F.verdict.state, FS_STATE_CLOSED);
    assert_int_equal(stats().created, 1);
    fs_tracker_sweep(F.tracker, F.now + SECONDS(60));
    assert_int_equal(stats().ended[FS_END_FIN], 1);
}

static void test_closed_timeout_0_ends_at_once(void **state) {
    (void)state;
    F.config.timeout_ns[FS_TIMEOUT_TCP_CLOSED] = 0;
    begin();
    handshake();
    close_both();
    assert_true(F.verdict.ended);
    assert_events("CPE");
    assert_int_equal(F.events[2].end, FS_END_FIN);
    assert_int_equal(stats().live, 0);
    tcp(A, B, RST, 102, 0, 0);
    assert_true(F.verdict.created && F.verdict.ended);
    assert_int_equal(F.events[F.count - 1].end, FS_END_RST);
}

static void test_closed_timeout_0_ends_at_once_when_time_steps_back(void **state) {
    (void)state;
    F.config.timeout_ns[FS_TIMEOUT_TCP_CLOSED] = 0;
    begin();
    handshake();
    F.now -= MS(100);
    tcp(A, B, RST, 101, 0, 0);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_TIME_BACKWARDS);
    assert_true(F.verdict.ended);
    assert_int_equal(stats().ended[FS_END_RST], 1);
}

/* A closed flow says when it closed, and what removed it. */
static void test_closed_flows_say_when_and_what_ended_them(void **state) {
    (void)state;
    handshake();
    tcp(A, B, FIN | ACK, 101, 501, 0);
    assert_int_equal(F.infos[0].closed_ns, FS_NO_TIME);
    tcp(B, A, FIN | ACK, 501, 102, 0);
    uint64_t closed = F.now;
    assert_int_equal(F.infos[F.count - 1].closed_ns, closed);
    assert_true(F.infos[F.count - 1].tcp[0].acknowledged);
    assert_false(F.infos[F.count - 1].tcp[1].acknowledged);
    tcp(A, B, ACK, 102, 502, 0);
    assert_int_equal(F.infos[F.count - 1].closed_ns, closed);
    assert_int_equal(F.infos[F.count - 1].end, FS_END_LIVE);
    assert_int_equal(F.infos[F.count - 1].ended_by, FS_END_LIVE);
    F.count = 0;
    fs_tracker_sweep(F.tracker, F.now + SECONDS(60));
    assert_int_equal(F.infos[0].end, FS_END_FIN);
    assert_int_equal(F.infos[0].ended_by, FS_END_IDLE);
    assert_int_equal(F.infos[0].closed_ns, closed);
    assert_true(F.infos[0].tcp[1].acknowledged);
}

static void test_one_way_timeouts(void **state) {
    (void)state;
    F.config.timeout_ns[FS_TIMEOUT_UDP_ONE_WAY] = SECONDS(5);
    F.config.timeout_ns[FS_TIMEOUT_OTHER_ONE_WAY] = SECONDS(7);
    begin();
    udp(A, B, SECONDS(1000));
    give(packet_between(FS_PROTO_SCTP, A, B, SECONDS(1000)));
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1005) - 1), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1005)), 1);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1007)), 1);
    udp(A, B, SECONDS(1010));
    udp(B, A, SECONDS(1011)); /* an answer: the longer one from now on */
    give(packet_between(FS_PROTO_SCTP, A, B, SECONDS(1010)));
    give(packet_between(FS_PROTO_SCTP, B, A, SECONDS(1011)));
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1040)), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1041)), 1);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(1071)), 1);
}

static void test_timeouts_like(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t seconds[FS_TIMEOUT_COUNT];
    } cases[] = {{"flowscope", {60, 300, 60, 60, 30, 0, 0}},
                 {"zeek", {5, 300, 5, 60, 60, 0, 0}},
                 {"suricata", {60, 600, 60, 300, 300, 30, 30}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(fs_timeouts_like(&F.config, cases[i].name), 0);
        for (int class = 0; class < FS_TIMEOUT_COUNT; class ++)
            assert_int_equal(F.config.timeout_ns[class], SECONDS(cases[i].seconds[class]));
    }
    assert_int_equal(fs_timeouts_like(&F.config, "bro"), FS_ERR_INVALID);
    assert_int_equal(F.config.timeout_ns[FS_TIMEOUT_TCP], SECONDS(600));
}

static void test_lost_data_before_a_fin_must_be_acknowledged_too(void **state) {
    (void)state;
    handshake();
    tcp(A, B, FIN | ACK, 201, 501, 0); /* 100 bytes before it were not captured */
    tcp(B, A, FIN | ACK, 501, 101, 0);
    tcp(A, B, ACK, 202, 502, 0);
    assert_int_equal(F.verdict.state, FS_STATE_CLOSING);
    tcp(B, A, ACK, 502, 202, 0);
    assert_int_equal(F.verdict.state, FS_STATE_CLOSED);
}

/* ---- port reuse ---- */

static void test_syn_after_close_is_a_new_flow(void **state) {
    (void)state;
    handshake();
    close_both();
    tcp(A, B, SYN, 90000, 0, 0);
    assert_events("ESNCP");
    assert_int_equal(F.events[0].end, FS_END_FIN);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_PORT_REUSE);
    assert_true(F.verdict.created);
    assert_int_equal(F.verdict.flow_id, 1);
    assert_int_equal(F.verdict.packet, 1);
    assert_true(info().marks & FS_MARK_PORT_REUSED);
    assert_int_equal(stats().ended[FS_END_FIN], 1);
}

static void test_same_isn_after_fin_is_a_new_flow_too(void **state) {
    (void)state;
    handshake();
    close_both();
    tcp(A, B, SYN, 100, 0, 0);
    assert_true(F.verdict.created);
}

static void test_other_isn_in_an_open_flow_is_port_reuse(void **state) {
    (void)state;
    handshake();
    tcp(A, B, SYN, 90000, 0, 0);
    assert_true(F.verdict.created);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_SYN_IN_FLOW);
    assert_int_equal(F.events[0].end, FS_END_PORT_REUSE);
    assert_int_equal(stats().ended[FS_END_PORT_REUSE], 1);
}

static void test_same_isn_is_a_repetition(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    tcp(A, B, SYN, 100, 0, 0);
    assert_false(F.verdict.created);
    assert_int_equal(F.verdict.packet, 2);
    assert_int_equal(F.verdict.anomalies, 0);
    assert_string_equal(info().history, "S");
}

static void test_reuse_by_the_other_side_swaps_roles(void **state) {
    (void)state;
    handshake();
    close_both();
    tcp(B, A, SYN, 777, 0, 0);
    assert_true(F.verdict.created);
    assert_int_equal(F.verdict.side, FS_INITIATOR);
    assert_int_equal(info().initiator_orientation, FS_REVERSE);
}

/* ---- resets ---- */

static void test_blind_reset_is_refused(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 10);
    tcp(A, B, RST, 111 + 5000000, 0, 0);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_RST_OUT_OF_WINDOW);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_events("NP");
    assert_string_equal(info().history, "ShAD");
    assert_string_equal(info().conn_state, "S1");
    assert_int_equal(info().side[FS_INITIATOR].packets, 4);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 10);
    tcp(A, B, RST, 111, 0, 0);
    assert_int_equal(F.verdict.state, FS_STATE_RESET);
    assert_string_equal(info().history, "ShADR");
    assert_string_equal(info().conn_state, "RSTO");
}

static void test_refused_connection(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    tcp(B, A, RST | ACK, 0, 101, 0);
    assert_int_equal(F.verdict.state, FS_STATE_RESET);
    assert_int_equal(F.verdict.anomalies, 0);
    assert_string_equal(info().history, "Sr");
    assert_string_equal(info().conn_state, "REJ");
    assert_int_equal(info().tcp[FS_RESPONDER].stream_bytes, 0);
}

static void test_conn_states_of_resets(void **state) {
    (void)state;
    handshake();
    tcp(B, A, RST | ACK, 501, 101, 0);
    assert_string_equal(info().conn_state, "RSTR");
    fs_tracker_finish(F.tracker);
    tcp(A, B, SYN, 100, 0, 0);
    tcp(A, B, RST, 101, 0, 0);
    assert_string_equal(info().conn_state, "RSTOS0");
    fs_tracker_finish(F.tracker);
    tcp(B, A, SYN | ACK, 500, 101, 0);
    tcp(B, A, RST, 501, 0, 0);
    assert_string_equal(info().conn_state, "RSTRH");
}

/* Zeek: RSTOS0 needs a SYN from the initiator and nothing but it before the RST. */
static void test_midstream_reset_is_not_rstos0(void **state) {
    (void)state;
    tcp(A, B, ACK, 5000, 9000, 100);
    tcp(A, B, RST | ACK, 5100, 9000, 0);
    assert_string_equal(info().history, "DR");
    assert_string_equal(info().conn_state, "OTH");
}

static void test_reset_after_reset_changes_nothing(void **state) {
    (void)state;
    handshake();
    tcp(A, B, RST, 101, 0, 0);
    tcp(A, B, RST, 101, 0, 0);
    assert_events("P");
    assert_string_equal(info().history, "ShAR");
    tcp(A, B, RST, 102, 0, 0); /* another number */
    assert_string_equal(info().history, "ShARR");
}

static void test_impossible_flags(void **state) {
    (void)state;
    static const unsigned bad[] = {0, SYN | FIN, SYN | RST, FIN | RST, SYN | FIN | RST, FS_TCP_ECE};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tcp(A, B, bad[i], 100, 0, 0);
        assert_true(F.verdict.anomalies & FS_ANOMALY_BAD_FLAGS);
        fs_tracker_finish(F.tracker);
    }
    tcp(A, B, SYN | FIN, 100, 0, 0);
    assert_string_equal(info().history, "Q");
    fs_tracker_finish(F.tracker);
    tcp(A, B, FIN | RST, 100, 0, 0);
    assert_string_equal(info().history, "I");
}

static void test_acknowledges_what_was_never_seen(void **state) {
    (void)state;
    handshake();
    tcp(B, A, ACK, 501, 1101, 0);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_ACK_UNSEEN);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 1000); /* it must have been there */
    tcp(B, A, ACK, 501, 1101, 10);                                 /* known by now */
    assert_int_equal(F.verdict.anomalies, 0);
}

/* ---- data ---- */

static void test_keep_alive_is_no_data(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 10);
    tcp(B, A, ACK, 501, 111, 0);
    tcp(A, B, ACK, 110, 501, 0); /* one before the next */
    assert_false(F.verdict.retransmission);
    assert_int_equal(F.verdict.anomalies, 0);
    tcp(B, A, ACK, 501, 111, 0);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 10);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_string_equal(info().history, "ShADa");
}

static void test_zero_window_letters(void **state) {
    (void)state;
    handshake();
    for (int i = 1; i <= 100; i++) {
        tcp_win(B, A, ACK, 501, 101, 0, 0);
        if (i == 1) {
            assert_string_equal(info().history, "ShAaw");
        }
    }
    assert_string_equal(info().history, "ShAawww");
    assert_int_equal(info().tcp[FS_RESPONDER].zero_windows, 100);
    assert_int_equal(info().tcp[FS_RESPONDER].window_minimum, 0);
    tcp_win(A, B, RST, 101, 0, 0, 0);
    assert_string_equal(info().history, "ShAawwwR");
}

static void test_windows_are_scaled_if_both_offer(void **state) {
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct fs_packet syn = tcp_between(A, B, ++F.now, SYN, 100, 0, 0);
        syn.tcp.options = FS_TCP_OPT_WINDOW_SCALE;
        syn.tcp.window_scale = 7;
        give(syn);
        struct fs_packet answer = tcp_between(B, A, ++F.now, SYN | ACK, 500, 101, 0);
        answer.tcp.options = both ? FS_TCP_OPT_WINDOW_SCALE : 0;
        answer.tcp.window_scale = both ? 2 : 0;
        give(answer);
        tcp_win(A, B, ACK, 101, 501, 0, 1000);
        tcp_win(B, A, ACK, 501, 101, 0, 300);
        tcp_win(B, A, ACK, 501, 101, 0, 500);
        assert_int_equal(info().tcp[FS_INITIATOR].window_maximum, both ? 128000 : 1000);
        assert_int_equal(info().tcp[FS_RESPONDER].window_minimum, both ? 1200 : 300);
        assert_int_equal(info().tcp[FS_RESPONDER].window_maximum, both ? 2000 : 500);
        assert_int_equal(info().tcp[FS_INITIATOR].window_scale, both ? 7 : 0);
        fs_tracker_finish(F.tracker);
    }
}

static void test_retransmission_letters_are_logarithmic(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 10);
    for (int i = 0; i < 100; i++) {
        tcp(A, B, ACK, 101, 501, 10);
        assert_true(F.verdict.retransmission);
    }
    assert_string_equal(info().history, "ShADTTT");
    assert_int_equal(info().tcp[FS_INITIATOR].retransmissions, 100);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 10);
    assert_int_equal(info().side[FS_INITIATOR].payload_bytes, 1010);
    tcp(A, B, ACK, 106, 501, 10); /* half of it is new */
    assert_false(F.verdict.retransmission);
}

static void test_history_of_a_long_flow_keeps_its_end(void **state) {
    (void)state;
    handshake();
    for (uint32_t i = 0; i < 20; i++) {
        tcp(A, B, ACK, 101 + 10 * i, 501 + 10 * i, 10);
        tcp(B, A, ACK, 501 + 10 * i, 111 + 10 * i, 10);
    }
    tcp(A, B, FIN | ACK, 301, 701, 0);
    tcp(B, A, FIN | ACK, 701, 302, 0);
    tcp(A, B, ACK, 302, 702, 0);
    assert_string_equal(info().history, "ShADdFf");
    assert_int_equal(info().marks, 0);
}

static void test_history_that_is_full_is_marked(void **state) {
    (void)state;
    handshake();
    for (uint32_t i = 0; i < 30; i++) {
        tcp(A, B, FIN | ACK, 101 + 10 * i, 501, 9); /* each with another end */
    }
    assert_int_equal(strlen(info().history), FS_HISTORY_MAX);
    assert_string_equal(info().history, "ShAFFFFFFFFFFFFFFFFFFFFF");
    assert_true(info().marks & FS_MARK_HISTORY_FULL);
}

static void test_data_on_the_syn_is_counted(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 50);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 50);
    tcp(B, A, SYN | ACK, 500, 151, 20);
    assert_int_equal(F.verdict.anomalies, 0);
    tcp(A, B, ACK, 151, 521, 5);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 55);
    assert_int_equal(info().tcp[FS_RESPONDER].stream_bytes, 20);
}

static void test_holes_and_reordering_count_once(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 201, 501, 100); /* 100 bytes before it were not captured */
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 200);
    tcp(A, B, ACK, 101, 501, 50);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 200);
}

enum { SEGMENT = 65536 };

/* `acked`: whether the other side is captured. */
static void long_transfer(bool acked) {
    const uint64_t total = 5400000000u / SEGMENT * SEGMENT; /* over 4 GiB, and past the 32-bit wrap more than once */
    uint32_t seq = 0xfff00000u;
    tcp(A, B, SYN, seq++, 0, 0);
    if (acked) {
        tcp(B, A, SYN | ACK, 500, seq, 0);
    }
    for (uint64_t sent = 0; sent < total; sent += SEGMENT) {
        tcp(A, B, ACK, seq, 501, SEGMENT);
        assert_false(F.verdict.retransmission);
        seq += SEGMENT;
        if (acked && sent % (SEGMENT * 64) == 0) {
            tcp(B, A, ACK, 501, seq, 0);
        }
        if (sent % (SEGMENT * 4096u) == 0) {
            assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, sent + SEGMENT);
        }
    }
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, total);
    assert_int_equal(info().side[FS_INITIATOR].payload_bytes, total);
    tcp(A, B, FIN | ACK, seq, 501, 0);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, total);
    assert_int_equal(stats().created, 1);
}

static void test_stream_bytes_over_wraps(void **state) {
    (void)state;
    long_transfer(true);
}

static void test_stream_bytes_over_wraps_without_acknowledgements(void **state) {
    (void)state;
    long_transfer(false);
}

/* Three times 4 GiB, of which the capture holds the acknowledgements only: still counted from the first packet on. */
static void test_stream_bytes_by_acknowledgements(void **state) {
    (void)state;
    handshake();
    tcp(A, B, ACK, 101, 501, 1);
    uint32_t ack = 102;
    const uint64_t step = 1u << 30;
    for (uint64_t i = 1; i <= 13; i++) {
        ack += (uint32_t)step;
        tcp(B, A, ACK, 501, ack, 0);
        assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 1 + i * step);
    }
}

static void test_only_the_ends_of_a_long_transfer(void **state) {
    (void)state;
    handshake();
    tcp(A, B, FIN | ACK, 101 + 3000000000u, 501, 0);
    assert_int_equal(info().tcp[FS_INITIATOR].stream_bytes, 3000000000u);
}

/* ---- time ---- */

static void test_timeout_is_inclusive(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    udp(A, B, SECONDS(61) - 1);
    assert_false(F.verdict.created);
    udp(A, B, SECONDS(121) - 1);
    assert_true(F.verdict.created);
    assert_int_equal(F.events[0].end, FS_END_IDLE);
    assert_int_equal(F.infos[0].last_ns, SECONDS(61) - 1);
    assert_int_equal(stats().ended[FS_END_IDLE], 1);
}

static void test_timeout_is_inclusive_without_auto_sweep(void **state) {
    (void)state;
    F.config.auto_sweep = false;
    begin();
    udp(A, B, SECONDS(1));
    udp(B, (struct end){9, 9}, SECONDS(500));
    assert_int_equal(stats().live, 2); /* nobody swept */
    udp(A, B, SECONDS(61));
    assert_events("ESP");
    assert_int_equal(F.events[0].end, FS_END_IDLE);
}

static void test_half_open_expires_early(void **state) {
    (void)state;
    tcp(A, B, SYN, 100, 0, 0);
    struct end other = {7, 7};
    F.now = SECONDS(2000);
    tcp(other, B, SYN, 1, 0, 0);
    tcp(B, other, SYN | ACK, 1, 2, 0);
    tcp(other, B, ACK, 2, 2, 0);
    assert_int_equal(stats().ended[FS_END_IDLE], 1);
    assert_int_equal(fs_tracker_sweep(F.tracker, F.now + SECONDS(60)), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, F.now + SECONDS(300) - 1), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, F.now + SECONDS(300)), 1);
}

static void test_each_class_has_its_timeout(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    give(packet_between(FS_PROTO_UDPLITE, A, B, SECONDS(1)));
    give(packet_between(FS_PROTO_SCTP, A, B, SECONDS(1)));
    give(packet_between(FS_PROTO_ICMP, A, B, SECONDS(1)));
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(31) - 1), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(31)), 2);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(61)), 2);
}

static void test_packets_of_others_expire_a_flow(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    udp(A, (struct end){3, 3}, SECONDS(62));
    assert_events("ESP");
    assert_null(F.events[0].packet);
    assert_int_equal(F.ids[0], 0);
}

static void test_time_backwards_ends_nothing(void **state) {
    (void)state;
    udp(A, B, SECONDS(100));
    udp(A, B, SECONDS(50));
    assert_false(F.verdict.created);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_TIME_BACKWARDS);
    assert_int_equal(info().first_ns, SECONDS(50));
    assert_int_equal(info().last_ns, SECONDS(100));
    udp(A, (struct end){3, 3}, SECONDS(10));
    assert_int_equal(stats().live, 2);
    udp(A, B, SECONDS(160) - 1); /* counted from 100 */
    assert_false(F.verdict.created);
    assert_int_equal(info().side[FS_INITIATOR].packets, 3);
}

static uint64_t two_seconds_for_port_80(const struct fs_packet *packet, void *user) {
    (void)user;
    return packet->key.port[0] == 80 || packet->key.port[1] == 80 ? SECONDS(2) : 0;
}

static void test_idle_timeout_of_ones_own(void **state) {
    (void)state;
    F.config.idle_timeout = two_seconds_for_port_80;
    begin();
    udp(A, B, SECONDS(1));
    udp(A, (struct end){2, 81}, SECONDS(1));
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(3) - 1), 0);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(3)), 1);
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(61)), 1);
    handshake(); /* in every state: an open connection too */
    assert_int_equal(fs_tracker_sweep(F.tracker, F.now + SECONDS(2)), 1);
}

static void test_ticks_come_with_packets(void **state) {
    (void)state;
    F.config.tick_ns = SECONDS(1);
    begin();
    udp(A, B, MS(10000));
    assert_events("SP");
    udp(A, B, MS(10999));
    assert_events("P");
    udp(A, B, MS(11000));
    assert_events("PT");
    udp(A, B, MS(11500));
    assert_events("P");
    udp(A, B, MS(15000)); /* once, not four times */
    assert_events("PT");
    udp(A, B, MS(15001));
    assert_events("P");
    udp(A, B, MS(9000));
    assert_events("NP");
}

static struct end nth(uint32_t n) {
    return (struct end){(uint16_t)(100 + n / 60000), (uint16_t)(n % 60000)};
}

/* A sweep touches what it ends: what is told by its callbacks is told without a clock. */
static void test_sweep_reports_what_it_ends(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 1000; n++) {
        udp(nth(n), B, SECONDS(1) + MS(10) * n);
    }
    F.count = 0;
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(61) + MS(10) * 99), 100);
    assert_int_equal(F.count, 100);
    for (size_t i = 0; i < F.count; i++) {
        assert_int_equal(F.events[i].kind, FS_EVENT_ENDED);
        assert_int_equal(F.events[i].time_ns, SECONDS(61) + MS(10) * 99);
        assert_null(F.events[i].packet);
        assert_true(F.ids[i] < 100);
    }
    F.count = 0;
    assert_int_equal(fs_tracker_sweep(F.tracker, SECONDS(61) + MS(10) * 99), 0);
    assert_int_equal(F.count, 0);
    assert_int_equal(stats().live, 900);
}

/* ---- ends ---- */

static void test_close_one(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    uint32_t flow = F.verdict.flow;
    F.count = 0;
    assert_int_equal(fs_tracker_close(F.tracker, flow), 0);
    assert_events("E");
    assert_int_equal(F.events[0].end, FS_END_FORCED);
    assert_null(F.events[0].packet);
    assert_int_equal(fs_tracker_close(F.tracker, flow), FS_ERR_NOT_FOUND);
    assert_int_equal(fs_tracker_close(F.tracker, FS_NO_NUMBER), FS_ERR_NOT_FOUND);
    handshake();
    close_both();
    fs_tracker_close(F.tracker, F.verdict.flow);
    assert_int_equal(stats().ended[FS_END_FIN], 1);
    assert_int_equal(stats().ended[FS_END_FORCED], 1);
}

static void test_finish_ends_in_order_of_creation(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 300; n++) {
        udp(nth(n * 7919 % 300), B, SECONDS(100) - MS(n * 37 % 300));
    }
    for (uint32_t flow = 0; flow < 300; flow += 3) { /* holes, filled by younger ones */
        fs_tracker_close(F.tracker, flow);
    }
    for (uint32_t n = 0; n < 50; n++) {
        udp(nth(1000 + n), B, SECONDS(100));
    }
    F.now = SECONDS(100);
    handshake();
    tcp(A, B, RST, 101, 0, 0);
    F.count = 0;
    fs_tracker_finish(F.tracker);
    assert_int_equal(F.count, 251);
    for (size_t i = 0; i < F.count; i++) {
        assert_int_equal(F.events[i].end, i + 1 < F.count ? FS_END_INPUT : FS_END_RST);
        assert_true(i == 0 || F.ids[i] > F.ids[i - 1]);
    }
    assert_int_equal(stats().live, 0);
    udp(A, B, SECONDS(100));
    assert_int_equal(F.verdict.flow_id, 351);
}

static void test_iteration_meets_every_live_flow_once(void **state) {
    (void)state;
    assert_int_equal(fs_tracker_next(F.tracker, FS_NO_NUMBER), FS_NO_NUMBER);
    for (uint32_t n = 0; n < 1000; n++) {
        udp(nth(n), B, SECONDS(1));
    }
    for (uint32_t n = 0; n < 1000; n += 2) {
        fs_tracker_close(F.tracker, n);
    }
    bool met[1000] = {false};
    uint32_t count = 0;
    for (uint32_t flow = fs_tracker_next(F.tracker, FS_NO_NUMBER); flow != FS_NO_NUMBER;
         flow = fs_tracker_next(F.tracker, flow)) {
        uint64_t id = fs_tracker_flow_id(F.tracker, flow);
        assert_true(id < 1000 && !met[id]);
        met[id] = true;
        count++;
        assert_true(count <= 1000);
        fs_tracker_close(F.tracker, flow); /* allowed */
    }
    assert_int_equal(count, 500);
}

static void test_find_by_key(void **state) {
    (void)state;
    struct fs_packet packet = udp_between(A, B, SECONDS(1), 1);
    assert_int_equal(fs_tracker_find(F.tracker, &packet.key), FS_NO_NUMBER);
    give(packet);
    assert_int_equal(fs_tracker_find(F.tracker, &packet.key), F.verdict.flow);
    fs_tracker_close(F.tracker, F.verdict.flow);
    assert_int_equal(fs_tracker_find(F.tracker, &packet.key), FS_NO_NUMBER);
}

static void test_numbers_that_are_not_live(void **state) {
    (void)state;
    struct fs_flow_info got;
    static const uint32_t numbers[] = {0, 1, 4096, 0x7fffffff, 0x80000000u, FS_NO_NUMBER};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(fs_tracker_flow_info(F.tracker, numbers[i], &got), FS_ERR_NOT_FOUND);
        assert_true(fs_tracker_flow_id(F.tracker, numbers[i]) == FS_NO_FLOW);
        assert_null(fs_tracker_flow_user(F.tracker, numbers[i]));
        assert_int_equal(fs_tracker_set_flow_user(F.tracker, numbers[i], &got), FS_ERR_NOT_FOUND);
        assert_int_equal(fs_tracker_close(F.tracker, numbers[i]), FS_ERR_NOT_FOUND);
    }
}

/* ---- user pointers ---- */

enum { USERS = 400 };
static unsigned destroyed[USERS];
static bool ended_first[USERS];

static void set_user(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    (void)user;
    uint64_t id = fs_tracker_flow_id(tracker, event->flow);
    if (event->kind == FS_EVENT_STARTED && id < USERS) {
        assert_null(fs_tracker_flow_user(tracker, event->flow));
        assert_int_equal(fs_tracker_set_flow_user(tracker, event->flow, &destroyed[id]), 0);
    }
    if (event->kind == FS_EVENT_ENDED) {
        unsigned *own = fs_tracker_flow_user(tracker, event->flow);
        assert_non_null(own);
        assert_int_equal(*own, 0);
        ended_first[own - destroyed] = true;
    }
}

static void destroy(void *flow_user, void *user) {
    assert_ptr_equal(user, &F);
    ++*(unsigned *)flow_user;
}

/* Idle, evicted, port reuse, fin, rst, forced, end of input, and fs_tracker_free(). */
static void test_user_pointer_is_destroyed_once_however_a_flow_ends(void **state) {
    (void)state;
    memset(destroyed, 0, sizeof(destroyed));
    memset(ended_first, 0, sizeof(ended_first));
    F.config.on_event = set_user;
    F.config.destroy_flow_user = destroy;
    F.config.max_flows = 20;
    begin();
    handshake();
    close_both();
    tcp(A, B, SYN, 9000, 0, 0);
    tcp(A, B, SYN, 19000, 0, 0);
    tcp(A, B, RST, 19001, 0, 0);
    tcp(A, B, SYN, 29000, 0, 0);
    for (uint32_t n = 0; n < 100; n++) {
        udp(nth(n), B, F.now);
    }
    fs_tracker_close(F.tracker, F.verdict.flow);
    fs_tracker_sweep(F.tracker, F.now + SECONDS(200));
    for (uint32_t n = 0; n < 10; n++) {
        udp(nth(n), B, F.now + SECONDS(201));
    }
    fs_tracker_finish(F.tracker);
    struct fs_tracker_stats got = stats();
    for (int end = FS_END_FIN; end < FS_END_COUNT; end++) {
        assert_true(got.ended[end] > 0);
    }
    for (uint32_t n = 0; n < 10; n++) {
        udp(nth(n), B, F.now + SECONDS(202));
    }
    got = stats();
    assert_int_equal(got.live, 10);
    fs_tracker_free(F.tracker);
    F.tracker = NULL;
    for (uint64_t id = 0; id < got.created; id++) {
        assert_int_equal(destroyed[id], 1);
        assert_int_equal(ended_first[id], id < got.created - 10);
    }
}

static void test_user_pointer_is_kept(void **state) {
    (void)state;
    int mine = 0;
    udp(A, B, SECONDS(1));
    assert_null(fs_tracker_flow_user(F.tracker, F.verdict.flow));
    fs_tracker_set_flow_user(F.tracker, F.verdict.flow, &mine);
    udp(B, A, SECONDS(2));
    assert_ptr_equal(fs_tracker_flow_user(F.tracker, F.verdict.flow), &mine);
    fs_tracker_close(F.tracker, F.verdict.flow);
    assert_null(fs_tracker_flow_user(F.tracker, F.verdict.flow));
    udp(A, B, SECONDS(3)); /* the number may be the same, the pointer is not */
    assert_null(fs_tracker_flow_user(F.tracker, F.verdict.flow));
}

/* ---- eviction ---- */

static void test_flood_does_not_push_out_established(void **state) {
    (void)state;
    F.config.max_flows = 100;
    F.config.events = (1u << FS_EVENT_ENDED);
    begin();
    for (uint32_t n = 0; n < 50; n++) {
        struct end client = nth(n);
        tcp(client, B, SYN, 100, 0, 0);
        tcp(B, client, SYN | ACK, 500, 101, 0);
        tcp(client, B, ACK, 101, 501, 0);
    }
    for (uint32_t n = 0; n < 5000; n++) {
        tcp(nth(10000 + n), B, SYN, 1, 0, 0);
        for (size_t i = 0; i < F.count; i++) {
            assert_int_equal(F.events[i].end, FS_END_EVICTED);
            assert_true(F.ids[i] >= 50);
        }
    }
    assert_int_equal(stats().live, 100);
    assert_int_equal(stats().ended[FS_END_EVICTED], 4950);
    assert_int_equal(stats().anomalies[8], 4950);
}

static void test_eviction_takes_who_would_expire_first(void **state) {
    (void)state;
    F.config.max_flows = 3;
    begin();
    give(packet_between(FS_PROTO_SCTP, A, B, SECONDS(25))); /* id 0: until 55 */
    udp(A, B, SECONDS(1));                                  /* id 1: until 61 */
    udp(A, (struct end){3, 3}, SECONDS(2));                 /* id 2: until 62 */
    udp(A, (struct end){4, 4}, SECONDS(26));
    assert_events("ESNP");
    assert_int_equal(F.ids[0], 0);
    assert_int_equal(F.verdict.anomalies, FS_ANOMALY_EVICTION);
    udp(B, A, SECONDS(27)); /* id 1: until 87 now */
    udp(A, (struct end){5, 5}, SECONDS(28));
    assert_int_equal(F.ids[0], 2);
    udp(A, (struct end){6, 6}, SECONDS(29));
    assert_int_equal(F.ids[0], 3);
    udp(A, (struct end){7, 7}, SECONDS(30));
    assert_int_equal(F.ids[0], 1);
}

static void test_one_flow_at_most(void **state) {
    (void)state;
    F.config.max_flows = 1;
    begin();
    udp(A, B, SECONDS(1));
    udp(B, A, SECONDS(1));
    assert_int_equal(F.verdict.packet, 2);
    for (uint32_t n = 0; n < 100; n++) {
        udp(nth(n), B, SECONDS(1));
        assert_events("ESNP");
        assert_int_equal(stats().live, 1);
    }
}

static void test_port_reuse_at_the_cap_evicts_nobody(void **state) {
    (void)state;
    F.config.max_flows = 2;
    begin();
    udp(A, B, F.now);
    tcp(A, B, SYN, 100, 0, 0);
    tcp(A, B, SYN, 9000, 0, 0);
    assert_int_equal(stats().ended[FS_END_EVICTED], 0);
    assert_int_equal(stats().live, 2);
}

/* ---- settings ---- */

static void test_bad_settings_are_refused(void **state) {
    (void)state;
    struct fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.max_flows = 0;
    assert_null(fs_tracker_new(&config, NULL));
    config.max_flows = (uint32_t)FS_MAX_FLOWS + 1;
    assert_null(fs_tracker_new(&config, NULL));
    for (int i = 0; i < FS_TIMEOUT_COUNT; i++) { /* 0 has a meaning for some */
        fs_tracker_config_defaults(&config);
        config.timeout_ns[i] = 0;
        struct fs_tracker *tracker = fs_tracker_new(&config, NULL);
        bool may_be_zero = i == FS_TIMEOUT_TCP_CLOSED || i == FS_TIMEOUT_UDP_ONE_WAY || i == FS_TIMEOUT_OTHER_ONE_WAY;
        assert_int_equal(tracker != NULL, may_be_zero);
        fs_tracker_free(tracker);
    }
    fs_tracker_config_defaults(&config);
    config.events = 1u << FS_EVENT_COUNT;
    assert_null(fs_tracker_new(&config, NULL));
    fs_tracker_free(NULL);
}

static void test_null_is_default(void **state) {
    (void)state;
    F.tracker = fs_tracker_new(NULL, NULL);
    assert_non_null(F.tracker);
    struct fs_packet packet = udp_between(A, B, SECONDS(1), 1);
    assert_int_equal(fs_tracker_track(F.tracker, &packet, FS_NO_NUMBER, &F.verdict), 0);
    assert_int_equal(F.verdict.flow_id, 0);
}

static void test_endless_timeouts(void **state) {
    (void)state;
    for (int i = 0; i < FS_TIMEOUT_COUNT; i++) {
        F.config.timeout_ns[i] = UINT64_MAX;
    }
    F.config.max_flows = 50;
    begin();
    for (uint32_t n = 0; n < 100; n++) {
        udp(nth(n), B, SECONDS(1) + SECONDS(100000) * n);
    }
    assert_int_equal(stats().ended[FS_END_IDLE], 0);
    assert_int_equal(stats().ended[FS_END_EVICTED], 50);
}

static void test_any_time_is_accepted(void **state) {
    (void)state;
    static const uint64_t times[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, SECONDS(1), 0};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        udp(nth((uint32_t)i % 3), B, times[i]);
        fs_tracker_sweep(F.tracker, times[i]);
        stats();
    }
}

/* ---- keys ---- */

static void test_domain_keeps_equal_tuples_apart(void **state) {
    (void)state;
    struct fs_packet packet = udp_between(A, B, SECONDS(1), 1);
    give(packet);
    packet.key.domain = 17;
    give(packet);
    assert_true(F.verdict.created);
    assert_int_equal(stats().live, 2);
    packet.key.domain = 0;
    give(packet);
    assert_int_equal(F.verdict.flow_id, 0);
}

static void labelled(struct end from, struct end to, uint32_t label) {
    struct fs_packet packet = udp_between(from, to, SECONDS(1), 1);
    packet.flags |= FS_PACKET_FLOW_LABEL;
    packet.flow_label = label;
    give(packet);
}

static void test_flow_labels_split_flows_not_directions(void **state) {
    (void)state;
    F.config.use_flow_label = true;
    begin();
    labelled(A, B, 1);
    labelled(B, A, 2); /* the answer has a label of its own */
    assert_int_equal(F.verdict.flow_id, 0);
    labelled(A, B, 3);
    assert_int_equal(F.verdict.flow_id, 1);
    labelled(B, A, 4); /* the youngest without one */
    assert_int_equal(F.verdict.flow_id, 1);
    labelled(A, B, 1);
    assert_int_equal(F.verdict.flow_id, 0);
    labelled(B, A, 2);
    assert_int_equal(F.verdict.flow_id, 0);
    udp(A, B, SECONDS(1)); /* none is 0 */
    assert_int_equal(F.verdict.flow_id, 2);
    labelled(A, B, 0);
    assert_int_equal(F.verdict.flow_id, 2);
    struct fs_packet packet = udp_between(A, B, SECONDS(1), 1);
    assert_int_not_equal(fs_tracker_find(F.tracker, &packet.key), FS_NO_NUMBER);
}

static void test_flow_labels_are_ignored_by_default(void **state) {
    (void)state;
    labelled(A, B, 1);
    labelled(A, B, 2);
    assert_int_equal(stats().live, 1);
}

static void test_parent_is_kept_by_id(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    uint32_t carrier = F.verdict.flow;
    struct fs_packet packet = tcp_between(A, B, SECONDS(1), SYN, 1, 0, 0);
    assert_int_equal(fs_tracker_track(F.tracker, &packet, carrier, &F.verdict), 0);
    assert_int_equal(info().parent, 0);
    fs_tracker_close(F.tracker, carrier);
    assert_int_equal(info().parent, 0);
    packet = tcp_between(A, (struct end){3, 3}, SECONDS(1), SYN, 1, 0, 0);
    assert_int_equal(fs_tracker_track(F.tracker, &packet, 12345, &F.verdict), 0);
    assert_true(info().parent == FS_NO_FLOW);
}

static void test_parent_that_is_evicted_for_its_child(void **state) {
    (void)state;
    F.config.max_flows = 1;
    begin();
    udp(A, B, SECONDS(1));
    struct fs_packet packet = tcp_between(A, B, SECONDS(1), SYN, 1, 0, 0);
    F.count = 0;
    assert_int_equal(fs_tracker_track(F.tracker, &packet, F.verdict.flow, &F.verdict), 0);
    struct fs_flow_info got = info();
    assert_true(got.parent == 0 || got.parent == FS_NO_FLOW); /* never the flow itself */
    assert_int_equal(got.id, 1);
}

static void test_quoted_packet_changes_nothing(void **state) {
    (void)state;
    handshake();
    struct fs_flow_info before = info();
    uint32_t flow = F.verdict.flow;
    struct fs_packet quoted = tcp_between(B, A, F.now + SECONDS(1000), RST, 501, 0, 8);
    quoted.flags |= FS_PACKET_QUOTED;
    give(quoted);
    assert_events("");
    assert_true(F.verdict.quoted);
    assert_int_equal(F.verdict.flow, flow);
    assert_int_equal(F.verdict.flow_id, 0);
    assert_int_equal(F.verdict.packet, 0);
    assert_int_equal(F.verdict.side, FS_RESPONDER);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    struct fs_flow_info after = info_of(flow);
    assert_int_equal(after.last_ns, before.last_ns);
    assert_int_equal(after.last_frame, before.last_frame);
    assert_int_equal(after.side[1].packets, before.side[1].packets);
    assert_string_equal(after.history, before.history);
    quoted = udp_between(A, B, F.now, 1);
    quoted.flags |= FS_PACKET_QUOTED;
    give(quoted);
    assert_true(F.verdict.flow_id == FS_NO_FLOW);
    assert_int_equal(F.verdict.flow, FS_NO_NUMBER);
    assert_int_equal(stats().quoted, 1);
    assert_int_equal(stats().quoted_unknown, 1);
    assert_int_equal(stats().packets, 3);
    assert_int_equal(stats().created, 1);
}

static void test_marks_of_packets_stay(void **state) {
    (void)state;
    struct fs_packet packet = udp_between(A, B, SECONDS(1), 1);
    packet.flags |= FS_PACKET_TRUNCATED;
    give(packet);
    udp(B, A, SECONDS(1));
    assert_int_equal(info().marks, FS_MARK_TRUNCATED);
    packet.flags = FS_PACKET_FIRST_FRAGMENT;
    give(packet);
    udp(B, A, SECONDS(1));
    assert_int_equal(info().marks, FS_MARK_TRUNCATED | FS_MARK_FRAGMENTS);
}

static void test_frames_are_chained(void **state) {
    (void)state;
    udp(A, B, SECONDS(1));
    assert_int_equal(F.verdict.previous_frame, 0);
    udp(A, (struct end){3, 3}, SECONDS(1));
    assert_int_equal(F.verdict.previous_frame, 0);
    udp(B, A, SECONDS(1));
    assert_int_equal(F.verdict.previous_frame, 1);
    assert_int_equal(F.verdict.bytes, 2 * 52);
    assert_int_equal(info().first_frame, 1);
    assert_int_equal(info().last_frame, 3);
}

/* ---- determinism, hostile keys ---- */

static uint64_t digest_with_seed(uint64_t seed) {
    defaults();
    F.config.seed = seed;
    F.config.max_flows = 64;
    begin();
    uint64_t digest = 14695981039346656037u;
    for (uint32_t n = 0; n < 5000; n++) {
        uint32_t r = n * 2654435761u;
        uint64_t time = SECONDS(1) + MS(40) * n;
        struct end client = nth((r >> 20) % 200);
        give(r & 0x100 ? udp_between(client, B, time, 1) : tcp_between(client, B, time, r >> 9 & 0x17, n / 100, 0, 3));
        for (size_t i = 0; i < F.count; i++) {
            const uint64_t words[] = {(uint64_t)F.events[i].kind, F.ids[i], F.events[i].flow, F.events[i].end};
            for (size_t w = 0; w < 4; w++) {
                digest = (digest ^ words[w]) * 1099511628211u;
            }
        }
    }
    fs_tracker_free(F.tracker);
    F.tracker = NULL;
    return digest;
}

static void test_events_do_not_depend_on_the_seed(void **state) {
    (void)state;
    uint64_t digest = digest_with_seed(1);
    assert_int_equal(digest_with_seed(2), digest);
    assert_int_equal(digest_with_seed(0xfeedfacecafebeefu), digest);
}

/* Keys that all fall into one place under a seed that the sender knows. */
static void test_keys_chosen_to_collide(void **state) {
    (void)state;
    enum { KEYS = 10000, SHARE = 1024 };
    const uint64_t known = 0x1234;
    static struct fs_packet hostile[KEYS];
    size_t found = 0;
    for (uint32_t n = 0; found < KEYS; n++) {
        struct fs_packet packet = udp_between((struct end){(uint16_t)(n >> 16), (uint16_t)n}, B, SECONDS(1), 1);
        if (fs_key_hash(&packet.key, known) % SHARE == 0) {
            hostile[found++] = packet;
        }
    }
    size_t longest[2];
    const uint64_t seeds[2] = {known, 0x9999};
    for (int i = 0; i < 2; i++) {
        defaults();
        F.config.events = 0;
        F.config.seed = seeds[i];
        begin();
        for (size_t n = 0; n < KEYS; n++) {
            give(hostile[n]);
        }
        longest[i] = fs__tracker_longest_probe(F.tracker);
        fs_tracker_free(F.tracker);
        F.tracker = NULL;
    }
    assert_true(longest[0] > 250); /* the attack works where the seed is known */
    assert_true(longest[1] < 60);
}

static void test_seed_0_is_not_everybodys(void **state) {
    (void)state;
    F.config.seed = 0;
    begin();
    udp(A, B, SECONDS(1));
    assert_int_equal(F.verdict.flow_id, 0);
}

static void test_stats_add_every_field(void **state) {
    (void)state;
    enum { FIELDS = sizeof(struct fs_tracker_stats) / sizeof(uint64_t) };
    struct fs_tracker_stats sum, other;
    uint64_t a[FIELDS], b[FIELDS], got[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++) {
        a[i] = 1000 + i;
        b[i] = 7 * i + 1;
    }
    memcpy(&sum, a, sizeof(sum));
    memcpy(&other, b, sizeof(other));
    fs_tracker_stats_add(&sum, &other);
    memcpy(got, &sum, sizeof(sum));
    for (unsigned i = 0; i < FIELDS; i++) {
        assert_int_equal(got[i], a[i] + b[i]);
    }
}

static void test_header_that_was_cut_off(void **state) {
    (void)state;
    handshake();
    struct fs_packet packet = packet_between(FS_PROTO_TCP, A, B, F.now);
    packet.flags |= FS_PACKET_CUT_HEADER | FS_PACKET_TRUNCATED;
    give(packet);
    assert_int_equal(F.verdict.packet, 4);
    assert_int_equal(F.verdict.state, FS_STATE_ESTABLISHED);
    assert_string_equal(info().history, "ShA");
    assert_true(info().marks & FS_MARK_TRUNCATED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name) cmocka_unit_test_setup_teardown(name, setup_defaults, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_events_in_order),
        TEST(test_one_established_a_flow),
        TEST(test_closed_flows_say_when_and_what_ended_them),
        TEST_WITH(test_one_way_timeouts),
        TEST_WITH(test_timeouts_like),
        TEST_WITH(test_only_the_chosen_events_come),
        TEST_WITH(test_default_events_are_all_but_packet_and_tick),
        TEST(test_udp_is_established_when_answered),
        TEST(test_first_sender_is_the_initiator_in_either_orientation),
        TEST(test_syn_ack_first_comes_from_the_responder),
        TEST_WITH(test_roles_by_syn_off_takes_the_first_sender),
        TEST(test_simultaneous_open),
        TEST(test_midstream_is_established_and_marked),
        TEST(test_one_direction_is_enough),
        TEST(test_syn_ack_that_acknowledges_something_else),
        TEST(test_handshake_times),
        TEST(test_rtt_of_data),
        TEST(test_rtt_not_across_retransmissions),
        TEST(test_fin_of_both_sides_closes),
        TEST(test_repeated_fin_of_one_side_does_not_close),
        TEST(test_conn_states_of_half_closed),
        TEST(test_tombstone_absorbs_what_comes_late),
        TEST_WITH(test_closed_timeout_0_ends_at_once),
        TEST_WITH(test_closed_timeout_0_ends_at_once_when_time_steps_back),
        TEST(test_lost_data_before_a_fin_must_be_acknowledged_too),
        TEST(test_syn_after_close_is_a_new_flow),
        TEST(test_same_isn_after_fin_is_a_new_flow_too),
        TEST(test_other_isn_in_an_open_flow_is_port_reuse),
        TEST(test_same_isn_is_a_repetition),
        TEST(test_reuse_by_the_other_side_swaps_roles),
        TEST(test_blind_reset_is_refused),
        TEST(test_refused_connection),
        TEST(test_conn_states_of_resets),
        TEST(test_midstream_reset_is_not_rstos0),
        TEST(test_reset_after_reset_changes_nothing),
        TEST(test_impossible_flags),
        TEST(test_acknowledges_what_was_never_seen),
        TEST(test_keep_alive_is_no_data),
        TEST(test_zero_window_letters),
        TEST(test_windows_are_scaled_if_both_offer),
        TEST(test_retransmission_letters_are_logarithmic),
        TEST(test_history_of_a_long_flow_keeps_its_end),
        TEST(test_history_that_is_full_is_marked),
        TEST(test_data_on_the_syn_is_counted),
        TEST(test_holes_and_reordering_count_once),
        TEST(test_stream_bytes_over_wraps),
        TEST(test_stream_bytes_over_wraps_without_acknowledgements),
        TEST(test_stream_bytes_by_acknowledgements),
        TEST(test_only_the_ends_of_a_long_transfer),
        TEST(test_timeout_is_inclusive),
        TEST_WITH(test_timeout_is_inclusive_without_auto_sweep),
        TEST(test_half_open_expires_early),
        TEST(test_each_class_has_its_timeout),
        TEST(test_packets_of_others_expire_a_flow),
        TEST(test_time_backwards_ends_nothing),
        TEST_WITH(test_idle_timeout_of_ones_own),
        TEST_WITH(test_ticks_come_with_packets),
        TEST(test_sweep_reports_what_it_ends),
        TEST(test_close_one),
        TEST(test_finish_ends_in_order_of_creation),
        TEST(test_iteration_meets_every_live_flow_once),
        TEST(test_find_by_key),
        TEST(test_numbers_that_are_not_live),
        TEST_WITH(test_user_pointer_is_destroyed_once_however_a_flow_ends),
        TEST(test_user_pointer_is_kept),
        TEST_WITH(test_flood_does_not_push_out_established),
        TEST_WITH(test_eviction_takes_who_would_expire_first),
        TEST_WITH(test_one_flow_at_most),
        TEST_WITH(test_port_reuse_at_the_cap_evicts_nobody),
        TEST_WITH(test_bad_settings_are_refused),
        TEST_WITH(test_null_is_default),
        TEST_WITH(test_endless_timeouts),
        TEST(test_any_time_is_accepted),
        TEST(test_domain_keeps_equal_tuples_apart),
        TEST_WITH(test_flow_labels_split_flows_not_directions),
        TEST(test_flow_labels_are_ignored_by_default),
        TEST(test_parent_is_kept_by_id),
        TEST_WITH(test_parent_that_is_evicted_for_its_child),
        TEST(test_quoted_packet_changes_nothing),
        TEST(test_marks_of_packets_stay),
        TEST(test_frames_are_chained),
        TEST_WITH(test_events_do_not_depend_on_the_seed),
        TEST_WITH(test_keys_chosen_to_collide),
        TEST_WITH(test_seed_0_is_not_everybodys),
        TEST_WITH(test_stats_add_every_field),
        TEST(test_header_that_was_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
