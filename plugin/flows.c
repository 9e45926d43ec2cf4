/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flows.h"

#include "argument.h"
#include "store.h"
#include "table.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

/* Counters of the frames that a listener was given, by flow id. */
struct chosen {
    struct fs_counters side[2];
};

static void count(GArray *flows, const struct fs_tap_packet *packet) {
    if (packet->record->flow >= flows->len)
        g_array_set_size(flows, packet->record->flow + 1);
    struct fs_counters *counters =
        &g_array_index(flows, struct chosen, packet->record->flow).side[fs_record_side(packet->record)];
    counters->packets++;
    counters->wire_bytes += packet->wire_bytes;
    counters->ip_bytes += packet->ip_bytes;
    counters->payload_bytes += packet->payload_bytes;
}

static GArray *flows_new(void) {
    return g_array_new(FALSE, TRUE, sizeof(struct chosen));
}

/* False if no frame of the flow was chosen, or it was forgotten. */
static bool make_row(const GArray *flows, uint32_t id, struct fs_row *row) {
    const struct chosen *chosen = &g_array_index(flows, struct chosen, id);
    if (!chosen->side[0].packets && !chosen->side[1].packets)
        return false;
    row->chosen[0] = chosen->side[0];
    row->chosen[1] = chosen->side[1];
    row->start_ns = fs_store_start_ns();
    return fs_store_flow(id, &row->info);
}

/* ---- tshark: text ---- */

struct listener {
    GArray *flows;
    char *filter;
};

static void text_reset(void *data) {
    struct listener *listener = data;
    g_array_set_size(listener->flows, 0);
}

static tap_packet_status text_packet(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                     tap_flags_t flags _U_) {
    struct listener *listener = data;
    count(listener->flows, record);
    return TAP_PACKET_REDRAW;
}

/* Text is printed when the capture has been read: what is still open then ended with it. */
static bool make_final_row(const GArray *flows, uint32_t id, struct fs_row *row) {
    if (!make_row(flows, id, row))
        return false;
    if (row->info.end == FS_END_LIVE)
        row->info.end = FS_END_INPUT;
    return true;
}

