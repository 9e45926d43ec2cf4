/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "links.h"

#include "store.h"

/* Where the walk stands in a flow. */
struct trail {
    uint64_t bytes;
    uint32_t packets;
    uint32_t frame; /* latest, and which of its packets; 0: none */
    uint32_t n;
};

/* Further packets of a frame, in the order of frames. */
struct more_link {
    uint32_t frame, n;
    struct fs_link link;
};

enum { CHUNK_SHIFT = 12, CHUNK = 1 << CHUNK_SHIFT };

static struct {
    GPtrArray *chunks; /* of struct fs_link, by frame: the first packets */
    GArray *more;      /* struct more_link */
    GArray *trails;    /* struct trail, by flow */
    uint32_t walked;   /* up to this frame */
} links;

void fs_links_forget(void) {
    if (!links.chunks)
        return;
    g_ptr_array_free(links.chunks, TRUE);
    g_array_free(links.more, TRUE);
    g_array_free(links.trails, TRUE);
    memset(&links, 0, sizeof links);
}

static void open_links(void) {
    links.chunks = g_ptr_array_new_with_free_func(g_free);
    links.more = g_array_new(FALSE, FALSE, sizeof(struct more_link));
    links.trails = g_array_new(FALSE, TRUE, sizeof(struct trail));
}

static struct fs_link *find_more(uint32_t frame, unsigned n) {
    guint low = 0;
    guint high = links.more->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const struct more_link *entry = &g_array_index(links.more, struct more_link, middle);
        if (entry->frame < frame || (entry->frame == frame && entry->n < n))
            low = middle + 1;
        else
            high = middle;
    }
    struct more_link *found = low < links.more->len ? &g_array_index(links.more, struct more_link, low) : NULL;
    return found && found->frame == frame && found->n == n ? &found->link : NULL;
}

/* NULL for what the walk has not reached. */
static struct fs_link *find_link(uint32_t frame, unsigned n) {
    if (frame >> CHUNK_SHIFT >= links.chunks->len)
        return NULL;
    if (n)
        return find_more(frame, n);
    return (struct fs_link *)g_ptr_array_index(links.chunks, frame >> CHUNK_SHIFT) + (frame & (CHUNK - 1));
}

static void add_link(uint32_t frame, unsigned n, const struct fs_link *link) {
    if (n) {
        struct more_link entry = {frame, n, *link};
        g_array_append_val(links.more, entry);
        return;
    }
    while (frame >> CHUNK_SHIFT >= links.chunks->len)
        g_ptr_array_add(links.chunks, g_new0(struct fs_link, CHUNK));
    *find_link(frame, 0) = *link;
}

static struct trail *trail_of(uint32_t flow) {
    if (flow >= links.trails->len)
        g_array_set_size(links.trails, flow + 1);
    return &g_array_index(links.trails, struct trail, flow);
}

/* What is not counted, quoted in an ICMP error or an excluded copy, comes neither before nor after another packet. */
static void walk_record(uint32_t frame, unsigned n, const struct fs_record *record) {
    struct trail *trail = trail_of(record->flow);
    bool counted = fs_record_is_counted(record);
    trail->packets += counted;
    trail->bytes += counted ? record->wire_len : 0;
    const struct fs_link link = {.previous = counted ? trail->frame : 0,
                                 .packet = counted ? trail->packets : 0,
                                 .bytes_low = (uint32_t)trail->bytes,
                                 .bytes_high = (uint16_t)(trail->bytes >> 32)};
    add_link(frame, n, &link);
    if (!counted || trail->frame == frame)
        return;
    struct fs_link *before = trail->frame ? find_link(trail->frame, trail->n) : NULL;
    if (before)
        before->next = frame;
    trail->frame = frame;
    trail->n = n;
}

static void walk_frame(uint32_t frame) {
    const struct fs_record *record = fs_store_record(frame, 0);
    for (unsigned n = 0; record; n++) {
        walk_record(frame, n, record);
        record = fs_store_next(frame, n, record);
    }
}

struct fs_link fs_links_get(uint32_t frame, unsigned n) {
    if (!links.chunks)
        open_links();
    uint32_t newest = fs_store_newest();
    while (links.walked < newest)
        walk_frame(++links.walked);
    const struct fs_link *link = find_link(frame, n);
    return link ? *link : (struct fs_link){0};
}
