/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams are written as the pipeline delivers them, in one pass, whatever their number: few files are open at a time.
 * Which flows the filter chooses is known at the end; the files of the others are removed then. */
#include "streams.h"

#include "argument.h"
#include "store.h"
#include "tap.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

#ifndef O_BINARY
#define O_BINARY 0
#endif
#ifndef O_NOFOLLOW
#define O_NOFOLLOW 0
#endif

enum { OPEN_FILES = 64, NAME_SIZE = 48 };

/* One side's file. */
struct stream {
    int fd; /* -1: not open now */
    guint slot;
    uint64_t bytes, gaps, gap_bytes, conflicts;
    uint8_t end;
    bool exists;
};

struct flow {
    uint32_t id;
    unsigned part;
    bool chosen;
    void *packed; /* struct fs_flow_facts, when a stream of it ended last */
    struct stream side[2];
};

/* There is one at most: the pipeline has one sink. */
static struct {
    char *folder;
    char *filter;
    GHashTable *flows; /* by id: struct flow, of the file that is open */
    GPtrArray *order;  /* all of them, in the order of their first bytes */
    GArray *chosen;    /* uint8_t, by id: flows of the file that is open that the filter chose */
    struct stream *open[OPEN_FILES];
    guint next_slot;
    unsigned part; /* grows when the same capture file is opened again (tshark -M) */
    FILE *gaps;
    bool failed;
} out;

/* ---- files ---- */

/* Reported once: what follows is not written. */
static void fail(const char *name) {
    if (out.failed)
        return;
    out.failed = true;
    fs_argument_fail_later();
    fprintf(stderr, "tshark: -z flowscope,streams: cannot write %s%s%s: %s\n", out.folder, name ? "/" : "",
            name ? name : "", g_strerror(errno));
}

static void file_name(const struct flow *flow, enum fs_side side, char name[NAME_SIZE]) {
    if (flow->part)
        snprintf(name, NAME_SIZE, "part%04u-%010u-%s.bin", flow->part, flow->id, fs_side_name((int)side));
    else
        snprintf(name, NAME_SIZE, "%010u-%s.bin", flow->id, fs_side_name((int)side));
}

static void close_stream(struct stream *stream) {
    if (stream->fd < 0)
        return;
    if (close(stream->fd) != 0)
        fail(NULL);
    stream->fd = -1;
    out.open[stream->slot] = NULL;
}

static bool open_stream(struct flow *flow, enum fs_side side) {
    struct stream *stream = &flow->side[side];
    char name[NAME_SIZE];
    if (stream->fd >= 0)
        return true;
    if (out.open[out.next_slot])
        close_stream(out.open[out.next_slot]);
    file_name(flow, side, name);
    char *path = g_build_filename(out.folder, name, NULL);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_BINARY | O_NOFOLLOW | (stream->exists ? 0 : O_TRUNC);
    stream->fd = g_open(path, flags, 0644);
    g_free(path);
    if (stream->fd < 0) {
        fail(name);
        return false;
    }
    stream->exists = true;
    stream->slot = out.next_slot;
    out.open[stream->slot] = stream;
    out.next_slot = (out.next_slot + 1) % OPEN_FILES;
    return true;
}

/* All of it, or what was there before. */
static bool write_whole(int fd, const uint8_t *data, uint64_t length, uint64_t before) {
    while (length) {
        size_t part = length < 1U << 30 ? (size_t)length : 1U << 30;
        ssize_t written = write(fd, data, part);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int error = errno;
            if (ftruncate(fd, (off_t)before) != 0)
                errno = 0; /* the first error is the one to report */
            errno = error;
            return false;
        }
        data += written;
        length -= (uint64_t)written;
    }
    return true;
}

static void write_data(struct flow *flow, enum fs_side side, const struct fs_stream_event *event) {
    struct stream *stream = &flow->side[side];
    char name[NAME_SIZE];
    if (out.failed || !open_stream(flow, side))
        return;
    if (!write_whole(stream->fd, event->data, event->length, stream->bytes)) {
        file_name(flow, side, name);
        fail(name);
        return;
    }
    stream->bytes += event->length;
}

/* ---- events ---- */

