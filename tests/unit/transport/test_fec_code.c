/* SPDX-License-Identifier: BSD-3-Clause */
/* The erasure code: known coefficients, and that any p losses of a block come back bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "tests/lib/upper_halves.h"
#include "transport/fec_code.h"

#define LENGTH_MAX 9000u

static struct cw_fec_code code;
static uint8_t sources[CW_FEC_SOURCES_MAX][LENGTH_MAX];
static uint32_t lengths[CW_FEC_SOURCES_MAX];
static uint8_t encoded[CW_FEC_REPAIRS_MAX][LENGTH_MAX], received[CW_FEC_REPAIRS_MAX][LENGTH_MAX];
static uint8_t solved[CW_FEC_REPAIRS_MAX][LENGTH_MAX];

/* Multiplication by the book (polynomial 0x11d), to be compared with the fast one. */
static uint8_t times(uint8_t a, uint8_t b)
{
    unsigned product = 0, x = a;
    for (unsigned bits = b; bits; bits >>= 1) {
        if (bits & 1)
            product ^= x;
        x = x << 1 ^ (x & 0x80 ? 0x11d : 0);
    }
    return (uint8_t)product;
}

static int set_up(void **state)
{
    cw_fec_code_init(&code);
    return 0;
}

static void the_coefficients_are_those_of_the_protocol(void **state)
{
    for (uint32_t j = 0; j < CW_FEC_REPAIRS_MAX; j++)
        for (uint32_t i = 0; i < CW_FEC_SOURCES_MAX; i++)
            assert_int_equal(times(code.coefficients[j][i], (uint8_t)((64 + j) ^ i)), 1);
    assert_int_equal(code.coefficients[0][0], 0x36); /* 1 / 64 */
    assert_int_equal(code.coefficients[1][0], 0x5f); /* 1 / 65 */
}

/* Sources of these lengths, random bytes; what is behind a source's end must not count. */
static void make_block(struct cw_rng *rng, uint32_t k, uint32_t length)
{
    for (uint32_t i = 0; i < k; i++) {
        lengths[i] = 1 + (uint32_t)cw_rng_below(rng, length);
        memset(sources[i], 0, length);
        for (uint32_t b = 0; b < lengths[i]; b++)
            sources[i][b] = (uint8_t)cw_rng_next(rng);
    }
    lengths[k - 1] = length;
}

static void add_all(uint32_t k, uint32_t p, uint64_t lost, uint8_t rows[][LENGTH_MAX])
{
    uint8_t *at[CW_FEC_REPAIRS_MAX];
    for (uint32_t j = 0; j < p; j++)
        at[j] = rows[j];
    for (uint32_t i = 0; i < k; i++)
        if (!(lost >> i & 1))
            cw_fec_code_add(&code, p, i, sources[i], lengths[i], at);
}

static void encode(uint32_t k, uint32_t p, uint32_t length)
{
    for (uint32_t j = 0; j < p; j++)
        memset(encoded[j], 0, length);
    add_all(k, p, 0, encoded);
}

static void a_repair_is_the_sum_by_the_book(void **state)
{
    struct cw_rng rng = {11};
    make_block(&rng, 64, 333);
    encode(64, 8, 333);
    for (uint32_t j = 0; j < 8; j++)
        for (uint32_t b = 0; b < 333; b++) {
            uint8_t sum = 0;
            for (uint32_t i = 0; i < 64; i++)
                sum ^= times(code.coefficients[j][i], sources[i][b]);
            assert_int_equal(encoded[j][b], sum);
        }
}

