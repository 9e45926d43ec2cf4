/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

void fs_text_protocol(const struct fs_flow_info *info, char *text, size_t size) {
    const char *name = fs_protocol_name(info->key.protocol);
    if (info->key.kind == FS_KEY_MAC_PAIR)
        name = "MAC";
    else if (info->key.kind == FS_KEY_IP_PAIR)
        name = "IP";
    if (name)
        (void)g_strlcpy(text, name, size);
    else
        snprintf(text, size, "%u", info->key.protocol);
}

bool fs_text_has_ports(const struct fs_flow_info *info) {
    if (info->key.kind != FS_KEY_5TUPLE)
        return false;
    switch (info->key.protocol) {
    case FS_PROTO_TCP:
    case FS_PROTO_UDP:
    case FS_PROTO_UDPLITE:
    case FS_PROTO_SCTP:
    case FS_PROTO_DCCP:
    case FS_PROTO_ICMP:
    case FS_PROTO_ICMPV6:
        return true;
    default:
        return false;
    }
}

void fs_text_address(const struct fs_flow_info *info, enum fs_side side, char *text, size_t size) {
    const uint8_t *bytes = info->key.address[fs_endpoint(info, side)];
    address addr;
    switch (info->key.family) {
    case FS_FAMILY_IPV4:
        set_address(&addr, AT_IPv4, 4, bytes);
        break;
    case FS_FAMILY_IPV6:
        set_address(&addr, AT_IPv6, 16, bytes);
        break;
    case FS_FAMILY_MAC:
        set_address(&addr, AT_ETHER, 6, bytes);
        break;
    default:
        (void)g_strlcpy(text, "-", size);
        return;
    }
    address_to_str_buf(&addr, text, (int)size);
}

void fs_text_endpoint(const struct fs_flow_info *info, enum fs_side side, char *text, size_t size) {
    char plain[FS_TEXT_ENDPOINT];
    fs_text_address(info, side, plain, sizeof plain);
    if (!fs_text_has_ports(info))
        (void)g_strlcpy(text, plain, size);
    else if (info->key.family == FS_FAMILY_IPV6)
        snprintf(text, size, "[%s]:%u", plain, fs_flow_port(info, side));
    else
        snprintf(text, size, "%s:%u", plain, fs_flow_port(info, side));
}

static void join(char *text, size_t size, const char *word) {
    if (text[0])
        (void)g_strlcat(text, "+", size);
    (void)g_strlcat(text, word, size);
}

void fs_text_marks(unsigned marks, char *text, size_t size) {
    static const struct {
        unsigned mark;
        const char *name;
    } names[] = {{FS_MARK_MIDSTREAM, "midstream"},      {FS_MARK_ONE_SIDED, "one-sided"},
                 {FS_MARK_TRUNCATED, "truncated"},      {FS_MARK_ROLE_FLIPPED, "role-flipped"},
                 {FS_MARK_PORT_REUSED, "port-reused"},  {FS_MARK_FRAGMENTS, "fragments"},
                 {FS_MARK_HISTORY_FULL, "history-full"}};
    text[0] = '\0';
    for (size_t i = 0; i < FS_LENGTH_OF(names); i++) {
        if (marks & names[i].mark)
            join(text, size, names[i].name);
    }
    if (!text[0])
        (void)g_strlcpy(text, "-", size);
}

void fs_text_anomalies(unsigned anomalies, char *text, size_t size) {
    text[0] = '\0';
    for (unsigned bit = 0; bit < FS_ANOMALY_COUNT; bit++) {
        if (anomalies >> bit & 1)
            join(text, size, fs_anomaly_slug(1U << bit));
    }
}

static const char *history_word(char letter) {
    switch (g_ascii_tolower(letter)) {
    case 's':
        return "SYN";
    case 'h':
        return "SYN-ACK";
    case 'a':
        return "ACK";
    case 'd':
        return "data";
    case 'f':
        return "FIN";
    case 'r':
        return "RST";
    case 'i':
        return "FIN with RST";
    case 'q':
        return "SYN with FIN or RST";
    case 't':
        return "retransmission";
    case 'w':
        return "zero window";
    case 'g':
        return "gap";
    default:
        return "other";
    }
}

void fs_text_history(const char *history, char *text, size_t size) {
    text[0] = '\0';
    for (; *history; history++) {
        if (text[0])
            (void)g_strlcat(text, ", ", size);
        if (*history == '^') {
            (void)g_strlcat(text, "roles flipped", size);
            continue;
        }
        (void)g_strlcat(text, g_ascii_isupper(*history) ? "→ " : "← ", size);
        (void)g_strlcat(text, history_word(*history), size);
    }
}
