/* SPDX-License-Identifier: MIT */
/* Suricata's EVE: what was said in a flow, and what was unusual. Names and meaning are those of Suricata 8:
 * src/output-json-http.c, src/output-json-tls.c, rust/src/dns/log.rs (version 3) and src/output-json-anomaly.c. */
#include "record_eve.h"

#include "bytes.h"
#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/session.h"
#include "flowscope/tls.h"

/* Room that is left for what follows a list. */
enum { REST_MAX = 2048 };

/* `name` with its quotes, comma and colon. */
static void put_text(struct fs__line *line, const char *name, const void *bytes, size_t length) {
    fs__put_string(line, name);
    fs__put_char(line, '"');
    fs__put_escaped_bytes(line, FS__ESCAPE_JSON, bytes, length, FS_RECORD_EVENT_TEXT_MAX);
    fs__put_char(line, '"');
}

static void put_string(struct fs__line *line, const char *name, const char *text) {
    put_text(line, name, text, strlen(text));
}

/* Of a list that is as long as the sender likes, as much as there is room for. */
struct list {
    struct fs__line *line;
    char *end; /* of the line */
    unsigned count;
    bool is_cut;
};

static struct list open_list(struct fs__line *line, const char *head) {
    struct list list = {line, line->end, 0, false};
    fs__put_string(line, head);
    line->end -= line->end - line->at > REST_MAX ? REST_MAX : line->end - line->at;
    return list;
}

/* Where an item begins; to be given back to end_item(). */
static char *begin_item(struct list *list) {
    char *start = list->line->at;
    if (list->count)
        fs__put_char(list->line, ',');
    return start;
}

static void end_item(struct list *list, char *start) {
    if (!list->line->full) {
        list->count++;
        return;
    }
    list->line->at = start;
    list->line->full = false;
    list->is_cut = true;
}

static bool close_list(struct list *list, char tail) {
    list->line->end = list->end;
    fs__put_char(list->line, tail);
    return list->is_cut;
}

/* ---- HTTP ---- */

struct authority {
    struct fs_http_text host;
    long port; /* -1: not said */
};

static const uint8_t *find(struct fs_http_text text, uint8_t c) {
    return text.length ? memchr(text.data, c, text.length) : NULL;
}

static long port_of(const uint8_t *digits, size_t length) {
    long port = 0;
    if (length == 0 || length > 5)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return -1;
        port = port * 10 + (digits[i] - '0');
    }
    return port <= UINT16_MAX ? port : -1;
}

/* host[:port]; an IPv6 address stands in brackets. */
static struct authority split(struct fs_http_text text) {
    struct authority authority = {text, -1};
    const uint8_t *bracket = text.length && text.data[0] == '[' ? find(text, ']') : NULL;
    size_t from = bracket ? (size_t)(bracket - text.data) : 0;
    const struct fs_http_text rest = {text.data + from, text.length - from};
    const uint8_t *colon = find(rest, ':');
    if (!colon)
        return authority;
    size_t length = (size_t)(colon - text.data);
    authority.port = port_of(colon + 1, text.length - length - 1);
    if (authority.port >= 0)
        authority.host.length = length;
    return authority;
}

/* RFC 9112, 3.2: the target of a CONNECT, or a whole URI, says it; else the Host header. */
static struct authority authority_of(const struct fs_http_message *http) {
    struct fs_http_text target = http->target;
    if (http->method.length == 7 && memcmp(http->method.data, "CONNECT", 7) == 0)
        return split(target);
    if (target.length < 7 || (memcmp(target.data, "http://", 7) != 0 && memcmp(target.data, "https:/", 7) != 0))
        return split(http->host);
    size_t start = target.data[4] == 's' ? 8 : 7;
    start = start < target.length ? start : target.length;
    struct fs_http_text authority = {target.data + start, 0};
    while (start + authority.length < target.length && !strchr("/?#", authority.data[authority.length]))
        authority.length++;
    const uint8_t *user = find(authority, '@');
    if (user) {
        authority.length -= (size_t)(user + 1 - authority.data);
        authority.data = user + 1;
    }
    return split(authority);
}

