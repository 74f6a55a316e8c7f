/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate control by single packets: the delivery-rate sample, episodes of loss and their undoing, and CUBIC
 * against the formulas of RFC 9438 and RFC 9406.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "transport/rate.h"

#define PACKET 1000u
#define RTT    (100 * CW_MS)

static struct cw_rate rate;
static uint8_t memory[1 << 20] __attribute__((aligned(4096)));
static uint64_t now_ns, next;

static void begin_with(enum cw_rate_kind kind, uint32_t bursts)
{
    struct cw_arena arena;
    cw_arena_init(&arena, memory, sizeof memory);
    cw_rate_init(&rate, &arena, &(struct cw_rate_config){.kind = kind, .bursts = bursts, .seed = 1});
    now_ns = CW_SECOND;
    next = 1;
    cw_rate_start(&rate, PACKET, now_ns);
}

static void begin(enum cw_rate_kind kind)
{
    begin_with(kind, 8192);
}

static uint64_t send(void)
{
    cw_rate_on_sent(&rate, next, PACKET, now_ns);
    return next++;
}

/* Acknowledges first..last at once. */
static void ack(uint64_t first, uint64_t last)
{
    cw_rate_ack_begin(&rate, now_ns);
    for (uint64_t n = first; n <= last; n++)
        cw_rate_on_acked(&rate, n, PACKET, CW_RATE_WAS_OUT, now_ns);
    cw_rate_ack_end(&rate, RTT, now_ns);
}

static void lose(uint64_t number)
{
    cw_rate_ack_begin(&rate, now_ns);
    cw_rate_on_lost(&rate, number, PACKET, now_ns);
}

static void ack_late(uint64_t number)
{
    cw_rate_ack_begin(&rate, now_ns);
    cw_rate_on_acked(&rate, number, PACKET, CW_RATE_WAS_LOST, now_ns);
    cw_rate_ack_end(&rate, RTT, now_ns);
}

/* ---- samples, section 4.1 of the BBR draft ------------------------------------------------------------- */

static void the_sample_is_what_was_delivered_in_the_time(void **state)
{
    begin(CW_RATE_BBR);
    for (int i = 0; i < 10; i++, now_ns += CW_MS)
        send();
    now_ns = CW_SECOND + RTT;
    for (uint64_t i = 1; i <= 10; i++, now_ns += 2 * CW_MS)
        ack(i, i);
    /* ten packets between the sending of the first, 1 s, and the last ack, 1.118 s */
    const struct cw_rate_sample *sample = &rate.path.sample;
    assert_int_equal(sample->delivered, 10 * PACKET);
    assert_int_equal(sample->delivery_rate, 10 * PACKET * CW_SECOND / (118 * CW_MS));
    assert_int_equal(sample->rtt_ns, 109 * CW_MS);
    assert_int_equal(rate.path.in_flight, 0);
}

/* Acks that come compressed do not show a rate above the one it was sent at. */
static void compressed_acks_are_capped_by_the_rate_of_sending(void **state)
{
    begin(CW_RATE_BBR);
    for (int i = 0; i < 4; i++)
        send();
    now_ns += RTT;
    ack(1, 4);
    uint64_t first = next;
    for (int i = 0; i < 200; i++, now_ns += CW_MS) /* a packet a millisecond, for two round trips */
        send();
    ack(first, first + 99);
    now_ns += CW_US;
    ack(first + 100, first + 199);
    assert_in_range(rate.path.sample.delivery_rate, PACKET * 500, PACKET * 1100);
}

static void what_the_sender_did_not_use_is_app_limited(void **state)
{
    begin(CW_RATE_BBR);
    send();
    cw_rate_on_app_limited(&rate);
    now_ns += RTT;
    ack(1, 1);
    assert_false(rate.path.sample.is_app_limited); /* it was sent before */
    send();
    now_ns += RTT;
    ack(2, 2);
    assert_true(rate.path.sample.is_app_limited);
    send();
    now_ns += RTT;
    ack(3, 3);
    assert_false(rate.path.sample.is_app_limited); /* the bubble is out of the path */
}

/* ---- bursts -------------------------------------------------------------------------------------------- */

