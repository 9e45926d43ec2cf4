/* SPDX-License-Identifier: MIT */
#include "flowscope/flow.h"

const char *fs_state_name(int state) {
    switch (state) {
#define NAME(symbol, value, slug)                                                                                      \
    case symbol:                                                                                                       \
        return slug;
        FS_STATE_MAP(NAME)
    default:
        return "unknown";
    }
}

const char *fs_end_name(int end) {
    switch (end) {
        FS_END_MAP(NAME)
#undef NAME
    default:
        return "unknown";
    }
}

const char *fs_side_name(int side) {
    if (side == FS_INITIATOR)
        return "initiator";
    return side == FS_RESPONDER ? "responder" : "unknown";
}

const char *fs_anomaly_slug(unsigned anomaly) {
    switch (anomaly) {
#define SLUG(symbol, bit, slug, text)                                                                                  \
    case symbol:                                                                                                       \
        return slug;
        FS_ANOMALY_MAP(SLUG)
#undef SLUG
    default:
        return "unknown";
    }
}

const char *fs_anomaly_text(unsigned anomaly) {
    switch (anomaly) {
#define TEXT(symbol, bit, slug, text)                                                                                  \
    case symbol:                                                                                                       \
        return text;
        FS_ANOMALY_MAP(TEXT)
#undef TEXT
    default:
        return "unknown";
    }
}

const char *fs_flow_mark_slug(unsigned mark) {
    switch (mark) {
    case FS_MARK_MIDSTREAM:
        return "midstream";
    case FS_MARK_ONE_SIDED:
        return "one-sided";
    case FS_MARK_TRUNCATED:
        return "truncated";
    case FS_MARK_ROLE_FLIPPED:
        return "role-flipped";
    case FS_MARK_PORT_REUSED:
        return "port-reused";
    case FS_MARK_FRAGMENTS:
        return "fragments";
    case FS_MARK_HISTORY_FULL:
        return "history-full";
    default:
        return "unknown";
    }
}

static uint16_t icmp_port(const struct fs_flow_info *info, enum fs_side side) {
    uint8_t request = (uint8_t)(info->key.port[0] >> 8);
    int reply = fs_icmp_counterpart(info->key.protocol, request);
    if (reply < 0)
        return side == FS_INITIATOR ? request : info->key.port[0] & 0xff;
    bool asks = fs_endpoint(info, side) == info->key.requester;
    return asks ? request : (uint16_t)reply;
}

uint16_t fs_flow_port(const struct fs_flow_info *info, enum fs_side side) {
    bool icmp = info->key.protocol == FS_PROTO_ICMP || info->key.protocol == FS_PROTO_ICMPV6;
    if (icmp && info->key.kind == FS_KEY_5TUPLE)
        return icmp_port(info, side);
    return info->key.port[fs_endpoint(info, side)];
}
