/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded store: one SQLite file for all sites of one machine, in WAL mode, opened by every controller.
 * A change is one IMMEDIATE transaction and moves the version counter. WAL is right because all openers are
 * on one kernel; on a network file system it would not be, and opening one is refused.
 */
#include "control/store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/assert.h"
#include "control/rpc.h"
#include "control/words.h"

#define BUSY_TIMEOUT_MS 2000 /* while opening */
/* Later: for a change that somebody asked for, a renewal, and what is told again anyway. The controller does
 * nothing else meanwhile, and must answer: when the store has taken nothing for a while, none is waited for.
 */
#define PATIENCE_MS       1000
#define PATIENCE_RENEW_MS 500
#define PATIENCE_FACTS_MS 200
#define PATIENCE_LOST_MS  20
#define LOST_MS           1000
#define SCHEMA_VERSION    3

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES('version',1),('next_group',1);"
    "CREATE TABLE IF NOT EXISTS sites(name TEXT PRIMARY KEY, id INTEGER UNIQUE NOT NULL, control_socket TEXT,"
    " storage TEXT, directory TEXT, lease_counter INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS groups(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, mode TEXT NOT NULL,"
    " min_in_sync INTEGER NOT NULL, replica_timeout_ms INTEGER NOT NULL, max_loss_ms INTEGER NOT NULL,"
    " first TEXT NOT NULL, sites TEXT NOT NULL, journal_bytes INTEGER NOT NULL, deleting INTEGER NOT NULL,"
    " next_volume INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS authority(group_id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0,"
    " reign INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', first_sequence INTEGER NOT NULL "
    "DEFAULT 0,"
    " members TEXT NOT NULL DEFAULT '[]', fenced_epoch INTEGER NOT NULL DEFAULT 0,"
    " handover TEXT NOT NULL DEFAULT '[]', moves INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS requests(group_id INTEGER PRIMARY KEY, taker TEXT NOT NULL, drain INTEGER "
    "NOT NULL,"
    " epoch INTEGER NOT NULL, heartbeat INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS volumes(group_id INTEGER, volume INTEGER, name TEXT NOT NULL, size INTEGER "
    "NOT NULL,"
    " block_size INTEGER NOT NULL, thin INTEGER NOT NULL, deleting INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY(group_id, volume));"
    "CREATE UNIQUE INDEX IF NOT EXISTS volume_names ON volumes(group_id, name) WHERE deleting=0;"
    "CREATE TABLE IF NOT EXISTS places(group_id INTEGER, volume INTEGER, site TEXT, path TEXT NOT NULL,"
    " socket TEXT NOT NULL, ours INTEGER NOT NULL, made INTEGER NOT NULL, base INTEGER NOT NULL,"
    " error TEXT NOT NULL DEFAULT '', PRIMARY KEY(group_id, volume, site), UNIQUE(site, path));"
    "CREATE TABLE IF NOT EXISTS attachments(group_id INTEGER, volume INTEGER, kind TEXT, address TEXT NOT "
    "NULL,"
    " certificates TEXT NOT NULL, PRIMARY KEY(group_id, volume, kind));"
    "CREATE TABLE IF NOT EXISTS facts(site TEXT PRIMARY KEY, counter INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS events(id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,"
    " level INTEGER NOT NULL, site TEXT NOT NULL, group_name TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS audit(id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,"
    " site TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL);"
    "PRAGMA user_version=3;";
static_assert(SCHEMA_VERSION == 3, "as the schema says in its last line");

static const char from_version_1[] = "ALTER TABLE authority ADD COLUMN moves INTEGER NOT NULL DEFAULT 0";
/* A volume that is being deleted keeps its name from nobody: SQLite takes a table's constraint away only with
 * the table. */
static const char from_version_2[] =
    "CREATE TABLE volumes_3(group_id INTEGER, volume INTEGER, name TEXT NOT NULL, size INTEGER NOT NULL,"
    " block_size INTEGER NOT NULL, thin INTEGER NOT NULL, deleting INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY(group_id, volume));"
    "INSERT INTO volumes_3 SELECT group_id,volume,name,size,block_size,thin,deleting FROM volumes;"
    "DROP TABLE volumes;"
    "ALTER TABLE volumes_3 RENAME TO volumes;";

