/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands in a rebuilt store: facts of sites in, rows or refusals out. Nobody becomes a holder by a
 * guess. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rebuild.h"
#include "control/rpc.h"
#include "control/store_rows.h"
#include "control/words.h"

enum { EAST = 0, WEST, CENTRAL };
static const char *const names[] = {"east", "west", "central"};

static struct cw_rebuild_facts facts;
static struct cw_rebuild_plan *plan;
static json_t *copies[3], *engines[3], *store;

static struct cw_member member(const char *site)
{
    struct cw_member m = {.boot_id = "b", .journal_id = "j", .process_start = "1"};
    snprintf(m.site, sizeof m.site, "%s", site);
    return m;
}

static struct cw_authority row(uint64_t epoch, uint64_t reign, const char *holder, const char *other)
{
    struct cw_authority a = {.epoch = epoch, .reign = reign, .first_sequence = 1};
    struct cw_member m = member(holder);
    snprintf(a.holder, sizeof a.holder, "%s", holder);
    assert_true(cw_set_put(&a.set, &m));
    m = member(other);
    assert_true(!*other || cw_set_put(&a.set, &m));
    return a;
}

static void put_group(json_t *rows, uint32_t id, const char *name, const struct cw_authority *authority,
                      uint64_t moves)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group group = {.id = id,
                                   .mode = CW_WORD_SYNC,
                                   .site_count = 2,
                                   .sites = {"east", "west"},
                                   .first = "east",
                                   .home = "east"};
    snprintf(group.name, sizeof group.name, "%s", name);
    json_object_set_new(rows, cw_key_group(key, "groups", id), cw_row_from_group(&group));
    json_object_set_new(rows, cw_key_group(key, "authority", id), cw_row_from_authority(authority, moves));
    json_int_t next = json_integer_value(json_object_get(rows, "meta/next_group"));
    json_object_set_new(rows, "meta/next_group",
                        json_integer((json_int_t)id >= next ? (json_int_t)id + 1 : next));
}

/* The group's numbers below `next` are given away. */
static void give_away(json_t *rows, uint32_t id, int32_t next)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group group;
    assert_true(cw_row_to_group(json_object_get(rows, cw_key_group(key, "groups", id)), &group));
    group.next_volume = next;
    json_object_set_new(rows, key, cw_row_from_group(&group));
}

static void put_volume(json_t *rows, uint32_t id, int32_t number)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_volume volume = {.group = id, .volume = number, .name = "v", .size = 4096};
    struct cw_store_place place = {.group = id, .volume = number, .site = "east", .path = "/v"};
    json_object_set_new(rows, cw_key_volume(key, id, number), cw_row_from_volume(&volume));
    json_object_set_new(rows, cw_key_place(key, id, number, "east"), cw_row_from_place(&place));
    give_away(rows, id, number + 1);
}

static void tell(int site, const char *role, uint64_t epoch, uint64_t reign)
{
    struct cw_member m = member(names[site]);
    json_t *history = json_array();
    if (epoch)
        json_array_append_new(history, json_pack("{s:I,s:o,s:i}", "epoch", (json_int_t)epoch, "reign",
                                                 cw_json_from_hex(reign), "first_sequence", 1));
    json_array_clear(engines[site]);
    json_array_append_new(engines[site],
                          json_pack("{s:i,s:s,s:s,s:I,s:o,s:o,s:o}", "group", 1, "name", "db", "role", role,
                                    "epoch", (json_int_t)epoch, "reign", cw_json_from_hex(reign), "history",
                                    history, "identity", cw_member_to_json(&m)));
}

