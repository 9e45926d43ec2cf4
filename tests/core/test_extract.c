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

static struct bytes ipv6_frame(void) {
    struct bytes bytes = tcp_in_ipv6();
    ethernet(&bytes, 0x86dd);
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

static void expect_only_carrier(struct bytes bytes) {
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 1);
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
        UDP(nothing(), "\x08\0\0\0\0\0\5\0", 4789),
        UDP(plain_frame(), "\0\0\0\0\0\0\5\0", 4789),
        UDP(nothing(), "\x34\xff\0\4\0\0\0\1", 2152),
        UDP(nothing(), "\x34\xff\0\4\0\0\0\1\0\0\0", 2152),
        UDP(nothing(), "\x34\xff\0\4\0\0\0\1\0\0\0\x85", 2152),
        UDP(tcp_in_ipv4(), "\x30\1\0\4\0\0\0\1", 2152),
        UDP(nothing(), "not IPv6 at all", 3544),
        GRE(tcp_in_ipv4(), "\0\3\x08\0"),
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
    RAW(&bytes, "\6\0\0\0\0\0\0\0");                                   /* destination options */
    RAW(&bytes, "\x3c\0\0\0\0\0\0\1");                                 /* atomic fragment */
    RAW(&bytes, "\x2c\4\0\0\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0"); /* AH */
    RAW(&bytes, "\x33\0\0\0\0\0\0\0");                                 /* routing */
    RAW(&bytes, "\x2b\0\0\0\0\0\0\0");                                 /* hop-by-hop */
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

/* Outermost first; priority bits are no part of it; what does not fit is left out. Both ways of reading agree. */
static void test_vlans(void **state) {
    (void)state;
    for (unsigned tags = 0; tags <= 3; tags++) {
        struct bytes bytes = tcp_in_ipv4();
        for (unsigned i = tags; i > 0; i--)
            tag(&bytes, 0xe000 | (i * 10), i == tags ? 0x0800 : 0x8100);
        ethernet(&bytes, tags ? 0x8100 : 0x0800);
        for (unsigned domain = 0; domain <= FS_DOMAIN_VLAN; domain += FS_DOMAIN_VLAN) {
            struct fs_extract_config config = defaults();
            config.domain = domain; /* which is read by the walk */
            struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
            assert_int_equal(result.count, 1);
            assert_int_equal(result.packets[0].vlan[0], tags > 0 ? 10 : 0);
            assert_int_equal(result.packets[0].vlan[1], tags > 1 ? 20 : 0);
            free(result.copy);
        }
    }
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
        ipv6_frame(),
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

/* ---- more of the link layers ---- */

static void test_cooked_interfaces(void **state) {
    (void)state;
    /* a tag, 802.2, a whole frame, PPP; radiotap under its hardware type */
    PREFIXED("\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x81\0\0\5\x08\0", false, FS_LINK_LINUX_SLL);
    PREFIXED("\0\0\0\1\0\6\2\0\0\0\0\1\0\0\0\4\xaa\xaa\3\0\0\0\x08\0", false, FS_LINK_LINUX_SLL);
    PREFIXED("\0\0\0\1\0\6\2\0\0\0\0\1\0\0\0\3\2\0\0\0\0\2\2\0\0\0\0\1\x86\xdd", true, FS_LINK_LINUX_SLL);
    PREFIXED("\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\7\0\x21", false, FS_LINK_LINUX_SLL);
    PREFIXED(
        "\0\4\0\0\0\0\0\1\3\x23\0\6\2\0\0\0\0\1\0\0\0\0\x08\0\0\0\0\0\x08\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2"
        "\0\0\xaa\xaa\3\0\0\0\x08\0",
        false, FS_LINK_LINUX_SLL2);
}

static void test_wlan_padding_and_checksum(void **state) {
    (void)state;
    /* TSFT before the flags, which say: checksum, padded. 26 bytes of header become 28. */
    struct bytes bytes = nothing();
    RAW(&bytes, "fcs!");
    struct bytes inner = tcp_in_ipv6();
    raw(&bytes, (const char *)inner.data + inner.start, length_of(&inner));
    RAW(&bytes, "\0\0\x12\0\3\0\0\0\0\0\0\0\0\0\0\0\x30\0"
                "\x88\2\0\0\2\0\0\0\0\2\1\1\1\1\1\1\2\0\0\0\0\1\0\0\0\0\0\0\xaa\xaa\3\0\0\0\x86\xdd");
    expect(bytes, FS_LINK_IEEE802_11_RADIOTAP, 1, FS_FAMILY_IPV6);
    /* a second word of fields moves the flags */
    bytes = tcp_in_ipv4();
    RAW(&bytes,
        "\0\0\x0e\0\2\0\0\x80\x30\0\0\0\0\0\x08\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\xaa\xaa\3\0\0\0\x08\0");
    expect(bytes, FS_LINK_IEEE802_11_RADIOTAP, 1, FS_FAMILY_IPV4);
    /* the shortest control frame */
    bytes = nothing();
    RAW(&bytes, "\xd4\0\0\0\2\0\0\0\0\1");
    expect_reject(bytes, FS_LINK_IEEE802_11, FS_REJECT_MANAGEMENT);
}

/* Where an 802.11 frame without IP comes from and goes to, for each kind of header. */
static void test_wlan_addresses(void **state) {
    (void)state;
    for (unsigned ds = 0; ds < 4; ds++) {
        struct bytes bytes = nothing();
        RAW(&bytes, "\xaa\xaa\3\0\0\0\x08\6 arp");
        if (ds == 3)
            RAW(&bytes, "\4\4\4\4\4\4");
        RAW(&bytes, "\x08\0\0\0\1\1\1\1\1\1\2\2\2\2\2\2\3\3\3\3\3\3\0\0");
        bytes.data[bytes.start + 1] = (uint8_t)ds;
        static const uint8_t destination[4] = {1, 3, 1, 3}, source[4] = {2, 2, 3, 4};
        struct result result = run(&bytes, FS_LINK_IEEE802_11);
        assert_int_equal(result.count, 1);
        const struct fs_key *key = &result.packets[0].key;
        bool reverse = source[ds] > destination[ds];
        assert_int_equal(result.packets[0].orientation, reverse);
        assert_int_equal(key->address[reverse][5], source[ds]);
        assert_int_equal(key->address[!reverse][5], destination[ds]);
        free(result.copy);
    }
}

static void test_pseudowires(void **state) {
    (void)state;
    /* without a control word, behind an address that looks like one */
    struct bytes bytes = plain_frame();
    memset(bytes.data + bytes.start, 0, 6);
    RAW(&bytes, "\0\1\1\x40");
    ethernet(&bytes, 0x8847);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
    bytes = plain_frame();
    bytes.data[bytes.start] = 0x22;
    RAW(&bytes, "\0\1\1\x40");
    ethernet(&bytes, 0x8847);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
    /* the pseudowire's own channel is no frame */
    bytes = plain_frame();
    RAW(&bytes, "\x10\0\0\7");
    RAW(&bytes, "\0\1\1\x40");
    ethernet(&bytes, 0x8847);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.kind, FS_KEY_MAC_PAIR);
    free(result.copy);
}

/* Frames in frames in frames, with no carrier that would count: the tags do. */
static void test_frames_in_frames_end(void **state) {
    (void)state;
    struct bytes bytes = plain_frame();
    for (int i = 0; i < FS_EXTRACT_MAX_TAGS; i++)
        ethernet(&bytes, 0x6558);
    expect(bytes, FS_LINK_ETHERNET, 1, FS_FAMILY_IPV4);
    ethernet(&bytes, 0x6558);
    expect_reject(bytes, FS_LINK_ETHERNET, FS_REJECT_DEPTH);
}

/* Headers that look as if a packet followed them. */
static void test_no_packet_behind_these(void **state) {
    (void)state;
    struct bytes numbered = tcp_in_ipv4(); /* LLC with sequence numbers */
    RAW(&numbered, "\2\0\0\0\0\2\2\0\0\0\0\1\0\x35\xaa\xaa\1\0\0\0\x08\0");
    struct bytes padt = tcp_in_ipv4(); /* PPPoE, but no session data */
    RAW(&padt, "\x11\xa7\0\1\0\x2f\0\x21");
    ethernet(&padt, 0x8864);
    const struct bytes frames[] = {numbered, padt};
    for (size_t i = 0; i < 2; i++) {
        struct result result = run(&frames[i], FS_LINK_ETHERNET);
        assert_int_equal(result.count, 1);
        assert_int_equal(result.packets[0].key.kind, FS_KEY_MAC_PAIR);
        free(result.copy);
    }
}

static void test_foreign_snap_is_no_ip(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    RAW(&bytes, "\2\0\0\0\0\2\2\0\0\0\0\1\0\x35\xaa\xaa\3\0\0\x0c\x08\0");
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.kind, FS_KEY_MAC_PAIR);
    free(result.copy);
    PREFIXED("\2\0\0\0\0\2\2\0\0\0\0\1\0\x35\xaa\xaa\3\0\0\xf8\x08\0", false, FS_LINK_ETHERNET);
}

