/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A log that begins anew, at another sequence and under another history: for a full copy, and for going back
 * to the image of before one.
 *
 * The superblock says so first, under a new journal id (cw_anew_mark); when it is durable and nothing of the
 * old log is in the hands of a device, memory follows (cw_anew_jump). Between the two neither fits the other:
 * see cw_group_is_cutting.
 */
#include "replication/group_private.h"

#include <string.h>

#include "base/hash.h"

void cw_anew_mark(struct cw_group *g, uint64_t sequence, const struct cw_history *history, uint64_t salt)
{
    struct cw_superblock *s = &g->super;
    uint64_t mix[2] = {g->next_journal_id[0], salt};

    s->journal_id[0] = g->next_journal_id[0] = cw_hash64(mix, sizeof mix);
    s->journal_id[1] = g->next_journal_id[1];
    cw_forget_cursors(g);
    s->history = *history;
    s->tail_position = s->start_position = s->start_number = 0;
    s->tail_sequence = s->applied_sequence = sequence;
    s->applied_limit = g->applied_limit = sequence;
    s->is_damaged = false;
    g->is_journal_cutting = true;
}

bool cw_anew_is_quiet(const struct cw_group *g)
{
    return g->batches_in_flight == 0 && !g->is_syncing && g->apply_used == 0 && !g->is_volumes_syncing &&
           g->reads[0] + g->reads[1] == 0;
}

/* Nothing of before is in memory any more. */
void cw_anew_jump(struct cw_group *g, uint64_t sequence)
{
    CW_ASSERT(cw_anew_is_quiet(g));
    cw_log_drop_above(g, 0);
    cw_journal_reset(g->journal, g->super.journal_id, sequence);
    g->config.identity.journal_id[0] = g->super.journal_id[0];
    g->config.identity.journal_id[1] = g->super.journal_id[1];
    g->log_first = sequence + 1;
    g->head = g->logged = g->commit = g->issued = g->applied = g->applied_limit = sequence;
    g->phase_mark = g->commit_logged = g->release_sequence = sequence;
    g->sync_wanted = 0;
    g->is_checkpoint_syncing = false;
    g->checkpoint_ticket = 0;
    g->is_recovered_damaged = false;
    g->is_journal_cutting = false;
}
