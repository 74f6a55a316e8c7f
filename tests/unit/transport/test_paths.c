/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions of several paths: they come up over any, use all, and lose nothing when one fails. */
#include "paths.h"

static bool send_any(int side)
{
    static const uint32_t bodies[] = {0, 1, 512, 4096, 4097, 16384, 32768, 65536, 131072};
    return cw_pair_send(pair, side, (enum cw_stream)cw_rng_below(&pair->rng, CW_STREAM_COUNT), 96,
                        bodies[cw_rng_below(&pair->rng, CW_COUNT_OF(bodies))]);
}

static void some_traffic(uint64_t ns)
{
    for (uint64_t end_ns = pair->now_ns + ns; pair->now_ns < end_ns; run(CW_MS)) {
        (void)send_any(0);
        (void)send_any(1);
    }
}

static void all_come_up_and_carry_data(void **state)
{
    for (uint32_t count = 1; count <= CW_SESSION_PATHS_MAX; count++) {
        configure(count, count);
        begin(good_links, count);
        go_up();
        assert_int_equal(paths_up(0), count);
        assert_int_equal(paths_up(1), count);
        some_traffic(200 * CW_MS);
        expect_all_once();
        for (int side = 0; side < 2; side++)
            for (uint32_t path = 0; path < count; path++)
                assert_string_equal(stats_of(side, path).state_name, "up");
        if (count < CW_SESSION_PATHS_MAX)
            cw_pair_fini(pair);
    }
}

/* The orders of the two sides differ, and each has a path that the other has not. */
static void paths_are_matched_by_name(void **state)
{
    configure(3, 1);
    configs[0].paths[2].name_hash = 7;
    configs[1].paths[0].name_hash = 101;
    configs[1].paths[1].name_hash = 8;
    configs[1].paths[2].name_hash = 100;
    begin(good_links, 1);
    /* As the cables are: the initiator's 0 leads to the responder's 2, 1 to 0, 2 to 1. */
    static const uint32_t there[] = {2, 0, 1};
    memcpy(pair->leads_to[0], there, sizeof there);
    for (uint32_t path = 0; path < 3; path++)
        pair->leads_to[1][there[path]] = path;
    go_up();
    assert_int_equal(paths_up(0), 2);
    assert_int_equal(paths_up(1), 2);
    assert_false(stats_of(0, 2).is_at_both);
    assert_false(stats_of(1, 1).is_at_both);
    assert_true(stats_of(1, 2).is_at_both);
    some_traffic(100 * CW_MS);
    expect_all_once();
}

static void sides_without_a_common_path_do_not_meet(void **state)
{
    configure(2, 1);
    configs[1].paths[0].name_hash = 1;
    configs[1].paths[1].name_hash = 2;
    begin(good_links, 1);
    run(5 * CW_SECOND);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_HANDSHAKE) > 3);
}

static void a_start_needs_one_path_whichever(void **state)
{
    for (uint32_t alive = 0; alive < 3; alive++) {
        configure(3, alive);
        begin(good_links, alive);
        for (uint32_t path = 0; path < 3; path++)
            cut(path, path != alive);
        go_up();
        assert_int_equal(paths_up(0), 1);
        assert_true(pair->sides[0].is_path_up[alive]);
        some_traffic(50 * CW_MS);
        expect_all_once();
        for (uint32_t path = 0; path < 3; path++)
            cut(path, false);
        run(2 * CW_SECOND);
        assert_int_equal(paths_up(0), 3);
        assert_int_equal(paths_up(1), 3);
        if (alive < 2)
            cw_pair_fini(pair);
    }
}

static void one_falls_and_returns(void **state)
{
    for (uint32_t path = 0; path < 2; path++) {
        configure(2, 5);
        begin(good_links, 5);
        go_up();
        some_traffic(100 * CW_MS);
        cut(path, true);
        some_traffic(100 * CW_MS);
        assert_int_equal(paths_up(0), 1);
        assert_int_equal(paths_up(1), 1);
        assert_false(pair->sides[0].is_path_up[path]);
        assert_string_equal(stats_of(0, path).state_name, "down");
        cut(path, false);
        run(2 * CW_SECOND);
        assert_int_equal(paths_up(0), 2);
        assert_int_equal(paths_up(1), 2);
        some_traffic(100 * CW_MS);
        expect_all_once();
        assert_int_equal(stats_of(0, path).counters[CW_SESSION_PATH_DOWNS], 1);
        assert_int_equal(stats_of(0, !path).counters[CW_SESSION_PATH_DOWNS], 0);
        if (path == 0)
            cw_pair_fini(pair);
    }
}