/* All answer: east holds epoch 3, and west is in the set; the store is empty. */
static int setup(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west");
    (void)state;
    facts = (struct cw_rebuild_facts){.site_count = 3, .seed = 1000};
    facts.store = store = json_object();
    for (int i = 0; i < 3; i++) {
        copies[i] = json_object();
        engines[i] = json_array();
        put_group(copies[i], 1, "db", &three, 7);
        facts.sites[i] = (struct cw_rebuild_site){.name = names[i],
                                                  .is_witness = i == CENTRAL,
                                                  .is_heard = true,
                                                  .is_engine_heard = i != CENTRAL,
                                                  .copy = copies[i],
                                                  .revision = 50,
                                                  .engine = engines[i]};
    }
    tell(EAST, "replica", 3, 33);
    tell(WEST, "replica", 3, 33);
    plan = calloc(1, sizeof *plan);
    return plan ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        json_decref(copies[i]);
        json_decref(engines[i]);
    }
    json_decref(store);
    json_decref(plan->rows);
    json_decref(plan->gone);
    free(plan);
    return 0;
}

static void work_out(void)
{
    json_decref(plan->rows);
    json_decref(plan->gone);
    memset(plan, 0, sizeof *plan);
    cw_rebuild_plan(&facts, plan);
}

static void expect_refusal(const char *words)
{
    work_out();
    if (!strstr(plan->refusal, words))
        fail_msg("refused with: %s", plan->refusal);
}

static const struct cw_rebuild_group *expect_kind(enum cw_rebuild_kind kind)
{
    work_out();
    assert_string_equal(plan->refusal, "");
    assert_int_equal(plan->group_count, 1);
    if (plan->groups[0].kind != kind)
        fail_msg("%s: %s", cw_rebuild_kind_name(plan->groups[0].kind), plan->groups[0].words);
    return &plan->groups[0];
}

static void expect_nobody(uint64_t epoch)
{
    const struct cw_rebuild_group *group = expect_kind(CW_REBUILD_NOBODY);
    assert_string_equal(group->authority.holder, "");
    assert_int_equal(group->authority.epoch, epoch);
    assert_int_equal(group->authority.set.count, 0);
    assert_non_null(strstr(group->words, "--accept-loss"));
}

/* ---------------------------------------------------------------- who holds it */

static void test_as_the_holder_had_it(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west");
    uint64_t moves;
    struct cw_authority written;
    (void)state;
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &three));
    assert_true(cw_row_to_authority(json_object_get(plan->rows, "authority/0000000001"), &written, &moves));
    assert_true(cw_authority_equal(&written, &three));
    assert_true(moves > 7);
    assert_int_equal(json_integer_value(json_object_get(plan->rows, "names/db")), 1);
    assert_int_equal(json_integer_value(json_object_get(plan->rows, "meta/rebuilt")), 1);
}

/* The others remember a set in which west still is, and even later changes: the holder's own copy counts. */
static void test_set_is_the_holders_own(void **state)
{
    struct cw_authority alone = row(3, 33, "east", "");
    (void)state;
    put_group(copies[EAST], 1, "db", &alone, 8);
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &alone));
    put_group(copies[EAST], 1, "db", &alone, 6);
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &alone));
    struct cw_authority both = row(4, 44, "west", "east"), west = row(4, 44, "west", "");
    put_group(copies[EAST], 1, "db", &both, 9);
    put_group(copies[CENTRAL], 1, "db", &both, 9);
    put_group(copies[WEST], 1, "db", &west, 10);
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &west));
}

static void test_highest_epoch_of_any_copy(void **state)
{
    struct cw_authority four = row(4, 44, "west", "");
    (void)state;
    put_group(copies[WEST], 1, "db", &four, 9);
    tell(WEST, "replica", 4, 44);
    tell(EAST, "primary", 3, 33); /* it does not know yet */
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &four));
}

/* Everybody else remembers that west took epoch 4, and west has no copy: its set is not known. */
static void test_holder_without_copy(void **state)
{
    struct cw_authority four = row(4, 44, "west", "east");
    (void)state;
    put_group(copies[EAST], 1, "db", &four, 9);
    put_group(copies[CENTRAL], 1, "db", &four, 9);
    facts.sites[WEST].copy = NULL;
    tell(WEST, "replica", 4, 44);
    expect_nobody(5);
    tell(WEST, "primary", 4, 44);
    const struct cw_rebuild_group *group = expect_kind(CW_REBUILD_ALONE);
    assert_string_equal(group->authority.holder, "west");
    assert_int_equal(group->authority.epoch, 5);
    assert_int_equal(group->authority.set.count, 1);
    assert_int_not_equal(group->authority.reign, 44);
}

