/* SPDX-License-Identifier: MIT */
/* Reassembly inside the pipeline: whose bytes come when, and what the verdicts say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/pipeline.h"
#include "packet_support.h"

static const struct end client = {1, 40000}, server = {2, 80};
enum { CLIENT_ISN = 1000, SERVER_ISN = 5000, TEXT = 2048 };

/* What came, as text: `i` and `r` for the sides, a dot a missing byte, `!` a conflict, `$` an end, `E` the flow's. */
struct log {
    char text[TEXT];
    size_t used;
    unsigned anomalies[FS_ANOMALY_COUNT];
    struct fs_flow_info ended;
    struct fs_stream_info ended_streams[2];
    struct fs_pipeline *pipeline;
    bool finds_none; /* at the flow's end a stream was not to be found */
};

static void put(struct log *log, const char *text, size_t length) {
    assert_true(log->used + length < TEXT);
    memcpy(log->text + log->used, text, length);
    log->used += length;
    log->text[log->used] = '\0';
}

static void on_stream(struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                      const struct fs_stream_event *event, void *user) {
    struct log *log = user;
    assert_ptr_equal(pipeline, log->pipeline);
    assert_true(fs_tracker_flow_id(fs_pipeline_tracker(pipeline), flow) != FS_NO_FLOW);
    put(log, side == FS_INITIATOR ? "i" : "r", 1);
    switch (event->kind) {
    case FS_STREAM_DATA:
        put(log, (const char *)event->data, (size_t)event->length);
        break;
    case FS_STREAM_GAP:
        for (uint64_t n = 0; n < event->length; n++) {
            put(log, ".", 1);
        }
        break;
    case FS_STREAM_CONFLICT:
        put(log, "!", 1);
        break;
    case FS_STREAM_ENDED:
        put(log, "$", 1);
        put(log, fs_stream_end_name(event->end), strlen(fs_stream_end_name(event->end)));
        break;
    }
    put(log, " ", 1);
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct log *log = user;
    if (event->kind == FS_EVENT_ANOMALY) {
        for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
            log->anomalies[bit] += event->anomaly >> bit & 1;
        }
    }
    if (event->kind != FS_EVENT_ENDED) {
        return;
    }
    assert_int_equal(fs_tracker_flow_info(tracker, event->flow, &log->ended), 0);
    for (int side = 0; side < 2; side++) {
        int result = fs_pipeline_stream_info(log->pipeline, event->flow, (enum fs_side)side, &log->ended_streams[side]);
        log->finds_none |= result != FS_OK;
    }
    put(log, "E ", 2);
}

static struct fs_pipeline_config config_for(struct log *log) {
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    memset(log, 0, sizeof(*log));
    config.tracker.seed = 1;
    config.tracker.on_event = on_event;
    config.tracker.user = log;
    config.reassembly.history = 1024;
    config.on_stream = on_stream;
    config.stream_user = log;
    return config;
}

static struct fs_pipeline *start(struct log *log) {
    struct fs_pipeline_config config = config_for(log);
    log->pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(log->pipeline);
    return log->pipeline;
}

/* One segment; offsets are in the stream of the sender. */
struct segment {
    bool from_server;
    unsigned flags;
    uint32_t offset, ack;
    const char *text;
    uint64_t ms;
};

static struct fs_packet packet_of(const struct segment *segment) {
    uint32_t isn = segment->from_server ? SERVER_ISN : CLIENT_ISN;
    uint32_t peer = segment->from_server ? CLIENT_ISN : SERVER_ISN;
    uint32_t seq = isn + 1 + segment->offset - (segment->flags & FS_TCP_SYN ? 1 : 0);
    uint32_t ack = segment->flags & FS_TCP_ACK ? peer + 1 + segment->ack : 0;
    struct fs_packet packet =
        tcp_between(segment->from_server ? server : client, segment->from_server ? client : server,
                    SECONDS(10) + MS(segment->ms), segment->flags, seq, ack, (uint32_t)strlen(segment->text));
    packet.payload = (const uint8_t *)segment->text;
    packet.payload_captured = packet.payload_len;
    packet.frame = (uint32_t)segment->ms + 1;
    return packet;
}

