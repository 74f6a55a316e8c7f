/* SPDX-License-Identifier: BSD-3-Clause */
/* What fails, what ends, what must not spin: errors of disks, drain, stop, volumes, timers. */
#include "story.h"

static struct pair p;

static bool is_level(struct pair *pair)
{
    return pair_is_level(pair);
}

static void settle(void)
{
    assert_true(pair_until(&p, is_level));
}

static void test_failed_journal_write_stops_the_primary(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    settle();
    p.sites[A].fails[PAIR_JOURNAL_WRITTEN] = CW_IO;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[A].group->role, CW_ROLE_DOWN);
    assert_int_equal(p.requests[write].status, CW_SHUTDOWN);
    assert_true(strstr(p.sites[A].group->reason, "journal") != NULL);
    assert_true(pair_open(&p, B, false));
    pair_fini(&p);
}

/* After a failed sync nobody knows what the device holds: this journal is no member's, whatever the store
 * says. */
static void test_failed_sync_is_remembered(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    settle();
    p.sites[B].fails[PAIR_JOURNAL_SYNCED] = CW_IO;
    pair_write(&p, A, 1, 7, true);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].group->role, CW_ROLE_DOWN);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    p.store.members = cw_bit(A) | cw_bit(B); /* as if it had not been taken out yet */
    assert_false(pair_open(&p, B, false));
    pair_start(&p, A);
    assert_true(pair_open(&p, A, false));
    settle();
    assert_int_equal(p.sites[B].copies, 1);
    pair_fini(&p);
}

static void test_failed_apply_stops_a_replica(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    settle();
    p.sites[B].fails[PAIR_APPLIED] = CW_IO;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].group->role, CW_ROLE_DOWN);
    pair_write(&p, A, 2, 8, false);
    pair_run(&p, 7 * CW_SECOND);
    assert_true(pair_is_done(&p, write));
    assert_true(all_done(&p)); /* A went on alone */
    assert_int_equal(p.store.members, cw_bit(A));
    assert_int_not_equal(pair_peer(&p, A, B)->state, CW_PEER_STREAMING); /* the truth about a silent site */
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    settle();
    pair_fini(&p);
}

static bool is_drained(struct pair *pair)
{
    return pair->sites[A].group->role == CW_ROLE_DRAINED;
}

static bool is_primary_again(struct pair *pair)
{
    return pair->sites[A].group->role == CW_ROLE_PRIMARY;
}

/* Both sides tell when it was, in that order. */
static void check_turn(uint64_t held_ns, uint64_t left_epoch)
{
    struct cw_group_status old, new;
    cw_group_status(p.sites[A].group, p.now_ns, &old);
    cw_group_status(p.sites[B].group, p.now_ns, &new);
    assert_int_equal(old.turn.left_epoch, left_epoch);
    assert_int_equal(old.turn.held_ns, held_ns);
    assert_in_range(old.turn.drained_ns, held_ns, old.turn.left_ns);
    assert_in_range(new.turn.asked_ns, old.turn.left_ns, new.turn.opened_ns);
    assert_in_range(new.turn.opened_ns, old.turn.left_ns + 1, p.now_ns);
    assert_int_equal(new.turn.opened_epoch, new.epoch);
}

static void switchover(enum cw_mode mode)
{
    begin(&p, 2, mode);
    for (uint32_t i = 0; i < 50; i++)
        pair_write(&p, A, i % PAIR_BLOCKS, (uint8_t)i, false);
    uint64_t held_ns = p.now_ns;
    assert_int_equal(cw_group_drain(p.sites[A].group, held_ns), CW_OK);
    assert_true(pair_until(&p, is_drained));
    assert_true(all_done(&p));
    assert_int_equal(p.store.members, cw_bit(A) | cw_bit(B));
    uint64_t left_epoch = p.store.epoch;
    cw_group_fence(p.sites[A].group, left_epoch, p.now_ns);
    assert_true(pair_open(&p, B, false));
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(pair_read(&p, B, i), i);
    check_turn(held_ns, left_epoch);
    settle();
    assert_int_equal(p.sites[A].salvages, 0);
    pair_fini(&p);
}

static void test_switchover(void **state)
{
    for (enum cw_mode mode = CW_MODE_ASYNC; mode < CW_MODE_COUNT; mode++)
        switchover(mode);
}

/* Detached and attached again within one process: the sessions live on, and the other side hears of nothing.
 */
static void reattach(uint8_t id)
{
    uint8_t other = id == A ? B : A;

    p.is_linked[id][other] = p.is_linked[other][id] = false;
    pair_kill(&p, id, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, id);
    p.is_linked[id][other] = p.is_linked[other][id] = true;
    cw_group_on_peer_up(p.sites[id].group, other, p.now_ns);
}