/* ---- what is no tunnel ---- */

static void ports(struct bytes *frame, unsigned source, unsigned destination) {
    put16(frame->data + frame->start + 34, source);
    put16(frame->data + frame->start + 36, destination);
}

static void test_tunnel_ports(void **state) {
    (void)state;
    static const struct {
        unsigned source, destination;
        int count;
    } cases[] = {
        {50000, 4789, 2}, {4789, 50000, 2}, {1024, 4789, 2},  {4789, 4789, 2}, {0, 4789, 2},    {53, 4789, 1},
        {4789, 53, 1},    {1023, 4789, 1},  {50000, 4788, 1}, {2152, 4789, 2}, {4789, 2152, 1}, /* the destination's
                                                                                                   name goes first: this
                                                                                                   is no GTP-U */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes bytes = UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789);
        ports(&bytes, cases[i].source, cases[i].destination);
        struct result result = run(&bytes, FS_LINK_ETHERNET);
        assert_int_equal(result.count, cases[i].count);
        free(result.copy);
    }
}

static void test_more_tunnels(void **state) {
    (void)state;
    expect(UDP(tcp_in_ipv4(), "\x0c\0\0\1\0\0\5\0", 4790), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(UDP(tcp_in_ipv6(), "\x04\0\0\2\0\0\0\0", 4790), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    expect(UDP(plain_frame(), "\x0c\0\0\3\0\0\5\0", 4790), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    /* both extension headers of GTP-U, the second of eight bytes; sequence number alone */
    expect(UDP(tcp_in_ipv4(), "\x34\xff\0\x3d\0\0\0\1\0\0\0\x85\1\0\0\xc0\2\0\0\0\0\0\0\0", 2152), FS_LINK_ETHERNET, 2,
           FS_FAMILY_IPV4);
    expect(UDP(tcp_in_ipv4(), "\x32\xff\0\x31\0\0\0\1\0\1\0\x85", 2152), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    /* authentication and origin of Teredo */
    expect(UDP(tcp_in_ipv6(), "\0\1\1\2abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 3544), FS_LINK_ETHERNET, 2,
           FS_FAMILY_IPV6);
    /* checksum and routes of GRE; WCCP in both versions; MPLS; ERSPAN III with a bare packet */
    expect(GRE(tcp_in_ipv4(), "\xc0\0\x08\0\0\0\0\0\x08\0\0\4\1\2\3\4\0\0\0\0"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv4(), "\x80\0\x08\0\0\0\0\0"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv4(), "\0\0\x88\x3e"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
#define WLAN "\x08\1\0\0\1\1\1\1\1\1\2\0\0\0\0\1\2\0\0\0\0\2\0\0\xaa\xaa\3\0\0\0\x08\0"
    expect(GRE(tcp_in_ipv4(), "\0\0\x82\0" WLAN), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv4(), "\0\0\x82\x40" WLAN), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv4(), "\0\0\x83\x70" WLAN), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect_only_carrier(GRE(tcp_in_ipv4(), "\0\0\x81\xf0" WLAN));
    expect_only_carrier(GRE(tcp_in_ipv4(), "\0\0\x82\x41" WLAN));
    expect_only_carrier(GRE(tcp_in_ipv4(), "\0\0\x83\x80" WLAN));
#undef WLAN
    expect(GRE(tcp_in_ipv4(), "\0\0\x88\x3e\0\1\2\3"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV4);
    expect(GRE(tcp_in_ipv6(), "\0\0\x88\x47\0\1\1\x40"), FS_LINK_ETHERNET, 2, FS_FAMILY_IPV6);
    expect(GRE(tcp_in_ipv4(), "\x10\0\x22\xeb\0\0\0\1\x20\0\0\5\0\0\0\0\0\0\x08\0"), FS_LINK_ETHERNET, 2,
           FS_FAMILY_IPV4);
}

static void test_what_is_no_tunnel(void **state) {
    (void)state;
    const struct bytes frames[] = {
        UDP(tcp_in_ipv4(), "\x3c\0\0\1\0\0\5\0", 4790),                       /* version of VXLAN-GPE */
        UDP(tcp_in_ipv4(), "\x08\0\0\1\0\0\5\0", 4790),                       /* does not say what follows */
        UDP(tcp_in_ipv4(), "\x0c\0\0\4\0\0\5\0", 4790),                       /* NSH */
        UDP(tcp_in_ipv4(), "\x40\0\x08\0\0\0\5\0", 6081),                     /* version of Geneve */
        UDP(tcp_in_ipv4(), "\x50\xff\0\x2d\0\0\0\1", 2152),                   /* version of GTP */
        UDP(tcp_in_ipv4(), "\x20\xff\0\x2d\0\0\0\1", 2152),                   /* GTP' */
        UDP(tcp_in_ipv4(), "\x34\xff\0\x31\0\0\0\1\0\0\0\x85\0\0\0\0", 2152), /* an extension of no length */
        UDP(tcp_in_ipv6(), "??", 3544),                                       /* not where IPv6 begins */
        GRE(tcp_in_ipv4(), "\x20\1\x08\0\0\0\0\0\x21"),                       /* version 1 is for PPP */
        GRE(tcp_in_ipv4(), "\x40\0\x08\0\0\0\0\0\x08\0\0\xff"),               /* a route longer than all */
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct result result = run(&frames[i], FS_LINK_ETHERNET);
        assert_int_equal(result.count, 1);
        free(result.copy);
    }
}

/* The bit of each tunnel switches it, and it alone. */
static void test_tunnels_are_switched_one_by_one(void **state) {
    (void)state;
    struct bytes in_ip = tcp_in_ipv4();
    ipv4(&in_ip, 4);
    ethernet(&in_ip, 0x0800);
    const struct bytes frames[] = {
        in_ip,
        GRE(tcp_in_ipv4(), "\0\0\x08\0"),
        UDP(plain_frame(), "\x08\0\0\0\0\0\5\0", 4789),
        UDP(tcp_in_ipv4(), "\0\0\x08\0\0\0\5\0", 6081),
        UDP(tcp_in_ipv4(), "\x30\xff\0\x2d\0\0\0\1", 2152),
        UDP(tcp_in_ipv6(), "", 3544),
    };
    struct fs_extract_config config = defaults();
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned bit = 0; bit < 6; bit++) {
            config.tunnels = 1u << bit;
            struct result result = run_cut(&frames[i], FS_LINK_ETHERNET, &config, length_of(&frames[i]));
            assert_int_equal(result.count, i == bit ? 2 : 1);
            free(result.copy);
        }
    }
}

/* ---- more of IP ---- */

static const char ah[] = "\6\4\0\0\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0";

static void test_authentication_header(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    raw(&bytes, ah, 24);
    ipv4(&bytes, 51);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].key.protocol, 6);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
    /* cut off inside, it is not taken for what it protects */
    for (size_t captured = 20; captured < 44; captured++) {
        result = run_cut(&bytes, FS_LINK_RAW, &config, captured);
        assert_int_equal(result.packets[0].key.protocol, 51);
        assert_int_equal(result.packets[0].key.port[0] | result.packets[0].key.port[1], 0);
        free(result.copy);
    }
    bytes.data[bytes.start + 21] = 0; /* shorter than itself */
    result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].key.protocol, 51);
    free(result.copy);
}

static void test_extension_headers_that_end_the_chain(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct bytes bytes = nothing();
    RAW(&bytes, "\x3b\0\5\0\0\0\0\0"); /* mobility, and nothing behind it */
    ipv6(&bytes, 135);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].key.protocol, 135);
    assert_int_equal(result.packets[0].payload_len, 8);
    free(result.copy);
    /* each of the other kinds, cut off inside: the header itself is the protocol */
    static const uint8_t kinds[] = {0, 43, 44, 60, 135, 139, 140};
    for (size_t i = 0; i < sizeof kinds; i++) {
        bytes = nothing();
        RAW(&bytes, "hello");
        tcp(&bytes);
        RAW(&bytes, "\6\0\0\0\0\0\0\1");
        ipv6(&bytes, kinds[i]);
        result = run(&bytes, FS_LINK_RAW);
        assert_int_equal(result.packets[0].key.protocol, 6);
        assert_int_equal(result.packets[0].payload_len, 5);
        free(result.copy);
        result = run_cut(&bytes, FS_LINK_RAW, &config, 47);
        assert_int_equal(result.packets[0].key.protocol, kinds[i]);
        free(result.copy);
    }
}

