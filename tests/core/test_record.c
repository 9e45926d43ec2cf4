/* SPDX-License-Identifier: MIT */
/* Flow records: what the writers make of a flow, column by column, and what they do with hostile text and bad sinks. */
#include "flowscope/community_id.h"
#include "flowscope/record.h"
#include "flowscope/tracker.h"
#include "packet_support.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct sink {
    char text[65536];
    size_t used;
    int calls, fail_at; /* the call that fails, from 1; 0: none */
};

static struct fixture {
    struct sink sink;
    struct fs_record_writer writer;
    struct fs_record_options options;
    struct fs_record_flow record;
    char field[1024];
} F;

static int take(const char *bytes, size_t length, void *user) {
    struct sink *sink = user;
    sink->calls++;
    if (sink->calls == sink->fail_at)
        return -1;
    assert_true(length > 0 && length <= FS_RECORD_LINE_MAX && bytes[length - 1] == '\n');
    assert_true(sink->used + length < sizeof sink->text);
    memcpy(sink->text + sink->used, bytes, length);
    sink->used += length;
    sink->text[sink->used] = '\0';
    return 0;
}

/* ---- a flow of its own making ---- */

static const struct end A = {1, 40000}, B = {2, 80};
#define START SECONDS(1704067200) /* 2024-01-01 */

static void on_ended(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    assert_int_equal(fs_tracker_flow_info(tracker, event->flow, user), 0);
}

static struct fs_flow_info flow_of(const struct fs_packet *packets, size_t count) {
    struct fs_flow_info info;
    struct fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.events = 1u << FS_EVENT_ENDED;
    config.on_event = on_ended;
    config.user = &info;
    struct fs_tracker *tracker = fs_tracker_new(&config, NULL);
    assert_non_null(tracker);
    for (size_t i = 0; i < count; i++) {
        struct fs_verdict verdict;
        assert_int_equal(fs_tracker_track(tracker, &packets[i], FS_NO_NUMBER, &verdict), 0);
    }
    fs_tracker_finish(tracker);
    fs_tracker_free(tracker);
    return info;
}

/* Handshake, a request, an answer, both FINs, the last acknowledgement two seconds after. */
static struct fs_flow_info whole_connection(void) {
    const unsigned syn = FS_TCP_SYN, ack = FS_TCP_ACK, fin = FS_TCP_FIN;
    const struct fs_packet packets[] = {
        tcp_between(A, B, START, syn, 100, 0, 0),
        tcp_between(B, A, START + MS(10), syn | ack, 500, 101, 0),
        tcp_between(A, B, START + MS(20), ack, 101, 501, 0),
        tcp_between(A, B, START + MS(30), ack | FS_TCP_PSH, 101, 501, 10),
        tcp_between(B, A, START + MS(40), ack, 501, 111, 300),
        tcp_between(A, B, START + MS(50), fin | ack, 111, 801, 0),
        tcp_between(B, A, START + MS(1500), fin | ack, 801, 112, 0),
        tcp_between(A, B, START + MS(3500), ack, 112, 802, 0),
    };
    return flow_of(packets, sizeof packets / sizeof packets[0]);
}

static int setup(void **state) {
    (void)state;
    memset(&F, 0, sizeof F);
    F.options.write = take;
    F.options.user = &F.sink;
    struct fs_flow_info info = whole_connection();
    fs_record_from_flow(&F.record, &info);
    return 0;
}

/* ---- reading what was written ---- */

/* The text of one record in this format. */
static const char *written(enum fs_record_format format) {
    F.options.format = format;
    memset(&F.sink, 0, sizeof F.sink);
    assert_int_equal(fs_record_begin(&F.writer, &F.options), 0);
    size_t header = F.sink.used;
    assert_int_equal(fs_record_write(&F.writer, &F.record), 0);
    return F.sink.text + header;
}

static const char *nth_field(const char *line, unsigned n, char separator) {
    size_t used = 0;
    bool quoted = false;
    for (; *line && *line != '\r' && *line != '\n'; line++) {
        quoted ^= separator == ',' && *line == '"';
        if (*line == separator && !quoted) {
            if (n-- == 0)
                break;
            continue;
        }
        if (n == 0)
            F.field[used++] = *line;
    }
    F.field[used] = '\0';
    return F.field;
}

static unsigned column_of(const char *header, const char *name, char separator) {
    for (unsigned n = 0; n < 100; n++) {
        if (strcmp(nth_field(header, n, separator), name) == 0)
            return n;
    }
    fail_msg("no column %s", name);
    return 0;
}

static const char *csv(const char *name) {
    const char *line = written(FS_RECORD_CSV);
    return nth_field(line, column_of(F.sink.text, name, ','), ',');
}

static const char *zeek(const char *name) {
    const char *line = written(FS_RECORD_ZEEK);
    const char *fields = strstr(F.sink.text, "#fields\t");
    return nth_field(line, column_of(fields, name, '\t') - 1, '\t');
}

