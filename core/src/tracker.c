/* SPDX-License-Identifier: MIT */
#include "flowscope/tracker.h"

#include "allocation.h"
#include "expiry.h"
#include "flow_table.h"
#include "hints.h"
#include "key_internal.h"
#include "tcp.h"
#include "tracker_internal.h"

#include <string.h>

struct fs_tracker {
    struct fs__memory memory;
    struct fs_tracker_config config;
    struct fs__flow_table table;
    struct fs__key_secret secret; /* of the seed */
    uint32_t hot;                 /* flow of the packet before, looked at first: packets come in bursts; or FS__NONE */
    struct fs__flow *hot_flow;    /* the same, where it lies */
    bool has_steady_way;          /* nothing is asked for that a packet of it could bring about */
    uint32_t ending;              /* flow whose ended event is being sent, or FS__NONE */
    uint8_t ending_as, ending_by; /* its enum fs_end, and what made it go */
    uint64_t next_id;
    uint64_t clock_from, clock_span; /* packets of this time leave the wheel's clock as it is; 0, 0: unknown */
    struct fs_tracker_stats stats;
    struct fs__expiry expiry;
};

/* ---- small things ---- */

static bool wants(const struct fs_tracker *tracker, enum fs_event_kind kind) {
    return (tracker->config.events >> kind & 1) != 0;
}

static void emit(struct fs_tracker *tracker, const struct fs_event *event) {
    tracker->config.on_event(tracker, event, tracker->config.user);
}

