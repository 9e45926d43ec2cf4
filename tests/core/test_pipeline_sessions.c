/* SPDX-License-Identifier: MIT */
/* Sessions inside the pipeline: the same messages however the bytes came, and before the flow's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/dns.h"
#include "flowscope/pipeline.h"
#include "packet_support.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct end client = {1, 40000}, server = {2, 80}, resolver = {3, 53};
enum { CLIENT_ISN = 1000, SERVER_ISN = 5000, LOG_BYTES = 1 << 16, TEXT = 512 };

/* Messages and ends of flows, a line each. */
struct log {
    char text[LOG_BYTES];
    size_t used;
    struct fs_pipeline *pipeline;
    bool with_frames;
    unsigned messages, packets;
    struct fs_message last;
};

static void on_message(struct fs_pipeline *pipeline, uint32_t flow, const struct fs_message *message, void *user) {
    struct log *log = user;
    char text[TEXT];
    fs_message_text(message, text, sizeof(text));
    assert_true(fs_tracker_flow_id(fs_pipeline_tracker(pipeline), flow) != FS_NO_FLOW);
    assert_int_equal(fs_pipeline_session_protocol(pipeline, flow), message->protocol);
    log->last = *message;
    log->messages++;
    int length = snprintf(log->text + log->used, LOG_BYTES - log->used, "%c%u %s\n", "ir"[message->side],
                          (unsigned)message -> exchange, text);
    assert_true(length > 0 && (size_t)length < LOG_BYTES - log->used);
    log->used += (size_t)length;
    if (log->with_frames) {
        log->used--;
        length = snprintf(log->text + log->used, LOG_BYTES - log->used, " [%u-%u]\n", message->start_frame,
                          message->end_frame);
        log->used += (size_t)length;
    }
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct log *log = user;
    (void)tracker;
    log->packets += event->kind == FS_EVENT_PACKET;
    if (event->kind == FS_EVENT_ENDED) {
        log->used += (size_t)snprintf(log->text + log->used, LOG_BYTES - log->used, "end\n");
    }
}

static struct fs_pipeline_config config_for(struct log *log) {
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    memset(log, 0, sizeof(*log));
    config.tracker.seed = 1;
    config.tracker.on_event = on_event;
    config.tracker.user = log;
    config.on_message = on_message;
    config.message_user = log;
    return config;
}

static struct fs_pipeline *start_with(struct log *log, const struct fs_pipeline_config *config,
                                      const struct fs_allocator *allocator) {
    log->pipeline = fs_pipeline_new(config, allocator);
    return log->pipeline;
}

static struct fs_pipeline *start(struct log *log) {
    struct fs_pipeline_config config = config_for(log);
    assert_non_null(start_with(log, &config, NULL));
    return log->pipeline;
}

static void run(struct fs_pipeline *pipeline, const struct fs_packet *packet) {
    struct fs_verdict verdict;
    assert_int_equal(fs_pipeline_frame(pipeline, packet, 1, NULL, NULL, &verdict, NULL), 0);
}

/* ---- TCP ---- */

struct segment {
    bool from_server;
    unsigned flags;
    uint32_t offset;
    const char *text;
    uint32_t length;
    uint64_t ms;
};

static uint32_t frame_number;

static struct fs_packet packet_of(const struct segment *segment) {
    uint32_t isn = segment->from_server ? SERVER_ISN : CLIENT_ISN;
    uint32_t seq = isn + 1 + segment->offset - (segment->flags & FS_TCP_SYN ? 1 : 0);
    struct fs_packet packet =
        tcp_between(segment->from_server ? server : client, segment->from_server ? client : server,
                    SECONDS(10) + MS(segment->ms), segment->flags, seq, 0, segment->length);
    packet.payload = (const uint8_t *)segment->text;
    packet.payload_captured = packet.payload_len;
    packet.frame = ++frame_number;
    return packet;
}

