/* SPDX-License-Identifier: MIT */
#include "flowscope/length_prefixed.h"

#include "allocation.h"
#include "bytes.h"

struct side {
    uint8_t prefix[4];
    uint8_t prefix_used;
    bool is_in_body;
    bool is_over; /* lost, or ended */
    bool is_incomplete;
    uint64_t length, seen, missing; /* of the body; seen: gaps counted in */
    uint8_t *store;
    size_t store_size, kept;
    uint64_t start_ns, end_ns;
    uint32_t start_frame, end_frame;
};

struct parser {
    struct fs__memory memory;
    struct fs_parser_host host;
    struct fs_length_prefixed_config config;
    uint8_t width;
    bool is_poisoned;
    struct side side[2];
};

void fs_length_prefixed_config_defaults(struct fs_length_prefixed_config *config) {
    config->keep = 4096;
    config->largest = 16777216;
}

static uint64_t read_prefix(const uint8_t *prefix, unsigned width) {
    return width == 1 ? prefix[0] : width == 2 ? fs__be16(prefix) : fs__be32(prefix);
}

static void emit(struct parser *parser, unsigned index, const uint8_t *body) {
    struct side *side = &parser->side[index];
    struct fs_length_prefixed_message detail = {body, side->kept, side->length, side->missing};
    struct fs_message message = {
        .protocol = FS_SESSION_LENGTH_PREFIXED,
        .kind = FS_MESSAGE_NOTICE,
        .side = (uint8_t)index,
        .incomplete = side->is_incomplete,
        .start_ns = side->start_ns,
        .end_ns = side->end_ns,
        .start_frame = side->start_frame,
        .end_frame = side->end_frame,
        .request_ns = FS_NO_TIME,
        .bytes = parser->width + side->length - side->missing,
        .detail = &detail,
    };
    parser->host.on_message(&message, parser->host.user);
}

static void reset(struct parser *parser, struct side *side) {
    fs__release(&parser->memory, side->store, side->store_size);
    bool is_over = side->is_over;
    memset(side, 0, sizeof *side);
    side->is_over = is_over;
}

/* What is still to be kept of the body. */
static size_t wanted(const struct parser *parser, const struct side *side) {
    uint64_t most = side->length < parser->config.keep ? side->length : parser->config.keep;
    return side->kept >= most ? 0 : (size_t)most - side->kept;
}

static void keep(struct parser *parser, struct side *side, const uint8_t *data, size_t length) {
    size_t room = wanted(parser, side);
    size_t n = length < room ? length : room;
    /* After a hole, or where memory failed, what follows would not be where it belongs. */
    if (n == 0 || side->kept != side->seen)
        return;
    if (!side->store) {
        side->store = fs__alloc(&parser->memory, room);
        if (!side->store)
            return;
        side->store_size = room;
    }
    memcpy(side->store + side->kept, data, n);
    side->kept += n;
}

/* Take bytes of the body; returns how many. */
static size_t take_body(struct parser *parser, unsigned index, const struct fs_chunk *chunk, size_t at) {
    struct side *side = &parser->side[index];
    const uint8_t *data = chunk->data + at;
    size_t left = (size_t)chunk->length - at;
    uint64_t due = side->length - side->seen;
    size_t n = left < due ? left : (size_t)due;
    bool is_whole = side->seen == 0 && n == due; /* no copy */
    if (is_whole)
        side->kept = wanted(parser, side);
    else
        keep(parser, side, data, n);
    side->seen += n;
    if (n > 0) {
        side->end_ns = chunk->time_ns;
        side->end_frame = chunk->frame;
    }
    if (side->seen == side->length) {
        emit(parser, index, is_whole ? data : side->store ? side->store : side->prefix);
        reset(parser, side);
    }
    return n;
}

static void take_prefix(struct parser *parser, struct side *side, const struct fs_chunk *chunk, uint8_t byte) {
    if (side->prefix_used == 0) {
        side->start_ns = chunk->time_ns;
        side->start_frame = chunk->frame;
    }
    side->end_ns = chunk->time_ns;
    side->end_frame = chunk->frame;
    side->prefix[side->prefix_used++] = byte;
    if (side->prefix_used < parser->width)
        return;
    side->length = read_prefix(side->prefix, parser->width);
    side->is_in_body = true;
    parser->is_poisoned = side->length > parser->config.largest;
}

static void feed_bytes(struct parser *parser, unsigned index, const struct fs_chunk *chunk) {
    struct side *side = &parser->side[index];
    size_t at = 0;
    while (at < chunk->length && !parser->is_poisoned) {
        if (!side->is_in_body)
            take_prefix(parser, side, chunk, chunk->data[at++]);
        if (side->is_in_body && !parser->is_poisoned)
            at += take_body(parser, index, chunk, at);
    }
}

