/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows in a real etcd that another hand has overwritten: each of them harms its own group only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/etcd_client.h"
#include "control/store.h"
#include "etcd_process.h"

#define PREFIX   "/causeway/test"
#define PATIENCE 600 /* times 100 ms, for what has to happen sooner or later */

static struct etcd_cluster cluster;
static char why[CW_ETCD_WORDS_SIZE];

static struct cw_store *open_store(void)
{
    struct cw_store *store = etcd_open_store(&cluster.address, PREFIX, ETCD_PATIENCE_MS, why, sizeof why);
    if (!store)
        fprintf(stderr, "%s\n", why);
    return store;
}

static uint32_t make_group(struct cw_store *store)
{
    struct cw_store_site east = {.name = "east", .id = 0}, west = {.name = "west", .id = 1};
    struct cw_store_group group = {.site_count = 2, .sites = {"east", "west"}, .first = "east", .name = "db"};
    assert_int_equal(cw_store_site_put(store, &east), CW_OK);
    assert_int_equal(cw_store_site_put(store, &west), CW_OK);
    assert_int_equal(cw_store_group_add(store, &group), CW_OK);
    return group.id;
}

/* The next epoch, from whatever stands. */
static enum cw_status take(struct cw_store *store, uint32_t group, uint64_t *epoch)
{
    struct cw_authority now, next = {.holder = "east"};
    uint64_t counter;
    enum cw_status status = cw_store_authority(store, group, &now, &counter);
    if (status != CW_OK)
        return status;
    next.epoch = next.reign = now.epoch + 1;
    *epoch = next.epoch;
    return cw_store_swap(store, group, &now, &next, false, 0);
}

static int end_cluster(void **state)
{
    etcd_end(&cluster);
    return 0;
}

/* What a shell prints as a row, by another hand; NULL: the row goes. */
static void by_hand(const char *key, const char *print)
{
    const char *at = cluster.address.endpoints[0];
    if (print)
        assert_true(etcd_shell(&cluster,
                               "export ETCDCTL_API=3 && %s | etcdctl --endpoints %s put " PREFIX "/%s", print,
                               at, key));
    else
        assert_true(etcd_shell(&cluster, "export ETCDCTL_API=3 && etcdctl --endpoints %s del " PREFIX "/%s",
                               at, key));
}

static void wait_version(struct cw_store *store, uint64_t not )
{
    for (int i = 0; i < PATIENCE && cw_store_version(store) == not ; i++)
        usleep(100 * 1000);
    assert_int_not_equal(cw_store_version(store), not );
}

static void load_again(struct cw_store *store, struct cw_store_view *view)
{
    wait_version(store, view->version);
    assert_int_equal(cw_store_load(store, view), CW_OK);
}

