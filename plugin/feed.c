/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "feed.h"

#include "prefs.h"

#include <string.h>

static int proto_flowscope = -1;
static protocol_t *flowscope_protocol;

static uint16_t be16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_on(void) {
    return fs_prefs()->track && proto_is_protocol_enabled(flowscope_protocol);
}

/* ---- the frame's notes ---- */

static uint32_t interface_domain(const packet_info *pinfo) {
    const wtap_rec *rec = pinfo->rec;
    if (!(fs_prefs_domain() & FS_DOMAIN_INTERFACE) || !rec || rec->rec_type != REC_TYPE_PACKET)
        return 0;
    uint64_t interface = 0;
    if (rec->presence_flags & WTAP_HAS_INTERFACE_ID)
        interface = rec->rec_header.packet_header.interface_id;
    if ((rec->presence_flags & WTAP_HAS_SECTION_NUMBER) && rec->section_number > 1)
        interface |= (uint64_t)rec->section_number << 32;
    return fs_domain_mix(0, FS_DOMAIN_INTERFACE, interface);
}

static struct fs_notes *known_notes(packet_info *pinfo) {
    return p_get_proto_data(pinfo->pool, pinfo, proto_flowscope, 0);
}

static struct fs_notes *make_notes(packet_info *pinfo) {
    enum { USUAL = 2 }; /* a packet, or a carrier and what it carries */
    struct block {
        struct fs_notes notes;
        int parents[USUAL];
        struct fs_packet packets[USUAL];
    };
    struct block *block = wmem_new(pinfo->pool, struct block);
    struct fs_notes *notes = &block->notes;
    notes->count = 0;
    notes->room = USUAL;
    notes->open = -1;
    notes->domain = interface_domain(pinfo);
    notes->parents = block->parents;
    notes->packets = block->packets;
    p_add_proto_data(pinfo->pool, pinfo, proto_flowscope, 0, notes);
    return notes;
}

static struct fs_notes *notes_of(packet_info *pinfo) {
    struct fs_notes *notes = known_notes(pinfo);
    return notes ? notes : make_notes(pinfo);
}

static void grow(struct fs_notes *notes, packet_info *pinfo) {
    unsigned room = notes->room * 4;
    struct fs_packet *packets = wmem_alloc_array(pinfo->pool, struct fs_packet, room);
    int *parents = wmem_alloc_array(pinfo->pool, int, room);
    memcpy(packets, notes->packets, notes->count * sizeof *packets);
    memcpy(parents, notes->parents, notes->count * sizeof *parents);
    notes->packets = packets;
    notes->parents = parents;
    notes->room = room;
}

/* NULL past the limit: what is deeper than that is no real traffic. */
static struct fs_packet *add(struct fs_notes *notes, packet_info *pinfo) {
    if (notes->count == FS_FRAME_MAX)
        return NULL;
    if (notes->count == notes->room)
        grow(notes, pinfo);
    struct fs_packet *packet = &notes->packets[notes->count];
    memset(packet, 0, offsetof(struct fs_packet, tcp));
    notes->parents[notes->count++] = notes->open;
    packet->frame = pinfo->num;
    packet->wire_len = pinfo->fd->pkt_len;
    if (pinfo->presence_flags & PINFO_HAS_TS)
        packet->time_ns = (uint64_t)pinfo->abs_ts.secs * 1000000000 + (uint64_t)pinfo->abs_ts.nsecs;
    return packet;
}

/* ---- one IP packet ---- */

/* The bytes of a header that are there; reading never throws. */
struct view {
    const uint8_t *bytes;
    uint32_t captured; /* at `bytes` */
    uint32_t reported; /* of the IP payload, as the IP header says */
};

static struct view view_of(tvbuff_t *tvb) {
    enum { ENOUGH = 128 }; /* any header, and the tunnel header behind it */
    struct view view = {NULL, (uint32_t)tvb_captured_length(tvb), (uint32_t)tvb_reported_length(tvb)};
    if (view.captured)
        view.bytes = tvb_get_ptr(tvb, 0, (int)(view.captured < ENOUGH ? view.captured : ENOUGH));
    return view;
}

/* The IP header is not ours to read: take its length from the dissector's own record of it. */
static uint32_t ip_length(const struct view *view, void *data, struct fs_packet *packet) {
    const ws_ip4 *ip4 = WS_IP4_PTR(data);
    if (ip4) {
        packet->ttl = ip4->ip_ttl;
        if (ip4->ip_len == 0)
            packet->flags |= FS_PACKET_LENGTH_ZERO;
        return ip4->ip_len > view->reported ? ip4->ip_len : view->reported + 20;
    }
    const ws_ip6 *ip6 = WS_IP6_PTR(data);
    if (ip6) {
        packet->ttl = ip6->ip6_hop;
        packet->flow_label = ip6->ip6_flw & 0xfffff;
        packet->flags |= FS_PACKET_FLOW_LABEL;
        return ip6->ip6_len >= view->reported ? ip6->ip6_len + 40 : view->reported + 40;
    }
    return view->reported + 20;
}

