/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery, scenario by scenario: what was written, what happened to it, what must be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "log.h"

static struct log log_;
static struct log_found found;

static int setup(void **state)
{
    (void)state;
    log_init(&log_, LOG_RING_SECTORS);
    log_start(&log_, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_fini(&log_);
    return 0;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_written_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_laps, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
