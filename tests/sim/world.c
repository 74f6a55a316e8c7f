/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run: a world made from a seed, a time in which anything of its fault list may happen, then healing, and
 * then everything must come together within a bounded time, or the run says who waits for what.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"

#define HEAL_NS    (240 * CW_SECOND)
#define LOAD_NS    (5 * CW_SECOND)  /* after healing clients go on so long */
#define SLOW_NS    (60 * CW_SECOND) /* ... where they write faster than the path: a copy must end meanwhile */
#define EVENTS_MAX 20000000u

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->failed)
        return;
    w->failed = true;
    va_start(args, format);
    vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
}

void note(struct world *w, const struct site *site, const char *text, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t mixed[7] = {
        w->trace_hash, w->now_ns, site ? site->id : 99, a, b, c, cw_hash64(text, strlen(text))};

    w->trace_hash = cw_hash64(mixed, sizeof mixed);
    w->events++;
    if (w->options.trace)
        fprintf(w->options.out, "[%11.6fs] %c %s %llu %llu %llu\n", (double)w->now_ns / 1e9,
                site ? "ABC"[site->id] : '-', text, (unsigned long long)a, (unsigned long long)b,
                (unsigned long long)c);
}

void tell(struct world *w, const struct site *site, const char *format, ...)
{
    va_list args;

    if (!w->narrates)
        return;
    fprintf(w->options.out, "[%7lluus] %c ", (unsigned long long)((w->now_ns - w->story_began_ns) / CW_US),
            site ? "ABC"[site->id] : ' ');
    va_start(args, format);
    vfprintf(w->options.out, format, args);
    va_end(args);
    fputc('\n', w->options.out);
}

/* ------------------------------------------------------------------ making a world */

static void choose_links(struct world *w)
{
    for (uint32_t a = 0; a < w->site_count; a++)
        for (uint32_t b = a + 1; b < w->site_count; b++) {
            uint64_t ns = world_chance(w, w->focus->is_busy ? 0 : 500)
                              ? world_between(w, 20 * CW_US, 2 * CW_MS)
                              : world_between(w, 2 * CW_MS, 60 * CW_MS);
            w->latency_ns[a][b] = w->latency_ns[b][a] = ns;
        }
    w->loss_ppm = w->faults & FAULT_LINK_NOISE
                      ? (uint32_t)world_between(w, w->focus->is_busy ? 50000 : 1000, 200000)
                      : 100;
    w->duplicate_ppm = (uint32_t)world_random(w, 20000);
    w->corrupt_ppm = w->faults & FAULT_LINK_NOISE ? (uint32_t)world_random(w, 20000) : 10;
    bool by_seed = world_chance(w, 250);
    w->has_sessions = w->options.sessions < 0 ? by_seed : w->options.sessions;
    if (w->focus->is_slow) {                               /* the model of a session has the queue, too */
        w->link_rate = world_between(w, 400, 2000) * 1000; /* a journal passes in half a minute at most */
        w->has_sessions = false;
    }
    if (w->has_sessions) /* loss of packets, and a session needs several in a row to come up */
        w->loss_ppm = CW_MIN(w->loss_ppm, 50000);
}

/* Mostly all sites go on by grants; in some worlds none, or one is configured otherwise. */
static void choose_grants(struct world *w)
{
    uint8_t all = (uint8_t)((1u << w->site_count) - 1);

    w->peer_grants = world_chance(w, w->focus->has_grants ? 950 : 600) ? all : 0;
    if (world_chance(w, 50))
        w->peer_grants ^= (uint8_t)(1u << world_random(w, w->site_count));
}

