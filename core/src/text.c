/* SPDX-License-Identifier: MIT */
#include "text.h"

static const char hex_digits[] = "0123456789abcdef";

/* ---- numbers ---- */

void fs__put_number(struct fs__line *line, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    fs__put_bytes(line, digits + at, sizeof digits - at);
}

void fs__put_digits(struct fs__line *line, uint64_t number, unsigned digits) {
    char text[20];
    for (size_t at = digits; at > 0; at--) {
        text[at - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    fs__put_bytes(line, text, digits);
}

void fs__put_hex(struct fs__line *line, uint32_t number, unsigned digits) {
    while (digits--)
        fs__put_char(line, hex_digits[number >> (4 * digits) & 0xf]);
}

/* ---- time ---- */

/* Civil date of a day number in the proleptic Gregorian calendar: eras of 400 years that begin on 1 March. */
static void civil_date(uint64_t days, struct fs__date *date) {
    enum { TO_1970 = 719468, DAYS_IN_ERA = 146097 };
    days += TO_1970;
    unsigned era = (unsigned)(days / DAYS_IN_ERA);
    unsigned day_of_era = (unsigned)(days % DAYS_IN_ERA);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0: March */
    date->day = day_of_year - (153 * month + 2) / 5 + 1;
    date->month = month < 10 ? month + 3 : month - 9;
    date->year = year_of_era + era * 400 + (date->month <= 2);
}

void fs__date_of(uint64_t time_ns, struct fs__date *date) {
    uint64_t seconds = time_ns / 1000000000;
    unsigned of_day = (unsigned)(seconds % 86400);
    civil_date(seconds / 86400, date);
    date->hour = of_day / 3600;
    date->minute = of_day / 60 % 60;
    date->second = of_day % 60;
    date->nanosecond = (uint32_t)(time_ns % 1000000000);
}

/* ---- addresses ---- */

static void put_ipv4(struct fs__line *line, const uint8_t *address) {
    for (unsigned i = 0; i < 4; i++) {
        if (i)
            fs__put_char(line, '.');
        fs__put_number(line, address[i]);
    }
}

static void put_mac(struct fs__line *line, const uint8_t *address) {
    for (unsigned i = 0; i < 6; i++) {
        if (i)
            fs__put_char(line, ':');
        fs__put_hex(line, address[i], 2);
    }
}

static unsigned group_of(const uint8_t *address, unsigned i) {
    const uint8_t *at = address + (size_t)2 * i;
    return (unsigned)at[0] << 8 | at[1];
}

static void put_group(struct fs__line *line, unsigned group) {
    unsigned digits = 1;
    while (digits < 4 && group >> (4 * digits))
        digits++;
    fs__put_hex(line, group, digits);
}

/* First of the longest run of zero groups, of two at least; 8 if there is none. */
static unsigned longest_zeros(const uint8_t *address, unsigned *length) {
    unsigned best = 8;
    *length = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned run = 0;
        while (i + run < 8 && group_of(address, i + run) == 0)
            run++;
        if (run > *length) {
            best = i;
            *length = run;
        }
    }
    return best;
}

/* RFC 5952, 5: addresses that hold an IPv4 address end with it. */
static bool holds_ipv4(const uint8_t *address, unsigned zeros_at, unsigned zeros) {
    return zeros_at == 0 && (zeros == 6 || (zeros == 5 && group_of(address, 5) == 0xffff));
}

static void put_ipv6(struct fs__line *line, const uint8_t *address) {
    unsigned zeros;
    unsigned zeros_at = longest_zeros(address, &zeros);
    bool mixed = holds_ipv4(address, zeros_at, zeros);
    bool colon = false; /* due before the next group */
    for (unsigned i = 0; i < (mixed ? 6 : 8); i++) {
        if (i == zeros_at) {
            FS__PUT_LITERAL(line, "::");
            colon = false;
            i += zeros - 1;
            continue;
        }
        if (colon)
            fs__put_char(line, ':');
        put_group(line, group_of(address, i));
        colon = true;
    }
    if (!mixed)
        return;
    if (colon)
        fs__put_char(line, ':');
    put_ipv4(line, address + 12);
}

static void put_address(struct fs__line *line, unsigned family, const uint8_t *address) {
    switch (family) {
    case FS_FAMILY_IPV4:
        put_ipv4(line, address);
        break;
    case FS_FAMILY_IPV6:
        put_ipv6(line, address);
        break;
    case FS_FAMILY_MAC:
        put_mac(line, address);
        break;
    default:
        fs__put_char(line, '-');
    }
}

void fs__put_address(struct fs__line *line, const struct fs_flow_info *info, enum fs_side side) {
    put_address(line, info->key.family, info->key.address[fs_endpoint(info, side)]);
}

size_t fs_address_text(enum fs_family family, const uint8_t address[16], char text[FS_ADDRESS_TEXT_SIZE]) {
    struct fs__line line = {text, text + FS_ADDRESS_TEXT_SIZE - 1, false};
    put_address(&line, family, address);
    *line.at = '\0';
    return (size_t)(line.at - text);
}

/* ---- text from the network ---- */

/* Bytes of the valid UTF-8 character at `text`, of which `left` > 0 bytes are there (RFC 3629: shortest form, no
 * surrogates, up to U+10FFFF); 0 if there is none. */
static unsigned utf8_length(const unsigned char *text, size_t left) {
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    unsigned length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length > left)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high)
        return 0;
    for (unsigned i = 2; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

/* C0, DEL and C1; and the line and paragraph separators and the controls of direction, with which text can pretend to
 * be another line or order (Unicode technical report 36). */
static bool is_control(const unsigned char *c, unsigned length) {
    if (length == 1)
        return c[0] < 0x20 || c[0] == 0x7f;
    if (length == 2)
        return c[0] == 0xc2 && c[1] < 0xa0;
    if (length == 3 && c[0] == 0xe2 && c[1] == 0x80)
        return c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae);
    return length == 3 && c[0] == 0xe2 && c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9;
}

