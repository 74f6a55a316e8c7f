/* SPDX-License-Identifier: BSD-3-Clause */
/* What tells that the machine went back to a picture of its memory, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "engine/rewind.h"

static struct cw_rewind rewind_state;
static uint64_t counting_ns, wall_ns;

static int set_up(void **state)
{
    memset(&rewind_state, 0, sizeof rewind_state);
    counting_ns = 1000 * CW_SECOND;
    wall_ns = 1760000000ull * CW_SECOND;
    return 0;
}

/* Some time later; the wall clock has been set meanwhile by so much. */
static bool look(uint64_t later_ns, int64_t set_ns, int64_t *jump_ns)
{
    counting_ns += later_ns;
    wall_ns += later_ns + (uint64_t)set_ns;
    struct cw_rewind_clocks clocks = {counting_ns, wall_ns, counting_ns + 50};
    return cw_rewind_has_jumped(&rewind_state, &clocks, jump_ns);
}

static void clocks_that_go_on(void **state)
{
    int64_t jump_ns;
    assert_false(look(0, 0, &jump_ns)); /* there is nothing to compare with */
    for (int i = 0; i < 1000; i++)
        assert_false(look((uint64_t)i * CW_SECOND, 20 - i % 40, &jump_ns));
}

static void steps_of_time_servers_and_leap_seconds(void **state)
{
    int64_t jump_ns;
    (void)look(0, 0, &jump_ns);
    for (int i = 0; i < 20; i++) { /* one after the other: they do not add up */
        assert_false(look(CW_SECOND, (int64_t)CW_SECOND, &jump_ns));
        assert_false(look(CW_MS, -(int64_t)CW_SECOND, &jump_ns));
        assert_false(look(CW_SECOND, (int64_t)(300 * CW_MS), &jump_ns));
    }
    assert_false(look(CW_SECOND, (int64_t)CW_REWIND_JUMP_NS, &jump_ns));
}

static void jumps_both_ways(void **state)
{
    int64_t jump_ns;
    (void)look(0, 0, &jump_ns);
    assert_true(look(CW_SECOND, 3600 * (int64_t)CW_SECOND, &jump_ns));
    assert_int_equal(jump_ns, 3600 * (int64_t)CW_SECOND);
    assert_false(look(CW_SECOND, 0, &jump_ns)); /* said once */
    assert_true(look(CW_SECOND, -3600 * (int64_t)CW_SECOND, &jump_ns));
    assert_int_equal(jump_ns, -3600 * (int64_t)CW_SECOND);
    assert_true(look(0, (int64_t)CW_REWIND_JUMP_NS + 1, &jump_ns));
    assert_true(look(0, -(int64_t)CW_REWIND_JUMP_NS - 1, &jump_ns));
    assert_true(look(0, -1759990000ll * (int64_t)CW_SECOND, &jump_ns)); /* to 1970 */
}

/* Other work came between the readings of the two clocks: no jump, and none is missed because of it. */
static void torn_readings(void **state)
{
    int64_t jump_ns;
    (void)look(0, 0, &jump_ns);
    struct cw_rewind_clocks torn = {counting_ns, wall_ns + 5 * CW_SECOND, counting_ns + 5 * CW_SECOND};
    assert_false(cw_rewind_has_jumped(&rewind_state, &torn, &jump_ns));
    assert_false(look(6 * CW_SECOND, 0, &jump_ns));
    torn = (struct cw_rewind_clocks){counting_ns, wall_ns + 9 * CW_SECOND, counting_ns + CW_SECOND};
    assert_false(cw_rewind_has_jumped(&rewind_state, &torn, &jump_ns));
    assert_true(look(CW_SECOND, 8 * (int64_t)CW_SECOND, &jump_ns));
}

static bool tells(const char *line)
{
    return cw_rewind_is_new_generation(line, strlen(line));
}

static void lines_of_the_kernels_log(void **state)
{
    static const char good[] = "5,339,5140900,-;random: crng reseeded due to virtual machine fork\n";
    assert_true(tells(good));
    assert_true(tells("6,1,1,c;random: crng reseeded due to virtual machine fork\n SUBSYSTEM=x\n"));
    for (size_t length = 0; length < sizeof good - 2; length++)
        assert_false(cw_rewind_is_new_generation(good, length)); /* cut anywhere, it says nothing */
    assert_false(
        tells("13,339,5140900,-;random: crng reseeded due to virtual machine fork\n")); /* a program's */
    assert_false(tells("8,339,5140900,-;random: crng reseeded due to virtual machine fork\n"));
    assert_false(tells("4294967301,3,5,-;random: crng reseeded due to virtual machine fork\n"));
    assert_false(tells(",339,5140900,-;random: crng reseeded due to virtual machine fork\n"));
    assert_false(tells("5,crng reseeded due to virtual machine fork,-;random: crng init done\n"));
    assert_false(tells("5,339,5140900,-;random: crng init done\n"));
    assert_false(tells(""));
}

/* The real clocks and the real log, if they may be read: nothing happens to this machine meanwhile. */
static void a_machine_at_rest(void **state)
{
    char why[256];
    cw_rewind_init(&rewind_state);
    for (int i = 0; i < 100; i++)
        assert_false(cw_rewind_look(&rewind_state, why, sizeof why));
    rewind_state.offset_ns -= 100 * (int64_t)CW_SECOND;
    assert_true(cw_rewind_look(&rewind_state, why, sizeof why));
    assert_string_equal(why, "the wall clock has jumped by +100.0 s");
    cw_rewind_fini(&rewind_state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(clocks_that_go_on, set_up),
        cmocka_unit_test_setup(steps_of_time_servers_and_leap_seconds, set_up),
        cmocka_unit_test_setup(jumps_both_ways, set_up),
        cmocka_unit_test_setup(torn_readings, set_up),
        cmocka_unit_test_setup(lines_of_the_kernels_log, set_up),
        cmocka_unit_test_setup(a_machine_at_rest, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
