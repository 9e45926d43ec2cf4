/* SPDX-License-Identifier: MIT */
/* ClientHello and ServerHello: RFC 8446, 4.1 and 4.2, and RFC 5246, 7.4.1, which agree on the frame. A reader that runs
 * out of bytes says so and yields what is there, so that one path serves whole, cut and contradictory messages. */
#include "tls_internal.h"

#include "bytes.h"

struct reader {
    const uint8_t *at;
    size_t left;
    bool is_short; /* more was asked for than was left */
};

/* Where lists are put, one after the other. */
struct pool {
    uint16_t *next; /* NULL: nowhere */
};

enum {
    EXTENSION_GROUPS = 10,
    EXTENSION_POINT_FORMATS = 11,
    EXTENSION_SIGNATURE_ALGORITHMS = 13,
    EXTENSION_SESSION_TICKET = 35,
    EXTENSION_PRE_SHARED_KEY = 41,
    EXTENSION_EARLY_DATA = 42,
    EXTENSION_SUPPORTED_VERSIONS = 43,
    EXTENSION_KEY_SHARE = 51,
    EXTENSION_ECH = 0xfe0d,
    NAME_HOST = 0,
    ECH_OUTER = 0,
    RANDOM_SIZE = 32,
    SESSION_ID_MAXIMUM = 32
};

/* SHA-256 of "HelloRetryRequest": RFC 8446, 4.1.3. */
static const uint8_t retry_random[RANDOM_SIZE] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                                  0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                                  0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

