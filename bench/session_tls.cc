/* SPDX-License-Identifier: MIT */
/* The TLS parser: what a hello costs, and how fast application data passes, beside a copy of the same bytes. */
#include "flowscope/tls.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

void put16(Bytes &bytes, size_t value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
}

void put(Bytes &bytes, const Bytes &more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
}

Bytes list16(const std::vector<uint16_t> &values) {
    Bytes bytes;
    put16(bytes, 2 * values.size());
    for (uint16_t value : values)
        put16(bytes, value);
    return bytes;
}

void extension(Bytes &extensions, uint16_t type, const Bytes &content) {
    put16(extensions, type);
    put16(extensions, content.size());
    put(extensions, content);
}

Bytes handshake(uint8_t type, const Bytes &body) {
    Bytes record = {22, 3, 1};
    put16(record, body.size() + 4);
    record.push_back(type);
    record.push_back(0);
    put16(record, body.size());
    put(record, body);
    return record;
}

/* A browser's, with a key share of `share` bytes: 32 for X25519, 1216 for X25519MLKEM768. */
Bytes client_hello(size_t share) {
    Bytes body = {3, 3}, extensions;
    body.resize(34, 0x55);
    body.push_back(0);
    put(body, list16({0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                      0x009d, 0x002f, 0x0035}));
    put(body, {1, 0});
    const std::string name = "www.example.org";
    Bytes names;
    put16(names, name.size() + 3);
    names.push_back(0);
    put16(names, name.size());
    names.insert(names.end(), name.begin(), name.end());
    extension(extensions, 0, names);
    extension(extensions, 16, {0, 3, 2, 'h', '2'});
    extension(extensions, 10, list16({0x11ec, 0x001d, 0x0017, 0x0018}));
    extension(extensions, 11, {1, 0});
    extension(extensions, 13, list16({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601}));
    extension(extensions, 43, {4, 3, 4, 3, 3});
    extension(extensions, 45, {1, 1});
    for (uint16_t type : std::vector<uint16_t>{5, 18, 21, 23, 27, 35, 65281})
        extension(extensions, type, Bytes(8));
    Bytes shares;
    put16(shares, share + 4);
    put16(shares, 0x001d);
    put16(shares, share);
    shares.resize(shares.size() + share);
    extension(extensions, 51, shares);
    put16(body, extensions.size());
    put(body, extensions);
    return handshake(1, body);
}

Bytes server_hello() {
    Bytes body = {3, 3}, extensions;
    body.resize(34, 0x66);
    put(body, {0, 0x13, 0x01, 0});
    extension(extensions, 43, {3, 4});
    extension(extensions, 51, Bytes(36));
    put16(body, extensions.size());
    put(body, extensions);
    return handshake(2, body);
}

struct Parser {
    uint64_t messages = 0;
    fs_parser_host host = {};
    void *object;

    static void on_message(const fs_message *message, void *user) {
        benchmark::DoNotOptimize(message->detail);
        ++*static_cast<uint64_t *>(user);
    }

    Parser() {
        host.allocator = fs_allocator_default();
        host.on_message = on_message;
        host.user = &messages;
        object = fs_parser_tls.create(&host);
    }

    ~Parser() {
        fs_parser_tls.destroy(object);
    }

    Parser(const Parser &) = delete;
    Parser &operator=(const Parser &) = delete;

    fs_parse_result feed(fs_side side, const uint8_t *data, size_t length) {
        fs_chunk chunk = {};
        chunk.data = data;
        chunk.length = length;
        chunk.side = static_cast<uint8_t>(side);
        return fs_parser_tls.feed(object, &chunk);
    }
};

/* A parser's life: created, one ClientHello in segments of `segment` bytes, freed. */
void hello(benchmark::State &state, size_t share, size_t segment) {
    const Bytes bytes = client_hello(share);
    for (auto _ : state) {
        Parser parser;
        for (size_t at = 0; at < bytes.size(); at += segment)
            parser.feed(FS_INITIATOR, &bytes[at], std::min(segment, bytes.size() - at));
        benchmark::DoNotOptimize(parser.messages);
    }
    state.SetItemsProcessed(state.iterations());
    state.counters["bytes"] = static_cast<double>(bytes.size());
}
BENCHMARK_CAPTURE(hello, x25519, 32, 1460)->Name("session_tls/client_hello");
BENCHMARK_CAPTURE(hello, mlkem, 1216, 1460)->Name("session_tls/client_hello_2_segments");
BENCHMARK_CAPTURE(hello, bytewise, 32, 1)->Name("session_tls/client_hello_bytewise");

void both_hellos(benchmark::State &state) {
    const Bytes client = client_hello(32), server = server_hello();
    for (auto _ : state) {
        Parser parser;
        parser.feed(FS_INITIATOR, client.data(), client.size());
        parser.feed(FS_RESPONDER, server.data(), server.size());
        benchmark::DoNotOptimize(parser.messages);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(both_hellos)->Name("session_tls/both_hellos");

/* One side of a connection whose other side is not seen: the parser is never done. `record` bytes of content each. */
void application_data(benchmark::State &state, size_t record) {
    enum { SEGMENT = 1460, TOTAL = 1 << 20 };
    Bytes stream;
    while (stream.size() < TOTAL) {
        put(stream, {23, 3, 3});
        put16(stream, record);
        stream.resize(stream.size() + record);
    }
    Parser parser;
    for (auto _ : state) {
        for (size_t at = 0; at < stream.size(); at += SEGMENT) {
            const size_t length = std::min<size_t>(SEGMENT, stream.size() - at);
            benchmark::DoNotOptimize(parser.feed(FS_RESPONDER, &stream[at], length));
        }
    }
    state.SetBytesProcessed(static_cast<int64_t>(stream.size()) * state.iterations());
}
BENCHMARK_CAPTURE(application_data, full, 16384)->Name("session_tls/application_data_16k");
BENCHMARK_CAPTURE(application_data, small, 1400)->Name("session_tls/application_data_1400");
BENCHMARK_CAPTURE(application_data, tiny, 1)->Name("session_tls/application_data_1");

/* The same segments, copied. */
void copy(benchmark::State &state) {
    enum { SEGMENT = 1460, TOTAL = 1 << 20 };
    const Bytes stream(TOTAL);
    Bytes target(SEGMENT);
    for (auto _ : state) {
        for (size_t at = 0; at < stream.size(); at += SEGMENT) {
            std::memcpy(target.data(), &stream[at], std::min<size_t>(SEGMENT, stream.size() - at));
            benchmark::ClobberMemory();
        }
    }
    state.SetBytesProcessed(static_cast<int64_t>(stream.size()) * state.iterations());
}
BENCHMARK(copy)->Name("session_tls/memcpy_1460");

} // namespace

BENCHMARK_MAIN();
