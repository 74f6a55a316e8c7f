/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the embedded store, shared by its files only. */
#pragma once

#include "control/sqlite_helper.h"
#include "control/store.h"

struct cw_store {
    sqlite3 *db;    /* synchronous=FULL: durable when a change returns */
    sqlite3 *facts; /* the same file, synchronous=NORMAL: for what is told again anyway */
    bool is_open;   /* between begin and end */
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
extern const char *const cw_store_authority_columns;
void cw_store_authority_row(sqlite3_stmt *row, int column, struct cw_authority *authority);
