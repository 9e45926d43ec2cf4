/* SPDX-License-Identifier: MIT */
#include "dedup_form.h"

#include "bytes.h"

#include <string.h>

enum {
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    HEADER_MAX = 60, /* of IPv4 and of TCP, with options */
    EXTENSIONS_MAX = 8,
    NEXT_HOP_BY_HOP = 0,
    NEXT_ROUTING = 43,
    NEXT_FRAGMENT = 44,
    NEXT_DESTINATION = 60,
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_TIMESTAMP = 8,
    ETHERNET_HEADER = 14
};

/* ---- the packet ---- */

static bool view_ipv4(struct fs__ip_view *view, const uint8_t *ip, uint32_t captured) {
    enum { LEAST = 20, MORE = 0x2000, OFFSET = 0x1fff };
    if (captured < LEAST)
        return false;
    uint32_t fixed = (ip[0] & 0xfU) * 4;
    uint32_t length = fs__be16(ip + 2);
    if (length == 0)
        length = captured;
    if (fixed < LEAST || fixed > captured || fixed > length)
        return false;
    uint16_t fragment = fs__be16(ip + 6);
    view->length = length;
    view->captured = captured < length ? captured : length;
    view->fixed = view->transport = fixed;
    view->id = fs__be16(ip + 4);
    view->fragment = fragment & (MORE | OFFSET);
    view->protocol = fragment & OFFSET ? 0xff : ip[9]; /* of a later fragment there is no header */
    return true;
}

/* Up to the transport header, or as far as it can be read. RFC 8200, 4. */
static void skip_extensions(struct fs__ip_view *view) {
    uint8_t next = view->ip[6];
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION && next != NEXT_FRAGMENT)
            break;
        const uint8_t *header = view->ip + view->transport;
        if (view->captured - view->transport < 8)
            break;
        uint32_t size = next == NEXT_FRAGMENT ? 8 : (header[1] + 1U) * 8;
        if (view->captured - view->transport < size)
            break;
        view->transport += size;
        if (next == NEXT_FRAGMENT) {
            view->id = fs__be32(header + 4);
            view->fragment |= (fs__be16(header + 2) & 0xfff9) != 0;
        }
        bool is_later = next == NEXT_FRAGMENT && (fs__be16(header + 2) & 0xfff8);
        next = is_later ? 0xff : header[0];
    }
    view->protocol = next;
}

static bool view_ipv6(struct fs__ip_view *view, const uint8_t *ip, uint32_t captured) {
    if (captured < IPV6_HEADER)
        return false;
    uint32_t payload = fs__be16(ip + 4);
    view->length = payload ? IPV6_HEADER + payload : captured; /* 0: a jumbogram, or segmentation offload */
    view->captured = captured < view->length ? captured : view->length;
    view->fixed = view->transport = IPV6_HEADER;
    skip_extensions(view);
    return true;
}

void fs__ip_view_init(struct fs__ip_view *view, const uint8_t *ip, uint32_t captured) {
    memset(view, 0, sizeof *view);
    if (!ip || !captured)
        return;
    view->version = ip[0] >> 4;
    view->ip = ip;
    bool readable = view->version == 4   ? view_ipv4(view, ip, captured)
                    : view->version == 6 ? view_ipv6(view, ip, captured)
                                         : false;
    if (!readable) {
        view->ip = NULL;
        return;
    }
    if (view->protocol != FS_PROTO_TCP || view->captured - view->transport < TCP_HEADER)
        return;
    uint32_t tcp = (uint32_t)(ip[view->transport + 12] >> 4) * 4;
    if (tcp >= TCP_HEADER && tcp <= view->captured - view->transport)
        view->tcp = tcp;
}

/* ---- what routers and middleboxes change ---- */

static void clear_routed(uint8_t *ip, uint8_t version) {
    if (version == 6) {
        memset(ip, 0, 4); /* version, traffic class, flow label */
        ip[7] = 0;        /* hop limit */
        return;
    }
    ip[1] = 0;           /* DSCP, ECN */
    ip[8] = 0;           /* TTL */
    ip[10] = ip[11] = 0; /* checksum */
}

struct options {
    uint16_t mss;
    uint64_t timestamps;
};