static void set_payload(struct fs_packet *packet, tvbuff_t *tvb, const struct view *view, uint32_t header,
                        uint32_t end) {
    packet->payload_len = end > header ? end - header : 0;
    uint32_t there = view->captured > header ? view->captured - header : 0;
    packet->payload_captured = there < packet->payload_len ? there : packet->payload_len;
    if (packet->payload_captured)
        packet->payload = tvb_get_ptr(tvb, (int)header, (int)packet->payload_captured);
}

static uint32_t tcp_header(struct fs_packet *packet, const struct view *view) {
    uint32_t length =
        view->captured >= 20 ? fs_tcp_parse(&packet->tcp, view->bytes, view->captured < 60 ? view->captured : 60) : 0;
    packet->flags |= length ? FS_PACKET_HAS_TCP : FS_PACKET_CUT_HEADER;
    if (length)
        return length;
    return view->captured > 12 && view->bytes[12] >> 4 >= 5 ? (uint32_t)(view->bytes[12] >> 4) * 4 : 20;
}

static uint32_t udp_end(const struct view *view, uint8_t protocol) {
    if (protocol != FS_PROTO_UDP || view->captured < 8)
        return view->reported;
    uint32_t length = be16(view->bytes + 4);
    return length >= 8 && length < view->reported ? length : view->reported;
}

static uint32_t header_length(const struct view *view, uint8_t protocol) {
    switch (protocol) {
    case FS_PROTO_UDP:
    case FS_PROTO_UDPLITE:
    case FS_PROTO_ICMP:
    case FS_PROTO_ICMPV6:
        return 8;
    case FS_PROTO_SCTP:
        return 12;
    case FS_PROTO_DCCP:
        return view->captured > 4 && view->bytes[4] >= 3 ? view->bytes[4] * 4U : 12;
    default:
        return 0;
    }
}

static bool has_ports(uint8_t protocol) {
    switch (protocol) {
    case FS_PROTO_TCP:
    case FS_PROTO_UDP:
    case FS_PROTO_UDPLITE:
    case FS_PROTO_SCTP:
    case FS_PROTO_DCCP:
        return true;
    default:
        return false;
    }
}

static bool is_either(uint16_t a, uint16_t b, uint16_t port) {
    return a == port || b == port;
}

/* The number of the tunnel that a carrier opens, as extract.c has it; false if it has none. */
static bool tunnel_number(const struct fs_packet *carrier, uint64_t *number) {
    const uint8_t *bytes = carrier->payload;
    uint32_t captured = carrier->payload_captured;
    if (carrier->key.protocol == FS_PROTO_GRE) {
        if (captured < 4)
            return false;
        unsigned flags = be16(bytes);
        uint32_t key_at = flags & 0xc000 ? 8 : 4;
        uint32_t after_key = key_at + (flags & 0x2000 ? 4U : 0U);
        unsigned type = be16(bytes + 2);
        if (type == 0x88be || type == 0x22eb) {
            uint32_t at = after_key + (flags & 0x1000 ? 4U : 0U);
            bool header = (flags & 0x1000) || type == 0x22eb;
            if (!header || captured < at + 4)
                return false;
            *number = be16(bytes + at + 2) & 0x3ff;
            return true;
        }
        if (!(flags & 0x2000) || (flags & 7) || captured < key_at + 4)
            return false;
        *number = be32(bytes + key_at);
        return true;
    }
    if (carrier->key.protocol != FS_PROTO_UDP || captured < 8)
        return false;
    uint16_t a = carrier->key.port[0];
    uint16_t b = carrier->key.port[1];
    if (is_either(a, b, 4789) || is_either(a, b, 8472) || is_either(a, b, 4790) || is_either(a, b, 6081)) {
        *number = be32(bytes + 4) >> 8;
        return true;
    }
    if (is_either(a, b, 2152)) { /* each direction has its own TEID: the endpoints stand for the tunnel */
        struct fs_key key = carrier->key;
        key.port[0] = key.port[1] = 0;
        key.domain = 0;
        *number = fs_key_hash(&key, 0);
        return true;
    }
    return false;
}

