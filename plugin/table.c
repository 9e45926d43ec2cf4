/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include "prefs.h"
#include "store.h"
#include "text.h"

static void number(char *cell, uint64_t value) {
    snprintf(cell, FS_CELL, "%" PRIu64, value);
}

/* Seconds with six decimals, or milliseconds with three; "-" for none. */
static void seconds(char *cell, uint64_t ns) {
    snprintf(cell, FS_CELL, "%" PRIu64 ".%06u", ns / 1000000000, (unsigned)(ns % 1000000000 / 1000));
}

static void milliseconds(char *cell, uint64_t ns) {
    if (ns == FS_NO_TIME)
        (void)g_strlcpy(cell, "-", FS_CELL);
    else
        snprintf(cell, FS_CELL, "%" PRIu64 ".%03u", ns / 1000000, (unsigned)(ns % 1000000 / 1000));
}

static void write_flow(const struct fs_row *row, char *cell) {
    number(cell, row->facts.info.id);
}

static void write_parent(const struct fs_row *row, char *cell) {
    if (row->facts.info.parent == FS_NO_FLOW)
        (void)g_strlcpy(cell, "-", FS_CELL);
    else
        number(cell, row->facts.info.parent);
}

static void write_protocol(const struct fs_row *row, char *cell) {
    fs_text_protocol(&row->facts.info, cell, FS_CELL);
}

static void write_app(const struct fs_row *row, char *cell) {
    (void)g_strlcpy(cell, fs_store_app((uint32_t)row->facts.info.id), FS_CELL);
}

static void write_initiator(const struct fs_row *row, char *cell) {
    fs_text_endpoint(&row->facts.info, FS_INITIATOR, cell, FS_CELL);
}

static void write_responder(const struct fs_row *row, char *cell) {
    fs_text_endpoint(&row->facts.info, FS_RESPONDER, cell, FS_CELL);
}

static void write_start(const struct fs_row *row, char *cell) {
    uint64_t first = row->facts.info.first_ns;
    if (first >= row->start_ns) {
        seconds(cell, first - row->start_ns);
        return;
    }
    cell[0] = '-';
    seconds(cell + 1, row->start_ns - first);
}

static void write_duration(const struct fs_row *row, char *cell) {
    seconds(cell, row->facts.info.last_ns - row->facts.info.first_ns);
}

static void write_state(const struct fs_row *row, char *cell) {
    (void)g_strlcpy(cell, fs_state_name(row->facts.info.state), FS_CELL);
}

static void write_end(const struct fs_row *row, char *cell) {
    (void)g_strlcpy(cell, fs_end_name(row->facts.info.end), FS_CELL);
}

#define COUNTER(name, side, field)                                                                                     \
    static void write_##name(const struct fs_row *row, char *cell) {                                                   \
        number(cell, row->chosen[side].field);                                                                         \
    }
COUNTER(packets_i, FS_INITIATOR, packets)
COUNTER(packets_r, FS_RESPONDER, packets)
COUNTER(wire_i, FS_INITIATOR, wire_bytes)
COUNTER(wire_r, FS_RESPONDER, wire_bytes)
COUNTER(ip_i, FS_INITIATOR, ip_bytes)
COUNTER(ip_r, FS_RESPONDER, ip_bytes)
COUNTER(payload_i, FS_INITIATOR, payload_bytes)
COUNTER(payload_r, FS_RESPONDER, payload_bytes)
#undef COUNTER

static void write_handshake(const struct fs_row *row, char *cell) {
    uint64_t syn = row->facts.info.handshake_syn_ns;
    uint64_t ack = row->facts.info.handshake_ack_ns;
    milliseconds(cell, syn == FS_NO_TIME || ack == FS_NO_TIME ? FS_NO_TIME : syn + ack);
}

static void write_rtt(const struct fs_row *row, enum fs_side side, char *cell) {
    const struct fs_rtt *rtt = &row->facts.info.tcp[side].rtt;
    milliseconds(cell, rtt->samples ? rtt->mean_ns : FS_NO_TIME);
}

static void write_rtt_i(const struct fs_row *row, char *cell) {
    write_rtt(row, FS_INITIATOR, cell);
}

static void write_rtt_r(const struct fs_row *row, char *cell) {
    write_rtt(row, FS_RESPONDER, cell);
}

static void write_retransmissions_i(const struct fs_row *row, char *cell) {
    number(cell, row->facts.info.tcp[FS_INITIATOR].retransmissions);
}

static void write_retransmissions_r(const struct fs_row *row, char *cell) {
    number(cell, row->facts.info.tcp[FS_RESPONDER].retransmissions);
}

#define STREAM(name, side, field)                                                                                      \
    static void write_##name(const struct fs_row *row, char *cell) {                                                   \
        number(cell, row->facts.stream[side].field);                                                                   \
    }
STREAM(retransmitted_i, FS_INITIATOR, retransmitted_bytes)
STREAM(retransmitted_r, FS_RESPONDER, retransmitted_bytes)
STREAM(out_of_order_i, FS_INITIATOR, out_of_order_bytes)
STREAM(out_of_order_r, FS_RESPONDER, out_of_order_bytes)
STREAM(gap_i, FS_INITIATOR, gap_bytes)
STREAM(gap_r, FS_RESPONDER, gap_bytes)
STREAM(overlap_i, FS_INITIATOR, overlap_bytes)
STREAM(overlap_r, FS_RESPONDER, overlap_bytes)
STREAM(conflict_i, FS_INITIATOR, conflict_bytes)
STREAM(conflict_r, FS_RESPONDER, conflict_bytes)
#undef STREAM

