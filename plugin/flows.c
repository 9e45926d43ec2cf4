/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flows.h"

#include "argument.h"
#include "flow_row.h"
#include "store.h"

#include <stdio.h>

static const struct fs_table table;

/* Counters of the frames that a listener was given, by flow id. */
struct chosen {
    struct fs_counters side[2];
};

static void count(GArray *flows, const packet_info *pinfo, const struct fs_seen *seen) {
    uint32_t id = seen->record.flow;
    if (id >= flows->len)
        g_array_set_size(flows, id + 1);
    struct fs_counters *counters = &g_array_index(flows, struct chosen, id).side[fs_record_side(&seen->record)];
    counters->packets++;
    counters->wire_bytes += pinfo->fd->pkt_len;
    counters->ip_bytes += seen->packet ? seen->packet->ip_len : 0;
    counters->payload_bytes += seen->packet ? seen->packet->payload_len : 0;
}

static GArray *flows_new(void) {
    return g_array_new(FALSE, TRUE, sizeof(struct chosen));
}

static bool was_chosen(const GArray *flows, uint32_t id) {
    const struct chosen *chosen = &g_array_index(flows, struct chosen, id);
    return chosen->side[0].packets || chosen->side[1].packets;
}

static void set_chosen(const GArray *flows, uint32_t id, struct fs_row *row) {
    memcpy(row->chosen, g_array_index(flows, struct chosen, id).side, sizeof row->chosen);
}

/* False if the flow was forgotten. */
static bool make_row(const GArray *flows, uint32_t id, struct fs_row *row) {
    set_chosen(flows, id, row);
    row->start_ns = fs_store_start_ns();
    row->app = fs_store_app(id);
    return fs_store_flow(id, &row->facts);
}

/* ---- tshark: text ---- */

struct listener {
    GArray *flows;
    GArray *kept; /* struct fs_row: of files that were closed since the last reset */
    char *filter;
    uint64_t forgotten;
};

static GSList *listeners;

static void text_reset(void *data) {
    struct listener *listener = data;
    g_array_set_size(listener->flows, 0);
    g_array_set_size(listener->kept, 0);
    listener->forgotten = 0;
}

static tap_packet_status text_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                     tap_flags_t flags _U_) {
    struct listener *listener = data;
    count(listener->flows, pinfo, record);
    return TAP_PACKET_REDRAW;
}

/* Call `use` for each row, in the order of first packets. They are made one by one: all at once may be many. Returns
 * the number of flows that were forgotten. */
static uint64_t each_row(const struct listener *listener, void (*use)(const struct fs_row *row, void *user),
                         void *user) {
    uint64_t forgotten = listener->forgotten;
    for (guint r = 0; r < listener->kept->len; r++)
        use(&g_array_index(listener->kept, struct fs_row, r), user);
    for (uint32_t id = 0; id < listener->flows->len; id++) {
        struct fs_row row;
        if (!was_chosen(listener->flows, id))
            continue;
        if (!make_row(listener->flows, id, &row)) {
            forgotten++;
            continue;
        }
        /* The capture has been read, so what is still open ended with it. */
        if (row.facts.info.end == FS_END_LIVE)
            row.facts.info.end = FS_END_INPUT;
        use(&row, user);
    }
    return forgotten;
}

static void append_row(const struct fs_row *row, void *user) {
    g_array_append_vals((GArray *)user, row, 1);
}

/* With tshark -M the file is closed and opened again while listeners go on: what they counted is to stay. */
void fs_flows_keep(void) {
    for (GSList *at = listeners; at; at = at->next) {
        struct listener *listener = at->data;
        GArray *kept = g_array_new(FALSE, FALSE, sizeof(struct fs_row));
        listener->forgotten = each_row(listener, append_row, kept);
        g_array_free(listener->kept, TRUE);
        listener->kept = kept;
        g_array_set_size(listener->flows, 0);
    }
}

static void measure_row(const struct fs_row *row, void *layout) {
    fs_layout_measure(layout, row);
}

static void print_row(const struct fs_row *row, void *layout) {
    fs_layout_print(layout, row);
}

