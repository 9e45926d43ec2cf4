/* SPDX-License-Identifier: MIT */
/* Copies of frames in the pipeline: a mirror port doubles a conversation, and its flow must not show it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/pipeline.h"
#include "packet_support.h"

enum { FRAME_MAX = 128, FRAMES = 17, TEXT = 512, COPY_FRAME = 1000, TAP = 1, MIRROR = 2 };

/* ---- a conversation, as raw IPv4 ---- */

struct segment {
    bool from_server;
    unsigned flags;
    uint32_t offset, ack; /* in the streams */
    const char *text;
    uint64_t ms;
    uint16_t id;
};

enum { SYN = FS_TCP_SYN, ACK = FS_TCP_ACK, PSH = FS_TCP_PSH, FIN = FS_TCP_FIN };

/* With a lost segment that comes again, one that comes twice, and a hole that stays. */
static const struct segment conversation[FRAMES] = {
    {false, SYN, 0, 0, "", 0, 1},
    {true, SYN | ACK, 0, 0, "", 10, 501},
    {false, ACK, 0, 0, "", 20, 2},
    {false, ACK | PSH, 0, 0, "GET /", 30, 3},
    {true, ACK, 0, 5, "", 40, 502},
    {true, ACK, 0, 5, "abcd", 50, 503},
    {true, ACK, 8, 5, "ijkl", 51, 505}, /* efgh is lost */
    {false, ACK, 5, 4, "", 60, 4},
    {true, ACK, 4, 5, "efgh", 400, 506},
    {false, ACK, 5, 12, "", 410, 5},
    {false, ACK | PSH, 5, 12, "more", 420, 6},
    {false, ACK | PSH, 5, 12, "more", 720, 7}, /* again: nobody acknowledged it */
    {true, ACK, 12, 9, "", 730, 507},
    {true, ACK, 20, 9, "uvwx", 740, 508}, /* eight bytes are never captured */
    {false, ACK, 9, 24, "", 750, 8},
    {true, FIN | ACK, 24, 9, "", 760, 509},
    {false, FIN | ACK, 9, 25, "", 770, 9},
};

static uint8_t *put16(uint8_t *at, unsigned value) {
    *at++ = (uint8_t)(value >> 8);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
    return put16(put16(at, value >> 16), value & 0xffff);
}

static uint32_t build(uint8_t bytes[FRAME_MAX], const struct segment *segment) {
    enum { CLIENT = 0x0a000001, SERVER = 0x0a000002, CLIENT_ISN = 1000, SERVER_ISN = 5000, HEADERS = 40 };
    uint32_t length = (uint32_t)strlen(segment->text);
    uint32_t isn = segment->from_server ? SERVER_ISN : CLIENT_ISN;
    uint32_t peer = segment->from_server ? CLIENT_ISN : SERVER_ISN;
    uint8_t *at = put16(bytes, 0x4500);
    at = put16(at, HEADERS + length);
    at = put16(put16(at, segment->id), 0x4000);
    at = put16(put16(at, 64 << 8 | 6), 0);
    at = put32(at, segment->from_server ? SERVER : CLIENT);
    at = put32(at, segment->from_server ? CLIENT : SERVER);
    at = put16(at, segment->from_server ? 80 : 40000);
    at = put16(at, segment->from_server ? 40000 : 80);
    at = put32(at, isn + segment->offset + (segment->flags & SYN ? 0 : 1));
    at = put32(at, segment->flags & ACK ? peer + 1 + segment->ack : 0);
    at = put16(put16(at, 0x5000 | segment->flags), 8192);
    at = put32(at, 0);
    memcpy(at, segment->text, length);
    return HEADERS + length;
}

/* ---- a run ---- */

struct outcome {
    struct fs_flow_info info;
    struct fs_stream_info streams[2];
    struct fs_pipeline_stats stats;
    char text[TEXT]; /* the streams' events and the tracker's */
    size_t used;
    struct fs_pipeline *pipeline;
};

