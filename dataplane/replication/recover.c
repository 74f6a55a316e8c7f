/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting: from a superblock and the records that the scan of the journal yields, in log order.
 *
 * A record counts when the history says that its epoch wrote its sequence; what a cut left behind does not.
 * A sequence that comes again belongs to the newer place (the older one was lost or cut). The unbroken run
 * that begins at the checkpoint is ours; of it, everything up to the highest commit sequence that a sound
 * batch carries is put in place again, because it may have been, in part; the rest waits in memory.
 */
#include "replication/group_private.h"

#include <string.h>

void cw_group_format(struct cw_superblock *superblock, uint32_t group, uint32_t site, uint64_t ring_sectors,
                     const uint64_t journal_id[2])
{
    memset(superblock, 0, sizeof *superblock);
    superblock->generation = 1;
    superblock->journal_id[0] = journal_id[0];
    superblock->journal_id[1] = journal_id[1];
    superblock->group = group;
    superblock->site = site;
    superblock->ring_sectors = ring_sectors;
    superblock->image_state = CW_IMAGE_WHOLE;
    superblock->primary_site = CW_SITES_MAX;
    superblock->is_clean = true;
}

static bool counts(const struct cw_group *g, const struct cw_record *record)
{
    return record->group == g->config.group &&
           cw_history_has(&g->super.history, record->sequence, record->epoch, record->reign);
}

void cw_group_recover_index(struct cw_group *g, const struct cw_record *record, uint64_t position,
                            uint32_t sectors)
{
    uint64_t s = record->sequence;

    if (!counts(g, record))
        return;
    if (g->recover_last == 0 || s > g->recover_last + 1)
        g->recover_base = s;
    g->recover_base = CW_MIN(g->recover_base, s);
    g->recover_last = s;
    cw_journal_index_add(g->journal, position, sectors, s, s);
}

/* What was written but not durable may be lost with the power, never by the death of a process alone. */
static bool is_damaged(const struct cw_group *g, const struct cw_recovery_report *report)
{
    const uint64_t *now = g->config.identity.boot_id, *then = g->super.boot_id;
    bool is_same_boot = now[0] == then[0] && now[1] == then[1];

    return report->is_damaged || g->super.is_damaged || (report->is_written_lost && is_same_boot);
}

void cw_group_recover_report(struct cw_group *g, const struct cw_recovery_report *report)
{
    uint64_t checkpoint = g->super.applied_sequence;
    bool has_run = g->recover_last >= checkpoint && g->recover_base <= checkpoint + 1 && g->recover_last != 0;

#if CW_PLANTED_BUG == 9 /* the tail is forgotten: only the checkpoint counts */
    has_run = false;
#endif
    g->head = has_run ? g->recover_last : checkpoint;
    g->is_recovered_damaged = is_damaged(g, report) || (!has_run && g->recover_last > checkpoint);
    g->commit = CW_MAX(checkpoint, CW_MIN(report->tip.commit, g->head));
    g->applied_limit = CW_MAX(CW_MIN(g->super.applied_limit, g->head), g->commit);
    /* What was durable may have been applied, and the batch that said so may be among the lost: then redo is
     * impossible, and what stands in the files may be of no prefix. */
    bool may_lack_redo = report->is_damaged || g->super.applied_limit > g->head;
    if (may_lack_redo && g->super.image_state == CW_IMAGE_WHOLE) {
        g->super.image_state = CW_IMAGE_BROKEN;
        g->is_recovered_damaged = true;
    }
    struct cw_journal_tip tip = report->tip;
    g->super.start_position = tip.head_position;
    g->super.start_number = tip.next_number;
    tip.last_sequence = CW_MAX(tip.last_sequence, g->head); /* head may come from the checkpoint alone */
    cw_journal_start(g->journal, &tip);
    if (tip.last_sequence > g->head)
        cw_journal_cut(g->journal, g->head);
    g->logged = g->head;
    g->commit_logged = g->commit;
    g->log_first = g->commit + 1;
    g->recover_last = g->commit; /* from here on: the last record kept */
}

static bool is_image_whole(const struct cw_group *g)
{
    return g->super.image_state == CW_IMAGE_WHOLE || cw_group_superblock_wants_switch(&g->super);
}

enum cw_redo cw_group_recover_redo(struct cw_group *g, const struct cw_record *record)
{
    if (!counts(g, record) || !is_image_whole(g))
        return CW_REDO_SKIP;
    if (record->sequence <= g->super.applied_sequence || record->sequence > g->head)
        return CW_REDO_SKIP;
    if (record->sequence > g->commit)
        return CW_REDO_KEEP;
    if (record->kind == CW_RECORD_MARKER || g->volumes[record->volume].is_removed)
        return CW_REDO_SKIP;
    return CW_REDO_APPLY;
}

void cw_group_recover_keep(struct cw_group *g, const struct cw_record *record,
                           const struct cw_payload *payload)
{
    if (cw_log_has(g, record->sequence)) { /* it stands in the journal twice, the same both times */
        if (payload)
            cw_group_act(g, CW_ACT_RELEASE)->handle = payload->handle;
        return;
    }
    cw_log_add(g, record, payload);
}

void cw_group_start(struct cw_group *g, const uint64_t new_journal_id[2], uint64_t now_ns)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    uint64_t head = g->head;

    g->now_ns = now_ns;
    g->serial = now_ns; /* above all of an earlier life in this process: sessions outlive a group */
    g->epoch = last ? last->epoch : 0;
    g->reign = last ? last->reign : 0;
    g->applied = g->issued = g->phase_mark = g->commit;
    g->log_first = g->commit + 1;
    if (is_image_whole(g)) {
        cw_super_set_whole(&g->super);
        g->super.applied_sequence = g->applied;
        g->head = g->commit;
        cw_follow_take_unbroken(g); /* what was kept goes under the overlay */
        CW_ASSERT(g->head == head && "what the scan yielded was kept");
    } else {
        g->log_first = head + 1; /* nothing here is to be applied: a copy or a salvage comes */
        g->commit = g->applied = g->issued = g->phase_mark = head;
    }
    cw_cover_start(g);
    g->next_journal_id[0] = new_journal_id[0];
    g->next_journal_id[1] = new_journal_id[1];
    if (g->is_recovered_damaged) {
        g->super.is_damaged = true;
        cw_group_event(g, 2, "the journal is damaged: records above %llu that it once held are unreadable",
                       head, 0, 0);
    }
    g->release_sequence = g->super.tail_sequence;
    g->super.is_clean = false;
    g->checkpoint_ns = g->last_sync_ns = g->last_batch_ns = now_ns;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        g->peers[s].progress_ns = now_ns;
    cw_super_ask(g);
}
