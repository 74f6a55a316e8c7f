/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a site holds by tokens, around a store that a test makes silent: who may claim, what the file has
 * after every step (each is looked at by one that opens it anew), and how the store takes it over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/store_ops.h"
#include "control/store_outside.h"

#define GROUP  5u
#define BROKEN (1ull << 32)

/* The store inside: one group, and what a test wants. */
static struct cw_authority row;
static uint64_t counter, silent_ms, renewals, version;
static const char *fault = "";
static struct cw_store_request asked; /* stands there */
static bool is_group_there;
static enum cw_status swap_status;
static bool is_answer_lost, is_full_after; /* of the next swap: it is done, and then that happens */
static char part[112], copy[112];

static void in_close(struct cw_store *store)
{
}
static const char *in_fault(struct cw_store *store)
{
    return fault;
}
static uint64_t in_silent_ms(struct cw_store *store)
{
    return silent_ms;
}
static uint64_t in_version(struct cw_store *store)
{
    return version;
}
static enum cw_status in_load(struct cw_store *store, struct cw_store_view *view)
{
    view->version = version;
    view->group_count = is_group_there;
    view->groups[0] = (struct cw_store_group){.id = GROUP, .authority = row, .request = asked};
    return CW_OK;
}
static enum cw_status in_authority(struct cw_store *store, uint32_t group, struct cw_authority *authority,
                                   uint64_t *at)
{
    *authority = row;
    *at = counter;
    return group == GROUP && is_group_there ? CW_OK : CW_NOT_FOUND;
}
static enum cw_status in_swap(struct cw_store *store, uint32_t group, const struct cw_authority *expected,
                              const struct cw_authority *next, bool compare_counter, uint64_t at)
{
    if (silent_ms > 0)
        return CW_IO;
    if (!cw_authority_equal(&row, expected) || (compare_counter && at != counter))
        return CW_STALE;
    if (swap_status == CW_OK) {
        row = *next;
        version++;
        if (is_full_after)
            assert_int_equal(mkdir(part, 0700), 0);
        if (is_answer_lost)
            return CW_IO;
    }
    return swap_status;
}
static enum cw_status in_renew(struct cw_store *store, const char *site, struct cw_store_lease *leases,
                               uint32_t count)
{
    renewals += count;
    for (uint32_t i = 0; i < count; i++)
        leases[i].is_lost = leases[i].group != GROUP || !cw_decide_renew(&row, site, leases[i].epoch);
    return silent_ms > 0 ? CW_IO : CW_OK;
}
static enum cw_status in_request(struct cw_store *store, uint32_t group,
                                 const struct cw_store_request *request)
{
    return silent_ms > 0 ? CW_IO : CW_OK;
}
static enum cw_status in_request_drop(struct cw_store *store, uint32_t group,
                                      const struct cw_store_request *seen)
{
    return silent_ms > 0 ? CW_IO : CW_OK;
}
static const struct cw_store_ops inner_ops = {.close = in_close,
                                              .fault = in_fault,
                                              .silent_ms = in_silent_ms,
                                              .version = in_version,
                                              .load = in_load,
                                              .authority = in_authority,
                                              .swap = in_swap,
                                              .renew = in_renew,
                                              .request = in_request,
                                              .request_drop = in_request_drop};
static struct cw_store inner = {.ops = &inner_ops};

static char directory[64], file[96], told[480], why[512];
static struct cw_store *store;
static struct cw_outside_options options;
static struct cw_token_mark marks[2] = {{.digest = {1}}, {.digest = {2}}};
static struct cw_store_view *view;

static void note(void *context, int level, uint32_t group, const char *words)
{
    assert_int_equal(group, GROUP);
    snprintf(told, sizeof told, "%d %s", level, words);
}

static bool open_it(void)
{
    why[0] = 0;
    store = cw_store_open_outside(&inner, &options, why, sizeof why);
    if (store)
        cw_outside_trust(store, true);
    return store != NULL;
}

static void open_anew(void)
{
    cw_store_close(store);
    assert_true(open_it());
}

static struct cw_authority held(const char *site, uint64_t epoch, uint64_t reign)
{
    struct cw_authority a = {.epoch = epoch, .reign = reign, .first_sequence = 17};
    struct cw_member member = {.boot_id = "b", .journal_id = "j", .process_start = "1"};
    snprintf(a.holder, sizeof a.holder, "%s", site);
    snprintf(member.site, sizeof member.site, "%s", site);
    assert_true(cw_set_put(&a.set, &member));
    return a;
}

