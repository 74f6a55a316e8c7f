/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test cases of draft-ietf-ccwg-bbr-06 appendix A, over real sessions and a simulated bottleneck; the
 * number of each is in its comment. Those that need a loss to be none are in test_rate.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "flows.h"
#include "transport/rate_bbr_internal.h"
#include "transport/session_internal.h"

#define MBIT 125000ull
#define RTT  (40 * CW_MS)

static struct cw_flows flows;
static struct cw_flow *flow;
static uint8_t wanted; /* state */

static struct cw_bbr *bbr(void)
{
    return &flow->sides[0]->paths[0].rate.bbr;
}

static const struct cw_rate_path *path(void)
{
    return &flow->sides[0]->paths[0].rate.path;
}

static uint64_t counter(uint32_t which)
{
    struct cw_session_stats stats;
    cw_session_stats(flow->sides[0], &stats);
    return stats.counters[which];
}

static bool is_in_state(struct cw_flows *all)
{
    return cw_session_is_up(flow->sides[0]) && bbr()->state == wanted;
}

static bool is_out_of_state(struct cw_flows *all)
{
    return bbr()->state != wanted;
}

static void run(uint64_t ns)
{
    cw_flows_run(&flows, flows.now_ns + ns, NULL);
}

static void run_into(uint8_t state, uint64_t limit_ns)
{
    wanted = state;
    assert_true(cw_flows_run(&flows, flows.now_ns + limit_ns, is_in_state));
}

static void run_out_of(uint8_t state, uint64_t limit_ns)
{
    wanted = state;
    assert_int_equal(bbr()->state, state);
    assert_true(cw_flows_run(&flows, flows.now_ns + limit_ns, is_out_of_state));
}

/* One flow; the buffer is that many bandwidth-delay products, in per cent. It is up when this returns. */
static void begin_limited(uint64_t rate, uint64_t rtt_ns, uint32_t buffer_percent, uint64_t app_rate)
{
    uint64_t bdp = (uint64_t)((double)rate * (double)rtt_ns / 1e9);
    cw_flows_init(&flows, rate, CW_MAX(bdp * buffer_percent / 100, 30000), 1472, 4 * bdp + 2000000);
    flow = cw_flows_add(&flows, CW_RATE_BBR, rtt_ns, CW_SECOND);
    flow->app_bytes_per_second = app_rate;
    run_into(CW_BBR_STARTUP, 10 * rtt_ns + CW_SECOND);
}

static void begin(uint64_t rate, uint64_t rtt_ns, uint32_t buffer_percent)
{
    begin_limited(rate, rtt_ns, buffer_percent, 0);
}

static double goodput(uint64_t ns)
{
    uint64_t before = flow->delivered_bytes;
    run(ns);
    return (double)(flow->delivered_bytes - before) / ((double)flows.bottleneck.rate_bytes_per_second *
                                                       (double)ns / 1e9 * cw_flows_payload_share(&flows));
}

/* A.1 */
static void startup_ends_at_the_plateau(void **state)
{
    begin(100 * MBIT, RTT, 400);
    assert_int_equal(bbr()->pacing_gain, 277);
    run_out_of(CW_BBR_STARTUP, 5 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_DRAIN);
    assert_true(bbr()->full_bw_now && bbr()->full_bw_reached);
    assert_int_equal(bbr()->full_bw_count, 3);
    assert_in_range(bbr()->max_bw, 98 * MBIT, 102 * MBIT);
    assert_int_equal(counter(CW_SESSION_LOST), 0);
    cw_flows_fini(&flows);
}

/* 5.3.1.1: the rate doubles each round trip, so a link ten thousand times the first window is found soon. */
static void startup_doubles_each_round(void **state)
{
    begin(1000 * MBIT, RTT, 300);
    run_out_of(CW_BBR_STARTUP, 30 * RTT);
    assert_true(bbr()->round_count <= 16);
    cw_flows_fini(&flows);
}

/* A.2 */
static void startup_ends_by_loss_when_app_limited(void **state)
{
    begin_limited(100 * MBIT, RTT, 400, 30 * MBIT);
    run(CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_STARTUP);
    flow->out.config.loss_per_million = 100000;
    run_out_of(CW_BBR_STARTUP, 3 * CW_SECOND); /* with so little in flight DRAIN may end with the same ack */
    assert_true(bbr()->full_bw_now && bbr()->full_bw_reached);
    cw_flows_fini(&flows);
}

