/* SPDX-License-Identifier: MIT */
#include "model_tracker.h"

#include <stdlib.h>
#include <string.h>

#define WRAP ((int64_t)1 << 32)
#define LARGE_JUMP 1048576 /* Zeek: SYN and RST do not move the highest sequence number further than this */

enum endpoint { INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET };

/* Positions are bytes from the ISN: the SYN is 0, the first byte of the stream is 1. */
struct side {
    bool sent;  /* a TCP header of this side was seen */
    bool known; /* isn is set, by its own packet or by an acknowledgement */
    uint32_t isn;
    int64_t high;
    int64_t acked;
    unsigned flags;
    bool syn, fin;
    bool segment, segment_after_syn; /* without SYN and RST */
    enum endpoint state, previous;
    bool has_scale;
    unsigned scale;
    bool window_seen;
    uint32_t window_minimum, window_maximum; /* not scaled */
    uint64_t zero_windows, retransmissions;
    bool letter_syn, letter_fin, letter_rst, letter_ack, letter_data, letter_i, letter_q;
    uint32_t last_rst;
    bool timed;
    int64_t timed_end;
    uint64_t timed_at;
    bool syn_timed, syn_over;
    uint64_t syn_at, handshake;
    uint64_t rtt_count, rtt_sum, rtt_minimum, rtt_maximum; /* us */
    struct fs_counters count;
};

struct flow {
    uint64_t id, parent;
    struct fs_key key;
    bool tcp;
    uint8_t initiator_orientation;
    bool label_known[2];
    uint32_t label[2];
    uint64_t first, last, idle_override, tick_base;
    uint32_t first_frame, last_frame;
    uint16_t marks;
    enum fs_state state;
    enum fs_end end, ended_by;
    struct side side[2];
    bool was_established, established_sent, reset, closed, plain_syn_seen;
    bool over; /* both sides have sent FIN or RST */
    uint64_t over_at;
    char history[FS_HISTORY_MAX + 1];
};

struct model {
    struct fs_tracker_config config;
    struct flow **flows; /* live, in order of creation */
    size_t live, capacity;
    uint64_t next_id;
    unsigned tick_bits;
    bool has_time;
    uint64_t time; /* of the packet or sweep before */
    struct fs_tracker_stats stats;
    struct model_event events[MODEL_MAX_EVENTS];
    size_t event_count;
    const char *error;
};