/* Those that are there from the beginning, and those that come later. */
static void choose_volumes(struct world *w)
{
    uint32_t first = (uint32_t)world_between(w, 1, 4);

    w->volume_count = w->faults & FAULT_VOLUMES ? SIM_VOLUMES : first;
    for (uint32_t v = 0; v < w->volume_count; v++) {
        w->volume_blocks[v] = w->focus->is_slow      ? SIM_BLOCKS_MAX
                              : v == 0               ? 64
                              : world_chance(w, 300) ? SIM_BLOCKS_MAX
                                                     : world_between(w, 1, 128);
        w->fates[v] = v < first ? VOLUME_IS : VOLUME_LATER;
    }
}

/* A story's world: nothing by chance that a reader would have to explain away. */
static void make_plain(struct world *w)
{
    w->faults = 0;
    w->peer_grants = 0;
    w->rot_site = -1;
    w->volume_count = 2;
    w->fates[0] = w->fates[1] = VOLUME_IS;
    w->volume_blocks[0] = 64;
    w->volume_blocks[1] = 512;
    w->min_in_sync = 0;
    w->has_sessions = false;
    w->copy_chunk_bytes = CW_RECORD_PAYLOAD_MAX;
    w->site_count = w->options.sites;
    w->loss_ppm = 0;
    for (uint32_t a = 0; a < SIM_SITES_MAX; a++)
        for (uint32_t b = 0; b < SIM_SITES_MAX; b++)
            w->latency_ns[a][b] = CW_MS;
}

void world_init(struct world *w, const struct sim_options *options)
{
    memset(w, 0, sizeof *w);
    w->options = *options;
    w->rng.state =
        cw_hash64(&options->seed, sizeof options->seed); /* a multiple of its step would shift one stream */
    focus_choose(w);
    w->mode = focus_mode(w);
    w->site_count = (uint32_t)world_between(w, 2, 3);
    w->min_in_sync = cw_mode_has_set(w->mode) && world_chance(w, 150);
    w->lease_ns = 5 * CW_SECOND;
    automatic_choose(w);
    outside_choose(w);
    w->log_entries = 256u << world_random(w, 3);
    w->ring_sectors = CW_JOURNAL_RING_SECTORS_MIN + world_random(w, 500);
    w->copy_chunk_bytes = 2048u << world_random(w, 7);
    focus_faults(w);
    put_back_choose(w);
    choose_volumes(w);
    choose_links(w);
    choose_grants(w);
    if (options->is_story)
        make_plain(w);
    w->depth = (uint32_t)world_between(w, 1, 24);
    w->think_ns = world_between(w, 500 * CW_US, w->focus->is_busy ? 4 * CW_MS : 40 * CW_MS);
    if (w->focus->is_slow)
        w->think_ns += 4 * CW_MS;
    for (uint8_t i = 0; i < w->site_count; i++) {
        site_init(&w->sites[i], w, i);
        site_power_on(&w->sites[i]);
        site_start(&w->sites[i]);
    }
    link_init(w);
    control_init(w);
    if (!options->is_story)
        load_init(w);
    w->load_on = !options->is_story;
}

void world_fini(struct world *w)
{
    struct event e;

    load_fini(w);
    for (uint32_t i = 0; i < w->site_count; i++) {
        site_crash(&w->sites[i], false);
    }
    while (queue_pop(&w->queue, &e)) {
        if (e.dispose)
            e.dispose(e.data);
    }
    for (uint32_t i = 0; i < w->site_count; i++)
        site_fini(&w->sites[i]);
    oracle_fini(w);
    free(w->queue.heap);
}

void world_run_until(struct world *w, uint64_t until_ns)
{
    struct event e;

    while (!w->failed && w->queue.count && w->queue.heap[0].at_ns <= until_ns) {
        queue_pop(&w->queue, &e);
        w->now_ns = e.at_ns;
        e.fire(w, e.data, e.a);
        if (++w->events > EVENTS_MAX)
            world_fail(w, "more than %u events: something spins", EVENTS_MAX);
    }
    if (!w->failed)
        w->now_ns = until_ns;
}

/* ------------------------------------------------------------------ faults */

void world_restart(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;

    if (site->state == SITE_OFF && !w->failed)
        site_start(site);
}

