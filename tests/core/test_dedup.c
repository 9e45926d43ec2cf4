/* SPDX-License-Identifier: MIT */
/* The duplicate detector: windows, modes, evidence, bytes, memory. test_dedup_model.c has random traffic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "dedup_hash.h"
#include "dedup_internal.h"
#include "dedup_support.h"

#include <stdlib.h>

#define US(n) ((uint64_t)(n)*1000u)
#define MS(n) ((uint64_t)(n)*1000000u)

static const uint64_t start_ns = 1000000000;

static struct fs_dedup *detector(enum fs_dedup_mode mode, uint32_t capacity, uint64_t compare) {
    struct fs_dedup_config config;
    fs_dedup_config_defaults(&config);
    config.mode = mode;
    config.capacity = capacity;
    config.compare_bytes = compare;
    struct fs_dedup *dedup = fs_dedup_new(&config, NULL);
    assert_non_null(dedup);
    return dedup;
}

static uint32_t frame_number;

static struct fs_dedup_result check_on(struct fs_dedup *dedup, const struct description *d, uint64_t at_ns,
                                       uint32_t interface) {
    struct built built;
    struct fs_dedup_frame frame;
    struct fs_dedup_result result;
    build(&built, d);
    frame_of(&frame, &built, ++frame_number, start_ns + at_ns);
    frame.interface = interface;
    enum fs_dedup_verdict verdict = fs_dedup_check(dedup, &frame, &result);
    assert_int_equal(verdict, result.verdict);
    return result;
}

static struct fs_dedup_result check(struct fs_dedup *dedup, const struct description *d, uint64_t at_ns) {
    return check_on(dedup, d, at_ns, 0);
}

static struct description tcp(uint16_t id, uint32_t seq) {
    return (struct description){
        .kind = KIND_TCP, .ttl = 64, .flags = 0x10, .id = id, .seq = seq, .payload_length = 10, .no_timestamp = 1};
}

/* Let the detector see that the sender's identification advances. */
static void warm_up(struct fs_dedup *dedup, struct description like, uint64_t at_ns) {
    for (uint16_t n = 0; n < 4; n++) {
        like.id = (uint16_t)(60000 + n);
        like.seq += 5000;
        check(dedup, &like, at_ns + n);
    }
}

/* ---- windows ---- */

static void test_window_of_time_is_inclusive_and_goes_both_ways(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 100, 0);
    struct description d = tcp(1, 1);
    assert_int_equal(check(dedup, &d, MS(10)).verdict, FS_DEDUP_KEEP);
    struct fs_dedup_result copy = check(dedup, &d, MS(11));
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.delta_ns, MS(1));
    assert_int_equal(check(dedup, &d, MS(12) + 1).verdict, FS_DEDUP_KEEP);
    copy = check(dedup, &d, MS(11) + 1);
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.delta_ns, -(int64_t)MS(1));
    assert_int_equal(check(dedup, &d, MS(10)).verdict, FS_DEDUP_KEEP);
    fs_dedup_free(dedup);
}

static void test_window_of_count(void **state) {
    (void)state;
    for (uint32_t capacity = 1; capacity <= 40; capacity++) {
        struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, capacity, 0);
        struct description d = tcp(1, 1), other = tcp(2, 2);
        check(dedup, &d, 0);
        for (uint32_t i = 1; i < capacity; i++) {
            other.seq++;
            check(dedup, &other, 0);
        }
        assert_int_equal(check(dedup, &d, 0).verdict, FS_DEDUP_DUPLICATE);
        for (uint32_t i = 0; i < capacity; i++) {
            other.seq++;
            check(dedup, &other, 0);
        }
        assert_int_equal(check(dedup, &d, 0).verdict, FS_DEDUP_KEEP);
        struct fs_dedup_stats stats;
        fs_dedup_get_stats(dedup, &stats);
        assert_int_equal(stats.evictions, stats.frames - capacity);
        assert_true(stats.evictions_in_window > 0);
        fs_dedup_free(dedup);
    }
}

