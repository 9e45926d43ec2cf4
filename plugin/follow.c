/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream is put together anew from the packets that the tap brings, whose bytes are only there then: so it is the
 * same on the first pass and on later ones. A follower is not told when the packets end, so what waits for missing
 * bytes is shown at once, with the gap before it, and taken back when the next packet comes. */
#include "follow.h"

#include "prefs.h"
#include "store.h"

#include <epan/addr_resolv.h>

struct follower {
    follow_info_t *info;
    uint32_t flow;
    bool has_flow;
    uint32_t last_frame;
    unsigned records; /* that are final */
    unsigned tail;    /* that are shown for now */
    packet_info *pinfo;
    struct fs_reassembly *reassembly;
    struct fs_reassembler *side[2];
};

static GHashTable *followers; /* by follow_info_t */

/* What the user asked for last: the tap is not told. */
static struct {
    bool by_flow;
    uint32_t flow;
    int ports[2];
} wanted;

/* ---- records ---- */

static void add_record(struct follower *follower, bool is_server, GByteArray *data, uint32_t frame, uint64_t time_ns) {
    follow_info_t *info = follower->info;
    follow_record_t *record = g_new0(follow_record_t, 1);
    record->is_server = is_server;
    record->packet_num = frame ? frame : follower->pinfo->num;
    record->abs_ts.secs = (time_t)(time_ns / 1000000000);
    record->abs_ts.nsecs = (int)(time_ns % 1000000000);
    record->data = data;
    info->bytes_written[is_server] += data->len;
    info->payload = g_list_prepend(info->payload, record);
}

/* As Wireshark marks them. */
static GByteArray *gap_text(uint64_t length) {
    char text[64];
    int size = snprintf(text, sizeof text, "[%" PRIu64 " bytes missing in capture file]", length);
    return g_byte_array_append(g_byte_array_new(), (const guint8 *)text, (guint)size + 1);
}

static bool add_event(struct follower *follower, bool is_server, const struct fs_stream_event *event) {
    GByteArray *data;
    if (event->kind == FS_STREAM_DATA)
        data = g_byte_array_append(g_byte_array_new(), event->data, (guint)event->length);
    else if (event->kind == FS_STREAM_GAP)
        data = gap_text(event->length);
    else
        return false;
    add_record(follower, is_server, data, event->frame, event->time_ns);
    return true;
}

static void on_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    struct follower *follower = user;
    follower->records += add_event(follower, stream_user != NULL, event);
}

static void take_back_tail(struct follower *follower) {
    follow_info_t *info = follower->info;
    for (; follower->tail; follower->tail--) {
        follow_record_t *record = info->payload->data;
        info->bytes_written[record->is_server] -= record->data->len;
        g_byte_array_free(record->data, TRUE);
        g_free(record);
        info->payload = g_list_delete_link(info->payload, info->payload);
    }
}

struct tail {
    struct follower *follower;
    bool is_server;
};

static void add_tail(const struct fs_stream_event *event, void *user) {
    const struct tail *tail = user;
    tail->follower->tail += add_event(tail->follower, tail->is_server, event);
}

static void show_tail(struct follower *follower) {
    for (unsigned side = 0; side < 2; side++) {
        struct tail tail = {follower, side == FS_RESPONDER};
        if (follower->side[side])
            fs_reassembler_peek(follower->side[side], add_tail, &tail);
    }
}

/* ---- followers ---- */

static void clear_streams(struct follower *follower) {
    for (unsigned side = 0; side < 2; side++)
        fs_reassembler_free(follower->side[side]);
    fs_reassembly_free(follower->reassembly);
    follower->reassembly = NULL;
    follower->side[0] = follower->side[1] = NULL;
}

static void free_follower(void *data) {
    clear_streams(data);
    g_free(data);
}

static void begin(struct follower *follower) {
    struct fs_reassembly_config config;
    clear_streams(follower);
    fs_reassembly_config_defaults(&config);
    fs_prefs_configure_reassembly(&config);
    config.history = 0;
    config.on_event = on_event;
    config.user = follower;
    follower->reassembly = fs_reassembly_new(&config, NULL);
    follower->has_flow = wanted.by_flow;
    follower->flow = wanted.flow;
    follower->last_frame = 0;
    follower->records = follower->tail = 0;
}

