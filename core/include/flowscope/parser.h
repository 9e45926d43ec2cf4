/* SPDX-License-Identifier: MIT */
/** @file parser.h
 * What an application parser is: a table of functions over the bytes of a flow, and the messages that it emits.
 *
 * A parser sees one flow, both sides. Stream parsers get the bytes of each side in order, without a copy, from a
 * reassembler; datagram parsers get one datagram a call. How the bytes of a stream are split into calls never changes
 * the messages. What a parser must keep between calls it copies, up to a cap that its header states; past the cap it
 * says so in the message and goes on with less, or is done. It allocates only through `fs_parser_host`.
 *
 * A parser ends in one of two ways: *done* (there is nothing more to learn: TLS after the handshake) or *poisoned*
 * (the bytes are not its protocol, or cannot be followed any more). Its host then calls destroy and nothing else; the
 * flow goes on without it. So what is unfinished or unanswered is reported before either is returned.
 *
 * Order of calls: create; then feed, fin and tick, any number, as long as they return FS_PARSE_MORE; then end, unless
 * one of them returned something else; then destroy, which may follow at any time. Of one side, offsets never decrease,
 * every byte from its first call's offset on is fed once or lies in a gap, and nothing follows its fin. A side may have
 * no fin. Times may step backwards. The calls of a parser never overlap, and it must not be called from on_message.
 */
#ifndef FLOWSCOPE_PARSER_H
#define FLOWSCOPE_PARSER_H

#include "flowscope/allocator.h"
#include "flowscope/flow.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of one side, or a hole in them. */
struct fs_chunk {
    const uint8_t *data; /**< borrowed for the call; NULL for a gap */
    uint64_t length;     /**< bytes; of the hole for a gap */
    uint64_t offset;     /**< in the side's stream; 0 for datagrams */
    uint64_t time_ns;    /**< of the packet that supplied them */
    /** Datagrams: bytes at the end that were not captured, or came in other fragments: at least 1 of a first fragment,
     * as it does not tell how many. */
    uint64_t missing;
    uint32_t frame; /**< likewise; 0 if unknown */
    uint8_t side;   /**< enum fs_side */
};

/** What a message is to the exchange that it belongs to. */
enum fs_message_kind {
    FS_MESSAGE_REQUEST = 0,
    FS_MESSAGE_RESPONSE,
    FS_MESSAGE_NOTICE,    /**< stands alone: an alert, a server's hello */
    FS_MESSAGE_UNANSWERED /**< reported once for a request that got no answer in time or before the end */
};

/** Protocols with parsers in this library: XX(symbol, value, name). */
#define FS_SESSION_PROTOCOL_MAP(XX)                                                                                    \
    XX(FS_SESSION_NONE, 0, "none")                                                                                     \
    XX(FS_SESSION_HTTP, 1, "http")                                                                                     \
    XX(FS_SESSION_TLS, 2, "tls")                                                                                       \
    XX(FS_SESSION_DNS, 3, "dns")                                                                                       \
    XX(FS_SESSION_LENGTH_PREFIXED, 4, "length-prefixed")                                                               \
    XX(FS_SESSION_USER, 128, "user") /* and above: of callers */

enum fs_session_protocol {
#define FS_SESSION_ENUM(symbol, value, name) symbol = value,
    FS_SESSION_PROTOCOL_MAP(FS_SESSION_ENUM)
#undef FS_SESSION_ENUM
};

/** One message; plain data, valid during the callback. */
struct fs_message {
    uint8_t protocol; /**< enum fs_session_protocol */
    uint8_t kind;     /**< enum fs_message_kind */
    uint8_t side;     /**< enum fs_side: who sent it (of an unanswered request: who asked) */
    bool incomplete;  /**< a gap, a cap, a reset or the end cut it short */
    /** Number of the exchange in its flow, from 1; a request and its responses share it. 0: belongs to none. */
    uint64_t exchange;
    uint64_t start_ns, end_ns;       /**< time of its first and last byte */
    uint32_t start_frame, end_frame; /**< frames of these; 0 if unknown */
    uint64_t request_ns;             /**< responses: start of the request; FS_NO_TIME if it was not seen */
    uint32_t request_frame;          /**< responses: first frame of the request; 0 if it was not seen */
    uint64_t bytes;                  /**< length of the message, framing included, as far as it was seen */
    /** Of the protocol: `const struct fs_http_message *`, `fs_tls_message`, `fs_dns_message`, … */
    const void *detail;
};

/** How a parser reaches its surroundings. */
struct fs_parser_host {
    struct fs_allocator allocator;
    void (*on_message)(const struct fs_message *message, void *user);
    void *user;
};

enum fs_parse_result {
    FS_PARSE_MORE = 0, /**< goes on */
    FS_PARSE_DONE,     /**< nothing more to learn */
    FS_PARSE_POISONED  /**< not its protocol, or lost for good */
};

enum fs_probe_result {
    FS_PROBE_NO = 0,
    FS_PROBE_YES,
    FS_PROBE_MORE /**< too few bytes to tell */
};

/** A parser; static and constant. */
struct fs_parser {
    const char *name;
    uint8_t protocol; /**< enum fs_session_protocol, or FS_SESSION_USER and above */
    bool stream;      /**< over TCP; otherwise over datagrams */
    bool
        group; /**< datagrams: only of flows whose responder's address is a multicast group; others: only of the rest */
    /** Whether these first bytes of one side may be its protocol: `length` > 0 bytes at `data`. More bytes never change
     * FS_PROBE_YES or FS_PROBE_NO. Of a datagram more will not come. Cheap: it may be asked again at each byte. */
    enum fs_probe_result (*probe)(const struct fs_chunk *first);
    /** NULL without memory. The host outlives the parser. */
    void *(*create)(const struct fs_parser_host *host);
    /** Bytes, or a gap (chunk->data is NULL); length > 0. A side's first chunk may be a gap: its beginning was not
     * seen. */
    enum fs_parse_result (*feed)(void *parser, const struct fs_chunk *chunk);
    /** One side's stream ended in order (FIN). Not called for datagrams. */
    enum fs_parse_result (*fin)(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame);
    /** Time passes: report what is unanswered. Called with packets of the flow only. May be NULL. */
    enum fs_parse_result (*tick)(void *parser, uint64_t now_ns);
    /** The flow is over, by a reset if `reset`: emit what is unfinished. Called at most once, nothing follows but
     * destroy; not called after FS_PARSE_DONE or FS_PARSE_POISONED. May be NULL. */
    void (*end)(void *parser, bool reset, uint64_t time_ns, uint32_t frame);
    void (*destroy)(void *parser);
};

#ifdef __cplusplus
}
#endif
#endif
