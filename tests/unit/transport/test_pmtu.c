/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The search for the path's datagram size over virtual links: what they carry is found in few probes, also
 * when it shrinks and grows under way; hints are obeyed only downwards and never below the base.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "transport/pmtu.h"

#define STEP    174u
#define LARGEST 8972u
#define RTT_NS  (10 * CW_MS)

/* A link that carries this much, and loses some of it by chance. */
struct path {
    struct cw_pmtu pmtu;
    uint64_t now_ns;
    uint32_t carries;
    uint32_t loss_percent;
    uint32_t probes;
    struct cw_rng rng;
};

static void start(struct path *path, uint32_t largest, uint32_t carries)
{
    *path = (struct path){.carries = carries, .now_ns = 5, .rng = {.state = 1}};
    cw_pmtu_start(&path->pmtu, true, CW_PMTU_BASE_BYTES, STEP, largest, path->now_ns);
}

/* Lets time pass, answers probes after a round trip, and keeps data flowing at the size of the moment. */
static void run(struct path *path, uint64_t span_ns)
{
    for (uint64_t end_ns = path->now_ns + span_ns; path->now_ns < end_ns; path->now_ns += RTT_NS) {
        uint64_t later_ns = path->now_ns + RTT_NS;
        uint32_t data = cw_pmtu_bytes(&path->pmtu), probe = cw_pmtu_probe(&path->pmtu, path->now_ns);
        bool is_lost = cw_rng_below(&path->rng, 100) < path->loss_percent;
        path->probes += probe > 0;
        assert_true(probe == 0 || probe > data);
        assert_int_equal(cw_pmtu_probe(&path->pmtu, path->now_ns), 0);
        if (probe > 0 && probe <= path->carries && !is_lost)
            cw_pmtu_on_probe_acked(&path->pmtu, probe, later_ns);
        else if (probe > 0)
            cw_pmtu_on_probe_lost(&path->pmtu, probe, later_ns);
        is_lost = cw_rng_below(&path->rng, 100) < path->loss_percent;
        if (data <= path->carries && !is_lost)
            cw_pmtu_on_acked(&path->pmtu, data);
        else
            (void)cw_pmtu_on_lost(&path->pmtu, data, path->now_ns, later_ns);
        assert_in_range(cw_pmtu_bytes(&path->pmtu), path->pmtu.base, LARGEST);
    }
}

static uint32_t best(const struct path *path)
{
    uint32_t bytes = path->pmtu.base;
    while (bytes + STEP <= path->carries && bytes < path->pmtu.base + STEP * path->pmtu.steps_max)
        bytes += STEP;
    return bytes;
}

static void the_largest_is_tried_first(void **state)
{
    struct path path;
    start(&path, 1472, 1500);
    assert_in_range(cw_pmtu_bytes(&path.pmtu), CW_PMTU_BASE_BYTES - STEP + 1, CW_PMTU_BASE_BYTES);
    run(&path, RTT_NS);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), 1472);
    run(&path, 2000 * CW_SECOND);
    assert_int_equal(path.probes, 1);
    assert_int_equal(path.pmtu.state, CW_PMTU_DONE);
    assert_int_equal(cw_pmtu_deadline_ns(&path.pmtu), CW_NEVER);
}

static void every_size_is_found(void **state)
{
    for (uint32_t carries = CW_PMTU_BASE_BYTES; carries <= LARGEST + 100; carries += 7) {
        struct path path;
        start(&path, LARGEST, carries);
        run(&path, CW_SECOND);
        assert_int_equal(cw_pmtu_bytes(&path.pmtu), best(&path));
        assert_true(path.probes <= 7 * CW_PMTU_TRIES); /* the largest, then halves of 45 steps */
    }
}

/* One probe in three lost by chance: three tries make it rare that a size is given up that comes through. */
static void chance_losses_are_tried_again(void **state)
{
    unsigned found = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct path path;
        start(&path, 1472, 1500);
        path.rng.state = seed;
        path.loss_percent = 33;
        while (path.pmtu.state == CW_PMTU_SEARCHING)
            run(&path, RTT_NS);
        found += path.pmtu.steps == path.pmtu.steps_max;
    }
    assert_true(found > 85);
}

static void a_black_hole_is_left_and_the_new_size_found(void **state)
{
    struct path path;
    start(&path, LARGEST, 9000);
    run(&path, CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
    path.carries = 3000; /* and no router says so */
    run(&path, CW_PMTU_BLACK_ROUNDS * RTT_NS);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), path.pmtu.base);
    run(&path, 2 * CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), best(&path));
    path.carries = 1200;
    run(&path, 3 * CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), path.pmtu.base);
    path.carries = 9000; /* it heals: found again at the next search */
    run(&path, 601 * CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
}

