/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The full copy, replica's side.
 *
 *     NONE -> SALVAGING -> PREPARING -> SETTLING -> HOLDING -> MARKING ->
 *             FILLING -> SYNCING -> SEALING -> SWITCHING -> FINISHING -> NONE
 *
 * What we hold that the primary's history does not is kept first (SALVAGING). New files are made, space and
 * all, before anything of the old state is touched (PREPARING). What is committed goes into the old files
 * while it can (SETTLING), and these are synced (HOLDING): they stay as they are until the new ones are
 * whole, and can be opened if that never comes (revert.c). Then the superblock says that a copy is under way,
 * of which sequence and history the old files are, and where our log continues (MARKING). Records are
 * received, journaled and applied as always, into the new files; chunks go in before any record of after
 * their place (FILLING; apply.c). When the last is in place the files are synced, the superblock says that
 * the switch is to be made, the switch is made, the superblock says whole. A crash before SEALING starts
 * over; after it, the switch is made at the next start.
 */
#include "replication/group_private.h"

#include <string.h>

#include "base/hash.h"

static void reply(struct cw_group *g, enum cw_copy_state state, enum cw_status reason)
{
    struct cw_copy_target *t = &g->target;
    struct cw_message m = {.type = CW_MSG_COPY_ACK, .epoch = g->follow.epoch, .reign = g->follow.reign};

    if (state == CW_COPY_BEGUN && t->is_continued)
        m.flags = CW_COPY_CONTINUES;
    m.copy_ack.copy_id = t->id;
    m.copy_ack.state = state;
    m.copy_ack.reason = reason;
    m.copy_ack.chunks_received = CW_MIN(t->chunks_received, t->chunks_applied + CW_COPY_SLOTS);
    cw_group_send(g, g->follow.primary, 0, &m, NULL, 0, 0);
}

void cw_target_release(struct cw_group *g)
{
    for (uint32_t i = 0; i < CW_COUNT_OF(g->target.chunks); i++) {
        struct cw_chunk *chunk = &g->target.chunks[i];
        if (chunk->is_present && chunk->handle)
            cw_group_act(g, CW_ACT_RELEASE)->handle = chunk->handle;
        memset(chunk, 0, sizeof *chunk);
    }
}

void cw_target_forget(struct cw_group *g)
{
    cw_target_release(g);
    if (g->target.state == CW_TARGET_MARKING || g->target.state == CW_TARGET_SEALING ||
        g->target.state >= CW_TARGET_SWITCHING)
        return; /* the superblock may say so already: it ends by itself */
    memset(&g->target, 0, sizeof g->target);
}

static void fail(struct cw_group *g, enum cw_status status)
{
    reply(g, CW_COPY_FAILED, status);
    cw_follow_stop(g);
}

static void ask_image(struct cw_group *g, enum cw_image_op op)
{
    struct cw_action *action = cw_group_act(g, CW_ACT_IMAGE);

    action->kind = (uint8_t)op;
    action->token = g->target.id;
    g->is_image_busy = true;
}

/* ---------------------------------------------------------------- beginning */

static bool may_begin(struct cw_group *g, const struct cw_message *m)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    const struct cw_history_entry *theirs = cw_history_last(&m->copy_begin.history);

    if (g->role > CW_ROLE_REPLICA && m->epoch > g->epoch)
        cw_group_leave(g, m->epoch);
    if (g->role != CW_ROLE_REPLICA || (last && m->epoch < last->epoch) || !theirs ||
        theirs->epoch != m->epoch || theirs->reign != m->reign) {
        cw_count(&g->counters[CW_GROUP_STALE], 1);
        return false;
    }
    if (cw_group_is_changing(g))
        return false; /* asked again */
    return g->target.state == CW_TARGET_NONE || g->target.id != m->copy_begin.copy_id;
}

static void prepare(struct cw_group *g)
{
    g->filled_by = 0;
    g->target.state = CW_TARGET_PREPARING;
    ask_image(g, CW_IMAGE_PREPARE);
}

/* A volume that came after the copy began has no file beside it: what it holds now would be overwritten. */
void cw_target_on_volume_added(struct cw_group *g)
{
#if CW_PLANTED_BUG == 19 /* a copy goes on without a volume that came meanwhile */
    return;
#endif
    g->filled_by = 0;
    if (g->target.state == CW_TARGET_NONE || g->target.state >= CW_TARGET_SEALING)
        return;
    cw_group_event(g, 0, "a volume was added: the full copy begins anew", 0, 0, 0);
    if (g->follow.primary < CW_SITES_MAX)
        reply(g, CW_COPY_FAILED, CW_AGAIN);
    g->target.id =
        0; /* what is MARKING ends by itself, and its files are none that another part could go on with */
    cw_follow_stop(g);
}

