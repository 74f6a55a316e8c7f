/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedded store: compare-and-swap by two processes at once, leases, requests, and what is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/numbers.h"
#include "control/store.h"

static char directory[64], file[96];

static int make_directory(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/cw-test-store-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/store.db", directory);
    return 0;
}

static int remove_directory(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[128];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", file, suffixes[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static struct cw_store *open_store(void)
{
    char why[256] = "";
    struct cw_store *store = cw_store_open(file, why, sizeof why);
    if (!store)
        fprintf(stderr, "%s\n", why);
    return store;
}

static void put_site(struct cw_store *store, const char *name, uint32_t id)
{
    struct cw_store_site site = {.id = id};
    snprintf(site.name, sizeof site.name, "%s", name);
    assert_int_equal(cw_store_site_put(store, &site), CW_OK);
}

static uint32_t put_group(struct cw_store *store, const char *name)
{
    struct cw_store_group group = {
        .mode = CW_WORD_SYNC, .site_count = 2, .sites = {"east", "west"}, .first = "east"};
    snprintf(group.name, sizeof group.name, "%s", name);
    assert_int_equal(cw_store_group_add(store, &group), CW_OK);
    return group.id;
}

/* Takes the group `count` times, from whatever stands; every epoch it wrote goes into the pipe. */
static void take_often(const char *site, uint32_t group, uint32_t count, int to)
{
    struct cw_store *store = open_store();
    uint32_t won = 0;
    for (int tries = 0; store && won < count && tries < 100000; tries++) {
        struct cw_authority now, next = {0};
        uint64_t counter;
        if (cw_store_authority(store, group, &now, &counter) != CW_OK)
            continue;
        next.epoch = now.epoch + 1;
        next.reign = (uint64_t)getpid() << 32 | next.epoch;
        snprintf(next.holder, sizeof next.holder, "%s", site);
        if (cw_store_swap(store, group, &now, &next, false, 0) != CW_OK)
            continue;
        won++;
        if (write(to, &next.epoch, sizeof next.epoch) != sizeof next.epoch)
            _exit(2);
    }
    cw_store_close(store);
    _exit(won == count ? 0 : 1);
}

static void test_two_processes(void **state)
{
    enum { EACH = 150 };
    static bool is_seen[2 * EACH + 1];
    struct cw_store *store = open_store();
    put_site(store, "east", 0);
    put_site(store, "west", 1);
    uint32_t group = put_group(store, "contended");
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    pid_t first = fork();
    if (first == 0)
        take_often("east", group, EACH, pipes[1]);
    pid_t second = fork();
    if (second == 0)
        take_often("west", group, EACH, pipes[1]);
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2 * EACH; i++) {
        uint64_t epoch;
        assert_int_equal(read(pipes[0], &epoch, sizeof epoch), sizeof epoch);
        assert_true(epoch >= 1 && epoch <= 2 * EACH);
        assert_false(is_seen[epoch]); /* no epoch was given twice */
        is_seen[epoch] = true;
    }
    close(pipes[0]);
    close(pipes[1]);
    cw_store_close(store);
}

static void test_lease_and_swap(void **state)
{
    struct cw_store *store = open_store();
    struct cw_authority now, next;
    uint64_t counter;
    put_site(store, "east", 0);
    put_site(store, "west", 1);
    uint32_t group = put_group(store, "leased");
    assert_int_equal(cw_store_authority(store, group, &now, &counter), CW_OK);
    next = now;
    next.epoch = 1;
    next.reign = UINT64_MAX; /* more than an SQL integer, on purpose */
    snprintf(next.holder, sizeof next.holder, "east");
    next.set = (struct cw_set){.count = 1, .list = {{.site = "east", .boot_id = "b"}}};
    assert_int_equal(cw_store_swap(store, group, &now, &next, false, 0), CW_OK);
    assert_int_equal(cw_store_swap(store, group, &now, &next, false, 0), CW_STALE);
    assert_int_equal(cw_store_authority(store, group, &now, &counter), CW_OK);
    assert_true(cw_authority_equal(&now, &next));
    /* A renewal moves the counter: a taker that compared the old one is refused. */
    struct cw_store_lease leases[2] = {{.group = group, .epoch = 1}, {.group = group, .epoch = 2}};
    assert_int_equal(cw_store_renew(store, "east", leases, 2), CW_OK);
    assert_false(leases[0].is_lost);
    assert_true(leases[1].is_lost);
    next.epoch = 2;
    snprintf(next.holder, sizeof next.holder, "west");
    assert_int_equal(cw_store_swap(store, group, &now, &next, true, counter), CW_STALE);
    assert_int_equal(cw_store_swap(store, group, &now, &next, true, counter + 1), CW_OK);
    assert_int_equal(cw_store_renew(store, "east", leases, 1), CW_OK);
    assert_true(leases[0].is_lost);
    cw_store_close(store);
}

