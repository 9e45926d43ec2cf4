/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flowscope/pipeline.h"
#include "packet_support.h"

static const struct end gateway_a = {1, 30000}, gateway_b = {2, 4789};
static const struct end alice = {10, 1234}, bob = {11, 80};

struct log {
    unsigned count[FS_EVENT_COUNT];
    unsigned ended_by_input;
};

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    (void)tracker;
    struct log *log = user;
    log->count[event->kind]++;
    log->ended_by_input += event->kind == FS_EVENT_ENDED && event->end == FS_END_INPUT;
}

static struct fs_pipeline *pipeline_with(struct log *log) {
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    memset(log, 0, sizeof(*log));
    config.tracker.seed = 1;
    config.tracker.events = (1u << FS_EVENT_COUNT) - 1;
    config.tracker.on_event = on_event;
    config.tracker.user = log;
    struct fs_pipeline *pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(pipeline);
    return pipeline;
}

static uint64_t parent_of(struct fs_pipeline *pipeline, const struct fs_verdict *verdict) {
    struct fs_flow_info info;
    assert_int_equal(fs_tracker_flow_info(fs_pipeline_tracker(pipeline), verdict->flow, &info), 0);
    assert_int_equal(info.id, verdict->flow_id);
    return info.parent;
}

static void test_carrier_is_the_parent(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_packet chain[3] = {
        packet_between(FS_PROTO_IPV4, gateway_b, gateway_a, SECONDS(1)),
        udp_between(gateway_a, gateway_b, SECONDS(1), 100),
        tcp_between(alice, bob, SECONDS(1), FS_TCP_SYN, 1, 0, 0),
    };
    struct fs_verdict v[3];
    assert_int_equal(fs_pipeline_frame(pipeline, chain, 3, NULL, NULL, v, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(v[i].created);
        assert_int_equal(v[i].packet, 1);
    }
    assert_true(parent_of(pipeline, &v[0]) == FS_NO_FLOW);
    assert_int_equal(parent_of(pipeline, &v[1]), v[0].flow_id);
    assert_int_equal(parent_of(pipeline, &v[2]), v[1].flow_id);
    fs_pipeline_free(pipeline);
}

static void test_parents_may_be_named(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_packet chain[3] = {
        udp_between(gateway_a, gateway_b, SECONDS(1), 100),
        udp_between(alice, bob, SECONDS(1), 100),
        tcp_between(alice, bob, SECONDS(1), FS_TCP_SYN, 1, 0, 0),
    };
    const int parents[3] = {-1, 0, 0};
    struct fs_verdict v[3];
    assert_int_equal(fs_pipeline_frame(pipeline, chain, 3, parents, NULL, v, NULL), 0);
    assert_true(parent_of(pipeline, &v[0]) == FS_NO_FLOW);
    assert_int_equal(parent_of(pipeline, &v[1]), v[0].flow_id);
    assert_int_equal(parent_of(pipeline, &v[2]), v[0].flow_id);
    fs_pipeline_free(pipeline);
}

static void test_bad_counts_and_parents_are_refused(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    static struct fs_packet many[FS_FRAME_MAX + 1];
    static struct fs_verdict v[FS_FRAME_MAX + 1];
    for (int i = 0; i <= FS_FRAME_MAX; i++) {
        many[i] = udp_between((struct end){(uint16_t)i, 1}, bob, SECONDS(1), 1);
    }
    assert_int_equal(fs_pipeline_frame(pipeline, many, 0, NULL, NULL, v, NULL), FS_ERR_INVALID);
    assert_int_equal(fs_pipeline_frame(pipeline, many, FS_FRAME_MAX + 1, NULL, NULL, v, NULL), FS_ERR_INVALID);
    const int own[2] = {-1, 1}, later[2] = {1, -1}, below[2] = {-1, -2};
    assert_int_equal(fs_pipeline_frame(pipeline, many, 2, own, NULL, v, NULL), FS_ERR_INVALID);
    assert_int_equal(fs_pipeline_frame(pipeline, many, 2, later, NULL, v, NULL), FS_ERR_INVALID);
    assert_int_equal(fs_pipeline_frame(pipeline, many, 2, below, NULL, v, NULL), FS_ERR_INVALID);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.tracker.packets, 0);
    assert_int_equal(fs_pipeline_frame(pipeline, many, FS_FRAME_MAX, NULL, NULL, v, NULL), 0);
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.tracker.created, FS_FRAME_MAX);
    fs_pipeline_free(pipeline);
}

