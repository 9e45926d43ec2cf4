/* SPDX-License-Identifier: MIT */
/* One flow of HTTP: where both sides stand, lines out of their bytes, and messages out of lines. */
#ifndef FS_HTTP_FLOW_H
#define FS_HTTP_FLOW_H

#include "http_internal.h"

/* Where a side stands in its stream. */
enum fs__http_state {
    FS__HTTP_AT_BETWEEN = 0, /* messages: only empty lines may come */
    FS__HTTP_AT_START_LINE,
    FS__HTTP_AT_HEADERS,
    FS__HTTP_AT_BODY_DUE, /* of a response to nobody knows what: it may have none */
    FS__HTTP_AT_BODY_COUNTED,
    FS__HTTP_AT_BODY_OPEN, /* until the connection closes */
    FS__HTTP_AT_CHUNK_SIZE,
    FS__HTTP_AT_CHUNK_BODY,
    FS__HTTP_AT_CHUNK_END, /* the line end after a chunk */
    FS__HTTP_AT_TRAILERS,
    FS__HTTP_AT_SEARCH, /* for a start line */
    FS__HTTP_AT_ENDED
};

/* Bytes at the end of a line in which a start line is looked for. */
enum { FS__HTTP_FOUND_WITHIN = 4000 };

struct fs__http_moment {
    uint64_t ns;
    uint32_t frame;
};

struct fs__http_side {
    uint8_t state;     /* enum fs__http_state */
    uint8_t peeked;    /* FS__HTTP_AT_BODY_DUE: bytes that were as those of a status line */
    uint8_t last_byte; /* of the line so far */
    bool is_plausible; /* FS__HTTP_AT_START_LINE: that was looked at */
    bool has_message;  /* its start line was read */
    bool is_incomplete;
    bool is_paired; /* its request was looked for, or it was put among the requests */
    uint32_t line_used, line_size;
    uint8_t *line;        /* what came of the line; FS__HTTP_AT_SEARCH: at least what is searched of it */
    uint64_t line_length; /* what came of it, kept or not */
    struct fs__http_moment line_start, start, end;
    struct fs__http_moment peek_start, peek_end;
    uint64_t bytes, missing, body_bytes;
    uint64_t remaining; /* of the body or the chunk */
    uint64_t exchange;
    /* Of a client: what it put into the queue, while it waits there or is being answered. Of a server: what it is
     * answering, taken out of the queue. */
    struct fs__http_request *request;
    struct fs__http_head head;
};

struct fs__http {
    struct fs__memory memory;
    struct fs_parser_host host;
    uint8_t role[2];   /* enum fs__http_role */
    bool is_over;      /* bytes that follow are another protocol's */
    bool is_refused;   /* never was HTTP */
    bool is_pipelined; /* a request was seen to be answered with others waiting behind it */
    uint64_t searched; /* bytes, before the first start line */
    struct fs__http_side side[2];
    struct fs__http_requests requests;
};

/* What is left of a chunk. */
struct fs__http_cursor {
    const uint8_t *data;
    size_t left;
    struct fs__http_moment now;
    unsigned side;
};

static inline struct fs__http_side *fs__http_side_of(struct fs__http *http, enum fs__http_role role) {
    return &http->side[http->role[0] == (uint8_t)role ? 0 : 1];
}

static inline void fs__http_take(struct fs__http_side *side, struct fs__http_cursor *cursor, size_t length) {
    cursor->data += length;
    cursor->left -= length;
    side->bytes += length;
    side->end = cursor->now;
}

/* ---- lines ---- */

enum fs__http_line_result { FS__HTTP_LINE_PARTIAL, FS__HTTP_LINE_COMPLETE, FS__HTTP_LINE_NO_MEMORY };

/* Take the next line, or what there is of it. A line that lies in the chunk as a whole is not copied. Its text is valid
 * until the next call for this side. */
enum fs__http_line_result fs__http_take_line(struct fs__http *http, struct fs__http_side *side,
                                             struct fs__http_cursor *cursor, struct fs__http_line *line);
/* Forget what came of a line, and its store. */
void fs__http_drop_line(struct fs__http *http, struct fs__http_side *side);

/* ---- messages ---- */

void fs__http_reset_message(struct fs__http *http, struct fs__http_side *side);
void fs__http_begin_message(struct fs__http *http, struct fs__http_side *side, struct fs__http_moment start);
/* Find the request that a response answers, once its status line was read. */
void fs__http_find_request(struct fs__http *http, struct fs__http_side *server);
/* Put the client's request among those that wait, unless it is there. */
void fs__http_await_response(struct fs__http *http, struct fs__http_side *client);
/* What was peeked at belongs to the body after all. */
void fs__http_settle_body(struct fs__http_side *side);
/* Report the message; the side is then between messages. */
void fs__http_finish_message(struct fs__http *http, struct fs__http_side *side);
/* Report what is unfinished and look for the next start line. What came of the present line stays to be searched. */
void fs__http_lose(struct fs__http *http, struct fs__http_side *side);
/* Report what waits for a response. */
void fs__http_report_unanswered(struct fs__http *http);
/* Another protocol follows: the response that says so was reported. */
void fs__http_hand_over(struct fs__http *http);

#endif
