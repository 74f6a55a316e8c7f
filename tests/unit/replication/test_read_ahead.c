/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a peer that catches up is sent out of one read of the journal: the batch that was asked for, and those
 * behind it if they are what the journal has. The slot of a read is made by hand, so that its bytes can be others
 * than the journal's; behind each check here stands another (the record's hash, its sequence, the history), which
 * would hide that it is gone. Hence the unit itself, with all that it keeps to itself.
 */
#include "../../../dataplane/replication/source.c"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "journal/batch_format.h"
#include "story.h"

#define BATCHES 40u

static struct pair p;
static struct cw_group *g;
static struct cw_peer *peer;
static struct cw_read_slot *slot;
static uint64_t first; /* of the records that B lacks: each is a batch of its own */

static bool is_level(struct pair *pair)
{
    return pair_is_level(pair);
}

static void find(uint64_t sequence, uint64_t *position, uint32_t *sectors)
{
    assert_int_equal(cw_journal_find(g->journal, sequence, position, sectors), CW_OK);
}

/* The bytes that one read of so many batches gives, the first of them taken up. */
static void load(uint32_t batches)
{
    uint64_t position, last;
    uint32_t sectors;
    find(first + batches - 1, &last, &sectors);
    uint64_t end = last + sectors;
    find(first, &position, &sectors);
    *slot = (struct cw_read_slot){.state = CW_SLOT_LOADED,
                                  .peer = B,
                                  .is_current = true,
                                  .generation = slot->generation + 1,
                                  .position = position,
                                  .sectors = sectors,
                                  .loaded = (uint32_t)(end - position),
                                  .memory = slot->memory};
    assert_in_range(slot->loaded, batches, CW_BATCH_SECTORS_MAX);
    assert_true(cw_device_read(&p.sites[A].journal, slot->memory, slot->loaded * CW_SECTOR_SIZE,
                               cw_journal_device_offset(position, cw_journal_ring_sectors(g->journal))));
    assert_true(view_batch(g, slot));
    peer->read_slot = 0;
    peer->read_ahead = slot->loaded;
    peer->next = first + 1; /* as when the first one is sent */
    slot->next_record = slot->view.record_count;
}

/* Where a batch is in memory. */
static uint8_t *bytes_of(uint64_t sequence)
{
    uint64_t position;
    uint32_t sectors;
    find(sequence, &position, &sectors);
    return slot->memory + (position - slot->position) * CW_SECTOR_SIZE;
}

static uint32_t bytes_in(uint64_t sequence)
{
    uint64_t position;
    uint32_t sectors;
    find(sequence, &position, &sectors);
    return sectors * CW_SECTOR_SIZE;
}

static void set_up(uint32_t batches)
{
    begin(&p, 2, CW_MODE_ASYNC);
    assert_true(pair_until(&p, is_level));
    pair_link(&p, A, B, false);
    g = p.sites[A].group;
    first = g->head + 1;
    for (uint32_t i = 0; i < BATCHES; i++) {
        pair_write(&p, A, i % PAIR_BLOCKS, (uint8_t)(i + 1), false);
        pair_run(&p, 2 * CW_MS);
    }
    pair_run(&p, 2 * CW_SECOND); /* in place, and no longer in memory */
    peer = pair_peer(&p, A, B);
    slot = &g->read_slots[0];
    assert_false(cw_log_has(g, first));
    assert_int_equal(g->head, first + BATCHES - 1);
    assert_int_equal(slot->state, CW_SLOT_FREE);
    load(batches);
}

static void tear_down(void)
{
    slot->references = 0; /* nothing was given to a session */
    slot->state = CW_SLOT_FREE;
    peer->read_slot = -1;
    g->action_tail = g->action_head;
    peer->sends = 0;
    pair_fini(&p);
}

static uint64_t actions(void)
{
    return g->action_tail - g->action_head;
}

/* The next record is not sent; nor is the journal called unreadable: it is asked. */
static void expect_read_again(void)
{
    uint64_t before = actions(), next = peer->next;
    for (uint32_t i = 0; i < 2 && peer->read_slot >= 0; i++) /* taken up, and then found out */
        assert_true(send_from_journal(g, peer));
    assert_int_equal(peer->read_slot, -1);
    assert_int_equal(peer->next, next);
    assert_int_equal(actions(), before);
    assert_false(peer->needs_copy);
    assert_false(send_from_journal(g, peer));
    assert_int_equal(actions(), before + 1);
    assert_int_equal(g->actions[(g->action_tail - 1) & g->action_mask].type, CW_ACT_JOURNAL_READ);
    uint64_t position;
    uint32_t sectors;
    find(next, &position, &sectors);
    struct cw_read_slot *again = &g->read_slots[peer->read_slot];
    assert_int_equal(again->position, position);
    assert_int_equal(again->offset, 0);
    again->state = CW_SLOT_FREE; /* nobody carries it out */
}

static void test_all_of_it_is_used(void **state)
{
    set_up(BATCHES);
    for (uint64_t next = first + 1; next < first + BATCHES; next++) {
        struct cw_record record;
        const uint8_t *payload;
        assert_int_equal(peer->next, next);
        assert_true(next_batch(g, peer, slot));
        assert_int_equal(slot->view.record_count, 1);
        assert_int_equal(cw_batch_record(&slot->view, 0, &record, &payload), CW_OK);
        assert_int_equal(record.sequence, next);
        assert_in_range(payload - slot->memory, slot->offset * CW_SECTOR_SIZE,
                        (slot->offset + slot->sectors) * CW_SECTOR_SIZE - PAIR_BLOCK);
        peer->next++;
    }
    tear_down();
}

