/* SPDX-License-Identifier: MIT */
#include "tcp.h"

#include <string.h>

enum {
    CONTROL = FS_TCP_SYN | FS_TCP_FIN | FS_TCP_RST,
    CLASSIC = 0x3f,
    TOO_FAR = 1048576, /* sequence jumps of SYN and RST past this are not believed, as in Zeek */
    UNSCALED_WINDOW_MAX = 65535
};

/* Sequence numbers are compared as RFC 9293 says, modulo 2^32. */
static int32_t seq_delta(uint32_t a, uint32_t b) {
    return (int32_t)(a - b);
}

static bool seq_after(uint32_t a, uint32_t b) {
    return seq_delta(a, b) > 0;
}

static enum fs__endpoint endpoint_state(const struct fs__tcp_side *side) {
    return (enum fs__endpoint)(side->bits & FS__STATE_MASK);
}

static enum fs__endpoint previous_state(const struct fs__tcp_side *side) {
    return (enum fs__endpoint)((side->bits >> FS__PREVIOUS_SHIFT) & FS__STATE_MASK);
}

static void set_endpoint_state(struct fs__tcp_side *side, enum fs__endpoint state) {
    enum fs__endpoint old = endpoint_state(side);
    if (old == state)
        return;
    unsigned rest = side->bits & ~(unsigned)(FS__STATE_MASK | FS__STATE_MASK << FS__PREVIOUS_SHIFT);
    side->bits = (uint16_t)(rest | (unsigned)state | (unsigned)old << FS__PREVIOUS_SHIFT);
}

static bool has(const struct fs__tcp_side *side, unsigned bits) {
    return (side->bits & bits) == bits;
}

static void set(struct fs__tcp_side *side, unsigned bits) {
    side->bits = (uint16_t)(side->bits | bits);
}

static void clear(struct fs__tcp_side *side, unsigned bits) {
    side->bits = (uint16_t)(side->bits & ~bits);
}

/* ---- history ---- */

static const char letters[] = "shadfrtwiq^g";
enum { LETTER_FLIPPED = 10, LETTERS_A_WORD = 12, LENGTH_SHIFT = 60 };

static void history_add_code(struct fs__tcp_more *more, unsigned code) {
    for (unsigned word = 0; word < 2; word++) {
        unsigned length = (unsigned)(more->history[word] >> LENGTH_SHIFT);
        if (length == LETTERS_A_WORD)
            continue;
        more->history[word] |= (uint64_t)code << (5 * length);
        more->history[word] += (uint64_t)1 << LENGTH_SHIFT;
        return;
    }
    /* No room: a length past the maximum says that letters were left out. */
    more->history[1] |= (uint64_t)0xf << LENGTH_SHIFT;
}

static void history_add(struct fs__tcp_more *more, unsigned side, char letter) {
    const char *at = strchr(letters, letter);
    unsigned code = (unsigned)(at - letters) << 1 | (side == FS_RESPONDER);
    if (more->history[1] >> LENGTH_SHIFT <= LETTERS_A_WORD)
        history_add_code(more, code);
}

void fs__tcp_history_gap(struct fs__tcp_more *more, unsigned side) {
    history_add(more, side, 'g');
}

bool fs__tcp_history_full(const struct fs__tcp_more *more) {
    return more->history[1] >> LENGTH_SHIFT > LETTERS_A_WORD;
}

static void history_text(const struct fs__tcp_more *more, char text[FS_HISTORY_MAX + 1]) {
    unsigned used = 0;
    for (unsigned word = 0; word < 2; word++) {
        unsigned length = (unsigned)(more->history[word] >> LENGTH_SHIFT);
        if (length > LETTERS_A_WORD)
            length = LETTERS_A_WORD;
        for (unsigned i = 0; i < length; i++) {
            unsigned code = (unsigned)(more->history[word] >> (5 * i)) & 0x1f;
            char letter = letters[code >> 1];
            bool upper = !(code & 1) && letter != '^';
            text[used++] = upper ? (char)(letter - 'a' + 'A') : letter;
        }
    }
    text[used] = '\0';
}

static bool first_use(struct fs__tcp_side *side, unsigned bit) {
    if (side->used & bit)
        return false;
    side->used = (uint8_t)(side->used | bit);
    return true;
}

