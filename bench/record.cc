/* SPDX-License-Identifier: MIT */
/* What it costs to export a flow: from a snapshot to a line, for each format, and the parts that cost most. */
#include "flowscope/flowscope.h"

#include <benchmark/benchmark.h>

#include <cstring>

namespace {

int take(const char *bytes, size_t length, void *user) {
    benchmark::DoNotOptimize(bytes);
    *static_cast<size_t *>(user) += length;
    return 0;
}

/* A TCP connection with all that a record can hold. */
fs_flow_info connection() {
    fs_flow_info info;
    std::memset(&info, 0, sizeof info);
    const uint8_t client[16] = {192, 168, 100, 200}, server[16] = {203, 0, 113, 77};
    info.initiator_orientation = static_cast<uint8_t>(
        fs_key_set(&info.key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, client, server, 49731, 443, FS_PROTO_TCP, false));
    info.id = 123456;
    info.parent = FS_NO_FLOW;
    info.first_ns = 1704067200123456789;
    info.last_ns = info.first_ns + 12345678901;
    info.closed_ns = info.last_ns - 1000000;
    info.first_frame = 1234567;
    info.last_frame = 2345678;
    info.state = FS_STATE_CLOSED;
    info.end = FS_END_FIN;
    info.ended_by = FS_END_IDLE;
    info.is_tcp = true;
    info.handshake_syn_ns = 23456000;
    info.handshake_ack_ns = 123000;
    for (int side = 0; side < 2; side++) {
        info.side[side] = {12345, 12345678, 12172848, 11678901, 0};
        info.tcp[side].stream_bytes = 11678000;
        info.tcp[side].window_minimum = 502;
        info.tcp[side].window_maximum = 1049600;
        info.tcp[side].retransmissions = 17;
        info.tcp[side].flags = 0x1b;
        info.tcp[side].rtt = {4321, 12345000, 23456000, 99887000};
    }
    std::strcpy(info.history, "ShADadtTfF");
    std::strcpy(info.conn_state, "SF");
    return info;
}

void export_flow(benchmark::State &state, fs_record_format format) {
    const fs_flow_info info = connection();
    size_t bytes = 0;
    fs_record_options options = {};
    options.format = format;
    options.write = take;
    options.user = &bytes;
    fs_record_writer writer;
    fs_record_begin(&writer, &options);
    for (auto _ : state) {
        fs_record_flow record;
        fs_record_from_flow(&record, &info);
        for (int side = 0; side < 2; side++)
            record.side[side] = {1460, 24820, 12, 0, 0, 3};
        record.vlan[0] = 100;
        record.application = "tls";
        record.summary = "TLS 1.3 example.org h2";
        fs_record_write(&writer, &record);
    }
    state.counters["bytes/line"] = static_cast<double>(bytes) / static_cast<double>(state.iterations());
}
BENCHMARK_CAPTURE(export_flow, csv, FS_RECORD_CSV)->Name("record/csv");
BENCHMARK_CAPTURE(export_flow, eve, FS_RECORD_EVE)->Name("record/eve");
BENCHMARK_CAPTURE(export_flow, zeek, FS_RECORD_ZEEK)->Name("record/zeek");

void community_id(benchmark::State &state) {
    fs_flow_info info = connection();
    char text[FS_COMMUNITY_ID_SIZE];
    for (auto _ : state) {
        info.key.port[0]++;
        benchmark::DoNotOptimize(fs_community_id(&info.key, 0, text));
    }
}
BENCHMARK(community_id)->Name("record/community_id");

void uid(benchmark::State &state) {
    fs_flow_info info = connection();
    char text[FS_UID_SIZE];
    for (auto _ : state) {
        info.key.port[0]++;
        benchmark::DoNotOptimize(fs_flow_uid(&info, 0, text));
    }
}
BENCHMARK(uid)->Name("record/uid");

} // namespace

BENCHMARK_MAIN();
