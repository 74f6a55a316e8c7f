/* SPDX-License-Identifier: BSD-3-Clause */
/* Deaths, promotions, returns: who holds what afterwards. */
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

static void expect_values(uint8_t site, uint32_t count, uint8_t value)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(pair_read(&p, site, i), (uint8_t)(value + i));
}

static void test_primary_dies_and_returns(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 40, 10);
    assert_true(pair_until(&p, all_done));
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, A);
    uint64_t epoch = p.store.epoch;
    assert_true(pair_open(&p, A, false));
    assert_int_equal(p.store.epoch, epoch + 1);
    expect_values(A, 40, 10);
    settle();
    pair_fini(&p);
}

static void test_flushed_survives_power_loss(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    write_some(&p, A, 20, 10);
    uint32_t flush = pair_flush(&p, A);
    assert_true(pair_until(&p, all_done));
    assert_int_equal(p.requests[flush].status, CW_OK);
    write_some(&p, A, 5, 90);
    pair_run(&p, CW_MS);
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_start(&p, A);
    assert_true(pair_open(&p, A, false));
    for (uint32_t i = 5; i < 20; i++)
        assert_int_equal(pair_read(&p, A, i), 10 + i);
    pair_fini(&p);
}

static void test_promotion_keeps_what_was_acknowledged(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 40, 10);
    assert_true(pair_until(&p, all_done));
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    assert_true(pair_open(&p, B, false));
    expect_values(B, 40, 10);
    write_some(&p, B, 10, 100);
    assert_true(pair_until(&p, all_done));
    pair_start(&p, A);
    settle();
    assert_int_equal(p.sites[A].group->role, CW_ROLE_REPLICA);
    pair_fini(&p);
}

/* A's last records reach nobody and are not acknowledged: cut at its return, kept in the salvage file. */
static void old_primary_with_a_tail(void)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    p.is_held[A][B] = true;
    write_some(&p, A, 5, 200);
    pair_run(&p, 20 * CW_MS);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    p.is_held[A][B] = false;
    assert_true(pair_open(&p, B, false));
    write_some(&p, B, 3, 100);
    pair_run(&p, 100 * CW_MS);
}

static void test_tail_is_salvaged_and_cut(void **state)
{
    old_primary_with_a_tail();
    uint64_t common = p.sites[B].group->super.history.entries[1].first_sequence - 1;
    pair_start(&p, A);
    settle();
    assert_int_equal(p.sites[A].salvages, 1);
    assert_int_equal(p.sites[A].salvaged_above, common);
    assert_int_equal(p.sites[A].copies, 0);
    assert_int_equal(pair_on_disk(&p, A, 0), 100);
    assert_int_equal(pair_on_disk(&p, A, 4), 14);
    /* and it stays cut */
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_start(&p, A);
    settle();
    assert_int_equal(p.sites[A].salvages, 1);
    pair_fini(&p);
}

static bool is_cutting(struct pair *pair)
{
    return pair->sites[A].group->follow.state == CW_FOLLOW_CUTTING;
}

/* The superblock says cut, the session goes away before the cut is made: it is made all the same. */
static void test_session_lost_while_cutting(void **state)
{
    old_primary_with_a_tail();
    pair_start(&p, A);
    assert_true(pair_until(&p, is_cutting));
    pair_link(&p, A, B, false);
    pair_link(&p, A, B, true);
    settle();
    assert_int_equal(pair_on_disk(&p, A, 0), 100);
    assert_int_equal(pair_on_disk(&p, A, 4), 14);
    pair_fini(&p);
}

static void test_death_while_cutting(void **state)
{
    old_primary_with_a_tail();
    pair_start(&p, A);
    assert_true(pair_until(&p, is_cutting));
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_start(&p, A);
    settle();
    assert_int_equal(pair_on_disk(&p, A, 0), 100);
    pair_fini(&p);
}

