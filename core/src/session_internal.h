/* SPDX-License-Identifier: MIT */
/* A flow's session, and what sessions share: made in session_store.c, run in session.c. */
#ifndef FS_SESSION_INTERNAL_H
#define FS_SESSION_INTERNAL_H

#include "allocation.h"
#include "flowscope/session.h"

/* Bytes of one packet among those that wait for a choice. */
struct fs__session_piece {
    uint64_t time_ns;
    uint32_t frame;
    uint32_t length;
    uint32_t order; /* over both sides */
};

struct fs__session_side {
    uint8_t *data; /* what waits */
    uint32_t used, room;
    struct fs__session_piece *pieces;
    uint32_t piece_count, piece_room;
    uint32_t candidates; /* bits: parsers that may still want it */
    uint64_t start;      /* offset of what waits, or of what was first seen */
    uint64_t seen;       /* end of what came, and when */
    uint64_t seen_ns;
    uint32_t seen_frame;
    uint64_t fin_ns;
    uint32_t fin_frame;
    bool is_begun, is_refused, has_fin;
};

/* A stream's flow while it has no parser. */
struct fs__session_choice {
    struct fs__session_choice *next_free;
    uint32_t order; /* of pieces */
    struct fs__session_side side[2];
};

struct fs_session {
    /* All that a flow with a parser needs, in one cache line. */
    const struct fs_parser *parser;
    void *object;               /* NULL: no parser yet, or no more */
    struct fs_sessions *shared; /* of a free one: unused */
    uint64_t told[2];           /* end of what the parser knows of a side */
    uint8_t protocol;
    bool is_stream, from_middle, is_over;
    int8_t preferred; /* index of the parser that the port speaks for */
    void *user;
    size_t bytes; /* allocated for this flow */
    /* The rest. */
    struct fs_parser_host host;
    union {
        struct fs__session_choice *choice; /* streams without a parser */
        struct fs_session *next_free;
    };
    uint32_t candidates; /* of the flow's transport */
    uint32_t datagrams;  /* probed */
};

struct fs_sessions {
    struct fs__memory memory;
    struct fs_session_config config;
    const struct fs_parser *parsers[FS_SESSION_PARSERS_MAX];
    struct fs_session_port ports[FS_SESSION_PORTS_MAX];
    struct fs_session *free;
    struct fs__session_choice *free_choices;
    struct fs_session_stats stats;
};

#endif
