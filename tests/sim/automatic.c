/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups that fail over by themselves: at each site the product's own machine (control/failover.c) looks at
 * what a controller would know, and asks this site's engine to open when it says so. What it knows: the lease
 * counter, as the store has it; a word of the primary's controller now and then, which is late, and does not
 * come when either way between the two is cut; what its own engine has granted the primary. And rules over
 * what comes of it, by the truth:
 *
 * Where a seed is about this, primaries are left alone again and again, by the network and then for good; or
 * their controllers hang while the engines go on, by grants where they have them.
 *
 *   once      no second one before the group has come to rest (no run is long enough), or somebody moved it
 *   after     the primary had moved its counter for the last time `after` ago
 *   grants    nobody takes it from a primary that may still answer by the taker's own grant
 *   loss      in modes without a set, what was acknowledged and is lost reaches back no further than max_loss
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define WORD_LATE_NS CW_SECOND /* at most; the product counts on no more */

struct word {
    struct site *to;
    uint64_t life, epoch;
    bool is_lag_known;
    uint64_t lag_ns, lag_bytes;
};

static void comes_back(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;

    if (site->state == SITE_OFF && !w->failed)
        site_start(site);
}

static void dies(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || site->life != life || site->state != SITE_RUNNING)
        return;
    site_crash(site, world_chance(w, 500));
    queue_at(w, w->now_ns + world_between(w, 8 * CW_SECOND, 25 * CW_SECOND), comes_back, site, 0);
}

/* The primary says nothing any more and renews nothing, and goes on as long as the others grant it. */
static void hang(struct site *site, uint64_t until_ns)
{
    note(site->world, site, "its controller hangs", until_ns, 0, 0);
    site->controller_hangs_until_ns = until_ns;
}

/* The primary's words reach nobody any more, while it goes on with the store; then it is gone. */
static void burn(struct world *w, void *data, uint64_t a)
{
    struct site *site = w->store.holder < SIM_SITES_MAX ? &w->sites[w->store.holder] : NULL;
    uint64_t until = w->now_ns + world_between(w, 10 * CW_MS, 18 * CW_SECOND);

    if (w->phase != PHASE_SAFETY)
        return;
    queue_at(w, w->now_ns + world_between(w, 8 * CW_SECOND, 20 * CW_SECOND), burn, NULL, 0);
    if (!site || site->state != SITE_RUNNING || site->status.role != CW_ROLE_PRIMARY)
        return;
    if (world_chance(w, 300)) {
        hang(site, until);
        return;
    }
    note(w, site, "burns", until, 0, 0);
    for (uint32_t i = 0; i < w->site_count; i++)
        if (i != site->id && world_chance(w, 800))
            w->cut_until_ns[i][site->id] = w->cut_until_ns[site->id][i] = until;
    queue_at(w, until - CW_MS, dies, site, site->life);
}

void automatic_choose(struct world *w)
{
    struct cw_rng own = {w->options.seed ^ 0x6661696c6f766572}; /* other draws stay as they are */
    bool is_drawn = cw_rng_below(&own, 1000) < (w->focus->is_automatic ? 1000 : 150);

    w->is_automatic = is_drawn && !w->options.is_story && !w->focus->has_tokens;
    w->after_ns = CW_SECOND + cw_rng_below(&own, 9 * CW_SECOND);
    w->max_loss_ns = w->lease_ns + CW_SECOND + cw_rng_below(&own, 3 * CW_SECOND);
    w->are_ranks_equal = cw_rng_below(&own, 1000) < 300;
    if (w->is_automatic && w->focus->is_automatic)
        queue_at(w, 3 * CW_SECOND + cw_rng_below(&own, 5 * CW_SECOND), burn, NULL, 0);
}

/* ------------------------------------------------------------------ what a site hears */

static struct automatic *automatic_of(struct site *site)
{
    struct automatic *a = &site->automatic;

    if (a->life != site->life) { /* its controller is new, too */
        memset(a, 0, sizeof *a);
        a->life = site->life;
        a->began_ns = site_clock(site, site->world->now_ns);
    }
    return a;
}

