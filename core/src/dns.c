/* SPDX-License-Identifier: MIT */
/* The parsers: what a message is to its exchange, and messages out of a stream. */
#include "bytes.h"
#include "dns_internal.h"

#include <string.h>

enum {
    PREFIX = 2, /* RFC 1035, 4.2.2 */
    BUFFER_MINIMUM = 1024,
    BUFFER_MAXIMUM = UINT16_MAX,
    LOST_MAX = 256 << 10 /* bytes without a message before a stream is given up */
};

enum mode { DATAGRAMS, MULTICAST, STREAM };

/* What is known about where messages begin. */
enum sync {
    SEEKING = 0, /* perhaps here: the next message must be beyond doubt */
    IN_SYNC,
    LOST /* perhaps where the next segment begins */
};

struct stream_side {
    uint8_t *buffer; /* of a message in pieces, without its length */
    uint32_t room, used;
    uint32_t length; /* of the message */
    uint32_t skip;   /* bytes of a message that was reported already */
    uint32_t start_frame, end_frame, lost_frame;
    uint64_t start_ns, end_ns;
    uint64_t start; /* stream offset */
    unsigned nonsense;
    uint8_t sync;        /* enum sync */
    uint8_t prefix_used; /* bytes of the length that were read */
    uint8_t prefix[PREFIX];
    bool is_over;
};

struct dns {
    struct fs_parser_host host;
    struct fs__memory memory; /* of the streams' buffers and of this */
    struct fs__dns_exchanges exchanges;
    unsigned nonsense; /* datagrams in a row */
    uint64_t lost_bytes;
    uint8_t mode; /* enum mode */
    bool is_poisoned;
    struct stream_side sides[]; /* two for streams */
};

/* A message's bytes and where they come from. */
struct piece {
    const uint8_t *data;
    size_t length;
    uint64_t missing; /* after them */
    uint64_t start_ns, end_ns, bytes;
    uint32_t start_frame, end_frame;
    uint8_t side;
};

/* ---- exchanges ---- */

static void on_unanswered(const struct fs__dns_entry *entry, const struct fs__dns_query *query, void *user) {
    struct dns *dns = user;
    char name[FS_DNS_NAME_MAX];
    struct fs_dns_record question = {.name = "", .text = "", .type = query->type, .rr_class = query->query_class};
    if (query->name.length && fs__dns_name_text(&query->name, name, sizeof name))
        question.name = name;
    struct fs_dns_message detail = {
        .id = entry->id, .flags = query->flags, .type = query->type, .query_class = query->query_class};
    detail.opcode = query->flags >> 11 & 15;
    detail.rcode = query->flags & 15;
    detail.name = question.name;
    detail.records = &question;
    detail.counts[0] = detail.record_count = query->name.length > 0;
    detail.records_read = detail.record_count;
    detail.retries = query->retries;
    struct fs_message message = {.protocol = FS_SESSION_DNS,
                                 .kind = FS_MESSAGE_UNANSWERED,
                                 .side = entry->side,
                                 .exchange = entry->exchange,
                                 .start_ns = query->start_ns,
                                 .end_ns = query->end_ns,
                                 .start_frame = query->start_frame,
                                 .end_frame = query->end_frame,
                                 .request_ns = query->start_ns,
                                 .request_frame = query->start_frame,
                                 .bytes = query->bytes,
                                 .detail = &detail};
    dns->host.on_message(&message, dns->host.user);
}

/* RFC 6762, 18: mDNS queries have no id and do not ask for recursion; or want an answer by unicast, which comes in
 * another flow. */
static bool expects_answer(const struct dns *dns, const struct fs_dns_message *detail) {
    if (dns->mode == MULTICAST)
        return false;
    if (detail->opcode != 0)
        return true;
    if (dns->mode == DATAGRAMS && !detail->id && !(detail->flags & FS_DNS_RD))
        return false;
    return !(detail->counts[0] && detail->record_count && detail->records[0].cache_flush);
}