/* A packet is the first fragment or a later one, also if it has two fragment headers that disagree. */
static void test_fragment_of_a_fragment(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    RAW(&bytes, "\6\0\0\x10\0\0\0\1");
    RAW(&bytes, "\x2c\0\0\1\0\0\0\1");
    ipv6(&bytes, 44);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].flags, FS_PACKET_LATER_FRAGMENT | FS_PACKET_FLOW_LABEL);
    assert_int_equal(result.packets[0].key.port[0], 0);
    free(result.copy);
}

static void test_endless_extension_headers(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    for (int i = 0; i < 40; i++)
        RAW(&bytes, "\x3c\0\0\0\0\0\0\0");
    ipv6(&bytes, 60);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.protocol, 60);
    free(result.copy);
}

static void test_ipv6_length_zero(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv6();
    put16(bytes.data + bytes.start + 4, 0);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_true(result.packets[0].flags & FS_PACKET_LENGTH_ZERO);
    assert_int_equal(result.packets[0].ip_len, 65);
    assert_int_equal(result.packets[0].payload_len, 5);
    free(result.copy);
    /* nothing follows, so what is there is the link's padding */
    bytes = nothing();
    before(&bytes, 6);
    raw(&bytes, "\x60\0\0\0\0\0\x3b\x40", 8);
    memmove(bytes.data + bytes.start - 32, bytes.data + bytes.start, 8);
    bytes.start -= 32;
    memset(bytes.data + bytes.start + 8, 1, 32);
    result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.packets[0].key.protocol, 59);
    assert_int_equal(result.packets[0].ip_len, 40);
    assert_int_equal(result.packets[0].payload_len, 0);
    assert_false(result.packets[0].flags & FS_PACKET_LENGTH_ZERO);
    free(result.copy);
}

