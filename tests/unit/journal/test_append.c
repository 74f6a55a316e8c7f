/* SPDX-License-Identifier: BSD-3-Clause */
/* The append side: layout and segments, unbroken runs, room, release, cut, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../base/expect_abort.h"
#include "base/numbers.h"
#include "log.h"

static const struct cw_journal_batch *batch_of(uint32_t count, uint32_t length)
{
    assert_non_null(cw_journal_begin(log_.journal));
    for (uint32_t i = 0; i < count; i++)
        assert_true(log_add(&log_, CW_RECORD_WRITE, length));
    return cw_journal_batch(log_.journal, log_submit(&log_, 0, false));
}

static void test_small_batches_are_one_segment(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, length, sectors, segments;
    } rows[] = {
        {1, 512, 2, 1},     {8, 512, 2, 1},      {9, 512, 3, 1},   {62, 512, 9, 1},   {1, 4096, 2, 1},
        {30, 4096, 31, 1},  {62, 4096, 63, 1},   {3, 4608, 7, 1},  {1, 16384, 5, 1},  {1, 20480, 6, 2},
        {1, 131072, 33, 2}, {8, 131072, 257, 9}, {1, 20992, 7, 3}, {2, 20992, 13, 5},
    };

    for (uint32_t i = 0; i < CW_COUNT_OF(rows); i++) {
        const struct cw_journal_batch *batch = batch_of(rows[i].count, rows[i].length);
        uint64_t at = cw_journal_device_offset(batch->position, LOG_RING_SECTORS);

        assert_int_equal(batch->record_count, rows[i].count);
        assert_int_equal(batch->sectors, rows[i].sectors);
        assert_int_equal(batch->segment_count, rows[i].segments);
        for (uint32_t s = 0; s < batch->segment_count; s++) { /* side by side from the batch's place on */
            assert_int_equal(batch->segments[s].offset, at);
            at += batch->segments[s].length;
        }
        assert_int_equal(at, cw_journal_device_offset(batch->position, LOG_RING_SECTORS) +
                                 (uint64_t)batch->sectors * CW_SECTOR_SIZE);
        log_complete(&log_, batch->slot);
        log_sync(&log_);
        log_release(&log_, log_.next_sequence - 1);
    }
}

static void test_limits_of_a_batch(void **state)
{
    (void)state;
    batch_of(62, 512);
    log_complete(&log_, 0);
    assert_non_null(cw_journal_begin(log_.journal));
    for (uint32_t i = 0; i < 62; i++)
        assert_true(log_add(&log_, CW_RECORD_MARKER, 0));
    assert_false(log_add(&log_, CW_RECORD_MARKER, 0));
    log_complete(&log_, log_submit(&log_, 0, false));
    assert_non_null(cw_journal_begin(log_.journal)); /* a MiB of payload */
    for (uint32_t i = 0; i < 8; i++)
        assert_true(log_add(&log_, CW_RECORD_WRITE, 131072));
    assert_false(log_add(&log_, CW_RECORD_WRITE, 512));
    assert_true(log_add(&log_, CW_RECORD_MARKER, 0));
    log_complete(&log_, log_submit(&log_, 0, false));
    assert_non_null(cw_journal_begin(log_.journal)); /* 256 KiB of copies */
    for (uint32_t i = 0; i < 16; i++)
        assert_true(log_add(&log_, CW_RECORD_WRITE, 16384));
    assert_false(log_add(&log_, CW_RECORD_WRITE, 16384));
    assert_false(log_add(&log_, CW_RECORD_WRITE, 512));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 20480)); /* borrowed: no copy */
    log_complete(&log_, log_submit(&log_, 0, false));
    assert_non_null(cw_journal_begin(log_.journal)); /* segments: two a record here */
    uint32_t added = 0;
    while (log_add(&log_, CW_RECORD_WRITE, 16896))
        added++;
    assert_in_range(added, 34, 36);
    log_complete(&log_, log_submit(&log_, 0, false));
}

/* What a slot held before is not written again where nothing belongs. */
static void test_gaps_are_zero(void **state)
{
    (void)state;
    static const uint8_t zero[CW_SECTOR_SIZE];

    for (uint32_t i = 0; i < LOG_SLOTS; i++)
        log_complete(&log_, batch_of(62, 4096)->slot);
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 512));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 4096));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 512));
    uint32_t slot = log_submit(&log_, 0, false);
    log_complete(&log_, slot);
    const uint8_t *at = log_.device.seen + cw_journal_batch(log_.journal, slot)->segments[0].offset;
    assert_int_equal(cw_journal_batch(log_.journal, slot)->sectors, 4);
    assert_memory_equal(at + 128 + 3 * 64, zero, 4096 - 128 - 3 * 64);
    assert_memory_equal(at + 4096 + 512, zero, 4096 - 512);
    assert_memory_equal(at + 12288 + 512, zero, 4096 - 512);
}

