/* SPDX-License-Identifier: MIT */
/** @file dns.h
 * DNS: messages (RFC 1035, RFC 6891), and which response answers which query.
 *
 * Three parsers: datagrams, streams with a two-byte length before each message (RFC 7766), and datagrams to a multicast
 * group (mDNS, RFC 6762; LLMNR, RFC 4795), whose answers come in other flows. docs/sessions-dns.md has the rules.
 *
 * Memory of a parser: a table of exchanges that grows as it is needed to FS_DNS_EXCHANGES_MAX entries of at most 384
 * bytes, 192 KiB in all, and for streams two buffers of at most 64 KiB, allocated for messages that come in pieces.
 * While one of these grows, the old one (at most half the table, a quarter of the buffer) lives too. Without memory a
 * query is reported and not followed, and a message in pieces is reported as far as it was read.
 */
#ifndef FLOWSCOPE_DNS_H
#define FLOWSCOPE_DNS_H

#include "flowscope/parser.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A query without a response for this long since it was last sent is reported as unanswered. */
#define FS_DNS_TIMEOUT_NS UINT64_C(10000000000)

enum {
    FS_DNS_RECORDS_MAX = 64,    /**< questions and records that a message keeps; the rest is walked and counted */
    FS_DNS_TEXT_MAX = 8192,     /**< characters for all names and values of a message, their NULs included */
    FS_DNS_VALUE_MAX = 1024,    /**< characters of one value (TXT, CAA), NUL included */
    FS_DNS_NAME_MAX = 1009,     /**< characters of a name in presentation form, NUL included */
    FS_DNS_WIRE_NAME_MAX = 255, /**< bytes of a name (RFC 1035, 2.3.4) */
    FS_DNS_EXCHANGES_MAX = 512, /**< queries of a flow that are followed; past it the oldest counts as unanswered */
    FS_DNS_NONSENSE_MAX = 8     /**< messages in a row that are not DNS before the parser, or the side, gives up */
};

/** Types whose data is decoded; and some others, by name. XX(symbol, value, name) */
#define FS_DNS_TYPE_MAP(XX)                                                                                            \
    XX(FS_DNS_A, 1, "A")                                                                                               \
    XX(FS_DNS_NS, 2, "NS")                                                                                             \
    XX(FS_DNS_CNAME, 5, "CNAME")                                                                                       \
    XX(FS_DNS_SOA, 6, "SOA")                                                                                           \
    XX(FS_DNS_NULL, 10, "NULL")                                                                                        \
    XX(FS_DNS_PTR, 12, "PTR")                                                                                          \
    XX(FS_DNS_HINFO, 13, "HINFO")                                                                                      \
    XX(FS_DNS_MX, 15, "MX")                                                                                            \
    XX(FS_DNS_TXT, 16, "TXT")                                                                                          \
    XX(FS_DNS_RP, 17, "RP")                                                                                            \
    XX(FS_DNS_SIG, 24, "SIG")                                                                                          \
    XX(FS_DNS_KEY, 25, "KEY")                                                                                          \
    XX(FS_DNS_AAAA, 28, "AAAA")                                                                                        \
    XX(FS_DNS_LOC, 29, "LOC")                                                                                          \
    XX(FS_DNS_SRV, 33, "SRV")                                                                                          \
    XX(FS_DNS_NAPTR, 35, "NAPTR")                                                                                      \
    XX(FS_DNS_DNAME, 39, "DNAME")                                                                                      \
    XX(FS_DNS_OPT, 41, "OPT")                                                                                          \
    XX(FS_DNS_DS, 43, "DS")                                                                                            \
    XX(FS_DNS_SSHFP, 44, "SSHFP")                                                                                      \
    XX(FS_DNS_RRSIG, 46, "RRSIG")                                                                                      \
    XX(FS_DNS_NSEC, 47, "NSEC")                                                                                        \
    XX(FS_DNS_DNSKEY, 48, "DNSKEY")                                                                                    \
    XX(FS_DNS_NSEC3, 50, "NSEC3")                                                                                      \
    XX(FS_DNS_NSEC3PARAM, 51, "NSEC3PARAM")                                                                            \
    XX(FS_DNS_TLSA, 52, "TLSA")                                                                                        \
    XX(FS_DNS_CDS, 59, "CDS")                                                                                          \
    XX(FS_DNS_CDNSKEY, 60, "CDNSKEY")                                                                                  \
    XX(FS_DNS_ZONEMD, 63, "ZONEMD")                                                                                    \
    XX(FS_DNS_SVCB, 64, "SVCB")                                                                                        \
    XX(FS_DNS_HTTPS, 65, "HTTPS")                                                                                      \
    XX(FS_DNS_SPF, 99, "SPF")                                                                                          \
    XX(FS_DNS_TKEY, 249, "TKEY")                                                                                       \
    XX(FS_DNS_TSIG, 250, "TSIG")                                                                                       \
    XX(FS_DNS_IXFR, 251, "IXFR")                                                                                       \
    XX(FS_DNS_AXFR, 252, "AXFR")                                                                                       \
    XX(FS_DNS_ANY, 255, "ANY")                                                                                         \
    XX(FS_DNS_URI, 256, "URI")                                                                                         \
    XX(FS_DNS_CAA, 257, "CAA")

