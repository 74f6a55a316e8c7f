/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The circuit breaker and the delay guard of `fixed`, in virtual time: what brings them in, how long they
 * stay, and what must not bring them in. First the module by itself, an interval a line; then sessions over
 * links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "flows.h"
#include "transport/rate_fixed.h"
#include "transport/session_internal.h"

#define RATE 12500000ull /* 100 Mb/s */

static const struct cw_fixed_config guards = {.loss_percent = 20, .delay_ns = 50 * CW_MS};

/* ---- the module -------------------------------------------------------------------------------------- */

static struct cw_fixed fixed;
static uint64_t now_ns;

static void begin(uint64_t rate)
{
    now_ns = 5 * CW_SECOND;
    cw_fixed_init(&fixed, &guards, rate);
    cw_fixed_start(&fixed, now_ns);
}

/* An interval of a bit more than a second, in which a thousand packets come to their end. */
static enum cw_fixed_state interval(uint32_t lost, uint64_t rtt_ns)
{
    for (uint32_t i = 0; i < 1000; i++) {
        if (i < lost)
            cw_fixed_on_lost(&fixed);
        else
            cw_fixed_on_acked(&fixed, 10000, false);
    }
    cw_fixed_on_round_trip(&fixed, rtt_ns);
    now_ns += CW_FIXED_INTERVAL_NS;
    cw_fixed_on_ack(&fixed, rtt_ns, now_ns);
    return (enum cw_fixed_state)fixed.state;
}

static enum cw_fixed_state intervals(uint32_t count, uint32_t lost, uint64_t rtt_ns)
{
    enum cw_fixed_state state = (enum cw_fixed_state)fixed.state;
    for (uint32_t i = 0; i < count; i++)
        state = interval(lost, rtt_ns);
    return state;
}