static void put_host(struct fs__line *line, struct fs_http_text host) {
    uint8_t lower[FS_RECORD_EVENT_TEXT_MAX];
    size_t length = host.length < sizeof lower ? host.length : sizeof lower;
    for (size_t i = 0; i < length; i++)
        lower[i] = host.data[i] >= 'A' && host.data[i] <= 'Z' ? (uint8_t)(host.data[i] + 'a' - 'A') : host.data[i];
    put_text(line, "\"hostname\":", lower, length);
    fs__put_char(line, ',');
}

/* `limit` is what the parser keeps: all texts together must fit. */
static void put_http_text(struct fs__line *line, const char *name, struct fs_http_text text, size_t limit) {
    if (!text.length)
        return;
    text.length = text.length < limit ? text.length : limit;
    put_text(line, name, text.data, text.length);
    fs__put_char(line, ',');
}

static struct fs_http_text media_type(struct fs_http_text type) {
    const uint8_t *parameters = find(type, ';');
    if (parameters)
        type.length = (size_t)(parameters - type.data);
    return type;
}

static void put_http(struct fs__line *line, const struct fs_http_message *http) {
    enum { AGENT_MAX = 512, TYPE_MAX = 256 };
    struct authority authority = authority_of(http);
    FS__PUT_LITERAL(line, ",\"http\":{");
    if (authority.host.length)
        put_host(line, authority.host);
    if (authority.port >= 0) {
        FS__EVE_NUMBER(line, "\"http_port\":", (uint64_t)authority.port);
        fs__put_char(line, ',');
    }
    put_http_text(line, "\"url\":", http->target, FS_HTTP_TARGET_MAX);
    put_http_text(line, "\"http_user_agent\":", http->user_agent, AGENT_MAX);
    if (http->is_response)
        put_http_text(line, "\"http_content_type\":", media_type(http->content_type), TYPE_MAX);
    put_http_text(line, "\"http_refer\":", http->referer, FS_HTTP_TARGET_MAX);
    put_http_text(line, "\"http_method\":", http->method, FS_HTTP_METHOD_MAX);
    if (http->version_major) {
        FS__EVE_NUMBER(line, "\"protocol\":\"HTTP/", http->version_major);
        FS__EVE_NUMBER(line, ".", http->version_minor);
        FS__PUT_LITERAL(line, "\",");
    }
    if (http->status) {
        FS__EVE_NUMBER(line, "\"status\":", http->status);
        fs__put_char(line, ',');
    }
    put_http_text(line, "\"redirect\":", http->location, FS_HTTP_TARGET_MAX);
    FS__EVE_NUMBER(line, "\"length\":", http->is_response ? http->body_bytes : 0);
    fs__put_char(line, '}');
}

static bool is_http_event(const struct fs_message *message) {
    const struct fs_http_message *http = message->detail;
    return message->kind == FS_MESSAGE_UNANSWERED ||
           (message->kind == FS_MESSAGE_RESPONSE && !(http->flags & FS_HTTP_INTERIM));
}

/* ---- TLS ---- */

static void put_version(struct fs__line *line, uint16_t version) {
    static const char *const names[] = {"SSLv3", "TLSv1", "TLS 1.1", "TLS 1.2", "TLS 1.3"};
    FS__PUT_LITERAL(line, "\"version\":\"");
    if (version >= 0x0300 && version < 0x0300 + sizeof names / sizeof names[0]) {
        fs__put_string(line, names[version - 0x0300]);
    } else if (!version) {
        FS__PUT_LITERAL(line, "UNDETERMINED");
    } else {
        FS__PUT_LITERAL(line, "0x");
        fs__put_hex(line, version, 4);
    }
    fs__put_char(line, '"');
}

static void put_client_alpns(struct fs__line *line, const struct fs_tls_client *client) {
    if (!client->alpn_count)
        return;
    FS__PUT_LITERAL(line, ",\"client_alpns\":[");
    for (uint32_t i = 0; i < client->alpn_count; i++)
        put_text(line, i ? "," : "", client->alpn[i].data, client->alpn[i].length);
    fs__put_char(line, ']');
}