static void test_no_salvage_no_cut(void **state)
{
    old_primary_with_a_tail();
    pair_start(&p, A);
    p.sites[A].fails[PAIR_SALVAGED] = CW_NO_SPACE;
    pair_run(&p, 5 * CW_SECOND);
    assert_int_equal(p.sites[A].group->follow.state, CW_FOLLOW_NONE);
    assert_true(p.sites[A].events < 60); /* tried again now and then, not at once */
    p.sites[A].fails[PAIR_SALVAGED] = CW_OK;
    settle();
    assert_int_equal(p.sites[A].salvages, 1);
    pair_fini(&p);
}

static bool is_salvaging(struct pair *pair)
{
    return pair->sites[B].group->follow.state == CW_FOLLOW_SALVAGING;
}

/* B's tail is on its way to the journal when another reign attaches: it is kept when all of it is there. */
static void test_tail_is_written_before_it_is_salvaged(void **state)
{
    begin(&p, 3, CW_MODE_SYNC);
    pair_run(&p, CW_SECOND);
    p.is_held[A][C] = true;
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true;
    write_some(&p, A, 50, 100);
    pair_run(&p, 20 * CW_MS);
    uint64_t tail = p.sites[B].group->head;
    assert_true(p.sites[B].group->batches_in_flight > 0);
    pair_link(&p, B, C, false);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, C, true));
    pair_link(&p, B, C, true);
    assert_true(pair_until(&p, is_salvaging));
    pair_run(&p, CW_SECOND);
    assert_true(is_salvaging(&p));
    assert_int_equal(p.sites[B].group->head, tail);
    assert_int_equal(p.sites[B].salvages, 0);
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    assert_true(pair_until(&p, pair_is_level));
    assert_int_equal(p.sites[B].salvages, 1);
    assert_int_equal(p.sites[B].salvaged_last, tail);
    pair_fini(&p);
}

/* B's tail was committed where it came from, and was not in B's journal yet when a reign without it attaches:
 * none of it is put in place between that word and the cut. */
static void test_tail_is_not_applied_while_it_is_salvaged(void **state)
{
    begin(&p, 3, CW_MODE_ASYNC);
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, C, false);
    pair_link(&p, B, C, false);
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true;
    write_some(&p, A, 10, 10);
    pair_run(&p, CW_SECOND);
    struct cw_group *b = p.sites[B].group;
    uint64_t common = b->applied;
    assert_true(b->commit == b->head && b->head > common);
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_run(&p, 5 * CW_SECOND);
    assert_true(pair_open(&p, C, true));
    pair_link(&p, B, C, true);
    assert_true(pair_until(&p, is_salvaging));
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    write_some(&p, C, 1, 200);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].salvages, 1);
    assert_int_equal(p.sites[B].salvaged_above, common);
    assert_int_equal(p.sites[B].salvaged_last, common + 10);
    assert_int_equal(pair_peer(&p, C, B)->state, CW_PEER_STREAMING);
    assert_int_equal(b->applied, p.sites[C].group->head);
    assert_int_equal(pair_on_disk(&p, B, 0), 200);
    assert_int_equal(pair_on_disk(&p, B, 1), 0);
    pair_fini(&p);
}

/* A replica is cut above a record that is committed and not in place, then promoted: what the tail covered
 * must be read again. */
static void test_cut_uncovers(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    pair_run(&p, CW_SECOND);
    p.sites[A].holds[PAIR_APPLIED] = true;
    pair_write(&p, A, 1, 11, false);
    pair_run(&p, CW_SECOND);
    p.is_held[A][B] = true;
    pair_write(&p, A, 1, 99, false);
    pair_run(&p, CW_MS);
    p.is_held[A][B] = false;
    pair_link(&p, A, B, false); /* 99 is lost on the way */
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, B, false));
    pair_link(&p, A, B, true);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[A].salvages, 1);
    assert_int_equal(p.store.members, cw_bit(A) | cw_bit(B));
    cw_group_fence(p.sites[B].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, A, false));
    assert_int_equal(pair_on_disk(&p, A, 1), 0);
    assert_int_equal(pair_read(&p, A, 1), 11);
    p.sites[A].holds[PAIR_APPLIED] = false;
    settle();
    pair_fini(&p);
}

static bool b_is_diverged(struct pair *pair)
{
    return pair_peer(pair, B, A)->state == CW_PEER_DIVERGED;
}