static void put(struct outcome *outcome, const char *text, size_t length) {
    assert_true(outcome->used + length + 1 < TEXT);
    memcpy(outcome->text + outcome->used, text, length);
    outcome->used += length;
    outcome->text[outcome->used] = '\0';
}

static void on_stream(struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                      const struct fs_stream_event *event, void *user) {
    (void)pipeline;
    (void)flow;
    struct outcome *outcome = user;
    char what[64];
    int length = snprintf(what, sizeof(what), "%c%d@%u+%u:", side == FS_INITIATOR ? 'i' : 'r', (int)event->kind,
                          (unsigned)event->offset, (unsigned)event->length);
    put(outcome, what, (size_t)length);
    if (event->kind == FS_STREAM_DATA) {
        put(outcome, (const char *)event->data, (size_t)event->length);
    }
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct outcome *outcome = user;
    char what[64];
    int length = snprintf(what, sizeof(what), "<%d %u>", (int)event->kind, event->anomaly);
    put(outcome, what, (size_t)length);
    if (event->kind != FS_EVENT_ENDED) {
        return;
    }
    assert_int_equal(fs_tracker_flow_info(tracker, event->flow, &outcome->info), 0);
    for (int side = 0; side < 2; side++) {
        fs_pipeline_stream_info(outcome->pipeline, event->flow, (enum fs_side)side, &outcome->streams[side]);
    }
}

static struct fs_pipeline_config config_for(struct outcome *outcome, enum fs_duplicates duplicates) {
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    assert_int_equal(config.duplicates, FS_DUPLICATES_IGNORE);
    assert_false(config.exclude_weak);
    memset(outcome, 0, sizeof(*outcome));
    config.tracker.seed = 1;
    config.tracker.on_event = on_event;
    config.tracker.user = outcome;
    config.reassembly.history = 1024;
    config.on_stream = on_stream;
    config.stream_user = outcome;
    config.duplicates = duplicates;
    config.dedup.seed = 1;
    config.exclude_weak = true;
    return config;
}

static struct fs_pipeline *start(struct outcome *outcome, enum fs_duplicates duplicates) {
    struct fs_pipeline_config config = config_for(outcome, duplicates);
    outcome->pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(outcome->pipeline);
    return outcome->pipeline;
}

static void finish(struct outcome *outcome) {
    fs_pipeline_finish(outcome->pipeline);
    fs_pipeline_get_stats(outcome->pipeline, &outcome->stats);
    fs_pipeline_free(outcome->pipeline);
    outcome->pipeline = NULL;
}

struct answer {
    int duplicate;
    struct fs_dedup_result result;
    struct fs_verdict verdict;
    struct fs_segment_verdict segment;
};

/* What extract() makes of a frame of the conversation; the bytes must live on. */
static void read(struct fs_packet *packet, struct fs_dedup_frame *shown, uint8_t bytes[FRAME_MAX], unsigned i,
                 bool copy) {
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_frame frame = {.data = bytes, .linktype = FS_LINK_RAW};
    frame.captured = frame.wire_len = build(bytes, &conversation[i]);
    frame.number = i + 1 + (copy ? COPY_FRAME : 0);
    frame.interface = copy ? MIRROR : TAP;
    frame.time_ns = SECONDS(10) + MS(conversation[i].ms) + (copy ? 5000 : 0);
    assert_int_equal(fs_extract(&config, &frame, packets), 1);
    *packet = packets[0];
    fs_dedup_frame_set(shown, &frame, packets, 1);
}

/* Without `shown`, the descriptor has to do. */
static void run_shown(struct fs_pipeline *pipeline, const struct fs_packet *packet, const struct fs_dedup_frame *shown,
                      struct answer *answer) {
    struct fs_compared compared;
    memset(&compared, 0xa5, sizeof(compared));
    memset(answer, 0xa5, sizeof(*answer));
    if (shown) {
        compared.frame = *shown;
    }
    assert_int_equal(
        fs_pipeline_frame(pipeline, packet, 1, NULL, shown ? &compared : NULL, &answer->verdict, &answer->segment), 0);
    answer->result = compared.result;
    answer->duplicate = shown ? compared.duplicate : answer->verdict.duplicate;
}

