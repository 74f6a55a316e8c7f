/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known on the day of a loss: the old primary's last word, its tail, when its records were written
 * and which of them were answered. */
#include "replication/group_private.h"
#include "story.h"

static struct pair p;

static void settle(void)
{
    assert_true(pair_until(&p, pair_is_level));
}

static struct cw_heard heard_by(uint8_t site)
{
    struct cw_group_status status;
    cw_group_status(p.sites[site].group, p.now_ns, &status);
    return status.heard;
}

/* Records are held up, the word of how far the primary has come is not: the bound is exact as of that word,
 * and stays when nothing is heard any more, through the takeover. */
static void test_last_word(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    struct cw_group *a = p.sites[A].group;
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    settle();
    uint64_t held = p.sites[B].group->head;
    p.has_backlog[A][B] = true;
    write_some(&p, A, 7, 100);
    pair_run(&p, CW_SECOND);
    uint64_t heard_ns = p.now_ns;
    assert_int_equal(p.sites[B].group->head, held);
    assert_int_equal(heard_by(B).head, held + 7);
    assert_int_equal(heard_by(B).epoch, a->epoch);
    assert_int_equal(heard_by(B).reign, a->reign);
    assert_true(heard_by(B).time_ns >= heard_by(B).newest_ns + 900 * CW_MS);
    pair_link(&p, A, B, false);
    write_some(&p, A, 5, 200);
    pair_run(&p, 3 * CW_SECOND);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    p.has_backlog[A][B] = false;
    assert_true(pair_open(&p, B, true));
    assert_int_equal(heard_by(B).head, held + 7);
    assert_int_equal(heard_by(B).epoch, 1);
    assert_true(heard_by(B).at_ns <= heard_ns);
    pair_fini(&p);
}

/* Twenty writes a second for some seconds, then silence. */
static void test_rate(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    for (uint32_t i = 0; i < 60; i++) {
        pair_write(&p, A, i % PAIR_BLOCKS, (uint8_t)i, false);
        pair_run(&p, 50 * CW_MS);
    }
    assert_in_range(heard_by(B).rate_milli, 17000, 23000);
    pair_link(&p, A, B, false);
    pair_run(&p, 60 * CW_SECOND);
    assert_in_range(heard_by(B).rate_milli, 17000, 23000);
    pair_fini(&p);
}

/* A puts in place what never reached B, dies, and B takes over. */
static void lose_a_tail(void)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, 10, 10);
    settle();
    pair_link(&p, A, B, false);
    write_some(&p, A, 10, 200);
    pair_run(&p, 2 * CW_SECOND);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, true));
    write_some(&p, B, 3, 100);
    pair_start(&p, A);
    pair_link(&p, A, B, true);
}

static bool is_kept(struct pair *pair)
{
    return pair->sites[A].salvages > 0;
}

/* The tail is in a file as soon as its site is back, whatever an operator does; a copy finds it kept. */
static void test_tail_is_kept_at_once(void **state)
{
    lose_a_tail();
    uint64_t common = p.sites[B].group->super.history.entries[1].first_sequence - 1;
    assert_true(pair_until(&p, is_kept));
    assert_int_equal(p.sites[A].salvaged_above, common);
    assert_int_equal(p.sites[A].salvaged_last, common + 10);
    pair_run(&p, 30 * CW_SECOND);
    assert_int_equal(p.sites[A].salvages, 1);
    assert_int_equal(p.sites[A].copies, 0);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES); /* the next process does not know of it */
    pair_start(&p, A);
    pair_run(&p, 5 * CW_SECOND);
    assert_int_equal(p.sites[A].salvages, 2);
    assert_int_equal(cw_group_resync(p.sites[B].group, A), CW_OK);
    settle();
    assert_int_equal(p.sites[A].salvages, 2);
    assert_int_equal(p.sites[A].copies, 1);
    pair_fini(&p);
}

/* No room for it: tried again now and then, and no copy begins before it is there. */
static void test_tail_finds_no_room(void **state)
{
    lose_a_tail();
    p.sites[A].fails[PAIR_SALVAGED] = CW_NO_SPACE;
    pair_run(&p, 15 * CW_SECOND);
    assert_true(p.sites[A].events < 20);
    assert_int_equal(cw_group_resync(p.sites[B].group, A), CW_OK);
    pair_run(&p, 15 * CW_SECOND);
    assert_int_equal(p.sites[A].prepares, 0);
    assert_int_equal(pair_on_disk(&p, A, 5), 205);
    p.sites[A].fails[PAIR_SALVAGED] = CW_OK;
    settle();
    assert_int_equal(p.sites[A].salvages, 1);
    assert_int_equal(p.sites[A].copies, 1);
    pair_fini(&p);
}

