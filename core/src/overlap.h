/* SPDX-License-Identifier: MIT */
/* Who supplies a byte that two segments claim: the table of docs/reassembly.md. */
#ifndef FS_OVERLAP_H
#define FS_OVERLAP_H

#include "flowscope/reassembler.h"

/* Offsets [start, end) of a segment's payload, less what was delivered when it came. */
struct fs__extent {
    uint64_t start, end;
};

bool fs__overlap_new_wins(enum fs_overlap_policy policy, const struct fs__extent *newer,
                          const struct fs__extent *older);

#endif
