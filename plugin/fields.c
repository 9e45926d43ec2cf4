/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fields.h"

#include "messages.h"
#include "prefs.h"
#include "text.h"

#include "flowscope/community_id.h"
#include "flowscope/record.h"

static int proto_flowscope = -1;
static int ett_packet = -1, ett_flow = -1, ett_side[2] = {-1, -1};

/* One line a field: XX(variable, abbreviation, name, type, display, strings, description). Sides are separate. */
#define PACKET_FIELDS(XX)                                                                                              \
    XX(flow, "flow", "Flow", FT_UINT32, BASE_DEC, NULL,                                                                \
       "Number of the flow in the capture, from 0, in order of first packets")                                         \
    XX(side, "side", "Side", FT_UINT8, BASE_DEC, VALS(side_names),                                                     \
       "Who sent the packet: the initiator of the flow or its responder")                                              \
    XX(orientation, "orientation", "Orientation", FT_UINT8, BASE_DEC, VALS(orientation_names),                         \
       "Forward: from the smaller (address, port) to the greater")                                                     \
    XX(state, "state", "State", FT_STRING, BASE_NONE, NULL, "State of the flow after the packet")                      \
    XX(packets, "packets", "Packet of the flow", FT_UINT32, BASE_DEC, NULL,                                            \
       "Number of the packet in its flow, from 1")                                                                     \
    XX(bytes, "bytes", "Bytes so far", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),                 \
       "Frame bytes of the flow up to and with this packet")                                                           \
    XX(quoted, "quoted", "Quoted", FT_BOOLEAN, BASE_NONE, TFS(&tfs_yes_no),                                            \
       "Quoted inside an ICMP error: belongs to the flow and is not counted")                                          \
    XX(retransmission, "retransmission", "Retransmission", FT_BOOLEAN, BASE_NONE, TFS(&tfs_yes_no),                    \
       "TCP: payload that was sent again")                                                                             \
    XX(segment, "segment", "Segment", FT_STRING, BASE_NONE, NULL,                                                      \
       "TCP: how its payload relates to what was seen before: in-order, ahead, out-of-order, retransmission, overlap " \
       "and so on")                                                                                                    \
    XX(stream_offset, "stream_offset", "Stream offset", FT_UINT64, BASE_DEC, NULL,                                     \
       "TCP: place of the first payload byte in the side's stream; 0 is the first byte after the SYN")                 \
    XX(gap, "gap", "Missing", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),                          \
       "TCP: bytes missing before it, or given up as lost with it, of either side: once for each")                     \
    XX(gap_side, "gap_side", "Missing from", FT_UINT8, BASE_DEC, VALS(side_names),                                     \
       "TCP: who should have sent the bytes of flowscope.gap, in the same order")                                      \
    XX(retransmission_of, "retransmission_of", "Repeats frame", FT_FRAMENUM, BASE_NONE,                                \
       FRAMENUM_TYPE(FT_FRAMENUM_RETRANS_PREV), "TCP: frame that brought the first of these bytes before")             \
    XX(out_of_order_after, "out_of_order_after", "Fills the hole before frame", FT_FRAMENUM, BASE_NONE, NULL,          \
       "TCP: frame that came before these bytes, and showed that they were missing")                                   \
    XX(first_frame, "first_frame", "First frame", FT_FRAMENUM, BASE_NONE, NULL, "First frame of the flow")             \
    XX(previous_frame, "previous_frame", "Previous frame", FT_FRAMENUM, BASE_NONE, NULL,                               \
       "Frame of the flow before this one")                                                                            \
    XX(next_frame, "next_frame", "Next frame", FT_FRAMENUM, BASE_NONE, NULL,                                           \
       "Frame of the flow after this one; known on the second pass")                                                   \
    XX(last_frame, "last_frame", "Last frame", FT_FRAMENUM, BASE_NONE, NULL, "Last frame of the flow so far")          \
    XX(rtt, "rtt", "Round-trip time", FT_RELATIVE_TIME, BASE_NONE, NULL,                                               \
       "From the segment that this one acknowledges first, at the point of capture")                                   \
    XX(carried, "carried", "Carries flow", FT_UINT32, BASE_DEC, NULL,                                                  \
       "Number of the flow of the packet that it carries, as a tunnel")                                                \
    XX(session_message, "session.message", "Message", FT_STRING, BASE_NONE, NULL,                                      \
       "Message of the application that is complete with this frame, in one line")                                     \
    XX(session_request_in, "session.request_in", "Request in frame", FT_FRAMENUM, BASE_NONE,                           \
       FRAMENUM_TYPE(FT_FRAMENUM_REQUEST), "Frame of the request that the message answers")                            \
    XX(session_response_in, "session.response_in", "Response in frame", FT_FRAMENUM, BASE_NONE,                        \
       FRAMENUM_TYPE(FT_FRAMENUM_RESPONSE), "Frame of the first answer to the message; known on the second pass")      \
    XX(session_time, "session.time", "Response time", FT_RELATIVE_TIME, BASE_NONE, NULL,                               \
       "From the first byte of the request to the first byte of the response")                                         \
    XX(session_unanswered, "session.unanswered", "Unanswered", FT_BOOLEAN, BASE_NONE, TFS(&tfs_yes_no),                \
       "The request got no answer; known on the second pass")                                                          \
    XX(session_ja3, "session.ja3", "JA3", FT_STRING, BASE_NONE, NULL, "Fingerprint of a TLS ClientHello (MD5)")        \
    XX(session_ja4, "session.ja4", "JA4", FT_STRING, BASE_NONE, NULL, "Fingerprint of a TLS ClientHello")              \
    XX(anomaly, "anomaly", "Anomaly", FT_STRING, BASE_NONE, NULL, "What is unusual about the packet")                  \
    XX(untracked, "untracked", "Untracked", FT_STRING, BASE_NONE, NULL, "Why the frame belongs to no flow")

