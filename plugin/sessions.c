/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sessions.h"

#include "argument.h"
#include "messages.h"
#include "prefs.h"
#include "store.h"
#include "table.h"
#include "text.h"

#include <stdio.h>

/* ---- rows ---- */

enum {
    COLUMN_FRAME,
    COLUMN_TIME,
    COLUMN_FLOW,
    COLUMN_PROTOCOL,
    COLUMN_SERVER,
    COLUMN_OTHER,
    COLUMN_BYTES,
    COLUMN_MS,
    COLUMN_MARKS,
    COLUMN_TEXT,
    COLUMNS
};

static const struct fs_column columns[COLUMNS] = {{"Frame", FS_COLUMN_COUNT}, {"Time[s]", FS_COLUMN_NUMBER},
                                                  {"Flow", FS_COLUMN_COUNT},  {"Protocol", FS_COLUMN_TEXT},
                                                  {"Server", FS_COLUMN_TEXT}, {"Other", FS_COLUMN_NUMBER},
                                                  {"Bytes", FS_COLUMN_COUNT}, {"Time[ms]", FS_COLUMN_NUMBER},
                                                  {"Marks", FS_COLUMN_TEXT},  {"Message", FS_COLUMN_TEXT}};

static const struct fs_table table;

struct row {
    uint32_t frame, other, flow;
    uint64_t start_ns, bytes, time_ns;
    const char *protocol;
    bool incomplete, unanswered, has_request, is_response;
    char server[FS_TEXT_ENDPOINT];
    char *text;
};

static void name_server(uint32_t flow, char server[FS_TEXT_ENDPOINT]) {
    struct fs_flow_facts facts;
    (void)g_strlcpy(server, "-", FS_TEXT_ENDPOINT);
    if (fs_store_flow(flow, &facts))
        fs_text_endpoint(&facts.info, FS_RESPONDER, server, FS_TEXT_ENDPOINT);
}

/* False for a request whose response, or first sending, has the row. */
static bool make_row(const struct fs_message_entry *entry, struct row *row) {
    if (entry->kind == FS_MESSAGE_REQUEST && (entry->response_frame || entry->first))
        return false;
    *row = (struct row){.frame = entry->frame,
                        .other = entry->request_frame,
                        .flow = entry->flow,
                        .start_ns = entry->start_ns,
                        .bytes = entry->bytes,
                        .time_ns = entry->time_ns,
                        .protocol = fs_session_protocol_name(entry->protocol),
                        .incomplete = entry->incomplete,
                        .unanswered = entry->unanswered || entry->kind == FS_MESSAGE_REQUEST,
                        .has_request = entry->request_frame != 0,
                        .is_response = entry->kind == FS_MESSAGE_RESPONSE,
                        .text = entry->text};
    name_server(entry->flow, row->server);
    return true;
}

static void write_time(char cell[FS_CELL], uint64_t time_ns) {
    uint64_t start = fs_store_start_ns();
    uint64_t distance = time_ns >= start ? time_ns - start : start - time_ns;
    snprintf(cell, FS_CELL, "%s%" PRIu64 ".%06u", time_ns < start ? "-" : "", distance / 1000000000,
             (unsigned)(distance % 1000000000 / 1000));
}

static void write_marks(const struct row *row, char cell[FS_CELL]) {
    cell[0] = '\0';
    if (row->unanswered)
        (void)g_strlcat(cell, "unanswered", FS_CELL);
    if (row->is_response && !row->has_request)
        (void)g_strlcat(cell, "no-request", FS_CELL);
    if (row->incomplete)
        (void)g_strlcat(cell, cell[0] ? "+incomplete" : "incomplete", FS_CELL);
    if (!cell[0])
        (void)g_strlcpy(cell, "-", FS_CELL);
}

static void write_milliseconds(char cell[FS_CELL], uint64_t ns) {
    snprintf(cell, FS_CELL, "%" PRIu64 ".%03u", ns / 1000000, (unsigned)(ns % 1000000 / 1000));
}

static void write_optional(char cell[FS_CELL], bool known, uint64_t value) {
    if (known)
        snprintf(cell, FS_CELL, "%" PRIu64, value);
    else
        (void)g_strlcpy(cell, "-", FS_CELL);
}

