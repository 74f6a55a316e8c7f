/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The book as tables of one SQLite file, in WAL mode. Beside the embedded store that is the store's own file,
 * which all controllers of this machine open: so each reads what the others said. What is told again anyway
 * is not synced; the audit is.
 */
#include "control/book_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/numbers.h"

#define PATIENCE_MS       200 /* for a lock that somebody else has */
#define PATIENCE_AUDIT_MS 1000

/* No version: beside the embedded store, the file's is the store's. */
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS facts(site TEXT PRIMARY KEY, counter INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS events(id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,"
    " level INTEGER NOT NULL, site TEXT NOT NULL, group_name TEXT NOT NULL, text TEXT NOT NULL,"
    " stream TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS book(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS streams(name TEXT PRIMARY KEY, events INTEGER NOT NULL, audit INTEGER NOT "
    "NULL,"
    " hash TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS audit_lines(id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL,"
    " number INTEGER NOT NULL, text TEXT NOT NULL, hash TEXT NOT NULL, UNIQUE(stream, number));";

/* Events were once without a number. */
static const char from_before_streams[] = "ALTER TABLE events ADD COLUMN stream TEXT NOT NULL DEFAULT '';"
                                          "ALTER TABLE events ADD COLUMN number INTEGER NOT NULL DEFAULT 0;";

/* ---------------------------------------------------------------- what its file does to it */

static enum cw_book_trouble trouble_of(int result)
{
    switch (result) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_CORRUPTFS:
        return CW_BOOK_DAMAGED;
    default:
        break;
    }
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or a column that we made is not there */
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
        return CW_BOOK_DAMAGED;
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return CW_BOOK_UNWRITABLE;
    default:
        return CW_BOOK_SOUND; /* busy, for one: it passes */
    }
}

static void note_trouble(struct cw_book *book)
{
    enum cw_book_trouble trouble = trouble_of(sqlite3_extended_errcode(book->db));
    if (trouble <= book->trouble)
        return;
    book->trouble = trouble;
    snprintf(book->trouble_words, sizeof book->trouble_words, "%s", sqlite3_errmsg(book->db));
}

enum cw_book_trouble cw_book_trouble(const struct cw_book *book, const char **words)
{
    *words = book->trouble_words;
    return book->trouble;
}

int cw_book_step(struct cw_book *book, sqlite3_stmt *row)
{
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        note_trouble(book);
    return result;
}

bool cw_book_next(struct cw_book *book, sqlite3_stmt *row)
{
    return cw_book_step(book, row) == SQLITE_ROW;
}

const char *cw_book_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

/* ---------------------------------------------------------------- opening */

static bool has_streams(sqlite3 *db)
{
    sqlite3_stmt *row =
        cw_sql_prepare(db, "SELECT COUNT(*) FROM pragma_table_info('events') WHERE name='stream'", "");
    bool has = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) == 1;
    sqlite3_finalize(row);
    return has;
}

bool cw_book_learn_id(struct cw_book *book)
{
    uint64_t random = 0;
    char id[CW_BOOK_ID_SIZE];
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return false;
    snprintf(id, sizeof id, "%016lx", random);
    if (cw_sql_run(book->db, "INSERT OR IGNORE INTO book VALUES('id',?)", "t", id) != CW_OK)
        return false;
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT value FROM book WHERE key='id'", "");
    bool ok = row && sqlite3_step(row) == SQLITE_ROW;
    if (ok)
        cw_sql_text(row, 0, book->id, sizeof book->id);
    sqlite3_finalize(row);
    return ok;
}

