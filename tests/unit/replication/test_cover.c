/* SPDX-License-Identifier: BSD-3-Clause */
/* The store goes, the group goes on or freezes: stories of what covers a reign, and of who takes over when.
 */
#include "story.h"

static struct pair p;

static void begin_granting(uint32_t sites, enum cw_mode mode, bool peer_grants)
{
    pair_init_granting(&p, sites, mode, peer_grants);
    assert_true(pair_open(&p, A, false));
    assert_true(pair_until(&p, is_protected));
}

static struct cw_group_status status_of(uint8_t site)
{
    struct cw_group_status status;
    cw_group_status(p.sites[site].group, p.now_ns, &status);
    return status;
}

static struct cw_open_request request_of_store(void)
{
    struct cw_open_request open = {
        .store_epoch = p.store.epoch, .holder = p.store.holder, .members = p.store.members, .reign = 12345};
    memcpy(open.identities, p.store.identities, sizeof open.identities);
    return open;
}

static void expect_writes_go_on(void)
{
    write_some(&p, A, 5, 10);
    pair_flush(&p, A);
    assert_true(pair_until(&p, all_done));
}

static void expect_held(void)
{
    struct cw_group_read read = {.length = PAIR_BLOCK};
    uint8_t bytes[PAIR_BLOCK], *slices[1] = {bytes};

    assert_true(status_of(A).is_frozen);
    assert_int_equal(cw_group_may_answer(p.sites[A].group, p.now_ns), CW_AGAIN);
    assert_int_equal(cw_group_read_begin(p.sites[A].group, &read), CW_OK);
    cw_group_read_end(p.sites[A].group, &read, slices, 1);
    assert_int_equal(cw_group_read_may_answer(p.sites[A].group, &read, p.now_ns), CW_AGAIN);
    uint32_t flush = pair_flush(&p, A);
    pair_run(&p, 2 * CW_SECOND);
    assert_false(pair_is_done(&p, flush));
}