struct site *world_some_site(struct world *w)
{
    return &w->sites[world_random(w, w->site_count)];
}

struct site *world_the_primary(struct world *w)
{
    for (uint32_t i = 0; i < w->site_count; i++)
        if (w->sites[i].state == SITE_RUNNING && w->sites[i].status.role == CW_ROLE_PRIMARY)
            return &w->sites[i];
    return NULL;
}

static void crash_one(struct world *w, struct site *site, bool power)
{
    site_crash(site, power);
    queue_at(w,
             w->now_ns + (world_chance(w, 500) ? world_between(w, 10 * CW_MS, CW_SECOND)
                                               : world_between(w, CW_SECOND, 20 * CW_SECOND)),
             world_restart, site, 0);
}

static void crash_now(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (w->phase == PHASE_SAFETY && site->life == life && site->state == SITE_RUNNING)
        crash_one(w, site, (w->faults & FAULT_POWER) && world_chance(w, 500));
}

void world_crash_soon(struct site *site, uint64_t within_ns)
{
    struct world *w = site->world;

    if ((w->faults & (FAULT_KILL | FAULT_POWER)) && w->phase == PHASE_SAFETY && world_chance(w, 120))
        queue_at(w, w->now_ns + world_random(w, within_ns), crash_now, site, site->life);
}

static void power_goes(struct world *w, void *data, uint64_t life)
{
    struct site *site = data;

    if (w->phase == PHASE_SAFETY && site->life == life && site->state == SITE_RUNNING)
        crash_one(w, site, true);
}

void world_crash_at_start(struct site *site)
{
    struct world *w = site->world;
    uint64_t within_ns = world_chance(w, 800) ? 200 * CW_US : 100 * CW_MS;

    if (w->focus->starts_badly && site->was_killed && w->phase == PHASE_SAFETY && world_chance(w, 600))
        queue_at(w, w->now_ns + world_random(w, within_ns), power_goes, site, site->life);
    else
        world_crash_soon(site, within_ns);
}

static void fault_crash(struct world *w, bool power)
{
    struct site *site = world_some_site(w);
    struct site *primary = world_the_primary(w);

    if (primary && world_chance(w, 400))
        site = primary;
    if (power && world_chance(w, 250)) /* two at once, and one of them stays away */
        crash_one(w, &w->sites[(site->id + 1) % w->site_count], true);
    crash_one(w, site, power);
}

static void fault_cut(struct world *w)
{
    uint32_t a = (uint32_t)world_random(w, w->site_count);
    uint32_t b = (a + 1 + (uint32_t)world_random(w, w->site_count - 1)) % w->site_count;
    uint64_t until = w->now_ns + (world_chance(w, 500) ? world_between(w, 10 * CW_MS, 3 * CW_SECOND)
                                                       : world_between(w, CW_SECOND, 15 * CW_SECOND));

    note(w, &w->sites[a], "cut", b, until, 0);
    w->cuts++;
    w->cut_until_ns[a][b] = until;
    if (world_chance(w, 600))
        w->cut_until_ns[b][a] = until;
}

static void fault_pause(struct world *w)
{
    struct site *site = world_some_site(w);

    if (site->state != SITE_RUNNING)
        return;
    site->paused_until_ns =
        w->now_ns + (world_chance(w, 600) ? world_between(w, CW_MS, 2 * CW_SECOND)
                                          : world_between(w, 2 * CW_SECOND, 15 * CW_SECOND));
    note(w, site, "pause", site->paused_until_ns, 0, 0);
    w->pauses++;
}

/* The site is lost with all it had; what comes back is empty. */
static void fault_replace(struct world *w)
{
    struct site *site = &w->sites[w->rot_site];

    if (site->state != SITE_RUNNING)
        return;
    crash_one(w, site, true);
    media_replace(site);
}

/* A disaster that reaches two sites, the second soon after the first. */
static void second_goes(struct world *w, void *data, uint64_t power)
{
    if (w->phase == PHASE_SAFETY)
        crash_one(w, data, power);
}