/* async: A applied what B never got, B is promoted with the loss accepted. */
static void test_applied_tail_is_diverged_until_resync(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, 10, 10);
    settle();
    pair_link(&p, A, B, false);
    write_some(&p, A, 10, 200);
    pair_run(&p, 2 * CW_SECOND);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_false(pair_open(&p, B, false));
    assert_true(strlen(p.sites[B].group->refusal) > 0);
    assert_true(pair_open(&p, B, true));
    write_some(&p, B, 3, 100);
    pair_start(&p, A);
    pair_link(&p, A, B, true);
    assert_true(pair_until(&p, b_is_diverged));
    pair_run(&p, 5 * CW_SECOND);
    assert_true(b_is_diverged(&p));
    assert_int_equal(pair_on_disk(&p, A, 5), 205);
    assert_int_equal(cw_group_resync(p.sites[B].group, A), CW_OK);
    settle();
    assert_int_equal(p.sites[A].salvages, 1);
    assert_int_equal(p.sites[A].copies, 1);
    assert_int_equal(pair_on_disk(&p, A, 5), 15);
    pair_run(&p, CW_SECOND);
    assert_int_equal(pair_peer(&p, B, A)->state, CW_PEER_STREAMING); /* and is no longer so */
    pair_fini(&p);
}

/* What a member has received in semi-sync was acknowledged; an opening fetches it though it is not written.
 */
static void test_semi_sync_fetches_what_is_in_memory(void **state)
{
    begin(&p, 3, CW_MODE_SEMI_SYNC);
    pair_run(&p, CW_SECOND);
    p.is_held[A][C] = true;
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = true;
    pair_write(&p, A, 1, 77, false);
    pair_run(&p, 20 * CW_MS);
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    p.is_held[A][C] = false;
    assert_true(pair_open(&p, C, false));
    assert_int_equal(pair_read(&p, C, 1), 77);
    p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
    pair_fini(&p);
}

/* The claim is answered after a fence and another opening: it must not count for that one. */
static void test_late_claim(void **state)
{
    pair_init(&p, 2, CW_MODE_SYNC);
    pair_run(&p, 100 * CW_MS);
    struct cw_open_request open = {.holder = CW_SITES_MAX, .reign = 5};
    struct cw_group *g = p.sites[A].group;
    p.sites[A].holds[PAIR_CLAIMED] = true;
    assert_int_equal(cw_group_open(g, &open, p.now_ns), CW_OK);
    pair_run(&p, CW_SECOND);
    assert_int_equal(g->role, CW_ROLE_CLAIMING);
    cw_group_fence(g, 0, p.now_ns);
    open.reign = 6;
    assert_int_equal(cw_group_open(g, &open, p.now_ns), CW_AGAIN);
    p.sites[A].holds[PAIR_CLAIMED] = false;
    pair_run(&p, CW_MS);
    assert_int_equal(g->role, CW_ROLE_REPLICA);
    assert_true(pair_open(&p, A, false));
    assert_int_equal(p.store.reign, g->reign);
    pair_fini(&p);
}

/* The set's question of one reign is answered in the next. */
static void test_late_set(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    struct cw_group *g = p.sites[A].group;
    p.sites[A].holds[PAIR_SET] = true;
    pair_link(&p, A, B, false);
    pair_write(&p, A, 1, 7, false);
    pair_run(&p, 6 * CW_SECOND);
    assert_true(g->set.is_in_flight);
    cw_group_fence(g, p.store.epoch, p.now_ns);
    pair_link(&p, A, B, true);
    assert_true(pair_open(&p, A, false));
    pair_run(&p, 100 * CW_MS);
    assert_int_equal(g->set.asked, 0); /* one question at a time: B cannot be asked in yet */
    p.sites[A].holds[PAIR_SET] = false;
    assert_true(pair_until(&p, is_protected));
    pair_fini(&p);
}

