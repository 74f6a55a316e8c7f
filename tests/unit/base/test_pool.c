/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool: exhaustion, late handles, handles given twice, and a random walk against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"
#include "base/rng.h"
#include "expect_abort.h"
#include "memory.h"

#define SLOTS 37u

struct fixture {
    struct cw_pool pool;
    void *memory;
};

static void make(struct fixture *f, uint32_t slots)
{
    struct cw_arena arena;

    cw_arena_measure(&arena);
    cw_pool_init(&f->pool, &arena, slots, 24, 64);
    size_t size = arena.used;
    f->memory = test_arena(&arena, size);
    cw_pool_init(&f->pool, &arena, slots, 24, 64);
    assert_int_equal(arena.used, size);
}

static void takes_all_and_no_more(void **state)
{
    struct cw_handle handles[SLOTS];
    struct fixture f;

    make(&f, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++) {
        handles[i] = cw_pool_take(&f.pool);
        assert_false(cw_handle_is_none(handles[i]));
        uint8_t *slot = cw_pool_get(&f.pool, handles[i]);
        assert_non_null(slot);
        assert_int_equal((uintptr_t)slot % 64, 0);
        memset(slot, (int)i, 24);
    }
    assert_true(cw_handle_is_none(cw_pool_take(&f.pool)));
    assert_null(cw_pool_get(&f.pool, CW_HANDLE_NONE));
    for (uint32_t i = 0; i < SLOTS; i++) { /* no two share a byte */
        uint8_t *slot = cw_pool_get(&f.pool, handles[i]);
        for (int at = 0; at < 24; at++)
            assert_int_equal(slot[at], i);
    }
    cw_pool_give(&f.pool, handles[3]);
    assert_int_equal(cw_pool_take(&f.pool).index, 3);
    assert_true(cw_handle_is_none(cw_pool_take(&f.pool)));
    free(f.memory);
}

static void a_late_handle_names_nothing(void **state)
{
    struct fixture f;

    make(&f, 1);
    struct cw_handle old = cw_pool_take(&f.pool);
    cw_pool_give(&f.pool, old);
    assert_null(cw_pool_get(&f.pool, old));
    struct cw_handle fresh = cw_pool_take(&f.pool);
    assert_int_equal(fresh.index, old.index);
    assert_int_not_equal(fresh.generation, old.generation);
    assert_null(cw_pool_get(&f.pool, old));
    assert_non_null(cw_pool_get(&f.pool, fresh));

    assert_null(cw_pool_get(&f.pool, (struct cw_handle){.index = 1, .generation = 1}));
    assert_null(cw_pool_get(&f.pool, (struct cw_handle){.index = UINT32_MAX, .generation = 1}));
    expect_abort(cw_pool_give(&f.pool, old));
    expect_abort(cw_pool_give(&f.pool, CW_HANDLE_NONE));
    expect_abort(cw_pool_give(&f.pool, (struct cw_handle){.index = 1, .generation = 1}));
    cw_pool_give(&f.pool, fresh);
    expect_abort(cw_pool_give(&f.pool, fresh));
    free(f.memory);
}

static void a_generation_that_wraps_skips_none(void **state)
{
    struct fixture f;

    make(&f, 1);
    f.pool.generations[0] = UINT32_MAX - 1; /* as after two thousand million uses */
    struct cw_handle last = cw_pool_take(&f.pool);
    assert_int_equal(last.generation, UINT32_MAX);
    cw_pool_give(&f.pool, last);
    struct cw_handle next = cw_pool_take(&f.pool);
    assert_false(cw_handle_is_none(next));
    assert_int_equal(next.generation & 1, 1);
    assert_null(cw_pool_get(&f.pool, last));
    assert_non_null(cw_pool_get(&f.pool, next));
    free(f.memory);
}

static void packed_and_back(void **state)
{
    struct cw_handle h = {.index = 0x12345678, .generation = 0x9abcdef1};
    struct cw_handle back = cw_handle_unpack(cw_handle_pack(h));

    assert_int_equal(back.index, h.index);
    assert_int_equal(back.generation, h.generation);
    assert_int_equal(cw_handle_pack(CW_HANDLE_NONE), 0);
}

/* The model: a set of handles that are out, and one bag of handles that were given back. */
static void random_walk(void **state)
{
    struct cw_rng rng = {.state = 5};
    struct cw_handle out[SLOTS], late = CW_HANDLE_NONE;
    uint32_t out_count = 0;
    struct fixture f;

    make(&f, SLOTS);
    for (int step = 0; step < 50000; step++) {
        if (cw_rng_below(&rng, 2)) {
            struct cw_handle h = cw_pool_take(&f.pool);
            assert_int_equal(cw_handle_is_none(h), out_count == SLOTS);
            if (!cw_handle_is_none(h))
                out[out_count++] = h;
        } else if (out_count > 0) {
            uint32_t i = (uint32_t)cw_rng_below(&rng, out_count);
            late = out[i];
            cw_pool_give(&f.pool, late);
            out[i] = out[--out_count];
        }
        assert_null(cw_pool_get(&f.pool, late));
        assert_int_equal(f.pool.free_count, SLOTS - out_count);
        if (step % 100 == 0)
            assert_true(cw_pool_is_valid(&f.pool));
    }
    for (uint32_t i = 0; i < out_count; i++)
        assert_non_null(cw_pool_get(&f.pool, out[i]));
    free(f.memory);
}

static void a_broken_pool_is_not_valid(void **state)
{
    struct fixture f;

    make(&f, 2);
    assert_true(cw_pool_is_valid(&f.pool));
    f.pool.free[1] = 2;
    assert_false(cw_pool_is_valid(&f.pool));
    f.pool.free[1] = 0;
    f.pool.generations[0] = 1;
    assert_false(cw_pool_is_valid(&f.pool));
    f.pool.generations[0] = 0;
    f.pool.free_count = 3;
    assert_false(cw_pool_is_valid(&f.pool));
    free(f.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all_and_no_more),
        cmocka_unit_test(a_late_handle_names_nothing),
        cmocka_unit_test(a_generation_that_wraps_skips_none),
        cmocka_unit_test(packed_and_back),
        cmocka_unit_test(random_walk),
        cmocka_unit_test(a_broken_pool_is_not_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
