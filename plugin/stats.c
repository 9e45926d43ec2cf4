/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats.h"

#include "argument.h"
#include "store.h"
#include "tap.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

/* What the chosen frames add up to. */
struct summary {
    char *filter;
    uint64_t frames, frame_bytes;
    uint64_t tracked, untracked[FS_REJECT_COUNT], unknown;
    uint64_t packets, carried, quoted;
    uint64_t ip_bytes, payload_bytes;
    uint64_t anomalies[FS_ANOMALY_COUNT];
    uint64_t retransmissions, retransmitted_bytes;
    GArray *seen; /* gboolean, by flow id */
};

static struct summary *summary_new(const char *filter) {
    struct summary *summary = g_new0(struct summary, 1);
    summary->filter = g_strdup(filter);
    summary->seen = g_array_new(FALSE, TRUE, sizeof(uint8_t));
    return summary;
}

static void summary_reset(void *data) {
    struct summary *summary = data;
    struct summary empty = {.filter = summary->filter, .seen = summary->seen};
    g_array_set_size(empty.seen, 0);
    *summary = empty;
}

static void summary_free(void *data) {
    struct summary *summary = data;
    g_array_free(summary->seen, TRUE);
    g_free(summary->filter);
    g_free(summary);
}

static void add_packet(struct summary *summary, uint32_t frame, unsigned n, const struct fs_tap_packet *packet) {
    uint16_t bits = packet->record->bits;
    if (bits & FS_RECORD_QUOTED) {
        summary->quoted++;
        return;
    }
    uint32_t id = packet->record->flow;
    if (id >= summary->seen->len)
        g_array_set_size(summary->seen, id + 1);
    g_array_index(summary->seen, uint8_t, id) = 1;
    summary->packets++;
    summary->ip_bytes += packet->ip_bytes;
    summary->payload_bytes += packet->payload_bytes;
    if (bits & FS_RECORD_RETRANSMISSION) {
        summary->retransmissions++;
        summary->retransmitted_bytes += packet->payload_bytes;
    }
    if (!(bits & FS_RECORD_ANOMALY))
        return;
    unsigned anomalies = fs_store_anomalies(frame, n);
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++)
        summary->anomalies[bit] += anomalies >> bit & 1;
}

static tap_packet_status summary_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                       tap_flags_t flags _U_) {
    struct summary *summary = data;
    const struct fs_tap_frame *frame = record;
    summary->frames++;
    summary->frame_bytes += pinfo->fd->pkt_len;
    if (frame->count)
        summary->tracked++;
    else if (frame->reject)
        summary->untracked[frame->reject]++;
    else
        summary->unknown++;
    if (frame->count > 1)
        summary->carried++;
    for (unsigned n = 0; n < frame->count; n++)
        add_packet(summary, pinfo->num, n, &frame->packets[n]);
    return TAP_PACKET_REDRAW;
}

/* ---- lines ---- */

/* Where the lines go: standard output, or the rows of a dialog. */
struct output {
    void (*line)(void *user, const char *group, const char *name, const char *value);
    void *user;
};

static void put(const struct output *output, const char *group, const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    output->line(output->user, group, name, text);
}

static void put_if(const struct output *output, const char *group, const char *name, uint64_t value) {
    if (value)
        put(output, group, name, value);
}

static void put_ms(const struct output *output, const char *group, const char *name, uint64_t ns) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 ".%03u", ns / 1000000, (unsigned)(ns % 1000000 / 1000));
    output->line(output->user, group, name, text);
}

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

static void put_spread(const struct output *output, const char *group, const struct spread *spread) {
    if (!spread->count)
        return;
    put(output, group, "flows", spread->count);
    put_ms(output, group, "minimum [ms]", spread->minimum);
    put_ms(output, group, "mean [ms]", spread->sum / spread->count);
    put_ms(output, group, "maximum [ms]", spread->maximum);
}

/* The flows that the chosen frames belong to. */
struct flow_totals {
    uint64_t count, forgotten;
    uint64_t states[FS_STATE_COUNT], ends[FS_END_COUNT];
    uint64_t protocols[256], ip_pairs, mac_pairs;
    uint64_t midstream, one_sided, zero_windows;
    struct spread handshake, rtt;
};

