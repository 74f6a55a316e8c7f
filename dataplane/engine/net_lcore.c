/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/net_lcore.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/host.h"
#include "transport/fec_sender.h"

/* The peer opens the first datagrams of a message while the rest is being sealed. */
#define FLUSH_EACH 2u

#define BLOCKED_UP_NS   (20 * CW_US)
#define BLOCKED_DOWN_NS CW_MS

#define IDLE_TIMEOUT_NS (2 * CW_SECOND)

static_assert(CW_CONFIG_FEC_SOURCES_MAX == CW_FEC_SOURCES_MAX, "what may be configured can be had");
static_assert(CW_CONFIG_FEC_REPAIRS_MAX == CW_FEC_REPAIRS_MAX, "likewise");
static_assert(CW_CONFIG_FEC_DEPTH_MAX == CW_FEC_DEPTH_MAX, "likewise");
static_assert((CW_NET_MESSAGES_MAX & (CW_NET_MESSAGES_MAX - 1)) == 0, "indexes of a ring run freely");
static_assert(CW_NET_NODES > CW_NET_MESSAGES_MAX, "what a session holds leaves nodes for what waits");

/* ---------------------------------------------------------------- building */

static void random_fill(uint8_t *bytes, size_t length)
{
    ssize_t got = getrandom(bytes, length, 0);
    CW_ASSERT(got == (ssize_t)length && "up to 256 bytes always come whole");
}

void cw_net_port_config(const struct cw_config_path *path, struct cw_port_config *port)
{
    *port = (struct cw_port_config){.mtu = path->mtu,
                                    .local_ip = path->local.ip,
                                    .remote_ip = path->peer.ip,
                                    .local_udp = path->local.port,
                                    .remote_udp = path->peer.port,
                                    .vlan = path->vlan,
                                    .next_hop = path->gateway,
                                    .is_ecn_capable = path->rate_control != CW_CONFIG_RATE_FIXED};
    snprintf(port->name, sizeof port->name, "%s", path->name);
    snprintf(port->device, sizeof port->device, "%s", path->device);
    memcpy(port->local_mac, path->local.mac, 6);
    memcpy(port->remote_mac, path->peer.mac, 6);
}

enum cw_status cw_net_open_ports(struct cw_net *net, struct cw_engine *engine, char *why, size_t why_size)
{
    net->engine = engine;
    net->path_count = engine->config.path_count;
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_port_config config;
        cw_net_port_config(&engine->config.paths[i], &config);
        net->paths[i].index = (uint8_t)i;
        net->paths[i].port = cw_port_open(&config, why, why_size);
        if (net->paths[i].port == NULL)
            return CW_IO;
    }
    return CW_OK;
}