static uint32_t victim;

static bool victim_is_down(struct cw_pair *of)
{
    return !of->sides[0].is_path_up[victim];
}

/* Of failover: the third probe time-out after the last ack brings a path down, not the second or the fourth,
 * whatever else is sent or whether anything is. Every 2 ms in the loads. */
static void a_path_falls_at_the_third_time_out(void **state)
{
    static const uint32_t loads[] = {0, 1, 20};
    for (uint32_t i = 0; i < 3 * CW_COUNT_OF(loads); i++) {
        uint32_t count = 2 + i % 2;
        victim = i % count;
        configure(count, 40 + i);
        begin(good_links, 40 + i);
        go_up();
        some_traffic(100 * CW_MS);
        const struct cw_path *path = &pair->sides[0].session->paths[victim];
        cut(victim, true);
        while (path->inflight.outstanding_count == 0) { /* from now on it waits for an ack */
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 131072));
            run(CW_MS / 4);
        }
        uint64_t rtt_ns = path->loss.rtt_ns_smoothed, probe_ns = cw_loss_probe_wait_ns(&path->loss);
        uint64_t cut_ns = pair->now_ns, end_ns = cut_ns + 5 * CW_SECOND;
        while (!victim_is_down(pair) && pair->now_ns < end_ns) {
            for (uint32_t j = 0; j < loads[i % CW_COUNT_OF(loads)]; j++)
                (void)cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096);
            (void)cw_pair_run(pair, pair->now_ns + 2 * CW_MS, victim_is_down);
        }
        uint64_t took_ns = pair->now_ns - cut_ns;
        print_message("  path %u of %u falls after %.1f ms, %.2f time-outs\n", victim, count,
                      (double)took_ns / 1e6, (double)took_ns / (double)probe_ns);
        assert_true(took_ns > 2 * probe_ns + rtt_ns);
        assert_true(took_ns <= 3 * probe_ns + rtt_ns);
        assert_int_equal(path->down_why, CW_PATH_DOWN_PROBES);
        expect_all_once();
        if (i + 1 < 3 * CW_COUNT_OF(loads))
            cw_pair_fini(pair);
    }
}

/* An idle session too finds out which of its paths are alive. */
static void an_idle_path_falls_and_returns(void **state)
{
    configure(2, 6);
    begin(good_links, 6);
    go_up();
    cut(1, true);
    run(3 * CW_SECOND);
    assert_int_equal(paths_up(0), 1);
    assert_int_equal(paths_up(1), 1);
    cut(1, false);
    run(3 * CW_SECOND);
    assert_int_equal(paths_up(0), 2);
    assert_int_equal(paths_up(1), 2);
    run(60 * CW_SECOND);
    assert_int_equal(pair->sides[0].path_downs[0] + pair->sides[1].path_downs[0], 0);
    assert_int_equal(pair->sides[0].path_downs[1], 1);
}

/* A peer that does nothing for a while is no reason to take paths down. */
static void a_peer_that_sleeps_brings_no_path_down(void **state)
{
    configure(2, 7);
    begin(good_links, 7);
    go_up();
    for (int round = 0; round < 20; round++) {
        some_traffic(20 * CW_MS);
        pair->sides[1].is_asleep = true;
        for (int i = 0; i < 100; i++, run(CW_MS))
            (void)send_any(0);
        pair->sides[1].is_asleep = false;
        run(10 * CW_MS);
    }
    expect_all_once();
    for (int side = 0; side < 2; side++)
        assert_int_equal(pair->sides[side].path_downs[0] + pair->sides[side].path_downs[1], 0);
}

