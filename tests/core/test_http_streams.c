/* SPDX-License-Identifier: MIT */
/* What must hold for any stream of HTTP, or of anything else: how it is cut into calls and how the sides alternate
 * changes nothing; gaps and damage anywhere do no harm; memory has a cap, and may fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct http_run run, reference;

static uint64_t random_state;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void run_whole(struct http_run *into, const struct conversation *conversation, size_t (*next_piece)(void *),
                      void *state) {
    http_run_prepare(into);
    into->is_full = true;
    assert_true(http_run_create(into));
    http_run_conversation(into, conversation, next_piece, state);
}

static size_t constant_piece(void *state) {
    return *(const size_t *)state;
}

static size_t random_piece(void *state) {
    size_t most = *(const size_t *)state;
    return 1 + (size_t)(random_next() % most);
}

static void splits_change_nothing(void **state) {
    (void)state;
    random_state = 88172645463325252u;
    for (size_t i = 0; i < conversation_count; i++) {
        run_whole(&reference, &conversations[i], NULL, NULL);
        for (size_t piece = 1; piece <= 64; piece++) {
            run_whole(&run, &conversations[i], constant_piece, &piece);
            assert_string_equal(run.log, reference.log);
        }
        for (int round = 0; round < 100; round++) {
            size_t most = 2 + (size_t)(random_next() % 100);
            run_whole(&run, &conversations[i], random_piece, &most);
            assert_string_equal(run.log, reference.log);
        }
    }
}

/* Long enough for every cap, cut anywhere: lines, searched noise, header blocks. */
static void long_splits_change_nothing(void **state) {
    (void)state;
    static char text[60000];
    static const char *const parts[] = {"GET /a HTTP/1.1\r\n",
                                        "HTTP/1.1 200 OK\r\n",
                                        "Host: x\r\n",
                                        "\r\n",
                                        "\n",
                                        "\r",
                                        "Content-Length: 5\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "5\r\n",
                                        "0\r\n\r\n",
                                        "hello",
                                        "word ",
                                        "\x01",
                                        " "};
    random_state = 1234567;
    for (int round = 0; round < 300; round++) {
        size_t length = 0;
        while (length < 30000) {
            const char *part = parts[random_next() % (sizeof(parts) / sizeof(*parts))];
            size_t times = random_next() % 24 == 0 ? 1 + (size_t)(random_next() % 10000) : 1;
            for (size_t n = strlen(part); times > 0 && length + n + 1 < sizeof(text) && length < 40000; times--) {
                memcpy(text + length, part, n);
                length += n;
            }
        }
        struct conversation conversation = {"", {{STEP_DATA, FS_INITIATOR, text, length}}, ""};
        run_whole(&reference, &conversation, NULL, NULL);
        for (size_t most = 1; most < 40000; most *= 7) {
            run_whole(&run, &conversation, random_piece, &most);
            assert_string_equal(run.log, reference.log);
        }
    }
}

/* ---- interleaving ---- */

enum { EXCHANGES = 12 };

static const char *const requests[] = {
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "POST /b HTTP/1.1\r\nContent-Length: 6\r\n\r\n123456",
    "HEAD /c HTTP/1.1\r\n\r\n", "PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"};
static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n"};

/* The lines of one side, in their order: what the other side says between them depends on the order of calls. */
static void lines_of(const char *log, char first, char *into) {
    size_t used = 0;
    for (const char *line = log; *line; line = strchr(line, '\n') + 1) {
        size_t length = (size_t)(strchr(line, '\n') - line) + 1;
        if (*line == first) {
            memcpy(into + used, line, length);
            used += length;
        }
    }
    into[used] = '\0';
}

static void interleave(struct http_run *into, bool one_by_one) {
    static char text[2][4096];
    size_t ends[2][EXCHANGES + 1] = {{0}};
    for (size_t i = 0; i < EXCHANGES; i++) {
        const char *const parts[2] = {requests[i % 4], responses[i % 4]};
        for (int side = 0; side < 2; side++) {
            memcpy(text[side] + ends[side][i], parts[side], strlen(parts[side]));
            ends[side][i + 1] = ends[side][i] + strlen(parts[side]);
        }
    }
    http_run_prepare(into);
    into->is_full = true;
    assert_true(http_run_create(into));
    size_t at[2] = {0, 0}, done = 0; /* requests that are whole */
    while (at[0] < ends[0][EXCHANGES] || at[1] < ends[1][EXCHANGES]) {
        while (done < EXCHANGES && at[0] >= ends[0][done + 1]) {
            done++;
        }
        size_t limit[2] = {ends[0][EXCHANGES], ends[1][done]};
        int side = one_by_one ? at[1] < limit[1] : random_next() & 1;
        size_t left = limit[side] - at[side];
        size_t piece = left > 0 ? 1 + (size_t)(random_next() % (left < 60 ? left : 60)) : 0;
        if (one_by_one && side == 0 && piece > ends[0][done + 1] - at[0]) {
            piece = ends[0][done + 1] - at[0];
        }
        http_run_feed(into, (unsigned)side, text[side] + at[side], piece, 7);
        at[side] += piece;
    }
    http_run_finish(into);
}