static void text_draw(void *data) {
    const struct listener *listener = data;
    struct fs_layout layout;
    fs_layout_init(&layout, &table, fs_flow_column_count());
    uint64_t forgotten = each_row(listener, measure_row, &layout);
    printf("\nFlowscope: %u flows%s%s; > from initiator to responder, < back\n", layout.rows,
           listener->filter ? " in " : "", listener->filter ? listener->filter : "");
    fs_layout_print_titles(&layout);
    each_row(listener, print_row, &layout);
    if (forgotten)
        printf("\n%" PRIu64 " flows were forgotten (preference flowscope.max_flows)\n", forgotten);
}

static void text_finish(void *data) {
    struct listener *listener = data;
    listeners = g_slist_remove(listeners, listener);
    g_array_free(listener->flows, TRUE);
    g_array_free(listener->kept, TRUE);
    g_free(listener->filter);
    g_free(listener);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,flows", &filter))
        FS_TAP_INIT_FAIL;
    struct listener *listener = g_new0(struct listener, 1);
    listener->flows = flows_new();
    listener->kept = g_array_new(FALSE, FALSE, sizeof(struct fs_row));
    listener->filter = g_strdup(filter);
    listeners = g_slist_prepend(listeners, listener);
    if (!fs_argument_listen("flowscope", listener, filter, text_reset, text_packet, text_draw, text_finish)) {
        text_finish(listener);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

/* ---- GUI and sharkd: a table ---- */

/* The table has no room for our counters: a state for each table, found by its address. */
struct gui_state {
    GArray *flows;
    GArray *rows; /* guint: row of a flow + 1, by id */
};

static GHashTable *gui_states; /* stat_tap_table* to struct gui_state* */

static void gui_state_free(void *data) {
    struct gui_state *state = data;
    g_array_free(state->flows, TRUE);
    g_array_free(state->rows, TRUE);
    g_free(state);
}

/* A new table may have the address of one that is gone. */
static void gui_opened(stat_tap_table *shown) {
    struct gui_state *state = g_new(struct gui_state, 1);
    state->flows = flows_new();
    state->rows = g_array_new(FALSE, TRUE, sizeof(guint));
    if (!gui_states)
        gui_states = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, gui_state_free);
    g_hash_table_replace(gui_states, shown, state);
}

static void set_counters(stat_tap_table *shown, guint at, unsigned side, const struct fs_row *row) {
    char cell[FS_CELL];
    for (unsigned c = FS_FLOW_FIRST_COUNTER + side; c < FS_FLOW_AFTER_COUNTERS; c += 2)
        fs_table_set(&table, shown, at, c, fs_flow_write(row, c, cell));
}

static tap_packet_status gui_packet(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    const struct fs_seen *seen = record;
    stat_tap_table *shown = fs_table_of(data);
    struct gui_state *state = g_hash_table_lookup(gui_states, shown);
    uint32_t id = seen->record.flow;
    struct fs_row row;
    count(state->flows, pinfo, seen);
    if (id >= state->rows->len)
        g_array_set_size(state->rows, id + 1);
    guint *at = &g_array_index(state->rows, guint, id);
    if (!*at && make_row(state->flows, id, &row)) {
        fs_table_add(&table, shown, &row, id);
        *at = shown->num_elements;
    } else if (*at) {
        set_chosen(state->flows, id, &row);
        set_counters(shown, *at - 1, fs_record_side(&seen->record), &row);
    }
    return TAP_PACKET_DONT_REDRAW; /* the dialog draws once, after the last packet: drawing is what takes time */
}

static void gui_reset(stat_tap_table *shown) {
    struct gui_state *state = g_hash_table_lookup(gui_states, shown);
    fs_table_clear(shown);
    g_array_set_size(state->flows, 0);
    g_array_set_size(state->rows, 0);
}

static const struct fs_table table = {"Flowscope Flows", "flowscope,flows", "flowscope",   "flowscope.flow == %u",
                                      fs_flow_columns,   FS_FLOW_COLUMNS,   fs_flow_write, text_init,
                                      gui_packet,        gui_opened,        gui_reset};

void fs_flows_register(void) {
    fs_table_register(&table);
}
