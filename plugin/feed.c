/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "feed.h"

#include "prefs.h"

#include <wiretap/pcap-encap.h>

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

/* Tags are those of the frame that holds the packet, not those of its carrier's. */
static void forget_vlans(struct fs_notes *notes) {
    notes->vlans = 0;
    memset(notes->vlan, 0, sizeof notes->vlan);
}

/* Frames are dissected one after the other, so one place does for all: memory of the frame's own would be found by a
 * search for each packet. The post-dissector, which sees every frame last, says when the next one begins. */
static struct {
    struct fs_notes notes;
    const packet_info *pinfo;
    uint32_t frame;
    bool complete;
} current = {.complete = true};

static bool is_current(const packet_info *pinfo) {
    return !current.complete && current.pinfo == pinfo && current.frame == pinfo->num;
}

static struct fs_notes *notes_of(const packet_info *pinfo) {
    struct fs_notes *notes = &current.notes;
    if (is_current(pinfo))
        return notes;
    current.pinfo = pinfo;
    current.frame = pinfo->num;
    current.complete = false;
    notes->count = 0;
    notes->open = -1;
    notes->domain = interface_domain(pinfo);
    notes->outer_domain = notes->domain;
    notes->link_domain = notes->domain;
    forget_vlans(notes);
    notes->reject = FS_REJECT_NOT_IP;
    return notes;
}

uint64_t fs_feed_time(const packet_info *pinfo) {
    if (!(pinfo->presence_flags & PINFO_HAS_TS) || pinfo->abs_ts.secs < 0)
        return 0;
    return (uint64_t)pinfo->abs_ts.secs * 1000000000 + (uint64_t)pinfo->abs_ts.nsecs;
}

/* All that does not depend on where the packet came from; NULL if the frame has too many. */
static struct fs_packet *add(struct fs_notes *notes, const packet_info *pinfo) {
    if (notes->count == FS_FRAME_MAX)
        return NULL;
    if (notes->count == 0)
        notes->outer_domain = notes->domain;
    struct fs_packet *packet = &notes->packets[notes->count];
    memset(packet, 0, offsetof(struct fs_packet, tcp));
    notes->parents[notes->count] = notes->open;
    notes->sources[notes->count] = pinfo->net_src.data;
    notes->count++;
    packet->frame = pinfo->num;
    packet->wire_len = pinfo->fd->pkt_len;
    packet->time_ns = fs_feed_time(pinfo);
    memcpy(packet->vlan, notes->vlan, sizeof packet->vlan);
    return packet;
}

/* ---- headers that Wireshark has passed ---- */

/* A place in a buffer, and what follows it there. */
struct place {
    const uint8_t *bytes;
    uint32_t captured;
    uint32_t reported;
};

/* Addresses mostly point into the packet's bytes: find the header that starts `before` bytes before one. */
static bool locate_in(tvbuff_t *buffer, const void *addr, uint32_t before, struct place *place) {
    uint32_t captured = (uint32_t)tvb_captured_length(buffer);
    if (!captured || !addr)
        return false;
    const uint8_t *start = tvb_get_ptr(buffer, 0, (int)captured);
    uintptr_t distance = (uintptr_t)addr - (uintptr_t)start; /* huge for what lies before */
    if (distance < before || distance >= captured)
        return false;
    uint32_t at = (uint32_t)distance - before;
    place->bytes = start + at;
    place->captured = captured - at;
    place->reported = (uint32_t)tvb_reported_length(buffer) - at;
    return true;
}

/* As locate_in(), in the frame or whatever was decrypted or put together from it. */
static bool locate(tvbuff_t *tvb, const packet_info *pinfo, const void *addr, uint32_t before, struct place *place) {
    if (locate_in(tvb, addr, before, place))
        return true;
    for (GSList *at = pinfo->data_src; at; at = at->next) {
        tvbuff_t *source = get_data_source_tvb((struct data_source *)at->data);
        if (source != tvb && locate_in(source, addr, before, place))
            return true;
    }
    return false;
}