static void test_runs_are_unbroken(void **state)
{
    (void)state;
    uint32_t a = batch_of(2, 512)->slot, b = batch_of(1, 512)->slot, c = batch_of(1, 512)->slot;
    uint64_t position;
    uint32_t sectors;

    log_complete(&log_, c);
    log_complete(&log_, b);
    assert_int_equal(cw_journal_written_sequence(log_.journal), 0);
    assert_false(cw_journal_sync_is_needed(log_.journal));
    assert_int_equal(cw_journal_find(log_.journal, 3, &position, &sectors), CW_NOT_FOUND);
    log_complete(&log_, a);
    assert_int_equal(cw_journal_written_sequence(log_.journal), 4);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 0);
    assert_int_equal(cw_journal_find(log_.journal, 3, &position, &sectors), CW_OK);
    assert_int_equal(position, 2);
    assert_int_equal(sectors, 2);
    assert_true(cw_journal_is_idle(log_.journal));
}

static void test_a_sync_covers_what_was_written_before_it(void **state)
{
    (void)state;
    log_complete(&log_, batch_of(1, 512)->slot);
    uint32_t b = batch_of(1, 512)->slot;
    assert_true(cw_journal_sync_is_needed(log_.journal));
    cw_journal_sync_begin(log_.journal);
    log_complete(&log_, b);
    cw_journal_sync_end(log_.journal);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 1);
    assert_true(cw_journal_sync_is_needed(log_.journal));
    log_sync(&log_);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 2);
    assert_false(cw_journal_sync_is_needed(log_.journal));
}

static uint32_t one(uint64_t commit, bool dsync)
{
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 512));
    return log_submit(&log_, commit, dsync);
}

static void test_dsync_is_granted_only_behind_durable(void **state)
{
    (void)state;
    uint32_t a = one(0, true);
    uint32_t b = one(1, true); /* a is in flight */
    assert_true(cw_journal_batch(log_.journal, a)->is_dsync);
    assert_false(cw_journal_batch(log_.journal, b)->is_dsync);
    log_complete(&log_, b);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 0);
    log_complete(&log_, a);
    assert_int_equal(cw_journal_written_sequence(log_.journal), 2);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 1);
    assert_int_equal(cw_journal_durable_commit(log_.journal), 0);
    uint32_t c = one(2, true); /* b is written, not durable */
    assert_false(cw_journal_batch(log_.journal, c)->is_dsync);
    log_complete(&log_, c);
    log_sync(&log_);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 3);
    assert_int_equal(cw_journal_durable_commit(log_.journal), 2);
    uint32_t d = one(3, true);
    assert_true(cw_journal_batch(log_.journal, d)->is_dsync);
    log_complete(&log_, d);
    assert_int_equal(cw_journal_durable_commit(log_.journal), 3);
}

static void test_slots_run_out(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LOG_SLOTS; i++)
        one(0, false);
    assert_null(cw_journal_begin(log_.journal));
    log_complete(&log_, 1);
    assert_null(cw_journal_begin(log_.journal)); /* the first still holds the place */
    log_complete(&log_, 0);
    assert_non_null(cw_journal_begin(log_.journal));
}

/* Whatever room promises fits, at every place of the ring and every length. */
static void test_room_is_what_it_says(void **state)
{
    (void)state;
    struct cw_rng rng = {11};

    for (uint32_t i = 0; i < 6000; i++) {
        uint32_t length = (uint32_t)(1 + cw_rng_below(&rng, 256)) * 512;
        bool is_full = cw_journal_room(log_.journal) < cw_journal_sectors_for(length);

        if (!is_full) {
            log_put(&log_, length);
        } else {
            log_sync(&log_);
            uint64_t oldest = CW_MAX(cw_journal_oldest_sequence(log_.journal), 1);
            log_release(&log_, oldest + cw_rng_below(&rng, log_.next_sequence - oldest));
        }
        assert_true(cw_journal_head_position(log_.journal) - cw_journal_tail_position(log_.journal) <=
                    LOG_RING_SECTORS);
    }
}

static void test_a_full_ring_still_carries_commits(void **state)
{
    (void)state;
    uint32_t commits = 0;

    while (cw_journal_room(log_.journal) >= cw_journal_sectors_for(131072))
        log_put(&log_, 131072);
    bool is_full = false;
    while (!is_full) {
        assert_non_null(cw_journal_begin(log_.journal));
        is_full = !log_add(&log_, CW_RECORD_MARKER, 0);
        log_complete(&log_, log_submit(&log_, 0, false));
    }
    while (cw_journal_begin(log_.journal))
        log_complete(&log_, log_submit(&log_, ++commits, false));
    assert_in_range(commits, 90, 130);
    assert_int_equal(cw_journal_room(log_.journal), 0);
    log_sync(&log_);
    log_release(&log_, 1);
    assert_true(cw_journal_room(log_.journal) > 0 || cw_journal_tail_position(log_.journal) == 33);
}

