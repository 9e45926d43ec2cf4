/* SPDX-License-Identifier: MIT */
/* Base64 with padding (RFC 4648, 4). */
#ifndef FS_BASE64_H
#define FS_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters for `size` bytes, without a NUL. */
#define FS__BASE64_LENGTH(size) (((size) + 2) / 3 * 4)

/* Returns the number of characters written. No NUL is added. */
size_t fs__base64(const uint8_t *data, size_t size, char *text);

#endif
