/* SPDX-License-Identifier: MIT */
/* The DNS parsers: a query, and a query with its response of five answers; whole datagrams, a stream in one piece and
 * in two, and a flow whose queries nobody answers. Bytes are those of the messages. */
#include "flowscope/dns.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

struct Memory {
    uint64_t calls = 0;
};

void *count_alloc(size_t size, void *user) {
    static_cast<Memory *>(user)->calls++;
    return std::malloc(size);
}

void count_release(void *pointer, size_t, void *) {
    std::free(pointer);
}

void put16(Bytes &out, unsigned value) {
    out.push_back(static_cast<uint8_t>(value >> 8));
    out.push_back(static_cast<uint8_t>(value));
}

Bytes message(unsigned answers) {
    static const char question[] = "\3www\7example\3org\0\0\1\0";
    Bytes out;
    put16(out, 0);
    put16(out, answers ? 0x8180 : 0x0100);
    put16(out, 1);
    put16(out, answers);
    put16(out, 0);
    put16(out, 0);
    out.insert(out.end(), question, question + sizeof question - 1);
    out.push_back(1);
    for (unsigned i = 0; i < answers; i++) {
        static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2};
        out.insert(out.end(), record, record + sizeof record);
        out.push_back(static_cast<uint8_t>(i));
    }
    return out;
}

Bytes framed(const Bytes &body) {
    Bytes out;
    put16(out, static_cast<unsigned>(body.size()));
    out.insert(out.end(), body.begin(), body.end());
    return out;
}

void on_message(const fs_message *m, void *user) {
    ++*static_cast<uint64_t *>(user);
    benchmark::DoNotOptimize(m->exchange);
}

struct Flow {
    Memory memory;
    uint64_t messages = 0;
    const fs_parser *parser;
    fs_parser_host host = {};
    void *state = nullptr;
    fs_chunk chunk = {};

    explicit Flow(const fs_parser &which) : parser(&which) {
        host = {{count_alloc, count_release, &memory}, on_message, &messages};
        state = parser->create(&host);
        chunk.time_ns = 1000000000;
    }
    ~Flow() {
        parser->end(state, false, chunk.time_ns, 0);
        parser->destroy(state);
    }
    Flow(const Flow &) = delete;
    Flow &operator=(const Flow &) = delete;

    void give(uint8_t side, const uint8_t *data, size_t length) {
        chunk.data = data;
        chunk.length = length;
        chunk.side = side;
        chunk.frame++;
        parser->feed(state, &chunk);
        chunk.time_ns += 1000000;
    }
};

void count(benchmark::State &state, const Flow &flow, uint64_t calls, size_t messages, size_t bytes) {
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(messages));
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
    state.counters["allocations"] = static_cast<double>(flow.memory.calls - calls);
    if (flow.messages == 0)
        state.SkipWithError("no message");
}

/* Decoding alone. */
void decode(benchmark::State &state, unsigned answers) {
    const Bytes bytes = message(answers);
    fs_dns_message out;
    fs_dns_store store = {};
    for (auto _ : state) {
        fs_dns_decode(&out, &store, bytes.data(), bytes.size(), 0);
        benchmark::DoNotOptimize(out.records_read);
    }
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK_CAPTURE(decode, query, 0)->Name("dns/decode_query");
BENCHMARK_CAPTURE(decode, response, 5)->Name("dns/decode_response_5");

/* 1,000 messages a second and side, so that the table has all of its entries. */
void exchange(benchmark::State &state, const fs_parser *parser, bool in_two) {
    Bytes query = message(0), response = message(5);
    if (parser->stream) {
        query = framed(query);
        response = framed(response);
    }
    const size_t id = parser->stream ? 2 : 0, head = in_two ? 20 : 0;
    Flow flow(*parser);
    auto run = [&](unsigned number) {
        for (Bytes *bytes : {&query, &response}) {
            (*bytes)[id] = static_cast<uint8_t>(number >> 8);
            (*bytes)[id + 1] = static_cast<uint8_t>(number);
            const uint8_t side = bytes == &response;
            if (head)
                flow.give(side, bytes->data(), head);
            flow.give(side, bytes->data() + head, bytes->size() - head);
        }
    };
    unsigned number = 0;
    for (; number < 2000; number++)
        run(number);
    const uint64_t calls = flow.memory.calls;
    for (auto _ : state)
        run(number++);
    count(state, flow, calls, 2, query.size() + response.size());
}
BENCHMARK_CAPTURE(exchange, udp, &fs_parser_dns_udp, false)->Name("dns/udp_query_response_5");
BENCHMARK_CAPTURE(exchange, tcp, &fs_parser_dns_tcp, false)->Name("dns/tcp_query_response_5");
BENCHMARK_CAPTURE(exchange, tcp_in_two, &fs_parser_dns_tcp, true)->Name("dns/tcp_query_response_5_split");

/* The cost at the cap: each query ends another. */
void flood(benchmark::State &state, bool same_id) {
    Bytes query = message(0);
    Flow flow(fs_parser_dns_udp);
    unsigned number = 0;
    auto run = [&] {
        query[0] = same_id ? 0 : static_cast<uint8_t>(number >> 8);
        query[1] = same_id ? 0 : static_cast<uint8_t>(number);
        query[13] = static_cast<uint8_t>('a' + number % 26);
        query[14] = static_cast<uint8_t>('a' + number / 26 % 26);
        query[15] = static_cast<uint8_t>('a' + number / 676 % 26);
        number++;
        flow.give(0, query.data(), query.size());
    };
    for (int i = 0; i < 2000; i++)
        run();
    const uint64_t calls = flow.memory.calls;
    for (auto _ : state)
        run();
    count(state, flow, calls, 1, query.size());
}
BENCHMARK_CAPTURE(flood, ids, false)->Name("dns/unanswered_flood");
BENCHMARK_CAPTURE(flood, same_id, true)->Name("dns/unanswered_flood_one_id");

} // namespace

BENCHMARK_MAIN();
