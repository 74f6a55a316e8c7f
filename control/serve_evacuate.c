/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evacuate, evacuate.plan: what is to go from a site, and where to. The command line then asks for the
 * switchovers, so many at a time; they are operations of the sites that take, and go on without it.
 *
 * A site of which evacuate was asked takes nothing of another evacuation for a while (in this controller's
 * facts): else two alarms at once would only change sides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/evacuate.h"
#include "control/serve.h"

#define LEFT_NS (120 * CW_SECOND)

struct plan {
    uint32_t count;
    struct cw_evacuate_group groups[CW_STORE_GROUPS_MAX];
    const struct cw_store_group *stored[CW_STORE_GROUPS_MAX];
    uint32_t loads[CW_STORE_SITES_MAX];
    const char *left_by[CW_STORE_SITES_MAX]; /* being evacuated itself: where that was asked */
};

json_t *cw_evacuating_here(const struct cw_controller *controller)
{
    json_t *sites = json_array();
    for (uint32_t i = 0; i < CW_EVACUATIONS_MAX; i++) {
        if (controller->now_ns < controller->evacuations[i].until_ns)
            json_array_append_new(sites, json_string(controller->evacuations[i].site));
    }
    return sites;
}

/* Of more than there is room for, the one that would end first is forgotten. */
static void mark(struct cw_controller *controller, const char *site)
{
    struct cw_evacuation *entry = &controller->evacuations[0];
    for (uint32_t i = 0; i < CW_EVACUATIONS_MAX; i++) {
        struct cw_evacuation *other = &controller->evacuations[i];
        bool is_same = strcmp(other->site, site) == 0;
        if (is_same || other->until_ns < entry->until_ns)
            entry = other;
        if (is_same)
            break;
    }
    snprintf(entry->site, sizeof entry->site, "%s", site);
    entry->until_ns = controller->now_ns + LEFT_NS;
    controller->facts_due_ns = 0;
}

/* Why a site cannot take it now, in words; "": it can. true: it may be able to in a moment, as after a move, when what
 * is known of it is a second old, or it is on its way back into the set. */
static bool judge(const struct cw_controller *controller, const struct plan *plan,
                  const struct cw_store_group *group, const char *site, char *why, size_t size)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    const json_t *own = cw_facts_group(controller, site, group->id);
    const char *left_by = found ? plan->left_by[found - controller->view->sites] : NULL;
    char behind[200];
    bool is_passing = false;
    why[0] = 0;
    cw_catch_up_words(controller, group, site, behind, sizeof behind);
    if (!found || !cw_site_is_heard(controller, site))
        snprintf(why, size, "%s does not answer", site);
    else if (left_by)
        snprintf(why, size, "%s is being evacuated itself (asked at %s)", site, left_by);
    else if ((is_passing = strcmp(cw_json_text(own, "role", ""), "replica") != 0))
        snprintf(why, size, "%s has no replica of it that runs", site);
    else if (strcmp(cw_json_text(own, "image", "whole"), "whole") != 0)
        snprintf(why, size, "%s is still being copied to%s", site, behind);
    else if ((is_passing = cw_mode_word_has_set(group->mode) && !cw_set_find(&group->authority.set, site)))
        snprintf(why, size, "%s is not in the in-sync set%s", site, behind);
    else if (!cw_mode_word_has_set(group->mode) && cw_is_far_behind(controller, group, site))
        snprintf(why, size, "%s is too far behind%s", site, behind);
    return is_passing;
}

static uint64_t lag_of(const struct cw_controller *controller, const struct cw_store_group *group,
                       const char *site)
{
    const json_t *holder = cw_facts_group(controller, group->authority.holder, group->id);
    return cw_mode_word_has_set(group->mode) ? 0 : cw_json_u64(cw_facts_peer(holder, site), "lag_bytes", 0);
}

/* The sites whose evacuation was asked for at this one, as far as is known; the caller's. */
static json_t *evacuating_at(const struct cw_controller *controller, const char *asked_at)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, asked_at);
    if (strcmp(asked_at, controller->config.site) == 0)
        return cw_evacuating_here(controller);
    return seen && cw_site_is_alive(controller, asked_at)
               ? json_incref(json_object_get(seen->facts, "evacuating"))
               : NULL;
}

static void learn_sites(struct cw_controller *controller, struct plan *plan)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = 0; i < view->site_count; i++) {
        const char *asked_at = view->sites[i].name;
        json_t *sites = evacuating_at(controller, asked_at), *site;
        size_t n;
        json_array_foreach(sites, n, site)
        {
            const struct cw_store_site *found =
                json_is_string(site) ? cw_view_site(view, json_string_value(site)) : NULL;
            if (found)
                plan->left_by[found - view->sites] = asked_at;
        }
        json_decref(sites);
    }
    for (uint32_t i = 0; i < view->group_count; i++) {
        const struct cw_store_site *holder = cw_view_site(view, view->groups[i].authority.holder);
        if (holder)
            plan->loads[holder - view->sites]++;
    }
}

