/* SPDX-License-Identifier: MIT */
/* The rules of docs/reassembly.md, one by one; then what must hold for any stream. Every stream is held against the
 * contract for consumers (model_reassembler.h), and all memory must come back.
 *
 * Events are written as one line: "0:abc" are bytes at offset 0, "3..5" is a gap, "3!5" a conflict over [3, 5), and
 * "fin@5" is the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "model_reassembler.h"
#include "packet_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LINE = 4096, START_MS = 1000000, FOREVER_MS = 100000000 };

/* ---- a stream under test ---- */

struct fixture {
    struct counting_allocator counting;
    struct fs_reassembly *shared;
    struct fs_reassembler *side;
    struct stream_log log;
    uint32_t isn;
    uint64_t now_ns;
    uint32_t frame; /* of the last packet */
    struct fs_segment_verdict verdict;
    const uint8_t *packet_from, *packet_to; /* the last payload, while its call lasts */
    bool copied;                            /* data came from elsewhere */
    bool muted;                             /* events are another side's, and not logged */
};

static struct fixture fixture; /* too large for a stack */

static void on_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    struct fixture *f = stream_user;
    assert_ptr_equal(user, &fixture);
    if (f->muted) {
        return;
    }
    if (event->kind == FS_STREAM_DATA && (event->data < f->packet_from || event->data >= f->packet_to)) {
        f->copied = true;
    }
    stream_log_add(&f->log, event);
}

static struct fs_reassembly_config defaults(void) {
    struct fs_reassembly_config config;
    fs_reassembly_config_defaults(&config);
    config.on_event = on_event;
    config.user = &fixture;
    return config;
}

static struct fixture *start_silent(const struct fs_reassembly_config *config) {
    struct fixture *f = &fixture;
    memset(f, 0, sizeof(*f));
    struct fs_allocator allocator = counting_allocator_init(&f->counting);
    stream_log_init(&f->log);
    f->isn = UINT32_MAX - 2; /* wraps soon */
    f->now_ns = MS(START_MS);
    f->shared = fs_reassembly_new(config, &allocator);
    assert_non_null(f->shared);
    f->side = fs_reassembler_new(f->shared, NULL, f);
    assert_non_null(f->side);
    return f;
}

static struct fs_packet packet_at(struct fixture *f, uint64_t offset, unsigned flags, uint32_t length) {
    uint32_t seq = f->isn + 1 + (uint32_t)offset;
    struct fs_packet packet = tcp_between((struct end){1, 1}, (struct end){2, 2}, f->now_ns, flags, seq, 0, length);
    packet.frame = ++f->frame;
    return packet;
}

static int send(struct fixture *f, struct fs_packet *packet, const char *text) {
    uint8_t *copy = malloc((size_t)packet->payload_captured + 1); /* gone after the call */
    assert_non_null(copy);
    memcpy(copy, text, packet->payload_captured);
    packet->payload = packet->payload_captured > 0 ? copy : NULL;
    f->packet_from = copy;
    f->packet_to = copy + packet->payload_captured;
    memset(&f->verdict, 0xa5, sizeof(f->verdict));
    int result = fs_reassembler_segment(f->side, packet, &f->verdict);
    f->packet_from = f->packet_to = NULL;
    free(copy);
    return result;
}

static void say_with(struct fixture *f, uint64_t offset, const char *text, unsigned flags) {
    struct fs_packet packet = packet_at(f, offset, flags, (uint32_t)strlen(text));
    packet.tcp.seq -= flags & FS_TCP_SYN ? 1u : 0u;
    packet.payload_captured = packet.payload_len;
    assert_int_equal(send(f, &packet, text), 0);
}

static void say(struct fixture *f, uint64_t offset, const char *text) {
    say_with(f, offset, text, FS_TCP_ACK);
}

/* `length` bytes of which only `text` was captured. */
static void say_cut(struct fixture *f, uint64_t offset, const char *text, uint32_t length) {
    struct fs_packet packet = packet_at(f, offset, FS_TCP_ACK, length);
    packet.payload_captured = (uint32_t)strlen(text);
    assert_int_equal(send(f, &packet, text), 0);
}

static void say_urgent(struct fixture *f, uint64_t offset, const char *text, uint16_t pointer) {
    struct fs_packet packet = packet_at(f, offset, FS_TCP_ACK | FS_TCP_URG, (uint32_t)strlen(text));
    packet.payload_captured = packet.payload_len;
    packet.tcp.urgent = pointer;
    assert_int_equal(send(f, &packet, text), 0);
}

static struct fixture *start(const struct fs_reassembly_config *config) {
    struct fixture *f = start_silent(config);
    say_with(f, 0, "", FS_TCP_SYN);
    assert_int_equal(f->verdict.segment, FS_SEGMENT_NONE);
    return f;
}

static struct fixture *start_default(void) {
    struct fs_reassembly_config config = defaults();
    return start(&config);
}

static struct fixture *start_policy(enum fs_overlap_policy policy) {
    struct fs_reassembly_config config = defaults();
    config.overlap = policy;
    return start(&config);
}

static struct fs_packet acknowledgement(struct fixture *f, uint64_t offset) {
    struct fs_packet packet = packet_at(f, 0, FS_TCP_ACK, 0);
    packet.tcp.ack = f->isn + 1 + (uint32_t)offset;
    return packet;
}

static void acknowledge(struct fixture *f, uint64_t offset) {
    struct fs_packet packet = acknowledgement(f, offset);
    fs_reassembler_acknowledge(f->side, &packet);
}

static void acknowledge_window(struct fixture *f, uint64_t offset, uint16_t window) {
    struct fs_packet packet = acknowledgement(f, offset);
    packet.tcp.window = window;
    fs_reassembler_acknowledge(f->side, &packet);
}

static void later(struct fixture *f, uint64_t ms) {
    f->now_ns += MS(ms);
}

static void write_event(const struct stream_log *log, size_t i, char *out, size_t room) {
    const struct fs_stream_event *e = &log->events[i];
    switch (e->kind) {
    case FS_STREAM_DATA:
        snprintf(out, room, "%" PRIu64 ":%.*s", e->offset, (int)e->length, log->text + log->text_at[i]);
        break;
    case FS_STREAM_GAP:
        snprintf(out, room, "%" PRIu64 "..%" PRIu64, e->offset, e->offset + e->length);
        break;
    case FS_STREAM_CONFLICT:
        snprintf(out, room, "%" PRIu64 "!%" PRIu64, e->offset, e->offset + e->length);
        break;
    case FS_STREAM_ENDED:
        snprintf(out, room, "%s@%" PRIu64, fs_stream_end_name(e->end), e->offset);
        break;
    }
}

static void got(struct fixture *f, const char *expected) {
    char line[LINE] = "";
    size_t used = 0;
    for (size_t i = 0; i < f->log.count && used < sizeof(line) - 1; i++) {
        if (i > 0) {
            line[used++] = ' ';
        }
        write_event(&f->log, i, line + used, sizeof(line) - used);
        used += strlen(line + used);
    }
    assert_string_equal(line, expected);
}

/* The stream's text, a dot for each byte in a gap. */
static const char *text_of(const struct fixture *f, char *out, size_t room) {
    size_t used = 0;
    for (size_t i = 0; i < f->log.count; i++) {
        const struct fs_stream_event *e = &f->log.events[i];
        assert_true(used + e->length < room);
        if (e->kind == FS_STREAM_DATA) {
            memcpy(out + used, f->log.text + f->log.text_at[i], (size_t)e->length);
        } else if (e->kind == FS_STREAM_GAP) {
            memset(out + used, '.', (size_t)e->length);
        }
        used += e->kind == FS_STREAM_DATA || e->kind == FS_STREAM_GAP ? (size_t)e->length : 0;
    }
    out[used] = '\0';
    return out;
}

static struct fs_reassembly_stats stats_of(const struct fixture *f) {
    struct fs_reassembly_stats stats;
    fs_reassembly_get_stats(f->shared, &stats);
    return stats;
}

static struct fs_stream_info info_of(const struct fixture *f) {
    struct fs_stream_info info;
    fs_reassembler_info(f->side, &info);
    return info;
}

/* Which every test ends with. */
static void finish(struct fixture *f) {
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, f->frame);
    if (f->log.broken) {
        fail_msg("contract: %s", f->log.broken);
    }
    assert_false(f->log.overflow);
    assert_true(f->log.ended);
    struct fs_stream_info info = info_of(f);
    assert_int_equal(info.next_offset, f->log.position);
    assert_int_equal(info.waiting_bytes, 0);
    struct fs_reassembly_stats stats = stats_of(f);
    assert_int_equal(stats.waiting_bytes, 0);
    assert_int_equal(stats.memory_bytes, f->counting.bytes);
    assert_true(stats.peak_memory_bytes >= stats.memory_bytes);
    assert_int_equal(stats.delivered_bytes + stats.gap_bytes, f->log.position);
    fs_reassembler_free(f->side);
    fs_reassembly_free(f->shared);
    assert_int_equal(f->counting.live, 0);
    assert_int_equal(f->counting.bytes, 0);
    assert_false(f->counting.wrong_size);
}

#define CLASS(f, name) assert_string_equal(fs_segment_name((f)->verdict.segment), name)

/* ---- names and settings ---- */

static void test_names_are_total(void **state) {
    (void)state;
    for (int i = 0; i < FS_OVERLAP_COUNT; i++) {
        assert_int_equal(fs_overlap_from_name(fs_overlap_name(i)), i);
    }
    assert_string_equal(fs_overlap_name(FS_OVERLAP_WINDOWS_2K3), "windows-2k3");
    assert_string_equal(fs_segment_name(FS_SEGMENT_ZERO_WINDOW_PROBE), "zero-window-probe");
    assert_int_equal(fs_overlap_from_name("BSD"), -1);
    assert_int_equal(fs_overlap_from_name(""), -1);
    assert_int_equal(fs_overlap_from_name("unknown"), -1);
    for (int i = -1; i < 20; i++) {
        assert_int_equal(strcmp(fs_overlap_name(i), "unknown") == 0, i < 0 || i >= FS_OVERLAP_COUNT);
        assert_int_equal(strcmp(fs_segment_name(i), "unknown") == 0, i < 0 || i >= FS_SEGMENT_COUNT);
        assert_int_equal(strcmp(fs_limit_name(i), "unknown") == 0, i < 0 || i >= FS_LIMIT_COUNT);
        assert_int_equal(strcmp(fs_stream_end_name(i), "unknown") == 0, i < 0 || i >= FS_STREAM_END_COUNT);
    }
}

