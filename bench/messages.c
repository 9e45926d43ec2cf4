/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include "flowscope/dns.h"
#include "flowscope/http.h"
#include "flowscope/tls.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- JSON ---- */

static void print_bytes(const uint8_t *data, size_t length) {
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '"' || data[i] == '\\')
            printf("\\%c", data[i]);
        else if (data[i] >= 0x20 && data[i] < 0x7f)
            putchar(data[i]);
        else
            printf("\\u%04x", data[i]);
    }
    putchar('"');
}

static void text_member(const char *name, const char *text) {
    printf(",\"%s\":", name);
    print_bytes((const uint8_t *)text, strlen(text));
}

static void number_member(const char *name, uint64_t number) {
    printf(",\"%s\":%" PRIu64, name, number);
}

/* ---- HTTP ---- */

static void http_member(const char *name, struct fs_http_text text) {
    if (!text.length)
        return;
    printf(",\"%s\":", name);
    print_bytes(text.data, text.length);
}

static void print_http_flags(uint32_t flags) {
    const char *separator = "";
    fputs(",\"flags\":[", stdout);
    for (unsigned i = 0; i < FS_HTTP_FLAG_COUNT; i++) {
        if (!(flags >> i & 1))
            continue;
        printf("%s\"%s\"", separator, fs_http_flag_slug(1U << i));
        separator = ",";
    }
    putchar(']');
}

static void print_http(const struct fs_http_message *http) {
    http_member("method", http->method);
    http_member("target", http->target);
    http_member("host", http->host);
    if (http->is_response)
        number_member("status", http->status);
    printf(",\"version\":\"%u.%u\"", http->version_major, http->version_minor);
    http_member("reason", http->reason);
    http_member("content_type", http->content_type);
    http_member("user_agent", http->user_agent);
    http_member("server", http->server);
    number_member("body_bytes", http->body_bytes);
    number_member("body_missing", http->body_missing);
    number_member("header_bytes", http->header_bytes);
    print_http_flags(http->flags);
}

/* ---- TLS ---- */

static const char *tls_type_name(unsigned type) {
    static const char *const names[] = {"unknown", "client-hello", "server-hello", "hello-retry-request", "alert"};
    return type < sizeof names / sizeof names[0] ? names[type] : names[0];
}

static void print_alpn(const struct fs_tls_message *tls) {
    bool is_offer = tls->type == FS_TLS_CLIENT_HELLO;
    fputs(",\"alpn\":[", stdout);
    if (!is_offer && tls->alpn.data)
        print_bytes(tls->alpn.data, tls->alpn.length);
    for (uint32_t i = 0; is_offer && i < tls->client.alpn_count; i++) {
        if (i)
            putchar(',');
        print_bytes(tls->client.alpn[i].data, tls->client.alpn[i].length);
    }
    putchar(']');
}

static void print_tls(const struct fs_tls_message *tls) {
    text_member("type", tls_type_name(tls->type));
    text_member("version", fs_tls_version_name(tls->version));
    if (tls->type == FS_TLS_ALERT) {
        number_member("alert_level", tls->alert_level);
        number_member("alert", tls->alert);
        return;
    }
    number_member("legacy_version", tls->legacy_version);
    if (tls->client.server_name.data) {
        fputs(",\"sni\":", stdout);
        print_bytes(tls->client.server_name.data, tls->client.server_name.length);
    }
    print_alpn(tls);
    text_member("ja3", tls->client.ja3);
    text_member("ja4", tls->client.ja4);
    if (tls->type != FS_TLS_CLIENT_HELLO) {
        number_member("cipher_suite", tls->cipher_suite);
        number_member("group", tls->group);
        text_member("ja3s", tls->ja3s);
    }
    number_member("flags", tls->flags);
}

/* ---- DNS ---- */

static void print_record(const struct fs_dns_record *record) {
    printf("{\"section\":%u,\"type\":%u,\"class\":%u,\"ttl\":%" PRIu32, record->section, record->type, record->rr_class,
           record->ttl);
    text_member("name", record->name);
    text_member("text", record->text);
    putchar('}');
}

static void print_dns(const struct fs_dns_message *dns) {
    number_member("id", dns->id);
    number_member("flags", dns->flags);
    number_member("opcode", dns->opcode);
    number_member("rcode", dns->rcode);
    number_member("marks", dns->marks);
    text_member("name", dns->name);
    number_member("type", dns->type);
    number_member("class", dns->query_class);
    number_member("retries", dns->retries);
    number_member("responses", dns->responses);
    fputs(",\"records\":[", stdout);
    for (unsigned i = 0; i < dns->record_count; i++) {
        if (i)
            putchar(',');
        print_record(&dns->records[i]);
    }
    putchar(']');
}

/* ---- all ---- */

static void print_detail(const struct fs_message *message) {
    /* The parser's name once more, so that every member after it can begin with a comma. */
    const char *name = fs_session_protocol_name(message->protocol);
    printf(",\"detail\":{\"protocol\":\"%s\"", name);
    if (message->protocol == FS_SESSION_HTTP)
        print_http(message->detail);
    else if (message->protocol == FS_SESSION_TLS)
        print_tls(message->detail);
    else if (message->protocol == FS_SESSION_DNS)
        print_dns(message->detail);
    putchar('}');
}

void print_message_json(uint64_t flow, const struct fs_message *message) {
    printf("{\"frame\":%" PRIu32 ",\"end_frame\":%" PRIu32 ",\"flow\":%" PRIu64, message->start_frame,
           message->end_frame, flow);
    text_member("side", fs_side_name(message->side));
    text_member("protocol", fs_session_protocol_name(message->protocol));
    text_member("kind", fs_message_kind_name(message->kind));
    number_member("exchange", message->exchange);
    number_member("request_frame", message->request_frame);
    uint64_t time_ns = fs_message_time_ns(message);
    if (time_ns != FS_NO_TIME)
        number_member("time_ns", time_ns);
    number_member("bytes", message->bytes);
    printf(",\"incomplete\":%s", message->incomplete ? "true" : "false");
    if (message->detail)
        print_detail(message);
    puts("}");
}