static bool make_schema(struct cw_book *book)
{
    bool ok = sqlite3_exec(book->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(book->db, schema, NULL, NULL, NULL) == SQLITE_OK;
    ok = ok && (has_streams(book->db) ||
                sqlite3_exec(book->db, from_before_streams, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && sqlite3_exec(book->db, "CREATE INDEX IF NOT EXISTS events_by_stream ON events(stream, number)",
                            NULL, NULL, NULL) == SQLITE_OK;
    return ok && cw_book_learn_id(book) && sqlite3_exec(book->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
}

struct cw_book *cw_book_open_within(const char *file, uint32_t wait_ms, enum cw_book_trouble *trouble,
                                    char *why, size_t why_size)
{
    struct cw_book *book = calloc(1, sizeof *book);
    int result;
    if (!book) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    book->is_in_memory = strcmp(file, CW_BOOK_MEMORY) == 0;
    book->db = cw_sql_open("the book", file, false, wait_ms, &result, why, why_size);
    if (book->db && make_schema(book)) {
        cw_sql_be_patient(book->db, &book->patience, PATIENCE_MS);
        *trouble = CW_BOOK_SOUND;
        return book;
    }
    if (book->db) {
        result = sqlite3_extended_errcode(book->db);
        snprintf(why, why_size, "the book %s: %s", file, sqlite3_errmsg(book->db));
    }
    *trouble = CW_MAX(trouble_of(result), CW_BOOK_UNWRITABLE);
    cw_book_close_as_is(book);
    return NULL;
}

struct cw_book *cw_book_open(const char *file, char *why, size_t why_size)
{
    enum cw_book_trouble trouble;
    return cw_book_open_within(file, CW_SQL_OPEN_MS, &trouble, why, why_size);
}

void cw_book_close_as_is(struct cw_book *book)
{
    if (book && book->db)
        (void)sqlite3_db_config(book->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    cw_book_close(book);
}

void cw_book_close(struct cw_book *book)
{
    if (!book)
        return;
    sqlite3_close(book->db);
    free(book);
}

static double wall_clock(void)
{
    struct timespec now; /* for people only: nothing is decided by it */
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum cw_status cw_book_facts_put(struct cw_book *book, const char *site, const json_t *facts)
{
    char *text = json_dumps(facts, JSON_COMPACT);
    if (!text)
        return CW_IO;
    enum cw_status status =
        cw_sql_run(book->db,
                   "INSERT INTO facts VALUES(?,1,?) ON CONFLICT(site) DO UPDATE SET counter=counter+1,"
                   " json=excluded.json",
                   "tt", site, text);
    free(text);
    if (status == CW_IO)
        note_trouble(book);
    return status;
}

enum cw_status cw_book_facts(struct cw_book *book, const char *site, json_t **facts, uint64_t *counter)
{
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT counter, json FROM facts WHERE site=?", "t", site);
    int result = cw_book_step(book, row);
    *facts = NULL;
    *counter = 0;
    if (result == SQLITE_ROW) {
        *counter = (uint64_t)sqlite3_column_int64(row, 0);
        *facts = json_loads(cw_book_text(row, 1), 0, NULL);
    }
    sqlite3_finalize(row);
    return result == SQLITE_ROW ? CW_OK : result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
}

enum cw_status cw_book_facts_counters(struct cw_book *book,
                                      void (*take)(void *context, const char *site, uint64_t counter),
                                      void *context)
{
    sqlite3_stmt *row = cw_sql_prepare(book->db, "SELECT site, counter FROM facts", "");
    int result;
    while ((result = cw_book_step(book, row)) == SQLITE_ROW)
        take(context, cw_book_text(row, 0), (uint64_t)sqlite3_column_int64(row, 1));
    sqlite3_finalize(row);
    return result == SQLITE_DONE ? CW_OK : CW_IO;
}

enum cw_status cw_book_begin(struct cw_book *book, bool is_durable)
{
    if (is_durable) {
        book->patience.limit_ms = PATIENCE_AUDIT_MS;
        CW_TRY(cw_sql_run(book->db, "PRAGMA synchronous=FULL", ""));
    }
    enum cw_status status = cw_sql_run(book->db, "BEGIN IMMEDIATE", "");
    if (status == CW_IO)
        note_trouble(book);
    return status;
}

enum cw_status cw_book_end(struct cw_book *book, enum cw_status status)
{
    if (status == CW_OK)
        status = cw_sql_run(book->db, "COMMIT", "");
    if (status == CW_IO)
        note_trouble(book);
    if (status != CW_OK && !sqlite3_get_autocommit(book->db))
        (void)cw_sql_run(book->db, "ROLLBACK", "");
    (void)cw_sql_run(book->db, "PRAGMA synchronous=NORMAL", "");
    book->patience.limit_ms = PATIENCE_MS;
    return status;
}

enum cw_status cw_book_try(struct cw_book *book)
{
    char stamp[32];
    snprintf(stamp, sizeof stamp, "%.3f", wall_clock());
    enum cw_status status = cw_book_begin(book, true);
    if (status == CW_OK)
        status = cw_sql_run(book->db, "INSERT OR REPLACE INTO book VALUES('tried',?)", "t", stamp);
    return cw_book_end(book, status);
}

void cw_book_stream_of(const struct cw_book *book, const char *site, char stream[CW_BOOK_STREAM_SIZE])
{
    snprintf(stream, CW_BOOK_STREAM_SIZE, "%.40s:%s", site, book->id);
}

enum cw_status cw_book_head(struct cw_book *book, const char *stream, struct cw_book_head *head)
{
    sqlite3_stmt *row =
        cw_sql_prepare(book->db, "SELECT events, audit, hash FROM streams WHERE name=?", "t", stream);
    int result = cw_book_step(book, row);
    *head = (struct cw_book_head){0};
    if (result == SQLITE_ROW) {
        head->events = (uint64_t)sqlite3_column_int64(row, 0);
        head->audit = (uint64_t)sqlite3_column_int64(row, 1);
        cw_sql_text(row, 2, head->hash, sizeof head->hash);
    }
    sqlite3_finalize(row);
    return result == SQLITE_ROW || result == SQLITE_DONE ? CW_OK : CW_IO;
}

enum cw_status cw_book_head_put(struct cw_book *book, const char *stream, const struct cw_book_head *head)
{
    return cw_sql_run(book->db,
                      "INSERT INTO streams VALUES(?,?,?,?) ON CONFLICT(name) DO UPDATE SET"
                      " events=excluded.events, audit=excluded.audit, hash=excluded.hash",
                      "tiit", stream, (int64_t)head->events, (int64_t)head->audit, head->hash);
}

#define EVENTS_KEPT 10000

enum cw_status cw_book_prune(struct cw_book *book)
{
    if (book->is_in_memory)
        CW_TRY(cw_sql_run(book->db,
                          "DELETE FROM audit_lines WHERE id <= (SELECT MAX(id) FROM audit_lines) - ?", "i",
                          (int64_t)CW_BOOK_MEMORY_LINES));
    return cw_sql_run(book->db, "DELETE FROM events WHERE id <= (SELECT MAX(id) FROM events) - ?", "i",
                      (int64_t)EVENTS_KEPT);
}

/* The times are texts of a number: the helper binds no floats. */
enum cw_status cw_book_event_append(struct cw_book *book, double when, int level, const char *site,
                                    const char *group, const char *text, const char *stream, uint64_t number)
{
    char time[32];
    snprintf(time, sizeof time, "%.3f", when);
    CW_TRY(cw_sql_run(book->db,
                      "INSERT INTO events(time,level,site,group_name,text,stream,number)"
                      " VALUES(CAST(? AS REAL),?,?,?,?,?,?)",
                      "titttti", time, (int64_t)level, site, group, text, stream, (int64_t)number));
    return cw_book_prune(book);
}

static enum cw_status add_event(struct cw_book *book, int level, const char *site, const char *group,
                                const char *text)
{
    char stream[CW_BOOK_STREAM_SIZE];
    struct cw_book_head head;
    cw_book_stream_of(book, site, stream);
    CW_TRY(cw_book_head(book, stream, &head));
    head.events++;
    CW_TRY(cw_book_head_put(book, stream, &head));
    return cw_book_event_append(book, wall_clock(), level, site, group, text, stream, head.events);
}

enum cw_status cw_book_event_add(struct cw_book *book, int level, const char *site, const char *group,
                                 const char *text)
{
    CW_TRY(cw_book_begin(book, false));
    return cw_book_end(book, add_event(book, level, site, group, text));
}

json_t *cw_book_events(struct cw_book *book, uint64_t after, uint32_t limit)
{
    static const char *const levels[] = {"info", "warning", "error"};
    json_t *array = json_array();
    sqlite3_stmt *row = cw_sql_prepare(
        book->db, "SELECT id,time,level,site,group_name,text FROM events WHERE id>? ORDER BY id LIMIT ?",
        "ii", (int64_t)after, (int64_t)limit);
    while (cw_book_next(book, row)) {
        unsigned level = (unsigned)sqlite3_column_int(row, 2);
        json_array_append_new(array, json_pack("{s:I,s:f,s:s,s:s,s:s,s:s}", "id",
                                               (json_int_t)sqlite3_column_int64(row, 0), "time",
                                               sqlite3_column_double(row, 1), "level",
                                               levels[level < 3 ? level : 2], "site", cw_book_text(row, 3),
                                               "group", cw_book_text(row, 4), "text", cw_book_text(row, 5)));
    }
    sqlite3_finalize(row);
    return array;
}
