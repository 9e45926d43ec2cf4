/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prefs.h"

enum { FLOWS_DEFAULT = 1000000, SECONDS_MAX = 31536000, HISTORY_MAX = 65536, HISTORIES_MAX = 32 << 20 };

/* What the user sees and sets; may change at any time. */
static struct fs_prefs edited = {.track = TRUE,
                                 .roles_by_syn = TRUE,
                                 .timeout_tcp = 300,
                                 .timeout_udp = 60,
                                 .timeout_other = 30,
                                 .max_flows = FLOWS_DEFAULT,
                                 .sessions = TRUE,
                                 .max_messages = 1000000,
                                 .reassemble = TRUE,
                                 .overlap_policy = FS_OVERLAP_BSD,
                                 .reassembly_side_limit = 256 << 10,
                                 .reassembly_limit = 256 << 20,
                                 .overlap_history = 2048,
                                 .duplicates = FS_DUPLICATES_MARK,
                                 .duplicate_mode = FS_DEDUP_EXACT};
static struct fs_prefs current;

static unsigned clamp(unsigned value, unsigned low, unsigned high) {
    if (value < low)
        return low;
    return value > high ? high : value;
}

const struct fs_prefs *fs_prefs_snapshot(void) {
    current = edited;
    current.timeout_tcp = clamp(edited.timeout_tcp, 1, SECONDS_MAX);
    current.timeout_udp = clamp(edited.timeout_udp, 1, SECONDS_MAX);
    current.timeout_other = clamp(edited.timeout_other, 1, SECONDS_MAX);
    current.max_flows = clamp(edited.max_flows, 1, FS_MAX_FLOWS);
    current.overlap_history = clamp(edited.overlap_history, 0, HISTORY_MAX);
    current.community_id_seed = clamp(edited.community_id_seed, 0, UINT16_MAX);
    return &current;
}

const struct fs_prefs *fs_prefs(void) {
    return &current;
}

unsigned fs_prefs_domain(void) {
    unsigned domain = 0;
    if (current.key_vlan)
        domain |= FS_DOMAIN_VLAN;
    if (current.key_tunnel)
        domain |= FS_DOMAIN_TUNNEL;
    if (current.key_interface)
        domain |= FS_DOMAIN_INTERFACE;
    return domain;
}

void fs_prefs_configure_reassembly(struct fs_reassembly_config *config) {
    config->overlap = (enum fs_overlap_policy)current.overlap_policy;
    config->side_limit = current.reassembly_side_limit;
    config->flow_limit = 2 * (uint64_t)current.reassembly_side_limit;
    config->total_limit = current.reassembly_limit;
    config->hole_deadline_ns =
        current.reassembly_deadline ? current.reassembly_deadline * (uint64_t)1000000 : UINT64_MAX;
    config->history = current.overlap_history;
    config->history_limit = HISTORIES_MAX;
}

/* Four million frames a second fit into the window: what a processor's cache holds, and frames that are forgotten too
 * early are counted and shown. */
static uint32_t frames_of(uint64_t window_ns) {
    enum { FRAMES = 4096, FRAMES_WIDE = 16384, FRAMES_WIDEST = 65536 };
    const uint64_t narrow_ns = 1000000, wide_ns = 10000000;
    return window_ns <= narrow_ns ? FRAMES : window_ns <= wide_ns ? FRAMES_WIDE : FRAMES_WIDEST;
}

static void configure_duplicates(struct fs_pipeline_config *config) {
    struct fs_dedup_config *dedup = &config->dedup;
    config->duplicates = (enum fs_duplicates)current.duplicates;
    config->exclude_weak = current.duplicates_exclude_weak;
    dedup->mode = (enum fs_dedup_mode)current.duplicate_mode;
    if (current.duplicate_window_us)
        dedup->exact_window_ns = dedup->routed_window_ns = current.duplicate_window_us * (uint64_t)1000;
    dedup->capacity = frames_of(dedup->mode == FS_DEDUP_EXACT ? dedup->exact_window_ns : dedup->routed_window_ns);
}

static const enum_val_t timeouts[] = {
    {"flowscope", "flowscope", 0}, {"zeek", "zeek", 1}, {"suricata", "suricata", 2}, {NULL, NULL, 0}};

static void configure_timeouts(struct fs_tracker_config *tracker) {
    const uint64_t second = 1000000000;
    if (current.timeouts_like) {
        (void)fs_timeouts_like(tracker, timeouts[current.timeouts_like].name);
        return;
    }
    tracker->timeout_ns[FS_TIMEOUT_TCP] = current.timeout_tcp * second;
    tracker->timeout_ns[FS_TIMEOUT_UDP] = current.timeout_udp * second;
    tracker->timeout_ns[FS_TIMEOUT_OTHER] = current.timeout_other * second;
}

