/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a session and its queue of events.
 *
 *      DOWN --handshake completed--> UP --idle, closed, keys worn--> DOWN
 *                                     \--handshake completed: DOWN (peer restarted), UP at once
 *
 * While it is down the initiator's handshake runs by itself. What a session has in flight does not outlive
 * it; received buffers that are out do.
 */
#include "transport/session.h"

#include <sodium.h>
#include <stdalign.h>
#include <string.h>

#include "base/numbers.h"
#include "transport/session_internal.h"

const char *const cw_session_counter_names[CW_SESSION_COUNTER_COUNT] = {CW_SESSION_COUNTERS(CW_COUNTER_NAME)};

static const struct cw_fsm_row session_rows[] = {
    [CW_STATE_DOWN] = {"down", CW_TO(CW_STATE_UP)}, /* waits for a handshake */
    [CW_STATE_UP] = {"up", CW_TO(CW_STATE_DOWN)},
};
static_assert(CW_COUNT_OF(session_rows) == CW_STATE_COUNT, "a row a state");

#define IDLE_DEFAULT_NS (2 * CW_SECOND)

void cw_session_count(struct cw_session *s, uint32_t counter)
{
    cw_count(&s->counters[counter], 1);
}

static void check_path(const struct cw_session_path_config *config)
{
    CW_ASSERT(config->datagram_bytes_max >= CW_DATAGRAM_BYTES_MIN);
    CW_ASSERT(config->datagram_bytes_max <= CW_PACKET_BYTES_MAX);
    CW_ASSERT(cw_is_power_of_two(config->packets_in_flight_max));
    CW_ASSERT(config->packets_in_flight_max >= 4 * CW_IN_FLIGHT_RESERVE);
    CW_ASSERT(config->packets_in_flight_max <= 1u << 24);
}

static void check_config(const struct cw_session_config *config)
{
    CW_ASSERT(config->aead != NULL);
    CW_ASSERT(config->messages_max >= 1);
    CW_ASSERT(config->path_count >= 1);
    CW_ASSERT(config->path_count <= CW_SESSION_PATHS_MAX);
    for (uint32_t i = 0; i < config->path_count; i++)
        check_path(&config->paths[i]);
}

static void carve_sa(struct cw_sa *sa, const struct cw_aead_ops *aead, struct cw_arena *arena)
{
    sa->key_in = cw_arena_take(arena, aead->key_state_size, 64);
    sa->key_in_next = cw_arena_take(arena, aead->key_state_size, 64);
    sa->key_in_last = cw_arena_take(arena, aead->key_state_size, 64);
    sa->key_out = cw_arena_take(arena, aead->key_state_size, 64);
    cw_replay_init(&sa->replay, cw_arena_take(arena, CW_REPLAY_BITS / 8, 64));
}

static void carve_path(struct cw_path *p, const struct cw_session_config *config, uint32_t index,
                       struct cw_arena *arena)
{
    const struct cw_session_path_config *path = &config->paths[index];
    carve_sa(&p->sas[0], config->aead, arena);
    carve_sa(&p->sas[1], config->aead, arena);
    cw_inflight_init(&p->inflight, arena, path->packets_in_flight_max);
    cw_session_rate_init(p, path, arena);
    p->fec = cw_session_fec_carve(path, arena);
}

static void carve(struct cw_session *s, const struct cw_session_config *config, struct cw_arena *arena)
{
    uint32_t events = config->messages_max + CW_EVENTS_OF_STATE, size = 1;
    for (uint32_t c = 0; c < CW_CLASS_COUNT; c++)
        events += config->receive_count[c];
    while (size < events)
        size *= 2;
    s->event_mask = size - 1;
    s->events = cw_arena_take(arena, size * sizeof *s->events, alignof(struct cw_session_event));
    for (uint32_t i = 0; i < config->path_count; i++)
        carve_path(&s->paths[i], config, i, arena);
    cw_send_init(&s->send, arena, config->messages_max);
    cw_receive_init(&s->receive, arena, config->receive_count);
    s->handshake.carry = config->has_certificates ? cw_arena_take(arena, sizeof(struct cw_carry), 64) : NULL;
}