bool fs_tls_is_grease(uint16_t value) {
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* ---- the reader ---- */

static struct reader block(struct reader *reader, size_t length) {
    struct reader part = {reader->at, length < reader->left ? length : reader->left, length > reader->left};
    if (part.is_short)
        reader->is_short = true;
    if (part.left)
        reader->at += part.left;
    reader->left -= part.left;
    return part;
}

static unsigned number8(struct reader *reader) {
    struct reader part = block(reader, 1);
    return part.is_short ? 0 : part.at[0];
}

static uint16_t number16(struct reader *reader) {
    struct reader part = block(reader, 2);
    return part.is_short ? 0 : fs__be16(part.at);
}

static struct reader block8(struct reader *reader) {
    return block(reader, number8(reader));
}

static struct reader block16(struct reader *reader) {
    return block(reader, number16(reader));
}

static struct fs_tls_bytes bytes_of(struct reader part) {
    return (struct fs_tls_bytes){part.left ? part.at : NULL, (uint32_t)part.left};
}

/* ---- lists ---- */

static void note_grease(struct fs_tls_message *message, uint16_t value) {
    if (fs_tls_is_grease(value))
        message->flags |= FS_TLS_GREASE;
}

static void append(struct fs_tls_message *message, struct pool *pool, struct fs_tls_list *list, uint16_t value) {
    note_grease(message, value);
    if (!pool->next)
        return;
    if (!list->values)
        list->values = pool->next;
    *pool->next++ = value;
    list->count++;
}

/* Numbers that fill the block. Returns whether they do. */
static bool read_list(struct fs_tls_message *message, struct pool *pool, struct reader part, struct fs_tls_list *list) {
    while (part.left >= 2)
        append(message, pool, list, number16(&part));
    return !part.left && !part.is_short;
}

/* ---- extensions of both hellos ---- */

/* What an extension says. Returns whether it is sound. */
typedef bool extension_reader(struct fs_tls_message *message, struct pool *pool, unsigned type, struct reader part);

static bool is_new(const struct fs_tls_list *list) {
    return list->count == 0;
}

/* Types first, so that each list is one piece of the pool. Returns whether the frame is sound. */
static bool read_extensions(struct fs_tls_message *message, struct pool *pool, struct reader *hello,
                            extension_reader *read) {
    if (!hello->left && !hello->is_short)
        return true;
    struct reader all = block16(hello);
    struct reader types = all;
    while (types.left >= 2) {
        append(message, pool, &message->extensions, number16(&types));
        block16(&types);
    }
    bool is_sound = !types.is_short && !types.left && !all.is_short;
    while (all.left >= 4) {
        unsigned type = number16(&all);
        if (!read(message, pool, type, block16(&all)))
            message->flags |= FS_TLS_MALFORMED;
    }
    return is_sound;
}

/* ---- ClientHello ---- */

static bool read_server_name(struct fs_tls_message *message, struct reader part) {
    struct reader names = block16(&part);
    while (names.left) {
        unsigned type = number8(&names);
        struct reader name = block16(&names);
        if (type == NAME_HOST && !message->client.server_name.data)
            message->client.server_name = bytes_of(name);
    }
    return !names.is_short && !part.is_short;
}

bool fs__tls_split_alpn(const uint8_t *list, size_t length, struct fs_tls_client *client) {
    struct reader protocols = {list, length, false};
    while (protocols.left) {
        struct reader protocol = block8(&protocols);
        if (protocol.is_short)
            return false;
        if (client->alpn_count < FS_TLS_ALPN_MAX) /* of an empty one the address says where it stands */
            client->alpn[client->alpn_count++] = (struct fs_tls_bytes){protocol.at, (uint32_t)protocol.left};
        else
            client->is_cut = true;
        client->alpn_total++;
    }
    return true;
}

const uint8_t *fs__tls_alpn_list(const struct fs_tls_client *client, size_t *length) {
    *length = 0;
    if (!client->alpn_count)
        return NULL;
    for (uint32_t i = 0; i < client->alpn_count; i++)
        *length += 1 + client->alpn[i].length;
    return client->alpn[0].data - 1;
}

static bool read_alpn(struct fs_tls_message *message, struct reader part) {
    struct reader protocols = block16(&part);
    bool is_sound = !protocols.is_short;
    return fs__tls_split_alpn(protocols.at, protocols.left, &message->client) && is_sound;
}

static bool read_key_shares(struct fs_tls_message *message, struct pool *pool, struct reader part) {
    struct reader shares = block16(&part);
    while (shares.left) {
        uint16_t group = number16(&shares);
        if (!shares.is_short)
            append(message, pool, &message->key_shares, group);
        block16(&shares);
    }
    return !shares.is_short && !part.is_short;
}

static bool read_client_extension(struct fs_tls_message *message, struct pool *pool, unsigned type,
                                  struct reader part) {
    switch (type) {
    case FS__TLS_EXTENSION_SERVER_NAME:
        return message->client.server_name.data || read_server_name(message, part);
    case EXTENSION_GROUPS:
        return !is_new(&message->groups) || read_list(message, pool, block16(&part), &message->groups);
    case EXTENSION_POINT_FORMATS:
        if (!message->point_formats.data)
            message->point_formats = bytes_of(block8(&part));
        return !part.is_short;
    case EXTENSION_SIGNATURE_ALGORITHMS:
        return !is_new(&message->signature_algorithms) ||
               read_list(message, pool, block16(&part), &message->signature_algorithms);
    case FS__TLS_EXTENSION_ALPN:
        return message->client.alpn_total || read_alpn(message, part);
    case EXTENSION_SUPPORTED_VERSIONS:
        return !is_new(&message->versions) || read_list(message, pool, block8(&part), &message->versions);
    case EXTENSION_KEY_SHARE:
        return !is_new(&message->key_shares) || read_key_shares(message, pool, part);
    case EXTENSION_SESSION_TICKET:
        message->flags |= part.left ? FS_TLS_TICKET : 0;
        return true;
    case EXTENSION_PRE_SHARED_KEY:
        message->flags |= FS_TLS_PSK;
        return true;
    case EXTENSION_EARLY_DATA:
        message->flags |= FS_TLS_EARLY_DATA;
        return true;
    case EXTENSION_ECH:
        if (part.left && part.at[0] == ECH_OUTER)
            message->flags |= FS_TLS_ECH;
        return true;
    default:
        return true;
    }
}

/* Drafts of TLS 1.3 have numbers above it, and say less about the client than the final version. */
static uint16_t highest_version(const struct fs_tls_message *message) {
    uint16_t highest = 0, draft = 0;
    for (uint32_t i = 0; i < message->versions.count; i++) {
        uint16_t version = message->versions.values[i];
        if (fs_tls_is_grease(version))
            continue;
        if (version > FS__TLS_1_3) {
            draft = version > draft ? version : draft;
            continue;
        }
        highest = version > highest ? version : highest;
    }
    return draft && highest < FS__TLS_1_3 ? draft : highest;
}

/* Without supported_versions it is the hello's own version, unless that extension may have been cut off. */
static uint16_t settled_version(const struct fs__tls_hello *hello, const struct fs_tls_message *message,
                                uint16_t extended) {
    if (extended)
        return extended;
    return hello->is_whole || message->legacy_version < FS__TLS_1_2 ? message->legacy_version : 0;
}

static void read_session_id(struct fs_tls_message *message, struct reader *hello) {
    struct reader id = block8(hello);
    if (id.left > SESSION_ID_MAXIMUM)
        message->flags |= FS_TLS_MALFORMED;
    if (id.is_short || !id.left)
        return;
    message->session_id = id.at;
    message->session_id_length = (uint8_t)id.left;
}

static void read_random(struct fs_tls_message *message, struct reader *hello) {
    struct reader part = block(hello, RANDOM_SIZE);
    message->random = part.is_short ? NULL : part.at;
}

/* Verdict over the frame: a message that was cut is short by that alone. */
static bool judge(const struct fs__tls_hello *hello, struct fs_tls_message *message, const struct reader *reader,
                  bool is_sound) {
    is_sound = is_sound && !reader->is_short && !reader->left;
    if (!hello->is_whole)
        message->flags &= (uint16_t)~FS_TLS_MALFORMED;
    else if (!is_sound)
        message->flags |= FS_TLS_MALFORMED;
    return is_sound && hello->is_whole;
}

bool fs__tls_read_client_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message) {
    struct reader reader = {hello->body, hello->length, false};
    struct pool lists;
    lists.next = pool;
    message->legacy_version = number16(&reader);
    read_random(message, &reader);
    read_session_id(message, &reader);
    bool is_sound = read_list(message, &lists, block16(&reader), &message->cipher_suites);
    message->compression_methods = bytes_of(block8(&reader));
    is_sound = read_extensions(message, &lists, &reader, read_client_extension) && is_sound;
    message->version = message->client.version = settled_version(hello, message, highest_version(message));
    return judge(hello, message, &reader, is_sound);
}