static void expect_eve(const char *part) {
    const char *line = written(FS_RECORD_EVE);
    if (!strstr(line, part))
        fail_msg("no %s in %s", part, line);
}

static void expect_no_eve(const char *part) {
    if (strstr(written(FS_RECORD_EVE), part))
        fail_msg("%s in %s", part, F.sink.text);
}

/* ---- columns ---- */

static void test_csv(void **state) {
    (void)state;
    assert_string_equal(csv("flow"), "0");
    assert_string_equal(csv("parents"), "");
    assert_string_equal(csv("protocol"), "TCP");
    assert_string_equal(csv("ip_protocol"), "6");
    assert_string_equal(csv("initiator"), "10.0.0.1");
    assert_string_equal(csv("initiator_port"), "40000");
    assert_string_equal(csv("responder"), "10.0.0.2");
    assert_string_equal(csv("responder_port"), "80");
    assert_string_equal(csv("icmp_type"), "");
    assert_string_equal(csv("domain"), "");
    assert_string_equal(csv("application"), "");
    assert_string_equal(csv("state"), "closed");
    assert_string_equal(csv("end"), "fin");
    assert_string_equal(csv("ended_by"), "end-of-input");
    assert_string_equal(csv("marks"), "");
    assert_string_equal(csv("first"), "1704067200.000000000");
    assert_string_equal(csv("last"), "1704067203.500000000");
    assert_string_equal(csv("closed"), "1704067201.500000000");
    assert_string_equal(csv("duration"), "3.500000000");
    assert_string_equal(csv("packets_initiator"), "5");
    assert_string_equal(csv("packets_responder"), "3");
    assert_string_equal(csv("wire_bytes_initiator"), "280");
    assert_string_equal(csv("ip_bytes_responder"), "420");
    assert_string_equal(csv("payload_bytes_initiator"), "10");
    assert_string_equal(csv("stream_bytes_responder"), "300");
    assert_string_equal(csv("tcp_flags_initiator"), "1b");
    assert_string_equal(csv("tcp_flags_responder"), "13");
    assert_string_equal(csv("history"), "\"ShADdFf\"");
    assert_string_equal(csv("conn_state"), "SF");
    assert_string_equal(csv("handshake_syn_ns"), "10000000");
    assert_string_equal(csv("rtt_samples_initiator"), "1");
    assert_string_equal(csv("rtt_maximum_ns_initiator"), "10000000");
    assert_string_equal(csv("window_maximum_responder"), "8192");
    assert_string_equal(csv("gap_bytes_initiator"), "");
    assert_string_equal(csv("duplicates_responder"), "");
    assert_string_equal(csv("summary"), "");
    char uid[FS_UID_SIZE], id[FS_COMMUNITY_ID_SIZE];
    fs_flow_uid(&F.record.flow, 0, uid);
    fs_community_id(&F.record.flow.key, 0, id);
    assert_string_equal(csv("uid"), uid);
    assert_string_equal(csv("community_id"), id);
}

static void test_csv_rows_are_as_long_as_the_header(void **state) {
    (void)state;
    const struct fs_packet udp = udp_between(A, B, START, 5);
    struct fs_flow_info other = flow_of(&udp, 1);
    for (int i = 0; i < 2; i++) {
        const char *line = written(FS_RECORD_CSV);
        unsigned columns = 0, cells = 0;
        for (const char *c = F.sink.text; c < line; c++)
            columns += *c == ',';
        for (const char *c = line; *c; c++)
            cells += *c == ',';
        assert_int_equal(cells, columns);
        assert_string_equal(line + strlen(line) - 2, "\r\n");
        fs_record_from_flow(&F.record, &other);
    }
}

static void test_optional_fields(void **state) {
    (void)state;
    F.record.side[0] = (struct fs_record_side){1, 2, 3, 4, 5, 6};
    F.record.side[1] = (struct fs_record_side){11, 12, 13, 14, 15, 16};
    F.record.vlan[0] = 6;
    F.record.application = "http";
    F.record.summary = "GET /";
    strcpy(F.record.flow.history, "ShADgdFfa");
    assert_string_equal(csv("gap_bytes_responder"), "11");
    assert_string_equal(csv("retransmitted_bytes_initiator"), "2");
    assert_string_equal(csv("out_of_order_bytes_responder"), "13");
    assert_string_equal(csv("overlap_bytes_initiator"), "4");
    assert_string_equal(csv("conflict_bytes_responder"), "15");
    assert_string_equal(csv("duplicates_initiator"), "6");
    assert_string_equal(csv("vlan"), "6");
    assert_string_equal(csv("application"), "\"http\"");
    assert_string_equal(csv("summary"), "\"GET /\"");
    assert_string_equal(zeek("missed_bytes"), "12");
    assert_string_equal(zeek("service"), "http");
    assert_string_equal(zeek("history"), "ShADgdFfa");
    assert_string_equal(zeek("vlan"), "6");
    assert_string_equal(zeek("inner_vlan"), "-");
    F.record.vlan[1] = 7;
    assert_string_equal(csv("vlan"), "6+7");
    assert_string_equal(zeek("inner_vlan"), "7");
    expect_eve(",\"vlan\":[6,7],");
    expect_eve(",\"app_proto\":\"http\",");
    expect_eve(",\"summary\":\"GET /\"");
    expect_eve(",\"tc_gap\":true,\"ts_gap\":true}");
    expect_eve("\"gap_bytes\":11,\"retransmitted_bytes\":12,\"out_of_order_bytes\":13,\"overlap_bytes\":14,"
               "\"conflict_bytes\":15,\"duplicates\":16}");
}