/* Both of them, wherever they are; the values are set to 0 in place if `clear`. */
static struct options read_options(uint8_t *tcp, uint32_t length, bool clear) {
    struct options found = {0, 0};
    for (uint32_t at = TCP_HEADER; at < length && tcp[at] != KIND_END;) {
        if (tcp[at] == KIND_NOP) {
            at++;
            continue;
        }
        uint32_t size = length - at >= 2 ? tcp[at + 1] : 0;
        if (size < 2 || size > length - at)
            break;
        if (tcp[at] == KIND_MSS && size == 4)
            found.mss = fs__be16(tcp + at + 2);
        else if (tcp[at] == KIND_TIMESTAMP && size == 10)
            found.timestamps = fs__be64(tcp + at + 2);
        if (clear && ((tcp[at] == KIND_MSS && size == 4) || (tcp[at] == KIND_TIMESTAMP && size == 10)))
            memset(tcp + at + 2, 0, size - 2);
        at += size;
    }
    return found;
}

static void clear_rewritten(uint8_t *tcp, uint32_t length) {
    tcp[12] &= 0xf0; /* AE and reserved bits */
    tcp[13] &= 0x3f; /* ECE, CWR */
    tcp[16] = tcp[17] = 0;
    read_options(tcp, length, true);
}

/* Everything of a packet but extension headers and what is behind the TCP header. */
struct head {
    uint32_t size;
    uint8_t bytes[2 * HEADER_MAX];
};

static void make_head(struct head *head, const struct fs__ip_view *view, enum fs_dedup_mode mode) {
    memcpy(head->bytes, view->ip, view->fixed);
    clear_routed(head->bytes, view->version);
    uint8_t *tcp = head->bytes + view->fixed;
    memcpy(tcp, view->ip + view->transport, view->tcp);
    head->size = view->fixed + view->tcp;
    if (mode != FS_DEDUP_REWRITTEN)
        return;
    if (view->version == 4)
        head->bytes[6] &= 0xbf; /* don't fragment */
    if (view->tcp)
        clear_rewritten(tcp, view->tcp);
}

static uint32_t body_of(const struct fs__ip_view *view) {
    return view->transport + view->tcp;
}

bool fs__dedup_same_packet(const struct fs__ip_view *a, const struct fs__ip_view *b, enum fs_dedup_mode mode) {
    if (!a->ip || !b->ip || a->version != b->version || a->length != b->length || a->captured != b->captured ||
        a->fixed != b->fixed || a->transport != b->transport || a->tcp != b->tcp)
        return false;
    struct head head_a, head_b;
    make_head(&head_a, a, mode);
    make_head(&head_b, b, mode);
    uint32_t body = body_of(a);
    return memcmp(head_a.bytes, head_b.bytes, head_a.size) == 0 &&
           memcmp(a->ip + a->fixed, b->ip + b->fixed, a->transport - a->fixed) == 0 &&
           memcmp(a->ip + body, b->ip + body, a->captured - body) == 0;
}

/* ---- hashes ---- */

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash ^= value * 0x9e3779b97f4a7c15u;
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

uint64_t fs__dedup_hash_frame(const struct fs__hasher *hasher, const struct fs_dedup_frame *frame) {
    return mix(fs__hash(hasher, frame->data, frame->captured), (uint64_t)frame->linktype << 32 | frame->wire_len);
}

static uint64_t hash_head(const struct fs__hasher *hasher, const struct fs__ip_view *view, enum fs_dedup_mode mode,
                          uint64_t rest) {
    struct head head;
    make_head(&head, view, mode);
    return mix(fs__hash(hasher, head.bytes, head.size), rest);
}

bool fs__dedup_hash_packet(const struct fs__hasher *hasher, const struct fs__ip_view *view, uint64_t *routed,
                           uint64_t *rewritten) {
    uint32_t body = body_of(view);
    uint64_t rest = fs__hash(hasher, view->ip + body, view->captured - body);
    rest = mix(rest, (uint64_t)view->captured << 32 | view->length);
    if (view->transport > view->fixed)
        rest = mix(rest, fs__hash(hasher, view->ip + view->fixed, view->transport - view->fixed));
    *routed = hash_head(hasher, view, FS_DEDUP_ROUTED, rest);
    if (!rewritten || !view->tcp)
        return false;
    *rewritten = hash_head(hasher, view, FS_DEDUP_REWRITTEN, rest);
    return true;
}

/* ---- what differs ---- */

static bool is_vlan(uint16_t type) {
    return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200 || type == 0x9300;
}

uint16_t fs__dedup_vlan(const struct fs_dedup_frame *frame) {
    if (frame->linktype != FS_LINK_ETHERNET || frame->captured < ETHERNET_HEADER + 2 ||
        !is_vlan(fs__be16(frame->data + 12)))
        return FS_DEDUP_NO_VLAN;
    return fs__be16(frame->data + 14) & 0xfff;
}

