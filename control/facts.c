/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each site says of itself, in the store, once a second; and how old that is, by this controller's own
 * monotonic clock since it last saw the counter move. The wall clock in a fact is for display of sites that
 * have not moved since this controller started, and decides nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/controller.h"

#define TELL_NS       (1 * CW_SECOND)
#define TELL_BUSY_NS  (150 * CW_MS)
#define TELL_AGAIN_NS (200 * CW_MS) /* after the store did not take it */
#define ALIVE_NS      (2500 * CW_MS)

uint64_t cw_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void cw_facts_tell(struct cw_controller *controller)
{
    const struct cw_engine_link *engine = &controller->engine;
    if (controller->now_ns < controller->facts_due_ns)
        return;
    controller->facts_due_ns =
        controller->now_ns + (cw_is_in_transition(controller) ? TELL_BUSY_NS : TELL_NS);
    json_t *facts = json_pack("{s:s,s:b,s:f,s:i}", "version", CW_VERSION, "engine_alive",
                              engine->is_registered, "wall_seconds", wall_seconds(), "pid", (int)getpid());
    json_object_set(facts, "engine", engine->status_kept ? engine->status_kept : json_null());
    json_object_set_new(facts, "unknown", cw_strangers(controller));
    if (cw_store_facts_put(controller->store, controller->config.site, facts) == CW_OK) {
        controller->store_failed_ns = 0;
    } else {
        if (controller->store_failed_ns == 0) {
            fprintf(stderr, "the store did not take this site's facts\n");
            controller->store_failed_ns = controller->now_ns;
        }
        controller->facts_due_ns = controller->now_ns + TELL_AGAIN_NS;
    }
    json_decref(facts);
}

double cw_store_silent_seconds(const struct cw_controller *controller)
{
    if (controller->store_failed_ns == 0)
        return 0;
    return CW_MAX((double)(controller->now_ns - controller->store_failed_ns) / 1e9, 0.001);
}

static void look_at(struct cw_controller *controller, uint32_t index)
{
    struct cw_site_seen *seen = &controller->seen[index];
    json_t *facts = NULL;
    uint64_t counter = 0;
    if (cw_store_facts(controller->store, controller->view->sites[index].name, &facts, &counter) != CW_OK)
        return;
    if (counter == seen->counter) {
        json_decref(facts);
        return;
    }
    if (seen->counter != 0)
        seen->changed_ns = controller->now_ns;
    seen->counter = counter;
    json_decref(seen->facts);
    seen->facts = facts;
}

void cw_facts_look(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < controller->view->site_count; i++)
        look_at(controller, i);
}

const struct cw_site_seen *cw_site_seen(const struct cw_controller *controller, const char *site)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    return found ? &controller->seen[found - controller->view->sites] : NULL;
}

bool cw_site_is_alive(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    if (strcmp(site, controller->config.site) == 0)
        return controller->engine.is_registered;
    return seen && seen->changed_ns && controller->now_ns - seen->changed_ns < ALIVE_NS &&
           cw_json_bool(seen->facts, "engine_alive", false);
}

bool cw_site_is_silent(const struct cw_controller *controller, const char *site)
{
    return !cw_site_is_alive(controller, site) && controller->now_ns - controller->started_ns > ALIVE_NS;
}

double cw_site_age_seconds(const struct cw_controller *controller, const char *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    if (!seen || !seen->facts)
        return -1;
    if (seen->changed_ns)
        return (double)(controller->now_ns - seen->changed_ns) / 1e9;
    double age = wall_seconds() - cw_json_number(seen->facts, "wall_seconds", 0);
    return age > 0 ? age : 0;
}

const json_t *cw_facts_group(const struct cw_controller *controller, const char *site, uint32_t group)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    size_t index;
    json_t *entry;
    if (strcmp(site, controller->config.site) == 0 && controller->engine.status)
        return cw_engine_group(controller, group);
    if (!seen)
        return NULL;
    json_array_foreach(json_object_get(json_object_get(seen->facts, "engine"), "groups"), index, entry)
    {
        if (cw_json_u64(entry, "group", 0) == group)
            return entry;
    }
    return NULL;
}

void cw_event(struct cw_controller *controller, int level, const char *group, const char *format, ...)
{
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s%s\n", group, *group ? ": " : "", text);
    if (cw_store_event_add(controller->store, level, controller->config.site, group, text) != CW_OK)
        fprintf(stderr, "the store did not take that event\n");
}

const json_t *cw_facts_peer(const json_t *group, const char *site)
{
    size_t index;
    json_t *peer;
    json_array_foreach(json_object_get(group, "peers"), index, peer)
    {
        if (strcmp(cw_json_text(peer, "site", ""), site) == 0)
            return peer;
    }
    return NULL;
}
