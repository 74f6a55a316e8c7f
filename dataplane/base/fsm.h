/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State tables. One function makes every move: it checks that the table allows it, keeps the census and
 * tells the observer. A table is an array of rows, one a state, each with the set of states it may go to.
 *
 *     static const struct cw_fsm_row door_rows[] = {
 *         [DOOR_OPEN] = {"open", CW_TO(DOOR_SHUT)}, [DOOR_SHUT] = {"shut", CW_TO(DOOR_OPEN)} };
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CW_FSM_STATES_MAX 32
#define CW_TO(state) (1u << (state))

struct cw_fsm_row {
    const char *name;
    uint32_t may_go_to; /* CW_TO() bits */
};

struct cw_fsm {
    const char *name;
    const struct cw_fsm_row *rows;
    uint32_t row_count;
    uint32_t census[CW_FSM_STATES_MAX]; /* how many objects stand in each state */
};

void cw_fsm_init(struct cw_fsm *fsm, const char *name, const struct cw_fsm_row *rows, uint32_t row_count);
/* Enter the machine in its first state, or leave it from whatever state. */
void cw_fsm_enter(struct cw_fsm *fsm, uint8_t *state, uint8_t first);
void cw_fsm_leave(struct cw_fsm *fsm, uint8_t state);
/* A move the table does not allow is a bug and stops the program. */
void cw_fsm_move(struct cw_fsm *fsm, uint8_t *state, uint8_t to);
const char *cw_fsm_state_name(const struct cw_fsm *fsm, uint8_t state);
