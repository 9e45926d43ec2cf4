/* SPDX-License-Identifier: MIT */
#include "flowscope/dedup.h"

#include <string.h>

#define NAME(symbol, value, name)                                                                                      \
    case symbol:                                                                                                       \
        return name;

const char *fs_dedup_mode_name(int mode) {
    switch (mode) {
        FS_DEDUP_MODE_MAP(NAME)
    default:
        return "unknown";
    }
}

int fs_dedup_mode_from_name(const char *name) {
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
        if (strcmp(name, fs_dedup_mode_name(mode)) == 0)
            return mode;
    }
    return -1;
}

const char *fs_dedup_evidence_name(int evidence) {
    switch (evidence) {
    case FS_DEDUP_WEAK:
        return "weak";
    case FS_DEDUP_STRONG:
        return "strong";
    default:
        return "unknown";
    }
}

const char *fs_dedup_ground_name(unsigned ground) {
    switch (ground) {
        FS_DEDUP_GROUND_MAP(NAME)
    default:
        return "unknown";
    }
}

const char *fs_dedup_difference_name(unsigned difference) {
    switch (difference) {
        FS_DEDUP_DIFFERENCE_MAP(NAME)
    default:
        return "unknown";
    }
}
