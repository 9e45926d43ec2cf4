/* SPDX-License-Identifier: MIT */
/* Header fields (RFC 9112, 5): which are kept, which frame the body, and what is odd about them. */
#include "http_internal.h"

enum { TEXTS_FIRST = 512, TEXTS_MAX = 8192, TEXTS_IDLE = 512 };

static const uint16_t text_max[FS__HTTP_TEXT_COUNT] = {
    [FS__HTTP_TEXT_METHOD] = FS_HTTP_METHOD_MAX,
    [FS__HTTP_TEXT_TARGET] = FS_HTTP_TARGET_MAX,
    [FS__HTTP_TEXT_HOST] = 256,
    [FS__HTTP_TEXT_REASON] = 128,
    [FS__HTTP_TEXT_CONTENT_TYPE] = 256,
    [FS__HTTP_TEXT_TRANSFER_CODING] = 128,
    [FS__HTTP_TEXT_UPGRADE] = 64,
    [FS__HTTP_TEXT_USER_AGENT] = 512,
    [FS__HTTP_TEXT_REFERER] = FS_HTTP_TARGET_MAX,
    [FS__HTTP_TEXT_SERVER] = 256,
    [FS__HTTP_TEXT_LOCATION] = FS_HTTP_TARGET_MAX,
};

_Static_assert(FS_HTTP_METHOD_MAX + 3 * FS_HTTP_TARGET_MAX + 256 + 128 + 256 + 128 + 64 + 512 + 256 <= TEXTS_MAX,
               "all texts fit, so that only memory can fail");

/* ---- texts ---- */

void fs__http_head_reset(struct fs__http_head *head, struct fs__memory *memory) {
    struct fs__http_texts texts = head->texts;
    memset(head, 0, sizeof *head);
    head->content_length = FS_HTTP_NO_LENGTH;
    if (texts.size > TEXTS_IDLE) {
        fs__release(memory, texts.data, texts.size);
        return;
    }
    head->texts.data = texts.data;
    head->texts.size = texts.size;
}

void fs__http_head_release(struct fs__http_head *head, struct fs__memory *memory) {
    fs__release(memory, head->texts.data, head->texts.size);
    head->texts.data = NULL;
    head->texts.size = 0;
}

static bool make_room(struct fs__http_texts *texts, struct fs__memory *memory, size_t length) {
    if (texts->size - texts->used >= length)
        return true;
    uint32_t size = texts->size ? texts->size : TEXTS_FIRST;
    while (size - texts->used < length)
        size *= 2;
    uint8_t *data = fs__alloc(memory, size);
    if (!data)
        return false;
    if (texts->used > 0)
        memcpy(data, texts->data, texts->used);
    fs__release(memory, texts->data, texts->size);
    texts->data = data;
    texts->size = size;
    return true;
}

/* Without memory the text is cut to nothing. */
static void append(struct fs__http_head *head, struct fs__memory *memory, enum fs__http_text_id id, const uint8_t *text,
                   size_t length) {
    struct fs__http_texts *texts = &head->texts;
    size_t room = (size_t)(text_max[id] - texts->span[id].length);
    size_t n = length < room ? length : room;
    if (n < length)
        head->flags |= FS_HTTP_TEXT_TRUNCATED;
    if (n == 0)
        return;
    if (!make_room(texts, memory, n)) {
        head->flags |= FS_HTTP_TEXT_TRUNCATED;
        return;
    }
    memcpy(texts->data + texts->used, text, n);
    texts->used += (uint32_t)n;
    texts->span[id].length = (uint16_t)(texts->span[id].length + n);
}

void fs__http_keep(struct fs__http_head *head, struct fs__memory *memory, enum fs__http_text_id id, const uint8_t *text,
                   size_t length) {
    struct fs__http_texts *texts = &head->texts;
    if (texts->span[id].is_set)
        return;
    texts->span[id].is_set = true;
    texts->span[id].start = (uint16_t)texts->used;
    append(head, memory, id, text, length);
}

struct fs_http_text fs__http_text_of(const struct fs__http_head *head, enum fs__http_text_id id) {
    const struct fs__http_texts *texts = &head->texts;
    if (texts->span[id].length == 0)
        return (struct fs_http_text){(const uint8_t *)"", 0};
    return (struct fs_http_text){texts->data + texts->span[id].start, texts->span[id].length};
}

/* ---- names ---- */

enum header { OTHER = 0, KEPT, CONTENT_LENGTH, TRANSFER_ENCODING, KEPT_FIRST };

/* Headers that are kept have KEPT_FIRST + the text's number. */
static uint8_t kept(enum fs__http_text_id id) {
    return (uint8_t)(KEPT_FIRST + (int)id);
}