static struct answer run(struct fs_pipeline *pipeline, unsigned i, bool copy, bool show) {
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_dedup_frame shown;
    struct answer answer;
    read(&packet, &shown, bytes, i, copy);
    run_shown(pipeline, &packet, show ? &shown : NULL, &answer);
    return answer;
}

/* The copy, one hop further. */
static struct answer run_hop(struct fs_pipeline *pipeline, unsigned i) {
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_dedup_frame shown;
    struct answer answer;
    read(&packet, &shown, bytes, i, true);
    bytes[8]--;
    run_shown(pipeline, &packet, &shown, &answer);
    return answer;
}

static void run_plain(struct outcome *outcome) {
    struct fs_pipeline *pipeline = start(outcome, FS_DUPLICATES_IGNORE);
    for (unsigned i = 0; i < FRAMES; i++) {
        run(pipeline, i, false, false);
    }
    finish(outcome);
    /* The conversation has what duplicates could spoil. */
    assert_string_equal(outcome->info.history, "ShADadtTfgF");
    assert_int_equal(outcome->info.tcp[0].retransmissions, 1);
}

static void assert_same_flow(const struct outcome *got, const struct outcome *expected) {
    assert_string_equal(got->text, expected->text);
    assert_memory_equal(&got->info, &expected->info, sizeof(got->info));
    assert_memory_equal(got->streams, expected->streams, sizeof(got->streams));
}

/* ---- left out ---- */

static void test_excluded_copies_leave_no_trace(void **state) {
    (void)state;
    static struct outcome plain, mirrored;
    run_plain(&plain);
    struct fs_pipeline *pipeline = start(&mirrored, FS_DUPLICATES_EXCLUDE);
    for (unsigned i = 0; i < FRAMES; i++) {
        struct answer first = run(pipeline, i, false, true);
        assert_int_equal(first.duplicate, 0);
        assert_false(first.verdict.duplicate);
        struct answer copy = run(pipeline, i, true, true);
        assert_int_equal(copy.duplicate, 1);
        assert_int_equal(copy.result.original, i + 1);
        assert_int_equal(copy.result.differences, FS_DEDUP_INTERFACE);
        assert_true(copy.verdict.duplicate && !copy.verdict.quoted && !copy.verdict.created);
        assert_int_equal(copy.verdict.packet, 0);
        assert_int_equal(copy.verdict.flow, first.verdict.flow);
        assert_true(copy.verdict.flow_id == first.verdict.flow_id);
        assert_int_equal(copy.verdict.side, first.verdict.side);
        assert_int_equal(copy.verdict.state, first.verdict.state);
        assert_int_equal(copy.verdict.bytes, first.verdict.bytes);
        assert_int_equal(copy.verdict.anomalies, 0);
        assert_true(copy.verdict.rtt_ns == FS_NO_TIME);
        assert_int_equal(copy.segment.segment, FS_SEGMENT_NONE);
    }
    finish(&mirrored);
    assert_same_flow(&mirrored, &plain);
    assert_memory_equal(&mirrored.stats.tracker, &plain.stats.tracker, sizeof(plain.stats.tracker));
    assert_memory_equal(&mirrored.stats.reassembly, &plain.stats.reassembly, sizeof(plain.stats.reassembly));
    assert_int_equal(mirrored.stats.frames, 2 * FRAMES);
    assert_int_equal(mirrored.stats.duplicates, FRAMES);
    assert_int_equal(mirrored.stats.excluded, FRAMES);
    assert_int_equal(mirrored.stats.without_flow, 0);
    assert_int_equal(mirrored.stats.dedup.frames, 2 * FRAMES);
    assert_int_equal(mirrored.stats.dedup.pairs[0].count, FRAMES);
}

