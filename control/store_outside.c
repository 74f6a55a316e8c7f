/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/store_outside_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

#define TRY_NS  (200 * CW_MS)
#define FULL_NS CW_SECOND /* between tries to write a file that could not be written */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static struct cw_outside_store *of(struct cw_store *base)
{
    return (struct cw_outside_store *)base;
}

static struct cw_outside_entry *find_held(struct cw_outside_store *store, uint32_t group)
{
    struct cw_outside_entry *entry = cw_outside_find(store, group);
    return entry && entry->state == CW_OUTSIDE_HELD ? entry : NULL;
}

/* Nobody hears what is asked of the store for it, and what the store last said was asked is over. */
static bool is_outside(const struct cw_outside_entry *entry)
{
    return entry && (entry->state == CW_OUTSIDE_PERMITTED || entry->state == CW_OUTSIDE_HELD);
}

__attribute__((format(printf, 4, 5))) static void tell(struct cw_outside_store *store, int level,
                                                       uint32_t group, const char *format, ...)
{
    char words[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    if (store->options.tell)
        store->options.tell(store->options.context, level, group, words);
}

/* ---------------------------------------------------------------- the store takes over */

/* In the file before it is in the store: else, after a crash or when the file cannot be written later, a row
 * that has been the store's for long would be this site's own still. */
static bool begin_handing(struct cw_outside_store *store, struct cw_outside_entry *entry,
                          const struct cw_authority *now, const struct cw_authority *next)
{
    const struct cw_outside_entry was = *entry;
    if (entry->is_handing)
        return true;
    entry->is_handing = true;
    entry->before = *now;
    entry->row = *next;
    entry->is_unwritten_told = false;
    if (cw_outside_save(store)) {
        store->moves++;
        return true;
    }
    *entry = was;
    entry->is_unwritten_told = true;
    if (!was.is_unwritten_told)
        tell(
            store, 2, entry->group,
            "the store answers again, and does not get what %s holds by tokens, epoch %lu: break-glass.json "
            "cannot be written (%s). It goes on outside of the store, and its set stays as it is: make room, "
            "and promote no other site until then",
            store->options.site, entry->row.epoch, strerror(store->file_error));
    return false;
}

static void take_over(struct cw_outside_store *store, struct cw_outside_entry *entry)
{
    struct cw_authority now;
    uint64_t counter;
    enum cw_status status = store->inner->ops->authority(store->inner, entry->group, &now, &counter);
    if (status == CW_NOT_FOUND && !entry->is_unknown_told) {
        entry->is_unknown_told = true;
        tell(
            store, 2, entry->group,
            "the store answers and knows nothing of group %u, which %s holds by tokens: was it made anew? It "
            "goes on outside of it",
            entry->group, store->options.site);
    }
    if (status != CW_OK)
        return;
    bool is_passed = cw_outside_meets(&now, &entry->row) == CW_OUTSIDE_IS_PASSED;
    if (!is_passed && !store->is_trusted)
        return;
    if (!is_passed) {
        struct cw_authority next;
        cw_outside_settle(&now, &entry->row, entry->is_handing ? &entry->before : NULL, &next);
        if (!begin_handing(store, entry, &now, &next))
            return;
        if (!cw_authority_equal(&now, &next) &&
            store->inner->ops->swap(store->inner, entry->group, &now, &next, false, 0) != CW_OK)
            return; /* silent again, or somebody moved: it is looked at again */
        tell(store, 1, entry->group,
             "the store answers again, and has taken over epoch %lu of %s in the place of %lu",
             entry->row.epoch, store->options.site, now.epoch);
        entry->state = CW_OUTSIDE_TAKEN_OVER;
    } else {
        tell(store, 2, entry->group,
             "%s held epoch %lu by tokens, but the store has %s in epoch %lu: what was written here since is "
             "kept apart when it follows (causeway losses)",
             store->options.site, entry->row.epoch, now.holder[0] ? now.holder : "nobody", now.epoch);
        entry->state = CW_OUTSIDE_FREE;
    }
    store->moves++;
    (void)cw_outside_save(store); /* tried again; an older file says that it is being handed over */
}

/* Looks how the store is; called often. */
static void step(struct cw_outside_store *store)
{
    uint64_t now_ns = monotonic_ns(), silence_ns = store->inner->ops->silent_ms(store->inner) * CW_MS;
    cw_outside_look(&store->wait, silence_ns, now_ns);
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX && cw_outside_is_long(&store->wait); i++)
        if (store->entries[i].state == CW_OUTSIDE_TAKEN_OVER)
            store->entries[i].state = CW_OUTSIDE_FREE; /* that was the last time */
    if (now_ns < store->try_ns)
        return;
    if (store->file_error) {
        store->try_ns = now_ns + FULL_NS;
        (void)cw_outside_save(store);
    }
    if (silence_ns > 0 || store->inner->ops->fault(store->inner)[0])
        return;
    store->try_ns = now_ns + (store->file_error ? FULL_NS : TRY_NS);
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++)
        if (store->entries[i].state == CW_OUTSIDE_HELD)
            take_over(store, &store->entries[i]);
}