static void test_quoted_packet_names_and_carries_nothing(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_packet udp = udp_between(alice, bob, SECONDS(1), 9);
    struct fs_verdict v[3];
    assert_int_equal(fs_pipeline_frame(pipeline, &udp, 1, NULL, NULL, v, NULL), 0);
    uint64_t named = v[0].flow_id;

    struct fs_packet chain[3] = {packet_between(FS_PROTO_ICMP, gateway_a, alice, SECONDS(2)), udp,
                                 udp_between(bob, gateway_a, SECONDS(2), 1)};
    chain[0].flags |= FS_PACKET_ICMP_ERROR;
    chain[1].flags |= FS_PACKET_QUOTED;
    assert_int_equal(fs_pipeline_frame(pipeline, chain, 3, NULL, NULL, v, NULL), 0);
    assert_true(v[1].quoted);
    assert_int_equal(v[1].flow_id, named);
    assert_int_equal(v[1].packet, 0);
    assert_true(parent_of(pipeline, &v[2]) == FS_NO_FLOW);
    struct fs_flow_info info;
    assert_int_equal(fs_tracker_flow_info(fs_pipeline_tracker(pipeline), v[1].flow, &info), 0);
    assert_int_equal(info.side[0].packets, 1);
    assert_int_equal(info.last_ns, SECONDS(1));
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.tracker.quoted, 1);
    assert_int_equal(stats.without_flow, 0);
    fs_pipeline_free(pipeline);
}

static void test_frames_are_counted_once(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_packet chain[2] = {udp_between(gateway_a, gateway_b, SECONDS(1), 100),
                                 tcp_between(alice, bob, SECONDS(1), FS_TCP_SYN, 1, 0, 0)};
    chain[0].wire_len = chain[1].wire_len = 150;
    struct fs_verdict v[2];
    fs_pipeline_frame(pipeline, chain, 2, NULL, NULL, v, NULL);
    fs_pipeline_batch(pipeline, chain, 2, NULL, v, NULL); /* two frames */
    struct fs_packet unknown = udp_between(bob, bob, SECONDS(1), 5);
    unknown.flags |= FS_PACKET_QUOTED;
    fs_pipeline_frame(pipeline, &unknown, 1, NULL, NULL, v, NULL);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.frames, 4);
    assert_int_equal(stats.frame_bytes, 3 * 150 + unknown.wire_len);
    assert_int_equal(stats.without_flow, 1);
    assert_int_equal(stats.tracker.packets, 4);
    assert_int_equal(stats.tracker.quoted_unknown, 1);
    fs_pipeline_free(pipeline);
}

static void test_rejects_are_counted_by_reason(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    for (int reason = 0; reason < FS_REJECT_COUNT; reason++) {
        for (int i = 0; i <= reason; i++) {
            fs_pipeline_reject(pipeline, reason, 60, NULL);
        }
    }
    fs_pipeline_reject(pipeline, FS_REJECT_COUNT, 60, NULL);
    fs_pipeline_reject(pipeline, -1, 60, NULL);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    uint64_t frames = 2;
    for (unsigned reason = 0; reason < FS_REJECT_COUNT; reason++) {
        assert_int_equal(stats.untracked[reason], reason + 1 + (reason == FS_REJECT_NONE ? 2 : 0));
        frames += reason + 1;
    }
    assert_int_equal(stats.frames, frames);
    assert_int_equal(stats.frame_bytes, frames * 60);
    assert_int_equal(stats.tracker.packets, 0);
    assert_int_equal(stats.without_flow, 0);
    fs_pipeline_free(pipeline);
}

