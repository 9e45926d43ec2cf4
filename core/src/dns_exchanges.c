/* SPDX-License-Identifier: MIT */
/* Queries of one flow and what became of them. A table without order: it is small, its hot part lies within 12 KiB, and
 * it is searched whole, so that the cost of a message is bounded whatever ids and names a sender chooses. */
#include "dns_internal.h"

#include <string.h>

enum { ROOM_MINIMUM = 2 };

void fs__dns_exchanges_init(struct fs__dns_exchanges *exchanges, const struct fs_allocator *allocator) {
    memset(exchanges, 0, sizeof *exchanges);
    fs__memory_init(&exchanges->memory, allocator);
    exchanges->deadline_ns = UINT64_MAX;
}

static void release(struct fs__dns_exchanges *exchanges) {
    fs__release(&exchanges->memory, exchanges->entries, exchanges->room * sizeof *exchanges->entries);
    fs__release(&exchanges->memory, exchanges->queries, exchanges->room * sizeof *exchanges->queries);
}

void fs__dns_exchanges_free(struct fs__dns_exchanges *exchanges) {
    release(exchanges);
    exchanges->entries = NULL;
    exchanges->queries = NULL;
    exchanges->count = exchanges->room = 0;
}

/* ---- looking up ---- */

static uint8_t lower(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

/* FNV-1a. Equal digests cost a comparison of names and nothing else. */
void fs__dns_key_digest(struct fs__dns_key *key) {
    uint32_t digest = 2166136261u;
    for (size_t i = 0; i < key->name.length; i++)
        digest = (digest ^ lower(key->name.wire[i])) * 16777619u;
    key->digest = (digest ^ ((uint32_t)key->type << 16 | key->query_class)) * 16777619u;
}

/* Bytes that tell lengths of labels are below 64 and so no letters. */
static bool is_same_name(const struct fs__dns_name *a, const struct fs__dns_name *b) {
    if (a->length != b->length)
        return false;
    for (size_t i = 0; i < a->length; i++) {
        if (lower(a->wire[i]) != lower(b->wire[i]))
            return false;
    }
    return true;
}

static bool is_same(const struct fs__dns_exchanges *exchanges, uint32_t at, const struct fs__dns_key *key) {
    const struct fs__dns_entry *entry = &exchanges->entries[at];
    const struct fs__dns_query *query = &exchanges->queries[at];
    return entry->digest == key->digest && query->type == key->type && query->query_class == key->query_class &&
           is_same_name(&query->name, &key->name);
}

uint32_t fs__dns_find_query(const struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key) {
    for (uint32_t i = 0; i < exchanges->count; i++) {
        const struct fs__dns_entry *entry = &exchanges->entries[i];
        if (entry->id == key->id && entry->side == key->side && entry->state == FS__DNS_OUTSTANDING &&
            is_same(exchanges, i, key))
            return i;
    }
    return FS__DNS_NONE;
}

/* Whether a response is rather `a`'s than `b`'s. */
static bool is_preferred(const struct fs__dns_entry *a, const struct fs__dns_entry *b) {
    if (a->state == FS__DNS_OUTSTANDING || b->state == FS__DNS_OUTSTANDING)
        return b->state != FS__DNS_OUTSTANDING || (a->state == b->state && a->exchange < b->exchange);
    if (a->state != b->state)
        return a->state == FS__DNS_UNANSWERED;
    return a->exchange > b->exchange;
}

uint32_t fs__dns_find_response(const struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key) {
    uint32_t best = FS__DNS_NONE;
    for (uint32_t i = 0; i < exchanges->count; i++) {
        const struct fs__dns_entry *entry = &exchanges->entries[i];
        if (entry->id != key->id || entry->side != key->side || (key->name.length && !is_same(exchanges, i, key)))
            continue;
        if (best == FS__DNS_NONE || is_preferred(entry, &exchanges->entries[best]))
            best = i;
    }
    return best;
}

/* ---- time ---- */

static uint64_t deadline_of(const struct fs__dns_entry *entry) {
    return entry->last_ns > UINT64_MAX - FS_DNS_TIMEOUT_NS ? UINT64_MAX : entry->last_ns + FS_DNS_TIMEOUT_NS;
}

static void note_deadline(struct fs__dns_exchanges *exchanges, const struct fs__dns_entry *entry) {
    uint64_t deadline = deadline_of(entry);
    if (deadline < exchanges->deadline_ns)
        exchanges->deadline_ns = deadline;
}

static void report(struct fs__dns_exchanges *exchanges, uint32_t at) {
    exchanges->entries[at].state = FS__DNS_UNANSWERED;
    exchanges->on_unanswered(&exchanges->entries[at], &exchanges->queries[at], exchanges->user);
}

/* The outstanding query that was sent first, of those that are due at `now_ns`. */
static uint32_t first_due(const struct fs__dns_exchanges *exchanges, uint64_t now_ns) {
    uint32_t first = FS__DNS_NONE;
    for (uint32_t i = 0; i < exchanges->count; i++) {
        const struct fs__dns_entry *entry = &exchanges->entries[i];
        if (entry->state == FS__DNS_OUTSTANDING && deadline_of(entry) <= now_ns &&
            (first == FS__DNS_NONE || entry->exchange < exchanges->entries[first].exchange))
            first = i;
    }
    return first;
}

void fs__dns_expire(struct fs__dns_exchanges *exchanges, uint64_t now_ns) {
    if (now_ns < exchanges->deadline_ns)
        return;
    for (uint32_t at; (at = first_due(exchanges, now_ns)) != FS__DNS_NONE;)
        report(exchanges, at);
    exchanges->deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < exchanges->count; i++) {
        if (exchanges->entries[i].state == FS__DNS_OUTSTANDING)
            note_deadline(exchanges, &exchanges->entries[i]);
    }
}

