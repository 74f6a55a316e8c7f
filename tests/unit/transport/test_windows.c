/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay window and the ack ranges, each beside a plain array that knows the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "transport/ack_ranges.h"
#include "transport/replay.h"

static uint64_t words[CW_REPLAY_WORDS];
static struct cw_replay replay;
static struct cw_ack_ranges acks;

static int set_up(void **state)
{
    cw_replay_init(&replay, words);
    cw_replay_reset(&replay);
    cw_ack_ranges_reset(&acks);
    return 0;
}

static void a_number_is_taken_once(void **state)
{
    assert_false(cw_replay_test(&replay, 0));
    static const uint64_t numbers[] = {1, 3, 2, 64, 63, 65, 1000, 999};
    for (size_t i = 0; i < CW_COUNT_OF(numbers); i++) {
        assert_true(cw_replay_test(&replay, numbers[i]));
        cw_replay_commit(&replay, numbers[i]);
        assert_false(cw_replay_test(&replay, numbers[i]));
    }
    assert_true(cw_replay_test(&replay, 4));
}

static void the_edge_of_the_window(void **state)
{
    uint64_t high = 10ull * CW_REPLAY_BITS + 17;
    cw_replay_commit(&replay, high);
    assert_true(cw_replay_test(&replay, high - CW_REPLAY_SPAN + 1));
    assert_false(cw_replay_test(&replay, high - CW_REPLAY_SPAN));
    assert_false(cw_replay_test(&replay, 1));
    cw_replay_commit(&replay, UINT64_MAX);
    assert_false(cw_replay_test(&replay, UINT64_MAX));
    assert_true(cw_replay_test(&replay, UINT64_MAX - 1));
    assert_false(cw_replay_test(&replay, high + 1));
}

static void testing_moves_nothing(void **state)
{
    assert_true(cw_replay_test(&replay, 1ull << 60));
    assert_true(cw_replay_test(&replay, 1));
}

static void replay_agrees_with_an_array(void **state)
{
    static uint8_t seen[1 << 22];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cw_rng rng = {seed};
        uint64_t high = 0;
        memset(seen, 0, sizeof seen);
        cw_replay_reset(&replay);
        for (int i = 0; i < 20000; i++) {
            uint64_t reach = 1ull << cw_rng_below(&rng, 19);
            uint64_t number = high + 2 * cw_rng_below(&rng, reach);
            number = number > reach ? number - reach : number;
            if (number >= sizeof seen)
                break;
            bool expected = number > 0 && !seen[number] && number + CW_REPLAY_SPAN > high;
            assert_int_equal(cw_replay_test(&replay, number), expected);
            if (!expected)
                continue;
            cw_replay_commit(&replay, number);
            seen[number] = 1;
            high = CW_MAX(high, number);
        }
    }
}

static void in_order_is_one_range(void **state)
{
    struct cw_ack ack;
    assert_false(cw_ack_ranges_take(&acks, &ack, 5));
    for (uint64_t n = 1; n <= 1000; n++)
        cw_ack_ranges_add(&acks, n, true, n);
    assert_true(cw_ack_ranges_take(&acks, &ack, 1500));
    assert_int_equal(ack.range_count, 1);
    assert_int_equal(ack.ranges[0].first, 1);
    assert_int_equal(ack.ranges[0].last, 1000);
    assert_int_equal(ack.delay_ns, 500);
}

static void when_an_ack_leaves(void **state)
{
    struct cw_ack ack;
    cw_ack_ranges_add(&acks, 1, false, 100);
    assert_int_equal(acks.deadline_ns, CW_NEVER); /* acks are not acknowledged */
    cw_ack_ranges_add(&acks, 2, true, 200);
    assert_int_equal(acks.deadline_ns, 200 + CW_ACK_DELAY_NS);
    cw_ack_ranges_add(&acks, 3, true, 300);
    assert_int_equal(acks.deadline_ns, 200 + CW_ACK_DELAY_NS);
    cw_ack_ranges_add(&acks, 5, true, 400); /* a gap */
    assert_int_equal(acks.deadline_ns, 400);
    cw_ack_ranges_take(&acks, &ack, 400);
    assert_int_equal(acks.deadline_ns, CW_NEVER);
    cw_ack_ranges_add(&acks, 6, true, 500); /* the same gap is no news */
    assert_int_equal(acks.deadline_ns, 500 + CW_ACK_DELAY_NS);
    for (uint64_t n = 7; n < 6 + CW_ACK_PACKETS; n++)
        cw_ack_ranges_add(&acks, n, true, 600);
    assert_int_equal(acks.deadline_ns, 600);
}

static void the_lowest_range_is_forgotten_when_full(void **state)
{
    for (uint64_t n = 1; n <= 2 * CW_ACK_RANGES_MAX + 2; n += 2)
        cw_ack_ranges_add(&acks, n, true, n);
    assert_true(cw_ack_ranges_is_valid(&acks));
    assert_int_equal(acks.count, CW_ACK_RANGES_MAX);
    assert_int_equal(acks.ranges[CW_ACK_RANGES_MAX - 1].first, 3);
    cw_ack_ranges_add(&acks, 1, true, 1000); /* no room below */
    assert_int_equal(acks.ranges[CW_ACK_RANGES_MAX - 1].first, 3);
    cw_ack_ranges_forget(&acks, 50); /* not while something is to be told */
    assert_int_equal(acks.count, CW_ACK_RANGES_MAX);
    struct cw_ack ack;
    assert_true(cw_ack_ranges_take(&acks, &ack, 2000));
    cw_ack_ranges_forget(&acks, 50);
    assert_true(acks.ranges[acks.count - 1].last > 50);
    cw_ack_ranges_forget(&acks, 5000); /* the highest stays */
    assert_int_equal(acks.count, 1);
}

static void ranges_agree_with_an_array(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct cw_rng rng = {seed};
        uint8_t came[65] = {0};
        cw_ack_ranges_reset(&acks);
        for (int i = 0; i < 64; i++) { /* 64 numbers have at most 32 ranges: nothing is forgotten */
            uint64_t n = 1 + cw_rng_below(&rng, 64);
            if (came[n])
                continue;
            came[n] = 1;
            cw_ack_ranges_add(&acks, n, true, 1);
            assert_true(cw_ack_ranges_is_valid(&acks));
            for (uint64_t m = 1; m <= 64; m++) {
                bool in = false;
                for (uint32_t r = 0; r < acks.count; r++)
                    in |= m >= acks.ranges[r].first && m <= acks.ranges[r].last;
                assert_int_equal(in, came[m]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_number_is_taken_once, set_up),
        cmocka_unit_test_setup(the_edge_of_the_window, set_up),
        cmocka_unit_test_setup(testing_moves_nothing, set_up),
        cmocka_unit_test_setup(replay_agrees_with_an_array, set_up),
        cmocka_unit_test_setup(in_order_is_one_range, set_up),
        cmocka_unit_test_setup(when_an_ack_leaves, set_up),
        cmocka_unit_test_setup(the_lowest_range_is_forgotten_when_full, set_up),
        cmocka_unit_test_setup(ranges_agree_with_an_array, set_up),
    };
    return cmocka_run_group_tests_name("transport/windows", tests, NULL, NULL);
}
