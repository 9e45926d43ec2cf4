/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A record is written when its flow ends, so memory does not grow with their number, and what is still open ends with
 * the capture.
 *
 * With a filter, only flows of which it matched a frame are written. A frame reaches the filter after the pipeline, so
 * a flow that ends during a frame may still be chosen by that frame, which may hold a packet of it, and by none after
 * it: it waits until the next frame has been dissected. In two passes flows end in the first and the filter runs in the
 * second, so all of them wait for the end.
 *
 * Messages and anomalies are written at once, or, with a filter, wait until a frame chooses their flow. */
#include "export.h"

#include "argument.h"
#include "export_objects.h"
#include "records.h"
#include "store.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_BINARY
#define O_BINARY 0
#endif
#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif

enum {
    BUFFER = 65536,
    KEEP_US = 1000000,           /* a line waits no longer, if another follows */
    HELD_MAX = 64 * 1024 * 1024, /* bytes of events that wait for the filter */
};

_Static_assert((int)BUFFER >= (int)FS_RECORD_LINE_MAX && (int)BUFFER >= (int)FS_RECORD_EVENT_MAX,
               "room for every line");

/* A flow that has ended, while it is not known whether the filter chooses it. */
struct undecided {
    void *packed; /* struct fs_flow_facts */
    uint32_t id;
    char parent[FS_UID_SIZE]; /* the carrier may be forgotten later */
};

struct export {
    enum fs_record_format format;
    char *path, *filter;
    int fd;
    bool standard; /* output: not ours to close */
    bool begun, done;
    struct fs_record_writer writer;
    char *buffer; /* whole lines */
    size_t used;
    gint64 since_us;                /* when the first of them came */
    GArray *chosen;                 /* uint8_t, by id: flows of the file that is open that the filter chose */
    GArray *waiting;                /* struct undecided */
    guint decidable;                /* how many of these the next frame decides */
    struct fs_record_writer holder; /* of events that wait */
    GHashTable *held;               /* GString, whole lines, by id of a flow that was not chosen so far */
    GString *holding;               /* one of these: where the holder writes */
    size_t held_bytes;
    uint64_t held_lost; /* events that found no room */
};

static GPtrArray *exports; /* in the order of the command line */
static uint64_t latest_ns; /* of all files */

/* ---- lines ---- */

/* Reported once: what follows is not written. */
static void fail(const struct export *export) {
    fs_argument_fail_later();
    fprintf(stderr, "tshark: -z flowscope,export: cannot write %s: %s\n",
            export->standard ? "standard output" : export->path, g_strerror(errno));
}

/* Of `written` bytes at the end of a file, those of the last line are not whole: take them back. What is no file, or
 * was written on by others, stays. */