static void say(struct fs_pipeline *pipeline, bool from_server, unsigned flags, uint32_t offset, const char *text,
                uint64_t ms) {
    struct fs_packet packet =
        packet_of(&(struct segment){from_server, flags, offset, text, (uint32_t)strlen(text), ms});
    run(pipeline, &packet);
}

static void greet(struct fs_pipeline *pipeline) {
    frame_number = 0;
    say(pipeline, false, FS_TCP_SYN, 0, "", 0);
    say(pipeline, true, FS_TCP_SYN | FS_TCP_ACK, 0, "", 0);
}

static const char request[] = "GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";

static void test_messages_come_with_their_packets_and_before_the_end(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    log.with_frames = true;
    greet(pipeline);
    assert_int_equal(fs_pipeline_session_protocol(pipeline, 0), FS_SESSION_NONE);
    say(pipeline, false, FS_TCP_ACK, 0, request, 1);
    assert_string_equal(log.text, "i1 GET example.org/a [3-3]\n");
    say(pipeline, true, FS_TCP_ACK, 0, answer, 13);
    say(pipeline, false, FS_TCP_ACK, sizeof(request) - 1, request, 14);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "i1 GET example.org/a [3-3]\nr1 GET example.org/a → 200 10 B 12 ms [4-4]\n"
                                  "i2 GET example.org/a [5-5]\ni2 GET example.org/a unanswered [5-5]\nend\n");
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.session.flows[FS_SESSION_HTTP], 1);
    assert_int_equal(stats.session.messages[FS_SESSION_HTTP][FS_MESSAGE_REQUEST], 2);
    assert_int_equal(stats.session.messages[FS_SESSION_HTTP][FS_MESSAGE_UNANSWERED], 1);
    assert_int_equal(fs_pipeline_session_protocol(pipeline, 0), FS_SESSION_NONE);
    assert_int_equal(fs_pipeline_session_protocol(pipeline, 1000000), FS_SESSION_NONE);
    fs_pipeline_free(pipeline);
}

static void test_both_fins_end_it_and_the_protocol_stays(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK | FS_TCP_FIN, 0, request, 1);
    say(pipeline, true, FS_TCP_ACK, 0, "HTTP/1.0 200 OK\r\n\r\nuntil", 2);
    say(pipeline, true, FS_TCP_ACK | FS_TCP_FIN, 24, " close", 3);
    assert_string_equal(log.text, "i1 GET example.org/a\nr1 GET example.org/a → 200 11 B 1 ms\n");
    assert_int_equal(fs_pipeline_session_protocol(pipeline, 0), FS_SESSION_HTTP);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.session.done[FS_SESSION_HTTP], 1);
    fs_pipeline_finish(pipeline);
    assert_int_equal(log.messages, 2);
    fs_pipeline_free(pipeline);
}

static void test_a_reset_ends_it(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK, 0, request, 1);
    say(pipeline, true, FS_TCP_ACK, 0, "HTTP/1.0 200 OK\r\n\r\nuntil", 2);
    say(pipeline, true, FS_TCP_RST, 24, "", 3);
    assert_string_equal(log.text, "i1 GET example.org/a\nr1 GET example.org/a → 200 5 B 1 ms incomplete\n");
    say(pipeline, false, FS_TCP_ACK, sizeof(request) - 1, request, 4);
    fs_pipeline_finish(pipeline);
    assert_int_equal(log.messages, 2);
    fs_pipeline_free(pipeline);
}

/* The waiting bytes behind a hole are heard before the session ends. */
static void test_what_waits_is_heard_at_the_end(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK, 0, request, 1);
    say(pipeline, true, FS_TCP_ACK, 0, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012", 2);
    say(pipeline, true, FS_TCP_ACK, 45, "6789", 3);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "i1 GET example.org/a\nr1 GET example.org/a → 200 10 B 1 ms incomplete\nend\n");
    fs_pipeline_free(pipeline);
}