static void write_duplicates(const struct fs_row *row, enum fs_side side, char *cell) {
    if (fs_prefs()->duplicates == FS_DUPLICATES_MARK)
        number(cell, row->facts.info.side[side].duplicates);
    else
        (void)g_strlcpy(cell, "-", FS_CELL);
}

static void write_duplicates_i(const struct fs_row *row, char *cell) {
    write_duplicates(row, FS_INITIATOR, cell);
}

static void write_duplicates_r(const struct fs_row *row, char *cell) {
    write_duplicates(row, FS_RESPONDER, cell);
}

static void write_history(const struct fs_row *row, char *cell) {
    (void)g_strlcpy(cell, row->facts.info.history[0] ? row->facts.info.history : "-", FS_CELL);
}

static void write_conn_state(const struct fs_row *row, char *cell) {
    (void)g_strlcpy(cell, row->facts.info.conn_state, FS_CELL);
}

static void write_marks(const struct fs_row *row, char *cell) {
    fs_text_marks(row->facts.info.marks, cell, FS_CELL);
}

static void write_domain(const struct fs_row *row, char *cell) {
    if (row->facts.info.key.domain)
        snprintf(cell, FS_CELL, "%08x", row->facts.info.key.domain);
    else
        (void)g_strlcpy(cell, "-", FS_CELL);
}

const struct fs_column fs_flow_columns[] = {
    {"Flow", true, false, write_flow},
    {"Parent", true, false, write_parent},
    {"Protocol", false, false, write_protocol},
    {"App", false, false, write_app},
    {"Initiator", false, false, write_initiator},
    {"Responder", false, false, write_responder},
    {"Start[s]", true, false, write_start},
    {"Duration[s]", true, false, write_duration},
    {"State", false, false, write_state},
    {"End", false, false, write_end},
    {"Packets>", true, true, write_packets_i},
    {"Packets<", true, true, write_packets_r},
    {"Frames>[B]", true, true, write_wire_i},
    {"Frames<[B]", true, true, write_wire_r},
    {"IP>[B]", true, true, write_ip_i},
    {"IP<[B]", true, true, write_ip_r},
    {"Payload>[B]", true, true, write_payload_i},
    {"Payload<[B]", true, true, write_payload_r},
    {"Handshake[ms]", true, false, write_handshake},
    {"RTT>[ms]", true, false, write_rtt_i},
    {"RTT<[ms]", true, false, write_rtt_r},
    {"Retrans>", true, false, write_retransmissions_i},
    {"Retrans<", true, false, write_retransmissions_r},
    {"Retrans>[B]", true, false, write_retransmitted_i},
    {"Retrans<[B]", true, false, write_retransmitted_r},
    {"Dup>", true, false, write_duplicates_i},
    {"Dup<", true, false, write_duplicates_r},
    {"OutOfOrder>[B]", true, false, write_out_of_order_i},
    {"OutOfOrder<[B]", true, false, write_out_of_order_r},
    {"Gap>[B]", true, false, write_gap_i},
    {"Gap<[B]", true, false, write_gap_r},
    {"Overlap>[B]", true, false, write_overlap_i},
    {"Overlap<[B]", true, false, write_overlap_r},
    {"Conflict>[B]", true, false, write_conflict_i},
    {"Conflict<[B]", true, false, write_conflict_r},
    {"History", false, false, write_history},
    {"ConnState", false, false, write_conn_state},
    {"Marks", false, false, write_marks},
    {"Domain", false, false, write_domain},
};

const unsigned fs_flow_column_maximum = FS_LENGTH_OF(fs_flow_columns);

unsigned fs_flow_column_count(void) {
    return fs_prefs_domain() ? fs_flow_column_maximum : fs_flow_column_maximum - 1;
}

void fs_table_free_item(stat_tap_table *table _U_, guint row _U_, guint column _U_, stat_tap_table_item_type *item) {
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)(uintptr_t)item->value.string_value);
    item->value.string_value = NULL;
    item->type = TABLE_ITEM_NONE;
}

void fs_table_set_item(stat_tap_table_item_type *item, bool number, const char *cell) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(cell, &end, 10);
    bool fits = number && cell[0] != '\0' && *end == '\0' && cell[0] != '-' && value <= UINT32_MAX;
    double real = number && !fits ? g_ascii_strtod(cell, &end) : 0;
    fs_table_free_item(NULL, 0, 0, item);
    if (fits) {
        item->type = TABLE_ITEM_UINT;
        item->value.uint_value = (guint)value;
    } else if (number && *end == '\0' && cell[0] != '\0') {
        item->type = TABLE_ITEM_FLOAT;
        item->value.float_value = real;
    } else {
        item->type = TABLE_ITEM_STRING;
        item->value.string_value = g_strdup(cell);
    }
}

void fs_table_shorten(stat_tap_table *table, guint rows) {
    while (table->num_elements > rows) {
        guint row = table->num_elements - 1;
        for (guint column = 0; column < table->num_fields; column++)
            fs_table_free_item(table, row, column, stat_tap_get_field_data(table, row, column));
        g_free(table->elements[row]);
        table->num_elements = row;
    }
}

void fs_table_clear(stat_tap_table *table) {
    fs_table_shorten(table, 0);
    g_free(table->elements);
    table->elements = NULL;
}
