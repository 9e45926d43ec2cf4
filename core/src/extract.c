/* SPDX-License-Identifier: MIT */
#include "flowscope/extract.h"

#include "extract_internal.h"
#include "key_internal.h"

#include <string.h>

enum {
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_NONE = 59,
    NEXT_DESTINATION = 60,
    NEXT_MOBILITY = 135,
    NEXT_HIP = 139,
    NEXT_SHIM6 = 140,
    EXTENSIONS_MAX = 16,
    PORT_VXLAN = 4789,
    PORT_VXLAN_LINUX = 8472, /* before the IANA number */
    PORT_GENEVE = 6081,
    PORT_GTPU = 2152,
    PORT_TEREDO = 3544
};

/* What an IP header said. */
struct ip {
    const uint8_t *source, *destination;
    uint32_t start;  /* offset of the IP header */
    uint32_t flow_label;
    uint16_t flags;  /* enum fs_packet_flag */
    uint8_t family;
    uint8_t protocol; /* behind all extension headers */
    uint8_t ttl;
};

static int ip_payload(struct fs__walk *walk, const struct ip *ip);

/* ---- names ---- */

const char *fs_reject_slug(int reject) {
    switch (reject) {
#define SLUG(symbol, value, slug, text)                                                                                \
    case symbol:                                                                                                       \
        return slug;
        FS_REJECT_MAP(SLUG)
#undef SLUG
    default:
        return "unknown";
    }
}

const char *fs_reject_text(int reject) {
    switch (reject) {
#define TEXT(symbol, value, slug, text)                                                                                \
    case symbol:                                                                                                       \
        return text;
        FS_REJECT_MAP(TEXT)
#undef TEXT
    default:
        return "unknown";
    }
}

/* ---- descriptors ---- */

static struct fs_packet *begin(struct fs__walk *walk) {
    if (walk->count == FS_EXTRACT_MAX)
        return NULL;
    if (walk->count == 0)
        walk->outer_domain = walk->domain;
    struct fs_packet *packet = &walk->packets[walk->count++];
    packet->time_ns = walk->frame->time_ns;
    packet->frame = walk->frame->number;
    packet->wire_len = walk->wire_len;
    return packet;
}

/* What lies between the walk's place and its end becomes the payload. */
static void set_payload(const struct fs__walk *walk, struct fs_packet *packet, uint32_t at, uint32_t end) {
    packet->payload_len = end > at ? end - at : 0;
    uint32_t there = walk->captured > at ? walk->captured - at : 0;
    packet->payload_captured = there < packet->payload_len ? there : packet->payload_len;
    packet->payload = packet->payload_captured ? walk->frame->data + at : NULL;
}

static void set_addresses(struct fs_key *key, const struct ip *ip, bool reverse) {
    if (ip->family == FS_FAMILY_IPV4) {
        memset(key->address, 0, sizeof key->address);
        memcpy(key->address[reverse], ip->source, 4);
        memcpy(key->address[!reverse], ip->destination, 4);
    } else {
        memcpy(key->address[reverse], ip->source, 16);
        memcpy(key->address[!reverse], ip->destination, 16);
    }
}

static int compare_addresses(const struct ip *ip) {
    if (ip->family != FS_FAMILY_IPV4)
        return memcmp(ip->source, ip->destination, 16);
    uint32_t a = fs__be32(ip->source);
    uint32_t b = fs__be32(ip->destination);
    return a < b ? -1 : a > b;
}

/* fs_key_set() again, for two families and without its loops: a third of the time that a plain packet takes. */
static void set_key(const struct fs__walk *walk, struct fs_packet *packet, const struct ip *ip, uint16_t source_port,
                    uint16_t destination_port) {
    struct fs_key *key = &packet->key;
    bool ports = walk->config->key == FS_KEY_5TUPLE;
    int order = compare_addresses(ip);
    bool reverse = order > 0 || (order == 0 && ports && source_port > destination_port);
    reverse = reverse && !(ports && walk->config->directional);
    set_addresses(key, ip, reverse);
    key->port[0] = key->port[1] = 0;
    if (ports) {
        key->port[reverse] = source_port;
        key->port[!reverse] = destination_port;
    }
    key->domain = walk->domain;
    key->protocol = ports ? ip->protocol : 0;
    key->family = ip->family;
    key->kind = (uint8_t)walk->config->key;
    key->reserved = 0;
    packet->orientation = reverse ? FS_REVERSE : FS_FORWARD;
}