/* A number is used again; nothing of the old flow clings to it. */
static void test_a_new_flow_begins_anew(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK, 0, "neither\n", 1);
    say(pipeline, true, FS_TCP_ACK, 0, "nor\n", 2);
    say(pipeline, false, FS_TCP_ACK, 8, request, 3);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "end\n");
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK, 0, request, 1);
    assert_string_equal(log.text, "end\ni1 GET example.org/a\n");
    fs_pipeline_free(pipeline);
}

/* ---- the same bytes in other segments ---- */

enum { PIECES_MAX = 4096, TURNS = 8, STREAM_MAX = 1 << 14 };

struct conversation {
    char bytes[2][STREAM_MAX];
    size_t length[2];
    struct {
        bool from_server;
        size_t start, end;
    } turns[TURNS];
    size_t count;
};

static uint32_t next_random(uint32_t *random) {
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

static void add(struct conversation *c, bool from_server, const char *text, size_t length) {
    assert_true(c->length[from_server] + length <= STREAM_MAX);
    memcpy(c->bytes[from_server] + c->length[from_server], text, length);
    c->length[from_server] += length;
    c->turns[c->count - 1].end = c->length[from_server];
}

static void turn(struct conversation *c, bool from_server) {
    c->turns[c->count].from_server = from_server;
    c->turns[c->count].start = c->turns[c->count].end = c->length[from_server];
    c->count++;
}

/* Requests, some pipelined, and their answers in all kinds of framing. */
static void make_conversation(struct conversation *c, uint32_t *random) {
    memset(c, 0, sizeof(*c));
    static char body[3000];
    memset(body, 'b', sizeof(body));
    while (c->count < TURNS) {
        unsigned pipelined = 1 + next_random(random) % 3, heads = 0;
        turn(c, false);
        for (unsigned i = 0; i < pipelined; i++) {
            char text[300];
            bool is_head = next_random(random) % 4 == 0;
            heads |= (unsigned)is_head << i;
            int n = snprintf(text, sizeof(text), "%s /%u%.*s HTTP/1.1\r\nHost: h%u\r\n\r\n", is_head ? "HEAD" : "GET",
                             (unsigned)c->length[0], (int)(next_random(random) % 150), body, i);
            add(c, false, text, (size_t)n);
        }
        turn(c, true);
        for (unsigned i = 0; i < pipelined; i++) {
            char text[200];
            unsigned size = next_random(random) % 1500;
            bool in_chunks = next_random(random) % 2;
            int n = snprintf(text, sizeof(text),
                             in_chunks ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       : "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                             size);
            add(c, true, text, (size_t)n);
            if (heads >> i & 1) {
                continue;
            }
            if (in_chunks) {
                n = snprintf(text, sizeof(text), "%x\r\n", size + 1);
                add(c, true, text, (size_t)n);
                add(c, true, body, size + 1);
                add(c, true, "\r\n0\r\n\r\n", 7);
            } else {
                add(c, true, body, size);
            }
        }
    }
}

struct way {
    unsigned smallest, largest; /* segments */
    bool reorders, repeats;
};

/* Put the pieces of one turn into packets, in some disorder. */
static size_t cut(const struct conversation *c, size_t t, const struct way *way, uint32_t *random,
                  struct fs_packet *packets) {
    size_t count = 0;
    bool from_server = c->turns[t].from_server;
    for (size_t at = c->turns[t].start; at < c->turns[t].end;) {
        size_t length = way->smallest + next_random(random) % (way->largest - way->smallest + 1);
        length = length < c->turns[t].end - at ? length : c->turns[t].end - at;
        assert_true(count + 1 < PIECES_MAX);
        packets[count++] = packet_of(
            &(struct segment){from_server, FS_TCP_ACK, (uint32_t)at, c->bytes[from_server] + at, (uint32_t)length, 0});
        if (way->repeats && next_random(random) % 5 == 0) {
            packets[count] = packets[count - 1];
            count++;
        }
        at += length;
    }
    for (size_t i = 0; way->reorders && i + 1 < count; i++) {
        size_t other = i + next_random(random) % (count - i < 8 ? count - i : 8);
        struct fs_packet packet = packets[i];
        packets[i] = packets[other];
        packets[other] = packet;
    }
    return count;
}

static void run_conversation(struct log *log, const struct conversation *c, const struct way *way, uint32_t random,
                             bool in_batches) {
    static struct fs_packet packets[PIECES_MAX];
    static struct fs_verdict verdicts[PIECES_MAX];
    struct fs_pipeline *pipeline = start(log);
    greet(pipeline);
    for (size_t t = 0; t < c->count; t++) {
        size_t count = cut(c, t, way, &random, packets);
        if (in_batches) {
            assert_int_equal(fs_pipeline_batch(pipeline, packets, count, NULL, verdicts, NULL), 0);
        }
        for (size_t i = 0; !in_batches && i < count; i++) {
            run(pipeline, &packets[i]);
        }
    }
    fs_pipeline_finish(pipeline);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.reassembly.gaps, 0);
    fs_pipeline_free(pipeline);
}

static void test_segments_do_not_matter(void **state) {
    (void)state;
    static struct log expected, log;
    static struct conversation c;
    static const struct way whole = {1460, 1460, false, false};
    static const struct way ways[] = {{1, 1, false, false}, {1, 40, false, false},    {1, 300, true, false},
                                      {7, 7, true, true},   {1460, 1460, true, true}, {1, 1460, true, true}};
    uint32_t random = 4711;
    unsigned messages = 0;
    for (int round = 0; round < 60; round++) {
        make_conversation(&c, &random);
        run_conversation(&expected, &c, &whole, random, false);
        assert_true(expected.messages >= TURNS);
        messages += expected.messages;
        for (size_t i = 0; i < COUNT(ways); i++) {
            run_conversation(&log, &c, &ways[i], random + (uint32_t)i, (round & 1) != 0);
            assert_string_equal(log.text, expected.text);
        }
    }
    assert_true(messages > 60 * TURNS);
    assert_null(strstr(expected.text, "unanswered"));
}

/* ---- DNS ---- */

static const uint8_t query[] = {0x12, 0x34, 1,   0,   0,   1, 0,   0,   0,   0, 0, 0, 7, 'e', 'x',
                                'a',  'm',  'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1};
enum { QUERY_BYTES = sizeof(query), ANSWER_BYTES = QUERY_BYTES + 16 };

static void make_answer(uint8_t *bytes) {
    static const uint8_t record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34};
    memcpy(bytes, query, QUERY_BYTES);
    bytes[2] = 0x81;
    bytes[3] = 0x80;
    bytes[7] = 1;
    memcpy(bytes + QUERY_BYTES, record, sizeof(record));
}

static struct fs_packet datagram(struct end from, struct end to, uint64_t ms, const uint8_t *data, uint32_t length) {
    struct fs_packet packet = udp_between(from, to, SECONDS(10) + MS(ms), length);
    packet.payload = data;
    packet.payload_captured = length;
    packet.frame = (uint32_t)ms + 1;
    return packet;
}

static void test_dns_has_its_time(void **state) {
    (void)state;
    for (int reassemble = 0; reassemble < 2; reassemble++) {
        struct log log;
        struct fs_pipeline_config config = config_for(&log);
        config.reassemble = reassemble != 0;
        struct fs_pipeline *pipeline = start_with(&log, &config, NULL);
        uint8_t bytes[ANSWER_BYTES];
        make_answer(bytes);
        struct fs_packet packets[] = {
            datagram(client, resolver, 0, query, QUERY_BYTES), datagram(resolver, client, 8, bytes, ANSWER_BYTES),
            datagram(client, resolver, 20000, query, QUERY_BYTES), datagram(client, resolver, 31000, NULL, 0),
            datagram(client, resolver, 32000, (const uint8_t *)"?", 1)};
        for (size_t i = 0; i < COUNT(packets); i++) {
            run(pipeline, &packets[i]);
        }
        assert_string_equal(log.text, "i1 A example.org\nr1 A example.org → 93.184.216.34 8 ms\ni2 A example.org\n"
                                      "i2 A example.org unanswered\n");
        assert_int_equal(log.last.start_frame, 20001);
        fs_pipeline_finish(pipeline);
        assert_int_equal(log.messages, 4);
        fs_pipeline_free(pipeline);
    }
}

static void test_dns_unanswered_at_the_end(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    struct fs_packet packet = datagram(client, resolver, 0, query, QUERY_BYTES);
    run(pipeline, &packet);
    fs_pipeline_tick(pipeline, SECONDS(10) + SECONDS(61)); /* ends it by silence */
    assert_string_equal(log.text, "i1 A example.org\ni1 A example.org unanswered\nend\n");
    fs_pipeline_free(pipeline);
}

static void test_fragments_and_quoted_packets(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    uint8_t bytes[ANSWER_BYTES];
    make_answer(bytes);
    struct fs_packet packet = datagram(client, resolver, 0, query, QUERY_BYTES);
    run(pipeline, &packet);
    struct fs_packet quoted = packet;
    quoted.flags |= FS_PACKET_QUOTED;
    run(pipeline, &quoted);
    assert_int_equal(log.messages, 1);
    packet = datagram(resolver, client, 1, bytes, ANSWER_BYTES - 6);
    packet.flags |= FS_PACKET_FIRST_FRAGMENT;
    run(pipeline, &packet);
    assert_int_equal(log.messages, 2);
    assert_true(log.last.incomplete);
    packet = datagram(resolver, client, 2, bytes, ANSWER_BYTES);
    packet.flags |= FS_PACKET_CUT_HEADER;
    run(pipeline, &packet);
    packet.flags = FS_PACKET_LATER_FRAGMENT;
    run(pipeline, &packet);
    assert_int_equal(log.messages, 2);
    packet = datagram(resolver, client, 3, bytes, ANSWER_BYTES);
    packet.payload_captured -= 2;
    run(pipeline, &packet);
    assert_int_equal(log.messages, 3);
    assert_true(log.last.incomplete);
    fs_pipeline_free(pipeline);
}

static void test_groups(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start(&log);
    struct fs_packet packet = datagram(client, resolver, 0, query, QUERY_BYTES);
    const uint8_t source[4] = {10, 0, 0, 1}, group[4] = {224, 0, 0, 251};
    packet.orientation =
        (uint8_t)fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, source, group, 5353, 5353, FS_PROTO_UDP, false);
    run(pipeline, &packet);
    fs_pipeline_finish(pipeline);
    assert_string_equal(log.text, "i0 A example.org\nend\n"); /* expects no answer */
    fs_pipeline_free(pipeline);
}

