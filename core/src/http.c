/* SPDX-License-Identifier: MIT */
/* The state machine of one flow. */
#include "http_flow.h"

/* Bytes of a start line without end that tell enough. */
enum { PROBE_BYTES = 1024 };

/* What a response begins with where the body of a bodiless one would. */
static const char next_response[] = "HTTP/1.";
enum { NEXT_RESPONSE_BYTES = sizeof next_response - 1 };

/* ---- start lines ---- */

static void set_roles(struct fs__http *http, unsigned side, enum fs__http_role role) {
    http->role[side] = (uint8_t)role;
    http->role[!side] = role == FS__HTTP_CLIENT ? FS__HTTP_SERVER : FS__HTTP_CLIENT;
}

/* The preface of HTTP/2 (RFC 9113, 3.4). */
static bool is_http2(const struct fs__http_head *head) {
    struct fs_http_text method = fs__http_text_of(head, FS__HTTP_TEXT_METHOD);
    return head->version_major == 2 && fs__http_equals(method.data, method.length, "PRI");
}

static void start_headers(struct fs__http *http, struct fs__http_side *side, const struct fs__http_line *line) {
    side->has_message = true;
    side->head.header_bytes = line->bytes;
    if (side->head.is_response)
        fs__http_find_request(http, side);
    side->state = FS__HTTP_AT_HEADERS;
    if (!side->head.is_response && side->head.flags & FS_HTTP_0_9)
        fs__http_finish_message(http, side); /* that is all of it */
}

/* Look into a line of which nothing is known. */
static void search_line(struct fs__http *http, unsigned index, const struct fs__http_line *line,
                        struct fs__http_moment end) {
    struct fs__http_side *side = &http->side[index];
    enum fs__http_role role = (enum fs__http_role)http->role[index];
    size_t at = fs__http_find_start_line(role, line->text, line->length);
    if (at == line->length)
        return;
    struct fs__http_line found = *line;
    found.text += at;
    found.length -= at;
    found.bytes = found.length + (line->bare_lf ? 1 : 2);
    found.clipped = false;
    /* When a byte in the midst of a line came is not kept; when the line ended is. */
    fs__http_begin_message(http, side, at == 0 && !line->clipped ? side->line_start : end);
    enum fs__http_role is = fs__http_start_line(&side->head, &http->memory, role, &found);
    if (is == FS__HTTP_UNKNOWN) {
        fs__http_lose(http, side);
        return;
    }
    if (http->role[index] == FS__HTTP_UNKNOWN)
        set_roles(http, index, is);
    side->head.flags |= FS_HTTP_RESYNCHRONIZED;
    side->bytes = found.bytes;
    side->end = end;
    start_headers(http, side, &found);
}

/* A line that was taken for something else; of a clipped one the wrong end was kept. */
static void search_rejected(struct fs__http *http, unsigned index, const struct fs__http_line *line,
                            struct fs__http_moment end) {
    if (line->clipped)
        return;
    struct fs__http_line tail = *line;
    if (tail.length > FS__HTTP_FOUND_WITHIN) {
        tail.text += tail.length - FS__HTTP_FOUND_WITHIN;
        tail.length = FS__HTTP_FOUND_WITHIN;
        tail.clipped = true;
    }
    search_line(http, index, &tail, end);
}

static void on_search(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    struct fs__http_line line;
    struct fs__http_cursor part = *cursor;
    bool is_unknown = http->role[cursor->side] == FS__HTTP_UNKNOWN;
    if (is_unknown && part.left > FS_HTTP_SEARCH_MAX - http->searched)
        part.left = (size_t)(FS_HTTP_SEARCH_MAX - http->searched);
    if (part.left == 0) {
        http->is_refused = true;
        return;
    }
    size_t before = part.left;
    enum fs__http_line_result result = fs__http_take_line(http, side, &part, &line);
    size_t taken = before - part.left;
    cursor->data += taken;
    cursor->left -= taken;
    if (is_unknown)
        http->searched += taken;
    if (result == FS__HTTP_LINE_NO_MEMORY)
        fs__http_drop_line(http, side);
    else if (result == FS__HTTP_LINE_COMPLETE)
        search_line(http, cursor->side, &line, cursor->now);
}

