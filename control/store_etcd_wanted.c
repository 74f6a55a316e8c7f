/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rows of what is wanted in etcd, and reading them all. What has to hold over many rows (a limit, a name
 * or a path that is free) is looked at in the snapshot; one row that moves with each of them makes that true:
 * the group's for its volumes, meta/next_group for groups, meta/volumes, meta/places and meta/sites.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store_etcd.h"

/* One change of what is wanted. */
#define CHANGE(base, expression)                                                                             \
    do {                                                                                                     \
        struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};                                        \
        while (cw_etcd_change_next(cw_etcd_store_of(base), &change)) {                                       \
            struct cw_draft *draft = change.draft;                                                           \
            change.status = (expression);                                                                    \
        }                                                                                                    \
        return change.status;                                                                                \
    } while (0)

static uint32_t count_of(const struct cw_draft *draft, const char *prefix)
{
    uint32_t from = cw_rows_from(&draft->rows, prefix), at = from;
    while (cw_rows_has(&draft->rows, at, prefix))
        at++;
    return at - from;
}

/* ---------------------------------------------------------------- sites */

/* The number that a site has, or SITE_UNKNOWN. */
#define SITE_UNKNOWN CW_SET_MAX
static uint32_t id_of(const struct cw_draft *draft, const char *name)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_site site;
    return cw_row_to_site(cw_draft_look(draft, cw_key_name(key, "sites", name)), &site) ? site.id
                                                                                        : SITE_UNKNOWN;
}

/* Would two sites of the group have one number, with `site` as it is to be (NULL: as all are)? */
static bool is_id_twice(const struct cw_draft *draft, const struct cw_store_group *group,
                        const struct cw_store_site *site)
{
    bool is_taken[CW_SET_MAX + 1] = {false}, is_twice = false;
    for (uint32_t i = 0; i < group->site_count; i++) {
        bool is_this = site && strcmp(group->sites[i], site->name) == 0;
        uint32_t id = is_this ? site->id : id_of(draft, group->sites[i]);
        is_twice = is_twice || (id < CW_SET_MAX && is_taken[id]);
        is_taken[id] = true;
    }
    return is_twice;
}

/* Has another site that number in a group where this one is, too? */
static bool is_id_taken(const struct cw_draft *draft, const struct cw_store_site *site)
{
    for (uint32_t i = cw_rows_from(&draft->rows, "groups/"); cw_rows_has(&draft->rows, i, "groups/"); i++) {
        struct cw_store_group group;
        if (cw_row_to_group(draft->rows.list[i]->json, &group) && cw_group_has_site(&group, site->name) &&
            is_id_twice(draft, &group, site))
            return true;
    }
    return false;
}

static enum cw_status put_site(struct cw_draft *draft, const struct cw_store_site *site)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_site before;
    const json_t *row = cw_draft_get(draft, cw_key_name(key, "sites", site->name));
    bool is_new_id = !row || !cw_row_to_site(row, &before) || before.id != site->id;
    if (site->id >= CW_SET_MAX)
        return CW_INVALID;
    if (!row && count_of(draft, "sites/") >= CW_STORE_SITES_MAX)
        return CW_NO_SPACE;
    if (is_new_id && is_id_taken(draft, site))
        return CW_EXISTS;
    if (is_new_id) {
        cw_draft_guard(draft, "meta/sites");
        (void)cw_draft_get(draft, "meta/next_group"); /* of no group made meanwhile */
    }
    cw_draft_put(draft, key, cw_row_from_site(site));
    if (!cw_draft_get(draft, cw_key_name(key, "lease", site->name)))
        cw_draft_put(draft, key, json_integer(0));
    return draft->failure;
}

enum cw_status cw_etcd_site_put(struct cw_store *base, const struct cw_store_site *site)
{
    CHANGE(base, put_site(draft, site));
}

/* ---------------------------------------------------------------- groups */

