/* SPDX-License-Identifier: MIT */
#include "flowscope/tls.h"

#include "alloc_support.h"
#include "tls_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- what was reported, as text ---- */

struct log {
    char text[1 << 16];
    size_t length;
    bool has_places; /* times, frames and bytes too */
    unsigned kinds[4], complete;
    char ja3[33], ja4[37], ja3s[33], ja3_text[1024];
    struct counting_allocator *counting;
    uint64_t peak;
};

__attribute__((format(printf, 2, 3))) static void say(struct log *log, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(log->text + log->length, sizeof(log->text) - log->length, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < sizeof(log->text) - log->length);
    log->length += (size_t)length;
}

static void say_bytes(struct log *log, const char *name, struct fs_tls_bytes bytes) {
    say(log, " %s=", name);
    for (uint32_t i = 0; i < bytes.length && i < 64; i++) {
        say(log, bytes.data[i] > 32 && bytes.data[i] < 127 ? "%c" : "\\%02x", bytes.data[i]);
    }
}

static void say_list(struct log *log, const char *name, const struct fs_tls_list *list) {
    say(log, " %s=", name);
    for (uint32_t i = 0; i < list->count && i < 32; i++) {
        say(log, "%04x,", list->values[i]);
    }
}

static void say_client(struct log *log, const struct fs_tls_client *client) {
    say_bytes(log, "sni", client->server_name);
    for (uint32_t i = 0; i < client->alpn_count; i++) {
        say_bytes(log, "alpn", client->alpn[i]);
    }
    say(log, " offers=%04x ja3=%s ja4=%s total=%u cut=%d", client->version, client->ja3, client->ja4,
        client->alpn_total, client->is_cut);
}

static void on_message(const struct fs_message *message, void *user) {
    struct log *log = user;
    const struct fs_tls_message *tls = message->detail;
    assert_int_equal(message->protocol, FS_SESSION_TLS);
    log->kinds[message->kind]++;
    log->complete += !message->incomplete;
    if (log->counting && log->counting->bytes > log->peak) {
        log->peak = log->counting->bytes;
    }
    if (log->length > sizeof(log->text) / 2) {
        return;
    }
    say(log, "%u type=%u side=%u exchange=%u%s", message->kind, tls->type, message->side, (unsigned)message->exchange,
        message->incomplete ? " incomplete" : "");
    if (log->has_places) {
        say(log, " time=%u-%u frame=%u-%u asked=%d/%u bytes=%u", (unsigned)message->start_ns, (unsigned)message->end_ns,
            message->start_frame, message->end_frame, (int)message->request_ns, message->request_frame,
            (unsigned)message->bytes);
    }
    say(log, " flags=%x record=%04x legacy=%04x version=%04x cipher=%04x group=%04x id=%u alert=%u/%u", tls->flags,
        tls->record_version, tls->legacy_version, tls->version, tls->cipher_suite, tls->group, tls->session_id_length,
        tls->alert_level, tls->alert);
    say_bytes(log, "random", (struct fs_tls_bytes){tls->random, tls->random ? 32 : 0});
    say_list(log, "ciphers", &tls->cipher_suites);
    say_list(log, "extensions", &tls->extensions);
    say_list(log, "versions", &tls->versions);
    say_list(log, "groups", &tls->groups);
    say_list(log, "algorithms", &tls->signature_algorithms);
    say_list(log, "shares", &tls->key_shares);
    say_bytes(log, "compression", tls->compression_methods);
    say_bytes(log, "formats", tls->point_formats);
    say_bytes(log, "chosen", tls->alpn);
    say(log, " ja3s=%s", tls->ja3s);
    say_client(log, &tls->client);
    say(log, "\n");
    if (tls->type == FS_TLS_CLIENT_HELLO) {
        memcpy(log->ja3, tls->client.ja3, sizeof(log->ja3));
        memcpy(log->ja4, tls->client.ja4, sizeof(log->ja4));
        snprintf(log->ja3_text, sizeof(log->ja3_text), "%s", tls->ja3_text ? tls->ja3_text : "");
    } else if (tls->type != FS_TLS_ALERT) {
        memcpy(log->ja3s, tls->ja3s, sizeof(log->ja3s));
    }
}

/* ---- running ---- */

struct run {
    struct log log;
    struct counting_allocator counting;
    void *parser;
    enum fs_parse_result result;
    struct fs_parser_host host;
};

static struct run *run_new(void) {
    struct run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    run->host.allocator = counting_allocator_init(&run->counting);
    run->host.on_message = on_message;
    run->host.user = &run->log;
    run->log.counting = &run->counting;
    run->log.has_places = true;
    run->parser = fs_parser_tls.create(&run->host);
    assert_non_null(run->parser);
    return run;
}

static void feed_at(struct run *run, int side, const uint8_t *data, uint64_t length, uint32_t moment) {
    struct fs_chunk chunk = {
        .data = data, .length = length, .time_ns = 1000 + moment, .frame = 1 + moment, .side = (uint8_t)side};
    run->result = fs_parser_tls.feed(run->parser, &chunk);
    if (run->counting.bytes > run->log.peak) {
        run->log.peak = run->counting.bytes;
    }
}

static void feed(struct run *run, int side, const struct bytes *bytes) {
    feed_at(run, side, bytes->data, bytes->length, 0);
}