/* ---------------------------------------------------------------- what is permitted */

static const struct cw_store_ops ops;

enum cw_status cw_outside_permit(struct cw_store *base, uint32_t group, uint64_t epoch,
                                 const struct cw_token_mark *marks, uint32_t count)
{
    struct cw_outside_store *store = of(base);
    CW_ASSERT(count <= CW_TOKENS_MAX);
    if (base->ops != &ops)
        return CW_INVALID;
    struct cw_outside_entry *entry = cw_outside_find_or_make(store, group);
    if (store->inner->ops->silent_ms(store->inner) == 0 || (entry && entry->state == CW_OUTSIDE_HELD))
        return CW_REFUSED;
    if (!entry)
        return CW_NO_SPACE;
    *entry = (struct cw_outside_entry){
        .state = CW_OUTSIDE_PERMITTED, .group = group, .epoch = epoch, .mark_count = count};
    memcpy(entry->marks, marks, count * sizeof *marks);
    store->moves++;
    return CW_OK;
}

void cw_outside_withdraw(struct cw_store *base, uint32_t group)
{
    struct cw_outside_entry *entry = base->ops == &ops ? cw_outside_find(of(base), group) : NULL;
    if (!entry || entry->state != CW_OUTSIDE_PERMITTED)
        return;
    entry->state = CW_OUTSIDE_FREE;
    of(base)->moves++;
}

void cw_outside_trust(struct cw_store *base, bool is_trusted)
{
    if (base->ops == &ops)
        of(base)->is_trusted = is_trusted;
}

uint64_t cw_outside_permitted(struct cw_store *base, uint32_t group)
{
    const struct cw_outside_entry *entry = base->ops == &ops ? cw_outside_find(of(base), group) : NULL;
    return entry && entry->state == CW_OUTSIDE_PERMITTED ? entry->epoch : 0;
}

struct cw_store *cw_outside_inner(struct cw_store *base)
{
    return base->ops == &ops ? of(base)->inner : base;
}

bool cw_outside_is_held(struct cw_store *base, uint32_t group)
{
    return base->ops == &ops && find_held(of(base), group) != NULL;
}

const char *cw_outside_trouble(struct cw_store *base, uint32_t group, char *words, size_t size)
{
    struct cw_outside_store *store = of(base);
    const struct cw_outside_entry *entry = base->ops == &ops ? find_held(store, group) : NULL;
    *words = 0;
    if (!entry || store->inner->ops->silent_ms(store->inner) > 0)
        return words;
    if (!store->is_trusted)
        snprintf(words, size, "the store answers, and is not worked with here: causeway store show");
    else if (entry->is_unwritten_told)
        snprintf(words, size,
                 "the store answers, and does not get it, as %s cannot be written (%s): make room there, and "
                 "promote no other site until then; it is tried again by itself",
                 store->options.file, strerror(store->file_error));
    return words;
}

const struct cw_token_mark *cw_outside_used(struct cw_store *base, uint32_t *count)
{
    *count = base->ops == &ops ? of(base)->used_count : 0;
    return base->ops == &ops ? of(base)->used : NULL;
}

static void remember(struct cw_outside_store *store, const struct cw_outside_entry *entry)
{
    uint32_t kept = CW_MIN(store->used_count, CW_OUTSIDE_USED_MAX - entry->mark_count);
    memmove(store->used + entry->mark_count, store->used, kept * sizeof *store->used);
    memcpy(store->used, entry->marks, entry->mark_count * sizeof *store->used);
    store->used_count = kept + entry->mark_count;
}
static_assert(CW_TOKENS_MAX <= CW_OUTSIDE_USED_MAX, "the marks of one promotion fit");