static struct fs_packet *begin_ip(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin(walk);
    if (!packet)
        return NULL;
    packet->flags = ip->flags;
    packet->ttl = ip->ttl;
    packet->ip_len = walk->end - ip->start;
    packet->flow_label = ip->flow_label;
    return packet;
}

/* ---- no IP ---- */

int fs__walk_other(struct fs__walk *walk) {
    if (!walk->config->non_ip || !walk->source)
        return -FS_REJECT_NOT_IP;
    struct fs_packet *packet = begin(walk);
    if (!packet)
        return -FS_REJECT_DEPTH;
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, walk->source,
                                              walk->destination, 0, 0, 0, walk->config->directional);
    packet->key.domain = walk->domain;
    packet->flags = walk->end > walk->captured ? FS_PACKET_TRUNCATED : 0;
    packet->ttl = 0;
    packet->flow_label = 0;
    packet->ip_len = walk->end > walk->at ? walk->end - walk->at : 0;
    set_payload(walk, packet, walk->at, walk->end);
    return 0;
}

/* ---- tunnels ---- */

static uint64_t outer_pair(const struct fs_packet *carrier) {
    struct fs_key key = carrier->key;
    key.port[0] = key.port[1] = 0;
    key.domain = 0;
    return fs_key_hash(&key, 0);
}

static void enter_tunnel(struct fs__walk *walk, uint32_t at, uint64_t number, bool has_number) {
    walk->at = at;
    walk->tags = 0;
    walk->source = walk->destination = NULL;
    walk->domain = walk->outer_domain;
    if (has_number && (walk->config->domain & FS_DOMAIN_TUNNEL))
        walk->domain = fs_domain_mix(walk->domain, FS_DOMAIN_TUNNEL, number);
}

static int vxlan(struct fs__walk *walk) {
    const uint8_t *header = fs__here(walk);
    if (!fs__has(walk, 8) || !(header[0] & 0x08))
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, walk->at + 8, fs__be24(header + 4), true);
    return fs__walk_ethernet(walk);
}

static int geneve(struct fs__walk *walk) {
    const uint8_t *header = fs__here(walk);
    if (!fs__has(walk, 8) || header[0] >> 6 != 0)
        return -FS_REJECT_NOT_IP;
    uint32_t length = 8 + (header[0] & 0x3fU) * 4;
    uint16_t type = fs__be16(header + 2);
    if (!fs__has(walk, length))
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, walk->at + length, fs__be24(header + 4), true);
    return type == FS__ETHERTYPE_TEB ? fs__walk_ethernet(walk) : fs__walk_ethertype(walk, type);
}

/* 3GPP TS 29.281, 5.1 and 5.2. Returns the length of the header with its extensions, or 0. */
static uint32_t gtpu_header(const struct fs__walk *walk) {
    const uint8_t *header = fs__here(walk);
    const uint8_t user_data = 255;
    if (!fs__has(walk, 8) || header[0] >> 5 != 1 || !(header[0] & 0x10) || header[1] != user_data)
        return 0;
    if (!(header[0] & 0x07))
        return 8;
    uint32_t length = 12;
    if (!fs__has(walk, length))
        return 0;
    uint8_t next = header[0] & 0x04 ? header[11] : 0;
    while (next) {
        if (!fs__has(walk, length + 4))
            return 0;
        uint32_t size = header[length] * 4U;
        if (size == 0 || !fs__has(walk, length + size))
            return 0;
        next = header[length + size - 1];
        length += size;
    }
    return length;
}

static int gtpu(struct fs__walk *walk, const struct fs_packet *carrier) {
    uint32_t length = gtpu_header(walk);
    if (!length)
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, walk->at + length, outer_pair(carrier), true);
    return fs__walk_ip(walk);
}

/* RFC 4380, 5.1.1: authentication and origin indication may come before the IPv6 packet. */
static int teredo(struct fs__walk *walk) {
    if (fs__has(walk, 4) && fs__be16(fs__here(walk)) == 0x0001) {
        uint32_t length = 13U + fs__here(walk)[2] + fs__here(walk)[3];
        if (!fs__has(walk, length))
            return -FS_REJECT_NOT_IP;
        walk->at += length;
    }
    if (fs__has(walk, 8) && fs__be16(fs__here(walk)) == 0x0000)
        walk->at += 8;
    const uint8_t *header = fs__here(walk);
    bool plausible = fs__has(walk, 40) && header[0] >> 4 == 6 && walk->at + 40 + fs__be16(header + 4) == walk->end;
    if (!plausible)
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, walk->at, 0, false);
    return fs__walk_ipv6(walk);
}

