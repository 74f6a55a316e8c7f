/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is at the paths of this site's volumes and journals, before anything is made there.
 *
 * With the store in etcd sites are on machines of their own, and whoever was asked for a volume cannot see the
 * others' paths. So each site's controller looks itself, when it is to make its part, and the order is:
 *
 *   unseen --nothing is there--> the row says so (is_ours) --the engine makes it--> made
 *          --it may be taken---> the row says so (another base, so that it is copied over) --> attached
 *          --else--------------> refused, in words; looked at again at each turn
 *
 * Only what the row says to be begun may be found made when its answer was lost (the engine's "exists"): else it
 * is somebody's, and is refused. A journal on a device is refused so whenever there is one: that the device was
 * clear before cannot be told from here without reading it, and a device that hangs must not hold this thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/controller.h"

uint64_t cw_place_new_base(void)
{
    uint64_t base = 0;
    while (base == 0) {
        if (getrandom(&base, sizeof base, 0) != sizeof base)
            base = 0;
    }
    return base;
}

bool cw_place_is_free(const char *path, int *error)
{
    struct stat about;
    bool is_there = lstat(path, &about) == 0; /* a link that leads nowhere is something, too */
    *error = is_there || errno == ENOENT ? 0 : errno;
    return !is_there && *error == 0;
}

bool cw_place_is_device(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISBLK(about.st_mode);
}

bool cw_place_has_room_for_copy(const struct cw_store_place *place, char *words, size_t size)
{
    char copy[sizeof place->path + 8];
    struct stat about;
    snprintf(copy, sizeof copy, "%s.copy", place->path);
    if (place->volume == CW_STORE_JOURNAL || cw_place_is_device(place->path) || lstat(copy, &about) != 0)
        return true;
    snprintf(words, size,
             "%s is there already at %s: a full copy of the volume would be written under that name. Move it "
             "away, or name another place with --path %s=PATH",
             copy, place->site, place->site);
    return false;
}

const char *cw_place_volume(const struct cw_controller *controller, const struct cw_store_place *place)
{
    const struct cw_store_volume *volume =
        cw_view_volume_by_id(controller->view, place->group, place->volume);
    return volume ? volume->name : "";
}

const struct cw_store_place *cw_place_lacked(const struct cw_controller *controller, uint32_t group,
                                             const char *site)
{
    const struct cw_store_view *view = controller->view;
    const json_t *engine = cw_facts_group(controller, site, group);
    for (uint32_t i = cw_view_places_from(view, group); engine && cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        const struct cw_store_volume *volume = cw_view_volume_by_id(view, group, place->volume);
        if (volume && !volume->is_deleting && place->error[0] && strcmp(place->site, site) == 0 &&
            !cw_engine_volume(engine, place->volume))
            return place;
    }
    return NULL;
}

void cw_place_words(const struct cw_controller *controller, const struct cw_store_place *place, char *words,
                    size_t size)
{
    const char *path = place->path, *site = place->site;
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, place->group);
    const char *source = !group ? "" : group->authority.holder[0] ? group->authority.holder : group->first;
    bool is_device = cw_place_is_device(path);
    if (place->volume == CW_STORE_JOURNAL)
        snprintf(
            words, size,
            "%s is there already, and may be the only copy of a group. If the store was lost or replaced, "
            "put the last one back as %s. If its group was deleted, the %s. "
            "Or name another with --journal %s=PATH",
            path, controller->store_name,
            is_device ? "device can be cleared (blkdiscard -z)" : "file can be removed", site);
    else if (strcmp(site, source) == 0)
        snprintf(
            words, size,
            "%s is there already. Move it away or remove it; or, to keep its data as the volume's, create "
            "the volume with --path %s=%s",
            path, site, path);
    else
        snprintf(words, size,
                 "%s exists at %s, which would be a replica: all its data would be overwritten. %sIf that is "
                 "meant, say --path %s=%s --overwrite %s; or remove it",
                 path, site,
                 is_device ? "It is a device, so nothing there is usable until the copy is finished, now and "
                             "after each later resync. "
                           : "",
                 site, path, site);
}

