/* SPDX-License-Identifier: MIT */
#include "flowscope/extract.h"

#include "extract_internal.h"
#include "hints.h"
#include "key_internal.h"
#include "packet_internal.h"

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
    PORT_VXLAN_GPE = 4790,
    PORT_GENEVE = 6081,
    PORT_GTPU = 2152,
    PORT_TEREDO = 3544
};

/* What an IP header said. */
struct ip {
    const uint8_t *header;
    const uint8_t *source, *destination;
    uint32_t length;   /* of header and payload, as the header says */
    uint32_t captured; /* of these, what is there */
    uint32_t flow_label;
    uint16_t flags; /* enum fs_packet_flag */
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
    struct fs_packet *packet = &walk->packets[walk->count++];
    packet->time_ns = walk->frame->time_ns;
    packet->frame = walk->frame->number;
    packet->wire_len = walk->wire_len;
    packet->vlan[0] = walk->vlan[0];
    packet->vlan[1] = walk->vlan[1];
    return packet;
}

/* What lies between `at` and `end` becomes the payload. */
static inline void set_payload(const struct fs__walk *walk, struct fs_packet *packet, uint32_t at, uint32_t end) {
    packet->payload_len = end > at ? end - at : 0;
    uint32_t there = walk->captured > at ? walk->captured - at : 0;
    packet->payload_captured = there < packet->payload_len ? there : packet->payload_len;
    packet->payload = packet->payload_captured ? walk->frame->data + at : NULL;
}

static uint32_t domain_of(const struct fs__walk *walk) {
    if (!walk->has_tunnel_number)
        return walk->domain;
    return fs_domain_mix(walk->domain, FS_DOMAIN_TUNNEL, walk->tunnel_number);
}

/* Which way a packet goes is as good as random, so the two functions that put its endpoints in order have no branch
 * that depends on it: a third of the time that a plain packet takes. */
static inline bool order_ipv4(struct fs_key *key, const uint8_t *source, const uint8_t *destination, uint16_t *port0,
                              uint16_t *port1, bool keep) {
    uint64_t a = (uint64_t)fs__be32(source) << 16 | *port0;
    uint64_t b = (uint64_t)fs__be32(destination) << 16 | *port1;
    bool reverse = (a > b) & !keep;
    uint64_t change = (a ^ b) & (0 - (uint64_t)reverse);
    a ^= change;
    b ^= change;
    fs__put_be64(key->address[0], a >> 16 << 32);
    fs__put_be64(key->address[0] + 8, 0);
    fs__put_be64(key->address[1], b >> 16 << 32);
    fs__put_be64(key->address[1] + 8, 0);
    *port0 = (uint16_t)a;
    *port1 = (uint16_t)b;
    return reverse;
}

static inline bool order_ipv6(struct fs_key *key, const uint8_t *source, const uint8_t *destination, uint16_t *port0,
                              uint16_t *port1, bool keep) {
    uint64_t a0 = fs__be64(source), a1 = fs__be64(source + 8);
    uint64_t b0 = fs__be64(destination), b1 = fs__be64(destination + 8);
    bool low = (a1 > b1) | ((a1 == b1) & (*port0 > *port1));
    bool reverse = ((a0 > b0) | ((a0 == b0) & low)) & !keep;
    uint64_t mask = 0 - (uint64_t)reverse;
    uint64_t change0 = (a0 ^ b0) & mask, change1 = (a1 ^ b1) & mask;
    uint16_t change_port = (uint16_t)((*port0 ^ *port1) & mask);
    fs__put_be64(key->address[0], a0 ^ change0);
    fs__put_be64(key->address[0] + 8, a1 ^ change1);
    fs__put_be64(key->address[1], b0 ^ change0);
    fs__put_be64(key->address[1] + 8, b1 ^ change1);
    *port0 ^= change_port;
    *port1 ^= change_port;
    return reverse;
}

/* What fs_key_set() does, for the two families and without its loops. */
static void set_key(const struct fs__walk *walk, struct fs_packet *packet, const struct ip *ip, uint16_t source_port,
                    uint16_t destination_port) {
    struct fs_key *key = &packet->key;
    bool tuple = walk->config->key == FS_KEY_5TUPLE;
    bool keep = tuple && walk->config->directional;
    if (!tuple)
        source_port = destination_port = 0;
    bool reverse = ip->family == FS_FAMILY_IPV4
                       ? order_ipv4(key, ip->source, ip->destination, &source_port, &destination_port, keep)
                       : order_ipv6(key, ip->source, ip->destination, &source_port, &destination_port, keep);
    fs__key_put_rest(key, source_port, destination_port, domain_of(walk), tuple ? ip->protocol : 0, ip->family,
                     (uint8_t)walk->config->key);
    packet->orientation = reverse ? FS_REVERSE : FS_FORWARD;
}

static struct fs_packet *begin_ip(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin(walk);
    if (!packet)
        return NULL;
    packet->flags = ip->flags;
    packet->ttl = ip->ttl;
    packet->ip_len = ip->length;
    packet->flow_label = ip->flow_label;
    packet->ip = ip->header;
    packet->ip_captured = ip->captured;
    return packet;
}

