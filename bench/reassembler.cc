/* SPDX-License-Identifier: MIT */
/* The reassembler and the buffer for consumers that pull. The first five rows are those of the reference, whose
 * reassembler always buffers: a segment goes through the reassembler and into the buffer. */
#include "flowscope/reassembler.h"
#include "flowscope/stream_buffer.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

namespace {

constexpr uint64_t MSS = 1500;

const std::vector<uint8_t> zeros(MSS);

struct Stream {
    fs_reassembly *shared = nullptr;
    fs_reassembler *side = nullptr;
    fs_stream_buffer *buffer = nullptr;
    uint64_t delivered = 0;
    fs_packet packet = {};
    fs_segment_verdict verdict = {};

    static fs_reassembly_config defaults() {
        fs_reassembly_config config;
        fs_reassembly_config_defaults(&config);
        return config;
    }

    static void on_event(void *stream_user, const fs_stream_event *event, void *) {
        Stream *stream = static_cast<Stream *>(stream_user);
        if (stream->buffer)
            fs_stream_buffer_event(stream->buffer, event);
        else if (event->kind == FS_STREAM_DATA)
            stream->delivered += event->length;
    }

    explicit Stream(fs_reassembly_config config = defaults(), const fs_stream_buffer_config *pull = nullptr) {
        config.on_event = on_event;
        shared = fs_reassembly_new(&config, nullptr);
        side = fs_reassembler_new(shared, nullptr, this);
        if (pull)
            buffer = fs_stream_buffer_new(pull, nullptr);
        packet.flags = FS_PACKET_HAS_TCP;
        packet.tcp.flags = FS_TCP_ACK;
        packet.payload = zeros.data();
    }

    ~Stream() {
        fs_reassembler_free(side);
        fs_reassembly_free(shared);
        fs_stream_buffer_free(buffer);
    }

    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;

    void send(uint64_t offset, uint32_t length) {
        packet.tcp.seq = static_cast<uint32_t>(offset);
        packet.payload_len = packet.payload_captured = length;
        fs_reassembler_segment(side, &packet, &verdict);
        benchmark::DoNotOptimize(verdict);
    }

