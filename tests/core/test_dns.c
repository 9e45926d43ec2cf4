/* SPDX-License-Identifier: MIT */
/* The rules of docs/sessions-dns.md; then what must hold for any bytes. Messages are built by hand, exchanges are
 * written as one line each: kind, exchange, name and type, answers, marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_support.h"
#include "dns_internal.h"
#include "flowscope/dns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS(n) (UINT64_C(1000000) * (uint64_t)(n))
#define START MS(1000000)

enum { WIRE = 70000, LOG = 200000, QUERY = 0x0100, ANSWER = 0x8180, IN = 1 };

/* ---- messages by hand ---- */

struct wire {
    uint8_t bytes[WIRE];
    size_t length;
};

static void put8(struct wire *w, unsigned value) {
    assert_true(w->length < WIRE);
    w->bytes[w->length++] = (uint8_t)value;
}

static void put16(struct wire *w, unsigned value) {
    put8(w, value >> 8);
    put8(w, value & 255);
}

static void put32(struct wire *w, uint32_t value) {
    put16(w, value >> 16);
    put16(w, value & 0xffff);
}

static void header(struct wire *w, unsigned id, unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar) {
    w->length = 0;
    put16(w, id);
    put16(w, flags);
    put16(w, qd);
    put16(w, an);
    put16(w, ns);
    put16(w, ar);
}

/* "www.example.org"; "" is the root. */
static void put_name(struct wire *w, const char *name) {
    while (*name) {
        size_t label = strcspn(name, ".");
        put8(w, (unsigned)label);
        for (size_t i = 0; i < label; i++)
            put8(w, (uint8_t)name[i]);
        name += label + (name[label] == '.');
    }
    put8(w, 0);
}

static void put_question(struct wire *w, const char *name, unsigned type) {
    put_name(w, name);
    put16(w, type);
    put16(w, IN);
}

/* A record with the owner at offset 12; then its data follows. */
static void put_record(struct wire *w, unsigned type, unsigned length) {
    put16(w, 0xc00c);
    put16(w, type);
    put16(w, IN);
    put32(w, 300);
    put16(w, length);
}

static void put_data(struct wire *w, const void *data, size_t length) {
    for (size_t i = 0; i < length; i++)
        put8(w, ((const uint8_t *)data)[i]);
}

static void query(struct wire *w, unsigned id, const char *name, unsigned type) {
    header(w, id, QUERY, 1, 0, 0, 0);
    put_question(w, name, type);
}

static void answer_a(struct wire *w, unsigned id, const char *name, uint32_t address) {
    header(w, id, ANSWER, 1, 1, 0, 0);
    put_question(w, name, FS_DNS_A);
    put_record(w, FS_DNS_A, 4);
    put32(w, address);
}

/* ---- decoding ---- */

static struct fs_dns_store store;
static struct fs_dns_message message;

/* From memory that ends where the message ends. */
static bool decode_cut(const struct wire *w, size_t length, uint64_t missing) {
    static uint8_t *copy; /* valid until the next message, as data of records is looked at */
    free(copy);
    copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, w->bytes, length);
    memset(&store, 0xa5, sizeof store);
    memset(&message, 0xa5, sizeof message);
    bool known = fs_dns_decode(&message, &store, copy, length, missing);
    if (!length) {
        free(copy);
        copy = NULL;
    }
    return known;
}

static bool decode(const struct wire *w) {
    return decode_cut(w, w->length, 0);
}

static struct wire wire, other;

static void assert_value(unsigned type, const void *data, size_t length, const char *text) {
    header(&wire, 1, ANSWER, 1, 1, 0, 0);
    put_question(&wire, "example.org", type);
    put_record(&wire, type, (unsigned)length);
    put_data(&wire, data, length);
    assert_true(decode(&wire));
    assert_int_equal(message.record_count, 2);
    assert_int_equal(message.records[1].data_length, length);
    assert_string_equal(message.records[1].name, "example.org");
    assert_string_equal(message.records[1].text, text ? text : "");
    assert_int_equal(message.records[1].malformed, !text);
    assert_int_equal(message.marks, text ? 0 : FS_DNS_MALFORMED);
}
#define VALUE(type, data, text) assert_value(type, data, sizeof(data) - 1, text)