const char *const cw_store_authority_columns =
    "epoch, reign, holder, first_sequence, members, fenced_epoch, handover";

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
    struct cw_store_patience *patience = context;
    struct cw_store *store = patience->store;
    uint64_t now_ms = monotonic_ms();
    bool is_lost = store->busy_ms != 0 && now_ms - store->busy_ms >= LOST_MS;
    if (attempts == 0)
        patience->began_ms = now_ms;
    if (now_ms - patience->began_ms < (is_lost ? PATIENCE_LOST_MS : patience->limit_ms)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
        return 1;
    }
    if (store->busy_ms == 0)
        store->busy_ms = now_ms;
    return 0;
}

/* Whoever commits has had the lock. */
static int on_commit(void *context)
{
    struct cw_store *store = context;
    store->busy_ms = 0;
    return 0;
}

static void be_patient(struct cw_store *store, sqlite3 *db, struct cw_store_patience *patience,
                       uint32_t limit_ms)
{
    *patience = (struct cw_store_patience){.store = store, .limit_ms = limit_ms};
    sqlite3_busy_handler(db, on_busy, patience);
    sqlite3_commit_hook(db, on_commit, store);
}

/* ---------------------------------------------------------------- opening */

static bool is_network_file_system(const char *file)
{
    static const unsigned long magics[] = {0x6969 /* nfs */,      0xff534d42 /* cifs */,
                                           0xfe534d42 /* smb2 */, 0x00c36400 /* ceph */,
                                           0x01161970 /* gfs2 */, 0x7461636f /* ocfs2 */};
    char directory[CW_STORE_PATH_SIZE];
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

static sqlite3 *open_one(const char *file, const char *synchronous, char *why, size_t why_size)
{
    sqlite3 *db = NULL;
    char pragmas[128];
    int result =
        sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    snprintf(pragmas, sizeof pragmas, "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s;", synchronous);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
    /* Two controllers that make a store WAL at once: SQLite tells one of them busy without asking the
     * time-out. */
    for (int waited_ms = 0; result == SQLITE_BUSY && waited_ms < BUSY_TIMEOUT_MS; waited_ms += 10) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        result = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
    }
    if (result == SQLITE_OK)
        return db;
    snprintf(why, why_size, "the store %s: %s", file, sqlite3_errmsg(db));
    sqlite3_close(db);
    return NULL;
}

static int64_t one_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *row = cw_sql_prepare(db, sql, "");
    int64_t number = row && sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : otherwise;
    sqlite3_finalize(row);
    return number;
}

