/* SPDX-License-Identifier: BSD-3-Clause */
/* Grants, the machine alone: from when they count, for whom, and what a taker waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "replication/grants.h"

#define A       0
#define B       1
#define C       2
#define LEASE   (5 * CW_SECOND)
#define USABLE  (LEASE / 100 * 99 - 100 * CW_MS)
#define PROMISE (LEASE + LEASE / 100)
#define START   (1000 * CW_SECOND)
#define REIGN   77

static struct cw_grants primary, granter;

static void begin(uint8_t sites)
{
    cw_grants_init(&primary, true, false, LEASE, START - 100 * CW_SECOND);
    cw_grants_init(&granter, true, false, LEASE, START - 100 * CW_SECOND);
    cw_grants_begin_reign(&primary, 3, REIGN, sites);
}

static void answer_from(uint8_t site, uint64_t number, uint64_t now_ns)
{
    struct cw_message_grant grant = {.number = number, .result = CW_GRANT_GIVEN, .lease_ms = LEASE / CW_MS};

    cw_grants_on_grant(&primary, site, 3, REIGN, &grant, now_ns);
}

static uint64_t deadline(void)
{
    return cw_grants_deadline_ns(&primary, 3, REIGN);
}

static void a_grant_counts_from_before_its_ask(void **state)
{
    begin(1 << B);
    assert_true(cw_grants_wants_ask(&primary, B, START));
    uint64_t first = cw_grants_ask(&primary, B, START).number;
    assert_false(cw_grants_wants_ask(&primary, B, START + 999 * CW_MS));
    assert_true(cw_grants_wants_ask(&primary, B, START + CW_SECOND));
    assert_int_equal(deadline(), 0);
    answer_from(B, first, START + 3 * CW_SECOND);
    assert_int_equal(deadline(), START + USABLE);
    uint64_t second = cw_grants_ask(&primary, B, START + CW_SECOND).number;
    answer_from(B, first, START + 3 * CW_SECOND); /* again: answers nothing any more */
    assert_int_equal(deadline(), START + USABLE);
    answer_from(B, second + 1, START + 3 * CW_SECOND); /* of an ask that was not made */
    assert_int_equal(deadline(), START + USABLE);
    answer_from(B, second, START + 3 * CW_SECOND);
    assert_int_equal(deadline(), START + CW_SECOND + USABLE);
}

static void answers_overtake_each_other(void **state)
{
    begin(1 << B);
    uint64_t first = cw_grants_ask(&primary, B, START).number;
    uint64_t second = cw_grants_ask(&primary, B, START + CW_SECOND).number;
    answer_from(B, second, START + 2 * CW_SECOND);
    answer_from(B, first, START + 3 * CW_SECOND);
    assert_int_equal(deadline(), START + CW_SECOND + USABLE);
    for (unsigned i = 0; i < CW_GRANT_ASKS; i++)
        second = cw_grants_ask(&primary, B, START + (2 + i) * CW_SECOND).number;
    answer_from(B, second - CW_GRANT_ASKS, START + 20 * CW_SECOND); /* its time was forgotten */
    assert_int_equal(deadline(), START + CW_SECOND + USABLE);
}

static void every_site_must_grant(void **state)
{
    begin(1 << B | 1 << C);
    answer_from(B, cw_grants_ask(&primary, B, START).number, START);
    assert_int_equal(deadline(), 0);
    assert_int_equal(cw_grants_missing(&primary, START), C);
    answer_from(C, cw_grants_ask(&primary, C, START + CW_SECOND).number, START + CW_SECOND);
    assert_int_equal(deadline(), START + USABLE);
    answer_from(B, cw_grants_ask(&primary, B, START + 4 * CW_SECOND).number, START + 4 * CW_SECOND);
    assert_int_equal(deadline(), START + CW_SECOND + USABLE);
    assert_int_equal(cw_grants_missing(&primary, START + CW_SECOND + USABLE), C);
    primary.sites = 0; /* who has no other site has nobody to ask */
    assert_int_equal(deadline(), 0);
}

