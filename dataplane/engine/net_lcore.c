/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/net_lcore.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "io/host.h"

#define BLOCKED_UP_NS   (20 * CW_US)
#define BLOCKED_DOWN_NS CW_MS

/* ---------------------------------------------------------------- building */

void cw_net_port_config(const struct cw_node_config *config, uint32_t index, struct cw_port_config *port)
{
    const struct cw_config_path *path = &config->paths[index];
    *port = (struct cw_port_config){.mtu = path->mtu,
                                    .local_ip = path->local.ip,
                                    .remote_ip = path->peer.ip,
                                    .local_udp = path->local.port,
                                    .remote_udp = path->peer.port,
                                    .vlan = path->vlan,
                                    .next_hop = path->gateway,
                                    .is_shared = path->is_shared,
                                    .queues = config->lane_count,
                                    .is_followed = path->is_followed,
                                    .is_ecn_capable = path->rate_control != CW_CONFIG_RATE_FIXED};
    snprintf(port->name, sizeof port->name, "%s", path->name);
    snprintf(port->device, sizeof port->device, "%s", path->device);
    memcpy(port->local_mac, path->local.mac, 6);
    memcpy(port->remote_mac, path->peer.mac, 6);
}

/* Which paths lead to which peer. */
static void join_paths(struct cw_net *net, const struct cw_node_config *config)
{
    net->peer_count = config->peer_count;
    for (uint32_t i = 0; i < net->peer_count; i++) {
        const struct cw_config_peer *wanted = &config->peers[i];
        struct cw_net_peer *peer = &net->peers[i];
        peer->index = (uint8_t)i;
        peer->site = cw_engine_peer_site(net->engine, i);
        peer->path_count = wanted->path_count;
        for (unsigned p = 0; p < wanted->path_count; p++) {
            peer->paths[p] = &net->paths[wanted->paths[p]];
            peer->paths[p]->peer = peer;
            peer->paths[p]->number = (uint8_t)p;
        }
    }
}

static struct cw_port *open_port(struct cw_net *net, uint32_t path, char *why, size_t why_size)
{
    struct cw_port_config config;
    if (net->lane > 0)
        return cw_port_lane(net->engine->lanes[0].net->paths[path].port, net->lane);
    cw_net_port_config(&net->engine->config, path, &config);
    return cw_port_open(&config, why, why_size);
}

enum cw_status cw_net_open_ports(struct cw_net *net, struct cw_engine *engine, uint32_t lane, char *why,
                                 size_t why_size)
{
    net->engine = engine;
    net->lane = lane;
    net->mail = &engine->lanes[lane];
    net->path_count = engine->config.path_count;
    join_paths(net, &engine->config);
    for (uint32_t i = 0; i < net->path_count; i++) {
        net->paths[i].index = (uint8_t)i;
        net->paths[i].is_followed = engine->config.paths[i].is_followed;
        net->paths[i].port = open_port(net, i, why, why_size);
        if (net->paths[i].port == NULL)
            return CW_IO;
    }
    return CW_OK;
}

void cw_net_init(struct cw_net *net, struct cw_arena *arena, const struct cw_aead_ops *aead, uint64_t now_ns)
{
    cw_trace_init(&net->trace, arena, CW_TRACE_ENTRIES);
    for (uint32_t i = 0; i < net->peer_count; i++)
        cw_net_peer_init(net, &net->peers[i], arena, aead, now_ns);
}

/* ---------------------------------------------------------------- towards the store */

void cw_net_push(struct cw_net *net, const struct cw_from_net *element)
{
    bool pushed = cw_ring_push(&net->mail->from_net, element);
    CW_ASSERT(pushed && "room was seen before");
    net->has_pushed = true;
}

bool cw_net_has_room(struct cw_net *net)
{
    return cw_ring_room(&net->mail->from_net) > 0;
}

/* ---------------------------------------------------------------- from the store */

