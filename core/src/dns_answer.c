/* SPDX-License-Identifier: MIT */
/* The answers of a message in one line. */
#include "dns_internal.h"

#include <string.h>

#define ARROW " \xe2\x86\x92 "
#define ELLIPSIS "\xe2\x80\xa6"

enum { VALUES_SHOWN = 2 };

struct line {
    char *out;
    size_t size, used;
    bool full;
};

/* What does not fit is cut and marked by an ellipsis, of which the first that does not fit is the last. */
static void add(struct line *line, const char *text) {
    size_t length = strlen(text), left = line->size - 1 - line->used;
    if (line->full)
        return;
    if (length <= left) {
        memcpy(line->out + line->used, text, length);
        line->used += length;
        return;
    }
    line->full = true;
    if (line->size <= sizeof ELLIPSIS)
        return;
    size_t keep = line->size - sizeof ELLIPSIS;
    if (keep > line->used)
        memcpy(line->out + line->used, text, keep - line->used);
    /* Not into the middle of an arrow. */
    while (keep > 0 && (line->out[keep - 1] & 0x80))
        keep--;
    memcpy(line->out + keep, ELLIPSIS, sizeof ELLIPSIS - 1);
    line->used = keep + sizeof ELLIPSIS - 1;
}

static void add_number(struct line *line, uint32_t number) {
    char digits[11];
    struct fs__dns_writer writer = {digits, sizeof digits, 0, false};
    fs__dns_put_number(&writer, number);
    add(line, digits);
}

static void add_type(struct line *line, unsigned type) {
    const char *name = fs_dns_type_name(type);
    if (strcmp(name, "unknown") != 0) {
        add(line, name);
        return;
    }
    add(line, "TYPE"); /* RFC 3597, 5 */
    add_number(line, type);
}

static void add_value(struct line *line, const struct fs_dns_record *record) {
    if (record->text[0]) {
        add(line, record->text);
        return;
    }
    add_type(line, record->type);
    add(line, record->malformed ? " malformed, " : " ");
    add_number(line, record->data_length);
    add(line, " bytes");
}

static bool is_value(const struct fs_dns_message *message, const struct fs_dns_record *record) {
    if (record->section != FS_DNS_ANSWER || record->type == FS_DNS_CNAME || record->type == FS_DNS_DNAME)
        return false;
    return record->type != FS_DNS_RRSIG || message->type == FS_DNS_RRSIG; /* signatures go with what they sign */
}

static const struct fs_dns_record *last_alias(const struct fs_dns_message *message) {
    const struct fs_dns_record *alias = NULL;
    for (unsigned i = 0; i < message->record_count; i++) {
        const struct fs_dns_record *record = &message->records[i];
        if (record->section == FS_DNS_ANSWER && record->type == FS_DNS_CNAME && record->text[0])
            alias = record;
    }
    return alias;
}

static void add_answers(struct line *line, const struct fs_dns_message *message) {
    const struct fs_dns_record *alias = last_alias(message);
    uint32_t values = 0;
    if (alias) {
        add(line, "CNAME ");
        add(line, alias->text);
    }
    for (unsigned i = 0; i < message->record_count; i++) {
        const struct fs_dns_record *record = &message->records[i];
        if (!is_value(message, record) || ++values > VALUES_SHOWN)
            continue;
        if (values > 1)
            add(line, ", ");
        else if (alias)
            add(line, ARROW);
        add_value(line, record);
    }
    /* Of what was not kept nobody knows the types. */
    if (message->marks & FS_DNS_RECORDS_LEFT && message->counts[FS_DNS_ANSWER] > values)
        values = message->counts[FS_DNS_ANSWER];
    if (values > VALUES_SHOWN) {
        add(line, " (+");
        add_number(line, values - VALUES_SHOWN);
        add(line, ")");
    }
    if (!values && !alias)
        add(line, message->marks & FS_DNS_MALFORMED ? "malformed"
                  : message->marks & FS_DNS_CUT     ? "cut short"
                  : message->flags & FS_DNS_TC      ? "truncated"
                                                    : "no data");
}

static void add_rcode(struct line *line, unsigned rcode) {
    const char *name = fs_dns_rcode_name(rcode);
    add(line, strcmp(name, "unknown") != 0 ? name : "RCODE");
    if (strcmp(name, "unknown") == 0)
        add_number(line, rcode);
}

size_t fs_dns_answer_text(const struct fs_dns_message *message, char *buffer, size_t size) {
    struct line line = {buffer, size, 0, false};
    if (message->flags & FS_DNS_QR) {
        if (message->rcode)
            add_rcode(&line, message->rcode);
        else
            add_answers(&line, message);
    }
    buffer[line.used] = '\0';
    return line.used;
}