static void test_defaults_are_those_of_the_header(void **state) {
    (void)state;
    struct fs_reassembly_config config;
    memset(&config, 0xff, sizeof(config));
    fs_reassembly_config_defaults(&config);
    assert_int_equal(config.side_limit, 256 << 10);
    assert_int_equal(config.flow_limit, 512 << 10);
    assert_int_equal(config.total_limit, 256 << 20);
    assert_int_equal(config.at_side_limit, FS_LIMIT_SKIP_HOLE);
    assert_int_equal(config.at_flow_limit, FS_LIMIT_SKIP_HOLE);
    assert_int_equal(config.at_total_limit, FS_LIMIT_SKIP_HOLE);
    assert_int_equal(config.hole_deadline_ns, SECONDS(1));
    assert_int_equal(config.ahead_limit, 16 << 20);
    assert_int_equal(config.history, 0);
    assert_int_equal(config.overlap, FS_OVERLAP_BSD);
    assert_int_equal(config.urgent, FS_URGENT_INLINE);
    assert_true(config.on_event == NULL);
    struct fs_reassembly *shared = fs_reassembly_new(NULL, NULL);
    assert_non_null(shared);
    fs_reassembly_free(shared);
    fs_reassembly_free(NULL);
    fs_reassembler_free(NULL);
}

static void refused_config(const struct fs_reassembly_config *config) {
    assert_null(fs_reassembly_new(config, NULL));
}

static void test_values_out_of_range_are_refused(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.ahead_limit = (1u << 30) + 1;
    refused_config(&config);
    config = defaults();
    config.history = (64u << 10) + 1;
    refused_config(&config);
    config = defaults();
    config.overlap = FS_OVERLAP_COUNT;
    refused_config(&config);
    config = defaults();
    config.at_side_limit = FS_LIMIT_COUNT;
    refused_config(&config);
    config = defaults();
    config.at_flow_limit = FS_LIMIT_COUNT;
    refused_config(&config);
    config = defaults();
    config.at_total_limit = FS_LIMIT_COUNT;
    refused_config(&config);
    config = defaults();
    config.urgent = FS_URGENT_COUNT;
    refused_config(&config);
    config = defaults();
    config.ahead_limit = 1u << 30;
    config.history = 64u << 10;
    struct fs_reassembly *shared = fs_reassembly_new(&config, NULL);
    assert_non_null(shared);
    fs_reassembly_free(shared);
}

static void test_without_a_callback_everything_is_still_counted(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.on_event = NULL;
    struct fixture *f = start(&config);
    say(f, 3, "de");
    say(f, 0, "abc");
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, 0);
    assert_int_equal(stats_of(f).delivered_bytes, 5);
    assert_int_equal(info_of(f).next_offset, 5);
    fs_reassembler_free(f->side);
    fs_reassembly_free(f->shared);
    assert_int_equal(f->counting.live, 0);
}

/* ---- offsets ---- */

static void test_in_order_bytes_come_from_the_packet_itself(void **state) {
    (void)state;
    struct fixture *f = start_default();
    uint64_t calls = f->counting.calls;
    say(f, 0, "abc");
    CLASS(f, "in-order");
    assert_int_equal(f->verdict.offset, 0);
    say(f, 3, "defg"); /* sequence numbers wrap here */
    CLASS(f, "in-order");
    assert_int_equal(f->verdict.offset, 3);
    got(f, "0:abc 3:defg");
    assert_false(f->copied);
    assert_int_equal(stats_of(f).copied_bytes, 0);
    assert_int_equal(f->counting.calls, calls);
    assert_int_equal(f->log.events[1].frame, f->frame);
    assert_int_equal(f->log.events[1].time_ns, f->now_ns);
    finish(f);
}

static void test_data_on_a_syn_begins_at_offset_0(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say_with(f, 0, "ab", FS_TCP_SYN);
    say(f, 2, "c");
    got(f, "0:ab 2:c");
    assert_false(info_of(f).from_middle);
    finish(f);
}

static void test_a_stream_without_syn_begins_with_its_first_segment(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say(f, 1000, "ab");
    CLASS(f, "in-order");
    assert_int_equal(f->verdict.offset, 0);
    say(f, 1002, "c");
    say(f, 996, "wxyzab"); /* four bytes lie before the start */
    assert_true(f->verdict.offset == UINT64_MAX);
    assert_true(info_of(f).from_middle);
    assert_int_equal(stats_of(f).duplicate_bytes, 6);
    got(f, "0:ab 2:c");
    finish(f);
}

static void test_a_segment_without_payload_starts_a_stream_too(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say(f, 1000, "");
    say(f, 1002, "c");
    CLASS(f, "ahead");
    assert_int_equal(f->verdict.offset, 2);
    say(f, 1000, "ab");
    got(f, "0:ab 2:c");
    finish(f);
}

static void test_bytes_across_the_start_are_used_from_offset_0_on(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say(f, 1000, "");
    say(f, 998, "xxab");
    assert_true(f->verdict.offset == UINT64_MAX);
    got(f, "0:ab");
    assert_int_equal(stats_of(f).duplicate_bytes, 2);
    finish(f);
}

static void test_a_late_syn_is_ignored_unless_it_belongs_before_the_first_byte(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say(f, 0, "ab");
    assert_true(info_of(f).from_middle);
    say_with(f, 500, "", FS_TCP_SYN);
    assert_true(info_of(f).from_middle);
    say_with(f, 0, "", FS_TCP_SYN);
    assert_false(info_of(f).from_middle);
    say(f, 2, "c");
    got(f, "0:ab 2:c");
    finish(f);
}

static void test_offsets_pass_4_gib(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.ahead_limit = 1u << 30;
    struct fixture *f = start(&config);
    uint64_t at = 0;
    for (int i = 0; i < 9; i++) {
        at += (1u << 30) - 1;
        say(f, at, "x");
        CLASS(f, "ahead");
        assert_int_equal(f->verdict.offset, at);
        later(f, 2000);
        fs_reassembler_advance(f->side, f->now_ns);
        at++;
        assert_int_equal(info_of(f).next_offset, at);
    }
    assert_true(at > 2 * (uint64_t)UINT32_MAX);
    say(f, at, "end");
    CLASS(f, "in-order");
    say(f, at - 1, "xend");
    CLASS(f, "retransmission");
    assert_int_equal(f->verdict.offset, at - 1);
    finish(f);
}

/* ---- FIN and RST ---- */

static void test_a_fin_ends_the_stream_when_all_before_it_is_delivered(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say_with(f, 3, "de", FS_TCP_FIN | FS_TCP_ACK);
    got(f, "");
    say(f, 0, "abc");
    got(f, "0:abc 3:de fin@5");
    assert_int_equal(info_of(f).end, FS_STREAM_FIN);
    say(f, 5, "x");
    CLASS(f, "after-end");
    say(f, 0, "");
    CLASS(f, "none");
    assert_int_equal(stats_of(f).after_end_bytes, 1);
    assert_int_equal(info_of(f).dropped_bytes, 1);
    got(f, "0:abc 3:de fin@5");
    finish(f);
}

static void test_a_bare_fin_ends_an_empty_stream(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say_with(f, 0, "", FS_TCP_FIN | FS_TCP_ACK);
    CLASS(f, "none");
    got(f, "fin@0");
    finish(f);
}

static void test_syn_data_and_fin_in_one_segment(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    say_with(f, 0, "all", FS_TCP_SYN | FS_TCP_FIN);
    got(f, "0:all fin@3");
    finish(f);
}

static void test_bytes_beyond_the_fin_are_dropped(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 4, "efgh");
    say_with(f, 6, "", FS_TCP_FIN | FS_TCP_ACK); /* two of the waiting bytes lie beyond */
    assert_int_equal(stats_of(f).after_end_bytes, 2);
    say(f, 6, "gh");
    CLASS(f, "after-end");
    say(f, 0, "abcdefgh");
    got(f, "0:abcdef fin@6");
    assert_int_equal(stats_of(f).after_end_bytes, 6);
    finish(f);
}

static void test_the_lowest_fin_counts(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say_with(f, 6, "", FS_TCP_FIN | FS_TCP_ACK);
    say_with(f, 4, "", FS_TCP_FIN | FS_TCP_ACK);
    say_with(f, 8, "", FS_TCP_FIN | FS_TCP_ACK);
    say(f, 0, "abcdef");
    got(f, "0:abcd fin@4");
    finish(f);
}

/* Receivers ignore such FINs; who heeded them could be blinded by a forged one. */
static void test_a_fin_behind_or_far_ahead_is_ignored(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "abcd");
    say_with(f, 2, "", FS_TCP_FIN | FS_TCP_ACK);
    say_with(f, 2, "c", FS_TCP_FIN | FS_TCP_ACK);
    say_with(f, 4 + (16u << 20) + 1, "", FS_TCP_FIN | FS_TCP_ACK);
    say(f, 4, "ef");
    got(f, "0:abcd 4:ef");
    say_with(f, 6, "", FS_TCP_FIN | FS_TCP_ACK);
    got(f, "0:abcd 4:ef fin@6");
    finish(f);
}

static void test_data_on_a_reset_is_dropped_and_the_stream_goes_on(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    say_with(f, 2, "reason", FS_TCP_RST);
    CLASS(f, "after-end");
    assert_int_equal(stats_of(f).after_end_bytes, 6);
    say(f, 2, "cd");
    got(f, "0:ab 2:cd");
    fs_reassembler_flush(f->side, FS_STREAM_RST, f->now_ns, f->frame);
    got(f, "0:ab 2:cd rst@4");
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, f->frame);
    got(f, "0:ab 2:cd rst@4");
    finish(f);
}

/* ---- waiting ---- */

static void test_a_segment_ahead_waits(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    CLASS(f, "ahead");
    assert_int_equal(f->verdict.hole_bytes, 3);
    uint32_t showed = f->frame;
    uint64_t then = f->now_ns;
    got(f, "");
    assert_true(info_of(f).waiting_bytes >= 2);
    later(f, 1);
    say(f, 0, "abc");
    CLASS(f, "out-of-order");
    assert_int_equal(f->verdict.repeats_frame, 0);
    assert_int_equal(f->verdict.hole_frame, showed);
    assert_int_equal(f->verdict.hole_bytes, 0);
    got(f, "0:abc 3:de");
    assert_int_equal(f->log.events[1].frame, showed);
    assert_int_equal(f->log.events[1].time_ns, then);
    assert_int_equal(info_of(f).out_of_order_bytes, 3);
    assert_int_equal(stats_of(f).copied_bytes, 2);
    assert_int_equal(stats_of(f).delivered_bytes, 5);
    finish(f);
}

