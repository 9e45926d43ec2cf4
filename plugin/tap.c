/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tap.h"

static int packet_tap, frame_tap;

void fs_tap_register(void) {
    packet_tap = register_tap("flowscope"); /* -z conv,flowscope and endpoints,flowscope want this name */
    frame_tap = register_tap("flowscope_frame");
}

bool fs_tap_is_tshark(void) {
    const char *name = g_get_prgname();
    return name && strstr(name, "tshark");
}

bool fs_tap_is_listened_to(void) {
    return have_tap_listener(packet_tap) || have_tap_listener(frame_tap);
}

void fs_tap_queue(packet_info *pinfo, const struct fs_seen *seen, unsigned count, int reject,
                  const struct fs_duplicate *duplicate) {
    static struct fs_tap_frame frame; /* frames are dissected one after the other */
    if (have_tap_listener(packet_tap)) {
        for (unsigned n = 0; n < count; n++) {
            if (fs_record_is_counted(&seen[n].record))
                tap_queue_packet(packet_tap, pinfo, &seen[n]);
        }
    }
    if (!have_tap_listener(frame_tap))
        return;
    frame = (struct fs_tap_frame){reject, count, seen, duplicate, !pinfo->fd->visited};
    tap_queue_packet(frame_tap, pinfo, &frame);
}
