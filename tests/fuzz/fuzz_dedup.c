/* SPDX-License-Identifier: MIT */
/** @file fuzz_dedup.c
 * Frames from the input, each as it comes, by another way, and from a place of its own: the verdicts must agree with
 * the bytes, and the statistics with the verdicts.
 *
 * First 8 bytes: settings. Then records: link type and what to do (1), time step (1), length (2), bytes.
 */
#include "flowscope/dedup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETTINGS = 8, RECORD = 4, MAX_RECORDS = 512 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static const uint32_t linktypes[] = {FS_LINK_ETHERNET, FS_LINK_RAW, FS_LINK_LINUX_SLL, FS_LINK_IEEE802_11_RADIOTAP};
static const uint64_t steps[] = {0, 1000, 11000, 500000, 1500000, 20000000, 200000000, UINT64_MAX - 1000};

struct run {
    struct fs_dedup *dedup;
    struct fs_dedup_config config;
    uint64_t now_ns, duplicates;
    uint32_t frame;
};

static void check(struct run *run, const struct fs_frame *raw, const uint8_t *elsewhere) {
    struct fs_extract_config config;
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_dedup_frame frame;
    struct fs_dedup_result result;
    fs_extract_config_defaults(&config);
    int count = fs_extract(&config, raw, packets);
    for (int i = 0; i < count; i++) {
        must(!packets[i].ip || (packets[i].ip >= raw->data &&
                                packets[i].ip_captured <= raw->captured - (size_t)(packets[i].ip - raw->data)));
    }
    fs_dedup_frame_set(&frame, raw, packets, count);
    if (elsewhere && frame.ip) /* as after decryption */
        frame.ip = elsewhere + (frame.ip - raw->data);
    enum fs_dedup_verdict verdict = fs_dedup_check(run->dedup, &frame, &result);
    must(verdict == result.verdict && result.mode <= run->config.mode);
    must((result.evidence == FS_DEDUP_STRONG) == (result.grounds != 0));
    must(!(verdict && result.withheld));
    if (verdict) {
        must(result.mode == FS_DEDUP_EXACT || result.evidence == FS_DEDUP_STRONG);
        must(result.original >= 1 && result.original <= result.previous && result.previous < raw->number);
        must(raw->number - result.previous <= run->config.capacity);
        must(result.mode != FS_DEDUP_EXACT || (result.differences & ~(unsigned)FS_DEDUP_INTERFACE) == 0);
        run->duplicates++;
    }
}

static void settings(struct run *run, const uint8_t *data) {
    fs_dedup_config_defaults(&run->config);
    run->config.mode = (enum fs_dedup_mode)(data[0] % FS_DEDUP_MODE_COUNT);
    run->config.capacity = 1U + data[1];
    run->config.exact_window_ns = data[2] == 255 ? UINT64_MAX : data[2] * 100000U;
    run->config.routed_window_ns = data[3] == 255 ? UINT64_MAX : data[3] * 1000000U;
    run->config.compare_bytes = data[4] * 37U;
    run->config.senders = 1U + data[5];
    run->config.prompt_ns = data[6] * 1000U;
    run->config.seed = 1U + data[7];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTINGS)
        return 0;
    struct run run = {.now_ns = 1};
    settings(&run, data);
    run.dedup = fs_dedup_new(&run.config, NULL);
    must(run.dedup != NULL);
    size_t at = SETTINGS;
    for (unsigned n = 0; n < MAX_RECORDS && size - at >= RECORD; n++) {
        const uint8_t *record = data + at;
        size_t length = ((size_t)record[2] << 8 | record[3]) % 1600;
        length = length < size - at - RECORD ? length : size - at - RECORD;
        uint8_t *bytes = malloc(length ? length : 1);
        uint8_t *twin = malloc(length ? length : 1);
        must(bytes && twin);
        memcpy(bytes, record + RECORD, length);
        memcpy(twin, record + RECORD, length);
        run.now_ns += steps[record[1] % 8];
        struct fs_frame raw = {.data = bytes,
                               .captured = (uint32_t)length,
                               .wire_len = (uint32_t)length + (record[0] >> 7),
                               .linktype = linktypes[record[0] % 4],
                               .number = ++run.frame,
                               .interface = record[0] >> 6 & 1,
                               .time_ns = run.now_ns};
        check(&run, &raw, NULL);
        if (record[0] & 4) { /* again, perhaps changed at one place */
            raw.number = ++run.frame;
            if (length && (record[0] & 8))
                bytes[record[1] % length] ^= 1;
            memcpy(twin, bytes, length);
            check(&run, &raw, record[0] & 16 ? twin : NULL);
        }
        free(bytes);
        free(twin);
        at += RECORD + length;
    }
    struct fs_dedup_stats stats;
    fs_dedup_get_stats(run.dedup, &stats);
    uint64_t sum = 0, pairs = stats.pairs_other;
    for (unsigned mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++)
        sum += stats.duplicates[mode][FS_DEDUP_WEAK] + stats.duplicates[mode][FS_DEDUP_STRONG];
    for (uint32_t i = 0; i < stats.pair_count; i++)
        pairs += stats.pairs[i].count;
    must(stats.frames == run.frame && sum == run.duplicates && pairs == sum);
    fs_dedup_free(run.dedup);
    return 0;
}
