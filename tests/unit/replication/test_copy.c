/* SPDX-License-Identifier: BSD-3-Clause */
/* The full copy: with live writes, interrupted at every state of both sides, and what brings it about. */
#include <stdlib.h>

#include "story.h"

static struct pair p;
static uint8_t next_value;

static bool is_level(struct pair *pair)
{
    return pair_is_level(pair);
}

static void settle(void)
{
    assert_true(pair_until(&p, is_level));
}

/* A has data of an epoch that B never saw the beginning of in the journal; B is to be copied. */
static void begin_with_data(enum cw_mode mode)
{
    begin(&p, 2, mode);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
}

static void write_on(uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        pair_write(&p, A, (i * 7) % PAIR_BLOCKS, next_value++, false);
        pair_turn(&p);
    }
}

static void test_copy_with_live_writes(void **state)
{
    begin_with_data(CW_MODE_SYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    write_on(400);
    settle();
    assert_int_equal(p.sites[B].copies, 1);
    assert_true(pair_until(&p, is_protected));
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* Nothing that the copied site says counts as held until it is whole. */
static void test_a_site_being_copied_holds_nothing(void **state)
{
    begin_with_data(CW_MODE_SYNC);
    p.store.is_away = true;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    uint32_t write = pair_write(&p, A, 1, 99, false);
    pair_run(&p, 3 * CW_SECOND);
    pair_link(&p, A, B, false);
    pair_link(&p, A, B, true);
    pair_run(&p, 3 * CW_SECOND);
    assert_false(pair_is_done(&p, write));
    p.store.is_away = false;
    pair_run(&p, 3 * CW_SECOND);
    assert_true(pair_is_done(&p, write));
    settle();
    pair_fini(&p);
}

static uint64_t chunks_sent(void)
{
    return cw_counter_read(&p.sites[A].group->counters[CW_GROUP_COPY_CHUNKS]);
}

static bool is_half_copied(struct pair *pair)
{
    return pair_peer(pair, A, B)->copy.chunks_acked >= PAIR_BLOCKS * PAIR_BLOCK / PAIR_COPY_CHUNK / 2;
}

/* Only what was on its way, and what was written meanwhile, goes again. */
static void test_lost_session_does_not_begin_it_anew(void **state)
{
    const uint64_t all = PAIR_BLOCKS * PAIR_BLOCK / PAIR_COPY_CHUNK;

    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    assert_true(pair_until(&p, is_half_copied));
    pair_link(&p, A, B, false);
    pair_write(&p, A, 1, 99, false); /* is over there already, as it was */
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, true);
    settle();
    assert_int_equal(p.sites[B].prepares, 1);
    assert_int_equal(p.sites[B].copies, 1);
    assert_true(chunks_sent() <= all + 2 * CW_COPY_SLOTS + 1);
    pair_fini(&p);
}

/* Who has lost the files is not taken to have them. */
static void test_dead_target_begins_it_anew(void **state)
{
    const uint64_t all = PAIR_BLOCKS * PAIR_BLOCK / PAIR_COPY_CHUNK;

    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    assert_true(pair_until(&p, is_half_copied));
    pair_kill(&p, B, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, B);
    settle();
    assert_int_equal(p.sites[B].prepares, 2);
    assert_true(chunks_sent() >= all + all / 2);
    pair_fini(&p);
}

/* Three writes a turn where one record or chunk gets through. */
static uint32_t write_faster_than_the_path(uint32_t most)
{
    uint32_t count = 0;

    for (; count < most && p.store.members != (1u << A | 1u << B); count++) {
        pair_write(&p, A, (count * 7) % PAIR_BLOCKS, next_value++, false);
        if (p.mode == CW_MODE_ASYNC) {
            assert_true(p.sites[A].group->no_room_since_ns == 0);
            assert_false(cw_brake_may_hold(p.sites[A].group));
        }
        if (count % 3 == 2)
            pair_turn(&p);
    }
    return count;
}

static void resync_over_a_slow_path(enum cw_mode mode)
{
    begin_with_data(mode);
    p.bulk_per_turn = 1;
    p.sites[A].group->config.copy_chunk_bytes = PAIR_BLOCK; /* so that it lasts */
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    while (p.store.members & 1u << B && cw_mode_has_set(mode))
        pair_turn(&p);
}

/* The copy falls off the journal, ends all the same, and its site comes into the set: writes are slowed for
 * it. */
static void test_ends_though_writes_come_faster(void **state)
{
    resync_over_a_slow_path(CW_MODE_SYNC);
    assert_true(write_faster_than_the_path(12000) < 12000);
    assert_int_equal(p.sites[B].prepares, 1);
    assert_int_equal(p.sites[B].copies, 1);
    p.bulk_per_turn = 0;
    settle();
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* Virtual time that a write takes to enter. */
static uint64_t entering_ns(uint32_t i)
{
    uint64_t began_ns = p.now_ns;
    uint32_t write = pair_write(&p, A, (i * 7) % PAIR_BLOCKS, next_value++, false);

    assert_true(!pair_is_done(&p, write) || p.requests[write].status == CW_OK);
    return p.now_ns - began_ns;
}

/* The path carries nothing any more, and nobody has been taken for dead yet: what waits for the copy enters.
 */
static void test_no_write_waits_longer_than_the_brake(void **state)
{
    uint64_t waited_ns = 0, longest_ns = 0;
    uint32_t i = 0;

    resync_over_a_slow_path(CW_MODE_SYNC);
    for (; i < 12000 && waited_ns == 0; i++) {
        waited_ns = entering_ns(i);
        if (i % 3 == 2)
            pair_turn(&p);
    }
    assert_true(cw_copy_brakes(p.sites[A].group, pair_peer(&p, A, B)) ||
                cw_landing_brakes(p.sites[A].group, pair_peer(&p, A, B)));
    p.has_backlog[A][B] = true;
    for (uint32_t last = i + 2 * PAIR_RING_SECTORS; i < last; i++) {
        waited_ns = entering_ns(i);
        longest_ns = CW_MAX(longest_ns, waited_ns);
    }
    assert_true(longest_ns >= p.sites[A].group->config.copy_brake_ns / 2);
    assert_true(longest_ns <= p.sites[A].group->config.copy_brake_ns + CW_SECOND / 2);
    p.has_backlog[A][B] = false;
    p.bulk_per_turn = 0;
    settle();
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* C has everything: then nothing waits for B, neither writes while it is copied nor answers while it catches
 * up. */
static void test_nothing_waits_for_it_while_another_protects(void **state)
{
    const struct cw_group *g;
    uint32_t i = 0;

    begin(&p, 3, CW_MODE_SYNC);
    write_some(&p, A, PAIR_BLOCKS, 1);
    settle();
    g = p.sites[A].group;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    while (p.store.members & 1u << B)
        pair_turn(&p);
    p.has_backlog[A][B] = true;
    for (; i < 3 * PAIR_RING_SECTORS; i++) {
        assert_true(entering_ns(i) < CW_SECOND / 2);
        assert_false(cw_brake_may_hold(g));
        assert_int_equal(cw_landing_mask(g), 0);
    }
    assert_true(pair_peer(&p, A, B)->has_fallen_off);
    p.has_backlog[A][B] = false;
    for (uint32_t last = i + 4000; i < last && !(p.store.members & 1u << B); i++) {
        (void)entering_ns(i);
        pair_turn(&p);
        assert_false(cw_brake_may_hold(g));
        assert_int_equal(cw_landing_mask(g), 0);
    }
    settle();
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* In async no write waits for it. What it has it keeps, and ends when writes do. */
static void test_async_never_waits_for_a_copy(void **state)
{
    resync_over_a_slow_path(CW_MODE_ASYNC);
    write_faster_than_the_path(5000);
    bool has_ended = p.sites[B].copies > 0;
    uint64_t prepares = p.sites[B].prepares;
    settle();
    assert_true(has_ended || p.sites[B].prepares == prepares);
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

static bool is_stalled(struct pair *pair)
{
    struct cw_group_status status;

    cw_group_status(pair->sites[A].group, pair->now_ns, &status);
    assert_true(!status.peers[B].is_stalled || strstr(status.peers[B].reason, "restart its engine"));
    return status.peers[B].is_stalled;
}

static bool is_moving(struct pair *pair)
{
    return !is_stalled(pair);
}

/* Its disk answers nothing any more, though its engine goes on: told after a while, and no longer when it
 * moves. */
static void stall_by(enum pair_fact fact)
{
    p.sites[B].holds[fact] = true;
    pair_run(&p, 25 * CW_SECOND);
    assert_false(is_stalled(&p));
    assert_true(pair_until(&p, is_stalled));
    assert_non_null(strstr(p.sites[A].last_event, "nothing has moved"));
    pair_run(&p, 45 * CW_SECOND);
    assert_true(is_stalled(&p));
    p.sites[B].holds[fact] = false;
    assert_true(pair_until(&p, is_moving));
    settle();
    pair_run(&p, 100 * CW_SECOND); /* nothing lacks: nothing need move */
    assert_false(is_stalled(&p));
    pair_fini(&p);
}

static void test_a_stream_that_stands_still_is_told(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    write_some(&p, A, 8, 9);
    stall_by(PAIR_JOURNAL_WRITTEN);
}

static void test_a_copy_that_stands_still_is_told(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    assert_true(pair_until(&p, is_half_copied));
    stall_by(PAIR_APPLIED);
}

static uint8_t wanted_state;

static bool is_target_there(struct pair *pair)
{
    return pair->sites[B].group->target.state == wanted_state;
}

/* The first message of the type that is on its way, as it is; NULL. */
static struct pair_message *find_message(enum cw_message_type type)
{
    struct cw_message message;
    for (struct pair_message *m = p.messages; m; m = m->next) {
        if (cw_message_decode(m->head, m->head_length, m->body_length, &message) == CW_MESSAGE_OK &&
            message.type == type)
            return m;
    }
    return NULL;
}

static bool was_copied(struct pair *pair)
{
    return pair->sites[B].copies == 1;
}

/* Messages overtake each other: the beginning of a copy that comes when the site is a member again is not
 * obeyed. */
static void test_a_late_beginning_says_nothing(void **state)
{
    begin_with_data(CW_MODE_SYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    for (int i = 0; i < 10000 && !find_message(CW_MSG_COPY_BEGIN); i++)
        pair_turn(&p);
    assert_non_null(find_message(CW_MSG_COPY_BEGIN));
    struct pair_message *late = malloc(sizeof *late);
    *late = *find_message(CW_MSG_COPY_BEGIN);
    late->next = NULL;
    late->tag = 0;
    assert_true(pair_until(&p, was_copied));
    assert_true(pair_until(&p, is_protected));
    write_some(&p, A, 8, 2);
    settle();
    *p.messages_end = late;
    p.messages_end = &late->next;
    pair_run(&p, 100 * CW_MS);
    assert_int_equal(p.sites[B].group->target.state, CW_TARGET_NONE);
    assert_int_equal(p.sites[B].group->head, p.sites[A].group->head);
    write_some(&p, A, 8, 3);
    assert_true(pair_until(&p, all_done));
    pair_fini(&p);
}

/* What the copied site counts as applied from the first moment may not be more than what is committed. */
static void test_begins_at_the_commit(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = true;
    write_some(&p, A, 8, 2);
    pair_run(&p, CW_SECOND);
    uint64_t commit = p.sites[A].group->commit;
    assert_true(p.sites[A].group->head > commit);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    assert_int_equal(p.sites[B].group->commit, commit);
    pair_run(&p, 2 * CW_SECOND);
    assert_int_equal(p.sites[A].group->commit, commit);
    assert_int_equal(p.sites[B].group->commit, commit);
    assert_int_equal(p.sites[B].copies, 0); /* chunks from beyond the commit are there, or wait */
    p.sites[A].holds[PAIR_JOURNAL_SYNCED] = false;
    settle();
    assert_int_equal(p.sites[B].copies, 1);
    pair_fini(&p);
}

static void hold_all(bool hold)
{
    static const enum pair_fact facts[] = {PAIR_SALVAGED, PAIR_IMAGE, PAIR_SUPER_WRITTEN, PAIR_VOLUMES_SYNCED,
                                           PAIR_APPLIED};

    for (uint32_t i = 0; i < CW_COUNT_OF(facts); i++)
        p.sites[B].holds[facts[i]] = hold;
}

static void interrupt_at(uint8_t state, bool with_death, enum cw_device_crash how)
{
    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = state;
    assert_true(pair_until(&p, is_target_there));
    if (with_death) {
        pair_kill(&p, B, how);
        pair_start(&p, B);
    } else {
        hold_all(true); /* what is under way ends after the session is back */
        pair_link(&p, A, B, false);
        write_on(20);
        pair_link(&p, A, B, true);
        write_on(20);
        hold_all(false);
    }
    write_on(20);
    settle();
    assert_true(p.sites[B].copies >= 1);
    pair_kill(&p, B, CW_DEVICE_POWER_FAILS);
    pair_start(&p, B);
    settle();
    pair_fini(&p);
}

static void test_session_lost_in_each_state(void **state)
{
    for (uint8_t s = CW_TARGET_PREPARING; s <= CW_TARGET_FINISHING; s++)
        if (s != CW_TARGET_SETTLING) /* over within the turn, but when an apply is slow: test_old_image */
            interrupt_at(s, false, CW_DEVICE_PROCESS_DIES);
}

static void test_death_in_each_state(void **state)
{
    for (uint8_t s = CW_TARGET_PREPARING; s <= CW_TARGET_FINISHING; s++) {
        if (s == CW_TARGET_SETTLING)
            continue;
        interrupt_at(s, true, CW_DEVICE_PROCESS_DIES);
        interrupt_at(s, true, CW_DEVICE_POWER_FAILS);
    }
}

/* The old whole image is not touched by records of a copy that was given up. */
static void test_old_image_stays(void **state)
{
    uint8_t before[PAIR_BLOCKS];

    begin_with_data(CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    for (uint32_t i = 0; i < PAIR_BLOCKS; i++)
        before[i] = pair_on_disk(&p, B, i);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    p.sites[A].holds[PAIR_COPY_READ] = true;
    pair_link(&p, A, B, true);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    p.sites[B].holds[PAIR_APPLIED] = true;
    write_on(3 * CW_APPLY_SLOTS);
    pair_run(&p, CW_SECOND);
    pair_link(&p, A, B, false);
    p.sites[B].holds[PAIR_APPLIED] = false;
    pair_run(&p, 2 * CW_SECOND);
    assert_true(p.sites[B].group->applied < p.sites[B].group->commit);
    for (uint32_t i = 0; i < PAIR_BLOCKS; i++)
        assert_int_equal(pair_on_disk(&p, B, i), before[i]);
    assert_false(pair_open(&p, B, false)); /* no whole image of now */
    p.sites[A].holds[PAIR_COPY_READ] = false;
    pair_link(&p, A, B, true);
    settle();
    pair_fini(&p);
}

static void test_primary_leaves_while_copying(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
    write_on(3);
    cw_group_fence(p.sites[A].group, p.store.epoch, p.now_ns);
    pair_run(&p, CW_SECOND);
    assert_true(pair_open(&p, A, false));
    write_on(50);
    settle();
    pair_fini(&p);
}

static bool is_copied(struct pair *pair)
{
    const struct cw_group *g = pair->sites[B].group;
    /* Nothing is issued to a volume that is gone: what was before is answered already. */
    return g->target.state == CW_TARGET_NONE || g->apply_used > 0;
}

static void begin_filling(void)
{
    begin_with_data(CW_MODE_ASYNC);
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_FILLING;
    assert_true(pair_until(&p, is_target_there));
}

/* The volume is gone at the target: the copy goes on and ends well, nothing more is issued to the volume, and
 * it is not put back into the superblock. */
static void expect_copied_without_it(void)
{
    const struct cw_group *g = p.sites[B].group;
    assert_int_equal(g->apply_used, 0);
    assert_int_equal(g->target.state, CW_TARGET_FILLING);
    assert_true(pair_until(&p, is_copied));
    assert_int_equal(g->apply_used, 0);
    assert_int_equal(g->role, CW_ROLE_REPLICA);
    assert_int_equal(p.sites[B].copies, 1);
    assert_int_equal(g->super.image_state, CW_IMAGE_WHOLE);
    assert_int_equal(g->super.volume_count, 0);
    pair_fini(&p);
}

static void test_volume_is_removed_before_its_chunks_come(void **state)
{
    begin_filling();
    cw_group_volume_remove(p.sites[B].group, 0);
    expect_copied_without_it();
}

/* One chunk is under way and fails, because the file is closed; another waits for it. */
static void test_volume_is_removed_under_its_chunks(void **state)
{
    begin_filling();
    p.sites[B].holds[PAIR_APPLIED] = true;
    for (uint32_t turns = 0; p.sites[B].group->apply_used == 0; turns++) {
        assert_true(turns < 1000);
        pair_turn(&p);
    }
    cw_group_volume_remove(p.sites[B].group, 0);
    p.sites[B].fails[PAIR_APPLIED] = CW_IO;
    p.sites[B].holds[PAIR_APPLIED] = false;
    pair_turn(&p);
    expect_copied_without_it();
}

/* The volume is gone at the source: nothing more of it is read, and the copy that was begun ends well. */
static void expect_ended_as_begun(uint64_t id)
{
    uint32_t reads = p.sites[A].group->copy_slots[0].generation;

    cw_group_volume_remove(p.sites[A].group, 0);
    p.sites[A].fails[PAIR_COPY_READ] = CW_IO; /* its file is closed */
    memset(p.sites[A].holds, 0, sizeof p.sites[A].holds);
    memset(p.sites[B].holds, 0, sizeof p.sites[B].holds);
    wanted_state = CW_TARGET_SWITCHING;
    assert_true(pair_until(&p, is_target_there));
    assert_int_equal(p.sites[B].group->target.id, id);
    assert_int_equal(p.sites[A].group->copy_slots[0].generation, reads);
    assert_int_equal(pair_peer(&p, A, B)->copy.bytes_done, pair_peer(&p, A, B)->copy.bytes_total);
    assert_true(pair_until(&p, is_protected));
    pair_fini(&p);
}

static void test_volume_is_removed_before_it_is_read(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    p.sites[B].holds[PAIR_IMAGE] = true;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_PREPARING;
    assert_true(pair_until(&p, is_target_there));
    expect_ended_as_begun(pair_peer(&p, A, B)->copy.id);
}

static bool is_reading(struct pair *pair)
{
    return pair->sites[A].group->copy_slots[0].state == CW_COPY_SLOT_READING;
}

/* What was asked for is not begun any more, and fails. */
static void test_volume_is_removed_before_a_read_begins(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    p.sites[A].holds[PAIR_COPY_READ] = true;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    assert_true(pair_until(&p, is_reading));
    expect_ended_as_begun(pair_peer(&p, A, B)->copy.id);
}

static void write_zeroes_to(uint16_t volume)
{
    struct cw_group_write write = {.request = (struct cw_block_request *)(uintptr_t)(p.request_count + 1),
                                   .kind = CW_RECORD_ZEROES,
                                   .volume = volume,
                                   .offset = 40 * PAIR_BLOCK, /* zeroes in the other volume, too */
                                   .length = PAIR_BLOCK};

    p.request_count++;
    assert_int_equal(cw_group_write(p.sites[A].group, &write, p.now_ns), CW_OK);
}

/* It comes while the superblock is being written: that ends by itself, but leaves no files to go on with. */
static void test_volume_is_added_while_marking(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    p.sites[B].holds[PAIR_SUPER_WRITTEN] = true;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    wanted_state = CW_TARGET_MARKING;
    assert_true(pair_until(&p, is_target_there));
    cw_group_volume_add(p.sites[B].group, 1, PAIR_BLOCK, 0, false);
    p.sites[B].holds[PAIR_SUPER_WRITTEN] = false;
    assert_true(pair_until(&p, was_copied));
    assert_int_equal(p.sites[B].prepares, 2);
    pair_fini(&p);
}

static void begin_with_a_preseeded_volume(void)
{
    begin_with_data(CW_MODE_ASYNC);
    cw_group_volume_add(p.sites[A].group, 1, PAIR_BLOCK, 77, false); /* every site is greeted anew */
    pair_run(&p, 5 * CW_SECOND);
    assert_int_equal(p.sites[B].prepares, 0);
}

/* B has heard first that a volume which began with data is deleted: that costs no copy. */
static void test_preseeded_volume_is_gone_at_the_replica_first(void **state)
{
    begin_with_a_preseeded_volume();
    cw_group_volume_remove(p.sites[A].group, 1);
    pair_run(&p, 5 * CW_SECOND);
    write_some(&p, A, 8, 3);
    settle();
    assert_int_equal(p.sites[B].prepares, 0);
    pair_fini(&p);
}

/* B makes it a little later: it lacks what the volume began with. */
static void test_preseeded_volume_is_made_later(void **state)
{
    begin_with_a_preseeded_volume();
    cw_group_volume_add(p.sites[B].group, 1, PAIR_BLOCK, 0, false);
    pair_run(&p, CW_SECOND);
    assert_int_equal(p.sites[B].prepares, 1);
    pair_fini(&p);
}

/* B has no room for a volume to which A wrote, and is promoted: the files of C say more than a copy from B
 * would bring. */
static void test_no_copy_from_who_lacks_a_volume(void **state)
{
    begin(&p, 3, CW_MODE_ASYNC);
    cw_group_volume_add(p.sites[A].group, 1, PAIR_BLOCK * PAIR_BLOCKS, 0, false);
    cw_group_volume_add(p.sites[C].group, 1, PAIR_BLOCK * PAIR_BLOCKS, 0, false);
    assert_true(pair_until(&p, is_protected));
    write_some(&p, A, 3, 1);
    write_zeroes_to(1);
    pair_run(&p, CW_SECOND);
    assert_true(p.sites[B].group->applied < p.sites[C].group->applied);
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    assert_true(pair_open(&p, B, true));
    assert_int_equal(cw_group_resync(p.sites[B].group, C), CW_OK);
    pair_run(&p, 20 * CW_SECOND);
    assert_int_equal(p.sites[C].copies, 0);
    assert_int_equal(p.sites[C].group->target.state, CW_TARGET_NONE);
    assert_true(strstr(pair_peer(&p, B, C)->reason, "volume") != NULL);
    cw_group_volume_add(p.sites[B].group, 1, PAIR_BLOCK * PAIR_BLOCKS, 0, false);
    settle();
    assert_int_equal(p.sites[C].copies, 1);
    pair_fini(&p);
}

static void test_no_space_for_a_copy(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    p.sites[B].fails[PAIR_IMAGE] = CW_NO_SPACE;
    assert_int_equal(cw_group_resync(p.sites[A].group, B), CW_OK);
    pair_run(&p, 20 * CW_SECOND);
    assert_true(strstr(pair_peer(&p, A, B)->reason, "space") != NULL);
    assert_true(p.sites[B].events < 40); /* now and then, not all the time */
    p.sites[B].fails[PAIR_IMAGE] = CW_OK;
    settle();
    pair_fini(&p);
}

/* B is away for longer than the journal lasts: it is given up, writes go on, and it is copied at its return.
 */
static void test_journal_full_gives_up(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t write = pair_write(&p, A, i % PAIR_BLOCKS, (uint8_t)i, false);
        assert_true(!pair_is_done(&p, write) || p.requests[write].status == CW_OK);
        pair_turn(&p);
    }
    assert_true(pair_until(&p, all_done));
    assert_true(pair_peer(&p, A, B)->needs_copy);
    pair_link(&p, A, B, true);
    settle();
    assert_int_equal(p.sites[B].copies, 1);
    pair_fini(&p);
}

/* The ring is full of what B has not acknowledged, so that nothing of it is in place: to give B up for the
 * little that is would free nothing. */
static void test_journal_full_of_what_is_not_in_place(void **state)
{
    begin_with_data(CW_MODE_SYNC);
    p.log_entries = PAIR_RING_SECTORS / 2; /* so that memory lasts longer than the ring */
    pair_kill(&p, A, CW_DEVICE_PROCESS_DIES);
    pair_start(&p, A);
    assert_true(pair_open(&p, A, false));
    settle();
    cw_group_set_replica_timeout(p.sites[A].group, 60 * CW_SECOND);
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = true;
    for (int i = 0; i < 3;
         i++) { /* durable at A, and committed: B's disk is slow, but has it in its journal */
        write_on(10);
        pair_flush(&p, A);
        pair_run(&p, CW_SECOND);
    }
    assert_true(p.sites[A].group->applied > p.sites[A].group->peers[B].acked.durable);
    p.is_held[B][A] = true;
    p.sites[A].group->config.payload_bytes_soft = PAIR_RING_SECTORS * PAIR_BLOCK;
    while (cw_journal_room(p.sites[A].group->journal) >= CW_JOURNAL_RESERVE + CW_BATCH_ONE_WRITE)
        write_on(1);
    pair_run(&p, 5 * CW_SECOND);
    assert_false(pair_peer(&p, A, B)->needs_copy);
    p.is_held[B][A] = false;
    p.sites[B].holds[PAIR_JOURNAL_SYNCED] = false;
    settle();
    assert_true(pair_until(&p, all_done));
    assert_int_equal(p.sites[B].copies, 0);
    pair_fini(&p);
}

/* Shorter than that: from the journal, without a copy. */
static void test_catch_up_from_the_journal(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    write_on(600);
    pair_run(&p, 2 * CW_SECOND);
    pair_link(&p, A, B, true);
    write_on(50);
    settle();
    assert_int_equal(p.sites[B].copies, 0);
    assert_true(cw_counter_read(&p.sites[A].group->counters[CW_GROUP_CATCHUP_READS]) > 0);
    pair_fini(&p);
}

/* Of writes that were a batch each, a read brings many: else a far replica gets a handful of them a round trip. */
static void test_catch_up_reads_ahead(void **state)
{
    begin_with_data(CW_MODE_ASYNC);
    pair_link(&p, A, B, false);
    for (int i = 0; i < 400; i++) {
        write_on(1);
        pair_run(&p, 2 * CW_MS);
    }
    pair_run(&p, 2 * CW_SECOND);
    uint64_t before = cw_counter_read(&p.sites[A].group->counters[CW_GROUP_CATCHUP_READS]);
    pair_link(&p, A, B, true);
    settle();
    assert_true(pair_until(&p, all_done));
    uint64_t reads = cw_counter_read(&p.sites[A].group->counters[CW_GROUP_CATCHUP_READS]) - before;
    assert_int_equal(p.sites[B].copies, 0);
    assert_in_range(reads, 1, 400 / 8);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_with_live_writes),
        cmocka_unit_test(test_lost_session_does_not_begin_it_anew),
        cmocka_unit_test(test_dead_target_begins_it_anew),
        cmocka_unit_test(test_ends_though_writes_come_faster),
        cmocka_unit_test(test_no_write_waits_longer_than_the_brake),
        cmocka_unit_test(test_nothing_waits_for_it_while_another_protects),
        cmocka_unit_test(test_async_never_waits_for_a_copy),
        cmocka_unit_test(test_a_stream_that_stands_still_is_told),
        cmocka_unit_test(test_a_copy_that_stands_still_is_told),
        cmocka_unit_test(test_a_site_being_copied_holds_nothing),
        cmocka_unit_test(test_begins_at_the_commit),
        cmocka_unit_test(test_a_late_beginning_says_nothing),
        cmocka_unit_test(test_session_lost_in_each_state),
        cmocka_unit_test(test_death_in_each_state),
        cmocka_unit_test(test_old_image_stays),
        cmocka_unit_test(test_primary_leaves_while_copying),
        cmocka_unit_test(test_volume_is_removed_before_its_chunks_come),
        cmocka_unit_test(test_volume_is_removed_under_its_chunks),
        cmocka_unit_test(test_volume_is_removed_before_it_is_read),
        cmocka_unit_test(test_volume_is_removed_before_a_read_begins),
        cmocka_unit_test(test_no_copy_from_who_lacks_a_volume),
        cmocka_unit_test(test_volume_is_added_while_marking),
        cmocka_unit_test(test_preseeded_volume_is_gone_at_the_replica_first),
        cmocka_unit_test(test_preseeded_volume_is_made_later),
        cmocka_unit_test(test_no_space_for_a_copy),
        cmocka_unit_test(test_journal_full_gives_up),
        cmocka_unit_test(test_journal_full_of_what_is_not_in_place),
        cmocka_unit_test(test_catch_up_from_the_journal),
        cmocka_unit_test(test_catch_up_reads_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