/* False if the message does not say enough to be found again. */
static bool make_key(struct fs__dns_key *key, const struct fs_dns_message *detail, const struct piece *piece) {
    key->id = detail->id;
    key->side = piece->side;
    key->type = detail->type;
    key->query_class = detail->query_class;
    key->name.length = 0;
    size_t next = 0;
    bool read = detail->records_read && detail->counts[0];
    if (read)
        read = !fs__dns_name_read(&key->name, piece->data, piece->length, FS__DNS_HEADER, &next);
    fs__dns_key_digest(key);
    return read || !detail->counts[0];
}

static void on_query(struct dns *dns, struct fs_message *message, struct fs_dns_message *detail,
                     const struct piece *piece) {
    struct fs__dns_key key;
    message->kind = FS_MESSAGE_REQUEST;
    if (detail->opcode == 6 && !detail->id) { /* RFC 8490, 5.4: unidirectional */
        message->kind = FS_MESSAGE_NOTICE;
        return;
    }
    if (!expects_answer(dns, detail) || !make_key(&key, detail, piece))
        return;
    struct fs__dns_exchanges *exchanges = &dns->exchanges;
    uint32_t at = fs__dns_find_query(exchanges, &key);
    if (at != FS__DNS_NONE) {
        detail->marks |= FS_DNS_RETRY;
        fs__dns_sent_again(exchanges, at, piece->end_ns);
        detail->retries = exchanges->queries[at].retries;
    } else {
        at = fs__dns_add_query(exchanges, &key, piece->end_ns);
        if (at == FS__DNS_NONE)
            return;
        struct fs__dns_query *query = &exchanges->queries[at];
        query->start_ns = piece->start_ns;
        query->end_ns = piece->end_ns;
        query->bytes = piece->bytes;
        query->start_frame = piece->start_frame;
        query->end_frame = piece->end_frame;
        query->flags = detail->flags;
    }
    message->exchange = exchanges->entries[at].exchange;
}

/* What a response without a question answers. `name` has FS_DNS_NAME_MAX characters. */
static void take_question(struct fs_dns_message *detail, const struct fs__dns_query *query, char *name) {
    if (detail->name[0] || !query->name.length || !fs__dns_name_text(&query->name, name, FS_DNS_NAME_MAX))
        return;
    detail->name = name;
    detail->type = query->type;
    detail->query_class = query->query_class;
    detail->marks |= FS_DNS_FROM_QUERY;
}

static void on_response(struct dns *dns, struct fs_message *message, struct fs_dns_message *detail,
                        const struct piece *piece, char *name) {
    struct fs__dns_key key;
    struct fs__dns_exchanges *exchanges = &dns->exchanges;
    bool is_mdns = !detail->id && !detail->counts[0]; /* RFC 6762, 6 and 18.1 */
    make_key(&key, detail, piece);
    key.side ^= 1;
    uint32_t at = dns->mode == MULTICAST ? FS__DNS_NONE : fs__dns_find_response(exchanges, &key);
    message->kind = dns->mode == MULTICAST || (is_mdns && at == FS__DNS_NONE) ? FS_MESSAGE_NOTICE : FS_MESSAGE_RESPONSE;
    if (at == FS__DNS_NONE)
        return;
    struct fs__dns_entry *entry = &exchanges->entries[at];
    struct fs__dns_query *query = &exchanges->queries[at];
    bool is_transfer = dns->mode == STREAM && (query->type == FS_DNS_AXFR || query->type == FS_DNS_IXFR);
    if (entry->state == FS__DNS_ANSWERED && !is_transfer)
        detail->marks |= FS_DNS_DUPLICATE;
    if (entry->state == FS__DNS_UNANSWERED)
        detail->marks |= FS_DNS_LATE;
    entry->state = FS__DNS_ANSWERED;
    entry->last_ns = piece->end_ns;
    detail->responses = ++query->responses;
    detail->retries = query->retries;
    take_question(detail, query, name);
    message->exchange = entry->exchange;
    message->request_ns = query->start_ns;
    message->request_frame = query->start_frame;
}

