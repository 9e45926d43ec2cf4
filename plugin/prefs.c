/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prefs.h"

enum { FLOWS_DEFAULT = 1000000, SECONDS_MAX = 31536000 };

/* What the user sees and sets; may change at any time. */
static struct fs_prefs edited = {.track = TRUE,
                                 .roles_by_syn = TRUE,
                                 .timeout_tcp = 300,
                                 .timeout_udp = 60,
                                 .timeout_other = 30,
                                 .max_flows = FLOWS_DEFAULT};
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

void fs_prefs_configure(struct fs_pipeline_config *config) {
    const uint64_t second = 1000000000;
    struct fs_tracker_config *tracker = &config->tracker;
    tracker->timeout_ns[FS_TIMEOUT_TCP] = current.timeout_tcp * second;
    tracker->timeout_ns[FS_TIMEOUT_UDP] = current.timeout_udp * second;
    tracker->timeout_ns[FS_TIMEOUT_OTHER] = current.timeout_other * second;
    tracker->max_flows = current.max_flows;
    tracker->roles_by_syn = current.roles_by_syn;
}

void fs_prefs_register(int proto) {
    module_t *module = prefs_register_protocol(proto, NULL);
    prefs_register_bool_preference(module, "track", "Track flows",
                                   "Count every packet into its flow. Costs about 10 % of the time that tshark "
                                   "takes without a tree, and 24 bytes a frame plus "
                                   "about 150 bytes a flow. If off, all flowscope fields and tables are empty.",
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
        "Frames after this one are counted into their flows, but have no flowscope fields. 24 bytes a frame.", 10,
        &edited.max_frames);
}
