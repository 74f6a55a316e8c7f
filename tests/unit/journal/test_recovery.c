/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery, scenario by scenario: what was written, what happened to it, what must be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/hash.h"
#include "log.h"

static struct log_found found;

static void expect_run(uint64_t first, uint64_t last)
{
    assert_int_equal(found.count, last + 1 - first);
    for (uint32_t i = 0; i < found.count; i++)
        assert_int_equal(found.sequences[i], first + i);
    assert_int_equal(found.report.tip.last_sequence, last);
}

static void expect_undamaged(void)
{
    assert_false(found.report.is_damaged);
    assert_false(found.report.is_written_lost);
    assert_int_equal(found.report.lost_up_to, 0);
}

static void restart(void)
{
    log_stop(&log_);
    log_recover(&log_, 0, &found);
    log_start(&log_, &found);
}

static void test_fresh(void **state)
{
    (void)state;
    struct cw_journal_tip zero = {0};

    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 0);
    assert_memory_equal(&found.report.tip, &zero, sizeof zero);
    assert_int_equal(found.report.sectors[CW_SECTOR_EMPTY], LOG_RING_SECTORS);
    expect_undamaged();
}

/* A batch tells of the reign of its last record; a cut and a start forget; what is not told is not known. */
static void test_what_was_answered_is_found(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        log_put(&log_, 512);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.answered_count, 0);
    cw_journal_answered(log_.journal, 2);
    log_put(&log_, 512);
    cw_journal_answered(log_.journal, 9); /* more than was written: as much as was */
    assert_non_null(cw_journal_begin(log_.journal));
    log_complete(&log_, log_submit(&log_, 0, false));
    log_sync(&log_);
    cw_journal_cut(log_.journal, 2);
    log_.next_sequence = 3;
    log_.epoch = 2;
    log_put(&log_, 512); /* of the new branch; nothing is told */
    log_put(&log_, 512);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.answered_count, 1);
    assert_int_equal(found.report.answered[0].epoch, 1);
    assert_int_equal(found.report.answered[0].sequence, 4);
    cw_journal_answered(log_.journal, 3);
    assert_non_null(cw_journal_begin(log_.journal)); /* a batch without records speaks of the last one */
    log_complete(&log_, log_submit(&log_, 0, false));
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.answered_count, 2);
    assert_int_equal(found.report.answered[1].epoch, 2);
    assert_int_equal(found.report.answered[1].sequence, 3);
    restart();
    log_put(&log_, 512);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.answered_count, 2);
    assert_int_equal(found.report.answered[1].sequence, 3);
}

static void test_what_was_written_is_found(void **state)
{
    (void)state;
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 512));
    assert_true(log_add(&log_, CW_RECORD_MARKER, 0));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 4096));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 128 * 1024));
    assert_true(log_add(&log_, CW_RECORD_ZEROES, 1 << 20));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 20992)); /* its last 512 bytes are copied */
    assert_true(log_add(&log_, CW_RECORD_WRITE, 1024));
    assert_true(log_add(&log_, CW_RECORD_DISCARD, 512));
    log_complete(&log_, log_submit(&log_, 3, false));
    log_put(&log_, 8192);
    log_recover(&log_, 0, &found);
    expect_run(1, 9);
    expect_undamaged();
    assert_int_equal(found.report.tip.commit, 3);
    assert_int_equal(found.report.batches, 2);
    assert_int_equal(found.report.tip.head_position, cw_journal_head_position(log_.journal));
    assert_int_equal(found.report.tip.next_number, 2);
    assert_int_equal(found.report.sectors[CW_SECTOR_VALID], cw_journal_head_position(log_.journal));
}

static void test_many_laps(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        while (cw_journal_room(log_.journal) < cw_journal_sectors_for(32768)) {
            log_sync(&log_);
            log_release(&log_, log_.next_sequence - 1 - i % 5);
        }
        log_put(&log_, 512 << i % 7);
        if (i % 97 == 0) {
            restart();
            expect_undamaged();
            assert_int_equal(found.report.tip.last_sequence, i + 1);
        }
    }
    assert_true(cw_journal_head_position(log_.journal) > 10 * LOG_RING_SECTORS);
}

static uint64_t place(uint64_t position)
{
    return cw_journal_device_offset(position, LOG_RING_SECTORS);
}

/* Six batches of two sectors at 0, 2, .. 10, records 1..6; durable after each when `synced`. */
static void six(bool synced)
{
    for (uint32_t i = 0; i < 6; i++) {
        log_put(&log_, 4096);
        if (synced)
            log_sync(&log_);
    }
}