void cw_place_put(struct cw_controller *controller, const struct cw_store_place *place)
{
    const struct cw_store_place *found =
        cw_view_place(controller->view, place->group, place->volume, place->site);
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, place->group);
    bool is_same_error = found && strcmp(found->error, place->error) == 0;
    if (!controller->is_store_begun || !found) /* what was said of it is said again later */
        return;
    if (is_same_error && found->is_made == place->is_made && found->is_unseen == place->is_unseen &&
        found->is_ours == place->is_ours && found->is_refused == place->is_refused &&
        found->base == place->base)
        return;
    if (place->error[0] && !is_same_error)
        cw_event(controller, 2, group ? group->name : "", "%s cannot attach %s: %s", place->site, place->path,
                 place->error);
    if (cw_store_place_put(controller->store, place) != CW_OK)
        fprintf(stderr, "the store did not take the state of %s\n", place->path);
    (void)cw_view_refresh(controller);
}

static void refuse(struct cw_controller *controller, const struct cw_store_place *found, const char *words)
{
    struct cw_store_place place = *found;
    place.is_unseen = controller->config.etcd.count > 0;
    place.is_ours = false;
    place.is_refused = true;
    snprintf(place.error, sizeof place.error, "%s", words);
    cw_place_put(controller, &place);
}

/* The volume is there, and was made without this site: no option of its creation helps any more. */
static void say_in_the_way(const struct cw_controller *controller, const struct cw_store_place *place,
                           char *words, size_t size)
{
    const char *path = place->path, *site = place->site, *name = cw_place_volume(controller, place);
    if (cw_place_is_device(path))
        snprintf(words, size,
                 "%s exists at %s, and was not given to volume %s, which is there without it. To use it, "
                 "delete the volume and create it anew with --path %s=%s --overwrite %s",
                 path, site, name, site, path, site);
    else
        snprintf(words, size,
                 "%s exists at %s, and is not volume %s's, which is there without it. Move it away or remove "
                 "it: the volume is made there then by itself",
                 path, site, name);
}

static bool is_made_elsewhere(const struct cw_controller *controller, const struct cw_store_place *place)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, place->group);
    const char *source = !group ? "" : group->authority.holder[0] ? group->authority.holder : group->first;
    const struct cw_store_place *from = cw_view_place(controller->view, place->group, place->volume, source);
    return place->volume != CW_STORE_JOURNAL && strcmp(place->site, source) != 0 && from && from->is_made;
}

void cw_place_refuse(struct cw_controller *controller, uint32_t group, int32_t volume, const char *words)
{
    char found_words[sizeof((struct cw_store_place *)0)->error];
    const struct cw_store_place *found =
        cw_view_place(controller->view, group, volume, controller->config.site);
    if (!found)
        return;
    if (!words && is_made_elsewhere(controller, found))
        say_in_the_way(controller, found, found_words, sizeof found_words);
    else if (!words)
        cw_place_words(controller, found, found_words, sizeof found_words);
    refuse(controller, found, words ? words : found_words);
}

enum cw_place_sight cw_place_see(struct cw_controller *controller, uint32_t group, int32_t volume)
{
    const struct cw_store_place *found =
        cw_view_place(controller->view, group, volume, controller->config.site);
    int error = 0;
    if (!found || !found->is_unseen)
        return found ? CW_PLACE_SEEN : CW_PLACE_UNSEEN;
    char words[sizeof found->error];
    struct cw_store_place place = *found;
    place.is_ours = cw_place_is_free(place.path, &error);
    bool is_journal_device = volume == CW_STORE_JOURNAL && cw_place_is_device(place.path);
    if (error) {
        snprintf(place.error, sizeof place.error, "%s: %s", place.path, strerror(error));
        place.is_refused = false;
        cw_place_put(controller, &place);
        return CW_PLACE_UNSEEN;
    }
    if (!place.is_ours && !place.may_take && !is_journal_device) {
        cw_place_refuse(controller, group, volume, NULL);
        return CW_PLACE_UNSEEN;
    }
    if (!cw_place_has_room_for_copy(&place, words, sizeof words)) {
        cw_place_refuse(controller, group, volume, words);
        return CW_PLACE_UNSEEN;
    }
    place.is_unseen = place.is_refused = false;
    place.base = place.is_ours || is_journal_device ? 0 : cw_place_new_base();
    if (!controller->is_store_begun || cw_store_place_put(controller->store, &place) != CW_OK)
        return CW_PLACE_UNSEEN; /* nothing is made that the row does not tell of */
    (void)cw_view_refresh(controller);
    return CW_PLACE_SEEN_NOW;
}

void cw_place_remove_file(const char *path)
{
    struct stat about;
    if (lstat(path, &about) == 0 && S_ISREG(about.st_mode) && unlink(path) < 0)
        fprintf(stderr, "%s stays: it could not be removed\n", path);
}