#define FLOW_FIELDS(XX)                                                                                                \
    XX(flow_protocol, "flow.protocol", "Protocol", FT_STRING, BASE_NONE, NULL,                                         \
       "TCP, UDP and so on; IP for a pair of IP addresses, MAC for a pair of link-layer addresses")                    \
    XX(session_protocol, "session.protocol", "Application", FT_STRING, BASE_NONE, NULL,                                \
       "Protocol above the transport of the flow, as Wireshark's dissectors found it")                                 \
    XX(flow_uid, "flow.uid", "UID", FT_STRING, BASE_NONE, NULL,                                                        \
       "Name of the flow in records, the same in every format and run")                                                \
    XX(flow_community_id, "flow.community_id", "Community ID", FT_STRING, BASE_NONE, NULL,                             \
       "Name of the flow in other tools; see preference flowscope.community_id_seed")                                  \
    XX(flow_parent, "flow.parent", "Carrier", FT_UINT32, BASE_DEC, NULL, "Flow of the tunnel that the flow came in")   \
    XX(flow_parent_frame, "flow.parent_frame", "First frame of the carrier", FT_FRAMENUM, BASE_NONE, NULL,             \
       "First frame of the flow of the tunnel")                                                                        \
    XX(flow_state, "flow.state", "State", FT_STRING, BASE_NONE, NULL, "Latest state of the flow")                      \
    XX(flow_end, "flow.end", "End", FT_STRING, BASE_NONE, NULL, "Why the flow is over; live if it is not")             \
    XX(flow_start, "flow.start", "Start", FT_ABSOLUTE_TIME, ABSOLUTE_TIME_LOCAL, NULL, "Time of the first packet")     \
    XX(flow_duration, "flow.duration", "Duration", FT_RELATIVE_TIME, BASE_NONE, NULL, "From first to last packet")     \
    XX(flow_packets, "flow.packets", "Packets", FT_UINT64, BASE_DEC, NULL, "Packets of both sides")                    \
    XX(flow_bytes, "flow.bytes", "Frame bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),        \
       "Frames of both sides, link header and carriers included")                                                      \
    XX(flow_ip_bytes, "flow.ip_bytes", "IP bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),     \
       "From the IP header on, both sides")                                                                            \
    XX(flow_payload_bytes, "flow.payload_bytes", "Payload bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,              \
       UNS(&units_byte_bytes), "Above the transport header, both sides, repetitions included")                         \
    XX(flow_marks, "flow.marks", "Marks", FT_STRING, BASE_NONE, NULL,                                                  \
       "Quality of what is known: midstream, one-sided, truncated, role-flipped, port-reused, fragments, "             \
       "history-full")                                                                                                 \
    XX(flow_history, "flow.history", "History", FT_STRING, BASE_NONE, NULL, "What happened, in Zeek's letters")        \
    XX(flow_conn_state, "flow.conn_state", "Connection state", FT_STRING, BASE_NONE, NULL, "Zeek's conn_state")        \
    XX(flow_handshake_syn, "flow.handshake_syn", "SYN to SYN-ACK", FT_RELATIVE_TIME, BASE_NONE, NULL,                  \
       "Round trip between the point of capture and the responder")                                                    \
    XX(flow_handshake_ack, "flow.handshake_ack", "SYN-ACK to ACK", FT_RELATIVE_TIME, BASE_NONE, NULL,                  \
       "Round trip between the point of capture and the initiator")

/* Of one side: XX(variable, abbreviation, name, type, display, strings, description) under flowscope.flow.initiator or
 * .responder. */
#define SIDE_FIELDS(XX)                                                                                                \
    XX(address, "address", "Address", FT_STRING, BASE_NONE, NULL, "IP or link-layer address")                          \
    XX(port, "port", "Port", FT_UINT16, BASE_DEC, NULL,                                                                \
       "Port; of ICMP the type of its messages; the responder of a one-way message has the code")                      \
    XX(side_packets, "packets", "Packets", FT_UINT64, BASE_DEC, NULL, "Packets that it sent")                          \
    XX(side_bytes, "bytes", "Frame bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),             \
       "Frames that it sent")                                                                                          \
    XX(side_ip_bytes, "ip_bytes", "IP bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),          \
       "From the IP header on")                                                                                        \
    XX(side_payload_bytes, "payload_bytes", "Payload bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,                   \
       UNS(&units_byte_bytes), "Above the transport header, repetitions included")                                     \
    XX(duplicates, "duplicates", "Duplicates", FT_UINT64, BASE_DEC, NULL,                                              \
       "Of the packets, copies of others; with the preference duplicates:mark")                                        \
    XX(stream_bytes, "stream_bytes", "Stream bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),   \
       "TCP: each byte once, by sequence numbers, holes included")                                                     \
    XX(retransmissions, "retransmissions", "Retransmissions", FT_UINT32, BASE_DEC, NULL,                               \
       "TCP: segments that were sent again")                                                                           \
    XX(zero_windows, "zero_windows", "Zero windows", FT_UINT32, BASE_DEC, NULL,                                        \
       "TCP: segments that closed its window")                                                                         \
    XX(window_minimum, "window_minimum", "Smallest window", FT_UINT32, BASE_DEC | BASE_UNIT_STRING,                    \
       UNS(&units_byte_bytes), "TCP: scaled, without SYN and RST")                                                     \
    XX(window_maximum, "window_maximum", "Largest window", FT_UINT32, BASE_DEC | BASE_UNIT_STRING,                     \
       UNS(&units_byte_bytes), "TCP: scaled, without SYN and RST")                                                     \
    XX(retransmitted_bytes, "retransmitted_bytes", "Retransmitted bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,      \
       UNS(&units_byte_bytes), "TCP: payload of its retransmissions")                                                  \
    XX(out_of_order_bytes, "out_of_order_bytes", "Out-of-order bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,         \
       UNS(&units_byte_bytes), "TCP: payload of its segments that were overtaken by later ones")                       \
    XX(gap_bytes, "gap_bytes", "Missing bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING, UNS(&units_byte_bytes),        \
       "TCP: bytes of its stream that the capture does not hold, cut ones included")                                   \
    XX(overlap_bytes, "overlap_bytes", "Overlapping bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,                    \
       UNS(&units_byte_bytes), "TCP: bytes that came again and were compared")                                         \
    XX(conflict_bytes, "conflict_bytes", "Conflicting bytes", FT_UINT64, BASE_DEC | BASE_UNIT_STRING,                  \
       UNS(&units_byte_bytes), "TCP: ranges that came again with other content")                                       \
    XX(rtt_minimum, "rtt_minimum", "Shortest round trip", FT_RELATIVE_TIME, BASE_NONE, NULL,                           \
       "TCP: of its data, until acknowledged")                                                                         \
    XX(rtt_mean, "rtt_mean", "Mean round trip", FT_RELATIVE_TIME, BASE_NONE, NULL,                                     \
       "TCP: of its data, until acknowledged")                                                                         \
    XX(rtt_maximum, "rtt_maximum", "Longest round trip", FT_RELATIVE_TIME, BASE_NONE, NULL,                            \
       "TCP: of its data, until acknowledged")

