/* SPDX-License-Identifier: MIT */
/* One message into records and texts; and whether bytes are a message at all. */
#include "bytes.h"
#include "dns_internal.h"

#include <string.h>

enum { MEMO = 4, QUESTION_BYTES = 5, RECORD_BYTES = 11, OPCODE_SHIFT = 11, CLASS_TOP = 0x8000, WHOLE_MAX = 65535 };

/* Texts of names by where they begin in the message: most owners are pointers to the same few names. */
struct memo {
    size_t at;
    const char *text;
};

struct reader {
    const uint8_t *data;
    size_t length, at;
    bool cut; /* the message goes on behind `length` */
    struct fs_dns_message *message;
    struct fs_dns_store *store;
    struct memo memo[MEMO];
    unsigned memos; /* so far */
};

/* ---- names of numbers ---- */

const char *fs_dns_type_name(unsigned type) {
    switch (type) {
#define NAME(symbol, value, name)                                                                                      \
    case symbol:                                                                                                       \
        return name;
        FS_DNS_TYPE_MAP(NAME)
    default:
        return "unknown";
    }
}

const char *fs_dns_rcode_name(unsigned rcode) {
    switch (rcode) {
        FS_DNS_RCODE_MAP(NAME)
#undef NAME
    default:
        return "unknown";
    }
}

const char *fs_dns_opcode_name(unsigned opcode) {
    static const char *const names[] = {"query", "iquery", "status", "unknown", "notify", "update", "dso"};
    return opcode < sizeof names / sizeof names[0] ? names[opcode] : "unknown";
}

/* ---- decoding ---- */

/* The bytes ended too soon: the sender's fault only if all of them were captured. */
static void mark_short(struct reader *reader) {
    reader->message->marks |= reader->cut ? FS_DNS_CUT : FS_DNS_MALFORMED;
}

static void mark(struct reader *reader, enum fs__dns_status status) {
    if (status == FS__DNS_BAD)
        reader->message->marks |= FS_DNS_MALFORMED;
    else if (status == FS__DNS_SHORT)
        mark_short(reader);
}

static const char *remembered(const struct reader *reader, size_t at) {
    for (unsigned i = 0; i < MEMO && i < reader->memos; i++) {
        if (reader->memo[i].at == at)
            return reader->memo[i].text;
    }
    return NULL;
}

/* Where the name at `at` has its first label, seen through one pointer. */
static size_t first_label(const struct reader *reader, size_t at) {
    if (reader->length - at < 2 || reader->data[at] < 0xc0)
        return at;
    size_t to = fs__be16(reader->data + at) & 0x3fffu;
    return to < at ? to : at;
}

static const char *keep_name(struct reader *reader, const struct fs__dns_name *name, size_t label_at) {
    struct fs_dns_store *store = reader->store;
    char *text = store->text + store->used;
    size_t used = fs__dns_name_text(name, text, FS_DNS_TEXT_MAX - store->used);
    if (!used) {
        reader->message->marks |= FS_DNS_TEXT_LEFT;
        return "";
    }
    store->used += (uint32_t)used + 1;
    reader->memo[reader->memos++ % MEMO] = (struct memo){label_at, text};
    return text;
}

/* Read the name at the reader and move behind it. False if the rest cannot be read. */
static bool read_name(struct reader *reader, const char **text) {
    *text = "";
    size_t at = reader->at, next = 0;
    if (at >= reader->length) {
        mark_short(reader);
        return false;
    }
    size_t label_at = first_label(reader, at);
    const char *known = remembered(reader, label_at);
    struct fs__dns_name name;
    enum fs__dns_status status = known ? fs__dns_name_skip(reader->data, reader->length, at, &next)
                                       : fs__dns_name_read(&name, reader->data, reader->length, at, &next);
    mark(reader, status);
    if (status == FS__DNS_GOOD)
        *text = known ? known : keep_name(reader, &name, label_at);
    if (next)
        reader->at = next;
    return next;
}

