/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/numbers.h"
#include "io/aead.h"

/* ---- every nonce ever used -------------------------------------------------------------------------- */

#define KEY_NAME_SIZE 64u /* keeps the inner state aligned */

static struct {
    uint64_t *names; /* open addressing; 0 is free */
    size_t room, count;
} nonces;

static uint64_t mix(uint64_t a, uint64_t b)
{
    struct cw_rng rng = {a ^ (b * 0x9e3779b97f4a7c15ull)};
    return cw_rng_next(&rng);
}

static bool nonce_add(uint64_t name)
{
    if (2 * nonces.count >= nonces.room) {
        uint64_t *old = nonces.names;
        size_t old_room = nonces.room;
        nonces.room = CW_MAX(2 * nonces.room, 1u << 16);
        nonces.names = calloc(nonces.room, sizeof *nonces.names);
        nonces.count = 0;
        CW_ASSERT(nonces.names != NULL);
        for (size_t i = 0; i < old_room; i++)
            if (old[i])
                nonce_add(old[i]);
        free(old);
    }
    name = name ? name : 1;
    size_t i = name & (nonces.room - 1);
    while (nonces.names[i] && nonces.names[i] != name)
        i = (i + 1) & (nonces.room - 1);
    if (nonces.names[i] == name)
        return false;
    nonces.names[i] = name;
    nonces.count++;
    return true;
}

/* Another pair of the same seed derives the same keys. */
static void nonces_forget(void)
{
    if (nonces.count > 0)
        memset(nonces.names, 0, nonces.room * sizeof *nonces.names);
    nonces.count = 0;
}

static void aead_expand(void *state, const uint8_t key[32])
{
    uint64_t name = 0;
    for (int i = 0; i < 4; i++)
        name = mix(name, cw_load64le(key + 8 * i));
    memcpy(state, &name, sizeof name);
    cw_aead_openssl()->key_expand((uint8_t *)state + KEY_NAME_SIZE, key);
}

static void aead_seal(const void *state, uint8_t *cipher, const uint8_t *plain, size_t length,
                      const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    uint64_t name;
    memcpy(&name, state, sizeof name);
    name = mix(mix(name, cw_load32le(iv)), cw_load64le(iv + 4));
    CW_ASSERT(nonce_add(name) && "no nonce is used twice under a key");
    cw_aead_openssl()->seal((const uint8_t *)state + KEY_NAME_SIZE, cipher, plain, length, iv, aad,
                            aad_length, tag);
}

static bool aead_open(const void *state, uint8_t *plain, const uint8_t *cipher, size_t length,
                      const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    return cw_aead_openssl()->open((const uint8_t *)state + KEY_NAME_SIZE, plain, cipher, length, iv, aad,
                                   aad_length, tag);
}

const struct cw_aead_ops *cw_pair_aead(void)
{
    static struct cw_aead_ops ops = {"watched", 0, aead_expand, aead_seal, aead_open};
    ops.key_state_size = KEY_NAME_SIZE + cw_aead_openssl()->key_state_size;
    return &ops;
}

/* ---- building ---------------------------------------------------------------------------------------- */

static void random_bytes(struct cw_rng *rng, uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)cw_rng_next(rng);
}

void cw_pair_defaults(struct cw_session_config *initiator, struct cw_session_config *responder, uint64_t seed)
{
    struct cw_rng rng = {seed};
    *initiator = (struct cw_session_config){
        .is_initiator = true,
        .local_name = "east",
        .remote_name = "west",
        .aead = cw_pair_aead(),
        .path_count = 1,
        .paths = {{.datagram_bytes_max = 1472, .packets_in_flight_max = 256}},
        .messages_max = 64,
        .receive_count = {32, 8, 4},
        .idle_timeout_ns = 2 * CW_SECOND,
    };
    random_bytes(&rng, initiator->cluster_key, sizeof initiator->cluster_key);
    *responder = *initiator;
    responder->is_initiator = false;
    memcpy(responder->local_name, "west", 5);
    memcpy(responder->remote_name, "east", 5);
    random_bytes(&rng, initiator->seed, sizeof initiator->seed);
    random_bytes(&rng, responder->seed, sizeof responder->seed);
}

