/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tables listen to. Two taps: "flowscope", one record a packet of a frame, and "flowscope_frame", one a frame.
 */
#ifndef FS_PLUGIN_TAP_H
#define FS_PLUGIN_TAP_H

#include "feed.h"
#include "store.h"

/* One packet; lives as long as its frame is being dissected. */
struct fs_tap_packet {
    const struct fs_record *record;
    uint32_t wire_bytes, ip_bytes, payload_bytes;
};

struct fs_tap_frame {
    int reject; /* enum fs_reject, if it belongs to no flow */
    unsigned count;
    struct fs_tap_packet *packets;
};

void fs_tap_register(void);

/* Offer the frame to whoever listens. `notes` may be NULL. */
void fs_tap_queue(packet_info *pinfo, const struct fs_notes *notes);

/* Text output in tshark; tables in the GUI and in sharkd. */
bool fs_tap_is_tshark(void);

#endif
