/* SPDX-License-Identifier: MIT */
/* flowscope-replay: the library alone over capture files. Prints totals, flows or frames; measures its own speed. */
#include "flowscope/flowscope.h"
#include "messages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pcap/pcap.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char usage[] =
    "usage: flowscope-replay [option...] capture...\n"
    "  --stats            totals (default)\n"
    "  --flows            one CSV row a flow, in order of creation (also --flows=csv)\n"
    "  --export=FORMAT:PATH\n"
    "                     flow records as csv, eve or zeek; several times; PATH - is standard output\n"
    "  --community-seed=N seed of the Community ID (default 0)\n"
    "  --frames           one CSV row a packet: frame, flow, side, state (also --frames=csv)\n"
    "  --messages         one CSV row a message of the parsers (also --messages=csv)\n"
    "  --messages=json    one JSON object a line and message, with all that is known of it\n"
    "  --duplicates[=MODE]\n"
    "                     one CSV row a duplicate, and nothing else; MODE: exact (default), routed,\n"
    "                     rewritten\n"
    "  --dedup=mark|exclude\n"
    "                     mark duplicates in flows and streams, or leave them out\n"
    "  --dedup-mode=MODE  of --dedup: exact (default), routed, rewritten\n"
    "  --dedup-weak       --dedup=exclude leaves out those on weak evidence and withheld frames, too;\n"
    "                     --duplicates names withheld frames, too\n"
    "  --duplicate-window=NS    how far apart copies are at most, in all modes\n"
    "  --duplicate-capacity=N   frames that are remembered\n"
    "  --duplicate-compare=N    bytes that are kept to compare frames (default 0)\n"
    "  --time             read all into memory, then measure nanoseconds a frame\n"
    "  --repeat=N         rounds of --time (default 5)\n"
    "  --filter=EXPRESSION\n"
    "                     only frames that libpcap's filter passes; they alone are numbered\n"
    "  --key=5tuple|ip|mac\n"
    "  --domain=WHAT[,…]  vlan, tunnel, interface: keep equal keys apart by these\n"
    "  --no-tunnels       look at the outermost packets only\n"
    "  --timeout-CLASS=SECONDS\n"
    "                     silence that ends a flow; CLASS: opening, tcp, closed, udp, other,\n"
    "                     udp-one-way, other-one-way\n"
    "  --timeouts-like=NAME\n"
    "                     all of them as flowscope, zeek or suricata has them\n"
    "  --no-expiry        no flow ends by silence\n"
    "  --no-reassembly    leave TCP streams alone\n"
    "A capture is pcap or pcapng, as it is or packed by gzip; - is standard input.\n";

enum { EXPORTS_MAX = 16 };

struct export {
    enum fs_record_format format;
    const char *path;
    FILE *file;
    struct fs_record_writer writer;
};

struct options {
    struct export exports[EXPORTS_MAX];
    unsigned export_count;
    uint16_t community_seed;
    bool stats, flows, frames, messages, json, time, no_reassembly, duplicates;
    const char *filter; /* NULL: none */
    unsigned repeat;
    uint64_t timeout_ns[FS_TIMEOUT_COUNT];
    struct fs_extract_config extract;
    struct fs_dedup_config dedup;
    enum fs_duplicates treatment;
    bool exclude_weak;
};

struct run {
    struct options *options;
    bool has_events;        /* messages and anomalies are exported */
    struct fs_dedup *dedup; /* NULL: not asked for */
    struct fs_pipeline *pipeline;
    struct fs_flow_info *infos; /* ended flows, by id */
    struct more *more;          /* what else is known of them, for records */
    size_t count, room;
    uint64_t first_ns, last_ns; /* of all frames */
};

struct more {
    uint16_t vlan[FS_VLAN_MAX];
    bool has_stream[2];
    struct fs_stream_info stream[2];
    uint8_t session; /* enum fs_session_protocol, once there was a message */
};

#define NO_EXPIRY_NS (UINT64_MAX / 2)

static void fail(const char *what, const char *why) {
    fprintf(stderr, "flowscope-replay: %s: %s\n", what, why);
    exit(1);
}

/* ---- flows ---- */

static void make_room(struct run *run, uint64_t id) {
    if (id < run->room)
        return;
    size_t room = run->room ? run->room * 2 : 1024;
    while (room <= id)
        room *= 2;
    struct fs_flow_info *infos = realloc(run->infos, room * sizeof *infos);
    run->infos = infos ? infos : run->infos;
    struct more *more = realloc(run->more, room * sizeof *more);
    run->more = more ? more : run->more;
    if (!infos || !more)
        fail("flows", "out of memory");
    run->room = room;
}

