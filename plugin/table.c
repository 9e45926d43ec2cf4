/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- text ---- */

void fs_layout_init(struct fs_layout *layout, const struct fs_table *table, unsigned columns) {
    *layout = (struct fs_layout){.table = table, .columns = columns};
    for (unsigned c = 0; c < columns; c++)
        layout->widths[c] = (int)strlen(table->columns[c].title);
}

/* The last column needs no width: nothing follows it, and messages are long. */
void fs_layout_measure(struct fs_layout *layout, const void *row) {
    char cell[FS_CELL];
    layout->rows++;
    for (unsigned c = 0; c + 1 < layout->columns; c++) {
        int width = (int)strlen(layout->table->write(row, c, cell));
        layout->widths[c] = width > layout->widths[c] ? width : layout->widths[c];
    }
}

static void print_cell(const struct fs_layout *layout, unsigned column, const char *text) {
    bool last = column + 1 == layout->columns;
    if (layout->table->columns[column].kind == FS_COLUMN_TEXT)
        printf("%-*s", last ? 0 : layout->widths[column], text);
    else
        printf("%*s", layout->widths[column], text);
    fputs(last ? "\n" : "  ", stdout);
}

void fs_layout_print_titles(const struct fs_layout *layout) {
    for (unsigned c = 0; c < layout->columns; c++)
        print_cell(layout, c, layout->table->columns[c].title);
}

void fs_layout_print(const struct fs_layout *layout, const void *row) {
    char cell[FS_CELL];
    for (unsigned c = 0; c < layout->columns; c++)
        print_cell(layout, c, layout->table->write(row, c, cell));
}

/* ---- dialog: cells ---- */

/* Wireshark hands its own structure back: ours begins with it. */
struct dialog {
    stat_tap_table_ui ui;
    const struct fs_table *table;
};

static GSList *dialogs;

/* Newer versions print cells with the column's format, whatever the cell's type. */
static void set_format(const struct fs_table *table, unsigned column, bool is_number) {
    for (GSList *at = dialogs; at; at = at->next) {
        struct dialog *dialog = at->data;
        if (dialog->table == table)
            dialog->ui.fields[column].field_format = is_number ? "%u" : "%s";
    }
}

static void free_item(stat_tap_table *shown _U_, guint row _U_, guint column _U_, stat_tap_table_item_type *item) {
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)(uintptr_t)item->value.string_value);
    item->value.string_value = NULL;
    item->type = TABLE_ITEM_NONE;
}

/* The dialog compares two cells by the type of the first: in a column of numbers and texts it would take a number for
 * an address. So a column has one type. Texts sort as numbers do where they are as wide as each other. */
enum { NUMBER_WIDTH = 14 };

static void set_text(stat_tap_table_item_type *item, enum fs_column_kind kind, const char *text) {
    char *copy = kind == FS_COLUMN_TEXT ? g_strdup(text) : g_strdup_printf("%*s", NUMBER_WIDTH, text);
    free_item(NULL, 0, 0, item);
    item->type = TABLE_ITEM_STRING;
    item->value.string_value = copy;
}

static void set_count(stat_tap_table_item_type *item, guint value) {
    item->type = TABLE_ITEM_UINT;
    item->value.uint_value = value;
}

/* A count that the dialog's type has no room for makes all of its column texts. */
static void widen(const struct fs_table *table, stat_tap_table *shown, unsigned column) {
    set_format(table, column, false);
    for (guint row = 0; row < shown->num_elements; row++) {
        stat_tap_table_item_type *item = stat_tap_get_field_data(shown, row, column);
        char text[16];
        if (item->type != TABLE_ITEM_UINT)
            continue;
        snprintf(text, sizeof text, "%u", item->value.uint_value);
        set_text(item, FS_COLUMN_COUNT, text);
    }
}

static bool is_wide(const stat_tap_table *shown, unsigned column) {
    return shown->num_elements && stat_tap_get_field_data(shown, 0, column)->type == TABLE_ITEM_STRING;
}

static void set_cell(const struct fs_table *table, stat_tap_table *shown, stat_tap_table_item_type *item,
                     unsigned column, const char *text) {
    enum fs_column_kind kind = table->columns[column].kind;
    uint64_t value = kind == FS_COLUMN_COUNT ? g_ascii_strtoull(text, NULL, 10) : 0;
    if (kind == FS_COLUMN_COUNT && value > UINT32_MAX)
        widen(table, shown, column);
    if (kind != FS_COLUMN_COUNT || value > UINT32_MAX || is_wide(shown, column))
        set_text(item, kind, text);
    else
        set_count(item, (guint)value);
}

