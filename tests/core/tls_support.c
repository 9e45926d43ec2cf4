/* SPDX-License-Identifier: MIT */
#include "tls_support.h"

#include <stdlib.h>
#include <string.h>

enum { CHANGE_CIPHER = 20, ALERT = 21, HANDSHAKE = 22, APPLICATION = 23 };

void put(struct bytes *bytes, const void *data, size_t length) {
    if (length > BYTES_MAX - bytes->length) {
        abort();
    }
    if (length > 0) {
        memcpy(bytes->data + bytes->length, data, length);
    }
    bytes->length += length;
}

void put8(struct bytes *bytes, unsigned value) {
    uint8_t byte = (uint8_t)value;
    put(bytes, &byte, 1);
}

void put16(struct bytes *bytes, size_t value) {
    put8(bytes, (unsigned)(value >> 8));
    put8(bytes, (unsigned)(value & 255));
}

void put_block16(struct bytes *bytes, const struct bytes *block) {
    put16(bytes, block->length);
    put(bytes, block->data, block->length);
}

void put_record_header(struct bytes *bytes, unsigned type, unsigned version, size_t length) {
    put8(bytes, type);
    put16(bytes, version);
    put16(bytes, length);
}

void put_record(struct bytes *bytes, unsigned type, unsigned version, const void *data, size_t length) {
    put_record_header(bytes, type, version, length);
    put(bytes, data, length);
}

void put_zero_record(struct bytes *bytes, unsigned type, size_t length) {
    static const uint8_t zeros[BYTES_MAX];
    put_record(bytes, type, 0x0303, zeros, length);
}

void put_handshake(struct bytes *bytes, unsigned type, const struct bytes *body) {
    put_record_header(bytes, HANDSHAKE, 0x0301, 4 + body->length);
    put8(bytes, type);
    put8(bytes, 0);
    put_block16(bytes, body);
}

void hello_start(struct bytes *body, unsigned version, size_t session_id, const uint16_t *ciphers, size_t count) {
    put16(body, version);
    for (unsigned i = 0; i < 32; i++) {
        put8(body, 7 * i + 1);
    }
    put8(body, (unsigned)session_id);
    for (unsigned i = 0; i < session_id; i++) {
        put8(body, 200 - i);
    }
    put16(body, 2 * count);
    for (size_t i = 0; i < count; i++) {
        put16(body, ciphers[i]);
    }
    put(body, "\1", 2);
}

void put_extension(struct bytes *extensions, unsigned type, const void *data, size_t length) {
    put16(extensions, type);
    put16(extensions, length);
    put(extensions, data, length);
}

void put_server_name(struct bytes *extensions, const char *name) {
    size_t length = strlen(name);
    put16(extensions, 0);
    put16(extensions, length + 5);
    put16(extensions, length + 3);
    put8(extensions, 0);
    put16(extensions, length);
    put(extensions, name, length);
}

void put_list16(struct bytes *extensions, unsigned type, const uint16_t *values, size_t count) {
    put16(extensions, type);
    put16(extensions, 2 + 2 * count);
    put16(extensions, 2 * count);
    for (size_t i = 0; i < count; i++) {
        put16(extensions, values[i]);
    }
}

void put_point_formats(struct bytes *extensions) {
    put_extension(extensions, 11, "\1", 2);
}

static void put_alpn(struct bytes *extensions, const char *list) {
    struct bytes block = {0};
    put16(&block, strlen(list));
    put(&block, list, strlen(list));
    put_extension(extensions, 16, block.data, block.length);
}

static void put_key_shares(struct bytes *extensions) {
    struct bytes block = {0};
    put16(&block, 5 + 36);
    put(&block, "\x0a\x0a\0\1\0\0\x1d\0\x20", 9);
    put(&block, "0123456789abcdef0123456789abcdef", 32);
    put_extension(extensions, 51, block.data, block.length);
}

static void put_extras(struct bytes *extensions) {
    put_extension(extensions, 0xfe0d, "\0\0\1\0\1", 5);
    put_extension(extensions, 42, "", 0);
    put_extension(extensions, 41, "\0\7", 2);
}

/* Of the specification, in its order: 001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015
 */