void fs__dns_expire_all(struct fs__dns_exchanges *exchanges) {
    for (uint32_t at; (at = first_due(exchanges, UINT64_MAX)) != FS__DNS_NONE;)
        report(exchanges, at);
}

void fs__dns_sent_again(struct fs__dns_exchanges *exchanges, uint32_t at, uint64_t now_ns) {
    exchanges->entries[at].last_ns = now_ns;
    exchanges->queries[at].retries++;
    note_deadline(exchanges, &exchanges->entries[at]); /* time may have gone backwards */
}

/* ---- adding ---- */

static bool grow(struct fs__dns_exchanges *exchanges) {
    uint32_t room = exchanges->room ? exchanges->room * 2 : ROOM_MINIMUM;
    if (room > FS_DNS_EXCHANGES_MAX)
        return false;
    struct fs__dns_entry *entries = fs__alloc(&exchanges->memory, room * sizeof *entries);
    struct fs__dns_query *queries = entries ? fs__alloc(&exchanges->memory, room * sizeof *queries) : NULL;
    if (!queries) {
        fs__release(&exchanges->memory, entries, room * sizeof *entries);
        return false;
    }
    if (exchanges->count) {
        memcpy(entries, exchanges->entries, exchanges->count * sizeof *entries);
        memcpy(queries, exchanges->queries, exchanges->count * sizeof *queries);
    }
    release(exchanges);
    exchanges->entries = entries;
    exchanges->queries = queries;
    exchanges->room = room;
    return true;
}

/* What gives way to a new query: the oldest that is over, else the oldest. */
static uint32_t oldest(const struct fs__dns_exchanges *exchanges) {
    uint32_t found = FS__DNS_NONE;
    for (uint32_t i = 0; i < exchanges->count; i++) {
        const struct fs__dns_entry *entry = &exchanges->entries[i];
        const struct fs__dns_entry *best = found == FS__DNS_NONE ? NULL : &exchanges->entries[found];
        bool is_over = entry->state != FS__DNS_OUTSTANDING;
        bool best_is_over = best && best->state != FS__DNS_OUTSTANDING;
        if (!best || (is_over == best_is_over ? entry->exchange < best->exchange : is_over))
            found = i;
    }
    return found;
}

static bool is_forgotten(const struct fs__dns_entry *entry, uint64_t now_ns) {
    return entry->state != FS__DNS_OUTSTANDING && deadline_of(entry) <= now_ns;
}

static uint32_t place(struct fs__dns_exchanges *exchanges, uint64_t now_ns) {
    if (exchanges->count < exchanges->room)
        return exchanges->count++;
    uint32_t at = oldest(exchanges);
    if (at != FS__DNS_NONE && is_forgotten(&exchanges->entries[at], now_ns))
        return at;
    if (grow(exchanges))
        return exchanges->count++;
    if (at != FS__DNS_NONE && exchanges->entries[at].state == FS__DNS_OUTSTANDING)
        report(exchanges, at);
    return at;
}

uint32_t fs__dns_add_query(struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key, uint64_t now_ns) {
    uint32_t at = place(exchanges, now_ns);
    if (at == FS__DNS_NONE)
        return at;
    struct fs__dns_entry *entry = &exchanges->entries[at];
    struct fs__dns_query *query = &exchanges->queries[at];
    memset(entry, 0, sizeof *entry);
    entry->exchange = ++exchanges->last_exchange;
    entry->last_ns = now_ns;
    entry->digest = key->digest;
    entry->id = key->id;
    entry->side = key->side;
    query->retries = query->responses = 0;
    query->type = key->type;
    query->query_class = key->query_class;
    query->name.length = key->name.length;
    if (key->name.length)
        memcpy(query->name.wire, key->name.wire, key->name.length);
    note_deadline(exchanges, entry);
    return at;
}