void fs_table_set(const struct fs_table *table, stat_tap_table *shown, guint at, unsigned column, const char *text) {
    set_cell(table, shown, stat_tap_get_field_data(shown, at, column), column, text);
}

/* ---- dialog: rows ---- */

stat_tap_table *fs_table_of(const void *stat_data) {
    const stat_data_t *stat = stat_data;
    return g_array_index(stat->stat_tap_data->tables, stat_tap_table *, 0);
}

void fs_table_add(const struct fs_table *table, stat_tap_table *shown, const void *row, guint number) {
    stat_tap_table_item_type items[FS_TABLE_COLUMNS];
    char cell[FS_CELL];
    memset(items, 0, sizeof items);
    for (unsigned c = 0; c < table->count; c++)
        set_cell(table, shown, &items[c], c, table->write(row, c, cell));
    items[0].user_data.uint_value = number;
    stat_tap_init_table_row(shown, shown->num_elements, table->count, items);
}

void fs_table_shorten(stat_tap_table *shown, guint rows) {
    while (shown->num_elements > rows) {
        guint row = shown->num_elements - 1;
        for (guint column = 0; column < shown->num_fields; column++)
            free_item(shown, row, column, stat_tap_get_field_data(shown, row, column));
        g_free(shown->elements[row]);
        shown->num_elements = row;
    }
}

void fs_table_clear(stat_tap_table *shown) {
    fs_table_shorten(shown, 0);
    g_free(shown->elements);
    shown->elements = NULL;
}

/* ---- registration ---- */

static void open_dialog(stat_tap_table_ui *ui) {
    const struct fs_table *table = ((struct dialog *)ui)->table;
    stat_tap_table *shown = stat_tap_find_table(ui, table->name);
    for (unsigned c = 0; c < table->count; c++)
        set_format(table, c, table->columns[c].kind == FS_COLUMN_COUNT);
    if (shown) {
        ui->stat_tap_reset_table_cb(shown);
        return;
    }
    shown = stat_tap_init_table(table->name, (int)table->count, 0, table->row_filter);
    if (table->opened)
        table->opened(shown);
    stat_tap_add_table(ui, shown);
}

static stat_tap_table_item *columns_of(const struct fs_table *table) {
    stat_tap_table_item *columns = g_new0(stat_tap_table_item, table->count);
    for (unsigned c = 0; c < table->count; c++) {
        enum fs_column_kind kind = table->columns[c].kind;
        columns[c].type = kind == FS_COLUMN_COUNT ? TABLE_ITEM_UINT : TABLE_ITEM_STRING;
        columns[c].align = kind == FS_COLUMN_TEXT ? TAP_ALIGN_LEFT : TAP_ALIGN_RIGHT;
        /* The mark of the order hides the first letters of a narrow column, and the width is that of the first rows. */
        columns[c].column_name = c == 0 && kind == FS_COLUMN_COUNT
                                     ? g_strconcat("        ", table->columns[c].title, NULL)
                                     : table->columns[c].title;
        columns[c].field_format = kind == FS_COLUMN_COUNT ? "%u" : "%s";
    }
    return columns;
}

void fs_table_register(const struct fs_table *table) {
    static tap_param filter[] = {{PARAM_FILTER, "filter", "Filter", NULL, TRUE}};
    if (fs_tap_is_tshark() && !table->listen)
        return;
    if (fs_tap_is_tshark()) {
        stat_tap_ui *text = g_new0(stat_tap_ui, 1);
        *text = (stat_tap_ui){REGISTER_PACKET_STAT_GROUP_UNSORTED,
                              table->name,
                              table->argument,
                              table->listen,
                              FS_LENGTH_OF(filter),
                              filter};
        register_stat_tap_ui(text, NULL);
        return;
    }
    struct dialog *dialog = g_new0(struct dialog, 1);
    dialog->table = table;
    dialog->ui = (stat_tap_table_ui){.group = REGISTER_PACKET_STAT_GROUP_UNSORTED,
                                     .title = table->name,
                                     .tap_name = table->tap,
                                     .cli_string = table->argument,
                                     .stat_tap_init_cb = open_dialog,
                                     .packet_func = table->packet,
                                     .stat_tap_reset_table_cb = table->reset ? table->reset : fs_table_clear,
                                     .stat_tap_free_table_item_cb = free_item,
                                     .nfields = table->count,
                                     .fields = columns_of(table),
                                     .nparams = FS_LENGTH_OF(filter),
                                     .params = filter};
    dialogs = g_slist_prepend(dialogs, dialog);
    register_stat_tap_table_ui(&dialog->ui);
}