static void each_packet_of_a_burst_has_its_own_in_flight(void **state)
{
    begin(CW_RATE_BBR);
    for (int i = 0; i < 10; i++)
        send();
    assert_int_equal(rate.path.next_burst, 1);
    now_ns += RTT;
    for (uint64_t i = 1; i <= 10; i++) {
        ack(i, i);
        assert_int_equal(rate.path.sample.tx_in_flight, i * PACKET);
    }
}

/* At the same time, but not of the same state. */
static void an_ack_between_two_packets_parts_them(void **state)
{
    begin(CW_RATE_BBR);
    for (int i = 0; i < 4; i++)
        send();
    now_ns += RTT;
    for (uint64_t i = 1; i <= 2; i++) {
        cw_rate_ack_begin(&rate, now_ns);
        cw_rate_on_acked(&rate, i, PACKET, CW_RATE_WAS_OUT, now_ns);
        send();
    }
    assert_int_equal(rate.path.next_burst, 3);
    now_ns += RTT;
    ack(5, 5);
    assert_int_equal(rate.path.sample.prior_delivered, PACKET);
    ack(6, 6);
    assert_int_equal(rate.path.sample.prior_delivered, 2 * PACKET);
}

/* Packets that leave one by one: the ring reaches back over two round trips, and all is only a little off.
 */
static void many_bursts_become_few(void **state)
{
    uint64_t rtt_ns = 40 * CW_MS;
    begin_with(CW_RATE_CUBIC, 256);
    for (uint64_t round = 0; round < 20000; round++, now_ns += 20 * CW_US) {
        send();
        if (next <= 2000)
            continue;
        cw_rate_ack_begin(&rate, now_ns);
        cw_rate_on_acked(&rate, next - 2000, PACKET, CW_RATE_WAS_OUT, now_ns);
        cw_rate_ack_end(&rate, rtt_ns, now_ns);
        if (round < 6000) /* before it knows the round trip, the ring is soon full */
            continue;
        const struct cw_rate_sample *sample = &rate.path.sample;
        assert_true(sample->has_data);
        assert_in_range(sample->rtt_ns, 1999 * 20 * CW_US, 1999 * 20 * CW_US + rtt_ns / 64);
        assert_in_range(sample->tx_in_flight, 1999 * PACKET, 2000 * PACKET);
        assert_in_range(sample->delivery_rate, 50000 * PACKET * 99ull / 100, 50000 * PACKET * 101ull / 100);
    }
}

/* As in one burst of seconds on a path of 100 Gb/s. */
static void more_than_a_burst_can_grow_parts_it(void **state)
{
    const uint32_t large = 3u << 30;
    begin(CW_RATE_BBR);
    cw_rate_on_sent(&rate, 1, PACKET, now_ns);
    cw_rate_on_sent(&rate, 2, large, now_ns);
    cw_rate_on_sent(&rate, 3, PACKET, now_ns);
    assert_int_equal(rate.path.next_burst, 2);
    now_ns += RTT;
    static const uint32_t bytes[] = {PACKET, large, PACKET};
    for (uint64_t n = 1, in_flight = 0; n <= 3; n++) {
        cw_rate_ack_begin(&rate, now_ns);
        cw_rate_on_acked(&rate, n, bytes[n - 1], CW_RATE_WAS_OUT, now_ns);
        cw_rate_ack_end(&rate, RTT, now_ns);
        in_flight += bytes[n - 1];
        assert_int_equal(rate.path.sample.tx_in_flight, in_flight);
    }
}

static void what_is_forgotten_is_delivered_without_a_sample(void **state)
{
    begin_with(CW_RATE_BBR, 16);
    for (int i = 0; i < 20; i++, now_ns += CW_MS)
        send();
    ack(1, 4);
    assert_false(rate.path.sample.has_data);
    assert_int_equal(rate.path.delivered, 4 * PACKET);
    lose(2); /* as of one that is in no burst any more */
    ack(5, 5);
    assert_true(rate.path.sample.has_data);
}

