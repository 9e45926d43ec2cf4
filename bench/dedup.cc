/* SPDX-License-Identifier: MIT */
/* The duplicate detector, and the bare hash of the same bytes in the same run. The reference's rows are unique_64,
 * unique_1500 and duplicate_1500: with its 256 remembered frames and 1,024 different ones, each of the unique is new.
 * Here each unique frame gets a number of its own, so that it is new whatever the window holds. */
#include "flowscope/dedup.h"
#include "frames.h"

extern "C" {
#include "../core/src/dedup_hash.h"
}

#include <cstring>
#include <vector>

namespace {

using frames::Bytes;

/* XXH3-64 with a seed, as the detector calls it. */
void bare(benchmark::State &state, size_t size) {
    Bytes bytes(size, 0);
    fs__hasher hasher;
    fs__hasher_init(&hasher, 42);
    uint64_t n = 0;
    for (auto _ : state) {
        n++;
        memcpy(bytes.data(), &n, sizeof n);
        benchmark::DoNotOptimize(bytes.data());
        benchmark::DoNotOptimize(fs__hash(&hasher, bytes.data(), size));
    }
    frames::count_packets(state, state.iterations());
}
BENCHMARK_CAPTURE(bare, xxh3_64, 64)->Name("bare/xxh3_64");
BENCHMARK_CAPTURE(bare, xxh3_1500, 1500)->Name("bare/xxh3_1500");

/* What no detector does without: for each frame one place of an index, anywhere in it, is read and written (16 bytes a
 * frame of the window, as ours has), and so is the next of the records (40 bytes), which lie in a ring. */
void one_place(benchmark::State &state) {
    const auto window = static_cast<uint64_t>(state.range(0));
    struct Record {
        uint64_t words[5];
    };
    std::vector<uint32_t> index(window * 4, 0);
    std::vector<Record> records(window);
    uint64_t n = 0;
    for (auto _ : state) {
        const uint64_t hash = ++n * 0x9e3779b97f4a7c15;
        uint32_t &place = index[(hash ^ hash >> 29) * 0xbf58476d1ce4e5b9 >> 32 & (window * 4 - 1)];
        records[n & (window - 1)].words[0] += place;
        place = static_cast<uint32_t>(n);
        benchmark::ClobberMemory();
    }
    frames::count_packets(state, state.iterations());
}
BENCHMARK(one_place)->Name("bare/one_place_of_an_index")->Arg(256)->Arg(4096)->Arg(65536)->Arg(1 << 20)->Arg(1 << 22);

struct Detector {
    fs_dedup *dedup;