static void keep(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct run *run = user;
    struct fs_flow_info info;
    fs_tracker_flow_info(tracker, event->flow, &info);
    make_room(run, info.id);
    struct more *more = &run->more[info.id];
    run->infos[info.id] = info;
    if (event->kind == FS_EVENT_STARTED) {
        *more = (struct more){.vlan = {event->packet->vlan[0], event->packet->vlan[1]}};
        return;
    }
    for (int side = 0; side < 2; side++)
        more->has_stream[side] =
            fs_pipeline_stream_info(run->pipeline, event->flow, (enum fs_side)side, &more->stream[side]) == FS_OK;
    run->count = info.id + 1 > run->count ? (size_t)info.id + 1 : run->count;
}

static void format_address(const struct fs_flow_info *info, enum fs_side side, char text[FS_ADDRESS_TEXT_SIZE]) {
    fs_address_text((enum fs_family)info->key.family, info->key.address[fs_endpoint(info, side)], text);
}

static void print_marks(unsigned marks) {
    const char *separator = "";
    for (unsigned bit = 1; bit <= FS_MARK_HISTORY_FULL; bit <<= 1) {
        if (!(marks & bit))
            continue;
        printf("%s%s", separator, fs_flow_mark_slug(bit));
        separator = "+";
    }
    fputs(marks ? "," : "-,", stdout);
}

static void print_time(uint64_t ns) {
    printf("%" PRIu64 ".%09u,", ns / 1000000000, (unsigned)(ns % 1000000000));
}

static void print_optional(uint64_t value, uint64_t none) {
    if (value == none)
        fputs(",", stdout);
    else
        printf("%" PRIu64 ",", value);
}

static void print_protocol(const struct fs_key *key) {
    const char *name = fs_protocol_name(key->protocol);
    if (key->kind == FS_KEY_MAC_PAIR)
        fputs("MAC,", stdout);
    else if (key->kind == FS_KEY_IP_PAIR)
        fputs("IP,", stdout);
    else if (name)
        printf("%s,", name);
    else
        printf("%u,", key->protocol);
}

static void print_rtt(const struct fs_rtt *rtt) {
    if (rtt->samples)
        printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", rtt->minimum_ns, rtt->mean_ns, rtt->maximum_ns);
    else
        fputs(",,,", stdout);
}

static void print_flow(const struct fs_flow_info *info) {
    char initiator[FS_ADDRESS_TEXT_SIZE], responder[FS_ADDRESS_TEXT_SIZE];
    format_address(info, FS_INITIATOR, initiator);
    format_address(info, FS_RESPONDER, responder);
    printf("%" PRIu64 ",", info->id);
    print_optional(info->parent, FS_NO_FLOW);
    print_protocol(&info->key);
    printf("%s,%u,%s,%u,%08x,", initiator, fs_flow_port(info, FS_INITIATOR), responder,
           fs_flow_port(info, FS_RESPONDER), info->key.domain);
    printf("%s,%s,", fs_state_name(info->state), fs_end_name(info->end));
    print_marks(info->marks);
    print_time(info->first_ns);
    print_time(info->last_ns);
    print_time(info->last_ns - info->first_ns);
    printf("%u,%u,", info->first_frame, info->last_frame);
    const struct fs_counters *i = &info->side[0];
    const struct fs_counters *r = &info->side[1];
    printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",",
           i->packets, r->packets, i->wire_bytes, r->wire_bytes, i->ip_bytes, r->ip_bytes, i->payload_bytes,
           r->payload_bytes);
    printf("%" PRIu64 ",%" PRIu64 ",%s,%s,", info->tcp[0].stream_bytes, info->tcp[1].stream_bytes, info->history,
           info->conn_state);
    print_optional(info->handshake_syn_ns, FS_NO_TIME);
    print_optional(info->handshake_ack_ns, FS_NO_TIME);
    print_rtt(&info->tcp[0].rtt);
    print_rtt(&info->tcp[1].rtt);
    printf("%u,%u,%u,%u\n", info->tcp[0].retransmissions, info->tcp[1].retransmissions, info->tcp[0].zero_windows,
           info->tcp[1].zero_windows);
}

static void print_flows(const struct run *run) {
    puts("id,parent,proto,initiator,initiator_port,responder,responder_port,domain,state,end,marks,first,last,duration,"
         "first_frame,last_frame,packets_i,packets_r,wire_bytes_i,wire_bytes_r,ip_bytes_i,ip_bytes_r,payload_bytes_i,"
         "payload_bytes_r,stream_bytes_i,stream_bytes_r,history,conn_state,syn_rtt_ns,ack_rtt_ns,rtt_min_i,rtt_mean_i,"
         "rtt_max_i,rtt_min_r,rtt_mean_r,rtt_max_r,retrans_i,retrans_r,zero_windows_i,zero_windows_r");
    for (size_t id = 0; id < run->count; id++)
        print_flow(&run->infos[id]);
}

/* ---- records ---- */

static int write_line(const char *bytes, size_t length, void *user) {
    return fwrite(bytes, 1, length, user) == length ? 0 : -1;
}

