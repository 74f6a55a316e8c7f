/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store in etcd. What is read comes from the mirror (etcd_mirror.h) and never waits. What is written is
 * one transaction: it compares the revision of every row that it rests on, so a mirror that is behind makes
 * it fail, and never makes it wrong. Nothing rests on etcd's clocks, leases or watches.
 *
 *     meta/format           what these rows mean, and which store it is
 *     meta/lease_ms         the lease that all controllers agreed to
 *     meta/next_group, meta/sites, meta/volumes, meta/places   move with what they count or stand for
 *     sites/NAME  groups/ID  names/NAME  volumes/ID/N  places/ID/N/SITE  attachments/ID/N/KIND
 *     authority/ID          epoch, reign, holder, set, fence; and how often it was changed
 *     requests/ID           who asks the holder to let go
 *     lease/SITE            the lease counter
 *     rebuilding            stands while rows are put back (store_etcd_rebuild.c); meta/rebuilt counts that
 *     held/SITE             moves with every change of an authority that the site has, had or gets
 *
 * A renewal has to compare all groups of a node, and a transaction has room for few: it compares held/SITE
 * instead. Every transaction compares a row that it changes: so one that comes late, after its time-out, does
 * nothing when it was done again meanwhile, and its own outcome is never guessed.
 */
#include "control/store_etcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/etcd_format.h"
#include "control/rebuild.h"

#define FORMAT      1
#define RENEW_MS    1500u /* patience, and never more than half a lease */
#define OWN_WAIT_MS 500u  /* until the mirror has what was just written here */
#define CATCH_UP_MS 300u  /* until it has what others wrote */
#define TRIES       8u
#define KEY_FORMAT  "meta/format"
#define KEY_LEASE   "meta/lease_ms"

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- one transaction */