/* 5.3.1.3, with data enough: a buffer too small for Startup ends it by loss, before the plateau does. */
static void startup_ends_by_loss_at_a_small_buffer(void **state)
{
    begin(100 * MBIT, RTT, 10);
    run_out_of(CW_BBR_STARTUP, 5 * CW_SECOND);
    assert_true(counter(CW_SESSION_LOST) > 0);
    assert_true(bbr()->full_bw_reached);
    assert_true(bbr()->full_bw_count < 3);
    assert_true(bbr()->inflight_longterm != CW_BBR_INFINITE);
    cw_flows_fini(&flows);
}

/* A.3 */
static void drain_empties_the_queue(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_DRAIN, 5 * CW_SECOND);
    assert_int_equal(bbr()->pacing_gain, 50);
    uint64_t queue = cw_flows_queue_bytes(&flows);
    assert_true(queue > 100000);
    run_out_of(CW_BBR_DRAIN, CW_SECOND);
    assert_true(cw_bbr_is_in_probe_bw(bbr())); /* DOWN may end with the same ack */
    assert_true(path()->in_flight <= cw_bbr_inflight(bbr(), path(), 100));
    run(RTT);
    assert_true(cw_flows_queue_bytes(&flows) < queue / 10);
    cw_flows_fini(&flows);
}

/* A.4, with a drop so deep that half the old rate does not drain it. */
static void drain_ends_by_time(void **state)
{
    begin(100 * MBIT, RTT, 4000);
    run_into(CW_BBR_DRAIN, 5 * CW_SECOND);
    flows.bottleneck.rate_bytes_per_second = 25 * MBIT;
    flow->back.config.delay_ns += 60 * CW_MS; /* the old queue's acks come when the new one stands */
    uint64_t start = bbr()->drain_start_round;
    run_out_of(CW_BBR_DRAIN, 5 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_DOWN);
    assert_int_equal(bbr()->round_count, start + 4);
    assert_true(path()->in_flight > cw_bbr_inflight(bbr(), path(), 100));
    cw_flows_fini(&flows);
}

/* A.5 and A.8 */
static void a_probe_goes_up_down_and_cruises(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    run_into(CW_BBR_PROBE_REFILL, 4 * CW_SECOND);
    assert_true(bbr()->bw_shortterm == CW_BBR_INFINITE);
    uint64_t round = bbr()->round_count;
    run_out_of(CW_BBR_PROBE_REFILL, CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_UP);
    assert_int_equal(bbr()->round_count, round + 1);
    assert_int_equal(bbr()->pacing_gain, 125);
    assert_int_equal(bbr()->cwnd_gain, 225);
    run_out_of(CW_BBR_PROBE_UP, 2 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_DOWN);
    assert_true(bbr()->full_bw_now);
    assert_int_equal(bbr()->pacing_gain, 90);
    run_out_of(CW_BBR_PROBE_DOWN, 2 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_CRUISE);
    assert_true(path()->in_flight <= cw_bbr_inflight(bbr(), path(), 100));
    assert_int_equal(counter(CW_SESSION_LOST), 0);
    cw_flows_fini(&flows);
}

/* A.6 and A.21 */
static void loss_ends_a_probe_and_lowers_inflight_longterm(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_UP, 8 * CW_SECOND);
    assert_true(bbr()->inflight_longterm == CW_BBR_INFINITE);
    flow->out.config.loss_per_million = 100000;
    run_out_of(CW_BBR_PROBE_UP, CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_DOWN);
    assert_true(bbr()->prev_probe_too_high);
    assert_true(bbr()->inflight_longterm != CW_BBR_INFINITE);
    assert_true(bbr()->inflight_longterm >= bbr()->bdp * CW_BBR_BETA / 100);
    uint64_t before = bbr()->inflight_longterm;
    flow->out.config.loss_per_million = 0;
    run_into(CW_BBR_PROBE_UP, 8 * CW_SECOND);
    flow->out.config.loss_per_million = 100000;
    run_out_of(CW_BBR_PROBE_UP, CW_SECOND);
    assert_true(bbr()->inflight_longterm <= before + before / 4);
    cw_flows_fini(&flows);
}

