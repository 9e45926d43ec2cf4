/* SPDX-License-Identifier: MIT */
#include "flow_table.h"

#include <string.h>

enum { INDEX_MINIMUM = 64, CACHE_LINE = 64 };

/* ---- slabs ---- */

/* Chunks start at a cache line; the allocator promises less, so a chunk remembers where it was allocated. */
static size_t chunk_bytes(const struct fs__slab *slab) {
    return slab->item_size * FS__CHUNK + CACHE_LINE + sizeof(void *);
}

static void *chunk_new(const struct fs__slab *slab, struct fs__memory *memory) {
    unsigned char *start = fs__alloc(memory, chunk_bytes(slab));
    if (!start)
        return NULL;
    size_t items = slab->item_size * FS__CHUNK;
    size_t skip = (CACHE_LINE - (uintptr_t)start % CACHE_LINE) % CACHE_LINE;
    unsigned char *chunk = start + skip;
    memset(chunk, 0, items);
    memcpy(chunk + items, &start, sizeof start);
    return chunk;
}

static void chunk_free(const struct fs__slab *slab, struct fs__memory *memory, unsigned char *chunk) {
    unsigned char *start;
    memcpy(&start, chunk + slab->item_size * FS__CHUNK, sizeof start);
    fs__release(memory, start, chunk_bytes(slab));
}

static bool slab_grow_chunk_list(struct fs__slab *slab, struct fs__memory *memory) {
    uint32_t room = slab->chunk_room ? slab->chunk_room * 2 : 4;
    void **chunks = fs__alloc(memory, room * sizeof *chunks);
    if (!chunks)
        return false;
    if (slab->chunk_count)
        memcpy(chunks, slab->chunks, slab->chunk_count * sizeof *chunks);
    fs__release(memory, slab->chunks, slab->chunk_room * sizeof *chunks);
    slab->chunks = chunks;
    slab->chunk_room = room;
    return true;
}

/* Have room for the number `slab->used`. */
static bool slab_reserve(struct fs__slab *slab, struct fs__memory *memory) {
    if (slab->used < slab->chunk_count * FS__CHUNK)
        return true;
    if (slab->chunk_count == slab->chunk_room && !slab_grow_chunk_list(slab, memory))
        return false;
    void *chunk = chunk_new(slab, memory);
    if (!chunk)
        return false;
    slab->chunks[slab->chunk_count++] = chunk;
    return true;
}

static void slab_free(struct fs__slab *slab, struct fs__memory *memory) {
    for (uint32_t i = 0; i < slab->chunk_count; i++)
        chunk_free(slab, memory, slab->chunks[i]);
    fs__release(memory, slab->chunks, slab->chunk_room * sizeof *slab->chunks);
}

/* ---- index ---- */

static struct fs__entry *index_new(struct fs__memory *memory, size_t entries) {
    struct fs__entry *index = fs__alloc(memory, entries * sizeof *index);
    if (index)
        memset(index, 0xff, entries * sizeof *index); /* flow = FS__NONE */
    return index;
}

static void index_put(struct fs__entry *index, uint32_t mask, struct fs__entry entry) {
    uint32_t at = entry.tag & mask;
    while (index[at].flow != FS__NONE)
        at = (at + 1) & mask;
    index[at] = entry;
}

static bool index_reserve(struct fs__flow_table *table) {
    size_t entries = (size_t)table->mask + 1;
    if ((size_t)table->live + 1 <= entries / 16 * 13)
        return true;
    if (entries > UINT32_MAX / 2)
        return false;
    struct fs__entry *index = index_new(table->memory, entries * 2);
    if (!index)
        return false;
    uint32_t mask = (uint32_t)(entries * 2 - 1);
    for (size_t i = 0; i < entries; i++) {
        if (table->index[i].flow != FS__NONE)
            index_put(index, mask, table->index[i]);
    }
    fs__release(table->memory, table->index, entries * sizeof *index);
    table->index = index;
    table->mask = mask;
    return true;
}

/* Linear probing without tombstones: what follows the hole moves up unless it is at home behind it. */
static void index_remove(struct fs__flow_table *table, uint32_t flow, uint32_t tag) {
    uint32_t mask = table->mask;
    uint32_t hole = tag & mask;
    while (table->index[hole].flow != flow)
        hole = (hole + 1) & mask;
    uint32_t at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (table->index[at].flow == FS__NONE)
            break;
        uint32_t home = table->index[at].tag & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        table->index[hole] = table->index[at];
        hole = at;
    }
    table->index[hole].flow = FS__NONE;
}