static void word_comes(struct world *w, void *data, uint64_t a)
{
    struct word *word = data;
    struct site *site = word->to;

    if (site->life == word->life && site->state == SITE_RUNNING) {
        struct automatic *known = automatic_of(site);
        uint64_t now = site_clock(site, w->now_ns);
        known->told_ns = now;
        known->epoch = word->epoch;
        known->lag = (struct cw_failover_lag){.is_known = word->is_lag_known,
                                              .as_of_ns = now,
                                              .lag_ns = word->lag_ns,
                                              .bytes_as_of_ns = now,
                                              .lag_bytes = word->lag_bytes};
    }
    free(word);
}

/* The primary's controller says what its engine is. */
static void say_word(struct site *holder, struct site *site)
{
    struct world *w = holder->world;
    struct cw_group_status status;
    struct word *word = calloc(1, sizeof *word);

    CW_ASSERT(word != NULL);
    cw_group_status(holder->group, site_clock(holder, w->now_ns), &status);
    *word = (struct word){.to = site,
                          .life = site->life,
                          .epoch = status.epoch,
                          .is_lag_known = status.peers[site->id].is_lag_known,
                          .lag_ns = status.peers[site->id].lag_ns,
                          .lag_bytes = status.peers[site->id].lag_bytes};
    queue_owned_at(w, w->now_ns + world_random(w, WORD_LATE_NS), word_comes, word, 0, free);
}

static void listen(struct site *site)
{
    struct world *w = site->world;
    struct store *s = &w->store;
    struct site *holder = s->holder < SIM_SITES_MAX ? &w->sites[s->holder] : NULL;

    if (!holder || holder == site || holder->state != SITE_RUNNING || w->now_ns < holder->paused_until_ns ||
        w->now_ns < holder->controller_hangs_until_ns || link_is_cut(w, holder->id, site->id) ||
        link_is_cut(w, site->id, holder->id) || holder->status.role != CW_ROLE_PRIMARY ||
        !world_chance(w, 300))
        return;
    say_word(holder, site);
}

/* ------------------------------------------------------------------ what it does */

static uint32_t rank_of(const struct site *site)
{
    const struct world *w = site->world;
    uint32_t rank = 0;

    for (uint32_t i = 0; i < site->id && !w->are_ranks_equal; i++)
        rank += i != w->store.holder && w->sites[i].state == SITE_RUNNING;
    return rank;
}

/* Until when this site's engine lets the holder go on without the store, or may have let it before its start; 0:
 * it does not. */
static uint64_t granted_ns(struct site *site, uint64_t now_ns)
{
    struct cw_group_status status;

    cw_group_status(site->group, now_ns, &status);
    bool may_be_his = status.granted_to == site->world->store.holder || status.granted_to == CW_SITES_MAX;
    return may_be_his && status.granted_remaining_ns ? now_ns + status.granted_remaining_ns : 0;
}

/* By the truth: what the primary has of this site's grants, by its own clock. */
static void check_grants(struct site *site)
{
    struct world *w = site->world;
    struct site *holder = &w->sites[w->store.holder];
    struct cw_group_status status;

    if (holder->state != SITE_RUNNING)
        return;
    cw_group_status(holder->group, site_clock(holder, w->now_ns), &status);
    if (status.role == CW_ROLE_PRIMARY && status.epoch == w->store.epoch &&
        status.grants[site->id].remaining_ns > 0)
        world_fail(w, "grants: site %u fails over by itself, and its own grant to site %u runs for %llu ms",
                   site->id, holder->id, (unsigned long long)(status.grants[site->id].remaining_ns / CW_MS));
}

/* Since when this site sees that the store knows this epoch to be over. */
static uint64_t fenced_ns(struct site *site, uint64_t now_ns)
{
    const struct cw_authority *row = &site->world->store.row;
    struct automatic *a = automatic_of(site);

    if (row->epoch == 0 || row->fenced_epoch != row->epoch)
        return 0;
    if (a->fenced_epoch != row->epoch) {
        a->fenced_epoch = row->epoch;
        a->fenced_ns = now_ns;
    }
    return a->fenced_ns;
}

