/* SPDX-License-Identifier: BSD-3-Clause */
/* Health and RPO: what facts give which word, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/numbers.h"
#include "control/health.h"

/* member, streaming, promotable, lag in seconds, lag in bytes */
struct replica_row {
    bool is_there, is_member, is_streaming, is_promotable;
    double lag_seconds;
    uint64_t lag_bytes;
    bool is_cut;     /* nothing leads there any more */
    bool is_unheard; /* it has not attached since the opening */
    bool is_stalled; /* connected, and nothing moves */
};

static const struct row {
    enum cw_mode_word mode;
    bool alive, primary, opening, frozen;
    struct replica_row replicas[2];
    enum cw_health_level level;
    const char *reason; /* part of it; NULL: none at all */
    double rpo_seconds; /* negative: unknown */
    uint64_t rpo_bytes;
} rows[] = {
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 1, 1, 1, 0.5, 100}}, CW_HEALTH_PROTECTED, NULL, 0, 0},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 1, 1, 1, 0.5, 100, 1}}, CW_HEALTH_DEGRADED, "cannot be reached", 0, 0},
    {CW_WORD_SYNC,
     1,
     1,
     0,
     0,
     {{1, 1, 1, 1, 0, 0}, {1, 0, 1, 1, 2, 9}},
     CW_HEALTH_DEGRADED,
     "B is not in",
     0,
     0},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 0, 1, 1, 2, 50}}, CW_HEALTH_UNPROTECTED, "catching up", 2, 50},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 0, 0, 0, 2, 50}}, CW_HEALTH_UNPROTECTED, "not connected", -1, 0},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{0}}, CW_HEALTH_UNPROTECTED, "no replica", -1, 0},
    {CW_WORD_ASYNC, 1, 1, 0, 0, {{1, 0, 1, 1, 3, 300}}, CW_HEALTH_PROTECTED, NULL, 3, 300},
    {CW_WORD_ASYNC, 1, 1, 0, 0, {{1, 0, 0, 1, 61, 300}}, CW_HEALTH_DEGRADED, "lags by 61.0 s", 61, 300},
    {CW_WORD_ASYNC, 1, 1, 0, 0, {{1, 0, 1, 1, 3, 4 << 20}}, CW_HEALTH_DEGRADED, "by 4096 KiB", 3, 4 << 20},
    {CW_WORD_ASYNC, 1, 1, 0, 0, {{1, 0, 0, 0, 61, 300}}, CW_HEALTH_UNPROTECTED, "A", -1, 0},
    {CW_WORD_ASYNC,
     1,
     1,
     0,
     0,
     {{1, 0, 1, 1, 3, 300, 0, 0, 1}},
     CW_HEALTH_DEGRADED,
     "A: nothing moves",
     3,
     300},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 1, 1, 1, 3, 0, 0, 0, 1}}, CW_HEALTH_DEGRADED, "A: nothing moves", 0, 0},
    /* not heard since the opening: nothing is known of what it holds */
    {CW_WORD_ASYNC,
     1,
     1,
     0,
     0,
     {{1, 0, 0, 1, 0, 0, 0, 1}},
     CW_HEALTH_DEGRADED,
     "A has not been heard",
     -1,
     0},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 0, 0, 1, 0, 0, 0, 1}}, CW_HEALTH_UNPROTECTED, "not connected", -1, 0},
    {CW_WORD_SYNC, 1, 1, 0, 0, {{1, 1, 0, 1, 2, 9, 0, 1}}, CW_HEALTH_PROTECTED, NULL, 0, 0},
    {CW_WORD_ASYNC,
     1,
     1,
     0,
     0,
     {{1, 0, 1, 1, 3, 300}, {1, 0, 1, 1, 1, 10}},
     CW_HEALTH_PROTECTED,
     NULL,
     1,
     10},
    {CW_WORD_ASYNC, 1, 1, 0, 0, {{1, 1, 1, 1, 3, 300}}, CW_HEALTH_PROTECTED, NULL, 3, 300}, /* member: no RPO
                                                                                               0 */
    {CW_WORD_SYNC, 1, 1, 0, 1, {{1, 1, 1, 1, 0, 0}}, CW_HEALTH_FROZEN, "writes are held", 0, 0},
    {CW_WORD_SYNC, 1, 0, 1, 0, {{1, 1, 1, 1, 0, 0}}, CW_HEALTH_FROZEN, "is opening it", 0, 0},
    {CW_WORD_SYNC, 1, 0, 0, 0, {{1, 1, 1, 1, 0, 0}}, CW_HEALTH_DOWN, "the engine's words", 0, 0},
    {CW_WORD_SYNC,
     0,
     1,
     0,
     0,
     {{1, 1, 1, 1, 0, 0}},
     CW_HEALTH_DOWN,
     "last seen 12 s ago: causeway promote",
     0,
     0},
};

