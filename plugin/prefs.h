/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preferences: Protocols > Flowscope, or -o flowscope.NAME:VALUE. */
#ifndef FS_PLUGIN_PREFS_H
#define FS_PLUGIN_PREFS_H

#include "compat.h"

#include "flowscope/pipeline.h"

struct fs_prefs {
    fs_bool track;
    fs_bool key_vlan, key_tunnel, key_interface;
    fs_bool roles_by_syn;
    int timeouts_like;                                /* 0: as the three below say */
    unsigned timeout_tcp, timeout_udp, timeout_other; /* seconds */
    unsigned max_flows, max_frames;
    fs_bool sessions;
    unsigned max_messages;
    fs_bool reassemble;
    int overlap_policy;                               /* enum fs_overlap_policy */
    unsigned reassembly_side_limit, reassembly_limit; /* bytes */
    unsigned reassembly_deadline;                     /* milliseconds; 0: none */
    unsigned overlap_history;                         /* bytes a side */
    unsigned community_id_seed;
    int duplicates;               /* enum fs_duplicates */
    int duplicate_mode;           /* enum fs_dedup_mode */
    unsigned duplicate_window_us; /* 0: the mode's */
    fs_bool duplicates_exclude_weak;
};

void fs_prefs_register(int proto);

/* The values that hold for the capture: taken when it is opened, since preferences may change while it is in use. */
const struct fs_prefs *fs_prefs_snapshot(void);
const struct fs_prefs *fs_prefs(void);

/* Domain parts of the key, set of enum fs_domain_part. */
unsigned fs_prefs_domain(void);

void fs_prefs_configure(struct fs_pipeline_config *config);
void fs_prefs_configure_reassembly(struct fs_reassembly_config *config);

#endif
