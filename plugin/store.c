/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include "messages.h"
#include "prefs.h"

/* Growing arrays of plain values; entries of the sparse ones come in the order of frames. */
struct side_entry {
    uint32_t frame;
    uint32_t n; /* which packet of the frame */
    uint64_t value;
};

/* What few packets have. */
enum sparse {
    SPARSE_RTT,
    SPARSE_ANOMALIES,
    SPARSE_REPEATS,
    SPARSE_HOLE_FRAME,
    SPARSE_HOLE,
    SPARSE_GAP,
    SPARSE_PEER_GAP,
    SPARSE_OFFSET,
    SPARSE_COUNT
};

struct more_entry {
    uint32_t frame;
    struct fs_record record;
};

/* A flow is live in the tracker, or a copy here, or forgotten. */
struct flow_entry {
    void *packed;
    uint64_t turn_ns;           /* of the initiator's last payload, if the responder has not answered it */
    uint32_t number;            /* in the tracker, while it is live */
    int app;                    /* protocol of Wireshark; 0: none yet */
    uint8_t tries;              /* packets that gave none */
    uint8_t session;            /* enum fs_session_protocol, once there was a message */
    bool is_turn;               /* turn_ns holds */
    uint16_t vlan[FS_VLAN_MAX]; /* while it is live: afterwards it is among the facts */
};

static struct {
    struct fs_pipeline *pipeline;
    GPtrArray *frames;            /* chunks of struct fs_record, by frame number: the first packet */
    GArray *more;                 /* struct more_entry: further packets */
    GArray *sparse[SPARSE_COUNT]; /* struct side_entry */
    GArray *duplicates;           /* struct fs_duplicate, by frame */
    struct fs_duplicate latest;   /* of the frame that is being run; frame 0: nothing was found */
    struct fs_dedup_pair pairs[FS_DEDUP_PAIRS];
    uint32_t pair_count;
    uint64_t compared, duplicate_count; /* frames */
    uint32_t many_duplicates;
    GArray *flows;   /* struct flow_entry, by id */
    GArray *ended;   /* uint32_t: ids in the order of their ends */
    guint forgotten; /* how many of these are */
    GArray *turns;   /* struct fs_turn */
    uint64_t start_ns, latest_ns;
    uint32_t frame; /* that is being run */
    uint32_t last_frame;
    uint32_t newest; /* frame that is remembered */
    bool started;
    bool finishing;
} store;

/* ---- flows ---- */

/* The flow that ended first goes first. */
static void forget_oldest(void) {
    uint32_t id = g_array_index(store.ended, uint32_t, store.forgotten++);
    struct flow_entry *entry = &g_array_index(store.flows, struct flow_entry, id);
    g_free(entry->packed);
    entry->packed = NULL;
}

static bool live_facts(const struct flow_entry *entry, struct fs_flow_facts *facts) {
    memset(facts, 0, sizeof *facts); /* it is packed as bytes */
    if (fs_tracker_flow_info(fs_pipeline_tracker(store.pipeline), entry->number, &facts->info) != FS_OK)
        return false;
    for (unsigned side = 0; side < 2; side++)
        facts->has_stream[side] =
            fs_pipeline_stream_info(store.pipeline, entry->number, (enum fs_side)side, &facts->stream[side]) == FS_OK;
    memcpy(facts->vlan, entry->vlan, sizeof facts->vlan);
    return true;
}

static fs_end_sink end_sink;

void fs_store_set_end_sink(fs_end_sink new_sink) {
    end_sink = new_sink;
}

static void on_event(struct fs_tracker *tracker, const struct fs_event *event, void *user _U_) {
    if (event->kind == FS_EVENT_STARTED) {
        struct flow_entry entry = {.number = event->flow, .vlan = {event->packet->vlan[0], event->packet->vlan[1]}};
        g_array_append_val(store.flows, entry);
        return;
    }
    uint32_t id = (uint32_t)fs_tracker_flow_id(tracker, event->flow);
    if (id >= store.flows->len)
        return;
    struct flow_entry *entry = &g_array_index(store.flows, struct flow_entry, id);
    struct fs_flow_facts facts;
    (void)live_facts(entry, &facts);
    if (end_sink)
        end_sink(&facts);
    entry->packed = fs_pack(&facts);
    entry->number = FS_NO_NUMBER;
    g_array_append_val(store.ended, id);
    /* At the end of the capture all that is live ends, and is still to be shown. */
    if (!store.finishing && store.ended->len - store.forgotten > fs_prefs()->max_flows)
        forget_oldest();
}

