/* SPDX-License-Identifier: MIT */
/* The record layer (RFC 8446, 5.1) and the handshake messages inside it. docs/sessions-tls.md has the rules. */
#include "bytes.h"
#include "tls_internal.h"

enum stage {
    AT_START = 0, /* nothing seen yet */
    IN_HEADER,
    IN_RECORD,
    IN_SSLV2_HELLO,
    LOST,  /* not TLS records, or no telling where one begins */
    CLOSED /* FIN */
};

/* A handshake message at hand. */
struct handshake {
    struct fs__tls_span span;
    uint8_t header[FS__TLS_HANDSHAKE_HEADER];
    uint8_t header_length;
    bool is_open; /* its header is complete, its body is not */
    bool is_kept; /* it is a hello */
    bool is_out_of_memory;
    uint16_t type; /* FS__TLS_HELLO_* if kept */
    uint16_t record_version;
    uint32_t length, left;
    uint8_t *buffer;
    uint32_t kept, room; /* of `buffer` */
};

struct side {
    enum stage stage;
    uint8_t header[FS__TLS_SSLV2_HEADER];
    uint8_t header_length;
    uint8_t record_type;
    uint16_t record_version;
    uint32_t record_length, record_left;
    struct fs__tls_span record; /* `bytes`: of its header, until a message takes them */
    struct handshake handshake;
    struct fs__tls_span alert_span;
    uint8_t alert[2];
    uint8_t alert_length;
    bool skips_record; /* nothing in it is legible */
    bool is_doubtful;  /* handshake records may be encrypted, or begin inside a message */
    bool has_changed_cipher, has_application_data, is_encrypted;
};

struct parser {
    struct fs__tls_exchanges exchanges; /* with the memory that all is taken from */
    struct side sides[2];
    struct fs_tls_side_stats stats[2];
    enum fs_parse_result result;
};

/* ---- spans ---- */

static void begin_span(struct fs__tls_span *span, const struct fs_chunk *chunk) {
    *span = (struct fs__tls_span){
        .start_ns = chunk->time_ns, .end_ns = chunk->time_ns, .start_frame = chunk->frame, .end_frame = chunk->frame};
}

static void extend_span(struct fs__tls_span *span, const struct fs_chunk *chunk, uint64_t bytes) {
    span->end_ns = chunk->time_ns;
    span->end_frame = chunk->frame;
    span->bytes += bytes;
}

/* The first message of a record begins with the record's header. */
static void begin_message_span(struct side *side, struct fs__tls_span *span, const struct fs_chunk *chunk) {
    if (side->record.bytes)
        *span = side->record;
    else
        begin_span(span, chunk);
    side->record.bytes = 0;
}

/* A message goes on in this record. */
static void join_record(struct side *side, struct fs__tls_span *span) {
    span->bytes += side->record.bytes;
    side->record.bytes = 0;
}

/* ---- hellos ---- */

static void release_buffer(struct parser *parser, struct handshake *handshake) {
    fs__release(&parser->exchanges.memory, handshake->buffer, handshake->room);
    handshake->buffer = NULL;
    handshake->kept = handshake->room = 0;
}

static uint8_t side_number(const struct parser *parser, const struct side *side) {
    return (uint8_t)(side - parser->sides);
}

/* The rest of the record, and what follows until a record begins with a hello, is not legible. */
static void lose_messages(struct side *side) {
    side->handshake.is_open = side->handshake.is_kept = false;
    side->handshake.header_length = 0;
    side->skips_record = side->is_doubtful = true;
}

static void report_hello(struct parser *parser, struct side *side, const uint8_t *body, size_t length, bool is_whole) {
    struct handshake *handshake = &side->handshake;
    struct fs__tls_hello hello = {.body = body,
                                  .length = length,
                                  .span = handshake->span,
                                  .type = handshake->type,
                                  .record_version = handshake->record_version,
                                  .side = side_number(parser, side),
                                  .is_whole = is_whole};
    handshake->is_kept = false;
    if (!fs__tls_report_hello(&parser->exchanges, &hello))
        lose_messages(side);
    release_buffer(parser, handshake);
}

