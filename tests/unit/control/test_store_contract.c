/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of the store, the same for every implementation: test_store_contract file | etcd. For etcd it
 * starts a member of its own; every test has its own prefix there.
 */
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

#include "base/numbers.h"
#include "control/store.h"
#include "etcd_process.h"
#include "scratch_file.h"
#include "store_puts.h"

static char prefix[64];
static bool is_etcd;
static struct etcd_cluster cluster;
static struct cw_store_view view;

static int make_place(void **state)
{
    static int count;
    snprintf(prefix, sizeof prefix, "/causeway/test%d", ++count);
    return scratch_make("store");
}

static int remove_place(void **state)
{
    return scratch_remove();
}

static struct cw_store *open_store(void)
{
    char why[512] = "";
    struct cw_store *store =
        is_etcd ? etcd_open_store(&cluster.address, prefix, ETCD_PATIENCE_MS, why, sizeof why)
                : cw_store_open_file(file, why, sizeof why);
    if (!store)
        fprintf(stderr, "%s\n", why);
    return store;
}

/* Until it sees what another one wrote: of etcd each has a copy, that follows. */
static void catch_up(struct cw_store *store, const struct cw_store *like)
{
    for (int i = 0; i < 3000 && cw_store_version(store) < cw_store_version((struct cw_store *)like); i++)
        usleep(10 * 1000);
    assert_true(cw_store_version(store) >= cw_store_version((struct cw_store *)like));
}

/* Takes the group `count` times, from whatever stands; every epoch it wrote goes into the pipe. */
static void take_often(const char *site, uint32_t count, int from, int to)
{
    uint32_t group;
    if (read(from, &group, sizeof group) != sizeof group)
        _exit(3);
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
    enum { EACH = 100 };
    static bool is_seen[2 * EACH + 1];
    int pipes[2], go[2], status;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(go), 0);
    pid_t first = fork(); /* before any thread is there */
    if (first == 0)
        take_often("east", EACH, go[0], pipes[1]);
    pid_t second = fork();
    if (second == 0)
        take_often("west", EACH, go[0], pipes[1]);
    struct cw_store *store = open_store();
    assert_non_null(store);
    put_site(store, "east", 0);
    put_site(store, "west", 1);
    uint32_t group = put_group(store, "contended");
    assert_int_equal(write(go[1], &group, sizeof group), sizeof group);
    assert_int_equal(write(go[1], &group, sizeof group), sizeof group);
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
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(go[i]);
    }
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
    struct cw_store_request seen = found->request;
    seen.heartbeat--;
    assert_int_equal(cw_store_request_drop(store, group, &seen), CW_STALE);
    seen = found->request;
    snprintf(seen.taker, sizeof seen.taker, "north");
    assert_int_equal(cw_store_request_drop(store, group, &seen), CW_STALE);
    seen = found->request;
    west.epoch = 0;
    assert_int_equal(cw_store_request(store, group, &west), CW_OK); /* it has moved since */
    assert_int_equal(cw_store_request_drop(store, group, &seen), CW_STALE);
    seen.heartbeat++;
    assert_int_equal(cw_store_request_drop(store, group, &seen), CW_OK);
    assert_int_equal(cw_store_request_drop(store, group, &seen), CW_STALE);
    assert_int_equal(cw_store_request(store, group, &west), CW_OK);
    assert_int_equal(cw_store_request_clear(store, group, "north"), CW_OK);
    assert_int_equal(cw_store_request_clear(store, group, "west"), CW_OK);
    assert_int_equal(cw_store_request(store, group, &north), CW_OK);
    cw_store_close(store);
}

