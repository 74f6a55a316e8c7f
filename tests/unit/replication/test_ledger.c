/* SPDX-License-Identifier: BSD-3-Clause */
/* What a copied site does not have: the ledger against a plain model, bytes and all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "replication/ledger.h"

#define UNIT 1024u

static struct cw_ledger l;
static void *memory;
static uint64_t sizes[CW_VOLUMES_PER_GROUP_MAX];

static void begin(uint64_t unit)
{
    struct cw_arena arena;

    cw_arena_measure(&arena);
    cw_ledger_carve(&l, &arena);
    memory = aligned_alloc(4096, cw_round_up(arena.used, 4096));
    assert_non_null(memory);
    memset(memory, 0xa5, arena.used); /* nobody promised zeroes */
    cw_arena_init(&arena, memory, cw_round_up(arena.used, 4096));
    memset(&l, 0, sizeof l);
    cw_ledger_carve(&l, &arena);
    cw_ledger_begin(&l, sizes, unit, 0);
}

static void end(void)
{
    free(memory);
    memset(sizes, 0, sizeof sizes);
}

/* Takes all there is; says how many bytes that was. */
static uint64_t take_all(void)
{
    struct cw_extent piece = {0};
    uint64_t bytes = 0;

    while (cw_ledger_take(&l, piece, &piece)) {
        assert_true(piece.length > 0 && piece.offset + piece.length <= sizes[piece.volume]);
        bytes += piece.length;
    }
    return bytes;
}

static void test_all_is_lacking_at_first(void **state)
{
    sizes[3] = 5 * UNIT + 512;
    sizes[63] = 512;
    begin(UNIT);
    assert_int_equal(cw_ledger_lacking_bytes(&l), 5 * UNIT + 1024);
    assert_int_equal(take_all(), 5 * UNIT + 1024);
    assert_int_equal(cw_ledger_lacking_bytes(&l), 0);
    cw_ledger_lack_all(&l);
    assert_int_equal(take_all(), 5 * UNIT + 1024);
    end();
}

static void test_nothing_at_all(void **state)
{
    struct cw_extent piece;

    begin(UNIT);
    assert_false(cw_ledger_take(&l, (struct cw_extent){0}, &piece));
    cw_ledger_write(&l, (struct cw_extent){.volume = 7, .offset = 0, .length = 512});
    cw_ledger_fold(&l, 1);
    assert_int_equal(cw_ledger_lacking_bytes(&l), 0);
    end();
}

/* A write stays until all up to it is in place there, and the turn after that. */
static void test_what_is_in_place_is_forgotten(void **state)
{
    sizes[0] = 64 * UNIT;
    begin(UNIT);
    take_all();
    cw_ledger_write(&l, (struct cw_extent){.offset = 8 * UNIT, .length = 1}); /* sequence 5 */
    cw_ledger_turn(&l, 0, 5);
    cw_ledger_turn(&l, 4, 6);                                                 /* 5 is not in place */
    cw_ledger_write(&l, (struct cw_extent){.offset = 9 * UNIT, .length = 1}); /* sequence 7 */
    cw_ledger_turn(&l, 5, 7);
    cw_ledger_fold(&l, 5);
    assert_int_equal(cw_ledger_lacking_bytes(&l), UNIT); /* 7 only */
    take_all();
    cw_ledger_fold(&l, 5); /* what a part brought of it may have been undone by older records: again */
    assert_int_equal(cw_ledger_lacking_bytes(&l), UNIT);
    end();
}

static void test_a_removed_volume_is_nobodys(void **state)
{
    sizes[0] = 3 * UNIT;
    sizes[1] = 70 * UNIT;
    sizes[2] = 100;
    begin(UNIT);
    assert_int_equal(cw_ledger_lacking_bytes_of(&l, 1), 70 * UNIT);
    cw_ledger_remove(&l, 1);
    sizes[1] = 0;
    cw_ledger_lack(&l, (struct cw_extent){.volume = 1, .offset = 0, .length = UNIT});
    cw_ledger_write(&l, (struct cw_extent){.volume = 1, .offset = 0, .length = UNIT});
    assert_int_equal(take_all(), 3 * UNIT + 100);
    cw_ledger_fold(&l, 1);
    cw_ledger_lack_all(&l);
    assert_int_equal(take_all(), 3 * UNIT + 100);
    end();
}

/* More than the maps have bits for: units grow. */
static void test_large_volumes(void **state)
{
    sizes[0] = 1ull << 44;
    sizes[1] = 4096;
    begin(131072);
    assert_true(l.unit > 131072);
    assert_int_equal(cw_ledger_lacking_bytes(&l), (1ull << 44) + 4096);
    assert_int_equal(take_all(), (1ull << 44) + 4096);
    cw_ledger_write(&l, (struct cw_extent){.offset = (1ull << 44) - 512, .length = 512});
    cw_ledger_fold(&l, 1);
    assert_int_equal(cw_ledger_lacking_bytes(&l), l.unit);
    end();
}

#define UNITS 200u

struct model {
    bool lacking[UNITS];
    uint64_t written[UNITS]; /* sequence of the last write; 0: none */
};

/* Whatever is lacking or was written above what is in place is lacking after a fold; little more is. */
static void play(uint64_t seed)
{
    struct cw_rng rng = {.state = seed};
    struct model m = {0};
    uint64_t head = 0, applied = 0;
    struct cw_extent piece = {0};

    sizes[0] = UNITS * UNIT;
    begin(UNIT);
    memset(m.lacking, 1, sizeof m.lacking);
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t unit = cw_rng_below(&rng, UNITS), dice = cw_rng_below(&rng, 100);
        struct cw_extent e = {.offset = unit * UNIT, .length = UNIT};
        if (dice < 40) {
            cw_ledger_write(&l, e);
            m.written[unit] = ++head;
        } else if (dice < 60) {
            applied += cw_rng_below(&rng, head - applied + 1);
            cw_ledger_turn(&l, applied, head);
        } else if (dice < 65) {
            cw_ledger_lack(&l, e);
            m.lacking[unit] = true;
        } else if (dice < 97) {
            if (cw_ledger_take(&l, piece, &piece)) {
                assert_true(m.lacking[piece.offset / UNIT]);
                m.lacking[piece.offset / UNIT] = false;
            }
        } else {
            cw_ledger_fold(&l, applied);
            for (uint32_t u = 0; u < UNITS; u++) {
                bool is_lacking = l.lacking[u / 64] >> (u % 64) & 1;
                assert_true(is_lacking || (!m.lacking[u] && m.written[u] <= applied));
                m.lacking[u] = is_lacking;
            }
        }
        uint64_t lacking = 0;
        for (uint32_t u = 0; u < UNITS; u++)
            lacking += m.lacking[u] * UNIT;
        assert_int_equal(cw_ledger_lacking_bytes(&l), lacking);
    }
    end();
}

static void test_against_a_model(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        play(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_lacking_at_first),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_what_is_in_place_is_forgotten),
        cmocka_unit_test(test_a_removed_volume_is_nobodys),
        cmocka_unit_test(test_large_volumes),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