/* What was read is not all that is in memory: behind it may be what an earlier read has left. */
static void test_cut_short(void **state)
{
    set_up(3);
    slot->loaded -= bytes_in(first + 2) / CW_SECTOR_SIZE;
    assert_true(next_batch(g, peer, slot));
    peer->next++;
    uint32_t loaded = slot->loaded;
    assert_false(next_batch(g, peer, slot));
    assert_int_equal(peer->read_ahead, CW_MIN(2 * loaded, CW_BATCH_SECTORS_MAX));
    peer->state = CW_PEER_COPYING; /* chunks go first */
    assert_false(next_batch(g, peer, slot));
    assert_int_equal(peer->read_ahead, 0);
    peer->state = CW_PEER_DISCONNECTED;
    expect_read_again();
    tear_down();
}

static void test_not_written_yet(void **state)
{
    set_up(3);
    memset(bytes_of(first + 1), 0, bytes_in(first + 1));
    assert_false(next_batch(g, peer, slot));
    load(3);
    memset(bytes_of(first + 1), 0, bytes_in(first + 1));
    expect_read_again();
    tear_down();
}

/* Sound batches, but of another place. */
static void test_another_batch_is_there(void **state)
{
    set_up(3);
    memcpy(bytes_of(first + 1), bytes_of(first + 2), bytes_in(first + 2));
    assert_false(next_batch(g, peer, slot));
    load(3);
    memcpy(bytes_of(first + 1), bytes_of(first), bytes_in(first));
    assert_false(next_batch(g, peer, slot));
    load(3);
    memcpy(bytes_of(first + 1), bytes_of(first), bytes_in(first));
    expect_read_again();
    tear_down();
}

/* The same place, a lap of the ring later or earlier: written anew since, or not yet. */
static void put_in_lap(uint8_t *bytes, uint64_t ring)
{
    static const unsigned positions[] = {CW_BATCH_AT_POSITION, CW_BATCH_AT_WRITTEN_POSITION,
                                         CW_BATCH_AT_DURABLE_POSITION, CW_BATCH_AT_TAIL_POSITION};
    uint32_t used = cw_batch_header_used(cw_load32le(bytes + CW_BATCH_AT_RECORD_COUNT));
    for (unsigned i = 0; i < CW_COUNT_OF(positions); i++)
        cw_store64le(bytes + positions[i], cw_load64le(bytes + positions[i]) + ring);
    cw_store64le(bytes + CW_BATCH_AT_CHECK,
                 cw_hash64(bytes + CW_BATCH_CHECKED_FROM, used - CW_BATCH_CHECKED_FROM));
}

static void test_another_lap_is_there(void **state)
{
    set_up(3);
    uint64_t ring = cw_journal_ring_sectors(g->journal), position;
    uint32_t sectors;
    find(first + 1, &position, &sectors);
    put_in_lap(bytes_of(first + 1), ring);
    struct cw_batch_view view;
    assert_int_equal(
        cw_batch_check(bytes_of(first + 1), bytes_in(first + 1), position, ring, g->super.journal_id, &view),
        CW_SECTOR_STALE);
    assert_false(next_batch(g, peer, slot));
    load(3);
    put_in_lap(bytes_of(first + 1), ring);
    expect_read_again();
    tear_down();
}

static void test_half_of_it_is_written(void **state)
{
    set_up(3);
    bytes_of(first + 1)[0] ^= 1; /* its head */
    assert_false(next_batch(g, peer, slot));
    load(3);
    bytes_of(first + 1)[bytes_in(first + 1) - 1] ^= 1; /* its last sector */
    assert_true(next_batch(g, peer, slot));
    load(3);
    bytes_of(first + 1)[bytes_in(first + 1) - 1] ^= 1;
    expect_read_again();
    tear_down();
}

/* A batch is looked for right behind the one before, and at no other place: even when it seems to be there. */
static void test_only_what_follows(void **state)
{
    set_up(4);
    assert_int_equal(bytes_in(first + 1), bytes_in(first + 2));
    memcpy(bytes_of(first + 1), bytes_of(first + 2), bytes_in(first + 2));
    peer->next = first + 2;
    assert_false(next_batch(g, peer, slot));
    assert_int_equal(slot->offset, 0);
    expect_read_again();
    tear_down();
}

/* What was asked for tells: then the journal has it no longer. */
static void test_what_was_asked_for_is_not_read_again(void **state)
{
    set_up(3);
    peer->next = first;
    slot->next_record = 0;
    bytes_of(first)[bytes_in(first) - 1] ^= 1;
    assert_false(send_from_journal(g, peer));
    assert_int_equal(peer->read_slot, -1);
    assert_true(peer->needs_copy);
    tear_down();
}

/* A place that cannot be read costs the reads ahead of it, not one for each batch in front of it. */
static void test_unreadable_ahead(void **state)
{
    set_up(3);
    slot->state = CW_SLOT_READING;
    uint64_t before = actions();
    cw_group_on_journal_read(g, (uint64_t)slot->generation << 32, CW_IO);
    assert_int_equal(slot->state, CW_SLOT_READING);
    assert_int_equal(slot->loaded, slot->sectors);
    assert_int_equal(actions(), before + 1);
    assert_int_equal(peer->read_ahead, 0);
    cw_group_on_journal_read(g, (uint64_t)slot->generation << 32, CW_IO);
    assert_int_equal(slot->state, CW_SLOT_FREE);
    assert_true(peer->needs_copy);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it_is_used),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_not_written_yet),
        cmocka_unit_test(test_another_batch_is_there),
        cmocka_unit_test(test_another_lap_is_there),
        cmocka_unit_test(test_half_of_it_is_written),
        cmocka_unit_test(test_only_what_follows),
        cmocka_unit_test(test_what_was_asked_for_is_not_read_again),
        cmocka_unit_test(test_unreadable_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
