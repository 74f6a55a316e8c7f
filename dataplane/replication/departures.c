/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * network-sync: what has left this node towards whom.
 *
 * The shell tells when a record and its repairs have left; records of the live stream leave in order. A
 * replica is awaited while it is streamed to and keeps up: one that catches up, is copied or does not answer
 * holds up nobody, and neither does one towards which nothing leaves any more. That it has left does not mean
 * that it arrives: there is no in-sync set, and after the loss of the primary's site this mode promises what
 * async does.
 */
#include "replication/group_private.h"

#define SEQUENCE_BITS 48u
#define SEQUENCE_MASK ((1ull << SEQUENCE_BITS) - 1)

void cw_departure_ask(struct cw_group *g, const struct cw_peer *peer, uint64_t sequence)
{
    struct cw_action *action = &g->actions[(g->action_tail - 1) & g->action_mask];

    CW_ASSERT(action->type == CW_ACT_SEND && action->peer == peer->site);
    CW_ASSERT(sequence <= SEQUENCE_MASK && "a record each nanosecond for three days");
    action->departure = (uint64_t)peer->attaches << SEQUENCE_BITS | sequence;
}

void cw_group_on_left(struct cw_group *g, uint8_t site, uint64_t departure, uint64_t now_ns)
{
    struct cw_peer *peer = &g->peers[site];

    cw_group_clock(g, now_ns);
    if (departure >> SEQUENCE_BITS != peer->attaches || peer->state != CW_PEER_STREAMING)
        return;
    peer->left = CW_MAX(peer->left, departure & SEQUENCE_MASK);
    peer->left_ns = now_ns;
}

/* What was acknowledged by it has left, whatever the shell said. */
static uint64_t left_to(const struct cw_peer *peer)
{
    return CW_MAX(peer->left, peer->acked.received);
}

uint64_t cw_departures_all(const struct cw_group *g)
{
    uint64_t all = g->head;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].is_awaited)
            all = CW_MIN(all, left_to(&g->peers[s]));
    return all;
}

void cw_departures_step(struct cw_group *g)
{
    if (g->config.mode != CW_MODE_NETWORK_SYNC || !cw_group_is_open(g))
        return;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (!peer->is_configured || peer->state != CW_PEER_STREAMING) {
            peer->is_awaited = false;
            continue;
        }
        if (left_to(peer) >= g->head)
            peer->left_ns = g->now_ns;
        if (!peer->is_awaited && left_to(peer) >= g->completed) {
            peer->is_awaited = true;
            peer->left_ns = g->now_ns;
        } else if (peer->is_awaited && g->now_ns - peer->left_ns >= g->config.replica_timeout_ns) {
            peer->is_awaited = false;
            cw_group_event(g, 1, "nothing leaves towards site %llu: writes go on without it", s, 0, 0);
        }
    }
}
