/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hierarchy.h"

#include "store.h"
#include "tap.h"
#include "text.h"

static const char *const root_name = "Flows";

/* Where a flow is counted. */
struct place {
    bool seen;       /* by the filter */
    uint8_t state;   /* enum fs_state */
    const char *app; /* a protocol's name: stays; NULL: not counted yet */
};

struct hierarchy {
    stats_tree *tree;
    GArray *places; /* struct place, by flow id */
    GArray *counts; /* int, by node */
};

static GHashTable *trees; /* stats_tree* to struct hierarchy* */

static void hierarchy_free(void *data) {
    struct hierarchy *hierarchy = data;
    if (fs_tap_is_tshark())
        remove_tap_listener(hierarchy);
    g_array_free(hierarchy->places, TRUE);
    g_array_free(hierarchy->counts, TRUE);
    g_free(hierarchy);
}

/* Set, not increased: bursts of applications and states would be those of the moments when they became known. Only
 * nodes that may have children have numbers. */
static int add_to(stats_tree *tree, GArray *counts, const char *name, int parent, int change) {
    int node = increase_stat_node(tree, name, parent, TRUE, 0);
    if ((guint)node >= counts->len)
        g_array_set_size(counts, (guint)node + 1);
    int *count = &g_array_index(counts, int, node);
    *count += change;
    return set_stat_node(tree, name, parent, TRUE, *count);
}

static void count_below(stats_tree *tree, GArray *counts, const char *protocol, const struct place *place, int change) {
    int root = stats_tree_parent_id_by_name(tree, root_name);
    int at = increase_stat_node(tree, protocol, root, TRUE, 0);
    int app = add_to(tree, counts, place->app, at, change);
    (void)add_to(tree, counts, fs_state_name(place->state), app, change);
}

/* Count the flow where it belongs by now. */
static void settle(struct hierarchy *hierarchy, uint32_t id) {
    struct place *place = &g_array_index(hierarchy->places, struct place, id);
    struct fs_flow_facts facts;
    char protocol[16];
    if (!fs_store_flow(id, &facts))
        return;
    struct place now = {true, facts.info.state, fs_store_app(id)};
    if (place->app && place->state == now.state && strcmp(place->app, now.app) == 0)
        return;
    fs_text_protocol(&facts.info, protocol, sizeof protocol);
    if (place->app)
        count_below(hierarchy->tree, hierarchy->counts, protocol, place, -1);
    count_below(hierarchy->tree, hierarchy->counts, protocol, &now, 1);
    *place = now;
}

static void begin(stats_tree *tree, uint32_t id) {
    struct fs_flow_facts facts;
    char protocol[16];
    if (!fs_store_flow(id, &facts))
        return;
    fs_text_protocol(&facts.info, protocol, sizeof protocol);
    int root = increase_stat_node(tree, root_name, 0, TRUE, 1);
    (void)increase_stat_node(tree, protocol, root, TRUE, 1);
}

/* In Wireshark the capture was read before, or is being read: the tree is right after every packet. tshark prints it
 * once, and would print all states that flows have gone through, with 0: there flows are settled at the end. */
static tap_packet_status count_packet(stats_tree *tree, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                                      const void *record, tap_flags_t flags _U_) {
    const struct fs_seen *seen = record;
    uint32_t id = seen->record.flow;
    struct hierarchy *hierarchy = g_hash_table_lookup(trees, tree);
    if (id >= hierarchy->places->len)
        g_array_set_size(hierarchy->places, id + 1);
    struct place *place = &g_array_index(hierarchy->places, struct place, id);
    if (!place->seen)
        begin(tree, id);
    place->seen = true;
    if (!fs_tap_is_tshark())
        settle(hierarchy, id);
    return TAP_PACKET_REDRAW;
}

static void settle_all(void *data) {
    struct hierarchy *hierarchy = data;
    for (uint32_t id = 0; id < hierarchy->places->len; id++) {
        if (g_array_index(hierarchy->places, struct place, id).seen)
            settle(hierarchy, id);
    }
}

static tap_packet_status nothing(void *data _U_, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                                 const void *record _U_, tap_flags_t flags _U_) {
    return TAP_PACKET_DONT_REDRAW;
}

/* Listeners draw in the reverse order of their registration, so it comes before the tree's, which is there by now. */
static void listen_at_the_end(struct hierarchy *hierarchy) {
    GString *error =
        register_tap_listener("flowscope", hierarchy, NULL, TL_REQUIRES_NOTHING, NULL, nothing, settle_all, NULL);
    if (error)
        g_string_free(error, TRUE);
}

static void open_tree(stats_tree *tree) {
    struct hierarchy *hierarchy = g_new(struct hierarchy, 1);
    hierarchy->tree = tree;
    hierarchy->places = g_array_new(FALSE, TRUE, sizeof(struct place));
    hierarchy->counts = g_array_new(FALSE, TRUE, sizeof(int));
    if (!trees)
        trees = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, hierarchy_free);
    g_hash_table_replace(trees, tree, hierarchy);
    (void)stats_tree_create_node(tree, root_name, 0, STAT_DT_INT, TRUE);
    if (fs_tap_is_tshark())
        listen_at_the_end(hierarchy);
}

static void close_tree(stats_tree *tree) {
    g_hash_table_remove(trees, tree);
}

static void forget_places(void *tree _U_, void *data, void *user _U_) {
    struct hierarchy *hierarchy = data;
    if (fs_tap_is_tshark())
        settle_all(hierarchy);
    g_array_set_size(hierarchy->places, 0);
}

void fs_hierarchy_keep(void) {
    if (trees && fs_store_is_open())
        g_hash_table_foreach(trees, forget_places, NULL);
}

void fs_hierarchy_register(void) {
    stats_tree_register_plugin("flowscope", "flowscope_tree", "Flowscope" FS_STATS_TREE_SEPARATOR "Hierarchy", 0,
                               count_packet, open_tree, close_tree);
}
