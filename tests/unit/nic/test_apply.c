/* SPDX-License-Identifier: BSD-3-Clause */
/* Stories of apply, revert and boot: what they refuse, what they say, who may do what at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nic-config/before.h"
#include "nic-config/journal.h"
#include "tests/unit/nic/fake_machine.h"

static void says(const char *words)
{
    if (!strstr(fake_said(), words))
        fail_msg("\"%s\" is not in: %s", words, fake_said());
}

static uint32_t all_makes(void)
{
    uint32_t makes = 0;
    for (uint32_t i = 0; i < fake->count; i++)
        makes += fake->values[i].makes;
    return makes;
}

static void comes_back(void)
{
    if (fake_run("revert") != CW_NIC_DONE)
        fail_msg("revert: %s", fake_said());
    assert_true(fake_is_first());
    assert_false(fake_has_state());
}

static void test_dry(void **state)
{
    (void)state;
    fake_command.is_yes = false;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says("6 steps");
    says("apply");
    says("--yes");
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    says("nothing was applied");
    fake->is_refused = true;
    assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
    assert_int_equal(fake_run("plan"), CW_NIC_REFUSED);
    fake->is_refused = false;
    assert_int_equal(all_makes(), 0);
    assert_false(fake_has_state());
    fake_command.is_yes = true;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_command.is_yes = false;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    says("undo: give 0000:03:00.0 to the driver");
    assert_true(fake_is_wanted());
    assert_true(strstr(fake_said(), "causeway-nic.service") <
                strstr(fake_said(), "/sys/pages")); /* last first */
    fake_command.is_json = true;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    json_t *said = json_loads(fake_said(), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(said, "steps")), 6);
    json_decref(said);
    fake_command.is_json = false;
    fake_command.is_yes = true;
    comes_back();
}

static void test_again(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says("[6/6]");
    assert_int_equal(all_makes(), 6);
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says("nothing to do");
    assert_int_equal(all_makes(), 6);
    fake->values[4].now = FAKE_OTHER; /* somebody has changed one */
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says("done: 1 step");
    assert_int_equal(all_makes(), 7);
    fake->is_order_free = true;
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_int_equal(fake->values[4].now, FAKE_OTHER); /* as it was when it was changed last */
    says("left as somebody else has made it");
    says("done: all is as it was before but for 1 step\n");
}

/* Nothing can be done of a step: the reason is said, and not that it is so. */
static void test_nothing_can_be_done(void **state)
{
    (void)state;
    fake->is_stuck = 6;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says(": the kernel keeps it where it is\n");
    assert_null(strstr(fake_said(), "is so already"));
    says("done: 5 steps");
}

static void test_other_wish(void **state)
{
    (void)state;
    fake_write_wish("other.yaml", "paths:\n  - name: wan1\n");
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    assert_int_equal(fake_run("apply-other"), CW_NIC_REFUSED);
    says("another wish is applied");
    says("causeway nic revert --yes");
    fake_command.is_json = true; /* of which one reads the outcome only */
    for (uint32_t refusals = 0; refusals <= 1; refusals++) {
        fake->is_refused = refusals > 0;
        assert_int_equal(fake_run("plan-other"), CW_NIC_REFUSED);
        says(refusals ? "json 0 steps, 2 refusals\n" : "json 0 steps, 1 refusals\n");
        says("  another wish is applied");
        says("there is one way back only. causeway nic revert --yes, then apply\n");
    }
    fake->is_refused = false;
    fake_command.is_json = false;
    assert_int_equal(all_makes(), 6);
    comes_back();
    assert_int_equal(fake_run("apply-other"), CW_NIC_DONE);
    comes_back();
}

