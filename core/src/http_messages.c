/* SPDX-License-Identifier: MIT */
/* Messages: which response answers which request, and their reports. */
#include "http_flow.h"

/* ---- messages out ---- */

static void fill_texts(struct fs_http_message *detail, const struct fs__http_head *head) {
    detail->method = fs__http_text_of(head, FS__HTTP_TEXT_METHOD);
    detail->target = fs__http_text_of(head, FS__HTTP_TEXT_TARGET);
    detail->host = fs__http_text_of(head, FS__HTTP_TEXT_HOST);
    detail->reason = fs__http_text_of(head, FS__HTTP_TEXT_REASON);
    detail->content_type = fs__http_text_of(head, FS__HTTP_TEXT_CONTENT_TYPE);
    detail->transfer_coding = fs__http_text_of(head, FS__HTTP_TEXT_TRANSFER_CODING);
    detail->upgrade = fs__http_text_of(head, FS__HTTP_TEXT_UPGRADE);
    detail->user_agent = fs__http_text_of(head, FS__HTTP_TEXT_USER_AGENT);
    detail->referer = fs__http_text_of(head, FS__HTTP_TEXT_REFERER);
    detail->server = fs__http_text_of(head, FS__HTTP_TEXT_SERVER);
    detail->location = fs__http_text_of(head, FS__HTTP_TEXT_LOCATION);
}

static void fill_request(struct fs_http_message *detail, const struct fs__http_request *request) {
    detail->method = fs__http_request_method(request);
    detail->target = fs__http_request_target(request);
    detail->host = fs__http_request_host(request);
    detail->user_agent = fs__http_request_agent(request);
    detail->referer = fs__http_request_referer(request);
    if (request->is_cut)
        detail->flags |= FS_HTTP_TEXT_TRUNCATED;
}

/* The request that a response in progress belongs to: an interim one leaves it in the queue. */
static const struct fs__http_request *asked_by(const struct fs__http *http, const struct fs__http_side *side) {
    if (side->request || !(side->head.flags & FS_HTTP_INTERIM) || side->exchange == 0)
        return side->request;
    return http->requests.first && http->requests.first->exchange == side->exchange ? http->requests.first : NULL;
}

static void emit(struct fs__http *http, struct fs__http_side *side) {
    const struct fs__http_head *head = &side->head;
    struct fs_http_message detail = {
        .is_response = head->is_response,
        .version_major = head->version_major,
        .version_minor = head->version_minor,
        .status = head->status,
        .flags = head->flags,
        .content_length = head->content_length,
        .body_bytes = side->body_bytes,
        .body_missing = side->missing,
        .header_bytes = head->header_bytes,
        .header_count = head->header_count,
        .request_end_ns = FS_NO_TIME,
    };
    struct fs_message message = {
        .protocol = FS_SESSION_HTTP,
        .kind = head->is_response ? FS_MESSAGE_RESPONSE : FS_MESSAGE_REQUEST,
        .side = (uint8_t)(side == &http->side[0] ? FS_INITIATOR : FS_RESPONDER),
        .incomplete = side->is_incomplete,
        .exchange = side->exchange,
        .start_ns = side->start.ns,
        .end_ns = side->end.ns,
        .start_frame = side->start.frame,
        .end_frame = side->end.frame,
        .request_ns = FS_NO_TIME,
        .bytes = side->bytes,
        .detail = &detail,
    };
    fill_texts(&detail, head);
    const struct fs__http_request *request = head->is_response ? asked_by(http, side) : NULL;
    if (request) {
        fill_request(&detail, request);
        detail.request_end_ns = request->end_ns;
        message.request_ns = request->start_ns;
        message.request_frame = request->start_frame;
    }
    http->host.on_message(&message, http->host.user);
}

static void emit_unanswered(struct fs__http *http, const struct fs__http_request *request) {
    struct fs_http_message detail = {
        .version_major = request->version_major,
        .version_minor = request->version_minor,
        .content_length = FS_HTTP_NO_LENGTH,
        .request_end_ns = FS_NO_TIME,
    };
    struct fs__http_head nothing;
    memset(&nothing, 0, sizeof nothing);
    fill_texts(&detail, &nothing);
    fill_request(&detail, request);
    struct fs_message message = {
        .protocol = FS_SESSION_HTTP,
        .kind = FS_MESSAGE_UNANSWERED,
        .side = (uint8_t)(http->role[0] == FS__HTTP_CLIENT ? FS_INITIATOR : FS_RESPONDER),
        .incomplete = request->is_incomplete,
        .exchange = request->exchange,
        .start_ns = request->start_ns,
        .end_ns = request->end_ns == FS_NO_TIME ? request->start_ns : request->end_ns,
        .start_frame = request->start_frame,
        .end_frame = request->end_ns == FS_NO_TIME ? request->start_frame : request->end_frame,
        .request_ns = FS_NO_TIME,
        .bytes = request->bytes,
        .detail = &detail,
    };
    http->host.on_message(&message, http->host.user);
}

/* ---- pairs ---- */

static void give_back(struct fs__http *http, struct fs__http_request *request) {
    struct fs__http_side *client = fs__http_side_of(http, FS__HTTP_CLIENT);
    if (client->request == request)
        client->request = NULL; /* answered before it ended */
    fs__http_requests_give(&http->requests, &http->memory, request);
}

void fs__http_await_response(struct fs__http *http, struct fs__http_side *client) {
    if (client->is_paired)
        return;
    client->is_paired = true;
    client->request = fs__http_requests_add(&http->requests, &http->memory, &client->head);
    client->exchange = http->requests.exchanges;
    if (!client->request) {
        client->head.flags |= FS_HTTP_REQUEST_FORGOTTEN;
        return;
    }
    client->request->start_ns = client->start.ns;
    client->request->start_frame = client->start.frame;
}

