/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "anomalies.h"

#include "argument.h"
#include "store.h"
#include "table.h"
#include "tap.h"
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

static const struct {
    const char *title;
    bool number;
} columns[COLUMNS] = {{"Frame", true}, {"Time[s]", true},  {"Flow", true},  {"From", false},
                      {"To", false},   {"Anomaly", false}, {"Other", true}, {"Meaning", false}};

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

static void write_cell(const struct entry *entry, unsigned bit, unsigned column, char cell[FS_CELL]) {
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
        (void)g_strlcpy(cell, entry->from, FS_CELL);
        break;
    case COLUMN_TO:
        (void)g_strlcpy(cell, entry->to, FS_CELL);
        break;
    case COLUMN_NAME:
        (void)g_strlcpy(cell, fs_anomaly_slug(1U << bit), FS_CELL);
        break;
    case COLUMN_OTHER:
        if (entry->other_frame)
            snprintf(cell, FS_CELL, "%u", entry->other_frame);
        else
            (void)g_strlcpy(cell, "-", FS_CELL);
        break;
    default:
        (void)g_strlcpy(cell, fs_anomaly_text(1U << bit), FS_CELL);
    }
}

static void each_bit(const struct entry *entry, void (*use)(const struct entry *entry, unsigned bit, void *user),
                     void *user) {
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        if (entry->anomalies >> bit & 1)
            use(entry, bit, user);
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

struct layout {
    int widths[COLUMNS];
    unsigned rows;
};

static void measure(const struct entry *entry, unsigned bit, void *user) {
    struct layout *layout = user;
    char cell[FS_CELL];
    layout->rows++;
    for (unsigned c = 0; c < COLUMNS; c++) {
        write_cell(entry, bit, c, cell);
        int width = (int)strlen(cell);
        layout->widths[c] = width > layout->widths[c] ? width : layout->widths[c];
    }
}

static void print_cell(const struct layout *layout, unsigned column, const char *cell) {
    bool last = column + 1 == COLUMNS;
    printf(columns[column].number ? "%*s" : "%-*s", last ? 0 : layout->widths[column], cell);
    fputs(last ? "\n" : "  ", stdout);
}

static void print_row(const struct entry *entry, unsigned bit, void *user) {
    char cell[FS_CELL];
    for (unsigned c = 0; c < COLUMNS; c++) {
        write_cell(entry, bit, c, cell);
        print_cell(user, c, cell);
    }
}

static void text_draw(void *data) {
    const struct listener *listener = data;
    struct layout layout = {.rows = 0};
    for (unsigned c = 0; c < COLUMNS; c++)
        layout.widths[c] = (int)strlen(columns[c].title);
    for (guint i = 0; i < listener->entries->len; i++)
        each_bit(&g_array_index(listener->entries, struct entry, i), measure, &layout);
    printf("\nFlowscope: %u anomalies%s%s\n", layout.rows, listener->filter ? " in " : "",
           listener->filter ? listener->filter : "");
    for (unsigned c = 0; c < COLUMNS; c++)
        print_cell(&layout, c, columns[c].title);
    for (guint i = 0; i < listener->entries->len; i++)
        each_bit(&g_array_index(listener->entries, struct entry, i), print_row, &layout);
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

static void gui_add_row(const struct entry *entry, unsigned bit, void *user) {
    stat_tap_table *table = user;
    stat_tap_table_item_type *items = g_new0(stat_tap_table_item_type, COLUMNS);
    char cell[FS_CELL];
    for (unsigned c = 0; c < COLUMNS; c++) {
        write_cell(entry, bit, c, cell);
        fs_table_set_item(&items[c], columns[c].number, cell);
    }
    items[0].user_data.uint_value = entry->frame;
    stat_tap_init_table_row(table, table->num_elements, COLUMNS, items);
    g_free(items);
}

static void gui_init(stat_tap_table_ui *ui) {
    const char *name = "Flowscope Anomalies";
    stat_tap_table *table = stat_tap_find_table(ui, name);
    if (table) {
        if (ui->stat_tap_reset_table_cb)
            ui->stat_tap_reset_table_cb(table);
        return;
    }
    stat_tap_add_table(ui, stat_tap_init_table(name, COLUMNS, 0, "frame.number == %u"));
}

static tap_packet_status gui_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    stat_data_t *stat = data;
    const struct fs_seen *seen = record;
    struct entry entry;
    if (!seen->anomalies)
        return TAP_PACKET_DONT_REDRAW;
    fill(&entry, pinfo, seen);
    each_bit(&entry, gui_add_row, g_array_index(stat->stat_tap_data->tables, stat_tap_table *, 0));
    return TAP_PACKET_REDRAW;
}

static tap_param filter_parameter[] = {{PARAM_FILTER, "filter", "Filter", NULL, TRUE}};

void fs_anomalies_register(void) {
    if (fs_tap_is_tshark()) {
        static stat_tap_ui text = {
            REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope Anomalies", "flowscope,anomalies", text_init,
            FS_LENGTH_OF(filter_parameter),      filter_parameter};
        register_stat_tap_ui(&text, NULL);
        return;
    }
    static stat_tap_table_item items[COLUMNS];
    static stat_tap_table_ui table = {REGISTER_PACKET_STAT_GROUP_UNSORTED,
                                      "Flowscope Anomalies",
                                      "flowscope",
                                      "flowscope,anomalies",
                                      gui_init,
                                      gui_packet,
                                      fs_table_clear,
                                      fs_table_free_item,
                                      NULL,
                                      COLUMNS,
                                      items,
                                      FS_LENGTH_OF(filter_parameter),
                                      filter_parameter,
                                      NULL,
                                      0};
    for (unsigned c = 0; c < COLUMNS; c++) {
        items[c].type = columns[c].number ? TABLE_ITEM_UINT : TABLE_ITEM_STRING;
        items[c].align = columns[c].number ? TAP_ALIGN_RIGHT : TAP_ALIGN_LEFT;
        items[c].column_name = columns[c].title;
        items[c].field_format = "%u";
    }
    register_stat_tap_table_ui(&table);
}
