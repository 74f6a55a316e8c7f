/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedded store's tables of what is wanted, and reading them all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_sqlite.h"
#include "control/words.h"

/* One statement as one change. */
#define CHANGE(store, ...)                                                                                   \
    do {                                                                                                     \
        bool is_mine_;                                                                                       \
        CW_TRY(cw_sqlite_change_begin(store, &is_mine_));                                                    \
        return cw_sqlite_change_end(store, is_mine_, cw_sql_run((store)->db, __VA_ARGS__));                  \
    } while (0)

enum cw_status cw_sqlite_site_put(struct cw_store *base, const struct cw_store_site *site)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CHANGE(store,
           "INSERT INTO sites(name,id,control_socket,storage,directory) VALUES(?,?,?,?,?) ON CONFLICT(name) "
           "DO UPDATE"
           " SET id=excluded.id, control_socket=excluded.control_socket, storage=excluded.storage,"
           " directory=excluded.directory",
           "tittt", site->name, (int64_t)site->id, site->control_socket, site->storage, site->directory);
}

static json_t *site_names(const struct cw_store_group *group)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < group->site_count; i++)
        json_array_append_new(names, json_string(group->sites[i]));
    return names;
}

static int64_t take_number(struct cw_sqlite *store, const char *select, const char *update, int64_t key)
{
    int64_t number = -1;
    const char *format = key < 0 ? "" : "i";
    sqlite3_stmt *row = cw_sql_prepare(store->db, select, format, key);
    if (row && sqlite3_step(row) == SQLITE_ROW)
        number = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return number >= 0 && cw_sql_run(store->db, update, format, key) == CW_OK ? number : -1;
}

/* Is there room for one more row in every controller's view? */
static enum cw_status check_room(struct cw_sqlite *store, const char *count, uint32_t count_max)
{
    sqlite3_stmt *row = cw_sql_prepare(store->db, count, "");
    enum cw_status status = CW_IO;
    if (row && sqlite3_step(row) == SQLITE_ROW)
        status = sqlite3_column_int64(row, 0) < count_max ? CW_OK : CW_NO_SPACE;
    sqlite3_finalize(row);
    return status;
}

static enum cw_status add_group(struct cw_sqlite *store, struct cw_store_group *group)
{
    CW_TRY(check_room(store, "SELECT count(*) FROM groups", CW_STORE_GROUPS_MAX));
    int64_t id = take_number(store, "SELECT value FROM meta WHERE key='next_group'",
                             "UPDATE meta SET value=value+1 WHERE key='next_group'", -1);
    if (id < 0)
        return CW_IO;
    group->id = (uint32_t)id;
    json_t *names = site_names(group);
    char *sites = json_dumps(names, JSON_COMPACT);
    json_decref(names);
    enum cw_status status = cw_sql_run(
        store->db, "INSERT INTO groups VALUES(?,?,?,?,?,?,?,?,?,0,0,?,?,?,?,?)", "ittiiittiiiiit", id,
        group->name, cw_mode_word_name(group->mode), (int64_t)group->min_in_sync,
        (int64_t)group->replica_timeout_ms, (int64_t)group->max_loss_ms, group->first, sites,
        (int64_t)group->journal_bytes, (int64_t)group->copy_brake_ms, (int64_t)group->max_loss_bytes,
        (int64_t)group->is_automatic, (int64_t)group->after_ms, group->home);
    free(sites);
    CW_TRY(status);
    return cw_sql_run(store->db, "INSERT INTO authority(group_id) VALUES(?)", "i", id);
}

enum cw_status cw_sqlite_group_add(struct cw_store *base, struct cw_store_group *group)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, add_group(store, group));
}

