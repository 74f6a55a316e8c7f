/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator against the memory back end, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "frontend/direct.h"
#include "memory.h"

#define SIZE (1u << 20)

static alignas(4096) uint8_t arena_memory[8u << 20];
static uint8_t data[SIZE];
static struct cw_memory memory;
static struct cw_direct direct;
static uint64_t now_ns;
static char why[128];

static uint64_t now(void *context)
{
    return now_ns += 100;
}

static void start_memory(uint32_t slices)
{
    struct cw_arena arena;
    cw_arena_init(&arena, arena_memory, sizeof arena_memory);
    memset(data, 0, sizeof data);
    cw_memory_init(&memory, &arena, data, SIZE, 512, slices);
}

static void test_count(void **state)
{
    start_memory(16);
    const struct cw_direct_config config = {.write_percent = 70,
                                            .size = 4096,
                                            .depth = 8,
                                            .count = 1000,
                                            .seed = 3,
                                            .flush_every = 10,
                                            .fua = true};
    assert_int_equal(cw_direct_start(&direct, &memory.volume, &config, now, NULL, why, sizeof why), CW_OK);
    for (uint32_t turn = 0; turn < 1000 && !cw_direct_is_done(&direct); turn++)
        cw_direct_step(&direct);
    assert_true(cw_direct_is_done(&direct));
    const struct cw_direct_stats *stats = cw_direct_stats(&direct);
    assert_int_equal(stats->ops, 1000);
    assert_int_equal(stats->errors, 0);
    assert_int_equal(stats->flush.count, 90);
    assert_int_equal(memory.flushes, 90);
    assert_int_equal(stats->read.count + stats->write.count + stats->flush.count, 1000);
    assert_int_equal(stats->bytes, 910 * 4096);
    assert_in_range(stats->write.count, 560, 720);
    assert_int_equal(memory.fua, stats->write.count);
    assert_int_equal(memory.slices_out, 0);
}

static void test_sequential_covers_the_span(void **state)
{
    start_memory(16);
    const struct cw_direct_config config = {
        .write_percent = 100, .size = 8192, .depth = 4, .count = 64, .span = SIZE / 2, .is_sequential = true};
    assert_int_equal(cw_direct_start(&direct, &memory.volume, &config, now, NULL, why, sizeof why), CW_OK);
    while (!cw_direct_is_done(&direct))
        cw_direct_step(&direct);
    for (uint32_t at = 0; at < SIZE / 2; at += 512)
        for (uint32_t other = at + 512; other < SIZE / 2; other += 512)
            assert_memory_not_equal(data + at, data + other, 512);
    for (uint32_t at = SIZE / 2; at < SIZE; at++)
        assert_int_equal(data[at], 0);
}

static void test_waits_and_latency(void **state)
{
    start_memory(4);
    memory.is_deferred = true;
    const struct cw_direct_config config = {.size = 4096, .depth = 8, .duration_ns = CW_MS};
    assert_int_equal(cw_direct_start(&direct, &memory.volume, &config, now, NULL, why, sizeof why), CW_OK);
    for (uint32_t turn = 0; turn < 100000 && !cw_direct_is_done(&direct); turn++) {
        assert_true(memory.outstanding <= 4);
        now_ns += 1000;
        cw_memory_complete(&memory, 1, turn, CW_OK);
        if (cw_memory_room_again(&memory))
            cw_direct_on_room(&direct);
        cw_direct_step(&direct);
    }
    const struct cw_direct_stats *stats = cw_direct_stats(&direct);
    assert_true(stats->waits > 0);
    assert_true(stats->elapsed_ns >= CW_MS);
    assert_true(stats->ops > 100);
    assert_int_equal(memory.slices_out, 0);
    assert_true(stats->read.min_ns >= 1000);
    assert_in_range(cw_direct_quantile_ns(&stats->read, 500000), 2000, 20000);
}

static void test_errors_stop_it(void **state)
{
    start_memory(16);
    memory.is_deferred = true;
    const struct cw_direct_config config = {.write_percent = 50, .size = 512, .depth = 8, .count = 100};
    assert_int_equal(cw_direct_start(&direct, &memory.volume, &config, now, NULL, why, sizeof why), CW_OK);
    cw_memory_complete(&memory, 1, 0, CW_SHUTDOWN);
    cw_direct_step(&direct);
    assert_int_equal(memory.outstanding, 7);
    cw_memory_complete(&memory, 7, 0, CW_SHUTDOWN);
    assert_true(cw_direct_is_done(&direct));
    assert_int_equal(cw_direct_stats(&direct)->errors, 8);
    assert_int_equal(cw_direct_stats(&direct)->first_error, CW_SHUTDOWN);
    assert_int_equal(memory.slices_out, 0);
}

static void test_stop_while_waiting(void **state)
{
    start_memory(2);
    memory.is_deferred = true;
    memory.submit_room = 1;
    const struct cw_direct_config config = {.write_percent = 100, .size = 512, .depth = 8, .count = 100};
    assert_int_equal(cw_direct_start(&direct, &memory.volume, &config, now, NULL, why, sizeof why), CW_OK);
    assert_int_equal(memory.outstanding, 1);
    assert_int_equal(memory.slices_out, 2); /* one waits for room with its buffer */
    cw_direct_stop(&direct);
    assert_false(cw_direct_is_done(&direct));
    cw_memory_complete(&memory, 1, 0, CW_OK);
    assert_true(cw_direct_is_done(&direct));
    assert_int_equal(memory.slices_out, 0);
}

static void test_impossible(void **state)
{
    start_memory(2);
    const struct cw_direct_config good = {.size = 4096, .depth = 1, .count = 1};
    struct cw_direct_config bad[6] = {good, good, good, good, good, good};
    bad[0].size = 100;
    bad[1].depth = 257;
    bad[2].write_percent = 101;
    bad[3].span = SIZE + 512;
    bad[4].count = 0;
    bad[5].size = 8u << 20;
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(cw_direct_start(&direct, &memory.volume, &bad[i], now, NULL, why, sizeof why),
                         CW_INVALID);
}

static void test_quantiles(void **state)
{
    static struct cw_direct_histogram histogram;
    assert_int_equal(cw_direct_quantile_ns(&histogram, 500000), 0);
    for (uint64_t ns = 1; ns <= 100000; ns++)
        cw_direct_histogram_add(&histogram, ns);
    for (uint32_t per_million = 1000; per_million <= 1000000; per_million += 999) {
        uint64_t exact = per_million / 10, got = cw_direct_quantile_ns(&histogram, per_million);
        assert_in_range(got, exact, exact + exact / 31 + 1);
    }
    assert_int_equal(cw_direct_quantile_ns(&histogram, 1000000), 100000);
    cw_direct_histogram_add(&histogram, UINT64_MAX); /* into the last bucket */
    cw_direct_histogram_add(&histogram, 0);
    assert_int_equal(histogram.min_ns, 0);
    assert_true(cw_direct_quantile_ns(&histogram, 1000000) > 1ull << 39);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_sequential_covers_the_span),
        cmocka_unit_test(test_waits_and_latency),
        cmocka_unit_test(test_errors_stop_it),
        cmocka_unit_test(test_stop_while_waiting),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
