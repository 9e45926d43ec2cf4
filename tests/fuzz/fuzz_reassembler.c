/* SPDX-License-Identifier: MIT */
/** @file fuzz_reassembler.c
 * Bytes become settings, segments of three sides, acknowledgements, sweeps and flushes; whatever they are, the
 * consumers' contract holds, no cap is passed, the books balance and all memory comes back.
 *
 * First 12 bytes: settings. Then records of 12 bytes: what and which side (1), flags (1), sequence number or
 * acknowledgement (4), length (1), captured (1), time step (2), text (1), urgent pointer or window (1).
 */
#include "flowscope/reassembler.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETTINGS = 12, RECORD = 12, MAX_RECORDS = 2048, SIDES = 3, MAX_PAYLOAD = 255 * 16 };

/* Not assert(): it must hold in release builds too. */
static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

static uint32_t read32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t read16(const uint8_t *at) {
    return (uint32_t)at[0] << 8 | at[1];
}

/* ---- memory, counted ---- */

struct store {
    uint64_t bytes, peak, blocks;
};

static void *count_alloc(size_t size, void *user) {
    struct store *store = user;
    void *pointer = malloc(size);
    must(pointer != NULL && size > 0);
    memset(pointer, 0xa5, size); /* nobody may count on zeros */
    store->bytes += size;
    store->peak = store->bytes > store->peak ? store->bytes : store->peak;
    store->blocks++;
    return pointer;
}

static void count_release(void *pointer, size_t size, void *user) {
    struct store *store = user;
    must(pointer != NULL && store->bytes >= size && store->blocks > 0);
    store->bytes -= size;
    store->blocks--;
    free(pointer);
}

/* ---- the consumer ---- */

struct consumer {
    uint64_t position, delivered, gaps, conflicts;
    uint8_t end;
    uint64_t digest;
};

static void on_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    struct consumer *consumer = stream_user;
    must(user != NULL);
    must(consumer->end == FS_STREAM_OPEN);
    switch (event->kind) {
    case FS_STREAM_DATA:
        must(event->offset == consumer->position && event->length > 0 && event->data != NULL);
        for (uint64_t i = 0; i < event->length; i++) { /* each byte is read, for the sanitizers' sake */
            consumer->digest = (consumer->digest ^ event->data[i]) * 0x100000001b3u;
        }
        consumer->position += event->length;
        consumer->delivered += event->length;
        break;
    case FS_STREAM_GAP:
        must(event->offset == consumer->position && event->length > 0);
        consumer->position += event->length;
        consumer->gaps += event->length;
        break;
    case FS_STREAM_CONFLICT:
        must(event->length > 0 && event->length <= MAX_PAYLOAD);
        must(event->digest != event->other_digest);
        consumer->conflicts += event->length;
        break;
    case FS_STREAM_ENDED:
        must(event->offset == consumer->position);
        must(event->end != FS_STREAM_OPEN && event->end < FS_STREAM_END_COUNT);
        consumer->end = event->end;
        break;
    default:
        abort();
    }
}

/* ---- the run ---- */

struct run {
    struct fs_reassembly_config config;
    struct fs_reassembly *shared;
    struct fs_reassembler *sides[SIDES];
    struct consumer consumers[SIDES];
    struct store store;
    uint64_t now_ns, calls;
    uint32_t frame;
};

static uint64_t limit_from(uint8_t byte) {
    return byte < 64 ? 1 + (uint64_t)byte * 16 : byte < 192 ? 1024 + (uint64_t)(byte - 64) * 256 : UINT64_MAX;
}

static void settings(struct run *run, const uint8_t *data) {
    static const uint64_t deadlines[] = {0, 1000000, 1000000000, UINT64_MAX};
    struct fs_reassembly_config *config = &run->config;
    fs_reassembly_config_defaults(config);
    config->side_limit = limit_from(data[0]);
    config->flow_limit = limit_from(data[1]);
    config->total_limit = limit_from(data[2]);
    config->at_side_limit = (enum fs_limit_policy)(data[3] % FS_LIMIT_COUNT);
    config->at_flow_limit = (enum fs_limit_policy)(data[4] % FS_LIMIT_COUNT);
    config->at_total_limit = (enum fs_limit_policy)(data[5] % FS_LIMIT_COUNT);
    config->hole_deadline_ns = deadlines[data[6] % 4];
    config->ahead_limit = 1u << (data[7] % 31);
    config->history = data[8] % 4 == 0 ? 0 : 1u << (data[8] % 17);
    config->overlap = (enum fs_overlap_policy)(data[9] % FS_OVERLAP_COUNT);
    config->urgent = (enum fs_urgent_policy)(data[10] % FS_URGENT_COUNT);
    config->on_event = on_event;
    config->user = run;
}

static void check_side(const struct run *run, int side) {
    struct fs_stream_info info;
    fs_reassembler_info(run->sides[side], &info);
    const struct consumer *consumer = &run->consumers[side];
    must(info.next_offset == consumer->position);
    must(info.gap_bytes == consumer->gaps);
    must(info.conflict_bytes == consumer->conflicts);
    must(info.end == consumer->end);
    must(info.waiting_bytes <= run->config.side_limit);
    must(info.end == FS_STREAM_OPEN || info.waiting_bytes == 0);
}

