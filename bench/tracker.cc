/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>

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

void report_memory(benchmark::State &state, const fs_tracker *tracker) {
    fs_tracker_stats stats;
    fs_tracker_get_stats(tracker, &stats);
    if (stats.live >= 1000) /* fewer do not fill the first slab */
        state.counters["bytes/flow"] =
            static_cast<double>(fs_tracker_memory(tracker)) / static_cast<double>(stats.live);
}

/* Counts each frame once, so that no flow is created in the timed loop: the reference leaves that to its warm-up. */
void create(fs_tracker *tracker, const std::vector<Bytes> &all) {
    fs_verdict verdict;
    for (const Bytes &bytes : all) {
        fs_packet packet = decode(bytes);
        fs_tracker_track(tracker, &packet, FS_NO_NUMBER, &verdict);
    }
}

/* As the reference does it: extraction is inside, and so is the division that picks the frame. */
void n_flows_of(benchmark::State &state, size_t n) {
    std::vector<Bytes> all = flows(n);
    Tracker tracker = make_tracker();
    create(tracker.get(), all);
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_verdict verdict;
    size_t i = 0;
    for (auto _ : state) {
        fs_frame frame = view(all[i % n]);
        fs_extract(&config, &frame, packets);
        fs_tracker_track(tracker.get(), packets, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
        i++;
    }
    count_packets(state, state.iterations());
    report_memory(state, tracker.get());
}

void monoflow(benchmark::State &state) {
    n_flows_of(state, 1);
}
BENCHMARK(monoflow)->Name("tracker/monoflow");

void n_flows(benchmark::State &state) {
    n_flows_of(state, static_cast<size_t>(state.range(0)));
}
BENCHMARK(n_flows)->Name("tracker/n_flows")->Arg(10)->Arg(100)->Arg(1000)->Arg(10000)->Arg(100000)->Arg(1000000);

/* The same, but 32 frames are extracted and then tracked by one call: through the tracker, and through the pipeline. */
template <typename Batch> void n_flows_batched(benchmark::State &state, fs_tracker *tracker, Batch batch) {
    constexpr size_t BATCH = 32;
    const size_t n = static_cast<size_t>(state.range(0));
    std::vector<Bytes> all = flows(n);
    create(tracker, all);
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    /* Each frame here gives one descriptor; extraction may write FS_EXTRACT_MAX of them. */
    std::vector<fs_packet> packets(BATCH + FS_EXTRACT_MAX);
    std::vector<fs_verdict> verdicts(BATCH);
    size_t i = 0;
    for (auto _ : state) {
        for (size_t k = 0; k < BATCH; k++) {
            fs_frame frame = view(all[i % n]);
            fs_extract(&config, &frame, &packets[k]);
            i++;
        }
        batch(packets.data(), BATCH, verdicts.data());
        benchmark::DoNotOptimize(verdicts[0]);
        benchmark::ClobberMemory();
    }
    count_packets(state, static_cast<int64_t>(i));
    report_memory(state, tracker);
}

void n_flows_batched_tracker(benchmark::State &state) {
    Tracker tracker = make_tracker();
    n_flows_batched(state, tracker.get(), [&](const fs_packet *packets, size_t count, fs_verdict *verdicts) {
        fs_tracker_track_batch(tracker.get(), packets, count, verdicts);
    });
}
BENCHMARK(n_flows_batched_tracker)
    ->Name("tracker/n_flows_batched")
    ->Arg(10)
    ->Arg(100)
    ->Arg(1000)
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);

void n_flows_batched_pipeline(benchmark::State &state) {
    fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.tracker.max_flows = 20000000;
    config.tracker.seed = 1;
    config.tracker.events = 0;
    config.reassemble = false;
    std::unique_ptr<fs_pipeline, decltype(&fs_pipeline_free)> pipeline(fs_pipeline_new(&config, nullptr),
                                                                       fs_pipeline_free);
    n_flows_batched(state, fs_pipeline_tracker(pipeline.get()),
                    [&](const fs_packet *packets, size_t count, fs_verdict *verdicts) {
                        fs_pipeline_batch(pipeline.get(), packets, count, verdicts, NULL);
                    });
}
BENCHMARK(n_flows_batched_pipeline)->Name("pipeline/n_flows_batched")->Arg(1000)->Arg(100000)->Arg(1000000);