static void put_tls(struct fs__line *line, const struct fs_tls_message *tls) {
    bool answered = tls->type == FS_TLS_SERVER_HELLO;
    FS__PUT_LITERAL(line, ",\"tls\":{");
    if (tls->client.server_name.length) {
        put_text(line, "\"sni\":", tls->client.server_name.data, tls->client.server_name.length);
        fs__put_char(line, ',');
    }
    put_version(line, answered ? tls->version : 0);
    if (answered && (tls->flags & FS_TLS_RESUMED))
        FS__PUT_LITERAL(line, ",\"session_resumed\":true");
    if (*tls->client.ja3) {
        FS__EVE_STRING(line, ",\"ja3\":{\"hash\":", tls->client.ja3);
        fs__put_char(line, '}');
    }
    if (answered && *tls->ja3s) {
        FS__EVE_STRING(line, ",\"ja3s\":{\"hash\":", tls->ja3s);
        if (tls->ja3_text)
            put_string(line, ",\"string\":", tls->ja3_text);
        fs__put_char(line, '}');
    }
    if (*tls->client.ja4)
        FS__EVE_STRING(line, ",\"ja4\":", tls->client.ja4);
    put_client_alpns(line, &tls->client);
    if (answered && tls->alpn.length) {
        put_text(line, ",\"server_alpns\":[", tls->alpn.data, tls->alpn.length);
        fs__put_char(line, ']');
    }
    fs__put_char(line, '}');
}

static bool is_tls_event(const struct fs_message *message) {
    const struct fs_tls_message *tls = message->detail;
    return message->kind == FS_MESSAGE_UNANSWERED ||
           (message->kind == FS_MESSAGE_RESPONSE && tls->type == FS_TLS_SERVER_HELLO);
}

/* ---- DNS ---- */

static void put_type(struct fs__line *line, uint16_t type) {
    const char *name = fs_dns_type_name(type);
    fs__put_char(line, '"');
    if (strcmp(name, "unknown") == 0)
        fs__put_number(line, type);
    else
        fs__put_string(line, name);
    fs__put_char(line, '"');
}

static void put_rcode(struct fs__line *line, uint16_t rcode) {
    const char *name = fs_dns_rcode_name(rcode);
    FS__PUT_LITERAL(line, ",\"rcode\":\"");
    if (strcmp(name, "unknown") == 0)
        fs__put_number(line, rcode);
    else
        fs__put_string(line, name);
    fs__put_char(line, '"');
}

/* Suricata has no zeros left out. */
static void put_ipv6(struct fs__line *line, const uint8_t *address) {
    for (unsigned i = 0; i < 8; i++) {
        if (i)
            fs__put_char(line, ':');
        fs__put_hex(line, fs__be16(address + (size_t)2 * i), 4);
    }
}

/* The n-th of the words that a value consists of; empty if there are fewer. */
static struct fs_http_text word_of(const char *text, unsigned n) {
    for (; n && text; n--) {
        text = strchr(text, ' ');
        text = text ? text + 1 : NULL;
    }
    return (struct fs_http_text){(const uint8_t *)text, text ? strcspn(text, " ") : 0};
}

/* An object of the words of a value; those of which the name begins with '#' are numbers. */
static void put_words(struct fs__line *line, const char *text, const char *const *names, unsigned count) {
    fs__put_char(line, '{');
    for (unsigned i = 0; i < count; i++) {
        struct fs_http_text word = word_of(text, i);
        bool is_number = names[i][0] == '#';
        fs__put_string(line, i ? ",\"" : "\"");
        fs__put_string(line, names[i] + is_number);
        if (is_number) {
            FS__PUT_LITERAL(line, "\":");
            fs__put_bytes(line, (const char *)word.data, word.length);
        } else {
            put_text(line, "\":", word.data, word.length);
        }
    }
    fs__put_char(line, '}');
}

static void put_soa(struct fs__line *line, const struct fs_dns_record *record) {
    static const char *const names[] = {"mname", "rname", "#serial", "#refresh", "#retry", "#expire", "#minimum"};
    put_words(line, record->text, names, 7);
}

