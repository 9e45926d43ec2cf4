/* SPDX-License-Identifier: MIT */
#include "flowscope/version.h"

const char *fs_version(void) {
    return FS_VERSION;
}
