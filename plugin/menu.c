/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "menu.h"

#include "export_objects.h"
#include "store.h"

#include "flowscope/version.h"

#include <epan/frame_data_sequence.h>
#include <epan/funnel.h>
#include <epan/plugin_if.h>

static void show_text(const char *title, const char *text) {
    const funnel_ops_t *ops = funnel_get_funnel_ops();
    if (!ops || !ops->new_text_window || !ops->set_text)
        return;
    funnel_text_window_t *window = ops->new_text_window(ops->ops_id, title);
    if (window)
        ops->set_text(window, text);
}

static void ask(const char *title, const char **names, const char **values, funnel_dlg_cb_t answered) {
    const funnel_ops_t *ops = funnel_get_funnel_ops();
    if (ops && ops->new_dialog)
        ops->new_dialog(ops->ops_id, title, names, values, answered, NULL, NULL);
}

/* ---- the window's state: asked for at each click ---- */

static void *selected_frame(capture_file *file, void *number) {
    *(uint32_t *)number = file->current_frame ? file->current_frame->num : 0;
    return NULL;
}

static const struct fs_record *selected(void) {
    uint32_t frame = 0;
    plugin_if_get_capture_file(selected_frame, &frame);
    const struct fs_record *record = frame && fs_store_is_open() ? fs_store_innermost(frame) : NULL;
    if (!record)
        show_text("Flowscope", frame ? "The selected packet belongs to no flow.\n" : "No packet is selected.\n");
    return record;
}

static bool has_anomaly(uint32_t frame) {
    const struct fs_record *record;
    for (unsigned n = 0; (record = fs_store_record(frame, n)); n++) {
        if (record->bits & FS_RECORD_ANOMALY)
            return true;
    }
    return false;
}

/* The next frame in the list that has an anomaly, behind the selected one or from the top again. One that the display
 * filter hides could not be gone to. */
static void *next_anomaly_frame(capture_file *file, void *number) {
    uint32_t start = file->current_frame ? file->current_frame->num : 0;
    for (uint32_t step = 1; step <= file->count; step++) {
        uint32_t frame = (uint32_t)(((uint64_t)start + step - 1) % file->count) + 1;
        const frame_data *shown = frame_data_sequence_find(file->provider.frames, frame);
        if (shown && shown->passed_dfilter && has_anomaly(frame)) {
            *(uint32_t *)number = frame;
            break;
        }
    }
    return NULL;
}

/* ---- entries ---- */

static void apply_filter(const char *format, uint32_t flow) {
    char *filter = g_strdup_printf(format, flow);
    plugin_if_apply_filter(filter, TRUE);
    g_free(filter);
}

static void filter_flow(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    const struct fs_record *record = selected();
    if (record)
        apply_filter("flowscope.flow == %u", record->flow);
}

static void filter_carrier(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    struct fs_flow_facts facts;
    const struct fs_record *record = selected();
    if (!record)
        return;
    if (fs_store_flow(record->flow, &facts) && facts.info.parent != FS_NO_FLOW)
        apply_filter("flowscope.flow == %u", (uint32_t)facts.info.parent);
    else
        show_text("Flowscope", "The flow of the selected packet came in no tunnel.\n");
}

static void filter_sessions(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    const struct fs_record *record = selected();
    if (record)
        apply_filter("flowscope.flow == %u && flowscope.session.message", record->flow);
}

/* A number of a flow at `*at`, which moves behind it. */
static bool take_number(const char **at, uint32_t *number) {
    char *end;
    if (!g_ascii_isdigit(**at))
        return false;
    uint64_t value = g_ascii_strtoull(*at, &end, 10);
    *at = end;
    *number = (uint32_t)value;
    return value <= UINT32_MAX;
}

/* "7" or "12-15", as a member of a set. */
static bool add_word(GString *set, const char *word) {
    uint32_t from, to;
    if (!take_number(&word, &from))
        return false;
    g_string_append_printf(set, "%s%u", set->len ? ", " : "", from);
    if (*word == '\0')
        return true;
    if (*word++ != '-' || !take_number(&word, &to) || to < from)
        return false;
    g_string_append_printf(set, "..%u", to);
    return *word == '\0';
}

/* "3, 7, 12-15" as the members of a set; NULL if it is something else. */
static char *set_of(const char *text) {
    GString *set = g_string_new(NULL);
    char **words = g_strsplit_set(text, ", ;\t", -1);
    bool good = true;
    for (char **word = words; *word && good; word++)
        good = **word == '\0' || add_word(set, *word);
    g_strfreev(words);
    return g_string_free(set, !good || !set->len);
}

