/* SPDX-License-Identifier: MIT */
/* SHA-1 (FIPS 180-4) of short messages. Not for anything that has to be secure: Community ID asks for it. */
#ifndef FS_SHA1_H
#define FS_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { FS__SHA1_SIZE = 20 };

void fs__sha1(const void *data, size_t size, uint8_t digest[FS__SHA1_SIZE]);

#endif