/* What the plan warns of is told also to programs, whatever became of it; and refusals are told all. */
static void test_warnings(void **state)
{
    (void)state;
    static const int codes[] = {CW_NIC_FAILED, CW_NIC_DONE, CW_NIC_DONE, CW_NIC_REFUSED};
    for (int i = 0; i < 4; i++) {
        fake->fail_make = i == 0 ? 1 : 0;
        fake->refusals = i == 3 ? 20 : 0;
        fake_command.is_json = true;
        assert_int_equal(fake_run("apply"), codes[i]);
        json_t *said = json_loads(fake_said(), 0, NULL);
        const char *warning = json_string_value(json_array_get(json_object_get(said, "warnings"), 0));
        assert_non_null(warning);
        assert_string_equal(warning, "whoever drives the card ? may write anywhere");
        json_decref(said);
        if (i == 3)
            says("Take another than 20");
        fake_command.is_json = false;
        if (i == 0)
            comes_back();
    }
    assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
    says("1. Take another than 1\nwan0: ");
    says("20. Take another than 20\n");
    fake->refusals = 0;
    comes_back();
}

static void test_refused(void **state)
{
    (void)state;
    fake->is_refused = true;
    assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
    says("refused: wan0: eth2 is in use. Take another");
    assert_false(fake_has_state());
    fake->is_refused = false;
    fake_command.is_root = false;
    assert_int_equal(fake_run("apply"), CW_NIC_FAILED);
    says("root");
    assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
    assert_int_equal(fake_run("boot"), CW_NIC_FAILED);
    assert_false(fake_has_state());
    fake_command.is_root = true;
    fake_write_wish("wish.yaml", "path:\n");
    assert_int_equal(fake_run("apply"), CW_NIC_USAGE);
    says("wish.yaml:1: expected paths");
    assert_int_equal(all_makes(), 0);
}

/* Each step fails; what was done stays until revert, and no apply goes on with it. */
static void test_failing_step(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= fake->count; step++) {
        fake->fail_make = step;
        assert_int_equal(fake_run("apply"), CW_NIC_FAILED);
        says("failed: the kernel says no");
        says("causeway nic revert --yes");
        fake->fail_make = 0;
        assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
        says("did not come to its end");
        assert_int_equal(fake_run("boot"), CW_NIC_FAILED);
        fake_reboot(false);
        assert_int_equal(fake_run("boot"), CW_NIC_FAILED);
        says("did not come to its end");
        comes_back();
    }
}

/* Undo is told which steps can be half done: that one whose end was not seen, or all, once a revert was begun. */
static void test_how_it_was_left(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= fake->count; step++) {
        fake->fail_make = step;
        assert_int_equal(fake_run("apply"), CW_NIC_FAILED);
        fake->fail_make = 0;
        comes_back();
        for (uint32_t i = 0; i < step; i++)
            assert_int_equal(fake->lefts[i], i + 1 < step ? CW_LEFT_WHOLE : CW_LEFT_HALF);
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake->fail_undo = step;
        assert_int_equal(fake_run("revert"), CW_NIC_FAILED);
        assert_int_equal(fake->lefts[step - 1], CW_LEFT_WHOLE);
        fake->fail_undo = 0;
        comes_back();
        assert_int_equal(fake->lefts[step - 1], CW_LEFT_HALF);
    }
}

static void test_in_use_before(void **state)
{
    (void)state;
    fake->is_used = true;
    assert_int_equal(fake_run("apply"), CW_NIC_REFUSED);
    says("causeway-engine (pid 4711). Stop that process first");
    says("then again");
    assert_int_equal(all_makes(), 0);
    assert_false(fake_has_state());
    fake->is_used = false;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake->is_used = true; /* its engine runs, and nothing is to be done to its card */
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    fake->is_used = false;
    fake_reboot(false);
    fake->is_used = true;
    assert_int_equal(fake_run("boot"), CW_NIC_REFUSED);
    says("causeway-engine (pid 4711). Stop that process first");
    fake->is_used = false;
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    comes_back();
}

/* That is said once, and keeps nobody from going on. */
static void test_use_unknown(void **state)
{
    static const char *const commands[] = {"apply", "revert"};
    static const char words[] = "warning: who has a port is not known\n";
    (void)state;
    fake->is_use_unknown = true;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fake_run(commands[i]), CW_NIC_DONE);
        const char *said = strstr(fake_said(), words);
        assert_non_null(said);
        assert_null(strstr(said + 1, words));
    }
    assert_false(fake_has_state());
}