/* The message itself is not cut to a cell: it is printed as it is. */
static const char *write_cell(const void *data, unsigned column, char *cell) {
    const struct row *row = data;
    switch (column) {
    case COLUMN_FRAME:
        write_optional(cell, true, row->frame);
        break;
    case COLUMN_TIME:
        write_time(cell, row->start_ns);
        break;
    case COLUMN_FLOW:
        write_optional(cell, true, row->flow);
        break;
    case COLUMN_PROTOCOL:
        (void)g_strlcpy(cell, row->protocol, FS_CELL);
        break;
    case COLUMN_SERVER:
        (void)g_strlcpy(cell, row->server, FS_CELL);
        break;
    case COLUMN_OTHER:
        write_optional(cell, row->other != 0, row->other);
        break;
    case COLUMN_BYTES:
        write_optional(cell, true, row->bytes);
        break;
    case COLUMN_MS:
        if (row->time_ns == FS_NO_TIME)
            (void)g_strlcpy(cell, "-", FS_CELL);
        else
            write_milliseconds(cell, row->time_ns);
        break;
    case COLUMN_MARKS:
        write_marks(row, cell);
        break;
    default:
        return row->text;
    }
    return cell;
}

/* ---- response times ---- */

struct times {
    GHashTable *by_server; /* "protocol server" to GArray of uint64_t */
};

static void free_times(void *data) {
    g_array_free(data, TRUE);
}

static void add_time(struct times *times, const char *protocol, const char *server, uint64_t time_ns) {
    char *name = g_strdup_printf("%s %s", protocol, server);
    GArray *values = g_hash_table_lookup(times->by_server, name);
    if (!values) {
        values = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_hash_table_insert(times->by_server, g_strdup(name), values);
    }
    g_array_append_val(values, time_ns);
    g_free(name);
}