static void test_a_second_hole_is_measured_by_itself(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 2, "c");
    say(f, 6, "g");
    assert_int_equal(f->verdict.hole_bytes, 3);
    say(f, 7, "h");
    CLASS(f, "ahead");
    assert_int_equal(f->verdict.hole_bytes, 0);
    say(f, 0, "ab");
    say(f, 3, "def");
    got(f, "0:ab 2:c 3:def 6:g 7:h");
    finish(f);
}

static void test_a_long_segment_waits_whole(void **state) {
    (void)state;
    static char text[20001], all[20002];
    for (size_t i = 0; i < 20000; i++) {
        text[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    struct fixture *f = start_default();
    say(f, 1, text);
    say(f, 0, "_");
    assert_string_equal(text_of(f, all, sizeof(all)) + 1, text);
    assert_int_equal(f->log.count, 2);
    finish(f);
}

static void test_what_was_not_captured_is_a_gap_in_its_turn(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say_cut(f, 0, "abc", 10);
    CLASS(f, "in-order");
    got(f, "0:abc 3..10");
    say_cut(f, 15, "pq", 5);
    say(f, 20, "u");
    say(f, 10, "klmno");
    got(f, "0:abc 3..10 10:klmno 15:pq 17..20 20:u");
    assert_int_equal(stats_of(f).uncaptured_bytes, 10);
    assert_int_equal(stats_of(f).gaps, 2);
    finish(f);
}

static void test_what_was_not_captured_gives_way_to_what_was(void **state) {
    (void)state;
    for (int policy = 0; policy < FS_OVERLAP_COUNT; policy++) {
        struct fixture *f = start_policy((enum fs_overlap_policy)policy);
        say_cut(f, 1, "b", 4);
        say(f, 2, "cd");
        say_cut(f, 1, "", 5);
        say(f, 0, "a");
        got(f, "0:a 1:b 2:cd 4..5 5..6");
        assert_int_equal(stats_of(f).overlap_bytes, 0);
        assert_int_equal(stats_of(f).uncaptured_bytes, 2);
        finish(f);
    }
}

static void test_urgent_bytes_are_inline_or_gaps(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say_urgent(f, 0, "abc", 2);
    got(f, "0:abc");
    finish(f);

    struct fs_reassembly_config config = defaults();
    config.urgent = FS_URGENT_DROP_LAST;
    f = start(&config);
    say_urgent(f, 0, "abc", 2); /* the pointer is to the byte behind the urgent one */
    got(f, "0:a 1..2 2:c");
    say_urgent(f, 5, "fgh", 3);
    say(f, 3, "de");
    say_urgent(f, 8, "ijk", 4); /* beyond the payload */
    got(f, "0:a 1..2 2:c 3:de 5:fg 7..8 8:ijk");
    assert_int_equal(stats_of(f).uncaptured_bytes, 0);
    assert_int_equal(stats_of(f).gap_bytes, 2);
    finish(f);
}

/* ---- overlaps and conflicts ---- */

static void test_delivered_bytes_never_change(void **state) {
    (void)state;
    for (int policy = 0; policy < FS_OVERLAP_COUNT; policy++) {
        struct fixture *f = start_policy((enum fs_overlap_policy)policy);
        say(f, 0, "abcd");
        say(f, 2, "XXef");
        CLASS(f, "overlap");
        got(f, "0:abcd 4:ef");
        assert_int_equal(stats_of(f).duplicate_bytes, 2);
        assert_int_equal(stats_of(f).conflicts, 0); /* no history */
        finish(f);
    }
}

static void check_digests(const struct fs_stream_event *event, const char *new_text, const char *old_text) {
    assert_true(event->digest == XXH3_64bits(new_text, strlen(new_text)));
    assert_true(event->other_digest == XXH3_64bits(old_text, strlen(old_text)));
}

static void test_history_tells_other_text_in_a_repetition(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.history = 4;
    struct fixture *f = start(&config);
    say(f, 0, "abc");
    say(f, 3, "def");
    uint32_t second = f->frame;
    say(f, 2, "cdef");
    assert_false(f->verdict.conflict);
    say(f, 1, "XXdeXY"); /* 2 to 6 are held; "c" was of the first segment */
    assert_true(f->verdict.conflict);
    got(f, "0:abc 3:def 2!6 6:Y");
    const struct fs_stream_event *event = &f->log.events[2];
    check_digests(event, "XdeX", "cdef");
    assert_int_equal(event->frame, f->frame);
    assert_int_equal(event->other_frame, second - 1);
    assert_int_equal(stats_of(f).conflicts, 1);
    assert_int_equal(stats_of(f).conflict_bytes, 4);
    assert_int_equal(info_of(f).conflict_bytes, 4);
    assert_int_equal(stats_of(f).overlap_bytes, 8);
    say(f, 4, "e");
    assert_int_equal(f->verdict.repeats_frame, second);
    assert_int_equal(f->verdict.hole_frame, 0);
    say(f, 0, "a"); /* no longer held */
    assert_int_equal(f->verdict.repeats_frame, 0);
    finish(f);
}

static void test_late_bytes_of_a_gap_are_not_compared(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.history = 100;
    struct fixture *f = start(&config);
    say(f, 0, "ab");
    say(f, 4, "ef");
    later(f, 1001);
    fs_reassembler_advance(f->side, f->now_ns);
    say(f, 0, "abXXeX");
    got(f, "0:ab 2..4 4:ef 4!6");
    check_digests(&f->log.events[3], "eX", "ef");
    assert_int_equal(stats_of(f).duplicate_bytes, 6);
    assert_int_equal(stats_of(f).overlap_bytes, 4);
    finish(f);
}

static void test_a_conflict_for_each_waiting_segment_that_differs(void **state) {
    (void)state;
    struct fixture *f = start_policy(FS_OVERLAP_FIRST);
    say(f, 2, "cd");
    uint32_t first = f->frame;
    say(f, 4, "ef");
    say(f, 7, "hi");
    say(f, 1, "bXdefgXX");
    assert_true(f->verdict.conflict);
    got(f, "2!4 7!9");
    check_digests(&f->log.events[0], "Xd", "cd");
    check_digests(&f->log.events[1], "XX", "hi");
    assert_int_equal(f->log.events[0].other_frame, first);
    assert_int_equal(f->log.events[1].other_frame, first + 2);
    assert_int_equal(stats_of(f).overlap_bytes, 6);
    assert_int_equal(stats_of(f).overruled_bytes, 6);
    assert_int_equal(stats_of(f).conflict_bytes, 4);
    say(f, 0, "a");
    got(f, "2!4 7!9 0:a 1:b 2:cd 4:ef 6:g 7:hi");
    finish(f);
}

static void test_an_overruled_byte_is_forgotten(void **state) {
    (void)state;
    struct fixture *f = start_policy(FS_OVERLAP_LAST);
    say(f, 1, "bcdef");
    say(f, 2, "XX"); /* cuts the first in two */
    say(f, 1, "bXXef");
    assert_false(f->verdict.conflict);
    say(f, 0, "a");
    got(f, "2!4 0:a 1:bXXef");
    finish(f);
}

static void test_a_policy_applies_to_what_waits_when_the_hole_is_filled(void **state) {
    (void)state;
    struct fixture *f = start_policy(FS_OVERLAP_BSD); /* starts before: wins */
    say(f, 2, "cd");
    say(f, 0, "abXXe");
    got(f, "2!4 0:abXXe");
    finish(f);
    f = start_policy(FS_OVERLAP_FIRST);
    say(f, 2, "cd");
    say(f, 0, "abXXe");
    got(f, "2!4 0:ab 2:cd 4:e");
    finish(f);
}

/* Extents are clipped at arrival: what was delivered is no part of the dispute. */
static void test_extents_are_clipped_to_what_is_not_delivered(void **state) {
    (void)state;
    struct fixture *f = start_policy(FS_OVERLAP_BSD);
    say(f, 0, "ab");
    say(f, 3, "de");
    say(f, 3, "XX"); /* same start: loses */
    say(f, 0, "abcXX");
    got(f, "0:ab 3!5 3!5 2:cXX");
    finish(f);
    f = start_policy(FS_OVERLAP_BSD_RIGHT);
    say(f, 0, "ab");
    say(f, 3, "de");
    say(f, 0, "abcXX"); /* begins at 2, so before */
    got(f, "0:ab 3!5 2:c 3:de");
    finish(f);
}

/* ---- the published overlap experiments ---- */

enum { MAX_STEPS = 20 };

struct step {
    uint64_t at;
    const char *text;
};

struct experiment {
    const char *name;
    struct step steps[MAX_STEPS]; /* byte 0, without which nothing is delivered, is sent last */
    const char *expected[FS_OVERLAP_COUNT];
};

/* The expected texts are worked out by hand from the descriptions in the papers, not by running the code.
 *
 * - Shankar and Paxson, "Active Mapping" (2003): six pieces; what first, last, BSD, BSD-right and (then) Linux stacks
 *   made of them. One byte stands for one of their units.
 * - Novak and Sturges, "Target-Based TCP Stream Reassembly" (2007): eighteen segments; first, last, BSD, Linux, old
 *   Linux, Solaris, Windows, HP-UX and the others. */
static const struct experiment experiments[] = {
    {"Shankar and Paxson",
     {{1, "111"}, {5, "22"}, {7, "333"}, {2, "4444"}, {7, "555"}, {10, "666"}, {0, "0"}, {0, NULL}},
     {
         [FS_OVERLAP_FIRST] = "0111422333666",
         [FS_OVERLAP_LAST] = "0144442555666",
         [FS_OVERLAP_BSD] = "0111442333666",
         [FS_OVERLAP_BSD_RIGHT] = "0144422555666",
         /* 5 does not end after 3, so Linux, as Novak and Sturges found it, keeps 3; the older one takes 5. */
         [FS_OVERLAP_LINUX] = "0111442333666",
         [FS_OVERLAP_OLD_LINUX] = "0111442555666",
         [FS_OVERLAP_WINDOWS] = "0111442333666",
         [FS_OVERLAP_WINDOWS_2K3] = "0111442333666",
         [FS_OVERLAP_VISTA] = "0111422333666",
         [FS_OVERLAP_SOLARIS] = "0144422555666",
         [FS_OVERLAP_OLD_SOLARIS] = "0144422333666",
         [FS_OVERLAP_HPUX10] = "0111442333666",
         [FS_OVERLAP_HPUX11] = "0144422555666",
         [FS_OVERLAP_IRIX] = "0111442333666",
         [FS_OVERLAP_MACOS] = "0111442333666",
     }},
    {"Novak and Sturges",
     {{1, "AAA"},
      {5, "BB"},
      {7, "CCC"},
      {11, "D"},
      {14, "EE"},
      {16, "FFF"},
      {19, "GG"},
      {21, "HH"},
      {23, "I"},
      {2, "JJJJ"}, /* begins inside A, ends inside B */
      {7, "KKK"},  /* is C again */
      {10, "LLL"}, /* around D */
      {13, "MMM"}, /* begins before E, ends with it */
      {17, "N"},   /* inside F */
      {20, "O"},   /* ends with G */
      {21, "P"},   /* begins with H */
      {23, "QQ"},  /* begins with I, ends after it */
      {0, "0"},
      {0, NULL}},
     {
         [FS_OVERLAP_FIRST] = "0AAAJBBCCCLDLMEEFFFGGHHIQ",
         [FS_OVERLAP_LAST] = "0AJJJJBKKKLLLMMMFNFGOPHQQ",
         [FS_OVERLAP_BSD] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
         [FS_OVERLAP_BSD_RIGHT] = "0AJJJBBKKKLDLMEEFNFGOPHQQ",
         [FS_OVERLAP_LINUX] = "0AAAJJBCCCLLLMMMFFFGGHHQQ",
         [FS_OVERLAP_OLD_LINUX] = "0AAAJJBKKKLLLMMMFFFGGHHQQ",
         [FS_OVERLAP_WINDOWS] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
         [FS_OVERLAP_WINDOWS_2K3] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
         [FS_OVERLAP_VISTA] = "0AAAJBBCCCLDLMEEFFFGGHHIQ",
         [FS_OVERLAP_SOLARIS] = "0AJJJBBKKKLLLMMMFFFGGHHQQ",
         [FS_OVERLAP_OLD_SOLARIS] = "0AJJJBBCCCLLLMEEFFFGGHHQQ",
         [FS_OVERLAP_HPUX10] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
         [FS_OVERLAP_HPUX11] = "0AJJJBBKKKLLLMMMFFFGGHHQQ",
         [FS_OVERLAP_IRIX] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
         [FS_OVERLAP_MACOS] = "0AAAJJBCCCLLLMMMFFFGGHHIQ",
     }},
};

static void run_experiment(const struct experiment *experiment, int policy) {
    struct fixture *f = start_policy((enum fs_overlap_policy)policy);
    for (const struct step *step = experiment->steps; step->text; step++) {
        say(f, step->at, step->text);
    }
    char text[64];
    if (strcmp(text_of(f, text, sizeof(text)), experiment->expected[policy]) != 0) {
        fail_msg("%s, %s: got %s, expected %s", experiment->name, fs_overlap_name(policy), text,
                 experiment->expected[policy]);
    }
    finish(f);
}

static void test_the_published_overlap_experiments(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(experiments) / sizeof(experiments[0]); i++) {
        for (int policy = 0; policy < FS_OVERLAP_COUNT; policy++) {
            run_experiment(&experiments[i], policy);
        }
    }
}

/* ---- triplets ---- */

/* The table of docs/reassembly.md in another form: does the new segment win, by where it starts and ends relative to
 * the old one? Rows: starts before, with, after it; columns: ends before, with, after it. */
static const char *const wins[FS_OVERLAP_COUNT] = {
    [FS_OVERLAP_FIRST] = "--- --- ---",       [FS_OVERLAP_LAST] = "+++ +++ +++",
    [FS_OVERLAP_BSD] = "+++ --- ---",         [FS_OVERLAP_BSD_RIGHT] = "--- +++ +++",
    [FS_OVERLAP_LINUX] = "+++ --+ ---",       [FS_OVERLAP_OLD_LINUX] = "+++ -++ ---",
    [FS_OVERLAP_WINDOWS] = "+++ --- ---",     [FS_OVERLAP_WINDOWS_2K3] = "+++ --- ---",
    [FS_OVERLAP_VISTA] = "--- --- ---",       [FS_OVERLAP_SOLARIS] = "-++ -++ --+",
    [FS_OVERLAP_OLD_SOLARIS] = "--+ --+ --+", [FS_OVERLAP_HPUX10] = "+++ --- ---",
    [FS_OVERLAP_HPUX11] = "-++ -++ --+",      [FS_OVERLAP_IRIX] = "+++ --- ---",
    [FS_OVERLAP_MACOS] = "+++ --- ---",
};

enum { PLACES = 5, PIECES = PLACES * (PLACES + 1) / 2 };

struct piece {
    int start, end;
};

static int sign(int difference) {
    return (difference > 0) - (difference < 0);
}

static bool piece_wins(int policy, struct piece new, struct piece old) {
    return wins[policy][4 * (1 + sign(new.start - old.start)) + 1 + sign(new.end - old.end)] == '+';
}

static void expect_triplet(int policy, const struct piece pieces[3], char text[PLACES + 2]) {
    int holder[PLACES + 1];
    memset(holder, -1, sizeof(holder));
    for (int i = 0; i < 3; i++) {
        for (int at = pieces[i].start; at < pieces[i].end; at++) {
            holder[at] = holder[at] < 0 || piece_wins(policy, pieces[i], pieces[holder[at]]) ? i : holder[at];
        }
    }
    int end = 0;
    for (int at = 1; at <= PLACES; at++) {
        end = holder[at] >= 0 ? at + 1 : end;
    }
    text[0] = '_';
    for (int at = 1; at < end; at++) {
        text[at] = holder[at] < 0 ? '.' : (char)('a' + holder[at]);
    }
    text[end] = '\0';
}

static void run_triplet(int policy, const struct piece pieces[3]) {
    struct fixture *f = &fixture;
    stream_log_init(&f->log);
    f->frame = 0;
    f->side = fs_reassembler_new(f->shared, NULL, f);
    assert_non_null(f->side);
    say_with(f, 0, "", FS_TCP_SYN);
    for (int i = 0; i < 3; i++) {
        char text[PLACES + 1] = "";
        memset(text, 'a' + i, (size_t)(pieces[i].end - pieces[i].start));
        say(f, (uint64_t)pieces[i].start, text);
    }
    say(f, 0, "_");
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, 0);
    fs_reassembler_free(f->side);
    char text[64], expected[PLACES + 2];
    text_of(f, text, sizeof(text));
    expect_triplet(policy, pieces, expected);
    if (f->log.broken || strcmp(text, expected) != 0) {
        fail_msg("%s: [%d,%d) [%d,%d) [%d,%d): got %s, expected %s %s", fs_overlap_name(policy), pieces[0].start,
                 pieces[0].end, pieces[1].start, pieces[1].end, pieces[2].start, pieces[2].end, text, expected,
                 f->log.broken ? f->log.broken : "");
    }
}