static void run_end(struct run *run) {
    if (run->result == FS_PARSE_MORE) {
        fs_parser_tls.end(run->parser, false, 0, 0);
    }
    fs_parser_tls.destroy(run->parser);
    assert_int_equal(run->counting.live, 0);
    assert_int_equal(run->counting.bytes, 0);
    assert_false(run->counting.wrong_size);
}

static void run_free(struct run *run) {
    run_end(run);
    free(run);
}

static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % n);
}

/* `piece`: bytes a call; 0: a whole turn; -1: random. */
static void play(struct run *run, const struct scenario *scenario, int piece) {
    for (unsigned i = 0; i < scenario->count; i++) {
        const struct turn *turn = &scenario->turns[i];
        for (size_t at = 0; at < turn->bytes.length && run->result == FS_PARSE_MORE;) {
            size_t left = turn->bytes.length - at, part = piece > 0 ? (size_t)piece : left;
            if (piece < 0) {
                part = 1 + random_below(random_below(4) ? 12 : 700);
            }
            part = part < left ? part : left;
            /* An own copy, so that reading past it shows. */
            uint8_t *copy = malloc(part);
            assert_non_null(copy);
            memcpy(copy, turn->bytes.data + at, part);
            feed_at(run, turn->side, copy, part, i);
            free(copy);
            at += part;
        }
    }
}

static struct run *played(const struct scenario *scenario, int piece, bool has_places) {
    struct run *run = run_new();
    run->log.has_places = has_places;
    play(run, scenario, piece);
    run_end(run);
    return run;
}

/* ---- fingerprints that were published ---- */

static void test_ja3_of_the_publication(void **state) {
    (void)state;
    static const uint16_t ciphers[] = {47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4};
    static const uint16_t groups[] = {23, 24, 25};
    struct bytes body = {0}, extensions = {0}, record = {0};
    hello_start(&body, 0x0301, 0, ciphers, 12);
    put_server_name(&extensions, "example.org");
    put_list16(&extensions, 10, groups, 3);
    put_point_formats(&extensions);
    put_block16(&body, &extensions);
    put_handshake(&record, 1, &body);
    struct run *run = run_new();
    feed(run, 0, &record);
    assert_string_equal(run->log.ja3_text, "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
    assert_string_equal(run->log.ja3, "ada70206e40642a3e4461f35503241d5");
    run_free(run);

    static const uint16_t without[] = {4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99};
    body.length = record.length = 0;
    hello_start(&body, 0x0301, 0, without, 11);
    put_handshake(&record, 1, &body);
    run = run_new();
    feed(run, 0, &record);
    assert_string_equal(run->log.ja3_text, "769,4-5-10-9-100-98-3-6-19-18-99,,,");
    assert_string_equal(run->log.ja3, "de350869b8c85de67a350c8d186f11e6");
    assert_string_equal(run->log.ja4 + 8, "00_3609b414f052_000000000000");
    run_free(run);
}

static void ja4_of(const struct chrome *options, char ja4[37]) {
    struct bytes record = {0};
    put_chrome_hello(&record, options);
    struct run *run = run_new();
    feed(run, 0, &record);
    memcpy(ja4, run->log.ja4, 37);
    run_free(run);
}

static void test_ja4_of_the_specification(void **state) {
    (void)state;
    char ja4[37];
    struct chrome options = {.alpn = "\2h2\10http/1.1"};
    ja4_of(&options, ja4);
    assert_string_equal(ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    options.without_algorithms = true;
    ja4_of(&options, ja4);
    assert_string_equal(ja4, "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

static void test_ja4_alpn_rule(void **state) {
    (void)state;
    static const struct {
        const char *list, *expected;
    } rows[] = {{"\1\xab", "ab"},
                {"\2\xab\xcd", "ad"},
                {"\2\x30\xab", "3b"},
                {"\4\x30\x31\xab\xcd", "3d"},
                {"\4\x30\xab\xcd\x31", "01"},
                {"\10http/1.1", "h1"},
                {"\1z", "zz"},
                {"", "00"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char ja4[37];
        struct chrome options = {.alpn = rows[i].list};
        ja4_of(&options, ja4);
        ja4[10] = '\0';
        assert_string_equal(ja4 + 8, rows[i].expected);
    }
}

static void test_ja4_counts_stop_at_99(void **state) {
    (void)state;
    uint16_t ciphers[300];
    for (unsigned i = 0; i < 300; i++) {
        ciphers[i] = (uint16_t)(0x1000 - 3 * i);
    }
    struct bytes body = {0}, record = {0};
    hello_start(&body, 0x0303, 0, ciphers, 300);
    put_handshake(&record, 1, &body);
    struct run *run = run_new();
    feed(run, 0, &record);
    assert_memory_equal(run->log.ja4, "t12i990000_", 11);
    run_free(run);
}

/* Chrome and Cloudflare: 771,4865,51-43. */
static void test_ja3s(void **state) {
    (void)state;
    struct bytes record = {0};
    put_server_hello(&record, &(struct server){.version = 0x0304});
    struct run *run = run_new();
    feed(run, 1, &record);
    assert_string_equal(run->log.ja3s, "eb1d94daa7e0344597e756a1fb6e7054");
    run_free(run);
}

/* ---- conversations ---- */

static void test_tls_1_3(void **state) {
    (void)state;
    struct scenario scenario = {0};
    make_tls_1_3(&scenario);
    struct run *run = played(&scenario, 0, true);
    assert_int_equal(run->result, FS_PARSE_DONE);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
    assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 1);
    assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 0);
    const char *answer = strstr(run->log.text, "\n1 type=2 side=1 exchange=1 time=1001-1001 frame=2-2 asked=1000/1");
    assert_non_null(answer);
    assert_non_null(strstr(answer, "version=0304 cipher=1301 group=001d"));
    assert_non_null(strstr(answer, "sni=example.org alpn=h2 alpn=http/1.1 offers=0304"));
    assert_non_null(strstr(answer, "ja4=t13d1516h2_8daaf6152771_e5627efa2ab1"));
    free(run);
}

static void test_tls_1_2_resumption_and_alert(void **state) {
    (void)state;
    struct scenario scenario = {0};
    make_tls_1_2(&scenario, true);
    struct run *run = played(&scenario, 0, true);
    assert_int_equal(run->result, FS_PARSE_DONE);
    assert_int_equal(run->log.kinds[FS_MESSAGE_NOTICE], 1);
    assert_non_null(strstr(run->log.text, "alert=1/112"));
    assert_non_null(strstr(run->log.text, "chosen=h2"));
    const char *answer = strstr(run->log.text, "\n1 type=2");
    assert_non_null(answer);
    assert_non_null(strstr(answer, "flags=40 "));
    free(run);
    struct scenario fresh = {0};
    make_tls_1_2(&fresh, false);
    run = played(&fresh, 0, true);
    assert_int_equal(run->result, FS_PARSE_DONE);
    assert_non_null(strstr(run->log.text, "\n1 type=2"));
    assert_null(strstr(run->log.text, "flags=40 "));
    free(run);
}

static void test_hello_retry_request(void **state) {
    (void)state;
    for (int early = 0; early < 2; early++) {
        struct scenario scenario = {0};
        make_retry(&scenario, early == 1);
        struct run *run = played(&scenario, 0, true);
        assert_int_equal(run->result, FS_PARSE_DONE);
        assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 2);
        assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 2);
        assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 0);
        assert_non_null(strstr(run->log.text, "\n1 type=3 side=1 exchange=1 "));
        assert_non_null(strstr(run->log.text, "\n0 type=1 side=0 exchange=2 "));
        assert_non_null(strstr(run->log.text, "\n1 type=2 side=1 exchange=2 "));
        free(run);
    }
}