/* ... or the primary follows, and stays away for longer than its lease. */
static void primary_follows(struct world *w, void *data, uint64_t power)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || site->state != SITE_RUNNING)
        return;
    site_crash(site, power);
    queue_at(w, w->now_ns + world_between(w, 7 * CW_SECOND, 25 * CW_SECOND), world_restart, site, 0);
}

static void fault_two(struct world *w)
{
    struct site *first = world_the_primary(w);

    if (world_chance(w, 300)) { /* or every site, at one instant, by power */
        for (uint32_t i = 0; i < w->site_count; i++)
            crash_one(w, &w->sites[i], true);
        return;
    }
    if (world_chance(w, 300) || (w->site_count < 3 && !first))
        return;
    if (!first)
        first = world_some_site(w);
    struct site *second = &w->sites[(first->id + 1 + world_random(w, w->site_count - 1)) % w->site_count];
    bool power = world_chance(w, 300);
    if (first->status.role == CW_ROLE_PRIMARY && (w->site_count < 3 || world_chance(w, 500))) {
        queue_at(w, w->now_ns + world_random(w, 2 * CW_SECOND), primary_follows, first, power);
        crash_one(w, second, world_chance(w, 700));
        return;
    }
    queue_at(w, w->now_ns + world_random(w, 8 * CW_SECOND), second_goes, second, power);
    crash_one(w, first, power);
}

static void fault_switchover(struct world *w)
{
    struct site *primary = world_the_primary(w);

    if (!primary || primary->drain_target)
        return;
    uint32_t target = (primary->id + 1 + (uint32_t)world_random(w, w->site_count - 1)) % w->site_count;
    note(w, primary, "switchover", target, 0, 0);
    primary->drain_target = target + 1;
    primary->drain_deadline_ns = w->now_ns + 12 * CW_SECOND;
    primary->gives_up_undrained = (w->faults & FAULT_PROMOTE) && world_chance(w, 250);
    primary->want_drain = !primary->gives_up_undrained;
    site_turn_soon(primary);
}

static void fault_resync(struct world *w)
{
    struct site *primary = world_the_primary(w);

    if (!primary)
        return;
    primary->want_resync =
        (uint8_t)((primary->id + 1 + world_random(w, w->site_count - 1)) % w->site_count + 1);
    for (uint8_t i = 0; i < w->site_count; i++)
        if (primary->status.peers[i].state == CW_PEER_DIVERGED && world_chance(w, 700))
            primary->want_resync = i + 1;
    site_turn_soon(primary);
}

/* Whoever is whole goes for a while, once a copy to this site is somewhere on its way. */
static void lose_the_others(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || site->state != SITE_RUNNING ||
        site->status.image_state != CW_IMAGE_COPYING)
        return;
    site->gives_up_copy = true;
    for (uint32_t i = 0; i < w->site_count; i++) {
        struct site *other = &w->sites[i];
        if (other == site || other->state != SITE_RUNNING)
            continue;
        site_crash(other, world_chance(w, 500));
        queue_at(w, w->now_ns + world_between(w, 8 * CW_SECOND, 25 * CW_SECOND), world_restart, other, 0);
    }
    if (world_chance(w, 300))
        crash_one(w, site, world_chance(w, 500));
}

/* A copy begins when its target has left the set, and then lasts some milliseconds. */
static void wait_for_copy(struct world *w, void *data, uint64_t tries)
{
    struct site *site = data;

    if (w->phase != PHASE_SAFETY || tries == 0)
        return;
    if (site->state == SITE_RUNNING && site->status.image_state == CW_IMAGE_COPYING)
        queue_at(w, w->now_ns + world_between(w, 0, 10 * CW_MS), lose_the_others, site, 0);
    else
        queue_at(w, w->now_ns + CW_MS, wait_for_copy, site, tries - 1);
}

