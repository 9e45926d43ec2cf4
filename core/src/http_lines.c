/* SPDX-License-Identifier: MIT */
/* Lines out of the bytes of one side, kept only where a chunk ends in their midst. */
#include "http_flow.h"

enum {
    LINE_FIRST = 256,                      /* first size of a line's store */
    TAIL_KEPT = FS__HTTP_FOUND_WITHIN + 2, /* with the line's end */
};

_Static_assert(2 * TAIL_KEPT <= FS_HTTP_LINE_MAX, "what is kept and what is added fit");

void fs__http_drop_line(struct fs__http *http, struct fs__http_side *side) {
    fs__release(&http->memory, side->line, side->line_size);
    side->line = NULL;
    side->line_size = 0;
    side->line_used = 0;
    side->line_length = 0;
}

static bool make_line_room(struct fs__http *http, struct fs__http_side *side, size_t length) {
    if (side->line_size - side->line_used >= length)
        return true;
    uint32_t size = side->line_size ? side->line_size : LINE_FIRST;
    while (size - side->line_used < length)
        size *= 2;
    uint8_t *line = fs__alloc(&http->memory, size);
    if (!line)
        return false;
    if (side->line_used > 0)
        memcpy(line, side->line, side->line_used);
    fs__release(&http->memory, side->line, side->line_size);
    side->line = line;
    side->line_size = size;
    return true;
}

static bool append_head(struct fs__http *http, struct fs__http_side *side, const uint8_t *data, size_t length) {
    size_t room = FS_HTTP_LINE_MAX - side->line_used;
    size_t n = length < room ? length : room;
    if (n == 0)
        return true;
    if (!make_line_room(http, side, n))
        return false;
    memcpy(side->line + side->line_used, data, n);
    side->line_used += (uint32_t)n;
    return true;
}

/* Keep at least the last TAIL_KEPT bytes. */
static bool append_tail(struct fs__http *http, struct fs__http_side *side, const uint8_t *data, size_t length) {
    if (length >= TAIL_KEPT) {
        side->line_used = 0;
        data += length - TAIL_KEPT;
        length = TAIL_KEPT;
    } else if (side->line_used + length > FS_HTTP_LINE_MAX) {
        memmove(side->line, side->line + side->line_used - TAIL_KEPT, TAIL_KEPT);
        side->line_used = TAIL_KEPT;
    }
    return append_head(http, side, data, length);
}

enum fs__http_line_result fs__http_take_line(struct fs__http *http, struct fs__http_side *side,
                                             struct fs__http_cursor *cursor, struct fs__http_line *line) {
    const uint8_t *data = cursor->data;
    const uint8_t *lf = memchr(data, '\n', cursor->left);
    size_t length = lf ? (size_t)(lf - data) + 1 : cursor->left;
    bool is_whole = lf && side->line_length == 0;
    bool is_search = side->state == FS__HTTP_AT_SEARCH;
    if (side->line_length == 0)
        side->line_start = cursor->now;
    uint8_t before = length >= 2 ? data[length - 2] : side->last_byte;
    side->last_byte = data[length - 1];
    side->line_length += length;
    fs__http_take(side, cursor, length);
    if (!is_whole && !(is_search ? append_tail : append_head)(http, side, data, length))
        return FS__HTTP_LINE_NO_MEMORY;
    if (!lf)
        return FS__HTTP_LINE_PARTIAL;

    size_t end_bytes = side->line_length >= 2 && before == '\r' ? 2 : 1;
    uint64_t content = side->line_length - end_bytes;
    const uint8_t *text = is_whole ? data : side->line;
    size_t used = is_whole ? length : side->line_used; /* what there is of it, ends included */
    line->bytes = side->line_length;
    line->bare_lf = end_bytes == 1;
    size_t most = is_search ? FS__HTTP_FOUND_WITHIN : FS_HTTP_LINE_MAX;
    line->clipped = content > most;
    line->length = line->clipped ? most : (size_t)content;
    line->text = is_search ? text + used - end_bytes - line->length : text;
    side->line_length = side->line_used = 0; /* the bytes stay where they are */
    return FS__HTTP_LINE_COMPLETE;
}