/* Identity of a flow, also of one that goes on. */
static void name_flow(struct fs_record_flow *record, const struct run *run, const struct fs_flow_info *info) {
    fs_record_from_flow(record, info);
    memcpy(record->vlan, run->more[info->id].vlan, sizeof record->vlan);
    if (info->parent != FS_NO_FLOW)
        fs_record_add_parent(record, &run->infos[info->parent], 0);
}

static void write_record(struct fs_record_writer *writer, const struct run *run, size_t id) {
    struct fs_record_flow record;
    const struct more *more = &run->more[id];
    name_flow(&record, run, &run->infos[id]);
    record.application = more->session ? fs_session_protocol_name(more->session) : NULL;
    for (int side = 0; side < 2 && !run->options->no_reassembly; side++)
        fs_record_set_stream(&record, (enum fs_side)side, more->has_stream[side] ? &more->stream[side] : NULL);
    for (int side = 0; side < 2 && run->options->treatment == FS_DUPLICATES_MARK; side++)
        record.side[side].duplicates = run->infos[id].side[side].duplicates;
    fs_record_write(writer, &record);
}

static bool is_standard(const struct export *target) {
    return strcmp(target->path, "-") == 0;
}

static void begin_export(const struct run *run, struct export *target) {
    target->file = is_standard(target) ? stdout : fopen(target->path, "wb");
    if (!target->file)
        fail(target->path, strerror(errno));
    struct fs_record_options options = {.format = target->format,
                                        .write = write_line,
                                        .user = target->file,
                                        .community_id_seed = run->options->community_seed,
                                        .open_ns = run->first_ns};
    fs_record_begin(&target->writer, &options);
}

/* Events are written as they happen; for the headers of the other formats all times must be known. */
static void begin_events(struct run *run) {
    for (unsigned i = 0; i < run->options->export_count; i++) {
        struct export *target = &run->options->exports[i];
        if (!fs_record_has_events(target->format))
            continue;
        begin_export(run, target);
        run->has_events = true;
    }
}

static void export_message(struct run *run, uint32_t flow, const struct fs_message *message) {
    struct fs_flow_info info;
    struct fs_record_flow record;
    fs_tracker_flow_info(fs_pipeline_tracker(run->pipeline), flow, &info);
    run->more[info.id].session = message->protocol;
    name_flow(&record, run, &info);
    for (unsigned i = 0; i < run->options->export_count; i++)
        fs_record_write_message(&run->options->exports[i].writer, &record, message);
}

static void export_anomalies(struct run *run, const struct fs_packet *packet, const struct fs_verdict *verdict) {
    struct fs_record_flow record;
    struct fs_flow_info info;
    if (!verdict->anomalies || verdict->flow_id == FS_NO_FLOW)
        return;
    bool live = fs_tracker_flow_info(fs_pipeline_tracker(run->pipeline), verdict->flow, &info) == FS_OK;
    name_flow(&record, run, live && !verdict->ended ? &info : &run->infos[verdict->flow_id]);
    for (unsigned bit = 1; bit <= verdict->anomalies; bit <<= 1) {
        const struct fs_record_anomaly anomaly = {bit, (enum fs_side)verdict->side, packet->time_ns, packet->frame};
        for (unsigned i = 0; (verdict->anomalies & bit) && i < run->options->export_count; i++)
            fs_record_write_anomaly(&run->options->exports[i].writer, &record, &anomaly);
    }
}

static void end_export(const struct run *run, struct export *target) {
    if (!target->file)
        begin_export(run, target);
    for (size_t id = 0; id < run->count; id++)
        write_record(&target->writer, run, id);
    fs_record_end(&target->writer, run->last_ns);
    if (target->writer.failed || fflush(target->file) != 0)
        fail(target->path, strerror(errno));
    if (!is_standard(target) && fclose(target->file) != 0)
        fail(target->path, strerror(errno));
}

/* ---- totals ---- */

static void print_reassembly(const struct fs_reassembly_stats *stats) {
    for (int i = 1; i < FS_SEGMENT_COUNT; i++) {
        if (stats->segments[i])
            printf("segments.%s=%" PRIu64 "\n", fs_segment_name(i), stats->segments[i]);
    }
    printf("delivered_bytes=%" PRIu64 "\ncopied_bytes=%" PRIu64 "\ngap_bytes=%" PRIu64 "\nuncaptured_bytes=%" PRIu64
           "\nduplicate_bytes=%" PRIu64 "\n",
           stats->delivered_bytes, stats->copied_bytes, stats->gap_bytes, stats->uncaptured_bytes,
           stats->duplicate_bytes);
}