#define DECLARE(variable, abbreviation, name, type, display, strings, description) static int hf_##variable = -1;
PACKET_FIELDS(DECLARE)
FLOW_FIELDS(DECLARE)
#undef DECLARE
#define DECLARE(variable, abbreviation, name, type, display, strings, description)                                     \
    static int hf_##variable[2] = {-1, -1};
SIDE_FIELDS(DECLARE)
#undef DECLARE

static expert_field ei_rst_out_of_window = EI_INIT, ei_syn_in_flow = EI_INIT, ei_port_reuse = EI_INIT,
                    ei_syn_ack_mismatch = EI_INIT, ei_bad_flags = EI_INIT, ei_after_end = EI_INIT,
                    ei_ack_unseen = EI_INIT, ei_time_backwards = EI_INIT, ei_eviction = EI_INIT, ei_gap = EI_INIT,
                    ei_conflict = EI_INIT, ei_reassembly_limit = EI_INIT;

static const value_string side_names[] = {{FS_INITIATOR, "initiator"}, {FS_RESPONDER, "responder"}, {0, NULL}};
static const value_string orientation_names[] = {{FS_FORWARD, "forward"}, {FS_REVERSE, "reverse"}, {0, NULL}};

/* By bit number of enum fs_anomaly. */
static expert_field *const anomaly_infos[FS_ANOMALY_COUNT] = {
    &ei_rst_out_of_window, &ei_syn_in_flow, &ei_port_reuse, &ei_syn_ack_mismatch,
    &ei_bad_flags,         &ei_after_end,   &ei_ack_unseen, &ei_time_backwards,
    &ei_eviction,          &ei_gap,         &ei_conflict,   &ei_reassembly_limit,
};