static uint32_t domain_of(const struct fs_notes *notes) {
    uint64_t number;
    if (notes->open < 0 || !(fs_prefs_domain() & FS_DOMAIN_TUNNEL) ||
        !tunnel_number(&notes->packets[notes->open], &number))
        return notes->domain;
    return fs_domain_mix(notes->domain, FS_DOMAIN_TUNNEL, number);
}

static void set_key(struct fs_packet *packet, const packet_info *pinfo, const struct view *view, uint8_t protocol,
                    uint32_t domain) {
    enum fs_family family = pinfo->net_src.type == AT_IPv4 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
    bool icmp = protocol == FS_PROTO_ICMP || protocol == FS_PROTO_ICMPV6;
    if (icmp && view->captured >= 2) {
        uint16_t identifier = view->captured >= 6 ? be16(view->bytes + 4) : 0;
        packet->orientation = (uint8_t)fs_key_set_icmp(&packet->key, family, pinfo->net_src.data, pinfo->net_dst.data,
                                                       protocol, view->bytes[0], view->bytes[1], identifier, false);
        if (fs_icmp_is_error(protocol, view->bytes[0]))
            packet->flags |= FS_PACKET_ICMP_ERROR;
    } else {
        bool ports = has_ports(protocol) && view->captured >= 4;
        packet->orientation =
            (uint8_t)fs_key_set(&packet->key, FS_KEY_5TUPLE, family, pinfo->net_src.data, pinfo->net_dst.data,
                                ports ? be16(view->bytes) : 0, ports ? be16(view->bytes + 2) : 0, protocol, false);
    }
    packet->key.domain = domain;
}

static bool same_family(const packet_info *pinfo) {
    int type = pinfo->net_src.type;
    return type == pinfo->net_dst.type &&
           ((type == AT_IPv4 && pinfo->net_src.len == 4) || (type == AT_IPv6 && pinfo->net_src.len == 16));
}

/* Note a packet of `protocol` whose IP header was just dissected. Returns whether it became the innermost one. */
static bool note(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo, uint8_t protocol_number, void *data) {
    if (!same_family(pinfo))
        return false;
    uint32_t domain = domain_of(notes);
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return false;
    struct view view = view_of(tvb);
    set_key(packet, pinfo, &view, protocol_number, domain);
    packet->ip_len = ip_length(&view, data, packet);
    uint32_t header =
        protocol_number == FS_PROTO_TCP ? tcp_header(packet, &view) : header_length(&view, protocol_number);
    if (header && protocol_number != FS_PROTO_TCP && view.captured < header)
        packet->flags |= FS_PACKET_CUT_HEADER;
    set_payload(packet, tvb, &view, header, udp_end(&view, protocol_number));
    if (view.captured < view.reported)
        packet->flags |= FS_PACKET_TRUNCATED;
    if (pinfo->fragmented)
        packet->flags |= FS_PACKET_FIRST_FRAGMENT;
    if (pinfo->flags.in_error_pkt) {
        packet->flags |= FS_PACKET_QUOTED;
        return false;
    }
    notes->open = (int)notes->count - 1;
    return true;
}

/* ---- the dissectors that stand before the originals ---- */

struct tap_point {
    uint8_t number;
    const char *filter_name; /* of the original protocol */
    const char *table;
    int pino;
    dissector_handle_t original;
};

static int call_noted(const struct tap_point *point, tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data);

/* IP protocols that get a flow of their own. AH has none: what it protects has. */
#define FS_TAP_POINTS(XX)                                                                                              \
    XX(icmp, 1, "icmp")                                                                                                \
    XX(igmp, 2, "igmp")                                                                                                \
    XX(ipv4, 4, "ip")                                                                                                  \
    XX(tcp, 6, "tcp")                                                                                                  \
    XX(igrp, 9, "igrp")                                                                                                \
    XX(udp, 17, "udp")                                                                                                 \
    XX(dccp, 33, "dccp")                                                                                               \
    XX(xtp, 36, "xtp")                                                                                                 \
    XX(ipv6, 41, "ipv6")                                                                                               \
    XX(rsvp, 46, "rsvp")                                                                                               \
    XX(gre, 47, "gre")                                                                                                 \
    XX(dsr, 48, "dsr")                                                                                                 \
    XX(esp, 50, "esp")                                                                                                 \
    XX(nhrp, 54, "nhrp")                                                                                               \
    XX(icmpv6, 58, "icmpv6")                                                                                           \
    XX(osi, 80, "osi")                                                                                                 \
    XX(eigrp, 88, "eigrp")                                                                                             \
    XX(ospf, 89, "ospf")                                                                                               \
    XX(ax25, 93, "ax25")                                                                                               \
    XX(etherip, 97, "etherip")                                                                                         \
    XX(pim, 103, "pim")                                                                                                \
    XX(ipcomp, 108, "ipcomp")                                                                                          \
    XX(vrrp, 112, "vrrp")                                                                                              \
    XX(pgm, 113, "pgm")                                                                                                \
    XX(l2tp, 115, "l2tp")                                                                                              \
    XX(sctp, 132, "sctp")                                                                                              \
    XX(udplite, 136, "udplite")                                                                                        \
    XX(mpls, 137, "mpls")                                                                                              \
    XX(ethernet, 143, "eth")

