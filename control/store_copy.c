/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * This site's copy of the store's rows, DIRECTORY/store-copy.json: for the day on which etcd is lost for
 * good, or is put back to an older copy (rebuild.h). It follows the store, at most once a second; and before
 * the engine is told that the store took an epoch or a set of ours, it is in the file: so what an engine has
 * ever answered under stands in the copy of its own site.
 *
 * A store that is older than the copy is not worked with. Groups and volumes are then attached as the copy
 * has them, so that superblocks are read and `status` shows them; nobody opens, nothing is written to the
 * store.
 *
 * The embedded store has no copy: it is a file beside this one.
 */
#include "control/store_copy.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/controller.h"
#include "control/durable_file.h"
#include "control/rebuild.h"
#include "control/rebuild_rows.h"
#include "control/store_etcd_rebuild.h"
#include "control/store_rows.h"

#define SAVE_NS   (1 * CW_SECOND)
#define SETTLE_NS (5 * CW_SECOND) /* for sites that start at the same time to look at the store */

static bool is_kept(const struct cw_controller *controller)
{
    return controller->config.etcd.count > 0;
}

static void file_of(const struct cw_controller *controller, char *path, size_t size)
{
    snprintf(path, size, "%s/store-copy.json", controller->config.directory);
}

/* One that cannot be written is taken away: none is better than one of before. It has to stay away, too: after
 * a power loss the old one would be there again, with a member that has been taken out since. Where even that
 * cannot be, the engine is not told yes. */
static bool save(struct cw_controller *controller, json_t *copy)
{
    char file[CW_CONFIG_PATH_SIZE + 32];
    file_of(controller, file, sizeof file);
    int error = cw_durable_write(file, copy, JSON_COMPACT | JSON_SORT_KEYS);
    bool ok = error == 0, was_good = controller->is_copy_good;
    if (!ok)
        fprintf(stderr, "%s: %s\n", file, strerror(error));
    controller->is_copy_good = ok;
    if (ok != was_good)
        cw_event(controller, ok ? 0 : 2, "",
                 ok ? "the copy of the store in %s is written again"
                    : "the copy of the store in %s cannot be written: what this site "
                      "knows of it does not outlive the store",
                 file);
    json_decref(controller->store_copy);
    controller->store_copy = copy;
    return ok || cw_durable_remove(file) == 0;
}

static json_t *make(const struct cw_controller *controller, json_t *rows, uint64_t revision)
{
    return json_pack("{s:i,s:s,s:I,s:I,s:o}", "format", 1, "site", controller->config.site, "revision",
                     (json_int_t)revision, "saved_seconds", (json_int_t)time(NULL), "rows", rows);
}

void cw_store_copy_start(struct cw_controller *controller)
{
    char file[CW_CONFIG_PATH_SIZE + 32];
    json_error_t error;
    controller->is_copy_good = true;
    if (!is_kept(controller))
        return;
    file_of(controller, file, sizeof file);
    json_t *copy = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
    if (copy && cw_json_u64(copy, "format", 0) == 1 && json_is_object(json_object_get(copy, "rows"))) {
        controller->store_copy = copy;
        return;
    }
    if (access(file, F_OK) == 0)
        fprintf(stderr, "%s is no copy of a store, and is not used: %s\n", file, error.text);
    json_decref(copy);
}

void cw_store_copy_stop(struct cw_controller *controller)
{
    json_decref(controller->store_copy);
    controller->store_copy = NULL;
}

/* A row that cannot be read takes nothing from what this site remembers of it. */
static void keep_readable(const struct cw_controller *controller, json_t *rows)
{
    const json_t *copy = json_object_get(controller->store_copy, "rows");
    const struct cw_store_view *view = controller->view;
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(rows, next, key, value)
    {
        json_t *before = json_object_get(copy, key);
        if (cw_row_is_readable(key, value))
            continue;
        if (before)
            json_object_set(rows, key, before);
        else
            json_object_del(rows, key);
    }
    for (uint32_t i = 0; i < view->unreadable_count; i++) { /* one that is not there at all, too */
        json_t *before = json_object_get(copy, view->unreadable[i].key);
        if (before)
            json_object_set(rows, view->unreadable[i].key, before);
    }
}