/* ---- no IP ---- */

int fs__walk_other(struct fs__walk *walk) {
    bool wanted = walk->config->non_ip || walk->config->key == FS_KEY_MAC_PAIR;
    if (!wanted || !walk->source)
        return -FS_REJECT_NOT_IP;
    struct fs_packet *packet = begin(walk);
    if (!packet)
        return -FS_REJECT_DEPTH;
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, walk->source,
                                              walk->destination, 0, 0, 0, false);
    packet->key.domain = domain_of(walk);
    packet->flags = walk->end > walk->captured ? FS_PACKET_TRUNCATED : 0;
    packet->ttl = 0;
    packet->flow_label = 0;
    packet->ip = NULL;
    packet->ip_captured = 0;
    packet->ip_len = walk->end > walk->body ? walk->end - walk->body : 0;
    set_payload(walk, packet, walk->body, walk->end);
    return 0;
}

/* ---- tunnels ---- */

/* What is behind the tunnel's headers, `bytes` of them, comes next. */
static void enter_tunnel(struct fs__walk *walk, uint32_t bytes) {
    walk->at += bytes;
    fs__no_tags(walk);
    walk->source = walk->destination = NULL;
    walk->has_tunnel_number = false;
}

static void enter_numbered_tunnel(struct fs__walk *walk, uint32_t bytes, uint64_t number) {
    enter_tunnel(walk, bytes);
    walk->has_tunnel_number = walk->config->domain & FS_DOMAIN_TUNNEL;
    walk->tunnel_number = number;
}

/* RFC 7348, and its group policy extension. */
static int vxlan(struct fs__walk *walk) {
    if (!fs__has(walk, 8))
        return -FS_REJECT_NOT_IP;
    const uint8_t *header = fs__here(walk);
    if (!(header[0] & 0x08))
        return -FS_REJECT_NOT_IP;
    enter_numbered_tunnel(walk, 8, fs__be24(header + 4));
    return fs__walk_ethernet(walk);
}

/* draft-ietf-nvo3-vxlan-gpe: the last byte before the number says what is inside. */
static int vxlan_gpe(struct fs__walk *walk) {
    enum { VERSION = 0x30, HAS_NUMBER = 0x08, HAS_NEXT = 0x04 };
    if (!fs__has(walk, 8))
        return -FS_REJECT_NOT_IP;
    const uint8_t *header = fs__here(walk);
    if ((header[0] & VERSION) || !(header[0] & HAS_NEXT))
        return -FS_REJECT_NOT_IP;
    if (header[0] & HAS_NUMBER)
        enter_numbered_tunnel(walk, 8, fs__be24(header + 4));
    else
        enter_tunnel(walk, 8);
    switch (header[3]) {
    case 1:
        return fs__walk_ipv4(walk);
    case 2:
        return fs__walk_ipv6(walk);
    case 3:
        return fs__walk_ethernet(walk);
    default:
        return -FS_REJECT_NOT_IP;
    }
}

/* RFC 8926, 3.4 */
static int geneve(struct fs__walk *walk) {
    if (!fs__has(walk, 8))
        return -FS_REJECT_NOT_IP;
    const uint8_t *header = fs__here(walk);
    uint32_t length = 8 + (header[0] & 0x3fU) * 4;
    if (header[0] >> 6 != 0 || !fs__has(walk, length))
        return -FS_REJECT_NOT_IP;
    enter_numbered_tunnel(walk, length, fs__be24(header + 4));
    return fs__walk_ethertype(walk, fs__be16(header + 2));
}

/* 3GPP TS 29.281, 5.1 and 5.2. Returns the length of the header with its extensions, or 0. */
static uint32_t gtpu_header(const struct fs__walk *walk) {
    enum { PROTOCOL_TYPE = 0x10, EXTENSIONS = 0x04, OPTIONAL_FIELDS = 0x07, USER_DATA = 255 };
    if (!fs__has(walk, 8))
        return 0;
    const uint8_t *header = fs__here(walk);
    if (header[0] >> 5 != 1 || !(header[0] & PROTOCOL_TYPE) || header[1] != USER_DATA)
        return 0;
    if (!(header[0] & OPTIONAL_FIELDS))
        return 8;
    uint32_t length = 12;
    if (!fs__has(walk, length))
        return 0;
    uint8_t next = header[0] & EXTENSIONS ? header[11] : 0;
    while (next) {
        if (!fs__has(walk, length + 1))
            return 0;
        uint32_t size = header[length] * 4U;
        if (size == 0 || !fs__has(walk, length + size))
            return 0;
        next = header[length + size - 1];
        length += size;
    }
    return length;
}

/* Each direction has a TEID of its own, which would keep the two apart: the pair of the tunnel's endpoints stands for
 * it. */
static uint64_t endpoints_number(const struct fs_packet *carrier) {
    struct fs_key key = carrier->key;
    key.port[0] = key.port[1] = 0;
    key.domain = 0;
    return fs_key_hash(&key, 0);
}