static void history_control(struct fs__tcp_more *more, struct fs__tcp_side *self, unsigned side,
                            const struct fs_tcp *segment, uint32_t end) {
    unsigned control = segment->flags & CONTROL;
    if (control == FS_TCP_SYN) {
        if (first_use(self, FS__USED_SYN))
            history_add(more, side, segment->flags & FS_TCP_ACK ? 'h' : 's');
    } else if (control == FS_TCP_FIN) {
        if (first_use(self, FS__USED_FIN) || end != self->next)
            history_add(more, side, 'f');
    } else if (control == FS_TCP_RST) {
        if (first_use(self, FS__USED_RST) || segment->seq != self->timed_seq)
            history_add(more, side, 'r');
    } else if (control == (FS_TCP_FIN | FS_TCP_RST) || control == CONTROL) {
        if (first_use(self, FS__USED_FIN_RST))
            history_add(more, side, 'i');
    } else if (first_use(self, FS__USED_MULTI)) {
        history_add(more, side, 'q');
    }
}

static void history_plain(struct fs__tcp_more *more, struct fs__tcp_side *self, unsigned side,
                          const struct fs_packet *packet) {
    if (packet->payload_len) {
        if (first_use(self, FS__USED_DATA))
            history_add(more, side, 'd');
    } else if ((packet->tcp.flags & FS_TCP_ACK) && first_use(self, FS__USED_ACK)) {
        history_add(more, side, 'a');
    }
}

/* ---- sequence numbers ---- */

/* Positions are 64-bit: 0 is the ISN. Every number is taken to lie within 2^31 of a position that is known. */
static uint64_t next_position(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    return (uint64_t)more->next_wraps << 32 | (uint32_t)(side->next - side->isn);
}

static uint64_t ack_position(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    return (uint64_t)more->ack_wraps << 32 | (uint32_t)(side->ack - side->isn);
}

/* How many bytes a side has sent that were not acknowledged; negative if more was acknowledged than seen. */
static int64_t outstanding_of(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    return (int64_t)next_position(side, more) - (int64_t)ack_position(side, more);
}

static uint64_t top_position(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    uint64_t next = next_position(side, more);
    uint64_t ack = ack_position(side, more);
    return ack > next ? ack : next;
}

static int64_t position_near(const struct fs__tcp_side *side, uint32_t number, uint64_t known) {
    return (int64_t)known + seq_delta(number, side->isn + (uint32_t)known);
}

static unsigned wraps_of(uint64_t position) {
    uint64_t wraps = position >> 32;
    return wraps > FS__WRAPS_MAX ? FS__WRAPS_MAX : (unsigned)wraps;
}

static void set_next(struct fs__tcp_side *side, struct fs__tcp_side_more *more, uint64_t position) {
    side->next = side->isn + (uint32_t)position;
    more->next_wraps = wraps_of(position) & FS__WRAPS_MAX;
}

static void set_ack(struct fs__tcp_side *side, struct fs__tcp_side_more *more, uint64_t position) {
    side->ack = side->isn + (uint32_t)position;
    more->ack_wraps = wraps_of(position) & FS__WRAPS_MAX;
}

static void begin_numbers(struct fs__tcp_side *side, struct fs__tcp_side_more *more, uint32_t isn) {
    side->isn = isn;
    set_next(side, more, 0);
    set_ack(side, more, 0);
}

/* First segment of a side, or a SYN-ACK that gives it another ISN. */
static void begin_side(struct fs__tcp_side *self, struct fs__tcp_side_more *more, uint8_t state,
                       const struct fs_tcp *segment, unsigned *anomalies) {
    bool syn = (segment->flags & FS_TCP_SYN) != 0;
    bool syn_ack = (segment->flags & (CONTROL | FS_TCP_ACK)) == (FS_TCP_SYN | FS_TCP_ACK);
    if (!has(self, FS__KNOWN)) {
        bool answered = syn && segment->seq == self->isn && ack_position(self, more) == 1;
        begin_numbers(self, more, syn ? segment->seq : segment->seq - 1);
        set_next(self, more, syn ? 0 : 1);
        set_ack(self, more, answered ? 1 : 0);
        set(self, FS__KNOWN);
    } else if (syn_ack && segment->seq != self->isn) {
        *anomalies |= FS_ANOMALY_SYN_IN_FLOW;
        if (state >= FS_STATE_ESTABLISHED)
            return; /* nobody may undo what was counted (RFC 5961, 4) */
        begin_numbers(self, more, segment->seq);
        clear(self, FS__TIMED);
    }
}

static void raise_ack(struct fs__tcp_side *peer, struct fs__tcp_side_more *more, uint32_t ack) {
    int64_t position = position_near(peer, ack, top_position(peer, more));
    int64_t ahead = position - (int64_t)ack_position(peer, more);
    if (ahead <= 0 || (ack == 0 && ahead > TOO_FAR))
        return;
    set_ack(peer, more, (uint64_t)position);
}

