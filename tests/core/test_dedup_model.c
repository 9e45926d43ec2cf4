/* SPDX-License-Identifier: MIT */
/* The duplicate detector against a slow twin that keeps every frame's description and compares with all of them,
 * written from docs/duplicates.md.
 *
 *     FLOWSCOPE_SEED=N   first case; default 1
 *     FLOWSCOPE_CASES=N  how many; default 24000
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dedup_internal.h"
#include "dedup_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FRAMES = 48, SOURCES = 2 };

#define US(n) ((uint64_t)(n)*1000u)

struct seen {
    struct description d;
    uint64_t time_ns;
    uint32_t interface;
    uint32_t original;
    uint8_t sent_may_fragment; /* of the first of its chain of copies */
};

struct model_sender {
    unsigned known, advances;
    struct {
        uint16_t id;
        uint32_t seq, length;
    } recent[4]; /* newest first */
    bool repeats;
    bool timed;
    uint64_t first_ns, tick_ns;
    uint32_t first_value;
};

struct model {
    struct fs_dedup_config config;
    bool all_collide;
    struct seen seen[FRAMES];
    unsigned count;
    struct model_sender ids[3][2][SOURCES]; /* by kind, whether it may be fragmented, and source */
    struct model_sender clocks[3][SOURCES]; /* by kind and source */
    bool fine_clock;
    uint64_t last_ns;
    uint64_t evictions, collisions;
};

/* ---- equality ---- */

static bool equal(const struct description *a, const struct description *b, int mode) {
    struct description x = *a, y = *b;
    if (mode >= FS_DEDUP_ROUTED) {
        x.around = y.around = x.ttl = y.ttl = x.tos = y.tos = 0;
        x.vlan = y.vlan = x.ip_checksum = y.ip_checksum = 0;
        x.flow_label = y.flow_label = 0;
    }
    if (mode == FS_DEDUP_REWRITTEN) {
        if (x.mss && y.mss)
            x.mss = y.mss = 1;
        x.tcp_checksum = y.tcp_checksum = 0;
        x.timestamp = y.timestamp = 0;
        x.flags &= 0x3f;
        y.flags &= 0x3f;
        x.may_fragment = y.may_fragment = 0;
    }
    return memcmp(&x, &y, sizeof x) == 0;
}

static bool has_form(const struct description *d, int mode) {
    return mode == FS_DEDUP_EXACT || (d->kind != KIND_OTHER && (mode == FS_DEDUP_ROUTED || d->kind != KIND_UDP));
}

/* Index of the latest frame that it has to be compared with, or -1. */
static int find(const struct model *model, const struct description *d, int mode) {
    unsigned oldest = model->count > model->config.capacity ? model->count - model->config.capacity : 0;
    for (unsigned i = model->count; i-- > oldest;) {
        const struct description *other = &model->seen[i].d;
        if (has_form(other, mode) && (model->all_collide || equal(d, other, mode)))
            return (int)i;
    }
    return -1;
}

/* ---- evidence ---- */

static bool has_id(const struct description *d) {
    return (d->kind == KIND_TCP || d->kind == KIND_UDP) && d->id;
}

static bool has_clock(const struct description *d) {
    return (d->kind == KIND_TCP || d->kind == KIND_TCP6) && !d->no_timestamp;
}

static uint32_t length_of(const struct description *d) {
    return d->payload_length + (d->mss ? 4U : 0U) + (d->no_timestamp ? 0U : 12U);
}

static unsigned grounds(const struct model *model, const struct description *d, uint8_t may_fragment, int mode,
                        uint64_t apart) {
    unsigned found = 0;
    if (d->kind == KIND_OTHER)
        return 0;
    if (has_id(d)) {
        const struct model_sender *sender = &model->ids[d->kind][may_fragment][d->source];
        if (sender->advances >= 2 && !sender->repeats)
            found |= FS_DEDUP_BY_ID;
    } else if (has_clock(d) && mode != FS_DEDUP_REWRITTEN) {
        const struct model_sender *sender = &model->clocks[d->kind][d->source];
        if (sender->tick_ns && apart > sender->tick_ns)
            found |= FS_DEDUP_BY_TIMESTAMP;
    }
    bool data = d->kind != KIND_UDP && !(d->flags & 6) && (d->payload_length || (d->flags & 1));
    if (data && model->fine_clock && apart <= model->config.prompt_ns)
        found |= FS_DEDUP_BY_DELAY;
    return found;
}