static void of_another_reign_it_is_nothing(void **state)
{
    struct cw_message_grant grant = {.number = 1, .result = CW_GRANT_GIVEN, .lease_ms = LEASE / CW_MS};

    begin(1 << B);
    assert_int_equal(cw_grants_ask(&primary, B, START).number, 1);
    cw_grants_on_grant(&primary, B, 2, REIGN, &grant, START);
    cw_grants_on_grant(&primary, B, 3, REIGN + 1, &grant, START);
    assert_int_equal(deadline(), 0);
    cw_grants_on_grant(&primary, B, 3, REIGN, &grant, START);
    assert_int_equal(deadline(), START + USABLE);
    assert_int_equal(cw_grants_deadline_ns(&primary, 4, REIGN), 0);
    cw_grants_end_reign(&primary);
    assert_int_equal(deadline(), 0);
    cw_grants_begin_reign(&primary, 5, REIGN + 2, 1 << B);
    cw_grants_on_grant(&primary, B, 5, REIGN + 2, &grant, START); /* nothing was asked in this reign */
    assert_int_equal(cw_grants_deadline_ns(&primary, 5, REIGN + 2), 0);
}

static void a_refusal_takes_nothing_back_and_a_short_grant_is_short(void **state)
{
    struct cw_message_grant refusal = {.result = CW_GRANT_OPENING},
                            small = {.result = CW_GRANT_GIVEN, .lease_ms = 2000};

    begin(1 << B);
    answer_from(B, cw_grants_ask(&primary, B, START).number, START);
    refusal.number = cw_grants_ask(&primary, B, START + CW_SECOND).number;
    cw_grants_on_grant(&primary, B, 3, REIGN, &refusal, START + CW_SECOND);
    assert_int_equal(deadline(), START + USABLE);
    small.number = cw_grants_ask(&primary, B, START + 4 * CW_SECOND).number;
    cw_grants_on_grant(&primary, B, 3, REIGN, &small, START + 4 * CW_SECOND);
    assert_int_equal(deadline(), START + 4 * CW_SECOND + 1880 * CW_MS);
}

/* ---------------------------------------------------------------- the granter */

static enum cw_grant_result ask_granter(uint8_t site, uint64_t epoch, uint64_t reign, uint64_t known_epoch,
                                        bool is_opening, uint64_t now_ns)
{
    struct cw_message_grant_ask ask = {.number = 9, .lease_ms = LEASE / CW_MS};
    struct cw_message_grant grant;
    uint64_t to_epoch, to_reign;

    cw_grants_on_ask(&granter, site, epoch, reign, &ask);
    /* the clock of the turn in which it came may have been read before it was sent */
    assert_false(cw_grants_answer(&granter, site, known_epoch, is_opening, now_ns - 60 * CW_SECOND, &grant,
                                  &to_epoch, &to_reign));
    assert_true(cw_grants_has_asks(&granter));
    assert_true(
        cw_grants_answer(&granter, site, known_epoch, is_opening, now_ns, &grant, &to_epoch, &to_reign));
    assert_false(cw_grants_has_asks(&granter));
    assert_int_equal(to_epoch, epoch);
    assert_int_equal(to_reign, reign);
    assert_int_equal(grant.number, 9);
    assert_int_equal(grant.lease_ms, grant.result == CW_GRANT_GIVEN ? LEASE / CW_MS : 0);
    return (enum cw_grant_result)grant.result;
}

static const struct cw_grant_opening of_3 = {.store_epoch = 3, .own_epoch = 3};

static void a_taker_waits_for_what_was_granted(void **state)
{
    begin(0);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START - 100 * CW_SECOND + PROMISE); /* its start */
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_GIVEN);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START + PROMISE);
    assert_true(cw_grants_is_in_use(&granter, &of_3, START + CW_SECOND));
    assert_false(cw_grants_is_in_use(&granter, &of_3, START + 3 * CW_SECOND)); /* silent for so long */
    assert_int_equal(ask_granter(A, 3, REIGN, 3, true, START + CW_SECOND), CW_GRANT_OPENING);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START + PROMISE);
    /* the clock stood while an ask waited: what was promised does not get less */
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START - CW_SECOND), CW_GRANT_GIVEN);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START + PROMISE);
}

