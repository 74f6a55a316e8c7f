/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps that are files: a value, a file, a link. Below a folder of our own, as they are, and killed in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "kill_at.h"
#include "nic-config/run.h"
#include "nic-config/steps.h"

static char folder[64], words[600];
static struct cw_step step;
static json_t *before;

/* Runs it in the folder; what it said is the caller's to free. */
static char *shell(const char *script)
{
    char text[2048], why[300];
    snprintf(text, sizeof text, "cd %s && %s", folder, script);
    char *said = cw_run((const char *const[]){"sh", "-c", text, NULL}, 60, why, sizeof why);
    if (!said)
        fail_msg("%s: %s", script, why);
    return said;
}

/* All that is in the folder: names, kinds, rights, targets, contents. */
static char *picture(void)
{
    return shell("find . -printf '%p %y %m %l\\n' | sort; find . -type f | sort | xargs -r grep -H ''");
}

static void make_step(enum cw_step_kind kind, const char *subject, const char *value)
{
    memset(&step, 0, sizeof step);
    step.kind = kind;
    snprintf(step.subject, sizeof step.subject, "%s/%s", folder, subject);
    snprintf(step.value, sizeof step.value, "%s", value);
}

static void begin(const char *setup)
{
    free(shell("rm -rf ./*"));
    free(shell(setup));
    before = cw_step_keep(&step, words, sizeof words);
    if (!before)
        fail_msg("%s", words);
}

static void carry_out(void)
{
    if (cw_step_do(&step, words, sizeof words) != CW_OK)
        abort();
}

static void undo(void)
{
    if (cw_step_undo(&step, before, CW_LEFT_HALF, words, sizeof words) != CW_OK)
        abort();
}

static void end(const char *was, const char *what, unsigned n)
{
    char *is = picture();
    if (strcmp(is, was) != 0)
        fail_msg("%s, killed at %u:\n%swas:\n%s", what, n, is, was);
    assert_string_equal(words, "");
    free(is);
    json_decref(before);
}

/* Done and undone; done, killed at every place, and undone; done, undone, killed at every place, undone again. */
static void check_all_kills(const char *setup)
{
    bool was_killed = true;
    begin(setup);
    char *was = picture();
    json_decref(before);
    for (unsigned n = 1; was_killed; n++) {
        begin(setup);
        was_killed = kill_at(n, carry_out);
        if (n % 2 == 0) /* whoever applies again begins it again */
            carry_out();
        undo();
        end(was, "do", n);
        assert_true(n > 2 || was_killed);
    }
    was_killed = true;
    for (unsigned n = 1; was_killed; n++) {
        begin(setup);
        carry_out();
        assert_true(cw_step_is_done(&step, words, sizeof words));
        was_killed = kill_at(n, undo);
        undo();
        end(was, "undo", n);
        assert_true(n > 1 || was_killed);
    }
    free(was);
}

/* ---------------------------------------------------------------- files and links */

static void test_new_file(void **state)
{
    make_step(CW_STEP_FILE, "a/b/c.yaml", "format: 1\nname: x\n");
    check_all_kills("true");
    check_all_kills("mkdir a; echo mine > a/other");
}

static void test_file_that_was_there(void **state)
{
    make_step(CW_STEP_FILE, "unit", "ours\n");
    check_all_kills("echo old > unit; chmod 600 unit");
}

static void test_links(void **state)
{
    make_step(CW_STEP_LINK, "wants/x.service", "/etc/x.service");
    check_all_kills("true");
    check_all_kills("mkdir wants; ln -s /old wants/x.service");
}

static void test_done_is_whole(void **state)
{
    make_step(CW_STEP_FILE, "a/f", "one\ntwo\n");
    begin("true");
    assert_false(cw_step_is_done(&step, words, sizeof words));
    carry_out();
    char *is = shell("cat a/f; stat -c %a a/f a; ls a");
    assert_string_equal(is, "one\ntwo\n644\n755\nf\n");
    free(is);
    json_decref(before);
}

static void test_what_others_made_stays(void **state)
{
    make_step(CW_STEP_FILE, "a/f", "ours\n");
    begin("true");
    carry_out();
    free(shell("echo theirs > a/f"));
    undo();
    assert_non_null(strstr(words, "/a/f: somebody has changed it since, and it is left so"));
    char *is = shell("cat a/f");
    assert_string_equal(is, "theirs\n");
    free(is);
    json_decref(before);
    begin("mkdir a; echo old > a/f");
    carry_out();
    free(shell("rm a/f"));
    undo();
    assert_non_null(strstr(words, "somebody has removed it since"));
    json_decref(before);
    make_step(CW_STEP_LINK, "l", "/ours");
    begin("true");
    carry_out();
    free(shell("ln -sfn /theirs l"));
    undo();
    assert_non_null(strstr(words, "somebody has changed it since"));
    is = shell("readlink l");
    assert_string_equal(is, "/theirs\n");
    free(is);
    json_decref(before);
}