static void test_wanted(void **state)
{
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

/* Makes what has these numbers, 20 in a transaction. On a busy machine etcd may not answer in time and have
 * done it all the same: then all of them are there at the next try. */
static void make_in_bunches(struct cw_store *store, uint32_t count,
                            enum cw_status (*make)(struct cw_store *store, uint32_t number))
{
    for (uint32_t from = 0; from < count; from += 20) {
        enum cw_status status = CW_IO;
        for (int tries = 0; tries < 100 && status != CW_OK; tries++) {
            status = cw_store_begin(store);
            for (uint32_t i = from; i < from + 20 && i < count && status == CW_OK; i++) {
                enum cw_status made = make(store, i);
                assert_true(made == CW_OK || (made == CW_EXISTS && tries > 0));
            }
            status = status == CW_OK ? cw_store_end(store, true) : status;
            if (status != CW_OK)
                usleep(50 * 1000);
        }
        assert_int_equal(status, CW_OK);
    }
}

static enum cw_status make_numbered_group(struct cw_store *store, uint32_t number)
{
    struct cw_store_group group = {.site_count = 2, .sites = {"east", "west"}, .first = "east"};
    snprintf(group.name, sizeof group.name, "g%u", number);
    return cw_store_group_add(store, &group);
}

static enum cw_status make_numbered_volume(struct cw_store *store, uint32_t number)
{
    struct cw_store_volume volume = {
        .group = 1 + number / CW_VOLUMES_PER_GROUP_MAX, .size = 4096, .block_size = 512};
    snprintf(volume.name, sizeof volume.name, "v%u", number);
    return cw_store_volume_add(store, &volume);
}

static enum cw_status make_numbered_site(struct cw_store *store, uint32_t number)
{
    struct cw_store_site site = {.id = number % CW_SET_MAX};
    snprintf(site.name, sizeof site.name, "s%u", number);
    return cw_store_site_put(store, &site);
}

/* In a full view each is found, and what is not there is not. */
static void check_finding(void)
{
    for (uint32_t i = 0; i < view.group_count; i++)
        assert_ptr_equal(cw_view_group_by_id(&view, view.groups[i].id), &view.groups[i]);
    for (uint32_t i = 0; i < view.volume_count; i++) {
        const struct cw_store_volume *volume = &view.volumes[i];
        assert_ptr_equal(cw_view_volume_by_id(&view, volume->group, volume->volume), volume);
        assert_ptr_equal(cw_view_volume(&view, volume->group, volume->name), volume);
        assert_null(cw_view_volume_by_id(&view, volume->group + 1000, volume->volume));
    }
    assert_null(cw_view_group_by_id(&view, 0));
    assert_null(cw_view_group_by_id(&view, UINT32_MAX));
}

/* What a view has no room for is refused, not stored; a group's numbers end, deleted volumes or not. */
static void test_limits(void **state)
{
    struct cw_store *store = open_store();
    struct cw_store_volume volume = {
        .group = CW_STORE_VOLUMES_MAX / CW_VOLUMES_PER_GROUP_MAX, .size = 4096, .block_size = 512};
    static_assert(CW_STORE_VOLUMES_MAX % CW_VOLUMES_PER_GROUP_MAX == 0,
                  "the last of these groups has all numbers");
    make_in_bunches(store, CW_STORE_GROUPS_MAX, make_numbered_group);
    struct cw_store_group more = {.site_count = 1, .sites = {"east"}, .name = "more"};
    assert_int_equal(cw_store_group_add(store, &more), CW_NO_SPACE);
    make_in_bunches(store, CW_STORE_VOLUMES_MAX, make_numbered_volume);
    snprintf(volume.name, sizeof volume.name, "%s", "more");
    assert_int_equal(cw_store_volume_add(store, &volume), CW_NO_SPACE);
    assert_int_equal(cw_store_volume_remove(store, volume.group, 0), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &volume), CW_RANGE);
    volume.group++;
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.volume_count, CW_STORE_VOLUMES_MAX);
    assert_int_equal(view.group_count, CW_STORE_GROUPS_MAX);
    check_finding();
    cw_store_close(store);
}

/* As many sites as there can be, with the numbers of a few: but no two in one group have the same. In the
 * embedded store each has its own. */