static void judge(struct site *site, const struct cw_candidate *candidate, uint64_t not_before_ns,
                  struct cw_failover_verdict *verdict)
{
    struct world *w = site->world;
    struct automatic *a = automatic_of(site);
    struct cw_failover_facts facts = {.group = "g",
                                      .site = candidate->identity.site,
                                      .is_automatic = true,
                                      .is_site_of_group = true,
                                      .store_trouble = "",
                                      .now_ns = site_clock(site, w->now_ns),
                                      .lease_ns = w->lease_ns,
                                      .after_ns = w->after_ns,
                                      .authority = &w->store.row,
                                      .candidate = candidate,
                                      .lease = &site->watch,
                                      .began_ns = a->began_ns,
                                      .told_ns = a->told_ns,
                                      .fenced_ns = fenced_ns(site, site_clock(site, w->now_ns)),
                                      .stopped = "",
                                      .granted_ns = granted_ns(site, site_clock(site, w->now_ns)),
                                      .not_before_ns = not_before_ns,
                                      .rank = rank_of(site),
                                      .preferred = "another",
                                      .taker = "",
                                      .max_loss_ns = w->max_loss_ns,
                                      .max_loss_bytes = UINT64_MAX,
                                      .lag = a->lag};
    facts.lag.is_known = facts.lag.is_known && a->epoch == w->store.epoch;
    cw_failover_judge(&facts, verdict);
}

bool automatic_goes_on(struct site *site, const struct cw_candidate *candidate)
{
    struct cw_failover_verdict verdict;

    judge(site, candidate, 0, &verdict);
    if (verdict.answer != CW_FAILOVER_GO)
        note(site->world, site, "its failover is called off", verdict.answer, 0, 0);
    return verdict.answer == CW_FAILOVER_GO;
}

int automatic_wants(struct site *site, const struct cw_candidate *candidate)
{
    struct world *w = site->world;
    struct cw_failover_verdict verdict;

    if (!w->is_automatic || w->phase != PHASE_SAFETY)
        return 0;
    listen(site);
    struct automatic *a = automatic_of(site);
    judge(site, candidate, a->not_before_ns, &verdict);
    if (verdict.answer != CW_FAILOVER_GO)
        return 0;
    a->not_before_ns = site_clock(site, w->now_ns) + CW_SECOND;
    check_grants(site);
    note(w, site, "fails over by itself", w->store.epoch, verdict.loss_ns, verdict.accept_loss);
    return OPEN_AUTOMATIC | (verdict.accept_loss ? 2 : 1);
}

/* ------------------------------------------------------------------ by the truth */

void automatic_claimed(struct site *site, bool is_automatic, uint8_t holder_before)
{
    struct world *w = site->world;

    w->was_automatic = is_automatic && site->id != holder_before;
    if (site->id == holder_before)
        return;
    if (!is_automatic) {
        w->automatic_ns = 0;
        return;
    }
    w->failovers++;
    uint64_t silent = w->now_ns - w->renewed_ns[holder_before];
    if (silent < w->after_ns / 100 * 99)
        world_fail(w, "after: site %u fails over %llu ms after the counter moved, `after` is %llu ms",
                   site->id, (unsigned long long)(silent / CW_MS), (unsigned long long)(w->after_ns / CW_MS));
    if (w->automatic_ns != 0)
        world_fail(w, "once: site %u fails over again, %llu ms after the last one", site->id,
                   (unsigned long long)((w->now_ns - w->automatic_ns) / CW_MS));
    w->automatic_ns = w->now_ns;
}

void automatic_lost(struct world *w, const struct client_op *op)
{
    if (!w->was_automatic || cw_mode_has_set(w->mode))
        return;
    w->lost_first_ns = w->lost_first_ns ? CW_MIN(w->lost_first_ns, op->acked_ns) : op->acked_ns;
    w->lost_last_ns = CW_MAX(w->lost_last_ns, op->acked_ns);
    uint64_t span = w->lost_last_ns - w->lost_first_ns;
    if (span > w->max_loss_ns + w->max_loss_ns / 100)
        world_fail(
            w,
            "loss: acknowledged writes of %llu ms are lost by a failover that nobody asked for, max_loss is "
            "%llu ms",
            (unsigned long long)(span / CW_MS), (unsigned long long)(w->max_loss_ns / CW_MS));
}
