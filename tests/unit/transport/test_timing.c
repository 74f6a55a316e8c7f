/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss by time, probes and the pacer: the inequalities of their headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "transport/ack_ranges.h"
#include "transport/loss.h"
#include "transport/pacer.h"

static void round_trip_of_rfc_9002(void **state)
{
    struct cw_loss loss;
    cw_loss_reset(&loss);
    cw_loss_on_sample(&loss, 80 * CW_MS, 0);
    assert_int_equal(loss.rtt_ns_smoothed, 80 * CW_MS);
    assert_int_equal(loss.rtt_ns_variation, 40 * CW_MS);
    cw_loss_on_sample(&loss, 96 * CW_MS, 8 * CW_MS); /* 88 without the peer's delay */
    assert_int_equal(loss.rtt_ns_latest, 88 * CW_MS);
    assert_int_equal(loss.rtt_ns_smoothed, 81 * CW_MS);
    assert_int_equal(loss.rtt_ns_variation, 32 * CW_MS);
    cw_loss_on_sample(&loss, 81 * CW_MS, 70 * CW_MS); /* a claim that would go below the minimum */
    assert_int_equal(loss.rtt_ns_latest, 81 * CW_MS);
    assert_int_equal(loss.rtt_ns_min, 80 * CW_MS);
}

static void reordering_window(void **state)
{
    struct cw_loss loss;
    cw_loss_reset(&loss);
    cw_loss_on_sample(&loss, 80 * CW_MS, 0);
    assert_int_equal(cw_loss_delay_ns(&loss), 90 * CW_MS);
    cw_loss_on_spurious(&loss);
    assert_int_equal(cw_loss_delay_ns(&loss), 100 * CW_MS);
    for (int i = 0; i < 100; i++)
        cw_loss_on_spurious(&loss);
    assert_int_equal(cw_loss_delay_ns(&loss), 160 * CW_MS); /* never more than one round trip */
    for (uint64_t i = 1; i <= 1000; i++) /* one episode: all were sent before the first was lost */
        cw_loss_on_lost(&loss, i, 2000);
    for (uint64_t episode = 2; episode <= 16; episode++) {
        assert_int_equal(cw_loss_delay_ns(&loss), 160 * CW_MS);
        cw_loss_on_lost(&loss, 1000 * episode, 1000 * (episode + 1));
    }
    assert_int_equal(cw_loss_delay_ns(&loss), 90 * CW_MS);
    cw_loss_reset(&loss);
    cw_loss_on_sample(&loss, 16 * CW_US, 0);
    assert_int_equal(cw_loss_delay_ns(&loss), 16 * CW_US + CW_REORDER_NS_MIN);
}

static void probes_wait_twice_as_long_each_time(void **state)
{
    struct cw_loss loss;
    cw_loss_reset(&loss);
    cw_loss_on_sent(&loss, 1000);
    uint64_t first = 3 * (uint64_t)CW_RTT_NS_INITIAL + CW_ACK_DELAY_NS;
    assert_int_equal(cw_loss_probe_ns(&loss), 1000 + first);
    cw_loss_on_probe(&loss, 5000);
    assert_int_equal(cw_loss_probe_ns(&loss), 5000 + 2 * first);
    for (int i = 0; i < 100; i++)
        cw_loss_on_probe(&loss, 5000);
    assert_int_equal(cw_loss_probe_ns(&loss), 5000 + CW_PROBE_NS_MAX);
    cw_loss_on_acked(&loss);
    assert_int_equal(cw_loss_probe_ns(&loss), 5000 + first);
    cw_loss_reset(&loss);
    cw_loss_on_sample(&loss, 20 * CW_US, 0);
    cw_loss_on_sent(&loss, 0);
    assert_int_equal(cw_loss_probe_ns(&loss), 20 * CW_US + CW_RTT_GRANULARITY_NS + CW_ACK_DELAY_NS);
}

struct sending {
    uint64_t at_ns;
    uint64_t total; /* bytes up to and with this one */
};

/* Over every interval: bytes <= rate * (T + late) + quantum. */
static void expect_inequality(const struct sending *sent, uint32_t count, uint64_t rate, uint64_t late_ns,
                              uint64_t quantum)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t before = i ? sent[i - 1].total : 0;
        for (uint32_t j = i; j < count; j++) {
            uint64_t ns = sent[j].at_ns - sent[i].at_ns + late_ns;
            long double allowed = (long double)rate * (long double)ns / 1e9L + (long double)quantum;
            assert_true((long double)(sent[j].total - before) <= allowed);
        }
    }
}

static struct sending sent[1500];

/* Sends as fast as the pacer lets, but for pauses of up to so long after one datagram in fifty. The share of
 * the rate that was reached. */
