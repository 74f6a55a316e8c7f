/* SPDX-License-Identifier: BSD-3-Clause */
/* What is the embedded store's alone: its file replaced, gone back, of an older version, garbage. The
 * contract is tested in test_store_contract.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/numbers.h"
#include "control/store.h"
#include "scratch_file.h"
#include "store_puts.h"

static int make_directory(void **state)
{
    return scratch_make("store");
}

static int remove_directory(void **state)
{
    return scratch_remove();
}

static struct cw_store *open_store(void)
{
    char why[256] = "";
    struct cw_store *store = cw_store_open_file(file, why, sizeof why);
    if (!store)
        fprintf(stderr, "%s\n", why);
    return store;
}

static void test_replaced_file(void **state)
{
    char aside[128];
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    struct cw_store_lease lease = {.group = group, .epoch = 1};
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_OK);
    snprintf(aside, sizeof aside, "%s/aside", directory);
    assert_int_equal(rename(file, aside), 0);
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO);
    assert_int_equal(cw_store_begin(store), CW_IO);
    assert_int_equal(rename(aside, file), 0);
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_OK);
    cw_store_close(store);
}

/* As an older copy of the file under this store would, changes it behind its back. */
static void put_back(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Everything that went back is noticed, by a change, a renewal or a look; and for good. */
static void check_gone_back(const char *back, const char *forth)
{
    struct cw_store *store = open_store(), *later;
    static struct cw_store_view view;
    struct cw_store_lease lease = {.group = 1, .epoch = 1};
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_string_equal(cw_store_fault(store), "");
    put_back(back);
    assert_int_equal(cw_store_renew(store, "east", &lease, 1), CW_IO);
    assert_non_null(strstr(cw_store_fault(store), "went back"));
    put_back(forth);
    assert_int_equal(cw_store_load(store, &view), CW_IO);
    assert_int_equal(cw_store_begin(store), CW_IO);
    later = open_store(); /* who starts later cannot know */
    assert_int_equal(cw_store_renew(later, "east", &lease, 1), CW_OK);
    cw_store_close(later);
    cw_store_close(store);
}

static void test_gone_back(void **state)
{
    struct cw_store *store = open_store();
    struct cw_authority first = {0}, next = {.epoch = 1, .reign = 7, .holder = "east"};
    uint32_t group = put_group(store, "db");
    put_site(store, "east", 0);
    assert_int_equal(group, 1);
    assert_int_equal(cw_store_swap(store, group, &first, &next, false, 0), CW_OK);
    cw_store_close(store);
    check_gone_back("UPDATE meta SET value=value-1 WHERE key='version'",
                    "UPDATE meta SET value=value+1 WHERE key='version'");
    check_gone_back("UPDATE authority SET moves=moves-1", "UPDATE authority SET moves=moves+1");
}

#define PLACES_OF_VERSION_6                                                                                  \
    "ALTER TABLE places DROP COLUMN unseen; ALTER TABLE places DROP COLUMN may_take;"                        \
    "ALTER TABLE places DROP COLUMN refused;"
#define GROUPS_OF_VERSION_5 PLACES_OF_VERSION_6 "ALTER TABLE groups DROP COLUMN home;"
#define GROUPS_OF_VERSION_4                                                                                  \
    GROUPS_OF_VERSION_5                                                                                      \
    "ALTER TABLE groups DROP COLUMN max_loss_bytes; ALTER TABLE groups DROP COLUMN automatic;"               \
    "ALTER TABLE groups DROP COLUMN after_ms; ALTER TABLE authority DROP COLUMN automatic_epoch;"
#define GROUPS_OF_VERSION_3 GROUPS_OF_VERSION_4 "ALTER TABLE groups DROP COLUMN copy_brake_ms;"

#define VOLUMES_OF_VERSION_2                                                                                 \
    "DROP INDEX volume_names; ALTER TABLE volumes RENAME TO newer;"                                          \
    "CREATE TABLE volumes(group_id INTEGER, volume INTEGER, name TEXT NOT NULL, size INTEGER NOT NULL,"      \
    " block_size INTEGER NOT NULL, thin INTEGER NOT NULL, deleting INTEGER NOT NULL DEFAULT 0,"              \
    " PRIMARY KEY(group_id, volume), UNIQUE(group_id, name));"                                               \
    "INSERT INTO volumes SELECT * FROM newer; DROP TABLE newer;"

/* A store of an older version is brought to this one, and keeps what it had. */
static void test_older_schema(void **state)
{
    /* the newest last: a setting has its default from when it was added */
    static const char *const older[] = {GROUPS_OF_VERSION_3 "PRAGMA user_version=3",
                                        GROUPS_OF_VERSION_3 VOLUMES_OF_VERSION_2 "PRAGMA user_version=2",
                                        GROUPS_OF_VERSION_3 VOLUMES_OF_VERSION_2
                                        "ALTER TABLE authority DROP COLUMN moves; PRAGMA user_version=1",
                                        GROUPS_OF_VERSION_4 "PRAGMA user_version=4",
                                        GROUPS_OF_VERSION_5 "PRAGMA user_version=5",
                                        PLACES_OF_VERSION_6 "PRAGMA user_version=6"};
    static struct cw_store_view view;
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    for (uint32_t i = 0; i < CW_COUNT_OF(older); i++) {
        struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
        assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
        cw_store_close(store);
        put_back(older[i]);
        store = open_store();
        assert_non_null(store);
        assert_int_equal(cw_store_load(store, &view), CW_OK);
        assert_int_equal(view.group_count, 1);
        assert_int_equal(view.groups[0].copy_brake_ms, 2000);
        assert_int_equal(view.groups[0].after_ms, CW_STORE_AFTER_MS);
        assert_false(view.groups[0].is_automatic);
        assert_string_equal(view.groups[0].home, "east");
        assert_non_null(cw_view_volume(&view, group, "data"));
        assert_int_equal(cw_store_volume_remove(store, group, volume.volume), CW_OK);
    }
    cw_store_close(store);
}

/* More volumes than a view holds, by whatever hand: the view stays what it was, version and all, so that it
 * is seen to be behind and loaded again, and no step is taken on a half of it. */
static void test_failed_load(void **state)
{
    static struct cw_store_view view, before;
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    before = view;
    put_group(store, "more");
    put_back("WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<5000)"
             " INSERT INTO volumes SELECT 1,i,'v'||i,512,512,0,0 FROM n");
    assert_int_equal(cw_store_load(store, &view), CW_IO);
    assert_memory_equal(&view, &before, sizeof view);
    put_back("DELETE FROM volumes WHERE volume>=100");
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.group_count, 2);
    assert_int_equal(view.volume_count, 1);
    cw_store_close(store);
}

static void test_garbage_file(void **state)
{
    char why[256] = "";
    scratch_garbage();
    assert_null(cw_store_open_file(file, why, sizeof why));
    assert_non_null(strstr(why, file));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {TEST(test_replaced_file), TEST(test_garbage_file),
                                       TEST(test_gone_back), TEST(test_older_schema), TEST(test_failed_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
