/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The overlay against a map with one entry a byte of a small volume: inserts of any length, removals oldest
 * first, and once in a while a cut of the newest. test_overlay [first [count]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "base/rng.h"
#include "replication/overlay.h"

#define VOLUMES 3u
#define BYTES   256u
#define RECORDS 64u
#define STEPS   4000u

static uint64_t seed_first = 1, seed_count = 20;

static struct {
    struct cw_overlay overlay;
    uint64_t bytes[VOLUMES][BYTES]; /* which sequence holds it; 0: none */
    uint64_t first, last;           /* live sequences */
    struct {
        uint16_t volume;
        uint64_t start, end;
    } extents[RECORDS]; /* by sequence */
    uint64_t seen[BYTES];
} t;

static void see(void *context, uint64_t start, uint64_t end, uint64_t sequence)
{
    uint64_t *next = context;

    assert_true(start >= *next);
    assert_true(start < end && end <= BYTES);
    *next = end;
    for (uint64_t i = start; i < end; i++)
        t.seen[i] = sequence;
}

static void compare(uint16_t volume, uint64_t from, uint64_t to)
{
    uint64_t next = from, held = 0;

    memset(t.seen, 0, sizeof t.seen);
    cw_overlay_walk(&t.overlay, volume, from, to - from, see, &next);
    assert_true(next <= to);
    for (uint64_t i = from; i < to; i++) {
        assert_int_equal(t.seen[i], t.bytes[volume][i]);
        held += t.bytes[volume][i] != 0;
    }
    assert_int_equal(cw_overlay_covers(&t.overlay, volume, from, to - from), held == to - from);
}

static void forget(uint64_t sequence)
{
    cw_overlay_remove(&t.overlay, sequence);
    for (uint32_t v = 0; v < VOLUMES; v++)
        for (uint32_t i = 0; i < BYTES; i++)
            if (t.bytes[v][i] == sequence)
                t.bytes[v][i] = 0;
}

static void put(uint64_t sequence)
{
    uint32_t i = sequence % RECORDS;

    cw_overlay_insert(&t.overlay, t.extents[i].volume, t.extents[i].start,
                      t.extents[i].end - t.extents[i].start, sequence);
    for (uint64_t at = t.extents[i].start; at < t.extents[i].end; at++)
        t.bytes[t.extents[i].volume][at] = sequence;
}

static void insert(struct cw_rng *rng)
{
    uint16_t volume = (uint16_t)cw_rng_below(rng, VOLUMES);
    uint64_t start = cw_rng_below(rng, BYTES);
    uint64_t length = 1 + cw_rng_below(rng, cw_rng_below(rng, 4) ? CW_MIN(BYTES - start, 12) : BYTES - start);

    t.last++;
    t.extents[t.last % RECORDS].volume = volume;
    t.extents[t.last % RECORDS].start = start;
    t.extents[t.last % RECORDS].end = start + length;
    put(t.last);
}

static void cut(uint64_t last)
{
    cw_overlay_clear(&t.overlay);
    memset(t.bytes, 0, sizeof t.bytes);
    t.last = last;
    for (uint64_t s = t.first; s <= t.last; s++)
        put(s);
}

static void step(struct cw_rng *rng)
{
    uint64_t live = t.last - t.first + 1;

    if (live < RECORDS && cw_rng_below(rng, 100) < 60) {
        insert(rng);
    } else if (live > 0 && cw_rng_below(rng, 20) == 0) {
        cut(t.last - 1 - cw_rng_below(rng, live));
    } else if (live > 0) {
        forget(t.first++);
    }
    assert_true(cw_overlay_is_valid(&t.overlay));
    assert_true(t.overlay.used <= 2 * RECORDS + 2);
}

static void run_seed(uint64_t seed)
{
    struct cw_rng rng;
    struct cw_arena arena;

    rng.state = seed;
    cw_arena_measure(&arena);
    cw_overlay_init(&t.overlay, &arena, RECORDS);
    size_t size = cw_round_up(arena.used, 4096) + 4096;
    void *memory = aligned_alloc(4096, size);
    assert_non_null(memory);
    cw_arena_init(&arena, memory, size);
    memset(&t, 0, sizeof t);
    cw_overlay_init(&t.overlay, &arena, RECORDS);
    t.first = 1;
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&rng);
        uint64_t from = cw_rng_below(&rng, BYTES), to = from + 1 + cw_rng_below(&rng, BYTES - from);
        compare((uint16_t)cw_rng_below(&rng, VOLUMES), from, to);
    }
    free(memory);
}

static void test_against_bytes(void **state)
{
    for (uint64_t i = 0; i < seed_count; i++)
        run_seed(seed_first + i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_bytes)};

    if (argc > 1)
        seed_first = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed_count = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
