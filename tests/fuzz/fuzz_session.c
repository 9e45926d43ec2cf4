/* SPDX-License-Identifier: MIT */
/* A session over one flow with the library's parsers. The first byte chooses port and transport, the second the limits;
 * then come steps: a byte with side, kind and length, and what is fed. Whatever comes: no parser is told of a byte
 * twice, memory stays under its limit and is given back, and a message in one line is plain text. */
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/length_prefixed.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition)
        abort();
}

struct run {
    size_t bytes; /* allocated */
    unsigned messages;
};

static void *count_alloc(size_t size, void *user) {
    ((struct run *)user)->bytes += size;
    return malloc(size);
}

static void count_release(void *pointer, size_t size, void *user) {
    ((struct run *)user)->bytes -= size;
    free(pointer);
}

static void on_message(void *flow_user, const struct fs_message *message, void *user) {
    struct run *run = user;
    char text[300];
    size_t size = 1 + run->messages++ % sizeof text;
    size_t length = fs_message_text(message, text, size);
    must(flow_user == run && length < size && text[length] == '\0');
    for (size_t i = 0; i < length; i++) {
        must((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
        must((uint8_t)text[i] != 0xc2 || (uint8_t)text[i + 1] >= 0xa0);
        must(memcmp(text + i, "\xe2\x80\xae", 3) != 0);
    }
}

static struct fs_session_flow flow_of(uint8_t shape, struct run *run) {
    static const uint16_t ports[] = {53, 80, 443, 7, 5353, 8080, 853, 5355};
    static const uint8_t client[4] = {10, 0, 0, 1}, server[4] = {10, 0, 0, 2}, group[4] = {224, 0, 0, 251};
    struct fs_session_flow flow;
    memset(&flow, 0, sizeof flow);
    flow.initiator_orientation =
        (uint8_t)fs_key_set(&flow.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, client, shape & 0x20 ? group : server, 40000,
                            ports[shape & 7], shape & 8 ? FS_PROTO_UDP : FS_PROTO_TCP, false);
    flow.from_middle = shape & 0x10;
    flow.user = run;
    return flow;
}

struct position {
    uint64_t offset[2];
    bool has_fin[2];
    uint32_t frame;
};

/* One step; returns how much of `data` it took. */
static size_t step(struct fs_session *session, struct position *at, const uint8_t *data, size_t size) {
    static const uint16_t lengths[] = {1, 3, 12, 64, 300, 1460, 16384, 65535};
    unsigned side = data[0] & 1, kind = data[0] >> 1 & 7;
    uint64_t length = lengths[data[0] >> 4 & 7];
    struct fs_chunk chunk = {.length = length, .offset = at->offset[side], .side = (uint8_t)side};
    chunk.frame = ++at->frame;
    chunk.time_ns = (uint64_t)at->frame * 1000000000;
    if (kind == 0)
        fs_session_tick(session, chunk.time_ns);
    if (kind == 1 && !at->has_fin[side]) {
        at->has_fin[side] = true;
        fs_session_fin(session, (enum fs_side)side, chunk.time_ns, chunk.frame);
    }
    if (kind < 2 || at->has_fin[side])
        return 1;
    if (kind == 2) {
        at->offset[side] += length;
        fs_session_feed(session, &chunk);
        return 1;
    }
    chunk.length = length < size - 1 ? length : size - 1;
    at->offset[side] += chunk.length;
    uint8_t *copy = malloc(chunk.length ? (size_t)chunk.length : 1);
    must(copy != NULL);
    memcpy(copy, data + 1, (size_t)chunk.length);
    chunk.data = copy;
    fs_session_feed(session, &chunk);
    free(copy);
    return 1 + (size_t)chunk.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct fs_parser *const parsers[] = {&fs_parser_http,          &fs_parser_tls,
                                                      &fs_parser_dns_udp,       &fs_parser_dns_tcp,
                                                      &fs_parser_dns_multicast, &fs_parser_length_prefixed_2};
    if (size < 2)
        return 0;
    struct run run = {0, 0};
    struct fs_allocator allocator = {count_alloc, count_release, &run};
    struct fs_session_config config;
    fs_session_config_defaults(&config);
    config.parsers = parsers;
    config.parser_count = 5 + (data[1] & 1);
    config.probe_limit = data[1] & 2 ? 40 : 2048;
    config.flow_limit = data[1] & 4 ? (uint64_t)data[1] << 8 : config.flow_limit;
    config.on_message = on_message;
    config.user = &run;
    struct fs_sessions *sessions = fs_sessions_new(&config, &allocator);
    must(sessions != NULL);
    struct fs_session_flow flow = flow_of(data[0], &run);
    size_t before = run.bytes + 512; /* the session's own */
    struct fs_session *session = fs_session_new(sessions, &flow);
    must(session != NULL);
    struct position position = {{0, 0}, {false, false}, 0};
    for (size_t at = 2; at < size;) {
        at += step(session, &position, data + at, size - at);
        must(run.bytes <= before + config.flow_limit);
    }
    fs_session_end(session, size & 1, 0, 0);
    must(fs_session_is_over(session));
    struct fs_session_stats stats;
    fs_sessions_get_stats(sessions, &stats);
    must(stats.memory_bytes == run.bytes);
    fs_session_free(session);
    fs_sessions_free(sessions);
    must(run.bytes == 0);
    return 0;
}
