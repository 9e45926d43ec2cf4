/* SPDX-License-Identifier: MIT */
#include "session_internal.h"

#include <string.h>

enum { BUFFER_MINIMUM = 256, PIECES_MINIMUM = 8, NO_PARSER = -1 };

/* ---- what a parser is given ---- */

static void *reserve(struct fs_sessions *shared, size_t size) {
    uint64_t limit = shared->config.total_limit;
    bool fits = shared->memory.bytes <= limit && size <= limit - shared->memory.bytes;
    void *pointer = fits ? fs__alloc(&shared->memory, size) : NULL;
    shared->stats.refused += !pointer;
    return pointer;
}

static void *session_alloc(size_t size, void *user) {
    struct fs_session *session = user;
    uint64_t limit = session->shared->config.flow_limit;
    if (session->bytes > limit || size > limit - session->bytes) {
        session->shared->stats.refused++;
        return NULL;
    }
    void *pointer = reserve(session->shared, size);
    session->bytes += pointer ? size : 0;
    return pointer;
}

static void session_release(void *pointer, size_t size, void *user) {
    struct fs_session *session = user;
    session->bytes -= size;
    fs__release(&session->shared->memory, pointer, size);
}

static void on_message(const struct fs_message *message, void *user) {
    struct fs_session *session = user;
    struct fs_sessions *shared = session->shared;
    unsigned kind = message->kind < FS_MESSAGE_KIND_COUNT ? message->kind : (unsigned)FS_MESSAGE_NOTICE;
    shared->stats.messages[fs_session_protocol_index(message->protocol)][kind]++;
    if (shared->config.on_message)
        shared->config.on_message(session->user, message, shared->config.user);
}

/* ---- what waits for a choice ---- */

static void release_waiting(struct fs_session *session, struct fs__session_side *side) {
    if (side->data)
        session_release(side->data, side->room, session);
    if (side->pieces)
        session_release(side->pieces, side->piece_room * sizeof *side->pieces, session);
    side->data = NULL;
    side->pieces = NULL;
    side->used = side->room = side->piece_count = side->piece_room = 0;
}

static void *grow(struct fs_session *session, void *old, size_t used, size_t old_size, size_t size) {
    void *new = session_alloc(size, session);
    if (!new)
        return NULL;
    if (old) {
        memcpy(new, old, used);
        session_release(old, old_size, session);
    }
    return new;
}

static bool make_room(struct fs_session *session, struct fs__session_side *side, uint32_t length) {
    if (side->room - side->used >= length)
        return true;
    uint32_t limit = session->shared->config.probe_limit;
    uint32_t room = side->room ? side->room : BUFFER_MINIMUM;
    while (room < side->used + length)
        room *= 2;
    room = room < limit ? room : limit;
    uint8_t *data = grow(session, side->data, side->used, side->room, room);
    if (!data)
        return false;
    side->data = data;
    side->room = room;
    return true;
}

static bool add_piece(struct fs_session *session, struct fs__session_side *side, const struct fs_chunk *chunk,
                      uint32_t length) {
    struct fs__session_piece *last = side->piece_count ? &side->pieces[side->piece_count - 1] : NULL;
    if (last && last->time_ns == chunk->time_ns && last->frame == chunk->frame &&
        last->order == session->choice->order) {
        last->length += length;
        return true;
    }
    if (!side->pieces || side->piece_count == side->piece_room) {
        uint32_t room = side->piece_room ? side->piece_room * 2 : PIECES_MINIMUM;
        size_t size = sizeof *side->pieces;
        struct fs__session_piece *pieces =
            grow(session, side->pieces, side->piece_count * size, side->piece_room * size, room * size);
        if (!pieces)
            return false;
        side->pieces = pieces;
        side->piece_room = room;
    }
    side->pieces[side->piece_count++] =
        (struct fs__session_piece){chunk->time_ns, chunk->frame, length, ++session->choice->order};
    return true;
}