static struct flow *flow_of(uint32_t id) {
    struct flow *flow = g_hash_table_lookup(out.flows, GUINT_TO_POINTER(id));
    if (flow)
        return flow;
    flow = g_new0(struct flow, 1);
    flow->id = id;
    flow->part = out.part;
    flow->side[0].fd = flow->side[1].fd = -1;
    g_hash_table_insert(out.flows, GUINT_TO_POINTER(id), flow);
    g_ptr_array_add(out.order, flow);
    return flow;
}

static void note_gap(const struct flow *flow, enum fs_side side, const struct fs_stream_event *event) {
    char name[NAME_SIZE];
    file_name(flow, side, name);
    if (out.failed)
        return;
    if (fprintf(out.gaps, "%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s\n", name, event->offset, event->length,
                flow->side[side].bytes, event->uncaptured ? "not captured" : "lost") < 0)
        fail("gaps.csv");
}

/* The store may forget the flow before the end. */
static void remember_facts(struct flow *flow) {
    struct fs_flow_facts facts;
    if (!fs_store_flow(flow->id, &facts))
        return;
    g_free(flow->packed);
    flow->packed = fs_pack(&facts);
}

static void on_stream(uint32_t id, enum fs_side side, const struct fs_stream_event *event) {
    struct flow *flow = flow_of(id);
    struct stream *stream = &flow->side[side];
    switch (event->kind) {
    case FS_STREAM_DATA:
        write_data(flow, side, event);
        break;
    case FS_STREAM_GAP:
        stream->gaps++;
        stream->gap_bytes += event->length;
        note_gap(flow, side, event);
        break;
    case FS_STREAM_CONFLICT:
        stream->conflicts++;
        break;
    case FS_STREAM_ENDED:
        stream->end = event->end;
        close_stream(stream);
        remember_facts(flow);
        break;
    }
}

static tap_packet_status choose(void *data _U_, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                tap_flags_t flags _U_) {
    const struct fs_seen *seen = record;
    uint32_t id = seen->record.flow;
    if (id >= out.chosen->len)
        g_array_set_size(out.chosen, id + 1);
    g_array_index(out.chosen, uint8_t, id) = 1;
    return TAP_PACKET_DONT_REDRAW;
}

/* ---- the end ---- */

/* All flows end, so that what waits is written, and their facts are known. */
void fs_streams_keep(void) {
    if (!out.flows)
        return;
    fs_store_finish();
    for (guint i = 0; i < out.order->len; i++) {
        struct flow *flow = g_ptr_array_index(out.order, i);
        if (flow->part == out.part)
            flow->chosen = flow->id < out.chosen->len && g_array_index(out.chosen, uint8_t, flow->id);
    }
    g_hash_table_remove_all(out.flows);
    g_array_set_size(out.chosen, 0);
    out.part++;
}

static void remove_files(struct flow *flow) {
    char name[NAME_SIZE];
    for (unsigned side = 0; side < 2; side++) {
        if (!flow->side[side].exists)
            continue;
        file_name(flow, (enum fs_side)side, name);
        char *path = g_build_filename(out.folder, name, NULL);
        if (g_unlink(path) != 0)
            fail(name);
        g_free(path);
    }
}

static void write_index_side(FILE *index, const struct flow *flow, enum fs_side side) {
    const struct stream *stream = &flow->side[side];
    char name[NAME_SIZE] = "";
    if (stream->exists)
        file_name(flow, side, name);
    fprintf(index, ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s", name, stream->bytes, stream->gaps,
            stream->gap_bytes, stream->conflicts, fs_stream_end_name(stream->end));
}

static void write_index_row(FILE *index, const struct flow *flow) {
    char initiator[FS_TEXT_ENDPOINT], responder[FS_TEXT_ENDPOINT];
    struct fs_flow_facts facts;
    const struct fs_flow_info *info = &facts.info;
    fs_unpack(flow->packed, &facts);
    fs_text_endpoint(info, FS_INITIATOR, initiator, sizeof initiator);
    fs_text_endpoint(info, FS_RESPONDER, responder, sizeof responder);
    fprintf(index, "%u,%s,%s,%" PRIu64 ".%09u,%" PRIu64 ".%09u", flow->id, initiator, responder,
            info->first_ns / 1000000000, (unsigned)(info->first_ns % 1000000000), info->last_ns / 1000000000,
            (unsigned)(info->last_ns % 1000000000));
    write_index_side(index, flow, FS_INITIATOR);
    write_index_side(index, flow, FS_RESPONDER);
    fputs("\n", index);
}