void fs_prefs_configure(struct fs_pipeline_config *config) {
    struct fs_tracker_config *tracker = &config->tracker;
    configure_timeouts(tracker);
    tracker->max_flows = current.max_flows;
    tracker->roles_by_syn = current.roles_by_syn;
    config->reassemble = current.reassemble;
    fs_prefs_configure_reassembly(&config->reassembly);
    configure_duplicates(config);
}

static const enum_val_t overlap_policies[] = {
#define POLICY(symbol, value, name) {name, name, symbol},
    FS_OVERLAP_MAP(POLICY)
#undef POLICY
        {NULL, NULL, 0}};

static void register_reassembly(module_t *module) {
    prefs_register_bool_preference(
        module, "reassemble", "Put TCP streams together",
        "Class segments, find gaps and conflicting overlaps, and follow streams. Costs about 4 % of the time that "
        "tshark "
        "takes without a tree, and 256 bytes for each side of a live flow that sends data, besides what waits for "
        "missing segments.",
        &edited.reassemble);
    prefs_register_enum_preference(
        module, "overlap_policy", "Overlaps are resolved like",
        "Which bytes count when segments that wait for others overlap with other content: those of the system that "
        "received them (docs/reassembly.md has the rules). Costs nothing.",
        &edited.overlap_policy, overlap_policies, FALSE);
    prefs_register_uint_preference(
        module, "reassembly_side_limit", "Bytes that may wait for each side of a connection",
        "Segments that come before the one that they follow wait in memory, up to this many bytes. At the limit the "
        "missing bytes are given up as a gap.",
        10, &edited.reassembly_side_limit);
    prefs_register_uint_preference(module, "reassembly_limit", "Bytes that may wait in all",
                                   "Likewise for all connections together: the most memory that waiting segments take.",
                                   10, &edited.reassembly_limit);
    prefs_register_uint_preference(
        module, "reassembly_deadline", "Give up missing bytes after (milliseconds; 0: never)",
        "Missing bytes are given up as a gap when what follows them has waited for this long. Without it they are when "
        "the receiver acknowledges them, at a limit, or at the end of the flow.",
        10, &edited.reassembly_deadline);
    prefs_register_uint_preference(
        module, "overlap_history", "Bytes to compare repetitions with (0 to 65536)",
        "The latest bytes of each side that were delivered are kept, so that a repetition with other content is seen, "
        "and the frame that is repeated is named. At most this much memory for each side that sends, and 32 MiB in "
        "all.",
        10, &edited.overlap_history);
}

static void register_records(module_t *module) {
    prefs_register_enum_preference(
        module, "timeouts_like", "Timeouts like those of",
        "Flows end by silence as they do in this system, so that records can be compared with its own. The idle "
        "timeouts of TCP, UDP and other flows hold only with flowscope. Costs nothing.",
        &edited.timeouts_like, timeouts, FALSE);
    prefs_register_uint_preference(module, "community_id_seed", "Seed of the Community ID (0 to 65535)",
                                   "The site's seed: Community IDs of different seeds are different. Costs nothing.",
                                   10, &edited.community_id_seed);
}

static const enum_val_t duplicate_choices[] = {{"mark", "mark", FS_DUPLICATES_MARK},
                                               {"exclude", "exclude", FS_DUPLICATES_EXCLUDE},
                                               {"ignore", "ignore", FS_DUPLICATES_IGNORE},
                                               {NULL, NULL, 0}};

static const enum_val_t duplicate_modes[] = {
#define MODE(symbol, value, name) {name, name, symbol},
    FS_DEDUP_MODE_MAP(MODE)
#undef MODE
        {NULL, NULL, 0}};

