/* SPDX-License-Identifier: MIT */
/* Any bytes as a frame of any link type: no read out of bounds, and every descriptor keeps what extract.h promises. */
#include "flowscope/extract.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t linktypes[] = {
    FS_LINK_ETHERNET,  FS_LINK_RAW,  FS_LINK_LINUX_SLL, FS_LINK_LINUX_SLL2, FS_LINK_NULL,
    FS_LINK_LOOP,      FS_LINK_PPP,  FS_LINK_PPPOE,     FS_LINK_IEEE802_11, FS_LINK_IEEE802_11_RADIOTAP,
    FS_LINK_IPV4,      FS_LINK_IPV6, FS_LINK_PPP_HDLC,  147,
};

static void require(int condition) {
    if (!condition)
        abort();
}

static void check_packet(const struct fs_packet *packet, const struct fs_frame *frame, const uint8_t *end) {
    require(packet->payload_captured <= packet->payload_len);
    require((packet->payload != NULL) == (packet->payload_captured != 0));
    if (packet->payload)
        require(packet->payload >= frame->data && packet->payload + packet->payload_captured <= end);
    require(packet->orientation <= FS_REVERSE);
    require(packet->key.kind < FS_KEY_KIND_COUNT && packet->key.family < FS_FAMILY_COUNT && packet->key.reserved == 0);
    require(packet->wire_len >= frame->captured);
    require(memcmp(packet->key.address[0], packet->key.address[1], 16) <= 0);
    if (packet->flags & FS_PACKET_HAS_TCP)
        require(packet->tcp.sack_count <= FS_SACK_MAX && packet->tcp.window_scale <= 14);
    require(fs_shard_of(&packet->key, 7) < 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || size > 65536)
        return 0;
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    config.key = (enum fs_key_kind)(data[1] % FS_KEY_KIND_COUNT);
    config.domain = data[1] >> 2 & 7;
    config.tunnels = data[1] & 0x20 ? 0 : FS_TUNNEL_ALL;
    config.non_ip = !(data[1] & 0x40);
    size_t captured = size - 4;
    uint8_t *copy = malloc(captured ? captured : 1); /* of exactly this size, so that a sanitizer sees every slip */
    if (!copy)
        return 0;
    memcpy(copy, data + 4, captured);
    struct fs_frame frame = {.data = copy,
                             .captured = (uint32_t)captured,
                             .wire_len = (uint32_t)captured + data[2] * 16U,
                             .linktype = linktypes[data[0] % (sizeof linktypes / sizeof linktypes[0])],
                             .number = 1,
                             .interface = data[3],
                             .time_ns = 1};
    struct fs_packet packets[FS_EXTRACT_MAX];
    memset(packets, 0xa5, sizeof packets);
    int count = fs_extract(&config, &frame, packets);
    require(count > -FS_REJECT_COUNT && count != 0 && count <= FS_EXTRACT_MAX);
    for (int i = 0; i < count; i++)
        check_packet(&packets[i], &frame, copy + captured);
    free(copy);
    return 0;
}