/* Are our new files those that an earlier part of this very copy filled? Then all that our log has, of its
 * reign, its source has, too. */
static bool is_continued(const struct cw_group *g, const struct cw_message *m)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    uint64_t id = m->copy_begin.copy_id;

    return (m->flags & CW_COPY_CONTINUES) && g->filled_by != 0 && g->filled_by >> 16 == id >> 16 &&
           g->filled_by < id && last && last->epoch == m->epoch && last->reign == m->reign;
}

void cw_target_on_begin(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    struct cw_copy_target *t = &g->target;
    uint64_t common;

    if (!may_begin(g, m))
        return;
    cw_follow_stop(g);
    CW_ASSERT(t->state == CW_TARGET_NONE);
    t->id = m->copy_begin.copy_id;
    t->begin = m->copy_begin;
    t->start_sequence = m->copy_begin.sequence;
    g->follow.primary = peer->site;
    g->follow.epoch = m->epoch;
    g->follow.reign = m->reign;
    t->is_continued = is_continued(g, m);
    if (t->is_continued) {
        t->state = CW_TARGET_SETTLING;
        return;
    }
    cw_history_common(&g->super.history, g->head, &t->begin.history, t->begin.sequence, &common);
#if CW_PLANTED_BUG == 33 /* a copy begins over a tail that is in no file */
    common = g->head;
#endif
    if (g->head <= common || cw_tail_is_kept(g, common)) {
        prepare(g);
        return;
    }
    t->state = CW_TARGET_SALVAGING;
    cw_salvage_ask(g, common);
    cw_group_event(g, 1, "records above %llu, up to %llu, go to a salvage file before the full copy", common,
                   g->head, 0);
}

void cw_target_on_salvaged(struct cw_group *g, enum cw_status status)
{
    if (status != CW_OK) {
        cw_group_event(
            g, 2, "the tail could not be saved to a salvage file: the copy does not start; free some space",
            0, 0, 0);
        fail(g, status);
        return;
    }
    prepare(g);
}

/* Began every volume here with the data that it began with over there? */
static bool has_same_bases(const struct cw_group *g)
{
    const struct cw_message_copy_begin *begin = &g->target.begin;

    for (uint32_t i = 0; i < begin->volume_count; i++) {
        const struct cw_volume *volume = &g->volumes[begin->volumes[i].volume];
        if (volume->is_present && volume->base != begin->volumes[i].base)
            return false;
    }
    return true;
}

/* The old files are whole, and from here on nothing touches them. One that never held anything, or lacks the
 * data that a volume began with, is nothing to go back to. */
static void keep_old_image(struct cw_group *g)
{
    struct cw_superblock *s = &g->super;
    struct cw_history *history = &s->image_history;

    CW_ASSERT(g->applied == g->issued && g->apply_used == 0);
    cw_super_set_whole(s);
    if (g->applied == 0 || !has_same_bases(g))
        return;
    *history = s->history;
    while (history->count > 0 && history->entries[history->count - 1].first_sequence > g->applied)
        history->count--;
    s->image_sequence = g->applied;
    s->image_time_s = (uint64_t)((int64_t)g->now_ns + g->config.wall_offset_ns) / CW_SECOND;
}

static void mark(struct cw_group *g)
{
    struct cw_superblock *s = &g->super;
    bool has_device = false;

    for (uint32_t v = 0; v < CW_VOLUMES_PER_GROUP_MAX; v++)
        has_device |= g->volumes[v].is_present && g->volumes[v].is_device;
    if (has_device && !g->target.is_continued)
        cw_group_event(g, 1, "a volume here is a device: its image is not usable until the copy is finished",
                       0, 0, 0);
    if (has_device)
        cw_super_set_whole(s);
    else if (s->image_state == CW_IMAGE_WHOLE)
        keep_old_image(g);
    cw_anew_mark(g, g->target.start_sequence, &g->target.begin.history, g->target.id);
    s->image_state = has_device ? CW_IMAGE_BROKEN : CW_IMAGE_COPYING;
    s->copy_id = g->target.id;
    g->follow.super_ticket = cw_super_ask(g);
    g->target.state = CW_TARGET_MARKING;
}

