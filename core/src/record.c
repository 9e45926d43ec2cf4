/* SPDX-License-Identifier: MIT */
#include "flowscope/record.h"

#include "bytes.h"
#include "record_internal.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

const char *fs_record_format_name(int format) {
    switch (format) {
    case FS_RECORD_CSV:
        return "csv";
    case FS_RECORD_EVE:
        return "eve";
    case FS_RECORD_ZEEK:
        return "zeek";
    default:
        return "unknown";
    }
}

/* ---- names of flows ---- */

/* In one byte order, so that machines agree. */
static XXH128_hash_t hash_flow(const struct fs_flow_info *info, uint64_t seed) {
    uint8_t bytes[32 + 4 + 4 + 4 + 8];
    memcpy(bytes, info->key.address, 32);
    fs__put_be64(bytes + 32, (uint64_t)info->key.port[0] << 48 | (uint64_t)info->key.port[1] << 32 | info->key.domain);
    bytes[40] = info->key.protocol;
    bytes[41] = info->key.family;
    bytes[42] = info->key.kind;
    bytes[43] = info->key.requester;
    fs__put_be64(bytes + 44, info->first_ns);
    return XXH3_128bits_withSeed(bytes, sizeof bytes, seed);
}

size_t fs_flow_uid(const struct fs_flow_info *info, uint64_t seed, char text[FS_UID_SIZE]) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    enum { BASE = 62, FROM_HIGH = 9, LENGTH = FS_UID_SIZE - 1 };
    XXH128_hash_t hash = hash_flow(info, seed);
    uint64_t rest = hash.high64;
    text[0] = 'C';
    for (size_t i = 1; i < LENGTH; i++) {
        if (i == FROM_HIGH + 1)
            rest = hash.low64;
        text[i] = digits[rest % BASE];
        rest /= BASE;
    }
    text[LENGTH] = '\0';
    return LENGTH;
}

uint64_t fs__flow_id_of_uid(const char *uid) {
    return XXH3_64bits(uid, strlen(uid)) >> 13;
}

bool fs__has_ports(const struct fs_key *key) {
    if (key->kind != FS_KEY_5TUPLE)
        return false;
    switch (key->protocol) {
    case FS_PROTO_TCP:
    case FS_PROTO_UDP:
    case FS_PROTO_DCCP:
    case FS_PROTO_SCTP:
    case FS_PROTO_UDPLITE:
        return true;
    default:
        return false;
    }
}

bool fs__is_icmp(const struct fs_key *key) {
    return key->kind == FS_KEY_5TUPLE && (key->protocol == FS_PROTO_ICMP || key->protocol == FS_PROTO_ICMPV6);
}

bool fs__is_ip(const struct fs_key *key) {
    return key->kind != FS_KEY_MAC_PAIR && (key->family == FS_FAMILY_IPV4 || key->family == FS_FAMILY_IPV6);
}

/* ---- records ---- */

void fs_record_from_flow(struct fs_record_flow *record, const struct fs_flow_info *info) {
    memset(record, 0, sizeof *record);
    record->flow = *info;
    memset(record->side, 0xff, sizeof record->side); /* FS_RECORD_UNSET */
    if (info->parent == FS_NO_FLOW)
        return;
    record->parents[0].id = info->parent;
    record->parent_count = 1;
}

/* Reassembly gives up where the sequence numbers leap further than it follows, the tracker does not. What it dropped
 * behind that was seen, though. */
static uint64_t missing_behind(const struct fs_stream_info *stream, uint64_t stream_bytes) {
    uint64_t known = stream->next_offset + stream->dropped_bytes;
    return stream_bytes > known ? stream_bytes - known : 0;
}

void fs_record_set_stream(struct fs_record_flow *record, enum fs_side side, const struct fs_stream_info *stream) {
    static const struct fs_stream_info none;
    unsigned at = (unsigned)side & 1U;
    struct fs_record_side *numbers = &record->side[at];
    if (!record->flow.is_tcp || (!stream && record->flow.side[at].payload_bytes))
        return; /* a side with payload has a stream, unless there was no memory for it */
    stream = stream ? stream : &none;
    numbers->gap_bytes = stream->gap_bytes + missing_behind(stream, record->flow.tcp[at].stream_bytes);
    numbers->retransmitted_bytes = stream->retransmitted_bytes;
    numbers->out_of_order_bytes = stream->out_of_order_bytes;
    numbers->overlap_bytes = stream->overlap_bytes;
    numbers->conflict_bytes = stream->conflict_bytes;
}