static void note_id(struct model_sender *sender, const struct description *d) {
    uint32_t seq = d->kind == KIND_UDP ? length_of(d) : d->seq;
    for (unsigned i = 0; i < sender->known; i++) {
        if (sender->recent[i].id != d->id)
            continue;
        if (sender->recent[i].seq != seq || sender->recent[i].length != length_of(d))
            sender->advances = 0;
        return;
    }
    if (sender->known && sender->advances < 8)
        sender->advances++;
    memmove(&sender->recent[1], &sender->recent[0], 3 * sizeof sender->recent[0]);
    sender->recent[0].id = d->id;
    sender->recent[0].seq = seq;
    sender->recent[0].length = length_of(d);
    sender->known += sender->known < 4;
}

static void note_clock(struct model_sender *sender, const struct description *d, uint64_t time_ns) {
    int64_t ticks = (int64_t)d->timestamp - sender->first_value;
    if (!sender->timed || ticks < 0 || time_ns < sender->first_ns) {
        *sender = (struct model_sender){.timed = true, .first_ns = time_ns, .first_value = d->timestamp};
        return;
    }
    if (ticks >= 8)
        sender->tick_ns = (time_ns - sender->first_ns) / (uint64_t)ticks * 2 + 1;
}

/* ---- the model's check ---- */

static void describe(const struct model *model, const struct seen *now, const struct seen *then, int mode,
                     struct fs_dedup_result *result) {
    const struct description *a = &then->d, *b = &now->d;
    result->mode = (uint8_t)mode;
    result->previous = (uint32_t)(then - model->seen) + 1;
    result->delta_ns = (int64_t)(now->time_ns - then->time_ns);
    result->hops = b->kind == KIND_OTHER ? FS_DEDUP_NO_HOPS : (int16_t)(a->ttl - b->ttl);
    unsigned different = then->interface != now->interface ? FS_DEDUP_INTERFACE : 0U;
    if (a->around != b->around || a->vlan != b->vlan) {
        if ((a->around == AROUND_VXLAN) != (b->around == AROUND_VXLAN))
            different |= FS_DEDUP_ENCAPSULATION;
        if ((a->around == AROUND_VLAN) != (b->around == AROUND_VLAN) ||
            (a->around == AROUND_VLAN && a->vlan != b->vlan))
            different |= FS_DEDUP_VLAN;
    }
    different |= a->ttl != b->ttl ? FS_DEDUP_TTL : 0U;
    different |= a->tos != b->tos ? FS_DEDUP_TOS : 0U;
    different |= a->ip_checksum != b->ip_checksum ? FS_DEDUP_IP_CHECKSUM : 0U;
    different |= a->flow_label != b->flow_label ? FS_DEDUP_FLOW_LABEL : 0U;
    different |= a->may_fragment != b->may_fragment ? FS_DEDUP_DONT_FRAGMENT : 0U;
    different |= a->mss != b->mss ? FS_DEDUP_MSS : 0U;
    different |= a->timestamp != b->timestamp ? FS_DEDUP_TIMESTAMPS : 0U;
    different |= a->tcp_checksum != b->tcp_checksum ? FS_DEDUP_TCP_CHECKSUM : 0U;
    different |= (a->flags ^ b->flags) & 0xc0 ? FS_DEDUP_TCP_ECN : 0U;
    result->differences = (uint16_t)different;
}

