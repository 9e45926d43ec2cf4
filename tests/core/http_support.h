/* SPDX-License-Identifier: MIT */
/** @file http_support.h
 * Conversations to feed the HTTP parser with, and a log of what it says, one line a message:
 *     > 1 GET /path            a request, number of its exchange
 *     < 1 200 +5 (GET /path)   a response with a body of 5 bytes, and its request
 *     ? 1 GET /path            an unanswered request
 * Then "cut" if incomplete, "hole=N" for missing bytes, and the slugs of its flags.
 */
#ifndef FLOWSCOPE_TESTS_HTTP_SUPPORT_H
#define FLOWSCOPE_TESTS_HTTP_SUPPORT_H

#include "alloc_support.h"
#include "flowscope/http.h"

enum step_kind { STEP_NONE = 0, STEP_DATA, STEP_GAP, STEP_FIN };

struct step {
    enum step_kind kind;
    uint8_t side;
    const char *data;
    size_t length;
};

#define CLIENT(text)                                                                                                   \
    { STEP_DATA, FS_INITIATOR, text, sizeof(text) - 1 }
#define SERVER(text)                                                                                                   \
    { STEP_DATA, FS_RESPONDER, text, sizeof(text) - 1 }
#define GAP(side, length)                                                                                              \
    { STEP_GAP, side, NULL, length }
#define FIN(side)                                                                                                      \
    { STEP_FIN, side, NULL, 0 }

enum { MAX_STEPS = 16, LOG_BYTES = 1 << 18 };

struct conversation {
    const char *name;
    struct step steps[MAX_STEPS];
    const char *expected; /* the log */
};

extern const struct conversation conversations[];
extern const size_t conversation_count;

struct http_run {
    struct counting_allocator counting;
    uint64_t peak; /* bytes */
    void *parser;
    enum fs_parse_result result;
    uint64_t offset[2];
    bool is_full; /* log all there is to say */
    size_t used;
    size_t messages;
    char log[LOG_BYTES];
};

/** Begin; false without memory. `run->counting` may be set to fail after http_run_prepare(). */
void http_run_prepare(struct http_run *run);
bool http_run_create(struct http_run *run);
/** One call; the bytes are in a block of their own that is gone after it. */
void http_run_feed(struct http_run *run, unsigned side, const void *data, size_t length, uint64_t time);
void http_run_gap(struct http_run *run, unsigned side, uint64_t length, uint64_t time);
void http_run_fin(struct http_run *run, unsigned side, uint64_t time);
/** End the flow if the parser is not done, destroy it, and check that all memory came back. */
void http_run_finish(struct http_run *run);
/** All of a conversation, each step at its own time, cut by `next_piece(state)` bytes at most; NULL: not at all. */
void http_run_conversation(struct http_run *run, const struct conversation *conversation,
                           size_t (*next_piece)(void *state), void *state);

#endif