/* Each way in which three segments can lie to each other within five bytes, with each policy: all 13 relations of
 * Allen's algebra between each two of them. */
static void test_all_triplets(void **state) {
    (void)state;
    struct piece pieces[PIECES];
    size_t count = 0;
    for (int start = 1; start <= PLACES; start++) {
        for (int end = start + 1; end <= PLACES + 1; end++) {
            pieces[count++] = (struct piece){start, end};
        }
    }
    for (int policy = 0; policy < FS_OVERLAP_COUNT; policy++) {
        struct fs_reassembly_config config = defaults();
        config.overlap = (enum fs_overlap_policy)policy;
        struct fixture *f = start_silent(&config);
        fs_reassembler_free(f->side);
        for (size_t n = 0; n < (size_t)PIECES * PIECES * PIECES; n++) {
            run_triplet(policy, (struct piece[3]){pieces[n / PIECES / PIECES], pieces[n / PIECES % PIECES],
                                                  pieces[n % PIECES]});
        }
        fs_reassembly_free(f->shared);
        assert_int_equal(f->counting.live, 0);
    }
}

/* ---- holes ---- */

static void test_a_hole_older_than_the_deadline_is_given_up(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    later(f, 1000);
    assert_int_equal(fs_reassembler_advance(f->side, f->now_ns), 0); /* just as old */
    got(f, "");
    assert_int_equal(fs_reassembler_advance(f->side, f->now_ns + 1), 3);
    got(f, "0..3 3:de");
    assert_int_equal(f->log.events[0].time_ns, f->now_ns + 1);
    assert_int_equal(f->log.events[0].frame, 0);
    assert_int_equal(stats_of(f).gap_bytes, 3);
    assert_int_equal(info_of(f).gap_bytes, 3);
    say(f, 0, "abc"); /* late */
    assert_int_equal(stats_of(f).duplicate_bytes, 3);
    got(f, "0..3 3:de");
    finish(f);
}

static void test_the_deadline_is_looked_at_before_the_segment(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    later(f, 1001);
    say(f, 0, "abc");
    got(f, "0..3 3:de");
    assert_int_equal(f->verdict.gap_bytes, 3);
    assert_int_equal(f->log.events[0].frame, f->frame);
    finish(f);
}

static void test_a_segment_may_give_up_a_hole_and_leave_another(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    later(f, 1001);
    say(f, 9, "j");
    CLASS(f, "ahead");
    got(f, "0..3 3:de");
    assert_int_equal(f->verdict.gap_bytes, 3);
    assert_int_equal(f->verdict.hole_bytes, 4);
    finish(f);
}

static void test_a_hole_s_age_counts_from_the_segment_behind_it(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 5, "f");
    later(f, 600);
    say(f, 3, "de"); /* now this one shows the hole */
    later(f, 600);
    fs_reassembler_advance(f->side, f->now_ns);
    got(f, "");
    later(f, 600);
    fs_reassembler_advance(f->side, f->now_ns);
    got(f, "0..3 3:de 5:f");
    finish(f);
}

static void test_time_that_steps_back_makes_no_hole_old(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    f->now_ns -= SECONDS(500);
    say(f, 6, "g");
    fs_reassembler_advance(f->side, 0);
    got(f, "");
    say(f, 0, "abc");
    got(f, "0:abc 3:de");
    finish(f);
}