static bool skip_name(struct reader *reader) {
    size_t next = 0;
    mark(reader, fs__dns_name_skip(reader->data, reader->length, reader->at, &next));
    if (next)
        reader->at = next;
    return next;
}

static bool has(struct reader *reader, size_t length) {
    if (reader->length - reader->at >= length)
        return true;
    mark_short(reader);
    return false;
}

/* The next place in the store, or a spare that is thrown away. */
static struct fs_dns_record *next_record(struct reader *reader, struct fs_dns_record *spare) {
    struct fs_dns_message *message = reader->message;
    if (message->record_count < FS_DNS_RECORDS_MAX)
        return &reader->store->records[message->record_count++];
    message->marks |= FS_DNS_RECORDS_LEFT;
    return spare;
}

static bool read_owner(struct reader *reader, struct fs_dns_record *record, enum fs_dns_section section) {
    bool spare = reader->message->marks & FS_DNS_RECORDS_LEFT;
    memset(record, 0, sizeof *record);
    record->text = record->name = "";
    record->section = (uint8_t)section;
    return spare ? skip_name(reader) : read_name(reader, &record->name);
}

/* Classes are small numbers; mDNS has a flag in their top bit (RFC 6762, 18.12 and 18.13). */
static void set_class(struct fs_dns_record *record, uint16_t raw) {
    unsigned bare = raw & ~(unsigned)CLASS_TOP;
    record->cache_flush = raw & CLASS_TOP && (bare == 1 || bare == 255);
    record->rr_class = record->cache_flush ? (uint16_t)bare : raw;
}

static bool read_question(struct reader *reader) {
    struct fs_dns_record spare;
    struct fs_dns_record *record = next_record(reader, &spare);
    if (!read_owner(reader, record, FS_DNS_QUESTION) || !has(reader, 4))
        return false;
    record->type = fs__be16(reader->data + reader->at);
    set_class(record, fs__be16(reader->data + reader->at + 2));
    reader->at += 4;
    return true;
}

static void read_opt(struct reader *reader, struct fs_dns_record *record) {
    struct fs_dns_message *message = reader->message;
    if (message->edns || strcmp(record->name, ".") != 0) { /* RFC 6891, 6.1.1 */
        message->marks |= FS_DNS_MALFORMED;
        record->malformed = true;
        return;
    }
    message->edns = true;
    message->udp_size = record->rr_class;
    message->rcode = (uint16_t)(record->ttl >> 24 << 4 | (message->rcode & 15u));
    message->edns_version = (uint8_t)(record->ttl >> 16);
    message->dnssec_ok = record->ttl & 0x8000;
}

static void read_value(struct reader *reader, struct fs_dns_record *record) {
    /* RFC 2136, 2.4 and 2.5: updates name types without data */
    if (reader->message->opcode == 5 && record->data_length == 0)
        return;
    struct fs_dns_store *store = reader->store;
    size_t room = FS_DNS_TEXT_MAX - store->used;
    bool may_shorten = record->type == FS_DNS_TXT || record->type == FS_DNS_SPF || record->type == FS_DNS_CAA;
    if (may_shorten && room > FS_DNS_VALUE_MAX)
        room = FS_DNS_VALUE_MAX;
    struct fs__dns_writer writer = {store->text + store->used, room, 0, room == 0};
    if (fs__dns_value(&writer, record->type, reader->data, reader->at, record->data_length) != FS__DNS_GOOD) {
        reader->message->marks |= FS_DNS_MALFORMED;
        record->malformed = true;
        return;
    }
    if (writer.full)
        reader->message->marks |= FS_DNS_TEXT_LEFT;
    if (!writer.used || (writer.full && !may_shorten))
        return;
    record->text = writer.out;
    store->used += (uint32_t)writer.used + 1;
}

