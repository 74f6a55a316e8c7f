/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-sync set. The store's word counts: a member leaves when the store has recorded it, and only then do
 * waiting requests go on without it; a replica is waited for from the moment we ask for it to be added,
 * because from then on the store may believe that it holds everything.
 *
 * One question at a time. A question without an answer is asked again, the same, until it is answered: what
 * the store did is not known before.
 */
#include "replication/group_private.h"

#define ASK_AGAIN_NS CW_SECOND

static void ask(struct cw_group *g, uint8_t members)
{
    struct cw_action *action = cw_group_act(g, CW_ACT_SET);

    g->set.asked = members;
    g->set.is_in_flight = true;
    action->from_epoch = g->epoch;
    action->epoch = g->epoch;
    action->reign = g->reign;
    action->members_from = g->set.members;
    action->members_to = members;
    g->set.identities[g->config.self] = g->config.identity;
    action->identities = g->set.identities;
}

void cw_group_on_set_changed(struct cw_group *g, bool ok, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    g->set.is_in_flight = false;
    if (!cw_group_is_open(g) || !g->set.asked)
        return; /* of an earlier reign: this one has asked nothing yet, it waited for this answer */
    if (!ok) {
        g->set.retry_ns = now_ns + ASK_AGAIN_NS;
        return;
    }
    uint8_t joined = g->set.asked & ~g->set.members, left = g->set.members & ~g->set.asked;
    g->set.members = g->set.asked;
    g->set.asked = 0;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        if (joined & cw_bit(s)) {
            g->peers[s].progress_ns = now_ns;
            cw_group_event(g, 0, "site %llu is in sync", s, 0, 0);
        }
        if (left & cw_bit(s))
            cw_group_event(g, 1, "site %llu is out of the in-sync set: writes go on without it", s, 0, 0);
    }
}

/* Does it hold everything that was ever acknowledged, as the mode wants it held? */
static bool is_level(const struct cw_group *g, const struct cw_peer *peer)
{
    if (peer->state != CW_PEER_STREAMING || peer->needs_copy)
        return false;
    return cw_member_holds(g, peer) >= CW_MAX(g->completed, g->commit) &&
           cw_member_keeps(g, peer) >= g->flushed && g->head - peer->acked.written < g->log_mask / 2;
}

static bool is_in_the_way(const struct cw_group *g, const struct cw_peer *peer)
{
    bool is_behind = cw_member_holds(g, peer) < g->logged || cw_member_keeps(g, peer) < g->sync_wanted;

    return peer->state != CW_PEER_STREAMING || is_behind;
}

/* Must this member be taken out? At once when it is not the one that was added, or is no longer configured;
 * after replica_timeout when it stands in the way, unless min_in_sync says to hold everything instead. */
static bool must_leave(struct cw_group *g, struct cw_peer *peer)
{
    uint8_t others = g->set.members & ~cw_bit(g->config.self) & ~cw_bit(peer->site);

    if (!peer->is_configured || (!cw_mode_has_set(g->config.mode) && g->role == CW_ROLE_PRIMARY))
        return true;
    if (peer->has_hello && !cw_identity_equal(&peer->hello.identity, &g->set.identities[peer->site],
                                              g->config.mode == CW_MODE_SEMI_SYNC))
        return true;
    if (peer->needs_copy || peer->state == CW_PEER_COPY_BEGIN || peer->state == CW_PEER_COPYING ||
        peer->state == CW_PEER_DIVERGED)
        return true;
    if (!is_in_the_way(g, peer))
        peer->progress_ns = g->now_ns;
    return g->now_ns - peer->progress_ns >= g->config.replica_timeout_ns &&
           (g->config.min_in_sync == 0 || others != 0);
}

static uint8_t wanted(struct cw_group *g)
{
    uint8_t members = g->set.members;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (s == g->config.self)
            continue;
        if (!(members & cw_bit(s))) {
            if (peer->is_configured && is_level(g, peer) &&
                (cw_mode_has_set(g->config.mode) || g->role != CW_ROLE_PRIMARY)) {
                g->set.identities[s] = peer->hello.identity;
                return (uint8_t)(members | cw_bit(s));
            }
            continue;
        }
        if (must_leave(g, peer))
            return (uint8_t)(members & ~cw_bit(s));
    }
    return members;
}

void cw_members_step(struct cw_group *g)
{
    if (!cw_group_is_open(g) || g->set.is_in_flight || !cw_group_can_send(g) || g->now_ns < g->set.retry_ns)
        return;
    if (g->set.asked) {
        ask(g, g->set.asked);
        return;
    }
    uint8_t members = wanted(g);
    if (members != g->set.members)
        ask(g, members);
}
