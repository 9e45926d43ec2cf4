/* SPDX-License-Identifier: MIT */
/** @file packet_support.h
 * Packet descriptors for tests, without frames behind them.
 */
#ifndef FLOWSCOPE_TESTS_PACKET_SUPPORT_H
#define FLOWSCOPE_TESTS_PACKET_SUPPORT_H

#include "flowscope/packet.h"

#include <string.h>

#define MS(n) ((uint64_t)(n)*1000000u)
#define SECONDS(n) ((uint64_t)(n)*1000000000u)

/** One end of a conversation: host 10.0.x.y and a port. */
struct end {
    uint16_t host;
    uint16_t port;
};

static inline struct fs_packet packet_between(uint8_t protocol, struct end from, struct end to, uint64_t time_ns) {
    struct fs_packet packet;
    memset(&packet, 0, sizeof(packet));
    const uint8_t source[4] = {10, 0, (uint8_t)(from.host >> 8), (uint8_t)from.host};
    const uint8_t target[4] = {10, 0, (uint8_t)(to.host >> 8), (uint8_t)to.host};
    packet.orientation = (uint8_t)fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, source, target, from.port,
                                             to.port, protocol, false);
    packet.time_ns = time_ns;
    packet.ttl = 64;
    packet.ip_len = 28;
    packet.wire_len = 42;
    return packet;
}

static inline void add_payload(struct fs_packet *packet, uint32_t length) {
    packet->payload_len += length;
    packet->ip_len += length;
    packet->wire_len += length;
}

static inline struct fs_packet udp_between(struct end from, struct end to, uint64_t time_ns, uint32_t payload) {
    struct fs_packet packet = packet_between(FS_PROTO_UDP, from, to, time_ns);
    add_payload(&packet, payload);
    return packet;
}

static inline struct fs_packet tcp_between(struct end from, struct end to, uint64_t time_ns, unsigned flags,
                                           uint32_t seq, uint32_t ack, uint32_t payload) {
    struct fs_packet packet = packet_between(FS_PROTO_TCP, from, to, time_ns);
    packet.flags |= FS_PACKET_HAS_TCP;
    packet.ip_len = 40;
    packet.wire_len = 54;
    add_payload(&packet, payload);
    packet.tcp.seq = seq;
    packet.tcp.ack = ack;
    packet.tcp.flags = (uint16_t)flags;
    packet.tcp.window = 8192;
    return packet;
}

#endif