static bool is_ip(const packet_info *pinfo) {
    int type = pinfo->net_src.type;
    return type == pinfo->net_dst.type &&
           ((type == AT_IPv4 && pinfo->net_src.len == 4) || (type == AT_IPv6 && pinfo->net_src.len == 16));
}

static uint32_t source_offset(const packet_info *pinfo) {
    return pinfo->net_src.type == AT_IPv4 ? 12 : 8;
}

static bool is_ip_header(const struct place *place, const packet_info *pinfo) {
    bool ipv4 = pinfo->net_src.type == AT_IPv4;
    return place->captured >= (ipv4 ? 20 : 40) && place->bytes[0] >> 4 == (ipv4 ? 4 : 6);
}

/* The IP header that was dissected last, whole and as it is. */
static bool locate_ip(tvbuff_t *tvb, const packet_info *pinfo, struct place *place) {
    const uint8_t *source = pinfo->net_src.data;
    return pinfo->net_dst.data == source + pinfo->net_src.len &&
           locate(tvb, pinfo, source, source_offset(pinfo), place) && is_ip_header(place, pinfo);
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

/* What the IP header before `tvb` says, if it lies in the same buffer; not for packets put together from fragments. */
static bool set_ip_from_header(struct fs_packet *packet, const packet_info *pinfo, tvbuff_t *tvb,
                               const struct view *view) {
    struct place place;
    if (!view->captured || !locate_in(tvb_get_ds_tvb(tvb), pinfo->net_src.data, source_offset(pinfo), &place) ||
        !is_ip_header(&place, pinfo) || place.bytes >= view->bytes)
        return false;
    const uint8_t *header = place.bytes;
    uint32_t length;
    if (pinfo->net_src.type == AT_IPv4) {
        packet->ttl = header[8];
        length = be16(header + 2);
    } else {
        packet->ttl = header[7];
        packet->flow_label = be32(header) & 0xfffff;
        packet->flags |= FS_PACKET_FLOW_LABEL;
        length = be16(header + 4);
        length += length ? 40U : 0U;
    }
    if (!length) {
        packet->flags |= FS_PACKET_LENGTH_ZERO;
        length = (uint32_t)(view->bytes - header) + view->reported;
    }
    packet->ip_len = length;
    packet->ip = header;
    packet->ip_captured = place.captured < length ? place.captured : length;
    return true;
}

/* From the IP dissector's own record, which not every caller passes on. Of a packet put together from fragments it is
 * that of the last one, so that the bytes of all frames add up. */
static void set_ip_from_record(struct fs_packet *packet, const packet_info *pinfo, const struct view *view,
                               void *data) {
    const ws_ip4 *ip4 = WS_IP4_PTR(data);
    const ws_ip6 *ip6 = WS_IP6_PTR(data);
    if (ip4 && pinfo->net_src.type == AT_IPv4) {
        packet->ttl = ip4->ip_ttl;
        packet->ip_len = ip4->ip_len;
    } else if (ip6 && pinfo->net_src.type == AT_IPv6) {
        packet->ttl = ip6->ip6_hop;
        packet->flow_label = ip6->ip6_flw & 0xfffff;
        packet->flags |= FS_PACKET_FLOW_LABEL;
        packet->ip_len = ip6->ip6_len + 40;
    } else {
        packet->ip_len = view->reported + (pinfo->net_src.type == AT_IPv4 ? 20 : 40);
    }
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
    enum { SHORTEST = 20, LONGEST = 60 };
    uint32_t there = view->captured < LONGEST ? view->captured : LONGEST;
    uint32_t length = there >= SHORTEST ? fs_tcp_parse(&packet->tcp, view->bytes, there) : 0;
    packet->flags |= length ? FS_PACKET_HAS_TCP : FS_PACKET_CUT_HEADER;
    if (length)
        return length;
    return view->captured > 12 && view->bytes[12] >> 4 >= 5 ? (uint32_t)(view->bytes[12] >> 4) * 4 : SHORTEST;
}

static uint32_t udp_end(const struct view *view) {
    if (view->captured < 8)
        return view->reported;
    uint32_t length = be16(view->bytes + 4);
    return length >= 8 && length < view->reported ? length : view->reported;
}

/* Set payload and, of TCP, the header. */
static void set_transport(struct fs_packet *packet, tvbuff_t *tvb, const struct view *view, uint8_t protocol) {
    uint32_t header = 0;
    uint32_t needed = 0;
    uint32_t end = view->reported;
    switch (protocol) {
    case FS_PROTO_TCP:
        header = tcp_header(packet, view);
        break;
    case FS_PROTO_UDP:
        end = udp_end(view);
        header = needed = 8;
        break;
    case FS_PROTO_UDPLITE:
    case FS_PROTO_ICMP:
    case FS_PROTO_ICMPV6:
        header = needed = 8;
        break;
    case FS_PROTO_SCTP:
        header = needed = 12;
        break;
    case FS_PROTO_DCCP:
        needed = 12;
        header = view->captured > 4 && view->bytes[4] >= 3 ? view->bytes[4] * 4U : needed;
        break;
    default:
        break;
    }
    if (view->captured < needed)
        packet->flags |= FS_PACKET_CUT_HEADER;
    if (view->captured < view->reported)
        packet->flags |= FS_PACKET_TRUNCATED;
    set_payload(packet, tvb, view, header, end);
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

static enum fs_family family_of(const packet_info *pinfo) {
    return pinfo->net_src.type == AT_IPv4 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
}

static void set_key(struct fs_packet *packet, const packet_info *pinfo, const struct view *view, uint8_t protocol) {
    const void *source = pinfo->net_src.data;
    const void *destination = pinfo->net_dst.data;
    bool icmp = protocol == FS_PROTO_ICMP || protocol == FS_PROTO_ICMPV6;
    enum fs_orientation orientation;
    if (icmp && view->captured >= 2) {
        uint16_t identifier = view->captured >= 6 ? be16(view->bytes + 4) : 0;
        orientation = fs_key_set_icmp(&packet->key, family_of(pinfo), source, destination, protocol, view->bytes[0],
                                      view->bytes[1], identifier, false);
        if (fs_icmp_is_error(protocol, view->bytes[0]))
            packet->flags |= FS_PACKET_ICMP_ERROR;
    } else {
        bool ports = has_ports(protocol) && view->captured >= 4;
        orientation = fs_key_set(&packet->key, FS_KEY_5TUPLE, family_of(pinfo), source, destination,
                                 ports ? be16(view->bytes) : 0, ports ? be16(view->bytes + 2) : 0, protocol, false);
    }
    packet->orientation = (uint8_t)orientation;
}

/* Note a packet of `protocol` whose IP header was just dissected; NULL if the frame has too many. */
static const struct fs_packet *note(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo, uint8_t protocol,
                                    void *data) {
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return NULL;
    struct view view = view_of(tvb);
    set_key(packet, pinfo, &view, protocol);
    packet->key.domain = notes->domain;
    if (!set_ip_from_header(packet, pinfo, tvb, &view))
        set_ip_from_record(packet, pinfo, &view, data);
    set_transport(packet, tvb, &view, protocol);
    if (pinfo->fragmented)
        packet->flags |= FS_PACKET_FIRST_FRAGMENT;
    if (pinfo->flags.in_error_pkt)
        packet->flags |= FS_PACKET_QUOTED;
    return packet;
}

/* ---- tunnels in the key ---- */

static bool gre_number(const struct fs_packet *carrier, uint64_t *number) {
    const uint8_t *bytes = carrier->payload;
    uint32_t captured = carrier->payload_captured;
    enum {
        CHECKSUM_OR_ROUTING = 0xc000,
        KEY = 0x2000,
        SEQUENCE = 0x1000,
        VERSION = 7,
        ERSPAN = 0x88be,
        ERSPAN3 = 0x22eb
    };
    if (captured < 4)
        return false;
    unsigned flags = be16(bytes);
    unsigned type = be16(bytes + 2);
    uint32_t key_at = flags & CHECKSUM_OR_ROUTING ? 8 : 4;
    if (type == ERSPAN || type == ERSPAN3) {
        uint32_t at = key_at + (flags & KEY ? 4U : 0U) + (flags & SEQUENCE ? 4U : 0U);
        bool has_header = (flags & SEQUENCE) || type == ERSPAN3;
        if (!has_header || captured < at + 4)
            return false;
        *number = be16(bytes + at + 2) & 0x3ff;
        return true;
    }
    if (!(flags & KEY) || (flags & VERSION) || captured < key_at + 4)
        return false;
    *number = be32(bytes + key_at);
    return true;
}

static bool is_either(const struct fs_key *key, uint16_t port) {
    return key->port[0] == port || key->port[1] == port;
}

static bool udp_number(const struct fs_packet *carrier, uint64_t *number) {
    enum { VXLAN = 4789, VXLAN_GPE = 4790, VXLAN_LINUX = 8472, GENEVE = 6081, GTPU = 2152 };
    struct fs_key key = carrier->key;
    if (carrier->payload_captured < 8)
        return false;
    if (is_either(&key, VXLAN) || is_either(&key, VXLAN_GPE) || is_either(&key, VXLAN_LINUX) ||
        is_either(&key, GENEVE)) {
        *number = be32(carrier->payload + 4) >> 8;
        return true;
    }
    if (!is_either(&key, GTPU))
        return false;
    /* Each direction has its own TEID: the endpoints stand for the tunnel. */
    key.port[0] = key.port[1] = 0;
    key.domain = 0;
    *number = fs_key_hash(&key, 0);
    return true;
}

/* Of what the packet carries: extract.c has the same rules. */
static uint32_t inner_domain(const struct fs_notes *notes, const struct fs_packet *carrier) {
    uint64_t number = 0;
    bool known = false;
    if (!(fs_prefs_domain() & FS_DOMAIN_TUNNEL))
        return notes->outer_domain;
    if (carrier->key.protocol == FS_PROTO_GRE)
        known = gre_number(carrier, &number);
    else if (carrier->key.protocol == FS_PROTO_UDP)
        known = udp_number(carrier, &number);
    return known ? fs_domain_mix(notes->outer_domain, FS_DOMAIN_TUNNEL, number) : notes->outer_domain;
}

/* ---- the dissectors that stand before the originals ---- */

/* What holds again when the call of an original ends, also by an exception. */
struct before {
    struct fs_notes *notes;
    int open;
    uint32_t domain;
};

/* Not with CLEANUP_PUSH, which would cost less: 4.0 does not export what it needs. */
static int call_inside(const struct before *before, dissector_handle_t original, tvbuff_t *tvb, packet_info *pinfo,
                       proto_tree *tree, void *data) {
    volatile int length = 0;
    TRY {
        length = call_dissector_only(original, tvb, pinfo, tree, data);
    }
    FINALLY {
        before->notes->open = before->open;
        before->notes->domain = before->domain;
    }
    ENDTRY;
    return length;
}

struct tap_point {
    uint8_t number;
    const char *filter_name; /* of the original protocol */
    int pino;
    dissector_handle_t original;
};

static int call_noted(const struct tap_point *point, tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data) {
    if (!is_on() || !is_ip(pinfo))
        return call_dissector_only(point->original, tvb, pinfo, tree, data);
    struct fs_notes *notes = notes_of(pinfo);
    const struct before before = {notes, notes->open, notes->domain};
    const struct fs_packet *packet = note(notes, tvb, pinfo, point->number, data);
    if (!packet || (packet->flags & FS_PACKET_QUOTED))
        return call_dissector_only(point->original, tvb, pinfo, tree, data);
    notes->open = (int)notes->count - 1;
    notes->domain = notes->link_domain = inner_domain(notes, packet);
    forget_vlans(notes);
    return call_inside(&before, point->original, tvb, pinfo, tree, data);
}

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
#define POINT(name, number, filter) {number, filter, -1, NULL},
    FS_TAP_POINTS(POINT)
#undef POINT
};

/* One function each: a handle that another dissector took out of the table brings no number. */
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

/* ---- VLAN tags ---- */

static const uint16_t vlan_types[] = {0x8100, 0x88a8, 0x9100, 0x9200, 0x9300};
static dissector_handle_t vlan_originals[FS_LENGTH_OF(vlan_types)];
static int vlan_pinos[FS_LENGTH_OF(vlan_types)];

static int dissect_vlan(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data) {
    dissector_handle_t original = vlan_originals[0];
    for (size_t i = 0; i < FS_LENGTH_OF(vlan_types); i++) {
        if (pinfo->match_uint == vlan_types[i] && vlan_originals[i])
            original = vlan_originals[i];
    }
    if (!is_on() || tvb_captured_length(tvb) < 2)
        return call_dissector_only(original, tvb, pinfo, tree, data);
    struct fs_notes *notes = notes_of(pinfo);
    const struct before before = {notes, notes->open, notes->domain};
    uint16_t vlan = be16(tvb_get_ptr(tvb, 0, 2)) & 0xfff;
    if (notes->vlans < FS_VLAN_MAX)
        notes->vlan[notes->vlans++] = vlan;
    if (!(fs_prefs_domain() & FS_DOMAIN_VLAN))
        return call_dissector_only(original, tvb, pinfo, tree, data);
    notes->domain = notes->link_domain = fs_domain_mix(notes->domain, FS_DOMAIN_VLAN, vlan);
    return call_inside(&before, original, tvb, pinfo, tree, data);
}

/* ---- what no dissector of ours saw ---- */

/* Decode what is at `place` with the library. Returns as fs_extract(). */
static int extract(const packet_info *pinfo, const struct place *place, uint32_t linktype, enum fs_key_kind kind,
                   unsigned tunnels, struct fs_packet *found) {
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    config.key = kind;
    config.tunnels = tunnels;
    const struct fs_frame frame = {.data = place->bytes,
                                   .captured = place->captured,
                                   .wire_len = place->reported,
                                   .linktype = linktype,
                                   .number = pinfo->num,
                                   .time_ns = fs_feed_time(pinfo)};
    return fs_extract(&config, &frame, found);
}

/* Returns 0 or a negated enum fs_reject, as the functions below do. */
static int add_found(struct fs_notes *notes, packet_info *pinfo, const struct fs_packet *found) {
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return -FS_REJECT_DEPTH;
    *packet = *found;
    packet->wire_len = pinfo->fd->pkt_len;
    packet->key.domain = notes->link_domain;
    if (notes->vlans)
        memcpy(packet->vlan, notes->vlan, sizeof packet->vlan);
    return 0;
}

/* One packet, without what it carries: Wireshark did not look inside. */
static int add_extracted(struct fs_notes *notes, packet_info *pinfo, const struct place *place, uint32_t linktype,
                         enum fs_key_kind kind) {
    struct fs_packet found[FS_EXTRACT_MAX];
    int count = extract(pinfo, place, linktype, kind, 0, found);
    return count < 1 ? count : add_found(notes, pinfo, &found[0]);
}

/* The first fragment has ports, but the packet that they belong to is counted where it is complete: its pieces are a
 * flow of their own, like the other fragments. */
static void strip_fragment(struct fs_packet *packet) {
    if (!(packet->flags & FS_PACKET_FIRST_FRAGMENT))
        return;
    const uint8_t *source = packet->key.address[packet->orientation];
    const uint8_t *destination = packet->key.address[!packet->orientation];
    struct fs_key key;
    packet->orientation = (uint8_t)fs_key_set(&key, FS_KEY_5TUPLE, (enum fs_family)packet->key.family, source,
                                              destination, 0, 0, packet->key.protocol, false);
    key.domain = packet->key.domain;
    packet->key = key;
    packet->flags &= (uint16_t) ~(FS_PACKET_FIRST_FRAGMENT | FS_PACKET_HAS_TCP | FS_PACKET_ICMP_ERROR);
    packet->flags |= FS_PACKET_LATER_FRAGMENT;
}

/* Addresses without a header, as metadata of exported PDUs has them. */
static int add_ip_pair(struct fs_notes *notes, packet_info *pinfo) {
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return -FS_REJECT_DEPTH;
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_IP_PAIR, family_of(pinfo), pinfo->net_src.data,
                                              pinfo->net_dst.data, 0, 0, 0, false);
    packet->key.domain = notes->link_domain;
    return 0;
}