static void test_streams(void **state) {
    (void)state;
    struct fs_stream_info stream = {.next_offset = 300,
                                    .gap_bytes = 40,
                                    .overlap_bytes = 5,
                                    .conflict_bytes = 2,
                                    .retransmitted_bytes = 7,
                                    .out_of_order_bytes = 9};
    F.record.flow.tcp[0].stream_bytes = 300;
    fs_record_set_stream(&F.record, FS_INITIATOR, &stream);
    assert_string_equal(csv("gap_bytes_initiator"), "40");
    assert_string_equal(csv("retransmitted_bytes_initiator"), "7");
    assert_string_equal(csv("out_of_order_bytes_initiator"), "9");
    assert_string_equal(csv("overlap_bytes_initiator"), "5");
    assert_string_equal(csv("conflict_bytes_initiator"), "2");
    assert_string_equal(csv("gap_bytes_responder"), "");
    stream.dropped_bytes = 1; /* after the end, or twice: nothing is missing for that */
    fs_record_set_stream(&F.record, FS_INITIATOR, &stream);
    assert_string_equal(zeek("missed_bytes"), "40");
    /* The tracker saw the numbers go on further than reassembly follows; 100 bytes were there, and dropped. */
    F.record.flow.tcp[0].stream_bytes = 5000000000;
    stream.dropped_bytes = 100;
    fs_record_set_stream(&F.record, FS_INITIATOR, &stream);
    assert_string_equal(csv("gap_bytes_initiator"), "4999999640");
    assert_string_equal(zeek("missed_bytes"), "4999999640");
}

static void test_sides_without_stream(void **state) {
    (void)state;
    F.record.flow.side[1].payload_bytes = 1; /* no memory for its stream */
    fs_record_set_stream(&F.record, FS_RESPONDER, NULL);
    assert_string_equal(csv("gap_bytes_responder"), "");
    F.record.flow.side[1].payload_bytes = 0;
    F.record.flow.tcp[1].stream_bytes = 0;
    fs_record_set_stream(&F.record, FS_RESPONDER, NULL);
    assert_string_equal(csv("gap_bytes_responder"), "0");
    assert_string_equal(csv("conflict_bytes_responder"), "0");
    F.record.flow.tcp[1].stream_bytes = 1448; /* acknowledged, not seen */
    fs_record_set_stream(&F.record, FS_RESPONDER, NULL);
    assert_string_equal(csv("gap_bytes_responder"), "1448");
    F.record.flow.is_tcp = false;
    fs_record_set_stream(&F.record, FS_INITIATOR, NULL);
    assert_string_equal(csv("gap_bytes_initiator"), "");
}

static void test_eve(void **state) {
    (void)state;
    expect_eve("{\"timestamp\":\"2024-01-01T00:00:03.500000+0000\",\"flow_id\":");
    expect_eve(
        ",\"event_type\":\"flow\",\"src_ip\":\"10.0.0.1\",\"src_port\":40000,\"dest_ip\":\"10.0.0.2\",\"dest_port\":80,"
        "\"ip_v\":4,\"proto\":\"TCP\",");
    expect_eve("\"flow\":{\"pkts_toserver\":5,\"pkts_toclient\":3,\"bytes_toserver\":280,\"bytes_toclient\":462,"
               "\"start\":\"2024-01-01T00:00:00.000000+0000\",\"end\":\"2024-01-01T00:00:03.500000+0000\",\"age\":3,"
               "\"state\":\"closed\",\"reason\":\"shutdown\",\"alerted\":false}");
    expect_eve(
        "\"tcp\":{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"1b\",\"tcp_flags_tc\":\"13\",\"fin\":true,\"syn\":true,"
        "\"psh\":true,\"ack\":true,\"state\":\"closed\"}");
    expect_eve("\"flowscope\":{\"flow\":0,\"uid\":\"C");
    expect_no_eve("parent_id");
    expect_no_eve("app_proto");
}

static void expect_states(const struct fs_packet *packets, size_t count, const char *tcp, const char *flow) {
    struct fs_flow_info info = flow_of(packets, count);
    char part[64];
    fs_record_from_flow(&F.record, &info);
    snprintf(part, sizeof part, ",\"state\":\"%s\"}", tcp);
    expect_eve(part);
    snprintf(part, sizeof part, "\"state\":\"%s\",\"reason\"", flow);
    expect_eve(part);
}