static void add_flow(struct flow_totals *totals, const struct fs_flow_info *info) {
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
        if (info->tcp[side].rtt.samples)
            spread_add(&totals->rtt, info->tcp[side].rtt.mean_ns);
    }
}

static void add_flows(struct flow_totals *totals, const GArray *seen, bool final) {
    memset(totals, 0, sizeof *totals);
    for (uint32_t id = 0; id < seen->len; id++) {
        struct fs_flow_info info;
        if (!g_array_index(seen, uint8_t, id))
            continue;
        if (!fs_store_flow(id, &info)) {
            totals->forgotten++;
            continue;
        }
        if (final && info.end == FS_END_LIVE)
            info.end = FS_END_INPUT;
        add_flow(totals, &info);
    }
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
    for (int reason = 1; reason < FS_REJECT_COUNT; reason++)
        put_if(output, "Untracked frames", fs_reject_text(reason), summary->untracked[reason]);
    put_if(output, "Untracked frames", "not remembered (preferences track, max_frames)", summary->unknown);
    put(output, "Packets", "counted in flows", summary->packets);
    put_if(output, "Packets", "quoted in ICMP errors", summary->quoted);
    put(output, "Packets", "IP bytes", summary->ip_bytes);
    put(output, "Packets", "payload bytes", summary->payload_bytes);
}

static void put_protocols(const struct output *output, const struct flow_totals *totals) {
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        struct fs_flow_info info = {.key = {.protocol = (uint8_t)protocol, .kind = FS_KEY_5TUPLE}};
        char name[16];
        fs_text_protocol(&info, name, sizeof name);
        put_if(output, "Flows by protocol", name, totals->protocols[protocol]);
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

/* `final`: the capture has been read, so what is still open ended with it. */
static void put_all(const struct output *output, const struct summary *summary, bool final) {
    struct flow_totals *totals = g_new(struct flow_totals, 1);
    add_flows(totals, summary->seen, final);
    put_frames(output, summary);
    put_flows(output, totals);
    put(output, "TCP", "retransmitted segments", summary->retransmissions);
    put(output, "TCP", "retransmitted bytes", summary->retransmitted_bytes);
    put(output, "TCP", "zero windows", totals->zero_windows);
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++)
        put_if(output, "Anomalies", fs_anomaly_text(1U << bit), summary->anomalies[bit]);
    g_free(totals);
}

/* ---- tshark: text ---- */

struct text_output {
    char group[64];
};

static void text_line(void *user, const char *group, const char *name, const char *value) {
    struct text_output *output = user;
    if (strcmp(output->group, group) != 0) {
        printf("%s\n", group);
        (void)g_strlcpy(output->group, group, sizeof output->group);
    }
    printf("  %-60s  %20s\n", name, value);
}

static void text_draw(void *data) {
    const struct summary *summary = data;
    struct text_output text = {""};
    struct output output = {text_line, &text};
    printf("\nFlowscope summary%s%s\n", summary->filter ? " of " : "", summary->filter ? summary->filter : "");
    put_all(&output, summary, true);
}

static FS_TAP_INIT_RESULT text_listen(const char *filter) {
    struct summary *summary = summary_new(filter);
    if (!fs_argument_listen("flowscope_frame", summary, filter, summary_reset, summary_frame, text_draw,
                            summary_free)) {
        summary_free(summary);
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

/* ---- GUI and sharkd: a table of lines, made anew with every frame that comes in a batch ---- */

static struct summary *gui_summary;

static stat_tap_table_item gui_columns[] = {
    {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "What", "%-40s"},
    {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "", "%-60s"},
    {TABLE_ITEM_STRING, TAP_ALIGN_RIGHT, "Value", "%20s"},
};

struct gui_output {
    stat_tap_table *table;
    guint row;
};

static void gui_set(stat_tap_table_item_type *item, const char *text) {
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)(uintptr_t)item->value.string_value);
    item->type = TABLE_ITEM_STRING;
    item->value.string_value = g_strdup(text);
}

