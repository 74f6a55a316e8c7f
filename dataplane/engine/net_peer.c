/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "engine/net_lcore.h"
#include "transport/fec_sender.h"

#define TIMERS_EACH_NS  (2 * CW_US)
#define IDLE_TIMEOUT_NS (2 * CW_SECOND)

static_assert(CW_CONFIG_FEC_SOURCES_MAX == CW_FEC_SOURCES_MAX, "what may be configured can be had");
static_assert(CW_CONFIG_FEC_REPAIRS_MAX == CW_FEC_REPAIRS_MAX, "likewise");
static_assert(CW_CONFIG_FEC_DEPTH_MAX == CW_FEC_DEPTH_MAX, "likewise");
static_assert((CW_NET_MESSAGES_MAX & (CW_NET_MESSAGES_MAX - 1)) == 0, "indexes of a ring run freely");
static_assert(CW_CONFIG_LANES_MAX == CW_LANES_MAX, "as many net lcores as a datagram can name");
static_assert(CW_CONFIG_PEER_PATHS_MAX == CW_SESSION_PATHS_MAX, "a session takes the paths to a site");
static_assert(CW_NET_NODES > CW_NET_MESSAGES_MAX, "what a session holds leaves nodes for what waits");

/* ---------------------------------------------------------------- building */

static void random_fill(uint8_t *bytes, size_t length)
{
    ssize_t got = getrandom(bytes, length, 0);
    CW_ASSERT(got == (ssize_t)length && "up to 256 bytes always come whole");
}

void cw_net_receive_counts(const struct cw_node_config *config, uint32_t counts[CW_CLASS_COUNT])
{
    static const uint32_t eighths[CW_CLASS_COUNT] = {2, 2, 4};
    uint64_t bytes =
        (uint64_t)config->receive_mb * CW_MIB / (CW_MAX(config->peer_count, 1u) * config->lane_count);
    for (unsigned c = 0; c < CW_CLASS_COUNT; c++) {
        uint64_t each = CW_CLASS_BYTES(c) + CW_MESSAGE_HEAD_MAX;
        counts[c] = (uint32_t)CW_MAX(bytes / 8 * eighths[c] / each, 8ull);
    }
}

static_assert((int)CW_CONFIG_RATE_BBR == (int)CW_RATE_BBR &&
                  (int)CW_CONFIG_RATE_CUBIC == (int)CW_RATE_CUBIC &&
                  (int)CW_CONFIG_RATE_COUNT == (int)CW_RATE_KIND_COUNT,
              "the configuration's kinds are the transport's");

static struct cw_fec_config fec_config_of(const struct cw_config_fec *fec)
{
    static const enum cw_fec_mode modes[] = {
        [CW_CONFIG_FEC_OFF] = CW_FEC_OFF,
        [CW_CONFIG_FEC_FIXED] = CW_FEC_FIXED,
        [CW_CONFIG_FEC_AUTO] = CW_FEC_AUTO,
    };
    return (struct cw_fec_config){.mode = modes[fec->mode],
                                  .sources = (uint8_t)fec->sources,
                                  .repairs = (uint8_t)fec->repairs,
                                  .depth = (uint16_t)fec->depth};
}

static void path_config_of(const struct cw_net *net, const struct cw_net_path *path,
                           struct cw_session_path_config *to)
{
    const struct cw_config_path *wanted = &net->engine->config.paths[path->index];
    *to = (struct cw_session_path_config){
        .name_hash = cw_hash64(wanted->name, strlen(wanted->name)),
        .datagram_bytes_max = cw_port_datagram_bytes_max(path->port),
        .rate_kind = (enum cw_rate_kind)wanted->rate_control,
        .rate_bytes_per_second = wanted->rate_bits_per_second / 8 / net->engine->config.lane_count,
        .packets_in_flight_max = cw_config_packets_in_flight(wanted),
        .guard = {wanted->circuit_loss_percent, wanted->circuit_delay_ms * CW_MS},
        .fec = fec_config_of(&wanted->fec),
        .is_mtu_probed = true,
    };
}

