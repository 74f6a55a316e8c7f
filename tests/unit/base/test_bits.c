/* SPDX-License-Identifier: BSD-3-Clause */
/* The small things: byte order, known answers of the hash and the generator, arithmetic, counters, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/counters.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "base/status.h"
#include "tests/lib/upper_halves.h"

static void byte_order(void **state)
{
    const uint8_t at_odd[9] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8}; /* loads need no alignment */
    uint8_t bytes[10];

    assert_int_equal(cw_load16le(at_odd + 1), 0x0201);
    assert_int_equal(cw_load32le(at_odd + 1), 0x04030201);
    assert_int_equal(cw_load64le(at_odd + 1), 0x0807060504030201);
    assert_int_equal(cw_load16be(at_odd + 1), 0x0102);
    assert_int_equal(cw_load32be(at_odd + 1), 0x01020304);
    assert_int_equal(cw_load64be(at_odd + 1), 0x0102030405060708);

#define STORES(bits, order, value, ...)                                                                      \
    do {                                                                                                     \
        const uint8_t expected[bits / 8 + 2] = {0xee, __VA_ARGS__, 0xee};                                    \
        memset(bytes, 0xee, sizeof bytes);                                                                   \
        cw_store##bits##order(bytes + 1, value);                                                             \
        assert_memory_equal(bytes, expected, sizeof expected);                                               \
    } while (0)
    STORES(16, le, 0x0102, 2, 1);
    STORES(16, be, 0x0102, 1, 2);
    STORES(32, le, 0x01020304, 4, 3, 2, 1);
    STORES(32, be, 0x01020304, 1, 2, 3, 4);
    STORES(64, le, 0x0102030405060708, 8, 7, 6, 5, 4, 3, 2, 1);
    STORES(64, be, 0x0102030405060708, 1, 2, 3, 4, 5, 6, 7, 8);
#undef STORES
}

/*
 * The buffer and the answers are those of xxHash's own sanity test (tests/sanity_test_vectors.h, seed 0): one
 * for each of the ways XXH3 treats a length.
 */
static void hash_known_answers(void **state)
{
    static const struct {
        size_t length;
        uint64_t hash;
    } answers[] = {
        {0, 0x2d06800538d394c2},   {1, 0xc44bdff4074eecdb},    {6, 0x27b56a84cd2d7325},
        {12, 0xa713daf0dfbb77e7},  {24, 0xa3fe70bf9d3510eb},   {48, 0x397da259ecba1f11},
        {80, 0xbcdefbbb2c47c90a},  {195, 0xcd94217ee362ec3a},  {403, 0xcdeb804d65c6dea4},
        {512, 0x617e49599013cb6b}, {2048, 0xdd59e2c3a5f038e0},
    };
    uint8_t buffer[2048];
    uint64_t generator = 2654435761u;

    for (size_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (uint8_t)(generator >> 56);
        generator *= 11400714785074694797ull;
    }
    for (size_t i = 0; i < CW_COUNT_OF(answers); i++) {
        uint64_t hash = cw_hash64(buffer, answers[i].length);
        assert_true(upper_halves_are_clear());
        assert_int_equal(hash, answers[i].hash);
    }
}

/* SplitMix64 from state 1234567: the values that the algorithm's description prints. */
static void rng_known_answers(void **state)
{
    static const uint64_t answers[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                       4593380528125082431u, 16408922859458223821u};
    struct cw_rng rng = {.state = 1234567};

    for (size_t i = 0; i < CW_COUNT_OF(answers); i++)
        assert_int_equal(cw_rng_next(&rng), answers[i]);
}

static void rng_stays_below_and_hits_all(void **state)
{
    struct cw_rng rng = {.state = 6};
    uint32_t hits[10] = {0};
    uint32_t chances = 0;

    for (int i = 0; i < 100000; i++) {
        uint64_t n = cw_rng_below(&rng, 10);
        assert_true(n < 10);
        hits[n]++;
        assert_int_equal(cw_rng_chance(&rng, 0), 0);
        assert_int_equal(cw_rng_chance(&rng, 1000000), 1);
        chances += (uint32_t)cw_rng_chance(&rng, 250000);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(hits[i], 9500, 10500);
    assert_in_range(chances, 24500, 25500);
}

static void arithmetic(void **state)
{
    assert_false(cw_is_power_of_two(0));
    assert_true(cw_is_power_of_two(1));
    assert_true(cw_is_power_of_two(1ull << 63));
    assert_false(cw_is_power_of_two((1ull << 63) + 1));
    assert_int_equal(cw_round_up(0, 8), 0);
    assert_int_equal(cw_round_up(1, 8), 8);
    assert_int_equal(cw_round_up(8, 8), 8);
    assert_int_equal(cw_round_up(9, 1), 9);
    assert_true(cw_overlaps(0, 10, 9, 1));
    assert_false(cw_overlaps(0, 10, 10, 1));
    assert_true(cw_overlaps(5, 1, 0, 10));
    assert_false(cw_overlaps(5, 0, 5, 0));
    struct pair {
        int a, b;
    } pair;
    assert_ptr_equal(CW_CONTAINER_OF(&pair.b, struct pair, b), &pair);
}

#define TEST_COUNTERS(X) X(TEST_SENT, "sent") X(TEST_LOST, "lost")
enum { TEST_COUNTERS(CW_COUNTER_ENUM) TEST_COUNTER_COUNT };
static const char *const counter_names[] = {TEST_COUNTERS(CW_COUNTER_NAME)};

static void counters(void **state)
{
    cw_counter counts[TEST_COUNTER_COUNT] = {0};

    assert_int_equal(CW_COUNT_OF(counter_names), TEST_COUNTER_COUNT);
    assert_string_equal(counter_names[TEST_LOST], "lost");
    cw_count(&counts[TEST_LOST], 3);
    cw_count(&counts[TEST_LOST], 4);
    assert_int_equal(cw_counter_read(&counts[TEST_LOST]), 7);
    assert_int_equal(cw_counter_read(&counts[TEST_SENT]), 0);
}

static void statuses_have_names(void **state)
{
    for (int s = 0; s < CW_STATUS_COUNT; s++)
        assert_string_not_equal(cw_status_name(s), "unknown");
    assert_string_equal(cw_status_name(CW_STATUS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_order),          cmocka_unit_test(hash_known_answers),
        cmocka_unit_test(rng_known_answers),   cmocka_unit_test(rng_stays_below_and_hits_all),
        cmocka_unit_test(arithmetic),          cmocka_unit_test(counters),
        cmocka_unit_test(statuses_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
