/* SPDX-License-Identifier: MIT */
/** @file fuzz_tracker.c
 * Bytes become settings, packets, sweeps and closes; whatever they are, the books must balance. A second tracker gets
 * the same packets as batches and must answer alike.
 *
 * First 8 bytes: settings. Then records of 16 bytes: what (1), hosts and ports (1), flags (1), label and payload (1),
 * sequence number (4), acknowledgement (4), time step (2), window (2).
 */
#include "flowscope/tracker.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETTINGS = 8, RECORD = 16, MAX_RECORDS = 4096, MAX_FLOWS = 64, BATCH = 7 };

struct books {
    uint64_t started, ended, established, packets;
    uint64_t ended_by[FS_END_COUNT];
    uint64_t last_id; /* of started flows, plus one */
    uint64_t digest;
    uint64_t destroyed;
};

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

static void check_side(const struct fs_flow_info *info, int side) {
    const struct fs_tcp_side *tcp = &info->tcp[side];
    must(tcp->window_minimum <= tcp->window_maximum);
    must(tcp->rtt.minimum_ns <= tcp->rtt.maximum_ns);
    must(tcp->rtt.samples > 0 || tcp->rtt.mean_ns == 0);
    must(tcp->rtt.samples == 0 || tcp->rtt.mean_ns + 1000 > tcp->rtt.minimum_ns);
    must(tcp->rtt.mean_ns <= tcp->rtt.maximum_ns);
    must(tcp->retransmissions + info->side[side].duplicates <= info->side[side].packets);
    must(tcp->window_scale <= 15);
}

static void check_info(const struct fs_flow_info *info) {
    must(info->first_ns <= info->last_ns);
    must(info->state < FS_STATE_COUNT);
    must(info->end < FS_END_COUNT);
    must(info->parent == FS_NO_FLOW || info->parent < info->id);
    must(memchr(info->history, '\0', sizeof(info->history)) != NULL);
    must(memchr(info->conn_state, '\0', sizeof(info->conn_state)) != NULL && info->conn_state[0] != '\0');
    bool one_sided = info->side[0].packets == 0 || info->side[1].packets == 0;
    must(one_sided == ((info->marks & FS_MARK_ONE_SIDED) != 0));
    if (info->is_tcp) {
        check_side(info, 0);
        check_side(info, 1);
    }
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct books *books = user;
    struct fs_flow_info info;
    must(fs_tracker_flow_info(tracker, event->flow, &info) == 0);
    if (event->kind != FS_EVENT_STARTED) {
        check_info(&info);
    }
    switch (event->kind) {
    case FS_EVENT_STARTED:
        books->started++;
        must(info.id >= books->last_id);
        books->last_id = info.id + 1;
        must(info.side[0].packets + info.side[1].packets == 0);
        must(fs_tracker_flow_user(tracker, event->flow) == NULL);
        must(fs_tracker_set_flow_user(tracker, event->flow, user) == 0);
        break;
    case FS_EVENT_ENDED:
        books->ended++;
        must(event->end != FS_END_LIVE && event->end < FS_END_COUNT);
        must(info.end == event->end);
        books->ended_by[event->end]++;
        must((event->end == FS_END_FIN) == (info.state == FS_STATE_CLOSED));
        must((event->end == FS_END_RST) == (info.state == FS_STATE_RESET));
        must(fs_tracker_flow_user(tracker, event->flow) == user);
        break;
    case FS_EVENT_ESTABLISHED:
        books->established++;
        must(event->to == info.state);
        break;
    case FS_EVENT_STATE:
        must(event->from != event->to && event->to == info.state);
        break;
    case FS_EVENT_PACKET:
        books->packets++;
        break;
    default:
        break;
    }
    const uint64_t words[] = {(uint64_t)event->kind, event->flow, info.id, event->end, event->anomaly};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        books->digest = (books->digest ^ words[i]) * 0x100000001b3u;
    }
}

static void destroy(void *flow_user, void *user) {
    must(flow_user == user);
    ((struct books *)user)->destroyed++;
}

static uint64_t own_timeout(const struct fs_packet *packet, void *user) {
    (void)user;
    return (uint64_t)(packet->key.port[0] % 4) * 1000000000u;
}