static bool either_port(uint16_t source, uint16_t destination, uint16_t port) {
    return source == port || destination == port;
}

/* The place of the walk is behind the UDP header. */
static int udp_tunnel(struct fs__walk *walk, const struct fs_packet *carrier, uint16_t source, uint16_t destination) {
    unsigned tunnels = walk->config->tunnels;
    if ((tunnels & FS_TUNNEL_VXLAN) && (either_port(source, destination, PORT_VXLAN) ||
                                        either_port(source, destination, PORT_VXLAN_LINUX)))
        return vxlan(walk);
    if ((tunnels & FS_TUNNEL_GENEVE) && either_port(source, destination, PORT_GENEVE))
        return geneve(walk);
    if ((tunnels & FS_TUNNEL_GTPU) && either_port(source, destination, PORT_GTPU))
        return gtpu(walk, carrier);
    if ((tunnels & FS_TUNNEL_TEREDO) && either_port(source, destination, PORT_TEREDO))
        return teredo(walk);
    return -FS_REJECT_NOT_IP;
}

/* ERSPAN: draft-foschiano-erspan. Type I has no header, and comes without a GRE sequence number. */
static int erspan(struct fs__walk *walk, uint16_t type, bool sequence) {
    uint32_t length = 0;
    uint64_t session = 0;
    if (sequence || type == FS__ETHERTYPE_ERSPAN3) {
        if (!fs__has(walk, 8))
            return -FS_REJECT_NOT_IP;
        session = fs__be16(fs__here(walk) + 2) & 0x3ff;
        length = 8;
    }
    if (type == FS__ETHERTYPE_ERSPAN3) {
        if (!fs__has(walk, 12))
            return -FS_REJECT_NOT_IP;
        length = 12 + (fs__here(walk)[11] & 1 ? 8U : 0U); /* O: platform specific part */
    }
    enter_tunnel(walk, walk->at + length, session, length != 0);
    return fs__walk_ethernet(walk);
}

enum { GRE_CHECKSUM = 0x8000, GRE_ROUTING = 0x4000, GRE_KEY = 0x2000, GRE_SEQUENCE = 0x1000, GRE_ACK = 0x0080 };

/* RFC 1701: source routes behind the fixed fields, ended by one of length 0. Returns their length, or 0 if broken. */
static uint32_t gre_routes(const struct fs__walk *walk, uint32_t at) {
    uint32_t start = at;
    for (;;) {
        if (!fs__has(walk, at + 4))
            return 0;
        uint32_t length = fs__here(walk)[at + 3];
        at += 4;
        if (length == 0 && fs__be16(fs__here(walk) + at - 4) == 0)
            return at - start;
        at += length;
    }
}

static int gre_content(struct fs__walk *walk, uint16_t type, uint64_t key, uint16_t flags) {
    bool has_key = flags & GRE_KEY;
    if (type == FS__ETHERTYPE_ERSPAN || type == FS__ETHERTYPE_ERSPAN3)
        return erspan(walk, type, flags & GRE_SEQUENCE);
    enter_tunnel(walk, walk->at, key, has_key);
    if (type == FS__ETHERTYPE_TEB)
        return fs__walk_ethernet(walk);
    if (type == FS__ETHERTYPE_PPP)
        return fs__walk_ppp(walk);
    return fs__walk_ethertype(walk, type);
}

static int gre(struct fs__walk *walk) {
    if (!fs__has(walk, 4))
        return -FS_REJECT_NOT_IP;
    const uint8_t *header = fs__here(walk);
    uint16_t flags = fs__be16(header);
    uint16_t type = fs__be16(header + 2);
    unsigned version = flags & 7;
    if (version > 1)
        return -FS_REJECT_NOT_IP;
    uint32_t length = 4;
    length += version == 0 && (flags & (GRE_CHECKSUM | GRE_ROUTING)) ? 4 : 0;
    uint32_t key_at = length;
    length += flags & GRE_KEY ? 4 : 0;
    length += flags & GRE_SEQUENCE ? 4 : 0;
    length += version == 1 && (flags & GRE_ACK) ? 4 : 0;
    if (!fs__has(walk, length))
        return -FS_REJECT_NOT_IP;
    /* RFC 2637: the low half of PPTP's key is the call, which differs by direction; the high half is a length. */
    uint64_t key = 0;
    if ((flags & GRE_KEY) && version == 0)
        key = fs__be32(header + key_at);
    if (version == 0 && (flags & GRE_ROUTING)) {
        uint32_t routes = gre_routes(walk, length);
        if (!routes)
            return -FS_REJECT_NOT_IP;
        length += routes;
    }
    walk->at += length;
    if (version == 1)
        flags &= (uint16_t)~GRE_KEY;
    return gre_content(walk, type, key, flags);
}