static void test_many_sites(void **state)
{
    struct cw_store *store = open_store();
    uint32_t count = is_etcd ? CW_STORE_SITES_MAX : CW_SET_MAX;
    char name[CW_NAME_SIZE];
    make_in_bunches(store, count, make_numbered_site);
    struct cw_store_site more = {.name = "more"};
    assert_int_equal(cw_store_site_put(store, &more), is_etcd ? CW_NO_SPACE : CW_EXISTS);
    put_site(store, "s1", 1); /* it is there */
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.site_count, count);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(cw_view_site(&view, name)->id, i % CW_SET_MAX);
    }
    if (is_etcd) {
        struct cw_store_group both = {.site_count = 2, .sites = {"s1", "s9"}, .first = "s1", .name = "both"};
        assert_int_equal(cw_store_group_add(store, &both), CW_INVALID);
        snprintf(both.sites[1], sizeof both.sites[1], "s10");
        assert_int_equal(cw_store_group_add(store, &both), CW_OK);
        struct cw_store_site same = {.id = 1, .name = "s10"};
        assert_int_equal(cw_store_site_put(store, &same), CW_EXISTS);
        same.id = 3;
        assert_int_equal(cw_store_site_put(store, &same), CW_OK);
    }
    cw_store_close(store);
}

/* Loads until there are so many: the store's own copy hears of a change that it has made within half a second, or later. */
static void load_volumes(struct cw_store *store, uint32_t count)
{
    view.volume_count = 0;
    for (int i = 0; i < 200 && view.volume_count != count; i++) {
        if (i > 0)
            usleep(100 * 1000);
        assert_int_equal(cw_store_load(store, &view), CW_OK);
    }
    assert_int_equal(view.volume_count, count);
}