static void settings(struct fs_tracker_config *config, const uint8_t *data) {
    fs_tracker_config_defaults(config);
    for (int i = 0; i < FS_TIMEOUT_COUNT; i++) {
        config->timeout_ns[i] = data[i] == 255 ? UINT64_MAX : (uint64_t)data[i] * 200000000u;
        if (config->timeout_ns[i] == 0 && i != FS_TIMEOUT_TCP_CLOSED) {
            config->timeout_ns[i] = 1;
        }
    }
    config->max_flows = 1 + data[5] % MAX_FLOWS;
    config->seed = 1 + data[6];
    config->auto_sweep = data[7] & 1;
    config->roles_by_syn = data[7] & 2;
    config->use_flow_label = data[7] & 4;
    config->idle_timeout = data[7] & 8 ? own_timeout : NULL;
    config->tick_ns = data[7] & 16 ? 500000000u : 0;
    config->events = (1u << FS_EVENT_COUNT) - 1;
    config->on_event = on_event;
    config->destroy_flow_user = destroy;
}

static uint64_t step_time(uint64_t now, uint32_t step) {
    uint64_t by = (uint64_t)(step & 0x3fff) << (step & 0x4000 ? 24 : 10);
    return step & 0x8000 ? now - by : now + by;
}

static void make_packet(struct fs_packet *packet, const uint8_t *record, uint64_t now) {
    static const uint8_t protocols[] = {FS_PROTO_TCP,     FS_PROTO_TCP,  FS_PROTO_TCP,  FS_PROTO_UDP,
                                        FS_PROTO_UDPLITE, FS_PROTO_SCTP, FS_PROTO_ICMP, FS_PROTO_TCP};
    memset(packet, 0, sizeof(*packet));
    const uint8_t a[4] = {10, 0, 0, record[1] & 3}, b[4] = {10, 0, 0, record[1] >> 2 & 3};
    uint8_t protocol = protocols[record[0] & 7];
    packet->orientation = (uint8_t)fs_key_set(&packet->key, FS_KEY_5TUPLE, FS_FAMILY_IPV4, a, b, record[1] >> 4 & 3,
                                              record[1] >> 6 & 3, protocol, false);
    packet->time_ns = now;
    packet->frame = 1;
    packet->payload_len = (uint32_t)(record[3] & 15) << (record[3] & 8 ? 12 : 0);
    packet->ip_len = packet->payload_len + 40;
    packet->wire_len = packet->payload_len + 54;
    packet->flow_label = record[3] >> 4;
    packet->flags = FS_PACKET_FLOW_LABEL;
    packet->flags |= record[0] & 8 ? FS_PACKET_QUOTED : 0;
    packet->flags |= record[0] & 16 ? FS_PACKET_TRUNCATED : 0;
    packet->flags |= record[0] & 128 ? FS_PACKET_DUPLICATE : 0;
    packet->flags |= protocol == FS_PROTO_TCP && !(record[0] & 32) ? FS_PACKET_HAS_TCP : 0;
    packet->tcp.flags = record[2];
    packet->tcp.seq = read32(record + 4);
    packet->tcp.ack = read32(record + 8);
    packet->tcp.window = (uint16_t)read16(record + 14);
    packet->tcp.options = packet->tcp.window & 1 ? FS_TCP_OPT_WINDOW_SCALE : 0;
    packet->tcp.window_scale = packet->tcp.options ? packet->tcp.window >> 1 & 15 : 0;
}

static void check_books(const struct fs_tracker *tracker, const struct books *books) {
    struct fs_tracker_stats stats;
    fs_tracker_get_stats(tracker, &stats);
    uint64_t ended = 0;
    for (int i = 0; i < FS_END_COUNT; i++) {
        must(stats.ended[i] == books->ended_by[i]);
        ended += stats.ended[i];
    }
    must(stats.created == books->started && ended == books->ended);
    must(stats.created == ended + stats.live);
    must(stats.packets == books->packets);
    must(books->established <= books->started);
    must(books->destroyed == books->ended);
    must(stats.live <= MAX_FLOWS);
    uint64_t live = 0, packets = 0;
    for (uint32_t flow = fs_tracker_next(tracker, FS_NO_NUMBER); flow != FS_NO_NUMBER;
         flow = fs_tracker_next(tracker, flow)) {
        struct fs_flow_info info;
        must(fs_tracker_flow_info(tracker, flow, &info) == 0);
        check_info(&info);
        must(info.end == FS_END_LIVE);
        must(fs_tracker_find(tracker, &info.key) != FS_NO_NUMBER);
        packets += info.side[0].packets + info.side[1].packets;
        live++;
    }
    must(live == stats.live && packets <= stats.packets);
}

