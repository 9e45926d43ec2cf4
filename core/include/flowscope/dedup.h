/* SPDX-License-Identifier: MIT */
/** @file dedup.h
 * Which frames are copies of another one: of a mirror port that sees a packet come and go, of two taps on one path, of
 * a capture on all interfaces. docs/duplicates.md has the rules and their limits.
 *
 * A `fs_dedup` remembers the last `capacity` frames. Each frame is compared, by hash, with the latest of them that is
 * equal under the mode; cost does not depend on the number that is remembered, memory is fixed at creation, and nothing
 * is allocated after it.
 *
 * A sender may repeat itself byte by byte: TCP acknowledgements, answers to repeated segments, announcements. What
 * tells a repeat from a copy is called *evidence*. Without it, exact mode still says duplicate, which is a statement
 * about bytes, and marks it weak; the other modes never do.
 */
#ifndef FLOWSCOPE_DEDUP_H
#define FLOWSCOPE_DEDUP_H

#include "flowscope/allocator.h"
#include "flowscope/extract.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fs_dedup;

/** What is equal in two frames that are copies of each other; each mode includes those before it. XX(symbol, value,
 * name). */
#define FS_DEDUP_MODE_MAP(XX)                                                                                          \
    XX(FS_DEDUP_EXACT, 0, "exact")         /* captured bytes, length on the wire, link type */                         \
    XX(FS_DEDUP_ROUTED, 1, "routed")       /* the innermost IP packet, but for what routers change */                  \
    XX(FS_DEDUP_REWRITTEN, 2, "rewritten") /* also but for what TCP middleboxes change */

enum fs_dedup_mode {
#define FS_DEDUP_MODE_ENUM(symbol, value, name) symbol = value,
    FS_DEDUP_MODE_MAP(FS_DEDUP_MODE_ENUM)
#undef FS_DEDUP_MODE_ENUM
        FS_DEDUP_MODE_COUNT
};

enum fs_dedup_evidence {
    FS_DEDUP_WEAK = 0, /**< the sender may have sent it twice */
    FS_DEDUP_STRONG,   /**< it would have looked different, sent twice: see enum fs_dedup_ground */
    FS_DEDUP_EVIDENCE_COUNT
};

/** What makes evidence strong; bits. XX(symbol, bit, name). */
#define FS_DEDUP_GROUND_MAP(XX)                                                                                        \
    XX(FS_DEDUP_BY_ID, 0x1, "id")               /* identification of IPv4 or of IPv6 fragments, seen to advance */     \
    XX(FS_DEDUP_BY_TIMESTAMP, 0x2, "timestamp") /* TCP timestamp of a clock that must have ticked in between */        \
    XX(FS_DEDUP_BY_DELAY, 0x4, "delay")         /* TCP data again, sooner than any acknowledgement could return */

enum fs_dedup_ground {
#define FS_DEDUP_GROUND_ENUM(symbol, value, name) symbol = value,
    FS_DEDUP_GROUND_MAP(FS_DEDUP_GROUND_ENUM)
#undef FS_DEDUP_GROUND_ENUM
        FS_DEDUP_GROUND_ALL = 0x7
};

/** In what two copies differ; bits. In exact mode only the interface can. XX(symbol, bit, name). */
#define FS_DEDUP_DIFFERENCE_MAP(XX)                                                                                    \
    XX(FS_DEDUP_INTERFACE, 0x0001, "interface")         /* where it was captured */                                    \
    XX(FS_DEDUP_LINK, 0x0002, "link")                   /* link type or link-layer header, tags aside */               \
    XX(FS_DEDUP_VLAN, 0x0004, "vlan")                   /* VLAN tags of an Ethernet frame */                           \
    XX(FS_DEDUP_ENCAPSULATION, 0x0008, "encapsulation") /* what else is around: MPLS, PPPoE, tunnels */                \
    XX(FS_DEDUP_TRAILER, 0x0010, "trailer")             /* padding or checksum behind the IP packet */                 \
    XX(FS_DEDUP_TTL, 0x0020, "ttl")                     /* or hop limit */                                             \
    XX(FS_DEDUP_TOS, 0x0040, "tos")                     /* DSCP or ECN */                                              \
    XX(FS_DEDUP_IP_CHECKSUM, 0x0080, "ip-checksum")                                                                    \
    XX(FS_DEDUP_FLOW_LABEL, 0x0100, "flow-label")                                                                      \
    XX(FS_DEDUP_DONT_FRAGMENT, 0x0200, "dont-fragment")                                                                \
    XX(FS_DEDUP_MSS, 0x0400, "mss")                                                                                    \
    XX(FS_DEDUP_TIMESTAMPS, 0x0800, "timestamps")                                                                      \
    XX(FS_DEDUP_TCP_CHECKSUM, 0x1000, "tcp-checksum")                                                                  \
    XX(FS_DEDUP_TCP_ECN, 0x2000, "tcp-ecn") /* ECE, CWR, AE and reserved bits */