static void measure(const GArray *flows, int *widths, unsigned *rows) {
    struct fs_row row;
    char cell[FS_CELL];
    *rows = 0;
    for (unsigned c = 0; c < fs_flow_column_count; c++)
        widths[c] = (int)strlen(fs_flow_columns[c].title);
    for (uint32_t id = 0; id < flows->len; id++) {
        if (!make_final_row(flows, id, &row))
            continue;
        (*rows)++;
        for (unsigned c = 0; c < fs_flow_column_count; c++) {
            fs_flow_columns[c].write(&row, cell);
            int width = (int)strlen(cell);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
}

static void print_cell(unsigned column, int width, const char *cell) {
    bool last = column + 1 == fs_flow_column_count;
    if (fs_flow_columns[column].number)
        printf("%*s", width, cell);
    else
        printf("%-*s", last ? 0 : width, cell);
    fputs(last ? "\n" : "  ", stdout);
}

static void text_draw(void *data) {
    const struct listener *listener = data;
    int *widths = g_new(int, fs_flow_column_count);
    unsigned rows;
    struct fs_row row;
    char cell[FS_CELL];
    measure(listener->flows, widths, &rows);
    printf("\nFlowscope: %u flows%s%s; > from initiator to responder, < back\n", rows, listener->filter ? " in " : "",
           listener->filter ? listener->filter : "");
    for (unsigned c = 0; c < fs_flow_column_count; c++)
        print_cell(c, widths[c], fs_flow_columns[c].title);
    for (uint32_t id = 0; id < listener->flows->len; id++) {
        if (!make_final_row(listener->flows, id, &row))
            continue;
        for (unsigned c = 0; c < fs_flow_column_count; c++) {
            fs_flow_columns[c].write(&row, cell);
            print_cell(c, widths[c], cell);
        }
    }
    uint64_t forgotten = fs_store_forgotten();
    if (forgotten)
        printf("\n%" PRIu64 " flows were forgotten (preference flowscope.max_flows)\n", forgotten);
    g_free(widths);
}

static void text_finish(void *data) {
    struct listener *listener = data;
    g_array_free(listener->flows, TRUE);
    g_free(listener->filter);
    g_free(listener);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,flows", &filter))
        FS_TAP_INIT_FAIL;
    struct listener *listener = g_new0(struct listener, 1);
    listener->flows = flows_new();
    listener->filter = g_strdup(filter);
    if (!fs_argument_listen("flowscope", listener, filter, text_reset, text_packet, text_draw, text_finish)) {
        text_finish(listener);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

/* ---- GUI and sharkd: a table ---- */

/* The table has no room for our counters: one array each, found by the table. */
struct gui_state {
    GArray *flows;
    GArray *rows; /* guint: row of a flow + 1, by id */
};

static GHashTable *gui_states; /* stat_tap_table* to struct gui_state* */
static stat_tap_table_item *gui_columns;

static struct gui_state *gui_state_of(stat_tap_table *table) {
    if (!gui_states)
        gui_states = g_hash_table_new(g_direct_hash, g_direct_equal);
    struct gui_state *state = g_hash_table_lookup(gui_states, table);
    if (state)
        return state;
    state = g_new(struct gui_state, 1);
    state->flows = flows_new();
    state->rows = g_array_new(FALSE, TRUE, sizeof(guint));
    g_hash_table_insert(gui_states, table, state);
    return state;
}

/* Numbers that fit are numbers, so that the dialog sorts them as such. */
static void set_item(stat_tap_table_item_type *item, const struct fs_column *column, const struct fs_row *row) {
    char cell[FS_CELL];
    char *end;
    column->write(row, cell);
    errno = 0;
    unsigned long long value = strtoull(cell, &end, 10);
    bool fits = column->number && cell[0] != '\0' && *end == '\0' && cell[0] != '-' && value <= UINT32_MAX;
    double real = column->number && !fits ? g_ascii_strtod(cell, &end) : 0;
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)(uintptr_t)item->value.string_value);
    if (fits) {
        item->type = TABLE_ITEM_UINT;
        item->value.uint_value = (guint)value;
    } else if (column->number && !fits && *end == '\0' && cell[0] != '\0') {
        item->type = TABLE_ITEM_FLOAT;
        item->value.float_value = real;
    } else {
        item->type = TABLE_ITEM_STRING;
        item->value.string_value = g_strdup(cell);
    }
}

static void gui_add_row(stat_tap_table *table, const struct fs_row *row) {
    stat_tap_table_item_type *items = g_new0(stat_tap_table_item_type, fs_flow_column_count);
    for (unsigned c = 0; c < fs_flow_column_count; c++)
        set_item(&items[c], &fs_flow_columns[c], row);
    items[0].user_data.uint_value = (guint)row->info.id;
    stat_tap_init_table_row(table, table->num_elements, fs_flow_column_count, items);
    g_free(items);
}

/* A table that was freed tells nobody; a new one may have its address. */
static void forget_gui_state(stat_tap_table *table) {
    struct gui_state *state = gui_states ? g_hash_table_lookup(gui_states, table) : NULL;
    if (!state)
        return;
    g_hash_table_remove(gui_states, table);
    g_array_free(state->flows, TRUE);
    g_array_free(state->rows, TRUE);
    g_free(state);
}

static void gui_init(stat_tap_table_ui *ui) {
    const char *name = "Flowscope Flows";
    stat_tap_table *table = stat_tap_find_table(ui, name);
    if (table) {
        if (ui->stat_tap_reset_table_cb)
            ui->stat_tap_reset_table_cb(table);
        return;
    }
    table = stat_tap_init_table(name, (int)fs_flow_column_count, 0, "flowscope.flow == %u");
    forget_gui_state(table);
    stat_tap_add_table(ui, table);
}

static tap_packet_status gui_packet(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    stat_data_t *stat = data;
    const struct fs_tap_packet *packet = record;
    stat_tap_table *table = g_array_index(stat->stat_tap_data->tables, stat_tap_table *, 0);
    struct gui_state *state = gui_state_of(table);
    uint32_t id = packet->record->flow;
    struct fs_row row;
    count(state->flows, packet);
    if (!make_row(state->flows, id, &row))
        return TAP_PACKET_DONT_REDRAW;
    if (id >= state->rows->len)
        g_array_set_size(state->rows, id + 1);
    guint *at = &g_array_index(state->rows, guint, id);
    if (!*at) {
        gui_add_row(table, &row);
        *at = table->num_elements;
        return TAP_PACKET_REDRAW;
    }
    for (unsigned c = 0; c < fs_flow_column_count; c++) {
        if (fs_flow_columns[c].counted)
            set_item(stat_tap_get_field_data(table, *at - 1, c), &fs_flow_columns[c], &row);
    }
    return TAP_PACKET_REDRAW;
}

static void gui_free_item(stat_tap_table *table _U_, guint row _U_, guint column _U_, stat_tap_table_item_type *item) {
    if (item->type != TABLE_ITEM_STRING)
        return;
    g_free((char *)(uintptr_t)item->value.string_value);
    item->value.string_value = NULL;
    item->type = TABLE_ITEM_NONE;
}

/* The rows stay, empty: a table cannot shrink. Those that come again fill the next ones. */
static void gui_reset(stat_tap_table *table) {
    struct gui_state *state = gui_state_of(table);
    for (guint r = 0; r < table->num_elements; r++) {
        for (unsigned c = 0; c < fs_flow_column_count; c++)
            gui_free_item(table, r, c, stat_tap_get_field_data(table, r, c));
        g_free(table->elements[r]);
    }
    g_free(table->elements);
    table->elements = NULL;
    table->num_elements = 0;
    g_array_set_size(state->flows, 0);
    g_array_set_size(state->rows, 0);
}

static tap_param filter_parameter[] = {{PARAM_FILTER, "filter", "Filter", NULL, TRUE}};

void fs_flows_register(void) {
    if (fs_tap_is_tshark()) {
        static stat_tap_ui text = {REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope Flows", "flowscope,flows", text_init,
                                   FS_LENGTH_OF(filter_parameter),      filter_parameter};
        register_stat_tap_ui(&text, NULL);
        return;
    }
    static stat_tap_table_ui table = {REGISTER_PACKET_STAT_GROUP_UNSORTED,
                                      "Flowscope Flows",
                                      "flowscope",
                                      "flowscope,flows",
                                      gui_init,
                                      gui_packet,
                                      gui_reset,
                                      gui_free_item,
                                      NULL,
                                      0,
                                      NULL,
                                      FS_LENGTH_OF(filter_parameter),
                                      filter_parameter,
                                      NULL,
                                      0};
    gui_columns = g_new0(stat_tap_table_item, fs_flow_column_count);
    for (unsigned c = 0; c < fs_flow_column_count; c++) {
        gui_columns[c].type = fs_flow_columns[c].number ? TABLE_ITEM_UINT : TABLE_ITEM_STRING;
        gui_columns[c].align = fs_flow_columns[c].number ? TAP_ALIGN_RIGHT : TAP_ALIGN_LEFT;
        gui_columns[c].column_name = fs_flow_columns[c].title;
        gui_columns[c].field_format = "%u";
    }
    table.nfields = fs_flow_column_count;
    table.fields = gui_columns;
    register_stat_tap_table_ui(&table);
}