static void test_values(void **state) {
    (void)state;
    VALUE(FS_DNS_A, "\xc0\x00\x02\xff", "192.0.2.255");
    VALUE(FS_DNS_A, "\xc0\x00\x02", NULL);
    VALUE(FS_DNS_A, "\xc0\x00\x02\x01\x01", NULL);
    VALUE(FS_DNS_AAAA, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", "2001:db8::1");
    VALUE(FS_DNS_AAAA, "\x20\x01\0\0\0\0\0\x01\0\0\0\0\0\0\x0a\xbc", "2001:0:0:1::abc");
    VALUE(FS_DNS_AAAA, "\x20\x01\0\0\0\1\0\x01\0\2\0\4\0\0\0\0", "2001:0:1:1:2:4::");
    VALUE(FS_DNS_AAAA, "\x20\x01\0\0\0\1\0\x01\0\2\0\4\0\0\0\3", "2001:0:1:1:2:4:0:3");
    VALUE(FS_DNS_AAAA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "::");
    VALUE(FS_DNS_AAAA, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", "::ffff:1.2.3.4");
    VALUE(FS_DNS_AAAA, "\0\0\0\0", NULL);
    VALUE(FS_DNS_CNAME, "\1a\300\014", "a.example.org");
    VALUE(FS_DNS_CNAME, "\1a\300\014\0", NULL);
    VALUE(FS_DNS_CNAME, "\1a", NULL);
    VALUE(FS_DNS_NS, "\0", ".");
    VALUE(FS_DNS_PTR, "\4h.\\ \1b\0", "h\\.\\\\\\032.b");
    VALUE(FS_DNS_MX, "\0\012\4mail\300\014", "10 mail.example.org");
    VALUE(FS_DNS_MX, "\0", NULL);
    VALUE(FS_DNS_SOA, "\300\014\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\377\377\377\377", "example.org . 1 2 3 4 4294967295");
    VALUE(FS_DNS_SOA, "\300\014\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\377\377\377", NULL);
    VALUE(FS_DNS_TXT, "\3a b\0\4\"\\\n\377", "\"a b\" \"\" \"\\\"\\\\\\010\\255\"");
    VALUE(FS_DNS_TXT, "\3ab", NULL);
    VALUE(FS_DNS_TXT, "", NULL);
    VALUE(FS_DNS_SRV, "\0\1\0\2\024\351\1s\300\014", "1 2 5353 s.example.org");
    VALUE(FS_DNS_CAA, "\200\5issueca.example;x", "128 issue \"ca.example;x\"");
    VALUE(FS_DNS_CAA, "\200\5iss", NULL);
    VALUE(FS_DNS_CAA, "\200\0iss", NULL);
    VALUE(FS_DNS_HTTPS, "\0\1\0\0\1\0\3\2h2\0\4\0\4\1\2\3\4", "1 . params=2");
    VALUE(FS_DNS_SVCB, "\0\1\0\0\1\0\3\2h", NULL);
    VALUE(FS_DNS_DNAME, "\300\014", "example.org");
    VALUE(FS_DNS_DNSKEY, "\1\2\3", "");
    VALUE(4711, "", "");
}

static void test_names_of_numbers(void **state) {
    (void)state;
    assert_string_equal(fs_dns_type_name(1), "A");
    assert_string_equal(fs_dns_type_name(65), "HTTPS");
    assert_string_equal(fs_dns_type_name(0), "unknown");
    assert_string_equal(fs_dns_type_name(UINT32_MAX), "unknown");
    assert_string_equal(fs_dns_rcode_name(3), "NXDOMAIN");
    assert_string_equal(fs_dns_rcode_name(23), "BADCOOKIE");
    assert_string_equal(fs_dns_rcode_name(12), "unknown");
    assert_string_equal(fs_dns_opcode_name(5), "update");
    assert_string_equal(fs_dns_opcode_name(3), "unknown");
    assert_string_equal(fs_dns_opcode_name(7), "unknown");
}

static void test_header_and_edns(void **state) {
    (void)state;
    header(&wire, 0xbeef, FS_DNS_QR | FS_DNS_AA | FS_DNS_TC | FS_DNS_AD | 7, 1, 0, 0, 1);
    put_question(&wire, "x.test", FS_DNS_TXT);
    put_data(&wire, "\0\0\051\004\320\001\002\200\000\0\0", 11);
    assert_true(decode(&wire));
    assert_int_equal(message.id, 0xbeef);
    assert_int_equal(message.flags, 0x8627);
    assert_int_equal(message.opcode, 0);
    assert_int_equal(message.rcode, 0x17);
    assert_true(message.edns && message.dnssec_ok);
    assert_int_equal(message.udp_size, 1232);
    assert_int_equal(message.edns_version, 2);
    assert_int_equal(message.counts[3], 1);
    assert_int_equal(message.records_read, 2);
    assert_int_equal(message.marks, 0);
    assert_string_equal(message.name, "x.test");
    assert_int_equal(message.type, FS_DNS_TXT);
    put8(&wire, 0);
    assert_true(decode(&wire));
    assert_int_equal(message.marks, FS_DNS_TRAILING);
    assert_int_equal(message.trailing, 1);
    wire.bytes[11] = 2; /* a second OPT (RFC 6891, 6.1.1) */
    wire.length--;
    put_data(&wire, "\0\0\051\020\000\000\000\000\000\0\0", 11);
    assert_true(decode(&wire));
    assert_int_equal(message.marks, FS_DNS_MALFORMED);
    assert_int_equal(message.udp_size, 1232);
}

static void test_classes_of_mdns(void **state) {
    (void)state;
    header(&wire, 0, 0x8400, 0, 1, 0, 0);
    put_name(&wire, "h.local");
    put_data(&wire, "\0\001\200\001\0\0\0\170\0\4\1\2\3\4", 14);
    assert_true(decode(&wire));
    assert_true(message.records[0].cache_flush);
    assert_int_equal(message.records[0].rr_class, 1);
    assert_string_equal(message.name, "");
    assert_string_equal(message.records[0].text, "1.2.3.4");
}

static void test_updates_have_types_without_data(void **state) {
    (void)state;
    header(&wire, 9, 0x2800, 1, 1, 0, 0);
    put_question(&wire, "example.org", FS_DNS_SOA);
    put_record(&wire, FS_DNS_A, 0);
    assert_true(decode(&wire));
    assert_int_equal(message.marks, 0);
}

/* ---- names ---- */

/* A query whose question's name is `bytes`. */
static void decode_name(const void *bytes, size_t length) {
    header(&wire, 1, QUERY, 1, 0, 0, 0);
    put_data(&wire, bytes, length);
    put16(&wire, FS_DNS_A);
    put16(&wire, IN);
    decode(&wire);
}
#define BAD_NAME(bytes)                                                                                                \
    do {                                                                                                               \
        decode_name(bytes, sizeof(bytes) - 1);                                                                         \
        assert_true(message.marks &FS_DNS_MALFORMED);                                                                  \
        assert_string_equal(message.name, "");                                                                         \
    } while (0)

static void test_hazards_of_compression(void **state) {
    (void)state;
    BAD_NAME("\300\014");        /* to itself */
    BAD_NAME("\1a\300\014");     /* a loop through labels */
    BAD_NAME("\1a\300\016");     /* to itself, behind a label */
    BAD_NAME("\1a\300\022\0\0"); /* forwards */
    BAD_NAME("\300\002");        /* into the header */
    BAD_NAME("\300\000");
    BAD_NAME("\377\377");  /* behind the end */
    BAD_NAME("\100abc\0"); /* label types 01 and 10 */
    BAD_NAME("\200abc\0");
    /* into a label, to a byte that is no length */
    header(&wire, 1, ANSWER, 1, 1, 0, 0);
    put_question(&wire, "a@b", FS_DNS_A);
    put_data(&wire, "\300\016\0\001\0\001\0\0\0\1\0\4\1\2\3\4", 16);
    for (unsigned c = 0; c < 80; c++)
        put8(&wire, 0);
    decode(&wire);
    assert_string_equal(message.records[1].name, "");
    assert_true(message.marks & FS_DNS_MALFORMED);
    /* two pointers to each other */
    header(&wire, 1, ANSWER, 0, 2, 0, 0);
    put_data(&wire, "\300\030\0\001\0\001\0\0\0\1\0\0\300\014\0\001\0\001\0\0\0\1\0\0", 24);
    decode(&wire);
    assert_true(message.marks & FS_DNS_MALFORMED);
    assert_string_equal(message.records[0].name, "");
}

static void test_limits_of_names(void **state) {
    (void)state;
    char name[300];
    for (unsigned last = 60; last <= 62; last++) { /* 3 * 64 + 1 + last + 1 bytes */
        memset(name, 'x', sizeof name);
        name[63] = name[127] = name[191] = '.';
        name[192 + last] = '\0';
        query(&wire, 1, name, FS_DNS_A);
        decode(&wire);
        assert_string_equal(message.name, last <= 61 ? name : "");
        assert_int_equal(message.marks, last <= 61 ? 0 : FS_DNS_MALFORMED);
    }
    /* over the limit by a pointer */
    name[192 + 61] = '\0';
    query(&wire, 1, name, FS_DNS_A);
    wire.bytes[2] = 0x81;
    wire.bytes[7] = 1;
    put_data(&wire, "\1a\300\014\0\001\0\001\0\0\0\1\0\0", 14);
    decode(&wire);
    assert_string_equal(message.records[1].name, "");
    assert_true(message.marks & FS_DNS_MALFORMED);
    /* worst case of escapes fits the stated size */
    struct fs__dns_name longest = {.length = 255};
    for (size_t at = 0; at < 254; at += 64)
        longest.wire[at] = at + 64 < 254 ? 63 : 61;
    memset(longest.wire + 1, 0, 63);
    memset(longest.wire + 65, 0, 63);
    memset(longest.wire + 129, 0, 63);
    memset(longest.wire + 193, 0, 62);
    char text[FS_DNS_NAME_MAX];
    assert_int_equal(fs__dns_name_text(&longest, text, sizeof text), 250 * 4 + 3);
    assert_int_equal(strlen(text), 1003);
    assert_int_equal(fs__dns_name_text(&longest, text, 1003), 0);
    assert_int_equal(fs__dns_name_text(&longest, text, 1004), 1003);
}

/* Each record's name adds a label to the name before it: legal up to 127 labels, linear in time. */
static void test_chains_of_pointers(void **state) {
    (void)state;
    enum { RECORDS = 130 };
    header(&wire, 1, ANSWER, 0, RECORDS, 0, 0);
    size_t before = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        size_t at = wire.length;
        put_data(&wire, "\1a", 2);
        if (i)
            put16(&wire, 0xc000 | (unsigned)before);
        else
            put8(&wire, 0);
        put_data(&wire, "\0\001\0\001\0\0\0\1\0\0", 10);
        before = at;
    }
    decode(&wire);
    assert_int_equal(message.record_count, FS_DNS_RECORDS_MAX);
    assert_int_equal(message.records_read, RECORDS);
    assert_int_equal(strlen(message.records[63].name), 127);
    assert_true(message.marks & FS_DNS_RECORDS_LEFT);
    struct fs__dns_name name;
    size_t next = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        size_t at = i ? 12 + 13 + (size_t)(i - 1) * 14 : 12;
        enum fs__dns_status status = fs__dns_name_read(&name, wire.bytes, wire.length, at, &next);
        assert_int_equal(status, i < 127 ? FS__DNS_GOOD : FS__DNS_BAD);
        assert_int_equal(next, at + (i ? 4 : 3));
    }
}