/* ---------------------------------------------------------------- authority */

/* The row as it is to be, into the file; what was stays if that fails. */
static enum cw_status hold(struct cw_outside_store *store, struct cw_outside_entry *entry,
                           const struct cw_authority *next)
{
    const struct cw_outside_entry before = *entry;
    struct cw_token_mark used[CW_OUTSIDE_USED_MAX];
    uint32_t used_count = store->used_count;
    memcpy(used, store->used, sizeof used);
    if (entry->state == CW_OUTSIDE_PERMITTED)
        remember(store, entry);
    entry->state = CW_OUTSIDE_HELD;
    entry->row = *next;
    if (cw_outside_save(store)) {
        store->moves++;
        return CW_OK;
    }
    *entry = before;
    memcpy(store->used, used, sizeof used);
    store->used_count = used_count;
    return CW_IO;
}

/* From the row that the store had when it was last heard. */
static enum cw_status claim(struct cw_outside_store *store, struct cw_outside_entry *entry,
                            const struct cw_authority *expected, const struct cw_authority *next,
                            const uint64_t *counter)
{
    struct cw_authority now;
    uint64_t counter_now = 0;
    if (store->inner->ops->silent_ms(store->inner) == 0)
        return CW_REFUSED;
    CW_TRY(store->inner->ops->authority(store->inner, entry->group, &now, &counter_now));
    if (!cw_outside_may_claim(&now, expected, next, entry->epoch, store->options.site) ||
        (counter && *counter != counter_now))
        return CW_STALE;
    return hold(store, entry, next);
}

static enum cw_status outside_swap(struct cw_store *base, uint32_t group, const struct cw_authority *expected,
                                   const struct cw_authority *next, bool compare_counter, uint64_t counter)
{
    struct cw_outside_store *store = of(base);
    struct cw_outside_entry *entry = cw_outside_find(store, group);
    bool is_opening = next->epoch != expected->epoch;
    if (entry && entry->state == CW_OUTSIDE_HELD) {
        if (!cw_authority_equal(&entry->row, expected) || strcmp(next->holder, store->options.site) != 0)
            return CW_STALE;
        return entry->is_handing ? CW_IO : hold(store, entry, next);
    }
    if (entry && entry->state == CW_OUTSIDE_PERMITTED && is_opening)
        return claim(store, entry, expected, next, compare_counter ? &counter : NULL);
    step(store);
    bool is_early = !cw_outside_may_open(&store->wait, monotonic_ns());
    if (is_opening && is_early && !(entry && entry->state == CW_OUTSIDE_TAKEN_OVER))
        return CW_IO;
    return store->inner->ops->swap(store->inner, group, expected, next, compare_counter, counter);
}

static enum cw_status outside_authority(struct cw_store *base, uint32_t group, struct cw_authority *authority,
                                        uint64_t *counter)
{
    struct cw_outside_store *store = of(base);
    const struct cw_outside_entry *entry = find_held(store, group);
    if (!entry)
        return store->inner->ops->authority(store->inner, group, authority, counter);
    *authority = entry->row;
    *counter = 0;
    return CW_OK;
}

/* Those of the inner store that are to be renewed, renewed; what fails there is only not renewed, if anything
 * is held here. */
static enum cw_status renew_inside(struct cw_outside_store *store, const char *site,
                                   struct cw_store_lease *leases, uint32_t count, bool has_own)
{
    struct cw_store_lease inside[CW_NODE_GROUPS_MAX];
    uint32_t asked = 0, at = 0;
    for (uint32_t i = 0; i < count; i++)
        if (leases[i].is_held && !find_held(store, leases[i].group))
            inside[asked++] = (struct cw_store_lease){.group = leases[i].group, .epoch = leases[i].epoch};
    if (asked == 0)
        return has_own ? CW_OK : CW_IO;
    enum cw_status status = store->inner->ops->renew(store->inner, site, inside, asked);
    if (status != CW_OK)
        return has_own ? CW_OK : status;
    for (uint32_t i = 0; i < count; i++)
        if (leases[i].is_held && !find_held(store, leases[i].group))
            leases[i] = inside[at++];
    return CW_OK;
}

