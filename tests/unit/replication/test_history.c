/* SPDX-License-Identifier: BSD-3-Clause */
/* Where do two logs part? A table of pairs of histories, each asked in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "replication/history.h"

struct side {
    uint64_t end; /* holds 1..end */
    uint32_t count;
    struct cw_history_entry entries[4];
};

static const struct {
    const char *story;
    struct side a, b;
    bool shares;
    uint64_t common;
} rows[] = {
    {"both empty", {0, 0, {{0}}}, {0, 0, {{0}}}, false, 0},
    {"a fresh site", {50, 1, {{1, 11, 1}}}, {0, 0, {{0}}}, false, 0},
    {"one reign, one behind", {50, 1, {{1, 11, 1}}}, {40, 1, {{1, 11, 1}}}, true, 40},
    {"the same epoch twice", {50, 1, {{1, 11, 1}}}, {40, 1, {{1, 12, 1}}}, false, 0},
    {"promoted behind: the old primary's tail goes",
     {120, 2, {{1, 11, 1}, {2, 22, 91}}},
     {100, 1, {{1, 11, 1}}},
     true,
     90},
    {"promoted level: nothing goes", {120, 2, {{1, 11, 1}, {2, 22, 101}}}, {100, 1, {{1, 11, 1}}}, true, 100},
    {"two children of one reign",
     {120, 2, {{1, 11, 1}, {2, 22, 91}}},
     {95, 2, {{1, 11, 1}, {3, 33, 81}}},
     true,
     80},
    {"attached, still below the new reign",
     {120, 2, {{1, 11, 1}, {2, 22, 101}}},
     {95, 2, {{1, 11, 1}, {2, 22, 101}}},
     true,
     95},
    {"a reign that wrote nothing", {90, 2, {{1, 11, 1}, {2, 22, 91}}}, {100, 1, {{1, 11, 1}}}, true, 90},
    {"the oldest fell out",
     {120, 2, {{2, 22, 61}, {3, 33, 91}}},
     {100, 2, {{1, 11, 1}, {2, 22, 61}}},
     true,
     90},
    {"nothing shared", {120, 1, {{3, 33, 91}}}, {100, 1, {{1, 11, 1}}}, false, 0},
};

static struct cw_history history_of(const struct side *side)
{
    struct cw_history history = {.count = side->count};

    for (uint32_t i = 0; i < side->count; i++)
        history.entries[i] = side->entries[i];
    return history;
}

static void test_common_point(void **state)
{
    for (uint32_t i = 0; i < CW_COUNT_OF(rows); i++) {
        struct cw_history a = history_of(&rows[i].a), b = history_of(&rows[i].b);
        uint64_t common = 77;
        assert_int_equal(cw_history_common(&a, rows[i].a.end, &b, rows[i].b.end, &common), rows[i].shares);
        assert_int_equal(common, rows[i].common);
        assert_int_equal(cw_history_common(&b, rows[i].b.end, &a, rows[i].a.end, &common), rows[i].shares);
        assert_int_equal(common, rows[i].common);
    }
}

static void test_add_keeps_order(void **state)
{
    struct cw_history h = {0};

    cw_history_add(&h, 1, 11, 1);
    cw_history_add(&h, 2, 22, 101);
    cw_history_add(&h, 3, 33, 96); /* of reign 2 nothing ever came here */
    assert_true(cw_history_valid(&h));
    assert_int_equal(h.count, 2);
    assert_true(cw_history_has(&h, 95, 1, 11));
    assert_true(cw_history_has(&h, 101, 3, 33));
    assert_false(cw_history_has(&h, 101, 2, 22));
    cw_history_add(&h, 4, 44, 96); /* reign 3 ended before its first record */
    assert_int_equal(h.count, 2);
    assert_true(cw_history_has(&h, 96, 4, 44));
    assert_true(cw_history_has(&h, 95, 1, 11));
}

/* What a blank site attached to is what it shares with whoever comes after. */
static void test_first_stays(void **state)
{
    struct cw_history h = {0}, blank;
    uint64_t common = 77;

    cw_history_add(&h, 1, 11, 1);
    blank = h;
    for (uint64_t e = 2; e < 100; e++)
        cw_history_add(&h, e, 11 * e, 1);
    assert_int_equal(h.count, 2);
    assert_true(cw_history_has(&h, 1, 99, 11 * 99));
    assert_true(cw_history_common(&h, 50, &blank, 0, &common));
    assert_int_equal(common, 0);
}

static void test_oldest_falls_out(void **state)
{
    struct cw_history h = {0};

    for (uint64_t e = 1; e <= CW_HISTORY_MAX + 5; e++)
        cw_history_add(&h, e, 1000 + e, e * 10);
    assert_int_equal(h.count, CW_HISTORY_MAX);
    assert_int_equal(h.entries[0].epoch, 6);
    assert_null(cw_history_find(&h, 59));
    assert_int_equal(cw_history_find(&h, 60)->epoch, 6);
    assert_true(cw_history_valid(&h));
    assert_true(cw_history_is_forgotten(&h, 5));
    assert_false(cw_history_is_forgotten(&h, 6));
    /* of the oldest, 60 to 69 count while it is there */
    assert_false(cw_history_may_add(&h, 1000, 68));
    assert_true(cw_history_may_add(&h, 1000, 69));
    assert_true(cw_history_may_add(&h, 10 * (CW_HISTORY_MAX + 5), 0)); /* in the place of the last */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_point),
        cmocka_unit_test(test_add_keeps_order),
        cmocka_unit_test(test_first_stays),
        cmocka_unit_test(test_oldest_falls_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
