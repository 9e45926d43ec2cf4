/* SPDX-License-Identifier: MIT */
/** @file http.h
 * HTTP/1.x (RFC 9110, RFC 9112) as a parser: requests and responses, paired, with what a log line needs and the signs
 * of request smuggling. docs/sessions-http.md has the rules in full.
 *
 * A message is reported once, after its body. Bodies are counted, never kept. A gap never ends the parser: inside a
 * body of known length it is counted into it; anywhere else that side looks for its next start line. Captures that
 * begin in mid-stream, or hold one side only, are read the same way.
 *
 * Memory: less than FS_HTTP_MEMORY_MAX a flow, whatever is sent; between messages about 1.5 KiB.
 */
#ifndef FLOWSCOPE_HTTP_H
#define FLOWSCOPE_HTTP_H

#include "flowscope/parser.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The parser; struct fs_message.detail is a `const struct fs_http_message *`. Its tick is NULL: HTTP has no time-out
 * of its own, so requests are unanswered at the end of the flow. */
extern const struct fs_parser fs_parser_http;

/** Caps. */
enum {
    FS_HTTP_LINE_MAX = 8192,          /**< bytes of a line that are looked at; the rest is counted */
    FS_HTTP_HEADERS_MAX = 65536,      /**< bytes of a header block after which only what frames the body is taken */
    FS_HTTP_METHOD_MAX = 32,          /**< longer ones are not methods */
    FS_HTTP_TARGET_MAX = 2048,        /**< kept of a request target; of Referer and Location likewise */
    FS_HTTP_REQUESTS_MAX = 1024,      /**< requests that wait for their responses; later ones are only counted */
    FS_HTTP_REQUEST_TEXT_MAX = 65536, /**< bytes of their texts kept of all of them */
    FS_HTTP_SEARCH_MAX = 1048576,     /**< bytes, of both sides, looked through before it is not HTTP */
    FS_HTTP_MEMORY_MAX = 262144       /**< bytes allocated for a flow */
};

/** What is notable about a message; bits. XX(symbol, bit, slug, text). From `te-and-cl` on they are signs of broken or
 * hostile software: two readers may disagree about where such a message ends. */
#define FS_HTTP_FLAG_MAP(XX)                                                                                           \
    XX(FS_HTTP_CHUNKED, 0x00000001, "chunked", "body in chunks")                                                       \
    XX(FS_HTTP_CLOSE_DELIMITED, 0x00000002, "close-delimited", "body ends with the connection")                        \
    XX(FS_HTTP_INTERIM, 0x00000004, "interim", "1xx response: another follows")                                        \
    XX(FS_HTTP_UPGRADED, 0x00000008, "upgraded", "101: another protocol follows")                                      \
    XX(FS_HTTP_TUNNEL, 0x00000010, "tunnel", "CONNECT succeeded: a tunnel follows")                                    \
    XX(FS_HTTP_RESYNCHRONIZED, 0x00000020, "resynchronized", "bytes before it could not be read")                      \
    XX(FS_HTTP_BODY_RULED_OUT, 0x00000040, "body-ruled-out", "a response followed where the body of this one was due") \
    XX(FS_HTTP_TEXT_TRUNCATED, 0x00000080, "text-truncated", "a text was longer than what is kept of it")              \
    XX(FS_HTTP_LINE_TRUNCATED, 0x00000100, "line-truncated", "line longer than what is looked at")                     \
    XX(FS_HTTP_HEADERS_TRUNCATED, 0x00000200, "headers-truncated", "header block longer than what is kept")            \
    XX(FS_HTTP_REQUEST_FORGOTTEN, 0x00000400, "request-forgotten", "too many requests waited to remember this one's")  \
    XX(FS_HTTP_TE_AND_CL, 0x00000800, "te-and-cl", "both Transfer-Encoding and Content-Length")                        \
    XX(FS_HTTP_CL_CONFLICT, 0x00001000, "cl-conflict", "Content-Length values that differ")                            \
    XX(FS_HTTP_CL_REPEATED, 0x00002000, "cl-repeated", "Content-Length given more than once, alike")                   \
    XX(FS_HTTP_CL_INVALID, 0x00004000, "cl-invalid", "Content-Length that is not digits, or too large")                \
    XX(FS_HTTP_TE_NOT_LAST, 0x00008000, "te-not-last", "Transfer-Encoding whose last coding is not chunked")           \
    XX(FS_HTTP_TE_ODD, 0x00010000, "te-odd", "unknown transfer coding, or chunked more than once")                     \
    XX(FS_HTTP_TE_IN_1_0, 0x00020000, "te-in-1.0", "Transfer-Encoding in HTTP/1.0")                                    \
    XX(FS_HTTP_CHUNK_INVALID, 0x00040000, "chunk-invalid", "chunk size or end that cannot be read")                    \
    XX(FS_HTTP_CHUNK_EXTENSION, 0x00080000, "chunk-extension", "chunk with an extension")                              \
    XX(FS_HTTP_OBS_FOLD, 0x00100000, "obs-fold", "header line that continues the one before")                          \
    XX(FS_HTTP_BARE_CR, 0x00200000, "bare-cr", "CR without LF in a line")                                              \
    XX(FS_HTTP_BARE_LF, 0x00400000, "bare-lf", "line that ends without CR")                                            \
    XX(FS_HTTP_SPACE_BEFORE_COLON, 0x00800000, "space-before-colon", "whitespace between header name and colon")       \
    XX(FS_HTTP_NUL, 0x01000000, "nul", "NUL in the start line or a header")                                            \
    XX(FS_HTTP_HEADER_INVALID, 0x02000000, "header-invalid", "header without colon, or name that is not a token")      \
    XX(FS_HTTP_HOST_REPEATED, 0x04000000, "host-repeated", "more than one Host")                                       \
    XX(FS_HTTP_START_LINE_ODD, 0x08000000, "start-line-odd", "start line against the grammar, or unusual version")     \
    XX(FS_HTTP_0_9, 0x10000000, "http-0.9", "request without a version, or the bare body that answers it")             \
    XX(FS_HTTP_UPGRADE_UNASKED, 0x20000000, "upgrade-unasked", "101 to a request that did not ask for it: ignored")

