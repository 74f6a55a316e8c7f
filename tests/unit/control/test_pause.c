/* SPDX-License-Identifier: BSD-3-Clause */
/* The pause of a switchover, from what two clocks say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "control/pause.h"

static const struct cw_turn_told FROM = {
    .left_epoch = 3, .held_ns = 100000000, .drained_ns = 104000000, .left_ns = 105000000};
static const struct cw_turn_told TO = {.opened_epoch = 4, .asked_ns = 145000000, .opened_ns = 187000000};

static void test_one_clock(void **state)
{
    char words[200];
    struct cw_pause pause = cw_pause_compute(&FROM, 3, &TO, 4, true, 20000000);
    assert_true(pause.is_known && pause.is_exact);
    assert_int_equal(pause.total_ns, 87000000);
    assert_int_equal(pause.drain_ns + pause.fence_ns + pause.hand_ns + pause.open_ns, pause.total_ns);
    cw_pause_words(&pause, words, sizeof words);
    assert_string_equal(words, "the pause was 87 ms: drain 4, fence 1, hand over 40, open 42");
    json_t *json = cw_pause_json(&pause);
    assert_true(json_real_value(json_object_get(json, "pause_ms")) == 87.0);
    assert_true(json_is_true(json_object_get(json, "exact")));
    json_decref(json);
}

/* The old primary's clock is another machine's: what it says of its own part counts, and no difference to
 * ours. */
static void test_two_clocks(void **state)
{
    char words[200];
    struct cw_turn_told from = FROM;
    from.held_ns += 1ul << 50;
    from.drained_ns += 1ul << 50;
    from.left_ns += 1ul << 50;
    for (int is_one = 0; is_one < 2; is_one++) { /* also where a boot id says otherwise */
        struct cw_pause pause = cw_pause_compute(&from, 3, &TO, 4, is_one, 60000000);
        assert_true(pause.is_known && !pause.is_exact);
        assert_int_equal(pause.total_ns, 127000000);
        assert_int_equal(pause.hand_ns, 80000000);
        cw_pause_words(&pause, words, sizeof words);
        assert_string_equal(words,
                            "the pause was at most 127 ms: drain 4, fence 1, hand over at most 80, open 42");
    }
}

static void test_not_told(void **state)
{
    char words[200];
    struct cw_turn_told none = cw_turn_from_json(NULL), draining = FROM;
    draining.left_ns = 0;
    const struct cw_turn_told *from[] = {&none, &draining, &FROM, &FROM};
    const uint64_t left[] = {3, 3, 2, 3}, opened[] = {4, 4, 4, 5}; /* another reign, another opening */
    for (int i = 0; i < 4; i++) {
        struct cw_pause pause = cw_pause_compute(from[i], left[i], &TO, opened[i], true, 20000000);
        assert_false(pause.is_known);
        assert_null(cw_pause_json(&pause));
        cw_pause_words(&pause, words, sizeof words);
        assert_non_null(strstr(words, "not known"));
    }
}

/* A plain fence, and words that fit nothing: nothing runs below 0. */
static void test_odd(void **state)
{
    struct cw_turn_told from = FROM, to = TO;
    from.drained_ns = 0;
    struct cw_pause pause = cw_pause_compute(&from, 3, &to, 4, true, 20000000);
    assert_int_equal(pause.drain_ns, 0);
    assert_int_equal(pause.fence_ns, 5000000);
    from.drained_ns = 1;
    from.held_ns = 200000000;
    pause = cw_pause_compute(&from, 3, &to, 4, true, 300000000);
    assert_true(pause.is_known && !pause.is_exact);
    assert_int_equal(pause.total_ns, 0);
    assert_int_equal(pause.hand_ns, 0);
    to.asked_ns = to.opened_ns + 1;
    assert_false(cw_pause_compute(&FROM, 3, &to, 4, true, 0).is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_clock),
        cmocka_unit_test(test_two_clocks),
        cmocka_unit_test(test_not_told),
        cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
