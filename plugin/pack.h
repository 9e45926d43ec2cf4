/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ended flows in little memory: most bytes of a snapshot are zero, and are left out. */
#ifndef FS_PLUGIN_PACK_H
#define FS_PLUGIN_PACK_H

#include "flowscope/flow.h"
#include "flowscope/packet.h"
#include "flowscope/reassembler.h"

/* All that is known of a flow. */
struct fs_flow_facts {
    struct fs_flow_info info;
    struct fs_stream_info stream[2]; /* zero where there was none */
    bool has_stream[2];
    uint16_t vlan[FS_VLAN_MAX]; /* fs_packet.vlan of its first packet */
};

/* A packed copy, to be freed with g_free(): about 150 bytes for TCP and 100 otherwise, instead of sizeof *facts. */
void *fs_pack(const struct fs_flow_facts *facts);
void fs_unpack(const void *packed, struct fs_flow_facts *facts);

#endif
