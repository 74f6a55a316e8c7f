/* SPDX-License-Identifier: BSD-3-Clause */
/* The delay line against a plain model that sorts: order, ties, late ones, its bound, wrapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "wanem/line.h"

#define ROUNDS 20000u
#define PLACES 37u

static uint8_t frames[ROUNDS];

struct waiting {
    uint64_t departure_ns;
    uint8_t *frame;
};

static struct waiting model[PLACES];
static uint32_t model_count;

/* The first of the earliest, as they were put. */
static uint8_t *model_take(uint64_t now_ns)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < model_count; i++)
        best = model[i].departure_ns < model[best].departure_ns ? i : best;
    if (model_count == 0 || model[best].departure_ns > now_ns)
        return NULL;
    uint8_t *frame = model[best].frame;
    model_count--;
    for (uint32_t i = best; i < model_count; i++)
        model[i] = model[i + 1];
    return frame;
}

static void leaves_in_order(void **state)
{
    struct cw_rng rng = {5};
    struct cw_line line;
    uint64_t now_ns = 0;
    uint32_t put = 0, full = 0;
    assert_true(cw_line_init(&line, PLACES));
    while (put < ROUNDS) {
        bool is_late = cw_rng_below(&rng, 4) == 0;
        uint64_t departure_ns = now_ns + 20 + (is_late ? 30 : cw_rng_below(&rng, 3));
        assert_int_equal(cw_line_is_full(&line), model_count == PLACES);
        full += cw_line_is_full(&line);
        for (uint64_t i = cw_rng_below(&rng, 3); i > 0 && put < ROUNDS && !cw_line_is_full(&line); i--) {
            model[model_count++] = (struct waiting){departure_ns, &frames[put]};
            cw_line_put(&line, departure_ns, is_late, &frames[put++]);
        }
        now_ns += cw_rng_below(&rng, 3);
        while (cw_rng_below(&rng, 8) != 0) {
            uint64_t next_ns = cw_line_next_ns(&line);
            uint8_t *frame = cw_line_take(&line, now_ns);
            assert_ptr_equal(frame, model_take(now_ns));
            assert_int_equal(frame != NULL, next_ns <= now_ns);
            if (frame == NULL)
                break;
        }
        assert_int_equal(cw_line_count(&line), model_count);
    }
    assert_true(full > 10);
    cw_line_fini(&line);
}

static void is_empty_at_first(void **state)
{
    struct cw_line line;
    assert_false(cw_line_init(&line, 0));
    assert_true(cw_line_init(&line, 1));
    assert_null(cw_line_take(&line, UINT64_MAX));
    assert_int_equal(cw_line_next_ns(&line), UINT64_MAX);
    cw_line_put(&line, 7, true, &frames[0]);
    assert_true(cw_line_is_full(&line));
    assert_null(cw_line_take(&line, 6));
    assert_ptr_equal(cw_line_take(&line, 7), &frames[0]);
    assert_null(cw_line_take(&line, UINT64_MAX));
    cw_line_fini(&line);
}

static void late_ones_are_passed(void **state)
{
    struct cw_line line;
    assert_true(cw_line_init(&line, 4));
    cw_line_put(&line, 30, true, &frames[0]);
    cw_line_put(&line, 10, false, &frames[1]);
    cw_line_put(&line, 30, false, &frames[2]);
    cw_line_put(&line, 40, false, &frames[3]);
    for (unsigned i = 0; i < 4; i++) {
        static const unsigned order[] = {1, 0, 2, 3};
        assert_ptr_equal(cw_line_take(&line, 100), &frames[order[i]]);
    }
    cw_line_fini(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_at_first),
        cmocka_unit_test(late_ones_are_passed),
        cmocka_unit_test(leaves_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
