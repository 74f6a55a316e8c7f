/* SPDX-License-Identifier: BSD-3-Clause */
/* Automatic failover: which facts give which verdict, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "control/failover.h"

#define S        CW_SECOND
#define LEASE_NS (5 * S)

/* West looks at east, at 100 s; everything is well, and then one thing is not. */
static struct cw_authority authority;
static struct cw_candidate west;
static struct cw_lease_watch lease;
static struct cw_failover_facts facts;
static struct cw_failover_verdict verdict;

static struct cw_member member(const char *site, const char *boot)
{
    struct cw_member m = {.journal_id = "j", .process_start = "p"};
    snprintf(m.site, sizeof m.site, "%s", site);
    snprintf(m.boot_id, sizeof m.boot_id, "%s", boot);
    return m;
}

static int begin(void **state)
{
    struct cw_member a = member("east", "b1"), b = member("west", "b2");
    authority = (struct cw_authority){.epoch = 3, .reign = 7, .holder = "east"};
    assert_true(cw_set_put(&authority.set, &a) && cw_set_put(&authority.set, &b));
    west = (struct cw_candidate){.group = "db", .identity = b, .mode = CW_WORD_SYNC};
    lease = (struct cw_lease_watch){.is_seen = true, .epoch = 3, .counter = 9, .since_ns = 99 * S};
    facts = (struct cw_failover_facts){.group = "db",
                                       .site = "west",
                                       .is_automatic = true,
                                       .is_site_of_group = true,
                                       .store_trouble = "",
                                       .now_ns = 100 * S,
                                       .lease_ns = LEASE_NS,
                                       .after_ns = 3 * S,
                                       .authority = &authority,
                                       .candidate = &west,
                                       .lease = &lease,
                                       .began_ns = 1 * S,
                                       .told_ns = 99 * S,
                                       .granted_ns = 104 * S + S / 2,
                                       .preferred = "",
                                       .stopped = "",
                                       .taker = "",
                                       .max_loss_ns = 10 * S,
                                       .max_loss_bytes = CW_MIB};
    return 0;
}

static void silent_for_long(void)
{
    lease.since_ns = facts.told_ns = facts.granted_ns = 10 * S;
}

static void judge(enum cw_failover_answer answer, const char *words)
{
    cw_failover_judge(&facts, &verdict);
    if (verdict.answer != answer || !strstr(verdict.words, words))
        print_error("%s: %s\n", cw_failover_name(verdict.answer), verdict.words);
    assert_int_equal(verdict.answer, answer);
    assert_non_null(strstr(verdict.words, words));
}

/* The first instant, in steps of 10 ms, at which it goes. */
static uint64_t goes_ns(void)
{
    for (; facts.now_ns < 200 * S; facts.now_ns += 10 * CW_MS) {
        cw_failover_judge(&facts, &verdict);
        if (verdict.answer == CW_FAILOVER_GO)
            return facts.now_ns;
        if (verdict.answer == CW_FAILOVER_WAIT)
            assert_true(verdict.deadline_ns > facts.now_ns);
    }
    return 0;
}

static void test_who_never_does(void **state)
{
    judge(CW_FAILOVER_READY, "when east is silent for 3.0 s");
    facts.is_automatic = false;
    judge(CW_FAILOVER_OFF, "manual: causeway promote db");
    facts.is_automatic = true;
    facts.is_embedded = true;
    judge(CW_FAILOVER_OFF, "embedded store");
    facts.is_embedded = false;
    facts.is_deleting = true;
    judge(CW_FAILOVER_OFF, "being deleted");
    facts.is_deleting = false;
    facts.is_site_of_group = false;
    judge(CW_FAILOVER_OFF, "no part");
    facts.is_site_of_group = true;
    facts.site = "east";
    judge(CW_FAILOVER_OFF, "primary of group db itself");
}

