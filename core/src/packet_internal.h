/* SPDX-License-Identifier: MIT */
/* fs_tcp_parse() to be inlined where frames are decoded. */
#ifndef FS_PACKET_INTERNAL_H
#define FS_PACKET_INTERNAL_H

#include "bytes.h"
#include "flowscope/packet.h"
#include "hints.h"

enum {
    FS__TCP_HEADER = 20, /* without options */
    /* NOP, NOP, timestamp of ten bytes, as every stack pads it (RFC 7323, appendix A) */
    FS__TCP_PADDED_TIMESTAMP = 0x0101080a
};

/* `length` bytes of options by the header, of which `captured` are there, if that is less. */
void fs__tcp_options(struct fs_tcp *tcp, const uint8_t *options, uint32_t length, uint32_t captured);

static FS__INLINE uint32_t fs__tcp_parse(struct fs_tcp *tcp, const uint8_t *header, uint32_t length) {
    tcp->seq = fs__be32(header + 4);
    tcp->ack = fs__be32(header + 8);
    uint32_t length_and_flags = fs__be16(header + 12);
    tcp->flags = length_and_flags & 0x1ff;
    tcp->window = fs__be16(header + 14);
    tcp->urgent = fs__be16(header + 18);
    tcp->mss = 0;
    tcp->options = 0;
    tcp->window_scale = 0;
    tcp->sack_count = 0;
    tcp->reserved = 0;
    tcp->ts_value = 0;
    tcp->ts_echo = 0;
    uint32_t header_length = (length_and_flags >> 12) * 4;
    if (header_length <= FS__TCP_HEADER)
        return header_length < FS__TCP_HEADER ? 0 : header_length;
    const uint8_t *options = header + FS__TCP_HEADER;
    if (header_length == 32 && length >= 32 && fs__be32(options) == FS__TCP_PADDED_TIMESTAMP) {
        tcp->options = FS_TCP_OPT_TIMESTAMP;
        tcp->ts_value = fs__be32(options + 4);
        tcp->ts_echo = fs__be32(options + 8);
        return header_length;
    }
    fs__tcp_options(tcp, options, header_length - FS__TCP_HEADER, length - FS__TCP_HEADER);
    return header_length;
}

#endif