static void test_superblock_beyond_all_copies(void **state)
{
    (void)state;
    tell(WEST, "replica", 6, 66);
    expect_nobody(7);
    tell(WEST, "primary", 6, 66);
    assert_string_equal(expect_kind(CW_REBUILD_ALONE)->authority.holder, "west");
    tell(EAST, "primary", 6, 66); /* two at once: no guess */
    expect_nobody(7);
}

static void test_two_reigns_of_one_epoch(void **state)
{
    struct cw_authority other = row(3, 34, "west", "");
    (void)state;
    tell(WEST, "replica", 3, 34);
    expect_nobody(4);
    tell(WEST, "primary", 3, 34);
    expect_nobody(4);
    tell(WEST, "replica", 3, 33);
    put_group(copies[WEST], 1, "db", &other, 7);
    expect_nobody(4);
}

static void test_asking_is_not_having(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west");
    (void)state;
    tell(WEST, "replica", 3, 33);
    json_object_set_new(json_array_get(engines[WEST], 0), "role", json_string("claiming"));
    json_object_set_new(json_array_get(engines[WEST], 0), "epoch", json_integer(9));
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &three));
}

static void test_never_open(void **state)
{
    static const struct cw_authority never;
    (void)state;
    for (int i = 0; i < 3; i++)
        put_group(copies[i], 1, "db", &never, 0);
    tell(EAST, "replica", 0, 0);
    tell(WEST, "replica", 0, 0);
    assert_int_equal(expect_kind(CW_REBUILD_NEVER)->authority.epoch, 0);
    facts.sites[EAST].is_left_out = true; /* it may have opened it */
    expect_nobody(1);
}

/* ---------------------------------------------------------------- who must answer */

static void test_every_site_must_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        facts.sites[i].is_heard = false;
        expect_refusal("does not answer");
        assert_non_null(strstr(plan->refusal, names[i]));
        assert_non_null(strstr(plan->refusal, "--without"));
        facts.sites[i].is_heard = true;
    }
    expect_kind(CW_REBUILD_KEPT);
}

static void test_every_superblock_must_be_read(void **state)
{
    (void)state;
    facts.sites[WEST].is_engine_heard = false;
    expect_refusal("the engine of west");
    facts.sites[WEST].is_engine_heard = true;
    json_object_set_new(json_array_get(engines[WEST], 0), "role", json_string("attaching"));
    expect_refusal("the engine of west");
    json_array_clear(engines[WEST]);
    expect_refusal("the engine of west");
    facts.sites[WEST].is_left_out = true;
    expect_kind(CW_REBUILD_KEPT);
}

/* Whoever holds it may have taken somebody out of the set since, and is not asked. */
static void test_without_the_holder(void **state)
{
    (void)state;
    facts.sites[EAST].is_heard = false;
    facts.sites[EAST].is_left_out = true;
    expect_nobody(4);
    facts.sites[EAST].is_heard = true; /* what it says does not count all the same */
    expect_nobody(4);
}

static void test_site_of_no_configuration(void **state)
{
    (void)state;
    facts.site_count = 1;
    expect_refusal("also at west");
}

/* ---------------------------------------------------------------- what stands there */

static void test_store_that_is_not_empty(void **state)
{
    struct cw_authority two = row(2, 22, "west", "east"), three = row(3, 33, "east", "west");
    (void)state;
    put_group(store, 1, "db", &two, 4);
    expect_refusal("--replace");
    facts.is_replace = true;
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &three));
    struct cw_authority four =
        row(4, 44, "west", "east"); /* somebody opened by it meanwhile, and has no copy */
    put_group(store, 1, "db", &four, 5);
    expect_nobody(5);
}

