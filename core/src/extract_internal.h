/* SPDX-License-Identifier: MIT */
/* The walk through one frame, shared by the link layers (extract_link.c) and what lies above them (extract.c). */
#ifndef FS_EXTRACT_INTERNAL_H
#define FS_EXTRACT_INTERNAL_H

#include "bytes.h"
#include "flowscope/extract.h"

enum {
    /* No frame is that long. What claims to be is read that far, so that positions never overflow. */
    FS__FRAME_MAXIMUM = 0x3fffffff
};

/* Positions are offsets into the frame. `end` is where the layer that is being read ends on the wire, inside all layers
 * around it; `captured` is how far its bytes are there, never beyond `end`. */
struct fs__walk {
    const struct fs_extract_config *config;
    const struct fs_frame *frame;
    struct fs_packet *packets;
    int count;
    uint32_t at;
    uint32_t end;
    uint32_t captured;
    uint32_t wire_len;
    uint32_t body;          /* what follows the link-layer addresses */
    uint32_t domain;        /* of interface and all VLAN tags so far */
    bool has_tunnel_number; /* that of the tunnel which is being read belongs to the domain too */
    uint64_t tunnel_number;
    const uint8_t *source; /* link-layer addresses of six bytes, or NULL */
    const uint8_t *destination;
    unsigned tags;  /* VLAN tags and labels since the last tunnel */
    unsigned vlans; /* of these, VLAN tags */
    uint16_t vlan[FS_VLAN_MAX];
};

enum fs__ethertype {
    FS__ETHERTYPE_IPV4 = 0x0800,
    FS__ETHERTYPE_TEB = 0x6558, /* transparent Ethernet bridging: a whole frame */
    FS__ETHERTYPE_VLAN = 0x8100,
    FS__ETHERTYPE_IPV6 = 0x86dd,
    FS__ETHERTYPE_PPP = 0x880b,
    FS__ETHERTYPE_MPLS = 0x8847,
    FS__ETHERTYPE_MPLS_MULTICAST = 0x8848,
    FS__ETHERTYPE_PPPOE = 0x8864,
    FS__ETHERTYPE_FABRICPATH = 0x8903, /* Cisco: a tag of two bytes, then a whole frame */
    FS__ETHERTYPE_QINQ = 0x88a8,
    FS__ETHERTYPE_ERSPAN = 0x88be, /* types I and II */
    FS__ETHERTYPE_ERSPAN3 = 0x22eb,
    FS__ETHERTYPE_LOWEST = 0x0600, /* smaller numbers are 802.3 lengths */
    FS__ETHERTYPE_ARP = 0x0806,
    FS__ETHERTYPE_ARUBA_FIRST = 0x8200, /* in GRE: 802.11 frames, by queue in steps of 16 */
    FS__ETHERTYPE_ARUBA_LAST = 0x8370,
    FS__ETHERTYPE_WCCP = 0x883e,
    FS__ETHERTYPE_PPPOE_DISCOVERY = 0x8863
};

/* How many bytes of the layer are there from here on. */
static inline uint32_t fs__there(const struct fs__walk *walk) {
    return walk->captured > walk->at ? walk->captured - walk->at : 0;
}

static inline bool fs__has(const struct fs__walk *walk, uint32_t bytes) {
    return fs__there(walk) >= bytes;
}

/* Only to be asked where there is a byte at least. */
static inline const uint8_t *fs__here(const struct fs__walk *walk) {
    return walk->frame->data + walk->at;
}

/* The layer ends at `end`, says its header. */
static inline void fs__set_end(struct fs__walk *walk, uint32_t end) {
    walk->end = end;
    if (walk->captured > end)
        walk->captured = end;
}

static inline void fs__no_tags(struct fs__walk *walk) {
    walk->tags = walk->vlans = 0;
    walk->vlan[0] = walk->vlan[1] = 0;
}

/* All return 0 if the walk gave a descriptor, else a negated enum fs_reject. */
int fs__walk_link(struct fs__walk *walk);
int fs__walk_ethernet(struct fs__walk *walk);
int fs__walk_ethertype(struct fs__walk *walk, uint16_t type);
int fs__walk_ppp(struct fs__walk *walk);
int fs__walk_wlan(struct fs__walk *walk); /* 802.11 without checksum */
int fs__walk_mpls(struct fs__walk *walk);
int fs__walk_ip(struct fs__walk *walk); /* IPv4 or IPv6 by its version */
int fs__walk_ipv4(struct fs__walk *walk);
int fs__walk_ipv6(struct fs__walk *walk);
int fs__walk_other(struct fs__walk *walk); /* no IP: the pair of link-layer addresses */

#endif
