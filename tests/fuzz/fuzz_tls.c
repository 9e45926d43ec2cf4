/* SPDX-License-Identifier: MIT */
/** @file fuzz_tls.c
 * Bytes become what two sides send, gaps and FINs. Whatever they are: the messages keep their contract, memory stays
 * under the cap and comes back, and the same bytes one by one give the same messages.
 *
 * Records of: what (1: bits 0 side, 1 to 3: 7 gap, 6 FIN, else bytes), length (2), and the bytes.
 */
#include "flowscope/tls.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 3, GAP = 7, FIN = 6, OWN = 4096 };

/* Not assert(): it must hold in release builds too. */
static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

/* ---- memory, counted ---- */

struct store {
    uint64_t bytes, peak;
};

static void *count_alloc(size_t size, void *user) {
    struct store *store = user;
    void *pointer = malloc(size);
    must(pointer != NULL && size > 0);
    memset(pointer, 0xa5, size);
    store->bytes += size;
    store->peak = store->bytes > store->peak ? store->bytes : store->peak;
    return pointer;
}

static void count_release(void *pointer, size_t size, void *user) {
    struct store *store = user;
    must(pointer != NULL && store->bytes >= size);
    store->bytes -= size;
    free(pointer);
}

/* ---- messages ---- */

struct run {
    struct store store;
    void *parser;
    enum fs_parse_result result;
    uint64_t digest, requests, responses, unanswered;
};

static void mix(struct run *run, uint64_t value) {
    run->digest = (run->digest ^ value) * 0x100000001b3u;
}

static void mix_bytes(struct run *run, const void *data, size_t length) {
    const uint8_t *bytes = data;
    mix(run, length);
    for (size_t i = 0; i < length; i++) {
        mix(run, bytes[i]);
    }
}

static void mix_list(struct run *run, const struct fs_tls_list *list) {
    must((list->values != NULL) == (list->count > 0) && list->count <= FS_TLS_HELLO_LIMIT / 2);
    mix(run, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        mix(run, list->values[i]);
    }
}

static void check_hex(const char *text, size_t length) {
    must(text[0] == '\0' || strlen(text) == length);
}

static void mix_client(struct run *run, const struct fs_tls_client *client) {
    must(client->alpn_count <= FS_TLS_ALPN_MAX && client->alpn_count <= client->alpn_total);
    check_hex(client->ja3, 32);
    check_hex(client->ja4, 36);
    mix_bytes(run, client->server_name.data, client->server_name.length);
    for (uint32_t i = 0; i < client->alpn_count; i++) {
        mix_bytes(run, client->alpn[i].data, client->alpn[i].length);
    }
    mix_bytes(run, client->ja3, strlen(client->ja3));
    mix_bytes(run, client->ja4, strlen(client->ja4));
    mix(run, client->version);
}

static void on_message(const struct fs_message *message, void *user) {
    struct run *run = user;
    const struct fs_tls_message *tls = message->detail;
    must(message->protocol == FS_SESSION_TLS && message->side < 2 && message->bytes > 0);
    must(message->start_ns <= message->end_ns && message->start_frame <= message->end_frame);
    must(tls->type >= FS_TLS_CLIENT_HELLO && tls->type <= FS_TLS_ALERT);
    must((message->kind == FS_MESSAGE_NOTICE) == (tls->type == FS_TLS_ALERT));
    must((message->exchange == 0) == (tls->type == FS_TLS_ALERT));
    must(tls->ja3_text == NULL || !message->incomplete);
    must(message->kind == FS_MESSAGE_RESPONSE || message->request_ns == FS_NO_TIME);
    run->requests += message->kind == FS_MESSAGE_REQUEST;
    run->responses += message->kind == FS_MESSAGE_RESPONSE;
    run->unanswered += message->kind == FS_MESSAGE_UNANSWERED;
    must(run->unanswered <= run->requests);
    check_hex(tls->ja3s, 32);
    mix(run, (uint64_t)message->kind << 32 | (uint64_t)message->side << 16 | message->incomplete);
    mix(run, message->exchange);
    mix(run, message->bytes);
    mix(run, message->start_ns);
    mix(run, message->end_ns);
    mix(run, message->request_ns);
    mix(run,
        (uint64_t)tls->type << 48 | (uint64_t)tls->flags << 32 | (uint64_t)tls->version << 16 | tls->legacy_version);
    mix(run, (uint64_t)tls->alert << 48 | (uint64_t)tls->cipher_suite << 16 | tls->group);
    mix_bytes(run, tls->random, tls->random != NULL ? 32 : 0);
    mix_bytes(run, tls->session_id, tls->session_id_length);
    mix_list(run, &tls->cipher_suites);
    mix_list(run, &tls->extensions);
    mix_list(run, &tls->versions);
    mix_list(run, &tls->groups);
    mix_list(run, &tls->signature_algorithms);
    mix_list(run, &tls->key_shares);
    mix_bytes(run, tls->compression_methods.data, tls->compression_methods.length);
    mix_bytes(run, tls->point_formats.data, tls->point_formats.length);
    mix_bytes(run, tls->alpn.data, tls->alpn.length);
    mix_bytes(run, tls->ja3_text, tls->ja3_text != NULL ? strlen(tls->ja3_text) : 0);
    mix_client(run, &tls->client);
}

