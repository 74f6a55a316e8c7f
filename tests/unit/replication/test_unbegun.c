/* SPDX-License-Identifier: BSD-3-Clause */
/* A claim that the store writes long after who asked gave up waiting: the row says that B holds a reign that B
 * never opened, and A went on meanwhile. Who holds it like that is judged as a taker is. */
#include "story.h"

static struct pair p;

static bool is_claiming(struct pair *pair)
{
    return pair->sites[B].group->role == CW_ROLE_CLAIMING && pair->store.holder == B;
}

static bool b_follows_a(struct pair *pair)
{
    return pair_peer(pair, A, B)->state == CW_PEER_STREAMING;
}

static bool is_refused(const char *word)
{
    return strstr(p.sites[B].group->refusal, word) != NULL;
}

/* B claims, hears nothing, and is told to leave it; A goes on as if nothing had been. Gives the row as the claim
 * made it, which is not there yet. */
static void claim_that_is_late(enum cw_mode mode, typeof(p.store) *late)
{
    begin(&p, 2, mode);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    typeof(p.store) before = p.store;
    pair_link(&p, A, B, false);
    p.store.is_stuck = true;
    struct cw_open_request open = {.store_epoch = before.epoch,
                                   .holder = before.holder,
                                   .members = before.members,
                                   .reign = 4711,
                                   .accept_loss = !cw_mode_has_set(mode)};
    memcpy(open.identities, before.identities, sizeof open.identities);
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
    assert_true(pair_until(&p, is_claiming));
    *late = p.store;
    late->is_stuck = false;
    p.store = before;
    cw_group_on_claimed(p.sites[B].group, CW_CLAIM_REFUSED, "nobody answered", p.now_ns);
    pair_link(&p, A, B, true);
    assert_true(pair_until(&p, b_follows_a));
    write_some(&p, A, 20, 100);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
}

static void expect_writes(void)
{
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(pair_read(&p, B, i), (uint8_t)(100 + i));
}

/* What A acknowledged, B has: as long as it is who it was. */
static void test_same_boot_opens(void **state)
{
    typeof(p.store) late;

    claim_that_is_late(CW_MODE_SYNC, &late);
    p.store = late;
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, false));
    assert_int_equal(p.store.epoch, late.epoch + 1);
    expect_writes();
    pair_fini(&p);
}

static void test_rebooted_asks_all(void **state)
{
    typeof(p.store) late;

    claim_that_is_late(CW_MODE_SYNC, &late);
    p.store = late;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_false(pair_open(&p, B, false));
    assert_true(is_refused("never opened"));
    pair_start(&p, A);
    pair_run(&p, CW_SECOND);
    assert_true(pair_open(&p, B, false));
    expect_writes();
    pair_fini(&p);
}

static void test_rebooted_accepts_the_loss(void **state)
{
    typeof(p.store) late;

    claim_that_is_late(CW_MODE_SYNC, &late);
    p.store = late;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, true));
    pair_fini(&p);
}

/* In semi-sync what it was sent may have been in memory only. */
static void test_restarted_in_semi_sync(void **state)
{
    typeof(p.store) late;

    claim_that_is_late(CW_MODE_SEMI_SYNC, &late);
    p.store = late;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    assert_false(pair_open(&p, B, false));
    assert_true(is_refused("never opened"));
    pair_fini(&p);
}

/* In async B has more than when it claimed, so A went on: how much B lacks only A knows. */
static void test_async_went_on(void **state)
{
    typeof(p.store) late;

    claim_that_is_late(CW_MODE_ASYNC, &late);
    p.store = late;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_false(pair_open(&p, B, false));
    assert_true(is_refused("never opened"));
    pair_start(&p, A);
    pair_run(&p, CW_SECOND);
    assert_true(pair_open(&p, B, false));
    expect_writes();
    pair_fini(&p);
}

/* The common one: the claim was written, and the process died before its superblock was. */
static void test_death_after_the_claim(void **state)
{
    for (enum cw_mode mode = CW_MODE_ASYNC; mode <= CW_MODE_SYNC; mode += 2) {
        begin(&p, 2, mode);
        write_some(&p, A, 20, 100);
        assert_true(pair_until(&p, all_done));
        pair_run(&p, CW_SECOND);
        pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
        p.sites[B].holds[PAIR_SUPER_WRITTEN] = true;
        struct cw_open_request open = {.store_epoch = p.store.epoch,
                                       .holder = p.store.holder,
                                       .members = p.store.members,
                                       .reign = 4711,
                                       .accept_loss = mode == CW_MODE_ASYNC};
        memcpy(open.identities, p.store.identities, sizeof open.identities);
        assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
        pair_run(&p, 5 * CW_SECOND);
        assert_int_equal(p.store.holder, B);
        pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
        p.sites[B].holds[PAIR_SUPER_WRITTEN] = false;
        pair_start(&p, B);
        assert_true(pair_open(&p, B, false));
        expect_writes();
        pair_fini(&p);
    }
}

/* Nobody claimed it: the store was lost, and rebuilt for who was primary. */
static void test_rebuilt_row(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 20, 100);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    p.store.epoch++;
    p.store.reign = 4711;
    p.store.first_sequence = 0;
    p.store.members = 1u << A;
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_start(&p, A);
    assert_true(pair_open(&p, A, false));
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_boot_opens),
        cmocka_unit_test(test_rebooted_asks_all),
        cmocka_unit_test(test_rebooted_accepts_the_loss),
        cmocka_unit_test(test_restarted_in_semi_sync),
        cmocka_unit_test(test_async_went_on),
        cmocka_unit_test(test_death_after_the_claim),
        cmocka_unit_test(test_rebuilt_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
