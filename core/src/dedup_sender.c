/* SPDX-License-Identifier: MIT */
#include "dedup_sender.h"

#include "bytes.h"
#include "packet_internal.h"

#include <string.h>

_Static_assert(sizeof(struct fs__sender) == 32, "a pair is a cache line");

enum {
    ADVANCES_ENOUGH = 2, /* one may be two senders behind one address */
    ADVANCES_MAX = 8,
    TICKS_ENOUGH = 8 /* of a timestamp clock, to know its rate */
};

/* No copy of a tap takes that long; a retransmission after time-out does (RFC 6298; the shortest in use is 200 ms). */
#define REPEAT_NS 100000000u

/* ---- the table ---- */

enum kind { KIND_ID = 1, KIND_CLOCK = 2 };

/* Identifications are unique by source, destination and protocol (RFC 791, 2.3; RFC 6864, 4.3), except where
 * fragmentation is ruled out: then they may be anything (RFC 6864, 4.1), so what one kind does says nothing of the
 * other. Programs that build their own packets, scanners above all, tend to allow fragmentation; the TCP of a host does
 * not. */
static uint64_t id_key(const struct fs__hasher *hasher, const struct fs__ip_view *view, uint8_t dont_fragment) {
    uint64_t variant = KIND_ID << 8;
    if (view->version == 4)
        variant |= view->ip[9] | (uint64_t)dont_fragment << 16;
    return view->version == 4 ? fs__hash_short(hasher, view->ip + 12, 8, variant)
                              : fs__hash_short(hasher, view->ip + 8, 32, variant);
}

/* Timestamp clocks may have an offset for each connection (RFC 7323, 7.1). */
static uint64_t clock_key(const struct fs__hasher *hasher, const struct fs__ip_view *view) {
    uint64_t variant = (uint64_t)fs__be32(view->ip + view->transport) << 32 | KIND_CLOCK << 8;
    return view->version == 4 ? fs__hash_short(hasher, view->ip + 12, 8, variant)
                              : fs__hash_short(hasher, view->ip + 8, 32, variant);
}

static struct fs__sender *find(const struct fs__senders *senders, uint64_t key) {
    struct fs__sender *pair = &senders->table[(size_t)((uint32_t)key & senders->mask) * 2];
    uint32_t tag = (uint32_t)(key >> 32) | 1;
    if (pair[0].tag == tag)
        return &pair[0];
    return pair[1].tag == tag ? &pair[1] : NULL;
}

static struct fs__sender *find_or_make(struct fs__senders *senders, uint64_t key) {
    struct fs__sender *sender = find(senders, key);
    if (!sender) {
        struct fs__sender *pair = &senders->table[(size_t)((uint32_t)key & senders->mask) * 2];
        bool second = pair[0].tag && (!pair[1].tag || senders->frames - pair[1].used > senders->frames - pair[0].used);
        sender = &pair[second];
        memset(sender, 0, sizeof *sender);
        sender->tag = (uint32_t)(key >> 32) | 1;
    }
    sender->used = senders->frames;
    return sender;
}

/* ---- identification ---- */

uint8_t fs__dedup_dont_fragment(const struct fs__ip_view *view) {
    return view->version == 4 ? view->ip[6] & 0x40 : 0;
}

/* What a copy has in common with its original wherever it is captured, and another packet hardly. */
static uint32_t packet_digest(const struct fs__ip_view *view) {
    uint64_t word = view->captured - view->transport >= 8 ? fs__be64(view->ip + view->transport) : 0;
    word = (word ^ view->length) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(word >> 48);
}

static uint32_t fold(uint32_t id) {
    return (id ^ id >> 16) & 0xffff;
}