/* Returns whether the segment's end was new. */
static bool raise_next(struct fs__tcp_side *self, struct fs__tcp_side_more *more, const struct fs_tcp *segment,
                       uint32_t end) {
    int32_t delta = seq_delta(end, self->next);
    bool far = delta > TOO_FAR || delta < -TOO_FAR;
    if ((segment->flags & (FS_TCP_SYN | FS_TCP_RST)) && far)
        return false;
    bool only_syn = (self->flags & FS_TCP_SYN) && next_position(self, more) == 1;
    bool trust_fin = (segment->flags & FS_TCP_FIN) && only_syn && (delta > 0 || far);
    if (endpoint_state(self) == FS__RESET && !trust_fin)
        return false;
    if (delta <= 0 && !trust_fin)
        return false;
    int64_t position = (int64_t)next_position(self, more) + delta;
    if (delta < 0)
        position = (uint32_t)(end - self->isn); /* the FIN of a transfer that was not captured */
    set_next(self, more, (uint64_t)position);
    return true;
}

/* ---- round-trip times ---- */

static void add_sample(struct fs__tcp_side_more *more, uint64_t rtt_ns) {
    enum { COUNT_BITS = 24 };
    const uint64_t count_mask = ((uint64_t)1 << COUNT_BITS) - 1;
    uint64_t us = rtt_ns / 1000;
    uint32_t clipped = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    uint64_t count = more->rtt & count_mask;
    uint64_t sum = more->rtt >> COUNT_BITS;
    if (count == count_mask || sum + clipped > UINT64_MAX >> COUNT_BITS)
        return;
    more->rtt = (sum + clipped) << COUNT_BITS | (count + 1);
    if (count == 0 || clipped < more->rtt_minimum_us)
        more->rtt_minimum_us = clipped;
    if (clipped > more->rtt_maximum_us)
        more->rtt_maximum_us = clipped;
}

uint64_t fs__tcp_stop_timer(struct fs__tcp_side *peer, struct fs__tcp_more *more, unsigned side, uint64_t now_ns) {
    bool was_syn = has(peer, FS__TIMED_SYN);
    clear(peer, FS__TIMED | FS__TIMED_SYN);
    if (was_syn)
        set(peer, FS__SYN_TIMED);
    if (now_ns < peer->timed_ns)
        return FS_NO_TIME;
    uint64_t rtt_ns = now_ns - peer->timed_ns;
    if (!was_syn) {
        add_sample(&more->side[side], rtt_ns);
    } else {
        uint64_t us = rtt_ns / 1000;
        more->handshake_us[side] = us >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)us;
    }
    return rtt_ns;
}

static void start_timer(struct fs__tcp_side *self, const struct fs__tcp_side_more *more, const struct fs_packet *packet,
                        uint32_t end, bool fresh) {
    unsigned flags = packet->tcp.flags;
    if (self->flags & FS_TCP_RST)
        return;
    if (flags & FS_TCP_SYN) {
        if (has(self, FS__SYN_TIMED))
            return;
        self->timed_ns = packet->time_ns;
        self->timed_seq = self->isn + 1;
        set(self, FS__TIMED | FS__TIMED_SYN);
        return;
    }
    int64_t outstanding = outstanding_of(self, more);
    bool timeable = outstanding > 0 && outstanding <= INT32_MAX; /* a jump further ahead is no segment in flight */
    if (!packet->payload_len || !fresh || !timeable || has(self, FS__TIMED))
        return;
    self->timed_ns = packet->time_ns;
    self->timed_seq = end;
    set(self, FS__TIMED);
}

/* ---- windows ---- */

static unsigned window_scale(const struct fs__tcp *tcp, unsigned side) {
    bool agreed = has(&tcp->side[0], FS__SCALE_OFFERED) && has(&tcp->side[1], FS__SCALE_OFFERED);
    return agreed ? (unsigned)tcp->side[side].bits >> FS__SCALE_SHIFT : 0;
}

static void note_scale(struct fs__tcp_side *self, const struct fs_tcp *segment) {
    unsigned rest = self->bits & ~(0xfU << FS__SCALE_SHIFT | FS__SCALE_OFFERED);
    if (segment->options & FS_TCP_OPT_WINDOW_SCALE)
        rest |= FS__SCALE_OFFERED | (unsigned)(segment->window_scale & 0xf) << FS__SCALE_SHIFT;
    self->bits = (uint16_t)rest;
}

static void note_window(struct fs__tcp *tcp, struct fs__tcp_more *more, unsigned side, const struct fs_tcp *segment) {
    struct fs__tcp_side *self = &tcp->side[side];
    if (segment->window == 0 && !(segment->flags & FS_TCP_RST) && endpoint_state(self) != FS__RESET &&
        endpoint_state(&tcp->side[!side]) != FS__CLOSED) {
        struct fs__tcp_side_more *counts = &more->side[side];
        if (counts->zero_windows < FS__COUNT_MAX && fs__is_power_of_ten(++counts->zero_windows))
            history_add(more, side, 'w');
    }
    if (segment->flags & (FS_TCP_SYN | FS_TCP_RST))
        return;
    if (segment->window < self->window_minimum)
        self->window_minimum = segment->window;
    if (segment->window > self->window_maximum)
        self->window_maximum = segment->window;
}

