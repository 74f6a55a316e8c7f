/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a site gets whole and into the in-sync set while writes go on.
 *
 * It may be asked for when it holds all that was acknowledged, and under steady writes it is behind by what
 * is on its way, for ever. So answers wait for a site that is nearly level as if it were a member already:
 * then what is acknowledged stands still for the time of a round trip, and it is level.
 *
 * Where writes come faster than the path it gets no nearer, but farther behind, until the journal is full of
 * what it lacks. Then it is not given up, as long as it takes something: it lands. While it does, half as
 * much as it takes may enter, so that it comes nearer. The same for the last part of a copy (cw_copy_brakes).
 *
 * All this is the brake. It acts only where writes wait for the path anyway, not in async; only while no
 * other replica is in the set, since a slow one slows nobody whom another protects; and holds no write, and
 * no answer, longer than copy_brake at once.
 */
#include "replication/group_private.h"

#include <stdio.h>

#define SLACK   64u /* records that may enter before it took any */
#define TELL_NS (10 * CW_SECOND)

static bool is_out(const struct cw_group *g, const struct cw_peer *peer)
{
    return !((g->set.members | g->set.asked) & cw_bit(peer->site));
}

static bool has_protector(const struct cw_group *g)
{
    bool is_any_awaited = false;

    for (uint32_t s = 0; s < CW_SITES_MAX; s++)
        is_any_awaited |= g->peers[s].is_awaited;
    return is_any_awaited || (g->set.members & ~cw_bit(g->config.self)) != 0;
}

bool cw_brake_may_hold(const struct cw_group *g)
{
#if CW_PLANTED_BUG == 24 /* no write ever waits for a site that would come into the set */
    return false;
#endif
    return g->role == CW_ROLE_PRIMARY && g->config.mode != CW_MODE_ASYNC && !has_protector(g) &&
           g->config.copy_brake_ns > 0 &&
           (g->no_room_since_ns == 0 || g->now_ns - g->no_room_since_ns < g->config.copy_brake_ns);
}

static bool moves(const struct cw_group *g, const struct cw_peer *peer)
{
    return peer->is_up && g->now_ns - peer->progress_ns < g->config.replica_timeout_ns;
}

void cw_landing_begin(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->is_landing || peer->needs_copy || !moves(g, peer) || !cw_brake_may_hold(g))
        return;
    peer->is_landing = true;
    peer->landing_head = g->head;
    peer->landing_acked = peer->acked.written;
}

bool cw_landing_brakes(const struct cw_group *g, const struct cw_peer *peer)
{
    return peer->is_landing && cw_brake_may_hold(g);
}

bool cw_landing_lets(const struct cw_group *g, uint64_t records)
{
    for (uint32_t s = 0; s < CW_SITES_MAX; s++) {
        const struct cw_peer *peer = &g->peers[s];
        if (!cw_landing_brakes(g, peer))
            continue;
        uint64_t taken = peer->acked.written - CW_MIN(peer->acked.written, peer->landing_acked);
        if (g->head + records > peer->landing_head + taken / 2 + SLACK)
            return false;
    }
    return true;
}

/* A slower application wants to know why. */
static void tell(struct cw_group *g, struct cw_peer *peer)
{
    bool brakes = cw_landing_brakes(g, peer) || cw_copy_brakes(g, peer);

    if (g->no_room_since_ns == 0 || !brakes ||
        (peer->brake_told_ns && g->now_ns - peer->brake_told_ns < TELL_NS))
        return;
    peer->brake_told_ns = g->now_ns;
    snprintf(peer->reason, sizeof peer->reason, "%s",
             "writes come faster than the path takes them, and are slowed until it is in the set (group set "
             "GROUP copy_brake=0: never)");
    cw_group_event(g, 1,
                   "writes are slowed to the pace of site %llu, so that it can come into the set; none waits "
                   "longer than %llu ms at once (copy_brake)",
                   peer->site, g->config.copy_brake_ns / CW_MS, 0);
}

/* What it has not written is so young that it has it soon. */
static bool is_near(struct cw_group *g, const struct cw_peer *peer)
{
    uint64_t first = peer->acked.written + 1;

    if (peer->state != CW_PEER_STREAMING || peer->needs_copy || !peer->is_up)
        return false;
    if (first > g->head)
        return true;
    return cw_log_has(g, first) && cw_log_at(g, first)->record.reign == g->reign &&
           g->now_ns - cw_log_at(g, first)->record.time_ns < g->config.copy_brake_ns / 4;
}

/* Do answers wait for it, so that it gets level? */
static void join(struct cw_group *g, struct cw_peer *peer)
{
    bool may = cw_group_is_open(g) && cw_mode_has_set(g->config.mode) && is_out(g, peer) &&
               !has_protector(g) && is_near(g, peer);

    if (peer->joins_since_ns == 0) {
        peer->joins_since_ns = may && g->now_ns >= peer->joins_again_ns ? g->now_ns : 0;
    } else if (!may || g->now_ns - peer->joins_since_ns >= g->config.copy_brake_ns) {
        peer->joins_since_ns = 0;
        peer->joins_again_ns = is_out(g, peer) ? g->now_ns + 5 * g->config.copy_brake_ns : 0;
    }
}

void cw_landing_step(struct cw_group *g)
{
    for (uint32_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (!peer->is_configured)
            continue;
        if (!cw_group_is_open(g) || has_protector(g) || peer->needs_copy || !moves(g, peer))
            peer->is_landing = false;
        join(g, peer);
        tell(g, peer);
    }
}

uint8_t cw_landing_mask(const struct cw_group *g)
{
    uint8_t mask = 0;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        mask |= g->peers[s].joins_since_ns ? cw_bit(s) : 0;
    return mask;
}