static void take_back(const struct export *export, size_t written) {
    size_t whole = written;
    while (whole && export->buffer[whole - 1] != '\n')
        whole--;
    off_t at = lseek(export->fd, 0, SEEK_CUR);
    struct stat status;
    bool at_end = fstat(export->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == at;
    if (at_end && whole < written && ftruncate(export->fd, at - (off_t)(written - whole)) != 0)
        errno = 0; /* the error before is the one to report */
}

static bool write_lines(const struct export *export) {
    size_t written = 0;
    while (written < export->used) {
        ssize_t part = write(export->fd, export->buffer + written, export->used - written);
        if (part < 0 && errno == EINTR)
            continue;
        if (part <= 0) {
            int error = errno;
            take_back(export, written);
            errno = error;
            return false;
        }
        written += (size_t)part;
    }
    return true;
}

/* A reader that goes away is an error to report, not the end of the program without a word. */
static bool write_without_signal(const struct export *export) {
#ifdef SIGPIPE
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    bool ignored = sigaction(SIGPIPE, &ignore, &before) == 0;
    bool good = write_lines(export);
    int error = errno;
    if (ignored)
        (void)sigaction(SIGPIPE, &before, NULL);
    errno = error;
    return good;
#else
    return write_lines(export);
#endif
}

static bool flush(struct export *export) {
    if (export->standard && fflush(stdout) != 0) {
        fail(export);
        return false;
    }
    bool good = write_without_signal(export);
    export->used = 0;
    if (!good)
        fail(export);
    return good;
}

static int take_line(const char *bytes, size_t length, void *user) {
    struct export *export = user;
    gint64 now = g_get_monotonic_time();
    if (export->used + length > BUFFER && !flush(export))
        return -1;
    if (!export->used)
        export->since_us = now;
    memcpy(export->buffer + export->used, bytes, length);
    export->used += length;
    return now - export->since_us > KEEP_US && !flush(export) ? -1 : 0;
}

/* ---- records ---- */

static int hold_line(const char *bytes, size_t length, void *user) {
    struct export *export = user;
    if (export->held_bytes + length > HELD_MAX) {
        export->held_lost++;
        return 0;
    }
    export->held_bytes += length;
    g_string_append_len(export->holding, bytes, (gssize)length);
    return 0;
}

/* Not before the first record: the header has the time of the first frame. */
static void begin(struct export *export) {
    if (export->begun)
        return;
    struct fs_record_options options = fs_record_options_of(export->format, take_line, export);
    export->begun = true;
    (void)fs_record_begin(&export->writer, &options);
    if (!fs_record_has_events(export->format))
        return;
    options.write = hold_line; /* formats with events have no header */
    (void)fs_record_begin(&export->holder, &options);
}

static void write_record(struct export *export, const struct fs_record_flow *record) {
    begin(export);
    (void)fs_record_write(&export->writer, record);
}

static bool is_chosen(const struct export *export, uint64_t id) {
    return !export->filter || (id < export->chosen->len && g_array_index(export->chosen, uint8_t, id));
}

static void free_text(void *text) {
    g_string_free(text, TRUE);
}

static void forget_held(struct export *export, uint32_t id) {
    const GString *text = g_hash_table_lookup(export->held, GUINT_TO_POINTER(id));
    if (!text)
        return;
    export->held_bytes -= text->len;
    g_hash_table_remove(export->held, GUINT_TO_POINTER(id));
}

/* The flow's events that waited. */
static void release(struct export *export, uint32_t id) {
    GString *text = g_hash_table_lookup(export->held, GUINT_TO_POINTER(id));
    if (!text)
        return;
    for (const char *line = text->str; *line && !export->writer.failed;) {
        size_t length = strcspn(line, "\n") + 1;
        export->writer.failed = take_line(line, length, export) != 0;
        export->writer.events++;
        line += length;
    }
    forget_held(export, id);
}

/* The writer for an event of this flow. */
static struct fs_record_writer *writer_for(struct export *export, uint32_t id) {
    begin(export);
    if (is_chosen(export, id))
        return &export->writer;
    export->holding = g_hash_table_lookup(export->held, GUINT_TO_POINTER(id));
    if (!export->holding) {
        export->holding = g_string_new(NULL);
        g_hash_table_insert(export->held, GUINT_TO_POINTER(id), export->holding);
    }
    return &export->holder;
}

static bool takes_events(const struct export *export) {
    return !export->done && fs_record_has_events(export->format);
}

static void on_message(const struct fs_flow_facts *facts, const struct fs_message *message) {
    struct fs_record_flow record;
    fs_record_from_facts(&record, facts);
    for (guint i = 0; i < exports->len; i++) {
        struct export *export = g_ptr_array_index(exports, i);
        if (takes_events(export))
            (void)fs_record_write_message(writer_for(export, (uint32_t)facts->info.id), &record, message);
    }
}

static void on_anomaly(const struct fs_flow_facts *facts, const struct fs_record_anomaly *anomaly) {
    struct fs_record_flow record;
    fs_record_from_facts(&record, facts);
    for (guint i = 0; i < exports->len; i++) {
        struct export *export = g_ptr_array_index(exports, i);
        if (takes_events(export))
            (void)fs_record_write_anomaly(writer_for(export, (uint32_t)facts->info.id), &record, anomaly);
    }
}

bool fs_export_wants_messages(void) {
    for (guint i = 0; exports && i < exports->len; i++) {
        if (takes_events(g_ptr_array_index(exports, i)))
            return true;
    }
    return false;
}

static void put_off(struct export *export, const struct fs_flow_facts *facts, const struct fs_record_flow *record) {
    struct undecided flow = {.packed = fs_pack(facts), .id = (uint32_t)facts->info.id};
    if (record->parent_count)
        memcpy(flow.parent, record->parents[0].uid, sizeof flow.parent);
    g_array_append_val(export->waiting, flow);
}

static void on_end(const struct fs_flow_facts *facts) {
    struct fs_record_flow record;
    fs_record_from_facts(&record, facts);
    for (guint i = 0; i < exports->len; i++) {
        struct export *export = g_ptr_array_index(exports, i);
        if (export->done)
            continue;
        if (is_chosen(export, facts->info.id))
            write_record(export, &record);
        else
            put_off(export, facts, &record);
    }
}

static const struct fs_event_sink events = {on_message, on_anomaly};

static void decide_one(struct export *export, const struct undecided *flow) {
    struct fs_flow_facts facts;
    struct fs_record_flow record;
    if (!is_chosen(export, flow->id)) {
        forget_held(export, flow->id);
        return;
    }
    fs_unpack(flow->packed, &facts);
    fs_record_from_facts(&record, &facts);
    if (record.parent_count)
        memcpy(record.parents[0].uid, flow->parent, sizeof flow->parent);
    write_record(export, &record);
}

/* The filter will see no frame any more of the first `count` flows that wait. */
static void decide(struct export *export, guint count) {
    for (guint i = 0; i < count; i++) {
        struct undecided *flow = &g_array_index(export->waiting, struct undecided, i);
        decide_one(export, flow);
        g_free(flow->packed);
    }
    g_array_remove_range(export->waiting, 0, count);
    export->decidable = 0;
}

/* ---- frames ---- */

static tap_packet_status choose(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                tap_flags_t flags _U_) {
    struct export *export = data;
    const struct fs_tap_frame *frame = record;
    for (unsigned n = 0; n < frame->count; n++) {
        const struct fs_record *packet = &frame->packets[n].record;
        if (packet->bits & FS_RECORD_QUOTED)
            continue;
        if (packet->flow >= export->chosen->len)
            g_array_set_size(export->chosen, packet->flow + 1);
        g_array_index(export->chosen, uint8_t, packet->flow) = 1;
        release(export, packet->flow);
    }
    return TAP_PACKET_DONT_REDRAW;
}

/* Called for every frame, whatever the filter says: on a pass that runs both pipeline and filter, flows that ended
 * before this frame are decided. */
static tap_packet_status next_frame(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record,
                                    tap_flags_t flags _U_) {
    struct export *export = data;
    const struct fs_tap_frame *frame = record; /* with a filter; without one, nothing waits */
    if (!export->filter || !frame->first_pass || !export->waiting->len)
        return TAP_PACKET_DONT_REDRAW;
    if (export->decidable)
        decide(export, export->decidable);
    export->decidable = export->waiting->len;
    return TAP_PACKET_DONT_REDRAW;
}

/* ---- the end ---- */

void fs_export_keep(void) {
    if (!exports || !fs_store_is_open())
        return;
    fs_store_finish();
    uint64_t file_ns = fs_store_latest_ns();
    latest_ns = file_ns > latest_ns ? file_ns : latest_ns;
    for (guint i = 0; i < exports->len; i++) {
        struct export *export = g_ptr_array_index(exports, i);
        if (!export->filter || export->done)
            continue;
        decide(export, export->waiting->len);
        g_array_set_size(export->chosen, 0);
        g_hash_table_remove_all(export->held);
        export->held_bytes = 0;
    }
}

static bool close_file(struct export *export) {
    int fd = export->fd;
    export->fd = -1;
    return export->standard || fd < 0 || close(fd) == 0;
}

static bool is_standard_output_taken(void) {
    for (guint i = 0; i < exports->len; i++) {
        if (((const struct export *)g_ptr_array_index(exports, i))->standard)
            return true;
    }
    return false;
}

static void tell(const struct export *export) {
    if (is_standard_output_taken())
        return;
    printf("\nFlowscope: %" PRIu64 " records%s%s in %s", export->writer.written, export->filter ? " of flows in " : "",
           export->filter ? export->filter : "", export->path);
    if (export->writer.skipped)
        printf("; %" PRIu64 " flows have no place in this format", export->writer.skipped);
    if (export->writer.events)
        printf("; %" PRIu64 " messages and anomalies beside them", export->writer.events);
    putchar('\n');
}

static void text_draw(void *data) {
    struct export *export = data;
    fs_export_keep();
    if (export->done)
        return;
    if (export->held_lost)
        fprintf(stderr,
                "tshark: -z flowscope,export: %s lacks up to %" PRIu64 " messages and anomalies: more than %d MiB of "
                "them waited for the filter to choose their flows\n",
                export->standard ? "standard output" : export->path, export->held_lost, HELD_MAX / 1024 / 1024);
    begin(export);
    (void)fs_record_end(&export->writer, latest_ns);
    export->done = true;
    if (export->writer.failed || !flush(export))
        return;
    if (close_file(export))
        tell(export);
    else
        fail(export);
}

static void free_export(struct export *export) {
    (void)close_file(export);
    for (guint i = 0; i < export->waiting->len; i++)
        g_free(g_array_index(export->waiting, struct undecided, i).packed);
    g_array_free(export->waiting, TRUE);
    g_array_free(export->chosen, TRUE);
    g_hash_table_destroy(export->held);
    g_free(export->buffer);
    g_free(export->path);
    g_free(export->filter);
    g_free(export);
}

static void finish(void *data) {
    g_ptr_array_remove(exports, data);
    free_export(data);
    if (exports->len)
        return;
    fs_store_set_end_sink(NULL);
    fs_store_set_event_sink(NULL);
    g_ptr_array_free(exports, TRUE);
    exports = NULL;
}

/* ---- the argument ---- */

static int format_of(const char *name, size_t length) {
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++) {
        const char *known = fs_record_format_name(format);
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return format;
    }
    return -1;
}