static void put_srv(struct fs__line *line, const struct fs_dns_record *record) {
    static const char *const names[] = {"#priority", "#weight", "#port", "name"};
    put_words(line, record->text, names, 4);
}

/* RFC 4255: algorithm, type of the fingerprint, fingerprint. */
static void put_sshfp(struct fs__line *line, const struct fs_dns_record *record) {
    enum { HEAD = 2, LONGEST = 128 };
    size_t length = record->data_length - HEAD < LONGEST ? (size_t)record->data_length - HEAD : LONGEST;
    FS__PUT_LITERAL(line, "{\"fingerprint\":\"");
    for (size_t i = 0; i < length; i++) {
        if (i)
            fs__put_char(line, ':');
        fs__put_hex(line, record->data[HEAD + i], 2);
    }
    FS__EVE_NUMBER(line, "\",\"algo\":", record->data[0]);
    FS__EVE_NUMBER(line, ",\"type\":", record->data[1]);
    fs__put_char(line, '}');
}

/* How the value of a type is written; FORM_NONE: not at all. */
enum form { FORM_NONE, FORM_TEXT, FORM_IPV6, FORM_MX, FORM_STRINGS, FORM_BYTES, FORM_SOA, FORM_SRV, FORM_SSHFP };

static bool has_words(const struct fs_dns_record *record, unsigned count) {
    return word_of(record->text, count - 1).length > 0 && word_of(record->text, count).length == 0;
}

static enum form form_of(const struct fs_dns_record *record) {
    if (record->malformed || !record->data)
        return FORM_NONE;
    switch (record->type) {
    case FS_DNS_A:
    case FS_DNS_CNAME:
    case FS_DNS_NS:
    case FS_DNS_PTR:
        return *record->text ? FORM_TEXT : FORM_NONE;
    case FS_DNS_AAAA:
        return record->data_length == 16 ? FORM_IPV6 : FORM_NONE;
    case FS_DNS_MX:
        return has_words(record, 2) ? FORM_MX : FORM_NONE;
    case FS_DNS_TXT:
        return FORM_STRINGS;
    case FS_DNS_NULL:
        return FORM_BYTES;
    case FS_DNS_SOA:
        return has_words(record, 7) ? FORM_SOA : FORM_NONE;
    case FS_DNS_SRV:
        return has_words(record, 4) ? FORM_SRV : FORM_NONE;
    case FS_DNS_SSHFP:
        return record->data_length > 2 ? FORM_SSHFP : FORM_NONE;
    default:
        return FORM_NONE;
    }
}

/* What of a record's data is one value: each string of a TXT record is. */
struct part {
    const uint8_t *bytes;
    size_t length;
};

/* The part that begins at *next, which is moved on; from 0. */
static bool next_part(const struct fs_dns_record *record, enum form form, size_t *next, struct part *part) {
    if (form == FORM_NONE || *next >= record->data_length)
        return false;
    *part = (struct part){record->data, record->data_length};
    if (form != FORM_STRINGS) {
        *next = record->data_length;
        return true;
    }
    *part = (struct part){record->data + *next + 1, record->data[*next]};
    if (part->length > record->data_length - *next - 1)
        return false;
    *next += 1 + part->length;
    return true;
}

static void put_value(struct fs__line *line, const struct fs_dns_record *record, enum form form,
                      const struct part *part) {
    switch (form) {
    case FORM_TEXT:
        put_string(line, "", record->text);
        return;
    case FORM_IPV6:
        fs__put_char(line, '"');
        put_ipv6(line, record->data);
        fs__put_char(line, '"');
        return;
    case FORM_MX:
        put_string(line, "", (const char *)word_of(record->text, 1).data);
        return;
    case FORM_SOA:
        put_soa(line, record);
        return;
    case FORM_SRV:
        put_srv(line, record);
        return;
    case FORM_SSHFP:
        put_sshfp(line, record);
        return;
    default:
        put_text(line, "", part->bytes, part->length);
    }
}

