/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow_row.h"

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
    (void)g_strlcpy(cell, row->app, FS_CELL);
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

/* One line a column: XX(title, kind, writer). */
#define FLOW_COLUMNS(XX)                                                                                               \
    XX("Flow", FS_COLUMN_COUNT, write_flow)                                                                            \
    XX("Parent", FS_COLUMN_NUMBER, write_parent)                                                                       \
    XX("Protocol", FS_COLUMN_TEXT, write_protocol)                                                                     \
    XX("App", FS_COLUMN_TEXT, write_app)                                                                               \
    XX("Initiator", FS_COLUMN_TEXT, write_initiator)                                                                   \
    XX("Responder", FS_COLUMN_TEXT, write_responder)                                                                   \
    XX("Start[s]", FS_COLUMN_NUMBER, write_start)                                                                      \
    XX("Duration[s]", FS_COLUMN_NUMBER, write_duration)                                                                \
    XX("State", FS_COLUMN_TEXT, write_state)                                                                           \
    XX("End", FS_COLUMN_TEXT, write_end)                                                                               \
    XX("Packets>", FS_COLUMN_COUNT, write_packets_i)                                                                   \
    XX("Packets<", FS_COLUMN_COUNT, write_packets_r)                                                                   \
    XX("Frames>[B]", FS_COLUMN_COUNT, write_wire_i)                                                                    \
    XX("Frames<[B]", FS_COLUMN_COUNT, write_wire_r)                                                                    \
    XX("IP>[B]", FS_COLUMN_COUNT, write_ip_i)                                                                          \
    XX("IP<[B]", FS_COLUMN_COUNT, write_ip_r)                                                                          \
    XX("Payload>[B]", FS_COLUMN_COUNT, write_payload_i)                                                                \
    XX("Payload<[B]", FS_COLUMN_COUNT, write_payload_r)                                                                \
    XX("Handshake[ms]", FS_COLUMN_NUMBER, write_handshake)                                                             \
    XX("RTT>[ms]", FS_COLUMN_NUMBER, write_rtt_i)                                                                      \
    XX("RTT<[ms]", FS_COLUMN_NUMBER, write_rtt_r)                                                                      \
    XX("Retrans>", FS_COLUMN_COUNT, write_retransmissions_i)                                                           \
    XX("Retrans<", FS_COLUMN_COUNT, write_retransmissions_r)                                                           \
    XX("Retrans>[B]", FS_COLUMN_COUNT, write_retransmitted_i)                                                          \
    XX("Retrans<[B]", FS_COLUMN_COUNT, write_retransmitted_r)                                                          \
    XX("Dup>", FS_COLUMN_NUMBER, write_duplicates_i)                                                                   \
    XX("Dup<", FS_COLUMN_NUMBER, write_duplicates_r)                                                                   \
    XX("OutOfOrder>[B]", FS_COLUMN_COUNT, write_out_of_order_i)                                                        \
    XX("OutOfOrder<[B]", FS_COLUMN_COUNT, write_out_of_order_r)                                                        \
    XX("Gap>[B]", FS_COLUMN_COUNT, write_gap_i)                                                                        \
    XX("Gap<[B]", FS_COLUMN_COUNT, write_gap_r)                                                                        \
    XX("Overlap>[B]", FS_COLUMN_COUNT, write_overlap_i)                                                                \
    XX("Overlap<[B]", FS_COLUMN_COUNT, write_overlap_r)                                                                \
    XX("Conflict>[B]", FS_COLUMN_COUNT, write_conflict_i)                                                              \
    XX("Conflict<[B]", FS_COLUMN_COUNT, write_conflict_r)                                                              \
    XX("History", FS_COLUMN_TEXT, write_history)                                                                       \
    XX("ConnState", FS_COLUMN_TEXT, write_conn_state)                                                                  \
    XX("Marks", FS_COLUMN_TEXT, write_marks)                                                                           \
    XX("Domain", FS_COLUMN_TEXT, write_domain)

const struct fs_column fs_flow_columns[FS_FLOW_COLUMNS] = {
#define COLUMN(title, kind, writer) {title, kind},
    FLOW_COLUMNS(COLUMN)
#undef COLUMN
};

_Static_assert((int)FS_FLOW_COLUMNS <= (int)FS_TABLE_COLUMNS, "room in a layout");

unsigned fs_flow_column_count(void) {
    return fs_prefs_domain() ? FS_FLOW_COLUMNS : FS_FLOW_COLUMNS - 1;
}

const char *fs_flow_write(const void *row, unsigned column, char *cell) {
    static void (*const writers[])(const struct fs_row *row, char *cell) = {
#define WRITER(title, kind, writer) writer,
        FLOW_COLUMNS(WRITER)
#undef WRITER
    };
    _Static_assert(FS_LENGTH_OF(writers) == FS_FLOW_COLUMNS, "one a column");
    writers[column](row, cell);
    return cell;
}
