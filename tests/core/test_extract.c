/* SPDX-License-Identifier: MIT */
#include "flowscope/extract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- frames, built from the inside out: each function puts a header before what is there ---- */

struct bytes {
    uint8_t data[1024];
    size_t start; /* of what is there; it ends where data does */
};

static struct bytes nothing(void) {
    struct bytes bytes;
    memset(&bytes, 0, sizeof bytes);
    bytes.start = sizeof bytes.data;
    return bytes;
}

static size_t length_of(const struct bytes *bytes) {
    return sizeof bytes->data - bytes->start;
}

static uint8_t *before(struct bytes *bytes, size_t size) {
    assert_true(bytes->start >= size);
    bytes->start -= size;
    memset(bytes->data + bytes->start, 0, size);
    return bytes->data + bytes->start;
}

static void put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void raw(struct bytes *bytes, const char *text, size_t size) {
    memcpy(before(bytes, size), text, size);
}
#define RAW(bytes, text) raw(bytes, text, sizeof(text) - 1)

static void tcp(struct bytes *bytes) {
    uint8_t *header = before(bytes, 20);
    put16(header, 1234);
    put16(header + 2, 80);
    header[7] = 9;
    header[12] = 0x50;
    header[13] = 0x18;
}

static void udp(struct bytes *bytes, unsigned destination) {
    size_t length = length_of(bytes) + 8;
    uint8_t *header = before(bytes, 8);
    put16(header, 5000);
    put16(header + 2, destination);
    put16(header + 4, (unsigned)length);
}

static void ipv4(struct bytes *bytes, unsigned protocol) {
    size_t length = length_of(bytes) + 20;
    uint8_t *header = before(bytes, 20);
    header[0] = 0x45;
    put16(header + 2, (unsigned)length);
    header[8] = 64;
    header[9] = (uint8_t)protocol;
    memcpy(header + 12, "\x0a\0\0\1\x0a\0\0\2", 8);
}

static void ipv6(struct bytes *bytes, unsigned next) {
    size_t length = length_of(bytes);
    uint8_t *header = before(bytes, 40);
    memcpy(header, "\x60\x0a\xbc\xde", 4);
    put16(header + 4, (unsigned)length);
    header[6] = (uint8_t)next;
    header[7] = 64;
    header[8] = header[24] = 0x20;
    header[23] = 1;
    header[39] = 2;
}

