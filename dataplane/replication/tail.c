/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A site that is diverged keeps its tail at once. Its primary lost it, or it was the primary itself: what it
 * has put in place beyond the common point is what the group lost, and somebody wants to know now what that
 * is, not on the day on which this site is copied in full.
 *
 * Whoever reigns says its history in HELLO. If records of ours beyond the common point are in place, nothing
 * but a full copy goes on from here; until one is asked for we are idle, and read our journal in peace. A
 * copy that begins finds it done. In memory only: after a restart it is done again, and the shell sees that
 * the file is there.
 */
#include "replication/group_private.h"

#define AGAIN_NS (10 * CW_SECOND) /* the disk was full, perhaps */

static bool is_idle_replica(const struct cw_group *g)
{
    return g->role == CW_ROLE_REPLICA && g->follow.state == CW_FOLLOW_NONE &&
           g->target.state == CW_TARGET_NONE && g->super.image_state == CW_IMAGE_WHOLE &&
           !cw_group_is_changing(g) && !g->is_stopping;
}

static bool is_of_now(const struct cw_group *g)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    return g->tail.head == g->head && last && g->tail.epoch == last->epoch && g->tail.reign == last->reign;
}

bool cw_tail_is_kept(const struct cw_group *g, uint64_t above)
{
    return g->tail.is_kept && g->tail.above <= above && is_of_now(g);
}

/* Has this peer a history that ours is no part of, and is what it lacks in place here? */
static bool is_diverged_from(const struct cw_group *g, const struct cw_peer *peer, uint64_t *common)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    if (!peer->is_up || !peer->has_hello || !(peer->hello_flags & CW_HELLO_PRIMARY) || !last ||
        peer->hello_epoch <= last->epoch)
        return false;
    cw_history_common(&g->super.history, g->head, &peer->hello.history, peer->hello.sequences.received,
                      common);
    return g->head > *common && cw_group_applied_limit(g) > *common;
}

static void keep(struct cw_group *g, uint64_t above)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    g->tail = (struct cw_tail){
        .is_salvaging = true, .above = above, .head = g->head, .epoch = last->epoch, .reign = last->reign};
    cw_salvage_ask(g, above);
    cw_group_event(g, 1,
                   "records above %llu, up to %llu, are in no history but ours: they go to a salvage file",
                   above, g->head, 0);
}

void cw_tail_step(struct cw_group *g)
{
    uint64_t common;

    if (g->tail.is_salvaging && !g->is_salvage_wanted && !g->is_salvaging)
        g->tail.is_salvaging = false; /* it was not begun: something else came first */
    if (!is_idle_replica(g) || g->now_ns < g->tail.again_ns)
        return;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (is_diverged_from(g, &g->peers[s], &common) && !cw_tail_is_kept(g, common)) {
            keep(g, common);
            return;
        }
}

void cw_tail_on_salvaged(struct cw_group *g, enum cw_status status)
{
    g->tail.is_salvaging = false;
    g->tail.is_kept = status == CW_OK;
    if (status == CW_OK)
        return;
    g->tail.again_ns = g->now_ns + AGAIN_NS;
    cw_group_event(g, 2, "the tail could not be saved to a salvage file; free some space: it is tried again",
                   0, 0, 0);
}