bool fs__tls_read_sslv2_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message) {
    struct reader reader = {hello->body, hello->length, false};
    struct pool lists;
    lists.next = pool;
    message->flags |= FS_TLS_SSLV2;
    number8(&reader);
    message->legacy_version = message->version = message->client.version = number16(&reader);
    size_t ciphers_length = number16(&reader);
    size_t id_length = number16(&reader);
    number16(&reader);
    struct reader ciphers = block(&reader, ciphers_length);
    while (ciphers.left >= 3) {
        bool is_tls = number8(&ciphers) == 0;
        uint16_t cipher = number16(&ciphers);
        if (is_tls)
            append(message, &lists, &message->cipher_suites, cipher);
    }
    struct reader id = block(&reader, id_length);
    message->session_id = id.left ? id.at : NULL;
    message->session_id_length = (uint8_t)id.left;
    return false;
}

/* ---- ServerHello ---- */

static bool read_server_extension(struct fs_tls_message *message, struct pool *pool, unsigned type,
                                  struct reader part) {
    (void)pool;
    switch (type) {
    case FS__TLS_EXTENSION_ALPN:
        if (message->alpn.data)
            return true;
        part = block16(&part);
        message->alpn = bytes_of(block8(&part));
        return !part.is_short && !part.left;
    case EXTENSION_SUPPORTED_VERSIONS:
        if (!message->version)
            message->version = number16(&part);
        return !part.is_short;
    case EXTENSION_KEY_SHARE:
        if (!message->group)
            message->group = number16(&part);
        return !part.is_short;
    case EXTENSION_PRE_SHARED_KEY:
        message->flags |= FS_TLS_PSK;
        return true;
    default:
        return true;
    }
}

/* Drafts of TLS 1.3 before 22 had neither a session ID nor a compression method here. */
static bool is_old_draft(uint16_t version) {
    return version >> 8 == 0x7f && (version & 0xff) < 22;
}

bool fs__tls_read_server_hello(const struct fs__tls_hello *hello, uint16_t *pool, struct fs_tls_message *message) {
    struct reader reader = {hello->body, hello->length, false};
    struct pool lists;
    lists.next = pool;
    message->legacy_version = number16(&reader);
    read_random(message, &reader);
    if (message->random && memcmp(message->random, retry_random, RANDOM_SIZE) == 0)
        message->type = FS_TLS_HELLO_RETRY_REQUEST;
    bool has_all = !is_old_draft(message->legacy_version);
    if (has_all)
        read_session_id(message, &reader);
    message->cipher_suite = number16(&reader);
    if (has_all)
        number8(&reader);
    bool is_sound = read_extensions(message, &lists, &reader, read_server_extension);
    message->version = settled_version(hello, message, message->version);
    return judge(hello, message, &reader, is_sound);
}
