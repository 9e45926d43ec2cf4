/* SPDX-License-Identifier: MIT */
/* When flows expire: a timing wheel, kept lazily.
 *
 * A flow hangs in the slot of a tick at or before its deadline. A packet moves the deadline without touching the wheel;
 * the slot is put right when the wheel comes to it, once a timeout at most. So a packet costs nothing here, sweeps cost
 * O(expired), timeouts may be any number, and the first slots also tell whom to evict. An LRU list would touch two
 * foreign cache lines a packet. */
#ifndef FS_EXPIRY_H
#define FS_EXPIRY_H

#include "flow_table.h"

enum { FS__SLOTS = 4096, FS__TICK_SHIFT_MINIMUM = 28 };

struct fs__expiry {
    struct fs__flow_table *table;
    uint64_t cursor;   /* tick up to which everything idle has ended; no deadline lies before it */
    uint64_t earliest; /* another tick before which no deadline lies: where the search for a victim begins */
    unsigned shift;    /* nanoseconds >> shift = tick */
    bool started;
    uint64_t occupied[FS__SLOTS / 64]; /* one bit a slot */
    uint32_t slots[FS__SLOTS];         /* first flow, or FS__NONE */
};

static inline uint64_t fs__tick(const struct fs__expiry *expiry, uint64_t time_ns) {
    return time_ns >> expiry->shift;
}

/* `longest_ns`: the longest timeout that is known beforehand. */
void fs__expiry_init(struct fs__expiry *expiry, struct fs__flow_table *table, uint64_t longest_ns);

void fs__expiry_link(struct fs__expiry *expiry, uint32_t flow, uint64_t deadline_ns);
void fs__expiry_unlink(struct fs__expiry *expiry, uint32_t flow);

/* Unlink all flows of one slot and return the first; the others follow by fs__cold.next. */
uint32_t fs__expiry_detach(struct fs__expiry *expiry, uint32_t slot);

/* First slot at or after `slot`, in ring order, that holds flows; FS__NONE if none does. */
uint32_t fs__expiry_next_slot(const struct fs__expiry *expiry, uint32_t slot);

#endif