static void print_sessions(const struct fs_session_stats *stats) {
    for (unsigned i = 0; i < FS_SESSION_PROTOCOL_COUNT; i++) {
        const char *name = fs_session_protocol_name(i < FS_SESSION_PROTOCOL_COUNT - 1 ? (int)i : FS_SESSION_USER);
        if (stats->flows[i])
            printf("sessions.%s=%" PRIu64 "\n", name, stats->flows[i]);
        if (stats->poisoned[i])
            printf("sessions_poisoned.%s=%" PRIu64 "\n", name, stats->poisoned[i]);
        for (int kind = 0; kind < FS_MESSAGE_KIND_COUNT; kind++) {
            if (stats->messages[i][kind])
                printf("messages.%s.%s=%" PRIu64 "\n", name, fs_message_kind_name(kind), stats->messages[i][kind]);
        }
    }
    printf("sessions_undecided=%" PRIu64 "\nsession_probe_bytes=%" PRIu64 "\nsession_refused=%" PRIu64 "\n",
           stats->undecided, stats->probe_bytes, stats->refused);
}

static void print_dedup(const struct fs_pipeline_stats *stats) {
    printf("duplicates=%" PRIu64 "\nexcluded=%" PRIu64 "\n", stats->duplicates, stats->excluded);
    for (int mode = 0; mode < FS_DEDUP_MODE_COUNT; mode++) {
        for (int evidence = 0; evidence < FS_DEDUP_EVIDENCE_COUNT; evidence++) {
            if (stats->dedup.duplicates[mode][evidence])
                printf("duplicates.%s.%s=%" PRIu64 "\n", fs_dedup_mode_name(mode), fs_dedup_evidence_name(evidence),
                       stats->dedup.duplicates[mode][evidence]);
        }
        if (stats->dedup.withheld[mode])
            printf("withheld.%s=%" PRIu64 "\n", fs_dedup_mode_name(mode), stats->dedup.withheld[mode]);
    }
}

static void print_stats(const struct fs_pipeline *pipeline) {
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    uint64_t untracked = 0;
    for (int i = 0; i < FS_REJECT_COUNT; i++)
        untracked += stats.untracked[i];
    printf("frames=%" PRIu64 "\nframe_bytes=%" PRIu64 "\ntracked=%" PRIu64 "\nuntracked=%" PRIu64 "\n", stats.frames,
           stats.frame_bytes, stats.frames - untracked - stats.without_flow - stats.excluded,
           untracked + stats.without_flow);
    for (int i = 0; i < FS_REJECT_COUNT; i++) {
        if (stats.untracked[i])
            printf("untracked.%s=%" PRIu64 "\n", fs_reject_slug(i), stats.untracked[i]);
    }
    printf("packets=%" PRIu64 "\nquoted=%" PRIu64 "\nquoted_unknown=%" PRIu64 "\nflows=%" PRIu64 "\n",
           stats.tracker.packets, stats.tracker.quoted, stats.tracker.quoted_unknown, stats.tracker.created);
    for (int i = 1; i < FS_END_COUNT; i++)
        printf("ended.%s=%" PRIu64 "\n", fs_end_name(i), stats.tracker.ended[i]);
    for (unsigned i = 0; i < FS_ANOMALY_COUNT; i++) {
        if (stats.tracker.anomalies[i])
            printf("anomaly.%s=%" PRIu64 "\n", fs_anomaly_slug(1U << i), stats.tracker.anomalies[i]);
    }
    print_reassembly(&stats.reassembly);
    print_sessions(&stats.session);
    if (stats.dedup.frames)
        print_dedup(&stats);
}

/* ---- messages ---- */

static void print_quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_message(struct run *run, uint32_t flow, const struct fs_message *message) {
    enum { TEXT_SIZE = 1024 };
    char text[TEXT_SIZE];
    uint64_t time_ns = fs_message_time_ns(message);
    uint64_t id = fs_tracker_flow_id(fs_pipeline_tracker(run->pipeline), flow);
    if (run->options->json) {
        print_message_json(id, message);
        return;
    }
    printf("%u,%u,%" PRIu64 ",%s,%s,%s,%" PRIu64 ",", message->start_frame, message->end_frame, id,
           fs_side_name(message->side), fs_session_protocol_name(message->protocol),
           fs_message_kind_name(message->kind), message->exchange);
    if (time_ns != FS_NO_TIME)
        printf("%" PRIu64 ".%06u", time_ns / 1000000, (unsigned)(time_ns % 1000000));
    printf(",%" PRIu64 ",%d,", message->bytes, message->incomplete);
    fs_message_text(message, text, sizeof text);
    print_quoted(text);
    putchar('\n');
}

static void on_message(struct fs_pipeline *pipeline, uint32_t flow, const struct fs_message *message, void *user) {
    struct run *run = user;
    (void)pipeline;
    if (run->options->messages)
        print_message(run, flow, message);
    if (run->options->export_count)
        export_message(run, flow, message);
}

/* ---- captures ---- */

/* libpcap gives DLT numbers, which differ from the registry's for a few old types. */
static uint32_t linktype_of(int dlt) {
    if (dlt == DLT_RAW)
        return FS_LINK_RAW;
#ifdef DLT_LOOP
    if (dlt == DLT_LOOP)
        return FS_LINK_LOOP;
#endif
    return (uint32_t)dlt;
}

struct capture {
    const char *path;
    pcap_t *pcap;
    uint32_t linktype;
    pid_t unpacker; /* 0 if none */
};