static void loss_trips_when_it_lasts(void **state)
{
    begin(RATE);
    assert_int_equal(intervals(50, 200, 80 * CW_MS), CW_FIXED_FREE); /* as much as may be */
    assert_int_equal(intervals(4, 201, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE); /* in a row */
    assert_int_equal(intervals(4, 900, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(interval(400, 80 * CW_MS), CW_FIXED_TRIPPED);
    assert_int_equal(fixed.amount, 40);
    assert_int_equal(fixed.rate, RATE / 100);
    assert_int_equal(cw_fixed_retry_ns(&fixed), now_ns + CW_FIXED_HOLD_NS_MIN);
    assert_string_equal(cw_fixed_state_name(fixed.state), "tripped");
}

/* Without a rate, what arrived is what is known of the circuit: 600 packets of 10000 bytes a second. */
static void without_a_rate_what_arrived_counts(void **state)
{
    begin(0);
    assert_int_equal(intervals(5, 400, CW_MS), CW_FIXED_TRIPPED);
    assert_int_equal(fixed.rate, 6000000 / CW_FIXED_ARRIVED_SHARE);
    begin(20000);
    assert_int_equal(intervals(5, 400, CW_MS), CW_FIXED_TRIPPED);
    assert_int_equal(fixed.rate, CW_FIXED_RATE_MIN);
}

static void holds_double_and_are_forgiven(void **state)
{
    begin(RATE);
    uint64_t hold_ns = CW_FIXED_HOLD_NS_MIN;
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(intervals(5, 900, CW_MS), CW_FIXED_TRIPPED);
        assert_int_equal(cw_fixed_retry_ns(&fixed) - now_ns, hold_ns);
        assert_int_equal(intervals((uint32_t)(hold_ns / CW_SECOND) - 1, 900, CW_MS), CW_FIXED_TRIPPED);
        assert_int_equal(interval(900, CW_MS), CW_FIXED_FREE); /* again, though nothing got better */
        hold_ns = CW_MIN(2 * hold_ns, CW_FIXED_HOLD_NS_MAX);
    }
    assert_int_equal(intervals(130, 0, CW_MS), CW_FIXED_FREE); /* two minutes at the full rate */
    assert_int_equal(intervals(5, 900, CW_MS), CW_FIXED_TRIPPED);
    assert_int_equal(fixed.hold_ns, CW_FIXED_HOLD_NS_MAX / 2);
}

static void an_interval_takes_time_and_packets(void **state)
{
    begin(RATE);
    for (uint32_t i = 0; i < 60 * CW_FIXED_PACKETS_MIN;
         i++) { /* 20 a second: none ends before five are over */
        now_ns += 50 * CW_MS;
        if (i % 2)
            cw_fixed_on_lost(&fixed);
        else
            cw_fixed_on_acked(&fixed, 1000, false);
        cw_fixed_on_ack(&fixed, 10 * CW_MS, now_ns);
        assert_int_equal(cw_fixed_is_held(&fixed),
                         i >= 5 * CW_FIXED_PACKETS_MIN - 1 && i < 5 * CW_FIXED_PACKETS_MIN + 199);
        if (i == 5 * CW_FIXED_PACKETS_MIN + 199)
            return;
    }
    fail();
}

static void an_interval_is_longer_than_round_trips(void **state)
{
    begin(RATE);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(intervals(5, 900, 2 * CW_SECOND), CW_FIXED_FREE); /* 20 s are two and a half */
    assert_int_equal(intervals(20, 900, 2 * CW_SECOND), CW_FIXED_TRIPPED);
}

static void a_path_on_which_nothing_arrives_is_not_judged(void **state)
{
    begin(RATE);
    assert_int_equal(intervals(100, 1000, CW_MS), CW_FIXED_FREE);
    assert_int_equal(interval(0, CW_MS), CW_FIXED_FREE); /* the end of one interval: the first with loss */
    assert_int_equal(fixed.lossy_rounds, 1);
}

static void what_was_late_only_is_not_lost(void **state)
{
    begin(RATE);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 900; i++)
            cw_fixed_on_lost(&fixed);
        for (uint32_t i = 0; i < 900; i++)
            cw_fixed_on_acked(&fixed, 1000, true);
        assert_int_equal(interval(0, CW_MS), CW_FIXED_FREE);
    }
}

static void a_hold_outlives_the_session(void **state)
{
    begin(RATE);
    assert_int_equal(intervals(5, 900, CW_MS), CW_FIXED_TRIPPED);
    cw_fixed_start(&fixed, now_ns);
    assert_int_equal(fixed.state, CW_FIXED_TRIPPED);
    assert_int_equal(intervals(9, 0, CW_MS), CW_FIXED_TRIPPED);
    assert_int_equal(interval(0, CW_MS), CW_FIXED_FREE);
}