/* The step that a signal comes in is finished. */
static void test_signals(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        signal(signals[i], SIG_DFL); /* whoever runs the tests may ignore it */
        fake->signal = signals[i];
        fake->signal_in = 2;
        assert_int_equal(fake_run("apply"), CW_NIC_FAILED);
        says("interrupted before step 3 of 6");
        assert_int_equal(fake->values[1].now, fake->values[1].wanted);
        assert_int_equal(fake->values[2].now, fake->values[2].first);
        fake->signal_in = 0;
        comes_back();
        signal(signals[i], SIG_IGN); /* as nohup does */
        fake->signal_in = 2;
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        signal(signals[i], SIG_DFL);
        fake->signal_in = 0;
        comes_back();
    }
}

/* ---------------------------------------------------------------- two at once */

/* One is in the middle of a step; nobody else gets in. */
static void test_one_in_the_middle(void **state)
{
    (void)state;
    char byte = 'x';
    int status;
    assert_int_equal(pipe(fake->gate), 0);
    assert_int_equal(pipe(fake->back), 0);
    fake->has_gate = true;
    pid_t first = fork();
    if (first == 0) {
        close(fake->back[1]); /* so that it ends when the test does */
        _exit(fake_run("apply"));
    }
    assert_int_equal(read(fake->gate[0], &byte, 1), 1);
    static const char *const others[] = {"apply", "revert", "boot", "plan"};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fake_run(others[i]), CW_NIC_REFUSED);
        says("another causeway nic is at work");
    }
    assert_int_equal(write(fake->back[1], &byte, 1), 1);
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(WEXITSTATUS(status), CW_NIC_DONE);
    assert_true(fake_is_wanted());
    assert_int_equal(all_makes(), 6);
    comes_back();
}

/* Whoever looks shares the lock, and has it no longer than to read. boot waits for one who has it: nobody runs its unit
 * again. */
static void test_lock(void **state)
{
    (void)state;
    static const char *const looks[] = {"plan", "revert"}, *const changes[] = {"apply", "boot", "revert"};
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    int folder = open(fake_command.folders.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
    assert_int_equal(flock(folder, LOCK_SH), 0);
    fake_command.is_yes = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(fake_run(looks[i]), CW_NIC_DONE);
    fake_command.is_yes = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(fake_run(changes[i]), CW_NIC_REFUSED);
    fake_command.lock_tries = 3000;
    pid_t pid = fork();
    if (pid == 0) { /* a lock is of all that have the descriptor: this one lets it go for both */
        usleep(500000);
        _exit(flock(folder, LOCK_UN));
    }
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct cw_undo_journal *journal;
    char why[256];
    assert_int_equal(cw_undo_open(fake_command.folders.state, CW_UNDO_LOOK, &journal, why, sizeof why),
                     CW_OK);
    assert_int_equal(journal->count, 6);
    comes_back(); /* while it is looked at, and told of */
    cw_undo_close(journal);
    assert_int_equal(close(folder), 0);
}

/* Many at the same moment, again and again: somebody is let in, each step is done once, and the last revert finds all of
 * them. */
static void test_many_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 25; round++) {
        pid_t pids[6];
        uint32_t before = all_makes(), done = 0;
        fake->is_order_free = true;
        for (int i = 0; i < 6; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                _exit(fake_run(round % 2 && i == 3 ? "revert" : "apply"));
        }
        for (int i = 0; i < 6; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status) &&
                        (WEXITSTATUS(status) == CW_NIC_DONE || WEXITSTATUS(status) == CW_NIC_REFUSED));
            done += WEXITSTATUS(status) == CW_NIC_DONE;
        }
        assert_true(done > 0);
        assert_int_equal((all_makes() - before) % 6, 0);
        assert_true(fake_is_wanted() || fake_is_first());
        comes_back();
    }
}

/* ---------------------------------------------------------------- boots */