enum cw_status cw_sqlite_group_update(struct cw_store *base, const struct cw_store_group *group)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CHANGE(store,
           "UPDATE groups SET mode=?, min_in_sync=?, replica_timeout_ms=?, max_loss_ms=?, copy_brake_ms=?, "
           "max_loss_bytes=?, automatic=?, after_ms=?, home=? "
           "WHERE id=?",
           "tiiiiiiiti", cw_mode_word_name(group->mode), (int64_t)group->min_in_sync,
           (int64_t)group->replica_timeout_ms, (int64_t)group->max_loss_ms, (int64_t)group->copy_brake_ms,
           (int64_t)group->max_loss_bytes, (int64_t)group->is_automatic, (int64_t)group->after_ms,
           group->home, (int64_t)group->id);
}

static enum cw_status delete_group(struct cw_sqlite *store, uint32_t group)
{
    sqlite3_stmt *row =
        cw_sql_prepare(store->db, "SELECT 1 FROM volumes WHERE group_id=?", "i", (int64_t)group);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    sqlite3_finalize(row);
    if (result != SQLITE_DONE)
        return result == SQLITE_ROW ? CW_EXISTS : CW_IO;
    CW_TRY(cw_sql_run(store->db, "UPDATE groups SET deleting=1 WHERE id=?", "i", (int64_t)group));
    return sqlite3_changes(store->db) ? CW_OK : CW_NOT_FOUND;
}

enum cw_status cw_sqlite_group_deleting(struct cw_store *base, uint32_t group)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, delete_group(store, group));
}

static enum cw_status remove_group(struct cw_sqlite *store, uint32_t group)
{
    static const char *const statements[] = {
        "DELETE FROM attachments WHERE group_id=?", "DELETE FROM places WHERE group_id=?",
        "DELETE FROM volumes WHERE group_id=?",     "DELETE FROM requests WHERE group_id=?",
        "DELETE FROM authority WHERE group_id=?",   "DELETE FROM groups WHERE id=?"};
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        CW_TRY(cw_sql_run(store->db, statements[i], "i", (int64_t)group));
    return CW_OK;
}

enum cw_status cw_sqlite_group_remove(struct cw_store *base, uint32_t group)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, remove_group(store, group));
}

static enum cw_status add_volume(struct cw_sqlite *store, struct cw_store_volume *volume)
{
    CW_TRY(check_room(store, "SELECT count(*) FROM volumes", CW_STORE_VOLUMES_MAX));
    int64_t number = take_number(store, "SELECT next_volume FROM groups WHERE id=? AND deleting=0",
                                 "UPDATE groups SET next_volume=next_volume+1 WHERE id=?", volume->group);
    if (number < 0)
        return CW_NOT_FOUND;
    if (number >= CW_VOLUMES_PER_GROUP_MAX)
        return CW_RANGE;
    volume->volume = (int32_t)number;
    return cw_sql_run(store->db, "INSERT INTO volumes VALUES(?,?,?,?,?,?,0)", "iitiii",
                      (int64_t)volume->group, number, volume->name, (int64_t)volume->size,
                      (int64_t)volume->block_size, (int64_t)volume->is_thin);
}

enum cw_status cw_sqlite_volume_add(struct cw_store *base, struct cw_store_volume *volume)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, add_volume(store, volume));
}

enum cw_status cw_sqlite_volume_deleting(struct cw_store *base, uint32_t group, int32_t volume)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    enum cw_status status =
        cw_sql_run(store->db, "UPDATE volumes SET deleting=1 WHERE group_id=? AND volume=?", "ii",
                   (int64_t)group, (int64_t)volume);
    if (status == CW_OK)
        status = cw_sql_run(store->db, "DELETE FROM attachments WHERE group_id=? AND volume=?", "ii",
                            (int64_t)group, (int64_t)volume);
    return cw_sqlite_change_end(store, is_mine, status);
}

static enum cw_status remove_volume(struct cw_sqlite *store, uint32_t group, int32_t volume)
{
    static const char *const statements[] = {"DELETE FROM attachments WHERE group_id=? AND volume=?",
                                             "DELETE FROM places WHERE group_id=? AND volume=?",
                                             "DELETE FROM volumes WHERE group_id=? AND volume=?"};
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        CW_TRY(cw_sql_run(store->db, statements[i], "ii", (int64_t)group, (int64_t)volume));
    return CW_OK;
}

