/* SPDX-License-Identifier: MIT */
/* Events of EVE: what a message or an anomaly becomes, which ones become none, and hostile text in them. */
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/record.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"
#include "packet_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define START SECONDS(1704067200) /* 2024-01-01 */

static struct fixture {
    char line[FS_RECORD_EVENT_MAX + 1];
    size_t length;
    int calls;
    bool failing;
    struct fs_record_writer writer;
    struct fs_record_flow record;
    struct fs_message message;
} F;

static int take(const char *bytes, size_t length, void *user) {
    (void)user;
    F.calls++;
    assert_true(length > 0 && length <= FS_RECORD_EVENT_MAX && bytes[length - 1] == '\n');
    memcpy(F.line, bytes, length);
    F.line[length] = '\0';
    F.length = length;
    return F.failing ? -1 : 0;
}

static void begin(enum fs_record_format format) {
    struct fs_record_options options = {.format = format, .write = take};
    F.failing = false;
    assert_int_equal(fs_record_begin(&F.writer, &options), 0);
    F.calls = 0;
}

static int setup(void **state) {
    (void)state;
    memset(&F, 0, sizeof F);
    const struct end a = {1, 40000}, b = {2, 80};
    struct fs_packet packet = udp_between(a, b, START, 10);
    struct fs_flow_info info = {.key = packet.key,
                                .initiator_orientation = packet.orientation,
                                .id = 7,
                                .parent = FS_NO_FLOW,
                                .first_ns = START};
    fs_record_from_flow(&F.record, &info);
    F.record.vlan[0] = 5;
    F.message = (struct fs_message){.kind = FS_MESSAGE_RESPONSE,
                                    .side = FS_RESPONDER,
                                    .exchange = 3,
                                    .start_ns = START + MS(20),
                                    .end_ns = START + MS(25),
                                    .start_frame = 11,
                                    .end_frame = 12,
                                    .request_ns = START + MS(10),
                                    .request_frame = 9};
    begin(FS_RECORD_EVE);
    return 0;
}

static void write_message(uint8_t protocol, const void *detail) {
    struct fs_message message = F.message;
    message.protocol = protocol;
    message.detail = detail;
    assert_int_equal(fs_record_write_message(&F.writer, &F.record, &message), 0);
}

static void expect(const char *part) {
    if (!strstr(F.line, part))
        fail_msg("no %s in %s", part, F.line);
}

static void expect_none(const char *part) {
    if (strstr(F.line, part))
        fail_msg("%s in %s", part, F.line);
}

static struct fs_http_text text(const char *string) {
    return (struct fs_http_text){(const uint8_t *)string, strlen(string)};
}

/* ---- HTTP ---- */

static struct fs_http_message response(void) {
    return (struct fs_http_message){.is_response = true,
                                    .version_major = 1,
                                    .version_minor = 1,
                                    .status = 302,
                                    .flags = FS_HTTP_CHUNKED | FS_HTTP_TE_AND_CL,
                                    .method = text("GET"),
                                    .target = text("/a?b=\"c\""),
                                    .host = text("WWW.Example.org:8080"),
                                    .user_agent = text("curl/8"),
                                    .referer = text("http://x/"),
                                    .content_type = text("text/html; charset=utf-8"),
                                    .location = text("/b"),
                                    .body_bytes = 1234,
                                    .request_end_ns = START + MS(10)};
}

static void test_http(void **state) {
    (void)state;
    struct fs_http_message http = response();
    write_message(FS_SESSION_HTTP, &http);
    expect("{\"timestamp\":\"2024-01-01T00:00:00.025000+0000\",\"flow_id\":");
    expect(",\"pcap_cnt\":12,\"event_type\":\"http\",\"vlan\":[5],\"src_ip\":\"10.0.0.1\",\"src_port\":40000,"
           "\"dest_ip\":\"10.0.0.2\",\"dest_port\":80,\"ip_v\":4,\"proto\":\"UDP\",\"pkt_src\":\"wire/"
           "pcap\",\"tx_id\":2,");
    expect("\"http\":{\"hostname\":\"www.example.org\",\"http_port\":8080,\"url\":\"/a?b=\\\"c\\\"\","
           "\"http_user_agent\":\"curl/8\",\"http_content_type\":\"text/html\",\"http_refer\":\"http://x/\","
           "\"http_method\":\"GET\",\"protocol\":\"HTTP/1.1\",\"status\":302,\"redirect\":\"/b\",\"length\":1234},"
           "\"community_id\":\"1:");
    expect("\"flowscope\":{\"flow\":7,\"uid\":\"C");
    expect("\"start_frame\":11,\"end_frame\":12,\"request_frame\":9,\"time_ns\":10000000,"
           "\"marks\":[\"chunked\",\"te-and-cl\"]}}\n");
    assert_int_equal(F.writer.events, 1);
    assert_int_equal(F.writer.written, 0);
}

