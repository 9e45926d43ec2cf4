/* SPDX-License-Identifier: MIT */
#include "flowscope/pipeline.h"

#include "allocation.h"
#include "tcp.h"

#include <string.h>

/* What is kept of a flow here. */
struct fs__streams {
    struct fs_reassembler *side[2];
    struct fs_session *session;
    uint8_t protocol; /* of its session that is over */
    bool is_over;     /* no session will be made */
};

struct fs_pipeline {
    struct fs__memory memory;
    struct fs_pipeline_config config;
    struct fs_tracker *tracker;
    struct fs_reassembly *reassembly;
    struct fs_sessions *sessions;
    struct fs_dedup *dedup;      /* NULL: not asked for */
    struct fs__streams *streams; /* by flow number */
    uint32_t stream_room;
    /* Of the call at hand. */
    const struct fs_packet *packets;
    struct fs_segment_verdict *segments;
    size_t count;
    bool conflict;                  /* found with the packet at hand */
    bool ending;                    /* the streams at hand are being flushed */
    struct fs_pipeline_stats stats; /* without those of the stages */
    uint64_t anomalies[FS_ANOMALY_COUNT];
};

/* ---- a flow's entry ---- */

/* A stream's name at the reassembler: flow numbers have 31 bits. */
static void *stream_name(uint32_t flow, unsigned side) {
    return (void *)(uintptr_t)(flow << 1 | side);
}

static struct fs_reassembler *stream_of(const struct fs_pipeline *pipeline, uint32_t flow, unsigned side) {
    return flow < pipeline->stream_room ? pipeline->streams[flow].side[side] : NULL;
}

static bool make_room(struct fs_pipeline *pipeline, uint32_t flow) {
    enum { ROOM_MINIMUM = 64 };
    if (flow < pipeline->stream_room)
        return true;
    uint64_t room = pipeline->stream_room ? pipeline->stream_room : ROOM_MINIMUM;
    while (room <= flow)
        room *= 2;
    if (room > SIZE_MAX / sizeof *pipeline->streams || room > UINT32_MAX)
        return false;
    struct fs__streams *streams = fs__alloc(&pipeline->memory, (size_t)room * sizeof *streams);
    if (!streams)
        return false;
    size_t used = pipeline->stream_room * sizeof *streams;
    if (used)
        memcpy(streams, pipeline->streams, used);
    memset(streams + pipeline->stream_room, 0, (size_t)room * sizeof *streams - used);
    fs__release(&pipeline->memory, pipeline->streams, used);
    pipeline->streams = streams;
    pipeline->stream_room = (uint32_t)room;
    return true;
}

/* ---- sessions ---- */

static void on_message(void *flow_user, const struct fs_message *message, void *user) {
    struct fs_pipeline *pipeline = user;
    if (pipeline->config.on_message)
        pipeline->config.on_message(pipeline, (uint32_t)(uintptr_t)flow_user, message, pipeline->config.message_user);
}

static struct fs_session *open_session(struct fs_pipeline *pipeline, uint32_t flow) {
    struct fs_flow_info info;
    fs_tracker_flow_info(pipeline->tracker, flow, &info);
    struct fs_session_flow about = {.key = info.key,
                                    .initiator_orientation = info.initiator_orientation,
                                    .from_middle = (info.marks & FS_MARK_MIDSTREAM) != 0,
                                    .user = (void *)(uintptr_t)flow};
    struct fs_session *session = fs_session_new(pipeline->sessions, &about);
    pipeline->streams[flow].session = session;
    pipeline->streams[flow].is_over = !session;
    return session;
}

/* What is over makes room for others. */
static void settle_session(struct fs__streams *entry) {
    if (!fs_session_is_over(entry->session))
        return;
    entry->protocol = fs_session_protocol(entry->session);
    fs_session_free(entry->session);
    entry->session = NULL;
    entry->is_over = true;
}

