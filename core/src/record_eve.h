/* SPDX-License-Identifier: MIT */
/* What the events of EVE have in common. */
#ifndef FS_RECORD_EVE_H
#define FS_RECORD_EVE_H

#include "record_internal.h"

/* `name` with its quotes, comma and colon: ,"pkts_toserver": */
#define FS__EVE_NUMBER(line, name, number) (FS__PUT_LITERAL(line, name), fs__put_number(line, number))
#define FS__EVE_STRING(line, name, text)                                                                               \
    (FS__PUT_LITERAL(line, name "\""), fs__put_string(line, text), fs__put_char(line, '"'))

struct fs__eve_event {
    const struct fs_record_flow *record;
    const char *type, *uid;
    uint64_t time_ns;
    uint32_t frame;    /* 0: not of one frame */
    enum fs_side from; /* whose address is src_ip */
};

/* From the first brace on, without the last. False if Suricata has no such flows. */
bool fs__eve_head(struct fs__line *line, const struct fs__eve_event *event);
void fs__eve_community_id(struct fs__line *line, const struct fs_flow_info *flow,
                          const struct fs_record_options *options);

#endif
