/* SPDX-License-Identifier: MIT */
/* Hellos become messages, and are paired: by number, not by order of arrival, since either side's may be missing or
 * come late. */
#include "tls_internal.h"

#include <string.h>

bool fs__tls_is_1_3(uint16_t version) {
    return version == FS__TLS_1_3 || version >> 8 == 0x7f;
}

const char *fs_tls_version_name(uint16_t version) {
    switch (version) {
    case 0x0002:
        return "SSL 2.0";
    case 0x0300:
        return "SSL 3.0";
    case 0x0301:
        return "TLS 1.0";
    case 0x0302:
        return "TLS 1.1";
    case 0x0303:
        return "TLS 1.2";
    case FS__TLS_1_3:
        return "TLS 1.3";
    default:
        return fs__tls_is_1_3(version) ? "TLS 1.3 draft" : "unknown";
    }
}

/* ---- what is remembered ---- */

static void forget(struct fs__tls_exchanges *exchanges, struct fs__tls_exchange *exchange) {
    fs__release(&exchanges->memory, exchange->names, (size_t)exchange->name_length + exchange->alpn_length);
    memset(exchange, 0, sizeof *exchange);
}

/* The first protocols of the list that fit. */
static size_t alpn_that_fits(const struct fs_tls_client *client) {
    size_t length = 0;
    for (uint32_t i = 0; i < client->alpn_count; i++) {
        if (length + 1 + client->alpn[i].length > FS_TLS_NAME_LIMIT)
            break;
        length += 1 + client->alpn[i].length;
    }
    return length;
}

static void remember_names(struct fs__tls_exchanges *exchanges, struct fs__tls_exchange *exchange,
                           const struct fs_tls_client *client) {
    size_t name_length = client->server_name.length;
    if (name_length > FS_TLS_NAME_LIMIT)
        name_length = FS_TLS_NAME_LIMIT;
    size_t list_length, alpn_length = alpn_that_fits(client);
    const uint8_t *list = fs__tls_alpn_list(client, &list_length);
    exchange->alpn_total = client->alpn_total;
    exchange->is_cut = client->is_cut || name_length < client->server_name.length || alpn_length < list_length;
    if (!(name_length + alpn_length))
        return;
    exchange->names = fs__alloc(&exchanges->memory, name_length + alpn_length);
    if (!exchange->names) {
        exchange->is_cut = true;
        return;
    }
    exchange->name_length = (uint16_t)name_length;
    exchange->alpn_length = (uint16_t)alpn_length;
    if (name_length)
        memcpy(exchange->names, client->server_name.data, name_length);
    if (alpn_length)
        memcpy(exchange->names + name_length, list, alpn_length);
}

static void remember_session_id(struct fs__tls_exchange *exchange, const struct fs_tls_message *message) {
    if (message->session_id_length > sizeof exchange->session_id)
        return;
    exchange->session_id_length = message->session_id_length;
    if (message->session_id_length)
        memcpy(exchange->session_id, message->session_id, message->session_id_length);
}

static void recall(const struct fs__tls_exchange *exchange, struct fs_tls_client *client) {
    client->version = exchange->version;
    memcpy(client->ja3, exchange->ja3, sizeof client->ja3);
    memcpy(client->ja4, exchange->ja4, sizeof client->ja4);
    if (exchange->name_length)
        client->server_name = (struct fs_tls_bytes){exchange->names, exchange->name_length};
    if (exchange->alpn_length)
        fs__tls_split_alpn(exchange->names + exchange->name_length, exchange->alpn_length, client);
    client->alpn_total = exchange->alpn_total;
    client->is_cut = exchange->is_cut;
}

/* ---- reports ---- */

static void emit(struct fs__tls_exchanges *exchanges, struct fs_message *message, const struct fs__tls_span *span,
                 const struct fs_tls_message *detail) {
    message->protocol = FS_SESSION_TLS;
    message->start_ns = span->start_ns;
    message->end_ns = span->end_ns;
    message->start_frame = span->start_frame;
    message->end_frame = span->end_frame;
    message->bytes = span->bytes;
    message->detail = detail;
    exchanges->host.on_message(message, exchanges->host.user);
}