static void tell_session(struct fs_pipeline *pipeline, uint32_t flow, unsigned side,
                         const struct fs_stream_event *event) {
    struct fs__streams *entry = &pipeline->streams[flow];
    struct fs_session *session = entry->session;
    if (!session && event->kind == FS_STREAM_DATA)
        session = open_session(pipeline, flow);
    if (!session)
        return;
    struct fs_chunk chunk = {.data = event->kind == FS_STREAM_DATA ? event->data : NULL,
                             .length = event->length,
                             .offset = event->offset,
                             .time_ns = event->time_ns,
                             .frame = event->frame,
                             .side = (uint8_t)side};
    if (event->kind == FS_STREAM_DATA || event->kind == FS_STREAM_GAP)
        fs_session_feed(session, &chunk);
    else if (event->kind == FS_STREAM_ENDED && event->end == FS_STREAM_FIN)
        fs_session_fin(session, (enum fs_side)side, event->time_ns, event->frame);
    settle_session(entry);
}

static void tick_session(struct fs__streams *entry, uint64_t now_ns) {
    if (!entry->session)
        return;
    fs_session_tick(entry->session, now_ns);
    settle_session(entry);
}

static void end_session(struct fs_pipeline *pipeline, const struct fs_event *event, bool reset) {
    struct fs__streams *entry = event->flow < pipeline->stream_room ? &pipeline->streams[event->flow] : NULL;
    if (!entry || !entry->session)
        return;
    fs_session_end(entry->session, reset, event->time_ns, event->packet ? event->packet->frame : 0);
    settle_session(entry);
}

/* ---- streams ---- */

static void note_gap(struct fs_pipeline *pipeline, uint32_t flow, unsigned side) {
    struct fs_stream_info info;
    if (pipeline->ending)
        return; /* nobody acknowledged these bytes: they may never have been sent */
    fs_reassembler_info(stream_of(pipeline, flow, side), &info);
    if (fs__is_power_of_ten(info.gaps))
        (void)fs_tracker_add_gap(pipeline->tracker, flow, (enum fs_side)side);
}

static void on_stream_event(void *stream_user, const struct fs_stream_event *event, void *user) {
    struct fs_pipeline *pipeline = user;
    uint32_t name = (uint32_t)(uintptr_t)stream_user;
    uint32_t flow = name >> 1;
    unsigned side = name & 1;
    if (event->kind == FS_STREAM_GAP && !event->uncaptured)
        note_gap(pipeline, flow, side);
    pipeline->conflict |= event->kind == FS_STREAM_CONFLICT;
    if (pipeline->config.on_stream)
        pipeline->config.on_stream(pipeline, flow, (enum fs_side)side, event, pipeline->config.stream_user);
    if (pipeline->sessions && !pipeline->streams[flow].is_over)
        tell_session(pipeline, flow, side, event);
}

/* Made when there is something to put together: most sides that only acknowledge never get one. */
static struct fs_reassembler *make_stream(struct fs_pipeline *pipeline, uint32_t flow, unsigned side) {
    struct fs_flow_info info;
    if (!make_room(pipeline, flow))
        return NULL;
    struct fs__streams *streams = &pipeline->streams[flow];
    struct fs_reassembler *stream =
        fs_reassembler_new(pipeline->reassembly, streams->side[!side], stream_name(flow, side));
    if (!stream)
        return NULL;
    fs_tracker_flow_info(pipeline->tracker, flow, &info);
    fs_reassembler_begin(stream, info.tcp[side].isn + 1, !(info.tcp[side].flags & FS_TCP_SYN));
    if (info.handshake_syn_ns != FS_NO_TIME && info.handshake_ack_ns != FS_NO_TIME)
        fs_reassembler_set_handshake(stream, info.handshake_syn_ns + info.handshake_ack_ns);
    streams->side[side] = stream;
    return stream;
}