/* What operators' tokens promoted here is the group's row, whatever the store has. */
static void put_held_outside(const struct cw_controller *controller, json_t *rows)
{
    char key[CW_ROW_KEY_SIZE];
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        if (!cw_outside_is_held(controller->store, group->id))
            continue;
        cw_key_group(key, "authority", group->id);
        uint64_t moves = cw_json_u64(json_object_get(rows, key), "moves", 0);
        json_object_set_new(rows, key, cw_row_from_authority(&group->authority, moves));
    }
}

/* Words against the store, told once; "": none. */
static void set_behind(struct cw_controller *controller, const char *why)
{
    if (*why && strcmp(controller->store_behind, why) != 0)
        cw_event(controller, 2, "", "%s", why);
    snprintf(controller->store_behind, sizeof controller->store_behind, "%s", why);
}

/* A controller that works with the store is told by the mark that another one remembers more: what stands
 * there then is not worth a copy. */
static bool is_marked(struct cw_controller *controller, const json_t *rows)
{
    char why[sizeof controller->store_behind] = "";
    bool is = cw_rebuild_compare(NULL, rows, why, sizeof why) == CW_REBUILD_MARKED;
    set_behind(controller, is ? why : "");
    return is;
}

/* From when this controller works with the store on, and not from its first claim, which may come much later.
 */
static void begin_settling(struct cw_controller *controller)
{
    if (controller->is_store_begun && controller->settle_ns == 0)
        controller->settle_ns = controller->now_ns + SETTLE_NS;
}

void cw_store_copy_look(struct cw_controller *controller)
{
    uint64_t revision = 0, version = controller->view->version;
    json_t *rows = NULL;
    begin_settling(controller);
    if (!is_kept(controller) || !controller->is_store_begun || controller->is_fault_told ||
        version == controller->copy_version || controller->now_ns < controller->copy_due_ns ||
        cw_etcd_rows(cw_outside_inner(controller->store), &rows, &revision) != CW_OK)
        return;
    controller->copy_version = version;
    controller->copy_due_ns = controller->now_ns + SAVE_NS;
    keep_readable(controller, rows);
    put_held_outside(controller, rows);
    if (is_marked(controller, rows) || json_equal(rows, json_object_get(controller->store_copy, "rows")))
        json_decref(rows);
    else
        (void)save(controller, make(controller, rows, revision));
}

bool cw_store_copy_authority(struct cw_controller *controller, uint32_t group,
                             const struct cw_authority *next)
{
    char key[CW_ROW_KEY_SIZE];
    json_t *rows = NULL;
    uint64_t revision = 0;
    if (!is_kept(controller))
        return true;
    if (cw_etcd_rows(cw_outside_inner(controller->store), &rows, &revision) != CW_OK)
        return false;
    keep_readable(controller, rows);
    put_held_outside(controller, rows);
    cw_key_group(key, "authority", group);
    struct cw_authority now = {0};
    uint64_t moves = 0;
    bool is_there = cw_row_to_authority(json_object_get(rows, key), &now, &moves);
    if (!is_there || !cw_authority_equal(&now, next)) /* the watch has not told of it yet */
        json_object_set_new(rows, key, cw_row_from_authority(next, moves + 1));
    return save(controller, make(controller, rows, revision));
}

/* ---------------------------------------------------------------- at the beginning */

/* What operators' tokens promoted is taken over by a store that does not know of it (store_outside.h): of
 * that no store is behind. New reference. */
static json_t *compared_rows(const struct cw_controller *controller)
{
    json_t *rows = json_copy(json_object_get(controller->store_copy, "rows"));
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(rows, next, key, value)
    {
        bool is_authority = strncmp(key, "authority/", 10) == 0;
        if (is_authority && cw_outside_is_held(controller->store, cw_rebuild_key_group(key)))
            json_object_del(rows, key);
    }
    return rows;
}

