/* SPDX-License-Identifier: MIT */
/** @file session.h
 * Sessions: which parser a flow gets, and the parser's life in it. docs/sessions.md has the rules.
 *
 * A `fs_sessions` is what all sessions of a thread share; a `fs_session` sits over one flow. It is made at the flow's
 * first payload byte and told everything that happens to the flow's bytes, in order. It chooses a parser, hands it the
 * bytes without a copy, and drops it when it is done or poisoned. Then, and when no parser wants the flow, the session
 * is *over*: it holds nothing, takes nothing, and never begins again.
 *
 * What is copied: the first bytes of a side, up to probe_limit, while parsers cannot tell yet whether they want it,
 * with 24 bytes for each packet among them.
 */
#ifndef FLOWSCOPE_SESSION_H
#define FLOWSCOPE_SESSION_H

#include "flowscope/parser.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fs_sessions;
struct fs_session;

enum {
    FS_SESSION_PARSERS_MAX = 32, /**< parsers to choose from at most */
    FS_SESSION_PORTS_MAX = 64,   /**< rows of ports at most */
    /** Protocols that are counted: FS_SESSION_NONE and the library's own by their numbers, then all of callers. */
    FS_SESSION_PROTOCOL_COUNT = 6,
    FS_MESSAGE_KIND_COUNT = 4
};

/** Name of a protocol, "user" for FS_SESSION_USER and above, "unknown" for other numbers; static storage. */
const char *fs_session_protocol_name(int protocol);
/** "request", "response", "notice", "unanswered"; "unknown" for other numbers; static storage. */
const char *fs_message_kind_name(int kind);
/** Where fs_session_stats counts a protocol: less than FS_SESSION_PROTOCOL_COUNT. */
unsigned fs_session_protocol_index(unsigned protocol);

/** The flow of a session. */
struct fs_session_flow {
    struct fs_key key;             /**< FS_KEY_5TUPLE: others get no parser */
    uint8_t initiator_orientation; /**< enum fs_orientation of packets from the initiator */
    bool from_middle;              /**< the beginning of its streams was not seen */
    void *user;                    /**< handed to on_message and hint */
};

enum fs_session_choice {
    FS_SESSION_PROBE = 0, /**< by ports and first bytes */
    FS_SESSION_TAKE,      /**< `parser`, without a probe */
    FS_SESSION_LEAVE      /**< no parser */
};

/** What the caller knows of a flow. */
struct fs_session_hint {
    enum fs_session_choice choice;
    const struct fs_parser *parser; /**< FS_SESSION_TAKE: of the flow's transport, else the flow is left */
};

/** What a port says. Rows whose parser is not among fs_session_config.parsers say nothing. */
struct fs_session_port {
    uint16_t port;    /**< of either side; the responder's counts first */
    uint8_t protocol; /**< of the parser */
    bool is_certain;  /**< no probe is needed; otherwise the parser is asked first, and believed without a probe where
                         the beginning of a stream was not seen and no other parser wants it */
};

struct fs_session_config {
    /** To choose from, in this order; default: http, tls, dns udp, tcp and multicast. Copied; the tables must last. */
    const struct fs_parser *const *parsers;
    size_t parser_count;
    /** Default: 53, 5353 and 5355, certainly DNS; 80, 3128, 8000, 8008, 8080, 8888 and others, HTTP first; 443, 853,
     * 8443 and others, TLS first. Copied. */
    const struct fs_session_port *ports;
    size_t port_count;
    uint32_t probe_limit; /**< bytes a side that wait for a choice, 1 to 64 KiB; default 2 KiB */
    /** Datagrams of a flow that are probed before it is left; default 4. */
    uint32_t datagram_limit;
    uint64_t flow_limit;  /**< bytes that the parser of a flow, or its choice, may allocate; default 1 MiB */
    uint64_t total_limit; /**< over all; default 256 MiB */
    /** Asked once a flow, at its first payload byte; `hint` is zero, which is FS_SESSION_PROBE. May be NULL. */
    void (*hint)(const struct fs_session_flow *flow, struct fs_session_hint *hint, void *hint_user);
    void *hint_user;
    /** Called for each message; `flow_user` is the flow's. Must not call back into the same session. May be NULL. */
    void (*on_message)(void *flow_user, const struct fs_message *message, void *user);
    void *user;
};

