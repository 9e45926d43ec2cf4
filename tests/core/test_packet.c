/* SPDX-License-Identifier: MIT */
#include "flowscope/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A header with these options, in memory of exactly its size, so that a sanitizer sees a read behind it. */
static uint32_t parse(struct fs_tcp *tcp, const uint8_t *options, uint32_t length, uint32_t captured) {
    uint8_t *header = calloc(1, captured);
    assert_non_null(header);
    uint8_t fixed[20] = {0x04, 0xd2, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x18, 0x20, 0, 0, 0, 0, 9};
    fixed[12] = (uint8_t)((20 + length) / 4 << 4);
    memcpy(header, fixed, 20);
    if (captured > 20)
        memcpy(header + 20, options, captured - 20 < length ? captured - 20 : length);
    memset(tcp, 0xa5, sizeof *tcp);
    uint32_t result = fs_tcp_parse(tcp, header, captured);
    free(header);
    return result;
}

static void test_fixed_header(void **state) {
    (void)state;
    struct fs_tcp tcp;
    assert_int_equal(parse(&tcp, NULL, 0, 20), 20);
    assert_int_equal(tcp.seq, 0x01020304);
    assert_int_equal(tcp.ack, 0x05060708);
    assert_int_equal(tcp.flags, FS_TCP_PSH | FS_TCP_ACK);
    assert_int_equal(tcp.window, 0x2000);
    assert_int_equal(tcp.urgent, 9);
    assert_int_equal(tcp.options | tcp.mss | tcp.window_scale | tcp.sack_count, 0);
    assert_int_equal(tcp.ts_value | tcp.ts_echo, 0);
}

static void test_syn_options(void **state) {
    (void)state;
    const uint8_t options[20] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8, 1, 3, 3, 9};
    struct fs_tcp tcp;
    assert_int_equal(parse(&tcp, options, 20, 40), 40);
    assert_int_equal(tcp.options,
                     FS_TCP_OPT_MSS | FS_TCP_OPT_SACK_PERMITTED | FS_TCP_OPT_TIMESTAMP | FS_TCP_OPT_WINDOW_SCALE);
    assert_int_equal(tcp.mss, 1460);
    assert_int_equal(tcp.window_scale, 9);
    assert_int_equal(tcp.ts_value, 7);
    assert_int_equal(tcp.ts_echo, 8);
}

static void test_padded_timestamp(void **state) {
    (void)state;
    const uint8_t options[12] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
    struct fs_tcp tcp;
    assert_int_equal(parse(&tcp, options, 12, 32), 32);
    assert_int_equal(tcp.options, FS_TCP_OPT_TIMESTAMP);
    assert_int_equal(tcp.ts_value, 0x01020304);
    assert_int_equal(tcp.ts_echo, 0x05060708);
}

static void test_sack_blocks(void **state) {
    (void)state;
    uint8_t options[40] = {1, 1, 5, 34};
    for (uint8_t i = 0; i < 8; i++)
        options[4 + 4 * i + 3] = (uint8_t)(i + 1);
    struct fs_tcp tcp;
    parse(&tcp, options, 40, 60);
    assert_int_equal(tcp.sack_count, 4);
    assert_int_equal(tcp.sack[3].left, 7);
    assert_int_equal(tcp.sack[3].right, 8);
}

static void test_scale_is_capped(void **state) {
    (void)state;
    const uint8_t options[4] = {3, 3, 200, 0};
    struct fs_tcp tcp;
    parse(&tcp, options, 4, 24);
    assert_int_equal(tcp.window_scale, 14);
}

static void test_broken_options_are_marked(void **state) {
    (void)state;
    const uint8_t zero[4] = {8, 0, 0, 0}, one[4] = {8, 1, 0, 0}, past[4] = {2, 5, 0, 0}, wrong[4] = {2, 3, 0, 0},
                  alone[4] = {1, 1, 1, 8};
    const uint8_t *cases[] = {zero, one, past, wrong, alone};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fs_tcp tcp;
        assert_int_equal(parse(&tcp, cases[i], 4, 24), 24);
        assert_true(tcp.options & FS_TCP_OPT_MALFORMED);
    }
}

static void test_cut_options_are_marked_and_not_read(void **state) {
    (void)state;
    const uint8_t options[20] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8, 1, 3, 3, 9};
    for (uint32_t captured = 20; captured < 40; captured++) {
        struct fs_tcp tcp;
        assert_int_equal(parse(&tcp, options, 20, captured), 40);
        assert_true(tcp.options & FS_TCP_OPT_MALFORMED);
        assert_int_equal((tcp.options & FS_TCP_OPT_MSS) != 0, captured >= 24);
        assert_int_equal((tcp.options & FS_TCP_OPT_TIMESTAMP) != 0, captured >= 36);
    }
}

static void test_end_of_options(void **state) {
    (void)state;
    const uint8_t options[4] = {0, 2, 4, 5};
    struct fs_tcp tcp;
    parse(&tcp, options, 4, 24);
    assert_int_equal(tcp.options, 0);
}

static void test_short_data_offset(void **state) {
    (void)state;
    uint8_t header[20] = {0};
    struct fs_tcp tcp;
    for (unsigned words = 0; words < 5; words++) {
        header[12] = (uint8_t)(words << 4);
        assert_int_equal(fs_tcp_parse(&tcp, header, 20), 0);
    }
}