static bool is_packed(const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
    if (!file)
        return false;
    uint8_t start[2];
    bool packed = fread(start, 1, sizeof start, file) == sizeof start && start[0] == 0x1f && start[1] == 0x8b;
    fclose(file);
    return packed;
}

/* libpcap reads no gzip; the program does, and needs no library here. */
static FILE *unpack(struct capture *capture) {
    int ends[2];
    if (pipe(ends) != 0)
        fail(capture->path, strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, capture->path, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    char *arguments[] = {(char[]){"gzip"}, (char[]){"-dc"}, NULL};
    int error = posix_spawnp(&capture->unpacker, "gzip", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error)
        fail("gzip", strerror(error));
    FILE *file = fdopen(ends[0], "rb");
    if (!file)
        fail(capture->path, strerror(errno));
    return file;
}

static void open_capture(struct capture *capture, const char *path) {
    char error[PCAP_ERRBUF_SIZE];
    *capture = (struct capture){.path = path};
    if (is_packed(path))
        capture->pcap = pcap_fopen_offline_with_tstamp_precision(unpack(capture), PCAP_TSTAMP_PRECISION_NANO, error);
    else
        capture->pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, error);
    if (!capture->pcap) {
        size_t length = strlen(path); /* some of libpcap's messages begin with the path */
        bool named = strncmp(error, path, length) == 0 && strncmp(error + length, ": ", 2) == 0;
        fail(path, named ? error + length + 2 : error);
    }
    capture->linktype = linktype_of(pcap_datalink(capture->pcap));
}

/* At the end of a capture: was all of it read? */
static void close_capture(struct capture *capture, int result) {
    if (result == PCAP_ERROR)
        fail(capture->path, pcap_geterr(capture->pcap));
    pcap_close(capture->pcap);
    int status = 0;
    if (capture->unpacker && (waitpid(capture->unpacker, &status, 0) < 0 || status != 0))
        fail(capture->path, "gzip could not unpack all of it");
}