static uint64_t add_saturating(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static unsigned timeout_class(const struct fs__flow *flow) {
    return flow->bits >> FS__CLASS_SHIFT;
}

static void set_timeout_class(struct fs__flow *flow, unsigned class) {
    unsigned rest = flow->bits & ((1U << FS__CLASS_SHIFT) - 1);
    flow->bits = (uint8_t)(rest | class << FS__CLASS_SHIFT);
}

static unsigned class_for(const struct fs_tracker *tracker, const struct fs__flow *flow) {
    if (flow->tcp != FS__NONE) {
        if (flow->state >= FS_STATE_CLOSED)
            return FS_TIMEOUT_TCP_CLOSED;
        bool opening = flow->state == FS_STATE_SYN_SENT || flow->state == FS_STATE_SYN_RECEIVED;
        return opening ? FS_TIMEOUT_TCP_OPENING : FS_TIMEOUT_TCP;
    }
    bool udp = flow->key.protocol == FS_PROTO_UDP || flow->key.protocol == FS_PROTO_UDPLITE;
    unsigned one_way = udp ? FS_TIMEOUT_UDP_ONE_WAY : FS_TIMEOUT_OTHER_ONE_WAY;
    if (flow->state == FS_STATE_ONE_WAY && tracker->config.timeout_ns[one_way])
        return one_way;
    return udp ? FS_TIMEOUT_UDP : FS_TIMEOUT_OTHER;
}

static uint64_t timeout_of(const struct fs_tracker *tracker, uint32_t number, const struct fs__flow *flow) {
    if (tracker->table.has_extra) {
        uint64_t override = fs__extra_at(&tracker->table, number)->timeout_ns;
        if (override)
            return override;
    }
    return tracker->config.timeout_ns[timeout_class(flow)];
}

static uint64_t deadline_of(const struct fs_tracker *tracker, uint32_t number) {
    const struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    return add_saturating(flow->last_ns, timeout_of(tracker, number, flow));
}

static uint64_t id_of(const struct fs__counts *counts) {
    return counts->id_and_high & (((uint64_t)1 << FS__ID_BITS) - 1);
}

static uint64_t packets_high(const struct fs__counts *counts, unsigned side) {
    return counts->id_and_high >> (FS__ID_BITS + 8 * side) & UINT8_MAX;
}

static uint64_t packets_of(const struct fs__counts *counts, unsigned side) {
    return packets_high(counts, side) << 32 | counts->packets[side];
}

static uint64_t packets_of_both(const struct fs__counts *counts) {
    uint64_t low = (uint64_t)counts->packets[0] + counts->packets[1];
    if (FS__UNLIKELY(counts->id_and_high >> FS__ID_BITS))
        low += (packets_high(counts, 0) + packets_high(counts, 1)) << 32;
    return low;
}

static uint32_t tag_of(const struct fs_tracker *tracker, const struct fs_key *key) {
    return (uint32_t)fs__key_secret_hash(key, &tracker->secret);
}

/* A closed or reset connection ends as such, whatever made it go. */
static enum fs_end end_reason(const struct fs__flow *flow, enum fs_end otherwise) {
    if (flow->tcp == FS__NONE)
        return otherwise;
    if (flow->state == FS_STATE_CLOSED)
        return FS_END_FIN;
    return flow->state == FS_STATE_RESET ? FS_END_RST : otherwise;
}

/* ---- ends ---- */

/* The flow is out of the expiry wheel. */
static void end_unlinked(struct fs_tracker *tracker, uint32_t number, enum fs_end otherwise, uint64_t now_ns,
                         const struct fs_packet *packet) {
    struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    enum fs_end end = end_reason(flow, otherwise);
    tracker->stats.ended[end]++;
    if (tracker->hot == number)
        tracker->hot = FS__NONE;
    if (wants(tracker, FS_EVENT_ENDED)) {
        struct fs_event event = {.kind = FS_EVENT_ENDED,
                                 .flow = number,
                                 .time_ns = now_ns,
                                 .packet = packet,
                                 .from = flow->state,
                                 .to = flow->state,
                                 .end = (uint8_t)end};
        tracker->ending = number;
        tracker->ending_as = (uint8_t)end;
        tracker->ending_by = (uint8_t)otherwise;
        emit(tracker, &event);
        tracker->ending = FS__NONE;
    }
    void *flow_user = fs__cold_at(&tracker->table, number)->user;
    uint32_t tag = tag_of(tracker, &flow->key);
    fs__flow_table_remove(&tracker->table, number, tag);
    if (flow_user && tracker->config.destroy_flow_user)
        tracker->config.destroy_flow_user(flow_user, tracker->config.user);
}

static void end_flow(struct fs_tracker *tracker, uint32_t number, enum fs_end otherwise, uint64_t now_ns,
                     const struct fs_packet *packet) {
    fs__expiry_unlink(&tracker->expiry, number);
    end_unlinked(tracker, number, otherwise, now_ns, packet);
}

/* End what is idle in one slot and put the rest where it belongs now. */
static size_t sweep_slot(struct fs_tracker *tracker, uint32_t slot, uint64_t now_ns) {
    size_t ended = 0;
    uint32_t number = fs__expiry_detach(&tracker->expiry, slot);
    while (number != FS__NONE) {
        uint32_t next = fs__cold_at(&tracker->table, number)->next;
        uint64_t deadline = deadline_of(tracker, number);
        if (deadline <= now_ns) {
            end_unlinked(tracker, number, FS_END_IDLE, now_ns, NULL);
            ended++;
        } else {
            fs__expiry_link(&tracker->expiry, number, deadline);
        }
        number = next;
    }
    return ended;
}

static size_t sweep(struct fs_tracker *tracker, uint64_t now_ns) {
    struct fs__expiry *expiry = &tracker->expiry;
    uint64_t tick = fs__tick(expiry, now_ns);
    if (!expiry->started || tick < expiry->cursor)
        return 0;
    uint64_t span = tick - expiry->cursor;
    uint32_t first = (uint32_t)(expiry->cursor % FS__SLOTS);
    uint32_t slots = span >= FS__SLOTS ? FS__SLOTS : (uint32_t)span + 1;
    expiry->cursor = tick;
    tracker->clock_span = 0;
    size_t ended = 0;
    for (uint32_t passed = 0; passed < slots; passed++) {
        uint32_t slot = fs__expiry_next_slot(expiry, (first + passed) % FS__SLOTS);
        uint32_t distance = (slot - first) % FS__SLOTS;
        if (slot == FS__NONE || distance < passed || distance >= slots)
            break;
        passed = distance;
        ended += sweep_slot(tracker, slot, now_ns);
    }
    return ended;
}

/* The clock of the wheel follows the packets, backwards too: every deadline lies at or after it. */
static FS__NOINLINE void advance_to(struct fs_tracker *tracker, uint64_t now_ns) {
    struct fs__expiry *expiry = &tracker->expiry;
    uint64_t tick = fs__tick(expiry, now_ns);
    if (!expiry->started || tick < expiry->cursor) {
        expiry->started = true;
        expiry->cursor = tick;
    } else if (tick > expiry->cursor && tracker->config.auto_sweep) {
        sweep(tracker, now_ns);
    }
    tracker->clock_from = expiry->cursor << expiry->shift;
    tracker->clock_span = (uint64_t)1 << expiry->shift;
}

static void advance(struct fs_tracker *tracker, uint64_t now_ns) {
    if (FS__UNLIKELY(now_ns - tracker->clock_from >= tracker->clock_span))
        advance_to(tracker, now_ns);
}

/* ---- eviction ---- */

/* A flow of the slot that expires in this tick. Flows on the way that belong elsewhere by now go there. */
static uint32_t victim_in_slot(struct fs_tracker *tracker, uint32_t slot, uint64_t tick) {
    struct fs__expiry *expiry = &tracker->expiry;
    uint32_t number = expiry->slots[slot];
    while (number != FS__NONE) {
        uint32_t next = fs__cold_at(&tracker->table, number)->next;
        uint64_t deadline = deadline_of(tracker, number);
        uint64_t due = fs__tick(expiry, deadline);
        if (due == tick)
            return number;
        if (due % FS__SLOTS != slot) {
            fs__expiry_unlink(expiry, number);
            fs__expiry_link(expiry, number, deadline);
        }
        number = next;
    }
    return FS__NONE;
}

/* Every deadline is more than a turn of the wheel away: put all flows right and begin there from now on. */
static uint32_t victim_of_all(struct fs_tracker *tracker) {
    struct fs__expiry *expiry = &tracker->expiry;
    uint32_t victim = FS__NONE;
    uint64_t earliest = UINT64_MAX;
    for (uint32_t number = 0; number < tracker->table.flows.used; number++) {
        if (!fs__is_live(&tracker->table, number))
            continue;
        uint64_t deadline = deadline_of(tracker, number);
        fs__expiry_unlink(expiry, number);
        fs__expiry_link(expiry, number, deadline);
        if (victim == FS__NONE || fs__tick(expiry, deadline) < earliest) {
            victim = number;
            earliest = fs__tick(expiry, deadline);
        }
    }
    expiry->earliest = earliest;
    return victim;
}

static uint32_t find_victim(struct fs_tracker *tracker) {
    struct fs__expiry *expiry = &tracker->expiry;
    uint64_t start = expiry->earliest > expiry->cursor ? expiry->earliest : expiry->cursor;
    uint32_t first = (uint32_t)(start % FS__SLOTS);
    for (uint32_t passed = 0; passed < FS__SLOTS; passed++) {
        uint32_t slot = fs__expiry_next_slot(expiry, (first + passed) % FS__SLOTS);
        uint32_t distance = (slot - first) % FS__SLOTS;
        if (slot == FS__NONE || distance < passed)
            break;
        passed = distance;
        uint32_t victim = victim_in_slot(tracker, slot, start + distance);
        if (victim == FS__NONE)
            continue;
        expiry->earliest = start + distance;
        return victim;
    }
    return victim_of_all(tracker);
}

/* ---- look-up ---- */

static inline uint32_t lookup(const struct fs__flow_table *table, const struct fs_key *key, uint32_t tag) {
    for (uint32_t at = tag & table->mask;; at = (at + 1) & table->mask) {
        struct fs__entry entry = table->index[at];
        if (entry.flow == FS__NONE)
            return FS__NONE;
        if (entry.tag == tag && fs__key_equal(&fs__flow_at(table, entry.flow)->key, key))
            return entry.flow;
    }
}

static uint32_t label_of(const struct fs_packet *packet) {
    return packet->flags & FS_PACKET_FLOW_LABEL ? packet->flow_label : 0;
}

/* Several flows may have the key: the one with the packet's label, else the youngest that has none yet in this
 * direction. */
static uint32_t lookup_labelled(const struct fs__flow_table *table, const struct fs_packet *packet, uint32_t tag) {
    uint32_t label = label_of(packet);
    uint32_t open = FS__NONE;
    for (uint32_t at = tag & table->mask;; at = (at + 1) & table->mask) {
        struct fs__entry entry = table->index[at];
        if (entry.flow == FS__NONE)
            return open;
        if (entry.tag != tag || !fs__key_equal(&fs__flow_at(table, entry.flow)->key, &packet->key))
            continue;
        uint32_t known = fs__extra_at(table, entry.flow)->label[packet->orientation & 1];
        if (known == label)
            return entry.flow;
        if (known != FS__NO_LABEL)
            continue;
        bool younger = open == FS__NONE ||
                       id_of(&fs__flow_at(table, entry.flow)->counts) > id_of(&fs__flow_at(table, open)->counts);
        open = younger ? entry.flow : open;
    }
}

static uint32_t find_flow(const struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t tag) {
    if (FS__UNLIKELY(tracker->config.use_flow_label))
        return lookup_labelled(&tracker->table, packet, tag);
    return lookup(&tracker->table, &packet->key, tag);
}

/* Whether the TCP header of the packet is there and means something: that of a duplicate has been heard. */
static bool has_a_say(const struct fs_packet *packet) {
    return (packet->flags & (FS_PACKET_HAS_TCP | FS_PACKET_DUPLICATE)) == FS_PACKET_HAS_TCP;
}

/* ---- a new flow ---- */

/* Orientation of the initiator's packets, told by a flow's first packet. */
static unsigned initiator_orientation(const struct fs_tracker *tracker, const struct fs_packet *packet) {
    const unsigned syn_ack = FS_TCP_SYN | FS_TCP_ACK;
    bool from_responder = tracker->config.roles_by_syn && (packet->flags & FS_PACKET_HAS_TCP) &&
                          (packet->tcp.flags & (syn_ack | FS_TCP_RST | FS_TCP_FIN)) == syn_ack;
    return (packet->orientation & 1U) ^ from_responder;
}

static void begin_extra(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet) {
    struct fs__extra *extra = fs__extra_at(&tracker->table, number);
    extra->tick_ns = packet->time_ns;
    extra->label[0] = extra->label[1] = FS__NO_LABEL;
    if (tracker->config.idle_timeout)
        extra->timeout_ns = tracker->config.idle_timeout(packet, tracker->config.user);
}

static void begin_identity(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet,
                           uint32_t parent) {
    struct fs__cold *cold = fs__cold_at(&tracker->table, number);
    uint64_t id = tracker->next_id++;
    fs__flow_at(&tracker->table, number)->counts.id_and_high = id & (((uint64_t)1 << FS__ID_BITS) - 1);
    cold->first_ns = packet->time_ns;
    cold->first_frame = packet->frame;
    if (!fs__is_live(&tracker->table, parent) || parent == number)
        return;
    uint64_t distance = id - id_of(&fs__flow_at(&tracker->table, parent)->counts);
    cold->parent_distance = distance > UINT32_MAX ? 0 : (uint32_t)distance;
}

static uint32_t create(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t parent) {
    bool is_tcp = packet->key.protocol == FS_PROTO_TCP && packet->key.kind == FS_KEY_5TUPLE;
    uint32_t number = fs__flow_table_take(&tracker->table, is_tcp);
    if (number == FS__NONE)
        return FS__NONE;
    struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    unsigned orientation = initiator_orientation(tracker, packet);
    bool flipped = orientation != (packet->orientation & 1U);
    flow->key = packet->key;
    flow->last_ns = packet->time_ns;
    flow->bits = (uint8_t)(FS__LIVE | orientation);
    flow->marks = flipped ? FS_MARK_ROLE_FLIPPED : 0;
    if (is_tcp)
        fs__tcp_init(fs__tcp_at(&tracker->table, flow->tcp), fs__tcp_more_at(&tracker->table, flow->tcp), flipped);
    begin_identity(tracker, number, packet, parent);
    if (tracker->table.has_extra)
        begin_extra(tracker, number, packet);
    bool opening = has_a_say(packet) && (packet->tcp.flags & FS_TCP_SYN);
    set_timeout_class(flow, is_tcp && opening ? FS_TIMEOUT_TCP_OPENING : class_for(tracker, flow));
    fs__flow_table_enter(&tracker->table, number, tag_of(tracker, &packet->key));
    fs__expiry_link(&tracker->expiry, number, deadline_of(tracker, number));
    tracker->stats.created++;
    return number;
}

static uint32_t make_room_and_create(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t parent,
                                     struct fs_verdict *verdict) {
    uint64_t parent_id = fs_tracker_flow_id(tracker, parent);
    if (tracker->table.live >= tracker->config.max_flows) {
        end_flow(tracker, find_victim(tracker), FS_END_EVICTED, packet->time_ns, packet);
        verdict->anomalies |= FS_ANOMALY_EVICTION;
    }
    if (parent_id != fs_tracker_flow_id(tracker, parent))
        parent = FS__NONE; /* the carrier itself was evicted */
    uint32_t number = create(tracker, packet, parent);
    if (number == FS__NONE)
        return FS__NONE;
    verdict->created = true;
    if (wants(tracker, FS_EVENT_STARTED)) {
        unsigned side = (packet->orientation & 1U) ^ (fs__flow_at(&tracker->table, number)->bits & FS__ORIENTATION);
        struct fs_event event = {.kind = FS_EVENT_STARTED,
                                 .flow = number,
                                 .time_ns = packet->time_ns,
                                 .packet = packet,
                                 .side = (uint8_t)side};
        emit(tracker, &event);
    }
    return number;
}

/* ---- one packet ---- */

/* Whether a flow that was found is over for this packet, which then starts the next one. */
static bool makes_way(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet,
                      struct fs_verdict *verdict, uint8_t *marks) {
    struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    if (packet->time_ns >= flow->last_ns && packet->time_ns - flow->last_ns >= timeout_of(tracker, number, flow)) {
        end_flow(tracker, number, FS_END_IDLE, packet->time_ns, packet);
        return true;
    }
    if (!has_a_say(packet) || !(packet->tcp.flags & FS_TCP_SYN) || flow->tcp == FS__NONE)
        return false;
    const struct fs__tcp *tcp = fs__tcp_at(&tracker->table, flow->tcp);
    unsigned side = (packet->orientation & 1U) ^ (flow->bits & FS__ORIENTATION);
    if (!fs__tcp_is_new_connection(tcp, flow->state, side, &packet->tcp))
        return false;
    bool ending = flow->state >= FS_STATE_HALF_CLOSED;
    verdict->anomalies |= ending ? FS_ANOMALY_PORT_REUSE : FS_ANOMALY_SYN_IN_FLOW;
    *marks = FS_MARK_PORT_REUSED;
    end_flow(tracker, number, FS_END_PORT_REUSE, packet->time_ns, packet);
    return true;
}

static void count_duplicate(struct fs_tracker *tracker, uint32_t number, unsigned side) {
    tracker->stats.duplicates++;
    if (!tracker->config.count_duplicates)
        return;
    uint32_t *duplicates = &fs__extra_at(&tracker->table, number)->duplicates[side];
    *duplicates += *duplicates < UINT32_MAX;
}

static FS__COLD void note_flags(struct fs_tracker *tracker, uint32_t number, unsigned side,
                                const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    unsigned marks = flow->marks;
    marks |= packet->flags & FS_PACKET_TRUNCATED ? FS_MARK_TRUNCATED : 0U;
    marks |= packet->flags & (FS_PACKET_FIRST_FRAGMENT | FS_PACKET_LATER_FRAGMENT) ? FS_MARK_FRAGMENTS : 0U;
    flow->marks = (uint8_t)marks;
    if (!(packet->flags & FS_PACKET_DUPLICATE))
        return;
    verdict->duplicate = true;
    count_duplicate(tracker, number, side);
}

static void count(struct fs_tracker *tracker, uint32_t number, struct fs__flow *flow, unsigned side,
                  const struct fs_packet *packet, struct fs_verdict *verdict) {
    struct fs__counts *counts = &flow->counts;
    if (FS__UNLIKELY(++counts->packets[side] == 0) && packets_high(counts, side) < UINT8_MAX)
        counts->id_and_high += (uint64_t)1 << (FS__ID_BITS + 8 * side);
    counts->wire[side] += packet->wire_len;
    counts->ip[side] += packet->ip_len;
    counts->payload[side] += packet->payload_len;
    verdict->bytes = counts->wire[0] + counts->wire[1];
    verdict->packet = packets_of_both(counts);
    verdict->flow_id = id_of(counts);
    verdict->previous_frame = flow->last_frame;
    flow->last_frame = packet->frame;
    flow->bits = (uint8_t)(flow->bits | 1U << (FS__SEEN_SHIFT + side));
    if (FS__UNLIKELY(packet->time_ns < flow->last_ns)) {
        verdict->anomalies |= packet->flags & FS_PACKET_DUPLICATE ? 0U : FS_ANOMALY_TIME_BACKWARDS;
        struct fs__cold *cold = fs__cold_at(&tracker->table, number);
        if (packet->time_ns < cold->first_ns)
            cold->first_ns = packet->time_ns;
    } else {
        flow->last_ns = packet->time_ns;
    }
    enum { RARE = FS_PACKET_TRUNCATED | FS_PACKET_FIRST_FRAGMENT | FS_PACKET_LATER_FRAGMENT | FS_PACKET_DUPLICATE };
    if (FS__UNLIKELY(packet->flags & RARE))
        note_flags(tracker, number, side, packet, verdict);
}

/* Returns whether the flow counts as established after the packet. */
static bool run_tcp(struct fs_tracker *tracker, struct fs__flow *flow, unsigned side, const struct fs_packet *packet,
                    struct fs_verdict *verdict) {
    struct fs__tcp *tcp = fs__tcp_at(&tracker->table, flow->tcp);
    struct fs__tcp_more *more = fs__tcp_more_at(&tracker->table, flow->tcp);
    struct fs__tcp_result result;
    fs__tcp_update(tcp, more, flow->state, side, packet, &result);
    flow->state = result.state;
    unsigned marks = flow->marks & ~(unsigned)FS_MARK_MIDSTREAM;
    marks |= fs__tcp_syn_seen(tcp) ? 0U : FS_MARK_MIDSTREAM;
    marks |= fs__tcp_history_full(more) ? FS_MARK_HISTORY_FULL : 0U;
    flow->marks = (uint8_t)marks;
    verdict->anomalies = (uint16_t)(verdict->anomalies | result.anomalies);
    verdict->rtt_ns = result.rtt_ns;
    verdict->retransmission = result.retransmission;
    return result.established;
}

static void emit_anomalies(struct fs_tracker *tracker, const struct fs_event *base, unsigned anomalies) {
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        if (!(anomalies >> bit & 1))
            continue;
        tracker->stats.anomalies[bit]++;
        if (!wants(tracker, FS_EVENT_ANOMALY))
            continue;
        struct fs_event event = *base;
        event.kind = FS_EVENT_ANOMALY;
        event.anomaly = 1U << bit;
        emit(tracker, &event);
    }
}

