/* SPDX-License-Identifier: BSD-3-Clause */
/* A copy that will not end: the whole image of before it is opened, with the history that it had. */
#include "story.h"

static struct pair p;
static uint8_t old_image[PAIR_BLOCKS];
static uint8_t next_value;
static uint8_t wanted_state;

static bool is_level(struct pair *pair)
{
    return pair_is_level(pair);
}

static void settle(void)
{
    assert_true(pair_until(&p, is_level));
}

static void write_on(uint8_t site, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        pair_write(&p, site, (i * 7) % PAIR_BLOCKS, next_value++, false);
        pair_turn(&p);
    }
}

static void remember(uint8_t site)
{
    for (uint32_t i = 0; i < PAIR_BLOCKS; i++)
        old_image[i] = pair_on_disk(&p, site, i);
}

/* Through the files and the overlay of the site that is open. */
static void expect_old_image(uint8_t site)
{
    for (uint32_t i = 0; i < PAIR_BLOCKS; i++)
        assert_int_equal(pair_read(&p, site, i), old_image[i]);
}

static bool is_target_there(struct pair *pair)
{
    return pair->sites[B].group->target.state == wanted_state;
}

static bool is_revert_there(struct pair *pair)
{
    return pair->sites[B].group->revert.state == wanted_state;
}

static bool has_a_chunk(struct pair *pair)
{
    return pair->sites[B].group->target.chunks_applied > 0;
}

/* B holds A's first writes; A goes on without it; then B is being copied, and has got records and chunks. */
static void begin_half_copied(void)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
    remember(B);
    pair_link(&p, A, B, false);
    write_on(A, 100);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    pair_link(&p, A, B, true);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    write_on(A, 4);
    assert_true(pair_until(&p, has_a_chunk));
    p.is_held[A][B] = true; /* the copy does not end */
    assert_int_equal(p.sites[B].group->target.state, CW_TARGET_FILLING);
    assert_true(p.sites[B].group->head > p.sites[B].group->super.tail_sequence);
}

static void kill_a(void)
{
    p.is_held[A][B] = false;
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
}

static void expect_history(const struct cw_group *g, uint64_t image)
{
    const struct cw_history *h = &g->super.history;

    assert_int_equal(h->count, 2);
    assert_int_equal(h->entries[0].epoch, 1);
    assert_int_equal(h->entries[0].first_sequence, 1);
    assert_int_equal(h->entries[1].epoch, 2);
    assert_int_equal(h->entries[1].first_sequence, image + 1);
    assert_int_equal(g->super.image_history.count, 0);
}

static bool is_a_diverged(struct pair *pair)
{
    return pair_peer(pair, B, A)->state == CW_PEER_DIVERGED;
}

static void test_opens_and_the_other_is_diverged(void **state)
{
    begin_half_copied();
    struct cw_group *g = p.sites[B].group;
    uint64_t image = g->super.image_sequence;
    assert_int_equal(image, 1 + PAIR_BLOCKS); /* the marker, then the writes */
    kill_a();
    assert_false(pair_open(&p, B, false));
    assert_non_null(strstr(g->refusal, "sequence 65: --accept-loss"));
    struct cw_group_status status;
    cw_group_status(g, p.now_ns, &status);
    assert_int_equal(status.image_sequence, image);
    assert_int_equal(status.image_epoch, 1);
    assert_true(pair_open(&p, B, true));
    assert_int_equal(p.sites[B].salvages, 1); /* what came with the copy */
    assert_false(p.sites[B].has_target);
    expect_history(g, image);
    expect_old_image(B);
    write_on(B, 30);
    pair_run(&p, CW_SECOND);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, false)); /* it is the holder, with its own journal */
    pair_start(&p, A);
    assert_true(pair_until(&p, is_a_diverged));
    assert_int_equal(cw_group_resync(p.sites[B].group, A), CW_OK);
    settle();
    assert_int_equal(p.sites[A].copies, 1);
    pair_fini(&p);
}

/* All that was committed goes into the old image before the copy begins, and is synced. */
static void test_the_image_is_as_new_as_can_be(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
    p.sites[B].holds[PAIR_APPLIED] = true;
    for (uint32_t i = 0; i < 2 * CW_APPLY_SLOTS; i++)
        pair_write(&p, A, i, 200, false);
    pair_run(&p, CW_SECOND);
    struct cw_group *g = p.sites[B].group;
    uint64_t head = g->head;
    assert_true(g->applied < head && g->commit == head);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    pair_run(&p, CW_SECOND);
    assert_int_equal(g->target.state, CW_TARGET_SETTLING);
    p.sites[B].holds[PAIR_APPLIED] = false;
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    assert_int_equal(g->super.image_sequence, head);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, true));
    for (uint32_t i = 0; i < PAIR_BLOCKS; i++)
        assert_int_equal(pair_read(&p, B, i), 200);
    pair_fini(&p);
}

