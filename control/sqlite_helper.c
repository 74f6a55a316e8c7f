/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/sqlite_helper.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/assert.h"

#define PATIENCE_LOST_MS 20
#define LOST_MS          1000
#define FORGET_MS        5000 /* without an attempt: nothing is known of the lock any more */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, const char *format, va_list arguments)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        fprintf(stderr, "store: %s: %s\n", sqlite3_errmsg(db), sql);
        return NULL;
    }
    for (int i = 0; format[i]; i++) {
        CW_ASSERT(format[i] == 'i' || format[i] == 't');
        if (format[i] == 'i')
            sqlite3_bind_int64(statement, i + 1, va_arg(arguments, int64_t));
        else
            sqlite3_bind_text(statement, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
    }
    return statement;
}

sqlite3_stmt *cw_sql_prepare(sqlite3 *db, const char *sql, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sqlite3_stmt *statement = prepare(db, sql, format, arguments);
    va_end(arguments);
    return statement;
}

enum cw_status cw_sql_run(sqlite3 *db, const char *sql, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sqlite3_stmt *statement = prepare(db, sql, format, arguments);
    va_end(arguments);
    if (!statement)
        return CW_IO;
    int result;
    do {
        result = sqlite3_step(statement);
    } while (result == SQLITE_ROW);
    sqlite3_finalize(statement);
    if (result == SQLITE_CONSTRAINT)
        return CW_EXISTS;
    if (result == SQLITE_BUSY)
        return CW_AGAIN;
    if (result != SQLITE_DONE)
        fprintf(stderr, "store: %s: %s\n", sqlite3_errmsg(db), sql);
    return result == SQLITE_DONE ? CW_OK : CW_IO;
}

void cw_sql_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(to, size, "%s", text ? text : "");
}

/* ---------------------------------------------------------------- opening */

static bool is_network_file_system(const char *file)
{
    static const unsigned long magics[] = {0x6969 /* nfs */,      0xff534d42 /* cifs */,
                                           0xfe534d42 /* smb2 */, 0x00c36400 /* ceph */,
                                           0x01161970 /* gfs2 */, 0x7461636f /* ocfs2 */};
    char directory[PATH_MAX];
    struct statfs about;
    snprintf(directory, sizeof directory, "%s", file);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = 0;
    if (statfs(directory[0] ? directory : "/", &about) < 0)
        return false;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if ((unsigned long)(uint32_t)about.f_type == magics[i])
            return true;
    }
    return false;
}

static sqlite3 *open_one(const char *file, const char *synchronous, uint32_t wait_ms, int *result)
{
    sqlite3 *db = NULL;
    char pragmas[128];
    *result =
        sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(db, (int)wait_ms);
    snprintf(pragmas, sizeof pragmas, "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s;", synchronous);
    if (*result == SQLITE_OK)
        *result = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
    /* Two controllers that make a store WAL at once: SQLite tells one of them busy without asking the
     * time-out. */
    for (uint32_t waited_ms = 0; *result == SQLITE_BUSY && waited_ms < wait_ms; waited_ms += 10) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        *result = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
    }
    return db;
}

sqlite3 *cw_sql_open(const char *what, const char *file, bool is_durable, uint32_t wait_ms, int *result,
                     char *why, size_t why_size)
{
    *result = SQLITE_CANTOPEN;
    if (is_network_file_system(file)) {
        snprintf(why, why_size,
                 "%s %s is on a network file system: the embedded store works within one machine", what,
                 file);
        return NULL;
    }
    mode_t before = umask(0177);
    sqlite3 *db = open_one(file, is_durable ? "FULL" : "NORMAL", wait_ms, result);
    umask(before);
    if (*result == SQLITE_OK)
        return db;
    *result = sqlite3_extended_errcode(db);
    snprintf(why, why_size, "%s %s: %s", what, file, sqlite3_errmsg(db));
    sqlite3_close(db);
    return NULL;
}

/* ---------------------------------------------------------------- somebody else has the lock */

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* SQLite asks before every new attempt; 0: the statement fails as busy. */
static int on_busy(void *context, int attempts)
{
    struct cw_sql_patience *patience = context;
    uint64_t now_ms = monotonic_ms();
    if (attempts == 0)
        patience->began_ms = now_ms;
    if (now_ms - patience->refused_ms >= FORGET_MS)
        patience->busy_ms = 0;
    bool is_lost = patience->busy_ms != 0 && now_ms - patience->busy_ms >= LOST_MS;
    if (now_ms - patience->began_ms < (is_lost ? PATIENCE_LOST_MS : patience->limit_ms)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
        return 1;
    }
    if (patience->busy_ms == 0)
        patience->busy_ms = now_ms;
    patience->refused_ms = now_ms;
    return 0;
}

/* Whoever commits has had the lock. */
static int on_commit(void *context)
{
    struct cw_sql_patience *patience = context;
    patience->busy_ms = 0;
    return 0;
}

void cw_sql_be_patient(sqlite3 *db, struct cw_sql_patience *patience, uint32_t limit_ms)
{
    *patience = (struct cw_sql_patience){.limit_ms = limit_ms};
    sqlite3_busy_handler(db, on_busy, patience);
    sqlite3_commit_hook(db, on_commit, patience);
}