void cw_net_receive_counts(const struct cw_node_config *config, uint32_t counts[CW_CLASS_COUNT])
{
    static const uint32_t eighths[CW_CLASS_COUNT] = {2, 2, 4};
    uint64_t bytes = (uint64_t)config->receive_mb * CW_MIB / CW_MAX(config->path_count, 1u);
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

static void session_config_of(const struct cw_net *net, const struct cw_net_path *path,
                              const struct cw_aead_ops *aead, struct cw_session_config *session)
{
    const struct cw_node_config *config = &net->engine->config;
    const struct cw_config_path *wanted = &config->paths[path->index];
    *session = (struct cw_session_config){
        .is_initiator = config->site_id < cw_engine_site_id(net->engine, wanted->remote),
        .aead = aead,
        .datagram_bytes_max = cw_port_datagram_bytes_max(path->port),
        .rate_kind = (enum cw_rate_kind)wanted->rate_control,
        .rate_bytes_per_second = wanted->rate_bits_per_second / 8,
        .packets_in_flight_max =
            wanted->rate_control == CW_CONFIG_RATE_FIXED ? CW_NET_PACKETS_IN_FLIGHT : CW_NET_PACKETS_ADAPTIVE,
        .messages_max = CW_NET_MESSAGES_MAX,
        .idle_timeout_ns = IDLE_TIMEOUT_NS,
        .fec = fec_config_of(&wanted->fec),
        .is_mtu_probed = true,
    };
    snprintf(session->local_name, sizeof session->local_name, "%s", config->site);
    snprintf(session->remote_name, sizeof session->remote_name, "%s", wanted->remote);
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

void cw_net_init(struct cw_net *net, struct cw_arena *arena, const struct cw_aead_ops *aead, uint64_t now_ns)
{
    cw_trace_init(&net->trace, arena, CW_TRACE_ENTRIES);
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        struct cw_session_config config;
        session_config_of(net, path, aead, &config);
        path->session = cw_session_new(&config, arena, now_ns);
        path->nodes = cw_arena_take(arena, sizeof *path->nodes * CW_NET_NODES, 64);
        path->departures.ring = cw_arena_take(arena, sizeof *path->departures.ring * CW_NET_MESSAGES_MAX, 64);
        for (uint32_t n = 0; path->nodes != NULL && n < CW_NET_NODES; n++)
            list_push(&path->free, &path->nodes[n]);
        explicit_bzero(&config, sizeof config);
    }
}

/* ---------------------------------------------------------------- towards the store */

/* The caller has seen that there is room. */
static void push_to_store(struct cw_net *net, const struct cw_from_net *element)
{
    bool pushed = cw_ring_push(&net->engine->from_net, element);
    CW_ASSERT(pushed && "room was seen before");
    net->has_pushed = true;
}

static bool has_room(struct cw_net *net)
{
    return cw_ring_room(&net->engine->from_net) > 0;
}

static void answer_and_free(struct cw_net *net, struct cw_net_path *path, struct cw_net_node *node,
                            bool delivered)
{
    if (node->message.wants_answer) {
        struct cw_from_net sent = {.type = CW_FROM_NET_SENT,
                                   .path = path->index,
                                   .slot = node->message.slot,
                                   .delivered = delivered,
                                   .tag = node->message.tag};
        push_to_store(net, &sent);
    }
    list_push(&path->free, node);
}

static void give_back_undelivered(struct cw_net *net, struct cw_net_path *path)
{
    while (path->undelivered.first != NULL && has_room(net))
        answer_and_free(net, path, list_pop(&path->undelivered), false);
}

static void on_down(struct cw_net *net, struct cw_net_path *path, uint8_t why)
{
    path->is_up = false;
    cw_trace_add(&net->trace, net->now_ns, 0,
                 "path %llu: the session ends, reason %llu of enum cw_session_down", path->index, why, 0);
    for (unsigned s = 0; s < CW_STREAM_COUNT; s++) {
        for (struct cw_net_node *node; (node = list_pop(&path->pending[s])) != NULL;)
            list_push(&path->undelivered, node);
    }
    struct cw_from_net down = {.type = CW_FROM_NET_DOWN, .path = path->index, .why = why};
    push_to_store(net, &down);
}

static void on_session_event(struct cw_net *net, struct cw_net_path *path,
                             const struct cw_session_event *event)
{
    struct cw_from_net element = {.path = path->index};
    switch (event->type) {
    case CW_SESSION_UP:
        path->is_up = true;
        element.type = CW_FROM_NET_UP;
        element.generation = ++path->generation;
        cw_trace_add(&net->trace, net->now_ns, 0, "path %llu: the session is up, number %llu", path->index,
                     path->generation, 0);
        push_to_store(net, &element);
        break;
    case CW_SESSION_DOWN:
        on_down(net, path, event->why);
        break;
    case CW_SESSION_RECEIVED:
        element.type = CW_FROM_NET_RECEIVED;
        element.received = event->received;
        net->has_worked |= event->received.body_length > 0;
        push_to_store(net, &element);
        break;
    case CW_SESSION_SENT:
        CW_ASSERT(event->tag >= 1 && event->tag <= CW_NET_NODES);
        answer_and_free(net, path, &path->nodes[event->tag - 1], event->delivered);
        break;
    default:
        CW_ASSERT(!"a session has no other events");
    }
}

static uint32_t drain_events(struct cw_net *net, struct cw_net_path *path)
{
    struct cw_session_event event;
    uint32_t count = 0;
    while (has_room(net) && cw_session_event(path->session, &event)) {
        on_session_event(net, path, &event);
        count++;
    }
    return count;
}

/* ---------------------------------------------------------------- from the store */

/* With no room it is not told: the next one of the group says so for it, or its acknowledgement. */
static void note_departure(struct cw_net_path *path, const struct cw_to_net *message, uint64_t number)
{
    struct cw_net_departures *all = &path->departures;
    if (message->departure == 0 || all->tail - all->head == CW_NET_MESSAGES_MAX)
        return;
    all->ring[all->tail++ % CW_NET_MESSAGES_MAX] = (struct cw_net_departure){
        .number = number, .departure = message->departure, .group = message->group, .slot = message->slot};
}

/* Tries to hand one message to the session. False: it waits. */
static bool try_send(struct cw_net_path *path, struct cw_net_node *node)
{
    const struct cw_to_net *m = &node->message;
    const uint8_t *head = m->head_length > CW_HEAD_INLINE ? node->large_head : m->head;
    uint64_t tag = (uint64_t)(node - path->nodes) + 1;
    uint64_t number = cw_session_live_count(path->session);
    enum cw_status status = CW_SHUTDOWN;
    if (path->is_up && m->generation == path->generation)
        status =
            cw_session_send(path->session, m->stream, head, m->head_length, m->body, m->body_length, tag);
    if (status == CW_AGAIN)
        return false;
    if (status != CW_OK)
        list_push(&path->undelivered, node);
    else if (m->stream == CW_STREAM_LIVE)
        note_departure(path, m, number);
    return true;
}

static uint32_t send_pending(struct cw_net_path *path)
{
    uint32_t count = 0;
    for (unsigned s = 0; s < CW_STREAM_COUNT; s++) {
        while (path->pending[s].first != NULL) {
            struct cw_net_node *node = list_pop(&path->pending[s]);
            if (!try_send(path, node)) { /* back to the front: order within a stream is kept */
                node->next = path->pending[s].first;
                path->pending[s].first = node;
                if (path->pending[s].last == NULL)
                    path->pending[s].last = node;
                path->pending[s].count++;
                break;
            }
            count++;
        }
    }
    return count;
}

/* All nodes wait for a peer that takes nothing: closing gives them back. The message is copied to a node that
 * this frees, so it too is answered. */
static struct cw_net_node *node_for(struct cw_net *net, struct cw_net_path *path)
{
    if (path->free.first == NULL) {
        cw_trace_add(&net->trace, net->now_ns, 0,
                     "path %llu: cut off, %llu messages wait for a peer that takes none", path->index,
                     CW_NET_NODES, 0);
        cw_session_close(path->session, net->now_ns);
        (void)drain_events(net, path);
        give_back_undelivered(net, path);
    }
    return list_pop(&path->free);
}

static void take_send(struct cw_net *net, struct cw_to_net *message, struct cw_net_node *node)
{
    struct cw_net_path *path = &net->paths[message->path];
    node->message = *message;
    net->has_worked |= message->body_length > 0;
    if (message->head_length > CW_HEAD_INLINE) {
        bool popped = cw_ring_pop(&net->engine->large_heads, node->large_head);
        CW_ASSERT(popped && "the head was pushed before the message");
    }
    CW_ASSERT(message->stream < CW_STREAM_COUNT);
    if (path->pending[message->stream].first != NULL || !try_send(path, node))
        list_push(&path->pending[message->stream], node);
}

/* False: it cannot be taken yet and stays in net->held. */
static bool take_command(struct cw_net *net, struct cw_to_net *message)
{
    struct cw_net_path *path = &net->paths[message->path];
    switch (message->type) {
    case CW_TO_NET_SEND: {
        struct cw_net_node *node = node_for(net, path);
        if (node == NULL)
            return false;
        take_send(net, message, node);
        return true;
    }
    case CW_TO_NET_RELEASE:
        cw_session_release(path->session, message->buffer);
        return true;
    case CW_TO_NET_SNAPSHOT:
        if (net->snapshot != NULL) /* one at a time: each is somebody's answer */
            return false;
        net->snapshot = message->snapshot;
        return true;
    default:
        CW_ASSERT(!"the store sends nothing else");
    }
    return true;
}

static uint32_t take_commands(struct cw_net *net)
{
    uint32_t count = 0;
    if (net->is_holding) {
        if (!take_command(net, &net->held))
            return 0;
        net->is_holding = false;
    }
    while (count < CW_NET_COMMANDS_PER_TURN && cw_ring_pop(&net->engine->to_net, &net->held)) {
        count++;
        if (!take_command(net, &net->held)) {
            net->is_holding = true;
            break;
        }
    }
    return count;
}

/* ---------------------------------------------------------------- certificates */

/* Questions that find no room wait in their session. Waking control is a system call, a few a handshake. */
static void ask_control(struct cw_net *net)
{
    struct cw_engine *engine = net->engine;
    struct cw_net_question question;
    bool has_asked = false;
    for (uint32_t i = 0; i < net->path_count; i++) {
        question.path = (uint8_t)i;
        while (cw_ring_room(&engine->questions) > 0 &&
               cw_session_auth_request(net->paths[i].session, &question.request))
            has_asked |= cw_ring_push(&engine->questions, &question);
    }
    uint64_t one = 1;
    if (has_asked)
        (void)!write(engine->control_wake_fd, &one, sizeof one);
}

static uint32_t hear_control(struct cw_net *net)
{
    struct cw_net_verdict verdict;
    uint32_t count = 0;
    while (cw_ring_pop(&net->engine->verdicts, &verdict)) {
        CW_ASSERT(verdict.path < net->path_count);
        cw_session_auth_answer(net->paths[verdict.path].session, &verdict.answer, net->now_ns);
        count++;
    }
    if (count > 0)
        explicit_bzero(&verdict, sizeof verdict);
    return count;
}

/* ---------------------------------------------------------------- the turn */

static void on_datagram(void *context, uint8_t *datagram, size_t length)
{
    struct cw_net_path *path = context;
    if (cw_port_is_marked(path->port, datagram))
        cw_session_on_datagram_marked(path->session, datagram, length, path->now_ns);
    else
        cw_session_on_datagram(path->session, datagram, length, path->now_ns);
}

static_assert(CW_HOST_QUOTED_BYTES == CW_SESSION_QUOTED_BYTES, "a port quotes what a session looks at");

/* Counted by the session, whether it believed it or not. */
static void look_at_hint(struct cw_net_path *path, uint64_t now_ns)
{
    struct cw_host_too_big told;
    if (cw_port_too_big(path->port, &told))
        (void)cw_session_on_too_big(path->session, told.quoted, sizeof told.quoted, told.datagram_bytes,
                                    now_ns);
}

uint32_t cw_net_receive(struct cw_net *net, uint64_t now_ns)
{
    uint32_t count = 0;
    net->now_ns = now_ns;
    net->turns++;
    bool has_certificates = net->engine->config.security.has_certificates;
    if (has_certificates)
        count += hear_control(net);
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        path->now_ns = now_ns;
        cw_port_on_time(path->port, now_ns);
        count += cw_port_receive(path->port, on_datagram, path);
        look_at_hint(path, now_ns);
        if (cw_session_wants_entropy(path->session)) {
            uint8_t seed[64];
            random_fill(seed, sizeof seed);
            cw_session_entropy(path->session, seed);
        }
        if (now_ns >= cw_session_deadline_ns(path->session))
            cw_session_on_time(path->session, now_ns);
        count += drain_events(net, path);
        give_back_undelivered(net, path);
    }
    if (has_certificates)
        ask_control(net);
    return count;
}

