/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real sessions of transport/, one a peer, over datagrams that get lost, doubled, changed and overtaken.
 * The seal is a toy (a keyed hash), for speed: sealing is tested elsewhere, here it must only tell changed
 * bytes. Receive buffers stay with the group until it releases them, so that credit is as scarce as in the
 * engine.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"
#include "transport/session.h"

#define DATAGRAM_MAX       8972u
#define MESSAGES_MAX       512u
#define TURN_DATAGRAMS_MAX 4096u
#define DEPARTURES_MAX     4096u /* one that finds no room is told by the next one */

struct waiting {
    struct waiting *next;
    uint64_t tag, departure;
    bool wants;
    uint32_t head_length, body_length;
    const uint8_t *body;
    uint8_t head[];
};

struct net_end {
    struct cw_session *session;
    void *memory;
    struct waiting *first[CW_STREAM_COUNT], **last[CW_STREAM_COUNT];
    struct {
        bool used, wants;
        uint64_t tag;
    } out[MESSAGES_MAX];
    struct {
        uint64_t number, departure;
    } departures[DEPARTURES_MAX]; /* in order */
    uint32_t departure_head, departure_tail;
};

/* ------------------------------------------------------------------ the toy seal */

static void toy_expand(void *state, const uint8_t key[32])
{
    uint64_t name = cw_hash64(key, 32);
    memcpy(state, &name, sizeof name);
}

static void toy_tag(const void *state, const uint8_t *bytes, size_t length, const uint8_t iv[12],
                    const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    uint64_t mixed[4] = {0, cw_hash64(bytes, length), cw_hash64(iv, 12), cw_hash64(aad, aad_length)};

    memcpy(mixed, state, 8);
    uint64_t sum = cw_hash64(mixed, sizeof mixed);
    memcpy(tag, &sum, 8);
    memcpy(tag + 8, &sum, 8);
}

static void toy_seal(const void *state, uint8_t *cipher, const uint8_t *plain, size_t length,
                     const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    if (cipher != plain)
        memmove(cipher, plain, length);
    toy_tag(state, cipher, length, iv, aad, aad_length, tag);
}

static bool toy_open(const void *state, uint8_t *plain, const uint8_t *cipher, size_t length,
                     const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    uint8_t expected[16];

    toy_tag(state, cipher, length, iv, aad, aad_length, expected);
    if (plain != cipher)
        memmove(plain, cipher, length);
    return memcmp(expected, tag, 16) == 0;
}

static const struct cw_aead_ops toy = {"toy", 64, toy_expand, toy_seal, toy_open};

/* ------------------------------------------------------------------ life */

static void random_bytes(struct world *w, uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)cw_rng_next(&w->rng);
}

static struct net_end *end_new(struct site *site, uint8_t peer)
{
    struct net_end *end = calloc(1, sizeof *end);
    struct cw_session_config config = {
        .is_initiator = site->id < peer,
        .aead = &toy,
        .path_count = 1,
        .paths = {{.datagram_bytes_max = DATAGRAM_MAX, .packets_in_flight_max = 256}},
        .messages_max = MESSAGES_MAX,
        .receive_count = {site->world->log_entries + 64, 32, 16},
        .idle_timeout_ns = 2 * CW_SECOND,
    };
    if (site->world->options.seed % 2) /* narrow blocks, so that they are often closed, and often lost */
        config.paths[0].fec = (struct cw_fec_config){CW_FEC_FIXED, 8, 2, 2};
    struct cw_arena arena;
    uint64_t now = site_clock(site, site->world->now_ns);

    CW_ASSERT(end != NULL);
    config.local_name[0] = (char)('A' + site->id);
    config.remote_name[0] = (char)('A' + peer);
    random_bytes(site->world, config.seed, sizeof config.seed);
    cw_arena_measure(&arena);
    cw_session_new(&config, &arena, now);
    size_t size = cw_round_up(arena.used, 4096);
    end->memory = aligned_alloc(4096, size);
    CW_ASSERT(end->memory != NULL);
    cw_arena_init(&arena, end->memory, size);
    end->session = cw_session_new(&config, &arena, now);
    for (int s = 0; s < CW_STREAM_COUNT; s++)
        end->last[s] = &end->first[s];
    return end;
}

