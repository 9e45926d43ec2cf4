/* SPDX-License-Identifier: MIT */
/* What the parts of the DNS parser share: names, exchanges, plausibility. */
#ifndef FS_DNS_INTERNAL_H
#define FS_DNS_INTERNAL_H

#include "allocation.h"
#include "flowscope/dns.h"

enum { FS__DNS_HEADER = 12, FS__DNS_JUMPS_MAX = 127 /* one for each label that a name can have */ };

/* ---- names ---- */

/* A name without compression: labels with their lengths, the root's included. Length 0: none. */
struct fs__dns_name {
    uint8_t length;
    uint8_t wire[FS_DNS_WIRE_NAME_MAX];
};

enum fs__dns_status {
    FS__DNS_GOOD = 0,
    FS__DNS_BAD,  /* breaks the format */
    FS__DNS_SHORT /* goes on behind the bytes */
};

/* Read the name at `at`. `next` is where it ends in place, also if what its pointer refers to is bad; 0 if the end in
 * place is not known. Pointers must lead to before the labels that they follow, so there is no loop. */
enum fs__dns_status fs__dns_name_read(struct fs__dns_name *name, const uint8_t *data, size_t length, size_t at,
                                      size_t *next);
/* The same without following a pointer. */
enum fs__dns_status fs__dns_name_skip(const uint8_t *data, size_t length, size_t at, size_t *next);
/* Presentation form, NUL-terminated. Returns its length, or 0 if `room` is too small. */
size_t fs__dns_name_text(const struct fs__dns_name *name, char *out, size_t room);

/* ---- values ---- */

/* Characters into a bounded place; past it `full`, and nothing more is written. */
struct fs__dns_writer {
    char *out;
    size_t room, used;
    bool full;
};

void fs__dns_put(struct fs__dns_writer *writer, const char *text);
void fs__dns_put_char(struct fs__dns_writer *writer, char c);
void fs__dns_put_number(struct fs__dns_writer *writer, uint32_t number);
/* Bytes, those that are not printable as \DDD, and a backslash before `quote` and itself. */
void fs__dns_put_bytes(struct fs__dns_writer *writer, const uint8_t *bytes, size_t length, char quote);
void fs__dns_put_ipv4(struct fs__dns_writer *writer, const uint8_t *address);
void fs__dns_put_ipv6(struct fs__dns_writer *writer, const uint8_t *address); /* RFC 5952 */

/* The value of `data_length` bytes at `at` of a message. FS__DNS_BAD if it breaks its type's format. Nothing is written
 * for types that are not decoded. */
enum fs__dns_status fs__dns_value(struct fs__dns_writer *writer, uint16_t type, const uint8_t *message, size_t at,
                                  size_t data_length);

/* ---- probing ---- */

/* Whether the 12 bytes at `data` can be the header of a message of `whole` bytes. */
bool fs__dns_is_header(const uint8_t *data, uint64_t whole);

/* Whether the message at `data` is DNS beyond doubt; MORE if only `length` of its `whole` bytes are there and that is
 * too few to tell. */
enum fs_probe_result fs__dns_probe(const uint8_t *data, size_t length, uint64_t whole);

/* ---- exchanges ---- */

enum fs__dns_exchange_state { FS__DNS_OUTSTANDING = 0, FS__DNS_ANSWERED, FS__DNS_UNANSWERED };

/* What is searched and what is not are apart, so that 512 entries are searched within 12 KiB. */
struct fs__dns_entry {
    uint64_t exchange; /* also the order of first sending */
    uint64_t last_ns;  /* last sent or answered */
    uint32_t digest;   /* of name, type and class */
    uint16_t id;
    uint8_t state; /* enum fs__dns_exchange_state */
    uint8_t side;
};

struct fs__dns_query {
    uint64_t start_ns, end_ns, bytes;
    uint32_t start_frame, end_frame;
    uint32_t retries, responses;
    uint16_t flags, type, query_class;
    struct fs__dns_name name; /* lower case is compared, the name is kept as sent */
};

struct fs__dns_exchanges {
    struct fs__memory memory;
    struct fs__dns_entry *entries;
    struct fs__dns_query *queries;
    uint32_t count, room;
    uint64_t last_exchange;
    uint64_t deadline_ns; /* no outstanding query is unanswered before it */
    void (*on_unanswered)(const struct fs__dns_entry *entry, const struct fs__dns_query *query, void *user);
    void *user;
};

/* What a message is looked up by. */
struct fs__dns_key {
    uint16_t id;
    uint8_t side; /* of the query */
    uint16_t type, query_class;
    uint32_t digest;          /* of type, class and name; fs__dns_key_digest() */
    struct fs__dns_name name; /* of length 0: none, or for responses any */
};

enum { FS__DNS_NONE = UINT32_MAX };

/* Names are the same whatever the case of their letters: resolvers vary it to be harder to answer for (0x20). */
void fs__dns_key_digest(struct fs__dns_key *key);

void fs__dns_exchanges_init(struct fs__dns_exchanges *exchanges, const struct fs_allocator *allocator);
void fs__dns_exchanges_free(struct fs__dns_exchanges *exchanges);
/* The outstanding query that is the same, or FS__DNS_NONE. */
uint32_t fs__dns_find_query(const struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key);
/* The query that a response belongs to: the first outstanding one, else the last that was not answered in time, else
 * the last that was answered; or FS__DNS_NONE. */
uint32_t fs__dns_find_response(const struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key);
/* A new outstanding query, whose fs__dns_query the caller fills; FS__DNS_NONE without memory. */
uint32_t fs__dns_add_query(struct fs__dns_exchanges *exchanges, const struct fs__dns_key *key, uint64_t now_ns);
void fs__dns_sent_again(struct fs__dns_exchanges *exchanges, uint32_t at, uint64_t now_ns);
/* Report what is outstanding for FS_DNS_TIMEOUT_NS at `now_ns`, or all of it, in order of first sending. */
void fs__dns_expire(struct fs__dns_exchanges *exchanges, uint64_t now_ns);
void fs__dns_expire_all(struct fs__dns_exchanges *exchanges);

#endif
