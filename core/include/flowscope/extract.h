/* SPDX-License-Identifier: MIT */
/** @file extract.h
 * From a raw frame to packet descriptors: one pass, in place, no copy, no allocation, no state.
 *
 * Tunnels are followed to the innermost packet. Each tunnel that has flow-like endpoints of its own (IP-in-IP, GRE,
 * UDP-based) gives a descriptor too, so the result is a chain, outermost first; the last one is what the frame is
 * about. Tags below IP (VLAN, MPLS, PPPoE) give none.
 *
 * Lengths are read leniently: a capture that is cut short, an IP length of 0 (segmentation offload) or trailing
 * padding never hides a packet; the descriptor says what was missing. What cannot be read has a named reason.
 */
#ifndef FLOWSCOPE_EXTRACT_H
#define FLOWSCOPE_EXTRACT_H

#include "flowscope/packet.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Link types, with the numbers of libpcap's LINKTYPE_ registry. */
enum fs_linktype {
    FS_LINK_NULL = 0,      /**< BSD loopback: 4-byte family in the capturing host's byte order, either order is read */
    FS_LINK_ETHERNET = 1,  /**< also 802.3 with LLC/SNAP */
    FS_LINK_PPP = 9,       /**< with or without HDLC address and control bytes */
    FS_LINK_PPP_HDLC = 50, /**< PPP in HDLC-like framing */
    FS_LINK_PPPOE = 51,    /**< PPPoE session header first */
    FS_LINK_RAW_BSD = 12,  /**< raw IP as some systems number it (DLT_RAW) */
    FS_LINK_RAW_OPENBSD = 14, /**< raw IP as OpenBSD numbers it */
    FS_LINK_CISCO_HDLC = 104, /**< also found under FS_LINK_PPP_HDLC, and told apart */
    FS_LINK_RAW = 101,        /**< raw IPv4 or IPv6 */
    FS_LINK_IEEE802_11 = 105, /**< 802.11 without radio header */
    FS_LINK_LOOP = 108,       /**< OpenBSD loopback: 4-byte family in network order */
    FS_LINK_LINUX_SLL = 113,  /**< Linux cooked capture v1 */
    FS_LINK_IEEE802_11_RADIOTAP = 127,
    FS_LINK_IPV4 = 228,
    FS_LINK_IPV6 = 229,
    FS_LINK_LINUX_SLL2 = 276 /**< Linux cooked capture v2 */
};

/** Why a frame gave no descriptor: one line a reason, XX(symbol, value, slug, text). Returned negated by fs_extract().
 */
#define FS_REJECT_MAP(XX)                                                                                              \
    XX(FS_REJECT_NONE, 0, "none", "not rejected")                                                                      \
    XX(FS_REJECT_LINKTYPE, 1, "link_type", "link type not supported")                                                  \
    XX(FS_REJECT_SHORT_LINK, 2, "short_link_header", "frame ends inside the link-layer header")                        \
    XX(FS_REJECT_NOT_IP, 3, "not_ip", "no IP packet and no pair of link-layer addresses to track by")                  \
    XX(FS_REJECT_SHORT_IP, 4, "short_ip_header", "frame ends inside the IP header")                                    \
    XX(FS_REJECT_BAD_IP, 5, "bad_ip_header", "IP version or header length is impossible")                              \
    XX(FS_REJECT_DEPTH, 6, "too_deep", "more nested headers than the limit")                                           \
    XX(FS_REJECT_ENCRYPTED, 7, "encrypted", "802.11 data is encrypted")                                                \
    XX(FS_REJECT_MANAGEMENT, 8, "management", "802.11 management or control frame")

enum fs_reject {
#define FS_REJECT_ENUM(symbol, value, slug, text) symbol = value,
    FS_REJECT_MAP(FS_REJECT_ENUM)
#undef FS_REJECT_ENUM
        FS_REJECT_COUNT
};

/** Machine-readable name of a reason, e.g. "short_ip_header"; "unknown" for other numbers. Static storage. */
const char *fs_reject_slug(int reject);
/** One English phrase for a reason. Static storage. */
const char *fs_reject_text(int reject);