uint32_t fs_store_flow_count(void) {
    return store.pipeline ? store.flows->len : 0;
}

bool fs_store_tracked(uint64_t id, struct fs_flow_facts *facts) {
    if (!store.pipeline || id >= store.flows->len)
        return false;
    const struct flow_entry *entry = &g_array_index(store.flows, struct flow_entry, id);
    if (entry->packed) {
        fs_unpack(entry->packed, facts);
        return true;
    }
    return live_facts(entry, facts);
}

bool fs_store_flow(uint64_t id, struct fs_flow_facts *facts) {
    if (!fs_store_tracked(id, facts))
        return false;
    for (unsigned side = 0; side < 2; side++) {
        if (facts->has_stream[side])
            facts->info.tcp[side].retransmissions = (uint32_t)facts->stream[side].retransmissions;
    }
    if (facts->info.end != FS_END_LIVE)
        return true;
    /* The tombstone of a connection is in the tracker for a while, but the user's question is answered. */
    if (facts->info.state == FS_STATE_CLOSED)
        facts->info.end = FS_END_FIN;
    else if (facts->info.state == FS_STATE_RESET)
        facts->info.end = FS_END_RST;
    return true;
}

/* ---- streams ---- */

static fs_stream_sink sink;

void fs_store_set_sink(fs_stream_sink new_sink) {
    sink = new_sink;
}

static void on_stream(struct fs_pipeline *pipeline, uint32_t flow, enum fs_side side,
                      const struct fs_stream_event *event, void *user _U_) {
    if (sink)
        sink((uint32_t)fs_tracker_flow_id(fs_pipeline_tracker(pipeline), flow), side, event);
}

void fs_store_finish(void) {
    if (!store.pipeline)
        return;
    store.finishing = true;
    fs_pipeline_finish(store.pipeline);
    store.finishing = false;
}

/* ---- what is said ---- */

enum { TURNS_MAX = 1000000, APP_TRIES = 8 };

static struct flow_entry *entry_of(uint32_t id) {
    return store.flows && id < store.flows->len ? &g_array_index(store.flows, struct flow_entry, id) : NULL;
}

bool fs_store_wants_app(uint32_t id) {
    const struct flow_entry *entry = entry_of(id);
    return entry && !entry->app && entry->tries < APP_TRIES;
}

void fs_store_set_app(uint32_t id, int proto) {
    struct flow_entry *entry = entry_of(id);
    if (!entry)
        return;
    entry->app = proto;
    if (!proto)
        entry->tries++;
}

const char *fs_store_app(uint32_t id) {
    const struct flow_entry *entry = entry_of(id);
    if (entry && entry->app)
        return proto_get_protocol_filter_name(entry->app);
    return entry && entry->session ? fs_session_protocol_name(entry->session) : "-";
}

bool fs_store_has_messages(uint32_t id) {
    const struct flow_entry *entry = entry_of(id);
    return entry && entry->session;
}

static const struct fs_event_sink *event_sink;

void fs_store_set_event_sink(const struct fs_event_sink *new_sink) {
    event_sink = new_sink;
}

static void on_message(struct fs_pipeline *pipeline, uint32_t flow, const struct fs_message *message, void *user _U_) {
    struct fs_tracker *tracker = fs_pipeline_tracker(pipeline);
    struct fs_flow_info info;
    if (fs_tracker_flow_info(tracker, flow, &info) != FS_OK)
        return;
    struct flow_entry *entry = entry_of((uint32_t)info.id);
    if (entry)
        entry->session = message->protocol;
    fs_messages_add(message, (uint32_t)info.id, store.frame, !store.finishing && info.last_frame == store.frame);
    struct fs_flow_facts facts;
    if (event_sink && entry && live_facts(entry, &facts))
        event_sink->message(&facts, message);
}

