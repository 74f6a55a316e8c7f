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

#include "base/assert.h"
#include "control/rpc.h"
#include "control/words.h"

#define PATIENCE_MS       1000 /* for a change that somebody asked for */
#define PATIENCE_RENEW_MS 500
#define SCHEMA_VERSION    7

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES('version',1),('next_group',1);"
    "CREATE TABLE IF NOT EXISTS sites(name TEXT PRIMARY KEY, id INTEGER UNIQUE NOT NULL, control_socket TEXT,"
    " storage TEXT, directory TEXT, lease_counter INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS groups(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, mode TEXT NOT NULL,"
    " min_in_sync INTEGER NOT NULL, replica_timeout_ms INTEGER NOT NULL, max_loss_ms INTEGER NOT NULL,"
    " first TEXT NOT NULL, sites TEXT NOT NULL, journal_bytes INTEGER NOT NULL, deleting INTEGER NOT NULL,"
    " next_volume INTEGER NOT NULL DEFAULT 0, copy_brake_ms INTEGER NOT NULL DEFAULT 2000,"
    " max_loss_bytes INTEGER NOT NULL DEFAULT 0, automatic INTEGER NOT NULL DEFAULT 0,"
    " after_ms INTEGER NOT NULL DEFAULT 3000, home TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE IF NOT EXISTS authority(group_id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL DEFAULT 0,"
    " reign INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', first_sequence INTEGER NOT NULL "
    "DEFAULT 0,"
    " members TEXT NOT NULL DEFAULT '[]', fenced_epoch INTEGER NOT NULL DEFAULT 0,"
    " handover TEXT NOT NULL DEFAULT '[]', moves INTEGER NOT NULL DEFAULT 0,"
    " automatic_epoch INTEGER NOT NULL DEFAULT 0);"
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
    " error TEXT NOT NULL DEFAULT '', unseen INTEGER NOT NULL DEFAULT 0, may_take INTEGER NOT NULL DEFAULT 0,"
    " refused INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(group_id, volume, site), UNIQUE(site, path));"
    "CREATE TABLE IF NOT EXISTS attachments(group_id INTEGER, volume INTEGER, kind TEXT, address TEXT NOT "
    "NULL,"
    " certificates TEXT NOT NULL, PRIMARY KEY(group_id, volume, kind));"
    "PRAGMA user_version=7;";
static_assert(SCHEMA_VERSION == 7, "as the schema says in its last line");

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

static const char from_version_3[] =
    "ALTER TABLE groups ADD COLUMN copy_brake_ms INTEGER NOT NULL DEFAULT 2000";

static const char from_version_4[] =
    "ALTER TABLE groups ADD COLUMN max_loss_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE groups ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE groups ADD COLUMN after_ms INTEGER NOT NULL DEFAULT 3000;"
    "ALTER TABLE authority ADD COLUMN automatic_epoch INTEGER NOT NULL DEFAULT 0";
static_assert(CW_STORE_AFTER_MS == 3000, "as the schema says");

static const char from_version_5[] = "ALTER TABLE groups ADD COLUMN home TEXT NOT NULL DEFAULT ''";

static const char from_version_6[] = "ALTER TABLE places ADD COLUMN unseen INTEGER NOT NULL DEFAULT 0;"
                                     "ALTER TABLE places ADD COLUMN may_take INTEGER NOT NULL DEFAULT 0;"
                                     "ALTER TABLE places ADD COLUMN refused INTEGER NOT NULL DEFAULT 0";

const char *const cw_sqlite_authority_columns =
    "epoch, reign, holder, first_sequence, members, fenced_epoch, handover, automatic_epoch";

/* ---------------------------------------------------------------- opening */

static int64_t one_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *row = cw_sql_prepare(db, sql, "");
    int64_t number = row && sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : otherwise;
    sqlite3_finalize(row);
    return number;
}