/* Its own work of before it was interrupted is no evidence. */
static void test_again_after_an_interruption(void **state)
{
    struct cw_authority nobody = {.epoch = 4}, three = row(3, 33, "east", "west");
    (void)state;
    put_group(store, 1, "db", &nobody, 8);
    json_object_set_new(store, CW_REBUILD_MARK, json_pack("{s:s,s:b}", "site", "west", "replace", 0));
    assert_true(cw_authority_equal(&expect_kind(CW_REBUILD_KEPT)->authority, &three));
    json_object_set_new(store, CW_REBUILD_MARK, json_pack("{s:s,s:s}", "site", "west", "doubt", "why"));
    expect_refusal("--replace");
}

static bool goes(const char *key)
{
    return json_object_get(plan->gone, key) != NULL;
}

/* An older copy of etcd has it, with all that is of it; and its name has been given to another one since. */
static void test_deleted_stays_deleted(void **state)
{
    struct cw_authority old = row(1, 11, "east", "");
    (void)state;
    facts.is_replace = true;
    put_group(copies[WEST], 2, "old", &old, 1);
    put_group(store, 2, "old", &old, 1);
    put_volume(store, 2, 0);
    json_object_set_new(store, "names/old", json_integer(2));
    facts.sites[WEST].revision = 20;
    json_object_set_new(copies[EAST], "meta/next_group", json_integer(3));
    work_out();
    assert_string_equal(plan->refusal, "");
    assert_int_equal(plan->group_count, 1);
    assert_int_equal(json_integer_value(json_object_get(plan->rows, "meta/next_group")), 3);
    assert_true(goes("groups/0000000002") && goes("authority/0000000002") && goes("names/old"));
    assert_true(goes("volumes/0000000002/0000") && goes("places/0000000002/0000/east"));
    assert_int_equal(json_object_size(plan->gone), 5);
    put_group(copies[EAST], 3, "old", &old, 1);
    work_out();
    assert_int_equal(plan->group_count, 2);
    assert_false(goes("names/old"));
    assert_int_equal(json_integer_value(json_object_get(plan->rows, "names/old")), 3);
    assert_int_equal(json_object_size(plan->gone), 4);
}

/* A volume of which the copy that is taken knows as deleted, or one that is later still. */
static void test_deleted_volume_stays_deleted(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west");
    (void)state;
    facts.is_replace = true;
    put_group(store, 1, "db", &three, 7);
    for (int32_t number = 0; number < 4; number++)
        put_volume(store, 1, number);
    put_volume(copies[EAST], 1, 0);
    put_volume(copies[EAST], 1, 2);
    put_group(copies[EAST], 1, "db", &three, 8); /* its copy was written as it changed the set */
    give_away(copies[EAST], 1, 3);
    put_volume(copies[WEST], 1, 0);
    give_away(copies[WEST], 1, 3);
    facts.sites[WEST].revision = 60;
    expect_kind(CW_REBUILD_KEPT);
    assert_non_null(json_object_get(plan->rows, "volumes/0000000001/0000"));
    assert_null(json_object_get(plan->rows, "volumes/0000000001/0002"));
    assert_true(goes("volumes/0000000001/0001") && goes("places/0000000001/0001/east"));
    assert_true(goes("volumes/0000000001/0002") && goes("places/0000000001/0002/east"));
    assert_int_equal(json_object_size(plan->gone), 4); /* of 3 nobody can say that it was deleted */
}

/* What a site tells of a group that is not there is who holds it, and no volumes; and it may be the newest. */
static void test_volumes_of_a_site_that_has_them(void **state)
{
    (void)state;
    put_volume(copies[EAST], 1, 0);
    put_volume(copies[WEST], 1, 0);
    give_away(copies[CENTRAL], 1, 2);
    facts.sites[CENTRAL].revision = 60;
    expect_kind(CW_REBUILD_KEPT);
    assert_non_null(json_object_get(plan->rows, "volumes/0000000001/0000"));
    assert_non_null(json_object_get(plan->rows, "places/0000000001/0000/east"));
    struct cw_store_group group;
    assert_true(cw_row_to_group(json_object_get(plan->rows, "groups/0000000001"), &group));
    assert_int_equal(group.next_volume, 2);
    /* nor does it know of a deletion, if all that knows it is a site without the group */
    json_object_del(copies[CENTRAL], "groups/0000000001");
    expect_kind(CW_REBUILD_KEPT);
}

