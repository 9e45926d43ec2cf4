/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pack.h"

#include <glib.h>
#include <string.h>

enum { WORD = 8, WORDS = (sizeof(struct fs_flow_facts) + WORD - 1) / WORD, LENGTH_BITS = 4, LENGTH_MASK = 15 };

_Static_assert(WORDS <= UINT8_MAX, "their number takes a byte");

/* Bytes of a word without the zeros above the highest one that is set, 0 to 8. */
static unsigned length_of(uint64_t word) {
    return word ? (unsigned)(WORD - __builtin_clzll(word) / 8) : 0;
}

/* How many words there are without the zero ones at the end: much is zero in what is not TCP. */
static size_t used_words(const uint64_t *words) {
    size_t count = WORDS;
    while (count && !words[count - 1])
        count--;
    return count;
}

static size_t lengths_size(size_t words) {
    return (words + 1) / 2;
}

/* The number of words, the length of each in four bits, then so many bytes of each, lowest first: most are small
 * numbers. Whole words are written and read, so that nothing depends on their lengths but where the next one goes. */
void *fs_pack(const struct fs_flow_facts *facts) {
    uint64_t words[WORDS + 1] = {0};
    uint8_t packed[1 + (WORDS + 1) / 2 + (WORDS + 1) * WORD];
    memcpy(words, facts, sizeof *facts);
    size_t count = used_words(words);
    uint8_t *lengths = packed + 1;
    uint8_t *end = lengths + lengths_size(count);
    packed[0] = (uint8_t)count;
    for (size_t i = 0; i < count; i += 2) {
        unsigned first = length_of(words[i]);
        unsigned second = length_of(words[i + 1]);
        uint64_t low = GUINT64_TO_LE(words[i]);
        uint64_t high = GUINT64_TO_LE(words[i + 1]);
        lengths[i / 2] = (uint8_t)(first | second << LENGTH_BITS);
        memcpy(end, &low, WORD);
        memcpy(end + first, &high, WORD);
        end += first + second;
    }
    size_t size = (size_t)(end - packed);
    void *copy = g_malloc(size + WORD); /* a whole word is read at the last one */
    memcpy(copy, packed, size);
    return copy;
}

static const uint8_t *read_word(const uint8_t *at, unsigned length, uint64_t *word) {
    uint64_t value;
    memcpy(&value, at, WORD);
    value = GUINT64_FROM_LE(value);
    *word = length ? value & UINT64_MAX >> 8 * (WORD - length) : 0;
    return at + length;
}

void fs_unpack(const void *packed, struct fs_flow_facts *facts) {
    uint64_t words[WORDS + 1] = {0};
    const uint8_t *lengths = (const uint8_t *)packed + 1;
    size_t count = lengths[-1];
    const uint8_t *at = lengths + lengths_size(count);
    for (size_t i = 0; i < count; i++)
        at = read_word(at, lengths[i / 2] >> (i % 2 ? LENGTH_BITS : 0) & LENGTH_MASK, &words[i]);
    memcpy(facts, words, sizeof *facts);
}
