/* SPDX-License-Identifier: MIT */
/* Compiled for processors with the vectors of its name; see CMakeLists.txt. */
#include "dedup_hash.h"

uint64_t fs__hash_avx512(const void *bytes, size_t length, const uint8_t *secret, uint64_t seed) {
    return fs__hash_any(bytes, length, secret, seed);
}