static void ethernet(struct bytes *bytes, unsigned type) {
    uint8_t *header = before(bytes, 14);
    memcpy(header, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
    put16(header + 12, type);
}

static void tag(struct bytes *bytes, unsigned id, unsigned type) {
    uint8_t *header = before(bytes, 4);
    put16(header, id);
    put16(header + 2, type);
}

static struct bytes tcp_in_ipv4(void) {
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    ipv4(&bytes, 6);
    return bytes;
}

static struct bytes tcp_in_ipv6(void) {
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    ipv6(&bytes, 6);
    return bytes;
}

static struct bytes plain_frame(void) {
    struct bytes bytes = tcp_in_ipv4();
    ethernet(&bytes, 0x0800);
    return bytes;
}

/* ---- running ---- */

struct result {
    int count;
    struct fs_packet packets[FS_EXTRACT_MAX];
    uint8_t *copy;
};

static struct fs_extract_config defaults(void) {
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    return config;
}

/* From memory of exactly the captured size, so that a sanitizer sees a read behind it. */
static struct result run_cut(const struct bytes *bytes, uint32_t linktype, const struct fs_extract_config *config,
                             size_t captured) {
    struct result result;
    memset(&result, 0xa5, sizeof result);
    result.copy = malloc(captured ? captured : 1);
    assert_non_null(result.copy);
    memcpy(result.copy, bytes->data + bytes->start, captured);
    struct fs_frame frame = {.data = result.copy,
                             .captured = (uint32_t)captured,
                             .wire_len = (uint32_t)length_of(bytes),
                             .linktype = linktype,
                             .number = 7,
                             .interface = 3,
                             .time_ns = 99};
    result.count = fs_extract(config, &frame, result.packets);
    return result;
}

static struct result run(const struct bytes *bytes, uint32_t linktype) {
    struct fs_extract_config config = defaults();
    return run_cut(bytes, linktype, &config, length_of(bytes));
}

static void assert_hello(const struct fs_packet *packet, unsigned family) {
    assert_int_equal(packet->frame, 7);
    assert_int_equal(packet->time_ns, 99);
    assert_int_equal(packet->key.family, family);
    assert_int_equal(packet->key.protocol, 6);
    assert_int_equal(packet->key.port[0], 1234);
    assert_int_equal(packet->key.port[1], 80);
    assert_int_equal(packet->orientation, FS_FORWARD);
    assert_true(packet->flags & FS_PACKET_HAS_TCP);
    assert_int_equal(packet->tcp.seq, 9);
    assert_int_equal(packet->payload_len, 5);
    assert_int_equal(packet->payload_captured, 5);
    assert_memory_equal(packet->payload, "hello", 5);
    assert_int_equal(packet->ip_len, family == FS_FAMILY_IPV4 ? 45 : 65);
    assert_int_equal(packet->ttl, 64);
}

/* The frame gives `count` descriptors of which the last is our segment. */
static void expect(struct bytes bytes, uint32_t linktype, int count, unsigned family) {
    struct result result = run(&bytes, linktype);
    assert_int_equal(result.count, count);
    assert_hello(&result.packets[count - 1], family);
    for (int i = 0; i < count; i++)
        assert_int_equal(result.packets[i].wire_len, length_of(&bytes));
    free(result.copy);
}

static void expect_reject(struct bytes bytes, uint32_t linktype, int reject) {
    struct result result = run(&bytes, linktype);
    assert_int_equal(result.count, -reject);
    free(result.copy);
}

/* ---- link types ---- */

static void test_link_types(void **state) {
    (void)state;
    expect(plain_frame(), FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
    expect(tcp_in_ipv4(), FS_LINK_RAW, 1, FS_FAMILY_IPV4);
    expect(tcp_in_ipv6(), FS_LINK_RAW, 1, FS_FAMILY_IPV6);
    expect(tcp_in_ipv4(), FS_LINK_RAW_BSD, 1, FS_FAMILY_IPV4);
    expect(tcp_in_ipv4(), FS_LINK_RAW_OPENBSD, 1, FS_FAMILY_IPV4);
    expect(tcp_in_ipv4(), FS_LINK_IPV4, 1, FS_FAMILY_IPV4);
    expect(tcp_in_ipv6(), FS_LINK_IPV6, 1, FS_FAMILY_IPV6);
}

static void prefixed(const char *prefix, size_t size, bool v6, uint32_t linktype) {
    struct bytes bytes = v6 ? tcp_in_ipv6() : tcp_in_ipv4();
    raw(&bytes, prefix, size);
    expect(bytes, linktype, 1, v6 ? FS_FAMILY_IPV6 : FS_FAMILY_IPV4);
}
#define PREFIXED(prefix, v6, linktype) prefixed(prefix, sizeof(prefix) - 1, v6, linktype)

static void test_link_headers(void **state) {
    (void)state;
    PREFIXED("\2\0\0\0", false, FS_LINK_NULL);
    PREFIXED("\0\0\0\2", false, FS_LINK_NULL);
    PREFIXED("\x1e\0\0\0", true, FS_LINK_NULL);
    PREFIXED("\0\0\0\x18", true, FS_LINK_LOOP);
    PREFIXED("\0\0\0\x1c", true, FS_LINK_LOOP);
    PREFIXED("\x0a\0\0\0", true, FS_LINK_NULL);
    PREFIXED("\xff\3\0\x21", false, FS_LINK_PPP);
    PREFIXED("\0\x57", true, FS_LINK_PPP);
    PREFIXED("\x21", false, FS_LINK_PPP);
    PREFIXED("\xff\3\0\x21", false, FS_LINK_PPP_HDLC);
    PREFIXED("\x0f\0\x08\0", false, FS_LINK_PPP_HDLC);
    PREFIXED("\x8f\0\x08\0", false, FS_LINK_CISCO_HDLC);
    PREFIXED("\x11\0\0\1\0\x2f\0\x21", false, FS_LINK_PPPOE);
    PREFIXED("\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0", false, FS_LINK_LINUX_SLL);
    PREFIXED("\x86\xdd\0\0\0\0\0\1\0\1\0\6\2\0\0\0\0\1\0\0", true, FS_LINK_LINUX_SLL2);
    /* LLC and SNAP, and IP's own SAP */
    PREFIXED("\2\0\0\0\0\2\2\0\0\0\0\1\0\x35\xaa\xaa\3\0\0\0\x08\0", false, FS_LINK_ETHERNET);
    PREFIXED("\2\0\0\0\0\2\2\0\0\0\0\1\0\x30\6\6\3", false, FS_LINK_ETHERNET);
    /* Cisco FabricPath */
    PREFIXED("\2\0\0\0\0\4\2\0\0\0\0\3\x89\3\x40\x20\2\0\0\0\0\2\2\0\0\0\0\1\x08\0", false, FS_LINK_ETHERNET);
}

static void test_wlan(void **state) {
    (void)state;
    PREFIXED("\x08\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\xaa\xaa\3\0\0\0\x08\0", false, FS_LINK_IEEE802_11);
    /* QoS data, from the distribution system */
    PREFIXED("\x88\2\0\0\2\0\0\0\0\2\1\1\1\1\1\1\2\0\0\0\0\1\0\0\0\0\xaa\xaa\3\0\0\0\x86\xdd", true,
             FS_LINK_IEEE802_11);
    /* four addresses */
    PREFIXED("\x08\3\0\0\1\1\1\1\1\1\1\1\1\1\1\2\2\0\0\0\0\2\0\0\2\0\0\0\0\1\xaa\xaa\3\0\0\0\x08\0", false,
             FS_LINK_IEEE802_11);
    /* QoS with HT control */
    PREFIXED("\x88\x81\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\0\0\0\0\0\0\xaa\xaa\3\0\0\0\x08\0", false,
             FS_LINK_IEEE802_11);
    /* the first frame of an aggregate */
    PREFIXED("\x88\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\x80\0\2\0\0\0\0\2\2\0\0\0\0\1\0\x35\xaa\xaa\3\0\0\0"
             "\x08\0",
             false, FS_LINK_IEEE802_11);
    /* radiotap: flags, no checksum */
    PREFIXED("\0\0\x0a\0\2\0\0\0\0\0\x08\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\xaa\xaa\3\0\0\0\x08\0", false,
             FS_LINK_IEEE802_11_RADIOTAP);
}

/* ---- tags ---- */

static void test_tags(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    tag(&bytes, 5, 0x0800);
    ethernet(&bytes, 0x8100);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);

    bytes = tcp_in_ipv6();
    tag(&bytes, 5, 0x86dd);
    tag(&bytes, 6, 0x8100);
    ethernet(&bytes, 0x88a8);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV6);

    bytes = tcp_in_ipv4();
    RAW(&bytes, "\0\1\1\x40");
    RAW(&bytes, "\0\1\0\x40");
    ethernet(&bytes, 0x8847);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);

    bytes = plain_frame(); /* pseudowire with a control word */
    RAW(&bytes, "\0\0\0\0");
    RAW(&bytes, "\0\1\1\x40");
    ethernet(&bytes, 0x8848);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);

    bytes = tcp_in_ipv4();
    RAW(&bytes, "\x11\0\0\1\0\x2f\0\x21");
    ethernet(&bytes, 0x8864);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
}