static void flush(struct fs_pipeline *pipeline, const struct fs_event *event, enum fs_stream_end end) {
    uint32_t frame = event->packet ? event->packet->frame : 0;
    pipeline->ending = true;
    for (unsigned side = 0; side < 2; side++) {
        struct fs_reassembler *stream = stream_of(pipeline, event->flow, side);
        if (stream)
            fs_reassembler_flush(stream, end, event->time_ns, frame);
    }
    pipeline->ending = false;
}

static void free_streams(struct fs_pipeline *pipeline, uint32_t flow) {
    if (flow >= pipeline->stream_room)
        return;
    struct fs__streams *entry = &pipeline->streams[flow];
    fs_session_free(entry->session);
    entry->session = NULL;
    entry->protocol = FS_SESSION_NONE;
    entry->is_over = false;
    for (unsigned side = 0; side < 2; side++) {
        fs_reassembler_free(entry->side[side]);
        entry->side[side] = NULL;
    }
}

static bool was_reset(const struct fs_pipeline *pipeline, const struct fs_event *event) {
    struct fs_flow_info info;
    if (!(event->packet->tcp.flags & FS_TCP_RST) || event->flow >= pipeline->stream_room)
        return false;
    fs_tracker_flow_info(pipeline->tracker, event->flow, &info);
    return info.state == FS_STATE_RESET;
}

static void run_segment(struct fs_pipeline *pipeline, const struct fs_event *event,
                        struct fs_segment_verdict *verdict) {
    const struct fs_packet *packet = event->packet;
    if (event->flow < pipeline->stream_room)
        tick_session(&pipeline->streams[event->flow], packet->time_ns);
    struct fs_reassembler *peer = stream_of(pipeline, event->flow, !event->side);
    uint64_t lost_by_peer = 0;
    if (peer) {
        lost_by_peer = fs_reassembler_acknowledge(peer, packet);
        lost_by_peer += fs_reassembler_advance(peer, packet->time_ns);
    }
    struct fs_reassembler *stream = stream_of(pipeline, event->flow, event->side);
    bool brings = packet->payload_len || (packet->tcp.flags & FS_TCP_FIN);
    if (!stream && brings) {
        stream = make_stream(pipeline, event->flow, event->side);
        pipeline->stats.unreassembled += !stream;
    }
    if (stream && brings)
        (void)fs_reassembler_segment(stream, packet, verdict);
    else if (stream)
        verdict->gap_bytes = fs_reassembler_advance(stream, packet->time_ns);
    verdict->peer_gap_bytes = lost_by_peer;
    if (was_reset(pipeline, event)) {
        flush(pipeline, event, FS_STREAM_RST);
        end_session(pipeline, event, true);
    }
}

/* ---- datagrams ---- */

static bool has_datagram(const struct fs_packet *packet) {
    return packet->key.protocol == FS_PROTO_UDP && packet->payload_captured &&
           !(packet->flags & (FS_PACKET_LATER_FRAGMENT | FS_PACKET_CUT_HEADER));
}

static void run_datagram(struct fs_pipeline *pipeline, const struct fs_event *event) {
    const struct fs_packet *packet = event->packet;
    if (!make_room(pipeline, event->flow)) {
        pipeline->stats.session.unmade++;
        return;
    }
    struct fs__streams *entry = &pipeline->streams[event->flow];
    if (entry->is_over)
        return;
    tick_session(entry, packet->time_ns);
    if (entry->is_over || (!entry->session && !open_session(pipeline, event->flow)))
        return;
    struct fs_chunk chunk = {.data = packet->payload,
                             .length = packet->payload_captured,
                             .time_ns = packet->time_ns,
                             .missing = packet->payload_len - packet->payload_captured,
                             .frame = packet->frame,
                             .side = event->side};
    chunk.missing += (packet->flags & FS_PACKET_FIRST_FRAGMENT) != 0;
    fs_session_feed(entry->session, &chunk);
    settle_session(entry);
}

/* ---- events of the tracker ---- */

static void forward(const struct fs_pipeline *pipeline, const struct fs_event *event) {
    const struct fs_tracker_config *config = &pipeline->config.tracker;
    if (config->on_event && (config->events >> event->kind & 1))
        config->on_event(pipeline->tracker, event, config->user);
}