/* ---- what a caller's parser and hint are told ---- */

static struct {
    unsigned feeds, ticks, ends, hints;
    bool reset, from_middle;
    uint64_t last_tick_ns;
} witness;

static void *witness_create(const struct fs_parser_host *host) {
    (void)host;
    return &witness;
}

static enum fs_parse_result witness_feed(void *parser, const struct fs_chunk *chunk) {
    (void)parser;
    (void)chunk;
    witness.feeds++;
    return FS_PARSE_MORE;
}

static enum fs_parse_result witness_fin(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    (void)parser;
    (void)side;
    (void)time_ns;
    (void)frame;
    return FS_PARSE_MORE;
}

static enum fs_parse_result witness_tick(void *parser, uint64_t now_ns) {
    (void)parser;
    witness.ticks++;
    witness.last_tick_ns = now_ns;
    return FS_PARSE_MORE;
}

static void witness_end(void *parser, bool reset, uint64_t time_ns, uint32_t frame) {
    (void)parser;
    (void)time_ns;
    (void)frame;
    witness.ends++;
    witness.reset = reset;
}

static void witness_destroy(void *parser) {
    assert_ptr_equal(parser, &witness);
}

static struct fs_parser witness_parser = {.name = "witness",
                                          .protocol = 150,
                                          .create = witness_create,
                                          .feed = witness_feed,
                                          .fin = witness_fin,
                                          .tick = witness_tick,
                                          .end = witness_end,
                                          .destroy = witness_destroy};

