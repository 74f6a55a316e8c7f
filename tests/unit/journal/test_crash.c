/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log against a model. A seed decides sizes, kinds, flights that finish in any order, syncs, dsyncs,
 * releases, cuts and crashes of both sorts; after each crash the log must hold an unbroken run that has at
 * least what was promised and at most what was submitted, and goes on from there. Then one flight, torn at
 * every unit in three ways. Seeds come from the command line: test_journal_crash [first [count]].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "log.h"

#define EPOCHS_MAX 64u

static struct log_found found;
static uint64_t seed_first = 1, seed_count = 24;

static struct {
    struct cw_rng rng;
    uint64_t epoch_of[LOG_RECORDS_MAX + 1]; /* by sequence: of the live branch */
    uint64_t first_of[EPOCHS_MAX];          /* by epoch: its first sequence */
    uint64_t submitted;                     /* last sequence of the live branch in a closed batch */
    uint64_t commit;
    uint64_t released;
    uint32_t flying[LOG_SLOTS];
    uint32_t flying_count;
    uint64_t crashes, cuts, records;
} model;

static uint64_t below(uint64_t bound)
{
    return cw_rng_below(&model.rng, bound);
}

static uint32_t some_length(void)
{
    static const uint32_t typical[] = {512, 4096, 4096, 8192, 16384, 20992, 131072};

    if (below(4) == 0)
        return (uint32_t)(1 + below(CW_RECORD_PAYLOAD_MAX / 512)) * 512;
    return typical[below(CW_COUNT_OF(typical))];
}

static void add_some(void)
{
    uint64_t records = below(3) == 0 ? below(70) : below(4);

    for (uint64_t i = 0; i < records && log_.next_sequence < LOG_RECORDS_MAX; i++) {
        uint8_t kind = below(10) == 0   ? CW_RECORD_MARKER
                       : below(10) == 0 ? CW_RECORD_DISCARD
                                        : CW_RECORD_WRITE;
        uint32_t length = some_length();
        bool fits = cw_journal_room(log_.journal) >= cw_journal_sectors_for(length);
        bool is_first = i == 0;
        bool added = log_add(&log_, kind, length);

        CW_ASSERT(added || !fits || !is_first);
        if (!added)
            return;
        model.epoch_of[log_.next_sequence - 1] = log_.epoch;
        model.records++;
    }
}

static void do_batch(void)
{
    if (!cw_journal_begin(log_.journal))
        return;
    add_some();
    model.submitted = log_.next_sequence - 1;
    if (below(2) && model.commit < model.submitted)
        model.commit += below(model.submitted - model.commit + 1);
    model.flying[model.flying_count++] = log_submit(&log_, model.commit, below(4) == 0);
}

static void do_complete(void)
{
    if (model.flying_count == 0)
        return;
    uint64_t i = below(model.flying_count);
    log_complete(&log_, model.flying[i]);
    model.flying[i] = model.flying[--model.flying_count];
}

static void do_release(void)
{
    uint64_t durable = cw_journal_durable_sequence(log_.journal);

    if (durable <= model.released)
        return;
    model.released += below(durable - model.released + 1);
    log_release(&log_, model.released);
}

static void do_cut(void)
{
    uint64_t last = log_.next_sequence - 1;

    while (model.flying_count > 0)
        do_complete();
    if (log_.epoch + 1 == EPOCHS_MAX || last <= model.released)
        return;
    uint64_t sequence = model.released + below(last - model.released + 1);
    log_.epoch++;
    model.first_of[log_.epoch] = sequence + 1;
    model.submitted = sequence;
    model.commit = CW_MIN(model.commit, sequence);
    model.cuts++;
    cw_journal_cut(log_.journal, sequence);
    log_.next_sequence = sequence + 1;
    assert_int_equal(cw_journal_written_sequence(log_.journal), sequence);
    assert_true(cw_journal_durable_sequence(log_.journal) <= sequence);
}