/* Behind a router: nothing is equal byte by byte, and what has no evidence is withheld. */
static void test_withheld_ones_stay_unless_asked_for(void **state) {
    (void)state;
    for (int weak_too = 0; weak_too < 2; weak_too++) {
        static struct outcome plain, routed;
        run_plain(&plain);
        struct fs_pipeline_config config = config_for(&routed, FS_DUPLICATES_EXCLUDE);
        config.dedup.mode = FS_DEDUP_ROUTED;
        config.exclude_weak = weak_too;
        struct fs_pipeline *pipeline = routed.pipeline = fs_pipeline_new(&config, NULL);
        assert_non_null(pipeline);
        uint64_t withheld = 0;
        for (unsigned i = 0; i < FRAMES; i++) {
            run(pipeline, i, false, true);
            struct answer copy = run_hop(pipeline, i);
            withheld += copy.result.withheld;
            assert_int_equal(copy.duplicate, !copy.result.withheld || weak_too);
            assert_int_equal(copy.verdict.duplicate, copy.duplicate);
        }
        finish(&routed);
        assert_true(withheld > 0 && withheld < FRAMES);
        assert_int_equal(routed.stats.excluded, weak_too ? FRAMES : FRAMES - withheld);
        assert_int_equal(routed.stats.dedup.withheld[FS_DEDUP_ROUTED], withheld);
        if (weak_too)
            assert_same_flow(&routed, &plain);
    }
}

/* Only exclusion leaves out: a withheld frame is never marked. */
static void test_withheld_ones_are_not_marked(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline_config config = config_for(&outcome, FS_DUPLICATES_MARK);
    config.dedup.mode = FS_DEDUP_ROUTED;
    struct fs_pipeline *pipeline = outcome.pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(pipeline);
    run(pipeline, 0, false, true);
    struct answer copy = run_hop(pipeline, 0);
    assert_true(copy.result.withheld);
    assert_int_equal(copy.duplicate, 0);
    finish(&outcome);
}

static void test_weak_ones_stay_unless_asked_for(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline_config config = config_for(&outcome, FS_DUPLICATES_EXCLUDE);
    config.exclude_weak = false;
    struct fs_pipeline *pipeline = outcome.pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(pipeline);
    uint64_t weak = 0, strong = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        run(pipeline, i, false, true);
        struct answer copy = run(pipeline, i, true, true);
        assert_int_equal(copy.result.verdict, FS_DEDUP_DUPLICATE);
        assert_int_equal(copy.duplicate, copy.result.evidence == FS_DEDUP_STRONG);
        assert_int_equal(copy.verdict.duplicate, copy.duplicate);
        assert_int_equal(copy.verdict.packet != 0, !copy.duplicate);
        weak += copy.result.evidence == FS_DEDUP_WEAK;
        strong += copy.result.evidence == FS_DEDUP_STRONG;
    }
    finish(&outcome);
    assert_true(weak > 0 && strong > 0);
    assert_int_equal(outcome.stats.excluded, strong);
    assert_int_equal(outcome.stats.duplicates, strong);
    assert_int_equal(outcome.stats.tracker.packets, FRAMES + weak);
    assert_int_equal(outcome.stats.dedup.duplicates[FS_DEDUP_EXACT][FS_DEDUP_WEAK], weak);
}

static void test_excluded_copy_of_nothing(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_EXCLUDE);
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_dedup_frame shown;
    struct fs_verdict verdict;
    read(&packet, &shown, bytes, 0, false);
    packet.flags |= FS_PACKET_DUPLICATE;
    assert_int_equal(fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &verdict, NULL), 0);
    assert_true(verdict.duplicate && verdict.flow == FS_NO_NUMBER && verdict.flow_id == FS_NO_FLOW);
    finish(&outcome);
    assert_int_equal(outcome.stats.tracker.created, 0);
    assert_int_equal(outcome.stats.without_flow, 0);
    assert_int_equal(outcome.stats.excluded, 1);
}

