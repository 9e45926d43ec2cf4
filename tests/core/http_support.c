/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the log ---- */

static void put(struct http_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct http_run *run, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    /* clang-tidy 14 does not see va_start here. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    int n = vsnprintf(run->log + run->used, LOG_BYTES - run->used, format, arguments);
    va_end(arguments);
    run->used += n > 0 ? (size_t)n : 0;
    if (run->used >= LOG_BYTES) {
        run->used = LOG_BYTES - 1;
    }
}

static void put_text(struct http_run *run, struct fs_http_text text) {
    assert_non_null(text.data);
    assert_true(text.length <= FS_HTTP_TARGET_MAX);
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        put(run, c < 0x20 || c > 0x7e ? "\\x%02x" : "%c", c);
    }
}

static void put_flags(struct http_run *run, uint32_t flags) {
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        if (flags & bit) {
            put(run, " %s", fs_http_flag_slug(bit));
        }
    }
}

static void put_all(struct http_run *run, const struct fs_message *message) {
    const struct fs_http_message *detail = message->detail;
    const struct fs_http_text texts[] = {detail->host,       detail->reason,  detail->content_type,
                                         detail->upgrade,    detail->referer, detail->transfer_coding,
                                         detail->user_agent, detail->server,  detail->location};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        put(run, " '");
        put_text(run, texts[i]);
        put(run, "'");
    }
    put(run,
        " v%u.%u side=%u length=%" PRIu64 " headers=%" PRIu32 ",%" PRIu64 " bytes=%" PRIu64 " at=%" PRIu64 "-%" PRIu64
        " frames=%" PRIu32 "-%" PRIu32 " asked=%" PRIu64 "-%" PRIu64 ",%" PRIu32,
        detail->version_major, detail->version_minor, message->side, detail->content_length, detail->header_count,
        detail->header_bytes, message->bytes, message->start_ns, message->end_ns, message->start_frame,
        message->end_frame, message->request_ns, detail->request_end_ns, message->request_frame);
}

static void on_message(const struct fs_message *message, void *user) {
    struct http_run *run = user;
    const struct fs_http_message *detail = message->detail;
    assert_int_equal(message->protocol, FS_SESSION_HTTP);
    assert_true(message->start_ns <= message->end_ns);
    assert_true(detail->body_missing <= detail->body_bytes);
    assert_true(detail->is_response == (message->kind == FS_MESSAGE_RESPONSE));
    run->messages++;
    put(run, "%c %" PRIu64 " ",
        detail->is_response                   ? '<'
        : message->kind == FS_MESSAGE_REQUEST ? '>'
                                              : '?',
        message->exchange);
    if (detail->is_response) {
        put(run, "%u", detail->status);
    } else {
        put_text(run, detail->method);
        put(run, " ");
        put_text(run, detail->target);
    }
    if (detail->body_bytes > 0) {
        put(run, " +%" PRIu64, detail->body_bytes);
    }
    if (detail->is_response && detail->method.length > 0) {
        put(run, " (");
        put_text(run, detail->method);
        put(run, " ");
        put_text(run, detail->target);
        put(run, ")");
    }
    if (message->incomplete) {
        put(run, " cut");
    }
    if (detail->body_missing > 0) {
        put(run, " hole=%" PRIu64, detail->body_missing);
    }
    put_flags(run, detail->flags);
    if (run->is_full) {
        put_all(run, message);
    }
    put(run, "\n");
}

/* ---- a run ---- */

void http_run_prepare(struct http_run *run) {
    memset(run, 0, offsetof(struct http_run, log));
    run->log[0] = '\0';
    counting_allocator_init(&run->counting);
}

static void *watched_alloc(size_t size, void *user) {
    struct http_run *run = user;
    struct counting_allocator copy = run->counting;
    struct fs_allocator functions = counting_allocator_init(&run->counting);
    run->counting = copy;
    void *pointer = functions.alloc(size, functions.user);
    run->peak = run->counting.bytes > run->peak ? run->counting.bytes : run->peak;
    return pointer;
}

static void watched_release(void *pointer, size_t size, void *user) {
    struct http_run *run = user;
    struct counting_allocator copy = run->counting;
    struct fs_allocator functions = counting_allocator_init(&run->counting);
    run->counting = copy;
    functions.release(pointer, size, functions.user);
}

bool http_run_create(struct http_run *run) {
    const struct fs_parser_host host = {{watched_alloc, watched_release, run}, on_message, run};
    run->parser = fs_parser_http.create(&host);
    return run->parser != NULL;
}

static void feed(struct http_run *run, const struct fs_chunk *chunk) {
    if (run->result == FS_PARSE_MORE) {
        run->result = fs_parser_http.feed(run->parser, chunk);
    }
}

void http_run_feed(struct http_run *run, unsigned side, const void *data, size_t length, uint64_t time) {
    uint8_t *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, data, length);
    struct fs_chunk chunk = {.data = copy,
                             .length = length,
                             .offset = run->offset[side],
                             .time_ns = time,
                             .frame = (uint32_t)time,
                             .side = (uint8_t)side};
    run->offset[side] += length;
    feed(run, &chunk);
    memset(copy, 0xa5, length);
    free(copy);
}