/** Totals; `_bytes` of memory are of now. They may be summed. */
struct fs_session_stats {
    /** Flows that got a parser, by fs_session_protocol_index(). [FS_SESSION_NONE]: those that got none and are over. */
    uint64_t flows[FS_SESSION_PROTOCOL_COUNT];
    uint64_t done[FS_SESSION_PROTOCOL_COUNT], poisoned[FS_SESSION_PROTOCOL_COUNT];
    uint64_t messages[FS_SESSION_PROTOCOL_COUNT][FS_MESSAGE_KIND_COUNT];
    uint64_t undecided;   /**< flows that were over before all was said: among flows[FS_SESSION_NONE] */
    uint64_t probes;      /**< times that a parser was asked */
    uint64_t probe_bytes; /**< bytes copied while parsers could not tell */
    uint64_t refused;     /**< allocations that failed or would have passed a limit */
    uint64_t unmade;      /**< flows without a session for want of memory; also in flows[FS_SESSION_NONE] */
    uint64_t memory_bytes;
};

void fs_session_config_defaults(struct fs_session_config *config);

/** Create what sessions share. NULL for defaults. Returns NULL without memory or if a value is out of range. */
struct fs_sessions *fs_sessions_new(const struct fs_session_config *config, const struct fs_allocator *allocator);
/** Free it; all its sessions must have been freed. NULL is ignored. */
void fs_sessions_free(struct fs_sessions *sessions);
void fs_sessions_get_stats(const struct fs_sessions *sessions, struct fs_session_stats *stats);
/** Add `other` to `sum`, field by field. */
void fs_session_stats_add(struct fs_session_stats *sum, const struct fs_session_stats *other);

/** Create the session of a flow; it may be over at once. NULL without memory. */
struct fs_session *fs_session_new(struct fs_sessions *sessions, const struct fs_session_flow *flow);
/** Free it, without messages: call fs_session_end() first. NULL is ignored. Its memory is used for the next. */
void fs_session_free(struct fs_session *session);

/** Whether nothing more will come of it: it may be freed, and need not be called. Calls are allowed and do nothing. */
bool fs_session_is_over(const struct fs_session *session);
/** enum fs_session_protocol, or the number of a caller's parser; also when it is over. FS_SESSION_NONE: not chosen. */
uint8_t fs_session_protocol(const struct fs_session *session);

/** The next bytes of a side of a stream, or a gap (`data` NULL), or a datagram. Offsets as the reassembler's: the first
 * chunk of a side may have an offset above 0, what is before it counts as a gap. Gaps before a session is made need not
 * be told. Length 0 is ignored. */
void fs_session_feed(struct fs_session *session, const struct fs_chunk *chunk);
/** A side's stream ended in order. */
void fs_session_fin(struct fs_session *session, enum fs_side side, uint64_t time_ns, uint32_t frame);
/** Time passes, at most as often as there are packets of the flow. */
void fs_session_tick(struct fs_session *session, uint64_t now_ns);
/** The flow is over. The session is over after it. */
void fs_session_end(struct fs_session *session, bool reset, uint64_t time_ns, uint32_t frame);

/** From the first byte of the request to the first byte of the response; 0 if the response came first. FS_NO_TIME for
 * anything but a response whose request was seen. */
uint64_t fs_message_time_ns(const struct fs_message *message);

/** A message in one line for people, NUL-terminated, at most `size` > 0 bytes with the NUL, valid UTF-8:
 *     GET example.org/index.html → 200 text/html 5 kB 12.3 ms       a response, with its request
 *     GET example.org/index.html                                    a request
 *     GET example.org/index.html unanswered
 *     TLS 1.3 SNI=example.org ALPN=h2,http/1.1                      a ClientHello
 *     TLS 1.2 SNI=example.org ALPN=h2 → ServerHello 20 ms
 *     TLS alert fatal handshake_failure
 *     A example.org → 93.184.216.34 8.1 ms
 *     length-prefixed 12 B
 * Of the traffic's own bytes, control characters, backslashes, formatting characters (bidirectional ones among them)
 * and what is not UTF-8 are \xNN (DNS names are as dns.h has them), each text has at most FS_MESSAGE_TEXT_SHOWN bytes,
 * and "…" ends what was cut. Messages of callers' parsers have their protocol's number, kind and size. Returns the
 * length. */
size_t fs_message_text(const struct fs_message *message, char *text, size_t size);

enum { FS_MESSAGE_TEXT_SHOWN = 160 /**< bytes of a host, target or name in it */ };

/** Name of a TLS alert (RFC 8446, 6, and the IANA registry), "unknown" for other numbers; static storage. */
const char *fs_tls_alert_name(unsigned alert);

#ifdef __cplusplus
}
#endif
#endif
