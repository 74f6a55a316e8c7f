/* SPDX-License-Identifier: BSD-3-Clause */
/* What a primary says of a replica's lag: never less than the truth, and markers are no client's writes. */
#include "base/rng.h"
#include "story.h"

static struct pair p;

static struct cw_peer_status lag_of(uint8_t site, uint8_t peer)
{
    struct cw_group_status status;
    cw_group_status(p.sites[site].group, p.now_ns, &status);
    return status.peers[peer];
}

static bool has_everything(struct pair *pair)
{
    return pair_peer(pair, A, B)->acked.durable >= pair->sites[A].group->head;
}

static void test_nothing_written_nothing_lacked(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    assert_true(pair_until(&p, has_everything));
    pair_link(&p, A, B, false);
    pair_run(&p, 5 * CW_SECOND);
    assert_true(lag_of(A, B).is_lag_known);
    assert_int_equal(lag_of(A, B).lag_ns, 0);
    assert_int_equal(lag_of(A, B).lag_bytes, 0);
    pair_fini(&p);
}

/* The oldest write counts, not the link's end, nor the last write. */
static void test_age_of_the_oldest_write(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    assert_true(pair_until(&p, has_everything));
    pair_link(&p, A, B, false);
    pair_run(&p, 3 * CW_SECOND);
    uint64_t since_ns = p.now_ns;
    pair_write(&p, A, 1, 7, false);
    pair_run(&p, 2 * CW_SECOND);
    pair_write(&p, A, 2, 8, false);
    assert_true(pair_until(&p, all_done));
    assert_int_equal(lag_of(A, B).lag_ns, p.now_ns - since_ns);
    assert_int_equal(lag_of(A, B).lag_bytes, 2 * PAIR_BLOCK);
    pair_fini(&p);
}

/* The other one is dead since before the opening: no number is the truth, and the marker is no write. */
static void test_after_a_promotion(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, false));
    pair_run(&p, 10 * CW_SECOND);
    assert_false(lag_of(B, A).is_lag_known);
    assert_int_equal(lag_of(B, A).lag_ns, 0);
    assert_int_equal(lag_of(B, A).lag_bytes, 0);
    uint64_t since_ns = p.now_ns;
    pair_write(&p, B, 1, 7, false);
    pair_run(&p, 10 * CW_SECOND);
    assert_false(lag_of(B, A).is_lag_known);
    assert_int_equal(lag_of(B, A).lag_ns, p.now_ns - since_ns);
    assert_int_equal(lag_of(B, A).lag_bytes, PAIR_BLOCK);
    pair_start(&p, A);
    assert_true(pair_until(&p, pair_is_level));
    pair_run(&p, CW_SECOND);
    assert_true(lag_of(B, A).is_lag_known);
    assert_int_equal(lag_of(B, A).lag_ns, 0);
    pair_fini(&p);
}

/* What lags behind is long gone from memory, and the replica moves all the time. */
static void test_age_of_what_left_memory(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    assert_true(pair_until(&p, has_everything));
    pair_link(&p, A, B, false);
    uint64_t first_ns = p.now_ns;
    for (uint32_t i = 0; i < 2 * PAIR_LOG_ENTRIES / 16; i++) {
        write_some(&p, A, 16, (uint8_t)i);
        pair_run(&p, 500 * CW_MS);
    }
    assert_false(cw_log_has(p.sites[A].group, pair_peer(&p, A, B)->acked.durable + 1));
    assert_in_range(lag_of(A, B).lag_ns, p.now_ns - first_ns, p.now_ns - first_ns + CW_AGES_INTERVAL_NS);
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true; /* it takes everything, and makes nothing durable */
    pair_link(&p, A, B, true);
    pair_run(&p, 5 * CW_SECOND);
    assert_true(lag_of(A, B).is_lag_known);
    assert_true(lag_of(A, B).lag_ns >= p.now_ns - first_ns);
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = false;
    assert_true(pair_until(&p, has_everything));
    assert_int_equal(lag_of(A, B).lag_ns, 0);
    pair_fini(&p);
}

/* Against the plain truth: every write's time kept. */
static void test_ages_are_never_too_young(void **state)
{
    enum { WRITES = 200000 };
    static uint64_t times[WRITES + 1];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cw_rng rng = {seed};
        struct cw_ages ages;
        uint64_t now = 1000 * CW_SECOND, begun = now;
        cw_ages_begin(&ages, 0, now);
        for (uint64_t s = 1; s <= WRITES; s++) {
            bool is_long = cw_rng_below(&rng, 5000) == 0;
            now += is_long ? cw_rng_below(&rng, 600 * CW_SECOND) : cw_rng_below(&rng, 20 * CW_MS);
            cw_ages_note(&ages, s - 1, now);
            times[s] = now;
        }
        for (uint64_t s = 1; s <= WRITES; s++) {
            uint64_t since = cw_ages_since(&ages, s), age = now - times[s], said = now - since;
            assert_true(since >= begun && since <= times[s]);
            assert_true(said <= age + age / 2 + 2 * CW_AGES_INTERVAL_NS || since == begun);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_written_nothing_lacked),
        cmocka_unit_test(test_age_of_the_oldest_write),
        cmocka_unit_test(test_after_a_promotion),
        cmocka_unit_test(test_age_of_what_left_memory),
        cmocka_unit_test(test_ages_are_never_too_young),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
