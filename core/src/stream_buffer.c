/* SPDX-License-Identifier: MIT */
/* The bytes lie unbroken in one block, [head, tail), without their gaps; marks say where gaps are. The block grows up
 * to twice the limit, so that no more bytes need to be moved to its front than were consumed and added since the last
 * time: a constant cost for each byte. */
#include "flowscope/stream_buffer.h"

#include "allocation.h"

#include <string.h>

enum { BLOCK_MINIMUM = 4096, MARKS_MINIMUM = 8 };

/* A gap behind bytes. */
struct mark {
    uint64_t start, length;
};

struct fs_stream_buffer {
    struct fs__memory memory;
    struct fs_stream_buffer_config config;
    uint64_t trigger; /* of the watermark; UINT64_MAX: none */
    uint8_t *block;
    size_t room, head, tail;
    struct mark *marks; /* a ring */
    size_t marks_room, marks_first, marks_count;
    uint64_t read, end;
    uint64_t front_gap; /* from `read` on */
    uint64_t peak, gap_bytes, dropped_bytes, refused_bytes, duplicate_bytes, rises;
    bool is_above; /* the watermark */
    bool is_poisoned;
};

void fs_stream_buffer_config_defaults(struct fs_stream_buffer_config *config) {
    memset(config, 0, sizeof *config);
    config->limit = 1 << 20;
}

static uint64_t trigger_of(const struct fs_stream_buffer_config *config) {
    if (!config->watermark_percent || config->limit == UINT64_MAX)
        return UINT64_MAX;
    uint64_t percent = config->watermark_percent > 100 ? 100 : config->watermark_percent;
    uint64_t trigger = config->limit / 100 * percent + config->limit % 100 * percent / 100;
    return trigger ? trigger : 1;
}

struct fs_stream_buffer *fs_stream_buffer_new(const struct fs_stream_buffer_config *config,
                                              const struct fs_allocator *allocator) {
    struct fs_stream_buffer_config defaults;
    if (!config) {
        fs_stream_buffer_config_defaults(&defaults);
        config = &defaults;
    }
    if ((unsigned)config->policy >= FS_BUFFER_POLICY_COUNT)
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_stream_buffer *buffer = fs__alloc(&memory, sizeof *buffer);
    if (!buffer)
        return NULL;
    memset(buffer, 0, sizeof *buffer);
    buffer->memory = memory;
    buffer->config = *config;
    buffer->trigger = trigger_of(config);
    return buffer;
}

static void release_storage(struct fs_stream_buffer *buffer) {
    fs__release(&buffer->memory, buffer->block, buffer->room);
    fs__release(&buffer->memory, buffer->marks, buffer->marks_room * sizeof *buffer->marks);
    buffer->block = NULL;
    buffer->marks = NULL;
    buffer->room = buffer->marks_room = 0;
}

static void empty(struct fs_stream_buffer *buffer) {
    buffer->head = buffer->tail = 0;
    buffer->marks_first = buffer->marks_count = 0;
}

void fs_stream_buffer_free(struct fs_stream_buffer *buffer) {
    if (!buffer)
        return;
    release_storage(buffer);
    struct fs__memory own = buffer->memory;
    fs__release(&own, buffer, sizeof *buffer);
}

void fs_stream_buffer_reset(struct fs_stream_buffer *buffer) {
    empty(buffer);
    buffer->read = buffer->end = buffer->front_gap = 0;
    buffer->peak = buffer->gap_bytes = buffer->dropped_bytes = 0;
    buffer->refused_bytes = buffer->duplicate_bytes = buffer->rises = 0;
    buffer->is_above = buffer->is_poisoned = false;
}

/* ---- what is kept ---- */

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t kept(const struct fs_stream_buffer *buffer) {
    return buffer->tail - buffer->head;
}

static uint64_t cost(const struct fs_stream_buffer *buffer) {
    return kept(buffer) + buffer->marks_count * sizeof(struct mark);
}

static struct mark *mark_at(const struct fs_stream_buffer *buffer, size_t i) {
    size_t at = buffer->marks_first + i;
    return &buffer->marks[at < buffer->marks_room ? at : at - buffer->marks_room];
}

/* Bytes up to the first gap behind them. There is none before them. */
static uint64_t first_bytes(const struct fs_stream_buffer *buffer) {
    return buffer->marks_count ? mark_at(buffer, 0)->start - buffer->read - buffer->front_gap : kept(buffer);
}

static void pop_mark(struct fs_stream_buffer *buffer) {
    buffer->front_gap += mark_at(buffer, 0)->length;
    buffer->marks_first = buffer->marks_first + 1 < buffer->marks_room ? buffer->marks_first + 1 : 0;
    buffer->marks_count--;
}

static void advance_head(struct fs_stream_buffer *buffer, uint64_t length) {
    buffer->head += (size_t)length;
    if (buffer->head == buffer->tail)
        buffer->head = buffer->tail = 0;
}