/** Tunnels that are followed; bits of fs_extract_config.tunnels. VLAN, MPLS and PPPoE are always followed.
 *
 * UDP tunnels are known by their port, at either end, the destination's first; not if one of the ports belongs to a
 * service (1 to 1023), for then the other is a client's. */
enum fs_tunnel {
    FS_TUNNEL_IP = 0x001,     /**< IPv4 and IPv6 in IPv4 and IPv6: protocols 4 and 41 (RFC 2003, 2473, 4213) */
    FS_TUNNEL_GRE = 0x002,    /**< RFC 2784, 2890; version 1 (PPTP, RFC 2637) too; ERSPAN types I to III, WCCP, and
                                   802.11 of Aruba access points (of an aggregate the first frame) */
    FS_TUNNEL_VXLAN = 0x004,  /**< RFC 7348, UDP port 4789 (and 8472 of older Linux); VXLAN-GPE, port 4790 */
    FS_TUNNEL_GENEVE = 0x008, /**< RFC 8926, UDP port 6081 */
    FS_TUNNEL_GTPU = 0x010,   /**< 3GPP TS 29.281, UDP port 2152 */
    FS_TUNNEL_TEREDO = 0x020, /**< RFC 4380, UDP port 3544, and only if the content is a plausible IPv6 packet */
    FS_TUNNEL_ALL = 0x03f
};

enum {
    FS_EXTRACT_MAX = 8,      /**< descriptors of one frame at most: carriers, the packet, a quoted packet */
    FS_EXTRACT_MAX_TAGS = 16 /**< VLAN tags and MPLS labels of one stack at most; more is FS_REJECT_DEPTH */
};

struct fs_extract_config {
    enum fs_key_kind key; /**< default FS_KEY_5TUPLE */
    bool directional;     /**< 5-tuple only: do not join the two directions; default false */
    unsigned tunnels;     /**< set of enum fs_tunnel; default FS_TUNNEL_ALL; 0 keeps the outermost packet only */
    unsigned domain;      /**< set of enum fs_domain_part that go into the key; default 0 */
    bool non_ip;          /**< give non-IP frames the pair of their MAC addresses as key; default true */
};

/** Fill `config` with the defaults named above. */
void fs_extract_config_defaults(struct fs_extract_config *config);

/** One captured frame, as a capture file gives it. */
struct fs_frame {
    const uint8_t *data;
    uint32_t captured;  /**< bytes at `data` */
    uint32_t wire_len;  /**< bytes on the wire; less than `captured` is read as `captured` */
    uint32_t linktype;  /**< enum fs_linktype; other numbers give FS_REJECT_LINKTYPE */
    uint32_t number;    /**< from 1; copied to fs_packet.frame */
    uint32_t interface; /**< capture interface; used with FS_DOMAIN_INTERFACE only */
    uint64_t time_ns;
};

/** Decode `frame` into `packets[FS_EXTRACT_MAX]`, outermost first.
 *
 * Returns the number of descriptors, 1 to FS_EXTRACT_MAX, or a negated `enum fs_reject`. When a tunnel's content cannot
 * be read, its carriers are returned all the same. An ICMP error is followed by the packet it quotes, marked
 * FS_PACKET_QUOTED. Keys of carriers and of what they carry share the VLAN and interface part of the domain; the tunnel
 * part (FS_DOMAIN_TUNNEL) is that of the innermost tunnel around the packet: the VNI of VXLAN and Geneve, the key of
 * GRE, the session of ERSPAN. GTP-U names each direction by a TEID of its own, which would split every flow in two;
 * there the unordered pair of the tunnel's endpoints stands for it, so equal addresses behind one pair of gateways
 * share a flow. The call numbers of PPTP differ in the same way and are left out. Tunnels without a number have no
 * part.
 *
 * With FS_KEY_MAC_PAIR, frames are not looked into: one descriptor each. Of an 802.11 aggregate (A-MSDU) the first
 * frame is read. Payloads point into the frame. */
int fs_extract(const struct fs_extract_config *config, const struct fs_frame *frame, struct fs_packet *packets);

#ifdef __cplusplus
}
#endif
#endif