static int make(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/cw-test-outside-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/break-glass.json", directory);
    snprintf(part, sizeof part, "%s.part", file);
    snprintf(copy, sizeof copy, "%s.copy", file);
    is_answer_lost = is_full_after = false;
    row = held("east", 3, 99);
    asked = (struct cw_store_request){.taker = ""};
    counter = 4;
    silent_ms = 60000;
    version = 100;
    renewals = 0;
    is_group_there = true;
    swap_status = CW_OK;
    fault = "";
    told[0] = 0;
    options = (struct cw_outside_options){.file = file, .site = "west", .lease_ms = 5000, .tell = note};
    if (!view)
        view = calloc(1, sizeof *view);
    if (view)
        view->version = 0;
    return open_it() && view ? 0 : -1;
}

static int clear(void **state)
{
    if (store)
        cw_store_close(store);
    store = NULL;
    unlink(file);
    unlink(copy);
    (void)rmdir(part);
    return rmdir(directory);
}

static enum cw_status swap(const struct cw_authority *from, const struct cw_authority *to)
{
    return cw_store_swap(store, GROUP, from, to, true, counter);
}

static struct cw_authority now(void)
{
    struct cw_authority a;
    uint64_t at;
    assert_int_equal(cw_store_authority(store, GROUP, &a, &at), CW_OK);
    return a;
}

static struct cw_authority take(void)
{
    struct cw_authority next = held("west", BROKEN, 7);
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    assert_int_equal(swap(&row, &next), CW_OK);
    return next;
}

static struct cw_store_lease renew(uint64_t epoch, enum cw_status wanted)
{
    struct cw_store_lease lease = {.group = GROUP, .epoch = epoch};
    assert_int_equal(cw_store_renew(store, "west", &lease, 1), wanted);
    return lease;
}

static void test_nothing_without_permission(void **state)
{
    struct cw_authority next = held("west", BROKEN, 7);
    assert_int_equal(swap(&row, &next), CW_IO);
    (void)renew(3, CW_IO);
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    assert_true(cw_outside_permitted(store, GROUP) == BROKEN);
    cw_outside_withdraw(store, GROUP);
    assert_int_equal(cw_outside_permitted(store, GROUP), 0);
    assert_int_equal(swap(&row, &next), CW_IO);
    silent_ms = 0;
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_REFUSED);
    /* no such store: nothing is permitted, nothing held */
    assert_int_equal(cw_outside_permit(&inner, GROUP, BROKEN, marks, 2), CW_INVALID);
    assert_false(cw_outside_is_held(&inner, GROUP));
}

static void test_only_what_is_permitted(void **state)
{
    struct cw_authority next = held("west", BROKEN, 7), other;
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    other = held("west", 4, 7); /* another epoch */
    assert_int_equal(swap(&row, &other), CW_STALE);
    other = held("north", BROKEN, 7); /* another site */
    assert_int_equal(swap(&row, &other), CW_STALE);
    other = row; /* the row is another */
    other.reign = 98;
    assert_int_equal(swap(&other, &next), CW_STALE);
    counter++; /* the holder has renewed since */
    assert_int_equal(cw_store_swap(store, GROUP, &row, &next, true, counter - 1), CW_STALE);
    silent_ms = 0; /* the store answers */
    assert_int_equal(swap(&row, &next), CW_REFUSED);
    assert_true(access(file, F_OK) != 0);
    assert_false(cw_outside_is_held(store, GROUP));
}

