/* SPDX-License-Identifier: BSD-3-Clause */
/* When is a request answered? Each mode, each kind, with one condition missing at a time. */
#include "story.h"

static struct pair p;

/* Everything that a message or a disk needs in order to answer, many times over, but for what is held. */
static void wait_long(void)
{
    pair_run(&p, 400 * CW_MS);
}

static void expect_ok(uint32_t request)
{
    for (uint32_t i = 0; i < 4000 && !pair_is_done(&p, request); i++)
        pair_turn(&p);
    assert_true(pair_is_done(&p, request));
    assert_int_equal(p.requests[request].status, CW_OK);
}

static void expect_held(uint32_t request)
{
    wait_long();
    assert_false(pair_is_done(&p, request));
}

static void test_async_waits_for_the_own_journal(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    p.sites[A].holds[PAIR_JOURNAL_WRITTEN] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    expect_held(write);
    p.sites[A].holds[PAIR_JOURNAL_WRITTEN] = false;
    expect_ok(write);
    pair_fini(&p);
}

static void test_async_flush_waits_for_the_sync(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    wait_long();
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false), flush = pair_flush(&p, A);
    wait_long();
    assert_true(pair_is_done(&p, write));
    assert_false(pair_is_done(&p, flush));
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = false;
    expect_ok(flush);
    pair_fini(&p);
}

static void test_semi_sync_waits_for_reception(void **state)
{
    begin(&p, 2, CW_MODE_SEMI_SYNC);
    p.is_held[A][B] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    expect_held(write);
    p.is_held[A][B] = false;
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true; /* memory is enough */
    expect_ok(write);
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    pair_fini(&p);
}

static void test_sync_waits_for_the_other_journal(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    wait_long();
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    expect_held(write);
    assert_true(p.sites[A].group->applied < p.sites[A].group->head); /* nor is it applied here */
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true; /* written is enough */
    expect_ok(write);
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = false;
    pair_fini(&p);
}

static void test_sync_flush_and_fua_wait_for_the_other_disk(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    wait_long();
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false), flush = pair_flush(&p, A);
    uint32_t fua = pair_write(&p, A, 2, 8, true);
    wait_long();
    assert_true(pair_is_done(&p, write));
    assert_false(pair_is_done(&p, flush));
    assert_false(pair_is_done(&p, fua));
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = false;
    expect_ok(flush);
    expect_ok(fua);
    pair_fini(&p);
}

static void test_no_answer_over_a_hole(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.is_held[A][B] = true;
    uint32_t first = pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_MS);
    p.is_held[A][B] = false;
    uint32_t second = pair_write(&p, A, 2, 8, false);
    /* the first record comes after the second */
    struct pair_message **at = &p.messages;
    while (*at && (*at)->body_length == 0)
        at = &(*at)->next;
    assert_non_null(*at);
    struct pair_message *late = *at;
    *at = late->next;
    if (!*at)
        p.messages_end = at;
    pair_run(&p, 50 * CW_MS);
    assert_false(pair_is_done(&p, first));
    assert_false(pair_is_done(&p, second));
    late->next = NULL;
    *p.messages_end = late;
    p.messages_end = &late->next;
    expect_ok(first);
    expect_ok(second);
    pair_fini(&p);
}

static void test_lease_holds_and_fence_ends(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.renews_lease = false;
    uint32_t held = pair_flush(&p, A);
    pair_run(&p, CW_MS);
    expect_ok(held);
    pair_run(&p, 6 * CW_SECOND);
    held = pair_flush(&p, A);
    pair_run(&p, CW_SECOND);
    assert_false(pair_is_done(&p, held));
    assert_int_equal(cw_group_may_answer(p.sites[A].group, p.now_ns), CW_AGAIN);
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    pair_run(&p, CW_MS);
    assert_true(pair_is_done(&p, held));
    assert_int_equal(p.requests[held].status, CW_SHUTDOWN);
    assert_int_equal(cw_group_may_answer(p.sites[A].group, p.now_ns), CW_SHUTDOWN);
    pair_fini(&p);
}

static void test_read_of_a_reign_that_ended(void **state)
{
    struct cw_group_read read = {.length = PAIR_BLOCK};
    uint8_t bytes[PAIR_BLOCK], *slices[1] = {bytes};

    begin(&p, 2, CW_MODE_SYNC);
    assert_int_equal(cw_group_read_begin(p.sites[A].group, &read), CW_OK);
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, A, false));
    cw_group_read_end(p.sites[A].group, &read, slices, 1);
    assert_int_equal(cw_group_may_answer(p.sites[A].group, p.now_ns), CW_OK);
    assert_int_equal(cw_group_read_may_answer(p.sites[A].group, &read, p.now_ns), CW_SHUTDOWN);
    pair_fini(&p);
}

