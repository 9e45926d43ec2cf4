/* SPDX-License-Identifier: MIT */
#include "extract_internal.h"

#include <string.h>

/* ---- what every Ethernet-like header leads to ---- */

static int vlan_tags(struct fs__walk *walk, uint16_t *type) {
    while (*type == FS__ETHERTYPE_VLAN || *type == FS__ETHERTYPE_QINQ || (*type >= 0x9100 && *type <= 0x9300 && !(*type & 0xff))) {
        if (++walk->tags > FS_EXTRACT_MAX_TAGS)
            return -FS_REJECT_DEPTH;
        if (!fs__has(walk, 4))
            return -FS_REJECT_SHORT_LINK;
        if (walk->config->domain & FS_DOMAIN_VLAN)
            walk->domain = fs_domain_mix(walk->domain, FS_DOMAIN_VLAN, fs__be16(fs__here(walk)) & 0xfff);
        *type = fs__be16(fs__here(walk) + 2);
        walk->at += 4;
    }
    return 0;
}

/* 802.3: a length in place of the type, and LLC behind it. */
static int llc(struct fs__walk *walk) {
    if (!fs__has(walk, 3))
        return fs__walk_other(walk);
    const uint8_t *header = fs__here(walk);
    if (header[0] == 0xaa && header[1] == 0xaa && fs__has(walk, 8)) {
        uint16_t type = fs__be16(header + 6);
        if (type >= FS__ETHERTYPE_NSH_LOWEST) {
            walk->at += 8;
            return fs__walk_ethertype(walk, type);
        }
    }
    if (header[0] == 0x06 && header[1] == 0x06) { /* IP's own SAP */
        walk->at += 3;
        return fs__walk_ipv4(walk);
    }
    return fs__walk_other(walk);
}

static int pppoe(struct fs__walk *walk) {
    if (!fs__has(walk, 6))
        return -FS_REJECT_SHORT_LINK;
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
    if (type < FS__ETHERTYPE_NSH_LOWEST)
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
    walk->tags = 0;
    walk->at += 14;
    return fs__walk_ethertype(walk, fs__be16(header + 12));
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
    if (nibble == 4 || nibble == 6)
        return fs__walk_ip(walk);
    if (nibble == 0 && fs__has(walk, 4 + 14)) { /* pseudowire control word (RFC 4385), then Ethernet (RFC 4448) */
        walk->at += 4;
        return fs__walk_ethernet(walk);
    }
    if (fs__has(walk, 14))
        return fs__walk_ethernet(walk); /* pseudowire without control word */
    return fs__walk_other(walk);
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

/* Cooked captures have no destination address, so without IP there is no pair. */
static int cooked(struct fs__walk *walk, uint16_t type) {
    walk->source = walk->destination = NULL;
    if (type == 0x0004) /* LINUX_SLL_P_802_2 */
        return llc(walk);
    if (type < FS__ETHERTYPE_NSH_LOWEST)
        return -FS_REJECT_NOT_IP;
    return fs__walk_ethertype(walk, type);
}

static int linux_sll(struct fs__walk *walk) {
    if (!fs__has(walk, 16))
        return -FS_REJECT_SHORT_LINK;
    uint16_t type = fs__be16(fs__here(walk) + 14);
    walk->at += 16;
    return cooked(walk, type);
}

static int linux_sll2(struct fs__walk *walk) {
    if (!fs__has(walk, 20))
        return -FS_REJECT_SHORT_LINK;
    uint16_t type = fs__be16(fs__here(walk));
    walk->at += 20;
    return cooked(walk, type);
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
        if (length < walk->end - walk->at)
            walk->end = walk->at + length;
    }
    return llc(walk);
}

/* IEEE 802.11-2020, 9.3.2.1. `fcs`: the frame ends with a checksum. */
static int wlan(struct fs__walk *walk, bool fcs) {
    if (!fs__has(walk, 24))
        return -FS_REJECT_SHORT_LINK;
    const uint8_t *header = fs__here(walk);
    unsigned type = header[0] >> 2 & 3;
    unsigned subtype = header[0] >> 4;
    unsigned flags = header[1];
    if (type != WLAN_TYPE_DATA || (subtype & WLAN_NO_DATA))
        return -FS_REJECT_MANAGEMENT;
    if (flags & WLAN_PROTECTED)
        return -FS_REJECT_ENCRYPTED;
    unsigned ds = flags & (WLAN_TO_DS | WLAN_FROM_DS);
    uint32_t length = 24 + (ds == (WLAN_TO_DS | WLAN_FROM_DS) ? 6U : 0U);
    bool qos = subtype & WLAN_QOS;
    uint32_t qos_at = length;
    length += qos ? 2 : 0;
    length += qos && (flags & WLAN_ORDER) ? 4 : 0; /* HT control */
    if (!fs__has(walk, length))
        return -FS_REJECT_SHORT_LINK;
    walk->destination = ds & WLAN_TO_DS ? header + 16 : header + 4;
    walk->source = ds == WLAN_FROM_DS ? header + 16 : header + 10;
    if (ds == (WLAN_TO_DS | WLAN_FROM_DS))
        walk->source = header + 24;
    bool aggregate = qos && (header[qos_at] & WLAN_AMSDU);
    walk->at += length;
    if (fcs && walk->end - walk->at >= 4)
        walk->end -= 4;
    return wlan_body(walk, aggregate);
}

/* The radiotap flags field says whether the frame has its checksum and is padded to 32 bits. */
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
    bool fcs = false;
    if (present & 1) /* TSFT: eight bytes, aligned */
        at = ((at + 7) & ~7U) + 8;
    if ((present & 2) && at < length)
        fcs = header[at] & 0x10;
    walk->at += length;
    return wlan(walk, fcs);
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
        return fs__walk_ppp(walk);
    case FS_LINK_PPPOE:
        return pppoe(walk);
    case FS_LINK_IEEE802_11:
        return wlan(walk, false);
    case FS_LINK_IEEE802_11_RADIOTAP:
        return radiotap(walk);
    default:
        return -FS_REJECT_LINKTYPE;
    }
}