enum fs_dedup_difference {
#define FS_DEDUP_DIFFERENCE_ENUM(symbol, value, name) symbol = value,
    FS_DEDUP_DIFFERENCE_MAP(FS_DEDUP_DIFFERENCE_ENUM)
#undef FS_DEDUP_DIFFERENCE_ENUM
        FS_DEDUP_DIFFERENCE_ALL = 0x3fff
};

const char *fs_dedup_mode_name(int mode); /**< "unknown" for other numbers; static storage, as of all names */
/** The mode of a name, or -1. */
int fs_dedup_mode_from_name(const char *name);
const char *fs_dedup_evidence_name(int evidence);          /**< "weak", "strong" */
const char *fs_dedup_ground_name(unsigned ground);         /**< of a single bit */
const char *fs_dedup_difference_name(unsigned difference); /**< of a single bit */

enum {
    FS_DEDUP_CAPACITY_MAX = 4194304,
    FS_DEDUP_SENDERS_MAX = 1048576,
    FS_DEDUP_PAIRS = 64,       /**< rows of fs_dedup_stats.pairs */
    FS_DEDUP_NO_VLAN = 0xffff, /**< no tag, or not Ethernet */
    FS_DEDUP_NO_HOPS = INT16_MIN
};

struct fs_dedup_config {
    enum fs_dedup_mode mode; /**< default FS_DEDUP_EXACT */
    /** Frames that are remembered, 1 to FS_DEDUP_CAPACITY_MAX; default 65,536. Memory is that of the next power of two:
     * 48 bytes a frame in exact mode, index included, 128 in routed, 144 in rewritten mode; 32 more with byte
     * comparison. */
    uint32_t capacity;
    /** Copies are at most this far apart in time, before or after: exact mode, default 1 ms; UINT64_MAX: any. */
    uint64_t exact_window_ns;
    uint64_t routed_window_ns; /**< routed and rewritten mode; default 10 ms */
    /** Delay up to which TCP data cannot be a retransmission (FS_DEDUP_BY_DELAY); default 10 µs; 0: never evidence. */
    uint64_t prompt_ns;
    /** Senders whose identification and timestamps are followed, 1 to FS_DEDUP_SENDERS_MAX, rounded up to a power of
     * two and at least 2; default 8,192, 32 bytes each. Of those that are too many, the evidence is weak. */
    uint32_t senders;
    /** Bytes of frames that are kept to compare them, or 0 to trust the hash; default 0. A match is a duplicate only if
     * its bytes are still held and equal: then no sender can have a packet taken for a duplicate by a collision. */
    uint64_t compare_bytes;
    /** Of the hash. A number that senders cannot know keeps them from aiming at collisions; 0: derived from the
     * detector's address. */
    uint64_t seed;
};

/** One frame. `fs_dedup_frame_set()` fills it from what extract() takes and gives. */
struct fs_dedup_frame {
    const uint8_t *data;  /**< borrowed during the call */
    uint32_t captured;    /**< bytes at `data` */
    uint32_t wire_len;    /**< bytes on the wire */
    uint32_t linktype;    /**< enum fs_linktype, or any number that is equal for frames of one kind */
    uint32_t frame;       /**< number in the capture; comes back as fs_dedup_result.original and .previous */
    uint32_t interface;   /**< capture interface; never part of the comparison */
    uint32_t ip_captured; /**< bytes at `ip` */
    /** The innermost IP header, IPv4 or IPv6, or NULL if there is none: then only exact mode applies, with weak
     * evidence. Usually within `data`; it need not be, if the frame was decrypted. Borrowed. */
    const uint8_t *ip;
    uint64_t time_ns; /**< may step backwards */
};

enum fs_dedup_verdict { FS_DEDUP_KEEP = 0, FS_DEDUP_DUPLICATE = 1 };

