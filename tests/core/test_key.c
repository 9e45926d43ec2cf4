/* SPDX-License-Identifier: MIT */
#include "flowscope/allocator.h"
#include "flowscope/error.h"
#include "flowscope/key.h"
#include "flowscope/version.h"
#include "key_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t low[4] = {10, 0, 0, 1}, high[4] = {10, 0, 0, 2};

static void test_both_directions_have_one_key(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 20000; i++) {
        uint8_t a[16], b[16];
        for (size_t k = 0; k < 16; k++) {
            random = random * 1664525 + 1013904223;
            a[k] = (uint8_t)(random >> 24);
            b[k] = i % 3 ? (uint8_t)(random >> 16) : a[k];
        }
        enum fs_family family = i % 2 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
        uint16_t sp = (uint16_t)(random >> 8), dp = (uint16_t)(random * 7);
        struct fs_key there, back;
        enum fs_orientation forth = fs_key_set(&there, FS_KEY_5TUPLE, family, a, b, sp, dp, 6, false);
        enum fs_orientation again = fs_key_set(&back, FS_KEY_5TUPLE, family, b, a, dp, sp, 6, false);
        assert_memory_equal(&there, &back, sizeof there);
        bool same = memcmp(a, b, family == FS_FAMILY_IPV4 ? 4 : 16) == 0 && sp == dp;
        assert_int_equal(forth == again, same);
        assert_true(fs_key_hash(&there, 5) == fs_key_hash(&back, 5));
        assert_true(fs_shard_of(&there, 13) == fs_shard_of(&back, 13) && fs_shard_of(&there, 13) < 13);
    }
}

static void test_the_smaller_endpoint_comes_first(void **state) {
    (void)state;
    struct fs_key key;
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, high, low, 1, 2, 17, false), FS_REVERSE);
    assert_memory_equal(key.address[0], low, 4);
    assert_int_equal(key.port[0], 2);
    assert_int_equal(key.port[1], 1);
    /* equal addresses: the smaller port */
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, low, 300, 2, 17, false), FS_REVERSE);
    assert_int_equal(key.port[0], 2);
    /* equal in all: forward */
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, low, 2, 2, 17, false), FS_FORWARD);
}

static void test_directional_keys_differ(void **state) {
    (void)state;
    struct fs_key there, back;
    assert_int_equal(fs_key_set(&there, FS_KEY_5TUPLE, FS_FAMILY_IPV4, high, low, 1, 2, 6, true), FS_FORWARD);
    assert_int_equal(fs_key_set(&back, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, high, 2, 1, 6, true), FS_FORWARD);
    assert_memory_not_equal(&there, &back, sizeof there);
}

static void test_pairs_have_neither_ports_nor_protocol(void **state) {
    (void)state;
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 2};
    struct fs_key key;
    fs_key_set(&key, FS_KEY_IP_PAIR, FS_FAMILY_IPV4, low, high, 1, 2, 6, false);
    assert_int_equal(key.port[0] | key.port[1] | key.protocol, 0);
    fs_key_set(&key, FS_KEY_MAC_PAIR, FS_FAMILY_MAC, other, mac, 0, 0, 0, false);
    assert_memory_equal(key.address[0], mac, 6);
    assert_int_equal(key.family, FS_FAMILY_MAC);
}

struct pair {
    uint8_t protocol, request, reply;
    bool identified;
};

static void test_icmp_replies_have_the_key_of_their_request(void **state) {
    (void)state;
    const struct pair pairs[] = {{1, 8, 0, true},      {1, 13, 14, true},     {1, 15, 16, true},
                                 {1, 17, 18, true},    {58, 139, 140, false}, {58, 128, 129, true},
                                 {58, 144, 145, true}, {58, 130, 131, false}, {58, 133, 134, false},
                                 {58, 135, 136, false}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct fs_key request, reply, other;
        enum fs_family family = pairs[i].protocol == 1 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
        uint8_t a[16] = {1}, b[16] = {2};
        fs_key_set_icmp(&request, family, a, b, pairs[i].protocol, pairs[i].request, 0, 77, false);
        fs_key_set_icmp(&reply, family, b, a, pairs[i].protocol, pairs[i].reply, 0, 77, false);
        assert_memory_equal(&request, &reply, sizeof request);
        assert_int_equal(request.requester, 0);
        fs_key_set_icmp(&other, family, b, a, pairs[i].protocol, pairs[i].request, 0, 77, false);
        assert_int_equal(other.requester, 1);
        assert_memory_not_equal(&request, &other, sizeof request);
        fs_key_set_icmp(&request, family, a, a, pairs[i].protocol, pairs[i].request, 0, 77, false);
        fs_key_set_icmp(&reply, family, a, a, pairs[i].protocol, pairs[i].reply, 0, 77, false);
        assert_memory_equal(&request, &reply, sizeof request);
        assert_int_equal(fs_icmp_counterpart(pairs[i].protocol, pairs[i].request), pairs[i].reply);
        assert_int_equal(fs_icmp_counterpart(pairs[i].protocol, pairs[i].reply), pairs[i].request);
        fs_key_set_icmp(&request, family, a, b, pairs[i].protocol, pairs[i].request, 0, 77, false);
        assert_int_equal(request.port[0], pairs[i].request << 8);
        assert_int_equal(request.port[1], pairs[i].identified ? 77 : 0);
        fs_key_set_icmp(&other, family, a, b, pairs[i].protocol, pairs[i].request, 0, 78, false);
        assert_int_equal(memcmp(&request, &other, sizeof request) == 0, !pairs[i].identified);
    }
}

