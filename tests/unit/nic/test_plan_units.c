/* SPDX-License-Identifier: BSD-3-Clause */
/* The plan: the units that do it again after a reboot. */
#include "plan_rig.h"

#define WAN0  "file /run/causeway/nic/wan0.yaml\n"
#define STEPS "module vfio-pci\ngive-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n" WAN0

/* With systemd: the unit and its link last; both are left as they are when they are right. */
static void test_unit(void **state)
{
    rig_begin();
    rig.facts.has_systemd = true;
    rig_plan();
    assert_string_equal(rig_steps(),
                        STEPS "file /etc/systemd/system/causeway-nic.service\n"
                              "link /etc/systemd/system/multi-user.target.wants/causeway-nic.service = "
                              "../causeway-nic.service\n");
    const char *unit = rig.plan.steps[4].value;
    assert_non_null(strstr(unit, "\nExecStart=/usr/bin/causeway-nic boot\n"));
    assert_non_null(strstr(unit, "\nBefore=network-pre.target causeway-engine.service shutdown.target\n"));
    assert_non_null(strstr(unit, "\nRequiresMountsFor=/var/lib/causeway/nic\n"));
    assert_non_null(strstr(unit, "\nTimeoutStartSec=300\n"));
    rig_do_steps();
    rig_plan();
    assert_string_equal(rig_refusals(), "");
    assert_string_equal(rig_steps(), "");
    rig.facts.files[1].text[0] = '!'; /* somebody has changed it */
    rig_plan();
    assert_string_equal(rig_steps(), "file /etc/systemd/system/causeway-nic.service\n");
}

/* A second one where an interface stays the kernel's, after the network and before the engine. */
static void test_late_unit(void **state)
{
    rig_begin();
    rig.facts.has_systemd = true;
    rig.wish.paths[0].driver = CW_DRIVER_AF_XDP;
    rig_plan();
    assert_string_equal(
        rig_steps(), WAN0
        "file /etc/systemd/system/causeway-nic.service\n"
        "link /etc/systemd/system/multi-user.target.wants/causeway-nic.service = ../causeway-nic.service\n"
        "file /etc/systemd/system/causeway-nic-late.service\n"
        "link /etc/systemd/system/multi-user.target.wants/causeway-nic-late.service = "
        "../causeway-nic-late.service\n");
    const char *unit = rig.plan.steps[3].value;
    assert_non_null(strstr(unit, "\nExecStart=/usr/bin/causeway-nic boot-late\n"));
    assert_non_null(strstr(unit, "\nAfter=causeway-nic.service network-online.target\n"));
    assert_non_null(strstr(unit, "\nBefore=causeway-engine.service\n"));
    assert_non_null(strstr(unit, "\nTimeoutStartSec=300\n"));
    rig_do_steps();
    rig_plan();
    assert_string_equal(rig_steps(), "");
}

/* What a line of the early unit has after its "=". */
static const char *unit_says(const char *key)
{
    static char line[1024];
    const char *text = NULL;
    for (uint32_t i = 0; i < rig.plan.step_count; i++)
        if (strstr(rig.plan.steps[i].subject, "/causeway-nic.service") != NULL && text == NULL)
            text = rig.plan.steps[i].value;
    assert_non_null(text);
    const char *at = strstr(text, key);
    assert_non_null(at);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at + strlen(key), "\n"), at + strlen(key));
    return line;
}

static void plan_in(const char *program, const char *state)
{
    rig_begin();
    rig.facts.has_systemd = true;
    snprintf(rig.folders.program, sizeof rig.folders.program, "%s", program);
    snprintf(rig.folders.state, sizeof rig.folders.state, "%s", state);
    rig_plan();
}

/* As systemd takes a line apart: quotes, specifiers (%), and variables ($), these not in the program's name. */
static void test_words_of_systemd(void **state)
{
    (void)state;
    plan_in("/opt/1.0+a/causeway-nic", "/srv/a_b-c");
    assert_string_equal(unit_says("\nExecStart="), "/opt/1.0+a/causeway-nic boot --state /srv/a_b-c");
    assert_string_equal(unit_says("\nRequiresMountsFor="), "/srv/a_b-c");
    plan_in("/opt/a b/causeway-nic", "/srv/c\td");
    assert_string_equal(unit_says("\nExecStart="), "\"/opt/a b/causeway-nic\" boot --state \"/srv/c\td\"");
    plan_in("/o%p/$x/causeway-nic", "/s%r/${y}");
    assert_string_equal(unit_says("\nExecStart="), "\"/o%%p/$x/causeway-nic\" boot --state \"/s%%r/$${y}\"");
    assert_string_equal(unit_says("\nRequiresMountsFor="), "\"/s%%r/${y}\"");
    plan_in("/o;p/causeway~nic", "/s\"'\\\xc3\xa4;");
    assert_string_equal(unit_says("\nExecStart="),
                        "\"/o;p/causeway~nic\" boot --state \"/s\\\"'\\\\\xc3\xa4;\"");
}

static void test_folders(void **state)
{
    (void)state;
    rig_begin();
    rig.facts.has_systemd = true;
    snprintf(rig.folders.prepared, sizeof rig.folders.prepared, "/run/p");
    snprintf(rig.folders.units, sizeof rig.folders.units, "/run/systemd/system");
    rig_plan();
    assert_string_equal(unit_says("\nExecStart="),
                        "/usr/bin/causeway-nic boot --prepared /run/p --units /run/systemd/system");
    memset(rig.folders.state + 1, '"', sizeof rig.folders.state - 2);
    memset(rig.folders.units + 1, '"', sizeof rig.folders.units - 2);
    memset(rig.folders.program + 1, '%', sizeof rig.folders.program - 2);
    rig_plan();
    assert_non_null(strstr(rig_refusals(), "the unit causeway-nic.service would be longer than 2047 bytes"));
    assert_false(rig.plan.is_cut);
    plan_in("", "/s");
    assert_non_null(strstr(rig_refusals(), ": where this program lies is not known"));
    static const char *const names[] = {"/a\nExecStart=/b", "/a\"b", "/a'b", "/a\\b", "/a\x7f"};
    for (size_t i = 0; i < CW_COUNT_OF(names); i++) {
        plan_in(names[i], "/s");
        assert_non_null(strstr(rig_refusals(), ": the path of this program has a quote, a backslash or a "));
    }
}

/* Not asked again of units that are there: the boot is not to be the one that refuses. */
static void test_program_of_others(void **state)
{
    (void)state;
    rig_begin();
    rig.facts.has_systemd = true;
    snprintf(rig.facts.program_doubt, sizeof rig.facts.program_doubt, "/home/a belongs to the user 1000");
    rig_plan();
    assert_non_null(strstr(rig_refusals(), ": a unit would start this program as root after each reboot, and "
                                           "/home/a belongs to the user 1000 | install causeway-nic where "));
    rig_do_steps();
    rig_plan();
    assert_string_equal(rig_refusals(), "");
    rig_begin(); /* without systemd */
    snprintf(rig.facts.program_doubt, sizeof rig.facts.program_doubt, "/home/a belongs to the user 1000");
    rig_plan();
    assert_string_equal(rig_refusals(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_late_unit),
        cmocka_unit_test(test_words_of_systemd),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_program_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