/* ---- the run ---- */

static void feed(struct run *run, uint8_t side, const uint8_t *data, size_t length, uint32_t moment) {
    if (run->result != FS_PARSE_MORE || length == 0) {
        return;
    }
    uint8_t *copy = data != NULL ? malloc(length) : NULL; /* of its own, so that reading past it shows */
    must(data == NULL || copy != NULL);
    if (copy != NULL) {
        memcpy(copy, data, length);
    }
    struct fs_chunk chunk = {.data = copy, .length = length, .time_ns = moment, .frame = moment, .side = side};
    run->result = fs_parser_tls.feed(run->parser, &chunk);
    free(copy);
}

static void take(struct run *run, const uint8_t *data, size_t size, size_t piece) {
    uint32_t moment = 1;
    while (size >= HEADER && run->result == FS_PARSE_MORE) {
        uint8_t side = data[0] & 1, what = data[0] >> 1 & 7;
        size_t length = (size_t)data[1] << 8 | data[2];
        data += HEADER;
        size -= HEADER;
        if (what == GAP) {
            feed(run, side, NULL, length, moment);
        } else if (what == FIN) {
            run->result = fs_parser_tls.fin(run->parser, (enum fs_side)side, moment, moment);
        } else {
            length = length < size ? length : size;
            for (size_t at = 0; at < length; at += piece) {
                feed(run, side, data + at, length - at < piece ? length - at : piece, moment);
            }
            data += length;
            size -= length;
        }
        moment++;
    }
}

static void play(struct run *run, const uint8_t *data, size_t size, size_t piece) {
    memset(run, 0, sizeof(*run));
    struct fs_parser_host host = {
        .allocator = {count_alloc, count_release, &run->store}, .on_message = on_message, .user = run};
    run->parser = fs_parser_tls.create(&host);
    must(run->parser != NULL && run->store.bytes < OWN);
    take(run, data, size, piece);
    must(run->store.bytes <= OWN + 2 * (uint64_t)FS_TLS_HELLO_LIMIT + 4 * (uint64_t)FS_TLS_NAME_LIMIT);
    if (run->result == FS_PARSE_MORE) {
        fs_parser_tls.end(run->parser, size % 2 == 0, 0, 0);
    }
    must(run->requests <= run->responses + run->unanswered || run->requests > 2);
    struct fs_tls_stats stats;
    fs_tls_get_stats(run->parser, &stats);
    mix(run, stats.side[0].application_bytes);
    mix(run, stats.side[1].certificate_bytes);
    fs_parser_tls.destroy(run->parser);
    must(run->store.bytes == 0);
    must(run->store.peak <= OWN + 7 * (uint64_t)FS_TLS_HELLO_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run whole, bytewise;
    play(&whole, data, size, SIZE_MAX / 2);
    play(&bytewise, data, size, 1);
    must(whole.digest == bytewise.digest && whole.result == bytewise.result);
    struct fs_chunk first = {.data = data, .length = size};
    enum fs_probe_result probed = fs_parser_tls.probe(&first);
    for (size_t length = 0; length < size && length < 16; length++) { /* never YES, then NO; no other answer twice */
        first.length = length;
        enum fs_probe_result earlier = fs_parser_tls.probe(&first);
        must(earlier == FS_PROBE_MORE || earlier == probed);
    }
    return 0;
}