static void test_tags_have_a_limit(void **state) {
    (void)state;
    for (int tags = FS_EXTRACT_MAX_TAGS; tags <= FS_EXTRACT_MAX_TAGS + 1; tags++) {
        struct bytes bytes = tcp_in_ipv4();
        tag(&bytes, 1, 0x0800);
        for (int i = 1; i < tags; i++)
            tag(&bytes, 1, 0x8100);
        ethernet(&bytes, 0x8100);
        if (tags <= FS_EXTRACT_MAX_TAGS)
            expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
        else
            expect_reject(bytes, FS_LINK_ETHERNET, FS_REJECT_DEPTH);

        bytes = tcp_in_ipv4();
        RAW(&bytes, "\0\1\1\x40");
        for (int i = 1; i < tags; i++)
            RAW(&bytes, "\0\1\0\x40");
        ethernet(&bytes, 0x8847);
        if (tags <= FS_EXTRACT_MAX_TAGS)
            expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
        else
            expect_reject(bytes, FS_LINK_ETHERNET, FS_REJECT_DEPTH);
    }
}

/* ---- tunnels ---- */

static struct bytes gre_tunnel(struct bytes inner, const char *header, size_t size) {
    raw(&inner, header, size);
    ipv4(&inner, 47);
    ethernet(&inner, 0x0800);
    return inner;
}
#define GRE(inner, header) gre_tunnel(inner, header, sizeof(header) - 1)

