/* SPDX-License-Identifier: MIT */
/* CSV by RFC 4180. The columns and their order are a contract (docs/records.md): new ones come at the end. */
#include "flowscope/community_id.h"
#include "record_internal.h"

static const char header[] =
    "flow,uid,parents,community_id,protocol,ip_protocol,initiator,initiator_port,responder,responder_port,"
    "icmp_type,icmp_code,domain,vlan,application,state,end,ended_by,marks,"
    "first,last,closed,duration,first_frame,last_frame,"
    "packets_initiator,packets_responder,wire_bytes_initiator,wire_bytes_responder,"
    "ip_bytes_initiator,ip_bytes_responder,payload_bytes_initiator,payload_bytes_responder,"
    "stream_bytes_initiator,stream_bytes_responder,tcp_flags_initiator,tcp_flags_responder,history,conn_state,"
    "handshake_syn_ns,handshake_ack_ns,"
    "rtt_samples_initiator,rtt_minimum_ns_initiator,rtt_mean_ns_initiator,rtt_maximum_ns_initiator,"
    "rtt_samples_responder,rtt_minimum_ns_responder,rtt_mean_ns_responder,rtt_maximum_ns_responder,"
    "retransmissions_initiator,retransmissions_responder,zero_windows_initiator,zero_windows_responder,"
    "window_minimum_initiator,window_minimum_responder,window_maximum_initiator,window_maximum_responder,"
    "gap_bytes_initiator,gap_bytes_responder,retransmitted_bytes_initiator,retransmitted_bytes_responder,"
    "out_of_order_bytes_initiator,out_of_order_bytes_responder,overlap_bytes_initiator,overlap_bytes_responder,"
    "conflict_bytes_initiator,conflict_bytes_responder,duplicates_initiator,duplicates_responder,summary";

void fs__csv_header(struct fs__line *line) {
    FS__PUT_LITERAL(line, header);
}

static void comma(struct fs__line *line) {
    fs__put_char(line, ',');
}

static void put_number(struct fs__line *line, uint64_t number) {
    fs__put_number(line, number);
    comma(line);
}

static void put_optional(struct fs__line *line, uint64_t number, uint64_t none) {
    if (number != none)
        fs__put_number(line, number);
    comma(line);
}

static void put_seconds(struct fs__line *line, uint64_t ns) {
    fs__put_number(line, ns / 1000000000);
    fs__put_char(line, '.');
    fs__put_digits(line, ns % 1000000000, 9);
    comma(line);
}

static void put_text(struct fs__line *line, const char *text) {
    fs__put_string(line, text);
    comma(line);
}

/* What a spreadsheet would take for a formula is written as its code. */
static void put_foreign(struct fs__line *line, const char *text, size_t limit) {
    if (!text)
        return;
    fs__put_char(line, '"');
    if (*text && strchr("=+-@", *text)) {
        FS__PUT_LITERAL(line, "\\x");
        fs__put_hex(line, (unsigned char)*text++, 2);
        limit--;
    }
    fs__put_escaped(line, FS__ESCAPE_CSV, text, limit);
    fs__put_char(line, '"');
}

static void put_parents(struct fs__line *line, const struct fs_record_flow *record) {
    for (unsigned i = 0; i < record->parent_count && i < FS_RECORD_PARENT_MAX; i++) {
        if (i)
            fs__put_char(line, '+');
        fs__put_number(line, record->parents[i].id);
    }
    comma(line);
}

static void put_protocol(struct fs__line *line, const struct fs_key *key) {
    if (key->kind != FS_KEY_5TUPLE) {
        fs__put_string(line, key->kind == FS_KEY_MAC_PAIR ? "MAC,," : "IP,,");
        return;
    }
    const char *name = fs_protocol_name(key->protocol);
    if (name)
        fs__put_string(line, name);
    else
        fs__put_number(line, key->protocol);
    comma(line);
    put_number(line, key->protocol);
}

static void put_endpoint(struct fs__line *line, const struct fs_flow_info *flow, enum fs_side side) {
    fs__put_address(line, flow, side);
    comma(line);
    if (fs__has_ports(&flow->key))
        fs__put_number(line, fs_flow_port(flow, side));
    comma(line);
}

static void put_icmp(struct fs__line *line, const struct fs_flow_info *flow) {
    if (!fs__is_icmp(&flow->key)) {
        FS__PUT_LITERAL(line, ",,");
        return;
    }
    put_number(line, fs_flow_port(flow, FS_INITIATOR));
    put_number(line, flow->key.port[0] & 0xff);
}

static void put_vlan(struct fs__line *line, const struct fs_record_flow *record) {
    for (unsigned i = 0; i < FS_VLAN_MAX && record->vlan[i]; i++) {
        if (i)
            fs__put_char(line, '+');
        fs__put_number(line, record->vlan[i]);
    }
    comma(line);
}

static void put_marks(struct fs__line *line, unsigned marks) {
    const char *separator = "";
    for (unsigned bit = 1; bit <= FS_MARK_HISTORY_FULL; bit <<= 1) {
        if (!(marks & bit))
            continue;
        fs__put_string(line, separator);
        fs__put_string(line, fs_flow_mark_slug(bit));
        separator = "+";
    }
    comma(line);
}

