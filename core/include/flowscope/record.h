/* SPDX-License-Identifier: MIT */
/** @file record.h
 * Flow records: what is known of a flow, in one neutral structure, and writers that put it into the formats of others:
 * CSV, Suricata's EVE JSON, Zeek's conn.log. docs/records.md lists every column with unit and meaning,
 * docs/differences.md where the values differ from those of the systems whose format it is.
 *
 *     struct fs_record_writer writer;
 *     struct fs_record_options options = {.format = FS_RECORD_EVE, .write = to_file, .user = file};
 *     fs_record_begin(&writer, &options);
 *     ...                                    // for each flow that ended:
 *     fs_record_from_flow(&record, &info);
 *     fs_record_write(&writer, &record);
 *     ...
 *     fs_record_end(&writer, now_ns);
 *
 * EVE is more than flows: what was said in them and what was unusual are events of their own, in between.
 *
 * Whatever the record's texts hold, a line stays a line, its fields stay apart, and no control character comes out:
 * text is taken from the network. Nothing is allocated. A line takes 1 to 2 µs.
 */
#ifndef FLOWSCOPE_RECORD_H
#define FLOWSCOPE_RECORD_H

#include "flowscope/error.h"
#include "flowscope/flow.h"
#include "flowscope/parser.h"
#include "flowscope/reassembler.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Of a number that nobody has filled in. */
#define FS_RECORD_UNSET UINT64_MAX

enum {
    FS_RECORD_PARENT_MAX = 4,        /**< carriers of one flow */
    FS_RECORD_APPLICATION_MAX = 64,  /**< bytes of the application's name that are written */
    FS_RECORD_SUMMARY_MAX = 512,     /**< bytes of the summary that are written */
    FS_RECORD_LINE_MAX = 8192,       /**< no flow's line is longer, its end included */
    FS_RECORD_EVENT_MAX = 32768,     /**< nor that of a message or an anomaly */
    FS_RECORD_EVENT_TEXT_MAX = 1024, /**< bytes of a text in a message that are written at most */
    FS_UID_SIZE = 1 + 17 + 1,        /**< "C", 17 characters of 0-9A-Za-z, NUL */
    FS_ADDRESS_TEXT_SIZE = 46        /**< longest text of an address, NUL included */
};

/** What other stages know of one side; FS_RECORD_UNSET where they did not run. */
struct fs_record_side {
    /** Stream bytes that the capture does not hold, those cut off by its snapshot length included. */
    uint64_t gap_bytes;
    uint64_t retransmitted_bytes; /**< sent again */
    uint64_t out_of_order_bytes;  /**< of segments that came after a later one */
    uint64_t overlap_bytes;       /**< received more than once, in another cut than before */
    uint64_t conflict_bytes;      /**< of these, with other content */
    uint64_t duplicates; /**< packets that are copies of others (fs_counters.duplicates, if these are marked) */
};

/** A carrier. Its uid is fs_flow_uid() of its own flow; empty if unknown. */
struct fs_record_parent {
    uint64_t id; /**< fs_flow_info.id */
    char uid[FS_UID_SIZE];
};

/** One flow. Plain data; pointers are borrowed. */
struct fs_record_flow {
    struct fs_flow_info flow; /**< what the tracker knows */
    struct fs_record_side side[2];
    struct fs_record_parent parents[FS_RECORD_PARENT_MAX];
    unsigned parent_count;      /**< 0 to FS_RECORD_PARENT_MAX */
    uint16_t vlan[FS_VLAN_MAX]; /**< fs_packet.vlan of its first packet; 0 where none */
    const char *application;    /**< protocol that was recognised, e.g. "http"; NULL if none */
    const char *summary;        /**< what the session was about, one line; NULL if unknown */
};

/** What is unusual about a packet of a flow. */
struct fs_record_anomaly {
    unsigned anomaly; /**< one bit of enum fs_anomaly */
    enum fs_side side;
    uint64_t time_ns;
    uint32_t frame; /**< 0 if unknown */
};

enum fs_record_format {
    FS_RECORD_CSV = 0, /**< RFC 4180, with a header line */
    FS_RECORD_EVE,     /**< Suricata's EVE, JSON lines: event_type flow, http, tls, dns, anomaly */
    FS_RECORD_ZEEK,    /**< Zeek's conn.log, tab-separated, with its header */
    FS_RECORD_FORMAT_COUNT
};