static uint64_t add_time(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t timeout_of(const struct model *model, const struct flow *flow) {
    const uint64_t *timeout = model->config.timeout_ns;
    if (flow->idle_override != 0) {
        return flow->idle_override;
    }
    if (!flow->tcp) {
        bool udp = flow->key.protocol == FS_PROTO_UDP || flow->key.protocol == FS_PROTO_UDPLITE;
        uint64_t one_way = timeout[udp ? FS_TIMEOUT_UDP_ONE_WAY : FS_TIMEOUT_OTHER_ONE_WAY];
        if (one_way != 0 && (flow->side[0].count.packets == 0 || flow->side[1].count.packets == 0)) {
            return one_way;
        }
        return timeout[udp ? FS_TIMEOUT_UDP : FS_TIMEOUT_OTHER];
    }
    switch (flow->state) {
    case FS_STATE_SYN_SENT:
    case FS_STATE_SYN_RECEIVED:
        return timeout[FS_TIMEOUT_TCP_OPENING];
    case FS_STATE_CLOSED:
    case FS_STATE_RESET:
        return timeout[FS_TIMEOUT_TCP_CLOSED];
    default:
        return timeout[FS_TIMEOUT_TCP];
    }
}

static uint64_t deadline(const struct model *model, const struct flow *flow) {
    return add_time(flow->last, timeout_of(model, flow));
}

static bool is_idle(const struct model *model, const struct flow *flow, uint64_t now) {
    return now >= deadline(model, flow);
}

static enum fs_end own_end(const struct flow *flow, enum fs_end otherwise) {
    if (flow->state == FS_STATE_CLOSED) {
        return FS_END_FIN;
    }
    return flow->state == FS_STATE_RESET ? FS_END_RST : otherwise;
}

/* ---- snapshot ---- */

/* The highest that this side is known to have sent. */
static int64_t top(const struct side *side) {
    return side->high > side->acked ? side->high : side->acked;
}

static uint64_t stream_bytes(const struct side *side) {
    if (!side->known) {
        return 0;
    }
    int64_t bytes = top(side);
    if (bytes > 0) {
        bytes--;
    }
    if (side->fin && bytes > 0) {
        bytes--;
    }
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* SYN, nothing but SYN, data and window letters from the initiator, then its RST. */
static bool is_rstos0(const char *history) {
    if (*history == '^') {
        history++;
    }
    if (*history != 'S') {
        return false;
    }
    for (history++; *history != '\0'; history++) {
        if (*history == 'R') {
            return true;
        }
        if (strchr("HAFGIQ", *history) != NULL) {
            return false;
        }
    }
    return false;
}

static const char *tcp_conn_state(const struct flow *flow) {
    enum endpoint o = flow->side[0].state, r = flow->side[1].state;
    bool o_idle = o == INACTIVE || o == PARTIAL;
    bool r_idle = r == INACTIVE || r == PARTIAL;
    if (r == RESET) {
        bool empty = stream_bytes(&flow->side[0]) == 0 && stream_bytes(&flow->side[1]) == 0;
        if (o == SYN_SENT || o == SYN_ACK_SENT || (o == RESET && empty)) {
            return "REJ";
        }
        return o_idle ? "RSTRH" : "RSTR";
    }
    if (o == RESET) {
        if (!r_idle) {
            return "RSTO";
        }
        return is_rstos0(flow->history) ? "RSTOS0" : "OTH";
    }
    if (o == CLOSED && r == CLOSED) {
        return "SF";
    }
    if (o == CLOSED) {
        return r_idle ? "SH" : "S2";
    }
    if (r == CLOSED) {
        return o_idle ? "SHR" : "S3";
    }
    if (o == SYN_SENT && r == INACTIVE) {
        return "S0";
    }
    return o == ESTABLISHED && r == ESTABLISHED ? "S1" : "OTH";
}

static const char *conn_state(const struct flow *flow) {
    if (flow->tcp) {
        return tcp_conn_state(flow);
    }
    if (flow->key.protocol != FS_PROTO_UDP) {
        return "OTH";
    }
    return flow->side[0].count.packets > 0 && flow->side[1].count.packets > 0 ? "SF" : "S0";
}

static void fill_side(struct fs_tcp_side *out, const struct flow *flow, int index) {
    const struct side *side = &flow->side[index];
    bool scaled = flow->side[0].has_scale && flow->side[1].has_scale;
    out->stream_bytes = stream_bytes(side);
    out->isn = side->isn;
    out->window_minimum = side->window_minimum << (scaled ? side->scale : 0);
    out->window_maximum = side->window_maximum << (scaled ? side->scale : 0);
    out->zero_windows = side->zero_windows > 65535 ? 65535 : (uint32_t)side->zero_windows;
    out->retransmissions = (uint32_t)side->retransmissions;
    out->window_scale = scaled ? (uint8_t)side->scale : 0;
    out->flags = (uint8_t)side->flags;
    out->acknowledged = side->sent && side->acked >= side->high;
    out->rtt.samples = side->rtt_count;
    out->rtt.minimum_ns = side->rtt_minimum * 1000;
    out->rtt.maximum_ns = side->rtt_maximum * 1000;
    out->rtt.mean_ns = side->rtt_count > 0 ? side->rtt_sum * 1000 / side->rtt_count : 0;
}

static void fill_info(const struct flow *flow, struct fs_flow_info *info) {
    memset(info, 0, sizeof(*info));
    info->id = flow->id;
    info->parent = flow->parent;
    info->key = flow->key;
    info->first_ns = flow->first;
    info->last_ns = flow->last;
    info->first_frame = flow->first_frame;
    info->last_frame = flow->last_frame;
    info->side[0] = flow->side[0].count;
    info->side[1] = flow->side[1].count;
    info->marks = flow->marks;
    if (flow->side[0].count.packets == 0 || flow->side[1].count.packets == 0) {
        info->marks |= FS_MARK_ONE_SIDED;
    }
    bool header = flow->side[0].sent || flow->side[1].sent;
    if (header && !flow->side[0].syn && !flow->side[1].syn) {
        info->marks |= FS_MARK_MIDSTREAM;
    }
    info->state = (uint8_t)flow->state;
    info->end = (uint8_t)flow->end;
    info->ended_by = (uint8_t)flow->ended_by;
    info->initiator_orientation = flow->initiator_orientation;
    info->is_tcp = flow->tcp;
    info->closed_ns = flow->over ? flow->over_at : FS_NO_TIME;
    info->handshake_syn_ns = flow->side[FS_INITIATOR].handshake;
    info->handshake_ack_ns = flow->side[FS_RESPONDER].handshake;
    if (flow->tcp) {
        fill_side(&info->tcp[0], flow, 0);
        fill_side(&info->tcp[1], flow, 1);
    }
    memcpy(info->history, flow->history, sizeof(info->history));
    strcpy(info->conn_state, conn_state(flow));
}

/* ---- events, creation, end ---- */

static struct model_event *emit(struct model *model, enum fs_event_kind kind, const struct flow *flow) {
    if (model->event_count >= MODEL_MAX_EVENTS) {
        abort();
    }
    struct model_event *event = &model->events[model->event_count++];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->id = flow->id;
    return event;
}

static void end_flow(struct model *model, struct flow *flow, enum fs_end reason, bool swept) {
    flow->end = own_end(flow, reason);
    flow->ended_by = reason;
    struct model_event *event = emit(model, FS_EVENT_ENDED, flow);
    event->end = (uint8_t)flow->end;
    event->swept = swept;
    fill_info(flow, &event->info);
    model->stats.ended[flow->end]++;
    size_t i = 0;
    while (model->flows[i] != flow) {
        i++;
    }
    for (; i + 1 < model->live; i++) {
        model->flows[i] = model->flows[i + 1];
    }
    model->live--;
    model->stats.live--;
    free(flow);
}

static size_t sweep(struct model *model, uint64_t now) {
    size_t ended = 0;
    for (size_t i = 0; i < model->live;) {
        struct flow *flow = model->flows[i];
        if (!is_idle(model, flow, now)) {
            i++;
            continue;
        }
        end_flow(model, flow, FS_END_IDLE, true);
        ended++;
    }
    return ended;
}

static struct flow *find_id(const struct model *model, uint64_t id) {
    for (size_t i = 0; i < model->live; i++) {
        if (model->flows[i]->id == id) {
            return model->flows[i];
        }
    }
    return NULL;
}

static void evict(struct model *model, const uint64_t *ended, size_t ended_count) {
    struct flow *victim = NULL;
    for (size_t i = 0; i < ended_count && victim == NULL; i++) {
        victim = find_id(model, ended[i]);
    }
    if (victim == NULL) {
        model->error = "the table is full and no live flow was evicted";
        victim = model->flows[0];
    }
    for (size_t i = 0; i < model->live; i++) {
        if (deadline(model, model->flows[i]) >> model->tick_bits < deadline(model, victim) >> model->tick_bits) {
            model->error = "another flow would have expired in an earlier tick than the evicted one";
        }
    }
    end_flow(model, victim, FS_END_EVICTED, false);
}

static uint32_t label_of(const struct fs_packet *packet) {
    return packet->flags & FS_PACKET_FLOW_LABEL ? packet->flow_label : 0;
}

static struct flow *look_up(const struct model *model, const struct fs_packet *packet) {
    struct flow *open = NULL, *any = NULL;
    for (size_t i = 0; i < model->live; i++) {
        struct flow *flow = model->flows[i];
        if (memcmp(&flow->key, &packet->key, sizeof(flow->key)) != 0) {
            continue;
        }
        any = flow;
        if (!flow->label_known[packet->orientation]) {
            open = flow; /* the last one is the most recently created */
        } else if (flow->label[packet->orientation] == label_of(packet) && model->config.use_flow_label) {
            return flow;
        }
    }
    return model->config.use_flow_label ? open : any;
}

static bool has_tcp(const struct fs_packet *packet) {
    return (packet->flags & FS_PACKET_HAS_TCP) != 0;
}

static bool is_duplicate(const struct fs_packet *packet) {
    return (packet->flags & FS_PACKET_DUPLICATE) != 0;
}

/* With nothing but these two of the flags that open and close. */
static bool is_syn(const struct fs_packet *packet, bool ack) {
    unsigned opening = packet->tcp.flags & (FS_TCP_SYN | FS_TCP_ACK | FS_TCP_RST | FS_TCP_FIN);
    return opening == (FS_TCP_SYN | (ack ? FS_TCP_ACK : 0u));
}

static void add_letter(struct flow *flow, int side, char upper) {
    size_t length = strlen(flow->history);
    if (length == FS_HISTORY_MAX) {
        flow->marks |= FS_MARK_HISTORY_FULL;
        return;
    }
    bool lower = side == FS_RESPONDER && upper != '^';
    flow->history[length] = (char)(lower ? upper - 'A' + 'a' : upper);
}

static struct flow *create(struct model *model, const struct fs_packet *packet, uint64_t parent_id, uint16_t marks) {
    struct flow *flow = calloc(1, sizeof(*flow));
    if (flow == NULL) {
        abort();
    }
    flow->id = model->next_id++;
    flow->parent = find_id(model, parent_id) != NULL ? parent_id : FS_NO_FLOW;
    flow->key = packet->key;
    flow->tcp = packet->key.protocol == FS_PROTO_TCP && packet->key.kind == FS_KEY_5TUPLE;
    flow->first = flow->last = flow->tick_base = packet->time_ns;
    flow->first_frame = packet->frame;
    flow->marks = marks;
    flow->side[0].handshake = flow->side[1].handshake = FS_NO_TIME;
    flow->state = FS_STATE_ONE_WAY;
    flow->initiator_orientation = packet->orientation;
    if (flow->tcp && has_tcp(packet) && is_syn(packet, true) && model->config.roles_by_syn) {
        flow->initiator_orientation ^= 1;
        flow->marks |= FS_MARK_ROLE_FLIPPED;
        add_letter(flow, 0, '^');
    }
    if (model->config.idle_timeout != NULL) {
        flow->idle_override = model->config.idle_timeout(packet, model->config.user);
    }
    if (model->live == model->capacity) {
        model->capacity = model->capacity * 2 + 8;
        model->flows = realloc(model->flows, model->capacity * sizeof(*model->flows));
        if (model->flows == NULL) {
            abort();
        }
    }
    model->flows[model->live++] = flow;
    model->stats.live++;
    model->stats.created++;
    struct model_event *event = emit(model, FS_EVENT_STARTED, flow);
    event->by_packet = true;
    event->side = packet->orientation ^ flow->initiator_orientation;
    return flow;
}

/* ---- TCP ---- */

/* The position that `number` stands for, of all that it could, the one nearest to `reference`. */
static int64_t position(const struct side *side, uint32_t number, int64_t reference) {
    int64_t p = (uint32_t)(number - side->isn);
    while (p - reference >= WRAP / 2) {
        p -= WRAP;
    }
    while (p - reference < -WRAP / 2) {
        p += WRAP;
    }
    return p;
}

static void set_endpoint(struct side *side, enum endpoint state) {
    if (side->state != state) {
        side->previous = side->state;
        side->state = state;
    }
}

static void endpoint_inactive(struct flow *flow, int s, const struct fs_tcp *tcp, uint32_t payload) {
    struct side *me = &flow->side[s], *peer = &flow->side[!s];
    bool ack = tcp->flags & FS_TCP_ACK;
    if (tcp->flags & FS_TCP_SYN) {
        if (s == FS_INITIATOR) {
            set_endpoint(me, ack ? SYN_ACK_SENT : SYN_SENT);
        } else {
            if (peer->state == SYN_SENT || (!ack && peer->state == SYN_ACK_SENT)) {
                set_endpoint(peer, ESTABLISHED);
            }
            set_endpoint(me, ESTABLISHED);
        }
    }
    if (tcp->flags & FS_TCP_FIN) {
        set_endpoint(me, CLOSED);
    }
    if (tcp->flags & FS_TCP_RST) {
        set_endpoint(me, RESET);
    }
    if (me->state != INACTIVE) {
        return;
    }
    if (s == FS_RESPONDER && payload == 0 && peer->state == SYN_SENT) {
        return; /* some systems acknowledge a SYN before they answer it */
    }
    set_endpoint(me, ack && peer->state == ESTABLISHED ? ESTABLISHED : PARTIAL);
}

static void endpoint_step(struct flow *flow, int s, const struct fs_tcp *tcp, uint32_t payload) {
    struct side *me = &flow->side[s], *peer = &flow->side[!s];
    bool syn = tcp->flags & FS_TCP_SYN, fin = tcp->flags & FS_TCP_FIN, rst = tcp->flags & FS_TCP_RST;
    switch (me->state) {
    case INACTIVE:
        endpoint_inactive(flow, s, tcp, payload);
        break;
    case SYN_SENT:
    case SYN_ACK_SENT:
        if (fin) {
            set_endpoint(me, CLOSED);
        }
        if (rst) {
            set_endpoint(me, RESET);
        }
        break;
    case PARTIAL:
    case ESTABLISHED:
        if (syn && me->state == PARTIAL && peer->state == INACTIVE && !(tcp->flags & FS_TCP_ACK)) {
            set_endpoint(me, SYN_SENT);
        }
        if (fin && !rst) {
            set_endpoint(me, CLOSED);
            if (peer->state == RESET && peer->previous == CLOSED) {
                set_endpoint(peer, CLOSED);
            }
        }
        if (rst) {
            set_endpoint(me, RESET);
        }
        break;
    case CLOSED:
        if (rst && peer->state != CLOSED) {
            set_endpoint(me, RESET);
        }
        break;
    case RESET:
        break;
    }
}

static bool scaled_count(uint64_t count) {
    while (count % 10 == 0 && count > 0) {
        count /= 10;
    }
    return count == 1;
}

static void history_flags(struct flow *flow, int s, const struct fs_tcp *tcp, uint32_t payload, int64_t end) {
    struct side *me = &flow->side[s];
    bool syn = tcp->flags & FS_TCP_SYN, fin = tcp->flags & FS_TCP_FIN, rst = tcp->flags & FS_TCP_RST;
    if (fin && rst) {
        if (!me->letter_i) {
            add_letter(flow, s, 'I');
        }
        me->letter_i = true;
    } else if (syn && (fin || rst)) {
        if (!me->letter_q) {
            add_letter(flow, s, 'Q');
        }
        me->letter_q = true;
    } else if (syn) {
        if (!me->letter_syn) { /* Zeek: one of the two a side */
            add_letter(flow, s, tcp->flags & FS_TCP_ACK ? 'H' : 'S');
        }
        me->letter_syn = true;
    } else if (fin) {
        if (!me->letter_fin || end != me->high) {
            add_letter(flow, s, 'F');
        }
        me->letter_fin = true;
    } else if (rst) {
        if (!me->letter_rst || me->last_rst != tcp->seq) {
            add_letter(flow, s, 'R');
        }
        me->letter_rst = true;
        me->last_rst = tcp->seq;
    } else if (payload > 0) {
        if (!me->letter_data) {
            add_letter(flow, s, 'D');
        }
        me->letter_data = true;
    } else if (tcp->flags & FS_TCP_ACK) {
        if (!me->letter_ack) {
            add_letter(flow, s, 'A');
        }
        me->letter_ack = true;
    }
}

static void take_window(struct flow *flow, int s, const struct fs_tcp *tcp) {
    struct side *me = &flow->side[s], *peer = &flow->side[!s];
    if (tcp->flags & FS_TCP_RST) {
        return;
    }
    if (tcp->window == 0 && peer->state != CLOSED && me->state != RESET) {
        me->zero_windows++;
        if (scaled_count(me->zero_windows)) {
            add_letter(flow, s, 'W');
        }
    }
    if (tcp->flags & FS_TCP_SYN) {
        return;
    }
    if (!me->window_seen || tcp->window < me->window_minimum) {
        me->window_minimum = tcp->window;
    }
    if (!me->window_seen || tcp->window > me->window_maximum) {
        me->window_maximum = tcp->window;
    }
    me->window_seen = true;
}

static bool near(int64_t a, int64_t b, int64_t window) {
    return a - b <= window && b - a <= window;
}

static bool accept_reset(const struct flow *flow, int s, const struct fs_tcp *tcp) {
    const struct side *me = &flow->side[s], *peer = &flow->side[!s];
    if (!peer->sent || !me->sent) {
        return true;
    }
    bool opening = peer->state == SYN_SENT || peer->state == SYN_ACK_SENT;
    if ((tcp->flags & FS_TCP_ACK) && opening && tcp->ack == peer->isn + 1) {
        return true;
    }
    bool scaled = me->has_scale && peer->has_scale;
    int64_t window = (int64_t)peer->window_maximum << (scaled ? peer->scale : 0);
    window = window > 65535 ? window : 65535;
    return near(position(me, tcp->seq, me->high), me->high, window) ||
           near(position(me, tcp->seq, me->acked), me->acked, window);
}

static uint64_t add_sample(struct side *side, uint64_t from, uint64_t to) {
    if (to < from) {
        return FS_NO_TIME;
    }
    uint64_t us = (to - from) / 1000;
    side->rtt_sum += us;
    if (side->rtt_count == 0 || us < side->rtt_minimum) {
        side->rtt_minimum = us;
    }
    if (us > side->rtt_maximum) {
        side->rtt_maximum = us;
    }
    side->rtt_count++;
    return to - from;
}

/* `s` acknowledges the other side's SYN, perhaps. */
static void time_handshake(struct flow *flow, int s, const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct side *peer = &flow->side[!s];
    if (!peer->syn_timed || peer->acked < 1) {
        return;
    }
    peer->syn_timed = false;
    peer->syn_over = true;
    if (packet->time_ns >= peer->syn_at) {
        peer->handshake = (packet->time_ns - peer->syn_at) / 1000 * 1000;
        verdict->rtt_ns = packet->time_ns - peer->syn_at;
    }
}

static void take_ack(struct flow *flow, int s, const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct side *peer = &flow->side[!s];
    const struct fs_tcp *tcp = &packet->tcp;
    if (!(tcp->flags & FS_TCP_ACK)) {
        return;
    }
    if (!peer->sent) { /* as Zeek: each acknowledgement starts it anew, so what was never seen has no bytes */
        peer->known = true;
        peer->isn = tcp->ack - 1;
        peer->high = 0;
        peer->acked = tcp->flags & FS_TCP_RST ? 0 : 1;
    } else if (!(tcp->flags & FS_TCP_RST)) {
        int64_t sent = top(peer);
        int64_t claimed = position(peer, tcp->ack, sent);
        if ((tcp->flags & FS_TCP_SYN) && peer->syn && (claimed < 1 || claimed > peer->high)) {
            verdict->anomalies |= FS_ANOMALY_SYN_ACK_MISMATCH;
        }
        if (claimed > sent) {
            verdict->anomalies |= FS_ANOMALY_ACK_UNSEEN;
        }
        bool broken = tcp->ack == 0 && claimed - peer->acked > LARGE_JUMP;
        if (claimed > peer->acked && !broken) {
            peer->acked = claimed;
        }
        time_handshake(flow, s, packet, verdict);
        if (peer->timed && peer->acked >= peer->timed_end) {
            verdict->rtt_ns = add_sample(peer, peer->timed_at, packet->time_ns);
            peer->timed = false;
        }
    }
}

/* Own sequence numbers: highest, FIN, retransmission, timing. */
static void take_sequence(struct flow *flow, int s, const struct fs_packet *packet, int64_t end, bool first,
                          struct fs_verdict *verdict) {
    struct side *me = &flow->side[s];
    unsigned flags = packet->tcp.flags;
    bool rst = flags & FS_TCP_RST, was_reset = me->state == RESET;
    bool fresh = end > me->high;
    bool far = end - me->high > LARGE_JUMP || me->high - end > LARGE_JUMP;
    bool believed = !(flags & (FS_TCP_SYN | FS_TCP_RST)) || !far;
    bool long_transfer = (flags & FS_TCP_FIN) && me->syn && me->high == 1 && believed && (fresh || far);
    if (packet->payload_len > 0 && !rst && !was_reset && !first && end <= me->high && !long_transfer) {
        me->retransmissions++;
        verdict->retransmission = true;
        me->timed = false;
        if (scaled_count(me->retransmissions)) {
            add_letter(flow, s, 'T');
        }
    }
    if (long_transfer) {
        me->high = (uint32_t)end;
        end = me->high;
    } else if (end > me->high && !was_reset && (believed || first)) {
        me->high = end;
    }
    bool timeable = packet->payload_len > 0 && !(flags & FS_TCP_SYN) && !(me->flags & FS_TCP_RST);
    if (timeable && fresh && end > me->acked && end - me->acked < WRAP / 2 && end - me->acked <= INT32_MAX &&
        !me->timed && !me->syn_timed && !(flow->over && s == FS_INITIATOR)) {
        me->timed = true;
        me->timed_end = end;
        me->timed_at = packet->time_ns;
    }
    if (flags & FS_TCP_FIN) {
        me->fin = true;
    }
}

static bool agrees(const struct side *me, const struct side *peer) {
    if (me->syn) {
        return me->acked >= 1 || (me->segment_after_syn && !peer->sent);
    }
    return me->segment || (!me->sent && peer->segment);
}

static enum fs_state tcp_state(struct flow *flow) {
    const struct side *a = &flow->side[0], *b = &flow->side[1];
    if (!a->sent && !b->sent) {
        return FS_STATE_ONE_WAY; /* no header was seen */
    }
    if (flow->reset) {
        return FS_STATE_RESET;
    }
    if (flow->closed || (a->fin && b->fin && a->acked >= a->high && b->acked >= b->high)) {
        flow->closed = true;
        return FS_STATE_CLOSED;
    }
    if (a->fin || b->fin) {
        return a->fin && b->fin ? FS_STATE_CLOSING : FS_STATE_HALF_CLOSED;
    }
    if (flow->was_established) {
        return FS_STATE_ESTABLISHED;
    }
    if ((a->syn && b->syn) || flow->state == FS_STATE_SYN_RECEIVED) {
        return FS_STATE_SYN_RECEIVED;
    }
    return flow->plain_syn_seen ? FS_STATE_SYN_SENT : FS_STATE_SYN_RECEIVED;
}

static bool is_over(const struct side *side) {
    return side->state == CLOSED || side->state == RESET;
}

static void take_tcp(struct flow *flow, int s, const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct side *me = &flow->side[s];
    const struct fs_tcp *tcp = &packet->tcp;
    bool syn = tcp->flags & FS_TCP_SYN, fin = tcp->flags & FS_TCP_FIN, rst = tcp->flags & FS_TCP_RST;
    if (syn + fin + rst > 1 || (tcp->flags & 0x3f) == 0) {
        verdict->anomalies |= FS_ANOMALY_BAD_FLAGS;
    }
    if (rst && !accept_reset(flow, s, tcp)) {
        verdict->anomalies |= FS_ANOMALY_RST_OUT_OF_WINDOW;
        return;
    }
    me->flags |= tcp->flags & 0xffu;
    bool first = !me->sent;
    bool other_isn = is_syn(packet, true) && me->sent && tcp->seq != me->isn;
    if (other_isn) {
        verdict->anomalies |= FS_ANOMALY_SYN_IN_FLOW;
    }
    bool restart = other_isn && flow->state < FS_STATE_ESTABLISHED;
    if (first || restart) {
        /* A SYN-ACK that was seen before its SYN has acknowledged it. */
        bool acknowledged = first && me->acked == 1 && syn && tcp->seq == me->isn;
        me->sent = me->known = true;
        me->isn = syn ? tcp->seq : tcp->seq - 1;
        me->high = syn ? 0 : 1;
        me->acked = acknowledged ? 1 : 0;
        me->timed = false;
    }
    uint32_t length = (uint32_t)syn + (uint32_t)fin + (rst ? 0 : packet->payload_len);
    int64_t end = position(me, tcp->seq + length, me->high);
    history_flags(flow, s, tcp, packet->payload_len, end);
    take_window(flow, s, tcp);
    if (syn) {
        me->syn = true;
        if (!(me->flags & FS_TCP_RST) && !me->syn_over && !(flow->over && s == FS_INITIATOR)) {
            me->syn_timed = true;
            me->timed = false;
            me->syn_at = packet->time_ns;
        }
        flow->plain_syn_seen = flow->plain_syn_seen || !(tcp->flags & FS_TCP_ACK);
        me->has_scale = tcp->options & FS_TCP_OPT_WINDOW_SCALE;
        me->scale = tcp->window_scale;
    }
    take_ack(flow, s, packet, verdict);
    take_sequence(flow, s, packet, end, first || restart, verdict);
    if (packet->payload_len > 0 && !rst && !verdict->retransmission &&
        (flow->state == FS_STATE_CLOSED || flow->state == FS_STATE_RESET)) {
        verdict->anomalies |= FS_ANOMALY_AFTER_END;
    }
    endpoint_step(flow, s, tcp, packet->payload_len);
    if (!flow->over && is_over(&flow->side[0]) && is_over(&flow->side[1])) {
        flow->over = true;
        flow->over_at = packet->time_ns;
        flow->side[FS_INITIATOR].timed = flow->side[FS_INITIATOR].syn_timed = false;
    }
    if (!syn && !rst) {
        me->segment = true;
        me->segment_after_syn = me->syn;
    }
    if (rst) {
        me->timed = me->syn_timed = false;
        flow->reset = flow->reset || !flow->closed;
    } else if (agrees(&flow->side[0], &flow->side[1]) && agrees(&flow->side[1], &flow->side[0])) {
        flow->was_established = true;
    }
}

/* ---- one packet ---- */

static void count(struct flow *flow, int s, const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct fs_counters *counters = &flow->side[s].count;
    if (packet->time_ns < flow->last && !is_duplicate(packet)) {
        verdict->anomalies |= FS_ANOMALY_TIME_BACKWARDS;
    }
    counters->packets++;
    counters->duplicates += is_duplicate(packet);
    verdict->duplicate = is_duplicate(packet);
    counters->wire_bytes += packet->wire_len;
    counters->ip_bytes += packet->ip_len;
    counters->payload_bytes += packet->payload_len;
    flow->first = packet->time_ns < flow->first ? packet->time_ns : flow->first;
    flow->last = packet->time_ns > flow->last ? packet->time_ns : flow->last;
    verdict->previous_frame = flow->last_frame;
    flow->last_frame = packet->frame;
    if (packet->flags & FS_PACKET_TRUNCATED) {
        flow->marks |= FS_MARK_TRUNCATED;
    }
    if (packet->flags & (FS_PACKET_FIRST_FRAGMENT | FS_PACKET_LATER_FRAGMENT)) {
        flow->marks |= FS_MARK_FRAGMENTS;
    }
    if (!flow->label_known[packet->orientation]) {
        flow->label_known[packet->orientation] = true;
        flow->label[packet->orientation] = label_of(packet);
    }
    verdict->packet = flow->side[0].count.packets + flow->side[1].count.packets;
    verdict->bytes = flow->side[0].count.wire_bytes + flow->side[1].count.wire_bytes;
}

static void emit_anomalies(struct model *model, const struct flow *flow, unsigned anomalies, int s) {
    for (int bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        if (!(anomalies & 1u << bit)) {
            continue;
        }
        struct model_event *event = emit(model, FS_EVENT_ANOMALY, flow);
        event->anomaly = 1u << bit;
        event->side = (uint8_t)s;
        event->by_packet = true;
        model->stats.anomalies[bit]++;
    }
}

static void change_state(struct model *model, struct flow *flow, enum fs_state state, int s) {
    bool holds = flow->tcp ? flow->was_established : state == FS_STATE_TWO_WAY;
    bool established = holds && !flow->established_sent;
    if (flow->state == state && !established) {
        return;
    }
    struct model_event *event = emit(model, established ? FS_EVENT_ESTABLISHED : FS_EVENT_STATE, flow);
    event->from = (uint8_t)flow->state;
    event->to = (uint8_t)state;
    event->side = (uint8_t)s;
    event->by_packet = true;
    flow->state = state;
    flow->established_sent = holds;
}

static void quoted(struct model *model, const struct fs_packet *packet, struct fs_verdict *verdict) {
    verdict->quoted = true;
    const struct flow *flow = look_up(model, packet);
    if (flow == NULL) {
        model->stats.quoted_unknown++;
        return;
    }
    model->stats.quoted++;
    verdict->flow_id = flow->id;
    verdict->side = packet->orientation ^ flow->initiator_orientation;
    verdict->state = (uint8_t)flow->state;
    verdict->bytes = flow->side[0].count.wire_bytes + flow->side[1].count.wire_bytes;
}

/* The flow that the packet continues, or NULL; flows that it replaces end. */
static struct flow *continued(struct model *model, const struct fs_packet *packet, uint16_t *marks,
                              unsigned *anomalies) {
    struct flow *flow = look_up(model, packet);
    if (flow == NULL) {
        return NULL;
    }
    if (is_idle(model, flow, packet->time_ns)) {
        end_flow(model, flow, FS_END_IDLE, false);
        return NULL;
    }
    if (!flow->tcp || !has_tcp(packet) || !is_syn(packet, false) || is_duplicate(packet)) {
        return flow;
    }
    const struct side *me = &flow->side[packet->orientation ^ flow->initiator_orientation];
    bool over = flow->reset || flow->side[0].fin || flow->side[1].fin;
    if (!me->sent || (packet->tcp.seq == me->isn && !over)) {
        return flow;
    }
    *marks |= FS_MARK_PORT_REUSED;
    *anomalies |= over ? FS_ANOMALY_PORT_REUSE : FS_ANOMALY_SYN_IN_FLOW;
    end_flow(model, flow, FS_END_PORT_REUSE, false);
    return NULL;
}

void model_track(struct model *model, const struct fs_packet *packet, uint64_t parent_id, const uint64_t *ended,
                 size_t ended_count, struct fs_verdict *verdict) {
    model->event_count = 0;
    model->error = NULL;
    memset(verdict, 0, sizeof(*verdict));
    verdict->flow_id = FS_NO_FLOW;
    verdict->rtt_ns = FS_NO_TIME;
    verdict->orientation = packet->orientation;
    if (packet->flags & FS_PACKET_QUOTED) {
        quoted(model, packet, verdict);
        return;
    }
    bool later_tick = packet->time_ns >> model->tick_bits > model->time >> model->tick_bits;
    if (model->config.auto_sweep && model->has_time && later_tick) {
        sweep(model, packet->time_ns);
    }
    model->has_time = true;
    model->time = packet->time_ns;
    uint16_t marks = 0;
    unsigned anomalies = 0;
    struct flow *flow = continued(model, packet, &marks, &anomalies);
    if (flow == NULL) {
        if (model->live == model->config.max_flows) {
            evict(model, ended, ended_count);
            anomalies |= FS_ANOMALY_EVICTION;
        }
        flow = create(model, packet, parent_id, marks);
        verdict->created = true;
    }
    int s = packet->orientation ^ flow->initiator_orientation;
    verdict->anomalies = (uint16_t)anomalies;
    count(flow, s, packet, verdict);
    if (!model->config.count_duplicates) {
        flow->side[s].count.duplicates = 0;
    }
    model->stats.packets++;
    model->stats.duplicates += is_duplicate(packet);
    if (!flow->tcp && flow->side[s].count.packets == 1) {
        add_letter(flow, s, 'D');
    }
    if (flow->tcp && has_tcp(packet) && !is_duplicate(packet)) {
        take_tcp(flow, s, packet, verdict);
    }
    emit_anomalies(model, flow, verdict->anomalies, s);
    bool both = flow->side[0].count.packets > 0 && flow->side[1].count.packets > 0;
    enum fs_state other = both ? FS_STATE_TWO_WAY : FS_STATE_ONE_WAY;
    change_state(model, flow, flow->tcp ? tcp_state(flow) : other, s);
    struct model_event *event = emit(model, FS_EVENT_PACKET, flow);
    event->side = (uint8_t)s;
    event->by_packet = true;
    verdict->flow_id = flow->id;
    verdict->side = (uint8_t)s;
    verdict->state = (uint8_t)flow->state;
    bool over = flow->state == FS_STATE_CLOSED || flow->state == FS_STATE_RESET;
    if (over && timeout_of(model, flow) == 0) {
        verdict->ended = true;
        end_flow(model, flow, FS_END_IDLE, false);
    }
}

size_t model_sweep(struct model *model, uint64_t now_ns) {
    model->event_count = 0;
    if (!model->has_time || now_ns > model->time) {
        model->time = now_ns;
    }
    return sweep(model, now_ns);
}

void model_finish(struct model *model) {
    model->event_count = 0;
    while (model->live > 0) {
        end_flow(model, model->flows[0], FS_END_INPUT, false);
    }
}

int model_close(struct model *model, uint64_t id) {
    model->event_count = 0;
    struct flow *flow = find_id(model, id);
    if (flow == NULL) {
        return FS_ERR_NOT_FOUND;
    }
    end_flow(model, flow, FS_END_FORCED, false);
    return 0;
}

struct model *model_new(const struct fs_tracker_config *config) {
    struct model *model = calloc(1, sizeof(*model));
    if (model == NULL) {
        abort();
    }
    model->config = *config;
    uint64_t longest = 0;
    for (int i = 0; i < FS_TIMEOUT_COUNT; i++) {
        longest = config->timeout_ns[i] > longest ? config->timeout_ns[i] : longest;
    }
    model->tick_bits = 28;
    while (model->tick_bits < 63 && ((uint64_t)1 << model->tick_bits) / 2 < (longest + 4095) / 4096) {
        model->tick_bits++;
    }
    return model;
}

void model_free(struct model *model) {
    for (size_t i = 0; i < model->live; i++) {
        free(model->flows[i]);
    }
    free(model->flows);
    free(model);
}

size_t model_events(const struct model *model, const struct model_event **events) {
    *events = model->events;
    return model->event_count;
}

const char *model_error(const struct model *model) {
    return model->error;
}

size_t model_live(const struct model *model) {
    return model->live;
}

uint64_t model_live_id(const struct model *model, size_t n) {
    return model->flows[n]->id;
}

void model_info(const struct model *model, uint64_t id, struct fs_flow_info *info) {
    fill_info(find_id(model, id), info);
}

void model_stats(const struct model *model, struct fs_tracker_stats *stats) {
    *stats = model->stats;
}