static void put_answer(struct list *list, const struct fs_dns_record *record, enum form form, const struct part *part) {
    struct fs__line *line = list->line;
    char *start = begin_item(list);
    put_string(line, "{\"rrname\":", record->name);
    FS__PUT_LITERAL(line, ",\"rrtype\":");
    put_type(line, record->type);
    FS__EVE_NUMBER(line, ",\"ttl\":", record->ttl);
    if (form != FORM_NONE) {
        fs__put_string(line, form == FORM_SOA     ? ",\"soa\":"
                             : form == FORM_SRV   ? ",\"srv\":"
                             : form == FORM_SSHFP ? ",\"sshfp\":"
                                                  : ",\"rdata\":");
        put_value(line, record, form, part);
    }
    fs__put_char(line, '}');
    end_item(list, start);
}

static bool is_of(const struct fs_dns_record *record, enum fs_dns_section section) {
    return record->section == section && record->type != FS_DNS_OPT;
}

/* Records of a section; nothing if there are none. True if some were left out. */
static bool put_section(struct fs__line *line, const char *head, const struct fs_dns_message *dns,
                        enum fs_dns_section section) {
    uint16_t first = 0;
    while (first < dns->record_count && !is_of(&dns->records[first], section))
        first++;
    if (first == dns->record_count)
        return false;
    struct list list = open_list(line, head);
    for (uint16_t i = first; i < dns->record_count && !list.is_cut; i++) {
        const struct fs_dns_record *record = &dns->records[i];
        if (!is_of(record, section))
            continue;
        enum form form = form_of(record);
        struct part part;
        size_t next = 0;
        bool has_value = next_part(record, form, &next, &part);
        do
            put_answer(&list, record, has_value ? form : FORM_NONE, &part);
        while (has_value && !list.is_cut && next_part(record, form, &next, &part));
    }
    return close_list(&list, ']');
}

static bool came_before(const struct fs_dns_message *dns, uint16_t at) {
    for (uint16_t i = 0; i < at; i++) {
        const struct fs_dns_record *record = &dns->records[i];
        if (is_of(record, FS_DNS_ANSWER) && record->type == dns->records[at].type && form_of(record) != FORM_NONE)
            return true;
    }
    return false;
}

static bool put_values_of_type(struct fs__line *line, const struct fs_dns_message *dns, uint16_t first) {
    struct list list = open_list(line, "[");
    for (uint16_t i = first; i < dns->record_count && !list.is_cut; i++) {
        const struct fs_dns_record *record = &dns->records[i];
        bool belongs = is_of(record, FS_DNS_ANSWER) && record->type == dns->records[first].type;
        enum form form = belongs ? form_of(record) : FORM_NONE;
        struct part part;
        for (size_t next = 0; !list.is_cut && next_part(record, form, &next, &part);) {
            char *start = begin_item(&list);
            put_value(line, record, form, &part);
            end_item(&list, start);
        }
    }
    return close_list(&list, ']');
}

/* The answers' values by type, in the order of the types' first records. */
static bool put_grouped(struct fs__line *line, const struct fs_dns_message *dns) {
    bool is_cut = false, any = false;
    FS__PUT_LITERAL(line, ",\"grouped\":{");
    for (uint16_t i = 0; i < dns->record_count && !is_cut; i++) {
        if (!is_of(&dns->records[i], FS_DNS_ANSWER) || form_of(&dns->records[i]) == FORM_NONE || came_before(dns, i))
            continue;
        if (any)
            fs__put_char(line, ',');
        put_type(line, dns->records[i].type);
        fs__put_char(line, ':');
        is_cut = put_values_of_type(line, dns, i);
        any = true;
    }
    fs__put_char(line, '}');
    return is_cut;
}

static bool put_queries(struct fs__line *line, const struct fs_dns_message *dns) {
    if (!dns->record_count || dns->records[0].section != FS_DNS_QUESTION)
        return false;
    struct list list = open_list(line, ",\"queries\":[");
    for (uint16_t i = 0; i < dns->record_count && !list.is_cut; i++) {
        if (dns->records[i].section != FS_DNS_QUESTION)
            continue;
        char *start = begin_item(&list);
        put_string(line, "{\"rrname\":", dns->records[i].name);
        FS__PUT_LITERAL(line, ",\"rrtype\":");
        put_type(line, dns->records[i].type);
        fs__put_char(line, '}');
        end_item(&list, start);
    }
    return close_list(&list, ']');
}

