/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions over links that carry less than the sessions would like: the size is found, followed when it
 * shrinks and grows under load, and no message is lost; what routers say is believed only of a datagram that
 * nobody has acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "one_pair.h"
#include "transport/session_internal.h"

static uint32_t longest;                        /* datagram of side 0 since it was last set to 0 */
static uint8_t quoted[CW_SESSION_QUOTED_BYTES]; /* of that one */

static void watch(struct cw_pair *all, int from, uint8_t *datagram, size_t length)
{
    if (from != 0 || length <= longest)
        return;
    longest = (uint32_t)length;
    memcpy(quoted, datagram, sizeof quoted);
}

static void begin(uint32_t largest, uint32_t mtu, const struct cw_fec_config *fec, uint64_t seed)
{
    const struct cw_link_config link = {.delay_ns = 5 * CW_MS, .mtu = mtu};
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, seed);
    initiator.paths[0].datagram_bytes_max = responder.paths[0].datagram_bytes_max = largest;
    initiator.paths[0].is_mtu_probed = responder.paths[0].is_mtu_probed = true;
    if (fec)
        initiator.paths[0].fec = responder.paths[0].fec = *fec;
    cw_pair_init(pair, &initiator, &responder, &link, seed);
    pair->tap = watch;
    longest = 0;
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
}

static uint32_t bytes_of(int side)
{
    struct cw_session_path_stats stats;
    cw_session_path_stats(pair->sides[side].session, 0, &stats);
    return stats.datagram_bytes;
}

static void set_mtu(uint32_t mtu)
{
    pair->sides[0].out[0].config.mtu = pair->sides[1].out[0].config.mtu = mtu;
}

/* Both ways, as fast as the sessions take it. */
static void load(uint64_t span_ns)
{
    for (uint64_t until_ns = pair->now_ns + span_ns; pair->now_ns < until_ns;) {
        for (int side = 0; side < 2; side++) {
            if (pair->sides[side].sent_count < CW_PAIR_MESSAGES)
                (void)cw_pair_send(pair, side, CW_STREAM_LIVE, 96, (uint32_t)cw_rng_below(&pair->rng, 40000));
        }
        cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    }
}

/* Everything arrived, the session never went down. */
static void expect_all_delivered(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_finished));
    for (int side = 0; side < 2; side++) {
        assert_int_equal(pair->sides[side].downs, 0);
        assert_int_equal(pair->sides[side].arrived_count, pair->sides[1 - side].sent_count);
    }
}

static void the_largest_is_used_after_a_round_trip(void **state)
{
    begin(1472, 0, NULL, 1);
    load(25 * CW_MS);
    assert_int_equal(bytes_of(0), 1472);
    assert_int_equal(bytes_of(1), 1472);
    load(CW_SECOND);
    assert_int_equal(longest, 1472);
    expect_all_delivered();
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_MTU_PROBES), 1);
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_LOST), 0);
}

static void what_the_path_carries_is_found(void **state)
{
    static const uint32_t carried[] = {1200, 1300, 1452, 2000, 4444, 8900};
    for (unsigned i = 0; i < CW_COUNT_OF(carried); i++) {
        begin(8972, carried[i], NULL, i + 1);
        load(2 * CW_SECOND);
        assert_in_range(bytes_of(0), carried[i] - 171, carried[i]);
        expect_all_delivered();
        /* Probes that were too large are no losses. */
        assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_LOST), 0);
        assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_BLACK_HOLES), 0);
        if (i + 1 < CW_COUNT_OF(carried))
            cw_pair_fini(pair);
    }
}

/* With nothing else to send, too: the PING behind each probe tells its fate, without a time-out. */
static void an_idle_session_finds_it_too(void **state)
{
    begin(8972, 3000, NULL, 3);
    cw_pair_run(pair, pair->now_ns + 2 * CW_SECOND, NULL);
    assert_in_range(bytes_of(0), 3000 - 171, 3000);
    assert_in_range(bytes_of(1), 3000 - 171, 3000);
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_PROBES), 0);
}

static void shrinks_and_grows_under_load(const struct cw_fec_config *fec, uint64_t seed)
{
    begin(8972, 9000, fec, seed);
    load(300 * CW_MS);
    assert_int_equal(bytes_of(0), 8972);
    set_mtu(1400);
    load(4 * CW_SECOND);
    assert_in_range(bytes_of(0), 1400 - 175, 1400);
    assert_in_range(bytes_of(1), 1400 - 175, 1400);
    assert_true(cw_pair_counter(pair, 0, CW_SESSION_BLACK_HOLES) >= 1);
    expect_all_delivered();
    set_mtu(0);
    cw_pair_run(pair, pair->now_ns + 601 * CW_SECOND, NULL);
    assert_int_equal(bytes_of(0), 8972);
    load(300 * CW_MS);
    expect_all_delivered();
}

static void a_path_that_shrinks_is_followed(void **state)
{
    shrinks_and_grows_under_load(NULL, 5);
}

static void with_repairs_too(void **state)
{
    const struct cw_fec_config fec = {CW_FEC_FIXED, 16, 2, 4};
    shrinks_and_grows_under_load(&fec, 6);
}

