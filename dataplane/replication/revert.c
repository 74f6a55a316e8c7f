/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Going back to the image that stood before a full copy, when that copy will not end and the loss was
 * accepted.
 *
 *     NONE -> SETTLING -> SALVAGING -> DISCARDING -> MARKING -> NONE
 *
 * The old files are the group's state after image_sequence of image_history; nothing has touched them since.
 * What came with the copy goes: records are kept in a salvage file (SALVAGING), the new files removed
 * (DISCARDING). Then one superblock says that this site is whole at image_sequence, in that history, with an
 * empty log under a new journal id (MARKING): from then on it is a replica like another that has fallen
 * behind, also after a crash, and the opening goes on from there. A crash before that leaves the copy
 * unfinished, as it was.
 *
 * With --inconsistent and no old image it is the same with what is there: its log begins anew under a history
 * of its own, which shares nothing with anybody, because these files are the state after no sequence. They
 * stay broken until the claim is granted.
 */
#include "replication/group_private.h"

#include <string.h>

bool cw_group_has_old_image(const struct cw_group *g)
{
    return g->super.image_state == CW_IMAGE_COPYING && g->super.image_history.count > 0 &&
           !g->super.must_switch;
}

void cw_revert_begin(struct cw_group *g)
{
    struct cw_revert *r = &g->revert;

    CW_ASSERT(r->state == CW_REVERT_NONE);
    CW_ASSERT(g->super.image_state != CW_IMAGE_WHOLE);
    memset(r, 0, sizeof *r);
    g->filled_by = 0;
    r->state = CW_REVERT_SETTLING;
    r->is_whole = cw_group_has_old_image(g);
    r->sequence = CW_MAX(g->head, cw_group_applied_limit(g));
    if (r->is_whole) {
        r->sequence = g->super.image_sequence;
        r->history = g->super.image_history;
        r->time_s = g->super.image_time_s;
#if CW_PLANTED_BUG == 16 /* the old image under the copy's history */
        r->history = g->super.history;
#endif
        cw_group_event(g, 1,
                       "going back to the whole image of sequence %llu, as it was before the full copy: what "
                       "came since, up to %llu, is given up",
                       r->sequence, g->head, 0);
    } else {
        cw_group_event(g, 2,
                       "what is here is opened, inconsistent as it is: it is the state after no sequence", 0,
                       0, 0);
    }
}

static void discard(struct cw_group *g)
{
    g->revert.state = CW_REVERT_DISCARDING;
    g->is_image_busy = true;
    cw_group_act(g, CW_ACT_IMAGE)->kind = CW_IMAGE_DISCARD;
}

/* The copy's files are in nobody's hands, and what the log has is kept first. */
static void settle(struct cw_group *g)
{
    if (g->apply_used > 0 || g->is_volumes_syncing || g->is_image_busy)
        return;
    if (g->head <= g->super.tail_sequence) {
        discard(g);
        return;
    }
    g->revert.state = CW_REVERT_SALVAGING;
    cw_salvage_ask(g, g->super.tail_sequence);
}

void cw_revert_on_salvaged(struct cw_group *g, enum cw_status status)
{
    if (status == CW_OK) {
        discard(g);
        return;
    }
    g->revert.state = CW_REVERT_NONE;
    if (g->role == CW_ROLE_REVERTING)
        cw_open_refuse(
            g, "what the copy brought could not be saved to a salvage file; free some space, then try again");
}

/* A file that could not be removed is removed at the next start. */
void cw_revert_on_discarded(struct cw_group *g)
{
    struct cw_revert *r = &g->revert;

    r->state = CW_REVERT_MARKING;
    cw_anew_mark(g, r->sequence, &r->history, r->sequence);
    cw_super_set_whole(&g->super);
    if (!r->is_whole)
        g->super.image_state = CW_IMAGE_BROKEN;
    r->super_ticket = cw_super_ask(g);
}

void cw_revert_step(struct cw_group *g)
{
    struct cw_revert *r = &g->revert;

    if (r->state == CW_REVERT_NONE)
        return;
    if (r->state == CW_REVERT_MARKING) { /* the superblock may say so already: it ends by itself */
        if (!cw_super_is_done(g, r->super_ticket) || !cw_anew_is_quiet(g))
            return;
        cw_anew_jump(g, r->sequence);
        r->state = CW_REVERT_NONE;
        if (g->role == CW_ROLE_REVERTING)
            cw_group_role_set(g, CW_ROLE_CLAIMING);
    } else if (g->role != CW_ROLE_REVERTING) {
        r->state = CW_REVERT_NONE; /* the opening was left: the copy begins anew */
    } else if (r->state == CW_REVERT_SETTLING) {
        settle(g);
    }
}
