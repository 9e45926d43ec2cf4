/* SPDX-License-Identifier: MIT */
/* One line for people: what it says, and that nothing in it can hurt a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/length_prefixed.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MICROSECONDS(n) ((uint64_t)(n)*1000)

enum { SIZE = 2048 };

static const char *text_of(const struct fs_message *message) {
    static char text[SIZE];
    memset(text, 0x55, sizeof(text));
    size_t length = fs_message_text(message, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    return text;
}

static struct fs_http_text http_text(const char *text) {
    return (struct fs_http_text){(const uint8_t *)text, strlen(text)};
}

static struct fs_http_message http_of(const char *method, const char *host, const char *target) {
    struct fs_http_message http;
    memset(&http, 0, sizeof(http));
    http.method = http_text(method);
    http.host = http_text(host);
    http.target = http_text(target);
    http.content_type = http_text("");
    return http;
}

static struct fs_message message_of(unsigned protocol, unsigned kind, const void *detail) {
    return (struct fs_message){.protocol = (uint8_t)protocol,
                               .kind = (uint8_t)kind,
                               .start_ns = MICROSECONDS(12345),
                               .end_ns = MICROSECONDS(99999),
                               .request_ns = FS_NO_TIME,
                               .bytes = 1234,
                               .detail = detail};
}

static void test_http(void **state) {
    (void)state;
    struct fs_http_message http = http_of("GET", "example.org", "/index.html");
    struct fs_message message = message_of(FS_SESSION_HTTP, FS_MESSAGE_REQUEST, &http);
    assert_string_equal(text_of(&message), "GET example.org/index.html");
    message.incomplete = true;
    assert_string_equal(text_of(&message), "GET example.org/index.html incomplete");
    message.incomplete = false;
    message.kind = FS_MESSAGE_UNANSWERED;
    assert_string_equal(text_of(&message), "GET example.org/index.html unanswered");
    http.is_response = true;
    http.status = 200;
    http.body_bytes = 5000;
    http.content_type = http_text("text/html; charset=utf-8");
    message.kind = FS_MESSAGE_RESPONSE;
    message.request_ns = 0;
    assert_string_equal(text_of(&message), "GET example.org/index.html → 200 text/html 5 kB 12.3 ms");
    http.method = http.host = http.target = http.content_type = http_text("");
    http.body_bytes = 0;
    message.request_ns = FS_NO_TIME;
    assert_string_equal(text_of(&message), "→ 200");
    http.flags = FS_HTTP_0_9;
    assert_string_equal(text_of(&message), "→ HTTP/0.9");
}

static void test_http_targets(void **state) {
    (void)state;
    static const struct {
        const char *method, *host, *target, *expected;
    } cases[] = {{"GET", "proxy", "http://example.org/", "GET http://example.org/"},
                 {"CONNECT", "example.org", "example.org:443", "CONNECT example.org:443"},
                 {"OPTIONS", "example.org", "*", "OPTIONS example.org *"},
                 {"GET", "", "/x", "GET /x"},
                 {"GET", "h", "", "GET h"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fs_http_message http = http_of(cases[i].method, cases[i].host, cases[i].target);
        struct fs_message message = message_of(FS_SESSION_HTTP, FS_MESSAGE_REQUEST, &http);
        assert_string_equal(text_of(&message), cases[i].expected);
    }
}

static void test_quantities(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes, ns;
        const char *expected;
    } cases[] = {
        {999, 0, "→ 0 999 B 0 µs"},
        {1000, 999, "→ 0 1 kB 0 µs"},
        {1049, 999999, "→ 0 1 kB 999 µs"},
        {1100, 1000000, "→ 0 1.1 kB 1 ms"},
        {9999, 9999900000, "→ 0 9.9 kB 9999.9 ms"},
        {10000, 10000000000, "→ 0 10 kB 10 s"},
        {999999, 61500000000, "→ 0 999 kB 61.5 s"},
        {1500000, 1, "→ 0 1.5 MB 0 µs"},
        {UINT64_MAX, UINT64_MAX - 1, "→ 0 18 EB 18446744073.7 s"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fs_http_message http = http_of("", "", "");
        struct fs_message message = message_of(FS_SESSION_HTTP, FS_MESSAGE_RESPONSE, &http);
        http.is_response = true;
        http.body_bytes = cases[i].bytes;
        message.request_ns = 0;
        message.start_ns = cases[i].ns;
        assert_string_equal(text_of(&message), cases[i].expected);
    }
}

static void test_time(void **state) {
    (void)state;
    struct fs_message message = message_of(FS_SESSION_USER, FS_MESSAGE_RESPONSE, NULL);
    assert_true(fs_message_time_ns(&message) == FS_NO_TIME);
    message.request_ns = MICROSECONDS(345);
    assert_int_equal(fs_message_time_ns(&message), MICROSECONDS(12000));
    message.request_ns = MICROSECONDS(99999);
    assert_int_equal(fs_message_time_ns(&message), 0);
    message.kind = FS_MESSAGE_UNANSWERED;
    assert_true(fs_message_time_ns(&message) == FS_NO_TIME);
}

static struct fs_tls_bytes tls_bytes(const char *text) {
    return (struct fs_tls_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void test_tls(void **state) {
    (void)state;
    struct fs_tls_message tls;
    memset(&tls, 0, sizeof(tls));
    struct fs_message message = message_of(FS_SESSION_TLS, FS_MESSAGE_REQUEST, &tls);
    tls.type = FS_TLS_CLIENT_HELLO;
    assert_string_equal(text_of(&message), "TLS");
    tls.version = 0x0304;
    tls.client.server_name = tls_bytes("example.org");
    tls.client.alpn[0] = tls_bytes("h2");
    tls.client.alpn[1] = tls_bytes("http/1.1");
    tls.client.alpn_count = 2;
    assert_string_equal(text_of(&message), "TLS 1.3 SNI=example.org ALPN=h2,http/1.1");
    tls.type = FS_TLS_SERVER_HELLO;
    message.kind = FS_MESSAGE_RESPONSE;
    message.request_ns = MICROSECONDS(345);
    assert_string_equal(text_of(&message), "TLS 1.3 SNI=example.org → ServerHello 12 ms");
    tls.alpn = tls_bytes("h2");
    assert_string_equal(text_of(&message), "TLS 1.3 SNI=example.org ALPN=h2 → ServerHello 12 ms");
    tls.type = FS_TLS_HELLO_RETRY_REQUEST;
    tls.alpn = (struct fs_tls_bytes){NULL, 0};
    assert_string_equal(text_of(&message), "TLS 1.3 SNI=example.org → HelloRetryRequest 12 ms");
    message.kind = FS_MESSAGE_NOTICE;
    tls.type = FS_TLS_ALERT;
    tls.alert_level = 2;
    tls.alert = 40;
    assert_string_equal(text_of(&message), "TLS alert fatal handshake_failure");
    tls.alert_level = 1;
    tls.alert = 0;
    assert_string_equal(text_of(&message), "TLS alert warning close_notify");
    tls.alert_level = 7;
    tls.alert = 200;
    assert_string_equal(text_of(&message), "TLS alert 200");
    assert_string_equal(fs_tls_alert_name(120), "no_application_protocol");
    assert_string_equal(fs_tls_alert_name(1000), "unknown");
}

static void test_dns(void **state) {
    (void)state;
    static const uint8_t address[] = {93, 184, 216, 34};
    struct fs_dns_record records[] = {
        {.name = "example.org", .text = "", .type = FS_DNS_A, .rr_class = 1, .section = FS_DNS_QUESTION},
        {.name = "example.org",
         .text = "93.184.216.34",
         .data = address,
         .data_length = 4,
         .type = FS_DNS_A,
         .rr_class = 1,
         .section = FS_DNS_ANSWER}};
    struct fs_dns_message dns = {.flags = FS_DNS_RD, .name = "example.org", .type = FS_DNS_A, .query_class = 1};
    dns.records = records;
    dns.record_count = 1;
    dns.records_read = 1;
    dns.counts[0] = 1;
    struct fs_message message = message_of(FS_SESSION_DNS, FS_MESSAGE_REQUEST, &dns);
    assert_string_equal(text_of(&message), "A example.org");
    dns.marks = FS_DNS_RETRY;
    assert_string_equal(text_of(&message), "A example.org retry");
    dns.marks = 0;
    message.kind = FS_MESSAGE_UNANSWERED;
    assert_string_equal(text_of(&message), "A example.org unanswered");
    message.kind = FS_MESSAGE_RESPONSE;
    message.request_ns = MICROSECONDS(4245);
    dns.flags |= FS_DNS_QR;
    dns.record_count = 2;
    dns.counts[1] = 1;
    dns.records_read = 2;
    assert_string_equal(text_of(&message), "A example.org → 93.184.216.34 8.1 ms");
    message.kind = FS_MESSAGE_NOTICE; /* mDNS: no question */
    dns.name = "";
    dns.type = 0;
    dns.counts[0] = 0;
    dns.records = records + 1;
    dns.record_count = 1;
    dns.records_read = 1;
    assert_string_equal(text_of(&message), "A example.org → 93.184.216.34");
    message.kind = FS_MESSAGE_REQUEST;
    dns.flags = 0;
    dns.name = "a\\.b\\229"; /* has its own way of saying it */
    dns.type = 4711;
    dns.opcode = 5;
    assert_string_equal(text_of(&message), "update TYPE4711 a\\.b\\229");
    dns.name = "";
    dns.type = dns.opcode = 0;
    dns.record_count = 0;
    assert_string_equal(text_of(&message), "DNS");
}