/* A hello that will not be whole is reported at once. */
static void cut_hello(struct parser *parser, struct side *side) {
    struct handshake *handshake = &side->handshake;
    if (handshake->is_kept)
        report_hello(parser, side, handshake->buffer, handshake->kept, false);
}

static bool grow_buffer(struct parser *parser, struct handshake *handshake, uint32_t needed) {
    enum { FIRST = 2048 }; /* nearly all hellos */
    if (needed <= handshake->room)
        return true;
    uint32_t limit = handshake->length < FS_TLS_HELLO_LIMIT ? handshake->length : FS_TLS_HELLO_LIMIT;
    uint32_t room = handshake->room ? handshake->room * 2 : FIRST;
    while (room < needed)
        room *= 2;
    room = room < limit ? room : limit;
    uint8_t *buffer = fs__alloc(&parser->exchanges.memory, room);
    if (!buffer)
        return false;
    if (handshake->kept)
        memcpy(buffer, handshake->buffer, handshake->kept);
    fs__release(&parser->exchanges.memory, handshake->buffer, handshake->room);
    handshake->buffer = buffer;
    handshake->room = room;
    return true;
}

static void keep(struct parser *parser, struct side *side, const uint8_t *data, uint32_t length) {
    struct handshake *handshake = &side->handshake;
    uint32_t free_room = FS_TLS_HELLO_LIMIT - handshake->kept;
    uint32_t part = length < free_room ? length : free_room;
    if (part && grow_buffer(parser, handshake, handshake->kept + part)) {
        memcpy(handshake->buffer + handshake->kept, data, part);
        handshake->kept += part;
    } else {
        handshake->is_out_of_memory = true;
    }
}

/* ---- handshake messages ---- */

static bool is_hello(unsigned type) {
    return type == FS__TLS_HELLO_CLIENT || type == FS__TLS_HELLO_SERVER;
}

/* Handshake types that are sent in plaintext (IANA's registry of them, and next_protocol). */
static bool is_known(unsigned type) {
    return type <= 6 || type == 8 || (type >= 11 && type <= 16) || (type >= 20 && type <= 25) || type == 67;
}

static bool may_be_client(const struct parser *parser, const struct side *side) {
    uint8_t client = parser->exchanges.client;
    return client == FS__TLS_NO_SIDE || client == side_number(parser, side);
}

static bool may_be_server(const struct parser *parser, const struct side *side) {
    return parser->exchanges.client != side_number(parser, side);
}

/* Sent by whom it should be, and as long as a hello can be: with nothing in it, and far more than was ever seen. */
static bool is_plausible_hello(const struct parser *parser, const struct side *side, unsigned type, uint32_t length) {
    enum { MINIMUM = 2 + 32 + 2, MAXIMUM = 1 << 18 };
    bool fits_role = type == FS__TLS_HELLO_CLIENT ? may_be_client(parser, side) : may_be_server(parser, side);
    return fits_role && length >= MINIMUM && length <= MAXIMUM;
}

/* Four bytes by chance as in a hello that fills its record, or more than one full record. */
static bool fits_record(const struct side *side, uint32_t length) {
    enum { FULL = 1 << 14 };
    uint32_t whole = length + FS__TLS_HANDSHAKE_HEADER;
    return whole == side->record_length || (side->record_length == FULL && whole > FULL);
}

static bool is_legible(const struct parser *parser, const struct side *side, unsigned type, uint32_t length) {
    if (is_hello(type))
        return is_plausible_hello(parser, side, type, length) && (!side->is_doubtful || fits_record(side, length));
    return is_known(type) && !side->is_doubtful;
}

static void open_message(struct parser *parser, struct side *side) {
    struct handshake *handshake = &side->handshake;
    struct fs_tls_side_stats *stats = &parser->stats[side_number(parser, side)];
    unsigned type = handshake->header[0];
    uint32_t length = fs__be24(handshake->header + 1);
    handshake->header_length = 0;
    if (!is_legible(parser, side, type, length)) {
        side->is_encrypted = side->is_encrypted || (side->is_doubtful && side->has_changed_cipher);
        lose_messages(side);
        return;
    }
    side->is_doubtful = false;
    stats->handshake_messages++;
    if (type == FS__TLS_CERTIFICATE)
        stats->certificate_bytes += length;
    handshake->is_open = length > 0;
    handshake->is_kept = is_hello(type);
    handshake->is_out_of_memory = false;
    handshake->type = (uint16_t)type;
    handshake->record_version = side->record_version;
    handshake->length = handshake->left = length;
}