static void test_goes_on_without_the_store(void **state)
{
    begin_granting(3, CW_MODE_SYNC, true);
    assert_int_equal(status_of(A).cover, CW_COVER_STORE);
    uint64_t events = p.sites[A].events;
    p.renews_lease = false;
    p.store.is_away = true;
    pair_run(&p, 60 * CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    assert_false(status_of(A).is_frozen);
    assert_string_equal(status_of(A).reason,
                        "the store does not renew the lease: it goes on by grants of its "
                        "other sites; roles cannot change");
    assert_int_equal(p.sites[A].events, events + 1); /* once */
    assert_non_null(strstr(p.sites[A].last_event, "goes on by grants"));
    expect_writes_go_on();
    p.renews_lease = true;
    p.store.is_away = false;
    pair_run(&p, CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_STORE);
    assert_string_equal(status_of(A).reason, "");
    assert_string_equal(p.sites[A].last_event, "the store renews the lease again");
    pair_fini(&p);
}

static void test_freeze_freezes(void **state)
{
    begin_granting(2, CW_MODE_ASYNC, false);
    p.renews_lease = false;
    pair_run(&p, 6 * CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_NONE);
    assert_non_null(strstr(status_of(A).reason, "on_store_loss: freeze"));
    expect_held();
    p.renews_lease = true;
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* Any of them gone is enough, members of the set or not. */
static void test_store_and_a_site_gone_freezes(void **state)
{
    begin_granting(3, CW_MODE_ASYNC, true);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    pair_link(&p, A, C, false);
    pair_run(&p, 3 * CW_SECOND); /* what C granted is not over */
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    pair_run(&p, 3 * CW_SECOND);
    assert_non_null(strstr(status_of(A).reason, "site 2 grants one, which is not heard"));
    assert_non_null(strstr(p.sites[A].last_event, "frozen"));
    expect_held();
    pair_link(&p, A, C, true);
    assert_true(pair_until(&p, all_done));
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    pair_fini(&p);
}

/* A site that is configured otherwise says so. */
static void test_mixed_configuration_is_told(void **state)
{
    begin_granting(2, CW_MODE_ASYNC, true);
    p.peer_grants = false;
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    p.renews_lease = false;
    pair_run(&p, 6 * CW_SECOND);
    assert_non_null(strstr(status_of(A).reason, "gives none (on_store_loss: freeze there)"));
    expect_held();
    pair_fini(&p);
}

/* The set cannot be changed, so whoever it names is waited for. */
static void test_a_stalled_member_holds_writes(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    p.renews_lease = false;
    p.store.is_away = true;
    pair_run(&p, 10 * CW_SECOND);
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 20 * CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    assert_false(pair_is_done(&p, write));
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* ---------------------------------------------------------------- taking over */

static void test_who_lives_by_a_grant_keeps_it(void **state)
{
    struct cw_open_request open;

    begin_granting(2, CW_MODE_SYNC, true);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    open = request_of_store();
    open.accept_loss = true;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_AGAIN);
        assert_non_null(strstr(status_of(B).refusal, "site 0 lives"));
        pair_run(&p, CW_SECOND);
    }
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    expect_writes_go_on();
    pair_fini(&p);
}

/* Dead: the taker waits for its own grant, and not longer. */
static void test_promotion_waits_for_the_grant(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    uint64_t died_ns = p.now_ns, given_ns = p.sites[B].group->grants.given_ns;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    struct cw_open_request open = request_of_store();
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_AGAIN);
    pair_run(&p, 3 * CW_SECOND);
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
    while (p.sites[B].group->role != CW_ROLE_CLAIMING)
        pair_turn(&p);
    assert_non_null(strstr(status_of(B).reason, "waits"));
    uint64_t epoch = p.store.epoch;
    while (p.sites[B].group->role != CW_ROLE_PRIMARY) {
        pair_turn(&p);
        assert_true(p.store.epoch == epoch || p.now_ns >= given_ns + 5050 * CW_MS);
    }
    assert_true(p.now_ns < died_ns + 5200 * CW_MS);
    p.renews_lease = true;
    pair_turn(&p);
    assert_int_equal(pair_read(&p, B, 9), 19);
    pair_fini(&p);
}

/* Somebody who asks for it by name ends what a living primary has: what that answered until its last grant
 * ran out is taken along, whatever the mode, and nothing is answered later. */
static void test_a_promotion_that_is_asked_for_ends_the_grant(void **state)
{
    static const enum cw_mode modes[] = {CW_MODE_SYNC, CW_MODE_ASYNC};
    for (size_t i = 0; i < CW_COUNT_OF(modes); i++) {
        begin_granting(2, modes[i], true);
        p.renews_lease = false;
        pair_run(&p, 10 * CW_SECOND);
        struct cw_open_request open = request_of_store();
        open.ends_grants = true;
        open.accept_loss = modes[i] == CW_MODE_ASYNC;
        assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_AGAIN);
        assert_non_null(strstr(status_of(B).refusal, "gives it no more"));
        uint64_t given_ns = p.sites[B].group->grants.given_ns, value = 20, next_ns = 0;
        uint32_t write = pair_write(&p, A, 3, (uint8_t)value, false);
        while (cw_group_open(p.sites[B].group, &open, p.now_ns) == CW_AGAIN) {
            pair_turn(&p);
            bool is_served = status_of(A).cover != CW_COVER_NONE;
            if (is_served && pair_is_done(&p, write) && p.now_ns >= next_ns) {
                next_ns = p.now_ns + 50 * CW_MS;
                write = pair_write(&p, A, 3, (uint8_t)++value, false);
            }
        }
        assert_int_equal(p.sites[B].group->grants.given_ns, given_ns);
        assert_true(value > 21);
        assert_int_equal(status_of(A).cover, CW_COVER_NONE);
        assert_true(p.now_ns >= given_ns + 5050 * CW_MS && p.now_ns < given_ns + 5500 * CW_MS);
        while (p.sites[B].group->role != CW_ROLE_PRIMARY)
            pair_turn(&p);
        p.renews_lease = true;
        pair_run(&p, CW_SECOND);
        assert_int_equal(p.sites[A].group->role, CW_ROLE_REPLICA);
        assert_in_range((uint8_t)(pair_read(&p, B, 3) - (value - 1)), 0,
                        1); /* the one that is held, perhaps */
        pair_fini(&p);
    }
}

