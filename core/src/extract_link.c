/* SPDX-License-Identifier: MIT */
#include "extract_internal.h"

#include <string.h>

/* ---- what every Ethernet-like header leads to ---- */

static bool is_vlan(uint16_t type) {
    switch (type) {
    case FS__ETHERTYPE_VLAN:
    case FS__ETHERTYPE_QINQ:
    case 0x9100: /* what 802.1ad was before it had a number */
    case 0x9200:
    case 0x9300:
        return true;
    default:
        return false;
    }
}

static int vlan_tags(struct fs__walk *walk, uint16_t *type) {
    while (is_vlan(*type)) {
        if (++walk->tags > FS_EXTRACT_MAX_TAGS)
            return -FS_REJECT_DEPTH;
        if (!fs__has(walk, 4))
            return -FS_REJECT_SHORT_LINK;
        uint16_t id = fs__be16(fs__here(walk)) & 0xfff;
        if (walk->config->domain & FS_DOMAIN_VLAN)
            walk->domain = fs_domain_mix(walk->domain, FS_DOMAIN_VLAN, id);
        if (walk->vlans < FS_VLAN_MAX)
            walk->vlan[walk->vlans++] = id;
        *type = fs__be16(fs__here(walk) + 2);
        walk->at += 4;
    }
    return 0;
}

/* 802.3: a length in place of the type, and LLC behind it. */
static int llc(struct fs__walk *walk) {
    enum { SAP_IP = 0x06, SAP_SNAP = 0xaa, UNNUMBERED = 0x03, ETHERNET = 0x000000, BRIDGE_TUNNEL = 0x0000f8 };
    if (!fs__has(walk, 3))
        return fs__walk_other(walk);
    const uint8_t *header = fs__here(walk);
    if (header[2] != UNNUMBERED)
        return fs__walk_other(walk);
    if (header[0] == SAP_SNAP && header[1] == SAP_SNAP && fs__has(walk, 8)) {
        uint32_t organisation = fs__be24(header + 3);
        uint16_t type = fs__be16(header + 6);
        if ((organisation == ETHERNET || organisation == BRIDGE_TUNNEL) && type >= FS__ETHERTYPE_LOWEST) {
            walk->at += 8;
            return fs__walk_ethertype(walk, type);
        }
    }
    if (header[0] == SAP_IP && header[1] == SAP_IP) {
        walk->at += 3;
        return fs__walk_ipv4(walk);
    }
    return fs__walk_other(walk);
}

/* A whole frame behind a tag of `bytes`. Tags count on, so that frames in frames come to an end. */
static int frame_in_frame(struct fs__walk *walk, uint32_t bytes) {
    if (++walk->tags > FS_EXTRACT_MAX_TAGS)
        return -FS_REJECT_DEPTH;
    walk->at += bytes;
    return fs__walk_ethernet(walk);
}

/* RFC 2516, 4. Code 0 is session data. */
static int pppoe(struct fs__walk *walk) {
    if (!fs__has(walk, 6))
        return -FS_REJECT_SHORT_LINK;
    if (fs__here(walk)[1] != 0)
        return fs__walk_other(walk);
    walk->at += 6;
    return fs__walk_ppp(walk);
}

int fs__walk_ethertype(struct fs__walk *walk, uint16_t type) {
    if (type == FS__ETHERTYPE_IPV4)
        return fs__walk_ipv4(walk);
    if (type == FS__ETHERTYPE_IPV6)
        return fs__walk_ipv6(walk);
    int error = vlan_tags(walk, &type);
    if (error)
        return error;
    if (type < FS__ETHERTYPE_LOWEST)
        return llc(walk);
    switch (type) {
    case FS__ETHERTYPE_IPV4:
        return fs__walk_ipv4(walk);
    case FS__ETHERTYPE_IPV6:
        return fs__walk_ipv6(walk);
    case FS__ETHERTYPE_MPLS:
    case FS__ETHERTYPE_MPLS_MULTICAST:
        return fs__walk_mpls(walk);
    case FS__ETHERTYPE_PPPOE:
        return pppoe(walk);
    case FS__ETHERTYPE_FABRICPATH:
        return frame_in_frame(walk, 2);
    case FS__ETHERTYPE_TEB:
        return frame_in_frame(walk, 0);
    default:
        return fs__walk_other(walk);
    }
}