/* One group with all that it can have, and another one beside it. */
static void make_two_groups(struct cw_store *store)
{
    struct cw_store_group group = {.site_count = 2, .sites = {"east", "west"}, .first = "east", .name = "db"};
    struct cw_store_volume volume = {
        .group = make_group(store), .name = "data", .size = 4096, .block_size = 512};
    struct cw_store_place place = {.group = volume.group, .site = "east", .path = "/data"};
    struct cw_store_attachment attachment = {.group = volume.group, .kind = "nbd", .address = "/data.sock"};
    uint64_t epoch;
    snprintf(group.name, sizeof group.name, "other");
    assert_int_equal(cw_store_group_add(store, &group), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(cw_store_place_put(store, &place), CW_OK);
    assert_int_equal(cw_store_attachment_put(store, &attachment), CW_OK);
    assert_int_equal(take(store, 1, &epoch), CW_OK);
    assert_int_equal(take(store, 2, &epoch), CW_OK);
}

/* What each row that no version of this program wrote leads to. */
static const struct bad_row {
    const char *key, *print;
    bool is_claimed; /* the group's next epoch, all the same */
    bool is_renewed; /* its lease */
} bad_rows[] = {
    {"groups/0000000001", "echo {}", false, true},
    {"groups/0000000001", "echo no json", false, true},
    {"authority/0000000001", "echo []", false, false},
    {"authority/0000000001", "echo '{\"moves\": 1'", false, false},
    {"authority/0000000001",
     "echo '{\"epoch\":-1,\"reign\":\"1\",\"holder\":\"east\",\"first_sequence\":0,\"members\":[],\"fenced_epoch\":0,"
     "\"moves\":99}'",
     false, false},
    {"authority/0000000001", "head -c 300000 /dev/zero | tr '\\0' 7", false, false},
    {"authority/0000000001", "head -c 200000 /dev/zero | tr '\\0' [", false, false},
    {"volumes/0000000001/0000", "echo '{\"group\":1}'", false, true},
    {"volumes/0000000001/0007",
     "echo '{\"group\":1,\"volume\":6,\"name\":\"other\",\"size\":512,\"block_size\":512,\"thin\":false,"
     "\"deleting\":false}'",
     false, true},
    {"places/0000000001/0000/east", "echo 4711", false, true},
    {"places/0000000001/$(head -c 140 /dev/zero | tr '\\0' x)", "echo 1", false, true},
    {"attachments/0000000001/0000/nbd", "echo null", true, true},
    {"requests/0000000001", "echo 5", true, true},
    {"sites/west", "echo '{\"name\":\"west\",\"id\":4711}'", true, true}};

static void check_bad_row(struct cw_store *store, const struct bad_row *bad, struct cw_store_view *view)
{
    struct cw_store_lease leases[2] = {{.group = 1}, {.group = 2}};
    uint64_t epoch, before[2] = {view->groups[0].authority.epoch, view->groups[1].authority.epoch};
    assert_int_equal(view->unreadable_count, 1);
    assert_memory_equal(view->unreadable[0].key, bad->key, 10);
    assert_int_equal(view->unreadable[0].group, strncmp(bad->key, "sites/", 6) == 0 ? 0 : 1);
    assert_int_equal(cw_view_unreadable(view, 1) == NULL,
                     bad->is_claimed && strncmp(bad->key, "requests/", 9) != 0);
    assert_null(cw_view_unreadable(view, 2));
    for (int i = 0; i < 2; i++)
        leases[i].epoch = before[i];
    assert_int_equal(cw_store_renew(store, "east", leases, 2), CW_OK);
    assert_int_equal(leases[0].is_held, !bad->is_renewed);
    assert_false(leases[0].is_lost || leases[1].is_lost || leases[1].is_held);
    assert_int_equal(take(store, 1, &epoch), bad->is_claimed ? CW_OK : CW_IO);
    assert_int_equal(take(store, 2, &epoch), CW_OK);
}

/* Rows by another hand: what was known of the group stays, the row is named, its authority does not move, and
 * all others go on. When the row is put right, so is all. */
static void test_malformed_rows(void **state)
{
    static struct cw_store_view view, before;
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    make_two_groups(store);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    for (size_t i = 0; i < CW_COUNT_OF(bad_rows); i++) {
        const struct bad_row *bad = &bad_rows[i];
        before = view;
        assert_true(etcd_shell(&cluster,
                               "export ETCDCTL_API=3 && etcdctl --endpoints %s get --print-value-only " PREFIX
                               "/%s | head -c -1 >row",
                               cluster.address.endpoints[0], bad->key));
        by_hand(bad->key, bad->print);
        load_again(store, &view);
        assert_int_equal(view.group_count, 2);
        assert_memory_equal(&view.groups[0], &before.groups[0], sizeof view.groups[0]);
        assert_int_equal(view.site_count, before.site_count);
        assert_int_equal(view.volume_count, before.volume_count);
        assert_int_equal(view.place_count, before.place_count);
        assert_int_equal(view.attachment_count, before.attachment_count);
        check_bad_row(store, bad, &view);
        cw_store_close(store);
        store = open_store(); /* one that was not there before */
        assert_int_equal(cw_store_load(store, &before), CW_OK);
        assert_int_equal(before.unreadable_count,
                         strncmp(bad->key, "requests/", 9) != 0); /* went by the claim */
        cw_store_close(store);
        assert_true(etcd_shell(
            &cluster,
            "export ETCDCTL_API=3 && e='etcdctl --endpoints %s' && if [ -s row ]; then $e put " PREFIX
            "/%s -- \"$(cat row)\"; else $e del " PREFIX "/%s; fi",
            cluster.address.endpoints[0], bad->key, bad->key));
        store = open_store();
        assert_int_equal(cw_store_load(store, &view), CW_OK);
        assert_int_equal(view.unreadable_count, 0);
        assert_int_equal(view.group_count, 2);
    }
    cw_store_close(store);
}

/* A count that cannot be read has not gone back. */
static void test_unreadable_counts(void **state)
{
    static struct cw_store_view view;
    uint64_t epoch;
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    make_two_groups(store);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(store, 1, &epoch), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    by_hand("authority/0000000001", "echo garbage");
    load_again(store, &view);
    etcd_kill(&cluster, 0); /* all is read again */
    etcd_start(&cluster, 0);
    enum cw_status status = CW_IO;
    for (int i = 0; i < PATIENCE && status != CW_OK; i++) {
        usleep(100 * 1000);
        status = take(store, 2, &epoch);
    }
    assert_int_equal(status, CW_OK);
    assert_string_equal(cw_store_fault(store), "");
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.unreadable_count, 1);
    cw_store_close(store);
}

/* The number of the next group is garbage, or one that a group has: no group is written over. */
static void test_unreadable_numbers(void **state)
{
    struct cw_store_group group = {.site_count = 1, .sites = {"east"}, .first = "east", .name = "new"};
    static struct cw_store_view view;
    static const char *const values[] = {"echo garbage", "echo -1", "echo 1", NULL};
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    make_two_groups(store);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    for (size_t i = 0; i < CW_COUNT_OF(values); i++) {
        cw_store_close(store);
        by_hand("meta/next_group", values[i]);
        store = open_store();
        assert_int_equal(cw_store_group_add(store, &group), CW_IO);
        assert_int_equal(cw_store_load(store, &view), CW_OK);
        assert_string_equal(view.groups[0].name, "db");
        assert_int_equal(view.group_count, 2);
    }
    cw_store_close(store);
}

/* A key that none of ours looks like is named, and is no group's: which one it means would be a guess. */
static void test_strange_keys(void **state)
{
    static struct cw_store_view view;
    static const char *const keys[] = {"places/00001%00001/0000/east", "volumes/1/0000",
                                       "groups/0000000001x"};
    etcd_make(&cluster, 1, false);
    etcd_start_all(&cluster);
    struct cw_store *store = open_store();
    make_two_groups(store);
    cw_store_close(store);
    for (size_t i = 0; i < CW_COUNT_OF(keys); i++)
        by_hand(keys[i], "echo garbage");
    store = open_store();
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.group_count, 2);
    assert_int_equal(view.unreadable_count, CW_COUNT_OF(keys));
    for (uint32_t i = 0; i < view.unreadable_count; i++)
        assert_int_equal(view.unreadable[i].group, 0);
    cw_store_close(store);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, end_cluster)
    const struct CMUnitTest tests[] = {TEST(test_malformed_rows), TEST(test_unreadable_counts),
                                       TEST(test_unreadable_numbers), TEST(test_strange_keys)};
    if (!etcd_is_there()) {
        printf("skipped: the store in etcd: no etcd, etcdctl or openssl here\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