/* Loses the sources of the set, has the repairs of the set, as many. */
static void lose_and_solve(uint32_t k, uint32_t p, uint64_t lost, uint32_t rows, uint32_t length)
{
    struct cw_fec_erasure erasure = {0};
    uint8_t *sums[CW_FEC_REPAIRS_MAX], *symbols[CW_FEC_REPAIRS_MAX];
    for (uint32_t j = 0; j < p; j++)
        memset(received[j], 0, length);
    add_all(k, p, lost, received);
    uint32_t count = 0;
    for (uint32_t j = 0; j < p; j++) {
        if (!(rows >> j & 1))
            continue;
        for (uint32_t b = 0; b < length; b++)
            received[j][b] ^= encoded[j][b];
        erasure.rows[count] = (uint8_t)j;
        sums[count++] = received[j];
    }
    for (uint32_t i = 0; i < k; i++) {
        if (lost >> i & 1) {
            symbols[erasure.count] = solved[erasure.count];
            erasure.sources[erasure.count++] = (uint8_t)i;
        }
    }
    assert_int_equal(erasure.count, count);
    cw_fec_code_solve(&code, &erasure, sums, length, symbols);
    for (uint32_t i = 0; i < count; i++)
        assert_memory_equal(solved[i], sources[erasure.sources[i]], length);
}

static void all_erasures_of_small_blocks_come_back(void **state)
{
    struct cw_rng rng = {12};
    uint32_t solved_count = 0;
    for (uint32_t k = 1; k <= 8; k++)
        for (uint32_t p = 1; p <= 4; p++) {
            make_block(&rng, k, 50);
            encode(k, p, 50);
            for (uint64_t lost = 1; lost < 1ull << k; lost++)
                for (uint32_t rows = 1; rows < 1u << p; rows++) {
                    if (__builtin_popcountll(lost) != __builtin_popcount(rows))
                        continue;
                    lose_and_solve(k, p, lost, rows, 50);
                    solved_count++;
                }
        }
    assert_int_equal(solved_count, 1956); /* the sum of (k + p over p) - 1 */
}

static void random_erasures_of_large_blocks_come_back(void **state)
{
    struct cw_rng rng = {13};
    for (int round = 0; round < 1500; round++) {
        uint32_t k = 1 + (uint32_t)cw_rng_below(&rng, CW_FEC_SOURCES_MAX);
        uint32_t p = 1 + (uint32_t)cw_rng_below(&rng, CW_FEC_REPAIRS_MAX);
        uint32_t length = 1 + (uint32_t)cw_rng_below(&rng, round % 50 ? 200 : LENGTH_MAX);
        uint32_t count = 1 + (uint32_t)cw_rng_below(&rng, CW_MIN(k, p));
        uint64_t lost = 0;
        uint32_t rows = 0;
        while ((uint32_t)__builtin_popcountll(lost) < count)
            lost |= 1ull << cw_rng_below(&rng, k);
        while ((uint32_t)__builtin_popcount(rows) < count)
            rows |= 1u << cw_rng_below(&rng, p);
        make_block(&rng, k, length);
        encode(k, p, length);
        lose_and_solve(k, p, lost, rows, length);
    }
}

/* Whatever instructions the library chose. */
static void nothing_is_left_in_vector_registers(void **state)
{
    uint8_t *rows[] = {encoded[0], encoded[1]}, *symbols[] = {solved[0], solved[1]};
    const struct cw_fec_erasure erasure = {.count = 2, .sources = {0, 1}, .rows = {0, 1}};
    memset(sources[0], 0x5a, LENGTH_MAX);
    cw_fec_code_add(&code, 2, 0, sources[0], LENGTH_MAX, rows);
    assert_true(upper_halves_are_clear());
    cw_fec_code_solve(&code, &erasure, rows, LENGTH_MAX, symbols);
    assert_true(upper_halves_are_clear());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_coefficients_are_those_of_the_protocol),
        cmocka_unit_test(a_repair_is_the_sum_by_the_book),
        cmocka_unit_test(all_erasures_of_small_blocks_come_back),
        cmocka_unit_test(random_erasures_of_large_blocks_come_back),
        cmocka_unit_test(nothing_is_left_in_vector_registers),
    };
    return cmocka_run_group_tests_name("transport/fec_code", tests, set_up, NULL);
}