static struct bytes udp_tunnel(struct bytes inner, const char *header, size_t size, unsigned port) {
    raw(&inner, header, size);
    udp(&inner, port);
    ipv4(&inner, 17);
    ethernet(&inner, 0x0800);
    return inner;
}
#define UDP(inner, header, port) udp_tunnel(inner, header, sizeof(header) - 1, port)

static void test_tunnels(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    ipv4(&bytes, 4);
    ethernet(&bytes, 0x0800);
    expect(bytes, FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    bytes = tcp_in_ipv6();
    ipv4(&bytes, 41);
    ethernet(&bytes, 0x0800);
    expect(bytes, FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    bytes = tcp_in_ipv4();
    ipv6(&bytes, 4);
    ethernet(&bytes, 0x86dd);
    expect(bytes, FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);

    expect(GRE(tcp_in_ipv4(), "\0\0\x08\0"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv6(), "\xb0\0\x86\xdd\0\0\0\0\0\0\0\5\0\0\0\1"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    expect(GRE(plain_frame(), "\x20\0\x65\x58\0\0\0\5"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv4(), "\x30\x81\x88\x0b\0\x2f\0\1\0\0\0\1\0\0\0\0\x21"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(plain_frame(), "\0\0\x88\xbe"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(plain_frame(), "\x10\0\x88\xbe\0\0\0\1\x10\0\0\5\0\0\0\0"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(plain_frame(), "\x10\0\x22\xeb\0\0\0\1\x20\0\0\5\0\0\0\0\0\0\0\0"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(plain_frame(), "\x10\0\x22\xeb\0\0\0\1\x20\0\0\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0"), FS_LINK_ETHERNET, 2,
           FS_FAMILY_IPV4);

    expect(UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 8472), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(plain_frame(), "\1\0\x65\x58\0\0\5\0\0\0\0\0", 6081), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(tcp_in_ipv4(), "\0\0\x08\0\0\0\5\0", 6081), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(tcp_in_ipv4(), "\x30\xff\0\x2d\0\0\0\1", 2152), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(tcp_in_ipv6(), "\x34\xff\0\x45\0\0\0\1\0\0\0\x85\1\0\0\0", 2152), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    expect(UDP(tcp_in_ipv6(), "", 3544), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    expect(UDP(tcp_in_ipv6(), "\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 3544), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
}

static void test_tunnel_in_tunnel_and_carriers(void **state) {
    (void)state;
    struct bytes bytes = UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789);
    raw(&bytes, "\0\0\x65\x58", 4);
    ipv6(&bytes, 47);
    ethernet(&bytes, 0x86dd);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 3);
    assert_int_equal(result.packets[0].key.protocol, 47);
    assert_int_equal(result.packets[1].key.protocol, 17);
    assert_int_equal(result.packets[1].key.port[1], 4789);
    assert_hello(&result.packets[2], FS_FAMILY_IPV4);
    free(result.copy);
}

static void test_no_tunnel_is_followed_on_request(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    config.tunnels = 0;
    struct bytes bytes = UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789);
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, 1);
    free(result.copy);
}

/* A carrier is a flow whatever it carries. */
static void test_carriers_survive_their_content(void **state) {
    (void)state;
    const struct bytes frames[] = {
        UDP(nothing(), "\x08\0\0\0\0\0\5\0", 4789),       UDP(plain_frame(), "\0\0\0\0\0\0\5\0", 4789),
        UDP(nothing(), "\x34\xff\0\4\0\0\0\1", 2152),     UDP(nothing(), "\x34\xff\0\4\0\0\0\1\0\0\0", 2152),
        UDP(nothing(), "\x34\xff\0\4\0\0\0\1\0\0\0\x85", 2152), UDP(tcp_in_ipv4(), "\x30\1\0\4\0\0\0\1", 2152),
        UDP(nothing(), "not IPv6 at all", 3544),           GRE(tcp_in_ipv4(), "\0\3\x08\0"),
        GRE(nothing(), "\xb0\0\x08\0"),
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct result result = run(&frames[i], FS_LINK_ETHERNET);
        assert_int_equal(result.count, 1);
        free(result.copy);
    }
}

static void test_depth_has_a_limit(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    for (int i = 0; i < FS_EXTRACT_MAX + 3; i++)
        ipv4(&bytes, 4);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, FS_EXTRACT_MAX);
    free(result.copy);
}

static void test_non_ip_inside_a_tunnel(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    before(&bytes, 28);
    ethernet(&bytes, 0x0806);
    bytes = UDP(bytes, "\x08\0\0\0\0\0\5\0", 4789);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.packets[1].key.kind, FS_KEY_MAC_PAIR);
    assert_int_equal(result.packets[1].ip_len, 28);
    free(result.copy);
}

/* ---- IP ---- */

static void test_extension_headers(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    RAW(&bytes, "\6\0\0\0\0\0\0\0");                     /* destination options */
    RAW(&bytes, "\x3c\0\0\0\0\0\0\1");                   /* atomic fragment */
    RAW(&bytes, "\x2c\4\0\0\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0"); /* AH */
    RAW(&bytes, "\x33\0\0\0\0\0\0\0");                   /* routing */
    RAW(&bytes, "\x2b\0\0\0\0\0\0\0");                   /* hop-by-hop */
    ipv6(&bytes, 0);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.protocol, 6);
    assert_int_equal(result.packets[0].payload_len, 5);
    assert_true(result.packets[0].flags & FS_PACKET_FLOW_LABEL);
    assert_int_equal(result.packets[0].flow_label, 0xabcde);
    assert_false(result.packets[0].flags & FS_PACKET_FIRST_FRAGMENT);
    free(result.copy);
}

static void test_fragments(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    put16(bytes.data + bytes.start + 6, 0x2000);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_true(result.packets[0].flags & FS_PACKET_FIRST_FRAGMENT);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    free(result.copy);
    put16(bytes.data + bytes.start + 6, 0x2005);
    result = run(&bytes, FS_LINK_RAW);
    assert_true(result.packets[0].flags & FS_PACKET_LATER_FRAGMENT);
    assert_int_equal(result.packets[0].key.port[0] | result.packets[0].key.port[1], 0);
    assert_int_equal(result.packets[0].key.protocol, 6);
    assert_int_equal(result.packets[0].payload_len, 25);
    free(result.copy);

    bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    RAW(&bytes, "\6\0\0\x10\0\0\0\1");
    ipv6(&bytes, 44);
    result = run(&bytes, FS_LINK_RAW);
    assert_true(result.packets[0].flags & FS_PACKET_LATER_FRAGMENT);
    free(result.copy);
}

static void test_offloaded_length(void **state) {
    (void)state;
    struct bytes bytes = plain_frame();
    put16(bytes.data + bytes.start + 14 + 2, 0);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 1);
    assert_true(result.packets[0].flags & FS_PACKET_LENGTH_ZERO);
    assert_int_equal(result.packets[0].ip_len, 45);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
}

static void test_padding_is_no_payload(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    before(&bytes, 20);
    struct bytes inner = tcp_in_ipv4();
    raw(&bytes, (const char *)inner.data + inner.start, length_of(&inner));
    ethernet(&bytes, 0x0800);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
}

/* The header's length is believed for IP, but no byte is read or counted that the wire did not hold. */
static void test_length_past_the_frame(void **state) {
    (void)state;
    struct bytes bytes = plain_frame();
    put16(bytes.data + bytes.start + 14 + 2, 5000);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].ip_len, 5000);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
}

static void test_udp_length(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    udp(&bytes, 53);
    ipv4(&bytes, 17);
    put16(bytes.data + bytes.start + 20 + 4, 10);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].payload_len, 2);
    free(result.copy);
    put16(bytes.data + bytes.start + 20 + 4, 0);
    result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
}