static void test_eve_tcp_states(void **state) {
    (void)state;
    const unsigned syn = FS_TCP_SYN, ack = FS_TCP_ACK, fin = FS_TCP_FIN;
    const struct fs_packet client_first[] = {
        tcp_between(A, B, START, syn, 100, 0, 0),         tcp_between(B, A, START, syn | ack, 500, 101, 0),
        tcp_between(A, B, START, ack, 101, 501, 0),       tcp_between(A, B, START, fin | ack, 101, 501, 0),
        tcp_between(B, A, START, fin | ack, 501, 102, 0), tcp_between(A, B, START, ack, 102, 502, 0)};
    const char *const by_client[] = {"syn_sent", "syn_recv", "established", "close_wait", "last_ack", "closed"};
    const char *const flow[] = {"new", "new", "established", "established", "closed", "closed"};
    for (size_t i = 0; i < 6; i++)
        expect_states(client_first, i + 1, by_client[i], flow[i]);
    struct fs_packet server_first[] = {client_first[0],
                                       client_first[1],
                                       client_first[2],
                                       tcp_between(B, A, START, fin | ack, 501, 101, 0),
                                       tcp_between(A, B, START, ack, 101, 502, 0),
                                       tcp_between(A, B, START, fin | ack, 101, 502, 0),
                                       tcp_between(B, A, START, ack, 502, 102, 0)};
    expect_states(server_first, 4, "fin_wait1", "established");
    expect_states(server_first, 5, "fin_wait2", "established");
    expect_states(server_first, 6, "time_wait", "closed");
    expect_states(server_first, 7, "closed", "closed");
    server_first[4] = tcp_between(A, B, START, fin | ack, 101, 501, 0); /* crosses the server's FIN */
    expect_states(server_first, 5, "closing", "established");
    server_first[3] = tcp_between(B, A, START, FS_TCP_RST | ack, 501, 101, 0);
    expect_states(server_first, 4, "closed", "closed");
}

static void test_eve_applications(void **state) {
    (void)state;
    F.record.application = "kerberos";
    expect_eve(",\"app_proto\":\"krb5\",");
    expect_eve(",\"application\":\"kerberos\"");
    F.record.application = "ssh";
    expect_eve(",\"app_proto\":\"ssh\",");
    F.record.application = "gryphon"; /* Suricata has no such protocol */
    expect_no_eve("app_proto");
    expect_eve(",\"application\":\"gryphon\"");
    F.record.application = "cotp"; /* to port 80 */
    expect_no_eve("app_proto");
    unsigned responder = fs_endpoint(&F.record.flow, FS_RESPONDER);
    F.record.flow.key.port[responder] = 3389;
    expect_eve(",\"app_proto\":\"rdp\",");
}

static void test_eve_reasons(void **state) {
    (void)state;
    static const char *const reasons[FS_END_COUNT] = {
        [FS_END_LIVE] = "unknown",  [FS_END_FIN] = "forced",     [FS_END_RST] = "forced",
        [FS_END_IDLE] = "timeout",  [FS_END_EVICTED] = "forced", [FS_END_PORT_REUSE] = "forced",
        [FS_END_FORCED] = "forced", [FS_END_INPUT] = "shutdown"};
    for (int end = 0; end < FS_END_COUNT; end++) {
        char part[64];
        F.record.flow.ended_by = (uint8_t)end;
        snprintf(part, sizeof part, "\"reason\":\"%s\"", reasons[end]);
        expect_eve(part);
    }
}

static void test_zeek(void **state) {
    (void)state;
    F.options.open_ns = START + SECONDS(86400 * 59 + 3600 + 120 + 3); /* leap day */
    assert_string_equal(zeek("ts"), "1704067200.000000");
    assert_non_null(strstr(F.sink.text, "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
                                        "#path\tconn\n#open\t2024-02-29-01-02-03\n#fields\tts\tuid\tid.orig_h\t"));
    assert_non_null(strstr(F.sink.text, "\n#types\ttime\tstring\taddr\tport\t"));
    assert_string_equal(zeek("id.orig_h"), "10.0.0.1");
    assert_string_equal(zeek("id.orig_p"), "40000");
    assert_string_equal(zeek("id.resp_h"), "10.0.0.2");
    assert_string_equal(zeek("id.resp_p"), "80");
    assert_string_equal(zeek("proto"), "tcp");
    assert_string_equal(zeek("service"), "-");
    assert_string_equal(zeek("duration"), "1.500000"); /* without the last acknowledgement */
    assert_string_equal(zeek("orig_bytes"), "10");
    assert_string_equal(zeek("resp_bytes"), "300");
    assert_string_equal(zeek("conn_state"), "SF");
    assert_string_equal(zeek("local_orig"), "-");
    assert_string_equal(zeek("missed_bytes"), "0");
    assert_string_equal(zeek("history"), "ShADdFf");
    assert_string_equal(zeek("orig_pkts"), "5");
    assert_string_equal(zeek("orig_ip_bytes"), "210");
    assert_string_equal(zeek("resp_pkts"), "3");
    assert_string_equal(zeek("resp_ip_bytes"), "420");
    assert_string_equal(zeek("tunnel_parents"), "-");
    assert_string_equal(zeek("ip_proto"), "6");
    assert_string_equal(zeek("vlan"), "-");
    assert_int_equal(fs_record_end(&F.writer, START), 0);
    assert_non_null(strstr(F.sink.text, "\n#close\t2024-01-01-00-00-00\n"));
}