/* Report what there is of a message whose rest will not come. */
static void cut(struct parser *parser, unsigned index) {
    struct side *side = &parser->side[index];
    if (side->is_in_body) {
        side->is_incomplete = true;
        side->missing += side->length - side->seen;
        emit(parser, index, side->store ? side->store : side->prefix);
    }
    side->is_over = true;
    reset(parser, side);
}

static void feed_gap(struct parser *parser, unsigned index, const struct fs_chunk *chunk) {
    struct side *side = &parser->side[index];
    uint64_t due = side->is_in_body ? side->length - side->seen : 0;
    if (chunk->length > due) {
        cut(parser, index);
        parser->is_poisoned = parser->side[!index].is_over;
        return;
    }
    side->is_incomplete = true;
    side->missing += chunk->length;
    side->seen += chunk->length;
    side->end_ns = chunk->time_ns;
    side->end_frame = chunk->frame;
    if (chunk->length == due) {
        emit(parser, index, side->store ? side->store : side->prefix);
        reset(parser, side);
    }
}

/* ---- the tables ---- */

void *fs_length_prefixed_create(const struct fs_length_prefixed_config *config, unsigned width,
                                const struct fs_parser_host *host) {
    if (width != 1 && width != 2 && width != 4)
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, &host->allocator);
    struct parser *parser = fs__alloc(&memory, sizeof *parser);
    if (!parser)
        return NULL;
    memset(parser, 0, sizeof *parser);
    parser->memory = memory;
    parser->host = *host;
    parser->width = (uint8_t)width;
    fs_length_prefixed_config_defaults(&parser->config);
    if (config)
        parser->config = *config;
    return parser;
}

static enum fs_parse_result verdict(const struct parser *parser) {
    if (parser->is_poisoned)
        return FS_PARSE_POISONED;
    return parser->side[0].is_over && parser->side[1].is_over ? FS_PARSE_DONE : FS_PARSE_MORE;
}

static enum fs_parse_result feed(void *object, const struct fs_chunk *chunk) {
    struct parser *parser = object;
    unsigned index = chunk->side != 0;
    if (parser->is_poisoned || parser->side[index].is_over || chunk->length == 0)
        return verdict(parser);
    if (chunk->data)
        feed_bytes(parser, index, chunk);
    else
        feed_gap(parser, index, chunk);
    return verdict(parser);
}

static enum fs_parse_result fin(void *object, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    struct parser *parser = object;
    (void)time_ns;
    (void)frame;
    if (!parser->is_poisoned && !parser->side[side].is_over)
        cut(parser, side);
    return verdict(parser);
}

static void end(void *object, bool reset_seen, uint64_t time_ns, uint32_t frame) {
    struct parser *parser = object;
    (void)reset_seen;
    (void)time_ns;
    (void)frame;
    for (unsigned side = 0; side < 2 && !parser->is_poisoned; side++) {
        if (!parser->side[side].is_over)
            cut(parser, side);
    }
}

static void destroy(void *object) {
    struct parser *parser = object;
    for (int i = 0; i < 2; i++)
        reset(parser, &parser->side[i]);
    struct fs__memory memory = parser->memory;
    fs__release(&memory, parser, sizeof *parser);
}

static enum fs_probe_result probe(const struct fs_chunk *first, unsigned width) {
    struct fs_length_prefixed_config config;
    fs_length_prefixed_config_defaults(&config);
    if (!first->data)
        return FS_PROBE_NO;
    if (first->length < width)
        return FS_PROBE_MORE;
    return read_prefix(first->data, width) <= config.largest ? FS_PROBE_YES : FS_PROBE_NO;
}

#define LENGTH_PREFIXED_PARSER(width)                                                                                  \
    static enum fs_probe_result probe_##width(const struct fs_chunk *first) {                                          \
        return probe(first, width);                                                                                    \
    }                                                                                                                  \
    static void *create_##width(const struct fs_parser_host *host) {                                                   \
        return fs_length_prefixed_create(NULL, width, host);                                                           \
    }                                                                                                                  \
    const struct fs_parser fs_parser_length_prefixed_##width = {                                                       \
        .name = "length-prefixed-" #width,                                                                             \
        .protocol = FS_SESSION_LENGTH_PREFIXED,                                                                        \
        .stream = true,                                                                                                \
        .probe = probe_##width,                                                                                        \
        .create = create_##width,                                                                                      \
        .feed = feed,                                                                                                  \
        .fin = fin,                                                                                                    \
        .end = end,                                                                                                    \
        .destroy = destroy,                                                                                            \
    }

LENGTH_PREFIXED_PARSER(1);
LENGTH_PREFIXED_PARSER(2);
LENGTH_PREFIXED_PARSER(4);