static void put_chrome_extensions(struct bytes *extensions, const struct chrome *options) {
    static const uint16_t algorithms[] = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};
    static const uint16_t groups[] = {0x2a2a, 0x001d, 0x0017, 0x0018};
    put_extension(extensions, 0x5a5a, "", 0);
    put_extension(extensions, 27, "\2\0\2", 3);
    put_server_name(extensions, "example.org");
    put_key_shares(extensions);
    put_alpn(extensions, options->alpn);
    put_extension(extensions, 0x4469, "\0\3\2h2", 5);
    put_extension(extensions, 23, "", 0);
    put_extension(extensions, 45, "\1\1", 2);
    put_list16(extensions, 13, algorithms, options->without_algorithms ? 0 : 8);
    put_extension(extensions, 5, "\1\0\0\0\0", 5);
    put_extension(extensions, 35, "ticket", options->extras ? 6 : 0);
    put_extension(extensions, 18, "", 0);
    put_extension(extensions, 43, "\6\x0a\x0a\3\4\3\3", 7);
    put_extension(extensions, 0xff01, "", 1);
    put_point_formats(extensions);
    put_list16(extensions, 10, groups, 4);
    put_extension(extensions, 21, "\0\0\0\0\0\0\0", 7);
    put_extension(extensions, 0xaaaa, "", 1);
}

static const uint16_t chrome_ciphers[] = {0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                                          0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};

void put_chrome_hello(struct bytes *bytes, const struct chrome *options) {
    struct bytes body = {0}, extensions = {0};
    hello_start(&body, 0x0303, 32, chrome_ciphers, 16);
    put_chrome_extensions(&extensions, options);
    if (options->extras) {
        put_extras(&extensions);
    }
    put_block16(&body, &extensions);
    put_handshake(bytes, 1, &body);
}

/* SHA-256 of "HelloRetryRequest". */
static const uint8_t retry_random[32] = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
                                        "\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c";

void put_server_hello(struct bytes *bytes, const struct server *options) {
    struct bytes body = {0}, extensions = {0};
    bool is_1_3 = options->version == 0x0304;
    put16(&body, is_1_3 ? 0x0303 : options->version);
    put(&body, options->is_retry ? retry_random : (const uint8_t *)"ServerHello's random of 32 bytes", 32);
    put8(&body, options->has_session_id ? 32 : 0);
    for (unsigned i = 0; i < 32 && options->has_session_id; i++) {
        put8(&body, 200 - i);
    }
    put16(&body, is_1_3 ? 0x1301 : 0xc030);
    put8(&body, 0);
    if (is_1_3) {
        static const uint8_t share[36] = {0, 0x1d, 0, 32};
        put_extension(&extensions, 51, share, options->is_retry ? 2 : sizeof(share));
        put_extension(&extensions, 43, "\3\4", 2);
    } else if (options->alpn) {
        put_alpn(&extensions, options->alpn);
    }
    put_block16(&body, &extensions);
    put_handshake(bytes, 2, &body);
}

void put_sslv2_hello(struct bytes *bytes) {
    put16(bytes, 0x8000 | (9 + 12 + 16));
    put8(bytes, 1);
    put16(bytes, 0x0301);
    put16(bytes, 12);
    put16(bytes, 0);
    put16(bytes, 16);
    put(bytes, "\0\0\4\0\0\5\1\0\x80\0\0\x0a", 12);
    put(bytes, "0123456789abcdef", 16);
}

/* ---- conversations ---- */

static struct bytes *turn(struct scenario *scenario, int side) {
    if (scenario->count == TURNS_MAX) {
        abort();
    }
    scenario->turns[scenario->count].side = side;
    return &scenario->turns[scenario->count++].bytes;
}

void make_tls_1_3(struct scenario *scenario) {
    put_chrome_hello(turn(scenario, 0), &(struct chrome){.alpn = "\2h2\10http/1.1"});
    struct bytes *answer = turn(scenario, 1);
    put_server_hello(answer, &(struct server){.version = 0x0304, .has_session_id = true});
    put_record(answer, CHANGE_CIPHER, 0x0303, "\1", 1);
    put_zero_record(answer, APPLICATION, 2000);
    struct bytes *finished = turn(scenario, 0);
    put_record(finished, CHANGE_CIPHER, 0x0303, "\1", 1);
    put_zero_record(finished, APPLICATION, 53);
    put_zero_record(finished, APPLICATION, 300);
}

static void put_finished(struct bytes *bytes) {
    put_record(bytes, CHANGE_CIPHER, 0x0303, "\1", 1);
    put_record(bytes, HANDSHAKE, 0x0303,
               "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10", 40);
}

