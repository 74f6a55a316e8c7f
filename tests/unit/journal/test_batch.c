/* SPDX-License-Identifier: BSD-3-Clause */
/* One batch's bytes: golden, every bit, the place, and headers that are sound but cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "golden.h"
#include "log.h"

#define RING LOG_RING_SECTORS

static const uint64_t id[2] = {0x1817161514131211, 0x2827262524232221};
static uint8_t bytes[CW_BATCH_SECTORS_MAX * CW_SECTOR_SIZE];
static uint8_t payload[CW_RECORD_PAYLOAD_MAX];
static struct cw_batch_view view;

static const struct golden golden[] = {
    {0, 8, 0x3168637461627763}, /* "cwbatch1" */

    {16, 8, 0x1817161514131211},
    {24, 8, 0x2827262524232221},
    {32, 8, 0x1234},
    {40, 8, 0x4847464544434241 >> 8},
    {48, 4, 1},
    {52, 4, 0},
    {56, 4, 4},
    {60, 4, 3},
    {64, 8, 0x6867666564636261},
    {72, 8, 1003},
    {80, 8, 1002},
    {88, 8, 0x1233},
    {96, 8, 0x1232},
    {104, 8, 1001},
    {112, 8, 0x1200},
    {120, 4, 7},
};

#define GOLDEN_CHECK 0x412fdd7ba217b048ull

static struct cw_batch_head head_of(uint32_t sectors, uint32_t record_count)
{
    return (struct cw_batch_head){.journal_id = {id[0], id[1]},
                                  .position = 0x1234,
                                  .number = 0x4847464544434241 >> 8,
                                  .chain_before = 0x6867666564636261,
                                  .written_sequence = 1003,
                                  .durable_sequence = 1002,
                                  .written_position = 0x1233,
                                  .durable_position = 0x1232,
                                  .commit = 1001,
                                  .tail_position = 0x1200,
                                  .sectors = sectors,
                                  .record_count = record_count,
                                  .group = LOG_GROUP};
}

/* 512 bytes at 4096, a marker, 8192 bytes at 8192: sectors 0..3. */
static void write_sample(void)
{
    static const uint32_t lengths[] = {512, 0, 8192}, places[] = {4096, 0, 8192};
    struct cw_batch_head head = head_of(4, 3);

    memset(bytes, 0, sizeof bytes);
    for (uint32_t i = 0; i < 3; i++) {
        struct cw_record record = log_make_record(
            5, 1004 + i, lengths[i] ? CW_RECORD_WRITE : CW_RECORD_MARKER, lengths[i], payload);

        cw_record_encode(&record, bytes + 128 + 64 * i);
        if (lengths[i])
            memcpy(bytes + places[i], payload, lengths[i]);
    }
    cw_batch_seal(&head, bytes);
}

static enum cw_sector_class check(uint64_t position)
{
    return cw_batch_check(bytes, 4 * CW_SECTOR_SIZE, position, RING, id, &view);
}

static void test_golden(void **state)
{
    (void)state;
    uint8_t want[128];

    write_sample();
    golden_write(golden, CW_COUNT_OF(golden), want, sizeof want);
    cw_store64le(want + 8, GOLDEN_CHECK);
    assert_int_equal(cw_hash64(bytes + 16, 112 + 3 * 64), GOLDEN_CHECK);
    assert_memory_equal(bytes, want, sizeof want);
    assert_int_equal(check(0x1234), CW_SECTOR_VALID);
    assert_int_equal(view.chain, GOLDEN_CHECK);
    assert_int_equal(view.chain_before, 0x6867666564636261);
    assert_int_equal(view.written_sequence, 1003);
    assert_int_equal(view.durable_position, 0x1232);
    assert_int_equal(view.tail_position, 0x1200);
    assert_int_equal(view.commit, 1001);
    assert_int_equal(view.group, LOG_GROUP);
    assert_false(view.is_filler);
}

static void test_what_the_journal_writes(void **state)
{
    (void)state;
    static struct log log;
    uint64_t position = 0;

    log_init(&log, RING);
    log_start(&log, NULL);
    assert_non_null(cw_journal_begin(log.journal));
    assert_true(log_add(&log, CW_RECORD_WRITE, 4096));
    assert_true(log_add(&log, CW_RECORD_WRITE, 20992));
    assert_true(log_add(&log, CW_RECORD_WRITE, 512));
    log_complete(&log, log_submit(&log, 1, false));
    const uint8_t *at = log.device.seen + cw_journal_device_offset(position, RING);
    assert_int_equal(cw_batch_check(at, 8 * CW_SECTOR_SIZE, 0, RING, log.superblock.journal_id, &view),
                     CW_SECTOR_VALID);
    assert_int_equal(view.sectors, 8);
    static const uint32_t places[] = {4096, 8192, 29184};
    for (uint32_t i = 0; i < 3; i++) {
        struct cw_record record;
        const uint8_t *data;

        assert_int_equal(cw_batch_record(&view, i, &record, &data), CW_OK);
        assert_ptr_equal(data, at + places[i]);
        assert_int_equal(record.sequence, 1 + i);
    }
    static const uint8_t zero[CW_SECTOR_SIZE];
    assert_memory_equal(at + 128 + 3 * 64, zero, CW_SECTOR_SIZE - 128 - 3 * 64);
    assert_memory_equal(at + 29184 + 512, zero, 8 * CW_SECTOR_SIZE - 29184 - 512);
    log_fini(&log);
}

