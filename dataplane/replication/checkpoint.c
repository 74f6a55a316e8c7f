/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The superblock, the checkpoint, and what may leave the ring.
 *
 * A checkpoint: sync the volumes, then write a superblock that says up to where they are complete. Only what
 * is below the checkpoint and below every peer's cursor may be overwritten, and only after a superblock that
 * says so is durable. Records stay as long as there is room: nothing is released before half the ring is
 * used. When room runs out all the same, the peer that is furthest behind loses its cursor, durably, first.
 *
 * What must never be forgotten (the history, which log and which image count, what boot this is) is on the
 * device when two generations in a row say it, in all four copies: losing both copies of the newest
 * generation then takes us back to one that says the same. A checkpoint that is lost so is only redone.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

uint64_t cw_super_ask(struct cw_group *g)
{
    return ++g->super_asked;
}

static void fill_super(struct cw_group *g)
{
    struct cw_superblock *s = &g->super;

    s->generation = cw_superblock_next(s);
    s->site = g->config.self;
    s->boot_id[0] = g->config.identity.boot_id[0];
    s->boot_id[1] = g->config.identity.boot_id[1];
    s->process_start = g->config.identity.process_start;
    s->applied_limit = CW_MAX(s->applied_limit, g->applied_limit);
    s->member_sites = g->set.members;
    s->primary_site = cw_group_is_open(g) ? g->config.self : g->follow.primary;
    s->is_clean = g->is_stopping && g->action_head == g->action_tail && !g->batches_in_flight;
}

/* The name of all that must not be forgotten. */
static uint64_t name_of(const struct cw_superblock *s)
{
    uint64_t parts[] = {s->journal_id[0],
                        s->journal_id[1],
                        s->boot_id[0],
                        s->boot_id[1],
                        s->process_start,
                        s->start_position,
                        s->start_number,
                        s->image_state,
                        s->image_sequence,
                        s->must_switch,
                        s->image_history.count,
                        s->copy_id,
                        s->is_damaged,
                        s->history.count,
                        s->volume_count,
                        0,
                        0,
                        0};
    uint32_t count = CW_COUNT_OF(parts);

    parts[count - 2] = cw_hash64(s->history.entries, s->history.count * sizeof s->history.entries[0]);
    parts[count - 3] =
        cw_hash64(s->image_history.entries, s->image_history.count * sizeof s->image_history.entries[0]);
    for (uint32_t i = 0; i < s->volume_count; i++) {
        uint64_t volume[] = {parts[count - 1], s->volumes[i].volume, s->volumes[i].size, s->volumes[i].base};
        parts[count - 1] = cw_hash64(volume, sizeof volume);
    }
    return cw_hash64(parts, sizeof parts);
}

void cw_super_step(struct cw_group *g)
{
    if (g->is_super_in_flight || g->super_done >= g->super_asked)
        return;
    fill_super(g);
    cw_superblock_encode(&g->super, g->super_block);
    struct cw_action *action = cw_group_act(g, CW_ACT_SUPER_WRITE);
    action->memory = g->super_block;
    cw_superblock_homes(g->super.generation, action->sectors);
    g->super_writing = g->super_asked;
    g->super_writing_name = name_of(&g->super);
    g->is_super_in_flight = true;
}

void cw_group_on_super_written(struct cw_group *g, enum cw_status status)
{
    g->is_super_in_flight = false;
    if (status != CW_OK) {
        cw_group_down(
            g,
            status == CW_NO_SPACE
                ? "the journal's device is full: the superblock could not be written; free space, then "
                  "start this site again"
                : "the superblock could not be written; repair or replace the journal's device, then start "
                  "this site again");
        return;
    }
#if CW_PLANTED_BUG != 15 /* one generation is enough */
    if (g->super_writing_name != g->super_name) {
        g->super_name = g->super_writing_name;
        return; /* once more, into the other two places: it is asked for still */
    }
#endif
    g->super_done = g->super_writing;
}

/* ---------------------------------------------------------------- what may go */

/* What this peer still needs is above it. A copy under way needs its live stream, but only in this life. */
static uint64_t cursor_of(const struct cw_group *g, const struct cw_peer *peer)
{
    if (!peer->is_configured)
        return UINT64_MAX;
    if (cw_is_copying(peer))
        return peer->copy.is_bulk ? UINT64_MAX : peer->acked.durable;
    if (g->super.peers[peer->site].needs_copy || !g->super.peers[peer->site].is_used)
        return UINT64_MAX;
    return g->super.peers[peer->site].sequence;
}

