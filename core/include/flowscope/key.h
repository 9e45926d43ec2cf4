/* SPDX-License-Identifier: MIT */
/** @file key.h
 * Flow keys: who talks to whom, in an order that does not depend on the direction of the packet.
 *
 * A key holds its two endpoints in *canonical order*: the endpoint with the smaller (address bytes, port) first. The
 * *orientation* of a packet says whether it travels from the first endpoint to the second. Orientation is a property of
 * addresses; which endpoint opened the flow (its *side*) is known only to the tracker.
 */
#ifndef FLOWSCOPE_KEY_H
#define FLOWSCOPE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a key is made of. */
enum fs_key_kind {
    FS_KEY_5TUPLE = 0, /**< addresses, ports, protocol */
    FS_KEY_IP_PAIR,    /**< addresses only */
    FS_KEY_MAC_PAIR,   /**< link-layer addresses only */
    FS_KEY_KIND_COUNT
};

/** Address family of a key. The order is that of canonical sorting across families; a key never mixes them. */
enum fs_family {
    FS_FAMILY_NONE = 0,
    FS_FAMILY_IPV4, /**< 4 bytes of `address` used, network order, the rest 0 */
    FS_FAMILY_IPV6, /**< 16 bytes used, network order; IPv4-mapped addresses are not folded */
    FS_FAMILY_MAC,  /**< 6 bytes used, the rest 0 */
    FS_FAMILY_COUNT
};

/** Direction of a packet relative to its key. */
enum fs_orientation {
    FS_FORWARD = 0, /**< from endpoint 0 to endpoint 1; also when both endpoints are equal */
    FS_REVERSE = 1  /**< from endpoint 1 to endpoint 0 */
};

/** A flow key: 44 bytes without padding, compared and hashed as bytes. Fill it with fs_key_set() or zero it first. */
struct fs_key {
    uint8_t address[2][16]; /**< of endpoint 0 and 1; see enum fs_family */
    /** TCP, UDP, SCTP, DCCP, UDP-Lite: the ports of endpoint 0 and 1, host order. ICMP and ICMPv6: `port[0]` is type <<
     * 8 | code, of the request for request-reply pairs, and `port[1]` the identifier of echo-like messages, else 0:
     * these do not follow the endpoints' order. Every other protocol, later fragments and headers cut off before the
     * ports: 0. */
    uint16_t port[2];
    uint32_t domain;  /**< keeps equal tuples apart: 0, or a digest of VLAN, tunnel and interface; see extract.h */
    uint8_t protocol; /**< IP protocol number (IANA); 0 for pairs of IP or MAC addresses */
    uint8_t family;   /**< enum fs_family */
    uint8_t kind;     /**< enum fs_key_kind */
    /** ICMP and ICMPv6: the endpoint, 0 or 1, that sends the requests, or the one-way message. Otherwise 0. So requests
     * in the other direction are another flow. */
    uint8_t requester;
};

/** IANA protocol numbers that the library knows by name. */
enum fs_protocol {
    FS_PROTO_HOPOPT = 0,
    FS_PROTO_ICMP = 1,
    FS_PROTO_IGMP = 2,
    FS_PROTO_IPV4 = 4,
    FS_PROTO_TCP = 6,
    FS_PROTO_UDP = 17,
    FS_PROTO_DCCP = 33,
    FS_PROTO_IPV6 = 41,
    FS_PROTO_GRE = 47,
    FS_PROTO_ESP = 50,
    FS_PROTO_AH = 51,
    FS_PROTO_ICMPV6 = 58,
    FS_PROTO_OSPF = 89,
    FS_PROTO_PIM = 103,
    FS_PROTO_SCTP = 132,
    FS_PROTO_UDPLITE = 136
};

/** Fill `key` from a packet's source and destination and return the packet's orientation.
 *
 * `family` selects how many bytes of `source` and `destination` are read (4, 16 or 6). With FS_FAMILY_NONE, addresses
 * are all zero and the result is FS_FORWARD. Domain is set to 0 and may be assigned afterwards. For ICMP use
 * fs_key_set_icmp(). With `directional`, endpoints are kept in the packet's order and the result is FS_FORWARD, so the
 * two directions of a connection have two keys.
 */
enum fs_orientation fs_key_set(struct fs_key *key, enum fs_key_kind kind, enum fs_family family, const void *source,
                               const void *destination, uint16_t source_port, uint16_t destination_port,
                               uint8_t protocol, bool directional);

/** As fs_key_set() for ICMP (`protocol` 1) and ICMPv6 (58). Replies get the key of their request: echo, timestamp,
 * information and address mask (RFC 792, RFC 950), ICMPv6 echo (RFC 4443), multicast listener query and report
 * (RFC 2710), router and neighbour solicitation and advertisement (RFC 4861), node information (RFC 4620), home agent
 * discovery (RFC 6275). ICMP router advertisements (RFC 1256) are one-way messages, as for Zeek and Community ID.
 * `identifier` is used for echo, timestamp, information, mask and home agent discovery only. */
enum fs_orientation fs_key_set_icmp(struct fs_key *key, enum fs_family family, const void *source,
                                    const void *destination, uint8_t protocol, uint8_t type, uint8_t code,
                                    uint16_t identifier, bool directional);

/** The type that answers `type`, or that it answers; -1 for a one-way message. */
int fs_icmp_counterpart(uint8_t protocol, uint8_t type);

/** Whether an ICMP or ICMPv6 type is an error message, which quotes the packet that caused it: ICMP 3, 4, 5, 11, 12
 * (RFC 792), ICMPv6 1 to 4 (RFC 4443). */
bool fs_icmp_is_error(uint8_t protocol, uint8_t type);

/** 64-bit hash of all bytes of the key under `seed`, which a tracker of that seed looks flows up by: equal for both
 * directions of a flow. Made as XXH3-64 is, but not equal to it, and on machines of another byte order another. */
uint64_t fs_key_hash(const struct fs_key *key, uint64_t seed);

/** Which of `shards` > 0 workers owns the flow: the same for both directions, for every process and machine of the same
 * library version; independent of a tracker's seed. A carrier and what it carries may be owned by different workers. */
uint32_t fs_shard_of(const struct fs_key *key, uint32_t shards);

/** Mix `value` into a domain: how VLAN, tunnel and interface numbers become the 32 bits of fs_key.domain. Never returns
 * 0, which stands for "no domain". `what` keeps equal numbers of different kinds apart. */
enum fs_domain_part { FS_DOMAIN_VLAN = 1, FS_DOMAIN_TUNNEL = 2, FS_DOMAIN_INTERFACE = 4 };
uint32_t fs_domain_mix(uint32_t domain, enum fs_domain_part what, uint64_t value);

/** Short upper-case name of an IP protocol, e.g. "TCP"; NULL if the library has none. Static storage. */
const char *fs_protocol_name(uint8_t protocol);

#ifdef __cplusplus
}
#endif
#endif