static void test_equal_frames_make_no_chain_longer(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 1000, 0);
    struct description a = tcp(1, 1), b = tcp(2, 2);
    fs__dedup_mask_hashes(dedup, 0xffff); /* all in one bucket */
    for (unsigned n = 0; n < 300; n++) {
        check(dedup, &a, 0);
        check(dedup, n % 3 ? &a : &b, MS(n));
    }
    assert_int_equal(fs__dedup_longest_chain(dedup), 2);
    fs_dedup_free(dedup);
}

static void test_largest_capacity(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, FS_DEDUP_CAPACITY_MAX, 0);
    uint8_t bytes[60] = {0};
    struct fs_dedup_frame frame = {.data = bytes, .captured = sizeof bytes, .wire_len = sizeof bytes};
    struct fs_dedup_result result;
    for (uint32_t n = 0; n < FS_DEDUP_CAPACITY_MAX + 1000; n++) {
        memcpy(bytes, &n, sizeof n);
        frame.frame = n + 1;
        assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    }
    for (uint32_t n = 999; n < 1009; n++) { /* each was just forgotten */
        memcpy(bytes, &n, sizeof n);
        assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    }
    for (uint32_t n = 1020; n < 2020; n++) {
        memcpy(bytes, &n, sizeof n);
        assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_DUPLICATE);
        assert_int_equal(result.original, n + 1);
    }
    fs_dedup_free(dedup);
}

static void test_chain_names_the_frame_that_was_kept(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 2, 0);
    struct description d = tcp(1, 1);
    check(dedup, &d, 0);
    uint32_t first = frame_number;
    for (unsigned n = 1; n < 9; n++) {
        struct fs_dedup_result copy = check(dedup, &d, n * US(900));
        assert_int_equal(copy.original, first);
        assert_int_equal(copy.previous, frame_number - 1);
        assert_int_equal(copy.delta_ns, US(900));
    }
    fs_dedup_free(dedup);
}

/* ---- modes ---- */

static void test_exact_looks_at_every_byte_and_length(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 4000, 0);
    struct fs_dedup_result result;
    uint8_t bytes[600] = {0};
    struct fs_dedup_frame frame = {.data = bytes, .captured = sizeof bytes, .wire_len = 700, .linktype = 1};
    fs_dedup_check(dedup, &frame, &result);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
        bytes[i] ^= 1;
    }
    frame.wire_len++;
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    frame.captured--;
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    frame.captured++;
    frame.wire_len--;
    frame.linktype++;
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    frame.linktype--;
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_DUPLICATE);
    assert_int_equal(result.evidence, FS_DEDUP_WEAK);
    assert_int_equal(result.hops, FS_DEDUP_NO_HOPS);
    fs_dedup_free(dedup);
}

static void test_one_packet_plain_and_in_a_tunnel(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
    struct description d = tcp(7, 1);
    warm_up(dedup, d, 0);
    check_on(dedup, &d, MS(1), 3);
    d.ttl -= 2;
    d.ip_checksum = 99;
    d.around = AROUND_VXLAN;
    struct fs_dedup_result copy = check_on(dedup, &d, MS(4), 4);
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.mode, FS_DEDUP_ROUTED);
    assert_int_equal(copy.grounds, FS_DEDUP_BY_ID);
    assert_int_equal(copy.hops, 2);
    assert_int_equal(copy.pair, 0);
    assert_int_equal(copy.differences,
                     FS_DEDUP_INTERFACE | FS_DEDUP_ENCAPSULATION | FS_DEDUP_TTL | FS_DEDUP_IP_CHECKSUM);
    d.around = AROUND_VLAN;
    d.vlan = 12;
    copy = check_on(dedup, &d, MS(5), 3);
    assert_int_equal(copy.differences, FS_DEDUP_INTERFACE | FS_DEDUP_ENCAPSULATION | FS_DEDUP_VLAN);
    assert_int_equal(copy.pair, 1);
    struct fs_dedup_stats stats;
    fs_dedup_get_stats(dedup, &stats);
    assert_int_equal(stats.pair_count, 2);
    assert_int_equal(stats.pairs[0].interface_first, 3);
    assert_int_equal(stats.pairs[0].interface_copy, 4);
    assert_int_equal(stats.pairs[0].vlan_first, FS_DEDUP_NO_VLAN);
    assert_int_equal(stats.pairs[0].hops, 2);
    assert_int_equal(stats.pairs[1].vlan_copy, 12);
    assert_int_equal(stats.duplicates[FS_DEDUP_ROUTED][FS_DEDUP_STRONG], 2);
    fs_dedup_free(dedup);
}