static void note_id(struct fs__sender *sender, const struct fs__ip_view *view) {
    uint32_t id = fold(view->id);
    uint32_t packet = packet_digest(view);
    for (unsigned i = 0; i < sender->known; i++) {
        if (sender->recent[i] >> 16 != id)
            continue;
        /* Fragments of one datagram share it, and copies do. Another packet with it: it is not advanced. */
        if (!view->fragment && (sender->recent[i] & 0xffff) != packet)
            sender->advances = 0;
        return;
    }
    if (sender->known && sender->advances < ADVANCES_MAX)
        sender->advances++;
    sender->recent[sender->next] = id << 16 | packet;
    sender->next = (uint8_t)((sender->next + 1) % FS__RECENT_IDS);
    if (sender->known < FS__RECENT_IDS)
        sender->known++;
}

/* ---- timestamps ---- */

static bool timestamp_of(const struct fs__ip_view *view, uint32_t *value) {
    const uint8_t *tcp = view->ip + view->transport;
    if (view->tcp <= FS__TCP_HEADER)
        return false;
    if (view->tcp == 32 && fs__be32(tcp + FS__TCP_HEADER) == FS__TCP_PADDED_TIMESTAMP) {
        *value = fs__be32(tcp + FS__TCP_HEADER + 4);
        return true;
    }
    struct fs_tcp header;
    fs_tcp_parse(&header, tcp, view->tcp);
    *value = header.ts_value;
    return header.options & FS_TCP_OPT_TIMESTAMP;
}

static void note_clock(struct fs__sender *sender, uint32_t value, uint64_t time_ns) {
    uint32_t ticks = value - sender->clock.value;
    bool goes_on = sender->known && ticks <= INT32_MAX && time_ns >= sender->clock.time_ns;
    if (!goes_on) {
        sender->known = 1;
        sender->clock.time_ns = time_ns;
        sender->clock.value = value;
        sender->clock.tick_ns = 0;
        return;
    }
    if (ticks < TICKS_ENOUGH)
        return;
    /* Twice what was measured: packets are not captured when they are sent. */
    uint64_t tick = (time_ns - sender->clock.time_ns) / ticks;
    sender->clock.tick_ns = tick < UINT32_MAX / 2 ? (uint32_t)tick * 2 + 1 : 0;
}

/* ---- evidence ---- */

void fs__senders_note(struct fs__senders *senders, const struct fs__hasher *hasher, const struct fs__ip_view *view,
                      uint64_t time_ns) {
    uint32_t value;
    senders->frames++;
    if (view->id)
        note_id(find_or_make(senders, id_key(hasher, view, fs__dedup_dont_fragment(view))), view);
    else if (timestamp_of(view, &value))
        note_clock(find_or_make(senders, clock_key(hasher, view)), value, time_ns);
}

void fs__senders_note_repeat(struct fs__senders *senders, const struct fs__hasher *hasher,
                             const struct fs__ip_view *view, uint64_t distance) {
    if (view->id && distance >= REPEAT_NS)
        find_or_make(senders, id_key(hasher, view, fs__dedup_dont_fragment(view)))->repeats = true;
}

unsigned fs__senders_grounds(const struct fs__senders *senders, const struct fs__hasher *hasher,
                             const struct fs__ip_view *view, uint8_t dont_fragment, enum fs_dedup_mode mode,
                             uint64_t distance) {
    if (view->id) {
        const struct fs__sender *sender = find(senders, id_key(hasher, view, dont_fragment));
        return sender && sender->advances >= ADVANCES_ENOUGH && !sender->repeats ? FS_DEDUP_BY_ID : 0;
    }
    uint32_t value;
    if (mode == FS_DEDUP_REWRITTEN || !timestamp_of(view, &value))
        return 0;
    const struct fs__sender *sender = find(senders, clock_key(hasher, view));
    return sender && sender->clock.tick_ns && distance > sender->clock.tick_ns ? FS_DEDUP_BY_TIMESTAMP : 0;
}

bool fs__dedup_awaits_reply(const struct fs__ip_view *view) {
    if (!view->ip || !view->tcp || view->fragment)
        return false;
    unsigned flags = view->ip[view->transport + 13];
    if (flags & (FS_TCP_SYN | FS_TCP_RST))
        return false;
    return (flags & FS_TCP_FIN) || view->length > view->transport + view->tcp;
}
