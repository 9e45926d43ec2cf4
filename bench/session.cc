/* SPDX-License-Identifier: MIT */
/* The whole way of a data segment: extract, track, put together, hand to a parser that does nothing. The reference
 * calls this session_driver/passthrough, and builds the frame inside the measured loop; here both ways are measured,
 * over more than its one flow, and with what takes the stages away one by one. */
#include "frames.h"

#include <memory>

namespace {

using namespace frames;

constexpr uint32_t PAYLOAD = 1400;

/* ---- a parser that does nothing ---- */

enum fs_probe_result noop_probe(const fs_chunk *) {
    return FS_PROBE_YES;
}

struct Noop {
    fs_parser_host host;
};

void *create(const fs_parser_host *host) {
    auto *noop = static_cast<Noop *>(host->allocator.alloc(sizeof(Noop), host->allocator.user));
    if (noop)
        *noop = {*host};
    return noop;
}

enum fs_parse_result feed(void *, const fs_chunk *chunk) {
    benchmark::DoNotOptimize(chunk->data);
    return FS_PARSE_MORE;
}

enum fs_parse_result fin(void *, enum fs_side, uint64_t, uint32_t) {
    return FS_PARSE_MORE;
}

void destroy(void *parser) {
    fs_parser_host host = static_cast<Noop *>(parser)->host;
    host.allocator.release(parser, sizeof(Noop), host.allocator.user);
}

const fs_parser noop = {"noop", 200, true, false, noop_probe, create, feed, fin, nullptr, nullptr, destroy};

/* ---- pipelines ---- */

enum Stages { NOOP, NOBODY, NO_SESSIONS, NO_REASSEMBLY };

struct Free {
    void operator()(fs_pipeline *pipeline) const {
        fs_pipeline_free(pipeline);
    }
};
using Pipeline = std::unique_ptr<fs_pipeline, Free>;

Pipeline make_pipeline(Stages stages) {
    static const fs_parser *const parsers[] = {&noop};
    fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.tracker.seed = 1;
    config.reassemble = stages != NO_REASSEMBLY;
    config.sessions = stages < NO_SESSIONS;
    if (stages == NOOP) {
        config.session.parsers = parsers;
        config.session.parser_count = 1;
    } else {
        config.session.port_count = 0;
    }
    return Pipeline(fs_pipeline_new(&config, nullptr));
}

/* ---- segments ---- */

enum { IP_SOURCE = 26, TCP_SOURCE = 34, TCP_SEQ = 38 };

void patch32(uint8_t *at, uint32_t value) {
    at[0] = static_cast<uint8_t>(value >> 24);
    at[1] = static_cast<uint8_t>(value >> 16);
    at[2] = static_cast<uint8_t>(value >> 8);
    at[3] = static_cast<uint8_t>(value);
}

uint32_t source_of(uint32_t flow) {
    return CLIENT + flow / 60000 * 256;
}

unsigned port_of(uint32_t flow) {
    return 1024 + flow % 60000;
}

void aim(Bytes &frame, uint32_t flow, uint32_t seq) {
    patch32(&frame[IP_SOURCE], source_of(flow));
    frame[TCP_SOURCE] = static_cast<uint8_t>(port_of(flow) >> 8);
    frame[TCP_SOURCE + 1] = static_cast<uint8_t>(port_of(flow));
    patch32(&frame[TCP_SEQ], seq);
}

uint16_t checksum(const uint8_t *header, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += static_cast<uint32_t>(header[i] << 8 | header[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(~(sum + (sum >> 16)));
}

/* As the reference builds its own: headers, checksum, a vector that grows. */
Bytes build(uint32_t flow, uint32_t seq) {
    Bytes segment = tcp(port_of(flow), 80, seq, 5100, FS_TCP_PSH | FS_TCP_ACK, PAYLOAD);
    Bytes packet = ipv4(source_of(flow), SERVER, 6, segment);
    uint16_t sum = checksum(packet.data(), 20);
    packet[10] = static_cast<uint8_t>(sum >> 8);
    packet[11] = static_cast<uint8_t>(sum);
    return ethernet(0x0800, packet);
}

struct Runner {
    Pipeline pipeline;
    fs_extract_config extract;

    explicit Runner(Stages stages) : pipeline(make_pipeline(stages)) {
        fs_extract_config_defaults(&extract);
    }
    void run(const Bytes &frame) {
        fs_packet packets[FS_EXTRACT_MAX];
        fs_verdict verdicts[FS_EXTRACT_MAX];
        fs_frame seen = view(frame);
        int count = fs_extract(&extract, &seen, packets);
        fs_pipeline_frame(pipeline.get(), packets, static_cast<size_t>(count), nullptr, nullptr, verdicts, nullptr);
        benchmark::DoNotOptimize(verdicts);
    }
    /* Handshakes of all flows, and a first segment of each side. */
    void open(uint32_t flows, Bytes &frame) {
        for (uint32_t flow = 0; flow < flows; flow++) {
            Bytes syn =
                ethernet(0x0800, ipv4(source_of(flow), SERVER, 6, tcp(port_of(flow), 80, 999, 0, FS_TCP_SYN, 0)));
            Bytes answer = ethernet(0x0800, ipv4(SERVER, source_of(flow), 6,
                                                 tcp(80, port_of(flow), 4999, 1000, FS_TCP_SYN | FS_TCP_ACK, 0)));
            Bytes banner =
                ethernet(0x0800, ipv4(SERVER, source_of(flow), 6, tcp(80, port_of(flow), 5000, 1000, FS_TCP_ACK, 100)));
            run(syn);
            run(answer);
            run(banner);
            aim(frame, flow, 1000);
            run(frame);
        }
    }
};

/* Segments of all flows in turn. */
struct Next {
    uint32_t flows, flow, seq;

    void step() {
        if (++flow == flows) {
            flow = 0;
            seq += PAYLOAD;
        }
    }
};

/* Frames are aimed a few rounds before they are read: what has just been written, byte by byte, could not be read in
 * words without waiting, and no capture is like that. */
class Ring {
  public:
    Ring(const Bytes &frame, uint32_t flows) : frames(8, frame), next{flows, 0, 1000 + PAYLOAD} {
        for (size_t i = 1; i < frames.size(); i++)
            prepare();
    }

    const Bytes &take() {
        prepare();
        return frames[at];
    }

  private:
    void prepare() {
        aim(frames[at], next.flow, next.seq);
        next.step();
        at = (at + 1) % frames.size();
    }

    std::vector<Bytes> frames;
    Next next;
    size_t at = 0;
};

void passthrough(benchmark::State &state, Stages stages, bool builds) {
    auto flows = static_cast<uint32_t>(state.range(0));
    Runner runner(stages);
    Bytes frame = build(0, 1000);
    runner.open(flows, frame);
    Ring ring(frame, flows);
    Next next{flows, 0, 1000 + PAYLOAD};
    for (auto _ : state) {
        if (builds) {
            Bytes fresh = build(next.flow, next.seq);
            runner.run(fresh);
            next.step();
        } else {
            runner.run(ring.take());
        }
    }
    fs_pipeline_stats stats;
    fs_pipeline_get_stats(runner.pipeline.get(), &stats);
    if (stages != NO_REASSEMBLY &&
        stats.reassembly.segments[FS_SEGMENT_IN_ORDER] < static_cast<uint64_t>(state.iterations()))
        state.SkipWithError("segments were not in order");
    if (stages == NOOP && stats.session.flows[FS_SESSION_PROTOCOL_COUNT - 1] != flows)
        state.SkipWithError("flows without a parser");
    if (stages == NOBODY && stats.session.flows[FS_SESSION_NONE] != flows)
        state.SkipWithError("flows that are not over");
    count_packets(state, state.iterations());
    state.SetBytesProcessed(state.iterations() * PAYLOAD);
}

void building(benchmark::State &state) {
    uint32_t seq = 1000;
    for (auto _ : state) {
        Bytes fresh = build(0, seq += PAYLOAD);
        benchmark::DoNotOptimize(fresh.data());
    }
    count_packets(state, state.iterations());
}

BENCHMARK_CAPTURE(passthrough, built_inside, NOOP, true)->Name("session/passthrough_built_inside")->Arg(1);
BENCHMARK(building)->Name("session/building_the_frame_alone");
BENCHMARK_CAPTURE(passthrough, prebuilt, NOOP, false)->Name("session/passthrough")->Arg(1)->Arg(1000)->Arg(100000);
BENCHMARK_CAPTURE(passthrough, nobody, NOBODY, false)->Name("session/nobody_wants_it")->Arg(1)->Arg(1000)->Arg(100000);
BENCHMARK_CAPTURE(passthrough, no_sessions, NO_SESSIONS, false)
    ->Name("session/without_sessions")
    ->Arg(1)
    ->Arg(1000)
    ->Arg(100000);
BENCHMARK_CAPTURE(passthrough, no_reassembly, NO_REASSEMBLY, false)
    ->Name("session/without_reassembly")
    ->Arg(1)
    ->Arg(1000)
    ->Arg(100000);

} // namespace

BENCHMARK_MAIN();
