/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the store in etcd, shared by its files only. */
#pragma once

#include "control/etcd_mirror.h"
#include "control/store_ops.h"
#include "control/store_rows.h"

struct cw_etcd_store {
    struct cw_store base;
    struct cw_etcd *etcd; /* for writing; the mirror has its own */
    struct cw_mirror *mirror;
    char prefix[CW_MIRROR_PREFIX_MAX];
    uint64_t lease_ms; /* as agreed; 0: not yet */
    bool is_format_known;
    bool is_open; /* between begin and end: draft is the change */
    struct cw_draft draft;
    struct cw_store_view *loading; /* becomes the caller's view when all of it has been read */
    char fault[CW_ETCD_WORDS_SIZE], trouble[CW_ETCD_WORDS_SIZE];
};

static inline struct cw_etcd_store *cw_etcd_store_of(struct cw_store *base)
{
    return (struct cw_etcd_store *)base;
}
static_assert(offsetof(struct cw_etcd_store, base) == 0, "the one is the other");

/*
 * A change, tried again on a newer snapshot as long as somebody else moved what it rests on:
 *
 *     struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
 *     while (cw_etcd_change_next(store, &change))
 *         change.status = what_it_does(change.draft, ...);
 *     return change.status;
 *
 * Between begin and end it is one try, on the draft that end sends.
 */
#define CW_CHANGE_MS 2000u
struct cw_etcd_change {
    uint32_t patience_ms;
    struct cw_draft *draft;
    enum cw_status status;
    /* its own */
    uint32_t tries;
    uint64_t end_ms;
    struct cw_draft own;
};
bool cw_etcd_change_next(struct cw_etcd_store *store, struct cw_etcd_change *change);

/* What a change of authority over a group does to the leases that stand on it: see cw_store_renew there. */
void cw_etcd_touch_holder(struct cw_draft *draft, const char *holder);

/* The rows of a draft as a view; before: what was known, or NULL. false: more than there can be, said on stderr. */
bool cw_etcd_load_rows(const struct cw_draft *draft, struct cw_store_view *view,
                       const struct cw_store_view *before);
/* Can every row of the group be read that its authority is decided by? */
bool cw_etcd_is_readable(const struct cw_draft *draft, uint32_t group);

/* Operations that are in store_etcd_wanted.c. */
enum cw_status cw_etcd_load(struct cw_store *base, struct cw_store_view *view);
enum cw_status cw_etcd_site_put(struct cw_store *base, const struct cw_store_site *site);
enum cw_status cw_etcd_group_add(struct cw_store *base, struct cw_store_group *group);
enum cw_status cw_etcd_group_update(struct cw_store *base, const struct cw_store_group *group);
enum cw_status cw_etcd_group_deleting(struct cw_store *base, uint32_t group);
enum cw_status cw_etcd_group_remove(struct cw_store *base, uint32_t group);
enum cw_status cw_etcd_volume_add(struct cw_store *base, struct cw_store_volume *volume);
enum cw_status cw_etcd_volume_deleting(struct cw_store *base, uint32_t group, int32_t volume);
enum cw_status cw_etcd_volume_remove(struct cw_store *base, uint32_t group, int32_t volume);
enum cw_status cw_etcd_place_put(struct cw_store *base, const struct cw_store_place *place);
enum cw_status cw_etcd_place_remove(struct cw_store *base, uint32_t group, int32_t volume, const char *site);
enum cw_status cw_etcd_attachment_put(struct cw_store *base, const struct cw_store_attachment *attachment);
enum cw_status cw_etcd_attachment_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                         const char *kind);