/* The view is the copy's while the store is not worked with, and then the store's own again. */
static void choose_view(struct cw_controller *controller, bool is_ahead)
{
    const json_t *copy = json_object_get(controller->store_copy, "rows");
    if (!is_ahead && controller->is_view_copied)
        controller->view->version = 0;
    if (is_ahead && !controller->is_view_copied)
        controller->is_view_copied =
            copy && cw_etcd_view(cw_outside_inner(controller->store), copy, controller->view) == CW_OK;
    else if (!is_ahead)
        controller->is_view_copied = false;
}

bool cw_store_copy_is_ahead(struct cw_controller *controller)
{
    json_t *rows = NULL;
    uint64_t revision = 0;
    struct cw_store *etcd = is_kept(controller) ? cw_outside_inner(controller->store) : NULL;
    char why[sizeof controller->store_behind] = "";
    if (!etcd || cw_etcd_rows(etcd, &rows, &revision) != CW_OK)
        return false;
    json_t *copy = compared_rows(controller);
    enum cw_rebuild_standing standing = cw_rebuild_compare(copy, rows, why, sizeof why);
    json_decref(copy);
    if (standing == CW_REBUILD_LOST && !json_object_get(rows, CW_REBUILD_MARK) &&
        cw_etcd_doubt(etcd, controller->config.site, why) != CW_OK)
        fprintf(stderr, "the store does not take the doubt of this site\n"); /* the next time */
    json_decref(rows);
    bool is_ahead = standing != CW_REBUILD_WHOLE;
    choose_view(controller, is_ahead);
    set_behind(controller, is_ahead ? why : "");
    return is_ahead;
}

static bool works_with_store(const struct cw_controller *controller, uint32_t at)
{
    json_t *told = NULL;
    uint64_t counter = 0;
    const char *site = controller->config.sites[at].name;
    if (controller->mesh.sites[at].heard_ns == 0 ||
        cw_book_facts(controller->book, site, &told, &counter) != CW_OK)
        return false;
    bool is = cw_json_bool(told, "store_begun", false);
    json_decref(told);
    return is;
}

/* Where no links are nobody is heard, and the time is waited out: who knows better says so in the store. */
bool cw_store_copy_is_settled(struct cw_controller *controller)
{
    bool is_all = true;
    if (!is_kept(controller) || controller->is_settled)
        return true;
    begin_settling(controller);
    for (uint32_t i = 0; i < controller->config.site_count && is_all; i++) {
        bool is_self = strcmp(controller->config.sites[i].name, controller->config.site) == 0;
        is_all = is_self || works_with_store(controller, i);
    }
    controller->is_settled = is_all || (controller->settle_ns && controller->now_ns > controller->settle_ns);
    return controller->is_settled;
}

/* ---------------------------------------------------------------- told to others */

/* Is it at this site; or else at one that this site has a link to? */
static bool is_here(const struct cw_controller *controller, uint32_t group, bool *is_near)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group found;
    const json_t *rows = json_object_get(controller->store_copy, "rows");
    *is_near = false;
    if (!cw_row_to_group(json_object_get(rows, cw_key_group(key, "groups", group)), &found))
        return false;
    for (uint32_t i = 0; i < controller->config.site_count; i++)
        *is_near = *is_near || cw_group_has_site(&found, controller->config.sites[i].name);
    return cw_group_has_site(&found, controller->config.site);
}

json_t *cw_store_copy_facts(const struct cw_controller *controller)
{
    const char *key;
    json_t *value;
    if (controller->is_store_begun && !controller->is_fault_told)
        return json_null(); /* what it has is in the store */
    json_t *rows = json_object();
    json_object_foreach(json_object_get(controller->store_copy, "rows"), key, value)
    {
        uint32_t group = cw_rebuild_key_group(key);
        bool is_common = strncmp(key, "sites/", 6) == 0 || strncmp(key, "meta/", 5) == 0, is_near = false;
        bool is_head = strncmp(key, "groups/", 7) == 0 || strncmp(key, "authority/", 10) == 0;
        if (is_common || (group != 0 && (is_here(controller, group, &is_near) || (is_near && is_head))))
            json_object_set(rows, key, value);
    }
    return json_pack("{s:I,s:o}", "revision", (json_int_t)cw_json_u64(controller->store_copy, "revision", 0),
                     "rows", rows);
}
