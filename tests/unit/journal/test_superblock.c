/* SPDX-License-Identifier: BSD-3-Clause */
/* The superblock: golden bytes, every bit, which copy wins, what is said about the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "golden.h"
#include "journal/journal.h"

static uint8_t disk[16 * CW_SECTOR_SIZE];
static enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
static struct cw_superblock picked;

static struct cw_superblock sample(uint64_t generation)
{
    struct cw_superblock s = {
        .generation = generation,
        .journal_id = {0x1817161514131211, 0x2827262524232221},
        .group = 0x34333231,
        .site = 3,
        .ring_sectors = 0x100000,
        .boot_id = {0x4847464544434241, 0x5857565554535251},
        .process_start = 0x6867666564636261,
        .history = {.count = 2, .entries = {{3, 0xa3a2, 1}, {7, 0xb3b2, 501}}},
        .applied_sequence = 1001,
        .applied_limit = 1002,
        .tail_position = 0x1003,
        .tail_sequence = 1004,
        .start_position = 0x1005,
        .start_number = 1006,
        .image_state = CW_IMAGE_COPYING,
        .image_sequence = 1007,
        .image_time_s = 0x65000001,
        .image_history = {.count = 3, .entries = {{3, 0xa3a2, 1}, {4, 0xd3d2, 301}, {5, 0xe3e2, 401}}},
        .must_switch = true,
        .copy_id = 0x7877767574737271,
        .is_clean = true,
        .is_damaged = true,
        .volume_count = 2,
        .volumes = {{.volume = 0, .size = 1 << 30, .base = 0},
                    {.volume = 63, .size = 10ull << 30, .base = 0xc7c6}},
        .primary_site = 2,
        .member_sites = 6,
        .openings = {{7, -0x1009}, {3, 0x100a}},
    };

    s.peers[1].is_used = true;
    s.peers[1].sequence = 999;
    s.peers[7].is_used = s.peers[7].needs_copy = true;
    return s;
}

static const struct golden golden[] = {
    {0, 8, 0x316b636f6c627763}, /* "cwblock1" */

    {16, 4, 2},
    {20, 4, 0x34333231},
    {24, 4, 3},
    {28, 4, 7},
    {32, 8, 9},
    {40, 8, 0x1817161514131211},
    {48, 8, 0x2827262524232221},
    {56, 8, 0x100000},
    {64, 8, 0x4847464544434241},
    {72, 8, 0x5857565554535251},
    {80, 8, 0x6867666564636261},
    {88, 8, 1001},
    {96, 8, 1002},
    {104, 8, 0x1003},
    {112, 8, 1004},
    {120, 4, 2},
    {124, 4, 2},
    {128, 8, 1007},
    {136, 8, 0x65000001},
    {144, 8, 0x7877767574737271},
    {152, 4, 6},
    {156, 4, 2},
    {160, 4, 2},
    {164, 4, 3},
    {168, 8, 0x1005},
    {176, 8, 1006},
    {192 + 16, 4, 1},
    {192 + 16 + 8, 8, 999},
    {192 + 7 * 16, 4, 3},
    {320, 8, 3},
    {328, 8, 0xa3a2},
    {336, 8, 1},
    {344, 8, 7},
    {352, 8, 0xb3b2},
    {360, 8, 501},
    {1088, 8, 1 << 30},
    {1112, 8, 10ull << 30},
    {1120, 8, 0xc7c6},
    {1128, 2, 63},
    {2624, 8, 3},
    {2632, 8, 0xa3a2},
    {2640, 8, 1},
    {2648, 8, 4},
    {2656, 8, 0xd3d2},
    {2664, 8, 301},
    {2672, 8, 5},
    {2680, 8, 0xe3e2},
    {2688, 8, 401},
    {3392, 8, 7},
    {3400, 8, 0xffffffffffffeff7},
    {3408, 8, 3},
    {3416, 8, 0x100a},
};

#define GOLDEN_CHECK 0xddb11d53663eec6cull

