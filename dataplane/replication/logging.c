/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records into the journal, and what may be called durable and committed.
 *
 * Group commit: while CW_BATCHES_IN_FLIGHT batches are on their way, records gather for the next one. A sync
 * starts when somebody waits for durability, when memory fills, or when the commit interval has passed. A
 * batch without records is written when only the commit sequence has moved, because nothing is applied in
 * place before a durable batch has said that it may be.
 */
#include "replication/group_private.h"

#define ANSWER_LEAVES_NS (5 * CW_MS)

static bool is_under_pressure(const struct cw_group *g)
{
    return g->payload_bytes > g->config.payload_bytes_soft || g->head - g->log_first > g->log_mask / 2;
}

/* A batch may carry any commit sequence that we know, but not beyond what it and its elders hold. */
static uint64_t commit_to_log(const struct cw_group *g, uint64_t logged)
{
    return CW_MIN(g->commit, logged);
}

static bool add_record(struct cw_group *g, uint64_t sequence, bool *has_fua)
{
    const struct cw_log_entry *entry = cw_log_at(g, sequence);
    const struct cw_payload *payload = cw_log_payload(g, entry);

    CW_ASSERT(entry->is_present && entry->record.sequence == sequence);
    if (!cw_journal_add(g->journal, &entry->record, payload ? payload->data : NULL))
        return false;
    *has_fua |= entry->record.flags & CW_RECORD_FUA;
    return true;
}

static void note_logged(struct cw_group *g, uint64_t sequence)
{
    uint64_t length = cw_record_payload_length(&cw_log_at(g, sequence)->record);

    g->unlogged_bytes -= CW_MIN(length, g->unlogged_bytes); /* a replica does not count them */
}

/* Answers that were decided on leave in the same turn, but a connection that is busy sends them in the next one.
 * What was decided on some turns ago is gone for sure. */
static void note_answers(struct cw_group *g)
{
    if (g->now_ns - g->answers.at_ns < ANSWER_LEAVES_NS)
        return;
    g->answers.gone = g->answers.seen;
    g->answers.seen = g->completed;
    g->answers.at_ns = g->now_ns;
}

/* Of this reign's writes. With the lease gone answers are held at the last moment, so nothing is told. */
static uint64_t answered_to_log(const struct cw_group *g)
{
    const struct cw_history_entry *reign = cw_history_last(&g->super.history);

    if (!cw_group_is_open(g) || g->now_ns >= g->lease_deadline_ns || !reign ||
        g->answers.gone < reign->first_sequence)
        return 0;
    return g->answers.gone;
}

static void issue_batch(struct cw_group *g, bool dsync)
{
    cw_journal_answered(g->journal, answered_to_log(g));
    const struct cw_journal_batch *batch = cw_journal_close(g->journal, commit_to_log(g, g->logged), dsync);
    struct cw_action *action = cw_group_act(g, CW_ACT_JOURNAL_WRITE);

    action->slot = batch->slot;
    g->commit_logged = CW_MAX(g->commit_logged, batch->commit);
    g->batches_in_flight++;
    g->last_batch_ns = g->now_ns;
    cw_count(&g->counters[CW_GROUP_BATCHES], 1);
}

static bool may_open_batch(const struct cw_group *g)
{
    return g->batches_in_flight < CW_BATCHES_IN_FLIGHT && !g->is_journal_cutting && !g->is_salvaging &&
           cw_group_can_send(g);
}

bool cw_logging_has_room(struct cw_group *g)
{
    const struct cw_log_entry *entry = cw_log_at(g, g->logged + 1);

    return cw_journal_room(g->journal) >= cw_journal_sectors_for(cw_record_payload_length(&entry->record));
}

static void write_records(struct cw_group *g)
{
    while (g->logged < g->head && may_open_batch(g)) {
        if (!cw_logging_has_room(g))
            return; /* ends when a checkpoint has released something */
        if (!cw_journal_begin(g->journal))
            return;
        uint64_t first = g->logged + 1;
        bool has_fua = false;
        while (g->logged < g->head && add_record(g, g->logged + 1, &has_fua))
            note_logged(g, ++g->logged);
        CW_ASSERT(g->logged >= first && "a batch of its own was asked for");
        if (has_fua)
            g->sync_wanted = CW_MAX(g->sync_wanted, g->logged);
        issue_batch(g, has_fua && first == g->logged && g->batches_in_flight == 0);
    }
}

/* Somebody waits for records to be applied, and only the word "commit" is missing in the journal. */
static bool wants_commit_batch(const struct cw_group *g)
{
    if (g->logged < g->head || commit_to_log(g, g->logged) <= g->commit_logged)
        return false;
    if (g->is_stopping || g->role == CW_ROLE_DRAINING || is_under_pressure(g))
        return g->batches_in_flight == 0;
    return g->batches_in_flight == 0 && g->now_ns - g->last_batch_ns >= g->config.commit_interval_ns / 4;
}

static void write_commit(struct cw_group *g)
{
    if (!wants_commit_batch(g) || !may_open_batch(g))
        return;
    if (cw_journal_begin(g->journal))
        issue_batch(g, false);
}

static bool wants_sync(const struct cw_group *g)
{
    if (g->is_syncing || g->is_journal_cutting || !cw_journal_sync_is_needed(g->journal))
        return false;
    uint64_t durable = cw_group_durable(g), written = cw_group_written(g);
    if (g->sync_wanted > durable && written >= CW_MIN(g->sync_wanted, g->logged))
        return true;
    if (g->is_stopping || is_under_pressure(g))
        return true;
    return g->now_ns - g->last_sync_ns >= g->config.commit_interval_ns / 2;
}

void cw_logging_step(struct cw_group *g)
{
    note_answers(g);
    write_records(g);
    write_commit(g);
    if (wants_sync(g)) {
        cw_journal_sync_begin(g->journal);
        cw_group_act(g, CW_ACT_JOURNAL_SYNC);
        g->is_syncing = true;
        g->last_sync_ns = g->now_ns;
        cw_count(&g->counters[CW_GROUP_SYNCS], 1);
    }
}

/* The primary's commit: durable here, and held as the mode asks by every in-sync replica. Never goes back. */
void cw_commit_step(struct cw_group *g)
{
    if (!cw_group_is_open(g))
        return;
    uint64_t commit = cw_group_durable(g);
    uint8_t mask = cw_wait_mask(g);

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (mask & cw_bit(s))
            commit = CW_MIN(commit, cw_member_holds(g, &g->peers[s]));
#if CW_PLANTED_BUG == 3 /* nobody waits for the replicas before applying */
    commit = g->logged;
#endif
    g->commit = CW_MAX(g->commit, commit);
}

void cw_group_on_journal_written(struct cw_group *g, uint32_t slot, enum cw_status status)
{
    g->batches_in_flight--;
    if (status != CW_OK) {
        cw_group_down(g, status == CW_NO_SPACE
                             ? "the journal's device is full: a write failed; free space, then "
                               "start this site again"
                             : "a write to the journal failed; repair or replace its device, then "
                               "start this site again");
        return;
    }
    cw_journal_written(g->journal, slot);
}

void cw_group_on_journal_synced(struct cw_group *g, enum cw_status status)
{
    g->is_syncing = false;
    if (status != CW_OK) {
        /* What was only written may be gone: no member, whatever the store says. */
        g->super.is_damaged = true;
        cw_super_ask(g);
        cw_group_down(g,
                      "a sync of the journal failed; what it held before may be lost in its cache; repair or "
                      "replace its device, then start this site again");
        return;
    }
    cw_journal_sync_end(g->journal);
}
