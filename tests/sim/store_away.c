/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults of the store, seen from the sites: one is cut off from it, the primary is left alone with an old
 * lease, or the store is lost to all, and who has granted the primary to go on may be in a hurry to take
 * over.
 */
#include "sim.h"

static void store_is_back(struct world *w, void *data, uint64_t a)
{
    ((struct site *)data)->is_store_cut = false;
}

void fault_store(struct world *w)
{
    struct site *site = world_the_primary(w);

    if (!site || world_chance(w, 400))
        site = world_some_site(w);
    site->is_store_cut = true;
    note(w, site, "cut from the store", 0, 0, 0);
    queue_at(w, w->now_ns + world_between(w, 100 * CW_MS, 15 * CW_SECOND), store_is_back, site, 0);
}

static void part(struct world *w, void *data, uint64_t until_ns)
{
    struct site *site = data, *primary = world_the_primary(w);

    if (w->phase == PHASE_SAFETY && primary && primary != site)
        w->cut_until_ns[site->id][primary->id] = w->cut_until_ns[primary->id][site->id] = until_ns;
}

/*
 * Who has just granted hears of the primary no more and may take over. It has forgotten (is started anew), or
 * an old word comes to it that a reign is over; or the primary sleeps, and finds what was granted when it
 * wakes.
 */
static void granter_goes(struct world *w, void *data, uint64_t a)
{
    struct site *site = data, *primary = world_the_primary(w);
    uint64_t until = w->now_ns + 10 * CW_SECOND, how = world_random(w, 3);

    if (w->phase != PHASE_SAFETY || site->state != SITE_RUNNING || !primary || primary == site)
        return;
    note(w, site, "hears nothing and is in a hurry", until, how, 0);
    w->hurry_until_ns = CW_MAX(w->hurry_until_ns, until);
    if (how == 0) { /* soon: it is cut off some time after it has asked again */
        primary->sleeps_at_ask_ns = world_between(w, w->lease_ns, 8 * CW_SECOND);
        queue_at(w, w->now_ns + 1200 * CW_MS, part, site, until);
        return;
    }
    part(w, site, until);
    if (how == 1) {
        site_crash(site, false);
        queue_at(w, w->now_ns + world_between(w, CW_MS, 200 * CW_MS), world_restart, site, 0);
    } else {
        link_old_release(site, primary->id);
    }
}

/* The store is gone: for everybody, or for all but one site, whose operator may be in a hurry. */
void fault_store_lost(struct world *w)
{
    uint64_t until = w->now_ns + world_between(w, 8 * CW_SECOND, 25 * CW_SECOND);
    struct site *primary = world_the_primary(w), *reaches = world_chance(w, 700) ? world_some_site(w) : NULL;

    if (reaches && reaches == primary)
        reaches = &w->sites[(primary->id + 1) % w->site_count];

    note(w, reaches, "the store is lost", until, 0, 0);
    for (uint32_t i = 0; i < w->site_count; i++) {
        struct site *site = &w->sites[i];
        if (site == reaches)
            continue;
        site->is_store_cut = true;
        queue_at(w, until + world_random(w, 2 * CW_SECOND), store_is_back, site, 0);
    }
    if ((w->faults & FAULT_PROMOTE) && world_chance(w, 700))
        w->hurry_until_ns = CW_MAX(w->hurry_until_ns, until);
    if (reaches && (w->faults & FAULT_KILL) && world_chance(w, 800))
        queue_at(w, w->now_ns + w->lease_ns + world_random(w, 2 * CW_SECOND), granter_goes, reaches, 0);
}

/* The primary's controller hangs while a renewal is answered, then the store is out of its reach; the primary
 * hears of no other site all the while, and whoever may is told to take over at once. */
static void store_goes(struct world *w, void *data, uint64_t until_ns)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || w->now_ns >= until_ns)
        return;
    site->is_store_cut = true;
    queue_at(w, until_ns, store_is_back, site, 0);
}

void fault_lonely(struct world *w)
{
    struct site *site = world_the_primary(w);

    if (!site || w->now_ns < w->hurry_until_ns)
        return;
    bool is_late = world_chance(w, 600); /* else it reaches the store for a while yet */
    uint64_t answer = w->now_ns + world_random(w, 6 * CW_SECOND);
    uint64_t until = w->now_ns + world_between(w, 5 * CW_SECOND, 14 * CW_SECOND);
    note(w, site, "is left alone", answer, until, 0);
    for (uint32_t i = 0; i < w->site_count; i++)
        if (i != site->id)
            w->cut_until_ns[i][site->id] = w->cut_until_ns[site->id][i] = until;
    if (is_late)
        control_late_renewal(site, answer);
    queue_at(w, answer + CW_MS, store_goes, site, until);
    w->hurry_until_ns = until;
}
