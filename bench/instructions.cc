/* SPDX-License-Identifier: MIT */
/* One hot path, as often as asked for: what bench/instructions runs under callgrind. Setup is the same for any count,
 * so that the difference of two runs is the path alone. flowscope-instructions PATH PACKETS     without arguments: the
 * names of the paths */
#include "flowscope/reassembler.h"
#include "flowscope/stream_buffer.h"
#include "frames.h"
#if __has_include("flowscope/dedup.h")
#include "flowscope/dedup.h"
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace frames;

void extract(const Bytes &bytes, uint64_t packets) {
    fs_extract_config config;
    fs_extract_config_defaults(&config);
    fs_packet out[FS_EXTRACT_MAX];
    fs_frame frame = view(bytes);
    for (uint64_t i = 0; i < packets; i++) {
        benchmark::DoNotOptimize(frame);
        int count = fs_extract(&config, &frame, out);
        benchmark::DoNotOptimize(count);
        benchmark::ClobberMemory();
    }
}

void extract_tcp4(uint64_t packets) {
    extract(reference_tcp(1234, 18), packets);
}

void extract_udp4(uint64_t packets) {
    extract(ethernet(0x0800, ipv4(CLIENT, SERVER, 17, udp(1234, 53, Bytes(5, 'x')))), packets);
}

void extract_tcp6(uint64_t packets) {
    extract(ethernet(0x86dd, ipv6(1, 2, 6, tcp(1234, 80, 1000, 0, FS_TCP_PSH | FS_TCP_ACK, 18))), packets);
}

/* Decoded before; in batches of 32 if there are as many flows. */
void track(uint64_t packets, size_t flows, bool batched) {
    fs_tracker_config config;
    fs_tracker_config_defaults(&config);
    config.seed = 1;
    fs_tracker *tracker = fs_tracker_new(&config, nullptr);
    fs_extract_config extraction;
    fs_extract_config_defaults(&extraction);
    std::vector<fs_packet> decoded;
    fs_verdict verdicts[32];
    for (size_t i = 0; i < flows; i++) {
        fs_packet out[FS_EXTRACT_MAX];
        const Bytes bytes = reference_tcp(static_cast<unsigned>(1024 + i), 1);
        const fs_frame frame = view(bytes);
        fs_extract(&extraction, &frame, out);
        out[0].payload = nullptr; /* the bytes are gone */
        out[0].payload_captured = 0;
        decoded.push_back(out[0]);
        fs_tracker_track(tracker, &decoded.back(), FS_NO_NUMBER, verdicts);
    }
    size_t at = 0;
    for (uint64_t i = 0; i < packets;) {
        if (batched) {
            fs_tracker_track_batch(tracker, &decoded[at], 32, verdicts);
            i += 32;
            at = at + 64 > flows ? 0 : at + 32;
        } else {
            fs_tracker_track(tracker, &decoded[at], FS_NO_NUMBER, verdicts);
            i++;
            at = at + 1 == flows ? 0 : at + 1;
        }
    }
    fs_tracker_free(tracker);
}

void track_monoflow(uint64_t packets) {
    track(packets, 1, false);
}

void track_10000(uint64_t packets) {
    track(packets, 10000, false);
}

void track_10000_batched(uint64_t packets) {
    track(packets, 10000, true);
}

void feed(void *user, const fs_stream_event *event, void *) {
    if (user)
        fs_stream_buffer_event(static_cast<fs_stream_buffer *>(user), event);
}

/* 1,500 bytes each, handed on from the packet, and through a buffer that is taken at a megabyte. */
void reassemble(uint64_t packets, bool buffered) {
    fs_reassembly_config config;
    fs_reassembly_config_defaults(&config);
    config.on_event = feed;
    fs_reassembly *shared = fs_reassembly_new(&config, nullptr);
    fs_stream_buffer_config pull;
    fs_stream_buffer_config_defaults(&pull);
    pull.limit = UINT64_MAX;
    fs_stream_buffer *buffer = buffered ? fs_stream_buffer_new(&pull, nullptr) : nullptr;
    fs_reassembler *side = fs_reassembler_new(shared, nullptr, buffer);
    const Bytes payload(1500, 0);
    fs_packet packet = {};
    fs_segment_verdict verdict;
    packet.flags = FS_PACKET_HAS_TCP;
    packet.tcp.flags = FS_TCP_ACK;
    packet.payload = payload.data();
    packet.payload_len = packet.payload_captured = 1500;
    for (uint64_t i = 0; i < packets; i++) {
        packet.tcp.seq = static_cast<uint32_t>(i * 1500);
        fs_reassembler_segment(side, &packet, &verdict);
        if (!buffered || i % 667 != 666)
            continue;
        while (fs_stream_buffer_peek(buffer).kind != FS_SPAN_NONE)
            fs_stream_buffer_consume(buffer, UINT64_MAX);
    }
    fs_reassembler_free(side);
    fs_reassembly_free(shared);
    fs_stream_buffer_free(buffer);
}

void reassemble_in_order(uint64_t packets) {
    reassemble(packets, false);
}

void reassemble_in_order_buffered(uint64_t packets) {
    reassemble(packets, true);
}

/* A side, a segment at a time; the deadline never comes. */
struct Side {
    fs_reassembly *shared;
    fs_reassembler *side;
    const Bytes payload = Bytes(1500, 0);
    fs_packet packet = {};
    fs_segment_verdict verdict = {};

