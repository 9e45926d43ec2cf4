/* SPDX-License-Identifier: MIT */
/* The rows of the reference, by the Rust crate itself and over the same frames as ours; and units of the machine.
 * peer/flowscope-rs/ROW is release 0.3.0, peer/flowscope-rs-0.26/ROW the newest; ROW is the name of our row. Built
 * again with link-time optimisation as FLOWSCOPE_PEERS_LTO, which adds -lto to the names and leaves out the units. */
#include "flowscope_rs.h"
#include "frames.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>

/* As in extractor.cc: inlined, for the processor that the compiler builds for. */
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace {

using namespace frames;

constexpr int64_t ROUND = 1024; /* packets that one call of the crate's side makes */
constexpr uint32_t MSS = 1500;

/* One release of the crate. */
struct Release {
    const char *name;
    decltype(&peer_0_3_extract) extract;
    decltype(&peer_0_3_tracker_new) tracker_new;
    decltype(&peer_0_3_tracker_run) tracker_run;
    decltype(&peer_0_3_tracker_free) tracker_free;
    decltype(&peer_0_3_dedup_new) dedup_new;
    decltype(&peer_0_3_dedup_run) dedup_run;
    decltype(&peer_0_3_dedup_free) dedup_free;
    decltype(&peer_0_3_reassembler_new) reassembler_new;
    decltype(&peer_0_3_reassembler_run) reassembler_run;
    decltype(&peer_0_3_reassembler_free) reassembler_free;
    decltype(&peer_0_3_session_new) session_new;
    decltype(&peer_0_3_session_run) session_run;
    decltype(&peer_0_3_session_free) session_free;
};

#ifdef FLOWSCOPE_PEERS_LTO
#define BUILD "-lto/"
#else
#define BUILD "/"
#endif

#define RELEASE(name, release)                                                                                         \
    {                                                                                                                  \
        name, peer_##release##_extract, peer_##release##_tracker_new, peer_##release##_tracker_run,                    \
            peer_##release##_tracker_free, peer_##release##_dedup_new, peer_##release##_dedup_run,                     \
            peer_##release##_dedup_free, peer_##release##_reassembler_new, peer_##release##_reassembler_run,           \
            peer_##release##_reassembler_free, peer_##release##_session_new, peer_##release##_session_run,             \
            peer_##release##_session_free                                                                              \
    }

const Release releases[] = {RELEASE("peer/flowscope-rs" BUILD, 0_3), RELEASE("peer/flowscope-rs-0.26" BUILD, 0_26)};

peer_frame peer_view(const Bytes &bytes) {
    return {bytes.data(), bytes.size()};
}

template <typename Run> void measure(benchmark::State &state, Run run) {
    while (state.KeepRunningBatch(ROUND))
        run();
    count_packets(state, state.iterations());
}

void extract(benchmark::State &state, const Release &release, const Bytes &bytes) {
    const peer_frame frame = peer_view(bytes);
    measure(state, [&] { release.extract(&frame, ROUND); });
}

/* Each frame is seen once before the loop, and there is room for all. */
void n_flows(benchmark::State &state, const Release &release, size_t n) {
    const std::vector<Bytes> all = flows(n);
    std::vector<peer_frame> views;
    views.reserve(n);
    for (const Bytes &bytes : all)
        views.push_back(peer_view(bytes));
    const size_t defaults = 100000;
    std::unique_ptr<peer_tracker, decltype(release.tracker_free)> tracker(
        release.tracker_new(n > defaults ? n : defaults), release.tracker_free);
    size_t live = release.tracker_run(tracker.get(), views.data(), n, 0, n);
    size_t start = 0;
    measure(state, [&] {
        live = release.tracker_run(tracker.get(), views.data(), n, start, ROUND);
        start += ROUND;
    });
    if (live != n)
        state.SkipWithError("the crate does not track these frames");
}

void dedup(benchmark::State &state, const Release &release, size_t size, bool unique) {
    Bytes frame(size, 0);
    std::unique_ptr<peer_dedup, decltype(release.dedup_free)> dedup(release.dedup_new(), release.dedup_free);
    uint64_t number = 0, found = 0;
    measure(state, [&] {
        found = release.dedup_run(dedup.get(), frame.data(), size, unique, number, ROUND);
        number += unique ? ROUND : 0;
    });
    if (found != (unique ? 0 : static_cast<uint64_t>(state.iterations()) - 1))
        state.SkipWithError("the crate finds other duplicates");
}

using Stream = std::unique_ptr<peer_reassembler, decltype(&peer_0_3_reassembler_free)>;

void reassembler(benchmark::State &state, const Release &release, size_t limit, bool drop_flow, size_t take_above) {
    Stream stream(release.reassembler_new(limit, drop_flow), release.reassembler_free);
    measure(state, [&] { release.reassembler_run(stream.get(), take_above, ROUND); });
}

/* Of 0.3 alone: the newer one skips the hole and takes what follows as sent again. */
void ooo_drops(benchmark::State &state) {
    Stream stream(peer_0_3_reassembler_new(0, false), peer_0_3_reassembler_free);
    peer_0_3_reassembler_run(stream.get(), SIZE_MAX, 1);
    uint64_t dropped = 0;
    measure(state, [&] { dropped = peer_0_3_reassembler_ahead(stream.get(), ROUND); });
    if (dropped != static_cast<uint64_t>(state.iterations()))
        state.SkipWithError("the crate drops other segments");
}

/* Handshake before; then data frames of 1,400 bytes. The frame is built before the loop: its sequence number goes on.
 */
void passthrough(benchmark::State &state, const Release &release) {
    const uint32_t payload = 1400;
    const Bytes handshake[] = {
        ethernet(0x0800, ipv4(CLIENT, SERVER, 6, tcp(1234, 80, 1000, 0, FS_TCP_SYN, 0))),
        ethernet(0x0800, ipv4(SERVER, CLIENT, 6, tcp(80, 1234, 5000, 1001, FS_TCP_SYN | FS_TCP_ACK, 0))),
        ethernet(0x0800, ipv4(CLIENT, SERVER, 6, tcp(1234, 80, 1001, 5001, FS_TCP_ACK, 0)))};
    const peer_frame views[] = {peer_view(handshake[0]), peer_view(handshake[1]), peer_view(handshake[2])};
    Bytes data = ethernet(0x0800, ipv4(CLIENT, SERVER, 6, tcp(1234, 80, 1001, 5001, FS_TCP_PSH | FS_TCP_ACK, payload)));
    std::unique_ptr<peer_session, decltype(release.session_free)> session(release.session_new(views, 3),
                                                                          release.session_free);
    uint32_t sequence = 1001;
    measure(state,
            [&] { sequence = release.session_run(session.get(), data.data(), data.size(), payload, sequence, ROUND); });
}

const Bytes tcp4 = reference_tcp(1234, 18);
const Bytes udp4 = ethernet(0x0800, ipv4(CLIENT, SERVER, 17, udp(1234, 53, Bytes(5, 'x'))));

void add_release(const Release &release) {
    auto add = [&](const std::string &row, auto function, auto... arguments) {
        benchmark::RegisterBenchmark((release.name + row).c_str(), [=, &release](benchmark::State &state) {
            function(state, release, arguments...);
        });
    };
    add("extractor/five_tuple_ipv4_tcp", extract, std::cref(tcp4));
    add("extractor/five_tuple_ipv4_udp", extract, std::cref(udp4));
    add("tracker/monoflow", n_flows, 1);
    for (size_t n : {10, 100, 1000, 10000, 100000, 1000000})
        add("tracker/n_flows/" + std::to_string(n), n_flows, n);
    add("reassembler/in_order_1500_uncapped", reassembler, 0, false, 1000000);
    add("reassembler/in_order_1500_capped_1m", reassembler, 1 << 20, false, 512 << 10);
    add("reassembler/sliding_window_overflow", reassembler, 100, false, SIZE_MAX);
    add("reassembler/drop_flow_poisoned", reassembler, 100, true, SIZE_MAX);
    add("dedup/unique_64", dedup, 64, true);
    add("dedup/unique_1500", dedup, 1500, true);
    add("dedup/duplicate_1500", dedup, 1500, false);
    add("session_driver/passthrough", passthrough);
}

#ifndef FLOWSCOPE_PEERS_LTO /* the same in both */
/* ---- units ---- */

void copy(benchmark::State &state) {
    const size_t size = static_cast<size_t>(state.range(0));
    Bytes from(size, 'x'), to(size);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), size);
        benchmark::ClobberMemory();
    }
    count_packets(state, state.iterations());
}
BENCHMARK(copy)->Name("peer/memcpy")->Arg(64)->Arg(1400)->Arg(MSS);

void hash(benchmark::State &state) {
    Bytes bytes(static_cast<size_t>(state.range(0)), 'x');
    for (auto _ : state) {
        benchmark::ClobberMemory();
        benchmark::DoNotOptimize(XXH3_64bits(bytes.data(), bytes.size()));
    }
    count_packets(state, state.iterations());
}
BENCHMARK(hash)->Name("peer/xxh3")->Arg(44)->Arg(64)->Arg(MSS);

void empty_loop(benchmark::State &state) {
    for (auto _ : state)
        benchmark::ClobberMemory();
    count_packets(state, state.iterations());
}
BENCHMARK(empty_loop)->Name("peer/empty_loop");
#endif

} // namespace

int main(int argc, char **argv) {
    for (const Release &release : releases)
        add_release(release);
    benchmark::RegisterBenchmark("peer/flowscope-rs" BUILD "reassembler/ooo_drops", ooo_drops);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