/* Its disk failed: it lives, its node's counter moves on for other groups, and it has let go of this one. */
static void test_a_primary_that_stopped(void **state)
{
    facts.stopped = "the journal: Input/output error";
    lease.since_ns = 100 * S; /* not yet let go: by the counter it may serve */
    facts.granted_ns = 0;
    facts.now_ns = 102 * S;
    judge(CW_FAILOVER_READY, "west takes group db over when");
    authority.fenced_epoch = 3;
    lease.since_ns = 102 * S - 1; /* of the whole node: says nothing of this group */
    facts.granted_ns = 110 * S;   /* and was released with the reign */
    facts.told_ns = 102 * S;      /* told before it stopped, or by a mistake */
    facts.fenced_ns = 102 * S;
    facts.now_ns = 102 * S + S / 2;
    judge(CW_FAILOVER_WAIT,
          "east lives, and has stopped it for 0.5 s (the journal: Input/output error); west");
    facts.stopped = ""; /* its controller has not said it yet */
    judge(CW_FAILOVER_WAIT, "east has let go of it for 0.5 s; west takes group db over in 2.5 s");
    assert_int_equal(goes_ns(), 105 * S); /* no lease is waited for */
    judge(CW_FAILOVER_GO, "east has let go of it for 3.0 s: west takes group db over");
    facts.taker = "south";
    judge(CW_FAILOVER_WAIT, "south takes group db already");
    facts.taker = "";
    authority.fenced_epoch = 2; /* that of an earlier epoch is nothing */
    facts.told_ns = lease.since_ns = facts.now_ns;
    judge(CW_FAILOVER_READY, "");
    authority.fenced_epoch = 3;
    authority.set.count = 1; /* east alone: nothing is taken that lacks something */
    judge(CW_FAILOVER_NO, "not in the in-sync set");
}

static void test_who_may(void **state)
{
    silent_for_long();
    judge(CW_FAILOVER_GO, "takes group db over");
    assert_false(verdict.accept_loss);
    facts.candidate = NULL;
    judge(CW_FAILOVER_NO, "does not answer");
    facts.candidate = &west;
    facts.store_trouble = "etcd is gone";
    judge(CW_FAILOVER_NO, "etcd is gone");
    facts.store_trouble = "";
    snprintf(west.identity.boot_id, sizeof west.identity.boot_id, "other");
    judge(CW_FAILOVER_NO, "rebooted");
    snprintf(west.identity.boot_id, sizeof west.identity.boot_id, "b2");
    west.image = CW_WORD_COPYING;
    west.has_old_image = true;
    judge(CW_FAILOVER_NO, "whole image");
    west.image = CW_WORD_WHOLE;
    west.is_foreign = true;
    judge(CW_FAILOVER_NO, "first copy");
    west.is_foreign = false;
    west.mode = CW_WORD_SEMI_SYNC;
    judge(CW_FAILOVER_GO, "");
    snprintf(west.identity.process_start, sizeof west.identity.process_start, "other");
    judge(CW_FAILOVER_NO, "restarted");
    west.mode = CW_WORD_SYNC;
    authority.set.count = 1; /* east alone */
    judge(CW_FAILOVER_NO, "not in the in-sync set");
    authority.holder[0] = 0;
    judge(CW_FAILOVER_NO, "who held group db last is not known");
    authority.epoch = 0;
    judge(CW_FAILOVER_NO, "never open");
}

/* Each sign of life alone keeps it. */
static void test_signs_of_life(void **state)
{
    uint64_t *signs[] = {&lease.since_ns, &facts.told_ns, &facts.granted_ns, &facts.began_ns};
    for (size_t i = 0; i < CW_COUNT_OF(signs); i++) {
        begin(NULL);
        silent_for_long();
        *signs[i] = signs[i] == &facts.granted_ns ? 104 * S : 99 * S;
        judge(CW_FAILOVER_READY, "");
    }
    begin(NULL);
    silent_for_long();
    lease.epoch = 2; /* of another reign: nothing was seen of this one */
    judge(CW_FAILOVER_READY, "");
    lease.epoch = 3;
    facts.told_ns = facts.granted_ns = 0; /* never */
    judge(CW_FAILOVER_GO, "");
}