/* ---- life cycle ---- */

/* RFC 5961 in the observer's place: who could not have seen the connection cannot hit the window. */
static bool reset_is_acceptable(const struct fs__tcp *tcp, unsigned side, const struct fs_tcp *segment) {
    const struct fs__tcp_side *self = &tcp->side[side];
    const struct fs__tcp_side *peer = &tcp->side[!side];
    if (!has(peer, FS__KNOWN) || !has(self, FS__KNOWN))
        return true;
    enum fs__endpoint peer_state = endpoint_state(peer);
    if ((segment->flags & FS_TCP_ACK) && (peer_state == FS__SYN_SENT || peer_state == FS__SYN_ACK_SENT) &&
        segment->ack == peer->isn + 1)
        return true;
    int64_t window = UNSCALED_WINDOW_MAX;
    if (peer->window_minimum <= peer->window_maximum) {
        int64_t scaled = (int64_t)peer->window_maximum << window_scale(tcp, !side);
        window = scaled > window ? scaled : window;
    }
    int64_t from_next = seq_delta(segment->seq, self->next);
    int64_t from_ack = seq_delta(segment->seq, self->ack);
    return (from_next >= -window && from_next <= window) || (from_ack >= -window && from_ack <= window);
}

static void inactive_sends(struct fs__tcp *tcp, unsigned side, const struct fs_packet *packet) {
    struct fs__tcp_side *self = &tcp->side[side];
    struct fs__tcp_side *peer = &tcp->side[!side];
    unsigned flags = packet->tcp.flags;
    if (flags & FS_TCP_SYN) {
        if (side == FS_INITIATOR) {
            set_endpoint_state(self, flags & FS_TCP_ACK ? FS__SYN_ACK_SENT : FS__SYN_SENT);
        } else {
            bool reversed = !(flags & FS_TCP_ACK) && endpoint_state(peer) == FS__SYN_ACK_SENT;
            if (endpoint_state(peer) == FS__SYN_SENT || reversed)
                set_endpoint_state(peer, FS__ESTABLISHED);
            set_endpoint_state(self, FS__ESTABLISHED);
        }
    }
    if (flags & FS_TCP_FIN)
        set_endpoint_state(self, FS__CLOSED);
    if (flags & FS_TCP_RST)
        set_endpoint_state(self, FS__RESET);
    if (endpoint_state(self) != FS__INACTIVE)
        return;
    if (side == FS_RESPONDER && !packet->payload_len && endpoint_state(peer) == FS__SYN_SENT)
        return; /* some acknowledge a SYN before they send their own */
    bool completes = (flags & FS_TCP_ACK) && endpoint_state(peer) == FS__ESTABLISHED;
    set_endpoint_state(self, completes ? FS__ESTABLISHED : FS__PARTIAL);
}

static void opening_sends(struct fs__tcp_side *self, unsigned flags) {
    if (flags & FS_TCP_FIN)
        set_endpoint_state(self, FS__CLOSED);
    if (flags & FS_TCP_RST)
        set_endpoint_state(self, FS__RESET);
}

static void open_sends(struct fs__tcp_side *self, struct fs__tcp_side *peer, unsigned flags) {
    if ((flags & FS_TCP_SYN) && !(flags & FS_TCP_ACK) && endpoint_state(self) == FS__PARTIAL &&
        endpoint_state(peer) == FS__INACTIVE)
        set_endpoint_state(self, FS__SYN_SENT);
    if ((flags & FS_TCP_FIN) && !(flags & FS_TCP_RST)) {
        set_endpoint_state(self, FS__CLOSED);
        if (endpoint_state(peer) == FS__RESET && previous_state(peer) == FS__CLOSED)
            set_endpoint_state(peer, FS__CLOSED); /* FIN, then RST: a normal end after all */
    }
    if (flags & FS_TCP_RST)
        set_endpoint_state(self, FS__RESET);
}

/* Zeek's endpoint machine: the two states by which conn_state is told. */
static void update_endpoints(struct fs__tcp *tcp, unsigned side, const struct fs_packet *packet) {
    struct fs__tcp_side *self = &tcp->side[side];
    struct fs__tcp_side *peer = &tcp->side[!side];
    switch (endpoint_state(self)) {
    case FS__INACTIVE:
        inactive_sends(tcp, side, packet);
        break;
    case FS__SYN_SENT:
    case FS__SYN_ACK_SENT:
        opening_sends(self, packet->tcp.flags);
        break;
    case FS__PARTIAL:
    case FS__ESTABLISHED:
        open_sends(self, peer, packet->tcp.flags);
        break;
    case FS__CLOSED:
        if ((packet->tcp.flags & FS_TCP_RST) && endpoint_state(peer) != FS__CLOSED)
            set_endpoint_state(self, FS__RESET);
        break;
    case FS__RESET:
        break;
    }
}