static void what_was_given_up_undoes_nothing(void **state)
{
    begin(CW_RATE_CUBIC);
    for (int i = 0; i < 10; i++)
        send();
    now_ns += RTT;
    cw_rate_on_given_up(&rate, PACKET);
    lose(2);
    uint64_t window = cw_rate_window(&rate);
    cw_rate_ack_begin(&rate, now_ns);
    cw_rate_on_acked(&rate, 3, PACKET, CW_RATE_WAS_GIVEN_UP, now_ns);
    assert_true(rate.path.is_in_recovery);
    cw_rate_on_acked(&rate, 2, PACKET, CW_RATE_WAS_LOST, now_ns);
    assert_false(rate.path.is_in_recovery);
    assert_true(cw_rate_window(&rate) > window);
}

static void fixed_keeps_nothing_and_limits_nothing(void **state)
{
    struct cw_arena arena;
    cw_arena_measure(&arena);
    cw_rate_init(&rate, &arena,
                 &(struct cw_rate_config){.kind = CW_RATE_FIXED, .bytes_per_second = 5000, .bursts = 1024});
    assert_int_equal(arena.used, 0);
    cw_rate_start(&rate, PACKET, 0);
    cw_rate_on_sent(&rate, 1, PACKET, 0);
    cw_rate_on_sent(&rate, 2, PACKET, 0);
    cw_rate_on_lost(&rate, 1, PACKET, 5);
    assert_int_equal(rate.path.in_flight, PACKET);
    assert_int_equal(cw_rate_pacing(&rate), 5000);
    assert_int_equal(cw_rate_window(&rate), UINT64_MAX);
    assert_true(cw_rate_has_room(&rate, 60000));
}

/* ---- CUBIC ------------------------------------------------------------------------------------------- */

/* A round trip in which the whole window is used and acknowledged, a tenth at a time. */
static void round_trip(uint64_t rtt_ns)
{
    uint64_t packets = cw_rate_window(&rate) / PACKET, first = next;
    for (uint64_t i = 0; i < packets; i++)
        send();
    cw_rate_on_window_full(&rate);
    now_ns += rtt_ns;
    uint64_t step = CW_MAX(packets / 10, 1);
    for (uint64_t at = first; at < first + packets; at += step)
        ack(at, CW_MIN(at + step, first + packets) - 1);
}

static double cwnd(void)
{
    return rate.cubic.at.cwnd;
}

static void slow_start_doubles(void **state)
{
    begin(CW_RATE_CUBIC);
    assert_true(cwnd() == CW_RATE_INITIAL_PACKETS);
    round_trip(RTT);
    assert_true(cwnd() == 20);
    round_trip(RTT);
    assert_true(cwnd() == 40);
    assert_int_equal(cw_rate_pacing(&rate), 2 * 40 * PACKET * CW_SECOND / RTT);
}

static void a_window_that_is_not_used_does_not_grow(void **state)
{
    begin(CW_RATE_CUBIC);
    for (int i = 0; i < 5; i++) {
        uint64_t number = send();
        now_ns += RTT;
        ack(number, number);
    }
    assert_true(cwnd() == CW_RATE_INITIAL_PACKETS);
}

/* Loses one packet of a full window of that many and recovers. */
static void lose_at(double window)
{
    rate.cubic.at.cwnd = window;
    rate.path.window = (uint64_t)(window * PACKET);
    uint64_t first = next;
    for (uint64_t i = 0; i < (uint64_t)window; i++)
        send();
    cw_rate_on_window_full(&rate);
    now_ns += RTT;
    cw_rate_ack_begin(&rate, now_ns);
    cw_rate_on_acked(&rate, first + 1, PACKET, false, now_ns);
    cw_rate_on_lost(&rate, first, PACKET, now_ns);
    cw_rate_ack_end(&rate, RTT, now_ns);
    assert_string_equal(cw_rate_state_name(&rate), "recovery");
    ack(first + 2, next - 1);
    uint64_t after = send();
    now_ns += RTT;
    ack(after, after);
    assert_string_equal(cw_rate_state_name(&rate), "avoidance");
}

