/* SPDX-License-Identifier: MIT */
#include "flowscope/key.h"

#include "key_internal.h"

static size_t address_size(enum fs_family family) {
    switch (family) {
    case FS_FAMILY_IPV4:
        return 4;
    case FS_FAMILY_IPV6:
        return 16;
    case FS_FAMILY_MAC:
        return 6;
    default:
        return 0;
    }
}

/* Addresses and everything but ports. Returns the orientation by `order`, or forward if directional. */
static enum fs_orientation set_addresses(struct fs_key *key, enum fs_key_kind kind, enum fs_family family,
                                         const void *source, const void *destination, uint8_t protocol, bool reverse) {
    size_t size = address_size(family);
    memset(key, 0, sizeof *key);
    if (size) {
        memcpy(key->address[reverse ? 1 : 0], source, size);
        memcpy(key->address[reverse ? 0 : 1], destination, size);
    }
    key->protocol = kind == FS_KEY_5TUPLE ? protocol : 0;
    key->family = (uint8_t)family;
    key->kind = (uint8_t)kind;
    return reverse ? FS_REVERSE : FS_FORWARD;
}

static int compare_addresses(enum fs_family family, const void *a, const void *b) {
    size_t size = address_size(family);
    return size ? memcmp(a, b, size) : 0;
}

enum fs_orientation fs_key_set(struct fs_key *key, enum fs_key_kind kind, enum fs_family family, const void *source,
                               const void *destination, uint16_t source_port, uint16_t destination_port,
                               uint8_t protocol, bool directional) {
    bool ports = kind == FS_KEY_5TUPLE && address_size(family) != 0;
    int order = compare_addresses(family, source, destination);
    if (order == 0 && ports)
        order = source_port > destination_port ? 1 : 0;
    bool reverse = order > 0 && !directional;
    enum fs_orientation orientation = set_addresses(key, kind, family, source, destination, protocol, reverse);
    if (ports) {
        key->port[reverse ? 1 : 0] = source_port;
        key->port[reverse ? 0 : 1] = destination_port;
    }
    return orientation;
}

/* ---- ICMP ---- */

struct icmp_pair {
    uint8_t request, reply;
    bool has_identifier;
};

static const struct icmp_pair icmp_pairs[] = {
    {8, 0, true},   /* echo, RFC 792 */
    {13, 14, true}, /* timestamp */
    {15, 16, true}, /* information */
    {17, 18, true}, /* address mask, RFC 950 */
};

static const struct icmp_pair icmpv6_pairs[] = {
    {128, 129, true},  /* echo, RFC 4443 */
    {130, 131, false}, /* multicast listener query and report, RFC 2710 */
    {133, 134, false}, /* router solicitation and advertisement, RFC 4861 */
    {135, 136, false}, /* neighbour solicitation and advertisement */
    {139, 140, false}, /* node information, RFC 4620 */
    {144, 145, true},  /* home agent address discovery, RFC 6275 */
};

static const struct icmp_pair *find_pair(uint8_t protocol, uint8_t type) {
    const struct icmp_pair *pairs = protocol == FS_PROTO_ICMP ? icmp_pairs : icmpv6_pairs;
    size_t count = protocol == FS_PROTO_ICMP ? sizeof icmp_pairs / sizeof icmp_pairs[0]
                                             : sizeof icmpv6_pairs / sizeof icmpv6_pairs[0];
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].request == type || pairs[i].reply == type)
            return &pairs[i];
    }
    return NULL;
}

enum fs_orientation fs_key_set_icmp(struct fs_key *key, enum fs_family family, const void *source,
                                    const void *destination, uint8_t protocol, uint8_t type, uint8_t code,
                                    uint16_t identifier, bool directional) {
    bool reverse = compare_addresses(family, source, destination) > 0 && !directional;
    enum fs_orientation orientation = set_addresses(key, FS_KEY_5TUPLE, family, source, destination, protocol, reverse);
    const struct icmp_pair *pair = find_pair(protocol, type);
    uint8_t request = pair ? pair->request : type;
    key->port[0] = (uint16_t)(request << 8 | code);
    key->port[1] = pair && pair->has_identifier ? identifier : 0;
    bool answers = pair && type == pair->reply;
    bool to_itself = memcmp(key->address[0], key->address[1], sizeof key->address[0]) == 0;
    key->requester = !to_itself && answers != (orientation == FS_REVERSE);
    return orientation;
}

int fs_icmp_counterpart(uint8_t protocol, uint8_t type) {
    const struct icmp_pair *pair = find_pair(protocol, type);
    if (!pair)
        return -1;
    return type == pair->request ? pair->reply : pair->request;
}

bool fs_icmp_is_error(uint8_t protocol, uint8_t type) {
    if (protocol == FS_PROTO_ICMPV6)
        return type >= 1 && type <= 4;
    return protocol == FS_PROTO_ICMP && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

/* ---- hashes ---- */

uint64_t fs_key_hash(const struct fs_key *key, uint64_t seed) {
    return fs__key_hash(key, seed);
}

/* Numbers are hashed in one byte order, so that machines agree on shards. */
static void put_be(uint8_t *at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

uint32_t fs_shard_of(const struct fs_key *key, uint32_t shards) {
    const uint64_t shard_seed = 0x666c6f7773636f70; /* any constant; part of the contract */
    uint8_t bytes[44];
    memcpy(bytes, key->address, 32);
    put_be(bytes + 32, key->port[0], 2);
    put_be(bytes + 34, key->port[1], 2);
    put_be(bytes + 36, key->domain, 4);
    bytes[40] = key->protocol;
    bytes[41] = key->family;
    bytes[42] = key->kind;
    bytes[43] = 0;
    uint64_t hash = XXH3_64bits_withSeed(bytes, sizeof bytes, shard_seed);
    return (uint32_t)((hash >> 32) * shards >> 32);
}

uint32_t fs_domain_mix(uint32_t domain, enum fs_domain_part what, uint64_t value) {
    uint8_t bytes[13];
    put_be(bytes, domain, 4);
    bytes[4] = (uint8_t)what;
    put_be(bytes + 5, value, 8);
    uint32_t mixed = (uint32_t)XXH3_64bits(bytes, sizeof bytes);
    return mixed ? mixed : 1;
}

const char *fs_protocol_name(uint8_t protocol) {
    switch (protocol) {
    case FS_PROTO_ICMP:
        return "ICMP";
    case FS_PROTO_IGMP:
        return "IGMP";
    case FS_PROTO_IPV4:
        return "IPV4";
    case FS_PROTO_TCP:
        return "TCP";
    case FS_PROTO_UDP:
        return "UDP";
    case FS_PROTO_DCCP:
        return "DCCP";
    case FS_PROTO_IPV6:
        return "IPV6";
    case FS_PROTO_GRE:
        return "GRE";
    case FS_PROTO_ESP:
        return "ESP";
    case FS_PROTO_AH:
        return "AH";
    case FS_PROTO_ICMPV6:
        return "ICMPV6";
    case FS_PROTO_OSPF:
        return "OSPF";
    case FS_PROTO_PIM:
        return "PIM";
    case FS_PROTO_SCTP:
        return "SCTP";
    case FS_PROTO_UDPLITE:
        return "UDPLITE";
    default:
        return NULL;
    }
}
