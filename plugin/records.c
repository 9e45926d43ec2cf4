/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "records.h"

#include "prefs.h"
#include "store.h"

#include <string.h>

static void set_streams(struct fs_record_flow *record, const struct fs_flow_facts *facts) {
    for (unsigned side = 0; side < 2 && fs_prefs()->reassemble; side++)
        fs_record_set_stream(record, (enum fs_side)side, facts->has_stream[side] ? &facts->stream[side] : NULL);
}

static void set_parent(struct fs_record_flow *record, const struct fs_flow_info *info) {
    struct fs_flow_facts carrier;
    if (info->parent != FS_NO_FLOW && fs_store_tracked(info->parent, &carrier))
        (void)fs_record_add_parent(record, &carrier.info, 0);
}

void fs_record_from_facts(struct fs_record_flow *record, const struct fs_flow_facts *facts) {
    fs_record_from_flow(record, &facts->info);
    memcpy(record->vlan, facts->vlan, sizeof record->vlan);
    set_streams(record, facts);
    set_parent(record, &facts->info);
    const char *app = fs_store_app((uint32_t)facts->info.id);
    record->application = strcmp(app, "-") == 0 ? NULL : app;
}

struct fs_record_options fs_record_options_of(enum fs_record_format format,
                                              int (*write)(const char *bytes, size_t length, void *user), void *user) {
    return (struct fs_record_options){.format = format,
                                      .write = write,
                                      .user = user,
                                      .community_id_seed = (uint16_t)fs_prefs()->community_id_seed,
                                      .open_ns = fs_store_start_ns()};
}