static void test_golden(void **state)
{
    (void)state;
    uint8_t want[CW_SECTOR_SIZE], got[CW_SECTOR_SIZE];
    struct cw_superblock s = sample(9);

    golden_write(golden, CW_COUNT_OF(golden), want, sizeof want);
    cw_store64le(want + 8, GOLDEN_CHECK);
    assert_int_equal(cw_hash64(want + 16, 4080), GOLDEN_CHECK);
    cw_superblock_encode(&s, got);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(cw_superblock_decode(want, 8, &picked), CW_SECTOR_VALID);
    cw_superblock_encode(&picked, got); /* nothing is lost on the way back */
    assert_memory_equal(want, got, sizeof want);
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    uint8_t block[CW_SECTOR_SIZE];
    struct cw_superblock s = sample(9);

    cw_superblock_encode(&s, block);
    for (uint32_t bit = 0; bit < 8 * CW_SECTOR_SIZE; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cw_superblock_decode(block, 0, &picked),
                         bit < 64 ? CW_SECTOR_FOREIGN : CW_SECTOR_TORN);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cw_superblock_decode(block, 0, &picked), CW_SECTOR_VALID);
}

/* Sound by its check, impossible by what it says. */
static void test_nonsense_is_refused(void **state)
{
    (void)state;
    static const struct golden rows[] = {
        {16, 4, 3},          {16, 4, 0},           {32, 8, 0},   {56, 8, CW_JOURNAL_RING_SECTORS_MIN - 1},
        {56, 8, 1ull << 60}, {104, 8, 1ull << 63}, {120, 4, 0},  {120, 4, 4},
        {156, 4, 33},        {160, 4, 65},         {164, 4, 33},
    };

    for (uint32_t i = 0; i < CW_COUNT_OF(rows); i++) {
        uint8_t block[CW_SECTOR_SIZE];
        struct cw_superblock s = sample(9);

        cw_superblock_encode(&s, block);
        if (rows[i].size == 8)
            cw_store64le(block + rows[i].at, rows[i].value);
        else
            cw_store32le(block + rows[i].at, (uint32_t)rows[i].value);
        cw_store64le(block + 8, cw_hash64(block + 16, 4080));
        assert_int_equal(cw_superblock_decode(block, 0, &picked), CW_SECTOR_FOREIGN);
    }
}

/* What an engine of version 1 left: read, the switch among it, but nothing to open the old image by. */
static void test_version_1(void **state)
{
    (void)state;
    static const struct {
        uint64_t image_sequence;
        bool must_switch;
    } rows[] = {{1007, false}, {UINT64_MAX, true}};

    for (uint32_t i = 0; i < CW_COUNT_OF(rows); i++) {
        uint8_t block[CW_SECTOR_SIZE];
        struct cw_superblock s = sample(9);

        s.must_switch = false;
        s.image_history = (struct cw_history){0};
        s.image_sequence = rows[i].image_sequence;
        s.image_time_s = 5; /* the epoch of the image */
        cw_superblock_encode(&s, block);
        cw_store32le(block + 16, 1);
        cw_store64le(block + 8, cw_hash64(block + 16, 4080));
        assert_int_equal(cw_superblock_decode(block, 0, &picked), CW_SECTOR_VALID);
        assert_int_equal(picked.must_switch, rows[i].must_switch);
        assert_int_equal(picked.image_history.count, 0);
        assert_int_equal(picked.image_sequence, 0);
        assert_int_equal(picked.image_time_s, 0);
        assert_int_equal(picked.image_state, CW_IMAGE_COPYING);
        assert_memory_equal(&picked.history, &s.history, sizeof s.history);
    }
}