static void test_nothing_to_rebuild_from(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        facts.sites[i].copy = NULL;
    expect_refusal("nothing to rebuild from");
}

/* ---------------------------------------------------------------- is the store older? */

static enum cw_rebuild_standing standing(void)
{
    char why[640];
    return cw_rebuild_compare(copies[EAST], store, why, sizeof why);
}

static void test_store_is_compared(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west"), two = row(2, 22, "east", "west"),
                        other = row(3, 34, "west", "east"), four = row(4, 44, "west", "");
    (void)state;
    assert_int_equal(standing(), CW_REBUILD_LOST); /* empty */
    put_group(store, 1, "db", &three, 7);
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    put_group(store, 1, "db", &three, 6);
    assert_int_equal(standing(), CW_REBUILD_LOST);
    put_group(store, 1, "db", &two, 9);
    assert_int_equal(standing(), CW_REBUILD_LOST);
    put_group(store, 1, "db", &other, 9);
    assert_int_equal(standing(), CW_REBUILD_LOST);
    put_group(store, 1, "db", &four, 5); /* an older copy, by which somebody has opened since */
    assert_int_equal(standing(), CW_REBUILD_LOST);
    put_group(store, 1, "db", &four, 8);
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_del(store, "groups/0000000001"); /* deleted: its number was given out */
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_set_new(copies[EAST], "meta/rebuilt", json_integer(1));
    assert_int_equal(standing(), CW_REBUILD_LOST);
    json_object_set_new(store, "meta/rebuilt", json_integer(2));
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    put_group(store, 1, "db", &two, 9);
    assert_int_equal(standing(), CW_REBUILD_OLDER);
    json_object_set_new(store, CW_REBUILD_MARK, json_pack("{s:s,s:b}", "site", "west", "replace", 0));
    assert_int_equal(standing(), CW_REBUILD_MARKED);
}

/* Only deletions since: nothing that counts up tells of them. */
static void test_deleted_since(void **state)
{
    struct cw_authority three = row(3, 33, "east", "west");
    struct cw_store_volume going = {.group = 1, .volume = 0, .name = "v", .size = 4096, .is_deleting = true};
    (void)state;
    put_group(store, 1, "db", &three, 7);
    put_volume(store, 1, 0);
    put_volume(copies[EAST], 1, 0);
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_set_new(copies[EAST], "volumes/0000000001/0000", cw_row_from_volume(&going));
    assert_int_equal(standing(), CW_REBUILD_LOST);
    json_object_del(copies[EAST], "volumes/0000000001/0000");
    assert_int_equal(standing(), CW_REBUILD_LOST);
    json_object_set_new(store, "meta/rebuilt", json_integer(1)); /* and so it was decided */
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_del(store, "meta/rebuilt");
    put_volume(copies[EAST], 1, 0);
    put_volume(store, 1, 1); /* made since */
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_del(store, "volumes/0000000001/0000"); /* deleted there */
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    put_group(store, 2, "new", &three, 1);
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
    json_object_set_new(copies[EAST], "meta/next_group", json_integer(3));
    assert_int_equal(standing(), CW_REBUILD_LOST);
    json_object_del(store, "groups/0000000002");
    assert_int_equal(standing(), CW_REBUILD_WHOLE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_as_the_holder_had_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_is_the_holders_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_highest_epoch_of_any_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holder_without_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_superblock_beyond_all_copies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_reigns_of_one_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asking_is_not_having, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_site_must_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_superblock_must_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_the_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_site_of_no_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_that_is_not_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again_after_an_interruption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_stays_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_volume_stays_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volumes_of_a_site_that_has_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_rebuild_from, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_is_compared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_since, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