static void numbers_answered(char **answers, void *user _U_) {
    char *set = answers && answers[0] ? set_of(answers[0]) : NULL;
    if (!set) {
        show_text("Flowscope", "Numbers of flows are missing, such as 3, 7, 12-15.\n");
        return;
    }
    char *filter = g_strdup_printf("flowscope.flow in {%s}", set);
    plugin_if_apply_filter(filter, TRUE);
    g_free(filter);
    g_free(set);
}

/* Wireshark's tables have no way from a row to its packets. */
static void filter_numbers(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    static const char *names[] = {"Flows, as the tables number them", NULL};
    static const char *values[] = {"", NULL};
    ask("Flowscope: Filter Flows by Number", names, values, numbers_answered);
}

static void next_anomaly(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    uint32_t frame = 0;
    if (fs_store_is_open())
        plugin_if_get_capture_file(next_anomaly_frame, &frame);
    if (frame)
        plugin_if_goto_frame(frame);
    else
        show_text("Flowscope", "No packet that is shown has an anomaly.\n");
}

/* ---- export ---- */

static int format_of(const char *name) {
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++) {
        if (g_ascii_strcasecmp(name, fs_record_format_name(format)) == 0)
            return format;
    }
    return -1;
}

static void write_records(enum fs_record_format format, const char *path) {
    GError *error = NULL;
    uint64_t count = 0;
    GByteArray *bytes = fs_export_objects_records(format, &count);
    bool good = g_file_set_contents(path, (const char *)bytes->data, (gssize)bytes->len, &error);
    char *text = good ? g_strdup_printf("%" PRIu64 " records in %s\n", count, path)
                      : g_strdup_printf("Cannot write: %s\n", error->message);
    show_text("Flowscope Export", text);
    g_free(text);
    g_byte_array_free(bytes, TRUE);
    g_clear_error(&error);
}

/* The dialog's answers, in the order of its fields; it leaves them to us. */
static void export_answered(char **answers, void *user _U_) {
    int format = answers && answers[0] ? format_of(g_strstrip(answers[0])) : -1;
    const char *path = format >= 0 && answers[1] ? g_strstrip(answers[1]) : "";
    if (format < 0)
        show_text("Flowscope Export", "Format is csv, eve or zeek.\n");
    else if (!path[0])
        show_text("Flowscope Export", "A file to write to is missing.\n");
    else if (!fs_store_is_open())
        show_text("Flowscope Export", "No capture is open.\n");
    else
        write_records((enum fs_record_format)format, path);
}

static void export_records(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    static const char *names[] = {"Format (csv, eve, zeek)", "File", NULL};
    char *path = g_build_filename(g_get_home_dir(), "flows.csv", NULL);
    const char *values[] = {"csv", path, NULL};
    ask("Flowscope: Export Records of All Flows", names, values, export_answered);
    g_free(path);
}

static void about(ext_menubar_gui_type gui _U_, void *object _U_, void *user _U_) {
    char *text = g_strdup_printf(
        "Flowscope %s, built for Wireshark %d.%d\n\n"
        "Flows of this capture: %u\n\n"
        "Tables: Statistics, and the tab Flowscope of Conversations and Endpoints.\n"
        "Fields: flowscope.*; the profile Flowscope has columns, colours and buttons for them.\n"
        "Settings: Edit > Preferences > Protocols > Flowscope.\n\n"
        "Copyright of the plugin: GPL-2.0-or-later; of the library in it: MIT.\n",
        FS_VERSION, WIRESHARK_VERSION_MAJOR, WIRESHARK_VERSION_MINOR, fs_store_is_open() ? fs_store_flow_count() : 0);
    show_text("About Flowscope", text);
    g_free(text);
}

void fs_menu_register(int proto) {
    ext_menu_t *menu = ext_menubar_register_menu(proto, "Flowscope", TRUE);
    ext_menubar_set_parentmenu(menu, "Tools");
    ext_menubar_add_entry(menu, "Filter This Flow", "Show the flow of the selected packet alone", filter_flow, NULL);
    ext_menubar_add_entry(menu, "Filter Its Carrier", "Show the flow of the tunnel that the selected packet came in",
                          filter_carrier, NULL);
    ext_menubar_add_entry(menu, "Filter Its Messages", "Show the requests and responses of the selected packet's flow",
                          filter_sessions, NULL);
    ext_menubar_add_entry(menu, "Filter Flows by Number...", "Show the flows of rows of a table", filter_numbers, NULL);
    ext_menubar_add_separator(menu);
    ext_menubar_add_entry(menu, "Next Anomaly", "Go to the next packet shown that is unusual", next_anomaly, NULL);
    ext_menubar_add_entry(menu, "Export Records...", "Write a record of every flow: CSV, EVE or conn.log",
                          export_records, NULL);
    ext_menubar_add_separator(menu);
    ext_menubar_add_entry(menu, "About Flowscope", "Version, and where things are", about, NULL);
}
