/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store with its compare-and-swaps, the lease, and a small controller at each site. The store is truth
 * and never fails; a site may be cut from it, and a request or a reply may get lost, so a site may be wrong
 * about what the store did.
 *
 * Lease: a renewal bumps the holder's counter; the deadline counts from the site's clock before the request.
 * A taker writes only after it saw the counter unchanged for lease * 1.01 on its own clock.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define CLAIM_TRIES_MAX 150u

struct claim {
    struct site *site;
    uint64_t life, before_ns; /* site's clock before the request */
    bool is_set, is_lease, was_lost;
    uint64_t from_epoch, epoch, reign, first_sequence;
    uint8_t members_from, members_to;
    struct cw_identity identities[CW_SITES_MAX];
    int result;
    uint8_t holder;
    uint64_t counter;
};

static uint64_t store_travel(struct world *w)
{
    if (w->options.is_story)
        return 2 * CW_MS;
    if (w->phase == PHASE_SAFETY && world_chance(w, 10))
        return world_between(w, 100 * CW_MS, 3 * CW_SECOND);
    return world_between(w, 200 * CW_US, 15 * CW_MS);
}

static bool is_lost(struct world *w, const struct site *site)
{
    return site->is_store_cut ||
           ((w->faults & FAULT_STORE_LOST_REPLY) && w->phase == PHASE_SAFETY && world_chance(w, 50));
}

uint64_t control_lease_deadline(struct site *site, uint64_t before_ns)
{
    struct world *w = site->world;

    return before_ns + w->lease_ns * 99 / 100 - 100 * CW_MS;
}

/* ------------------------------------------------------------------ at the store */

static void tell_store(struct world *w)
{
    const struct store *s = &w->store;

    tell(w, NULL, "the store: epoch %llu of %c, set%s%s%s", (unsigned long long)s->epoch, "ABC"[s->holder],
         s -> members & 1 ? " A" : "", s->members & 2 ? " B" : "", s->members & 4 ? " C" : "");
}

static void store_set(struct world *w, struct claim *c)
{
    struct store *s = &w->store;

    c->result = CW_CLAIM_REFUSED;
    if (s->epoch != c->epoch || s->holder != c->site->id)
        return;
    if (s->members != c->members_from && s->members != c->members_to)
        return;
    uint8_t joined = (uint8_t)(c->members_to & ~s->members);
    note(w, c->site, "store: set", s->members, c->members_to, s->epoch);
    s->members = c->members_to;
    memcpy(s->identities, c->identities, sizeof s->identities);
    tell_store(w);
    check_joined(w, joined);
    if (s->members == 1u << c->site->id)
        check_alone(w);
    c->result = CW_CLAIM_OK;
}

static void store_claim(struct world *w, struct claim *c)
{
    struct store *s = &w->store;
    struct site *site = c->site;

    c->holder = s->holder;
    c->counter = s->holder < SIM_SITES_MAX ? s->counters[s->holder] : 0;
    c->result = CW_CLAIM_OK;
    if (s->epoch == c->epoch && s->reign == c->reign && s->holder == site->id)
        return; /* it was written; the reply got lost */
    c->result = CW_CLAIM_REFUSED;
    if (s->epoch != c->from_epoch || s->members != c->members_from)
        return;
    if (c->epoch <= s->epoch) {
        world_fail(w, "site %u claims epoch %llu, the store has %llu", site->id, (unsigned long long)c->epoch,
                   (unsigned long long)s->epoch);
        return;
    }
    bool is_free = s->holder == site->id || s->holder >= SIM_SITES_MAX;
    bool ran_out = site->has_seen && site->seen_holder == s->holder && site->seen_counter == c->counter &&
                   c->before_ns - site->seen_at_ns >= w->lease_ns * 101 / 100;
    c->result = CW_CLAIM_AGAIN;
    if (!is_free && !ran_out)
        return;
    note(w, site, "store: claimed", c->epoch, c->first_sequence, c->members_to);
    if (s->holder != site->id && s->epoch != 0)
        w->promotions++;
    s->epoch = c->epoch;
    s->reign = c->reign;
    s->first_sequence = c->first_sequence;
    s->holder = site->id;
    s->members = c->members_to;
    memcpy(s->identities, c->identities, sizeof s->identities);
    s->counters[site->id]++;
    c->result = CW_CLAIM_OK;
    tell_store(w);
}

static void store_renew(struct world *w, struct claim *c)
{
    struct store *s = &w->store;

    c->result = CW_CLAIM_REFUSED;
    if (s->epoch != c->epoch || s->holder != c->site->id)
        return;
    s->counters[c->site->id]++;
    c->result = CW_CLAIM_OK;
}

/* ------------------------------------------------------------------ the way there and back */