static bool keep(struct fs_session *session, struct fs__session_side *side, const struct fs_chunk *chunk,
                 uint32_t length) {
    if (!make_room(session, side, length) || !add_piece(session, side, chunk, length))
        return false;
    memcpy(side->data + side->used, chunk->data, length);
    side->used += length;
    session->shared->stats.probe_bytes += length;
    return true;
}

/* ---- a parser's life ---- */

static void release_choice(struct fs_session *session) {
    struct fs__session_choice *choice = session->choice;
    if (!choice)
        return;
    for (unsigned i = 0; i < 2; i++)
        release_waiting(session, &choice->side[i]);
    session->choice = NULL;
    choice->next_free = session->shared->free_choices;
    session->shared->free_choices = choice;
}

static void drop(struct fs_session *session) {
    void *object = session->object;
    release_choice(session);
    session->object = NULL;
    session->is_over = true;
    if (object)
        session->parser->destroy(object);
}

/* It ends without a parser. */
static void give_up(struct fs_session *session) {
    session->shared->stats.flows[FS_SESSION_NONE]++;
    drop(session);
}

static bool take(struct fs_session *session, const struct fs_parser *parser) {
    void *object = parser->create(&session->host);
    if (!object) {
        session->shared->stats.unmade++;
        give_up(session);
        return false;
    }
    session->parser = parser;
    session->object = object;
    session->protocol = parser->protocol;
    session->shared->stats.flows[fs_session_protocol_index(parser->protocol)]++;
    return true;
}

static void settle(struct fs_session *session, enum fs_parse_result result) {
    struct fs_session_stats *stats = &session->shared->stats;
    unsigned index = fs_session_protocol_index(session->protocol);
    if (result == FS_PARSE_MORE)
        return;
    if (result == FS_PARSE_DONE)
        stats->done[index]++;
    else
        stats->poisoned[index]++;
    drop(session);
}

/* What the parser was not told of before `offset` is a gap to it. */
static void tell_gap(struct fs_session *session, unsigned which, uint64_t offset, uint64_t time_ns, uint32_t frame) {
    uint64_t told = session->told[which];
    if (offset <= told)
        return;
    struct fs_chunk gap = {
        .length = offset - told, .offset = told, .time_ns = time_ns, .frame = frame, .side = (uint8_t)which};
    session->told[which] = offset;
    settle(session, session->parser->feed(session->object, &gap));
}

static void run(struct fs_session *session, const struct fs_chunk *chunk) {
    unsigned which = chunk->side & 1;
    if (session->is_stream) {
        tell_gap(session, which, chunk->offset, chunk->time_ns, chunk->frame);
        if (session->is_over)
            return;
        session->told[which] = chunk->offset + chunk->length;
    }
    settle(session, session->parser->feed(session->object, chunk));
}

static void run_fin(struct fs_session *session, unsigned which, uint64_t time_ns, uint32_t frame) {
    settle(session, session->parser->fin(session->object, (enum fs_side)which, time_ns, frame));
}

/* What came before of a side that no parser wanted is a gap, and the side may be over. */
static void replay_refused(struct fs_session *session, unsigned which, const struct fs__session_side *side) {
    tell_gap(session, which, side->seen, side->seen_ns, side->seen_frame);
    if (!session->is_over && side->has_fin)
        run_fin(session, which, side->fin_ns, side->fin_frame);
}

/* The side whose piece came first; -1: no more. */
static int next_piece(const struct fs__session_side sides[2], const uint32_t at[2]) {
    bool has[2] = {at[0] < sides[0].piece_count, at[1] < sides[1].piece_count};
    if (has[0] && has[1])
        return sides[1].pieces[at[1]].order < sides[0].pieces[at[0]].order;
    return has[0] ? 0 : has[1] ? 1 : -1;
}