static uint64_t lowest_cursor(struct cw_group *g, struct cw_peer **who)
{
    uint64_t lowest = UINT64_MAX;

    *who = NULL;
    if (!cw_group_is_open(g))
        return lowest;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (cursor_of(g, peer) < lowest) {
            lowest = cursor_of(g, peer);
            *who = peer;
        }
    }
    return lowest;
}

/* Goes into the next superblock. A replica that has just started calls nothing durable yet; what it once did
 * still is. */
void cw_note_cursor(struct cw_group *g, const struct cw_peer *peer)
{
    uint64_t before = g->super.peers[peer->site].is_used ? g->super.peers[peer->site].sequence : 0;

    g->super.peers[peer->site].is_used = true;
    g->super.peers[peer->site].needs_copy = peer->needs_copy;
    g->super.peers[peer->site].sequence = CW_MAX(before, peer->acked.durable);
}

static void note_cursors(struct cw_group *g)
{
    if (!cw_group_is_open(g))
        return;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        if (!peer->is_configured || peer->state != CW_PEER_STREAMING)
            continue;
        cw_note_cursor(g, peer);
    }
}

/* The ring is nearly full and somebody far behind holds it: that one will need a full copy, or more of it. */
static void give_up_on(struct cw_group *g, struct cw_peer *peer)
{
    if (cw_is_copying(peer)) {
        cw_copy_fall_off(g, peer);
        return;
    }
    g->super.peers[peer->site].needs_copy = true;
    peer->needs_copy = true;
    snprintf(peer->reason, sizeof peer->reason, "%s",
             "the journal filled up while this site was behind: it will be copied in full");
    if (peer->is_up)
        cw_source_reset(g, peer, CW_PEER_GREETING);
    cw_group_event(g, 1,
                   "the journal is full: site %llu, at sequence %llu, is given up and will be copied in full",
                   peer->site, g->super.peers[peer->site].sequence, 0);
}

/* It has all but what the journal has, and takes it: then writes wait for it, where they may. */
static bool lands(struct cw_group *g, struct cw_peer *peer)
{
    if (peer->state == CW_PEER_STREAMING)
        cw_landing_begin(g, peer);
    return cw_landing_brakes(g, peer);
}

/*
 * What a checkpoint at `applied` may let go. A site is given up only where that frees something worth a full
 * copy: a ring that is full of what is not in place yet is full for another reason, and waits for that.
 */
static uint64_t choose_release(struct cw_group *g, uint64_t applied)
{
    uint64_t ring = cw_journal_ring_sectors(g->journal), room = cw_journal_room(g->journal);
    struct cw_peer *slowest;
    uint64_t cursor = lowest_cursor(g, &slowest);
    uint64_t low = CW_MAX(ring / 6, CW_JOURNAL_RESERVE + CW_BATCH_ONE_WRITE); /* below it writes soon wait */

    if (room > CW_MAX(ring / 2, low))
        return g->release_sequence;
    if (slowest && cursor < applied && room < low && !cw_copy_brakes(g, slowest) && !lands(g, slowest)) {
        uint64_t gain = cw_journal_release_gain(g->journal, cursor);
        if (room + gain < CW_MAX(ring / 4, low) &&
            cw_journal_release_gain(g->journal, applied) - gain >= ring / 16)
            give_up_on(g, slowest);
        cursor = lowest_cursor(g, &slowest);
    }
    return CW_MAX(g->release_sequence, CW_MIN(applied, cursor));
}

/* While writes wait for what a copy consumes, what it is done with must go soon. */
static uint64_t release_interval_ns(const struct cw_group *g)
{
    for (uint32_t s = 0; s < CW_SITES_MAX && g->no_room_since_ns; s++)
        if (cw_copy_brakes(g, &g->peers[s]) || cw_landing_brakes(g, &g->peers[s]))
            return CW_MIN(20 * CW_MS, g->config.checkpoint_interval_ns);
    return g->config.checkpoint_interval_ns;
}

static bool is_due(const struct cw_group *g)
{
    uint64_t ring = cw_journal_ring_sectors(g->journal), room = cw_journal_room(g->journal);

    if (g->is_volumes_syncing || g->checkpoint_ticket || g->target.state != CW_TARGET_NONE ||
        g->super.image_state != CW_IMAGE_WHOLE || g->revert.state != CW_REVERT_NONE)
        return false;
    if (g->applied == g->super.applied_sequence)
        return room < ring / 2 && g->release_sequence < g->applied &&
               g->now_ns - g->checkpoint_ns >= release_interval_ns(g);
    if (g->is_stopping || room < ring / 4)
        return true;
    return g->now_ns - g->checkpoint_ns >= g->config.checkpoint_interval_ns;
}

