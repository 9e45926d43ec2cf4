/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "duplicates.h"

#include <stdio.h>

static int proto_flowscope = -1;
static int ett_duplicate = -1;
static int hf_duplicate = -1, hf_of = -1, hf_previous = -1, hf_delta = -1, hf_hops = -1, hf_reason = -1,
           hf_evidence = -1, hf_pair = -1;
static expert_field ei_many = EI_INIT;

void fs_duplicates_register(int proto) {
    static hf_register_info fields[] = {
        {&hf_duplicate,
         {"Duplicate", "flowscope.duplicate", FT_BOOLEAN, BASE_NONE, TFS(&tfs_yes_no), 0,
          "The frame is a copy of an earlier one (preferences flowscope.duplicates and .duplicate_mode)", HFILL}},
        {&hf_of,
         {"Copy of frame", "flowscope.duplicate_of", FT_FRAMENUM, BASE_NONE, FRAMENUM_TYPE(FT_FRAMENUM_DUP_ACK), 0,
          "First frame of the chain of copies", HFILL}},
        {&hf_previous,
         {"Compared with frame", "flowscope.duplicate.previous", FT_FRAMENUM, BASE_NONE, NULL, 0,
          "Latest frame that was equal: time, hops and differences refer to it", HFILL}},
        {&hf_delta,
         {"Time since that frame", "flowscope.duplicate.delta", FT_RELATIVE_TIME, BASE_NONE, NULL, 0,
          "Negative where time stepped backwards", HFILL}},
        {&hf_hops,
         {"Hops since that frame", "flowscope.duplicate.hops", FT_INT16, BASE_DEC, NULL, 0,
          "How much further on the path it was captured, by TTL or hop limit; none without IP", HFILL}},
        {&hf_reason,
         {"Reason", "flowscope.duplicate.reason", FT_STRING, BASE_NONE, NULL, 0,
          "Mode in which the frames are equal, and what differed nevertheless", HFILL}},
        {&hf_evidence,
         {"Evidence", "flowscope.duplicate.evidence", FT_STRING, BASE_NONE, NULL, 0,
          "strong: sent twice, it would look different; weak: the sender may have sent it twice", HFILL}},
        {&hf_pair,
         {"Pair of places", "flowscope.duplicate.pair", FT_UINT8, BASE_DEC, NULL, 0,
          "Where first and copy were captured: number of the pair, in order of appearance", HFILL}},
    };
    static int *subtrees[] = {&ett_duplicate};
    static ei_register_info infos[] = {
        {&ei_many,
         {"flowscope.expert.many_duplicates", PI_SEQUENCE, PI_NOTE,
          "More than 20 % of the frames so far are copies of others: see the preference flowscope.duplicates",
          EXPFILL}},
    };
    _Static_assert(FS_MANY_PERCENT == 20, "as the text says");
    proto_flowscope = proto;
    proto_register_field_array(proto, fields, (int)FS_LENGTH_OF(fields));
    proto_register_subtree_array(subtrees, (int)FS_LENGTH_OF(subtrees));
    expert_register_field_array(expert_register_protocol(proto), infos, (int)FS_LENGTH_OF(infos));
}

/* ---- one frame ---- */

enum { NAMES = 256 };

void fs_duplicates_join(char *text, size_t size, unsigned bits, const char *(*name)(unsigned)) {
    (void)g_strlcpy(text, bits ? "" : "-", size);
    for (unsigned bit = 1; bit && bit <= bits; bit <<= 1) {
        if (!(bits & bit))
            continue;
        if (text[0])
            (void)g_strlcat(text, "+", size);
        (void)g_strlcat(text, name(bit), size);
    }
}

static void write_reason(const struct fs_duplicate *duplicate, char text[NAMES]) {
    char differences[NAMES];
    fs_duplicates_join(differences, NAMES, duplicate->differences, fs_dedup_difference_name);
    snprintf(text, NAMES, duplicate->differences ? "%s: %s" : "%s", fs_dedup_mode_name(duplicate->mode), differences);
}