static enum cw_status add_group(struct cw_draft *draft, struct cw_store_group *group)
{
    static const struct cw_authority nobody;
    char key[CW_ROW_KEY_SIZE];
    if (count_of(draft, "groups/") >= CW_STORE_GROUPS_MAX)
        return CW_NO_SPACE;
    (void)cw_draft_get(draft, "meta/sites"); /* numbers are as they were looked at */
    if (is_id_twice(draft, group, NULL))
        return CW_INVALID;
    const json_t *next = cw_draft_get(draft, "meta/next_group");
    if (next &&
        (!json_is_integer(next) || json_integer_value(next) <= 0 || json_integer_value(next) >= UINT32_MAX))
        return CW_IO;
    group->id = next ? (uint32_t)json_integer_value(next) : 1;
    if (cw_draft_get(draft, cw_key_group(key, "groups", group->id)))
        return CW_IO; /* by another hand: what is there is not written over */
    group->next_volume = 0;
    group->is_deleting = false;
    if (cw_draft_get(draft, cw_key_name(key, "names", group->name)))
        return CW_EXISTS;
    cw_draft_put(draft, key, json_integer(group->id));
    cw_draft_put(draft, "meta/next_group", json_integer((json_int_t)group->id + 1));
    cw_draft_put(draft, cw_key_group(key, "groups", group->id), cw_row_from_group(group));
    cw_draft_put(draft, cw_key_group(key, "authority", group->id), cw_row_from_authority(&nobody, 0));
    return draft->failure;
}

enum cw_status cw_etcd_group_add(struct cw_store *base, struct cw_store_group *group)
{
    CHANGE(base, add_group(draft, group));
}

static enum cw_status update_group(struct cw_draft *draft, const struct cw_store_group *group)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group now;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "groups", group->id));
    if (!row)
        return CW_NOT_FOUND;
    if (!cw_row_to_group(row, &now))
        return CW_IO;
    now.mode = group->mode;
    now.min_in_sync = group->min_in_sync;
    now.replica_timeout_ms = group->replica_timeout_ms;
    now.max_loss_ms = group->max_loss_ms;
    now.copy_brake_ms = group->copy_brake_ms;
    now.max_loss_bytes = group->max_loss_bytes;
    now.is_automatic = group->is_automatic;
    now.after_ms = group->after_ms;
    memcpy(now.home, group->home, sizeof now.home);
    draft->is_verdict = true; /* that all is as it is wanted may have ended a moment ago */
    cw_draft_put(draft, key, cw_row_from_group(&now));
    return draft->failure;
}

enum cw_status cw_etcd_group_update(struct cw_store *base, const struct cw_store_group *group)
{
    CHANGE(base, update_group(draft, group));
}

/* A volume that is made meanwhile moves the group's row, which is compared. */
static enum cw_status delete_group(struct cw_draft *draft, uint32_t group)
{
    char key[CW_ROW_KEY_SIZE], volumes[CW_ROW_KEY_SIZE];
    struct cw_store_group now;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "groups", group));
    if (!row)
        return CW_NOT_FOUND;
    if (!cw_row_to_group(row, &now))
        return CW_IO;
    if (count_of(draft, cw_key_all(volumes, "volumes", group)) > 0)
        return CW_EXISTS;
    now.is_deleting = true;
    cw_draft_put(draft, key, cw_row_from_group(&now));
    return draft->failure;
}

enum cw_status cw_etcd_group_deleting(struct cw_store *base, uint32_t group)
{
    CHANGE(base, delete_group(draft, group));
}

/* A lease that stands on the group's authority is to be lost. */
static enum cw_status remove_group(struct cw_draft *draft, uint32_t group)
{
    static const char *const kinds[] = {"attachments", "places", "volumes"};
    char key[CW_ROW_KEY_SIZE];
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "groups", group));
    const char *name = json_string_value(json_object_get(row, "name"));
    if (name)
        cw_draft_remove(draft, cw_key_name(key, "names", name));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        cw_draft_remove_all(draft, cw_key_all(key, kinds[i], group));
    const json_t *authority = cw_draft_get(draft, cw_key_group(key, "authority", group));
    const char *holder = json_string_value(json_object_get(authority, "holder"));
    cw_etcd_touch_holder(draft, holder ? holder : "");
    cw_draft_remove(draft, key);
    cw_draft_remove(draft, cw_key_group(key, "requests", group));
    cw_draft_remove(draft, cw_key_group(key, "groups", group));
    return draft->failure;
}

enum cw_status cw_etcd_group_remove(struct cw_store *base, uint32_t group)
{
    CHANGE(base, remove_group(draft, group));
}

/* ---------------------------------------------------------------- volumes */

static bool is_name_taken(const struct cw_draft *draft, const struct cw_store_volume *volume)
{
    char prefix[CW_ROW_KEY_SIZE];
    cw_key_all(prefix, "volumes", volume->group);
    for (uint32_t i = cw_rows_from(&draft->rows, prefix); cw_rows_has(&draft->rows, i, prefix); i++) {
        struct cw_store_volume other;
        if (cw_row_to_volume(draft->rows.list[i]->json, &other) && !other.is_deleting &&
            strcmp(other.name, volume->name) == 0)
            return true;
    }
    return false;
}