static void expect_host(const char *method, const char *target, const char *host, const char *wanted) {
    struct fs_http_message http = response();
    http.method = text(method);
    http.target = text(target);
    http.host = text(host);
    write_message(FS_SESSION_HTTP, &http);
    expect(wanted);
}

static void test_http_authority(void **state) {
    (void)state;
    expect_host("GET", "/", "a", "{\"hostname\":\"a\",\"url\"");
    expect_host("GET", "/", "[2001:db8::1]:81", "{\"hostname\":\"[2001:db8::1]\",\"http_port\":81,");
    expect_host("GET", "/", "[2001:db8::1]", "{\"hostname\":\"[2001:db8::1]\",\"url\"");
    expect_host("GET", "/", "a:x", "{\"hostname\":\"a:x\",\"url\"");
    expect_host("GET", "/", "a:65536", "{\"hostname\":\"a:65536\",\"url\"");
    expect_host("GET", "/", "", "\"http\":{\"url\":\"/\"");
    expect_host("CONNECT", "b:443", "a", "{\"hostname\":\"b\",\"http_port\":443,");
    expect_host("GET", "http://u:p@b:82/x", "a", "{\"hostname\":\"b\",\"http_port\":82,\"url\":\"http://u:p@b:82/x\"");
    expect_host("GET", "https://b", "a", "{\"hostname\":\"b\",\"url\"");
    expect_host("GET", "https:/", "a", "\"http\":{\"url\"");
}

static void test_http_without_response(void **state) {
    (void)state;
    struct fs_http_message http = {.version_major = 1, .method = text("POST"), .request_end_ns = FS_NO_TIME};
    F.message.kind = FS_MESSAGE_UNANSWERED;
    F.message.request_ns = FS_NO_TIME;
    F.message.request_frame = 0;
    write_message(FS_SESSION_HTTP, &http);
    expect("\"http\":{\"http_method\":\"POST\",\"protocol\":\"HTTP/1.0\",\"length\":0}");
    expect("\"end_frame\":12,\"unanswered\":true}}\n");
    expect_none("marks");
}

static void test_what_is_no_event(void **state) {
    (void)state;
    struct fs_http_message http = response();
    struct fs_tls_message tls = {.type = FS_TLS_ALERT};
    F.message.kind = FS_MESSAGE_REQUEST;
    write_message(FS_SESSION_HTTP, &http);
    http.flags = FS_HTTP_INTERIM;
    F.message.kind = FS_MESSAGE_RESPONSE;
    write_message(FS_SESSION_HTTP, &http);
    write_message(FS_SESSION_LENGTH_PREFIXED, NULL);
    tls.type = FS_TLS_HELLO_RETRY_REQUEST;
    write_message(FS_SESSION_TLS, &tls);
    F.message.kind = FS_MESSAGE_NOTICE;
    write_message(FS_SESSION_TLS, &tls);
    F.record.flow.key.protocol = FS_PROTO_DCCP; /* Suricata has no such flows */
    http.flags = 0;
    F.message.kind = FS_MESSAGE_RESPONSE;
    write_message(FS_SESSION_HTTP, &http);
    assert_int_equal(F.calls, 0);
    F.record.flow.key.protocol = FS_PROTO_TCP;
    begin(FS_RECORD_CSV);
    write_message(FS_SESSION_HTTP, &http);
    begin(FS_RECORD_ZEEK);
    write_message(FS_SESSION_HTTP, &http);
    assert_int_equal(F.calls, 0);
    assert_int_equal(F.writer.events, 0);
}