/* A.7, and 5.6.2: what is app-limited lowers nothing. */
static void nothing_ends_when_app_limited_without_loss(void **state)
{
    begin_limited(100 * MBIT, RTT, 400, 10 * MBIT);
    run(12 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_STARTUP);
    assert_false(bbr()->full_bw_reached);
    flow->app_bytes_per_second = 0;
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flow->app_bytes_per_second = 5 * MBIT;
    run(15 * CW_SECOND);
    assert_in_range(bbr()->max_bw, 95 * MBIT, 105 * MBIT);
    cw_flows_fini(&flows);
}

/* A.9 */
static void down_ends_by_time(void **state)
{
    begin(100 * MBIT, RTT, 4000);
    run_into(CW_BBR_PROBE_UP, 8 * CW_SECOND);
    run_into(CW_BBR_PROBE_DOWN, 2 * CW_SECOND);
    bbr()->probe_rtt_min_at_ns = flows.now_ns;          /* no probe for delay meanwhile */
    flows.bottleneck.rate_bytes_per_second = 85 * MBIT; /* less than 0.9 of what it was */
    run_out_of(CW_BBR_PROBE_DOWN, 4 * CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_REFILL);
    cw_flows_fini(&flows);
}

/* A.10. A neighbour keeps a queue standing, so that the least delay is not met by chance. */
static void the_least_delay_is_probed_for_after_five_seconds(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    cw_flows_add(&flows, CW_RATE_CUBIC, RTT, flows.now_ns);
    run_into(CW_BBR_PROBE_RTT, 12 * CW_SECOND);
    assert_int_equal(bbr()->cwnd_gain, 50);
    uint64_t entered_ns = flows.now_ns;
    run(150 * CW_MS);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_RTT);
    run_out_of(CW_BBR_PROBE_RTT, CW_SECOND);
    assert_true(flows.now_ns - entered_ns >= CW_BBR_PROBE_RTT_HOLD_NS);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_CRUISE);
    entered_ns = flows.now_ns;
    run_into(CW_BBR_PROBE_RTT, 12 * CW_SECOND);
    assert_true(flows.now_ns - entered_ns >= CW_BBR_PROBE_RTT_NS);
    cw_flows_fini(&flows);
}

/* A.11 */
static void idleness_replaces_the_probe_for_delay(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flow->is_paused = true;
    run(6 * CW_SECOND);
    assert_true(path()->in_flight < 1000);
    flow->is_paused = false;
    wanted = CW_BBR_PROBE_RTT;
    assert_false(cw_flows_run(&flows, flows.now_ns + 2 * CW_SECOND, is_in_state));
    cw_flows_fini(&flows);
}

/* A.12 and A.13 */
static void acks_in_batches_do_not_starve_it(void **state)
{
    begin(100 * MBIT, RTT, 400);
    flow->batch_ns = 20 * CW_MS;
    run_into(CW_BBR_PROBE_CRUISE, 10 * CW_SECOND);
    assert_true(bbr()->extra_acked > 20000);
    assert_true(path()->window > 2 * bbr()->bdp);
    assert_in_range(bbr()->max_bw, 90 * MBIT, 115 * MBIT);
    assert_true(goodput(5 * CW_SECOND) > 0.9);
    cw_flows_fini(&flows);
}

/* Both sides are looked after a millisecond apart, and now and then 8 to 16 apart. */
static void a_coarse_poll_does_not_slow_it(void **state)
{
    begin(100 * MBIT, RTT, 50);
    flow->poll_ns = CW_MS / 5;
    run_into(CW_BBR_PROBE_CRUISE, 10 * CW_SECOND);
    assert_true(goodput(5 * CW_SECOND) > 0.95);
    flow->poll_ns = CW_MS;
    assert_true(goodput(10 * CW_SECOND) > 0.75);
    assert_true(bbr()->max_bw > 85 * MBIT);
    cw_flows_fini(&flows);
}

/* Pauses longer than what is made up for: the sender is slower than the path, and does not take it for that.
 */
static void a_sender_that_is_not_run_keeps_its_estimate(void **state)
{
    begin(100 * MBIT, RTT, 50);
    run_into(CW_BBR_PROBE_CRUISE, 10 * CW_SECOND);
    flow->poll_ns = 10 * CW_MS;
    run(15 * CW_SECOND);
    assert_true(bbr()->max_bw > 85 * MBIT);
    flow->poll_ns = 0;
    assert_true(goodput(CW_SECOND) > 0.85);
    cw_flows_fini(&flows);
}

