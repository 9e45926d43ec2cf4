/* SPDX-License-Identifier: MIT */
/** @file tls_support.h
 * Records, hellos and whole conversations, byte by byte.
 */
#ifndef FLOWSCOPE_TESTS_TLS_SUPPORT_H
#define FLOWSCOPE_TESTS_TLS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BYTES_MAX = 16000, TURNS_MAX = 10 };

struct bytes {
    uint8_t data[BYTES_MAX];
    size_t length;
};

/* What one side sends at a time. */
struct turn {
    int side;
    struct bytes bytes;
};

struct scenario {
    struct turn turns[TURNS_MAX];
    unsigned count;
};

void put(struct bytes *bytes, const void *data, size_t length);
void put8(struct bytes *bytes, unsigned value);
void put16(struct bytes *bytes, size_t value);
void put_block16(struct bytes *bytes, const struct bytes *block);

void put_record_header(struct bytes *bytes, unsigned type, unsigned version, size_t length);
void put_record(struct bytes *bytes, unsigned type, unsigned version, const void *data, size_t length);
/* TLS 1.2's version, and zeros. */
void put_zero_record(struct bytes *bytes, unsigned type, size_t length);
/* A handshake message in a record of its own. */
void put_handshake(struct bytes *bytes, unsigned type, const struct bytes *body);

/* Up to the compression methods. */
void hello_start(struct bytes *body, unsigned version, size_t session_id, const uint16_t *ciphers, size_t count);
void put_extension(struct bytes *extensions, unsigned type, const void *data, size_t length);
void put_server_name(struct bytes *extensions, const char *name);
void put_list16(struct bytes *extensions, unsigned type, const uint16_t *values, size_t count);
void put_point_formats(struct bytes *extensions);

/* The ClientHello of JA4's specification, GREASE added. */
struct chrome {
    const char *alpn; /* strings with a byte of length each; "": an empty list */
    bool without_algorithms;
    bool extras; /* ticket, PSK, early data, ECH */
};
void put_chrome_hello(struct bytes *bytes, const struct chrome *options);

struct server {
    unsigned version;
    bool is_retry, has_session_id;
    const char *alpn;
};
void put_server_hello(struct bytes *bytes, const struct server *options);
void put_sslv2_hello(struct bytes *bytes);

void make_tls_1_3(struct scenario *scenario);
void make_tls_1_2(struct scenario *scenario, bool resumes);
void make_retry(struct scenario *scenario, bool early_data);
void make_sslv2(struct scenario *scenario);
void make_refused(struct scenario *scenario);

/* The same with handshake and alert records cut to `size`, or joined with their like if `joins`. */
void refragment(struct scenario *to, const struct scenario *from, size_t size, bool joins);

#endif