static void emit_kind(struct fs_tracker *tracker, const struct fs_event *base, enum fs_event_kind kind) {
    if (!wants(tracker, kind))
        return;
    struct fs_event event = *base;
    event.kind = kind;
    emit(tracker, &event);
}

static bool tick_is_due(struct fs_tracker *tracker, uint32_t number, uint64_t now_ns) {
    if (!tracker->config.tick_ns)
        return false;
    struct fs__extra *extra = fs__extra_at(&tracker->table, number);
    if (now_ns < extra->tick_ns || now_ns - extra->tick_ns < tracker->config.tick_ns)
        return false;
    extra->tick_ns = now_ns;
    return true;
}

static void emit_packet(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet, unsigned side,
                        uint8_t from, bool opened, const struct fs_verdict *verdict) {
    const struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    struct fs_event base = {.flow = number,
                            .time_ns = packet->time_ns,
                            .packet = packet,
                            .side = (uint8_t)side,
                            .from = from,
                            .to = flow->state};
    if (FS__UNLIKELY(verdict->anomalies != 0))
        emit_anomalies(tracker, &base, verdict->anomalies);
    if (opened)
        emit_kind(tracker, &base, FS_EVENT_ESTABLISHED);
    else if (from != flow->state)
        emit_kind(tracker, &base, FS_EVENT_STATE);
    emit_kind(tracker, &base, FS_EVENT_PACKET);
    if (tick_is_due(tracker, number, packet->time_ns))
        emit_kind(tracker, &base, FS_EVENT_TICK);
}

