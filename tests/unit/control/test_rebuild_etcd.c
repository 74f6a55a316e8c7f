/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows put back into a real etcd: all or, with a mark that stops everybody, not yet all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/rebuild.h"
#include "control/rebuild_rows.h"
#include "control/rpc.h"
#include "control/store_etcd_rebuild.h"
#include "control/store_rows.h"
#include "etcd_process.h"

#define PATIENCE 600 /* times 100 ms, for what has to happen sooner or later */
#define GROUPS   40u /* so many that it takes several transactions */

static struct etcd_cluster cluster;
static char why[CW_ETCD_WORDS_SIZE];

static struct cw_store *open_store(const char *prefix)
{
    struct cw_store *store = etcd_open_store(&cluster.address, prefix, ETCD_PATIENCE_MS, why, sizeof why);
    if (!store)
        fail_msg("%s", why);
    return store;
}

static json_t *rows_of(struct cw_store *store)
{
    json_t *rows = NULL;
    uint64_t revision;
    assert_int_equal(cw_etcd_rows(store, &rows, &revision), CW_OK);
    return rows;
}

static struct cw_authority held(uint64_t epoch)
{
    struct cw_authority authority = {.epoch = epoch, .reign = epoch, .holder = "east", .set.count = 1};
    authority.set.list[0] = (struct cw_member){.site = "east", .boot_id = "b", .journal_id = "j"};
    return authority;
}

static json_t *wanted_rows(uint64_t epoch)
{
    json_t *rows = json_pack("{s:i,s:i}", "meta/next_group", (int)GROUPS + 1, "meta/rebuilt", 1);
    struct cw_authority authority = held(epoch);
    for (uint32_t id = 1; id <= GROUPS; id++) {
        char key[CW_ROW_KEY_SIZE];
        struct cw_store_group group = {.id = id, .site_count = 2, .sites = {"east", "west"}, .home = "east"};
        snprintf(group.name, sizeof group.name, "g%u", id);
        json_object_set_new(rows, cw_key_group(key, "groups", id), cw_row_from_group(&group));
        json_object_set_new(rows, cw_key_group(key, "authority", id), cw_row_from_authority(&authority, 5));
        json_object_set_new(rows, cw_key_name(key, "names", group.name), json_integer(id));
    }
    return rows;
}

static enum cw_status rebuild(struct cw_store *store, uint64_t id, json_t *rows, const json_t *seen,
                              bool replace)
{
    const struct cw_etcd_rebuild how = {
        .site = "east", .id = id, .rows = rows, .seen = seen, .is_replace = replace, .may_replace = replace};
    enum cw_status status = cw_etcd_rebuild(store, &how);
    json_decref(rows);
    return status;
}

/* With all that is of a group, in the place of what `gone` names. */
static enum cw_status replace(struct cw_store *store, uint64_t id, const json_t *seen, json_t *gone)
{
    json_t *rows = wanted_rows(9);
    const char *key;
    json_t *value;
    json_object_foreach(gone, key, value) json_object_del(rows, key);
    const struct cw_etcd_rebuild how = {.site = "east",
                                        .id = id,
                                        .rows = rows,
                                        .gone = gone,
                                        .seen = seen,
                                        .is_replace = true,
                                        .may_replace = true};
    enum cw_status status = cw_etcd_rebuild(store, &how);
    json_decref(rows);
    return status;
}

/* All rows of a group; new reference. */
static json_t *rows_of_group(const json_t *seen, uint32_t group)
{
    char name[CW_ROW_KEY_SIZE], own[16];
    json_t *rows = json_object(), *value;
    const char *key;
    snprintf(own, sizeof own, "g%u", group);
    json_object_foreach((json_t *)seen, key, value)
    {
        if (cw_rebuild_key_group(key) == group || strcmp(key, cw_key_name(name, "names", own)) == 0)
            json_object_set(rows, key, value);
    }
    return rows;
}

static enum cw_status claim(struct cw_store *store, uint32_t group)
{
    struct cw_authority now, next;
    uint64_t counter;
    enum cw_status status = cw_store_authority(store, group, &now, &counter);
    if (status != CW_OK)
        return status;
    next = held(now.epoch + 1);
    return cw_store_swap(store, group, &now, &next, false, 0);
}

/* Until what this store reads has the mark, or has not. */
static void wait_mark(struct cw_store *store, bool is_there)
{
    for (int i = 0; i < PATIENCE; i++) {
        json_t *rows = rows_of(store);
        bool is = json_object_get(rows, CW_REBUILD_MARK) != NULL;
        json_decref(rows);
        if (is == is_there)
            return;
        usleep(100 * 1000);
    }
    fail_msg("the mark %s", is_there ? "did not come" : "stays");
}

static void test_empty_store(void **state)
{
    struct cw_store *store = open_store("/causeway/empty");
    struct cw_store_view *view = cw_view_new();
    json_t *seen = rows_of(store);
    (void)state;
    assert_int_equal(rebuild(store, 1, wanted_rows(3), seen, false), CW_OK);
    wait_mark(store, false);
    assert_int_equal(cw_store_load(store, view), CW_OK);
    assert_int_equal(view->group_count, GROUPS);
    struct cw_authority three = held(3);
    for (uint32_t i = 0; i < GROUPS; i++)
        assert_true(cw_authority_equal(&view->groups[i].authority, &three));
    assert_int_equal(claim(store, 1), CW_OK); /* and it is a store as any other */
    assert_int_equal(rebuild(store, 2, wanted_rows(9), seen, false), CW_EXISTS);
    assert_int_equal(claim(store, 1), CW_IO); /* that one stopped in the middle, and another one goes on */
    json_decref(seen);
    seen = rows_of(store);
    assert_int_equal(rebuild(store, 3, wanted_rows(9), seen, true), CW_OK);
    wait_mark(store, false);
    assert_int_equal(claim(store, 1), CW_OK);
    json_decref(seen);
    free(view);
    cw_store_close(store);
}

