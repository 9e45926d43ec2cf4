/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "duplicate_table.h"

#include "argument.h"
#include "duplicates.h"
#include "table.h"
#include "tap.h"

#include <stdio.h>

/* ---- copies ---- */

enum {
    COLUMN_FRAME,
    COLUMN_TIME,
    COLUMN_ORIGINAL,
    COLUMN_PREVIOUS,
    COLUMN_DELTA,
    COLUMN_HOPS,
    COLUMN_FLOW,
    COLUMN_MODE,
    COLUMN_DIFFERENCES,
    COLUMN_EVIDENCE,
    COLUMN_GROUNDS,
    COLUMN_TREATMENT,
    COLUMN_PAIR,
    COLUMNS
};

static const struct fs_column columns[COLUMNS] = {
    {"Frame", FS_COLUMN_COUNT},    {"Time[s]", FS_COLUMN_NUMBER},   {"CopyOf", FS_COLUMN_COUNT},
    {"Compared", FS_COLUMN_COUNT}, {"Delta[us]", FS_COLUMN_NUMBER}, {"Hops", FS_COLUMN_NUMBER},
    {"Flow", FS_COLUMN_NUMBER},    {"Mode", FS_COLUMN_TEXT},        {"Differences", FS_COLUMN_TEXT},
    {"Evidence", FS_COLUMN_TEXT},  {"Grounds", FS_COLUMN_TEXT},     {"Treatment", FS_COLUMN_TEXT},
    {"Pair", FS_COLUMN_COUNT}};

struct copy {
    struct fs_duplicate found;
    uint64_t time_ns; /* since the first frame */
    uint32_t flow;    /* or FS_RECORD_NO_FLOW */
};

static struct copy make_copy(const packet_info *pinfo, const struct fs_tap_frame *frame) {
    struct copy copy = {.found = *frame->duplicate, .flow = FS_RECORD_NO_FLOW};
    if (!nstime_is_unset(&pinfo->rel_ts) && pinfo->rel_ts.secs >= 0)
        copy.time_ns = (uint64_t)pinfo->rel_ts.secs * 1000000000 + (uint64_t)pinfo->rel_ts.nsecs;
    if (frame->count)
        copy.flow = frame->packets[frame->count - 1].record.flow;
    return copy;
}

static void write_number(char *cell, bool known, int64_t value) {
    if (known)
        snprintf(cell, FS_CELL, "%" PRId64, value);
    else
        (void)g_strlcpy(cell, "-", FS_CELL);
}

static void write_delta(char *cell, int64_t ns) {
    uint64_t distance = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    snprintf(cell, FS_CELL, "%s%" PRIu64 ".%03u", ns < 0 ? "-" : "", distance / 1000, (unsigned)(distance % 1000));
}

static const char *write_copy(const void *row, unsigned column, char *cell) {
    static const char *const treatments[FS_TREATMENT_COUNT] = {"marked", "excluded", "kept", "withheld"};
    const struct copy *copy = row;
    const struct fs_duplicate *found = &copy->found;
    switch (column) {
    case COLUMN_FRAME:
        write_number(cell, true, found->frame);
        break;
    case COLUMN_TIME:
        snprintf(cell, FS_CELL, "%" PRIu64 ".%06u", copy->time_ns / 1000000000,
                 (unsigned)(copy->time_ns % 1000000000 / 1000));
        break;
    case COLUMN_ORIGINAL:
        write_number(cell, true, found->original);
        break;
    case COLUMN_PREVIOUS:
        write_number(cell, true, found->previous);
        break;
    case COLUMN_DELTA:
        write_delta(cell, found->delta_ns);
        break;
    case COLUMN_HOPS:
        write_number(cell, found->hops != FS_DEDUP_NO_HOPS, found->hops);
        break;
    case COLUMN_FLOW:
        write_number(cell, copy->flow != FS_RECORD_NO_FLOW, copy->flow);
        break;
    case COLUMN_MODE:
        return fs_dedup_mode_name(found->mode);
    case COLUMN_DIFFERENCES:
        fs_duplicates_join(cell, FS_CELL, found->differences, fs_dedup_difference_name);
        break;
    case COLUMN_EVIDENCE:
        return fs_dedup_evidence_name(found->evidence);
    case COLUMN_GROUNDS:
        fs_duplicates_join(cell, FS_CELL, found->grounds, fs_dedup_ground_name);
        break;
    case COLUMN_TREATMENT:
        return treatments[found->treatment];
    default:
        write_number(cell, true, found->pair);
    }
    return cell;
}

/* ---- pairs of places ---- */

enum { COLUMN_NUMBER, COLUMN_FIRST, COLUMN_COPY, COLUMN_DISTANCE, COLUMN_COUNT, COLUMN_SHARE, PAIR_COLUMNS };