static void check(struct model *model, const struct seen *frame, struct fs_dedup_result *result) {
    struct seen now = *frame;
    *result = (struct fs_dedup_result){.hops = FS_DEDUP_NO_HOPS};
    uint64_t step = now.time_ns > model->last_ns ? now.time_ns - model->last_ns : model->last_ns - now.time_ns;
    model->fine_clock |= step > 0 && step <= model->config.prompt_ns;
    model->last_ns = now.time_ns;
    model->evictions += model->count >= model->config.capacity;
    now.original = model->count + 1;
    now.sent_may_fragment = now.d.may_fragment;
    for (int mode = 0; mode <= (int)model->config.mode && !result->verdict; mode++) {
        int found = has_form(&now.d, mode) ? find(model, &now.d, mode) : -1;
        if (found < 0)
            continue;
        const struct seen *then = &model->seen[found];
        uint64_t apart = now.time_ns > then->time_ns ? now.time_ns - then->time_ns : then->time_ns - now.time_ns;
        uint64_t window = mode == FS_DEDUP_EXACT ? model->config.exact_window_ns : model->config.routed_window_ns;
        if (apart > window) {
            if (has_id(&now.d) && apart >= 100000000)
                model->ids[now.d.kind][now.d.may_fragment][now.d.source].repeats = true;
            continue;
        }
        if (!equal(&now.d, &then->d, mode)) {
            model->collisions++;
            continue;
        }
        uint8_t may_fragment = mode == FS_DEDUP_EXACT ? now.d.may_fragment : then->sent_may_fragment;
        unsigned why = grounds(model, &now.d, may_fragment, mode, apart);
        if (mode != FS_DEDUP_EXACT && !why) {
            if (!result->withheld)
                describe(model, &now, then, mode, result);
            result->withheld = true;
            continue;
        }
        describe(model, &now, then, mode, result);
        result->withheld = false;
        result->verdict = FS_DEDUP_DUPLICATE;
        result->grounds = (uint8_t)why;
        result->evidence = why ? FS_DEDUP_STRONG : FS_DEDUP_WEAK;
        result->original = now.original = then->original;
        now.sent_may_fragment = may_fragment;
    }
    model->seen[model->count++] = now;
    if (result->verdict || now.d.kind == KIND_OTHER)
        return;
    if (has_id(&now.d))
        note_id(&model->ids[now.d.kind][now.d.may_fragment][now.d.source], &now.d);
    else if (has_clock(&now.d))
        note_clock(&model->clocks[now.d.kind][now.d.source], &now.d, now.time_ns);
}

/* ---- random cases ---- */

static uint64_t random_state;

static uint64_t random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned below(unsigned n) {
    return (unsigned)(random_next() % n);
}

static struct description random_packet(uint16_t *next_id, uint64_t time_ns) {
    struct description d = {.kind = (uint8_t)below(4), .source = (uint8_t)below(SOURCES), .ttl = 64, .flags = 0x10};
    d.payload_length = below(3) ? (uint8_t)(1 + below(3) * 60) : 0;
    d.payload = d.payload_length ? (uint8_t)below(2) : 0;
    if (d.kind == KIND_OTHER)
        return (struct description){.kind = KIND_OTHER, .payload_length = d.payload_length, .payload = d.payload};
    if (d.kind != KIND_TCP6)
        d.id = below(4) == 0 ? 0 : below(8) == 0 ? 5 : (*next_id)++;
    if (d.kind == KIND_UDP) {
        d.flags = 0;
        d.no_timestamp = 1;
        return d;
    }
    static const uint8_t flags[] = {0x10, 0x10, 0x11, 0x14, 0x02};
    d.flags = flags[below(5)];
    d.seq = below(3);
    d.no_timestamp = below(3) == 0;
    d.mss = below(3) ? 0 : 1460;
    if (!d.no_timestamp)
        d.timestamp = (uint32_t)(time_ns / 1000000) + 1;
    return d;
}

/* What happens to packets on their way. */
static void change(struct description *d) {
    if (d->kind == KIND_OTHER)
        return;
    if (below(2)) {
        d->ttl = (uint8_t)(60 + below(5));
        if (d->kind != KIND_TCP6)
            d->ip_checksum = (uint16_t)below(3);
    }
    d->around = (uint8_t)(below(3) ? d->around : below(3));
    d->vlan = d->around == AROUND_VLAN ? (uint16_t)(1 + below(2)) : 0;
    if (below(4) == 0)
        d->tos = (uint8_t)below(4);
    if (below(4) == 0 && d->kind == KIND_TCP6)
        d->flow_label = below(3);
    if (below(4) || d->kind == KIND_UDP)
        return;
    d->mss = d->mss ? (uint16_t)(1400 + below(2)) : 0;
    d->tcp_checksum = (uint16_t)below(3);
    d->flags ^= below(3) ? 0 : 0x40;
    d->timestamp += d->no_timestamp ? 0 : below(2);
    if (d->kind == KIND_TCP)
        d->may_fragment = (uint8_t)below(2);
}

