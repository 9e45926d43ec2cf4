/* SPDX-License-Identifier: MIT */
/** @file version.h
 * Version of the library: semantic; while the major number is 0, a minor number may change the API.
 */
#ifndef FLOWSCOPE_VERSION_H
#define FLOWSCOPE_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#define FS_VERSION_MAJOR 0
#define FS_VERSION_MINOR 1
#define FS_VERSION_PATCH 0
#define FS_VERSION "0.1.0"

/** Version of the library that is linked, e.g. "0.1.0". Static storage. */
const char *fs_version(void);

#ifdef __cplusplus
}
#endif
#endif