static void tell_anomalies(const struct fs_packet *packet, const struct fs_seen *seen) {
    struct fs_flow_facts facts;
    if (!seen->anomalies || !event_sink || !fs_store_tracked(seen->record.flow, &facts))
        return;
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        const struct fs_record_anomaly anomaly = {1U << bit, (enum fs_side)fs_record_side(&seen->record),
                                                  packet->time_ns, packet->frame};
        if (seen->anomalies >> bit & 1)
            event_sink->anomaly(&facts, &anomaly);
    }
}

static void note_turn(const struct fs_packet *packet, const struct fs_seen *seen) {
    struct flow_entry *entry = entry_of(seen->record.flow);
    if (!entry || !packet->payload_len || (seen->record.bits & (FS_RECORD_QUOTED | FS_RECORD_RETRANSMISSION)))
        return;
    if (fs_record_side(&seen->record) == FS_INITIATOR) {
        entry->turn_ns = packet->time_ns;
        entry->is_turn = true;
        return;
    }
    if (!entry->is_turn || packet->time_ns < entry->turn_ns || store.turns->len >= TURNS_MAX)
        return;
    const struct fs_turn turn = {packet->time_ns - entry->turn_ns, seen->record.flow, packet->frame};
    entry->is_turn = false;
    g_array_append_val(store.turns, turn);
}

guint fs_store_turn_count(void) {
    return store.turns ? store.turns->len : 0;
}

const struct fs_turn *fs_store_turn(guint i) {
    return &g_array_index(store.turns, struct fs_turn, i);
}

void fs_store_note_frame(uint32_t frame, uint64_t time_ns) {
    if (!store.started)
        store.start_ns = time_ns;
    store.started = true;
    store.latest_ns = time_ns > store.latest_ns ? time_ns : store.latest_ns;
    store.last_frame = frame > store.last_frame ? frame : store.last_frame;
}

uint64_t fs_store_start_ns(void) {
    return store.start_ns;
}

uint64_t fs_store_latest_ns(void) {
    return store.latest_ns;
}

uint32_t fs_store_last_frame(void) {
    return store.last_frame;
}

/* ---- life ---- */

void fs_store_open(void) {
    memset(&store, 0, sizeof store);
    store.frames = g_ptr_array_new_with_free_func(g_free);
    store.more = g_array_new(FALSE, FALSE, sizeof(struct more_entry));
    for (unsigned i = 0; i < SPARSE_COUNT; i++)
        store.sparse[i] = g_array_new(FALSE, FALSE, sizeof(struct side_entry));
    store.duplicates = g_array_new(FALSE, FALSE, sizeof(struct fs_duplicate));
    store.flows = g_array_new(FALSE, FALSE, sizeof(struct flow_entry));
    store.ended = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    store.turns = g_array_new(FALSE, FALSE, sizeof(struct fs_turn));
    fs_messages_open();
}

bool fs_store_has_begun(void) {
    return store.pipeline;
}

void fs_store_begin(bool sessions) {
    struct fs_pipeline_config config;
    if (store.pipeline || !store.frames)
        return;
    fs_pipeline_config_defaults(&config);
    fs_prefs_configure(&config);
    config.tracker.seed = (uint64_t)g_random_int() << 32 | g_random_int() | 1;
    config.dedup.seed = (uint64_t)g_random_int() << 32 | g_random_int() | 1;
    config.tracker.events = 1U << FS_EVENT_STARTED | 1U << FS_EVENT_ENDED;
    config.tracker.on_event = on_event;
    config.on_stream = on_stream;
    config.sessions = sessions && fs_prefs()->sessions;
    config.on_message = on_message;
    store.pipeline = fs_pipeline_new(&config, NULL);
}

void fs_store_close(void) {
    if (!store.frames)
        return;
    fs_messages_close();
    fs_links_forget();
    fs_pipeline_free(store.pipeline);
    for (guint i = 0; i < store.flows->len; i++)
        g_free(g_array_index(store.flows, struct flow_entry, i).packed);
    g_array_free(store.flows, TRUE);
    g_array_free(store.ended, TRUE);
    g_array_free(store.turns, TRUE);
    for (unsigned i = 0; i < SPARSE_COUNT; i++)
        g_array_free(store.sparse[i], TRUE);
    g_array_free(store.duplicates, TRUE);
    g_array_free(store.more, TRUE);
    g_ptr_array_free(store.frames, TRUE);
    memset(&store, 0, sizeof store);
}