struct answer {
    struct fs_verdict flow;
    struct fs_segment_verdict segment;
};

static struct answer run(struct fs_pipeline *pipeline, const struct segment *segment) {
    struct fs_packet packet = packet_of(segment);
    struct answer answer;
    memset(&answer, 0xa5, sizeof(answer));
    assert_int_equal(fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &answer.flow, &answer.segment), 0);
    return answer;
}

static void run_all(struct fs_pipeline *pipeline, const struct segment *segments, size_t count) {
    for (size_t i = 0; i < count; i++) {
        run(pipeline, &segments[i]);
    }
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct segment handshake[] = {
    {false, FS_TCP_SYN, 0, 0, "", 0},
    {true, FS_TCP_SYN | FS_TCP_ACK, 0, 0, "", 1},
    {false, FS_TCP_ACK, 0, 0, "", 2},
};

static void test_both_sides_are_put_together(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    assert_string_equal(log.text, "");
    struct answer ahead = run(pipeline, &(struct segment){false, FS_TCP_ACK, 3, 0, "def", 3});
    assert_int_equal(ahead.segment.segment, FS_SEGMENT_AHEAD);
    assert_int_equal(ahead.segment.offset, 3);
    struct answer fill = run(pipeline, &(struct segment){false, FS_TCP_ACK, 0, 0, "abc", 4});
    assert_int_equal(fill.segment.segment, FS_SEGMENT_OUT_OF_ORDER);
    assert_int_equal(fill.segment.repeats_frame, 0);
    assert_int_equal(fill.segment.hole_frame, 4);
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 6, "xy", 5});
    struct answer ack = run(pipeline, &(struct segment){false, FS_TCP_ACK, 6, 2, "", 6});
    assert_int_equal(ack.segment.segment, FS_SEGMENT_NONE);
    run(pipeline, &(struct segment){false, FS_TCP_ACK | FS_TCP_FIN, 6, 2, "", 7});
    run(pipeline, &(struct segment){true, FS_TCP_ACK | FS_TCP_FIN, 2, 7, "z", 8});
    assert_string_equal(log.text, "iabc idef rxy i$fin rz r$fin ");
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "iabc idef rxy i$fin rz r$fin E ");
    assert_false(log.finds_none);
    assert_int_equal(log.ended_streams[0].out_of_order_bytes, 3);
    assert_int_equal(log.ended_streams[0].next_offset, 6);
    struct fs_stream_info info;
    assert_int_equal(fs_pipeline_stream_info(pipeline, ahead.flow.flow, FS_INITIATOR, &info), FS_ERR_NOT_FOUND);
    fs_pipeline_free(pipeline);
}

/* The ISN is the tracker's: the stream was not there when the SYN came. */
static void test_a_lost_first_segment_is_a_gap(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 2, 0, "cd", 3});
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 4, "", 4});
    struct answer second = run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 4, "", 5});
    assert_string_equal(log.text, "i.. icd ");
    assert_int_equal(second.segment.peer_gap_bytes, 2);
    assert_int_equal(second.segment.gap_bytes, 0);
    assert_int_equal(second.flow.anomalies & FS_ANOMALY_GAP, FS_ANOMALY_GAP);
    assert_int_equal(log.anomalies[9], 1);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.tracker.anomalies[9], 1);
    assert_int_equal(stats.reassembly.gap_bytes, 2);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.ended.history, "ShADaG");
    fs_pipeline_free(pipeline);
}