static void begin_handshakes(struct cw_session *s, const struct cw_session_config *config, uint64_t now_ns)
{
    struct cw_handshake_config handshake = {
        .is_initiator = config->is_initiator,
        .local_name = config->local_name,
        .remote_name = config->remote_name,
        .cluster_key = config->cluster_key,
        .carry = s->handshake.carry,
        .seed = config->seed,
        .window = s->receive.window,
        .lane = config->lane,
        .lane_count = config->lane_count,
        .path_count = config->path_count,
    };
    for (uint32_t i = 0; i < config->path_count; i++)
        handshake.paths[i] = (struct cw_path_offer){.name_hash = config->paths[i].name_hash,
                                                    .datagram_bytes = config->paths[i].datagram_bytes_max,
                                                    .fec = cw_session_fec_offer(s->paths[i].fec)};
    cw_handshake_init(&s->handshake, &handshake);
    cw_handshake_start(&s->handshake, now_ns);
}

static void begin_path(struct cw_session *s, uint32_t index, uint64_t now_ns)
{
    struct cw_path *p = &s->paths[index];
    p->session = s;
    p->config = &s->config.paths[index];
    p->index = index;
    p->live = &p->sas[0];
    p->next = &p->sas[1];
    cw_ack_ranges_reset(&p->acks);
    cw_loss_reset(&p->loss);
    cw_pacer_init(&p->pacer, p->config->rate_bytes_per_second, p->config->datagram_bytes_max);
    cw_session_rate_start(p, p->config->datagram_bytes_max, now_ns);
    p->bytes_sent.shift = CW_METER_RATE_SHIFT;
    p->packets_sent.shift = p->packets_lost.shift = CW_METER_LOSS_SHIFT;
}

struct cw_session *cw_session_new(const struct cw_session_config *config, struct cw_arena *arena,
                                  uint64_t now_ns)
{
    struct cw_session measured;
    check_config(config);
    struct cw_session *s = cw_arena_take(arena, sizeof *s, 64);
    carve(s ? s : &measured, config, arena);
    if (!s)
        return NULL;
    s->config = *config;
    sodium_memzero(s->config.cluster_key, sizeof s->config.cluster_key);
    sodium_memzero(s->config.seed, sizeof s->config.seed);
    if (s->config.idle_timeout_ns == 0)
        s->config.idle_timeout_ns = IDLE_DEFAULT_NS;
    cw_fsm_init(&s->fsm, "session", session_rows, CW_COUNT_OF(session_rows));
    cw_fsm_enter(&s->fsm, &s->state, CW_STATE_DOWN);
    s->now_ns = now_ns;
    s->key_blocks_max = CW_KEY_BLOCKS_MAX;
    s->rotate_blocks = CW_KEY_ROTATE_BLOCKS;
    s->rotate_after_ns = CW_KEY_ROTATE_NS;
    s->credit_ns = CW_NEVER;
    for (uint32_t i = 0; i < config->path_count; i++)
        begin_path(s, i, now_ns);
    cw_path_fsm_init(s);
    begin_handshakes(s, config, now_ns);
    return s;
}

bool cw_session_wants_entropy(const struct cw_session *s)
{
    return cw_handshake_wants_seed(&s->handshake);
}

void cw_session_entropy(struct cw_session *s, const uint8_t seed[64])
{
    cw_handshake_seed(&s->handshake, seed);
}

bool cw_session_is_up(const struct cw_session *s)
{
    return s->state == CW_STATE_UP;
}

uint32_t cw_session_other_lanes(const struct cw_session *s)
{
    return s->other_lanes;
}