static void test_icmp_error_quotes(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    RAW(&bytes, "\3\1\0\0\0\0\0\0");
    ipv4(&bytes, 1);
    struct fs_extract_config config = defaults();
    /* with eight bytes of the quoted transport header, as RFC 792 wants */
    struct result result = run_cut(&bytes, FS_LINK_RAW, &config, 20 + 8 + 20 + 8);
    assert_int_equal(result.count, 2);
    assert_true(result.packets[0].flags & FS_PACKET_ICMP_ERROR);
    assert_int_equal(result.packets[0].key.port[0], 0x0301);
    assert_true(result.packets[1].flags & FS_PACKET_QUOTED);
    assert_int_equal(result.packets[1].key.port[0], 1234);
    assert_false(result.packets[1].flags & FS_PACKET_HAS_TCP);
    free(result.copy);
}

static void test_other_protocols(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "\x04\xd2\0\x50\0\0\0\0\0\0\0\0chunk");
    ipv4(&bytes, 132);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
    bytes = nothing();
    RAW(&bytes, "anything");
    ipv4(&bytes, 200);
    result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].key.protocol, 200);
    assert_int_equal(result.packets[0].payload_len, 8);
    free(result.copy);
}

/* ---- keys and domains ---- */

static uint32_t domain_of(struct bytes bytes, unsigned parts) {
    struct fs_extract_config config = defaults();
    config.domain = parts;
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_true(result.count > 0);
    uint32_t domain = result.packets[result.count - 1].key.domain;
    free(result.copy);
    return domain;
}

