/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Killed at every point, by enumeration: each call that touches the disk, each half of a line, each half of a step. Then
 * revert, killed at every point of its own, or a reboot, or a power loss; in the end the machine is as it was at first,
 * and nothing is left of us.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/nic/fake_machine.h"

enum between { NOTHING, REBOOT, POWER_LOSS, WAYS };

/* Of the tests that kill twice: one that a reboot undoes, and one that it does not; under a sanitizer the first only. */
#ifdef __SANITIZE_ADDRESS__
static uint32_t step_count = 1;
#else
static uint32_t step_count = 2;
#endif

static void happens(enum between what)
{
    if (what != NOTHING)
        fake_reboot(what == POWER_LOSS);
}

static void start_anew(void)
{
    for (uint32_t i = 0; i < fake->count; i++) {
        fake->values[i].now = fake->values[i].first;
        fake->values[i].is_half = false;
        fake->values[i].boot = 0;
    }
}

/* Revert until it is through, and all is as it was. */
static void comes_back(void)
{
    if (fake_run("revert") != CW_NIC_DONE)
        fail_msg("revert: %s", fake_said());
    assert_true(fake_is_first());
    assert_false(fake_has_state());
}

static uint32_t points_of(const char *what)
{
    assert_int_equal(fake_run(what), CW_NIC_DONE);
    return fake->points;
}

/* Each point of apply and, after it, each point of revert. */
static void apply_then_revert(enum between first, enum between second)
{
    fake->count = step_count;
    uint32_t points = points_of("apply");
    assert_true(fake_is_wanted());
    comes_back();
    assert_true(points > 10 * step_count);
    for (uint32_t at = 1; at <= points; at++) {
        uint32_t inner_points = 1;
        for (uint32_t inner = 1; inner <= inner_points; inner++) {
            start_anew();
            assert_int_equal(fake_run_with("apply", FAKE_KILL, at), FAKE_KILLED);
            happens(first);
            if (inner == 1) { /* how many points has this revert? */
                comes_back();
                inner_points = fake->points;
                start_anew();
                assert_int_equal(fake_run_with("apply", FAKE_KILL, at), FAKE_KILLED);
                happens(first);
            }
            int code = fake_run_with("revert", FAKE_KILL, inner);
            if (code != FAKE_KILLED && code != CW_NIC_DONE)
                fail_msg("apply killed at %u, revert at %u: %s", at, inner, fake_said());
            happens(second);
            if (fake_run("revert") != CW_NIC_DONE)
                fail_msg("apply killed at %u, revert at %u, then %d: %s", at, inner, second, fake_said());
            assert_true(fake_is_first());
            assert_false(fake_has_state());
        }
    }
    print_message("%u points of apply\n", points);
}

static void test_killed_and_killed(void **state)
{
    (void)state;
    apply_then_revert(NOTHING, NOTHING);
}

static void test_reboot_between(void **state)
{
    (void)state;
    apply_then_revert(REBOOT, NOTHING);
}

static void test_power_loss_at_each(void **state)
{
    (void)state;
    apply_then_revert(POWER_LOSS, POWER_LOSS);
}

static void test_power_loss_in_revert(void **state)
{
    (void)state;
    apply_then_revert(NOTHING, POWER_LOSS);
}

/* All steps of all kinds, once each way. */
static void test_all_kinds(void **state)
{
    (void)state;
    for (enum between what = NOTHING; what < WAYS; what++) {
        uint32_t points = points_of("apply");
        comes_back();
        for (uint32_t at = 1; at <= points; at++) {
            start_anew();
            assert_int_equal(fake_run_with("apply", FAKE_KILL, at), FAKE_KILLED);
            happens(what);
            comes_back();
        }
        (void)points_of("apply");
        points = points_of("revert");
        for (uint32_t at = 1; at <= points; at++) {
            start_anew();
            (void)points_of("apply");
            assert_int_equal(fake_run_with("revert", FAKE_KILL, at), FAKE_KILLED);
            happens(what);
            /* a revert that was begun is gone on with, and nothing is applied again in between */
            fake->values[0].makes = 0;
            (void)fake_run("boot");
            if (fake->values[0].makes != 0)
                assert_true(at <= 6); /* before it is synced in the journal that it is reverted */
            comes_back();
        }
    }
}

