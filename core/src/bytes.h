/* SPDX-License-Identifier: MIT */
/* Numbers in network and little-endian order, from and to any address. */
#ifndef FS_BYTES_H
#define FS_BYTES_H

#include <stdint.h>
#include <string.h>

/* Compilers make one load of the byte-wise form only as long as no arithmetic is near: extract takes 18 ns with it and
 * 11 without. */
#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

static inline uint16_t fs__be16(const uint8_t *p) {
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return __builtin_bswap16(value);
}

static inline uint32_t fs__be32(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t fs__be64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return __builtin_bswap64(value);
}

static inline void fs__put_be64(uint8_t *p, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(p, &value, sizeof value);
}

/* Four bytes, and as many zeros after them, in one write. */
static inline void fs__put_first_half(uint8_t *p, const uint8_t *half) {
    uint32_t value;
    memcpy(&value, half, sizeof value);
    uint64_t word = value;
    memcpy(p, &word, sizeof word);
}

#else

static inline void fs__put_first_half(uint8_t *p, const uint8_t *half) {
    memcpy(p, half, 4);
    memset(p + 4, 0, 4);
}

static inline uint16_t fs__be16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t fs__be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t fs__be64(const uint8_t *p) {
    return (uint64_t)fs__be32(p) << 32 | fs__be32(p + 4);
}

static inline void fs__put_be64(uint8_t *p, uint64_t value) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (56 - 8 * i));
}

#endif

static inline uint32_t fs__be24(const uint8_t *p) {
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint16_t fs__le16(const uint8_t *p) {
    return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t fs__le32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

#endif