static bool is_name(const uint8_t *text, const char *lower, size_t length) {
    for (size_t i = 0; i < length; i++) {
        uint8_t c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c + ('a' - 'A'));
        if (c != (uint8_t)lower[i])
            return false;
    }
    return true;
}

static uint8_t header_named(const uint8_t *name, size_t length, bool is_response) {
    switch (length) {
    case 4:
        return !is_response && is_name(name, "host", 4) ? kept(FS__HTTP_TEXT_HOST) : OTHER;
    case 6:
        return is_response && is_name(name, "server", 6) ? kept(FS__HTTP_TEXT_SERVER) : OTHER;
    case 7:
        if (!is_response && is_name(name, "referer", 7))
            return kept(FS__HTTP_TEXT_REFERER);
        return is_name(name, "upgrade", 7) ? kept(FS__HTTP_TEXT_UPGRADE) : OTHER;
    case 8:
        return is_response && is_name(name, "location", 8) ? kept(FS__HTTP_TEXT_LOCATION) : OTHER;
    case 10:
        return !is_response && is_name(name, "user-agent", 10) ? kept(FS__HTTP_TEXT_USER_AGENT) : OTHER;
    case 12:
        return is_name(name, "content-type", 12) ? kept(FS__HTTP_TEXT_CONTENT_TYPE) : OTHER;
    case 14:
        return is_name(name, "content-length", 14) ? CONTENT_LENGTH : OTHER;
    case 17:
        return is_name(name, "transfer-encoding", 17) ? TRANSFER_ENCODING : OTHER;
    default:
        return OTHER;
    }
}

/* ---- what frames the body ---- */

/* The next element of a comma-separated list, trimmed; false at the end. */
static bool next_element(const uint8_t **text, size_t *length, struct fs_http_text *element) {
    if (*length == 0)
        return false;
    const uint8_t *comma = memchr(*text, ',', *length);
    size_t n = comma ? (size_t)(comma - *text) : *length;
    *element = fs__http_trim(*text, n);
    size_t used = comma ? n + 1 : n;
    *text += used;
    *length -= used;
    return true;
}

/* RFC 9110, 8.6: digits. Lengths that no stream has are as bad as letters. */
static bool read_length(struct fs_http_text text, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *value > INT64_MAX / 10 - 1)
            return false;
        *value = *value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.length > 0;
}

static void take_content_length(struct fs__http_head *head, const uint8_t *text, size_t length) {
    struct fs_http_text element;
    uint64_t value;
    while (next_element(&text, &length, &element)) {
        if (!read_length(element, &value)) {
            head->flags |= FS_HTTP_CL_INVALID;
        } else if (head->content_length == FS_HTTP_NO_LENGTH) {
            head->content_length = value;
        } else {
            head->flags |= head->content_length == value ? FS_HTTP_CL_REPEATED : FS_HTTP_CL_CONFLICT;
        }
    }
}

static bool is_coding(struct fs_http_text coding, const char *lower) {
    return coding.length == strlen(lower) && is_name(coding.data, lower, coding.length);
}

static void take_coding(struct fs__http_head *head, struct fs_http_text coding) {
    if (is_coding(coding, "identity")) /* RFC 2616, 3.6; gone since RFC 7230 */
        return;
    bool is_chunked = is_coding(coding, "chunked");
    bool is_known = is_chunked || is_coding(coding, "gzip") || is_coding(coding, "x-gzip") ||
                    is_coding(coding, "deflate") || is_coding(coding, "compress") || is_coding(coding, "x-compress");
    if (!is_known || (is_chunked && head->has_chunked))
        head->flags |= FS_HTTP_TE_ODD;
    head->has_transfer_coding = true;
    head->has_chunked |= is_chunked;
    head->is_last_coding_chunked = is_chunked;
}

static void take_transfer_encoding(struct fs__http_head *head, const uint8_t *text, size_t length) {
    struct fs_http_text coding;
    while (next_element(&text, &length, &coding)) {
        if (coding.length > 0)
            take_coding(head, coding);
    }
}

enum fs__http_framing fs__http_framing_of(struct fs__http_head *head) {
    if (head->has_transfer_coding) {
        if (head->content_length != FS_HTTP_NO_LENGTH || head->flags & FS_HTTP_CL_INVALID)
            head->flags |= FS_HTTP_TE_AND_CL;
        if (head->version_major == 1 && head->version_minor == 0)
            head->flags |= FS_HTTP_TE_IN_1_0;
        if (head->is_last_coding_chunked)
            return FS__HTTP_IN_CHUNKS;
        head->flags |= FS_HTTP_TE_NOT_LAST;
        return head->is_response ? FS__HTTP_UNTIL_CLOSE : FS__HTTP_UNKNOWABLE;
    }
    if (head->content_length != FS_HTTP_NO_LENGTH)
        return head->content_length > 0 ? FS__HTTP_LENGTH : FS__HTTP_NO_BODY;
    return head->is_response ? FS__HTTP_UNTIL_CLOSE : FS__HTTP_NO_BODY;
}