static json_t *transaction(const struct cw_etcd_store *store, const struct cw_draft *draft)
{
    char key[CW_ETCD_KEY_SIZE];
    json_t *compares = json_array(), *changes = json_array();
    static_assert(CW_MIRROR_PREFIX_MAX + CW_ROW_KEY_SIZE <= CW_ETCD_KEY_SIZE, "so none is cut");
    for (uint32_t i = 0; i < draft->compare_count; i++) {
        snprintf(key, sizeof key, "%s%s", store->prefix, draft->compares[i].key);
        json_array_append_new(compares, cw_etcd_compare(key, draft->compares[i].modified));
    }
    for (uint32_t i = 0; i < draft->change_count; i++) {
        const struct cw_draft_change *change = &draft->changes[i];
        char *text =
            change->value ? json_dumps(change->value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
        snprintf(key, sizeof key, "%s%s", store->prefix, change->key);
        json_array_append_new(changes, change->value
                                           ? cw_etcd_put(key, text ? text : "", text ? strlen(text) : 0)
                                           : cw_etcd_delete(key, change->is_prefix));
        free(text);
    }
    return json_pack("{s:o,s:o}", "compare", compares, "success", changes);
}

/* What came back: CW_STALE when something had moved. */
static enum cw_status take_answer(struct cw_etcd_store *store, const struct cw_draft *draft,
                                  const json_t *answer, uint64_t floor)
{
    uint64_t revision;
    if (cw_mirror_judge(store->mirror, answer, floor, &revision) != CW_OK)
        return CW_IO;
    if (!json_is_true(json_object_get(answer, "succeeded"))) {
        if (cw_etcd_is_repeated(store->etcd)) {
            snprintf(store->trouble, sizeof store->trouble,
                     "etcd did not answer in time, and whether it did what was asked is not known");
            cw_mirror_wait(store->mirror, draft->revision + 1, CATCH_UP_MS);
            return CW_IO;
        }
        cw_mirror_wait(store->mirror, draft->revision + 1, CATCH_UP_MS);
        return CW_STALE;
    }
    cw_mirror_wait(store->mirror, revision, OWN_WAIT_MS);
    return CW_OK;
}

static enum cw_status commit(struct cw_etcd_store *store, const struct cw_draft *draft, uint32_t patience_ms)
{
    json_t *answer = NULL;
    if (draft->failure != CW_OK)
        return draft->failure;
    if (draft->change_count == 0 && !draft->is_verdict)
        return CW_OK;
    CW_ASSERT(draft->compare_count > 0 && "or a late one would do it twice");
    if (cw_mirror_silent_ms(store->mirror) > 0) {
        cw_mirror_trouble(store->mirror, store->trouble, sizeof store->trouble);
        return CW_IO;
    }
    uint64_t floor = cw_mirror_floor(store->mirror);
    enum cw_etcd_outcome outcome =
        cw_etcd_call(store->etcd, "/v3/kv/txn", transaction(store, draft), patience_ms, &answer);
    enum cw_status status = CW_IO;
    if (outcome == CW_ETCD_DONE)
        status = take_answer(store, draft, answer, floor);
    else
        snprintf(store->trouble, sizeof store->trouble, "%s", cw_etcd_words(store->etcd));
    json_decref(answer);
    return status;
}

/* Begins the next try; false: no snapshot. */
static bool next_try(struct cw_etcd_store *store, struct cw_etcd_change *change)
{
    cw_draft_free(&change->own);
    change->draft = &change->own;
    change->tries++;
    change->status = cw_mirror_snapshot(store->mirror, &change->own);
    if (change->status == CW_OK)
        return true;
    cw_draft_free(&change->own);
    return false;
}

bool cw_etcd_change_next(struct cw_etcd_store *store, struct cw_etcd_change *change)
{
    if (store->is_open) {
        change->draft = &store->draft;
        return change->tries++ == 0;
    }
    uint64_t now_ms = monotonic_ms();
    if (change->tries == 0) {
        change->end_ms = now_ms + change->patience_ms;
        return next_try(store, change);
    }
    uint32_t left_ms = now_ms < change->end_ms ? (uint32_t)(change->end_ms - now_ms) : 0;
    if (change->status == CW_OK) {
        change->status = left_ms ? commit(store, &change->own, left_ms) : CW_IO;
        if (change->status == CW_STALE && change->tries < TRIES && monotonic_ms() < change->end_ms)
            return next_try(store, change);
        if (change->status == CW_STALE) { /* always somebody else: nothing is known to be against it */
            snprintf(store->trouble, sizeof store->trouble, "etcd: others change the same all the time");
            change->status = CW_IO;
        }
    }
    cw_draft_free(&change->own);
    return false;
}

/* ---------------------------------------------------------------- begin and end */

static enum cw_status cw_etcd_begin(struct cw_store *base)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    CW_ASSERT(!store->is_open);
    if (cw_mirror_silent_ms(store->mirror) > 0)
        return CW_IO;
    CW_TRY(cw_mirror_snapshot(store->mirror, &store->draft));
    store->is_open = true;
    return CW_OK;
}

static enum cw_status cw_etcd_end(struct cw_store *base, bool ok)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    CW_ASSERT(store->is_open);
    store->is_open = false;
    enum cw_status status = ok ? commit(store, &store->draft, CW_CHANGE_MS) : CW_OK;
    cw_draft_free(&store->draft);
    return status;
}

/* ---------------------------------------------------------------- of the whole */

static const char *cw_etcd_fault(struct cw_store *base)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    cw_mirror_fault(store->mirror, store->fault, sizeof store->fault);
    return store->fault;
}

static uint64_t cw_etcd_silent_ms(struct cw_store *base)
{
    return cw_mirror_silent_ms(cw_etcd_store_of(base)->mirror);
}

static const char *cw_etcd_trouble(struct cw_store *base)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    if (cw_mirror_silent_ms(store->mirror) > 0)
        cw_mirror_trouble(store->mirror, store->trouble, sizeof store->trouble);
    return store->trouble;
}

static uint64_t cw_etcd_version(struct cw_store *base)
{
    return cw_mirror_version(cw_etcd_store_of(base)->mirror);
}

static enum cw_status agree_lease(struct cw_draft *draft, uint64_t lease_ms, uint64_t *recorded)
{
    const json_t *row = cw_draft_get(draft, KEY_LEASE);
    *recorded = row ? (uint64_t)json_integer_value(row) : lease_ms;
    if (!row)
        cw_draft_put(draft, KEY_LEASE, json_integer((json_int_t)lease_ms));
    return *recorded ? CW_OK : CW_IO;
}

/* ---------------------------------------------------------------- authority */

static enum cw_status read_counter(const json_t *row, uint64_t *counter)
{
    *counter = (uint64_t)json_integer_value(row);
    return json_is_integer(row) && json_integer_value(row) >= 0 ? CW_OK : row ? CW_IO : CW_NOT_FOUND;
}

