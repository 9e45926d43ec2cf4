/* SPDX-License-Identifier: MIT */
/* What the headers of a sender's packets are worth as evidence: a bounded memory of identifications and timestamps. */
#ifndef FS_DEDUP_SENDER_H
#define FS_DEDUP_SENDER_H

#include "dedup_form.h"

enum { FS__RECENT_IDS = 4 };

struct fs__sender {
    uint32_t tag;  /* of the key; 0: free */
    uint32_t used; /* in frames: which of two goes first */
    union {
        uint32_t recent[FS__RECENT_IDS]; /* identification above, a digest of the packet below */
        struct {
            uint64_t time_ns; /* of the first packet */
            uint32_t value;   /* its timestamp */
            uint32_t tick_ns; /* longest that the clock's tick can be; 0: not known yet */
        } clock;
    };
    uint8_t advances; /* how often the identification was a new one in the last packets, up to a few */
    uint8_t next;     /* place in `recent` */
    uint8_t known;    /* places in use */
    bool repeats;     /* the same packet came again after so long that it was not a copy */
    uint32_t reserved;
};

struct fs__senders {
    struct fs__sender *table; /* pairs */
    uint32_t mask;            /* of pairs */
    uint32_t frames;
};

/* Learn from a packet that is no duplicate. */
void fs__senders_note(struct fs__senders *senders, const struct fs__hasher *hasher, const struct fs__ip_view *view,
                      uint64_t time_ns);
/* The packet came `distance` after an equal one, long after: if that is a repeat, equal identifications say nothing. */
void fs__senders_note_repeat(struct fs__senders *senders, const struct fs__hasher *hasher,
                             const struct fs__ip_view *view, uint64_t distance);
/* Grounds to take the packet, which came `distance` after or before an equal one, for a copy. By delay is not among
 * them. `dont_fragment` is that of the first of its copies: middleboxes may have cleared it since. */
unsigned fs__senders_grounds(const struct fs__senders *senders, const struct fs__hasher *hasher,
                             const struct fs__ip_view *view, uint8_t dont_fragment, enum fs_dedup_mode mode,
                             uint64_t distance);

/* IPv4's flag, as it is in the header's byte; 0 in IPv6. */
uint8_t fs__dedup_dont_fragment(const struct fs__ip_view *view);

/* TCP data or FIN that only a loss would bring again. */
bool fs__dedup_awaits_reply(const struct fs__ip_view *view);

#endif
