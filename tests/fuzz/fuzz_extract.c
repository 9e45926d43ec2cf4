/* SPDX-License-Identifier: MIT */
/* Any bytes as a frame of any link type: no read out of bounds, and every descriptor keeps what extract.h promises.
 *
 * Input: link type, settings, bytes that were not captured (in sixteens), interface; the rest is the frame. */
#include "flowscope/extract.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t linktypes[] = {
    FS_LINK_ETHERNET, FS_LINK_RAW,  FS_LINK_LINUX_SLL, FS_LINK_LINUX_SLL2, FS_LINK_NULL,
    FS_LINK_LOOP,     FS_LINK_PPP,  FS_LINK_PPPOE,     FS_LINK_IEEE802_11, FS_LINK_IEEE802_11_RADIOTAP,
    FS_LINK_IPV4,     FS_LINK_IPV6, FS_LINK_PPP_HDLC,  147 /* unknown */,  FS_LINK_CISCO_HDLC,
};

static void require(int condition) {
    if (!condition)
        abort();
}

static struct fs_extract_config config_of(uint8_t bits) {
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    config.key = (enum fs_key_kind)(bits % FS_KEY_KIND_COUNT);
    config.domain = bits >> 2 & 7;
    config.tunnels = bits & 0x20 ? 0 : FS_TUNNEL_ALL;
    config.non_ip = !(bits & 0x40);
    config.directional = bits & 0x80;
    return config;
}

/* Put together again from its own endpoints, in the packet's order, the key is the same and so is the orientation. */
static void check_key(const struct fs_packet *packet, bool directional) {
    const struct fs_key *key = &packet->key;
    require(packet->orientation <= FS_REVERSE);
    require(key->kind < FS_KEY_KIND_COUNT && key->family < FS_FAMILY_COUNT && key->requester <= 1);
    bool one_way = directional && key->kind == FS_KEY_5TUPLE;
    require(one_way ? packet->orientation == FS_FORWARD : memcmp(key->address[0], key->address[1], 16) <= 0);
    require(fs_shard_of(key, 7) < 7);
    if (key->protocol == FS_PROTO_ICMP || key->protocol == FS_PROTO_ICMPV6)
        return; /* its ports are none */
    require(key->requester == 0);
    struct fs_key again;
    unsigned from = packet->orientation, to = 1 - from;
    enum fs_orientation orientation =
        fs_key_set(&again, (enum fs_key_kind)key->kind, (enum fs_family)key->family, key->address[from],
                   key->address[to], key->port[from], key->port[to], key->protocol, one_way);
    again.domain = key->domain;
    require(orientation == packet->orientation && memcmp(&again, key, sizeof again) == 0);
}

static void check_packet(const struct fs_packet *packet, const struct fs_frame *frame) {
    require(packet->payload_captured <= packet->payload_len);
    require((packet->payload != NULL) == (packet->payload_captured != 0));
    if (packet->payload) {
        require(packet->payload >= frame->data);
        require(packet->payload + packet->payload_captured <= frame->data + frame->captured);
    }
    require(packet->wire_len == (frame->wire_len > frame->captured ? frame->wire_len : frame->captured));
    require(packet->payload_len <= packet->wire_len);
    require(packet->time_ns == frame->time_ns && packet->frame == frame->number);
    const unsigned fragment = FS_PACKET_FIRST_FRAGMENT | FS_PACKET_LATER_FRAGMENT;
    require((packet->flags & fragment) != fragment);
    if (packet->flags & FS_PACKET_LATER_FRAGMENT)
        require(!(packet->flags & FS_PACKET_HAS_TCP) && packet->key.port[0] == 0 && packet->key.port[1] == 0);
    if (packet->flags & FS_PACKET_HAS_TCP)
        require(packet->tcp.sack_count <= FS_SACK_MAX && packet->tcp.window_scale <= 14);
}

/* What is carried lies inside its carrier, and what is quoted behind an error ends the chain. */
static void check_chain(const struct fs_packet *outer, const struct fs_packet *inner) {
    require(inner->payload_len <= outer->payload_len);
    if (inner->payload)
        require(inner->payload >= outer->payload &&
                inner->payload + inner->payload_captured <= outer->payload + outer->payload_captured);
    require(((inner->flags & FS_PACKET_QUOTED) != 0) == ((outer->flags & FS_PACKET_ICMP_ERROR) != 0));
    require(!(outer->flags & (FS_PACKET_QUOTED | FS_PACKET_LATER_FRAGMENT)) && outer->key.kind != FS_KEY_MAC_PAIR);
}

static void require_same(const struct fs_packet *a, const struct fs_packet *b) {
    struct fs_key key = b->key;
    key.domain = a->key.domain;
    require(memcmp(&a->key, &key, sizeof key) == 0);
    require(a->flags == b->flags && a->orientation == b->orientation && a->ttl == b->ttl && a->ip_len == b->ip_len);
    require(a->payload_len == b->payload_len && a->payload_captured == b->payload_captured);
    require(a->payload == b->payload && a->flow_label == b->flow_label);
    require(memcmp(a->vlan, b->vlan, sizeof a->vlan) == 0);
    if (a->flags & FS_PACKET_HAS_TCP)
        require(memcmp(&a->tcp, &b->tcp, offsetof(struct fs_tcp, sack) + a->tcp.sack_count * sizeof a->tcp.sack[0]) ==
                0);
}

/* Plain packets are read in a straight way unless a domain is asked for: with one, all but the domain is the same. */
static void check_both_ways(const struct fs_extract_config *config, const struct fs_frame *frame,
                            const struct fs_packet *packets, int count) {
    struct fs_extract_config other = *config;
    other.domain = config->domain ? 0 : FS_DOMAIN_TUNNEL;
    struct fs_packet again[FS_EXTRACT_MAX];
    memset(again, 0x5a, sizeof again);
    require(fs_extract(&other, frame, again) == count);
    for (int i = 0; i < count; i++)
        require_same(&packets[i], &again[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || size > 65536)
        return 0;
    struct fs_extract_config config = config_of(data[1]);
    size_t captured = size - 4;
    uint8_t *copy = malloc(captured ? captured : 1); /* of exactly this size, so that a sanitizer sees every slip */
    if (!copy)
        return 0;
    memcpy(copy, data + 4, captured);
    struct fs_frame frame = {.data = copy,
                             .captured = (uint32_t)captured,
                             .wire_len = (uint32_t)captured + data[2] * 16U,
                             .linktype = linktypes[data[0] % (sizeof linktypes / sizeof linktypes[0])],
                             .number = 1,
                             .interface = data[3],
                             .time_ns = 1};
    struct fs_packet packets[FS_EXTRACT_MAX];
    memset(packets, 0xa5, sizeof packets);
    int count = fs_extract(&config, &frame, packets);
    require(count > -FS_REJECT_COUNT && count != 0 && count <= FS_EXTRACT_MAX);
    for (int i = 0; i < count; i++) {
        check_packet(&packets[i], &frame);
        check_key(&packets[i], config.directional);
        if (i > 0)
            check_chain(&packets[i - 1], &packets[i]);
    }
    check_both_ways(&config, &frame, packets, count);
    free(copy);
    return 0;
}
