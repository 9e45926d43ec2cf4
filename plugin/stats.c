/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats.h"

#include "argument.h"
#include "duplicates.h"
#include "store.h"
#include "table.h"
#include "tap.h"
#include "text.h"

#include <stdio.h>

/* ---- what the chosen frames add up to ---- */

struct spread {
    uint64_t count, sum, minimum, maximum;
};

static void spread_add(struct spread *spread, uint64_t value) {
    if (!spread->count || value < spread->minimum)
        spread->minimum = value;
    if (value > spread->maximum)
        spread->maximum = value;
    spread->sum += value;
    spread->count++;
}

/* The flows that the chosen frames belong to. */
struct flow_totals {
    uint64_t count, forgotten;
    uint64_t states[FS_STATE_COUNT], ends[FS_END_COUNT];
    uint64_t protocols[256], ip_pairs, mac_pairs;
    uint64_t midstream, one_sided, zero_windows;
    struct fs_stream_info streams; /* byte counters of all sides */
    struct spread handshake, rtt;
};

static void add_stream(struct fs_stream_info *sum, const struct fs_stream_info *stream) {
    sum->out_of_order_bytes += stream->out_of_order_bytes;
    sum->gaps += stream->gaps;
    sum->gap_bytes += stream->gap_bytes - stream->uncaptured_bytes;
    sum->uncaptured_bytes += stream->uncaptured_bytes;
    sum->overlap_bytes += stream->overlap_bytes;
    sum->conflict_bytes += stream->conflict_bytes;
    sum->dropped_bytes += stream->dropped_bytes;
}

static void add_flow(struct flow_totals *totals, const struct fs_flow_facts *facts) {
    const struct fs_flow_info *info = &facts->info;
    totals->count++;
    totals->states[info->state]++;
    totals->ends[info->end]++;
    if (info->key.kind == FS_KEY_MAC_PAIR)
        totals->mac_pairs++;
    else if (info->key.kind == FS_KEY_IP_PAIR)
        totals->ip_pairs++;
    else
        totals->protocols[info->key.protocol]++;
    totals->one_sided += (info->marks & FS_MARK_ONE_SIDED) != 0;
    if (!info->is_tcp)
        return;
    totals->midstream += (info->marks & FS_MARK_MIDSTREAM) != 0;
    totals->zero_windows += (uint64_t)info->tcp[0].zero_windows + info->tcp[1].zero_windows;
    if (info->handshake_syn_ns != FS_NO_TIME && info->handshake_ack_ns != FS_NO_TIME)
        spread_add(&totals->handshake, info->handshake_syn_ns + info->handshake_ack_ns);
    for (unsigned side = 0; side < 2; side++) {
        add_stream(&totals->streams, &facts->stream[side]);
        if (info->tcp[side].rtt.samples)
            spread_add(&totals->rtt, info->tcp[side].rtt.mean_ns);
    }
}

struct summary {
    char *filter;
    uint64_t frames, frame_bytes;
    uint64_t tracked, untracked[FS_REJECT_COUNT], unknown;
    uint64_t packets, carried, quoted;
    uint64_t ip_bytes, payload_bytes;
    uint64_t anomalies[FS_ANOMALY_COUNT];
    uint64_t retransmissions, retransmitted_bytes;
    uint64_t segments[FS_SEGMENT_COUNT];
    uint64_t excluded;         /* frames */
    uint64_t forgotten_frames; /* of files that were closed */
    struct fs_duplicate_totals duplicates;
    GArray *seen;             /* uint8_t, by flow id */
    struct flow_totals flows; /* of flows that will not change any more */
};

static struct summary *summary_new(const char *filter) {
    struct summary *summary = g_new0(struct summary, 1);
    summary->filter = g_strdup(filter);
    summary->seen = g_array_new(FALSE, TRUE, sizeof(uint8_t));
    return summary;
}

static void summary_reset(void *data) {
    struct summary *summary = data;
    char *filter = summary->filter;
    GArray *seen = summary->seen;
    g_array_set_size(seen, 0);
    memset(summary, 0, sizeof *summary);
    summary->filter = filter;
    summary->seen = seen;
}