static void fault_give_up(struct world *w)
{
    struct site *primary = world_the_primary(w);

    if (!primary)
        return;
    fault_resync(w);
    if (primary->want_resync)
        queue_at(w, w->now_ns + CW_MS, wait_for_copy, &w->sites[primary->want_resync - 1], 2000);
}

static void fault_one(struct world *w, enum fault_class class_)
{
    switch (class_) {
    case FAULT_KILL:
    case FAULT_POWER:
        fault_crash(w, class_ == FAULT_POWER);
        break;
    case FAULT_CUT:
        fault_cut(w);
        break;
    case FAULT_PAUSE:
        fault_pause(w);
        break;
    case FAULT_DISK_SLOW:
        world_some_site(w)->slow_until_ns = w->now_ns + world_between(w, CW_SECOND, 8 * CW_SECOND);
        break;
    case FAULT_DISK_FAIL:
    case FAULT_ROT:
    case FAULT_MISDIRECT:
        if (world_chance(w, 200))
            media_fault(w, class_);
        break;
    case FAULT_SUPER:
        media_fault(w, class_);
        break;
    case FAULT_REPLACE:
        if (world_chance(w, 100))
            fault_replace(w);
        break;
    case FAULT_TWO:
        fault_two(w);
        break;
    case FAULT_STORE_CUT:
        fault_store(w);
        break;
    case FAULT_STORE_LOST:
        fault_store_lost(w);
        break;
    case FAULT_SWITCHOVER:
        fault_switchover(w);
        break;
    case FAULT_RESYNC:
        fault_resync(w);
        break;
    case FAULT_GIVE_UP:
        fault_give_up(w);
        break;
    case FAULT_VOLUMES:
        fault_volumes(w);
        break;
    case FAULT_LONELY:
        fault_lonely(w);
        break;
    default:
        break; /* a property of the whole run */
    }
}

#define FAULT_EVENTS                                                                                         \
    (FAULT_KILL | FAULT_POWER | FAULT_CUT | FAULT_PAUSE | FAULT_DISK_SLOW | FAULT_DISK_FAIL | FAULT_ROT |    \
     FAULT_MISDIRECT | FAULT_STORE_CUT | FAULT_SWITCHOVER | FAULT_RESYNC | FAULT_SUPER | FAULT_REPLACE |     \
     FAULT_TWO | FAULT_GIVE_UP | FAULT_LONELY | FAULT_VOLUMES | FAULT_STORE_LOST)

static void fault_tick(struct world *w, void *data, uint64_t a)
{
    if (w->phase != PHASE_SAFETY)
        return;
    queue_at(w, w->now_ns + world_between(w, 20 * CW_MS, w->focus->tick_ns_max), fault_tick, NULL, 0);
    uint32_t events = w->faults & FAULT_EVENTS;
    if (events)
        fault_one(w, focus_next_fault(w, events));
}

static void check_tick(struct world *w, void *data, uint64_t a)
{
    struct site *site = world_some_site(w);

    queue_at(w, w->now_ns + world_between(w, 50 * CW_MS, 500 * CW_MS), check_tick, NULL, 0);
    site->want_check = true;
    if (w->phase == PHASE_SAFETY)
        link_ghost(w);
    /* An engine whose group is down is restarted by its operator, sooner or later. */
    if (site->state == SITE_RUNNING && site->status.role == CW_ROLE_DOWN && world_chance(w, 100)) {
        site_crash(site, false);
        queue_at(w, w->now_ns + CW_SECOND, world_restart, site, 0);
    }
}

/* ------------------------------------------------------------------ healing and coming together */

