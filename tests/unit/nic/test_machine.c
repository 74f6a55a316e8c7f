/* SPDX-License-Identifier: BSD-3-Clause */
/* The door to a recorded machine: what it gives, and that it leads nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/numbers.h"
#include "tree.h"

static struct cw_machine machine;

static int begin(void **state)
{
    tree_begin(&machine);
    return 0;
}

static int end(void **state)
{
    tree_end(&machine);
    return 0;
}

static void expect_text(const char *path, size_t size, enum cw_status status, const char *expected)
{
    char text[64];
    assert_true(size <= sizeof text);
    assert_int_equal(cw_machine_text(&machine, path, text, size), status);
    assert_string_equal(text, expected);
    enum cw_status whole_status;
    char *whole = cw_machine_whole(&machine, path, size, &whole_status);
    assert_int_equal(whole_status, status);
    if (status == CW_OK || status == CW_RANGE) {
        assert_non_null(whole);
        assert_string_equal(whole, expected);
    } else
        assert_null(whole);
    free(whole);
}

static void test_text(void **state)
{
    tree_put(&machine, "/a/b", "two\nlines\n\n");
    tree_put_bytes(&machine, "/zero", "a\0b\0", 4);
    tree_put(&machine, "/empty", "");
    expect_text("/a/b", 64, CW_OK, "two\nlines");
    expect_text("/a/b", 12, CW_OK, "two\nlines");
    expect_text("/a/b", 4, CW_RANGE, "two");
    expect_text("/a/b", 1, CW_RANGE, "");
    expect_text("/zero", 64, CW_OK, "a\nb");
    expect_text("/empty", 64, CW_OK, "");
    expect_text("/a/c", 64, CW_NOT_FOUND, "");
    expect_text("/zero/c", 64, CW_NOT_FOUND, "");
    expect_text("/a", 64, CW_IO, ""); /* a folder */
}

static void test_long_text(void **state)
{
    static char bytes[100000];
    enum cw_status status;
    memset(bytes, 'x', sizeof bytes);
    tree_put_bytes(&machine, "/long", bytes, sizeof bytes);
    for (size_t max = 4095; max <= 200001; max = max * 2 + 1) {
        char *whole = cw_machine_whole(&machine, "/long", max, &status);
        assert_non_null(whole);
        assert_int_equal(strlen(whole), CW_MIN(sizeof bytes, max - 1));
        assert_int_equal(status, max > sizeof bytes ? CW_OK : CW_RANGE);
        free(whole);
    }
}

static void test_links_lead_nowhere_else(void **state)
{
    char outside[] = "/tmp/cw-nic-outside-XXXXXX", target[128];
    int fd = mkstemp(outside);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret", 6), 6);
    close(fd);
    tree_put(&machine, "/own", "own");
    tree_link(&machine, "/absolute", outside);
    snprintf(target, sizeof target, "../../../..%s", outside);
    tree_link(&machine, "/deep/climbing", target);
    tree_link(&machine, "/self", "/proc/self/environ");
    tree_link(&machine, "/root", "/");
    tree_link(&machine, "/deep/inside", "/own"); /* below the root, as it was there */
    snprintf(target, sizeof target, "/root%s", outside);
    expect_text("/absolute", 64, CW_NOT_FOUND, "");
    expect_text("/deep/climbing", 64, CW_NOT_FOUND, "");
    expect_text("/self", 64, CW_NOT_FOUND, "");
    expect_text(target, 64, CW_NOT_FOUND, "");
    expect_text("/deep/../../../own", 64, CW_OK, "own");
    expect_text("/deep/inside", 64, CW_OK, "own");
    tree_link(&machine, "/loop", "loop");
    expect_text("/loop", 64, CW_NOT_FOUND, "");
    unlink(outside);
}

/* Whoever renames files, anywhere, has the kernel ask for another walk. */
static void test_while_others_rename(void **state)
{
    char one[CW_MACHINE_ROOT + 8], other[CW_MACHINE_ROOT + 8];
    tree_put(&machine, "/a/b/file", "here");
    tree_link(&machine, "/a/c/link", "../../a/../a/b/../b");
    tree_put(&machine, "/one", "");
    snprintf(one, sizeof one, "%s/one", machine.root);
    snprintf(other, sizeof other, "%s/other", machine.root);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a check that fails leaves this function */
        while (rename(one, other) == 0 && rename(other, one) == 0)
            ;
        _exit(1);
    }
    for (int i = 0; i < 50000; i++)
        expect_text("/a/c/link/file", 64, CW_OK, "here");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_link_is_words(void **state)
{
    char name[16], target[64];
    tree_link(&machine, "/driver", "../../bus/pci/drivers/ice"); /* leads nowhere */
    tree_put(&machine, "/file", "");
    assert_int_equal(cw_machine_link(&machine, "/driver", name, sizeof name), CW_OK);
    assert_string_equal(name, "ice");
    assert_int_equal(cw_machine_target(&machine, "/driver", target, sizeof target), CW_OK);
    assert_string_equal(target, "../../bus/pci/drivers/ice");
    assert_int_equal(cw_machine_target(&machine, "/driver", target, 6), CW_RANGE);
    assert_string_equal(target, "../..");
    assert_int_equal(cw_machine_link(&machine, "/driver", name, 3), CW_RANGE);
    assert_int_equal(cw_machine_link(&machine, "/file", name, sizeof name), CW_INVALID);
    assert_int_equal(cw_machine_link(&machine, "/none", name, sizeof name), CW_NOT_FOUND);
    assert_string_equal(name, "");
    assert_true(cw_machine_has(&machine, "/driver"));
    assert_true(cw_machine_has(&machine, "/file"));
    assert_false(cw_machine_has(&machine, "/none"));
}