static void gui_line(void *user, const char *group, const char *name, const char *value) {
    struct gui_output *output = user;
    const char *const texts[] = {group, name, value};
    if (output->row == output->table->num_elements) {
        stat_tap_table_item_type items[FS_LENGTH_OF(texts)];
        memset(items, 0, sizeof items);
        for (unsigned c = 0; c < FS_LENGTH_OF(texts); c++)
            gui_set(&items[c], texts[c]);
        stat_tap_init_table_row(output->table, output->row, FS_LENGTH_OF(texts), items);
    } else {
        for (unsigned c = 0; c < FS_LENGTH_OF(texts); c++)
            gui_set(stat_tap_get_field_data(output->table, output->row, c), texts[c]);
    }
    output->row++;
}

static void gui_free_item(stat_tap_table *table _U_, guint row _U_, guint column _U_, stat_tap_table_item_type *item) {
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)(uintptr_t)item->value.string_value);
    memset(item, 0, sizeof *item);
}

static void gui_reset(stat_tap_table *table) {
    for (guint row = 0; row < table->num_elements; row++) {
        for (guint c = 0; c < FS_LENGTH_OF(gui_columns); c++)
            gui_free_item(table, row, c, stat_tap_get_field_data(table, row, c));
        g_free(table->elements[row]);
    }
    g_free(table->elements);
    table->elements = NULL;
    table->num_elements = 0;
    if (gui_summary)
        summary_reset(gui_summary);
}

static void gui_init(stat_tap_table_ui *ui) {
    const char *name = "Flowscope Summary";
    if (!gui_summary)
        gui_summary = summary_new(NULL);
    stat_tap_table *table = stat_tap_find_table(ui, name);
    if (table) {
        gui_reset(table);
        return;
    }
    summary_reset(gui_summary);
    table = stat_tap_init_table(name, (int)FS_LENGTH_OF(gui_columns), 0, NULL);
    stat_tap_add_table(ui, table);
}

/* A table has no call at the end: the lines are written while frames come, at powers of two and whenever a frame ends
 * the file. */
static bool is_time_to_write(const struct summary *summary, const packet_info *pinfo,
                             const struct fs_pipeline_stats *all) {
    bool power = (summary->frames & (summary->frames - 1)) == 0;
    return power || pinfo->num >= all->frames || summary->frames % 1024 == 0;
}

static tap_packet_status gui_frame(void *data, packet_info *pinfo, epan_dissect_t *edt, const void *record,
                                   tap_flags_t flags) {
    stat_data_t *stat = data;
    struct fs_pipeline_stats all;
    summary_frame(gui_summary, pinfo, edt, record, flags);
    fs_store_stats(&all);
    if (!is_time_to_write(gui_summary, pinfo, &all))
        return TAP_PACKET_DONT_REDRAW;
    stat_tap_table *table = g_array_index(stat->stat_tap_data->tables, stat_tap_table *, 0);
    struct gui_output gui = {table, 0};
    struct output output = {gui_line, &gui};
    put_all(&output, gui_summary, false);
    return TAP_PACKET_REDRAW;
}

static tap_param filter_parameter[] = {{PARAM_FILTER, "filter", "Filter", NULL, TRUE}};

void fs_stats_register(void) {
    if (fs_tap_is_tshark()) {
        static stat_tap_ui stats = {
            REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope Summary", "flowscope,stats", text_init,
            FS_LENGTH_OF(filter_parameter),      filter_parameter};
        static stat_tap_ui plain = {REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope", "flowscope", plain_init, 0, NULL};
        register_stat_tap_ui(&stats, NULL);
        register_stat_tap_ui(&plain, NULL);
        return;
    }
    static stat_tap_table_ui table = {REGISTER_PACKET_STAT_GROUP_UNSORTED,
                                      "Flowscope Summary",
                                      "flowscope_frame",
                                      "flowscope,stats",
                                      gui_init,
                                      gui_frame,
                                      gui_reset,
                                      gui_free_item,
                                      NULL,
                                      FS_LENGTH_OF(gui_columns),
                                      gui_columns,
                                      FS_LENGTH_OF(filter_parameter),
                                      filter_parameter,
                                      NULL,
                                      0};
    register_stat_tap_table_ui(&table);
}
