/* SPDX-License-Identifier: MIT */
/* Community ID against the specification's examples, and the SHA-1 and base64 beneath it against theirs. */
#include "base64.h"
#include "flowscope/community_id.h"
#include "sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_sha1(const void *data, size_t size, const char *expected) {
    uint8_t digest[FS__SHA1_SIZE];
    char text[2 * FS__SHA1_SIZE + 1] = "";
    fs__sha1(data, size, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        text[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    assert_string_equal(text, expected);
}

/* NIST's examples for FIPS 180-4, and the lengths around the padding's edges (from sha1sum). */
static void test_sha1(void **state) {
    (void)state;
    expect_sha1("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    expect_sha1("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    expect_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    expect_sha1(million, 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    expect_sha1(million, 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    expect_sha1(million, 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    expect_sha1(million, 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(million);
}

/* RFC 4648, 10 */
static void test_base64(void **state) {
    (void)state;
    static const char *const expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t size = 0; size < sizeof expected / sizeof expected[0]; size++) {
        char text[16] = "";
        assert_int_equal(fs__base64((const uint8_t *)"foobar", size, text), strlen(expected[size]));
        assert_string_equal(text, expected[size]);
        assert_int_equal(FS__BASE64_LENGTH(size), strlen(expected[size]));
    }
    char text[5] = "";
    fs__base64((const uint8_t *)"\xfb\xff\xfe", 3, text);
    assert_string_equal(text, "+//+");
}

static void expect_id(const struct fs_key *key, uint16_t seed, const char *expected) {
    char text[FS_COMMUNITY_ID_SIZE];
    assert_int_equal(fs_community_id(key, seed, text), strlen(expected));
    assert_string_equal(text, expected);
}

static const uint8_t client[4] = {128, 232, 110, 120}, server[4] = {66, 35, 250, 204};

static void test_tcp(void **state) {
    (void)state;
    struct fs_key key;
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, client, server, 34855, 80, FS_PROTO_TCP, false);
    expect_id(&key, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    expect_id(&key, 1, "1:3V71V58M3Ksw/yuFALMcW0LAHvc=");
    key.domain = 77; /* is no part of it */
    expect_id(&key, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, server, client, 80, 34855, FS_PROTO_TCP, false);
    expect_id(&key, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, client, server, 34855, 80, FS_PROTO_TCP, true);
    expect_id(&key, 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
}

/* Both endpoints have one address: the ports decide. */
static void test_one_address(void **state) {
    (void)state;
    const uint8_t host[4] = {192, 168, 0, 254};
    struct fs_key key;
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, host, host, 56162, 3306, FS_PROTO_TCP, false);
    expect_id(&key, 1, "1:IJQHtzXv/tXud3FtXIufkDsfEd4=");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, host, host, 56162, 3306, FS_PROTO_TCP, true);
    expect_id(&key, 1, "1:IJQHtzXv/tXud3FtXIufkDsfEd4=");
}

static void test_other_transports(void **state) {
    (void)state;
    const uint8_t resolver[4] = {8, 8, 8, 8}, host[4] = {192, 168, 1, 52};
    const uint8_t a[4] = {192, 168, 170, 8}, b[4] = {192, 168, 170, 56};
    const uint8_t one[4] = {10, 1, 12, 1}, two[4] = {10, 1, 12, 2};
    struct fs_key key;
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, host, resolver, 54585, 53, FS_PROTO_UDP, false);
    expect_id(&key, 0, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, a, b, 7, 7, FS_PROTO_SCTP, false);
    expect_id(&key, 0, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, two, one, 0, 0, 46, false); /* RSVP: no ports */
    expect_id(&key, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
    const uint8_t v6_a[16] = {0x20, 0x01, 0x04, 0x70, 0xe5, 0xbf, 0xde, 0xad,
                              0x49, 0x57, 0x21, 0x74, 0xe8, 0x2c, 0x48, 0x87};
    const uint8_t v6_b[16] = {0x26, 0x07, 0xf8, 0xb0, 0x40, 0x0c, 0x0c, 0x03, 0, 0, 0, 0, 0, 0, 0, 0x1a};
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV6, v6_b, v6_a, 25, 63943, FS_PROTO_TCP, false);
    expect_id(&key, 0, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
}

static void test_icmp(void **state) {
    (void)state;
    const uint8_t host[4] = {192, 168, 0, 89}, router[4] = {192, 168, 0, 1};
    const uint8_t one[4] = {10, 0, 0, 1}, two[4] = {10, 0, 0, 2};
    struct fs_key key;
    fs_key_set_icmp(&key, FS_FAMILY_IPV4, host, router, FS_PROTO_ICMP, 8, 0, 99, false);
    expect_id(&key, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV4, router, host, FS_PROTO_ICMP, 0, 0, 99, false);
    expect_id(&key, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV4, one, two, FS_PROTO_ICMP, 11, 0, 0, false); /* one-way: type and code */
    expect_id(&key, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV4, one, two, FS_PROTO_ICMP, 11, 0, 0, true);
    expect_id(&key, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV4, two, one, FS_PROTO_ICMP, 11, 0, 0, false);
    expect_id(&key, 0, "1:c5iqfdGYsNWhMJVcYXWPNWbpnKs="); /* the other way is another flow */
}

static void test_icmpv6(void **state) {
    (void)state;
    const uint8_t a[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0x86, 0xff, 0xfe, 0x05, 0x80, 0xda};
    const uint8_t b[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x60, 0x97, 0xff, 0xfe, 0x07, 0x69, 0xea};
    const uint8_t routers[16] = {0xff, 0x02, [15] = 2}, all[16] = {0xff, 0x02, [15] = 1};
    struct fs_key key;
    fs_key_set_icmp(&key, FS_FAMILY_IPV6, a, b, FS_PROTO_ICMPV6, 135, 0, 0, false);
    expect_id(&key, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV6, b, a, FS_PROTO_ICMPV6, 135, 0, 0, false); /* asked from the other side */
    expect_id(&key, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV6, a, b, FS_PROTO_ICMPV6, 136, 0, 0, false);
    expect_id(&key, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV6, a, routers, FS_PROTO_ICMPV6, 133, 0, 0, false);
    expect_id(&key, 0, "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0=");
    fs_key_set_icmp(&key, FS_FAMILY_IPV6, b, all, FS_PROTO_ICMPV6, 134, 0, 0, false); /* an answer without question */
    expect_id(&key, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00=");
}

static void test_what_has_none(void **state) {
    (void)state;
    struct fs_key key;
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    fs_key_set(&key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, mac, mac, 0, 0, 0, false);
    expect_id(&key, 0, "");
    fs_key_set(&key, FS_KEY_IP_PAIR, FS_FAMILY_IPV4, client, server, 0, 0, 0, false);
    expect_id(&key, 0, "");
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_NONE, NULL, NULL, 0, 0, 6, false);
    expect_id(&key, 0, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),        cmocka_unit_test(test_base64),           cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_one_address), cmocka_unit_test(test_other_transports), cmocka_unit_test(test_icmp),
        cmocka_unit_test(test_icmpv6),      cmocka_unit_test(test_what_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
