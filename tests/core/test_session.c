/* SPDX-License-Identifier: MIT */
/* Which parser a flow gets, what that is told, and what it costs when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- parsers that write down what they are told ---- */

enum { TEXT = 8192, FAKES = 5, USER_PROTOCOL = 200 };

/* Calls as text: +NAME created, i and r with bytes, i.N a gap, i$ a fin, t a tick, E and R the end, ~ destroyed. */
static struct {
    char text[TEXT];
    size_t used;
    unsigned probes[FAKES];
} calls;

static void write_down(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(calls.text + calls.used, TEXT - calls.used, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < TEXT - calls.used);
    calls.used += (size_t)length;
}

struct fake {
    struct fs_parser_host host;
    uint64_t next[2];
    bool has_fin[2], is_over, has_ended;
    void *more; /* of what it allocates when it sees M */
    size_t more_size;
};

static void *fake_create(const struct fs_parser_host *host, const char *name) {
    struct fake *fake = host->allocator.alloc(sizeof(*fake), host->allocator.user);
    if (fake == NULL) {
        return NULL;
    }
    memset(fake, 0, sizeof(*fake));
    fake->host = *host;
    write_down("+%s ", name);
    return fake;
}

static void fake_allocate(struct fake *fake, size_t size) {
    void *more = fake->host.allocator.alloc(size, fake->host.allocator.user);
    write_down(more == NULL ? "(no memory) " : "(memory) ");
    if (more == NULL) {
        return;
    }
    if (fake->more != NULL) {
        fake->host.allocator.release(fake->more, fake->more_size, fake->host.allocator.user);
    }
    fake->more = more;
    fake->more_size = size;
}

static enum fs_parse_result fake_result(struct fake *fake, const struct fs_chunk *chunk) {
    size_t length = (size_t)chunk->length;
    if (memchr(chunk->data, 'M', length) != NULL) {
        fake_allocate(fake, 1000);
    }
    if (memchr(chunk->data, '!', length) != NULL) {
        struct fs_message message = {.protocol = USER_PROTOCOL, .kind = FS_MESSAGE_NOTICE, .side = chunk->side};
        fake->host.on_message(&message, fake->host.user);
    }
    fake->is_over = memchr(chunk->data, 'D', length) != NULL || memchr(chunk->data, 'P', length) != NULL;
    if (memchr(chunk->data, 'D', length) != NULL) {
        return FS_PARSE_DONE;
    }
    return fake->is_over ? FS_PARSE_POISONED : FS_PARSE_MORE;
}

static enum fs_parse_result feed_any(struct fake *fake, const struct fs_chunk *chunk, bool is_stream) {
    assert_true(chunk->length > 0 && !fake->is_over && !fake->has_ended && !fake->has_fin[chunk->side]);
    if (is_stream) {
        assert_int_equal(chunk->offset, fake->next[chunk->side]);
        fake->next[chunk->side] += chunk->length;
    }
    if (chunk->data == NULL) {
        write_down("%c.%u ", "ir"[chunk->side], (unsigned)chunk -> length);
        return FS_PARSE_MORE;
    }
    write_down("%c%.*s@%u ", "ir"[chunk->side], (int)chunk -> length, (const char *)chunk -> data, chunk -> frame);
    return fake_result(fake, chunk);
}

static enum fs_parse_result fake_feed(void *parser, const struct fs_chunk *chunk) {
    return feed_any(parser, chunk, true);
}

static enum fs_parse_result fake_feed_datagram(void *parser, const struct fs_chunk *chunk) {
    return feed_any(parser, chunk, false);
}

static enum fs_parse_result fake_fin(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    struct fake *fake = parser;
    assert_true(!fake->is_over && !fake->has_ended && !fake->has_fin[side]);
    assert_true(time_ns > 0);
    fake->has_fin[side] = true;
    write_down("%c$@%u ", "ir"[side], frame);
    fake->is_over = fake->has_fin[!side];
    return fake->is_over ? FS_PARSE_DONE : FS_PARSE_MORE;
}

static enum fs_parse_result fake_tick(void *parser, uint64_t now_ns) {
    struct fake *fake = parser;
    assert_true(!fake->is_over && !fake->has_ended);
    write_down("t%u ", (unsigned)now_ns);
    fake->is_over = now_ns == 99;
    return fake->is_over ? FS_PARSE_POISONED : FS_PARSE_MORE;
}