/* Hand over what has waited. */
static void replay(struct fs_session *session) {
    struct fs__session_choice *choice = session->choice;
    struct fs__session_side *sides = choice->side;
    uint32_t at[2] = {0, 0}, used[2] = {0, 0};
    session->choice = NULL; /* it must outlive a session that is over before all is handed over */
    for (unsigned i = 0; i < 2 && !session->is_over; i++) {
        if (sides[i].is_refused)
            replay_refused(session, i, &sides[i]);
    }
    for (int i; !session->is_over && (i = next_piece(sides, at)) >= 0;) {
        const struct fs__session_piece *piece = &sides[i].pieces[at[i]++];
        struct fs_chunk chunk = {.data = sides[i].data + used[i],
                                 .length = piece->length,
                                 .offset = sides[i].start + used[i],
                                 .time_ns = piece->time_ns,
                                 .frame = piece->frame,
                                 .side = (uint8_t)i};
        used[i] += piece->length;
        run(session, &chunk);
    }
    session->choice = choice;
    release_choice(session);
}

/* ---- choosing ---- */

static const struct fs_parser *parser_at(const struct fs_session *session, int index) {
    return session->shared->parsers[index];
}

/* The candidate in place `turn` of the order: the port's first. -1 if there is none in that place. */
static int candidate_at(const struct fs_session *session, uint32_t candidates, int turn) {
    int index = turn == 0 ? session->preferred : turn - 1;
    bool had_its_turn = turn > 0 && index == session->preferred;
    return index < 0 || had_its_turn || !(candidates >> index & 1) ? NO_PARSER : index;
}

/* Ask the side's candidates in order. Whoever wants it waits for those before it to say no, so that the choice does not
 * depend on how the bytes are split. `final`: more will not come. Returns NULL if none wants it, yet or at all. */
static const struct fs_parser *ask(struct fs_session *session, struct fs__session_side *side,
                                   const struct fs_chunk *first, bool final) {
    int turns = (int)session->shared->config.parser_count + 1;
    for (int turn = 0; turn < turns; turn++) {
        int index = candidate_at(session, side->candidates, turn);
        if (index < 0)
            continue;
        session->shared->stats.probes++;
        enum fs_probe_result result = parser_at(session, index)->probe(first);
        if (result == FS_PROBE_YES)
            return parser_at(session, index);
        if (result == FS_PROBE_MORE && !final)
            return NULL;
        side->candidates &= ~(UINT32_C(1) << index);
    }
    return NULL;
}

/* No parser wants this side. The other may still say what the flow is. */
static void refuse(struct fs_session *session, struct fs__session_side *side) {
    release_waiting(session, side);
    side->is_refused = true;
    side->candidates = 0;
    if (session->choice->side[0].is_refused && session->choice->side[1].is_refused)
        give_up(session);
}

/* What to do with a side after asking. True if a parser was taken; what waited was handed over. */
static bool conclude(struct fs_session *session, struct fs__session_side *side, const struct fs_parser *wanted,
                     bool has_hole) {
    bool beginning_is_unseen = session->from_middle || side->start > 0 || has_hole;
    if (!wanted && side->candidates == 0 && beginning_is_unseen && session->preferred >= 0)
        wanted = parser_at(session, session->preferred);
    if (!wanted) {
        if (side->candidates == 0)
            refuse(session, side);
        return false;
    }
    if (!take(session, wanted))
        return false;
    replay(session);
    return true;
}

static const struct fs_parser *ask_waiting(struct fs_session *session, struct fs__session_side *side, bool final) {
    struct fs_chunk first = {.data = side->data, .length = side->used, .offset = side->start};
    first.side = (uint8_t)(side - session->choice->side);
    return ask(session, side, &first, final);
}

/* No more bytes follow, or not at once: choose by what there is. */
static bool conclude_waiting(struct fs_session *session, struct fs__session_side *side, bool has_hole) {
    if (!side->used)
        return false;
    const struct fs_parser *wanted = ask_waiting(session, side, true);
    return conclude(session, side, wanted, has_hole);
}