static void test_jumbogram(void **state) {
    (void)state;
    const uint32_t total = 100000; /* behind the IPv6 header */
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    RAW(&bytes, "\6\0\xc2\4\0\1\x86\xa0");
    ipv6(&bytes, 0);
    put16(bytes.data + bytes.start + 4, 0);
    struct fs_frame frame = {.data = bytes.data + bytes.start,
                             .captured = (uint32_t)length_of(&bytes),
                             .wire_len = 40 + total + 4, /* and a checksum of the link */
                             .linktype = FS_LINK_RAW};
    struct fs_extract_config config = defaults();
    struct fs_packet packets[FS_EXTRACT_MAX];
    assert_int_equal(fs_extract(&config, &frame, packets), 1);
    assert_int_equal(packets[0].ip_len, 40 + total);
    assert_int_equal(packets[0].payload_len, total - 28);
    assert_int_equal(packets[0].payload_captured, 5);
    assert_int_equal(packets[0].flags, FS_PACKET_HAS_TCP | FS_PACKET_FLOW_LABEL | FS_PACKET_TRUNCATED);
}

static void test_ip_options(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "hello");
    tcp(&bytes);
    RAW(&bytes, "\x94\4\0\0");
    ipv4(&bytes, 6);
    bytes.data[bytes.start] = 0x46;
    ethernet(&bytes, 0x0800);
    struct result result = run(&bytes, FS_LINK_ETHERNET);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    assert_int_equal(result.packets[0].payload_len, 5);
    assert_int_equal(result.packets[0].ip_len, 49);
    free(result.copy);
}

/* RFC 4884: what follows the quoted packet is no part of it. */
static void test_icmp_extensions(void **state) {
    (void)state;
    struct bytes quoted = tcp_in_ipv4();
    struct bytes bytes = nothing();
    RAW(&bytes, "\x20\0\0\0\0\x08\1\1\0\1\1\1");
    before(&bytes, 128 - length_of(&quoted));
    raw(&bytes, (const char *)quoted.data + quoted.start, length_of(&quoted));
    put16(bytes.data + bytes.start + 2, 1500); /* the packet was longer than what is quoted */
    RAW(&bytes, "\x0b\0\0\0\0\x20\0\0");
    ipv4(&bytes, 1);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.packets[1].ip_len, 1500);
    assert_int_equal(result.packets[1].payload_captured, 128 - 40);
    free(result.copy);
}