static void session_config_of(const struct cw_net *net, const struct cw_net_peer *peer,
                              const struct cw_aead_ops *aead, struct cw_session_config *session)
{
    const struct cw_node_config *config = &net->engine->config;
    *session = (struct cw_session_config){
        .is_initiator = config->site_id < peer->site,
        .aead = aead,
        .lane = net->lane,
        .lane_count = config->lane_count,
        .path_count = peer->path_count,
        .is_latency_duplicated = config->is_latency_duplicated,
        .messages_max = CW_NET_MESSAGES_MAX,
        .idle_timeout_ns = IDLE_TIMEOUT_NS,
    };
    for (unsigned p = 0; p < peer->path_count; p++)
        path_config_of(net, peer->paths[p], &session->paths[p]);
    snprintf(session->local_name, sizeof session->local_name, "%s", config->site);
    snprintf(session->remote_name, sizeof session->remote_name, "%s",
             cw_engine_site_name(net->engine, peer->site));
    session->has_certificates = config->security.has_certificates;
    memcpy(session->cluster_key, config->cluster_key, sizeof session->cluster_key);
    random_fill(session->seed, sizeof session->seed);
    cw_net_receive_counts(config, session->receive_count);
}

static void list_push(struct cw_net_list *list, struct cw_net_node *node)
{
    node->next = NULL;
    if (list->last != NULL)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    list->count++;
}

static struct cw_net_node *list_pop(struct cw_net_list *list)
{
    struct cw_net_node *node = list->first;
    if (node == NULL)
        return NULL;
    list->first = node->next;
    if (list->first == NULL)
        list->last = NULL;
    list->count--;
    return node;
}

void cw_net_peer_init(struct cw_net *net, struct cw_net_peer *peer, struct cw_arena *arena,
                      const struct cw_aead_ops *aead, uint64_t now_ns)
{
    struct cw_session_config config;
    session_config_of(net, peer, aead, &config);
    peer->session = cw_session_new(&config, arena, now_ns);
    explicit_bzero(&config, sizeof config);
    peer->nodes = cw_arena_take(arena, sizeof *peer->nodes * CW_NET_NODES, 64);
    peer->departures.ring = cw_arena_take(arena, sizeof *peer->departures.ring * CW_NET_MESSAGES_MAX, 64);
    for (uint32_t n = 0; peer->nodes != NULL && n < CW_NET_NODES; n++)
        list_push(&peer->free, &peer->nodes[n]);
}

/* ---------------------------------------------------------------- towards the store */

static void answer_and_free(struct cw_net *net, struct cw_net_peer *peer, struct cw_net_node *node,
                            bool delivered)
{
    if (node->message.wants_answer) {
        struct cw_from_net sent = {.type = CW_FROM_NET_SENT,
                                   .peer = peer->index,
                                   .slot = node->message.slot,
                                   .delivered = delivered,
                                   .tag = node->message.tag};
        cw_net_push(net, &sent);
    }
    list_push(&peer->free, node);
}

static void give_back_undelivered(struct cw_net *net, struct cw_net_peer *peer)
{
    while (peer->undelivered.first != NULL && cw_net_has_room(net))
        answer_and_free(net, peer, list_pop(&peer->undelivered), false);
}

static void on_path(struct cw_net *net, struct cw_net_path *path, bool is_up, uint8_t why)
{
    struct cw_from_net element = {.type = is_up ? CW_FROM_NET_PATH_UP : CW_FROM_NET_PATH_DOWN,
                                  .peer = path->peer->index,
                                  .path = path->index,
                                  .why = why};
    path->is_up = is_up;
    cw_trace_add(&net->trace, net->now_ns, 0,
                 is_up ? "path %llu is up" : "path %llu is down, reason %llu of enum cw_path_down",
                 path->index, why, 0);
    cw_net_push(net, &element);
}

static void on_path_held(struct cw_net *net, const struct cw_net_path *path,
                         const struct cw_session_event *event)
{
    struct cw_from_net element = {.type = CW_FROM_NET_PATH_HELD,
                                  .peer = path->peer->index,
                                  .path = path->index,
                                  .why = event->why,
                                  .held = {event->amount, event->retry_ms}};
    cw_trace_add(&net->trace, net->now_ns, 0, "path %llu: enum cw_fixed_state %llu, by %llu", path->index,
                 event->why, event->amount);
    cw_net_push(net, &element);
}

static void on_up(struct cw_net *net, struct cw_net_peer *peer)
{
    struct cw_from_net up = {.type = CW_FROM_NET_UP, .peer = peer->index, .generation = ++peer->generation};
    peer->is_up = true;
    for (unsigned p = 0; p < peer->path_count; p++)
        peer->paths[p]->must_look = true;
    cw_trace_add(&net->trace, net->now_ns, 0, "site %llu: the session is up, number %llu", peer->site,
                 peer->generation, 0);
    cw_net_push(net, &up);
}