static void test_release_keeps_its_word(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        log_put(&log_, 4096);
    assert_int_equal(cw_journal_release_position(log_.journal, 4), 0); /* nothing is durable */
    log_sync(&log_);
    assert_int_equal(cw_journal_release_position(log_.journal, 2), 4);
    assert_int_equal(cw_journal_release_position(log_.journal, 4), 6); /* the last durable batch stays */
    log_put(&log_, 4096);
    log_sync(&log_);
    assert_int_equal(cw_journal_release(log_.journal, 4), 6); /* what went into the superblock */
    assert_int_equal(cw_journal_oldest_sequence(log_.journal), 4);
    assert_int_equal(cw_journal_release_position(log_.journal, 4), 8);
    assert_int_equal(cw_journal_release(log_.journal, 4), 8);
    assert_int_equal(cw_journal_oldest_sequence(log_.journal), 5);
    assert_int_equal(cw_journal_release_position(log_.journal, 1), 8); /* never back */
}

/* Batches without records alone can fill no ring for good. */
static void test_idle_commits_are_released(void **state)
{
    (void)state;
    log_put(&log_, 4096);
    for (uint32_t i = 0; i < 5000; i++) {
        if (!cw_journal_begin(log_.journal)) {
            log_sync(&log_);
            log_release(&log_, 1);
            assert_non_null(cw_journal_begin(log_.journal));
        }
        log_complete(&log_, log_submit(&log_, 1, false));
    }
}

static void test_cut(void **state)
{
    (void)state;
    uint64_t position;
    uint32_t sectors;

    log_complete(&log_, batch_of(5, 512)->slot);
    log_sync(&log_);
    log_complete(&log_, batch_of(5, 512)->slot);
    cw_journal_cut(log_.journal, 3);
    assert_int_equal(cw_journal_written_sequence(log_.journal), 3);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 3);
    assert_int_equal(cw_journal_find(log_.journal, 3, &position, &sectors), CW_OK);
    assert_int_equal(cw_journal_find(log_.journal, 4, &position, &sectors), CW_NOT_FOUND);
    assert_int_equal(cw_journal_find(log_.journal, 9, &position, &sectors), CW_NOT_FOUND);
    log_.next_sequence = 4;
    uint64_t head = cw_journal_head_position(log_.journal);
    log_put(&log_, 512);
    assert_int_equal(cw_journal_find(log_.journal, 4, &position, &sectors), CW_OK);
    assert_int_equal(position, head); /* never over what was cut */
    cw_journal_cut(log_.journal, 0);
    assert_int_equal(cw_journal_oldest_sequence(log_.journal), 0);
    assert_int_equal(cw_journal_written_sequence(log_.journal), 0);
}

/* A sync under way when the log is cut does not bring back what it was to cover. */
static void test_cut_under_a_sync(void **state)
{
    (void)state;
    log_complete(&log_, batch_of(5, 512)->slot);
    cw_journal_sync_begin(log_.journal);
    cw_journal_cut(log_.journal, 2);
    cw_journal_sync_end(log_.journal);
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 2);
}

static void add_wrong(uint64_t sequence, uint32_t group)
{
    static uint8_t payload[512];
    struct cw_record record = log_make_record(1, sequence, CW_RECORD_WRITE, 512, payload);

    record.group = group;
    cw_journal_begin(log_.journal);
    cw_journal_add(log_.journal, &record, payload);
}

static void test_misuse_stops_the_program(void **state)
{
    (void)state;
    log_put(&log_, 512);
    expect_abort(add_wrong(1, LOG_GROUP));
    expect_abort(add_wrong(3, LOG_GROUP));
    expect_abort(add_wrong(2, LOG_GROUP + 1));
    expect_abort(cw_journal_written(log_.journal, 0));
    expect_abort(cw_journal_sync_end(log_.journal));
    expect_abort(cw_journal_cut(log_.journal, 2));
    expect_abort(cw_journal_reset(log_.journal, log_.superblock.journal_id, 0));
    expect_abort(cw_journal_close(log_.journal, 0, false));
    uint32_t slot = one(0, false);
    expect_abort(cw_journal_cut(log_.journal, 1));
    log_complete(&log_, slot);
}

#define T(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_small_batches_are_one_segment),
        T(test_limits_of_a_batch),
        T(test_gaps_are_zero),
        T(test_runs_are_unbroken),
        T(test_a_sync_covers_what_was_written_before_it),
        T(test_dsync_is_granted_only_behind_durable),
        T(test_slots_run_out),
        T(test_room_is_what_it_says),
        T(test_a_full_ring_still_carries_commits),
        T(test_release_keeps_its_word),
        T(test_idle_commits_are_released),
        T(test_cut),
        T(test_cut_under_a_sync),
        T(test_misuse_stops_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