static void test_latent_damage_is_reported(void **state)
{
    (void)state;
    static const uint32_t at[] = {0, 8, 16, 60, 121, 128, 4096, 8191};

    six(true);
    for (uint32_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        cw_device_flip(&log_.device, place(4) + at[i], 3);
        log_recover(&log_, 0, &found);
        expect_run(1, 2);
        assert_true(found.report.is_damaged);
        assert_int_equal(found.report.hole_position, 4);
        assert_int_equal(found.report.tip.head_position, 4);
        assert_int_equal(found.report.lost_up_to, 5); /* the last batch tells of the one before it */
        assert_true(found.report.tip.next_number > 5);
        cw_device_flip(&log_.device, place(4) + at[i], 3);
    }
    log_recover(&log_, 0, &found);
    expect_run(1, 6);
    expect_undamaged();
}

static void test_written_is_not_durable(void **state)
{
    (void)state;
    six(false);
    cw_device_flip(&log_.device, place(4), 0);
    log_recover(&log_, 0, &found);
    expect_run(1, 2);
    assert_false(found.report.is_damaged);
    assert_true(found.report.is_written_lost);
    assert_int_equal(found.report.lost_up_to, 5);
    /* told once: the next start lays it down in the superblock and hears it no more */
    log_stop(&log_);
    log_start(&log_, &found);
    log_recover(&log_, 0, &found);
    expect_undamaged();
}

/* The same without the superblock's word: the first good batch of the new run silences what is older. */
static void test_leftovers_are_silenced_by_newer_batches(void **state)
{
    (void)state;
    six(false);
    cw_device_flip(&log_.device, place(4), 0);
    restart();
    assert_true(found.report.is_written_lost);
    log_.superblock.start_position = log_.superblock.start_number = 0;
    log_recover(&log_, 0, &found);
    assert_true(found.report.is_written_lost);
    log_put(&log_, 512);
    log_recover(&log_, 0, &found);
    expect_run(1, 3);
    expect_undamaged();
}

/* Sound, in its place, with a newer number: but nothing here leads to it. */
static void test_an_unlinked_batch_is_not_taken(void **state)
{
    (void)state;
    uint8_t sector[CW_SECTOR_SIZE] = {0};

    six(true);
    log_recover(&log_, 0, &found);
    struct cw_batch_head head = {.journal_id = {log_.superblock.journal_id[0], log_.superblock.journal_id[1]},
                                 .position = 12,
                                 .number = 6,
                                 .chain_before = found.report.tip.chain + 1,
                                 .commit = 5,
                                 .sectors = 1,
                                 .group = LOG_GROUP};
    cw_batch_seal(&head, sector);
    cw_device_write(&log_.device, sector, sizeof sector, place(12));
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.hole_position, 12);
    assert_int_equal(found.report.tip.commit, 0);
    assert_int_equal(found.report.tip.next_number, 7);
    assert_int_equal(found.report.sectors[CW_SECTOR_STALE], 1);
    head.chain_before--;
    cw_batch_seal(&head, sector);
    cw_device_write(&log_.device, sector, sizeof sector, place(12));
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.hole_position, 13);
    assert_int_equal(found.report.tip.commit, 5);
}

static void test_damage_before_the_last_start_is_new(void **state)
{
    (void)state;
    six(true);
    restart();
    cw_device_flip(&log_.device, place(4), 0);
    log_recover(&log_, 0, &found);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.hole_position, 4);
}

static void test_the_floor_tells_of_the_last_batch(void **state)
{
    (void)state;
    six(true);
    cw_device_flip(&log_.device, place(10) + 5000, 0);
    log_recover(&log_, 5, &found);
    expect_run(1, 5);
    expect_undamaged(); /* nobody is left who knows */
    log_recover(&log_, 6, &found);
    expect_run(1, 5);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.lost_up_to, 6);
}

static void test_a_tail_that_is_not_there_is_damage(void **state)
{
    (void)state;
    six(true);
    log_release(&log_, 3);
    assert_int_equal(log_.superblock.tail_position, 6);
    log_recover(&log_, 0, &found);
    expect_run(4, 6);
    expect_undamaged();
    cw_device_fill(&log_.device, place(6), 0, 6 * CW_SECTOR_SIZE);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 0);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.tip.last_sequence, 3);
    log_stop(&log_);
    log_start(&log_, &found);
    log_put(&log_, 512);
    log_recover(&log_, 0, &found);
    expect_run(4, 4);
    expect_undamaged();
}