static void add_group(struct cw_controller *controller, struct plan *plan, const struct cw_store_group *group)
{
    struct cw_evacuate_group *planned = &plan->groups[plan->count];
    char why[320];
    for (uint32_t i = 0; i < group->site_count; i++) {
        const struct cw_store_site *site = cw_view_site(controller->view, group->sites[i]);
        if (!site || strcmp(group->sites[i], group->authority.holder) == 0)
            continue;
        (void)judge(controller, plan, group, site->name, why, sizeof why);
        planned->choices[planned->choice_count++] =
            (struct cw_evacuate_choice){.site = (uint32_t)(site - controller->view->sites),
                                        .is_fit = why[0] == 0,
                                        .lag_bytes = lag_of(controller, group, site->name)};
    }
    plan->stored[plan->count++] = group;
}

/* Why it cannot go, and what to type. is_silent: the site itself does not answer. */
static json_t *show_stuck(const struct cw_controller *controller, const struct plan *plan, uint32_t at,
                          const char *left, bool is_silent)
{
    const struct cw_store_group *group = plan->stored[at];
    char why[1024] = "", next[320], one[320];
    size_t length = 0;
    const char *other = group->site_count > 0 ? group->sites[strcmp(group->sites[0], left) == 0] : "";
    bool is_passing = false;
    if (is_silent && plan->groups[at].chosen >= 0)
        other = controller->view->sites[plan->groups[at].choices[plan->groups[at].chosen].site].name;
    if (is_silent)
        length =
            (size_t)snprintf(why, sizeof why, "%s does not answer, and a switchover needs both sides", left);
    for (uint32_t i = 0; i < group->site_count && !is_silent; i++) {
        if (strcmp(group->sites[i], left) == 0)
            continue;
        is_passing = judge(controller, plan, group, group->sites[i], one, sizeof one) || is_passing;
        length += (size_t)snprintf(why + length, sizeof why - length, "%s%s", length ? "; " : "", one);
        length = CW_MIN(length, sizeof why - 1);
    }
    if (is_silent)
        snprintf(next, sizeof next, "causeway promote %s --site %s", group->name, other);
    else
        snprintf(next, sizeof next,
                 "causeway evacuate %s again; once %s is lost: causeway promote %s --site %s", left, left,
                 group->name, other);
    return json_pack("{s:s,s:s,s:s,s:b}", "group", group->name, "why", why, "next", next, "passing",
                     is_passing);
}

/* Of all that the site is primary of. NULL: no memory. */
static json_t *make_plan(struct cw_controller *controller, const char *left)
{
    struct plan *plan = calloc(1, sizeof *plan);
    json_t *moves = json_array(), *stuck = json_array();
    bool is_silent = cw_site_is_silent(controller, left);
    if (!plan)
        return NULL;
    learn_sites(controller, plan);
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        if (strcmp(group->authority.holder, left) == 0 && !group->is_deleting)
            add_group(controller, plan, group);
    }
    (void)cw_evacuate_plan(plan->groups, plan->count, plan->loads);
    for (uint32_t i = 0; i < plan->count; i++) {
        int chosen = plan->groups[i].chosen;
        if (chosen < 0 || is_silent)
            json_array_append_new(stuck, show_stuck(controller, plan, i, left, is_silent));
        else
            json_array_append_new(
                moves, json_pack("{s:s,s:s}", "group", plan->stored[i]->name, "to",
                                 controller->view->sites[plan->groups[i].choices[chosen].site].name));
    }
    free(plan);
    return json_pack("{s:s,s:o,s:o}", "site", left, "moves", moves, "stuck", stuck);
}

static json_t *answer_plan(struct cw_controller *controller, const struct cw_rpc_message *message,
                           json_t **plan)
{
    const char *left = cw_json_text(message->params, "site", "");
    (void)cw_view_refresh(controller);
    cw_facts_look(controller);
    if (!cw_view_site(controller->view, left))
        return cw_answer(message, 2, "no site is called %.40s: see causeway status", left);
    *plan = make_plan(controller, left);
    return *plan ? NULL : cw_fail(message, "no memory");
}

json_t *cw_serve_evacuate_plan(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *plan = NULL, *reply = answer_plan(controller, message, &plan);
    return reply ? reply : cw_rpc_result(message->id, plan);
}

json_t *cw_serve_evacuate(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    const char *left = cw_json_text(message->params, "site", "");
    json_t *plan = NULL, *reply = answer_plan(controller, message, &plan);
    if (reply)
        return reply;
    size_t going = json_array_size(json_object_get(plan, "moves"));
    size_t stuck = json_array_size(json_object_get(plan, "stuck"));
    cw_event(controller, 1, "", "%s is to be evacuated: %zu groups can go, %zu cannot", left, going, stuck);
    mark(controller, left);
    return cw_rpc_result(message->id, plan);
}
