/* SPDX-License-Identifier: MIT */
#include "flowscope/packet.h"

#include "bytes.h"

enum {
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WINDOW_SCALE = 3,
    KIND_SACK_PERMITTED = 4,
    KIND_SACK = 5,
    KIND_TIMESTAMP = 8,
    KIND_FAST_OPEN = 34,
    HEADER_MINIMUM = 20,
    WINDOW_SCALE_MAXIMUM = 14, /* RFC 7323, 2.3 */
    TIMESTAMP_LENGTH = 10,
    /* NOP, NOP, timestamp, as every stack pads it (RFC 7323, appendix A) */
    PADDED_TIMESTAMP = KIND_NOP << 24 | KIND_NOP << 16 | KIND_TIMESTAMP << 8 | TIMESTAMP_LENGTH
};

static void take_timestamp(struct fs_tcp *tcp, const uint8_t *value) {
    tcp->options |= FS_TCP_OPT_TIMESTAMP;
    tcp->ts_value = fs__be32(value);
    tcp->ts_echo = fs__be32(value + 4);
}

static void take_sack(struct fs_tcp *tcp, const uint8_t *value, uint32_t length) {
    tcp->options |= FS_TCP_OPT_SACK;
    for (uint32_t at = 0; at + 8 <= length && tcp->sack_count < FS_SACK_MAX; at += 8) {
        tcp->sack[tcp->sack_count].left = fs__be32(value + at);
        tcp->sack[tcp->sack_count].right = fs__be32(value + at + 4);
        tcp->sack_count++;
    }
}

/* One option of `length` >= 2 bytes, kind and length included. Returns whether its length fits its kind. */
static bool take_option(struct fs_tcp *tcp, const uint8_t *option, uint32_t length) {
    switch (option[0]) {
    case KIND_MSS:
        if (length != 4)
            return false;
        tcp->options |= FS_TCP_OPT_MSS;
        tcp->mss = fs__be16(option + 2);
        return true;
    case KIND_WINDOW_SCALE:
        if (length != 3)
            return false;
        tcp->options |= FS_TCP_OPT_WINDOW_SCALE;
        tcp->window_scale = option[2] > WINDOW_SCALE_MAXIMUM ? WINDOW_SCALE_MAXIMUM : option[2];
        return true;
    case KIND_SACK_PERMITTED:
        if (length != 2)
            return false;
        tcp->options |= FS_TCP_OPT_SACK_PERMITTED;
        return true;
    case KIND_SACK:
        if (length < 10 || (length - 2) % 8)
            return false;
        take_sack(tcp, option + 2, length - 2);
        return true;
    case KIND_TIMESTAMP:
        if (length != TIMESTAMP_LENGTH)
            return false;
        take_timestamp(tcp, option + 2);
        return true;
    case KIND_FAST_OPEN:
        tcp->options |= FS_TCP_OPT_FAST_OPEN;
        return true;
    default:
        return true;
    }
}

static void parse_options(struct fs_tcp *tcp, const uint8_t *options, uint32_t length, uint32_t captured) {
    uint32_t at = 0;
    while (at < length) {
        if (at >= captured)
            break;
        uint8_t kind = options[at];
        if (kind == KIND_END)
            return;
        if (kind == KIND_NOP) {
            at++;
            continue;
        }
        if (at + 2 > captured)
            break;
        uint32_t size = options[at + 1];
        if (size < 2 || at + size > length || at + size > captured || !take_option(tcp, options + at, size))
            break;
        at += size;
    }
    if (at < length)
        tcp->options |= FS_TCP_OPT_MALFORMED;
}

uint32_t fs_tcp_parse(struct fs_tcp *tcp, const uint8_t *header, uint32_t length) {
    tcp->seq = fs__be32(header + 4);
    tcp->ack = fs__be32(header + 8);
    tcp->flags = (uint16_t)((header[12] & 1) << 8 | header[13]);
    tcp->window = fs__be16(header + 14);
    tcp->urgent = fs__be16(header + 18);
    tcp->mss = 0;
    tcp->options = 0;
    tcp->window_scale = 0;
    tcp->sack_count = 0;
    tcp->reserved = 0;
    tcp->ts_value = 0;
    tcp->ts_echo = 0;
    uint32_t header_length = (uint32_t)(header[12] >> 4) * 4;
    if (header_length <= HEADER_MINIMUM)
        return header_length < HEADER_MINIMUM ? 0 : header_length;
    const uint8_t *options = header + HEADER_MINIMUM;
    if (header_length == 32 && length >= 32 && fs__be32(options) == PADDED_TIMESTAMP)
        take_timestamp(tcp, options + 4);
    else
        parse_options(tcp, options, header_length - HEADER_MINIMUM, length - HEADER_MINIMUM);
    return header_length;
}