static bool is_taken(const char *path) {
    for (guint i = 0; exports && i < exports->len; i++) {
        const struct export *other = g_ptr_array_index(exports, i);
        if (strcmp(other->path, path) == 0)
            return true;
    }
    return false;
}

/* FORMAT,PATH[,FILTER]: NULL, with a line on standard error, if it is something else. */
static struct export *parse(const char *argument, const char *rest) {
    size_t length = rest ? strcspn(rest, ",") : 0;
    int format = rest ? format_of(rest, length) : -1;
    const char *path = format >= 0 && rest[length] ? rest + length + 1 : "";
    size_t path_length = strcspn(path, ",");
    if (!path_length) {
        fprintf(stderr,
                "tshark: -z %s: %s is missing; accepted is flowscope,export,FORMAT,PATH[,FILTER], where FORMAT is csv, "
                "eve or zeek, and PATH a file without a comma in its name, or - for standard output\n",
                argument, format < 0 ? "a known FORMAT" : "a PATH");
        return NULL;
    }
    char *name = g_strndup(path, path_length);
    if (is_taken(name)) {
        fprintf(stderr, "tshark: -z %s: records are written to %s already\n", argument, name);
        g_free(name);
        return NULL;
    }
    const char *filter = path[path_length] && path[path_length + 1] ? path + path_length + 1 : NULL;
    struct export *export = g_new0(struct export, 1);
    export->format = (enum fs_record_format)format;
    export->path = name;
    export->filter = g_strdup(filter);
    export->fd = -1;
    export->standard = strcmp(name, "-") == 0;
    export->buffer = g_malloc(BUFFER);
    export->chosen = g_array_new(FALSE, TRUE, sizeof(uint8_t));
    export->waiting = g_array_new(FALSE, FALSE, sizeof(struct undecided));
    export->held = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, free_text);
    return export;
}

