/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pack.h"

#include <glib.h>
#include <string.h>

enum { WORD = 8, WORDS = (sizeof(struct fs_flow_facts) + WORD - 1) / WORD };

_Static_assert(WORDS <= UINT8_MAX, "their number takes a byte");

/* For each word of eight bytes: a byte that says which of them follow, then these. Zero words in a row are common at
 * the end of what is not TCP, so the number of words comes first. */
void *fs_pack(const struct fs_flow_facts *facts) {
    uint8_t plain[WORDS * WORD] = {0};
    uint8_t packed[1 + WORDS * (1 + WORD)];
    memcpy(plain, facts, sizeof *facts);
    size_t words = WORDS;
    static const uint8_t zero[WORD];
    while (words && memcmp(plain + (words - 1) * WORD, zero, WORD) == 0)
        words--;
    size_t used = 0;
    packed[used++] = (uint8_t)words;
    for (size_t word = 0; word < words; word++) {
        size_t mask_at = used++;
        unsigned mask = 0;
        for (unsigned i = 0; i < WORD; i++) {
            if (!plain[word * WORD + i])
                continue;
            mask |= 1U << i;
            packed[used++] = plain[word * WORD + i];
        }
        packed[mask_at] = (uint8_t)mask;
    }
    void *copy = g_malloc(used);
    memcpy(copy, packed, used);
    return copy;
}

void fs_unpack(const void *packed, struct fs_flow_facts *facts) {
    const uint8_t *at = packed;
    uint8_t plain[WORDS * WORD] = {0};
    size_t words = *at++;
    for (size_t word = 0; word < words; word++) {
        unsigned mask = *at++;
        for (unsigned i = 0; i < WORD; i++) {
            if (mask >> i & 1)
                plain[word * WORD + i] = *at++;
        }
    }
    memcpy(facts, plain, sizeof *facts);
}