static bool side_is_open(const struct fs__tcp *tcp, const struct fs__tcp_more *more, unsigned side) {
    const struct fs__tcp_side *self = &tcp->side[side];
    const struct fs__tcp_side *peer = &tcp->side[!side];
    if (!has(self, FS__KNOWN))
        return has(peer, FS__SPOKE);
    if (!(self->flags & FS_TCP_SYN))
        return has(self, FS__SPOKE);
    if (!has(peer, FS__KNOWN))
        return has(self, FS__SPOKE);
    return ack_position(self, &more->side[side]) >= 1;
}

static bool fin_is_acknowledged(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    return ack_position(side, more) >= next_position(side, more);
}

static uint8_t opening_state(const struct fs__tcp *tcp, uint8_t old) {
    const struct fs__tcp_side *a = &tcp->side[0];
    const struct fs__tcp_side *b = &tcp->side[1];
    bool both = (a->flags & FS_TCP_SYN) && (b->flags & FS_TCP_SYN);
    bool only_syn_ack = !((a->used | b->used) & FS__SENT_PLAIN_SYN);
    return both || only_syn_ack || old == FS_STATE_SYN_RECEIVED ? FS_STATE_SYN_RECEIVED : FS_STATE_SYN_SENT;
}

static uint8_t flow_state(const struct fs__tcp *tcp, const struct fs__tcp_more *more, uint8_t old, bool reset,
                          bool established) {
    const struct fs__tcp_side *a = &tcp->side[0];
    const struct fs__tcp_side *b = &tcp->side[1];
    if (old >= FS_STATE_CLOSED)
        return old;
    if (reset)
        return FS_STATE_RESET;
    bool a_fin = (a->flags & FS_TCP_FIN) != 0;
    bool b_fin = (b->flags & FS_TCP_FIN) != 0;
    if (a_fin && b_fin)
        return fin_is_acknowledged(a, &more->side[0]) && fin_is_acknowledged(b, &more->side[1]) ? FS_STATE_CLOSED
                                                                                                : FS_STATE_CLOSING;
    if (a_fin || b_fin)
        return FS_STATE_HALF_CLOSED;
    uint8_t state = established || !fs__tcp_syn_seen(tcp) ? FS_STATE_ESTABLISHED : opening_state(tcp, old);
    return state > old ? state : old;
}

static unsigned flag_anomalies(unsigned flags) {
    unsigned control = flags & CONTROL;
    return (control & (control - 1)) || !(flags & CLASSIC) ? FS_ANOMALY_BAD_FLAGS : 0;
}

/* What an acknowledgement, not on an RST, says about a side that has sent something. */
static unsigned ack_anomalies(const struct fs__tcp_side *peer, const struct fs__tcp_side_more *more,
                              const struct fs_tcp *segment) {
    uint64_t top = top_position(peer, more);
    int64_t position = position_near(peer, segment->ack, top);
    unsigned anomalies = position > (int64_t)top ? FS_ANOMALY_ACK_UNSEEN : 0U;
    bool answers_syn = (segment->flags & FS_TCP_SYN) && (peer->flags & FS_TCP_SYN);
    if (answers_syn && (position < 1 || position > (int64_t)next_position(peer, more)))
        anomalies |= FS_ANOMALY_SYN_ACK_MISMATCH;
    return anomalies;
}

static void take_ack(struct fs__tcp *tcp, struct fs__tcp_more *more, unsigned side, const struct fs_packet *packet,
                     struct fs__tcp_result *result) {
    unsigned other = !side;
    struct fs__tcp_side *peer = &tcp->side[other];
    if (!has(peer, FS__KNOWN)) { /* kept for a SYN that the capture holds behind its answer */
        begin_numbers(peer, &more->side[other], packet->tcp.ack - 1);
        set_ack(peer, &more->side[other], packet->tcp.flags & FS_TCP_RST ? 0 : 1);
        return;
    }
    if (packet->tcp.flags & FS_TCP_RST)
        return;
    result->anomalies |= ack_anomalies(peer, &more->side[other], &packet->tcp);
    uint64_t before = ack_position(peer, &more->side[other]);
    uint32_t missing = peer->timed_seq - peer->ack; /* the timed segment was not covered yet */
    raise_ack(peer, &more->side[other], packet->tcp.ack);
    uint64_t after = ack_position(peer, &more->side[other]);
    bool covered = has(peer, FS__TIMED_SYN) ? after >= 1 : after - before >= missing;
    if (has(peer, FS__TIMED) && covered)
        result->rtt_ns = fs__tcp_stop_timer(peer, more, other, packet->time_ns);
}