/* The oldest bytes become a gap. */
static void drop_oldest(struct fs_stream_buffer *buffer, uint64_t length) {
    advance_head(buffer, length);
    buffer->front_gap += length;
    buffer->dropped_bytes += length;
    if (buffer->marks_count && mark_at(buffer, 0)->start == buffer->read + buffer->front_gap)
        pop_mark(buffer);
}

/* Room for `more` bytes, which are not more than the limit. */
static void slide(struct fs_stream_buffer *buffer, uint64_t more) {
    while (cost(buffer) > buffer->config.limit - more) {
        uint64_t excess = cost(buffer) - (buffer->config.limit - more);
        uint64_t first = first_bytes(buffer);
        drop_oldest(buffer, lesser(excess, first));
    }
}

static void poison(struct fs_stream_buffer *buffer) {
    buffer->dropped_bytes += kept(buffer);
    empty(buffer);
    release_storage(buffer);
    buffer->is_poisoned = true;
    buffer->read = buffer->end;
    buffer->front_gap = 0;
}

/* ---- storage ---- */

static size_t room_for(const struct fs_stream_buffer *buffer, uint64_t bytes) {
    uint64_t room = buffer->room ? (uint64_t)buffer->room * 2 : BLOCK_MINIMUM;
    if (room < bytes * 2)
        room = bytes * 2;
    if (room / 2 > buffer->config.limit)
        room = buffer->config.limit * 2;
    return room > SIZE_MAX ? 0 : (size_t)room;
}

static bool reserve(struct fs_stream_buffer *buffer, uint64_t more) {
    uint64_t live = kept(buffer);
    if (more <= buffer->room - buffer->tail)
        return true;
    if (buffer->head + more >= live && live + more <= buffer->room) {
        memmove(buffer->block, buffer->block + buffer->head, (size_t)live);
    } else {
        size_t room = room_for(buffer, live + more);
        uint8_t *block = room ? fs__alloc(&buffer->memory, room) : NULL;
        if (!block)
            return false;
        if (live)
            memcpy(block, buffer->block + buffer->head, (size_t)live);
        fs__release(&buffer->memory, buffer->block, buffer->room);
        buffer->block = block;
        buffer->room = room;
    }
    buffer->head = 0;
    buffer->tail = (size_t)live;
    return true;
}

static bool reserve_mark(struct fs_stream_buffer *buffer) {
    if (buffer->marks_count < buffer->marks_room)
        return true;
    size_t room = buffer->marks_room ? buffer->marks_room * 2 : MARKS_MINIMUM;
    struct mark *marks = fs__alloc(&buffer->memory, room * sizeof *marks);
    if (!marks)
        return false;
    for (size_t i = 0; i < buffer->marks_count; i++)
        marks[i] = *mark_at(buffer, i);
    fs__release(&buffer->memory, buffer->marks, buffer->marks_room * sizeof *marks);
    buffer->marks = marks;
    buffer->marks_room = room;
    buffer->marks_first = 0;
    return true;
}

/* ---- adding ---- */

static int note_level(struct fs_stream_buffer *buffer) {
    uint64_t level = kept(buffer);
    if (level > buffer->peak)
        buffer->peak = level;
    bool was_above = buffer->is_above;
    buffer->is_above = level >= buffer->trigger;
    if (was_above || !buffer->is_above)
        return 0;
    buffer->rises++;
    return FS_BUFFER_ROSE;
}

static int refuse(struct fs_stream_buffer *buffer, uint64_t length) {
    buffer->refused_bytes += length;
    return FS_BUFFER_POISONED;
}

/* A gap at the end. False without memory. */
static bool add_gap(struct fs_stream_buffer *buffer, uint64_t length) {
    struct mark *last = buffer->marks_count ? mark_at(buffer, buffer->marks_count - 1) : NULL;
    if (buffer->head == buffer->tail) {
        buffer->front_gap += length;
    } else if (last && last->start + last->length == buffer->end) {
        last->length += length;
    } else {
        if (!reserve_mark(buffer))
            return false;
        buffer->marks_count++;
        *mark_at(buffer, buffer->marks_count - 1) = (struct mark){buffer->end, length};
    }
    buffer->end += length;
    buffer->gap_bytes += length;
    return true;
}

static bool is_poison(const struct fs_stream_buffer *buffer, uint64_t length) {
    return buffer->config.policy == FS_BUFFER_POISON && length > buffer->config.limit - cost(buffer);
}

/* The limit would be passed by `length` bytes at the end. */
static int make_room(struct fs_stream_buffer *buffer, uint64_t length) {
    uint64_t dropped = buffer->dropped_bytes;
    if (buffer->config.policy == FS_BUFFER_POISON) {
        buffer->dropped_bytes += length;
        poison(buffer);
        return FS_BUFFER_DROPPED | FS_BUFFER_POISONED;
    }
    slide(buffer, length);
    return buffer->dropped_bytes > dropped ? FS_BUFFER_DROPPED : 0;
}

