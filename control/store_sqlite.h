/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the embedded store, shared by its files only. */
#pragma once

#include "control/sqlite_helper.h"
#include "control/store_ops.h"

struct cw_sqlite {
    struct cw_store base;
    sqlite3 *db; /* durable when a change returns */
    struct cw_sql_patience patience;
    bool is_open;                  /* between begin and end */
    struct cw_store_view *loading; /* becomes the caller's view when all of it has been read */
    /* what was seen of it, and may never go back: cw_sqlite_look_back */
    uint64_t version_seen;
    uint32_t seen_count;
    struct cw_sqlite_seen {
        int64_t group;
        uint64_t moves;
    } seen[CW_STORE_GROUPS_MAX];
    char fault[256]; /* "": none */
};

static inline struct cw_sqlite *cw_sqlite_of(struct cw_store *base)
{
    return (struct cw_sqlite *)base;
}
static_assert(offsetof(struct cw_sqlite, base) == 0, "the one is the other");

/* Ends what cw_store_change began, keeping the worse of the two results. */
enum cw_status cw_sqlite_change_begin(struct cw_sqlite *store, bool *is_mine);
enum cw_status cw_sqlite_change_end(struct cw_sqlite *store, bool is_mine, enum cw_status status);
/* CW_IO when something went back: for good, cw_store_fault has the words. Within a transaction. */
enum cw_status cw_sqlite_look_back(struct cw_sqlite *store) CW_MUST_CHECK;
extern const char *const cw_sqlite_authority_columns;
void cw_sqlite_authority_row(sqlite3_stmt *row, int column, struct cw_authority *authority);

/* Operations that both files need, and those that are in store_wanted.c. */
uint64_t cw_sqlite_version(struct cw_store *base);
enum cw_status cw_sqlite_load(struct cw_store *base, struct cw_store_view *view);
enum cw_status cw_sqlite_site_put(struct cw_store *base, const struct cw_store_site *site);
enum cw_status cw_sqlite_group_add(struct cw_store *base, struct cw_store_group *group);
enum cw_status cw_sqlite_group_update(struct cw_store *base, const struct cw_store_group *group);
enum cw_status cw_sqlite_group_read(struct cw_store *base, uint32_t group, struct cw_store_group *read);
enum cw_status cw_sqlite_group_deleting(struct cw_store *base, uint32_t group);
enum cw_status cw_sqlite_group_remove(struct cw_store *base, uint32_t group);
enum cw_status cw_sqlite_volume_add(struct cw_store *base, struct cw_store_volume *volume);
enum cw_status cw_sqlite_volume_deleting(struct cw_store *base, uint32_t group, int32_t volume);
enum cw_status cw_sqlite_volume_remove(struct cw_store *base, uint32_t group, int32_t volume);
enum cw_status cw_sqlite_place_put(struct cw_store *base, const struct cw_store_place *place);
enum cw_status cw_sqlite_place_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                      const char *site);
enum cw_status cw_sqlite_attachment_put(struct cw_store *base, const struct cw_store_attachment *attachment);
enum cw_status cw_sqlite_attachment_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                           const char *kind);