static void report(struct fs_pipeline *pipeline, const struct fs_event *base, unsigned anomaly) {
    struct fs_event event = *base;
    event.kind = FS_EVENT_ANOMALY;
    event.anomaly = anomaly;
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++)
        pipeline->anomalies[bit] += anomaly >> bit & 1;
    forward(pipeline, &event);
}

static bool has_gap(const struct fs_segment_verdict *verdict) {
    return verdict->gap_bytes || verdict->peer_gap_bytes;
}

static void report_stream(struct fs_pipeline *pipeline, const struct fs_event *event,
                          struct fs_segment_verdict *verdict) {
    verdict->conflict = pipeline->conflict;
    if (has_gap(verdict))
        report(pipeline, event, FS_ANOMALY_GAP);
    if (verdict->conflict)
        report(pipeline, event, FS_ANOMALY_CONFLICT);
    if (verdict->limit)
        report(pipeline, event, FS_ANOMALY_LIMIT);
}

/* Which packet of the call at hand the event is of, SIZE_MAX if none; the tracker may have been called by others.
 * Duplicates bring nothing to streams and sessions. */
static size_t packet_of(const struct fs_pipeline *pipeline, const struct fs_event *event) {
    if (event->kind != FS_EVENT_PACKET || (event->packet->flags & FS_PACKET_DUPLICATE))
        return SIZE_MAX;
    uintptr_t at = (uintptr_t)event->packet - (uintptr_t)pipeline->packets;
    size_t i = (size_t)at / sizeof *event->packet;
    return i < pipeline->count ? i : SIZE_MAX;
}

static void on_packet(struct fs_pipeline *pipeline, const struct fs_event *event, size_t i) {
    bool is_segment = pipeline->reassembly && (event->packet->flags & FS_PACKET_HAS_TCP);
    if (is_segment)
        run_segment(pipeline, event, &pipeline->segments[i]);
    else if (pipeline->sessions && has_datagram(event->packet))
        run_datagram(pipeline, event);
    forward(pipeline, event);
    if (is_segment)
        report_stream(pipeline, event, &pipeline->segments[i]);
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct fs_pipeline *pipeline = user;
    size_t i = packet_of(pipeline, event);
    (void)tracker;
    pipeline->conflict = false;
    if (i != SIZE_MAX) {
        on_packet(pipeline, event, i);
        return;
    }
    if (event->kind == FS_EVENT_ENDED) {
        flush(pipeline, event, FS_STREAM_FLUSHED);
        end_session(pipeline, event, false);
    }
    forward(pipeline, event);
    if (event->kind == FS_EVENT_ENDED)
        free_streams(pipeline, event->flow);
}

static void destroy_flow_user(void *flow_user, void *user) {
    const struct fs_tracker_config *config = &((const struct fs_pipeline *)user)->config.tracker;
    if (config->destroy_flow_user)
        config->destroy_flow_user(flow_user, config->user);
}

static uint64_t idle_timeout(const struct fs_packet *packet, void *user) {
    const struct fs_tracker_config *config = &((const struct fs_pipeline *)user)->config.tracker;
    return config->idle_timeout(packet, config->user);
}

/* ---- life ---- */

void fs_pipeline_config_defaults(struct fs_pipeline_config *config) {
    memset(config, 0, sizeof *config);
    fs_tracker_config_defaults(&config->tracker);
    config->reassemble = true;
    fs_reassembly_config_defaults(&config->reassembly);
    config->sessions = true;
    fs_session_config_defaults(&config->session);
    fs_dedup_config_defaults(&config->dedup);
}

static bool make_reassembly(struct fs_pipeline *pipeline, const struct fs_allocator *allocator) {
    struct fs_reassembly_config reassembly = pipeline->config.reassembly;
    reassembly.on_event = on_stream_event;
    reassembly.user = pipeline;
    pipeline->reassembly = fs_reassembly_new(&reassembly, allocator);
    return pipeline->reassembly != NULL;
}