/* ---- transport ---- */

static uint32_t captured_here(const struct fs__walk *walk) {
    uint32_t stop = walk->end < walk->captured ? walk->end : walk->captured;
    return stop > walk->at ? stop - walk->at : 0;
}

static int tcp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = captured_here(walk);
    const uint8_t *header = fs__here(walk);
    uint32_t length = there >= 20 ? fs_tcp_parse(&packet->tcp, header, there) : 0;
    packet->flags |= length ? FS_PACKET_HAS_TCP : FS_PACKET_CUT_HEADER;
    uint16_t source = there >= 4 ? fs__be16(header) : 0;
    uint16_t destination = there >= 4 ? fs__be16(header + 2) : 0;
    set_key(walk, packet, ip, source, destination);
    uint32_t header_length = length;
    if (!length) /* what the header would say of itself, if that much is there */
        header_length = there > 12 && header[12] >> 4 >= 5 ? (uint32_t)(header[12] >> 4) * 4 : 20;
    set_payload(walk, packet, walk->at + header_length, walk->end);
    return 0;
}

static int udp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = captured_here(walk);
    const uint8_t *header = fs__here(walk);
    uint16_t source = there >= 4 ? fs__be16(header) : 0;
    uint16_t destination = there >= 4 ? fs__be16(header + 2) : 0;
    set_key(walk, packet, ip, source, destination);
    uint32_t end = walk->end;
    if (there < 8) {
        packet->flags |= FS_PACKET_CUT_HEADER;
    } else if (ip->protocol == FS_PROTO_UDP) {
        uint32_t length = fs__be16(header + 4); /* of UDP-Lite it is the checksum's coverage */
        if (length >= 8 && length < end - walk->at)
            end = walk->at + length;
    }
    set_payload(walk, packet, walk->at + 8, end);
    bool whole = there >= 8 && !(ip->flags & FS_PACKET_QUOTED);
    if (whole && walk->config->tunnels && ip->protocol == FS_PROTO_UDP) {
        walk->at += 8;
        walk->end = end;
        (void)udp_tunnel(walk, packet, source, destination);
    }
    return 0;
}

/* SCTP and DCCP: ports as in TCP, and a header of their own. */
static int ported(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = captured_here(walk);
    const uint8_t *header = fs__here(walk);
    uint32_t length = 12;
    if (ip->protocol == FS_PROTO_DCCP)
        length = there > 4 && header[4] >= 3 ? header[4] * 4U : 12;
    packet->flags |= there < 12 ? FS_PACKET_CUT_HEADER : 0;
    set_key(walk, packet, ip, there >= 4 ? fs__be16(header) : 0, there >= 4 ? fs__be16(header + 2) : 0);
    set_payload(walk, packet, walk->at + length, walk->end);
    return 0;
}

static int icmp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = captured_here(walk);
    const uint8_t *header = fs__here(walk);
    if (there < 2 || walk->config->key != FS_KEY_5TUPLE) {
        set_key(walk, packet, ip, 0, 0);
    } else {
        uint16_t identifier = there >= 6 ? fs__be16(header + 4) : 0;
        packet->orientation =
            (uint8_t)fs_key_set_icmp(&packet->key, (enum fs_family)ip->family, ip->source, ip->destination,
                                     ip->protocol, header[0], header[1], identifier, walk->config->directional);
        packet->key.domain = walk->domain;
    }
    packet->flags |= there < 8 ? FS_PACKET_CUT_HEADER : 0;
    set_payload(walk, packet, walk->at + 8, walk->end);
    if (there < 2 || !fs_icmp_is_error(ip->protocol, header[0]))
        return 0;
    packet->flags |= FS_PACKET_ICMP_ERROR;
    if (there > 8 && !(ip->flags & FS_PACKET_QUOTED)) {
        walk->at += 8;
        (void)fs__walk_ip(walk);
    }
    return 0;
}

