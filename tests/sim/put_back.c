/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store is put back to an older copy: all at once the row is one of before. No controller here has a copy
 * of its own, so nothing but what engines have seen speaks against it. After a while the rows are put right
 * again, as `causeway store rebuild` does it from what the sites have.
 *
 *   row M --put back--> row N < M --rebuilt--> row M
 *
 * Only a row is put back of which every site knows better by its own superblock: one that does not, and that
 * reaches nobody, has nothing to go by. And nobody accepts a loss meanwhile: who does so by hand is believed.
 *
 * Rule: what counts (outside_truth) stays row M all the time, so whoever opens from the old one is a second
 * primary, or has lost what was acknowledged.
 */
#include "sim.h"

#define LIES (FAULT_ROT | FAULT_MISDIRECT | FAULT_SUPER | FAULT_REPLACE | FAULT_GIVE_UP)

static uint64_t last_epoch(const struct cw_history *history)
{
    return history->count ? history->entries[history->count - 1].epoch : 0;
}

/* What every site has in its superblock, come what may. */
static uint64_t known_to_all(const struct world *w)
{
    uint64_t known = UINT64_MAX;

    for (uint32_t i = 0; i < w->site_count; i++) {
        const struct super_truth *last = &w->sites[i].super_last;
        known = CW_MIN(known, last->is_known ? last_epoch(&last->history) : 0);
    }
    return known;
}

void put_back_remember(struct world *w)
{
    if (w->put_back.is_chosen && !w->put_back.is_older)
        w->put_back.rows[w->put_back.count++ % PUT_BACK_ROWS] = w->store.row;
}

void put_back_ends(struct world *w)
{
    if (!w->put_back.is_older)
        return;
    w->put_back.is_older = false;
    store_put_row(w, &w->put_back.truth.row);
    note(w, NULL, "store: is rebuilt", w->store.epoch, 0, 0);
}

static void rebuild(struct world *w, void *data, uint64_t a)
{
    put_back_ends(w);
}

static void put_back(struct world *w, void *data, uint64_t a)
{
    uint64_t known = known_to_all(w);
    uint32_t kept = CW_MIN(w->put_back.count, PUT_BACK_ROWS);

    if (w->phase != PHASE_SAFETY)
        return;
    uint64_t until = w->now_ns + world_between(w, CW_SECOND, 20 * CW_SECOND);
    queue_at(w, until + world_between(w, CW_SECOND, 8 * CW_SECOND), put_back, NULL, 0);
    const struct cw_authority *row = kept ? &w->put_back.rows[world_random(w, kept)] : NULL;
    if (!row || row->epoch == 0 || row->epoch >= known)
        return;
    w->put_back.truth = w->store;
    w->put_back.is_older = true;
    w->put_back.times++;
    note(w, NULL, "store: is put back", w->store.epoch, row->epoch, known);
    store_put_row(w, row);
    queue_at(w, until, rebuild, NULL, 0);
}

void put_back_choose(struct world *w)
{
    struct cw_rng own = {w->options.seed ^ 0x7075746261636b21}; /* other draws stay as they are */
    bool is_drawn = cw_rng_below(&own, 1000) < 250;

    w->put_back.is_chosen = is_drawn && !w->options.is_story && !w->has_tokens && !(w->faults & LIES);
    if (w->put_back.is_chosen)
        queue_at(w, 5 * CW_SECOND + cw_rng_below(&own, 10 * CW_SECOND), put_back, NULL, 0);
}