static void emit(struct dns *dns, struct fs_message *message, struct fs_dns_message *detail,
                 const struct piece *piece) {
    message->protocol = FS_SESSION_DNS;
    message->side = piece->side;
    message->incomplete = detail->marks & FS_DNS_CUT;
    message->start_ns = piece->start_ns;
    message->end_ns = piece->end_ns;
    message->start_frame = piece->start_frame;
    message->end_frame = piece->end_frame;
    message->bytes = piece->bytes;
    message->detail = detail;
    dns->host.on_message(message, dns->host.user);
}

/* One message, whole or not. False if it is none; streams report it all the same, as a notice, for it has a place. */
static bool take(struct dns *dns, const struct piece *piece) {
    struct fs_dns_store store;
    struct fs_dns_message detail;
    struct fs_message message = {.request_ns = FS_NO_TIME};
    char name[FS_DNS_NAME_MAX];
    bool is_known = fs_dns_decode(&detail, &store, piece->data, piece->length, piece->missing);
    fs__dns_expire(&dns->exchanges, piece->end_ns);
    if (!is_known) {
        if (dns->mode != STREAM)
            return false;
        if (!piece->missing)
            detail.marks |= FS_DNS_MALFORMED;
        message.kind = FS_MESSAGE_NOTICE;
    } else if (detail.flags & FS_DNS_QR) {
        on_response(dns, &message, &detail, piece, name);
    } else {
        on_query(dns, &message, &detail, piece);
    }
    emit(dns, &message, &detail, piece);
    return is_known;
}

/* ---- life ---- */

static void *create(const struct fs_parser_host *host, enum mode mode) {
    size_t size = sizeof(struct dns) + (mode == STREAM ? 2 * sizeof(struct stream_side) : 0);
    struct fs__memory memory;
    fs__memory_init(&memory, &host->allocator);
    struct dns *dns = fs__alloc(&memory, size);
    if (!dns)
        return NULL;
    memset(dns, 0, size);
    dns->host = *host;
    dns->memory = memory;
    dns->mode = (uint8_t)mode;
    fs__dns_exchanges_init(&dns->exchanges, &host->allocator);
    dns->exchanges.on_unanswered = on_unanswered;
    dns->exchanges.user = dns;
    return dns;
}

static void *create_udp(const struct fs_parser_host *host) {
    return create(host, DATAGRAMS);
}

static void *create_multicast(const struct fs_parser_host *host) {
    return create(host, MULTICAST);
}

static void *create_tcp(const struct fs_parser_host *host) {
    return create(host, STREAM);
}

static void release_buffer(struct dns *dns, struct stream_side *side) {
    fs__release(&dns->memory, side->buffer, side->room);
    side->buffer = NULL;
    side->room = 0;
}

static void destroy(void *parser) {
    struct dns *dns = parser;
    size_t size = sizeof *dns;
    if (dns->mode == STREAM) {
        release_buffer(dns, &dns->sides[0]);
        release_buffer(dns, &dns->sides[1]);
        size += 2 * sizeof dns->sides[0];
    }
    fs__dns_exchanges_free(&dns->exchanges);
    struct fs__memory memory = dns->memory;
    fs__release(&memory, dns, size);
}

static enum fs_parse_result result_of(const struct dns *dns) {
    return dns->is_poisoned ? FS_PARSE_POISONED : FS_PARSE_MORE;
}

static enum fs_parse_result tick(void *parser, uint64_t now_ns) {
    struct dns *dns = parser;
    fs__dns_expire(&dns->exchanges, now_ns);
    return result_of(dns);
}

/* ---- datagrams ---- */

static enum fs_probe_result probe_datagram(const struct fs_chunk *first) {
    if (!first->data)
        return FS_PROBE_NO;
    uint64_t whole = first->length + first->missing;
    /* More of a datagram will not come. */
    return fs__dns_probe(first->data, (size_t)first->length, whole) == FS_PROBE_YES ? FS_PROBE_YES : FS_PROBE_NO;
}