    explicit Detector(uint32_t capacity, fs_dedup_mode mode = FS_DEDUP_EXACT, uint64_t compare = 0) {
        fs_dedup_config config;
        fs_dedup_config_defaults(&config);
        config.mode = mode;
        config.capacity = capacity;
        config.compare_bytes = compare;
        config.seed = 42;
        dedup = fs_dedup_new(&config, nullptr);
    }
    ~Detector() {
        fs_dedup_free(dedup);
    }
    Detector(const Detector &) = delete;
    Detector &operator=(const Detector &) = delete;
};

fs_dedup_frame view(const Bytes &bytes) {
    fs_dedup_frame frame{};
    frame.data = bytes.data();
    frame.captured = frame.wire_len = static_cast<uint32_t>(bytes.size());
    frame.linktype = FS_LINK_ETHERNET;
    return frame;
}

/* `at`: where the bytes may change. */
void run(benchmark::State &state, Bytes &bytes, fs_dedup_frame frame, size_t at, bool unique,
         const Detector &detector) {
    fs_dedup_result result;
    uint64_t n = 0;
    auto check = [&] {
        n += unique;
        memcpy(bytes.data() + at, &n, sizeof n);
        frame.frame++;
        fs_dedup_check(detector.dedup, &frame, &result);
        benchmark::DoNotOptimize(result);
    };
    for (int64_t i = 0; i <= state.range(0) + 1; i++) /* until places are used again */
        check();
    for (auto _ : state)
        check();
    frames::count_packets(state, state.iterations());
    state.counters["memory"] = static_cast<double>(fs_dedup_memory(detector.dedup));
}

/* As the reference: bytes and nothing else. */
void plain(benchmark::State &state, size_t size, bool unique) {
    Bytes bytes(size, 0);
    run(state, bytes, view(bytes), 0, unique, Detector(static_cast<uint32_t>(state.range(0))));
}
#define WINDOWS Arg(256)->Arg(4096)->Arg(65536)->Arg(1 << 20)->Arg(1 << 22)
BENCHMARK_CAPTURE(plain, u64, 64, true)->Name("dedup/unique_64")->WINDOWS;
BENCHMARK_CAPTURE(plain, u1500, 1500, true)->Name("dedup/unique_1500")->WINDOWS;
BENCHMARK_CAPTURE(plain, d1500, 1500, false)->Name("dedup/duplicate_1500")->WINDOWS;

/* The same, 32 frames a call: each has bytes of its own. */
void batched(benchmark::State &state, size_t size) {
    constexpr size_t BATCH = 32;
    std::vector<Bytes> bytes(BATCH, Bytes(size, 0));
    std::vector<fs_dedup_frame> views;
    views.reserve(BATCH);
    for (const Bytes &one : bytes)
        views.push_back(view(one));
    std::vector<fs_dedup_result> results(BATCH);
    const Detector detector(static_cast<uint32_t>(state.range(0)));
    uint64_t n = 0;
    auto check = [&] {
        for (size_t i = 0; i < BATCH; i++) {
            n++;
            memcpy(bytes[i].data(), &n, sizeof n);
            views[i].frame = static_cast<uint32_t>(n);
        }
        fs_dedup_check_batch(detector.dedup, views.data(), BATCH, results.data());
        benchmark::DoNotOptimize(results.data());
    };
    while (n <= static_cast<uint64_t>(state.range(0))) /* until places are used again */
        check();
    int64_t checked = 0;
    for (auto _ : state) {
        check();
        checked += BATCH;
    }
    frames::count_packets(state, checked);
}
BENCHMARK_CAPTURE(batched, u64, 64)->Name("dedup/unique_64_batched")->WINDOWS;
BENCHMARK_CAPTURE(batched, u1500, 1500)->Name("dedup/unique_1500_batched")->WINDOWS;

/* TCP over IPv4 with identifications that advance: evidence is kept and looked at. */
void packets(benchmark::State &state, size_t size, fs_dedup_mode mode, bool unique, uint64_t compare) {
    Bytes bytes = frames::reference_tcp(1000, size - 54);
    fs_dedup_frame frame = view(bytes);
    frame.ip = bytes.data() + 14;
    frame.ip_captured = frame.captured - 14;
    const Detector detector(static_cast<uint32_t>(state.range(0)), mode, compare);
    fs_dedup_result result;
    for (uint8_t id = 1; id < 5; id++) {
        bytes[19] = id;
        fs_dedup_check(detector.dedup, &frame, &result);
    }
    run(state, bytes, frame, size - 8, unique, detector);
}
BENCHMARK_CAPTURE(packets, eu, 64, FS_DEDUP_EXACT, true, 0)->Name("dedup/exact_unique_packet_64")->Arg(65536);
BENCHMARK_CAPTURE(packets, eu15, 1500, FS_DEDUP_EXACT, true, 0)->Name("dedup/exact_unique_packet_1500")->Arg(65536);
BENCHMARK_CAPTURE(packets, ed, 1500, FS_DEDUP_EXACT, false, 0)->Name("dedup/exact_duplicate_packet_1500")->Arg(65536);
BENCHMARK_CAPTURE(packets, ec, 1500, FS_DEDUP_EXACT, true, 16 << 20)->Name("dedup/exact_compared_1500")->Arg(65536);
BENCHMARK_CAPTURE(packets, ru, 1500, FS_DEDUP_ROUTED, true, 0)->Name("dedup/routed_unique_1500")->Arg(65536);
BENCHMARK_CAPTURE(packets, rd, 1500, FS_DEDUP_ROUTED, false, 0)->Name("dedup/routed_duplicate_1500")->Arg(65536);
BENCHMARK_CAPTURE(packets, wu, 1500, FS_DEDUP_REWRITTEN, true, 0)->Name("dedup/rewritten_unique_1500")->Arg(65536);

} // namespace

BENCHMARK_MAIN();