/* An answer without a status line, to a request without a version. */
static bool begin_bare_body(struct fs__http *http, struct fs__http_side *side) {
    const struct fs__http_request *first = http->requests.first;
    if (!first || !first->is_0_9)
        return false;
    fs__http_head_reset(&side->head, &http->memory); /* of what reading it as a start line left */
    side->has_message = true;
    side->head.is_response = true;
    side->head.version_minor = 9;
    side->head.flags |= FS_HTTP_0_9 | FS_HTTP_CLOSE_DELIMITED;
    fs__http_find_request(http, side);
    side->state = FS__HTTP_AT_BODY_OPEN;
    side->body_bytes = side->bytes;
    fs__http_drop_line(http, side);
    return true;
}

/* What comes is no start line. */
static void reject_start(struct fs__http *http, unsigned index) {
    struct fs__http_side *side = &http->side[index];
    if (http->role[index] == FS__HTTP_SERVER && begin_bare_body(http, side))
        return;
    if (http->role[index] == FS__HTTP_UNKNOWN) {
        /* Counts as searched, however much of the line was taken before it was seen to be none. */
        http->searched += side->bytes;
        http->is_refused = http->searched > FS_HTTP_SEARCH_MAX;
    }
    fs__http_reset_message(http, side);
    side->state = FS__HTTP_AT_SEARCH;
}

/* Look at the first bytes of a line before the line is there. True if it may go on. */
static bool foresee(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    enum fs__http_role role = (enum fs__http_role)http->role[cursor->side];
    if (side->is_plausible)
        return true;
    if (side->line_length == 0 && cursor->left >= FS__HTTP_PLAUSIBLE_BYTES) {
        side->is_plausible = fs__http_is_plausible(role, cursor->data, FS__HTTP_PLAUSIBLE_BYTES) ||
                             memchr(cursor->data, '\n', FS__HTTP_PLAUSIBLE_BYTES);
        if (side->is_plausible)
            return true;
        side->line_start = cursor->now;
        reject_start(http, cursor->side);
        return false;
    }
    return true;
}

static void on_whole_start_line(struct fs__http *http, unsigned index, const struct fs__http_line *line,
                                struct fs__http_moment end) {
    struct fs__http_side *side = &http->side[index];
    enum fs__http_role role = (enum fs__http_role)http->role[index];
    enum fs__http_role is = fs__http_start_line(&side->head, &http->memory, role, line);
    if (is == FS__HTTP_CLIENT && is_http2(&side->head)) {
        http->is_refused = role == FS__HTTP_UNKNOWN;
        fs__http_reset_message(http, side);
        if (!http->is_refused)
            fs__http_hand_over(http);
        return;
    }
    if (is != FS__HTTP_UNKNOWN) {
        if (role == FS__HTTP_UNKNOWN)
            set_roles(http, index, is);
        start_headers(http, side, line);
        return;
    }
    reject_start(http, index);
    if (side->state == FS__HTTP_AT_SEARCH && !http->is_refused)
        search_rejected(http, index, line, end);
}

static void on_start_line(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    if (!foresee(http, side, cursor))
        return;
    struct fs__http_cursor part = *cursor;
    /* Not more than tells whether it is one at all. */
    if (!side->is_plausible && part.left > FS__HTTP_PLAUSIBLE_BYTES - side->line_length)
        part.left = (size_t)(FS__HTTP_PLAUSIBLE_BYTES - side->line_length);
    size_t before = part.left;
    struct fs__http_line line;
    enum fs__http_line_result result = fs__http_take_line(http, side, &part, &line);
    size_t taken = before - part.left;
    cursor->data += taken;
    cursor->left -= taken;
    if (result == FS__HTTP_LINE_NO_MEMORY) {
        fs__http_drop_line(http, side);
        fs__http_lose(http, side);
    } else if (result == FS__HTTP_LINE_COMPLETE) {
        on_whole_start_line(http, cursor->side, &line, cursor->now);
    } else if (!side->is_plausible) {
        enum fs__http_role role = (enum fs__http_role)http->role[cursor->side];
        if (!fs__http_is_plausible(role, side->line, side->line_used))
            reject_start(http, cursor->side);
        else
            side->is_plausible = side->line_length >= FS__HTTP_PLAUSIBLE_BYTES;
    }
}

