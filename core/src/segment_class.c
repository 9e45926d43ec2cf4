/* SPDX-License-Identifier: MIT */
#include "reassembler_internal.h"

enum { DEFAULT_RTT_NS = 200000000, HALF_RTT_MINIMUM_NS = 3000000 };

static uint64_t rtt_of(const struct fs_reassembler *side) {
    return side && (side->bits & FS__STREAM_HAS_RTT) ? side->rtt_ns : 0;
}

/* From sender to receiver and back. Where the capture was taken near the receiver, what the side's own segments measure
 * is next to nothing: the way to the sender and back is in what the other side's segments measure. */
static uint64_t round_trip(const struct fs_reassembler *side) {
    bool has_own = side->bits & FS__STREAM_HAS_RTT;
    bool has_other = side->peer && (side->peer->bits & FS__STREAM_HAS_RTT);
    uint64_t own = rtt_of(side), other = rtt_of(side->peer);
    uint64_t sum = own > UINT64_MAX - other ? UINT64_MAX : own + other;
    if (has_own && has_other)
        return sum;
    if (side->handshake_ns)
        return sum > side->handshake_ns ? sum : side->handshake_ns;
    if (!has_own && !has_other)
        return DEFAULT_RTT_NS;
    return sum > HALF_RTT_MINIMUM_NS ? sum : HALF_RTT_MINIMUM_NS;
}

/* The first byte of the payload that was never seen: what waits behind it, or NULL. `*seen` if there is none. */
static const struct fs__piece *behind_hole(struct fs_reassembler *side, const struct fs__payload *payload, bool *seen) {
    uint64_t at = payload->start > (int64_t)side->next ? (uint64_t)payload->start : side->next;
    *seen = payload->end <= (int64_t)at;
    const struct fs__piece *piece = fs__segments_find(&side->waiting, at);
    while (piece && piece->start <= at && !*seen) {
        at = fs__piece_end(piece);
        *seen = payload->end <= (int64_t)at;
        piece = piece->next;
    }
    return piece;
}

static bool asked_for(const struct fs_reassembler *side, int64_t start) {
    return ((int64_t)side->acked == start && side->duplicate_acks >= FS__MANY_DUPLICATES) ||
           (int64_t)side->sacked > start;
}

/* Of a payload that ends at or before the highest byte seen. */
static enum fs_segment_class class_of_repetition(struct fs_reassembler *side, const struct fs__payload *payload,
                                                 uint64_t now_ns) {
    bool seen;
    const struct fs__piece *behind = behind_hole(side, payload, &seen);
    uint64_t rtt_ns = round_trip(side);
    if (!seen && !behind)
        return FS_SEGMENT_GAP_FILL;
    uint64_t visible_ns = seen ? 0 : fs__piece_age(behind, now_ns);
    if (asked_for(side, payload->start) && (seen || visible_ns >= rtt_ns / 2))
        return FS_SEGMENT_FAST_RETRANSMISSION;
    return seen || visible_ns >= rtt_ns ? FS_SEGMENT_RETRANSMISSION : FS_SEGMENT_OUT_OF_ORDER;
}

enum fs_segment_class fs__segment_class(struct fs_reassembler *side, const struct fs_packet *packet,
                                        const struct fs__payload *payload) {
    int64_t next = (int64_t)side->next, highest = (int64_t)side->highest, acked = (int64_t)side->acked;
    unsigned flags = packet->tcp.flags;
    int64_t start = payload->start, end = payload->end;
    if (!packet->payload_len)
        return FS_SEGMENT_NONE;
    if ((flags & FS_TCP_RST) || (side->fin != FS__NO_FIN && start >= (int64_t)side->fin))
        return FS_SEGMENT_AFTER_END;
    if (end <= next && packet->payload_len == 1 && start == highest - 1 && !(flags & (FS_TCP_SYN | FS_TCP_FIN)))
        return FS_SEGMENT_KEEP_ALIVE;
    if (start > next + (int64_t)side->shared->config.ahead_limit)
        return FS_SEGMENT_BEYOND_WINDOW;
    bool is_closed = (side->bits & FS__STREAM_HAS_WINDOW) && side->window == 0;
    if (packet->payload_len == 1 && start == highest && start == acked && is_closed)
        return FS_SEGMENT_ZERO_WINDOW_PROBE;
    if (start == next && !side->waiting.first)
        return FS_SEGMENT_IN_ORDER;
    if (start >= highest && start > next)
        return FS_SEGMENT_AHEAD;
    if (end <= acked)
        return FS_SEGMENT_SPURIOUS_RETRANSMISSION;
    if (start < highest && highest < end)
        return FS_SEGMENT_OVERLAP;
    return class_of_repetition(side, payload, packet->time_ns);
}

uint32_t fs__segment_repeats_frame(struct fs_reassembler *side, const struct fs__payload *payload) {
    uint64_t at = (uint64_t)payload->start;
    if (payload->start >= (int64_t)side->next) {
        const struct fs__piece *piece = fs__segments_find(&side->waiting, at);
        return piece && piece->start <= at ? piece->frame : 0;
    }
    struct fs__held held;
    bool is_held = payload->start >= 0 && side->history && fs__history_find(side->history, at, at + 1, &held);
    return is_held ? held.frame : 0;
}

uint32_t fs__segment_hole_frame(struct fs_reassembler *side, const struct fs__payload *payload) {
    bool seen;
    const struct fs__piece *behind = behind_hole(side, payload, &seen);
    return behind && !seen ? behind->frame : 0;
}
