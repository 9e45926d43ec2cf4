/* SPDX-License-Identifier: MIT */
/* Suricata's EVE: what every event begins with, and event_type "flow". Names and meaning are those of its
 * src/output-json.c and src/output-json-flow.c. What Suricata does not know stands in an object of its own,
 * "flowscope". */
#include "record_eve.h"
#include "flowscope/community_id.h"

/* Spelt as in src/util-proto-name.c. */
static const char *protocol_name(uint8_t protocol) {
    switch (protocol) {
    case FS_PROTO_TCP:
        return "TCP";
    case FS_PROTO_UDP:
        return "UDP";
    case FS_PROTO_SCTP:
        return "SCTP";
    case FS_PROTO_ICMP:
        return "ICMP";
    case FS_PROTO_ICMPV6:
        return "IPv6-ICMP";
    default:
        return "ESP";
    }
}

/* 2024-01-01T00:00:00.123456+0000 */
static void put_time(struct fs__line *line, uint64_t time_ns) {
    struct fs__date date;
    fs__date_of(time_ns, &date);
    fs__put_char(line, '"');
    fs__put_digits(line, date.year, 4);
    fs__put_char(line, '-');
    fs__put_digits(line, date.month, 2);
    fs__put_char(line, '-');
    fs__put_digits(line, date.day, 2);
    fs__put_char(line, 'T');
    fs__put_digits(line, date.hour, 2);
    fs__put_char(line, ':');
    fs__put_digits(line, date.minute, 2);
    fs__put_char(line, ':');
    fs__put_digits(line, date.second, 2);
    fs__put_char(line, '.');
    fs__put_digits(line, date.nanosecond / 1000, 6);
    FS__PUT_LITERAL(line, "+0000\"");
}

static void put_text(struct fs__line *line, const char *text, size_t limit) {
    fs__put_char(line, '"');
    fs__put_escaped(line, FS__ESCAPE_JSON, text, limit);
    fs__put_char(line, '"');
}

/* ---- applications ---- */

/* Suricata's name (src/app-layer-protos.c) for what Wireshark or a parser calls this; NULL if it knows no such
 * protocol. Remote desktop hides behind two layers that others use as well, so there the port is asked, too. */
static const char *app_proto(const struct fs_record_flow *record) {
    static const struct {
        const char *application, *name; /* NULL: the same */
        uint16_t port;                  /* of the responder; 0: any */
    } names[] = {{"bt-dht", "bittorrent-dht", 0},
                 {"cotp", "rdp", 3389},
                 {"dcerpc", NULL, 0},
                 {"dhcp", NULL, 0},
                 {"dhcpv6", "dhcp", 0},
                 {"dnp3", NULL, 0},
                 {"dns", NULL, 0},
                 {"enip", NULL, 0},
                 {"ftp", NULL, 0},
                 {"ftp-data", NULL, 0},
                 {"http", NULL, 0},
                 {"http2", NULL, 0},
                 {"imap", NULL, 0},
                 {"irc", NULL, 0},
                 {"isakmp", "ike", 0},
                 {"kerberos", "krb5", 0},
                 {"ldap", NULL, 0},
                 {"llmnr", NULL, 0},
                 {"mbtcp", "modbus", 0},
                 {"mdns", NULL, 0},
                 {"modbus", NULL, 0},
                 {"mqtt", NULL, 0},
                 {"nbss", "smb", 0},
                 {"nfs", NULL, 0},
                 {"ntp", NULL, 0},
                 {"pgsql", NULL, 0},
                 {"pop", "pop3", 0},
                 {"quic", NULL, 0},
                 {"rdp", NULL, 0},
                 {"rfb", NULL, 0},
                 {"sip", NULL, 0},
                 {"smb", NULL, 0},
                 {"smb2", "smb", 0},
                 {"smtp", NULL, 0},
                 {"snmp", NULL, 0},
                 {"ssh", NULL, 0},
                 {"telnet", NULL, 0},
                 {"tftp", NULL, 0},
                 {"tls", NULL, 0},
                 {"tpkt", "rdp", 3389},
                 {"vnc", "rfb", 0},
                 {"websocket", NULL, 0}};
    for (size_t i = 0; record->application && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(record->application, names[i].application) != 0)
            continue;
        if (!names[i].port || names[i].port == fs_flow_port(&record->flow, FS_RESPONDER))
            return names[i].name ? names[i].name : names[i].application;
    }
    return NULL;
}