static void on_between(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    /* RFC 9112, 2.2: empty lines before a request are ignored. */
    while (cursor->left > 0 && (*cursor->data == '\r' || *cursor->data == '\n')) {
        cursor->data++;
        cursor->left--;
    }
    if (cursor->left == 0)
        return;
    fs__http_begin_message(http, side, cursor->now);
    side->line_length = side->line_used = 0;
    side->state = FS__HTTP_AT_START_LINE;
}

/* ---- bodies ---- */

static void start_body(struct fs__http_side *side, enum fs__http_framing framing) {
    switch (framing) {
    case FS__HTTP_IN_CHUNKS:
        side->head.flags |= FS_HTTP_CHUNKED;
        side->state = FS__HTTP_AT_CHUNK_SIZE;
        break;
    case FS__HTTP_LENGTH:
        side->remaining = side->head.content_length;
        side->state = FS__HTTP_AT_BODY_COUNTED;
        break;
    default:
        side->head.flags |= FS_HTTP_CLOSE_DELIMITED;
        side->state = FS__HTTP_AT_BODY_OPEN;
    }
}

/* RFC 9112, 6.3, items 1 and 2, and what a lone response leaves open. */
static void end_response_headers(struct fs__http *http, struct fs__http_side *side) {
    const struct fs__http_request *request = side->request;
    unsigned status = side->head.status;
    enum fs__http_framing framing = fs__http_framing_of(&side->head);
    bool is_upgrade = status == 101 && !(side->head.flags & FS_HTTP_UPGRADE_UNASKED);
    bool is_tunnel = request && request->is_connect && status >= 200 && status < 300;
    if (is_upgrade || is_tunnel) {
        side->head.flags |= is_upgrade ? FS_HTTP_UPGRADED : FS_HTTP_TUNNEL;
        fs__http_finish_message(http, side);
        fs__http_hand_over(http);
        return;
    }
    bool is_bodiless = (status >= 100 && status < 200) || status == 204 || status == 304;
    if (is_bodiless || framing == FS__HTTP_NO_BODY || (request && request->is_head)) {
        fs__http_finish_message(http, side);
        return;
    }
    start_body(side, framing);
    if (!request && framing != FS__HTTP_IN_CHUNKS)
        side->state = FS__HTTP_AT_BODY_DUE;
}

static void end_request_headers(struct fs__http *http, struct fs__http_side *side) {
    enum fs__http_framing framing = fs__http_framing_of(&side->head);
    fs__http_await_response(http, side);
    if (framing == FS__HTTP_UNKNOWABLE) {
        fs__http_lose(http, side);
        return;
    }
    if (framing == FS__HTTP_NO_BODY)
        fs__http_finish_message(http, side);
    else
        start_body(side, framing);
}

static void end_headers(struct fs__http *http, struct fs__http_side *side, const struct fs__http_line *line) {
    side->head.header_bytes += line->bytes;
    if (line->bare_lf)
        side->head.flags |= FS_HTTP_BARE_LF;
    fs__http_drop_line(http, side);
    if (side->head.is_response)
        end_response_headers(http, side);
    else
        end_request_headers(http, side);
}

/* A body byte, or that the stream goes on as if there were no body. */
static void on_body_due(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    if (*cursor->data != (uint8_t)next_response[side->peeked]) {
        fs__http_settle_body(side);
        return;
    }
    if (side->peeked == 0)
        side->peek_start = cursor->now;
    side->peek_end = cursor->now;
    side->peeked++;
    cursor->data++;
    cursor->left--;
    if (!(side->head.flags & FS_HTTP_CLOSE_DELIMITED) && side->remaining == side->peeked) {
        fs__http_settle_body(side);
        fs__http_finish_message(http, side);
        return;
    }
    if (side->peeked < NEXT_RESPONSE_BYTES)
        return;
    struct fs__http_moment start = side->peek_start, end = side->peek_end;
    side->head.flags |= FS_HTTP_BODY_RULED_OUT;
    fs__http_finish_message(http, side);
    fs__http_begin_message(http, side, start);
    side->state = FS__HTTP_AT_START_LINE;
    struct fs__http_cursor again = {(const uint8_t *)next_response, NEXT_RESPONSE_BYTES, start, cursor->side};
    on_start_line(http, side, &again);
    side->end = end;
}

