/* SPDX-License-Identifier: MIT */
/* What the parts of the TLS parser share: tls.c reads records, tls_exchange.c reports messages, tls_hello.c reads
 * hellos, tls_fingerprint.c makes JA3, JA3S and JA4. */
#ifndef FS_TLS_INTERNAL_H
#define FS_TLS_INTERNAL_H

#include "allocation.h"
#include "flowscope/tls.h"

enum {
    FS__TLS_CHANGE_CIPHER_SPEC = 20,
    FS__TLS_ALERT = 21,
    FS__TLS_HANDSHAKE = 22,
    FS__TLS_APPLICATION_DATA = 23,
    FS__TLS_HEARTBEAT = 24,
    FS__TLS_RECORD_HEADER = 5,
    FS__TLS_RECORD_LIMIT = (1 << 14) + 2048, /* RFC 5246, 6.2.3; RFC 8446 allows less */
    FS__TLS_HANDSHAKE_HEADER = 4,
    FS__TLS_HELLO_CLIENT = 1,
    FS__TLS_HELLO_SERVER = 2,
    FS__TLS_CERTIFICATE = 11,
    FS__TLS_SSLV2_HEADER = 11, /* of a ClientHello: two bytes of length, type, version, three lengths */
    FS__TLS_HELLO_SSLV2 = 256, /* stands for a handshake type */
    FS__TLS_EXTENSION_SERVER_NAME = 0,
    FS__TLS_EXTENSION_ALPN = 16,
    FS__TLS_NO_SIDE = 2,
    FS__TLS_1_2 = 0x0303,
    FS__TLS_1_3 = 0x0304
};

/* Where a message lies. */
struct fs__tls_span {
    uint64_t start_ns, end_ns, bytes;
    uint32_t start_frame, end_frame;
};

/* What is remembered of a ClientHello for its answer. */
struct fs__tls_exchange {
    struct fs__tls_span span;
    uint64_t number; /* 0: the place is free */
    bool is_answered, is_incomplete, is_cut;
    uint8_t side;
    uint8_t session_id_length;
    uint8_t session_id[32];
    uint16_t version, legacy_version, record_version, flags;
    uint16_t name_length, alpn_length;
    uint32_t alpn_total;
    uint8_t *names; /* the server name, then the ALPN list as it was sent */
    char ja3[33], ja4[37];
};

/* Both sides' hellos. */
struct fs__tls_exchanges {
    struct fs_parser_host host;
    struct fs__memory memory;
    struct fs__tls_exchange recent[2]; /* number n at n % 2 */
    uint64_t client_number, server_number;
    uint16_t version;   /* of the ServerHello; 0 before */
    uint8_t client;     /* side, or FS__TLS_NO_SIDE */
    bool retry_pending; /* a HelloRetryRequest, and no ServerHello since */
};

/* A hello's body as it was received. */
struct fs__tls_hello {
    const uint8_t *body;
    size_t length;
    struct fs__tls_span span;
    uint16_t type; /* FS__TLS_HELLO_* */
    uint16_t record_version;
    uint8_t side;
    bool is_whole;
};

/* ---- tls_exchange.c ---- */

/* False if it cannot be a hello after all: nothing was reported. */
bool fs__tls_report_hello(struct fs__tls_exchanges *exchanges, const struct fs__tls_hello *hello);
void fs__tls_report_alert(struct fs__tls_exchanges *exchanges, uint8_t side, uint16_t record_version,
                          const uint8_t alert[2], const struct fs__tls_span *span);
void fs__tls_report_unanswered(struct fs__tls_exchanges *exchanges);
void fs__tls_exchanges_free(struct fs__tls_exchanges *exchanges);
bool fs__tls_is_1_3(uint16_t version);

/* ---- tls_hello.c ---- */

/* Read a body as far as it goes; `pool` has room for length / 2 numbers and may be NULL: no lists then. Sets
 * FS_TLS_MALFORMED if a whole message contradicts itself. Returns whether its own structure is sound. */
bool fs__tls_read_client_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message);
bool fs__tls_read_server_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message);
bool fs__tls_read_sslv2_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message);
/* Split an ALPN list, a sequence of strings with a byte of length each. Returns whether it is sound. */
bool fs__tls_split_alpn(const uint8_t *list, size_t length, struct fs_tls_client *client);
/* Of strings that were split from one list: where it begins, and the length of the sound part that is listed. */
const uint8_t *fs__tls_alpn_list(const struct fs_tls_client *client, size_t *length);

/* ---- tls_fingerprint.c ---- */

/* JA3 or JA3S: its MD5 into `digest`; the length of its text is returned, which `text` takes unless it is NULL. */
size_t fs__tls_ja3(const struct fs_tls_message *message, char digest[33], char *text);
/* `scratch` has room for the cipher suites or the extensions, whichever are more. */
void fs__tls_ja4(const struct fs_tls_message *message, uint16_t *scratch, char ja4[37]);

#endif
