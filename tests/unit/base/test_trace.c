/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace ring: the last entries, oldest first, and codes without a name as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/trace.h"
#include "expect_abort.h"
#include "memory.h"

static const char *const names[] = {"sent", "lost"};

static void *make(struct cw_trace *trace, uint32_t entry_count)
{
    struct cw_arena arena;
    void *memory = test_arena(&arena, entry_count * sizeof(struct cw_trace_entry));

    cw_trace_init(trace, &arena, entry_count);
    return memory;
}

static char *printed(const struct cw_trace *trace)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    cw_trace_print(trace, out, names, 2);
    fclose(out);
    return text;
}

static void prints_what_was_added(void **state)
{
    struct cw_trace trace;
    void *memory = make(&trace, 4);

    char *text = printed(&trace);
    assert_string_equal(text, "");
    free(text);

    cw_trace_add(&trace, 5, 0, 1, 10, 11, 12);
    cw_trace_add(&trace, 12345678901234, 1, 2, 0, UINT64_MAX, 3);
    cw_trace_add(&trace, 7, 2, 3, 4, 5, 6);
    text = printed(&trace);
    assert_string_equal(text, "[             5ns] sent                     #1 10 11 12\n"
                              "[12345678901234ns] lost                     #2 0 18446744073709551615 3\n"
                              "[             7ns] code 2                   #3 4 5 6\n");
    free(text);
    free(memory);
}

static void keeps_the_last(void **state)
{
    struct cw_trace trace;
    void *memory = make(&trace, 2);

    for (uint64_t i = 1; i <= 5; i++)
        cw_trace_add(&trace, i, 0, 0, i, 0, 0);
    char *text = printed(&trace);
    assert_string_equal(text, "[             4ns] sent                     #0 4 0 0\n"
                              "[             5ns] sent                     #0 5 0 0\n");
    assert_int_equal(trace.count, 5);
    free(text);
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
        cmocka_unit_test(a_size_that_is_no_power_of_two_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
