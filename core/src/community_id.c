/* SPDX-License-Identifier: MIT */
#include "flowscope/community_id.h"

#include "base64.h"
#include "sha1.h"

#include <string.h>

struct tuple {
    uint16_t port[2]; /* of the key's endpoints */
    bool has_ports;
    bool swap; /* endpoint 1 comes first */
};

static bool has_ports(uint8_t protocol) {
    return protocol == FS_PROTO_TCP || protocol == FS_PROTO_UDP || protocol == FS_PROTO_SCTP;
}

/* The message's type is the port of who sends it, the answer's type that of the other side. One-way messages have their
 * code there, and keep their direction. */
static void icmp_tuple(struct tuple *tuple, const struct fs_key *key) {
    unsigned sender = key->requester & 1;
    uint8_t type = (uint8_t)(key->port[0] >> 8);
    int counterpart = fs_icmp_counterpart(key->protocol, type);
    tuple->has_ports = true;
    tuple->port[sender] = type;
    if (counterpart >= 0) {
        tuple->port[!sender] = (uint16_t)counterpart;
    } else {
        tuple->port[!sender] = key->port[0] & 0xff;
        tuple->swap = sender == 1;
    }
}

static bool second_is_first(const struct fs_key *key, const struct tuple *tuple) {
    int order = memcmp(key->address[0], key->address[1], sizeof key->address[0]);
    return order > 0 || (order == 0 && tuple->port[0] > tuple->port[1]);
}

static size_t put16(uint8_t *bytes, size_t at, uint16_t value) {
    bytes[at] = (uint8_t)(value >> 8);
    bytes[at + 1] = (uint8_t)value;
    return at + 2;
}

size_t fs_community_id(const struct fs_key *key, uint16_t seed, char text[FS_COMMUNITY_ID_SIZE]) {
    text[0] = '\0';
    if (key->kind != FS_KEY_5TUPLE || (key->family != FS_FAMILY_IPV4 && key->family != FS_FAMILY_IPV6))
        return 0;
    struct tuple tuple = {.port = {key->port[0], key->port[1]}, .has_ports = has_ports(key->protocol)};
    bool icmp = key->protocol == FS_PROTO_ICMP || key->protocol == FS_PROTO_ICMPV6;
    if (icmp)
        icmp_tuple(&tuple, key);
    bool one_way = icmp && fs_icmp_counterpart(key->protocol, (uint8_t)(key->port[0] >> 8)) < 0;
    if (!one_way)
        tuple.swap = second_is_first(key, &tuple);

    size_t size = key->family == FS_FAMILY_IPV4 ? 4 : 16;
    uint8_t bytes[2 + 16 + 16 + 1 + 1 + 4];
    size_t used = put16(bytes, 0, seed);
    memcpy(bytes + used, key->address[tuple.swap], size);
    memcpy(bytes + used + size, key->address[!tuple.swap], size);
    used += 2 * size;
    bytes[used++] = key->protocol;
    bytes[used++] = 0;
    if (tuple.has_ports) {
        used = put16(bytes, used, tuple.port[tuple.swap]);
        used = put16(bytes, used, tuple.port[!tuple.swap]);
    }
    uint8_t digest[FS__SHA1_SIZE];
    fs__sha1(bytes, used, digest);
    text[0] = '1';
    text[1] = ':';
    size_t length = 2 + fs__base64(digest, sizeof digest, text + 2);
    text[length] = '\0';
    return length;
}