/* False: it cannot be taken yet and stays in net->held. */
static bool take_command(struct cw_net *net, const struct cw_to_net *message)
{
    struct cw_net_peer *peer = &net->peers[message->peer];
    switch (message->type) {
    case CW_TO_NET_SEND:
        return cw_net_peer_send(net, peer, message);
    case CW_TO_NET_RELEASE:
        cw_session_release(peer->session, message->buffer);
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
    while (count < CW_NET_COMMANDS_PER_TURN && cw_ring_pop(&net->mail->to_net, &net->held)) {
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
    struct cw_net_question question;
    bool has_asked = false;
    for (uint32_t i = 0; i < net->peer_count; i++) {
        question.peer = (uint8_t)i;
        while (cw_ring_room(&net->mail->questions) > 0 &&
               cw_session_auth_request(net->peers[i].session, &question.request))
            has_asked |= cw_ring_push(&net->mail->questions, &question);
    }
    uint64_t one = 1;
    if (has_asked)
        (void)!write(net->engine->control_wake_fd, &one, sizeof one);
}

static uint32_t hear_control(struct cw_net *net)
{
    struct cw_net_verdict verdict;
    uint32_t count = 0;
    while (cw_ring_pop_secret(&net->mail->verdicts, &verdict)) {
        CW_ASSERT(verdict.peer < net->peer_count);
        cw_session_auth_answer(net->peers[verdict.peer].session, &verdict.answer, net->now_ns);
        count++;
    }
    if (count > 0)
        explicit_bzero(&verdict, sizeof verdict);
    return count;
}

/* ---------------------------------------------------------------- the turn */

/* Of a path that follows its peer: what the session may want to send to is remembered while it is known. */
static void on_datagram_from(void *context, uint8_t *datagram, size_t length)
{
    struct cw_net_path *path = context;
    struct cw_session *session = path->peer->session;
    bool is_marked = cw_port_is_marked(path->port, datagram);
    uint64_t from = cw_port_source(path->port, datagram);
    cw_session_on_datagram_from(session, path->number, from, is_marked, datagram, length, path->now_ns);
    if (from != 0 && cw_session_needs_address(session, path->number, from))
        cw_port_remember(path->port, datagram, cw_session_address(session, path->number));
}

static void on_datagram(void *context, uint8_t *datagram, size_t length)
{
    struct cw_net_path *path = context;
    struct cw_session *session = path->peer->session;
    if (cw_port_is_marked(path->port, datagram))
        cw_session_on_datagram_marked(session, path->number, datagram, length, path->now_ns);
    else
        cw_session_on_datagram(session, path->number, datagram, length, path->now_ns);
}

static_assert(CW_HOST_QUOTED_BYTES == CW_SESSION_QUOTED_BYTES, "a port quotes what a session looks at");

/* Counted by the session, whether it believed it or not. What it believed holds for all lanes: theirs is the
 * same way. */
static void look_at_hint(struct cw_net_path *path, uint64_t now_ns)
{
    struct cw_session *session = path->peer->session;
    struct cw_host_too_big told;
    if (!cw_port_too_big(path->port, &told))
        return;
    if (told.is_believed)
        cw_session_on_narrower(session, path->number, told.datagram_bytes, now_ns);
    else if (cw_session_on_too_big(session, path->number, told.quoted, sizeof told.quoted,
                                   told.datagram_bytes, now_ns))
        cw_port_too_big_believed(path->port, &told);
}

static uint32_t receive_path(struct cw_net_path *path, uint64_t now_ns)
{
    path->now_ns = now_ns;
    cw_port_on_time(path->port, now_ns);
    uint32_t count = cw_port_receive(path->port, path->is_followed ? on_datagram_from : on_datagram, path);
    look_at_hint(path, now_ns);
    return count;
}

bool cw_net_must_start_over(const struct cw_net *net)
{
    /* relaxed: nothing else is handed over by it */
    return atomic_load_explicit(&net->engine->rewinds, memory_order_relaxed) != net->rewinds;
}

static void start_over(struct cw_net *net)
{
    net->rewinds = atomic_load_explicit(&net->engine->rewinds, memory_order_relaxed);
    for (uint32_t i = 0; i < net->peer_count; i++)
        cw_session_start_over(net->peers[i].session, net->now_ns);
}

/* A burst takes as long as it has datagrams: what waits on the next path has come at any time until that is
 * looked at, and would make round trips too short with the time of this one. */
static uint32_t receive_paths(struct cw_net *net, struct cw_net_peer *peer)
{
    uint32_t all = 0;
    for (unsigned p = 0; p < peer->path_count; p++) {
        uint32_t count = receive_path(peer->paths[p], net->now_ns);
        if (count > 0 && net->path_count > 1)
            net->now_ns = cw_clock_now_ns();
        all += count;
    }
    return all;
}

uint32_t cw_net_receive(struct cw_net *net, uint64_t now_ns)
{
    uint32_t count = 0;
    net->now_ns = now_ns;
    net->turns++;
    if (cw_net_must_start_over(net))
        start_over(net);
    bool has_certificates = net->engine->config.security.has_certificates;
    if (has_certificates)
        count += hear_control(net);
    for (uint32_t i = 0; i < net->peer_count; i++) {
        struct cw_net_peer *peer = &net->peers[i];
        count += receive_paths(net, peer);
        count += cw_net_peer_turn(net, peer);
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
        size_t length = cw_session_transmit(path->peer->session, path->number, datagram, now_ns);
        if (length == 0) {
            cw_port_transmit_abandon(path->port);
            break;
        }
        if (path->is_followed)
            cw_port_transmit_commit_to(path->port, length,
                                       cw_session_goes_to(path->peer->session, path->number));
        else
            cw_port_transmit_commit(path->port, length);
        if (cw_port_is_flush_due(++count))
            cw_port_flush(path->port);
    }
    cw_port_flush(path->port);
    return count;
}

/* ---------------------------------------------------------------- pictures and samples */

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
        struct cw_session_path_stats stats;
        cw_session_path_stats(path->peer->session, path->number, &stats);
        cw_path_sample_fill(sample, &stats);
        sample->time_ns = net->now_ns;
        sample->path = path->index;
        sample->is_up = path->is_up;
        sample->pending = cw_net_peer_pending(path->peer);
    }
}