static enum fs_parse_result feed_datagram(void *parser, const struct fs_chunk *chunk) {
    struct dns *dns = parser;
    if (dns->is_poisoned || !chunk->data)
        return result_of(dns);
    struct piece piece = {.data = chunk->data,
                          .length = (size_t)chunk->length,
                          .missing = chunk->missing,
                          .start_ns = chunk->time_ns,
                          .end_ns = chunk->time_ns,
                          .bytes = chunk->length,
                          .start_frame = chunk->frame,
                          .end_frame = chunk->frame,
                          .side = chunk->side & 1};
    if (take(dns, &piece))
        dns->nonsense = 0;
    else
        dns->nonsense += !chunk->missing;
    dns->is_poisoned = dns->nonsense >= FS_DNS_NONSENSE_MAX;
    return result_of(dns);
}

static enum fs_parse_result fin_datagram(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    (void)side;
    (void)time_ns;
    (void)frame;
    return result_of(parser);
}

static void end_datagram(void *parser, bool reset, uint64_t time_ns, uint32_t frame) {
    struct dns *dns = parser;
    (void)reset;
    (void)time_ns;
    (void)frame;
    fs__dns_expire_all(&dns->exchanges);
}

/* ---- streams ---- */

/* What has told enough must not be unsaid by what follows: the probe of a stream looks no further. */
static size_t up_to_first_question(const uint8_t *data, size_t length) {
    enum { TYPE_AND_CLASS = 4 };
    struct fs__dns_name name;
    size_t next = 0;
    if (length <= FS__DNS_HEADER || !fs__be16(data + 4) ||
        fs__dns_name_read(&name, data, length, FS__DNS_HEADER, &next) || next + TYPE_AND_CLASS > length)
        return length;
    return next + TYPE_AND_CLASS;
}

static enum fs_probe_result probe_stream(const struct fs_chunk *first) {
    if (!first->data)
        return FS_PROBE_NO;
    if (first->length < PREFIX)
        return FS_PROBE_MORE;
    const uint8_t *data = first->data + PREFIX;
    uint64_t whole = fs__be16(first->data), here = first->length - PREFIX;
    size_t length = (size_t)(here < whole ? here : whole);
    return fs__dns_probe(data, up_to_first_question(data, length), whole);
}

static void lose(struct dns *dns, struct stream_side *side, uint32_t frame) {
    dns->lost_bytes += side->used + side->prefix_used;
    side->sync = LOST;
    side->lost_frame = frame;
    side->used = side->prefix_used = 0;
    side->nonsense = 0;
}

/* Whether to believe that a message begins where this side looks for one. The first bytes of a side are likely its
 * start, so less is asked of them. */
static bool is_confirmed(const struct stream_side *side, const uint8_t *data, size_t length) {
    if (side->sync == IN_SYNC)
        return true;
    if (side->start == 0 && length == side->length && length >= FS__DNS_HEADER)
        return fs__dns_is_header(data, side->length);
    return fs__dns_probe(data, length, side->length) == FS_PROBE_YES;
}

/* A message, of which `length` bytes are there, is over. */
static void finish_message(struct dns *dns, unsigned which, const uint8_t *data, size_t length, uint32_t frame) {
    struct stream_side *side = &dns->sides[which];
    static const uint8_t nothing[1];
    if (!data)
        data = nothing;
    side->used = (uint32_t)length;
    if (!is_confirmed(side, data, length)) {
        lose(dns, side, frame);
        return;
    }
    struct piece piece = {.data = data,
                          .length = length,
                          .missing = side->length - length,
                          .start_ns = side->start_ns,
                          .end_ns = side->end_ns,
                          .bytes = side->prefix_used + length,
                          .start_frame = side->start_frame,
                          .end_frame = side->end_frame,
                          .side = (uint8_t)which};
    side->sync = IN_SYNC;
    side->used = side->prefix_used = 0;
    if (take(dns, &piece)) {
        side->nonsense = 0;
        dns->lost_bytes = 0;
    } else if (!piece.missing && ++side->nonsense >= FS_DNS_NONSENSE_MAX) {
        lose(dns, side, frame);
    }
}