static void a_burst_of_losses_is_no_black_hole(void **state)
{
    struct cw_pmtu pmtu;
    cw_pmtu_start(&pmtu, true, CW_PMTU_BASE_BYTES, STEP, 1472, 0);
    cw_pmtu_on_probe_acked(&pmtu, cw_pmtu_probe(&pmtu, 0), 1);
    for (uint64_t i = 0; i < 1000; i++) /* all sent before the first of them was missed */
        assert_false(cw_pmtu_on_lost(&pmtu, 1472, 100 + i, 5000 + i));
    assert_false(cw_pmtu_on_lost(&pmtu, 1472, 5001, 9000));
    cw_pmtu_on_acked(&pmtu, 1472);
    assert_false(cw_pmtu_on_lost(&pmtu, 1472, 9001, 9500)); /* the count began anew */
    assert_false(cw_pmtu_on_lost(&pmtu, 1472, 9501, 9900));
    cw_pmtu_on_acked(&pmtu, 600); /* a small one says nothing */
    assert_true(cw_pmtu_on_lost(&pmtu, 1472, 9901, 9999));
    assert_true(cw_pmtu_bytes(&pmtu) <= CW_PMTU_BASE_BYTES);
    for (uint64_t i = 1; i < 10; i++)
        assert_false(
            cw_pmtu_on_lost(&pmtu, 1100, 20000 * i, 20000 * i + 1)); /* of the base: not our business */
}

static void hints_only_make_it_smaller(void **state)
{
    struct path path;
    start(&path, LARGEST, 9000);
    assert_false(cw_pmtu_on_hint(&path.pmtu, 8000, 6)); /* nothing larger is in use yet */
    run(&path, CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
    assert_false(cw_pmtu_on_hint(&path.pmtu, 60000, path.now_ns));
    assert_false(cw_pmtu_on_hint(&path.pmtu, path.pmtu.base - 1, path.now_ns));
    assert_false(cw_pmtu_on_hint(&path.pmtu, 0, path.now_ns));
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
    path.carries = 1450;
    assert_true(cw_pmtu_on_hint(&path.pmtu, 1450, path.now_ns));
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), best(&path));
    uint32_t probes = path.probes;
    run(&path, 590 * CW_SECOND);
    assert_int_equal(path.probes, probes); /* it is taken for now */
    assert_true(cw_pmtu_on_hint(&path.pmtu, path.pmtu.base, path.now_ns));
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), path.pmtu.base);
    path.carries = 9000; /* a lie, or of a route that is gone: the next search finds what is */
    run(&path, 601 * CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
}

static void a_hint_ends_a_probe(void **state)
{
    struct cw_pmtu pmtu;
    cw_pmtu_start(&pmtu, true, CW_PMTU_BASE_BYTES, STEP, LARGEST, 0);
    assert_int_equal(cw_pmtu_probe(&pmtu, 0), LARGEST);
    assert_false(cw_pmtu_on_hint(&pmtu, 4000, 1));
    uint32_t probe = cw_pmtu_probe(&pmtu, 1);
    assert_in_range(probe, pmtu.base + 1, 4000); /* at once, and no larger than that */
    cw_pmtu_on_probe_lost(&pmtu, LARGEST, 2);    /* of before: not the one that is out */
    assert_int_equal(cw_pmtu_probe(&pmtu, 3), 0);
}

/* The probe of the largest was given up, for a hint that lied or because it came late; then it is
 * acknowledged. */
static void what_was_given_up_arrives(void **state)
{
    struct path path = {.carries = LARGEST, .now_ns = 1};
    cw_pmtu_start(&path.pmtu, true, CW_PMTU_BASE_BYTES, STEP, LARGEST, 0);
    assert_int_equal(cw_pmtu_probe(&path.pmtu, 0), LARGEST);
    assert_false(cw_pmtu_on_hint(&path.pmtu, path.pmtu.base, 1));
    cw_pmtu_on_probe_acked(&path.pmtu, LARGEST, 2);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
    run(&path, 2000 * CW_SECOND);
    assert_int_equal(path.probes, 0);
    cw_pmtu_start(&path.pmtu, true, CW_PMTU_BASE_BYTES, STEP, LARGEST, path.now_ns);
    path.carries = CW_PMTU_BASE_BYTES;
    run(&path, 10 * CW_SECOND);
    cw_pmtu_on_probe_acked(&path.pmtu, LARGEST, path.now_ns);
    path.carries = LARGEST;
    run(&path, 2000 * CW_SECOND);
    assert_int_equal(cw_pmtu_bytes(&path.pmtu), LARGEST);
}

static void it_may_be_off(void **state)
{
    struct cw_pmtu pmtu;
    cw_pmtu_start(&pmtu, false, CW_PMTU_BASE_BYTES, STEP, LARGEST, 0);
    assert_int_equal(cw_pmtu_bytes(&pmtu), LARGEST);
    assert_int_equal(cw_pmtu_deadline_ns(&pmtu), CW_NEVER);
    for (uint64_t i = 1; i < 10; i++)
        assert_false(cw_pmtu_on_lost(&pmtu, LARGEST, i * 100, i * 100 + 50));
    assert_false(cw_pmtu_on_hint(&pmtu, 1300, 0));
    cw_pmtu_start(&pmtu, true, CW_PMTU_BASE_BYTES, STEP, 1100, 0); /* nothing to search */
    assert_int_equal(cw_pmtu_bytes(&pmtu), 1100);
    assert_int_equal(cw_pmtu_probe(&pmtu, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_is_tried_first),
        cmocka_unit_test(every_size_is_found),
        cmocka_unit_test(chance_losses_are_tried_again),
        cmocka_unit_test(a_black_hole_is_left_and_the_new_size_found),
        cmocka_unit_test(a_burst_of_losses_is_no_black_hole),
        cmocka_unit_test(hints_only_make_it_smaller),
        cmocka_unit_test(a_hint_ends_a_probe),
        cmocka_unit_test(what_was_given_up_arrives),
        cmocka_unit_test(it_may_be_off),
    };
    return cmocka_run_group_tests_name("transport/pmtu", tests, NULL, NULL);
}
