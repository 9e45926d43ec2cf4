/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstring>

/* The same hash as the library's, inlined: this file must not depend on how the library was linked with it. */
#define XXH_INLINE_ALL
#include <xxhash.h>

/* How keys are written, hashed and compared: private headers, of C. */
#define _Static_assert static_assert
extern "C" {
#include "../core/src/bytes.h"
#include "../core/src/key_internal.h"
}

namespace {

using namespace frames;

void extract(benchmark::State &state, const Bytes &bytes) {
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_frame frame = view(bytes);
    for (auto _ : state) {
        benchmark::DoNotOptimize(frame);
        int count = fs_extract(&config, &frame, packets);
        benchmark::DoNotOptimize(count);
        benchmark::DoNotOptimize(packets[0]);
        benchmark::ClobberMemory();
    }
    count_packets(state, state.iterations());
}

/* The reference's rows: 72 and 47 bytes. */
const Bytes tcp4 = reference_tcp(1234, 18);
const Bytes udp4 = ethernet(0x0800, ipv4(CLIENT, SERVER, 17, udp(1234, 53, Bytes(5, 'x'))));
/* Rows that it does not have. */
const Bytes tcp6 = ethernet(0x86dd, ipv6(1, 2, 6, tcp(1234, 80, 1000, 0, 0x18, 18)));
const Bytes tagged = vlan(7, 0x0800, ipv4(CLIENT, SERVER, 6, tcp(1234, 80, 1000, 0, 0x18, 18)));
const Bytes tunnelled = vlan(7, 0x0800, ipv4(CLIENT, SERVER, 17, udp(40000, 4789, vxlan(5, reference_tcp(1234, 18)))));

BENCHMARK_CAPTURE(extract, five_tuple_ipv4_tcp, tcp4)->Name("extractor/five_tuple_ipv4_tcp");
BENCHMARK_CAPTURE(extract, five_tuple_ipv4_udp, udp4)->Name("extractor/five_tuple_ipv4_udp");
BENCHMARK_CAPTURE(extract, five_tuple_ipv6_tcp, tcp6)->Name("extractor/five_tuple_ipv6_tcp");
BENCHMARK_CAPTURE(extract, vlan_ipv4_tcp, tagged)->Name("extractor/vlan_ipv4_tcp");
BENCHMARK_CAPTURE(extract, vlan_vxlan_ipv4_tcp, tunnelled)->Name("extractor/vlan_vxlan_ipv4_tcp");

/* ---- units: what the machine can do at all ---- */

/* The descriptor of a frame that is known to be Ethernet, IPv4 and TCP without options, complete, and sent by the
 * endpoint that comes first: nothing is looked at but what is copied. No extractor that gives as much can be faster. */
void parse_without_a_look(const fs_frame &frame, fs_packet &packet) {
    const uint8_t *ip = frame.data + 14, *tcp = ip + 20;
    packet.time_ns = frame.time_ns;
    fs__put_first_half(packet.key.address[0], ip + 12);
    fs__put_be64(packet.key.address[0] + 8, 0);
    fs__put_first_half(packet.key.address[1], ip + 16);
    fs__put_be64(packet.key.address[1] + 8, 0);
    fs__key_put_rest(&packet.key, fs__be16(tcp), fs__be16(tcp + 2), 0, ip[9], FS_FAMILY_IPV4, FS_KEY_5TUPLE);
    packet.frame = frame.number;
    packet.flags = FS_PACKET_HAS_TCP;
    packet.orientation = FS_FORWARD;
    packet.ttl = ip[8];
    packet.wire_len = frame.wire_len;
    packet.ip_len = packet.ip_captured = fs__be16(ip + 2);
    packet.payload_len = packet.payload_captured = packet.ip_len - 40;
    packet.payload = tcp + 20;
    packet.flow_label = 0;
    packet.ip = ip;
    packet.vlan[0] = packet.vlan[1] = 0;
    packet.tcp.seq = fs__be32(tcp + 4);
    packet.tcp.ack = fs__be32(tcp + 8);
    packet.tcp.flags = fs__be16(tcp + 12) & 0x1ff;
    packet.tcp.window = fs__be16(tcp + 14);
    packet.tcp.urgent = fs__be16(tcp + 18);
    packet.tcp.mss = 0;
    packet.tcp.options = packet.tcp.window_scale = packet.tcp.sack_count = packet.tcp.reserved = 0;
    packet.tcp.ts_value = packet.tcp.ts_echo = 0;
}

void bare_parse(benchmark::State &state) {
    fs_packet packet;
    fs_frame frame = view(tcp4);
    for (auto _ : state) {
        benchmark::DoNotOptimize(frame);
        parse_without_a_look(frame, packet);
        benchmark::DoNotOptimize(packet);
        benchmark::ClobberMemory();
    }
    count_packets(state, state.iterations());
}
BENCHMARK(bare_parse)->Name("bare/parse_ipv4_tcp");

/* And the key's place in a table that is in the cache: the tracker's hash, one probe and a comparison. */
void bare_parse_and_probe(benchmark::State &state) {
    fs_packet packet;
    fs_frame frame = view(tcp4);
    const fs__key_secret secret = fs__key_secret_of(1);
    std::array<fs_key, 64> table{};
    parse_without_a_look(frame, packet);
    table[fs__key_secret_hash(&packet.key, &secret) % table.size()] = packet.key;
    for (auto _ : state) {
        benchmark::DoNotOptimize(frame);
        parse_without_a_look(frame, packet);
        benchmark::DoNotOptimize(packet);
        const fs_key &found = table[fs__key_secret_hash(&packet.key, &secret) % table.size()];
        benchmark::DoNotOptimize(fs__key_equal(&found, &packet.key));
        benchmark::ClobberMemory();
    }
    count_packets(state, state.iterations());
}
BENCHMARK(bare_parse_and_probe)->Name("bare/parse_ipv4_tcp_and_probe");

void empty_loop(benchmark::State &state) {
    for (auto _ : state)
        benchmark::ClobberMemory();
}
BENCHMARK(empty_loop)->Name("bare/empty_loop");

void memcpy_1500(benchmark::State &state) {
    Bytes from(1500, 'x'), to(1500);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), from.size());
        benchmark::ClobberMemory();
    }
}
BENCHMARK(memcpy_1500)->Name("bare/memcpy_1500");

void xxh3_44(benchmark::State &state) {
    std::array<uint8_t, sizeof(fs_key)> key{};
    for (auto _ : state) {
        benchmark::DoNotOptimize(key);
        benchmark::DoNotOptimize(XXH3_64bits_withSeed(key.data(), key.size(), 1));
    }
}
static_assert(sizeof(fs_key) == 44, "the row is named after the size of a key");
BENCHMARK(xxh3_44)->Name("bare/xxh3_44");

} // namespace

BENCHMARK_MAIN();