static void make_session(struct cw_pair *pair, int side)
{
    struct cw_pair_side *s = &pair->sides[side];
    struct cw_arena arena;
    cw_arena_measure(&arena);
    CW_ASSERT(cw_session_new(&s->config, &arena, pair->now_ns) == NULL);
    s->memory_size = cw_round_up(arena.used, 4096);
    s->memory = aligned_alloc(4096, s->memory_size);
    CW_ASSERT(s->memory != NULL);
    cw_arena_init(&arena, s->memory, s->memory_size);
    s->session = cw_session_new(&s->config, &arena, pair->now_ns);
    cw_arena_seal(&arena);
}

static void draw_link(struct cw_link_config *link, struct cw_rng *rng)
{
    *link = (struct cw_link_config){.delay_ns = cw_rng_below(rng, 20 * CW_MS)};
    if (cw_rng_below(rng, 2))
        link->rate_bytes_per_second = 1000000 + cw_rng_below(rng, 100000000);
    if (link->rate_bytes_per_second && cw_rng_below(rng, 2))
        link->queue_ns = CW_MS + cw_rng_below(rng, 50 * CW_MS);
    if (cw_rng_below(rng, 2))
        link->loss_per_million = (uint32_t)cw_rng_below(rng, 200000);
    if (cw_rng_below(rng, 3) == 0) {
        link->burst_per_million = (uint32_t)cw_rng_below(rng, 5000);
        link->burst_length = 1 + (uint32_t)cw_rng_below(rng, 50);
    }
    if (cw_rng_below(rng, 2))
        link->jitter_ns = cw_rng_below(rng, 5 * CW_MS);
    if (cw_rng_below(rng, 2))
        link->duplicate_per_million = (uint32_t)cw_rng_below(rng, 300000);
    if (cw_rng_below(rng, 2)) {
        link->late_per_million = (uint32_t)cw_rng_below(rng, 100000);
        link->late_ns = cw_rng_below(rng, 30 * CW_MS);
    }
    if (cw_rng_below(rng, 3) == 0)
        link->corrupt_per_million = (uint32_t)cw_rng_below(rng, 50000);
    if (cw_rng_below(rng, 3) == 0)
        link->truncate_per_million = (uint32_t)cw_rng_below(rng, 50000);
}

void cw_pair_adversary(struct cw_session_config *initiator, struct cw_session_config *responder,
                       struct cw_link_config *link, struct cw_rng *rng, uint64_t seed)
{
    draw_link(link, rng);
    cw_pair_defaults(initiator, responder, seed);
    initiator->idle_timeout_ns = responder->idle_timeout_ns = 30 * CW_SECOND; /* it is not about that */
    if (cw_rng_below(rng, 2))
        initiator->paths[0].datagram_bytes_max = 512 + (uint32_t)cw_rng_below(rng, 8500);
    if (cw_rng_below(rng, 2))
        responder->paths[0].rate_bytes_per_second = 1000000 + cw_rng_below(rng, 100000000);
    initiator->paths[0].packets_in_flight_max = 16u << cw_rng_below(rng, 6);
    initiator->paths[0].rate_kind = (enum cw_rate_kind)cw_rng_below(rng, CW_RATE_KIND_COUNT);
    responder->paths[0].rate_kind = (enum cw_rate_kind)cw_rng_below(rng, CW_RATE_KIND_COUNT);
}

void cw_pair_init(struct cw_pair *pair, const struct cw_session_config *initiator,
                  const struct cw_session_config *responder, const struct cw_link_config *link, uint64_t seed)
{
    *pair = (struct cw_pair){.rng = {seed}};
    nonces_forget();
    pair->now_ns = cw_rng_below(&pair->rng, 1000 * CW_SECOND);
    for (int i = 0; i < 2; i++) {
        struct cw_pair_side *s = &pair->sides[i];
        s->config = i == 0 ? *initiator : *responder;
        s->has_entropy = true;
        s->rng.state = cw_rng_next(&pair->rng);
        for (uint32_t path = 0; path < s->config.path_count; path++) {
            cw_link_init(&s->out[path], link, cw_rng_next(&pair->rng));
            pair->leads_to[i][path] = path;
        }
        make_session(pair, i);
    }
}