static void test_quoted_packets_of_excluded_frames(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_EXCLUDE);
    run(pipeline, 0, false, false);
    struct fs_packet chain[2] = {packet_between(FS_PROTO_ICMP, (struct end){9, 3}, (struct end){1, 0}, SECONDS(11))};
    uint8_t bytes[FRAME_MAX];
    struct fs_dedup_frame shown;
    struct fs_verdict verdicts[2];
    read(&chain[1], &shown, bytes, 0, false);
    chain[0].flags |= FS_PACKET_DUPLICATE | FS_PACKET_ICMP_ERROR;
    chain[1].flags |= FS_PACKET_QUOTED;
    assert_int_equal(fs_pipeline_frame(pipeline, chain, 2, NULL, NULL, verdicts, NULL), 0);
    assert_int_equal(verdicts[0].flow, FS_NO_NUMBER);
    assert_true(verdicts[1].quoted && verdicts[1].flow == 0 && verdicts[1].duplicate);
    finish(&outcome);
    assert_int_equal(outcome.stats.tracker.quoted, 0);
    assert_int_equal(outcome.stats.tracker.created, 1);
}

/* ---- marked ---- */

static void test_marked_copies_are_only_counted(void **state) {
    (void)state;
    static struct outcome plain, mirrored;
    run_plain(&plain);
    struct fs_pipeline *pipeline = start(&mirrored, FS_DUPLICATES_MARK);
    for (unsigned i = 0; i < FRAMES; i++) {
        struct answer first = run(pipeline, i, false, true);
        assert_false(first.verdict.duplicate);
        struct answer copy = run(pipeline, i, true, true);
        assert_int_equal(copy.duplicate, 1);
        assert_true(copy.verdict.duplicate);
        assert_int_equal(copy.verdict.packet, 2 * i + 2);
        assert_int_equal(copy.verdict.flow, first.verdict.flow);
        assert_int_equal(copy.verdict.state, first.verdict.state);
        assert_int_equal(copy.verdict.previous_frame, i + 1);
        assert_int_equal(copy.verdict.anomalies, 0);
        assert_false(copy.verdict.retransmission);
        assert_true(copy.verdict.rtt_ns == FS_NO_TIME);
        assert_int_equal(copy.segment.segment, FS_SEGMENT_NONE);
    }
    finish(&mirrored);
    for (int side = 0; side < 2; side++) {
        struct fs_counters *got = &mirrored.info.side[side];
        struct fs_counters *expected = &plain.info.side[side];
        assert_int_equal(got->duplicates, expected->packets);
        assert_int_equal(got->packets, 2 * expected->packets);
        assert_int_equal(got->payload_bytes, 2 * expected->payload_bytes);
        assert_int_equal(got->wire_bytes, 2 * expected->wire_bytes);
        *got = *expected;
    }
    assert_int_equal(mirrored.info.last_ns, plain.info.last_ns + 5000);
    assert_int_equal(mirrored.info.last_frame, plain.info.last_frame + COPY_FRAME);
    mirrored.info.last_ns = plain.info.last_ns;
    mirrored.info.last_frame = plain.info.last_frame;
    assert_same_flow(&mirrored, &plain);
    assert_int_equal(mirrored.stats.duplicates, FRAMES);
    assert_int_equal(mirrored.stats.excluded, 0);
    assert_int_equal(mirrored.stats.tracker.duplicates, FRAMES);
    assert_int_equal(mirrored.stats.tracker.packets, 2 * FRAMES);
    assert_memory_equal(mirrored.stats.tracker.anomalies, plain.stats.tracker.anomalies,
                        sizeof(plain.stats.tracker.anomalies));
    assert_memory_equal(&mirrored.stats.reassembly, &plain.stats.reassembly, sizeof(plain.stats.reassembly));
}

static void test_ignored_copies_spoil_the_flow(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_IGNORE);
    for (unsigned i = 0; i < FRAMES; i++) {
        run(pipeline, i, false, false);
        run(pipeline, i, true, false);
    }
    finish(&outcome);
    assert_true(outcome.info.tcp[0].retransmissions > 1);
    assert_int_equal(outcome.info.side[0].duplicates, 0);
    assert_int_equal(outcome.stats.duplicates, 0);
    assert_int_equal(outcome.stats.dedup.frames, 0);
}