static void test_held(void **state)
{
    struct cw_authority next = take(), later;
    uint32_t used;
    assert_true(cw_outside_is_held(store, GROUP));
    assert_int_equal(cw_outside_permitted(store, GROUP), 0);
    open_anew(); /* and what follows is all of the file */
    later = now();
    assert_true(cw_authority_equal(&later, &next));
    assert_memory_equal(cw_outside_used(store, &used), marks, sizeof marks);
    assert_int_equal(used, 2);
    struct cw_store_lease lease = renew(BROKEN, CW_OK);
    assert_false(lease.is_lost || lease.is_held);
    lease = renew(3, CW_OK);
    assert_true(lease.is_lost);
    assert_int_equal(renewals, 0);
    assert_int_equal(cw_store_load(store, view), CW_OK);
    assert_true(cw_authority_equal(&view->groups[0].authority, &next));
    assert_true(cw_store_version(store) == view->version);
    /* a set, and the next reign after a restart of the engine */
    later.epoch++;
    later.reign = 8;
    assert_int_equal(swap(&row, &later), CW_STALE);
    assert_int_equal(swap(&next, &later), CW_OK);
    assert_true(cw_store_version(store) > view->version);
    open_anew();
    next = now();
    assert_true(cw_authority_equal(&later, &next));
    assert_int_equal(cw_outside_permit(store, GROUP, 2 * BROKEN, marks, 2), CW_REFUSED);
}

static void test_others_are_not_renewed(void **state)
{
    struct cw_store_lease leases[2] = {{.group = GROUP, .epoch = BROKEN}, {.group = 6, .epoch = 2}};
    (void)take();
    assert_int_equal(cw_store_renew(store, "west", leases, 2), CW_OK);
    assert_false(leases[0].is_held || leases[0].is_lost);
    assert_true(leases[1].is_held && !leases[1].is_lost);
}

/* Loaded as a controller does: only when the version says that there is something new. */
static const char *taker_seen(void)
{
    if (cw_store_version(store) != view->version)
        assert_int_equal(cw_store_load(store, view), CW_OK);
    return view->groups[0].request.taker;
}

/* Somebody was promoted as the quorum died: his request is in the store for as long as it is silent. */
static void test_request_of_before(void **state)
{
    asked = (struct cw_store_request){.taker = "north", .epoch = 3, .heartbeat = 8};
    assert_string_equal(taker_seen(), "north");
    assert_int_equal(cw_store_request_drop(store, GROUP, &asked), CW_IO);
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    assert_string_equal(taker_seen(), "");
    assert_int_equal(cw_store_request_drop(store, GROUP, &asked), CW_STALE);
    assert_int_equal(cw_store_request_clear(store, GROUP, "west"), CW_OK); /* it gives up */
    assert_int_equal(cw_outside_permitted(store, GROUP), 0);
    assert_string_equal(taker_seen(), "north");
    (void)take();
    assert_string_equal(taker_seen(), "");
    assert_int_equal(cw_store_request_drop(store, GROUP, &asked), CW_STALE);
    silent_ms = 0;
    swap_status = CW_IO;
    (void)cw_store_version(store);
    row = now();
    version++;
    assert_string_equal(taker_seen(), ""); /* also as it is being handed over */
    swap_status = CW_OK;
}

/* To be told that a request was taken ends grants, by which a primary lives while the store is silent. */
static void test_no_request_is_taken(void **state)
{
    const struct cw_store_request own = {.taker = "west", .epoch = 3};
    assert_int_equal(cw_store_request(store, GROUP, &own), CW_IO);
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    assert_int_equal(cw_store_request(store, GROUP, &own), CW_IO);
    (void)take();
    assert_int_equal(cw_store_request(store, GROUP, &own), CW_IO);
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_int_equal(cw_store_request(store, GROUP, &own), CW_OK);
}

static void test_file_that_cannot_be_written(void **state)
{
    struct cw_authority next = held("west", BROKEN, 7);
    assert_int_equal(mkdir(part, 0700), 0);
    assert_int_equal(cw_outside_permit(store, GROUP, BROKEN, marks, 2), CW_OK);
    assert_int_equal(swap(&row, &next), CW_IO);
    assert_false(cw_outside_is_held(store, GROUP));
    (void)renew(BROKEN, CW_IO);
    assert_int_equal(rmdir(part), 0);
    assert_int_equal(swap(&row, &next), CW_OK); /* it is permitted still */
}

static void test_store_takes_over(void **state)
{
    struct cw_authority next = take();
    silent_ms = 0;
    row = held("east", 5, 101); /* it had returned first */
    assert_true(cw_store_version(store) > 0);
    assert_true(cw_authority_equal(&row, &next));
    assert_false(cw_outside_is_held(store, GROUP));
    assert_non_null(strstr(told, "has taken over epoch 4294967296 of west in the place of 5"));
    (void)renew(BROKEN, CW_OK);
    assert_int_equal(renewals, 1);
    open_anew();
    assert_false(cw_outside_is_held(store, GROUP));
    uint32_t used;
    (void)cw_outside_used(store, &used);
    assert_int_equal(used, 2);
}

