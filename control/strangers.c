/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is here and the store does not know: groups that the engine has, and journals where this site keeps
 * them. A store that was lost and made anew, or replaced by an old copy, looks like one in which nothing was
 * ever made; then these hold what was written, and nobody may take them for rubbish. Looked for with every
 * fact of this site, and told when it lasts: a deletion passes through this state as well.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "control/controller.h"

#define LASTS_NS      (3 * CW_SECOND)
#define STRANGERS_MAX 64u

static bool is_same_file(const char *left, const char *right)
{
    struct stat one, other;
    return strcmp(left, right) == 0 || (stat(left, &one) == 0 && stat(right, &other) == 0 &&
                                        one.st_dev == other.st_dev && one.st_ino == other.st_ino);
}

static bool is_journal_known(const struct cw_controller *controller, const char *path, const json_t *found)
{
    const struct cw_store_view *view = controller->view;
    size_t index;
    json_t *entry;
    for (uint32_t i = 0; i < view->place_count; i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume == CW_STORE_JOURNAL && strcmp(place->site, controller->config.site) == 0 &&
            is_same_file(place->path, path))
            return true;
    }
    json_array_foreach(found, index, entry)
    {
        if (is_same_file(cw_json_text(entry, "journal", ""), path))
            return true; /* named with its group */
    }
    return false;
}

/* By name as well: a new store gives out the same numbers again. */
static void find_groups(const struct cw_controller *controller, json_t *found)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(controller->engine.status, "groups"), index, entry)
    {
        const struct cw_store_group *group =
            cw_view_group_by_id(controller->view, (uint32_t)cw_json_u64(entry, "group", 0));
        const char *name = cw_json_text(entry, "name", "");
        if (json_array_size(found) == STRANGERS_MAX || (group && strcmp(group->name, name) == 0))
            continue;
        json_array_append_new(found, json_pack("{s:s,s:s}", "group", name, "journal",
                                               cw_json_text(json_object_get(entry, "journal"), "path", "")));
    }
}

static void find_journals(const struct cw_controller *controller, json_t *found)
{
    static const char ending[] = ".journal";
    const char *storage = controller->config.storage;
    DIR *directory = opendir(storage);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL && json_array_size(found) < STRANGERS_MAX) {
        char path[CW_STORE_PATH_SIZE];
        size_t length = strlen(entry->d_name);
        int bytes = snprintf(path, sizeof path, "%s/%s", storage, entry->d_name);
        if (length < sizeof ending || strcmp(entry->d_name + length + 1 - sizeof ending, ending) != 0 ||
            bytes < 0 || (size_t)bytes >= sizeof path || is_journal_known(controller, path, found))
            continue;
        json_array_append_new(found, json_pack("{s:s,s:s}", "group", "", "journal", path));
    }
    if (directory)
        closedir(directory);
}

static void tell(struct cw_controller *controller, const json_t *found)
{
    const json_t *first = json_array_get(found, 0);
    const char *group = cw_json_text(first, "group", "");
    cw_event(
        controller, 2, "",
        "%s has %s%s, which the store does not know (%zu such in all). If the store was lost or replaced, "
        "put the last one back as %s; remove nothing that was not deleted",
        controller->config.site, group[0] ? "group " : "the journal ",
        group[0] ? group : cw_json_text(first, "journal", ""), json_array_size(found),
        controller->store_name);
}

json_t *cw_strangers(struct cw_controller *controller)
{
    json_t *found = json_array();
    if (controller->is_store_begun && controller->view->version != 0) {
        find_groups(controller, found);
        find_journals(controller, found);
    }
    if (json_array_size(found) == 0) {
        controller->strangers_ns = 0;
        controller->is_strangers_told = false;
        return found;
    }
    if (controller->strangers_ns == 0)
        controller->strangers_ns = controller->now_ns;
    if (controller->now_ns - controller->strangers_ns < LASTS_NS) {
        json_array_clear(found);
    } else if (!controller->is_strangers_told) {
        controller->is_strangers_told = true;
        tell(controller, found);
    }
    return found;
}