static void test_boots(void **state)
{
    (void)state;
    struct stat about;
    char path[256];
    off_t size = 0;
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    says("nothing was applied");
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    assert_string_equal(fake->given, "");
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    assert_string_equal(fake->given, "0000:03:00.0");
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    says("nothing to do");
    snprintf(path, sizeof path, "%s/journal", fake_command.folders.state);
    for (int i = 0; i < 200; i++) {
        fake_reboot(false);
        assert_int_equal(fake_run("boot"), CW_NIC_DONE);
        says("done again: 4 steps");
        assert_true(fake_is_wanted());
        assert_string_equal(fake->given, "0000:03:00.0"); /* /run knows nothing of it now */
        assert_int_equal(stat(path, &about), 0);
        assert_true(i < 100 || about.st_size <= size); /* numbers of boots have three digits then */
        size = about.st_size > size ? about.st_size : size;
    }
    comes_back();
}

/* The second half of a boot: what waited, and what configuring the network has changed since the first. */
static void test_boot_late(void **state)
{
    (void)state;
    assert_int_equal(fake_run("boot-late"), CW_NIC_DONE);
    says("nothing was applied");
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    assert_int_equal(fake_run("boot-late"), CW_NIC_FAILED);
    says("was not applied since this machine started");
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    assert_false(fake->may_wait); /* it has a card */
    assert_int_equal(fake_run("boot-late"), CW_NIC_DONE);
    says("done again: 0 steps");
    fake->values[0].now = fake->values[0].first; /* by the network service */
    assert_int_equal(fake_run("boot-late"), CW_NIC_DONE);
    says("done again: 1 step");
    assert_true(fake_is_wanted());
    comes_back();
    fake->has_no_card = true;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    says("done again: 0 steps; until the network is configured wait: 1 of the paths");
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    says("nothing to do");
    assert_int_equal(fake_run("boot-late"), CW_NIC_DONE);
    assert_false(fake->may_wait);
    says("done again: 4 steps");
    assert_true(fake_is_wanted());
    comes_back();
}

/* The unit comes before the network: what the interface had at apply is what comes back, after however many boots. */
static void test_boot_finds_a_bare_interface(void **state)
{
    (void)state;
    fake->starts_bare = true;
    for (int boots = 1; boots < 4; boots++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        for (int i = 0; i < boots; i++) {
            fake_reboot(false);
            assert_int_equal(fake_run("boot"), CW_NIC_DONE);
        }
        comes_back();
    }
}

/* Killed at each point of boot: what was there at apply is still known to the next one. */
static void test_boot_killed_with_a_bare_interface(void **state)
{
    (void)state;
    uint32_t points = 1;
    fake->starts_bare = true;
    for (uint32_t at = 1; at <= points; at++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake_reboot(false);
        int code = fake_run_with("boot", FAKE_KILL, at);
        points = code == FAKE_KILLED ? at + 1 : at;
        fake_reboot(true);
        assert_int_equal(fake_run("boot"), CW_NIC_DONE);
        comes_back();
    }
    assert_in_range(points, 30, 500);
}

/* It was configured anew before the wish was applied again: that comes back, also after a boot that finds it bare. */
static void test_configured_anew_after_reboot(void **state)
{
    (void)state;
    for (int boots = 0; boots < 3; boots++) {
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake_reboot(false);
        fake->values[FAKE_GIVE_UP].now = FAKE_OTHER;
        assert_int_equal(fake_run("apply"), CW_NIC_DONE);
        fake->starts_bare = true;
        for (int i = 0; i < boots; i++) {
            fake_reboot(false);
            assert_int_equal(fake_run("boot"), CW_NIC_DONE);
        }
        assert_int_equal(fake_run("revert"), CW_NIC_DONE);
        assert_int_equal(fake->values[FAKE_GIVE_UP].now, FAKE_OTHER);
        fake->values[FAKE_GIVE_UP].now = fake->values[FAKE_GIVE_UP].first;
        assert_true(fake_is_first());
        fake->starts_bare = false;
    }
}