static void test_padding_and_fragments(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
    struct description whole = tcp(7, 1);
    whole.may_fragment = 1;
    warm_up(dedup, whole, 0);
    /* A later fragment: 8 bytes at offset 1480. */
    uint8_t frame_bytes[60] = {[12] = 8, [14] = 0x45, [17] = 28, [18] = 1, [20] = 0, [21] = 185, [22] = 64, [23] = 6};
    memcpy(frame_bytes + 26, (const uint8_t[]){10, 0, 0, 0, 10, 0, 0, 255}, 8);
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_frame raw = {
        .data = frame_bytes, .captured = 42, .wire_len = 42, .linktype = FS_LINK_ETHERNET, .time_ns = start_ns};
    struct fs_dedup_frame frame;
    struct fs_dedup_result result;
    fs_dedup_frame_set(&frame, &raw, packets, fs_extract(&config, &raw, packets));
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    raw.captured = raw.wire_len = 60;
    frame_bytes[22]--;
    fs_dedup_frame_set(&frame, &raw, packets, fs_extract(&config, &raw, packets));
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_DUPLICATE);
    assert_int_equal(result.differences, FS_DEDUP_TTL | FS_DEDUP_TRAILER);
    frame_bytes[21]++;
    assert_int_equal(fs_dedup_check(dedup, &frame, &result), FS_DEDUP_KEEP);
    fs_dedup_free(dedup);
}

static void test_middlebox(void **state) {
    (void)state;
    struct fs_dedup *routed = detector(FS_DEDUP_ROUTED, 100, 0);
    struct fs_dedup *rewritten = detector(FS_DEDUP_REWRITTEN, 100, 0);
    struct description syn = {.kind = KIND_TCP, .ttl = 64, .flags = 0xc2, .id = 9, .mss = 1460, .timestamp = 10};
    warm_up(routed, syn, 0);
    warm_up(rewritten, syn, 0);
    check(routed, &syn, MS(2));
    check(rewritten, &syn, MS(2));
    syn.mss = 1380;
    syn.timestamp = 999;
    syn.flags = 2;
    syn.tcp_checksum = 77;
    syn.may_fragment = 1;
    assert_int_equal(check(routed, &syn, MS(3)).verdict, FS_DEDUP_KEEP);
    struct fs_dedup_result copy = check(rewritten, &syn, MS(3));
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.mode, FS_DEDUP_REWRITTEN);
    assert_int_equal(copy.differences, FS_DEDUP_MSS | FS_DEDUP_TIMESTAMPS | FS_DEDUP_TCP_ECN | FS_DEDUP_TCP_CHECKSUM |
                                           FS_DEDUP_DONT_FRAGMENT);
    syn.ttl--; /* and on behind the middlebox */
    copy = check(rewritten, &syn, MS(4));
    assert_int_equal(copy.mode, FS_DEDUP_ROUTED);
    assert_int_equal(copy.evidence, FS_DEDUP_STRONG);
    fs_dedup_free(routed);
    fs_dedup_free(rewritten);
}

/* ---- evidence: what senders repeat on purpose ---- */

/* The repeats of `d`, `step_ns` apart, are on weak evidence in exact mode and kept in the others. */
static void assert_repeats_are_weak(struct description d, uint64_t step_ns, bool warm) {
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
        struct fs_dedup *dedup = detector((enum fs_dedup_mode)mode, 1000, 0);
        if (warm)
            warm_up(dedup, d, 0);
        check(dedup, &d, MS(20));
        for (unsigned n = 1; n < 6; n++) {
            struct fs_dedup_result result = check(dedup, &d, MS(20) + n * step_ns);
            bool exact = step_ns <= MS(1);
            assert_int_equal(result.verdict, exact ? FS_DEDUP_DUPLICATE : FS_DEDUP_KEEP);
            assert_int_equal(result.evidence, FS_DEDUP_WEAK);
            if (exact)
                assert_int_equal(result.mode, FS_DEDUP_EXACT);
            d.ttl ^= mode != FS_DEDUP_EXACT && !exact; /* by another way each time */
        }
        fs_dedup_free(dedup);
    }
}