/* The records fetched are durable, the history that makes them count must be too before the store is told. */
static void test_death_between_claim_and_superblock(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 20, 10);
    assert_true(pair_until(&p, all_done));
    /* a second reign of A, in which B holds everything */
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, A, false));
    assert_true(pair_until(&p, is_protected));
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_run(&p, 7 * CW_SECOND);
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, A, false));
    write_some(&p, A, 20, 60);
    assert_true(pair_until(&p, all_done));
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    pair_run(&p, CW_SECOND);
    /* B comes back behind; it may open because A can be reached, and dies right after the claim */
    pair_start(&p, B);
    pair_run(&p, 10 * CW_MS);
    p.sites[B].holds[PAIR_SUPER_WRITTEN] = true;
    struct cw_open_request open = {
        .store_epoch = p.store.epoch, .holder = p.store.holder, .members = p.store.members, .reign = 99};
    memcpy(open.identities, p.store.identities, sizeof open.identities);
    uint64_t epoch = p.store.epoch;
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
    pair_run(&p, 2 * CW_SECOND);
    assert_int_equal(p.store.epoch, epoch); /* not claimed while the history is not durable */
    p.sites[B].holds[PAIR_SUPER_WRITTEN] = false;
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].group->role, CW_ROLE_PRIMARY);
    expect_values(B, 20, 60);
    pair_fini(&p);
}

/* The site fetched from goes away in the middle; what came beyond a gap does not stay. */
static void test_fetch_that_ends(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    settle();
    pair_link(&p, A, B, false);
    write_some(&p, A, 30, 10);
    pair_run(&p, 2 * CW_SECOND); /* applied, and no longer in memory */
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, true);
    pair_run(&p, 10 * CW_MS);
    p.sites[A].holds[PAIR_JOURNAL_READ] = true; /* A cannot read what it is asked for */
    assert_false(pair_open(&p, B, false));
    assert_int_equal(p.sites[B].group->role, CW_ROLE_REPLICA);
    p.sites[A].holds[PAIR_JOURNAL_READ] = false;
    assert_true(pair_open(&p, B, false));
    expect_values(B, 30, 10);
    pair_fini(&p);
}

static void open_again(uint8_t site)
{
    cw_group_fence(p.sites[site].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, site, false));
}

/* More reigns than a history remembers, while B is away: nothing says that it applied anything foreign. */
static void test_away_for_many_reigns(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, 10, 10);
    settle();
    pair_link(&p, A, B, false);
    for (uint32_t i = 0; i < CW_HISTORY_MAX + 3; i++) {
        open_again(A);
        write_some(&p, A, 2, (uint8_t)i);
        pair_run(&p, 2 * CW_SECOND);
    }
    pair_link(&p, A, B, true);
    settle();
    assert_int_equal(p.sites[B].copies, 1);
    pair_fini(&p);
}

/* A dies in every opening, before (is_marked: after) its first record: what was acknowledged before all that,
 * and is not in place, stays. Returns how many openings there were. */
static uint32_t die_in_openings(uint32_t count, bool is_marked)
{
    begin(&p, 1, CW_MODE_ASYNC);
    pair_run(&p, CW_SECOND);
    for (uint32_t i = 0; i < 10; i++)
        pair_write(&p, A, i, (uint8_t)(10 + i), true);
    assert_true(pair_until(&p, all_done));
    for (uint32_t i = 0; i < count; i++) {
        pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
        pair_start(&p, A);
        p.sites[A].holds[PAIR_JOURNAL_WRITTEN] = !is_marked;
        if (!pair_open(&p, A, false))
            return i;
        if (is_marked)
            pair_run(&p, CW_MS);
    }
    return count;
}

static void expect_all_there(void)
{
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(pair_read(&p, A, i), 10 + i);
}

static void test_death_in_many_openings(void **state)
{
    assert_int_equal(die_in_openings(CW_HISTORY_MAX + 5, false), CW_HISTORY_MAX + 5);
    expect_all_there();
    pair_fini(&p);
}

static void test_history_full_of_what_is_not_in_place(void **state)
{
    uint32_t opened = die_in_openings(CW_HISTORY_MAX + 5, true);
    assert_int_equal(opened, CW_HISTORY_MAX - 1);
    assert_non_null(strstr(p.sites[A].group->refusal, "too many openings"));
    assert_true(pair_open(&p, A, true));
    expect_all_there();
    settle();
    pair_fini(&p);
}