/* The next frame; its bytes are valid until the one after it. False at the end. */
static void set_filter(struct capture *capture, const char *expression) {
    struct bpf_program program;
    if (!expression)
        return;
    if (pcap_compile(capture->pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0 ||
        pcap_setfilter(capture->pcap, &program) != 0)
        fail("--filter", pcap_geterr(capture->pcap));
    pcap_freecode(&program);
}

static bool next_frame(struct capture *capture, uint32_t number, struct fs_frame *frame) {
    struct pcap_pkthdr *header;
    const u_char *data;
    int result = pcap_next_ex(capture->pcap, &header, &data);
    if (result != 1) {
        close_capture(capture, result);
        return false;
    }
    *frame = (struct fs_frame){.data = data,
                               .captured = header->caplen,
                               .wire_len = header->len,
                               .linktype = capture->linktype,
                               .number = number,
                               .time_ns = (uint64_t)header->ts.tv_sec * 1000000000 + (uint64_t)header->ts.tv_usec};
    return true;
}

static void note_time(struct run *run, uint64_t time_ns) {
    run->first_ns = run->first_ns && run->first_ns < time_ns ? run->first_ns : time_ns;
    run->last_ns = run->last_ns > time_ns ? run->last_ns : time_ns;
}

/* ---- duplicates ---- */

static void print_bits(unsigned bits, const char *(*name)(unsigned)) {
    const char *separator = "";
    for (unsigned bit = 1; bit <= bits; bit <<= 1) {
        if (!(bits & bit))
            continue;
        printf("%s%s", separator, name(bit));
        separator = "+";
    }
    fputs(bits ? "" : "-", stdout);
}

static void print_duplicate(uint32_t frame, const struct fs_dedup_result *result) {
    printf("%u,%u,%u,%s,%s,", frame, result->original, result->previous, fs_dedup_mode_name(result->mode),
           result->withheld ? "withheld" : fs_dedup_evidence_name(result->evidence));
    print_bits(result->grounds, fs_dedup_ground_name);
    printf(",%" PRId64 ",", result->delta_ns);
    if (result->hops != FS_DEDUP_NO_HOPS)
        printf("%d", result->hops);
    fputs(",", stdout);
    print_bits(result->differences, fs_dedup_difference_name);
    fputs("\n", stdout);
}

static void check_duplicate(struct run *run, const struct fs_frame *frame, const struct fs_packet *packets, int count) {
    struct fs_dedup_frame dedup_frame;
    struct fs_dedup_result result;
    fs_dedup_frame_set(&dedup_frame, frame, packets, count);
    bool found = fs_dedup_check(run->dedup, &dedup_frame, &result) == FS_DEDUP_DUPLICATE;
    if (found || (result.withheld && run->options->exclude_weak))
        print_duplicate(frame->number, &result);
}

static void run_frame(struct run *run, const struct fs_frame *frame) {
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_verdict verdicts[FS_EXTRACT_MAX];
    int count = fs_extract(&run->options->extract, frame, packets);
    if (run->dedup) {
        check_duplicate(run, frame, packets, count);
        return;
    }
    struct fs_compared compared;
    bool compares = run->options->treatment != FS_DUPLICATES_IGNORE;
    if (compares)
        fs_dedup_frame_set(&compared.frame, frame, packets, count);
    if (count <= 0) {
        fs_pipeline_reject(run->pipeline, -count, frame->wire_len, compares ? &compared : NULL);
        return;
    }
    if (fs_pipeline_frame(run->pipeline, packets, (size_t)count, NULL, compares ? &compared : NULL, verdicts, NULL) !=
        FS_OK)
        fail("flows", "out of memory");
    for (int i = 0; run->has_events && i < count; i++)
        export_anomalies(run, &packets[i], &verdicts[i]);
    for (int i = 0; run->options->frames && i < count; i++) {
        if (verdicts[i].flow_id != FS_NO_FLOW)
            printf("%u,%" PRIu64 ",%s,%s,%d\n", frame->number, verdicts[i].flow_id, fs_side_name(verdicts[i].side),
                   fs_state_name(verdicts[i].state), verdicts[i].quoted);
    }
}

static uint32_t replay(struct run *run, const char *path, uint32_t number) {
    struct capture capture;
    struct fs_frame frame;
    open_capture(&capture, path);
    set_filter(&capture, run->options->filter);
    while (next_frame(&capture, number + 1, &frame)) {
        number++;
        note_time(run, frame.time_ns);
        run_frame(run, &frame);
    }
    return number;
}

/* ---- speed ---- */

struct memory {
    struct fs_frame *frames;
    size_t count, room;
};

static void load(struct memory *memory, const char *path, const char *filter) {
    struct capture capture;
    struct fs_frame frame;
    open_capture(&capture, path);
    set_filter(&capture, filter);
    while (next_frame(&capture, (uint32_t)memory->count + 1, &frame)) {
        if (memory->count == memory->room) {
            memory->room = memory->room ? memory->room * 2 : 65536;
            memory->frames = realloc(memory->frames, memory->room * sizeof *memory->frames);
        }
        uint8_t *copy = malloc(frame.captured ? frame.captured : 1);
        if (!memory->frames || !copy)
            fail(path, "out of memory");
        memcpy(copy, frame.data, frame.captured);
        frame.data = copy;
        memory->frames[memory->count++] = frame;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static struct fs_pipeline *make_pipeline(struct run *run) {
    struct fs_pipeline_config config;
    fs_pipeline_config_defaults(&config);
    config.reassemble = !run->options->no_reassembly;
    config.duplicates = run->options->treatment;
    config.dedup = run->options->dedup;
    config.exclude_weak = run->options->exclude_weak;
    memcpy(config.tracker.timeout_ns, run->options->timeout_ns, sizeof config.tracker.timeout_ns);
    config.on_message = run->options->messages || run->options->export_count ? on_message : NULL;
    config.message_user = run;
    config.tracker.events = 0;
    if (run->options->flows || run->options->export_count) {
        config.tracker.events = 1U << FS_EVENT_STARTED | 1U << FS_EVENT_ENDED;
        config.tracker.on_event = keep;
        config.tracker.user = run;
    }
    struct fs_pipeline *pipeline = fs_pipeline_new(&config, NULL);
    if (!pipeline)
        fail("pipeline", "out of memory");
    return pipeline;
}

static void measure(struct run *run, char **paths, int count) {
    struct memory memory = {NULL, 0, 0};
    for (int i = 0; i < count; i++)
        load(&memory, paths[i], run->options->filter);
    if (!memory.count)
        fail("--time", "no frames");
    struct fs_packet packets[FS_EXTRACT_MAX];
    for (unsigned round = 0; round < run->options->repeat; round++) {
        double start = now();
        long found = 0;
        for (size_t i = 0; i < memory.count; i++)
            found += fs_extract(&run->options->extract, &memory.frames[i], packets);
        double extracted = now();
        run->pipeline = make_pipeline(run);
        for (size_t i = 0; i < memory.count; i++)
            run_frame(run, &memory.frames[i]);
        double tracked = now();
        printf("frames=%zu descriptors=%ld extract=%.1f ns/frame extract+track=%.1f ns/frame\n", memory.count, found,
               (extracted - start) / (double)memory.count * 1e9, (tracked - extracted) / (double)memory.count * 1e9);
        fs_pipeline_free(run->pipeline);
    }
    for (size_t i = 0; i < memory.count; i++)
        free((void *)(uintptr_t)memory.frames[i].data);
    free(memory.frames);
}

/* ---- options ---- */

static bool set_key(struct options *options, const char *value) {
    static const char *const names[] = {"5tuple", "ip", "mac"};
    for (int i = 0; i < FS_KEY_KIND_COUNT; i++) {
        if (strcmp(value, names[i]) != 0)
            continue;
        options->extract.key = (enum fs_key_kind)i;
        return true;
    }
    return false;
}

static bool set_domain(struct options *options, const char *value) {
    static const struct {
        const char *name;
        unsigned part;
    } parts[] = {{"vlan", FS_DOMAIN_VLAN}, {"tunnel", FS_DOMAIN_TUNNEL}, {"interface", FS_DOMAIN_INTERFACE}};
    while (*value) {
        size_t length = strcspn(value, ",");
        bool known = false;
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            if (strlen(parts[i].name) == length && strncmp(value, parts[i].name, length) == 0) {
                options->extract.domain |= parts[i].part;
                known = true;
            }
        }
        if (!known)
            return false;
        value += length + (value[length] == ',');
    }
    return true;
}

static bool set_repeat(struct options *options, const char *value) {
    char *end;
    unsigned long repeat = strtoul(value, &end, 10);
    if (*value == '\0' || *end != '\0' || repeat < 1 || repeat > 1000000)
        return false;
    options->repeat = (unsigned)repeat;
    return true;
}

static const char *const timeout_classes[FS_TIMEOUT_COUNT] = {[FS_TIMEOUT_TCP_OPENING] = "opening",
                                                              [FS_TIMEOUT_TCP] = "tcp",
                                                              [FS_TIMEOUT_TCP_CLOSED] = "closed",
                                                              [FS_TIMEOUT_UDP] = "udp",
                                                              [FS_TIMEOUT_OTHER] = "other",
                                                              [FS_TIMEOUT_UDP_ONE_WAY] = "udp-one-way",
                                                              [FS_TIMEOUT_OTHER_ONE_WAY] = "other-one-way"};

/* CLASS=SECONDS */
static bool set_timeout(struct options *options, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals || equals[1] < '0' || equals[1] > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long seconds = strtoull(equals + 1, &end, 10);
    if (*end != '\0' || errno || seconds > NO_EXPIRY_NS / 1000000000)
        return false;
    for (int i = 0; i < FS_TIMEOUT_COUNT; i++) {
        if (strncmp(value, timeout_classes[i], (size_t)(equals - value)) != 0 ||
            timeout_classes[i][equals - value] != '\0')
            continue;
        options->timeout_ns[i] = seconds * 1000000000;
        return seconds > 0 || i == FS_TIMEOUT_TCP_CLOSED || i >= FS_TIMEOUT_UDP_ONE_WAY;
    }
    return false;
}

static bool set_timeouts_like(struct options *options, const char *name) {
    struct fs_tracker_config config;
    if (fs_timeouts_like(&config, name) != FS_OK)
        return false;
    memcpy(options->timeout_ns, config.timeout_ns, sizeof options->timeout_ns);
    return true;
}

static bool add_export(struct options *options, const char *value) {
    const char *colon = strchr(value, ':');
    if (!colon || colon[1] == '\0' || options->export_count == EXPORTS_MAX)
        return false;
    for (int format = 0; format < FS_RECORD_FORMAT_COUNT; format++) {
        const char *name = fs_record_format_name(format);
        if (strlen(name) != (size_t)(colon - value) || strncmp(value, name, strlen(name)) != 0)
            continue;
        options->exports[options->export_count++] =
            (struct export){.format = (enum fs_record_format)format, .path = colon + 1};
        return true;
    }
    return false;
}

static bool set_community_seed(struct options *options, const char *value) {
    char *end;
    unsigned long seed = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || seed > UINT16_MAX)
        return false;
    options->community_seed = (uint16_t)seed;
    return true;
}

static bool set_number(uint64_t *number, const char *value) {
    char *end;
    errno = 0;
    unsigned long long read = strtoull(value, &end, 10);
    *number = read;
    return *value >= '0' && *value <= '9' && *end == '\0' && !errno;
}

static bool set_duplicates(struct options *options, const char *option) {
    uint64_t number = 0;
    if (strncmp(option, "=", 1) == 0) {
        int mode = fs_dedup_mode_from_name(option + 1);
        options->dedup.mode = (enum fs_dedup_mode)mode;
        return options->duplicates = mode >= 0;
    }
    if (strncmp(option, "-window=", 8) == 0 && set_number(&number, option + 8)) {
        options->dedup.exact_window_ns = options->dedup.routed_window_ns = number;
        return true;
    }
    if (strncmp(option, "-capacity=", 10) == 0 && set_number(&number, option + 10) && number >= 1 &&
        number <= FS_DEDUP_CAPACITY_MAX) {
        options->dedup.capacity = (uint32_t)number;
        return true;
    }
    return strncmp(option, "-compare=", 9) == 0 && set_number(&options->dedup.compare_bytes, option + 9);
}

static bool set_dedup(struct options *options, const char *option) {
    if (strcmp(option, "=mark") == 0 || strcmp(option, "=exclude") == 0) {
        options->treatment = option[1] == 'm' ? FS_DUPLICATES_MARK : FS_DUPLICATES_EXCLUDE;
        return true;
    }
    if (strcmp(option, "-weak") == 0)
        return options->exclude_weak = true;
    int mode = strncmp(option, "-mode=", 6) == 0 ? fs_dedup_mode_from_name(option + 6) : -1;
    options->dedup.mode = (enum fs_dedup_mode)mode;
    return mode >= 0;
}

static bool parse_option(struct options *options, const char *option) {
    if (strcmp(option, "--duplicates") == 0)
        return options->duplicates = true;
    if (strncmp(option, "--duplicates", 12) == 0)
        return set_duplicates(options, option + 12);
    if (strncmp(option, "--duplicate", 11) == 0)
        return set_duplicates(options, option + 11);
    if (strncmp(option, "--dedup", 7) == 0)
        return set_dedup(options, option + 7);
    if (strcmp(option, "--stats") == 0)
        return options->stats = true;
    if (strcmp(option, "--flows") == 0 || strcmp(option, "--flows=csv") == 0)
        return options->flows = true;
    if (strcmp(option, "--frames") == 0 || strcmp(option, "--frames=csv") == 0)
        return options->frames = true;
    if (strcmp(option, "--messages") == 0 || strcmp(option, "--messages=csv") == 0)
        return options->messages = true;
    if (strcmp(option, "--messages=json") == 0)
        return options->messages = options->json = true;
    if (strcmp(option, "--time") == 0)
        return options->time = true;
    if (strcmp(option, "--no-tunnels") == 0) {
        options->extract.tunnels = 0;
        return true;
    }
    if (strcmp(option, "--no-reassembly") == 0) {
        options->no_reassembly = true;
        return true;
    }
    if (strcmp(option, "--no-expiry") == 0) {
        for (int i = 0; i < FS_TIMEOUT_COUNT; i++)
            options->timeout_ns[i] = NO_EXPIRY_NS;
        return true;
    }
    if (strncmp(option, "--filter=", 9) == 0)
        return (options->filter = option + 9) != NULL;
    if (strncmp(option, "--export=", 9) == 0)
        return add_export(options, option + 9);
    if (strncmp(option, "--community-seed=", 17) == 0)
        return set_community_seed(options, option + 17);
    if (strncmp(option, "--timeouts-like=", 16) == 0)
        return set_timeouts_like(options, option + 16);
    if (strncmp(option, "--key=", 6) == 0)
        return set_key(options, option + 6);
    if (strncmp(option, "--timeout-", 10) == 0)
        return set_timeout(options, option + 10);
    if (strncmp(option, "--domain=", 9) == 0)
        return set_domain(options, option + 9);
    return strncmp(option, "--repeat=", 9) == 0 && set_repeat(options, option + 9);
}

int main(int argc, char **argv) {
    struct options options = {.repeat = 5};
    fs_dedup_config_defaults(&options.dedup);
    fs_extract_config_defaults(&options.extract);
    struct fs_tracker_config defaults;
    fs_tracker_config_defaults(&defaults);
    memcpy(options.timeout_ns, defaults.timeout_ns, sizeof options.timeout_ns);
    int first = 1;
    for (; first < argc && argv[first][0] == '-' && argv[first][1] != '\0'; first++) {
        if (!parse_option(&options, argv[first])) {
            fprintf(stderr, "flowscope-replay: %s is not understood\n%s", argv[first], usage);
            return 2;
        }
    }
    if (first == argc) {
        fputs(usage, stderr);
        return 2;
    }
    struct run run = {.options = &options};
    if (options.time) {
        measure(&run, argv + first, argc - first);
        free(run.infos);
        free(run.more);
        return 0;
    }
    if (!options.duplicates)
        begin_events(&run);
    run.pipeline = make_pipeline(&run);
    if (options.duplicates) {
        run.dedup = fs_dedup_new(&options.dedup, NULL);
        if (!run.dedup)
            fail("--duplicates", "out of memory");
        puts("frame,original,previous,mode,evidence,grounds,delta_ns,hops,differences");
    }
    if (options.frames && !options.duplicates)
        puts("frame,flow,side,state,quoted");
    if (options.messages && !options.json)
        puts("frame,end_frame,flow,side,protocol,kind,exchange,time_ms,bytes,incomplete,text");
    uint32_t number = 0;
    for (int i = first; i < argc; i++)
        number = replay(&run, argv[i], number);
    fs_pipeline_finish(run.pipeline);
    if (options.flows && !options.duplicates)
        print_flows(&run);
    for (unsigned i = 0; i < options.export_count && !options.duplicates; i++)
        end_export(&run, &options.exports[i]);
    if (!options.duplicates &&
        (options.stats || !(options.flows || options.frames || options.messages || options.export_count)))
        print_stats(run.pipeline);
    fs_pipeline_free(run.pipeline);
    fs_dedup_free(run.dedup);
    free(run.infos);
    free(run.more);
    if (ferror(stdout) || fflush(stdout) != 0)
        fail("standard output", strerror(errno));
    return 0;
}