void cw_target_settle(struct cw_group *g)
{
    if (g->target.state != CW_TARGET_SETTLING || g->apply_used > 0 || g->is_volumes_syncing)
        return;
    if (g->super.image_state != CW_IMAGE_WHOLE) { /* of an earlier copy: not touched since */
        mark(g);
        return;
    }
    g->target.state = CW_TARGET_HOLDING;
    cw_volumes_sync(g, false);
}

static void begin_filling(struct cw_group *g)
{
    cw_anew_jump(g, g->target.start_sequence);
    g->filled_by = g->target.id;
    if (g->follow.primary == CW_SITES_MAX) { /* it went away while we marked: the next copy starts anew */
        memset(&g->target, 0, sizeof g->target);
        return;
    }
    g->epoch = g->follow.epoch;
    g->reign = g->follow.reign;
    memset(&g->follow.acked, 0, sizeof g->follow.acked);
    g->follow.state = CW_FOLLOW_STREAMING;
    g->target.state = CW_TARGET_FILLING;
    reply(g, CW_COPY_BEGUN, CW_OK);
}

/* ---------------------------------------------------------------- filling */

/* A volume that was deleted here may still be there at the source, for a moment. */
static bool has_place(const struct cw_group *g, const struct cw_message_copy_chunk *c)
{
    if (c->volume >= CW_VOLUMES_PER_GROUP_MAX)
        return false;
    const struct cw_volume *volume = &g->volumes[c->volume];
    return volume->is_removed || (volume->is_present && c->offset + c->length <= volume->size);
}

/* Records of after its place are in place already, or on their way there: it would undo them. */
static bool is_overtaken(const struct cw_group *g, const struct cw_message_copy_chunk *c)
{
#if CW_PLANTED_BUG == 14
    return false;
#endif
    return c->sequence < g->issued;
}

bool cw_target_on_chunk(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m, uint8_t *body,
                        uint32_t body_length, uint64_t handle)
{
    struct cw_copy_target *t = &g->target;
    const struct cw_message_copy_chunk *c = &m->copy_chunk;

    if (t->state != CW_TARGET_FILLING || c->copy_id != t->id)
        return false;
    struct cw_chunk *chunk = &t->chunks[c->index % CW_COUNT_OF(t->chunks)];
    if (c->index < t->chunks_received || c->index >= t->chunks_applied + CW_COUNT_OF(t->chunks) ||
        chunk->is_present)
        return false;
    if (!has_place(g, c) || is_overtaken(g, c)) {
        cw_count(&g->counters[CW_GROUP_BAD_FIELD], 1);
        fail(g, CW_RANGE);
        return false;
    }
    if (body_length > 0 && cw_hash64(body, body_length) != c->payload_hash) {
        cw_count(&g->counters[CW_GROUP_BAD_HASH], 1);
        fail(g, CW_CORRUPT);
        return false;
    }
    *chunk = (struct cw_chunk){.is_present = true,
                               .kind = c->is_zero ? CW_RECORD_ZEROES : CW_RECORD_WRITE,
                               .volume = c->volume,
                               .length = c->length,
                               .index = c->index,
                               .sequence = c->sequence,
                               .offset = c->offset,
                               .handle = body_length > 0 ? handle : 0,
                               .data = body};
    while (t->chunks_received < t->chunks_applied + CW_COUNT_OF(t->chunks) &&
           t->chunks[t->chunks_received % CW_COUNT_OF(t->chunks)].is_present &&
           t->chunks[t->chunks_received % CW_COUNT_OF(t->chunks)].index == t->chunks_received)
        t->chunks_received++;
    t->is_ack_due = true;
    return body_length > 0;
}

void cw_target_on_end(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    if (g->target.state != CW_TARGET_FILLING || m->copy_end.copy_id != g->target.id)
        return;
    g->target.has_end = true;
    g->target.end_chunks = m->copy_end.chunk_count;
    g->target.end_sequence = m->copy_end.sequence;
}

struct cw_chunk *cw_target_chunk_due(struct cw_group *g)
{
    struct cw_copy_target *t = &g->target;
    struct cw_chunk *chunk = &t->chunks[t->chunks_applied % CW_COUNT_OF(t->chunks)];