/* The message at hand will not be completed: report what there is. */
static void cut_message(struct dns *dns, unsigned which, uint32_t frame) {
    struct stream_side *side = &dns->sides[which];
    if (!side->prefix_used)
        return;
    if (side->prefix_used < PREFIX)
        side->length = FS__DNS_HEADER; /* more than there is */
    finish_message(dns, which, side->buffer, side->used, frame);
}

/* ---- streams: bytes ---- */

/* Four times as much each time, so that little is copied and what is claimed but not sent takes no memory. */
static bool reserve(struct dns *dns, struct stream_side *side, uint32_t need) {
    if (need <= side->room)
        return true;
    uint32_t room = side->room ? side->room : BUFFER_MINIMUM / 4;
    do {
        room = room < BUFFER_MAXIMUM / 4 ? room * 4 : BUFFER_MAXIMUM;
    } while (room < need);
    uint8_t *buffer = fs__alloc(&dns->memory, room);
    if (!buffer)
        return false;
    if (side->used)
        memcpy(buffer, side->buffer, side->used);
    release_buffer(dns, side);
    side->buffer = buffer;
    side->room = room;
    return true;
}

static size_t read_prefix(struct stream_side *side, const struct fs_chunk *chunk, size_t at) {
    if (!side->prefix_used) {
        side->start_ns = chunk->time_ns;
        side->start_frame = chunk->frame;
        side->start = chunk->offset + at;
    }
    side->end_ns = chunk->time_ns;
    side->end_frame = chunk->frame;
    side->prefix[side->prefix_used++] = chunk->data[at];
    if (side->prefix_used == PREFIX)
        side->length = fs__be16(side->prefix);
    return 1;
}

/* Without memory: report what lies in one piece, and find the next message by the length of this. */
static size_t give_up_message(struct dns *dns, unsigned which, const uint8_t *data, size_t length, uint32_t frame) {
    struct stream_side *side = &dns->sides[which];
    size_t taken = side->used ? 0 : length;
    size_t known = side->used ? side->used : length;
    uint32_t rest = side->length - (uint32_t)known;
    finish_message(dns, which, side->used ? side->buffer : data, known, frame);
    side->skip = side->sync == IN_SYNC ? rest : 0;
    return taken;
}

static size_t copy_body(struct dns *dns, unsigned which, const uint8_t *data, size_t length, uint32_t frame) {
    struct stream_side *side = &dns->sides[which];
    size_t wanted = side->length - side->used;
    /* Before there is a header to judge, no more than a header. */
    if (side->sync == SEEKING && side->used < FS__DNS_HEADER && wanted > FS__DNS_HEADER - side->used)
        wanted = FS__DNS_HEADER - side->used;
    size_t taken = length < wanted ? length : wanted;
    if (!reserve(dns, side, side->used + (uint32_t)taken))
        return give_up_message(dns, which, data, length, frame);
    memcpy(side->buffer + side->used, data, taken);
    side->used += (uint32_t)taken;
    if (side->used == side->length)
        finish_message(dns, which, side->buffer, side->used, frame);
    else if (side->sync == SEEKING && side->used == FS__DNS_HEADER && !fs__dns_is_header(side->buffer, side->length))
        lose(dns, side, frame);
    return taken;
}

static size_t read_body(struct dns *dns, unsigned which, const struct fs_chunk *chunk, size_t at) {
    struct stream_side *side = &dns->sides[which];
    const uint8_t *data = chunk->data + at;
    size_t left = (size_t)chunk->length - at;
    side->end_ns = chunk->time_ns;
    side->end_frame = chunk->frame;
    if (!side->used && left >= side->length) {
        size_t length = side->length;
        finish_message(dns, which, data, length, chunk->frame);
        return length;
    }
    return copy_body(dns, which, data, left, chunk->frame);
}

/* An empty message is over with its length. */
static bool is_empty_message(const struct stream_side *side) {
    return side->prefix_used == PREFIX && side->length == 0;
}