/* Two copies that did not end, a crash between them: the image is still that of before the first. */
static void test_the_image_survives_copies_and_crashes(void **state)
{
    begin_half_copied();
    uint64_t image = p.sites[B].group->super.image_sequence;
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    p.is_held[A][B] = false;
    pair_start(&p, B);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    write_on(A, 4);
    assert_int_equal(p.sites[B].group->super.image_sequence, image);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_run(&p, CW_SECOND);
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, true));
    expect_history(p.sites[B].group, image);
    expect_old_image(B);
    pair_fini(&p);
}

static void begin_reverting(uint8_t state)
{
    static const enum pair_fact facts[] = {[CW_REVERT_SETTLING] = PAIR_APPLIED,
                                           [CW_REVERT_SALVAGING] = PAIR_SALVAGED,
                                           [CW_REVERT_DISCARDING] = PAIR_IMAGE,
                                           [CW_REVERT_MARKING] = PAIR_SUPER_WRITTEN};

    begin_half_copied();
    if (state == CW_REVERT_SETTLING) {
        p.sites[B].holds[PAIR_APPLIED] = true;
        p.is_held[A][B] = false;
        write_on(A, 4);
    }
    kill_a();
    pair_run(&p, CW_SECOND);
    p.sites[B].holds[facts[state]] = true;
    struct cw_open_request open = {.store_epoch = p.store.epoch,
                                   .holder = A,
                                   .members = p.store.members,
                                   .reign = 99,
                                   .accept_loss = true};
    assert_int_equal(cw_group_open(p.sites[B].group, &open, p.now_ns), CW_OK);
    wanted_state = state;
    assert_true(pair_until(&p, is_revert_there));
    pair_run(&p, CW_SECOND);
    assert_true(is_revert_there(&p)); /* it waits for that fact */
    assert_int_equal(p.sites[B].group->role, CW_ROLE_REVERTING);
}

static void test_death_in_each_state(void **state)
{
    for (uint8_t s = CW_REVERT_SETTLING; s <= CW_REVERT_MARKING; s++) {
        for (int how = 0; how < 2; how++) {
            begin_reverting(s);
            pair_kill(&p, B, how ? CW_DEVICE_POWER_FAILS : CW_DEVICE_PROCESS_DIES);
            pair_start(&p, B);
            assert_true(pair_open(&p, B, true));
            expect_old_image(B);
            pair_fini(&p);
        }
    }
}

/* The opening is left while it goes back; the primary returns, and B is copied to the end. */
static void test_left_in_each_state(void **state)
{
    for (uint8_t s = CW_REVERT_SETTLING; s <= CW_REVERT_MARKING; s++) {
        begin_reverting(s);
        cw_group_fence(p.sites[B].group, p.store.epoch, p.now_ns);
        assert_int_equal(p.sites[B].group->role, CW_ROLE_REPLICA);
        pair_start(&p, A);
        assert_true(pair_open(&p, A, false));
        pair_run(&p, CW_SECOND);
        memset(p.sites[B].holds, 0, sizeof p.sites[B].holds);
        write_on(A, 20);
        settle();
        pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
        pair_start(&p, B);
        settle();
        pair_fini(&p);
    }
}

/* The tail that cannot be kept is not given up. */
static void test_no_salvage_no_opening(void **state)
{
    begin_half_copied();
    kill_a();
    p.sites[B].fails[PAIR_SALVAGED] = CW_NO_SPACE;
    assert_false(pair_open(&p, B, true));
    assert_non_null(strstr(p.sites[B].group->refusal, "space"));
    assert_int_equal(p.sites[B].group->super.image_state, CW_IMAGE_COPYING);
    p.sites[B].fails[PAIR_SALVAGED] = CW_OK;
    assert_true(pair_open(&p, B, true));
    expect_old_image(B);
    pair_fini(&p);
}