/* One packet may give up holes of both sides: its own by the deadline or a later hole, the other's by what it says. */
static void test_gaps_of_both_sides_are_told_apart(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    struct answer ahead = run(pipeline, &(struct segment){false, FS_TCP_ACK, 2, 0, "cd", 3});
    assert_int_equal(ahead.segment.hole_bytes, 2);
    assert_int_equal(ahead.segment.gap_bytes, 0);
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 3, 0, "xyz", 4});
    struct answer both = run(pipeline, &(struct segment){true, FS_TCP_ACK, 16, 0, "uvw", 1500});
    assert_int_equal(both.segment.segment, FS_SEGMENT_AHEAD);
    assert_int_equal(both.segment.hole_bytes, 10);
    assert_int_equal(both.segment.gap_bytes, 3);
    assert_int_equal(both.segment.peer_gap_bytes, 2);
    assert_int_equal(log.anomalies[9], 1);
    assert_string_equal(log.text, "i.. icd r... rxyz ");
    /* A bare acknowledgement lets its own stream age, too. */
    struct answer bare = run(pipeline, &(struct segment){true, FS_TCP_ACK, 19, 0, "", 2600});
    assert_int_equal(bare.segment.segment, FS_SEGMENT_NONE);
    assert_int_equal(bare.segment.gap_bytes, 10);
    assert_int_equal(bare.segment.peer_gap_bytes, 0);
    assert_int_equal(bare.flow.anomalies & FS_ANOMALY_GAP, FS_ANOMALY_GAP);
    /* What a reset leaves open nobody acknowledged: it may never have been sent. */
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 6, 19, "gh", 2601});
    struct answer reset = run(pipeline, &(struct segment){true, FS_TCP_RST, 19, 0, "", 2602});
    assert_int_equal(reset.segment.gap_bytes, 0);
    assert_int_equal(reset.segment.peer_gap_bytes, 0);
    assert_int_equal(reset.flow.anomalies & FS_ANOMALY_GAP, 0);
    fs_pipeline_free(pipeline);
}

static void test_a_stream_from_the_middle_says_so(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 100, 0, "", 0});
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 102, 0, "cd", 1});
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 100, 0, "ab", 2});
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 104, "x", 3});
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "iab icd rx i$flushed r$flushed E ");
    assert_true(log.ended_streams[0].from_middle);
    fs_pipeline_free(pipeline);
}

static void test_other_content_is_a_conflict(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 0, "good", 3});
    struct answer second = run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 0, "evil", 4});
    assert_true(second.segment.conflict);
    assert_int_equal(second.segment.repeats_frame, 4);
    assert_int_equal(second.segment.hole_frame, 0);
    assert_int_equal(second.flow.anomalies & FS_ANOMALY_CONFLICT, FS_ANOMALY_CONFLICT);
    assert_string_equal(log.text, "rgood r! ");
    fs_pipeline_free(pipeline);
}

static void test_a_reset_that_counts_ends_both_streams(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 0, 0, "ab", 3});
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 1, 2, "y", 4});
    run(pipeline, &(struct segment){true, FS_TCP_RST, 9000000, 0, "", 5}); /* outside the window */
    assert_string_equal(log.text, "iab ");
    run(pipeline, &(struct segment){true, FS_TCP_RST | FS_TCP_ACK, 2, 2, "", 6});
    assert_string_equal(log.text, "iab i$rst r. ry r$rst ");
    assert_int_equal(log.anomalies[9], 0); /* nobody acknowledged the missing byte */
    struct answer after = run(pipeline, &(struct segment){false, FS_TCP_ACK, 2, 0, "cd", 7});
    assert_int_equal(after.segment.segment, FS_SEGMENT_AFTER_END);
    fs_pipeline_free(pipeline);
}

static void test_a_new_connection_has_new_streams(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){false, FS_TCP_ACK | FS_TCP_FIN, 0, 0, "ab", 3});
    struct fs_packet syn = packet_of(&(struct segment){false, FS_TCP_SYN, 0, 0, "", 10});
    syn.tcp.seq = 777;
    struct fs_verdict verdict;
    assert_int_equal(fs_pipeline_frame(pipeline, &syn, 1, NULL, NULL, &verdict, NULL), 0);
    struct fs_packet data = packet_of(&(struct segment){false, FS_TCP_ACK, 0, 0, "new", 11});
    data.tcp.seq = 778;
    assert_int_equal(fs_pipeline_frame(pipeline, &data, 1, NULL, NULL, &verdict, NULL), 0);
    assert_string_equal(log.text, "iab i$fin E inew ");
    fs_pipeline_free(pipeline);
}

