/* SPDX-License-Identifier: MIT */
/* JA3 and JA3S as Salesforce published them (github.com/salesforce/ja3, 2017), and JA4 as FoxIO's technical description
 * has it (github.com/FoxIO-LLC/ja4, technical_details/JA4.md). All leave GREASE out. */
#include "digest.h"
#include "tls_internal.h"

#include <string.h>

/* ---- JA3 ---- */

/* Text that is hashed, counted and, if asked for, written. */
struct text {
    struct fs__md5 md5;
    char *out;
    size_t length;
};

static void put(struct text *text, const char *from, size_t length) {
    fs__md5_update(&text->md5, from, length);
    if (text->out)
        memcpy(text->out + text->length, from, length);
    text->length += length;
}

static void put_decimal(struct text *text, unsigned value) {
    char digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(text, digits + at, sizeof digits - at);
}

static void put_list(struct text *text, const struct fs_tls_list *list) {
    bool is_first = true;
    for (uint32_t i = 0; i < list->count; i++) {
        if (fs_tls_is_grease(list->values[i]))
            continue;
        if (!is_first)
            put(text, "-", 1);
        is_first = false;
        put_decimal(text, list->values[i]);
    }
}

static void put_point_formats(struct text *text, const struct fs_tls_bytes *formats) {
    for (uint32_t i = 0; i < formats->length; i++) {
        if (i)
            put(text, "-", 1);
        put_decimal(text, formats->data[i]);
    }
}

size_t fs__tls_ja3(const struct fs_tls_message *message, char digest[33], char *text) {
    struct text ja3 = {0};
    ja3.out = text;
    fs__md5_init(&ja3.md5);
    put_decimal(&ja3, message->legacy_version);
    put(&ja3, ",", 1);
    if (message->type == FS_TLS_CLIENT_HELLO)
        put_list(&ja3, &message->cipher_suites);
    else
        put_decimal(&ja3, message->cipher_suite);
    put(&ja3, ",", 1);
    put_list(&ja3, &message->extensions);
    if (message->type == FS_TLS_CLIENT_HELLO) {
        put(&ja3, ",", 1);
        put_list(&ja3, &message->groups);
        put(&ja3, ",", 1);
        put_point_formats(&ja3, &message->point_formats);
    }
    uint8_t md5[FS__MD5_SIZE];
    fs__md5_final(&ja3.md5, md5);
    fs__digest_hex(md5, sizeof md5, digest);
    return ja3.length;
}

/* ---- JA4 ---- */

static const char *ja4_version(uint16_t version) {
    switch (version) {
    case 0x0304:
        return "13";
    case 0x0303:
        return "12";
    case 0x0302:
        return "11";
    case 0x0301:
        return "10";
    case 0x0300:
        return "s3";
    case 0x0002:
        return "s2";
    default:
        return "00";
    }
}

/* The highest number, drafts included, which are then unknown. */
static uint16_t ja4_highest(const struct fs_tls_message *message) {
    if (!message->versions.count)
        return message->legacy_version;
    uint16_t highest = 0;
    for (uint32_t i = 0; i < message->versions.count; i++) {
        uint16_t version = message->versions.values[i];
        if (version > highest && !fs_tls_is_grease(version))
            highest = version;
    }
    return highest;
}

static bool has_extension(const struct fs_tls_message *message, uint16_t type) {
    for (uint32_t i = 0; i < message->extensions.count; i++) {
        if (message->extensions.values[i] == type)
            return true;
    }
    return false;
}

static void put_count(char *at, const struct fs_tls_list *list) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        count += !fs_tls_is_grease(list->values[i]);
    count = count < 99 ? count : 99;
    at[0] = (char)('0' + count / 10);
    at[1] = (char)('0' + count % 10);
}

