/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * volume.delete, which somebody waits for. Clients that are connected keep a volume; what is known of them
 * may be a second old, so before that refuses, newer word is waited for. Then the store has it as deleting,
 * and every site that is there lets go of its part. One that is not there does so when it returns: neither
 * the command nor the volume's name waits for that.
 */
#include <string.h>

#include "control/controller.h"

#define HANG_UP_NS (300 * CW_MS) /* for an engine to see that a client has gone */
#define FACTS_NS   (600 * CW_MS) /* what a site tells was asked of its engine at most so long before */

/* Is what is known of the holder's clients from after the command? */
static bool is_news(const struct cw_controller *controller, const struct cw_operation *operation,
                    const char *holder)
{
    uint64_t since_ns = operation->started_ns + HANG_UP_NS;
    const struct cw_site_seen *seen = cw_site_seen(controller, holder);
    if (strcmp(holder, controller->config.site) == 0)
        return controller->engine.status_at_ns >= since_ns;
    return seen && seen->changed_ns >= since_ns + FACTS_NS;
}

/* true: it may be deleted now. Else it is waited, or the operation has ended. */
static bool has_no_clients(struct cw_controller *controller, struct cw_operation *operation,
                           const struct cw_store_group *group, const struct cw_store_volume *volume)
{
    const char *holder = group->authority.holder;
    const json_t *primary = cw_facts_group(controller, holder, group->id);
    uint64_t clients = cw_json_u64(cw_engine_volume(primary, volume->volume), "connections", 0);
    if (clients == 0 || operation->is_forced || !cw_site_is_alive(controller, holder))
        return true;
    if (is_news(controller, operation, holder))
        cw_operation_end(controller, operation, 3,
                         "%lu clients are connected to %s/%s: close them, or say --force", clients,
                         group->name, volume->name);
    else
        cw_operation_say(operation, "waiting for newer word of %s on the %lu clients of %s/%s", holder,
                         clients, group->name, volume->name);
    return false;
}

static void begin(struct cw_controller *controller, struct cw_operation *operation,
                  const struct cw_store_group *group, const struct cw_store_volume *volume)
{
    if (!has_no_clients(controller, operation, group, volume))
        return;
    if (cw_store_volume_deleting(controller->store, volume->group, volume->volume) != CW_OK) {
        cw_operation_end(controller, operation, 1, "the store did not take that");
        return;
    }
    operation->is_begun = true;
    cw_event(controller, 1, group->name, "volume %s is being deleted", volume->name);
    (void)cw_view_refresh(controller);
}

const char *cw_deletion_site(const struct cw_controller *controller, uint32_t group, int32_t volume,
                             bool is_there)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume == volume && cw_site_is_alive(controller, place->site) == is_there)
            return place->site;
    }
    return NULL;
}

void cw_deletion_run(struct cw_controller *controller, struct cw_operation *operation)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, operation->group);
    const struct cw_store_volume *volume =
        cw_view_volume_by_id(controller->view, operation->group, operation->volume);
    if (!group || !volume) {
        cw_operation_end(controller, operation, 0, "%s", "");
        return;
    }
    if (!operation->is_begun) {
        begin(controller, operation, group, volume);
        return;
    }
    const char *there = cw_deletion_site(controller, group->id, volume->volume, true);
    const char *away = cw_deletion_site(controller, group->id, volume->volume, false);
    if (there)
        cw_operation_say(operation, "waiting for %s to let go of it, which it does by itself", there);
    else if (away)
        cw_operation_end(controller, operation, 0,
                         "%s is not there and deletes its part when it returns; the name is free", away);
}
