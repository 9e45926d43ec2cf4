/* SPDX-License-Identifier: MIT */
/** @file error.h
 * Error codes of the library. Functions that can fail return 0 (or a count) on success and a negative `enum fs_error`
 * otherwise. The library never prints, exits or aborts on input.
 */
#ifndef FLOWSCOPE_ERROR_H
#define FLOWSCOPE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/** One line an error: XX(symbol, value, text). The values are stable. */
#define FS_ERROR_MAP(XX)                                                                                               \
    XX(FS_OK, 0, "success")                                                                                            \
    XX(FS_ERR_NOMEM, -1, "out of memory")                                                                              \
    XX(FS_ERR_INVALID, -2, "invalid argument")                                                                         \
    XX(FS_ERR_LIMIT, -3, "a configured limit was reached")                                                             \
    XX(FS_ERR_NOT_FOUND, -4, "no such flow")                                                                           \
    XX(FS_ERR_WRITE, -5, "the output cannot be written")

enum fs_error {
#define FS_ERROR_ENUM(symbol, value, text) symbol = value,
    FS_ERROR_MAP(FS_ERROR_ENUM)
#undef FS_ERROR_ENUM
};

/** The English text of an error code; "unknown error" for any other number. Never NULL; static storage. */
const char *fs_strerror(int error);

#ifdef __cplusplus
}
#endif
#endif