static struct bytes in_vlan(unsigned id) {
    struct bytes bytes = tcp_in_ipv4();
    tag(&bytes, id, 0x0800);
    ethernet(&bytes, 0x8100);
    return bytes;
}

static void test_domains(void **state) {
    (void)state;
    assert_int_equal(domain_of(in_vlan(5), 0), 0);
    assert_int_equal(domain_of(in_vlan(5), FS_DOMAIN_TUNNEL), 0);
    assert_true(domain_of(in_vlan(5), FS_DOMAIN_VLAN) != domain_of(in_vlan(6), FS_DOMAIN_VLAN));
    /* priority bits are not part of the VLAN */
    assert_int_equal(domain_of(in_vlan(5), FS_DOMAIN_VLAN), domain_of(in_vlan(0xe005), FS_DOMAIN_VLAN));
    assert_true(domain_of(plain_frame(), FS_DOMAIN_INTERFACE) != 0);
    assert_true(domain_of(UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789), FS_DOMAIN_TUNNEL) !=
                domain_of(UDP(plain_frame(), "\x08\0\0\0\0\0\6\0", 4789), FS_DOMAIN_TUNNEL));
    assert_true(domain_of(GRE(tcp_in_ipv4(), "\x20\0\x08\0\0\0\0\5"), FS_DOMAIN_TUNNEL) !=
                domain_of(GRE(tcp_in_ipv4(), "\x20\0\x08\0\0\0\0\6"), FS_DOMAIN_TUNNEL));
    /* GTP-U: each direction has its own TEID, so it must not split the flow */
    assert_int_equal(domain_of(UDP(tcp_in_ipv4(), "\x30\xff\0\x2d\0\0\0\1", 2152), FS_DOMAIN_TUNNEL),
                     domain_of(UDP(tcp_in_ipv4(), "\x30\xff\0\x2d\0\0\0\2", 2152), FS_DOMAIN_TUNNEL));
}

static void test_key_kinds(void **state) {
    (void)state;
    struct bytes bytes = plain_frame();
    struct fs_extract_config config = defaults();
    config.key = FS_KEY_IP_PAIR;
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.packets[0].key.kind, FS_KEY_IP_PAIR);
    assert_int_equal(result.packets[0].key.port[0] | result.packets[0].key.protocol, 0);
    free(result.copy);
    config.key = FS_KEY_MAC_PAIR;
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.family, FS_FAMILY_MAC);
    assert_int_equal(result.packets[0].orientation, FS_FORWARD);
    free(result.copy);
    config.key = FS_KEY_5TUPLE;
    config.directional = true;
    memcpy(bytes.data + bytes.start + 14 + 12, "\x0a\0\0\3", 4);
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.packets[0].orientation, FS_FORWARD);
    assert_int_equal(result.packets[0].key.address[0][3], 3);
    free(result.copy);
}

/* ---- rejects ---- */

