/* SPDX-License-Identifier: MIT */
/* MD5 (RFC 1321) and SHA-256 (FIPS 180-4): fingerprints are defined by them. Nothing secret depends on them here. */
#ifndef FS_DIGEST_H
#define FS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { FS__MD5_SIZE = 16, FS__SHA256_SIZE = 32, FS__DIGEST_BLOCK = 64 };

struct fs__md5 {
    uint32_t state[4];
    uint64_t length; /* bytes so far */
    uint8_t block[FS__DIGEST_BLOCK];
};

void fs__md5_init(struct fs__md5 *md5);
void fs__md5_update(struct fs__md5 *md5, const void *data, size_t length);
void fs__md5_final(struct fs__md5 *md5, uint8_t digest[FS__MD5_SIZE]);

struct fs__sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[FS__DIGEST_BLOCK];
};

void fs__sha256_init(struct fs__sha256 *sha);
void fs__sha256_update(struct fs__sha256 *sha, const void *data, size_t length);
void fs__sha256_final(struct fs__sha256 *sha, uint8_t digest[FS__SHA256_SIZE]);

/* The first `bytes` of a digest as lower-case hexadecimal, NUL-terminated: 2 * bytes + 1 characters. */
void fs__digest_hex(const uint8_t *digest, size_t bytes, char *text);

#endif