static uint32_t take_message_header(struct parser *parser, struct side *side, const uint8_t *data,
                                    const struct fs_chunk *chunk) {
    struct handshake *handshake = &side->handshake;
    if (!handshake->header_length)
        begin_message_span(side, &handshake->span, chunk);
    handshake->header[handshake->header_length++] = data[0];
    extend_span(&handshake->span, chunk, 1);
    if (handshake->header_length == FS__TLS_HANDSHAKE_HEADER)
        open_message(parser, side);
    return 1;
}

static uint32_t take_message_body(struct parser *parser, struct side *side, const uint8_t *data, uint32_t length,
                                  const struct fs_chunk *chunk) {
    struct handshake *handshake = &side->handshake;
    uint32_t part = length < handshake->left ? length : handshake->left;
    if (handshake->is_kept && handshake->kept + part > FS_TLS_HELLO_LIMIT)
        part = FS_TLS_HELLO_LIMIT - handshake->kept;
    extend_span(&handshake->span, chunk, part);
    handshake->left -= part;
    bool is_whole = handshake->left == 0;
    handshake->is_open = !is_whole;
    if (!handshake->is_kept)
        return part;
    if (is_whole && !handshake->kept) {
        report_hello(parser, side, data, part, true); /* straight from the packet */
        return part;
    }
    keep(parser, side, data, part);
    if (is_whole && !handshake->is_out_of_memory)
        report_hello(parser, side, handshake->buffer, handshake->kept, true);
    else if (is_whole || handshake->is_out_of_memory || handshake->kept == FS_TLS_HELLO_LIMIT)
        cut_hello(parser, side);
    return part;
}

static void take_handshake(struct parser *parser, struct side *side, const uint8_t *data, uint32_t length,
                           const struct fs_chunk *chunk) {
    while (length && !side->skips_record) {
        uint32_t part = side->handshake.is_open ? take_message_body(parser, side, data, length, chunk)
                                                : take_message_header(parser, side, data, chunk);
        data += part;
        length -= part;
    }
}

/* Bytes are missing in a handshake record. Where the message ends is known if its header was seen. */
static void skip_handshake(struct parser *parser, struct side *side, uint32_t length) {
    struct handshake *handshake = &side->handshake;
    if (side->skips_record)
        return;
    cut_hello(parser, side);
    if (!handshake->is_open || length > handshake->left) {
        lose_messages(side);
        return;
    }
    handshake->left -= length;
    handshake->is_open = handshake->left > 0;
}

/* Other records than alerts never stand inside a message. */
static void abandon_message(struct parser *parser, struct side *side) {
    cut_hello(parser, side);
    side->handshake.is_open = false;
    side->handshake.header_length = 0;
}

/* ---- alerts ---- */

/* An encrypted one is longer than two bytes, or has another record type. */
static void take_alert(struct parser *parser, struct side *side, const uint8_t *data, uint32_t length,
                       const struct fs_chunk *chunk) {
    for (uint32_t i = 0; i < length; i++) {
        if (!side->alert_length)
            begin_message_span(side, &side->alert_span, chunk);
        extend_span(&side->alert_span, chunk, 1);
        side->alert[side->alert_length++] = data[i];
        if (side->alert_length < sizeof side->alert)
            continue;
        side->alert_length = 0;
        if (side->alert[0] != 1 && side->alert[0] != 2) {
            side->skips_record = true;
            return;
        }
        fs__tls_report_alert(&parser->exchanges, side_number(parser, side), side->record_version, side->alert,
                             &side->alert_span);
    }
}

/* ---- the end ---- */

/* Nothing that is legible will come from it. */
static bool is_quiet(const struct parser *parser, const struct side *side) {
    if (side->stage == LOST || side->stage == CLOSED || side->has_application_data || side->is_encrypted)
        return true;
    uint16_t version = parser->exchanges.version;
    return side->has_changed_cipher && version && !fs__tls_is_1_3(version);
}