/* With a closed timeout of 0 the flow ends with its last packet, whose bytes come first. */
static void test_the_last_packet_s_bytes_come_before_the_end(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    config.tracker.timeout_ns[FS_TIMEOUT_TCP_CLOSED] = 0;
    struct fs_pipeline *pipeline = log.pipeline = fs_pipeline_new(&config, NULL);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 0, 0, "ab", 3});
    struct answer last = run(pipeline, &(struct segment){false, FS_TCP_ACK | FS_TCP_RST, 2, 0, "", 4});
    assert_true(last.flow.ended);
    assert_string_equal(log.text, "iab i$rst E ");
    fs_pipeline_free(pipeline);
}

static void test_a_hole_gets_old_while_only_the_other_side_sends(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    run_all(pipeline, handshake, COUNT(handshake));
    run(pipeline, &(struct segment){false, FS_TCP_ACK, 1, 0, "b", 3});
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 0, 0, "x", 1000});
    assert_string_equal(log.text, "rx ");
    run(pipeline, &(struct segment){true, FS_TCP_ACK, 1, 0, "y", 1004});
    assert_string_equal(log.text, "rx i. ib ry ");
    fs_pipeline_free(pipeline);
}

static void test_without_reassembly_there_is_none(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    config.reassemble = false;
    struct fs_pipeline *pipeline = log.pipeline = fs_pipeline_new(&config, NULL);
    run_all(pipeline, handshake, COUNT(handshake));
    struct answer answer = run(pipeline, &(struct segment){false, FS_TCP_ACK, 0, 0, "ab", 3});
    assert_int_equal(answer.segment.segment, FS_SEGMENT_NONE);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "E ");
    assert_true(log.finds_none);
    fs_pipeline_free(pipeline);
}

static void test_a_bad_value_is_refused(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    config.reassembly.overlap = FS_OVERLAP_COUNT;
    assert_null(fs_pipeline_new(&config, NULL));
}

/* The tracker is there to be read. Who runs it behind the pipeline's back gets flows without streams, no more. */
static void test_packets_tracked_behind_the_pipeline_have_no_stream(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    struct fs_packet packet = packet_of(&(struct segment){false, FS_TCP_ACK, 0, 0, "ab", 0});
    struct fs_verdict verdict;
    assert_int_equal(fs_tracker_track(fs_pipeline_tracker(pipeline), &packet, FS_NO_NUMBER, &verdict), 0);
    assert_string_equal(log.text, "");
    fs_pipeline_free(pipeline);
}

/* ---- batches ---- */

enum { FLOWS = 40, PACKETS = 3000 };

/* Conversations with loss, repetition and disorder, begun and ended all the time. */
static void make_packets(struct fs_packet *packets) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    uint32_t random = 12345;
    for (uint32_t i = 0; i < PACKETS; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t offset = random >> 8 & 0x3f;
        struct segment segment = {.from_server = random >> 20 & 1, .flags = FS_TCP_ACK, .offset = offset, .ms = i * 20};
        segment.text = letters + (random >> 24) % 20;
        if ((random >> 16) % 23 == 0) {
            segment.flags = FS_TCP_SYN;
            segment.offset = 0;
        } else if ((random >> 16) % 29 == 0) {
            segment.flags |= FS_TCP_FIN;
        } else if ((random >> 16) % 37 == 0) {
            segment.flags = FS_TCP_RST;
        }
        packets[i] = packet_of(&segment);
        struct end one = {(uint16_t)(random >> 12 & 0x3f), 1};
        struct fs_packet shape =
            tcp_between(segment.from_server ? server : one, segment.from_server ? one : server, 0, 0, 0, 0, 0);
        packets[i].key = shape.key;
        packets[i].orientation = shape.orientation;
    }
}

