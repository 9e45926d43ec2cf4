/* SPDX-License-Identifier: MIT */
/* One line for people out of a message whose texts may hold anything. */
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"

#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define ARROW "\xe2\x86\x92"
enum { ELLIPSIS_BYTES = sizeof ELLIPSIS - 1 };

/* ---- a line with an end ---- */

struct line {
    char *text;
    size_t size, used;
    size_t fits; /* where an ellipsis could still stand */
    bool is_cut;
};

/* Add what must not be torn apart. */
static void put_unit(struct line *line, const char *unit, size_t length) {
    if (line->is_cut)
        return;
    if (length < line->size - line->used) {
        memcpy(line->text + line->used, unit, length);
        line->used += length;
        if (line->used + ELLIPSIS_BYTES < line->size)
            line->fits = line->used;
        return;
    }
    line->is_cut = true;
    line->used = line->fits;
    if (line->used + ELLIPSIS_BYTES < line->size) {
        memcpy(line->text + line->used, ELLIPSIS, ELLIPSIS_BYTES);
        line->used += ELLIPSIS_BYTES;
    }
}

static size_t utf8_length(uint8_t lead) {
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Text of ours: valid UTF-8. */
static void put(struct line *line, const char *text) {
    while (*text) {
        size_t length = utf8_length((uint8_t)*text);
        put_unit(line, text, length);
        text += length;
    }
}

/* Text of ours behind a blank, unless it is the first. */
static void put_word(struct line *line, const char *text) {
    if (line->used)
        put(line, " ");
    put(line, text);
}

static void put_number(struct line *line, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put_unit(line, digits + at, sizeof digits - at);
}

/* ---- text of others ---- */

/* Length and code point of the UTF-8 sequence at `data`; 0 if it is none (Unicode, table 3-7). */
static size_t decode(const uint8_t *data, size_t length, uint32_t *point) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = data[0];
    if (lead < 0x80) {
        *point = lead;
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t n = utf8_length(lead);
    if (n > length)
        return 0;
    *point = lead & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (data[i] & 0x3fU);
    }
    bool is_surrogate = *point >= 0xd800 && *point < 0xe000;
    return *point < least[n] || is_surrogate || *point > 0x10ffff ? 0 : n;
}

/* Whether it shows as what it is: not a control or formatting character (Unicode's Cc, Cf, Zl, Zp), nor a tag, a
 * variation selector, a filler that shows as nothing, or a noncharacter. */
static bool is_plain(uint32_t point) {
    static const uint32_t others[][2] = {
        {0x00, 0x1f},       {0x5c, 0x5c},       {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},
        {0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},
        {0x8e2, 0x8e2},     {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},
        {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},   {0xfdd0, 0xfdef},   {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
        {0x13430, 0x1345f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
    if ((point & 0xfffe) == 0xfffe)
        return false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (point >= others[i][0] && point <= others[i][1])
            return false;
    }
    return true;
}

static void put_escaped(struct line *line, const uint8_t *data, size_t length) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        const char unit[4] = {'\\', 'x', digits[data[i] >> 4], digits[data[i] & 15]};
        put_unit(line, unit, sizeof unit);
    }
}

/* At most FS_MESSAGE_TEXT_SHOWN bytes of it. */
static void put_text(struct line *line, const uint8_t *data, size_t length) {
    size_t at = 0;
    while (at < length && at < FS_MESSAGE_TEXT_SHOWN && !line->is_cut) {
        uint32_t point = 0;
        size_t n = decode(data + at, length - at, &point);
        if (n > 0 && is_plain(point))
            put_unit(line, (const char *)data + at, n);
        else
            put_escaped(line, data + at, n ? n : 1);
        at += n ? n : 1;
    }
    if (at < length)
        put(line, ELLIPSIS);
}

/* ---- quantities ---- */

/* `value` in tenths of its unit; the tenth only where it says something. */
static void put_tenths(struct line *line, uint64_t tenths, bool shows_tenth, const char *unit) {
    put_number(line, tenths / 10);
    if (shows_tenth && tenths % 10) {
        const char tenth[2] = {'.', (char)('0' + tenths % 10)};
        put_unit(line, tenth, sizeof tenth);
    }
    put(line, unit);
}

