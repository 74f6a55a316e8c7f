/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread of the mirror.
 *
 *   reading --whole copy--> following --watch ended, behind, no answer--> reading
 *      '------------- gone back -------------+----> faulty (for good)
 *
 * What must never go back, and how that is seen. The revision of an answer that the quorum decided is at
 * least what any such answer before the question had: one below it comes from an older copy of etcd's data.
 * Such a copy may have been written on until its revision is ahead again; so rows are compared when all is
 * read again: one that was changed later before, or that has another content at the same revision; a count of
 * the changes of an authority or a lease that is lower; one of those rows that is gone though nothing deletes
 * it. Another cluster is no older truth, but none of ours.
 */
#include "control/etcd_mirror.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/etcd_format.h"
#include "control/store_rows.h"

#define PAGE          500u
#define ROWS_MAX      100000u
#define READ_MS       3000u /* for a page */
#define PROBE_MS      1000u /* between two */
#define PROBE_WAIT_MS 1500u /* for one */
#define PAUSE_MS      100u  /* before all is read again */

struct cw_mirror {
    struct cw_etcd *etcd; /* the thread's */
    char prefix[CW_MIRROR_PREFIX_MAX];
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved;
    struct cw_rows rows;
    uint64_t revision, version, floor, cluster_id;
    uint64_t answered_ms;
    bool is_stopping, has_copy;
    char fault[CW_ETCD_WORDS_SIZE], trouble[CW_ETCD_WORDS_SIZE];
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_over(struct cw_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    bool is = mirror->is_stopping || mirror->fault[0];
    pthread_mutex_unlock(&mirror->lock);
    return is;
}

/* Leases and what stands for many rows move all the time, and no view shows them. */
static bool is_shown(const char *key)
{
    return strncmp(key, "lease/", 6) != 0 && strncmp(key, "held/", 5) != 0;
}

/* ---------------------------------------------------------------- what must never go back */

#define UNTIL                                                                                                   \
    "Nothing is decided and no lease is renewed here until the controllers of all sites are started anew, and " \
    "not the engines, which go on by grants; then: causeway store rebuild --dry-run"

/* With the lock. */
static enum cw_status gone_back(struct cw_mirror *mirror, const char *what, uint64_t seen, uint64_t now)
{
    snprintf(mirror->fault, sizeof mirror->fault,
             "the store went back: %s was %" PRIu64 " and is %" PRIu64
             ". An older copy of etcd's data was put in its place. " UNTIL,
             what, seen, now);
    fprintf(stderr, "%s\n", mirror->fault);
    pthread_cond_broadcast(&mirror->moved);
    return CW_IO;
}

/* With the lock. */
static enum cw_status judge(struct cw_mirror *mirror, const json_t *answer, uint64_t floor,
                            uint64_t *revision)
{
    struct cw_etcd_header header;
    if (mirror->fault[0])
        return CW_IO;
    if (!cw_etcd_header_read(answer, &header)) {
        snprintf(mirror->trouble, sizeof mirror->trouble, "etcd: an answer without a valid header");
        return CW_IO;
    }
    if (mirror->cluster_id == 0)
        mirror->cluster_id = header.cluster_id;
    if (header.cluster_id != mirror->cluster_id) {
        snprintf(mirror->fault, sizeof mirror->fault,
                 "another etcd answers: its cluster was %" PRIx64 " and is %" PRIx64 ". " UNTIL,
                 mirror->cluster_id, header.cluster_id);
        fprintf(stderr, "%s\n", mirror->fault);
        pthread_cond_broadcast(&mirror->moved);
        return CW_IO;
    }
    if (header.revision < floor)
        return gone_back(mirror, "its revision", floor, header.revision);
    if (header.revision > mirror->floor)
        mirror->floor = header.revision;
    *revision = header.revision;
    return CW_OK;
}

enum cw_status cw_mirror_judge(struct cw_mirror *mirror, const json_t *answer, uint64_t floor,
                               uint64_t *revision)
{
    pthread_mutex_lock(&mirror->lock);
    enum cw_status status = judge(mirror, answer, floor, revision);
    pthread_mutex_unlock(&mirror->lock);
    return status;
}

uint64_t cw_mirror_floor(struct cw_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    uint64_t floor = mirror->floor;
    pthread_mutex_unlock(&mirror->lock);
    return floor;
}

/* A count in the row that only grows. */
static const json_t *count_in(const struct cw_row *row)
{
    return strncmp(row->key, "authority/", 10) == 0 ? json_object_get(row->json, "moves") : row->json;
}

static uint64_t moves_of(const struct cw_row *row)
{
    return json_is_integer(count_in(row)) ? (uint64_t)json_integer_value(count_in(row)) : 0;
}

static bool is_counted(const char *key)
{
    return strncmp(key, "authority/", 10) == 0 || strncmp(key, "lease/", 6) == 0 ||
           strncmp(key, "meta/", 5) == 0;
}

/* With the lock. */
static enum cw_status compare_row(struct cw_mirror *mirror, const struct cw_row *before,
                                  const struct cw_row *now)
{
    char what[CW_ROW_KEY_SIZE + 32];
    if (!now) {
        bool is_kept = strncmp(before->key, "lease/", 6) == 0 || strncmp(before->key, "meta/", 5) == 0;
        snprintf(what, sizeof what, "the count in the row %s", before->key);
        return is_kept ? gone_back(mirror, what, moves_of(before), 0) : CW_OK;
    }
    snprintf(what, sizeof what, "the last change of row %s", before->key);
    bool is_equal = json_equal(now->json, before->json);
    if (now->modified < before->modified || (now->modified == before->modified && !is_equal))
        return gone_back(mirror, what, before->modified, now->modified);
    snprintf(what, sizeof what, "the count in the row %s", before->key);
    /* One that cannot be read is no older one: it is told of as that. */
    if (is_counted(before->key) && json_is_integer(count_in(now)) && moves_of(now) < moves_of(before))
        return gone_back(mirror, what, moves_of(before), moves_of(now));
    return CW_OK;
}

/* With the lock. */
static enum cw_status compare_all(struct cw_mirror *mirror, const struct cw_rows *now)
{
    for (uint32_t i = 0; i < mirror->rows.count; i++) {
        const struct cw_row *before = mirror->rows.list[i];
        if (compare_row(mirror, before, cw_rows_find(now, before->key)) != CW_OK)
            return CW_IO;
    }
    return CW_OK;
}

/* ---------------------------------------------------------------- reading all */

static void note_trouble(struct cw_mirror *mirror, const char *words)
{
    pthread_mutex_lock(&mirror->lock);
    snprintf(mirror->trouble, sizeof mirror->trouble, "%s", words);
    pthread_mutex_unlock(&mirror->lock);
}

/* A pair under the prefix as a row; NULL: it is not under it. */
static struct cw_row *row_of(const struct cw_mirror *mirror, const struct cw_etcd_pair *pair)
{
    size_t length = strlen(mirror->prefix);
    if (strncmp(pair->key, mirror->prefix, length) != 0)
        return NULL;
    json_t *json = pair->value
                       ? json_loadb(pair->value, pair->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)
                       : NULL;
    struct cw_row *row = cw_row_make(pair->key + length, pair->modified, json);
    if (row)
        row->is_readable = cw_row_is_readable(row->key, row->json);
    return row;
}

static bool take_page(struct cw_mirror *mirror, const json_t *answer, struct cw_rows *rows, char *last)
{
    size_t index;
    const json_t *kvs = json_object_get(answer, "kvs"), *kv;
    json_array_foreach((json_t *)kvs, index, kv)
    {
        struct cw_etcd_pair pair;
        struct cw_row *row = cw_etcd_pair_read(kv, &pair) ? row_of(mirror, &pair) : NULL;
        snprintf(last, CW_ETCD_KEY_SIZE, "%s", pair.key);
        cw_etcd_pair_free(&pair);
        if (!row || cw_rows_put(rows, row) != CW_OK || rows->count > ROWS_MAX)
            return false;
    }
    return true;
}

/* All pages at one revision. */
static bool read_pages(struct cw_mirror *mirror, struct cw_rows *rows, uint64_t *revision)
{
    char last[CW_ETCD_KEY_SIZE];
    struct cw_etcd_range range = {.prefix = mirror->prefix, .limit = PAGE};
    bool is_more = true, is_valid = true;
    while (is_more && is_valid) {
        json_t *answer = NULL;
        uint64_t now;
        uint32_t before = rows->count;
        uint64_t floor = cw_mirror_floor(mirror);
        if (cw_etcd_call(mirror->etcd, "/v3/kv/range", cw_etcd_range_request(&range), READ_MS, &answer) !=
            CW_ETCD_DONE) {
            note_trouble(mirror, cw_etcd_words(mirror->etcd));
            return false;
        }
        if (cw_mirror_judge(mirror, answer, floor, &now) != CW_OK) {
            json_decref(answer);
            return false;
        }
        is_valid = take_page(mirror, answer, rows, last);
        is_more = json_is_true(json_object_get(answer, "more"));
        is_valid = is_valid && (!is_more || rows->count > before);
        json_decref(answer);
        if (range.revision == 0)
            *revision = range.revision = now;
        range.from = last;
    }
    if (!is_valid)
        note_trouble(mirror, "etcd: what it answers to a range is malformed, or more than a store can be");
    return is_valid;
}

/* With the lock: are both the same but for what no view shows? */
static bool is_same(const struct cw_rows *a, const struct cw_rows *b)
{
    uint32_t i = 0, j = 0;
    for (;;) {
        while (i < a->count && !is_shown(a->list[i]->key))
            i++;
        while (j < b->count && !is_shown(b->list[j]->key))
            j++;
        if (i == a->count || j == b->count)
            return i == a->count && j == b->count;
        if (a->list[i]->modified != b->list[j]->modified || strcmp(a->list[i]->key, b->list[j]->key) != 0)
            return false;
        i++;
        j++;
    }
}

static bool read_all(struct cw_mirror *mirror, uint64_t *revision)
{
    struct cw_rows rows = {0};
    bool ok = read_pages(mirror, &rows, revision);
    pthread_mutex_lock(&mirror->lock);
    if (ok && compare_all(mirror, &rows) != CW_OK)
        ok = false;
    if (ok) {
        struct cw_rows before = mirror->rows;
        if (mirror->version == 0 || !is_same(&before, &rows))
            mirror->version = *revision;
        mirror->rows = rows;
        rows = before;
        mirror->revision = *revision;
        mirror->answered_ms = monotonic_ms();
        mirror->has_copy = true;
        mirror->trouble[0] = 0;
        pthread_cond_broadcast(&mirror->moved);
    }
    pthread_mutex_unlock(&mirror->lock);
    cw_rows_free(&rows);
    return ok;
}

/* ---------------------------------------------------------------- following */

struct event {
    struct cw_row *row; /* NULL: the key is deleted */
    struct cw_etcd_pair pair;
};

/* With the lock. Events at or below the copy's revision are in it already. */
static bool apply(struct cw_mirror *mirror, struct event *event)
{
    char key[CW_ROW_KEY_SIZE];
    cw_row_key(key, event->pair.key + strlen(mirror->prefix));
    if (event->pair.modified <= mirror->revision)
        return true;
    if (is_shown(key))
        mirror->version = event->pair.modified;
    if (!event->row) {
        cw_rows_remove(&mirror->rows, key);
        return true;
    }
    struct cw_row *row = event->row;
    event->row = NULL;
    return mirror->rows.count < ROWS_MAX && cw_rows_put(&mirror->rows, row) == CW_OK;
}

static bool read_event(struct cw_mirror *mirror, const json_t *json, struct event *event)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    bool is_put = !type || strcmp(type, "PUT") == 0;
    *event = (struct event){0};
    if (!cw_etcd_pair_read(json_object_get(json, "kv"), &event->pair) ||
        strncmp(event->pair.key, mirror->prefix, strlen(mirror->prefix)) != 0 ||
        (!is_put && strcmp(type, "DELETE") != 0))
        return false;
    event->row = is_put ? row_of(mirror, &event->pair) : NULL;
    return !is_put || event->row;
}