/* Pointers to pointers, as many as fit, and thousands of names that go through them. */
static void test_pointers_cost_linear_time(void **state) {
    (void)state;
    enum { POINTERS = 8000, RECORDS = 4000 };
    header(&wire, 1, ANSWER, 0, RECORDS, 0, 0);
    put_data(&wire, "\0\377\377\0\001\0\0\0\1", 9);
    put16(&wire, 2 * POINTERS);
    size_t chain = wire.length;
    put16(&wire, 0xc00c);
    for (unsigned i = 1; i < POINTERS; i++)
        put16(&wire, 0xc000 | (unsigned)(chain + 2 * (i - 1)));
    for (unsigned i = 1; i < RECORDS; i++) {
        put16(&wire, 0xffff & (0xc000 | (unsigned)(chain + 2 * (POINTERS - 1))));
        put_data(&wire, "\377\377\0\001\0\0\0\1\0\0", 10);
    }
    decode(&wire);
    assert_int_equal(message.records_read, RECORDS);
    assert_true(message.marks & FS_DNS_MALFORMED);
}

/* ---- caps ---- */

static void test_records_beyond_the_cap_are_walked(void **state) {
    (void)state;
    header(&wire, 1, ANSWER, 1, 100, 0, 1);
    put_question(&wire, "many.test", FS_DNS_A);
    for (unsigned i = 0; i < 100; i++) {
        put_record(&wire, FS_DNS_A, 4);
        put32(&wire, i);
    }
    put_data(&wire, "\0\0\051\004\320\001\000\000\000\0\0", 11); /* seen although not kept */
    assert_true(decode(&wire));
    assert_int_equal(message.record_count, FS_DNS_RECORDS_MAX);
    assert_int_equal(message.records_read, 102);
    assert_int_equal(message.marks, FS_DNS_RECORDS_LEFT);
    assert_int_equal(message.rcode, 16);
    char text[64];
    message.rcode = 0;
    fs_dns_answer_text(&message, text, sizeof text);
    assert_string_equal(text, "0.0.0.0, 0.0.0.1 (+98)");
    decode_cut(&wire, wire.length - 20, 0);
    assert_true(message.marks & FS_DNS_MALFORMED);
}

static void test_text_beyond_the_cap_is_left(void **state) {
    (void)state;
    header(&wire, 1, ANSWER, 1, 12, 0, 0);
    put_question(&wire, "big.test", FS_DNS_TXT);
    for (unsigned i = 0; i < 12; i++) {
        put_record(&wire, FS_DNS_TXT, 2560);
        for (unsigned s = 0; s < 10; s++) {
            put8(&wire, 255);
            for (unsigned c = 0; c < 255; c++)
                put8(&wire, 'x');
        }
    }
    assert_true(decode(&wire));
    assert_int_equal(message.marks, FS_DNS_TEXT_LEFT);
    assert_int_equal(strlen(message.records[1].text), FS_DNS_VALUE_MAX - 1);
    assert_string_equal(message.records[12].text, "");
    assert_int_equal(message.records[12].data_length, 2560);
    for (unsigned i = 0; i < message.record_count; i++)
        assert_string_equal(message.records[i].name, "big.test");
    assert_true(store.used <= FS_DNS_TEXT_MAX);
}

/* ---- damage ---- */

static void rich(struct wire *w) {
    header(w, 77, ANSWER, 1, 4, 1, 1);
    put_question(w, "www.example.org", FS_DNS_A);
    put_record(w, FS_DNS_CNAME, 6);
    put_data(w, "\3web\300\020", 6);
    put_record(w, FS_DNS_A, 4);
    put32(w, 0xc0000201);
    put_record(w, FS_DNS_AAAA, 16);
    put_data(w, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    put_record(w, FS_DNS_TXT, 6);
    put_data(w, "\5hello", 6);
    put_record(w, FS_DNS_SOA, 26);
    put_data(w, "\300\020\1h\300\020\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5", 26);
    put_data(w, "\0\0\051\004\320\000\000\000\000\0\0", 11);
}

static void test_cut_at_every_byte(void **state) {
    (void)state;
    rich(&wire);
    assert_true(decode(&wire));
    assert_int_equal(message.marks, 0);
    assert_int_equal(message.records_read, 7);
    for (size_t length = 0; length < wire.length; length++) {
        decode_cut(&wire, length, 0);
        assert_int_equal(message.marks, FS_DNS_MALFORMED);
        bool known = decode_cut(&wire, length, wire.length - length);
        assert_int_equal(message.marks, FS_DNS_CUT);
        assert_int_equal(known, length >= 12);
        assert_true(message.records_read < 7);
    }
}

/* Touch all that a message says. */
static size_t weigh(const struct fs_dns_message *m) {
    size_t sum = strlen(m->name);
    assert_true(m->record_count <= FS_DNS_RECORDS_MAX);
    for (unsigned i = 0; i < m->record_count; i++) {
        const struct fs_dns_record *r = &m->records[i];
        sum += strlen(r->name) + strlen(r->text);
        for (const char *c = r->text; *c; c++)
            assert_true(*c >= ' ' && *c < 0x7f);
        for (unsigned b = 0; b < r->data_length; b++)
            sum += r->data[b];
    }
    for (size_t size = 1; size < 40; size++) {
        char text[40];
        memset(text, 0x55, sizeof text);
        size_t length = fs_dns_answer_text(m, text, size);
        assert_int_equal(length, strlen(text));
        assert_true(strlen(text) < size);
    }
    return sum;
}

static void test_mutations(void **state) {
    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        rich(&wire);
        for (int i = rand() % 4; i >= 0; i--)
            wire.bytes[(size_t)rand() % wire.length] = (uint8_t)rand();
        decode_cut(&wire, (size_t)rand() % 4 ? wire.length : (size_t)rand() % wire.length, (uint64_t)rand() % 2);
        weigh(&message);
    }
}