static void report_rest(struct parser *parser) {
    for (unsigned i = 0; i < 2; i++)
        abandon_message(parser, &parser->sides[i]);
    fs__tls_report_unanswered(&parser->exchanges);
}

static void check_end(struct parser *parser) {
    const struct side *sides = parser->sides;
    if (parser->result != FS_PARSE_MORE || !is_quiet(parser, &sides[0]) || !is_quiet(parser, &sides[1]))
        return;
    bool all_lost = sides[0].stage == LOST && sides[1].stage == LOST;
    parser->result = all_lost ? FS_PARSE_POISONED : FS_PARSE_DONE;
    report_rest(parser);
}

static void lose(struct parser *parser, struct side *side) {
    abandon_message(parser, side);
    side->stage = LOST;
}

/* ---- records ---- */

static bool is_record_header(const uint8_t header[FS__TLS_RECORD_HEADER]) {
    return header[0] >= FS__TLS_CHANGE_CIPHER_SPEC && header[0] <= FS__TLS_HEARTBEAT && header[1] == 3 &&
           header[2] <= 4 && fs__be16(header + 3) <= FS__TLS_RECORD_LIMIT;
}

static void change_cipher(struct parser *parser, struct side *side) {
    const struct fs__tls_exchanges *exchanges = &parser->exchanges;
    abandon_message(parser, side);
    /* For middleboxes only: RFC 8446, D.4. */
    if (exchanges->retry_pending || fs__tls_is_1_3(exchanges->version))
        return;
    side->has_changed_cipher = side->is_doubtful = true;
}

static void begin_record(struct parser *parser, struct side *side) {
    struct fs_tls_side_stats *stats = &parser->stats[side_number(parser, side)];
    side->stage = IN_RECORD;
    side->header_length = 0;
    side->record_type = side->header[0];
    side->record_version = fs__be16(side->header + 1);
    side->record_length = side->record_left = fs__be16(side->header + 3);
    side->skips_record = false;
    stats->records++;
    switch (side->record_type) {
    case FS__TLS_CHANGE_CIPHER_SPEC:
        change_cipher(parser, side);
        break;
    case FS__TLS_ALERT:
        side->skips_record = is_quiet(parser, side) || (side->is_doubtful && side->record_length != 2);
        if (side->alert_length)
            join_record(side, &side->alert_span);
        break;
    case FS__TLS_HANDSHAKE:
        if (side->handshake.is_open || side->handshake.header_length)
            join_record(side, &side->handshake.span);
        break;
    case FS__TLS_APPLICATION_DATA:
        stats->application_records++;
        stats->application_bytes += side->record_length;
        if (side->record_length) {
            abandon_message(parser, side);
            side->has_application_data = side->is_doubtful = true;
        }
        break;
    default: /* heartbeats (RFC 6520) */
        break;
    }
}

static void end_record(struct side *side) {
    side->stage = IN_HEADER;
    side->record.bytes = 0;
    if (side->is_doubtful && !side->handshake.is_open)
        side->handshake.header_length = 0; /* a hello's header would be whole */
}

static void take_record(struct parser *parser, struct side *side, const uint8_t *data, uint32_t length,
                        const struct fs_chunk *chunk) {
    if (side->skips_record)
        return;
    if (side->record_type == FS__TLS_HANDSHAKE)
        take_handshake(parser, side, data, length, chunk);
    else if (side->record_type == FS__TLS_ALERT)
        take_alert(parser, side, data, length, chunk);
}

/* ---- ClientHello in SSL 2.0's form ---- */

static bool starts_sslv2(uint8_t first) {
    return (first & 0x80) != 0;
}

/* RFC 5246, E.2: `length` bytes after the first two, cipher specs of three bytes, a challenge of 16 to 32. */
static bool is_sslv2_header(const uint8_t header[FS__TLS_SSLV2_HEADER]) {
    uint32_t length = fs__be16(header) & 0x7fffu;
    uint16_t version = fs__be16(header + 3);
    uint32_t ciphers = fs__be16(header + 5), id = fs__be16(header + 7), challenge = fs__be16(header + 9);
    return header[2] == FS__TLS_HELLO_CLIENT && (version == 0x0002 || (version >= 0x0300 && version <= 0x0303)) &&
           ciphers && ciphers % 3 == 0 && (id == 0 || id == 16) && challenge >= 16 && challenge <= 32 &&
           length == FS__TLS_SSLV2_HEADER - 2 + ciphers + id + challenge;
}