bool fs__tcp_count_retransmission(struct fs__tcp_more *more, unsigned side) {
    uint32_t count = more->side[side].retransmissions;
    if (count == FS__COUNT_MAX)
        return fs__tcp_history_full(more);
    more->side[side].retransmissions = ++count & FS__COUNT_MAX;
    if (fs__is_power_of_ten(count))
        history_add(more, side, 't');
    return fs__tcp_history_full(more);
}

static void retransmitted(struct fs__tcp_side *self, struct fs__tcp_more *more, unsigned side) {
    (void)fs__tcp_count_retransmission(more, side);
    if (!has(self, FS__TIMED_SYN)) /* Karn's rule */
        clear(self, FS__TIMED);
}

void fs__tcp_init(struct fs__tcp *tcp, struct fs__tcp_more *more, bool flipped) {
    memset(tcp, 0, sizeof *tcp);
    memset(more, 0, sizeof *more);
    tcp->side[0].window_minimum = tcp->side[1].window_minimum = UINT16_MAX;
    more->handshake_us[0] = more->handshake_us[1] = UINT32_MAX;
    if (flipped)
        history_add_code(more, LETTER_FLIPPED << 1);
}

bool fs__tcp_is_new_connection(const struct fs__tcp *tcp, uint8_t state, unsigned side, const struct fs_tcp *segment) {
    const struct fs__tcp_side *self = &tcp->side[side];
    if ((segment->flags & (CONTROL | FS_TCP_ACK)) != FS_TCP_SYN || !has(self, FS__KNOWN))
        return false;
    bool ending = ((tcp->side[0].flags | tcp->side[1].flags) & FS_TCP_FIN) || state == FS_STATE_RESET;
    return ending || segment->seq != self->isn;
}

static bool side_is_over(const struct fs__tcp_side *side) {
    return endpoint_state(side) >= FS__CLOSED;
}

static bool both_are_over(const struct fs__tcp *tcp) {
    return side_is_over(&tcp->side[0]) && side_is_over(&tcp->side[1]);
}

/* The time takes the place of the initiator's timer, so that it costs no memory. */
static void note_both_over(struct fs__tcp *tcp, uint64_t time_ns) {
    clear(&tcp->side[FS_INITIATOR], FS__TIMED | FS__TIMED_SYN);
    tcp->side[FS_INITIATOR].timed_ns = time_ns;
}

void fs__tcp_update(struct fs__tcp *tcp, struct fs__tcp_more *more, uint8_t state, unsigned side,
                    const struct fs_packet *packet, struct fs__tcp_result *result) {
    struct fs__tcp_side *self = &tcp->side[side];
    const struct fs_tcp *segment = &packet->tcp;
    unsigned flags = segment->flags;
    result->rtt_ns = FS_NO_TIME;
    result->retransmission = false;
    result->established = false;
    result->anomalies = flag_anomalies(flags);
    bool reset = (flags & FS_TCP_RST) != 0;
    if (reset && !reset_is_acceptable(tcp, side, segment)) {
        result->anomalies |= FS_ANOMALY_RST_OUT_OF_WINDOW;
        result->state = state;
        return;
    }

    bool first = !has(self, FS__KNOWN);
    if (first || (flags & FS_TCP_SYN))
        begin_side(self, &more->side[side], state, segment, &result->anomalies);
    uint32_t end = segment->seq + (reset ? 0 : packet->payload_len);
    end += (flags & FS_TCP_SYN ? 1U : 0U) + (flags & FS_TCP_FIN ? 1U : 0U);

    if (flags & CONTROL)
        history_control(more, self, side, segment, end);
    else
        history_plain(more, self, side, packet);
    note_window(tcp, more, side, segment);
    if (flags & FS_TCP_SYN) {
        note_scale(self, segment);
        if (!(flags & FS_TCP_ACK))
            self->used |= FS__SENT_PLAIN_SYN;
    }
    if (flags & FS_TCP_ACK)
        take_ack(tcp, more, side, packet, result);

    bool was_over = both_are_over(tcp);
    bool was_reset = endpoint_state(self) == FS__RESET;
    self->flags = (uint8_t)(self->flags | flags);
    bool behind = !seq_after(end, self->next);
    bool raised = raise_next(self, &more->side[side], segment, end);
    result->retransmission = packet->payload_len && !reset && behind && !raised && !first && !was_reset;
    if (result->retransmission)
        retransmitted(self, more, side);
    if (side != FS_INITIATOR || !was_over)
        start_timer(self, &more->side[side], packet, end, !behind && raised);
    if ((flags & CONTROL) || endpoint_state(self) < FS__PARTIAL) {
        update_endpoints(tcp, side, packet);
        if (!was_over && both_are_over(tcp))
            note_both_over(tcp, packet->time_ns);
    }
    if (!(flags & (FS_TCP_SYN | FS_TCP_RST)))
        set(self, FS__SPOKE);
    if (reset) {
        clear(self, FS__TIMED | FS__TIMED_SYN);
        if ((flags & CONTROL) == FS_TCP_RST)
            self->timed_seq = segment->seq;
    }

    if (packet->payload_len && !reset && !result->retransmission && state >= FS_STATE_CLOSED)
        result->anomalies |= FS_ANOMALY_AFTER_END;
    result->established = !reset && side_is_open(tcp, more, 0) && side_is_open(tcp, more, 1);
    result->state = flow_state(tcp, more, state, reset, result->established);
}