static void report_unanswered(struct fs__tls_exchanges *exchanges, struct fs__tls_exchange *exchange) {
    if (!exchange->number || exchange->is_answered)
        return;
    exchange->is_answered = true;
    struct fs_tls_message detail = {.type = FS_TLS_CLIENT_HELLO,
                                    .flags = exchange->flags,
                                    .record_version = exchange->record_version,
                                    .legacy_version = exchange->legacy_version,
                                    .version = exchange->version};
    recall(exchange, &detail.client);
    struct fs_message message = {.kind = FS_MESSAGE_UNANSWERED,
                                 .side = exchange->side,
                                 .incomplete = exchange->is_incomplete,
                                 .exchange = exchange->number,
                                 .request_ns = FS_NO_TIME};
    emit(exchanges, &message, &exchange->span, &detail);
}

void fs__tls_report_unanswered(struct fs__tls_exchanges *exchanges) {
    for (uint64_t i = 1; i <= 2; i++) /* the older one first */
        report_unanswered(exchanges, &exchanges->recent[(exchanges->client_number + i) % 2]);
}

void fs__tls_exchanges_free(struct fs__tls_exchanges *exchanges) {
    for (unsigned i = 0; i < 2; i++)
        forget(exchanges, &exchanges->recent[i]);
}

static void remember(struct fs__tls_exchanges *exchanges, const struct fs__tls_hello *hello,
                     const struct fs_tls_message *detail, bool is_answered) {
    struct fs__tls_exchange *exchange = &exchanges->recent[exchanges->client_number % 2];
    report_unanswered(exchanges, exchange);
    forget(exchanges, exchange);
    exchange->span = hello->span;
    exchange->number = exchanges->client_number;
    exchange->is_answered = is_answered;
    exchange->is_incomplete = !hello->is_whole;
    exchange->side = hello->side;
    exchange->version = detail->version;
    exchange->legacy_version = detail->legacy_version;
    exchange->record_version = detail->record_version;
    exchange->flags = detail->flags;
    memcpy(exchange->ja3, detail->client.ja3, sizeof exchange->ja3);
    memcpy(exchange->ja4, detail->client.ja4, sizeof exchange->ja4);
    remember_session_id(exchange, detail);
    remember_names(exchanges, exchange, &detail->client);
}

static void report_client_hello(struct fs__tls_exchanges *exchanges, const struct fs__tls_hello *hello,
                                const struct fs_tls_message *detail, bool is_incomplete) {
    uint64_t number = exchanges->client_number + 1;
    /* Its first hello was lost: what it sends now answers the HelloRetryRequest. */
    if (exchanges->retry_pending && number <= exchanges->server_number)
        number = exchanges->server_number + 1;
    exchanges->client = hello->side;
    exchanges->client_number = number;
    remember(exchanges, hello, detail, number <= exchanges->server_number);
    struct fs_message message = {.kind = FS_MESSAGE_REQUEST,
                                 .side = hello->side,
                                 .incomplete = is_incomplete,
                                 .exchange = number,
                                 .request_ns = FS_NO_TIME};
    emit(exchanges, &message, &hello->span, detail);
}

static bool is_resumption(const struct fs__tls_exchange *request, const struct fs_tls_message *detail) {
    if (fs__tls_is_1_3(detail->version))
        return (detail->flags & FS_TLS_PSK) != 0;
    return request && request->session_id_length && request->session_id_length == detail->session_id_length &&
           memcmp(request->session_id, detail->session_id, detail->session_id_length) == 0;
}

