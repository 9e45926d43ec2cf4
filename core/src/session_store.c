/* SPDX-License-Identifier: MIT */
/* Names, defaults, and the life of what sessions share. */
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/tls.h"
#include "session_internal.h"

#include <string.h>

enum { PROBE_LIMIT_MAXIMUM = 64 << 10 };

/* ---- names ---- */

const char *fs_session_protocol_name(int protocol) {
    switch (protocol) {
#define FS_SESSION_CASE(symbol, value, name)                                                                           \
    case value:                                                                                                        \
        return name;
        FS_SESSION_PROTOCOL_MAP(FS_SESSION_CASE)
#undef FS_SESSION_CASE
    default:
        return protocol > FS_SESSION_USER && protocol <= UINT8_MAX ? "user" : "unknown";
    }
}

const char *fs_message_kind_name(int kind) {
    static const char *const names[FS_MESSAGE_KIND_COUNT] = {"request", "response", "notice", "unanswered"};
    return kind >= 0 && kind < FS_MESSAGE_KIND_COUNT ? names[kind] : "unknown";
}

unsigned fs_session_protocol_index(unsigned protocol) {
    return protocol < FS_SESSION_PROTOCOL_COUNT - 1 ? protocol : FS_SESSION_PROTOCOL_COUNT - 1;
}

/* ---- what sessions share ---- */

static const struct fs_parser *const default_parsers[] = {&fs_parser_http, &fs_parser_tls, &fs_parser_dns_udp,
                                                          &fs_parser_dns_tcp, &fs_parser_dns_multicast};

static const struct fs_session_port default_ports[] = {
    {53, FS_SESSION_DNS, true},                                     /* domain */
    {5353, FS_SESSION_DNS, true},                                   /* mDNS */
    {5355, FS_SESSION_DNS, true},                                   /* LLMNR */
    {80, FS_SESSION_HTTP, false},                                   /* http */
    {591, FS_SESSION_HTTP, false},                                  /* http-alt */
    {631, FS_SESSION_HTTP, false},                                  /* ipp */
    {1900, FS_SESSION_HTTP, false},                                 /* ssdp's descriptions */
    {2869, FS_SESSION_HTTP, false},                                 /* ssdp events */
    {3128, FS_SESSION_HTTP, false},                                 /* squid */
    {5000, FS_SESSION_HTTP, false}, {5985, FS_SESSION_HTTP, false}, /* wsman */
    {8000, FS_SESSION_HTTP, false}, {8008, FS_SESSION_HTTP, false}, {8080, FS_SESSION_HTTP, false},
    {8081, FS_SESSION_HTTP, false}, {8088, FS_SESSION_HTTP, false}, {8888, FS_SESSION_HTTP, false},
    {443, FS_SESSION_TLS, false},                                  /* https */
    {465, FS_SESSION_TLS, false},                                  /* submissions */
    {563, FS_SESSION_TLS, false},                                  /* nntps */
    {636, FS_SESSION_TLS, false},                                  /* ldaps */
    {853, FS_SESSION_TLS, false},                                  /* DNS over TLS */
    {989, FS_SESSION_TLS, false},                                  /* ftps-data */
    {990, FS_SESSION_TLS, false},                                  /* ftps */
    {992, FS_SESSION_TLS, false},                                  /* telnets */
    {993, FS_SESSION_TLS, false},                                  /* imaps */
    {995, FS_SESSION_TLS, false},                                  /* pop3s */
    {4433, FS_SESSION_TLS, false},                                 /* openssl s_server */
    {5061, FS_SESSION_TLS, false},                                 /* sips */
    {5671, FS_SESSION_TLS, false},                                 /* amqps */
    {5986, FS_SESSION_TLS, false},                                 /* wsmans */
    {6697, FS_SESSION_TLS, false},                                 /* ircs */
    {8443, FS_SESSION_TLS, false},  {8883, FS_SESSION_TLS, false}, /* mqtts */
};

void fs_session_config_defaults(struct fs_session_config *config) {
    memset(config, 0, sizeof *config);
    config->parsers = default_parsers;
    config->parser_count = sizeof default_parsers / sizeof default_parsers[0];
    config->ports = default_ports;
    config->port_count = sizeof default_ports / sizeof default_ports[0];
    config->probe_limit = 2 << 10;
    config->datagram_limit = 4;
    config->flow_limit = 1 << 20;
    config->total_limit = 256 << 20;
}

static bool is_valid(const struct fs_session_config *config) {
    if (config->parser_count > FS_SESSION_PARSERS_MAX || config->port_count > FS_SESSION_PORTS_MAX ||
        config->probe_limit < 1 || config->probe_limit > PROBE_LIMIT_MAXIMUM)
        return false;
    for (size_t i = 0; i < config->parser_count; i++) {
        if (!config->parsers[i])
            return false;
    }
    return true;
}

struct fs_sessions *fs_sessions_new(const struct fs_session_config *config, const struct fs_allocator *allocator) {
    struct fs_session_config defaults;
    if (!config) {
        fs_session_config_defaults(&defaults);
        config = &defaults;
    }
    if (!is_valid(config))
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_sessions *sessions = fs__alloc(&memory, sizeof *sessions);
    if (!sessions)
        return NULL;
    memset(sessions, 0, sizeof *sessions);
    sessions->memory = memory;
    sessions->config = *config;
    for (size_t i = 0; i < config->parser_count; i++)
        sessions->parsers[i] = config->parsers[i];
    for (size_t i = 0; i < config->port_count; i++)
        sessions->ports[i] = config->ports[i];
    sessions->config.parsers = sessions->parsers;
    sessions->config.ports = sessions->ports;
    return sessions;
}

void fs_sessions_free(struct fs_sessions *sessions) {
    if (!sessions)
        return;
    while (sessions->free) {
        struct fs_session *session = sessions->free;
        sessions->free = session->next_free;
        fs__release(&sessions->memory, session, sizeof *session);
    }
    while (sessions->free_choices) {
        struct fs__session_choice *choice = sessions->free_choices;
        sessions->free_choices = choice->next_free;
        fs__release(&sessions->memory, choice, sizeof *choice);
    }
    struct fs__memory memory = sessions->memory;
    fs__release(&memory, sessions, sizeof *sessions);
}

void fs_sessions_get_stats(const struct fs_sessions *sessions, struct fs_session_stats *stats) {
    *stats = sessions->stats;
    stats->memory_bytes = sessions->memory.bytes;
}

void fs_session_stats_add(struct fs_session_stats *sum, const struct fs_session_stats *other) {
    for (unsigned i = 0; i < FS_SESSION_PROTOCOL_COUNT; i++) {
        sum->flows[i] += other->flows[i];
        sum->done[i] += other->done[i];
        sum->poisoned[i] += other->poisoned[i];
        for (unsigned kind = 0; kind < FS_MESSAGE_KIND_COUNT; kind++)
            sum->messages[i][kind] += other->messages[i][kind];
    }
    sum->undecided += other->undecided;
    sum->probes += other->probes;
    sum->probe_bytes += other->probe_bytes;
    sum->refused += other->refused;
    sum->unmade += other->unmade;
    sum->memory_bytes += other->memory_bytes;
}