static void it_grants_no_more_than_its_own_lease(void **state)
{
    struct cw_message_grant_ask ask = {.number = 1, .lease_ms = 60000};
    struct cw_message_grant grant;
    uint64_t epoch, reign;

    begin(0);
    cw_grants_on_ask(&granter, A, 3, REIGN, &ask);
    (void)cw_grants_answer(&granter, A, 3, false, START, &grant, &epoch, &reign);
    assert_true(cw_grants_answer(&granter, A, 3, false, START, &grant, &epoch, &reign));
    assert_int_equal(grant.lease_ms, 5000);
    assert_int_equal(granter.given_ends_ns, START + PROMISE);
}

static void an_epoch_that_is_over_gets_none(void **state)
{
    begin(0);
    assert_int_equal(ask_granter(A, 2, REIGN, 3, false, START), CW_GRANT_STALE); /* its history has 3 */
    assert_int_equal(ask_granter(C, 4, REIGN, 3, false, START), CW_GRANT_GIVEN);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_STALE);     /* it granted 4 */
    assert_int_equal(ask_granter(A, 4, REIGN + 1, 3, false, START), CW_GRANT_STALE); /* a twin */
    cw_grants_on_store_epoch(&granter, 6);
    assert_int_equal(ask_granter(C, 5, REIGN, 3, false, START), CW_GRANT_STALE);
    assert_int_equal(ask_granter(C, 6, REIGN, 3, false, START), CW_GRANT_GIVEN);
}

static void a_blank_site_grants_nothing_before_it_was_told(void **state)
{
    begin(0);
    cw_grants_init(&granter, true, true, LEASE, START);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_STALE);
    cw_grants_on_store_epoch(&granter, 0);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_GIVEN);
}

static void freeze_neither_asks_nor_grants_and_waits_after_its_start(void **state)
{
    begin(0);
    cw_grants_init(&granter, false, false, LEASE, START);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START + CW_SECOND), CW_GRANT_FREEZE);
    cw_grants_begin_reign(&granter, 4, REIGN, 1 << A);
    assert_false(cw_grants_wants_ask(&granter, A, START + CW_SECOND));
    /* the process before may have been configured otherwise */
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START + PROMISE);
}

static void a_release_ends_its_own_grant_only(void **state)
{
    begin(0);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_GIVEN);
    cw_grants_on_release(&granter, A, 2, REIGN);
    cw_grants_on_release(&granter, A, 3, REIGN + 1);
    cw_grants_on_release(&granter, C, 3, REIGN);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3), START + PROMISE);
    cw_grants_on_release(&granter, A, 3, REIGN);
    assert_int_equal(cw_grants_claim_ns(&granter, &of_3),
                     START - 100 * CW_SECOND + PROMISE); /* the start stays */
    /* an ask that the release has overtaken */
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_STALE);
}

struct row {
    const char *what;
    uint64_t given_epoch; /* 0: nothing was granted */
    struct cw_grant_opening opening;
    bool waits;
};

static const struct row rows[] = {
    {"nobody ever reigned", 0, {.store_epoch = 0, .own_epoch = 0}, false},
    {"the store has forgotten a reign", 0, {.store_epoch = 0, .own_epoch = 2}, true},
    {"the store has forgotten who asks us", 3, {.store_epoch = 0, .own_epoch = 0}, true},
    {"our own reign, which we know", 0, {.store_epoch = 3, .own_epoch = 3, .is_ours = true}, false},
    {"our own claim, of which we died", 0, {.store_epoch = 3, .own_epoch = 2, .is_ours = true}, true},
    {"... and then granted the reign before", 2, {.store_epoch = 3, .own_epoch = 2, .is_ours = true}, true},
    {"our epoch, and somebody asks in it", 3, {.store_epoch = 3, .own_epoch = 3, .is_ours = true}, true},
    {"another's reign", 3, {.store_epoch = 3, .own_epoch = 3}, true},
    {"fenced, we followed it", 3, {.store_epoch = 3, .own_epoch = 3, .is_fenced = true}, false},
    {"fenced, it asked us", 3, {.store_epoch = 3, .own_epoch = 2, .is_fenced = true}, false},
    {"fenced, unknown here: only claimed?", 2, {.store_epoch = 3, .own_epoch = 2, .is_fenced = true}, true},
    {"fenced, but a later one asks us", 4, {.store_epoch = 3, .own_epoch = 3, .is_fenced = true}, true},
    {"fenced, and we know a later one", 0, {.store_epoch = 3, .own_epoch = 4, .is_fenced = true}, true},
};

