/* SPDX-License-Identifier: MIT */
/* Shared by the parts of the HTTP parser: start lines, header fields, outstanding requests, and the state machine. */
#ifndef FS_HTTP_INTERNAL_H
#define FS_HTTP_INTERNAL_H

#include "allocation.h"
#include "flowscope/http.h"

#include <string.h>

/* A line without its end, clipped to FS_HTTP_LINE_MAX. */
struct fs__http_line {
    const uint8_t *text;
    size_t length;
    uint64_t bytes; /* that it took, end included */
    bool clipped;
    bool bare_lf;
};

static inline bool fs__http_equals(const uint8_t *text, size_t length, const char *word) {
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* ---- characters (RFC 9110, 5.6.2) ---- */

bool fs__http_is_token(const uint8_t *text, size_t length);

static inline bool fs__http_is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

/* Take blanks off both ends. */
static inline struct fs_http_text fs__http_trim(const uint8_t *text, size_t length) {
    while (length > 0 && fs__http_is_blank(*text)) {
        text++;
        length--;
    }
    while (length > 0 && fs__http_is_blank(text[length - 1]))
        length--;
    return (struct fs_http_text){text, length};
}

/* ---- texts of a message ---- */

enum fs__http_text_id {
    FS__HTTP_TEXT_METHOD = 0,
    FS__HTTP_TEXT_TARGET,
    FS__HTTP_TEXT_HOST,
    FS__HTTP_TEXT_REASON,
    FS__HTTP_TEXT_CONTENT_TYPE,
    FS__HTTP_TEXT_TRANSFER_CODING,
    FS__HTTP_TEXT_UPGRADE,
    FS__HTTP_TEXT_USER_AGENT,
    FS__HTTP_TEXT_REFERER,
    FS__HTTP_TEXT_SERVER,
    FS__HTTP_TEXT_LOCATION,
    FS__HTTP_TEXT_COUNT
};

/* The kept texts of the message that is being read, one after the other. */
struct fs__http_texts {
    uint8_t *data;
    uint32_t used, size;
    struct {
        uint16_t start, length;
        bool is_set;
    } span[FS__HTTP_TEXT_COUNT];
};

/* ---- a message ---- */

/* How long its body is. */
enum fs__http_framing {
    FS__HTTP_NO_BODY = 0,
    FS__HTTP_LENGTH,
    FS__HTTP_IN_CHUNKS,
    FS__HTTP_UNTIL_CLOSE,
    FS__HTTP_UNKNOWABLE /* a request whose end nobody can tell */
};

/* What the start line and the headers said. */
struct fs__http_head {
    struct fs__http_texts texts;
    uint32_t flags;
    uint32_t header_count;
    uint64_t header_bytes;
    uint64_t content_length; /* FS_HTTP_NO_LENGTH */
    uint16_t status;
    uint8_t version_major, version_minor;
    uint8_t last_header; /* what a folded line continues: enum in http_fields.c */
    bool is_response;
    bool has_transfer_coding;    /* other than identity */
    bool has_chunked;            /* among the codings */
    bool is_last_coding_chunked; /* chunked is the last of them */
};

void fs__http_head_reset(struct fs__http_head *head, struct fs__memory *memory);
void fs__http_head_release(struct fs__http_head *head, struct fs__memory *memory);
/* Keep a text; the first of its kind stays. */
void fs__http_keep(struct fs__http_head *head, struct fs__memory *memory, enum fs__http_text_id id, const uint8_t *text,
                   size_t length);
struct fs_http_text fs__http_text_of(const struct fs__http_head *head, enum fs__http_text_id id);
/* Take one header line in. */
void fs__http_header_line(struct fs__http_head *head, struct fs__memory *memory, const struct fs__http_line *line);
/* A trailer line: it is looked at and counted, and changes nothing. */
void fs__http_trailer_line(struct fs__http_head *head, const struct fs__http_line *line);
/* RFC 9112, 6.3, items 3 to 8: what depends on the message alone. May add flags. */
enum fs__http_framing fs__http_framing_of(struct fs__http_head *head);

/* ---- start lines ---- */

enum fs__http_role { FS__HTTP_UNKNOWN = 0, FS__HTTP_CLIENT, FS__HTTP_SERVER };

/* So many first bytes tell whether a line can be a start line. */
enum { FS__HTTP_PLAUSIBLE_BYTES = FS_HTTP_METHOD_MAX + 1 };

/* Whether a line that begins with these bytes may be a start line of this role. What is not plausible does not become
 * so by more bytes, and beyond FS__HTTP_PLAUSIBLE_BYTES nothing changes. */
bool fs__http_is_plausible(enum fs__http_role role, const uint8_t *text, size_t length);

/* Read a start line into the head. Returns the role of its sender; FS__HTTP_UNKNOWN if it is none of `role`. */
enum fs__http_role fs__http_start_line(struct fs__http_head *head, struct fs__memory *memory, enum fs__http_role role,
                                       const struct fs__http_line *line);

/* The same of the beginning of one whose rest will not come: what is there must be beyond doubt, a whole status, or a
 * known method and some of a target. */
enum fs__http_role fs__http_cut_start_line(struct fs__http_head *head, struct fs__memory *memory,
                                           enum fs__http_role role, const uint8_t *text, size_t length);

/* Where in these bytes, which end a line, a start line begins that may be trusted although nothing is known of what is
 * before it. Returns `length` if nowhere. */
size_t fs__http_find_start_line(enum fs__http_role role, const uint8_t *text, size_t length);

/* ---- outstanding requests ---- */

struct fs__http_request {
    struct fs__http_request *next;
    uint64_t exchange;
    uint64_t start_ns, end_ns; /* end: FS_NO_TIME until it is known */
    uint64_t bytes;
    uint32_t start_frame, end_frame;
    uint32_t size; /* room for text */
    uint16_t method_length, host_length, target_length, agent_length, referer_length;
    uint8_t version_major, version_minor;
    bool is_head, is_connect, is_0_9, asks_upgrade, is_cut, is_incomplete;
    uint8_t text[]; /* method, host, target, user agent, referer */
};

struct fs__http_requests {
    struct fs__http_request *first, *last;
    struct fs__http_request *spare; /* one that was given back */
    uint32_t count;
    uint32_t room;      /* for text, in those of the queue and those taken from it */
    uint64_t forgotten; /* requests after the last that were not kept */
    uint64_t exchanges; /* number of the last */
};

/* Add the request that a head describes; false, and only counted, at a cap or without memory. */
struct fs__http_request *fs__http_requests_add(struct fs__http_requests *requests, struct fs__memory *memory,
                                               const struct fs__http_head *head);
/* Take the first; NULL if none is kept: then *exchange is its number if it was forgotten, else 0. */
struct fs__http_request *fs__http_requests_take(struct fs__http_requests *requests, uint64_t *exchange);
/* Give back what was taken. NULL is ignored. */
void fs__http_requests_give(struct fs__http_requests *requests, struct fs__memory *memory,
                            struct fs__http_request *request);
void fs__http_requests_release(struct fs__http_requests *requests, struct fs__memory *memory);

static inline struct fs_http_text fs__http_request_method(const struct fs__http_request *request) {
    return (struct fs_http_text){request->text, request->method_length};
}

static inline struct fs_http_text fs__http_request_host(const struct fs__http_request *request) {
    return (struct fs_http_text){request->text + request->method_length, request->host_length};
}

static inline struct fs_http_text fs__http_request_target(const struct fs__http_request *request) {
    return (struct fs_http_text){request->text + request->method_length + request->host_length, request->target_length};
}

static inline struct fs_http_text fs__http_request_agent(const struct fs__http_request *request) {
    struct fs_http_text target = fs__http_request_target(request);
    return (struct fs_http_text){target.data + target.length, request->agent_length};
}

static inline struct fs_http_text fs__http_request_referer(const struct fs__http_request *request) {
    struct fs_http_text agent = fs__http_request_agent(request);
    return (struct fs_http_text){agent.data + agent.length, request->referer_length};
}

#endif