/* ---- states ---- */

/* Suricata's TCP states follow the client's and server's FIN apart. NULL: no TCP header was seen. */
static const char *tcp_state(const struct fs_flow_info *flow) {
    const char *fin = strpbrk(flow->history, "Ff");
    bool initiator_first = fin ? *fin == 'F' : (flow->tcp[FS_INITIATOR].flags & FS_TCP_FIN) != 0;
    bool acknowledged = flow->tcp[FS_RESPONDER].acknowledged;
    switch (flow->state) {
    case FS_STATE_SYN_SENT:
        return "syn_sent";
    case FS_STATE_SYN_RECEIVED:
        return "syn_recv";
    case FS_STATE_ESTABLISHED:
        return "established";
    case FS_STATE_HALF_CLOSED:
        return initiator_first ? "close_wait" : acknowledged ? "fin_wait2" : "fin_wait1";
    case FS_STATE_CLOSING:
        return initiator_first ? "last_ack" : acknowledged ? "time_wait" : "closing";
    case FS_STATE_CLOSED:
    case FS_STATE_RESET:
        return "closed";
    default:
        return NULL;
    }
}

/* As StreamTcpPacketSetState() in src/stream-tcp.c; other protocols by who has sent. */
static const char *flow_state(const struct fs_flow_info *flow) {
    switch (flow->state) {
    case FS_STATE_TWO_WAY:
    case FS_STATE_ESTABLISHED:
    case FS_STATE_HALF_CLOSED:
        return "established";
    case FS_STATE_CLOSING:
        return strcmp(tcp_state(flow), "closing") == 0 ? "established" : "closed";
    case FS_STATE_CLOSED:
    case FS_STATE_RESET:
        return "closed";
    default:
        return "new";
    }
}

static const char *reason(const struct fs_flow_info *flow) {
    switch (flow->ended_by) {
    case FS_END_IDLE:
        return "timeout";
    case FS_END_INPUT:
        return "shutdown";
    case FS_END_LIVE:
        return "unknown";
    default:
        return "forced";
    }
}

/* ---- parts ---- */

static void put_parent(struct fs__line *line, const struct fs_record_flow *record) {
    const struct fs_record_parent *parent = &record->parents[0];
    if (record->parent_count && *parent->uid)
        FS__EVE_NUMBER(line, ",\"parent_id\":", fs__flow_id_of_uid(parent->uid));
}

static void put_vlan(struct fs__line *line, const uint16_t vlan[FS_VLAN_MAX]) {
    if (!vlan[0])
        return;
    FS__PUT_LITERAL(line, ",\"vlan\":[");
    for (unsigned i = 0; i < FS_VLAN_MAX && vlan[i]; i++) {
        if (i)
            fs__put_char(line, ',');
        fs__put_number(line, vlan[i]);
    }
    fs__put_char(line, ']');
}

static void put_tuple(struct fs__line *line, const struct fs_flow_info *flow, enum fs_side from) {
    enum fs_side to = from == FS_INITIATOR ? FS_RESPONDER : FS_INITIATOR;
    bool ports = fs__has_ports(&flow->key);
    FS__PUT_LITERAL(line, ",\"src_ip\":\"");
    fs__put_address(line, flow, from);
    fs__put_char(line, '"');
    if (ports)
        FS__EVE_NUMBER(line, ",\"src_port\":", fs_flow_port(flow, from));
    FS__PUT_LITERAL(line, ",\"dest_ip\":\"");
    fs__put_address(line, flow, to);
    fs__put_char(line, '"');
    if (ports)
        FS__EVE_NUMBER(line, ",\"dest_port\":", fs_flow_port(flow, to));
    FS__EVE_NUMBER(line, ",\"ip_v\":", flow->key.family == FS_FAMILY_IPV6 ? 6U : 4U);
}

