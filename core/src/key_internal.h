/* SPDX-License-Identifier: MIT */
/* Hash and comparison of keys, inlined where packets are looked up. */
#ifndef FS_KEY_INTERNAL_H
#define FS_KEY_INTERNAL_H

#include "flowscope/key.h"

#include <stddef.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(struct fs_key) == 44 && offsetof(struct fs_key, port) == 32 &&
                   offsetof(struct fs_key, domain) == 36 && offsetof(struct fs_key, protocol) == 40 &&
                   offsetof(struct fs_key, requester) == 43,
               "read and written as words: no padding");

/* A key is read as five words and a half, and written so where packets are decoded: a processor that reads back what it
 * has just written waits until all of it is in the cache, unless one write has all that the read asks for. */
static inline uint64_t fs__word(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t fs__half_word(const unsigned char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The words of `key` from its ports on. */
static inline void fs__key_put_rest(struct fs_key *key, uint16_t port0, uint16_t port1, uint32_t domain,
                                    uint8_t protocol, uint8_t family, uint8_t kind) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t word = port0 | (uint64_t)port1 << 16 | (uint64_t)domain << 32;
    uint32_t last = protocol | (uint32_t)family << 8 | (uint32_t)kind << 16;
    memcpy(key->port, &word, sizeof word);
    memcpy(&key->protocol, &last, sizeof last);
#else
    key->port[0] = port0;
    key->port[1] = port1;
    key->domain = domain;
    key->protocol = protocol;
    key->family = family;
    key->kind = kind;
    key->requester = 0;
#endif
}

/* What a seed makes of the hash's constants: XXH3's, as its documentation prints them. */
struct fs__key_secret {
    uint64_t word[6];
};

static inline struct fs__key_secret fs__key_secret_of(uint64_t seed) {
    struct fs__key_secret secret = {{0xbe4ba423396cfeb8 + seed, 0x1cad21f72c81017c - seed, 0xdb979083e96dd4de + seed,
                                     0x1f67b3b7a4a44072 - seed, 0x78e5c0cc4ee679cb + seed, 0x2172ffcc7dd05a82 - seed}};
    return secret;
}

/* Mixed as XXH3 mixes short input: with half of its instructions, because the length is known. */
static inline uint64_t fs__key_secret_hash(const struct fs_key *key, const struct fs__key_secret *secret) {
    const unsigned char *at = (const unsigned char *)key;
    const uint64_t *with = secret->word;
    uint64_t sum = XXH3_mul128_fold64(fs__word(at) ^ with[0], fs__word(at + 8) ^ with[1]);
    sum += XXH3_mul128_fold64(fs__word(at + 16) ^ with[2], fs__word(at + 24) ^ with[3]);
    sum += XXH3_mul128_fold64(fs__word(at + 32) ^ with[4], fs__half_word(at + 40) ^ with[5]);
    sum ^= sum >> 37;
    sum *= 0x165667919e3779f9;
    return sum ^ sum >> 32;
}

static inline uint64_t fs__key_hash(const struct fs_key *key, uint64_t seed) {
    struct fs__key_secret secret = fs__key_secret_of(seed);
    return fs__key_secret_hash(key, &secret);
}

/* Without a branch between them. */
static inline bool fs__key_equal(const struct fs_key *a, const struct fs_key *b) {
    const unsigned char *x = (const unsigned char *)a;
    const unsigned char *y = (const unsigned char *)b;
    uint64_t different = fs__word(x) ^ fs__word(y);
    different |= fs__word(x + 8) ^ fs__word(y + 8);
    different |= fs__word(x + 16) ^ fs__word(y + 16);
    different |= fs__word(x + 24) ^ fs__word(y + 24);
    different |= fs__word(x + 32) ^ fs__word(y + 32);
    different |= fs__half_word(x + 40) ^ fs__half_word(y + 40);
    return different == 0;
}

#endif