int fs_record_add_parent(struct fs_record_flow *record, const struct fs_flow_info *parent, uint64_t uid_seed) {
    unsigned at = 0;
    while (at < record->parent_count && record->parents[at].id != parent->id)
        at++;
    if (at == FS_RECORD_PARENT_MAX)
        return FS_ERR_LIMIT;
    record->parents[at].id = parent->id;
    fs_flow_uid(parent, uid_seed, record->parents[at].uid);
    if (at == record->parent_count)
        record->parent_count++;
    return FS_OK;
}

/* ---- writers ---- */

static int send(struct fs_record_writer *writer, const char *bytes, const struct fs__line *line) {
    if (writer->options.write(bytes, (size_t)(line->at - bytes), writer->options.user) == 0)
        return FS_OK;
    writer->failed = true;
    return FS_ERR_WRITE;
}

/* The line may be cut off at the limit of its room, but then it is not sent: half a line is none. */
static int finish_line(struct fs_record_writer *writer, char *bytes, struct fs__line *line) {
    if (writer->options.format == FS_RECORD_CSV)
        fs__put_char(line, '\r');
    fs__put_char(line, '\n');
    return line->full ? FS_ERR_LIMIT : send(writer, bytes, line);
}

int fs_record_begin(struct fs_record_writer *writer, const struct fs_record_options *options) {
    memset(writer, 0, sizeof *writer);
    writer->options = *options;
    writer->failed = (unsigned)options->format >= FS_RECORD_FORMAT_COUNT || !options->write;
    if (writer->failed)
        return FS_ERR_INVALID;
    char bytes[FS_RECORD_LINE_MAX];
    struct fs__line line = {bytes, bytes + sizeof bytes, false};
    if (options->format == FS_RECORD_EVE)
        return FS_OK;
    if (options->format == FS_RECORD_CSV)
        fs__csv_header(&line);
    else
        fs__zeek_header(&line, options);
    return finish_line(writer, bytes, &line);
}

int fs_record_write(struct fs_record_writer *writer, const struct fs_record_flow *record) {
    if (writer->failed)
        return FS_OK;
    char bytes[FS_RECORD_LINE_MAX];
    struct fs__line line = {bytes, bytes + sizeof bytes, false};
    bool expressed = true;
    if (writer->options.format == FS_RECORD_CSV)
        fs__csv_record(&line, record, &writer->options);
    else if (writer->options.format == FS_RECORD_EVE)
        expressed = fs__eve_record(&line, record, &writer->options);
    else
        expressed = fs__zeek_record(&line, record, &writer->options);
    if (!expressed) {
        writer->skipped++;
        return FS_OK;
    }
    int error = finish_line(writer, bytes, &line);
    writer->written += error == FS_OK;
    return error;
}

bool fs_record_has_events(enum fs_record_format format) {
    return format == FS_RECORD_EVE;
}

int fs_record_write_message(struct fs_record_writer *writer, const struct fs_record_flow *record,
                            const struct fs_message *message) {
    if (writer->failed || !fs_record_has_events(writer->options.format))
        return FS_OK;
    char bytes[FS_RECORD_EVENT_MAX];
    struct fs__line line = {bytes, bytes + sizeof bytes, false};
    if (!fs__eve_message(&line, record, message, &writer->options))
        return FS_OK;
    int error = finish_line(writer, bytes, &line);
    writer->events += error == FS_OK;
    return error;
}

int fs_record_write_anomaly(struct fs_record_writer *writer, const struct fs_record_flow *record,
                            const struct fs_record_anomaly *anomaly) {
    if (writer->failed || !fs_record_has_events(writer->options.format))
        return FS_OK;
    char bytes[FS_RECORD_LINE_MAX];
    struct fs__line line = {bytes, bytes + sizeof bytes, false};
    if (!fs__eve_anomaly(&line, record, anomaly, &writer->options))
        return FS_OK;
    int error = finish_line(writer, bytes, &line);
    writer->events += error == FS_OK;
    return error;
}

int fs_record_end(struct fs_record_writer *writer, uint64_t close_ns) {
    if (writer->failed || writer->options.format != FS_RECORD_ZEEK)
        return FS_OK;
    char bytes[FS_RECORD_LINE_MAX];
    struct fs__line line = {bytes, bytes + sizeof bytes, false};
    fs__zeek_footer(&line, close_ns);
    return finish_line(writer, bytes, &line);
}
