/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "anomalies.h"

#include "argument.h"
#include "store.h"
#include "table.h"
#include "text.h"

#include <stdio.h>

enum {
    COLUMN_FRAME,
    COLUMN_TIME,
    COLUMN_FLOW,
    COLUMN_FROM,
    COLUMN_TO,
    COLUMN_NAME,
    COLUMN_OTHER,
    COLUMN_TEXT,
    COLUMNS
};

static const struct fs_column columns[COLUMNS] = {{"Frame", FS_COLUMN_COUNT},  {"Time[s]", FS_COLUMN_NUMBER},
                                                  {"Flow", FS_COLUMN_COUNT},   {"From", FS_COLUMN_TEXT},
                                                  {"To", FS_COLUMN_TEXT},      {"Anomaly", FS_COLUMN_TEXT},
                                                  {"Other", FS_COLUMN_NUMBER}, {"Meaning", FS_COLUMN_TEXT}};

static const struct fs_table table;

/* One packet's; text is made when it is shown. */
struct entry {
    uint32_t frame, flow, other_frame;
    uint16_t anomalies;
    bool from_responder;
    uint64_t time_ns;
    char from[FS_TEXT_ENDPOINT], to[FS_TEXT_ENDPOINT];
};

static void fill(struct entry *entry, const packet_info *pinfo, const struct fs_seen *seen) {
    struct fs_flow_facts facts;
    unsigned side = fs_record_side(&seen->record);
    *entry = (struct entry){.frame = pinfo->num,
                            .flow = seen->record.flow,
                            .other_frame = seen->repeats_frame ? seen->repeats_frame : seen->hole_frame,
                            .anomalies = (uint16_t)seen->anomalies,
                            .from_responder = side == FS_RESPONDER,
                            .from = "-",
                            .to = "-"};
    if (!nstime_is_unset(&pinfo->rel_ts) && pinfo->rel_ts.secs >= 0)
        entry->time_ns = (uint64_t)pinfo->rel_ts.secs * 1000000000 + (uint64_t)pinfo->rel_ts.nsecs;
    if (!fs_store_flow(seen->record.flow, &facts))
        return;
    fs_text_endpoint(&facts.info, (enum fs_side)side, entry->from, sizeof entry->from);
    fs_text_endpoint(&facts.info, (enum fs_side) !side, entry->to, sizeof entry->to);
}

/* One of the packet's anomalies. */
struct row {
    const struct entry *entry;
    unsigned bit;
};

static const char *write_cell(const void *data, unsigned column, char *cell) {
    const struct row *row = data;
    const struct entry *entry = row->entry;
    switch (column) {
    case COLUMN_FRAME:
        snprintf(cell, FS_CELL, "%u", entry->frame);
        break;
    case COLUMN_TIME:
        snprintf(cell, FS_CELL, "%" PRIu64 ".%06u", entry->time_ns / 1000000000,
                 (unsigned)(entry->time_ns % 1000000000 / 1000));
        break;
    case COLUMN_FLOW:
        snprintf(cell, FS_CELL, "%u", entry->flow);
        break;
    case COLUMN_FROM:
        return entry->from;
    case COLUMN_TO:
        return entry->to;
    case COLUMN_NAME:
        return fs_anomaly_slug(1U << row->bit);
    case COLUMN_OTHER:
        if (entry->other_frame)
            snprintf(cell, FS_CELL, "%u", entry->other_frame);
        else
            (void)g_strlcpy(cell, "-", FS_CELL);
        break;
    default:
        return fs_anomaly_text(1U << row->bit);
    }
    return cell;
}

static void each_row(const struct entry *entry, void (*use)(const struct row *row, void *user), void *user) {
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        if (entry->anomalies >> bit & 1)
            use(&(struct row){entry, bit}, user);
    }
}

/* ---- tshark: text ---- */

struct listener {
    GArray *entries; /* struct entry */
    char *filter;
};

static void text_reset(void *data) {
    struct listener *listener = data;
    g_array_set_size(listener->entries, 0);
}

static tap_packet_status text_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                     tap_flags_t flags _U_) {
    struct listener *listener = data;
    const struct fs_seen *seen = record;
    struct entry entry;
    if (!seen->anomalies)
        return TAP_PACKET_DONT_REDRAW;
    fill(&entry, pinfo, seen);
    g_array_append_val(listener->entries, entry);
    return TAP_PACKET_REDRAW;
}

static void measure_row(const struct row *row, void *layout) {
    fs_layout_measure(layout, row);
}

static void print_row(const struct row *row, void *layout) {
    fs_layout_print(layout, row);
}

static void text_draw(void *data) {
    const struct listener *listener = data;
    struct fs_layout layout;
    fs_layout_init(&layout, &table, COLUMNS);
    for (guint i = 0; i < listener->entries->len; i++)
        each_row(&g_array_index(listener->entries, struct entry, i), measure_row, &layout);
    printf("\nFlowscope: %u anomalies%s%s\n", layout.rows, listener->filter ? " in " : "",
           listener->filter ? listener->filter : "");
    fs_layout_print_titles(&layout);
    for (guint i = 0; i < listener->entries->len; i++)
        each_row(&g_array_index(listener->entries, struct entry, i), print_row, &layout);
}

static void text_finish(void *data) {
    struct listener *listener = data;
    g_array_free(listener->entries, TRUE);
    g_free(listener->filter);
    g_free(listener);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,anomalies", &filter))
        FS_TAP_INIT_FAIL;
    struct listener *listener = g_new0(struct listener, 1);
    listener->entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
    listener->filter = g_strdup(filter);
    if (!fs_argument_listen("flowscope", listener, filter, text_reset, text_packet, text_draw, text_finish)) {
        text_finish(listener);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

/* ---- GUI and sharkd: a table ---- */

static void gui_add_row(const struct row *row, void *shown) {
    fs_table_add(&table, shown, row, row->entry->frame);
}

static tap_packet_status gui_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    const struct fs_seen *seen = record;
    struct entry entry;
    if (!seen->anomalies)
        return TAP_PACKET_DONT_REDRAW;
    fill(&entry, pinfo, seen);
    each_row(&entry, gui_add_row, fs_table_of(data));
    return TAP_PACKET_DONT_REDRAW; /* the dialog draws after the last packet */
}

static const struct fs_table table = {"Flowscope Anomalies",
                                      "flowscope,anomalies",
                                      "flowscope",
                                      "frame.number == %u",
                                      columns,
                                      COLUMNS,
                                      write_cell,
                                      text_init,
                                      gui_packet,
                                      NULL,
                                      NULL};

void fs_anomalies_register(void) {
    fs_table_register(&table);
}
