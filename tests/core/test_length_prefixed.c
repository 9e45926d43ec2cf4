/* SPDX-License-Identifier: MIT */
/* Length-prefixed messages: what is told of them, however they are cut; gaps, ends, caps, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "flowscope/length_prefixed.h"

#include <stdio.h>
#include <string.h>

static struct run {
    struct counting_allocator counting;
    struct fs_parser_host host;
    void *parser;
    enum fs_parse_result result;
    char log[4096]; /* "side:length=kept" each, with "-missing" and "!" if incomplete */
} run;

static const struct fs_parser *const table = &fs_parser_length_prefixed_2;

static void on_message(const struct fs_message *message, void *user) {
    assert_ptr_equal(user, &run);
    const struct fs_length_prefixed_message *detail = message->detail;
    assert_int_equal(message->kind, FS_MESSAGE_NOTICE);
    assert_int_equal(message->protocol, FS_SESSION_LENGTH_PREFIXED);
    assert_int_equal(message->exchange, 0);
    assert_int_equal(message->request_ns, FS_NO_TIME);
    size_t used = strlen(run.log);
    snprintf(run.log + used, sizeof(run.log) - used, "%s%u:%u=%.*s", used > 0 ? " " : "", message->side,
             (unsigned)detail->length, (int)detail->kept, (const char *)detail->body);
    used = strlen(run.log);
    snprintf(run.log + used, sizeof(run.log) - used, "%s%s@%u-%u", message->incomplete ? "!" : "",
             detail->missing == 1   ? "-1"
             : detail->missing == 3 ? "-3"
             : detail->missing > 0  ? "-n"
                                    : "",
             message->start_frame, message->end_frame);
}

static void prepare(void) {
    memset(&run, 0, sizeof(run));
    run.host.allocator = counting_allocator_init(&run.counting);
    run.host.on_message = on_message;
    run.host.user = &run;
}

static void start(unsigned width, uint32_t keep, uint32_t largest) {
    prepare();
    const struct fs_length_prefixed_config config = {keep, largest};
    run.parser = fs_length_prefixed_create(&config, width, &run.host);
    assert_non_null(run.parser);
}

static void feed(uint8_t side, const void *data, size_t length, uint32_t frame) {
    struct fs_chunk chunk = {.data = data, .length = length, .time_ns = frame, .frame = frame, .side = side};
    run.result = table->feed(run.parser, &chunk);
}

static void finish(const char *log) {
    table->end(run.parser, false, 9, 9);
    table->destroy(run.parser);
    assert_int_equal(run.counting.live, 0);
    assert_false(run.counting.wrong_size);
    assert_string_equal(run.log, log);
}

static void widths(void **state) {
    (void)state;
    start(1, 10, 1000);
    feed(0, "\3abc\0\1x", 7, 1);
    finish("0:3=abc@1-1 0:0=@1-1 0:1=x@1-1");
    start(2, 10, 1000);
    feed(1, "\0\3abc\1\0", 7, 1);
    finish("1:3=abc@1-1 1:256=!-n@1-1");
    start(4, 10, 1000);
    feed(0, "\0\0\0\3abc\0", 8, 1);
    finish("0:3=abc@1-1");
    prepare();
    assert_null(fs_length_prefixed_create(NULL, 3, &run.host));
    assert_null(fs_length_prefixed_create(NULL, 0, &run.host));
    const struct fs_parser *const tables[] = {&fs_parser_length_prefixed_1, &fs_parser_length_prefixed_2,
                                              &fs_parser_length_prefixed_4};
    for (unsigned i = 0; i < 3; i++) {
        static const char bytes[] = "\0\0\0\1abcd";
        prepare();
        run.parser = tables[i]->create(&run.host);
        feed(0, bytes + 4 - (1u << i), (1u << i) + 1, 1);
        finish("0:1=a@1-1");
        struct fs_chunk chunk = {.data = (const uint8_t *)"\xff\xff\xff\xff", .length = 4};
        assert_int_equal(tables[i]->probe(&chunk), i == 2 ? FS_PROBE_NO : FS_PROBE_YES);
        chunk.length = (1u << i) - 1;
        assert_int_equal(tables[i]->probe(&chunk), FS_PROBE_MORE);
        chunk.data = NULL;
        assert_int_equal(tables[i]->probe(&chunk), FS_PROBE_NO);
    }
}