/* All of a result, or nothing of it: it holds whole revisions. false: malformed. */
static bool take_events(struct cw_mirror *mirror, const json_t *events)
{
    size_t count = json_array_size(events), read = 0;
    struct event *list = calloc(count + 1, sizeof *list);
    uint64_t last = 0;
    bool ok = list != NULL;
    for (; ok && read < count; read++) {
        ok =
            read_event(mirror, json_array_get(events, read), &list[read]) && list[read].pair.modified >= last;
        last = list[read].pair.modified;
    }
    pthread_mutex_lock(&mirror->lock);
    for (size_t i = 0; ok && i < count; i++)
        ok = apply(mirror, &list[i]);
    if (ok && last > mirror->revision) {
        mirror->revision = last;
        pthread_cond_broadcast(&mirror->moved);
    }
    pthread_mutex_unlock(&mirror->lock);
    for (size_t i = 0; i < read; i++) {
        if (list[i].row)
            cw_row_drop(list[i].row);
        cw_etcd_pair_free(&list[i].pair);
    }
    free(list);
    return ok;
}

/* false: it is no watch any more, or malformed. A watch may be behind: its header's revision says nothing. */
static bool take_result(struct cw_mirror *mirror, const json_t *result)
{
    const json_t *events = json_object_get(result, "events");
    if (json_is_true(json_object_get(result, "canceled"))) {
        note_trouble(mirror, "etcd ended the watch: what it was to begin with has been compacted away");
        return false;
    }
    if (!events || json_array_size(events) == 0)
        return true;
    if (take_events(mirror, events))
        return true;
    note_trouble(mirror, "etcd: what its watch says is malformed");
    return false;
}