static bool make_schema(struct cw_sqlite *store, const char *file, char *why, size_t why_size)
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
    ok = ok && (version < 1 || version > 3 ||
                sqlite3_exec(store->db, from_version_3, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && (version < 1 || version > 4 ||
                sqlite3_exec(store->db, from_version_4, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && (version < 1 || version > 5 ||
                sqlite3_exec(store->db, from_version_5, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && (version < 1 || version > 6 ||
                sqlite3_exec(store->db, from_version_6, NULL, NULL, NULL) == SQLITE_OK);
    ok = ok && sqlite3_exec(store->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
         sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (!ok)
        snprintf(why, why_size, "the store %s: %s", file, sqlite3_errmsg(store->db));
    return ok;
}

static void cw_sqlite_close(struct cw_store *base)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    sqlite3_close(store->db);
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
static enum cw_status gone_back(struct cw_sqlite *store, const char *what, uint64_t seen, uint64_t now)
{
    snprintf(store->fault, sizeof store->fault,
             "the store went back: %s was %lu and is %lu. An older copy of its file was put in its place. "
             "Nothing is decided and no lease is renewed here until engine and controller are started anew",
             what, seen, now);
    fprintf(stderr, "%s\n", store->fault);
    return CW_IO;
}

/* Both lists are in the order of groups. */
static enum cw_status compare_seen(struct cw_sqlite *store, const struct cw_sqlite_seen *now, uint32_t count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (at < store->seen_count && store->seen[at].group < now[i].group)
            at++;
        bool is_known = at < store->seen_count && store->seen[at].group == now[i].group;
        if (is_known && now[i].moves < store->seen[at].moves)
            return gone_back(store, "the authority over a group", store->seen[at].moves, now[i].moves);
    }
    return CW_OK;
}

static enum cw_status look_at_rows(struct cw_sqlite *store)
{
    struct cw_sqlite_seen now[CW_STORE_GROUPS_MAX];
    uint32_t count = 0;
    int result = SQLITE_ERROR;
    sqlite3_stmt *row =
        cw_sql_prepare(store->db, "SELECT group_id, moves FROM authority ORDER BY group_id", "");
    while (row && (result = sqlite3_step(row)) == SQLITE_ROW && count < CW_STORE_GROUPS_MAX)
        now[count++] = (struct cw_sqlite_seen){.group = sqlite3_column_int64(row, 0),
                                               .moves = (uint64_t)sqlite3_column_int64(row, 1)};
    sqlite3_finalize(row);
    if (result != SQLITE_DONE && result != SQLITE_ROW)
        return CW_IO;
    CW_TRY(compare_seen(store, now, count));
    memcpy(store->seen, now, count * sizeof now[0]);
    store->seen_count = count;
    return CW_OK;
}

enum cw_status cw_sqlite_look_back(struct cw_sqlite *store)
{
    uint64_t version = cw_sqlite_version(&store->base);
    if (store->fault[0] || version == 0)
        return CW_IO;
    if (version < store->version_seen)
        return gone_back(store, "its version", store->version_seen, version);
    store->version_seen = version;
    return look_at_rows(store);
}

static const char *cw_sqlite_fault(struct cw_store *base)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    return store->fault;
}

/* Only what is written tells: the controller notices by the book, which is in the same file. */
static uint64_t cw_sqlite_silent_ms(struct cw_store *base)
{
    return 0;
}

static const char *cw_sqlite_trouble(struct cw_store *base)
{
    return "";
}

/* ---------------------------------------------------------------- changes */

/*
 * Every change begins here. A file that was deleted or replaced under us is the store no more: whoever opened
 * the one that is there now decides without us. So nothing is written, no lease renewed, and the engine stops
 * in time: its last renewal was asked for before the file went, and a taker has watched the new file for a
 * whole lease.
 */
static enum cw_status begin_immediate(struct cw_sqlite *store)
{
    int has_moved = 0;
    CW_TRY(cw_sql_run(store->db, "BEGIN IMMEDIATE", ""));
    if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) == SQLITE_OK &&
        !has_moved) {
        if (cw_sqlite_look_back(store) == CW_OK)
            return CW_OK;
    } else {
        fprintf(stderr,
                "the store's file was deleted or replaced: nothing is decided until this is started anew\n");
    }
    (void)cw_sql_run(store->db, "ROLLBACK", "");
    return CW_IO;
}

static enum cw_status cw_sqlite_begin(struct cw_store *base)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CW_ASSERT(!store->is_open);
    CW_TRY(begin_immediate(store));
    store->is_open = true;
    return CW_OK;
}

static enum cw_status cw_sqlite_end(struct cw_store *base, bool ok)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CW_ASSERT(store->is_open);
    store->is_open = false;
    if (ok && cw_sql_run(store->db, "UPDATE meta SET value=value+1 WHERE key='version'", "") == CW_OK &&
        cw_sql_run(store->db, "COMMIT", "") == CW_OK)
        return CW_OK;
    (void)cw_sql_run(store->db, "ROLLBACK", "");
    return ok ? CW_IO : CW_OK;
}

enum cw_status cw_sqlite_change_begin(struct cw_sqlite *store, bool *is_mine)
{
    *is_mine = !store->is_open;
    return *is_mine ? cw_sqlite_begin(&store->base) : CW_OK;
}

enum cw_status cw_sqlite_change_end(struct cw_sqlite *store, bool is_mine, enum cw_status status)
{
    if (!is_mine)
        return status;
    enum cw_status ended = cw_sqlite_end(&store->base, status == CW_OK);
    return status == CW_OK ? ended : status;
}