static void exchange_logs(struct cw_net *net, struct cw_snapshot *snapshot)
{
    struct cw_path_log *last = net->log;
    if (!snapshot->has_log || snapshot->log_lane != net->lane)
        return;
    net->log = snapshot->log;
    snapshot->log = last;
}

static void fill_snapshot(struct cw_net *net, struct cw_snapshot *snapshot)
{
    struct cw_lane_snapshot *own = &snapshot->lanes[net->lane];
    uint32_t trace = CW_TRACE_NET + net->lane;
    for (uint32_t i = 0; i < net->path_count; i++) {
        struct cw_net_path *path = &net->paths[i];
        struct cw_path_snapshot *to = &own->paths[i];
        to->is_up = path->is_up;
        cw_net_peer_path_stats(path, &to->stats);
        to->pending = cw_net_peer_pending(path->peer);
        cw_port_address_text(path->port, to->stats.address, to->address);
        for (unsigned c = 0; c < CW_PORT_COUNTER_COUNT; c++)
            to->port[c] = cw_port_counter(path->port, c);
    }
    own->turns = net->turns;
    if (snapshot->trace != NULL)
        snapshot->trace->counts[trace] =
            cw_trace_last(&net->trace, snapshot->trace->entries[trace], CW_TRACE_ENTRIES);
    exchange_logs(net, snapshot);
    own->cycle_ns_max = net->cycle_ns_max;
    net->cycle_ns_max = 0;
}

static void answer_snapshot(struct cw_net *net)
{
    if (net->snapshot == NULL || !cw_net_has_room(net))
        return;
    fill_snapshot(net, net->snapshot);
    struct cw_from_net element = {.type = CW_FROM_NET_SNAPSHOT, .snapshot = net->snapshot};
    cw_net_push(net, &element);
    net->snapshot = NULL;
}

/* ---------------------------------------------------------------- the turn, and between turns */

uint32_t cw_net_transmit(struct cw_net *net, uint64_t now_ns)
{
    net->now_ns = now_ns;
    uint32_t count = take_commands(net);
    for (uint32_t i = 0; i < net->peer_count; i++) {
        struct cw_net_peer *peer = &net->peers[i];
        count += cw_net_peer_send_pending(peer);
        for (unsigned p = 0; p < peer->path_count; p++)
            count += transmit_path(peer->paths[p], now_ns);
        count += cw_net_peer_tell_departures(net, peer);
    }
    take_samples(net);
    answer_snapshot(net);
    return count;
}

static uint64_t peer_deadline_ns(const struct cw_net *net, const struct cw_net_peer *peer)
{
    uint64_t due_ns = cw_session_deadline_ns(peer->session), ports_ns = CW_NEVER;
    unsigned blocked = 0;
    for (unsigned p = 0; p < peer->path_count; p++) {
        blocked += peer->paths[p]->is_blocked;
        ports_ns = CW_MIN(ports_ns, cw_port_deadline_ns(peer->paths[p]->port));
    }
    bool may_wait = blocked == peer->path_count && !peer->is_up;
    if (blocked > 0) /* what is due cannot leave: no reason to burn a CPU over it */
        due_ns = CW_MAX(due_ns, net->now_ns + (may_wait ? BLOCKED_DOWN_NS : BLOCKED_UP_NS));
    due_ns = CW_MIN(due_ns, cw_net_peer_departures_deadline_ns(peer, net->now_ns));
    return CW_MIN(due_ns, ports_ns);
}

uint64_t cw_net_deadline_ns(const struct cw_net *net)
{
    uint64_t deadline_ns = net->log != NULL ? net->log->next_ns : CW_NEVER;
    for (uint32_t i = 0; i < net->peer_count; i++)
        deadline_ns = CW_MIN(deadline_ns, peer_deadline_ns(net, &net->peers[i]));
    return deadline_ns;
}

bool cw_net_is_any_up(const struct cw_net *net)
{
    for (uint32_t i = 0; i < net->peer_count; i++) {
        if (net->peers[i].is_up)
            return true;
    }
    return false;
}

void cw_net_close_sessions(struct cw_net *net, uint64_t now_ns)
{
    for (uint32_t i = 0; i < net->peer_count; i++) {
        struct cw_net_peer *peer = &net->peers[i];
        cw_session_close(peer->session, now_ns);
        for (unsigned p = 0; p < peer->path_count; p++)
            (void)transmit_path(peer->paths[p], now_ns);
    }
}
