/* SPDX-License-Identifier: BSD-3-Clause */
/* The two byte streams of a handshake: whatever the path does to fragments, the bytes come whole and in
 * order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "transport/carry.h"

static struct cw_carry sides[2];
static uint8_t pattern[CW_CARRY_BYTES_MAX + 1];

static int set_up(void **state)
{
    cw_carry_reset(&sides[0]);
    cw_carry_reset(&sides[1]);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    return 0;
}

struct fragment {
    uint32_t acked, offset;
    size_t length;
    uint8_t bytes[400];
};

static bool next(struct cw_carry *from, size_t room, struct fragment *f)
{
    f->acked = from->got;
    return cw_carry_next(from, room, &f->offset, f->bytes, &f->length);
}

static bool hear(struct cw_carry *to, const struct fragment *f)
{
    return cw_carry_on_fragment(to, f->acked, f->offset, f->bytes, f->length);
}

static void all_of_it_there_and_back(void **state)
{
    struct fragment f;
    uint8_t got[1000];
    assert_false(next(&sides[0], 400, &f));
    assert_true(cw_carry_put(&sides[0], pattern, 900));
    for (int i = 0; i < 3; i++) {
        assert_true(next(&sides[0], 400, &f));
        assert_true(hear(&sides[1], &f));
    }
    assert_false(next(&sides[0], 400, &f));
    assert_false(cw_carry_is_acked(&sides[0]));
    assert_true(next(&sides[1], 400, &f)); /* the ack alone */
    assert_int_equal(f.length, 0);
    assert_true(hear(&sides[0], &f));
    assert_true(cw_carry_is_acked(&sides[0]));
    assert_false(cw_carry_has_output(&sides[0])); /* an ack is not acknowledged */
    assert_int_equal(cw_carry_take(&sides[1], got, 500), 500);
    assert_int_equal(cw_carry_take(&sides[1], got + 500, 500), 400);
    assert_int_equal(cw_carry_take(&sides[1], got, 500), 0);
    assert_memory_equal(got, pattern, 900);
}

static void an_order_of_its_own_and_holes(void **state)
{
    struct fragment f[3];
    uint8_t got[1200];
    cw_carry_put(&sides[0], pattern, 1200);
    for (int i = 0; i < 3; i++)
        assert_true(next(&sides[0], 400, &f[i]));
    assert_true(hear(&sides[1], &f[2]));
    assert_true(hear(&sides[1], &f[2]));
    assert_int_equal(cw_carry_take(&sides[1], got, sizeof got), 0);
    assert_true(hear(&sides[1], &f[0]));
    assert_int_equal(cw_carry_take(&sides[1], got, sizeof got), 400);
    cw_carry_resend(&sides[0]); /* from the beginning, for no ack came back */
    assert_true(next(&sides[0], 333, &f[0]));
    assert_int_equal(f[0].offset, 0);
    assert_true(next(&sides[0], 333, &f[0]));
    assert_true(hear(&sides[1], &f[0]));
    assert_true(next(&sides[0], 333, &f[0]));
    assert_true(hear(&sides[1], &f[0])); /* the grid may be another */
    assert_int_equal(cw_carry_take(&sides[1], got + 400, sizeof got), 800);
    assert_memory_equal(got, pattern, 1200);
}

static void out_of_range_is_refused_and_changes_nothing(void **state)
{
    struct cw_carry before;
    cw_carry_put(&sides[0], pattern, 100);
    before = sides[0];
    assert_false(cw_carry_on_fragment(&sides[0], 101, 0, pattern, 10));
    assert_false(cw_carry_on_fragment(&sides[0], 0, CW_CARRY_BYTES_MAX, pattern, 1));
    assert_false(cw_carry_on_fragment(&sides[0], 0, CW_CARRY_BYTES_MAX - 5, pattern, 6));
    assert_false(cw_carry_on_fragment(&sides[0], 0, UINT32_MAX, pattern, 1));
    assert_false(cw_carry_put(&sides[0], pattern, CW_CARRY_BYTES_MAX - 99));
    assert_memory_equal(&before, &sides[0], sizeof before);
    assert_true(cw_carry_put(&sides[0], pattern, CW_CARRY_BYTES_MAX - 100));
    assert_true(cw_carry_on_fragment(&sides[0], 0, CW_CARRY_BYTES_MAX - 5, pattern, 5));
}

/* The first bytes that came stand: whoever repeats an offset with others changes nothing. */
static void a_repetition_with_other_bytes(void **state)
{
    uint8_t got[20], other[20] = {0};
    assert_true(cw_carry_on_fragment(&sides[1], 0, 10, pattern + 10, 10));
    assert_true(cw_carry_on_fragment(&sides[1], 0, 10, other, 10));
    assert_true(cw_carry_on_fragment(&sides[1], 0, 0, pattern, 10));
    assert_int_equal(cw_carry_take(&sides[1], got, sizeof got), 20);
    assert_memory_equal(got, pattern, 20);
}

static void whatever_is_lost_doubled_or_late(void **state)
{
    struct cw_rng rng = {1};
    for (int round = 0; round < 50; round++) {
        struct fragment held[2] = {{0}};
        bool holds[2] = {false};
        uint32_t taken[2] = {0};
        uint8_t got[CW_CARRY_BYTES_MAX];
        set_up(NULL);
        uint32_t length = (uint32_t)cw_rng_below(&rng, CW_CARRY_BYTES_MAX) + 1;
        assert_true(cw_carry_put(&sides[0], pattern, length) && cw_carry_put(&sides[1], pattern, length));
        for (int steps = 0; taken[0] < length || taken[1] < length; steps++) {
            assert_true(steps < 100000);
            int from = (int)cw_rng_below(&rng, 2);
            struct fragment f;
            if (!next(&sides[from], 1 + cw_rng_below(&rng, 400), &f)) {
                cw_carry_resend(&sides[from]);
                continue;
            }
            uint64_t fate = cw_rng_below(&rng, 5);
            if (fate == 0)
                continue;
            if (fate == 1 && !holds[from]) {
                held[from] = f;
                holds[from] = true;
                continue;
            }
            assert_true(hear(&sides[!from], &f));
            if (fate == 2)
                assert_true(hear(&sides[!from], &f));
            if (holds[from] && hear(&sides[!from], &held[from]))
                holds[from] = false;
            size_t n = cw_carry_take(&sides[!from], got, sizeof got);
            assert_memory_equal(got, pattern + taken[!from], n);
            taken[!from] += (uint32_t)n;
        }
        assert_int_equal(taken[0], length);
        assert_int_equal(taken[1], length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_of_it_there_and_back, set_up),
        cmocka_unit_test_setup(an_order_of_its_own_and_holes, set_up),
        cmocka_unit_test_setup(out_of_range_is_refused_and_changes_nothing, set_up),
        cmocka_unit_test_setup(a_repetition_with_other_bytes, set_up),
        cmocka_unit_test_setup(whatever_is_lost_doubled_or_late, set_up),
    };
    return cmocka_run_group_tests_name("transport/carry", tests, NULL, NULL);
}