static const struct fs_column pair_columns[PAIR_COLUMNS] = {
    {"Pair", FS_COLUMN_COUNT},  {"First", FS_COLUMN_TEXT},       {"Copy", FS_COLUMN_TEXT},
    {"Hops", FS_COLUMN_NUMBER}, {"Duplicates", FS_COLUMN_COUNT}, {"Share[%]", FS_COLUMN_NUMBER}};

struct pair {
    unsigned number;
    bool known; /* one of the first FS_DEDUP_PAIRS */
    struct fs_dedup_pair places;
    uint64_t count;
};

struct pair_row {
    const struct pair *pair;
    uint64_t all;
};

/* Interfaces of later sections have the section before them. */
static void write_place(char *cell, uint32_t interface, uint16_t vlan) {
    char section[16] = "", tag[16] = "";
    if (interface >> 16)
        snprintf(section, sizeof section, "%u/", (interface >> 16) + 1);
    if (vlan != FS_DEDUP_NO_VLAN)
        snprintf(tag, sizeof tag, ",VLAN%u", vlan);
    snprintf(cell, FS_CELL, "%s%u%s", section, interface & 0xffff, tag);
}

static const char *write_pair(const void *data, unsigned column, char *cell) {
    const struct pair_row *row = data;
    const struct pair *pair = row->pair;
    const struct fs_dedup_pair *places = &pair->places;
    uint64_t share = row->all ? pair->count * 10000 / row->all : 0;
    switch (column) {
    case COLUMN_NUMBER:
        write_number(cell, true, pair->number);
        break;
    case COLUMN_FIRST:
        if (!pair->known)
            return "elsewhere";
        write_place(cell, places->interface_first, places->vlan_first);
        break;
    case COLUMN_COPY:
        if (!pair->known)
            return "elsewhere";
        write_place(cell, places->interface_copy, places->vlan_copy);
        break;
    case COLUMN_DISTANCE:
        write_number(cell, pair->known && places->hops != FS_DEDUP_NO_HOPS, places->hops);
        break;
    case COLUMN_COUNT:
        write_number(cell, true, (int64_t)pair->count);
        break;
    default:
        snprintf(cell, FS_CELL, "%" PRIu64 ".%02u", share / 100, (unsigned)(share % 100));
    }
    return cell;
}

static bool is_same(const struct pair *a, const struct pair *b) {
    const struct fs_dedup_pair *x = &a->places;
    const struct fs_dedup_pair *y = &b->places;
    return a->number == b->number && a->known == b->known && x->interface_first == y->interface_first &&
           x->interface_copy == y->interface_copy && x->vlan_first == y->vlan_first && x->vlan_copy == y->vlan_copy &&
           x->hops == y->hops;
}

/* With several files (tshark -M) numbers come again: they and the places tell pairs. Its index is returned. */
static guint count_pair(GArray *pairs, uint8_t number) {
    struct pair pair = {.number = number, .count = 1};
    pair.known = fs_store_duplicate_pair(number, &pair.places);
    for (guint i = 0; i < pairs->len; i++) {
        struct pair *other = &g_array_index(pairs, struct pair, i);
        if (!is_same(other, &pair))
            continue;
        other->count++;
        return i;
    }
    g_array_append_val(pairs, pair);
    return pairs->len - 1;
}

static GArray *pairs_new(void) {
    return g_array_new(FALSE, TRUE, sizeof(struct pair));
}

static bool is_copy(const struct fs_tap_frame *frame) {
    return frame->duplicate && frame->duplicate->treatment != FS_DUPLICATE_WITHHELD;
}

/* ---- tshark: text ---- */

static const struct fs_table copy_table, pair_table;

struct listener {
    char *filter;
    uint64_t frames;
    GArray *copies; /* struct copy */
    GArray *pairs;  /* struct pair */
};

static void text_reset(void *data) {
    struct listener *listener = data;
    listener->frames = 0;
    g_array_set_size(listener->copies, 0);
    g_array_set_size(listener->pairs, 0);
}

static tap_packet_status text_frame(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    struct listener *listener = data;
    const struct fs_tap_frame *frame = record;
    listener->frames++;
    if (!is_copy(frame))
        return TAP_PACKET_DONT_REDRAW;
    struct copy copy = make_copy(pinfo, frame);
    g_array_append_val(listener->copies, copy);
    (void)count_pair(listener->pairs, frame->duplicate->pair);
    return TAP_PACKET_REDRAW;
}

static void print_copies(const GArray *copies) {
    struct fs_layout layout;
    fs_layout_init(&layout, &copy_table, COLUMNS);
    for (guint i = 0; i < copies->len; i++)
        fs_layout_measure(&layout, &g_array_index(copies, struct copy, i));
    fs_layout_print_titles(&layout);
    for (guint i = 0; i < copies->len; i++)
        fs_layout_print(&layout, &g_array_index(copies, struct copy, i));
}

static void print_pairs(const GArray *pairs, uint64_t all) {
    struct fs_layout layout;
    fs_layout_init(&layout, &pair_table, PAIR_COLUMNS);
    for (guint i = 0; i < pairs->len; i++)
        fs_layout_measure(&layout, &(struct pair_row){&g_array_index(pairs, struct pair, i), all});
    fs_layout_print_titles(&layout);
    for (guint i = 0; i < pairs->len; i++)
        fs_layout_print(&layout, &(struct pair_row){&g_array_index(pairs, struct pair, i), all});
}