void http_run_gap(struct http_run *run, unsigned side, uint64_t length, uint64_t time) {
    struct fs_chunk chunk = {
        .length = length, .offset = run->offset[side], .time_ns = time, .frame = (uint32_t)time, .side = (uint8_t)side};
    run->offset[side] += length;
    feed(run, &chunk);
}

void http_run_fin(struct http_run *run, unsigned side, uint64_t time) {
    if (run->result == FS_PARSE_MORE) {
        run->result = fs_parser_http.fin(run->parser, side, time, (uint32_t)time);
    }
}

void http_run_finish(struct http_run *run) {
    if (run->result == FS_PARSE_MORE) {
        fs_parser_http.end(run->parser, false, UINT32_MAX, 0);
    }
    fs_parser_http.destroy(run->parser);
    assert_int_equal(run->counting.live, 0);
    assert_int_equal(run->counting.bytes, 0);
    assert_false(run->counting.wrong_size);
    assert_true(run->peak <= FS_HTTP_MEMORY_MAX);
}

void http_run_conversation(struct http_run *run, const struct conversation *conversation,
                           size_t (*next_piece)(void *state), void *state) {
    uint64_t time = 1;
    for (const struct step *step = conversation->steps; step->kind != STEP_NONE; step++, time++) {
        if (step->kind == STEP_GAP) {
            http_run_gap(run, step->side, step->length, time);
        } else if (step->kind == STEP_FIN) {
            http_run_fin(run, step->side, time);
        }
        for (size_t at = 0; step->kind == STEP_DATA && at < step->length;) {
            size_t piece = next_piece ? next_piece(state) : step->length;
            piece = piece < step->length - at ? piece : step->length - at;
            http_run_feed(run, step->side, step->data + at, piece, time);
            at += piece;
        }
    }
    http_run_finish(run);
}

/* ---- conversations ---- */

#define S FS_RESPONDER
#define C FS_INITIATOR
#define E "\r\n"