/* The dialog clears its list and taps again; another one may have the address of one that is gone. */
static struct follower *follower_of(follow_info_t *info, uint32_t frame) {
    if (!followers)
        followers = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, free_follower);
    struct follower *follower = g_hash_table_lookup(followers, info);
    if (!follower) {
        follower = g_new0(struct follower, 1);
        follower->info = info;
        g_hash_table_insert(followers, info, follower);
        begin(follower);
    } else if (frame < follower->last_frame || (!info->payload && follower->records + follower->tail)) {
        begin(follower);
    }
    return follower;
}

void fs_follow_forget(void) {
    if (followers)
        g_hash_table_remove_all(followers);
}

/* ---- packets ---- */

static bool has_wanted_ports(const struct fs_packet *packet) {
    const uint16_t *port = packet->key.port;
    return (port[0] == wanted.ports[0] && port[1] == wanted.ports[1]) ||
           (port[0] == wanted.ports[1] && port[1] == wanted.ports[0]);
}

static bool is_followed(struct follower *follower, const struct fs_seen *seen) {
    if (!follower->has_flow && has_wanted_ports(seen->packet)) {
        follower->has_flow = true;
        follower->flow = seen->record.flow;
    }
    return follower->has_flow && follower->flow == seen->record.flow;
}

static void set_end(address *to, const struct fs_key *key, unsigned endpoint) {
    const uint8_t *bytes = key->address[endpoint];
    address shallow;
    if (key->family == FS_FAMILY_IPV4)
        set_address(&shallow, AT_IPv4, 4, bytes);
    else if (key->family == FS_FAMILY_IPV6)
        set_address(&shallow, AT_IPv6, 16, bytes);
    else
        set_address(&shallow, AT_ETHER, 6, bytes);
    copy_address(to, &shallow);
}

static void name_ends(follow_info_t *info, const struct fs_seen *seen) {
    const struct fs_packet *packet = seen->packet;
    unsigned client = packet->orientation ^ fs_record_side(&seen->record);
    if (info->client_ip.type != AT_NONE)
        return;
    info->client_port = packet->key.port[client];
    info->server_port = packet->key.port[!client];
    set_end(&info->client_ip, &packet->key, client);
    set_end(&info->server_ip, &packet->key, !client);
}

static bool make_side(struct follower *follower, unsigned side) {
    struct fs_flow_facts facts;
    if (follower->side[side])
        return true;
    follower->side[side] =
        fs_reassembler_new(follower->reassembly, follower->side[!side], side == FS_RESPONDER ? (void *)follower : NULL);
    if (follower->side[side] && fs_store_flow(follower->flow, &facts))
        fs_reassembler_begin(follower->side[side], facts.info.tcp[side].isn + 1,
                             !(facts.info.tcp[side].flags & FS_TCP_SYN));
    return follower->side[side] != NULL;
}

static void follow_segment(struct follower *follower, const struct fs_seen *seen) {
    const struct fs_packet *packet = seen->packet;
    struct fs_segment_verdict verdict;
    unsigned side = fs_record_side(&seen->record);
    if (follower->side[!side])
        fs_reassembler_acknowledge(follower->side[!side], packet);
    if ((packet->payload_len || (packet->tcp.flags & FS_TCP_FIN)) && make_side(follower, side))
        (void)fs_reassembler_segment(follower->side[side], packet, &verdict);
    bool was_reset = (packet->tcp.flags & FS_TCP_RST) && (seen->record.bits & FS_RECORD_STATE) == FS_STATE_RESET;
    for (unsigned i = 0; was_reset && i < 2; i++) {
        if (follower->side[i])
            fs_reassembler_flush(follower->side[i], FS_STREAM_RST, packet->time_ns, packet->frame);
    }
}

static void follow_datagram(struct follower *follower, const struct fs_seen *seen) {
    const struct fs_packet *packet = seen->packet;
    if (!packet->payload_captured)
        return;
    GByteArray *data = g_byte_array_append(g_byte_array_new(), packet->payload, packet->payload_captured);
    add_record(follower, fs_record_side(&seen->record) == FS_RESPONDER, data, packet->frame, packet->time_ns);
    follower->records++;
}