static void feed_bytes(struct dns *dns, const struct fs_chunk *chunk) {
    unsigned which = chunk->side & 1;
    struct stream_side *side = &dns->sides[which];
    size_t at = 0;
    if (side->sync == LOST && chunk->frame && chunk->frame != side->lost_frame)
        side->sync = SEEKING;
    while (at < chunk->length && side->sync != LOST) {
        size_t left = (size_t)chunk->length - at;
        if (side->skip) {
            size_t skipped = left < side->skip ? left : side->skip;
            side->skip -= (uint32_t)skipped;
            at += skipped;
        } else if (side->prefix_used < PREFIX) {
            at += read_prefix(side, chunk, at);
            if (is_empty_message(side))
                finish_message(dns, which, NULL, 0, chunk->frame);
        } else {
            at += read_body(dns, which, chunk, at);
        }
    }
    dns->lost_bytes += chunk->length - at;
}

static void feed_gap(struct dns *dns, const struct fs_chunk *chunk) {
    unsigned which = chunk->side & 1;
    struct stream_side *side = &dns->sides[which];
    uint64_t rest = side->skip; /* of the message, whose length is known */
    if (side->prefix_used == PREFIX)
        rest = side->length - side->used;
    bool has_length = side->skip || side->prefix_used == PREFIX;
    cut_message(dns, which, chunk->frame);
    side->skip = 0;
    if (side->sync == IN_SYNC && has_length && chunk->length <= rest)
        side->skip = (uint32_t)(rest - chunk->length);
    else
        side->sync = SEEKING;
}

static enum fs_parse_result feed_stream(void *parser, const struct fs_chunk *chunk) {
    struct dns *dns = parser;
    if (dns->is_poisoned || dns->sides[chunk->side & 1].is_over)
        return result_of(dns);
    if (chunk->data)
        feed_bytes(dns, chunk);
    else
        feed_gap(dns, chunk);
    dns->is_poisoned = dns->lost_bytes > LOST_MAX;
    return result_of(dns);
}

static void end_side(struct dns *dns, unsigned which, uint32_t frame) {
    struct stream_side *side = &dns->sides[which];
    if (side->is_over)
        return;
    if (!dns->is_poisoned)
        cut_message(dns, which, frame);
    release_buffer(dns, side);
    side->is_over = true;
}

static enum fs_parse_result fin_stream(void *parser, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    (void)time_ns;
    end_side(parser, (unsigned)side & 1, frame);
    return result_of(parser);
}

static void end_stream(void *parser, bool reset, uint64_t time_ns, uint32_t frame) {
    struct dns *dns = parser;
    (void)reset;
    (void)time_ns;
    end_side(dns, 0, frame);
    end_side(dns, 1, frame);
    fs__dns_expire_all(&dns->exchanges);
}

/* ---- tables ---- */

const struct fs_parser fs_parser_dns_udp = {.name = "dns-udp",
                                            .protocol = FS_SESSION_DNS,
                                            .probe = probe_datagram,
                                            .create = create_udp,
                                            .feed = feed_datagram,
                                            .fin = fin_datagram,
                                            .tick = tick,
                                            .end = end_datagram,
                                            .destroy = destroy};

const struct fs_parser fs_parser_dns_multicast = {.name = "dns-multicast",
                                                  .protocol = FS_SESSION_DNS,
                                                  .group = true,
                                                  .probe = probe_datagram,
                                                  .create = create_multicast,
                                                  .feed = feed_datagram,
                                                  .fin = fin_datagram,
                                                  .end = end_datagram,
                                                  .destroy = destroy};

const struct fs_parser fs_parser_dns_tcp = {.name = "dns-tcp",
                                            .protocol = FS_SESSION_DNS,
                                            .stream = true,
                                            .probe = probe_stream,
                                            .create = create_tcp,
                                            .feed = feed_stream,
                                            .fin = fin_stream,
                                            .tick = tick,
                                            .end = end_stream,
                                            .destroy = destroy};
