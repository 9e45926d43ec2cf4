/* SPDX-License-Identifier: MIT */
#include "flowscope/error.h"

const char *fs_strerror(int error) {
    switch (error) {
#define TEXT(symbol, value, text)                                                                                      \
    case symbol:                                                                                                       \
        return text;
        FS_ERROR_MAP(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}
