/* SPDX-License-Identifier: MIT */
/** @file fuzz_dns.c
 * Bytes become datagrams or stream pieces, gaps and ticks; whatever they are, messages are printable and bounded, every
 * query that is followed is answered or reported as unanswered once, no cap is passed, and all memory comes back.
 * Pieces of a stream are given whole to one parser and byte by byte to another: both must say the same.
 *
 * First byte: which parser. Then records: what and which side (1), length (2), time step in 0.1 s (1), bytes.
 */
#include "flowscope/dns.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 4, MEMORY_MAX = 400 << 10 };

/* Not assert(): it must hold in release builds too. */
static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

struct run {
    const struct fs_parser *parser;
    void *state;
    uint64_t bytes, blocks;
    uint64_t digest, messages, queries, first_answers, late, unanswered;
    enum fs_parse_result result;
};

static void *count_alloc(size_t size, void *user) {
    struct run *run = user;
    void *pointer = malloc(size);
    must(pointer != NULL && size > 0);
    memset(pointer, 0xa5, size);
    run->bytes += size;
    run->blocks++;
    must(run->bytes <= MEMORY_MAX);
    return pointer;
}

static void count_release(void *pointer, size_t size, void *user) {
    struct run *run = user;
    must(pointer != NULL && run->bytes >= size && run->blocks > 0);
    run->bytes -= size;
    run->blocks--;
    free(pointer);
}

static void mix(struct run *run, const void *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        run->digest = (run->digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    }
}

static void mix_number(struct run *run, uint64_t number) {
    mix(run, &number, sizeof number);
}

static void mix_text(struct run *run, const char *text) {
    for (const char *c = text; *c; c++) {
        must(*c >= ' ' && *c < 0x7f);
    }
    mix(run, text, strlen(text) + 1);
}

static void check_detail(struct run *run, const struct fs_dns_message *detail) {
    must(detail->record_count <= FS_DNS_RECORDS_MAX);
    must(strlen(detail->name) < FS_DNS_NAME_MAX);
    for (unsigned i = 0; i < detail->record_count; i++) {
        const struct fs_dns_record *record = &detail->records[i];
        mix_text(run, record->name);
        mix_text(run, record->text);
        mix(run, record->data, record->data_length);
        mix_number(run, record->type);
    }
    char line[64];
    size_t room = 1 + detail->id % sizeof line;
    size_t length = fs_dns_answer_text(detail, line, room);
    must(length == strlen(line) && length < room);
    mix_text(run, detail->name);
    mix_number(run, detail->marks);
    mix_number(run, detail->type);
    mix_number(run, detail->responses);
    mix_number(run, detail->retries);
}

static void on_message(const struct fs_message *message, void *user) {
    struct run *run = user;
    const struct fs_dns_message *detail = message->detail;
    check_detail(run, detail);
    mix_number(run, message->kind);
    mix_number(run, message->exchange);
    mix_number(run, message->bytes);
    mix_number(run, message->start_ns);
    mix_number(run, message->end_ns);
    mix_number(run, message->request_ns);
    run->messages++;
    bool followed = message->exchange > 0;
    bool is_new = !(detail->marks & FS_DNS_RETRY);
    run->queries += message->kind == FS_MESSAGE_REQUEST && followed && is_new;
    run->first_answers += message->kind == FS_MESSAGE_RESPONSE && followed && detail->responses == 1;
    run->late += message->kind == FS_MESSAGE_RESPONSE && (detail->marks & FS_DNS_LATE) != 0;
    run->unanswered += message->kind == FS_MESSAGE_UNANSWERED;
    must(message->kind != FS_MESSAGE_UNANSWERED || followed);
}

static void start(struct run *run, const struct fs_parser *parser) {
    memset(run, 0, sizeof *run);
    struct fs_parser_host host = {{count_alloc, count_release, run}, on_message, run};
    run->parser = parser;
    run->state = parser->create(&host);
    must(run->state != NULL);
}

static void give(struct run *run, const struct fs_chunk *chunk, size_t piece) {
    must(run->state != NULL);
    size_t length = chunk->data ? (size_t)chunk->length : 0;
    for (size_t at = 0; at < length || at == 0; at += piece < length - at ? piece : length - at + !length) {
        struct fs_chunk part = *chunk;
        if (chunk->data) {
            part.length = length - at < piece ? length - at : piece;
            uint8_t *copy = malloc(part.length ? (size_t)part.length : 1); /* ends where the piece ends */
            must(copy != NULL);
            memcpy(copy, chunk->data + at, (size_t)part.length);
            part.data = copy;
            part.offset += at;
            run->parser->probe(&part);
            run->result = run->parser->feed(run->state, &part);
            free(copy);
        } else {
            run->result = run->parser->feed(run->state, &part);
        }
        must(run->result != FS_PARSE_DONE);
    }
}

static void finish(struct run *run, bool reset) {
    run->parser->end(run->state, reset, 1, 1);
    must(run->queries == run->first_answers - run->late + run->unanswered);
    run->parser->destroy(run->state);
    must(run->bytes == 0 && run->blocks == 0);
}

/* One record for one run. */
static void step(struct run *run, uint8_t what, const struct fs_chunk *chunk, size_t piece) {
    struct fs_chunk gap = *chunk;
    switch (what >> 1 & 7) {
    case 6:
        if (run->parser->tick) {
            run->parser->tick(run->state, chunk->time_ns);
        }
        break;
    case 7:
        gap.data = NULL;
        gap.length = 1 + chunk->length;
        if (run->parser->stream) {
            give(run, &gap, SIZE_MAX);
        }
        break;
    default:
        give(run, chunk, piece);
    }
    if (what == 0xff) {
        run->parser->fin(run->state, (enum fs_side)chunk->side, chunk->time_ns, chunk->frame);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct fs_parser *const parsers[] = {&fs_parser_dns_udp, &fs_parser_dns_tcp, &fs_parser_dns_tcp,
                                                      &fs_parser_dns_multicast};
    if (size < 1) {
        return 0;
    }
    struct run whole, pieces;
    const struct fs_parser *parser = parsers[data[0] & 3];
    start(&whole, parser);
    start(&pieces, parser);
    struct fs_chunk chunk = {.time_ns = 1000000000000u};
    uint64_t offsets[2] = {0, 0};
    for (size_t at = 1; size - at >= RECORD;) {
        const uint8_t *record = data + at;
        size_t length = (size_t)record[1] << 8 | record[2];
        at += RECORD;
        length = length < size - at ? length : size - at;
        chunk.data = data + at;
        chunk.length = length;
        chunk.side = record[0] & 1;
        chunk.missing = !parser->stream && record[0] & 0x10 ? record[3] : 0;
        chunk.time_ns += (uint64_t)((int64_t)(int8_t)record[3] * 100000000);
        chunk.frame += record[0] & 0x20 ? 0 : 1;
        chunk.offset = parser->stream ? offsets[chunk.side] : 0;
        step(&whole, record[0], &chunk, SIZE_MAX);
        step(&pieces, record[0], &chunk, parser->stream ? 1 + (data[0] >> 2 & 7u) : SIZE_MAX);
        offsets[chunk.side] += length;
        at += length;
        if (whole.result == FS_PARSE_POISONED || pieces.result == FS_PARSE_POISONED) {
            break;
        }
    }
    must(whole.digest == pieces.digest && whole.messages == pieces.messages);
    finish(&whole, data[0] & 0x40);
    finish(&pieces, data[0] & 0x40);
    return 0;
}
