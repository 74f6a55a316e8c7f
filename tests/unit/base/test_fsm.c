/* SPDX-License-Identifier: BSD-3-Clause */
/* State tables: legal moves keep the census, every other move stops the program; so does a panic's hook once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/fsm.h"
#include "expect_abort.h"

enum { DOOR_SHUT, DOOR_OPEN, DOOR_BRICKED_UP, DOOR_STATES };

static const struct cw_fsm_row door_rows[DOOR_STATES] = {
    [DOOR_SHUT] = {"shut", CW_TO(DOOR_OPEN) | CW_TO(DOOR_BRICKED_UP)},
    [DOOR_OPEN] = {"open", CW_TO(DOOR_SHUT)},
    [DOOR_BRICKED_UP] = {"bricked up", 0},
};

static void census_follows_moves(void **state)
{
    struct cw_fsm doors;
    uint8_t front, back;

    cw_fsm_init(&doors, "door", door_rows, DOOR_STATES);
    cw_fsm_enter(&doors, &front, DOOR_SHUT);
    cw_fsm_enter(&doors, &back, DOOR_SHUT);
    assert_int_equal(doors.census[DOOR_SHUT], 2);
    cw_fsm_move(&doors, &front, DOOR_OPEN);
    assert_int_equal(front, DOOR_OPEN);
    assert_int_equal(doors.census[DOOR_SHUT], 1);
    assert_int_equal(doors.census[DOOR_OPEN], 1);
    cw_fsm_move(&doors, &back, DOOR_BRICKED_UP);
    cw_fsm_leave(&doors, front);
    assert_int_equal(doors.census[DOOR_OPEN], 0);
    assert_int_equal(doors.census[DOOR_BRICKED_UP], 1);
}

static void every_move_outside_the_table_aborts(void **state)
{
    for (uint8_t from = 0; from < DOOR_STATES; from++) {
        for (uint8_t to = 0; to < DOOR_STATES; to++) {
            struct cw_fsm doors;
            uint8_t door;

            cw_fsm_init(&doors, "door", door_rows, DOOR_STATES);
            cw_fsm_enter(&doors, &door, from);
            if (door_rows[from].may_go_to & CW_TO(to)) {
                cw_fsm_move(&doors, &door, to);
                assert_int_equal(door, to);
            } else {
                expect_abort(cw_fsm_move(&doors, &door, to));
            }
        }
    }
}

static void misuse_is_a_bug(void **state)
{
    struct cw_fsm doors;
    uint8_t door = DOOR_STATES;

    cw_fsm_init(&doors, "door", door_rows, DOOR_STATES);
    expect_abort(cw_fsm_move(&doors, &door, DOOR_OPEN));
    expect_abort(cw_fsm_enter(&doors, &door, DOOR_STATES));
    expect_abort(cw_fsm_leave(&doors, DOOR_SHUT)); /* nobody stands there */
    expect_abort(cw_fsm_init(&doors, "door", door_rows, CW_FSM_STATES_MAX + 1));
    cw_fsm_enter(&doors, &door, DOOR_SHUT);
    expect_abort(cw_fsm_move(&doors, &door, DOOR_STATES));
}

static void states_have_names(void **state)
{
    struct cw_fsm doors;

    cw_fsm_init(&doors, "door", door_rows, DOOR_STATES);
    assert_string_equal(cw_fsm_state_name(&doors, DOOR_BRICKED_UP), "bricked up");
    assert_string_equal(cw_fsm_state_name(&doors, DOOR_STATES), "?");
}

static int hook_pipe[2];

static void hook(void)
{
    if (write(hook_pipe[1], "h", 1) == 1)
        cw_panic("hook", 1, "a hook that panics does not come back");
}

static void the_panic_hook_runs_once(void **state)
{
    char said[4];

    assert_int_equal(pipe(hook_pipe), 0);
    cw_panic_hook_set(hook);
    expect_abort(CW_ASSERT(1 == 2));
    cw_panic_hook_set(NULL);
    CW_ASSERT(1 == 1);
    assert_int_equal(read(hook_pipe[0], said, sizeof said), 1);
    close(hook_pipe[0]);
    close(hook_pipe[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(census_follows_moves),     cmocka_unit_test(every_move_outside_the_table_aborts),
        cmocka_unit_test(misuse_is_a_bug),          cmocka_unit_test(states_have_names),
        cmocka_unit_test(the_panic_hook_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
