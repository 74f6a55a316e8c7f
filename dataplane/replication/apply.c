/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records into place. Only up to the commit sequence that a durable batch of our own journal carries: that
 * is what recovery will believe, so a tail that is cut was never applied.
 *
 * Issued in order of sequence; a record that overlaps one still in flight waits for it. While a copy fills
 * us, chunks go in as they come: a chunk as of S goes in before S + 1, and does not wait for the records up
 * to S, which are put in place again over it. Until S is in place the bytes are the state after no sequence;
 * they count only when the copy ends, above the S of every chunk. So the chunks of a copy wait for no journal
 * here.
 */
#include "replication/group_private.h"

static uint64_t apply_limit(const struct cw_group *g)
{
    uint64_t limit = CW_MIN(g->commit, cw_group_durable(g));

#if CW_PLANTED_BUG == 3
    return g->logged;
#endif
    return CW_MIN(limit, cw_journal_durable_commit(g->journal));
}

static struct cw_apply_slot *free_slot(struct cw_group *g)
{
    for (uint32_t i = 0; i < CW_APPLY_SLOTS; i++)
        if (!g->apply[i].is_used)
            return &g->apply[i];
    return NULL;
}

static bool overlaps_in_flight(const struct cw_group *g, uint16_t volume, uint64_t offset, uint64_t length)
{
#if CW_PLANTED_BUG == 8 /* records that overlap are applied beside each other */
    return false;
#endif
    for (uint32_t i = 0; i < CW_APPLY_SLOTS; i++) {
        const struct cw_apply_slot *slot = &g->apply[i];
        if (slot->is_used && slot->volume == volume &&
            cw_overlaps(slot->offset, slot->length, offset, length))
            return true;
    }
    return false;
}

static void issue(struct cw_group *g, struct cw_apply_slot *slot, uint8_t kind, uint8_t *data)
{
    struct cw_action *action = cw_group_act(g, CW_ACT_APPLY);

    slot->is_used = true;
    slot->generation++;
    g->apply_used++;
    action->kind = kind;
    action->volume = slot->volume;
    action->offset = slot->offset;
    action->length = slot->length;
    action->memory = data;
    action->to_copy = cw_target_is_filling(g);
    action->token = (uint64_t)slot->generation << 32 | (uint64_t)(slot - g->apply);
}

static void advance(struct cw_group *g)
{
    while (g->applied < g->issued && cw_log_at(g, g->applied + 1)->is_applied)
        g->applied++;
}

static bool issue_record(struct cw_group *g, uint64_t sequence)
{
    struct cw_log_entry *entry = cw_log_at(g, sequence);
    const struct cw_record *r = &entry->record;

    CW_ASSERT(entry->is_present && r->sequence == sequence);
    bool has_no_place = r->kind == CW_RECORD_MARKER || g->volumes[r->volume].is_removed;
#if CW_PLANTED_BUG == 18 /* a volume that has not come yet is not waited for */
    has_no_place |= !g->volumes[r->volume].is_present;
#endif
    if (has_no_place) {
        entry->is_applied = true;
    } else {
        struct cw_apply_slot *slot = free_slot(g);
        const struct cw_payload *payload = cw_log_payload(g, entry);
        if (!g->volumes[r->volume].is_present || overlaps_in_flight(g, r->volume, r->offset, r->length))
            return false;
        if (r->offset + r->length > g->volumes[r->volume].size) {
            cw_group_down(g, "a record lies outside its volume: the sites disagree about a volume's size");
            return false;
        }
        slot->is_chunk = false;
        slot->volume = r->volume;
        slot->sequence = sequence;
        slot->offset = r->offset;
        slot->length = r->length;
        issue(g, slot, r->kind, payload ? payload->data : NULL);
    }
    entry->is_issued = true;
    g->issued = sequence;
    g->applied_limit = CW_MAX(g->applied_limit, sequence);
    advance(g);
    return true;
}