static enum cw_status cw_sqlite_agree_lease(struct cw_store *base, uint64_t lease_ms, uint64_t *recorded)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    enum cw_status status =
        cw_sql_run(store->db, "INSERT OR IGNORE INTO meta VALUES('lease_ms',?)", "i", (int64_t)lease_ms);
    *recorded = (uint64_t)one_number(store->db, "SELECT value FROM meta WHERE key='lease_ms'", 0);
    return status == CW_OK && *recorded == 0 ? CW_IO : status;
}

uint64_t cw_sqlite_version(struct cw_store *base)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    return (uint64_t)one_number(store->db, "SELECT value FROM meta WHERE key='version'", 0);
}

/* ---------------------------------------------------------------- authority */

void cw_sqlite_authority_row(sqlite3_stmt *row, int column, struct cw_authority *authority)
{
    struct cw_set handover = {0};
    *authority = (struct cw_authority){.epoch = (uint64_t)sqlite3_column_int64(row, column),
                                       .reign = (uint64_t)sqlite3_column_int64(row, column + 1),
                                       .first_sequence = (uint64_t)sqlite3_column_int64(row, column + 3),
                                       .fenced_epoch = (uint64_t)sqlite3_column_int64(row, column + 5),
                                       .automatic_epoch = (uint64_t)sqlite3_column_int64(row, column + 7)};
    cw_sql_text(row, column + 2, authority->holder, sizeof authority->holder);
    const char *members = (const char *)sqlite3_column_text(row, column + 4);
    const char *drained = (const char *)sqlite3_column_text(row, column + 6);
    /* A set that cannot be read is empty: then nobody may take without --accept-loss. */
    if (!members || !cw_set_from_text(members, &authority->set))
        authority->set.count = 0;
    if (drained && cw_set_from_text(drained, &handover) && handover.count == 1)
        authority->handover = handover.list[0];
}

static enum cw_status cw_sqlite_lease_counter(struct cw_store *base, const char *site, uint64_t *counter)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    sqlite3_stmt *row = cw_sql_prepare(store->db, "SELECT lease_counter FROM sites WHERE name=?", "t", site);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    *counter = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(row, 0) : 0;
    sqlite3_finalize(row);
    return result == SQLITE_ROW ? CW_OK : result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
}

static enum cw_status cw_sqlite_authority(struct cw_store *base, uint32_t group,
                                          struct cw_authority *authority, uint64_t *counter)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT %s FROM authority WHERE group_id=?", cw_sqlite_authority_columns);
    sqlite3_stmt *row = cw_sql_prepare(store->db, sql, "i", (int64_t)group);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    if (result == SQLITE_ROW)
        cw_sqlite_authority_row(row, 0, authority);
    sqlite3_finalize(row);
    if (result != SQLITE_ROW)
        return result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
    *counter = 0;
    if (authority->holder[0] && cw_sqlite_lease_counter(&store->base, authority->holder, counter) == CW_IO)
        return CW_IO;
    return CW_OK;
}

static char *handover_text(const struct cw_authority *authority)
{
    struct cw_set one = {.count = authority->handover.site[0] ? 1 : 0, .list = {authority->handover}};
    return cw_set_to_text(&one);
}

static enum cw_status write_authority(struct cw_sqlite *store, uint32_t group,
                                      const struct cw_authority *next)
{
    char *members = cw_set_to_text(&next->set), *handover = handover_text(next);
    enum cw_status status = CW_IO;
    if (members && handover)
        status = cw_sql_run(store->db,
                            "UPDATE authority SET epoch=?, reign=?, holder=?, first_sequence=?, members=?,"
                            " fenced_epoch=?, handover=?, automatic_epoch=?, moves=moves+1 WHERE group_id=?",
                            "iitititii", (int64_t)next->epoch, (int64_t)next->reign, next->holder,
                            (int64_t)next->first_sequence, members, (int64_t)next->fenced_epoch, handover,
                            (int64_t)next->automatic_epoch, (int64_t)group);
    free(members);
    free(handover);
    return status;
}

static enum cw_status cw_sqlite_swap(struct cw_store *base, uint32_t group,
                                     const struct cw_authority *expected, const struct cw_authority *next,
                                     bool compare_counter, uint64_t counter)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    struct cw_authority now;
    uint64_t counter_now = 0;
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    enum cw_status status = cw_sqlite_authority(&store->base, group, &now, &counter_now);
    if (status == CW_OK &&
        (!cw_authority_equal(&now, expected) || (compare_counter && counter_now != counter)))
        status = CW_STALE;
    if (status == CW_OK)
        status = write_authority(store, group, next);
    if (status == CW_OK && next->epoch != expected->epoch)
        status = cw_sql_run(store->db, "DELETE FROM requests WHERE group_id=?", "i", (int64_t)group);
    return cw_sqlite_change_end(store, is_mine, status);
}