static void on_hint(const struct fs_session_flow *flow, struct fs_session_hint *hint, void *user) {
    assert_ptr_equal(user, &witness);
    assert_int_equal((uintptr_t)flow->user, 0); /* the number of the first flow */
    witness.hints++;
    witness.from_middle = flow->from_middle;
    hint->choice = FS_SESSION_TAKE;
    hint->parser = &witness_parser;
}

static struct fs_pipeline *start_witness(struct log *log, bool stream) {
    struct fs_pipeline_config config = config_for(log);
    memset(&witness, 0, sizeof(witness));
    witness_parser.stream = stream;
    config.session.hint = on_hint;
    config.session.hint_user = &witness;
    return start_with(log, &config, NULL);
}

static void test_a_stream_s_parser_hears_of_time_and_resets(void **state) {
    (void)state;
    for (int middle = 0; middle < 2; middle++) {
        struct log log;
        struct fs_pipeline *pipeline = start_witness(&log, true);
        if (middle == 0) {
            greet(pipeline);
        }
        say(pipeline, false, FS_TCP_ACK, 0, "abc", 1);
        assert_int_equal(witness.from_middle, middle);
        assert_int_equal(witness.ticks, 0);
        say(pipeline, true, FS_TCP_ACK, 0, "", 2);
        assert_int_equal(witness.ticks, 1);
        assert_int_equal(witness.last_tick_ns, SECONDS(10) + MS(2));
        assert_int_equal(fs_pipeline_session_protocol(pipeline, 0), 150);
        say(pipeline, true, FS_TCP_RST | FS_TCP_ACK, 0, "", 3);
        assert_int_equal(witness.ends, 1);
        assert_true(witness.reset);
        fs_pipeline_finish(pipeline);
        assert_int_equal(witness.ends, 1);
        assert_int_equal(witness.hints, 1);
        fs_pipeline_free(pipeline);
    }
}