/* ---- TLS ---- */

static void test_tls(void **state) {
    (void)state;
    struct fs_tls_message tls = {.type = FS_TLS_SERVER_HELLO,
                                 .flags = FS_TLS_RESUMED,
                                 .version = 0x0304,
                                 .alpn = {(const uint8_t *)"h2", 2},
                                 .ja3_text = "771,4865,43",
                                 .ja3s = "00112233445566778899aabbccddeeff",
                                 .client = {.server_name = {(const uint8_t *)"a.example", 9},
                                            .alpn = {{(const uint8_t *)"h2", 2}, {(const uint8_t *)"http/1.1", 8}},
                                            .alpn_count = 2,
                                            .ja3 = "ffeeddccbbaa99887766554433221100",
                                            .ja4 = "t13d1516h2_8daaf6152771_b186095e22b6"}};
    write_message(FS_SESSION_TLS, &tls);
    expect("\"event_type\":\"tls\"");
    expect(",\"tls\":{\"sni\":\"a.example\",\"version\":\"TLS 1.3\",\"session_resumed\":true,"
           "\"ja3\":{\"hash\":\"ffeeddccbbaa99887766554433221100\"},"
           "\"ja3s\":{\"hash\":\"00112233445566778899aabbccddeeff\",\"string\":\"771,4865,43\"},"
           "\"ja4\":\"t13d1516h2_8daaf6152771_b186095e22b6\",\"client_alpns\":[\"h2\",\"http/1.1\"],"
           "\"server_alpns\":[\"h2\"]},\"community_id\"");
    static const struct {
        uint16_t version;
        const char *name;
    } versions[] = {{0x0300, "\"SSLv3\""},  {0x0301, "\"TLSv1\""},  {0x0302, "\"TLS 1.1\""}, {0x0303, "\"TLS 1.2\""},
                    {0x7f12, "\"0x7f12\""}, {0x0305, "\"0x0305\""}, {0, "\"UNDETERMINED\""}};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        tls.version = versions[i].version;
        write_message(FS_SESSION_TLS, &tls);
        expect(versions[i].name);
    }
}

static void test_tls_without_answer(void **state) {
    (void)state;
    struct fs_tls_message tls = {.type = FS_TLS_CLIENT_HELLO,
                                 .version = 0x0304,
                                 .ja3_text = "771,4865,43",
                                 .client = {.ja3 = "ffeeddccbbaa99887766554433221100"}};
    F.message.kind = FS_MESSAGE_UNANSWERED;
    write_message(FS_SESSION_TLS, &tls);
    expect("\"tls\":{\"version\":\"UNDETERMINED\",\"ja3\":{\"hash\":\"ffeeddccbbaa99887766554433221100\"}}");
    expect("\"unanswered\":true");
}

/* ---- DNS ---- */

/* A response that is built as it goes on the wire. */
struct wire {
    uint8_t bytes[65535];
    size_t length;
};

static void put(struct wire *wire, const char *bytes, size_t length) {
    assert_true(wire->length + length <= sizeof wire->bytes);
    memcpy(wire->bytes + wire->length, bytes, length);
    wire->length += length;
}
#define PUT(wire, literal) put(wire, literal, sizeof(literal) - 1)

static void begin_response(struct wire *wire, const char counts[8]) {
    wire->length = 0;
    PUT(wire, "\x12\x34\x85\x80");
    put(wire, counts, 8);
    PUT(wire, "\x01"
              "a\x07"
              "example\x00\x00\x01\x00\x01"); /* a.example A IN */
}

/* A record of the name of the question. */
static void put_record(struct wire *wire, uint16_t type, const char *data, size_t length) {
    const char head[] = {'\xc0', '\x0c', (char)(type >> 8),   (char)type,    0, 1, 0, 0,
                         0,      60,     (char)(length >> 8), (char)(length)};
    put(wire, head, sizeof head);
    put(wire, data, length);
}
#define RECORD(wire, type, literal) put_record(wire, type, literal, sizeof(literal) - 1)