static void test_reattached_group_is_heard(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    settle();
    for (uint32_t i = 0; i < 300; i++) { /* many messages: their numbers must not be waited for again */
        pair_write(&p, A, i % PAIR_BLOCKS, (uint8_t)i, false);
        pair_run(&p, 10 * CW_MS);
    }
    reattach(B);
    settle();
    reattach(A);
    pair_run(&p, CW_SECOND);
    assert_true(pair_open(&p, A, false));
    settle();
    assert_int_equal(p.sites[B].copies, 0);
    pair_fini(&p);
}

static void test_drain_without_a_peer_ends(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.is_held[A][B] = true;
    uint32_t write = pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_MS);
    assert_int_equal(cw_group_drain(p.sites[A].group, p.now_ns), CW_OK);
    pair_link(&p, A, B, false);
    p.is_held[A][B] = false;
    assert_true(pair_until(&p, is_primary_again));
    assert_true(pair_is_done(&p, write));
    pair_write(&p, A, 1, 8, false);
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

static void test_drained_and_forgotten_ends(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    assert_int_equal(cw_group_drain(p.sites[A].group, p.now_ns), CW_OK);
    assert_true(pair_until(&p, is_drained));
    assert_true(pair_until(&p, is_primary_again));
    struct cw_group_status status;
    cw_group_status(p.sites[A].group, p.now_ns, &status);
    assert_int_equal(status.turn.held_ns, 0); /* it did not cease */
    pair_write(&p, A, 1, 8, false);
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

static bool are_stopped(struct pair *pair)
{
    for (uint8_t s = 0; s < pair->site_count; s++)
        if (!cw_group_is_stopped(pair->sites[s].group))
            return false;
    return true;
}

/* Nobody's buffers leave with a group: they are the node's. */
static bool is_nothing_held(struct pair *pair)
{
    for (uint8_t s = 0; s < pair->site_count; s++)
        if (pair->sites[s].payloads > 0)
            return false;
    return true;
}

static void stop_all(void)
{
    for (uint8_t s = 0; s < p.site_count; s++)
        cw_group_stop(p.sites[s].group, p.now_ns);
    uint64_t began = p.turns;
    assert_true(pair_until(&p, are_stopped));
    assert_true(p.turns - began < 2000);
    assert_true(pair_until(&p, all_done));
    assert_true(pair_until(&p, is_nothing_held));
}

static void test_stop_with_load(void **state)
{
    for (enum cw_mode mode = CW_MODE_ASYNC; mode < CW_MODE_COUNT; mode++) {
        begin(&p, 2, mode);
        write_some(&p, A, 100, 3);
        stop_all();
        assert_true(p.sites[A].group->super.is_clean && p.sites[B].group->super.is_clean);
        pair_fini(&p);
    }
}

static void test_stop_with_held_requests(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    pair_link(&p, A, B, false);
    uint32_t write = pair_write(&p, A, 1, 7, false);
    stop_all();
    assert_int_equal(p.requests[write].status, CW_SHUTDOWN);
    pair_fini(&p);
}

static void test_stop_in_each_role(void **state)
{
    for (uint32_t turns = 0; turns < 12; turns++) {
        pair_init(&p, 2, CW_MODE_SYNC);
        struct cw_open_request open = {.holder = CW_SITES_MAX, .reign = 5};
        assert_int_equal(cw_group_open(p.sites[A].group, &open, p.now_ns), CW_OK);
        for (uint32_t i = 0; i < turns; i++)
            pair_turn(&p);
        stop_all();
        pair_fini(&p);
    }
    begin(&p, 2, CW_MODE_SYNC);
    p.sites[A].fails[PAIR_JOURNAL_WRITTEN] = CW_IO;
    pair_write(&p, A, 1, 7, false);
    pair_run(&p, CW_SECOND);
    stop_all();
    pair_fini(&p);
}

static void test_stop_while_copying(void **state)
{
    for (uint32_t turns = 0; turns < 40; turns++) {
        begin(&p, 2, CW_MODE_ASYNC);
        write_some(&p, A, PAIR_BLOCKS, 1);
        assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
        for (uint32_t i = 0; i < turns; i++)
            pair_turn(&p);
        stop_all();
        pair_fini(&p);
    }
}

/* The process stands still between the beginning of a turn and a request of the same turn, whose clock is
 * read anew. */
static void test_pause_within_a_turn(void **state)
{
    static const uint64_t pauses[] = {CW_US, 2 * CW_SECOND, 4 * CW_SECOND, 3600 * CW_SECOND};

    begin(&p, 2, CW_MODE_SYNC);
    settle();
    for (uint32_t i = 0; i < CW_COUNT_OF(pauses); i++) {
        uint64_t began_ns = p.now_ns;
        p.now_ns += pauses[i];
        cw_group_lease(p.sites[A].group, p.now_ns + 5 * CW_SECOND);
        uint32_t write = pair_write(&p, A, i, (uint8_t)(50 + i), true);
        uint64_t now_ns = p.now_ns;
        p.now_ns = began_ns;
        pair_turn(&p);
        assert_int_equal(p.sites[A].group->set.members, cw_bit(A) | cw_bit(B));
        assert_true(p.sites[A].group->now_ns >= now_ns);
        p.now_ns = CW_MAX(p.now_ns, now_ns);
        assert_true(pair_until(&p, all_done));
        assert_int_equal(p.requests[write].status, CW_OK);
        settle();
    }
    assert_int_equal(pair_read(&p, A, 3), 53);
    pair_fini(&p);
}

/* With nothing to do a group wakes up for its timers, and for nothing else. */
static void test_idle_is_quiet(void **state)
{
    begin(&p, 3, CW_MODE_SYNC);
    write_some(&p, A, 20, 1);
    settle();
    pair_run(&p, 2 * CW_SECOND);
    uint64_t before = p.turns;
    pair_run(&p, 10 * CW_SECOND);
    assert_true(p.turns - before < 2000);
    for (uint8_t s = 0; s < 3; s++) {
        assert_true(cw_group_deadline_ns(p.sites[s].group) > p.now_ns - CW_SECOND);
        assert_true(cw_group_deadline_ns(p.sites[s].group) != CW_NEVER);
    }
    pair_fini(&p);
}

/* A held group does not spin either. */
static void test_held_is_quiet(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.store.is_away = true;
    pair_link(&p, A, B, false);
    pair_write(&p, A, 1, 7, false);
    pair_run(&p, 10 * CW_SECOND);
    uint64_t before = p.turns;
    pair_run(&p, 10 * CW_SECOND);
    assert_true(p.turns - before < 2000);
    pair_fini(&p);
}

static void test_volume_is_added_and_removed(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    settle();
    for (uint8_t s = 0; s < 2; s++)
        cw_group_volume_add(p.sites[s].group, 1, PAIR_BLOCK * PAIR_BLOCKS, 0, false);
    assert_true(pair_until(&p, is_protected));
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true;
    write_some(&p, A, 3, 1);
    struct cw_group_write write = {.request = (struct cw_block_request *)(uintptr_t)(p.request_count + 1),
                                   .kind = CW_RECORD_ZEROES,
                                   .volume = 1,
                                   .offset =
                                       40 * PAIR_BLOCK, /* a block that the other volume has as zeroes */
                                   .length = PAIR_BLOCK};
    p.request_count++;
    assert_int_equal(cw_group_write(p.sites[A].group, &write, p.now_ns), CW_OK);
    pair_run(&p, CW_SECOND);
    cw_group_volume_remove(p.sites[B].group, 1); /* its record is not in place yet */
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = false;
    settle();
    pair_fini(&p);
}

/* What waits to be sent when both are compared anew comes in, and is applied, behind the replica's HELLO: the
 * ATTACH names a place below it. */
static void test_volume_is_added_over_a_backlog(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, 20, 1);
    settle();
    uint64_t before = p.sites[B].group->head;
    p.has_backlog[A][B] = true;
    write_some(&p, A, 40, 100);
    pair_run(&p, 300 * CW_MS); /* all is durable here, and B is told what may be applied */
    assert_true(all_done(&p));
    assert_int_equal(p.sites[B].group->head, before);
    p.is_held[B][A] = true;
    for (uint8_t s = 0; s < 2; s++)
        cw_group_volume_add(p.sites[s].group, 1, PAIR_BLOCK * PAIR_BLOCKS, 0, false);
    pair_run(&p, 100 * CW_MS); /* B has said where it stands */
    p.has_backlog[A][B] = false;
    pair_run(&p, 200 * CW_MS);
    assert_true(cw_group_applied_limit(p.sites[B].group) > before);
    assert_int_equal(pair_peer(&p, A, B)->state, CW_PEER_GREETING);
    p.is_held[B][A] = false;
    assert_true(pair_until(&p, is_protected));
    settle();
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_journal_write_stops_the_primary),
        cmocka_unit_test(test_failed_sync_is_remembered),
        cmocka_unit_test(test_failed_apply_stops_a_replica),
        cmocka_unit_test(test_switchover),
        cmocka_unit_test(test_reattached_group_is_heard),
        cmocka_unit_test(test_drain_without_a_peer_ends),
        cmocka_unit_test(test_drained_and_forgotten_ends),
        cmocka_unit_test(test_stop_with_load),
        cmocka_unit_test(test_stop_with_held_requests),
        cmocka_unit_test(test_stop_in_each_role),
        cmocka_unit_test(test_stop_while_copying),
        cmocka_unit_test(test_pause_within_a_turn),
        cmocka_unit_test(test_idle_is_quiet),
        cmocka_unit_test(test_held_is_quiet),
        cmocka_unit_test(test_volume_is_added_and_removed),
        cmocka_unit_test(test_volume_is_added_over_a_backlog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