static double send_paced(struct cw_pacer *pacer, uint64_t pause_ns, bool is_idle)
{
    struct cw_rng rng = {pacer->rate};
    uint64_t now_ns = cw_rng_below(&rng, 1ull << 50), total = 0, begin_ns = now_ns;
    for (uint32_t i = 0; i < CW_COUNT_OF(sent); i++) {
        now_ns = CW_MAX(now_ns, cw_pacer_next_ns(pacer));
        uint32_t bytes = cw_rng_below(&rng, 4) ? 1472 : 60 + (uint32_t)cw_rng_below(&rng, 1400);
        cw_pacer_on_sent(pacer, bytes, now_ns);
        total += bytes;
        sent[i] = (struct sending){now_ns, total};
        if (cw_rng_below(&rng, 50) > 0)
            continue;
        if (is_idle)
            cw_pacer_on_idle(pacer);
        now_ns += cw_rng_below(&rng, pause_ns);
    }
    return (double)total / ((double)pacer->rate * (double)(now_ns - begin_ns) / 1e9);
}

static const uint64_t rates[] = {1000, 125000, 12500000, 125000000, 1250000000, 12500000000ull};

static void never_more_than_rate_and_quantum(void **state)
{
    for (size_t r = 0; r < CW_COUNT_OF(rates); r++) {
        struct cw_pacer pacer;
        cw_pacer_init(&pacer, rates[r], 1472);
        double share = send_paced(&pacer, CW_MS, true);
        uint64_t quantum = CW_MIN(CW_MAX(rates[r] / 20000, 2 * 1472ull), CW_PACER_QUANTUM_MAX);
        expect_inequality(sent, CW_COUNT_OF(sent), rates[r], 0, quantum);
        if (rates[r] <= 125000) /* where the pauses do not matter: it also gets near the rate */
            assert_true(share >= 0.99);
    }
}

/* Pauses in which it could have sent cost nothing while they are short, and no burst is longer than said. */
static void a_late_caller_makes_up_for_it(void **state)
{
    for (size_t r = 0; r < CW_COUNT_OF(rates); r++) {
        uint64_t burst = CW_MIN(CW_MAX(rates[r] / 1000, 2 * 1472ull), CW_PACER_QUANTUM_MAX);
        struct cw_pacer pacer;
        cw_pacer_init(&pacer, rates[r], 1472);
        assert_true(send_paced(&pacer, CW_MAX(pacer.late_ns / 4, 1), false) >= 0.99);
        expect_inequality(sent, CW_COUNT_OF(sent), rates[r], 0, burst);
        cw_pacer_init(&pacer, rates[r], 1472);
        (void)send_paced(&pacer, 10 * CW_MS, false);
        expect_inequality(sent, CW_COUNT_OF(sent), rates[r], 0, burst);
        cw_pacer_init(&pacer, rates[r], 1472);
        cw_pacer_late_set(&pacer, 10 * CW_MS);
        uint64_t pause_ns = CW_MIN(10 * CW_MS, 30 * 1472 * CW_SECOND / rates[r]); /* less than between them */
        assert_true(send_paced(&pacer, pause_ns, false) >= 0.99);
        expect_inequality(sent, CW_COUNT_OF(sent), rates[r], 10 * CW_MS, burst);
    }
}

static void what_is_not_made_up_for_is_told(void **state)
{
    struct cw_pacer pacer;
    cw_pacer_init(&pacer, 1250000, 1472);
    assert_false(cw_pacer_is_too_late(&pacer, CW_SECOND)); /* nothing was ever sent */
    cw_pacer_on_sent(&pacer, 1250, CW_SECOND);             /* a millisecond's worth */
    cw_pacer_late_set(&pacer, 5 * CW_MS);
    assert_false(cw_pacer_is_too_late(&pacer, CW_SECOND + 5 * CW_MS));
    assert_true(cw_pacer_is_too_late(&pacer, CW_SECOND + 7 * CW_MS));
    cw_pacer_on_idle(&pacer);
    assert_false(cw_pacer_is_too_late(&pacer, CW_SECOND + 7 * CW_MS));
    cw_pacer_on_sent(&pacer, 1250, CW_SECOND + 7 * CW_MS);
    assert_true(cw_pacer_is_too_late(&pacer, CW_SECOND + 14 * CW_MS));
}

static void without_a_rate_nothing_waits(void **state)
{
    struct cw_pacer pacer;
    cw_pacer_init(&pacer, 0, 1472);
    for (int i = 0; i < 1000; i++)
        cw_pacer_on_sent(&pacer, 1472, 5);
    assert_int_equal(cw_pacer_next_ns(&pacer), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_of_rfc_9002),
        cmocka_unit_test(reordering_window),
        cmocka_unit_test(probes_wait_twice_as_long_each_time),
        cmocka_unit_test(never_more_than_rate_and_quantum),
        cmocka_unit_test(a_late_caller_makes_up_for_it),
        cmocka_unit_test(what_is_not_made_up_for_is_told),
        cmocka_unit_test(without_a_rate_nothing_waits),
    };
    return cmocka_run_group_tests_name("transport/timing", tests, NULL, NULL);
}