/* One side after the other, as a reader of two one-sided captures would have them. */
static void test_order_of_sides_does_not_matter(void **state) {
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct scenario scenario = {0}, sorted = {0};
        make_retry(&scenario, false);
        for (int pass = 0; pass < 2; pass++) {
            for (unsigned i = 0; i < scenario.count; i++) {
                if (scenario.turns[i].side == (pass ^ first)) {
                    sorted.turns[sorted.count++] = scenario.turns[i];
                }
            }
        }
        struct run *run = played(&sorted, 0, true);
        assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 2);
        assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 2);
        assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 0);
        assert_non_null(strstr(run->log.text, "0 type=1 side=0 exchange=2 "));
        assert_non_null(strstr(run->log.text, "1 type=3 side=1 exchange=1 "));
        free(run);
    }
}

static void test_sslv2_client_hello(void **state) {
    (void)state;
    struct bytes hello = {0};
    put_sslv2_hello(&hello);
    struct run *run = run_new();
    feed(run, 0, &hello);
    assert_non_null(strstr(run->log.text, "0 type=1 side=0 exchange=1"));
    assert_non_null(strstr(run->log.text, "flags=1 record=0000 legacy=0301 version=0301"));
    assert_non_null(strstr(run->log.text, "ciphers=0004,0005,000a, extensions= "));
    struct fs_chunk chunk = {.data = hello.data, .length = hello.length};
    assert_int_equal(fs_parser_tls.probe(&chunk), FS_PROBE_YES);
    chunk.length = 10;
    assert_int_equal(fs_parser_tls.probe(&chunk), FS_PROBE_MORE);
    run_free(run);
}

static void test_unanswered(void **state) {
    (void)state;
    struct bytes hello = {0}, alert = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    put_record(&alert, 21, 0x0301, "\2\50", 2);
    struct run *run = run_new();
    feed(run, 1, &hello); /* whoever sends it is the client */
    feed(run, 0, &alert);
    fs_parser_tls.end(run->parser, true, 0, 0);
    assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 1);
    const char *last = strstr(run->log.text, "\n3 type=1 side=1 exchange=1 time=1000-1000");
    assert_non_null(last);
    assert_non_null(strstr(last, "sni=example.org alpn=h2 offers=0304 ja3="));
    assert_non_null(strstr(run->log.text, "2 type=4 side=0 exchange=0"));
    assert_non_null(strstr(run->log.text, "alert=2/40"));
    run_free(run);
}

static void test_marks_of_a_client_hello(void **state) {
    (void)state;
    struct bytes hello = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2", .extras = true});
    struct run *run = run_new();
    feed(run, 0, &hello);
    char flags[32];
    snprintf(flags, sizeof(flags), "flags=%x ",
             FS_TLS_GREASE | FS_TLS_PSK | FS_TLS_EARLY_DATA | FS_TLS_ECH | FS_TLS_TICKET);
    assert_non_null(strstr(run->log.text, flags));
    assert_non_null(strstr(run->log.text, "shares=0a0a,001d, "));
    assert_non_null(strstr(run->log.text, "versions=0a0a,0304,0303, "));
    assert_non_null(strstr(run->log.text, "compression=\\00 formats=\\00 "));
    run_free(run);
}