/* A change of state may change the timeout. A longer one is found out when the wheel gets there. */
static void renew_timeout(struct fs_tracker *tracker, uint32_t number, struct fs__flow *flow) {
    unsigned class = class_for(tracker, flow);
    if (class == timeout_class(flow))
        return;
    uint64_t before = timeout_of(tracker, number, flow);
    set_timeout_class(flow, class);
    if (timeout_of(tracker, number, flow) >= before)
        return;
    fs__expiry_unlink(&tracker->expiry, number);
    fs__expiry_link(&tracker->expiry, number, deadline_of(tracker, number));
}

/* Whose packets may take the steady way from now on. */
static uint8_t steady_sides(const struct fs_tracker *tracker, const struct fs__flow *flow) {
    if (flow->tcp == FS__NONE)
        return flow->bits >> FS__SEEN_SHIFT & 3;
    if (flow->state != FS_STATE_ESTABLISHED || !(flow->bits & FS__OPENED))
        return 0;
    return (uint8_t)fs__tcp_steady_sides(fs__tcp_at(&tracker->table, flow->tcp),
                                         fs__tcp_more_at(&tracker->table, flow->tcp));
}

static void update(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet,
                   struct fs_verdict *verdict) {
    struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    unsigned side = (packet->orientation & 1U) ^ (flow->bits & FS__ORIENTATION);
    uint8_t from = flow->state;
    bool established = false;
    count(tracker, number, flow, side, packet, verdict);
    if (tracker->config.use_flow_label)
        fs__extra_at(&tracker->table, number)->label[packet->orientation & 1] = label_of(packet);
    if (flow->tcp == FS__NONE) {
        established = (flow->bits >> FS__SEEN_SHIFT & 3) == 3;
        flow->state = established ? FS_STATE_TWO_WAY : FS_STATE_ONE_WAY;
    } else if (has_a_say(packet)) {
        established = run_tcp(tracker, flow, side, packet, verdict);
    }
    bool opened = established && !(flow->bits & FS__OPENED);
    if (opened)
        flow->bits |= FS__OPENED;
    if (from != flow->state)
        renew_timeout(tracker, number, flow);
    flow->steady = tracker->has_steady_way ? steady_sides(tracker, flow) : 0;
    verdict->side = (uint8_t)side;
    verdict->state = flow->state;
    emit_packet(tracker, number, packet, side, from, opened, verdict);
}

