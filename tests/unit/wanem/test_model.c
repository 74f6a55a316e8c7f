/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The emulator's verdicts, in virtual time: exact where a setting is exact, and shares with a fixed seed
 * within a tolerance, so that no run differs from another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "wanem/model.h"

#define START  (777 * CW_SECOND)
#define FRAMES 200000u

static struct cw_wan_model *make(const char *text)
{
    struct cw_wan_spec specs[CW_WAN_DIRECTIONS];
    char why[512] = "";
    if (!cw_wan_spec_read(text, &specs[0], why, sizeof why))
        fail_msg("\"%s\": %s", text, why);
    specs[1] = specs[0];
    struct cw_wan_model *model = cw_wan_model_new(specs, START);
    assert_non_null(model);
    return model;
}

static struct cw_wan_verdict decide(struct cw_wan_model *model, uint64_t now_ns, uint32_t bytes)
{
    struct cw_wan_verdict verdict;
    cw_wan_decide(model, 0, now_ns, bytes, &verdict);
    return verdict;
}

/* A frame of 1514 bytes every microsecond. */
static const struct cw_wan_counts *feed(struct cw_wan_model *model, uint32_t direction, uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++) {
        struct cw_wan_verdict verdict;
        cw_wan_decide(model, direction, START + i * CW_US, 1514, &verdict);
    }
    return cw_wan_model_counts(model, direction);
}

/* ---------------------------------------------------------------- exact */

static void plain_wire(void **state)
{
    struct cw_wan_model *model = make("");
    for (uint32_t i = 0; i < 1000; i++) {
        struct cw_wan_verdict verdict = decide(model, START + i / 10, i * 60);
        assert_int_equal(verdict.fate, CW_WAN_PASSED);
        assert_int_equal(verdict.copies, 1);
        assert_int_equal(verdict.departure_ns, START + i / 10);
        assert_false(verdict.is_late);
        assert_int_equal(verdict.corrupt_bit, CW_WAN_INTACT);
    }
    assert_int_equal(cw_wan_model_counts(model, 0)->frames, 1000);
    assert_int_equal(cw_wan_model_counts(model, 1)->frames, 0);
    cw_wan_model_free(model);
}

static void nothing_gets_through(void **state)
{
    struct cw_wan_model *model = make("loss=100%,duplicate=100%");
    assert_int_equal(feed(model, 0, 1000)->fates[CW_WAN_LOST], 1000);
    assert_int_equal(feed(model, 1, 1000)->fates[CW_WAN_LOST], 1000);
    assert_int_equal(cw_wan_model_counts(model, 1)->duplicated, 0);
    cw_wan_model_free(model);
}

static void rate_is_exact(void **state)
{
    /* 3 bits a nanosecond * 1e-9: 1500 bytes take 4 ms, 1000 bytes 2 2/3 ms */
    struct cw_wan_model *model = make("rate=3mbit,delay=1s,queue=100MB");
    assert_int_equal(decide(model, START, 1500).departure_ns, START + CW_SECOND + 4 * CW_MS);
    assert_int_equal(decide(model, START, 1500).departure_ns, START + CW_SECOND + 8 * CW_MS);
    uint64_t departure_ns = 0;
    for (uint32_t i = 0; i < 3000; i++)
        departure_ns = decide(model, START, 1000).departure_ns;
    assert_int_equal(departure_ns, START + CW_SECOND + 8 * CW_MS + 8000 * CW_MS);
    /* an idle line begins anew */
    assert_int_equal(decide(model, START + 20 * CW_SECOND, 1500).departure_ns,
                     START + 21 * CW_SECOND + 4 * CW_MS);
    cw_wan_model_free(model);
}

static void queue_in_bytes(void **state)
{
    struct cw_wan_model *model = make("rate=8mbit,queue=10000B"); /* a byte a microsecond */
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(decide(model, START, 1000).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START, 60).fate, CW_WAN_QUEUE_FULL);
    assert_int_equal(decide(model, START + 59 * CW_US, 60).fate, CW_WAN_QUEUE_FULL);
    assert_int_equal(decide(model, START + 60 * CW_US, 60).departure_ns, START + 10060 * CW_US);
    assert_int_equal(cw_wan_model_counts(model, 0)->fates[CW_WAN_QUEUE_FULL], 2);
    cw_wan_model_free(model);
    model = make("rate=8mbit,queue=100B"); /* less than a frame: one at a time */
    assert_int_equal(decide(model, START, 1000).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START + 999 * CW_US, 1000).fate, CW_WAN_QUEUE_FULL);
    assert_int_equal(decide(model, START + 1000 * CW_US, 1000).fate, CW_WAN_PASSED);
    cw_wan_model_free(model);
}