static void end_session(struct cw_pair *pair, int side)
{
    struct cw_pair_side *s = &pair->sides[side];
    for (uint32_t i = 0; i < s->sent_count; i++) {
        struct cw_pair_message *m = &s->messages[i];
        if (m->state == CW_PAIR_OPEN) {
            m->state = CW_PAIR_GIVEN_BACK; /* its process died */
            s->finished_count++;
        }
        free(m->body);
        m->body = NULL;
    }
    s->held_count = 0;
    free(s->memory);
}

void cw_pair_fini(struct cw_pair *pair)
{
    for (int i = 0; i < 2; i++) {
        end_session(pair, i);
        for (uint32_t path = 0; path < pair->sides[i].config.path_count; path++)
            cw_link_fini(&pair->sides[i].out[path]);
    }
}

void cw_pair_restart(struct cw_pair *pair, int side)
{
    struct cw_pair_side *s = &pair->sides[side];
    end_session(pair, side);
    random_bytes(&s->rng, s->config.seed, sizeof s->config.seed);
    memset(s->is_path_up, 0, sizeof s->is_path_up);
    make_session(pair, side);
}

/* ---- messages ---------------------------------------------------------------------------------------- */

static uint8_t pattern(uint32_t id, int side, uint32_t i)
{
    return (uint8_t)((id * 31 + 7 * (uint32_t)side + 1) * (i + 13) >> 3);
}

static void fill_head(uint8_t *head, uint32_t length, uint32_t id, int side)
{
    for (uint32_t i = 0; i < length; i++)
        head[i] = pattern(~id, side, i);
    cw_store32le(head, id);
}

bool cw_pair_send(struct cw_pair *pair, int side, enum cw_stream stream, uint32_t head_length,
                  uint32_t body_length)
{
    struct cw_pair_side *s = &pair->sides[side];
    uint8_t head[CW_MESSAGE_HEAD_MAX];
    CW_ASSERT(head_length >= 4);
    if (s->sent_count == CW_PAIR_MESSAGES)
        return false;
    bool can = cw_session_can_send(s->session, stream, body_length);
    uint32_t id = s->sent_count;
    uint8_t *body = body_length ? malloc(body_length) : NULL;
    for (uint32_t i = 0; i < body_length; i++)
        body[i] = pattern(id, side, i);
    fill_head(head, head_length, id, side);
    enum cw_status status = cw_session_send(s->session, stream, head, head_length, body, body_length, id);
    CW_ASSERT((status == CW_OK) == can && "can_send tells the truth");
    if (status != CW_OK) {
        free(body);
        return false;
    }
    s->messages[s->sent_count++] = (struct cw_pair_message){.state = CW_PAIR_OPEN,
                                                            .stream = (uint8_t)stream,
                                                            .head_length = head_length,
                                                            .body_length = body_length,
                                                            .body = body,
                                                            .sent_ns = pair->now_ns};
    return true;
}

static void release_one(struct cw_pair_side *s)
{
    uint32_t i = (uint32_t)cw_rng_below(&s->rng, s->held_count);
    cw_session_release(s->session, s->held[i]);
    s->held[i] = s->held[--s->held_count];
}

void cw_pair_release_all(struct cw_pair *pair, int side)
{
    while (pair->sides[side].held_count > 0)
        release_one(&pair->sides[side]);
}

static void check_bytes(const struct cw_received *r, const struct cw_pair_message *m, uint32_t id, int from)
{
    uint8_t head[CW_MESSAGE_HEAD_MAX];
    CW_ASSERT(r->stream == m->stream);
    CW_ASSERT(r->head_length == m->head_length);
    CW_ASSERT(r->body_length == m->body_length);
    CW_ASSERT(((uintptr_t)r->body & 4095) == 0);
    fill_head(head, r->head_length, id, from);
    CW_ASSERT(memcmp(head, r->head, r->head_length) == 0);
    for (uint32_t i = 0; i < r->body_length; i++)
        CW_ASSERT(r->body[i] == pattern(id, from, i));
}

static void on_received(struct cw_pair *pair, int side, const struct cw_received *r)
{
    struct cw_pair_side *s = &pair->sides[side], *from = &pair->sides[!side];
    uint32_t id = cw_load32le(r->head);
    CW_ASSERT(id < from->sent_count);
    CW_ASSERT(cw_session_is_up(s->session) || s->is_deaf || s->downs < s->ups);
    struct cw_pair_message *m = &from->messages[id];
    check_bytes(r, m, id, !side);
    CW_ASSERT(m->arrived == 0 && "exactly once");
    m->arrived++;
    m->arrived_ns = pair->now_ns;
    s->arrived_count++;
    CW_ASSERT(s->held_count < CW_COUNT_OF(s->held));
    s->held[s->held_count++] = r->buffer;
    while (s->held_count > 0 && (!s->hold_buffers || cw_rng_chance(&s->rng, 700000)))
        release_one(s);
}