static void on_counted(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    size_t length = cursor->left < side->remaining ? cursor->left : (size_t)side->remaining;
    fs__http_take(side, cursor, length);
    side->body_bytes += length;
    side->remaining -= length;
    if (side->remaining > 0)
        return;
    if (side->state == FS__HTTP_AT_CHUNK_BODY)
        side->state = FS__HTTP_AT_CHUNK_END;
    else
        fs__http_finish_message(http, side);
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size [ BWS ] [ chunk-ext ] (RFC 9112, 7.1). Sizes past 2^60 are no sizes. */
static bool read_chunk_size(struct fs__http_side *side, const struct fs__http_line *line) {
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line->length && hex_digit(line->text[digits]) >= 0; digits++) {
        if (size >> 56)
            return false;
        size = size << 4 | (unsigned)hex_digit(line->text[digits]);
    }
    if (digits == 0)
        return false;
    struct fs_http_text rest = fs__http_trim(line->text + digits, line->length - digits);
    if (rest.length > 0 && rest.data[0] != ';')
        return false;
    if (rest.length > 0)
        side->head.flags |= FS_HTTP_CHUNK_EXTENSION;
    if (line->bare_lf)
        side->head.flags |= FS_HTTP_BARE_LF;
    if (memchr(line->text, '\r', line->length))
        side->head.flags |= FS_HTTP_BARE_CR;
    side->remaining = size;
    return true;
}

/* The chunks end here for lack of sense; the line may be where the next message begins. */
static void reject_chunk(struct fs__http *http, unsigned index, const struct fs__http_line *line,
                         struct fs__http_moment end) {
    struct fs__http_side *side = &http->side[index];
    side->head.flags |= FS_HTTP_CHUNK_INVALID;
    fs__http_lose(http, side);
    search_rejected(http, index, line, end);
}

/* ---- lines of a message ---- */

static void on_line(struct fs__http *http, unsigned index, const struct fs__http_line *line,
                    struct fs__http_moment end) {
    struct fs__http_side *side = &http->side[index];
    switch (side->state) {
    case FS__HTTP_AT_HEADERS:
        if (line->length > 0)
            fs__http_header_line(&side->head, &http->memory, line);
        else
            end_headers(http, side, line);
        break;
    case FS__HTTP_AT_TRAILERS:
        if (line->length > 0) {
            fs__http_trailer_line(&side->head, line);
        } else {
            side->head.header_bytes += line->bytes;
            fs__http_drop_line(http, side);
            fs__http_finish_message(http, side);
        }
        break;
    case FS__HTTP_AT_CHUNK_SIZE:
        if (!read_chunk_size(side, line))
            reject_chunk(http, index, line, end);
        else
            side->state = side->remaining > 0 ? FS__HTTP_AT_CHUNK_BODY : FS__HTTP_AT_TRAILERS;
        break;
    default: /* FS__HTTP_AT_CHUNK_END */
        if (line->length > 0) {
            reject_chunk(http, index, line, end);
        } else {
            side->head.flags |= line->bare_lf ? FS_HTTP_BARE_LF : 0;
            side->state = FS__HTTP_AT_CHUNK_SIZE;
        }
    }
}

static void on_lines(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    struct fs__http_line line;
    switch (fs__http_take_line(http, side, cursor, &line)) {
    case FS__HTTP_LINE_COMPLETE:
        on_line(http, cursor->side, &line, cursor->now);
        break;
    case FS__HTTP_LINE_NO_MEMORY:
        fs__http_lose(http, side);
        fs__http_drop_line(http, side);
        break;
    default:
        break;
    }
}

static void step(struct fs__http *http, struct fs__http_side *side, struct fs__http_cursor *cursor) {
    switch (side->state) {
    case FS__HTTP_AT_BETWEEN:
        on_between(http, side, cursor);
        break;
    case FS__HTTP_AT_START_LINE:
        on_start_line(http, side, cursor);
        break;
    case FS__HTTP_AT_BODY_DUE:
        on_body_due(http, side, cursor);
        break;
    case FS__HTTP_AT_BODY_COUNTED:
    case FS__HTTP_AT_CHUNK_BODY:
        on_counted(http, side, cursor);
        break;
    case FS__HTTP_AT_BODY_OPEN:
        side->body_bytes += cursor->left;
        fs__http_take(side, cursor, cursor->left);
        break;
    case FS__HTTP_AT_SEARCH:
        on_search(http, side, cursor);
        break;
    case FS__HTTP_AT_ENDED:
        cursor->left = 0;
        break;
    default:
        on_lines(http, side, cursor);
    }
}