static void test_times(void **state)
{
    uint64_t wait_ns = LEASE_NS + LEASE_NS / 100;
    assert_in_range(goes_ns(), facts.granted_ns, facts.granted_ns + 20 * CW_MS);
    begin(NULL);
    facts.granted_ns = 0; /* the lease alone */
    assert_in_range(goes_ns(), 99 * S + wait_ns, 99 * S + wait_ns + 20 * CW_MS);
    begin(NULL);
    facts.after_ns = 20 * S;
    uint64_t sign_ns = facts.granted_ns - LEASE_NS;
    assert_in_range(goes_ns(), sign_ns + 20 * S, sign_ns + 20 * S + 20 * CW_MS);
    begin(NULL);
    facts.not_before_ns = 150 * S;
    assert_int_equal(goes_ns(), 150 * S);
    begin(NULL);
    facts.not_before_ns = 120 * S;
    facts.failed = "the journal says no";
    facts.now_ns = 104 * S;
    judge(CW_FAILOVER_WAIT,
          "(the journal says no), and tries again in 16.0 s. At once, by hand: causeway promote db");
    assert_int_equal(goes_ns(), 120 * S);
    begin(NULL);
    facts.now_ns = 103 * S;
    judge(CW_FAILOVER_WAIT, "unless it comes back");
    facts.taker = "north";
    judge(CW_FAILOVER_WAIT, "north takes group db already");
    facts.now_ns = 190 * S;
    judge(CW_FAILOVER_WAIT, "north takes group db already");
}

/* Longer from one to the next, up to a minute; another epoch is another matter. */
static void test_tries(void **state)
{
    struct cw_failover_tries tries = {0};
    static const uint64_t waits[] = {5, 10, 20, 40, 60, 60};
    for (unsigned i = 0; i < CW_COUNT_OF(waits); i++) {
        cw_failover_failed(&tries, 3, 100 * S, "no");
        assert_int_equal(tries.not_before_ns, (100 + waits[i]) * S);
    }
    assert_string_equal(tries.words, "no");
    cw_failover_failed(&tries, 4, 100 * S, "again");
    assert_int_equal(tries.not_before_ns, 105 * S);
    assert_int_equal(tries.epoch, 4);
}

/* One that comes and goes, each time for less than `after`, is never silent. */
static void test_flapping(void **state)
{
    facts.granted_ns = 0;
    facts.after_ns = 10 * S;
    for (; facts.now_ns < 400 * S; facts.now_ns += 100 * CW_MS) {
        if (facts.now_ns / S % 9 == 0)
            facts.told_ns = facts.now_ns;
        cw_failover_judge(&facts, &verdict);
        assert_int_not_equal(verdict.answer, CW_FAILOVER_GO);
    }
}

static void test_rank(void **state)
{
    uint64_t first = goes_ns(), last = first;
    for (uint32_t rank = 1; rank < 4; rank++) {
        begin(NULL);
        facts.rank = rank;
        facts.preferred = "north";
        facts.now_ns = 104 * S;
        judge(CW_FAILOVER_WAIT, "north takes group db over before west");
        uint64_t now = goes_ns();
        assert_true(now >= last + S);
        last = now;
    }
}

static void test_objective(void **state)
{
    static const enum cw_mode_word modes[] = {CW_WORD_ASYNC, CW_WORD_NETWORK_SYNC};
    for (size_t i = 0; i < CW_COUNT_OF(modes); i++) {
        begin(NULL);
        west.mode = modes[i];
        judge(CW_FAILOVER_NO, "is not known");
        facts.lag = (struct cw_failover_lag){.is_known = true,
                                             .as_of_ns = 99 * S,
                                             .lag_ns = S,
                                             .bytes_as_of_ns = 98 * S,
                                             .lag_bytes = 100,
                                             .bytes_per_second = 1000};
        judge(CW_FAILOVER_READY, "");
        /* A grant of 99.5, so a lease later: 5.5 s after the word, one second for its way, and one that it
         * lagged.
         */
        assert_int_equal(verdict.loss_ns, 7 * S + S / 2);
        assert_int_equal(verdict.loss_bytes, 100 + 7500);
        assert_true(goes_ns() > 0);
        assert_true(verdict.accept_loss);
        assert_int_equal(verdict.loss_ns, 7 * S + S / 2);
        facts.max_loss_ns = 7 * S;
        judge(CW_FAILOVER_NO, "may lack up to 7.5 s");
        facts.max_loss_ns = 8 * S;
        facts.max_loss_bytes = 7599;
        judge(CW_FAILOVER_NO, "--accept-loss");
        facts.max_loss_bytes = 7600;
        judge(CW_FAILOVER_GO, "");
        facts.lag.as_of_ns = 98 * S; /* its age is counted */
        judge(CW_FAILOVER_NO, "may lack up to 8.5 s");
        facts.max_loss_bytes = 0;
        judge(CW_FAILOVER_NO, "max_loss=8s,64M");
    }
}

