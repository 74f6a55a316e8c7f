/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When the tail may be read out of the journal into a salvage file: when all of it is there and no batch is
 * on its way, because the scan ends at a batch that is half written. Until it has ended no batch is begun.
 *
 * What found no room in a full journal is nowhere but in memory. It cannot be kept, and waiting would not
 * end: nothing that is never committed lets anything go.
 */
#include "replication/group_private.h"

void cw_salvage_ask(struct cw_group *g, uint64_t above)
{
    g->salvage_above = above;
    g->is_salvage_wanted = true;
}

/* Whoever asked may have been told to stop meanwhile. */
static bool is_waited_for(const struct cw_group *g)
{
    return g->follow.state == CW_FOLLOW_SALVAGING || g->target.state == CW_TARGET_SALVAGING ||
           g->revert.state == CW_REVERT_SALVAGING || g->tail.is_salvaging;
}

static bool is_log_complete(struct cw_group *g)
{
    if (g->batches_in_flight > 0)
        return false;
    return g->logged == g->head || !cw_logging_has_room(g);
}

void cw_salvage_step(struct cw_group *g)
{
    if (!g->is_salvage_wanted)
        return;
    if (!is_waited_for(g)) {
        g->is_salvage_wanted = false;
        return;
    }
    if (!is_log_complete(g))
        return;
    if (g->logged < g->head)
        cw_group_event(g, 2, "records %llu to %llu found no room in the journal: no salvage file has them",
                       g->logged + 1, g->head, 0);
    struct cw_action *action = cw_group_act(g, CW_ACT_SALVAGE);
    action->sequence = g->salvage_above;
    action->last_sequence = g->logged;
    g->is_salvage_wanted = false;
    g->is_salvaging = true;
    g->is_image_busy = true;
}