/** "csv", "eve", "zeek"; "unknown" for other numbers. Static storage. */
const char *fs_record_format_name(int format);

struct fs_record_options {
    enum fs_record_format format;
    /** Takes whole lines, `length` bytes with their "\n" (CSV: "\r\n"), borrowed. Returns 0, or anything else if they
     * could not be written. */
    int (*write)(const char *bytes, size_t length, void *user);
    void *user;
    uint64_t uid_seed;          /**< of fs_flow_uid(): keeps the uids of several captures apart; default 0 */
    uint16_t community_id_seed; /**< of fs_community_id(); default 0 */
    uint64_t open_ns;           /**< Zeek: time in the #open line, e.g. of the first packet */
};

/** A writer: plain data of the caller's, to be filled by fs_record_begin(). It belongs to one thread. */
struct fs_record_writer {
    struct fs_record_options options;
    uint64_t written; /**< records */
    uint64_t events;  /**< messages and anomalies */
    uint64_t skipped; /**< records that the format cannot express, see fs_record_write() */
    bool failed;      /**< the sink has failed: nothing more is written */
};

/** Fill `record` from a snapshot: the texts NULL, no VLAN, the optional numbers FS_RECORD_UNSET, and the flow's parent,
 * if it has one, without its uid. */
void fs_record_from_flow(struct fs_record_flow *record, const struct fs_flow_info *info);

/** Fill in what reassembly knows of one side of a TCP flow (fs_pipeline_stream_info() inside the ended event); of other
 * flows nothing is. `stream` is NULL for a side that has no stream: it sent no payload, or it was lost to the capture.
 * What the tracker knows of the side and the stream does not is missing as well. */
void fs_record_set_stream(struct fs_record_flow *record, enum fs_side side, const struct fs_stream_info *stream);

/** Add a carrier whose flow is known, or give the one with its id its uid. Returns 0, or FS_ERR_LIMIT if there is no
 * room. */
int fs_record_add_parent(struct fs_record_flow *record, const struct fs_flow_info *parent, uint64_t uid_seed);

/** Begin: writes the header line or lines, for EVE nothing. Returns 0, FS_ERR_INVALID for a bad format or without sink,
 * or FS_ERR_WRITE if the sink failed. */
int fs_record_begin(struct fs_record_writer *writer, const struct fs_record_options *options);

/** Write one record: one line, one call of the sink.
 *
 * CSV takes every record. EVE and Zeek hold what Suricata and Zeek would log, and the rest is skipped and counted:
 * EVE has flows of TCP, UDP, SCTP, ICMP, ICMPv6 and ESP; Zeek has flows of IP, but none of an IP tunnel's carrier
 * (IPv4, IPv6, GRE), though tunnel_parents names it.
 *
 * Returns 0, or FS_ERR_WRITE the first time that the sink fails; from then on nothing is written and the result is 0.
 */
int fs_record_write(struct fs_record_writer *writer, const struct fs_record_flow *record);

/** Whether the format has lines for messages and anomalies: EVE does. */
bool fs_record_has_events(enum fs_record_format format);

/** Write an event for a message of HTTP, TLS or DNS that a flow's parser reported, as Suricata has them: an HTTP
 * response, or request that got none; a TLS ServerHello, or ClientHello that got none; each DNS query and response but
 * for multicast ones. Nothing is written of other messages, nor in other formats. Of `record` are used the flow's
 * identity, VLAN and first parent. Returns as fs_record_write(). */
int fs_record_write_message(struct fs_record_writer *writer, const struct fs_record_flow *record,
                            const struct fs_message *message);

/** Write an event for an anomaly; likewise. */
int fs_record_write_anomaly(struct fs_record_writer *writer, const struct fs_record_flow *record,
                            const struct fs_record_anomaly *anomaly);

/** End: writes Zeek's #close line with this time; for the others nothing. Returns as fs_record_write(). */
int fs_record_end(struct fs_record_writer *writer, uint64_t close_ns);

/** The name of a flow, in Zeek's form: from its key, its first packet's time and `seed`, so the same for every run over
 * a capture, on every machine. Returns its length. */
size_t fs_flow_uid(const struct fs_flow_info *info, uint64_t seed, char text[FS_UID_SIZE]);

/** An address as text: IPv4 dotted, IPv6 by RFC 5952, MAC with colons, "-" for FS_FAMILY_NONE and unknown families.
 * Returns its length. */
size_t fs_address_text(enum fs_family family, const uint8_t address[16], char text[FS_ADDRESS_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