/* By the history: no later epoch began at or before it. */
static bool is_live(uint64_t epoch, uint64_t sequence)
{
    for (uint64_t later = epoch + 1; later <= log_.epoch; later++)
        if (model.first_of[later] <= sequence)
            return false;
    return true;
}

static uint64_t check_found(void)
{
    uint64_t last = 0;

    for (uint32_t i = 0; i < found.count; i++) {
        if (!is_live(found.epochs[i], found.sequences[i]))
            continue;
        assert_true(last == 0 || found.sequences[i] == last + 1);
        assert_true(last != 0 || found.sequences[i] <= model.released + 1);
        last = found.sequences[i];
        assert_int_equal(found.epochs[i], model.epoch_of[last]);
    }
    return CW_MAX(last, model.released);
}

/* Every live record is where the index says. */
static void check_index(uint64_t last)
{
    static uint8_t bytes[CW_BATCH_SECTORS_MAX * CW_SECTOR_SIZE];
    uint64_t position, oldest = cw_journal_oldest_sequence(log_.journal);
    uint32_t sectors;

    for (uint64_t s = CW_MAX(oldest, 1); oldest && s <= last; s += 1 + below(20)) {
        struct cw_batch_view view;
        struct cw_record record;
        const uint8_t *payload;
        bool is_there = false;

        assert_int_equal(cw_journal_find(log_.journal, s, &position, &sectors), CW_OK);
        assert_true(cw_device_read(&log_.device, bytes, sectors * CW_SECTOR_SIZE,
                                   cw_journal_device_offset(position, LOG_RING_SECTORS)));
        assert_int_equal(cw_batch_check(bytes, sectors * CW_SECTOR_SIZE, position, LOG_RING_SECTORS,
                                        log_.superblock.journal_id, &view),
                         CW_SECTOR_VALID);
        for (uint32_t i = 0; i < view.record_count; i++) {
            assert_int_equal(cw_batch_record(&view, i, &record, &payload), CW_OK);
            is_there |= record.sequence == s && record.epoch == model.epoch_of[s];
        }
        assert_true(is_there);
    }
    assert_int_equal(cw_journal_find(log_.journal, last + 1, &position, &sectors), CW_NOT_FOUND);
}

static void do_crash(void)
{
    enum cw_device_crash kind = below(2) ? CW_DEVICE_POWER_FAILS : CW_DEVICE_PROCESS_DIES;
    bool is_power = kind == CW_DEVICE_POWER_FAILS;
    uint64_t promised =
        is_power ? cw_journal_durable_sequence(log_.journal) : cw_journal_written_sequence(log_.journal);
    uint64_t commit = cw_journal_durable_commit(log_.journal);

    log_stop(&log_);
    cw_device_crash(&log_.device, kind, &model.rng);
    log_recover(&log_, promised <= model.released ? 0 : promised, &found);
    uint64_t last = check_found();
    assert_true(last >= promised);
    assert_true(last <= model.submitted);
    assert_false(found.report.is_damaged);
    if (!is_power)
        assert_false(found.report.is_written_lost);
    if (last == found.report.tip.last_sequence) {
        assert_true(found.report.tip.commit >= commit);
        assert_true(found.report.tip.commit <= model.commit);
    }
    log_start(&log_, &found);
    if (found.report.tip.last_sequence > last)
        cw_journal_cut(log_.journal, last);
    log_.next_sequence = last + 1;
    check_index(last);
    model.submitted = last;
    model.commit = CW_MIN(found.report.tip.commit, last);
    model.flying_count = 0;
    model.crashes++;
    if (is_power) /* what was read back is on stable storage; a process's death leaves that open */
        log_sync(&log_);
}

static void run_seed(uint64_t seed)
{
    memset(&model, 0, sizeof model);
    model.rng.state = seed;
    model.first_of[1] = 1;
    log_init(&log_, LOG_RING_SECTORS);
    log_start(&log_, NULL);
    for (uint32_t step = 0; step < 700; step++) {
        uint64_t choice = below(100);

        if (choice < 40 && model.flying_count < LOG_SLOTS)
            do_batch();
        else if (choice < 75)
            do_complete();
        else if (choice < 85)
            log_sync(&log_);
        else if (choice < 93)
            do_release();
        else if (choice < 95)
            do_cut();
        else if (choice < 98)
            do_crash();
    }
    log_fini(&log_);
}