static void what_spares_a_taker_the_wait(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        const struct row *r = &rows[i];
        begin(0);
        cw_grants_init(&granter, true, false, LEASE, START - CW_SECOND);
        if (r->given_epoch > 0)
            assert_int_equal(ask_granter(A, r->given_epoch, REIGN, 0, false, START), CW_GRANT_GIVEN);
        uint64_t until_ns = cw_grants_claim_ns(&granter, &r->opening);
        if ((until_ns > 0) != r->waits)
            fail_msg("%s: waits until %llu", r->what, (unsigned long long)until_ns);
        if (r->waits)
            assert_int_equal(until_ns, (r->given_epoch ? START : START - CW_SECOND) + PROMISE);
    }
}

static void who_has_a_later_epoch_need_not_leave_it_in_use(void **state)
{
    struct cw_grant_opening later = {.store_epoch = 4, .own_epoch = 3};
    struct cw_grant_opening fenced = {.store_epoch = 3, .own_epoch = 3, .is_fenced = true};

    begin(0);
    assert_int_equal(ask_granter(A, 3, REIGN, 3, false, START), CW_GRANT_GIVEN);
    assert_true(cw_grants_is_in_use(&granter, &of_3, START));
    assert_false(cw_grants_is_in_use(&granter, &later, START));
    assert_false(cw_grants_is_in_use(&granter, &fenced, START));
}

/* Rates 1 % apart, any delay of the ask and the answer: the primary's end is before the granter's. */
static void ends_do_not_overlap_at_any_rate_and_delay(void **state)
{
    for (uint64_t there = 0; there <= 20 * CW_SECOND; there += 1777 * CW_MS)
        for (int slow = 0; slow < 2; slow++) {
            double of_primary = slow ? 0.995 : 1.005, of_granter = slow ? 1.005 : 0.995;
            begin(1 << B);
            struct cw_message_grant_ask ask = cw_grants_ask(&primary, B, START);
            cw_grants_on_ask(&granter, A, 3, REIGN, &ask);
            struct cw_message_grant grant;
            uint64_t epoch, reign, at = START + (uint64_t)((double)there * of_granter);
            (void)cw_grants_answer(&granter, A, 3, false, at, &grant, &epoch, &reign);
            assert_true(cw_grants_answer(&granter, A, 3, false, at, &grant, &epoch, &reign));
            cw_grants_on_grant(&primary, B, epoch, reign, &grant, START + there);
            double primary_ends = (double)(deadline() - START) / of_primary;
            double granter_ends = (double)(cw_grants_claim_ns(&granter, &of_3) - START) / of_granter;
            assert_true(primary_ends < granter_ends);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_counts_from_before_its_ask),
        cmocka_unit_test(answers_overtake_each_other),
        cmocka_unit_test(every_site_must_grant),
        cmocka_unit_test(of_another_reign_it_is_nothing),
        cmocka_unit_test(a_refusal_takes_nothing_back_and_a_short_grant_is_short),
        cmocka_unit_test(a_taker_waits_for_what_was_granted),
        cmocka_unit_test(it_grants_no_more_than_its_own_lease),
        cmocka_unit_test(an_epoch_that_is_over_gets_none),
        cmocka_unit_test(a_blank_site_grants_nothing_before_it_was_told),
        cmocka_unit_test(freeze_neither_asks_nor_grants_and_waits_after_its_start),
        cmocka_unit_test(a_release_ends_its_own_grant_only),
        cmocka_unit_test(what_spares_a_taker_the_wait),
        cmocka_unit_test(who_has_a_later_epoch_need_not_leave_it_in_use),
        cmocka_unit_test(ends_do_not_overlap_at_any_rate_and_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