static void test_repeats_without_identification_are_weak(void **state) {
    (void)state;
    const uint64_t steps[] = {US(2), US(300), MS(5)};
    for (unsigned i = 0; i < 3; i++) {
        struct description search = {.kind = KIND_UDP, .ttl = 4, .payload_length = 100, .no_timestamp = 1};
        assert_repeats_are_weak(search, steps[i], true); /* SSDP, DNS: identification 0 */
        struct description ack6 = {.kind = KIND_TCP6, .ttl = 64, .flags = 0x10, .timestamp = 5};
        assert_repeats_are_weak(ack6, steps[i], true); /* duplicate ACKs within one tick */
        ack6.no_timestamp = 1;
        ack6.timestamp = 0;
        assert_repeats_are_weak(ack6, steps[i], true);
        struct description reset = {.kind = KIND_TCP, .ttl = 64, .flags = 0x04, .no_timestamp = 1};
        assert_repeats_are_weak(reset, steps[i], true);
        struct description data6 = {.kind = KIND_TCP6, .ttl = 64, .flags = 0x18, .payload_length = 50, .timestamp = 5};
        if (steps[i] > US(10)) /* a retransmission after a round trip, within one tick */
            assert_repeats_are_weak(data6, steps[i], false);
    }
}

static void test_identification_that_does_not_advance_is_weak(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
    struct description d = tcp(54321, 1);
    d.payload_length = 0;
    for (unsigned n = 0; n < 20; n++) { /* a scanner: always the same */
        d.seq = n;
        check(dedup, &d, n * US(20));
    }
    assert_int_equal(check(dedup, &d, US(420)).evidence, FS_DEDUP_WEAK);
    d.ttl--;
    assert_true(check(dedup, &d, US(440)).withheld);
    /* Two of them behind one address: seen to change, but never a new one. */
    for (unsigned n = 0; n < 20; n++) {
        d.seq = 100 + n;
        d.id = (uint16_t)(1000 + n % 2);
        check(dedup, &d, US(500) + n * US(20));
    }
    d.ttl--;
    assert_true(check(dedup, &d, US(1000)).withheld);
    fs_dedup_free(dedup);
}

/* Found in pcaps/recorded/not-duplicates.pcapng: a scanner that sends each SYN twice, on a host whose TCP talks to the
 * same target. Its constant identification is a new one at first. */
static void test_identification_of_another_kind_of_packets_is_weak(void **state) {
    (void)state;
    for (uint8_t kind = 0; kind < 2; kind++) {
        struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
        struct description d = tcp(7, 1);
        d.may_fragment = kind;
        warm_up(dedup, d, 0);
        assert_int_equal(check(dedup, &d, MS(1)).verdict, FS_DEDUP_KEEP);
        assert_int_equal(check(dedup, &d, MS(2)).evidence, FS_DEDUP_STRONG);
        struct description scan = {.kind = KIND_TCP, .ttl = 64, .flags = 0x02, .id = 54321, .no_timestamp = 1};
        scan.may_fragment = !kind;
        check(dedup, &scan, MS(10));
        scan.ttl--;
        struct fs_dedup_result again = check(dedup, &scan, MS(11));
        assert_int_equal(again.verdict, FS_DEDUP_KEEP);
        assert_true(again.withheld);
        fs_dedup_free(dedup);
    }
}

static void test_identification_that_is_retained_is_weak_once_seen(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 100, 0);
    struct description d = tcp(7, 1);
    warm_up(dedup, d, 0);
    check(dedup, &d, MS(1));
    assert_int_equal(check(dedup, &d, MS(1) + US(500)).evidence, FS_DEDUP_STRONG);
    check(dedup, &d, MS(301)); /* RFC 1122, 3.2.1.5: a retransmission may have the identification of its original */
    assert_int_equal(check(dedup, &d, MS(301) + US(500)).evidence, FS_DEDUP_WEAK);
    fs_dedup_free(dedup);
}

