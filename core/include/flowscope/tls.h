/* SPDX-License-Identifier: MIT */
/** @file tls.h
 * The parser of TLS over TCP: what the two hellos and plaintext alerts say, and the client's and server's fingerprints.
 *
 * SSL 3.0 and TLS 1.0 to 1.3 (RFC 6101, 2246, 4346, 5246, 8446), and the ClientHello in SSL 2.0's form (RFC 5246,
 * E.2). Nothing is decrypted. Records other than those that carry hellos and plaintext alerts are counted and skipped,
 * each in constant time and without memory. DTLS and QUIC are not covered. docs/sessions-tls.md has the rules.
 *
 * Messages:
 *  - ClientHello: FS_MESSAGE_REQUEST; ServerHello and HelloRetryRequest: FS_MESSAGE_RESPONSE. They share an exchange:
 *    the first is number 1, what follows a HelloRetryRequest is number 2. Who sent the ClientHello is the client,
 *    whichever side of the flow that is.
 *  - plaintext alert: FS_MESSAGE_NOTICE, exchange 0.
 *  - FS_MESSAGE_UNANSWERED: a ClientHello without a ServerHello when the flow or the parser ends; times, frames and
 * bytes are those of the ClientHello.
 *
 * `bytes` counts the handshake message and the record headers before and inside it; `start_*` is of the record header
 * that it follows, if it is first in its record.
 *
 * The parser is done when both sides are encrypted, closed or lost, and poisoned when both are lost: what they sent is
 * not made of TLS records, or a gap hid where a record begins. Gaps inside a record do no harm to the records after it.
 *
 * Memory: a hello that does not lie in one chunk is copied, up to FS_TLS_HELLO_LIMIT a side. While a hello is
 * reported, its lists take up to twice its length more, and its JA3 text up to three times. What a response needs of
 * its request is kept, up to 2 * FS_TLS_NAME_LIMIT bytes of names for each of two exchanges. Without memory for a hello
 * it is reported as far as it is known, marked incomplete; create() returns NULL.
 */
#ifndef FLOWSCOPE_TLS_H
#define FLOWSCOPE_TLS_H

#include "flowscope/parser.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /** Bytes of a hello that are kept; a longer one is reported when these are there, and marked incomplete. Two full
     * records: hellos with post-quantum key shares have 1.2 to 2 KiB, and the largest key shares that have been tried
     * (FrodoKEM-976) 15.3 KiB. */
    FS_TLS_HELLO_LIMIT = 32 << 10,
    /** Bytes kept of a ClientHello's server name, and of its ALPN list, for the messages that follow it. DNS names have
     * 253 at most. */
    FS_TLS_NAME_LIMIT = 255,
    /** Application protocols that are listed; more are counted only. */
    FS_TLS_ALPN_MAX = 16
};

/** What a message is. */
enum fs_tls_type {
    FS_TLS_CLIENT_HELLO = 1,
    FS_TLS_SERVER_HELLO,
    FS_TLS_HELLO_RETRY_REQUEST, /**< a ServerHello whose random says so (RFC 8446, 4.1.3) */
    FS_TLS_ALERT
};

/** Marks of a hello; bits. */
enum fs_tls_flag {
    FS_TLS_SSLV2 = 0x0001,  /**< ClientHello in SSL 2.0's form: no extensions, no fingerprints */
    FS_TLS_GREASE = 0x0002, /**< has reserved values in some list (RFC 8701); lists keep them, fingerprints do not */
    FS_TLS_PSK = 0x0004,    /**< pre_shared_key: offered, or accepted */
    FS_TLS_EARLY_DATA = 0x0008, /**< ClientHello: early_data */
    FS_TLS_ECH = 0x0010,        /**< ClientHello: an outer encrypted_client_hello; the server name is the outer one */
    FS_TLS_TICKET = 0x0020,     /**< ClientHello: session_ticket that is not empty (RFC 5077) */
    /** ServerHello: resumes a session. TLS 1.3: it accepted a PSK; before: it repeats the session ID of a ClientHello
     * that was seen. */
    FS_TLS_RESUMED = 0x0040,
    /** Some length inside it contradicts another. What comes before that is reported. Fingerprints are left out if it
     * is the message's own structure, not that of one extension. */
    FS_TLS_MALFORMED = 0x0080
};

