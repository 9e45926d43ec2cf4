/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registration, and the post-dissector: once a frame, feed, store, show, offer to taps. */
#include "compat.h"

#include "anomalies.h"
#include "conv.h"
#include "duplicate_table.h"
#include "duplicates.h"
#include "export.h"
#include "feed.h"
#include "fields.h"
#include "flows.h"
#include "follow.h"
#include "hierarchy.h"
#include "menu.h"
#include "prefs.h"
#include "sessions.h"
#include "stats.h"
#include "store.h"
#include "streams.h"
#include "tap.h"

#include "flowscope/version.h"

static void close_file(void) {
    fs_flows_keep();
    fs_stats_keep();
    fs_streams_keep();
    fs_sessions_keep();
    fs_export_keep();
    fs_hierarchy_keep();
    fs_follow_forget();
    fs_store_close();
}

static void open_file(void) {
    close_file(); /* -M resets dissection without a clean-up in between on some versions */
    if (fs_prefs_snapshot()->track)
        fs_store_open();
}

/* What the frame's packets are to their flows: found on the first pass, remembered on later ones. */
static unsigned look(tvbuff_t *tvb, const packet_info *pinfo, const struct fs_notes *notes,
                     struct fs_seen seen[FS_FRAME_MAX]) {
    if (pinfo->fd->visited)
        return fs_store_recall(pinfo->num, notes->packets, notes->count, seen);
    struct fs_compared compared;
    bool compares = fs_store_compares();
    if (compares)
        fs_feed_frame(tvb, pinfo, notes, &compared.frame);
    if (notes->count)
        return fs_store_frame(notes->packets, notes->count, notes->parents, compares ? &compared : NULL, seen);
    fs_store_untracked(pinfo->num, notes->reject, pinfo->fd->pkt_len, compares ? &compared : NULL);
    return 0;
}

/* First pass: what Wireshark takes the flows for. Packets with ports come in the order of the transports. */
static void note_apps(packet_info *pinfo, const struct fs_seen *seen, unsigned count) {
    int apps[FS_FRAME_MAX];
    unsigned transports = 0, at = 0;
    for (unsigned n = 0; n < count; n++) {
        const struct fs_packet *packet = seen[n].packet;
        if (!packet->key.port[0] && !packet->key.port[1])
            continue;
        if (packet->payload_len && !(seen[n].record.bits & FS_RECORD_QUOTED) &&
            fs_store_wants_app(seen[n].record.flow)) {
            if (!transports)
                transports = fs_feed_apps(pinfo, apps, FS_FRAME_MAX);
            if (at < transports)
                fs_store_set_app(seen[n].record.flow, apps[at]);
        }
        at++;
    }
}

/* Parsers run where somebody may see what they find: not for tables that tshark prints of flows alone. */
static bool wants_messages(const proto_tree *tree) {
    return !fs_tap_is_tshark() || tree || fs_sessions_are_wanted() || fs_export_wants_messages() ||
           !fs_tap_is_listened_to();
}

static int dissect_after(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_) {
    if (!fs_store_is_open())
        return 0;
    const struct fs_notes *notes = fs_feed_collect(tvb, pinfo);
    static struct fs_seen seen[FS_FRAME_MAX]; /* for the taps, which run when all is dissected */
    if (!fs_store_has_begun())
        fs_store_begin(wants_messages(tree));
    fs_store_note_frame(pinfo->num, fs_feed_time(pinfo));
    unsigned count = look(tvb, pinfo, notes, seen);
    if (!pinfo->fd->visited)
        note_apps(pinfo, seen, count);
    int reject = pinfo->fd->visited ? fs_store_reject(pinfo->num) : notes->count ? FS_REJECT_NONE : notes->reject;
    /* Fields past max_frames would differ from pass to pass. */
    bool remembered = fs_store_remembers(pinfo->num);
    const struct fs_duplicate *duplicate = fs_store_duplicate(pinfo->num);
    fs_fields_show(tvb, pinfo, tree, seen, remembered ? count : 0, reject);
    fs_duplicates_show(tvb, pinfo, tree, duplicate);
    fs_tap_queue(pinfo, seen, count, reject, duplicate);
    fs_export_queue(pinfo);
    return (int)tvb_captured_length(tvb);
}

static void register_protoinfo(void) {
    /* The short name equals the filter name, but for case: sharkd knows tables by the one, tshark by the other. */
    int proto = proto_register_protocol("Flowscope", "Flowscope", "flowscope");
    fs_prefs_register(proto);
    fs_fields_register(proto);
    fs_duplicates_register(proto);
    fs_feed_register(proto);
    fs_tap_register();
    fs_export_register_taps(proto);
    fs_conv_register(proto);
    fs_follow_register(proto);
    fs_menu_register(proto);
    register_init_routine(open_file);
    register_cleanup_routine(close_file);
    register_postseq_cleanup_routine(fs_store_finish); /* the file was read: nothing follows */
    register_postdissector(create_dissector_handle(dissect_after, proto));
}

/* Tables are registered here and not as a tap plugin, whose callback sharkd never calls. */
static void register_handoff(void) {
    fs_feed_handoff();
    fs_stats_register();
    fs_flows_register();
    fs_anomalies_register();
    fs_streams_register();
    fs_sessions_register();
    fs_duplicate_table_register();
    fs_hierarchy_register();
    fs_export_register();
}

WS_DLL_PUBLIC_DEF const char plugin_version[] = FS_VERSION;
WS_DLL_PUBLIC_DEF const int plugin_want_major = WIRESHARK_VERSION_MAJOR;
WS_DLL_PUBLIC_DEF const int plugin_want_minor = WIRESHARK_VERSION_MINOR;
WS_DLL_PUBLIC void plugin_register(void);
WS_DLL_PUBLIC uint32_t plugin_describe(void);

void plugin_register(void) {
    static proto_plugin plugin = {.register_protoinfo = register_protoinfo, .register_handoff = register_handoff};
    proto_register_plugin(&plugin);
}

/* Asked for since 4.2; harmless before. */
uint32_t plugin_describe(void) {
#if FS_WIRESHARK >= 402
    return WS_PLUGIN_DESC_DISSECTOR | WS_PLUGIN_DESC_TAP_LISTENER;
#else
    return 0;
#endif
}