/* One at a time, so that an answer never is taken for that of another sync. */
void cw_volumes_sync(struct cw_group *g, bool to_copy)
{
    CW_ASSERT(!g->is_volumes_syncing);
    g->is_volumes_syncing = true;
    g->is_copy_syncing = to_copy;
    cw_group_act(g, CW_ACT_VOLUMES_SYNC)->to_copy = to_copy;
}

static void begin(struct cw_group *g)
{
    g->checkpoint_mark = g->applied;
    g->is_checkpoint_syncing = true;
    g->checkpoint_ns = g->now_ns;
    cw_volumes_sync(g, false);
}

void cw_group_on_volumes_synced(struct cw_group *g, enum cw_status status)
{
    bool of_copy = g->is_copy_syncing;

    g->is_volumes_syncing = false;
    if (status != CW_OK) {
        g->is_checkpoint_syncing = false;
        cw_group_down(
            g, status == CW_NO_SPACE
                   ? "a volume's device is full: a sync failed; free space, then start this site again: "
                     "the journal has what was acknowledged"
                   : "a sync of a volume failed; repair its device, then start this site again: the "
                     "journal has what was acknowledged");
        return;
    }
    if (g->target.state == (of_copy ? CW_TARGET_SYNCING : CW_TARGET_HOLDING) && !g->is_checkpoint_syncing) {
        cw_target_on_synced(g);
        return;
    }
    if (of_copy) /* given up meanwhile */
        return;
    if (!g->is_checkpoint_syncing)
        return;
    g->is_checkpoint_syncing = false;
    if (g->target.state != CW_TARGET_NONE || g->checkpoint_mark < g->super.applied_sequence)
        return; /* a copy or a cut came between */
    g->super.applied_sequence = g->checkpoint_mark;
    note_cursors(g);
    g->release_sequence = choose_release(g, g->checkpoint_mark);
    g->super.tail_position = cw_journal_release_position(g->journal, g->release_sequence);
    g->super.tail_sequence = g->release_sequence;
    g->checkpoint_ticket = cw_super_ask(g);
}

/* While a copy fills new files a crash starts it over: what is applied need not stay in the ring for redo,
 * and a long copy must not be stopped by a full one. */
static void release_while_filling(struct cw_group *g)
{
    uint64_t ring = cw_journal_ring_sectors(g->journal);

    if (g->target.state != CW_TARGET_FILLING || g->checkpoint_ticket || g->applied <= g->release_sequence ||
        cw_journal_room(g->journal) > ring / 2)
        return;
    g->super.applied_sequence = g->release_sequence = g->applied;
    g->super.tail_position = cw_journal_release_position(g->journal, g->release_sequence);
    g->super.tail_sequence = g->release_sequence;
    g->checkpoint_ticket = cw_super_ask(g);
}

static void finish(struct cw_group *g)
{
    g->checkpoint_ticket = 0;
    cw_journal_release(g->journal, g->release_sequence);
    cw_count(&g->counters[CW_GROUP_CHECKPOINTS], 1);
}

/* Nothing of ours is in the hands of a device. */
bool cw_group_is_idle(const struct cw_group *g)
{
    for (uint32_t i = 0; i < CW_READ_SLOTS; i++)
        if (g->read_slots[i].state == CW_SLOT_READING)
            return false;
    return !g->batches_in_flight && !g->is_syncing && !g->is_super_in_flight && !g->is_volumes_syncing &&
           !g->is_image_busy && g->apply_used == 0 && g->reads[0] + g->reads[1] == 0;
}

static bool is_quiet(const struct cw_group *g)
{
    return g->logged == g->head && cw_group_is_idle(g) && !g->checkpoint_ticket && !cw_group_is_changing(g) &&
           cw_group_durable(g) == cw_group_written(g) &&
           (g->super.applied_sequence == g->applied || g->target.state != CW_TARGET_NONE ||
            g->super.image_state != CW_IMAGE_WHOLE);
}

/* Stopping: when nothing is under way any more, one last superblock says clean. */
static void stop_step(struct cw_group *g)
{
    if (!g->is_stopping || g->is_stopped)
        return;
    if (g->super.is_clean && is_quiet(g)) {
        g->is_stopped = true;
        return;
    }
    if (is_quiet(g) && g->super_done == g->super_asked)
        cw_super_ask(g);
}

void cw_checkpoint_step(struct cw_group *g)
{
    if (g->checkpoint_ticket && cw_super_is_done(g, g->checkpoint_ticket))
        finish(g);
    if (is_due(g))
        begin(g);
    release_while_filling(g);
    stop_step(g);
}