static bool make_schema(struct cw_store *store, const char *file, char *why, size_t why_size)
{
    bool ok = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
    int64_t version = ok ? one_number(store->db, "PRAGMA user_version", -1) : -1;
    if (version > SCHEMA_VERSION) {
        snprintf(why, why_size, "the store %s was made by a newer version (%ld, this one knows %d)", file,
                 (long)version, SCHEMA_VERSION);
        return false;
    }
    ok = ok && version >= 0;
    ok = ok && (version != 1 || sqlite3_exec(store->db, from_version_1, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && (version < 1 || version > 2 ||
                sqlite3_exec(store->db, from_version_2, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && sqlite3_exec(store->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
         sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (!ok)
        snprintf(why, why_size, "the store %s: %s", file, sqlite3_errmsg(store->db));
    return ok;
}

struct cw_store *cw_store_open(const char *file, char *why, size_t why_size)
{
    if (is_network_file_system(file)) {
        snprintf(why, why_size,
                 "the store %s is on a network file system: the embedded store works within one machine",
                 file);
        return NULL;
    }
    struct cw_store *store = calloc(1, sizeof *store);
    if (!store || !(store->loading = calloc(1, sizeof *store->loading))) {
        snprintf(why, why_size, "no memory");
        free(store);
        return NULL;
    }
    mode_t before = umask(0177);
    store->db = open_one(file, "FULL", why, why_size);
    store->facts = store->db ? open_one(file, "NORMAL", why, why_size) : NULL;
    umask(before);
    if (store->facts && make_schema(store, file, why, why_size)) {
        be_patient(store, store->db, &store->db_patience, PATIENCE_MS);
        be_patient(store, store->facts, &store->facts_patience, PATIENCE_FACTS_MS);
        return store;
    }
    cw_store_close(store);
    return NULL;
}

void cw_store_close(struct cw_store *store)
{
    if (!store)
        return;
    sqlite3_close(store->db);
    sqlite3_close(store->facts);
    free(store->loading);
    free(store);
}

/* ---------------------------------------------------------------- what must never go back */

/*
 * An older copy of the file, written over it in place, is the same file to everybody who has it open. It may
 * bring back a holder, or a member of a set, that is none any more. So this process remembers the version of
 * the whole and a count of the changes of each authority row: with a copy made page by page, under a log of
 * newer pages, either may be old alone. Whoever starts later cannot know; who was there when it happened
 * decides nothing more, and renews no lease.
 */
static enum cw_status gone_back(struct cw_store *store, const char *what, uint64_t seen, uint64_t now)
{
    snprintf(store->fault, sizeof store->fault,
             "the store went back: %s was %lu and is %lu. An older copy of its file was put in its place. "
             "Nothing is decided and no lease is renewed here until engine and controller are started anew",
             what, seen, now);
    fprintf(stderr, "%s\n", store->fault);
    return CW_IO;
}

static uint64_t moves_seen(const struct cw_store *store, int64_t group)
{
    for (uint32_t i = 0; i < store->seen_count; i++) {
        if (store->seen[i].group == group)
            return store->seen[i].moves;
    }
    return 0;
}

static enum cw_status look_at_rows(struct cw_store *store)
{
    struct cw_store_seen now[CW_STORE_GROUPS_MAX];
    uint32_t count = 0;
    int result = SQLITE_ERROR;
    sqlite3_stmt *row = cw_sql_prepare(store->db, "SELECT group_id, moves FROM authority", "");
    while (row && (result = sqlite3_step(row)) == SQLITE_ROW && count < CW_STORE_GROUPS_MAX)
        now[count++] = (struct cw_store_seen){.group = sqlite3_column_int64(row, 0),
                                              .moves = (uint64_t)sqlite3_column_int64(row, 1)};
    sqlite3_finalize(row);
    if (result != SQLITE_DONE && result != SQLITE_ROW)
        return CW_IO;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t before = moves_seen(store, now[i].group);
        if (now[i].moves < before)
            return gone_back(store, "the authority over a group", before, now[i].moves);
    }
    memcpy(store->seen, now, count * sizeof now[0]);
    store->seen_count = count;
    return CW_OK;
}

enum cw_status cw_store_look_back(struct cw_store *store)
{
    uint64_t version = cw_store_version(store);
    if (store->fault[0] || version == 0)
        return CW_IO;
    if (version < store->version_seen)
        return gone_back(store, "its version", store->version_seen, version);
    store->version_seen = version;
    return look_at_rows(store);
}

const char *cw_store_fault(const struct cw_store *store)
{
    return store->fault;
}

/* ---------------------------------------------------------------- changes */

/*
 * Every change begins here. A file that was deleted or replaced under us is the store no more: whoever opened
 * the one that is there now decides without us. So nothing is written, no lease renewed, and the engine stops
 * in time: its last renewal was asked for before the file went, and a taker has watched the new file for a
 * whole lease.
 */
static enum cw_status begin_immediate(struct cw_store *store)
{
    int has_moved = 0;
    CW_TRY(cw_sql_run(store->db, "BEGIN IMMEDIATE", ""));
    if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) == SQLITE_OK &&
        !has_moved) {
        if (cw_store_look_back(store) == CW_OK)
            return CW_OK;
    } else {
        fprintf(stderr,
                "the store's file was deleted or replaced: nothing is decided until this is started anew\n");
    }
    (void)cw_sql_run(store->db, "ROLLBACK", "");
    return CW_IO;
}

enum cw_status cw_store_begin(struct cw_store *store)
{
    CW_ASSERT(!store->is_open);
    CW_TRY(begin_immediate(store));
    store->is_open = true;
    return CW_OK;
}

enum cw_status cw_store_end(struct cw_store *store, bool ok)
{
    CW_ASSERT(store->is_open);
    store->is_open = false;
    if (ok && cw_sql_run(store->db, "UPDATE meta SET value=value+1 WHERE key='version'", "") == CW_OK &&
        cw_sql_run(store->db, "COMMIT", "") == CW_OK)
        return CW_OK;
    (void)cw_sql_run(store->db, "ROLLBACK", "");
    return ok ? CW_IO : CW_OK;
}

enum cw_status cw_store_change_begin(struct cw_store *store, bool *is_mine)
{
    *is_mine = !store->is_open;
    return *is_mine ? cw_store_begin(store) : CW_OK;
}

enum cw_status cw_store_change_end(struct cw_store *store, bool is_mine, enum cw_status status)
{
    if (!is_mine)
        return status;
    enum cw_status ended = cw_store_end(store, status == CW_OK);
    return status == CW_OK ? ended : status;
}

enum cw_status cw_store_agree_lease(struct cw_store *store, uint64_t lease_ms, uint64_t *recorded)
{
    enum cw_status status =
        cw_sql_run(store->db, "INSERT OR IGNORE INTO meta VALUES('lease_ms',?)", "i", (int64_t)lease_ms);
    *recorded = (uint64_t)one_number(store->db, "SELECT value FROM meta WHERE key='lease_ms'", 0);
    return status == CW_OK && *recorded == 0 ? CW_IO : status;
}

uint64_t cw_store_version(struct cw_store *store)
{
    return (uint64_t)one_number(store->db, "SELECT value FROM meta WHERE key='version'", 0);
}

/* ---------------------------------------------------------------- authority */

void cw_store_authority_row(sqlite3_stmt *row, int column, struct cw_authority *authority)
{
    struct cw_set handover = {0};
    *authority = (struct cw_authority){.epoch = (uint64_t)sqlite3_column_int64(row, column),
                                       .reign = (uint64_t)sqlite3_column_int64(row, column + 1),
                                       .first_sequence = (uint64_t)sqlite3_column_int64(row, column + 3),
                                       .fenced_epoch = (uint64_t)sqlite3_column_int64(row, column + 5)};
    cw_sql_text(row, column + 2, authority->holder, sizeof authority->holder);
    const char *members = (const char *)sqlite3_column_text(row, column + 4);
    const char *drained = (const char *)sqlite3_column_text(row, column + 6);
    /* A set that cannot be read is empty: then nobody may take without --accept-loss. */
    if (!members || !cw_set_from_text(members, &authority->set))
        authority->set.count = 0;
    if (drained && cw_set_from_text(drained, &handover) && handover.count == 1)
        authority->handover = handover.list[0];
}

enum cw_status cw_store_lease_counter(struct cw_store *store, const char *site, uint64_t *counter)
{
    sqlite3_stmt *row = cw_sql_prepare(store->db, "SELECT lease_counter FROM sites WHERE name=?", "t", site);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    *counter = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(row, 0) : 0;
    sqlite3_finalize(row);
    return result == SQLITE_ROW ? CW_OK : result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
}

enum cw_status cw_store_authority(struct cw_store *store, uint32_t group, struct cw_authority *authority,
                                  uint64_t *counter)
{
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT %s FROM authority WHERE group_id=?", cw_store_authority_columns);
    sqlite3_stmt *row = cw_sql_prepare(store->db, sql, "i", (int64_t)group);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    if (result == SQLITE_ROW)
        cw_store_authority_row(row, 0, authority);
    sqlite3_finalize(row);
    if (result != SQLITE_ROW)
        return result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
    *counter = 0;
    if (authority->holder[0] && cw_store_lease_counter(store, authority->holder, counter) == CW_IO)
        return CW_IO;
    return CW_OK;
}

static char *handover_text(const struct cw_authority *authority)
{
    struct cw_set one = {.count = authority->handover.site[0] ? 1 : 0, .list = {authority->handover}};
    return cw_set_to_text(&one);
}

static enum cw_status write_authority(struct cw_store *store, uint32_t group, const struct cw_authority *next)
{
    char *members = cw_set_to_text(&next->set), *handover = handover_text(next);
    enum cw_status status = CW_IO;
    if (members && handover)
        status = cw_sql_run(store->db,
                            "UPDATE authority SET epoch=?, reign=?, holder=?, first_sequence=?, members=?,"
                            " fenced_epoch=?, handover=?, moves=moves+1 WHERE group_id=?",
                            "iitititi", (int64_t)next->epoch, (int64_t)next->reign, next->holder,
                            (int64_t)next->first_sequence, members, (int64_t)next->fenced_epoch, handover,
                            (int64_t)group);
    free(members);
    free(handover);
    return status;
}

enum cw_status cw_store_swap(struct cw_store *store, uint32_t group, const struct cw_authority *expected,
                             const struct cw_authority *next, bool compare_counter, uint64_t counter)
{
    struct cw_authority now;
    uint64_t counter_now = 0;
    bool is_mine;
    CW_TRY(cw_store_change_begin(store, &is_mine));
    enum cw_status status = cw_store_authority(store, group, &now, &counter_now);
    if (status == CW_OK &&
        (!cw_authority_equal(&now, expected) || (compare_counter && counter_now != counter)))
        status = CW_STALE;
    if (status == CW_OK)
        status = write_authority(store, group, next);
    if (status == CW_OK && next->epoch != expected->epoch)
        status = cw_sql_run(store->db, "DELETE FROM requests WHERE group_id=?", "i", (int64_t)group);
    return cw_store_change_end(store, is_mine, status);
}

/* Not a change of version: leases move every second. */
enum cw_status cw_store_renew(struct cw_store *store, const char *site, struct cw_store_lease *leases,
                              uint32_t count)
{
    bool is_any = false;
    CW_ASSERT(!store->is_open);
    store->db_patience.limit_ms = PATIENCE_RENEW_MS;
    enum cw_status status = begin_immediate(store);
    store->db_patience.limit_ms = PATIENCE_MS;
    CW_TRY(status);
    for (uint32_t i = 0; i < count && status == CW_OK; i++) {
        struct cw_authority now;
        uint64_t counter;
        status = cw_store_authority(store, leases[i].group, &now, &counter);
        leases[i].is_lost = status != CW_OK || !cw_decide_renew(&now, site, leases[i].epoch);
        is_any = is_any || !leases[i].is_lost;
        if (status == CW_NOT_FOUND)
            status = CW_OK;
    }
    if (status == CW_OK && is_any)
        status =
            cw_sql_run(store->db, "UPDATE sites SET lease_counter=lease_counter+1 WHERE name=?", "t", site);
    if (status == CW_OK)
        status = cw_sql_run(store->db, "COMMIT", "");
    if (status != CW_OK)
        (void)cw_sql_run(store->db, "ROLLBACK", "");
    return status;
}

static enum cw_status put_request(struct cw_store *store, uint32_t group,
                                  const struct cw_store_request *request)
{
    struct cw_authority now;
    uint64_t counter;
    CW_TRY(cw_store_authority(store, group, &now, &counter));
    if (now.epoch != request->epoch)
        return CW_STALE;
    CW_TRY(cw_sql_run(store->db,
                      "INSERT INTO requests VALUES(?,?,?,?,1) ON CONFLICT(group_id) DO UPDATE SET"
                      " heartbeat=heartbeat+1 WHERE taker=excluded.taker AND epoch=excluded.epoch",
                      "itii", (int64_t)group, request->taker, (int64_t)request->is_drain,
                      (int64_t)request->epoch));
    return sqlite3_changes(store->db) == 1 ? CW_OK : CW_STALE;
}

enum cw_status cw_store_request(struct cw_store *store, uint32_t group,
                                const struct cw_store_request *request)
{
    bool is_mine;
    CW_TRY(cw_store_change_begin(store, &is_mine));
    return cw_store_change_end(store, is_mine, put_request(store, group, request));
}

enum cw_status cw_store_request_clear(struct cw_store *store, uint32_t group, const char *taker)
{
    bool is_mine;
    CW_TRY(cw_store_change_begin(store, &is_mine));
    return cw_store_change_end(store, is_mine,
                               cw_sql_run(store->db, "DELETE FROM requests WHERE group_id=? AND taker=?",
                                          "it", (int64_t)group, taker));
}

/* ---------------------------------------------------------------- facts and records */

static double wall_clock(void)
{
    struct timespec now; /* for people only: nothing is decided by it */
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum cw_status cw_store_facts_put(struct cw_store *store, const char *site, const json_t *facts)
{
    char *text = json_dumps(facts, JSON_COMPACT);
    if (!text)
        return CW_IO;
    enum cw_status status =
        cw_sql_run(store->facts,
                   "INSERT INTO facts VALUES(?,1,?) ON CONFLICT(site) DO UPDATE SET counter=counter+1,"
                   " json=excluded.json",
                   "tt", site, text);
    free(text);
    return status;
}

enum cw_status cw_store_facts(struct cw_store *store, const char *site, json_t **facts, uint64_t *counter)
{
    sqlite3_stmt *row =
        cw_sql_prepare(store->facts, "SELECT counter, json FROM facts WHERE site=?", "t", site);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    *facts = NULL;
    *counter = 0;
    if (result == SQLITE_ROW) {
        *counter = (uint64_t)sqlite3_column_int64(row, 0);
        *facts = json_loads((const char *)sqlite3_column_text(row, 1), 0, NULL);
    }
    sqlite3_finalize(row);
    return result == SQLITE_ROW ? CW_OK : result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
}

#define EVENTS_KEPT 10000

/* The times are texts of a number: the helper binds no floats. */
enum cw_status cw_store_event_add(struct cw_store *store, int level, const char *site, const char *group,
                                  const char *text)
{
    char time[32];
    snprintf(time, sizeof time, "%.3f", wall_clock());
    CW_TRY(cw_sql_run(store->facts,
                      "INSERT INTO events(time,level,site,group_name,text) VALUES(CAST(? AS REAL),?,?,?,?)",
                      "tittt", time, (int64_t)level, site, group, text));
    return cw_sql_run(store->facts, "DELETE FROM events WHERE id <= (SELECT MAX(id) FROM events) - ?", "i",
                      (int64_t)EVENTS_KEPT);
}

json_t *cw_store_events(struct cw_store *store, uint64_t after, uint32_t limit)
{
    static const char *const levels[] = {"info", "warning", "error"};
    json_t *array = json_array();
    sqlite3_stmt *row = cw_sql_prepare(
        store->facts, "SELECT id,time,level,site,group_name,text FROM events WHERE id>? ORDER BY id LIMIT ?",
        "ii", (int64_t)after, (int64_t)limit);
    while (row && sqlite3_step(row) == SQLITE_ROW) {
        unsigned level = (unsigned)sqlite3_column_int(row, 2);
        json_array_append_new(
            array, json_pack("{s:I,s:f,s:s,s:s,s:s,s:s}", "id", (json_int_t)sqlite3_column_int64(row, 0),
                             "time", sqlite3_column_double(row, 1), "level", levels[level < 3 ? level : 2],
                             "site", sqlite3_column_text(row, 3), "group", sqlite3_column_text(row, 4),
                             "text", sqlite3_column_text(row, 5)));
    }
    sqlite3_finalize(row);
    return array;
}

enum cw_status cw_store_audit_add(struct cw_store *store, const char *site, const char *action,
                                  const char *outcome)
{
    char time[32];
    snprintf(time, sizeof time, "%.3f", wall_clock());
    return cw_sql_run(store->db, "INSERT INTO audit(time,site,action,outcome) VALUES(CAST(? AS REAL),?,?,?)",
                      "tttt", time, site, action, outcome);
}
