/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A row of the table of flows, and what each column says of it. */
#ifndef FS_PLUGIN_FLOW_ROW_H
#define FS_PLUGIN_FLOW_ROW_H

#include "compat.h"

#include "pack.h"
#include "table.h"

/* The flow, and what the chosen frames added to it. */
struct fs_row {
    struct fs_flow_facts facts;
    struct fs_counters chosen[2];
    uint64_t start_ns; /* of the capture */
    const char *app;   /* fs_store_app(): the store forgets it with the file */
};

enum {
    FS_FLOW_COLUMNS = 39,
    /* Those that change with every packet: the initiator's and the responder's by turns. */
    FS_FLOW_FIRST_COUNTER = 10,
    FS_FLOW_AFTER_COUNTERS = 18
};

extern const struct fs_column fs_flow_columns[FS_FLOW_COLUMNS];

/* How many columns there are to show: the last one, the domain, only where the preferences make it part of the key. */
unsigned fs_flow_column_count(void);

/* Of a struct fs_row: as in struct fs_table. */
const char *fs_flow_write(const void *row, unsigned column, char *cell);

#endif