/* ---- the steady way ---- */

static bool is_steady(const struct fs__tcp_side *self, const struct fs__tcp_side *peer) {
    enum fs__endpoint state = endpoint_state(self);
    bool counts_peer = has(peer, FS__KNOWN) || peer->ack == peer->isn + 1; /* else the next acknowledgement does */
    return has(self, FS__KNOWN | FS__SPOKE) && (state == FS__PARTIAL || state == FS__ESTABLISHED) && counts_peer;
}

unsigned fs__tcp_steady_sides(const struct fs__tcp *tcp, const struct fs__tcp_more *more) {
    const struct fs__tcp_side *side = tcp->side;
    bool ends = ((side[0].flags | side[1].flags) & (FS_TCP_FIN | FS_TCP_RST)) != 0;
    bool times_syn = ((side[0].bits | side[1].bits) & FS__TIMED_SYN) != 0;
    if (ends || times_syn)
        return 0;
    unsigned result = 0;
    for (unsigned i = 0; i < 2; i++) {
        /* As 32-bit numbers the two positions of a side that is acknowledged must have the distance that they have;
         * of a side that sends it is enough to know that they are too far apart. */
        int64_t own = outstanding_of(&side[i], &more->side[i]);
        int64_t other = outstanding_of(&side[!i], &more->side[!i]);
        if (own >= INT32_MIN && other >= INT32_MIN && other <= INT32_MAX && is_steady(&side[i], &side[!i]))
            result |= (unsigned)(own > INT32_MAX ? FS__FAR_SIDE : FS__STEADY_SIDE) << i;
    }
    return result;
}

unsigned fs__tcp_steady_segment(struct fs__tcp_side *self, struct fs__tcp_side *peer, bool is_far,
                                const struct fs_packet *packet) {
    const struct fs_tcp *segment = &packet->tcp;
    uint32_t length = packet->payload_len;
    if ((segment->flags & (CONTROL | FS_TCP_ACK)) != FS_TCP_ACK || segment->window == 0)
        return 0;
    if (!(self->used & (length ? FS__USED_DATA : FS__USED_ACK)))
        return 0; /* a letter of the history is due */

    uint32_t acked = segment->ack - peer->ack;
    if (acked) {
        int32_t in_flight = (int32_t)(peer->next - peer->ack);
        uint32_t limit = in_flight > 0 ? (uint32_t)in_flight : 0;
        if ((int32_t)acked < 0) {
            if ((int32_t)(acked - limit) >= 0 || !(peer->bits & FS__KNOWN))
                return 0;
            acked = 0; /* an old one */
        } else if (acked > limit || acked > TOO_FAR || segment->ack - peer->isn < acked) {
            return 0; /* of what was not seen, or 4 GiB are full */
        }
    }
    uint32_t end = segment->seq + length;
    int32_t ahead = (int32_t)(end - self->next);
    unsigned result = FS__STEADY;
    if (ahead > 0) {
        int32_t outstanding = is_far ? -1 : (int32_t)(end - self->ack);
        if ((!is_far && outstanding <= (int32_t)(self->next - self->ack)) || end - self->isn < (uint32_t)ahead)
            return 0; /* 2 GiB in flight from now on, or 4 GiB full */
        self->next = end;
        if (length && outstanding > 0 && !(self->bits & FS__TIMED)) {
            self->timed_ns = packet->time_ns;
            self->timed_seq = end;
            self->bits |= FS__TIMED;
        }
    } else if (length) {
        self->bits &= (uint16_t)~FS__TIMED; /* Karn's rule */
        result |= FS__RETRANSMITTED;
    }
    if ((peer->bits & FS__TIMED) && acked >= peer->timed_seq - peer->ack)
        result |= FS__TIMER_COVERED;
    peer->ack += acked;
    self->flags = (uint8_t)(self->flags | segment->flags);
    if (segment->window < self->window_minimum)
        self->window_minimum = segment->window;
    if (segment->window > self->window_maximum)
        self->window_maximum = segment->window;
    return result;
}

