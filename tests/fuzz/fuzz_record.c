/* SPDX-License-Identifier: MIT */
/** @file fuzz_record.c
 * Bytes become a flow record; whatever is in it, each format must come out as lines that parse: CSV by RFC 4180, JSON
 * by RFC 8259, Zeek's tab-separated columns, all in valid UTF-8 without control characters.
 *
 * First sizeof(struct fs_flow_info) bytes: the snapshot, brought into range. Then 2 + 96 bytes: counts, the optional
 * numbers. The rest: application, summary, history, each up to a NUL.
 */
#include "flowscope/record.h"
#include "record_support.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct output {
    char text[4 * FS_RECORD_LINE_MAX];
    size_t used, lines;
};

static int take(const char *bytes, size_t length, void *user) {
    struct output *output = user;
    must(length > 0 && length <= FS_RECORD_LINE_MAX && bytes[length - 1] == '\n');
    must(output->used + length < sizeof output->text);
    memcpy(output->text + output->used, bytes, length);
    output->used += length;
    output->text[output->used] = '\0';
    output->lines++;
    return 0;
}

static void check_eve(const struct output *output) {
    check_json_lines(output->text);
}

/* ---- columns ---- */

static const char *cell(const char *at) {
    if (*at != '"')
        return at + strcspn(at, ",\r\n\"");
    for (at++; *at != '"' || *++at == '"'; at++)
        must(*at != '\0');
    return at;
}

static void check_csv(const struct output *output) {
    check_text(output->text, "\r\n");
    size_t columns = 0, count = 0, rows = 0;
    for (const char *at = output->text; *at;) {
        at = cell(at);
        count++;
        if (*at == ',') {
            at++;
            continue;
        }
        must(at[0] == '\r' && at[1] == '\n');
        at += 2;
        columns = columns ? columns : count;
        must(count == columns);
        count = 0;
        rows++;
    }
    must(rows == output->lines && count == 0);
}

static size_t tabs_of(const char *line) {
    size_t tabs = 0;
    for (; *line != '\n'; line++) {
        must(*line != '\0');
        must(*line != '\t' || (line[1] != '\t' && line[1] != '\n')); /* no column is empty */
        tabs += *line == '\t';
    }
    return tabs;
}

static void check_zeek(const struct output *output) {
    check_text(output->text, "\t\n");
    const char *fields = strstr(output->text, "\n#fields\t");
    const char *types = strstr(output->text, "\n#types\t");
    must(fields && types);
    size_t columns = tabs_of(fields + 1);
    must(tabs_of(types + 1) == columns);
    for (const char *line = strchr(types + 1, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "#close\t", 7) == 0)
            must(strchr(line, '\n')[1] == '\0');
        else
            must(*line != '#' && tabs_of(line) == columns - 1);
    }
}

/* ---- the record ---- */

static void bring_into_range(struct fs_flow_info *info, const uint8_t *switches) {
    info->initiator_orientation &= 1;
    info->is_tcp = switches[0] & 1;
    info->history[FS_HISTORY_MAX] = '\0';
    memset(info->conn_state, 0, sizeof info->conn_state);
    memcpy(info->conn_state, "SF", 2);
    for (int side = 0; side < 2; side++)
        info->tcp[side].acknowledged = switches[0] >> (1 + side) & 1;
    if (switches[0] & 8)
        info->parent = FS_NO_FLOW;
    if (switches[0] & 16) {
        info->key.kind = FS_KEY_5TUPLE;
        info->key.family = switches[0] & 32 ? FS_FAMILY_IPV4 : FS_FAMILY_IPV6;
        info->key.protocol = info->is_tcp ? FS_PROTO_TCP : info->key.protocol;
        info->key.requester &= 1;
    }
}

static const char *next_text(const uint8_t **at, const uint8_t *end) {
    const uint8_t *start = *at;
    while (*at < end && **at)
        (*at)++;
    if (*at == end)
        return NULL;
    (*at)++;
    return (const char *)start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { SWITCHES = 2 };
    static struct fs_record_flow record;
    static struct output output;
    struct fs_flow_info info;
    if (size < sizeof info + SWITCHES + sizeof record.side)
        return 0;
    /* A bool may hold 0 and 1 only. */
    uint8_t *bytes = malloc(size);
    must(bytes != NULL);
    memcpy(bytes, data, size);
    bytes[offsetof(struct fs_flow_info, is_tcp)] &= 1;
    for (size_t side = 0; side < 2; side++)
        bytes[offsetof(struct fs_flow_info, tcp) + side * sizeof info.tcp[0] +
              offsetof(struct fs_tcp_side, acknowledged)] &= 1;
    memcpy(&info, bytes, sizeof info);
    const uint8_t *at = bytes + sizeof info;
    bring_into_range(&info, at);
    fs_record_from_flow(&record, &info);
    record.vlan[0] = at[1] & 0x3f;
    record.vlan[1] = at[1] >> 6;
    at += SWITCHES;
    memcpy(record.side, at, sizeof record.side);
    at += sizeof record.side;
    record.application = next_text(&at, bytes + size);
    record.summary = next_text(&at, bytes + size);
    if (info.parent != FS_NO_FLOW)
        fs_record_add_parent(&record, &info, 1);
    static void (*const check[FS_RECORD_FORMAT_COUNT])(const struct output *) = {check_csv, check_eve, check_zeek};
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++) {
        struct fs_record_options options = {
            .format = (enum fs_record_format)format, .write = take, .user = &output, .open_ns = info.first_ns};
        struct fs_record_writer writer;
        output.used = output.lines = 0;
        output.text[0] = '\0';
        must(fs_record_begin(&writer, &options) == 0);
        must(fs_record_write(&writer, &record) == 0);
        must(fs_record_write(&writer, &record) == 0);
        must(writer.written + writer.skipped == 2 && !writer.failed);
        must(fs_record_end(&writer, info.last_ns) == 0);
        check[format](&output);
    }
    free(bytes);
    return 0;
}