/** What a frame is. Without a match, zeros and FS_DEDUP_NO_HOPS. */
struct fs_dedup_result {
    uint8_t verdict;  /**< enum fs_dedup_verdict */
    uint8_t mode;     /**< enum fs_dedup_mode: the narrowest that matched */
    uint8_t evidence; /**< enum fs_dedup_evidence */
    uint8_t grounds;  /**< enum fs_dedup_ground; 0 if weak */
    /** Equal in routed or rewritten mode and in time, but on weak evidence: kept. The fields below are set. */
    bool withheld;
    uint8_t pair;         /**< row of fs_dedup_stats.pairs that counted it, or FS_DEDUP_PAIRS; 0 without a duplicate */
    uint32_t original;    /**< number of the first frame of the chain of copies, which was kept; 0 if withheld */
    uint32_t previous;    /**< number of the latest equal frame, which all that follows compares with */
    int64_t delta_ns;     /**< this frame's time less the previous one's */
    int16_t hops;         /**< the previous one's TTL or hop limit less this one's: how much further on the path this
                             one was captured. FS_DEDUP_NO_HOPS without IP */
    uint16_t differences; /**< enum fs_dedup_difference */
};

/** Duplicates that were captured in one constellation. */
struct fs_dedup_pair {
    uint64_t count;
    uint32_t interface_first, interface_copy;
    uint16_t vlan_first, vlan_copy; /**< outermost VLAN identifier of an Ethernet frame, or FS_DEDUP_NO_VLAN */
    int16_t hops;                   /**< as in fs_dedup_result */
};

struct fs_dedup_stats {
    uint64_t frames;
    uint64_t frames_without_ip; /**< or with an IP header that cannot be read */
    uint64_t duplicates[FS_DEDUP_MODE_COUNT][FS_DEDUP_EVIDENCE_COUNT];
    uint64_t withheld[FS_DEDUP_MODE_COUNT]; /**< kept for want of evidence; 0 for exact */
    uint64_t collisions;                    /**< equal hashes of frames that byte comparison found to differ */
    uint64_t unverified;          /**< equal hashes, but the bytes of the earlier frame were no longer held: kept */
    uint64_t evictions;           /**< forgotten frames */
    uint64_t evictions_in_window; /**< of these, while the time window still covered them: capacity is too small */
    struct fs_dedup_pair pairs[FS_DEDUP_PAIRS]; /**< in order of appearance */
    uint64_t pair_count;                        /**< rows in use */
    uint64_t pairs_other;                       /**< duplicates that found no row */
};

void fs_dedup_config_defaults(struct fs_dedup_config *config);

/** Create a detector. NULL for defaults. Returns NULL without memory or if a value is out of range. */
struct fs_dedup *fs_dedup_new(const struct fs_dedup_config *config, const struct fs_allocator *allocator);
/** NULL is ignored. */
void fs_dedup_free(struct fs_dedup *dedup);
/** Forget all frames, senders and statistics. */
void fs_dedup_reset(struct fs_dedup *dedup);
/** Bytes that it holds: the same from creation on. */
size_t fs_dedup_memory(const struct fs_dedup *dedup);

/** Compare `frame` with those before it, and remember it, whatever the verdict. `result` is filled. Cannot fail. */
enum fs_dedup_verdict fs_dedup_check(struct fs_dedup *dedup, const struct fs_dedup_frame *frame,
                                     struct fs_dedup_result *result);
/** The same for `count` frames in order, with the same results. With windows that are larger than the caches, most of
 * the time of a check is a wait for one place in memory: here those of several frames are waited for at once. */
void fs_dedup_check_batch(struct fs_dedup *dedup, const struct fs_dedup_frame *frames, size_t count,
                          struct fs_dedup_result *results);
void fs_dedup_get_stats(const struct fs_dedup *dedup, struct fs_dedup_stats *stats);
/** Add `other` to `sum`, field by field; rows of `pairs` by constellation, those that find no row to `pairs_other`. */
void fs_dedup_stats_add(struct fs_dedup_stats *sum, const struct fs_dedup_stats *other);

/** Fill `out` from a frame and what fs_extract() made of it, `count` descriptors or less than 1 for none: its IP header
 * is that of the last descriptor which is not quoted. */
void fs_dedup_frame_set(struct fs_dedup_frame *out, const struct fs_frame *frame, const struct fs_packet *packets,
                        int count);
/** Fill `out` from a descriptor alone, where the frame's bytes are not at hand: the frame is the IP packet, of
 * FS_LINK_RAW. A descriptor without fs_packet.ip makes a frame without bytes, which must not be checked. */
void fs_dedup_frame_set_packet(struct fs_dedup_frame *out, const struct fs_packet *packet);

#ifdef __cplusplus
}
#endif
#endif