static void test_member_leaves_only_by_the_store(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.store.is_away = true;
    pair_link(&p, A, B, false);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 20 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    p.store.is_away = false;
    pair_run(&p, 2 * CW_SECOND);
    expect_ok(write);
    assert_int_equal(p.store.members, cw_bit(A));
    pair_link(&p, A, B, true);
    assert_true(pair_until(&p, is_protected));
    assert_true(pair_until(&p, pair_is_level));
    pair_fini(&p);
}

static void test_member_is_waited_for_first(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    pair_link(&p, A, B, false);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 4 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    pair_run(&p, 3 * CW_SECOND);
    expect_ok(write);
    pair_fini(&p);
}

/* Each session is up for less than the timeout and brings nothing. */
static void test_flapping_is_no_progress(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.is_held[B][A] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    for (uint32_t i = 0; i < 5; i++) {
        pair_link(&p, A, B, false);
        pair_run(&p, CW_SECOND);
        pair_link(&p, A, B, true);
        pair_run(&p, CW_SECOND);
    }
    assert_true(pair_is_done(&p, write));
    p.is_held[B][A] = false;
    pair_fini(&p);
}

/* Told anew while a write already waits: it counts from the last progress. */
static void test_another_replica_timeout(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, false);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    cw_group_set_replica_timeout(p.sites[A].group, 60 * CW_SECOND);
    pair_run(&p, 20 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    assert_int_equal(p.store.members, cw_bit(A) | cw_bit(B));
    cw_group_set_replica_timeout(p.sites[A].group, 100 * CW_MS);
    pair_run(&p, CW_SECOND);
    expect_ok(write);
    assert_int_equal(p.store.members, cw_bit(A));
    pair_fini(&p);
}

static void test_min_in_sync_holds(void **state)
{
    pair_init(&p, 2, CW_MODE_SYNC);
    for (uint8_t s = 0; s < 2; s++)
        cw_group_set_mode(p.sites[s].group, CW_MODE_SYNC, 1, 3);
    assert_true(pair_open(&p, A, false));
    assert_true(pair_until(&p, is_protected));
    pair_link(&p, A, B, false);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 20 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    assert_int_equal(p.store.members, cw_bit(A) | cw_bit(B));
    pair_link(&p, A, B, true);
    pair_run(&p, CW_SECOND);
    expect_ok(write);
    pair_fini(&p);
}

/* The store has taken B out and we do not know it yet: what B holds then is held by no member. */
static void test_min_in_sync_while_a_question_is_out(void **state)
{
    pair_init(&p, 2, CW_MODE_SEMI_SYNC);
    for (uint8_t s = 0; s < 2; s++)
        cw_group_set_mode(p.sites[s].group, CW_MODE_SEMI_SYNC, 1, 3);
    assert_true(pair_open(&p, A, false));
    assert_true(pair_until(&p, is_protected));
    p.store.is_stuck = true;
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.store.members, cw_bit(A));
    assert_int_equal(pair_peer(&p, A, B)->state, CW_PEER_STREAMING);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_SECOND);
    assert_false(pair_is_done(&p, write));
    pair_fini(&p);
}

/* While the store still calls B a member, B must not lack an answered write: not in async either. */
static void test_to_async_and_back(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.store.is_away = true;
    pair_link(&p, A, B, false);
    cw_group_set_mode(p.sites[A].group, CW_MODE_ASYNC, 0, 3);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 3 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    p.store.is_away = false;
    pair_run(&p, 2 * CW_SECOND);
    expect_ok(write);
    assert_int_equal(p.store.members, cw_bit(A));
    cw_group_set_mode(p.sites[A].group, CW_MODE_SYNC, 0, 3);
    pair_link(&p, A, B, true);
    assert_true(pair_until(&p, is_protected));
    pair_fini(&p);
}