enum point_index {
#define INDEX(name, number, filter) POINT_##name,
    FS_TAP_POINTS(INDEX)
#undef INDEX
        POINT_COUNT
};

static struct tap_point points[POINT_COUNT] = {
#define POINT(name, number, filter) {number, filter, "ip.proto", -1, NULL},
    FS_TAP_POINTS(POINT)
#undef POINT
};

#define DISSECTOR(name, number, filter)                                                                                \
    static int dissect_##name(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data) {                       \
        return call_noted(&points[POINT_##name], tvb, pinfo, tree, data);                                              \
    }
FS_TAP_POINTS(DISSECTOR)
#undef DISSECTOR

static const dissector_t dissectors[POINT_COUNT] = {
#define ENTRY(name, number, filter) dissect_##name,
    FS_TAP_POINTS(ENTRY)
#undef ENTRY
};

/* What the packet carries ends with the call, also when a dissector throws: then the carrier before it is the innermost
 * open packet again. A function of its own, so that nothing is inlined into one that calls setjmp. */
static int call_and_reopen(dissector_handle_t original, tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data,
                           struct fs_notes *notes, int open) {
    struct fs_notes *const volatile kept = notes;
    const volatile int before = open;
    volatile int length = 0;
    TRY {
        length = call_dissector_only(original, tvb, pinfo, tree, data);
    }
    FINALLY {
        kept->open = before;
    }
    ENDTRY;
    return length;
}

static int call_noted(const struct tap_point *point, tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data) {
    if (!is_on())
        return call_dissector_only(point->original, tvb, pinfo, tree, data);
    struct fs_notes *notes = notes_of(pinfo);
    int open = notes->open;
    if (!note(notes, tvb, pinfo, point->number, data))
        return call_dissector_only(point->original, tvb, pinfo, tree, data);
    return call_and_reopen(point->original, tvb, pinfo, tree, data, notes, open);
}

/* ---- VLAN tags: only where the key wants them ---- */

static const uint16_t vlan_types[] = {0x8100, 0x88a8, 0x9100, 0x9200, 0x9300};
static dissector_handle_t vlan_originals[FS_LENGTH_OF(vlan_types)];
static int vlan_pinos[FS_LENGTH_OF(vlan_types)];

static int dissect_vlan(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data) {
    if (is_on() && (fs_prefs_domain() & FS_DOMAIN_VLAN) && tvb_captured_length(tvb) >= 2) {
        struct fs_notes *notes = notes_of(pinfo);
        notes->domain = fs_domain_mix(notes->domain, FS_DOMAIN_VLAN, be16(tvb_get_ptr(tvb, 0, 2)) & 0xfff);
    }
    dissector_handle_t original = vlan_originals[0];
    for (size_t i = 0; i < FS_LENGTH_OF(vlan_types); i++) {
        if (pinfo->match_uint == vlan_types[i] && vlan_originals[i])
            original = vlan_originals[i];
    }
    return call_dissector_only(original, tvb, pinfo, tree, data);
}

/* ---- frames without IP ---- */

static bool is_mac_pair(const packet_info *pinfo) {
    return pinfo->dl_src.type == AT_ETHER && pinfo->dl_dst.type == AT_ETHER && pinfo->dl_src.len == 6 &&
           pinfo->dl_dst.len == 6;
}

/* Whether a link layer was dissected behind the last IP header: ARP in VXLAN, say. */
static bool ends_below_ip(const packet_info *pinfo) {
    static int eth = -1, ip, ipv6;
    if (eth == -1) {
        eth = proto_get_id_by_filter_name("eth");
        ip = proto_get_id_by_filter_name("ip");
        ipv6 = proto_get_id_by_filter_name("ipv6");
    }
    for (wmem_list_frame_t *at = wmem_list_tail(pinfo->layers); at; at = wmem_list_frame_prev(at)) {
        int layer = GPOINTER_TO_INT(wmem_list_frame_data(at));
        if (layer == eth)
            return true;
        if (layer == ip || layer == ipv6)
            return false;
    }
    return false;
}

static bool may_carry_ethernet(const struct fs_packet *packet) {
    return packet->key.protocol == FS_PROTO_UDP || packet->key.protocol == FS_PROTO_GRE;
}

static void add_mac_pair(struct fs_notes *notes, packet_info *pinfo) {
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return;
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, pinfo->dl_src.data,
                                              pinfo->dl_dst.data, 0, 0, 0, false);
    packet->key.domain = domain_of(notes);
    enum { LINK_HEADER = 14, TUNNEL_HEADER = 8 };
    uint32_t whole = pinfo->fd->pkt_len;
    uint32_t before = LINK_HEADER;
    if (notes->open >= 0) {
        whole = notes->packets[notes->open].payload_len;
        before += TUNNEL_HEADER;
    }
    packet->ip_len = whole > before ? whole - before : 0;
    packet->payload_len = packet->ip_len;
    if (pinfo->fd->cap_len < pinfo->fd->pkt_len)
        packet->flags |= FS_PACKET_TRUNCATED;
}

