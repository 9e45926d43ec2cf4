/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "messages.h"

#include "prefs.h"

#include "flowscope/tls.h"

static struct {
    GPtrArray *entries;  /* struct fs_message_entry, by frame */
    GHashTable *waiting; /* requests without an answer, by key */
    uint64_t dropped;
} messages;

static void free_entry(void *data) {
    struct fs_message_entry *entry = data;
    g_free(entry->text);
    g_free(entry->ja3);
    g_free(entry->ja4);
    g_free(entry);
}

/* Not g_int64_hash(), which adds the halves bit by bit: the exchanges of one flow would meet those of the next. */
static guint hash_of(const void *key) {
    return (guint)(*(const uint64_t *)key * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

void fs_messages_open(void) {
    messages.entries = g_ptr_array_new_with_free_func(free_entry);
    messages.waiting = g_hash_table_new(hash_of, g_int64_equal);
    messages.dropped = 0;
}

void fs_messages_close(void) {
    if (!messages.entries)
        return;
    g_hash_table_destroy(messages.waiting);
    g_ptr_array_free(messages.entries, TRUE);
    memset(&messages, 0, sizeof messages);
}

guint fs_messages_count(void) {
    return messages.entries ? messages.entries->len : 0;
}

const struct fs_message_entry *fs_messages_get(guint i) {
    return g_ptr_array_index(messages.entries, i);
}

uint64_t fs_messages_dropped(void) {
    return messages.dropped;
}

guint fs_messages_first(uint32_t frame) {
    guint low = 0;
    guint high = fs_messages_count();
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (fs_messages_get(middle)->frame < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Exchange numbers of a flow are small: the low 32 bits tell them apart as long as any wait. */
static uint64_t key_of(uint32_t flow_id, uint64_t exchange) {
    return (uint64_t)flow_id << 32 | (uint32_t)exchange;
}

static void insert(struct fs_message_entry *entry) {
    guint count = messages.entries->len;
    if (!count || fs_messages_get(count - 1)->frame <= entry->frame) {
        g_ptr_array_add(messages.entries, entry);
        return;
    }
    g_ptr_array_insert(messages.entries, (int)fs_messages_first(entry->frame + 1), entry);
}

static void set_fingerprints(struct fs_message_entry *entry, const struct fs_message *message) {
    const struct fs_tls_message *tls = message->detail;
    if (message->protocol != FS_SESSION_TLS || message->kind != FS_MESSAGE_REQUEST)
        return;
    entry->ja3 = tls->client.ja3[0] ? g_strdup(tls->client.ja3) : NULL;
    entry->ja4 = tls->client.ja4[0] ? g_strdup(tls->client.ja4) : NULL;
}

static struct fs_message_entry *make_entry(const struct fs_message *message, uint32_t flow_id, uint32_t frame) {
    char text[FS_MESSAGE_TEXT];
    struct fs_message_entry *entry = g_new0(struct fs_message_entry, 1);
    entry->key = key_of(flow_id, message->exchange);
    entry->start_ns = message->start_ns;
    entry->bytes = message->bytes;
    entry->time_ns = fs_message_time_ns(message);
    entry->frame = frame;
    entry->flow = flow_id;
    entry->protocol = message->protocol;
    entry->kind = message->kind;
    entry->side = message->side;
    entry->incomplete = message->incomplete;
    entry->unanswered = message->kind == FS_MESSAGE_UNANSWERED;
    fs_message_text(message, text, sizeof text);
    entry->text = g_strdup(text);
    set_fingerprints(entry, message);
    return entry;
}

/* An exchange's halves name each other. A later response of it names the request too. */
static void join(struct fs_message_entry *entry) {
    struct fs_message_entry *request = g_hash_table_lookup(messages.waiting, &entry->key);
    if (!request)
        return;
    entry->request_frame = request->frame;
    if (!request->response_frame)
        request->response_frame = entry->frame;
}

void fs_messages_add(const struct fs_message *message, uint32_t flow_id, uint32_t current, bool touches) {
    uint64_t key = key_of(flow_id, message->exchange);
    if (!messages.entries)
        return;
    struct fs_message_entry *request = message->exchange ? g_hash_table_lookup(messages.waiting, &key) : NULL;
    if (message->kind == FS_MESSAGE_UNANSWERED && request) {
        request->unanswered = true;
        return;
    }
    if (messages.entries->len >= fs_prefs()->max_messages) {
        messages.dropped++;
        return;
    }
    uint32_t last = message->end_frame ? message->end_frame : message->start_frame;
    struct fs_message_entry *entry = make_entry(message, flow_id, touches || !last ? current : last);
    insert(entry);
    if (message->kind == FS_MESSAGE_REQUEST && request)
        entry->first = request;
    else if (message->kind == FS_MESSAGE_REQUEST && message->exchange)
        g_hash_table_insert(messages.waiting, &entry->key, entry);
    else if (message->kind == FS_MESSAGE_RESPONSE && message->exchange)
        join(entry);
}
