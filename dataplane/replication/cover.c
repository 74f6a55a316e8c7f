/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What covers a reign: the lease that the store renews, or, without it, grants of all other sites (grants.h).
 * Here are its messages, its events and words, and the two questions of an opening: may it begin, and may its
 * claim be sent?
 *
 * What covers is told when it changes, not before the store has renewed once in this reign: an opening has
 * grants before it has a lease.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

void cw_cover_start(struct cw_group *g)
{
    cw_grants_init(&g->grants, g->config.peer_grants, g->super.history.count == 0, g->config.lease_ns,
                   g->now_ns);
    if (g->config.is_store_epoch_told)
        cw_grants_on_store_epoch(&g->grants, g->config.store_epoch);
}

/* ---------------------------------------------------------------- messages */

void cw_cover_on_message(struct cw_group *g, const struct cw_peer *peer, const struct cw_message *m)
{
    switch (m->type) {
    case CW_MSG_GRANT_ASK:
        cw_grants_on_ask(&g->grants, peer->site, m->epoch, m->reign, &m->grant_ask);
        return;
    case CW_MSG_GRANT:
        cw_grants_on_grant(&g->grants, peer->site, m->epoch, m->reign, &m->grant, g->now_ns);
        return;
    case CW_MSG_GRANT_RELEASE:
        cw_grants_on_release(&g->grants, peer->site, m->epoch, m->reign);
        return;
    default:
        return;
    }
}

static uint8_t other_sites(const struct cw_group *g)
{
    return (uint8_t)(g->config.sites & ~cw_bit(g->config.self));
}

/* The reign is over here, whatever ended it: nothing of it is answered from this turn on. */
static void release(struct cw_group *g)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_message m = {
            .type = CW_MSG_GRANT_RELEASE, .epoch = g->grants.epoch, .reign = g->grants.reign};
        if (g->grants.is_on && g->peers[s].is_configured && g->peers[s].is_up && cw_group_can_send(g))
            cw_group_send(g, s, 0, &m, NULL, 0, 0);
    }
    cw_grants_end_reign(&g->grants);
}

static void follow_reign(struct cw_group *g)
{
    bool is_open = cw_group_is_open(g) && !g->is_stopped;
    bool is_same = g->grants.epoch == g->epoch && g->grants.reign == g->reign;

    if (g->grants.epoch > 0 && !(is_open && is_same))
        release(g);
    if (!is_open)
        return;
    if (g->grants.epoch == 0) {
        cw_grants_begin_reign(&g->grants, g->epoch, g->reign, other_sites(g));
        g->cover_told = CW_COVER_STORE;
        g->is_covered_once = false;
    }
    g->grants.sites = other_sites(g); /* one that is added has granted nothing yet */
}

static void ask(struct cw_group *g, struct cw_peer *peer)
{
    struct cw_message m = {.type = CW_MSG_GRANT_ASK};

    if (!peer->is_configured || !peer->is_up || g->is_stopping || !cw_group_can_send(g) ||
        !cw_grants_wants_ask(&g->grants, peer->site, g->now_ns))
        return;
    m.grant_ask = cw_grants_ask(&g->grants, peer->site, g->now_ns);
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
}

/* Of what is known here: a reign in our history is over when a later one stands there. */
static uint64_t known_epoch(const struct cw_group *g)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    uint64_t epoch = CW_MAX(last ? last->epoch : 0, g->epoch);

    return cw_group_is_open(g) ? epoch + 1 : epoch;
}

static void answer(struct cw_group *g, struct cw_peer *peer)
{
    bool is_opening = (g->role > CW_ROLE_REPLICA && !cw_group_is_open(g)) || g->is_claim_in_flight;
    struct cw_message m = {.type = CW_MSG_GRANT};

    if (!peer->is_up || g->is_stopping || !cw_group_can_send(g) ||
        !cw_grants_answer(&g->grants, peer->site, known_epoch(g), is_opening, g->now_ns, &m.grant, &m.epoch,
                          &m.reign))
        return;
    cw_group_send(g, peer->site, 0, &m, NULL, 0, 0);
}

/* ---------------------------------------------------------------- what covers now */

static enum cw_cover cover(const struct cw_group *g, uint64_t now_ns)
{
    if (now_ns < g->lease_deadline_ns)
        return CW_COVER_STORE;
    return now_ns < cw_cover_ends_ns(g) ? CW_COVER_GRANTS : CW_COVER_NONE;
}

static void tell_frozen(struct cw_group *g)
{
    uint8_t site = cw_grants_missing(&g->grants, g->now_ns);

    if (!g->grants.is_on || site == CW_SITES_MAX)
        cw_group_event(
            g, 2,
            "frozen: the store does not renew the lease; reads and writes are held until it does: look "
            "at the store and the controller here",
            0, 0, 0);
    else
        cw_group_event(
            g, 2,
            "frozen: the store does not renew the lease and site %llu grants nothing; reads and writes "
            "are held until one of them does: look at the store, and at that site and its link",
            site, 0, 0);
}

static void tell(struct cw_group *g)
{
    enum cw_cover now = cover(g, g->now_ns);

    g->is_covered_once |= now == CW_COVER_STORE;
    if (now == g->cover_told || !g->is_covered_once)
        return;
    g->cover_told = (uint8_t)now;
    if (now == CW_COVER_STORE)
        cw_group_event(g, 0, "the store renews the lease again", 0, 0, 0);
    else if (now == CW_COVER_NONE)
        tell_frozen(g);
    else
        cw_group_event(
            g, 1,
            "the store does not renew the lease: the group goes on by grants of all its other sites; "
            "roles and the in-sync set cannot change until the store is back",
            0, 0, 0);
}