/* The caller has a detector of its own, and none here. Copies that come late, as of a slow mirror: behind what follows
 * them, out of order in time, behind the end of the connection. */
static void test_flagged_by_the_caller(void **state) {
    (void)state;
    static struct outcome plain, mirrored;
    run_plain(&plain);
    struct fs_pipeline *pipeline = start(&mirrored, FS_DUPLICATES_IGNORE);
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_dedup_frame shown;
    struct fs_verdict verdict;
    for (unsigned i = 0; i < FRAMES; i++) {
        run(pipeline, i, false, false);
        for (unsigned late = 0; late <= i && i % 4 == 0; late++) {
            read(&packet, &shown, bytes, late, true);
            packet.flags |= FS_PACKET_DUPLICATE;
            assert_int_equal(fs_pipeline_frame(pipeline, &packet, 1, NULL, NULL, &verdict, NULL), 0);
            assert_true(verdict.duplicate && !verdict.created);
            assert_int_equal(verdict.anomalies, 0);
        }
    }
    finish(&mirrored);
    assert_int_equal(mirrored.stats.tracker.created, 1);
    assert_int_equal(mirrored.stats.tracker.duplicates, 1 + 5 + 9 + 13 + 17);
    assert_string_equal(mirrored.text, plain.text);
    assert_string_equal(mirrored.info.history, plain.info.history);
    assert_memory_equal(mirrored.info.tcp, plain.info.tcp, sizeof(plain.info.tcp));
    assert_int_equal(mirrored.info.side[0].duplicates, 0); /* not asked for */
}

/* A tunnel of its own whose every packet is a copy: it is a flow like any other. */
static void test_all_descriptors_of_a_copy_are_marked(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_MARK);
    run(pipeline, 0, false, true);
    struct fs_packet chain[2] = {udp_between((struct end){7, 50000}, (struct end){8, 4789}, SECONDS(10) + 5000, 100)};
    uint8_t bytes[FRAME_MAX];
    struct fs_dedup_frame shown;
    struct fs_verdict verdicts[2];
    read(&chain[1], &shown, bytes, 0, true);
    struct fs_compared compared = {.frame = shown};
    assert_int_equal(fs_pipeline_frame(pipeline, chain, 2, NULL, &compared, verdicts, NULL), 0);
    assert_true(compared.duplicate);
    assert_true(verdicts[0].duplicate && verdicts[0].created);
    assert_true(verdicts[1].duplicate && !verdicts[1].created);
    assert_int_equal(chain[0].flags & FS_PACKET_DUPLICATE, 0); /* the caller's stay as they are */
    struct fs_flow_info info;
    assert_int_equal(fs_tracker_flow_info(fs_pipeline_tracker(pipeline), verdicts[0].flow, &info), 0);
    assert_int_equal(info.side[0].packets, 1);
    assert_int_equal(info.side[0].duplicates, 1);
    assert_int_equal(info.state, FS_STATE_ONE_WAY);
    finish(&outcome);
    assert_int_equal(outcome.stats.duplicates, 1);
}

/* ---- batches ---- */

static void run_batch(struct outcome *outcome, enum fs_duplicates duplicates, bool show, bool with_segments,
                      struct fs_verdict verdicts[2 * FRAMES]) {
    static uint8_t bytes[2 * FRAMES][FRAME_MAX];
    struct fs_packet packets[2 * FRAMES];
    struct fs_compared compared[2 * FRAMES];
    struct fs_segment_verdict segments[2 * FRAMES];
    struct fs_pipeline *pipeline = start(outcome, duplicates);
    for (unsigned i = 0; i < 2 * FRAMES; i++) {
        read(&packets[i], &compared[i].frame, bytes[i], i / 2, i % 2);
    }
    assert_int_equal(fs_pipeline_batch(pipeline, packets, 2 * FRAMES, show ? compared : NULL, verdicts,
                                       with_segments ? segments : NULL),
                     0);
    for (unsigned i = 0; i < 2 * FRAMES; i++) {
        assert_int_equal(packets[i].flags & FS_PACKET_DUPLICATE, 0); /* the caller's stay as they are */
        assert_true(!show || compared[i].duplicate == i % 2);
        assert_true(!show || compared[i].result.original == (i % 2 ? i / 2 + 1 : 0));
        assert_true(!with_segments || i % 2 == 0 || segments[i].segment == FS_SEGMENT_NONE);
    }
    finish(outcome);
}