static int compare_times(const void *a, const void *b) {
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Nearest rank. */
static uint64_t percentile(const GArray *sorted, unsigned percent) {
    uint64_t rank = ((uint64_t)sorted->len * percent + 99) / 100;
    return g_array_index(sorted, uint64_t, rank ? rank - 1 : 0);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_times(const struct times *times) {
    guint count;
    char **names = (char **)g_hash_table_get_keys_as_array(times->by_server, &count);
    if (count) {
        int width = (int)strlen("Protocol and server");
        for (guint i = 0; i < count; i++)
            width = (int)strlen(names[i]) > width ? (int)strlen(names[i]) : width;
        qsort(names, count, sizeof *names, compare_names);
        printf("\nResponse times [ms]; turns: estimated from turns of direction\n%-*s  %8s %12s %12s %12s %12s %12s\n",
               width, "Protocol and server", "Answers", "Minimum", "Median", "90 %", "99 %", "Maximum");
        for (guint i = 0; i < count; i++) {
            GArray *values = g_hash_table_lookup(times->by_server, names[i]);
            static const unsigned percents[] = {0, 50, 90, 99, 100};
            g_array_sort(values, compare_times);
            printf("%-*s  %8u", width, names[i], values->len);
            for (size_t p = 0; p < FS_LENGTH_OF(percents); p++) {
                char cell[FS_CELL];
                write_milliseconds(cell, percentile(values, percents[p]));
                printf(" %12s", cell);
            }
            fputs("\n", stdout);
        }
    }
    g_free(names);
}

/* ---- tshark: text ---- */

struct listener {
    GArray *frames; /* uint32_t: chosen frames that may show messages, in the order of the tap */
    GArray *kept;   /* struct row: of files that were closed since the last reset */
    struct times times;
    char *filter;
    uint64_t dropped;
};

static GSList *listeners;

bool fs_sessions_are_wanted(void) {
    return listeners != NULL;
}

static void clear_rows(GArray *rows) {
    for (guint i = 0; i < rows->len; i++)
        g_free(g_array_index(rows, struct row, i).text);
    g_array_set_size(rows, 0);
}

static void text_reset(void *data) {
    struct listener *listener = data;
    g_array_set_size(listener->frames, 0);
    clear_rows(listener->kept);
    g_hash_table_remove_all(listener->times.by_server);
    listener->dropped = 0;
}

static tap_packet_status text_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record _U_,
                                    tap_flags_t flags _U_) {
    struct listener *listener = data;
    g_array_append_val(listener->frames, pinfo->num);
    return TAP_PACKET_REDRAW;
}

static int compare_frames(const void *a, const void *b) {
    const uint32_t *x = a;
    const uint32_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool is_chosen(const GArray *frames, uint32_t frame) {
    return frames->len && bsearch(&frame, frames->data, frames->len, sizeof frame, compare_frames);
}

static void keep_messages(struct listener *listener) {
    for (guint i = 0; i < fs_messages_count(); i++) {
        struct row row;
        const struct fs_message_entry *entry = fs_messages_get(i);
        if (!is_chosen(listener->frames, entry->frame) || !make_row(entry, &row))
            continue;
        row.text = g_strdup(row.text);
        g_array_append_val(listener->kept, row);
        if (row.time_ns != FS_NO_TIME)
            add_time(&listener->times, row.protocol, row.server, row.time_ns);
    }
    listener->dropped += fs_messages_dropped();
}

static void keep_turns(struct listener *listener) {
    for (guint i = 0; i < fs_store_turn_count(); i++) {
        const struct fs_turn *turn = fs_store_turn(i);
        char server[FS_TEXT_ENDPOINT], protocol[FS_CELL];
        if (!is_chosen(listener->frames, turn->frame) || fs_store_has_messages(turn->flow))
            continue;
        name_server(turn->flow, server);
        snprintf(protocol, sizeof protocol, "%s, turns", fs_store_app(turn->flow));
        add_time(&listener->times, protocol, server, turn->time_ns);
    }
}

static void keep(struct listener *listener) {
    g_array_sort(listener->frames, compare_frames);
    keep_messages(listener);
    keep_turns(listener);
    g_array_set_size(listener->frames, 0);
}

/* With tshark -M the file is closed and opened again while listeners go on. */
void fs_sessions_keep(void) {
    if (!listeners)
        return;
    fs_store_finish(); /* what is unanswered is known then */
    for (GSList *at = listeners; at; at = at->next)
        keep(at->data);
}

static void print_head(const struct listener *listener) {
    uint64_t unanswered = 0, without_request = 0;
    for (guint i = 0; i < listener->kept->len; i++) {
        const struct row *row = &g_array_index(listener->kept, struct row, i);
        unanswered += row->unanswered;
        without_request += row->is_response && !row->has_request;
    }
    printf("\nFlowscope: %u messages and exchanges%s%s; requests without a response: %" PRIu64
           ", responses without a request: %" PRIu64 "\n",
           listener->kept->len, listener->filter ? " in " : "", listener->filter ? listener->filter : "", unanswered,
           without_request);
}

static void text_draw(void *data) {
    struct listener *listener = data;
    struct fs_layout layout;
    fs_store_finish();
    keep(listener);
    print_head(listener);
    fs_layout_init(&layout, &table, COLUMNS);
    for (guint i = 0; i < listener->kept->len; i++)
        fs_layout_measure(&layout, &g_array_index(listener->kept, struct row, i));
    fs_layout_print_titles(&layout);
    for (guint i = 0; i < listener->kept->len; i++)
        fs_layout_print(&layout, &g_array_index(listener->kept, struct row, i));
    if (listener->dropped)
        printf("\n%" PRIu64 " messages were not kept (preference flowscope.max_messages)\n", listener->dropped);
    print_times(&listener->times);
}

static void text_finish(void *data) {
    struct listener *listener = data;
    listeners = g_slist_remove(listeners, listener);
    clear_rows(listener->kept);
    g_array_free(listener->kept, TRUE);
    g_array_free(listener->frames, TRUE);
    g_hash_table_destroy(listener->times.by_server);
    g_free(listener->filter);
    g_free(listener);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,sessions", &filter))
        FS_TAP_INIT_FAIL;
    struct listener *listener = g_new0(struct listener, 1);
    listener->frames = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    listener->kept = g_array_new(FALSE, FALSE, sizeof(struct row));
    listener->times.by_server = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_times);
    listener->filter = g_strdup(filter);
    listeners = g_slist_prepend(listeners, listener);
    if (!fs_argument_listen("flowscope_frame", listener, filter, text_reset, text_frame, text_draw, text_finish)) {
        text_finish(listener);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

/* ---- GUI and sharkd: a table ---- */

static tap_packet_status gui_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record _U_,
                                   tap_flags_t flags _U_) {
    for (guint i = fs_messages_first(pinfo->num); i < fs_messages_count(); i++) {
        const struct fs_message_entry *entry = fs_messages_get(i);
        struct row row;
        if (entry->frame != pinfo->num)
            break;
        if (make_row(entry, &row))
            fs_table_add(&table, fs_table_of(data), &row, row.frame);
    }
    return TAP_PACKET_DONT_REDRAW; /* the dialog draws after the last packet */
}

static const struct fs_table table = {"Flowscope Sessions",
                                      "flowscope,sessions",
                                      "flowscope_frame",
                                      "frame.number == %u",
                                      columns,
                                      COLUMNS,
                                      write_cell,
                                      text_init,
                                      gui_frame,
                                      NULL,
                                      NULL};

void fs_sessions_register(void) {
    fs_table_register(&table);
}
