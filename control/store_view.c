/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A view, and finding things in it. Its lists are sorted (store.h), so what is of one group is found by
 * halving; sites are few, and names are looked for only when somebody gives a command.
 */
#include <stdlib.h>
#include <string.h>

#include "control/store.h"

/* Pages that nothing is written to take no memory. */
struct cw_store_view *cw_view_new(void)
{
    return calloc(1, sizeof(struct cw_store_view));
}

void cw_view_copy(struct cw_store_view *to, const struct cw_store_view *from)
{
    to->version = from->version;
    to->unreadable_count = from->unreadable_count;
    memcpy(to->unreadable, from->unreadable, sizeof to->unreadable);
    to->site_count = from->site_count;
    to->group_count = from->group_count;
    to->volume_count = from->volume_count;
    to->place_count = from->place_count;
    to->attachment_count = from->attachment_count;
    memcpy(to->sites, from->sites, from->site_count * sizeof from->sites[0]);
    memcpy(to->groups, from->groups, from->group_count * sizeof from->groups[0]);
    memcpy(to->volumes, from->volumes, from->volume_count * sizeof from->volumes[0]);
    memcpy(to->places, from->places, from->place_count * sizeof from->places[0]);
    memcpy(to->attachments, from->attachments, from->attachment_count * sizeof from->attachments[0]);
}

const struct cw_store_site *cw_view_site(const struct cw_store_view *view, const char *name)
{
    for (uint32_t i = 0; i < view->site_count; i++) {
        if (strcmp(view->sites[i].name, name) == 0)
            return &view->sites[i];
    }
    return NULL;
}

const struct cw_store_group *cw_view_group(const struct cw_store_view *view, const char *name)
{
    for (uint32_t i = 0; i < view->group_count; i++) {
        if (strcmp(view->groups[i].name, name) == 0)
            return &view->groups[i];
    }
    return NULL;
}

/* The first whose number (at the beginning of each, as `group` or `id`) is not below. */
static uint32_t first_of(const void *list, size_t each, uint32_t count, uint32_t group)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, at;
        memcpy(&at, (const char *)list + middle * each, sizeof at);
        if (at < group)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
static_assert(offsetof(struct cw_store_group, id) == 0, "where first_of looks");
static_assert(offsetof(struct cw_store_volume, group) == 0, "where first_of looks");
static_assert(offsetof(struct cw_store_place, group) == 0, "where first_of looks");
static_assert(offsetof(struct cw_store_attachment, group) == 0, "where first_of looks");

const struct cw_store_group *cw_view_group_by_id(const struct cw_store_view *view, uint32_t id)
{
    uint32_t at = first_of(view->groups, sizeof view->groups[0], view->group_count, id);
    return at < view->group_count && view->groups[at].id == id ? &view->groups[at] : NULL;
}

uint32_t cw_view_volumes_from(const struct cw_store_view *view, uint32_t group)
{
    return first_of(view->volumes, sizeof view->volumes[0], view->volume_count, group);
}

uint32_t cw_view_places_from(const struct cw_store_view *view, uint32_t group)
{
    return first_of(view->places, sizeof view->places[0], view->place_count, group);
}

const char *cw_view_unreadable(const struct cw_store_view *view, uint32_t group)
{
    for (uint32_t i = 0; i < view->unreadable_count; i++) {
        if (view->unreadable[i].group == group &&
            strncmp(view->unreadable[i].key, "attachments/", strlen("attachments/")) != 0)
            return view->unreadable[i].key;
    }
    return NULL;
}

/* The list's own entries of the group, put in where they belong. */
static bool keep_some(void *to, uint32_t *count, uint32_t size, const void *from, uint32_t from_count,
                      size_t each, uint32_t group)
{
    uint32_t first = first_of(from, each, from_count, group);
    uint32_t more = first_of(from, each, from_count, group + 1) - first;
    char *at = (char *)to + first_of(to, each, *count, group) * each;
    if (more > size - *count)
        return false;
    memmove(at + more * each, at, (size_t)((char *)to + *count * each - at));
    memcpy(at, (const char *)from + first * each, more * each);
    *count += more;
    return true;
}

bool cw_view_keep_group(struct cw_store_view *to, const struct cw_store_view *from, uint32_t group)
{
    return keep_some(to->groups, &to->group_count, CW_STORE_GROUPS_MAX, from->groups, from->group_count,
                     sizeof to->groups[0], group) &&
           keep_some(to->volumes, &to->volume_count, CW_STORE_VOLUMES_MAX, from->volumes, from->volume_count,
                     sizeof to->volumes[0], group) &&
           keep_some(to->places, &to->place_count, sizeof to->places / sizeof to->places[0], from->places,
                     from->place_count, sizeof to->places[0], group) &&
           keep_some(to->attachments, &to->attachment_count, CW_STORE_VOLUMES_MAX * CW_STORE_ATTACHMENTS,
                     from->attachments, from->attachment_count, sizeof to->attachments[0], group);
}

const struct cw_store_volume *cw_view_volume(const struct cw_store_view *view, uint32_t group,
                                             const char *name)
{
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group); i++) {
        if (!view->volumes[i].is_deleting && strcmp(view->volumes[i].name, name) == 0)
            return &view->volumes[i];
    }
    return NULL;
}

const struct cw_store_volume *cw_view_volume_by_id(const struct cw_store_view *view, uint32_t group,
                                                   int32_t volume)
{
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group); i++) {
        if (view->volumes[i].volume == volume)
            return &view->volumes[i];
    }
    return NULL;
}

const char *cw_view_place_error(const struct cw_store_view *view, uint32_t group, const char *site)
{
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->error[0] && strcmp(place->site, site) == 0)
            return place->error;
    }
    return "";
}

const struct cw_store_place *cw_view_place(const struct cw_store_view *view, uint32_t group, int32_t volume,
                                           const char *site)
{
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume == volume && strcmp(place->site, site) == 0)
            return place;
    }
    return NULL;
}

bool cw_group_has_site(const struct cw_store_group *group, const char *site)
{
    for (uint32_t i = 0; i < group->site_count; i++) {
        if (strcmp(group->sites[i], site) == 0)
            return true;
    }
    return false;
}
