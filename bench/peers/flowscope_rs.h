/* SPDX-License-Identifier: MIT */
/* The C interface of flowscope-rs/src/lib.rs. Loops are inside; see there. */
#ifndef FS_BENCH_PEERS_FLOWSCOPE_RS_H
#define FS_BENCH_PEERS_FLOWSCOPE_RS_H

#include <cstddef>
#include <cstdint>

struct peer_frame {
    const uint8_t *data;
    size_t length;
};

struct peer_tracker;
struct peer_dedup;
struct peer_reassembler;
struct peer_session;

#define PEER_RELEASE(release)                                                                                          \
    void peer_##release##_extract(const peer_frame *frame, uint64_t iterations);                                       \
    peer_tracker *peer_##release##_tracker_new(size_t max_flows);                                                      \
    size_t peer_##release##_tracker_run(peer_tracker *tracker, const peer_frame *frames, size_t count, size_t start,   \
                                        uint64_t iterations);                                                          \
    void peer_##release##_tracker_free(peer_tracker *tracker);                                                         \
    peer_dedup *peer_##release##_dedup_new();                                                                          \
    uint64_t peer_##release##_dedup_run(peer_dedup *dedup, uint8_t *frame, size_t length, bool unique, uint64_t start, \
                                        uint64_t iterations);                                                          \
    void peer_##release##_dedup_free(peer_dedup *dedup);                                                               \
    peer_reassembler *peer_##release##_reassembler_new(size_t limit, bool drop_flow);                                  \
    void peer_##release##_reassembler_run(peer_reassembler *stream, size_t take_above, uint64_t iterations);           \
    void peer_##release##_reassembler_free(peer_reassembler *stream);                                                  \
    peer_session *peer_##release##_session_new(const peer_frame *frames, size_t count);                                \
    uint32_t peer_##release##_session_run(peer_session *session, uint8_t *frame, size_t length, uint32_t payload,      \
                                          uint32_t sequence, uint64_t iterations);                                     \
    void peer_##release##_session_free(peer_session *session);

extern "C" {
PEER_RELEASE(0_3)
PEER_RELEASE(0_26)
uint64_t peer_0_3_reassembler_ahead(peer_reassembler *stream, uint64_t iterations);
}

#endif