/* ---- answers ---- */

static void assert_answer(const char *text) {
    char line[200];
    assert_true(decode(&wire));
    fs_dns_answer_text(&message, line, sizeof line);
    assert_string_equal(line, text);
}

static void test_answer_text(void **state) {
    (void)state;
    rich(&wire);
    assert_answer("CNAME web.example.org \xe2\x86\x92 192.0.2.1, 2001:db8::1 (+1)");
    char cut[12];
    fs_dns_answer_text(&message, cut, sizeof cut);
    assert_string_equal(cut, "CNAME we\xe2\x80\xa6");
    char arrow[32];
    for (size_t size = 1; size < sizeof arrow; size++) {
        fs_dns_answer_text(&message, arrow, size);
        assert_true(strlen(arrow) < size);
        assert_null(strstr(arrow, "\xe2\x86\xe2"));
    }
    answer_a(&wire, 1, "a.test", 0x5db8d822);
    assert_answer("93.184.216.34");
    query(&wire, 1, "a.test", FS_DNS_A);
    assert_answer("");
    wire.bytes[2] = 0x81;
    assert_answer("no data");
    wire.bytes[3] = 3;
    assert_answer("NXDOMAIN");
    wire.bytes[3] = 15;
    assert_answer("RCODE15");
    header(&wire, 1, ANSWER, 1, 2, 0, 0);
    put_question(&wire, "a.test", 1234);
    put_record(&wire, 1234, 3);
    put_data(&wire, "abc", 3);
    put_record(&wire, FS_DNS_RRSIG, 3);
    put_data(&wire, "abc", 3);
    assert_answer("TYPE1234 3 bytes");
}

/* ---- a flow under test ---- */

struct fixture {
    struct counting_allocator counting;
    const struct fs_parser *parser;
    void *state;
    char log[LOG];
    size_t used, count;
    uint64_t now_ns, peak;
    uint64_t offsets[2];
    uint32_t frame;
    struct fs_message last;
    struct fs_dns_message detail; /* of the last; its pointers are dead */
};

static struct fixture fixture;

static void on_message(const struct fs_message *m, void *user) {
    static const char *const kinds[] = {"Q", "R", "N", "U"};
    static const char *const marks[] = {"malformed", "cut",   "trailing", "records",   "text",
                                        "retry",     "again", "late",     "from-query"};
    struct fixture *f = user;
    const struct fs_dns_message *d = m->detail;
    assert_int_equal(m->protocol, FS_SESSION_DNS);
    assert_int_equal(m->incomplete, (d->marks & FS_DNS_CUT) != 0);
    assert_true(m->request_ns != FS_NO_TIME || m->request_frame == 0);
    weigh(d);
    f->last = *m;
    f->detail = *d;
    f->count++;
    f->peak = f->counting.bytes > f->peak ? f->counting.bytes : f->peak;
    char line[2048], answer[100];
    fs_dns_answer_text(d, answer, sizeof answer);
    size_t used = (size_t)snprintf(line, sizeof line, "%s%" PRIu64 "%s %.100s %s", kinds[m->kind], m->exchange,
                                   m->side ? "<" : ">", d->name, fs_dns_type_name(d->type));
    if (answer[0])
        used += (size_t)snprintf(line + used, sizeof line - used, " = %s", answer);
    for (unsigned i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (d->marks & 1u << i)
            used += (size_t)snprintf(line + used, sizeof line - used, " %s", marks[i]);
    }
    used += (size_t)snprintf(line + used, sizeof line - used, "\n");
    if (f->used + used < LOG) {
        memcpy(f->log + f->used, line, used + 1);
        f->used += used;
    }
}

static struct fixture *start(const struct fs_parser *parser) {
    struct fixture *f = &fixture;
    memset(f, 0, sizeof *f);
    struct fs_parser_host host = {counting_allocator_init(&f->counting), on_message, f};
    f->parser = parser;
    f->now_ns = START;
    f->frame = 0;
    f->state = parser->create(&host);
    assert_non_null(f->state);
    return f;
}

static enum fs_parse_result give(struct fixture *f, unsigned side, const void *data, size_t length) {
    uint8_t *copy = malloc(length ? length : 1); /* gone after the call */
    assert_non_null(copy);
    memcpy(copy, data, length);
    struct fs_chunk chunk = {copy, length, f->offsets[side], f->now_ns, 0, f->frame, (uint8_t)side};
    enum fs_parse_result result = f->parser->feed(f->state, &chunk);
    f->offsets[side] += f->parser->stream ? length : 0;
    free(copy);
    f->peak = f->counting.bytes > f->peak ? f->counting.bytes : f->peak;
    return result;
}

static enum fs_parse_result packet(struct fixture *f, unsigned side, const void *data, size_t length) {
    f->frame++;
    return give(f, side, data, length);
}

static enum fs_parse_result say(struct fixture *f, unsigned side, const struct wire *w) {
    return packet(f, side, w->bytes, w->length);
}

static void gap(struct fixture *f, unsigned side, uint64_t length) {
    struct fs_chunk chunk = {NULL, length, f->offsets[side], f->now_ns, 0, f->frame, (uint8_t)side};
    f->parser->feed(f->state, &chunk);
    f->offsets[side] += length;
}

static void later(struct fixture *f, uint64_t ms) {
    f->now_ns += MS(ms);
}

static void got(struct fixture *f, const char *expected) {
    assert_string_equal(f->log, expected);
    f->used = 0;
    f->log[0] = '\0';
}

static void finish(struct fixture *f) {
    f->parser->end(f->state, false, f->now_ns, f->frame);
    f->parser->destroy(f->state);
    assert_int_equal(f->counting.live, 0);
    assert_int_equal(f->counting.bytes, 0);
    assert_false(f->counting.wrong_size);
}

/* ---- exchanges ---- */

