/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wireshark takes objects while it dissects frames, and these are complete with the last frame only. The GUI and
 * sharkd dissect a capture anew for their list, when the last frame is known. tshark goes over it once and saves at the
 * end, so a listener that comes before its own at the end fills the list. */
#include "export_objects.h"

#include "records.h"
#include "store.h"
#include "tap.h"

static int tap;
static export_object_list_t *waiting; /* tshark: filled at the end */

static int append(const char *bytes, size_t length, void *user) {
    g_byte_array_append(user, (const guint8 *)bytes, (guint)length);
    return 0;
}

/* A capture that has been read is over, also for flows that are open in the tracker. */
static void end_now(struct fs_flow_info *info) {
    if (info->end != FS_END_LIVE)
        return;
    if (info->state == FS_STATE_CLOSED)
        info->end = FS_END_FIN;
    else if (info->state == FS_STATE_RESET)
        info->end = FS_END_RST;
    else
        info->end = FS_END_INPUT;
}

static void write_all(struct fs_record_writer *writer) {
    for (uint32_t id = 0; id < fs_store_flow_count(); id++) {
        struct fs_flow_facts facts;
        struct fs_record_flow record;
        if (!fs_store_tracked(id, &facts))
            continue;
        end_now(&facts.info);
        fs_record_from_facts(&record, &facts);
        (void)fs_record_write(writer, &record);
    }
}

GByteArray *fs_export_objects_records(enum fs_record_format format, uint64_t *count) {
    GByteArray *bytes = g_byte_array_new();
    struct fs_record_options options = fs_record_options_of(format, append, bytes);
    struct fs_record_writer writer;
    (void)fs_record_begin(&writer, &options);
    write_all(&writer);
    (void)fs_record_end(&writer, fs_store_latest_ns());
    *count = writer.written;
    return bytes;
}

static void add_object(export_object_list_t *list, enum fs_record_format format, const char *name, const char *type) {
    uint64_t count;
    GByteArray *bytes = fs_export_objects_records(format, &count);
    export_object_entry_t *entry = g_new0(export_object_entry_t, 1);
    entry->pkt_num = fs_store_last_frame();
    entry->hostname = g_strdup_printf("%" PRIu64 " records", count);
    entry->content_type = g_strdup(type);
    entry->filename = g_strdup(name);
    entry->payload_len = bytes->len;
    entry->payload_data = g_byte_array_free(bytes, FALSE);
    list->add_entry(list->gui_data, entry);
}

static void add_objects(export_object_list_t *list) {
    add_object(list, FS_RECORD_CSV, "flows.csv", "text/csv");
    add_object(list, FS_RECORD_EVE, "eve.json", "application/x-ndjson");
    add_object(list, FS_RECORD_ZEEK, "conn.log", "text/tab-separated-values");
}

static tap_packet_status list_frame(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_, const void *record _U_,
                                    tap_flags_t flags _U_) {
    if (fs_tap_is_tshark()) {
        waiting = data;
        return TAP_PACKET_DONT_REDRAW;
    }
    add_objects(data);
    return TAP_PACKET_REDRAW;
}

static tap_packet_status nothing(void *data _U_, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                                 const void *record _U_, tap_flags_t flags _U_) {
    return TAP_PACKET_DONT_REDRAW;
}

static void fill(void *data _U_) {
    if (!waiting)
        return;
    fs_store_finish();
    add_objects(waiting);
    waiting = NULL;
}

/* Listeners draw in the reverse order of their registration, so it comes after tshark's. */
static void listen_at_the_end(void) {
    static bool done;
    static char self;
    if (done)
        return;
    done = true;
    GString *error = register_tap_listener("flowscope_eo", &self, NULL, TL_REQUIRES_NOTHING, NULL, nothing, fill, NULL);
    if (error)
        g_string_free(error, TRUE);
}

void fs_export_objects_register(int proto) {
    tap = register_export_object(proto, list_frame, NULL);
}

void fs_export_objects_queue(packet_info *pinfo) {
    if (!have_tap_listener(tap))
        return;
    if (fs_tap_is_tshark())
        listen_at_the_end();
    else if (!pinfo->fd->visited || pinfo->num != fs_store_last_frame())
        return;
    tap_queue_packet(tap, pinfo, NULL);
}