static void summary_free(void *data) {
    struct summary *summary = data;
    g_array_free(summary->seen, TRUE);
    g_free(summary->filter);
    g_free(summary);
}

/* Returns whether it is the first packet of its flow. */
static bool see_flow(struct summary *summary, uint32_t id) {
    if (id >= summary->seen->len)
        g_array_set_size(summary->seen, id + 1);
    uint8_t *seen = &g_array_index(summary->seen, uint8_t, id);
    bool first = !*seen;
    *seen = 1;
    return first;
}

static void add_packet(struct summary *summary, const struct fs_seen *seen) {
    uint32_t payload = seen->packet ? seen->packet->payload_len : 0;
    summary->packets++;
    summary->ip_bytes += seen->packet ? seen->packet->ip_len : 0;
    summary->payload_bytes += payload;
    summary->segments[fs_record_segment(&seen->record)]++;
    if (seen->record.bits & FS_RECORD_RETRANSMISSION) {
        summary->retransmissions++;
        summary->retransmitted_bytes += payload;
    }
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT && seen->anomalies; bit++)
        summary->anomalies[bit] += seen->anomalies >> bit & 1;
}

/* What is known of a flow now; `final` if the capture has been read, so that what is still open ended with it. */
static void add_flow_now(struct flow_totals *totals, uint32_t id, bool final) {
    struct fs_flow_facts facts;
    if (!fs_store_flow(id, &facts)) {
        totals->count++;
        totals->forgotten++;
        return;
    }
    if (final && facts.info.end == FS_END_LIVE)
        facts.info.end = FS_END_INPUT;
    add_flow(totals, &facts);
}

/* `settled`: flows do not change any more, and count at once. */
static void add_frame(struct summary *summary, const packet_info *pinfo, const struct fs_tap_frame *frame,
                      bool settled) {
    summary->frames++;
    summary->frame_bytes += pinfo->fd->pkt_len;
    if (frame->duplicate)
        fs_duplicates_add(&summary->duplicates, frame->duplicate);
    if (frame->duplicate && frame->duplicate->treatment == FS_DUPLICATE_EXCLUDED) {
        summary->excluded++;
        return;
    }
    if (frame->count)
        summary->tracked++;
    else if (frame->reject)
        summary->untracked[frame->reject]++;
    else
        summary->unknown++;
    if (frame->count > 1)
        summary->carried++;
    for (unsigned n = 0; n < frame->count; n++) {
        const struct fs_seen *seen = &frame->packets[n];
        if (seen->record.bits & FS_RECORD_QUOTED) {
            summary->quoted++;
            continue;
        }
        if (see_flow(summary, seen->record.flow) && settled)
            add_flow_now(&summary->flows, seen->record.flow, false);
        add_packet(summary, seen);
    }
}

static void add_seen_flows(struct flow_totals *totals, const GArray *seen) {
    for (uint32_t id = 0; id < seen->len; id++) {
        if (g_array_index(seen, uint8_t, id))
            add_flow_now(totals, id, true);
    }
}

/* ---- lines ---- */

enum unit { COUNT, MILLISECONDS /* value in ns */, PERCENT /* value in hundredths */ };

/* Where the lines go: standard output, or the rows of a dialog. */
struct output {
    void (*line)(void *user, const char *group, const char *name, uint64_t value, enum unit unit);
    void *user;
};

enum { VALUE_TEXT = 32 };

static void write_value(char *text, uint64_t value, enum unit unit) {
    if (unit == COUNT)
        snprintf(text, VALUE_TEXT, "%" PRIu64, value);
    else if (unit == PERCENT)
        snprintf(text, VALUE_TEXT, "%" PRIu64 ".%02u", value / 100, (unsigned)(value % 100));
    else
        snprintf(text, VALUE_TEXT, "%" PRIu64 ".%03u", value / 1000000, (unsigned)(value % 1000000 / 1000));
}

static void put(const struct output *output, const char *group, const char *name, uint64_t value) {
    output->line(output->user, group, name, value, COUNT);
}

static void put_if(const struct output *output, const char *group, const char *name, uint64_t value) {
    if (value)
        put(output, group, name, value);
}