/* What the probes of one watch have found. */
struct probed {
    uint64_t newest; /* a change that etcd had at the last one: by the next one the copy has it, too */
    uint32_t behind; /* so often in a row the copy was not what it should be */
};
#define BEHIND_MAX 2u

/* Has the copy other rows than etcd has now? With many nodes something has always just moved, and is on its
 * way: of that the next probe is the judge. */
static bool is_different(struct cw_mirror *mirror, const json_t *answer, uint64_t *newest)
{
    uint64_t count = 0, modified = 0;
    size_t index;
    json_t *kv;
    bool is = !cw_etcd_number(answer, "count", &count);
    *newest = 0;
    json_array_foreach(json_object_get(answer, "kvs"), index, kv)
    {
        is = is || !cw_etcd_number(kv, "mod_revision", &modified);
        *newest = CW_MAX(*newest, modified);
    }
    pthread_mutex_lock(&mirror->lock);
    is = is || (*newest <= mirror->revision && count != mirror->rows.count);
    pthread_mutex_unlock(&mirror->lock);
    return is;
}

/* false: no answer. */
static bool probe(struct cw_mirror *mirror, struct probed *probed)
{
    json_t *answer = NULL;
    uint64_t revision, floor;
    pthread_mutex_lock(&mirror->lock);
    bool is_behind = mirror->revision < probed->newest;
    struct cw_etcd_range range = {
        .prefix = mirror->prefix, .modified_min = mirror->revision + 1, .limit = PAGE, .keys_only = true};
    floor = mirror->floor;
    pthread_mutex_unlock(&mirror->lock);
    if (cw_etcd_call(mirror->etcd, "/v3/kv/range", cw_etcd_range_request(&range), PROBE_WAIT_MS, &answer) !=
        CW_ETCD_DONE) {
        note_trouble(mirror, cw_etcd_words(mirror->etcd));
        return false;
    }
    bool ok = cw_mirror_judge(mirror, answer, floor, &revision) == CW_OK;
    if (ok) {
        bool is_other = is_different(mirror, answer, &probed->newest);
        probed->behind = is_behind ? BEHIND_MAX : is_other ? probed->behind + 1 : 0;
        pthread_mutex_lock(&mirror->lock);
        mirror->answered_ms = monotonic_ms();
        pthread_mutex_unlock(&mirror->lock);
    }
    json_decref(answer);
    return ok;
}

