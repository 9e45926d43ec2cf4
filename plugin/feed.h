/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From Wireshark's dissection to packet descriptors.
 *
 * A dissector of ours stands before each of the IP protocols that we track: it notes the packet and calls the original.
 * So every packet that Wireshark reaches is seen, through any link type, tunnel, decryption or reassembly, at the cost
 * of one call. */
#ifndef FS_PLUGIN_FEED_H
#define FS_PLUGIN_FEED_H

#include "compat.h"

#include "flowscope/pipeline.h"

/* The packets of one frame, in the order in which they were reached: carriers before what they carry. */
struct fs_notes {
    unsigned count, room;
    int open;        /* innermost packet that is being dissected, or -1 */
    uint32_t domain; /* VLAN and interface part of the keys to come */
    int *parents;    /* index of each one's carrier, or -1 */
    struct fs_packet *packets;
};

void fs_feed_register(int proto); /* protocols in name only; after all built-in ones */
void fs_feed_handoff(void);       /* take the place before the originals */

/* The notes of the frame, with a packet for frames without IP added; NULL if there is nothing to track. Call it once a
 * dissection, when all dissectors have run. */
struct fs_notes *fs_feed_collect(packet_info *pinfo);

#endif