/* libpcap's number for the frame's link type, if the library decodes it; UINT32_MAX if not. */
static uint32_t linktype_of(const packet_info *pinfo) {
    static const enum fs_linktype known[] = {
        FS_LINK_ETHERNET,   FS_LINK_RAW,        FS_LINK_LINUX_SLL,  FS_LINK_IEEE802_11_RADIOTAP,
        FS_LINK_IEEE802_11, FS_LINK_NULL,       FS_LINK_LINUX_SLL2, FS_LINK_PPP,
        FS_LINK_PPP_HDLC,   FS_LINK_PPPOE,      FS_LINK_LOOP,       FS_LINK_IPV4,
        FS_LINK_IPV6,       FS_LINK_CISCO_HDLC,
    };
    static int latest = INT_MIN; /* most captures have but one, and Wireshark searches a long table */
    static uint32_t linktype;
    const wtap_rec *rec = pinfo->rec;
    if (!rec || rec->rec_type != REC_TYPE_PACKET)
        return UINT32_MAX;
    int encapsulation = rec->rec_header.packet_header.pkt_encap;
    if (encapsulation == latest)
        return linktype;
    latest = encapsulation;
    linktype = UINT32_MAX;
    for (size_t i = 0; i < FS_LENGTH_OF(known) && linktype == UINT32_MAX; i++) {
        if (wtap_pcap_encap_to_wtap_encap((int)known[i]) == encapsulation)
            linktype = known[i];
    }
    return linktype;
}