static void fake_end(void *parser, bool reset, uint64_t time_ns, uint32_t frame) {
    struct fake *fake = parser;
    assert_true(!fake->is_over && !fake->has_ended);
    (void)time_ns;
    fake->has_ended = true;
    write_down("%s@%u ", reset ? "R" : "E", frame);
}

static void fake_destroy(void *parser) {
    struct fake *fake = parser;
    struct fs_allocator allocator = fake->host.allocator;
    if (fake->more != NULL) {
        allocator.release(fake->more, fake->more_size, allocator.user);
    }
    write_down("~ ");
    allocator.release(fake, sizeof(*fake), allocator.user);
}

/* A protocol that begins with a word. */
static enum fs_probe_result begins_with(const struct fs_chunk *first, const char *start_word, unsigned fake) {
    size_t length = strlen(start_word), there = (size_t)first->length;
    calls.probes[fake]++;
    if (first->data == NULL || there == 0) {
        fail_msg("nothing to probe");
        return FS_PROBE_NO;
    }
    if (memcmp(first->data, start_word, there < length ? there : length) != 0) {
        return FS_PROBE_NO;
    }
    return there < length ? FS_PROBE_MORE : FS_PROBE_YES;
}

#define FAKE(index, label, start_word, number, is_stream, is_group, feeder)                                            \
    static enum fs_probe_result probe_##label(const struct fs_chunk *first) {                                          \
        return begins_with(first, start_word, index);                                                                  \
    }                                                                                                                  \
    static void *create_##label(const struct fs_parser_host *host) {                                                   \
        return fake_create(host, #label);                                                                              \
    }                                                                                                                  \
    static const struct fs_parser label = {.name = #label,                                                             \
                                           .protocol = number,                                                         \
                                           .stream = is_stream,                                                        \
                                           .group = is_group,                                                          \
                                           .probe = probe_##label,                                                     \
                                           .create = create_##label,                                                   \
                                           .feed = feeder,                                                             \
                                           .fin = fake_fin,                                                            \
                                           .tick = fake_tick,                                                          \
                                           .end = fake_end,                                                            \
                                           .destroy = fake_destroy}

FAKE(0, word, "wordy", USER_PROTOCOL, true, false, fake_feed);
FAKE(1, woe, "wo", USER_PROTOCOL + 1, true, false, fake_feed);
FAKE(2, other, "xyz", USER_PROTOCOL + 2, true, false, fake_feed);
FAKE(3, gram, "gr", USER_PROTOCOL + 3, false, false, fake_feed_datagram);
FAKE(4, group, "gr", USER_PROTOCOL + 3, false, true, fake_feed_datagram);

static const struct fs_parser *const fakes[FAKES] = {&word, &woe, &other, &gram, &group};
static const struct fs_session_port ports[] = {{9000, USER_PROTOCOL + 2, false},
                                               {9001, USER_PROTOCOL + 2, true},
                                               {9002, USER_PROTOCOL + 3, true},
                                               {9003, 77, true}};

/* ---- a flow ---- */

struct fixture {
    struct counting_allocator counting;
    struct fs_allocator allocator;
    struct fs_session_config config;
    struct fs_sessions *sessions;
    struct fs_session *session;
    struct fs_session_flow flow;
    uint64_t offset[2];
    uint32_t frame;
    unsigned messages;
    struct fs_session_hint hint;
    unsigned hints;
};

static void on_message(void *flow_user, const struct fs_message *message, void *user) {
    struct fixture *f = user;
    assert_ptr_equal(flow_user, &f->flow);
    assert_true(message->protocol >= FS_SESSION_USER);
    f->messages++;
}

static void on_hint(const struct fs_session_flow *flow, struct fs_session_hint *hint, void *user) {
    struct fixture *f = user;
    assert_ptr_equal(flow->user, &f->flow);
    assert_int_equal(hint->choice, FS_SESSION_PROBE);
    assert_null(hint->parser);
    f->hints++;
    *hint = f->hint;
}

static struct fs_session_flow flow_of(unsigned protocol, uint16_t server_port, const char *server) {
    struct fs_session_flow flow;
    memset(&flow, 0, sizeof(flow));
    const uint8_t client[4] = {10, 0, 0, 1};
    flow.initiator_orientation = (uint8_t)fs_key_set(&flow.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, client, server, 40000,
                                                     server_port, (uint8_t)protocol, false);
    return flow;
}