/* Returns whether there is one. */
static bool name_flow(const struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t tag,
                      struct fs_verdict *verdict) {
    uint32_t number = find_flow(tracker, packet, tag);
    if (number == FS__NONE)
        return false;
    const struct fs__flow *flow = fs__flow_at(&tracker->table, number);
    const struct fs__counts *counts = &flow->counts;
    verdict->flow = number;
    verdict->flow_id = id_of(counts);
    verdict->bytes = counts->wire[0] + counts->wire[1];
    verdict->side = (uint8_t)((packet->orientation & 1U) ^ (flow->bits & FS__ORIENTATION));
    verdict->state = flow->state;
    return true;
}

static void name_quoted_flow(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t tag,
                             struct fs_verdict *verdict) {
    verdict->quoted = true;
    if (name_flow(tracker, packet, tag, verdict))
        tracker->stats.quoted++;
    else
        tracker->stats.quoted_unknown++;
}

static void verdict_init(struct fs_verdict *verdict, const struct fs_packet *packet) {
    memset(verdict, 0, sizeof *verdict);
    verdict->flow_id = FS_NO_FLOW;
    verdict->rtt_ns = FS_NO_TIME;
    verdict->flow = FS_NO_NUMBER;
    verdict->orientation = packet->orientation & 1U;
}

int fs_tracker_name(const struct fs_tracker *tracker, const struct fs_packet *packet, struct fs_verdict *verdict) {
    verdict_init(verdict, packet);
    return name_flow(tracker, packet, tag_of(tracker, &packet->key), verdict) ? FS_OK : FS_ERR_NOT_FOUND;
}

static bool is_hot(const struct fs_tracker *tracker, const struct fs_packet *packet) {
    return tracker->hot != FS__NONE && fs__key_equal(&tracker->hot_flow->key, &packet->key);
}

static void set_hot(struct fs_tracker *tracker, uint32_t number, struct fs__flow *flow) {
    tracker->hot = number;
    tracker->hot_flow = flow;
}

/* `number`: the flow of the packet's key, or FS__NONE. */
static FS__NOINLINE int track_found(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t number,
                                    uint32_t parent, struct fs_verdict *verdict) {
    uint8_t marks = 0;
    verdict_init(verdict, packet);
    if (number != FS__NONE && makes_way(tracker, number, packet, verdict, &marks))
        number = FS__NONE;
    if (number == FS__NONE) {
        number = make_room_and_create(tracker, packet, parent, verdict);
        if (number == FS__NONE) {
            tracker->stats.unallocated++;
            return FS_ERR_NOMEM;
        }
        fs__flow_at(&tracker->table, number)->marks |= marks;
    }
    if (!tracker->config.use_flow_label)
        set_hot(tracker, number, fs__flow_at(&tracker->table, number));
    tracker->stats.packets++;
    verdict->flow = number;
    update(tracker, number, packet, verdict);
    if (FS__UNLIKELY(verdict->state >= FS_STATE_CLOSED) &&
        timeout_of(tracker, number, fs__flow_at(&tracker->table, number)) == 0) {
        verdict->ended = true; /* no tombstone */
        end_flow(tracker, number, FS_END_IDLE, packet->time_ns, packet);
    }
    return FS_OK;
}

/* ---- the steady way ---- */

/* Neither tells something about the flow but its counters. */
enum {
    UNSTEADY = FS_PACKET_QUOTED | FS_PACKET_TRUNCATED | FS_PACKET_FIRST_FRAGMENT | FS_PACKET_LATER_FRAGMENT |
               FS_PACKET_DUPLICATE
};

static FS__NOINLINE void emit_steady(struct fs_tracker *tracker, uint32_t number, const struct fs_packet *packet,
                                     const struct fs_verdict *verdict) {
    struct fs_event event = {.kind = FS_EVENT_PACKET,
                             .flow = number,
                             .time_ns = packet->time_ns,
                             .packet = packet,
                             .side = verdict->side,
                             .from = verdict->state,
                             .to = verdict->state};
    emit(tracker, &event);
}

static FS__INLINE void count_steady(struct fs__flow *flow, unsigned side, const struct fs_packet *packet,
                                    struct fs_verdict *verdict) {
    struct fs__counts *counts = &flow->counts;
    counts->packets[side]++;
    counts->wire[side] += packet->wire_len;
    counts->ip[side] += packet->ip_len;
    counts->payload[side] += packet->payload_len;
    verdict->flow_id = id_of(counts);
    verdict->packet = packets_of_both(counts);
    verdict->bytes = counts->wire[0] + counts->wire[1];
    verdict->previous_frame = flow->last_frame;
    flow->last_frame = packet->frame;
    flow->last_ns = packet->time_ns;
}

/* What a segment of the steady way leaves to be counted. Returns the round-trip time that it measured. */
static FS__NOINLINE uint64_t settle_segment(struct fs_tracker *tracker, struct fs__flow *flow, unsigned side,
                                            uint64_t now_ns, unsigned result) {
    struct fs__tcp_more *more = fs__tcp_more_at(&tracker->table, flow->tcp);
    if ((result & FS__RETRANSMITTED) && fs__tcp_count_retransmission(more, side))
        flow->marks |= FS_MARK_HISTORY_FULL;
    if (!(result & FS__TIMER_COVERED))
        return FS_NO_TIME;
    unsigned other = side ^ 1U;
    return fs__tcp_stop_timer(&fs__tcp_at(&tracker->table, flow->tcp)->side[other], more, other, now_ns);
}

