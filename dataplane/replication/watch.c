/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A site that lacks something and gets nothing is told, whatever its state is called: catching up or being
 * copied, connected all the while, and for CW_STALL_NS no byte and no sequence of it has moved. It is told
 * once, with the next step, and again when it moves; its leg (not its session) is begun anew meanwhile, each
 * time that has passed.
 *
 * Moves what it acknowledges for the first time: records, chunks of a copy, the attachment itself. A site
 * that is away, or diverged, has words of its own.
 */
#include "replication/group_private.h"

static bool lacks_something(const struct cw_group *g, const struct cw_peer *peer)
{
    if (!peer->is_up || peer->state == CW_PEER_DIVERGED || peer->state == CW_PEER_DISCONNECTED)
        return false;
    return peer->state != CW_PEER_STREAMING || peer->acked.durable < g->head;
}

static void begin_anew(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->state == CW_PEER_STREAMING || peer->state == CW_PEER_COPYING)
        cw_source_reset(g, peer, CW_PEER_GREETING);
}

static void watch(struct cw_group *g, struct cw_peer *peer)
{
    if (!cw_group_is_open(g) || !lacks_something(g, peer)) {
        peer->moved_ns = g->now_ns;
        peer->is_stalled = peer->is_stalled && cw_group_is_open(g) && peer->is_up;
    }
    if (g->now_ns - peer->moved_ns < CW_STALL_NS) {
        if (peer->is_stalled && peer->moved_ns > peer->stalled_ns)
            cw_group_event(g, 0, "what site %llu lacks moves again", peer->site, 0, 0);
        peer->is_stalled = peer->is_stalled && peer->moved_ns <= peer->stalled_ns;
        return;
    }
    if (!peer->is_stalled)
        cw_group_event(
            g, 2,
            "site %llu is connected and lacks something, but nothing has moved for %llu s: it is begun "
            "anew; if it stays so, look at that site's events and disks, and restart its engine",
            peer->site, CW_STALL_NS / CW_SECOND, 0);
    if (!peer->is_stalled || g->now_ns - peer->stalled_ns >= CW_STALL_NS) {
        begin_anew(g, peer);
        peer->stalled_ns = g->now_ns;
    }
    peer->is_stalled = true;
}

void cw_watch_step(struct cw_group *g)
{
    for (uint32_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].is_configured)
            watch(g, &g->peers[s]);
}