static void prepare(struct fixture *f) {
    memset(f, 0, sizeof(*f));
    memset(&calls, 0, sizeof(calls));
    f->allocator = counting_allocator_init(&f->counting);
    fs_session_config_defaults(&f->config);
    f->config.parsers = fakes;
    f->config.parser_count = FAKES;
    f->config.ports = ports;
    f->config.port_count = COUNT(ports);
    f->config.probe_limit = 16;
    f->config.on_message = on_message;
    f->config.user = f;
    f->flow = flow_of(FS_PROTO_TCP, 7, "\x0a\x00\x00\x02");
}

static void open(struct fixture *f) {
    f->sessions = fs_sessions_new(&f->config, &f->allocator);
    assert_non_null(f->sessions);
    f->flow.user = &f->flow;
    f->session = fs_session_new(f->sessions, &f->flow);
    assert_non_null(f->session);
}

static void feed_bytes(struct fixture *f, unsigned side, const char *bytes, size_t length) {
    char *copy = malloc(length); /* gone after the call */
    memcpy(copy, bytes, length);
    struct fs_chunk chunk = {.data = (const uint8_t *)copy, .length = length, .offset = f->offset[side]};
    chunk.side = (uint8_t)side;
    chunk.frame = ++f->frame;
    chunk.time_ns = f->frame;
    f->offset[side] += length;
    fs_session_feed(f->session, &chunk);
    free(copy);
}

static void feed(struct fixture *f, unsigned side, const char *text) {
    feed_bytes(f, side, text, strlen(text));
}

static void gap(struct fixture *f, unsigned side, uint64_t length) {
    struct fs_chunk chunk = {.length = length, .offset = f->offset[side], .side = (uint8_t)side, .frame = ++f->frame};
    f->offset[side] += length;
    fs_session_feed(f->session, &chunk);
}

static void fin(struct fixture *f, unsigned side) {
    f->frame++;
    fs_session_fin(f->session, (enum fs_side)side, f->frame, f->frame);
}

static struct fs_session_stats stats_of(const struct fixture *f) {
    struct fs_session_stats stats;
    fs_sessions_get_stats(f->sessions, &stats);
    assert_int_equal(stats.memory_bytes, f->counting.bytes);
    return stats;
}

/* End it, look at what was called, and see that nothing is left. */
static void close(struct fixture *f, const char *expected) {
    fs_session_end(f->session, false, 1000, 1000);
    assert_string_equal(calls.text, expected);
    struct fs_session_stats stats = stats_of(f);
    uint64_t flows = 0;
    for (unsigned i = 0; i < FS_SESSION_PROTOCOL_COUNT; i++) {
        flows += stats.flows[i];
    }
    assert_int_equal(flows, 1);
    assert_true(fs_session_is_over(f->session));
    fs_session_free(f->session);
    fs_sessions_free(f->sessions);
    assert_int_equal(f->counting.bytes, 0);
    assert_false(f->counting.wrong_size);
}

enum { I = FS_INITIATOR, R = FS_RESPONDER };

static void start(struct fixture *f) {
    prepare(f);
    open(f);
}

/* ---- choosing ---- */

static void test_first_bytes_choose(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(fs_session_protocol(f.session), FS_SESSION_NONE);
    feed(&f, I, "xyz and more!");
    assert_int_equal(fs_session_protocol(f.session), USER_PROTOCOL + 2);
    feed(&f, R, "answer");
    assert_int_equal(stats_of(&f).probe_bytes, 0);
    assert_int_equal(f.messages, 1);
    close(&f, "+other ixyz and more!@1 ranswer@2 E@1000 ~ ");
}

/* `word` may still become YES when `woe` is: how bytes are split must not decide. */
static void test_who_comes_first_is_waited_for(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "wo");
    assert_string_equal(calls.text, "");
    assert_false(fs_session_is_over(f.session));
    feed(&f, I, "rd");
    feed(&f, I, "y D");
    assert_true(fs_session_is_over(f.session));
    assert_int_equal(stats_of(&f).probe_bytes, 7);
    close(&f, "+word iwo@1 ird@2 iy D@3 ~ ");
    start(&f);
    feed(&f, I, "wor");
    feed(&f, I, "k");
    close(&f, "+woe iwor@1 ik@2 E@1000 ~ ");
}