size_t fs__flow_table_longest_probe(const struct fs__flow_table *table) {
    size_t longest = 0;
    for (size_t at = 0; at <= table->mask; at++) {
        if (table->index[at].flow == FS__NONE)
            continue;
        size_t probe = (((uint32_t)at - table->index[at].tag) & table->mask) + 1;
        longest = probe > longest ? probe : longest;
    }
    return longest;
}

/* ---- flows ---- */

int fs__flow_table_init(struct fs__flow_table *table, struct fs__memory *memory, bool has_extra) {
    memset(table, 0, sizeof *table);
    table->memory = memory;
    table->has_extra = has_extra;
    table->flows.item_size = sizeof(struct fs__flow);
    table->cold.item_size = sizeof(struct fs__cold);
    table->extra.item_size = sizeof(struct fs__extra);
    table->tcp.item_size = sizeof(struct fs__tcp);
    table->tcp_more.item_size = sizeof(struct fs__tcp_more);
    table->free_flow = table->free_tcp = FS__NONE;
    table->mask = INDEX_MINIMUM - 1;
    table->index = index_new(memory, INDEX_MINIMUM);
    return table->index ? FS_OK : FS_ERR_NOMEM;
}

void fs__flow_table_free(struct fs__flow_table *table) {
    struct fs__slab *slabs[] = {&table->flows, &table->cold, &table->extra, &table->tcp, &table->tcp_more};
    for (size_t i = 0; i < sizeof slabs / sizeof slabs[0]; i++)
        slab_free(slabs[i], table->memory);
    if (table->index)
        fs__release(table->memory, table->index, ((size_t)table->mask + 1) * sizeof *table->index);
}

/* All slabs of flows hand out the same numbers; those of TCP have numbers of their own. */
static bool reserve_all(struct fs__flow_table *table, bool is_tcp) {
    struct fs__memory *memory = table->memory;
    if (table->free_flow == FS__NONE) {
        if (!slab_reserve(&table->flows, memory) || !slab_reserve(&table->cold, memory))
            return false;
        if (table->has_extra && !slab_reserve(&table->extra, memory))
            return false;
    }
    if (is_tcp && table->free_tcp == FS__NONE &&
        (!slab_reserve(&table->tcp, memory) || !slab_reserve(&table->tcp_more, memory)))
        return false;
    return index_reserve(table);
}

static uint32_t take_flow_number(struct fs__flow_table *table) {
    uint32_t flow = table->free_flow;
    if (flow != FS__NONE) {
        table->free_flow = fs__cold_at(table, flow)->next;
        return flow;
    }
    flow = table->flows.used++;
    table->cold.used = table->flows.used;
    if (table->has_extra)
        table->extra.used = table->flows.used;
    return flow;
}

static uint32_t take_tcp_number(struct fs__flow_table *table) {
    uint32_t tcp = table->free_tcp;
    if (tcp != FS__NONE) {
        table->free_tcp = fs__tcp_at(table, tcp)->side[0].isn; /* a free one chains the next there */
        return tcp;
    }
    tcp = table->tcp.used++;
    table->tcp_more.used = table->tcp.used;
    return tcp;
}

uint32_t fs__flow_table_take(struct fs__flow_table *table, bool is_tcp) {
    if (!reserve_all(table, is_tcp))
        return FS__NONE;
    uint32_t number = take_flow_number(table);
    struct fs__flow *flow = fs__flow_at(table, number);
    memset(flow, 0, sizeof *flow);
    memset(fs__cold_at(table, number), 0, sizeof(struct fs__cold));
    if (table->has_extra)
        memset(fs__extra_at(table, number), 0, sizeof(struct fs__extra));
    flow->tcp = is_tcp ? take_tcp_number(table) : FS__NONE;
    flow->bits = FS__LIVE;
    table->live++;
    return number;
}

void fs__flow_table_enter(struct fs__flow_table *table, uint32_t flow, uint32_t tag) {
    index_put(table->index, table->mask, (struct fs__entry){.tag = tag, .flow = flow});
}

void fs__flow_table_remove(struct fs__flow_table *table, uint32_t number, uint32_t tag) {
    struct fs__flow *flow = fs__flow_at(table, number);
    index_remove(table, number, tag);
    if (flow->tcp != FS__NONE) {
        fs__tcp_at(table, flow->tcp)->side[0].isn = table->free_tcp;
        table->free_tcp = flow->tcp;
    }
    flow->bits = 0;
    fs__cold_at(table, number)->next = table->free_flow;
    table->free_flow = number;
    table->live--;
}