static bool is_alphanumeric(uint8_t byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static void put_alpn(char *at, const struct fs_tls_client *client) {
    static const char digits[] = "0123456789abcdef";
    at[0] = at[1] = '0';
    if (!client->alpn_count || !client->alpn[0].length)
        return;
    uint8_t first = client->alpn[0].data[0], last = client->alpn[0].data[client->alpn[0].length - 1];
    bool is_text = is_alphanumeric(first) && is_alphanumeric(last);
    at[0] = is_text ? (char)first : digits[first >> 4];
    at[1] = is_text ? (char)last : digits[last & 15];
}

static void sift_down(uint16_t *heap, uint32_t root, uint32_t count) {
    uint16_t value = heap[root];
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= value)
            break;
        heap[root] = heap[child];
    }
    heap[root] = value;
}

/* A heap sort: qsort may allocate, and may be quadratic. */
static void sort(uint16_t *values, uint32_t count) {
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(values, i, count);
    for (uint32_t i = count; i-- > 1;) {
        uint16_t greatest = values[0];
        values[0] = values[i];
        values[i] = greatest;
        sift_down(values, 0, i);
    }
}

static void hash_list(struct fs__sha256 *sha, const uint16_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t value[2] = {(uint8_t)(values[i] >> 8), (uint8_t)values[i]};
        char text[5];
        fs__digest_hex(value, sizeof value, text);
        if (i)
            fs__sha256_update(sha, ",", 1);
        fs__sha256_update(sha, text, 4);
    }
}

static void put_hash(char at[12], struct fs__sha256 *sha, bool has_values) {
    uint8_t digest[FS__SHA256_SIZE] = {0}; /* zeros stand for an empty list */
    char text[13];
    if (has_values)
        fs__sha256_final(sha, digest);
    fs__digest_hex(digest, 6, text);
    for (unsigned i = 0; i < 12; i++)
        at[i] = text[i];
}

static bool is_hashed(uint16_t extension) {
    return !fs_tls_is_grease(extension) && extension != FS__TLS_EXTENSION_SERVER_NAME &&
           extension != FS__TLS_EXTENSION_ALPN;
}

static void put_ciphers_hash(char at[12], const struct fs_tls_list *ciphers, uint16_t *scratch) {
    struct fs__sha256 sha;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ciphers->count; i++) {
        if (!fs_tls_is_grease(ciphers->values[i]))
            scratch[count++] = ciphers->values[i];
    }
    sort(scratch, count);
    fs__sha256_init(&sha);
    hash_list(&sha, scratch, count);
    put_hash(at, &sha, count > 0);
}

static void put_extensions_hash(char at[12], const struct fs_tls_message *message, uint16_t *scratch) {
    struct fs__sha256 sha;
    uint32_t count = 0;
    for (uint32_t i = 0; i < message->extensions.count; i++) {
        if (is_hashed(message->extensions.values[i]))
            scratch[count++] = message->extensions.values[i];
    }
    sort(scratch, count);
    fs__sha256_init(&sha);
    hash_list(&sha, scratch, count);
    bool has_extensions = count > 0;
    const struct fs_tls_list *algorithms = &message->signature_algorithms;
    const char *separator = "_";
    for (uint32_t i = 0; i < algorithms->count; i++) {
        if (fs_tls_is_grease(algorithms->values[i]))
            continue;
        fs__sha256_update(&sha, separator, 1);
        hash_list(&sha, &algorithms->values[i], 1);
        separator = ",";
    }
    put_hash(at, &sha, has_extensions);
}

void fs__tls_ja4(const struct fs_tls_message *message, uint16_t *scratch, char ja4[37]) {
    memset(ja4, '_', 36);
    ja4[36] = '\0';
    ja4[0] = 't';
    memcpy(ja4 + 1, ja4_version(ja4_highest(message)), 2);
    ja4[3] = has_extension(message, FS__TLS_EXTENSION_SERVER_NAME) ? 'd' : 'i';
    put_count(ja4 + 4, &message->cipher_suites);
    put_count(ja4 + 6, &message->extensions);
    put_alpn(ja4 + 8, &message->client);
    put_ciphers_hash(ja4 + 11, &message->cipher_suites, scratch);
    put_extensions_hash(ja4 + 24, message, scratch);
}
