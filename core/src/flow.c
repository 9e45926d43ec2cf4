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

uint16_t fs_flow_port(const struct fs_flow_info *info, enum fs_side side) {
    bool icmp = info->key.protocol == FS_PROTO_ICMP || info->key.protocol == FS_PROTO_ICMPV6;
    if (icmp && info->key.kind == FS_KEY_5TUPLE) {
        uint16_t type_and_code = info->key.port[0];
        return side == FS_INITIATOR ? (uint16_t)(type_and_code >> 8) : (uint16_t)(type_and_code & 0xff);
    }
    return info->key.port[fs_endpoint(info, side)];
}