static void put_unicode(struct fs__line *line, unsigned code) {
    FS__PUT_LITERAL(line, "\\u");
    fs__put_hex(line, code, 4);
}

/* Controls have a code point of 16 bits at most. */
static unsigned code_point(const unsigned char *c, unsigned length) {
    if (length == 1)
        return c[0];
    if (length == 2)
        return (c[0] & 0x1fU) << 6 | (c[1] & 0x3fU);
    return (c[0] & 0x0fU) << 12 | (c[1] & 0x3fU) << 6 | (c[2] & 0x3fU);
}

static void put_control(struct fs__line *line, enum fs__escape escape, const unsigned char *c, unsigned length) {
    if (escape == FS__ESCAPE_JSON) {
        put_unicode(line, code_point(c, length));
        return;
    }
    for (unsigned i = 0; i < length; i++) {
        FS__PUT_LITERAL(line, "\\x");
        fs__put_hex(line, c[i], 2);
    }
}

static void put_plain(struct fs__line *line, enum fs__escape escape, const unsigned char *c, unsigned length) {
    if (c[0] == '\\' || (c[0] == '"' && escape == FS__ESCAPE_JSON))
        fs__put_char(line, '\\');
    else if (c[0] == '"' && escape == FS__ESCAPE_CSV)
        fs__put_char(line, '"');
    fs__put_bytes(line, (const char *)c, length);
}

void fs__put_escaped_bytes(struct fs__line *line, enum fs__escape escape, const void *bytes, size_t length,
                           size_t limit) {
    const unsigned char *at = bytes;
    const unsigned char *last = at + length;
    const unsigned char *end = at + (length < limit ? length : limit);
    while (at < end) {
        unsigned size = utf8_length(at, (size_t)(last - at));
        if (size > (size_t)(end - at))
            return;
        if (size == 0)
            put_control(line, escape, at, 1);
        else if (is_control(at, size))
            put_control(line, escape, at, size);
        else
            put_plain(line, escape, at, size);
        at += size ? size : 1;
    }
}

void fs__put_escaped(struct fs__line *line, enum fs__escape escape, const char *text, size_t limit) {
    fs__put_escaped_bytes(line, escape, text, strlen(text), limit);
}