static void on_sent(struct cw_pair *pair, int side, const struct cw_session_event *event)
{
    struct cw_pair_side *s = &pair->sides[side];
    CW_ASSERT(event->tag < s->sent_count);
    struct cw_pair_message *m = &s->messages[event->tag];
    CW_ASSERT(m->state == CW_PAIR_OPEN && "one SENT a message");
    CW_ASSERT(!event->delivered || m->arrived == 1 || pair->sides[!side].is_deaf);
    m->state = event->delivered ? CW_PAIR_DELIVERED : CW_PAIR_GIVEN_BACK;
    free(m->body);
    m->body = NULL;
    s->finished_count++;
}

static void on_path(struct cw_pair_side *s, const struct cw_session_event *event)
{
    bool is_up = event->type == CW_SESSION_PATH_UP;
    CW_ASSERT(event->path < s->config.path_count);
    CW_ASSERT(s->is_path_up[event->path] != is_up && "only what changed is told");
    CW_ASSERT(cw_session_is_up(s->session));
    CW_ASSERT((event->why == CW_PATH_DOWN_NONE) == is_up);
    s->is_path_up[event->path] = is_up;
    s->path_ups[event->path] += is_up;
    s->path_downs[event->path] += !is_up;
}

static void on_event(struct cw_pair *pair, int side, const struct cw_session_event *event)
{
    struct cw_pair_side *s = &pair->sides[side];
    switch (event->type) {
    case CW_SESSION_UP:
        s->ups++;
        break;
    case CW_SESSION_DOWN:
        s->downs++;
        s->last_why = event->why;
        memset(s->is_path_up, 0, sizeof s->is_path_up);
        CW_ASSERT(event->why > CW_DOWN_NONE);
        CW_ASSERT(event->why < CW_DOWN_COUNT);
        break;
    case CW_SESSION_RECEIVED:
        on_received(pair, side, &event->received);
        break;
    case CW_SESSION_PATH_UP:
    case CW_SESSION_PATH_DOWN:
        on_path(s, event);
        break;
    case CW_SESSION_PATH_HELD:
        CW_ASSERT(s->is_path_up[event->path]);
        break;
    case CW_SESSION_PATH_MOVED:
        pair->moves[side]++;
        break;
    default:
        CW_ASSERT(event->type == CW_SESSION_SENT);
        on_sent(pair, side, event);
    }
}

/* ---- time -------------------------------------------------------------------------------------------- */

/* Receivers first: so a message has been seen to arrive before its SENT event is looked at. */
static void drain_events(struct cw_pair *pair, int side)
{
    struct cw_session_event event;
    while (!pair->sides[side].is_deaf && cw_session_event(pair->sides[side].session, &event))
        on_event(pair, side, &event);
}

#define ADDRESSES_BYTES 16u /* before a datagram on its way: from where, to where */

static void deliver_addressed(struct cw_pair *pair, int to, uint32_t path, uint8_t *bytes, size_t length)
{
    struct cw_pair_side *s = &pair->sides[to];
    uint64_t from = cw_load64le(bytes), target = cw_load64le(bytes + 8);
    if (target == s->address || target == s->also)
        cw_session_on_datagram_from(s->session, pair->leads_to[!to][path], from, false,
                                    bytes + ADDRESSES_BYTES, length - ADDRESSES_BYTES, pair->now_ns);
    else if (pair->stray)
        pair->stray(pair, !to, target, bytes + ADDRESSES_BYTES, length - ADDRESSES_BYTES);
}

static void push_addressed(struct cw_pair *pair, int from, uint32_t path, const uint8_t *bytes, size_t length)
{
    static uint8_t all[65536 + ADDRESSES_BYTES];
    struct cw_pair_side *s = &pair->sides[from];
    cw_store64le(all, s->address);
    cw_store64le(all + 8, cw_session_goes_to(s->session, path));
    memcpy(all + ADDRESSES_BYTES, bytes, length);
    cw_link_push(&s->out[path], all, length + ADDRESSES_BYTES, pair->now_ns);
}

