/* SPDX-License-Identifier: MIT */
/* Lines of text, built without printf: numbers, times, addresses, and text from the network made harmless. */
#ifndef FS_TEXT_H
#define FS_TEXT_H

#include "flowscope/record.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What does not fit is left out and `full` set. */
struct fs__line {
    char *at;
    char *end;
    bool full;
};

/* How text from the network is written. In each, UTF-8 stays as it is, but for control characters (C0, DEL, C1), which
 * are escaped, as is every byte that is no valid UTF-8. */
enum fs__escape {
    FS__ESCAPE_JSON, /* RFC 8259: \u00XX, \" and \\ */
    FS__ESCAPE_HEX,  /* Zeek's ASCII log: \xXX and \\ */
    FS__ESCAPE_CSV   /* as HEX, inside double quotes, which are doubled */
};

static inline void fs__put_char(struct fs__line *line, char c) {
    if (line->at < line->end)
        *line->at++ = c;
    else
        line->full = true;
}

static inline void fs__put_bytes(struct fs__line *line, const char *bytes, size_t length) {
    if ((size_t)(line->end - line->at) < length) {
        line->full = true;
        return;
    }
    memcpy(line->at, bytes, length);
    line->at += length;
}

static inline void fs__put_string(struct fs__line *line, const char *string) {
    fs__put_bytes(line, string, strlen(string));
}

/* For string literals: the length is known to the compiler. */
#define FS__PUT_LITERAL(line, literal) fs__put_bytes(line, literal, sizeof(literal) - 1)

void fs__put_number(struct fs__line *line, uint64_t number);
void fs__put_hex(struct fs__line *line, uint32_t number, unsigned digits);
/* Decimal, exactly `digits` of them. */
void fs__put_digits(struct fs__line *line, uint64_t number, unsigned digits);
void fs__put_address(struct fs__line *line, const struct fs_flow_info *info, enum fs_side side);

/* At most `limit` bytes of `text`, cut before a character that does not fit. */
void fs__put_escaped(struct fs__line *line, enum fs__escape escape, const char *text, size_t limit);

/* The same of bytes that any value may stand among. */
void fs__put_escaped_bytes(struct fs__line *line, enum fs__escape escape, const void *bytes, size_t length,
                           size_t limit);

/* Date and time of day, UTC. */
struct fs__date {
    unsigned year, month, day, hour, minute, second;
    uint32_t nanosecond;
};
void fs__date_of(uint64_t time_ns, struct fs__date *date);

#endif