static void test_icmp_errors_are_told(void **state) {
    (void)state;
    for (int type = 0; type < 256; type++) {
        bool v4 = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        assert_int_equal(fs_icmp_is_error(1, (uint8_t)type), v4);
        assert_int_equal(fs_icmp_is_error(58, (uint8_t)type), type >= 1 && type <= 4);
        assert_false(fs_icmp_is_error(6, (uint8_t)type));
    }
}

static void test_domains_keep_kinds_and_numbers_apart(void **state) {
    (void)state;
    uint32_t vlan = fs_domain_mix(0, FS_DOMAIN_VLAN, 5);
    assert_true(vlan != 0);
    assert_true(vlan != fs_domain_mix(0, FS_DOMAIN_TUNNEL, 5));
    assert_true(vlan != fs_domain_mix(0, FS_DOMAIN_VLAN, 6));
    assert_true(fs_domain_mix(vlan, FS_DOMAIN_TUNNEL, 9) != fs_domain_mix(0, FS_DOMAIN_TUNNEL, 9));
    assert_int_equal(vlan, fs_domain_mix(0, FS_DOMAIN_VLAN, 5));
}

/* The number is part of the contract: workers on different machines must agree. */
static void test_shards_are_the_same_everywhere(void **state) {
    (void)state;
    struct fs_key key;
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, high, 1234, 80, 6, false);
    uint32_t counts[4] = {0};
    for (uint32_t port = 0; port < 4000; port++) {
        key.port[0] = (uint16_t)port;
        counts[fs_shard_of(&key, 4)]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(counts[i], 850, 1150);
    key.port[0] = 1234;
    assert_int_equal(fs_shard_of(&key, 1000000), 433342);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(fs_protocol_name(6), "TCP");
    assert_string_equal(fs_protocol_name(17), "UDP");
    assert_null(fs_protocol_name(200));
}

/* Whatever was there before; of the address, no byte beyond the family's. */
static void test_every_byte_is_set(void **state) {
    (void)state;
    static const uint8_t longer[16] = {10, 0, 0, 1, 9, 9}, first[16] = {10, 0, 0, 1}, second[16] = {10, 0, 0, 2};
    struct fs_key key;
    memset(&key, 0xff, sizeof key);
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, high, longer, 80, 40000, 6, false);
    assert_memory_equal(key.address[0], first, 16);
    assert_memory_equal(key.address[1], second, 16);
    assert_int_equal(key.port[0], 40000);
    assert_int_equal(key.port[1], 80);
    assert_int_equal(key.domain, 0);
    assert_int_equal(key.protocol, 6);
    assert_int_equal(key.family, FS_FAMILY_IPV4);
    assert_int_equal(key.kind, FS_KEY_5TUPLE);
    assert_int_equal(key.requester, 0);
    memset(&key, 0xff, sizeof key);
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_NONE, NULL, NULL, 9, 1, 6, false), FS_FORWARD);
    static const uint8_t zeros[32] = {0};
    assert_memory_equal(key.address, zeros, 32);
}

/* Addresses are ordered as bytes without a sign, ports as numbers. */
static void test_order_of_large_numbers(void **state) {
    (void)state;
    const uint8_t small[4] = {100, 0, 0, 2}, large[4] = {200, 0, 0, 1};
    struct fs_key key;
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, large, small, 1, 2, 6, false), FS_REVERSE);
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, low, 0x00ff, 0x0100, 6, false), FS_FORWARD);
    assert_int_equal(fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, low, 0x8000, 1, 6, false), FS_REVERSE);
    /* ports that are not in the key give no order */
    assert_int_equal(fs_key_set(&key, FS_KEY_IP_PAIR, FS_FAMILY_IPV4, low, low, 9, 1, 6, false), FS_FORWARD);
}