static void report_server_hello(struct fs__tls_exchanges *exchanges, const struct fs__tls_hello *hello,
                                struct fs_tls_message *detail, bool is_incomplete) {
    bool is_retry = detail->type == FS_TLS_HELLO_RETRY_REQUEST;
    uint64_t number = exchanges->server_number + 1;
    if (!is_retry && number < exchanges->client_number)
        number = exchanges->client_number; /* a HelloRetryRequest was lost */
    exchanges->client = hello->side ^ 1;
    exchanges->server_number = number;
    exchanges->retry_pending = is_retry;
    if (!is_retry)
        exchanges->version = detail->version;
    struct fs_message message = {.kind = FS_MESSAGE_RESPONSE,
                                 .side = hello->side,
                                 .incomplete = is_incomplete,
                                 .exchange = number,
                                 .request_ns = FS_NO_TIME};
    struct fs__tls_exchange *request = &exchanges->recent[number % 2];
    if (request->number != number)
        request = NULL;
    if (request) {
        request->is_answered = true;
        message.request_ns = request->span.start_ns;
        message.request_frame = request->span.start_frame;
        recall(request, &detail->client);
    }
    if (!is_retry && is_resumption(request, detail))
        detail->flags |= FS_TLS_RESUMED;
    emit(exchanges, &message, &hello->span, detail);
}

void fs__tls_report_alert(struct fs__tls_exchanges *exchanges, uint8_t side, uint16_t record_version,
                          const uint8_t alert[2], const struct fs__tls_span *span) {
    struct fs_tls_message detail = {.type = FS_TLS_ALERT,
                                    .alert_level = alert[0],
                                    .alert = alert[1],
                                    .record_version = record_version,
                                    .version = exchanges->version};
    const struct fs__tls_exchange *request = &exchanges->recent[exchanges->client_number % 2];
    if (request->number)
        recall(request, &detail.client);
    struct fs_message message = {.kind = FS_MESSAGE_NOTICE, .side = side, .request_ns = FS_NO_TIME};
    emit(exchanges, &message, span, &detail);
}

/* ---- hellos ---- */

/* First bytes that no hello has: what looked like one is not in plaintext. */
static bool is_possible(const struct fs__tls_hello *hello) {
    return hello->type == FS__TLS_HELLO_SSLV2 || !hello->length || hello->body[0] == 3 || hello->body[0] == 0x7f;
}

static bool read_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *detail) {
    switch (hello->type) {
    case FS__TLS_HELLO_CLIENT:
        return fs__tls_read_client_hello(hello, pool, detail);
    case FS__TLS_HELLO_SERVER:
        return fs__tls_read_server_hello(hello, pool, detail);
    default:
        return fs__tls_read_sslv2_hello(hello, pool, detail);
    }
}

static char *make_fingerprints(struct fs__tls_exchanges *exchanges, struct fs_tls_message *detail, uint16_t *scratch,
                               size_t *size) {
    bool is_client = detail->type == FS_TLS_CLIENT_HELLO;
    char *digest = is_client ? detail->client.ja3 : detail->ja3s;
    *size = fs__tls_ja3(detail, digest, NULL) + 1;
    if (is_client)
        fs__tls_ja4(detail, scratch, detail->client.ja4);
    char *text = fs__alloc(&exchanges->memory, *size);
    if (!text)
        return NULL;
    fs__tls_ja3(detail, digest, text);
    text[*size - 1] = '\0';
    return text;
}

bool fs__tls_report_hello(struct fs__tls_exchanges *exchanges, const struct fs__tls_hello *hello) {
    if (!is_possible(hello))
        return false;
    size_t numbers = hello->length / 2 + 1, pool_size = 2 * numbers * sizeof(uint16_t), text_size = 0;
    uint16_t *pool = fs__alloc(&exchanges->memory, pool_size);
    bool is_server = hello->type == FS__TLS_HELLO_SERVER;
    struct fs_tls_message detail = {.type = is_server ? FS_TLS_SERVER_HELLO : FS_TLS_CLIENT_HELLO,
                                    .record_version = hello->record_version};
    char *text = NULL;
    if (read_hello(hello, pool, &detail) && pool)
        text = make_fingerprints(exchanges, &detail, pool + numbers, &text_size);
    detail.ja3_text = text;
    bool is_incomplete = !hello->is_whole || !pool;
    if (is_server)
        report_server_hello(exchanges, hello, &detail, is_incomplete);
    else
        report_client_hello(exchanges, hello, &detail, is_incomplete);
    fs__release(&exchanges->memory, text, text_size);
    fs__release(&exchanges->memory, pool, pool_size);
    return true;
}