void cw_cover_step(struct cw_group *g)
{
    follow_reign(g);
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        ask(g, &g->peers[s]);
        answer(g, &g->peers[s]);
    }
    if (cw_group_is_open(g))
        tell(g);
}

/* ---------------------------------------------------------------- openings */

/* Where the store is not asked (epoch_floor), what it is said to have may be old: nothing spares the wait. */
static struct cw_grant_opening opening_of(const struct cw_group *g, const struct cw_open_request *open)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    return (struct cw_grant_opening){.store_epoch = open->store_epoch,
                                     .own_epoch = last ? last->epoch : 0,
                                     .is_ours = open->holder == g->config.self && open->epoch_floor == 0,
                                     .is_fenced = open->is_fenced && open->epoch_floor == 0};
}

/* What the primary answers until its last grant ends is to be gathered, so nothing is before that. */
static bool may_open_after_grants(struct cw_group *g, const struct cw_grant_opening *opening)
{
    cw_grants_refuse(&g->grants, g->now_ns);
    uint64_t left_ns = cw_grants_ending_ns(&g->grants, opening, g->now_ns);
    if (left_ns == 0)
        return true;
    snprintf(g->refusal, sizeof g->refusal,
             "site %u lives by grants of the other sites; this one gives it no more, and waits %.1f s until "
             "the last one has run out",
             g->grants.given_to, (double)left_ns / 1e9);
    return false;
}

bool cw_cover_may_open(struct cw_group *g, const struct cw_open_request *open)
{
    struct cw_grant_opening opening = opening_of(g, open);

    cw_grants_on_store_epoch(&g->grants, open->store_epoch);
    if (cw_open_is_unbegun(g, open) && g->now_ns < cw_grants_claim_ns(&g->grants, &opening)) {
        snprintf(g->refusal, sizeof g->refusal,
                 "waits until what this site granted, or may have granted before its start, has run out: "
                 "what is written until then is to be gathered");
        return false;
    }
    bool is_in_use = cw_grants_is_in_use(&g->grants, &opening, g->now_ns);
    bool is_ending = cw_grants_ending_ns(&g->grants, &opening, g->now_ns) > 0;
    if (open->ends_grants && (is_in_use || is_ending))
        return may_open_after_grants(g, &opening);
    if (!is_in_use)
        return true;
    snprintf(
        g->refusal, sizeof g->refusal,
        "site %u lives and may go on by the grant of this site: switch over from it, or stop it; this site "
        "waits until it is silent and the grant has run out",
        g->grants.given_to);
    return false;
}

static uint64_t claim_ns(const struct cw_group *g)
{
    struct cw_grant_opening opening = opening_of(g, &g->opening.request);

    return cw_grants_claim_ns(&g->grants, &opening);
}

bool cw_cover_may_claim(const struct cw_group *g)
{
    return g->now_ns >= claim_ns(g);
}

/* ---------------------------------------------------------------- words */

static const char *why_missing(const struct cw_grant_from *from)
{
    static const char *const words[CW_GRANT_RESULT_COUNT] = {
        [CW_GRANT_GIVEN] = "is not heard: look at it and at the link",
        [CW_GRANT_FREEZE] = "gives none (on_store_loss: freeze there)",
        [CW_GRANT_STALE] = "knows a later epoch, or nothing yet",
        [CW_GRANT_OPENING] = "is being promoted",
    };
    return words[from->has_answered && from->result < CW_GRANT_RESULT_COUNT ? from->result : CW_GRANT_GIVEN];
}

static void say_frozen(const struct cw_group *g, uint64_t now_ns, struct cw_group_status *status)
{
    uint8_t site = cw_grants_missing(&g->grants, now_ns);

    if (!g->grants.is_on || site == CW_SITES_MAX)
        snprintf(status->reason, sizeof status->reason,
                 "the lease has run out: reads and writes are held until the store renews it%s",
                 g->grants.is_on ? " (no other site could grant one)" : " (on_store_loss: freeze)");
    else
        snprintf(status->reason, sizeof status->reason,
                 "the lease has run out, held until the store renews it or site %u grants one, which %s",
                 site, why_missing(&g->grants.from[site]));
}

void cw_cover_status(const struct cw_group *g, uint64_t now_ns, struct cw_group_status *status)
{
    uint64_t own_ns = CW_MAX(g->grants.start_ends_ns, g->grants.given_ends_ns);

    status->peer_grants = g->grants.is_on;
    status->granted_to = now_ns < g->grants.given_ends_ns ? g->grants.given_to : CW_SITES_MAX;
    status->granted_remaining_ns = own_ns - CW_MIN(own_ns, now_ns);
    if (g->role == CW_ROLE_CLAIMING && now_ns < claim_ns(g))
        snprintf(
            status->reason, sizeof status->reason,
            "waits %.1f s, until what this site granted, or may have granted before its start, has run out",
            (double)(claim_ns(g) - now_ns) / 1e9);
    if (!cw_group_is_open(g))
        return;
    status->cover = (uint8_t)cover(g, now_ns);
    status->store_remaining_ns = g->lease_deadline_ns - CW_MIN(g->lease_deadline_ns, now_ns);
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        const struct cw_grant_from *from = &g->grants.from[s];
        status->grants[s] =
            (struct cw_grant_status){.is_needed = g->grants.is_on && (g->grants.sites >> s & 1),
                                     .remaining_ns = from->deadline_ns - CW_MIN(from->deadline_ns, now_ns),
                                     .result = from->result};
    }
    if (status->cover == CW_COVER_NONE)
        say_frozen(g, now_ns, status);
    else if (status->cover == CW_COVER_GRANTS && g->is_covered_once)
        snprintf(status->reason, sizeof status->reason, "%s",
                 "the store does not renew the lease: "
                 "it goes on by grants of its other sites; roles cannot change");
}