static bool read_record(struct reader *reader, enum fs_dns_section section) {
    struct fs_dns_record spare;
    struct fs_dns_record *record = next_record(reader, &spare);
    if (!read_owner(reader, record, section) || !has(reader, 10)) {
        if (record != &spare)
            reader->message->record_count--; /* without a type it says nothing */
        return false;
    }
    const uint8_t *fixed = reader->data + reader->at;
    uint16_t data_length = fs__be16(fixed + 8);
    record->type = fs__be16(fixed);
    record->ttl = fs__be32(fixed + 4);
    bool is_opt = record->type == FS_DNS_OPT;
    if (is_opt)
        record->rr_class = fs__be16(fixed + 2);
    else
        set_class(record, fs__be16(fixed + 2));
    reader->at += 10;
    record->data = reader->data + reader->at;
    if (!has(reader, data_length)) {
        record->data_length = (uint16_t)(reader->length - reader->at);
        record->malformed = true;
        return false;
    }
    record->data_length = data_length;
    if (is_opt && section == FS_DNS_ADDITIONAL) {
        if (record == &spare)
            record->name = reader->data[reader->at - 11] ? "" : "."; /* its name was skipped; ends there if the root */
        read_opt(reader, record);
    } else if (record != &spare) {
        read_value(reader, record);
    }
    reader->at += data_length;
    return true;
}

static void read_sections(struct reader *reader) {
    struct fs_dns_message *message = reader->message;
    for (unsigned section = FS_DNS_QUESTION; section <= FS_DNS_ADDITIONAL; section++) {
        for (unsigned i = 0; i < message->counts[section]; i++) {
            bool read =
                section == FS_DNS_QUESTION ? read_question(reader) : read_record(reader, (enum fs_dns_section)section);
            if (!read)
                return;
            message->records_read++;
        }
    }
    message->trailing = (uint32_t)(reader->length - reader->at);
    if (message->trailing)
        message->marks |= FS_DNS_TRAILING;
    if (reader->cut)
        message->marks |= FS_DNS_CUT;
}

static void read_header(struct fs_dns_message *message, const uint8_t *data) {
    message->id = fs__be16(data);
    message->flags = fs__be16(data + 2);
    message->opcode = message->flags >> OPCODE_SHIFT & 15;
    message->rcode = message->flags & 15;
    for (size_t i = 0; i < 4; i++)
        message->counts[i] = fs__be16(data + 4 + 2 * i);
}

static size_t least_length(const struct fs_dns_message *message) {
    size_t records = (size_t)message->counts[1] + message->counts[2] + message->counts[3];
    return FS__DNS_HEADER + (size_t)message->counts[0] * QUESTION_BYTES + records * RECORD_BYTES;
}

/* RFC 6895, 2.2: opcodes up to 6 are assigned. */
static bool is_plausible(const struct fs_dns_message *message, uint64_t whole) {
    return message->opcode <= 6 && message->opcode != 3 && !(message->flags & FS_DNS_Z) &&
           least_length(message) <= whole;
}

bool fs__dns_is_header(const uint8_t *data, uint64_t whole) {
    struct fs_dns_message message;
    memset(&message, 0, sizeof message);
    read_header(&message, data);
    return is_plausible(&message, whole);
}

static bool has_question(const struct fs_dns_message *message) {
    return message->record_count && message->records_read && message->records[0].section == FS_DNS_QUESTION &&
           message->records[0].name[0] && message->opcode <= 6;
}

bool fs_dns_decode(struct fs_dns_message *message, struct fs_dns_store *store, const uint8_t *data, size_t length,
                   uint64_t missing) {
    memset(message, 0, sizeof *message);
    message->name = "";
    /* cppcheck-suppress ctuuninitvar ; an address is taken, nothing is read */
    message->records = store->records;
    store->used = 0;
    struct reader reader = {.data = data, .length = length, .at = FS__DNS_HEADER, .cut = missing > 0};
    reader.message = message;
    reader.store = store;
    if (length < FS__DNS_HEADER) {
        mark_short(&reader);
        return false;
    }
    read_header(message, data);
    read_sections(&reader);
    bool known = has_question(message);
    if (message->record_count && store->records[0].section == FS_DNS_QUESTION) {
        message->name = store->records[0].name;
        message->type = store->records[0].type;
        message->query_class = store->records[0].rr_class;
    }
    /* A first fragment does not tell how many bytes follow. */
    uint64_t whole = missing ? WHOLE_MAX : length;
    return known || is_plausible(message, whole);
}