void net_start(struct site *site)
{
    for (uint8_t peer = 0; site->world->has_sessions && peer < site->world->site_count; peer++)
        if (peer != site->id)
            site->net[peer] = end_new(site, peer);
}

static struct waiting *pop_waiting(struct net_end *end, int stream)
{
    struct waiting *m = end->first[stream];

    end->first[stream] = m->next;
    if (!end->first[stream])
        end->last[stream] = &end->first[stream];
    return m;
}

void net_stop(struct site *site)
{
    for (uint8_t peer = 0; peer < SIM_SITES_MAX; peer++) {
        struct net_end *end = site->net[peer];
        if (!end)
            continue;
        for (int s = 0; s < CW_STREAM_COUNT; s++)
            while (end->first[s])
                free(pop_waiting(end, s));
        free(end->memory);
        free(end);
        site->net[peer] = NULL;
    }
}

bool net_is_up(const struct site *site, uint8_t peer)
{
    return site->net[peer] && cw_session_is_up(site->net[peer]->session);
}

/* ------------------------------------------------------------------ out */

void net_send(struct site *site, const struct cw_action *a)
{
    struct net_end *end = site->net[a->peer];
    struct waiting *m = malloc(sizeof *m + a->head_length);

    CW_ASSERT(m != NULL);
    CW_ASSERT(a->stream < CW_STREAM_COUNT);
    *m = (struct waiting){.tag = a->token,
                          .departure = a->departure,
                          .wants = a->token || a->body_length,
                          .head_length = a->head_length,
                          .body_length = a->body_length,
                          .body = a->memory};
    memcpy(m->head, a->head, a->head_length);
    *end->last[a->stream] = m;
    end->last[a->stream] = &m->next;
    site->sends_unanswered += m->wants;
    note(site->world, site, "send", a->peer, a->head[0], a->body_length);
}

static void give_back(struct site *site, uint8_t peer, uint64_t tag, bool delivered)
{
    struct fact *fact = fact_new(FACT_SENT);

    fact->peer = peer;
    fact->token = tag;
    fact->delivered = delivered;
    site_post(site, fact);
}

static void push_stream(struct site *site, uint8_t peer, int stream)
{
    struct net_end *end = site->net[peer];

    while (end->first[stream]) {
        struct waiting *m = end->first[stream];
        uint32_t slot = 0;
        if (!cw_session_is_up(end->session)) {
            if (m->wants)
                give_back(site, peer, m->tag, false);
            free(pop_waiting(end, stream));
            continue;
        }
        while (slot < MESSAGES_MAX && end->out[slot].used)
            slot++;
        uint64_t number = cw_session_live_count(end->session);
        if (slot == MESSAGES_MAX || cw_session_send(end->session, (enum cw_stream)stream, m->head,
                                                    m->head_length, m->body, m->body_length, slot) != CW_OK)
            return; /* after a SENT event */
        if (m->departure && end->departure_tail - end->departure_head < DEPARTURES_MAX) {
            uint32_t at = end->departure_tail++ % DEPARTURES_MAX;
            end->departures[at].number = number;
            end->departures[at].departure = m->departure;
        }
        end->out[slot].used = true;
        end->out[slot].wants = m->wants;
        end->out[slot].tag = m->tag;
        free(pop_waiting(end, stream));
    }
}

static void datagram_lands(struct world *w, void *data, uint64_t to)
{
    site_post(&w->sites[to], data);
}

static void fact_dispose(void *data)
{
    free(((struct fact *)data)->body);
    free(data);
}

static void launch(struct site *site, uint8_t peer, const uint8_t *bytes, size_t length)
{
    struct world *w = site->world;

    if (link_is_cut(w, site->id, peer) || world_random(w, 1000000) < w->loss_ppm)
        return;
    uint64_t copies = 1 + (world_random(w, 1000000) < w->duplicate_ppm);
    while (copies--) {
        struct fact *fact = fact_new(FACT_DATAGRAM);
        uint64_t late = world_random(w, w->latency_ns[site->id][peer] / 8 + 2000);
        fact->peer = site->id;
        fact->body = malloc(length);
        CW_ASSERT(fact->body != NULL);
        memcpy(fact->body, bytes, length);
        fact->body_length = (uint32_t)length;
        if (world_random(w, 1000000) < w->corrupt_ppm)
            fact->body[world_random(w, length)] ^= (uint8_t)(1u << world_random(w, 8));
        queue_owned_at(w, w->now_ns + w->latency_ns[site->id][peer] + late, datagram_lands, fact, peer,
                       fact_dispose);
    }
}

