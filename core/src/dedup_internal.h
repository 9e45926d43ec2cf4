/* SPDX-License-Identifier: MIT */
#ifndef FS_DEDUP_INTERNAL_H
#define FS_DEDUP_INTERNAL_H

#include "flowscope/dedup.h"

/* For tests: hashes lose all bits that are not in `mask`, so that different frames collide. */
void fs__dedup_mask_hashes(struct fs_dedup *dedup, uint64_t mask);
/* Likewise: frames in the longest chain of the exact index, what has left the window aside. */
uint32_t fs__dedup_longest_chain(const struct fs_dedup *dedup);

#endif