/* As ip netns has them: a file that a namespace is mounted on, or a link to that of a process. */
static void test_stale_space(void **state)
{
    const struct cw_machine live = {.root = ""};
    char place[512];
    tree_put(&machine, "/run/netns/file", "");
    tree_link(&machine, "/run/netns/process", "/proc/self/ns/net");
    tree_link(&machine, "/run/netns/ended", "/proc/4194305/ns/net"); /* more than there can be */
    assert_true(cw_machine_is_stale_space(&machine, "/run/netns/file"));
    assert_false(cw_machine_is_stale_space(&machine, "/run/netns/none"));
    tree_place(&machine, "/run/netns/file", place);
    assert_true(cw_machine_is_stale_space(&live, place));
    tree_place(&machine, "/run/netns/ended", place);
    assert_true(cw_machine_is_stale_space(&live, place));
    tree_place(&machine, "/run/netns/process", place);
    assert_false(cw_machine_is_stale_space(&live, place));
    assert_false(cw_machine_is_stale_space(&live, "/proc/self/ns/net"));
}

static void take_name(void *context, const char *name)
{
    char *names = context;
    size_t length = strlen(names);
    snprintf(names + length, 64 - length, "%s ", name);
}

static void test_list(void **state)
{
    char names[64] = "";
    tree_put(&machine, "/cpu/cpu2", "");
    tree_put(&machine, "/cpu/cpu10", "");
    tree_put(&machine, "/cpu/.hidden", "");
    tree_link(&machine, "/cpu/to", "nowhere");
    assert_true(cw_machine_list(&machine, "/cpu", take_name, names));
    assert_string_equal(names, ".hidden cpu10 cpu2 to ");
    assert_false(cw_machine_list(&machine, "/none", take_name, names));
    assert_int_equal(errno, ENOENT);
    assert_false(cw_machine_list(&machine, "/cpu/cpu2", take_name, names));
}

static void test_answers(void **state)
{
    static const char *const arguments[] = {"false", NULL}; /* of a recorded machine nothing is run */
    char why[128] = "";
    tree_put(&machine, "/answers/good.json", "[1,2]\n");
    tree_put(&machine, "/answers/torn.json", "[1,\n2");
    json_t *answer = cw_machine_ask(&machine, "good", arguments, why, sizeof why);
    assert_int_equal(json_array_size(answer), 2);
    json_decref(answer);
    tree_put(&machine, "/answers/twice.json", "[{\"dst\":\"default\",\"dst\":\"192.0.2.7\"}]");
    answer = cw_machine_ask(&machine, "twice", arguments, why, sizeof why);
    assert_int_equal(json_array_size(answer), 1);
    json_decref(answer);
    assert_null(cw_machine_ask(&machine, "torn", arguments, why, sizeof why));
    assert_string_equal(why, "answers/torn.json:2: is no JSON");
    assert_null(cw_machine_ask(&machine, "none", arguments, why, sizeof why));
    assert_string_equal(why, "answers/none.json: was not recorded");
    assert_null(cw_machine_ethtool(&machine, why, sizeof why));
    assert_string_equal(why, "answers/ethtool.json: was not recorded");
}

static void test_live_answers(void **state)
{
    static const char *const says[] = {"printf", "{\"a\":7}", NULL}, *const silent[] = {"true", NULL},
                             *const nonsense[] = {"printf", "[1,\\n,", NULL},
                             *const fails[] = {"false", NULL};
    const struct cw_machine live = {.root = ""};
    char why[128] = "";
    json_t *answer = cw_machine_ask(&live, "x", says, why, sizeof why);
    assert_int_equal(json_integer_value(json_object_get(answer, "a")), 7);
    json_decref(answer);
    answer = cw_machine_ask(&live, "x", silent, why, sizeof why); /* as ip may, with nothing to tell */
    assert_true(json_is_array(answer));
    json_decref(answer);
    assert_null(cw_machine_ask(&live, "x", nonsense, why, sizeof why));
    assert_string_equal(why, "what printf said is no JSON (line 2)");
    assert_null(cw_machine_ask(&live, "x", fails, why, sizeof why));
    assert_true(why[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, begin, end),
        cmocka_unit_test_setup_teardown(test_long_text, begin, end),
        cmocka_unit_test_setup_teardown(test_links_lead_nowhere_else, begin, end),
        cmocka_unit_test_setup_teardown(test_while_others_rename, begin, end),
        cmocka_unit_test_setup_teardown(test_link_is_words, begin, end),
        cmocka_unit_test_setup_teardown(test_stale_space, begin, end),
        cmocka_unit_test_setup_teardown(test_list, begin, end),
        cmocka_unit_test_setup_teardown(test_answers, begin, end),
        cmocka_unit_test(test_live_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