static struct place whole_frame(tvbuff_t *tvb, const packet_info *pinfo) {
    struct place place = {NULL, (uint32_t)tvb_captured_length(tvb), pinfo->fd->pkt_len};
    if (place.captured)
        place.bytes = tvb_get_ptr(tvb, 0, (int)place.captured);
    return place;
}

static bool has_addresses(const struct fs_packet *packet, const packet_info *pinfo) {
    size_t length = (size_t)pinfo->net_src.len;
    return packet->key.family == family_of(pinfo) &&
           memcmp(packet->key.address[packet->orientation], pinfo->net_src.data, length) == 0 &&
           memcmp(packet->key.address[!packet->orientation], pinfo->net_dst.data, length) == 0;
}

/* The IP packet with the addresses that Wireshark reached last, anywhere in the frame: those of IPv6 are copies, and do
 * not say where. */
static int add_ip_by_addresses(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo) {
    struct fs_packet found[FS_EXTRACT_MAX];
    struct place place = whole_frame(tvb, pinfo);
    int count = extract(pinfo, &place, linktype_of(pinfo), FS_KEY_5TUPLE, FS_TUNNEL_ALL, found);
    for (int i = count - 1; i >= (int)notes->count; i--) {
        if (!(found[i].flags & FS_PACKET_QUOTED) && has_addresses(&found[i], pinfo))
            return add_found(notes, pinfo, &found[i]);
    }
    return -FS_REJECT_NOT_IP;
}