/* ---- snapshots ---- */

static void rtt_info(const struct fs__tcp_side_more *more, struct fs_rtt *rtt) {
    uint64_t count = more->rtt & 0xffffff;
    uint64_t sum = more->rtt >> 24;
    memset(rtt, 0, sizeof *rtt);
    if (!count)
        return;
    rtt->samples = count;
    rtt->minimum_ns = (uint64_t)more->rtt_minimum_us * 1000;
    rtt->maximum_ns = (uint64_t)more->rtt_maximum_us * 1000;
    rtt->mean_ns = sum / count * 1000 + sum % count * 1000 / count;
}

static uint64_t stream_bytes(const struct fs__tcp_side *side, const struct fs__tcp_side_more *more) {
    uint64_t size = top_position(side, more);
    if (size)
        size--; /* the SYN, or the place where one would have been */
    if (size && (side->flags & FS_TCP_FIN))
        size--;
    return size;
}

static void side_info(const struct fs__tcp *tcp, const struct fs__tcp_more *more, unsigned side,
                      struct fs_tcp_side *info) {
    const struct fs__tcp_side *from = &tcp->side[side];
    unsigned scale = window_scale(tcp, side);
    info->stream_bytes = stream_bytes(from, &more->side[side]);
    info->isn = from->isn;
    bool seen = from->window_minimum <= from->window_maximum;
    info->window_minimum = seen ? (uint32_t)from->window_minimum << scale : 0;
    info->window_maximum = seen ? (uint32_t)from->window_maximum << scale : 0;
    info->zero_windows = more->side[side].zero_windows;
    info->retransmissions = more->side[side].retransmissions;
    info->window_scale = (uint8_t)scale;
    info->flags = from->flags;
    info->acknowledged = has(from, FS__KNOWN) && fin_is_acknowledged(from, &more->side[side]);
    rtt_info(&more->side[side], &info->rtt);
}

/* Zeek's /^\^?S[^HAFGIQ]*R/: a SYN and then a reset, with nothing from the initiator that speaks of an answer. */
static bool is_syn_then_reset(const char *history) {
    if (*history == '^')
        history++;
    if (*history != 'S')
        return false;
    history += 1 + strcspn(history + 1, "HAFGIQR");
    return *history == 'R';
}

static bool is_quiet(enum fs__endpoint state) {
    return state == FS__INACTIVE || state == FS__PARTIAL;
}

static const char *conn_state(const struct fs__tcp *tcp, const struct fs_flow_info *info) {
    enum fs__endpoint o = endpoint_state(&tcp->side[0]);
    enum fs__endpoint r = endpoint_state(&tcp->side[1]);
    if (r == FS__RESET) {
        bool empty = !info->tcp[0].stream_bytes && !info->tcp[1].stream_bytes;
        if (o == FS__SYN_SENT || o == FS__SYN_ACK_SENT || (o == FS__RESET && empty))
            return "REJ";
        return is_quiet(o) ? "RSTRH" : "RSTR";
    }
    if (o == FS__RESET)
        return !is_quiet(r) ? "RSTO" : is_syn_then_reset(info->history) ? "RSTOS0" : "OTH";
    if (o == FS__CLOSED && r == FS__CLOSED)
        return "SF";
    if (o == FS__CLOSED)
        return is_quiet(r) ? "SH" : "S2";
    if (r == FS__CLOSED)
        return is_quiet(o) ? "SHR" : "S3";
    if (o == FS__SYN_SENT && r == FS__INACTIVE)
        return "S0";
    return o == FS__ESTABLISHED && r == FS__ESTABLISHED ? "S1" : "OTH";
}

static uint64_t handshake_ns(uint32_t us) {
    return us == UINT32_MAX ? FS_NO_TIME : (uint64_t)us * 1000;
}

void fs__tcp_info(const struct fs__tcp *tcp, const struct fs__tcp_more *more, struct fs_flow_info *info) {
    side_info(tcp, more, FS_INITIATOR, &info->tcp[0]);
    side_info(tcp, more, FS_RESPONDER, &info->tcp[1]);
    info->handshake_syn_ns = handshake_ns(more->handshake_us[0]);
    info->handshake_ack_ns = handshake_ns(more->handshake_us[1]);
    info->closed_ns = both_are_over(tcp) ? tcp->side[FS_INITIATOR].timed_ns : FS_NO_TIME;
    history_text(more, info->history);
    const char *name = conn_state(tcp, info);
    memcpy(info->conn_state, name, strlen(name) + 1);
}