static uint64_t random_step(void) {
    static const uint64_t steps[] = {0, US(1), US(10), US(11), US(400), US(1000), US(3000), US(10000), US(150000)};
    return steps[below(below(3) ? 6 : 9)];
}

struct coverage {
    uint64_t duplicates[FS_DEDUP_MODE_COUNT][2], grounds[3], withheld, collisions, evictions, backwards;
};

static void random_config(struct model *model) {
    memset(model, 0, sizeof *model);
    fs_dedup_config_defaults(&model->config);
    model->config.mode = (enum fs_dedup_mode)below(3);
    model->config.capacity = below(3) == 0 ? 1 + below(4) : below(2) ? 1 + below(FRAMES) : 100;
    model->config.seed = random_next();
    model->config.senders = 16384; /* enough for none to be forgotten */
    static const uint64_t windows[] = {0, US(11), US(1000), US(10000), UINT64_MAX};
    model->config.exact_window_ns = below(2) ? US(1000) : windows[below(5)];
    model->config.routed_window_ns = below(2) ? US(10000) : windows[below(5)];
    model->config.compare_bytes = below(2) ? 0 : 320 * FRAMES * 2;
    model->all_collide = model->config.compare_bytes && below(3) == 0;
}

static bool is_equal(const struct fs_dedup_result *a, const struct fs_dedup_result *b) {
    return a->verdict == b->verdict && a->mode == b->mode && a->evidence == b->evidence && a->grounds == b->grounds &&
           a->withheld == b->withheld && a->pair == b->pair && a->original == b->original &&
           a->previous == b->previous && a->delta_ns == b->delta_ns && a->hops == b->hops &&
           a->differences == b->differences;
}

/* A detector that gets the frames in two calls says what the one did that got them one by one. */
static void check_batches(const struct model *model, const struct fs_dedup_frame *frames,
                          const struct fs_dedup_result *wanted, const struct fs_dedup_stats *wanted_stats) {
    struct fs_dedup_result results[FRAMES];
    struct fs_dedup_stats stats;
    struct fs_dedup *dedup = fs_dedup_new(&model->config, NULL);
    assert_non_null(dedup);
    if (model->all_collide)
        fs__dedup_mask_hashes(dedup, 0);
    unsigned first = below(FRAMES + 1);
    fs_dedup_check_batch(dedup, frames, first, results);
    fs_dedup_check_batch(dedup, frames + first, FRAMES - first, results + first);
    for (unsigned n = 0; n < FRAMES; n++)
        assert_true(is_equal(&results[n], &wanted[n]));
    fs_dedup_get_stats(dedup, &stats);
    assert_memory_equal(&stats, wanted_stats, sizeof stats);
    fs_dedup_free(dedup);
}