static void push(struct cw_session *s, const struct cw_session_event *event)
{
    CW_ASSERT(s->event_tail - s->event_head <= s->event_mask && "events are bounded by slots and buffers");
    s->events[s->event_tail++ & s->event_mask] = *event;
}

static void push_state(struct cw_session *s, enum cw_session_event_type type, enum cw_session_down why)
{
    CW_ASSERT(s->state_events < CW_EVENTS_OF_STATE);
    s->state_events++;
    push(s, &(struct cw_session_event){.type = (uint8_t)type, .why = (uint8_t)why});
}

void cw_session_push_received(struct cw_session *s, const struct cw_received *received)
{
    cw_session_count(s, CW_SESSION_MESSAGES_IN);
    push(s, &(struct cw_session_event){.type = CW_SESSION_RECEIVED, .received = *received});
}

void cw_session_push_sent(struct cw_session *s, struct cw_message_out *message, bool delivered)
{
    struct cw_session_event event = {.type = CW_SESSION_SENT, .delivered = delivered, .tag = message->tag};
    event.received.buffer = cw_handle_pack(message->self); /* ours until the event is popped */
    cw_send_finish(&s->send, message);
    push(s, &event);
}

static bool held_event(struct cw_path *p, struct cw_session_event *event)
{
    const struct cw_fixed *fixed = &p->rate.fixed;
    if (!cw_rate_is_fixed(&p->rate) || p->state != CW_PATH_UP || fixed->state == p->told_held)
        return false;
    p->told_held = fixed->state;
    *event = (struct cw_session_event){.type = CW_SESSION_PATH_HELD,
                                       .why = fixed->state,
                                       .path = (uint8_t)p->index,
                                       .amount = fixed->amount,
                                       .retry_ms = (uint32_t)(fixed->hold_ns / CW_MS)};
    return true;
}

/* These take no room in the queue: a path's state is told when it is another than was told last. */
static bool path_event(struct cw_session *s, struct cw_session_event *event)
{
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        struct cw_path *p = &s->paths[i];
        bool is_up = p->state == CW_PATH_UP;
        if (is_up == p->is_told_up && held_event(p, event))
            return true;
        if (p->address.has_moved) {
            p->address.has_moved = false;
            *event = (struct cw_session_event){
                .type = CW_SESSION_PATH_MOVED, .path = (uint8_t)i, .tag = p->address.present};
            return true;
        }
        if (is_up == p->is_told_up)
            continue;
        p->is_told_up = is_up;
        *event = (struct cw_session_event){.type = is_up ? CW_SESSION_PATH_UP : CW_SESSION_PATH_DOWN,
                                           .why = is_up ? (uint8_t)CW_PATH_DOWN_NONE : p->down_why,
                                           .path = (uint8_t)i};
        return true;
    }
    return false;
}

bool cw_session_event(struct cw_session *s, struct cw_session_event *event)
{
    if (s->event_head == s->event_tail)
        return path_event(s, event);
    *event = s->events[s->event_head++ & s->event_mask];
    if (event->type == CW_SESSION_SENT) {
        cw_send_free(&s->send, event->received.buffer);
        event->received.buffer = 0;
    } else if (event->type != CW_SESSION_RECEIVED) {
        s->state_events--;
    }
    return true;
}

static void expand_next(struct cw_session *s, uint8_t chain[CW_KEY_SIZE], void *state)
{
    uint8_t key[CW_KEY_SIZE];
    cw_keys_next(chain, key);
    s->config.aead->key_expand(state, key);
    sodium_memzero(key, sizeof key);
}