    explicit Side(uint64_t limit, fs_limit_policy policy) {
        fs_reassembly_config config;
        fs_reassembly_config_defaults(&config);
        config.side_limit = config.flow_limit = config.total_limit = limit;
        config.at_side_limit = policy;
        shared = fs_reassembly_new(&config, nullptr);
        side = fs_reassembler_new(shared, nullptr, nullptr);
        packet.flags = FS_PACKET_HAS_TCP;
        packet.tcp.flags = FS_TCP_ACK;
        packet.payload = payload.data();
    }

    ~Side() {
        fs_reassembler_free(side);
        fs_reassembly_free(shared);
    }

    Side(const Side &) = delete;
    Side &operator=(const Side &) = delete;

    void send(uint64_t offset, uint32_t length) {
        packet.tcp.seq = static_cast<uint32_t>(offset);
        packet.payload_len = packet.payload_captured = length;
        fs_reassembler_segment(side, &packet, &verdict);
    }
};

/* Of each ten segments the first comes four late. */
void reassemble_out_of_order(uint64_t packets) {
    Side side(256 << 10, FS_LIMIT_SKIP_HOLE);
    side.send(0, 1500);
    for (uint64_t i = 0; i < packets; i++) {
        uint64_t place = i % 10;
        place = place < 4 ? place + 1 : place == 4 ? 0 : place;
        side.send((1 + i / 10 * 10 + place) * 1500, 1500);
    }
}

/* One byte in each hole, at random: O(log n) of what waits. Were it O(n), 48,000 packets would cost thousands each. */
void reassemble_hostile(uint64_t packets) {
    Side side(64 << 20, FS_LIMIT_SLIDE);
    side.send(0, 1);
    uint64_t random = 88172645463325252u;
    for (uint64_t i = 0; i < packets; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        side.send(1 + 2 * (random >> 42), 1);
    }
}

/* Each byte before the one that came last: whoever walks from the end walks all of it. */
void reassemble_hostile_descending(uint64_t packets) {
    Side side(64 << 20, FS_LIMIT_SLIDE);
    side.send(0, 1);
    for (uint64_t i = 0; i < packets; i++)
        side.send(1 + 2 * (packets - i), 1);
}

/* Extraction, flows and streams, as the replay tool and the plugin run them: one flow with 1,400 bytes a segment. */
void pipeline_in_order(uint64_t packets) {
    fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.tracker.seed = 1;
    fs_pipeline *pipeline = fs_pipeline_new(&config, nullptr);
    fs_extract_config extraction;
    fs_extract_config_defaults(&extraction);
    Bytes bytes = reference_tcp(1234, 1400);
    const fs_frame frame = view(bytes);
    for (uint64_t i = 0; i < packets; i++) {
        const uint32_t seq = static_cast<uint32_t>(i * 1400);
        for (int k = 0; k < 4; k++)
            bytes[38 + static_cast<size_t>(k)] = static_cast<uint8_t>(seq >> (24 - 8 * k));
        fs_packet out[FS_EXTRACT_MAX];
        fs_verdict verdicts[FS_EXTRACT_MAX];
        int count = fs_extract(&extraction, &frame, out);
        fs_pipeline_frame(pipeline, out, static_cast<size_t>(count), nullptr, nullptr, verdicts, nullptr);
    }
    fs_pipeline_free(pipeline);
}

#ifdef FLOWSCOPE_DEDUP_H
void dedup(uint64_t packets, size_t size) {
    fs_dedup_config config;
    fs_dedup_config_defaults(&config);
    config.seed = 1;
    fs_dedup *detector = fs_dedup_new(&config, nullptr);
    Bytes bytes(size, 0);
    fs_dedup_frame frame = {};
    frame.data = bytes.data();
    frame.captured = frame.wire_len = static_cast<uint32_t>(size);
    frame.linktype = FS_LINK_ETHERNET;
    fs_dedup_result result;
    for (uint64_t i = 0; i < packets; i++) {
        std::memcpy(bytes.data(), &i, sizeof i);
        frame.frame++;
        fs_dedup_check(detector, &frame, &result);
    }
    fs_dedup_free(detector);
}

void dedup_unique_64(uint64_t packets) {
    dedup(packets, 64);
}

void dedup_unique_1500(uint64_t packets) {
    dedup(packets, 1500);
}
#endif

const struct {
    const char *name;
    void (*run)(uint64_t packets);
} paths[] = {
    {"extract_ipv4_tcp", extract_tcp4},
    {"extract_ipv4_udp", extract_udp4},
    {"extract_ipv6_tcp", extract_tcp6},
    {"track_monoflow", track_monoflow},
    {"track_10000_flows", track_10000},
    {"track_10000_flows_batched", track_10000_batched},
    {"reassemble_in_order", reassemble_in_order},
    {"reassemble_in_order_buffered", reassemble_in_order_buffered},
    {"reassemble_out_of_order", reassemble_out_of_order},
    {"reassemble_hostile", reassemble_hostile},
    {"reassemble_hostile_descending", reassemble_hostile_descending},
    {"pipeline_in_order", pipeline_in_order},
#ifdef FLOWSCOPE_DEDUP_H
    {"dedup_unique_64", dedup_unique_64},
    {"dedup_unique_1500", dedup_unique_1500},
#endif
};

} // namespace

int main(int argc, char **argv) {
    if (argc == 1) {
        for (const auto &path : paths)
            std::puts(path.name);
        return 0;
    }
    for (const auto &path : paths) {
        if (argc == 3 && std::strcmp(path.name, argv[1]) == 0) {
            path.run(std::strtoull(argv[2], nullptr, 10));
            return 0;
        }
    }
    std::fputs("usage: flowscope-instructions [PATH PACKETS]\n", stderr);
    return 2;
}