/* It is asked to open while its tail is being kept: not now, and it goes on. */
static void test_opening_waits_for_the_tail(void **state)
{
    lose_a_tail();
    p.sites[A].holds[PAIR_SALVAGED] = true;
    pair_run(&p, 2 * CW_SECOND);
    assert_true(p.sites[A].group->tail.is_salvaging);
    struct cw_open_request open = {
        .store_epoch = p.store.epoch, .holder = B, .reign = 99, .accept_loss = true};
    assert_int_equal(cw_group_open(p.sites[A].group, &open, p.now_ns), CW_AGAIN);
    p.sites[A].holds[PAIR_SALVAGED] = false;
    assert_true(pair_until(&p, is_kept));
    pair_fini(&p);
}

/* Every opening notes how wall clock and records' clock lie to each other. */
static void test_openings_are_noted(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    assert_int_equal(p.sites[A].group->super.openings[0].epoch, 1);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, A);
    assert_true(pair_open(&p, A, false));
    assert_int_equal(p.sites[A].group->super.openings[0].epoch, p.sites[A].group->epoch);
    assert_int_equal(p.sites[A].group->super.openings[1].epoch, 1);
    assert_int_equal(p.sites[B].group->super.openings[0].epoch, 0);
    pair_fini(&p);
}

/* What the journal tells, at a start, of the reign of this epoch. */
static uint64_t answered_of(uint8_t site, uint64_t epoch)
{
    const struct cw_recovery_report *report = &p.sites[site].report;
    for (uint32_t i = 0; i < report->answered_count; i++)
        if (report->answered[i].epoch == epoch)
            return report->answered[i].sequence;
    return 0;
}

static void restart(uint8_t site)
{
    pair_kill(&p, site, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, site);
}

/* The journal tells all that was answered a while ago, and nothing that was not; nothing of who only
 * followed. */
static void test_answered(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    uint64_t answered = p.sites[A].group->head;
    p.is_held[B][A] = true; /* sync: no answer without B's word */
    write_some(&p, A, 5, 50);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[A].group->head, answered + 5);
    restart(A);
    assert_int_equal(answered_of(A, 1), answered);
    restart(B);
    assert_int_equal(answered_of(B, 1), 0);
    pair_fini(&p);
}

/* The next reign begins above records that nobody was told of: its answers say nothing of them. */
static void test_answered_of_each_reign(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    p.is_held[B][A] = true;
    write_some(&p, A, 5, 50);
    pair_run(&p, CW_SECOND);
    uint64_t head = p.sites[A].group->head;
    restart(A);
    uint64_t before = answered_of(A, 1);
    assert_true(before < head - 4);
    p.is_held[B][A] = false;
    assert_true(pair_open(&p, A, false));
    uint64_t epoch = p.sites[A].group->epoch;
    pair_write(&p, A, 1, 1, false);
    pair_run(&p, 2 * CW_SECOND);
    assert_int_equal(p.sites[A].group->completed, p.sites[A].group->head);
    uint64_t now = p.sites[A].group->head;
    restart(A);
    assert_int_equal(answered_of(A, 1), before);
    assert_int_equal(answered_of(A, epoch), now);
    pair_fini(&p);
}

/* Past the lease answers are held at the last moment, whatever was decided before. */
static void test_answered_without_a_lease(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    restart(A);
    uint64_t before = answered_of(A, 1);
    pair_fini(&p);
    begin(&p, 2, CW_MODE_ASYNC);
    p.renews_lease = false;
    pair_run(&p, 10 * CW_SECOND);
    write_some(&p, A, 5, 50);
    pair_run(&p, CW_SECOND);
    restart(A);
    assert_int_equal(answered_of(A, 1), before);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_word),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_tail_is_kept_at_once),
        cmocka_unit_test(test_tail_finds_no_room),
        cmocka_unit_test(test_opening_waits_for_the_tail),
        cmocka_unit_test(test_openings_are_noted),
        cmocka_unit_test(test_answered),
        cmocka_unit_test(test_answered_of_each_reign),
        cmocka_unit_test(test_answered_without_a_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