/* A.14 */
static void less_than_a_packet_in_flight(void **state)
{
    begin(100000, CW_MS, 100);
    run(20 * CW_SECOND);
    assert_true(bbr()->full_bw_reached);
    assert_true(bbr()->bdp <= 4 * 1472); /* the delay is that of the window's own packets */
    assert_true(path()->window >= 4 * 1472);
    assert_true(goodput(30 * CW_SECOND) > 0.8);
    cw_flows_fini(&flows);
}

/* A.15 */
static void ten_times_the_bandwidth_is_found(void **state)
{
    begin(10 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flows.bottleneck.rate_bytes_per_second = 100 * MBIT;
    run(12 * CW_SECOND);
    assert_in_range(bbr()->max_bw, 95 * MBIT, 105 * MBIT);
    cw_flows_fini(&flows);
}

/* A.16 */
static void a_tenth_of_the_bandwidth_is_noticed(void **state)
{
    begin(100 * MBIT, RTT, 100);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flows.bottleneck.rate_bytes_per_second = 10 * MBIT;
    flows.bottleneck.buffer_bytes /= 10;
    run(CW_SECOND);
    assert_true(bbr()->bw <= 50 * MBIT); /* by the short-term bounds, long before the filter forgets */
    run(15 * CW_SECOND);
    assert_in_range(bbr()->max_bw, 9 * MBIT, 13 * MBIT);
    cw_flows_fini(&flows);
}

/* A.17 */
static void a_policer_is_obeyed(void **state)
{
    begin(20 * MBIT, RTT, 100);
    flows.bottleneck.bucket_bytes = 200000;
    run(15 * CW_SECOND);
    uint64_t dropped = flows.bottleneck.dropped, passed = flows.bottleneck.passed_bytes;
    assert_true(goodput(15 * CW_SECOND) > 0.7);
    passed = (flows.bottleneck.passed_bytes - passed) / 1472;
    assert_true((flows.bottleneck.dropped - dropped) * 20 < passed);
    cw_flows_fini(&flows);
}

/* A.20 */
static void a_probe_for_delay_in_startup_returns_to_it(void **state)
{
    begin_limited(100 * MBIT, RTT, 400, 10 * MBIT);
    run(CW_SECOND);
    bbr()->probe_rtt_min_delay_ns = RTT / 2; /* as if it had been shorter, long ago */
    bbr()->probe_rtt_min_at_ns = flows.now_ns - CW_BBR_PROBE_RTT_NS;
    run_into(CW_BBR_PROBE_RTT, CW_SECOND);
    run_out_of(CW_BBR_PROBE_RTT, CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_STARTUP);
    assert_false(bbr()->full_bw_reached);
    cw_flows_fini(&flows);
}

/* A.22 */
static void a_pause_in_refill_leaves_the_estimate(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    run_into(CW_BBR_PROBE_REFILL, 5 * CW_SECOND);
    flow->app_bytes_per_second = 2 * MBIT;
    run_out_of(CW_BBR_PROBE_REFILL, CW_SECOND);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_UP);
    run(5 * CW_SECOND);
    assert_in_range(bbr()->max_bw, 95 * MBIT, 105 * MBIT);
    cw_flows_fini(&flows);
}

/* 3.7: marks are congestion; where the link marks early, nothing need be dropped. */
static void marks_keep_the_queue_short(void **state)
{
    begin(100 * MBIT, RTT, 200);
    flows.bottleneck.mark_bytes = 50000; /* a tenth */
    assert_true(goodput(15 * CW_SECOND) > 0.8);
    assert_true(flows.bottleneck.marked > 0);
    assert_int_equal(flows.bottleneck.dropped, 0);
    assert_true(bbr()->inflight_longterm != CW_BBR_INFINITE);
    cw_flows_fini(&flows);
}

/* 5.5.10.3, and where it differs from the draft: loss below the threshold is no reason, above it is one. */
static void loss_outside_of_probing_counts_above_the_threshold(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flow->out.config.loss_per_million = 5000;
    run(500 * CW_MS);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_CRUISE);
    assert_true(bbr()->bw_shortterm == CW_BBR_INFINITE);
    flow->out.config.loss_per_million = 100000;
    run(500 * CW_MS);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_CRUISE);
    assert_true(bbr()->bw_shortterm < 95 * MBIT);
    assert_true(bbr()->inflight_shortterm != CW_BBR_INFINITE);
    cw_flows_fini(&flows);
}