/* ICMPv6, towards the sender of the quoted packet, which keeps its own orientation. */
static void test_icmpv6_error(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv6();
    RAW(&bytes, "\2\0\0\0\0\0\5\0");
    ipv6(&bytes, 58);
    uint8_t *header = bytes.data + bytes.start;
    header[23] = 2;
    header[39] = 1;
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 2);
    assert_true(result.packets[0].flags & FS_PACKET_ICMP_ERROR);
    assert_int_equal(result.packets[0].orientation, FS_REVERSE);
    assert_int_equal(result.packets[1].flags, FS_PACKET_QUOTED | FS_PACKET_HAS_TCP | FS_PACKET_FLOW_LABEL);
    assert_int_equal(result.packets[1].orientation, FS_FORWARD);
    free(result.copy);
}

/* Nothing inside a quoted packet is followed, and no error inside an error. */
static void test_quoted_packets_end_the_chain(void **state) {
    (void)state;
    struct bytes tunnel = tcp_in_ipv4();
    ipv4(&tunnel, 4);
    struct bytes error = tcp_in_ipv4();
    RAW(&error, "\3\1\0\0\0\0\0\0");
    ipv4(&error, 1);
    struct bytes frames[] = {tunnel, error};
    for (size_t i = 0; i < 2; i++) {
        RAW(&frames[i], "\3\1\0\0\0\0\0\0");
        ipv4(&frames[i], 1);
        struct result result = run(&frames[i], FS_LINK_RAW);
        assert_int_equal(result.count, 2);
        assert_true(result.packets[1].flags & FS_PACKET_QUOTED);
        free(result.copy);
    }
}

static void test_ping(void **state) {
    (void)state;
    struct result results[2];
    for (int reply = 0; reply < 2; reply++) {
        struct bytes bytes = nothing();
        RAW(&bytes, "\x08\0\0\0\x12\x34\0\1ping");
        ipv4(&bytes, 1);
        if (reply) {
            bytes.data[bytes.start + 20] = 0;
            memcpy(bytes.data + bytes.start + 12, "\x0a\0\0\2\x0a\0\0\1", 8);
        }
        results[reply] = run(&bytes, FS_LINK_RAW);
        assert_int_equal(results[reply].packets[0].payload_len, 4);
        assert_int_equal(results[reply].packets[0].orientation, reply);
        free(results[reply].copy);
    }
    assert_memory_equal(&results[0].packets[0].key, &results[1].packets[0].key, sizeof(struct fs_key));
    assert_int_equal(results[0].packets[0].key.port[0], 0x0800);
    assert_int_equal(results[0].packets[0].key.port[1], 0x1234);
}

static void test_transports_with_ports(void **state) {
    (void)state;
    static const struct {
        uint8_t protocol;
        uint32_t header;
    } cases[] = {
        {FS_PROTO_TCP, 20}, {FS_PROTO_UDP, 8}, {FS_PROTO_UDPLITE, 8}, {FS_PROTO_SCTP, 12}, {FS_PROTO_DCCP, 16}};
    struct fs_extract_config config = defaults();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes bytes = nothing();
        RAW(&bytes, "hello");
        uint8_t *header = before(&bytes, cases[i].header);
        put16(header, 1234);
        put16(header + 2, 80);
        header[4] = cases[i].protocol == FS_PROTO_DCCP ? 4 : 0; /* words */
        if (cases[i].protocol == FS_PROTO_TCP)
            header[12] = 0x50;
        ipv4(&bytes, cases[i].protocol);
        for (uint32_t there = 0; there <= cases[i].header + 5; there++) {
            struct result result = run_cut(&bytes, FS_LINK_RAW, &config, 20 + there);
            const struct fs_packet *packet = &result.packets[0];
            assert_int_equal(result.count, 1);
            assert_int_equal(packet->key.protocol, cases[i].protocol);
            assert_int_equal(packet->key.port[0], there < 4 ? 0 : 1234);
            assert_int_equal(packet->key.port[1], there < 4 ? 0 : 80);
            assert_int_equal((packet->flags & FS_PACKET_CUT_HEADER) != 0, there < cases[i].header);
            assert_int_equal(packet->payload_captured, there > cases[i].header ? there - cases[i].header : 0);
            if (there >= cases[i].header)
                assert_int_equal(packet->payload_len, 5);
            free(result.copy);
        }
    }
}

static void test_malformed_transport(void **state) {
    (void)state;
    struct bytes bytes = tcp_in_ipv4();
    bytes.data[bytes.start + 32] = 0x40; /* data offset of 16 bytes */
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].flags, FS_PACKET_CUT_HEADER);
    assert_int_equal(result.packets[0].key.port[0], 1234);
    free(result.copy);
    bytes.data[bytes.start + 32] = 0xf0; /* beyond the packet */
    result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.packets[0].flags, FS_PACKET_CUT_HEADER | FS_PACKET_HAS_TCP);
    assert_int_equal(result.packets[0].payload_len, 0);
    assert_true(result.packets[0].tcp.options & FS_TCP_OPT_MALFORMED);
    free(result.copy);
}