static void test_without_a_deadline_a_hole_stays(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.hole_deadline_ns = UINT64_MAX;
    struct fixture *f = start(&config);
    say(f, 3, "de");
    later(f, FOREVER_MS);
    fs_reassembler_advance(f->side, f->now_ns);
    fs_reassembler_advance(f->side, UINT64_MAX);
    got(f, "");
    say(f, 0, "abc");
    got(f, "0:abc 3:de");
    finish(f);
}

static void test_an_acknowledged_hole_is_given_up_at_the_second_acknowledgement(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    acknowledge(f, 3); /* no byte beyond the hole */
    acknowledge(f, 3);
    got(f, "");
    acknowledge(f, 4); /* may have been captured before the segment that it acknowledges */
    got(f, "");
    acknowledge(f, 4);
    got(f, "0..3 3:de");
    assert_int_equal(f->log.events[0].frame, f->frame);
    finish(f);
}

static void test_an_acknowledged_hole_can_still_be_filled_by_the_next_segment(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    acknowledge(f, 5);
    say(f, 0, "abc");
    got(f, "0:abc 3:de");
    finish(f);
}

static void test_an_acknowledged_hole_is_given_up_with_another_segment(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    acknowledge(f, 5);
    say(f, 5, "fg");
    got(f, "0..3 3:de 5:fg");
    assert_int_equal(f->log.events[0].frame, f->frame);
    say(f, 9, "j");
    got(f, "0..3 3:de 5:fg"); /* what lies before 9 is not acknowledged */
    finish(f);
}

static void test_an_absurd_acknowledgement_is_not_believed(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 3, "de");
    acknowledge(f, 1u << 30);
    acknowledge(f, 1u << 30);
    say(f, 5, "f");
    got(f, "");
    say(f, 0, "abc");
    got(f, "0:abc 3:de 5:f");
    finish(f);
}

static void test_acknowledgements_before_the_first_segment_mean_nothing(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    acknowledge(f, 5000);
    acknowledge(f, 5000);
    say(f, 1000, "ab");
    say(f, 1003, "d");
    say(f, 1002, "c");
    got(f, "0:ab 2:c 3:d");
    finish(f);
}

static void test_a_flush_delivers_what_waits_and_the_gap_before_the_fin(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 2, "cd");
    say(f, 6, "g");
    say_with(f, 9, "", FS_TCP_FIN | FS_TCP_ACK);
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, 77);
    got(f, "0..2 2:cd 4..6 6:g 7..9 flushed@9");
    assert_int_equal(f->log.events[5].frame, 77);
    assert_int_equal(info_of(f).end, FS_STREAM_FLUSHED);
    assert_int_equal(info_of(f).next_offset, 9);
    say(f, 0, "ab");
    acknowledge(f, 9);
    fs_reassembler_advance(f->side, UINT64_MAX);
    got(f, "0..2 2:cd 4..6 6:g 7..9 flushed@9");
    finish(f);
}

static void test_a_stream_that_never_spoke_can_be_flushed(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    fs_reassembler_advance(f->side, UINT64_MAX);
    fs_reassembler_flush(f->side, FS_STREAM_RST, f->now_ns, 5);
    got(f, "rst@0");
    finish(f);
}

/* ---- caps ---- */

static uint64_t run_overhead(void) {
    struct fixture *f = start_default();
    say(f, 1, "x");
    uint64_t overhead = info_of(f).waiting_bytes - 1;
    finish(f);
    return overhead;
}

/* Room for `runs` of two bytes each. */
static struct fs_reassembly_config room_for(uint64_t runs, enum fs_limit_policy policy) {
    uint64_t room = runs * (run_overhead() + 2);
    struct fs_reassembly_config config = defaults();
    config.side_limit = room;
    config.at_side_limit = policy;
    return config;
}

static void test_skip_hole_delivers_until_the_bytes_fit(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(2, FS_LIMIT_SKIP_HOLE);
    struct fixture *f = start(&config);
    say(f, 2, "cd");
    say(f, 6, "gh");
    assert_false(f->verdict.limit);
    say(f, 10, "kl");
    assert_true(f->verdict.limit);
    got(f, "0..2 2:cd");
    say(f, 4, "ef");
    say(f, 8, "ij");
    got(f, "0..2 2:cd 4:ef 6:gh 8:ij 10:kl");
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_SKIP_HOLE], 1);
    finish(f);
}

static void test_skip_hole_lets_a_segment_before_what_waits_be_in_order(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_SKIP_HOLE);
    struct fixture *f = start(&config);
    say(f, 6, "gh");
    say(f, 2, "cd");
    got(f, "0..2 2:cd");
    say(f, 4, "ef");
    got(f, "0..2 2:cd 4:ef 6:gh");
    finish(f);
}

static void test_skip_hole_delivers_a_segment_larger_than_the_cap(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_SKIP_HOLE);
    struct fixture *f = start(&config);
    say(f, 2, "cdefgh");
    got(f, "0..2 2:cdefgh");
    assert_false(f->copied);
    finish(f);
}

static void test_slide_drops_what_lies_furthest(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(2, FS_LIMIT_SLIDE);
    struct fixture *f = start(&config);
    say(f, 2, "cd");
    say(f, 10, "kl");
    say(f, 6, "gh"); /* pushes kl out */
    assert_true(f->verdict.limit);
    assert_int_equal(stats_of(f).slid_bytes, 2);
    say(f, 14, "op"); /* is itself the furthest */
    assert_int_equal(stats_of(f).slid_bytes, 4);
    assert_int_equal(info_of(f).dropped_bytes, 4);
    say(f, 0, "ab");
    say(f, 4, "ef");
    got(f, "0:ab 2:cd 4:ef 6:gh");
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_SLIDE], 2);
    say(f, 8, "ijkl"); /* can come again */
    got(f, "0:ab 2:cd 4:ef 6:gh 8:ijkl");
    finish(f);
}

static void test_drop_stream_ends_it(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_DROP_STREAM);
    struct fixture *f = start(&config);
    say(f, 0, "a");
    say(f, 2, "cd");
    say(f, 6, "gh");
    assert_true(f->verdict.limit);
    got(f, "0:a limit@1");
    assert_int_equal(info_of(f).end, FS_STREAM_LIMIT);
    assert_int_equal(info_of(f).waiting_bytes, 0);
    assert_int_equal(stats_of(f).refused_bytes, 4);
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_DROP_STREAM], 1);
    say(f, 1, "b");
    CLASS(f, "after-end");
    finish(f);
}

static void test_refuse_drops_the_new_segment(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_REFUSE);
    struct fixture *f = start(&config);
    say(f, 2, "cd");
    say(f, 6, "gh");
    assert_true(f->verdict.limit);
    CLASS(f, "ahead");
    assert_int_equal(stats_of(f).refused_bytes, 2);
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_REFUSE], 1);
    say(f, 0, "ab");
    got(f, "0:ab 2:cd");
    finish(f);
}

static void test_in_order_data_passes_a_full_side(void **state) {
    (void)state;
    for (int policy = 0; policy < FS_LIMIT_COUNT; policy++) {
        struct fs_reassembly_config config = room_for(1, (enum fs_limit_policy)policy);
        struct fixture *f = start(&config);
        say(f, 8, "ij");
        say(f, 0, "abcdef");
        assert_false(f->verdict.limit);
        got(f, "0:abcdef");
        say(f, 6, "gh");
        got(f, "0:abcdef 6:gh 8:ij");
        finish(f);
    }
}

static void test_a_loser_needs_no_room(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_REFUSE);
    config.overlap = FS_OVERLAP_FIRST;
    struct fixture *f = start(&config);
    say(f, 2, "cd");
    say(f, 2, "cd");
    assert_false(f->verdict.limit);
    finish(f);
    config = room_for(1, FS_LIMIT_REFUSE);
    config.overlap = FS_OVERLAP_LAST;
    f = start(&config);
    say(f, 2, "cd");
    say(f, 2, "XX"); /* takes the other's room */
    assert_false(f->verdict.limit);
    say(f, 0, "ab");
    got(f, "2!4 0:ab 2:XX");
    finish(f);
}

/* Three sides of one store, without a log: which of them has what waiting? */
static void fill(struct fixture *f, struct fs_reassembler *side, uint64_t at, struct fs_segment_verdict *verdict) {
    struct fs_packet packet = packet_at(f, at, FS_TCP_ACK, 2);
    packet.payload = (const uint8_t *)"xy";
    packet.payload_captured = 2;
    if (at == 0) {
        packet.tcp.flags = FS_TCP_SYN;
        packet.payload_len = packet.payload_captured = 0;
    }
    assert_int_equal(fs_reassembler_segment(side, &packet, verdict), 0);
}

static void test_flow_and_total_limits_count_several_sides(void **state) {
    (void)state;
    uint64_t cost = run_overhead() + 2;
    struct fs_reassembly_config config = defaults();
    config.flow_limit = 2 * cost;
    config.total_limit = 3 * cost;
    config.at_flow_limit = FS_LIMIT_REFUSE;
    config.at_total_limit = FS_LIMIT_SLIDE;
    config.on_event = NULL;
    struct fixture *f = start(&config);
    struct fs_segment_verdict verdict;
    struct fs_reassembler *peer = fs_reassembler_new(f->shared, f->side, f);
    struct fs_reassembler *other = fs_reassembler_new(f->shared, NULL, f);
    assert_non_null(peer);
    assert_non_null(other);
    fill(f, peer, 0, &verdict);
    fill(f, other, 0, &verdict);
    fill(f, f->side, 10, &verdict);
    fill(f, peer, 10, &verdict);
    assert_false(verdict.limit);
    fill(f, peer, 20, &verdict); /* third of the flow */
    assert_true(verdict.limit);
    fill(f, f->side, 20, &verdict);
    assert_true(verdict.limit);
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_REFUSE], 2);
    fill(f, other, 10, &verdict);
    assert_false(verdict.limit);
    assert_int_equal(stats_of(f).waiting_bytes, 3 * cost);
    fill(f, other, 20, &verdict); /* fourth of all */
    assert_true(verdict.limit);
    assert_int_equal(stats_of(f).limit_hits[FS_LIMIT_SLIDE], 1);
    fs_reassembler_free(f->side); /* its share is free again, and the peer stays */
    assert_int_equal(stats_of(f).waiting_bytes, 2 * cost);
    fill(f, peer, 20, &verdict);
    assert_false(verdict.limit);
    fs_reassembler_free(peer);
    fs_reassembler_free(other);
    assert_int_equal(stats_of(f).waiting_bytes, 0);
    fs_reassembly_free(f->shared);
    assert_int_equal(f->counting.live, 0);
}

