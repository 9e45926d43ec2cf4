/* SPDX-License-Identifier: MIT */
#include "flowscope/dedup.h"

#include "allocation.h"
#include "dedup_bytes.h"
#include "dedup_form.h"
#include "dedup_index.h"
#include "dedup_internal.h"
#include "dedup_sender.h"
#include "hints.h"

#include <string.h>

#define WITH(mode) (1U << (mode))

/* What is remembered of each frame, whatever the mode. */
struct recent {
    uint64_t hash; /* of the exact form */
    uint64_t time_ns;
    uint32_t frame;
    uint32_t original; /* first of its chain of copies */
    uint32_t interface;
    uint32_t before; /* number of the frame before it in its chain of the exact index */
};

/* What is remembered besides in routed and rewritten mode. */
struct packet {
    uint64_t hash[FS_DEDUP_MODE_COUNT - 1];   /* of the routed and the rewritten form */
    uint32_t before[FS_DEDUP_MODE_COUNT - 1]; /* in the chains of these */
    struct fs__dedup_facts facts;
};

struct fs_dedup {
    struct fs__memory memory;
    struct fs_dedup_config config;
    struct fs__hasher hasher;
    uint64_t hash_mask;
    struct fs__index index[FS_DEDUP_MODE_COUNT];
    /* Rings, a power of two of places. */
    struct recent *recents;
    struct packet *packets; /* NULL in exact mode */
    struct fs__held *held;  /* NULL without byte comparison */
    struct fs__bytes bytes;
    struct fs__senders senders;
    uint32_t places;
    uint64_t count;  /* frames since reset; the next one's number is one more */
    bool fine_clock; /* times were seen that are apart, but not by more than prompt_ns */
    uint64_t last_ns;
    struct fs_dedup_stats stats;
};

/* The frame that is being checked. */
struct candidate {
    const struct fs_dedup_frame *frame;
    struct fs__ip_view view;
    struct fs__dedup_facts facts;       /* set if it has more than the exact form */
    uint64_t hash[FS_DEDUP_MODE_COUNT]; /* of its forms */
    unsigned forms;                     /* set of WITH(mode) */
};

/* ---- creation ---- */

void fs_dedup_config_defaults(struct fs_dedup_config *config) {
    memset(config, 0, sizeof *config);
    config->mode = FS_DEDUP_EXACT;
    config->capacity = 65536;
    config->exact_window_ns = 1000000;
    config->routed_window_ns = 10000000;
    config->prompt_ns = 10000;
    config->senders = 8192;
}

static bool is_valid(const struct fs_dedup_config *config) {
    return (int)config->mode >= 0 && config->mode < FS_DEDUP_MODE_COUNT && config->capacity >= 1 &&
           config->capacity <= FS_DEDUP_CAPACITY_MAX && config->senders >= 1 &&
           config->senders <= FS_DEDUP_SENDERS_MAX && config->compare_bytes <= SIZE_MAX / 4;
}

static uint32_t power_of_two(uint32_t least, uint32_t start) {
    uint32_t size = start;
    while (size < least)
        size *= 2;
    return size;
}

static size_t index_size(const struct fs_dedup *dedup) {
    return (size_t)dedup->places * FS__BUCKETS_A_FRAME * sizeof(uint32_t);
}

static size_t senders_size(const struct fs_dedup *dedup) {
    return (size_t)power_of_two(dedup->config.senders, 2) * sizeof(struct fs__sender);
}

static bool allocate(struct fs_dedup *dedup) {
    struct fs__memory *memory = &dedup->memory;
    size_t places = dedup->places;
    bool good = (dedup->recents = fs__alloc(memory, places * sizeof *dedup->recents)) != NULL;
    good = good && (dedup->senders.table = fs__alloc(memory, senders_size(dedup))) != NULL;
    for (int mode = 0; good && mode <= (int)dedup->config.mode; mode++)
        good = (dedup->index[mode].heads = fs__alloc(memory, index_size(dedup))) != NULL;
    if (good && dedup->config.mode != FS_DEDUP_EXACT)
        good = (dedup->packets = fs__alloc(memory, places * sizeof *dedup->packets)) != NULL;
    if (good && dedup->config.compare_bytes)
        good = (dedup->held = fs__alloc(memory, places * sizeof *dedup->held)) != NULL &&
               (dedup->bytes.ring = fs__alloc(memory, (size_t)dedup->config.compare_bytes)) != NULL;
    return good;
}