static void put_bytes(struct line *line, uint64_t bytes) {
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    uint64_t scale = 1;
    size_t unit = 0;
    for (; bytes / scale >= 1000 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        scale *= 1000;
    uint64_t tenths = scale < 1000 ? bytes * 10 : bytes / (scale / 10);
    put_word(line, "");
    put_tenths(line, tenths, tenths < 100, units[unit]);
}

static void put_time(struct line *line, const struct fs_message *message) {
    uint64_t ns = fs_message_time_ns(message);
    if (ns == FS_NO_TIME)
        return;
    put_word(line, "");
    if (ns < 1000000)
        put_tenths(line, ns / 1000 * 10, false, " \xc2\xb5s");
    else if (ns < UINT64_C(10000000000))
        put_tenths(line, ns / 100000, true, " ms");
    else
        put_tenths(line, ns / 100000000, true, " s");
}

uint64_t fs_message_time_ns(const struct fs_message *message) {
    if (message->kind != FS_MESSAGE_RESPONSE || message->request_ns == FS_NO_TIME)
        return FS_NO_TIME;
    return message->start_ns > message->request_ns ? message->start_ns - message->request_ns : 0;
}

/* ---- HTTP ---- */

static void put_target(struct line *line, const struct fs_http_message *http) {
    struct fs_http_text target = http->target, host = http->host;
    bool is_path = target.length > 0 && target.data[0] == '/';
    bool is_whole = target.length > 0 && !is_path && target.data[0] != '*';
    put_word(line, "");
    if (!is_whole)
        put_text(line, host.data, host.length);
    if (!is_whole && !is_path && host.length && target.length)
        put(line, " ");
    put_text(line, target.data, target.length);
}

static void put_status(struct line *line, const struct fs_http_message *http) {
    put_word(line, ARROW " ");
    if (http->flags & FS_HTTP_0_9)
        put(line, "HTTP/0.9");
    else
        put_number(line, http->status);
    size_t length = 0;
    while (length < http->content_type.length && !strchr("; \t", http->content_type.data[length]))
        length++;
    if (length) {
        put(line, " ");
        put_text(line, http->content_type.data, length);
    }
    if (http->body_bytes)
        put_bytes(line, http->body_bytes);
}

static void put_http(struct line *line, const struct fs_message *message) {
    const struct fs_http_message *http = message->detail;
    put_text(line, http->method.data, http->method.length);
    if (http->method.length || http->target.length || http->host.length)
        put_target(line, http);
    if (http->is_response)
        put_status(line, http);
}

/* ---- TLS ---- */

const char *fs_tls_alert_name(unsigned alert) {
    switch (alert) {
    case 0:
        return "close_notify";
    case 10:
        return "unexpected_message";
    case 20:
        return "bad_record_mac";
    case 21:
        return "decryption_failed";
    case 22:
        return "record_overflow";
    case 30:
        return "decompression_failure";
    case 40:
        return "handshake_failure";
    case 41:
        return "no_certificate";
    case 42:
        return "bad_certificate";
    case 43:
        return "unsupported_certificate";
    case 44:
        return "certificate_revoked";
    case 45:
        return "certificate_expired";
    case 46:
        return "certificate_unknown";
    case 47:
        return "illegal_parameter";
    case 48:
        return "unknown_ca";
    case 49:
        return "access_denied";
    case 50:
        return "decode_error";
    case 51:
        return "decrypt_error";
    case 52:
        return "too_many_cids_requested";
    case 60:
        return "export_restriction";
    case 70:
        return "protocol_version";
    case 71:
        return "insufficient_security";
    case 80:
        return "internal_error";
    case 86:
        return "inappropriate_fallback";
    case 90:
        return "user_canceled";
    case 100:
        return "no_renegotiation";
    case 109:
        return "missing_extension";
    case 110:
        return "unsupported_extension";
    case 111:
        return "certificate_unobtainable";
    case 112:
        return "unrecognized_name";
    case 113:
        return "bad_certificate_status_response";
    case 114:
        return "bad_certificate_hash_value";
    case 115:
        return "unknown_psk_identity";
    case 116:
        return "certificate_required";
    case 117:
        return "general_error";
    case 120:
        return "no_application_protocol";
    case 121:
        return "ech_required";
    default:
        return "unknown";
    }
}

static void put_alert(struct line *line, const struct fs_tls_message *tls) {
    put(line, tls->alert_level == 1 ? "TLS alert warning " : tls->alert_level == 2 ? "TLS alert fatal " : "TLS alert ");
    if (strcmp(fs_tls_alert_name(tls->alert), "unknown") == 0)
        put_number(line, tls->alert);
    else
        put(line, fs_tls_alert_name(tls->alert));
}

static void put_alpn(struct line *line, const struct fs_tls_message *tls) {
    bool is_offer = tls->type == FS_TLS_CLIENT_HELLO;
    uint32_t count = is_offer ? tls->client.alpn_count : 0;
    if (!is_offer && tls->alpn.data) {
        put(line, " ALPN=");
        put_text(line, tls->alpn.data, tls->alpn.length);
    }
    for (uint32_t i = 0; i < count; i++) {
        put(line, i ? "," : " ALPN=");
        put_text(line, tls->client.alpn[i].data, tls->client.alpn[i].length);
    }
}

static void put_tls(struct line *line, const struct fs_message *message) {
    const struct fs_tls_message *tls = message->detail;
    if (tls->type == FS_TLS_ALERT) {
        put_alert(line, tls);
        return;
    }
    const char *version = fs_tls_version_name(tls->version);
    put(line, strcmp(version, "unknown") == 0 ? "TLS" : version);
    if (tls->client.server_name.data) {
        put(line, " SNI=");
        put_text(line, tls->client.server_name.data, tls->client.server_name.length);
    }
    put_alpn(line, tls);
    if (tls->type == FS_TLS_SERVER_HELLO)
        put(line, " " ARROW " ServerHello");
    else if (tls->type == FS_TLS_HELLO_RETRY_REQUEST)
        put(line, " " ARROW " HelloRetryRequest");
}

/* ---- DNS ---- */

static void put_dns_type(struct line *line, unsigned type) {
    const char *name = fs_dns_type_name(type);
    if (strcmp(name, "unknown") == 0) { /* RFC 3597, 5 */
        put_word(line, "TYPE");
        put_number(line, type);
    } else {
        put_word(line, name);
    }
}

/* In presentation form: printable ASCII, in which a backslash has its own meaning. */
static void put_name(struct line *line, const char *name) {
    size_t length = strlen(name), shown = length < FS_MESSAGE_TEXT_SHOWN ? length : FS_MESSAGE_TEXT_SHOWN;
    for (size_t i = 0; i < shown; i++)
        put_unit(line, name + i, 1);
    if (shown < length)
        put(line, ELLIPSIS);
}

static void put_dns(struct line *line, const struct fs_message *message) {
    enum { ANSWER_SIZE = 256 };
    const struct fs_dns_message *dns = message->detail;
    const char *name = dns->name, *opcode = fs_dns_opcode_name(dns->opcode);
    bool has_question = dns->name[0] || dns->type || !dns->record_count;
    if (dns->opcode)
        put_word(line, strcmp(opcode, "unknown") == 0 ? "opcode unknown" : opcode);
    if (!has_question)
        name = dns->records[0].name;
    if (name[0] || dns->record_count) {
        put_dns_type(line, has_question ? dns->type : dns->records[0].type);
        put_word(line, "");
        put_name(line, name);
    } else {
        put_word(line, "DNS");
    }
    if (dns->marks & FS_DNS_RETRY)
        put(line, " retry");
    char answer[ANSWER_SIZE];
    if (message->kind != FS_MESSAGE_UNANSWERED && fs_dns_answer_text(dns, answer, sizeof answer)) {
        put_word(line, ARROW " ");
        put(line, answer);
    }
}

/* ---- all ---- */

static void put_other(struct line *line, const struct fs_message *message) {
    put(line, fs_session_protocol_name(message->protocol));
    if (message->protocol >= FS_SESSION_USER) {
        put(line, " ");
        put_number(line, message->protocol);
    }
    if (message->kind != FS_MESSAGE_NOTICE && message->kind != FS_MESSAGE_UNANSWERED)
        put_word(line, fs_message_kind_name(message->kind));
    put_bytes(line, message->bytes);
}

static void put_detail(struct line *line, const struct fs_message *message) {
    switch (message->detail ? message->protocol : FS_SESSION_NONE) {
    case FS_SESSION_HTTP:
        put_http(line, message);
        break;
    case FS_SESSION_TLS:
        put_tls(line, message);
        break;
    case FS_SESSION_DNS:
        put_dns(line, message);
        break;
    default:
        put_other(line, message);
    }
}

size_t fs_message_text(const struct fs_message *message, char *text, size_t size) {
    struct line line = {.text = text, .size = size};
    put_detail(&line, message);
    if (message->kind == FS_MESSAGE_UNANSWERED)
        put_word(&line, "unanswered");
    put_time(&line, message);
    if (message->incomplete)
        put_word(&line, "incomplete");
    text[line.used] = '\0';
    return line.used;
}