static void test_requests(void **state)
{
    static struct cw_store_view view;
    struct cw_store *store = open_store();
    put_site(store, "east", 0);
    uint32_t group = put_group(store, "asked");
    struct cw_store_request west = {.taker = "west", .epoch = 0}, north = {.taker = "north", .epoch = 0};
    assert_int_equal(cw_store_request(store, group, &west), CW_OK);
    assert_int_equal(cw_store_request(store, group, &west), CW_OK);
    assert_int_equal(cw_store_request(store, group, &north), CW_STALE);
    west.epoch = 1;
    assert_int_equal(cw_store_request(store, group, &west), CW_STALE);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    const struct cw_store_group *found = cw_view_group(&view, "asked");
    assert_string_equal(found->request.taker, "west");
    assert_int_equal(found->request.heartbeat, 2);
    assert_int_equal(cw_store_request_clear(store, group, "north"), CW_OK);
    assert_int_equal(cw_store_request_clear(store, group, "west"), CW_OK);
    assert_int_equal(cw_store_request(store, group, &north), CW_OK);
    cw_store_close(store);
}

static void test_wanted(void **state)
{
    static struct cw_store_view view;
    struct cw_store *store = open_store();
    uint64_t version = cw_store_version(store);
    uint32_t group = put_group(store, "wanted");
    struct cw_store_group again = {.site_count = 1, .sites = {"east"}, .name = "wanted"};
    struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
    assert_true(cw_store_version(store) > version);
    assert_int_equal(cw_store_group_add(store, &again), CW_EXISTS);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(volume.volume, 0);
    struct cw_store_place place = {
        .group = group, .site = "east", .path = "/x", .base = UINT64_MAX, .is_ours = true};
    assert_int_equal(cw_store_place_put(store, &place), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_non_null(cw_view_volume(&view, group, "data"));
    assert_true(cw_view_place(&view, group, 0, "east")->base == UINT64_MAX);
    /* Undone as one; numbers are not used again. */
    assert_int_equal(cw_store_volume_remove(store, group, 0), CW_OK);
    assert_int_equal(cw_store_begin(store), CW_OK);
    assert_int_equal(cw_store_group_remove(store, group), CW_OK);
    assert_int_equal(cw_store_end(store, false), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(volume.volume, 1);
    cw_store_close(store);
}

/* What a view has no room for is refused, not stored; a group's numbers end, deleted volumes or not. */
static void test_limits(void **state)
{
    static struct cw_store_view view;
    struct cw_store *store = open_store();
    struct cw_store_volume volume = {.size = 4096, .block_size = 512};
    assert_int_equal(cw_store_begin(store), CW_OK);
    for (uint32_t i = 0; i < CW_STORE_GROUPS_MAX; i++) {
        char name[CW_NAME_SIZE];
        snprintf(name, sizeof name, "g%u", i);
        put_group(store, name);
    }
    struct cw_store_group more = {.site_count = 1, .sites = {"east"}, .name = "more"};
    assert_int_equal(cw_store_group_add(store, &more), CW_NO_SPACE);
    for (uint32_t i = 0; i < CW_STORE_VOLUMES_MAX; i++) {
        volume.group = 1 + i / CW_VOLUMES_PER_GROUP_MAX;
        snprintf(volume.name, sizeof volume.name, "v%u", i);
        assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    }
    snprintf(volume.name, sizeof volume.name, "%s", "more");
    assert_int_equal(cw_store_volume_add(store, &volume), CW_NO_SPACE);
    assert_int_equal(cw_store_volume_remove(store, volume.group, 0), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_RANGE);
    volume.group++;
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(cw_store_end(store, true), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.volume_count, CW_STORE_VOLUMES_MAX);
    assert_int_equal(view.group_count, CW_STORE_GROUPS_MAX);
    cw_store_close(store);
}

static void test_facts_and_events(void **state)
{
    struct cw_store *store = open_store();
    json_t *facts = json_pack("{s:i}", "x", 1), *back = NULL;
    uint64_t before, after;
    assert_int_equal(cw_store_facts_put(store, "east", facts), CW_OK);
    assert_int_equal(cw_store_facts(store, "east", &back, &before), CW_OK);
    assert_true(json_equal(facts, back));
    json_decref(back);
    assert_int_equal(cw_store_facts_put(store, "east", facts), CW_OK);
    assert_int_equal(cw_store_facts(store, "east", &back, &after), CW_OK);
    assert_true(after > before);
    json_decref(back);
    json_decref(facts);
    assert_int_equal(cw_store_event_add(store, 1, "east", "db", "it's \"so\""), CW_OK);
    json_t *events = cw_store_events(store, 0, 10);
    assert_int_equal(json_array_size(events), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "text")), "it's \"so\"");
    json_decref(events);
    cw_store_close(store);
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

/* A store of the version before has no count of changes: it gets one. */
static void test_one_lease_for_all(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    uint64_t recorded = 0;
    assert_int_equal(cw_store_agree_lease(one, 5000, &recorded), CW_OK);
    assert_int_equal(recorded, 5000);
    assert_int_equal(cw_store_agree_lease(two, 10000, &recorded), CW_OK);
    assert_int_equal(recorded, 5000);
    cw_store_close(one);
    cw_store_close(two);
}

#define VOLUMES_OF_VERSION_2                                                                                 \
    "DROP INDEX volume_names; ALTER TABLE volumes RENAME TO newer;"                                          \
    "CREATE TABLE volumes(group_id INTEGER, volume INTEGER, name TEXT NOT NULL, size INTEGER NOT NULL,"      \
    " block_size INTEGER NOT NULL, thin INTEGER NOT NULL, deleting INTEGER NOT NULL DEFAULT 0,"              \
    " PRIMARY KEY(group_id, volume), UNIQUE(group_id, name));"                                               \
    "INSERT INTO volumes SELECT * FROM newer; DROP TABLE newer;"

/* A store of an older version is brought to this one, and keeps what it had. */
static void test_older_schema(void **state)
{
    static const char *const older[] = {VOLUMES_OF_VERSION_2 "PRAGMA user_version=2", VOLUMES_OF_VERSION_2
                                        "ALTER TABLE authority DROP COLUMN moves; PRAGMA user_version=1"};
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
        assert_non_null(cw_view_volume(&view, group, "data"));
        assert_int_equal(cw_store_volume_remove(store, group, volume.volume), CW_OK);
    }
    cw_store_close(store);
}