/* After a killed apply neither apply nor boot goes on with what is half done. */
static void test_nothing_goes_on(void **state)
{
    (void)state;
    uint32_t points = points_of("apply");
    comes_back();
    for (uint32_t at = 1; at <= points; at++) {
        start_anew();
        assert_int_equal(fake_run_with("apply", FAKE_KILL, at), FAKE_KILLED);
        int32_t was[FAKE_VALUES];
        bool is_begun = false;
        for (uint32_t i = 0; i < fake->count; i++) {
            was[i] = fake->values[i].now;
            is_begun = is_begun || fake->values[i].is_half || was[i] != fake->values[i].first;
        }
        (void)fake_run("boot");
        for (uint32_t i = 0; i < fake->count; i++)
            assert_int_equal(fake->values[i].now, was[i]);
        int code = fake_run("apply");
        if (is_begun && !fake_is_wanted())
            assert_int_equal(code, CW_NIC_REFUSED);
        if (code == CW_NIC_DONE)
            assert_true(fake_is_wanted());
        else
            assert_int_equal(code, CW_NIC_REFUSED);
        comes_back();
    }
}

/* boot, killed at every point; then revert, or another reboot and boot. */
static void test_boot_killed(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    uint32_t points = points_of("boot");
    assert_true(fake_is_wanted());
    comes_back();
    for (int way = 0; way < 3; way++) {
        for (uint32_t at = 1; at <= points; at++) {
            start_anew();
            assert_int_equal(fake_run("apply"), CW_NIC_DONE);
            fake_reboot(true);
            assert_int_equal(fake_run_with("boot", FAKE_KILL, at), FAKE_KILLED);
            if (way == 1) {
                fake_reboot(true);
                assert_int_equal(fake_run("boot"), CW_NIC_DONE);
                assert_true(fake_is_wanted());
            } else if (way == 2) {
                fake_reboot(false);
            }
            comes_back();
        }
    }
}

/* Each call fails once, and from each on all fail, and from each on the disk is full. */
static void test_disk_fails(void **state)
{
    static const enum fake_fault faults[] = {FAKE_FAIL, FAKE_FAIL_ALL, FAKE_FULL};
    (void)state;
    for (unsigned f = 0; f < sizeof faults / sizeof faults[0]; f++) {
        start_anew();
        uint32_t points = points_of("apply");
        comes_back();
        for (uint32_t at = 1; at <= points; at++) {
            start_anew();
            int code = fake_run_with("apply", faults[f], at);
            assert_true(code == CW_NIC_FAILED || (code == CW_NIC_DONE && fake_is_wanted()));
            if (code == CW_NIC_FAILED && strstr(fake_said(), "Nothing was changed"))
                assert_true(fake_is_first());
            code = fake_run_with("revert", faults[f] == FAKE_FULL ? FAKE_FULL : FAKE_NO_FAULT, 1);
            assert_int_equal(code, CW_NIC_DONE);
            assert_true(fake_is_first());
            assert_false(fake_has_state());
        }
        (void)points_of("apply");
        points = points_of("revert");
        for (uint32_t at = 1; at <= points; at++) {
            start_anew();
            (void)points_of("apply");
            (void)fake_run_with("revert", faults[f], at);
            comes_back();
        }
    }
}

/* Before the journal of a step is there, nothing of it is. */
static void test_full_from_the_start(void **state)
{
    (void)state;
    for (uint32_t at = 1; at < 12; at++) {
        for (uint32_t i = 0; i < fake->count; i++)
            fake->values[i].makes = 0;
        if (fake_run_with("apply", FAKE_FULL, at) != CW_NIC_FAILED)
            fail_msg("full from point %u on: %s", at, fake_said());
        assert_true(fake_is_first());
        assert_int_equal(fake->values[0].makes, 0);
        assert_non_null(strstr(fake_said(), "No space left"));
        assert_non_null(strstr(fake_said(), "othing was changed"));
        assert_false(fake_has_state());
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

/* test_nic_kills 6: with six steps, which takes some minutes. */
int main(int argc, char **argv)
{
    if (argc > 1 && atoi(argv[1]) > 0 && atoi(argv[1]) <= (int)FAKE_VALUES)
        step_count = (uint32_t)atoi(argv[1]);
    static const struct CMUnitTest tests[] = {
        T(test_killed_and_killed),    T(test_reboot_between), T(test_power_loss_at_each),
        T(test_power_loss_in_revert), T(test_all_kinds),      T(test_nothing_goes_on),
        T(test_boot_killed),          T(test_disk_fails),     T(test_full_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
