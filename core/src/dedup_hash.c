/* SPDX-License-Identifier: MIT */
#include "dedup_hash.h"

#include <string.h>

uint64_t fs__hash_base(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed) {
    return fs__hash_any(bytes, length, secret, seed);
}

static fs__hash_function *best_function(void) {
#if defined(FS_HASH_DISPATCH)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return fs__hash_avx512;
    if (__builtin_cpu_supports("avx2"))
        return fs__hash_avx2;
#endif
    return fs__hash_base;
}

void fs__hasher_init(struct fs__hasher *hasher, uint64_t seed) {
    memset(hasher, 0, sizeof *hasher);
    hasher->seed = seed;
    hasher->long_hash = best_function();
#if XXH_VERSION_NUMBER >= 801
    XXH3_generateSecret_fromSeed(hasher->secret, seed);
#endif
}