static void write_dns(const struct wire *wire) {
    static struct fs_dns_store store;
    struct fs_dns_message dns;
    assert_true(fs_dns_decode(&dns, &store, wire->bytes, wire->length, 0));
    write_message(FS_SESSION_DNS, &dns);
}

static struct wire W;

static void test_dns_query(void **state) {
    (void)state;
    PUT(&W, "\x12\x34\x01\x00\0\1\0\0\0\0\0\0\x01"
            "a\x07"
            "example\x00\x00\x1c\x00\x01");
    F.message.kind = FS_MESSAGE_REQUEST;
    write_dns(&W);
    expect("\"event_type\":\"dns\"");
    expect(",\"dns\":{\"version\":3,\"type\":\"request\",\"tx_id\":2,\"id\":4660,\"flags\":\"100\",\"rd\":true,"
           "\"opcode\":0,\"rcode\":\"NOERROR\",\"queries\":[{\"rrname\":\"a.example\",\"rrtype\":\"AAAA\"}]},");
    expect("\"src_ip\":\"10.0.0.1\"");
}

static void test_dns_response(void **state) {
    (void)state;
    begin_response(&W, "\0\1\0\6\0\1\0\2");
    RECORD(&W, FS_DNS_CNAME, "\1b\xc0\x0e");
    RECORD(&W, FS_DNS_A, "\xc0\x00\x02\x01");
    RECORD(&W, FS_DNS_A, "\xc0\x00\x02\x02");
    RECORD(&W, FS_DNS_AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
    RECORD(&W, FS_DNS_TXT, "\x03one\x00\x05tw\"o\x1b");
    RECORD(&W, FS_DNS_MX, "\0\x0a\xc0\x0c");
    RECORD(&W, FS_DNS_SOA, "\1m\xc0\x0e\1r\xc0\x0e\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5");
    RECORD(&W, FS_DNS_SRV, "\0\1\0\2\0\x50\1s\xc0\x0e");
    RECORD(&W, FS_DNS_SSHFP, "\1\2\xab\xcd");
    write_dns(&W);
    expect("\"dns\":{\"version\":3,\"type\":\"response\",\"tx_id\":2,\"id\":4660,\"flags\":\"8580\",\"qr\":true,"
           "\"aa\":true,\"rd\":true,\"ra\":true,\"opcode\":0,\"rcode\":\"NOERROR\","
           "\"queries\":[{\"rrname\":\"a.example\",\"rrtype\":\"A\"}],\"answers\":["
           "{\"rrname\":\"a.example\",\"rrtype\":\"CNAME\",\"ttl\":60,\"rdata\":\"b.example\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"ttl\":60,\"rdata\":\"192.0.2.1\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"ttl\":60,\"rdata\":\"192.0.2.2\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"AAAA\",\"ttl\":60,"
           "\"rdata\":\"2001:0db8:0000:0000:0000:0000:0000:0001\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"TXT\",\"ttl\":60,\"rdata\":\"one\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"TXT\",\"ttl\":60,\"rdata\":\"\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"TXT\",\"ttl\":60,\"rdata\":\"tw\\\"o\\u001b\"},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"MX\",\"ttl\":60,\"rdata\":\"a.example\"}],"
           "\"grouped\":{\"CNAME\":[\"b.example\"],\"A\":[\"192.0.2.1\",\"192.0.2.2\"],"
           "\"AAAA\":[\"2001:0db8:0000:0000:0000:0000:0000:0001\"],\"TXT\":[\"one\",\"\",\"tw\\\"o\\u001b\"],"
           "\"MX\":[\"a.example\"]},\"authorities\":["
           "{\"rrname\":\"a.example\",\"rrtype\":\"SOA\",\"ttl\":60,\"soa\":{\"mname\":\"m.example\","
           "\"rname\":\"r.example\",\"serial\":1,\"refresh\":2,\"retry\":3,\"expire\":4,\"minimum\":5}}],"
           "\"additionals\":[{\"rrname\":\"a.example\",\"rrtype\":\"SRV\",\"ttl\":60,"
           "\"srv\":{\"priority\":1,\"weight\":2,\"port\":80,\"name\":\"s.example\"}},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"SSHFP\",\"ttl\":60,"
           "\"sshfp\":{\"fingerprint\":\"ab:cd\",\"algo\":1,\"type\":2}}]},");
    expect_none("\"cut\"");
}

static void test_dns_oddities(void **state) {
    (void)state;
    begin_response(&W, "\0\1\0\4\0\0\0\1");
    RECORD(&W, FS_DNS_A, "\xc0\x00\x02");  /* too short */
    RECORD(&W, FS_DNS_SOA, "\1m\xc0\x0e"); /* likewise */
    RECORD(&W, FS_DNS_TXT, "");
    RECORD(&W, 65280, "x");
    RECORD(&W, FS_DNS_OPT, "");
    W.bytes[3] |= 3;
    write_dns(&W);
    expect("\"rcode\":\"NXDOMAIN\"");
    expect("\"answers\":[{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"ttl\":60},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"SOA\",\"ttl\":60},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"TXT\",\"ttl\":60},"
           "{\"rrname\":\"a.example\",\"rrtype\":\"65280\",\"ttl\":60}],\"grouped\":{");
    expect_none("additionals");
}

static void test_dns_of_groups_and_timeouts(void **state) {
    (void)state;
    begin_response(&W, "\0\1\0\0\0\0\0\0");
    F.message.kind = FS_MESSAGE_UNANSWERED; /* the query had its event */
    write_dns(&W);
    F.message.kind = FS_MESSAGE_NOTICE;
    F.record.flow.key.address[fs_endpoint(&F.record.flow, FS_RESPONDER)][0] = 224;
    write_dns(&W);
    assert_int_equal(F.calls, 0);
    F.record.flow.key.address[fs_endpoint(&F.record.flow, FS_RESPONDER)][0] = 223;
    write_dns(&W);
    assert_int_equal(F.calls, 1);
}

/* What the sender writes may be long: a line keeps its shape and its bound. */
static void test_dns_without_end(void **state) {
    (void)state;
    static char strings[60000];
    for (unsigned fill = 0; fill < 3; fill++) {
        begin_response(&W, "\0\1\0\1\0\0\0\0");
        memset(strings, fill == 0 ? 0 : 1, sizeof strings); /* empty strings; strings of one \1 */
        for (size_t at = 0; fill == 2 && at + 256 <= sizeof strings; at += 256) {
            memset(strings + at, 0x1b, 256);
            strings[at] = '\xff';
        }
        put_record(&W, FS_DNS_TXT, strings, fill == 2 ? sizeof strings / 256 * 256 : sizeof strings);
        write_dns(&W);
        expect("]}},\"community_id\":");
        expect("\"grouped\":{\"TXT\":[");
        expect("\"cut\":true}}\n");
        assert_true(F.length > FS_RECORD_EVENT_MAX / 2);
    }
}

static void test_text_is_harmless(void **state) {
    (void)state;
    static uint8_t hostile[2048];
    for (size_t i = 0; i < sizeof hostile; i++)
        hostile[i] = (uint8_t)i;
    const struct fs_http_text all = {hostile, sizeof hostile};
    struct fs_http_message http = response();
    http.flags = UINT32_MAX & ~(uint32_t)FS_HTTP_INTERIM;
    http.method = http.target = http.host = http.user_agent = http.referer = http.content_type = http.location = all;
    write_message(FS_SESSION_HTTP, &http);
    assert_ptr_equal(strchr(F.line, '\n'), F.line + F.length - 1);
    for (size_t i = 0; i + 1 < F.length; i++)
        assert_true((unsigned char)F.line[i] >= 0x20 && F.line[i] != 0x7f);
    expect("\"http_user_agent\":\"\\u0000\\u0001");
    memset(hostile, 1, sizeof hostile); /* the longest there is */
    write_message(FS_SESSION_HTTP, &http);
    expect("}}\n");
    assert_int_equal(F.writer.events, 2);
}

/* ---- anomalies ---- */

static void write_anomaly(unsigned bit, enum fs_side side) {
    const struct fs_record_anomaly anomaly = {bit, side, START + MS(5), 17};
    assert_int_equal(fs_record_write_anomaly(&F.writer, &F.record, &anomaly), 0);
}

static void test_anomalies(void **state) {
    (void)state;
    write_anomaly(FS_ANOMALY_CONFLICT, FS_RESPONDER);
    expect("{\"timestamp\":\"2024-01-01T00:00:00.005000+0000\",");
    expect(",\"pcap_cnt\":17,\"event_type\":\"anomaly\",\"vlan\":[5],\"src_ip\":\"10.0.0.2\",\"src_port\":80,"
           "\"dest_ip\":\"10.0.0.1\",\"dest_port\":40000,");
    expect(",\"anomaly\":{\"type\":\"stream\",\"event\":\"stream.reassembly_overlap_different_data\"},");
    expect(",\"anomaly\":\"conflict\"}}\n");
    write_anomaly(FS_ANOMALY_GAP, FS_INITIATOR);
    expect("\"event\":\"stream.reassembly_seq_gap\"");
    expect("\"src_ip\":\"10.0.0.1\"");
    write_anomaly(FS_ANOMALY_SYN_ACK_MISMATCH, FS_RESPONDER);
    expect("\"event\":\"stream.3whs_synack_with_wrong_ack\"");
    write_anomaly(FS_ANOMALY_SYN_IN_FLOW, FS_INITIATOR);
    expect("\"event\":\"stream.est_syn_resend_diff_seq\"");
    write_anomaly(FS_ANOMALY_SYN_IN_FLOW, FS_RESPONDER);
    expect("\"event\":\"stream.est_syn_toclient\"");
    write_anomaly(FS_ANOMALY_TIME_BACKWARDS, FS_INITIATOR);
    expect("\"anomaly\":{\"type\":\"stream\"},");
    expect("\"anomaly\":\"time_backwards\"}}\n");
    assert_int_equal(F.writer.events, 6);
}

static void test_a_failing_sink_is_told_once(void **state) {
    (void)state;
    struct fs_http_message http = response();
    const struct fs_record_anomaly anomaly = {FS_ANOMALY_GAP, FS_INITIATOR, START, 1};
    struct fs_message message = F.message;
    message.protocol = FS_SESSION_HTTP;
    message.detail = &http;
    F.failing = true;
    assert_int_equal(fs_record_write_message(&F.writer, &F.record, &message), FS_ERR_WRITE);
    assert_int_equal(fs_record_write_message(&F.writer, &F.record, &message), 0);
    assert_int_equal(fs_record_write_anomaly(&F.writer, &F.record, &anomaly), 0);
    assert_int_equal(F.calls, 1);
    assert_int_equal(F.writer.events, 0);
    begin(FS_RECORD_EVE);
    F.failing = true;
    assert_int_equal(fs_record_write_anomaly(&F.writer, &F.record, &anomaly), FS_ERR_WRITE);
    assert_int_equal(fs_record_write(&F.writer, &F.record), 0);
    assert_int_equal(F.calls, 1);
}

static void test_which_formats(void **state) {
    (void)state;
    assert_true(fs_record_has_events(FS_RECORD_EVE));
    assert_false(fs_record_has_events(FS_RECORD_CSV));
    assert_false(fs_record_has_events(FS_RECORD_ZEEK));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_http, setup),
        cmocka_unit_test_setup(test_http_authority, setup),
        cmocka_unit_test_setup(test_http_without_response, setup),
        cmocka_unit_test_setup(test_what_is_no_event, setup),
        cmocka_unit_test_setup(test_tls, setup),
        cmocka_unit_test_setup(test_tls_without_answer, setup),
        cmocka_unit_test_setup(test_dns_query, setup),
        cmocka_unit_test_setup(test_dns_response, setup),
        cmocka_unit_test_setup(test_dns_oddities, setup),
        cmocka_unit_test_setup(test_dns_of_groups_and_timeouts, setup),
        cmocka_unit_test_setup(test_dns_without_end, setup),
        cmocka_unit_test_setup(test_text_is_harmless, setup),
        cmocka_unit_test_setup(test_anomalies, setup),
        cmocka_unit_test_setup(test_a_failing_sink_is_told_once, setup),
        cmocka_unit_test(test_which_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