/* Between begin and end what the change has made of it is read, and it rests on that. */
static json_t *read_row(struct cw_etcd_store *store, const char *key)
{
    if (store->is_open)
        return json_incref((json_t *)cw_draft_get(&store->draft, key));
    return cw_mirror_get(store->mirror, key);
}

static enum cw_status cw_etcd_lease_counter(struct cw_store *base, const char *site, uint64_t *counter)
{
    char key[CW_ROW_KEY_SIZE];
    json_t *row = read_row(cw_etcd_store_of(base), cw_key_name(key, "lease", site));
    enum cw_status status = read_counter(row, counter);
    json_decref(row);
    return status;
}

static enum cw_status cw_etcd_authority(struct cw_store *base, uint32_t group, struct cw_authority *authority,
                                        uint64_t *counter)
{
    char key[CW_ROW_KEY_SIZE];
    uint64_t moves;
    json_t *row = read_row(cw_etcd_store_of(base), cw_key_group(key, "authority", group));
    bool is_there = row != NULL, ok = cw_row_to_authority(row, authority, &moves);
    json_decref(row);
    *counter = 0;
    if (!ok)
        return is_there ? CW_IO : CW_NOT_FOUND;
    if (!authority->holder[0])
        return CW_OK;
    /* Told, and not rested on: every renewal moves it. Who must compare it says so in the swap. */
    row = cw_mirror_get(cw_etcd_store_of(base)->mirror, cw_key_name(key, "lease", authority->holder));
    enum cw_status status = read_counter(row, counter);
    json_decref(row);
    return status == CW_IO ? CW_IO : CW_OK;
}

static enum cw_status cw_etcd_group_read(struct cw_store *base, uint32_t group, struct cw_store_group *read)
{
    char key[CW_ROW_KEY_SIZE];
    json_t *row = read_row(cw_etcd_store_of(base), cw_key_group(key, "groups", group));
    bool is_there = row != NULL, ok = is_there && cw_row_to_group(row, read);
    json_decref(row);
    return ok ? CW_OK : is_there ? CW_IO : CW_NOT_FOUND;
}

void cw_etcd_touch_holder(struct cw_draft *draft, const char *holder)
{
    char key[CW_ROW_KEY_SIZE];
    if (holder[0])
        cw_draft_touch(draft, cw_key_name(key, "held", holder));
}

/* The whole of the comparison; what it rests on is compared again in the transaction. */
static enum cw_status swap(struct cw_draft *draft, uint32_t group, const struct cw_authority *expected,
                           const struct cw_authority *next, const uint64_t *counter)
{
    char key[CW_ROW_KEY_SIZE], lease[CW_ROW_KEY_SIZE];
    struct cw_authority now;
    uint64_t moves, counter_now = 0;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "authority", group));
    if (!row)
        return CW_NOT_FOUND;
    if (!cw_row_to_authority(row, &now, &moves) || cw_draft_get(draft, CW_REBUILD_MARK))
        return CW_IO; /* while rows are put back, nothing follows from them */
    if (!cw_authority_equal(&now, expected))
        return CW_STALE;
    if (next->epoch != expected->epoch && !cw_etcd_is_readable(draft, group))
        return CW_IO; /* whose sites and volumes are not known goes to nobody */
    if (counter && now.holder[0] &&
        read_counter(cw_draft_get(draft, cw_key_name(lease, "lease", now.holder)), &counter_now) == CW_IO)
        return CW_IO;
    if (counter && *counter != counter_now)
        return CW_STALE;
    cw_draft_put(draft, key, cw_row_from_authority(next, moves + 1));
    cw_etcd_touch_holder(draft, expected->holder);
    if (strcmp(expected->holder, next->holder) != 0)
        cw_etcd_touch_holder(draft, next->holder);
    if (next->epoch != expected->epoch)
        cw_draft_remove(draft, cw_key_group(key, "requests", group));
    return CW_OK;
}

static enum cw_status cw_etcd_swap(struct cw_store *base, uint32_t group, const struct cw_authority *expected,
                                   const struct cw_authority *next, bool compare_counter, uint64_t counter)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(cw_etcd_store_of(base), &change))
        change.status = swap(change.draft, group, expected, next, compare_counter ? &counter : NULL);
    return change.status;
}