static proto_item *show_summary(tvbuff_t *tvb, proto_tree *tree, const struct fs_duplicate *duplicate) {
    static const char *const treatments[FS_TREATMENT_COUNT] = {"marked", "excluded", "counted as any other"};
    char grounds[NAMES];
    proto_item *item;
    if (!duplicate) {
        item = proto_tree_add_protocol_format(tree, proto_flowscope, tvb, 0, 0, "Flowscope, many duplicates");
    } else {
        fs_duplicates_join(grounds, NAMES, duplicate->grounds, fs_dedup_ground_name);
        item = proto_tree_add_protocol_format(
            tree, proto_flowscope, tvb, 0, 0, "Flowscope, duplicate of frame %u, %s, %s evidence%s%s, %s",
            duplicate->original, fs_dedup_mode_name(duplicate->mode), fs_dedup_evidence_name(duplicate->evidence),
            duplicate->grounds ? " by " : "", duplicate->grounds ? grounds : "", treatments[duplicate->treatment]);
    }
    proto_item_set_generated(item);
    return item;
}

/* Interfaces of later sections have the section before them. */
static void write_place(char *text, size_t size, uint32_t interface, uint16_t vlan) {
    char section[16] = "", tag[16] = "";
    if (interface >> 16)
        snprintf(section, sizeof section, "%u/", (interface >> 16) + 1);
    if (vlan != FS_DEDUP_NO_VLAN)
        snprintf(tag, sizeof tag, ", VLAN %u", vlan);
    snprintf(text, size, "%s%u%s", section, interface & 0xffff, tag);
}

static void write_pair(char *text, size_t size, const struct fs_dedup_pair *pair) {
    char first[32], copy[32], hops[24] = "";
    write_place(first, sizeof first, pair->interface_first, pair->vlan_first);
    write_place(copy, sizeof copy, pair->interface_copy, pair->vlan_copy);
    if (pair->hops != FS_DEDUP_NO_HOPS)
        snprintf(hops, sizeof hops, "; hops: %d", pair->hops);
    snprintf(text, size, "interface %s to %s%s", first, copy, hops);
}

/* With a read filter, numbers are given again: a frame may seem to be its own copy. */
static void add_frame(tvbuff_t *tvb, proto_tree *tree, int field, uint32_t value, uint32_t frame) {
    if (value && value != frame)
        proto_item_set_generated(proto_tree_add_uint(tree, field, tvb, 0, 0, value));
}

static void show_pair(tvbuff_t *tvb, proto_tree *tree, uint8_t number) {
    struct fs_dedup_pair pair;
    char text[128] = "elsewhere";
    if (fs_store_duplicate_pair(number, &pair))
        write_pair(text, sizeof text, &pair);
    proto_item_set_generated(
        proto_tree_add_uint_format_value(tree, hf_pair, tvb, 0, 0, number, "%u (%s)", number, text));
}

static void show_fields(tvbuff_t *tvb, proto_tree *tree, const struct fs_duplicate *duplicate) {
    char reason[NAMES];
    const int64_t second = 1000000000;
    nstime_t delta = {(time_t)(duplicate->delta_ns / second), (int)(duplicate->delta_ns % second)};
    write_reason(duplicate, reason);
    proto_item_set_generated(proto_tree_add_boolean(tree, hf_duplicate, tvb, 0, 0, 1));
    add_frame(tvb, tree, hf_of, duplicate->original, duplicate->frame);
    add_frame(tvb, tree, hf_previous, duplicate->previous, duplicate->frame);
    proto_item_set_generated(proto_tree_add_time(tree, hf_delta, tvb, 0, 0, &delta));
    if (duplicate->hops != FS_DEDUP_NO_HOPS)
        proto_item_set_generated(proto_tree_add_int(tree, hf_hops, tvb, 0, 0, duplicate->hops));
    proto_item_set_generated(proto_tree_add_string(tree, hf_reason, tvb, 0, 0, reason));
    proto_item_set_generated(
        proto_tree_add_string(tree, hf_evidence, tvb, 0, 0, fs_dedup_evidence_name(duplicate->evidence)));
    show_pair(tvb, tree, duplicate->pair);
}