static void test_contradictory_lengths_are_marked(void **state) {
    (void)state;
    struct bytes hello = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    struct bytes wrong = hello;
    wrong.data[5 + 4 + 2 + 32 + 1 + 32 + 1] += 2; /* cipher suites: two bytes more than before */
    struct run *run = run_new();
    feed(run, 0, &wrong);
    assert_non_null(strstr(run->log.text, "flags=82 "));
    assert_string_equal(run->log.ja3, "");
    assert_string_equal(run->log.ja4, "");
    run_free(run);
}

static void test_both_sides_foreign_is_poison(void **state) {
    (void)state;
    struct bytes text = {0};
    put(&text, "GET / HTTP/1.1\r\n", 16);
    struct run *run = run_new();
    feed(run, 0, &text);
    assert_int_equal(run->result, FS_PARSE_MORE);
    feed(run, 1, &text);
    assert_int_equal(run->result, FS_PARSE_POISONED);
    assert_int_equal(run->log.length, 0);
    run_free(run);
}

static void test_fin_ends_a_side(void **state) {
    (void)state;
    struct bytes hello = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    struct run *run = run_new();
    feed_at(run, 0, hello.data, hello.length / 2, 0);
    assert_int_equal(fs_parser_tls.fin(run->parser, FS_INITIATOR, 0, 0), FS_PARSE_MORE);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
    assert_non_null(strstr(run->log.text, "exchange=1 incomplete"));
    assert_non_null(strstr(run->log.text, "ja3= ja4= "));
    run->result = fs_parser_tls.fin(run->parser, FS_RESPONDER, 0, 0);
    assert_int_equal(run->result, FS_PARSE_DONE);
    assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 1);
    run_free(run);
}

/* ---- however it is cut ---- */

static unsigned make_all(struct scenario scenarios[8]) {
    unsigned count = 0;
    memset(scenarios, 0, 8 * sizeof(scenarios[0]));
    make_tls_1_3(&scenarios[count++]);
    make_tls_1_2(&scenarios[count++], true);
    make_tls_1_2(&scenarios[count++], false);
    make_retry(&scenarios[count++], false);
    make_retry(&scenarios[count++], true);
    make_sslv2(&scenarios[count++]);
    make_refused(&scenarios[count++]);
    return count;
}

static struct scenario all[8];

static void test_splitting_changes_nothing(void **state) {
    (void)state;
    unsigned count = make_all(all);
    for (unsigned i = 0; i < count; i++) {
        struct run *whole = played(&all[i], 0, true);
        assert_true(whole->log.length > 0);
        for (int piece = -40; piece <= 9; piece++) {
            struct run *pieces = played(&all[i], piece < 0 ? -1 : piece, true);
            assert_string_equal(pieces->log.text, whole->log.text);
            assert_int_equal(pieces->result, whole->result);
            free(pieces);
        }
        free(whole);
    }
}

/* Handshake and alert content in other records. */
static void test_fragmentation_into_records_changes_nothing(void **state) {
    (void)state;
    unsigned count = make_all(all);
    for (unsigned i = 0; i < count; i++) {
        struct run *whole = played(&all[i], 0, false);
        for (unsigned size = 1; size < 700; size += size < 40 ? 1 : 13) {
            static struct scenario other;
            memset(&other, 0, sizeof(other));
            refragment(&other, &all[i], size, size % 3 == 0);
            struct run *run = played(&other, size % 2 ? 0 : -1, false);
            assert_string_equal(run->log.text, whole->log.text);
            assert_int_equal(run->result, whole->result);
            free(run);
        }
        free(whole);
    }
}

/* A whole message is as it was, or it is not there; and nothing is reported twice. */
static void test_gaps_everywhere(void **state) {
    (void)state;
    static const unsigned sizes[] = {1, 3, 5, 40, 300, 3000};
    unsigned count = make_all(all);
    for (unsigned i = 0; i < count; i++) {
        struct run *whole = played(&all[i], 0, false);
        for (unsigned turn = 0; turn < all[i].count; turn++) {
            const struct bytes *bytes = &all[i].turns[turn].bytes;
            for (size_t at = 0; at < bytes->length; at += 1 + (at > 40 ? random_below(9) : 0)) {
                unsigned gap = sizes[random_below(6)];
                struct run *run = run_new();
                run->log.has_places = false;
                for (unsigned k = 0; k < all[i].count; k++) {
                    const struct turn *at_turn = &all[i].turns[k];
                    size_t cut = k == turn ? at : at_turn->bytes.length;
                    feed_at(run, at_turn->side, at_turn->bytes.data, cut, k);
                    if (k == turn) {
                        size_t end = cut + gap < at_turn->bytes.length ? cut + gap : at_turn->bytes.length;
                        feed_at(run, at_turn->side, NULL, end - cut, k);
                        feed_at(run, at_turn->side, at_turn->bytes.data + end, at_turn->bytes.length - end, k);
                    }
                }
                run_end(run);
                for (unsigned kind = 0; kind < 3; kind++) {
                    assert_true(run->log.kinds[kind] <= whole->log.kinds[kind]);
                }
                assert_true(run->log.ja4[0] == '\0' || strstr(whole->log.text, run->log.ja4) != NULL);
                assert_true(run->log.ja3s[0] == '\0' || strstr(whole->log.text, run->log.ja3s) != NULL);
                free(run);
            }
        }
        free(whole);
    }
}

