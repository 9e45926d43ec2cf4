/* SPDX-License-Identifier: MIT */
#include "expiry.h"

#include <string.h>

/* `previous` of the first flow in a slot names the slot. Flow numbers are below 2^31 (FS_MAX_FLOWS). */
#define FIRST_OF_SLOT 0x80000000U

void fs__expiry_init(struct fs__expiry *expiry, struct fs__flow_table *table, uint64_t longest_ns) {
    memset(expiry, 0, sizeof *expiry);
    memset(expiry->slots, 0xff, sizeof expiry->slots); /* FS__NONE */
    expiry->table = table;
    expiry->earliest = UINT64_MAX;
    expiry->shift = FS__TICK_SHIFT_MINIMUM;
    while (expiry->shift < 52 && (longest_ns >> expiry->shift) >= FS__SLOTS / 2)
        expiry->shift++;
}

static void mark(struct fs__expiry *expiry, uint32_t slot, bool occupied) {
    uint64_t bit = (uint64_t)1 << (slot % 64);
    if (occupied)
        expiry->occupied[slot / 64] |= bit;
    else
        expiry->occupied[slot / 64] &= ~bit;
}

void fs__expiry_link(struct fs__expiry *expiry, uint32_t flow, uint64_t deadline_ns) {
    uint64_t tick = fs__tick(expiry, deadline_ns);
    uint32_t slot = (uint32_t)(tick % FS__SLOTS);
    if (tick < expiry->earliest)
        expiry->earliest = tick;
    struct fs__cold *cold = fs__cold_at(expiry->table, flow);
    uint32_t next = expiry->slots[slot];
    cold->next = next;
    cold->previous = FIRST_OF_SLOT | slot;
    if (next != FS__NONE)
        fs__cold_at(expiry->table, next)->previous = flow;
    else
        mark(expiry, slot, true);
    expiry->slots[slot] = flow;
}

void fs__expiry_unlink(struct fs__expiry *expiry, uint32_t flow) {
    struct fs__cold *cold = fs__cold_at(expiry->table, flow);
    if (cold->next != FS__NONE)
        fs__cold_at(expiry->table, cold->next)->previous = cold->previous;
    if (!(cold->previous & FIRST_OF_SLOT)) {
        fs__cold_at(expiry->table, cold->previous)->next = cold->next;
        return;
    }
    uint32_t slot = cold->previous & ~FIRST_OF_SLOT;
    expiry->slots[slot] = cold->next;
    if (cold->next == FS__NONE)
        mark(expiry, slot, false);
}

uint32_t fs__expiry_detach(struct fs__expiry *expiry, uint32_t slot) {
    uint32_t first = expiry->slots[slot];
    expiry->slots[slot] = FS__NONE;
    mark(expiry, slot, false);
    return first;
}

uint32_t fs__expiry_next_slot(const struct fs__expiry *expiry, uint32_t slot) {
    for (uint32_t step = 0; step <= FS__SLOTS / 64; step++) {
        uint32_t word = (slot / 64 + step) % (FS__SLOTS / 64);
        uint64_t bits = expiry->occupied[word];
        if (step == 0)
            bits &= ~(uint64_t)0 << (slot % 64);
        if (!bits)
            continue;
        uint32_t bit = 0;
        while (!(bits >> bit & 1))
            bit++;
        return word * 64 + bit;
    }
    return FS__NONE;
}
