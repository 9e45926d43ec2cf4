/* SPDX-License-Identifier: MIT */
/* Bytes that two segments claim: whether they differ, and who supplies them. */
#include "reassembler_internal.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- conflicts ---- */

static void send_conflict(struct fs_reassembler *side, struct fs__occasion *occasion, struct fs_stream_event *event,
                          const uint8_t *text) {
    struct fs_reassembly_stats *stats = &side->shared->stats;
    event->kind = FS_STREAM_CONFLICT;
    event->time_ns = occasion->time_ns;
    event->frame = occasion->frame;
    event->digest = XXH3_64bits(text, (size_t)event->length);
    stats->conflicts++;
    stats->conflict_bytes += event->length;
    side->conflict_bytes += event->length;
    occasion->conflict = true;
    fs__emit(side, event);
}

static void count_overlap(struct fs_reassembler *side, uint64_t bytes) {
    side->overlap_bytes += bytes;
    side->shared->stats.overlap_bytes += bytes;
}

static void compare_with_held(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__held *held,
                              const uint8_t *text) {
    count_overlap(side, held->end - held->start);
    if (memcmp(text, held->text[0], held->length[0]) == 0 &&
        memcmp(text + held->length[0], held->text[1], held->length[1]) == 0)
        return;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, held->text[0], held->length[0]);
    XXH3_64bits_update(&state, held->text[1], held->length[1]);
    struct fs_stream_event event = {.offset = held->start,
                                    .length = held->end - held->start,
                                    .other_frame = held->frame,
                                    .other_digest = XXH3_64bits_digest(&state)};
    send_conflict(side, occasion, &event, text);
}

void fs__compare_with_history(struct fs_reassembler *side, struct fs__occasion *occasion,
                              const struct fs__payload *payload) {
    if (!side->history)
        return;
    uint64_t at = payload->start > 0 ? (uint64_t)payload->start : 0;
    uint64_t end = fs__lesser((uint64_t)(payload->end > 0 ? payload->end : 0), side->next);
    while (at < end) {
        struct fs__part part = fs__part_at(payload, at);
        part.end = fs__lesser(part.end, end);
        struct fs__held held;
        while (part.is_captured && fs__history_find(side->history, at, part.end, &held)) {
            compare_with_held(side, occasion, &held, fs__text_at(payload, held.start));
            at = held.end;
        }
        at = part.end;
    }
}

/* The waiting run that `piece` is of, and [from, to) inside it: the digest and the comparison of its text. */
static bool differs_from_run(const struct fs__piece *piece, uint64_t from, uint64_t to, const uint8_t *text) {
    for (uint64_t at = from; at < to; piece = piece->next) {
        uint64_t end = fs__lesser(to, fs__piece_end(piece));
        if (memcmp(text + (at - from), fs__piece_data(piece) + (at - piece->start), (size_t)(end - at)) != 0)
            return true;
        at = end;
    }
    return false;
}

static uint64_t digest_of_run(const struct fs__piece *piece, uint64_t from, uint64_t to) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (uint64_t at = from; at < to; piece = piece->next) {
        uint64_t end = fs__lesser(to, fs__piece_end(piece));
        XXH3_64bits_update(&state, fs__piece_data(piece) + (at - piece->start), (size_t)(end - at));
        at = end;
    }
    return XXH3_64bits_digest(&state);
}

static void compare_with_run(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__piece *piece,
                             uint64_t from, uint64_t to, const uint8_t *text) {
    count_overlap(side, to - from);
    if (!differs_from_run(piece, from, to, text))
        return;
    struct fs_stream_event event = {.offset = from,
                                    .length = to - from,
                                    .other_frame = piece->frame,
                                    .other_digest = digest_of_run(piece, from, to)};
    send_conflict(side, occasion, &event, text);
}

/* ---- disputes ---- */