static int gtpu(struct fs__walk *walk, const struct fs_packet *carrier) {
    uint32_t length = gtpu_header(walk);
    if (!length)
        return -FS_REJECT_NOT_IP;
    if (walk->config->domain & FS_DOMAIN_TUNNEL)
        enter_numbered_tunnel(walk, length, endpoints_number(carrier));
    else
        enter_tunnel(walk, length);
    return fs__walk_ip(walk);
}

static bool is_teredo_address(const uint8_t *address) {
    return fs__be32(address) == 0x20010000; /* 2001::/32 */
}

/* The packet fills the datagram, or leaves room for trailers (RFC 6081) and has an address of the service. */
static bool is_teredo_packet(const struct fs__walk *walk) {
    if (!fs__has(walk, 40))
        return false;
    const uint8_t *header = fs__here(walk);
    uint32_t end = walk->at + 40 + fs__be16(header + 4);
    if (header[0] >> 4 != 6 || end > walk->end)
        return false;
    return end == walk->end || is_teredo_address(header + 8) || is_teredo_address(header + 24);
}

/* RFC 4380, 5.1.1: authentication and origin indication may come before the IPv6 packet. */
static int teredo(struct fs__walk *walk) {
    enum { ORIGIN = 0x0000, AUTHENTICATION = 0x0001 };
    if (fs__has(walk, 4) && fs__be16(fs__here(walk)) == AUTHENTICATION)
        walk->at += 13U + fs__here(walk)[2] + fs__here(walk)[3];
    if (fs__has(walk, 8) && fs__be16(fs__here(walk)) == ORIGIN)
        walk->at += 8;
    if (!is_teredo_packet(walk))
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, 0);
    return fs__walk_ipv6(walk);
}

/* The tunnel that a UDP port stands for; 0 for none. */
static unsigned tunnel_of_port(uint16_t port) {
    switch (port) {
    case PORT_VXLAN:
    case PORT_VXLAN_LINUX:
    case PORT_VXLAN_GPE:
        return FS_TUNNEL_VXLAN;
    case PORT_GENEVE:
        return FS_TUNNEL_GENEVE;
    case PORT_GTPU:
        return FS_TUNNEL_GTPU;
    case PORT_TEREDO:
        return FS_TUNNEL_TEREDO;
    default:
        return 0;
    }
}

static bool is_service(uint16_t port) {
    const uint16_t system_ports = 1024;
    return port > 0 && port < system_ports; /* 0: some encapsulators use no source port */
}

/* The port that names the tunnel of a datagram, or 0. Replies may come from it, so either will do, the destination
 * first. A port of the system range belongs to its own service, and the other is a client's that looks like a tunnel's.
 */
static uint16_t tunnel_port(uint16_t source, uint16_t destination, unsigned tunnels) {
    if (is_service(source) || is_service(destination))
        return 0;
    if (tunnel_of_port(destination) & tunnels)
        return destination;
    return tunnel_of_port(source) & tunnels ? source : 0;
}

/* The place of the walk is behind the UDP header. */
static int udp_tunnel(struct fs__walk *walk, const struct fs_packet *carrier, uint16_t port) {
    switch (port) {
    case PORT_VXLAN:
    case PORT_VXLAN_LINUX:
        return vxlan(walk);
    case PORT_VXLAN_GPE:
        return vxlan_gpe(walk);
    case PORT_GENEVE:
        return geneve(walk);
    case PORT_GTPU:
        return gtpu(walk, carrier);
    default:
        return teredo(walk);
    }
}

/* draft-foschiano-erspan. Type I has no header, and comes without a GRE sequence number. */
static int erspan_2(struct fs__walk *walk, bool sequence) {
    if (!sequence) {
        enter_tunnel(walk, 0);
        return fs__walk_ethernet(walk);
    }
    if (!fs__has(walk, 8))
        return -FS_REJECT_NOT_IP;
    enter_numbered_tunnel(walk, 8, fs__be16(fs__here(walk) + 2) & 0x3ff);
    return fs__walk_ethernet(walk);
}

static int erspan_3(struct fs__walk *walk) {
    enum { FRAME_IP = 2 };
    if (!fs__has(walk, 12))
        return -FS_REJECT_NOT_IP;
    const uint8_t *header = fs__here(walk);
    uint32_t length = 12 + (header[11] & 1 ? 8U : 0U); /* O: platform specific part */
    unsigned frame_type = header[10] >> 2 & 0x1f;
    enter_numbered_tunnel(walk, length, fs__be16(header + 2) & 0x3ff);
    return frame_type == FRAME_IP ? fs__walk_ip(walk) : fs__walk_ethernet(walk);
}

/* Version 1 put the packet behind the GRE header, version 2 a redirect header of four bytes between them. */
static int wccp(struct fs__walk *walk) {
    if (fs__has(walk, 1) && fs__here(walk)[0] >> 4 != 4)
        walk->at += 4;
    return fs__walk_ipv4(walk);
}

enum { GRE_CHECKSUM = 0x8000, GRE_ROUTING = 0x4000, GRE_KEY = 0x2000, GRE_SEQUENCE = 0x1000, GRE_ACK = 0x0080 };

