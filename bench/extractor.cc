/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstring>

/* The same hash as the library's, inlined: this file must not depend on how the library was linked with it. */
#define XXH_INLINE_ALL
#include <xxhash.h>

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

/* Units: what the machine can do at all. */
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