static enum cw_status add_volume(struct cw_draft *draft, struct cw_store_volume *volume)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_group group;
    if (count_of(draft, "volumes/") >= CW_STORE_VOLUMES_MAX)
        return CW_NO_SPACE;
    const json_t *row = cw_draft_get(draft, cw_key_group(key, "groups", volume->group));
    if (!row)
        return CW_NOT_FOUND;
    if (!cw_row_to_group(row, &group))
        return CW_IO;
    if (group.is_deleting)
        return CW_NOT_FOUND;
    if (group.next_volume >= (int32_t)CW_VOLUMES_PER_GROUP_MAX)
        return CW_RANGE;
    if (is_name_taken(draft, volume))
        return CW_EXISTS;
    volume->volume = group.next_volume++;
    volume->is_deleting = false;
    cw_draft_put(draft, key, cw_row_from_group(&group));
    cw_draft_guard(draft, "meta/volumes");
    cw_draft_put(draft, cw_key_volume(key, volume->group, volume->volume), cw_row_from_volume(volume));
    return draft->failure;
}

enum cw_status cw_etcd_volume_add(struct cw_store *base, struct cw_store_volume *volume)
{
    CHANGE(base, add_volume(draft, volume));
}

static enum cw_status delete_volume(struct cw_draft *draft, uint32_t group, int32_t volume)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_volume now;
    const json_t *row = cw_draft_get(draft, cw_key_volume(key, group, volume));
    if (row && !cw_row_to_volume(row, &now))
        return CW_IO;
    now.is_deleting = true;
    if (row)
        cw_draft_put(draft, key, cw_row_from_volume(&now));
    cw_draft_remove_all(draft, cw_key_of_volume(key, "attachments", group, volume));
    return draft->failure;
}

enum cw_status cw_etcd_volume_deleting(struct cw_store *base, uint32_t group, int32_t volume)
{
    CHANGE(base, delete_volume(draft, group, volume));
}

static enum cw_status remove_volume(struct cw_draft *draft, uint32_t group, int32_t volume)
{
    char key[CW_ROW_KEY_SIZE];
    (void)cw_draft_get(draft, cw_key_volume(key, group, volume));
    cw_draft_remove(draft, key);
    cw_draft_remove_all(draft, cw_key_of_volume(key, "attachments", group, volume));
    cw_draft_remove_all(draft, cw_key_of_volume(key, "places", group, volume));
    return draft->failure;
}

enum cw_status cw_etcd_volume_remove(struct cw_store *base, uint32_t group, int32_t volume)
{
    CHANGE(base, remove_volume(draft, group, volume));
}

/* ---------------------------------------------------------------- places and attachments */

static bool is_path_taken(const struct cw_draft *draft, const struct cw_store_place *place)
{
    for (uint32_t i = cw_rows_from(&draft->rows, "places/"); cw_rows_has(&draft->rows, i, "places/"); i++) {
        const json_t *row = draft->rows.list[i]->json;
        const char *path = json_string_value(json_object_get(row, "path"));
        struct cw_store_place other;
        if (path && strcmp(path, place->path) == 0 && cw_row_to_place(row, &other) &&
            strcmp(other.site, place->site) == 0 &&
            (other.group != place->group || other.volume != place->volume))
            return true;
    }
    return false;
}

static enum cw_status put_place(struct cw_draft *draft, const struct cw_store_place *place)
{
    char key[CW_ROW_KEY_SIZE];
    const json_t *row = cw_draft_get(draft, cw_key_place(key, place->group, place->volume, place->site));
    const char *path = json_string_value(json_object_get(row, "path"));
    if (!path || strcmp(path, place->path) != 0) {
        if (is_path_taken(draft, place))
            return CW_EXISTS;
        cw_draft_guard(draft, "meta/places");
    }
    cw_draft_put(draft, key, cw_row_from_place(place));
    return draft->failure;
}

enum cw_status cw_etcd_place_put(struct cw_store *base, const struct cw_store_place *place)
{
    CHANGE(base, put_place(draft, place));
}

/* CW_NOT_FOUND: there was none. */
static enum cw_status remove_one(struct cw_draft *draft, const char *key)
{
    if (!cw_draft_get(draft, key))
        return CW_NOT_FOUND;
    cw_draft_remove(draft, key);
    return draft->failure;
}

enum cw_status cw_etcd_place_remove(struct cw_store *base, uint32_t group, int32_t volume, const char *site)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_etcd_change change = {.patience_ms = CW_CHANGE_MS};
    cw_key_place(key, group, volume, site);
    while (cw_etcd_change_next(cw_etcd_store_of(base), &change))
        change.status = remove_one(change.draft, key);
    return change.status == CW_NOT_FOUND ? CW_OK : change.status;
}

