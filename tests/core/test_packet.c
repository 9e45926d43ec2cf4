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
    assert_int_equal(tcp.options, FS_TCP_OPT_MSS | FS_TCP_OPT_SACK_PERMITTED | FS_TCP_OPT_TIMESTAMP |
                                      FS_TCP_OPT_WINDOW_SCALE);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