static struct cw_health compute(const struct row *row)
{
    static const char *const sites[] = {"A", "B"};
    struct cw_health_facts facts = {.group = "db",
                                    .holder = "east",
                                    .holder_reason = row->primary ? "" : "the engine's words",
                                    .holder_age_seconds = 12,
                                    .is_holder_alive = row->alive,
                                    .is_primary = row->primary,
                                    .is_opening = row->opening,
                                    .is_frozen = row->frozen,
                                    .mode = row->mode,
                                    .max_loss_seconds = 60,
                                    .max_loss_bytes = 3 * CW_MIB};
    for (uint32_t i = 0; i < 2; i++) {
        const struct replica_row *r = &row->replicas[i];
        if (r->is_there)
            facts.replicas[facts.replica_count++] =
                (struct cw_health_replica){.site = sites[i],
                                           .reason = r->is_stalled ? "nothing moves" : "",
                                           .is_stalled = r->is_stalled,
                                           .is_member = r->is_member,
                                           .is_reachable = !r->is_cut,
                                           .is_streaming = r->is_streaming,
                                           .is_promotable = r->is_promotable,
                                           .is_lag_known = !r->is_unheard,
                                           .lag_seconds = r->lag_seconds,
                                           .lag_bytes = r->lag_bytes};
    }
    return cw_health_compute(&facts);
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        struct cw_health health = compute(&rows[i]);
        bool is_rpo_right = health.is_rpo_known == (rows[i].rpo_seconds >= 0) &&
                            health.rpo_bytes == rows[i].rpo_bytes &&
                            (!health.is_rpo_known || health.rpo_seconds == rows[i].rpo_seconds);
        bool is_reason_right =
            rows[i].reason ? strstr(health.reason, rows[i].reason) != NULL : !health.reason[0];
        if (health.level != rows[i].level || !is_rpo_right || !is_reason_right)
            fail_msg("row %zu: %s, \"%s\", rpo %d %f %lu", i, cw_health_name(health.level), health.reason,
                     health.is_rpo_known, health.rpo_seconds, health.rpo_bytes);
    }
}

/* Without the store the data is what it was; that roles cannot change is told all the same. */
static void test_goes_on_by_grants(void **state)
{
    struct cw_health_facts facts = {
        .group = "db",
        .holder = "east",
        .holder_reason = "goes on by grants",
        .is_holder_alive = true,
        .is_primary = true,
        .goes_on_by_grants = true,
        .mode = CW_WORD_SYNC,
        .replica_count = 1,
        .replicas = {{.site = "west", .reason = "", .is_member = true, .is_reachable = true}}};
    struct cw_health health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_PROTECTED);
    assert_string_equal(health.reason, "goes on by grants");
    facts.replicas[0].is_reachable = false;
    health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DEGRADED);
    assert_string_equal(health.reason,
                        "west cannot be reached; it holds everything so far; goes on by grants");
    facts.is_frozen = true;
    health = cw_health_compute(&facts);
    assert_string_equal(health.reason, "writes are held: goes on by grants");
}

static void test_never_opened(void **state)
{
    struct cw_health_facts facts = {
        .group = "db", .holder = "", .holder_reason = "", .holder_age_seconds = -1};
    struct cw_health health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DOWN);
    assert_non_null(strstr(health.reason, "never opened"));
    facts.is_holder_unknown = true;
    facts.mode = CW_WORD_SYNC;
    facts.replicas[facts.replica_count++] =
        (struct cw_health_replica){.site = "west", .reason = "", .is_member = true};
    health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DOWN);
    assert_null(strstr(health.reason, "never opened"));
    assert_false(health.is_rpo_known && "of what nobody knows");
    assert_non_null(strstr(health.reason, "who held it last is not known since the store was rebuilt"));
    assert_non_null(strstr(health.reason, "causeway promote db --site SITE --accept-loss"));
}

/* A volume without an export: nobody can write to it, however many replicas there are. */
static void test_unexported(void **state)
{
    struct cw_health_facts facts = {.group = "db",
                                    .holder = "east",
                                    .holder_reason = "",
                                    .is_holder_alive = true,
                                    .is_primary = true,
                                    .mode = CW_WORD_SYNC};
    facts.unexported = "data";
    facts.export_error = "no socket";
    facts.replicas[facts.replica_count++] =
        (struct cw_health_replica){.site = "west", .reason = "", .is_member = true, .is_reachable = true};
    struct cw_health health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DEGRADED);
    assert_string_equal(health.reason, "east does not export volume data: no socket");
    facts.replicas[0].is_reachable = false; /* that is worse */
    health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DEGRADED);
    assert_non_null(strstr(health.reason, "cannot be reached"));
}

/* A member that lacks a volume has every write, and would not serve that one. */
static void test_lacks_volume(void **state)
{
    struct cw_health_facts facts = {.group = "db",
                                    .holder = "east",
                                    .holder_reason = "",
                                    .is_holder_alive = true,
                                    .is_primary = true,
                                    .mode = CW_WORD_SYNC};
    facts.replicas[facts.replica_count++] = (struct cw_health_replica){.site = "west",
                                                                       .reason = "",
                                                                       .lacks = "data",
                                                                       .lacks_why = "no room",
                                                                       .is_member = true,
                                                                       .is_reachable = true};
    struct cw_health health = cw_health_compute(&facts);
    assert_int_equal(health.level, CW_HEALTH_DEGRADED);
    assert_string_equal(health.reason, "west does not have volume data: no room");
    facts.replicas[0].is_reachable = false;
    health = cw_health_compute(&facts);
    assert_non_null(strstr(health.reason, "cannot be reached"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_goes_on_by_grants),
                                       cmocka_unit_test(test_never_opened), cmocka_unit_test(test_unexported),
                                       cmocka_unit_test(test_lacks_volume)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