    void take_all() {
        while (fs_stream_buffer_peek(buffer).kind != FS_SPAN_NONE)
            fs_stream_buffer_consume(buffer, UINT64_MAX);
    }
};

void count(benchmark::State &state, const Stream &stream, uint64_t bytes_each) {
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(static_cast<int64_t>(bytes_each) * state.iterations());
    struct fs_reassembly_stats stats;
    fs_reassembly_get_stats(stream.shared, &stats);
    state.counters["peak_memory"] = static_cast<double>(stats.peak_memory_bytes);
    uint64_t all = stats.delivered_bytes;
    state.counters["copied_%"] = all ? 100.0 * static_cast<double>(stats.copied_bytes) / static_cast<double>(all) : 0.0;
}

fs_stream_buffer_config pull_with(uint64_t limit, fs_buffer_policy policy = FS_BUFFER_SLIDE) {
    fs_stream_buffer_config config;
    fs_stream_buffer_config_defaults(&config);
    config.limit = limit;
    config.policy = policy;
    return config;
}

/* ---- the reference's rows ---- */

void in_order(benchmark::State &state, uint64_t limit, uint64_t take_above) {
    const fs_stream_buffer_config pull = pull_with(limit);
    Stream stream(Stream::defaults(), &pull);
    uint64_t offset = 0;
    for (auto _ : state) {
        stream.send(offset, MSS);
        offset += MSS;
        if (fs_stream_buffer_level(stream.buffer) > take_above)
            stream.take_all();
    }
    count(state, stream, MSS);
}
BENCHMARK_CAPTURE(in_order, uncapped, UINT64_MAX, 1000000)->Name("reassembler/in_order_1500_uncapped");
BENCHMARK_CAPTURE(in_order, capped, 1 << 20, 512 << 10)->Name("reassembler/in_order_1500_capped_1m");

/* Never taken: every segment pushes out what is there. */
void overflow(benchmark::State &state, uint64_t limit, fs_buffer_policy policy) {
    const fs_stream_buffer_config pull = pull_with(limit, policy);
    Stream stream(Stream::defaults(), &pull);
    uint64_t offset = 0;
    for (auto _ : state) {
        stream.send(offset, MSS);
        offset += MSS;
    }
    count(state, stream, MSS);
}
BENCHMARK_CAPTURE(overflow, slide, 100, FS_BUFFER_SLIDE)->Name("reassembler/sliding_window_overflow");
/* What the reference leaves out: a window larger than a segment, of which the front moves. */
BENCHMARK_CAPTURE(overflow, slide_64k, 64 << 10, FS_BUFFER_SLIDE)->Name("reassembler/sliding_window_64k");

/* The same far segment for ever, and nothing may wait: dropped. */
void ooo_drops(benchmark::State &state) {
    fs_reassembly_config config = Stream::defaults();
    config.side_limit = 0;
    config.at_side_limit = FS_LIMIT_REFUSE;
    Stream stream(config);
    stream.send(0, MSS);
    for (auto _ : state)
        stream.send(1000000, MSS);
    count(state, stream, MSS);
}
BENCHMARK(ooo_drops)->Name("reassembler/ooo_drops");

/* A cap has ended the stream; what follows is classed and counted. */
void poisoned(benchmark::State &state) {
    fs_reassembly_config config = Stream::defaults();
    config.side_limit = 100;
    config.at_side_limit = FS_LIMIT_DROP_STREAM;
    Stream stream(config);
    stream.send(0, MSS);
    stream.send(2 * MSS, MSS);
    uint64_t offset = MSS;
    for (auto _ : state) {
        stream.send(offset, MSS);
        offset += MSS;
    }
    count(state, stream, MSS);
}
BENCHMARK(poisoned)->Name("reassembler/drop_flow_poisoned");
/* The same of the buffer, behind a stream that goes on. */
BENCHMARK_CAPTURE(overflow, poison, 100, FS_BUFFER_POISON)->Name("reassembler/buffer_poisoned");

/* ---- what they cannot do ---- */

/* Straight from the packet. */
void zero_copy(benchmark::State &state) {
    Stream stream;
    uint64_t offset = 0;
    for (auto _ : state) {
        stream.send(offset, MSS);
        offset += MSS;
    }
    count(state, stream, MSS);
}
BENCHMARK(zero_copy)->Name("reassembler/zero_copy_in_order");

/* Of each `period` segments the first comes `late` segments late. */
void out_of_order(benchmark::State &state, uint64_t period, uint64_t late) {
    Stream stream;
    stream.send(0, MSS);
    uint64_t base = 1, i = 0;
    for (auto _ : state) {
        uint64_t place = i < late ? i + 1 : i == late ? 0 : i;
        stream.send((base + place) * MSS, MSS);
        if (++i == period) {
            i = 0;
            base += period;
        }
    }
    count(state, stream, MSS);
}
BENCHMARK_CAPTURE(out_of_order, one_percent, 100, 8)->Name("reassembler/ooo_1pct");
BENCHMARK_CAPTURE(out_of_order, ten_percent, 10, 4)->Name("reassembler/ooo_10pct");

/* One byte in each hole, at random, as many as the sender likes, up to the caps and on. */
void hostile(benchmark::State &state, fs_limit_policy policy, uint64_t side_limit) {
    fs_reassembly_config config = Stream::defaults();
    config.side_limit = config.flow_limit = side_limit;
    config.total_limit = UINT64_MAX;
    config.at_side_limit = policy;
    config.hole_deadline_ns = UINT64_MAX;
    Stream stream(config);
    stream.send(0, 1);
    uint64_t random = 88172645463325252u;
    fs_stream_info info = {};
    for (auto _ : state) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        fs_reassembler_info(stream.side, &info);
        stream.send(info.next_offset + 1 + 2 * (random >> 42), 1);
    }
    count(state, stream, 1);
    struct fs_reassembly_stats stats;
    fs_reassembly_get_stats(stream.shared, &stats);
    state.counters["waiting"] = static_cast<double>(stats.waiting_bytes);
}
BENCHMARK_CAPTURE(hostile, skip, FS_LIMIT_SKIP_HOLE, 256 << 10)->Name("reassembler/hostile_one_byte");
BENCHMARK_CAPTURE(hostile, slide, FS_LIMIT_SLIDE, 256 << 10)->Name("reassembler/hostile_one_byte_slide");
BENCHMARK_CAPTURE(hostile, large, FS_LIMIT_SLIDE, 64 << 20)->Name("reassembler/hostile_one_byte_slide_64m");

/* Each byte before the one that came last: the list that is searched from the end would be walked whole. */
void hostile_descending(benchmark::State &state) {
    fs_reassembly_config config = Stream::defaults();
    config.hole_deadline_ns = UINT64_MAX;
    Stream stream(config);
    stream.send(0, 1);
    fs_stream_info info = {};
    uint64_t place = 0;
    for (auto _ : state) {
        if (place <= info.next_offset + 1) {
            fs_reassembler_info(stream.side, &info);
            place = info.next_offset + 2000;
        }
        stream.send(place, 1);
        place -= 2;
    }
    count(state, stream, 1);
}
BENCHMARK(hostile_descending)->Name("reassembler/hostile_one_byte_descending");

/* ---- what memory alone takes ---- */

void copy(benchmark::State &state, size_t room) {
    std::vector<uint8_t> target(room);
    size_t at = 0;
    for (auto _ : state) {
        std::memcpy(&target[at], zeros.data(), MSS);
        benchmark::ClobberMemory();
        at = at + 2 * MSS > room ? 0 : at + MSS;
    }
    state.SetBytesProcessed(static_cast<int64_t>(MSS) * state.iterations());
}
BENCHMARK_CAPTURE(copy, cached, MSS)->Name("reassembler/memcpy_1500_cached");
BENCHMARK_CAPTURE(copy, through_1m, 1 << 20)->Name("reassembler/memcpy_1500_through_1m");

} // namespace

BENCHMARK_MAIN();