/* RFC 1701: source routes from `at` on, ended by one of family and length 0. Returns where they end, or 0 if broken. */
static uint32_t gre_routes(const struct fs__walk *walk, uint32_t at) {
    while (fs__has(walk, at + 4)) {
        const uint8_t *route = fs__here(walk) + at;
        at += 4 + route[3];
        if (fs__be16(route) == 0 && route[3] == 0)
            return at;
    }
    return 0;
}

static bool is_wlan_type(uint16_t type) {
    return type >= FS__ETHERTYPE_ARUBA_FIRST && type <= FS__ETHERTYPE_ARUBA_LAST && (type & 0xf) == 0;
}

static int gre_content(struct fs__walk *walk, uint16_t type, bool sequence) {
    if (is_wlan_type(type))
        return fs__walk_wlan(walk);
    switch (type) {
    case FS__ETHERTYPE_ERSPAN:
        return erspan_2(walk, sequence);
    case FS__ETHERTYPE_ERSPAN3:
        return erspan_3(walk);
    case FS__ETHERTYPE_PPP:
        return fs__walk_ppp(walk);
    case FS__ETHERTYPE_WCCP:
        return wccp(walk);
    default:
        return fs__walk_ethertype(walk, type);
    }
}

/* RFC 2784, RFC 2890; what RFC 1701 has more is skipped. */
static int gre_0(struct fs__walk *walk, uint16_t flags, uint16_t type) {
    uint32_t key_at = flags & (GRE_CHECKSUM | GRE_ROUTING) ? 8 : 4;
    uint32_t length = key_at + (flags & GRE_KEY ? 4U : 0U) + (flags & GRE_SEQUENCE ? 4U : 0U);
    if (!fs__has(walk, length))
        return -FS_REJECT_NOT_IP;
    uint32_t key = flags & GRE_KEY ? fs__be32(fs__here(walk) + key_at) : 0;
    if (flags & GRE_ROUTING) {
        length = gre_routes(walk, length);
        if (!length)
            return -FS_REJECT_NOT_IP;
    }
    if (flags & GRE_KEY)
        enter_numbered_tunnel(walk, length, key);
    else
        enter_tunnel(walk, length);
    return gre_content(walk, type, flags & GRE_SEQUENCE);
}

/* PPTP, RFC 2637: of its key, the one half is a length and the other the receiver's name of the call, which differs by
 * direction. */
static int gre_1(struct fs__walk *walk, uint16_t flags, uint16_t type) {
    uint32_t length = 8 + (flags & GRE_SEQUENCE ? 4U : 0U) + (flags & GRE_ACK ? 4U : 0U);
    if (type != FS__ETHERTYPE_PPP || !(flags & GRE_KEY) || !fs__has(walk, length))
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, length);
    return fs__walk_ppp(walk);
}

static int gre(struct fs__walk *walk) {
    if (!fs__has(walk, 4))
        return -FS_REJECT_NOT_IP;
    uint16_t flags = fs__be16(fs__here(walk));
    uint16_t type = fs__be16(fs__here(walk) + 2);
    switch (flags & 7) {
    case 0:
        return gre_0(walk, flags, type);
    case 1:
        return gre_1(walk, flags, type);
    default:
        return -FS_REJECT_NOT_IP;
    }
}

/* What an IP protocol carries, if it is a tunnel to be followed. */
static int ip_tunnel(struct fs__walk *walk, uint8_t protocol) {
    unsigned tunnels = walk->config->tunnels;
    if (protocol == FS_PROTO_GRE && (tunnels & FS_TUNNEL_GRE))
        return gre(walk);
    if ((protocol != FS_PROTO_IPV4 && protocol != FS_PROTO_IPV6) || !(tunnels & FS_TUNNEL_IP))
        return -FS_REJECT_NOT_IP;
    enter_tunnel(walk, 0);
    return protocol == FS_PROTO_IPV4 ? fs__walk_ipv4(walk) : fs__walk_ipv6(walk);
}

/* ---- transport ---- */

/* The ports that nearly every transport begins with; 0 where they are cut off. */
struct ports {
    uint16_t source, destination;
};

static inline struct ports read_ports(const uint8_t *header, uint32_t there) {
    struct ports ports = {0, 0};
    if (there >= 4) {
        ports.source = fs__be16(header);
        ports.destination = fs__be16(header + 2);
    }
    return ports;
}

static int tcp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = fs__there(walk);
    const uint8_t *header = there ? fs__here(walk) : NULL;
    struct ports ports = read_ports(header, there);
    set_key(walk, packet, ip, ports.source, ports.destination);
    uint32_t length = there >= FS__TCP_HEADER ? fs__tcp_parse(&packet->tcp, header, there) : 0;
    if (length)
        packet->flags |= FS_PACKET_HAS_TCP;
    else if (there > 12) /* what the header would say of itself */
        length = (uint32_t)(header[12] >> 4) * 4;
    if (there < FS__TCP_HEADER || there < length || length < FS__TCP_HEADER)
        packet->flags |= FS_PACKET_CUT_HEADER;
    set_payload(walk, packet, walk->at + (length < FS__TCP_HEADER ? FS__TCP_HEADER : length), walk->end);
    return 0;
}

