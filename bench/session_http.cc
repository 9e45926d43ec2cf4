/* SPDX-License-Identifier: MIT */
/* The HTTP parser, in segments of 1,460 bytes, against memchr and memcpy over the same bytes. */
#include "flowscope/http.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr size_t MSS = 1460;

void on_message(const fs_message *message, void *user) {
    *static_cast<uint64_t *>(user) += message->bytes;
}

struct Parser {
    uint64_t seen = 0;
    fs_parser_host host = {fs_allocator_default(), on_message, &seen};
    void *object = fs_parser_http.create(&host);
    fs_chunk chunk = {};

    Parser() = default;
    ~Parser() {
        fs_parser_http.destroy(object);
    }
    Parser(const Parser &) = delete;
    Parser &operator=(const Parser &) = delete;

    void feed(const std::string &text, uint8_t side) {
        chunk.side = side;
        for (size_t at = 0; at < text.size(); at += MSS) {
            chunk.data = reinterpret_cast<const uint8_t *>(text.data()) + at;
            chunk.length = text.size() - at < MSS ? text.size() - at : MSS;
            fs_parser_http.feed(object, &chunk);
        }
    }
};

const std::string request = "GET /static/images/logo.png?v=1234567 HTTP/1.1\r\nHost: www.example.org\r\n"
                            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n"
                            "Accept: image/avif,image/webp,*/*\r\nAccept-Language: en-US,en;q=0.5\r\n"
                            "Accept-Encoding: gzip, deflate\r\nReferer: http://www.example.org/index.html\r\n"
                            "Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

std::string repeated(const std::string &text, int times) {
    std::string all;
    for (int i = 0; i < times; i++)
        all += text;
    return all;
}

const std::string requests = repeated(request, 100);
const std::string answers = repeated("HTTP/1.1 304 Not Modified\r\nServer: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                                     "ETag: \"0123456789\"\r\nConnection: keep-alive\r\n\r\n",
                                     100);
const std::string body = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(1000000, 'x');

std::string in_chunks(size_t size) {
    char line[32];
    std::string all = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    std::snprintf(line, sizeof line, "%zx\r\n", size);
    for (size_t at = 0; at < 1000000; at += size)
        all += line + std::string(size, 'x') + "\r\n";
    return all + "0\r\n\r\n";
}

void bytes(benchmark::State &state, size_t size) {
    state.SetBytesProcessed(static_cast<int64_t>(size) * state.iterations());
}

/* Both sides: 100 requests, then 100 answers without a body. */
void heads(benchmark::State &state) {
    Parser parser;
    for (auto _ : state) {
        parser.feed(requests, FS_INITIATOR);
        parser.feed(answers, FS_RESPONDER);
    }
    bytes(state, requests.size() + answers.size());
    state.counters["per_message"] = benchmark::Counter(200.0 * static_cast<double>(state.iterations()),
                                                       benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(heads)->Name("session_http/pipelined_heads");

void response(benchmark::State &state, const std::string &text) {
    Parser parser;
    for (auto _ : state) {
        parser.feed(request, FS_INITIATOR);
        parser.feed(text, FS_RESPONDER);
    }
    bytes(state, text.size() + request.size());
}
BENCHMARK_CAPTURE(response, counted, body)->Name("session_http/body_1m");
BENCHMARK_CAPTURE(response, chunks_100, in_chunks(100))->Name("session_http/chunks_of_100");
BENCHMARK_CAPTURE(response, chunks_8k, in_chunks(8192))->Name("session_http/chunks_of_8192");

/* A side that searches, through lines of 80 bytes: the dearest state. */
void search(benchmark::State &state) {
    Parser parser;
    parser.feed(request, FS_INITIATOR);
    const std::string noise = repeated(std::string(39, 'H') + std::string(40, 'x') + "\n", 10000);
    for (auto _ : state)
        parser.feed(noise, FS_RESPONDER);
    bytes(state, noise.size());
}
BENCHMARK(search)->Name("session_http/search");

/* ---- what the bytes alone take ---- */

void lines(benchmark::State &state) {
    for (auto _ : state) {
        const char *at = requests.data(), *end = at + requests.size();
        while (const void *lf = std::memchr(at, '\n', static_cast<size_t>(end - at))) {
            at = static_cast<const char *>(lf) + 1;
            benchmark::DoNotOptimize(at);
        }
    }
    bytes(state, requests.size());
}
BENCHMARK(lines)->Name("session_http/memchr_lines_of_heads");

void copy(benchmark::State &state) {
    std::vector<char> target(MSS);
    for (auto _ : state) {
        for (size_t at = 0; at < body.size(); at += MSS) {
            std::memcpy(target.data(), body.data() + at, body.size() - at < MSS ? body.size() - at : MSS);
            benchmark::ClobberMemory();
        }
    }
    bytes(state, body.size());
}
BENCHMARK(copy)->Name("session_http/memcpy_body_1m");

} // namespace

BENCHMARK_MAIN();