static void put_ms(const struct output *output, const char *group, const char *name, uint64_t ns) {
    output->line(output->user, group, name, ns, MILLISECONDS);
}

static void put_spread(const struct output *output, const char *group, const struct spread *spread) {
    if (!spread->count)
        return;
    put(output, group, "flows", spread->count);
    put_ms(output, group, "minimum [ms]", spread->minimum);
    put_ms(output, group, "mean [ms]", spread->sum / spread->count);
    put_ms(output, group, "maximum [ms]", spread->maximum);
}

static void put_frames(const struct output *output, const struct summary *summary) {
    uint64_t untracked = summary->unknown;
    for (int reason = 1; reason < FS_REJECT_COUNT; reason++)
        untracked += summary->untracked[reason];
    put(output, "Frames", "seen", summary->frames);
    put(output, "Frames", "bytes", summary->frame_bytes);
    put(output, "Frames", "tracked", summary->tracked);
    put_if(output, "Frames", "with carrier and carried packet", summary->carried);
    put(output, "Frames", "untracked", untracked);
    put_if(output, "Frames", "excluded duplicates", summary->excluded);
    for (int reason = 1; reason < FS_REJECT_COUNT; reason++)
        put_if(output, "Untracked frames", fs_reject_text(reason), summary->untracked[reason]);
    put_if(output, "Untracked frames", "of no flow, or not remembered (preference max_frames)", summary->unknown);
    put(output, "Packets", "counted in flows", summary->packets);
    put_if(output, "Packets", "quoted in ICMP errors", summary->quoted);
    put(output, "Packets", "IP bytes", summary->ip_bytes);
    put(output, "Packets", "payload bytes", summary->payload_bytes);
}

static void put_protocols(const struct output *output, const struct flow_totals *totals) {
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        struct fs_flow_info info = {.key = {.protocol = (uint8_t)protocol, .kind = FS_KEY_5TUPLE}};
        char name[16];
        if (!totals->protocols[protocol])
            continue;
        fs_text_protocol(&info, name, sizeof name);
        put(output, "Flows by protocol", name, totals->protocols[protocol]);
    }
    put_if(output, "Flows by protocol", "IP", totals->ip_pairs);
    put_if(output, "Flows by protocol", "MAC", totals->mac_pairs);
}

static void put_flows(const struct output *output, const struct flow_totals *totals) {
    put(output, "Flows", "all", totals->count);
    put_if(output, "Flows", "forgotten (preference max_flows)", totals->forgotten);
    put_if(output, "Flows", "picked up in mid-stream", totals->midstream);
    put_if(output, "Flows", "one side only", totals->one_sided);
    put_protocols(output, totals);
    for (int state = 0; state < FS_STATE_COUNT; state++)
        put_if(output, "Flows by state", fs_state_name(state), totals->states[state]);
    for (int end = 0; end < FS_END_COUNT; end++)
        put_if(output, "Flows by end", fs_end_name(end), totals->ends[end]);
    put_spread(output, "TCP handshake", &totals->handshake);
    put_spread(output, "TCP data round trip, mean of each side", &totals->rtt);
}

/* `streams` has lost bytes apart from those that were not captured. */
static void put_streams(const struct output *output, const struct summary *summary,
                        const struct fs_stream_info *streams) {
    for (int class = FS_SEGMENT_NONE + 1; class < FS_SEGMENT_COUNT; class ++)
        put_if(output, "TCP segments with payload", fs_segment_name(class), summary->segments[class]);
    put(output, "TCP streams", "gaps", streams->gaps);
    put(output, "TCP streams", "missing bytes", streams->gap_bytes);
    put_if(output, "TCP streams", "bytes cut off by the capture", streams->uncaptured_bytes);
    put_if(output, "TCP streams", "out-of-order bytes", streams->out_of_order_bytes);
    put_if(output, "TCP streams", "overlapping bytes", streams->overlap_bytes);
    put_if(output, "TCP streams", "conflicting bytes", streams->conflict_bytes);
    put_if(output, "TCP streams", "dropped bytes (limits, windows, after the end)", streams->dropped_bytes);
}