static void test_others(void **state) {
    (void)state;
    struct fs_length_prefixed_message detail = {(const uint8_t *)"\x1b", 1, 1, 0};
    struct fs_message message = message_of(FS_SESSION_LENGTH_PREFIXED, FS_MESSAGE_NOTICE, &detail);
    assert_string_equal(text_of(&message), "length-prefixed 1.2 kB");
    message.protocol = 200;
    message.kind = FS_MESSAGE_REQUEST;
    assert_string_equal(text_of(&message), "user 200 request 1.2 kB");
    message.kind = FS_MESSAGE_UNANSWERED;
    assert_string_equal(text_of(&message), "user 200 1.2 kB unanswered");
    message.protocol = FS_SESSION_HTTP; /* nothing known of it */
    message.detail = NULL;
    assert_string_equal(text_of(&message), "http 1.2 kB unanswered");
}

/* ---- what others wrote ---- */

static const char *shown(const char *target) {
    struct fs_http_message http = http_of("", "", target);
    struct fs_message message = message_of(FS_SESSION_HTTP, FS_MESSAGE_REQUEST, &http);
    return text_of(&message);
}

static void test_foreign_text_is_made_harmless(void **state) {
    (void)state;
    assert_string_equal(shown("/\x1b[31m\x07\r\n\t\x7f"), "/\\x1b[31m\\x07\\x0d\\x0a\\x09\\x7f");
    assert_string_equal(shown("/a\\x1b"), "/a\\x5cx1b"); /* what looks like an escape is not one */
    assert_string_equal(shown("/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "/é€😀");
    assert_string_equal(shown("/\xff\xc3"), "/\\xff\\xc3");
    assert_string_equal(shown("/\xc0\xaf\xe0\x80\xaf\xed\xa0\x80"), "/\\xc0\\xaf\\xe0\\x80\\xaf\\xed\\xa0\\x80");
    assert_string_equal(shown("/\xf4\x90\x80\x80"), "/\\xf4\\x90\\x80\\x80");
    assert_string_equal(shown("/\xc2\x9b"
                              "31m"),
                        "/\\xc2\\x9b31m"); /* C1: a terminal's CSI */
    assert_string_equal(shown("/\xe2\x80\xae"
                              "gpj.exe"),
                        "/\\xe2\\x80\\xaegpj.exe"); /* right to left */
    assert_string_equal(shown("/\xe2\x81\xa6\xe2\x81\xa9\xd8\x9c"), "/\\xe2\\x81\\xa6\\xe2\\x81\\xa9\\xd8\\x9c");
    assert_string_equal(shown("/\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8"),
                        "/\\xe2\\x80\\x8b\\xef\\xbb\\xbf\\xe2\\x80\\xa8");
    assert_string_equal(shown("/\xf3\xa0\x81\x81\xef\xbf\xbf"), "/\\xf3\\xa0\\x81\\x81\\xef\\xbf\\xbf");
}

static void test_each_text_is_bounded(void **state) {
    (void)state;
    char target[1000];
    memset(target, 'x', sizeof(target) - 1);
    target[0] = '/';
    target[sizeof(target) - 1] = '\0';
    const char *text = shown(target);
    assert_int_equal(strlen(text), FS_MESSAGE_TEXT_SHOWN + strlen("…"));
    assert_string_equal(text + FS_MESSAGE_TEXT_SHOWN, "…");
}

static size_t utf8_units(const char *text) {
    size_t units = 0;
    for (; *text != '\0'; text++) {
        units += ((uint8_t)*text & 0xc0) != 0x80;
    }
    return units;
}

/* At any size: terminated, no half characters or escapes, and a beginning of the whole with "…" if it is not all. */
static void test_every_size(void **state) {
    (void)state;
    struct fs_http_message http = http_of("GET", "ex\xc3\xa4mple.org", "/\x1b\xe2\x82\xac\xf0\x9f\x98\x80");
    struct fs_message message = message_of(FS_SESSION_HTTP, FS_MESSAGE_RESPONSE, &http);
    http.is_response = true;
    http.status = 200;
    message.request_ns = 0;
    char whole[SIZE];
    size_t full = fs_message_text(&message, whole, sizeof(whole));
    for (size_t size = 1; size <= full + 1; size++) {
        char *text = malloc(size); /* so that a sanitizer sees the end */
        size_t length = fs_message_text(&message, text, size);
        assert_true(length < size);
        assert_int_equal(strlen(text), length);
        if (size == full + 1) {
            assert_string_equal(text, whole);
        } else if (length != 0) {
            assert_true(length >= 3 && memcmp(text + length - 3, "…", 3) == 0);
            assert_memory_equal(text, whole, length - 3);
            assert_true(((uint8_t)whole[length - 3] & 0xc0) != 0x80);
            assert_true(size - length <= 4); /* uses the room, but for a unit */
        } else {
            assert_true(size < 4);
        }
        assert_true(utf8_units(text) <= length);
        free(text);
    }
}

/* Random bytes never come through as anything but plain text. */
static void test_random_bytes(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char target[40];
        for (size_t i = 0; i < sizeof(target); i++) {
            random = random * 1664525 + 1013904223;
            target[i] = (char)(random >> 24 | 1);
            if (random >> 20 & 1) {
                target[i] = "\xe2\x80\xae\xc2\x9b\xf3\xa0\x81"[random >> 16 & 7];
            }
        }
        target[sizeof(target) - 1] = '\0';
        const char *text = shown(target);
        assert_null(strstr(text, "\xe2\x80\xae"));
        assert_null(strstr(text, "\xf3\xa0\x81"));
        for (; *text != '\0'; text++) {
            assert_true((uint8_t)*text >= 0x20 && *text != 0x7f);
            assert_false((uint8_t)text[0] == 0xc2 && (uint8_t)text[1] < 0xa0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_http_targets),
        cmocka_unit_test(test_quantities),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_foreign_text_is_made_harmless),
        cmocka_unit_test(test_each_text_is_bounded),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