/* ---- more of keys ---- */

/* The number is that of the innermost tunnel; tags count wherever they are. */
static void test_nested_domains(void **state) {
    (void)state;
    struct bytes bytes = UDP(in_vlan(9), "\x08\0\0\0\0\0\7\0", 4789);
    bytes.start += 14;
    tag(&bytes, 5, 0x0800);
    ethernet(&bytes, 0x8100);
    struct fs_extract_config config = defaults();
    config.domain = FS_DOMAIN_VLAN | FS_DOMAIN_TUNNEL | FS_DOMAIN_INTERFACE;
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    uint32_t outer = fs_domain_mix(fs_domain_mix(0, FS_DOMAIN_INTERFACE, 3), FS_DOMAIN_VLAN, 5);
    uint32_t inner = fs_domain_mix(fs_domain_mix(outer, FS_DOMAIN_VLAN, 9), FS_DOMAIN_TUNNEL, 7);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.packets[0].key.domain, outer);
    assert_int_equal(result.packets[1].key.domain, inner);
    assert_int_equal(result.packets[0].vlan[0], 5);
    assert_int_equal(result.packets[0].vlan[1], 0);
    assert_int_equal(result.packets[1].vlan[0], 9);
    free(result.copy);
    /* a tunnel without a number has no part, also inside one that has */
    bytes = tcp_in_ipv4();
    ipv4(&bytes, 4);
    bytes = GRE(bytes, "\x20\0\x08\0\0\0\0\7");
    config.domain = FS_DOMAIN_TUNNEL;
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, 3);
    assert_int_equal(result.packets[0].key.domain, 0);
    assert_int_equal(result.packets[1].key.domain, fs_domain_mix(0, FS_DOMAIN_TUNNEL, 7));
    assert_int_equal(result.packets[2].key.domain, 0);
    free(result.copy);
}

/* PPTP names the call anew for each direction. */
static void test_pptp_call_is_no_domain(void **state) {
    (void)state;
    /* routes leave room for a checksum before the key, as the checksum does */
    assert_int_equal(domain_of(GRE(tcp_in_ipv4(), "\x60\0\x08\0\0\0\0\1\0\0\0\7\0\0\0\0"), FS_DOMAIN_TUNNEL),
                     fs_domain_mix(0, FS_DOMAIN_TUNNEL, 7));
    assert_int_equal(domain_of(GRE(tcp_in_ipv4(), "\x30\1\x88\x0b\0\x2f\0\1\0\0\0\1\0\x21"), FS_DOMAIN_TUNNEL), 0);
}

static void test_mac_pairs_whatever_the_settings(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct bytes bytes = nothing();
    before(&bytes, 46);
    ethernet(&bytes, 0x0806);
    memcpy(bytes.data + bytes.start, "\2\0\0\0\0\1\2\0\0\0\0\2", 12); /* towards the smaller address */
    config.directional = true;                                        /* is for 5-tuples */
    struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.packets[0].orientation, FS_REVERSE);
    assert_int_equal(result.packets[0].key.address[0][5], 1);
    free(result.copy);
    /* as the chosen key they are not a matter of non_ip */
    config = defaults();
    config.key = FS_KEY_MAC_PAIR;
    config.non_ip = false;
    bytes = plain_frame();
    result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
    assert_int_equal(result.count, 1);
    free(result.copy);
    bytes = tcp_in_ipv4();
    result = run_cut(&bytes, FS_LINK_RAW, &config, length_of(&bytes));
    assert_int_equal(result.count, -FS_REJECT_NOT_IP);
    free(result.copy);
}

/* Turn a plain frame around. */
static void swap(uint8_t *a, uint8_t *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint8_t kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

/* Addresses and ports as random as the order of endpoints can depend on them. */
static void test_both_directions(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 4000; i++) {
        bool v6 = i & 1;
        struct bytes bytes = v6 ? tcp_in_ipv6() : tcp_in_ipv4();
        ethernet(&bytes, v6 ? 0x86dd : 0x0800);
        size_t size = v6 ? 16 : 4;
        uint8_t *source = bytes.data + bytes.start + (v6 ? 22 : 26);
        uint8_t *port = bytes.data + bytes.start + (v6 ? 54 : 34);
        random = random * 1664525 + 1013904223;
        source[random >> 8 & (size - 1)] = (uint8_t)(random >> 24);
        source[size + (random >> 12 & (size - 1))] = (uint8_t)(random >> 16);
        if (i % 8 < 4)
            memcpy(source + size, source, size);
        port[random >> 20 & 3] = (uint8_t)random;
        struct result there = run(&bytes, FS_LINK_ETHERNET);
        struct fs_key expected;
        enum fs_orientation orientation =
            fs_key_set(&expected, FS_KEY_5TUPLE, v6 ? FS_FAMILY_IPV6 : FS_FAMILY_IPV4, source, source + size,
                       (uint16_t)(port[0] << 8 | port[1]), (uint16_t)(port[2] << 8 | port[3]), 6, false);
        assert_memory_equal(&there.packets[0].key, &expected, sizeof expected);
        assert_int_equal(there.packets[0].orientation, orientation);
        swap(source, source + size, size);
        swap(port, port + 2, 2);
        struct result back = run(&bytes, FS_LINK_ETHERNET);
        assert_memory_equal(&back.packets[0].key, &expected, sizeof expected);
        free(there.copy);
        free(back.copy);
    }
}