enum cw_status cw_sqlite_volume_remove(struct cw_store *base, uint32_t group, int32_t volume)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    return cw_sqlite_change_end(store, is_mine, remove_volume(store, group, volume));
}

enum cw_status cw_sqlite_place_put(struct cw_store *base, const struct cw_store_place *place)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CHANGE(
        store,
        "INSERT INTO places VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(group_id,volume,site) DO UPDATE SET"
        " path=excluded.path, socket=excluded.socket, ours=excluded.ours, made=excluded.made, "
        "base=excluded.base,"
        " error=excluded.error, unseen=excluded.unseen, may_take=excluded.may_take, refused=excluded.refused",
        "iitttiiitiii", (int64_t)place->group, (int64_t)place->volume, place->site, place->path,
        place->socket, (int64_t)place->is_ours, (int64_t)place->is_made, (int64_t)place->base, place->error,
        (int64_t)place->is_unseen, (int64_t)place->may_take, (int64_t)place->is_refused);
}

enum cw_status cw_sqlite_place_remove(struct cw_store *base, uint32_t group, int32_t volume, const char *site)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CHANGE(store, "DELETE FROM places WHERE group_id=? AND volume=? AND site=?", "iit", (int64_t)group,
           (int64_t)volume, site);
}

enum cw_status cw_sqlite_attachment_put(struct cw_store *base, const struct cw_store_attachment *attachment)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CHANGE(store,
           "INSERT INTO attachments VALUES(?,?,?,?,?) ON CONFLICT(group_id,volume,kind) DO UPDATE SET"
           " address=excluded.address, certificates=excluded.certificates",
           "iittt", (int64_t)attachment->group, (int64_t)attachment->volume, attachment->kind,
           attachment->address, attachment->certificates);
}

enum cw_status cw_sqlite_attachment_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                           const char *kind)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    bool is_mine;
    CW_TRY(cw_sqlite_change_begin(store, &is_mine));
    enum cw_status status =
        cw_sql_run(store->db, "DELETE FROM attachments WHERE group_id=? AND volume=? AND kind=?", "iit",
                   (int64_t)group, (int64_t)volume, kind);
    if (status == CW_OK && sqlite3_changes(store->db) == 0)
        status = CW_NOT_FOUND;
    return cw_sqlite_change_end(store, is_mine, status);
}

/* ---------------------------------------------------------------- reading all */

/* Calls take for every row while there is room; false: no answer, or more rows than fit. */
static bool load_rows(struct cw_sqlite *store, const char *sql, struct cw_store_view *view, uint32_t *count,
                      uint32_t count_max,
                      void (*take)(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at))
{
    sqlite3_stmt *row = cw_sql_prepare(store->db, sql, "");
    int result = SQLITE_ERROR;
    *count = 0;
    while (row && (result = sqlite3_step(row)) == SQLITE_ROW && *count < count_max)
        take(row, view, (*count)++);
    sqlite3_finalize(row);
    return result == SQLITE_DONE;
}

static void take_site(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at)
{
    struct cw_store_site *site = &view->sites[at];
    *site = (struct cw_store_site){.id = (uint32_t)sqlite3_column_int(row, 1),
                                   .lease_counter = (uint64_t)sqlite3_column_int64(row, 5)};
    cw_sql_text(row, 0, site->name, sizeof site->name);
    cw_sql_text(row, 2, site->control_socket, sizeof site->control_socket);
    cw_sql_text(row, 3, site->storage, sizeof site->storage);
    cw_sql_text(row, 4, site->directory, sizeof site->directory);
}

