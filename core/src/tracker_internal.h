/* SPDX-License-Identifier: MIT */
/* What tests may see of a tracker beyond its API. */
#ifndef FS_TRACKER_INTERNAL_H
#define FS_TRACKER_INTERNAL_H

#include "flowscope/tracker.h"

/* Longest run of index entries that the look-up of a live flow walks. */
size_t fs__tracker_longest_probe(const struct fs_tracker *tracker);

#endif