/* The hole that an application data record hides leaves the alert after it legible. */
static void test_gap_inside_a_record(void **state) {
    (void)state;
    struct bytes hello = {0}, rest = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    put_record(&rest, 22, 0x0303, "\13\0\1\0", 4); /* Certificate of 256 bytes */
    put_zero_record(&rest, 22, 256);
    put_record(&rest, 21, 0x0303, "\2\60", 2);
    struct run *run = run_new();
    feed(run, 0, &hello);
    feed_at(run, 1, rest.data, 30, 0);
    feed_at(run, 1, NULL, 100, 0);
    feed_at(run, 1, rest.data + 130, rest.length - 130, 0);
    assert_non_null(strstr(run->log.text, "alert=2/48"));
    struct fs_tls_stats stats;
    fs_tls_get_stats(run->parser, &stats);
    assert_int_equal(stats.side[1].certificate_bytes, 256);
    assert_int_equal(stats.side[1].records, 3);
    assert_int_equal(stats.side[0].handshake_messages, 1);
    run_free(run);
}

static void test_pickup_in_the_middle(void **state) {
    (void)state;
    struct bytes records = {0}, hello = {0};
    put_zero_record(&records, 23, 700);
    put_zero_record(&records, 23, 300);
    struct run *run = run_new();
    feed_at(run, 0, NULL, 1000, 0);
    feed(run, 0, &records);
    assert_int_equal(run->result, FS_PARSE_MORE);
    feed(run, 1, &records);
    assert_int_equal(run->result, FS_PARSE_DONE);
    assert_int_equal(run->log.length, 0);
    run_free(run);

    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    run = run_new();
    feed_at(run, 0, NULL, 1000, 0);
    feed(run, 0, &hello);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
    run_free(run);
}

/* ---- hostile ---- */

static void test_mutations(void **state) {
    (void)state;
    unsigned count = make_all(all);
    for (unsigned round = 0; round < 6000; round++) {
        static struct scenario scenario;
        scenario = all[random_below(count)];
        for (unsigned n = 1 + random_below(4); n > 0; n--) {
            struct bytes *bytes = &scenario.turns[random_below(scenario.count)].bytes;
            size_t at = random_below(2) ? random_below((uint32_t)bytes->length) : random_below(60) % bytes->length;
            bytes->data[at] = (uint8_t)random_below(256);
        }
        struct run *whole = played(&scenario, 0, true);
        struct run *pieces = played(&scenario, -1, true);
        assert_string_equal(pieces->log.text, whole->log.text);
        assert_int_equal(pieces->result, whole->result);
        free(pieces);
        free(whole);
    }
}

static void test_each_allocation_fails(void **state) {
    (void)state;
    unsigned count = make_all(all);
    for (unsigned i = 0; i < count; i++) {
        struct run *whole = played(&all[i], 1, true);
        uint64_t calls = whole->counting.calls;
        assert_true(calls >= 4);
        for (uint64_t n = 2; n <= calls; n++) {
            for (int on = 0; on < 2; on++) {
                struct run *run = run_new();
                run->counting.fail_at = n;
                run->counting.fail_on = on == 1;
                play(run, &all[i], 1);
                run_end(run);
                assert_memory_equal(run->log.kinds, whole->log.kinds, sizeof(run->log.kinds));
                assert_int_equal(run->result, whole->result);
                free(run);
            }
        }
        free(whole);
    }
    struct counting_allocator counting;
    struct fs_parser_host host = {.allocator = counting_allocator_init(&counting), .on_message = on_message};
    counting.fail_at = 1;
    assert_null(fs_parser_tls.create(&host));
}

/* Both sides announce hellos of 256 KiB, full of what costs most. */
static void test_memory_stays_under_the_cap(void **state) {
    (void)state;
    static uint8_t content[1 << 14];
    struct run *run = run_new();
    uint64_t own = run->counting.bytes;
    for (int round = 0; round < 2; round++) {
        for (int side = 0; side < 2; side++) {
            struct bytes start = {0};
            static const uint8_t header[] = {4, 0, 0, 3, 3};
            uint8_t type = side == 0 ? 1 : 2;
            put_record_header(&start, 22, 0x0303, 6);
            put(&start, &type, 1);
            put(&start, header, 5);
            feed(run, side, &start);
        }
        for (unsigned i = 0; i < 4 * 16; i++) {
            struct bytes header = {0};
            put_record_header(&header, 22, 0x0303, sizeof(content) / 4);
            for (int side = 0; side < 2; side++) {
                feed(run, side, &header);
                feed_at(run, side, content, sizeof(content) / 4, 0);
            }
        }
    }
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST] + run->log.kinds[FS_MESSAGE_RESPONSE], 2);
    assert_int_equal(run->log.complete, 0);
    assert_true(run->log.peak > own + FS_TLS_HELLO_LIMIT);
    assert_true(run->log.peak <= own + 4 * (uint64_t)FS_TLS_HELLO_LIMIT + 4 * (uint64_t)FS_TLS_NAME_LIMIT);
    assert_true(run->counting.bytes <= own + 4 * (uint64_t)FS_TLS_NAME_LIMIT);
    run_free(run);
}

