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

/* The note that a record was made from: records are made of notes in their order, less those without a flow. */
static const struct fs_packet *note_for(const struct fs_notes *notes, const struct fs_record *record, unsigned *next) {
    bool quoted = record->bits & FS_RECORD_QUOTED;
    bool reverse = record->bits & FS_RECORD_REVERSE;
    for (unsigned i = *next; notes && i < notes->count; i++) {
        const struct fs_packet *packet = &notes->packets[i];
        bool note_quoted = packet->flags & FS_PACKET_QUOTED;
        if (note_quoted != quoted || (packet->orientation == FS_REVERSE) != reverse)
            continue;
        *next = i + 1;
        return packet;
    }
    return NULL;
}

void fs_tap_queue(packet_info *pinfo, const struct fs_notes *notes) {
    bool packets = have_tap_listener(packet_tap);
    bool frames = have_tap_listener(frame_tap);
    if (!packets && !frames)
        return;
    unsigned room = notes ? notes->count : 0;
    struct fs_tap_frame *frame = wmem_new(pinfo->pool, struct fs_tap_frame);
    frame->count = 0;
    frame->packets = room ? wmem_alloc_array(pinfo->pool, struct fs_tap_packet, room) : NULL;
    unsigned next = 0;
    const struct fs_record *record = fs_store_record(pinfo->num, 0);
    frame->reject = record ? FS_REJECT_NONE : fs_store_reject(pinfo->num);
    for (unsigned n = 0; record && n < room; record = fs_store_next(pinfo->num, n++, record)) {
        struct fs_tap_packet *packet = &frame->packets[frame->count++];
        const struct fs_packet *note = note_for(notes, record, &next);
        packet->record = record;
        packet->wire_bytes = pinfo->fd->pkt_len;
        packet->ip_bytes = note ? note->ip_len : 0;
        packet->payload_bytes = note ? note->payload_len : 0;
        if (packets && !(record->bits & FS_RECORD_QUOTED))
            tap_queue_packet(packet_tap, pinfo, packet);
    }
    if (frames)
        tap_queue_packet(frame_tap, pinfo, frame);
}