/* The name of a volume that is being deleted is free, and so is no other. */
static void test_name_of_deleted(void **state)
{
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    struct cw_store_volume old = {.group = group, .name = "data", .size = 4096, .block_size = 512}, new = old;
    assert_int_equal(cw_store_volume_add(store, &old), CW_OK);
    assert_int_equal(cw_store_volume_add(store, &new), CW_EXISTS);
    assert_int_equal(cw_store_volume_deleting(store, group, old.volume), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_null(cw_view_volume(&view, group, "data"));
    assert_int_equal(cw_store_volume_add(store, &new), CW_OK);
    load_volumes(store, 2);
    assert_int_equal(cw_view_volume(&view, group, "data")->volume, new.volume);
    cw_store_close(store);
}

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

/* Another store is seen to move, whichever of the two did it; leases do not move it. */
static void test_version(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    struct cw_authority none = {0}, held = {.epoch = 1, .reign = 5, .holder = "east"};
    put_site(one, "east", 0);
    uint32_t group = put_group(one, "db");
    catch_up(two, one);
    assert_int_equal(cw_store_load(two, &view), CW_OK);
    assert_int_equal(view.version, cw_store_version(two));
    assert_non_null(cw_view_group(&view, "db"));
    assert_int_equal(cw_store_swap(one, group, &none, &held, false, 0), CW_OK);
    catch_up(two, one);
    assert_true(cw_store_version(two) > view.version);
    uint64_t before = cw_store_version(one);
    struct cw_store_lease lease = {.group = group, .epoch = 1};
    assert_int_equal(cw_store_renew(one, "east", &lease, 1), CW_OK);
    assert_false(lease.is_lost);
    assert_int_equal(cw_store_version(one), before);
    cw_store_close(two);
    cw_store_close(one);
}

/* Two stores, the second with an older view of things: whatever rests on what has moved is stale, and nothing
 * of it is written. */
static void test_stale(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    struct cw_authority none = {0}, east = {.epoch = 1, .reign = 5, .holder = "east"}, now,
                        west = {.epoch = 2, .reign = 6, .holder = "west"};
    uint64_t counter;
    put_site(one, "east", 0);
    put_site(one, "west", 1);
    uint32_t group = put_group(one, "db");
    catch_up(two, one);
    assert_int_equal(cw_store_swap(one, group, &none, &east, false, 0), CW_OK);
    assert_int_equal(cw_store_swap(two, group, &none, &west, false, 0), CW_STALE); /* the row */
    struct cw_store_lease lease = {.group = group, .epoch = 1};
    assert_int_equal(cw_store_renew(one, "east", &lease, 1), CW_OK);
    assert_int_equal(cw_store_swap(two, group, &east, &west, true, 0), CW_STALE); /* the counter */
    struct cw_store_request request = {.taker = "west", .epoch = 0};
    assert_int_equal(cw_store_request(two, group, &request), CW_STALE); /* the epoch */
    request.epoch = 1;
    assert_int_equal(cw_store_request(two, group, &request), CW_OK);
    snprintf(request.taker, sizeof request.taker, "north");
    assert_int_equal(cw_store_request(one, group, &request), CW_STALE); /* somebody else asks */
    assert_int_equal(cw_store_swap(two, group, &east, &west, true, 1), CW_OK);
    lease = (struct cw_store_lease){.group = group, .epoch = 1};
    assert_int_equal(cw_store_renew(one, "east", &lease, 1), CW_OK);
    assert_true(lease.is_lost);
    assert_int_equal(cw_store_lease_counter(one, "east", &counter), CW_OK);
    assert_int_equal(counter, 1); /* nothing was renewed, and nothing moved */
    assert_int_equal(cw_store_authority(one, group, &now, &counter), CW_OK);
    assert_true(cw_authority_equal(&now, &west));
    assert_int_equal(cw_store_load(one, &view), CW_OK);
    assert_string_equal(cw_view_group(&view, "db")->request.taker, ""); /* the next epoch ended it */
    cw_store_close(two);
    cw_store_close(one);
}

/* A lease that was taken by another controller's hand is not told lost from what this one has not heard yet.
 */
static void test_lease_of_a_moment_ago(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    put_site(one, "east", 0);
    uint32_t group = put_group(one, "db");
    struct cw_authority now = {0};
    for (uint64_t epoch = 1; epoch <= 50; epoch++) {
        struct cw_authority next = {.epoch = epoch, .reign = epoch, .holder = "east"};
        struct cw_store_lease lease = {.group = group, .epoch = epoch};
        assert_int_equal(cw_store_swap(one, group, &now, &next, false, 0), CW_OK);
        assert_int_equal(cw_store_renew(two, "east", &lease, 1), CW_OK);
        assert_false(lease.is_lost);
        now = next;
    }
    cw_store_close(two);
    cw_store_close(one);
}

/* What was begun is there in whole or not at all, here and for others. */
static void test_all_or_nothing(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    uint32_t group = put_group(one, "db");
    struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(cw_store_begin(one), CW_OK);
        assert_int_equal(cw_store_volume_add(one, &volume), CW_OK);
        struct cw_store_place place = {.group = group, .volume = volume.volume, .site = "east", .path = "/a"};
        assert_int_equal(cw_store_place_put(one, &place), CW_OK);
        snprintf(place.site, sizeof place.site, "west");
        assert_int_equal(cw_store_place_put(one, &place), CW_OK);
        assert_int_equal(cw_store_end(one, round == 1), CW_OK);
        catch_up(two, one);
        assert_int_equal(cw_store_load(two, &view), CW_OK);
        assert_int_equal(view.volume_count, round);
        assert_int_equal(view.place_count, 2 * round);
    }
    cw_store_close(two);
    cw_store_close(one);
}