/* As long as may be kept: whole, with the list and the text of the largest. */
static void test_the_longest_hello(void **state) {
    (void)state;
    for (int over = 0; over < 2; over++) {
        static uint8_t body[FS_TLS_HELLO_LIMIT + 2];
        size_t length = FS_TLS_HELLO_LIMIT + (over ? 2 : 0), ciphers = length - 2 - 32 - 2 - 2 - 2;
        memset(body, 0xc1, sizeof(body));
        body[0] = body[1] = 3;
        body[34] = 1; /* a session ID that makes the rest even */
        body[36] = (uint8_t)(ciphers >> 8);
        body[37] = (uint8_t)ciphers;
        body[length - 2] = 1;
        struct run *run = run_new();
        uint64_t own = run->counting.bytes;
        uint8_t header[4] = {1, 0, (uint8_t)(length >> 8), (uint8_t)length};
        struct bytes start = {0};
        put_record(&start, 22, 0x0301, header, 4);
        feed(run, 0, &start);
        for (size_t at = 0; at < length; at += 10000) {
            size_t part = length - at < 10000 ? length - at : 10000;
            struct bytes record = {0};
            put_record_header(&record, 22, 0x0301, part);
            feed(run, 0, &record);
            feed_at(run, 0, body + at, part, 0);
        }
        assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
        assert_int_equal(run->log.complete, over ? 0 : 1);
        assert_int_equal(run->log.ja4[0], over ? '\0' : 't');
        assert_true(run->log.peak <= own + 7 * (uint64_t)FS_TLS_HELLO_LIMIT);
        run_free(run);
    }
}

static void test_endless_small_things(void **state) {
    (void)state;
    static uint8_t zeros[1 << 14];
    struct bytes hello = {0}, header = {0}, empty = {0}, tiny = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    put_record_header(&header, 22, 0x0303, sizeof(zeros));
    for (unsigned i = 0; i < 100; i++) {
        put_record_header(&empty, 22, 0x0303, 0);
        put_record(&tiny, 22, 0x0303, "", 1);
    }
    struct run *run = run_new();
    feed(run, 0, &hello);
    uint64_t calls = run->counting.calls;
    for (unsigned i = 0; i < 300; i++) { /* HelloRequests, four bytes each */
        feed(run, 1, &header);
        feed_at(run, 1, zeros, sizeof(zeros), 0);
        feed(run, 1, &empty);
        feed(run, 1, &tiny);
    }
    assert_int_equal(run->result, FS_PARSE_MORE);
    assert_int_equal(run->counting.calls, calls);
    run_free(run);

    run = run_new();
    for (unsigned i = 0; i < 2000; i++) { /* ClientHellos: all but the last two are given up */
        feed(run, 0, &hello);
    }
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 2000);
    assert_int_equal(run->log.kinds[FS_MESSAGE_UNANSWERED], 1998);
    run_free(run);
}

static void test_application_data_takes_no_memory(void **state) {
    (void)state;
    struct bytes hello = {0}, data = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    put_zero_record(&data, 23, 1400);
    struct run *run = run_new();
    feed(run, 0, &hello);
    uint64_t calls = run->counting.calls;
    for (unsigned i = 0; i < 10000; i++) {
        feed(run, 0, &data);
    }
    assert_int_equal(run->counting.calls, calls);
    assert_int_equal(run->result, FS_PARSE_MORE);
    struct fs_tls_stats stats;
    fs_tls_get_stats(run->parser, &stats);
    assert_int_equal(stats.side[0].application_records, 10000);
    assert_int_equal(stats.side[0].application_bytes, 14000000);
    run_free(run);
}

/* ---- single rules ---- */

static void put_plain_hello(struct bytes *record, const struct bytes *extensions, const char *tail) {
    static const uint16_t ciphers[] = {0x1301};
    struct bytes body = {0};
    hello_start(&body, 0x0303, 0, ciphers, 1);
    put_block16(&body, extensions);
    put(&body, tail, strlen(tail));
    put_handshake(record, 1, &body);
}

static void test_message_after_a_gap_in_the_same_record(void **state) {
    (void)state;
    struct bytes hello = {0}, record = {0}, certificate = {0};
    put_server_hello(&hello, &(struct server){.version = 0x0303});
    certificate.length = 256;
    put_record_header(&record, 22, 0x0303, 4 + 256 + hello.length - 5);
    put(&record, "\13\0", 2);
    put_block16(&record, &certificate);
    put(&record, hello.data + 5, hello.length - 5);
    struct run *run = run_new();
    feed_at(run, 1, record.data, 50, 0);
    feed_at(run, 1, NULL, 100, 0);
    feed_at(run, 1, record.data + 150, record.length - 150, 0);
    assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 1);
    assert_int_equal(run->log.complete, 1);
    run_free(run);
}

static void test_second_hello_in_pieces_after_a_change_of_cipher(void **state) {
    (void)state;
    struct bytes hello = {0}, retry = {0}, change = {0}, pieces = {0};
    put_chrome_hello(&hello, &(struct chrome){.alpn = "\2h2"});
    put_server_hello(&retry, &(struct server){.version = 0x0304, .is_retry = true});
    put_record(&change, 20, 0x0303, "\1", 1);
    put_record(&pieces, 22, 0x0303, hello.data + 5, 100);
    put_record(&pieces, 22, 0x0303, hello.data + 105, hello.length - 105);
    struct run *run = run_new();
    feed(run, 0, &hello);
    feed(run, 1, &retry);
    feed(run, 0, &change);
    feed(run, 0, &pieces);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 2);
    char bytes[32];
    snprintf(bytes, sizeof(bytes), "bytes=%u ", (unsigned)pieces.length);
    assert_non_null(strstr(run->log.text, bytes));
    run_free(run);
}