/* B adopted A's newer history and fetched nothing; its own reign then begins below that of A. */
static void test_adopted_history_without_records(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    settle();
    pair_link(&p, A, B, false);
    write_some(&p, A, 10, 10);
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_true(pair_open(&p, A, false));
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, true);
    pair_run(&p, 10 * CW_MS);
    p.sites[A].holds[PAIR_JOURNAL_READ] = true;
    assert_false(pair_open(&p, B, false));
    pair_link(&p, A, B, false);
    assert_true(pair_open(&p, B, true)); /* the check of each turn looks at the history */
    p.sites[A].holds[PAIR_JOURNAL_READ] = false;
    pair_link(&p, A, B, true);
    assert_true(pair_until(&p, b_is_diverged));
    pair_fini(&p);
}

/* A session blinks while records are in memory and batches on their way: no copy, no divergence. */
static void blink(enum cw_mode mode)
{
    begin(&p, 2, mode);
    for (uint32_t i = 0; i < 20; i++) {
        p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = i % 2;
        for (uint32_t n = 0; n < 3; n++) { /* durable and committed at A, on its way to B's disk */
            pair_write(&p, A, n, (uint8_t)(i * 3 + n), true);
            pair_run(&p, CW_MS);
        }
        pair_run(&p, (1 + i % 7) * CW_MS);
        pair_link(&p, A, B, false);
        pair_link(&p, A, B, true);
        pair_run(&p, 3 * CW_MS);
        p.sites[B].holds[PAIR_JOURNAL_WRITTEN] = false;
        assert_int_not_equal(pair_peer(&p, A, B)->state, CW_PEER_DIVERGED);
    }
    assert_true(pair_until(&p, all_done));
    settle();
    assert_int_equal(p.sites[B].copies, 0);
    assert_int_equal(p.sites[B].salvages, 0);
    pair_fini(&p);
}

static void test_blink_with_records_in_flight(void **state)
{
    for (enum cw_mode mode = CW_MODE_ASYNC; mode < CW_MODE_COUNT; mode++)
        blink(mode);
}

/* The replica loses the tail of its journal with the power: the same reign goes on from what it has. */
static void test_replica_loses_its_tail(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    pair_run(&p, CW_SECOND);
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true;
    write_some(&p, A, 20, 10);
    assert_true(pair_until(&p, all_done));
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_run(&p, 10 * CW_MS);
    pair_start(&p, B);
    assert_true(p.sites[B].group->head < p.sites[A].group->head);
    settle();
    assert_int_equal(p.sites[B].copies, 0);
    assert_int_equal(p.store.identities[B].boot_id[0], p.sites[B].boot);
    pair_fini(&p);
}

/* A rebooted member alone is no member: its journal may lack what was acknowledged. */
static void test_rebooted_member_is_refused(void **state)
{
    begin(&p, 2, CW_MODE_SYNC);
    write_some(&p, A, 20, 10);
    assert_true(pair_until(&p, all_done));
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_false(pair_open(&p, B, false));
    assert_true(pair_open(&p, B, true));
    pair_fini(&p);
}

/* Bits turn in both copies of the newest superblock while the site is down, once after each write of it from
 * the opening on: what was begun in this reign is remembered all the same. */
static void test_newest_superblock_rots(void **state)
{
    for (uint32_t ms = 0; ms < 60; ms += 3) {
        struct cw_superblock newest;
        enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
        uint32_t homes[2];

        begin(&p, 1, CW_MODE_ASYNC);
        uint32_t request = pair_write(&p, A, 1, 77, true);
        assert_true(pair_until(&p, all_done));
        assert_int_equal(p.requests[request].status, CW_OK);
        pair_run(&p, ms * 50 * CW_MS);
        pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
        uint8_t *sectors = p.sites[A].journal.seen;
        assert_int_equal(cw_superblock_pick(sectors, &newest, classes), CW_OK);
        cw_superblock_homes(newest.generation, homes);
        for (uint32_t i = 0; i < 2; i++)
            sectors[homes[i] * CW_SECTOR_SIZE + 100] ^= 1;
        pair_start(&p, A);
        assert_int_equal(p.sites[A].group->super.history.count, 1);
        assert_int_equal(p.sites[A].group->super.image_state, CW_IMAGE_WHOLE);
        assert_true(pair_open(&p, A, false));
        assert_int_equal(pair_read(&p, A, 1), 77);
        pair_fini(&p);
    }
}

