/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/fsm.h"

#include <stdio.h>

#include "base/assert.h"

void cw_fsm_init(struct cw_fsm *fsm, const char *name, const struct cw_fsm_row *rows, uint32_t row_count)
{
    CW_ASSERT(row_count <= CW_FSM_STATES_MAX);
    *fsm = (struct cw_fsm){.name = name, .rows = rows, .row_count = row_count};
}

void cw_fsm_enter(struct cw_fsm *fsm, uint8_t *state, uint8_t first)
{
    CW_ASSERT(first < fsm->row_count);
    *state = first;
    fsm->census[first]++;
}

void cw_fsm_leave(struct cw_fsm *fsm, uint8_t state)
{
    CW_ASSERT(state < fsm->row_count);
    CW_ASSERT(fsm->census[state] > 0);
    fsm->census[state]--;
}

void cw_fsm_move(struct cw_fsm *fsm, uint8_t *state, uint8_t to)
{
    CW_ASSERT(*state < fsm->row_count);
    CW_ASSERT(to < fsm->row_count);
    if (!(fsm->rows[*state].may_go_to & CW_TO(to))) {
        fprintf(stderr, "causeway: %s may not go from %s to %s\n", fsm->name, fsm->rows[*state].name,
                fsm->rows[to].name);
        CW_ASSERT(!"a move that the state table does not allow");
    }
    fsm->census[*state]--;
    *state = to;
    fsm->census[to]++;
}

const char *cw_fsm_state_name(const struct cw_fsm *fsm, uint8_t state)
{
    return state < fsm->row_count ? fsm->rows[state].name : "?";
}