/* ---- classes ---- */

static void test_class_keep_alive(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "abc");
    say(f, 2, "c");
    CLASS(f, "keep-alive");
    say(f, 2, "");
    CLASS(f, "none");
    say_with(f, 2, "c", FS_TCP_FIN | FS_TCP_ACK);
    CLASS(f, "retransmission");
    finish(f);
}

static void test_class_zero_window_probe(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "abc");
    acknowledge_window(f, 3, 0);
    say(f, 3, "d");
    CLASS(f, "zero-window-probe");
    got(f, "0:abc 3:d");
    say(f, 4, "e"); /* not acknowledged up to here */
    CLASS(f, "in-order");
    acknowledge_window(f, 5, 10);
    say(f, 5, "f");
    CLASS(f, "in-order");
    finish(f);
}

static void test_class_beyond_window(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.ahead_limit = 10;
    struct fixture *f = start(&config);
    say(f, 0, "ab");
    say(f, 12, "m");
    CLASS(f, "ahead");
    say(f, 13, "nop");
    CLASS(f, "beyond-window");
    assert_int_equal(stats_of(f).beyond_bytes, 3);
    assert_int_equal(info_of(f).dropped_bytes, 3);
    say(f, 2, "cdefghijkl");
    got(f, "0:ab 2:cdefghijkl 12:m");
    finish(f);
}

static void test_class_spurious_retransmission(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "abcd");
    acknowledge(f, 3);
    say(f, 0, "abc");
    CLASS(f, "spurious-retransmission");
    say(f, 0, "abcd");
    CLASS(f, "retransmission");
    assert_int_equal(info_of(f).retransmitted_bytes, 7);
    finish(f);
}

static void test_class_fast_retransmission_after_two_duplicates(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    later(f, 200);
    acknowledge(f, 2); /* R = 200 ms */
    say(f, 4, "ef");
    acknowledge(f, 2);
    later(f, 150);
    say(f, 2, "cd");
    CLASS(f, "out-of-order"); /* one duplicate */
    say(f, 8, "ij");
    acknowledge(f, 6);
    acknowledge(f, 6);
    acknowledge(f, 6);
    say(f, 6, "gh");
    CLASS(f, "out-of-order"); /* too soon */
    say(f, 12, "mn");
    acknowledge(f, 10);
    acknowledge(f, 10);
    acknowledge(f, 10);
    later(f, 150);
    say(f, 10, "kl");
    CLASS(f, "fast-retransmission");
    assert_int_equal(info_of(f).retransmitted_bytes, 2);
    finish(f);
}

static void expect_links(const struct fixture *f, uint32_t repeats_frame, uint32_t hole_frame) {
    assert_int_equal(f->verdict.repeats_frame, repeats_frame);
    assert_int_equal(f->verdict.hole_frame, hole_frame);
}

/* What was lost before the capture is sent again, but repeats nothing that was seen. */
static void test_what_fills_a_hole_repeats_no_frame(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    config.history = 100;
    struct fixture *f = start(&config);
    say(f, 0, "ab");
    uint32_t first = f->frame;
    expect_links(f, 0, 0);
    say(f, 4, "ef");
    uint32_t showed = f->frame;
    expect_links(f, 0, 0);
    say(f, 8, "ij");
    uint32_t second = f->frame;
    acknowledge(f, 2);
    acknowledge(f, 2);
    acknowledge(f, 2);
    later(f, 250);
    say(f, 1, "bc"); /* known, and half of what was lost */
    expect_links(f, first, showed);
    uint32_t half = f->frame;
    say(f, 3, "d");
    expect_links(f, 0, showed);
    say(f, 5, "fgh"); /* waited first, then lies in the hole before "ij" */
    expect_links(f, showed, second);
    say(f, 9, "jk"); /* new, but in no hole */
    expect_links(f, second, 0);
    say(f, 2, "cd");
    expect_links(f, half, 0);
    say(f, 11, "lm");
    expect_links(f, 0, 0);
    say(f, 15, "p");
    showed = f->frame;
    later(f, 250);
    say(f, 13, "n");
    CLASS(f, "retransmission");
    expect_links(f, 0, showed);
    say(f, 15, "p");
    CLASS(f, "retransmission");
    expect_links(f, showed, 0);
    say(f, 14, "opqr");
    CLASS(f, "overlap");
    expect_links(f, 0, showed);
    finish(f);
}

static void test_window_updates_are_no_duplicates(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    later(f, 200);
    acknowledge(f, 2); /* R = 200 ms */
    say(f, 4, "ef");
    acknowledge_window(f, 2, 100);
    acknowledge_window(f, 2, 200);
    acknowledge_window(f, 2, 300);
    later(f, 150);
    say(f, 2, "cd");
    CLASS(f, "out-of-order");
    finish(f);
}

static void test_class_fast_retransmission_after_sack(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    say(f, 4, "ef");
    struct fs_packet packet = acknowledgement(f, 2);
    packet.tcp.sack_count = 1;
    packet.tcp.sack[0].left = f->isn + 1 + 4;
    packet.tcp.sack[0].right = f->isn + 1 + 6;
    later(f, 150);
    fs_reassembler_acknowledge(f->side, &packet); /* R = 150 ms */
    say(f, 2, "cd");
    CLASS(f, "fast-retransmission");
    say(f, 2, "cd"); /* known, and still not acknowledged */
    CLASS(f, "fast-retransmission");
    finish(f);
}

static void test_retransmission_and_reordering_are_told_by_the_round_trip_time(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    later(f, 40);
    acknowledge(f, 2); /* R = 40 ms */
    say(f, 4, "e");
    later(f, 39);
    say(f, 3, "d");
    CLASS(f, "out-of-order");
    later(f, 1); /* the hole is shown by "d" now, one millisecond ago */
    say(f, 2, "c");
    CLASS(f, "out-of-order");
    say(f, 7, "h");
    later(f, 40);
    say(f, 5, "fg");
    CLASS(f, "retransmission");
    finish(f);
}

/* Fill the hole at `offset`, one byte long, that the next byte shows, `ms` later. */
static void fill_after(struct fixture *f, uint64_t offset, uint64_t ms) {
    say(f, offset + 1, "b");
    later(f, ms);
    say(f, offset, "a");
}

/* Next to the receiver a side's own round trip is nothing. */
static void test_the_round_trip_is_that_of_both_sides(void **state) {
    (void)state;
    struct fixture *f = start_default();
    struct fs_reassembler *peer = fs_reassembler_new(f->shared, f->side, f);
    struct fs_segment_verdict verdict;
    say(f, 0, "ab");
    acknowledge(f, 2);
    fill_after(f, 2, 2);
    CLASS(f, "out-of-order"); /* one half is known: at least 3 ms */
    fill_after(f, 4, 3);
    CLASS(f, "retransmission");
    fs_reassembler_set_handshake(f->side, MS(30));
    fill_after(f, 6, 29);
    CLASS(f, "out-of-order");
    fill_after(f, 8, 30);
    CLASS(f, "retransmission");
    struct fs_packet request = packet_at(f, 0, FS_TCP_ACK, 1);
    request.payload = (const uint8_t *)"?";
    request.payload_captured = 1;
    f->muted = true;
    assert_int_equal(fs_reassembler_segment(peer, &request, &verdict), 0);
    later(f, 40);
    struct fs_packet ack = packet_at(f, 0, FS_TCP_ACK, 0);
    ack.tcp.ack = request.tcp.seq + 1;
    fs_reassembler_acknowledge(peer, &ack);
    f->muted = false;
    fill_after(f, 10, 39);
    CLASS(f, "out-of-order"); /* both are: their sum */
    fill_after(f, 12, 40);
    CLASS(f, "retransmission");
    fs_reassembler_free(peer);
    fs_reassembler_free(f->side);
    fs_reassembly_free(f->shared);
    assert_int_equal(f->counting.bytes, 0);
}

static void test_without_a_measurement_r_is_200_ms(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 2, "c");
    later(f, 199);
    say(f, 1, "b");
    CLASS(f, "out-of-order");
    later(f, 200);
    say(f, 0, "a");
    CLASS(f, "retransmission");
    finish(f);
}

static void test_a_repeated_segment_gives_no_measurement(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    later(f, 1);
    say(f, 0, "ab");
    later(f, 1);
    acknowledge(f, 2); /* of which? (Karn) */
    say(f, 4, "e");
    later(f, 100);
    say(f, 2, "cd");
    CLASS(f, "out-of-order"); /* R is 200 ms still */
    finish(f);
}

static void test_class_gap_fill_when_nothing_shows_the_hole(void **state) {
    (void)state;
    struct fs_reassembly_config config = room_for(1, FS_LIMIT_REFUSE);
    config.side_limit = 1;
    struct fixture *f = start(&config);
    say(f, 6, "gh"); /* refused, but seen */
    say(f, 2, "cd"); /* likewise */
    CLASS(f, "gap-fill");
    say(f, 0, "ab");
    CLASS(f, "in-order");
    finish(f);
}

static void test_class_overlap(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "abc");
    say(f, 1, "bcd");
    CLASS(f, "overlap");
    say(f, 6, "gh");
    say(f, 4, "efghi");
    CLASS(f, "overlap");
    got(f, "0:abc 3:d 4:efghi");
    finish(f);
}

static void test_classes_are_counted(void **state) {
    (void)state;
    struct fixture *f = start_default();
    say(f, 0, "ab");
    say(f, 3, "d");
    say(f, 2, "c");
    say(f, 2, "c");
    struct fs_reassembly_stats stats = stats_of(f);
    assert_int_equal(stats.segments[FS_SEGMENT_NONE], 1); /* the SYN */
    assert_int_equal(stats.segments[FS_SEGMENT_IN_ORDER], 1);
    assert_int_equal(stats.segments[FS_SEGMENT_AHEAD], 1);
    assert_int_equal(stats.segments[FS_SEGMENT_OUT_OF_ORDER], 1);
    assert_int_equal(stats.segments[FS_SEGMENT_RETRANSMISSION], 1);
    finish(f);
}

/* ---- invariance ---- */

enum { STREAM_LENGTH = 700, MAX_CUTS = 60 };