static void put_protocol(struct fs__line *line, const struct fs_flow_info *flow) {
    const struct fs_key *key = &flow->key;
    FS__PUT_LITERAL(line, ",\"proto\":\"");
    fs__put_string(line, protocol_name(key->protocol));
    fs__put_char(line, '"');
    if (!fs__is_icmp(key))
        return;
    FS__EVE_NUMBER(line, ",\"icmp_type\":", fs_flow_port(flow, FS_INITIATOR));
    FS__EVE_NUMBER(line, ",\"icmp_code\":", key->port[0] & 0xffU);
    int answer = fs_icmp_counterpart(key->protocol, (uint8_t)(key->port[0] >> 8));
    if (answer < 0 || !flow->side[FS_RESPONDER].packets)
        return;
    FS__EVE_NUMBER(line, ",\"response_icmp_type\":", fs_flow_port(flow, FS_RESPONDER));
    FS__EVE_NUMBER(line, ",\"response_icmp_code\":", key->port[0] & 0xffU);
}

static void put_flow(struct fs__line *line, const struct fs_flow_info *flow) {
    uint64_t last_ns = flow->last_ns > flow->first_ns ? flow->last_ns : flow->first_ns;
    FS__EVE_NUMBER(line, ",\"flow\":{\"pkts_toserver\":", flow->side[0].packets);
    FS__EVE_NUMBER(line, ",\"pkts_toclient\":", flow->side[1].packets);
    FS__EVE_NUMBER(line, ",\"bytes_toserver\":", flow->side[0].wire_bytes);
    FS__EVE_NUMBER(line, ",\"bytes_toclient\":", flow->side[1].wire_bytes);
    FS__PUT_LITERAL(line, ",\"start\":");
    put_time(line, flow->first_ns);
    FS__PUT_LITERAL(line, ",\"end\":");
    put_time(line, last_ns);
    FS__EVE_NUMBER(line, ",\"age\":", last_ns / 1000000000 - flow->first_ns / 1000000000);
    FS__EVE_STRING(line, ",\"state\":", flow_state(flow));
    FS__EVE_STRING(line, ",\"reason\":", reason(flow));
    FS__PUT_LITERAL(line, ",\"alerted\":false}");
}