/* What somebody changes after it was looked at is not overwritten. */
static void test_replaced_as_it_was_seen(void **state)
{
    struct cw_store *store = open_store("/causeway/old"), *other = open_store("/causeway/old");
    json_t *empty = rows_of(store);
    (void)state;
    assert_int_equal(rebuild(store, 1, wanted_rows(3), empty, false), CW_OK);
    wait_mark(other, false);
    json_t *seen = rows_of(store);
    assert_int_equal(claim(store, 7), CW_OK);
    assert_int_equal(rebuild(store, 2, wanted_rows(9), seen, true), CW_STALE);
    json_decref(seen);
    seen = rows_of(store);
    assert_int_equal(rebuild(store, 3, wanted_rows(9), seen, true), CW_OK);
    wait_mark(store, false);
    assert_int_equal(claim(store, 7), CW_OK);
    json_decref(seen);
    json_decref(empty);
    cw_store_close(store);
    cw_store_close(other);
}

static uint32_t groups_there(struct cw_store *store)
{
    struct cw_store_view *view = cw_view_new();
    assert_int_equal(cw_store_load(store, view), CW_OK);
    uint32_t count = view->group_count;
    assert_int_equal(view->volume_count + view->place_count, 0);
    free(view);
    return count;
}

/* What was deleted goes, as it was seen, with what somebody asks of it, and with the lease on it. */
static void test_removed_as_it_was_seen(void **state)
{
    struct cw_store *store = open_store("/causeway/gone");
    const struct cw_store_request request = {.taker = "west", .epoch = 3};
    struct cw_store_lease leases[2] = {{.group = 7, .epoch = 3}, {.group = 8, .epoch = 9}};
    struct cw_store_volume volume = {.group = 8, .name = "v", .size = 4096, .block_size = 512};
    struct cw_store_place place = {.group = 8, .site = "east", .path = "/v"};
    const struct cw_store_site east = {.name = "east", .id = 1};
    json_t *empty = rows_of(store);
    (void)state;
    assert_int_equal(rebuild(store, 1, wanted_rows(3), empty, false), CW_OK);
    wait_mark(store, false);
    assert_int_equal(cw_store_site_put(store, &east), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(cw_store_place_put(store, &place), CW_OK);
    assert_int_equal(cw_store_request(store, 7, &request), CW_OK);
    json_t *seen = rows_of(store), *gone = rows_of_group(seen, 7);
    assert_int_equal(json_object_size(gone), 3);
    json_object_set(gone, "volumes/0000000008/0000", json_object_get(seen, "volumes/0000000008/0000"));
    json_object_set(gone, "places/0000000008/0000/east",
                    json_object_get(seen, "places/0000000008/0000/east"));
    assert_int_equal(json_object_size(gone), 5);
    assert_int_equal(claim(store, 7), CW_OK);
    assert_int_equal(replace(store, 2, seen, gone), CW_STALE);
    json_decref(seen);
    json_decref(gone);
    seen = rows_of(store);
    gone = rows_of_group(seen, 7);
    json_object_set(gone, "volumes/0000000008/0000", json_object_get(seen, "volumes/0000000008/0000"));
    json_object_set(gone, "places/0000000008/0000/east",
                    json_object_get(seen, "places/0000000008/0000/east"));
    assert_int_equal(replace(store, 3, seen, gone), CW_OK);
    wait_mark(store, false);
    assert_int_equal(groups_there(store), GROUPS - 1);
    assert_int_equal(claim(store, 7), CW_NOT_FOUND);
    assert_int_equal(cw_store_renew(store, "east", leases, 2), CW_OK);
    assert_true(leases[0].is_lost && !leases[1].is_lost);
    json_decref(seen);
    json_decref(gone);
    json_decref(empty);
    cw_store_close(store);
}

/* While a doubt stands nobody claims; a rebuild takes it away. */
static void test_doubt(void **state)
{
    struct cw_store *store = open_store("/causeway/doubt"), *other = open_store("/causeway/doubt");
    json_t *empty = rows_of(store);
    (void)state;
    assert_int_equal(rebuild(store, 1, wanted_rows(3), empty, false), CW_OK);
    assert_int_equal(cw_etcd_doubt(other, "central", "it remembers more"), CW_OK);
    assert_int_not_equal(claim(store, 1), CW_OK); /* also when its watch has not told of the doubt yet */
    wait_mark(store, true);
    assert_int_equal(claim(store, 1), CW_IO);
    json_t *seen = rows_of(store);
    assert_int_equal(rebuild(store, 2, wanted_rows(4), seen, true), CW_OK);
    wait_mark(store, false);
    assert_int_equal(claim(store, 1), CW_OK);
    json_decref(seen);
    json_decref(empty);
    cw_store_close(store);
    cw_store_close(other);
}

static int start(void **state)
{
    (void)state;
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    etcd_end(&cluster);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_store), cmocka_unit_test(test_replaced_as_it_was_seen),
        cmocka_unit_test(test_removed_as_it_was_seen), cmocka_unit_test(test_doubt)};
    if (!etcd_is_there()) {
        printf("SKIP: no etcd\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