static void test_zeek_has_no_extent_of_one_packet(void **state) {
    (void)state;
    struct fs_packet udp = udp_between(A, B, START, 5);
    struct fs_flow_info info = flow_of(&udp, 1);
    fs_record_from_flow(&F.record, &info);
    assert_string_equal(zeek("proto"), "udp");
    assert_string_equal(zeek("duration"), "-");
    assert_string_equal(zeek("orig_bytes"), "-");
    assert_string_equal(zeek("resp_bytes"), "-");
    assert_string_equal(zeek("history"), "D");
    F.record.flow.last_ns += 1500; /* half a microsecond is rounded up */
    assert_string_equal(zeek("duration"), "0.000002");
    assert_string_equal(zeek("orig_bytes"), "5");
    assert_string_equal(zeek("resp_bytes"), "0");
    F.record.flow.last_ns = 0; /* a clock that went back */
    assert_string_equal(zeek("duration"), "-");
    assert_string_equal(csv("duration"), "0.000000000");
}

static void icmp_flow(uint8_t protocol, uint8_t type, uint8_t code, bool answered) {
    struct fs_packet packets[2];
    const uint8_t a[16] = {0xfe, 0x80, [3] = 2, [15] = 2}, b[16] = {0xfe, 0x80, [3] = 1, [15] = 1};
    enum fs_family family = protocol == FS_PROTO_ICMP ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
    for (int i = 0; i < 2; i++) {
        packets[i] = packet_between(protocol, A, B, START + MS(i));
        int answer = fs_icmp_counterpart(protocol, type);
        packets[i].orientation = (uint8_t)fs_key_set_icmp(&packets[i].key, family, i ? b : a, i ? a : b, protocol,
                                                          i ? (uint8_t)answer : type, code, 9, false);
    }
    struct fs_flow_info info = flow_of(packets, answered ? 2 : 1);
    fs_record_from_flow(&F.record, &info);
}

static void test_icmp(void **state) {
    (void)state;
    icmp_flow(FS_PROTO_ICMP, 8, 0, true);
    assert_string_equal(zeek("proto"), "icmp");
    assert_string_equal(zeek("id.orig_p"), "8");
    assert_string_equal(zeek("id.resp_p"), "0");
    assert_string_equal(zeek("history"), "-");
    assert_string_equal(zeek("conn_state"), "OTH");
    expect_eve("\"proto\":\"ICMP\",\"icmp_type\":8,\"icmp_code\":0,\"response_icmp_type\":0,\"response_icmp_code\":0,");
    expect_no_eve("src_port");
    assert_string_equal(csv("icmp_type"), "8");
    assert_string_equal(csv("initiator_port"), "");
    icmp_flow(FS_PROTO_ICMP, 0, 0, true); /* the answer was seen first */
    assert_string_equal(zeek("id.orig_p"), "0");
    assert_string_equal(zeek("id.resp_p"), "8");
    icmp_flow(FS_PROTO_ICMP, 3, 4, false);
    assert_string_equal(zeek("id.orig_p"), "3");
    assert_string_equal(zeek("id.resp_p"), "4");
    expect_eve("\"icmp_type\":3,\"icmp_code\":4,\"flow\":{");
    icmp_flow(FS_PROTO_ICMPV6, 135, 0, true);
    assert_string_equal(zeek("id.orig_p"), "135");
    assert_string_equal(zeek("id.resp_p"), "136");
    assert_string_equal(zeek("id.orig_h"), "fe80:2::2");
    expect_eve("\"ip_v\":6,\"proto\":\"IPv6-ICMP\",\"icmp_type\":135,");
}