int fs__walk_ethernet(struct fs__walk *walk) {
    if (!fs__has(walk, 14))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    walk->destination = header;
    walk->source = header + 6;
    walk->at += 14;
    walk->body = walk->at;
    return fs__walk_ethertype(walk, fs__be16(header + 12));
}

/* Whether a frame with a usual type begins `bytes` ahead. */
static bool is_frame(const struct fs__walk *walk, uint32_t bytes) {
    if (!fs__has(walk, bytes + 17))
        return false;
    const uint8_t *header = fs__here(walk) + bytes;
    uint16_t type = fs__be16(header + 12);
    switch (type) {
    case FS__ETHERTYPE_IPV4:
    case FS__ETHERTYPE_IPV6:
    case FS__ETHERTYPE_ARP:
    case FS__ETHERTYPE_MPLS:
    case FS__ETHERTYPE_PPPOE:
    case FS__ETHERTYPE_PPPOE_DISCOVERY:
        return true;
    default:
        break;
    }
    if (type < FS__ETHERTYPE_LOWEST) /* 802.3 length, LLC of spanning tree or SNAP */
        return header[14] == header[15] && (header[14] == 0x42 || header[14] == 0xaa) && header[16] == 0x03;
    return is_vlan(type);
}

/* An Ethernet pseudowire (RFC 4448) may have a control word (RFC 4385), which begins with four zero bits; so may the
 * address in its place. */
static int pseudowire(struct fs__walk *walk, unsigned nibble) {
    bool control_word = nibble == 0 && (is_frame(walk, 4) || !is_frame(walk, 0));
    if (control_word)
        walk->at += 4;
    if (!fs__has(walk, 14))
        return fs__walk_other(walk);
    return fs__walk_ethernet(walk);
}

/* RFC 3032. The label stack does not say what it carries: told by the first nibble, as everyone does (RFC 4928). */
int fs__walk_mpls(struct fs__walk *walk) {
    bool bottom = false;
    while (!bottom) {
        if (++walk->tags > FS_EXTRACT_MAX_TAGS)
            return -FS_REJECT_DEPTH;
        if (!fs__has(walk, 4))
            return -FS_REJECT_SHORT_LINK;
        bottom = fs__here(walk)[2] & 1;
        walk->at += 4;
    }
    if (!fs__has(walk, 1))
        return -FS_REJECT_SHORT_LINK;
    unsigned nibble = fs__here(walk)[0] >> 4;
    switch (nibble) {
    case 4:
    case 6:
        return fs__walk_ip(walk);
    case 1: /* the pseudowire's own channel (RFC 4385, 5) */
        return fs__walk_other(walk);
    default:
        return pseudowire(walk, nibble);
    }
}

/* RFC 1661: the protocol field, of one byte if that is odd. RFC 1662: address and control bytes before it, or not. */
int fs__walk_ppp(struct fs__walk *walk) {
    if (fs__has(walk, 2) && fs__here(walk)[0] == 0xff && fs__here(walk)[1] == 0x03)
        walk->at += 2;
    if (!fs__has(walk, 1))
        return -FS_REJECT_SHORT_LINK;
    uint16_t protocol = fs__here(walk)[0];
    if (!(protocol & 1)) {
        if (!fs__has(walk, 2))
            return -FS_REJECT_SHORT_LINK;
        protocol = fs__be16(fs__here(walk));
        walk->at++;
    }
    walk->at++;
    switch (protocol) {
    case 0x0021:
        return fs__walk_ipv4(walk);
    case 0x0057:
        return fs__walk_ipv6(walk);
    case 0x0281:
    case 0x0283:
        return fs__walk_mpls(walk);
    default:
        return fs__walk_other(walk);
    }
}

/* ---- other link types ---- */