static uint64_t random_state;

static uint32_t below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* No two stretches of eight bytes are alike, so a byte out of place shows. */
static void distinct_text(char *text) {
    for (size_t i = 0; i < STREAM_LENGTH; i++) {
        text[i] = (char)(33 + (i % 2 == 0 ? i / 2 % 90 : i / 180 * 20 + i / 2 % 7));
    }
    text[STREAM_LENGTH] = '\0';
}

static size_t cut(const char *text, struct step *steps, char pieces[][STREAM_LENGTH + 1]) {
    size_t count = 0;
    for (uint32_t at = 0; at < STREAM_LENGTH; count++) {
        uint32_t length = count == MAX_CUTS - 1 ? STREAM_LENGTH : 1 + below(40);
        length = length > STREAM_LENGTH - at ? STREAM_LENGTH - at : length;
        uint32_t before = at < 20 ? at : below(20); /* overlaps what came before, with the same text */
        before = below(3) == 0 ? before : 0;
        memcpy(pieces[count], text + at - before, length + before);
        pieces[count][length + before] = '\0';
        steps[count] = (struct step){at - before, pieces[count]};
        at += length;
    }
    return count;
}

static void shuffle(struct step *steps, size_t count) {
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = below((uint32_t)i + 1);
        struct step step = steps[i];
        steps[i] = steps[other];
        steps[other] = step;
    }
}

static void test_cutting_and_reordering_change_no_byte(void **state) {
    (void)state;
    static char text[STREAM_LENGTH + 1], out[STREAM_LENGTH + 2];
    static char pieces[MAX_CUTS][STREAM_LENGTH + 1];
    struct step steps[MAX_CUTS];
    distinct_text(text);
    random_state = 42;
    for (int round = 0; round < 60 * FS_OVERLAP_COUNT; round++) {
        struct fixture *f = start_policy((enum fs_overlap_policy)(round % FS_OVERLAP_COUNT));
        size_t count = cut(text, steps, pieces);
        shuffle(steps, round % 4 == 0 ? 1 : count);
        size_t fin_before = below((uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            if (i == fin_before) {
                say_with(f, STREAM_LENGTH, "", FS_TCP_FIN | FS_TCP_ACK);
            }
            say(f, steps[i].at, steps[i].text);
            if (below(5) == 0) {
                say(f, steps[i].at, steps[i].text);
            }
        }
        assert_string_equal(text_of(f, out, sizeof(out)), text);
        assert_int_equal(info_of(f).end, FS_STREAM_FIN);
        assert_int_equal(stats_of(f).conflicts, 0);
        assert_int_equal(stats_of(f).gaps, 0);
        assert_int_equal(stats_of(f).delivered_bytes, STREAM_LENGTH);
        finish(f);
    }
}

/* ---- memory ---- */

static void test_in_order_and_filled_streams_allocate_nothing_more(void **state) {
    (void)state;
    struct fixture *f = start_default();
    uint64_t at = 0;
    uint64_t calls = 0;
    for (int i = 0; i < 20000; i++) {
        if (i == 100) {
            calls = f->counting.calls;
        }
        say(f, at + 2, "cd");
        say(f, at + 6, "gh");
        say(f, at + 4, "ef");
        say(f, at, "ab");
        at += 8;
        assert_int_equal(info_of(f).next_offset, at);
        stream_log_clear(&f->log);
    }
    assert_int_equal(f->counting.calls, calls);
    finish(f);
}

static void test_a_hostile_sender_stays_within_the_cap(void **state) {
    (void)state;
    for (int policy = 0; policy < FS_LIMIT_COUNT; policy++) {
        struct fs_reassembly_config config = defaults();
        config.hole_deadline_ns = UINT64_MAX;
        config.side_limit = 100000;
        config.at_side_limit = (enum fs_limit_policy)policy;
        struct fixture *f = start(&config);
        uint64_t before = f->counting.bytes;
        random_state = 7;
        for (int i = 0; i < 30000; i++) {
            say(f, info_of(f).next_offset + 1 + 2 * below(20000), "x"); /* one byte each, a hole before each */
            assert_true(info_of(f).waiting_bytes <= config.side_limit);
            stream_log_clear(&f->log);
        }
        /* What is counted is what is stored: chunks that are not full are all that may be added. */
        uint64_t most = stats_of(f).peak_memory_bytes - before;
        if (most > 2 * config.side_limit) {
            fail_msg("%s: %" PRIu64 " bytes for a cap of %" PRIu64, fs_limit_name(policy), most, config.side_limit);
        }
        finish(f);
    }
}

enum { CROWD = 100000 };

struct member {
    struct fs_reassembler *side;
    uint64_t position;
    bool ended, broken;
};

static void on_member_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    (void)user;
    struct member *member = stream_user;
    member->broken |= member->ended || event->offset != member->position || event->kind == FS_STREAM_CONFLICT;
    member->position += event->length;
    member->ended |= event->kind == FS_STREAM_ENDED;
}

static void crowd_send(struct member *member, uint64_t at, uint64_t time_ns) {
    static const uint8_t text[100] = "crowd";
    struct fs_packet packet = tcp_between((struct end){1, 1}, (struct end){2, 2}, time_ns,
                                          at == 0 ? FS_TCP_SYN : FS_TCP_ACK, (uint32_t)at, 0, at == 0 ? 0 : 100);
    packet.payload = at == 0 ? NULL : text;
    packet.payload_captured = packet.payload_len;
    struct fs_segment_verdict verdict;
    assert_int_equal(fs_reassembler_segment(member->side, &packet, &verdict), 0);
}

static void run_crowd(enum fs_limit_policy policy, struct member *members) {
    struct counting_allocator counting;
    struct fs_allocator allocator = counting_allocator_init(&counting);
    struct fs_reassembly_config config = defaults();
    config.on_event = on_member_event;
    config.total_limit = 4u << 20; /* for about a third of them */
    config.at_total_limit = policy;
    struct fs_reassembly *shared = fs_reassembly_new(&config, &allocator);
    assert_non_null(shared);
    for (int i = 0; i < CROWD; i++) {
        members[i].side = fs_reassembler_new(shared, NULL, &members[i]);
        assert_non_null(members[i].side);
        crowd_send(&members[i], 0, SECONDS(1));
    }
    uint64_t idle = counting.bytes;
    struct fs_reassembly_stats stats;
    for (int i = 0; i < CROWD; i++) {
        crowd_send(&members[i], 1001, SECONDS(1));
        fs_reassembly_get_stats(shared, &stats);
        assert_true(stats.waiting_bytes <= config.total_limit);
    }
    assert_true(stats.waiting_bytes > config.total_limit / 2);
    assert_true(stats.limit_hits[policy] > CROWD / 2);
    if (counting.bytes - idle > 2 * config.total_limit) {
        fail_msg("%s: %" PRIu64 " bytes for a cap of %" PRIu64, fs_limit_name((int)policy), counting.bytes - idle,
                 config.total_limit);
    }
    for (int i = 0; i < CROWD; i++) {
        fs_reassembler_flush(members[i].side, FS_STREAM_FLUSHED, SECONDS(2), 0);
        fs_reassembler_free(members[i].side);
        assert_true(members[i].ended);
        assert_false(members[i].broken);
    }
    fs_reassembly_get_stats(shared, &stats);
    assert_int_equal(stats.waiting_bytes, 0);
    fs_reassembly_free(shared);
    assert_int_equal(counting.live, 0);
    assert_false(counting.wrong_size);
}

static void test_100000_reassemblers_share_one_cap(void **state) {
    (void)state;
    for (int policy = 0; policy < FS_LIMIT_COUNT; policy++) {
        struct member *members = calloc(CROWD, sizeof(*members));
        assert_non_null(members);
        run_crowd((enum fs_limit_policy)policy, members);
        free(members);
    }
}

/* A life with everything that may want memory. True if nothing failed. */
static bool fragile_life(struct fixture *f, const struct fs_allocator *allocator) {
    struct fs_reassembly_config config = defaults();
    config.history = 1000;
    config.overlap = FS_OVERLAP_LAST;
    f->shared = fs_reassembly_new(&config, allocator);
    if (f->shared == NULL) {
        return false;
    }
    f->side = fs_reassembler_new(f->shared, NULL, f);
    if (f->side == NULL) {
        fs_reassembly_free(f->shared);
        return false;
    }
    static char text[3001];
    memset(text, 'x', sizeof(text) - 1);
    static const uint64_t places[] = {0, 5, 9000, 9500, 100, 20000, 3100, 0, 14000, 30000};
    int result = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct fs_packet packet = packet_at(f, places[i], i == 0 ? FS_TCP_SYN : FS_TCP_ACK, i % 3 == 1 ? 3 : 3000);
        packet.payload_captured = packet.payload_len;
        result = send(f, &packet, text);
        if (result != 0) {
            break;
        }
        assert_int_not_equal(info_of(f).end, FS_STREAM_NOMEM);
    }
    if (result != 0) {
        assert_int_equal(result, FS_ERR_NOMEM);
        assert_int_equal(info_of(f).end, FS_STREAM_NOMEM);
        assert_true(f->log.ended);
        assert_true(f->verdict.segment < FS_SEGMENT_COUNT);
        assert_int_equal(info_of(f).waiting_bytes, 0);
        say(f, info_of(f).next_offset, "more");
        CLASS(f, "after-end");
    }
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, 0);
    assert_null(f->log.broken);
    assert_true(f->log.ended);
    assert_int_equal(info_of(f).next_offset, f->log.position);
    assert_int_equal(stats_of(f).waiting_bytes, 0);
    fs_reassembler_free(f->side);
    fs_reassembly_free(f->shared);
    return result == 0;
}

static bool live_with_failure(uint64_t fail_at, bool fail_on) {
    struct fixture *f = &fixture;
    memset(f, 0, sizeof(*f));
    stream_log_init(&f->log);
    f->now_ns = MS(START_MS);
    struct fs_allocator allocator = counting_allocator_init(&f->counting);
    f->counting.fail_at = fail_at;
    f->counting.fail_on = fail_on;
    bool whole = fragile_life(f, &allocator);
    assert_int_equal(f->counting.live, 0);
    assert_int_equal(f->counting.bytes, 0);
    assert_false(f->counting.wrong_size);
    return whole;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    for (int fail_on = 0; fail_on < 2; fail_on++) {
        uint64_t failures = 0;
        for (uint64_t n = 1; !live_with_failure(n, fail_on != 0) || fixture.counting.calls >= n; n++) {
            failures++;
            assert_true(n < 1000);
        }
        assert_true(failures >= 3); /* the store, the reassembler, and what waits */
    }
}