/* The first answer got lost, and meanwhile the set has changed here. */
static void test_taken_over_twice(void **state)
{
    struct cw_authority next = take(), later = next;
    row = next;
    later.set.count = 0;
    assert_int_equal(swap(&next, &later), CW_OK);
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_true(cw_authority_equal(&row, &later));
    assert_false(cw_outside_is_held(store, GROUP));
}

static void until_handed_over(void)
{
    for (int i = 0; i < 600 && cw_outside_is_held(store, GROUP); i++) {
        (void)cw_store_version(store);
        usleep(50 * 1000);
    }
    assert_false(cw_outside_is_held(store, GROUP));
}

static struct cw_authority with(struct cw_authority a, const char *site, const char *boot_id)
{
    struct cw_member member = {.journal_id = "j", .process_start = "1"};
    snprintf(member.site, sizeof member.site, "%s", site);
    snprintf(member.boot_id, sizeof member.boot_id, "%s", boot_id);
    assert_true(cw_set_put(&a.set, &member));
    return a;
}

/* Held by tokens, with another member. */
static struct cw_authority take_two(void)
{
    struct cw_authority alone = take(), two = with(alone, "north", "b");
    assert_int_equal(swap(&alone, &two), CW_OK);
    return two;
}

static const char *trouble(void)
{
    static char words[480];
    return cw_outside_trouble(store, GROUP, words, sizeof words);
}

/* It is tried again by itself as long as there is no room. */
static void test_full_when_handed_over(void **state)
{
    struct cw_authority two = take_two(), before = row, alone = held("west", BROKEN, 7);
    assert_int_equal(mkdir(part, 0700), 0);
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_true(cw_authority_equal(&row, &before));
    assert_true(cw_outside_is_held(store, GROUP));
    assert_non_null(strstr(told, "2 the store answers again, and does not get what west holds by tokens"));
    assert_non_null(strstr(told, "break-glass.json cannot be written (Is a directory)"));
    assert_non_null(strstr(trouble(), "break-glass.json cannot be written (Is a directory): make room"));
    assert_int_equal(swap(&two, &alone), CW_IO);
    struct cw_store_lease lease = renew(BROKEN, CW_OK); /* outside, as before */
    assert_false(lease.is_lost || lease.is_held);
    silent_ms = 10; /* and when it falls silent again, that is what is waited for */
    assert_string_equal(trouble(), "");
    silent_ms = 0;
    assert_int_equal(rmdir(part), 0);
    until_handed_over();
    assert_true(cw_authority_equal(&row, &two));
    assert_string_equal(trouble(), "");
}

/* The store has it, and the file says that it is handed over: as after a crash between the two. */
static void test_full_after_handing_over(void **state)
{
    struct cw_authority two = take_two(), alone = held("west", BROKEN, 7), other = with(alone, "south", "b");
    silent_ms = 0;
    is_full_after = true;
    until_handed_over();
    assert_true(cw_authority_equal(&row, &two));
    is_full_after = false;
    assert_int_equal(swap(&two, &alone), CW_OK); /* by the store now */
    assert_int_equal(swap(&alone, &other), CW_OK);
    silent_ms = 60000;
    open_anew();
    assert_true(cw_outside_is_held(store, GROUP));
    struct cw_store_lease lease = renew(BROKEN, CW_IO); /* the store may have gone on without it */
    assert_true(lease.is_held && !lease.is_lost);
    assert_int_equal(swap(&two, &alone), CW_IO);
    assert_int_equal(cw_store_load(store, view), CW_OK);
    assert_true(cw_authority_equal(&view->groups[0].authority, &other));
    silent_ms = 0;
    until_handed_over();
    assert_true(cw_authority_equal(&row, &other));
    assert_int_equal(rmdir(part), 0);
}

static bool is_in_file(const char *word)
{
    char text[8192] = "";
    FILE *from = fopen(file, "r");
    assert_true(from && fread(text, 1, sizeof text - 1, from) > 0 && fclose(from) == 0);
    return strstr(text, word) != NULL;
}