static void sa_prepare(struct cw_path *p)
{
    struct cw_session *s = p->session;
    const struct cw_handshake *h = &s->handshake;
    struct cw_sa *sa = p->next;
    bool initiator = s->config.is_initiator;
    uint32_t theirs = cw_offer_match(&h->own_offer, p->index, &h->peer);
    cw_session_forget_sa(p, sa);
    sa->is_ready = theirs != CW_OFFER_NO_PATH;
    if (!sa->is_ready)
        return;
    const struct cw_path_offer *own = &h->own_offer.paths[p->index], *peer = &h->peer.paths[theirs];
    sa->number = (uint8_t)(initiator ? p->index : theirs);
    const struct cw_path_keys *keys = &h->keys.paths[sa->number];
    sa->spi_in = own->spi;
    sa->spi_out = peer->spi;
    sa->next_iv = sa->first_iv = 1;
    sa->blocks_in = sa->blocks_out = 0;
    sa->datagram_bytes = CW_MIN(own->datagram_bytes, peer->datagram_bytes);
    sa->window = h->peer.window;
    sa->fec_peer = peer->fec;
    sa->has_fec = cw_session_fec_agreed(p->fec, peer->fec);
    sa->data_bytes_max = sa->datagram_bytes - CW_PACKET_OVERHEAD - (sa->has_fec ? CW_FEC_HEAD_SIZE : 0);
    cw_replay_reset(&sa->replay);
    s->config.aead->key_expand(sa->key_out, initiator ? keys->from_initiator : keys->from_responder);
    s->config.aead->key_expand(sa->key_in, initiator ? keys->from_responder : keys->from_initiator);
    memcpy(sa->chain_out, initiator ? keys->chain_from_initiator : keys->chain_from_responder, CW_KEY_SIZE);
    memcpy(sa->chain_in, initiator ? keys->chain_from_responder : keys->chain_from_initiator, CW_KEY_SIZE);
    expand_next(s, sa->chain_in, sa->key_in_next);
}

void cw_session_sa_prepare(struct cw_session *s)
{
    for (uint32_t i = 0; i < s->config.path_count; i++)
        sa_prepare(&s->paths[i]);
    cw_handshake_forget_keys(&s->handshake);
}

void cw_session_sa_rotate(struct cw_path *p, uint64_t now_ns)
{
    struct cw_session *s = p->session;
    struct cw_sa *sa = p->live;
    expand_next(s, sa->chain_out, sa->key_out);
    sa->spi_out = cw_spi_after(sa->spi_out);
    sa->blocks_out = 0;
    sa->first_iv = sa->next_iv;
    sa->rotate_ns = now_ns + s->rotate_after_ns;
    cw_path_count(p, CW_SESSION_KEYS_ROTATED);
}

void cw_session_sa_follow(struct cw_path *p, uint64_t now_ns)
{
    struct cw_session *s = p->session;
    struct cw_sa *sa = p->live;
    void *forgotten = sa->key_in_last;
    sa->key_in_last = sa->key_in;
    sa->key_in = sa->key_in_next;
    sa->key_in_next = forgotten;
    expand_next(s, sa->chain_in, sa->key_in_next);
    sa->spi_in = cw_spi_after(sa->spi_in);
    sa->blocks_in = 0;
    sa->last_until_ns = now_ns + CW_KEY_KEPT_PROBES * cw_loss_probe_wait_ns(&p->loss);
    s->handshake.spi_avoid[p->index] = sa->spi_in;
    cw_path_count(p, CW_SESSION_KEYS_FOLLOWED);
}

bool cw_session_may_go_up(const struct cw_session *s)
{
    return s->state_events + 4 <= CW_EVENTS_OF_STATE; /* DOWN, UP now and DOWN later always fit */
}

/* The two change places. */
static void path_take_sa(struct cw_path *p, uint64_t now_ns)
{
    struct cw_sa *sa = p->next;
    p->next = p->live;
    p->next->is_ready = false;
    cw_session_forget_sa(p, p->next);
    p->live = sa;
    sa->rotate_ns = now_ns + p->session->rotate_after_ns;
    p->close_due = false; /* the keys it would need are gone */
    if (!sa->is_ready)
        return;
    p->session->handshake.spi_avoid[p->index] = sa->spi_in;
    p->session->numbered[sa->number] = p;
}