static void register_duplicates(module_t *module) {
    prefs_register_enum_preference(
        module, "duplicates", "Copies of frames are",
        "What becomes of frames that were captured twice (docs/duplicates.md): marked and counted in their flows, but "
        "not taken for retransmissions; excluded from flows, on strong evidence; or not looked for. Looking costs "
        "about 4 % of the time that tshark takes without a tree, 0.5 MB, and 32 bytes for each copy; marking 32 bytes "
        "more for each live flow.",
        &edited.duplicates, duplicate_choices, FALSE);
    prefs_register_enum_preference(
        module, "duplicate_mode", "Frames are copies if they are equal",
        "Exact: in all bytes. Routed: in the innermost IP packet, but for what routers change. Rewritten: also but for "
        "what TCP middleboxes change. The latter two cost "
        "about 1 % more, and 2.5 MB.",
        &edited.duplicate_mode, duplicate_modes, FALSE);
    prefs_register_uint_preference(
        module, "duplicate_window_us", "Copies are at most this far apart (microseconds; 0: as the mode wants)",
        "By default 1000 for exact, 10000 for routed and rewritten copies. The wider, the more repetitions of senders "
        "are taken for copies. Memory is for 4,096 frames up to 1000, for 16,384 up to 10000 and for 65,536 beyond; "
        "time costs nothing.",
        10, &edited.duplicate_window_us);
    prefs_register_bool_preference(
        module, "duplicates_exclude_weak", "Exclude copies on weak evidence too",
        "With duplicates:exclude, frames that the sender may have sent twice (acknowledgements, most of IPv6, the "
        "first packets of a pair of addresses) are left out too. Costs nothing, but repetitions may be lost.",
        &edited.duplicates_exclude_weak);
}

void fs_prefs_register(int proto) {
    module_t *module = prefs_register_protocol(proto, NULL);
    prefs_register_bool_preference(module, "track", "Track flows",
                                   "Count every packet into its flow. Costs about 5 % of the time that tshark "
                                   "takes without a tree, and 12 bytes a frame, 20 more "
                                   "where a later pass asks for its place in the flow, plus about 150 bytes a flow. If "
                                   "off, all flowscope fields and tables are empty.",
                                   &edited.track);
    prefs_register_uint_preference(module, "timeout_tcp", "Idle timeout of TCP flows (seconds)",
                                   "A TCP flow ends when it was silent for this long (1 to 31536000). A later packet "
                                   "starts a new flow. Short timeouts "
                                   "save memory and split slow connections.",
                                   10, &edited.timeout_tcp);
    prefs_register_uint_preference(module, "timeout_udp", "Idle timeout of UDP flows (seconds)",
                                   "A UDP flow ends when it was silent for this long (1 to 31536000).", 10,
                                   &edited.timeout_udp);
    prefs_register_uint_preference(
        module, "timeout_other", "Idle timeout of other flows (seconds)",
        "A flow that is neither TCP nor UDP ends when it was silent for this long (1 to 31536000).", 10,
        &edited.timeout_other);
    prefs_register_bool_preference(
        module, "key_vlan", "Keep VLANs apart",
        "Equal addresses and ports in different VLANs are different flows. Leave it off if the two directions of a "
        "connection use different VLANs. Costs nothing measurable.",
        &edited.key_vlan);
    prefs_register_bool_preference(module, "key_tunnel", "Keep tunnels apart",
                                   "Equal addresses and ports in different tunnels (VXLAN and Geneve VNI, GRE key, "
                                   "ERSPAN session, GTP-U endpoints) are "
                                   "different flows. Costs nothing measurable.",
                                   &edited.key_tunnel);
    prefs_register_bool_preference(
        module, "key_interface", "Keep interfaces apart",
        "Equal addresses and ports on different capture interfaces are different flows. Leave it off if one interface "
        "captures each direction. Costs nothing measurable.",
        &edited.key_interface);
    prefs_register_bool_preference(
        module, "roles_by_syn", "The sender of the SYN is the initiator",
        "If off, the sender of the first packet in the capture always is the initiator. Costs nothing.",
        &edited.roles_by_syn);
    prefs_register_uint_preference(module, "max_flows", "Flows to keep",
                                   "At most this many flows are tracked at once, and at most this many ended ones are "
                                   "remembered (1 to 2147483647). When "
                                   "full, the flow that would expire first is ended, and the oldest ended one is "
                                   "forgotten. About 320 bytes for each live and "
                                   "150 for each ended flow.",
                                   10, &edited.max_flows);
    prefs_register_uint_preference(
        module, "max_frames", "Frames to remember (0: all)",
        "Frames after this one are counted into their flows, but have no flowscope fields. 12 bytes a frame, or 32.",
        10, &edited.max_frames);
    register_reassembly(module);
    prefs_register_bool_preference(
        module, "sessions", "Read the messages of HTTP, TLS and DNS",
        "Requests and responses, their links and times, names and fingerprints. Costs about "
        "7 % of the time that tshark takes, and nothing where only tables are asked for that do not show messages.",
        &edited.sessions);
    prefs_register_uint_preference(module, "max_messages", "Messages to remember",
                                   "Messages after this many are counted as not kept. About 300 bytes a message.", 10,
                                   &edited.max_messages);
    register_records(module);
    register_duplicates(module);
}