static bool open_path(struct export *export) {
    export->fd = export->standard ? fileno(stdout)
                                  : g_open(export->path, O_WRONLY | O_CREAT | O_TRUNC | O_BINARY | O_CLOEXEC, 0644);
    if (export->fd >= 0)
        return true;
    fprintf(stderr, "tshark: -z flowscope,export: cannot write %s: %s\n", export->path, g_strerror(errno));
    return false;
}

/* The filter's listener, if there is a filter, and the one that has the end; a bad filter is found before the file is
 * touched. Without a filter no frame is of interest, but somebody has to listen, or tshark dissects nothing. */
static bool start(struct export *export) {
    if (export->filter && !fs_argument_listen("flowscope_frame", export, export->filter, NULL, choose, NULL, NULL))
        return false;
    return open_path(export) && fs_argument_listen(export->filter ? "flowscope_frame" : "flowscope_export", export,
                                                   NULL, NULL, next_frame, text_draw, finish);
}

static FS_TAP_INIT_RESULT text_init(const char *argument, void *user _U_) {
    const char *rest;
    if (!fs_argument_filter(argument, "flowscope,export", &rest))
        FS_TAP_INIT_FAIL;
    struct export *export = parse(argument, rest);
    if (!export)
        FS_TAP_INIT_FAIL;
    if (!start(export)) {
        remove_tap_listener(export);
        free_export(export);
        FS_TAP_INIT_FAIL;
    }
    if (!exports)
        exports = g_ptr_array_new();
    g_ptr_array_add(exports, export);
    fs_store_set_end_sink(on_end);
    if (fs_export_wants_messages())
        fs_store_set_event_sink(&events);
    FS_TAP_INIT_OK;
}

void fs_export_register_taps(int proto) {
    (void)register_tap("flowscope_export");
    fs_export_objects_register(proto);
}

void fs_export_queue(packet_info *pinfo) {
    fs_export_objects_queue(pinfo);
}

void fs_export_register(void) {
    static stat_tap_ui text = {
        REGISTER_PACKET_STAT_GROUP_UNSORTED, "Flowscope Export", "flowscope,export", text_init, 0, NULL};
    if (fs_tap_is_tshark())
        register_stat_tap_ui(&text, NULL);
}