/* The same choice and the same bytes, byte by byte and at once. */
static void test_splitting_does_not_matter(void **state) {
    (void)state;
    static const char *const texts[] = {
        "wordy", "work", "wo", "xyz", "xya", "w", "wordz and much more", "zzzzzzzzzzzzzzz", "wordwordwordwordword"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        uint8_t chosen[2];
        for (int split = 0; split < 2; split++) {
            struct fixture f;
            start(&f);
            for (size_t at = 0; split != 0 && at < strlen(texts[i]); at++) {
                feed_bytes(&f, I, texts[i] + at, 1);
            }
            if (split == 0) {
                feed(&f, I, texts[i]);
            }
            fin(&f, I);
            chosen[split] = fs_session_protocol(f.session);
            if (chosen[split] != 0) {
                /* Whatever waited was handed over, with the frames that brought it. */
                char want[32];
                size_t length = strlen(texts[i]);
                if (split != 0) {
                    (void)snprintf(want, sizeof(want), "i%c@%u ", texts[i][length - 1], (unsigned)length);
                } else {
                    (void)snprintf(want, sizeof(want), "i%s@1 ", texts[i]);
                }
                assert_non_null(strstr(calls.text, want));
            }
            fs_session_free(f.session);
            fs_sessions_free(f.sessions);
            assert_int_equal(f.counting.bytes, 0);
        }
        assert_int_equal(chosen[0], chosen[1]);
    }
}

static void test_the_other_side_may_tell(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "nothing known");
    feed(&f, I, "more");
    assert_int_equal(f.counting.live, 3); /* nothing waits */
    feed(&f, R, "xy");
    feed(&f, R, "z");
    feed(&f, I, "heard");
    close(&f, "+other i.17 rxy@3 rz@4 iheard@5 E@1000 ~ ");
}

static void test_both_sides_wait_in_order(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "wo");
    feed(&f, R, "wor");
    feed(&f, I, "rd");
    feed(&f, R, "dy");
    close(&f, "+word iwo@1 rwor@2 ird@3 rdy@4 E@1000 ~ ");
}

static void test_nobody_wants_it(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "nothing known");
    assert_false(fs_session_is_over(f.session));
    feed(&f, R, "neither");
    assert_true(fs_session_is_over(f.session));
    unsigned probes = calls.probes[0];
    feed(&f, I, "wordy");
    fin(&f, R);
    fs_session_tick(f.session, 5);
    assert_int_equal(calls.probes[0], probes);
    assert_int_equal(fs_session_protocol(f.session), FS_SESSION_NONE);
    struct fs_session_stats stats = stats_of(&f);
    assert_int_equal(stats.flows[FS_SESSION_NONE], 1);
    assert_int_equal(stats.undecided, 0);
    close(&f, "");
}

static void test_one_that_ends_too_soon_is_undecided(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "xy");
    fs_session_end(f.session, false, 1, 1);
    assert_int_equal(stats_of(&f).undecided, 1);
    close(&f, "");
    start(&f);
    feed(&f, I, "wor"); /* enough for woe, once no more can come */
    close(&f, "+woe iwor@1 E@1000 ~ ");
}

static void test_the_probe_limit_forces_a_choice(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.config.probe_limit = 3;
    open(&f);
    feed(&f, I, "w");
    feed(&f, I, "ordy");
    close(&f, "+woe iw@1 ior@2 idy@2 E@1000 ~ ");
    prepare(&f);
    f.config.probe_limit = 2;
    open(&f);
    feed(&f, I, "xyz");
    feed(&f, R, "xyz");
    assert_true(fs_session_is_over(f.session));
    close(&f, "");
}

