/* SPDX-License-Identifier: BSD-3-Clause */
/* The store, whichever it is: every call goes to the implementation that opened it. */
#include "control/store_ops.h"

void cw_store_close(struct cw_store *store)
{
    if (store)
        store->ops->close(store);
}

const char *cw_store_fault(struct cw_store *store)
{
    return store->ops->fault(store);
}

uint64_t cw_store_silent_ms(struct cw_store *store)
{
    return store->ops->silent_ms(store);
}

const char *cw_store_trouble(struct cw_store *store)
{
    return store->ops->trouble(store);
}

enum cw_status cw_store_agree_lease(struct cw_store *store, uint64_t lease_ms, uint64_t *recorded)
{
    return store->ops->agree_lease(store, lease_ms, recorded);
}

uint64_t cw_store_version(struct cw_store *store)
{
    return store->ops->version(store);
}

enum cw_status cw_store_load(struct cw_store *store, struct cw_store_view *view)
{
    return store->ops->load(store, view);
}

enum cw_status cw_store_begin(struct cw_store *store)
{
    return store->ops->begin(store);
}

enum cw_status cw_store_end(struct cw_store *store, bool ok)
{
    return store->ops->end(store, ok);
}

enum cw_status cw_store_authority(struct cw_store *store, uint32_t group, struct cw_authority *authority,
                                  uint64_t *counter)
{
    return store->ops->authority(store, group, authority, counter);
}

enum cw_status cw_store_swap(struct cw_store *store, uint32_t group, const struct cw_authority *expected,
                             const struct cw_authority *next, bool compare_counter, uint64_t counter)
{
    return store->ops->swap(store, group, expected, next, compare_counter, counter);
}

enum cw_status cw_store_renew(struct cw_store *store, const char *site, struct cw_store_lease *leases,
                              uint32_t count)
{
    return store->ops->renew(store, site, leases, count);
}

enum cw_status cw_store_lease_counter(struct cw_store *store, const char *site, uint64_t *counter)
{
    return store->ops->lease_counter(store, site, counter);
}

enum cw_status cw_store_request(struct cw_store *store, uint32_t group,
                                const struct cw_store_request *request)
{
    return store->ops->request(store, group, request);
}

enum cw_status cw_store_request_clear(struct cw_store *store, uint32_t group, const char *taker)
{
    return store->ops->request_clear(store, group, taker);
}

enum cw_status cw_store_request_drop(struct cw_store *store, uint32_t group,
                                     const struct cw_store_request *seen)
{
    return store->ops->request_drop(store, group, seen);
}

enum cw_status cw_store_site_put(struct cw_store *store, const struct cw_store_site *site)
{
    return store->ops->site_put(store, site);
}

enum cw_status cw_store_group_add(struct cw_store *store, struct cw_store_group *group)
{
    return store->ops->group_add(store, group);
}

enum cw_status cw_store_group_update(struct cw_store *store, const struct cw_store_group *group)
{
    return store->ops->group_update(store, group);
}

enum cw_status cw_store_group_read(struct cw_store *store, uint32_t group, struct cw_store_group *read)
{
    return store->ops->group_read(store, group, read);
}

enum cw_status cw_store_group_deleting(struct cw_store *store, uint32_t group)
{
    return store->ops->group_deleting(store, group);
}

enum cw_status cw_store_group_remove(struct cw_store *store, uint32_t group)
{
    return store->ops->group_remove(store, group);
}

enum cw_status cw_store_volume_add(struct cw_store *store, struct cw_store_volume *volume)
{
    return store->ops->volume_add(store, volume);
}

enum cw_status cw_store_volume_deleting(struct cw_store *store, uint32_t group, int32_t volume)
{
    return store->ops->volume_deleting(store, group, volume);
}

enum cw_status cw_store_volume_remove(struct cw_store *store, uint32_t group, int32_t volume)
{
    return store->ops->volume_remove(store, group, volume);
}

enum cw_status cw_store_place_put(struct cw_store *store, const struct cw_store_place *place)
{
    return store->ops->place_put(store, place);
}

enum cw_status cw_store_place_remove(struct cw_store *store, uint32_t group, int32_t volume, const char *site)
{
    return store->ops->place_remove(store, group, volume, site);
}

enum cw_status cw_store_attachment_put(struct cw_store *store, const struct cw_store_attachment *attachment)
{
    return store->ops->attachment_put(store, attachment);
}

enum cw_status cw_store_attachment_remove(struct cw_store *store, uint32_t group, int32_t volume,
                                          const char *kind)
{
    return store->ops->attachment_remove(store, group, volume, kind);
}