/* held/SITE has not moved since: so each of the site's authorities is as in the snapshot. That a lease is
 * lost is never told from a snapshot that may be behind. */
static enum cw_status renew(struct cw_draft *draft, const char *site, struct cw_store_lease *leases,
                            uint32_t count)
{
    char key[CW_ROW_KEY_SIZE];
    uint64_t counter;
    bool is_any = false;
    (void)cw_draft_get(draft, cw_key_name(key, "held", site));
    draft->is_verdict = true;
    for (uint32_t i = 0; i < count; i++) {
        struct cw_authority now;
        uint64_t moves;
        const json_t *row = cw_draft_look(draft, cw_key_group(key, "authority", leases[i].group));
        /* Of a row that cannot be read nothing follows: not that the lease is lost, either. */
        leases[i].is_held = row && !cw_row_to_authority(row, &now, &moves);
        leases[i].is_lost = !leases[i].is_held && (!row || !cw_decide_renew(&now, site, leases[i].epoch));
        is_any = is_any || (!leases[i].is_lost && !leases[i].is_held);
    }
    enum cw_status status = read_counter(cw_draft_get(draft, cw_key_name(key, "lease", site)), &counter);
    if (is_any && status == CW_OK)
        cw_draft_put(draft, key, json_integer((json_int_t)counter + 1));
    return is_any ? status : CW_OK;
}

static enum cw_status cw_etcd_renew(struct cw_store *base, const char *site, struct cw_store_lease *leases,
                                    uint32_t count)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    uint64_t half_ms = store->lease_ms ? store->lease_ms / 2 : RENEW_MS;
    struct cw_etcd_change change = {.patience_ms = (uint32_t)CW_MIN(half_ms, RENEW_MS)};
    CW_ASSERT(!store->is_open);
    while (cw_etcd_change_next(store, &change))
        change.status = renew(change.draft, site, leases, count);
    return change.status;
}

static enum cw_status put_request(struct cw_draft *draft, uint32_t group,
                                  const struct cw_store_request *request)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_authority now;
    struct cw_store_request before, next = *request;
    uint64_t moves;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "authority", group));
    if (!row)
        return CW_NOT_FOUND;
    if (!cw_row_to_authority(row, &now, &moves))
        return CW_IO;
    if (now.epoch != request->epoch)
        return CW_STALE;
    if (!cw_etcd_is_readable(draft, group))
        return CW_IO;
    row = cw_draft_get(draft, cw_key_group(key, "requests", group));
    if (row && !cw_row_to_request(row, &before))
        return CW_IO;
    if (row && (strcmp(before.taker, request->taker) != 0 || before.epoch != request->epoch))
        return CW_STALE;
    next.is_drain = row ? before.is_drain : request->is_drain;
    next.heartbeat = row ? before.heartbeat + 1 : 1;
    cw_draft_put(draft, key, cw_row_from_request(&next));
    return CW_OK;
}

static enum cw_status cw_etcd_request(struct cw_store *base, uint32_t group,
                                      const struct cw_store_request *request)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(cw_etcd_store_of(base), &change))
        change.status = put_request(change.draft, group, request);
    return change.status;
}

static enum cw_status clear_request(struct cw_draft *draft, uint32_t group, const char *taker)
{
    char key[CW_ROW_KEY_SIZE];
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "requests", group));
    const char *asks = json_string_value(json_object_get(row, "taker"));
    if (asks && strcmp(asks, taker) == 0)
        cw_draft_remove(draft, key);
    return CW_OK;
}

static enum cw_status cw_etcd_request_clear(struct cw_store *base, uint32_t group, const char *taker)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(cw_etcd_store_of(base), &change))
        change.status = clear_request(change.draft, group, taker);
    return change.status;
}

/* The transaction compares the row's revision: one that has moved since is not dropped. */
static enum cw_status drop_request(struct cw_draft *draft, uint32_t group,
                                   const struct cw_store_request *seen)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_request now;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "requests", group));
    if (!row || !cw_row_to_request(row, &now))
        return row ? CW_IO : CW_STALE;
    if (strcmp(now.taker, seen->taker) != 0 || now.epoch != seen->epoch || now.heartbeat != seen->heartbeat)
        return CW_STALE;
    cw_draft_remove(draft, key);
    return CW_OK;
}