/* An address byte (unicast or multicast), a control byte, an ethertype. */
static int cisco_hdlc(struct fs__walk *walk) {
    if (!fs__has(walk, 4))
        return -FS_REJECT_SHORT_LINK;
    uint16_t type = fs__be16(fs__here(walk) + 2);
    walk->at += 4;
    return fs__walk_ethertype(walk, type);
}

/* The link type has both framings; the address byte tells them apart. */
static int ppp_or_cisco_hdlc(struct fs__walk *walk) {
    if (fs__has(walk, 1) && (fs__here(walk)[0] == 0x0f || fs__here(walk)[0] == 0x8f))
        return cisco_hdlc(walk);
    return fs__walk_ppp(walk);
}

static int null_family(struct fs__walk *walk) {
    if (!fs__has(walk, 4))
        return -FS_REJECT_SHORT_LINK;
    uint32_t family = fs__be32(fs__here(walk));
    if (family > 0xffff)
        family = fs__le32(fs__here(walk));
    walk->at += 4;
    switch (family) {
    case 2:
        return fs__walk_ipv4(walk);
    case 10: /* Linux */
    case 24: /* NetBSD, OpenBSD */
    case 28: /* FreeBSD */
    case 30: /* macOS */
        return fs__walk_ipv6(walk);
    default:
        return -FS_REJECT_NOT_IP;
    }
}

/* ---- 802.11 ---- */

enum {
    WLAN_TYPE_DATA = 2,
    WLAN_TO_DS = 0x01,
    WLAN_FROM_DS = 0x02,
    WLAN_PROTECTED = 0x40,
    WLAN_ORDER = 0x80,
    WLAN_QOS = 0x8,     /* of the subtype */
    WLAN_NO_DATA = 0x4, /* of the subtype */
    WLAN_AMSDU = 0x80   /* of the QoS control field */
};

/* What radiotap says of the frame behind it; bits. */
enum {
    WLAN_PLAIN = 0,
    WLAN_FCS = 0x10,   /* ends with a checksum */
    WLAN_PADDED = 0x20 /* the header is padded to 32 bits */
};

/* LLC behind an 802.11 header, or inside the first frame of an aggregate. */
static int wlan_body(struct fs__walk *walk, bool aggregate) {
    if (aggregate) {
        if (!fs__has(walk, 14))
            return -FS_REJECT_SHORT_LINK;
        const uint8_t *header = fs__here(walk);
        uint32_t length = fs__be16(header + 12);
        walk->destination = header;
        walk->source = header + 6;
        walk->at += 14;
        walk->body = walk->at;
        if (length < walk->end - walk->at)
            fs__set_end(walk, walk->at + length);
    }
    return llc(walk);
}

/* IEEE 802.11-2020, 9.3.2.1 */
static int wlan(struct fs__walk *walk, unsigned radio) {
    if (!fs__has(walk, 2))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    unsigned type = header[0] >> 2 & 3;
    unsigned subtype = header[0] >> 4;
    unsigned flags = header[1];
    if (type != WLAN_TYPE_DATA || (subtype & WLAN_NO_DATA))
        return -FS_REJECT_MANAGEMENT;
    if (flags & WLAN_PROTECTED)
        return -FS_REJECT_ENCRYPTED;
    if (!fs__has(walk, 24))
        return -FS_REJECT_SHORT_LINK;
    unsigned ds = flags & (WLAN_TO_DS | WLAN_FROM_DS);
    uint32_t length = 24 + (ds == (WLAN_TO_DS | WLAN_FROM_DS) ? 6U : 0U);
    bool qos = subtype & WLAN_QOS;
    uint32_t qos_at = length;
    length += qos ? 2 : 0;
    length += qos && (flags & WLAN_ORDER) ? 4 : 0; /* HT control */
    if (radio & WLAN_PADDED)
        length = (length + 3) & ~3U;
    if (!fs__has(walk, length))
        return -FS_REJECT_SHORT_LINK;
    walk->destination = ds & WLAN_TO_DS ? header + 16 : header + 4;
    walk->source = ds == WLAN_FROM_DS ? header + 16 : header + 10;
    if (ds == (WLAN_TO_DS | WLAN_FROM_DS))
        walk->source = header + 24;
    bool aggregate = qos && (header[qos_at] & WLAN_AMSDU);
    walk->at += length;
    walk->body = walk->at;
    if ((radio & WLAN_FCS) && walk->end - walk->at >= 4)
        fs__set_end(walk, walk->end - 4);
    return wlan_body(walk, aggregate);
}