struct fs_dedup *fs_dedup_new(const struct fs_dedup_config *config, const struct fs_allocator *allocator) {
    struct fs_dedup_config defaults;
    if (!config) {
        fs_dedup_config_defaults(&defaults);
        config = &defaults;
    }
    if (!is_valid(config))
        return NULL;
    struct fs__memory memory;
    fs__memory_init(&memory, allocator);
    struct fs_dedup *dedup = fs__alloc(&memory, sizeof *dedup);
    if (!dedup)
        return NULL;
    memset(dedup, 0, sizeof *dedup);
    dedup->memory = memory;
    dedup->config = *config;
    dedup->places = power_of_two(config->capacity, 1);
    if (!allocate(dedup)) {
        fs_dedup_free(dedup);
        return NULL;
    }
    uint64_t seed = config->seed ? config->seed : (uint64_t)(uintptr_t)dedup * 0x9e3779b97f4a7c15u;
    fs__hasher_init(&dedup->hasher, seed);
    dedup->hash_mask = UINT64_MAX;
    dedup->bytes.size = config->compare_bytes;
    dedup->senders.mask = (uint32_t)(senders_size(dedup) / sizeof(struct fs__sender) / 2 - 1);
    for (int mode = 0; mode <= (int)config->mode; mode++) {
        dedup->index[mode].shift = 64;
        for (uint32_t buckets = dedup->places * FS__BUCKETS_A_FRAME; buckets > 1; buckets /= 2)
            dedup->index[mode].shift--;
    }
    fs_dedup_reset(dedup);
    return dedup;
}

void fs_dedup_free(struct fs_dedup *dedup) {
    if (!dedup)
        return;
    struct fs__memory *memory = &dedup->memory;
    size_t places = dedup->places;
    fs__release(memory, dedup->recents, places * sizeof *dedup->recents);
    fs__release(memory, dedup->packets, places * sizeof *dedup->packets);
    fs__release(memory, dedup->held, places * sizeof *dedup->held);
    fs__release(memory, dedup->bytes.ring, (size_t)dedup->config.compare_bytes);
    fs__release(memory, dedup->senders.table, senders_size(dedup));
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++)
        fs__release(memory, dedup->index[mode].heads, index_size(dedup));
    struct fs__memory own = *memory;
    fs__release(&own, dedup, sizeof *dedup);
}

void fs_dedup_reset(struct fs_dedup *dedup) {
    for (int mode = 0; mode <= (int)dedup->config.mode; mode++)
        memset(dedup->index[mode].heads, 0, index_size(dedup));
    memset(dedup->senders.table, 0, senders_size(dedup));
    memset(&dedup->stats, 0, sizeof dedup->stats);
    dedup->senders.frames = 0;
    dedup->bytes.written = 0;
    dedup->count = 0;
    dedup->fine_clock = false;
    dedup->last_ns = 0;
}

size_t fs_dedup_memory(const struct fs_dedup *dedup) {
    return dedup->memory.bytes;
}

void fs_dedup_get_stats(const struct fs_dedup *dedup, struct fs_dedup_stats *stats) {
    *stats = dedup->stats;
}

void fs__dedup_mask_hashes(struct fs_dedup *dedup, uint64_t mask) {
    dedup->hash_mask = mask;
}

/* ---- input ---- */

void fs_dedup_frame_set(struct fs_dedup_frame *out, const struct fs_frame *frame, const struct fs_packet *packets,
                        int count) {
    *out = (struct fs_dedup_frame){.data = frame->data,
                                   .captured = frame->captured,
                                   .wire_len = frame->wire_len,
                                   .linktype = frame->linktype,
                                   .frame = frame->number,
                                   .interface = frame->interface,
                                   .time_ns = frame->time_ns};
    for (int i = count - 1; i >= 0; i--) {
        if (packets[i].flags & FS_PACKET_QUOTED)
            continue;
        out->ip = packets[i].ip;
        out->ip_captured = packets[i].ip_captured;
        return;
    }
}