static void put_flags(struct fs__line *line, unsigned flags) {
    static const char *const names[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"};
    for (unsigned bit = 0; bit < sizeof names / sizeof names[0]; bit++) {
        if (!(flags >> bit & 1))
            continue;
        FS__PUT_LITERAL(line, ",\"");
        fs__put_string(line, names[bit]);
        FS__PUT_LITERAL(line, "\":true");
    }
}

static void put_hex_flags(struct fs__line *line, unsigned flags) {
    fs__put_char(line, '"');
    fs__put_hex(line, flags, 2);
    fs__put_char(line, '"');
}

static bool has_gap(const struct fs_record_side *side) {
    return side->gap_bytes != FS_RECORD_UNSET && side->gap_bytes > 0;
}

static void put_tcp(struct fs__line *line, const struct fs_record_flow *record) {
    const struct fs_flow_info *flow = &record->flow;
    if (!flow->is_tcp)
        return;
    unsigned flags = flow->tcp[0].flags | flow->tcp[1].flags;
    const char *state = tcp_state(flow);
    FS__PUT_LITERAL(line, ",\"tcp\":{\"tcp_flags\":");
    put_hex_flags(line, flags);
    FS__PUT_LITERAL(line, ",\"tcp_flags_ts\":");
    put_hex_flags(line, flow->tcp[0].flags);
    FS__PUT_LITERAL(line, ",\"tcp_flags_tc\":");
    put_hex_flags(line, flow->tcp[1].flags);
    put_flags(line, flags);
    if (state)
        FS__EVE_STRING(line, ",\"state\":", state);
    if (has_gap(&record->side[1]))
        FS__PUT_LITERAL(line, ",\"tc_gap\":true");
    if (has_gap(&record->side[0]))
        FS__PUT_LITERAL(line, ",\"ts_gap\":true");
    fs__put_char(line, '}');
}

/* ---- what Suricata does not know ---- */

static void put_set(struct fs__line *line, const char *name, uint64_t number) {
    if (number == FS_RECORD_UNSET)
        return;
    fs__put_string(line, name);
    fs__put_number(line, number);
}

static void put_tcp_side(struct fs__line *line, const struct fs_tcp_side *tcp) {
    FS__EVE_NUMBER(line, ",\"stream_bytes\":", tcp->stream_bytes);
    FS__EVE_NUMBER(line, ",\"retransmissions\":", tcp->retransmissions);
    FS__EVE_NUMBER(line, ",\"zero_windows\":", tcp->zero_windows);
    if (!tcp->rtt.samples)
        return;
    FS__EVE_NUMBER(line, ",\"rtt_samples\":", tcp->rtt.samples);
    FS__EVE_NUMBER(line, ",\"rtt_minimum_ns\":", tcp->rtt.minimum_ns);
    FS__EVE_NUMBER(line, ",\"rtt_mean_ns\":", tcp->rtt.mean_ns);
    FS__EVE_NUMBER(line, ",\"rtt_maximum_ns\":", tcp->rtt.maximum_ns);
}

static void put_side(struct fs__line *line, const struct fs_record_flow *record, enum fs_side side) {
    const struct fs_record_side *more = &record->side[side];
    FS__EVE_NUMBER(line, "{\"ip_bytes\":", record->flow.side[side].ip_bytes);
    FS__EVE_NUMBER(line, ",\"payload_bytes\":", record->flow.side[side].payload_bytes);
    if (record->flow.is_tcp)
        put_tcp_side(line, &record->flow.tcp[side]);
    put_set(line, ",\"gap_bytes\":", more->gap_bytes);
    put_set(line, ",\"retransmitted_bytes\":", more->retransmitted_bytes);
    put_set(line, ",\"out_of_order_bytes\":", more->out_of_order_bytes);
    put_set(line, ",\"overlap_bytes\":", more->overlap_bytes);
    put_set(line, ",\"conflict_bytes\":", more->conflict_bytes);
    put_set(line, ",\"duplicates\":", more->duplicates);
    fs__put_char(line, '}');
}

static void put_marks(struct fs__line *line, unsigned marks) {
    const char *before = ",\"marks\":[\"";
    bool any = false;
    for (unsigned bit = 1; bit <= FS_MARK_HISTORY_FULL; bit <<= 1) {
        if (!(marks & bit))
            continue;
        fs__put_string(line, before);
        fs__put_string(line, fs_flow_mark_slug(bit));
        before = "\",\"";
        any = true;
    }
    if (any)
        FS__PUT_LITERAL(line, "\"]");
}

static void put_own(struct fs__line *line, const struct fs_record_flow *record, const char *uid) {
    const struct fs_flow_info *flow = &record->flow;
    FS__EVE_NUMBER(line, ",\"flowscope\":{\"flow\":", flow->id);
    FS__EVE_STRING(line, ",\"uid\":", uid);
    FS__EVE_STRING(line, ",\"state\":", fs_state_name(flow->state));
    FS__EVE_STRING(line, ",\"end\":", fs_end_name(flow->end));
    put_marks(line, flow->marks);
    FS__EVE_NUMBER(line, ",\"first_frame\":", flow->first_frame);
    FS__EVE_NUMBER(line, ",\"last_frame\":", flow->last_frame);
    if (*flow->history) {
        FS__PUT_LITERAL(line, ",\"history\":");
        put_text(line, flow->history, sizeof flow->history);
    }
    FS__EVE_STRING(line, ",\"conn_state\":", flow->conn_state);
    if (flow->is_tcp) {
        put_set(line, ",\"handshake_syn_ns\":", flow->handshake_syn_ns);
        put_set(line, ",\"handshake_ack_ns\":", flow->handshake_ack_ns);
    }
    FS__PUT_LITERAL(line, ",\"initiator\":");
    put_side(line, record, FS_INITIATOR);
    FS__PUT_LITERAL(line, ",\"responder\":");
    put_side(line, record, FS_RESPONDER);
    if (record->application) {
        FS__PUT_LITERAL(line, ",\"application\":");
        put_text(line, record->application, FS_RECORD_APPLICATION_MAX);
    }
    if (record->summary) {
        FS__PUT_LITERAL(line, ",\"summary\":");
        put_text(line, record->summary, FS_RECORD_SUMMARY_MAX);
    }
    fs__put_char(line, '}');
}

/* The protocols of which Suricata makes flows: those whose decoders call FlowSetupPacket(). */
static bool has_flows(const struct fs_key *key) {
    if (!fs__is_ip(key) || key->kind != FS_KEY_5TUPLE)
        return false;
    switch (key->protocol) {
    case FS_PROTO_TCP:
    case FS_PROTO_UDP:
    case FS_PROTO_SCTP:
    case FS_PROTO_ICMP:
    case FS_PROTO_ICMPV6:
    case FS_PROTO_ESP:
        return true;
    default:
        return false;
    }
}

bool fs__eve_head(struct fs__line *line, const struct fs__eve_event *event) {
    const struct fs_record_flow *record = event->record;
    const struct fs_flow_info *flow = &record->flow;
    if (!has_flows(&flow->key))
        return false;
    FS__PUT_LITERAL(line, "{\"timestamp\":");
    put_time(line, event->time_ns);
    FS__EVE_NUMBER(line, ",\"flow_id\":", fs__flow_id_of_uid(event->uid));
    put_parent(line, record);
    if (event->frame)
        FS__EVE_NUMBER(line, ",\"pcap_cnt\":", event->frame);
    FS__EVE_STRING(line, ",\"event_type\":", event->type);
    put_vlan(line, record->vlan);
    put_tuple(line, flow, event->from);
    put_protocol(line, flow);
    if (event->frame && !record->parent_count)
        FS__PUT_LITERAL(line, ",\"pkt_src\":\"wire/pcap\"");
    return true;
}

void fs__eve_community_id(struct fs__line *line, const struct fs_flow_info *flow,
                          const struct fs_record_options *options) {
    char community_id[FS_COMMUNITY_ID_SIZE];
    if (fs_community_id(&flow->key, options->community_id_seed, community_id))
        FS__EVE_STRING(line, ",\"community_id\":", community_id);
}

bool fs__eve_record(struct fs__line *line, const struct fs_record_flow *record,
                    const struct fs_record_options *options) {
    const struct fs_flow_info *flow = &record->flow;
    char uid[FS_UID_SIZE];
    struct fs__eve_event event = {.record = record, .type = "flow", .uid = uid, .time_ns = flow->last_ns};
    fs_flow_uid(flow, options->uid_seed, uid);
    if (!fs__eve_head(line, &event))
        return false;
    const char *app = app_proto(record);
    if (app)
        FS__EVE_STRING(line, ",\"app_proto\":", app);
    put_flow(line, flow);
    fs__eve_community_id(line, flow, options);
    put_tcp(line, record);
    put_own(line, record, uid);
    fs__put_char(line, '}');
    return true;
}
