/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an implementation of the store gives: each entry is required, keeps the contract of the function of
 * that name in store.h, and is called by the one thread that uses the store. `store` is the first member of
 * the implementation's own struct.
 */
#pragma once

#include "control/store.h"
#include "control/try.h"

struct cw_store_ops {
    void (*close)(struct cw_store *store);
    const char *(*fault)(struct cw_store *store);
    uint64_t (*silent_ms)(struct cw_store *store);
    const char *(*trouble)(struct cw_store *store);
    enum cw_status (*agree_lease)(struct cw_store *store, uint64_t lease_ms, uint64_t *recorded);
    uint64_t (*version)(struct cw_store *store);
    enum cw_status (*load)(struct cw_store *store, struct cw_store_view *view);
    enum cw_status (*begin)(struct cw_store *store);
    enum cw_status (*end)(struct cw_store *store, bool ok);
    enum cw_status (*authority)(struct cw_store *store, uint32_t group, struct cw_authority *authority,
                                uint64_t *counter);
    enum cw_status (*swap)(struct cw_store *store, uint32_t group, const struct cw_authority *expected,
                           const struct cw_authority *next, bool compare_counter, uint64_t counter);
    enum cw_status (*renew)(struct cw_store *store, const char *site, struct cw_store_lease *leases,
                            uint32_t count);
    enum cw_status (*lease_counter)(struct cw_store *store, const char *site, uint64_t *counter);
    enum cw_status (*request)(struct cw_store *store, uint32_t group, const struct cw_store_request *request);
    enum cw_status (*request_clear)(struct cw_store *store, uint32_t group, const char *taker);
    enum cw_status (*request_drop)(struct cw_store *store, uint32_t group,
                                   const struct cw_store_request *seen);
    enum cw_status (*site_put)(struct cw_store *store, const struct cw_store_site *site);
    enum cw_status (*group_add)(struct cw_store *store, struct cw_store_group *group);
    enum cw_status (*group_update)(struct cw_store *store, const struct cw_store_group *group);
    enum cw_status (*group_read)(struct cw_store *store, uint32_t group, struct cw_store_group *read);
    enum cw_status (*group_deleting)(struct cw_store *store, uint32_t group);
    enum cw_status (*group_remove)(struct cw_store *store, uint32_t group);
    enum cw_status (*volume_add)(struct cw_store *store, struct cw_store_volume *volume);
    enum cw_status (*volume_deleting)(struct cw_store *store, uint32_t group, int32_t volume);
    enum cw_status (*volume_remove)(struct cw_store *store, uint32_t group, int32_t volume);
    enum cw_status (*place_put)(struct cw_store *store, const struct cw_store_place *place);
    enum cw_status (*place_remove)(struct cw_store *store, uint32_t group, int32_t volume, const char *site);
    enum cw_status (*attachment_put)(struct cw_store *store, const struct cw_store_attachment *attachment);
    enum cw_status (*attachment_remove)(struct cw_store *store, uint32_t group, int32_t volume,
                                        const char *kind);
};

struct cw_store {
    const struct cw_store_ops *ops;
};