/* Sections 4.2 and 4.6: W_max = 1000, so K = cbrt(1000 * 0.3 / 0.4) = 9.086 s. */
static void the_window_follows_the_cubic(void **state)
{
    begin(CW_RATE_CUBIC);
    lose_at(1000);
    assert_true(fabs(cwnd() - 700) < 1);
    assert_true(rate.cubic.at.w_max == 1000);
    round_trip(RTT);
    uint64_t epoch_ns = rate.cubic.at.epoch_ns;
    assert_true(fabs(rate.cubic.at.k - 9.0856) < 0.02);
    assert_true(fabs(cw_cubic_window_at(&rate.cubic, 0) - 700) < 1);
    assert_true(fabs(cw_cubic_window_at(&rate.cubic, 9.0856) - 1000) < 1);
    for (int i = 0; i < 140; i++) {
        round_trip(RTT);
        double t = (double)(now_ns - epoch_ns) / 1e9;
        assert_true(fabs(cwnd() - cw_cubic_window_at(&rate.cubic, t + 0.1)) < 0.02 * cwnd());
    }
    assert_true(cwnd() > 1040); /* 5 s beyond K: 1000 + 0.4 * 125 */
}

/* Section 4.3: a small window grows like Reno's equal, 0.53 packets a round trip. */
static void a_small_window_is_friendly_to_reno(void **state)
{
    begin(CW_RATE_CUBIC);
    lose_at(20);
    round_trip(10 * CW_MS);
    double before = cwnd();
    for (int i = 0; i < 8; i++)
        round_trip(10 * CW_MS);
    assert_true(fabs(cwnd() - before - 8 * CW_CUBIC_ALPHA) < 0.5);
}

/* Section 4.7 */
static void fast_convergence_makes_room(void **state)
{
    begin(CW_RATE_CUBIC);
    lose_at(1000);
    lose_at(800);
    assert_true(fabs(rate.cubic.at.w_max - 800 * 0.85) < 1);
    assert_true(fabs(cwnd() - 560) < 1);
}

/* A hundred, all that the window has room for, a round trip ago. */
static void begin_with_a_full_window(void)
{
    begin(CW_RATE_CUBIC);
    rate.cubic.at.cwnd = 100;
    for (int i = 0; i < 100; i++)
        send();
    cw_rate_on_window_full(&rate);
    now_ns += RTT;
}

static void one_reduction_a_round_trip(void **state)
{
    begin_with_a_full_window();
    lose(1);
    double once = cwnd();
    lose(2);
    lose(50);
    assert_true(cwnd() == once);
    uint64_t later = send();
    now_ns += RTT;
    lose(later); /* sent after the reduction */
    assert_true(cwnd() < once);
}

/* Section 4.9.2 */
static void losses_that_were_none_are_undone(void **state)
{
    begin_with_a_full_window();
    lose(1);
    lose(2);
    ack_late(1);
    assert_true(cwnd() < 100); /* the other one may be true */
    ack_late(2);
    assert_true(cwnd() >= 100);
    lose(3);
    lose(4);
    ack_late(3);
    ack(5, 100);
    assert_true(cwnd() < 100);
}

/* Section 4.8 */
static void silence_begins_anew(void **state)
{
    begin(CW_RATE_CUBIC);
    lose_at(100);
    cw_rate_on_probe_timeout(&rate, 1, now_ns);
    cw_rate_on_probe_timeout(&rate, 2, now_ns);
    assert_true(cwnd() > 60);
    cw_rate_on_probe_timeout(&rate, 3, now_ns);
    assert_true(cwnd() == CW_CUBIC_MIN_PACKETS);
    assert_string_equal(cw_rate_state_name(&rate), "slow-start");
}

static void a_mark_reduces_like_a_loss_once_a_round_trip(void **state)
{
    begin_with_a_full_window();
    for (uint64_t i = 1; i <= 20; i++) {
        cw_rate_ack_begin(&rate, now_ns);
        cw_rate_on_acked(&rate, i, PACKET, false, now_ns);
        cw_rate_on_ecn(&rate, 1, now_ns);
        cw_rate_ack_end(&rate, RTT, now_ns);
    }
    assert_true(fabs(cwnd() - 70) < 1);
}