/* Not a change of version: leases move every second. */
static enum cw_status cw_sqlite_renew(struct cw_store *base, const char *site, struct cw_store_lease *leases,
                                      uint32_t count)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_any = false;
    CW_ASSERT(!store->is_open);
    store->patience.limit_ms = PATIENCE_RENEW_MS;
    enum cw_status status = begin_immediate(store);
    store->patience.limit_ms = PATIENCE_MS;
    CW_TRY(status);
    for (uint32_t i = 0; i < count && status == CW_OK; i++) {
        struct cw_authority now;
        uint64_t counter;
        status = cw_sqlite_authority(&store->base, leases[i].group, &now, &counter);
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

static enum cw_status put_request(struct cw_sqlite *store, uint32_t group,
                                  const struct cw_store_request *request)
{
    struct cw_authority now;
    uint64_t counter;
    CW_TRY(cw_sqlite_authority(&store->base, group, &now, &counter));
    if (now.epoch != request->epoch)
        return CW_STALE;
    CW_TRY(cw_sql_run(store->db,
                      "INSERT INTO requests VALUES(?,?,?,?,1) ON CONFLICT(group_id) DO UPDATE SET"
                      " heartbeat=heartbeat+1 WHERE taker=excluded.taker AND epoch=excluded.epoch",
                      "itii", (int64_t)group, request->taker, (int64_t)request->is_drain,
                      (int64_t)request->epoch));
    return sqlite3_changes(store->db) == 1 ? CW_OK : CW_STALE;
}

static enum cw_status cw_sqlite_request(struct cw_store *base, uint32_t group,
                                        const struct cw_store_request *request)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, put_request(store, group, request));
}

static enum cw_status cw_sqlite_request_clear(struct cw_store *base, uint32_t group, const char *taker)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine,
                                cw_sql_run(store->db, "DELETE FROM requests WHERE group_id=? AND taker=?",
                                           "it", (int64_t)group, taker));
}

static enum cw_status drop_request(struct cw_sqlite *store, uint32_t group,
                                   const struct cw_store_request *seen)
{
    CW_TRY(cw_sql_run(store->db,
                      "DELETE FROM requests WHERE group_id=? AND taker=? AND epoch=? AND heartbeat=?", "itii",
                      (int64_t)group, seen->taker, (int64_t)seen->epoch, (int64_t)seen->heartbeat));
    return sqlite3_changes(store->db) == 1 ? CW_OK : CW_STALE;
}

static enum cw_status cw_sqlite_request_drop(struct cw_store *base, uint32_t group,
                                             const struct cw_store_request *seen)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, drop_request(store, group, seen));
}

/* ---------------------------------------------------------------- the table */

static const struct cw_store_ops ops = {
    .close = cw_sqlite_close,
    .fault = cw_sqlite_fault,
    .silent_ms = cw_sqlite_silent_ms,
    .trouble = cw_sqlite_trouble,
    .agree_lease = cw_sqlite_agree_lease,
    .version = cw_sqlite_version,
    .load = cw_sqlite_load,
    .begin = cw_sqlite_begin,
    .end = cw_sqlite_end,
    .authority = cw_sqlite_authority,
    .swap = cw_sqlite_swap,
    .renew = cw_sqlite_renew,
    .lease_counter = cw_sqlite_lease_counter,
    .request = cw_sqlite_request,
    .request_clear = cw_sqlite_request_clear,
    .request_drop = cw_sqlite_request_drop,
    .site_put = cw_sqlite_site_put,
    .group_add = cw_sqlite_group_add,
    .group_update = cw_sqlite_group_update,
    .group_read = cw_sqlite_group_read,
    .group_deleting = cw_sqlite_group_deleting,
    .group_remove = cw_sqlite_group_remove,
    .volume_add = cw_sqlite_volume_add,
    .volume_deleting = cw_sqlite_volume_deleting,
    .volume_remove = cw_sqlite_volume_remove,
    .place_put = cw_sqlite_place_put,
    .place_remove = cw_sqlite_place_remove,
    .attachment_put = cw_sqlite_attachment_put,
    .attachment_remove = cw_sqlite_attachment_remove,
};

struct cw_store *cw_store_open_file(const char *file, char *why, size_t why_size)
{
    struct cw_sqlite *store = calloc(1, sizeof *store);
    if (!store || !(store->loading = cw_view_new())) {
        snprintf(why, why_size, "no memory");
        free(store);
        return NULL;
    }
    store->base.ops = &ops;
    int result;
    store->db = cw_sql_open("the store", file, true, CW_SQL_OPEN_MS, &result, why, why_size);
    if (store->db && make_schema(store, file, why, why_size)) {
        cw_sql_be_patient(store->db, &store->patience, PATIENCE_MS);
        return &store->base;
    }
    cw_sqlite_close(&store->base);
    return NULL;
}