static void test_what_formats_skip(void **state) {
    (void)state;
    static const struct {
        uint8_t protocol;
        bool eve, zeek;
    } cases[] = {{FS_PROTO_TCP, true, true},    {FS_PROTO_UDP, true, true},   {FS_PROTO_SCTP, true, true},
                 {FS_PROTO_ESP, true, true},    {FS_PROTO_GRE, false, false}, {FS_PROTO_IPV4, false, false},
                 {FS_PROTO_IPV6, false, false}, {FS_PROTO_OSPF, false, true}, {FS_PROTO_IGMP, false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fs_packet packet = packet_between(cases[i].protocol, A, B, START);
        struct fs_flow_info info = flow_of(&packet, 1);
        fs_record_from_flow(&F.record, &info);
        assert_int_equal(*written(FS_RECORD_EVE) != '\0', cases[i].eve);
        assert_int_equal(F.writer.written, cases[i].eve);
        assert_int_equal(F.writer.skipped, !cases[i].eve);
        assert_int_equal(*written(FS_RECORD_ZEEK) != '\0', cases[i].zeek);
        assert_true(*written(FS_RECORD_CSV));
    }
    F.record.flow.key.kind = FS_KEY_MAC_PAIR;
    F.record.flow.key.family = FS_FAMILY_MAC;
    assert_int_equal(*written(FS_RECORD_EVE), '\0');
    assert_int_equal(*written(FS_RECORD_ZEEK), '\0');
    assert_string_equal(csv("protocol"), "MAC");
    assert_string_equal(csv("initiator"), "0a:00:00:01:00:00");
}

static void test_parents(void **state) {
    (void)state;
    struct fs_flow_info carrier = F.record.flow, other = F.record.flow;
    carrier.id = 7;
    carrier.first_ns++;
    other.id = 8;
    other.first_ns += 2;
    F.record.flow.parent = 7;
    struct fs_flow_info info = F.record.flow;
    fs_record_from_flow(&F.record, &info);
    assert_int_equal(F.record.parent_count, 1);
    assert_string_equal(csv("parents"), "7");
    assert_string_equal(zeek("tunnel_parents"), "-"); /* its uid is not known yet */
    expect_no_eve("parent_id");
    assert_int_equal(fs_record_add_parent(&F.record, &carrier, 5), 0);
    assert_int_equal(fs_record_add_parent(&F.record, &other, 5), 0);
    assert_int_equal(F.record.parent_count, 2);
    char first[FS_UID_SIZE], second[FS_UID_SIZE], both[64];
    fs_flow_uid(&carrier, 5, first);
    fs_flow_uid(&other, 5, second);
    snprintf(both, sizeof both, "%s,%s", first, second);
    assert_string_equal(csv("parents"), "7+8");
    assert_string_equal(zeek("tunnel_parents"), both);
    expect_eve(",\"parent_id\":");
    for (uint64_t id = 9; id < 11; id++) {
        other.id = id;
        assert_int_equal(fs_record_add_parent(&F.record, &other, 5), 0);
    }
    other.id = 11;
    assert_int_equal(fs_record_add_parent(&F.record, &other, 5), FS_ERR_LIMIT);
    assert_int_equal(F.record.parent_count, FS_RECORD_PARENT_MAX);
}

/* ---- names ---- */

static void test_uid(void **state) {
    (void)state;
    char uid[FS_UID_SIZE], other[FS_UID_SIZE];
    assert_int_equal(fs_flow_uid(&F.record.flow, 0, uid), 18);
    assert_string_equal(uid, "CWj7KRSn231WblsmIQ"); /* a contract: the same on every machine */
    assert_int_equal(strspn(uid, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 18);
    fs_flow_uid(&F.record.flow, 1, other);
    assert_string_not_equal(uid, other);
    struct fs_flow_info flow = F.record.flow;
    flow.id = 99; /* is no part of it */
    fs_flow_uid(&flow, 0, other);
    assert_string_equal(uid, other);
    flow.first_ns++;
    fs_flow_uid(&flow, 0, other);
    assert_string_not_equal(uid, other);
    flow = F.record.flow;
    flow.key.requester = 1;
    fs_flow_uid(&flow, 0, other);
    assert_string_not_equal(uid, other);
}

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        uint8_t address[16];
        const char *text;
    } cases[] = {
        {{0}, "::"},
        {{[15] = 1}, "::1"},
        {{0xff, 0x02, [15] = 0xfb}, "ff02::fb"},
        {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, "2001:db8:0:1:1:1:1:1"},
        {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}, "2001:db8::1:0:0:1"},
        {{0x20, 0x01, [13] = 0x0f, [15] = 0}, "2001::f:0"},
        {{1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
         "123:4567:89ab:cdef:123:4567:89ab:cdef"},
        {{[10] = 0xff, 0xff, 192, 0, 2, 33}, "::ffff:192.0.2.33"},
        {{[12] = 13, 1, 68, 3}, "::13.1.68.3"},
        {{1, [13] = 0}, "100::"},
    };
    char text[FS_ADDRESS_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(fs_address_text(FS_FAMILY_IPV6, cases[i].address, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
    const uint8_t bytes[16] = {255, 0, 10, 200, 0xab, 0x0c};
    fs_address_text(FS_FAMILY_IPV4, bytes, text);
    assert_string_equal(text, "255.0.10.200");
    fs_address_text(FS_FAMILY_MAC, bytes, text);
    assert_string_equal(text, "ff:00:0a:c8:ab:0c");
    fs_address_text(FS_FAMILY_NONE, bytes, text);
    assert_string_equal(text, "-");
}

static void test_format_names(void **state) {
    (void)state;
    assert_string_equal(fs_record_format_name(FS_RECORD_CSV), "csv");
    assert_string_equal(fs_record_format_name(FS_RECORD_EVE), "eve");
    assert_string_equal(fs_record_format_name(FS_RECORD_ZEEK), "zeek");
    assert_string_equal(fs_record_format_name(FS_RECORD_FORMAT_COUNT), "unknown");
    assert_string_equal(fs_record_format_name(-1), "unknown");
}

/* ---- dates ---- */

static void test_dates(void **state) {
    (void)state;
    static const struct {
        uint64_t seconds;
        unsigned year, month, day, hour, minute, second;
    } cases[] = {{0, 1970, 1, 1, 0, 0, 0},
                 {951782399, 2000, 2, 28, 23, 59, 59},
                 {951782400, 2000, 2, 29, 0, 0, 0},
                 {951868800, 2000, 3, 1, 0, 0, 0},
                 {4107542399, 2100, 2, 28, 23, 59, 59},
                 {4107542400, 2100, 3, 1, 0, 0, 0},
                 {1735689599, 2024, 12, 31, 23, 59, 59},
                 {18446744073, 2554, 7, 21, 23, 34, 33}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fs__date date;
        fs__date_of(cases[i].seconds * 1000000000 + 709551615, &date);
        assert_int_equal(date.year, cases[i].year);
        assert_int_equal(date.month, cases[i].month);
        assert_int_equal(date.day, cases[i].day);
        assert_int_equal(date.hour, cases[i].hour);
        assert_int_equal(date.minute, cases[i].minute);
        assert_int_equal(date.second, cases[i].second);
        assert_int_equal(date.nanosecond, 709551615);
    }
}

/* ---- hostile text ---- */

static void expect_escaped(const char *text, const char *json, const char *hex, const char *cell) {
    static char part[4096];
    F.record.application = NULL;
    F.record.summary = text;
    snprintf(part, sizeof part, "\"summary\":\"%s\"}}\n", json);
    expect_eve(part);
    snprintf(part, sizeof part, ",\"%s\"\r\n", cell);
    const char *line = written(FS_RECORD_CSV);
    if (strlen(line) < strlen(part) || strcmp(line + strlen(line) - strlen(part), part) != 0)
        fail_msg("%s in %s", part, line);
    F.record.application = text;
    assert_string_equal(zeek("service"), hex);
}

static void test_text_is_harmless(void **state) {
    (void)state;
    expect_escaped("plain text", "plain text", "plain text", "plain text");
    expect_escaped("a\r\nb\tc", "a\\u000d\\u000ab\\u0009c", "a\\x0d\\x0ab\\x09c", "a\\x0d\\x0ab\\x09c");
    expect_escaped("\x1b[31m\x7f", "\\u001b[31m\\u007f", "\\x1b[31m\\x7f", "\\x1b[31m\\x7f");
    expect_escaped("say \"hi\\\"", "say \\\"hi\\\\\\\"", "say \"hi\\\\\"", "say \"\"hi\\\\\"\"");
    expect_escaped(
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_escaped("\xc2\x9b"
                   "1m",
                   "\\u009b1m", "\\xc2\\x9b1m", "\\xc2\\x9b1m"); /* C1: CSI */
    expect_escaped("\xc2\xa0", "\xc2\xa0", "\xc2\xa0", "\xc2\xa0");
    expect_escaped("a\xe2\x80\xa8"
                   "b",
                   "a\\u2028b", "a\\xe2\\x80\\xa8b", "a\\xe2\\x80\\xa8b"); /* line separator */
    expect_escaped("a\xe2\x80\xae"
                   "b",
                   "a\\u202eb", "a\\xe2\\x80\\xaeb", "a\\xe2\\x80\\xaeb"); /* right to left */
    expect_escaped("\xff\xc3", "\\u00ff\\u00c3", "\\xff\\xc3", "\\xff\\xc3");
    expect_escaped("\xc0\xaf", "\\u00c0\\u00af", "\\xc0\\xaf", "\\xc0\\xaf"); /* not the shortest form */
    expect_escaped("\xe0\x80\xaf", "\\u00e0\\u0080\\u00af", "\\xe0\\x80\\xaf", "\\xe0\\x80\\xaf");
    expect_escaped("\xed\xa0\x80", "\\u00ed\\u00a0\\u0080", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    expect_escaped("\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80");
    expect_escaped("-", "-", "\\x2d", "\\x2d");
    expect_escaped("(empty)", "(empty)", "\\x28empty)", "(empty)");
    expect_escaped("=1+1", "=1+1", "=1+1", "\\x3d1+1"); /* a formula */
}

static void test_text_is_bounded(void **state) {
    (void)state;
    static char text[3 * FS_RECORD_LINE_MAX];
    memset(text, 1, sizeof text - 1); /* each byte is written as six */
    F.record.application = F.record.summary = text;
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++)
        assert_true(strlen(written((enum fs_record_format)format)) > FS_RECORD_APPLICATION_MAX * 4);
    memset(text, 'x', sizeof text - 1);
    memcpy(text + FS_RECORD_APPLICATION_MAX - 1, "\xc3\xbc", 2); /* no half characters */
    assert_int_equal(strlen(zeek("service")), FS_RECORD_APPLICATION_MAX - 1);
}

/* ---- extremes ---- */

static void test_largest_record_fits(void **state) {
    (void)state;
    static char text[FS_RECORD_LINE_MAX];
    memset(text, 1, sizeof text - 1);
    struct fs_flow_info *flow = &F.record.flow;
    F.record.application = F.record.summary = text;
    memset(F.record.side, 0xff, sizeof F.record.side);
    for (int side = 0; side < 2; side++) {
        struct fs_record_side *more = &F.record.side[side];
        more->gap_bytes = more->retransmitted_bytes = more->out_of_order_bytes = UINT64_MAX - 1;
        more->overlap_bytes = more->conflict_bytes = more->duplicates = UINT64_MAX - 1;
        memset(&flow->side[side], 0xff, sizeof flow->side[side]);
        memset(&flow->tcp[side].rtt, 0xff, sizeof flow->tcp[side].rtt);
        flow->tcp[side].stream_bytes = UINT64_MAX;
        flow->tcp[side].retransmissions = flow->tcp[side].zero_windows = UINT32_MAX;
        flow->tcp[side].flags = 0xff;
    }
    memset(flow->key.address, 0xab, sizeof flow->key.address);
    flow->key.family = FS_FAMILY_IPV6;
    flow->key.domain = UINT32_MAX;
    flow->marks = 0xffff;
    flow->id = UINT64_MAX;
    flow->last_ns = flow->closed_ns = UINT64_MAX - 1;
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++)
        assert_true(*written((enum fs_record_format)format));
}

/* ---- sinks ---- */

static void test_a_failing_sink_is_told_once(void **state) {
    (void)state;
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++) {
        int headers = format != FS_RECORD_EVE;
        for (int fail_at = 1; fail_at <= 3 + headers; fail_at++) {
            memset(&F.sink, 0, sizeof F.sink);
            F.sink.fail_at = fail_at;
            F.options.format = (enum fs_record_format)format;
            int told = fs_record_begin(&F.writer, &F.options) == FS_ERR_WRITE;
            for (int i = 0; i < 3; i++)
                told += fs_record_write(&F.writer, &F.record) == FS_ERR_WRITE;
            assert_int_equal(fs_record_end(&F.writer, START), 0);
            assert_int_equal(told, 1);
            assert_true(F.writer.failed);
            assert_int_equal(F.sink.calls, fail_at);
            assert_int_equal(F.writer.written, fail_at - 1 - headers < 0 ? 0 : fail_at - 1 - headers);
        }
    }
}

static void test_bad_options(void **state) {
    (void)state;
    F.options.format = FS_RECORD_FORMAT_COUNT;
    assert_int_equal(fs_record_begin(&F.writer, &F.options), FS_ERR_INVALID);
    assert_int_equal(fs_record_write(&F.writer, &F.record), 0);
    F.options.format = FS_RECORD_CSV;
    F.options.write = NULL;
    assert_int_equal(fs_record_begin(&F.writer, &F.options), FS_ERR_INVALID);
    assert_int_equal(fs_record_end(&F.writer, 0), 0);
    assert_int_equal(F.sink.calls, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_csv, setup),
        cmocka_unit_test_setup(test_csv_rows_are_as_long_as_the_header, setup),
        cmocka_unit_test_setup(test_optional_fields, setup),
        cmocka_unit_test_setup(test_streams, setup),
        cmocka_unit_test_setup(test_sides_without_stream, setup),
        cmocka_unit_test_setup(test_eve, setup),
        cmocka_unit_test_setup(test_eve_tcp_states, setup),
        cmocka_unit_test_setup(test_eve_applications, setup),
        cmocka_unit_test_setup(test_eve_reasons, setup),
        cmocka_unit_test_setup(test_zeek, setup),
        cmocka_unit_test_setup(test_zeek_has_no_extent_of_one_packet, setup),
        cmocka_unit_test_setup(test_icmp, setup),
        cmocka_unit_test_setup(test_what_formats_skip, setup),
        cmocka_unit_test_setup(test_parents, setup),
        cmocka_unit_test_setup(test_uid, setup),
        cmocka_unit_test_setup(test_addresses, setup),
        cmocka_unit_test_setup(test_format_names, setup),
        cmocka_unit_test_setup(test_dates, setup),
        cmocka_unit_test_setup(test_text_is_harmless, setup),
        cmocka_unit_test_setup(test_text_is_bounded, setup),
        cmocka_unit_test_setup(test_largest_record_fits, setup),
        cmocka_unit_test_setup(test_a_failing_sink_is_told_once, setup),
        cmocka_unit_test_setup(test_bad_options, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