/* A unit that is masked, a folder, bytes that are no text, more than there is room for: not ours to replace. */
static void test_what_cannot_be_kept(void **state)
{
    static const char *const setups[] = {"ln -s /dev/null f",
                                         "mkdir f",
                                         "printf '\\377\\376' > f",
                                         "printf 'a\\0b' > f",
                                         "head -c 4096 /dev/zero | tr '\\0' x > f",
                                         "mkfifo f"};
    make_step(CW_STEP_FILE, "f", "ours\n");
    for (unsigned i = 0; i < CW_COUNT_OF(setups); i++) {
        free(shell("rm -rf ./*"));
        free(shell(setups[i]));
        assert_false(cw_step_is_done(&step, words, sizeof words));
        assert_null(cw_step_keep(&step, words, sizeof words));
        assert_non_null(
            strstr(words, "/f: what is there is no file of text of less than 4 KiB that can be kept"));
    }
    make_step(CW_STEP_LINK, "f", "/ours");
    free(shell("rm -rf ./*; touch f"));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_non_null(strstr(words, "no symbolic link"));
}

static void test_undo_of_nonsense(void **state)
{
    static const char *const texts[] = {
        "null",         "[]", "{}", "{\"existed\":true,\"folders\":[]}", "{\"existed\":false,\"folders\":3}",
        "{\"value\":4}"};
    for (unsigned i = 0; i < CW_COUNT_OF(texts); i++)
        for (int kind = 0; kind < 2; kind++) {
            make_step(kind ? CW_STEP_FILE : CW_STEP_WRITE, "f", "x");
            free(shell("rm -rf ./*; printf x > f"));
            json_t *nonsense = json_loads(texts[i], JSON_DECODE_ANY, NULL);
            assert_int_equal(cw_step_undo(&step, nonsense, CW_LEFT_HALF, words, sizeof words), CW_CORRUPT);
            assert_non_null(strstr(words, "by hand"));
            json_decref(nonsense);
        }
}

/* ---------------------------------------------------------------- values */

/* Values of one length: a step writes over what is there, as files of /sys want it. */

static void test_value(void **state)
{
    make_step(CW_STEP_WRITE, "knob", "7");
    check_all_kills("printf 3 > knob");
}

static void test_value_others_changed(void **state)
{
    make_step(CW_STEP_WRITE, "knob", "7");
    begin("echo 3 > knob");
    carry_out();
    free(shell("echo 5 > knob"));
    undo();
    assert_non_null(
        strstr(words, "/knob: somebody has made it 5 since, and it is left so; before us it was 3"));
    free(shell("rm knob"));
    undo();
    assert_string_equal(words, "");
    json_decref(before);
}

static void test_reboot_undoes_values(void **state)
{
    make_step(CW_STEP_WRITE, "knob", "7");
    begin("echo 3 > knob");
    carry_out();
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_TO_REBOOT, words, sizeof words), CW_OK);
    char *is = shell("cat knob");
    assert_string_equal(is, "7\n"); /* what the kernel has made of it since is not ours */
    free(is);
    json_decref(before);
    make_step(CW_STEP_FILE, "a/file", "x");
    begin("true");
    carry_out();
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_TO_REBOOT, words, sizeof words), CW_OK);
    end(". d 700 \n", "after a reboot", 0);
}

/* A writer of hugepages that is killed leaves some of them; more than we asked for are of somebody else. */
static void test_hugepages_on_the_way(void **state)
{
    make_step(CW_STEP_WRITE, "nr_hugepages", "100");
    begin("echo 03 > nr_hugepages");
    free(shell("echo 57 > nr_hugepages"));
    undo();
    assert_string_equal(words, "");
    char *is = shell("cat nr_hugepages");
    assert_string_equal(is, "03\n");
    free(is);
    free(shell("echo 101 > nr_hugepages"));
    undo();
    assert_non_null(strstr(words, "somebody has made it 101 since"));
    json_decref(before);
}

/* Of what was wholly done, and never begun to be undone, there is no half: another number is somebody else's. */
static void test_number_of_somebody_else(void **state)
{
    static const char *const files[] = {"nr_hugepages", "sriov_numvfs"};
    for (unsigned i = 0; i < 2; i++) {
        char text[64];
        make_step(CW_STEP_WRITE, files[i], "8");
        snprintf(text, sizeof text, "echo 4 > %s", files[i]);
        begin(text);
        carry_out();
        snprintf(text, sizeof text, "echo %d > %s", i ? 0 : 6, files[i]);
        free(shell(text));
        char *was = picture();
        assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_OK);
        assert_non_null(strstr(words, i ? "somebody has made it 0 since" : "somebody has made it 6 since"));
        words[0] = 0;
        end(was, "left", 0);
        free(was);
    }
}