static void test_timestamp_counts_once_its_clock_ticked(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
    struct description d = {.kind = KIND_TCP6, .ttl = 64, .flags = 0x10};
    for (uint32_t n = 0; n < 30; n++) { /* one tick a millisecond */
        d.seq = n;
        d.timestamp = 100 + n;
        check(dedup, &d, MS(n));
    }
    d.ttl--;
    assert_true(check(dedup, &d, MS(30)).withheld); /* 1 ms: the clock need not have ticked */
    d.ttl--;
    struct fs_dedup_result copy = check(dedup, &d, MS(33));
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.grounds, FS_DEDUP_BY_TIMESTAMP);
    fs_dedup_free(dedup);
}

static void test_delay_counts_for_data_on_a_fine_clock_only(void **state) {
    (void)state;
    struct description d = {.kind = KIND_TCP6, .ttl = 64, .flags = 0x10, .payload_length = 9, .no_timestamp = 1};
    struct fs_dedup *dedup = detector(FS_DEDUP_ROUTED, 100, 0);
    check(dedup, &d, MS(10));
    d.ttl--;
    assert_true(check(dedup, &d, MS(10)).withheld); /* a clock of 10 ms looks like that */
    d.ttl--;
    struct fs_dedup_result copy = check(dedup, &d, MS(10) + US(10));
    assert_int_equal(copy.verdict, FS_DEDUP_DUPLICATE);
    assert_int_equal(copy.grounds, FS_DEDUP_BY_DELAY);
    d.ttl--;
    assert_true(check(dedup, &d, MS(10) + US(20) + 1).withheld);
    static const uint8_t others[] = {0x14, 0x12}; /* a reset, data on a SYN-ACK: may be sent at once, again */
    for (unsigned i = 0; i < 2; i++) {
        d.flags = others[i];
        check(dedup, &d, MS(20 + i));
        d.ttl--;
        assert_true(check(dedup, &d, MS(20 + i) + US(1)).withheld);
    }
    fs_dedup_free(dedup);
}

/* ---- byte comparison ---- */

static void test_collision_hides_nothing_when_bytes_are_compared(void **state) {
    (void)state;
    struct description a = tcp(7, 1), b = tcp(8, 2);
    struct fs_dedup *trusting = detector(FS_DEDUP_EXACT, 100, 0);
    fs__dedup_mask_hashes(trusting, 0);
    check(trusting, &a, 0);
    assert_int_equal(check(trusting, &b, 0).verdict, FS_DEDUP_DUPLICATE); /* so the mask does what it should */
    fs_dedup_free(trusting);
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
        struct fs_dedup *dedup = detector((enum fs_dedup_mode)mode, 100, 100000);
        fs__dedup_mask_hashes(dedup, 0);
        check(dedup, &a, 0);
        assert_int_equal(check(dedup, &b, 0).verdict, FS_DEDUP_KEEP);
        assert_int_equal(check(dedup, &b, 0).verdict, FS_DEDUP_DUPLICATE);
        struct fs_dedup_stats stats;
        fs_dedup_get_stats(dedup, &stats);
        assert_int_equal(stats.collisions, mode + 1);
        fs_dedup_free(dedup);
    }
}

static void test_frame_whose_bytes_are_gone_is_no_original(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 100, 150); /* room for two frames of 64 */
    struct description a = tcp(7, 1), b = tcp(8, 2), c = tcp(9, 3);
    struct fs_dedup_stats stats;
    check(dedup, &a, 0);
    check(dedup, &b, 0);
    assert_int_equal(check(dedup, &a, 0).verdict, FS_DEDUP_DUPLICATE);
    check(dedup, &c, 0);
    assert_int_equal(check(dedup, &b, 0).verdict, FS_DEDUP_KEEP);
    fs_dedup_get_stats(dedup, &stats);
    assert_int_equal(stats.unverified, 1);
    fs_dedup_free(dedup);
}

/* ---- the rest ---- */

