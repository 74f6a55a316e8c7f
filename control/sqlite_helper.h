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
#include <stdint.h>

#include "base/status.h"
#include "control/try.h"

/* A prepared, bound statement or NULL (said on stderr). The caller finalizes. */
sqlite3_stmt *cw_sql_prepare(sqlite3 *db, const char *sql, const char *format, ...);
/* Runs to the end. CW_EXISTS: a constraint said no. CW_AGAIN: locked for longer than the busy timeout. */
enum cw_status cw_sql_run(sqlite3 *db, const char *sql, const char *format, ...);
/* Copies a text column, cut to size. */
void cw_sql_text(sqlite3_stmt *statement, int column, char *to, size_t size);

/* Opens a file in WAL mode and makes it (0600) where it is not there. is_durable: what was committed survives
 * the loss of power; else the last of it may be gone. Waits up to wait_ms for somebody else's lock, until the
 * connection is given its own patience. NULL with words in why, that begin with `what`, and SQLite's code in
 * *result; so on a network file system, where WAL is no sharing. The caller closes. */
#define CW_SQL_OPEN_MS 2000u
sqlite3 *cw_sql_open(const char *what, const char *file, bool is_durable, uint32_t wait_ms, int *result,
                     char *why, size_t why_size);

/* How long a connection waits for a lock that somebody else has. The controller does nothing else meanwhile,
 * and must answer: when the file has taken nothing for a second, it is not waited for. */
struct cw_sql_patience {
    uint32_t limit_ms;
    uint64_t began_ms;   /* to wait, this time */
    uint64_t busy_ms;    /* since when no commit went through for the lock of others; 0: they do */
    uint64_t refused_ms; /* when the last one did not */
};
/* Borrows patience while db is open. limit_ms may be changed between statements. */
void cw_sql_be_patient(sqlite3 *db, struct cw_sql_patience *patience, uint32_t limit_ms);