/* ---- probing ---- */

static bool is_query_class(uint16_t number) {
    return number == 1 || number == 3 || number == 4 || number == 254 || number == 255;
}

/* Assigned by IANA, or of private use. */
static bool is_type(uint16_t type) {
    return (type > 0 && type <= 128) || (type >= 249 && type <= 263) || (type >= 32768 && type <= 32769) ||
           (type >= 65280 && type < 65535);
}

/* RFC 1002, 4.2: NetBIOS names are 32 letters from A to P, and NB and NBSTAT have the numbers of NIMLOC and SRV. */
static bool is_netbios(const struct fs_dns_message *message, const uint8_t *data, size_t length) {
    enum { ENCODED = 32 };
    unsigned type = message->record_count ? message->records[0].type : 0;
    if ((type != 32 && type != 33) || length <= FS__DNS_HEADER + ENCODED || data[FS__DNS_HEADER] != ENCODED)
        return false;
    for (size_t i = 1; i <= ENCODED; i++) {
        if (data[FS__DNS_HEADER + i] < 'A' || data[FS__DNS_HEADER + i] > 'P')
            return false;
    }
    return true;
}

/* What the header says must make sense for its opcode and direction. */
static bool is_certain_header(const struct fs_dns_message *message, uint64_t whole) {
    enum { QUESTIONS_MAX = 64, RCODE_MAX = 11 };
    const uint16_t *counts = message->counts;
    bool is_response = message->flags & FS_DNS_QR;
    if (!is_plausible(message, whole) || (message->flags & 15) > RCODE_MAX || counts[0] > QUESTIONS_MAX)
        return false;
    if (!counts[0] && !counts[1] && !(message->opcode == 6 && counts[3]))
        return false;
    if (is_response)
        return counts[0] <= 1 || !message->id;
    if (message->flags & 15 || (message->flags & FS_DNS_RA && message->opcode != 0))
        return false;
    /* Only mDNS asks several questions at once or sends answers that it knows along: RFC 6762, 18, wants an id and
     * flags of 0, and some give an id all the same. */
    bool is_mdns = !(message->flags & ~(unsigned)FS_DNS_TC) || !message->id;
    return counts[0] && (message->opcode != 0 || is_mdns || (counts[0] == 1 && !counts[1]));
}

static bool is_certain_question(const struct fs_dns_record *record) {
    return record->name[0] && is_type(record->type) && is_query_class(record->rr_class);
}

enum fs_probe_result fs__dns_probe(const uint8_t *data, size_t length, uint64_t whole) {
    struct fs_dns_message message;
    struct fs_dns_store store;
    if (whole < FS__DNS_HEADER + QUESTION_BYTES)
        return FS_PROBE_NO;
    if (length < FS__DNS_HEADER)
        return FS_PROBE_MORE;
    fs_dns_decode(&message, &store, data, length, whole - length);
    if (!is_certain_header(&message, whole) || message.marks & (FS_DNS_MALFORMED | FS_DNS_TRAILING))
        return FS_PROBE_NO;
    if (message.records_read == 0)
        return FS_PROBE_MORE;
    for (unsigned i = 0; i < message.record_count && i < message.records_read; i++) {
        const struct fs_dns_record *record = &message.records[i];
        /* What a certain question begins may have any record. */
        bool is_certain = record->section == FS_DNS_QUESTION ? is_certain_question(record)
                                                             : message.counts[0] || is_type(record->type);
        if (!is_certain)
            return FS_PROBE_NO;
    }
    return is_netbios(&message, data, length) ? FS_PROBE_NO : FS_PROBE_YES;
}