static void test_a_cut_branch_does_not_come_back(void **state)
{
    (void)state;
    /* parallel flights: the first is lost, the second stays behind the hole */
    log_put(&log_, 4096);
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 4096));
    uint32_t lost = log_submit(&log_, 0, false);
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(log_add(&log_, CW_RECORD_WRITE, 4096));
    log_complete(&log_, log_submit(&log_, 0, false));
    (void)lost;
    struct cw_rng never = {0};
    log_.device.writes[log_.writes[lost][0]].length = 0; /* nothing of it reached the device */
    cw_device_crash(&log_.device, CW_DEVICE_PROCESS_DIES, &never);
    restart();
    expect_run(1, 1);
    expect_undamaged();
    assert_int_equal(found.report.sectors[CW_SECTOR_VALID], 4); /* the stray one is sound in itself */
    /* the new branch ends exactly where the stray one begins, with equal content even */
    log_put(&log_, 4096);
    assert_int_equal(cw_journal_head_position(log_.journal), 4);
    log_recover(&log_, 0, &found);
    expect_run(1, 2);
    expect_undamaged();
    assert_int_equal(found.report.sectors[CW_SECTOR_STALE], 2);
}

static void test_cut_and_go_on(void **state)
{
    (void)state;
    six(true);
    cw_journal_cut(log_.journal, 2);
    log_.next_sequence = 3;
    log_.epoch = 2;
    log_put(&log_, 4096);
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 8);
    assert_int_equal(found.sequences[6], 3);
    assert_int_equal(found.epochs[6], 2);
    assert_int_equal(found.report.tip.last_sequence, 4);
    expect_undamaged();
    log_sync(&log_);
    log_put(&log_, 4096);
    /* the first batch after the cut goes bad: its sequence is below the last one found */
    cw_device_flip(&log_.device, place(12), 0);
    log_recover(&log_, 0, &found);
    expect_run(1, 6);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.hole_position, 12);
    assert_int_equal(found.report.lost_up_to, 4);
}

static void test_commit_does_not_outlive_a_cut(void **state)
{
    (void)state;
    six(true);
    assert_non_null(cw_journal_begin(log_.journal));
    log_complete(&log_, log_submit(&log_, 100, false)); /* carries what the log has, 6 */
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.tip.commit, 6);
    cw_journal_cut(log_.journal, 2);
    log_sync(&log_);
    assert_int_equal(cw_journal_durable_commit(log_.journal), 2);
    log_.next_sequence = 3;
    log_.epoch = 2;
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.tip.commit, 2);
}

/* The records are cut and released; the batch that carried their commit is what the tail names. */
static void test_commit_does_not_outlive_its_records(void **state)
{
    (void)state;
    six(true);
    assert_non_null(cw_journal_begin(log_.journal));
    log_complete(&log_, log_submit(&log_, 6, false));
    log_sync(&log_);
    cw_journal_cut(log_.journal, 2);
    log_release(&log_, 2);
    assert_int_equal(log_.superblock.tail_position, 12);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.report.tip.last_sequence, 2);
    assert_int_equal(found.report.tip.commit, 2);
}

static void test_classes(void **state)
{
    (void)state;
    static const uint8_t noise[CW_SECTOR_SIZE] = {1, 2, 3};
    struct log other;

    six(true);
    log_init(&other, LOG_RING_SECTORS);
    other.superblock.journal_id[1]++;
    log_start(&other, NULL);
    for (uint32_t i = 0; i < 6; i++)
        log_put(&other, 4096);
    cw_device_copy(&log_.device, place(20), place(2), 8192); /* misdirected + foreign */
    cw_device_write(&log_.device, other.device.seen + place(30 - 30), 8192, place(30)); /* foreign twice */
    cw_device_write(&log_.device, noise, sizeof noise, place(40));                      /* foreign */
    cw_device_copy(&log_.device, place(50), place(0), 4096);
    cw_device_flip(&log_.device, place(50) + 70, 1); /* torn */
    log_recover(&log_, 0, &found);
    expect_run(1, 6);
    expect_undamaged();
    const uint64_t *sectors = found.report.sectors;
    assert_int_equal(sectors[CW_SECTOR_VALID], 12);
    assert_int_equal(sectors[CW_SECTOR_MISDIRECTED], 1);
    assert_int_equal(sectors[CW_SECTOR_TORN], 1);
    assert_int_equal(sectors[CW_SECTOR_FOREIGN], 1 + 2 + 1);
    assert_int_equal(sectors[CW_SECTOR_STALE], 0);
    assert_int_equal(sectors[CW_SECTOR_EMPTY], LOG_RING_SECTORS - 12 - 1 - 1 - 4);
    log_fini(&other);
}