static void cuts_change_nothing(void **state) {
    (void)state;
    static const char bytes[] = "\0\5hello\0\0\0\1x\0\x0elonger than ten";
    for (size_t first = 0; first < sizeof(bytes); first++) {
        for (size_t piece = 1; piece < sizeof(bytes); piece++) {
            start(2, 10, 1000);
            feed(0, bytes, first, 1);
            for (size_t at = first; at < sizeof(bytes) - 1; at += piece) {
                feed(0, bytes + at, sizeof(bytes) - 1 - at < piece ? sizeof(bytes) - 1 - at : piece, 1);
            }
            finish("0:5=hello@1-1 0:0=@1-1 0:1=x@1-1 0:14=longer tha@1-1");
        }
    }
}

static void gap(uint8_t side, uint64_t length, uint32_t frame) {
    struct fs_chunk chunk = {.length = length, .time_ns = frame, .frame = frame, .side = side};
    run.result = table->feed(run.parser, &chunk);
}

static void gaps(void **state) {
    (void)state;
    start(2, 10, 1000);
    feed(0, "\0\7abc", 5, 1);
    gap(0, 3, 2);
    feed(0, "g\0\1x\0\4a", 7, 3);
    gap(0, 3, 4);
    feed(0, "\0\1y\0", 4, 5);
    assert_int_equal(run.result, FS_PARSE_MORE);
    gap(0, 1, 6);
    feed(0, "\0\1z", 3, 7);
    feed(1, "\0\4z", 3, 8);
    assert_int_equal(run.result, FS_PARSE_MORE);
    gap(1, 4, 9);
    assert_int_equal(run.result, FS_PARSE_POISONED);
    finish("0:7=abc!-3@1-3 0:1=x@3-3 0:4=a!-3@3-4 0:1=y@5-5 1:4=z!-3@8-8");
}

static void ends(void **state) {
    (void)state;
    start(2, 10, 1000);
    feed(0, "\0\2a", 3, 1);
    assert_int_equal(table->fin(run.parser, FS_INITIATOR, 2, 2), FS_PARSE_MORE);
    feed(1, "\0\2", 2, 3);
    assert_int_equal(table->fin(run.parser, FS_RESPONDER, 4, 4), FS_PARSE_DONE);
    finish("0:2=a!-1@1-1 1:2=!-n@3-3");
    start(2, 10, 1000);
    feed(0, "\3\xe8", 2, 1);
    assert_int_equal(run.result, FS_PARSE_MORE);
    feed(1, "\3\xe9x", 3, 1);
    assert_int_equal(run.result, FS_PARSE_POISONED);
    finish("");
}

static void memory(void **state) {
    (void)state;
    prepare();
    run.counting.fail_at = 1;
    assert_null(table->create(&run.host));
    for (uint64_t n = 2; n < 5; n++) {
        start(2, 10, 1000);
        run.counting.fail_at = n;
        feed(0, "\0\3a", 3, 1);
        feed(0, "bc\0\3d", 5, 1);
        feed(0, "ef", 2, 1);
        feed(1, "\3\xe8", 2, 1);
        feed(1, "x", 1, 1);
        assert_true(run.counting.bytes <= 1024);
        finish(n == 2   ? "0:3=@1-1 0:3=def@1-1 1:1000=x!-n@1-1"
               : n == 3 ? "0:3=abc@1-1 0:3=@1-1 1:1000=x!-n@1-1"
                        : "0:3=abc@1-1 0:3=def@1-1 1:1000=!-n@1-1");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths), cmocka_unit_test(cuts_change_nothing), cmocka_unit_test(gaps), cmocka_unit_test(ends),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