static void put_flags(struct fs__line *line, uint16_t flags) {
    static const struct {
        uint16_t bit;
        const char *text;
    } bits[] = {{FS_DNS_QR, ",\"qr\":true"}, {FS_DNS_AA, ",\"aa\":true"}, {FS_DNS_TC, ",\"tc\":true"},
                {FS_DNS_RD, ",\"rd\":true"}, {FS_DNS_RA, ",\"ra\":true"}, {FS_DNS_Z, ",\"z\":true"}};
    unsigned digits = flags > 0xfff ? 4 : flags > 0xff ? 3 : flags > 0xf ? 2 : 1;
    FS__PUT_LITERAL(line, ",\"flags\":\"");
    fs__put_hex(line, flags, digits);
    fs__put_char(line, '"');
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        if (flags & bits[i].bit)
            fs__put_string(line, bits[i].text);
    }
}

/* True if something was left out for want of room. */
static bool put_dns(struct fs__line *line, const struct fs_message *message) {
    const struct fs_dns_message *dns = message->detail;
    FS__PUT_LITERAL(line, ",\"dns\":{\"version\":3,\"type\":\"");
    fs__put_string(line, dns->flags & FS_DNS_QR ? "response\"" : "request\"");
    if (message->exchange)
        FS__EVE_NUMBER(line, ",\"tx_id\":", message->exchange - 1);
    FS__EVE_NUMBER(line, ",\"id\":", dns->id);
    put_flags(line, dns->flags);
    FS__EVE_NUMBER(line, ",\"opcode\":", dns->opcode);
    put_rcode(line, dns->flags & 0xf);
    bool is_cut = put_queries(line, dns);
    bool no_answers = true;
    for (uint16_t i = 0; i < dns->record_count; i++)
        no_answers = no_answers && !is_of(&dns->records[i], FS_DNS_ANSWER);
    is_cut |= put_section(line, ",\"answers\":[", dns, FS_DNS_ANSWER);
    if (!no_answers)
        is_cut |= put_grouped(line, dns);
    is_cut |= put_section(line, ",\"authorities\":[", dns, FS_DNS_AUTHORITY);
    is_cut |= put_section(line, ",\"additionals\":[", dns, FS_DNS_ADDITIONAL);
    fs__put_char(line, '}');
    return is_cut;
}

static bool is_dns_event(const struct fs_record_flow *record, const struct fs_message *message) {
    const struct fs_flow_info *flow = &record->flow;
    const uint8_t *to = flow->key.address[fs_endpoint(flow, FS_RESPONDER)];
    bool is_group = flow->key.family == FS_FAMILY_IPV6 ? to[0] == 0xff : to[0] >> 4 == 0xe;
    return message->kind != FS_MESSAGE_UNANSWERED && !is_group;
}

/* ---- events ---- */

static const char *type_of(const struct fs_record_flow *record, const struct fs_message *message) {
    if (message->protocol == FS_SESSION_HTTP)
        return is_http_event(message) ? "http" : NULL;
    if (message->protocol == FS_SESSION_TLS)
        return is_tls_event(message) ? "tls" : NULL;
    if (message->protocol == FS_SESSION_DNS)
        return is_dns_event(record, message) ? "dns" : NULL;
    return NULL;
}

static void put_http_marks(struct fs__line *line, uint32_t flags) {
    const char *before = ",\"marks\":[\"";
    for (unsigned bit = 0; bit < FS_HTTP_FLAG_COUNT; bit++) {
        if (!(flags >> bit & 1))
            continue;
        fs__put_string(line, before);
        fs__put_string(line, fs_http_flag_slug(UINT32_C(1) << bit));
        before = "\",\"";
    }
    if (flags)
        FS__PUT_LITERAL(line, "\"]");
}

static void put_own(struct fs__line *line, const struct fs_record_flow *record, const char *uid) {
    FS__EVE_NUMBER(line, ",\"flowscope\":{\"flow\":", record->flow.id);
    FS__EVE_STRING(line, ",\"uid\":", uid);
}