static void test_other_words_for_the_same(void **state)
{
    static const struct {
        const char *file, *wanted, *is;
        bool is_done;
    } table[] = {
        {"smp_affinity_list", "0,1,2,5", "0-2,5", true},
        {"smp_affinity_list", "0-2", "0-3", false},
        {"smp_affinity_list", "511", "511", true},
        {"smp_affinity", "3", "00000000,00000003", true},
        {"smp_affinity", "F0", "f0", true},
        {"smp_affinity", "3", "00000003,00000000", false},
        {"parameters/mode", "1", "Y", true},
        {"parameters/mode", "0", "N", true},
        {"parameters/mode", "1", "N", false},
        {"mode", "1", "Y", false},
        {"mode", "performance", "performance", true},
    };
    for (unsigned i = 0; i < CW_COUNT_OF(table); i++) {
        char setup[100];
        make_step(CW_STEP_WRITE, table[i].file, table[i].wanted);
        snprintf(setup, sizeof setup, "mkdir parameters; echo %s > %s", table[i].is, table[i].file);
        begin(setup);
        if (cw_step_is_done(&step, words, sizeof words) != table[i].is_done)
            fail_msg("%s: %s and %s", table[i].file, table[i].wanted, table[i].is);
        json_decref(before);
    }
}

static void test_interrupt_that_is_gone(void **state)
{
    make_step(CW_STEP_WRITE, "smp_affinity_list", "3");
    free(shell("rm -rf ./*"));
    assert_true(cw_step_is_done(&step, words, sizeof words));
    assert_non_null(strstr(words, "smp_affinity_list is gone: nothing to move"));
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_OK);
    assert_non_null(strstr(words, "is gone: nothing to move"));
    make_step(CW_STEP_WRITE, "knob", "3");
    assert_false(cw_step_is_done(&step, words, sizeof words));
    assert_null(cw_step_keep(&step, words, sizeof words));
    assert_non_null(strstr(words, "/knob: No such file"));
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
}

/* A card that is gone may come back, and its number of functions is put back then; of other values nothing is left. */
static void test_card_of_functions_that_is_gone(void **state)
{
    before = json_pack("{s:s}", "value", "2");
    make_step(CW_STEP_WRITE, "x", "4");
    snprintf(step.subject, sizeof step.subject, "/sys/bus/pci/devices/0000:cw:00.0/sriov_numvfs");
    for (int left = CW_LEFT_WHOLE; left <= CW_LEFT_HALF; left++) {
        assert_int_equal(cw_step_undo(&step, before, left, words, sizeof words), CW_NOT_FOUND);
        assert_string_equal(words, "0000:cw:00.0 is not in this machine any more: bring it back (echo 1 > "
                                   "/sys/bus/pci/rescan), then again");
    }
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_TO_REBOOT, words, sizeof words), CW_OK);
    snprintf(step.subject, sizeof step.subject, "/sys/bus/pci/devices/0000:cw:00.0/knob");
    assert_int_equal(cw_step_undo(&step, before, CW_LEFT_WHOLE, words, sizeof words), CW_OK);
    assert_string_equal(words, "");
    json_decref(before);
}

/* The kernel that refuses: a file of /proc that takes no such value. */
static void test_refused_value(void **state)
{
    make_step(CW_STEP_WRITE, "x", "nonsense");
    snprintf(step.subject, sizeof step.subject, "/proc/self/oom_score_adj");
    assert_int_equal(cw_step_do(&step, words, sizeof words), CW_IO);
    assert_string_equal(words, "/proc/self/oom_score_adj: nonsense could not be written: Invalid argument");
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cw-steps-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char why[300];
    free(cw_run((const char *const[]){"rm", "-rf", folder, NULL}, 60, why, sizeof why));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_file),
        cmocka_unit_test(test_file_that_was_there),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_done_is_whole),
        cmocka_unit_test(test_what_others_made_stays),
        cmocka_unit_test(test_what_cannot_be_kept),
        cmocka_unit_test(test_undo_of_nonsense),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_value_others_changed),
        cmocka_unit_test(test_reboot_undoes_values),
        cmocka_unit_test(test_hugepages_on_the_way),
        cmocka_unit_test(test_number_of_somebody_else),
        cmocka_unit_test(test_other_words_for_the_same),
        cmocka_unit_test(test_interrupt_that_is_gone),
        cmocka_unit_test(test_card_of_functions_that_is_gone),
        cmocka_unit_test(test_refused_value),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