/* The name of a volume that is being deleted is free, and so is no other. */
static void test_name_of_deleted(void **state)
{
    static struct cw_store_view view;
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    struct cw_store_volume old = {.group = group, .name = "data", .size = 4096, .block_size = 512}, new = old;
    assert_int_equal(cw_store_volume_add(store, &old), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &new), CW_EXISTS);
    assert_int_equal(cw_store_volume_deleting(store, group, old.volume), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_null(cw_view_volume(&view, group, "data"));
    assert_int_equal(cw_store_volume_add(store, &new), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.volume_count, 2);
    assert_int_equal(cw_view_volume(&view, group, "data")->volume, new.volume);
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
    put_back("WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<400)"
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
    FILE *to = fopen(file, "we");
    for (int i = 0; i < 5000; i++)
        fputc(i * 7, to);
    fclose(to);
    assert_null(cw_store_open(file, why, sizeof why));
    assert_non_null(strstr(why, file));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(test_two_processes), TEST(test_lease_and_swap),    TEST(test_requests),
        TEST(test_wanted),        TEST(test_facts_and_events),  TEST(test_replaced_file),
        TEST(test_garbage_file),  TEST(test_one_lease_for_all), TEST(test_gone_back),
        TEST(test_older_schema),  TEST(test_name_of_deleted),   TEST(test_failed_load),
        TEST(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