static void test_response_has_its_query(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "Example.ORG", FS_DNS_A);
    say(f, 0, &wire);
    assert_int_equal(f->last.request_ns, FS_NO_TIME);
    later(f, 8);
    answer_a(&other, 5, "eXAMPLE.org", 0x5db8d822); /* 0x20 */
    say(f, 1, &other);
    got(f, "Q1> Example.ORG A\nR1< eXAMPLE.org A = 93.184.216.34\n");
    assert_int_equal(f->last.request_ns, START);
    assert_int_equal(f->last.request_frame, 1);
    assert_int_equal(f->last.start_ns, START + MS(8));
    assert_int_equal(f->last.bytes, other.length);
    assert_int_equal(f->detail.responses, 1);
    finish(f);
    got(f, "");
}

static void test_what_does_not_match(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_A);
    say(f, 0, &wire);
    answer_a(&other, 6, "a.test", 1);
    say(f, 1, &other); /* another id */
    answer_a(&other, 5, "b.test", 1);
    say(f, 1, &other); /* another name */
    answer_a(&other, 5, "a.test", 1);
    say(f, 0, &other); /* from the one who asked */
    assert_int_equal(f->last.request_ns, FS_NO_TIME);
    other.bytes[12 + 8 + 1] = FS_DNS_NS;
    say(f, 1, &other); /* another type */
    got(f, "Q1> a.test A\nR0< a.test A = 0.0.0.1\nR0< b.test A = 0.0.0.1\nR0> a.test A = 0.0.0.1\n"
           "R0< a.test NS = 0.0.0.1\n");
    finish(f);
    got(f, "U1> a.test A\n");
    assert_int_equal(f->last.request_ns, START);
    assert_int_equal(f->last.bytes, wire.length);
    assert_int_equal(f->detail.id, 5);
    assert_int_equal(f->detail.flags, QUERY);
}

static void test_retries_belong_to_the_first(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_A);
    say(f, 0, &wire);
    later(f, 6000);
    say(f, 0, &wire);
    assert_int_equal(f->detail.retries, 1);
    later(f, 6000); /* 12 s after the first, 6 after the second */
    answer_a(&other, 5, "a.test", 1);
    say(f, 1, &other);
    assert_int_equal(f->last.request_ns, START);
    assert_int_equal(f->last.request_frame, 1);
    assert_int_equal(f->detail.retries, 1);
    say(f, 1, &other);
    assert_int_equal(f->detail.responses, 2);
    say(f, 0, &wire); /* the same once more is another exchange */
    say(f, 1, &other);
    got(f, "Q1> a.test A\nQ1> a.test A retry\nR1< a.test A = 0.0.0.1\nR1< a.test A = 0.0.0.1 again\n"
           "Q2> a.test A\nR2< a.test A = 0.0.0.1\n");
    finish(f);
}

static void test_unanswered_and_late(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_A);
    say(f, 0, &wire);
    query(&other, 6, "b.test", FS_DNS_A);
    later(f, 1000);
    say(f, 0, &other);
    f->parser->tick(f->state, START + FS_DNS_TIMEOUT_NS - 1);
    got(f, "Q1> a.test A\nQ2> b.test A\n");
    f->parser->tick(f->state, START + FS_DNS_TIMEOUT_NS);
    f->parser->tick(f->state, START + FS_DNS_TIMEOUT_NS);
    got(f, "U1> a.test A\n");
    f->now_ns = START + MS(11000); /* without a tick too */
    answer_a(&other, 5, "a.test", 1);
    say(f, 1, &other);
    got(f, "U2> b.test A\nR1< a.test A = 0.0.0.1 late\n");
    assert_int_equal(f->last.request_ns, START);
    finish(f);
    got(f, "");
}

static void test_time_may_go_backwards(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_A);
    say(f, 0, &wire);
    f->parser->tick(f->state, 0);
    f->now_ns -= MS(900000);
    say(f, 0, &wire);
    query(&other, 6, "b.test", FS_DNS_A);
    say(f, 0, &other);
    answer_a(&other, 5, "a.test", 1);
    say(f, 1, &other);
    got(f, "Q1> a.test A\nQ1> a.test A retry\nQ2> b.test A\nR1< a.test A = 0.0.0.1\n");
    query(&wire, 8, "d.test", FS_DNS_A); /* sent again, but long ago */
    say(f, 0, &wire);
    f->now_ns -= MS(50000);
    say(f, 0, &wire);
    f->used = 0;
    f->parser->tick(f->state, f->now_ns + FS_DNS_TIMEOUT_NS);
    got(f, "U3> d.test A\n");
    f->now_ns = UINT64_MAX - 1;
    query(&other, 7, "c.test", FS_DNS_A);
    say(f, 0, &other);
    f->parser->tick(f->state, UINT64_MAX - 2);
    got(f, "U2> b.test A\nQ4> c.test A\n");
    finish(f);
    got(f, "U4> c.test A\n");
}

static void test_response_without_a_question(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_MX);
    say(f, 0, &wire);
    header(&other, 5, 0x8001, 0, 0, 0, 0);
    say(f, 1, &other);
    got(f, "Q1> a.test MX\nR1< a.test MX = FORMERR from-query\n");
    finish(f);
}

static void test_malformed_is_still_reported(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 5, "a.test", FS_DNS_A);
    say(f, 0, &wire);
    answer_a(&other, 5, "a.test", 1);
    other.length--;
    say(f, 1, &other);
    got(f, "Q1> a.test A\nR1< a.test A = A malformed, 3 bytes malformed\n");
    struct fs_chunk chunk = {other.bytes, other.length - 10, 0, f->now_ns, 11, 9, 1};
    f->parser->feed(f->state, &chunk);
    got(f, "R1< a.test A = cut short cut again\n");
    finish(f);
}

static void test_nonsense_poisons(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    for (int i = 1; i < FS_DNS_NONSENSE_MAX; i++)
        assert_int_equal(packet(f, 0, "\0\0\0", 3), FS_PARSE_MORE);
    query(&wire, 5, "a.test", FS_DNS_A);
    assert_int_equal(say(f, 0, &wire), FS_PARSE_MORE);
    for (int i = 1; i < FS_DNS_NONSENSE_MAX; i++)
        assert_int_equal(packet(f, 0, "", 0), FS_PARSE_MORE);
    assert_int_equal(packet(f, 0, "no dns message at all", 21), FS_PARSE_POISONED);
    assert_int_equal(say(f, 0, &wire), FS_PARSE_POISONED);
    got(f, "Q1> a.test A\n");
    finish(f);
    f = start(&fs_parser_dns_udp); /* what was cut by the capture is no nonsense */
    struct fs_chunk cut = {wire.bytes, 4, 0, START, 30, 1, 0};
    for (int i = 0; i < 2 * FS_DNS_NONSENSE_MAX; i++)
        assert_int_equal(f->parser->feed(f->state, &cut), FS_PARSE_MORE);
    finish(f);
}