void fs_fields_register(int proto) {
#define FIELD(variable, abbreviation, name, type, display, strings, description)                                       \
    {&hf_##variable, {name, "flowscope." abbreviation, type, display, strings, 0, description, HFILL}},
    static hf_register_info fields[] = {PACKET_FIELDS(FIELD) FLOW_FIELDS(FIELD)};
#undef FIELD
#define FIELD(variable, abbreviation, name, type, display, strings, description)                                       \
    {&hf_##variable[0],                                                                                                \
     {name, "flowscope.flow.initiator." abbreviation, type, display, strings, 0, description, HFILL}},                 \
        {&hf_##variable[1],                                                                                            \
         {name, "flowscope.flow.responder." abbreviation, type, display, strings, 0, description, HFILL}},
    static hf_register_info side_fields[] = {SIDE_FIELDS(FIELD)};
#undef FIELD
    static int *subtrees[] = {&ett_packet, &ett_flow, &ett_side[0], &ett_side[1]};
    static ei_register_info infos[] = {
        {&ei_rst_out_of_window,
         {"flowscope.expert.rst_out_of_window", PI_SEQUENCE, PI_WARN,
          "Reset outside the receiver's window: not taken as the end of the flow", EXPFILL}},
        {&ei_syn_in_flow,
         {"flowscope.expert.syn_in_flow", PI_SEQUENCE, PI_WARN,
          "SYN with a new sequence number inside an open connection", EXPFILL}},
        {&ei_port_reuse,
         {"flowscope.expert.port_reuse", PI_SEQUENCE, PI_NOTE, "Addresses and ports are used again by a new connection",
          EXPFILL}},
        {&ei_syn_ack_mismatch,
         {"flowscope.expert.syn_ack_mismatch", PI_SEQUENCE, PI_WARN,
          "SYN-ACK acknowledges another sequence number than the SYN's", EXPFILL}},
        {&ei_bad_flags,
         {"flowscope.expert.bad_flags", PI_PROTOCOL, PI_WARN, "Impossible combination of TCP flags", EXPFILL}},
        {&ei_after_end,
         {"flowscope.expert.after_end", PI_SEQUENCE, PI_WARN, "Data after the connection was reset or closed",
          EXPFILL}},
        {&ei_ack_unseen,
         {"flowscope.expert.ack_unseen", PI_SEQUENCE, PI_NOTE, "Acknowledges data that the capture does not hold",
          EXPFILL}},
        {&ei_time_backwards,
         {"flowscope.expert.time_backwards", PI_SEQUENCE, PI_NOTE, "Earlier than the flow's packet before it",
          EXPFILL}},
        {&ei_eviction,
         {"flowscope.expert.eviction", PI_SEQUENCE, PI_NOTE, "Flow table full: a live flow was ended to make room",
          EXPFILL}},
        {&ei_gap,
         {"flowscope.expert.gap", PI_SEQUENCE, PI_WARN, "Bytes are missing from the stream: not in the capture",
          EXPFILL}},
        {&ei_conflict,
         {"flowscope.expert.conflict", PI_SECURITY, PI_WARN, "Overlaps bytes that were seen before, with other content",
          EXPFILL}},
        {&ei_reassembly_limit,
         {"flowscope.expert.reassembly_limit", PI_REASSEMBLE, PI_NOTE,
          "A limit of reassembly was reached: a hole was given up, or bytes were dropped", EXPFILL}},
    };
    proto_flowscope = proto;
    proto_register_field_array(proto, fields, (int)FS_LENGTH_OF(fields));
    proto_register_field_array(proto, side_fields, (int)FS_LENGTH_OF(side_fields));
    proto_register_subtree_array(subtrees, (int)FS_LENGTH_OF(subtrees));
    expert_register_field_array(expert_register_protocol(proto), infos, (int)FS_LENGTH_OF(infos));
}

/* ---- what is asked for ---- */

/* Only packet details are seen whole; filters and columns ask for single fields, and the rest need not be made. */
static bool is_visible(const proto_tree *tree) {
    return PTREE_DATA(tree)->visible;
}

/* What proto_field_is_referenced() says of any of them, without asking it of dozens of fields for every packet. */
static bool any_wanted(const proto_tree *tree, const int *const *fields, size_t count,
                       const header_field_info **infos) {
    if (is_visible(tree))
        return true;
    for (size_t i = 0; i < count; i++) {
        if (!infos[i])
            infos[i] = proto_registrar_get_nth((guint)*fields[i]);
        if (infos[i]->ref_type != HF_REF_TYPE_NONE)
            return true;
    }
    return false;
}

static bool wants_side(const proto_tree *tree, enum fs_side side) {
#define FIELD(variable, abbreviation, name, type, display, strings, description) &hf_##variable[0],
    static const int *const initiator[] = {SIDE_FIELDS(FIELD)};
#undef FIELD
#define FIELD(variable, abbreviation, name, type, display, strings, description) &hf_##variable[1],
    static const int *const responder[] = {SIDE_FIELDS(FIELD)};
#undef FIELD
    static const header_field_info *infos[2][FS_LENGTH_OF(initiator)];
    return any_wanted(tree, side == FS_INITIATOR ? initiator : responder, FS_LENGTH_OF(initiator), infos[side]);
}

static bool wants_totals(const proto_tree *tree) {
#define FIELD(variable, abbreviation, name, type, display, strings, description) &hf_##variable,
    static const int *const fields[] = {FLOW_FIELDS(FIELD)};
#undef FIELD
    static const header_field_info *infos[FS_LENGTH_OF(fields)];
    return any_wanted(tree, fields, FS_LENGTH_OF(fields), infos);
}

/* ---- one value ---- */

/* Nothing of ours is in the packet's bytes: items are generated, and empty. */
struct place {
    tvbuff_t *tvb;
    proto_tree *tree;
};

static void add_uint(const struct place *place, int field, uint32_t value) {
    proto_item_set_generated(proto_tree_add_uint(place->tree, field, place->tvb, 0, 0, value));
}

static void add_uint64(const struct place *place, int field, uint64_t value) {
    proto_item_set_generated(proto_tree_add_uint64(place->tree, field, place->tvb, 0, 0, value));
}

static void add_text(const struct place *place, int field, const char *value) {
    proto_item_set_generated(proto_tree_add_string(place->tree, field, place->tvb, 0, 0, value));
}

static void add_flag(const struct place *place, int field, bool value) {
    if (value)
        proto_item_set_generated(proto_tree_add_boolean(place->tree, field, place->tvb, 0, 0, 1));
}

static void add_frame(const struct place *place, int field, uint32_t frame) {
    if (frame)
        add_uint(place, field, frame);
}

static void add_time(const struct place *place, int field, uint64_t time_ns) {
    nstime_t time = {(time_t)(time_ns / 1000000000), (int)(time_ns % 1000000000)};
    proto_item_set_generated(proto_tree_add_time(place->tree, field, place->tvb, 0, 0, &time));
}

/* ---- the flow ---- */

static void show_address(const struct place *place, const struct fs_flow_info *info, enum fs_side side) {
    char text[FS_TEXT_ENDPOINT];
    if (!proto_field_is_referenced(place->tree, hf_address[side]))
        return;
    fs_text_address(info, side, text, sizeof text);
    add_text(place, hf_address[side], text);
}

static proto_tree *add_side_tree(const struct place *parent, const struct fs_flow_info *info, enum fs_side side) {
    char text[FS_TEXT_ENDPOINT];
    proto_item *item;
    if (!is_visible(parent->tree))
        return parent->tree;
    fs_text_endpoint(info, side, text, sizeof text);
    proto_tree *tree = proto_tree_add_subtree_format(parent->tree, parent->tvb, 0, 0, ett_side[side], &item, "%s %s",
                                                     side == FS_INITIATOR ? "Initiator" : "Responder", text);
    proto_item_set_generated(item);
    return tree;
}

static void show_side(const struct place *parent, const struct fs_flow_facts *facts, enum fs_side side) {
    const struct fs_flow_info *info = &facts->info;
    const struct fs_stream_info *stream = &facts->stream[side];
    if (!wants_side(parent->tree, side))
        return;
    struct place place = {parent->tvb, add_side_tree(parent, info, side)};
    show_address(&place, info, side);
    if (fs_text_has_ports(info))
        add_uint(&place, hf_port[side], fs_flow_port(info, side));
    const struct fs_counters *counters = &info->side[side];
    add_uint64(&place, hf_side_packets[side], counters->packets);
    add_uint64(&place, hf_side_bytes[side], counters->wire_bytes);
    add_uint64(&place, hf_side_ip_bytes[side], counters->ip_bytes);
    add_uint64(&place, hf_side_payload_bytes[side], counters->payload_bytes);
    if (fs_prefs()->duplicates == FS_DUPLICATES_MARK)
        add_uint64(&place, hf_duplicates[side], counters->duplicates);
    if (!info->is_tcp)
        return;
    const struct fs_tcp_side *tcp = &info->tcp[side];
    add_uint64(&place, hf_stream_bytes[side], tcp->stream_bytes);
    add_uint(&place, hf_retransmissions[side], tcp->retransmissions);
    add_uint(&place, hf_zero_windows[side], tcp->zero_windows);
    add_uint64(&place, hf_retransmitted_bytes[side], stream->retransmitted_bytes);
    add_uint64(&place, hf_out_of_order_bytes[side], stream->out_of_order_bytes);
    add_uint64(&place, hf_gap_bytes[side], stream->gap_bytes);
    add_uint64(&place, hf_overlap_bytes[side], stream->overlap_bytes);
    add_uint64(&place, hf_conflict_bytes[side], stream->conflict_bytes);
    add_uint(&place, hf_window_minimum[side], tcp->window_minimum);
    add_uint(&place, hf_window_maximum[side], tcp->window_maximum);
    if (!tcp->rtt.samples)
        return;
    add_time(&place, hf_rtt_minimum[side], tcp->rtt.minimum_ns);
    add_time(&place, hf_rtt_mean[side], tcp->rtt.mean_ns);
    add_time(&place, hf_rtt_maximum[side], tcp->rtt.maximum_ns);
}

static void show_totals(const struct place *place, const struct fs_flow_info *info) {
    const struct fs_counters *i = &info->side[FS_INITIATOR];
    const struct fs_counters *r = &info->side[FS_RESPONDER];
    add_time(place, hf_flow_start, info->first_ns);
    add_time(place, hf_flow_duration, info->last_ns - info->first_ns);
    add_uint64(place, hf_flow_packets, i->packets + r->packets);
    add_uint64(place, hf_flow_bytes, i->wire_bytes + r->wire_bytes);
    add_uint64(place, hf_flow_ip_bytes, i->ip_bytes + r->ip_bytes);
    add_uint64(place, hf_flow_payload_bytes, i->payload_bytes + r->payload_bytes);
}

static void show_carrier(const struct place *place, uint64_t parent) {
    struct fs_flow_facts facts;
    if (parent == FS_NO_FLOW)
        return;
    add_uint(place, hf_flow_parent, (uint32_t)parent);
    if (proto_field_is_referenced(place->tree, hf_flow_parent_frame) && fs_store_flow(parent, &facts))
        add_frame(place, hf_flow_parent_frame, facts.info.first_frame);
}

/* Letters for filters, and what they stand for. */
static void show_history(const struct place *place, const char *history) {
    char words[FS_TEXT_HISTORY];
    if (!history[0])
        return;
    if (!is_visible(place->tree)) {
        add_text(place, hf_flow_history, history);
        return;
    }
    fs_text_history(history, words, sizeof words);
    proto_item_set_generated(proto_tree_add_string_format_value(place->tree, hf_flow_history, place->tvb, 0, 0, history,
                                                                "%s (%s)", history, words));
}

static void show_words(const struct place *place, const struct fs_flow_info *info) {
    char text[FS_TEXT_MARKS];
    fs_text_protocol(info, text, sizeof text);
    add_text(place, hf_flow_protocol, text);
    add_text(place, hf_session_protocol, fs_store_app((uint32_t)info->id));
    show_carrier(place, info->parent);
    add_text(place, hf_flow_state, fs_state_name(info->state));
    add_text(place, hf_flow_end, fs_end_name(info->end));
    fs_text_marks(info->marks, text, sizeof text);
    add_text(place, hf_flow_marks, text);
    show_history(place, info->history);
    add_text(place, hf_flow_conn_state, info->conn_state);
}

static proto_tree *add_flow_tree(const struct place *parent, const struct fs_flow_info *info) {
    proto_item *item;
    if (!is_visible(parent->tree))
        return parent->tree;
    uint64_t packets = info->side[FS_INITIATOR].packets + info->side[FS_RESPONDER].packets;
    proto_tree *tree = proto_tree_add_subtree_format(parent->tree, parent->tvb, 0, 0, ett_flow, &item,
                                                     "Flow in all: %" PRIu64 " packet%s, %s", packets,
                                                     packets == 1 ? "" : "s", fs_state_name(info->state));
    proto_item_set_generated(item);
    return tree;
}

/* Hashes: only where they are asked for. */
static void show_names(const struct place *place, const struct fs_flow_info *info) {
    char text[FS_COMMUNITY_ID_SIZE];
    _Static_assert((int)FS_COMMUNITY_ID_SIZE >= (int)FS_UID_SIZE, "room for both");
    if (proto_field_is_referenced(place->tree, hf_flow_uid)) {
        fs_flow_uid(info, 0, text);
        add_text(place, hf_flow_uid, text);
    }
    if (proto_field_is_referenced(place->tree, hf_flow_community_id) &&
        fs_community_id(&info->key, (uint16_t)fs_prefs()->community_id_seed, text))
        add_text(place, hf_flow_community_id, text);
}

static void show_flow(const struct place *parent, const struct fs_flow_facts *facts) {
    const struct fs_flow_info *info = &facts->info;
    struct place place = {parent->tvb, add_flow_tree(parent, info)};
    if (wants_totals(place.tree)) {
        show_words(&place, info);
        show_names(&place, info);
        show_totals(&place, info);
        if (info->handshake_syn_ns != FS_NO_TIME)
            add_time(&place, hf_flow_handshake_syn, info->handshake_syn_ns);
        if (info->handshake_ack_ns != FS_NO_TIME)
            add_time(&place, hf_flow_handshake_ack, info->handshake_ack_ns);
    }
    show_side(&place, facts, FS_INITIATOR);
    show_side(&place, facts, FS_RESPONDER);
}

/* ---- the packet ---- */

static proto_item *show_summary(const struct place *place, const struct fs_seen *seen,
                                const struct fs_flow_info *info) {
    char protocol[16], initiator[FS_TEXT_ENDPOINT], responder[FS_TEXT_ENDPOINT], packet[32] = "not counted";
    const struct fs_record *record = &seen->record;
    if (!is_visible(place->tree))
        return proto_tree_add_item(place->tree, proto_flowscope, place->tvb, 0, 0, ENC_NA);
    if (!info)
        return proto_tree_add_protocol_format(place->tree, proto_flowscope, place->tvb, 0, 0,
                                              "Flowscope, flow %u (forgotten)", record->flow);
    fs_text_protocol(info, protocol, sizeof protocol);
    fs_text_endpoint(info, FS_INITIATOR, initiator, sizeof initiator);
    fs_text_endpoint(info, FS_RESPONDER, responder, sizeof responder);
    if (record->bits & FS_RECORD_QUOTED)
        (void)g_strlcpy(packet, "quoted", sizeof packet);
    else if (fs_record_is_counted(record))
        snprintf(packet, sizeof packet, "packet %u", seen->link.packet);
    return proto_tree_add_protocol_format(place->tree, proto_flowscope, place->tvb, 0, 0,
                                          "Flowscope, flow %u, %s %s %s %s, %s, %s", record->flow, protocol, initiator,
                                          fs_record_side(record) == FS_INITIATOR ? "→" : "←", responder,
                                          fs_state_name(record->bits & FS_RECORD_STATE), packet);
}

static void show_anomalies(const struct place *place, unsigned anomalies) {
    char text[FS_TEXT_MARKS];
    if (!anomalies || !proto_field_is_referenced(place->tree, hf_anomaly))
        return;
    fs_text_anomalies(anomalies, text, sizeof text);
    add_text(place, hf_anomaly, text);
}

static void show_gap(const struct place *place, uint64_t bytes, unsigned side, const char *how) {
    if (!bytes)
        return;
    proto_item *item = proto_tree_add_uint64(place->tree, hf_gap, place->tvb, 0, 0, bytes);
    proto_item_append_text(item, " %s", how);
    proto_item_set_generated(item);
    add_uint(place, hf_gap_side, side);
}

static void show_segment(const struct place *place, uint32_t frame, unsigned n, const struct fs_seen *seen) {
    unsigned class = fs_record_segment(&seen->record);
    unsigned side = fs_record_side(&seen->record);
    uint64_t offset;
    if (class != FS_SEGMENT_NONE) {
        add_text(place, hf_segment, fs_segment_name((int)class));
        add_frame(place, hf_retransmission_of, seen->repeats_frame);
        add_frame(place, hf_out_of_order_after, seen->hole_frame);
    }
    if (proto_field_is_referenced(place->tree, hf_stream_offset) && fs_store_offset(frame, n, seen, &offset))
        add_uint64(place, hf_stream_offset, offset);
    show_gap(place, seen->hole_bytes, side, "before it");
    show_gap(place, seen->gap_bytes, side, "given up as lost");
    show_gap(place, seen->peer_gap_bytes, !side, "given up as lost");
}

static void show_message(const struct place *place, const struct fs_message_entry *entry) {
    add_text(place, hf_session_message, entry->text);
    add_frame(place, hf_session_request_in, entry->request_frame);
    add_frame(place, hf_session_response_in, entry->first ? entry->first->response_frame : entry->response_frame);
    if (entry->time_ns != FS_NO_TIME)
        add_time(place, hf_session_time, entry->time_ns);
    add_flag(place, hf_session_unanswered, entry->unanswered);
    if (entry->ja3)
        add_text(place, hf_session_ja3, entry->ja3);
    if (entry->ja4)
        add_text(place, hf_session_ja4, entry->ja4);
}

static bool wants_messages(const proto_tree *tree) {
    static const int *const fields[] = {&hf_session_message, &hf_session_request_in, &hf_session_response_in,
                                        &hf_session_time,    &hf_session_unanswered, &hf_session_ja3,
                                        &hf_session_ja4};
    static const header_field_info *infos[FS_LENGTH_OF(fields)];
    return any_wanted(tree, fields, FS_LENGTH_OF(fields), infos);
}

static void show_messages(const struct place *place, uint32_t frame, uint32_t flow) {
    if (!wants_messages(place->tree))
        return;
    for (guint i = fs_messages_first(frame); i < fs_messages_count(); i++) {
        const struct fs_message_entry *entry = fs_messages_get(i);
        if (entry->frame != frame)
            break;
        if (entry->flow == flow)
            show_message(place, entry);
    }
}

static void show_record(const struct place *place, uint32_t frame, unsigned n, const struct fs_seen *seen,
                        const struct fs_flow_info *info) {
    const struct fs_record *record = &seen->record;
    bool quoted = record->bits & FS_RECORD_QUOTED;
    add_uint(place, hf_flow, record->flow);
    add_uint(place, hf_side, fs_record_side(record));
    add_uint(place, hf_orientation, record->bits & FS_RECORD_REVERSE ? FS_REVERSE : FS_FORWARD);
    add_text(place, hf_state, fs_state_name(record->bits & FS_RECORD_STATE));
    add_flag(place, hf_quoted, quoted);
    if (fs_record_is_counted(record))
        add_uint(place, hf_packets, seen->link.packet);
    if (quoted || fs_record_is_counted(record))
        add_uint64(place, hf_bytes, fs_link_bytes(&seen->link));
    add_flag(place, hf_retransmission, record->bits & FS_RECORD_RETRANSMISSION);
    show_segment(place, frame, n, seen);
    if (record->bits & FS_RECORD_RTT)
        add_time(place, hf_rtt, seen->rtt_ns);
    show_messages(place, frame, record->flow);
    show_anomalies(place, seen->anomalies);
    if (info)
        add_frame(place, hf_first_frame, info->first_frame);
    if (seen->link.previous != frame)
        add_frame(place, hf_previous_frame, seen->link.previous);
    add_frame(place, hf_next_frame, seen->link.next);
    if (info)
        add_frame(place, hf_last_frame, info->last_frame);
}

/* Packets of a frame come from the outside in: those that this one carries are among the `left` behind it. */
static void show_carried(const struct place *place, const struct fs_seen *seen, unsigned left) {
    struct fs_flow_facts facts;
    if (!left || !proto_field_is_referenced(place->tree, hf_carried))
        return;
    for (unsigned n = 1; n <= left; n++) {
        if (fs_store_flow(seen[n].record.flow, &facts) && facts.info.parent == seen->record.flow)
            add_uint(place, hf_carried, seen[n].record.flow);
    }
}

/* Whether fields are asked for that the record alone does not answer. */
static bool wants_flow(const proto_tree *tree) {
    static const int *const fields[] = {&hf_first_frame, &hf_last_frame};
    static const header_field_info *infos[FS_LENGTH_OF(fields)];
    return any_wanted(tree, fields, FS_LENGTH_OF(fields), infos) || wants_totals(tree) ||
           wants_side(tree, FS_INITIATOR) || wants_side(tree, FS_RESPONDER);
}

static proto_item *show_packet(tvbuff_t *tvb, proto_tree *tree, uint32_t frame, unsigned n, const struct fs_seen *seen,
                               unsigned left) {
    struct fs_flow_facts facts;
    bool known = wants_flow(tree) && fs_store_flow(seen->record.flow, &facts);
    struct place place = {tvb, tree};
    proto_item *item = show_summary(&place, seen, known ? &facts.info : NULL);
    proto_item_set_generated(item);
    place.tree = proto_item_add_subtree(item, ett_packet);
    show_record(&place, frame, n, seen, known ? &facts.info : NULL);
    show_carried(&place, seen, left);
    if (known)
        show_flow(&place, &facts);
    return item;
}

static void show_untracked(tvbuff_t *tvb, proto_tree *tree, int reject) {
    proto_item *item = proto_tree_add_protocol_format(tree, proto_flowscope, tvb, 0, 0, "Flowscope, no flow: %s",
                                                      fs_reject_text(reject));
    proto_item_set_generated(item);
    struct place place = {tvb, proto_item_add_subtree(item, ett_packet)};
    add_text(&place, hf_untracked, fs_reject_slug(reject));
}

void fs_fields_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct fs_seen *seen, unsigned count,
                    int reject) {
    /* When nobody asks for our fields, the tree gets none of them: only expert infos are left to do. */
    if (tree && !proto_field_is_referenced(tree, proto_flowscope))
        tree = NULL;
    for (unsigned n = 0; n < count; n++) {
        proto_item *item = tree ? show_packet(tvb, tree, pinfo->num, n, &seen[n], count - n - 1) : NULL;
        for (unsigned bit = 0; seen[n].anomalies >> bit; bit++) {
            if (seen[n].anomalies >> bit & 1)
                expert_add_info(pinfo, item, anomaly_infos[bit]);
        }
    }
    if (tree && !count && reject != FS_REJECT_NONE)
        show_untracked(tvb, tree, reject);
}