static void heal(struct world *w)
{
    w->phase = PHASE_HEALING;
    w->healing_since_ns = w->now_ns;
    note(w, NULL, "healing", 0, 0, 0);
    put_back_ends(w);
    memset(w->cut_until_ns, 0, sizeof w->cut_until_ns);
    w->loss_ppm = w->corrupt_ppm = 100;
    for (uint32_t i = 0; i < w->site_count; i++) {
        struct site *site = &w->sites[i];
        site->is_store_cut = false;
        site->slow_until_ns = 0;
        site->journal.failed_write = site->journal.misdirect = false;
        site->super_fault = SUPER_GOES_WELL;
        for (uint32_t v = 0; v < w->volume_count; v++)
            site->volumes[v].failed_write = site->targets[v].failed_write = false;
        site->paused_until_ns = CW_MIN(site->paused_until_ns, w->now_ns);
        site->turn_scheduled = false;
        site_turn_soon(site);
        volumes_heal(site);
        world_restart(w, site, 0);
    }
}

/* Nothing is wrong any more but that clients write faster than the path carries it; a copy was asked for when
 * that began. Where writes may be slowed for it, it has ended, and a site has come into the set. */
static void check_copies_ended(struct world *w)
{
    struct site *primary = world_the_primary(w);

    if (!primary || !cw_mode_has_set(w->mode) || (w->store.members & ~(1u << primary->id)))
        return;
    world_fail(w, "progress: the path is there for %llu s, and no site is in the set",
               (unsigned long long)(SLOW_NS / CW_SECOND));
}

/* An operator looks at what diverged and orders a full copy. */
static void tend(struct world *w)
{
    struct site *primary = world_the_primary(w);

    for (uint32_t i = 0; primary && i < w->site_count; i++)
        if (primary->status.peers[i].state == CW_PEER_DIVERGED) {
            primary->want_resync = (uint8_t)(i + 1);
            site_turn_soon(primary);
        }
}

bool world_has_converged(struct world *w, char *why, size_t why_size)
{
    struct site *primary = world_the_primary(w);

    if (!primary) {
        snprintf(why, why_size, "nobody is primary");
        return false;
    }
    uint64_t head = primary->status.head;
    for (uint32_t i = 0; i < w->site_count; i++) {
        const struct site *s = &w->sites[i];
        const struct cw_sequences *q = &s->status.sequences;
        if (s->state != SITE_RUNNING || w->in_flight[i] || q->durable != head || q->applied != head ||
            s->status.image_state != CW_IMAGE_WHOLE || s->sends_unanswered) {
            snprintf(
                why, why_size,
                "site %u: role %s, %u ops wait, %u sends wait, durable %llu applied %llu of %llu, image %u",
                i, cw_role_name((enum cw_role)s->status.role), w->in_flight[i], s->sends_unanswered,
                (unsigned long long)q->durable, (unsigned long long)q->applied, (unsigned long long)head,
                s->status.image_state);
            return false;
        }
        if (!volumes_are_level(s)) {
            snprintf(why, why_size, "site %u has volumes that were deleted, or lacks some", i);
            return false;
        }
        if (s != primary && primary->status.peers[i].state != CW_PEER_STREAMING) {
            snprintf(why, why_size, "site %u stands in state %u at the primary", i,
                     primary->status.peers[i].state);
            return false;
        }
        if (cw_mode_has_set(w->mode) && !(w->store.members >> i & 1)) {
            snprintf(why, why_size, "site %u is not in the set", i);
            return false;
        }
    }
    return true;
}

/* Media lied where the only whole image was: what is left is for an operator to look at (--inconsistent). */
static bool is_dead_end(struct world *w)
{
    bool has_liar = false;

    for (uint32_t i = 0; i < w->site_count; i++) {
        const struct site *s = &w->sites[i];
        if (s->state != SITE_RUNNING || s->status.image_state == CW_IMAGE_WHOLE)
            return false;
        has_liar |= s->is_journal_tainted;
    }
    return has_liar;
}