static bool make_sessions(struct fs_pipeline *pipeline, const struct fs_allocator *allocator) {
    struct fs_session_config session = pipeline->config.session;
    session.on_message = on_message;
    session.user = pipeline;
    pipeline->sessions = fs_sessions_new(&session, allocator);
    return pipeline->sessions != NULL;
}

static bool make_dedup(struct fs_pipeline *pipeline, const struct fs_allocator *allocator) {
    const struct fs_pipeline_config *config = &pipeline->config;
    if ((unsigned)config->duplicates >= FS_DUPLICATES_COUNT)
        return false;
    if (config->duplicates == FS_DUPLICATES_IGNORE)
        return true;
    pipeline->dedup = fs_dedup_new(&config->dedup, allocator);
    return pipeline->dedup != NULL;
}

static bool make_stages(struct fs_pipeline *pipeline, const struct fs_allocator *allocator) {
    struct fs_tracker_config tracker = pipeline->config.tracker;
    if (pipeline->config.reassemble && !make_reassembly(pipeline, allocator))
        return false;
    if (pipeline->config.sessions && !make_sessions(pipeline, allocator))
        return false;
    if (!make_dedup(pipeline, allocator))
        return false;
    tracker.count_duplicates |= pipeline->config.duplicates == FS_DUPLICATES_MARK;
    if (pipeline->reassembly || pipeline->sessions) {
        tracker.events |= 1U << FS_EVENT_PACKET | 1U << FS_EVENT_ENDED;
        tracker.on_event = on_event;
        tracker.destroy_flow_user = destroy_flow_user;
        tracker.idle_timeout = tracker.idle_timeout ? idle_timeout : NULL;
        tracker.user = pipeline;
    }
    pipeline->tracker = fs_tracker_new(&tracker, allocator);
    return pipeline->tracker != NULL;
}

struct fs_pipeline *fs_pipeline_new(const struct fs_pipeline_config *config, const struct fs_allocator *allocator) {
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_pipeline *pipeline = fs__alloc(&memory, sizeof *pipeline);
    if (!pipeline)
        return NULL;
    memset(pipeline, 0, sizeof *pipeline);
    pipeline->memory = memory;
    if (config)
        pipeline->config = *config;
    else
        fs_pipeline_config_defaults(&pipeline->config);
    if (!make_stages(pipeline, allocator)) {
        fs_pipeline_free(pipeline);
        return NULL;
    }
    return pipeline;
}

void fs_pipeline_free(struct fs_pipeline *pipeline) {
    if (!pipeline)
        return;
    for (uint32_t flow = 0; flow < pipeline->stream_room; flow++)
        free_streams(pipeline, flow);
    fs_tracker_free(pipeline->tracker);
    fs_reassembly_free(pipeline->reassembly);
    fs_sessions_free(pipeline->sessions);
    fs_dedup_free(pipeline->dedup);
    fs__release(&pipeline->memory, pipeline->streams, pipeline->stream_room * sizeof *pipeline->streams);
    struct fs__memory memory = pipeline->memory;
    fs__release(&memory, pipeline, sizeof *pipeline);
}

/* ---- duplicates ---- */

/* The frame as its descriptors have it: the innermost packet that it carries; false without its bytes. */
static bool frame_of(const struct fs_packet *packets, size_t count, struct fs_dedup_frame *frame) {
    while (count && (packets[count - 1].flags & FS_PACKET_QUOTED))
        count--;
    if (!count || !packets[count - 1].ip)
        return false;
    fs_dedup_frame_set_packet(frame, &packets[count - 1]);
    return true;
}