static enum cw_status cw_etcd_request_drop(struct cw_store *base, uint32_t group,
                                           const struct cw_store_request *seen)
{
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    while (cw_etcd_change_next(cw_etcd_store_of(base), &change))
        change.status = drop_request(change.draft, group, seen);
    return change.status;
}

/* ---------------------------------------------------------------- opening */

static void cw_etcd_store_close(struct cw_store *base)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    cw_draft_free(&store->draft);
    cw_mirror_close(store->mirror);
    cw_etcd_close(store->etcd);
    free(store->loading);
    free(store);
}

static enum cw_status agree_format(struct cw_draft *draft, int64_t *format)
{
    const json_t *row = cw_draft_get(draft, KEY_FORMAT);
    *format = row ? json_integer_value(row) : FORMAT;
    if (!row)
        cw_draft_put(draft, KEY_FORMAT, json_integer(FORMAT));
    return CW_OK;
}

/* Rows of a format that this version does not know are left alone: CW_INVALID, and trouble says so. */
static enum cw_status know_format(struct cw_etcd_store *store)
{
    int64_t format = 0;
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    if (store->is_format_known)
        return CW_OK;
    while (cw_etcd_change_next(store, &change))
        change.status = agree_format(change.draft, &format);
    store->is_format_known = change.status == CW_OK && format == FORMAT;
    if (change.status != CW_OK || store->is_format_known)
        return change.status;
    snprintf(store->trouble, sizeof store->trouble,
             "the store %s in etcd was made by another version (%ld, this one knows %d)", store->prefix,
             (long)format, FORMAT);
    return CW_INVALID;
}

static enum cw_status cw_etcd_agree_lease(struct cw_store *base, uint64_t lease_ms, uint64_t *recorded)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    CW_TRY(know_format(store));
    while (cw_etcd_change_next(store, &change))
        change.status = agree_lease(change.draft, lease_ms, recorded);
    if (change.status == CW_OK)
        store->lease_ms = *recorded;
    return change.status;
}

static const struct cw_store_ops ops = {
    .close = cw_etcd_store_close,
    .fault = cw_etcd_fault,
    .silent_ms = cw_etcd_silent_ms,
    .trouble = cw_etcd_trouble,
    .agree_lease = cw_etcd_agree_lease,
    .version = cw_etcd_version,
    .load = cw_etcd_load,
    .begin = cw_etcd_begin,
    .end = cw_etcd_end,
    .authority = cw_etcd_authority,
    .swap = cw_etcd_swap,
    .renew = cw_etcd_renew,
    .lease_counter = cw_etcd_lease_counter,
    .request = cw_etcd_request,
    .request_clear = cw_etcd_request_clear,
    .request_drop = cw_etcd_request_drop,
    .site_put = cw_etcd_site_put,
    .group_add = cw_etcd_group_add,
    .group_update = cw_etcd_group_update,
    .group_read = cw_etcd_group_read,
    .group_deleting = cw_etcd_group_deleting,
    .group_remove = cw_etcd_group_remove,
    .volume_add = cw_etcd_volume_add,
    .volume_deleting = cw_etcd_volume_deleting,
    .volume_remove = cw_etcd_volume_remove,
    .place_put = cw_etcd_place_put,
    .place_remove = cw_etcd_place_remove,
    .attachment_put = cw_etcd_attachment_put,
    .attachment_remove = cw_etcd_attachment_remove,
};

struct cw_store *cw_store_open_etcd(const struct cw_etcd_address *address, const char *prefix, char *why,
                                    size_t why_size)
{
    struct cw_etcd_store *store = calloc(1, sizeof *store);
    if (!store || !(store->loading = cw_view_new())) {
        snprintf(why, why_size, "no memory");
        free(store);
        return NULL;
    }
    store->base.ops = &ops;
    CW_ASSERT(strlen(prefix) + 2 <= sizeof store->prefix);
    snprintf(store->prefix, sizeof store->prefix, "%s/", prefix);
    store->etcd = cw_etcd_open(address, why, why_size);
    store->mirror = store->etcd ? cw_mirror_open(address, store->prefix, why, why_size) : NULL;
    if (store->mirror)
        return &store->base;
    cw_etcd_store_close(&store->base);
    return NULL;
}
