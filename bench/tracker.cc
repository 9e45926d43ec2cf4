/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <benchmark/benchmark.h>

#include <memory>

namespace {

using namespace frames;

struct Free {
    void operator()(fs_tracker *tracker) const {
        fs_tracker_free(tracker);
    }
};
using Tracker = std::unique_ptr<fs_tracker, Free>;

Tracker make_tracker(uint32_t max_flows = 20000000, uint64_t seed = 1) {
    fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.max_flows = max_flows;
    config.seed = seed;
    return Tracker(fs_tracker_new(&config, nullptr));
}

fs_packet decode(const Bytes &bytes) {
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_frame frame = view(bytes);
    fs_extract(&config, &frame, packets);
    packets[0].payload = nullptr;
    packets[0].payload_captured = 0;
    return packets[0];
}

/* n frames of n flows, told apart by port, then by address. */
std::vector<Bytes> flows(size_t n) {
    std::vector<Bytes> all;
    all.reserve(n);
    for (size_t i = 0; i < n; i++)
        all.push_back(
            reference_tcp(static_cast<unsigned>(1024 + i % 60000), 1, CLIENT + static_cast<uint32_t>(i / 60000) * 256));
    return all;
}

void report_memory(benchmark::State &state, const Tracker &tracker) {
    fs_tracker_stats stats;
    fs_tracker_get_stats(tracker.get(), &stats);
    if (stats.live)
        state.counters["bytes/flow"] =
            static_cast<double>(fs_tracker_memory(tracker.get())) / static_cast<double>(stats.live);
}

/* As the reference does it: extraction is inside. */
void n_flows(benchmark::State &state) {
    std::vector<Bytes> all = flows(static_cast<size_t>(state.range(0)));
    Tracker tracker = make_tracker();
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_verdict verdict;
    size_t i = 0;
    for (auto _ : state) {
        fs_frame frame = view(all[i]);
        fs_extract(&config, &frame, packets);
        fs_tracker_track(tracker.get(), packets, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
        i = i + 1 == all.size() ? 0 : i + 1;
    }
    state.SetItemsProcessed(state.iterations());
    report_memory(state, tracker);
}
BENCHMARK(n_flows)->Name("tracker/monoflow")->Arg(1);
BENCHMARK(n_flows)->Name("tracker/n_flows")->Arg(10)->Arg(100)->Arg(1000)->Arg(10000)->Arg(100000)->Arg(1000000);

/* Descriptors made before: the table alone, one by one and in batches of 32. */
void table(benchmark::State &state, bool batched) {
    std::vector<Bytes> all = flows(static_cast<size_t>(state.range(0)));
    std::vector<fs_packet> packets;
    packets.reserve(all.size());
    for (const Bytes &bytes : all)
        packets.push_back(decode(bytes));
    Tracker tracker = make_tracker();
    std::vector<fs_verdict> verdicts(32);
    size_t i = 0;
    for (auto _ : state) {
        size_t count = packets.size() - i < 32 ? packets.size() - i : 32;
        if (batched) {
            fs_tracker_track_batch(tracker.get(), &packets[i], count, verdicts.data());
        } else {
            for (size_t k = 0; k < count; k++)
                fs_tracker_track(tracker.get(), &packets[i + k], FS_NO_NUMBER, &verdicts[k]);
        }
        benchmark::DoNotOptimize(verdicts[0]);
        i = i + count == packets.size() ? 0 : i + count;
    }
    int64_t each = packets.size() < 32 ? static_cast<int64_t>(packets.size()) : 32;
    state.SetItemsProcessed(state.iterations() * each);
    report_memory(state, tracker);
}
BENCHMARK_CAPTURE(table, single, false)->Name("tracker/table_single")->Arg(32)->Arg(10000)->Arg(100000)->Arg(1000000);
BENCHMARK_CAPTURE(table, batched, true)->Name("tracker/table_batched")->Arg(32)->Arg(10000)->Arg(100000)->Arg(1000000);

/* Every packet a new flow: 1,000,000 live ones, then one evicted for each. */
void churn(benchmark::State &state) {
    Tracker tracker = make_tracker(static_cast<uint32_t>(state.range(0)));
    fs_packet packet = decode(reference_tcp(1024, 1));
    packet.tcp.flags = FS_TCP_SYN;
    fs_verdict verdict;
    uint32_t address = 0;
    for (auto _ : state) {
        address++;
        packet.time_ns += 1000;
        fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, &address, "\x0a\x00\x00\x02", 1024, 80, 6, false);
        fs_tracker_track(tracker.get(), &packet, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(churn)->Name("tracker/churn_with_eviction")->Arg(1000)->Arg(100000)->Arg(1000000);

/* Handshake, one request, one answer, close: nine packets; the flow becomes a tombstone. */
void connection(benchmark::State &state) {
    const struct {
        bool back;
        uint32_t seq, ack;
        unsigned flags;
        size_t payload;
    } script[] = {{false, 100, 0, FS_TCP_SYN, 0},
                  {true, 500, 101, FS_TCP_SYN | FS_TCP_ACK, 0},
                  {false, 101, 501, FS_TCP_ACK, 0},
                  {false, 101, 501, FS_TCP_ACK | FS_TCP_PSH, 10},
                  {true, 501, 111, FS_TCP_ACK | FS_TCP_PSH, 20},
                  {false, 111, 521, FS_TCP_ACK | FS_TCP_FIN, 0},
                  {true, 521, 112, FS_TCP_ACK | FS_TCP_FIN, 0},
                  {false, 112, 522, FS_TCP_ACK, 0}};
    std::vector<fs_packet> packets;
    for (const auto &step : script) {
        Bytes segment = step.back ? tcp(80, 1024, step.seq, step.ack, step.flags, step.payload)
                                  : tcp(1024, 80, step.seq, step.ack, step.flags, step.payload);
        packets.push_back(
            decode(ethernet(0x0800, step.back ? ipv4(SERVER, CLIENT, 6, segment) : ipv4(CLIENT, SERVER, 6, segment))));
    }
    Tracker tracker = make_tracker();
    fs_verdict verdict;
    for (auto _ : state) {
        for (fs_packet &packet : packets)
            fs_tracker_track(tracker.get(), &packet, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(packets.size()));
}
BENCHMARK(connection)->Name("tracker/handshake_and_close");

/* One sweep over a million live flows of which none is due, and of which all are. */
void sweep(benchmark::State &state, bool due) {
    std::vector<Bytes> all = flows(100000);
    fs_verdict verdict;
    for (auto _ : state) {
        state.PauseTiming();
        Tracker tracker = make_tracker();
        for (const Bytes &bytes : all) {
            fs_packet packet = decode(bytes);
            fs_tracker_track(tracker.get(), &packet, FS_NO_NUMBER, &verdict);
        }
        state.ResumeTiming();
        size_t ended = fs_tracker_sweep(tracker.get(), due ? 3600ull * 1000000000 : 1000000000);
        benchmark::DoNotOptimize(ended);
        state.PauseTiming();
        tracker.reset();
        state.ResumeTiming();
    }
}
BENCHMARK_CAPTURE(sweep, none, false)->Name("tracker/sweep_100000_none_due")->Iterations(5);
BENCHMARK_CAPTURE(sweep, all, true)->Name("tracker/sweep_100000_all_due")->Iterations(5);

/* 10,000 keys whose hashes agree in the low 14 bits under one seed, in a table with that seed and in one with another.
 * What an attacker can do who knows the seed, and who does not. */
void flood(benchmark::State &state, uint64_t seed) {
    const uint64_t known = 1;
    std::vector<fs_packet> packets;
    fs_packet packet = decode(reference_tcp(1024, 1));
    for (uint32_t address = 1; packets.size() < 10000; address++) {
        fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, &address, "\x0a\x00\x00\x02", 1024, 80, 6, false);
        if ((fs_key_hash(&packet.key, known) & 0x3fff) == 0)
            packets.push_back(packet);
    }
    Tracker tracker = make_tracker(20000000, seed);
    fs_verdict verdict;
    size_t i = 0;
    for (auto _ : state) {
        fs_tracker_track(tracker.get(), &packets[i], FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
        i = i + 1 == packets.size() ? 0 : i + 1;
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(flood, own_seed, 99)->Name("tracker/flood_10000_seed_unknown");
BENCHMARK_CAPTURE(flood, known_seed, 1)->Name("tracker/flood_10000_seed_known");

} // namespace

BENCHMARK_MAIN();