static int udp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = fs__there(walk);
    const uint8_t *header = there ? fs__here(walk) : NULL;
    struct ports ports = read_ports(header, there);
    set_key(walk, packet, ip, ports.source, ports.destination);
    uint32_t end = walk->end;
    if (there < 8) {
        packet->flags |= FS_PACKET_CUT_HEADER;
    } else if (ip->protocol == FS_PROTO_UDP) { /* UDP-Lite has its checksum's coverage there */
        uint32_t length = fs__be16(header + 4);
        if (length >= 8 && length < end - walk->at)
            end = walk->at + length;
    }
    set_payload(walk, packet, walk->at + 8, end);
    if (there < 8 || ip->protocol != FS_PROTO_UDP || (ip->flags & FS_PACKET_QUOTED))
        return 0;
    uint16_t port = tunnel_port(ports.source, ports.destination, walk->config->tunnels);
    if (port) {
        walk->at += 8;
        fs__set_end(walk, end);
        (void)udp_tunnel(walk, packet, port);
    }
    return 0;
}

/* SCTP and DCCP: ports as in TCP, and a header of their own. */
static int ported(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = fs__there(walk);
    const uint8_t *header = there ? fs__here(walk) : NULL;
    struct ports ports = read_ports(header, there);
    set_key(walk, packet, ip, ports.source, ports.destination);
    uint32_t length = 12;
    if (ip->protocol == FS_PROTO_DCCP && there > 4)
        length = header[4] * 4U;
    if (there < length || length < 12)
        packet->flags |= FS_PACKET_CUT_HEADER;
    set_payload(walk, packet, walk->at + (length < 12 ? 12 : length), walk->end);
    return 0;
}

/* How many bytes of the packet an error quotes, if it says so, or 0. RFC 4884, 4: extensions may follow them. */
static uint32_t quoted_length(uint8_t protocol, const uint8_t *header) {
    const uint32_t least = 128;
    uint32_t length = 0;
    if (protocol == FS_PROTO_ICMP && (header[0] == 3 || header[0] == 11 || header[0] == 12))
        length = header[5] * 4U;
    else if (protocol == FS_PROTO_ICMPV6 && (header[0] == 1 || header[0] == 3))
        length = header[4] * 8U;
    return length >= least ? length : 0;
}

static void quoted(struct fs__walk *walk, uint8_t protocol) {
    if (!fs__has(walk, 9))
        return;
    uint32_t length = quoted_length(protocol, fs__here(walk));
    walk->at += 8;
    if (length && length < walk->end - walk->at)
        fs__set_end(walk, walk->at + length);
    (void)fs__walk_ip(walk);
}

static int icmp(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    uint32_t there = fs__there(walk);
    const uint8_t *header = there ? fs__here(walk) : NULL;
    if (there < 2 || walk->config->key != FS_KEY_5TUPLE) {
        set_key(walk, packet, ip, 0, 0);
    } else {
        uint16_t identifier = there >= 6 ? fs__be16(header + 4) : 0;
        packet->orientation =
            (uint8_t)fs_key_set_icmp(&packet->key, (enum fs_family)ip->family, ip->source, ip->destination,
                                     ip->protocol, header[0], header[1], identifier, walk->config->directional);
        packet->key.domain = domain_of(walk);
    }
    if (there < 8)
        packet->flags |= FS_PACKET_CUT_HEADER;
    set_payload(walk, packet, walk->at + 8, walk->end);
    if (there == 0 || !fs_icmp_is_error(ip->protocol, header[0]))
        return 0;
    packet->flags |= FS_PACKET_ICMP_ERROR;
    if (!(ip->flags & FS_PACKET_QUOTED))
        quoted(walk, ip->protocol);
    return 0;
}

/* No ports that we could read; perhaps a tunnel. */
static int plain(struct fs__walk *walk, const struct ip *ip) {
    struct fs_packet *packet = begin_ip(walk, ip);
    if (!packet)
        return -FS_REJECT_DEPTH;
    set_key(walk, packet, ip, 0, 0);
    set_payload(walk, packet, walk->at, walk->end);
    if (!(ip->flags & (FS_PACKET_QUOTED | FS_PACKET_LATER_FRAGMENT)))
        (void)ip_tunnel(walk, ip->protocol);
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
    bool is_quoted = walk->count && (walk->packets[walk->count - 1].flags & FS_PACKET_ICMP_ERROR);
    return is_quoted ? FS_PACKET_QUOTED : 0;
}

/* RFC 4302, 2: walked through to what it protects. Returns whether it could be. */
static bool skip_ah(struct fs__walk *walk, uint8_t *next) {
    const uint32_t fixed = 12;
    if (!fs__has(walk, fixed))
        return false;
    const uint8_t *header = fs__here(walk);
    uint32_t length = (header[1] + 2U) * 4;
    if (length < fixed || !fs__has(walk, length))
        return false;
    *next = header[0];
    walk->at += length;
    return true;
}