static void write_index(guint *count) {
    char *path = g_build_filename(out.folder, "index.csv", NULL);
    FILE *index = g_fopen(path, "w");
    g_free(path);
    if (!index) {
        fail("index.csv");
        return;
    }
    fputs("flow,initiator,responder,first,last,initiator_file,initiator_bytes,initiator_gaps,initiator_gap_bytes,"
          "initiator_conflicts,initiator_end,responder_file,responder_bytes,responder_gaps,responder_gap_bytes,"
          "responder_conflicts,responder_end\n",
          index);
    for (guint i = 0; i < out.order->len; i++) {
        const struct flow *flow = g_ptr_array_index(out.order, i);
        if (!flow->chosen || !flow->packed)
            continue;
        write_index_row(index, flow);
        (*count)++;
    }
    if (ferror(index) | fclose(index))
        fail("index.csv");
}

static void text_draw(void *data _U_) {
    guint count = 0;
    uint64_t bytes = 0;
    fs_streams_keep();
    for (guint i = 0; i < out.order->len; i++) {
        struct flow *flow = g_ptr_array_index(out.order, i);
        if (!flow->chosen)
            remove_files(flow);
        else
            bytes += flow->side[0].bytes + flow->side[1].bytes;
    }
    if (fflush(out.gaps) != 0)
        fail("gaps.csv");
    write_index(&count);
    if (!out.failed)
        printf("\nFlowscope: streams of %u flows%s%s, %" PRIu64 " bytes, in %s\n", count, out.filter ? " in " : "",
               out.filter ? out.filter : "", bytes, out.folder);
}

static void finish(void *data _U_) {
    fs_store_set_sink(NULL);
    for (guint i = 0; i < out.order->len; i++) {
        struct flow *flow = g_ptr_array_index(out.order, i);
        close_stream(&flow->side[0]);
        close_stream(&flow->side[1]);
        g_free(flow->packed);
        g_free(flow);
    }
    g_ptr_array_free(out.order, TRUE);
    g_array_free(out.chosen, TRUE);
    g_hash_table_destroy(out.flows);
    (void)fclose(out.gaps);
    g_free(out.folder);
    g_free(out.filter);
    memset(&out, 0, sizeof out);
}

/* ---- the argument ---- */

static bool open_folder(const char *folder) {
    char *path = g_build_filename(folder, "gaps.csv", NULL);
    bool made = g_mkdir_with_parents(folder, 0755) == 0;
    out.gaps = made ? g_fopen(path, "w") : NULL;
    g_free(path);
    if (!out.gaps) {
        fprintf(stderr, "tshark: -z flowscope,streams: cannot write %s: %s\n", folder, g_strerror(errno));
        return false;
    }
    fputs("file,offset,length,file_offset,cause\n", out.gaps);
    return true;
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *rest;
    if (!fs_argument_filter(argument, "flowscope,streams", &rest))
        FS_TAP_INIT_FAIL;
    if (!rest || rest[0] == ',' || out.folder) {
        fprintf(stderr, "tshark: -z %s: %s\n", argument,
                out.folder ? "streams are written once, and were asked for already"
                           : "a folder is missing: flowscope,streams,DIR[,FILTER]");
        FS_TAP_INIT_FAIL;
    }
    const char *comma = strchr(rest, ',');
    const char *filter = comma && comma[1] ? comma + 1 : NULL;
    char *folder = comma ? g_strndup(rest, (gsize)(comma - rest)) : g_strdup(rest);
    if (!open_folder(folder)) {
        g_free(folder);
        FS_TAP_INIT_FAIL;
    }
    out.folder = folder;
    out.filter = g_strdup(filter);
    out.flows = g_hash_table_new(g_direct_hash, g_direct_equal);
    out.order = g_ptr_array_new();
    out.chosen = g_array_new(FALSE, TRUE, sizeof(uint8_t));
    if (!fs_argument_listen("flowscope", &out, filter, NULL, choose, text_draw, finish)) {
        finish(&out);
        FS_TAP_INIT_FAIL;
    }
    fs_store_set_sink(on_stream);
    FS_TAP_INIT_OK;
}

void fs_streams_register(void) {
    static stat_tap_ui text = {
        REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope Streams", "flowscope,streams", text_init, 0, NULL};
    if (fs_tap_is_tshark())
        register_stat_tap_ui(&text, NULL);
}
