/* SPDX-License-Identifier: MIT */
/* Written from RFC 1321; the names of variables are its own. */
#include "digest.h"

#include "bytes.h"

static const uint8_t shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

/* T[i] = floor(2^32 * |sin(i + 1)|) */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

static uint32_t rotate(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

/* Of step i of 64: which word of the block, and the function of its round. */
static uint32_t mixed(unsigned i, uint32_t b, uint32_t c, uint32_t d, unsigned *word) {
    switch (i / 16) {
    case 0:
        *word = i;
        return (b & c) | (~b & d);
    case 1:
        *word = (5 * i + 1) % 16;
        return (b & d) | (c & ~d);
    case 2:
        *word = (3 * i + 5) % 16;
        return b ^ c ^ d;
    default:
        *word = 7 * i % 16;
        return c ^ (b | ~d);
    }
}

static void transform(uint32_t state[4], const uint8_t *block) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (unsigned i = 0; i < 64; i++) {
        unsigned word;
        uint32_t f = mixed(i, b, c, d, &word) + a + sines[i] + fs__le32(block + (size_t)4 * word);
        a = d;
        d = c;
        c = b;
        b += rotate(f, shifts[i / 16][i % 4]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

void fs__md5_init(struct fs__md5 *md5) {
    *md5 = (struct fs__md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void fs__md5_update(struct fs__md5 *md5, const void *data, size_t length) {
    const uint8_t *from = data;
    size_t used = md5->length % FS__DIGEST_BLOCK;
    md5->length += length;
    while (length) {
        size_t part = FS__DIGEST_BLOCK - used < length ? FS__DIGEST_BLOCK - used : length;
        memcpy(md5->block + used, from, part);
        from += part;
        length -= part;
        used += part;
        if (used == FS__DIGEST_BLOCK) {
            transform(md5->state, md5->block);
            used = 0;
        }
    }
}

void fs__md5_final(struct fs__md5 *md5, uint8_t digest[FS__MD5_SIZE]) {
    static const uint8_t padding[FS__DIGEST_BLOCK] = {0x80};
    uint8_t bits[8];
    for (unsigned i = 0; i < 8; i++)
        bits[i] = (uint8_t)(md5->length * 8 >> 8 * i);
    size_t used = md5->length % FS__DIGEST_BLOCK;
    fs__md5_update(md5, padding, used < 56 ? 56 - used : 120 - used);
    fs__md5_update(md5, bits, sizeof bits);
    for (unsigned i = 0; i < FS__MD5_SIZE; i++)
        digest[i] = (uint8_t)(md5->state[i / 4] >> 8 * (i % 4));
}

void fs__digest_hex(const uint8_t *digest, size_t bytes, char *text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[2 * bytes] = '\0';
}