/* The text of a copy is not made for filters that ask for flows. */
static bool is_wanted(proto_tree *tree) {
    static const int *const fields[] = {&hf_duplicate, &hf_of,     &hf_previous, &hf_delta,
                                        &hf_hops,      &hf_reason, &hf_evidence, &hf_pair};
    for (size_t i = 0; i < FS_LENGTH_OF(fields); i++) {
        if (proto_field_is_referenced(tree, *fields[i]))
            return true;
    }
    return false;
}

void fs_duplicates_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct fs_duplicate *duplicate) {
    bool is_many = fs_store_many_duplicates() == pinfo->num;
    proto_item *item = NULL;
    if (duplicate && duplicate->treatment == FS_DUPLICATE_WITHHELD)
        duplicate = NULL;
    if ((!duplicate && !is_many) || !fs_store_remembers(pinfo->num))
        return;
    if (tree && (is_many || is_wanted(tree))) {
        item = show_summary(tvb, tree, duplicate);
        if (duplicate)
            show_fields(tvb, proto_item_add_subtree(item, ett_duplicate), duplicate);
    }
    if (is_many)
        expert_add_info(pinfo, item, &ei_many);
}

/* ---- totals ---- */

static bool is_same_place(const struct fs_dedup_pair *a, const struct fs_dedup_pair *b) {
    return a->interface_first == b->interface_first && a->interface_copy == b->interface_copy &&
           a->vlan_first == b->vlan_first && a->vlan_copy == b->vlan_copy && a->hops == b->hops;
}

static void add_pair(struct fs_duplicate_totals *totals, uint8_t row) {
    struct fs_dedup_pair pair;
    unsigned at = 0;
    if (!fs_store_duplicate_pair(row, &pair)) {
        totals->pairs_other++;
        return;
    }
    while (at < totals->pair_count && !is_same_place(&totals->pairs[at], &pair))
        at++;
    if (at == FS_DEDUP_PAIRS) { /* rows of several files */
        totals->pairs_other++;
        return;
    }
    if (at == totals->pair_count) {
        totals->pairs[totals->pair_count++] = pair;
        totals->pairs[at].count = 0;
    }
    totals->pairs[at].count++;
}

void fs_duplicates_add(struct fs_duplicate_totals *totals, const struct fs_duplicate *duplicate) {
    totals->counts[duplicate->treatment][duplicate->mode][duplicate->evidence]++;
    if (duplicate->treatment == FS_DUPLICATE_WITHHELD)
        return;
    totals->count++;
    add_pair(totals, duplicate->pair);
}

bool fs_duplicates_are_many(const struct fs_duplicate_totals *totals, uint64_t frames) {
    return frames >= FS_MANY_FRAMES && totals->count * 100 > frames * FS_MANY_PERCENT;
}

void fs_duplicates_each_treatment(const struct fs_duplicate_totals *totals, fs_duplicates_line line, void *user) {
    static const char *const names[FS_TREATMENT_COUNT] = {"marked", "excluded", "counted as any other",
                                                          "equal, but no duplicate"};
    for (unsigned treatment = 0; treatment < FS_TREATMENT_COUNT; treatment++) {
        for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
            for (int evidence = 0; evidence < FS_DEDUP_EVIDENCE_COUNT; evidence++) {
                char name[64];
                uint64_t count = totals->counts[treatment][mode][evidence];
                snprintf(name, sizeof name, "%s: %s, %s evidence", names[treatment], fs_dedup_mode_name(mode),
                         fs_dedup_evidence_name(evidence));
                if (count)
                    line(user, name, count);
            }
        }
    }
}

void fs_duplicates_each_pair(const struct fs_duplicate_totals *totals, fs_duplicates_line line, void *user) {
    char name[128];
    for (unsigned i = 0; i < totals->pair_count; i++) {
        write_pair(name, sizeof name, &totals->pairs[i]);
        line(user, name, totals->pairs[i].count);
    }
    if (totals->pairs_other)
        line(user, "elsewhere", totals->pairs_other);
}
