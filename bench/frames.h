/* SPDX-License-Identifier: MIT */
/* Frames for the benchmarks: those of the reference, and some that it does not measure. */
#ifndef FS_BENCH_FRAMES_H
#define FS_BENCH_FRAMES_H

#include "flowscope/flowscope.h"

#include <benchmark/benchmark.h>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace frames {

using Bytes = std::vector<uint8_t>;

inline void put(Bytes &out, std::initializer_list<int> bytes) {
    for (int byte : bytes)
        out.push_back(static_cast<uint8_t>(byte));
}

inline void put16(Bytes &out, unsigned value) {
    out.push_back(static_cast<uint8_t>(value >> 8));
    out.push_back(static_cast<uint8_t>(value));
}

inline void put32(Bytes &out, uint32_t value) {
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}

inline Bytes join(const Bytes &head, const Bytes &tail) {
    Bytes all;
    all.reserve(head.size() + tail.size());
    all.insert(all.end(), head.begin(), head.end());
    all.insert(all.end(), tail.begin(), tail.end());
    return all;
}

inline Bytes tcp(unsigned source, unsigned destination, uint32_t seq, uint32_t ack, unsigned flags, size_t payload) {
    Bytes out;
    put16(out, source);
    put16(out, destination);
    put32(out, seq);
    put32(out, ack);
    put16(out, 0x5000 | flags);
    put16(out, 8192);
    put32(out, 0);
    out.resize(out.size() + payload, 'x');
    return out;
}

inline Bytes udp(unsigned source, unsigned destination, const Bytes &payload) {
    Bytes out;
    put16(out, source);
    put16(out, destination);
    put16(out, static_cast<unsigned>(8 + payload.size()));
    put16(out, 0);
    return join(out, payload);
}

inline Bytes ipv4(uint32_t source, uint32_t destination, int protocol, const Bytes &payload) {
    Bytes out;
    put(out, {0x45, 0});
    put16(out, static_cast<unsigned>(20 + payload.size()));
    put(out, {0, 0, 0, 0, 64, protocol, 0, 0});
    put32(out, source);
    put32(out, destination);
    return join(out, payload);
}

inline Bytes ipv6(uint32_t source, uint32_t destination, int protocol, const Bytes &payload) {
    Bytes out;
    put(out, {0x60, 0, 0, 0});
    put16(out, static_cast<unsigned>(payload.size()));
    put(out, {protocol, 64});
    for (uint32_t address : {source, destination}) {
        put32(out, 0x20010db8);
        put32(out, 0);
        put32(out, 0);
        put32(out, address);
    }
    return join(out, payload);
}

inline Bytes ethernet(unsigned type, const Bytes &payload) {
    Bytes out(12, 0);
    put16(out, type);
    return join(out, payload);
}

inline Bytes vlan(unsigned id, unsigned type, const Bytes &payload) {
    Bytes out(12, 0);
    put16(out, 0x8100);
    put16(out, id);
    put16(out, type);
    return join(out, payload);
}

inline Bytes vxlan(uint32_t vni, const Bytes &frame) {
    Bytes out;
    put(out, {8, 0, 0, 0});
    put32(out, vni << 8);
    return join(out, frame);
}

constexpr uint32_t CLIENT = 0x0a000001, SERVER = 0x0a000002;

/* 10.0.0.1:port > 10.0.0.2:80, PSH+ACK, `payload` bytes: the reference's frame. */
inline Bytes reference_tcp(unsigned port, size_t payload, uint32_t source = CLIENT) {
    return ethernet(0x0800, ipv4(source, SERVER, 6, tcp(port, 80, 1000, 0, FS_TCP_PSH | FS_TCP_ACK, payload)));
}

/* n frames of n flows, told apart by port, then by address. */
inline std::vector<Bytes> flows(size_t n, bool v6 = false) {
    Bytes frame = v6 ? ethernet(0x86dd, ipv6(CLIENT, SERVER, 6, tcp(0, 80, 1000, 0, FS_TCP_PSH | FS_TCP_ACK, 1)))
                     : reference_tcp(0, 1);
    const size_t address_at = v6 ? 14 + 8 + 12 : 14 + 12, port_at = v6 ? 14 + 40 : 14 + 20;
    std::vector<Bytes> all;
    all.reserve(n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t address = CLIENT + static_cast<uint32_t>(i / 60000) * 256;
        const uint32_t port = static_cast<uint32_t>(1024 + i % 60000);
        for (size_t k = 0; k < 4; k++)
            frame[address_at + k] = static_cast<uint8_t>(address >> (24 - 8 * k));
        frame[port_at] = static_cast<uint8_t>(port >> 8);
        frame[port_at + 1] = static_cast<uint8_t>(port);
        all.push_back(frame);
    }
    return all;
}

inline fs_frame view(const Bytes &bytes) {
    fs_frame frame{};
    frame.data = bytes.data();
    frame.captured = frame.wire_len = static_cast<uint32_t>(bytes.size());
    frame.linktype = FS_LINK_ETHERNET;
    frame.number = 1;
    frame.time_ns = 1;
    return frame;
}

/* Time of one packet, whatever an iteration holds: Google Benchmark prints it with its unit, so 25.3n is 25.3 ns. */
inline void count_packets(benchmark::State &state, int64_t packets) {
    state.SetItemsProcessed(packets);
    state.counters["time/packet"] =
        benchmark::Counter(static_cast<double>(packets), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

} // namespace frames

#endif