static uint32_t transmit_path(struct cw_net_path *path, uint64_t now_ns)
{
    uint32_t count = 0;
    path->is_blocked = false;
    while (count < CW_NET_DATAGRAMS_PER_TURN) {
        uint8_t *datagram = cw_port_transmit_next(path->port);
        if (datagram == NULL) {
            path->is_blocked = true;
            break;
        }
        size_t length = cw_session_transmit(path->session, datagram, now_ns);
        if (length == 0) {
            cw_port_transmit_abandon(path->port);
            break;
        }
        cw_port_transmit_commit(path->port, length);
        if (++count % FLUSH_EACH == 0)
            cw_port_flush(path->port);
    }
    cw_port_flush(path->port);
    return count;
}

/* A queue that always has something in it is no reason to say nothing: a sample is good once the frames of
 * its time are gone. */
static void look_what_left(struct cw_net_path *path)
{
    struct cw_net_departures *all = &path->departures;
    uint64_t packets = cw_port_counter(path->port, CW_PORT_TX_PACKETS);
    if (packets < all->sample_packets)
        return;
    all->left = all->sample;
    all->sample = cw_session_live_left(path->session);
    all->sample_packets = packets + cw_port_waiting(path->port);
    if (all->sample_packets == packets)
        all->left = all->sample;
}