/* Whether the frame is to be run as a duplicate, by what the detector says of it. */
static bool is_found(struct fs_pipeline *pipeline, const struct fs_dedup_frame *frame, struct fs_dedup_result *result) {
    bool mark = pipeline->config.duplicates == FS_DUPLICATES_MARK;
    bool weak_too = pipeline->config.exclude_weak && !mark;
    bool found = fs_dedup_check(pipeline->dedup, frame, result) == FS_DEDUP_DUPLICATE;
    bool wanted = mark || weak_too || result->evidence == FS_DEDUP_STRONG;
    return (found && wanted) || (weak_too && result->withheld);
}

/* Whether the frame was found to be a duplicate, which `said` says anyway. */
static bool search(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count, bool said,
                   struct fs_compared *compared) {
    struct fs_dedup_frame frame;
    struct fs_dedup_result result = {.hops = FS_DEDUP_NO_HOPS};
    bool found = said;
    if (pipeline->dedup && compared)
        found |= is_found(pipeline, &compared->frame, &result);
    else if (pipeline->dedup && frame_of(packets, count, &frame))
        found |= is_found(pipeline, &frame, &result);
    if (compared) {
        compared->result = result;
        compared->duplicate = found;
    }
    return found;
}

/* Whether the frame is to be run as a duplicate. `compared` may be NULL. */
static inline bool compare(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                           struct fs_compared *compared) {
    bool said = (packets[0].flags & FS_PACKET_DUPLICATE) != 0;
    return pipeline->dedup || compared ? search(pipeline, packets, count, said, compared) : said;
}

static bool is_excluded(const struct fs_pipeline *pipeline, bool duplicate) {
    return duplicate && pipeline->config.duplicates == FS_DUPLICATES_EXCLUDE;
}

static void exclude(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                    struct fs_verdict *verdicts) {
    for (size_t i = 0; i < count; i++) {
        (void)fs_tracker_name(pipeline->tracker, &packets[i], &verdicts[i]);
        verdicts[i].duplicate = true;
        verdicts[i].quoted = (packets[i].flags & FS_PACKET_QUOTED) != 0;
    }
}

/* ---- frames ---- */

static bool parents_are_valid(const struct fs_packet *packets, size_t count, const int *parents) {
    for (size_t i = 0; i < count; i++) {
        if (parents[i] < -1 || parents[i] >= (int)i)
            return false;
        if (parents[i] >= 0 && (packets[parents[i]].flags & FS_PACKET_QUOTED))
            return false;
    }
    return true;
}

/* The flow of the carrier, unless it is gone: an inner packet may have evicted it. */
static uint32_t parent_flow(const struct fs_pipeline *pipeline, const struct fs_verdict *verdicts, int parent) {
    if (parent < 0)
        return FS_NO_NUMBER;
    const struct fs_verdict *carrier = &verdicts[parent];
    bool live = carrier->flow != FS_NO_NUMBER && !carrier->quoted &&
                fs_tracker_flow_id(pipeline->tracker, carrier->flow) == carrier->flow_id;
    return live ? carrier->flow : FS_NO_NUMBER;
}

static void begin_call(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                       struct fs_segment_verdict *segments) {
    pipeline->packets = packets;
    pipeline->segments = segments;
    pipeline->count = count;
    memset(segments, 0, count * sizeof *segments);
}

/* The tracker fills the verdict after its events. */
static void add_anomalies(struct fs_verdict *verdict, const struct fs_segment_verdict *segment) {
    unsigned anomalies = verdict->anomalies;
    anomalies |= has_gap(segment) ? FS_ANOMALY_GAP : 0U;
    anomalies |= segment->conflict ? FS_ANOMALY_CONFLICT : 0U;
    anomalies |= segment->limit ? FS_ANOMALY_LIMIT : 0U;
    verdict->anomalies = (uint16_t)anomalies;
}

/* A copy costs only those who have duplicates. */
static int track_marked(struct fs_pipeline *pipeline, const struct fs_packet *packet, uint32_t parent,
                        struct fs_verdict *verdict) {
    struct fs_packet marked = *packet;
    marked.flags |= FS_PACKET_DUPLICATE;
    return fs_tracker_track(pipeline->tracker, &marked, parent, verdict);
}

