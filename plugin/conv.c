/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conv.h"

#include "store.h"
#include "tap.h"
#include "text.h"

static const char *filter_of(const address *addr, conv_filter_type_e what) {
    bool ipv6 = addr->type == AT_IPv6;
    bool mac = addr->type == AT_ETHER;
    switch (what) {
    case CONV_FT_SRC_ADDRESS:
        return mac ? "eth.src" : ipv6 ? "ipv6.src" : "ip.src";
    case CONV_FT_DST_ADDRESS:
        return mac ? "eth.dst" : ipv6 ? "ipv6.dst" : "ip.dst";
    case CONV_FT_ANY_ADDRESS:
        return mac ? "eth.addr" : ipv6 ? "ipv6.addr" : "ip.addr";
    default:
        return CONV_FILTER_INVALID;
    }
}

static const char *port_filter(bool tcp, conv_filter_type_e what) {
    switch (what) {
    case CONV_FT_SRC_PORT:
        return tcp ? "tcp.srcport" : "udp.srcport";
    case CONV_FT_DST_PORT:
        return tcp ? "tcp.dstport" : "udp.dstport";
    case CONV_FT_ANY_PORT:
        return tcp ? "tcp.port" : "udp.port";
    default:
        return CONV_FILTER_INVALID;
    }
}

static const char *conversation_filter(conv_item_t *item, conv_filter_type_e what) {
    if (item->ctype == CONVERSATION_TCP || item->ctype == CONVERSATION_UDP) {
        const char *port = port_filter(item->ctype == CONVERSATION_TCP, what);
        if (strcmp(port, CONV_FILTER_INVALID) != 0)
            return port;
    }
    return filter_of(&item->src_address, what);
}

static const char *endpoint_filter(endpoint_item_t *item, conv_filter_type_e what) {
    return filter_of(&item->myaddress, what);
}

static ct_dissector_info_t conversation_info = {conversation_filter};
static et_dissector_info_t endpoint_info = {endpoint_filter};

struct ends {
    address addr[2];
    uint32_t port[2];
    conversation_type type;
};

/* From our record: pinfo has the innermost addresses of the frame by now. */
static void ends_of(const struct fs_flow_info *info, struct ends *ends) {
    for (unsigned side = 0; side < 2; side++) {
        const uint8_t *bytes = info->key.address[fs_endpoint(info, side)];
        if (info->key.family == FS_FAMILY_IPV4)
            set_address(&ends->addr[side], AT_IPv4, 4, bytes);
        else if (info->key.family == FS_FAMILY_IPV6)
            set_address(&ends->addr[side], AT_IPv6, 16, bytes);
        else
            set_address(&ends->addr[side], AT_ETHER, 6, bytes);
        ends->port[side] = fs_text_has_ports(info) ? fs_flow_port(info, side) : 0;
    }
    ends->type = CONVERSATION_NONE;
    if (info->key.kind == FS_KEY_5TUPLE && info->key.protocol == FS_PROTO_TCP)
        ends->type = CONVERSATION_TCP;
    else if (info->key.kind == FS_KEY_5TUPLE && info->key.protocol == FS_PROTO_UDP)
        ends->type = CONVERSATION_UDP;
    else if (info->key.kind == FS_KEY_5TUPLE && info->key.protocol == FS_PROTO_SCTP)
        ends->type = CONVERSATION_SCTP;
}

static tap_packet_status conversation_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                                             const void *record, tap_flags_t flags) {
    conv_hash_t *hash = data;
    const struct fs_tap_packet *packet = record;
    struct fs_flow_info info;
    struct ends ends;
    hash->flags = flags;
    if (!fs_store_flow(packet->record->flow, &info))
        return TAP_PACKET_DONT_REDRAW;
    ends_of(&info, &ends);
    unsigned from = fs_record_side(packet->record);
    add_conversation_table_data_with_conv_id(
        hash, &ends.addr[from], &ends.addr[!from], ends.port[from], ends.port[!from], (conv_id_t)packet->record->flow,
        1, (int)packet->wire_bytes, &pinfo->rel_ts, &pinfo->abs_ts, &conversation_info, ends.type);
    return TAP_PACKET_REDRAW;
}

static tap_packet_status endpoint_packet(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                                         const void *record, tap_flags_t flags) {
    conv_hash_t *hash = data;
    const struct fs_tap_packet *packet = record;
    struct fs_flow_info info;
    struct ends ends;
    hash->flags = flags;
    if (!fs_store_flow(packet->record->flow, &info))
        return TAP_PACKET_DONT_REDRAW;
    ends_of(&info, &ends);
    unsigned from = fs_record_side(packet->record);
    add_endpoint_table_data(hash, &ends.addr[from], ends.port[from], TRUE, 1, (int)packet->wire_bytes, &endpoint_info,
                            (endpoint_type)ends.type);
    add_endpoint_table_data(hash, &ends.addr[!from], ends.port[!from], FALSE, 1, (int)packet->wire_bytes,
                            &endpoint_info, (endpoint_type)ends.type);
    return TAP_PACKET_REDRAW;
}

/* ---- conversation filter: the innermost flow of the frame ---- */

static const struct fs_record *innermost(const packet_info *pinfo) {
    const struct fs_record *last = NULL;
    const struct fs_record *record = fs_store_record(pinfo->num, 0);
    for (unsigned n = 0; record; record = fs_store_next(pinfo->num, n++, record))
        last = record;
    return last;
}

static fs_bool filter_is_valid(FS_FILTER_ARGUMENTS) {
    return innermost(pinfo) != NULL;
}

static char *filter_build(FS_FILTER_ARGUMENTS) {
    const struct fs_record *record = innermost(pinfo);
    return record ? g_strdup_printf("flowscope.flow == %u", record->flow) : NULL;
}

void fs_conv_register(int proto) {
    register_conversation_table(proto, FALSE, conversation_packet, endpoint_packet);
    FS_REGISTER_FILTER("flowscope", "Flowscope flow", filter_is_valid, filter_build);
}
