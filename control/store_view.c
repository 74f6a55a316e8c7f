/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding things in a view. The lists are short: a walk is enough. */
#include <string.h>

#include "control/store.h"

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

const struct cw_store_group *cw_view_group_by_id(const struct cw_store_view *view, uint32_t id)
{
    for (uint32_t i = 0; i < view->group_count; i++) {
        if (view->groups[i].id == id)
            return &view->groups[i];
    }
    return NULL;
}

const struct cw_store_volume *cw_view_volume(const struct cw_store_view *view, uint32_t group,
                                             const char *name)
{
    for (uint32_t i = 0; i < view->volume_count; i++) {
        if (view->volumes[i].group == group && !view->volumes[i].is_deleting &&
            strcmp(view->volumes[i].name, name) == 0)
            return &view->volumes[i];
    }
    return NULL;
}

const struct cw_store_volume *cw_view_volume_by_id(const struct cw_store_view *view, uint32_t group,
                                                   int32_t volume)
{
    for (uint32_t i = 0; i < view->volume_count; i++) {
        if (view->volumes[i].group == group && view->volumes[i].volume == volume)
            return &view->volumes[i];
    }
    return NULL;
}

const char *cw_view_place_error(const struct cw_store_view *view, uint32_t group, const char *site)
{
    for (uint32_t i = 0; i < view->place_count; i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->group == group && strcmp(place->site, site) == 0 && place->error[0])
            return place->error;
    }
    return "";
}

const struct cw_store_place *cw_view_place(const struct cw_store_view *view, uint32_t group, int32_t volume,
                                           const char *site)
{
    for (uint32_t i = 0; i < view->place_count; i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->group == group && place->volume == volume && strcmp(place->site, site) == 0)
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
