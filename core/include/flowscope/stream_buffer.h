/* SPDX-License-Identifier: MIT */
/** @file stream_buffer.h
 * A stream for consumers that pull: what a reassembler delivers is kept, in order and with its gaps, until it is read.
 *
 * Bytes are looked at where they are, as one unbroken span up to the next gap, and given up when they were used. The
 * storage stays with the buffer. How much it may hold has a limit, and what happens there has a policy; nothing is lost
 * without being counted and shown as a gap. One buffer serves one side of a connection.
 */
#ifndef FLOWSCOPE_STREAM_BUFFER_H
#define FLOWSCOPE_STREAM_BUFFER_H

#include "flowscope/allocator.h"
#include "flowscope/error.h"
#include "flowscope/reassembler.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fs_stream_buffer;

/** What happens when bytes come that would pass the limit. */
enum fs_buffer_policy {
    FS_BUFFER_SLIDE = 0, /**< the oldest bytes make room: they become a gap; default */
    FS_BUFFER_POISON,    /**< all is dropped, and all that follows is refused */
    FS_BUFFER_POLICY_COUNT
};

struct fs_stream_buffer_config {
    /** Bytes that may be kept, each gap between bytes counted as 16; default 1 MiB. UINT64_MAX: no limit. The block
     * that holds them has at most twice that size. */
    uint64_t limit;
    enum fs_buffer_policy policy;
    /** Report (FS_BUFFER_ROSE) when this share of the limit is reached; 0, the default: never; above 100 is 100. */
    uint32_t watermark_percent;
};

/** What a call did; bits. */
enum fs_buffer_result {
    FS_BUFFER_ROSE = 0x1,    /**< the watermark was reached: once for each rise from below it */
    FS_BUFFER_DROPPED = 0x2, /**< bytes were lost to the limit */
    FS_BUFFER_POISONED = 0x4 /**< the buffer was poisoned by this call or before */
};

enum fs_span_kind {
    FS_SPAN_NONE = 0, /**< nothing to read */
    FS_SPAN_DATA,
    FS_SPAN_GAP
};

struct fs_stream_span {
    enum fs_span_kind kind;
    uint64_t offset;
    uint64_t length;
    const uint8_t *data; /**< FS_SPAN_DATA: valid until the next call that changes the buffer */
};

struct fs_stream_buffer_info {
    uint64_t read_offset;     /**< everything before was consumed */
    uint64_t end_offset;      /**< everything before came, or is a gap */
    uint64_t buffered_bytes;  /**< now */
    uint64_t peak_bytes;      /**< most after any call */
    uint64_t gap_bytes;       /**< that came as gaps */
    uint64_t dropped_bytes;   /**< lost to the limit */
    uint64_t refused_bytes;   /**< that came after the buffer was poisoned */
    uint64_t duplicate_bytes; /**< that came again */
    uint64_t rises;           /**< how often FS_BUFFER_ROSE was returned */
    uint64_t memory_bytes;    /**< allocated, the object included */
    bool poisoned;
};

void fs_stream_buffer_config_defaults(struct fs_stream_buffer_config *config);

/** NULL for defaults. Returns NULL without memory, or if a value is out of range. Storage is allocated by the first
 * byte. */
struct fs_stream_buffer *fs_stream_buffer_new(const struct fs_stream_buffer_config *config,
                                              const struct fs_allocator *allocator);
/** NULL is ignored. */
void fs_stream_buffer_free(struct fs_stream_buffer *buffer);

/** Begin another stream at offset 0; counters too begin anew. The storage stays. */
void fs_stream_buffer_reset(struct fs_stream_buffer *buffer);

/** Add bytes. What lies between the end and `offset` is a gap; what lies before the end came before, and is skipped.
 * Returns bits of enum fs_buffer_result, or FS_ERR_NOMEM with nothing changed: what was to be added then becomes a gap
 * as soon as anything follows it. */
int fs_stream_buffer_append(struct fs_stream_buffer *buffer, uint64_t offset, const uint8_t *data, uint64_t length);

/** Add a gap; returns as append() does. */
int fs_stream_buffer_gap(struct fs_stream_buffer *buffer, uint64_t offset, uint64_t length);

/** append() or gap() for an event of a reassembler; 0 for events of other kinds. */
int fs_stream_buffer_event(struct fs_stream_buffer *buffer, const struct fs_stream_event *event);

/** The first span: all bytes up to the next gap, or the gap. */
struct fs_stream_span fs_stream_buffer_peek(const struct fs_stream_buffer *buffer);

/** Give up the first `length` bytes of the first span, or all of it if it is shorter. Returns how many. */
uint64_t fs_stream_buffer_consume(struct fs_stream_buffer *buffer, uint64_t length);

/** Bytes that are kept now: `buffered_bytes` alone, for consumers that wait until there is enough. Counters that were
 * just written take their time to be read. */
uint64_t fs_stream_buffer_level(const struct fs_stream_buffer *buffer);

void fs_stream_buffer_get_info(const struct fs_stream_buffer *buffer, struct fs_stream_buffer_info *info);

#ifdef __cplusplus
}
#endif
#endif