static void consider_bytes(struct fs_session *session, struct fs__session_side *side, const struct fs_chunk *chunk) {
    uint32_t limit = session->shared->config.probe_limit;
    uint32_t room = limit - side->used;
    uint32_t length = chunk->length < room ? (uint32_t)chunk->length : room;
    bool is_full = chunk->length >= room, has_waiting = side->used > 0;
    const struct fs_parser *wanted = NULL;
    if (!side->is_begun)
        side->start = chunk->offset;
    side->is_begun = true;
    if (has_waiting) {
        if (!keep(session, side, chunk, length)) {
            refuse(session, side);
            return;
        }
        wanted = ask_waiting(session, side, is_full);
    } else {
        struct fs_chunk first = *chunk;
        first.length = length;
        wanted = ask(session, side, &first, is_full);
        if (!wanted && side->candidates && !keep(session, side, chunk, length)) {
            refuse(session, side);
            return;
        }
    }
    if (!conclude(session, side, wanted, false) || session->is_over)
        return;
    struct fs_chunk rest = *chunk;
    if (has_waiting) {
        rest.data += length;
        rest.length -= length;
        rest.offset += length;
    }
    if (rest.length)
        run(session, &rest);
}

static void consider_chunk(struct fs_session *session, const struct fs_chunk *chunk) {
    struct fs__session_side *side = &session->choice->side[chunk->side & 1];
    if (!side->is_refused && chunk->data)
        consider_bytes(session, side, chunk);
    else if (!side->is_refused && conclude_waiting(session, side, true) && !session->is_over)
        run(session, chunk);
    if (session->choice) {
        side->seen = chunk->offset + chunk->length;
        side->seen_ns = chunk->time_ns;
        side->seen_frame = chunk->frame;
    }
}

static void consider_datagram(struct fs_session *session, const struct fs_chunk *chunk) {
    struct fs__session_side all = {.candidates = session->candidates};
    if (!chunk->data)
        return;
    const struct fs_parser *wanted = ask(session, &all, chunk, true);
    if (wanted) {
        if (take(session, wanted))
            run(session, chunk);
    } else if (++session->datagrams >= session->shared->config.datagram_limit) {
        give_up(session);
    }
}

/* ---- who may be chosen ---- */

static bool is_group(const struct fs_key *key, unsigned endpoint) {
    const uint8_t *address = key->address[endpoint];
    return key->family == FS_FAMILY_IPV4 ? address[0] >> 4 == 0xe : key->family == FS_FAMILY_IPV6 && address[0] == 0xff;
}

static bool fits(const struct fs_session *session, const struct fs_parser *parser, bool to_group) {
    return parser->stream == session->is_stream && (parser->stream || parser->group == to_group);
}

/* The candidate of a protocol; -1 if there is none. */
static int candidate_of(const struct fs_session *session, unsigned protocol) {
    for (int i = 0; i < (int)session->shared->config.parser_count; i++) {
        if (session->candidates >> i & 1 && parser_at(session, i)->protocol == protocol)
            return i;
    }
    return NO_PARSER;
}

/* Returns whether the port leaves no doubt. */
static bool look_at_port(struct fs_session *session, uint16_t port) {
    const struct fs_session_config *config = &session->shared->config;
    for (size_t i = 0; i < config->port_count && session->preferred < 0; i++) {
        if (config->ports[i].port != port)
            continue;
        session->preferred = (int8_t)candidate_of(session, config->ports[i].protocol);
        if (session->preferred >= 0 && config->ports[i].is_certain)
            return true;
    }
    return false;
}

static void take_or_leave(struct fs_session *session, const struct fs_parser *parser) {
    if (parser && parser->stream == session->is_stream)
        take(session, parser);
    else
        give_up(session);
}

static void begin_choice(struct fs_session *session) {
    struct fs_sessions *shared = session->shared;
    struct fs__session_choice *choice = shared->free_choices;
    if (choice)
        shared->free_choices = choice->next_free;
    else
        choice = reserve(shared, sizeof *choice);
    if (!choice) {
        shared->stats.unmade++;
        give_up(session);
        return;
    }
    memset(choice, 0, sizeof *choice);
    choice->side[0].candidates = choice->side[1].candidates = session->candidates;
    session->choice = choice;
}

