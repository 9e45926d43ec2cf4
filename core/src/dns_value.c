/* SPDX-License-Identifier: MIT */
/* Values of records for people: the presentation forms of RFC 1035, 5.1, and of the RFC of each type. */
#include "bytes.h"
#include "dns_internal.h"

/* ---- characters ---- */

void fs__dns_put_char(struct fs__dns_writer *writer, char c) {
    if (writer->full || writer->used + 2 > writer->room) {
        writer->full = true;
        return;
    }
    writer->out[writer->used++] = c;
    writer->out[writer->used] = '\0';
}

void fs__dns_put(struct fs__dns_writer *writer, const char *text) {
    size_t length = strlen(text);
    if (writer->full || length >= writer->room - writer->used) {
        writer->full = true;
        return;
    }
    memcpy(writer->out + writer->used, text, length + 1);
    writer->used += length;
}

void fs__dns_put_number(struct fs__dns_writer *writer, uint32_t number) {
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    fs__dns_put(writer, digits + at);
}

static void put_escaped(struct fs__dns_writer *writer, uint8_t byte) {
    const char text[] = {'\\', (char)('0' + byte / 100), (char)('0' + byte / 10 % 10), (char)('0' + byte % 10), '\0'};
    fs__dns_put(writer, text);
}

void fs__dns_put_bytes(struct fs__dns_writer *writer, const uint8_t *bytes, size_t length, char quote) {
    for (size_t i = 0; i < length && !writer->full; i++) {
        const char pair[] = {'\\', (char)bytes[i], '\0'};
        if (bytes[i] == '\\' || bytes[i] == (uint8_t)quote)
            fs__dns_put(writer, pair);
        else if ((bytes[i] > ' ' && bytes[i] < 0x7f) || (bytes[i] == ' ' && quote == '"'))
            fs__dns_put_char(writer, (char)bytes[i]);
        else
            put_escaped(writer, bytes[i]);
    }
}

/* ---- addresses ---- */

void fs__dns_put_ipv4(struct fs__dns_writer *writer, const uint8_t *address) {
    for (int i = 0; i < 4; i++) {
        if (i)
            fs__dns_put_char(writer, '.');
        fs__dns_put_number(writer, address[i]);
    }
}

/* The longest run of zero groups, the first of equals, of two at least: [*from, *to). */
static void longest_zeros(const uint16_t *groups, int *from, int *to) {
    *from = *to = 8;
    int run = 0;
    for (int i = 0; i < 8; i++) {
        run = groups[i] ? 0 : run + 1;
        if (run >= 2 && run > *to - *from) {
            *from = i + 1 - run;
            *to = i + 1;
        }
    }
}

static void put_hex(struct fs__dns_writer *writer, uint16_t group) {
    int shift = group > 0xfff ? 12 : group > 0xff ? 8 : group > 0xf ? 4 : 0;
    for (; shift >= 0; shift -= 4)
        fs__dns_put_char(writer, "0123456789abcdef"[group >> shift & 15]);
}

void fs__dns_put_ipv6(struct fs__dns_writer *writer, const uint8_t *address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!memcmp(address, mapped, sizeof mapped)) {
        fs__dns_put(writer, "::ffff:");
        fs__dns_put_ipv4(writer, address + 12);
        return;
    }
    uint16_t groups[8];
    for (size_t i = 0; i < 8; i++)
        groups[i] = fs__be16(address + 2 * i);
    int from = 8, to = 8;
    longest_zeros(groups, &from, &to);
    for (int i = 0; i < 8;) {
        if (i == from) {
            fs__dns_put(writer, "::");
            i = to;
            continue;
        }
        if (i && i != to)
            fs__dns_put_char(writer, ':');
        put_hex(writer, groups[i++]);
    }
}

/* ---- values ---- */

/* Bytes of one record; names in it may refer to the message before it. */
struct value {
    struct fs__dns_writer *writer;
    const uint8_t *message;
    size_t at, end;
    bool bad;
};

static bool has(struct value *value, size_t length) {
    if (value->end - value->at < length)
        value->bad = true;
    return !value->bad;
}