static void test_multicast(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture *f = start(i ? &fs_parser_dns_multicast : &fs_parser_dns_udp);
        header(&wire, 0, 0, 1, 0, 0, 0);
        put_question(&wire, "h.local", FS_DNS_A);
        say(f, 0, &wire);
        header(&wire, 0, 0x8400, 0, 1, 0, 0);
        put_name(&wire, "h.local");
        put_data(&wire, "\0\001\200\001\0\0\0\170\0\4\1\2\3\4", 14);
        say(f, 0, &wire);
        got(f, "Q0> h.local A\nN0>  unknown = 1.2.3.4\n");
        query(&wire, 9, "host", FS_DNS_A); /* LLMNR */
        say(f, 0, &wire);
        finish(f);
        got(f, i ? "Q0> host A\n" : "Q1> host A\nU1> host A\n");
    }
}

static void test_a_flood_of_queries_is_bounded(void **state) {
    (void)state;
    for (unsigned same_id = 0; same_id < 2; same_id++) {
        struct fixture *f = start(&fs_parser_dns_udp);
        char name[300];
        memset(name, 'x', sizeof name);
        name[63] = name[127] = name[191] = '.';
        name[250] = '\0';
        uint64_t calls = 0;
        for (unsigned i = 0; i < 5000; i++) {
            snprintf(name + 200, 20, "%08u", i);
            name[208] = 'x';
            query(&wire, same_id ? 1 : i, name, FS_DNS_A);
            say(f, 0, &wire);
            calls = i == 1000 ? f->counting.calls : calls;
        }
        assert_int_equal(f->count, 5000 + 5000 - FS_DNS_EXCHANGES_MAX);
        assert_int_equal(f->last.kind, FS_MESSAGE_REQUEST);
        assert_int_equal(f->counting.calls, calls);
        assert_true(f->peak <= 192 * 1024 + 1024);
        f->count = 0;
        finish(f);
        assert_int_equal(f->count, FS_DNS_EXCHANGES_MAX);
        assert_int_equal(f->last.exchange, 5000);
    }
}

static void test_answered_queries_give_way_first(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    query(&wire, 0xffff, "first.test", FS_DNS_A);
    say(f, 0, &wire);
    for (unsigned i = 1; i < 2000; i++) {
        query(&wire, i, "a.test", FS_DNS_A);
        say(f, 0, &wire);
        answer_a(&other, i, "a.test", 1);
        say(f, 1, &other);
    }
    f->used = 0;
    answer_a(&other, 0xffff, "first.test", 1);
    say(f, 1, &other);
    got(f, "R1< first.test A = 0.0.0.1\n");
    finish(f);
}

/* With one query in ten seconds the table stays at its least. */
static void test_nothing_is_allocated_in_the_steady_state(void **state) {
    (void)state;
    struct fixture *f = start(&fs_parser_dns_udp);
    uint64_t calls = 0;
    for (unsigned i = 0; i < 3000; i++) {
        query(&wire, i, "a.test", FS_DNS_A);
        say(f, 0, &wire);
        answer_a(&other, i, "a.test", 1);
        say(f, 1, &other);
        later(f, 100);
        calls = i == 200 ? f->counting.calls : calls;
    }
    assert_int_equal(f->counting.calls, calls);
    finish(f);
}

/* ---- streams ---- */

static void frame_of(struct wire *out, const struct wire *w) {
    put16(out, (unsigned)w->length);
    put_data(out, w->bytes, w->length);
}

struct talk {
    struct wire sides[2];
};

static struct talk talk;

/* Pipelined queries, a transfer, garbage in a frame, empty and short frames, a large message. */
static void make_talk(struct talk *t) {
    t->sides[0].length = t->sides[1].length = 0;
    query(&wire, 1, "a.test", FS_DNS_A);
    frame_of(&t->sides[0], &wire);
    query(&wire, 2, "zone.test", FS_DNS_AXFR);
    frame_of(&t->sides[0], &wire);
    put16(&t->sides[0], 0);
    put16(&t->sides[0], 5);
    put_data(&t->sides[0], "abcde", 5);
    put16(&t->sides[0], 30);
    put_data(&t->sides[0], "garbage garbage garbage garbage", 30);
    query(&wire, 3, "b.test", FS_DNS_A);
    frame_of(&t->sides[0], &wire);
    for (unsigned i = 0; i < 3; i++) {
        header(&wire, 2, ANSWER, i == 0, 40, 0, 0);
        if (i == 0)
            put_question(&wire, "zone.test", FS_DNS_AXFR);
        for (unsigned r = 0; r < 40; r++) {
            put_name(&wire, "zone.test");
            put_data(&wire, "\0\020\0\001\0\0\0\170\0\101\100", 11);
            for (unsigned c = 0; c < 64; c++)
                put8(&wire, 'a' + i);
        }
        frame_of(&t->sides[1], &wire);
    }
    answer_a(&wire, 3, "b.test", 3);
    frame_of(&t->sides[1], &wire);
    answer_a(&wire, 1, "a.test", 1);
    frame_of(&t->sides[1], &wire);
}

static void test_stream(void **state) {
    (void)state;
    make_talk(&talk);
    struct fixture *f = start(&fs_parser_dns_tcp);
    uint64_t calls = f->counting.calls;
    for (unsigned side = 0; side < 2; side++)
        packet(f, side, talk.sides[side].bytes, talk.sides[side].length);
    assert_int_equal(f->counting.calls, calls + 4); /* exchanges alone: no copy of messages */
    assert_int_equal(f->last.request_frame, 1);
    got(f, "Q1> a.test A\nQ2> zone.test AXFR\nN0>  unknown malformed\nN0>  unknown malformed\n"
           "N0>  unknown malformed\nQ3> b.test A\n"
           "R2< zone.test AXFR = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", "
           "\"aaaaaaaaaaaaaaaaaaaaaaaaaaa\xe2\x80\xa6\n"
           "R2< zone.test AXFR = \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", "
           "\"bbbbbbbbbbbbbbbbbbbbbbbbbbb\xe2\x80\xa6 from-query\n"
           "R2< zone.test AXFR = \"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\", "
           "\"ccccccccccccccccccccccccccc\xe2\x80\xa6 from-query\n"
           "R3< b.test A = 0.0.0.3\nR1< a.test A = 0.0.0.1\n");
    f->parser->fin(f->state, FS_INITIATOR, f->now_ns, f->frame);
    finish(f);
    got(f, "");
}

static void test_splitting_changes_nothing(void **state) {
    (void)state;
    make_talk(&talk);
    static char whole[LOG];
    srand(2);
    for (int round = -1; round < 60; round++) {
        struct fixture *f = start(&fs_parser_dns_tcp);
        for (unsigned side = 0; side < 2; side++) {
            const struct wire *w = &talk.sides[side];
            for (size_t at = 0; at < w->length;) {
                size_t most = round < 0 ? w->length : round == 0 ? 1 : 1 + (size_t)rand() % (size_t)(1 << round % 14);
                size_t length = most < w->length - at ? most : w->length - at;
                if (round % 2)
                    f->frame++;
                give(f, side, w->bytes + at, length);
                at += length;
            }
        }
        finish(f);
        if (round < 0)
            memcpy(whole, f->log, sizeof whole);
        else
            assert_string_equal(f->log, whole);
        assert_true(f->count >= 11);
    }
}