/* A whole site answers: that one is to be promoted, and the copy is not given up for nothing. */
static void test_not_while_another_is_whole(void **state)
{
    begin_half_copied();
    p.is_held[A][B] = false;
    p.sites[A].holds[PAIR_COPY_READ] = true;
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    assert_false(pair_open(&p, B, true));
    assert_non_null(strstr(p.sites[B].group->refusal, "promote that site"));
    assert_int_equal(p.sites[B].group->super.image_state, CW_IMAGE_COPYING);
    p.sites[A].holds[PAIR_COPY_READ] = false;
    assert_true(pair_open(&p, A, false));
    settle();
    pair_fini(&p);
}

/* A site that never held anything of the group; and what --inconsistent makes of it shares nothing with A,
 * which must not take it for its own. */
static void test_never_whole(void **state)
{
    pair_init(&p, 2, CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    assert_true(pair_open(&p, A, false));
    write_some(&p, A, 3000, 1); /* more than the journal keeps */
    assert_true(pair_until(&p, all_done));
    pair_run(&p, 2 * CW_SECOND);
    pair_link(&p, A, B, true);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_false(pair_open(&p, B, true));
    assert_non_null(strstr(p.sites[B].group->refusal, "--inconsistent"));
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    assert_false(pair_open(&p, B, true));
    p.opens_inconsistent = true;
    assert_true(pair_open(&p, B, false));
    p.opens_inconsistent = false;
    assert_int_equal(p.sites[B].group->super.history.count, 1);
    write_on(B, 10);
    pair_run(&p, CW_SECOND);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    assert_true(pair_open(&p, B, false));
    pair_start(&p, A);
    assert_true(pair_until(&p, is_a_diverged));
    pair_fini(&p);
}

/* A, which is diverged and being copied, goes back to its own branch; then it is B that is diverged. */
static void test_a_diverged_branch_comes_back(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
    pair_link(&p, A, B, false);
    write_on(A, 40);
    pair_run(&p, 2 * CW_SECOND);
    remember(A);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, true));
    write_on(B, 10);
    pair_link(&p, A, B, true);
    pair_start(&p, A);
    assert_true(pair_until(&p, is_a_diverged));
    uint64_t applied = p.sites[A].group->applied;
    p.sites[A].holds[PAIR_VOLUMES_SYNCED] = false;
    p.sites[B].holds[PAIR_COPY_READ] = true;
    assert_int_equal(cw_group_resync(p.sites[B].group, A), CW_OK);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[A].group->target.state, CW_TARGET_FILLING);
    assert_int_equal(p.sites[A].group->super.image_sequence, applied);
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, A, true));
    const struct cw_history *h = &p.sites[A].group->super.history;
    assert_int_equal(h->count, 2);
    assert_int_equal(h->entries[1].epoch, 3); /* no number is used again */
    assert_int_equal(h->entries[1].first_sequence, applied + 1);
    expect_old_image(A);
    pair_start(&p, B);
    for (uint32_t i = 0; i < 20; i++)
        pair_run(&p, 100 * CW_MS);
    assert_int_equal(pair_peer(&p, A, B)->state, CW_PEER_DIVERGED);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    settle();
    pair_fini(&p);
}

static void test_a_volume_that_comes_meanwhile(void **state)
{
    begin_half_copied();
    uint64_t id = p.sites[B].group->target.id;
    p.is_held[A][B] = false;
    cw_group_volume_add(p.sites[B].group, 1, PAIR_BLOCK, 0, false);
    wanted_state = CW_TARGET_FILLING;
    pair_turn(&p);
    assert_true(pair_until(&p, is_target_there));
    assert_true(p.sites[B].group->target.id != id);
    settle();
    pair_fini(&p);
}

/* Overwritten in place: nothing to go back to. */
static void test_a_device_has_no_old_image(void **state)
{
    begin(&p, 2, CW_MODE_ASYNC);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
    p.sites[B].group->volumes[0].is_device = true;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    assert_int_equal(p.sites[B].group->super.image_state, CW_IMAGE_BROKEN);
    assert_int_equal(p.sites[B].group->super.image_history.count, 0);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_false(pair_open(&p, B, true));
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_and_the_other_is_diverged),
        cmocka_unit_test(test_the_image_is_as_new_as_can_be),
        cmocka_unit_test(test_the_image_survives_copies_and_crashes),
        cmocka_unit_test(test_death_in_each_state),
        cmocka_unit_test(test_left_in_each_state),
        cmocka_unit_test(test_no_salvage_no_opening),
        cmocka_unit_test(test_not_while_another_is_whole),
        cmocka_unit_test(test_never_whole),
        cmocka_unit_test(test_a_diverged_branch_comes_back),
        cmocka_unit_test(test_a_volume_that_comes_meanwhile),
        cmocka_unit_test(test_a_device_has_no_old_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
