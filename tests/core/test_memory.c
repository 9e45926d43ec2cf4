/* SPDX-License-Identifier: MIT */
/* Memory: none in the steady state, every allocation may fail, and what a flow costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/pipeline.h"
#include "packet_support.h"

#include <stdio.h>

enum { MILLION = 1000000 };

static struct end client(uint32_t n) {
    return (struct end){(uint16_t)(n >> 16), (uint16_t)n};
}

static const struct end server = {0xffff, 443};

static struct fs_packet nth_packet(uint32_t n, bool tcp, uint64_t time_ns) {
    return tcp ? tcp_between(client(n), server, time_ns, FS_TCP_SYN, 1000, 0, 0)
               : udp_between(client(n), server, time_ns, 10);
}

static struct fs_tracker *tracker_with(struct counting_allocator *counting, uint32_t max_flows) {
    struct fs_allocator allocator = counting_allocator_init(counting);
    struct fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.max_flows = max_flows;
    config.seed = 1;
    return fs_tracker_new(&config, &allocator);
}

static void assert_freed(const struct counting_allocator *counting) {
    assert_int_equal(counting->live, 0);
    assert_int_equal(counting->bytes, 0);
    assert_false(counting->wrong_size);
}

/* ---- the steady state ---- */

static void test_nothing_is_allocated_while_live_flows_do_not_grow(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_tracker *tracker = tracker_with(&counting, 5000);
    assert_non_null(tracker);
    struct fs_verdict verdict;
    for (uint32_t n = 0; n < 5000; n++) {
        struct fs_packet packet = nth_packet(n, true, SECONDS(1));
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
    }
    fs_tracker_sweep(tracker, SECONDS(500));
    uint64_t before = counting.calls;
    for (uint32_t n = 0; n < 50000; n++) { /* new flows, expiry, eviction, port reuse */
        struct fs_packet packet = nth_packet(n % 20000, true, SECONDS(1000) + MS(n));
        packet.tcp.seq = n;
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
    }
    fs_tracker_finish(tracker);
    for (uint32_t n = 0; n < 5000; n++) {
        struct fs_packet packet = nth_packet(n, true, SECONDS(2000));
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
    }
    assert_int_equal(counting.calls, before);
    fs_tracker_free(tracker);
    assert_freed(&counting);
}

static void test_memory_is_what_the_allocator_gave(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_tracker *tracker = tracker_with(&counting, 100000);
    assert_non_null(tracker);
    assert_int_equal(fs_tracker_memory(tracker), counting.bytes);
    for (uint32_t n = 0; n < 30000; n++) {
        struct fs_packet packet = nth_packet(n, n % 2 == 0, SECONDS(1));
        struct fs_verdict verdict;
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
        assert_int_equal(fs_tracker_memory(tracker), counting.bytes);
    }
    fs_tracker_free(tracker);
    assert_freed(&counting);
}

/* ---- failures ---- */

static bool created_is_ended_and_live(const struct fs_tracker *tracker) {
    struct fs_tracker_stats stats;
    fs_tracker_get_stats(tracker, &stats);
    uint64_t ended = 0;
    for (int i = 0; i < FS_END_COUNT; i++) {
        ended += stats.ended[i];
    }
    uint64_t live = 0;
    for (uint32_t flow = fs_tracker_next(tracker, FS_NO_NUMBER); flow != FS_NO_NUMBER;
         flow = fs_tracker_next(tracker, flow)) {
        live++;
    }
    return stats.created == ended + stats.live && stats.live == live;
}

/* A little of everything; returns the packets that found no memory. */
static uint64_t exercise(struct fs_tracker *tracker, uint32_t flows) {
    uint64_t refused = 0;
    struct fs_verdict verdict;
    for (uint32_t n = 0; n < flows; n++) {
        struct fs_packet packet = nth_packet(n, n % 3 != 0, SECONDS(1) + MS(n / 8));
        packet.flags |= FS_PACKET_FLOW_LABEL;
        packet.flow_label = n & 3;
        int result = fs_tracker_track(tracker, &packet, n % 5 == 0 ? 0 : FS_NO_NUMBER, &verdict);
        if (result != 0) {
            assert_int_equal(result, FS_ERR_NOMEM);
            assert_true(verdict.flow_id == FS_NO_FLOW);
            assert_int_equal(verdict.flow, FS_NO_NUMBER);
            refused++;
            continue;
        }
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
        assert_false(verdict.created);
    }
    struct fs_packet batch[40];
    struct fs_verdict verdicts[40];
    for (uint32_t n = 0; n < 40; n++) {
        batch[n] = nth_packet(flows + n, n % 2 == 0, SECONDS(10));
    }
    int result = fs_tracker_track_batch(tracker, batch, 40, verdicts);
    uint64_t in_batch = 0;
    for (uint32_t n = 0; n < 40; n++) {
        in_batch += verdicts[n].flow_id == FS_NO_FLOW;
    }
    assert_int_equal(result, in_batch > 0 ? FS_ERR_NOMEM : 0);
    assert_true(created_is_ended_and_live(tracker));
    fs_tracker_sweep(tracker, SECONDS(40));
    fs_tracker_close(tracker, fs_tracker_next(tracker, FS_NO_NUMBER));
    assert_true(created_is_ended_and_live(tracker));
    fs_tracker_finish(tracker);
    assert_true(created_is_ended_and_live(tracker));
    assert_int_equal(fs_tracker_next(tracker, FS_NO_NUMBER), FS_NO_NUMBER);
    return refused + in_batch;
}