static void test_model(void **state)
{
    (void)state;
    uint64_t crashes = 0, cuts = 0, records = 0;

    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        if (getenv("CW_VERBOSE"))
            fprintf(stderr, "seed %lu\n", (unsigned long)seed);
        run_seed(seed);
        crashes += model.crashes;
        cuts += model.cuts;
        records += model.records;
    }
    if (seed_count < 20)
        return;
    assert_true(crashes > seed_count * 5); /* the model is not asleep */
    assert_true(cuts > seed_count);
    assert_true(records > seed_count * 100);
}

/* ---- One flight, torn everywhere ---- */

enum tearing { FORWARD, BACKWARD, ONE_MISSING, TEARING_COUNT };

struct tear {
    enum tearing how;
    uint64_t units, at;
};

static bool lands(void *context, uint32_t write, uint64_t unit)
{
    const struct tear *tear = context;

    (void)write;
    if (tear->how == FORWARD)
        return unit < tear->at;
    if (tear->how == BACKWARD)
        return unit >= tear->at;
    return unit != tear->at;
}

/* Three batches in parallel over two that are durable; `done` of the three (bits) have completed. */
static uint64_t build_flight(uint32_t done, uint64_t *written)
{
    uint32_t slots[3];

    log_init(&log_, LOG_RING_SECTORS);
    log_start(&log_, NULL);
    log_put(&log_, 4096);
    log_put(&log_, 512);
    log_sync(&log_);
    for (uint32_t i = 0; i < 3; i++) {
        assert_non_null(cw_journal_begin(log_.journal));
        assert_true(log_add(&log_, CW_RECORD_WRITE, 512));
        assert_true(log_add(&log_, CW_RECORD_MARKER, 0));
        assert_true(log_add(&log_, CW_RECORD_WRITE, i == 1 ? 20992 : 4096));
        slots[i] = log_submit(&log_, i, false);
    }
    for (uint32_t i = 0; i < 3; i++)
        if (done & 1u << i)
            log_complete(&log_, slots[i]);
    *written = cw_journal_written_sequence(log_.journal);
    return cw_device_units(&log_.device, CW_DEVICE_PROCESS_DIES);
}

static void tear_at(enum tearing how, uint32_t done, uint64_t at)
{
    uint64_t written;
    struct tear tear = {.how = how, .units = build_flight(done, &written), .at = at};

    cw_device_crash_by(&log_.device, CW_DEVICE_PROCESS_DIES, lands, &tear);
    log_recover(&log_, written, &found);
    assert_true(found.report.tip.last_sequence >= written);
    assert_int_equal((found.report.tip.last_sequence - 2) % 3, 0); /* whole batches */
    assert_int_equal(found.count, found.report.tip.last_sequence);
    assert_false(found.report.is_damaged);
    assert_false(found.report.is_written_lost);
    log_stop(&log_); /* and it goes on */
    log_start(&log_, &found);
    uint64_t next = log_.next_sequence;
    log_.epoch = 2;
    log_put(&log_, 4096);
    log_recover(&log_, next, &found);
    assert_int_equal(found.report.tip.last_sequence, next);
    assert_int_equal(found.epochs[found.count - 1], 2);
    log_fini(&log_);
}

static void test_torn_at_every_unit(void **state)
{
    (void)state;
    static const uint32_t finished[] = {0, 1, 2, 6}; /* none, the first, only later ones */

    for (uint32_t i = 0; i < CW_COUNT_OF(finished); i++) {
        uint32_t done = finished[i];
        uint64_t written, units = build_flight(done, &written);

        log_fini(&log_);
        for (uint64_t at = 0; at <= units; at++)
            for (int how = 0; how < TEARING_COUNT; how++)
                tear_at((enum tearing)how, done, at);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_torn_at_every_unit),
    };

    if (argc > 1)
        seed_first = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        seed_count = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
