/* SPDX-License-Identifier: BSD-3-Clause */
/* A site and a group that nothing is said of but their names. */
#pragma once

#include <stdio.h>

#include "control/store.h"

static inline void put_site(struct cw_store *store, const char *name, uint32_t id)
{
    struct cw_store_site site = {.id = id};
    snprintf(site.name, sizeof site.name, "%s", name);
    assert_int_equal(cw_store_site_put(store, &site), CW_OK);
}

static inline uint32_t put_group(struct cw_store *store, const char *name)
{
    struct cw_store_group group = {
        .mode = CW_WORD_SYNC, .site_count = 2, .sites = {"east", "west"}, .first = "east"};
    snprintf(group.name, sizeof group.name, "%s", name);
    assert_int_equal(cw_store_group_add(store, &group), CW_OK);
    return group.id;
}
