/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: measuring and using agree, memory comes zeroed and aligned, and misuse is a bug. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "expect_abort.h"
#include "memory.h"

static const struct {
    size_t size;
    size_t alignment;
} parts[] = {{1, 1}, {7, 8}, {100, 64}, {0, 16}, {4096, 4096}, {3, 2}, {513, 512}};

static void build(struct cw_arena *arena)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint8_t *p = cw_arena_take(arena, parts[i].size, parts[i].alignment);
        if (!arena->memory) {
            assert_null(p);
            continue;
        }
        assert_int_equal((uintptr_t)p % parts[i].alignment, 0);
        for (size_t at = 0; at < parts[i].size; at++)
            assert_int_equal(p[at], 0);
        memset(p, 0xff, parts[i].size); /* shows if the next part overlaps this one */
    }
}

static void measured_is_what_is_used(void **state)
{
    struct cw_arena arena;

    cw_arena_measure(&arena);
    build(&arena);
    size_t measured = arena.used;
    void *memory = test_arena(&arena, measured);
    build(&arena);
    assert_int_equal(arena.used, measured);
    expect_abort(cw_arena_take(&arena, 1, 1));
    free(memory);
}

static void sealed_is_sealed(void **state)
{
    struct cw_arena arena;
    void *memory = test_arena(&arena, 8192);

    assert_non_null(cw_arena_take(&arena, 1, 1));
    cw_arena_seal(&arena);
    expect_abort(cw_arena_take(&arena, 1, 1));
    expect_abort(cw_arena_take(&arena, 0, 1));
    free(memory);
}

static void misuse_is_a_bug(void **state)
{
    struct cw_arena arena;
    uint8_t *memory = test_arena(&arena, 8192);

    expect_abort(cw_arena_take(&arena, 8193, 1));
    expect_abort(cw_arena_take(&arena, SIZE_MAX, 1));
    expect_abort(cw_arena_take(&arena, 8, 3));
    expect_abort(cw_arena_take(&arena, 8, 8192));
    expect_abort(cw_arena_init(&arena, memory + 1, 4096));
    expect_abort(cw_arena_init(&arena, NULL, 4096));
    assert_non_null(cw_arena_take(&arena, 8192, 4096)); /* the whole of it */
    free(memory);
}

/* Rounding the place up must not be taken for room. */
static void alignment_past_the_end(void **state)
{
    struct cw_arena arena;
    void *memory = test_arena(&arena, 100);

    assert_non_null(cw_arena_take(&arena, 65, 1));
    expect_abort(cw_arena_take(&arena, 1, 64));
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_is_what_is_used),
        cmocka_unit_test(sealed_is_sealed),
        cmocka_unit_test(misuse_is_a_bug),
        cmocka_unit_test(alignment_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