/* The packet ends where its header says, unless the layer around it ends before: `length` is kept as stated. */
static void set_ip_end(struct fs__walk *walk, struct ip *ip, uint32_t length) {
    ip->length = length;
    if (length < walk->end - walk->at)
        fs__set_end(walk, walk->at + length);
    ip->captured = walk->captured - walk->at;
    if (walk->end > walk->captured)
        ip->flags |= FS_PACKET_TRUNCATED;
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
    struct ip ip = {.header = header,
                    .source = header + 12,
                    .destination = header + 16,
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
    set_ip_end(walk, &ip, length);
    uint16_t fragment = fs__be16(header + 6);
    if (fragment & 0x1fff)
        ip.flags |= FS_PACKET_LATER_FRAGMENT;
    else if (fragment & 0x2000)
        ip.flags |= FS_PACKET_FIRST_FRAGMENT;
    walk->at += header_length;
    if (!(ip.flags & FS_PACKET_LATER_FRAGMENT)) {
        for (int i = 0; i < EXTENSIONS_MAX && ip.protocol == FS_PROTO_AH; i++) {
            if (!skip_ah(walk, &ip.protocol))
                break;
        }
    }
    return ip_payload(walk, &ip);
}

/* RFC 8200, 4.5. Of a fragment of a fragment, the inner header counts if it says that there are no ports. */
static bool skip_fragment_header(struct fs__walk *walk, struct ip *ip) {
    if (!fs__has(walk, 8))
        return false;
    uint16_t field = fs__be16(fs__here(walk) + 2);
    ip->protocol = fs__here(walk)[0];
    walk->at += 8;
    if (field & 0xfff8)
        ip->flags = (uint16_t)((ip->flags & ~FS_PACKET_FIRST_FRAGMENT) | FS_PACKET_LATER_FRAGMENT);
    else if (field & 1)
        ip->flags |= FS_PACKET_FIRST_FRAGMENT;
    return !(ip->flags & FS_PACKET_LATER_FRAGMENT);
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

/* One that nothing follows is itself what the packet is about: mobility and HIP signalling. */
static bool skip_extension(struct fs__walk *walk, uint8_t *next) {
    if (!fs__has(walk, 8))
        return false;
    const uint8_t *header = fs__here(walk);
    uint32_t length = (header[1] + 1U) * 8;
    if (!fs__has(walk, length) || header[0] == NEXT_NONE)
        return false;
    *next = header[0];
    walk->at += length;
    return true;
}

static bool skip_one_header(struct fs__walk *walk, struct ip *ip) {
    if (ip->protocol == FS_PROTO_AH)
        return skip_ah(walk, &ip->protocol);
    if (ip->protocol == NEXT_FRAGMENT)
        return skip_fragment_header(walk, ip);
    return is_extension(ip->protocol) && skip_extension(walk, &ip->protocol);
}

/* RFC 2675: the length of a packet over 64 KB, from its hop-by-hop header. 0 if there is none. */
static uint32_t jumbo_length(const struct fs__walk *walk, const uint8_t *ipv6) {
    enum { JUMBO = 0xc2, PAD = 0 };
    if (ipv6[6] != NEXT_HOP_BY_HOP || !fs__has(walk, 48))
        return 0;
    const uint8_t *options = ipv6 + 42;
    uint32_t size = (ipv6[41] + 1U) * 8 - 2;
    if (!fs__has(walk, 42 + size))
        return 0;
    for (uint32_t at = 0; at + 6 <= size; at += options[at] == PAD ? 1 : 2U + options[at + 1]) {
        if (options[at] == JUMBO && options[at + 1] == 4)
            return fs__be32(options + at + 2);
    }
    return 0;
}

/* Of a packet that states 0. */
static uint32_t length_behind_ipv6(const struct fs__walk *walk, struct ip *ip, const uint8_t *header) {
    if (ip->protocol == NEXT_NONE)
        return 0;
    uint32_t jumbo = jumbo_length(walk, header);
    if (jumbo > UINT16_MAX && jumbo <= FS__FRAME_MAXIMUM)
        return jumbo;
    uint32_t rest = walk->end - walk->at - 40;
    if (rest)
        ip->flags |= FS_PACKET_LENGTH_ZERO;
    return rest;
}

int fs__walk_ipv6(struct fs__walk *walk) {
    if (walk->config->key == FS_KEY_MAC_PAIR)
        return fs__walk_other(walk);
    if (!fs__has(walk, 40))
        return -FS_REJECT_SHORT_IP;
    const uint8_t *header = fs__here(walk);
    if (header[0] >> 4 != 6)
        return -FS_REJECT_BAD_IP;
    struct ip ip = {.header = header,
                    .source = header + 8,
                    .destination = header + 24,
                    .flow_label = fs__be32(header) & 0xfffff,
                    .flags = (uint16_t)(inherited_flags(walk) | FS_PACKET_FLOW_LABEL),
                    .family = FS_FAMILY_IPV6,
                    .protocol = header[6],
                    .ttl = header[7]};
    uint32_t length = fs__be16(header + 4);
    if (length == 0)
        length = length_behind_ipv6(walk, &ip, header);
    set_ip_end(walk, &ip, 40 + length);
    walk->at += 40;
    /* A chain that is cut off or too long ends where it can be read no further. */
    for (int i = 0; i < EXTENSIONS_MAX && skip_one_header(walk, &ip); i++)
        ;
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

void fs_extract_config_defaults(struct fs_extract_config *config) {
    memset(config, 0, sizeof *config);
    config->key = FS_KEY_5TUPLE;
    config->tunnels = FS_TUNNEL_ALL;
    config->non_ip = true;
}

/* ---- the straight way ---- */

/* Ethernet with up to two tags, an IP header with nothing unusual about it, TCP or UDP without a tunnel: most of what
 * is captured. Here it is read in one go, in half the time that the walk takes to the same result. Whatever is not of
 * that kind is left to the walk. Lengths and places are relative to the IP header, and each field is written as soon as
 * it is known: so few of them are alive at once that all fit into registers. */
enum { STRAIGHT_IPV4 = 20, STRAIGHT_IPV6 = 40, STRAIGHT_LEAST = 8 };

/* Whether the source is the second endpoint of the key. The order is that of order_ipv4(). */
static FS__INLINE bool straight_is_reverse_ipv4(const uint8_t *header, uint32_t ports) {
    uint64_t there = fs__be64(header + 12);
    uint64_t back = there << 32 | there >> 32;
    if (FS__UNLIKELY(there == back))
        return ports > (ports << 16 | ports >> 16);
    return there > back;
}

static FS__INLINE bool straight_is_reverse_ipv6(const uint8_t *header, uint32_t ports) {
    uint64_t a0 = fs__be64(header + 8), a1 = fs__be64(header + 16);
    uint64_t b0 = fs__be64(header + 24), b1 = fs__be64(header + 32);
    uint64_t a = a0 == b0 ? a1 : a0, b = a0 == b0 ? b1 : b0;
    if (FS__UNLIKELY(a == b))
        return ports > (ports << 16 | ports >> 16);
    return a > b;
}

/* The places of the two addresses depend on the order; a branch on it would be wrong every other time. */
static FS__INLINE void straight_key(struct fs_packet *packet, const uint8_t *header, uint32_t ports, bool keep,
                                    enum fs_family family) {
    struct fs_key *key = &packet->key;
    bool is_ipv4 = family == FS_FAMILY_IPV4;
    unsigned reverse = is_ipv4 ? straight_is_reverse_ipv4(header, ports) : straight_is_reverse_ipv6(header, ports);
    reverse &= !keep;
    size_t size = is_ipv4 ? 4 : 16;
    const uint8_t *source = header + (is_ipv4 ? 12 : 8);
    const uint8_t *first = source + reverse * size;
    const uint8_t *second = source + size - reverse * size;
    if (is_ipv4) {
        fs__put_first_half(key->address[0], first);
        fs__put_be64(key->address[0] + 8, 0);
        fs__put_first_half(key->address[1], second);
        fs__put_be64(key->address[1] + 8, 0);
    } else {
        memcpy(key->address[0], first, 16);
        memcpy(key->address[1], second, 16);
    }
    unsigned shift = reverse * 16;
    packet->orientation = (uint8_t)reverse;
    fs__key_put_rest(key, (uint16_t)(ports >> (16 - shift)), (uint16_t)(ports >> shift), 0,
                     is_ipv4 ? header[9] : header[6], (uint8_t)family, FS_KEY_5TUPLE);
}

/* Ports that clients choose lie above all of the tunnels', and most services below. */
static FS__INLINE bool is_tunnel_port(uint32_t port) {
    return port - PORT_GTPU <= PORT_VXLAN_LINUX - PORT_GTPU && tunnel_of_port((uint16_t)port);
}

/* `there` bytes of the IP packet are there, of `length` that it has. Returns where the payload begins, or 0; lowers
 * `*end` to where it ends. */
static FS__INLINE uint32_t straight_transport(struct fs_packet *packet, const uint8_t *header, uint32_t at,
                                              uint32_t there, uint32_t *end, uint8_t protocol, uint32_t ports) {
    const uint8_t *transport = header + at;
    if (protocol == FS_PROTO_TCP) {
        if (there < at + FS__TCP_HEADER)
            return 0;
        uint32_t length = fs__tcp_parse(&packet->tcp, transport, there - at);
        return length && at + length <= there ? at + length : 0;
    }
    if (protocol != FS_PROTO_UDP || is_tunnel_port(ports >> 16) || is_tunnel_port(ports & UINT16_MAX))
        return 0;
    uint32_t length = fs__be16(transport + 4);
    if (length >= 8 && at + length < *end)
        *end = at + length;
    return at + 8;
}

/* From the IP header on, `captured` bytes of `wire_len`. The family is known where this is put. */
static FS__INLINE bool straight_ip(const struct fs_extract_config *config, const uint8_t *header, uint32_t captured,
                                   uint32_t wire_len, struct fs_packet *packet, enum fs_family family) {
    enum { ANY_FRAGMENT = 0x3fff, PLAIN_IPV4 = 0x45 };
    bool is_ipv4 = family == FS_FAMILY_IPV4;
    const uint32_t at = is_ipv4 ? STRAIGHT_IPV4 : STRAIGHT_IPV6;
    if (captured < at + STRAIGHT_LEAST)
        return false;
    if (is_ipv4 ? header[0] != PLAIN_IPV4 || (fs__be16(header + 6) & ANY_FRAGMENT) : header[0] >> 4 != 6)
        return false;
    uint32_t length = is_ipv4 ? fs__be16(header + 2) : STRAIGHT_IPV6 + (uint32_t)fs__be16(header + 4);
    uint32_t there = captured < length ? captured : length;
    if (length > wire_len || there < at + STRAIGHT_LEAST)
        return false;
    uint8_t protocol = is_ipv4 ? header[9] : header[6];
    uint32_t ports = fs__be32(header + at);
    uint32_t end = length;
    uint32_t payload = straight_transport(packet, header, at, there, &end, protocol, ports);
    if (!payload)
        return false;
    packet->ip = header;
    packet->ip_len = length;
    packet->ip_captured = there;
    packet->ttl = is_ipv4 ? header[8] : header[7];
    packet->flow_label = is_ipv4 ? 0 : fs__be32(header) & 0xfffff;
    packet->flags =
        (uint16_t)((is_ipv4 ? 0U : FS_PACKET_FLOW_LABEL) | (protocol == FS_PROTO_TCP ? FS_PACKET_HAS_TCP : 0U) |
                   (there < length ? FS_PACKET_TRUNCATED : 0U));
    uint32_t payload_len = end - payload;
    uint32_t payload_captured = there - payload < payload_len ? there - payload : payload_len;
    packet->payload_len = payload_len;
    packet->payload_captured = payload_captured;
    packet->payload = payload_captured ? header + payload : NULL;
    straight_key(packet, header, ports, config->directional, family);
    return true;
}

static FS__INLINE bool extract_straight(const struct fs_extract_config *config, const struct fs_frame *frame,
                                        struct fs_packet *packet) {
    enum { ETHERNET = 14, WITH_TAGS = ETHERNET + 4 * FS_VLAN_MAX };
    uint32_t captured = frame->captured;
    uint32_t wire_len = frame->wire_len > captured ? frame->wire_len : captured;
    if (frame->linktype != FS_LINK_ETHERNET || config->key != FS_KEY_5TUPLE || config->domain != 0 ||
        wire_len > FS__FRAME_MAXIMUM || captured < WITH_TAGS)
        return false;
    packet->time_ns = frame->time_ns;
    packet->frame = frame->number;
    packet->wire_len = wire_len;
    packet->vlan[0] = packet->vlan[1] = 0;
    uint32_t at = ETHERNET;
    const uint8_t *header = frame->data + ETHERNET;
    uint16_t type = fs__be16(header - 2);
    for (int i = 0; FS__UNLIKELY(type == FS__ETHERTYPE_VLAN || type == FS__ETHERTYPE_QINQ) && i < FS_VLAN_MAX; i++) {
        packet->vlan[i] = fs__be16(header) & 0xfff;
        type = fs__be16(header + 2);
        header += 4;
        at += 4;
    }
    if (type == FS__ETHERTYPE_IPV4)
        return straight_ip(config, header, captured - at, wire_len - at, packet, FS_FAMILY_IPV4);
    if (type == FS__ETHERTYPE_IPV6)
        return straight_ip(config, header, captured - at, wire_len - at, packet, FS_FAMILY_IPV6);
    return false;
}

/* ---- the frame ---- */

static FS__NOINLINE int extract_walking(const struct fs_extract_config *config, const struct fs_frame *frame,
                                        struct fs_packet *packets) {
    struct fs__walk walk;
    walk.config = config;
    walk.frame = frame;
    walk.packets = packets;
    walk.count = 0;
    walk.at = walk.body = 0;
    walk.wire_len = frame->wire_len > frame->captured ? frame->wire_len : frame->captured;
    walk.end = walk.wire_len < FS__FRAME_MAXIMUM ? walk.wire_len : FS__FRAME_MAXIMUM;
    walk.captured = frame->captured < FS__FRAME_MAXIMUM ? frame->captured : FS__FRAME_MAXIMUM;
    walk.domain = 0;
    walk.has_tunnel_number = false;
    walk.tunnel_number = 0;
    walk.source = walk.destination = NULL;
    fs__no_tags(&walk);
    if (config->domain & FS_DOMAIN_INTERFACE)
        walk.domain = fs_domain_mix(0, FS_DOMAIN_INTERFACE, frame->interface);
    int error = fs__walk_link(&walk);
    return walk.count ? walk.count : error;
}

int fs_extract(const struct fs_extract_config *config, const struct fs_frame *frame, struct fs_packet *packets) {
    return extract_straight(config, frame, &packets[0]) ? 1 : extract_walking(config, frame, packets);
}
