/* SPDX-License-Identifier: MIT */
/* Numbers in network and little-endian order, from any address. */
#ifndef FS_BYTES_H
#define FS_BYTES_H

#include <stdint.h>

static inline uint16_t fs__be16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t fs__be24(const uint8_t *p) {
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t fs__be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t fs__be64(const uint8_t *p) {
    return (uint64_t)fs__be32(p) << 32 | fs__be32(p + 4);
}

static inline void fs__put_be64(uint8_t *p, uint64_t value) {
    p[0] = (uint8_t)(value >> 56);
    p[1] = (uint8_t)(value >> 48);
    p[2] = (uint8_t)(value >> 40);
    p[3] = (uint8_t)(value >> 32);
    p[4] = (uint8_t)(value >> 24);
    p[5] = (uint8_t)(value >> 16);
    p[6] = (uint8_t)(value >> 8);
    p[7] = (uint8_t)value;
}

static inline uint16_t fs__le16(const uint8_t *p) {
    return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t fs__le32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

#endif