/* A host that talks to itself from one port to the same: forward. */
static void test_equal_endpoints(void **state) {
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct bytes bytes = v6 ? ipv6_frame() : plain_frame();
        size_t size = v6 ? 16 : 4;
        uint8_t *source = bytes.data + bytes.start + (v6 ? 22 : 26);
        uint8_t *port = bytes.data + bytes.start + (v6 ? 54 : 34);
        memcpy(source + size, source, size);
        memcpy(port + 2, port, 2);
        struct result result = run(&bytes, FS_LINK_ETHERNET);
        assert_int_equal(result.packets[0].orientation, FS_FORWARD);
        free(result.copy);
    }
}

/* ---- hostile frames ---- */

static void assert_same_packet(const struct fs_packet *a, const struct fs_packet *b) {
    assert_memory_equal(&a->key, &b->key, sizeof a->key);
    assert_true(a->time_ns == b->time_ns && a->frame == b->frame && a->wire_len == b->wire_len);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->orientation, b->orientation);
    assert_int_equal(a->ttl, b->ttl);
    assert_int_equal(a->ip_len, b->ip_len);
    assert_int_equal(a->payload_len, b->payload_len);
    assert_int_equal(a->payload_captured, b->payload_captured);
    assert_ptr_equal(a->payload, b->payload);
    assert_int_equal(a->flow_label, b->flow_label);
    assert_memory_equal(a->vlan, b->vlan, sizeof a->vlan);
    if (a->flags & FS_PACKET_HAS_TCP)
        assert_memory_equal(&a->tcp, &b->tcp,
                            offsetof(struct fs_tcp, sack) + a->tcp.sack_count * sizeof a->tcp.sack[0]);
}

/* Every byte of these frames becomes every value, at three lengths of capture: no read out of bounds, and the straight
 * way of plain packets gives what the walk gives. A tunnel's number in the key, where there is no tunnel, changes
 * nothing but the way. */
static void test_straight_way_agrees_with_the_walk(void **state) {
    (void)state;
    struct bytes datagram = nothing();
    RAW(&datagram, "hello");
    udp(&datagram, 53);
    ipv4(&datagram, 17);
    ethernet(&datagram, 0x0800);
    struct bytes six = tcp_in_ipv6();
    tag(&six, 5, 0x86dd);
    tag(&six, 6, 0x8100);
    ethernet(&six, 0x88a8);
    struct bytes stamped = nothing();
    RAW(&stamped, "hello");
    RAW(&stamped, "\1\1\x08\x0a\0\0\0\1\0\0\0\2");
    tcp(&stamped);
    stamped.data[stamped.start + 12] = 0x80;
    ipv4(&stamped, 6);
    ethernet(&stamped, 0x0800);
    struct bytes frames[] = {plain_frame(), datagram, six, stamped, in_vlan(5)};
    struct fs_extract_config straight = defaults(), walk = defaults();
    walk.domain = FS_DOMAIN_TUNNEL;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        size_t whole = length_of(&frames[i]);
        const size_t lengths[] = {whole, whole - 4, whole - 12};
        for (size_t at = 0; at < whole; at++) {
            uint8_t *byte = frames[i].data + frames[i].start + at;
            uint8_t kept = *byte;
            for (unsigned value = 0; value < 256; value++) {
                *byte = (uint8_t)value;
                for (size_t k = 0; k < 3; k++) {
                    uint8_t *copy = malloc(lengths[k]);
                    assert_non_null(copy);
                    memcpy(copy, byte - at, lengths[k]);
                    struct fs_frame frame = {.data = copy,
                                             .captured = (uint32_t)lengths[k],
                                             .wire_len = (uint32_t)whole,
                                             .linktype = FS_LINK_ETHERNET};
                    struct fs_packet a[FS_EXTRACT_MAX], b[FS_EXTRACT_MAX];
                    int count = fs_extract(&straight, &frame, a);
                    assert_int_equal(fs_extract(&walk, &frame, b), count);
                    if (count == 1)
                        assert_same_packet(&a[0], &b[0]);
                    free(copy);
                }
            }
            *byte = kept;
        }
    }
}

static void check_bounds(const struct result *result, size_t captured) {
    assert_true(result->count > -FS_REJECT_COUNT && result->count != 0 && result->count <= FS_EXTRACT_MAX);
    for (int i = 0; i < result->count; i++) {
        const struct fs_packet *packet = &result->packets[i];
        assert_true(packet->payload_captured <= packet->payload_len);
        assert_int_equal(packet->payload != NULL, packet->payload_captured != 0);
        if (packet->payload) {
            assert_true(packet->payload >= result->copy);
            assert_true(packet->payload + packet->payload_captured <= result->copy + captured);
        }
    }
}