static void a_queue_that_stands_makes_it_yield(void **state)
{
    begin(RATE);
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(50, 0, 130 * CW_MS), CW_FIXED_FREE); /* as much as may be */
    assert_int_equal(intervals(4, 0, 131 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(5, 0, 150 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(fixed.amount, 70);
    assert_int_equal(fixed.rate, 7500000); /* of 1000 packets of 10000 bytes a second */
    assert_int_equal(intervals(9, 0, 80 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
}

/* It gets shorter, but not short enough: another cut, from what arrives now. */
static void a_queue_that_gets_shorter_is_ours(void **state)
{
    begin(RATE);
    assert_int_equal(interval(0, 20 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(5, 0, 220 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(intervals(4, 0, 180 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(interval(200, 100 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(fixed.rate, 6000000);
    assert_int_equal(intervals(4, 0, 75 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(interval(0, 60 * CW_MS), CW_FIXED_YIELDING); /* the hold is over, but it stood */
    assert_int_equal(interval(0, 60 * CW_MS), CW_FIXED_FREE);
}

static void a_longer_route_is_no_queue(void **state)
{
    begin(RATE);
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(5, 0, 180 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(intervals(4, 0, 180 * CW_MS), CW_FIXED_YIELDING);
    assert_int_equal(interval(0, 180 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(100, 0, 200 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(5, 0, 240 * CW_MS), CW_FIXED_YIELDING); /* above the new one it counts again */
}

static void what_little_is_sent_makes_no_queue(void **state)
{
    begin(8 * RATE); /* a tenth of it arrives */
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(50, 0, 300 * CW_MS), CW_FIXED_FREE);
}

static void each_has_its_switch(void **state)
{
    begin(RATE);
    fixed.config = (struct cw_fixed_config){0};
    assert_int_equal(interval(0, 80 * CW_MS), CW_FIXED_FREE);
    assert_int_equal(intervals(50, 900, 800 * CW_MS), CW_FIXED_FREE);
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

static struct cw_flows flows;

static struct cw_flow *one_flow(uint64_t circuit, uint64_t buffer_bytes)
{
    cw_flows_init(&flows, circuit, buffer_bytes, 1472, 4000000);
    flows.guard = guards;
    flows.shaper_bytes_per_second = RATE;
    return cw_flows_add(&flows, CW_RATE_FIXED, 40 * CW_MS, CW_SECOND);
}

static struct cw_session_path_stats stats_of(const struct cw_flow *flow)
{
    struct cw_session_path_stats stats;
    cw_session_path_stats(flow->sides[0], 0, &stats);
    return stats;
}

static uint8_t held_after(uint64_t ns)
{
    cw_flows_run(&flows, flows.now_ns + ns, NULL);
    return stats_of(&flows.flow[0]).held;
}

/* The most that a second brought through the bottleneck, of so many. */
static uint64_t most_of(uint32_t seconds)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < seconds; i++) {
        uint64_t before = flows.bottleneck.passed_bytes;
        cw_flows_run(&flows, flows.now_ns + CW_SECOND, NULL);
        most = CW_MAX(most, flows.bottleneck.passed_bytes - before);
    }
    return most;
}

/* Which CW_SESSION_PATH_HELD the flow told, as flows.c keeps them. */
static void told(const struct cw_flow *flow, const char *story)
{
    assert_string_equal(flow->held_told, story);
}

static void a_circuit_of_half_the_rate_trips_it(void **state)
{
    struct cw_flow *flow = one_flow(RATE / 2, 100000); /* 16 ms of queue: no delay to speak of */
    assert_int_equal(held_after(4 * CW_SECOND), CW_FIXED_FREE);
    assert_int_equal(held_after(4 * CW_SECOND), CW_FIXED_TRIPPED);
    struct cw_session_path_stats stats = stats_of(flow);
    assert_string_equal(stats.rate_state, "tripped");
    assert_true(stats.held_amount > 40 && stats.held_amount < 60);
    assert_int_equal(stats.pacing_bytes_per_second, RATE / 100);
    assert_true(most_of(6) <= RATE / 90);
    assert_int_equal(held_after(4 * CW_SECOND), CW_FIXED_FREE);
    told(flow, "TF");
    flows.bottleneck.rate_bytes_per_second = RATE; /* somebody looked after it */
    assert_true(held_after(60 * CW_SECOND) == CW_FIXED_FREE);
    told(flow, "TF");
    cw_flows_fini(&flows);
}

/* With a deep buffer the delay is seen before the loss gets too much. */
static void a_deep_buffer_makes_it_yield(void **state)
{
    struct cw_flow *flow = one_flow(RATE - RATE / 10, 2000000);
    assert_int_equal(held_after(8 * CW_SECOND), CW_FIXED_YIELDING);
    cw_flows_run(&flows, flows.now_ns + 3 * CW_SECOND, NULL);
    assert_true(cw_flows_queue_bytes(&flows) < 20000);
    uint64_t most = most_of(2);
    assert_true(most < RATE / 10 * 7 && most > RATE / 10 * 6);
    told(flow, "Y");
    assert_int_equal(held_after(5 * CW_SECOND), CW_FIXED_FREE);
    cw_flows_fini(&flows);
}

/* What FEC is for, and what comes and goes. */
static void what_fec_is_for_does_not_trip_it(void **state)
{
    struct cw_flow *flow = one_flow(RATE, 1000000);
    flow->out.config.loss_per_million = 50000;
    assert_int_equal(held_after(60 * CW_SECOND), CW_FIXED_FREE);
    for (uint32_t i = 0; i < 8; i++) { /* 30 % for two seconds of ten */
        flow->out.config.loss_per_million = 300000;
        assert_int_equal(held_after(2 * CW_SECOND), CW_FIXED_FREE);
        flow->out.config.loss_per_million = 0;
        assert_int_equal(held_after(8 * CW_SECOND), CW_FIXED_FREE);
    }
    told(flow, "");
    flow->out.config.loss_per_million = 300000; /* and that it is not blind */
    assert_int_equal(held_after(8 * CW_SECOND), CW_FIXED_TRIPPED);
    cw_flows_fini(&flows);
}

static void a_dead_path_does_not_trip_it(void **state)
{
    struct cw_flow *flow = one_flow(RATE, 1000000);
    assert_int_equal(held_after(3 * CW_SECOND), CW_FIXED_FREE);
    flow->out.config.loss_per_million = 1000000;
    assert_int_equal(held_after(20 * CW_SECOND), CW_FIXED_FREE);
    flow->out.config.loss_per_million = 0;
    assert_int_equal(held_after(10 * CW_SECOND), CW_FIXED_FREE);
    flow->out.config.hole_period_ns = 5 * CW_SECOND;
    flow->out.config.hole_ns = 2 * CW_SECOND;
    assert_int_equal(held_after(40 * CW_SECOND), CW_FIXED_FREE);
    told(flow, "");
    cw_flows_fini(&flows);
}

/* Out of its way, others have the circuit. */
static void others_get_what_it_leaves(void **state)
{
    one_flow(RATE / 2, 200000);
    struct cw_flow *other = cw_flows_add(&flows, CW_RATE_CUBIC, 40 * CW_MS, 2 * CW_SECOND);
    assert_int_equal(held_after(8 * CW_SECOND), CW_FIXED_TRIPPED);
    cw_flows_run(&flows, flows.now_ns + 2 * CW_SECOND, NULL);
    uint64_t before = other->delivered_bytes;
    cw_flows_run(&flows, flows.now_ns + 4 * CW_SECOND, NULL);
    assert_true(other->delivered_bytes - before > RATE / 2 * 4 / 10 * 8);
    cw_flows_fini(&flows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_trips_when_it_lasts),
        cmocka_unit_test(without_a_rate_what_arrived_counts),
        cmocka_unit_test(holds_double_and_are_forgiven),
        cmocka_unit_test(an_interval_takes_time_and_packets),
        cmocka_unit_test(an_interval_is_longer_than_round_trips),
        cmocka_unit_test(a_path_on_which_nothing_arrives_is_not_judged),
        cmocka_unit_test(what_was_late_only_is_not_lost),
        cmocka_unit_test(a_hold_outlives_the_session),
        cmocka_unit_test(a_queue_that_stands_makes_it_yield),
        cmocka_unit_test(a_queue_that_gets_shorter_is_ours),
        cmocka_unit_test(a_longer_route_is_no_queue),
        cmocka_unit_test(what_little_is_sent_makes_no_queue),
        cmocka_unit_test(each_has_its_switch),
        cmocka_unit_test(a_circuit_of_half_the_rate_trips_it),
        cmocka_unit_test(a_deep_buffer_makes_it_yield),
        cmocka_unit_test(what_fec_is_for_does_not_trip_it),
        cmocka_unit_test(a_dead_path_does_not_trip_it),
        cmocka_unit_test(others_get_what_it_leaves),
    };
    return cmocka_run_group_tests_name("transport/fixed", tests, NULL, NULL);
}
