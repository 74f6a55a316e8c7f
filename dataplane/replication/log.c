/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records in memory. An entry stands in its slot from the moment the record is known until it is applied
 * and no read that began before can still need it; its payload lives a little longer if a send looks at it.
 * Entries leave in order of sequence.
 */
#include "replication/group_private.h"

#include <string.h>

bool cw_log_has(struct cw_group *g, uint64_t sequence)
{
    if (sequence < g->log_first || sequence > g->log_first + g->log_mask)
        return false;
    const struct cw_log_entry *entry = cw_log_at(g, sequence);
    return entry->is_present && entry->record.sequence == sequence;
}

bool cw_log_has_room(const struct cw_group *g, uint64_t count)
{
    return g->head + count <= g->log_first + g->log_mask;
}

const struct cw_payload *cw_log_payload(struct cw_group *g, const struct cw_log_entry *entry)
{
    const struct cw_held *held = cw_pool_get(&g->held, entry->held);

    return held ? &held->payload : NULL;
}

void cw_log_add(struct cw_group *g, const struct cw_record *record, const struct cw_payload *payload)
{
    CW_ASSERT(record->sequence >= g->log_first);
    CW_ASSERT(record->sequence <= g->log_first + g->log_mask);
    struct cw_log_entry *entry = cw_log_at(g, record->sequence);

    CW_ASSERT(!entry->is_present);
    *entry = (struct cw_log_entry){.record = *record, .is_present = true};
    if (payload) {
        entry->held = cw_pool_take(&g->held);
        CW_ASSERT(!cw_handle_is_none(entry->held) && "one a log entry and one a send are there");
        struct cw_held *held = cw_pool_get(&g->held, entry->held);
        *held = (struct cw_held){.payload = *payload, .references = 1};
        g->payload_bytes += payload->length;
    }
}

void cw_held_unref(struct cw_group *g, struct cw_handle handle)
{
    struct cw_held *held = cw_pool_get(&g->held, handle);

    CW_ASSERT(held != NULL);
    CW_ASSERT(held->references > 0);
    if (--held->references > 0)
        return;
    struct cw_action *action = cw_group_act(g, CW_ACT_RELEASE);
    action->handle = held->payload.handle;
    cw_pool_give(&g->held, handle);
}

static void drop_entry(struct cw_group *g, struct cw_log_entry *entry)
{
    if (entry->record.kind != CW_RECORD_MARKER)
        cw_overlay_remove(&g->overlay, entry->record.sequence);
    if (!cw_handle_is_none(entry->held)) {
        g->payload_bytes -= cw_log_payload(g, entry)->length;
        cw_held_unref(g, entry->held);
    }
    memset(entry, 0, sizeof *entry);
}

/* Reads that began before `phase_mark` was applied may still have to look at entries up to it. */
void cw_log_retire(struct cw_group *g)
{
    uint32_t old = 1 - g->read_phase;

    for (uint32_t turn = 0; turn < 2; turn++) {
        if (g->reads[old] > 0)
            return;
        while (g->log_first <= g->phase_mark && cw_group_can_send(g)) {
            drop_entry(g, cw_log_at(g, g->log_first));
            g->log_first++;
        }
        if (g->log_first <= g->phase_mark || g->applied == g->phase_mark)
            return;
        g->phase_mark = g->applied;
        old = g->read_phase;
        g->read_phase = 1 - g->read_phase;
    }
}

void cw_log_drop_above(struct cw_group *g, uint64_t sequence)
{
    for (uint64_t s = CW_MAX(sequence + 1, g->log_first); s <= g->log_first + g->log_mask; s++) {
        struct cw_log_entry *entry = cw_log_at(g, s);
        if (entry->is_present)
            drop_entry(g, entry);
    }
}