static bool all_records_read(void)
{
    for (uint32_t i = 0; i < view.record_count; i++) {
        struct cw_record record;
        const uint8_t *data;

        if (cw_batch_record(&view, i, &record, &data) != CW_OK)
            return false;
    }
    return true;
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    write_sample();
    assert_int_equal(check(0x1234), CW_SECTOR_VALID);
    assert_true(all_records_read());
    for (uint32_t bit = 0; bit < 8 * 4 * CW_SECTOR_SIZE; bit++) {
        uint32_t at = bit / 8;
        bool is_header = at < 128 + 3 * 64;
        bool is_padding = !is_header && (at < 4096 || (at >= 4608 && at < 8192));

        bytes[at] ^= (uint8_t)(1u << bit % 8);
        enum cw_sector_class class_ = check(0x1234);
        if (at < 8)
            assert_int_equal(class_, CW_SECTOR_FOREIGN);
        else if (is_header)
            assert_int_equal(class_, CW_SECTOR_TORN);
        else
            assert_int_equal(class_, CW_SECTOR_VALID);
        if (!is_header)
            assert_int_equal(all_records_read(), is_padding);
        bytes[at] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_place(void **state)
{
    (void)state;
    const uint64_t other[2] = {id[0], id[1] + 1};

    write_sample();
    assert_int_equal(check(0x1234), CW_SECTOR_VALID);
    assert_int_equal(check(0x1234 + RING), CW_SECTOR_STALE);
    assert_int_equal(check(0x1234 - RING), CW_SECTOR_STALE);
    assert_int_equal(check(0x1235), CW_SECTOR_MISDIRECTED);
    assert_int_equal(cw_batch_check(bytes, CW_SECTOR_SIZE, 0x1234, RING, other, &view), CW_SECTOR_FOREIGN);
    memset(bytes, 0, CW_SECTOR_SIZE);
    assert_int_equal(check(0x1234), CW_SECTOR_EMPTY);
    bytes[4095] = 1;
    assert_int_equal(check(0x1234), CW_SECTOR_FOREIGN);
}

/* Each row makes a sound header say one thing that cannot be. */
static void test_nonsense_is_refused(void **state)
{
    (void)state;
    static const struct golden rows[] = {
        {48, 4, 2},  {52, 4, 2},  {52, 4, 1},          {56, 4, 3},          {56, 4, 5},
        {56, 4, 0},  {60, 4, 2},  {88, 8, 0x1235},     {96, 8, 0x1234},     {112, 8, 0x1235},
        {112, 8, 0}, {120, 4, 8}, {32, 8, 1ull << 63}, {40, 8, 1ull << 63}, {56, 4, 0xffffffff},
    };

    for (uint32_t i = 0; i < CW_COUNT_OF(rows); i++) {
        write_sample();
        if (rows[i].size == 8)
            cw_store64le(bytes + rows[i].at, rows[i].value);
        else
            cw_store32le(bytes + rows[i].at, (uint32_t)rows[i].value);
        uint32_t count = cw_load32le(bytes + 60);
        cw_store64le(bytes + 8, cw_hash64(bytes + 16, 112 + count * 64));
        assert_int_equal(check(0x1234), CW_SECTOR_FOREIGN);
    }
}

static void test_fillers(void **state)
{
    (void)state;
    struct cw_batch_head head = head_of(0, 0);

    head.is_filler = true;
    head.sectors = 20;
    head.position = 5 * RING - 20;
    head.written_position = head.durable_position = head.tail_position = head.position - 7;
    memset(bytes, 0, CW_SECTOR_SIZE);
    cw_batch_seal(&head, bytes);
    assert_int_equal(check(head.position), CW_SECTOR_VALID);
    assert_true(view.is_filler);
    head.sectors = 19; /* not to the end */
    cw_batch_seal(&head, bytes);
    assert_int_equal(check(head.position), CW_SECTOR_FOREIGN);
    head.is_filler = false; /* and no batch goes over it */
    head.position = 5 * RING;
    head.sectors = 1;
    cw_batch_seal(&head, bytes);
    assert_int_equal(check(head.position), CW_SECTOR_VALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_what_the_journal_writes),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_fillers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