static void test_alerts_in_doubt(void **state) {
    (void)state;
    struct bytes encrypted = {0}, plain = {0}, pieces = {0};
    put_record(&encrypted, 21, 0x0303, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 20);
    put_record(&plain, 21, 0x0303, "\2\50", 2);
    put_record(&pieces, 21, 0x0303, "\2", 1);
    put_record(&pieces, 21, 0x0303, "\50", 1);
    struct run *run = run_new();
    feed_at(run, 0, NULL, 10, 0);
    feed(run, 0, &encrypted);
    assert_int_equal(run->log.kinds[FS_MESSAGE_NOTICE], 0);
    feed(run, 0, &plain);
    assert_int_equal(run->log.kinds[FS_MESSAGE_NOTICE], 1);
    feed(run, 1, &pieces);
    assert_int_equal(run->log.kinds[FS_MESSAGE_NOTICE], 2);
    assert_non_null(strstr(run->log.text, "bytes=12 "));
    run_free(run);
}

static void test_who_may_send_what(void **state) {
    (void)state;
    struct bytes client = {0}, server = {0};
    put_chrome_hello(&client, &(struct chrome){.alpn = "\2h2"});
    put_server_hello(&server, &(struct server){.version = 0x0304});
    struct run *run = run_new();
    feed(run, 0, &client);
    feed(run, 0, &server);
    feed(run, 1, &client);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
    assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 0);
    feed(run, 1, &server);
    assert_int_equal(run->log.kinds[FS_MESSAGE_RESPONSE], 1);
    run_free(run);
}

/* Encrypted, though it begins as a hello would: it does not fill its record, or has no version. */
static void test_what_is_not_a_hello(void **state) {
    (void)state;
    struct bytes client = {0}, records = {0};
    put_chrome_hello(&client, &(struct chrome){.alpn = "\2h2"});
    put_zero_record(&records, 23, 100);
    put_record(&records, 22, 0x0303, "\1\0\0\60\3\3\3\3\3\3", 10);
    struct run *run = run_new();
    feed(run, 0, &client);
    feed(run, 0, &records);
    fs_parser_tls.end(run->parser, false, 0, 0);
    assert_int_equal(run->log.kinds[FS_MESSAGE_REQUEST], 1);
    run_free(run);

    client.data[5 + 4] = 9;
    run = run_new();
    feed(run, 0, &client);
    assert_int_equal(run->log.length, 0);
    run_free(run);
}

static void test_lost_hellos_keep_the_numbers(void **state) {
    (void)state;
    struct bytes client = {0}, retry = {0}, server = {0};
    put_chrome_hello(&client, &(struct chrome){.alpn = "\2h2"});
    put_server_hello(&retry, &(struct server){.version = 0x0304, .is_retry = true});
    put_server_hello(&server, &(struct server){.version = 0x0304});
    struct run *run = run_new();
    feed(run, 0, &client);
    feed(run, 0, &client);
    feed(run, 1, &server);
    assert_non_null(strstr(run->log.text, "\n1 type=2 side=1 exchange=2 "));
    run_free(run);
    run = run_new();
    feed(run, 1, &retry);
    feed(run, 0, &client);
    feed(run, 1, &server);
    assert_non_null(strstr(run->log.text, "\n0 type=1 side=0 exchange=2 "));
    assert_non_null(strstr(run->log.text, "\n1 type=2 side=1 exchange=2 "));
    run_free(run);
}

static void test_long_names_are_cut_in_the_answer(void **state) {
    (void)state;
    char name[301], list[400] = "";
    memset(name, 'n', 300);
    name[300] = '\0';
    struct bytes extensions = {0}, alpn = {0}, client = {0}, server = {0};
    put_server_name(&extensions, name);
    for (unsigned i = 0; i < 20; i++) {
        memcpy(list + (size_t)i * 20, "\23protocol-of-19-byte", 20);
    }
    put16(&alpn, sizeof(list));
    put(&alpn, list, sizeof(list));
    put_extension(&extensions, 16, alpn.data, alpn.length);
    put_plain_hello(&client, &extensions, "");
    put_server_hello(&server, &(struct server){.version = 0x0304});
    struct run *run = run_new();
    uint64_t own = run->counting.bytes;
    feed(run, 0, &client);
    assert_int_equal(run->counting.bytes - own, 255 + 240);
    assert_non_null(strstr(run->log.text, "total=20 cut=1"));
    feed(run, 1, &server);
    assert_non_null(strstr(strstr(run->log.text, "\n1 type=2"), "total=20 cut=1"));
    run_free(run);
}

static void test_bytes_after_the_extensions(void **state) {
    (void)state;
    struct bytes extensions = {0}, client = {0};
    put_server_name(&extensions, "example.org");
    put_plain_hello(&client, &extensions, "x");
    struct run *run = run_new();
    feed(run, 0, &client);
    assert_non_null(strstr(run->log.text, "flags=80 "));
    assert_string_equal(run->log.ja3, "");
    run_free(run);
}

