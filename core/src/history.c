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

/* Within the limit, or NULL. */
static void *take(struct fs__history_store *store, size_t size) {
    if (size > store->limit || store->used > store->limit - size) {
        store->refused++;
        return NULL;
    }
    void *block = fs__alloc(store->memory, size);
    store->used += block ? size : 0;
    return block;
}

static void give_back(struct fs__history_store *store, void *block, size_t size) {
    if (!block)
        return;
    store->used -= size;
    fs__release(store->memory, block, size);
}

void fs__history_free(struct fs__history *history, struct fs__history_store *store) {
    if (!history)
        return;
    give_back(store, history->marks, history->room * sizeof *history->marks);
    give_back(store, history, sizeof *history + history->size);
}

static void forget_first(struct fs__history *history) {
    history->first = (history->first + 1) & (history->room - 1);
    history->count--;
}

static void set_next(struct fs__history *history, uint64_t next) {
    history->next = next;
    while (history->count && mark_end(mark_at(history, 0)) <= window_start(history))
        forget_first(history);
}

/* There are never more marks than bytes, so the room is less than twice the history's size. */
static bool grow_marks(struct fs__history *history, struct fs__history_store *store) {
    uint32_t room = history->room ? history->room * 2 : MARKS_MINIMUM;
    struct fs__mark *marks = take(store, room * sizeof *marks);
    if (!marks)
        return false;
    for (uint32_t i = 0; i < history->count; i++)
        marks[i] = *mark_at(history, i);
    give_back(store, history->marks, history->room * sizeof *marks);
    history->marks = marks;
    history->room = room;
    history->first = 0;
    return true;
}

static bool add_mark(struct fs__history *history, struct fs__history_store *store, const struct fs__mark *mark) {
    if (history->count) {
        struct fs__mark *last = mark_at(history, history->count - 1);
        if (mark_end(last) == mark->start && last->frame == mark->frame && last->length < UINT32_MAX - mark->length) {
            last->length += mark->length;
            return true;
        }
    }
    if (history->count == history->room && !grow_marks(history, store)) {
        if (!history->count)
            return false;
        forget_first(history);
    }
    history->count++;
    *mark_at(history, history->count - 1) = *mark;
    return true;
}

static void write_text(struct fs__history *history, uint64_t offset, const uint8_t *data, size_t length) {
    size_t at = (size_t)(offset % history->size);
    size_t first = history->size - at < length ? history->size - at : length;
    memcpy(ring_of(history) + at, data, first);
    memcpy(ring_of(history), data + first, length - first);
}

/* The text from `start` on, with whatever lies in its gaps, to a ring of another size. */
static void copy_text(struct fs__history *to, struct fs__history *from, uint64_t start) {
    while (start < from->next) {
        size_t at = (size_t)(start % from->size);
        uint64_t length = from->next - start;
        if (length > from->size - at)
            length = from->size - at;
        write_text(to, start, ring_of(from) + at, (size_t)length);
        start += length;
    }
}

/* Room for text that ends at `end`, as far as the maximum, the limit and memory allow. */
static void grow_text(struct fs__history **history, struct fs__history_store *store, uint64_t start, uint64_t end) {
    enum { SIZE_MINIMUM = 256 };
    struct fs__history *old = *history;
    uint64_t first = old && old->count ? mark_at(old, 0)->start : start;
    uint64_t needed = end - first;
    uint32_t size = old ? old->size : SIZE_MINIMUM;
    while (size < needed && size < store->maximum)
        size *= 2;
    if (size > store->maximum)
        size = store->maximum;
    if (!size || (old && size <= old->size))
        return;
    struct fs__history *grown = take(store, sizeof *grown + size);
    if (!grown)
        return;
    memset(grown, 0, sizeof *grown);
    if (old) {
        *grown = *old;
        grown->size = size;
        if (old->count)
            copy_text(grown, old, first > window_start(old) ? first : window_start(old));
        give_back(store, old, sizeof *old + old->size);
    }
    grown->size = size;
    *history = grown;
}

void fs__history_add(struct fs__history **own, struct fs__history_store *store, uint64_t offset, const uint8_t *data,
                     uint64_t length, uint32_t frame) {
    uint64_t end = offset + length;
    struct fs__history *history = *own;
    if (!history || history->size < store->maximum) {
        grow_text(own, store, offset, end);
        history = *own;
        if (!history)
            return;
    }
    if (length > history->size) {
        data += length - history->size;
        offset += length - history->size;
        length = history->size;
    }
    set_next(history, end);
    const struct fs__mark mark = {offset, (uint32_t)length, frame};
    if (add_mark(history, store, &mark))
        write_text(history, offset, data, (size_t)length);
}

void fs__history_skip(struct fs__history **own, struct fs__history_store *store, uint64_t end) {
    if (!*own)
        return;
    if ((*own)->count && (*own)->size < store->maximum)
        grow_text(own, store, end, end);
    set_next(*own, end);
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
