/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a packet stands in its flow. The first pass has it from the tracker and need not remember it; a later one finds
 * it out here, by going over the store's records once. So tshark, which mostly goes over a capture once, does without
 * half of the memory a frame would take. */
#ifndef FS_PLUGIN_LINKS_H
#define FS_PLUGIN_LINKS_H

#include <stdint.h>

struct fs_link {
    uint32_t previous; /* frames of the flow before and after this one; 0: none */
    uint32_t next;
    uint32_t packet;    /* number in the flow, from 1; 0 for what is not counted */
    uint32_t bytes_low; /* of the flow so far, on the wire */
    uint16_t bytes_high;
};

_Static_assert(sizeof(struct fs_link) == 20, "the cost of a frame in later passes");

static inline uint64_t fs_link_bytes(const struct fs_link *link) {
    return (uint64_t)link->bytes_high << 32 | link->bytes_low;
}

/* The n-th packet of a frame, which the store remembers. In live capture frames may have come since the last call. */
struct fs_link fs_links_get(uint32_t frame, unsigned n);

/* The store forgot, or took something back. */
void fs_links_forget(void);

#endif