/* One, and then rest. */
static void test_once(void **state)
{
    struct cw_failover_rest rest = {0};
    struct cw_authority next;
    authority.automatic_epoch = 3;
    judge(CW_FAILOVER_NO, "failover=automatic");
    assert_false(cw_failover_rests(&rest, &authority, false, false, 100 * S));
    assert_false(cw_failover_rests(&rest, &authority, true, false, 110 * S));
    assert_false(cw_failover_rests(&rest, &authority, true, false, 169 * S));
    assert_false(cw_failover_rests(&rest, &authority, false, true, 170 * S)); /* broken off */
    assert_false(cw_failover_rests(&rest, &authority, true, false, 171 * S));
    assert_true(cw_failover_rests(&rest, &authority, true, false, 231 * S));
    assert_false(cw_failover_rests(&rest, &authority, false, true, 699 * S));
    assert_true(cw_failover_rests(&rest, &authority, false, true, 700 * S));
    assert_false(cw_failover_rests(&rest, &authority, false, false, 800 * S));
    authority.epoch = 4; /* another reign begins anew */
    assert_false(cw_failover_rests(&rest, &authority, true, true, 900 * S));
    assert_int_equal(cw_decide_rest(&authority, "west", 4, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_rest(&authority, "east", 3, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_rest(&authority, "east", 4, &next).answer, CW_ANSWER_YES);
    assert_int_equal(next.automatic_epoch, 0);
    authority = next;
    judge(CW_FAILOVER_READY, "");
}

/* Words end, whatever the names; no verdict but GO accepts a loss, and never where there is a set. */
static void test_any(void **state)
{
    struct cw_rng rng = {5};
    for (uint32_t i = 0; i < 200000; i++) {
        begin(NULL);
        west.mode = (enum cw_mode_word)cw_rng_below(&rng, CW_WORD_COUNT);
        west.image = (enum cw_image_word)cw_rng_below(&rng, 3);
        authority.set.count = (uint32_t)cw_rng_below(&rng, 3);
        authority.automatic_epoch = cw_rng_below(&rng, 4) ? 0 : 2;
        lease.since_ns = cw_rng_below(&rng, 101) * S;
        lease.epoch = 3 - (cw_rng_below(&rng, 4) == 0);
        facts.told_ns = cw_rng_below(&rng, 101) * S;
        facts.granted_ns = cw_rng_below(&rng, 106) * S;
        facts.rank = (uint32_t)cw_rng_below(&rng, 3);
        facts.lag = (struct cw_failover_lag){.is_known = cw_rng_below(&rng, 4) != 0,
                                             .as_of_ns = cw_rng_below(&rng, 101) * S,
                                             .bytes_as_of_ns = cw_rng_below(&rng, 101) * S};
        cw_failover_judge(&facts, &verdict);
        bool is_go = verdict.answer == CW_FAILOVER_GO;
        assert_true(verdict.words[0] != 0 && memchr(verdict.words, 0, sizeof verdict.words) != NULL);
        assert_int_equal(verdict.accept_loss, is_go && !cw_mode_word_has_set(west.mode));
        if (!is_go)
            continue;
        assert_int_equal(cw_lease_watch_remaining_ns(&lease, 3, LEASE_NS, facts.now_ns), 0);
        assert_true(facts.told_ns + facts.after_ns <= facts.now_ns && facts.granted_ns <= facts.now_ns);
        assert_int_equal(authority.automatic_epoch, 0);
        if (cw_mode_word_has_set(west.mode))
            assert_non_null(cw_set_find(&authority.set, "west"));
        else
            assert_true(verdict.loss_ns <= facts.max_loss_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_who_never_does, begin),
                                       cmocka_unit_test_setup(test_who_may, begin),
                                       cmocka_unit_test_setup(test_a_primary_that_stopped, begin),
                                       cmocka_unit_test_setup(test_signs_of_life, begin),
                                       cmocka_unit_test_setup(test_times, begin),
                                       cmocka_unit_test(test_tries),
                                       cmocka_unit_test_setup(test_flapping, begin),
                                       cmocka_unit_test_setup(test_rank, begin),
                                       cmocka_unit_test_setup(test_objective, begin),
                                       cmocka_unit_test_setup(test_once, begin),
                                       cmocka_unit_test_setup(test_any, begin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