/* The same content under another id is foreign from the first sector on. */
static void test_another_journal(void **state)
{
    (void)state;
    six(true);
    log_.superblock.journal_id[0]++;
    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.report.sectors[CW_SECTOR_FOREIGN], 12);
    assert_int_equal(found.report.sectors[CW_SECTOR_VALID], 0);
    expect_undamaged();
    log_recover(&log_, 3, &found); /* the superblock's word counts all the same */
    assert_true(found.report.is_damaged);
}

static void test_a_lost_write(void **state)
{
    (void)state;
    six(true);
    log_.device.lose_next_write = true;
    log_put(&log_, 4096); /* 7 at 12 */
    log_sync(&log_);
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    expect_run(1, 6);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.lost_up_to, 7);
}

static void test_a_misdirected_write(void **state)
{
    (void)state;
    six(true);
    log_.device.misdirect_next_write = place(100);
    log_put(&log_, 4096);
    log_sync(&log_);
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    expect_run(1, 6);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.sectors[CW_SECTOR_MISDIRECTED], 1);
    /* and over a good one, where it is itself the only witness */
    log_.device.misdirect_next_write = place(2);
    log_sync(&log_);
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    expect_run(1, 1);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.hole_position, 2);
    assert_int_equal(found.report.lost_up_to, 8);
}

static void test_stale_laps(void **state)
{
    (void)state;
    while (cw_journal_head_position(log_.journal) < LOG_RING_SECTORS + 50) {
        log_put(&log_, 4096);
        log_sync(&log_);
        log_release(&log_, log_.next_sequence - 2);
    }
    log_recover(&log_, 0, &found);
    assert_int_equal(found.count, 1);
    expect_undamaged();
    uint64_t head = cw_journal_head_position(log_.journal);
    assert_int_equal(head % 2, LOG_RING_SECTORS % 2); /* batches of both laps begin in step */
    assert_int_equal(found.report.sectors[CW_SECTOR_VALID], head - log_.superblock.tail_position);
    assert_true(found.report.sectors[CW_SECTOR_STALE] > LOG_RING_SECTORS - 50);
    assert_int_equal(found.report.sectors[CW_SECTOR_TORN], 0);
    /* a payload that goes bad in an old lap is nobody's loss */
    cw_device_flip(&log_.device, place(head) + 4100, 1);
    log_recover(&log_, 0, &found);
    expect_undamaged();
}

/* A payload that is a header of this journal for the very place where it lies, made by nobody we know. */
static void test_payload_that_looks_like_a_header(void **state)
{
    (void)state;
    uint8_t *payload = log_.device.seen + place(3);

    six(true);
    struct cw_batch_head head = {.journal_id = {log_.superblock.journal_id[0], log_.superblock.journal_id[1]},
                                 .position = 3,
                                 .number = 1000,
                                 .written_sequence = 900,
                                 .durable_sequence = 900,
                                 .written_position = 3,
                                 .durable_position = 3,
                                 .sectors = 1,
                                 .group = LOG_GROUP};
    uint8_t forged[CW_SECTOR_SIZE] = {0};
    cw_batch_seal(&head, forged);
    memcpy(payload, forged, sizeof forged); /* breaks record 2: so the batch at 2 is the hole */
    memcpy(log_.device.stable + place(3), forged, sizeof forged);
    log_recover(&log_, 0, &found);
    expect_run(1, 1);
    assert_true(found.report.is_damaged); /* a forged header is believed: it has the journal's secret id */
    assert_int_equal(found.report.lost_up_to, 900);
    /* with a wrong id, place or check it is not */
    for (uint32_t what = 0; what < 3; what++) {
        struct cw_batch_head bad = head;

        bad.journal_id[0] += what == 0;
        bad.position += what == 1 ? 1 : 0;
        bad.number += 1;
        cw_batch_seal(&bad, forged);
        forged[200] ^= 1; /* not covered: no records */
        forged[50] ^= what == 2;
        memcpy(payload, forged, sizeof forged);
        log_recover(&log_, 0, &found);
        expect_run(1, 1);
        assert_true(found.report.is_damaged);
        assert_int_equal(found.report.lost_up_to, what == 1 ? 900 : 5);
    }
}