/* Several messages in a record, and a warning: unrecognized_name. */
void make_tls_1_2(struct scenario *scenario, bool resumes) {
    put_chrome_hello(turn(scenario, 0), &(struct chrome){.alpn = "\2h2"});
    struct bytes *answer = turn(scenario, 1);
    put_record(answer, ALERT, 0x0303, "\1\x70", 2);
    put_server_hello(answer, &(struct server){.version = 0x0303, .has_session_id = resumes, .alpn = "\2h2"});
    if (!resumes) {
        struct bytes messages = {0}, body = {0};
        body.length = 1200; /* Certificate, then ServerHelloDone */
        put(&messages, "\13\0", 2);
        put_block16(&messages, &body);
        put(&messages, "\16\0\0\0", 4);
        put_record(answer, HANDSHAKE, 0x0303, messages.data, messages.length);
        struct bytes *exchange = turn(scenario, 0);
        put_record(exchange, HANDSHAKE, 0x0303, "\20\0\0\4abcd", 8);
        put_finished(exchange);
        answer = turn(scenario, 1);
    }
    put_finished(answer);
    put_zero_record(answer, APPLICATION, 100);
    struct bytes *last = turn(scenario, 0);
    if (resumes) {
        put_finished(last);
    }
    put_zero_record(last, APPLICATION, 100);
}

void make_retry(struct scenario *scenario, bool early_data) {
    struct bytes *first = turn(scenario, 0);
    put_chrome_hello(first, &(struct chrome){.alpn = "\2h2", .extras = early_data});
    if (early_data) {
        put_record(first, CHANGE_CIPHER, 0x0303, "\1", 1);
        put_zero_record(first, APPLICATION, 500);
    }
    struct bytes *retry = turn(scenario, 1);
    put_server_hello(retry, &(struct server){.version = 0x0304, .is_retry = true});
    put_record(retry, CHANGE_CIPHER, 0x0303, "\1", 1);
    struct bytes *second = turn(scenario, 0);
    if (!early_data) {
        put_record(second, CHANGE_CIPHER, 0x0303, "\1", 1);
    }
    put_chrome_hello(second, &(struct chrome){.alpn = "\2h2"});
    struct bytes *answer = turn(scenario, 1);
    put_server_hello(answer, &(struct server){.version = 0x0304});
    put_zero_record(answer, APPLICATION, 900);
    put_zero_record(turn(scenario, 0), APPLICATION, 60);
}

void make_sslv2(struct scenario *scenario) {
    put_sslv2_hello(turn(scenario, 0));
    struct bytes *answer = turn(scenario, 1);
    put_server_hello(answer, &(struct server){.version = 0x0301});
    put_finished(answer);
    put_finished(turn(scenario, 0));
}

/* A fatal alert instead of an answer. */
void make_refused(struct scenario *scenario) {
    put_chrome_hello(turn(scenario, 0), &(struct chrome){.alpn = "\2h2"});
    put_record(turn(scenario, 1), ALERT, 0x0301, "\2\50", 2);
}

/* ---- other records ---- */

static bool may_change(const struct bytes *bytes, size_t at, bool is_clear) {
    return is_clear && (bytes->data[at] == HANDSHAKE || bytes->data[at] == ALERT);
}

static void refragment_turn(struct bytes *to, const struct bytes *from, size_t size, bool joins, bool *is_clear) {
    size_t at = 0;
    if (from->data[0] >= 0x80) {
        *to = *from;
        return;
    }
    while (at < from->length) {
        struct bytes content = {0};
        uint8_t type = from->data[at];
        unsigned version = (unsigned)(from->data[at + 1] << 8 | from->data[at + 2]);
        bool changes = may_change(from, at, *is_clear);
        do {
            size_t length = (size_t)from->data[at + 3] << 8 | from->data[at + 4];
            put(&content, from->data + at + 5, length);
            at += 5 + length;
        } while (joins && changes && at < from->length && from->data[at] == type);
        if (type == CHANGE_CIPHER) {
            *is_clear = false;
        }
        for (size_t done = 0; done < content.length;) {
            size_t part = changes && content.length - done > size ? size : content.length - done;
            put_record(to, type, version, content.data + done, part);
            done += part;
        }
    }
}

/* After a change of cipher an alert or a hello is told by its record, which is left as it is. */
void refragment(struct scenario *to, const struct scenario *from, size_t size, bool joins) {
    bool is_clear[2] = {true, true};
    to->count = from->count;
    for (unsigned i = 0; i < from->count; i++) {
        to->turns[i].side = from->turns[i].side;
        refragment_turn(&to->turns[i].bytes, &from->turns[i].bytes, size, joins, &is_clear[from->turns[i].side]);
    }
}
