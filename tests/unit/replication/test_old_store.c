/* SPDX-License-Identifier: BSD-3-Clause */
/* The store is put back to an older row: what an engine that opens has seen goes with its claim, so that the
 * row can be refused. The store of these stories believes whatever it has. */
#include "story.h"

static struct pair p;

static uint64_t last_epoch(const struct cw_history *history)
{
    const struct cw_history_entry *last = cw_history_last(history);

    return last ? last->epoch : 0;
}

static bool c_follows_b(struct pair *pair)
{
    return pair_peer(pair, B, C)->state == CW_PEER_STREAMING;
}

static void test_first_claims(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    assert_int_equal(p.store.own_epoch, 0);
    assert_int_equal(p.store.seen_epoch, 0);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, false));
    assert_int_equal(p.store.own_epoch, 1);
    assert_int_equal(p.store.seen_epoch, 1);
    assert_int_equal(p.store.epoch, 2);
    pair_fini(&p);
}

/* A followed B in epoch 2, and the row says that A holds epoch 1. */
static void test_own_history_speaks(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    typeof(p.store) before = p.store;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, false));
    pair_start(&p, A);
    assert_true(pair_until(&p, pair_is_level));
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, A);
    p.store = before;
    assert_int_equal(p.store.epoch, 1);
    p.store.members = 1u << A;
    (void)pair_open(&p, A, true);
    assert_int_equal(p.store.own_epoch, 2);
    assert_int_equal(p.store.seen_epoch, 2);
    assert_int_equal(p.store.seen_by, A);
    assert_int_equal(p.store.epoch, 3);
    pair_fini(&p);
}

/* A is back and follows nobody; B reigns in epoch 2, of which C knows; the row says that A holds epoch 1,
 * alone. */
static void row_put_back(void)
{
    begin(&p, 3, CW_MODE_SYNC);
    typeof(p.store) before = p.store;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_link(&p, A, B, false);
    pair_start(&p, A);
    pair_run(&p, 50 * CW_MS);
    assert_true(pair_open(&p, B, false));
    write_some(&p, B, 10, 50);
    assert_true(pair_until(&p, c_follows_b));
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    p.store = before;
    p.store.members = 1u << A;
    assert_int_equal(last_epoch(&p.sites[A].group->super.history), 1);
    assert_int_equal(last_epoch(&pair_peer(&p, A, C)->hello.history), 1); /* of before */
    assert_int_equal(last_epoch(&p.sites[C].group->super.history), 2);
}

/* Who is no member is asked what it knows of epochs, and gives no records: those are B's, whom A does not
 * follow. */
static void test_another_site_speaks(void **state)
{
    row_put_back();
    uint64_t head = p.sites[A].group->head;
    assert_true(p.sites[C].group->head > head + 1);
    p.sites[A].holds[PAIR_SUPER_WRITTEN] = true; /* not further than the claim */
    (void)pair_open(&p, A, false);
    assert_int_equal(p.store.own_epoch, 1);
    assert_int_equal(p.store.seen_epoch, 2);
    assert_int_equal(p.store.seen_by, C);
    assert_int_equal(p.store.epoch, 3);
    assert_int_equal(p.sites[A].group->head, head);
    pair_fini(&p);
}

/* One that says nothing is not waited for. */
static void test_silent_site_is_passed_by(void **state)
{
    row_put_back();
    p.is_held[C][A] = true;
    assert_true(pair_open(&p, A, false));
    assert_int_equal(p.store.seen_epoch, 1);
    assert_int_equal(p.store.epoch, 2);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_claims),
        cmocka_unit_test(test_own_history_speaks),
        cmocka_unit_test(test_another_site_speaks),
        cmocka_unit_test(test_silent_site_is_passed_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