static void test_batch_equals_single_frames(void **state) {
    (void)state;
    struct log one_log, batch_log;
    struct fs_pipeline *one = pipeline_with(&one_log), *batch = pipeline_with(&batch_log);
    static struct fs_packet packets[500];
    static struct fs_verdict expected[500], got[500];
    for (uint32_t i = 0; i < 500; i++) {
        struct end from = {(uint16_t)(i * 7 % 13), (uint16_t)(i % 5)};
        packets[i] = i % 3 == 0 ? tcp_between(from, bob, MS(500 * i), FS_TCP_SYN, i / 50, 0, 0)
                                : udp_between(bob, from, MS(500 * i), i);
        packets[i].frame = i + 1;
        assert_int_equal(fs_pipeline_frame(one, &packets[i], 1, NULL, NULL, &expected[i], NULL), 0);
    }
    assert_int_equal(fs_pipeline_batch(batch, packets, 500, NULL, got, NULL), 0);
    for (uint32_t i = 0; i < 500; i++) {
        assert_int_equal(got[i].flow_id, expected[i].flow_id);
        assert_int_equal(got[i].flow, expected[i].flow);
        assert_int_equal(got[i].packet, expected[i].packet);
        assert_int_equal(got[i].bytes, expected[i].bytes);
        assert_int_equal(got[i].anomalies, expected[i].anomalies);
        assert_int_equal(got[i].state, expected[i].state);
        assert_int_equal(got[i].previous_frame, expected[i].previous_frame);
    }
    assert_memory_equal(&one_log, &batch_log, sizeof(one_log));
    struct fs_pipeline_stats a, b;
    fs_pipeline_get_stats(one, &a);
    fs_pipeline_get_stats(batch, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    fs_pipeline_free(one);
    fs_pipeline_free(batch);
}

static void test_tick_expires(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_packet packet = udp_between(alice, bob, SECONDS(1), 1);
    struct fs_verdict v;
    fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &v, NULL);
    fs_pipeline_tick(pipeline, SECONDS(61) - 1);
    assert_int_equal(log.count[FS_EVENT_ENDED], 0);
    fs_pipeline_tick(pipeline, SECONDS(61));
    assert_int_equal(log.count[FS_EVENT_ENDED], 1);
    assert_int_equal(log.ended_by_input, 0);
    fs_pipeline_free(pipeline);
}

static void test_finish_ends_all_and_may_go_on(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = pipeline_with(&log);
    struct fs_verdict v;
    for (uint16_t i = 0; i < 10; i++) {
        struct fs_packet packet = udp_between((struct end){i, i}, bob, SECONDS(1), 1);
        fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &v, NULL);
    }
    fs_pipeline_finish(pipeline);
    assert_int_equal(log.ended_by_input, 10);
    struct fs_packet packet = udp_between(alice, bob, SECONDS(2), 1);
    assert_int_equal(fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &v, NULL), 0);
    assert_int_equal(v.flow_id, 10);
    fs_pipeline_free(pipeline);
    assert_int_equal(log.ended_by_input, 10); /* free has no events */
}

/* Every field is a uint64_t: a sum that forgets one is found by giving each another value. */
/* Rows of a table are no numbers to be added: test_dedup.c has them. */
static void clear_pairs(struct fs_pipeline_stats *stats) {
    memset(stats->dedup.pairs, 0, sizeof(stats->dedup.pairs));
    memset(&stats->dedup.pair_count, 0,
           offsetof(struct fs_dedup_stats, pairs_other) - offsetof(struct fs_dedup_stats, pair_count));
}

static void test_stats_add_every_field(void **state) {
    (void)state;
    enum { FIELDS = sizeof(struct fs_pipeline_stats) / sizeof(uint64_t) };
    struct fs_pipeline_stats sum, other;
    uint64_t a[FIELDS], b[FIELDS], got[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++) {
        a[i] = 1000 + i;
        b[i] = 7 * i + 1;
    }
    memcpy(&sum, a, sizeof(sum));
    memcpy(&other, b, sizeof(other));
    clear_pairs(&sum);
    clear_pairs(&other);
    memcpy(a, &sum, sizeof(sum));
    memcpy(b, &other, sizeof(other));
    fs_pipeline_stats_add(&sum, &other);
    memcpy(got, &sum, sizeof(sum));
    for (unsigned i = 0; i < FIELDS; i++) {
        assert_int_equal(got[i], a[i] + b[i]);
    }
}

static void test_bad_settings_give_no_pipeline(void **state) {
    (void)state;
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.tracker.max_flows = 0;
    assert_null(fs_pipeline_new(&config, NULL));
    fs_pipeline_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carrier_is_the_parent),
        cmocka_unit_test(test_parents_may_be_named),
        cmocka_unit_test(test_bad_counts_and_parents_are_refused),
        cmocka_unit_test(test_quoted_packet_names_and_carries_nothing),
        cmocka_unit_test(test_frames_are_counted_once),
        cmocka_unit_test(test_rejects_are_counted_by_reason),
        cmocka_unit_test(test_batch_equals_single_frames),
        cmocka_unit_test(test_tick_expires),
        cmocka_unit_test(test_finish_ends_all_and_may_go_on),
        cmocka_unit_test(test_stats_add_every_field),
        cmocka_unit_test(test_bad_settings_give_no_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