static void test_ports(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    open(&f); /* first asked, but not certain */
    feed(&f, I, "wordy");
    assert_int_equal(calls.probes[2], 1);
    close(&f, "+word iwordy@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    open(&f);
    feed(&f, I, "xyz");
    assert_int_equal(calls.probes[0], 0); /* asked after the port's, so not at all */
    close(&f, "+other ixyz@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9001, "\x0a\x00\x00\x02");
    open(&f); /* certain */
    feed(&f, I, "wordy");
    assert_int_equal(stats_of(&f).probes, 0);
    close(&f, "+other iwordy@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9002, "\x0a\x00\x00\x02");
    open(&f); /* certain, of another transport */
    feed(&f, I, "wordy");
    close(&f, "+word iwordy@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9001, "\x0a\x00\x00\x02");
    f.flow.initiator_orientation ^= 1; /* the port is the initiator's */
    open(&f);
    feed(&f, I, "wordy");
    close(&f, "+other iwordy@1 E@1000 ~ ");
}

static void test_a_stream_without_its_beginning(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    f.flow.from_middle = true;
    open(&f);
    feed(&f, R, "of something");
    close(&f, "+other rof something@1 E@1000 ~ "); /* by its port */
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    f.flow.from_middle = true;
    open(&f);
    feed(&f, R, "wordy");
    close(&f, "+word rwordy@1 E@1000 ~ "); /* first bytes say more */
    prepare(&f);
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    open(&f);
    gap(&f, I, 10);
    feed(&f, I, "of something");
    close(&f, "+other i.10 iof something@2 E@1000 ~ ");
    start(&f); /* no port, but a word after the gap */
    gap(&f, I, 10);
    feed(&f, I, "xyz");
    close(&f, "+other i.10 ixyz@2 E@1000 ~ ");
    prepare(&f); /* a gap while it is not sure */
    f.flow = flow_of(FS_PROTO_TCP, 9000, "\x0a\x00\x00\x02");
    open(&f);
    feed(&f, I, "xy");
    gap(&f, I, 4);
    close(&f, "+other ixy@1 i.4 E@1000 ~ ");
    start(&f);
    feed(&f, I, "xy");
    gap(&f, I, 4);
    feed(&f, I, "xyz");
    feed(&f, R, "xyz");
    close(&f, "+other i.9 rxyz@4 E@1000 ~ ");
}

static void test_datagrams(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.flow = flow_of(FS_PROTO_UDP, 7, "\x0a\x00\x00\x02");
    open(&f);
    feed(&f, I, "no");
    feed(&f, R, "g"); /* more of it will not come */
    feed(&f, R, "great");
    feed(&f, I, "thanks");
    close(&f, "+gram rgreat@3 ithanks@4 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_UDP, 7, "\xe0\x00\x00\xfb");
    open(&f);
    feed(&f, I, "great");
    close(&f, "+group igreat@1 E@1000 ~ ");
    prepare(&f); /* the initiator's address does not count */
    f.flow = flow_of(FS_PROTO_UDP, 7, "\xe0\x00\x00\xfb");
    f.flow.initiator_orientation ^= 1;
    open(&f);
    feed(&f, I, "great");
    close(&f, "+gram igreat@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_UDP, 9002, "\x0a\x00\x00\x02");
    open(&f);
    feed(&f, I, "anything");
    close(&f, "+gram ianything@1 E@1000 ~ ");
    prepare(&f);
    f.flow = flow_of(FS_PROTO_UDP, 7, "\x0a\x00\x00\x02");
    open(&f);
    for (int i = 0; i < 3; i++) {
        feed(&f, I, "no");
        assert_false(fs_session_is_over(f.session));
    }
    feed(&f, I, "no");
    assert_true(fs_session_is_over(f.session));
    unsigned probes = calls.probes[3];
    feed(&f, I, "great");
    assert_int_equal(calls.probes[3], probes);
    close(&f, "");
}

static void test_other_flows_get_none(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.flow = flow_of(FS_PROTO_SCTP, 9002, "\x0a\x00\x00\x02");
    open(&f);
    assert_true(fs_session_is_over(f.session));
    close(&f, "");
    prepare(&f);
    f.flow.key.kind = FS_KEY_IP_PAIR;
    open(&f);
    assert_true(fs_session_is_over(f.session));
    close(&f, "");
    prepare(&f);
    f.config.parser_count = 3;
    f.flow = flow_of(FS_PROTO_UDP, 9002, "\x0a\x00\x00\x02");
    open(&f);
    assert_true(fs_session_is_over(f.session));
    close(&f, "");
}

static void test_hints(void **state) {
    (void)state;
    static const struct {
        struct fs_session_hint hint;
        const char *expected;
    } cases[] = {{{FS_SESSION_PROBE, NULL}, "+other ixyz@1 E@1000 ~ "},
                 {{FS_SESSION_TAKE, &word}, "+word ixyz@1 E@1000 ~ "},
                 {{FS_SESSION_TAKE, &gram}, ""},
                 {{FS_SESSION_TAKE, NULL}, ""},
                 {{FS_SESSION_LEAVE, NULL}, ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture f;
        prepare(&f);
        f.config.hint = on_hint;
        f.config.hint_user = &f;
        f.hint = cases[i].hint;
        open(&f);
        assert_int_equal(fs_session_is_over(f.session), cases[i].expected[0] == '\0');
        feed(&f, I, "xyz");
        assert_int_equal(f.hints, 1);
        close(&f, cases[i].expected);
    }
}

/* ---- a parser's life ---- */

static void test_done_and_poisoned_are_dropped(void **state) {
    (void)state;
    static const char *const last[] = {"D", "P"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        start(&f);
        feed(&f, I, "xyz");
        feed(&f, R, last[i]);
        assert_true(fs_session_is_over(f.session));
        assert_int_equal(f.counting.live, 3); /* of the parser nothing */
        feed(&f, I, "xyz");
        gap(&f, R, 3);
        fin(&f, I);
        fs_session_tick(f.session, 3);
        assert_int_equal(fs_session_protocol(f.session), USER_PROTOCOL + 2);
        struct fs_session_stats stats = stats_of(&f);
        unsigned user = fs_session_protocol_index(USER_PROTOCOL);
        assert_int_equal(stats.done[user], i == 0);
        assert_int_equal(stats.poisoned[user], i == 1);
        close(&f, i == 0 ? "+other ixyz@1 rD@2 ~ " : "+other ixyz@1 rP@2 ~ ");
    }
}

static void test_one_that_is_done_while_it_hears_what_waited(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "wo");
    feed(&f, R, "woDrk and");
    close(&f, "+woe iwo@1 rwoDrk and@2 ~ ");
}

static void test_fins_ticks_and_ends(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "xyz");
    fs_session_tick(f.session, 5);
    fin(&f, I);
    fin(&f, R);
    close(&f, "+other ixyz@1 t5 i$@2 r$@3 ~ ");
    start(&f);
    feed(&f, I, "xyz");
    fs_session_tick(f.session, 99);
    close(&f, "+other ixyz@1 t99 ~ ");
    start(&f);
    feed(&f, I, "xyz");
    fs_session_end(f.session, true, 7, 8);
    close(&f, "+other ixyz@1 R@8 ~ ");
    start(&f); /* a fin while it is not sure */
    feed(&f, I, "wor");
    fin(&f, I);
    close(&f, "+woe iwor@1 i$@2 E@1000 ~ ");
    start(&f); /* a fin of a side that said nothing, or nothing known, before the other is known */
    feed(&f, I, "what");
    fin(&f, I);
    feed(&f, R, "xyz");
    close(&f, "+other i.4 i$@2 rxyz@3 E@1000 ~ ");
    start(&f);
    fin(&f, R);
    feed(&f, I, "xyz");
    close(&f, "+other r$@1 ixyz@2 E@1000 ~ ");
    start(&f);
    feed(&f, I, "what");
    fin(&f, R);
    assert_true(fs_session_is_over(f.session));
    close(&f, "");
}

/* ---- memory ---- */

static void test_limits(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.config.flow_limit = sizeof(struct fake) + 1500;
    open(&f);
    feed(&f, I, "xyz");
    feed(&f, I, "M");
    feed(&f, I, "M"); /* while the first is there */
    assert_int_equal(stats_of(&f).refused, 1);
    close(&f, "+other ixyz@1 iM@2 (memory) iM@3 (no memory) E@1000 ~ ");
    prepare(&f);
    f.config.flow_limit = sizeof(struct fake) - 1;
    open(&f);
    feed(&f, I, "xyz");
    assert_true(fs_session_is_over(f.session));
    assert_int_equal(stats_of(&f).unmade, 1);
    close(&f, "");
    prepare(&f);
    f.config.total_limit = 1;
    f.sessions = fs_sessions_new(&f.config, &f.allocator);
    assert_null(fs_session_new(f.sessions, &f.flow));
    assert_int_equal(stats_of(&f).unmade, 1);
    fs_sessions_free(f.sessions);
}

/* What was not given does not count against the flow; a parser that cannot be made ends the session, at a fin too. */
static void test_memory_that_fails_once(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.config.flow_limit = sizeof(struct fake) + 1500;
    open(&f);
    feed(&f, I, "xyz");
    f.counting.fail_at = f.counting.calls + 1;
    feed(&f, I, "M");
    feed(&f, I, "M");
    assert_int_equal(stats_of(&f).refused, 1);
    close(&f, "+other ixyz@1 iM@2 (no memory) iM@3 (memory) E@1000 ~ ");
    start(&f);
    feed(&f, I, "wor");
    f.counting.fail_at = f.counting.calls + 1;
    fin(&f, I);
    assert_true(fs_session_is_over(f.session));
    assert_int_equal(stats_of(&f).unmade, 1);
    close(&f, "");
}

/* Bytes that wait cost their number and 24 for each packet, never more than twice that. */
static void test_what_waits_is_bounded(void **state) {
    (void)state;
    struct fixture f;
    prepare(&f);
    f.config.probe_limit = 2048;
    f.config.parsers = (const struct fs_parser *const[]){&fs_parser_http};
    f.config.parser_count = 1;
    open(&f);
    uint64_t before = f.counting.bytes;
    for (int i = 0; i < 5000; i++) {
        feed(&f, I, "\r");
        feed(&f, R, "\n");
        assert_true(f.counting.bytes - before <= (size_t)2 * (2048 + 2048 * 24) + 4096);
    }
    assert_true(fs_session_is_over(f.session));
    assert_int_equal(stats_of(&f).probe_bytes, 4096);
    close(&f, "");
}

static void test_each_allocation_may_fail(void **state) {
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct fixture f;
        prepare(&f);
        f.counting.fail_at = at;
        f.sessions = fs_sessions_new(&f.config, &f.allocator);
        f.flow.user = &f.flow;
        f.session = f.sessions != NULL ? fs_session_new(f.sessions, &f.flow) : NULL;
        if (f.session != NULL) {
            feed(&f, R, "wo");
            for (int i = 0; i < 4; i++) {
                feed_bytes(&f, I, &"wordy"[i], 1);
            }
            feed(&f, I, "yM");
            fs_session_end(f.session, false, 1, 1);
        }
        fs_session_free(f.session);
        fs_sessions_free(f.sessions);
        assert_int_equal(f.counting.bytes, 0);
        if (f.counting.calls < at) {
            assert_true(at > 5);
            return;
        }
    }
}

/* A session that is over leaves its memory to the next. */
static void test_sessions_are_used_again(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    feed(&f, I, "wo");
    fs_session_free(f.session);
    uint64_t allocations = f.counting.calls;
    for (int i = 0; i < 100; i++) {
        f.session = fs_session_new(f.sessions, &f.flow);
        memset(f.offset, 0, sizeof(f.offset));
        feed(&f, I, "nobody");
        feed(&f, R, "nobody");
        assert_true(fs_session_is_over(f.session));
        fs_session_free(f.session);
    }
    assert_int_equal(f.counting.calls, allocations);
    fs_sessions_free(f.sessions);
    assert_int_equal(f.counting.bytes, 0);
}

static void test_bad_values_are_refused(void **state) {
    (void)state;
    struct fixture f;
    static const struct fs_parser *const many[FS_SESSION_PARSERS_MAX + 1] = {&word};
    prepare(&f);
    f.config.probe_limit = 0;
    assert_null(fs_sessions_new(&f.config, &f.allocator));
    f.config.probe_limit = 65537;
    assert_null(fs_sessions_new(&f.config, &f.allocator));
    f.config.probe_limit = 65536;
    f.config.port_count = FS_SESSION_PORTS_MAX + 1;
    assert_null(fs_sessions_new(&f.config, &f.allocator));
    f.config.port_count = 0;
    f.config.parsers = many;
    f.config.parser_count = FS_SESSION_PARSERS_MAX + 1;
    assert_null(fs_sessions_new(&f.config, &f.allocator));
    f.config.parser_count = 2; /* the second is NULL */
    assert_null(fs_sessions_new(&f.config, &f.allocator));
    f.config.parser_count = 1;
    struct fs_sessions *sessions = fs_sessions_new(&f.config, NULL);
    assert_non_null(sessions);
    fs_sessions_free(sessions);
}

static void test_stats_add_up(void **state) {
    (void)state;
    struct fs_session_stats one, sum;
    memset(&one, 0, sizeof(one));
    uint64_t *fields = (uint64_t *)(void *)&one, *sums = (uint64_t *)(void *)&sum;
    size_t count = sizeof(one) / sizeof(uint64_t);
    for (size_t i = 0; i < count; i++) {
        fields[i] = i + 1;
        sums[i] = 1000;
    }
    fs_session_stats_add(&sum, &one);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sums[i], 1001 + i);
    }
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(fs_session_protocol_name(FS_SESSION_HTTP), "http");
    assert_string_equal(fs_session_protocol_name(FS_SESSION_USER), "user");
    assert_string_equal(fs_session_protocol_name(255), "user");
    assert_string_equal(fs_session_protocol_name(256), "unknown");
    assert_string_equal(fs_session_protocol_name(-1), "unknown");
    assert_string_equal(fs_message_kind_name(FS_MESSAGE_UNANSWERED), "unanswered");
    assert_string_equal(fs_message_kind_name(4), "unknown");
    assert_int_equal(fs_session_protocol_index(FS_SESSION_LENGTH_PREFIXED), 4);
    assert_int_equal(fs_session_protocol_index(5), 5);
    assert_int_equal(fs_session_protocol_index(255), 5);
}

/* ---- the library's own parsers, by the defaults ---- */

static const struct fs_parser *default_choice(struct fs_session_flow flow, const void *bytes, size_t length) {
    struct fs_sessions *sessions = fs_sessions_new(NULL, NULL);
    struct fs_session *session = fs_session_new(sessions, &flow);
    for (size_t i = 0; i < length; i++) {
        struct fs_chunk chunk = {.data = (const uint8_t *)bytes + i, .length = 1, .offset = i};
        fs_session_feed(session, &chunk);
    }
    static const struct fs_parser *const by_protocol[] = {NULL, &fs_parser_http, &fs_parser_tls, &fs_parser_dns_udp};
    uint8_t protocol = fs_session_protocol(session);
    fs_session_free(session);
    fs_sessions_free(sessions);
    return by_protocol[protocol];
}

static void test_defaults(void **state) {
    (void)state;
    static const char get[] = "GET / HTTP/1.1\r\n", ssh[] = "SSH-2.0-x\r\n";
    static const uint8_t hello[] = {22, 3, 1, 0, 100, 1, 0, 0, 96, 3, 3};
    static const uint8_t query[] = {0,   29,  1,   2,   1,   0,   0, 1,   0,   0,   0, 0, 0, 0, 7, 'e',
                                    'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1};
    struct fs_session_flow any = flow_of(FS_PROTO_TCP, 7, "\x0a\x00\x00\x02");
    struct fs_session_flow https = flow_of(FS_PROTO_TCP, 443, "\x0a\x00\x00\x02");
    struct fs_session_flow domain = flow_of(FS_PROTO_TCP, 53, "\x0a\x00\x00\x02");
    struct fs_session_flow mdns = flow_of(FS_PROTO_UDP, 5353, "\xe0\x00\x00\xfb");
    assert_ptr_equal(default_choice(any, get, sizeof(get) - 1), &fs_parser_http);
    assert_ptr_equal(default_choice(https, get, sizeof(get) - 1), &fs_parser_http);
    assert_ptr_equal(default_choice(any, hello, sizeof(hello)), &fs_parser_tls);
    assert_ptr_equal(default_choice(any, query, sizeof(query)), &fs_parser_dns_udp);
    assert_null(default_choice(any, ssh, sizeof(ssh) - 1));
    assert_ptr_equal(default_choice(domain, ssh, 1), &fs_parser_dns_udp);
    assert_ptr_equal(default_choice(mdns, ssh, 1), &fs_parser_dns_udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_bytes_choose),
        cmocka_unit_test(test_who_comes_first_is_waited_for),
        cmocka_unit_test(test_splitting_does_not_matter),
        cmocka_unit_test(test_the_other_side_may_tell),
        cmocka_unit_test(test_both_sides_wait_in_order),
        cmocka_unit_test(test_nobody_wants_it),
        cmocka_unit_test(test_one_that_ends_too_soon_is_undecided),
        cmocka_unit_test(test_the_probe_limit_forces_a_choice),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_a_stream_without_its_beginning),
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_other_flows_get_none),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_done_and_poisoned_are_dropped),
        cmocka_unit_test(test_one_that_is_done_while_it_hears_what_waited),
        cmocka_unit_test(test_fins_ticks_and_ends),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory_that_fails_once),
        cmocka_unit_test(test_what_waits_is_bounded),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_sessions_are_used_again),
        cmocka_unit_test(test_bad_values_are_refused),
        cmocka_unit_test(test_stats_add_up),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
