/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace ring: the last entries, oldest first, in words; also when a failed assert asks for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "base/assert.h"
#include "base/trace.h"
#include "expect_abort.h"
#include "memory.h"

static void *make(struct cw_trace *trace, uint32_t entry_count)
{
    struct cw_arena arena;
    void *memory = test_arena(&arena, entry_count * sizeof(struct cw_trace_entry));

    cw_trace_init(trace, &arena, entry_count);
    return memory;
}

static char *printed(const struct cw_trace *trace, uint32_t max, uint64_t now_ns)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    cw_trace_print(trace, out, max, now_ns);
    fclose(out);
    return text;
}

static void prints_what_was_added(void **state)
{
    struct cw_trace trace;
    void *memory = make(&trace, 4);

    char *text = printed(&trace, 4, 9);
    assert_string_equal(text, "");
    free(text);

    cw_trace_add(&trace, 5000, 1, "nothing", 10, 11, 12);
    cw_trace_add(&trace, 2000000000, 2, "lost %llu of %llu", 0, UINT64_MAX, 3);
    cw_trace_add(&trace, 9000000000, 0, "%llu, %llu, %llu", 4, 5, 6);
    text = printed(&trace, 4, 3500001000);
    assert_string_equal(text, "  -3.499996 s  #1 nothing\n"
                              "  -1.500001 s  #2 lost 0 of 18446744073709551615\n"
                              "  -0.000000 s  #0 4, 5, 6\n");
    free(text);
    free(memory);
}

static void keeps_the_last(void **state)
{
    struct cw_trace trace;
    struct cw_trace_entry last[4];
    void *memory = make(&trace, 4);

    for (uint64_t i = 1; i <= 9; i++)
        cw_trace_add(&trace, i, 0, "%llu", i, 0, 0);
    char *text = printed(&trace, 2, 9);
    assert_string_equal(text, "  -0.000000 s  #0 8\n"
                              "  -0.000000 s  #0 9\n");
    assert_int_equal(trace.count, 9);
    assert_int_equal(cw_trace_last(&trace, last, 4), 4);
    assert_int_equal(last[0].values[0], 6);
    assert_int_equal(last[3].values[0], 9);
    assert_int_equal(cw_trace_last(&trace, last, 1), 1);
    assert_int_equal(last[0].values[0], 9);
    free(text);
    free(memory);
}

static struct cw_trace of_the_dying;

static void last_words(void)
{
    cw_trace_print(&of_the_dying, stderr, 8, 2000);
}

/* A failed assert says where it was, then what came before it. */
static void is_read_after_a_failed_assert(void **state)
{
    char said[512] = "";
    int ends[2], status;
    size_t length = 0;
    void *memory = make(&of_the_dying, 4);

    cw_trace_add(&of_the_dying, 1000, 7, "role %llu was left for %llu", 3, 5, 0);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        cw_panic_hook_set(last_words);
        CW_ASSERT(of_the_dying.count == 0);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *bug = strstr(said, "of_the_dying.count == 0"), *trace = strstr(said, "#7 role 3 was left for 5\n");
    assert_true(bug != NULL && trace != NULL && bug < trace);
    free(memory);
}

static void a_size_that_is_no_power_of_two_is_a_bug(void **state)
{
    struct cw_arena arena;
    struct cw_trace trace;

    cw_arena_measure(&arena);
    expect_abort(cw_trace_init(&trace, &arena, 3));
    expect_abort(cw_trace_init(&trace, &arena, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_what_was_added),
        cmocka_unit_test(keeps_the_last),
        cmocka_unit_test(is_read_after_a_failed_assert),
        cmocka_unit_test(a_size_that_is_no_power_of_two_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