static void all_silent_is_the_session_s_end_as_ever(void **state)
{
    configure(2, 8);
    begin(good_links, 8);
    go_up();
    some_traffic(50 * CW_MS);
    cut(0, true);
    cut(1, true);
    run(CW_SECOND);
    assert_true(cw_pair_is_up(pair));
    assert_true(paths_up(0) >= 1);
    run(3 * CW_SECOND);
    assert_int_equal(pair->sides[0].downs, 1);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_IDLE);
    assert_int_equal(paths_up(0), 0);
    cut(1, false); /* and over another one than the last */
    assert_true(cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, cw_pair_is_up));
}

/* Only what the initiator sends on path 1 is lost: the path still serves the other direction. */
static void half_a_path_serves_its_direction(void **state)
{
    configure(2, 9);
    begin(good_links, 9);
    go_up();
    pair->sides[0].out[1].config.loss_per_million = 1000000;
    some_traffic(500 * CW_MS);
    assert_false(pair->sides[0].is_path_up[1]);
    assert_true(pair->sides[1].is_path_up[1]);
    assert_int_equal(pair->sides[1].path_downs[0], 0);
    expect_all_once();
}

static void keys_are_replaced_on_each_path(void **state)
{
    configure(2, 10);
    begin(good_links, 10);
    for (int side = 0; side < 2; side++)
        pair->sides[side].session->rotate_blocks = 2500; /* 40 KB */
    go_up();
    some_traffic(300 * CW_MS);
    expect_all_once();
    for (uint32_t path = 0; path < 2; path++) {
        assert_true(stats_of(0, path).counters[CW_SESSION_KEYS_ROTATED] > 3);
        assert_true(stats_of(1, path).counters[CW_SESSION_KEYS_FOLLOWED] > 3);
    }
}

static void everything_arrives_over_paths_that_fail_in_all_ways(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct cw_link_config links[CW_SESSION_PATHS_MAX];
        struct cw_rng rng = {seed};
        uint32_t count = 2 + (uint32_t)cw_rng_below(&rng, 3);
        for (uint32_t path = 0; path < count; path++)
            cw_pair_adversary(&configs[0], &configs[1], &links[path], &rng, seed);
        configure(count, seed);
        for (int i = 0; i < 2; i++)
            for (uint32_t path = 0; path < count; path++) {
                struct cw_session_path_config *c = &configs[i].paths[path];
                c->rate_kind = (enum cw_rate_kind)cw_rng_below(&rng, CW_RATE_KIND_COUNT);
                c->datagram_bytes_max = 600 + (uint32_t)cw_rng_below(&rng, 8000);
                c->packets_in_flight_max = 16u << cw_rng_below(&rng, 6);
                c->is_mtu_probed = cw_rng_below(&rng, 2);
                if (cw_rng_below(&rng, 2))
                    c->fec = (struct cw_fec_config){CW_FEC_FIXED, 8, 2, 2};
                configs[i].idle_timeout_ns = 30 * CW_SECOND;
                configs[i].is_latency_duplicated = seed % 2;
            }
        begin(links, seed);
        for (uint32_t round = 0; round < 8; round++) {
            uint32_t dead = (uint32_t)cw_rng_below(&rng, count);
            uint32_t loss = links[dead].loss_per_million;
            cut(dead, true);
            some_traffic(cw_rng_below(&rng, 100) * CW_MS);
            for (int i = 0; i < 2; i++)
                pair->sides[i].out[dead].config.loss_per_million = loss;
            some_traffic(cw_rng_below(&rng, 100) * CW_MS);
        }
        assert_true(cw_pair_run(pair, pair->now_ns + 300 * CW_SECOND, cw_pair_is_finished));
        expect_all_once();
        if (seed < 60)
            cw_pair_fini(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(all_come_up_and_carry_data),
        STORY(paths_are_matched_by_name),
        STORY(sides_without_a_common_path_do_not_meet),
        STORY(a_start_needs_one_path_whichever),
        STORY(one_falls_and_returns),
        STORY(a_path_falls_at_the_third_time_out),
        STORY(an_idle_path_falls_and_returns),
        STORY(a_peer_that_sleeps_brings_no_path_down),
        STORY(all_silent_is_the_session_s_end_as_ever),
        STORY(half_a_path_serves_its_direction),
        STORY(keys_are_replaced_on_each_path),
        STORY(everything_arrives_over_paths_that_fail_in_all_ways),
    };
    return cmocka_run_group_tests_name("transport/paths", tests, NULL, NULL);
}
