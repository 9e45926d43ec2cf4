/* SPDX-License-Identifier: MIT */
/* What of a frame is compared: its forms by mode, and what the forms leave out. */
#ifndef FS_DEDUP_FORM_H
#define FS_DEDUP_FORM_H

#include "dedup_hash.h"
#include "flowscope/dedup.h"

/* An IP packet, as far as duplicates are concerned. Offsets are from the IP header. */
struct fs__ip_view {
    const uint8_t *ip;  /* NULL: none, or not to be read */
    uint32_t captured;  /* bytes at `ip` that belong to the packet */
    uint32_t length;    /* that it states; that is there where it states 0 */
    uint32_t fixed;     /* IPv4 header with options, or 40 */
    uint32_t transport; /* behind IPv6 extension headers */
    uint32_t tcp;       /* length of the TCP header if all of it is there, or 0 */
    uint32_t id;        /* identification; 0 if there is none */
    uint8_t version;
    uint8_t protocol;
    bool fragment;
};

/* What copies may differ in. Digests are 0 where there is nothing. */
struct fs__dedup_facts {
    uint32_t link, tags, encapsulation, trailer; /* digests */
    uint32_t flow_label;
    uint32_t timestamps; /* digest of both */
    uint16_t ip_checksum, tcp_checksum;
    uint16_t mss;
    uint16_t vlan;
    uint8_t ttl, tos;
    uint8_t tcp_ecn; /* AE and reserved bits above, ECE and CWR below */
    uint8_t dont_fragment;
    uint8_t sent_dont_fragment; /* of the first frame of its chain of copies */
};

void fs__ip_view_init(struct fs__ip_view *view, const uint8_t *ip, uint32_t captured);

/* The exact form. */
uint64_t fs__dedup_hash_frame(const struct fs__hasher *hasher, const struct fs_dedup_frame *frame);

/* The routed form and, if `rewritten` is not NULL, the other. Returns whether the packet has a rewritten form of its
 * own: TCP. */
bool fs__dedup_hash_packet(const struct fs__hasher *hasher, const struct fs__ip_view *view, uint64_t *routed,
                           uint64_t *rewritten);
bool fs__dedup_same_packet(const struct fs__ip_view *a, const struct fs__ip_view *b, enum fs_dedup_mode mode);

void fs__dedup_facts_init(struct fs__dedup_facts *facts, const struct fs__hasher *hasher,
                          const struct fs_dedup_frame *frame, const struct fs__ip_view *view);
unsigned fs__dedup_compare_facts(const struct fs__dedup_facts *a, const struct fs__dedup_facts *b);

/* The outermost VLAN identifier, or FS_DEDUP_NO_VLAN. */
uint16_t fs__dedup_vlan(const struct fs_dedup_frame *frame);

#endif