static enum cw_status put_attachment(struct cw_draft *draft, const struct cw_store_attachment *attachment)
{
    char key[CW_ROW_KEY_SIZE];
    (void)cw_draft_get(draft,
                       cw_key_attachment(key, attachment->group, attachment->volume, attachment->kind));
    cw_draft_put(draft, key, cw_row_from_attachment(attachment));
    return draft->failure;
}

enum cw_status cw_etcd_attachment_put(struct cw_store *base, const struct cw_store_attachment *attachment)
{
    CHANGE(base, put_attachment(draft, attachment));
}

enum cw_status cw_etcd_attachment_remove(struct cw_store *base, uint32_t group, int32_t volume,
                                         const char *kind)
{
    char key[CW_ROW_KEY_SIZE];
    cw_key_attachment(key, group, volume, kind);
    CHANGE(base, remove_one(draft, key));
}

/* ---------------------------------------------------------------- reading all */

static bool take_site(const struct cw_draft *draft, const struct cw_row *row, struct cw_store_view *view)
{
    char key[CW_ROW_KEY_SIZE];
    struct cw_store_site *site = &view->sites[view->site_count];
    if (view->site_count++ == CW_STORE_SITES_MAX || !cw_row_to_site(row->json, site))
        return false;
    site->lease_counter =
        (uint64_t)json_integer_value(cw_draft_look(draft, cw_key_name(key, "lease", site->name)));
    return true;
}

static bool take_group(const struct cw_draft *draft, const struct cw_row *row, struct cw_store_view *view)
{
    char key[CW_ROW_KEY_SIZE];
    uint64_t moves;
    struct cw_store_group *group = &view->groups[view->group_count];
    if (view->group_count++ == CW_STORE_GROUPS_MAX || !cw_row_to_group(row->json, group))
        return false;
    const json_t *request = cw_draft_look(draft, cw_key_group(key, "requests", group->id));
    return cw_row_to_authority(cw_draft_look(draft, cw_key_group(key, "authority", group->id)),
                               &group->authority, &moves) &&
           (!request || cw_row_to_request(request, &group->request));
}

static bool take_volume(const struct cw_draft *draft, const struct cw_row *row, struct cw_store_view *view)
{
    struct cw_store_volume *volume = &view->volumes[view->volume_count];
    return view->volume_count++ < CW_STORE_VOLUMES_MAX && cw_row_to_volume(row->json, volume);
}

static bool take_place(const struct cw_draft *draft, const struct cw_row *row, struct cw_store_view *view)
{
    struct cw_store_place *place = &view->places[view->place_count];
    return view->place_count++ < sizeof view->places / sizeof view->places[0] &&
           cw_row_to_place(row->json, place);
}

static bool take_attachment(const struct cw_draft *draft, const struct cw_row *row,
                            struct cw_store_view *view)
{
    return view->attachment_count < CW_STORE_VOLUMES_MAX * CW_STORE_ATTACHMENTS &&
           cw_row_to_attachment(row->json, &view->attachments[view->attachment_count++]);
}

static const struct {
    const char *prefix;
    bool (*take)(const struct cw_draft *draft, const struct cw_row *row, struct cw_store_view *view);
} kinds[] = {{"sites/", take_site},
             {"groups/", take_group},
             {"volumes/", take_volume},
             {"places/", take_place},
             {"attachments/", take_attachment}};

/* Keys are in the order of names; people know sites by their number. */
static int by_id(const void *a, const void *b)
{
    const struct cw_store_site *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id ? 1 : strcmp(left->name, right->name);
}

bool cw_etcd_is_readable(const struct cw_draft *draft, uint32_t group)
{
    static const char *const of_many[] = {"volumes", "places"};
    char key[CW_ROW_KEY_SIZE];
    const struct cw_row *row = cw_rows_find(&draft->rows, cw_key_group(key, "groups", group));
    if (!row || !row->is_readable)
        return false;
    for (size_t k = 0; k < sizeof of_many / sizeof of_many[0]; k++) {
        uint32_t i = cw_rows_from(&draft->rows, cw_key_all(key, of_many[k], group));
        for (; cw_rows_has(&draft->rows, i, key); i++) {
            if (!draft->rows.list[i]->is_readable)
                return false;
        }
    }
    return true;
}

/* Which groups have a row that cannot be read. */
struct unreadable {
    uint32_t count, groups[CW_STORE_GROUPS_MAX];
};

