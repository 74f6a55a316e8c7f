/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the embedded store, shared by its files only. */
#pragma once

#include "control/sqlite_helper.h"
#include "control/store.h"

/* How long a connection waits for a lock that somebody else has. */
struct cw_store_patience {
    struct cw_store *store;
    uint32_t limit_ms;
    uint64_t began_ms; /* to wait, this time */
};

struct cw_store {
    sqlite3 *db;    /* synchronous=FULL: durable when a change returns */
    sqlite3 *facts; /* the same file, synchronous=NORMAL: for what is told again anyway */
    struct cw_store_patience db_patience, facts_patience;
    uint64_t busy_ms;              /* since when no commit went through for the lock of others; 0: they do */
    bool is_open;                  /* between begin and end */
    struct cw_store_view *loading; /* becomes the caller's view when all of it has been read */
    /* what was seen of it, and may never go back: cw_store_look_back */
    uint64_t version_seen;
    uint32_t seen_count;
    struct cw_store_seen {
        int64_t group;
        uint64_t moves;
    } seen[CW_STORE_GROUPS_MAX];
    char fault[256]; /* "": none */
};

#define CW_TRY(expression)                                                                                   \
    do {                                                                                                     \
        enum cw_status try_ = (expression);                                                                  \
        if (try_ != CW_OK)                                                                                   \
            return try_;                                                                                     \
    } while (0)

/* Ends what cw_store_change began, keeping the worse of the two results. */
enum cw_status cw_store_change_begin(struct cw_store *store, bool *is_mine);
enum cw_status cw_store_change_end(struct cw_store *store, bool is_mine, enum cw_status status);
/* CW_IO when something went back: for good, cw_store_fault has the words. Within a transaction. */
enum cw_status cw_store_look_back(struct cw_store *store) CW_MUST_CHECK;
extern const char *const cw_store_authority_columns;
void cw_store_authority_row(sqlite3_stmt *row, int column, struct cw_authority *authority);
