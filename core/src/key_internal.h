/* SPDX-License-Identifier: MIT */
/* Hash and comparison of keys, inlined where packets are looked up. */
#ifndef FS_KEY_INTERNAL_H
#define FS_KEY_INTERNAL_H

#include "flowscope/key.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(struct fs_key) == 44, "compared and hashed as bytes: no padding");

static inline uint64_t fs__key_hash(const struct fs_key *key, uint64_t seed) {
    return XXH3_64bits_withSeed(key, sizeof *key, seed);
}

static inline uint64_t fs__word(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Five words and a half, without a branch between them. */
static inline bool fs__key_equal(const struct fs_key *a, const struct fs_key *b) {
    const unsigned char *x = (const unsigned char *)a;
    const unsigned char *y = (const unsigned char *)b;
    uint64_t different = fs__word(x) ^ fs__word(y);
    different |= fs__word(x + 8) ^ fs__word(y + 8);
    different |= fs__word(x + 16) ^ fs__word(y + 16);
    different |= fs__word(x + 24) ^ fs__word(y + 24);
    different |= fs__word(x + 32) ^ fs__word(y + 32);
    different |= fs__word(x + 36) ^ fs__word(y + 36);
    return different == 0;
}

#endif
