/* SPDX-License-Identifier: MIT */
/* Zeek's conn.log: scripts/base/protocols/conn/main.zeek defines the fields, and logging/writers/ascii the form. Behind
 * Zeek's own fields come those of its policy scripts vlan-logging and community-id-logging. */
#include "flowscope/community_id.h"
#include "record_internal.h"

static const char fields[] = "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\t"
                             "orig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\t"
                             "orig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\tip_proto\tvlan\t"
                             "inner_vlan\tcommunity_id\n";
static const char types[] = "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\t"
                            "count\tcount\tstring\tbool\tbool\tcount\tstring\t"
                            "count\tcount\tcount\tcount\tset[string]\tcount\tint\t"
                            "int\tstring";

static void put_stamp(struct fs__line *line, uint64_t time_ns) {
    struct fs__date date;
    fs__date_of(time_ns, &date);
    const unsigned parts[] = {date.month, date.day, date.hour, date.minute, date.second};
    fs__put_digits(line, date.year, 4);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        fs__put_char(line, '-');
        fs__put_digits(line, parts[i], 2);
    }
}

void fs__zeek_header(struct fs__line *line, const struct fs_record_options *options) {
    FS__PUT_LITERAL(line, "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
                          "#open\t");
    put_stamp(line, options->open_ns);
    fs__put_char(line, '\n');
    FS__PUT_LITERAL(line, fields);
    FS__PUT_LITERAL(line, types);
}

void fs__zeek_footer(struct fs__line *line, uint64_t close_ns) {
    FS__PUT_LITERAL(line, "#close\t");
    put_stamp(line, close_ns);
}

static void tab(struct fs__line *line) {
    fs__put_char(line, '\t');
}

static void put_unset(struct fs__line *line) {
    FS__PUT_LITERAL(line, "-\t");
}

static void put_number(struct fs__line *line, uint64_t number) {
    fs__put_number(line, number);
    tab(line);
}

/* Zeek writes microseconds, rounded. */
static void put_seconds(struct fs__line *line, uint64_t ns) {
    uint64_t us = ns / 1000 + (ns % 1000 >= 500);
    fs__put_number(line, us / 1000000);
    fs__put_char(line, '.');
    fs__put_digits(line, us % 1000000, 6);
    tab(line);
}

/* Text that would read as "unset" or "empty" has its first character escaped. */
static void put_text(struct fs__line *line, const char *text, size_t limit) {
    if (!text || !*text) {
        put_unset(line);
        return;
    }
    if (strcmp(text, "-") == 0 || strcmp(text, "(empty)") == 0) {
        FS__PUT_LITERAL(line, "\\x");
        fs__put_hex(line, (unsigned char)*text++, 2);
        limit--;
    }
    fs__put_escaped(line, FS__ESCAPE_HEX, text, limit);
    tab(line);
}

static bool is_udp(const struct fs_flow_info *flow) {
    return flow->key.kind == FS_KEY_5TUPLE && flow->key.protocol == FS_PROTO_UDP;
}

static const char *protocol_of(const struct fs_flow_info *flow) {
    if (flow->is_tcp)
        return "tcp";
    if (is_udp(flow))
        return "udp";
    return fs__is_icmp(&flow->key) ? "icmp" : "unknown_transport";
}

static void put_endpoint(struct fs__line *line, const struct fs_flow_info *flow, enum fs_side side) {
    bool ports = flow->is_tcp || is_udp(flow) || fs__is_icmp(&flow->key);
    fs__put_address(line, flow, side);
    tab(line);
    put_number(line, ports ? fs_flow_port(flow, side) : 0);
}

/* For TCP it ends when both sides have closed: what follows carries nothing. */
static uint64_t duration_of(const struct fs_flow_info *flow) {
    uint64_t last_ns = flow->is_tcp && flow->closed_ns != FS_NO_TIME ? flow->closed_ns : flow->last_ns;
    return last_ns > flow->first_ns ? last_ns - flow->first_ns : 0;
}