static void marks_what_meets_a_queue(void **state)
{
    struct cw_wan_model *model = make("rate=8mbit,mark=3000B"); /* a byte a microsecond */
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(decide(model, START, 1000).is_marked, i > 3);
    assert_true(decide(model, START + 6999 * CW_US, 1000).is_marked);
    assert_false(decide(model, START + 8000 * CW_US, 1000).is_marked);
    assert_false(decide(model, START + 100 * CW_MS, 1000).is_marked);
    cw_wan_model_free(model);
}

static void queue_in_packets(void **state)
{
    struct cw_wan_model *model = make("rate=8mbit,queue=3p");
    uint64_t now_ns = START;
    for (uint32_t round = 0; round < 100; round++, now_ns += 3 * CW_MS) {
        for (uint32_t i = 1; i <= 3; i++)
            assert_int_equal(decide(model, now_ns, 1000).departure_ns, now_ns + i * CW_MS);
        assert_int_equal(decide(model, now_ns, 1000).fate, CW_WAN_QUEUE_FULL);
        assert_int_equal(decide(model, now_ns + CW_MS - 1, 1000).fate, CW_WAN_QUEUE_FULL);
        assert_int_equal(decide(model, now_ns + CW_MS, 1000).departure_ns, now_ns + 4 * CW_MS);
        assert_int_equal(decide(model, now_ns + CW_MS, 60).fate, CW_WAN_QUEUE_FULL);
        now_ns += CW_MS;
    }
    cw_wan_model_free(model);
}

static void lost_frames_use_the_rate(void **state)
{
    struct cw_wan_model *model = make("rate=8mbit,queue=10000B,loss=100%");
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(decide(model, START, 1000).fate, CW_WAN_LOST);
    assert_int_equal(decide(model, START, 1000).fate, CW_WAN_QUEUE_FULL);
    cw_wan_model_free(model);
}

static void black_hole(void **state)
{
    struct cw_wan_model *model = make("blackhole=2s/5s");
    for (uint32_t period = 0; period < 3; period++) {
        uint64_t begin_ns = START + period * 5 * CW_SECOND;
        assert_int_equal(decide(model, begin_ns, 60).fate, CW_WAN_PASSED);
        assert_int_equal(decide(model, begin_ns + 3 * CW_SECOND - 1, 60).fate, CW_WAN_PASSED);
        assert_int_equal(decide(model, begin_ns + 3 * CW_SECOND, 60).fate, CW_WAN_DARK);
        assert_int_equal(decide(model, begin_ns + 5 * CW_SECOND - 1, 60).fate, CW_WAN_DARK);
    }
    cw_wan_model_free(model);
}

static void size_limit_changes(void **state)
{
    struct cw_wan_model *model = make("mtu=1500:1400@10s:9000@20s");
    assert_int_equal(decide(model, START, 1514).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START, 1515).fate, CW_WAN_TOO_LONG);
    assert_int_equal(decide(model, START + 10 * CW_SECOND - 1, 1514).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START + 10 * CW_SECOND, 1415).fate, CW_WAN_TOO_LONG);
    assert_int_equal(decide(model, START + 10 * CW_SECOND, 1414).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START + 99 * CW_SECOND, 9014).fate, CW_WAN_PASSED);
    assert_int_equal(decide(model, START + 99 * CW_SECOND, 9015).fate, CW_WAN_TOO_LONG);
    cw_wan_model_free(model);
}

static void jitter_keeps_order(void **state)
{
    struct cw_wan_model *model = make("delay=10ms,jitter=1ms,seed=3");
    uint64_t last_ns = 0, least_ns = UINT64_MAX, most_ns = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t now_ns = START + i * 5 * CW_MS, delay_ns; /* far apart, then close together */
        delay_ns = decide(model, now_ns, 60).departure_ns - now_ns;
        least_ns = CW_MIN(least_ns, delay_ns);
        most_ns = CW_MAX(most_ns, delay_ns);
        last_ns = now_ns + delay_ns;
    }
    assert_in_range(least_ns, 10 * CW_MS, 10 * CW_MS + CW_US);
    assert_in_range(most_ns, 11 * CW_MS - CW_US, 11 * CW_MS);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t now_ns = START + 60 * CW_SECOND + i * CW_US;
        uint64_t departure_ns = decide(model, now_ns, 60).departure_ns;
        assert_true(departure_ns >= last_ns);
        assert_in_range(departure_ns - now_ns, 10 * CW_MS, 11 * CW_MS);
        last_ns = departure_ns;
    }
    cw_wan_model_free(model);
}