/* ---- gaps ---- */

/* The rest of a start line will not come. What there is of it may be a message yet, if an incomplete one. */
static void keep_cut_start(struct fs__http *http, unsigned index) {
    struct fs__http_side *side = &http->side[index];
    enum fs__http_role role = (enum fs__http_role)http->role[index];
    if (side->state != FS__HTTP_AT_START_LINE || side->line_used == 0)
        return;
    enum fs__http_role is = fs__http_cut_start_line(&side->head, &http->memory, role, side->line, side->line_used);
    if (is == FS__HTTP_UNKNOWN)
        return;
    if (role == FS__HTTP_UNKNOWN)
        set_roles(http, index, is);
    side->has_message = true;
    side->head.header_bytes = side->line_length;
    if (is == FS__HTTP_SERVER)
        fs__http_find_request(http, side);
}

/* A hole inside a body whose framing it does not touch. True if that is all of it. */
static bool skip_in_body(struct fs__http *http, struct fs__http_side *side, uint64_t length,
                         struct fs__http_moment now) {
    fs__http_settle_body(side);
    if (side->state != FS__HTTP_AT_BODY_COUNTED && side->state != FS__HTTP_AT_CHUNK_BODY &&
        side->state != FS__HTTP_AT_BODY_OPEN)
        return false;
    bool is_open = side->state == FS__HTTP_AT_BODY_OPEN;
    bool is_chunk = side->state == FS__HTTP_AT_CHUNK_BODY;
    if (is_chunk && length > side->remaining)
        return false;
    uint64_t inside = is_open || length < side->remaining ? length : side->remaining;
    side->is_incomplete = true;
    side->missing += inside;
    side->body_bytes += inside;
    if (now.frame) /* else the end of the flow told of the gap, and no packet */
        side->end = now;
    if (is_open)
        return true;
    side->remaining -= inside;
    if (side->remaining == 0 && is_chunk)
        side->state = FS__HTTP_AT_CHUNK_END;
    else if (side->remaining == 0)
        fs__http_finish_message(http, side);
    return inside == length;
}

static void skip_gap(struct fs__http *http, unsigned index, const struct fs_chunk *chunk) {
    struct fs__http_side *side = &http->side[index];
    struct fs__http_moment now = {chunk->time_ns, chunk->frame};
    if (side->state == FS__HTTP_AT_ENDED || chunk->length == 0 || skip_in_body(http, side, chunk->length, now))
        return;
    keep_cut_start(http, index);
    fs__http_drop_line(http, side);
    fs__http_lose(http, side);
}

/* ---- the table ---- */

static enum fs_parse_result verdict(struct fs__http *http) {
    if (http->is_refused)
        return FS_PARSE_POISONED;
    if (http->is_over)
        return FS_PARSE_DONE;
    if (http->side[0].state == FS__HTTP_AT_ENDED && http->side[1].state == FS__HTTP_AT_ENDED) {
        fs__http_report_unanswered(http);
        http->is_over = true;
        return FS_PARSE_DONE;
    }
    return FS_PARSE_MORE;
}

static void *no_memory(size_t size, void *user) {
    (void)size;
    (void)user;
    return NULL;
}