static void test_pairs_beyond_the_table_are_counted(void **state) {
    (void)state;
    struct fs_dedup *dedup = detector(FS_DEDUP_EXACT, 10, 0);
    struct description d = tcp(1, 1);
    for (uint32_t n = 0; n < FS_DEDUP_PAIRS + 6; n++)
        check_on(dedup, &d, 0, n);
    assert_int_equal(check_on(dedup, &d, 0, FS_DEDUP_PAIRS + 6).pair, FS_DEDUP_PAIRS);
    struct fs_dedup_stats stats;
    fs_dedup_get_stats(dedup, &stats);
    assert_int_equal(stats.pair_count, FS_DEDUP_PAIRS);
    assert_int_equal(stats.pairs_other, 6);
    struct fs_dedup_stats sum = {.pairs_other = 1, .pair_count = 2};
    sum.pairs[0] = stats.pairs[5];
    sum.pairs[0].count = 10;
    sum.pairs[1].hops = 99;
    sum.pairs[1].count = 20;
    stats.pairs[4].count = stats.pairs[5].count = stats.pairs[FS_DEDUP_PAIRS - 1].count = 5;
    fs_dedup_stats_add(&sum, &stats);
    assert_int_equal(sum.frames, stats.frames);
    assert_int_equal(sum.pair_count, FS_DEDUP_PAIRS);
    assert_int_equal(sum.pairs[0].count, 10 + 5);
    assert_int_equal(sum.pairs[6].count, 5);
    assert_int_equal(sum.pairs[1].count, 20);
    assert_memory_equal(&sum.pairs[2], &stats.pairs[0], sizeof(sum.pairs[2]));
    assert_int_equal(sum.pairs_other, 1 + 6 + 5); /* one row had no room */
    fs_dedup_reset(dedup);
    assert_int_equal(check(dedup, &d, 0).verdict, FS_DEDUP_KEEP);
    fs_dedup_get_stats(dedup, &stats);
    assert_int_equal(stats.frames, 1);
    assert_int_equal(stats.pair_count, 0);
    fs_dedup_free(dedup);
}

static void test_memory_is_fixed_and_every_allocation_may_fail(void **state) {
    (void)state;
    struct counting_allocator counting;
    struct fs_allocator allocator = counting_allocator_init(&counting);
    struct fs_dedup_config config;
    fs_dedup_config_defaults(&config);
    config.mode = FS_DEDUP_REWRITTEN;
    config.capacity = 50;
    config.compare_bytes = 5000;
    struct fs_dedup *dedup = fs_dedup_new(&config, &allocator);
    uint64_t calls = counting.calls;
    for (uint32_t n = 0; n < 500; n++) {
        struct description d = tcp((uint16_t)n, n / 2);
        check(dedup, &d, n * US(100));
    }
    assert_int_equal(counting.calls, calls);
    assert_int_equal(counting.bytes, fs_dedup_memory(dedup));
    fs_dedup_free(dedup);
    assert_int_equal(counting.live, 0);
    assert_false(counting.wrong_size);
    for (uint64_t n = 1; n <= calls; n++) {
        allocator = counting_allocator_init(&counting);
        counting.fail_at = n;
        assert_null(fs_dedup_new(&config, &allocator));
        assert_int_equal(counting.live, 0);
        assert_false(counting.wrong_size);
    }
    fs_dedup_free(NULL);
}

static void test_values_out_of_range_are_refused(void **state) {
    (void)state;
    struct fs_dedup_config good, bad;
    fs_dedup_config_defaults(&good);
#define REFUSED(field, value) (bad = good, bad.field = (value), assert_null(fs_dedup_new(&bad, NULL)))
    REFUSED(mode, (enum fs_dedup_mode)3);
    REFUSED(capacity, 0);
    REFUSED(capacity, FS_DEDUP_CAPACITY_MAX + 1);
    REFUSED(senders, 0);
    REFUSED(senders, FS_DEDUP_SENDERS_MAX + 1);
    REFUSED(compare_bytes, UINT64_MAX);
    struct fs_dedup *dedup = fs_dedup_new(NULL, NULL);
    assert_non_null(dedup);
    fs_dedup_free(dedup);
}