/* Descriptors made before: the table alone, one by one and in batches of 32. In the order of creation flows lie side by
 * side, and the processor fetches them ahead by itself; shuffled, as traffic comes, it cannot. */
void table(benchmark::State &state, bool batched, bool shuffled) {
    std::vector<Bytes> all = flows(static_cast<size_t>(state.range(0)));
    std::vector<fs_packet> packets;
    packets.reserve(all.size());
    for (const Bytes &bytes : all)
        packets.push_back(decode(bytes));
    Tracker tracker = make_tracker();
    std::vector<fs_verdict> verdicts(32);
    for (const fs_packet &packet : packets)
        fs_tracker_track(tracker.get(), &packet, FS_NO_NUMBER, verdicts.data());
    if (shuffled)
        std::shuffle(packets.begin(), packets.end(), std::minstd_rand(1)); /* the same in every run */
    size_t i = 0;
    int64_t tracked = 0;
    for (auto _ : state) {
        size_t count = packets.size() - i < 32 ? packets.size() - i : 32;
        if (batched) {
            fs_tracker_track_batch(tracker.get(), &packets[i], count, verdicts.data());
        } else {
            for (size_t k = 0; k < count; k++)
                fs_tracker_track(tracker.get(), &packets[i + k], FS_NO_NUMBER, &verdicts[k]);
        }
        benchmark::DoNotOptimize(verdicts[0]);
        tracked += static_cast<int64_t>(count);
        i = i + count == packets.size() ? 0 : i + count;
    }
    count_packets(state, tracked);
    report_memory(state, tracker.get());
}
BENCHMARK_CAPTURE(table, single, false, false)
    ->Name("tracker/table_single")
    ->Arg(32)
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);
BENCHMARK_CAPTURE(table, batched, true, false)
    ->Name("tracker/table_batched")
    ->Arg(32)
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);

BENCHMARK_CAPTURE(table, single_shuffled, false, true)
    ->Name("tracker/table_single_shuffled")
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);
BENCHMARK_CAPTURE(table, batched_shuffled, true, true)
    ->Name("tracker/table_batched_shuffled")
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);

/* Every packet a new flow, a SYN. */
class NewFlows {
  public:
    explicit NewFlows(uint32_t max_flows) : tracker(make_tracker(max_flows)), packet(decode(reference_tcp(1024, 1))) {
        packet.tcp.flags = FS_TCP_SYN;
    }

    void add() {
        fs_verdict verdict;
        address++;
        packet.time_ns += 1000;
        fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, &address, "\x0a\x00\x00\x02", 1024, 80, 6, false);
        fs_tracker_track(tracker.get(), &packet, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
    }

  private:
    Tracker tracker;
    fs_packet packet;
    uint32_t address = 0;
};

/* Into a table that grows: what new flows cost, page faults included. */
void churn(benchmark::State &state) {
    NewFlows flows(20000000);
    for (auto _ : state)
        flows.add();
    count_packets(state, state.iterations());
}
BENCHMARK(churn)->Name("tracker/churn")->Iterations(2000000);

/* Into a full table: each pushes an older one out. */
void eviction(benchmark::State &state) {
    NewFlows flows(static_cast<uint32_t>(state.range(0)));
    for (int64_t i = 0; i < state.range(0); i++)
        flows.add();
    for (auto _ : state)
        flows.add();
    count_packets(state, state.iterations());
}
BENCHMARK(eviction)->Name("tracker/churn_with_eviction")->Arg(1000)->Arg(100000)->Arg(1000000);

/* Handshake, one request, one answer, close: eight packets. The flow becomes a tombstone, which the next SYN replaces.
 */
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
    count_packets(state, state.iterations() * static_cast<int64_t>(packets.size()));
}
BENCHMARK(connection)->Name("tracker/handshake_and_close");

/* One sweep over 100,000 live flows of which none is due, and of which all are. */
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
    count_packets(state, state.iterations());
}
BENCHMARK_CAPTURE(flood, own_seed, 99)->Name("tracker/flood_10000_seed_unknown");
BENCHMARK_CAPTURE(flood, known_seed, 1)->Name("tracker/flood_10000_seed_known");

} // namespace

BENCHMARK_MAIN();