/* An IP packet: a fragment that waits for others, or of a protocol that nothing dissects. */
static int add_ip(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo) {
    struct place place;
    int error = locate_ip(tvb, pinfo, &place) ? add_extracted(notes, pinfo, &place, FS_LINK_RAW, FS_KEY_5TUPLE)
                                              : add_ip_by_addresses(notes, tvb, pinfo);
    if (!error)
        strip_fragment(&notes->packets[notes->count - 1]);
    return error;
}

/* An Ethernet frame without IP, by its pair of addresses. */
static int add_mac_pair(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo) {
    const uint8_t *source = pinfo->dl_src.data;
    const uint8_t *destination = pinfo->dl_dst.data;
    struct place place;
    bool ethernet = pinfo->dl_src.type == AT_ETHER && pinfo->dl_dst.type == AT_ETHER && pinfo->dl_src.len == 6 &&
                    pinfo->dl_dst.len == 6;
    if (!ethernet)
        return -FS_REJECT_NOT_IP;
    if (source == destination + 6 && locate(tvb, pinfo, destination, 0, &place) &&
        add_extracted(notes, pinfo, &place, FS_LINK_ETHERNET, FS_KEY_MAC_PAIR) == 0)
        return 0;
    struct fs_packet *packet = add(notes, pinfo);
    if (!packet)
        return -FS_REJECT_DEPTH;
    packet->orientation =
        (uint8_t)fs_key_set(&packet->key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, source, destination, 0, 0, 0, false);
    packet->key.domain = notes->link_domain;
    return 0;
}

