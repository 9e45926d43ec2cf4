/* SPDX-License-Identifier: MIT */
#include "flowscope/stream_buffer.h"

#include "alloc_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t zeros[1500];

static struct fs_stream_buffer *make(uint64_t limit, enum fs_buffer_policy policy, uint32_t percent) {
    struct fs_stream_buffer_config config;
    fs_stream_buffer_config_defaults(&config);
    config.limit = limit;
    config.policy = policy;
    config.watermark_percent = percent;
    struct fs_stream_buffer *buffer = fs_stream_buffer_new(&config, NULL);
    assert_non_null(buffer);
    return buffer;
}

static struct fs_stream_buffer_info info_of(const struct fs_stream_buffer *buffer) {
    struct fs_stream_buffer_info info;
    fs_stream_buffer_get_info(buffer, &info);
    return info;
}

/* The reference's numbers: a limit of 100 and two appends of 80 keep 100 and lose the oldest 60. */
static void test_slide_loses_the_oldest_and_shows_it(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_SLIDE, 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 80), 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 80, zeros, 80), FS_BUFFER_DROPPED);
    struct fs_stream_buffer_info info = info_of(buffer);
    assert_int_equal(info.buffered_bytes, 100);
    assert_int_equal(fs_stream_buffer_level(buffer), 100);
    assert_int_equal(info.dropped_bytes, 60);
    assert_int_equal(info.peak_bytes, 100);
    struct fs_stream_span span = fs_stream_buffer_peek(buffer);
    assert_int_equal(span.kind, FS_SPAN_GAP);
    assert_int_equal(span.offset, 0);
    assert_int_equal(span.length, 60);
    fs_stream_buffer_free(buffer);

    buffer = make(50, FS_BUFFER_SLIDE, 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 100), FS_BUFFER_DROPPED);
    info = info_of(buffer);
    assert_int_equal(info.buffered_bytes, 50);
    assert_int_equal(info.dropped_bytes, 50);
    fs_stream_buffer_free(buffer);
}

static void test_exactly_the_limit_fits(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_POISON, 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 100), 0);
    assert_int_equal(info_of(buffer).buffered_bytes, 100);
    fs_stream_buffer_free(buffer);
}

static void test_poison_drops_all_and_refuses_the_rest(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_POISON, 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 80), 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 80, zeros, 80), FS_BUFFER_DROPPED | FS_BUFFER_POISONED);
    struct fs_stream_buffer_info info = info_of(buffer);
    assert_true(info.poisoned);
    assert_int_equal(info.buffered_bytes, 0);
    assert_int_equal(info.dropped_bytes, 160);
    assert_int_equal(info.peak_bytes, 80);
    assert_int_equal(fs_stream_buffer_append(buffer, 160, zeros, 5), FS_BUFFER_POISONED);
    assert_int_equal(info_of(buffer).refused_bytes, 5);
    fs_stream_buffer_free(buffer);
}

static void test_watermark_is_reported_once_for_each_rise(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_SLIDE, 80);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 79), 0);
    assert_int_equal(fs_stream_buffer_append(buffer, 79, zeros, 1), FS_BUFFER_ROSE);
    assert_int_equal(fs_stream_buffer_append(buffer, 80, zeros, 10), 0);
    assert_int_equal(fs_stream_buffer_consume(buffer, 10), 10); /* still at the mark */
    assert_int_equal(fs_stream_buffer_append(buffer, 90, zeros, 1), 0);
    assert_int_equal(fs_stream_buffer_consume(buffer, 50), 50);
    assert_int_equal(fs_stream_buffer_append(buffer, 91, zeros, 60), FS_BUFFER_ROSE);
    assert_int_equal(info_of(buffer).rises, 2);
    fs_stream_buffer_free(buffer);
}

static void test_reset_begins_anew(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_POISON, 0);
    fs_stream_buffer_append(buffer, 0, zeros, 101);
    fs_stream_buffer_reset(buffer);
    assert_false(info_of(buffer).poisoned);
    assert_int_equal(fs_stream_buffer_append(buffer, 0, zeros, 10), 0);
    assert_int_equal(fs_stream_buffer_peek(buffer).length, 10);
    fs_stream_buffer_free(buffer);
}

static void test_events_of_a_reassembler(void **state) {
    (void)state;
    struct fs_stream_buffer *buffer = make(100, FS_BUFFER_SLIDE, 0);
    struct fs_stream_event event = {.kind = FS_STREAM_DATA, .offset = 0, .length = 3, .data = (const uint8_t *)"abc"};
    assert_int_equal(fs_stream_buffer_event(buffer, &event), 0);
    event = (struct fs_stream_event){.kind = FS_STREAM_GAP, .offset = 3, .length = 7};
    assert_int_equal(fs_stream_buffer_event(buffer, &event), 0);
    event = (struct fs_stream_event){.kind = FS_STREAM_ENDED, .offset = 10};
    assert_int_equal(fs_stream_buffer_event(buffer, &event), 0);
    struct fs_stream_span span = fs_stream_buffer_peek(buffer);
    assert_int_equal(span.length, 3);
    assert_memory_equal(span.data, "abc", 3);
    assert_int_equal(fs_stream_buffer_consume(buffer, 100), 3);
    assert_int_equal(fs_stream_buffer_peek(buffer).kind, FS_SPAN_GAP);
    assert_int_equal(fs_stream_buffer_consume(buffer, 100), 7);
    assert_int_equal(fs_stream_buffer_peek(buffer).kind, FS_SPAN_NONE);
    fs_stream_buffer_free(buffer);
}

/* ---- random calls against a byte array ---- */

enum { TEXT = 60 * 700, NOTHING = 0, BYTE, HOLE };

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % n);
}