bool fs_store_is_open(void) {
    return store.frames != NULL;
}

/* ---- sparse values ---- */

/* All kinds of entry begin with the frame. */
static uint32_t entry_frame(GArray *array, guint i) {
    uint32_t frame;
    memcpy(&frame, array->data + (size_t)i * g_array_get_element_size(array), sizeof frame);
    return frame;
}

/* First entry of at least this frame. */
static guint first_entry(GArray *array, uint32_t frame) {
    guint low = 0;
    guint high = array->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (entry_frame(array, middle) < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void truncate_from(GArray *array, uint32_t frame) {
    if (array->len && entry_frame(array, array->len - 1) >= frame)
        g_array_set_size(array, first_entry(array, frame));
}

static uint64_t side_value(enum sparse which, uint32_t frame, unsigned n) {
    GArray *array = store.sparse[which];
    for (guint i = first_entry(array, frame); i < array->len; i++) {
        const struct side_entry *entry = &g_array_index(array, struct side_entry, i);
        if (entry->frame != frame)
            break;
        if (entry->n == n)
            return entry->value;
    }
    return 0;
}

static void add_side_value(enum sparse which, uint32_t frame, unsigned n, uint64_t value) {
    struct side_entry entry = {frame, n, value};
    if (value)
        g_array_append_val(store.sparse[which], entry);
}

/* ---- frames ---- */

/* An array that grows by copying touches all its memory again; chunks are touched once. */
enum { CHUNK_SHIFT = 12, CHUNK = 1 << CHUNK_SHIFT };

/* The frame's place, or NULL if no frame near it was stored. */
static struct fs_record *place_of(uint32_t frame) {
    if (!store.pipeline || frame >> CHUNK_SHIFT >= store.frames->len)
        return NULL;
    struct fs_record *chunk = g_ptr_array_index(store.frames, frame >> CHUNK_SHIFT);
    return chunk + (frame & (CHUNK - 1));
}

static struct fs_record *find_record(uint32_t frame, unsigned n) {
    struct fs_record *first = place_of(frame);
    if (!first || !(first->bits & FS_RECORD_SET) || first->flow == FS_RECORD_NO_FLOW)
        return NULL;
    if (n == 0)
        return first;
    if (!(first->bits & FS_RECORD_MORE))
        return NULL;
    guint at = first_entry(store.more, frame) + n - 1;
    if (at >= store.more->len)
        return NULL;
    struct more_entry *entry = &g_array_index(store.more, struct more_entry, at);
    return entry->frame == frame ? &entry->record : NULL;
}

const struct fs_record *fs_store_record(uint32_t frame, unsigned n) {
    return find_record(frame, n);
}

const struct fs_record *fs_store_innermost(uint32_t frame) {
    const struct fs_record *record;
    const struct fs_record *last = NULL;
    for (unsigned n = 0; (record = find_record(frame, n)); n++)
        last = record;
    return last;
}

int fs_store_reject(uint32_t frame) {
    const struct fs_record *record = place_of(frame);
    bool untracked = record && (record->bits & FS_RECORD_SET) && record->flow == FS_RECORD_NO_FLOW;
    return untracked ? (int)(record->bits & FS_RECORD_STATE) : FS_REJECT_NONE;
}

uint32_t fs_store_newest(void) {
    return store.newest;
}

/* With its stream at hand, a segment that was overtaken is told from one that was sent again. */
static bool is_retransmission(const struct fs_verdict *verdict, const struct fs_segment_verdict *segment) {
    switch (segment->segment) {
    case FS_SEGMENT_NONE:
        return verdict->retransmission;
    case FS_SEGMENT_RETRANSMISSION:
    case FS_SEGMENT_FAST_RETRANSMISSION:
    case FS_SEGMENT_SPURIOUS_RETRANSMISSION:
        return true;
    default:
        return false;
    }
}

static struct fs_record record_of(const struct fs_packet *packet, const struct fs_verdict *verdict,
                                  const struct fs_segment_verdict *segment) {
    unsigned bits = FS_RECORD_SET | verdict->state;
    bits |= verdict->side == FS_RESPONDER ? FS_RECORD_SIDE : 0U;
    bits |= verdict->orientation == FS_REVERSE ? FS_RECORD_REVERSE : 0U;
    bits |= verdict->quoted ? FS_RECORD_QUOTED : 0U;
    bits |= !verdict->quoted && verdict->packet ? FS_RECORD_COUNTED : 0U;
    bits |= verdict->rtt_ns != FS_NO_TIME ? FS_RECORD_RTT : 0U;
    bits |= verdict->anomalies ? FS_RECORD_ANOMALY : 0U;
    bits |= is_retransmission(verdict, segment) ? FS_RECORD_RETRANSMISSION : 0U;
    bits |= (unsigned)segment->segment << FS_RECORD_SEGMENT_SHIFT;
    return (struct fs_record){(uint32_t)verdict->flow_id, packet->wire_len, bits};
}

static struct fs_link link_of(const struct fs_verdict *verdict) {
    return (struct fs_link){.previous = verdict->previous_frame,
                            .packet = (uint32_t)verdict->packet,
                            .bytes_low = (uint32_t)verdict->bytes,
                            .bytes_high = (uint16_t)(verdict->bytes >> 32)};
}

/* An offset below 2^32 is told by the sequence number: most need no memory. */
static void remember(uint32_t frame, unsigned n, const struct fs_seen *seen, uint64_t offset) {
    if (n == 0) {
        *place_of(frame) = seen->record;
    } else {
        struct more_entry entry = {frame, seen->record};
        g_array_append_val(store.more, entry);
        place_of(frame)->bits |= FS_RECORD_MORE;
    }
    if (seen->record.bits & FS_RECORD_RTT)
        add_side_value(SPARSE_RTT, frame, n, seen->rtt_ns);
    add_side_value(SPARSE_ANOMALIES, frame, n, seen->anomalies);
    add_side_value(SPARSE_REPEATS, frame, n, seen->repeats_frame);
    add_side_value(SPARSE_HOLE_FRAME, frame, n, seen->hole_frame);
    add_side_value(SPARSE_HOLE, frame, n, seen->hole_bytes);
    add_side_value(SPARSE_GAP, frame, n, seen->gap_bytes);
    add_side_value(SPARSE_PEER_GAP, frame, n, seen->peer_gap_bytes);
    if (offset >> 32)
        add_side_value(SPARSE_OFFSET, frame, n, offset);
}

/* ---- duplicates ---- */

bool fs_store_compares(void) {
    return store.pipeline && fs_prefs()->duplicates != FS_DUPLICATES_IGNORE;
}

bool fs_store_remembers(uint32_t frame) {
    unsigned limit = fs_prefs()->max_frames;
    return !limit || frame <= limit;
}

static enum fs_treatment treatment_of(const struct fs_dedup_result *result, bool treated) {
    if (result->withheld)
        return FS_DUPLICATE_WITHHELD;
    if (!treated)
        return FS_DUPLICATE_KEPT;
    return fs_prefs()->duplicates == FS_DUPLICATES_EXCLUDE ? FS_DUPLICATE_EXCLUDED : FS_DUPLICATE_MARKED;
}

/* A row never changes, but for its count: copying all statistics is for new ones. */
static void learn_pair(uint8_t row) {
    struct fs_pipeline_stats stats;
    if (row < store.pair_count || row == FS_DEDUP_PAIRS)
        return;
    fs_pipeline_get_stats(store.pipeline, &stats);
    memcpy(store.pairs, stats.dedup.pairs, sizeof store.pairs);
    store.pair_count = (uint32_t)stats.dedup.pair_count;
}

static void note_many(uint32_t frame) {
    if (!store.many_duplicates && store.compared >= FS_MANY_FRAMES &&
        store.duplicate_count * 100 > store.compared * FS_MANY_PERCENT)
        store.many_duplicates = frame;
}

/* What was found out about a frame, beside its record. */
static void note_compared(uint32_t frame, const struct fs_compared *compared, bool kept) {
    store.latest.frame = 0;
    if (!compared)
        return;
    const struct fs_dedup_result *result = &compared->result;
    bool duplicate = result->verdict == FS_DEDUP_DUPLICATE;
    store.compared++;
    store.duplicate_count += duplicate;
    note_many(frame);
    if (!duplicate && !result->withheld)
        return;
    store.latest = (struct fs_duplicate){.frame = frame,
                                         .original = result->original,
                                         .delta_ns = result->delta_ns,
                                         .previous = result->previous,
                                         .hops = result->hops,
                                         .differences = result->differences,
                                         .mode = result->mode,
                                         .evidence = result->evidence,
                                         .grounds = result->grounds,
                                         .pair = result->pair,
                                         .treatment = (uint8_t)treatment_of(result, compared->duplicate)};
    if (duplicate)
        learn_pair(result->pair);
    if (kept)
        g_array_append_val(store.duplicates, store.latest);
}

const struct fs_duplicate *fs_store_duplicate(uint32_t frame) {
    if (!store.pipeline)
        return NULL;
    if (store.latest.frame == frame)
        return &store.latest;
    GArray *array = store.duplicates;
    if (!array->len || entry_frame(array, array->len - 1) < frame)
        return NULL;
    const struct fs_duplicate *entry = &g_array_index(array, struct fs_duplicate, first_entry(array, frame));
    return entry->frame == frame ? entry : NULL;
}

bool fs_store_duplicate_pair(uint8_t row, struct fs_dedup_pair *pair) {
    if (row >= store.pair_count)
        return false;
    *pair = store.pairs[row];
    return true;
}

uint32_t fs_store_many_duplicates(void) {
    return store.many_duplicates;
}

uint64_t fs_store_forgotten_frames(void) {
    struct fs_pipeline_stats stats;
    if (!fs_store_compares())
        return 0;
    fs_pipeline_get_stats(store.pipeline, &stats);
    return stats.dedup.evictions_in_window;
}

/* ---- records ---- */

/* A frame that is dissected anew for the first time takes back what was there, and what came after. */
static void take_back(uint32_t frame) {
    truncate_from(store.duplicates, frame);
    truncate_from(store.more, frame);
    for (unsigned i = 0; i < SPARSE_COUNT; i++)
        truncate_from(store.sparse[i], frame);
    fs_links_forget();
    memset(place_of(frame), 0, sizeof(struct fs_record));
}

/* Room for the frame's record; false if it is not to have one. */
static bool make_room(uint32_t frame) {
    if (!fs_store_remembers(frame))
        return false;
    while (frame >> CHUNK_SHIFT >= store.frames->len)
        g_ptr_array_add(store.frames, g_new0(struct fs_record, CHUNK));
    if (frame <= store.newest)
        take_back(frame);
    store.newest = frame;
    return true;
}

unsigned fs_store_frame(const struct fs_packet *packets, unsigned count, const int *parents,
                        struct fs_compared *compared, struct fs_seen *seen) {
    struct fs_verdict verdicts[FS_FRAME_MAX];
    struct fs_segment_verdict segments[FS_FRAME_MAX];
    uint32_t frame = packets[0].frame;
    bool kept = store.pipeline && make_room(frame);
    store.frame = frame;
    if (!store.pipeline ||
        fs_pipeline_frame(store.pipeline, packets, count, parents, compared, verdicts, segments) == FS_ERR_INVALID)
        return 0;
    note_compared(frame, compared, kept);
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct fs_verdict *verdict = &verdicts[i];
        if (verdict->flow_id >= FS_RECORD_NO_FLOW)
            continue;
        const struct fs_segment_verdict *segment = &segments[i];
        seen[n] = (struct fs_seen){.record = record_of(&packets[i], verdict, segment),
                                   .link = link_of(verdict),
                                   .rtt_ns = verdict->rtt_ns,
                                   .anomalies = verdict->anomalies,
                                   .repeats_frame = segment->repeats_frame,
                                   .hole_frame = segment->hole_frame,
                                   .hole_bytes = segment->hole_bytes,
                                   .gap_bytes = segment->gap_bytes,
                                   .peer_gap_bytes = segment->peer_gap_bytes,
                                   .packet = &packets[i]};
        if (kept)
            remember(frame, n, &seen[n], segment->offset);
        note_turn(&packets[i], &seen[n]);
        tell_anomalies(&packets[i], &seen[n]);
        n++;
    }
    return n;
}

void fs_store_untracked(uint32_t frame, int reject, uint32_t wire_len, struct fs_compared *compared) {
    if (!store.pipeline)
        return;
    bool kept = make_room(frame);
    fs_pipeline_reject(store.pipeline, reject, wire_len, compared);
    note_compared(frame, compared, kept);
    if (!kept)
        return;
    struct fs_record *record = place_of(frame);
    record->flow = FS_RECORD_NO_FLOW;
    record->bits = FS_RECORD_SET | ((unsigned)reject & FS_RECORD_STATE);
}

/* ---- later passes ---- */

static unsigned count_records(uint32_t frame) {
    unsigned count = 0;
    for (const struct fs_record *record = fs_store_record(frame, 0); record; count++)
        record = fs_store_next(frame, count, record);
    return count;
}

static bool is_alike(const struct fs_record *record, const struct fs_packet *packet) {
    bool quoted = packet->flags & FS_PACKET_QUOTED;
    bool reverse = packet->orientation == FS_REVERSE;
    return quoted == ((record->bits & FS_RECORD_QUOTED) != 0) && reverse == ((record->bits & FS_RECORD_REVERSE) != 0);
}

/* A later pass may reach other packets than the first did: tell them by their keys. */
static const struct fs_packet *find_packet(const struct fs_record *record, const struct fs_packet *packets,
                                           unsigned count, uint64_t *taken) {
    struct fs_flow_facts facts;
    if (!fs_store_flow(record->flow, &facts))
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if ((*taken & bit) || !is_alike(record, &packets[i]) ||
            memcmp(&packets[i].key, &facts.info.key, sizeof facts.info.key) != 0)
            continue;
        *taken |= bit;
        return &packets[i];
    }
    return NULL;
}