/* Who asked for it gave up, or the engine could not open: the primary has its grants again. */
static void test_a_promotion_that_gave_up_lets_it_go_on(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    struct cw_open_request open = request_of_store();
    open.ends_grants = true;
    while (status_of(A).cover != CW_COVER_NONE) { /* it freezes before what was given runs out at B */
        assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_AGAIN);
        pair_turn(&p);
    }
    pair_run(&p, 4 * CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    expect_writes_go_on();
    pair_fini(&p);
}

/* From the moment it begins nothing is granted, also when it comes to nothing. */
static void test_an_opening_grants_nothing(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    p.is_held[A][B] = true;
    pair_run(&p, 3 * CW_SECOND);
    struct cw_open_request open = request_of_store();
    p.store.is_stuck = true; /* the claim is never answered */
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
    p.is_held[A][B] = false;
    uint64_t given_ns = p.sites[B].group->grants.given_ns;
    pair_run(&p, 3 * CW_SECOND);
    assert_int_equal(p.sites[B].group->grants.given_ns, given_ns);
    assert_int_equal(p.sites[A].group->grants.from[B].result, CW_GRANT_OPENING);
    cw_group_fence(p.sites[B].group, p.store.epoch + 10, p.now_ns);
    pair_run(&p, 3 * CW_SECOND);
    assert_int_equal(p.sites[B].group->grants.given_ns == given_ns, p.sites[B].group->is_claim_in_flight);
    pair_fini(&p);
}

static void test_a_restarted_granter_waits_a_lease(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    cw_group_set_replica_timeout(p.sites[A].group, 60 * CW_SECOND);
    pair_link(&p, A, B, false); /* A goes on by what B granted */
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    uint64_t started_ns = p.now_ns, epoch = p.store.epoch;
    struct cw_open_request open = request_of_store();
    while (cw_group_open(p.sites[B].group, &open, p.now_ns) == CW_AGAIN)
        pair_turn(&p);
    while (p.store.epoch == epoch) {
        assert_true(p.now_ns < started_ns + 6 * CW_SECOND);
        pair_turn(&p);
    }
    assert_true(p.now_ns >= started_ns + 5050 * CW_MS);
    assert_int_equal(cw_group_may_answer(p.sites[A].group, p.now_ns), CW_AGAIN);
    pair_fini(&p);
}

/* A restarted holder waits for nobody: nothing it granted can be in use. */
static void test_a_restarted_holder_does_not_wait(void **state)
{
    begin_granting(2, CW_MODE_SYNC, true);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, A);
    uint64_t started_ns = p.now_ns;
    assert_true(pair_open(&p, A, false));
    assert_true(p.now_ns < started_ns + CW_SECOND);
    pair_fini(&p);
}

static void fence_a(void)
{
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
}

/* A switchover does not wait, by the former primary's word or, without that, by the store's. */
static void test_a_fenced_primary_is_not_waited_for(void **state)
{
    for (int is_word_lost = 0; is_word_lost < 2; is_word_lost++) {
        begin_granting(2, CW_MODE_SYNC, true);
        pair_run(&p, 10 * CW_SECOND);
        p.is_held[A][B] = is_word_lost;
        fence_a();
        pair_run(&p, 10 * CW_MS);
        assert_int_equal(p.sites[B].group->grants.given_ends_ns == 0, !is_word_lost);
        p.is_held[A][B] = false;
        if (is_word_lost)
            pair_link(&p, A, B, false);
        struct cw_open_request open = request_of_store();
        open.is_fenced = is_word_lost;
        uint64_t began_ns = p.now_ns;
        assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
        while (p.sites[B].group->role != CW_ROLE_PRIMARY) {
            assert_true(p.now_ns < began_ns + 2 * CW_SECOND);
            pair_turn(&p);
        }
        pair_fini(&p);
    }
}

