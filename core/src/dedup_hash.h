/* SPDX-License-Identifier: MIT */
/* XXH3-64 with a secret of its own, by the widest vectors that the processor has. All variants give the same number. */
#ifndef FS_DEDUP_HASH_H
#define FS_DEDUP_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    FS__SECRET_SIZE = XXH3_SECRET_SIZE_MIN > 192 ? XXH3_SECRET_SIZE_MIN : 192,
    FS__HASH_SHORT = 240 /* up to here XXH3 uses no vectors */
};

typedef uint64_t fs__hash_function(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed);

struct fs__hasher {
    uint64_t seed;
    fs__hash_function *long_hash; /* for more than FS__HASH_SHORT bytes */
    uint8_t secret[FS__SECRET_SIZE];
};

void fs__hasher_init(struct fs__hasher *hasher, uint64_t seed);

/* The same on every processor, each in a file that is compiled for it. */
uint64_t fs__hash_base(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed);
uint64_t fs__hash_avx2(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed);
uint64_t fs__hash_avx512(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed);

/* The secret is made of the seed once: XXH3_64bits_withSeed() does so at each call for long inputs. */
static inline uint64_t fs__hash_any(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed) {
#if XXH_VERSION_NUMBER >= 801
    return XXH3_64bits_withSecretandSeed(bytes, length, secret, FS__SECRET_SIZE, seed);
#else
    (void)secret;
    return XXH3_64bits_withSeed(bytes, length, seed);
#endif
}

static inline uint64_t fs__hash(const struct fs__hasher *hasher, const void *bytes, size_t length) {
    if (length <= FS__HASH_SHORT)
        return XXH3_64bits_withSeed(bytes, length, hasher->seed);
    return hasher->long_hash(bytes, length, hasher->secret, hasher->seed);
}

/* A short one under another seed. */
static inline uint64_t fs__hash_short(const struct fs__hasher *hasher, const void *bytes, size_t length,
                                      uint64_t variant) {
    return XXH3_64bits_withSeed(bytes, length, hasher->seed ^ variant);
}

#endif