static void put_duplicate_line(void *user, const char *name, uint64_t value) {
    put(user, "Duplicates", name, value);
}

static void put_pair_line(void *user, const char *name, uint64_t value) {
    put(user, "Duplicates by where first and copy were captured", name, value);
}

static void put_duplicates(struct output *output, const struct summary *summary) {
    const struct fs_duplicate_totals *totals = &summary->duplicates;
    fs_duplicates_each_treatment(totals, put_duplicate_line, output);
    put_if(output, "Duplicates", "frames whose copies may be missed: the window is too wide",
           summary->forgotten_frames + fs_store_forgotten_frames());
    if (!totals->count)
        return;
    output->line(output->user, "Duplicates", "share of frames [%]", totals->count * 10000 / summary->frames, PERCENT);
    if (fs_duplicates_are_many(totals, summary->frames))
        put(output, "Duplicates", "so many disturb: see the preference flowscope.duplicates", totals->count);
    fs_duplicates_each_pair(totals, put_pair_line, output);
}

static void put_all(struct output *output, const struct summary *summary, const struct flow_totals *flows) {
    put_frames(output, summary);
    put_flows(output, flows);
    put(output, "TCP", "retransmitted segments", summary->retransmissions);
    put(output, "TCP", "retransmitted bytes", summary->retransmitted_bytes);
    put(output, "TCP", "zero windows", flows->zero_windows);
    put_streams(output, summary, &flows->streams);
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++)
        put_if(output, "Anomalies", fs_anomaly_text(1U << bit), summary->anomalies[bit]);
    put_duplicates(output, summary);
}

/* ---- tshark: text ---- */

static GSList *listeners; /* struct summary */

static tap_packet_status text_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    struct summary *summary = data;
    const struct fs_tap_frame *frame = record;
    add_frame(summary, pinfo, frame, false);
    return TAP_PACKET_REDRAW;
}

/* With tshark -M the file is closed and opened again while listeners go on: what they counted is to stay. */
void fs_stats_keep(void) {
    for (GSList *at = listeners; at; at = at->next) {
        struct summary *summary = at->data;
        add_seen_flows(&summary->flows, summary->seen);
        g_array_set_size(summary->seen, 0);
        summary->forgotten_frames += fs_store_forgotten_frames();
    }
}

struct text_output {
    char group[64];
};

static void text_line(void *user, const char *group, const char *name, uint64_t value, enum unit unit) {
    struct text_output *output = user;
    char text[VALUE_TEXT];
    if (strcmp(output->group, group) != 0) {
        printf("%s\n", group);
        (void)g_strlcpy(output->group, group, sizeof output->group);
    }
    write_value(text, value, unit);
    printf("  %-60s  %20s\n", name, text);
}

static void text_draw(void *data) {
    const struct summary *summary = data;
    struct text_output text = {""};
    struct output output = {text_line, &text};
    struct flow_totals *flows = g_new(struct flow_totals, 1);
    *flows = summary->flows;
    add_seen_flows(flows, summary->seen);
    printf("\nFlowscope summary%s%s\n", summary->filter ? " of " : "", summary->filter ? summary->filter : "");
    put_all(&output, summary, flows);
    g_free(flows);
}

static void text_finish(void *data) {
    listeners = g_slist_remove(listeners, data);
    summary_free(data);
}

