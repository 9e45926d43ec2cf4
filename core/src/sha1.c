/* SPDX-License-Identifier: MIT */
#include "sha1.h"

#include "bytes.h"

#include <string.h>

enum { BLOCK = 64, ROUNDS = 80, LENGTH_AT = BLOCK - 8 };

static uint32_t rotate(uint32_t word, unsigned by) {
    return word << by | word >> (32 - by);
}

/* FIPS 180-4, 4.1.1 and 4.2.1 */
static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d) {
    if (round < 20)
        return ((b & c) ^ (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void take_block(uint32_t state[5], const uint8_t block[BLOCK]) {
    uint32_t words[ROUNDS];
    for (unsigned i = 0; i < 16; i++)
        words[i] = fs__be32(block + (size_t)4 * i);
    for (unsigned i = 16; i < ROUNDS; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void fs__sha1(const void *data, size_t size, uint8_t digest[FS__SHA1_SIZE]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const uint8_t *at = data;
    size_t left = size;
    for (; left >= BLOCK; left -= BLOCK, at += BLOCK)
        take_block(state, at);
    uint8_t last[BLOCK] = {0};
    if (left)
        memcpy(last, at, left);
    last[left] = 0x80;
    if (left >= LENGTH_AT) {
        take_block(state, last);
        memset(last, 0, sizeof last);
    }
    fs__put_be64(last + LENGTH_AT, (uint64_t)size * 8);
    take_block(state, last);
    for (size_t i = 0; i < FS__SHA1_SIZE; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