static void on_down(struct cw_net *net, struct cw_net_peer *peer, uint8_t why)
{
    peer->is_up = false;
    for (unsigned p = 0; p < peer->path_count; p++)
        peer->paths[p]->is_up = peer->paths[p]->must_look = false;
    cw_trace_add(&net->trace, net->now_ns, 0,
                 "site %llu: the session ends, reason %llu of enum cw_session_down", peer->site, why, 0);
    for (unsigned s = 0; s < CW_STREAM_COUNT; s++) {
        for (struct cw_net_node *node; (node = list_pop(&peer->pending[s])) != NULL;)
            list_push(&peer->undelivered, node);
    }
    struct cw_from_net down = {.type = CW_FROM_NET_DOWN, .peer = peer->index, .why = why};
    cw_net_push(net, &down);
}

/* A path that the peer does not have is said once, however often the session is made anew. */
static void look_at_names(struct cw_net *net, struct cw_net_peer *peer)
{
    for (unsigned p = 0; p < peer->path_count; p++) {
        struct cw_net_path *path = peer->paths[p];
        struct cw_session_path_stats stats;
        if (!path->must_look || !cw_net_has_room(net))
            continue;
        path->must_look = false;
        cw_session_path_stats(peer->session, p, &stats);
        struct cw_from_net one_sided = {
            .type = CW_FROM_NET_PATH_ONE_SIDED, .peer = peer->index, .path = path->index};
        if (!stats.is_at_both && !path->is_one_sided_told)
            cw_net_push(net, &one_sided);
        path->is_one_sided_told = !stats.is_at_both;
    }
}

/* Once, and again when it changes or the session was up meanwhile. */
static void look_at_lanes(struct cw_net *net, struct cw_net_peer *peer)
{
    uint32_t count = cw_session_other_lanes(peer->session);
    if (count == peer->other_lanes || !cw_net_has_room(net))
        return;
    peer->other_lanes = count;
    struct cw_from_net other = {.type = CW_FROM_NET_OTHER_LANES,
                                .peer = peer->index,
                                .path = peer->paths[0]->index,
                                .generation = count};
    if (count != 0)
        cw_net_push(net, &other);
}

static void on_session_event(struct cw_net *net, struct cw_net_peer *peer,
                             const struct cw_session_event *event)
{
    struct cw_from_net element = {.peer = peer->index};
    switch (event->type) {
    case CW_SESSION_UP:
        on_up(net, peer);
        break;
    case CW_SESSION_DOWN:
        on_down(net, peer, event->why);
        break;
    case CW_SESSION_PATH_UP:
    case CW_SESSION_PATH_DOWN:
        on_path(net, peer->paths[event->path], event->type == CW_SESSION_PATH_UP, event->why);
        break;
    case CW_SESSION_PATH_HELD:
        on_path_held(net, peer->paths[event->path], event);
        break;
    case CW_SESSION_PATH_MOVED:
        element.type = CW_FROM_NET_PATH_MOVED;
        element.path = peer->paths[event->path]->index;
        element.is_home = event->tag == 0;
        cw_net_push(net, &element);
        break;
    case CW_SESSION_RECEIVED:
        element.type = CW_FROM_NET_RECEIVED;
        element.received = event->received;
        net->has_worked |= event->received.body_length > 0;
        cw_net_push(net, &element);
        break;
    case CW_SESSION_SENT:
        CW_ASSERT(event->tag >= 1 && event->tag <= CW_NET_NODES);
        answer_and_free(net, peer, &peer->nodes[event->tag - 1], event->delivered);
        break;
    default:
        CW_ASSERT(!"a session has no other events");
    }
}

static uint32_t drain_events(struct cw_net *net, struct cw_net_peer *peer)
{
    struct cw_session_event event;
    uint32_t count = 0;
    while (cw_net_has_room(net) && cw_session_event(peer->session, &event)) {
        on_session_event(net, peer, &event);
        count++;
    }
    return count;
}

uint32_t cw_net_peer_turn(struct cw_net *net, struct cw_net_peer *peer)
{
    if (cw_session_wants_entropy(peer->session)) {
        uint8_t seed[64];
        random_fill(seed, sizeof seed);
        cw_session_entropy(peer->session, seed);
        explicit_bzero(seed, sizeof seed);
    }
    if (net->now_ns >= peer->timers_ns) { /* to look at them is dear, and none is that fine */
        peer->timers_ns = net->now_ns + TIMERS_EACH_NS;
        if (net->now_ns >= cw_session_deadline_ns(peer->session))
            cw_session_on_time(peer->session, net->now_ns);
    }
    uint32_t count = drain_events(net, peer);
    look_at_names(net, peer);
    look_at_lanes(net, peer);
    give_back_undelivered(net, peer);
    return count;
}

