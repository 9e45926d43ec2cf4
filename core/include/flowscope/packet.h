/* SPDX-License-Identifier: MIT */
/** @file packet.h
 * The packet descriptor: the one form in which packets enter the library's stages, whether extract() decoded a raw
 * frame or another dissector did. Plain data; the payload is borrowed and must stay valid during the call that gets the
 * packet.
 *
 * One frame may hold several descriptors: a carrier (say UDP port 4789) and the packet it carries. They are passed
 * together, outermost first.
 */
#ifndef FLOWSCOPE_PACKET_H
#define FLOWSCOPE_PACKET_H

#include "flowscope/key.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** TCP header flags, as bits of fs_tcp.flags (RFC 9293, RFC 3168; AE: RFC 9768). */
enum fs_tcp_flag {
    FS_TCP_FIN = 0x001,
    FS_TCP_SYN = 0x002,
    FS_TCP_RST = 0x004,
    FS_TCP_PSH = 0x008,
    FS_TCP_ACK = 0x010,
    FS_TCP_URG = 0x020,
    FS_TCP_ECE = 0x040,
    FS_TCP_CWR = 0x080,
    FS_TCP_AE = 0x100
};

/** Which options a TCP header carried; bits of fs_tcp.options. A malformed option ends the parse and sets MALFORMED. */
enum fs_tcp_option {
    FS_TCP_OPT_MSS = 0x01,            /**< fs_tcp.mss (RFC 9293) */
    FS_TCP_OPT_WINDOW_SCALE = 0x02,   /**< fs_tcp.window_scale (RFC 7323) */
    FS_TCP_OPT_SACK_PERMITTED = 0x04, /**< (RFC 2018) */
    FS_TCP_OPT_SACK = 0x08,           /**< fs_tcp.sack, sack_count (RFC 2018) */
    FS_TCP_OPT_TIMESTAMP = 0x10,      /**< fs_tcp.ts_value, ts_echo (RFC 7323) */
    FS_TCP_OPT_FAST_OPEN = 0x20,      /**< a cookie or a request for one (RFC 7413) */
    FS_TCP_OPT_MALFORMED = 0x80
};

enum { FS_SACK_MAX = 4 /**< blocks that fit into 40 bytes of options */ };

/** A TCP header, host byte order. */
struct fs_tcp {
    uint32_t seq;         /**< sequence number of the first byte, of the SYN if set */
    uint32_t ack;         /**< valid if flags has FS_TCP_ACK */
    uint16_t flags;       /**< enum fs_tcp_flag */
    uint16_t window;      /**< as in the header, not scaled */
    uint16_t urgent;      /**< urgent pointer; valid if flags has FS_TCP_URG */
    uint16_t mss;         /**< bytes; 0 without the option */
    uint8_t options;      /**< enum fs_tcp_option */
    uint8_t window_scale; /**< shift, 0 to 14: larger values are read as 14 (RFC 7323, 2.3); 0 without the option */
    uint8_t sack_count;   /**< 0 to FS_SACK_MAX */
    uint8_t reserved;
    uint32_t ts_value; /**< 0 without the option */
    uint32_t ts_echo;  /**< 0 without the option */
    struct {
        uint32_t left, right; /**< [left, right) */
    } sack[FS_SACK_MAX];      /**< only the first sack_count are set */
};

/** Marks of a packet; bits of fs_packet.flags. */
enum fs_packet_flag {
    FS_PACKET_HAS_TCP = 0x0001,        /**< fs_packet.tcp is valid */
    FS_PACKET_FIRST_FRAGMENT = 0x0002, /**< the first of several fragments: has ports, not the whole payload */
    FS_PACKET_LATER_FRAGMENT = 0x0004, /**< another fragment: no ports, no transport header */
    FS_PACKET_TRUNCATED = 0x0008,      /**< the capture holds fewer bytes than the packet had */
    FS_PACKET_CUT_HEADER = 0x0010,     /**< so few that the transport header is not complete, or it was malformed */
    FS_PACKET_LENGTH_ZERO = 0x0020,    /**< IP length 0: segmentation offload; ip_len was taken from the frame */
    FS_PACKET_QUOTED = 0x0040,         /**< from inside an ICMP error: names a flow, never updates it */
    FS_PACKET_ICMP_ERROR = 0x0080,     /**< an ICMP error message; the quoted packet, if readable, follows it */
    FS_PACKET_FLOW_LABEL = 0x0100,     /**< IPv6: fs_packet.flow_label is valid */
    /** A copy of a packet that was captured before (dedup.h): it is counted, and nothing else is told from it. */
    FS_PACKET_DUPLICATE = 0x0200
};

enum { FS_VLAN_MAX = 2 /**< VLAN ids that a packet descriptor holds */ };

struct fs_packet {
    uint64_t time_ns;    /**< capture time, nanoseconds since the Unix epoch; may step backwards */
    struct fs_key key;   /**< canonical order, domain included */
    uint32_t frame;      /**< frame number in the capture, from 1; 0 if unknown */
    uint16_t flags;      /**< enum fs_packet_flag */
    uint8_t orientation; /**< enum fs_orientation, of this packet relative to key */
    uint8_t ttl;         /**< IPv4 TTL or IPv6 hop limit; 0 without IP */
    uint32_t wire_len;   /**< bytes of the whole frame on the wire; of every descriptor of the frame */
    /** IP header and all that follows it, as the IP header says; without IP
     * all that follows the header with the link-layer addresses. */
    uint32_t ip_len;
    uint32_t payload_len;       /**< bytes above the transport header; above IP where there is none */
    uint32_t payload_captured;  /**< how many of these are at `payload`, at most payload_len */
    const uint8_t *payload;     /**< borrowed; NULL if payload_captured is 0 */
    uint32_t flow_label;        /**< 20 bits; see FS_PACKET_FLOW_LABEL */
    uint32_t ip_captured;       /**< bytes at `ip`, at most ip_len */
    const uint8_t *ip;          /**< the IP header, borrowed as `payload`; NULL without IP or if it is not at hand */
    uint16_t vlan[FS_VLAN_MAX]; /**< ids of the outermost VLAN tags of the frame that holds the packet; 0 where none */
    struct fs_tcp tcp;          /**< undefined without FS_PACKET_HAS_TCP */
};

/** Read a TCP header of `length` >= 20 bytes, options included, where `length` is what was captured of it.
 *
 * Returns the header length in bytes that the header states (20 to 60), or 0 if it states less than 20. Options
 * beyond `length` are not read and set FS_TCP_OPT_MALFORMED. Every field of `tcp` but sack[] is written. */
uint32_t fs_tcp_parse(struct fs_tcp *tcp, const uint8_t *header, uint32_t length);

#ifdef __cplusplus
}
#endif
#endif