static void test_what_is_bare(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_bare;
    } rows[] = {
        {"{}", true},
        {"{'state':{'link':{'addr_info':[{'scope':'link'}]},'routes4':[],'routes6':[]},'uppers':[]}", true},
        {"{'state':{'link':{'addr_info':[{'scope':'link'},{'scope':'global'}]}}}", false},
        {"{'state':{'link':{'addr_info':[{}]}}}", false},
        {"{'state':{'link':{'master':'br0'}}}", false},
        {"{'state':{'link':{'addr_info':[{'scope':'global','dynamic':true}]},'routes6':[{'protocol':'ra'}]}}",
         true},
        {"{'state':{'routes6':[{'protocol':'ra'},{'protocol':'static'}]}}", false},
        {"{'state':{'routes4':[{}]}}", false},
        {"{'state':{'routes6':[{}]}}", false},
        {"{'uppers':[{}]}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s", rows[i].text);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        json_t *before = json_loads(text, 0, NULL);
        assert_non_null(before);
        assert_int_equal(cw_before_is_bare(before), rows[i].is_bare);
        json_decref(before);
    }
}

static json_t *kept(const char *name, const char *device, const char *port, int seconds, int time)
{
    return json_pack("{s:s,s:s,s:i,s:i,s:{s:{s:s}}}", "device", device, "port", port, "seconds", seconds,
                     "time", time, "state", "link", "ifname", name);
}

/* Known by device and port, as a reboot may give other names; and its clock begins anew. */
static void test_what_is_carried(void **state)
{
    (void)state;
    static const struct {
        const char *name, *device, *port;
        bool is_same;
    } others[] = {
        {"eth2", "/sys/bus/pci/devices/0000:03:00.0", "0 0x0", true},
        {"eth0", "/sys/bus/pci/devices/0000:03:00.0", "0 0x0", true},
        {"eth2", "/sys/bus/pci/devices/0000:03:00.0", "1 0x0", false},
        {"eth2", "/sys/bus/pci/devices/0000:04:00.0", "0 0x0", false},
        {"eth2", "", "", false},
    };
    json_t *first = kept("eth2", "/sys/bus/pci/devices/0000:03:00.0", "0 0x0", 500, 1000);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        json_t *now = kept(others[i].name, others[i].device, others[i].port, 7, 1100);
        assert_int_equal(cw_before_is_same_interface(first, now), others[i].is_same);
        json_decref(now);
    }
    static const int times[][2] = {{1100, 7 - 100}, {900, 7}}; /* the clock went back */
    for (size_t i = 0; i < 2; i++) {
        json_t *now = kept("eth0", "/sys/bus/pci/devices/0000:03:00.0", "0 0x0", 7, times[i][0]);
        json_t *carried = cw_before_carry(first, now);
        assert_int_equal(json_integer_value(json_object_get(carried, "seconds")), times[i][1]);
        assert_ptr_not_equal(json_object_get(carried, "state"), NULL);
        assert_true(json_equal(json_object_get(carried, "state"), json_object_get(first, "state")));
        json_decref(carried);
        json_decref(now);
    }
    json_decref(first);
}

/* apply does the same as boot, where no unit did. */
static void test_apply_after_reboot(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    says("done: 4 steps");
    assert_true(fake_is_wanted());
    fake_reboot(false);
    comes_back();
}

static void stays_as_it_is(const char *words, int code)
{
    uint32_t makes = all_makes();
    assert_int_equal(fake_run("boot"), code);
    says(words);
    assert_int_equal(all_makes(), makes);
}

static void test_boot_refuses(void **state)
{
    (void)state;
    char path[256];
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    fake->device = 0x1593;
    stays_as_it_is("there was a card 8086:1592", CW_NIC_REFUSED);
    fake->device = 0x1592;
    fake->is_refused = true;
    stays_as_it_is("eth2 is in use", CW_NIC_REFUSED);
    fake->is_refused = false;
    snprintf(path, sizeof path, "%s/wish", fake_command.folders.state);
    FILE *to = fopen(path, "ae");
    assert_non_null(to);
    fputs("# more\n", to);
    fclose(to);
    stays_as_it_is("somebody has changed it", CW_NIC_FAILED);
    assert_int_equal(unlink(path), 0);
    stays_as_it_is("No such file", CW_NIC_FAILED);
    comes_back();
}