static int track_frame(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count, const int *parents,
                       bool duplicate, struct fs_verdict *verdicts) {
    int result = FS_OK;
    bool counted = false;
    for (size_t i = 0; i < count; i++) {
        int parent = parents ? parents[i] : (int)i - 1;
        uint32_t flow = parent_flow(pipeline, verdicts, parent);
        int error = duplicate ? track_marked(pipeline, &packets[i], flow, &verdicts[i])
                              : fs_tracker_track(pipeline->tracker, &packets[i], flow, &verdicts[i]);
        result = error ? error : result;
        add_anomalies(&verdicts[i], &pipeline->segments[i]);
        counted |= verdicts[i].packet != 0;
    }
    pipeline->stats.without_flow += !counted;
    return result;
}

int fs_pipeline_frame(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count, const int *parents,
                      struct fs_compared *compared, struct fs_verdict *verdicts, struct fs_segment_verdict *segments) {
    struct fs_segment_verdict own[FS_FRAME_MAX];
    int result = FS_OK;
    if (count < 1 || count > FS_FRAME_MAX || (parents && !parents_are_valid(packets, count, parents)))
        return FS_ERR_INVALID;
    begin_call(pipeline, packets, count, segments ? segments : own);
    pipeline->stats.frames++;
    pipeline->stats.frame_bytes += packets[0].wire_len;
    bool duplicate = compare(pipeline, packets, count, compared);
    pipeline->stats.duplicates += duplicate;
    if (is_excluded(pipeline, duplicate)) {
        pipeline->stats.excluded++;
        exclude(pipeline, packets, count, verdicts);
    } else {
        result = track_frame(pipeline, packets, count, parents, duplicate, verdicts);
    }
    pipeline->count = 0;
    return result;
}

static void finish_batch(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                         const struct fs_segment_verdict *segments, struct fs_verdict *verdicts) {
    for (size_t i = 0; i < count; i++) {
        bool excluded = is_excluded(pipeline, verdicts[i].duplicate);
        add_anomalies(&verdicts[i], &segments[i]);
        pipeline->stats.frame_bytes += packets[i].wire_len;
        pipeline->stats.excluded += excluded;
        pipeline->stats.without_flow += verdicts[i].packet == 0 && !excluded;
    }
    pipeline->stats.frames += count;
}

/* What lies between duplicates, as batches of its own. */
static int run_batch(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                     struct fs_compared *compared, struct fs_verdict *verdicts, struct fs_segment_verdict *segments) {
    int result = FS_OK;
    begin_call(pipeline, packets, count, segments);
    for (size_t at = 0; at < count; at++) {
        size_t begin = at;
        while (at < count && !compare(pipeline, &packets[at], 1, compared ? &compared[at] : NULL))
            at++;
        int error = fs_tracker_track_batch(pipeline->tracker, packets + begin, at - begin, verdicts + begin);
        result = error ? error : result;
        if (at == count)
            break;
        pipeline->stats.duplicates++;
        if (is_excluded(pipeline, true))
            exclude(pipeline, packets + at, 1, verdicts + at);
        else if ((error = track_marked(pipeline, &packets[at], FS_NO_NUMBER, &verdicts[at])))
            result = error;
    }
    finish_batch(pipeline, packets, count, segments, verdicts);
    pipeline->count = 0;
    return result;
}

int fs_pipeline_batch(struct fs_pipeline *pipeline, const struct fs_packet *packets, size_t count,
                      struct fs_compared *compared, struct fs_verdict *verdicts, struct fs_segment_verdict *segments) {
    struct fs_segment_verdict own[FS_FRAME_MAX];
    int result = FS_OK;
    if (segments)
        return run_batch(pipeline, packets, count, compared, verdicts, segments);
    for (size_t done = 0; done < count; done += FS_FRAME_MAX) {
        size_t part = count - done < FS_FRAME_MAX ? count - done : FS_FRAME_MAX;
        int error = run_batch(pipeline, packets + done, part, compared ? compared + done : NULL, verdicts + done, own);
        result = error ? error : result;
    }
    return result;
}