static void text_draw(void *data) {
    const struct listener *listener = data;
    uint64_t share = listener->frames ? (uint64_t)listener->copies->len * 10000 / listener->frames : 0;
    printf("\nFlowscope: %u duplicates%s%s, %" PRIu64 ".%02u %% of %" PRIu64 " frames\n", listener->copies->len,
           listener->filter ? " in " : "", listener->filter ? listener->filter : "", share / 100,
           (unsigned)(share % 100), listener->frames);
    print_copies(listener->copies);
    printf("\nWhere first and copy were captured: interface and VLAN; hops from first to copy\n");
    print_pairs(listener->pairs, listener->copies->len);
}

static void text_finish(void *data) {
    struct listener *listener = data;
    g_array_free(listener->copies, TRUE);
    g_array_free(listener->pairs, TRUE);
    g_free(listener->filter);
    g_free(listener);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *filter;
    if (!fs_argument_filter(argument, "flowscope,duplicates", &filter))
        FS_TAP_INIT_FAIL;
    struct listener *listener = g_new0(struct listener, 1);
    listener->filter = g_strdup(filter);
    listener->copies = g_array_new(FALSE, FALSE, sizeof(struct copy));
    listener->pairs = pairs_new();
    if (!fs_argument_listen("flowscope_frame", listener, filter, text_reset, text_frame, text_draw, text_finish)) {
        text_finish(listener);
        FS_TAP_INIT_FAIL;
    }
    FS_TAP_INIT_OK;
}

/* ---- dialogs ---- */

static tap_packet_status gui_copy(void *data, packet_info *pinfo, epan_dissect_t *edt _U_, const void *record,
                                  tap_flags_t flags _U_) {
    const struct fs_tap_frame *frame = record;
    if (!is_copy(frame))
        return TAP_PACKET_DONT_REDRAW;
    struct copy copy = make_copy(pinfo, frame);
    fs_table_add(&copy_table, fs_table_of(data), &copy, pinfo->num);
    return TAP_PACKET_DONT_REDRAW; /* the dialog draws after the last packet */
}

static GArray *gui_pairs; /* of the one table, whichever dialogs show it */

static void gui_pairs_opened(stat_tap_table *shown _U_) {
    if (!gui_pairs)
        gui_pairs = pairs_new();
    g_array_set_size(gui_pairs, 0);
}

static void gui_pairs_reset(stat_tap_table *shown) {
    fs_table_clear(shown);
    g_array_set_size(gui_pairs, 0);
}

static uint64_t sum_of(const GArray *pairs) {
    uint64_t all = 0;
    for (guint i = 0; i < pairs->len; i++)
        all += g_array_index(pairs, struct pair, i).count;
    return all;
}

/* Each copy changes all shares. */
static tap_packet_status gui_pair(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                  tap_flags_t flags _U_) {
    const struct fs_tap_frame *frame = record;
    stat_tap_table *shown = fs_table_of(data);
    char cell[FS_CELL];
    if (!is_copy(frame))
        return TAP_PACKET_DONT_REDRAW;
    guint at = count_pair(gui_pairs, frame->duplicate->pair);
    uint64_t all = sum_of(gui_pairs);
    if (at == shown->num_elements)
        fs_table_add(&pair_table, shown, &(struct pair_row){&g_array_index(gui_pairs, struct pair, at), all},
                     frame->duplicate->pair);
    for (guint i = 0; i < gui_pairs->len; i++) {
        struct pair_row row = {&g_array_index(gui_pairs, struct pair, i), all};
        for (unsigned c = COLUMN_COUNT; c < PAIR_COLUMNS; c++)
            fs_table_set(&pair_table, shown, i, c, write_pair(&row, c, cell));
    }
    return TAP_PACKET_DONT_REDRAW;
}

static const struct fs_table copy_table = {
    .name = "Flowscope Duplicates",
    .argument = "flowscope,duplicates",
    .tap = "flowscope_frame",
    .row_filter = "frame.number == %u",
    .columns = columns,
    .count = COLUMNS,
    .write = write_copy,
    .listen = text_init,
    .packet = gui_copy,
};

/* In tshark the argument above shows both. */
static const struct fs_table pair_table = {
    .name = "Flowscope Duplicates by Place",
    .argument = "flowscope,places",
    .tap = "flowscope_frame",
    .row_filter = "flowscope.duplicate.pair == %u",
    .columns = pair_columns,
    .count = PAIR_COLUMNS,
    .write = write_pair,
    .packet = gui_pair,
    .opened = gui_pairs_opened,
    .reset = gui_pairs_reset,
};

void fs_duplicate_table_register(void) {
    fs_table_register(&copy_table);
    fs_table_register(&pair_table);
}