static void test_versions(void **state) {
    (void)state;
    struct bytes extensions = {0}, client = {0}, server = {0};
    put_extension(&extensions, 43, "\4\x7f\x12\3\3", 5);
    put_plain_hello(&client, &extensions, "");
    /* Draft 18: neither session ID nor compression method. */
    struct bytes body = {0};
    put16(&body, 0x7f12);
    put(&body, "ServerHello's random of 32 bytes\x13\x02\0\0", 36);
    put_handshake(&server, 2, &body);
    struct run *run = run_new();
    feed(run, 0, &client);
    assert_non_null(strstr(run->log.text, "legacy=0303 version=7f12"));
    assert_memory_equal(run->log.ja4, "t00i0101", 8);
    feed(run, 1, &server);
    assert_non_null(strstr(run->log.text, "flags=0 record=0301 legacy=7f12 version=7f12 cipher=1302"));
    run_free(run);

    client.length = 0;
    put_chrome_hello(&client, &(struct chrome){.alpn = "\2h2"});
    run = run_new();
    feed_at(run, 0, client.data, 100, 0);
    fs_parser_tls.end(run->parser, false, 0, 0);
    assert_non_null(strstr(run->log.text, "incomplete"));
    assert_non_null(strstr(run->log.text, "flags=2 record=0301 legacy=0303 version=0000"));
    run_free(run);
}

/* ---- the probe ---- */

static enum fs_probe_result probe(const char *data, size_t length) {
    struct fs_chunk chunk = {.data = (const uint8_t *)data, .length = length};
    return fs_parser_tls.probe(&chunk);
}

static void test_probe(void **state) {
    (void)state;
    assert_int_equal(probe("\x16\x03\x01\x02\x00\x01", 6), FS_PROBE_YES);
    for (size_t length = 0; length < 6; length++) {
        assert_int_equal(probe("\x16\x03\x01\x02\x00\x01", length), FS_PROBE_MORE);
    }
    assert_int_equal(probe("\x17\x03\x03\x48\x00", 5), FS_PROBE_YES);
    assert_int_equal(probe("\x17\x03\x03\x48\x01", 5), FS_PROBE_NO);
    assert_int_equal(probe("\x17\x03\x03\x00\x00", 5), FS_PROBE_NO);
    assert_int_equal(probe("\x15\x03\x03\x00\x02", 5), FS_PROBE_YES);
    assert_int_equal(probe("\x14\x03\x03\x00\x01", 5), FS_PROBE_YES);
    assert_int_equal(probe("\x14\x03\x03\x00\x02", 5), FS_PROBE_NO);
    assert_int_equal(probe("\x18\x03\x03\x00\x02", 5), FS_PROBE_NO);
    assert_int_equal(probe("\x16\x03\x05", 3), FS_PROBE_NO);
    assert_int_equal(probe("\x16\x03\x01\x02\x00\x63", 6), FS_PROBE_NO);
    assert_int_equal(probe("GET", 3), FS_PROBE_NO);
    assert_int_equal(probe("\x80\x2e\x02", 3), FS_PROBE_NO);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(fs_tls_version_name(0x0002), "SSL 2.0");
    assert_string_equal(fs_tls_version_name(0x0300), "SSL 3.0");
    assert_string_equal(fs_tls_version_name(0x0304), "TLS 1.3");
    assert_string_equal(fs_tls_version_name(0x7f12), "TLS 1.3 draft");
    assert_string_equal(fs_tls_version_name(0x1234), "unknown");
    unsigned grease = 0;
    for (unsigned i = 0; i < 65536; i++) {
        grease += fs_tls_is_grease((uint16_t)i);
    }
    assert_int_equal(grease, 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ja3_of_the_publication),
        cmocka_unit_test(test_ja4_of_the_specification),
        cmocka_unit_test(test_ja4_alpn_rule),
        cmocka_unit_test(test_ja4_counts_stop_at_99),
        cmocka_unit_test(test_ja3s),
        cmocka_unit_test(test_tls_1_3),
        cmocka_unit_test(test_tls_1_2_resumption_and_alert),
        cmocka_unit_test(test_hello_retry_request),
        cmocka_unit_test(test_order_of_sides_does_not_matter),
        cmocka_unit_test(test_sslv2_client_hello),
        cmocka_unit_test(test_unanswered),
        cmocka_unit_test(test_marks_of_a_client_hello),
        cmocka_unit_test(test_contradictory_lengths_are_marked),
        cmocka_unit_test(test_both_sides_foreign_is_poison),
        cmocka_unit_test(test_fin_ends_a_side),
        cmocka_unit_test(test_splitting_changes_nothing),
        cmocka_unit_test(test_fragmentation_into_records_changes_nothing),
        cmocka_unit_test(test_gaps_everywhere),
        cmocka_unit_test(test_gap_inside_a_record),
        cmocka_unit_test(test_pickup_in_the_middle),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_memory_stays_under_the_cap),
        cmocka_unit_test(test_the_longest_hello),
        cmocka_unit_test(test_endless_small_things),
        cmocka_unit_test(test_application_data_takes_no_memory),
        cmocka_unit_test(test_message_after_a_gap_in_the_same_record),
        cmocka_unit_test(test_second_hello_in_pieces_after_a_change_of_cipher),
        cmocka_unit_test(test_alerts_in_doubt),
        cmocka_unit_test(test_who_may_send_what),
        cmocka_unit_test(test_what_is_not_a_hello),
        cmocka_unit_test(test_lost_hellos_keep_the_numbers),
        cmocka_unit_test(test_long_names_are_cut_in_the_answer),
        cmocka_unit_test(test_bytes_after_the_extensions),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