static void check(const struct run *run) {
    struct fs_reassembly_stats stats;
    struct fs_stream_info info[SIDES];
    fs_reassembly_get_stats(run->shared, &stats);
    uint64_t delivered = 0, gaps = 0, conflicts = 0, waiting = 0, segments = 0;
    for (int side = 0; side < SIDES; side++) {
        check_side(run, side);
        fs_reassembler_info(run->sides[side], &info[side]);
        waiting += info[side].waiting_bytes;
        delivered += run->consumers[side].delivered;
        gaps += run->consumers[side].gaps;
        conflicts += run->consumers[side].conflicts;
    }
    for (int i = 0; i < FS_SEGMENT_COUNT; i++) {
        segments += stats.segments[i];
    }
    must(info[0].waiting_bytes + info[1].waiting_bytes <= run->config.flow_limit);
    must(waiting == stats.waiting_bytes && waiting <= run->config.total_limit);
    must(stats.delivered_bytes == delivered && stats.copied_bytes <= delivered);
    must(stats.gap_bytes == gaps && stats.conflict_bytes == conflicts);
    must(segments == run->calls);
    must(stats.memory_bytes == run->store.bytes && stats.peak_memory_bytes >= stats.memory_bytes);
}

static void fill_tcp(struct fs_packet *packet, const uint8_t *record) {
    packet->tcp.flags = record[1];
    packet->tcp.seq = read32(record + 2);
    packet->tcp.ack = packet->tcp.seq;
    packet->tcp.window = record[11];
    packet->tcp.urgent = record[11];
    packet->tcp.sack_count = record[0] >> 5 & 3;
    for (unsigned i = 0; i < packet->tcp.sack_count; i++) {
        packet->tcp.sack[i].left = packet->tcp.ack + (uint32_t)record[6] * (i + 1);
        packet->tcp.sack[i].right = packet->tcp.sack[i].left + record[7];
    }
}

static void run_segment(struct run *run, int side, struct fs_packet *packet, const uint8_t *record) {
    packet->payload_len = (uint32_t)record[6] * (record[10] & 1 ? 16 : 1);
    packet->payload_captured = record[7] < 128 ? packet->payload_len : record[7] % (packet->payload_len + 1);
    uint8_t *payload = malloc(packet->payload_captured + 1);
    must(payload != NULL);
    for (uint32_t i = 0; i < packet->payload_captured; i++) { /* mostly alike at one place, whoever sends it */
        payload[i] = (uint8_t)((packet->tcp.seq + i) * 7 + (record[10] > 200 ? i % 3 : 0));
    }
    packet->payload = packet->payload_captured > 0 ? payload : NULL;
    struct fs_segment_verdict verdict;
    memset(&verdict, 0xff, sizeof(verdict));
    must(fs_reassembler_segment(run->sides[side], packet, &verdict) == 0);
    must(verdict.segment < FS_SEGMENT_COUNT);
    must((verdict.segment == FS_SEGMENT_NONE) == (packet->payload_len == 0));
    run->calls++;
    free(payload);
}

static void run_record(struct run *run, const uint8_t *record) {
    int side = record[0] % SIDES;
    int16_t step = (int16_t)read16(record + 8);
    run->now_ns += (uint64_t)((int64_t)step * 100000); /* it may step backwards */
    struct fs_packet packet;
    memset(&packet, 0, sizeof(packet));
    packet.flags = FS_PACKET_HAS_TCP;
    packet.time_ns = run->now_ns;
    packet.frame = ++run->frame;
    fill_tcp(&packet, record);
    switch (record[0] >> 2 & 7) {
    case 5:
    case 6:
        packet.payload_len = record[10] > 200;
        fs_reassembler_acknowledge(run->sides[side], &packet);
        break;
    case 7:
        if (record[10] == 255) {
            fs_reassembler_flush(run->sides[side], (enum fs_stream_end)(1 + record[11] % (FS_STREAM_END_COUNT - 1)),
                                 run->now_ns, run->frame);
        } else {
            fs_reassembler_advance(run->sides[side], run->now_ns);
        }
        break;
    default:
        run_segment(run, side, &packet, record);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTINGS) {
        return 0;
    }
    struct run run;
    memset(&run, 0, sizeof(run));
    run.now_ns = 1000000000000u;
    settings(&run, data);
    const struct fs_allocator allocator = {count_alloc, count_release, &run.store};
    run.shared = fs_reassembly_new(&run.config, &allocator);
    must(run.shared != NULL);
    for (int i = 0; i < SIDES; i++) {
        run.sides[i] = fs_reassembler_new(run.shared, i == 1 ? run.sides[0] : NULL, &run.consumers[i]);
        must(run.sides[i] != NULL);
    }
    size_t count = (size - SETTINGS) / RECORD;
    for (size_t i = 0; i < count && i < MAX_RECORDS; i++) {
        run_record(&run, data + SETTINGS + i * RECORD);
        check(&run);
    }
    for (int i = 0; i < SIDES; i++) {
        fs_reassembler_flush(run.sides[i], FS_STREAM_FLUSHED, run.now_ns, 0);
        must(run.consumers[i].end != FS_STREAM_OPEN);
    }
    check(&run);
    for (int i = 0; i < SIDES; i++) {
        fs_reassembler_free(run.sides[i]);
    }
    fs_reassembly_free(run.shared);
    must(run.store.bytes == 0 && run.store.blocks == 0);
    return 0;
}