static void take_site_names(const char *text, struct cw_store_group *group)
{
    json_t *names = json_loads(text ? text : "[]", 0, NULL);
    for (size_t i = 0; i < json_array_size(names) && i < CW_SET_MAX; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        snprintf(group->sites[group->site_count++], CW_NAME_SIZE, "%s", name ? name : "");
    }
    json_decref(names);
}

#define GROUP_COLUMNS     15
#define AUTHORITY_COLUMNS 8

static void take_group(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at)
{
    struct cw_store_group *group = &view->groups[at];
    char mode[16];
    int request = GROUP_COLUMNS + AUTHORITY_COLUMNS;
    *group = (struct cw_store_group){.id = (uint32_t)sqlite3_column_int(row, 0),
                                     .min_in_sync = (uint32_t)sqlite3_column_int(row, 3),
                                     .replica_timeout_ms = (uint64_t)sqlite3_column_int64(row, 4),
                                     .max_loss_ms = (uint64_t)sqlite3_column_int64(row, 5),
                                     .journal_bytes = (uint64_t)sqlite3_column_int64(row, 7),
                                     .is_deleting = sqlite3_column_int(row, 8) != 0,
                                     .next_volume = sqlite3_column_int(row, 9),
                                     .copy_brake_ms = (uint64_t)sqlite3_column_int64(row, 10),
                                     .max_loss_bytes = (uint64_t)sqlite3_column_int64(row, 11),
                                     .is_automatic = sqlite3_column_int(row, 12) != 0,
                                     .after_ms = (uint64_t)sqlite3_column_int64(row, 13)};
    cw_sql_text(row, 1, group->name, sizeof group->name);
    cw_sql_text(row, 2, mode, sizeof mode);
    (void)cw_mode_word_parse(mode, &group->mode);
    take_site_names((const char *)sqlite3_column_text(row, 6), group);
    memcpy(group->first, group->sites[0], sizeof group->first);
    cw_sql_text(row, 14, group->home, sizeof group->home);
    if (!group->home[0]) /* made by an earlier version */
        memcpy(group->home, group->first, sizeof group->home);
    cw_sqlite_authority_row(row, GROUP_COLUMNS, &group->authority);
    cw_sql_text(row, request, group->request.taker, sizeof group->request.taker);
    group->request.is_drain = sqlite3_column_int(row, request + 1) != 0;
    group->request.epoch = (uint64_t)sqlite3_column_int64(row, request + 2);
    group->request.heartbeat = (uint64_t)sqlite3_column_int64(row, request + 3);
}

static void take_volume(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at)
{
    struct cw_store_volume *volume = &view->volumes[at];
    *volume = (struct cw_store_volume){.group = (uint32_t)sqlite3_column_int(row, 0),
                                       .volume = sqlite3_column_int(row, 1),
                                       .size = (uint64_t)sqlite3_column_int64(row, 3),
                                       .block_size = (uint32_t)sqlite3_column_int(row, 4),
                                       .is_thin = sqlite3_column_int(row, 5) != 0,
                                       .is_deleting = sqlite3_column_int(row, 6) != 0};
    cw_sql_text(row, 2, volume->name, sizeof volume->name);
}

static void take_place(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at)
{
    struct cw_store_place *place = &view->places[at];
    *place = (struct cw_store_place){.group = (uint32_t)sqlite3_column_int(row, 0),
                                     .volume = sqlite3_column_int(row, 1),
                                     .is_ours = sqlite3_column_int(row, 5) != 0,
                                     .is_made = sqlite3_column_int(row, 6) != 0,
                                     .base = (uint64_t)sqlite3_column_int64(row, 7),
                                     .is_unseen = sqlite3_column_int(row, 9) != 0,
                                     .may_take = sqlite3_column_int(row, 10) != 0,
                                     .is_refused = sqlite3_column_int(row, 11) != 0};
    cw_sql_text(row, 2, place->site, sizeof place->site);
    cw_sql_text(row, 3, place->path, sizeof place->path);
    cw_sql_text(row, 4, place->socket, sizeof place->socket);
    cw_sql_text(row, 8, place->error, sizeof place->error);
}