static uint64_t bytes_of(const struct fs_flow_info *flow, enum fs_side side) {
    return flow->is_tcp ? flow->tcp[side].stream_bytes : flow->side[side].payload_bytes;
}

/* Zeek has neither duration nor bytes of a connection that took no time. */
static void put_extent(struct fs__line *line, const struct fs_flow_info *flow) {
    uint64_t duration_ns = duration_of(flow);
    if (!duration_ns) {
        FS__PUT_LITERAL(line, "-\t-\t-\t");
        return;
    }
    put_seconds(line, duration_ns);
    put_number(line, bytes_of(flow, FS_INITIATOR));
    put_number(line, bytes_of(flow, FS_RESPONDER));
}

static uint64_t missed_bytes(const struct fs_record_side side[2]) {
    uint64_t missed = 0;
    for (unsigned i = 0; i < 2; i++)
        missed += side[i].gap_bytes == FS_RECORD_UNSET ? 0 : side[i].gap_bytes;
    return missed;
}

static void put_parents(struct fs__line *line, const struct fs_record_flow *record) {
    bool any = false;
    for (unsigned i = 0; i < record->parent_count && i < FS_RECORD_PARENT_MAX; i++) {
        const char *uid = record->parents[i].uid;
        if (!*uid)
            continue;
        if (any)
            fs__put_char(line, ',');
        fs__put_string(line, uid);
        any = true;
    }
    if (!any)
        fs__put_char(line, '-');
    tab(line);
}

static void put_vlan(struct fs__line *line, uint16_t vlan) {
    if (vlan)
        put_number(line, vlan);
    else
        put_unset(line);
}

static bool is_ip_tunnel(const struct fs_key *key) {
    return key->kind == FS_KEY_5TUPLE &&
           (key->protocol == FS_PROTO_GRE || key->protocol == FS_PROTO_IPV4 || key->protocol == FS_PROTO_IPV6);
}

static void put_packets(struct fs__line *line, const struct fs_counters side[2]) {
    put_number(line, side[0].packets);
    put_number(line, side[0].ip_bytes);
    put_number(line, side[1].packets);
    put_number(line, side[1].ip_bytes);
}

bool fs__zeek_record(struct fs__line *line, const struct fs_record_flow *record,
                     const struct fs_record_options *options) {
    const struct fs_flow_info *flow = &record->flow;
    if (!fs__is_ip(&flow->key) || is_ip_tunnel(&flow->key))
        return false;
    char uid[FS_UID_SIZE];
    char community_id[FS_COMMUNITY_ID_SIZE];
    fs_flow_uid(flow, options->uid_seed, uid);
    fs_community_id(&flow->key, options->community_id_seed, community_id);
    put_seconds(line, flow->first_ns);
    fs__put_bytes(line, uid, FS_UID_SIZE - 1);
    tab(line);
    put_endpoint(line, flow, FS_INITIATOR);
    put_endpoint(line, flow, FS_RESPONDER);
    fs__put_string(line, protocol_of(flow));
    tab(line);
    put_text(line, record->application, FS_RECORD_APPLICATION_MAX);
    put_extent(line, flow);
    put_text(line, flow->conn_state, sizeof flow->conn_state);
    FS__PUT_LITERAL(line, "-\t-\t"); /* which networks are local is the site's to know */
    put_number(line, missed_bytes(record->side));
    put_text(line, flow->is_tcp || is_udp(flow) ? flow->history : NULL, sizeof flow->history);
    put_packets(line, flow->side);
    put_parents(line, record);
    if (flow->key.kind == FS_KEY_5TUPLE)
        put_number(line, flow->key.protocol);
    else
        put_unset(line);
    put_vlan(line, record->vlan[0]);
    put_vlan(line, record->vlan[1]);
    fs__put_string(line, *community_id ? community_id : "-");
    return true;
}