_Static_assert(FS_FRAME_MAX <= 64, "find_packet() has a bit for each");

unsigned fs_store_recall(uint32_t frame, const struct fs_packet *packets, unsigned count, struct fs_seen *seen) {
    unsigned records = count_records(frame);
    bool same = records == count;
    uint64_t taken = 0;
    for (unsigned n = 0; n < records; n++) {
        const struct fs_record *record = find_record(frame, n);
        seen[n] = (struct fs_seen){.record = *record, .link = fs_links_get(frame, n)};
        if (record->bits & FS_RECORD_RTT)
            seen[n].rtt_ns = side_value(SPARSE_RTT, frame, n);
        if (record->bits & FS_RECORD_ANOMALY)
            seen[n].anomalies = (unsigned)side_value(SPARSE_ANOMALIES, frame, n);
        if (fs_record_segment(record) > FS_SEGMENT_IN_ORDER || seen[n].anomalies) {
            seen[n].repeats_frame = (uint32_t)side_value(SPARSE_REPEATS, frame, n);
            seen[n].hole_frame = (uint32_t)side_value(SPARSE_HOLE_FRAME, frame, n);
            seen[n].hole_bytes = side_value(SPARSE_HOLE, frame, n);
            seen[n].gap_bytes = side_value(SPARSE_GAP, frame, n);
            seen[n].peer_gap_bytes = side_value(SPARSE_PEER_GAP, frame, n);
        }
        same = same && is_alike(record, &packets[n]);
        seen[n].packet = same ? &packets[n] : NULL;
    }
    for (unsigned n = 0; n < records && !same; n++)
        seen[n].packet = find_packet(&seen[n].record, packets, count, &taken);
    return records;
}

bool fs_store_offset(uint32_t frame, unsigned n, const struct fs_seen *seen, uint64_t *offset) {
    struct fs_flow_facts facts;
    const struct fs_packet *packet = seen->packet;
    if (fs_record_segment(&seen->record) == FS_SEGMENT_NONE || !packet || !(packet->flags & FS_PACKET_HAS_TCP) ||
        !fs_store_flow(seen->record.flow, &facts))
        return false;
    uint32_t first = facts.info.tcp[fs_record_side(&seen->record)].isn + 1;
    *offset = side_value(SPARSE_OFFSET, frame, n);
    if (!*offset)
        *offset = packet->tcp.seq + (packet->tcp.flags & FS_TCP_SYN ? 1U : 0U) - first;
    return *offset != UINT64_MAX;
}