static void test_rejects(void **state) {
    (void)state;
    struct bytes bytes = plain_frame();
    expect_reject(bytes, 9999, FS_REJECT_LINKTYPE);
    bytes = nothing();
    before(&bytes, 13);
    expect_reject(bytes, FS_LINK_ETHERNET, FS_REJECT_SHORT_LINK);
    bytes = nothing();
    before(&bytes, 19);
    bytes.data[bytes.start] = 0x45;
    expect_reject(bytes, FS_LINK_RAW, FS_REJECT_SHORT_IP);
    bytes = tcp_in_ipv4();
    bytes.data[bytes.start] = 0x44;
    expect_reject(bytes, FS_LINK_RAW, FS_REJECT_BAD_IP);
    bytes.data[bytes.start] = 0x55;
    expect_reject(bytes, FS_LINK_RAW, FS_REJECT_BAD_IP);
    bytes.data[bytes.start] = 0x45;
    put16(bytes.data + bytes.start + 2, 19);
    expect_reject(bytes, FS_LINK_RAW, FS_REJECT_BAD_IP);
    bytes = nothing();
    RAW(&bytes, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\6 arp");
    expect_reject(bytes, FS_LINK_LINUX_SLL, FS_REJECT_NOT_IP);
    bytes = nothing();
    RAW(&bytes, "\x08\x41\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0 encrypted");
    expect_reject(bytes, FS_LINK_IEEE802_11, FS_REJECT_ENCRYPTED);
    bytes = nothing();
    RAW(&bytes, "\x80\0\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0 beacon");
    expect_reject(bytes, FS_LINK_IEEE802_11, FS_REJECT_MANAGEMENT);
}

static void test_non_ip_can_be_refused(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct bytes bytes = nothing();
    before(&bytes, 46);
    ethernet(&bytes, 0x0806);
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.kind, FS_KEY_MAC_PAIR);
    assert_int_equal(result.packets[0].ip_len, 46);
    free(result.copy);
    config.non_ip = false;
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, -FS_REJECT_NOT_IP);
    free(result.copy);
}

static void test_reasons_have_names(void **state) {
    (void)state;
    for (int reason = 0; reason < FS_REJECT_COUNT; reason++) {
        assert_string_not_equal(fs_reject_slug(reason), "unknown");
        assert_string_not_equal(fs_reject_text(reason), "unknown");
    }
    assert_string_equal(fs_reject_slug(FS_REJECT_COUNT), "unknown");
}

/* ---- captures that are cut off ---- */

static void test_every_length(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    const struct bytes frames[] = {
        plain_frame(),
        UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789),
        UDP(tcp_in_ipv6(), "\x34\xff\0\x45\0\0\0\1\0\0\0\x85\1\0\0\0", 2152),
        GRE(plain_frame(), "\x10\0\x22\xeb\0\0\0\1\x20\0\0\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0"),
        in_vlan(5),
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        int before_count = -FS_REJECT_COUNT;
        for (size_t captured = 0; captured <= length_of(&frames[i]); captured++) {
            struct result result = run_cut(&frames[i], FS_LINK_ETHERNET, &config, captured);
            /* with more bytes there is never less to see */
            if (before_count > 0)
                assert_true(result.count >= before_count);
            before_count = result.count;
            for (int k = 0; k < result.count; k++) {
                const struct fs_packet *packet = &result.packets[k];
                assert_int_equal(packet->wire_len, length_of(&frames[i]));
                if (captured < length_of(&frames[i]))
                    assert_true(packet->flags & FS_PACKET_TRUNCATED);
                assert_true(packet->payload_captured <= packet->payload_len);
                if (packet->payload)
                    assert_true(packet->payload + packet->payload_captured <= result.copy + captured);
            }
            free(result.copy);
        }
    }
}

/* What the headers say does not depend on how much was captured behind them. */
static void test_cut_payload_still_counts(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct bytes bytes = plain_frame();
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, 14 + 20 + 20);
    assert_int_equal(result.packets[0].payload_len, 5);
    assert_int_equal(result.packets[0].payload_captured, 0);
    assert_null(result.packets[0].payload);
    assert_true(result.packets[0].flags & FS_PACKET_HAS_TCP);
    free(result.copy);
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, 14 + 20 + 4);
    assert_true(result.packets[0].flags & FS_PACKET_CUT_HEADER);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_types),
        cmocka_unit_test(test_link_headers),
        cmocka_unit_test(test_wlan),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_tags_have_a_limit),
        cmocka_unit_test(test_tunnels),
        cmocka_unit_test(test_tunnel_in_tunnel_and_carriers),
        cmocka_unit_test(test_no_tunnel_is_followed_on_request),
        cmocka_unit_test(test_carriers_survive_their_content),
        cmocka_unit_test(test_depth_has_a_limit),
        cmocka_unit_test(test_non_ip_inside_a_tunnel),
        cmocka_unit_test(test_extension_headers),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_offloaded_length),
        cmocka_unit_test(test_padding_is_no_payload),
        cmocka_unit_test(test_length_past_the_frame),
        cmocka_unit_test(test_udp_length),
        cmocka_unit_test(test_icmp_error_quotes),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_key_kinds),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_non_ip_can_be_refused),
        cmocka_unit_test(test_reasons_have_names),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_cut_payload_still_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