static uint32_t tell_departures(struct cw_net *net, struct cw_net_path *path)
{
    struct cw_net_departures *all = &path->departures;
    uint32_t count = 0;
    if (all->head == all->tail)
        return 0;
    look_what_left(path);
    while (all->head != all->tail && has_room(net)) {
        const struct cw_net_departure *first = &all->ring[all->head % CW_NET_MESSAGES_MAX];
        if (first->number >= all->left)
            break;
        struct cw_from_net left = {.type = CW_FROM_NET_LEFT,
                                   .path = path->index,
                                   .slot = first->slot,
                                   .group = first->group,
                                   .departure = first->departure};
        all->head++;
        count++;
        push_to_store(net, &left);
    }
    return count;
}

static void take_samples(struct cw_net *net)
{
    struct cw_path_log *log = net->log;
    if (log == NULL || net->now_ns < log->next_ns)
        return;
    bool fits = log->count + net->path_count <= CW_PATH_LOG_SAMPLES;
    log->next_ns = fits ? net->now_ns + log->every_ns : CW_NEVER;
    for (uint32_t i = 0; fits && i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        struct cw_path_sample *sample = &log->samples[log->count++];
        struct cw_session_stats stats;
        cw_session_stats(path->session, &stats);
        cw_path_sample_fill(sample, &stats);
        sample->time_ns = net->now_ns;
        sample->path = path->index;
        sample->is_up = path->is_up;
        for (unsigned s = 0; s < CW_STREAM_COUNT; s++)
            sample->pending += path->pending[s].count;
    }
}