static void print_who_waits(struct world *w)
{
    for (uint32_t i = 0; i < w->site_count; i++) {
        struct site *s = &w->sites[i];
        const struct cw_group_status *st = &s->status;
        fprintf(w->options.out,
                "    %c %s role %s epoch %llu head %llu r/w/d/c/a %llu/%llu/%llu/%llu/%llu image %u members "
                "%x%s%s\n",
                "ABC"[i], s -> state == SITE_RUNNING ? "running" : "off",
                cw_role_name((enum cw_role)st->role), (unsigned long long)st->epoch,
                (unsigned long long)st->head, (unsigned long long)st->sequences.received,
                (unsigned long long)st->sequences.written, (unsigned long long)st->sequences.durable,
                (unsigned long long)st->sequences.commit, (unsigned long long)st->sequences.applied,
                st->image_state, st->members, st->is_frozen ? " frozen" : "",
                st->is_damaged ? " damaged" : "");
        fprintf(w->options.out, "      reason '%s' refusal '%s' journal %llu of %llu\n", st->reason,
                st->refusal, (unsigned long long)st->journal_used_bytes,
                (unsigned long long)st->journal_bytes);
        for (uint32_t p = 0; p < w->site_count; p++)
            if (p != i)
                fprintf(w->options.out,
                        "      peer %c state %u link %s member %d cursor %llu acked %llu '%s'\n", "ABC"[p],
                        st -> peers[p].state,
                        (w->has_sessions ? net_is_up(s, (uint8_t)p) : s->ends[p].is_up) ? "up" : "down",
                        st->peers[p].is_member, (unsigned long long)st->peers[p].cursor,
                        (unsigned long long)st->peers[p].sequences.durable, st->peers[p].reason);
    }
    fprintf(w->options.out, "    store: epoch %llu holder %u members %x\n",
            (unsigned long long)w->store.epoch, w->store.holder, w->store.members);
}

void world_final_check(struct world *w)
{
    for (uint32_t i = 0; i < w->site_count && !w->failed; i++) {
        check_files(&w->sites[i]);
        if (!w->failed && w->sites[i].status.role == CW_ROLE_PRIMARY)
            check_primary_state(&w->sites[i]);
    }
}

bool world_run(const struct sim_options *options, struct world *w)
{
    char why[256] = "";

    world_init(w, options);
    queue_at(w, CW_SECOND, fault_tick, NULL, 0);
    queue_at(w, CW_SECOND, check_tick, NULL, 0);
    world_run_until(w, world_between(w, w->focus->run_ns_min, w->focus->run_ns_max));
    if (!w->failed)
        heal(w);
    uint64_t quiet = w->now_ns + (w->focus->is_slow ? SLOW_NS : LOAD_NS), give_up = quiet + HEAL_NS;
    if (!w->failed && w->focus->is_slow)
        fault_resync(w);
    while (!w->failed && w->phase == PHASE_HEALING) {
        world_run_until(w, w->now_ns + CW_SECOND);
        tend(w);
        if (w->now_ns - w->healing_since_ns == HOLDER_FIRST_NS)
            check_holder_is_back(w);
        if (w->load_on && w->now_ns >= quiet && w->focus->is_slow)
            check_copies_ended(w);
        if (w->now_ns >= quiet)
            w->load_on = false;
        if (!w->load_on && world_has_converged(w, why, sizeof why))
            w->phase = PHASE_DONE;
        else if (w->now_ns > give_up && is_dead_end(w))
            w->phase = PHASE_DONE, w->dead_ends++;
        else if (w->now_ns > give_up)
            world_fail(w, "liveness: not together after %llu s: %s",
                       (unsigned long long)(HEAL_NS / CW_SECOND), why);
    }
    if (!w->failed)
        world_final_check(w);
    if (w->failed && options->out) {
        fprintf(options->out, "seed %llu (%s, %u sites, focus %s, faults %x) at %.6f s: %s\n",
                (unsigned long long)options->seed, cw_mode_name(w->mode), w->site_count, w->focus->name,
                w->faults, (double)w->now_ns / 1e9, w->failure);
        print_who_waits(w);
    }
    return !w->failed;
}