static void check_verdict(const struct fs_packet *packet, const struct fs_verdict *verdict) {
    must(verdict->quoted == ((packet->flags & FS_PACKET_QUOTED) != 0));
    must((verdict->flow == FS_NO_NUMBER) == (verdict->flow_id == FS_NO_FLOW));
    must(verdict->quoted || (verdict->flow_id != FS_NO_FLOW && verdict->packet >= 1));
    must(verdict->created == (verdict->packet == 1));
    must(verdict->quoted || verdict->duplicate == ((packet->flags & FS_PACKET_DUPLICATE) != 0));
    must(!verdict->duplicate || !(verdict->anomalies & ~(unsigned)FS_ANOMALY_EVICTION));
    must(!verdict->duplicate || (!verdict->retransmission && verdict->rtt_ns == FS_NO_TIME));
    must(verdict->state < FS_STATE_COUNT && verdict->side < 2 && verdict->orientation == packet->orientation);
}

static bool same(const struct fs_verdict *a, const struct fs_verdict *b) {
    return a->flow_id == b->flow_id && a->packet == b->packet && a->bytes == b->bytes && a->rtt_ns == b->rtt_ns &&
           a->flow == b->flow && a->anomalies == b->anomalies && a->side == b->side && a->state == b->state &&
           a->created == b->created && a->ended == b->ended && a->retransmission == b->retransmission &&
           a->duplicate == b->duplicate;
}

struct batch {
    struct fs_tracker *tracker;
    struct fs_packet packets[BATCH];
    struct fs_verdict expected[BATCH];
    size_t count;
};

static void flush(struct batch *batch) {
    struct fs_verdict verdicts[BATCH];
    must(fs_tracker_track_batch(batch->tracker, batch->packets, batch->count, verdicts) == 0);
    for (size_t i = 0; i < batch->count; i++) {
        must(same(&verdicts[i], &batch->expected[i]));
    }
    batch->count = 0;
}

static void run_packet(struct fs_tracker *tracker, struct batch *batch, const uint8_t *record, uint64_t now) {
    struct fs_packet packet;
    make_packet(&packet, record, now);
    struct fs_verdict *verdict = &batch->expected[batch->count];
    must(fs_tracker_track(tracker, &packet, FS_NO_NUMBER, verdict) == 0);
    check_verdict(&packet, verdict);
    batch->packets[batch->count++] = packet;
    if (batch->count == BATCH) {
        flush(batch);
    }
}

static void run_call(struct fs_tracker *tracker, struct batch *batch, const uint8_t *record, uint64_t now) {
    flush(batch);
    uint32_t flow = read32(record + 4) % (2 * MAX_FLOWS);
    switch (record[0] & 3) {
    case 0:
        must(fs_tracker_sweep(tracker, now) == fs_tracker_sweep(batch->tracker, now));
        must(fs_tracker_sweep(tracker, now) == 0 && fs_tracker_sweep(batch->tracker, now) == 0);
        break;
    case 1:
        fs_tracker_finish(tracker);
        fs_tracker_finish(batch->tracker);
        must(fs_tracker_next(tracker, FS_NO_NUMBER) == FS_NO_NUMBER);
        break;
    default:
        must(fs_tracker_close(tracker, flow) == fs_tracker_close(batch->tracker, flow));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTINGS) {
        return 0;
    }
    struct books books = {0}, batch_books = {0};
    struct fs_tracker_config config;
    settings(&config, data);
    config.user = &books;
    struct fs_tracker *tracker = fs_tracker_new(&config, NULL);
    config.user = &batch_books;
    struct batch batch = {.tracker = fs_tracker_new(&config, NULL)};
    must(tracker != NULL && batch.tracker != NULL);

    uint64_t now = (uint64_t)1 << 60;
    size_t records = (size - SETTINGS) / RECORD;
    for (size_t i = 0; i < records && i < MAX_RECORDS; i++) {
        const uint8_t *record = data + SETTINGS + i * RECORD;
        now = step_time(now, read16(record + 12));
        if (record[0] & 64) {
            run_call(tracker, &batch, record, now);
        } else {
            run_packet(tracker, &batch, record, now);
        }
        check_books(tracker, &books);
    }
    flush(&batch);
    must(books.digest == batch_books.digest);
    fs_tracker_finish(tracker);
    check_books(tracker, &books);
    fs_tracker_free(tracker);
    fs_tracker_free(batch.tracker);
    must(books.destroyed == books.started && batch_books.destroyed == batch_books.started);
    return 0;
}