static void test_names(void **state) {
    (void)state;
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++)
        assert_int_equal(fs_dedup_mode_from_name(fs_dedup_mode_name(mode)), mode);
    assert_int_equal(fs_dedup_mode_from_name("nonsense"), -1);
    assert_string_equal(fs_dedup_mode_name(99), "unknown");
    assert_string_equal(fs_dedup_evidence_name(FS_DEDUP_STRONG), "strong");
    assert_string_equal(fs_dedup_evidence_name(2), "unknown");
    for (unsigned bit = 1; bit <= FS_DEDUP_GROUND_ALL; bit <<= 1)
        assert_string_not_equal(fs_dedup_ground_name(bit), "unknown");
    for (unsigned bit = 1; bit <= FS_DEDUP_DIFFERENCE_ALL; bit <<= 1)
        assert_string_not_equal(fs_dedup_difference_name(bit), "unknown");
    assert_string_equal(fs_dedup_difference_name(FS_DEDUP_DIFFERENCE_ALL + 1), "unknown");
}

static void test_descriptor_alone_is_a_frame_of_raw_ip(void **state) {
    (void)state;
    struct built built;
    struct description d = tcp(5, 6);
    struct fs_dedup_frame frame;
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_extract_config config;
    fs_extract_config_defaults(&config);
    build(&built, &d);
    struct fs_frame raw = {.data = built.bytes, .captured = built.length, .wire_len = built.length, .linktype = 1};
    assert_int_equal(fs_extract(&config, &raw, packets), 1);
    assert_ptr_equal(packets[0].ip, built.bytes + built.ip);
    assert_int_equal(packets[0].ip_captured, built.length - built.ip);
    fs_dedup_frame_set_packet(&frame, &packets[0]);
    assert_ptr_equal(frame.data, packets[0].ip);
    assert_int_equal(frame.captured, packets[0].ip_len);
    assert_int_equal(frame.linktype, FS_LINK_RAW);
}

static void test_hash_is_the_same_on_every_processor(void **state) {
    (void)state;
    uint8_t bytes[2000];
    struct fs__hasher hasher;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (uint64_t seed = 1; seed < 4; seed++) {
        fs__hasher_init(&hasher, seed);
        for (size_t length = 0; length < sizeof bytes; length += 13)
            assert_true(fs__hash(&hasher, bytes, length) == XXH3_64bits_withSeed(bytes, length, seed));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_of_time_is_inclusive_and_goes_both_ways),
        cmocka_unit_test(test_window_of_count),
        cmocka_unit_test(test_equal_frames_make_no_chain_longer),
        cmocka_unit_test(test_largest_capacity),
        cmocka_unit_test(test_chain_names_the_frame_that_was_kept),
        cmocka_unit_test(test_exact_looks_at_every_byte_and_length),
        cmocka_unit_test(test_one_packet_plain_and_in_a_tunnel),
        cmocka_unit_test(test_padding_and_fragments),
        cmocka_unit_test(test_middlebox),
        cmocka_unit_test(test_repeats_without_identification_are_weak),
        cmocka_unit_test(test_identification_that_does_not_advance_is_weak),
        cmocka_unit_test(test_identification_of_another_kind_of_packets_is_weak),
        cmocka_unit_test(test_identification_that_is_retained_is_weak_once_seen),
        cmocka_unit_test(test_timestamp_counts_once_its_clock_ticked),
        cmocka_unit_test(test_delay_counts_for_data_on_a_fine_clock_only),
        cmocka_unit_test(test_collision_hides_nothing_when_bytes_are_compared),
        cmocka_unit_test(test_frame_whose_bytes_are_gone_is_no_original),
        cmocka_unit_test(test_pairs_beyond_the_table_are_counted),
        cmocka_unit_test(test_memory_is_fixed_and_every_allocation_may_fail),
        cmocka_unit_test(test_values_out_of_range_are_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_descriptor_alone_is_a_frame_of_raw_ip),
        cmocka_unit_test(test_hash_is_the_same_on_every_processor),
    };
    return cmocka_run_group_tests_name("dedup", tests, NULL, NULL);
}