static void test_homes(void **state)
{
    (void)state;
    uint8_t block[CW_SECTOR_SIZE];

    for (uint64_t generation = 1; generation < 5; generation++) {
        struct cw_superblock s = sample(generation);
        uint32_t homes[2];

        cw_superblock_homes(generation, homes);
        assert_int_equal(homes[0], generation % 2 ? 0 : 4);
        assert_int_equal(homes[1], generation % 2 ? 8 : 12);
        cw_superblock_encode(&s, block);
        for (uint32_t sector = 0; sector < 16; sector++)
            assert_int_equal(cw_superblock_decode(block, sector, &picked),
                             sector == homes[0] || sector == homes[1] ? CW_SECTOR_VALID
                                                                      : CW_SECTOR_MISDIRECTED);
    }
}

static void put(struct cw_superblock s, bool first, bool second)
{
    uint32_t homes[2];

    cw_superblock_homes(s.generation, homes);
    if (first)
        cw_superblock_encode(&s, disk + homes[0] * CW_SECTOR_SIZE);
    if (second)
        cw_superblock_encode(&s, disk + homes[1] * CW_SECTOR_SIZE);
}

static void expect_pick(enum cw_status status, uint64_t generation, const char *what)
{
    static const char letters[CW_SECTOR_CLASS_COUNT] = {'v', 'e', 't', 's', 'm', 'f'};

    assert_int_equal(cw_superblock_pick(disk, &picked, classes), status);
    if (status == CW_OK)
        assert_int_equal(picked.generation, generation);
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++)
        assert_int_equal(letters[classes[i]], what[i]);
}

static void tear(uint32_t sector)
{
    disk[sector * CW_SECTOR_SIZE + 1000] ^= 1;
}

static void test_pick(void **state)
{
    (void)state;
    memset(disk, 0, sizeof disk);
    expect_pick(CW_NOT_FOUND, 0, "eeee");
    put(sample(1), true, true);
    expect_pick(CW_OK, 1, "veve");
    put(sample(2), true, true);
    expect_pick(CW_OK, 2, "vvvv");
    put(sample(3), true, false); /* the crash between two copies */
    expect_pick(CW_OK, 3, "vvsv");
    tear(0);
    expect_pick(CW_OK, 2, "tvvv");
    put(sample(3), true, true);
    put(sample(4), true, true);
    expect_pick(CW_OK, 4, "vvvv");
    tear(4);
    expect_pick(CW_OK, 4, "vtvv");
    tear(12);
    expect_pick(CW_OK, 3, "vtvt");
    tear(0);
    tear(8);
    expect_pick(CW_CORRUPT, 0, "tttt");
    memset(disk, 0x55, sizeof disk);
    expect_pick(CW_NOT_FOUND, 0, "ffff");
}

/* Two starts, each cut short in the same superblock: the second try is not taken for the first one's other
 * half. */
static void test_two_tries(void **state)
{
    (void)state;
    uint8_t old[CW_SECTOR_SIZE];
    memset(disk, 0, sizeof disk);
    put(sample(4), true, true);
    put(sample(5), true, true);
    memcpy(old, disk + 4 * CW_SECTOR_SIZE, sizeof old);
    old[1500] ^= 1; /* so that what was not written is not the same */

    struct cw_superblock first = sample(6);
    put(first, true, false);
    memcpy(disk + 4 * CW_SECTOR_SIZE + 512, old + 512, CW_SECTOR_SIZE - 512);
    expect_pick(CW_OK, 5, "vtvv");
    assert_int_equal(cw_superblock_next(&picked), 8);

    struct cw_superblock second = sample(6);
    second.generation = cw_superblock_next(&picked);
    second.process_start++;
    uint8_t begun[512];
    memcpy(begun, disk + 4 * CW_SECTOR_SIZE, sizeof begun);
    put(second, true, true);
    memcpy(disk + 4 * CW_SECTOR_SIZE, begun, sizeof begun);
    expect_pick(CW_OK, 8, "sssv"); /* the first try is whole now, and not the newest */
    assert_int_equal(cw_superblock_next(&picked), 9);

    put(sample(9), true, true);
    disk[4 * CW_SECTOR_SIZE + 33] ^= 0x80; /* rubbish in the number itself */
    expect_pick(CW_OK, 9, "vtvv");
    assert_int_equal(cw_superblock_next(&picked), 10);
}