static void held_back_and_twice(void **state)
{
    struct cw_wan_model *model = make("delay=1ms,reorder=100%:2ms,duplicate=100%");
    struct cw_wan_verdict verdict = decide(model, START, 60);
    assert_true(verdict.is_late);
    assert_int_equal(verdict.copies, 2);
    assert_int_equal(verdict.departure_ns, START + 3 * CW_MS);
    cw_wan_model_free(model);
}

/* One that is held back does not hold back those behind it. */
static void others_pass(void **state)
{
    struct cw_wan_model *model = make("delay=1ms,reorder=10%:2ms,seed=2");
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t now_ns = START + i * CW_US;
        struct cw_wan_verdict verdict = decide(model, now_ns, 60);
        assert_int_equal(verdict.departure_ns - now_ns, verdict.is_late ? 3 * CW_MS : CW_MS);
    }
    assert_in_range(cw_wan_model_counts(model, 0)->reordered, 70, 130);
    cw_wan_model_free(model);
}

static void one_bit_behind_the_header(void **state)
{
    struct cw_wan_model *model = make("corrupt=100%,seed=4");
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t bit = decide(model, START, 114).corrupt_bit;
        least = CW_MIN(least, bit);
        most = CW_MAX(most, bit);
    }
    assert_int_equal(least, 14 * 8);
    assert_int_equal(most, 114 * 8 - 1);
    assert_int_equal(decide(model, START, 15).corrupt_bit / 8, 14);
    assert_int_equal(decide(model, START, 14).corrupt_bit, CW_WAN_INTACT);
    assert_int_equal(decide(model, START, 0).corrupt_bit, CW_WAN_INTACT);
    assert_int_equal(cw_wan_model_counts(model, 0)->corrupted, FRAMES + 1);
    cw_wan_model_free(model);
}

/* ---------------------------------------------------------------- chance, with fixed seeds */

static void shares_are_as_said(void **state)
{
    struct cw_wan_model *model = make("loss=1%,duplicate=5%,corrupt=2%,reorder=0.5%:1ms,seed=7");
    for (uint32_t direction = 0; direction < CW_WAN_DIRECTIONS; direction++) {
        const struct cw_wan_counts *counts = feed(model, direction, FRAMES);
        uint64_t passed = counts->fates[CW_WAN_PASSED];
        assert_in_range(counts->fates[CW_WAN_LOST], FRAMES / 100 - 200, FRAMES / 100 + 200);
        assert_int_equal(passed + counts->fates[CW_WAN_LOST], FRAMES);
        assert_in_range(counts->duplicated, passed / 20 - 400, passed / 20 + 400);
        assert_in_range(counts->corrupted, passed / 50 - 300, passed / 50 + 300);
        assert_in_range(counts->reordered, passed / 200 - 150, passed / 200 + 150);
        assert_int_equal(counts->bytes, FRAMES * 1514ull);
    }
    cw_wan_model_free(model);
}

static void marks_a_share(void **state)
{
    struct cw_wan_model *model = make("mark=5%,loss=50%,seed=7");
    uint32_t marked = 0;
    for (uint32_t i = 0; i < FRAMES; i++)
        marked += decide(model, START + i, 1514).is_marked;
    assert_in_range(marked, FRAMES / 20 - 400, FRAMES / 20 + 400);
    cw_wan_model_free(model);
}

/* The share lost in all, and the mean length of a run of losses. */
static void measure_bursts(const char *text, double *share, double *run)
{
    struct cw_wan_model *model = make(text);
    uint32_t lost = 0, runs = 0, frames = 4000000;
    bool was_lost = false;
    for (uint32_t i = 0; i < frames; i++) {
        bool is_lost = decide(model, START, 60).fate == CW_WAN_LOST_BURST;
        lost += is_lost;
        runs += is_lost && !was_lost;
        was_lost = is_lost;
    }
    *share = (double)lost / frames;
    *run = (double)lost / runs;
    cw_wan_model_free(model);
}

static void assert_near(double value, double wanted, double tolerance)
{
    if (value < wanted * (1 - tolerance) || value > wanted * (1 + tolerance))
        fail_msg("%g where %g was wanted", value, wanted);
}