void fs_pipeline_reject(struct fs_pipeline *pipeline, int reject, uint32_t wire_len, struct fs_compared *compared) {
    if (reject < 0 || reject >= FS_REJECT_COUNT)
        reject = FS_REJECT_NONE;
    pipeline->stats.frames++;
    pipeline->stats.frame_bytes += wire_len;
    pipeline->stats.untracked[reject]++;
    if (compared)
        (void)search(pipeline, NULL, 0, false, compared);
}

void fs_pipeline_tick(struct fs_pipeline *pipeline, uint64_t now_ns) {
    fs_tracker_sweep(pipeline->tracker, now_ns);
}

void fs_pipeline_finish(struct fs_pipeline *pipeline) {
    fs_tracker_finish(pipeline->tracker);
}

struct fs_tracker *fs_pipeline_tracker(struct fs_pipeline *pipeline) {
    return pipeline->tracker;
}

int fs_pipeline_stream_info(const struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                            struct fs_stream_info *info) {
    const struct fs_reassembler *stream = stream_of(pipeline, flow, (unsigned)side & 1U);
    memset(info, 0, sizeof *info);
    if (!stream)
        return FS_ERR_NOT_FOUND;
    fs_reassembler_info(stream, info);
    return FS_OK;
}

uint8_t fs_pipeline_session_protocol(const struct fs_pipeline *pipeline, uint32_t flow) {
    if (flow >= pipeline->stream_room)
        return FS_SESSION_NONE;
    const struct fs__streams *entry = &pipeline->streams[flow];
    return entry->session ? fs_session_protocol(entry->session) : entry->protocol;
}

size_t fs_pipeline_memory(const struct fs_pipeline *pipeline) {
    struct fs_reassembly_stats reassembly = {0};
    struct fs_session_stats session = {.memory_bytes = 0};
    if (pipeline->reassembly)
        fs_reassembly_get_stats(pipeline->reassembly, &reassembly);
    if (pipeline->sessions)
        fs_sessions_get_stats(pipeline->sessions, &session);
    return pipeline->memory.bytes + fs_tracker_memory(pipeline->tracker) + (size_t)reassembly.memory_bytes +
           (size_t)session.memory_bytes + (pipeline->dedup ? fs_dedup_memory(pipeline->dedup) : 0);
}

void fs_pipeline_get_stats(const struct fs_pipeline *pipeline, struct fs_pipeline_stats *stats) {
    *stats = pipeline->stats;
    fs_tracker_get_stats(pipeline->tracker, &stats->tracker);
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++)
        stats->tracker.anomalies[bit] += pipeline->anomalies[bit];
    if (pipeline->reassembly)
        fs_reassembly_get_stats(pipeline->reassembly, &stats->reassembly);
    if (pipeline->sessions)
        fs_sessions_get_stats(pipeline->sessions, &stats->session);
    stats->session.unmade += pipeline->sessions ? pipeline->stats.session.unmade : 0;
    if (pipeline->dedup)
        fs_dedup_get_stats(pipeline->dedup, &stats->dedup);
}

void fs_pipeline_stats_add(struct fs_pipeline_stats *sum, const struct fs_pipeline_stats *other) {
    sum->frames += other->frames;
    sum->frame_bytes += other->frame_bytes;
    for (unsigned i = 0; i < FS_REJECT_COUNT; i++)
        sum->untracked[i] += other->untracked[i];
    sum->without_flow += other->without_flow;
    sum->duplicates += other->duplicates;
    sum->excluded += other->excluded;
    fs_tracker_stats_add(&sum->tracker, &other->tracker);
    fs_reassembly_stats_add(&sum->reassembly, &other->reassembly);
    fs_dedup_stats_add(&sum->dedup, &other->dedup);
    sum->unreassembled += other->unreassembled;
    fs_session_stats_add(&sum->session, &other->session);
}