static void begin_sslv2(struct parser *parser, struct side *side, const struct fs_chunk *chunk) {
    struct handshake *handshake = &side->handshake;
    uint32_t length = fs__be16(side->header) & 0x7fffu;
    side->header_length = 0;
    side->stage = IN_SSLV2_HELLO;
    parser->stats[side_number(parser, side)].handshake_messages++;
    handshake->span = side->record;
    handshake->span.bytes = 2;
    side->record.bytes = 0;
    handshake->is_open = handshake->is_kept = true;
    handshake->is_out_of_memory = false;
    handshake->type = FS__TLS_HELLO_SSLV2;
    handshake->record_version = 0;
    handshake->length = handshake->left = length;
    take_message_body(parser, side, side->header + 2, FS__TLS_SSLV2_HEADER - 2, chunk);
}

static uint64_t take_sslv2(struct parser *parser, struct side *side, const uint8_t *data, uint64_t length,
                           const struct fs_chunk *chunk) {
    uint32_t part = length < side->handshake.left ? (uint32_t)length : side->handshake.left;
    uint32_t rest = part;
    while (rest) {
        uint32_t taken = take_message_body(parser, side, data, rest, chunk);
        data += taken;
        rest -= taken;
    }
    if (!side->handshake.is_open)
        side->stage = IN_HEADER;
    return part;
}

/* ---- bytes ---- */

/* How many bytes of a header are needed to know what it is. */
static uint8_t header_size(const struct side *side) {
    return side->stage == AT_START && starts_sslv2(side->header[0]) ? FS__TLS_SSLV2_HEADER : FS__TLS_RECORD_HEADER;
}

static uint64_t take_header(struct parser *parser, struct side *side, const uint8_t *data, uint64_t length,
                            const struct fs_chunk *chunk) {
    uint64_t taken = 0;
    if (!side->header_length) {
        begin_span(&side->record, chunk);
        side->header[side->header_length++] = data[taken++];
    }
    while (taken < length && side->header_length < header_size(side))
        side->header[side->header_length++] = data[taken++];
    if (side->header_length < header_size(side))
        return taken;
    extend_span(&side->record, chunk, FS__TLS_RECORD_HEADER);
    if (header_size(side) == FS__TLS_SSLV2_HEADER && is_sslv2_header(side->header) && may_be_client(parser, side))
        begin_sslv2(parser, side, chunk);
    else if (is_record_header(side->header))
        begin_record(parser, side);
    else
        lose(parser, side);
    return taken;
}

static uint64_t take_piece(struct parser *parser, struct side *side, const uint8_t *data, uint64_t length,
                           const struct fs_chunk *chunk) {
    switch (side->stage) {
    case AT_START:
    case IN_HEADER: {
        uint64_t taken = take_header(parser, side, data, length, chunk);
        if (side->stage == IN_RECORD && !side->record_left)
            end_record(side);
        check_end(parser);
        return taken;
    }
    case IN_RECORD: {
        uint32_t part = length < side->record_left ? (uint32_t)length : side->record_left;
        take_record(parser, side, data, part, chunk);
        side->record_left -= part;
        if (!side->record_left)
            end_record(side);
        check_end(parser);
        return part;
    }
    case IN_SSLV2_HELLO:
        return take_sslv2(parser, side, data, length, chunk);
    default:
        return length;
    }
}

static void take_gap(struct parser *parser, struct side *side, uint64_t length) {
    if (side->stage == AT_START && !side->header_length) {
        side->is_doubtful = true; /* the next byte may be the first of a record */
        return;
    }
    if (side->stage == LOST || side->stage == CLOSED)
        return;
    if (side->stage != IN_RECORD || length > side->record_left) {
        lose(parser, side);
        return;
    }
    if (side->record_type == FS__TLS_HANDSHAKE)
        skip_handshake(parser, side, (uint32_t)length);
    side->alert_length = 0;
    side->skips_record = side->skips_record || side->record_type == FS__TLS_ALERT;
    side->record_left -= (uint32_t)length;
    if (!side->record_left)
        end_record(side);
}