/* Of fragments on the path of the smallest datagrams, so that every path holds a unit. */
static uint32_t unit_bytes_of(const struct cw_session *s)
{
    uint32_t bytes = UINT32_MAX;
    for (uint32_t i = 0; i < s->config.path_count; i++)
        if (s->paths[i].live->is_ready)
            bytes = CW_MIN(bytes, s->paths[i].live->data_bytes_max - CW_FRAME_DATA_SIZE);
    return cw_unit_bytes(bytes);
}

void cw_session_go_up(struct cw_session *s, struct cw_path *first, uint64_t now_ns)
{
    CW_ASSERT(first->next->is_ready);
    if (s->state == CW_STATE_UP)
        cw_session_go_down(s, CW_DOWN_PEER_RESTARTED, now_ns);
    memset(s->numbered, 0, sizeof s->numbered);
    for (uint32_t i = 0; i < s->config.path_count; i++)
        path_take_sa(&s->paths[i], now_ns);
    uint32_t unit_bytes = unit_bytes_of(s);
    s->attempt_live = s->handshake.attempt;
    s->attempt_due = s->config.has_certificates;
    cw_fsm_move(&s->fsm, &s->state, CW_STATE_UP);
    s->live_before = cw_session_live_count(s);
    cw_send_open(&s->send, unit_bytes, first->live->window);
    cw_receive_open(&s->receive, unit_bytes);
    for (uint32_t i = 0; i < s->config.path_count; i++)
        if (s->paths[i].live->is_ready)
            cw_path_open(&s->paths[i], &s->paths[i] == first, unit_bytes, now_ns);
    s->credit_ns = now_ns;
    s->heard_ns = now_ns;
    s->other_lanes = 0;
    cw_session_count(s, CW_SESSION_HANDSHAKES);
    push_state(s, CW_SESSION_UP, CW_DOWN_NONE);
}

void cw_session_go_down(struct cw_session *s, enum cw_session_down why, uint64_t now_ns)
{
    cw_fsm_move(&s->fsm, &s->state, CW_STATE_DOWN);
    cw_session_count(s, CW_SESSION_DOWNS);
    push_state(s, CW_SESSION_DOWN, why);
    for (struct cw_message_out *message; (message = cw_send_any(&s->send)) != NULL;)
        cw_session_push_sent(s, message, false);
    cw_receive_close(&s->receive);
    bool tells = why != CW_DOWN_CLOSED_BY_PEER && why != CW_DOWN_PEER_RESTARTED && why != CW_DOWN_REWOUND;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        struct cw_path *p = &s->paths[i];
        p->close_due = tells && p->state == CW_PATH_UP;
        if (p->close_due)
            cw_session_forget_all_but_out(p, p->live);
        else
            cw_session_forget_sa(p, p->live);
        if (!p->close_due && why != CW_DOWN_PEER_RESTARTED) /* whose handshake came from where he was */
            cw_address_reset(&p->address);
        cw_path_close(p, now_ns);
    }
    s->credit_ns = CW_NEVER;
    s->close_why = (uint8_t)why;
    cw_handshake_start(&s->handshake, now_ns);
}

void cw_session_close(struct cw_session *s, uint64_t now_ns)
{
    s->now_ns = CW_MAX(s->now_ns, now_ns);
    if (s->state == CW_STATE_UP)
        cw_session_go_down(s, CW_DOWN_LOCAL, s->now_ns);
}

void cw_session_start_over(struct cw_session *s, uint64_t now_ns)
{
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    cw_handshake_start_over(&s->handshake);
    cw_session_forget_unproved(s);
    if (s->state == CW_STATE_UP)
        cw_session_go_down(s, CW_DOWN_REWOUND, now_ns);
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        s->paths[i].close_due = false;
        cw_session_forget_sa(&s->paths[i], s->paths[i].live);
    }
}