static bool new_wins(const struct fs_reassembler *side, const struct fs__payload *payload, const struct fs__part *part,
                     const struct fs__piece *piece) {
    if (!part->is_captured)
        return false;
    if (!piece->is_captured)
        return true;
    const struct fs__extent older = fs__piece_segment(piece);
    const struct fs__extent newer = {payload->start > (int64_t)side->next ? (uint64_t)payload->start : side->next,
                                     (uint64_t)payload->end};
    return fs__overlap_new_wins(side->shared->config.overlap, &newer, &older);
}

static uint64_t run_end(const struct fs__piece *piece, uint64_t limit) {
    while (fs__piece_end(piece) < limit && piece->next && piece->next->is_joined)
        piece = piece->next;
    return fs__lesser(fs__piece_end(piece), limit);
}

/* Take [from, to) out of the pieces, of which `piece` is the first. */
static bool cut_pieces(struct fs_reassembler *side, struct fs__piece *piece, uint64_t from, uint64_t to) {
    while (from < to) {
        struct fs__piece *next = piece->next;
        uint64_t end = fs__lesser(to, fs__piece_end(piece));
        if (!fs__segments_cut(&side->waiting, &side->shared->store, piece, from, end))
            return false;
        from = end;
        piece = next;
    }
    return true;
}

bool fs__contest(struct fs_reassembler *side, struct fs__occasion *occasion, const struct fs__payload *payload,
                 uint64_t from) {
    uint64_t end = (uint64_t)payload->end;
    struct fs__piece *piece = fs__segments_find(&side->waiting, from);
    while (piece && from < end && piece->start < end) {
        uint64_t at = piece->start > from ? piece->start : from;
        struct fs__part part = fs__part_at(payload, at);
        uint64_t to = run_end(piece, fs__lesser(part.end, end));
        bool both = part.is_captured && piece->is_captured;
        if (both) {
            compare_with_run(side, occasion, piece, at, to, fs__text_at(payload, at));
            side->shared->stats.overruled_bytes += to - at;
        }
        if (new_wins(side, payload, &part, piece) && !cut_pieces(side, piece, at, to))
            return false;
        from = to;
        piece = fs__segments_find(&side->waiting, from);
    }
    return true;
}

int64_t fs__cost_change(struct fs_reassembler *side, const struct fs__payload *payload) {
    enum { NONE, CAPTURED, UNCAPTURED, URGENT };
    int run = NONE; /* of the new segment, up to here */
    uint64_t end = (uint64_t)payload->end;
    int64_t change = 0;
    const struct fs__piece *piece = fs__segments_find(&side->waiting, (uint64_t)payload->start);
    uint64_t left = piece ? piece->start : 0;  /* what is left of the piece starts here */
    bool is_head = piece && !piece->is_joined; /* and pays for its run */
    for (uint64_t at = (uint64_t)payload->start; at < end;) {
        struct fs__part part = fs__part_at(payload, at);
        uint64_t to = fs__lesser(part.end, end);
        bool is_claimed = piece && piece->start <= at;
        bool wins = true;
        if (is_claimed) {
            to = fs__lesser(to, fs__piece_end(piece));
            wins = new_wins(side, payload, &part, piece);
        } else if (piece) {
            to = fs__lesser(to, piece->start);
        }
        if (wins) {
            int kind = part.is_captured ? CAPTURED : part.is_urgent ? URGENT : UNCAPTURED;
            change += run == kind ? 0 : FS__RUN_OVERHEAD;
            change += part.is_captured ? (int64_t)(to - at) : 0;
            run = kind;
        } else {
            run = NONE;
        }
        if (is_claimed && wins) {
            change -= piece->is_captured ? (int64_t)(to - at) : 0;
            change -= at == left && is_head ? FS__RUN_OVERHEAD : 0;
            if (to < fs__piece_end(piece)) {
                change += FS__RUN_OVERHEAD;
                left = to;
                is_head = true;
            } else {
                piece = piece->next;
                change += piece && piece->is_joined ? FS__RUN_OVERHEAD : 0;
                left = piece ? piece->start : 0;
                is_head = true;
            }
        } else if (is_claimed && to == fs__piece_end(piece)) {
            piece = piece->next;
            left = piece ? piece->start : 0;
            is_head = piece && !piece->is_joined;
        }
        at = to;
    }
    return change;
}