static void name(struct value *value) {
    struct fs__dns_name read;
    size_t next = 0;
    if (value->bad || fs__dns_name_read(&read, value->message, value->end, value->at, &next) != FS__DNS_GOOD) {
        value->bad = true;
        return;
    }
    value->at = next;
    struct fs__dns_writer *writer = value->writer;
    size_t used = writer->full ? 0 : fs__dns_name_text(&read, writer->out + writer->used, writer->room - writer->used);
    writer->used += used;
    writer->full = writer->full || !used;
}

static void number(struct value *value, size_t bytes) {
    if (!has(value, bytes))
        return;
    const uint8_t *at = value->message + value->at;
    fs__dns_put_number(value->writer, bytes == 1 ? at[0] : bytes == 2 ? fs__be16(at) : fs__be32(at));
    value->at += bytes;
}

static void space(struct value *value) {
    fs__dns_put_char(value->writer, ' ');
}

static void address(struct value *value, size_t bytes) {
    if (value->end - value->at != bytes) {
        value->bad = true;
        return;
    }
    if (bytes == 4)
        fs__dns_put_ipv4(value->writer, value->message + value->at);
    else
        fs__dns_put_ipv6(value->writer, value->message + value->at);
    value->at = value->end;
}

static void quoted(struct value *value, size_t length) {
    fs__dns_put_char(value->writer, '"');
    fs__dns_put_bytes(value->writer, value->message + value->at, length, '"');
    fs__dns_put_char(value->writer, '"');
    value->at += length;
}

static void soa(struct value *value) {
    name(value);
    space(value);
    name(value);
    for (int i = 0; i < 5; i++) {
        space(value);
        number(value, 4);
    }
}

static void txt(struct value *value) {
    if (!has(value, 1))
        return;
    for (bool first = true; value->at < value->end; first = false) {
        size_t length = value->message[value->at++];
        if (!has(value, length))
            return;
        if (!first)
            space(value);
        quoted(value, length);
    }
}

static void srv(struct value *value) {
    for (int i = 0; i < 3; i++) {
        number(value, 2);
        space(value);
    }
    name(value);
}

/* RFC 8659, 4.1: flags, tag, the rest is the value. */
static void caa(struct value *value) {
    number(value, 1);
    space(value);
    if (!has(value, 1))
        return;
    size_t length = value->message[value->at++];
    if (!has(value, length) || !length) {
        value->bad = true;
        return;
    }
    fs__dns_put_bytes(value->writer, value->message + value->at, length, '\\');
    value->at += length;
    space(value);
    quoted(value, value->end - value->at);
}

/* RFC 9460, 2.2: priority, target, parameters of key, length, value. */
static void svcb(struct value *value) {
    number(value, 2);
    space(value);
    name(value);
    uint32_t count = 0;
    while (!value->bad && value->at < value->end) {
        if (!has(value, 4))
            return;
        size_t length = fs__be16(value->message + value->at + 2);
        value->at += 4;
        if (!has(value, length))
            return;
        value->at += length;
        count++;
    }
    fs__dns_put(value->writer, " params=");
    fs__dns_put_number(value->writer, count);
}

/* False for types that are not decoded. */
static bool decode(struct value *value, uint16_t type) {
    switch (type) {
    case FS_DNS_A:
        address(value, 4);
        return true;
    case FS_DNS_AAAA:
        address(value, 16);
        return true;
    case FS_DNS_NS:
    case FS_DNS_CNAME:
    case FS_DNS_PTR:
    case FS_DNS_DNAME:
        name(value);
        return true;
    case FS_DNS_MX:
        number(value, 2);
        space(value);
        name(value);
        return true;
    case FS_DNS_SOA:
        soa(value);
        return true;
    case FS_DNS_TXT:
    case FS_DNS_SPF:
        txt(value);
        return true;
    case FS_DNS_SRV:
        srv(value);
        return true;
    case FS_DNS_CAA:
        caa(value);
        return true;
    case FS_DNS_SVCB:
    case FS_DNS_HTTPS:
        svcb(value);
        return true;
    default:
        return false;
    }
}

enum fs__dns_status fs__dns_value(struct fs__dns_writer *writer, uint16_t type, const uint8_t *message, size_t at,
                                  size_t data_length) {
    struct value value = {writer, message, at, at + data_length, false};
    if (!decode(&value, type))
        return FS__DNS_GOOD;
    return value.bad || value.at != value.end ? FS__DNS_BAD : FS__DNS_GOOD;
}
