/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All rows of a store in etcd at once: read for a copy, and put back by a rebuild (rebuild.h says which).
 * Takes the store that cw_store_open_etcd gave, not one around it.
 */
#pragma once

#include <jansson.h>

#include "control/store.h"

/* {"key": value} without what only moves (leases, requests); new reference. CW_IO: there is no copy yet. */
enum cw_status cw_etcd_rows(struct cw_store *etcd, json_t **rows, uint64_t *revision) CW_MUST_CHECK;
/* A view of such rows, foreign bytes. */
enum cw_status cw_etcd_view(struct cw_store *etcd, const json_t *rows,
                            struct cw_store_view *view) CW_MUST_CHECK;

/* Raises the mark, if there is none, for all who use the store: this site remembers more than it has. */
enum cw_status cw_etcd_doubt(struct cw_store *etcd, const char *site, const char *why) CW_MUST_CHECK;

struct cw_etcd_rebuild {
    const char *site;   /* who does it */
    uint64_t id;        /* of this one: of two at once the later one goes on, and the other one ends */
    const json_t *rows; /* what shall stand */
    const json_t *gone; /* by key, what shall not; NULL: nothing. Only with may_replace */
    const json_t *seen; /* the rows of the store that this was worked out from */
    bool is_replace;    /* what stood there counted, too, and still does if this is interrupted */
    bool may_replace;   /* what stands there may be another row, as after an interrupted one */
};

/*
 * A mark stands from the first transaction to the last; while it does no epoch is claimed by anybody, and a
 * controller that starts does nothing. CW_STALE: somebody else writes there or rebuilds it, or a row is not
 * as it was seen; whatever is there then is to be looked at anew. CW_EXISTS: another row stands, or
 * something is to go, and !may_replace. Whatever it ends with, it can be done again.
 */
enum cw_status cw_etcd_rebuild(struct cw_store *etcd, const struct cw_etcd_rebuild *how) CW_MUST_CHECK;
