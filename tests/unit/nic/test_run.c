/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs: what they say is taken, how they fail is told, and none is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nic-config/run.h"

#define SH(text) ((const char *const[]){"sh", "-c", (text), NULL})

static char words[300];

static void test_output_is_given(void **state)
{
    char *said = cw_run(SH("echo one; echo two; echo harmless >&2; cat"), 20, words, sizeof words);
    assert_string_equal(words, "");
    assert_string_equal(said, "one\ntwo\n"); /* and stdin is empty, or cat would wait */
    free(said);
}

static void test_arguments_see_no_shell(void **state)
{
    char *said = cw_run((const char *const[]){"echo", "$HOME; *", NULL}, 20, words, sizeof words);
    assert_string_equal(said, "$HOME; *\n");
    free(said);
}

static void test_failures_have_words(void **state)
{
    assert_null(cw_run(SH("echo lost; echo this is why >&2; exit 2"), 20, words, sizeof words));
    assert_string_equal(words, "this is why");
    assert_null(cw_run(SH("exit 2"), 20, words, sizeof words));
    assert_string_equal(words, "sh failed, and said nothing");
    assert_null(cw_run(SH("kill -9 $$"), 20, words, sizeof words));
    assert_string_equal(words, "sh was ended by signal 9");
    assert_null(cw_run((const char *const[]){"causeway-has-none", NULL}, 20, words, sizeof words));
    assert_string_equal(words, "causeway-has-none: there is no such program here");
}

/* Too late, it is killed with all that it has started. */
static void test_the_late_are_killed(void **state)
{
    int alive[2];
    char byte, text[80];
    assert_int_equal(pipe(alive), 0);
    snprintf(text, sizeof text, "(sleep 1000) & echo >&%d; wait", alive[1]);
    assert_null(cw_run(SH(text), 1, words, sizeof words));
    assert_string_equal(words, "sh did not end within 1 s, and was killed");
    close(alive[1]);
    assert_int_equal(read(alive[0], &byte, 1), 1);
    assert_int_equal(read(alive[0], &byte, 1), 0);
    close(alive[0]);
}

static void test_long_output(void **state)
{
    char *said = cw_run(SH("head -c 1000000 /dev/zero | tr '\\0' x"), 60, words, sizeof words);
    assert_string_equal(words, "");
    assert_int_equal(strlen(said), 1000000);
    free(said);
    assert_null(cw_run(SH("head -c 20000000 /dev/zero | tr '\\0' x"), 60, words, sizeof words));
    assert_string_equal(words, "sh said more than 16 MiB");
    assert_null(cw_run(SH("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"), 60, words, sizeof words));
    assert_int_equal(strlen(words), sizeof words - 1);
}

/* Who runs a program is killed: the program is too, and does nothing more. */
static void test_it_dies_with_us(void **state)
{
    int alive[2];
    char byte;
    assert_int_equal(pipe(alive), 0);
    pid_t runner = fork();
    if (runner == 0) {
        char text[80];
        snprintf(text, sizeof text, "echo >&%d; exec sleep 1000", alive[1]);
        free(cw_run(SH(text), 1000, words, sizeof words));
        _exit(0);
    }
    close(alive[1]);
    assert_int_equal(read(alive[0], &byte, 1), 1); /* it runs */
    kill(runner, SIGKILL);
    assert_int_equal(waitpid(runner, NULL, 0), runner);
    assert_int_equal(read(alive[0], &byte, 1), 0); /* nobody has the other end any more */
    close(alive[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_is_given),     cmocka_unit_test(test_arguments_see_no_shell),
        cmocka_unit_test(test_failures_have_words), cmocka_unit_test(test_long_output),
        cmocka_unit_test(test_the_late_are_killed), cmocka_unit_test(test_it_dies_with_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