static void test_a_datagram_s_parser_hears_of_time(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline *pipeline = start_witness(&log, false);
    for (uint64_t ms = 0; ms < 3; ms++) {
        struct fs_packet packet = datagram(client, resolver, ms, query, QUERY_BYTES);
        run(pipeline, &packet);
    }
    assert_int_equal(witness.feeds, 3);
    assert_int_equal(witness.ticks, 2);
    assert_int_equal(witness.last_tick_ns, SECONDS(10) + MS(2));
    fs_pipeline_finish(pipeline);
    assert_int_equal(witness.ends, 1);
    assert_false(witness.reset);
    fs_pipeline_free(pipeline);
}

/* ---- without ---- */

static void test_without_sessions_or_payload_there_are_none(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    config.sessions = false;
    struct fs_pipeline *pipeline = start_with(&log, &config, NULL);
    greet(pipeline);
    say(pipeline, false, FS_TCP_ACK, 0, request, 1);
    struct fs_packet packet = datagram(client, resolver, 0, query, QUERY_BYTES);
    run(pipeline, &packet);
    fs_pipeline_finish(pipeline);
    assert_int_equal(log.messages, 0);
    fs_pipeline_free(pipeline);
    pipeline = start(&log);
    size_t before = 0;
    for (uint16_t i = 0; i < 500; i++) {
        packet = datagram((struct end){9, i}, resolver, 0, NULL, 0);
        run(pipeline, &packet);
        struct fs_packet syn = tcp_between((struct end){9, i}, server, SECONDS(10), FS_TCP_SYN, 1, 0, 0);
        run(pipeline, &syn);
        if (i == 0) {
            before = fs_pipeline_memory(pipeline) - fs_tracker_memory(fs_pipeline_tracker(pipeline));
        }
    }
    assert_int_equal(fs_pipeline_memory(pipeline) - fs_tracker_memory(fs_pipeline_tracker(pipeline)), before);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    assert_int_equal(stats.session.flows[FS_SESSION_NONE], 0);
    fs_pipeline_free(pipeline);
}