/* ---------------------------------------------------------------- from the store */

/* With no room it is not told: the next one of the group says so for it, or its acknowledgement. */
static void note_departure(struct cw_net_peer *peer, const struct cw_to_net *message, uint64_t number)
{
    struct cw_net_departures *all = &peer->departures;
    if (message->departure == 0 || all->tail - all->head == CW_NET_MESSAGES_MAX)
        return;
    all->ring[all->tail++ % CW_NET_MESSAGES_MAX] = (struct cw_net_departure){
        .number = number, .departure = message->departure, .group = message->group, .slot = message->slot};
}

/* Tries to hand one message to the session. False: it waits. */
static bool try_send(struct cw_net_peer *peer, struct cw_net_node *node)
{
    const struct cw_to_net *m = &node->message;
    const uint8_t *head = m->head_length > CW_HEAD_INLINE ? node->large_head : m->head;
    uint64_t tag = (uint64_t)(node - peer->nodes) + 1;
    uint64_t number = cw_session_live_count(peer->session);
    enum cw_status status = CW_SHUTDOWN;
    if (peer->is_up && m->generation == peer->generation)
        status =
            cw_session_send(peer->session, m->stream, head, m->head_length, m->body, m->body_length, tag);
    if (status == CW_AGAIN)
        return false;
    if (status != CW_OK)
        list_push(&peer->undelivered, node);
    else if (m->stream == CW_STREAM_LIVE)
        note_departure(peer, m, number);
    return true;
}

uint32_t cw_net_peer_send_pending(struct cw_net_peer *peer)
{
    uint32_t count = 0;
    for (unsigned s = 0; s < CW_STREAM_COUNT; s++) {
        while (peer->pending[s].first != NULL) {
            struct cw_net_node *node = list_pop(&peer->pending[s]);
            if (!try_send(peer, node)) { /* back to the front: order within a stream is kept */
                node->next = peer->pending[s].first;
                peer->pending[s].first = node;
                if (peer->pending[s].last == NULL)
                    peer->pending[s].last = node;
                peer->pending[s].count++;
                break;
            }
            count++;
        }
    }
    return count;
}

/* All nodes wait for a peer that takes nothing: closing gives them back. The message is copied to a node that
 * this frees, so it too is answered. */
static struct cw_net_node *node_for(struct cw_net *net, struct cw_net_peer *peer)
{
    if (peer->free.first == NULL) {
        cw_trace_add(&net->trace, net->now_ns, 0,
                     "site %llu: cut off, %llu messages wait for a peer that takes none", peer->site,
                     CW_NET_NODES, 0);
        cw_session_close(peer->session, net->now_ns);
        (void)drain_events(net, peer);
        give_back_undelivered(net, peer);
    }
    return list_pop(&peer->free);
}

bool cw_net_peer_send(struct cw_net *net, struct cw_net_peer *peer, const struct cw_to_net *message)
{
    struct cw_net_node *node = node_for(net, peer);
    if (node == NULL)
        return false;
    node->message = *message;
    net->has_worked |= message->body_length > 0;
    if (message->head_length > CW_HEAD_INLINE) {
        bool popped = cw_ring_pop(&net->mail->large_heads, node->large_head);
        CW_ASSERT(popped && "the head was pushed before the message");
    }
    CW_ASSERT(message->stream < CW_STREAM_COUNT);
    if (peer->pending[message->stream].first != NULL || !try_send(peer, node))
        list_push(&peer->pending[message->stream], node);
    return true;
}

uint32_t cw_net_peer_pending(const struct cw_net_peer *peer)
{
    uint32_t count = 0;
    for (unsigned s = 0; s < CW_STREAM_COUNT; s++)
        count += peer->pending[s].count;
    return count;
}

void cw_net_peer_path_stats(const struct cw_net_path *path, struct cw_session_path_stats *stats)
{
    const struct cw_net_peer *peer = path->peer;
    struct cw_session_stats all;
    struct cw_session_path_stats other;
    cw_session_stats(peer->session, &all);
    cw_session_path_stats(peer->session, path->number, stats);
    for (unsigned p = 0; p < peer->path_count; p++) {
        if (p == path->number)
            continue;
        cw_session_path_stats(peer->session, p, &other);
        for (unsigned c = 0; c < CW_SESSION_COUNTER_COUNT; c++)
            all.counters[c] -= other.counters[c];
    }
    memcpy(stats->counters, all.counters, sizeof stats->counters);
}