enum fs_dns_type {
#define FS_DNS_ENUM(symbol, value, name) symbol = value,
    FS_DNS_TYPE_MAP(FS_DNS_ENUM)
};

/** Response codes (RFC 6895, 2.3): XX(symbol, value, name). 16 is BADVERS in an OPT record, BADSIG in TSIG. */
#define FS_DNS_RCODE_MAP(XX)                                                                                           \
    XX(FS_DNS_NOERROR, 0, "NOERROR")                                                                                   \
    XX(FS_DNS_FORMERR, 1, "FORMERR")                                                                                   \
    XX(FS_DNS_SERVFAIL, 2, "SERVFAIL")                                                                                 \
    XX(FS_DNS_NXDOMAIN, 3, "NXDOMAIN")                                                                                 \
    XX(FS_DNS_NOTIMP, 4, "NOTIMP")                                                                                     \
    XX(FS_DNS_REFUSED, 5, "REFUSED")                                                                                   \
    XX(FS_DNS_YXDOMAIN, 6, "YXDOMAIN")                                                                                 \
    XX(FS_DNS_YXRRSET, 7, "YXRRSET")                                                                                   \
    XX(FS_DNS_NXRRSET, 8, "NXRRSET")                                                                                   \
    XX(FS_DNS_NOTAUTH, 9, "NOTAUTH")                                                                                   \
    XX(FS_DNS_NOTZONE, 10, "NOTZONE")                                                                                  \
    XX(FS_DNS_DSOTYPENI, 11, "DSOTYPENI")                                                                              \
    XX(FS_DNS_BADVERS, 16, "BADVERS")                                                                                  \
    XX(FS_DNS_BADKEY, 17, "BADKEY")                                                                                    \
    XX(FS_DNS_BADTIME, 18, "BADTIME")                                                                                  \
    XX(FS_DNS_BADMODE, 19, "BADMODE")                                                                                  \
    XX(FS_DNS_BADNAME, 20, "BADNAME")                                                                                  \
    XX(FS_DNS_BADALG, 21, "BADALG")                                                                                    \
    XX(FS_DNS_BADTRUNC, 22, "BADTRUNC")                                                                                \
    XX(FS_DNS_BADCOOKIE, 23, "BADCOOKIE")

enum fs_dns_rcode { FS_DNS_RCODE_MAP(FS_DNS_ENUM) };
#undef FS_DNS_ENUM

/** Parts of a message, in their order; also indices of fs_dns_message.counts. */
enum fs_dns_section {
    FS_DNS_QUESTION = 0,
    FS_DNS_ANSWER,    /**< of UPDATE (RFC 2136): prerequisites */
    FS_DNS_AUTHORITY, /**< of UPDATE: updates */
    FS_DNS_ADDITIONAL
};

/** Flags of the header; bits, where RFC 1035, 4.1.1, and RFC 4035 put them. LLMNR has C (conflict) for AA and T
 * (tentative) for RD. */
enum fs_dns_flag {
    FS_DNS_QR = 0x8000,
    FS_DNS_AA = 0x0400,
    FS_DNS_TC = 0x0200, /**< the sender shortened the message to fit */
    FS_DNS_RD = 0x0100,
    FS_DNS_RA = 0x0080,
    FS_DNS_Z = 0x0040,
    FS_DNS_AD = 0x0020,
    FS_DNS_CD = 0x0010
};

/** What is wrong with a message, or remarkable; bits of fs_dns_message.marks. */
enum fs_dns_mark {
    FS_DNS_MALFORMED = 0x0001,    /**< breaks the format; what could be read is there */
    FS_DNS_CUT = 0x0002,          /**< its end was not seen (capture length, gap, reset, no memory) */
    FS_DNS_TRAILING = 0x0004,     /**< bytes follow the last record */
    FS_DNS_RECORDS_LEFT = 0x0008, /**< more than FS_DNS_RECORDS_MAX: the rest was counted only */
    FS_DNS_TEXT_LEFT = 0x0010,    /**< a name or value is missing or shortened for FS_DNS_TEXT_MAX or _VALUE_MAX */
    FS_DNS_RETRY = 0x0020,        /**< the same query again, while it is outstanding */
    FS_DNS_DUPLICATE = 0x0040,    /**< another response to a query that was answered */
    FS_DNS_LATE = 0x0080,         /**< response after the query was reported as unanswered */
    FS_DNS_FROM_QUERY = 0x0100    /**< the response had no readable question: name, type and class are the query's */
};