static void test_batch_equals_frames(void **state) {
    (void)state;
    static const enum fs_duplicates modes[] = {FS_DUPLICATES_MARK, FS_DUPLICATES_EXCLUDE};
    static struct outcome single, batched;
    for (unsigned n = 0; n < 8; n++) {
        struct fs_verdict verdicts[2 * FRAMES];
        struct fs_verdict expected[2 * FRAMES];
        bool show = n & 2;
        struct fs_pipeline *pipeline = start(&single, modes[n & 1]);
        for (unsigned i = 0; i < 2 * FRAMES; i++) {
            expected[i] = run(pipeline, i / 2, i % 2, show).verdict;
            assert_int_equal(expected[i].duplicate, i % 2);
        }
        finish(&single);
        run_batch(&batched, modes[n & 1], show, n >= 4, verdicts);
        assert_same_flow(&batched, &single);
        assert_memory_equal(verdicts, expected, sizeof(verdicts));
        assert_memory_equal(&batched.stats, &single.stats, sizeof(batched.stats));
    }
}

/* ---- the contract ---- */

/* The descriptor's IP packet is what routed mode compares anyway; exact mode has no link layer to tell apart. */
static void test_descriptors_alone_find_the_same(void **state) {
    (void)state;
    static struct outcome shown, alone;
    for (unsigned n = 0; n < 2; n++) {
        struct outcome *outcome = n ? &alone : &shown;
        struct fs_pipeline *pipeline = start(outcome, FS_DUPLICATES_EXCLUDE);
        for (unsigned i = 0; i < FRAMES; i++) {
            assert_int_equal(run(pipeline, i, false, !n).duplicate, 0);
            assert_int_equal(run(pipeline, i, true, !n).duplicate, 1);
        }
        finish(outcome);
    }
    assert_same_flow(&alone, &shown);
    assert_int_equal(alone.stats.excluded, FRAMES);
    assert_int_equal(alone.stats.dedup.frames, 2 * FRAMES);
    /* Where the bytes are not at hand nothing is compared, nor is what an error quotes. */
    struct fs_pipeline *pipeline = start(&alone, FS_DUPLICATES_MARK);
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_dedup_frame frame;
    struct answer answer;
    read(&packet, &frame, bytes, 0, false);
    for (unsigned n = 0; n < 2; n++) {
        struct fs_packet bare = packet;
        bare.ip = NULL;
        run_shown(pipeline, &bare, NULL, &answer);
        assert_false(answer.verdict.duplicate);
        bare = packet;
        bare.flags |= FS_PACKET_QUOTED;
        run_shown(pipeline, &bare, NULL, &answer);
        assert_false(answer.verdict.duplicate);
    }
    finish(&alone);
    assert_int_equal(alone.stats.dedup.frames, 0);
}

/* A frame without a descriptor is remembered, and may be a copy. */
static void test_rejected_frames_are_compared(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_MARK);
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_compared compared;
    for (unsigned n = 0; n < 2; n++) {
        read(&packet, &compared.frame, bytes, 0, n);
        compared.frame.ip = NULL;
        fs_pipeline_reject(pipeline, FS_REJECT_NOT_IP, 60, &compared);
        assert_int_equal(compared.duplicate, n);
        assert_int_equal(compared.result.original, n);
    }
    fs_pipeline_reject(pipeline, FS_REJECT_NOT_IP, 60, NULL);
    finish(&outcome);
    assert_int_equal(outcome.stats.dedup.frames, 2);
    assert_int_equal(outcome.stats.duplicates, 0); /* nothing of them was run */
    assert_int_equal(outcome.stats.untracked[FS_REJECT_NOT_IP], 3);
}