static void put_identity(struct fs__line *line, const struct fs_record_flow *record,
                         const struct fs_record_options *options) {
    const struct fs_flow_info *flow = &record->flow;
    char uid[FS_UID_SIZE];
    char community_id[FS_COMMUNITY_ID_SIZE];
    fs_flow_uid(flow, options->uid_seed, uid);
    fs_community_id(&flow->key, options->community_id_seed, community_id);
    put_number(line, flow->id);
    put_text(line, uid);
    put_parents(line, record);
    put_text(line, community_id);
    put_protocol(line, &flow->key);
    put_endpoint(line, flow, FS_INITIATOR);
    put_endpoint(line, flow, FS_RESPONDER);
    put_icmp(line, flow);
    if (flow->key.domain)
        fs__put_hex(line, flow->key.domain, 8);
    comma(line);
    put_vlan(line, record);
    put_foreign(line, record->application, FS_RECORD_APPLICATION_MAX);
    comma(line);
}

static void put_life(struct fs__line *line, const struct fs_flow_info *flow) {
    put_text(line, fs_state_name(flow->state));
    put_text(line, fs_end_name(flow->end));
    put_text(line, fs_end_name(flow->ended_by));
    put_marks(line, flow->marks);
    put_seconds(line, flow->first_ns);
    put_seconds(line, flow->last_ns);
    if (flow->is_tcp && flow->closed_ns != FS_NO_TIME)
        put_seconds(line, flow->closed_ns);
    else
        comma(line);
    put_seconds(line, flow->last_ns > flow->first_ns ? flow->last_ns - flow->first_ns : 0);
    put_number(line, flow->first_frame);
    put_number(line, flow->last_frame);
}

static void put_counters(struct fs__line *line, const struct fs_counters side[2]) {
    put_number(line, side[0].packets);
    put_number(line, side[1].packets);
    put_number(line, side[0].wire_bytes);
    put_number(line, side[1].wire_bytes);
    put_number(line, side[0].ip_bytes);
    put_number(line, side[1].ip_bytes);
    put_number(line, side[0].payload_bytes);
    put_number(line, side[1].payload_bytes);
}

static void put_rtt(struct fs__line *line, const struct fs_rtt *rtt) {
    put_number(line, rtt->samples);
    if (!rtt->samples) {
        FS__PUT_LITERAL(line, ",,,");
        return;
    }
    put_number(line, rtt->minimum_ns);
    put_number(line, rtt->mean_ns);
    put_number(line, rtt->maximum_ns);
}

static void put_tcp(struct fs__line *line, const struct fs_record_flow *record) {
    const struct fs_flow_info *flow = &record->flow;
    const struct fs_tcp_side *tcp = flow->tcp;
    if (flow->is_tcp) {
        put_number(line, tcp[0].stream_bytes);
        put_number(line, tcp[1].stream_bytes);
        fs__put_hex(line, tcp[0].flags, 2);
        comma(line);
        fs__put_hex(line, tcp[1].flags, 2);
        comma(line);
    } else {
        FS__PUT_LITERAL(line, ",,,,");
    }
    put_foreign(line, *flow->history ? flow->history : NULL, FS_RECORD_APPLICATION_MAX);
    comma(line);
    put_text(line, flow->conn_state);
    if (!flow->is_tcp) {
        FS__PUT_LITERAL(line, ",,,,,,,,,,,,,,,,,,");
        return;
    }
    put_optional(line, flow->handshake_syn_ns, FS_NO_TIME);
    put_optional(line, flow->handshake_ack_ns, FS_NO_TIME);
    put_rtt(line, &tcp[0].rtt);
    put_rtt(line, &tcp[1].rtt);
    put_number(line, tcp[0].retransmissions);
    put_number(line, tcp[1].retransmissions);
    put_number(line, tcp[0].zero_windows);
    put_number(line, tcp[1].zero_windows);
    put_number(line, tcp[0].window_minimum);
    put_number(line, tcp[1].window_minimum);
    put_number(line, tcp[0].window_maximum);
    put_number(line, tcp[1].window_maximum);
}

static void put_pair(struct fs__line *line, uint64_t initiator, uint64_t responder) {
    put_optional(line, initiator, FS_RECORD_UNSET);
    put_optional(line, responder, FS_RECORD_UNSET);
}

static void put_streams(struct fs__line *line, const struct fs_record_side side[2]) {
    put_pair(line, side[0].gap_bytes, side[1].gap_bytes);
    put_pair(line, side[0].retransmitted_bytes, side[1].retransmitted_bytes);
    put_pair(line, side[0].out_of_order_bytes, side[1].out_of_order_bytes);
    put_pair(line, side[0].overlap_bytes, side[1].overlap_bytes);
    put_pair(line, side[0].conflict_bytes, side[1].conflict_bytes);
    put_pair(line, side[0].duplicates, side[1].duplicates);
}

void fs__csv_record(struct fs__line *line, const struct fs_record_flow *record,
                    const struct fs_record_options *options) {
    put_identity(line, record, options);
    put_life(line, &record->flow);
    put_counters(line, record->flow.side);
    put_tcp(line, record);
    put_streams(line, record->side);
    put_foreign(line, record->summary, FS_RECORD_SUMMARY_MAX);
}
