/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of frames: fields and packet details, and what many of them add up to. */
#ifndef FS_PLUGIN_DUPLICATES_H
#define FS_PLUGIN_DUPLICATES_H

#include "store.h"

void fs_duplicates_register(int proto);

/* Add what is known of the frame as a copy, fs_store_duplicate(), to its tree, which may be NULL. */
void fs_duplicates_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct fs_duplicate *duplicate);

/* Names of the bits that are set, joined by "+"; "-" without any. */
void fs_duplicates_join(char *text, size_t size, unsigned bits, const char *(*name)(unsigned));

/* Of the frames that a table was given. */
struct fs_duplicate_totals {
    uint64_t count; /* of all treatments but withheld */
    uint64_t counts[FS_TREATMENT_COUNT][FS_DEDUP_MODE_COUNT][FS_DEDUP_EVIDENCE_COUNT];
    struct fs_dedup_pair pairs[FS_DEDUP_PAIRS];
    unsigned pair_count;
    uint64_t pairs_other;
};

/* While the frame's file is open. */
void fs_duplicates_add(struct fs_duplicate_totals *totals, const struct fs_duplicate *duplicate);

/* Whether they are so many that the user should be told. */
bool fs_duplicates_are_many(const struct fs_duplicate_totals *totals, uint64_t frames);

/* Call `line` for each count that is not 0: how they were treated, then where they were captured. */
typedef void (*fs_duplicates_line)(void *user, const char *name, uint64_t value);
void fs_duplicates_each_treatment(const struct fs_duplicate_totals *totals, fs_duplicates_line line, void *user);
void fs_duplicates_each_pair(const struct fs_duplicate_totals *totals, fs_duplicates_line line, void *user);

#endif
