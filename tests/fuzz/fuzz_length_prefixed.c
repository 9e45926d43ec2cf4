/* SPDX-License-Identifier: MIT */
/** @file fuzz_length_prefixed.c
 * Byte 0: width and how the pieces are cut. Then parts: side (bit 0), gap instead of bytes (bit 1), FIN (bits 1 and 2)
 * (1), length (1), and the bytes. Cut or not, the messages are the same; no more is kept than was set; all memory comes
 * back.
 */
#include "flowscope/length_prefixed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEP = 20, LARGEST = 5000 };

/* Not assert(): it must hold in release builds too. */
static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

struct run {
    uint64_t bytes, peak, digest, messages;
};

static void *count_alloc(size_t size, void *user) {
    struct run *run = user;
    void *pointer = malloc(size);
    must(pointer != NULL && size > 0);
    memset(pointer, 0xa5, size);
    run->bytes += size;
    run->peak = run->bytes > run->peak ? run->bytes : run->peak;
    return pointer;
}

static void count_release(void *pointer, size_t size, void *user) {
    struct run *run = user;
    must(pointer != NULL && run->bytes >= size);
    run->bytes -= size;
    free(pointer);
}

static void add(struct run *run, uint64_t value) {
    run->digest = (run->digest ^ value) * 0x100000001b3u;
}

static void on_message(const struct fs_message *message, void *user) {
    struct run *run = user;
    const struct fs_length_prefixed_message *detail = message->detail;
    must(message->protocol == FS_SESSION_LENGTH_PREFIXED && message->kind == FS_MESSAGE_NOTICE);
    must(detail->length <= LARGEST && detail->missing <= detail->length && detail->kept <= KEEP);
    must(detail->body != NULL && detail->kept + detail->missing <= detail->length);
    must(message->incomplete ||
         (detail->missing == 0 && detail->kept == (detail->length < KEEP ? detail->length : KEEP)));
    for (size_t i = 0; i < detail->kept; i++) {
        add(run, detail->body[i]);
    }
    add(run, detail->kept);
    add(run, detail->length);
    add(run, detail->missing);
    add(run, message->incomplete);
    add(run, message->start_ns);
    add(run, message->end_ns);
    add(run, message->side);
    run->messages++;
}

static void run_all(struct run *run, unsigned width, const uint8_t *data, size_t size, size_t cut) {
    static const struct fs_length_prefixed_config config = {KEEP, LARGEST};
    const struct fs_parser *table = &fs_parser_length_prefixed_1;
    memset(run, 0, sizeof(*run));
    const struct fs_parser_host host = {{count_alloc, count_release, run}, on_message, run};
    void *parser = fs_length_prefixed_create(&config, width, &host);
    must(parser != NULL);
    uint64_t empty = run->bytes;
    uint32_t time = 0;
    while (size >= 2) {
        time++;
        struct fs_chunk chunk = {.side = data[0] & 1, .time_ns = time, .frame = time};
        unsigned what = data[0] >> 1 & 3;
        size_t length = data[1];
        data += 2;
        size -= 2;
        if (what == 3) {
            table->fin(parser, (enum fs_side)chunk.side, time, time);
            continue;
        }
        chunk.length = length;
        if (what == 1) {
            table->feed(parser, &chunk);
            continue;
        }
        length = length < size ? length : size;
        for (size_t at = 0; at < length;) {
            size_t piece = cut > 0 && cut < length - at ? cut : length - at;
            uint8_t *copy = malloc(piece);
            must(copy != NULL);
            memcpy(copy, data + at, piece);
            chunk.data = copy;
            chunk.length = piece;
            table->feed(parser, &chunk);
            free(copy);
            at += piece;
        }
        data += length;
        size -= length;
    }
    must(run->peak <= empty + 2 * (uint64_t)KEEP);
    table->end(parser, false, time, time);
    table->destroy(parser);
    must(run->bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    static const unsigned widths[] = {1, 2, 4, 4};
    struct run whole, cut;
    run_all(&whole, widths[data[0] & 3], data + 1, size - 1, 0);
    run_all(&cut, widths[data[0] & 3], data + 1, size - 1, 1u + (data[0] >> 2));
    must(whole.messages == cut.messages && whole.digest == cut.digest);
    return 0;
}