/* ---- lines ---- */

static void count_line(struct fs__http_head *head, const struct fs__http_line *line) {
    head->header_bytes += line->bytes;
    if (head->header_bytes > FS_HTTP_HEADERS_MAX)
        head->flags |= FS_HTTP_HEADERS_TRUNCATED;
    if (head->header_count < UINT32_MAX)
        head->header_count++;
    if (line->clipped)
        head->flags |= FS_HTTP_LINE_TRUNCATED;
    if (line->bare_lf)
        head->flags |= FS_HTTP_BARE_LF;
    if (memchr(line->text, '\r', line->length))
        head->flags |= FS_HTTP_BARE_CR;
    if (memchr(line->text, '\0', line->length))
        head->flags |= FS_HTTP_NUL;
}

/* Name and value; false if there is no name to speak of. */
static bool split_line(struct fs__http_head *head, const struct fs__http_line *line, struct fs_http_text *name,
                       struct fs_http_text *value) {
    const uint8_t *colon = memchr(line->text, ':', line->length);
    if (!colon) {
        head->flags |= FS_HTTP_HEADER_INVALID;
        return false;
    }
    size_t length = (size_t)(colon - line->text);
    *name = fs__http_trim(line->text, length);
    *value = fs__http_trim(colon + 1, line->length - length - 1);
    if (name->length < length)
        head->flags |= FS_HTTP_SPACE_BEFORE_COLON;
    if (!fs__http_is_token(name->data, name->length))
        head->flags |= FS_HTTP_HEADER_INVALID;
    return true;
}

static void take_value(struct fs__http_head *head, struct fs__memory *memory, uint8_t header,
                       struct fs_http_text value) {
    if (header == CONTENT_LENGTH) {
        if (value.length == 0)
            head->flags |= FS_HTTP_CL_INVALID;
        take_content_length(head, value.data, value.length);
    } else if (header == TRANSFER_ENCODING) {
        if (value.length == 0)
            head->flags |= FS_HTTP_TE_ODD;
        take_transfer_encoding(head, value.data, value.length);
        fs__http_keep(head, memory, FS__HTTP_TEXT_TRANSFER_CODING, value.data, value.length);
    } else if (header >= KEPT_FIRST && !(head->flags & FS_HTTP_HEADERS_TRUNCATED)) {
        fs__http_keep(head, memory, (enum fs__http_text_id)(header - KEPT_FIRST), value.data, value.length);
    }
}

/* A line that continues the one before counts as if its value were joined to that one's by a space. */
static void take_fold(struct fs__http_head *head, struct fs__memory *memory, const struct fs__http_line *line) {
    head->flags |= FS_HTTP_OBS_FOLD;
    struct fs_http_text value = fs__http_trim(line->text, line->length);
    if (value.length == 0)
        return;
    if (head->last_header == CONTENT_LENGTH) {
        take_content_length(head, value.data, value.length);
    } else if (head->last_header == TRANSFER_ENCODING) {
        take_transfer_encoding(head, value.data, value.length);
    } else if (head->last_header >= KEPT_FIRST && !(head->flags & FS_HTTP_HEADERS_TRUNCATED)) {
        enum fs__http_text_id id = (enum fs__http_text_id)(head->last_header - KEPT_FIRST);
        if (head->texts.span[id].length > 0)
            append(head, memory, id, (const uint8_t *)" ", 1);
        append(head, memory, id, value.data, value.length);
    }
}

void fs__http_header_line(struct fs__http_head *head, struct fs__memory *memory, const struct fs__http_line *line) {
    count_line(head, line);
    if (line->length > 0 && fs__http_is_blank(line->text[0])) {
        take_fold(head, memory, line);
        return;
    }
    struct fs_http_text name, value;
    head->last_header = OTHER;
    if (!split_line(head, line, &name, &value))
        return;
    uint8_t header = header_named(name.data, name.length, head->is_response);
    if (header == kept(FS__HTTP_TEXT_HOST) && head->texts.span[FS__HTTP_TEXT_HOST].is_set)
        head->flags |= FS_HTTP_HOST_REPEATED;
    /* What repeats a kept text does not continue it. */
    bool is_again = header >= KEPT_FIRST && head->texts.span[header - KEPT_FIRST].is_set;
    head->last_header = is_again ? OTHER : header;
    take_value(head, memory, header, value);
}

void fs__http_trailer_line(struct fs__http_head *head, const struct fs__http_line *line) {
    count_line(head, line);
    struct fs_http_text name, value;
    if (line->length > 0 && fs__http_is_blank(line->text[0]))
        head->flags |= FS_HTTP_OBS_FOLD;
    else
        split_line(head, line, &name, &value);
}