/* An IP packet that no dissector of ours saw: a fragment that waits for others, or a protocol that nothing dissects. */
static void add_ip_pair(struct fs_notes *notes, packet_info *pinfo) {
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return;
    enum fs_family family = pinfo->net_src.type == AT_IPv4 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_IP_PAIR, family, pinfo->net_src.data,
                                              pinfo->net_dst.data, 0, 0, 0, false);
    packet->key.domain = notes->domain;
    if (pinfo->fragmented)
        packet->flags |= FS_PACKET_LATER_FRAGMENT;
}

struct fs_notes *fs_feed_collect(packet_info *pinfo) {
    struct fs_notes *notes = known_notes(pinfo);
    if (notes && notes->count) {
        const struct fs_packet *last = &notes->packets[notes->count - 1];
        if (may_carry_ethernet(last) && is_mac_pair(pinfo) && ends_below_ip(pinfo)) {
            notes->open = (int)notes->count - 1;
            add_mac_pair(notes, pinfo);
        }
        return notes;
    }
    bool ip = same_family(pinfo);
    if (!ip && !is_mac_pair(pinfo))
        return NULL;
    if (!notes)
        notes = make_notes(pinfo);
    if (ip)
        add_ip_pair(notes, pinfo);
    else
        add_mac_pair(notes, pinfo);
    return notes;
}

/* ---- registration ---- */

void fs_feed_register(int proto) {
    proto_flowscope = proto;
    flowscope_protocol = find_protocol_by_id(proto);
    for (size_t i = 0; i < POINT_COUNT; i++) {
        /* The parent must be the original: were it ours, switching Flowscope off would switch TCP off. */
        int parent = proto_get_id_by_filter_name(points[i].filter_name);
        if (parent == -1)
            continue;
        char *name = wmem_strdup_printf(wmem_epan_scope(), "%s (Flowscope)",
                                        proto_get_protocol_short_name(find_protocol_by_id(parent)));
        char *filter = wmem_strdup_printf(wmem_epan_scope(), "flowscope.tap_%s", points[i].filter_name);
        points[i].pino = proto_register_protocol_in_name_only(name, name, filter, parent, FT_PROTOCOL);
    }
    for (size_t i = 0; i < FS_LENGTH_OF(vlan_types); i++) {
        char *name = wmem_strdup_printf(wmem_epan_scope(), "VLAN %04x (Flowscope)", vlan_types[i]);
        char *filter = wmem_strdup_printf(wmem_epan_scope(), "flowscope.tap_vlan_%04x", vlan_types[i]);
        vlan_pinos[i] =
            proto_register_protocol_in_name_only(name, name, filter, proto_get_id_by_filter_name("vlan"), FT_PROTOCOL);
    }
}

void fs_feed_handoff(void) {
    dissector_table_t table = find_dissector_table("ip.proto");
    for (size_t i = 0; i < POINT_COUNT; i++) {
        /* Whoever is there now, another plugin perhaps, stays the one that we call. */
        points[i].original = dissector_get_uint_handle(table, points[i].number);
        if (points[i].pino == -1 || !points[i].original)
            continue;
        dissector_add_uint("ip.proto", points[i].number, create_dissector_handle(dissectors[i], points[i].pino));
    }
    dissector_table_t ethertypes = find_dissector_table("ethertype");
    for (size_t i = 0; i < FS_LENGTH_OF(vlan_types); i++) {
        vlan_originals[i] = dissector_get_uint_handle(ethertypes, vlan_types[i]);
        if (vlan_originals[i])
            dissector_add_uint("ethertype", vlan_types[i], create_dissector_handle(dissect_vlan, vlan_pinos[i]));
    }
}
