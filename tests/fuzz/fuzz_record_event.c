/* SPDX-License-Identifier: MIT */
/** @file fuzz_record_event.c
 * Bytes become the messages of a flow; whatever they say, each event must be one line of JSON of bounded length.
 *
 * First byte: the low bits choose HTTP, TLS or DNS over datagrams, TCP or to a group; 0x08: IPv6. Then pieces, each
 * behind two bytes: its length, below 1024, and in the top bit the side that sends it.
 */
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/record.h"
#include "flowscope/tls.h"
#include "record_support.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct fs_record_writer writer;
    struct fs_record_flow record;
    uint64_t lines;
} run;

static int take(const char *bytes, size_t length, void *user) {
    char line[FS_RECORD_EVENT_MAX + 1];
    (void)user;
    must(length > 0 && length <= FS_RECORD_EVENT_MAX && bytes[length - 1] == '\n' && !memchr(bytes, 0, length));
    memcpy(line, bytes, length);
    line[length] = '\0';
    check_json_lines(line);
    run.lines++;
    return 0;
}

static void on_message(const struct fs_message *message, void *user) {
    (void)user;
    must(fs_record_write_message(&run.writer, &run.record, message) == 0);
}

static void begin(uint8_t choice) {
    struct fs_record_options options = {.format = FS_RECORD_EVE, .write = take};
    struct fs_flow_info info;
    memset(&info, 0, sizeof info);
    info.key.kind = FS_KEY_5TUPLE;
    info.key.family = choice & 0x08 ? FS_FAMILY_IPV6 : FS_FAMILY_IPV4;
    info.key.protocol = FS_PROTO_TCP;
    info.parent = FS_NO_FLOW;
    run.lines = 0;
    fs_record_from_flow(&run.record, &info);
    must(fs_record_begin(&run.writer, &options) == 0);
}

static enum fs_parse_result feed_all(const struct fs_parser *parser, void *state, const uint8_t *data, size_t size) {
    enum { HEAD = 2 };
    uint64_t offset[2] = {0, 0};
    enum fs_parse_result result = FS_PARSE_MORE;
    for (uint32_t frame = 1; size > HEAD && result == FS_PARSE_MORE; frame++) {
        size_t length = (size_t)(data[0] & 3) << 8 | data[1];
        unsigned side = data[0] >> 7;
        data += HEAD;
        size -= HEAD;
        length = length < size ? length : size;
        if (!length)
            continue;
        struct fs_chunk chunk = {
            .data = data, .length = length, .time_ns = frame, .frame = frame, .side = (uint8_t)side};
        chunk.offset = parser->stream ? offset[side] : 0;
        offset[side] += length;
        result = parser->feed(state, &chunk);
        data += length;
        size -= length;
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct fs_parser *const parsers[] = {&fs_parser_http, &fs_parser_tls, &fs_parser_dns_udp,
                                                      &fs_parser_dns_tcp, &fs_parser_dns_multicast};
    static const struct fs_parser_host host = {.on_message = on_message};
    if (size < 1)
        return 0;
    begin(data[0]);
    const struct fs_parser *parser = parsers[(data[0] & 7) % (sizeof parsers / sizeof parsers[0])];
    struct fs_parser_host own = host;
    own.allocator = fs_allocator_default();
    void *state = parser->create(&own);
    if (!state)
        return 0;
    if (feed_all(parser, state, data + 1, size - 1) == FS_PARSE_MORE && parser->end)
        parser->end(state, false, 99, 99);
    parser->destroy(state);
    must(run.writer.events == run.lines && !run.writer.failed);
    return 0;
}
