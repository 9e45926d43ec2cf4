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

static const char usage[] = "usage: flowscope-replay [option...] capture...\n"
                            "  --stats            totals (default)\n"
                            "  --flows            one CSV row a flow, in order of creation (also --flows=csv)\n"
                            "  --frames           one CSV row a packet: frame, flow, side, state (also --frames=csv)\n"
                            "  --messages         one CSV row a message of the parsers (also --messages=csv)\n"
                            "  --messages=json    one JSON object a line and message, with all that is known of it\n"
                            "  --time             read all into memory, then measure nanoseconds a frame\n"
                            "  --repeat=N         rounds of --time (default 5)\n"
                            "  --key=5tuple|ip|mac\n"
                            "  --domain=WHAT[,…]  vlan, tunnel, interface: keep equal keys apart by these\n"
                            "  --no-tunnels       look at the outermost packets only\n"
                            "  --timeout-CLASS=SECONDS\n"
                            "                     silence that ends a flow; CLASS: opening, tcp, closed, udp, other\n"
                            "  --no-expiry        no flow ends by silence\n"
                            "  --no-reassembly    leave TCP streams alone\n"
                            "A capture is pcap or pcapng, as it is or packed by gzip; - is standard input.\n";

struct options {
    bool stats, flows, frames, messages, json, time, no_reassembly;
    unsigned repeat;
    uint64_t timeout_ns[FS_TIMEOUT_COUNT];
    struct fs_extract_config extract;
};

struct run {
    const struct options *options;
    struct fs_pipeline *pipeline;
    struct fs_flow_info *infos; /* ended flows, by id */
    size_t count, room;
};

#define NO_EXPIRY_NS (UINT64_MAX / 2)

static void fail(const char *what, const char *why) {
    fprintf(stderr, "flowscope-replay: %s: %s\n", what, why);
    exit(1);
}

/* ---- flows ---- */

static void keep(struct fs_tracker *tracker, const struct fs_event *event, void *user) {
    struct run *run = user;
    struct fs_flow_info info;
    fs_tracker_flow_info(tracker, event->flow, &info);
    if (info.id >= run->room) {
        size_t room = run->room ? run->room * 2 : 1024;
        while (room <= info.id)
            room *= 2;
        struct fs_flow_info *infos = realloc(run->infos, room * sizeof *infos);
        if (!infos)
            fail("flows", "out of memory");
        run->infos = infos;
        run->room = room;
    }
    run->infos[info.id] = info;
    run->count = info.id + 1 > run->count ? (size_t)info.id + 1 : run->count;
}

static unsigned group_of(const uint8_t address[16], int i) {
    const uint8_t *at = address + (size_t)i * 2;
    return (unsigned)(at[0] << 8 | at[1]);
}

static void format_address(const struct fs_flow_info *info, enum fs_side side, char text[64]) {
    const uint8_t *a = info->key.address[fs_endpoint(info, side)];
    switch (info->key.family) {
    case FS_FAMILY_IPV4:
        snprintf(text, 64, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
        return;
    case FS_FAMILY_MAC:
        snprintf(text, 64, "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5]);
        return;
    case FS_FAMILY_IPV6:
        break;
    default:
        snprintf(text, 64, "-");
        return;
    }
    /* RFC 5952: the longest run of zero groups, of two at least, becomes "::". */
    int best = -1, best_length = 1;
    for (int i = 0; i < 8; i++) {
        int length = 0;
        while (i + length < 8 && group_of(a, i + length) == 0)
            length++;
        if (length > best_length) {
            best = i;
            best_length = length;
        }
    }
    int used = 0;
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            used += snprintf(text + used, (size_t)(64 - used), "::");
            i += best_length - 1;
            continue;
        }
        const char *colon = used && text[used - 1] != ':' ? ":" : "";
        used += snprintf(text + used, (size_t)(64 - used), "%s%x", colon, group_of(a, i));
    }
}

static void print_marks(unsigned marks) {
    static const char *const names[] = {"midstream",   "one-sided", "truncated",   "role-flipped",
                                        "port-reused", "fragments", "history-full"};
    const char *separator = "";
    for (unsigned bit = 0; bit < sizeof names / sizeof names[0]; bit++) {
        if (!(marks >> bit & 1))
            continue;
        printf("%s%s", separator, names[bit]);
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
    char initiator[64], responder[64];
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

static void print_stats(const struct fs_pipeline *pipeline) {
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    uint64_t untracked = 0;
    for (int i = 0; i < FS_REJECT_COUNT; i++)
        untracked += stats.untracked[i];
    printf("frames=%" PRIu64 "\nframe_bytes=%" PRIu64 "\ntracked=%" PRIu64 "\nuntracked=%" PRIu64 "\n", stats.frames,
           stats.frame_bytes, stats.frames - untracked - stats.without_flow, untracked + stats.without_flow);
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

static void print_message(struct fs_pipeline *pipeline, uint32_t flow, const struct fs_message *message, void *user) {
    enum { TEXT_SIZE = 1024 };
    char text[TEXT_SIZE];
    uint64_t time_ns = fs_message_time_ns(message);
    uint64_t id = fs_tracker_flow_id(fs_pipeline_tracker(pipeline), flow);
    if (((const struct run *)user)->options->json) {
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

static void run_frame(struct run *run, const struct fs_frame *frame) {
    struct fs_packet packets[FS_EXTRACT_MAX];
    struct fs_verdict verdicts[FS_EXTRACT_MAX];
    int count = fs_extract(&run->options->extract, frame, packets);
    if (count <= 0) {
        fs_pipeline_reject(run->pipeline, -count, frame->wire_len);
        return;
    }
    if (fs_pipeline_frame(run->pipeline, packets, (size_t)count, NULL, verdicts, NULL) != FS_OK)
        fail("flows", "out of memory");
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
    while (next_frame(&capture, number + 1, &frame)) {
        number++;
        run_frame(run, &frame);
    }
    return number;
}

/* ---- speed ---- */

struct memory {
    struct fs_frame *frames;
    size_t count, room;
};

static void load(struct memory *memory, const char *path) {
    struct capture capture;
    struct fs_frame frame;
    open_capture(&capture, path);
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
    memcpy(config.tracker.timeout_ns, run->options->timeout_ns, sizeof config.tracker.timeout_ns);
    config.on_message = run->options->messages ? print_message : NULL;
    config.message_user = run;
    config.tracker.events = 0;
    if (run->options->flows) {
        config.tracker.events = 1U << FS_EVENT_ENDED;
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
        load(&memory, paths[i]);
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
                                                              [FS_TIMEOUT_OTHER] = "other"};

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
        return seconds > 0 || i == FS_TIMEOUT_TCP_CLOSED;
    }
    return false;
}

static bool parse_option(struct options *options, const char *option) {
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
        return 0;
    }
    run.pipeline = make_pipeline(&run);
    if (options.frames)
        puts("frame,flow,side,state,quoted");
    if (options.messages && !options.json)
        puts("frame,end_frame,flow,side,protocol,kind,exchange,time_ms,bytes,incomplete,text");
    uint32_t number = 0;
    for (int i = first; i < argc; i++)
        number = replay(&run, argv[i], number);
    fs_pipeline_finish(run.pipeline);
    if (options.flows)
        print_flows(&run);
    if (options.stats || !(options.flows || options.frames || options.messages))
        print_stats(run.pipeline);
    fs_pipeline_free(run.pipeline);
    free(run.infos);
    if (ferror(stdout) || fflush(stdout) != 0)
        fail("standard output", strerror(errno));
    return 0;
}