/* An etcd that was put back to an older copy, until that is found out, and while it is rebuilt. */
static void test_store_that_is_not_trusted(void **state)
{
    struct cw_authority two = take_two(), before = row, alone = held("west", BROKEN, 7);
    open_anew();
    cw_outside_trust(store, false);
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_true(cw_outside_is_held(store, GROUP));
    assert_true(cw_authority_equal(&row, &before));
    assert_false(is_in_file("handing_over"));
    assert_non_null(strstr(trouble(), "is not worked with here"));
    struct cw_store_lease lease = renew(BROKEN, CW_OK); /* it goes on by its own file */
    assert_false(lease.is_lost || lease.is_held);
    assert_int_equal(renewals, 0);
    assert_int_equal(swap(&two, &alone), CW_OK);
    cw_outside_trust(store, true);
    until_handed_over();
    assert_true(cw_authority_equal(&row, &alone));
}

static void test_passed_by_one_that_is_not_trusted(void **state)
{
    (void)take();
    row = held("north", 2 * BROKEN, 55);
    cw_outside_trust(store, false);
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_false(cw_outside_is_held(store, GROUP));
}

static void test_file_is_written_later(void **state)
{
    (void)take_two();
    silent_ms = 0;
    is_full_after = true;
    until_handed_over();
    assert_int_equal(rmdir(part), 0);
    for (int i = 0; i < 600 && is_in_file("authority"); i++) {
        (void)cw_store_version(store);
        usleep(50 * 1000);
    }
    silent_ms = 60000;
    open_anew();
    assert_false(cw_outside_is_held(store, GROUP));
}

static void test_crash_before_it_is_in(void **state)
{
    struct cw_authority two = take_two(), alone = held("west", BROKEN, 7);
    silent_ms = 0;
    swap_status = CW_IO;
    (void)cw_store_version(store);
    open_anew();
    assert_true(cw_outside_is_held(store, GROUP));
    assert_int_equal(swap(&two, &alone), CW_IO);
    swap_status = CW_OK;
    row = held("east", 5, 101); /* the old side was there meanwhile */
    until_handed_over();
    assert_true(cw_authority_equal(&row, &two));
}

static void test_answer_of_the_store_is_lost(void **state)
{
    struct cw_authority two = take_two(), alone = held("west", BROKEN, 7);
    silent_ms = 0;
    is_answer_lost = true;
    (void)cw_store_version(store);
    assert_true(cw_authority_equal(&row, &two));
    assert_true(cw_outside_is_held(store, GROUP));
    assert_int_equal(swap(&two, &alone), CW_IO);
    is_answer_lost = false;
    open_anew();
    until_handed_over();
    assert_true(cw_authority_equal(&row, &two));
    assert_int_equal(swap(&two, &alone), CW_OK);
}

/* A file that was put back from a copy, taken before it was handed over: whoever is in one set only, or is
 * another process there, is no member. */
static void test_file_from_a_copy(void **state)
{
    struct cw_authority two = take_two(), alone = held("west", BROKEN, 7), marked = two;
    struct cw_authority rebooted = with(with(alone, "north", "c"), "south", "b");
    const struct cw_authority stores[] = {alone, rebooted, with(two, "south", "b")};
    marked.set.list[0].in_memory = true;
    assert_int_equal(swap(&two, &marked), CW_OK);
    for (size_t i = 0; i < CW_COUNT_OF(stores); i++) {
        assert_int_equal(link(file, copy), 0); /* a file is not written into, but replaced */
        row = stores[i];
        silent_ms = 0;
        open_anew();
        until_handed_over();
        assert_true(cw_authority_equal(&row, i < 2 ? &alone : &marked));
        assert_int_equal(rename(copy, file), 0);
    }
}

static void test_store_that_does_not_take_it(void **state)
{
    (void)take();
    silent_ms = 0;
    swap_status = CW_IO;
    (void)cw_store_version(store);
    assert_true(cw_outside_is_held(store, GROUP));
    struct cw_store_lease lease = renew(BROKEN, CW_IO); /* the store may have it: its renewal is not ours */
    assert_true(lease.is_held && !lease.is_lost);
    is_group_there = false; /* made anew */
    usleep(250 * 1000);
    (void)cw_store_version(store);
    assert_non_null(strstr(told, "was it made anew?"));
    assert_true(cw_outside_is_held(store, GROUP));
    fault = "the store went back";
    is_group_there = true;
    swap_status = CW_OK;
    usleep(250 * 1000);
    (void)cw_store_version(store);
    assert_true(cw_outside_is_held(store, GROUP));
}