static int append_at_end(struct fs_stream_buffer *buffer, const uint8_t *data, uint64_t length) {
    int result = 0;
    if (length > buffer->config.limit - cost(buffer)) {
        uint64_t too_much = length > buffer->config.limit ? length - buffer->config.limit : 0;
        if (buffer->config.policy == FS_BUFFER_SLIDE && too_much) {
            slide(buffer, buffer->config.limit); /* so that nothing is kept */
            buffer->dropped_bytes += too_much;
            buffer->front_gap += too_much;
            buffer->end += too_much;
            data += too_much;
            length -= too_much;
            result = FS_BUFFER_DROPPED;
        }
        result |= make_room(buffer, length);
        if (buffer->is_poisoned)
            return result;
    }
    if (length)
        memcpy(buffer->block + buffer->tail, data, (size_t)length);
    buffer->tail += (size_t)length;
    buffer->end += length;
    return result | note_level(buffer);
}

int fs_stream_buffer_append(struct fs_stream_buffer *buffer, uint64_t offset, const uint8_t *data, uint64_t length) {
    if (buffer->is_poisoned)
        return refuse(buffer, length);
    if (offset < buffer->end) {
        uint64_t known = buffer->end - offset < length ? buffer->end - offset : length;
        int rest = known < length ? fs_stream_buffer_append(buffer, buffer->end, data + known, length - known) : 0;
        buffer->duplicate_bytes += rest < 0 ? 0 : known;
        return rest;
    }
    if (!length)
        return 0;
    if (!is_poison(buffer, length) && !reserve(buffer, lesser(length, buffer->config.limit)))
        return FS_ERR_NOMEM;
    int result = 0;
    if (offset > buffer->end)
        result = fs_stream_buffer_gap(buffer, buffer->end, offset - buffer->end);
    if (result < 0 || buffer->is_poisoned)
        return result;
    return result | append_at_end(buffer, data, length);
}

int fs_stream_buffer_gap(struct fs_stream_buffer *buffer, uint64_t offset, uint64_t length) {
    if (buffer->is_poisoned)
        return FS_BUFFER_POISONED;
    uint64_t end = offset + length;
    if (end <= buffer->end)
        return 0;
    if (!add_gap(buffer, end - buffer->end))
        return FS_ERR_NOMEM;
    int result = cost(buffer) > buffer->config.limit ? make_room(buffer, 0) : 0;
    return buffer->is_poisoned ? result : result | note_level(buffer);
}

int fs_stream_buffer_event(struct fs_stream_buffer *buffer, const struct fs_stream_event *event) {
    if (event->kind == FS_STREAM_DATA)
        return fs_stream_buffer_append(buffer, event->offset, event->data, event->length);
    if (event->kind == FS_STREAM_GAP)
        return fs_stream_buffer_gap(buffer, event->offset, event->length);
    return 0;
}

/* ---- reading ---- */

struct fs_stream_span fs_stream_buffer_peek(const struct fs_stream_buffer *buffer) {
    if (buffer->front_gap)
        return (struct fs_stream_span){FS_SPAN_GAP, buffer->read, buffer->front_gap, NULL};
    if (buffer->head == buffer->tail)
        return (struct fs_stream_span){FS_SPAN_NONE, buffer->read, 0, NULL};
    return (struct fs_stream_span){FS_SPAN_DATA, buffer->read, first_bytes(buffer), buffer->block + buffer->head};
}

uint64_t fs_stream_buffer_consume(struct fs_stream_buffer *buffer, uint64_t length) {
    if (buffer->front_gap) {
        uint64_t taken = lesser(length, buffer->front_gap);
        buffer->front_gap -= taken;
        buffer->read += taken;
        return taken;
    }
    uint64_t taken = lesser(length, first_bytes(buffer));
    advance_head(buffer, taken);
    buffer->read += taken;
    if (buffer->marks_count && mark_at(buffer, 0)->start == buffer->read)
        pop_mark(buffer);
    if (kept(buffer) < buffer->trigger)
        buffer->is_above = false;
    return taken;
}

uint64_t fs_stream_buffer_level(const struct fs_stream_buffer *buffer) {
    return kept(buffer);
}

/* All members at once: what is set to zero first, compilers fill with a string instruction, which takes longer than the
 * rest. */
void fs_stream_buffer_get_info(const struct fs_stream_buffer *buffer, struct fs_stream_buffer_info *info) {
    *info = (struct fs_stream_buffer_info){.read_offset = buffer->read,
                                           .end_offset = buffer->end,
                                           .buffered_bytes = kept(buffer),
                                           .peak_bytes = buffer->peak,
                                           .gap_bytes = buffer->gap_bytes,
                                           .dropped_bytes = buffer->dropped_bytes,
                                           .refused_bytes = buffer->refused_bytes,
                                           .duplicate_bytes = buffer->duplicate_bytes,
                                           .rises = buffer->rises,
                                           .memory_bytes = buffer->memory.bytes,
                                           .poisoned = buffer->is_poisoned};
}
