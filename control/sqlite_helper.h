/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statements in one line. The format has one letter a parameter: 'i' an int64_t (cast!), 't' a text or NULL.
 *
 *     CW_TRY(cw_sql_run(db, "UPDATE x SET a=? WHERE b=?", "it", (int64_t)5, "name"));
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* A prepared, bound statement or NULL (said on stderr). The caller finalizes. */
sqlite3_stmt *cw_sql_prepare(sqlite3 *db, const char *sql, const char *format, ...);
/* Runs to the end. CW_EXISTS: a constraint said no. CW_AGAIN: locked for longer than the busy timeout. */
enum cw_status cw_sql_run(sqlite3 *db, const char *sql, const char *format, ...);
/* Copies a text column, cut to size. */
void cw_sql_text(sqlite3_stmt *statement, int column, char *to, size_t size);