static void test_store_that_is_further(void **state)
{
    (void)take();
    row = held("north", 2 * BROKEN, 55);
    assert_int_equal(cw_store_load(store, view), CW_OK);
    assert_true(cw_authority_equal(&view->groups[0].authority, &row));
    silent_ms = 0;
    (void)cw_store_version(store);
    assert_false(cw_outside_is_held(store, GROUP));
    assert_non_null(strstr(told, "but the store has north in epoch 8589934592"));
    struct cw_store_lease lease = renew(BROKEN, CW_OK);
    assert_true(lease.is_lost);
    row = held("east", BROKEN, 56); /* by tokens at two sites: of one epoch, and not the same reign */
    silent_ms = 60000;
    row.epoch = 3;
    (void)take();
    row = held("east", BROKEN, 56);
    silent_ms = 0;
    usleep(250 * 1000);
    (void)cw_store_version(store);
    assert_false(cw_outside_is_held(store, GROUP));
    assert_int_equal(strcmp(row.holder, "east"), 0);
}

/* Where another site may have been promoted by tokens, it is given time to say so. */
static void test_old_side_waits(void **state)
{
    struct cw_authority next = held("west", 4, 7);
    row = held("west", 3, 99);
    silent_ms = 0;
    options.hold_ms = 700;
    open_anew();
    (void)renew(3, CW_OK); /* only what is opened waits after a start */
    assert_int_equal(swap(&row, &next), CW_IO);
    usleep(800 * 1000);
    assert_int_equal(swap(&row, &next), CW_OK);
    silent_ms = 4000; /* shorter than a lease */
    (void)cw_store_version(store);
    silent_ms = 0;
    (void)renew(4, CW_OK);
    silent_ms = 6000;
    (void)cw_store_version(store);
    silent_ms = 0;
    (void)renew(4, CW_IO);
    usleep(800 * 1000);
    (void)renew(4, CW_OK);
}

static void test_wrong_files(void **state)
{
    static const char *const wrong[] = {
        "",
        "{",
        "{}",
        "[]",
        "{\"format\":2,\"site\":\"west\",\"held\":[],\"used\":[]}",
        "{\"format\":1,\"site\":\"east\",\"held\":[],\"used\":[]}",
        "{\"format\":1,\"site\":\"west\",\"held\":[{}],\"used\":[]}",
        "{\"format\":1,\"site\":\"west\",\"held\":[],\"used\":[\"00\"]}",
        "{\"format\":1,\"site\":\"west\",\"held\":[{\"group\":1,\"authority\":{\"epoch\":4,\"reign\":\"7\","
        "\"holder\":\"west\",\"first_sequence\":1,\"members\":[],\"fenced_epoch\":0,\"moves\":0},"
        "\"handing_over\":{}}],\"used\":[]}",
        "{\"format\":1,\"site\":\"west\",\"held\":[{\"group\":1,\"authority\":{\"epoch\":1}}],\"used\":[]}"};
    cw_store_close(store);
    for (size_t i = 0; i < CW_COUNT_OF(wrong); i++) {
        FILE *to = fopen(file, "w");
        assert_true(to && fputs(wrong[i], to) >= 0 && fclose(to) == 0);
        assert_false(open_it());
        assert_non_null(strstr(why, "break-glass.json: "));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_nothing_without_permission),
        T(test_only_what_is_permitted),
        T(test_held),
        T(test_others_are_not_renewed),
        T(test_request_of_before),
        T(test_no_request_is_taken),
        T(test_file_that_cannot_be_written),
        T(test_store_takes_over),
        T(test_taken_over_twice),
        T(test_full_when_handed_over),
        T(test_full_after_handing_over),
        T(test_file_is_written_later),
        T(test_crash_before_it_is_in),
        T(test_answer_of_the_store_is_lost),
        T(test_file_from_a_copy),
        T(test_store_that_does_not_take_it),
        T(test_store_that_is_not_trusted),
        T(test_passed_by_one_that_is_not_trusted),
        T(test_store_that_is_further),
        T(test_old_side_waits),
        T(test_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