static void test_times_are_those_of_first_and_last_byte(void **state) {
    (void)state;
    query(&wire, 1, "a.test", FS_DNS_A);
    other.length = 0;
    frame_of(&other, &wire);
    struct fixture *f = start(&fs_parser_dns_tcp);
    packet(f, 0, other.bytes, 1);
    later(f, 5);
    packet(f, 0, other.bytes + 1, 7);
    later(f, 5);
    packet(f, 0, other.bytes + 8, other.length - 8);
    assert_int_equal(f->last.start_ns, START);
    assert_int_equal(f->last.end_ns, START + MS(10));
    assert_int_equal(f->last.start_frame, 1);
    assert_int_equal(f->last.end_frame, 3);
    assert_int_equal(f->last.bytes, other.length);
    finish(f);
}

static void test_gap_within_a_message_keeps_the_place(void **state) {
    (void)state;
    for (unsigned beyond = 0; beyond < 3; beyond++) {
        struct fixture *f = start(&fs_parser_dns_tcp);
        rich(&wire);
        other.length = 0;
        frame_of(&other, &wire);
        answer_a(&wire, 5, "a.test", 1);
        frame_of(&other, &wire);
        size_t resume = 60 + (beyond == 1 ? 20 : 0);
        resume = beyond == 2 ? (size_t)other.bytes[1] + 2 : resume;
        packet(f, 1, other.bytes, 50);
        gap(f, 1, resume - 50);
        for (size_t at = resume; at < other.length; at++)
            give(f, 1, other.bytes + at, 1);
        got(f, "R0< www.example.org A = cut short cut\nR0< a.test A = 0.0.0.1\n");
        finish(f);
    }
}

static void test_gap_beyond_a_message(void **state) {
    (void)state;
    answer_a(&wire, 5, "a.test", 1);
    other.length = 0;
    frame_of(&other, &wire);
    frame_of(&other, &wire);
    size_t half = other.length / 2;
    struct fixture *f = start(&fs_parser_dns_tcp);
    gap(f, 1, 1000); /* before anything */
    packet(f, 1, other.bytes, half);
    gap(f, 1, 777); /* between messages: one begins behind it */
    packet(f, 1, other.bytes, other.length);
    got(f, "R0< a.test A = 0.0.0.1\nR0< a.test A = 0.0.0.1\nR0< a.test A = 0.0.0.1\n");
    gap(f, 1, 777); /* none does: the rest of this segment is lost */
    packet(f, 1, other.bytes + 3, other.length - 3);
    got(f, "");
    packet(f, 1, other.bytes + 7, 20); /* nor in this one */
    packet(f, 1, other.bytes, half);   /* but here */
    got(f, "R0< a.test A = 0.0.0.1\n");
    finish(f);
}

static void test_picked_up_in_the_middle(void **state) {
    (void)state;
    answer_a(&wire, 5, "a.test", 1);
    other.length = 0;
    frame_of(&other, &wire);
    struct fixture *f = start(&fs_parser_dns_tcp);
    packet(f, 1, other.bytes + 10, other.length - 10);
    packet(f, 1, other.bytes, other.length);
    packet(f, 1, other.bytes, other.length - 1);
    f->parser->fin(f->state, FS_RESPONDER, f->now_ns, f->frame);
    packet(f, 1, other.bytes, other.length); /* after the end */
    got(f, "R0< a.test A = 0.0.0.1\nR0< a.test A = A malformed, 3 bytes cut\n");
    finish(f);
}

static void test_streams_of_something_else_are_given_up(void **state) {
    (void)state;
    static const char text[1000] = "GET / HTTP/1.1\r\n";
    struct fixture *f = start(&fs_parser_dns_tcp);
    int calls = 0;
    while (packet(f, 0, text, sizeof text) == FS_PARSE_MORE)
        assert_true(++calls < 1000);
    assert_true(calls >= 256);
    assert_true(f->peak < 70000);
    finish(f);
    got(f, "");
    /* lengths without end */
    static const uint8_t zeros[4000];
    f = start(&fs_parser_dns_tcp);
    query(&wire, 1, "a.test", FS_DNS_A);
    other.length = 0;
    frame_of(&other, &wire);
    packet(f, 0, other.bytes, other.length);
    give(f, 0, zeros, sizeof zeros);
    assert_int_equal(f->count, 1 + FS_DNS_NONSENSE_MAX);
    finish(f);
}

static void test_buffers_are_bounded(void **state) {
    (void)state;
    static uint8_t block[65535 + 2];
    struct fixture *f = start(&fs_parser_dns_tcp);
    query(&wire, 1, "a.test", FS_DNS_A);
    memset(block, 0, sizeof block);
    block[0] = block[1] = 255;
    memcpy(block + 2, wire.bytes, wire.length);
    for (unsigned side = 0; side < 2; side++) {
        for (size_t at = 0; at < sizeof block; at += 331)
            packet(f, side, block + at, sizeof block - at < 331 ? sizeof block - at : 331);
    }
    assert_int_equal(f->count, 2);
    assert_int_equal(f->last.bytes, 65537);
    assert_true(f->peak <= 3 * 65536);
    finish(f);
}

/* ---- probes ---- */

static int probe(const struct fs_parser *parser, const struct wire *w, size_t length, uint64_t missing) {
    uint8_t *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, w->bytes, length);
    struct fs_chunk chunk = {copy, length, 0, 0, missing, 1, 0};
    int result = (int)parser->probe(&chunk);
    free(copy);
    return result;
}

static int probe_whole(void) {
    return probe(&fs_parser_dns_udp, &wire, wire.length, 0);
}