bool cw_session_can_send(const struct cw_session *s, enum cw_stream stream, uint32_t body_length)
{
    return s->state == CW_STATE_UP && cw_send_can(&s->send, (uint8_t)stream, body_length);
}

enum cw_status cw_session_send(struct cw_session *s, enum cw_stream stream, const uint8_t *head,
                               uint32_t head_length, const uint8_t *body, uint32_t body_length, uint64_t tag)
{
    CW_ASSERT(stream < CW_STREAM_COUNT);
    CW_ASSERT(head_length >= 1);
    CW_ASSERT(head_length <= CW_MESSAGE_HEAD_MAX);
    CW_ASSERT(body_length <= CW_RECORD_PAYLOAD_MAX);
    if (s->state != CW_STATE_UP)
        return CW_SHUTDOWN;
    if (!cw_send_can(&s->send, (uint8_t)stream, body_length))
        return CW_AGAIN;
    cw_send_put(&s->send, (uint8_t)stream, head, head_length, body, body_length, tag);
    cw_session_count(s, CW_SESSION_MESSAGES_OUT);
    return CW_OK;
}

/* ---- certificates ---- */

static_assert((int)CW_SESSION_REFUSED_BROKEN - (int)CW_SESSION_REFUSED_NO_CERTIFICATE ==
                  (int)CW_AUTH_BROKEN - (int)CW_AUTH_NO_CERTIFICATE,
              "a counter for each reason, in the same order");
static_assert((int)CW_AUTH_NO_CERTIFICATE == 1 && (int)CW_AUTH_BROKEN == (int)CW_AUTH_REASON_COUNT - 1,
              "and for none but these");

static void count_refusal(struct cw_session *s, uint8_t reason)
{
    CW_ASSERT(reason > CW_AUTH_NO_REASON);
    CW_ASSERT(reason < CW_AUTH_REASON_COUNT);
    cw_session_count(s, CW_SESSION_REFUSED_NO_CERTIFICATE + reason - CW_AUTH_NO_CERTIFICATE);
}

bool cw_session_auth_request(struct cw_session *s, struct cw_auth_request *request)
{
    if (!s->attempt_due)
        return cw_handshake_auth_request(&s->handshake, request);
    s->attempt_due = false;
    *request = (struct cw_auth_request){.type = CW_AUTH_UP, .attempt = s->attempt_live};
    return true;
}

struct cw_path *cw_session_first_path(struct cw_session *s)
{
    uint32_t first = s->handshake.path;
    while (!s->paths[first].next->is_ready)
        first = (first + 1) % s->config.path_count;
    return &s->paths[first];
}

void cw_session_auth_answer(struct cw_session *s, const struct cw_auth_answer *answer, uint64_t now_ns)
{
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    if (answer->type == CW_AUTH_ENDED && answer->attempt == s->attempt_live && s->state == CW_STATE_UP) {
        count_refusal(s, answer->reason);
        cw_session_go_down(s, CW_DOWN_UNTRUSTED, now_ns);
        return;
    }
    switch (cw_handshake_auth_answer(&s->handshake, answer, now_ns)) {
    case CW_HANDSHAKE_REFUSED:
        count_refusal(s, s->handshake.refusal);
        break;
    case CW_HANDSHAKE_KEYED:
        cw_session_sa_prepare(s);
        if (cw_session_may_go_up(s) && cw_handshake_early(&s->handshake) == CW_HANDSHAKE_COMPLETED)
            cw_session_go_up(s, cw_session_first_path(s), now_ns);
        break;
    default:
        break; /* of an attempt that is over, or bytes to be sent */
    }
    cw_session_forget_unproved(s);
}

uint64_t cw_session_live_count(const struct cw_session *s)
{
    return s->live_before + s->send.streams[CW_STREAM_LIVE].next_number;
}

