/* SPDX-License-Identifier: MIT */
#include "flowscope/packet.h"

#include "packet_internal.h"

enum {
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WINDOW_SCALE = 3,
    KIND_SACK_PERMITTED = 4,
    KIND_SACK = 5,
    KIND_TIMESTAMP = 8,
    KIND_FAST_OPEN = 34,
    WINDOW_SCALE_MAXIMUM = 14 /* RFC 7323, 2.3 */
};

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
        if (length != 10)
            return false;
        tcp->options |= FS_TCP_OPT_TIMESTAMP;
        tcp->ts_value = fs__be32(option + 2);
        tcp->ts_echo = fs__be32(option + 6);
        return true;
    case KIND_FAST_OPEN:
        tcp->options |= FS_TCP_OPT_FAST_OPEN;
        return true;
    default:
        return true;
    }
}

void fs__tcp_options(struct fs_tcp *tcp, const uint8_t *options, uint32_t length, uint32_t captured) {
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
    return fs__tcp_parse(tcp, header, length);
}
