/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From Wireshark's dissection to packet descriptors.
 *
 * A dissector of ours stands before each of the IP protocols that we track: it notes the packet and calls the original.
 * So every packet that Wireshark reaches is seen, through any link type, tunnel, decryption or reassembly, at the cost
 * of one call. What no dissector of ours saw (fragments that wait for others, IP protocols that nothing dissects,
 * frames without IP) is decoded by the library, from where Wireshark stopped. */
#ifndef FS_PLUGIN_FEED_H
#define FS_PLUGIN_FEED_H

#include "compat.h"

#include "flowscope/pipeline.h"

/* The packets of one frame, in the order in which they were reached: carriers before what they carry. */
struct fs_notes {
    unsigned count;
    struct fs_packet packets[FS_FRAME_MAX];
    int parents[FS_FRAME_MAX];         /* as in fs_pipeline_frame() */
    const void *sources[FS_FRAME_MAX]; /* where Wireshark read the source address of each */
    int open;                          /* innermost packet that is being dissected, or -1 */
    uint32_t domain;                   /* of the packet to come */
    unsigned vlans;                    /* tags of the link layer that was reached last, at most FS_VLAN_MAX */
    uint16_t vlan[FS_VLAN_MAX];        /* as in fs_packet */
    uint32_t outer_domain;             /* VLAN and interface part, without a tunnel's */
    uint32_t link_domain;              /* of the link layer that was reached last */
    int reject;                        /* enum fs_reject: why count is 0 */
};

void fs_feed_register(int proto); /* protocols in name only; after all built-in ones */
void fs_feed_handoff(void);       /* take the place before the originals */

/* The notes of the frame, never NULL, with what only the library can tell added. Call it once a dissection, when all
 * dissectors have run, with the frame's bytes. They hold until the next frame is dissected. */
struct fs_notes *fs_feed_collect(tvbuff_t *tvb, packet_info *pinfo);

/* The protocols above the transports of the frame, in order: up to `room`, 0 where there is none, or plain data.
 * Returns how many transports there are. */
unsigned fs_feed_apps(const packet_info *pinfo, int *apps, unsigned room);
/* The frame as the search for duplicates compares it, borrowed from the dissection. Its IP packet is the one that the
 * library finds, which does not depend on other frames, or else, where the library knows no link type or cannot
 * decrypt, the one that Wireshark reached last. */
void fs_feed_frame(tvbuff_t *tvb, const packet_info *pinfo, const struct fs_notes *notes, struct fs_dedup_frame *frame);

/* Capture time in nanoseconds since 1970; 0 if the frame has none. */
uint64_t fs_feed_time(const packet_info *pinfo);

#endif