static void reply_lease(struct site *site, uint64_t before_ns)
{
    struct fact *fact = fact_new(FACT_LEASE);

    fact->a = before_ns;
    note(site->world, site, "lease", before_ns, 0, 0);
    site_post(site, fact);
}

static void answer_claim(struct world *w, struct claim *c)
{
    struct site *site = c->site;
    uint64_t now = site_clock(site, w->now_ns);

    if (c->was_lost)
        c->result = CW_CLAIM_AGAIN;
    else if (!site->has_seen || site->seen_holder != c->holder || site->seen_counter != c->counter) {
        site->has_seen = true;
        site->seen_holder = c->holder;
        site->seen_counter = c->counter;
        site->seen_at_ns = now;
    }
    if (c->result == CW_CLAIM_AGAIN && ++site->claim_tries > CLAIM_TRIES_MAX && !c->was_lost)
        c->result = CW_CLAIM_REFUSED;
    struct fact *fact = fact_new(FACT_CLAIMED);
    fact->claim = c->result;
    site_post(site, fact);
    if (c->result == CW_CLAIM_OK)
        reply_lease(site, c->before_ns);
}

static void reply_arrives(struct world *w, void *data, uint64_t a)
{
    struct claim *c = data;
    struct site *site = c->site;

    if (site->life != c->life || site->state != SITE_RUNNING) {
        free(c);
        return;
    }
    if (c->is_lease) {
        site->lease_request_pending = false;
        if (!c->was_lost && c->result == CW_CLAIM_OK)
            reply_lease(site, c->before_ns);
        if (!c->was_lost && c->result == CW_CLAIM_REFUSED) {
            struct fact *fact = fact_new(FACT_FENCE);
            fact->a = c->epoch;
            site_post(site, fact);
        }
    } else if (c->is_set) {
        struct fact *fact = fact_new(FACT_SET);
        fact->delivered = !c->was_lost && c->result == CW_CLAIM_OK;
        site_post(site, fact);
    } else {
        answer_claim(w, c);
    }
    free(c);
}

static void request_arrives(struct world *w, void *data, uint64_t a)
{
    struct claim *c = data;
    uint64_t back = store_travel(w);

    c->was_lost = is_lost(w, c->site);
    if (!c->was_lost) {
        if (c->is_lease)
            store_renew(w, c);
        else if (c->is_set)
            store_set(w, c);
        else
            store_claim(w, c);
        c->was_lost = is_lost(w, c->site);
    }
    if (c->was_lost)
        back = CW_SECOND;
    queue_owned_at(w, w->now_ns + back, reply_arrives, c, 0, free);
}

static struct claim *ask(struct site *site, const struct cw_action *a)
{
    struct claim *c = calloc(1, sizeof *c);

    CW_ASSERT(c != NULL);
    c->site = site;
    c->life = site->life;
    c->before_ns = site_clock(site, site->world->now_ns);
    if (a) {
        c->from_epoch = a->from_epoch;
        c->epoch = a->epoch;
        c->reign = a->reign;
        c->first_sequence = a->first_sequence;
        c->members_from = a->members_from;
        c->members_to = a->members_to;
        memcpy(c->identities, a->identities, sizeof c->identities);
    }
    queue_owned_at(site->world, site->world->now_ns + store_travel(site->world), request_arrives, c, 0, free);
    return c;
}

void control_claim(struct site *site, const struct cw_action *a)
{
    note(site->world, site, "claim", a->epoch, a->first_sequence,
         (uint64_t)a->members_from << 8 | a->members_to);
    ask(site, a);
}

void control_set(struct site *site, const struct cw_action *a)
{
    note(site->world, site, "ask for set", a->epoch, a->members_from, a->members_to);
    ask(site, a)->is_set = true;
}

/* ------------------------------------------------------------------ the controller of a site */

static bool is_reigning(const struct site *site)
{
    uint8_t role = site->status.role;
    return role == CW_ROLE_PRIMARY || role == CW_ROLE_DRAINING || role == CW_ROLE_DRAINED;
}

void control_open(struct site *site, bool accept_loss)
{
    struct world *w = site->world;
    struct store *s = &w->store;
    struct cw_open_request open = {.store_epoch = s->epoch,
                                   .holder = s->holder,
                                   .members = s->members,
                                   .reign = cw_rng_next(&w->rng) | 1,
                                   .accept_loss = accept_loss};

    if (s->holder >= SIM_SITES_MAX)
        open.holder = CW_SITES_MAX;
    memcpy(open.identities, s->identities, sizeof open.identities);
    note(w, site, "open", s->epoch, s->members, accept_loss);
    site->last_open_accept_loss = accept_loss;
    site->open_tries++;
    site->claim_tries = 0;
    enum cw_status status = cw_group_open(site->group, &open, site_clock(site, w->now_ns));
    if (status != CW_OK)
        note(w, site, "open refused", status, 0, 0);
}

