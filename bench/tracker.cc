/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
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

Tracker make_tracker(uint32_t max_flows = 20000000, uint64_t seed = 1, const fs_allocator *allocator = nullptr) {
    fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.max_flows = max_flows;
    config.seed = seed;
    return Tracker(fs_tracker_new(&config, allocator));
}

/* Counts what is allocated; after setup nothing may be. */
class Counting {
  public:
    fs_allocator allocator() {
        return {[](size_t size, void *self) {
                    static_cast<Counting *>(self)->allocations++;
                    return std::malloc(size);
                },
                [](void *pointer, size_t, void *) { std::free(pointer); }, this};
    }

    void start() {
        allocations = 0;
    }

    /* Fails the row if the loop allocated. */
    void check(benchmark::State &state) const {
        state.counters["allocations"] = static_cast<double>(allocations);
        if (allocations)
            state.SkipWithError("the loop allocates memory");
    }

  private:
    uint64_t allocations = 0;
};

/* Sizes for which a row is made. Ten million flows take 4.5 GB with their frames: only if asked for. */
void sizes(benchmark::internal::Benchmark *row) {
    for (int64_t n : {10, 100, 1000, 10000, 100000, 1000000})
        row->Arg(n);
    if (std::getenv("FLOWSCOPE_BENCH_10M"))
        row->Arg(10000000);
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
void n_flows_of(benchmark::State &state, size_t n, bool v6 = false) {
    std::vector<Bytes> all = flows(n, v6);
    Counting counting;
    const fs_allocator allocator = counting.allocator();
    Tracker tracker = make_tracker(20000000, 1, &allocator);
    create(tracker.get(), all);
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_verdict verdict;
    size_t i = 0;
    counting.start();
    for (auto _ : state) {
        fs_frame frame = view(all[i % n]);
        fs_extract(&config, &frame, packets);
        fs_tracker_track(tracker.get(), packets, FS_NO_NUMBER, &verdict);
        benchmark::DoNotOptimize(verdict);
        i++;
    }
    count_packets(state, state.iterations());
    counting.check(state);
    report_memory(state, tracker.get());
}

void monoflow(benchmark::State &state) {
    n_flows_of(state, 1);
}
BENCHMARK(monoflow)->Name("tracker/monoflow");

void n_flows(benchmark::State &state) {
    n_flows_of(state, static_cast<size_t>(state.range(0)));
}
BENCHMARK(n_flows)->Name("tracker/n_flows")->Apply(sizes);

void n_flows_ipv6(benchmark::State &state) {
    n_flows_of(state, static_cast<size_t>(state.range(0)), true);
}
BENCHMARK(n_flows_ipv6)->Name("tracker/n_flows_ipv6")->Arg(1)->Arg(1000)->Arg(100000);

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
BENCHMARK(n_flows_batched_tracker)->Name("tracker/n_flows_batched")->Apply(sizes);

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
                        fs_pipeline_batch(pipeline.get(), packets, count, nullptr, verdicts, NULL);
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

/* Frames of a carrier and what it carries, as overlay networks send them: two descriptors, two flows. */
void tunnelled(benchmark::State &state) {
    const size_t n = static_cast<size_t>(state.range(0));
    std::vector<Bytes> all;
    all.reserve(n);
    for (const Bytes &inner : flows(n))
        all.push_back(vlan(7, 0x0800, ipv4(CLIENT, SERVER, 17, udp(40000, 4789, vxlan(5, inner)))));
    fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.tracker.seed = 1;
    config.tracker.events = 0;
    config.reassemble = false;
    std::unique_ptr<fs_pipeline, decltype(&fs_pipeline_free)> pipeline(fs_pipeline_new(&config, nullptr),
                                                                       fs_pipeline_free);
    fs_extract_config extraction;
    fs_extract_config_defaults(&extraction);
    fs_packet packets[FS_EXTRACT_MAX];
    fs_verdict verdicts[FS_EXTRACT_MAX];
    auto run = [&](size_t i) {
        fs_frame frame = view(all[i]);
        int count = fs_extract(&extraction, &frame, packets);
        fs_pipeline_frame(pipeline.get(), packets, static_cast<size_t>(count), nullptr, nullptr, verdicts, nullptr);
        benchmark::DoNotOptimize(verdicts[0]);
    };
    for (size_t i = 0; i < n; i++)
        run(i);
    size_t i = 0;
    for (auto _ : state) {
        run(i);
        i = i + 1 == n ? 0 : i + 1;
    }
    count_packets(state, state.iterations());
}
BENCHMARK(tunnelled)->Name("pipeline/vlan_vxlan")->Arg(1)->Arg(1000)->Arg(100000);

/* ---- traffic that is not even ---- */

/* Which of n flows each of a million packets is of, the same in every run. */
std::vector<uint32_t> zipf(size_t n) {
    std::vector<double> until(n); /* the k-th flow has 1/k of the first one's packets */
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        until[k] = sum += 1.0 / static_cast<double>(k + 1);
    std::minstd_rand random(1);
    std::vector<uint32_t> order(1 << 20);
    for (uint32_t &flow : order) {
        const double at = sum * static_cast<double>(random() - 1) / 2147483646.0;
        flow = static_cast<uint32_t>(std::upper_bound(until.begin(), until.end(), at) - until.begin());
        flow = std::min(flow, static_cast<uint32_t>(n - 1));
    }
    return order;
}

/* Nine of ten packets are of ten flows, which send trains of 16; the others of the n, one packet each time. */
std::vector<uint32_t> bimodal(size_t n) {
    std::minstd_rand random(1);
    std::vector<uint32_t> order;
    while (order.size() < 1 << 20) {
        if (random() % 100 < 36)
            order.insert(order.end(), 16, static_cast<uint32_t>(random() % 10));
        else
            order.push_back(static_cast<uint32_t>(random() % n));
    }
    return order;
}

/* Descriptors made before. */
void traffic(benchmark::State &state, std::vector<uint32_t> (*choose)(size_t), bool batched) {
    const size_t n = static_cast<size_t>(state.range(0));
    std::vector<fs_packet> packets;
    Counting counting;
    const fs_allocator allocator = counting.allocator();
    Tracker tracker = make_tracker(20000000, 1, &allocator);
    fs_verdict verdicts[32];
    {
        std::vector<fs_packet> decoded;
        for (const Bytes &bytes : flows(n)) {
            decoded.push_back(decode(bytes));
            fs_tracker_track(tracker.get(), &decoded.back(), FS_NO_NUMBER, verdicts);
        }
        for (uint32_t flow : choose(n))
            packets.push_back(decoded[flow]);
    }
    size_t i = 0;
    int64_t tracked = 0;
    counting.start();
    for (auto _ : state) {
        if (batched) {
            fs_tracker_track_batch(tracker.get(), &packets[i], 32, verdicts);
        } else {
            for (size_t k = 0; k < 32; k++)
                fs_tracker_track(tracker.get(), &packets[i + k], FS_NO_NUMBER, &verdicts[k]);
        }
        benchmark::DoNotOptimize(verdicts[0]);
        tracked += 32;
        i = i + 64 > packets.size() ? 0 : i + 32;
    }
    count_packets(state, tracked);
    counting.check(state);
}
BENCHMARK_CAPTURE(traffic, zipf, zipf, false)->Name("tracker/zipf")->Arg(10000)->Arg(100000)->Arg(1000000);
BENCHMARK_CAPTURE(traffic, zipf_batched, zipf, true)
    ->Name("tracker/zipf_batched")
    ->Arg(10000)
    ->Arg(100000)
    ->Arg(1000000);
BENCHMARK_CAPTURE(traffic, bimodal, bimodal, false)->Name("tracker/bimodal")->Arg(10000)->Arg(100000)->Arg(1000000);

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

/* ---- how long a single call may take ---- */

using Clock = std::chrono::steady_clock;

/* Times of calls in nanoseconds, less what reading the clock takes. */
class Latencies {
  public:
    Latencies() {
        std::vector<int64_t> empty;
        empty.reserve(10001);
        for (int i = 0; i < 10001; i++)
            empty.push_back(between(Clock::now(), Clock::now()));
        std::nth_element(empty.begin(), empty.begin() + 5000, empty.end());
        clock = empty[5000];
        times.reserve(1 << 22);
    }

    template <typename Call> void time(Call call) {
        const Clock::time_point start = Clock::now();
        call();
        const int64_t taken = between(start, Clock::now()) - clock;
        if (times.size() < times.capacity())
            times.push_back(taken > 0 ? taken : 0);
    }

    void report(benchmark::State &state) {
        if (times.empty())
            return;
        std::sort(times.begin(), times.end());
        const struct {
            const char *name;
            double part;
        } parts[] = {{"p50_ns", 0.5}, {"p99_ns", 0.99}, {"p99.9_ns", 0.999}, {"p99.99_ns", 0.9999}, {"max_ns", 1}};
        for (const auto &part : parts)
            state.counters[part.name] =
                static_cast<double>(times[static_cast<size_t>(part.part * static_cast<double>(times.size() - 1))]);
    }

  private:
    static int64_t between(Clock::time_point start, Clock::time_point end) {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count();
    }

    std::vector<int64_t> times;
    int64_t clock = 0;
};

/* Known flows, in random order; the row's own time includes reading the clock. */
void latency(benchmark::State &state) {
    std::vector<fs_packet> packets;
    Tracker tracker = make_tracker();
    fs_verdict verdict;
    for (const Bytes &bytes : flows(static_cast<size_t>(state.range(0)))) {
        packets.push_back(decode(bytes));
        fs_tracker_track(tracker.get(), &packets.back(), FS_NO_NUMBER, &verdict);
    }
    std::shuffle(packets.begin(), packets.end(), std::minstd_rand(1));
    Latencies latencies;
    size_t i = 0;
    for (auto _ : state) {
        latencies.time([&] { fs_tracker_track(tracker.get(), &packets[i], FS_NO_NUMBER, &verdict); });
        benchmark::DoNotOptimize(verdict);
        i = i + 1 == packets.size() ? 0 : i + 1;
    }
    count_packets(state, state.iterations());
    latencies.report(state);
}
BENCHMARK(latency)->Name("tracker/latency")->Arg(1000)->Arg(100000)->Arg(1000000);

/* New flows into a table that grows: the calls that enlarge the index are among them. */
void latency_of_growth(benchmark::State &state) {
    NewFlows flows(20000000);
    Latencies latencies;
    for (auto _ : state)
        latencies.time([&] { flows.add(); });
    count_packets(state, state.iterations());
    latencies.report(state);
}
BENCHMARK(latency_of_growth)->Name("tracker/latency_of_growth")->Iterations(2000000);

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
const std::vector<fs_packet> &flooding_packets() {
    static std::vector<fs_packet> packets;
    fs_packet packet = decode(reference_tcp(1024, 1));
    for (uint32_t address = 1; packets.size() < 10000; address++) {
        fs_key_set(&packet.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, &address, "\x0a\x00\x00\x02", 1024, 80, 6, false);
        if ((fs_key_hash(&packet.key, 1) & 0x3fff) == 0)
            packets.push_back(packet);
    }
    return packets;
}

void flood(benchmark::State &state, uint64_t seed) {
    const std::vector<fs_packet> &packets = flooding_packets();
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