static enum cw_status outside_renew(struct cw_store *base, const char *site, struct cw_store_lease *leases,
                                    uint32_t count)
{
    struct cw_outside_store *store = of(base);
    bool has_own = false, is_any_late = false;
    CW_ASSERT(count <= CW_NODE_GROUPS_MAX);
    step(store);
    bool is_early = !cw_outside_may_renew(&store->wait, monotonic_ns());
    for (uint32_t i = 0; i < count; i++) {
        const struct cw_outside_entry *entry = cw_outside_find(store, leases[i].group);
        /* What is being handed over the store may have, and give to another site when it is not renewed
         * there: neither renewed nor lost. */
        bool is_held = entry && entry->state == CW_OUTSIDE_HELD, is_own = is_held && !entry->is_handing;
        leases[i].is_lost = is_own && !cw_decide_renew(&entry->row, site, leases[i].epoch);
        leases[i].is_held = !is_own;
        has_own = has_own || is_own;
        is_any_late =
            is_any_late || (!is_held && is_early && !(entry && entry->state == CW_OUTSIDE_TAKEN_OVER));
    }
    if (is_any_late) /* one transaction for all: they wait together */
        return has_own ? CW_OK : CW_IO;
    return renew_inside(store, site, leases, count, has_own);
}

/* ---------------------------------------------------------------- of the whole */

static void outside_close(struct cw_store *base)
{
    struct cw_outside_store *store = of(base);
    store->inner->ops->close(store->inner);
    free(store);
}

static uint64_t outside_version(struct cw_store *base)
{
    struct cw_outside_store *store = of(base);
    step(store);
    uint64_t version = store->inner->ops->version(store->inner);
    return version ? version + store->moves : 0;
}

static enum cw_status outside_load(struct cw_store *base, struct cw_store_view *view)
{
    struct cw_outside_store *store = of(base);
    CW_TRY(store->inner->ops->load(store->inner, view));
    view->version += store->moves;
    for (uint32_t i = 0; i < view->group_count; i++) {
        struct cw_store_group *group = &view->groups[i];
        const struct cw_outside_entry *entry = cw_outside_find(store, group->id);
        if (!is_outside(entry))
            continue;
        group->request = (struct cw_store_request){.taker = ""};
        if (entry->state == CW_OUTSIDE_PERMITTED)
            continue;
        enum cw_outside_meeting meeting = cw_outside_meets(&group->authority, &entry->row);
        if (meeting == CW_OUTSIDE_IS_PASSED || (meeting == CW_OUTSIDE_IS_IN && entry->is_handing))
            continue;
        group->authority = entry->row;
    }
    return CW_OK;
}

static enum cw_status outside_request(struct cw_store *base, uint32_t group,
                                      const struct cw_store_request *request)
{
    struct cw_outside_store *store = of(base);
    if (is_outside(cw_outside_find(store, group)))
        return CW_IO; /* no store has taken it, and so it ends nobody's grant (roles.c) */
    return store->inner->ops->request(store->inner, group, request);
}

static enum cw_status outside_request_clear(struct cw_store *base, uint32_t group, const char *taker)
{
    struct cw_outside_store *store = of(base);
    if (!is_outside(cw_outside_find(store, group)))
        return store->inner->ops->request_clear(store->inner, group, taker);
    cw_outside_withdraw(base, group);
    return CW_OK;
}

static enum cw_status outside_request_drop(struct cw_store *base, uint32_t group,
                                           const struct cw_store_request *seen)
{
    struct cw_outside_store *store = of(base);
    if (is_outside(cw_outside_find(store, group)))
        return CW_STALE; /* none stands: nothing is dropped, and nothing to be told */
    return store->inner->ops->request_drop(store->inner, group, seen);
}

static enum cw_status outside_group_remove(struct cw_store *base, uint32_t group)
{
    struct cw_outside_store *store = of(base);
    struct cw_outside_entry *entry = cw_outside_find(store, group);
    CW_TRY(store->inner->ops->group_remove(store->inner, group));
    if (entry) {
        entry->state = CW_OUTSIDE_FREE;
        store->moves++;
        (void)cw_outside_save(store);
    }
    return CW_OK;
}

/* ---------------------------------------------------------------- as it is */

static const char *outside_fault(struct cw_store *base)
{
    return cw_store_fault(of(base)->inner);
}

static uint64_t outside_silent_ms(struct cw_store *base)
{
    return cw_store_silent_ms(of(base)->inner);
}

static const char *outside_trouble(struct cw_store *base)
{
    return cw_store_trouble(of(base)->inner);
}