/* Every offset has its own byte, so that one in the wrong place shows. */
static uint8_t byte_at(uint64_t offset) {
    return (uint8_t)(offset * 131 + offset / 251);
}

struct expected {
    uint8_t kind[TEXT];
    uint64_t end, read, gaps;
};

static void mark(struct expected *expected, uint64_t from, uint64_t to, uint8_t kind) {
    for (uint64_t at = from; at < to; at++)
        expected->kind[at] = kind;
    if (kind == HOLE)
        expected->gaps += to - from;
    expected->end = to;
}

static void random_append(struct fs_stream_buffer *buffer, struct expected *expected) {
    uint32_t length = random_below(3) == 0 ? random_below(6) : random_below(600);
    uint64_t offset = expected->end;
    if (random_below(8) == 0)
        offset += random_below(50);
    else if (random_below(8) == 0)
        offset -= random_below(offset > 50 ? 50 : (uint32_t)offset + 1);
    uint8_t *data = malloc(length + 1U); /* of its own, so that a sanitizer sees a late read */
    assert_non_null(data);
    for (uint32_t i = 0; i < length; i++)
        data[i] = byte_at(offset + i);
    int result = fs_stream_buffer_append(buffer, offset, data, length);
    free(data);
    if (result < 0 || offset + length <= expected->end || !length)
        return;
    if (offset > expected->end)
        mark(expected, expected->end, offset, HOLE);
    mark(expected, expected->end, offset + length, BYTE);
}

static void check_peek(struct fs_stream_buffer *buffer, struct expected *expected) {
    struct fs_stream_span span = fs_stream_buffer_peek(buffer);
    assert_true(span.offset == expected->read);
    if (span.kind == FS_SPAN_NONE)
        assert_true(expected->read == expected->end);
    if (span.kind == FS_SPAN_DATA) {
        assert_true(span.length > 0);
        for (uint64_t i = 0; i < span.length; i++) {
            assert_int_equal(expected->kind[expected->read + i], BYTE);
            assert_int_equal(span.data[i], byte_at(expected->read + i));
        }
        uint64_t after = expected->read + span.length;
        assert_true(after == expected->end || expected->kind[after] == HOLE);
    }
    uint64_t wanted = random_below(2) ? random_below(300) : span.length;
    uint64_t got = fs_stream_buffer_consume(buffer, wanted);
    assert_true(got == (wanted < span.length ? wanted : span.length));
    expected->read += got;
}

static void run_round(const struct fs_stream_buffer_config *config, struct fs_stream_buffer *buffer,
                      struct expected *expected) {
    for (int step = 0; step < 60; step++) {
        uint32_t choice = random_below(10);
        if (choice < 5) {
            random_append(buffer, expected);
        } else if (choice < 6) {
            uint32_t length = random_below(40);
            if (fs_stream_buffer_gap(buffer, expected->end, length) >= 0 && !info_of(buffer).poisoned)
                mark(expected, expected->end, expected->end + length, HOLE);
        } else {
            check_peek(buffer, expected);
        }
        struct fs_stream_buffer_info info = info_of(buffer);
        if (info.poisoned)
            return;
        assert_true(info.read_offset == expected->read && info.end_offset == expected->end);
        assert_true(info.gap_bytes == expected->gaps);
        assert_true(config->limit == UINT64_MAX ? info.dropped_bytes == 0 : info.buffered_bytes <= config->limit);
        assert_int_equal(fs_stream_buffer_level(buffer), info.buffered_bytes);
    }
}

static void test_random_calls(void **state) {
    (void)state;
    struct expected *expected = malloc(sizeof *expected);
    assert_non_null(expected);
    random_state = 1;
    for (int round = 0; round < 3000; round++) {
        struct fs_stream_buffer_config config;
        fs_stream_buffer_config_defaults(&config);
        config.limit = random_below(4) == 0 ? random_below(40) : random_below(3000);
        if (random_below(5) == 0)
            config.limit = UINT64_MAX;
        config.policy = random_below(6) == 0 ? FS_BUFFER_POISON : FS_BUFFER_SLIDE;
        config.watermark_percent = random_below(2) ? random_below(120) : 0;
        memset(expected, 0, sizeof *expected);
        struct fs_stream_buffer *buffer = fs_stream_buffer_new(&config, NULL);
        assert_non_null(buffer);
        run_round(&config, buffer, expected);
        fs_stream_buffer_free(buffer);
    }
    free(expected);
}

/* ---- memory ---- */

static void test_steady_state_allocates_nothing(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_allocator allocator = counting_allocator_init(&counting);
    struct fs_stream_buffer_config config;
    fs_stream_buffer_config_defaults(&config);
    config.limit = 100000;
    struct fs_stream_buffer *buffer = fs_stream_buffer_new(&config, &allocator);
    uint64_t offset = 0, before = 0;
    for (int i = 0; i < 20000; i++) {
        if (i == 1000)
            before = counting.calls;
        fs_stream_buffer_append(buffer, offset, zeros, sizeof zeros);
        offset += sizeof zeros;
        fs_stream_buffer_consume(buffer, 1000);
    }
    assert_int_equal(counting.calls, before);
    fs_stream_buffer_free(buffer);
    assert_int_equal(counting.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slide_loses_the_oldest_and_shows_it),
        cmocka_unit_test(test_exactly_the_limit_fits),
        cmocka_unit_test(test_poison_drops_all_and_refuses_the_rest),
        cmocka_unit_test(test_watermark_is_reported_once_for_each_rise),
        cmocka_unit_test(test_reset_begins_anew),
        cmocka_unit_test(test_events_of_a_reassembler),
        cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