static bool is_in(uint32_t frame, uint32_t flow) {
    const struct fs_record *record = fs_store_record(frame, 0);
    for (unsigned n = 0; record; record = fs_store_next(frame, n, record), n++) {
        if (record->flow == flow && !(record->bits & FS_RECORD_QUOTED))
            return true;
    }
    return false;
}

/* Copies are not said twice. That of a packet of another flow (on another VLAN, if these are told apart, or in a
 * tunnel) is all that this one has. */
static bool is_copy(const struct follower *follower, uint32_t frame) {
    const struct fs_duplicate *duplicate = fs_store_duplicate(frame);
    return duplicate && duplicate->treatment == FS_DUPLICATE_MARKED &&
           (is_in(duplicate->previous, follower->flow) || is_in(duplicate->original, follower->flow));
}

static tap_packet_status follow_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                       tap_flags_t flags _U_) {
    const struct fs_seen *seen = record;
    if (!seen->packet)
        return TAP_PACKET_DONT_REDRAW;
    struct follower *follower = follower_of(data, pinfo->num);
    follower->last_frame = pinfo->num;
    follower->pinfo = pinfo;
    if (!is_followed(follower, seen) || !follower->reassembly)
        return TAP_PACKET_DONT_REDRAW;
    if (is_copy(follower, pinfo->num))
        return TAP_PACKET_DONT_REDRAW;
    name_ends(follower->info, seen);
    take_back_tail(follower);
    if (seen->packet->flags & FS_PACKET_HAS_TCP)
        follow_segment(follower, seen);
    else
        follow_datagram(follower, seen);
    show_tail(follower);
    return TAP_PACKET_REDRAW;
}

/* ---- what to follow ---- */

static char *filter_of(uint32_t flow) {
    wanted.by_flow = true;
    wanted.flow = flow;
    return g_strdup_printf("flowscope.flow == %u", flow);
}

/* The innermost flow of the frame. */
static char *conversation_filter(FS_FOLLOW_ARGUMENTS) {
    const struct fs_record *record, *last = NULL;
    for (unsigned n = 0; (record = fs_store_record(pinfo->num, n)); n++)
        last = record->bits & FS_RECORD_QUOTED ? last : record;
    if (!last)
        return NULL;
    *stream = last->flow;
    return filter_of(last->flow);
}

static char *index_filter(unsigned stream, unsigned sub_stream _U_) {
    return filter_of(stream);
}

static char *address_filter(address *source, address *destination, int source_port, int destination_port) {
    const char *version = source->type == AT_IPv6 ? "v6" : "";
    wanted.by_flow = false;
    wanted.ports[0] = source_port;
    wanted.ports[1] = destination_port;
    char *from = address_to_str(NULL, source);
    char *to = address_to_str(NULL, destination);
    char *filter =
        g_strdup_printf("((ip%s.src eq %s and (tcp.srcport eq %d or udp.srcport eq %d)) and "
                        "(ip%s.dst eq %s and (tcp.dstport eq %d or udp.dstport eq %d))) or "
                        "((ip%s.src eq %s and (tcp.srcport eq %d or udp.srcport eq %d)) and "
                        "(ip%s.dst eq %s and (tcp.dstport eq %d or udp.dstport eq %d)))",
                        version, from, source_port, source_port, version, to, destination_port, destination_port,
                        version, to, destination_port, destination_port, version, from, source_port, source_port);
    wmem_free(NULL, from);
    wmem_free(NULL, to);
    return filter;
}

static char *port_text(wmem_allocator_t *allocator, unsigned port) {
    return wmem_strdup_printf(allocator, "%u", port);
}

#if FS_WIRESHARK >= 402
static uint32_t flow_count(void) {
    return fs_store_flow_count();
}
#endif

void fs_follow_register(int proto) {
    FS_REGISTER_FOLLOW(proto, "flowscope", conversation_filter, index_filter, address_filter, port_text, follow_packet,
                       flow_count);
}