/* ---- beginnings, looks, and the limit of histories ---- */

static void test_a_stream_begins_where_it_is_told(void **state) {
    (void)state;
    struct fs_reassembly_config config = defaults();
    struct fixture *f = start_silent(&config);
    fs_reassembler_begin(f->side, f->isn + 1, false);
    say(f, 3, "def");
    assert_int_equal(f->verdict.segment, FS_SEGMENT_AHEAD);
    assert_int_equal(f->verdict.hole_bytes, 3);
    fs_reassembler_begin(f->side, f->isn + 4, true); /* too late */
    say(f, 0, "abc");
    got(f, "0:abc 3:def");
    assert_false(info_of(f).from_middle);
    finish(f);

    f = start_silent(&config);
    fs_reassembler_begin(f->side, f->isn + 1, true);
    say(f, 0, "abc");
    assert_true(info_of(f).from_middle);
    finish(f);
}

static void add_to_log(const struct fs_stream_event *event, void *user) {
    stream_log_add(user, event);
}

/* What is looked at is what a flush would give, and looking changes nothing. */
static void test_a_look_shows_what_a_flush_would_give(void **state) {
    (void)state;
    struct fixture *f = start_default();
    static struct stream_log seen;
    stream_log_init(&seen);
    say(f, 0, "ab");
    say(f, 5, "fg");
    say_cut(f, 7, "h", 3);
    say_with(f, 14, "op", FS_TCP_ACK | FS_TCP_FIN);
    size_t before = f->log.count;
    fs_reassembler_peek(f->side, add_to_log, &seen);
    assert_int_equal(f->log.count, before);
    assert_int_equal(seen.count, 6); /* 3 missing, fg, h, 2 not captured, 4 missing, op */
    fs_reassembler_flush(f->side, FS_STREAM_FLUSHED, f->now_ns, 0);
    assert_int_equal(f->log.count, before + seen.count + 1);
    for (size_t i = 0; i < seen.count; i++) {
        const struct fs_stream_event *looked = &seen.events[i], *got = &f->log.events[before + i];
        assert_int_equal(looked->kind, got->kind);
        assert_int_equal(looked->uncaptured, got->uncaptured);
        assert_int_equal(looked->offset, got->offset);
        assert_int_equal(looked->length, got->length);
        if (got->kind == FS_STREAM_DATA) {
            assert_memory_equal(seen.text + seen.text_at[i], f->log.text + f->log.text_at[before + i],
                                (size_t)got->length);
        }
    }
    size_t end = seen.count;
    fs_reassembler_peek(f->side, add_to_log, &seen);
    assert_int_equal(seen.count, end);
    finish(f);
}

static void test_histories_stay_within_their_limit(void **state) {
    (void)state;
    enum { LIMIT = 2000, SIDES = 20 };
    struct fs_reassembly_config config = defaults();
    config.history = 4096;
    config.history_limit = LIMIT;
    config.on_event = NULL;
    struct fixture *f = start(&config);
    struct fs_reassembler *sides[SIDES];
    for (unsigned i = 0; i < SIDES; i++) {
        sides[i] = fs_reassembler_new(f->shared, NULL, f);
        assert_non_null(sides[i]);
    }
    uint64_t with_sides = f->counting.bytes;
    char text[801];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (unsigned i = 0; i < SIDES * 4; i++) {
        struct fs_packet packet = packet_at(f, i / SIDES * 800, FS_TCP_ACK, 800);
        packet.payload = (const uint8_t *)text;
        packet.payload_captured = 800;
        assert_int_equal(fs_reassembler_segment(sides[i % SIDES], &packet, &f->verdict), 0);
        assert_true(f->counting.bytes - with_sides <= LIMIT);
    }
    assert_true(stats_of(f).histories_refused > 0);
    for (unsigned i = 0; i < SIDES; i++) {
        fs_reassembler_free(sides[i]);
    }
    say(f, 0, "abc"); /* what was freed may be used again */
    say(f, 0, "abX");
    assert_int_equal(stats_of(f).conflicts, 1);
    fs_reassembler_free(f->side);
    fs_reassembly_free(f->shared);
    assert_int_equal(f->counting.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_total),
        cmocka_unit_test(test_defaults_are_those_of_the_header),
        cmocka_unit_test(test_values_out_of_range_are_refused),
        cmocka_unit_test(test_without_a_callback_everything_is_still_counted),
        cmocka_unit_test(test_in_order_bytes_come_from_the_packet_itself),
        cmocka_unit_test(test_data_on_a_syn_begins_at_offset_0),
        cmocka_unit_test(test_a_stream_without_syn_begins_with_its_first_segment),
        cmocka_unit_test(test_a_segment_without_payload_starts_a_stream_too),
        cmocka_unit_test(test_bytes_across_the_start_are_used_from_offset_0_on),
        cmocka_unit_test(test_a_late_syn_is_ignored_unless_it_belongs_before_the_first_byte),
        cmocka_unit_test(test_offsets_pass_4_gib),
        cmocka_unit_test(test_a_fin_ends_the_stream_when_all_before_it_is_delivered),
        cmocka_unit_test(test_a_bare_fin_ends_an_empty_stream),
        cmocka_unit_test(test_syn_data_and_fin_in_one_segment),
        cmocka_unit_test(test_bytes_beyond_the_fin_are_dropped),
        cmocka_unit_test(test_the_lowest_fin_counts),
        cmocka_unit_test(test_a_fin_behind_or_far_ahead_is_ignored),
        cmocka_unit_test(test_data_on_a_reset_is_dropped_and_the_stream_goes_on),
        cmocka_unit_test(test_a_segment_ahead_waits),
        cmocka_unit_test(test_a_second_hole_is_measured_by_itself),
        cmocka_unit_test(test_a_long_segment_waits_whole),
        cmocka_unit_test(test_what_was_not_captured_is_a_gap_in_its_turn),
        cmocka_unit_test(test_what_was_not_captured_gives_way_to_what_was),
        cmocka_unit_test(test_urgent_bytes_are_inline_or_gaps),
        cmocka_unit_test(test_delivered_bytes_never_change),
        cmocka_unit_test(test_history_tells_other_text_in_a_repetition),
        cmocka_unit_test(test_late_bytes_of_a_gap_are_not_compared),
        cmocka_unit_test(test_a_conflict_for_each_waiting_segment_that_differs),
        cmocka_unit_test(test_an_overruled_byte_is_forgotten),
        cmocka_unit_test(test_a_policy_applies_to_what_waits_when_the_hole_is_filled),
        cmocka_unit_test(test_extents_are_clipped_to_what_is_not_delivered),
        cmocka_unit_test(test_the_published_overlap_experiments),
        cmocka_unit_test(test_all_triplets),
        cmocka_unit_test(test_a_hole_older_than_the_deadline_is_given_up),
        cmocka_unit_test(test_the_deadline_is_looked_at_before_the_segment),
        cmocka_unit_test(test_a_segment_may_give_up_a_hole_and_leave_another),
        cmocka_unit_test(test_a_hole_s_age_counts_from_the_segment_behind_it),
        cmocka_unit_test(test_time_that_steps_back_makes_no_hole_old),
        cmocka_unit_test(test_without_a_deadline_a_hole_stays),
        cmocka_unit_test(test_an_acknowledged_hole_is_given_up_at_the_second_acknowledgement),
        cmocka_unit_test(test_an_acknowledged_hole_can_still_be_filled_by_the_next_segment),
        cmocka_unit_test(test_an_acknowledged_hole_is_given_up_with_another_segment),
        cmocka_unit_test(test_an_absurd_acknowledgement_is_not_believed),
        cmocka_unit_test(test_acknowledgements_before_the_first_segment_mean_nothing),
        cmocka_unit_test(test_a_flush_delivers_what_waits_and_the_gap_before_the_fin),
        cmocka_unit_test(test_a_stream_that_never_spoke_can_be_flushed),
        cmocka_unit_test(test_skip_hole_delivers_until_the_bytes_fit),
        cmocka_unit_test(test_skip_hole_lets_a_segment_before_what_waits_be_in_order),
        cmocka_unit_test(test_skip_hole_delivers_a_segment_larger_than_the_cap),
        cmocka_unit_test(test_slide_drops_what_lies_furthest),
        cmocka_unit_test(test_drop_stream_ends_it),
        cmocka_unit_test(test_refuse_drops_the_new_segment),
        cmocka_unit_test(test_in_order_data_passes_a_full_side),
        cmocka_unit_test(test_a_loser_needs_no_room),
        cmocka_unit_test(test_flow_and_total_limits_count_several_sides),
        cmocka_unit_test(test_class_keep_alive),
        cmocka_unit_test(test_class_zero_window_probe),
        cmocka_unit_test(test_class_beyond_window),
        cmocka_unit_test(test_class_spurious_retransmission),
        cmocka_unit_test(test_class_fast_retransmission_after_two_duplicates),
        cmocka_unit_test(test_what_fills_a_hole_repeats_no_frame),
        cmocka_unit_test(test_window_updates_are_no_duplicates),
        cmocka_unit_test(test_class_fast_retransmission_after_sack),
        cmocka_unit_test(test_retransmission_and_reordering_are_told_by_the_round_trip_time),
        cmocka_unit_test(test_the_round_trip_is_that_of_both_sides),
        cmocka_unit_test(test_without_a_measurement_r_is_200_ms),
        cmocka_unit_test(test_a_repeated_segment_gives_no_measurement),
        cmocka_unit_test(test_class_gap_fill_when_nothing_shows_the_hole),
        cmocka_unit_test(test_class_overlap),
        cmocka_unit_test(test_classes_are_counted),
        cmocka_unit_test(test_cutting_and_reordering_change_no_byte),
        cmocka_unit_test(test_in_order_and_filled_streams_allocate_nothing_more),
        cmocka_unit_test(test_a_hostile_sender_stays_within_the_cap),
        cmocka_unit_test(test_100000_reassemblers_share_one_cap),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_stream_begins_where_it_is_told),
        cmocka_unit_test(test_a_look_shows_what_a_flush_would_give),
        cmocka_unit_test(test_histories_stay_within_their_limit),
    };
    return cmocka_run_group_tests_name("reassembler", tests, NULL, NULL);
}