static void interleaving_changes_nothing(void **state) {
    (void)state;
    static char expected[2][LOG_BYTES], got[LOG_BYTES];
    random_state = 99;
    interleave(&reference, true);
    assert_int_equal(reference.messages, 2 * EXCHANGES + EXCHANGES / 4);
    lines_of(reference.log, '>', expected[0]);
    lines_of(reference.log, '<', expected[1]);
    assert_non_null(strstr(expected[1], "< 12 200 +1 (PUT /d) chunked"));
    for (int round = 0; round < 2000; round++) {
        interleave(&run, false);
        lines_of(run.log, '>', got);
        assert_string_equal(got, expected[0]);
        lines_of(run.log, '<', got);
        assert_string_equal(got, expected[1]);
    }
}

/* ---- damage ---- */

/* A gap of `length` bytes at `at` of a step, in place of the bytes or between them. */
static void run_with_gap(const struct conversation *conversation, size_t step, size_t at, size_t length,
                         bool in_place) {
    http_run_prepare(&run);
    assert_true(http_run_create(&run));
    uint64_t time = 1;
    for (size_t i = 0; conversation->steps[i].kind != STEP_NONE; i++, time++) {
        const struct step *now = &conversation->steps[i];
        if (now->kind == STEP_GAP) {
            http_run_gap(&run, now->side, now->length, time);
        } else if (now->kind == STEP_FIN) {
            http_run_fin(&run, now->side, time);
        } else if (i != step) {
            http_run_feed(&run, now->side, now->data, now->length, time);
        } else {
            size_t lost = !in_place ? 0 : length < now->length - at ? length : now->length - at;
            http_run_feed(&run, now->side, now->data, at, time);
            http_run_gap(&run, now->side, length, time);
            http_run_feed(&run, now->side, now->data + at + lost, now->length - at - lost, time);
        }
    }
    http_run_finish(&run);
}

static void gaps_anywhere_do_no_harm(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 3, 20, 100000};
    for (size_t i = 0; i < conversation_count; i++) {
        for (size_t step = 0; conversations[i].steps[step].kind != STEP_NONE; step++) {
            if (conversations[i].steps[step].kind != STEP_DATA) {
                continue;
            }
            for (size_t at = 0; at <= conversations[i].steps[step].length; at++) {
                for (size_t l = 0; l < 4; l++) {
                    run_with_gap(&conversations[i], step, at, lengths[l], true);
                    run_with_gap(&conversations[i], step, at, lengths[l], false);
                }
            }
        }
    }
}

/* Whatever one gap in the first response hits, the next exchange is read as if nothing had been. */
static void after_a_gap_all_is_well(void **state) {
    (void)state;
    static const char *const first[] = {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX: y\r\n\r\n0123456789abcdefghij",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        size_t total = strlen(first[i]);
        for (size_t at = 0; at < total; at++) {
            for (size_t length = 1; at + length <= total; length++) {
                http_run_prepare(&run);
                assert_true(http_run_create(&run));
                http_run_feed(&run, 0, "GET /1 HTTP/1.1\r\n\r\n", 19, 1);
                http_run_feed(&run, 1, first[i], at, 2);
                http_run_gap(&run, 1, length, 2);
                http_run_feed(&run, 1, first[i] + at + length, total - at - length, 2);
                http_run_feed(&run, 0, "GET /2 HTTP/1.1\r\n\r\n", 19, 3);
                static const char second[] = "HTTP/1.1 404 Gone\r\nContent-Length: 3\r\n\r\nabc";
                http_run_feed(&run, 1, second, sizeof(second) - 1, 4);
                http_run_finish(&run);
                assert_non_null(strstr(run.log, "> 2 GET /2\n"));
                /* A header block without its length makes an open body: nothing can be known of what follows. */
                if (!strstr(run.log, "close-delimited")) {
                    assert_non_null(strstr(run.log, "< 2 404 +3 (GET /2)"));
                }
            }
        }
    }
}