/* RFC 9406 */
static void slow_start_ends_by_delay(void **state)
{
    begin(CW_RATE_CUBIC);
    for (int i = 0; i < 3; i++)
        round_trip(RTT);
    assert_string_equal(cw_rate_state_name(&rate), "slow-start");
    double before = cwnd();
    round_trip(RTT + 20 * CW_MS); /* more than an eighth */
    assert_string_equal(cw_rate_state_name(&rate), "conservative-slow-start");
    round_trip(RTT + 20 * CW_MS);
    assert_true(cwnd() < 3 * before);
    for (int i = 0; i < 5; i++)
        round_trip(RTT + 20 * CW_MS);
    assert_string_equal(cw_rate_state_name(&rate), "avoidance");
}

static void a_delay_that_falls_again_resumes_slow_start(void **state)
{
    begin(CW_RATE_CUBIC);
    for (int i = 0; i < 3; i++)
        round_trip(RTT);
    round_trip(RTT + 20 * CW_MS);
    assert_string_equal(cw_rate_state_name(&rate), "conservative-slow-start");
    round_trip(RTT);
    round_trip(RTT);
    assert_string_equal(cw_rate_state_name(&rate), "slow-start");
}

/* ---- BBR: losses that were none, A.18 and A.19 --------------------------------------------------------- */

static void bbr_round(uint64_t packets)
{
    uint64_t first = next;
    for (uint64_t i = 0; i < packets; i++, now_ns += CW_MS)
        send();
    now_ns += RTT;
    for (uint64_t n = first; n < next; n++, now_ns += CW_MS)
        ack(n, n);
}

static void bbr_returns_to_what_it_did(void **state)
{
    begin(CW_RATE_BBR);
    for (int i = 0; i < 20 && rate.bbr.state != CW_BBR_PROBE_CRUISE; i++)
        bbr_round(100);
    rate.bbr.cycle_ns = 0; /* it is time to probe */
    for (int i = 0; i < 20 && rate.bbr.state != CW_BBR_PROBE_UP; i++)
        bbr_round(100);
    assert_int_equal(rate.bbr.state, CW_BBR_PROBE_UP);
    uint64_t first = next;
    for (int i = 0; i < 100; i++)
        send();
    now_ns += RTT;
    for (uint64_t n = first; n < first + 10; n++)
        lose(n);
    assert_int_equal(rate.bbr.state, CW_BBR_PROBE_DOWN);
    assert_true(rate.bbr.inflight_longterm != UINT64_MAX);
    for (uint64_t n = first; n < first + 10; n++)
        ack_late(n);
    assert_true(rate.bbr.inflight_longterm == UINT64_MAX);
    assert_true(rate.bbr.state == CW_BBR_PROBE_REFILL || rate.bbr.state == CW_BBR_PROBE_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_is_what_was_delivered_in_the_time),
        cmocka_unit_test(compressed_acks_are_capped_by_the_rate_of_sending),
        cmocka_unit_test(what_the_sender_did_not_use_is_app_limited),
        cmocka_unit_test(each_packet_of_a_burst_has_its_own_in_flight),
        cmocka_unit_test(an_ack_between_two_packets_parts_them),
        cmocka_unit_test(many_bursts_become_few),
        cmocka_unit_test(more_than_a_burst_can_grow_parts_it),
        cmocka_unit_test(what_is_forgotten_is_delivered_without_a_sample),
        cmocka_unit_test(what_was_given_up_undoes_nothing),
        cmocka_unit_test(fixed_keeps_nothing_and_limits_nothing),
        cmocka_unit_test(slow_start_doubles),
        cmocka_unit_test(a_window_that_is_not_used_does_not_grow),
        cmocka_unit_test(the_window_follows_the_cubic),
        cmocka_unit_test(a_small_window_is_friendly_to_reno),
        cmocka_unit_test(fast_convergence_makes_room),
        cmocka_unit_test(one_reduction_a_round_trip),
        cmocka_unit_test(losses_that_were_none_are_undone),
        cmocka_unit_test(silence_begins_anew),
        cmocka_unit_test(a_mark_reduces_like_a_loss_once_a_round_trip),
        cmocka_unit_test(slow_start_ends_by_delay),
        cmocka_unit_test(a_delay_that_falls_again_resumes_slow_start),
        cmocka_unit_test(bbr_returns_to_what_it_did),
    };
    return cmocka_run_group_tests_name("transport/rate", tests, NULL, NULL);
}