static void run_case(uint64_t seed, struct coverage *coverage) {
    static struct model model;
    static struct built all_built[FRAMES];
    struct fs_dedup_frame frames[FRAMES];
    struct fs_dedup_result results[FRAMES], wanted;
    random_state = seed * 0x100000001b3u;
    random_config(&model);
    struct fs_dedup *dedup = fs_dedup_new(&model.config, NULL);
    assert_non_null(dedup);
    if (model.all_collide)
        fs__dedup_mask_hashes(dedup, 0);
    uint64_t now_ns = 1000000000;
    uint16_t next_id = 100;
    for (unsigned n = 0; n < FRAMES; n++) {
        uint64_t step = random_step();
        bool back = below(10) == 0;
        now_ns = back ? now_ns - step : now_ns + step;
        coverage->backwards += back && step;
        struct seen seen = {.d = random_packet(&next_id, now_ns), .time_ns = now_ns, .interface = below(3) == 0};
        if (n && below(2)) {
            unsigned back_by = below(4) ? 1 + below(n < 3 ? n : 3) : 1 + below(n);
            seen.d = model.seen[n - back_by].d;
            if (below(2))
                change(&seen.d);
        }
        build(&all_built[n], &seen.d);
        frame_of(&frames[n], &all_built[n], n + 1, now_ns);
        frames[n].interface = seen.interface;
        fs_dedup_check(dedup, &frames[n], &results[n]);
        const struct fs_dedup_result got = results[n];
        check(&model, &seen, &wanted);
        if (got.verdict != wanted.verdict || got.mode != wanted.mode || got.evidence != wanted.evidence ||
            got.grounds != wanted.grounds || got.withheld != wanted.withheld || got.original != wanted.original ||
            got.previous != wanted.previous || got.delta_ns != wanted.delta_ns || got.hops != wanted.hops ||
            got.differences != wanted.differences)
            fail_msg(
                "FLOWSCOPE_SEED=%" PRIu64 " frame %u (mode %d): got verdict %d mode %d grounds %d withheld %d original "
                "%u previous %u hops %d differences %x, wanted %d %d %d %d %u %u %d %x",
                seed, n + 1, (int)model.config.mode, got.verdict, got.mode, got.grounds, got.withheld, got.original,
                got.previous, got.hops, (unsigned)got.differences, wanted.verdict, wanted.mode, wanted.grounds,
                wanted.withheld, wanted.original, wanted.previous, wanted.hops, (unsigned)wanted.differences);
        if (got.verdict)
            coverage->duplicates[got.mode][got.evidence]++;
        for (unsigned bit = 0; bit < 3; bit++)
            coverage->grounds[bit] += got.grounds >> bit & 1;
        coverage->withheld += got.withheld;
    }
    struct fs_dedup_stats stats;
    fs_dedup_get_stats(dedup, &stats);
    assert_int_equal(stats.frames, FRAMES);
    assert_int_equal(stats.collisions, model.collisions);
    assert_int_equal(stats.evictions, model.evictions);
    assert_int_equal(stats.unverified, 0);
    coverage->collisions += stats.collisions;
    coverage->evictions += stats.evictions;
    check_batches(&model, frames, results, &stats);
    fs_dedup_free(dedup);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_detector_and_model_agree(void **state) {
    (void)state;
    struct coverage coverage = {.withheld = 0};
    uint64_t first = number_from("FLOWSCOPE_SEED", 1);
    uint64_t cases = number_from("FLOWSCOPE_CASES", 24000);
    for (uint64_t i = 0; i < cases; i++)
        run_case(first + i, &coverage);
    if (cases < 1000)
        return;
    /* A generator that has lost its way must fail. */
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++)
        printf("%s: %" PRIu64 " weak, %" PRIu64 " strong\n", fs_dedup_mode_name(mode), coverage.duplicates[mode][0],
               coverage.duplicates[mode][1]);
    printf("by id %" PRIu64 ", by timestamp %" PRIu64 ", by delay %" PRIu64 "; withheld %" PRIu64
           ", collisions %" PRIu64 ", evictions %" PRIu64 "\n",
           coverage.grounds[0], coverage.grounds[1], coverage.grounds[2], coverage.withheld, coverage.collisions,
           coverage.evictions);
    assert_true(coverage.duplicates[FS_DEDUP_EXACT][FS_DEDUP_WEAK] > cases);
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++)
        assert_true(coverage.duplicates[mode][FS_DEDUP_STRONG] > cases / 20);
    assert_int_equal(coverage.duplicates[FS_DEDUP_ROUTED][FS_DEDUP_WEAK], 0);
    assert_int_equal(coverage.duplicates[FS_DEDUP_REWRITTEN][FS_DEDUP_WEAK], 0);
    for (unsigned bit = 0; bit < 3; bit++)
        assert_true(coverage.grounds[bit] > cases / 100);
    assert_true(coverage.withheld > cases / 10);
    assert_true(coverage.collisions > cases / 10);
    assert_true(coverage.evictions > cases);
    assert_true(coverage.backwards > cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_detector_and_model_agree)};
    return cmocka_run_group_tests_name("dedup_model", tests, NULL, NULL);
}
