/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tables listen to. Two taps: "flowscope", one record a packet of a frame, and "flowscope_frame", one a frame.
 */
#ifndef FS_PLUGIN_TAP_H
#define FS_PLUGIN_TAP_H

#include "store.h"

/* Records live as long as their frame is being dissected. That of the tap "flowscope" is a struct fs_seen, whose
 * packets quoted in ICMP errors and excluded duplicates are left out; that of "flowscope_frame" is this. */
struct fs_tap_frame {
    int reject; /* enum fs_reject, if it belongs to no flow */
    unsigned count;
    const struct fs_seen *packets;
    const struct fs_duplicate *duplicate; /* NULL if it equals no other */
    bool first_pass;                      /* taps are called when the frame itself says that it was visited */
};

void fs_tap_register(void);

/* Offer the frame to whoever listens; what is pointed at must hold until its dissection ends. */
void fs_tap_queue(packet_info *pinfo, const struct fs_seen *seen, unsigned count, int reject,
                  const struct fs_duplicate *duplicate);

/* Whether anybody listens to either tap. */
bool fs_tap_is_listened_to(void);

/* Text output in tshark; tables in the GUI and in sharkd. */
bool fs_tap_is_tshark(void);

#endif