static void test_a_bad_count_compares_nothing(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_MARK);
    uint8_t bytes[FRAME_MAX];
    struct fs_packet packet;
    struct fs_compared compared;
    struct fs_verdict verdict;
    read(&packet, &compared.frame, bytes, 0, false);
    assert_int_equal(fs_pipeline_frame(pipeline, &packet, 0, NULL, &compared, &verdict, NULL), FS_ERR_INVALID);
    assert_int_equal(run(pipeline, 0, false, true).duplicate, 0);
    assert_int_equal(run(pipeline, 0, false, true).duplicate, 1);
    finish(&outcome);
    assert_int_equal(outcome.stats.dedup.frames, 2);
}

static void test_nothing_is_looked_for_unasked(void **state) {
    (void)state;
    static struct outcome outcome;
    struct fs_pipeline *pipeline = start(&outcome, FS_DUPLICATES_IGNORE);
    for (int i = 0; i < 2; i++) {
        struct answer answer = run(pipeline, 0, false, true);
        assert_false(answer.duplicate || answer.verdict.duplicate);
        assert_int_equal(answer.result.verdict, FS_DEDUP_KEEP);
        assert_int_equal(answer.result.hops, FS_DEDUP_NO_HOPS);
    }
    finish(&outcome);
    assert_int_equal(outcome.stats.dedup.frames, 0);
}

static void test_bad_settings_give_no_pipeline(void **state) {
    (void)state;
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.duplicates = FS_DUPLICATES_COUNT;
    assert_null(fs_pipeline_new(&config, NULL));
    config.duplicates = FS_DUPLICATES_MARK;
    config.dedup.capacity = 0;
    assert_null(fs_pipeline_new(&config, NULL));
    config.duplicates = FS_DUPLICATES_IGNORE;
    struct fs_pipeline *pipeline = fs_pipeline_new(&config, NULL);
    assert_non_null(pipeline); /* it is not used */
    fs_pipeline_free(pipeline);
}

static void test_memory(void **state) {
    (void)state;
    struct fs_pipeline_config config;
    struct counting_allocator counting;
    fs_pipeline_config_defaults(&config);
    config.duplicates = FS_DUPLICATES_EXCLUDE;
    struct fs_pipeline *pipeline = NULL;
    for (uint64_t fail_at = 1; !pipeline; fail_at++) {
        struct fs_allocator allocator = counting_allocator_init(&counting);
        counting.fail_at = fail_at;
        pipeline = fs_pipeline_new(&config, &allocator);
        assert_true(pipeline || counting.live == 0);
    }
    assert_true(fs_pipeline_memory(pipeline) >= 65536 * 32);
    assert_int_equal(fs_pipeline_memory(pipeline), counting.bytes);
    fs_pipeline_free(pipeline);
    assert_int_equal(counting.live, 0);
    assert_false(counting.wrong_size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_excluded_copies_leave_no_trace),
        cmocka_unit_test(test_weak_ones_stay_unless_asked_for),
        cmocka_unit_test(test_withheld_ones_stay_unless_asked_for),
        cmocka_unit_test(test_withheld_ones_are_not_marked),
        cmocka_unit_test(test_excluded_copy_of_nothing),
        cmocka_unit_test(test_quoted_packets_of_excluded_frames),
        cmocka_unit_test(test_marked_copies_are_only_counted),
        cmocka_unit_test(test_ignored_copies_spoil_the_flow),
        cmocka_unit_test(test_flagged_by_the_caller),
        cmocka_unit_test(test_all_descriptors_of_a_copy_are_marked),
        cmocka_unit_test(test_batch_equals_frames),
        cmocka_unit_test(test_descriptors_alone_find_the_same),
        cmocka_unit_test(test_rejected_frames_are_compared),
        cmocka_unit_test(test_a_bad_count_compares_nothing),
        cmocka_unit_test(test_nothing_is_looked_for_unasked),
        cmocka_unit_test(test_bad_settings_give_no_pipeline),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