/* Behind valid outer headers, bytes that an attacker could choose. The carrier is there in any case. */
static void test_noise_inside_tunnels(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    config.domain = FS_DOMAIN_TUNNEL | FS_DOMAIN_VLAN;
    static const unsigned udp_ports[] = {4789, 4790, 8472, 6081, 2152, 3544};
    uint32_t random = 7;
    for (int round = 0; round < 30000; round++) {
        struct bytes bytes = nothing();
        random = random * 1664525 + 1013904223;
        uint8_t *noise = before(&bytes, random >> 24 & 127);
        for (size_t i = 0; i < length_of(&bytes); i++) {
            random = random * 1664525 + 1013904223;
            noise[i] = random >> 31 ? (uint8_t)(random >> 16) : (uint8_t)(random >> 30);
        }
        unsigned kind = (unsigned)round % 10;
        if (kind < 6)
            udp(&bytes, udp_ports[kind]);
        static const unsigned protocols[] = {47, 4, 41, 1};
        ipv4(&bytes, kind < 6 ? 17 : protocols[kind - 6]);
        ethernet(&bytes, 0x0800);
        struct result result = run_cut(&bytes, FS_LINK_ETHERNET, &config, length_of(&bytes));
        assert_true(result.count >= 1);
        check_bounds(&result, length_of(&bytes));
        free(result.copy);
    }
}

/* Any bytes under any link type. */
static void test_noise(void **state) {
    (void)state;
    static const uint32_t linktypes[] = {0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 228, 229, 276};
    struct fs_extract_config config = defaults();
    uint32_t random = 3;
    for (int round = 0; round < 64000; round++) {
        struct bytes bytes = nothing();
        random = random * 1664525 + 1013904223;
        uint8_t *noise = before(&bytes, random >> 24 & 127);
        for (size_t i = 0; i < length_of(&bytes); i++) {
            random = random * 1664525 + 1013904223;
            noise[i] = random >> 31 ? (uint8_t)(random >> 16) : (uint8_t)(random >> 29);
        }
        struct result result = run_cut(&bytes, linktypes[round % 16], &config, length_of(&bytes));
        check_bounds(&result, length_of(&bytes));
        free(result.copy);
    }
}

/* A hop-by-hop header that goes on behind what was captured: its options are not looked for there. */
static void test_jumbo_option_behind_the_capture(void **state) {
    (void)state;
    struct bytes bytes = nothing();
    RAW(&bytes, "\x3b\xff\1\0\1\0\1\0"); /* 2,048 bytes, of which there are eight */
    ipv6(&bytes, 0);
    put16(bytes.data + bytes.start + 4, 0);
    struct result result = run(&bytes, FS_LINK_RAW);
    assert_int_equal(result.count, 1);
    assert_true(result.packets[0].flags & FS_PACKET_LENGTH_ZERO);
    free(result.copy);
}

/* No byte, a frame that claims 4 GB, and one whose lengths add up to more than 32 bits hold. */
static void test_extreme_lengths(void **state) {
    (void)state;
    struct fs_extract_config config = defaults();
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_frame frame = {.data = NULL, .wire_len = 1500, .linktype = FS_LINK_ETHERNET};
    assert_int_equal(fs_extract(&config, &frame, packets), -FS_REJECT_SHORT_LINK);
    struct bytes bytes = plain_frame();
    put16(bytes.data + bytes.start + 16, 0);
    frame.data = bytes.data + bytes.start;
    frame.captured = (uint32_t)length_of(&bytes);
    frame.wire_len = UINT32_MAX;
    assert_int_equal(fs_extract(&config, &frame, packets), 1);
    assert_int_equal(packets[0].wire_len, UINT32_MAX);
    assert_int_equal(packets[0].payload_captured, 5);
    frame.wire_len = 1; /* less than what is there */
    assert_int_equal(fs_extract(&config, &frame, packets), 1);
    assert_int_equal(packets[0].wire_len, length_of(&bytes));
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
        cmocka_unit_test(test_vlans),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_key_kinds),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_non_ip_can_be_refused),
        cmocka_unit_test(test_reasons_have_names),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_cut_payload_still_counts),
        cmocka_unit_test(test_cooked_interfaces),
        cmocka_unit_test(test_wlan_padding_and_checksum),
        cmocka_unit_test(test_wlan_addresses),
        cmocka_unit_test(test_pseudowires),
        cmocka_unit_test(test_frames_in_frames_end),
        cmocka_unit_test(test_foreign_snap_is_no_ip),
        cmocka_unit_test(test_tunnel_ports),
        cmocka_unit_test(test_more_tunnels),
        cmocka_unit_test(test_what_is_no_tunnel),
        cmocka_unit_test(test_tunnels_are_switched_one_by_one),
        cmocka_unit_test(test_authentication_header),
        cmocka_unit_test(test_extension_headers_that_end_the_chain),
        cmocka_unit_test(test_fragment_of_a_fragment),
        cmocka_unit_test(test_endless_extension_headers),
        cmocka_unit_test(test_ipv6_length_zero),
        cmocka_unit_test(test_jumbogram),
        cmocka_unit_test(test_ip_options),
        cmocka_unit_test(test_icmp_extensions),
        cmocka_unit_test(test_icmpv6_error),
        cmocka_unit_test(test_quoted_packets_end_the_chain),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_transports_with_ports),
        cmocka_unit_test(test_malformed_transport),
        cmocka_unit_test(test_nested_domains),
        cmocka_unit_test(test_pptp_call_is_no_domain),
        cmocka_unit_test(test_mac_pairs_whatever_the_settings),
        cmocka_unit_test(test_both_directions),
        cmocka_unit_test(test_straight_way_agrees_with_the_walk),
        cmocka_unit_test(test_noise_inside_tunnels),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_extreme_lengths),
        cmocka_unit_test(test_equal_endpoints),
        cmocka_unit_test(test_jumbo_option_behind_the_capture),
        cmocka_unit_test(test_no_packet_behind_these),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