/* The superblock that begins a copy, torn in every sector of one or both of its copies: what is picked has
 * both histories of the one or of the other, in full. */
static void test_both_histories_or_neither(void **state)
{
    (void)state;
    struct cw_superblock whole = sample(6), copying = sample(7);

    whole.image_state = CW_IMAGE_WHOLE;
    whole.image_history = (struct cw_history){0};
    whole.image_sequence = whole.image_time_s = 0;
    whole.must_switch = copying.must_switch = false;
    for (uint32_t i = 0; i < CW_HISTORY_MAX; i++) {
        whole.history.entries[i] = (struct cw_history_entry){i + 1, 0x1000 + i, 10 * i + 1};
        copying.history.entries[i] = (struct cw_history_entry){i + 7, 0x2000 + i, 20 * i + 1};
    }
    whole.history.count = copying.history.count = CW_HISTORY_MAX;
    copying.image_history = whole.history;
    for (uint32_t cut = 0; cut <= CW_SECTOR_SIZE; cut += 512) {
        for (uint32_t both = 0; both < 2; both++) {
            uint8_t before[CW_SECTOR_SIZE] = {0};
            memset(disk, 0, sizeof disk);
            put(whole, true, true);
            put(copying, true, true);
            memcpy(disk + cut, before + cut, CW_SECTOR_SIZE - cut); /* sector 0 only got so far */
            if (both)
                memcpy(disk + 8 * CW_SECTOR_SIZE + cut, before + cut, CW_SECTOR_SIZE - cut);
            assert_int_equal(cw_superblock_pick(disk, &picked, classes), CW_OK);
            bool is_old = both && cut < 3584; /* what is behind is zero anyway */
            const struct cw_superblock *want = is_old ? &whole : &copying;
            assert_int_equal(picked.generation, want->generation);
            assert_memory_equal(&picked.history, &want->history, sizeof want->history);
            assert_memory_equal(&picked.image_history, &want->image_history, sizeof want->history);
            assert_int_equal(picked.image_sequence, want->image_sequence);
        }
    }
}

static void test_pick_among_strangers(void **state)
{
    (void)state;
    struct cw_superblock other = sample(4);

    memset(disk, 0, sizeof disk);
    put(sample(3), true, true);
    other.journal_id[0]++;
    put(other, true, true);
    expect_pick(CW_OK, 4, "fvfv"); /* the newest says whose journal this is */
    memcpy(disk, disk + 4 * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    expect_pick(CW_OK, 4, "mvfv");
    memset(disk, 0, sizeof disk);
    memcpy(disk, disk + 12 * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    put(sample(5), false, true);
    cw_superblock_encode(&other, disk);
    memset(disk + 4 * CW_SECTOR_SIZE, 0, CW_SECTOR_SIZE);
    memset(disk + 8 * CW_SECTOR_SIZE, 0, 8 * CW_SECTOR_SIZE);
    expect_pick(CW_CORRUPT, 0, "meee");
}

static void test_two_copies_that_disagree(void **state)
{
    (void)state;
    struct cw_superblock liar = sample(4);

    memset(disk, 0, sizeof disk);
    put(sample(3), true, true);
    put(sample(4), true, false);
    liar.applied_sequence++;
    put(liar, false, true);
    expect_pick(CW_CORRUPT, 0, "vtvt");
    put(sample(5), true, true); /* older than the newest: no harm any more */
    expect_pick(CW_OK, 5, "vtvt");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(cw_sector_class_name(CW_SECTOR_MISDIRECTED), "misdirected");
    assert_string_equal(cw_sector_class_name(CW_SECTOR_FOREIGN), "foreign");
    assert_string_equal(cw_sector_class_name(CW_SECTOR_CLASS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_homes),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_two_tries),
        cmocka_unit_test(test_both_histories_or_neither),
        cmocka_unit_test(test_pick_among_strangers),
        cmocka_unit_test(test_two_copies_that_disagree),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