/* In async nobody is a member: who gives up writes still takes what others hold that he can reach. */
static bool is_attached_to_b(struct pair *pair)
{
    assert_int_not_equal(pair_peer(pair, B, C)->state, CW_PEER_DIVERGED);
    return pair_peer(pair, B, C)->state == CW_PEER_STREAMING;
}

/* C follows A, who has not heard yet that B reigns. What A sent comes in, and into its place, behind C's
 * HELLO to B: B has all of it, and only its ATTACH names a place below it. */
static void test_old_primary_goes_on_behind_a_hello(void **state)
{
    begin(&p, 3, CW_MODE_ASYNC);
    write_some(&p, A, 20, 1);
    assert_true(pair_until(&p, pair_is_level));
    uint64_t before = p.sites[C].group->head;
    p.has_backlog[A][C] = true;
    write_some(&p, A, 40, 100);
    pair_run(&p, 300 * CW_MS);
    assert_int_equal(p.sites[B].group->head, p.sites[A].group->head);
    assert_int_equal(p.sites[C].group->head, before);
    pair_link(&p, A, B, false);
    p.is_held[C][B] = true;
    assert_true(pair_open(&p, B, true));
    p.has_backlog[A][C] = false;
    pair_run(&p, 200 * CW_MS);
    assert_true(cw_group_applied_limit(p.sites[C].group) > before);
    p.is_held[C][B] = false;
    assert_true(pair_until(&p, is_attached_to_b));
    pair_fini(&p);
}

static void test_accepted_loss_is_small(void **state)
{
    begin(&p, 3, CW_MODE_ASYNC);
    write_some(&p, A, 10, 10);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, false);
    write_some(&p, A, 30, 100);
    assert_true(pair_until(&p, all_done));
    pair_run(&p, CW_SECOND);
    pair_kill(&p, A, CW_DEVICE_POWER_FAILS);
    assert_false(pair_open(&p, B, false));
    assert_true(pair_open(&p, B, true));
    expect_values(B, 30, 100);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primary_dies_and_returns),
        cmocka_unit_test(test_flushed_survives_power_loss),
        cmocka_unit_test(test_promotion_keeps_what_was_acknowledged),
        cmocka_unit_test(test_tail_is_salvaged_and_cut),
        cmocka_unit_test(test_session_lost_while_cutting),
        cmocka_unit_test(test_death_while_cutting),
        cmocka_unit_test(test_no_salvage_no_cut),
        cmocka_unit_test(test_tail_is_written_before_it_is_salvaged),
        cmocka_unit_test(test_tail_is_not_applied_while_it_is_salvaged),
        cmocka_unit_test(test_cut_uncovers),
        cmocka_unit_test(test_applied_tail_is_diverged_until_resync),
        cmocka_unit_test(test_semi_sync_fetches_what_is_in_memory),
        cmocka_unit_test(test_late_claim),
        cmocka_unit_test(test_late_set),
        cmocka_unit_test(test_death_between_claim_and_superblock),
        cmocka_unit_test(test_fetch_that_ends),
        cmocka_unit_test(test_away_for_many_reigns),
        cmocka_unit_test(test_death_in_many_openings),
        cmocka_unit_test(test_history_full_of_what_is_not_in_place),
        cmocka_unit_test(test_adopted_history_without_records),
        cmocka_unit_test(test_blink_with_records_in_flight),
        cmocka_unit_test(test_replica_loses_its_tail),
        cmocka_unit_test(test_rebooted_member_is_refused),
        cmocka_unit_test(test_newest_superblock_rots),
        cmocka_unit_test(test_accepted_loss_is_small),
        cmocka_unit_test(test_old_primary_goes_on_behind_a_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