static void follow(struct cw_mirror *mirror, uint64_t revision)
{
    uint64_t probe_ms = monotonic_ms() + PROBE_MS;
    struct probed probed = {0};
    bool goes_on = cw_etcd_watch(mirror->etcd, cw_etcd_watch_request(mirror->prefix, revision + 1));
    while (goes_on && !is_over(mirror)) {
        json_t *result = NULL;
        uint64_t now_ms = monotonic_ms();
        uint32_t wait_ms = probe_ms > now_ms ? (uint32_t)(probe_ms - now_ms) : 0;
        enum cw_etcd_next next = cw_etcd_watch_next(mirror->etcd, wait_ms, &result);
        if (next == CW_ETCD_NEXT_ENDED)
            note_trouble(mirror, cw_etcd_words(mirror->etcd));
        goes_on = next == CW_ETCD_NEXT_RESULT ? take_result(mirror, result) : next == CW_ETCD_NEXT_NONE;
        /* The etcd that was read may have been replaced before the watch stood: what it is now is compared.
         */
        if (goes_on && json_is_true(json_object_get(result, "created")))
            goes_on = read_all(mirror, &revision);
        json_decref(result);
        if (!goes_on || monotonic_ms() < probe_ms)
            continue;
        const char *asked = cw_etcd_endpoint(mirror->etcd);
        /* Another member answered than the one that is watched: that one may be alone. */
        goes_on =
            probe(mirror, &probed) && probed.behind < BEHIND_MAX && cw_etcd_endpoint(mirror->etcd) == asked;
        probe_ms = monotonic_ms() + PROBE_MS;
    }
    cw_etcd_unwatch(mirror->etcd);
}

static void pause_a_little(struct cw_mirror *mirror)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PAUSE_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mirror->lock);
    while (!mirror->is_stopping && pthread_cond_timedwait(&mirror->moved, &mirror->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&mirror->lock);
}

static void *run(void *context)
{
    struct cw_mirror *mirror = context;
    while (!is_over(mirror)) {
        uint64_t revision = 0;
        if (read_all(mirror, &revision))
            follow(mirror, revision);
        if (!is_over(mirror))
            pause_a_little(mirror);
    }
    return NULL;
}