/* The whole frame: by its link layer's addresses, or the reason why not. */
static int add_frame(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo) {
    struct place place = whole_frame(tvb, pinfo);
    int error = add_extracted(notes, pinfo, &place, linktype_of(pinfo), FS_KEY_5TUPLE);
    if (error == -FS_REJECT_LINKTYPE && add_mac_pair(notes, tvb, pinfo) == 0)
        return 0;
    return error;
}

static bool is_noted(const struct fs_notes *notes, const void *source) {
    for (unsigned i = notes->count; i > 0; i--) {
        if (notes->sources[i - 1] == source)
            return true;
    }
    return false;
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
    enum { ETHERIP = 97, L2TP = 115, MPLS = 137, ETHERNET = 143 };
    switch (packet->key.protocol) {
    case FS_PROTO_UDP:
    case FS_PROTO_GRE:
    case ETHERIP:
    case L2TP:
    case MPLS:
    case ETHERNET:
        return true;
    default:
        return false;
    }
}

/* What the innermost packet carries, if no dissector of ours saw that. */
static void add_carried(struct fs_notes *notes, tvbuff_t *tvb, packet_info *pinfo) {
    const struct fs_packet *last = &notes->packets[notes->count - 1];
    if (last->flags & (FS_PACKET_QUOTED | FS_PACKET_ICMP_ERROR))
        return;
    bool ethernet = may_carry_ethernet(last);
    notes->open = (int)notes->count - 1;
    if (is_ip(pinfo) && !is_noted(notes, pinfo->net_src.data))
        (void)add_ip(notes, tvb, pinfo);
    else if (ethernet && ends_below_ip(pinfo))
        (void)add_mac_pair(notes, tvb, pinfo);
}