static void deliver(struct cw_pair *pair, int to, uint32_t path)
{
    static uint8_t bytes[65536 + ADDRESSES_BYTES];
    size_t length;
    while ((length = cw_link_pop(&pair->sides[!to].out[path], bytes, pair->now_ns)) != SIZE_MAX) {
        if (pair->has_addresses)
            deliver_addressed(pair, to, path, bytes, length);
        else
            cw_session_on_datagram(pair->sides[to].session, pair->leads_to[!to][path], bytes, length,
                                   pair->now_ns);
        drain_events(pair, to);
    }
}

static void transmit(struct cw_pair *pair, int from, uint32_t path)
{
    static uint8_t bytes[65536];
    struct cw_pair_side *s = &pair->sides[from];
    struct cw_session_path_stats stats;
    size_t length;
    while ((length = cw_session_transmit(s->session, path, bytes, pair->now_ns)) > 0) {
        CW_ASSERT(length <= s->config.paths[path].datagram_bytes_max);
        pair->tap_path = path;
        if (pair->tap)
            pair->tap(pair, from, bytes, length);
        if (pair->has_addresses)
            push_addressed(pair, from, path, bytes, length);
        else
            cw_link_push(&s->out[path], bytes, length, pair->now_ns);
    }
    cw_session_path_stats(s->session, path, &stats);
    CW_ASSERT(stats.packets_in_flight <= s->config.paths[path].packets_in_flight_max);
}

static void turn(struct cw_pair *pair, int side)
{
    struct cw_pair_side *s = &pair->sides[side];
    uint8_t seed[64];
    if (s->is_asleep)
        return;
    if (s->has_entropy && cw_session_wants_entropy(s->session)) {
        random_bytes(&s->rng, seed, sizeof seed);
        cw_session_entropy(s->session, seed);
    }
    for (uint32_t path = 0; path < pair->sides[!side].config.path_count; path++)
        deliver(pair, side, path);
    if (cw_session_deadline_ns(s->session) <= pair->now_ns)
        cw_session_on_time(s->session, pair->now_ns);
    if (pair->authenticate)
        pair->authenticate(pair, side);
    drain_events(pair, side);
    for (uint32_t path = 0; path < s->config.path_count; path++)
        transmit(pair, side, path);
    struct cw_session_stats stats;
    cw_session_stats(s->session, &stats);
    CW_ASSERT(stats.messages_in_flight <= s->config.messages_max);
}

static uint64_t next_ns(const struct cw_pair *pair)
{
    uint64_t at_ns = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        if (pair->sides[i].is_asleep)
            continue;
        for (uint32_t path = 0; path < pair->sides[!i].config.path_count; path++)
            at_ns = CW_MIN(at_ns, cw_link_next_ns(&pair->sides[!i].out[path]));
        at_ns = CW_MIN(at_ns, cw_session_deadline_ns(pair->sides[i].session));
    }
    return at_ns;
}

bool cw_pair_run(struct cw_pair *pair, uint64_t until_ns, bool (*done)(struct cw_pair *pair))
{
    uint32_t standing = 0;
    for (;;) {
        turn(pair, 0);
        turn(pair, 1);
        if (done && done(pair))
            return true;
        uint64_t at_ns = next_ns(pair);
        standing = at_ns <= pair->now_ns ? standing + 1 : 0;
        CW_ASSERT(standing < 1000 && "a deadline that has passed is served");
        if (at_ns > until_ns)
            break;
        pair->now_ns = CW_MAX(pair->now_ns, at_ns);
    }
    pair->now_ns = CW_MAX(pair->now_ns, until_ns);
    return done == NULL;
}

bool cw_pair_is_up(struct cw_pair *pair)
{
    return cw_session_is_up(pair->sides[0].session) && cw_session_is_up(pair->sides[1].session);
}

bool cw_pair_is_finished(struct cw_pair *pair)
{
    for (int i = 0; i < 2; i++)
        if (pair->sides[i].finished_count < pair->sides[i].sent_count)
            return false;
    return true;
}

uint64_t cw_pair_counter(struct cw_pair *pair, int side, uint32_t counter)
{
    struct cw_session_stats stats;
    cw_session_stats(pair->sides[side].session, &stats);
    return stats.counters[counter];
}