static bool is_chunk_in_flight(const struct cw_group *g)
{
    for (uint32_t i = 0; cw_target_is_filling(g) && i < CW_APPLY_SLOTS; i++)
        if (g->apply[i].is_used && g->apply[i].is_chunk)
            return true;
    return false;
}

/* Its volume was deleted: it counts as in place, like a record. */
static void drop_chunk(struct cw_group *g, struct cw_chunk *chunk)
{
    if (chunk->handle)
        cw_group_act(g, CW_ACT_RELEASE)->handle = chunk->handle;
    chunk->is_present = false;
    cw_target_chunk_applied(g, chunk->index);
}

/* true: something is in the way of the next record. */
static bool issue_due_chunk(struct cw_group *g)
{
    struct cw_chunk *chunk = cw_target_chunk_due(g);

    if (is_chunk_in_flight(g)) /* the place of the chunk after it is not looked at before it is in place */
        return true;
    for (; chunk && g->volumes[chunk->volume].is_removed; chunk = cw_target_chunk_due(g))
        drop_chunk(g, chunk);
    if (!chunk)
        return false;
    if (g->apply_used > 0) /* everything before it, and the chunk before it, is in place first */
        return true;
    struct cw_apply_slot *slot = free_slot(g);
    slot->is_chunk = true;
    slot->volume = chunk->volume;
    slot->sequence = chunk->index;
    slot->offset = chunk->offset;
    slot->length = chunk->length;
    slot->handle = chunk->handle;
    issue(g, slot, chunk->kind, chunk->data);
    chunk->is_present = false; /* the slot has its buffer now */
    return true;
}

static bool may_apply(const struct cw_group *g)
{
    switch (g->target.state) {
    case CW_TARGET_NONE:
    case CW_TARGET_SALVAGING:
    case CW_TARGET_PREPARING:
    case CW_TARGET_SETTLING: /* when a copy was not finished, the old files stay as they are */
        return g->super.image_state == CW_IMAGE_WHOLE && g->revert.state == CW_REVERT_NONE;
    case CW_TARGET_FILLING:
        return true;
    default:
        return false; /* the image is about to change */
    }
}

void cw_apply_step(struct cw_group *g)
{
    uint64_t limit = apply_limit(g);

    if (!may_apply(g))
        return;
    while (g->apply_used < CW_APPLY_SLOTS && cw_group_can_send(g) && g->role != CW_ROLE_DOWN) {
        if (issue_due_chunk(g))
            return;
        if (g->issued >= limit || !issue_record(g, g->issued + 1))
            return;
    }
}

void cw_group_on_applied(struct cw_group *g, uint64_t token, enum cw_status status)
{
    uint32_t i = (uint32_t)token;

    CW_ASSERT(i < CW_APPLY_SLOTS);
    struct cw_apply_slot *slot = &g->apply[i];
    CW_ASSERT(slot->is_used && slot->generation == (uint32_t)(token >> 32));
    slot->is_used = false;
    g->apply_used--;
    if (slot->is_chunk && slot->handle)
        cw_group_act(g, CW_ACT_RELEASE)->handle = slot->handle;
    if (status != CW_OK && !g->volumes[slot->volume].is_removed) {
        cw_group_down(g,
                      status == CW_NO_SPACE
                          ? "a volume's device is full: a record could not be put in place; free space, then "
                            "start this site again: the journal has it"
                          : "a write to a volume failed; repair its device, then start this site again: the "
                            "journal has what was acknowledged");
        return;
    }
    if (slot->is_chunk) {
        cw_target_chunk_applied(g, slot->sequence);
        return;
    }
    struct cw_log_entry *entry = cw_log_at(g, slot->sequence);
    if (!entry->is_present || entry->record.sequence != slot->sequence)
        return; /* a copy began meanwhile: this image no longer counts */
    entry->is_applied = true;
    cw_count(&g->counters[CW_GROUP_APPLIED], 1);
    advance(g);
}