/* With each allocation failing in turn, alone and with all that follow. Returns how often the tracker had to refuse. */
static uint64_t fail_each_allocation(bool fail_on, bool labels, uint32_t flows) {
    uint64_t refusals = 0;
    for (uint64_t at = 1;; at++) {
        struct counting_allocator counting;
        struct fs_allocator allocator = counting_allocator_init(&counting);
        counting.fail_at = at;
        counting.fail_on = fail_on;
        struct fs_tracker_config config;
        fs_tracker_config_defaults(&config);
        config.seed = 7;
        config.use_flow_label = labels;
        config.tick_ns = labels ? MS(10) : 0;
        struct fs_tracker *tracker = fs_tracker_new(&config, &allocator);
        if (tracker != NULL) {
            uint64_t refused = exercise(tracker, flows);
            struct fs_tracker_stats stats;
            fs_tracker_get_stats(tracker, &stats);
            assert_int_equal(stats.unallocated, refused);
            refusals += refused > 0;
            fs_tracker_free(tracker);
        }
        assert_freed(&counting);
        if (counting.calls < at) {
            assert_true(at > 5); /* it did allocate */
            return refusals;
        }
        assert_true(at < 10000);
    }
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(fail_each_allocation(false, false, 3000) > 0);
    assert_true(fail_each_allocation(true, false, 3000) > 0);
    assert_true(fail_each_allocation(false, true, 3000) > 0);
}

static void test_tracker_recovers_when_memory_is_back(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_tracker *tracker = tracker_with(&counting, 100000);
    assert_non_null(tracker);
    struct fs_verdict verdict;
    counting.fail_at = counting.calls + 1;
    counting.fail_on = true;
    uint32_t stored = 0;
    uint32_t refused = 0;
    for (uint32_t n = 0; n < 20000; n++) {
        struct fs_packet packet = nth_packet(n, true, SECONDS(1));
        fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict) == 0 ? stored++ : refused++;
    }
    assert_true(refused > 0);
    counting.fail_at = 0;
    for (uint32_t n = 0; n < 20000; n++) {
        struct fs_packet packet = nth_packet(n, true, SECONDS(1));
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
        assert_int_equal(verdict.created, n >= stored);
    }
    fs_tracker_free(tracker);
    assert_freed(&counting);
}

static void test_pipeline_survives_each_failure(void **state) {
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct counting_allocator counting;
        struct fs_allocator allocator = counting_allocator_init(&counting);
        counting.fail_at = at;
        struct fs_pipeline *pipeline = fs_pipeline_new(NULL, &allocator);
        for (uint32_t n = 0; pipeline != NULL && n < 500; n++) {
            struct fs_packet chain[2] = {nth_packet(n, false, SECONDS(1)), nth_packet(n, true, SECONDS(1))};
            struct fs_verdict verdicts[2];
            int result = fs_pipeline_frame(pipeline, chain, 2, NULL, NULL, verdicts, NULL);
            bool refused = verdicts[0].flow_id == FS_NO_FLOW || verdicts[1].flow_id == FS_NO_FLOW;
            assert_int_equal(result, refused ? FS_ERR_NOMEM : 0);
        }
        if (pipeline != NULL) {
            assert_true(created_is_ended_and_live(fs_pipeline_tracker(pipeline)));
        }
        fs_pipeline_free(pipeline);
        assert_freed(&counting);
        if (counting.calls < at) {
            assert_true(at > 2);
            return;
        }
    }
}

/* ---- what a flow costs ---- */

static double bytes_a_flow(bool tcp, uint32_t flows) {
    struct counting_allocator counting;
    struct fs_tracker *tracker = tracker_with(&counting, flows);
    assert_non_null(tracker);
    struct fs_verdict verdict;
    for (uint32_t n = 0; n < flows; n++) {
        struct fs_packet packet = nth_packet(n, tcp, SECONDS(1));
        assert_int_equal(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict), 0);
    }
    struct fs_tracker_stats stats;
    fs_tracker_get_stats(tracker, &stats);
    assert_int_equal(stats.live, flows);
    assert_int_equal(fs_tracker_memory(tracker), counting.bytes);
    double each = (double)counting.bytes / flows;
    fs_tracker_free(tracker);
    assert_freed(&counting);
    return each;
}

static void test_cost_of_a_flow(void **state) {
    (void)state;
    double tcp = bytes_a_flow(true, MILLION);
    double udp = bytes_a_flow(false, MILLION);
    printf("bytes a flow at 1,000,000: TCP %.1f, UDP %.1f\n", tcp, udp);
    assert_true(tcp <= 320.0);
    assert_true(udp <= 192.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_allocated_while_live_flows_do_not_grow),
        cmocka_unit_test(test_memory_is_what_the_allocator_gave),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_tracker_recovers_when_memory_is_back),
        cmocka_unit_test(test_pipeline_survives_each_failure),
        cmocka_unit_test(test_cost_of_a_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