static void test_probe(void **state) {
    (void)state;
    rich(&wire);
    assert_int_equal(probe_whole(), FS_PROBE_YES);
    for (size_t length = 0; length < wire.length; length++) {
        assert_int_equal(probe(&fs_parser_dns_udp, &wire, length, 0), FS_PROBE_NO);
        int cut = probe(&fs_parser_dns_udp, &wire, length, wire.length - length);
        assert_int_equal(cut, length < 33 ? FS_PROBE_NO : FS_PROBE_YES);
    }
    put8(&wire, 0);
    assert_int_equal(probe_whole(), FS_PROBE_NO);
    query(&wire, 1, "a.test", FS_DNS_A);
    assert_int_equal(probe_whole(), FS_PROBE_YES);
    static const struct {
        unsigned at, value;
    } damage[] = {{2, 0x38}, {3, 0x40}, {3, 0x03}, {3, 0x0f}, {5, 0}, {5, 2}, {7, 1}, {21, 0}, {23, 2}, {12, 64}};
    for (unsigned i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        query(&wire, 1, "a.test", FS_DNS_A);
        wire.bytes[damage[i].at] = (uint8_t)damage[i].value;
        assert_int_equal(probe_whole(), FS_PROBE_NO);
    }
    header(&wire, 0, 0, 2, 0, 0, 0); /* mDNS */
    put_question(&wire, "a.local", FS_DNS_A);
    put_question(&wire, "b.local", FS_DNS_A);
    assert_int_equal(probe_whole(), FS_PROBE_YES);
    header(&wire, 7, 0, 2, 1, 0, 0); /* of some: with an id, but without flags */
    put_question(&wire, "a.local", FS_DNS_A);
    put_question(&wire, "b.local", FS_DNS_A);
    put_record(&wire, FS_DNS_A, 4);
    put32(&wire, 1);
    assert_int_equal(probe_whole(), FS_PROBE_YES);
    wire.bytes[2] = 1;
    assert_int_equal(probe_whole(), FS_PROBE_NO);
    query(&wire, 1, "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33); /* NBSTAT */
    assert_int_equal(probe_whole(), FS_PROBE_NO);
    header(&wire, 1, 0x8500, 0, 1, 0, 0); /* NB, without a question */
    put_name(&wire, "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    put_data(&wire, "\0\040\0\001\0\0\0\170\0\6\0\0\1\2\3\4", 16);
    assert_int_equal(probe_whole(), FS_PROBE_NO);
    query(&wire, 1, "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1);
    assert_int_equal(probe_whole(), FS_PROBE_YES);
}

static void test_probe_of_streams(void **state) {
    (void)state;
    rich(&wire);
    other.length = 0;
    frame_of(&other, &wire);
    for (size_t length = 0; length <= other.length; length++)
        assert_int_equal(probe(&fs_parser_dns_tcp, &other, length, 0), length < 35 ? FS_PROBE_MORE : FS_PROBE_YES);
    other.bytes[1] = 12;
    assert_int_equal(probe(&fs_parser_dns_tcp, &other, other.length, 0), FS_PROBE_NO);
}

static void test_probe_of_random_bytes(void **state) {
    (void)state;
    srand(3);
    unsigned claimed = 0;
    for (int round = 0; round < 200000; round++) {
        wire.length = 12 + (size_t)rand() % 100;
        for (size_t i = 0; i < wire.length; i++)
            wire.bytes[i] = (uint8_t)(rand() >> 7);
        claimed += probe_whole() == FS_PROBE_YES;
        wire.bytes[4] = wire.bytes[6] = wire.bytes[8] = wire.bytes[10] = 0; /* small counts */
        wire.bytes[5] &= 1;
        wire.bytes[7] = wire.bytes[9] = wire.bytes[11] = 0;
        claimed += probe_whole() == FS_PROBE_YES;
    }
    assert_true(claimed <= 4);
}

/* ---- memory ---- */

static void play(struct fixture *f) {
    for (unsigned side = 0; side < 2; side++) {
        for (size_t at = 0; at < talk.sides[side].length; at += 700) {
            size_t left = talk.sides[side].length - at;
            packet(f, side, talk.sides[side].bytes + at, left < 700 ? left : 700);
        }
    }
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    make_talk(&talk);
    struct fixture *f = start(&fs_parser_dns_tcp);
    play(f);
    uint64_t calls = f->counting.calls;
    size_t count = f->count;
    finish(f);
    assert_true(calls >= 6);
    for (uint64_t fail = 1; fail <= calls; fail++) {
        for (int on = 0; on < 2; on++) {
            f = &fixture;
            memset(f, 0, sizeof *f);
            struct fs_parser_host host = {counting_allocator_init(&f->counting), on_message, f};
            f->counting.fail_at = fail;
            f->counting.fail_on = on;
            f->parser = &fs_parser_dns_tcp;
            f->now_ns = START;
            f->state = f->parser->create(&host);
            if (!f->state) {
                assert_int_equal(fail, 1);
                continue;
            }
            play(f);
            /* Each message is reported, whole or cut; only what is unanswered is not known any more. */
            assert_true(f->count >= count);
            assert_non_null(strstr(f->log, "a.test A = 0.0.0.1"));
            finish(f);
        }
    }
}

/* A first fragment has at least one byte more: its counts may ask for many. Without a question only the header tells.
 */
static void the_length_of_a_fragment_is_not_known(void **state) {
    (void)state;
    static const uint8_t data[] = {0x30, 0x0b, 0x84, 0x10, 0, 1, 0, 14, 0, 6, 0, 1, 4, 'm', 'a', 'i', 'l'};
    static struct fs_dns_store kept;
    struct fs_dns_message cut;
    assert_false(fs_dns_decode(&cut, &kept, data, sizeof data, 0));
    assert_true(fs_dns_decode(&cut, &kept, data, sizeof data, 1));
    assert_int_equal(cut.id, 0x300b);
    assert_true(cut.marks & FS_DNS_CUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_length_of_a_fragment_is_not_known),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_names_of_numbers),
        cmocka_unit_test(test_header_and_edns),
        cmocka_unit_test(test_classes_of_mdns),
        cmocka_unit_test(test_updates_have_types_without_data),
        cmocka_unit_test(test_hazards_of_compression),
        cmocka_unit_test(test_limits_of_names),
        cmocka_unit_test(test_chains_of_pointers),
        cmocka_unit_test(test_pointers_cost_linear_time),
        cmocka_unit_test(test_records_beyond_the_cap_are_walked),
        cmocka_unit_test(test_text_beyond_the_cap_is_left),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_answer_text),
        cmocka_unit_test(test_response_has_its_query),
        cmocka_unit_test(test_what_does_not_match),
        cmocka_unit_test(test_retries_belong_to_the_first),
        cmocka_unit_test(test_unanswered_and_late),
        cmocka_unit_test(test_time_may_go_backwards),
        cmocka_unit_test(test_response_without_a_question),
        cmocka_unit_test(test_malformed_is_still_reported),
        cmocka_unit_test(test_nonsense_poisons),
        cmocka_unit_test(test_multicast),
        cmocka_unit_test(test_a_flood_of_queries_is_bounded),
        cmocka_unit_test(test_answered_queries_give_way_first),
        cmocka_unit_test(test_nothing_is_allocated_in_the_steady_state),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_splitting_changes_nothing),
        cmocka_unit_test(test_times_are_those_of_first_and_last_byte),
        cmocka_unit_test(test_gap_within_a_message_keeps_the_place),
        cmocka_unit_test(test_gap_beyond_a_message),
        cmocka_unit_test(test_picked_up_in_the_middle),
        cmocka_unit_test(test_streams_of_something_else_are_given_up),
        cmocka_unit_test(test_buffers_are_bounded),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_of_streams),
        cmocka_unit_test(test_probe_of_random_bytes),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