static void test_places_and_attachments(void **state)
{
    struct cw_store *store = open_store();
    uint32_t group = put_group(store, "db");
    struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
    assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
    struct cw_store_place journal = {
        .group = group, .volume = CW_STORE_JOURNAL, .site = "east", .path = "/j"};
    struct cw_store_place place = {.group = group,
                                   .site = "east",
                                   .path = "/p",
                                   .error = "no room",
                                   .is_unseen = true,
                                   .may_take = true,
                                   .is_refused = true};
    assert_int_equal(cw_store_place_put(store, &journal), CW_OK);
    assert_int_equal(cw_store_place_put(store, &place), CW_OK);
    snprintf(place.path, sizeof place.path, "/j");
    assert_int_equal(cw_store_place_put(store, &place), CW_EXISTS); /* one path, one use */
    snprintf(place.site, sizeof place.site, "west");
    assert_int_equal(cw_store_place_put(store, &place), CW_OK); /* of a site */
    struct cw_store_attachment nbd = {.group = group, .kind = "nbd", .address = "/run/x"};
    assert_int_equal(cw_store_attachment_put(store, &nbd), CW_OK);
    snprintf(nbd.address, sizeof nbd.address, "/run/y");
    assert_int_equal(cw_store_attachment_put(store, &nbd), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.place_count, 3);
    assert_int_equal(view.attachment_count, 1);
    assert_string_equal(view.attachments[0].address, "/run/y");
    assert_string_equal(cw_view_place_error(&view, group, "east"), "no room");
    assert_int_equal(cw_store_attachment_remove(store, group, 0, "nbd-tls"), CW_NOT_FOUND);
    assert_int_equal(cw_store_volume_deleting(store, group, 0), CW_OK); /* frees its addresses */
    assert_int_equal(cw_store_attachment_remove(store, group, 0, "nbd"), CW_NOT_FOUND);
    assert_int_equal(cw_store_place_remove(store, group, 0, "east"), CW_OK);
    assert_int_equal(cw_store_volume_remove(store, group, 0), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_int_equal(view.place_count, 1);
    assert_int_equal(view.volume_count, 0);
    cw_store_close(store);
}

/* Numbers are never used again, whatever is deleted, by whichever store. */
static void test_numbers(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    uint32_t last = 0;
    for (int round = 0; round < 6; round++) {
        struct cw_store *store = round % 2 ? two : one;
        uint32_t group = put_group(store, "db");
        assert_true(group > last);
        last = group;
        for (int32_t number = 0; number < 3; number++) {
            struct cw_store_volume volume = {.group = group, .name = "data", .size = 4096, .block_size = 512};
            assert_int_equal(cw_store_volume_add(store, &volume), CW_OK);
            assert_int_equal(volume.volume, number);
            assert_int_equal(cw_store_volume_remove(store, group, number), CW_OK);
        }
        assert_int_equal(cw_store_group_remove(store, group), CW_OK);
        catch_up(round % 2 ? one : two, store);
    }
    cw_store_close(two);
    cw_store_close(one);
}

static void test_settings(void **state)
{
    struct cw_store *store = open_store();
    put_site(store, "west", 1);
    put_site(store, "east", 0);
    uint32_t id = put_group(store, "db");
    struct cw_store_site thief = {.id = 1, .name = "east"};
    assert_int_equal(cw_store_site_put(store, &thief), CW_EXISTS);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    assert_string_equal(view.sites[0].name, "east"); /* by number */
    struct cw_store_group group = *cw_view_group_by_id(&view, id);
    assert_string_equal(group.first, "east");
    group.mode = CW_WORD_ASYNC;
    group.min_in_sync = 1;
    group.max_loss_ms = 7;
    group.copy_brake_ms = 8;
    group.max_loss_bytes = 9;
    group.is_automatic = true;
    group.after_ms = 10;
    assert_string_equal(group.home, "east");
    snprintf(group.home, sizeof group.home, "west");
    assert_int_equal(cw_store_group_update(store, &group), CW_OK);
    assert_int_equal(cw_store_load(store, &view), CW_OK);
    const struct cw_store_group *now = cw_view_group_by_id(&view, id);
    assert_int_equal(now->mode, CW_WORD_ASYNC);
    assert_int_equal(now->min_in_sync, 1);
    assert_int_equal(now->max_loss_ms, 7);
    assert_int_equal(now->copy_brake_ms, 8);
    assert_int_equal(now->max_loss_bytes, 9);
    assert_true(now->is_automatic);
    assert_int_equal(now->after_ms, 10);
    assert_string_equal(now->home, "west");
    assert_false(now->is_deleting);
    cw_store_close(store);
}

/* Who read a row to change a part of it writes over nobody else's change; and a group that goes does not come
 * back by that. */
static void test_settings_of_two(void **state)
{
    struct cw_store *one = open_store(), *two = open_store();
    struct cw_store_group mine, other;
    uint32_t id = put_group(one, "db");
    struct cw_store_volume volume = {.group = id, .name = "data", .size = 4096, .block_size = 512};
    catch_up(two, one);
    assert_int_equal(cw_store_group_read(two, id, &other), CW_OK);
    other.after_ms = 7777;
    if (is_etcd) { /* the embedded one lets nobody in between */
        assert_int_equal(cw_store_begin(one), CW_OK);
        assert_int_equal(cw_store_group_read(one, id, &mine), CW_OK);
        assert_int_equal(cw_store_group_update(two, &other), CW_OK);
        mine.min_in_sync = 1;
        assert_int_equal(cw_store_group_update(one, &mine), CW_OK);
        assert_int_equal(cw_store_end(one, true), CW_STALE);
    } else {
        assert_int_equal(cw_store_group_update(two, &other), CW_OK);
    }
    catch_up(one, two);
    assert_int_equal(cw_store_group_read(one, id, &mine), CW_OK);
    assert_int_equal(mine.after_ms, 7777);
    assert_int_equal(mine.min_in_sync, 0);
    assert_int_equal(cw_store_volume_add(one, &volume), CW_OK);
    assert_int_equal(cw_store_group_deleting(one, id), CW_EXISTS);
    assert_int_equal(cw_store_volume_remove(one, id, 0), CW_OK);
    assert_int_equal(cw_store_group_deleting(one, id), CW_OK);
    assert_int_equal(cw_store_volume_add(one, &volume), CW_NOT_FOUND);
    assert_int_equal(cw_store_group_update(one, &mine), CW_OK);
    assert_int_equal(cw_store_group_read(one, id, &mine), CW_OK);
    assert_true(mine.is_deleting);
    assert_int_equal(cw_store_group_remove(one, id), CW_OK);
    assert_int_equal(cw_store_group_read(one, id, &mine), CW_NOT_FOUND);
    cw_store_close(two);
    cw_store_close(one);
}

/* Members, fence and handover come back as they went in. */
static void test_authority_in_whole(void **state)
{
    struct cw_store *store = open_store();
    struct cw_authority none = {0}, now,
                        next = {.epoch = 3,
                                .reign = UINT64_MAX,
                                .holder = "east",
                                .first_sequence = 77,
                                .fenced_epoch = 3,
                                .set = {.count = 2,
                                        .list = {{.site = "east", .boot_id = "b", .journal_id = "j"},
                                                 {.site = "west",
                                                  .boot_id = "c",
                                                  .journal_id = "k",
                                                  .process_start = "p",
                                                  .in_memory = true}}},
                                .handover = {.site = "west", .boot_id = "c", .journal_id = "k"},
                                .automatic_epoch = 3};
    uint64_t counter = 9;
    uint32_t group = put_group(store, "db");
    assert_int_equal(cw_store_authority(store, group + 1, &now, &counter), CW_NOT_FOUND);
    assert_int_equal(cw_store_swap(store, group + 1, &none, &next, false, 0), CW_NOT_FOUND);
    assert_int_equal(cw_store_swap(store, group, &none, &next, false, 0), CW_OK);
    assert_int_equal(cw_store_authority(store, group, &now, &counter), CW_OK);
    assert_true(cw_authority_equal(&now, &next));
    assert_true(now.set.list[1].in_memory);
    assert_int_equal(counter, 0);
    assert_string_equal(cw_store_fault(store), "");
    cw_store_close(store);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)
    const struct CMUnitTest tests[] = {TEST(test_two_processes),
                                       TEST(test_lease_and_swap),
                                       TEST(test_requests),
                                       TEST(test_wanted),
                                       TEST(test_limits),
                                       TEST(test_many_sites),
                                       TEST(test_name_of_deleted),
                                       TEST(test_one_lease_for_all),
                                       TEST(test_version),
                                       TEST(test_stale),
                                       TEST(test_lease_of_a_moment_ago),
                                       TEST(test_all_or_nothing),
                                       TEST(test_places_and_attachments),
                                       TEST(test_numbers),
                                       TEST(test_settings),
                                       TEST(test_settings_of_two),
                                       TEST(test_authority_in_whole)};
    is_etcd = argc > 1 && strcmp(argv[1], "etcd") == 0;
    if (is_etcd && !etcd_is_there()) {
        printf("skipped: the store in etcd: no etcd, etcdctl or openssl here\n");
        return 77;
    }
    if (is_etcd) {
        etcd_make(&cluster, 1, false);
        etcd_start_all(&cluster);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (is_etcd)
        etcd_end(&cluster);
    return failed;
}
