/* SPDX-License-Identifier: MIT */
#include "overlap.h"

#include <string.h>

/* How the new segment ends, relative to the old one; bits. */
enum { NEVER = 0, BEFORE = 1, WITH = 2, AFTER = 4, ALWAYS = BEFORE | WITH | AFTER };

/* The new segment wins if it ends so and starts before, with or after the old one. */
struct row {
    uint8_t starts_before, starts_with, starts_after;
};

static const struct row rows[FS_OVERLAP_COUNT] = {
    [FS_OVERLAP_FIRST] = {NEVER, NEVER, NEVER},
    [FS_OVERLAP_LAST] = {ALWAYS, ALWAYS, ALWAYS},
    [FS_OVERLAP_BSD] = {ALWAYS, NEVER, NEVER},
    [FS_OVERLAP_BSD_RIGHT] = {NEVER, ALWAYS, ALWAYS},
    [FS_OVERLAP_LINUX] = {ALWAYS, AFTER, NEVER},
    [FS_OVERLAP_OLD_LINUX] = {ALWAYS, WITH | AFTER, NEVER},
    [FS_OVERLAP_WINDOWS] = {ALWAYS, NEVER, NEVER},
    [FS_OVERLAP_WINDOWS_2K3] = {ALWAYS, NEVER, NEVER},
    [FS_OVERLAP_VISTA] = {NEVER, NEVER, NEVER},
    [FS_OVERLAP_SOLARIS] = {WITH | AFTER, WITH | AFTER, AFTER},
    [FS_OVERLAP_OLD_SOLARIS] = {AFTER, AFTER, AFTER},
    [FS_OVERLAP_HPUX10] = {ALWAYS, NEVER, NEVER},
    [FS_OVERLAP_HPUX11] = {WITH | AFTER, WITH | AFTER, AFTER},
    [FS_OVERLAP_IRIX] = {ALWAYS, NEVER, NEVER},
    [FS_OVERLAP_MACOS] = {ALWAYS, NEVER, NEVER},
};

static const char *const names[FS_OVERLAP_COUNT] = {
#define NAME(symbol, value, name) [symbol] = name,
    FS_OVERLAP_MAP(NAME)
#undef NAME
};

bool fs__overlap_new_wins(enum fs_overlap_policy policy, const struct fs__extent *newer,
                          const struct fs__extent *older) {
    const struct row *row = &rows[policy];
    unsigned ends = newer->end < older->end ? BEFORE : newer->end == older->end ? WITH : AFTER;
    if (newer->start < older->start)
        return (row->starts_before & ends) != 0;
    if (newer->start == older->start)
        return (row->starts_with & ends) != 0;
    return (row->starts_after & ends) != 0;
}

const char *fs_overlap_name(int policy) {
    return policy >= 0 && policy < FS_OVERLAP_COUNT ? names[policy] : "unknown";
}

int fs_overlap_from_name(const char *name) {
    for (int i = 0; i < FS_OVERLAP_COUNT; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return -1;
}