/* Towards a replica that is streamed to; whether it arrives is another matter. */
static void test_network_sync_waits_until_it_has_left(void **state)
{
    begin(&p, 2, CW_MODE_NETWORK_SYNC);
    wait_long();
    assert_true(pair_peer(&p, A, B)->is_awaited);
    p.is_held[A][B] = true;
    uint32_t arrives_late = pair_write(&p, A, 1, 7, false);
    expect_ok(arrives_late);
    p.sites[A].holds[PAIR_LEFT] = true;
    uint32_t write = pair_write(&p, A, 1, 8, false), flush = pair_flush(&p, A);
    expect_held(write);
    assert_false(pair_is_done(&p, flush));
    p.sites[A].holds[PAIR_LEFT] = false;
    expect_ok(write);
    expect_ok(flush);
    p.sites[A].holds[PAIR_JOURNAL_WRITTEN] = true; /* and the own journal */
    write = pair_write(&p, A, 1, 9, false);
    expect_held(write);
    p.sites[A].holds[PAIR_JOURNAL_WRITTEN] = false;
    expect_ok(write);
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = true;
    write = pair_write(&p, A, 1, 10, false);
    flush = pair_flush(&p, A);
    wait_long();
    assert_true(pair_is_done(&p, write));
    assert_false(pair_is_done(&p, flush));
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = false;
    expect_ok(flush);
    pair_fini(&p);
}

/* min_in_sync is of the modes that have a set. */
static void test_network_sync_goes_on_without_who_is_gone(void **state)
{
    begin(&p, 2, CW_MODE_NETWORK_SYNC);
    cw_group_set_mode(p.sites[A].group, CW_MODE_NETWORK_SYNC, 1, 3);
    wait_long();
    assert_true(pair_peer(&p, A, B)->is_awaited);
    pair_link(&p, A, B, false);
    expect_ok(pair_write(&p, A, 1, 7, false));
    assert_false(pair_peer(&p, A, B)->is_awaited);
    pair_link(&p, A, B, true);
    for (uint32_t i = 0; i < 4000 && !pair_peer(&p, A, B)->is_awaited; i++)
        pair_turn(&p);
    assert_true(pair_peer(&p, A, B)->is_awaited);
    assert_int_equal(p.sites[A].group->set.members, 1);
    pair_fini(&p);
}

static void test_network_sync_gives_up_on_who_is_stuck(void **state)
{
    begin(&p, 2, CW_MODE_NETWORK_SYNC);
    wait_long();
    p.sites[A].holds[PAIR_LEFT] = true;
    p.is_held[A][B] = true; /* else what it acknowledges has left */
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, 4 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    pair_run(&p, 2 * CW_SECOND);
    assert_true(pair_is_done(&p, write));
    assert_false(pair_peer(&p, A, B)->is_awaited);
    p.sites[A].holds[PAIR_LEFT] = p.is_held[A][B] = false;
    wait_long();
    wait_long();
    assert_true(pair_peer(&p, A, B)->is_awaited);
    pair_fini(&p);
}

static void test_network_sync_departures_of_before_count_not(void **state)
{
    begin(&p, 2, CW_MODE_NETWORK_SYNC);
    wait_long();
    struct cw_group *g = p.sites[A].group;
    uint64_t old = (uint64_t)g->peers[B].attaches << 48 | (g->head + 1);
    pair_link(&p, A, B, false);
    wait_long();
    pair_link(&p, A, B, true);
    for (uint32_t i = 0; i < 4000 && !pair_peer(&p, A, B)->is_awaited; i++)
        pair_turn(&p);
    p.sites[A].holds[PAIR_LEFT] = true;
    p.is_held[A][B] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    cw_group_on_left(g, B, old, p.now_ns);
    expect_held(write);
    p.sites[A].holds[PAIR_LEFT] = p.is_held[A][B] = false;
    expect_ok(write);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_async_waits_for_the_own_journal),
        cmocka_unit_test(test_async_flush_waits_for_the_sync),
        cmocka_unit_test(test_semi_sync_waits_for_reception),
        cmocka_unit_test(test_network_sync_waits_until_it_has_left),
        cmocka_unit_test(test_network_sync_goes_on_without_who_is_gone),
        cmocka_unit_test(test_network_sync_gives_up_on_who_is_stuck),
        cmocka_unit_test(test_network_sync_departures_of_before_count_not),
        cmocka_unit_test(test_sync_waits_for_the_other_journal),
        cmocka_unit_test(test_sync_flush_and_fua_wait_for_the_other_disk),
        cmocka_unit_test(test_no_answer_over_a_hole),
        cmocka_unit_test(test_lease_holds_and_fence_ends),
        cmocka_unit_test(test_read_of_a_reign_that_ended),
        cmocka_unit_test(test_member_leaves_only_by_the_store),
        cmocka_unit_test(test_member_is_waited_for_first),
        cmocka_unit_test(test_flapping_is_no_progress),
        cmocka_unit_test(test_another_replica_timeout),
        cmocka_unit_test(test_min_in_sync_holds),
        cmocka_unit_test(test_min_in_sync_while_a_question_is_out),
        cmocka_unit_test(test_to_async_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
