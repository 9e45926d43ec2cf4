/* SPDX-License-Identifier: MIT */
/** @file fuzz_http.c
 * Bytes become a conversation: first as it is written, then cut into pieces as its first byte says. Both must say the
 * same, keep to the memory cap, and give all memory back; each message must make sense.
 *
 * Byte 0: how the pieces are cut. Then parts: which side and what (1: bit 0 the side, bits 1 to 2 what: 0, 1 bytes,
 * 2 a gap, 3 with a length of 255 FIN), length (2, big-endian), and the bytes.
 */
#include "flowscope/http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in release builds too. */
static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

struct run {
    uint64_t bytes, peak, blocks;
    uint64_t digest, messages, fed;
    uint64_t last_exchange[2]; /* of requests, of responses */
    uint64_t unanswered;
};

static void *count_alloc(size_t size, void *user) {
    struct run *run = user;
    void *pointer = malloc(size);
    must(pointer != NULL && size > 0);
    memset(pointer, 0xa5, size); /* nobody may count on zeros */
    run->bytes += size;
    run->peak = run->bytes > run->peak ? run->bytes : run->peak;
    run->blocks++;
    return pointer;
}

static void count_release(void *pointer, size_t size, void *user) {
    struct run *run = user;
    must(pointer != NULL && run->bytes >= size && run->blocks > 0);
    run->bytes -= size;
    run->blocks--;
    free(pointer);
}

static void add(struct run *run, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) { /* each byte is read, for the sanitizers' sake */
        run->digest = (run->digest ^ bytes[i]) * 0x100000001b3u;
    }
}

static void add_number(struct run *run, uint64_t number) {
    add(run, &number, sizeof(number));
}

static void add_text(struct run *run, struct fs_http_text text) {
    must(text.data != NULL && text.length <= FS_HTTP_TARGET_MAX);
    add(run, text.data, text.length);
    add_number(run, text.length);
}

static void add_detail(struct run *run, const struct fs_http_message *detail) {
    const struct fs_http_text texts[] = {detail->method,  detail->target,       detail->host,
                                         detail->reason,  detail->content_type, detail->transfer_coding,
                                         detail->upgrade, detail->user_agent,   detail->referer,
                                         detail->server,  detail->location};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        add_text(run, texts[i]);
    }
    add_number(run, detail->flags);
    add_number(run, detail->status);
    add_number(run, detail->content_length);
    add_number(run, detail->body_bytes);
    add_number(run, detail->body_missing);
    add_number(run, detail->header_bytes);
    add_number(run, detail->header_count);
    add_number(run, detail->request_end_ns);
}

static void on_message(const struct fs_message *message, void *user) {
    struct run *run = user;
    const struct fs_http_message *detail = message->detail;
    must(message->protocol == FS_SESSION_HTTP && message->side <= 1);
    must(message->kind <= FS_MESSAGE_UNANSWERED && message->kind != FS_MESSAGE_NOTICE);
    must(detail->is_response == (message->kind == FS_MESSAGE_RESPONSE));
    must(message->start_ns <= message->end_ns && message->start_frame <= message->end_frame);
    must(detail->body_missing <= detail->body_bytes);
    must(message->bytes <= run->fed);
    must(detail->header_bytes + detail->body_bytes - detail->body_missing <= run->fed);
    must(message->kind == FS_MESSAGE_RESPONSE || message->exchange != 0);
    if (message->kind == FS_MESSAGE_REQUEST) {
        must(message->exchange == run->last_exchange[0] + 1);
        run->last_exchange[0] = message->exchange;
    } else if (message->exchange != 0) { /* in order, each once but for interim responses */
        must(message->exchange > run->last_exchange[1] ||
             (message->exchange == run->last_exchange[1] && run->unanswered == 0));
        run->last_exchange[1] = detail->flags & FS_HTTP_INTERIM ? message->exchange - 1 : message->exchange;
    }
    must((detail->flags & FS_HTTP_CHUNKED) == 0 || (detail->flags & FS_HTTP_CLOSE_DELIMITED) == 0);
    must(message->request_ns == FS_NO_TIME || message->kind == FS_MESSAGE_RESPONSE);
    run->messages++;
    add(run, &message->kind, 1);
    add(run, &message->side, 1);
    add_number(run, message->incomplete);
    add_number(run, message->exchange);
    add_number(run, message->start_ns);
    add_number(run, message->end_ns);
    add_number(run, message->request_ns);
    add_number(run, message->bytes);
    add_detail(run, detail);
}

/* ---- feeding ---- */

static enum fs_parse_result feed_bytes(struct run *run, void *parser, struct fs_chunk chunk, const uint8_t *data,
                                       size_t length, unsigned cut) {
    enum fs_parse_result result = FS_PARSE_MORE;
    for (size_t at = 0; at < length && result == FS_PARSE_MORE;) {
        size_t piece = cut == 0 ? length : 1 + (at * 7 + cut * 13) % cut;
        piece = piece < length - at ? piece : length - at;
        uint8_t *copy = malloc(piece);
        must(copy != NULL);
        memcpy(copy, data + at, piece);
        chunk.data = copy;
        chunk.length = piece;
        run->fed += piece;
        result = fs_parser_http.feed(parser, &chunk);
        free(copy);
        at += piece;
    }
    return result;
}

static void run_all(struct run *run, const uint8_t *data, size_t size, unsigned cut) {
    memset(run, 0, sizeof(*run));
    const struct fs_parser_host host = {{count_alloc, count_release, run}, on_message, run};
    void *parser = fs_parser_http.create(&host);
    must(parser != NULL);
    enum fs_parse_result result = FS_PARSE_MORE;
    uint32_t time = 0;
    while (size >= 3 && result == FS_PARSE_MORE) {
        unsigned side = data[0] & 1, what = data[0] >> 1 & 3;
        size_t length = (size_t)data[1] << 8 | data[2];
        data += 3;
        size -= 3;
        time++;
        struct fs_chunk chunk = {.time_ns = time, .frame = time, .side = (uint8_t)side};
        if (what == 2) {
            chunk.length = length;
            result = fs_parser_http.feed(parser, &chunk);
            continue;
        }
        if (what == 3 && length == 255) {
            result = fs_parser_http.fin(parser, (enum fs_side)side, time, time);
            continue;
        }
        length = length < size ? length : size;
        result = feed_bytes(run, parser, chunk, data, length, cut);
        data += length;
        size -= length;
    }
    must(run->peak <= FS_HTTP_MEMORY_MAX);
    if (result == FS_PARSE_MORE) {
        fs_parser_http.end(parser, cut & 1, time, time);
    }
    must(result != FS_PARSE_POISONED || run->messages == 0);
    fs_parser_http.destroy(parser);
    must(run->bytes == 0 && run->blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct run whole, cut;
    struct fs_chunk first = {.data = data, .length = size};
    must(fs_parser_http.probe(&first) <= FS_PROBE_MORE);
    run_all(&whole, data + 1, size - 1, 0);
    run_all(&cut, data + 1, size - 1, 1u + data[0]);
    must(whole.messages == cut.messages && whole.digest == cut.digest);
    return 0;
}