uint64_t cw_session_live_left(const struct cw_session *s)
{
    uint64_t left = cw_send_left(&s->send, CW_STREAM_LIVE);
    for (uint32_t i = 0; i < s->config.path_count; i++)
        left = cw_session_fec_live_left(&s->paths[i], left);
    return s->live_before + left;
}

void cw_session_credit_look(struct cw_session *s, uint64_t delay_ns)
{
    if (s->credit_ns == CW_NEVER && s->state == CW_STATE_UP && cw_receive_credit_is_due(&s->receive))
        s->credit_ns = s->now_ns + delay_ns;
}

void cw_session_release(struct cw_session *s, uint64_t buffer)
{
    if (!cw_receive_release(&s->receive, buffer)) {
        cw_session_count(s, CW_SESSION_STALE_RELEASES);
        return;
    }
    cw_session_credit_look(s, CW_ACK_DELAY_NS);
}

void cw_session_receive_memory(const struct cw_session *s, void **memory, size_t *length)
{
    *memory = s->receive.memory;
    *length = s->receive.memory_length;
}

void cw_session_path_stats(struct cw_session *s, uint32_t path, struct cw_session_path_stats *stats)
{
    CW_ASSERT(path < s->config.path_count);
    struct cw_path *p = &s->paths[path];
    uint64_t sent = cw_meter_sum(&p->packets_sent, s->now_ns),
             lost = cw_meter_sum(&p->packets_lost, s->now_ns);
    *stats = (struct cw_session_path_stats){
        .is_at_both = s->state != CW_STATE_UP || p->live->is_ready,
        .is_up = p->state == CW_PATH_UP,
        .address = p->address.present,
        .state_name = cw_fsm_state_name(&s->path_fsm, p->state),
        .rtt_ns_smoothed = p->loss.rtt_ns_smoothed,
        .rtt_ns_min = p->loss.rtt_ns_min == CW_NEVER ? 0 : p->loss.rtt_ns_min,
        .rtt_ns_latest = p->loss.rtt_ns_latest,
        .rate_bytes_per_second = cw_meter_sum(&p->bytes_sent, s->now_ns) * 1000 /
                                 (CW_METER_BUCKETS * (1ull << CW_METER_RATE_SHIFT) / CW_MS),
        .loss = sent ? (double)CW_MIN(lost, sent) / (double)sent : 0,
        .packets_in_flight = p->inflight.outstanding_count,
        .datagram_bytes = p->state == CW_PATH_UP ? cw_pmtu_bytes(&p->pmtu) : 0,
        .bytes_in_flight = p->rate.path.in_flight,
        .pacing_bytes_per_second = cw_rate_pacing(&p->rate),
        .window_bytes = cw_rate_window(&p->rate),
        .rate_name = cw_rate_kind_name(p->config->rate_kind),
        .rate_state = cw_rate_state_name(&p->rate),
    };
    if (cw_rate_is_fixed(&p->rate) && cw_fixed_is_held(&p->rate.fixed)) {
        stats->held = p->rate.fixed.state;
        stats->held_amount = p->rate.fixed.amount;
        stats->held_left_ns = cw_fixed_retry_ns(&p->rate.fixed);
        stats->held_left_ns -= CW_MIN(stats->held_left_ns, s->now_ns);
    }
    for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++)
        stats->counters[i] = cw_counter_read(&p->counters[i]);
    cw_session_fec_stats(p, stats->counters);
}

void cw_session_stats(struct cw_session *s, struct cw_session_stats *stats)
{
    *stats = (struct cw_session_stats){.messages_in_flight = s->send.open_count};
    for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++)
        stats->counters[i] = cw_counter_read(&s->counters[i]);
    for (uint32_t path = 0; path < s->config.path_count; path++) {
        uint64_t counters[CW_SESSION_COUNTER_COUNT];
        for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++)
            counters[i] = cw_counter_read(&s->paths[path].counters[i]);
        cw_session_fec_stats(&s->paths[path], counters);
        for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++)
            stats->counters[i] += counters[i];
    }
}