static void test_fail_the_kth_read(void **state)
{
    (void)state;
    six(true);
    log_.device.reads = 0;
    log_recover(&log_, 0, &found);
    uint64_t reads = log_.device.reads;

    for (uint64_t k = 1; k <= reads; k++) {
        log_.device.fail_read_in = k;
        log_recover(&log_, 0, &found);
        expect_run(1, 6); /* the sectors were asked for again */
        expect_undamaged();
        assert_int_equal(found.report.read_errors, 0);
    }
    for (uint32_t k = 0; k < 12; k++) { /* a sector that never reads */
        log_.device.bad[0] = place(k);
        log_.device.bad_count = 1;
        log_recover(&log_, 0, &found);
        if (k / 2 == 0)
            assert_int_equal(found.count, 0);
        else
            expect_run(1, k / 2);
        assert_int_equal(found.report.read_errors, 1);
        assert_int_equal(found.report.is_damaged, k < 10);
        assert_true(found.report.sectors[CW_SECTOR_TORN] >= 1);
    }
}

/* A window that was never filled would match the hash of zeroes: what was not read is not believed. */
static void test_an_unread_sector_of_zeroes(void **state)
{
    (void)state;
    static const uint8_t zeroes[4096];
    struct cw_record record = log_make_record(1, 1, CW_RECORD_WRITE, 4096, (uint8_t[4096]){0});

    record.payload_hash = cw_hash64(zeroes, sizeof zeroes);
    assert_non_null(cw_journal_begin(log_.journal));
    assert_true(cw_journal_add(log_.journal, &record, zeroes));
    log_complete(&log_, log_submit(&log_, 0, false));
    log_.device.bad[0] = place(1);
    log_.device.bad_count = 1;
    log_recover(&log_, 1, &found);
    assert_int_equal(found.count, 0);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.sectors[CW_SECTOR_TORN], 1);
}

static void test_the_middle_of_a_filler_is_nothing(void **state)
{
    (void)state;
    while (cw_journal_head_position(log_.journal) % LOG_RING_SECTORS < LOG_RING_SECTORS - 32) {
        if (cw_journal_room(log_.journal) < cw_journal_sectors_for(4096)) {
            log_sync(&log_);
            log_release(&log_, log_.next_sequence - 1);
        }
        log_put(&log_, 4096);
    }
    log_sync(&log_);
    log_release(&log_, log_.next_sequence - 1);
    log_put(&log_, 4096);
    assert_int_equal(cw_journal_head_position(log_.journal), LOG_RING_SECTORS + 2);
    cw_device_fill(&log_.device, place(LOG_RING_SECTORS - 10), 0x5a, 10 * CW_SECTOR_SIZE);
    log_recover(&log_, 0, &found);
    assert_int_equal(found.report.tip.last_sequence, log_.next_sequence - 1);
    assert_int_equal(found.report.tip.head_position, LOG_RING_SECTORS + 2);
    expect_undamaged();
    log_sync(&log_);
    log_put(&log_, 4096);
    cw_device_flip(&log_.device, place(LOG_RING_SECTORS - 32), 1); /* but its header is a link */
    log_recover(&log_, 0, &found);
    assert_true(found.report.is_damaged);
    assert_int_equal(found.report.hole_position, LOG_RING_SECTORS - 32);
}

static void test_reset_begins_anew(void **state)
{
    (void)state;
    static const uint64_t id[2] = {5, 6};

    six(true);
    cw_journal_reset(log_.journal, id, 100);
    log_.superblock.journal_id[0] = id[0];
    log_.superblock.journal_id[1] = id[1];
    log_.superblock.tail_sequence = 100;
    log_.next_sequence = 101;
    assert_int_equal(cw_journal_durable_sequence(log_.journal), 100);
    assert_int_equal(cw_journal_oldest_sequence(log_.journal), 0);
    log_put(&log_, 4096);
    log_recover(&log_, 0, &found);
    expect_run(101, 101);
    expect_undamaged();
    assert_int_equal(found.report.sectors[CW_SECTOR_FOREIGN], 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_fresh),
        T(test_what_was_answered_is_found),
        T(test_what_was_written_is_found),
        T(test_many_laps),
        T(test_latent_damage_is_reported),
        T(test_written_is_not_durable),
        T(test_leftovers_are_silenced_by_newer_batches),
        T(test_an_unlinked_batch_is_not_taken),
        T(test_damage_before_the_last_start_is_new),
        T(test_the_floor_tells_of_the_last_batch),
        T(test_a_tail_that_is_not_there_is_damage),
        T(test_a_cut_branch_does_not_come_back),
        T(test_cut_and_go_on),
        T(test_commit_does_not_outlive_a_cut),
        T(test_commit_does_not_outlive_its_records),
        T(test_classes),
        T(test_another_journal),
        T(test_a_lost_write),
        T(test_a_misdirected_write),
        T(test_stale_laps),
        T(test_payload_that_looks_like_a_header),
        T(test_fail_the_kth_read),
        T(test_an_unread_sector_of_zeroes),
        T(test_the_middle_of_a_filler_is_nothing),
        T(test_reset_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
