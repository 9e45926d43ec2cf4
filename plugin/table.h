/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables: text in tshark, a dialog of the Statistics menu in Wireshark, and what sharkd makes of that. */
#ifndef FS_PLUGIN_TABLE_H
#define FS_PLUGIN_TABLE_H

#include "compat.h"

enum { FS_CELL = 160, FS_TABLE_COLUMNS = 40 };

enum fs_column_kind {
    FS_COLUMN_TEXT,
    FS_COLUMN_COUNT, /* a whole number, in every row */
    FS_COLUMN_NUMBER /* has decimals, all rows as many, or is missing in some */
};

struct fs_column {
    const char *title; /* for text one word, the unit in brackets */
    enum fs_column_kind kind;
};

struct fs_table {
    const char *name;       /* in the menu, and of the dialog */
    const char *argument;   /* of -z: two words with a comma between them, as the dialog's code wants it */
    const char *tap;        /* that the dialog listens to */
    const char *row_filter; /* display filter for a row, with %u for its number; NULL: none */
    const struct fs_column *columns;
    unsigned count; /* of columns; FS_TABLE_COLUMNS at most */
    /* The text of a cell: `cell`, of FS_CELL bytes, filled, or something that lives as long as the row. */
    const char *(*write)(const void *row, unsigned column, char *cell);
    FS_TAP_INIT_RESULT (*listen)(const char *argument, void *user); /* tshark; NULL: not there */
    tap_packet_cb packet;                                           /* dialog: its data is a stat_data_t */
    void (*opened)(stat_tap_table *table);                          /* dialog: a new table; NULL: nothing to do */
    void (*reset)(stat_tap_table *table); /* dialog: take all rows out; NULL: fs_table_clear() */
};

/* Offer it, in the way of the program that is running. Both stay. */
void fs_table_register(const struct fs_table *table);

/* ---- text ---- */

/* Columns are as wide as what they hold: measure all rows, then print them. */
struct fs_layout {
    const struct fs_table *table;
    unsigned columns; /* to show: the first so many */
    unsigned rows;
    int widths[FS_TABLE_COLUMNS];
};

void fs_layout_init(struct fs_layout *layout, const struct fs_table *table, unsigned columns);
void fs_layout_measure(struct fs_layout *layout, const void *row);
void fs_layout_print_titles(const struct fs_layout *layout);
void fs_layout_print(const struct fs_layout *layout, const void *row);

/* ---- dialog ---- */

/* The table of the dialog that listens. */
stat_tap_table *fs_table_of(const void *stat_data);

/* `number` is the row's for the filter. */
void fs_table_add(const struct fs_table *table, stat_tap_table *shown, const void *row, guint number);
/* Write one cell anew. */
void fs_table_set(const struct fs_table *table, stat_tap_table *shown, guint at, unsigned column, const char *text);

void fs_table_clear(stat_tap_table *shown);
/* Take out rows behind the first `rows`. */
void fs_table_shorten(stat_tap_table *shown, guint rows);

#endif