/** A question or a record. The pointers are valid as long as the message. */
struct fs_dns_record {
    const char *name;     /**< presentation form; "" if it was not readable or did not fit */
    const char *text;     /**< the value for people; "" for questions and types that are not decoded */
    const uint8_t *data;  /**< the data as sent (A: 4 bytes, AAAA: 16); NULL if it has none */
    uint32_t ttl;         /**< seconds; of OPT: its flags; 0 for questions */
    uint16_t type;        /**< enum fs_dns_type, or any number */
    uint16_t rr_class;    /**< 1 is IN; mDNS: without the top bit; of OPT: sender's UDP size */
    uint16_t data_length; /**< bytes at `data` */
    uint8_t section;      /**< enum fs_dns_section */
    bool malformed;       /**< its data breaks the format of its type: `text` is "" */
    bool cache_flush;     /**< mDNS: top bit of the class: flush the cache, or of questions answer by unicast */
};

/** One message: of REQUEST, RESPONSE, NOTICE and UNANSWERED (then: the query, with header, question and `retries`).
 *
 * Names in presentation form have no dot at the end, and "." is the root. Bytes other than letters, digits and
 * printable ASCII are \DDD (decimal), dots and backslashes within labels \. and \\ (RFC 4343, 2.1): every text of a
 * message is printable ASCII in one line. */
struct fs_dns_message {
    uint16_t id;
    uint16_t flags;     /**< enum fs_dns_flag; the header's second word, with opcode and low rcode in it */
    uint8_t opcode;     /**< 0 query, 4 notify, 5 update, 6 DSO (RFC 8490) */
    uint16_t rcode;     /**< enum fs_dns_rcode; with the upper bits from OPT */
    uint16_t marks;     /**< enum fs_dns_mark */
    uint16_t counts[4]; /**< what the header says, by enum fs_dns_section */
    /** The first question, or for FS_DNS_FROM_QUERY the query's; "" and 0 without one. */
    const char *name;
    uint16_t type, query_class;
    bool edns;      /**< an OPT record (RFC 6891) was read: the next three are its */
    bool dnssec_ok; /**< DO */
    uint8_t edns_version;
    uint16_t udp_size;
    const struct fs_dns_record *records; /**< questions first, then as sent */
    uint16_t record_count;               /**< at `records` */
    uint32_t records_read;               /**< questions and records in the message that were complete */
    uint32_t trailing;                   /**< bytes after the last record */
    /** Queries: times that it was sent before this; responses and UNANSWERED: times that it was sent after the first.
     */
    uint32_t retries;
    uint32_t responses; /**< responses: which one to its query, from 1 (zone transfers have many); 0: no query seen */
};

/** Where a decoded message keeps records and texts; about 11 KiB, no need to clear it. */
struct fs_dns_store {
    struct fs_dns_record records[FS_DNS_RECORDS_MAX];
    char text[FS_DNS_TEXT_MAX];
    uint32_t used; /**< characters of text */
};

/** Decode one message of `length` bytes, without transport framing; at least `missing` bytes follow that were not
 * captured. All of `message` is written; it refers to `store` and `data`. Returns false if this is not recognisably
 * DNS: shorter than a header, or neither the header nor a first question makes sense; what could be read is there all
 * the same. */
bool fs_dns_decode(struct fs_dns_message *message, struct fs_dns_store *store, const uint8_t *data, size_t length,
                   uint64_t missing);

/** "unknown" for other numbers; static storage. */
const char *fs_dns_type_name(unsigned type);
const char *fs_dns_rcode_name(unsigned rcode);
const char *fs_dns_opcode_name(unsigned opcode);

/** A summary of the answers in one line, NUL-terminated, at most `size` > 0 bytes with the NUL, UTF-8:
 *     93.184.216.34, 2001:db8::1 (+2)          two values, and how many more there are
 *     CNAME www.example.net → 192.0.2.1        the last alias first
 *     NXDOMAIN · no data · truncated (TC, without answers) · malformed · cut short
 * Nothing but printable ASCII, "→" and "…", which ends what did not fit. "" for queries. Returns its length. */
size_t fs_dns_answer_text(const struct fs_dns_message *message, char *buffer, size_t size);

/** Datagrams; any ports. The probe wants a whole message that is beyond doubt, and leaves NetBIOS name service (the
 * same format, port 137) alone; ports 53, 5353 and 5355 are for the caller to look at. */
extern const struct fs_parser fs_parser_dns_udp;
/** Streams: TCP port 53, or the inside of DNS over TLS (RFC 7858). */
extern const struct fs_parser fs_parser_dns_tcp;
/** Datagrams to a multicast group: queries expect no answer in this flow, and responses are notices. For flows whose
 * responder's address is a group. */
extern const struct fs_parser fs_parser_dns_multicast;

#ifdef __cplusplus
}
#endif
#endif