static uint32_t digest(const struct fs__hasher *hasher, const uint8_t *bytes, uint32_t length) {
    if (!length)
        return 0;
    return (uint32_t)fs__hash(hasher, bytes, length) | 1;
}

/* Where the IP header is in the frame, or UINT32_MAX if it is not. */
static uint32_t ip_offset(const struct fs_dedup_frame *frame) {
    uintptr_t data = (uintptr_t)frame->data;
    uintptr_t ip = (uintptr_t)frame->ip;
    return ip >= data && ip - data < frame->captured ? (uint32_t)(ip - data) : UINT32_MAX;
}

static void link_facts(struct fs__dedup_facts *facts, const struct fs__hasher *hasher,
                       const struct fs_dedup_frame *frame, uint32_t before) {
    if (frame->linktype != FS_LINK_ETHERNET || before < ETHERNET_HEADER) {
        facts->link = digest(hasher, frame->data, before) ^ frame->linktype << 1;
        return;
    }
    uint32_t at = 12;
    while (at + 6 <= before && is_vlan(fs__be16(frame->data + at)))
        at += 4;
    facts->link = digest(hasher, frame->data, 12) ^ frame->linktype << 1;
    facts->tags = digest(hasher, frame->data + 12, at - 12);
    facts->encapsulation = digest(hasher, frame->data + at + 2, before - at - 2);
}

void fs__dedup_facts_init(struct fs__dedup_facts *facts, const struct fs__hasher *hasher,
                          const struct fs_dedup_frame *frame, const struct fs__ip_view *view) {
    memset(facts, 0, sizeof *facts);
    facts->vlan = fs__dedup_vlan(frame);
    uint32_t before = ip_offset(frame);
    if (before != UINT32_MAX) {
        link_facts(facts, hasher, frame, before);
        uint32_t end = before + view->captured;
        if (end < frame->captured)
            facts->trailer = digest(hasher, frame->data + end, frame->captured - end);
    } else {
        facts->link = digest(hasher, frame->data, frame->captured) ^ frame->linktype << 1;
    }
    const uint8_t *ip = view->ip;
    if (view->version == 4) {
        facts->tos = ip[1];
        facts->ttl = ip[8];
        facts->ip_checksum = fs__be16(ip + 10);
        facts->dont_fragment = facts->sent_dont_fragment = ip[6] & 0x40;
    } else {
        facts->tos = (uint8_t)(fs__be16(ip) >> 4);
        facts->ttl = ip[7];
        facts->flow_label = fs__be32(ip) & 0xfffff;
    }
    if (!view->tcp)
        return;
    uint8_t tcp[HEADER_MAX];
    memcpy(tcp, ip + view->transport, view->tcp);
    struct options options = read_options(tcp, view->tcp, false);
    facts->tcp_checksum = fs__be16(tcp + 16);
    facts->tcp_ecn = (uint8_t)((tcp[12] & 0x0f) << 4 | tcp[13] >> 6);
    facts->mss = options.mss;
    facts->timestamps = (uint32_t)(mix(1, options.timestamps) >> 32);
}

unsigned fs__dedup_compare_facts(const struct fs__dedup_facts *a, const struct fs__dedup_facts *b) {
    unsigned found = 0;
    found |= a->link != b->link ? FS_DEDUP_LINK : 0U;
    found |= a->tags != b->tags ? FS_DEDUP_VLAN : 0U;
    found |= a->encapsulation != b->encapsulation ? FS_DEDUP_ENCAPSULATION : 0U;
    found |= a->trailer != b->trailer ? FS_DEDUP_TRAILER : 0U;
    found |= a->ttl != b->ttl ? FS_DEDUP_TTL : 0U;
    found |= a->tos != b->tos ? FS_DEDUP_TOS : 0U;
    found |= a->ip_checksum != b->ip_checksum ? FS_DEDUP_IP_CHECKSUM : 0U;
    found |= a->flow_label != b->flow_label ? FS_DEDUP_FLOW_LABEL : 0U;
    found |= a->dont_fragment != b->dont_fragment ? FS_DEDUP_DONT_FRAGMENT : 0U;
    found |= a->mss != b->mss ? FS_DEDUP_MSS : 0U;
    found |= a->timestamps != b->timestamps ? FS_DEDUP_TIMESTAMPS : 0U;
    found |= a->tcp_checksum != b->tcp_checksum ? FS_DEDUP_TCP_CHECKSUM : 0U;
    found |= a->tcp_ecn != b->tcp_ecn ? FS_DEDUP_TCP_ECN : 0U;
    return found;
}
