/* SPDX-License-Identifier: MIT */
/* The rules of docs/sessions-http.md: conversations and what must be said of them; then details, caps and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http_run run;

static void start(void) {
    http_run_prepare(&run);
    assert_true(http_run_create(&run));
}

static void client(const char *text) {
    http_run_feed(&run, FS_INITIATOR, text, strlen(text), 1);
}

static void server(const char *text) {
    http_run_feed(&run, FS_RESPONDER, text, strlen(text), 2);
}

static void expect(const char *log) {
    http_run_finish(&run);
    assert_string_equal(run.log, log);
}

/* `text`, `times` times over. */
static char *repeat(const char *text, size_t times) {
    size_t length = strlen(text);
    char *all = malloc(length * times + 1);
    assert_non_null(all);
    for (size_t i = 0; i < times; i++) {
        memcpy(all + i * length, text, length);
    }
    all[length * times] = '\0';
    return all;
}

static void client_repeat(const char *text, size_t times) {
    char *all = repeat(text, times);
    client(all);
    free(all);
}

static void conversations_are_told(void **state) {
    (void)state;
    int failures = 0;
    for (size_t i = 0; i < conversation_count; i++) {
        http_run_prepare(&run);
        assert_true(http_run_create(&run));
        http_run_conversation(&run, &conversations[i], NULL, NULL);
        if (strcmp(run.log, conversations[i].expected) != 0) {
            printf("%s: expected\n%sgot\n%s\n", conversations[i].name, conversations[i].expected, run.log);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

static void all_of_a_message_is_told(void **state) {
    (void)state;
    start();
    run.is_full = true;
    static const char request[] = "POST /a?b HTTP/1.1\r\nHost: h\r\nUSER-AGENT: u v\r\nreferer: r\r\nUpgrade: z\r\n"
                                  "Content-Type: t/x\r\nContent-Length: 4\r\n\r\n";
    static const char response[] = "HTTP/1.0 302 Found it\r\nServer: s\r\nLocation: l\r\nContent-Type: q\r\n"
                                   "Transfer-Encoding: chunked\r\nHost: not\r\n\r\n";
    http_run_feed(&run, 0, request, 10, 5);
    http_run_feed(&run, 0, request + 10, sizeof(request) - 11, 6);
    http_run_feed(&run, 0, "bo", 2, 7);
    http_run_feed(&run, 0, "dy", 2, 8);
    http_run_feed(&run, 1, response, sizeof(response) - 1, 9);
    http_run_feed(&run, 1, "1\r\nx\r\n0\r\nTrailer: 1\r\n\r\n", 22 + 1, 10);
    expect("> 1 POST /a?b +4 'h' '' 't/x' 'z' 'r' '' 'u v' '' '' v1.1 side=0 length=4 headers=6,110 bytes=114 at=5-8 "
           "frames=5-8 asked=18446744073709551615-18446744073709551615,0\n"
           "< 1 302 +1 (POST /a?b) chunked te-in-1.0 'h' 'Found it' 'q' '' 'r' 'chunked' 'u v' 's' 'l' v1.0 side=1 "
           "length=18446744073709551615 headers=6,119 bytes=128 at=9-10 frames=9-10 asked=5-8,5\n");
}

static void texts_are_cut_at_their_caps(void **state) {
    (void)state;
    start();
    char *path = repeat("x", 3000);
    client("GET /");
    client(path);
    client(" HTTP/1.1\r\nHost: ");
    client_repeat("h", 300);
    client("\r\nReferer: ");
    client(path);
    client("\r\nUser-Agent: ");
    client(path);
    client("\r\n\r\n");
    server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLocation: ");
    server(path);
    server("\r\n\r\n");
    http_run_finish(&run);
    assert_non_null(strstr(run.log, " text-truncated\n<"));
    assert_int_equal(strchr(run.log, '\n') - run.log, strlen("> 1 GET  text-truncated") + FS_HTTP_TARGET_MAX);
    free(path);
}

static void long_lines_are_counted(void **state) {
    (void)state;
    start();
    client("GET /");
    client_repeat("x", 100000);
    client(" HTTP/1.1\r\nContent-Length: 1\r\nCookie: ");
    client_repeat("y", 100000);
    client("\r\nHost: too-late\r\nContent-Length: 1\r\n\r\nb");
    client("GET /next HTTP/1.1\r\n\r\n");
    http_run_finish(&run);
    assert_non_null(
        strstr(run.log, " +1 text-truncated line-truncated headers-truncated cl-repeated\n> 2 GET /next\n"));
}

static void header_blocks_have_no_end(void **state) {
    (void)state;
    start();
    client("GET / HTTP/1.1\r\n");
    for (int i = 0; i < 200; i++) {
        client_repeat("Name: value\r\n", 1000);
    }
    assert_true(run.counting.bytes < 8192);
    client("Host: late\r\n\r\n");
    expect("> 1 GET / headers-truncated\n? 1 GET /\n");
}

static void requests_past_the_cap_are_counted(void **state) {
    (void)state;
    start();
    client_repeat(
        "GET /0123456789 HTTP/1.1\r\nHost: 0123456789012345678901234567890123456789012345678901234567\r\n\r\n",
        FS_HTTP_REQUESTS_MAX + 3);
    run.used = 0;
    for (int i = 0; i < FS_HTTP_REQUESTS_MAX; i++) {
        server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    run.used = 0;
    server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client("GET /x HTTP/1.1\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    client("GET /y HTTP/1.1\r\n\r\n");
    server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect("< 1025 200 request-forgotten\n> 1028 GET /x request-forgotten\n< 1026 200 request-forgotten\n"
           "< 1027 200 request-forgotten\n< 1028 200 request-forgotten\n> 1029 GET /y\n< 1029 200 (GET /y)\n");
}

static void results(void **state) {
    (void)state;
    start();
    client("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n");
    assert_int_equal(run.result, FS_PARSE_MORE);
    server("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_int_equal(run.result, FS_PARSE_DONE);
    http_run_finish(&run);

    start();
    client("PRI * HTTP/2.0\r\n\r\n");
    assert_int_equal(run.result, FS_PARSE_POISONED);
    http_run_finish(&run);

    start();
    char *noise = repeat("\x01\x02\x03\x04\x05\x06\x07\n", 1024);
    for (int i = 0; i < FS_HTTP_SEARCH_MAX / 8192; i++) {
        http_run_feed(&run, (unsigned)i & 1, noise, 8192, 1);
    }
    assert_int_equal(run.result, FS_PARSE_MORE);
    client("x");
    assert_int_equal(run.result, FS_PARSE_POISONED);
    http_run_finish(&run);

    start(); /* one that is HTTP on one side is not poisoned */
    client("GET / HTTP/1.1\r\n\r\n");
    for (int i = 0; i <= 2 * FS_HTTP_SEARCH_MAX / 8192; i++) {
        http_run_feed(&run, FS_RESPONDER, noise, 8192, 1);
    }
    assert_int_equal(run.result, FS_PARSE_MORE);
    free(noise);
    expect("> 1 GET /\n? 1 GET /\n");

    start();
    http_run_fin(&run, FS_INITIATOR, 1);
    assert_int_equal(run.result, FS_PARSE_MORE);
    http_run_fin(&run, FS_RESPONDER, 1);
    assert_int_equal(run.result, FS_PARSE_DONE);
    http_run_finish(&run);
}

/* A start line that stands at the end of a long line of noise is found wherever the noise ends. */
static void long_noise(void **state) {
    (void)state;
    for (size_t noise = 3900; noise < 9000; noise += 7) {
        static const size_t pieces[] = {100, 1000, 4500, 10000};
        for (size_t i = 0; i < 4; i++) {
            size_t piece = pieces[i];
            char *all = repeat("\x01", noise + 100);
            size_t length = noise + (size_t)snprintf(all + noise, 100, "GET /a HTTP/1.1\r\n\r\n");
            start();
            for (size_t at = 0; at < length; at += piece) {
                http_run_feed(&run, 0, all + at, length - at < piece ? length - at : piece, 1);
            }
            free(all);
            expect("> 1 GET /a resynchronized\n? 1 GET /a\n");
        }
    }
}

/* Bytes of a body that could have been a status line end it when they came, not when its headers did. */
static void peeked_bodies_have_their_time(void **state) {
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    start();
    run.is_full = true;
    http_run_feed(&run, 1, head, sizeof(head) - 1, 5);
    http_run_feed(&run, 1, "HT", 2, 6);
    http_run_feed(&run, 1, "TP", 2, 7);
    http_run_finish(&run);
    assert_non_null(strstr(run.log, "< 0 200 +4 "));
    assert_non_null(strstr(run.log, " at=5-7 frames=5-7 "));
}

/* The store of a long request goes with its response, though the request itself is still under way. */
static void answered_early(void **state) {
    (void)state;
    start();
    client("PUT /");
    client_repeat("x", 600);
    client(" HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
    server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    uint64_t live = run.counting.live;
    client("ab");
    assert_true(run.counting.live <= live);
    run.used = 0;
    client("GET /b HTTP/1.1\r\n\r\n");
    server("HTTP/1.1 204 x\r\n\r\n");
    expect("> 2 GET /b\n< 2 204 (GET /b)\n");
}

static enum fs_probe_result probe(const char *text) {
    struct fs_chunk chunk = {.data = (const uint8_t *)text, .length = strlen(text)};
    return fs_parser_http.probe(&chunk);
}

static void probing(void **state) {
    (void)state;
    static const struct fs_chunk gap = {.length = 5};
    assert_int_equal(fs_parser_http.probe(&gap), FS_PROBE_NO);
    assert_int_equal(probe(""), FS_PROBE_MORE);
    assert_int_equal(probe("\r\n"), FS_PROBE_MORE);
    assert_int_equal(probe("GE"), FS_PROBE_MORE);
    assert_int_equal(probe("GET / HTTP/1.1\r\n"), FS_PROBE_YES);
    assert_int_equal(probe("\r\nGET / HTTP/1.1\n"), FS_PROBE_YES);
    assert_int_equal(probe("HTTP/1.1 200 OK\r\n"), FS_PROBE_YES);
    assert_int_equal(probe("HTTP/1.1 OK\r\n"), FS_PROBE_NO);
    assert_int_equal(probe("PRI * HTTP/2.0\r\n"), FS_PROBE_NO);
    assert_int_equal(probe("SSH-2.0-OpenSSH\r\n"), FS_PROBE_NO);
    assert_int_equal(probe("220 mail ESMTP\r\n"), FS_PROBE_NO);
    assert_int_equal(probe("INVITE sip:x SIP/2.0\r\n"), FS_PROBE_NO);
    assert_int_equal(probe("\x16\x03\x01"), FS_PROBE_NO);
    char *path = repeat("x", 2000);
    char *line = malloc(2100);
    assert_non_null(line);
    snprintf(line, 2100, "GET /%s", path);
    assert_int_equal(probe(line), FS_PROBE_YES);
    snprintf(line, 2100, "get /%s", path);
    assert_int_equal(probe(line), FS_PROBE_NO);
    free(line);
    free(path);
}

static void names(void **state) {
    (void)state;
    int count = 0;
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        bool is_known = strcmp(fs_http_flag_slug(bit), "unknown") != 0;
        assert_int_equal(is_known, strcmp(fs_http_flag_text(bit), "unknown") != 0);
        count += is_known;
    }
    assert_int_equal(count, FS_HTTP_FLAG_COUNT);
    assert_string_equal(fs_http_flag_slug(0), "unknown");
    assert_string_equal(fs_http_flag_slug(3), "unknown");
    assert_string_equal(fs_parser_http.name, "http");
    assert_int_equal(fs_parser_http.protocol, FS_SESSION_HTTP);
    assert_true(fs_parser_http.stream);
}

/* A gap that only the end of a flow tells of has no frame, and moves the end of no message. */
static void the_last_frame_is_one(void **state) {
    (void)state;
    static struct http_run end;
    http_run_prepare(&end);
    end.is_full = true;
    assert_true(http_run_create(&end));
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nabc";
    http_run_feed(&end, FS_RESPONDER, head, sizeof head - 1, 7);
    fs_parser_http.feed(end.parser,
                        &(struct fs_chunk){.length = 5, .offset = sizeof head - 1, .time_ns = 9, .side = FS_RESPONDER});
    http_run_finish(&end);
    assert_non_null(strstr(end.log, " at=7-7 frames=7-7 "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_frame_is_one),
        cmocka_unit_test(conversations_are_told),
        cmocka_unit_test(all_of_a_message_is_told),
        cmocka_unit_test(texts_are_cut_at_their_caps),
        cmocka_unit_test(long_lines_are_counted),
        cmocka_unit_test(header_blocks_have_no_end),
        cmocka_unit_test(requests_past_the_cap_are_counted),
        cmocka_unit_test(results),
        cmocka_unit_test(long_noise),
        cmocka_unit_test(answered_early),
        cmocka_unit_test(peeked_bodies_have_their_time),
        cmocka_unit_test(probing),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
