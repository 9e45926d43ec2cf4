/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conv.h"

#include "store.h"
#include "tap.h"

/* ---- fields for filters made of a row ---- */

static const char *address_field(const address *addr, conv_filter_type_e what) {
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

/* One function a protocol: the row does not say which it is (see conversation_packet()). */
#define PORT_FIELDS(protocol)                                                                                          \
    static const char *protocol##_conversation_field(conv_item_t *item, conv_filter_type_e what) {                     \
        switch (what) {                                                                                                \
        case CONV_FT_SRC_PORT:                                                                                         \
            return #protocol ".srcport";                                                                               \
        case CONV_FT_DST_PORT:                                                                                         \
            return #protocol ".dstport";                                                                               \
        case CONV_FT_ANY_PORT:                                                                                         \
            return #protocol ".port";                                                                                  \
        default:                                                                                                       \
            return address_field(&item->src_address, what);                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static const char *protocol##_endpoint_field(endpoint_item_t *item, conv_filter_type_e what) {                     \
        switch (what) {                                                                                                \
        case CONV_FT_SRC_PORT:                                                                                         \
            return #protocol ".srcport";                                                                               \
        case CONV_FT_DST_PORT:                                                                                         \
            return #protocol ".dstport";                                                                               \
        case CONV_FT_ANY_PORT:                                                                                         \
            return #protocol ".port";                                                                                  \
        default:                                                                                                       \
            return address_field(&item->myaddress, what);                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    static ct_dissector_info_t protocol##_conversation = {protocol##_conversation_field};                              \
    static et_dissector_info_t protocol##_endpoint = {protocol##_endpoint_field};
PORT_FIELDS(tcp)
PORT_FIELDS(udp)
PORT_FIELDS(sctp)
PORT_FIELDS(dccp)

static const char *plain_conversation_field(conv_item_t *item, conv_filter_type_e what) {
    return address_field(&item->src_address, what);
}

static const char *plain_endpoint_field(endpoint_item_t *item, conv_filter_type_e what) {
    return address_field(&item->myaddress, what);
}

static ct_dissector_info_t plain_conversation = {plain_conversation_field};
static et_dissector_info_t plain_endpoint = {plain_endpoint_field};

/* ---- rows ---- */

/* From our record: pinfo has the innermost addresses of the frame by now. */
struct ends {
    address addr[2]; /* source and destination of the packet */
    uint32_t port[2];
    bool ports;
    conversation_type type; /* of an endpoint */
    ct_dissector_info_t *conversation;
    et_dissector_info_t *endpoint;
};

static void set_end(struct ends *ends, unsigned at, const struct fs_key *key, unsigned endpoint, bool ports) {
    const uint8_t *bytes = key->address[endpoint];
    if (key->family == FS_FAMILY_IPV4)
        set_address(&ends->addr[at], AT_IPv4, 4, bytes);
    else if (key->family == FS_FAMILY_IPV6)
        set_address(&ends->addr[at], AT_IPv6, 16, bytes);
    else
        set_address(&ends->addr[at], AT_ETHER, 6, bytes);
    ends->port[at] = ports ? key->port[endpoint] : 0;
}

static void ends_of(const struct fs_packet *packet, struct ends *ends) {
    const struct fs_key *key = &packet->key;
    ends->ports = true;
    ends->type = CONVERSATION_NONE;
    ends->conversation = &plain_conversation;
    ends->endpoint = &plain_endpoint;
    switch (key->protocol) {
    case FS_PROTO_TCP:
        ends->conversation = &tcp_conversation;
        ends->endpoint = &tcp_endpoint;
        ends->type = CONVERSATION_TCP;
        break;
    case FS_PROTO_UDP:
    case FS_PROTO_UDPLITE: /* its dissector uses the same fields */
        ends->conversation = &udp_conversation;
        ends->endpoint = &udp_endpoint;
        ends->type = CONVERSATION_UDP;
        break;
    case FS_PROTO_SCTP:
        ends->conversation = &sctp_conversation;
        ends->endpoint = &sctp_endpoint;
        ends->type = CONVERSATION_SCTP;
        break;
    case FS_PROTO_DCCP:
        ends->conversation = &dccp_conversation;
        ends->endpoint = &dccp_endpoint;
        ends->type = CONVERSATION_DCCP;
        break;
    default:
        ends->ports = false;
    }
    set_end(ends, 0, key, packet->orientation, ends->ports);
    set_end(ends, 1, key, !packet->orientation, ends->ports);
}

/* The row's number is the flow's. The dialog takes the number of a row of type TCP or UDP for a stream of Wireshark's,
 * and would follow or graph some other connection. A type with ports that it follows nothing of serves all. */
static tap_packet_status conversation_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                                             const void *record, tap_flags_t flags) {
    conv_hash_t *hash = data;
    const struct fs_seen *seen = record;
    struct ends ends;
    hash->flags = flags;
    if (!seen->packet)
        return TAP_PACKET_DONT_REDRAW;
    ends_of(seen->packet, &ends);
    add_conversation_table_data_with_conv_id(hash, &ends.addr[0], &ends.addr[1], ends.port[0], ends.port[1],
                                             (conv_id_t)seen->record.flow, 1, (int)pinfo->fd->pkt_len, &pinfo->rel_ts,
                                             &pinfo->abs_ts, ends.conversation,
                                             ends.ports ? CONVERSATION_SCTP : CONVERSATION_NONE);
    return TAP_PACKET_REDRAW;
}

static tap_packet_status endpoint_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                         tap_flags_t flags) {
    conv_hash_t *hash = data;
    const struct fs_seen *seen = record;
    struct ends ends;
    hash->flags = flags;
    if (!seen->packet)
        return TAP_PACKET_DONT_REDRAW;
    ends_of(seen->packet, &ends);
    for (unsigned at = 0; at < 2; at++)
        add_endpoint_table_data(hash, &ends.addr[at], ends.port[at], at == 0, 1, (int)pinfo->fd->pkt_len, ends.endpoint,
                                (endpoint_type)ends.type);
    return TAP_PACKET_REDRAW;
}

/* ---- conversation filter: the innermost flow of the frame ---- */

static fs_bool filter_is_valid(FS_FILTER_ARGUMENTS) {
    return fs_store_innermost(pinfo->num) != NULL;
}

static char *filter_build(FS_FILTER_ARGUMENTS) {
    const struct fs_record *record = fs_store_innermost(pinfo->num);
    return record ? g_strdup_printf("flowscope.flow == %u", record->flow) : NULL;
}

void fs_conv_register(int proto) {
    register_conversation_table(proto, FALSE, conversation_packet, endpoint_packet);
    FS_REGISTER_FILTER("flowscope", "Flowscope flow", filter_is_valid, filter_build);
}