/* Most packets: of a flow that is there and stays as it is. Returns false, with nothing changed, if the packet may be
 * another. */
static FS__INLINE bool track_steady(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t number,
                                    struct fs__flow *flow, struct fs_verdict *verdict) {
    unsigned side = (packet->orientation & 1U) ^ (flow->bits & FS__ORIENTATION);
    unsigned steady = (unsigned)flow->steady >> side;
    if (!(steady & (unsigned)(FS__STEADY_SIDE | FS__FAR_SIDE)) || (packet->flags & UNSTEADY) ||
        flow->counts.packets[side] == UINT32_MAX)
        return false;
    if (packet->time_ns < flow->last_ns ||
        packet->time_ns - flow->last_ns >= tracker->config.timeout_ns[timeout_class(flow)])
        return false;
    unsigned result = 0;
    if (flow->tcp != FS__NONE) {
        struct fs__tcp *tcp = fs__tcp_at(&tracker->table, flow->tcp);
        if (packet->flags & FS_PACKET_HAS_TCP)
            result =
                fs__tcp_steady_segment(&tcp->side[side], &tcp->side[side ^ 1U], (steady & FS__FAR_SIDE) != 0, packet);
        if (!result)
            return false;
    }
    memset(&verdict->anomalies, 0, sizeof *verdict - offsetof(struct fs_verdict, anomalies));
    verdict->flow = number;
    verdict->side = (uint8_t)side;
    verdict->orientation = packet->orientation & 1U;
    verdict->state = flow->state;
    verdict->rtt_ns = FS_NO_TIME;
    count_steady(flow, side, packet, verdict);
    tracker->stats.packets++;
    set_hot(tracker, number, flow);
    if (result > FS__STEADY) {
        verdict->retransmission = (result & FS__RETRANSMITTED) != 0;
        verdict->rtt_ns = settle_segment(tracker, flow, side, packet->time_ns, result);
    }
    if (wants(tracker, FS_EVENT_PACKET))
        emit_steady(tracker, number, packet, verdict);
    return true;
}

static FS__COLD int track_quoted(struct fs_tracker *tracker, const struct fs_packet *packet,
                                 struct fs_verdict *verdict) {
    verdict_init(verdict, packet);
    name_quoted_flow(tracker, packet, tag_of(tracker, &packet->key), verdict);
    return FS_OK;
}

static FS__NOINLINE uint32_t find_hashed(const struct fs_tracker *tracker, const struct fs_packet *packet) {
    return find_flow(tracker, packet, tag_of(tracker, &packet->key));
}

int fs_tracker_track(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t parent,
                     struct fs_verdict *verdict) {
    if (FS__UNLIKELY(packet->flags & FS_PACKET_QUOTED))
        return track_quoted(tracker, packet, verdict);
    advance(tracker, packet->time_ns);
    uint32_t number = tracker->hot;
    if (!is_hot(tracker, packet))
        number = find_hashed(tracker, packet);
    if (number != FS__NONE && track_steady(tracker, packet, number, fs__flow_at(&tracker->table, number), verdict))
        return FS_OK;
    return track_found(tracker, packet, number, parent, verdict);
}

/* ---- batches ---- */

enum { GROUP = 32 };

/* A packet of the group before may have ended the flow, and another one may have its number. */
static bool still_is(const struct fs_tracker *tracker, uint32_t guess, const struct fs_packet *packet) {
    if (guess == FS__NONE || tracker->config.use_flow_label)
        return false;
    const struct fs__flow *flow = fs__flow_at(&tracker->table, guess);
    return (flow->bits & FS__LIVE) && fs__key_equal(&flow->key, &packet->key);
}

static int track_guessed(struct fs_tracker *tracker, const struct fs_packet *packet, uint32_t tag, uint32_t guess,
                         struct fs_verdict *verdict) {
    if (FS__UNLIKELY(packet->flags & FS_PACKET_QUOTED))
        return track_quoted(tracker, packet, verdict);
    advance(tracker, packet->time_ns);
    uint32_t number = still_is(tracker, guess, packet) ? guess : find_flow(tracker, packet, tag);
    if (number != FS__NONE && track_steady(tracker, packet, number, fs__flow_at(&tracker->table, number), verdict))
        return FS_OK;
    return track_found(tracker, packet, number, FS__NONE, verdict);
}