const struct conversation conversations[] = {
    {"simple (RFC 9110, 1.3)",
     {CLIENT("GET /hello.txt HTTP/1.1" E "User-Agent: curl/7.64.1" E "Host: www.example.com" E E),
      SERVER("HTTP/1.1 200 OK" E "Server: Apache" E "Content-Length: 5" E "Content-Type: text/plain" E E "hello")},
     "> 1 GET /hello.txt\n< 1 200 +5 (GET /hello.txt)\n"},
    {"persistent, bodies both ways",
     {CLIENT("POST /a HTTP/1.1" E "Host: x" E "Content-Length: 3" E E "abc"),
      SERVER("HTTP/1.1 201 Created" E "Location: /b" E "Content-Length: 0" E E),
      CLIENT("GET /b HTTP/1.1" E "Host: x" E "Referer: /a" E E),
      SERVER("HTTP/1.1 200 OK" E "Content-Length: 2" E E "ok")},
     "> 1 POST /a +3\n< 1 201 (POST /a)\n> 2 GET /b\n< 2 200 +2 (GET /b)\n"},
    {"pipelined",
     {CLIENT("GET /1 HTTP/1.1" E "Host: x" E E "HEAD /2 HTTP/1.1" E "Host: x" E E "GET /3 HTTP/1.1" E "Host: x" E E),
      SERVER("HTTP/1.1 200 OK" E "Content-Length: 1" E E "1"
             "HTTP/1.1 200 OK" E "Content-Length: 9" E E "HTTP/1.1 404 Not Found" E "Content-Length: 1" E E "3")},
     "> 1 GET /1\n> 2 HEAD /2\n> 3 GET /3\n< 1 200 +1 (GET /1)\n< 2 200 (HEAD /2)\n< 3 404 +1 (GET /3)\n"},
    {"chunks, extension, trailer (RFC 9112, 7.1)",
     {CLIENT("GET / HTTP/1.1" E "Host: x" E E),
      SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: gzip, chunked" E E "4;a=\"b\"" E "Wiki" E "00005  " E "pedia" E
             "0" E "Expires: never" E E "HTTP/1.1 408 Request Timeout" E "Content-Length: 0" E E)},
     "> 1 GET /\n< 1 200 +9 (GET /) chunked chunk-extension\n< 0 408\n"},
    {"chunked request",
     {CLIENT("POST /up HTTP/1.1" E "Host: x" E "transfer-encoding: Chunked" E E "A" E "0123456789" E "0" E E
             "GET /next HTTP/1.1" E E),
      SERVER("HTTP/1.1 204 No Content" E "Content-Length: 7" E E "HTTP/1.1 304 Not Modified" E
             "Content-Length: 70" E E)},
     "> 1 POST /up +10 chunked\n> 2 GET /next\n< 1 204 (POST /up)\n< 2 304 (GET /next)\n"},
    {"until close",
     {CLIENT("GET / HTTP/1.0" E E), SERVER("HTTP/1.0 200 OK" E "Content-Type: text/html" E E "<html>"),
      SERVER("</html>"), FIN(S), FIN(C)},
     "> 1 GET /\n< 1 200 +13 (GET /) close-delimited\n"},
    {"until close, cut off",
     {CLIENT("GET / HTTP/1.0" E E), SERVER("HTTP/1.0 200 OK" E E "<html>")},
     "> 1 GET /\n< 1 200 +6 (GET /) cut close-delimited\n"},
    {"continue",
     {CLIENT("PUT /f HTTP/1.1" E "Host: x" E "Expect: 100-continue" E "Content-Length: 4" E E),
      SERVER("HTTP/1.1 100 Continue" E E), CLIENT("data"),
      SERVER("HTTP/1.1 103 Early Hints" E "Link: </s>" E E "HTTP/1.1 200 OK" E "Content-Length: 0" E E)},
     "< 1 100 (PUT /f) interim\n> 1 PUT /f +4\n< 1 103 (PUT /f) interim\n< 1 200 (PUT /f)\n"},
    {"refused before the body came",
     {CLIENT("PUT /f HTTP/1.1" E "Content-Length: 4" E E "da"),
      SERVER("HTTP/1.1 413 Too Large" E "Content-Length: 0" E E), CLIENT("ta")},
     "< 1 413 (PUT /f)\n> 1 PUT /f +4\n"},
    {"answered in the midst of its headers",
     {CLIENT("GET /f HTTP/1.1" E "Cookie: "), SERVER("HTTP/1.1 431 Too Large" E "Content-Length: 0" E E),
      CLIENT("a" E E), CLIENT("GET /g HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 0" E E)},
     "< 1 431 (GET /f)\n> 1 GET /f\n> 2 GET /g\n< 2 200 (GET /g)\n"},
    {"upgrade",
     {CLIENT("GET /chat HTTP/1.1" E "Host: x" E "Upgrade: websocket" E "Connection: Upgrade" E E),
      SERVER("HTTP/1.1 101 Switching Protocols" E "Upgrade: websocket" E E "\x81\x05hello"),
      CLIENT("GET /not HTTP/1.1" E E)},
     "> 1 GET /chat\n< 1 101 (GET /chat) upgraded\n"},
    {"upgrade that nobody asked for",
     {CLIENT("GET /1 HTTP/1.1" E E),
      SERVER("HTTP/1.1 101 Switching Protocols" E E "HTTP/1.1 200 OK" E "Content-Length: 1" E E "1")},
     "> 1 GET /1\n< 1 101 (GET /1) interim upgrade-unasked\n< 1 200 +1 (GET /1)\n"},
    {"tunnel, after a refusal",
     {CLIENT("CONNECT example.org:443 HTTP/1.1" E "Host: example.org:443" E E),
      SERVER("HTTP/1.1 407 Authenticate" E "Content-Length: 2" E E "no"),
      CLIENT("CONNECT example.org:443 HTTP/1.1" E "Proxy-Authorization: x" E E "\x16\x03\x01"),
      SERVER("HTTP/1.1 200 Connection established" E "Content-Length: 10" E E "\x16\x03\x03")},
     "> 1 CONNECT example.org:443\n< 1 407 +2 (CONNECT example.org:443)\n> 2 CONNECT example.org:443\n"
     "< 2 200 (CONNECT example.org:443) tunnel\n"},
    {"unanswered",
     {CLIENT("GET /1 HTTP/1.1" E E "GET /2 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 0" E E)},
     "> 1 GET /1\n> 2 GET /2\n< 1 200 (GET /1)\n? 2 GET /2\n"},
    {"unanswered, both closed",
     {CLIENT("GET /1 HTTP/1.1" E E "GET /2 HT"), FIN(C), FIN(S)},
     "> 1 GET /1\n> 2 GET /2 cut\n? 1 GET /1\n? 2 GET /2 cut\n"},
    {"start lines that end before their end",
     {CLIENT("GET /a?b=c"), GAP(C, 90), SERVER("HTTP/1.1 404 Not Fo"), GAP(S, 200)},
     "> 1 GET /a?b=c cut text-truncated\n"
     "< 1 404 (GET /a?b=c) cut text-truncated\n"},
    {"start lines that the end or a gap cuts",
     {CLIENT("GET /b HTTP/1.1"), GAP(C, 9), CLIENT(E E "POST /c HTTP/1.1" E E "PUT /d HT"), FIN(C),
      SERVER("HTTP/1.1 204 OK" E E "HTTP/1.1 201"), FIN(S)},
     "> 1 GET /b cut\n> 2 POST /c resynchronized\n> 3 PUT /d cut\n< 1 204 (GET /b)\n< 2 201 (POST /c) cut\n"
     "? 3 PUT /d cut\n"},
    {"start lines of which too little is left",
     {CLIENT("GET /a HTTP/1.1" E E "GE"), GAP(C, 9), CLIENT(E "GET /b HTTP/1.1" E E "GET"), GAP(C, 9),
      CLIENT(E "GET /c HTTP/1.1" E E "GET "), GAP(C, 9), CLIENT(E "GET /d HTTP/1.1" E E "GET some"), GAP(C, 9),
      CLIENT(E "GET /e HTTP/1.1" E E "GOT /f"), GAP(C, 9), SERVER("HTTP/1.1 40"), GAP(S, 200),
      SERVER(E "HTTP/1.1 204 OK" E E "HTT"), GAP(S, 9), FIN(S)},
     "> 1 GET /a\n> 2 GET /b resynchronized\n> 3 GET /c resynchronized\n> 4 GET /d resynchronized\n"
     "> 5 GET /e resynchronized\n? 1 GET /a\n? 2 GET /b\n? 3 GET /c\n? 4 GET /d\n< 5 204 (GET /e) resynchronized\n"},
    {"responses only",
     {SERVER("HTTP/1.1 200 OK" E "Content-Length: 3" E E "abc"
             "HTTP/1.1 200 OK" E "Content-Length: 500" E E "HTTP/1.1 200 OK" E "Content-Length: 3" E E "HTT"
             "HTTP/1.1 200 OK" E "Content-Length: 8" E E "HTTP/1.x"
             "HTTP/1.1 200 OK" E E "HTTP/2"),
      FIN(S)},
     "< 0 200 +3\n< 0 200 body-ruled-out\n< 0 200 +3\n< 0 200 body-ruled-out\n< 0 200 +6 close-delimited "
     "resynchronized\n"},
    {"responses only, a body that begins like a status line",
     {SERVER("HTTP/1.1 200 OK" E "Content-Length: 4" E E), SERVER("HTTP"), SERVER("HTTP/1.1 200 OK" E E), SERVER("HT"),
      FIN(S)},
     "< 0 200 +4\n< 0 200 +2 close-delimited\n"},
    {"requests only",
     {CLIENT("GET /1 HTTP/1.1" E E "POST /2 HTTP/1.1" E "Content-Length: 2" E E "ok"
             "GET /3 HTTP/1.1" E E)},
     "> 1 GET /1\n> 2 POST /2 +2\n> 3 GET /3\n? 1 GET /1\n? 2 POST /2\n? 3 GET /3\n"},
    {"mid-stream",
     {SERVER("the end of some body" E "HTTP/1.1 or so\n\x01\x02HTTP/1.1 200 OK" E "Content-Length: 1" E E "x"),
      CLIENT("d=1&e=2GET /a HTTP/1.1" E "Host: x" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 1" E E "y")},
     "< 0 200 +1 resynchronized\n> 1 GET /a resynchronized\n< 1 200 +1 (GET /a)\n"},
    {"the client is the responder",
     {SERVER("GET /a HTTP/1.1" E E), CLIENT("HTTP/1.1 200 OK" E "Content-Length: 1" E E "y")},
     "> 1 GET /a\n< 1 200 +1 (GET /a)\n"},
    {"text about HTTP is not taken for it",
     {CLIENT("x\n"), SERVER("It says \"HTTP/1.1 200 OK\"\nand then HTTP/1.1 404 \n"),
      CLIENT("like `GET / HTTP/1.1`\na GET / HTTP/1.1\n"), CLIENT("GET /a HTTP/1.1" E E)},
     "> 1 GET /a resynchronized\n? 1 GET /a\n"},
    {"gap in a counted body",
     {CLIENT("GET /a HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 10" E E "012"), GAP(S, 5),
      SERVER("89"), CLIENT("GET /b HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 3" E E), GAP(S, 3),
      CLIENT("GET /c HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 1" E E "c")},
     "> 1 GET /a\n< 1 200 +10 (GET /a) cut hole=5\n> 2 GET /b\n< 2 200 +3 (GET /b) cut hole=3\n> 3 GET /c\n"
     "< 3 200 +1 (GET /c)\n"},
    {"gap past the end of a body",
     {CLIENT("GET /a HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 10" E E "012"), GAP(S, 50),
      SERVER("lost" E E "more"), CLIENT("GET /b HTTP/1.1" E E), CLIENT("GET /c HTTP/1.1" E E),
      SERVER("HTTP/1.1 200 OK" E "Content-Length: 1" E E "c")},
     "> 1 GET /a\n< 1 200 +10 (GET /a) cut hole=7\n> 2 GET /b\n> 3 GET /c\n? 2 GET /b\n< 3 200 +1 (GET /c) "
     "resynchronized\n"},
    {"gap in headers, in a start line and in chunks",
     {CLIENT("GET /a HTTP/1.1" E "Host"), GAP(C, 5), CLIENT("b: c" E E "GET /b HTTP/1.1" E E "GET /c"), GAP(C, 20),
      CLIENT("GET /d HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: chunked" E E "5" E "ab"), GAP(S, 2),
      SERVER("c" E "5" E "abc"), GAP(S, 3), SERVER(E "0" E E)},
     "> 1 GET /a cut\n> 2 GET /b resynchronized\n> 3 GET /c cut text-truncated\n> 4 GET /d resynchronized\n"
     "< 1 200 +8 (GET /a) cut hole=2 chunked\n? 2 GET /b\n? 3 GET /c cut text-truncated\n? 4 GET /d\n"},
    {"gap in an open body",
     {CLIENT("GET /a HTTP/1.0" E E), SERVER("HTTP/1.0 200 OK" E E "abc"), GAP(S, 7), SERVER("x"), FIN(S)},
     "> 1 GET /a\n< 1 200 +11 (GET /a) cut hole=7 close-delimited\n"},
    {"cut off in a body and in headers",
     {CLIENT("GET /a HTTP/1.1" E "Host: x" E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 10" E E "abc"), FIN(S)},
     "< 1 200 +3 (GET /a) cut\n> 1 GET /a cut\n"},
    {"tolerance: empty lines, bare LF, blanks",
     {CLIENT(E "\n" E "GET /a HTTP/1.1\nHost:\t x \t\nUser-Agent:y\n\n" E "GET  /b\tc HTTP/1.1" E E),
      SERVER("HTTP/1.1  200" E "Content-Length:1" E E "x" E E "HTTP/1.1 99 ?" E "Content-Length: 0" E E)},
     "> 1 GET /a bare-lf\n> 2 GET /b\\x09c start-line-odd\n< 1 200 +1 (GET /a) start-line-odd\n"
     "< 2 99 (GET /b\\x09c) start-line-odd\n"},
    {"obs-fold, blank before colon, bare CR, NUL, no colon",
     {CLIENT("GET / HTTP/1.1" E "Host: a" E "User-Agent: b" E "  c" E "X : y" E "Z: a\rb" E E "GET / HTTP/1.1" E
             "nothing" E "a: \0" E "b@d: x" E E),
      SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding:" E " chunked" E E "0" E E "HTTP/1.1 200 OK" E "Content-Length:" E
             "\t2" E E "ab")},
     "> 1 GET / obs-fold bare-cr space-before-colon\n> 2 GET / nul header-invalid\n"
     "< 1 200 (GET /) chunked te-odd obs-fold\n< 2 200 +2 (GET /) cl-invalid obs-fold\n"},
    {"lengths",
     {CLIENT("POST /1 HTTP/1.1" E "Content-Length: 2" E "Content-Length: 2" E E "ab"
             "POST /2 HTTP/1.1" E "Content-Length: 2, 2,3" E E "ab"
             "POST /3 HTTP/1.1" E "Content-Length: +2" E E "POST /4 HTTP/1.1" E
             "Content-Length: 99999999999999999999" E E "POST /5 HTTP/1.1" E "Content-Length: 0x2" E E
             "POST /6 HTTP/1.1" E "Content-Length: -1" E "Content-Length: 002" E E "ab")},
     "> 1 POST /1 +2 cl-repeated\n> 2 POST /2 +2 cl-conflict cl-repeated\n> 3 POST /3 cl-invalid\n> 4 POST /4 "
     "cl-invalid\n"
     "> 5 POST /5 cl-invalid\n> 6 POST /6 +2 cl-invalid\n? 1 POST /1\n? 2 POST /2\n? 3 POST /3\n? 4 POST /4\n? 5 POST "
     "/5\n? 6 POST /6\n"},
    {"codings",
     {CLIENT("POST /1 HTTP/1.1" E "Transfer-Encoding: chunked" E "Content-Length: 2" E "Host: a" E "Host: b" E E "1" E
             "a" E "0" E E "POST /2 HTTP/1.0" E "Transfer-Encoding: xchunked, chunked" E E "0" E E "POST /3 HTTP/1.1" E
             "Transfer-Encoding: chunked, chunked" E E "0" E E "POST /4 HTTP/1.1" E "Transfer-Encoding: identity" E
             "Content-Length: 1" E E "a"
             "POST /5 HTTP/1.1" E "Transfer-Encoding: chunked, gzip" E E "abc"
             "GET /6 HTTP/1.1" E E),
      SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: gzip" E E "abc"), FIN(S)},
     "> 1 POST /1 +1 chunked te-and-cl host-repeated\n> 2 POST /2 chunked te-odd te-in-1.0\n> 3 POST /3 chunked "
     "te-odd\n"
     "> 4 POST /4 +1\n> 5 POST /5 cut te-not-last\n> 6 GET /6 resynchronized\n"
     "< 1 200 +3 (POST /1) close-delimited te-not-last\n? 2 POST /2\n? 3 POST /3\n? 4 POST /4\n? 5 POST /5 cut\n? 6 "
     "GET "
     "/6\n"},
    {"chunks that are none",
     {CLIENT("GET /1 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: chunked" E E "-5" E "abc" E),
      CLIENT("GET /2 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: chunked" E E "1" E "abc" E),
      CLIENT("GET /3 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: chunked" E E "ffffffffffffffff" E),
      CLIENT("GET /4 HTTP/1.1" E E),
      SERVER("HTTP/1.1 200 OK" E "Transfer-Encoding: chunked" E E "HTTP/1.1 200 OK" E "Content-Length: 1" E E "x")},
     "> 1 GET /1\n< 1 200 (GET /1) cut chunked chunk-invalid\n> 2 GET /2\n"
     "< 2 200 +1 (GET /2) cut chunked resynchronized chunk-invalid\n> 3 GET /3\n"
     "< 3 200 (GET /3) cut chunked resynchronized chunk-invalid\n> 4 GET /4\n"
     "< 4 200 (GET /4) cut chunked resynchronized chunk-invalid\n< 0 200 +1 resynchronized\n"},
    {"HTTP/0.9",
     {CLIENT("GET /old\r\n"), SERVER("<html>\n<b>old</b>\n"), FIN(S)},
     "> 1 GET /old http-0.9\n< 1 0 +18 (GET /old) close-delimited http-0.9\n"},
    {"SHOUTcast",
     {CLIENT("GET /stream HTTP/1.0" E E), SERVER("ICY 200 OK" E "icy-name: x" E E "\xff\xfb"), FIN(S)},
     "> 1 GET /stream\n< 1 200 +2 (GET /stream) close-delimited start-line-odd\n"},
    {"WebDAV, methods of nobody, whole URIs",
     {CLIENT("PROPFIND /d HTTP/1.1" E "Content-Length: 1" E E "x"
             "FROB * HTTP/1.1" E E "GET http://a/b HTTP/1.1" E E),
      SERVER("HTTP/1.1 207 Multi-Status" E "Content-Length: 1" E E "x")},
     "> 1 PROPFIND /d +1\n> 2 FROB *\n> 3 GET http://a/b\n< 1 207 +1 (PROPFIND /d)\n? 2 FROB *\n? 3 GET http://a/b\n"},
    {"body longer than declared",
     {CLIENT("GET /1 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 2" E E "abcd"),
      CLIENT("GET /2 HTTP/1.1" E E), SERVER("HTTP/1.1 200 OK" E "Content-Length: 2" E E "ab")},
     "> 1 GET /1\n< 1 200 +2 (GET /1)\n> 2 GET /2\n< 2 200 +2 (GET /2) resynchronized\n"},
    {"HTTP/2 instead", {CLIENT("PRI * HTTP/2.0" E E "SM" E E "\0\0\0\4\0\0\0\0\0")}, ""},
    {"RTSP instead",
     {CLIENT("OPTIONS rtsp://x/y RTSP/1.0" E "CSeq: 1" E E), SERVER("RTSP/1.0 200 OK" E "CSeq: 1" E E)},
     ""},
};
const size_t conversation_count = sizeof(conversations) / sizeof(*conversations);