static enum fs_probe_result http_probe(const struct fs_chunk *first) {
    if (!first->data)
        return FS_PROBE_NO;
    const uint8_t *text = first->data;
    size_t length = first->length > FS_HTTP_LINE_MAX ? FS_HTTP_LINE_MAX : (size_t)first->length;
    while (length > 0 && (*text == '\r' || *text == '\n')) {
        text++;
        length--;
    }
    /* More would tell more of a long line, and so change what fewer bytes have told. */
    if (length > PROBE_BYTES)
        length = PROBE_BYTES;
    const uint8_t *lf = length > 0 ? memchr(text, '\n', length) : NULL;
    if (!lf && !fs__http_is_plausible(FS__HTTP_UNKNOWN, text, length))
        return FS_PROBE_NO;
    if (!lf && length < PROBE_BYTES)
        return FS_PROBE_MORE;
    /* Texts need no store to be looked at. */
    struct fs__http_head head;
    memset(&head, 0, sizeof head);
    struct fs__memory none;
    fs__memory_init(&none, &(struct fs_allocator){no_memory, NULL, NULL});
    size_t content = lf ? (size_t)(lf - text) : length;
    bool has_cr = lf && content > 0 && text[content - 1] == '\r';
    struct fs__http_line line = {.text = text, .length = content - (has_cr ? 1 : 0), .clipped = !lf};
    enum fs__http_role role = fs__http_start_line(&head, &none, FS__HTTP_UNKNOWN, &line);
    return role == FS__HTTP_UNKNOWN || head.version_major > 1 ? FS_PROBE_NO : FS_PROBE_YES;
}

static void *http_create(const struct fs_parser_host *host) {
    struct fs__memory memory;
    fs__memory_init(&memory, &host->allocator);
    struct fs__http *http = fs__alloc(&memory, sizeof *http);
    if (!http)
        return NULL;
    memset(http, 0, sizeof *http);
    http->memory = memory;
    http->host = *host;
    for (int i = 0; i < 2; i++)
        fs__http_reset_message(http, &http->side[i]);
    return http;
}

static enum fs_parse_result http_feed(void *parser, const struct fs_chunk *chunk) {
    struct fs__http *http = parser;
    if (http->is_over || http->is_refused)
        return verdict(http);
    unsigned index = chunk->side != 0;
    if (!chunk->data) {
        skip_gap(http, index, chunk);
        return verdict(http);
    }
    struct fs__http_cursor cursor = {chunk->data, (size_t)chunk->length, {chunk->time_ns, chunk->frame}, index};
    while (cursor.left > 0 && !http->is_over && !http->is_refused)
        step(http, &http->side[index], &cursor);
    return verdict(http);
}

static void end_side(struct fs__http *http, unsigned index, bool in_order) {
    struct fs__http_side *side = &http->side[index];
    fs__http_settle_body(side);
    keep_cut_start(http, index);
    if (side->has_message) {
        side->is_incomplete |= !in_order || side->state != FS__HTTP_AT_BODY_OPEN;
        fs__http_finish_message(http, side);
    }
    fs__http_drop_line(http, side);
    fs__http_reset_message(http, side);
    side->state = FS__HTTP_AT_ENDED;
}

static enum fs_parse_result http_fin(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    struct fs__http *http = parser;
    (void)time_ns; /* a message ends with its last byte */
    (void)frame;
    if (!http->is_over && !http->is_refused && http->side[side].state != FS__HTTP_AT_ENDED)
        end_side(http, side != 0, true);
    return verdict(http);
}

static void http_end(void *parser, bool reset, uint64_t time_ns, uint32_t frame) {
    struct fs__http *http = parser;
    (void)reset; /* without a FIN, no body is known to be whole */
    (void)time_ns;
    (void)frame;
    if (http->is_over || http->is_refused)
        return;
    unsigned first = http->role[0] == FS__HTTP_SERVER; /* the client, if that is known */
    end_side(http, first, false);
    end_side(http, !first, false);
    fs__http_report_unanswered(http);
    http->is_over = true;
}

static void http_destroy(void *parser) {
    struct fs__http *http = parser;
    for (int i = 0; i < 2; i++) {
        struct fs__http_side *side = &http->side[i];
        fs__release(&http->memory, side->line, side->line_size);
        fs__http_head_release(&side->head, &http->memory);
        if (side->head.is_response)
            fs__http_requests_give(&http->requests, &http->memory, side->request);
    }
    fs__http_requests_release(&http->requests, &http->memory);
    struct fs__memory memory = http->memory;
    fs__release(&memory, http, sizeof *http);
}

const struct fs_parser fs_parser_http = {
    .name = "http",
    .protocol = FS_SESSION_HTTP,
    .stream = true,
    .probe = http_probe,
    .create = http_create,
    .feed = http_feed,
    .fin = http_fin,
    .tick = NULL,
    .end = http_end,
    .destroy = http_destroy,
};