/* What ends a reign is told to all, whatever it is; nothing of it is answered afterwards. */
static void test_a_primary_that_goes_down_releases(void **state)
{
    begin_granting(2, CW_MODE_ASYNC, true);
    pair_run(&p, 2 * CW_SECOND);
    assert_int_equal(status_of(B).granted_to, A);
    p.sites[A].fails[PAIR_JOURNAL_WRITTEN] = CW_IO;
    pair_write(&p, A, 1, 1, false);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[A].group->role, CW_ROLE_DOWN);
    assert_int_equal(p.sites[B].group->grants.given_ends_ns, 0);
    assert_int_equal(status_of(B).granted_to, CW_SITES_MAX);
    pair_fini(&p);
}

/* A site whose own group is down could be promoted after a restart: it grants. */
static void test_a_site_that_is_down_grants(void **state)
{
    begin_granting(2, CW_MODE_ASYNC, true);
    p.sites[B].fails[PAIR_JOURNAL_WRITTEN] = CW_IO;
    pair_write(&p, A, 1, 1, false);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].group->role, CW_ROLE_DOWN);
    p.renews_lease = false;
    pair_run(&p, 20 * CW_SECOND);
    assert_int_equal(status_of(A).cover, CW_COVER_GRANTS);
    pair_fini(&p);
}

/* The end is looked at when the answer leaves, by a clock read then. */
static void test_the_last_check_counts_the_later_end(void **state)
{
    begin_granting(2, CW_MODE_ASYNC, true);
    pair_run(&p, 3 * CW_SECOND);
    const struct cw_group *g = p.sites[A].group;
    uint64_t grants_ns = g->grants.from[B].deadline_ns;
    cw_group_lease(p.sites[A].group, grants_ns - CW_SECOND);
    assert_int_equal(cw_group_may_answer(g, grants_ns - 1), CW_OK);
    assert_int_equal(cw_group_may_answer(g, grants_ns), CW_AGAIN);
    cw_group_lease(p.sites[A].group, grants_ns + CW_SECOND);
    assert_int_equal(cw_group_may_answer(g, grants_ns), CW_OK);
    assert_int_equal(cw_group_may_answer(g, grants_ns + CW_SECOND), CW_AGAIN);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_without_the_store),
        cmocka_unit_test(test_freeze_freezes),
        cmocka_unit_test(test_store_and_a_site_gone_freezes),
        cmocka_unit_test(test_mixed_configuration_is_told),
        cmocka_unit_test(test_a_stalled_member_holds_writes),
        cmocka_unit_test(test_who_lives_by_a_grant_keeps_it),
        cmocka_unit_test(test_a_promotion_that_is_asked_for_ends_the_grant),
        cmocka_unit_test(test_a_promotion_that_gave_up_lets_it_go_on),
        cmocka_unit_test(test_promotion_waits_for_the_grant),
        cmocka_unit_test(test_an_opening_grants_nothing),
        cmocka_unit_test(test_a_restarted_granter_waits_a_lease),
        cmocka_unit_test(test_a_restarted_holder_does_not_wait),
        cmocka_unit_test(test_a_fenced_primary_is_not_waited_for),
        cmocka_unit_test(test_a_primary_that_goes_down_releases),
        cmocka_unit_test(test_a_site_that_is_down_grants),
        cmocka_unit_test(test_the_last_check_counts_the_later_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