static void put_own_of_message(struct fs__line *line, const struct fs_message *message, bool is_cut) {
    uint64_t time_ns = fs_message_time_ns(message);
    FS__EVE_NUMBER(line, ",\"start_frame\":", message->start_frame);
    FS__EVE_NUMBER(line, ",\"end_frame\":", message->end_frame);
    if (message->request_frame)
        FS__EVE_NUMBER(line, ",\"request_frame\":", message->request_frame);
    if (time_ns != FS_NO_TIME)
        FS__EVE_NUMBER(line, ",\"time_ns\":", time_ns);
    if (message->kind == FS_MESSAGE_UNANSWERED)
        FS__PUT_LITERAL(line, ",\"unanswered\":true");
    if (message->incomplete)
        FS__PUT_LITERAL(line, ",\"incomplete\":true");
    if (is_cut)
        FS__PUT_LITERAL(line, ",\"cut\":true");
    if (message->protocol == FS_SESSION_HTTP)
        put_http_marks(line, ((const struct fs_http_message *)message->detail)->flags);
}

bool fs__eve_message(struct fs__line *line, const struct fs_record_flow *record, const struct fs_message *message,
                     const struct fs_record_options *options) {
    char uid[FS_UID_SIZE];
    struct fs__eve_event event = {.record = record,
                                  .type = type_of(record, message),
                                  .uid = uid,
                                  .time_ns = message->end_ns,
                                  .frame = message->end_frame};
    if (!event.type)
        return false;
    fs_flow_uid(&record->flow, options->uid_seed, uid);
    if (!fs__eve_head(line, &event))
        return false;
    bool is_cut = false;
    if (message->protocol == FS_SESSION_DNS) {
        is_cut = put_dns(line, message);
    } else if (message->protocol == FS_SESSION_HTTP) {
        if (message->exchange)
            FS__EVE_NUMBER(line, ",\"tx_id\":", message->exchange - 1);
        put_http(line, message->detail);
    } else {
        put_tls(line, message->detail);
    }
    fs__eve_community_id(line, &record->flow, options);
    put_own(line, record, uid);
    put_own_of_message(line, message, is_cut);
    FS__PUT_LITERAL(line, "}}");
    return true;
}

/* ---- anomalies ---- */

/* Suricata's event of the same meaning, or NULL. */
static const char *stream_event(const struct fs_record_anomaly *anomaly) {
    switch (anomaly->anomaly) {
    case FS_ANOMALY_SYN_IN_FLOW:
        return anomaly->side == FS_INITIATOR ? "stream.est_syn_resend_diff_seq" : "stream.est_syn_toclient";
    case FS_ANOMALY_SYN_ACK_MISMATCH:
        return "stream.3whs_synack_with_wrong_ack";
    case FS_ANOMALY_GAP:
        return "stream.reassembly_seq_gap";
    case FS_ANOMALY_CONFLICT:
        return "stream.reassembly_overlap_different_data";
    default:
        return NULL;
    }
}

bool fs__eve_anomaly(struct fs__line *line, const struct fs_record_flow *record,
                     const struct fs_record_anomaly *anomaly, const struct fs_record_options *options) {
    char uid[FS_UID_SIZE];
    struct fs__eve_event event = {.record = record,
                                  .type = "anomaly",
                                  .uid = uid,
                                  .time_ns = anomaly->time_ns,
                                  .frame = anomaly->frame,
                                  .from = anomaly->side};
    const char *name = stream_event(anomaly);
    fs_flow_uid(&record->flow, options->uid_seed, uid);
    if (!fs__eve_head(line, &event))
        return false;
    FS__PUT_LITERAL(line, ",\"anomaly\":{\"type\":\"stream\"");
    if (name)
        FS__EVE_STRING(line, ",\"event\":", name);
    fs__put_char(line, '}');
    fs__eve_community_id(line, &record->flow, options);
    put_own(line, record, uid);
    FS__EVE_STRING(line, ",\"anomaly\":", fs_anomaly_slug(anomaly->anomaly));
    FS__PUT_LITERAL(line, "}}");
    return true;
}