/* Each round asks for what the next one reads, so that the misses of a group overlap. */
static int track_group(struct fs_tracker *tracker, const struct fs_packet *packets, size_t count,
                       struct fs_verdict *verdicts) {
    const struct fs__flow_table *table = &tracker->table;
    uint32_t tags[GROUP];
    uint32_t guesses[GROUP];
    for (size_t i = 0; i < count; i++) {
        tags[i] = tag_of(tracker, &packets[i].key);
        FS__PREFETCH(&table->index[tags[i] & table->mask]);
    }
    for (size_t i = 0; i < count; i++) {
        guesses[i] = FS__NONE;
        for (uint32_t at = tags[i] & table->mask; table->index[at].flow != FS__NONE; at = (at + 1) & table->mask) {
            if (table->index[at].tag != tags[i])
                continue;
            guesses[i] = table->index[at].flow;
            FS__PREFETCH(&fs__flow_at(table, guesses[i])->key);
            FS__PREFETCH(&fs__flow_at(table, guesses[i])->counts);
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (guesses[i] == FS__NONE)
            continue;
        uint32_t tcp = fs__flow_at(table, guesses[i])->tcp;
        if (tcp == FS__NONE)
            continue;
        FS__PREFETCH(fs__tcp_at(table, tcp));
        FS__PREFETCH(fs__tcp_more_at(table, tcp));
    }
    int result = FS_OK;
    for (size_t i = 0; i < count; i++) {
        int error = track_guessed(tracker, &packets[i], tags[i], guesses[i], &verdicts[i]);
        result = error ? error : result;
    }
    return result;
}

int fs_tracker_track_batch(struct fs_tracker *tracker, const struct fs_packet *packets, size_t count,
                           struct fs_verdict *verdicts) {
    int result = FS_OK;
    for (size_t done = 0; done < count; done += GROUP) {
        size_t left = count - done;
        int error = track_group(tracker, packets + done, left < GROUP ? left : GROUP, verdicts + done);
        result = error ? error : result;
    }
    return result;
}

/* ---- ends asked for ---- */

size_t fs_tracker_sweep(struct fs_tracker *tracker, uint64_t now_ns) {
    return sweep(tracker, now_ns);
}

int fs_tracker_close(struct fs_tracker *tracker, uint32_t flow) {
    if (!fs__is_live(&tracker->table, flow))
        return FS_ERR_NOT_FOUND;
    end_flow(tracker, flow, FS_END_FORCED, fs__flow_at(&tracker->table, flow)->last_ns, NULL);
    return FS_OK;
}

/* Merge two lists, chained by fs__cold.next and sorted by id. */
static uint32_t merge(const struct fs__flow_table *table, uint32_t a, uint32_t b) {
    uint32_t first = FS__NONE;
    uint32_t *link = &first;
    while (a != FS__NONE && b != FS__NONE) {
        bool take_a = id_of(&fs__flow_at(table, a)->counts) < id_of(&fs__flow_at(table, b)->counts);
        uint32_t *from = take_a ? &a : &b;
        *link = *from;
        link = &fs__cold_at(table, *from)->next;
        *from = *link;
    }
    *link = a != FS__NONE ? a : b;
    return first;
}

/* All live flows, out of the wheel, in order of creation: a merge sort that needs no memory. */
static uint32_t detach_all_sorted(struct fs_tracker *tracker) {
    struct fs__flow_table *table = &tracker->table;
    uint32_t runs[32]; /* runs[i]: a sorted list of 2^i flows, or none */
    memset(runs, 0xff, sizeof runs);
    for (uint32_t number = 0; number < table->flows.used; number++) {
        if (!fs__is_live(table, number))
            continue;
        fs__expiry_unlink(&tracker->expiry, number);
        fs__cold_at(table, number)->next = FS__NONE;
        uint32_t run = number;
        unsigned i = 0;
        for (; i < 31 && runs[i] != FS__NONE; i++) {
            run = merge(table, runs[i], run);
            runs[i] = FS__NONE;
        }
        runs[i] = run;
    }
    uint32_t sorted = FS__NONE;
    for (unsigned i = 0; i < 32; i++)
        sorted = merge(table, runs[i], sorted);
    return sorted;
}

void fs_tracker_finish(struct fs_tracker *tracker) {
    uint32_t number = detach_all_sorted(tracker);
    while (number != FS__NONE) {
        uint32_t next = fs__cold_at(&tracker->table, number)->next;
        end_unlinked(tracker, number, FS_END_INPUT, fs__flow_at(&tracker->table, number)->last_ns, NULL);
        number = next;
    }
}

/* ---- looking at flows ---- */

uint32_t fs_tracker_find(const struct fs_tracker *tracker, const struct fs_key *key) {
    return lookup(&tracker->table, key, tag_of(tracker, key));
}

uint32_t fs_tracker_next(const struct fs_tracker *tracker, uint32_t flow) {
    uint32_t number = flow == FS_NO_NUMBER ? 0 : flow + 1;
    for (; number < tracker->table.flows.used; number++) {
        if (fs__is_live(&tracker->table, number))
            return number;
    }
    return FS_NO_NUMBER;
}

static void datagram_history(const struct fs__flow *flow, struct fs_flow_info *info) {
    char *at = info->history;
    if (flow->bits >> FS__SEEN_SHIFT & 1)
        *at++ = 'D';
    if (flow->bits >> FS__SEEN_SHIFT & 2)
        *at++ = 'd';
    *at = '\0';
    bool udp = flow->key.protocol == FS_PROTO_UDP;
    const char *name = !udp ? "OTH" : flow->state == FS_STATE_TWO_WAY ? "SF" : "S0";
    memcpy(info->conn_state, name, strlen(name) + 1);
}

static void counter_info(const struct fs__counts *counts, struct fs_flow_info *info) {
    for (unsigned side = 0; side < 2; side++) {
        info->side[side].packets = packets_of(counts, side);
        info->side[side].wire_bytes = counts->wire[side];
        info->side[side].ip_bytes = counts->ip[side];
        info->side[side].payload_bytes = counts->payload[side];
    }
}

static void copy_info(const struct fs_tracker *tracker, uint32_t number, struct fs_flow_info *info) {
    const struct fs__flow_table *table = &tracker->table;
    const struct fs__flow *flow = fs__flow_at(table, number);
    const struct fs__counts *counts = &flow->counts;
    const struct fs__cold *cold = fs__cold_at(table, number);
    memset(info, 0, sizeof *info);
    info->id = id_of(counts);
    info->parent = cold->parent_distance ? info->id - cold->parent_distance : FS_NO_FLOW;
    info->key = flow->key;
    info->first_ns = cold->first_ns;
    info->last_ns = flow->last_ns;
    info->first_frame = cold->first_frame;
    info->last_frame = flow->last_frame;
    counter_info(counts, info);
    for (unsigned side = 0; tracker->config.count_duplicates && side < 2; side++)
        info->side[side].duplicates = fs__extra_at(table, number)->duplicates[side];
    info->marks = flow->marks;
    if ((flow->bits >> FS__SEEN_SHIFT & 3) != 3)
        info->marks |= FS_MARK_ONE_SIDED;
    info->state = flow->state;
    info->end = tracker->ending == number ? tracker->ending_as : FS_END_LIVE;
    info->ended_by = tracker->ending == number ? tracker->ending_by : FS_END_LIVE;
    info->initiator_orientation = flow->bits & FS__ORIENTATION;
    info->is_tcp = flow->tcp != FS__NONE;
    info->handshake_syn_ns = info->handshake_ack_ns = info->closed_ns = FS_NO_TIME;
    if (info->is_tcp)
        fs__tcp_info(fs__tcp_at(table, flow->tcp), fs__tcp_more_at(table, flow->tcp), info);
    else
        datagram_history(flow, info);
}

int fs_tracker_flow_info(const struct fs_tracker *tracker, uint32_t flow, struct fs_flow_info *info) {
    if (!fs__is_live(&tracker->table, flow))
        return FS_ERR_NOT_FOUND;
    copy_info(tracker, flow, info);
    return FS_OK;
}

int fs_tracker_add_gap(struct fs_tracker *tracker, uint32_t flow, enum fs_side side) {
    if (!fs__is_live(&tracker->table, flow))
        return FS_ERR_NOT_FOUND;
    struct fs__flow *entry = fs__flow_at(&tracker->table, flow);
    if (entry->tcp == FS__NONE)
        return FS_ERR_NOT_FOUND;
    struct fs__tcp_more *more = fs__tcp_more_at(&tracker->table, entry->tcp);
    fs__tcp_history_gap(more, (unsigned)side & 1U);
    if (fs__tcp_history_full(more))
        entry->marks |= FS_MARK_HISTORY_FULL;
    return FS_OK;
}

uint64_t fs_tracker_flow_id(const struct fs_tracker *tracker, uint32_t flow) {
    return fs__is_live(&tracker->table, flow) ? id_of(&fs__flow_at(&tracker->table, flow)->counts) : FS_NO_FLOW;
}

void *fs_tracker_flow_user(const struct fs_tracker *tracker, uint32_t flow) {
    return fs__is_live(&tracker->table, flow) ? fs__cold_at(&tracker->table, flow)->user : NULL;
}

int fs_tracker_set_flow_user(struct fs_tracker *tracker, uint32_t flow, void *flow_user) {
    if (!fs__is_live(&tracker->table, flow))
        return FS_ERR_NOT_FOUND;
    fs__cold_at(&tracker->table, flow)->user = flow_user;
    return FS_OK;
}

void fs_tracker_get_stats(const struct fs_tracker *tracker, struct fs_tracker_stats *stats) {
    *stats = tracker->stats;
    stats->live = tracker->table.live;
}

void fs_tracker_stats_add(struct fs_tracker_stats *sum, const struct fs_tracker_stats *other) {
    sum->packets += other->packets;
    sum->duplicates += other->duplicates;
    sum->quoted += other->quoted;
    sum->quoted_unknown += other->quoted_unknown;
    sum->unallocated += other->unallocated;
    sum->created += other->created;
    for (unsigned i = 0; i < FS_END_COUNT; i++)
        sum->ended[i] += other->ended[i];
    for (unsigned i = 0; i < FS_ANOMALY_COUNT; i++)
        sum->anomalies[i] += other->anomalies[i];
    sum->live += other->live;
}

size_t fs_tracker_memory(const struct fs_tracker *tracker) {
    return tracker->memory.bytes;
}

size_t fs__tracker_longest_probe(const struct fs_tracker *tracker) {
    return fs__flow_table_longest_probe(&tracker->table);
}

/* ---- creation ---- */

/* In seconds, in the order of enum fs_timeout_class. */
static const struct {
    const char *name;
    uint16_t seconds[FS_TIMEOUT_COUNT];
} timeouts_of[] = {
    {"flowscope", {60, 300, 60, 60, 30, 0, 0}},
    /* scripts/base/init-bare.zeek: tcp_attempt_delay 5 s, tcp_inactivity_timeout 5 min, tcp_close_delay 5 s,
     * udp_inactivity_timeout, icmp_inactivity_timeout and unknown_ip_inactivity_timeout 1 min. */
    {"zeek", {5, 300, 5, 60, 60, 0, 0}},
    /* suricata.yaml.in, flow-timeouts: tcp new 60, established 600, closed 60; udp, icmp and default new 30,
     * established 300. */
    {"suricata", {60, 600, 60, 300, 300, 30, 30}},
};

int fs_timeouts_like(struct fs_tracker_config *config, const char *name) {
    for (size_t i = 0; i < sizeof timeouts_of / sizeof timeouts_of[0]; i++) {
        if (strcmp(name, timeouts_of[i].name) != 0)
            continue;
        for (unsigned class = 0; class < FS_TIMEOUT_COUNT; class ++)
            config->timeout_ns[class] = timeouts_of[i].seconds[class] * (uint64_t)1000000000;
        return FS_OK;
    }
    return FS_ERR_INVALID;
}

void fs_tracker_config_defaults(struct fs_tracker_config *config) {
    memset(config, 0, sizeof *config);
    (void)fs_timeouts_like(config, "flowscope");
    config->max_flows = 1000000;
    config->auto_sweep = true;
    config->roles_by_syn = true;
    config->events = ((1U << FS_EVENT_COUNT) - 1) & ~(1U << FS_EVENT_PACKET) & ~(1U << FS_EVENT_TICK);
}

static bool config_is_valid(const struct fs_tracker_config *config) {
    if (config->max_flows < 1 || config->max_flows > FS_MAX_FLOWS)
        return false;
    for (unsigned i = 0; i < FS_TIMEOUT_COUNT; i++) {
        bool may_be_zero = i == FS_TIMEOUT_TCP_CLOSED || i == FS_TIMEOUT_UDP_ONE_WAY || i == FS_TIMEOUT_OTHER_ONE_WAY;
        if (config->timeout_ns[i] == 0 && !may_be_zero)
            return false;
    }
    return !(config->events >> FS_EVENT_COUNT);
}

static uint64_t longest_timeout(const struct fs_tracker_config *config) {
    uint64_t longest = 0;
    for (unsigned i = 0; i < FS_TIMEOUT_COUNT; i++)
        longest = config->timeout_ns[i] > longest ? config->timeout_ns[i] : longest;
    return longest;
}

struct fs_tracker *fs_tracker_new(const struct fs_tracker_config *config, const struct fs_allocator *allocator) {
    struct fs_tracker_config defaults;
    if (!config) {
        fs_tracker_config_defaults(&defaults);
        config = &defaults;
    }
    if (!config_is_valid(config))
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_tracker *tracker = fs__alloc(&memory, sizeof *tracker);
    if (!tracker)
        return NULL;
    memset(tracker, 0, sizeof *tracker);
    tracker->memory = memory;
    tracker->config = *config;
    if (!config->on_event)
        tracker->config.events = 0;
    if (!config->seed)
        tracker->config.seed = (uint64_t)(uintptr_t)tracker * 0x9e3779b97f4a7c15U;
    tracker->secret = fs__key_secret_of(tracker->config.seed);
    tracker->hot = tracker->ending = FS__NONE;
    bool has_extra = config->use_flow_label || config->tick_ns || config->idle_timeout || config->count_duplicates;
    if (fs__flow_table_init(&tracker->table, &tracker->memory, has_extra) != FS_OK) {
        fs_tracker_free(tracker);
        return NULL;
    }
    tracker->has_steady_way = !config->use_flow_label && !config->tick_ns && !config->idle_timeout;
    fs__expiry_init(&tracker->expiry, &tracker->table, longest_timeout(config));
    return tracker;
}

void fs_tracker_free(struct fs_tracker *tracker) {
    if (!tracker)
        return;
    for (uint32_t number = 0; tracker->config.destroy_flow_user && number < tracker->table.flows.used; number++) {
        void *flow_user = fs_tracker_flow_user(tracker, number);
        if (flow_user)
            tracker->config.destroy_flow_user(flow_user, tracker->config.user);
    }
    fs__flow_table_free(&tracker->table);
    struct fs__memory memory = tracker->memory;
    fs__release(&memory, tracker, sizeof *tracker);
}