static bool is_among(const struct unreadable *unreadable, uint32_t group)
{
    for (uint32_t i = 0; i < unreadable->count; i++) {
        if (unreadable->groups[i] == group)
            return true;
    }
    return false;
}

/* false: more than there can be groups. */
static bool note_unreadable(struct unreadable *unreadable, struct cw_store_view *view, const char *key)
{
    uint32_t group = cw_row_group(key);
    if (view->unreadable_count < CW_STORE_UNREADABLE_MAX) {
        struct cw_store_unreadable *named = &view->unreadable[view->unreadable_count++];
        named->group = group;
        snprintf(named->key, sizeof named->key, "%s", key);
    }
    if (group == 0 || is_among(unreadable, group))
        return true;
    if (unreadable->count == CW_STORE_GROUPS_MAX)
        return false;
    unreadable->groups[unreadable->count++] = group;
    return true;
}

static bool find_unreadable(const struct cw_draft *draft, struct unreadable *unreadable,
                            struct cw_store_view *view)
{
    bool ok = true;
    static_assert(CW_ROW_KEY_SIZE == CW_STORE_KEY_SIZE, "one is copied to the other");
    for (uint32_t i = 0; ok && i < draft->rows.count; i++) {
        const struct cw_row *row = draft->rows.list[i];
        char authority[CW_ROW_KEY_SIZE];
        cw_key_group(authority, "authority", cw_row_group(row->key));
        if (!row->is_readable)
            ok = note_unreadable(unreadable, view, row->key);
        else if (strncmp(row->key, "groups/", 7) == 0 && !cw_rows_find(&draft->rows, authority))
            ok = note_unreadable(unreadable, view, authority);
    }
    return ok;
}

/* What was known of them, if anything was: a group does not go because a row of it is overwritten. */
static bool keep_known(const struct unreadable *unreadable, struct cw_store_view *view,
                       const struct cw_store_view *before)
{
    for (uint32_t i = 0; i < unreadable->count; i++) {
        if (!cw_view_keep_group(view, before, unreadable->groups[i]))
            return false;
    }
    for (uint32_t i = 0; i < view->unreadable_count; i++) {
        const char *key = view->unreadable[i].key;
        const struct cw_store_group *asked = cw_view_group_by_id(view, view->unreadable[i].group);
        if (asked && strncmp(key, "requests/", 9) == 0)
            view->groups[asked - view->groups].request = (struct cw_store_request){0};
        bool is_site = strncmp(key, "sites/", 6) == 0;
        const struct cw_store_site *site = is_site ? cw_view_site(before, key + 6) : NULL;
        if (site && view->site_count < CW_STORE_SITES_MAX)
            view->sites[view->site_count++] = *site;
    }
    return true;
}

bool cw_etcd_load_rows(const struct cw_draft *draft, struct cw_store_view *view,
                       const struct cw_store_view *before)
{
    struct unreadable unreadable = {0};
    view->site_count = view->group_count = view->volume_count = view->place_count = view->attachment_count =
        view->unreadable_count = 0;
    bool ok = find_unreadable(draft, &unreadable, view);
    for (size_t k = 0; ok && k < sizeof kinds / sizeof kinds[0]; k++) {
        uint32_t i = cw_rows_from(&draft->rows, kinds[k].prefix);
        for (; ok && cw_rows_has(&draft->rows, i, kinds[k].prefix); i++) {
            const struct cw_row *row = draft->rows.list[i];
            if (!row->is_readable || is_among(&unreadable, cw_row_group(row->key)))
                continue;
            ok = kinds[k].take(draft, row, view);
            if (!ok)
                fprintf(stderr, "the store: with the row %s there is more in etcd than there can be\n",
                        row->key);
        }
    }
    ok = ok && (!before || keep_known(&unreadable, view, before));
    qsort(view->sites, view->site_count, sizeof view->sites[0], by_id);
    return ok;
}

enum cw_status cw_etcd_load(struct cw_store *base, struct cw_store_view *view)
{
    struct cw_etcd_store *store = cw_etcd_store_of(base);
    struct cw_draft draft = {0};
    uint64_t version = cw_mirror_version(store->mirror); /* before: then at most it is loaded once more */
    enum cw_status status = cw_mirror_snapshot(store->mirror, &draft);
    if (status == CW_OK && !cw_etcd_load_rows(&draft, store->loading, view))
        status = CW_IO;
    cw_draft_free(&draft);
    if (status != CW_OK)
        return status;
    store->loading->version = version;
    cw_view_copy(view, store->loading);
    return CW_OK;
}