void fs_dedup_frame_set_packet(struct fs_dedup_frame *out, const struct fs_packet *packet) {
    *out = (struct fs_dedup_frame){.data = packet->ip,
                                   .captured = packet->ip_captured,
                                   .wire_len = packet->ip_len,
                                   .linktype = FS_LINK_RAW,
                                   .frame = packet->frame,
                                   .ip = packet->ip,
                                   .ip_captured = packet->ip_captured,
                                   .time_ns = packet->time_ns};
}

static FS__INLINE void make_candidate(struct fs_dedup *dedup, struct candidate *candidate,
                                      const struct fs_dedup_frame *frame) {
    candidate->frame = frame;
    candidate->forms = WITH(FS_DEDUP_EXACT);
    candidate->hash[FS_DEDUP_EXACT] = fs__dedup_hash_frame(&dedup->hasher, frame) & dedup->hash_mask;
    fs__ip_view_init(&candidate->view, frame->ip, frame->ip_captured);
    if (!candidate->view.ip) {
        dedup->stats.frames_without_ip++;
        return;
    }
    if (dedup->config.mode == FS_DEDUP_EXACT)
        return;
    fs__dedup_facts_init(&candidate->facts, &dedup->hasher, frame, &candidate->view);
    bool rewritten = dedup->config.mode == FS_DEDUP_REWRITTEN;
    candidate->forms |= WITH(FS_DEDUP_ROUTED);
    if (fs__dedup_hash_packet(&dedup->hasher, &candidate->view, &candidate->hash[FS_DEDUP_ROUTED],
                              rewritten ? &candidate->hash[FS_DEDUP_REWRITTEN] : NULL))
        candidate->forms |= WITH(FS_DEDUP_REWRITTEN);
    candidate->hash[FS_DEDUP_ROUTED] &= dedup->hash_mask;
    if (candidate->forms & WITH(FS_DEDUP_REWRITTEN))
        candidate->hash[FS_DEDUP_REWRITTEN] &= dedup->hash_mask;
}

/* ---- the memory of frames ---- */

static uint64_t hash_at(const struct fs_dedup *dedup, int mode, uint32_t place) {
    return mode == FS_DEDUP_EXACT ? dedup->recents[place].hash : dedup->packets[place].hash[mode - 1];
}

static uint32_t *before(const struct fs_dedup *dedup, int mode, uint32_t place) {
    return mode == FS_DEDUP_EXACT ? &dedup->recents[place].before : &dedup->packets[place].before[mode - 1];
}

/* The latest of the last `capacity` frames with the hash: what leads to it, or NULL. */
static FS__INLINE uint32_t *find(const struct fs_dedup *dedup, int mode, uint64_t hash) {
    uint32_t number = (uint32_t)dedup->count + 1;
    uint32_t limit = dedup->count < dedup->config.capacity ? (uint32_t)dedup->count : dedup->config.capacity;
    uint32_t age = 0;
    uint32_t *link = fs__index_head(&dedup->index[mode], hash);
    /* Ages grow along a chain; when numbers wrap, an old link might lead astray, but not in circles. */
    while (number - *link - 1 < limit && number - *link > age) {
        uint32_t place = *link & (dedup->places - 1);
        if (hash_at(dedup, mode, place) == hash)
            return link;
        age = number - *link;
        link = before(dedup, mode, place);
    }
    return NULL;
}