enum fs_http_flag {
#define FS_HTTP_FLAG_ENUM(symbol, bit, slug, text) symbol = bit,
    FS_HTTP_FLAG_MAP(FS_HTTP_FLAG_ENUM)
#undef FS_HTTP_FLAG_ENUM
};
enum { FS_HTTP_FLAG_COUNT = 30 };

/** Slug and text of one flag; "unknown" for anything else; static storage. */
const char *fs_http_flag_slug(uint32_t flag);
const char *fs_http_flag_text(uint32_t flag);

/** Bytes as they were sent, any of 0 to 255, not sanitised and without a NUL at the end; valid during the callback.
 * `data` is never NULL; length 0 where there was none. */
struct fs_http_text {
    const uint8_t *data;
    size_t length;
};

#define FS_HTTP_NO_LENGTH UINT64_MAX

/** One request or response. */
struct fs_http_message {
    bool is_response;
    uint8_t version_major, version_minor; /**< 1 and 1; 0 and 9 without a version; 0 and 0 if not known */
    uint16_t status;                      /**< responses: 0 to 999; 0 of a HTTP/0.9 response; requests: 0 */
    uint32_t flags;                       /**< enum fs_http_flag */
    /** Of the request; in a response too, if its request was seen. `host` is the Host header's value, `target` what
     * stands in the request line: a path, or a whole URI to a proxy, or host:port of a CONNECT. */
    struct fs_http_text method, target, host;
    struct fs_http_text user_agent;      /**< likewise of the request; at most 512 bytes; of the first such header */
    struct fs_http_text referer;         /**< likewise */
    struct fs_http_text reason;          /**< responses; at most 128 bytes */
    struct fs_http_text content_type;    /**< at most 256 bytes; this and all that follow: of the first such header */
    struct fs_http_text transfer_coding; /**< at most 128 bytes */
    struct fs_http_text upgrade;         /**< at most 64 bytes */
    struct fs_http_text server;          /**< responses; at most 256 bytes */
    struct fs_http_text location;        /**< responses */
    uint64_t content_length;             /**< as declared; FS_HTTP_NO_LENGTH if it was not, or not readable */
    uint64_t body_bytes;                 /**< of the body, chunk framing taken off, gaps counted in */
    uint64_t body_missing;               /**< of these, in gaps */
    uint64_t header_bytes;               /**< start line, headers, the empty line, and trailers */
    uint32_t header_count;               /**< header lines, trailers counted in; saturates */
    /** Responses: end of the request, from which the time to the first byte counts: message->start_ns - this. It may be
     * later than that, if the server did not wait. FS_NO_TIME if not seen, or if the request had not ended by then. */
    uint64_t request_end_ns;
};

#ifdef __cplusplus
}
#endif
#endif