    if (t->state != CW_TARGET_FILLING || !chunk->is_present || chunk->index != t->chunks_applied)
        return NULL;
#if CW_PLANTED_BUG == 14 /* chunks may come in after records of a later place were applied */
    return chunk;
#endif
    /* It was so when it came, and from a sound source it stays so. Else this copy does not end. */
    return g->issued <= chunk->sequence ? chunk : NULL;
}

void cw_target_chunk_applied(struct cw_group *g, uint64_t index)
{
    struct cw_copy_target *t = &g->target;

    if (t->state != CW_TARGET_FILLING || index != t->chunks_applied)
        return;
    t->chunks_applied++;
    t->is_ack_due = true;
}

/* ---------------------------------------------------------------- ending */

static bool is_filled(const struct cw_group *g)
{
    const struct cw_copy_target *t = &g->target;

    return t->has_end && t->chunks_applied == t->end_chunks && g->applied >= t->end_sequence &&
           g->apply_used == 0;
}

/* As the source had them when it began, but for those that were deleted since. */
static void take_volumes(struct cw_group *g)
{
    const struct cw_message_copy_begin *begin = &g->target.begin;
    struct cw_superblock *s = &g->super;

    s->volume_count = 0;
    for (uint32_t i = 0; i < begin->volume_count; i++) {
        uint16_t volume = begin->volumes[i].volume;
        if (g->volumes[volume].is_removed)
            continue;
        s->volumes[s->volume_count].volume = volume;
        s->volumes[s->volume_count].size = begin->volumes[i].size;
        s->volumes[s->volume_count++].base = begin->volumes[i].base;
        g->volumes[volume].base = begin->volumes[i].base;
    }
}

void cw_target_on_synced(struct cw_group *g)
{
    struct cw_superblock *s = &g->super;

    if (g->target.state == CW_TARGET_HOLDING) {
        mark(g);
        return;
    }
    s->applied_sequence = g->applied;
    s->must_switch = true;
    g->filled_by = 0;
    take_volumes(g);
    g->follow.super_ticket = cw_super_ask(g);
    g->target.state = CW_TARGET_SEALING;
}

void cw_group_on_image(struct cw_group *g, enum cw_status status)
{
    g->is_image_busy = false;
    if (g->revert.state == CW_REVERT_DISCARDING) {
        cw_revert_on_discarded(g);
    } else if (g->target.state == CW_TARGET_PREPARING) {
        if (status != CW_OK) {
            cw_group_event(g, 2, "no new files could be made for the copy (status %llu)", status, 0, 0);
            fail(g, status);
            return;
        }
        g->target.state = CW_TARGET_SETTLING;
    } else if (g->target.state == CW_TARGET_SWITCHING) {
        if (status != CW_OK) {
            cw_group_down(
                g, "the copied files could not be put in place; start this site again, it is tried again");
            return;
        }
        cw_super_set_whole(&g->super);
        g->follow.super_ticket = cw_super_ask(g);
        g->target.state = CW_TARGET_FINISHING;
    }
}

void cw_target_step(struct cw_group *g)
{
    struct cw_copy_target *t = &g->target;
    bool is_marked = cw_super_is_done(g, g->follow.super_ticket);

    if (t->is_ack_due && t->state == CW_TARGET_FILLING && cw_group_can_send(g)) {
        reply(g, CW_COPY_CHUNKS, CW_OK);
        t->is_ack_due = false;
    }
    if (t->state == CW_TARGET_MARKING && is_marked && cw_anew_is_quiet(g)) {
        begin_filling(g);
    } else if (t->state == CW_TARGET_FILLING && is_filled(g) && !g->is_volumes_syncing) {
        cw_volumes_sync(g, true);
        t->state = CW_TARGET_SYNCING;
    } else if (t->state == CW_TARGET_SEALING && is_marked) {
        t->state = CW_TARGET_SWITCHING;
        ask_image(g, CW_IMAGE_SWITCH);
    } else if (t->state == CW_TARGET_FINISHING && is_marked) {
        if (g->follow.primary < CW_SITES_MAX)
            reply(g, CW_COPY_DONE, CW_OK);
        cw_group_event(g, 0, "the full copy is finished: whole at sequence %llu", g->applied, 0, 0);
        cw_target_release(g); /* chunks that no sound source sends: of after its end */
        memset(t, 0, sizeof *t);
    }
}

bool cw_group_superblock_wants_switch(const struct cw_superblock *superblock)
{
    return superblock->image_state != CW_IMAGE_WHOLE && superblock->must_switch;
}