static void test_all_flags(void **state) {
    (void)state;
    for (unsigned flags = 0; flags < 512; flags++) {
        uint8_t header[20] = {0};
        header[12] = (uint8_t)(0x5e | flags >> 8); /* the three reserved bits beside AE are not ours */
        header[13] = (uint8_t)flags;
        struct fs_tcp tcp;
        assert_int_equal(fs_tcp_parse(&tcp, header, sizeof header), 20);
        assert_int_equal(tcp.flags, flags);
        assert_int_equal(tcp.reserved, 0);
    }
}

/* The usual place has a short cut of its own: no difference but that. */
static void test_timestamp_anywhere(void **state) {
    (void)state;
    static const uint8_t before[12] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t behind[12] = {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1};
    static const uint8_t more[16] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0, 9};
    static const uint8_t nearly[12] = {1, 1, 8, 11, 1, 2, 3, 4, 5, 6, 7, 8};
    struct fs_tcp a, b, c, d;
    parse(&a, before, 12, 32);
    parse(&b, behind, 12, 32);
    parse(&c, more, 16, 36);
    parse(&d, nearly, 12, 32);
    assert_memory_equal(&a, &b, offsetof(struct fs_tcp, sack));
    assert_int_equal(c.ts_echo, 0x05060708);
    assert_int_equal(c.mss, 9);
    assert_int_equal(d.options, FS_TCP_OPT_MALFORMED);
}

/* A malformed option ends the parse; what came before it stays. */
static void test_what_malformed_options_leave(void **state) {
    (void)state;
    static const struct {
        uint8_t options[12];
        uint8_t length, seen;
    } cases[] = {
        {{3, 4, 0, 1}, 4, 0},
        {{4, 4, 0, 1}, 4, 0},
        {{8, 8, 0, 0, 0, 0, 0, 0}, 8, 0},
        {{5, 2, 1, 1}, 4, 0},                                       /* no block */
        {{5, 6, 1, 1, 1, 1, 1, 1}, 8, 0},                           /* half a block */
        {{2, 4, 1, 0, 254, 5, 0, 0}, 8, FS_TCP_OPT_MSS},            /* beyond the header */
        {{2, 4, 1, 0, 3, 2, 0, 0, 4, 2, 1, 1}, 12, FS_TCP_OPT_MSS}, /* a good one behind the bad one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fs_tcp tcp;
        parse(&tcp, cases[i].options, cases[i].length, 20u + cases[i].length);
        assert_int_equal(tcp.options, cases[i].seen | FS_TCP_OPT_MALFORMED);
    }
}

static void test_other_options(void **state) {
    (void)state;
    static const uint8_t cookie[12] = {34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1};
    static const uint8_t unknown[8] = {254, 4, 9, 9, 2, 4, 1, 0};
    struct fs_tcp tcp;
    parse(&tcp, cookie, 12, 32);
    assert_int_equal(tcp.options, FS_TCP_OPT_FAST_OPEN);
    parse(&tcp, unknown, 8, 28);
    assert_int_equal(tcp.options, FS_TCP_OPT_MSS);
    assert_int_equal(tcp.mss, 256);
}

/* A second list of blocks does not write beyond the array. */
static void test_sack_twice(void **state) {
    (void)state;
    uint8_t options[40];
    memset(options, 1, sizeof options);
    for (size_t at = 0; at < 36; at += 18) {
        options[at] = 5;
        options[at + 1] = 18;
    }
    struct fs_tcp tcp;
    parse(&tcp, options, 40, 60);
    assert_int_equal(tcp.sack_count, FS_SACK_MAX);
    assert_int_equal(tcp.options, FS_TCP_OPT_SACK);
}

/* The payload is no option, though an option's length may lie in it. */
static void test_payload_is_not_read(void **state) {
    (void)state;
    uint8_t bytes[40] = {0};
    static const uint8_t options[8] = {1, 1, 1, 3, 3, 7, 0, 0};
    bytes[12] = 6 << 4;
    memcpy(bytes + 20, options, sizeof options);
    struct fs_tcp tcp;
    assert_int_equal(fs_tcp_parse(&tcp, bytes, sizeof bytes), 24);
    assert_int_equal(tcp.options, FS_TCP_OPT_MALFORMED);
    assert_int_equal(tcp.window_scale, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_header),
        cmocka_unit_test(test_syn_options),
        cmocka_unit_test(test_padded_timestamp),
        cmocka_unit_test(test_sack_blocks),
        cmocka_unit_test(test_scale_is_capped),
        cmocka_unit_test(test_broken_options_are_marked),
        cmocka_unit_test(test_cut_options_are_marked_and_not_read),
        cmocka_unit_test(test_end_of_options),
        cmocka_unit_test(test_short_data_offset),
        cmocka_unit_test(test_all_flags),
        cmocka_unit_test(test_timestamp_anywhere),
        cmocka_unit_test(test_what_malformed_options_leave),
        cmocka_unit_test(test_other_options),
        cmocka_unit_test(test_sack_twice),
        cmocka_unit_test(test_payload_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