static uint64_t window(const struct fs_dedup *dedup, int mode) {
    return mode == FS_DEDUP_EXACT ? dedup->config.exact_window_ns : dedup->config.routed_window_ns;
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

uint32_t fs__dedup_longest_chain(const struct fs_dedup *dedup) {
    uint32_t number = (uint32_t)dedup->count + 1;
    uint32_t limit = dedup->count < dedup->config.capacity ? (uint32_t)dedup->count : dedup->config.capacity;
    uint32_t longest = 0;
    for (size_t i = 0; i < index_size(dedup) / sizeof(uint32_t); i++) {
        uint32_t length = 0;
        for (uint32_t at = dedup->index[FS_DEDUP_EXACT].heads[i]; number - at - 1 < limit; length++)
            at = *before(dedup, FS_DEDUP_EXACT, at & (dedup->places - 1));
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* The frame at `place` has to go. */
static void forget(struct fs_dedup *dedup, uint32_t place, uint64_t now_ns) {
    uint64_t longest = window(dedup, (int)dedup->config.mode);
    if (longest < dedup->config.exact_window_ns)
        longest = dedup->config.exact_window_ns;
    dedup->stats.evictions++;
    dedup->stats.evictions_in_window += distance(now_ns, dedup->recents[place].time_ns) <= longest;
}

static FS__INLINE void remember(struct fs_dedup *dedup, const struct candidate *candidate, uint32_t original) {
    const struct fs_dedup_frame *frame = candidate->frame;
    uint32_t number = (uint32_t)++dedup->count;
    uint32_t place = number & (dedup->places - 1);
    if (dedup->count > dedup->config.capacity)
        forget(dedup, (number - dedup->config.capacity) & (dedup->places - 1), frame->time_ns);
    struct recent *recent = &dedup->recents[place];
    recent->hash = candidate->hash[FS_DEDUP_EXACT];
    recent->time_ns = frame->time_ns;
    recent->frame = frame->frame;
    recent->original = original;
    recent->interface = frame->interface;
    if (candidate->forms & WITH(FS_DEDUP_ROUTED)) {
        struct packet *packet = &dedup->packets[place];
        packet->hash[0] = candidate->hash[FS_DEDUP_ROUTED];
        packet->hash[1] = candidate->forms & WITH(FS_DEDUP_REWRITTEN) ? candidate->hash[FS_DEDUP_REWRITTEN] : 0;
        packet->facts = candidate->facts;
    }
    for (int mode = 0; mode <= (int)dedup->config.mode; mode++) {
        if (!(candidate->forms & WITH(mode)))
            continue;
        uint32_t *head = fs__index_head(&dedup->index[mode], candidate->hash[mode]);
        *before(dedup, mode, place) = *head;
        *head = number;
    }
    if (dedup->held)
        fs__bytes_keep(&dedup->bytes, frame, &dedup->held[place]);
}

/* ---- judgement ---- */

static bool same_bytes(const struct candidate *candidate, const struct fs_dedup_frame *other, int mode) {
    const struct fs_dedup_frame *frame = candidate->frame;
    if (mode == FS_DEDUP_EXACT)
        return frame->captured == other->captured && frame->wire_len == other->wire_len &&
               frame->linktype == other->linktype &&
               (!frame->captured || memcmp(frame->data, other->data, frame->captured) == 0);
    struct fs__ip_view view;
    fs__ip_view_init(&view, other->ip, other->ip_captured);
    return fs__dedup_same_packet(&candidate->view, &view, (enum fs_dedup_mode)mode);
}

/* Whether equal hashes are to be believed. */
static bool is_verified(struct fs_dedup *dedup, const struct candidate *candidate, int mode, uint32_t place) {
    if (!dedup->held)
        return true;
    struct fs_dedup_frame other;
    if (!fs__bytes_find(&dedup->bytes, &dedup->held[place], &other)) {
        dedup->stats.unverified++;
        return false;
    }
    if (!same_bytes(candidate, &other, mode)) {
        dedup->stats.collisions++;
        return false;
    }
    return true;
}

static unsigned grounds(const struct fs_dedup *dedup, const struct candidate *candidate, int mode, uint32_t place,
                        uint64_t apart) {
    if (!candidate->view.ip)
        return 0;
    uint8_t sent = mode == FS_DEDUP_EXACT ? fs__dedup_dont_fragment(&candidate->view)
                                          : dedup->packets[place].facts.sent_dont_fragment;
    unsigned found =
        fs__senders_grounds(&dedup->senders, &dedup->hasher, &candidate->view, sent, (enum fs_dedup_mode)mode, apart);
    if (apart <= dedup->config.prompt_ns && dedup->fine_clock && dedup->config.prompt_ns &&
        fs__dedup_awaits_reply(&candidate->view))
        found |= FS_DEDUP_BY_DELAY;
    return found;
}

static int64_t signed_delta(uint64_t now_ns, uint64_t then_ns) {
    uint64_t apart = distance(now_ns, then_ns);
    int64_t delta = apart > INT64_MAX ? INT64_MAX : (int64_t)apart;
    return now_ns >= then_ns ? delta : -delta;
}

static void describe(const struct fs_dedup *dedup, const struct candidate *candidate, int mode, uint32_t place,
                     struct fs_dedup_result *result) {
    const struct recent *recent = &dedup->recents[place];
    result->mode = (uint8_t)mode;
    result->previous = recent->frame;
    result->delta_ns = signed_delta(candidate->frame->time_ns, recent->time_ns);
    result->differences = recent->interface != candidate->frame->interface ? FS_DEDUP_INTERFACE : 0;
    if (mode == FS_DEDUP_EXACT) {
        result->hops = candidate->view.ip ? 0 : FS_DEDUP_NO_HOPS;
        return;
    }
    const struct fs__dedup_facts *facts = &dedup->packets[place].facts;
    result->hops = (int16_t)(facts->ttl - candidate->facts.ttl);
    result->differences |= (uint16_t)fs__dedup_compare_facts(facts, &candidate->facts);
}

/* Returns whether the frame is a duplicate of the one at `place`, which has the same hash. */
static bool judge(struct fs_dedup *dedup, const struct candidate *candidate, int mode, uint32_t place,
                  struct fs_dedup_result *result) {
    uint64_t apart = distance(candidate->frame->time_ns, dedup->recents[place].time_ns);
    if (apart > window(dedup, mode)) {
        if (candidate->view.ip)
            fs__senders_note_repeat(&dedup->senders, &dedup->hasher, &candidate->view, apart);
        return false;
    }
    if (!is_verified(dedup, candidate, mode, place))
        return false;
    unsigned found = grounds(dedup, candidate, mode, place, apart);
    if (mode != FS_DEDUP_EXACT && !found) {
        dedup->stats.withheld[mode] += !result->withheld;
        if (!result->withheld)
            describe(dedup, candidate, mode, place, result);
        result->withheld = true;
        return false;
    }
    describe(dedup, candidate, mode, place, result);
    result->withheld = false;
    result->verdict = FS_DEDUP_DUPLICATE;
    result->grounds = (uint8_t)found;
    result->evidence = found ? FS_DEDUP_STRONG : FS_DEDUP_WEAK;
    result->original = dedup->recents[place].original;
    return true;
}

/* ---- statistics ---- */

/* Returns the row. */
static uint8_t count_pair(struct fs_dedup_stats *stats, const struct fs_dedup_pair *pair) {
    for (uint32_t i = 0; i < stats->pair_count; i++) {
        struct fs_dedup_pair *row = &stats->pairs[i];
        if (row->interface_first == pair->interface_first && row->interface_copy == pair->interface_copy &&
            row->vlan_first == pair->vlan_first && row->vlan_copy == pair->vlan_copy && row->hops == pair->hops) {
            row->count += pair->count;
            return (uint8_t)i;
        }
    }
    if (stats->pair_count == FS_DEDUP_PAIRS) {
        stats->pairs_other += pair->count;
        return FS_DEDUP_PAIRS;
    }
    stats->pairs[stats->pair_count] = *pair;
    return (uint8_t)stats->pair_count++;
}

void fs_dedup_stats_add(struct fs_dedup_stats *sum, const struct fs_dedup_stats *other) {
    sum->frames += other->frames;
    sum->frames_without_ip += other->frames_without_ip;
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
        for (int evidence = 0; evidence < FS_DEDUP_EVIDENCE_COUNT; evidence++)
            sum->duplicates[mode][evidence] += other->duplicates[mode][evidence];
        sum->withheld[mode] += other->withheld[mode];
    }
    sum->collisions += other->collisions;
    sum->unverified += other->unverified;
    sum->evictions += other->evictions;
    sum->evictions_in_window += other->evictions_in_window;
    for (uint32_t i = 0; i < other->pair_count; i++)
        (void)count_pair(sum, &other->pairs[i]);
    sum->pairs_other += other->pairs_other;
}

static void count_duplicate(struct fs_dedup *dedup, const struct candidate *candidate, uint32_t place,
                            struct fs_dedup_result *result) {
    dedup->stats.duplicates[result->mode][result->evidence]++;
    struct fs_dedup_pair pair = {.count = 1,
                                 .interface_first = dedup->recents[place].interface,
                                 .interface_copy = candidate->frame->interface,
                                 .vlan_copy = fs__dedup_vlan(candidate->frame),
                                 .hops = result->hops};
    pair.vlan_first = result->mode == FS_DEDUP_EXACT ? pair.vlan_copy : dedup->packets[place].facts.vlan;
    result->pair = count_pair(&dedup->stats, &pair);
}

/* ---- the check ---- */

/* Whether the clock of the capture can show short delays at all. */
static void note_clock(struct fs_dedup *dedup, uint64_t time_ns) {
    if (!dedup->fine_clock)
        dedup->fine_clock = time_ns != dedup->last_ns && distance(time_ns, dedup->last_ns) <= dedup->config.prompt_ns;
    dedup->last_ns = time_ns;
}

static FS__INLINE void check(struct fs_dedup *dedup, struct candidate *candidate, struct fs_dedup_result *result) {
    const struct fs_dedup_frame *frame = candidate->frame;
    *result = (struct fs_dedup_result){.hops = FS_DEDUP_NO_HOPS};
    dedup->stats.frames++;
    note_clock(dedup, frame->time_ns);
    uint32_t original = frame->frame;
    for (int mode = 0; mode <= (int)dedup->config.mode; mode++) {
        uint32_t *link = candidate->forms & WITH(mode) ? find(dedup, mode, candidate->hash[mode]) : NULL;
        if (!link)
            continue;
        uint32_t place = *link & (dedup->places - 1);
        if (!result->verdict && judge(dedup, candidate, mode, place, result)) {
            original = result->original;
            if (result->mode != FS_DEDUP_EXACT)
                candidate->facts.sent_dont_fragment = dedup->packets[place].facts.sent_dont_fragment;
            count_duplicate(dedup, candidate, place, result);
        }
        /* This frame takes its place, so that equal frames make no chain longer. */
        *link = *before(dedup, mode, place);
    }
    remember(dedup, candidate, original);
    if (!result->verdict && candidate->view.ip)
        fs__senders_note(&dedup->senders, &dedup->hasher, &candidate->view, frame->time_ns);
}

enum fs_dedup_verdict fs_dedup_check(struct fs_dedup *dedup, const struct fs_dedup_frame *frame,
                                     struct fs_dedup_result *result) {
    struct candidate candidate;
    make_candidate(dedup, &candidate, frame);
    check(dedup, &candidate, result);
    return (enum fs_dedup_verdict)result->verdict;
}

/* ---- batches ---- */

enum { GROUP = 16 };

static FS__INLINE void prefetch_heads(const struct fs_dedup *dedup, const struct candidate *candidate) {
    for (int mode = 0; mode <= (int)dedup->config.mode; mode++) {
        if (candidate->forms & WITH(mode))
            FS__PREFETCH(fs__index_head(&dedup->index[mode], candidate->hash[mode]));
    }
}

/* Of the chains, whose first frame is mostly the only one. */
static FS__INLINE void prefetch_frames(const struct fs_dedup *dedup, const struct candidate *candidate) {
    uint32_t number = (uint32_t)dedup->count + 1;
    for (int mode = 0; mode <= (int)dedup->config.mode; mode++) {
        if (!(candidate->forms & WITH(mode)))
            continue;
        uint32_t head = *fs__index_head(&dedup->index[mode], candidate->hash[mode]);
        if (number - head - 1 >= dedup->config.capacity)
            continue;
        uint32_t place = head & (dedup->places - 1);
        FS__PREFETCH(&dedup->recents[place]);
        if (dedup->packets)
            FS__PREFETCH(&dedup->packets[place]);
    }
}

/* Each round asks for what the next one reads. What a frame is made into does not depend on those before it. */
static void check_group(struct fs_dedup *dedup, const struct fs_dedup_frame *frames, size_t count,
                        struct fs_dedup_result *results) {
    struct candidate candidates[GROUP];
    for (size_t i = 0; i < count; i++) {
        make_candidate(dedup, &candidates[i], &frames[i]);
        prefetch_heads(dedup, &candidates[i]);
    }
    for (size_t i = 0; i < count; i++)
        prefetch_frames(dedup, &candidates[i]);
    for (size_t i = 0; i < count; i++)
        check(dedup, &candidates[i], &results[i]);
}

void fs_dedup_check_batch(struct fs_dedup *dedup, const struct fs_dedup_frame *frames, size_t count,
                          struct fs_dedup_result *results) {
    for (size_t done = 0; done < count; done += GROUP) {
        size_t left = count - done;
        check_group(dedup, frames + done, left < GROUP ? left : GROUP, results + done);
    }
}
