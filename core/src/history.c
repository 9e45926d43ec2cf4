/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <string.h>

enum { MARKS_MINIMUM = 16 };

static uint8_t *ring_of(struct fs__history *history) {
    return (uint8_t *)(history + 1);
}

static struct fs__mark *mark_at(const struct fs__history *history, uint32_t i) {
    return &history->marks[(history->first + i) & (history->room - 1)];
}

static uint64_t mark_end(const struct fs__mark *mark) {
    return mark->start + mark->length;
}

static uint64_t window_start(const struct fs__history *history) {
    return history->next > history->size ? history->next - history->size : 0;
}

struct fs__history *fs__history_new(struct fs__memory *memory, uint32_t size) {
    struct fs__history *history = fs__alloc(memory, sizeof *history + size);
    if (!history)
        return NULL;
    memset(history, 0, sizeof *history);
    history->size = size;
    return history;
}

void fs__history_free(struct fs__history *history, struct fs__memory *memory) {
    if (!history)
        return;
    fs__release(memory, history->marks, history->room * sizeof *history->marks);
    fs__release(memory, history, sizeof *history + history->size);
}

static void forget_first(struct fs__history *history) {
    history->first = (history->first + 1) & (history->room - 1);
    history->count--;
}

void fs__history_set_next(struct fs__history *history, uint64_t next) {
    history->next = next;
    while (history->count && mark_end(mark_at(history, 0)) <= window_start(history))
        forget_first(history);
}

/* There are never more marks than bytes, so the room is less than twice the history's size. */
static bool grow(struct fs__history *history, struct fs__memory *memory) {
    uint32_t room = history->room ? history->room * 2 : MARKS_MINIMUM;
    struct fs__mark *marks = fs__alloc(memory, room * sizeof *marks);
    if (!marks)
        return false;
    for (uint32_t i = 0; i < history->count; i++)
        marks[i] = *mark_at(history, i);
    fs__release(memory, history->marks, history->room * sizeof *marks);
    history->marks = marks;
    history->room = room;
    history->first = 0;
    return true;
}

static bool add_mark(struct fs__history *history, struct fs__memory *memory, const struct fs__mark *mark) {
    if (history->count) {
        struct fs__mark *last = mark_at(history, history->count - 1);
        if (mark_end(last) == mark->start && last->frame == mark->frame && last->length < UINT32_MAX - mark->length) {
            last->length += mark->length;
            return true;
        }
    }
    if (history->count == history->room && !grow(history, memory)) {
        if (!history->count)
            return false;
        forget_first(history);
    }
    history->count++;
    *mark_at(history, history->count - 1) = *mark;
    return true;
}

void fs__history_add(struct fs__history *history, struct fs__memory *memory, uint64_t offset, const uint8_t *data,
                     uint64_t length, uint32_t frame) {
    if (length > history->size) {
        data += length - history->size;
        offset += length - history->size;
        length = history->size;
    }
    fs__history_set_next(history, offset + length);
    const struct fs__mark mark = {offset, (uint32_t)length, frame};
    if (!add_mark(history, memory, &mark))
        return;
    size_t at = (size_t)(offset % history->size);
    size_t first = history->size - at < length ? history->size - at : (size_t)length;
    memcpy(ring_of(history) + at, data, first);
    memcpy(ring_of(history), data + first, (size_t)length - first);
}

/* Number of the first mark that ends after `offset`. */
static uint32_t find_mark(const struct fs__history *history, uint64_t offset) {
    uint32_t low = 0, high = history->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mark_end(mark_at(history, middle)) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool fs__history_find(const struct fs__history *history, uint64_t from, uint64_t to, struct fs__held *held) {
    if (from < window_start(history))
        from = window_start(history);
    uint32_t i = find_mark(history, from);
    if (i == history->count || mark_at(history, i)->start >= to)
        return false;
    const struct fs__mark *mark = mark_at(history, i);
    held->start = mark->start > from ? mark->start : from;
    held->frame = mark->frame;
    held->end = mark_end(mark);
    while (held->end < to && ++i < history->count && mark_at(history, i)->start == held->end)
        held->end = mark_end(mark_at(history, i));
    if (held->end > to)
        held->end = to;
    if (held->end <= held->start)
        return false;
    const uint8_t *ring = (const uint8_t *)(history + 1);
    size_t length = (size_t)(held->end - held->start);
    size_t at = (size_t)(held->start % history->size);
    held->text[0] = ring + at;
    held->length[0] = history->size - at < length ? history->size - at : length;
    held->text[1] = ring;
    held->length[1] = length - held->length[0];
    return true;
}