static void mutations_do_no_harm(void **state) {
    (void)state;
    static const char bytes[] = "\r\n \t:,;0/HTTP1.\xff";
    static char text[4096];
    random_state = 4242;
    for (int round = 0; round < 40000; round++) {
        struct conversation copy = conversations[random_next() % conversation_count];
        size_t used = 0;
        for (struct step *step = copy.steps; step->kind != STEP_NONE; step++) {
            if (step->kind != STEP_DATA || used + step->length > sizeof(text)) {
                continue;
            }
            memcpy(text + used, step->data, step->length);
            for (uint64_t n = random_next() % 4; n > 0 && step->length > 0; n--) {
                text[used + random_next() % step->length] = bytes[random_next() % sizeof(bytes)];
            }
            step->data = text + used;
            used += step->length;
        }
        run_whole(&reference, &copy, NULL, NULL);
        size_t most = 1 + (size_t)(random_next() % 20);
        run_whole(&run, &copy, random_piece, &most);
        assert_string_equal(run.log, reference.log);
    }
}

/* ---- memory ---- */

static void memory_has_a_cap(void **state) {
    (void)state;
    static char text[8192];
    http_run_prepare(&run);
    assert_true(http_run_create(&run));
    memset(text, 'x', sizeof(text));
    /* Requests of the most text that wait, after others that leave room to be used again; then endless lines. */
    for (int i = 0; i < 3000; i++) {
        size_t length = i < 100 ? 450 : i % 2 ? 1 : 2100;
        char line[32];
        http_run_feed(&run, 0, "GET /", 5, 1);
        http_run_feed(&run, 0, text, length, 1);
        http_run_feed(&run, 0, line, (size_t)snprintf(line, sizeof(line), " HTTP/1.1\r\n\r\n"), 1);
        if (i < 100) {
            http_run_feed(&run, 1, "HTTP/1.1 204 \r\n\r\n", 17, 1);
        }
        run.used = 0;
    }
    static const char *const names[] = {"GET /", "\nHost: ", "\nReferer: ", "\nUser-Agent: ", "\nContent-Type: "};
    static const char *const answers[] = {"HTTP/1.1 200 OK",
                                          "\nLocation: ", "\nServer: ", "\nUpgrade: ", "\nContent-Type: "};
    for (size_t i = 0; i < 5; i++) {
        http_run_feed(&run, 0, names[i], strlen(names[i]), 1);
        http_run_feed(&run, 1, answers[i], strlen(answers[i]), 1);
        for (int j = 0; j < 200; j++) { /* drop by drop */
            http_run_feed(&run, 0, text, 100, 1);
            http_run_feed(&run, 1, text, 100, 1);
        }
    }
    assert_true(run.counting.bytes > 150000); /* it was put to the test */
    http_run_finish(&run);
    assert_true(run.peak <= FS_HTTP_MEMORY_MAX);
    print_message("most memory of a flow: %llu bytes\n", (unsigned long long)run.peak);
}

/* A body costs no allocation, and what is kept between messages is little. */
static void bodies_cost_nothing(void **state) {
    (void)state;
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 1000000\r\n\r\n";
    static char text[1000];
    http_run_prepare(&run);
    assert_true(http_run_create(&run));
    http_run_feed(&run, 0, "GET /1 HTTP/1.1\r\n\r\n", 19, 1);
    http_run_feed(&run, 1, response, sizeof(response) - 1, 2);
    uint64_t calls = run.counting.calls;
    for (int i = 0; i < 1000; i++) {
        http_run_feed(&run, 1, text, sizeof(text), 2);
    }
    assert_int_equal(run.counting.calls, calls);
    assert_int_equal(run.messages, 2);
    assert_true(run.counting.bytes <= 2560);
    print_message("memory of an idle flow: %llu bytes\n", (unsigned long long)run.counting.bytes);
    /* Nor do exchanges, once the flow has had one. */
    for (int i = 0; i < 3; i++) {
        http_run_feed(&run, 0, "GET /1 HTTP/1.1\r\n\r\n", 19, 1);
        http_run_feed(&run, 1, "HTTP/1.1 204 x\r\n\r\n", 18, 1);
    }
    assert_int_equal(run.counting.calls, calls);
    http_run_finish(&run);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (size_t i = 0; i < conversation_count; i++) {
        for (int fail_on = 0; fail_on < 2; fail_on++) {
            for (uint64_t n = 1;; n++) {
                size_t piece = 7;
                http_run_prepare(&run);
                run.counting.fail_at = n;
                run.counting.fail_on = fail_on != 0;
                if (!http_run_create(&run)) {
                    assert_int_equal(n, 1);
                    assert_int_equal(run.counting.live, 0);
                    continue;
                }
                http_run_conversation(&run, &conversations[i], constant_piece, &piece);
                if (run.counting.calls < n) {
                    break;
                }
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_change_nothing),
        cmocka_unit_test(long_splits_change_nothing),
        cmocka_unit_test(interleaving_changes_nothing),
        cmocka_unit_test(gaps_anywhere_do_no_harm),
        cmocka_unit_test(after_a_gap_all_is_well),
        cmocka_unit_test(mutations_do_no_harm),
        cmocka_unit_test(memory_has_a_cap),
        cmocka_unit_test(bodies_cost_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