/* In a turn, before the step. */
void control_turn(struct site *site)
{
    uint64_t now = site_clock(site, site->world->now_ns);

    if (site->want_open)
        control_open(site, site->want_open == 2);
    if (site->want_drain && cw_group_drain(site->group, now) != CW_OK)
        site->drain_target = 0;
    if (site->want_resync && cw_group_resync(site->group, (uint8_t)(site->want_resync - 1)) != CW_OK)
        note(site->world, site, "resync refused", site->want_resync - 1u, 0, 0);
    site->want_open = 0;
    site->want_drain = false;
    site->want_resync = 0;
}

/* The planned move: drained, then fenced, and only then let go. */
static void switchover_tick(struct site *site)
{
    struct world *w = site->world;
    struct store *s = &w->store;

    if (site->status.role == CW_ROLE_DRAINED) {
        struct fact *fact = fact_new(FACT_FENCE);
        fact->a = site->status.epoch;
        site_post(site, fact);
        if (s->holder == site->id && s->epoch == site->status.epoch) {
            note(w, site, "store: let go", s->epoch, site->drain_target - 1, 0);
            s->holder = CW_SITES_MAX;
            s->was_drained = true;
            w->switch_target = (uint8_t)site->drain_target;
            w->switchovers++;
        }
        site->drain_target = 0;
    } else if (w->now_ns > site->drain_deadline_ns) {
        struct fact *fact = fact_new(FACT_FENCE);
        fact->a = site->status.epoch;
        site_post(site, fact);
        site->drain_target = 0;
    }
}

static void watch(struct site *site)
{
    struct store *s = &site->world->store;
    uint64_t counter = s->holder < SIM_SITES_MAX ? s->counters[s->holder] : 0;

    if (site->has_seen && site->seen_holder == s->holder && site->seen_counter == counter)
        return;
    site->has_seen = true;
    site->seen_holder = s->holder;
    site->seen_counter = counter;
    site->seen_at_ns = site_clock(site, site->world->now_ns);
}

/* Whether a replica should ask to open, and how. */
static int wants_to_open(struct site *site)
{
    struct world *w = site->world;
    struct store *s = &w->store;
    bool is_member = s->members >> site->id & 1;
    bool may_lose = (w->faults & FAULT_LOSSY) || w->phase == PHASE_HEALING;
    int how = site->open_tries > 6 && may_lose && world_chance(w, 200) ? 2 : 1;

    if (s->holder == site->id)
        return how;
    if (s->holder >= SIM_SITES_MAX) {
        if (s->epoch == 0)
            return site->id == 0;
        if (w->switch_target == site->id + 1 || world_chance(w, 50))
            return how;
        return 0;
    }
    uint64_t silent = site_clock(site, w->now_ns) - site->seen_at_ns;
    bool looks_dead = site->has_seen && silent > w->lease_ns;
    if (!looks_dead || !(w->faults & FAULT_PROMOTE || w->phase == PHASE_HEALING))
        return 0;
    if (!is_member)
        return may_lose && silent > 4 * w->lease_ns && world_chance(w, 30) ? 2 : 0;
    return world_chance(w, 100) ? how : 0;
}

void control_tick(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;
    struct store *s = &w->store;

    queue_at(w, w->now_ns + world_between(w, 150 * CW_MS, 350 * CW_MS), control_tick, site, 0);
    if (site->state != SITE_RUNNING || w->now_ns < site->paused_until_ns)
        return;
    if (is_reigning(site) && !site->lease_request_pending) {
        struct claim *c = ask(site, NULL);
        c->is_lease = true;
        c->epoch = site->status.epoch;
        site->lease_request_pending = true;
        /* Asleep between the question and its answer: when it wakes, the answer is old. */
        if ((w->faults & FAULT_PAUSE) && w->phase == PHASE_SAFETY && world_chance(w, 10)) {
            site->paused_until_ns = w->now_ns + world_between(w, 4 * CW_SECOND, 14 * CW_SECOND);
            note(w, site, "pause", site->paused_until_ns, 0, 0);
            w->pauses++;
            return;
        }
    }
    site_turn_soon(site);
    if (site->drain_target)
        switchover_tick(site);
    if (site->is_store_cut)
        return;
    watch(site);
    if (is_reigning(site)) {
        site->open_tries = 0;
        if (s->epoch > site->status.epoch) {
            struct fact *fact = fact_new(FACT_FENCE);
            fact->a = site->status.epoch;
            site_post(site, fact);
        }
    } else if (site->status.role == CW_ROLE_REPLICA) {
        site->want_open = wants_to_open(site);
    }
}

void control_init(struct world *w)
{
    w->store = (struct store){.holder = CW_SITES_MAX};
    for (uint32_t i = 0; i < w->site_count; i++)
        queue_at(w, world_between(w, CW_MS, 300 * CW_MS), control_tick, &w->sites[i], 0);
}