static void take_attachment(sqlite3_stmt *row, struct cw_store_view *view, uint32_t at)
{
    struct cw_store_attachment *attachment = &view->attachments[at];
    *attachment = (struct cw_store_attachment){.group = (uint32_t)sqlite3_column_int(row, 0),
                                               .volume = sqlite3_column_int(row, 1)};
    cw_sql_text(row, 2, attachment->kind, sizeof attachment->kind);
    cw_sql_text(row, 3, attachment->address, sizeof attachment->address);
    cw_sql_text(row, 4, attachment->certificates, sizeof attachment->certificates);
}

#define SELECT_GROUPS                                                                                        \
    "SELECT g.id,g.name,g.mode,g.min_in_sync,g.replica_timeout_ms,g.max_loss_ms,g.sites,"                    \
    "g.journal_bytes,g.deleting,g.next_volume,g.copy_brake_ms,"                                              \
    "g.max_loss_bytes,g.automatic,g.after_ms,g.home,"                                                        \
    "a.epoch,a.reign,a.holder,a.first_sequence,a.members,a.fenced_epoch,a.handover,"                         \
    "a.automatic_epoch,"                                                                                     \
    "r.taker,r.drain,r.epoch,r.heartbeat FROM groups g JOIN authority a ON a.group_id=g.id"                  \
    " LEFT JOIN requests r ON r.group_id=g.id "

enum cw_status cw_sqlite_group_read(struct cw_store *base, uint32_t group, struct cw_store_group *read)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    sqlite3_stmt *row = cw_sql_prepare(store->db, SELECT_GROUPS "WHERE g.id=?", "i", (int64_t)group);
    int result = row ? sqlite3_step(row) : SQLITE_ERROR;
    if (result == SQLITE_ROW)
        take_group(row, store->loading, 0);
    sqlite3_finalize(row);
    if (result != SQLITE_ROW)
        return result == SQLITE_DONE ? CW_NOT_FOUND : CW_IO;
    *read = store->loading->groups[0];
    return CW_OK;
}

static bool load_all(struct cw_sqlite *store, struct cw_store_view *view)
{
    return load_rows(
               store,
               "SELECT name,id,control_socket,storage,directory,lease_counter FROM sites ORDER BY id,name",
               view, &view->site_count, CW_STORE_SITES_MAX, take_site) &&
           load_rows(store, SELECT_GROUPS "ORDER BY g.id", view, &view->group_count, CW_STORE_GROUPS_MAX,
                     take_group) &&
           load_rows(store,
                     "SELECT group_id,volume,name,size,block_size,thin,deleting FROM volumes ORDER BY 1,2",
                     view, &view->volume_count, CW_STORE_VOLUMES_MAX, take_volume) &&
           load_rows(
               store,
               "SELECT group_id,volume,site,path,socket,ours,made,base,error,unseen,may_take,refused FROM places "
               "ORDER BY 1,2,3",
               view, &view->place_count, sizeof view->places / sizeof view->places[0], take_place) &&
           load_rows(store,
                     "SELECT group_id,volume,kind,address,certificates FROM attachments ORDER BY 1,2,3", view,
                     &view->attachment_count, CW_STORE_VOLUMES_MAX * CW_STORE_ATTACHMENTS, take_attachment);
}

enum cw_status cw_sqlite_load(struct cw_store *base, struct cw_store_view *view)
{
    struct cw_sqlite *store = cw_sqlite_of(base);
    CW_TRY(cw_sql_run(store->db, "BEGIN", ""));
    bool ok = cw_sqlite_look_back(store) == CW_OK;
    if (ok) {
        store->loading->version = cw_sqlite_version(&store->base);
        ok = load_all(store, store->loading);
    }
    CW_TRY(cw_sql_run(store->db, "COMMIT", ""));
    if (ok)
        cw_view_copy(view, store->loading);
    return ok ? CW_OK : CW_IO;
}