static void exchange_logs(struct cw_net *net, struct cw_snapshot *snapshot)
{
    struct cw_path_log *last = net->log;
    if (!snapshot->has_log)
        return;
    net->log = snapshot->log;
    snapshot->log = last;
}

static void fill_snapshot(struct cw_net *net, struct cw_snapshot *snapshot)
{
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        struct cw_path_snapshot *to = &snapshot->paths[i];
        to->is_up = path->is_up;
        cw_session_stats(path->session, &to->session);
        for (unsigned s = 0; s < CW_STREAM_COUNT; s++)
            to->pending += path->pending[s].count;
        for (unsigned c = 0; c < CW_PORT_COUNTER_COUNT; c++)
            to->port[c] = cw_port_counter(path->port, c);
    }
    snapshot->net_turns = net->turns;
    if (snapshot->trace != NULL)
        snapshot->trace->counts[CW_TRACE_NET] =
            cw_trace_last(&net->trace, snapshot->trace->entries[CW_TRACE_NET], CW_TRACE_ENTRIES);
    exchange_logs(net, snapshot);
    snapshot->net_cycle_ns_max = net->cycle_ns_max;
    net->cycle_ns_max = 0;
}

static void answer_snapshot(struct cw_net *net)
{
    if (net->snapshot == NULL || !has_room(net))
        return;
    fill_snapshot(net, net->snapshot);
    struct cw_from_net element = {.type = CW_FROM_NET_SNAPSHOT, .snapshot = net->snapshot};
    push_to_store(net, &element);
    net->snapshot = NULL;
}

uint32_t cw_net_transmit(struct cw_net *net, uint64_t now_ns)
{
    net->now_ns = now_ns;
    uint32_t count = take_commands(net);
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        count += send_pending(path);
        count += transmit_path(path, now_ns);
        count += tell_departures(net, path);
    }
    take_samples(net);
    answer_snapshot(net);
    return count;
}

uint64_t cw_net_deadline_ns(const struct cw_net *net)
{
    uint64_t deadline_ns = net->log != NULL ? net->log->next_ns : CW_NEVER;
    for (uint32_t i = 0; i < net->path_count; i++) {
        const struct cw_net_path *path = &net->paths[i];
        uint64_t due_ns = cw_session_deadline_ns(path->session);
        if (path->is_blocked) /* what is due cannot leave: no reason to burn a CPU over it */
            due_ns = CW_MAX(due_ns, net->now_ns + (path->is_up ? BLOCKED_UP_NS : BLOCKED_DOWN_NS));
        deadline_ns = CW_MIN(deadline_ns, CW_MIN(due_ns, cw_port_deadline_ns(path->port)));
    }
    return deadline_ns;
}

bool cw_net_is_any_up(const struct cw_net *net)
{
    for (uint32_t i = 0; i < net->path_count; i++) {
        if (net->paths[i].is_up)
            return true;
    }
    return false;
}

void cw_net_close_sessions(struct cw_net *net, uint64_t now_ns)
{
    for (uint32_t i = 0; i < net->path_count; i++) {
        cw_session_close(net->paths[i].session, now_ns);
        (void)transmit_path(&net->paths[i], now_ns);
    }
}
