/* SPDX-License-Identifier: MIT */
#include "http_internal.h"

/* Between messages no more than this much is kept for the next request. */
enum { SPARE_MAX = 512, ROOM_STEP = 16 };

static struct fs__http_request *request_new(struct fs__http_requests *requests, struct fs__memory *memory,
                                            size_t room) {
    struct fs__http_request *request = requests->spare;
    if (request && request->size >= room &&
        (request->size == room || requests->room + request->size <= FS_HTTP_REQUEST_TEXT_MAX)) {
        requests->spare = NULL;
        return request;
    }
    request = fs__alloc(memory, sizeof *request + room);
    if (request)
        request->size = (uint32_t)room;
    return request;
}

static void request_free(struct fs__memory *memory, struct fs__http_request *request) {
    if (request)
        fs__release(memory, request, sizeof *request + request->size);
}

static size_t rounded(size_t text) {
    return (text + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
}

/* What is remembered of a request, behind its method, in this order. */
static const enum fs__http_text_id kept[] = {FS__HTTP_TEXT_HOST, FS__HTTP_TEXT_TARGET, FS__HTTP_TEXT_USER_AGENT,
                                             FS__HTTP_TEXT_REFERER};

static size_t kept_length(const struct fs__http_head *head) {
    size_t length = 0;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        length += fs__http_text_of(head, kept[i]).length;
    return length;
}

static void keep_text(struct fs__http_request *request, const struct fs__http_head *head) {
    uint16_t *const lengths[] = {&request->host_length, &request->target_length, &request->agent_length,
                                 &request->referer_length};
    uint8_t *at = request->text + request->method_length;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct fs_http_text text = fs__http_text_of(head, kept[i]);
        *lengths[i] = (uint16_t)text.length;
        memcpy(at, text.data, text.length);
        at += text.length;
    }
}

static void describe(struct fs__http_request *request, const struct fs__http_head *head, bool with_text) {
    struct fs_http_text method = fs__http_text_of(head, FS__HTTP_TEXT_METHOD);
    request->version_major = head->version_major;
    request->version_minor = head->version_minor;
    request->is_head = fs__http_equals(method.data, method.length, "HEAD");
    request->is_connect = fs__http_equals(method.data, method.length, "CONNECT");
    request->is_0_9 = (head->flags & FS_HTTP_0_9) != 0;
    request->asks_upgrade = fs__http_text_of(head, FS__HTTP_TEXT_UPGRADE).length > 0;
    request->is_cut = !with_text || (head->flags & FS_HTTP_TEXT_TRUNCATED);
    request->method_length = (uint16_t)method.length;
    request->host_length = request->target_length = request->agent_length = request->referer_length = 0;
    memcpy(request->text, method.data, method.length);
    if (with_text)
        keep_text(request, head);
}

struct fs__http_request *fs__http_requests_add(struct fs__http_requests *requests, struct fs__memory *memory,
                                               const struct fs__http_head *head) {
    requests->exchanges++;
    /* Behind a forgotten one nothing is kept: the order is all that pairs. */
    if (requests->forgotten > 0 || requests->count == FS_HTTP_REQUESTS_MAX) {
        requests->forgotten++;
        return NULL;
    }
    size_t method = fs__http_text_of(head, FS__HTTP_TEXT_METHOD).length;
    size_t text = method + kept_length(head);
    bool with_text = requests->room + rounded(text) <= FS_HTTP_REQUEST_TEXT_MAX;
    struct fs__http_request *request = request_new(requests, memory, rounded(with_text ? text : method));
    if (!request) {
        requests->forgotten++;
        return NULL;
    }
    describe(request, head, with_text);
    request->next = NULL;
    request->exchange = requests->exchanges;
    request->end_ns = FS_NO_TIME;
    request->end_frame = 0;
    request->bytes = 0;
    request->is_incomplete = false;
    *(requests->last ? &requests->last->next : &requests->first) = request;
    requests->last = request;
    requests->count++;
    requests->room += request->size;
    return request;
}

struct fs__http_request *fs__http_requests_take(struct fs__http_requests *requests, uint64_t *exchange) {
    struct fs__http_request *request = requests->first;
    *exchange = 0;
    if (request) {
        *exchange = request->exchange;
        requests->first = request->next;
        if (!requests->first)
            requests->last = NULL;
        requests->count--;
        return request;
    }
    if (requests->forgotten > 0) {
        /* The forgotten ones are the last that came. */
        *exchange = requests->exchanges - requests->forgotten + 1;
        requests->forgotten--;
    }
    return NULL;
}

void fs__http_requests_give(struct fs__http_requests *requests, struct fs__memory *memory,
                            struct fs__http_request *request) {
    if (!request)
        return;
    requests->room -= request->size;
    if (request->size > SPARE_MAX || (requests->spare && requests->spare->size >= request->size)) {
        request_free(memory, request);
        return;
    }
    request_free(memory, requests->spare);
    requests->spare = request;
}

void fs__http_requests_release(struct fs__http_requests *requests, struct fs__memory *memory) {
    while (requests->first) {
        struct fs__http_request *request = requests->first;
        requests->first = request->next;
        request_free(memory, request);
    }
    request_free(memory, requests->spare);
    requests->spare = requests->last = NULL;
    requests->count = 0;
}