static FS_TAP_INIT_RESULT text_listen(const char *filter) {
    struct summary *summary = summary_new(filter);
    listeners = g_slist_prepend(listeners, summary);
    if (!fs_argument_listen("flowscope_frame", summary, filter, summary_reset, text_frame, text_draw, text_finish)) {
        text_finish(summary);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,stats", &filter))
        FS_TAP_INIT_FAIL;
    return text_listen(filter);
}

/* Longer arguments are tried first: what arrives here is plain, or none of ours. */
static FS_TAP_INIT_RESULT plain_init(const char *argument, void *user _U_) {
    if (strcmp(argument, "flowscope") != 0 && strcmp(argument, "flowscope,") != 0) {
        fs_argument_refuse(argument);
        FS_TAP_INIT_FAIL;
    }
    return text_listen(NULL);
}

/* ---- GUI and sharkd: a table of lines ---- */

/* The table has no room for the numbers: a state for each table, found by its address. */
struct gui_state {
    struct summary *summary;
    GArray *values; /* uint64_t: what the rows show */
};

static GHashTable *gui_states; /* stat_tap_table* to struct gui_state* */

enum { COLUMN_GROUP, COLUMN_NAME, COLUMN_VALUE, COLUMNS };

static const struct fs_column columns[COLUMNS] = {
    {"What", FS_COLUMN_TEXT}, {"", FS_COLUMN_TEXT}, {"Value", FS_COLUMN_NUMBER}};

static const struct fs_table table;

struct row {
    const char *cells[COLUMNS];
};

static const char *write_cell(const void *row, unsigned column, char *cell _U_) {
    return ((const struct row *)row)->cells[column];
}

struct gui_output {
    stat_tap_table *shown;
    GArray *values;
    guint row;
};

static void gui_state_free(void *data) {
    struct gui_state *state = data;
    summary_free(state->summary);
    g_array_free(state->values, TRUE);
    g_free(state);
}

/* A new table may have the address of one that is gone. */
static void gui_opened(stat_tap_table *shown) {
    struct gui_state *state = g_new(struct gui_state, 1);
    state->summary = summary_new(NULL);
    state->values = g_array_new(FALSE, TRUE, sizeof(uint64_t));
    if (!gui_states)
        gui_states = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, gui_state_free);
    g_hash_table_replace(gui_states, shown, state);
}

static bool gui_shows(const stat_tap_table *shown, guint row, guint column, const char *text) {
    const stat_tap_table_item_type *item = stat_tap_get_field_data(shown, row, column);
    return item->type == TABLE_ITEM_STRING && strcmp(item->value.string_value, text) == 0;
}

static void gui_line(void *user, const char *group, const char *name, uint64_t value, enum unit unit) {
    struct gui_output *output = user;
    guint at = output->row++;
    bool is_new = at == output->shown->num_elements;
    char text[VALUE_TEXT];
    struct row row = {{group, name, text}};
    if (!is_new && g_array_index(output->values, uint64_t, at) == value &&
        gui_shows(output->shown, at, COLUMN_NAME, name) && gui_shows(output->shown, at, COLUMN_GROUP, group))
        return;
    write_value(text, value, unit);
    if (is_new) {
        fs_table_add(&table, output->shown, &row, 0);
        g_array_set_size(output->values, at + 1);
    }
    for (unsigned c = 0; c < COLUMNS && !is_new; c++)
        fs_table_set(&table, output->shown, at, c, row.cells[c]);
    g_array_index(output->values, uint64_t, at) = value;
}

static void gui_reset(stat_tap_table *shown) {
    struct gui_state *state = g_hash_table_lookup(gui_states, shown);
    fs_table_clear(shown);
    summary_reset(state->summary);
    g_array_set_size(state->values, 0);
}

/* A table has no call at the end, so its lines are right after every frame. A dialog reads a capture that was read
 * before: its flows do not change any more. */
static tap_packet_status gui_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                   tap_flags_t flags _U_) {
    const struct fs_tap_frame *frame = record;
    stat_tap_table *shown = fs_table_of(data);
    struct gui_state *state = g_hash_table_lookup(gui_states, shown);
    struct summary *summary = state->summary;
    add_frame(summary, pinfo, frame, true);
    struct gui_output gui = {shown, state->values, 0};
    struct output output = {gui_line, &gui};
    put_all(&output, summary, &summary->flows);
    fs_table_shorten(shown, gui.row);
    g_array_set_size(state->values, gui.row);
    return TAP_PACKET_DONT_REDRAW; /* the dialog draws after the last packet */
}

static const struct fs_table table = {
    "Flowscope Summary", "flowscope,stats", "flowscope_frame", NULL,       columns,  COLUMNS,
    write_cell,          text_init,         gui_frame,         gui_opened, gui_reset};

void fs_stats_register(void) {
    static stat_tap_ui plain = {REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope", "flowscope", plain_init, 0, NULL};
    fs_table_register(&table);
    if (fs_tap_is_tshark())
        register_stat_tap_ui(&plain, NULL);
}