/* An IP protocol without ports that we know; perhaps a tunnel. */
static int plain(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    set_key(walk, packet, ip, 0, 0);
    set_payload(walk, packet, walk->at, walk->end);
    if (ip->flags & (FS_PACKET_QUOTED | FS_PACKET_LATER_FRAGMENT))
        return 0;
    if (ip->protocol == FS_PROTO_GRE && (walk->config->tunnels & FS_TUNNEL_GRE)) {
        (void)gre(walk);
    } else if (ip->protocol == FS_PROTO_IPV4 && (walk->config->tunnels & FS_TUNNEL_IP)) {
        enter_tunnel(walk, walk->at, 0, false);
        (void)fs__walk_ipv4(walk);
    } else if (ip->protocol == FS_PROTO_IPV6 && (walk->config->tunnels & FS_TUNNEL_IP)) {
        enter_tunnel(walk, walk->at, 0, false);
        (void)fs__walk_ipv6(walk);
    }
    return 0;
}

static int ip_payload(struct fs__walk *walk, const struct ip *ip) {
    if (ip->flags & FS_PACKET_LATER_FRAGMENT)
        return plain(walk, ip);
    switch (ip->protocol) {
    case FS_PROTO_TCP:
        return tcp(walk, ip);
    case FS_PROTO_UDP:
    case FS_PROTO_UDPLITE:
        return udp(walk, ip);
    case FS_PROTO_SCTP:
    case FS_PROTO_DCCP:
        return ported(walk, ip);
    case FS_PROTO_ICMP:
    case FS_PROTO_ICMPV6:
        return icmp(walk, ip);
    default:
        return plain(walk, ip);
    }
}

/* ---- IP ---- */

/* Inside an ICMP error, everything names a flow only. */
static uint16_t inherited_flags(const struct fs__walk *walk) {
    bool quoted = walk->count && (walk->packets[walk->count - 1].flags & FS_PACKET_ICMP_ERROR);
    return quoted ? FS_PACKET_QUOTED : 0;
}

static bool skip_ah(struct fs__walk *walk, uint8_t *next) {
    if (!fs__has(walk, 12))
        return false;
    uint32_t length = (fs__here(walk)[1] + 2U) * 4;
    *next = fs__here(walk)[0];
    if (!fs__has(walk, length))
        return false;
    walk->at += length;
    return true;
}

int fs__walk_ipv4(struct fs__walk *walk) {
    if (walk->config->key == FS_KEY_MAC_PAIR)
        return fs__walk_other(walk);
    if (!fs__has(walk, 20))
        return -FS_REJECT_SHORT_IP;
    const uint8_t *header = fs__here(walk);
    uint32_t header_length = (header[0] & 0xfU) * 4;
    if (header[0] >> 4 != 4 || header_length < 20)
        return -FS_REJECT_BAD_IP;
    struct ip ip = {.source = header + 12,
                    .destination = header + 16,
                    .start = walk->at,
                    .flags = inherited_flags(walk),
                    .family = FS_FAMILY_IPV4,
                    .protocol = header[9],
                    .ttl = header[8]};
    uint32_t length = fs__be16(header + 2);
    if (length == 0) {
        ip.flags |= FS_PACKET_LENGTH_ZERO;
        length = walk->end - walk->at;
    }
    if (length < header_length)
        return -FS_REJECT_BAD_IP;
    walk->end = walk->at + length;
    if (walk->end > walk->captured)
        ip.flags |= FS_PACKET_TRUNCATED;
    uint16_t fragment = fs__be16(header + 6);
    if (fragment & 0x1fff)
        ip.flags |= FS_PACKET_LATER_FRAGMENT;
    else if (fragment & 0x2000)
        ip.flags |= FS_PACKET_FIRST_FRAGMENT;
    walk->at += header_length;
    if (ip.protocol == FS_PROTO_AH && !(ip.flags & FS_PACKET_LATER_FRAGMENT))
        (void)skip_ah(walk, &ip.protocol);
    return ip_payload(walk, &ip);
}