/* What the path loses by itself is learned while no queue stands, and no longer when one does. */
static void loss_without_a_queue_is_the_path_s(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    assert_false(cw_bbr_is_inflight_too_high(bbr(), 20, 1000));
    assert_true(cw_bbr_is_inflight_too_high(bbr(), 21, 1000));
    flow->out.config.loss_per_million = 15000;
    run(CW_SECOND);
    assert_false(cw_bbr_is_inflight_too_high(bbr(), 30, 1000));
    assert_true(bbr()->bw_shortterm == CW_BBR_INFINITE);
    flow->out.config.loss_per_million = 60000;
    run(3 * CW_SECOND);
    assert_false(cw_bbr_is_inflight_too_high(bbr(), 39, 1000));
    assert_true(cw_bbr_is_inflight_too_high(bbr(), 41, 1000)); /* never more */
    cw_flows_fini(&flows);
}

static void loss_with_a_queue_is_not(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flow->out.config.delay_ns += RTT / 4; /* as a queue of others */
    run(2 * RTT);
    flow->out.config.loss_per_million = 15000;
    run(CW_SECOND);
    assert_true(cw_bbr_is_inflight_too_high(bbr(), 21, 1000));
    cw_flows_fini(&flows);
}

static void a_standing_queue_lowers_the_rate_to_what_is_delivered(void **state)
{
    begin(100 * MBIT, RTT, 400);
    run_into(CW_BBR_PROBE_CRUISE, 5 * CW_SECOND);
    flow->out.config.delay_ns += RTT / 8;
    run(5 * RTT);
    assert_true(bbr()->bw_shortterm == CW_BBR_INFINITE);
    flow->out.config.delay_ns += RTT / 4; /* as a queue of others */
    run(5 * RTT);
    assert_int_equal(bbr()->state, CW_BBR_PROBE_CRUISE);
    assert_in_range(bbr()->bw_shortterm, 90 * MBIT, bbr()->max_bw);
    assert_true(bbr()->inflight_shortterm == CW_BBR_INFINITE);
    run_into(CW_BBR_PROBE_UP, 5 * CW_SECOND);
    assert_true(bbr()->bw_shortterm == CW_BBR_INFINITE);
    cw_flows_fini(&flows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(startup_ends_at_the_plateau),
        cmocka_unit_test(startup_doubles_each_round),
        cmocka_unit_test(startup_ends_by_loss_when_app_limited),
        cmocka_unit_test(startup_ends_by_loss_at_a_small_buffer),
        cmocka_unit_test(drain_empties_the_queue),
        cmocka_unit_test(drain_ends_by_time),
        cmocka_unit_test(a_probe_goes_up_down_and_cruises),
        cmocka_unit_test(loss_ends_a_probe_and_lowers_inflight_longterm),
        cmocka_unit_test(nothing_ends_when_app_limited_without_loss),
        cmocka_unit_test(down_ends_by_time),
        cmocka_unit_test(the_least_delay_is_probed_for_after_five_seconds),
        cmocka_unit_test(idleness_replaces_the_probe_for_delay),
        cmocka_unit_test(acks_in_batches_do_not_starve_it),
        cmocka_unit_test(a_coarse_poll_does_not_slow_it),
        cmocka_unit_test(a_sender_that_is_not_run_keeps_its_estimate),
        cmocka_unit_test(less_than_a_packet_in_flight),
        cmocka_unit_test(ten_times_the_bandwidth_is_found),
        cmocka_unit_test(a_tenth_of_the_bandwidth_is_noticed),
        cmocka_unit_test(a_policer_is_obeyed),
        cmocka_unit_test(a_probe_for_delay_in_startup_returns_to_it),
        cmocka_unit_test(a_pause_in_refill_leaves_the_estimate),
        cmocka_unit_test(marks_keep_the_queue_short),
        cmocka_unit_test(loss_outside_of_probing_counts_above_the_threshold),
        cmocka_unit_test(loss_without_a_queue_is_the_path_s),
        cmocka_unit_test(loss_with_a_queue_is_not),
        cmocka_unit_test(a_standing_queue_lowers_the_rate_to_what_is_delivered),
    };
    return cmocka_run_group_tests_name("transport/bbr", tests, NULL, NULL);
}
