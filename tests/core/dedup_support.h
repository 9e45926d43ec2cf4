/* SPDX-License-Identifier: MIT */
/** @file dedup_support.h
 * Frames for the tests of the duplicate detector, from a description that can be compared field by field.
 */
#ifndef FLOWSCOPE_TESTS_DEDUP_SUPPORT_H
#define FLOWSCOPE_TESTS_DEDUP_SUPPORT_H

#include "flowscope/dedup.h"

#include <string.h>

enum { KIND_TCP, KIND_UDP, KIND_TCP6, KIND_OTHER /* no IP */ };
enum { AROUND_NOTHING, AROUND_VLAN, AROUND_VXLAN };

/** What a frame says; zeros are good values. */
struct description {
    uint8_t kind, around, source, ttl, tos, flags, payload_length, payload, no_timestamp, may_fragment;
    uint16_t id, ip_checksum, tcp_checksum, vlan, mss;
    uint32_t seq, timestamp, flow_label;
};

struct built {
    uint8_t bytes[320];
    uint32_t length, ip; /* `ip`: offset of the innermost header */
};

static inline void put(struct built *built, uint32_t value, unsigned bytes) {
    while (bytes--)
        built->bytes[built->length++] = (uint8_t)(value >> (8 * bytes));
}

static inline void put_addresses(struct built *built, uint8_t source, unsigned zeros) {
    for (unsigned i = 0; i < zeros; i++)
        put(built, 0, 1);
    put(built, 0x0a000000U + source, 4);
    for (unsigned i = 0; i < zeros; i++)
        put(built, 0, 1);
    put(built, 0x0a0000ffU, 4);
}

static inline void put_tcp(struct built *built, const struct description *d) {
    uint32_t options = (d->mss ? 4U : 0U) + (d->no_timestamp ? 0U : 12U);
    put(built, 1000U << 16 | 80, 4);
    put(built, d->seq, 4);
    put(built, 77, 4);
    put(built, (20 + options) / 4 << 12 | d->flags, 2);
    put(built, 8192, 2);
    put(built, d->tcp_checksum, 2);
    put(built, 0, 2);
    if (d->mss)
        put(built, 0x02040000U | d->mss, 4);
    if (!d->no_timestamp) {
        put(built, 0x0101080aU, 4);
        put(built, d->timestamp, 4);
        put(built, 5, 4);
    }
}

static inline void put_ip(struct built *built, const struct description *d) {
    uint32_t transport = d->kind == KIND_UDP ? 8 : 20U + (d->mss ? 4U : 0U) + (d->no_timestamp ? 0U : 12U);
    uint32_t length = transport + d->payload_length;
    built->ip = built->length;
    if (d->kind == KIND_TCP6) {
        put(built, 0x60000000U | (uint32_t)d->tos << 20 | d->flow_label, 4);
        put(built, length << 16 | 6U << 8 | d->ttl, 4);
        put_addresses(built, d->source, 12);
    } else {
        put(built, 0x45U << 24 | (uint32_t)d->tos << 16 | (20 + length), 4);
        put(built, (uint32_t)d->id << 16 | (d->may_fragment ? 0U : 0x4000U), 4);
        put(built, (uint32_t)d->ttl << 24 | (d->kind == KIND_UDP ? 17U : 6U) << 16 | d->ip_checksum, 4);
        put_addresses(built, d->source, 0);
    }
    if (d->kind == KIND_UDP) {
        put(built, 1000U << 16 | 53, 4);
        put(built, length << 16, 4);
    } else {
        put_tcp(built, d);
    }
}

static inline void put_ethernet(struct built *built, uint32_t type) {
    for (unsigned i = 0; i < 6; i++)
        put(built, 0x0202, 2);
    put(built, type, 2);
}

static inline void build(struct built *built, const struct description *d) {
    memset(built, 0, sizeof(*built));
    uint32_t type = d->kind == KIND_TCP6 ? 0x86dd : d->kind == KIND_OTHER ? 0x0806 : 0x0800;
    if (d->around == AROUND_VXLAN) {
        put_ethernet(built, 0x0800);
        put(built, 0x45000000U, 4); /* length 0: all that follows */
        put(built, 0x12340000U, 4);
        put(built, 0x40110000U, 4);
        put_addresses(built, 200, 0);
        put(built, 50000U << 16 | 4789, 4);
        put(built, 0, 4);
        put(built, 0x08000000U, 4);
        put(built, 42 << 8, 4);
    }
    put_ethernet(built, d->around == AROUND_VLAN ? 0x8100 : type);
    if (d->around == AROUND_VLAN)
        put(built, (uint32_t)d->vlan << 16 | type, 4);
    if (d->kind != KIND_OTHER)
        put_ip(built, d);
    for (unsigned i = 0; i < d->payload_length; i++)
        put(built, d->payload, 1);
}

/** Through fs_extract(), as a user would. */
static inline void frame_of(struct fs_dedup_frame *frame, const struct built *built, uint32_t number,
                            uint64_t time_ns) {
    struct fs_extract_config config;
    struct fs_packet packets[FS_EXTRACT_MAX];
    fs_extract_config_defaults(&config);
    struct fs_frame raw = {.data = built->bytes,
                           .captured = built->length,
                           .wire_len = built->length,
                           .linktype = FS_LINK_ETHERNET,
                           .number = number,
                           .time_ns = time_ns};
    fs_dedup_frame_set(frame, &raw, packets, fs_extract(&config, &raw, packets));
}

#endif