static void test_icmp_orientation(void **state) {
    (void)state;
    struct fs_key there, back;
    assert_int_equal(fs_key_set_icmp(&there, FS_FAMILY_IPV4, low, high, 1, 8, 0, 1, false), FS_FORWARD);
    assert_int_equal(fs_key_set_icmp(&back, FS_FAMILY_IPV4, high, low, 1, 0, 0, 1, false), FS_REVERSE);
    assert_int_equal(fs_key_set_icmp(&back, FS_FAMILY_IPV4, high, low, 1, 0, 0, 1, true), FS_FORWARD);
    assert_memory_not_equal(&there, &back, sizeof there);
    fs_key_set_icmp(&there, FS_FAMILY_IPV4, low, high, 1, 3, 4, 77, false); /* no pair: code, and no identifier */
    assert_int_equal(there.port[0], 0x0304);
    assert_int_equal(fs_icmp_counterpart(1, 3), -1);
    assert_int_equal(fs_icmp_counterpart(1, 9), -1);
    assert_int_equal(there.requester, 0);
    assert_int_equal(there.port[1], 0);
}

/* Each single bit counts for comparison and hash, and for the shard all but those of the requester. */
static void test_every_bit_counts(void **state) {
    (void)state;
    struct fs_key key;
    fs_key_set(&key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, low, high, 1234, 80, 6, false);
    for (size_t bit = 0; bit < sizeof key * 8; bit++) {
        struct fs_key changed = key;
        ((uint8_t *)&changed)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(fs__key_equal(&key, &changed));
        assert_true(fs_key_hash(&key, 1) != fs_key_hash(&changed, 1));
        if (bit / 8 != offsetof(struct fs_key, requester))
            assert_true(fs_shard_of(&key, UINT32_MAX) != fs_shard_of(&changed, UINT32_MAX));
    }
    struct fs_key copy = key;
    assert_true(fs__key_equal(&key, &copy));
    assert_true(fs_key_hash(&key, 1) == fs__key_hash(&copy, 1));
    assert_true(fs_key_hash(&key, 1) != fs_key_hash(&key, 2));
    assert_int_equal(fs_shard_of(&key, 1), 0);
}

/* As shards: the same on every machine. */
static void test_domains_are_the_same_everywhere(void **state) {
    (void)state;
    uint32_t vlan = fs_domain_mix(0, FS_DOMAIN_VLAN, 5);
    assert_int_equal(vlan, 1414324195);
    assert_int_not_equal(vlan, fs_domain_mix(vlan, FS_DOMAIN_VLAN, 5));
    assert_int_not_equal(fs_domain_mix(vlan, FS_DOMAIN_VLAN, 6),
                         fs_domain_mix(fs_domain_mix(0, FS_DOMAIN_VLAN, 6), FS_DOMAIN_VLAN, 5));
    assert_int_not_equal(fs_domain_mix(0, FS_DOMAIN_TUNNEL, 1), fs_domain_mix(0, FS_DOMAIN_TUNNEL, 1ull << 32));
}

static void test_errors_and_version(void **state) {
    (void)state;
#define CHECK(symbol, value, text)                                                                                     \
    assert_int_equal(symbol, value);                                                                                   \
    assert_string_equal(fs_strerror(symbol), text);
    FS_ERROR_MAP(CHECK)
#undef CHECK
    assert_string_equal(fs_strerror(1), "unknown error");
    assert_string_equal(fs_strerror(-1000), "unknown error");
    assert_string_equal(fs_version(), FS_VERSION);
}

static void test_default_allocator(void **state) {
    (void)state;
    struct fs_allocator allocator = fs_allocator_default();
    uint8_t *bytes = allocator.alloc(64, allocator.user);
    assert_non_null(bytes);
    memset(bytes, 1, 64);
    allocator.release(bytes, 64, allocator.user);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions_have_one_key),
        cmocka_unit_test(test_the_smaller_endpoint_comes_first),
        cmocka_unit_test(test_directional_keys_differ),
        cmocka_unit_test(test_pairs_have_neither_ports_nor_protocol),
        cmocka_unit_test(test_icmp_replies_have_the_key_of_their_request),
        cmocka_unit_test(test_icmp_errors_are_told),
        cmocka_unit_test(test_domains_keep_kinds_and_numbers_apart),
        cmocka_unit_test(test_shards_are_the_same_everywhere),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_byte_is_set),
        cmocka_unit_test(test_order_of_large_numbers),
        cmocka_unit_test(test_icmp_orientation),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_domains_are_the_same_everywhere),
        cmocka_unit_test(test_errors_and_version),
        cmocka_unit_test(test_default_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