/* ---------------------------------------------------------------- the store's side */

/* With the lock: until done says so. */
static bool wait_for(struct cw_mirror *mirror, uint64_t revision, uint32_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!mirror->fault[0] && (!mirror->has_copy || mirror->revision < revision)) {
        if (pthread_cond_timedwait(&mirror->moved, &mirror->lock, &until) != 0)
            break;
    }
    return mirror->has_copy && mirror->revision >= revision;
}

static bool start_thread(struct cw_mirror *mirror)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the caller's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&mirror->thread, NULL, run, mirror) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

struct cw_mirror *cw_mirror_open(const struct cw_etcd_address *address, const char *prefix, char *why,
                                 size_t why_size)
{
    pthread_condattr_t attributes;
    struct cw_mirror *mirror = calloc(1, sizeof *mirror);
    CW_ASSERT(strlen(prefix) < sizeof mirror->prefix);
    if (!mirror || !(mirror->etcd = cw_etcd_open(address, why, why_size))) {
        snprintf(why, why_size, "no memory");
        free(mirror);
        return NULL;
    }
    snprintf(mirror->prefix, sizeof mirror->prefix, "%s", prefix);
    pthread_mutex_init(&mirror->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&mirror->moved, &attributes);
    pthread_condattr_destroy(&attributes);
    mirror->answered_ms = monotonic_ms(); /* from here on it is silent */
    if (start_thread(mirror))
        return mirror;
    snprintf(why, why_size, "no thread for the copy of the store");
    cw_etcd_close(mirror->etcd);
    free(mirror);
    return NULL;
}

void cw_mirror_close(struct cw_mirror *mirror)
{
    if (!mirror)
        return;
    pthread_mutex_lock(&mirror->lock);
    mirror->is_stopping = true;
    pthread_cond_broadcast(&mirror->moved);
    pthread_mutex_unlock(&mirror->lock);
    cw_etcd_stop(mirror->etcd);
    pthread_join(mirror->thread, NULL);
    cw_etcd_close(mirror->etcd);
    cw_rows_free(&mirror->rows);
    pthread_cond_destroy(&mirror->moved);
    pthread_mutex_destroy(&mirror->lock);
    free(mirror);
}

enum cw_status cw_mirror_snapshot(struct cw_mirror *mirror, struct cw_draft *draft)
{
    pthread_mutex_lock(&mirror->lock);
    enum cw_status status =
        mirror->fault[0] || !mirror->has_copy ? CW_IO : cw_rows_copy(&draft->rows, &mirror->rows);
    draft->revision = mirror->revision;
    pthread_mutex_unlock(&mirror->lock);
    return status;
}

json_t *cw_mirror_get(struct cw_mirror *mirror, const char *key)
{
    pthread_mutex_lock(&mirror->lock);
    const struct cw_row *row = cw_rows_find(&mirror->rows, key);
    /* A copy: jansson looks at a count of references without minding other threads, and this row is the
     * thread's. */
    json_t *json = row ? json_deep_copy(row->json) : NULL;
    pthread_mutex_unlock(&mirror->lock);
    return json;
}

uint64_t cw_mirror_version(struct cw_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    uint64_t version = mirror->version;
    pthread_mutex_unlock(&mirror->lock);
    return version;
}

void cw_mirror_wait(struct cw_mirror *mirror, uint64_t revision, uint32_t wait_ms)
{
    pthread_mutex_lock(&mirror->lock);
    (void)wait_for(mirror, revision, wait_ms);
    pthread_mutex_unlock(&mirror->lock);
}

uint64_t cw_mirror_silent_ms(struct cw_mirror *mirror)
{
    pthread_mutex_lock(&mirror->lock);
    uint64_t silent_ms = monotonic_ms() - mirror->answered_ms;
    bool has_copy = mirror->has_copy;
    pthread_mutex_unlock(&mirror->lock);
    if (!has_copy)
        return silent_ms + 1;
    return silent_ms < CW_MIRROR_SILENT_MS ? 0 : silent_ms;
}

void cw_mirror_fault(struct cw_mirror *mirror, char *fault, size_t size)
{
    pthread_mutex_lock(&mirror->lock);
    snprintf(fault, size, "%s", mirror->fault);
    pthread_mutex_unlock(&mirror->lock);
}

void cw_mirror_trouble(struct cw_mirror *mirror, char *trouble, size_t size)
{
    pthread_mutex_lock(&mirror->lock);
    snprintf(trouble, size, "%s", mirror->trouble);
    pthread_mutex_unlock(&mirror->lock);
}