static void test_a_bad_value_is_refused(void **state) {
    (void)state;
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    config.session.probe_limit = 0;
    assert_null(fs_pipeline_new(&config, NULL));
}

/* ---- memory ---- */

/* Neither bytes nor flows of no parser allocate, once their like was seen. */
static void test_steady_state_allocates_nothing(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_allocator allocator = counting_allocator_init(&counting);
    struct log log;
    struct fs_pipeline_config config = config_for(&log);
    struct fs_pipeline *pipeline = start_with(&log, &config, &allocator);
    static const char text[1000] = "binary";
    uint64_t after = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        struct end peer = {2, 7};
        struct end other = {(uint16_t)(i % 50), (uint16_t)(1 + i / 50 % 2)};
        struct fs_packet packet = tcp_between(i & 1 ? peer : other, i & 1 ? other : peer, SECONDS(10), FS_TCP_ACK,
                                              1 + i / 200 * 1000, 0, 1000);
        packet.payload = (const uint8_t *)text;
        packet.payload_captured = 1000;
        run(pipeline, &packet);
        after = i == 400 ? counting.calls : after;
    }
    assert_int_equal(counting.calls, after);
    fs_pipeline_free(pipeline);
    assert_int_equal(counting.bytes, 0);
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    static struct conversation c;
    static struct fs_packet packets[PIECES_MAX];
    static const struct way way = {1, 300, true, true};
    uint32_t random = 1;
    make_conversation(&c, &random);
    for (uint64_t at = 1;; at++) {
        struct counting_allocator counting;
        struct fs_allocator allocator = counting_allocator_init(&counting);
        struct log log;
        struct fs_pipeline_config config = config_for(&log);
        counting.fail_at = at;
        struct fs_pipeline *pipeline = start_with(&log, &config, &allocator);
        uint32_t again = 7;
        for (size_t t = 0; pipeline != NULL && t < c.count; t++) {
            size_t count = cut(&c, t, &way, &again, packets);
            packets[count++] = datagram(client, resolver, t, query, QUERY_BYTES);
            for (size_t i = 0; i < count; i++) {
                struct fs_verdict verdict;
                (void)fs_pipeline_frame(pipeline, &packets[i], 1, NULL, NULL, &verdict, NULL);
                assert_int_equal(fs_pipeline_memory(pipeline), counting.bytes);
            }
        }
        if (pipeline != NULL && at % 2 == 0) {
            fs_pipeline_finish(pipeline);
        }
        fs_pipeline_free(pipeline);
        assert_int_equal(counting.bytes, 0);
        assert_false(counting.wrong_size);
        if (counting.calls < at) {
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_with_their_packets_and_before_the_end),
        cmocka_unit_test(test_both_fins_end_it_and_the_protocol_stays),
        cmocka_unit_test(test_a_reset_ends_it),
        cmocka_unit_test(test_what_waits_is_heard_at_the_end),
        cmocka_unit_test(test_a_new_flow_begins_anew),
        cmocka_unit_test(test_segments_do_not_matter),
        cmocka_unit_test(test_dns_has_its_time),
        cmocka_unit_test(test_dns_unanswered_at_the_end),
        cmocka_unit_test(test_fragments_and_quoted_packets),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_a_stream_s_parser_hears_of_time_and_resets),
        cmocka_unit_test(test_a_datagram_s_parser_hears_of_time),
        cmocka_unit_test(test_without_sessions_or_payload_there_are_none),
        cmocka_unit_test(test_a_bad_value_is_refused),
        cmocka_unit_test(test_steady_state_allocates_nothing),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
