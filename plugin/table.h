/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of flows, as text and for the GUI: columns that know how to write a cell. */
#ifndef FS_PLUGIN_TABLE_H
#define FS_PLUGIN_TABLE_H

#include "compat.h"

#include "pack.h"

enum { FS_CELL = 160 };

/* A row: the flow, and what the chosen frames added to it. */
struct fs_row {
    struct fs_flow_facts facts;
    struct fs_counters chosen[2];
    uint64_t start_ns; /* of the capture */
};

struct fs_column {
    const char *title; /* one word, the unit in brackets */
    bool number;
    bool counted; /* changes with every packet */
    void (*write)(const struct fs_row *row, char *cell);
};

extern const struct fs_column fs_flow_columns[];

/* How many of them there are to show: the last one, the domain, only where the preferences make it part of the key. */
unsigned fs_flow_column_count(void);
extern const unsigned fs_flow_column_maximum;

/* Numbers that fit are numbers, so that a dialog sorts them as such. What the cell held is freed. */
void fs_table_set_item(stat_tap_table_item_type *item, bool number, const char *cell);

/* A dialog's table: free what a cell holds (the scratch value stays), and take all rows out. */
void fs_table_free_item(stat_tap_table *table, guint row, guint column, stat_tap_table_item_type *item);
void fs_table_clear(stat_tap_table *table);
/* Take out those behind the first `rows`. */
void fs_table_shorten(stat_tap_table *table, guint rows);

#endif