static void bursts_are_as_said(void **state)
{
    double share, run;
    measure_bursts("ge=0.1%:50,seed=1", &share, &run);
    assert_near(share, 0.001, 0.35); /* some 80 bad times */
    assert_near(run, 50, 0.35);
    measure_bursts("ge=5%:10,seed=1", &share, &run);
    assert_near(share, 0.05, 0.05);
    assert_near(run, 10, 0.05);
    measure_bursts("ge=5%:100:50%,seed=1", &share, &run);
    assert_near(share, 0.05, 0.1);
    assert_near(run, 2, 0.1); /* within a bad time each is lost with one half */
    measure_bursts("ge=30%:1,seed=1", &share, &run);
    assert_near(share, 0.3, 0.05);
    assert_near(run, 1, 0.0); /* a bad time of one packet is never two */
}

static void same_seed_same_verdicts(void **state)
{
    static const char text[] = "rate=1gbit,delay=5ms,jitter=1ms,loss=1%,ge=1%:5,reorder=1%:1ms,duplicate=1%,"
                               "corrupt=1%,queue=100p,blackhole=1ms/7ms,seed=";
    char texts[3][256];
    struct cw_wan_model *models[3];
    uint32_t others = 0;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%u", text, i == 2 ? 8u : 7u);
        models[i] = make(texts[i]);
    }
    for (uint32_t i = 0; i < FRAMES; i++) {
        struct cw_wan_verdict verdicts[3];
        uint64_t now_ns = START + i * 6 * CW_US;
        for (unsigned m = 0; m < 3; m++)
            verdicts[m] = decide(models[m], now_ns, 60 + i % 1400);
        assert_int_equal(verdicts[0].fate, verdicts[1].fate);
        assert_int_equal(verdicts[0].copies, verdicts[1].copies);
        assert_int_equal(verdicts[0].departure_ns, verdicts[1].departure_ns);
        assert_int_equal(verdicts[0].is_late, verdicts[1].is_late);
        assert_int_equal(verdicts[0].corrupt_bit, verdicts[1].corrupt_bit);
        others += verdicts[0].fate != verdicts[2].fate;
    }
    assert_true(others > FRAMES / 100);
    for (unsigned i = 0; i < 3; i++)
        cw_wan_model_free(models[i]);
}

/* The n-th frame is lost or not, whatever else is asked for and whenever it comes; the way back differs. */
static void losses_do_not_move(void **state)
{
    struct cw_wan_model *bare = make("loss=2%,seed=9");
    struct cw_wan_model *busy = make(
        "loss=2%,seed=9,delay=9ms,jitter=5ms,reorder=5%:1ms,duplicate=5%,corrupt=5%,rate=1gbit,queue=3p");
    uint32_t dropped = 0, back_differs = 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        struct cw_wan_verdict back;
        enum cw_wan_fate fate = decide(bare, START, 1514).fate;
        enum cw_wan_fate busy_fate = decide(busy, START + i * 11 * CW_US, 1514).fate;
        cw_wan_decide(bare, 1, START, 1514, &back);
        back_differs += back.fate != fate;
        dropped += busy_fate == CW_WAN_QUEUE_FULL;
        if (busy_fate != CW_WAN_QUEUE_FULL)
            assert_int_equal(busy_fate, fate);
    }
    assert_in_range(dropped, FRAMES / 100, FRAMES / 2);
    assert_in_range(back_differs, FRAMES / 50, FRAMES / 20);
    cw_wan_model_free(bare);
    cw_wan_model_free(busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_wire),
        cmocka_unit_test(nothing_gets_through),
        cmocka_unit_test(rate_is_exact),
        cmocka_unit_test(queue_in_bytes),
        cmocka_unit_test(marks_what_meets_a_queue),
        cmocka_unit_test(queue_in_packets),
        cmocka_unit_test(lost_frames_use_the_rate),
        cmocka_unit_test(black_hole),
        cmocka_unit_test(size_limit_changes),
        cmocka_unit_test(jitter_keeps_order),
        cmocka_unit_test(held_back_and_twice),
        cmocka_unit_test(others_pass),
        cmocka_unit_test(one_bit_behind_the_header),
        cmocka_unit_test(shares_are_as_said),
        cmocka_unit_test(marks_a_share),
        cmocka_unit_test(bursts_are_as_said),
        cmocka_unit_test(same_seed_same_verdicts),
        cmocka_unit_test(losses_do_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