static void open(struct fs_session *session, const struct fs_session_flow *flow) {
    const struct fs_session_config *config = &session->shared->config;
    unsigned responder = !flow->initiator_orientation;
    bool to_group = is_group(&flow->key, responder);
    struct fs_session_hint hint = {FS_SESSION_PROBE, NULL};
    if (flow->key.kind != FS_KEY_5TUPLE || (!session->is_stream && flow->key.protocol != FS_PROTO_UDP))
        hint.choice = FS_SESSION_LEAVE;
    else if (config->hint)
        config->hint(flow, &hint, config->hint_user);
    if (hint.choice != FS_SESSION_PROBE) {
        take_or_leave(session, hint.choice == FS_SESSION_TAKE ? hint.parser : NULL);
        return;
    }
    for (unsigned i = 0; i < config->parser_count; i++)
        session->candidates |= (uint32_t)fits(session, config->parsers[i], to_group) << i;
    if (!session->candidates)
        give_up(session);
    else if (look_at_port(session, flow->key.port[responder]) || look_at_port(session, flow->key.port[!responder]))
        take(session, parser_at(session, session->preferred));
    else if (session->is_stream)
        begin_choice(session);
}

struct fs_session *fs_session_new(struct fs_sessions *sessions, const struct fs_session_flow *flow) {
    struct fs_session *session = sessions->free;
    if (session) {
        sessions->free = session->next_free;
    } else {
        session = reserve(sessions, sizeof *session);
        if (!session) {
            sessions->stats.unmade++;
            sessions->stats.flows[FS_SESSION_NONE]++;
            return NULL;
        }
    }
    memset(session, 0, sizeof *session);
    session->shared = sessions;
    session->user = flow->user;
    session->host = (struct fs_parser_host){{session_alloc, session_release, session}, on_message, session};
    session->preferred = NO_PARSER;
    session->is_stream = flow->key.protocol == FS_PROTO_TCP;
    session->from_middle = flow->from_middle;
    open(session, flow);
    return session;
}

void fs_session_free(struct fs_session *session) {
    if (!session)
        return;
    drop(session);
    session->next_free = session->shared->free;
    session->shared->free = session;
}

bool fs_session_is_over(const struct fs_session *session) {
    return session->is_over;
}

uint8_t fs_session_protocol(const struct fs_session *session) {
    return session->protocol;
}

/* ---- what happens to the flow ---- */

void fs_session_feed(struct fs_session *session, const struct fs_chunk *chunk) {
    if (session->is_over || chunk->length == 0)
        return;
    if (session->object)
        run(session, chunk);
    else if (session->is_stream)
        consider_chunk(session, chunk);
    else
        consider_datagram(session, chunk);
}

/* True if the session still has no parser, or is over. */
static bool note_fin(struct fs_session *session, struct fs__session_side *side, uint64_t time_ns, uint32_t frame) {
    if (!side->is_refused && conclude_waiting(session, side, false))
        return session->is_over;
    if (session->is_over)
        return true;
    side->has_fin = true;
    side->fin_ns = time_ns;
    side->fin_frame = frame;
    if (!side->is_refused)
        refuse(session, side);
    return true;
}

void fs_session_fin(struct fs_session *session, enum fs_side side, uint64_t time_ns, uint32_t frame) {
    unsigned which = side & 1U;
    if (session->is_over || !session->is_stream)
        return;
    if (session->choice && note_fin(session, &session->choice->side[which], time_ns, frame))
        return;
    run_fin(session, which, time_ns, frame);
}

void fs_session_tick(struct fs_session *session, uint64_t now_ns) {
    if (session->object && session->parser->tick)
        settle(session, session->parser->tick(session->object, now_ns));
}

void fs_session_end(struct fs_session *session, bool reset, uint64_t time_ns, uint32_t frame) {
    for (unsigned i = 0; i < 2 && session->choice; i++)
        conclude_waiting(session, &session->choice->side[i], false);
    if (session->is_over)
        return;
    if (!session->object) {
        session->shared->stats.undecided++;
        give_up(session);
        return;
    }
    if (session->parser->end)
        session->parser->end(session->object, reset, time_ns, frame);
    drop(session);
}
