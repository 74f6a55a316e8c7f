/* SPDX-License-Identifier: BSD-3-Clause */
/* Two sessions over a link that behaves, then over links that do not: all arrives once, intact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "one_pair.h"

static void one_message_each_way(void **state)
{
    struct cw_link_config link = {.delay_ns = 50 * CW_US};
    begin_alike(&link, 1);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    assert_true(cw_pair_run(pair, pair->now_ns + CW_MS, NULL)); /* credit */
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
    assert_true(cw_pair_send(pair, 1, CW_STREAM_CONTROL, 64, 0));
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished));
    assert_int_equal(pair->sides[0].arrived_count, 1);
    assert_int_equal(pair->sides[1].arrived_count, 1);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
}

/* A random message of a side; the streams and sizes that the engine uses, and those it never will. */
static bool send_any(int side)
{
    static const uint32_t bodies[] = {0, 1, 512, 4096, 4097, 16384, 32768, 65536, 131072};
    static const uint32_t heads[] = {4, 15, 16, 32, 96, 2048};
    return cw_pair_send(pair, side, (enum cw_stream)cw_rng_below(&pair->rng, CW_STREAM_COUNT),
                        heads[cw_rng_below(&pair->rng, CW_COUNT_OF(heads))],
                        bodies[cw_rng_below(&pair->rng, CW_COUNT_OF(bodies))]);
}

/* Both sides keep sending until each has sent `count`, then everything has to come back delivered. */
static void exchange(uint32_t count, uint64_t limit_ns)
{
    uint64_t end_ns = pair->now_ns + limit_ns;
    while (pair->now_ns < end_ns) {
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < 8 && pair->sides[side].sent_count < count; i++)
                send_any(side);
        bool all = pair->sides[0].sent_count == count && pair->sides[1].sent_count == count;
        if (all && cw_pair_run(pair, end_ns, cw_pair_is_finished))
            return;
        cw_pair_run(pair, pair->now_ns + cw_rng_below(&pair->rng, 5 * CW_MS), NULL);
    }
    fail_msg("not all came back in time");
}

static void many_messages_on_a_good_link(void **state)
{
    struct cw_link_config link = {.delay_ns = 2 * CW_MS, .rate_bytes_per_second = 125000000};
    begin_alike(&link, 2);
    exchange(500, 60 * CW_SECOND);
    expect_all_arrived_once();
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_LOST), 0);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_DUPLICATE), 0);
}

/* Loss alone, no reordering: what is sent again was lost, but for tails that a probe repeats. */
static void only_what_was_lost_is_sent_again(void **state)
{
    struct cw_link_config link = {
        .delay_ns = 5 * CW_MS, .rate_bytes_per_second = 125000000, .loss_per_million = 20000};
    begin_alike(&link, 3);
    exchange(800, 60 * CW_SECOND);
    expect_all_arrived_once();
    for (int side = 0; side < 2; side++) {
        uint64_t again = cw_pair_counter(pair, side, CW_SESSION_RETRANSMITTED);
        assert_true(again > 100);
        assert_true(cw_pair_counter(pair, !side, CW_SESSION_DUPLICATE) * 20 < again);
        assert_true(cw_pair_counter(pair, side, CW_SESSION_SPURIOUS) * 20 < again);
    }
}

/* Reordering alone: the window grows until most of what is late is waited for. */
static void what_is_late_is_mostly_waited_for(void **state)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS,
                                  .rate_bytes_per_second = 12500000,
                                  .jitter_ns = 3 * CW_MS}; /* 25 packets deep */
    begin_alike(&link, 4);
    exchange(300, 60 * CW_SECOND);
    expect_all_arrived_once();
    for (int side = 0; side < 2; side++) {
        uint64_t out = cw_pair_counter(pair, side, CW_SESSION_DATAGRAMS_OUT);
        assert_true(cw_pair_counter(pair, side, CW_SESSION_RETRANSMITTED) * 200 < out);
        assert_true(3 * cw_pair_counter(pair, side, CW_SESSION_SPURIOUS) >=
                    cw_pair_counter(pair, side, CW_SESSION_LOST));
    }
}

static void everything_arrives_over_hundreds_of_bad_links(void **state)
{
    for (uint64_t seed = 1; seed <= CW_PAIR_SEEDS(200u); seed++) {
        struct cw_session_config initiator, responder;
        struct cw_link_config link;
        struct cw_rng rng = {seed};
        cw_pair_adversary(&initiator, &responder, &link, &rng, seed);
        cw_pair_init(pair, &initiator, &responder, &link, seed);
        pair->sides[0].hold_buffers = cw_rng_below(&rng, 2);
        exchange(20, 300 * CW_SECOND);
        expect_all_arrived_once();
        if (seed < CW_PAIR_SEEDS(200u))
            cw_pair_fini(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_message_each_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_messages_on_a_good_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_was_lost_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_late_is_mostly_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_arrives_over_hundreds_of_bad_links, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/pair", tests, NULL, NULL);
}