struct fs_notes *fs_feed_collect(tvbuff_t *tvb, packet_info *pinfo) {
    struct fs_notes *notes = notes_of(pinfo);
    current.complete = true;
    if (notes->count) {
        add_carried(notes, tvb, pinfo);
        return notes;
    }
    int error = is_ip(pinfo) ? add_ip(notes, tvb, pinfo) : add_frame(notes, tvb, pinfo);
    if (error == -FS_REJECT_NOT_IP && is_ip(pinfo))
        error = add_ip_pair(notes, pinfo);
    notes->reject = -error;
    return notes;
}

/* ---- what is above the transports ---- */

static bool is_transport(int layer) {
    static int protocols[5];
    static const char *const names[FS_LENGTH_OF(protocols)] = {"tcp", "udp", "udplite", "sctp", "dccp"};
    for (size_t i = 0; i < FS_LENGTH_OF(protocols); i++) {
        if (!protocols[i])
            protocols[i] = proto_get_id_by_filter_name(names[i]);
        if (protocols[i] == layer)
            return true;
    }
    return false;
}

unsigned fs_feed_apps(const packet_info *pinfo, int *apps, unsigned room) {
    static int data = -1;
    unsigned count = 0;
    bool above = false;
    if (data == -1)
        data = proto_get_id_by_filter_name("data");
    for (wmem_list_frame_t *at = wmem_list_head(pinfo->layers); at && count <= room; at = wmem_list_frame_next(at)) {
        int layer = GPOINTER_TO_INT(wmem_list_frame_data(at));
        if (above && layer != data && layer != proto_flowscope)
            apps[count - 1] = layer;
        above = is_transport(layer);
        if (above && count < room)
            apps[count] = 0;
        count += above;
    }
    return count < room ? count : room;
}