/* Sizes, losses and duplicates at random: the promises of a session hold (pair.h), and everything arrives. */
static void paths_that_change_all_the_time(void **state)
{
    for (uint64_t seed = 1; seed <= CW_PAIR_SEEDS(12u); seed++) {
        const struct cw_fec_config fec = {CW_FEC_FIXED, 8, 2, 2};
        begin(1200 + (uint32_t)(seed * 700), 0, seed % 3 == 0 ? &fec : NULL, seed);
        for (int side = 0; side < 2; side++) {
            pair->sides[side].out[0].config.loss_per_million = 10000;
            pair->sides[side].out[0].config.duplicate_per_million = 10000;
            pair->sides[side].out[0].config.jitter_ns = CW_MS;
        }
        for (int round = 0; round < 6; round++) {
            set_mtu(1200 + (uint32_t)cw_rng_below(&pair->rng, 9000));
            load(cw_rng_below(&pair->rng, 800 * CW_MS));
        }
        expect_all_delivered();
        assert_in_range(bytes_of(0), CW_PMTU_BASE_BYTES - 200, 9600);
        if (seed < CW_PAIR_SEEDS(12u))
            cw_pair_fini(pair);
    }
}

static bool tell(uint32_t bytes)
{
    return cw_session_on_too_big(pair->sides[0].session, 0, quoted, sizeof quoted, bytes, pair->now_ns);
}

/* Who does not see what is under way cannot make the session small. */
static void hints_are_believed_of_what_is_missing_only(void **state)
{
    begin(8972, 0, NULL, 7);
    load(100 * CW_MS);
    longest = 0;
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 30000));
    cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    assert_true(longest > 8000);
    quoted[5] ^= 1; /* of another session */
    assert_false(tell(1400));
    quoted[5] ^= 1;
    quoted[8] ^= 1; /* a number that was never sent */
    assert_false(tell(1400));
    quoted[8] ^= 1;
    assert_false(
        cw_session_on_too_big(pair->sides[0].session, 0, quoted, sizeof quoted - 1, 1400, pair->now_ns));
    assert_false(tell(longest)); /* it was not larger than that */
    assert_false(tell(500));     /* below the base */
    assert_int_equal(bytes_of(0), 8972);
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_DROP_HINT), 5);
    assert_true(tell(1400));
    assert_in_range(bytes_of(0), 1400 - 171, 1400);
    cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
    uint8_t old[sizeof quoted];
    memcpy(old, quoted, sizeof old);
    assert_false(tell(1300)); /* it has been acknowledged */
    expect_all_delivered();
    set_mtu(1400);
    longest = 0;
    load(CW_SECOND);
    expect_all_delivered();
    assert_true(longest <= 1400);
}

/* The router's word comes after the loss was found: with lanes, or under load, it does on a short way. */
static void hints_about_what_was_given_up_are_believed(void **state)
{
    begin(8972, 0, NULL, 11);
    load(100 * CW_MS);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished));
    set_mtu(1400);
    longest = 0;
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 8000)); /* too large, */
    cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    assert_true(longest > 8000);
    for (int i = 0; i < 10; i++) /* and what tells that it was lost */
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 500));
    const struct cw_inflight *inflight = &pair->sides[0].session->paths[0].inflight;
    while (cw_inflight_find_lost(inflight, cw_load64be(quoted + 8)) == NULL)
        cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    assert_int_equal(bytes_of(0), 8972);
    assert_true(tell(1400));
    assert_in_range(bytes_of(0), 1400 - 171, 1400);
    expect_all_delivered();
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_BLACK_HOLES), 0);
}

/* The session of another lane was told, and believed it. */
static void what_another_lane_believed_is_obeyed(void **state)
{
    begin(8972, 0, NULL, 10);
    load(100 * CW_MS);
    assert_int_equal(bytes_of(0), 8972);
    cw_session_on_narrower(pair->sides[0].session, 0, 500, pair->now_ns); /* below the base */
    assert_int_equal(bytes_of(0), 8972);
    cw_session_on_narrower(pair->sides[0].session, 0, 1400, pair->now_ns);
    assert_in_range(bytes_of(0), 1400 - 171, 1400);
    cw_session_on_narrower(pair->sides[0].session, 0, 8000, pair->now_ns); /* it never grows by that */
    assert_in_range(bytes_of(0), 1400 - 171, 1400);
    expect_all_delivered();
    set_mtu(1400);
    longest = 0;
    load(CW_SECOND);
    expect_all_delivered();
    assert_true(longest <= 1400);
}

static void without_probing_it_is_the_largest(void **state)
{
    const struct cw_link_config link = {.delay_ns = CW_MS};
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 9);
    cw_pair_init(pair, &initiator, &responder, &link, 9);
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
    assert_int_equal(bytes_of(0), 1472);
    load(100 * CW_MS);
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_MTU_PROBES), 0);
    expect_all_delivered();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_largest_is_used_after_a_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_path_carries_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_session_finds_it_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_shrinks_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_repairs_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(paths_that_change_all_the_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hints_are_believed_of_what_is_missing_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hints_about_what_was_given_up_are_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_another_lane_believed_is_obeyed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_probing_it_is_the_largest, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/mtu", tests, NULL, NULL);
}
