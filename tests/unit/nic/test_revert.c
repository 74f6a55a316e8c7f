/* SPDX-License-Identifier: BSD-3-Clause */
/* Stories of revert: what fails, what is gone, what others have changed since, and what is kept of it all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/nic/fake_machine.h"

static void says(const char *words)
{
    if (!strstr(fake_said(), words))
        fail_msg("\"%s\" is not in: %s", words, fake_said());
}

static void comes_back(void)
{
    if (fake_run("revert") != CW_NIC_DONE)
        fail_msg("revert: %s", fake_said());
    assert_true(fake_is_first());
    assert_false(fake_has_state());
}

static size_t length_of(const char *list)
{
    json_t *said = json_loads(fake_said(), 0, NULL);
    assert_non_null(said);
    size_t length = json_array_size(json_object_get(said, list));
    for (size_t i = 0; i < length; i++)
        assert_non_null(json_object_get(json_array_get(json_object_get(said, list), i), "before"));
    json_decref(said);
    return length;
}

static void test_failing_undo(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= fake->count; step++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake->fail_undo = step;
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        says(step == 4 ? "2 steps are not undone" : "1 step is not undone");
        for (uint32_t i = 0; i < fake->count; i++)
            assert_int_equal(fake->values[i].now, i + 1 == step || (i + 1 == 3 && step == 4)
                                                      ? fake->values[i].wanted
                                                      : fake->values[i].first);
        assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
        says("a revert was begun");
        fake->fail_undo = 0;
        comes_back();
    }
}

/* Its card is not the kernel's again: an interface that was given up is not there, and what was kept of it stays. */
static void test_interface_waits_for_its_card(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->fail_undo = 4;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        says("waits until its card is the kernel's again");
        assert_null(strstr(fake_said(), "--forget"));
        says("2 steps are not undone, the others are. The first: give 0000:03:00.0 to the driver");
        says("the kernel says no");
    }
    fake->fail_undo = 0;
    comes_back();
}

/* What was kept stays until its card is back, or until the operator says that it never comes. */
static void test_card_is_gone(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->is_card_gone = true;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        says("0000:03:00.0 is not in this machine any more");
        says("kept in the journal of eth2: MAC 02:00:00:00:00:07, mtu 1500\n");
        says("2 steps are not undone, the others are. The first: give 0000:03:00.0 to the driver");
        says("causeway nic revert --yes --forget");
        assert_null(strstr(fake_said(), "all is as it was"));
    }
    fake_command.is_json = true;
    assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
    assert_int_equal(length_of("kept"), 2);
    assert_int_equal(length_of("left"), 0);
    fake_command.is_yes = false;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_int_equal(length_of("steps"), 2);
    fake_command.is_yes = true;
    fake_command.is_json = false;
    fake->is_card_gone = false;
    comes_back();
    says("done: all is as it was before\n");
}

/* That word is of what is gone, and of nothing else that fails. */
static void test_forgotten(void **state)
{
    (void)state;
    fake_command.is_forget = true;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->fail_undo = 4;
    assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
    says("2 steps are not undone, the others are. The first: give 0000:03:00.0 to the driver");
    fake->fail_undo = 0;
    comes_back();
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->is_card_gone = true;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    says("forgotten, as --forget says, is what was kept of eth2: MAC 02:00:00:00:00:07");
    says("done: all is as it was before but for 2 steps\n");
    assert_false(fake_has_state());
}

/* A disk that has failed is mounted so; what is not on it is given back all the same. */
static void test_read_only(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->is_read_only = true;
    fake_command.is_yes = false;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_int_equal(fake_run("plan"), CW_NIC_DONE);
    fake_command.is_yes = true;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        says("warning: ");
        says("/journal: Read-only file system");
        assert_null(strstr(fake_said(), "Bad file descriptor"));
        says("all is undone, and the journal cannot be removed");
        assert_true(fake_is_first());
    }
    assert_int_equal(fake_run("apply"), CW_NIC_FAILED);
    says("Read-only file system. Nothing was changed");
    fake->is_read_only = false;
    comes_back();
}

/* What others have changed since is told at the end: also of a revert before, which did not come to its own. */
static void test_what_others_have_made(void **state)
{
    (void)state;
    for (int is_json = 0; is_json < 2; is_json++) {
        fake_command.is_json = is_json;
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake->values[4].now = FAKE_OTHER;
        fake->fail_undo = 1;
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        assert_true(!is_json || (length_of("left") == 1 && length_of("kept") == 1));
        fake->fail_undo = 0;
        assert_int_equal(fake_run("revert"), CW_NIC_DONE);
        if (is_json)
            assert_int_equal(length_of("left"), 1);
        else
            says("not as it was before:\n  write the file /run/causeway/nic/wan0.yaml\n"
                 "      left as somebody else has made it: 7000\n"
                 "done: all is as it was before but for 1 step\n");
        assert_false(fake_has_state());
        fake->values[4].now = fake->values[4].first;
        assert_true(fake_is_first());
    }
}

static void test_in_use(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->is_used = true;
    assert_int_equal(fake_run("revert"), CW_NIC_REFUSED);
    says("causeway-engine (pid 4711)");
    says("Stop that process first");
    assert_true(fake_is_wanted());
    fake->is_used = false;
    assert_int_equal(fake_run("boot"), CW_NIC_DONE); /* a revert that was refused was not begun */
    comes_back();
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_failing_undo), T(test_interface_waits_for_its_card), T(test_card_is_gone), T(test_forgotten),
        T(test_read_only),    T(test_what_others_have_made),        T(test_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