static void test_a_batch_gives_the_same(void **state) {
    (void)state;
    static struct fs_packet packets[PACKETS];
    static struct fs_verdict verdicts[2][PACKETS];
    static struct fs_segment_verdict segments[2][PACKETS];
    make_packets(packets);
    struct fs_pipeline_stats stats[3];
    for (int way = 0; way < 3; way++) {
        struct log log;
        struct fs_pipeline_config config = config_for(&log);
        config.on_stream = NULL;
        config.tracker.on_event = NULL;
        config.tracker.max_flows = FLOWS;
        struct fs_pipeline *pipeline = fs_pipeline_new(&config, NULL);
        if (way == 0) {
            for (size_t i = 0; i < PACKETS; i++) {
                fs_pipeline_frame(pipeline, &packets[i], 1, NULL, NULL, &verdicts[0][i], &segments[0][i]);
            }
        } else {
            fs_pipeline_batch(pipeline, packets, PACKETS, NULL, verdicts[1], way == 1 ? segments[1] : NULL);
        }
        for (size_t i = 0; way > 0 && i < PACKETS; i++) {
            assert_int_equal(verdicts[1][i].flow_id, verdicts[0][i].flow_id);
            assert_int_equal(verdicts[1][i].anomalies, verdicts[0][i].anomalies);
            assert_int_equal(segments[1][i].segment, segments[0][i].segment);
            assert_int_equal(segments[1][i].offset, segments[0][i].offset);
            assert_int_equal(segments[1][i].repeats_frame, segments[0][i].repeats_frame);
            assert_int_equal(segments[1][i].hole_frame, segments[0][i].hole_frame);
        }
        fs_pipeline_finish(pipeline);
        fs_pipeline_get_stats(pipeline, &stats[way]);
        assert_true(fs_pipeline_memory(pipeline) > 0);
        fs_pipeline_free(pipeline);
    }
    assert_memory_equal(&stats[0], &stats[1], sizeof(stats[0]));
    assert_memory_equal(&stats[0], &stats[2], sizeof(stats[0]));
    assert_true(stats[0].reassembly.gaps > 10 && stats[0].reassembly.conflicts > 10);
    assert_true(stats[0].tracker.ended[FS_END_EVICTED] > 10);
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    static struct fs_packet packets[PACKETS];
    make_packets(packets);
    for (uint64_t at = 1;; at++) {
        struct counting_allocator counting;
        struct fs_allocator allocator = counting_allocator_init(&counting);
        struct log log;
        struct fs_pipeline_config config = config_for(&log);
        config.tracker.on_event = NULL;
        config.on_stream = NULL;
        counting.fail_at = at;
        struct fs_pipeline *pipeline = fs_pipeline_new(&config, &allocator);
        for (uint32_t n = 0; pipeline != NULL && n < 300; n++) {
            struct fs_verdict verdict;
            (void)fs_pipeline_frame(pipeline, &packets[n], 1, NULL, NULL, &verdict, NULL);
            assert_int_equal(fs_pipeline_memory(pipeline), counting.bytes);
        }
        fs_pipeline_free(pipeline);
        assert_int_equal(counting.bytes, 0);
        if (counting.calls < at) {
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_are_put_together),
        cmocka_unit_test(test_a_lost_first_segment_is_a_gap),
        cmocka_unit_test(test_gaps_of_both_sides_are_told_apart),
        cmocka_unit_test(test_a_stream_from_the_middle_says_so),
        cmocka_unit_test(test_other_content_is_a_conflict),
        cmocka_unit_test(test_a_reset_that_counts_ends_both_streams),
        cmocka_unit_test(test_a_new_connection_has_new_streams),
        cmocka_unit_test(test_the_last_packet_s_bytes_come_before_the_end),
        cmocka_unit_test(test_a_hole_gets_old_while_only_the_other_side_sends),
        cmocka_unit_test(test_without_reassembly_there_is_none),
        cmocka_unit_test(test_a_bad_value_is_refused),
        cmocka_unit_test(test_packets_tracked_behind_the_pipeline_have_no_stream),
        cmocka_unit_test(test_a_batch_gives_the_same),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("pipeline streams", tests, NULL, NULL);
}