static enum cw_status outside_agree_lease(struct cw_store *base, uint64_t lease_ms, uint64_t *recorded)
{
    return cw_store_agree_lease(of(base)->inner, lease_ms, recorded);
}

static enum cw_status outside_begin(struct cw_store *base)
{
    return cw_store_begin(of(base)->inner);
}

static enum cw_status outside_end(struct cw_store *base, bool ok)
{
    return cw_store_end(of(base)->inner, ok);
}

static enum cw_status outside_lease_counter(struct cw_store *base, const char *site, uint64_t *counter)
{
    return cw_store_lease_counter(of(base)->inner, site, counter);
}

static enum cw_status outside_site_put(struct cw_store *base, const struct cw_store_site *site)
{
    return cw_store_site_put(of(base)->inner, site);
}

static enum cw_status outside_group_add(struct cw_store *base, struct cw_store_group *group)
{
    return cw_store_group_add(of(base)->inner, group);
}

static enum cw_status outside_group_update(struct cw_store *base, const struct cw_store_group *group)
{
    return cw_store_group_update(of(base)->inner, group);
}

static enum cw_status outside_group_read(struct cw_store *base, uint32_t group, struct cw_store_group *read)
{
    return cw_store_group_read(of(base)->inner, group, read);
}

static enum cw_status outside_group_deleting(struct cw_store *base, uint32_t group)
{
    return cw_store_group_deleting(of(base)->inner, group);
}

static enum cw_status outside_volume_add(struct cw_store *base, struct cw_store_volume *volume)
{
    return cw_store_volume_add(of(base)->inner, volume);
}

static enum cw_status outside_volume_deleting(struct cw_store *base, uint32_t group, int32_t volume)
{
    return cw_store_volume_deleting(of(base)->inner, group, volume);
}

static enum cw_status outside_volume_remove(struct cw_store *base, uint32_t group, int32_t volume)
{
    return cw_store_volume_remove(of(base)->inner, group, volume);
}

static enum cw_status outside_place_put(struct cw_store *base, const struct cw_store_place *place)
{
    return cw_store_place_put(of(base)->inner, place);
}

static enum cw_status outside_place_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                           const char *site)
{
    return cw_store_place_remove(of(base)->inner, group, volume, site);
}

static enum cw_status outside_attachment_put(struct cw_store *base,
                                             const struct cw_store_attachment *attachment)
{
    return cw_store_attachment_put(of(base)->inner, attachment);
}

static enum cw_status outside_attachment_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                                const char *kind)
{
    return cw_store_attachment_remove(of(base)->inner, group, volume, kind);
}

static const struct cw_store_ops ops = {
    .close = outside_close,
    .fault = outside_fault,
    .silent_ms = outside_silent_ms,
    .trouble = outside_trouble,
    .agree_lease = outside_agree_lease,
    .version = outside_version,
    .load = outside_load,
    .begin = outside_begin,
    .end = outside_end,
    .authority = outside_authority,
    .swap = outside_swap,
    .renew = outside_renew,
    .lease_counter = outside_lease_counter,
    .request = outside_request,
    .request_clear = outside_request_clear,
    .request_drop = outside_request_drop,
    .site_put = outside_site_put,
    .group_add = outside_group_add,
    .group_update = outside_group_update,
    .group_read = outside_group_read,
    .group_deleting = outside_group_deleting,
    .group_remove = outside_group_remove,
    .volume_add = outside_volume_add,
    .volume_deleting = outside_volume_deleting,
    .volume_remove = outside_volume_remove,
    .place_put = outside_place_put,
    .place_remove = outside_place_remove,
    .attachment_put = outside_attachment_put,
    .attachment_remove = outside_attachment_remove,
};

struct cw_store *cw_store_open_outside(struct cw_store *inner, const struct cw_outside_options *options,
                                       char *why, size_t why_size)
{
    struct cw_outside_store *store = calloc(1, sizeof *store);
    if (!store) {
        snprintf(why, why_size, "no memory");
        cw_store_close(inner);
        return NULL;
    }
    *store = (struct cw_outside_store){.base.ops = &ops,
                                       .inner = inner,
                                       .options = *options,
                                       .wait = {.lease_ns = options->lease_ms * CW_MS,
                                                .hold_ns = options->hold_ms * CW_MS,
                                                .opened_ns = monotonic_ns()}};
    if (cw_outside_load_file(store, why, why_size))
        return &store->base;
    cw_store_close(&store->base);
    return NULL;
}