static void tell_left(struct site *site, uint8_t peer)
{
    struct net_end *end = site->net[peer];
    uint64_t left = cw_session_live_left(end->session);

    while (end->departure_head != end->departure_tail &&
           end->departures[end->departure_head % DEPARTURES_MAX].number < left)
        site_left(site, peer, end->departures[end->departure_head++ % DEPARTURES_MAX].departure);
}

void net_transmit(struct site *site)
{
    static uint8_t bytes[65536];
    uint64_t now = site_clock(site, site->world->now_ns);

    for (uint8_t peer = 0; peer < SIM_SITES_MAX; peer++) {
        struct net_end *end = site->net[peer];
        size_t length;
        if (!end)
            continue;
        for (int s = 0; s < CW_STREAM_COUNT; s++)
            push_stream(site, peer, s);
        for (uint32_t n = 0;
             n < TURN_DATAGRAMS_MAX && (length = cw_session_transmit(end->session, 0, bytes, now)) > 0; n++)
            launch(site, peer, bytes, length);
        tell_left(site, peer);
    }
}

/* ------------------------------------------------------------------ in */

void net_on_datagram(struct site *site, struct fact *fact)
{
    struct net_end *end = site->net[fact->peer];

    if (end)
        cw_session_on_datagram(end->session, 0, fact->body, fact->body_length,
                               site_clock(site, site->world->now_ns));
}

void net_release(struct site *site, uint8_t peer, uint64_t buffer)
{
    if (site->net[peer])
        cw_session_release(site->net[peer]->session, buffer);
}

static void on_event(struct site *site, uint8_t peer, const struct cw_session_event *e)
{
    struct net_end *end = site->net[peer];
    uint64_t now = site_clock(site, site->world->now_ns);

    switch (e->type) {
    case CW_SESSION_UP:
        note(site->world, site, "peer up", peer, 0, 0);
        cw_group_on_peer_up(site->group, peer, now);
        break;
    case CW_SESSION_DOWN:
        note(site->world, site, "peer down", peer, e->why, 0);
        for (int s = 0; s < CW_STREAM_COUNT; s++)
            while (end->first[s]) {
                struct waiting *m = pop_waiting(end, s);
                if (m->wants)
                    give_back(site, peer, m->tag, false);
                free(m);
            }
        cw_group_on_peer_down(site->group, peer, now);
        break;
    case CW_SESSION_SENT:
        if (end->out[e->tag].wants)
            give_back(site, peer, end->out[e->tag].tag, e->delivered);
        end->out[e->tag].used = false;
        break;
    case CW_SESSION_PATH_UP:
    case CW_SESSION_PATH_DOWN:
    case CW_SESSION_PATH_HELD:
        break;
    default:
        site_message(site, peer, e->received.head, e->received.head_length, e->received.body,
                     e->received.body_length, &e->received.buffer);
        if (!e->received.body_length)
            cw_session_release(end->session, e->received.buffer);
    }
}

void net_turn(struct site *site)
{
    uint64_t now = site_clock(site, site->world->now_ns);
    struct cw_session_event event;

    for (uint8_t peer = 0; peer < SIM_SITES_MAX; peer++) {
        struct net_end *end = site->net[peer];
        if (!end)
            continue;
        if (cw_session_wants_entropy(end->session)) {
            uint8_t seed[64];
            random_bytes(site->world, seed, sizeof seed);
            cw_session_entropy(end->session, seed);
        }
        if (now >= cw_session_deadline_ns(end->session))
            cw_session_on_time(end->session, now);
        while (!site->world->failed && cw_session_event(end->session, &event))
            on_event(site, peer, &event);
    }
}

uint64_t net_deadline_ns(struct site *site)
{
    uint64_t deadline = CW_NEVER;

    for (uint8_t peer = 0; peer < SIM_SITES_MAX; peer++)
        if (site->net[peer])
            deadline = CW_MIN(deadline, cw_session_deadline_ns(site->net[peer]->session));
    return deadline;
}