int fs__walk_wlan(struct fs__walk *walk) {
    return wlan(walk, WLAN_PLAIN);
}

/* Of all fields only the flags are of use, which come first, or behind the timestamp. */
static int radiotap(struct fs__walk *walk) {
    if (!fs__has(walk, 8))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    uint32_t length = fs__le16(header + 2);
    if (length < 8 || !fs__has(walk, length))
        return -FS_REJECT_SHORT_LINK;
    uint32_t present = fs__le32(header + 4);
    uint32_t at = 8;
    for (uint32_t more = present; (more & 0x80000000U) && at + 4 <= length; at += 4)
        more = fs__le32(header + at);
    unsigned radio = WLAN_PLAIN;
    if (present & 1) /* TSFT: eight bytes, aligned */
        at = ((at + 7) & ~7U) + 8;
    if ((present & 2) && at < length)
        radio = header[at];
    walk->at += length;
    return wlan(walk, radio);
}

/* ---- Linux cooked captures ---- */

/* They have no destination address, so without IP there is no pair. `hardware` is the kind of the interface; the type
 * is an ethertype, or one of Linux's own below those. */
static int cooked(struct fs__walk *walk, uint16_t hardware, uint16_t type) {
    enum { HARDWARE_80211 = 801, HARDWARE_RADIOTAP = 803, TYPE_ETHERNET = 3, TYPE_LLC = 4, TYPE_PPP = 7 };
    if (hardware == HARDWARE_80211)
        return wlan(walk, WLAN_PLAIN);
    if (hardware == HARDWARE_RADIOTAP)
        return radiotap(walk);
    switch (type) {
    case TYPE_ETHERNET:
        return fs__walk_ethernet(walk);
    case TYPE_LLC:
        return llc(walk);
    case TYPE_PPP:
        return fs__walk_ppp(walk);
    default:
        return type < FS__ETHERTYPE_LOWEST ? -FS_REJECT_NOT_IP : fs__walk_ethertype(walk, type);
    }
}

static int linux_sll(struct fs__walk *walk) {
    if (!fs__has(walk, 16))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    walk->at += 16;
    return cooked(walk, fs__be16(header + 2), fs__be16(header + 14));
}

static int linux_sll2(struct fs__walk *walk) {
    if (!fs__has(walk, 20))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    walk->at += 20;
    return cooked(walk, fs__be16(header + 8), fs__be16(header));
}

int fs__walk_link(struct fs__walk *walk) {
    switch (walk->frame->linktype) {
    case FS_LINK_ETHERNET:
        return fs__walk_ethernet(walk);
    case FS_LINK_RAW:
    case FS_LINK_RAW_BSD:
    case FS_LINK_RAW_OPENBSD:
        return fs__walk_ip(walk);
    case FS_LINK_IPV4:
        return fs__walk_ipv4(walk);
    case FS_LINK_IPV6:
        return fs__walk_ipv6(walk);
    case FS_LINK_LINUX_SLL:
        return linux_sll(walk);
    case FS_LINK_LINUX_SLL2:
        return linux_sll2(walk);
    case FS_LINK_NULL:
    case FS_LINK_LOOP:
        return null_family(walk);
    case FS_LINK_PPP:
    case FS_LINK_PPP_HDLC:
        return ppp_or_cisco_hdlc(walk);
    case FS_LINK_CISCO_HDLC:
        return cisco_hdlc(walk);
    case FS_LINK_PPPOE:
        return pppoe(walk);
    case FS_LINK_IEEE802_11:
        return wlan(walk, WLAN_PLAIN);
    case FS_LINK_IEEE802_11_RADIOTAP:
        return radiotap(walk);
    default:
        return -FS_REJECT_LINKTYPE;
    }
}