static void report_first_unanswered(struct fs__http *http) {
    uint64_t exchange;
    struct fs__http_request *request = fs__http_requests_take(&http->requests, &exchange);
    emit_unanswered(http, request);
    give_back(http, request);
}

/* Responses were lost, nobody knows how many. A client that waits for each response before it asks again has its last
 * request answered now; of one that pipelines nothing better is known than the order. */
static void skip_lost_exchanges(struct fs__http *http, const struct fs__http_side *server) {
    if (http->is_pipelined)
        return;
    const struct fs__http_request *first;
    while ((first = http->requests.first) != NULL && first->next && first->next->start_ns <= server->start.ns)
        report_first_unanswered(http);
}

static bool is_interim(const struct fs__http_head *head) {
    return head->status >= 100 && head->status < 200 && head->status != 101;
}

void fs__http_find_request(struct fs__http *http, struct fs__http_side *server) {
    struct fs__http_side *client = fs__http_side_of(http, FS__HTTP_CLIENT);
    server->is_paired = true;
    if (server->head.flags & FS_HTTP_RESYNCHRONIZED)
        skip_lost_exchanges(http, server);
    if (!http->requests.first && http->requests.forgotten == 0 && client->has_message)
        fs__http_await_response(http, client); /* answered before its headers ended: too long, or too slow */
    const struct fs__http_request *first = http->requests.first;
    if (server->head.status == 101 && first && !first->asks_upgrade)
        server->head.flags |= FS_HTTP_UPGRADE_UNASKED;
    if (is_interim(&server->head) || server->head.flags & FS_HTTP_UPGRADE_UNASKED) {
        server->head.flags |= FS_HTTP_INTERIM;
        server->exchange = first ? first->exchange : 0;
        return;
    }
    if (first && first->next && first->next->start_ns < server->start.ns &&
        !(server->head.flags & FS_HTTP_RESYNCHRONIZED))
        http->is_pipelined = true;
    server->request = fs__http_requests_take(&http->requests, &server->exchange);
    if (!server->request && server->exchange != 0)
        server->head.flags |= FS_HTTP_REQUEST_FORGOTTEN;
}

/* ---- beginning and ending ---- */

void fs__http_reset_message(struct fs__http *http, struct fs__http_side *side) {
    fs__http_head_reset(&side->head, &http->memory);
    side->has_message = side->is_incomplete = side->is_paired = side->is_plausible = false;
    side->bytes = side->missing = side->body_bytes = side->remaining = side->exchange = 0;
    side->peeked = 0;
    side->request = NULL;
}

void fs__http_begin_message(struct fs__http *http, struct fs__http_side *side, struct fs__http_moment start) {
    fs__http_reset_message(http, side);
    side->start = side->end = start;
}

void fs__http_finish_message(struct fs__http *http, struct fs__http_side *side) {
    struct fs__http_request *request = side->request;
    if (!side->head.is_response) {
        fs__http_await_response(http, side);
        request = side->request;
        if (request) {
            request->end_ns = side->end.ns;
            request->end_frame = side->end.frame;
            request->bytes = side->bytes;
            request->is_incomplete = side->is_incomplete;
        }
        emit(http, side);
    } else {
        emit(http, side);
        if (request)
            give_back(http, request);
    }
    fs__http_reset_message(http, side);
    side->state = FS__HTTP_AT_BETWEEN;
}

void fs__http_settle_body(struct fs__http_side *side) {
    if (side->state != FS__HTTP_AT_BODY_DUE)
        return;
    if (side->peeked > 0) {
        side->bytes += side->peeked;
        side->body_bytes += side->peeked;
        side->end = side->peek_end;
        if (!(side->head.flags & FS_HTTP_CLOSE_DELIMITED))
            side->remaining -= side->peeked;
        side->peeked = 0;
    }
    side->state = side->head.flags & FS_HTTP_CLOSE_DELIMITED ? FS__HTTP_AT_BODY_OPEN : FS__HTTP_AT_BODY_COUNTED;
}

static void cut_message(struct fs__http *http, struct fs__http_side *side) {
    fs__http_settle_body(side);
    if (!side->has_message)
        return;
    side->is_incomplete = true;
    fs__http_finish_message(http, side);
}

void fs__http_lose(struct fs__http *http, struct fs__http_side *side) {
    cut_message(http, side);
    fs__http_reset_message(http, side);
    side->state = FS__HTTP_AT_SEARCH;
}

void fs__http_report_unanswered(struct fs__http *http) {
    while (http->requests.first)
        report_first_unanswered(http);
    http->requests.forgotten = 0;
}

void fs__http_hand_over(struct fs__http *http) {
    for (int i = 0; i < 2; i++)
        cut_message(http, &http->side[i]);
    fs__http_report_unanswered(http);
    http->is_over = true;
}

/* ---- names ---- */

const char *fs_http_flag_slug(uint32_t flag) {
    switch (flag) {
#define FS_HTTP_SLUG(symbol, bit, slug, text)                                                                          \
    case bit:                                                                                                          \
        return slug;
        FS_HTTP_FLAG_MAP(FS_HTTP_SLUG)
#undef FS_HTTP_SLUG
    default:
        return "unknown";
    }
}

const char *fs_http_flag_text(uint32_t flag) {
    switch (flag) {
#define FS_HTTP_TEXT(symbol, bit, slug, text)                                                                          \
    case bit:                                                                                                          \
        return text;
        FS_HTTP_FLAG_MAP(FS_HTTP_TEXT)
#undef FS_HTTP_TEXT
    default:
        return "unknown";
    }
}