/* ---- the parser's functions ---- */

static enum fs_probe_result probe(const struct fs_chunk *first) {
    const uint8_t *data = first->data;
    if (!data || !first->length)
        return FS_PROBE_MORE;
    if (starts_sslv2(data[0])) {
        if (first->length > 2 && data[2] != FS__TLS_HELLO_CLIENT)
            return FS_PROBE_NO;
        if (first->length < FS__TLS_SSLV2_HEADER)
            return FS_PROBE_MORE;
        return is_sslv2_header(data) ? FS_PROBE_YES : FS_PROBE_NO;
    }
    uint8_t header[FS__TLS_RECORD_HEADER] = {0, 3}; /* what passes, until more is known */
    memcpy(header, data, first->length < sizeof header ? (size_t)first->length : sizeof header);
    if (!is_record_header(header) || header[0] == FS__TLS_HEARTBEAT)
        return FS_PROBE_NO;
    if (first->length < sizeof header)
        return FS_PROBE_MORE;
    uint16_t length = fs__be16(header + 3);
    if (length == 0 || (header[0] == FS__TLS_CHANGE_CIPHER_SPEC && length != 1))
        return FS_PROBE_NO;
    if (header[0] != FS__TLS_HANDSHAKE)
        return FS_PROBE_YES;
    if (first->length < sizeof header + 1)
        return FS_PROBE_MORE;
    return is_known(data[sizeof header]) ? FS_PROBE_YES : FS_PROBE_NO;
}

static void *create(const struct fs_parser_host *host) {
    struct fs__memory memory;
    fs__memory_init(&memory, &host->allocator);
    struct parser *parser = fs__alloc(&memory, sizeof *parser);
    if (!parser)
        return NULL;
    memset(parser, 0, sizeof *parser);
    parser->exchanges.host = *host;
    parser->exchanges.memory = memory;
    parser->exchanges.client = FS__TLS_NO_SIDE;
    return parser;
}

static enum fs_parse_result feed(void *object, const struct fs_chunk *chunk) {
    struct parser *parser = object;
    struct side *side = &parser->sides[chunk->side & 1];
    const uint8_t *data = chunk->data;
    if (!data) {
        if (chunk->length && parser->result == FS_PARSE_MORE)
            take_gap(parser, side, chunk->length);
        check_end(parser);
        return parser->result;
    }
    for (uint64_t left = chunk->length; left && parser->result == FS_PARSE_MORE;) {
        uint64_t taken = take_piece(parser, side, data, left, chunk);
        data += taken;
        left -= taken;
    }
    return parser->result;
}

static enum fs_parse_result fin(void *object, enum fs_side number, uint64_t time_ns, uint32_t frame) {
    struct parser *parser = object;
    struct side *side = &parser->sides[number & 1];
    (void)time_ns;
    (void)frame;
    if (parser->result != FS_PARSE_MORE || side->stage == LOST)
        return parser->result;
    abandon_message(parser, side);
    side->stage = CLOSED;
    check_end(parser);
    return parser->result;
}

static void end(void *object, bool reset, uint64_t time_ns, uint32_t frame) {
    struct parser *parser = object;
    (void)reset;
    (void)time_ns;
    (void)frame;
    report_rest(parser);
}

static void destroy(void *object) {
    struct parser *parser = object;
    if (!parser)
        return;
    for (unsigned i = 0; i < 2; i++)
        release_buffer(parser, &parser->sides[i].handshake);
    fs__tls_exchanges_free(&parser->exchanges);
    struct fs__memory own = parser->exchanges.memory;
    fs__release(&own, parser, sizeof *parser);
}

const struct fs_parser fs_parser_tls = {
    .name = "tls",
    .protocol = FS_SESSION_TLS,
    .stream = true,
    .probe = probe,
    .create = create,
    .feed = feed,
    .fin = fin,
    .end = end,
    .destroy = destroy,
};

void fs_tls_get_stats(const void *parser, struct fs_tls_stats *stats) {
    const struct parser *tls = parser;
    memcpy(stats->side, tls->stats, sizeof stats->side);
}