/* RFC 8200, 4.5 */
static bool fragment_header(struct fs__walk *walk, struct ip *ip, uint8_t *next) {
    if (!fs__has(walk, 8))
        return false;
    uint16_t field = fs__be16(fs__here(walk) + 2);
    *next = fs__here(walk)[0];
    walk->at += 8;
    if (field & 0xfff8)
        ip->flags |= FS_PACKET_LATER_FRAGMENT;
    else if (field & 1)
        ip->flags |= FS_PACKET_FIRST_FRAGMENT;
    return true;
}

static bool is_extension(uint8_t next) {
    switch (next) {
    case NEXT_HOP_BY_HOP:
    case NEXT_ROUTING:
    case NEXT_DESTINATION:
    case NEXT_MOBILITY:
    case NEXT_HIP:
    case NEXT_SHIM6:
        return true;
    default:
        return false;
    }
}

/* Follow the headers to the protocol. A chain that is cut off or too long ends where it can be read no further. */
static void extension_headers(struct fs__walk *walk, struct ip *ip) {
    uint8_t next = ip->protocol;
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (next == FS_PROTO_AH) {
            if (!skip_ah(walk, &next))
                break;
        } else if (next == NEXT_FRAGMENT) {
            if (!fragment_header(walk, ip, &next))
                break;
            if (ip->flags & FS_PACKET_LATER_FRAGMENT)
                break;
        } else if (is_extension(next)) {
            if (!fs__has(walk, 8))
                break;
            uint32_t length = (fs__here(walk)[1] + 1U) * 8;
            uint8_t after = fs__here(walk)[0];
            if (!fs__has(walk, length) || after == NEXT_NONE)
                break;
            next = after;
            walk->at += length;
        } else {
            break;
        }
    }
    ip->protocol = next;
}

int fs__walk_ipv6(struct fs__walk *walk) {
    if (walk->config->key == FS_KEY_MAC_PAIR)
        return fs__walk_other(walk);
    if (!fs__has(walk, 40))
        return -FS_REJECT_SHORT_IP;
    const uint8_t *header = fs__here(walk);
    if (header[0] >> 4 != 6)
        return -FS_REJECT_BAD_IP;
    struct ip ip = {.source = header + 8,
                    .destination = header + 24,
                    .start = walk->at,
                    .flow_label = fs__be32(header) & 0xfffff,
                    .flags = (uint16_t)(inherited_flags(walk) | FS_PACKET_FLOW_LABEL),
                    .family = FS_FAMILY_IPV6,
                    .protocol = header[6],
                    .ttl = header[7]};
    uint32_t length = fs__be16(header + 4);
    if (length == 0) { /* a jumbogram (RFC 2675), segmentation offload, or nothing */
        length = walk->end - walk->at - 40;
        if (length)
            ip.flags |= FS_PACKET_LENGTH_ZERO;
    }
    walk->end = walk->at + 40 + length;
    if (walk->end > walk->captured)
        ip.flags |= FS_PACKET_TRUNCATED;
    walk->at += 40;
    extension_headers(walk, &ip);
    return ip_payload(walk, &ip);
}

int fs__walk_ip(struct fs__walk *walk) {
    if (!fs__has(walk, 1))
        return -FS_REJECT_SHORT_IP;
    unsigned version = fs__here(walk)[0] >> 4;
    if (version == 4)
        return fs__walk_ipv4(walk);
    return version == 6 ? fs__walk_ipv6(walk) : -FS_REJECT_BAD_IP;
}

/* ---- the frame ---- */

void fs_extract_config_defaults(struct fs_extract_config *config) {
    memset(config, 0, sizeof *config);
    config->key = FS_KEY_5TUPLE;
    config->tunnels = FS_TUNNEL_ALL;
    config->non_ip = true;
}

int fs_extract(const struct fs_extract_config *config, const struct fs_frame *frame, struct fs_packet *packets) {
    struct fs__walk walk;
    walk.config = config;
    walk.frame = frame;
    walk.packets = packets;
    walk.count = 0;
    walk.at = 0;
    walk.captured = frame->captured;
    walk.wire_len = frame->wire_len > frame->captured ? frame->wire_len : frame->captured;
    walk.end = walk.wire_len;
    walk.domain = 0;
    walk.outer_domain = 0;
    walk.source = walk.destination = NULL;
    walk.tags = 0;
    if (config->domain & FS_DOMAIN_INTERFACE)
        walk.domain = fs_domain_mix(0, FS_DOMAIN_INTERFACE, frame->interface);
    int error = fs__walk_link(&walk);
    return walk.count ? walk.count : error;
}