/* ---- the frame for the search for duplicates ---- */

enum { FOREIGN_LINKTYPE = 0x40000000, SECTION_SHIFT = 16 };

static uint32_t interface_of(const packet_info *pinfo) {
    const wtap_rec *rec = pinfo->rec;
    if (!rec || rec->rec_type != REC_TYPE_PACKET)
        return 0;
    uint32_t interface = 0;
    if (rec->presence_flags & WTAP_HAS_INTERFACE_ID)
        interface = rec->rec_header.packet_header.interface_id;
    if ((rec->presence_flags & WTAP_HAS_SECTION_NUMBER) && rec->section_number > 1)
        interface |= (rec->section_number - 1) << SECTION_SHIFT;
    return interface;
}

/* A lone TCP packet whose header lies in the frame is what the library would find, too: it looks for nothing in TCP. */
static bool is_plain(const struct fs_notes *notes, const struct place *place) {
    const struct fs_packet *packet = notes->packets;
    return notes->count == 1 && packet->key.protocol == FS_PROTO_TCP && packet->ip &&
           (uintptr_t)packet->ip - (uintptr_t)place->bytes < place->captured && !(packet->flags & FS_PACKET_QUOTED);
}

void fs_feed_frame(tvbuff_t *tvb, const packet_info *pinfo, const struct fs_notes *notes,
                   struct fs_dedup_frame *frame) {
    struct fs_packet found[FS_EXTRACT_MAX];
    const struct place place = whole_frame(tvb, pinfo);
    uint32_t linktype = linktype_of(pinfo);
    const struct fs_frame whole = {.data = place.bytes,
                                   .captured = place.captured,
                                   .wire_len = place.reported,
                                   .linktype = linktype,
                                   .number = pinfo->num,
                                   .interface = interface_of(pinfo),
                                   .time_ns = fs_feed_time(pinfo)};
    bool plain = is_plain(notes, &place);
    if (!plain) {
        int count = extract(pinfo, &place, linktype, FS_KEY_5TUPLE, FS_TUNNEL_ALL, found);
        fs_dedup_frame_set(frame, &whole, found, count);
    }
    if (plain || !frame->ip)
        fs_dedup_frame_set(frame, &whole, notes->packets, (int)notes->count);
    if (linktype == UINT32_MAX && pinfo->rec && pinfo->rec->rec_type == REC_TYPE_PACKET)
        frame->linktype = FOREIGN_LINKTYPE | (uint32_t)pinfo->rec->rec_header.packet_header.pkt_encap;
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