/* Pulled, or its slot is off, over one reboot or more: what is known of it waits. When it is back the next boot prepares it, or the
 * same wish; and what its interface had at apply is what comes back. */
static void test_card_is_away_over_reboots(void **state)
{
    (void)state;
    fake->starts_bare = true;
    for (int reboots = 1; reboots < 4; reboots++)
        for (int is_boot = 0; is_boot < 2; is_boot++) {
            assert_int_equal(fake_run("apply"), CW_NIC_DONE);
            fake->is_refused = true;
            for (int i = 0; i < reboots; i++) {
                fake_reboot(i % 2);
                stays_as_it_is("eth2 is in use", CW_NIC_REFUSED);
            }
            fake->is_refused = false;
            if (is_boot)
                fake_reboot(false);
            assert_int_equal(fake_run(is_boot ? "boot" : "apply"), CW_NIC_DONE);
            assert_true(fake_is_wanted());
            assert_string_equal(fake->given, "0000:03:00.0");
            comes_back();
        }
}

/* What no reboot undoes is left as somebody else has made it. */
static void test_boot_leaves_files(void **state)
{
    (void)state;
    assert_int_equal(fake_run("apply"), CW_NIC_DONE);
    fake_reboot(false);
    fake->values[5].now = FAKE_OTHER;
    fake->values[5].makes = 0;
    assert_int_equal(fake_run("boot"), CW_NIC_DONE);
    says("left out, as no reboot has undone it");
    assert_int_equal(fake->values[5].now, FAKE_OTHER);
    assert_int_equal(fake->values[5].makes, 0);
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_int_equal(fake->values[5].now, FAKE_OTHER);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

static void put_left(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fake_command.folders.state, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
}

static bool is_left(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fake_command.folders.state, name);
    return access(path, F_OK) == 0;
}

/* A wish without a journal is what an apply that was killed has left. Who changes nothing does not tidy up, either: the
 * folder may be another than was meant. */
static void test_what_is_left(void **state)
{
    (void)state;
    static const char *const dry[] = {"plan", "apply", "revert"}, *const others[] = {"revert", "boot",
                                                                                     "apply"};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(mkdir(fake_command.folders.state, 0700), 0);
        put_left("wish");
        put_left("journal.part");
        fake_command.is_yes = false;
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(fake_run(dry[k]), CW_NIC_DONE);
        assert_true(is_left("wish"));
        assert_true(is_left("journal.part"));
        fake_command.is_yes = true;
        fake->is_refused = true; /* apply */
        assert_int_equal(fake_run(others[i]), i < 2 ? CW_NIC_DONE : CW_NIC_REFUSED);
        assert_false(fake_has_state());
        fake->is_refused = false;
    }
    assert_int_equal(mkdir(fake_command.folders.state, 0700), 0);
    put_left("letter");
    assert_int_equal(fake_run("revert"), CW_NIC_DONE);
    assert_true(is_left("letter"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_dry),
        T(test_again),
        T(test_nothing_can_be_done),
        T(test_other_wish),
        T(test_refused),
        T(test_warnings),
        T(test_failing_step),
        T(test_how_it_was_left),
        T(test_in_use_before),
        T(test_use_unknown),
        T(test_signals),
        T(test_boots),
        T(test_boot_late),
        T(test_many_at_once),
        T(test_one_in_the_middle),
        T(test_lock),
        T(test_boot_finds_a_bare_interface),
        T(test_boot_killed_with_a_bare_interface),
        T(test_configured_anew_after_reboot),
        T(test_what_is_bare),
        T(test_what_is_carried),
        T(test_apply_after_reboot),
        T(test_boot_refuses),
        T(test_card_is_away_over_reboots),
        T(test_boot_leaves_files),
        T(test_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
