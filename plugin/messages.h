/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Application messages of the capture, as the library's parsers gave them: kept by frame, and by exchange. */
#ifndef FS_PLUGIN_MESSAGES_H
#define FS_PLUGIN_MESSAGES_H

#include "compat.h"

#include "flowscope/session.h"

struct fs_message_entry {
    const struct fs_message_entry *first; /* of a request that was sent again: the one before all; else NULL */
    uint64_t key;                         /* flow and exchange; of requests that wait for an answer */
    uint64_t start_ns, bytes;             /* as in struct fs_message */
    uint64_t time_ns;                     /* of responses; FS_NO_TIME if there is none */
    uint32_t frame;                       /* where it is shown: that with which it was complete */
    uint32_t flow;                        /* id */
    uint32_t request_frame;               /* where the other half of the exchange is shown; 0 if there is none */
    uint32_t response_frame;
    uint8_t protocol, kind, side;
    bool incomplete, unanswered;
    char *text;      /* one line */
    char *ja3, *ja4; /* NULL if it has none */
};

enum { FS_MESSAGE_TEXT = 512 };

void fs_messages_open(void);
void fs_messages_close(void);

/* `current` is the frame that is being dissected; `touches` says whether it has a packet of the flow. */
void fs_messages_add(const struct fs_message *message, uint32_t flow_id, uint32_t current, bool touches);

/* Number of messages, and each, in the order of the frames where they are shown. */
guint fs_messages_count(void);
const struct fs_message_entry *fs_messages_get(guint i);
/* The first at or behind a frame. */
guint fs_messages_first(uint32_t frame);
/* How many were not kept (preference max_messages). */
uint64_t fs_messages_dropped(void);

#endif
