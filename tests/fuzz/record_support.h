/* SPDX-License-Identifier: MIT */
/** @file record_support.h
 * What lines of records must be, whatever they are made from: valid UTF-8, and JSON by RFC 8259. Written apart from the
 * library's own text functions.
 */
#ifndef FLOWSCOPE_FUZZ_RECORD_SUPPORT_H
#define FLOWSCOPE_FUZZ_RECORD_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Not assert(): it must hold in release builds too. */
static inline void must(bool condition) {
    if (!condition)
        abort();
}

/* Bytes of the character at `c`, 0 if it is none. Written apart from the library's. */
static inline size_t character(const unsigned char *c, unsigned *code) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = *c < 0x80 ? 1 : *c >> 5 == 6 ? 2 : *c >> 4 == 14 ? 3 : *c >> 3 == 30 ? 4 : 0;
    if (!length)
        return 0;
    *code = length == 1 ? *c : *c & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if (c[i] >> 6 != 2)
            return 0;
        *code = *code << 6 | (c[i] & 0x3fU);
    }
    bool valid = *code >= least[length] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
    return valid ? length : 0;
}

static inline void check_text(const char *text, const char *allowed) {
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        unsigned code;
        size_t length = character(c, &code);
        must(length > 0);
        bool control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
        must(!control || (code < 0x80 && strchr(allowed, (int)code)));
        c += length;
    }
}

/* ---- JSON ---- */

static inline const char *value(const char *at, int depth);

static inline const char *string(const char *at) {
    must(*at++ == '"');
    for (; *at != '"'; at++) {
        must((unsigned char)*at >= 0x20);
        if (*at != '\\')
            continue;
        at++;
        must(*at && strchr("\"\\u", *at));
        for (int i = 0; *at == 'u' && i < 4; i++)
            must(at[i + 1] && strchr("0123456789abcdef", at[i + 1]));
        at += *at == 'u' ? 4 : 0;
    }
    return at + 1;
}

static inline const char *members(const char *at, int depth, char end, bool named) {
    must(depth < 6);
    if (at[1] == end)
        return at + 2;
    for (at++;; at++) {
        if (named) {
            at = string(at);
            must(*at++ == ':');
        }
        at = value(at, depth + 1);
        if (*at == end)
            return at + 1;
        must(*at == ',');
    }
}

static inline const char *value(const char *at, int depth) {
    if (*at == '{')
        return members(at, depth, '}', true);
    if (*at == '[')
        return members(at, depth, ']', false);
    if (*at == '"')
        return string(at);
    if (strncmp(at, "true", 4) == 0)
        return at + 4;
    if (strncmp(at, "false", 5) == 0)
        return at + 5;
    size_t digits = strspn(at, "0123456789");
    must(digits == 1 || (digits > 1 && *at != '0'));
    return at + digits;
}

/* Lines, each an object, without a control character that is not escaped. */
static inline void check_json_lines(const char *text) {
    check_text(text, "\n");
    while (*text) {
        must(*text == '{');
        text = value(text, 0);
        must(*text++ == '\n');
    }
}

#endif