/** Bytes as they were sent: not terminated, not sanitised, perhaps not text. NULL and 0 if absent. */
struct fs_tls_bytes {
    const uint8_t *data;
    uint32_t length;
};

/** Numbers in the order in which they were sent, GREASE included. NULL and 0 if absent. */
struct fs_tls_list {
    const uint16_t *values;
    uint32_t count;
};

/** What tells clients apart. */
struct fs_tls_client {
    uint16_t version; /**< highest that it offers; 0 if unknown */
    /** host_name of server_name (RFC 6066). */
    struct fs_tls_bytes server_name;
    struct fs_tls_bytes alpn[FS_TLS_ALPN_MAX]; /**< its offer, in order (RFC 7301) */
    uint32_t alpn_count;                       /**< of `alpn` */
    uint32_t alpn_total;                       /**< as sent */
    bool is_cut;                               /**< names were left out or shortened, see FS_TLS_NAME_LIMIT */
    char ja3[33];                              /**< MD5 of the JA3 string, lower-case hexadecimal; "" if incomplete */
    char ja4[37];                              /**< likewise "" */
};

/** fs_message.detail of FS_SESSION_TLS. Plain data; pointers are valid during the callback. Lists that the message's
 * type does not have are empty. Of an extension that is repeated, the first counts. */
struct fs_tls_message {
    uint8_t type;        /**< enum fs_tls_type */
    uint8_t alert_level; /**< alerts: 1 warning, 2 fatal */
    uint8_t alert;       /**< alerts: AlertDescription (RFC 8446, 6) */
    uint8_t session_id_length;
    uint16_t flags;          /**< enum fs_tls_flag */
    uint16_t record_version; /**< of the record that it began in */
    uint16_t legacy_version; /**< the hello's own version field */
    /** Client: highest offered. Server: the one chosen. Alert: the one in force. 0 if unknown, as where a message was
     * cut before it says so. */
    uint16_t version;
    uint16_t cipher_suite; /**< server: the one chosen */
    uint16_t group;        /**< server: of its key share; HelloRetryRequest: the one it asks for; 0 if none */
    const uint8_t *random; /**< 32 bytes; NULL if not there */
    const uint8_t *session_id;
    struct fs_tls_list cipher_suites; /**< client; of SSL 2.0's form those that TLS has */
    struct fs_tls_list extensions;    /**< types */
    struct fs_tls_list versions;      /**< client: supported_versions */
    struct fs_tls_list groups;        /**< client: supported_groups */
    struct fs_tls_list signature_algorithms;
    struct fs_tls_list key_shares; /**< client: their groups */
    struct fs_tls_bytes compression_methods, point_formats;
    struct fs_tls_bytes alpn; /**< server: the one chosen; TLS 1.3 encrypts it */
    /** Fingerprint as text, NUL-terminated; NULL if incomplete or without memory. Client: JA3. Server: JA3S. */
    const char *ja3_text;
    char ja3s[33]; /**< server: MD5 of it; "" if incomplete */
    /** The client: of this ClientHello, or of the one that this message answers or follows; zeros if none was seen. */
    struct fs_tls_client client;
};

/** What a parser has seen of one side. */
struct fs_tls_side_stats {
    uint64_t records;
    uint64_t application_records, application_bytes; /**< of type 23; bytes without headers, holes included */
    uint64_t handshake_messages;                     /**< in plaintext */
    uint64_t certificate_bytes;                      /**< in plaintext Certificate messages, by their length fields */
};

struct fs_tls_stats {
    struct fs_tls_side_stats side[2]; /**< by enum fs_side */
};

/** The parser; struct fs_message.detail is a `const struct fs_tls_message *`. */
extern const struct fs_parser fs_parser_tls;

/** Counters of a parser that fs_parser_tls.create() returned. */
void fs_tls_get_stats(const void *parser, struct fs_tls_stats *stats);

/** "TLS 1.3", "SSL 3.0", "TLS 1.3 draft"; "unknown" for other numbers; static storage. */
const char *fs_tls_version_name(uint16_t version);

/** Whether the value is one of the reserved ones of RFC 8701 for lists of 16-bit numbers. */
bool fs_tls_is_grease(uint16_t value);

#ifdef __cplusplus
}
#endif
#endif
