/* SPDX-License-Identifier: MIT */
#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t fs__base64(const uint8_t *data, size_t size, char *text) {
    char *out = text;
    for (size_t at = 0; at < size; at += 3) {
        size_t left = size - at;
        uint32_t group = (uint32_t)data[at] << 16;
        group |= left > 1 ? (uint32_t)data[at + 1] << 8 : 0;
        group |= left > 2 ? data[at + 2] : 0;
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 0x3f];
        *out++ = left > 1 ? alphabet[group >> 6 & 0x3f] : '=';
        *out++ = left > 2 ? alphabet[group & 0x3f] : '=';
    }
    return (size_t)(out - text);
}
