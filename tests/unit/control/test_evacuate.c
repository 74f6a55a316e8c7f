/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the groups of a site go that is left: only where they can open, spread, and the same each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/evacuate.h"

enum { EAST, WEST, NORTH, SOUTH, SITES };

static struct cw_evacuate_group group_of(uint32_t count, const struct cw_evacuate_choice *choices)
{
    struct cw_evacuate_group group = {.choice_count = count};
    memcpy(group.choices, choices, count * sizeof choices[0]);
    return group;
}

static uint32_t target(const struct cw_evacuate_group *group)
{
    assert_true(group->chosen >= 0 && (uint32_t)group->chosen < group->choice_count);
    return group->choices[group->chosen].site;
}

static void test_only_what_fits(void **state)
{
    uint32_t loads[SITES] = {2, 9, 0, 0};
    const struct cw_evacuate_choice mixed[] = {{NORTH, false, 0}, {WEST, true, 0}, {SOUTH, false, 0}};
    const struct cw_evacuate_choice none[] = {{NORTH, false, 0}};
    struct cw_evacuate_group groups[] = {group_of(3, mixed), group_of(1, none), group_of(0, none)};
    assert_int_equal(cw_evacuate_plan(groups, 3, loads), 1);
    assert_int_equal(target(&groups[0]), WEST); /* however much it has to do */
    assert_int_equal(groups[1].chosen, -1);
    assert_int_equal(groups[2].chosen, -1);
    assert_int_equal(loads[WEST], 10);
    assert_int_equal(loads[NORTH], 0);
}

static void test_spread(void **state)
{
    uint32_t loads[SITES] = {9, 2, 0, 0};
    const struct cw_evacuate_choice all[] = {{WEST, true, 0}, {NORTH, true, 0}, {SOUTH, true, 0}};
    struct cw_evacuate_group groups[7];
    for (int i = 0; i < 7; i++)
        groups[i] = group_of(3, all);
    assert_int_equal(cw_evacuate_plan(groups, 7, loads), 7);
    assert_int_equal(loads[WEST], 3);
    assert_int_equal(loads[NORTH], 3);
    assert_int_equal(loads[SOUTH], 3);
    assert_int_equal(target(&groups[0]), NORTH); /* the first of the group's order, of those with least */
    assert_int_equal(target(&groups[1]), SOUTH);
}

static void test_least_behind(void **state)
{
    uint32_t loads[SITES] = {0};
    const struct cw_evacuate_choice all[] = {{WEST, true, 500}, {NORTH, true, 20}, {SOUTH, true, 20}};
    struct cw_evacuate_group group = group_of(3, all);
    assert_int_equal(cw_evacuate_plan(&group, 1, loads), 1);
    assert_int_equal(target(&group), NORTH);
}

/* The same facts give the same plan, of as many groups as there can be. */
static void test_same_again(void **state)
{
    static struct cw_evacuate_group one[1024], two[1024];
    uint32_t loads[SITES] = {1024, 3, 1, 0}, again[SITES];
    memcpy(again, loads, sizeof again);
    for (uint32_t i = 0; i < 1024; i++) {
        const struct cw_evacuate_choice all[] = {
            {WEST, i % 3 != 0, i * 7 % 5}, {NORTH, i % 5 != 0, i % 2}, {SOUTH, i % 7 == 0, 0}};
        one[i] = two[i] = group_of(3, all);
    }
    uint32_t going = cw_evacuate_plan(one, 1024, loads);
    assert_int_equal(cw_evacuate_plan(two, 1024, again), going);
    assert_memory_equal(one, two, sizeof one);
    assert_int_equal(loads[WEST] + loads[NORTH] + loads[SOUTH], going + 4);
    assert_int_equal(loads[EAST], 1024); /* what is left is for others to see */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_fits),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_least_behind),
        cmocka_unit_test(test_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
