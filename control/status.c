/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `causeway status --json` shows, at whichever site is asked: composed of the store and of every site's
 * last facts. Of a primary that is gone it shows the last known, with as_of_seconds saying how old.
 */
#include <stdio.h>
#include <string.h>

#include "control/automatic.h"
#include "control/controller.h"
#include "control/health.h"
#include "control/words.h"

static json_t *seconds_or_null(double seconds)
{
    return seconds < 0 ? json_null() : json_real((double)(int64_t)(seconds * 1000) / 1000);
}

/* ---------------------------------------------------------------- sites and paths */

static json_t *show_site(struct cw_controller *controller, const struct cw_store_site *site)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site->name);
    const json_t *engine = seen ? json_object_get(seen->facts, "engine") : NULL;
    double age = cw_site_age_seconds(controller, site->name);
    return json_pack("{s:s,s:b,s:b,s:o,s:s,s:I,s:I,s:b}", "name", site->name, "alive",
                     cw_site_is_heard(controller, site->name), "witness",
                     cw_site_is_witness(controller, site->name), "last_seen_seconds", seconds_or_null(age),
                     "version", cw_json_text(engine, "version", ""), "engine_pid",
                     (json_int_t)cw_json_u64(engine, "pid", 0), "memory_bytes",
                     (json_int_t)cw_json_u64(engine, "memory_bytes", 0), "loss_survivable",
                     cw_site_loss_survivable(controller, site->name));
}

static void show_paths(const struct cw_controller *controller, const char *site, json_t *paths)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    bool is_self = strcmp(site, controller->config.site) == 0;
    const json_t *engine = is_self && controller->engine.status ? controller->engine.status
                           : seen                               ? json_object_get(seen->facts, "engine")
                                                                : NULL;
    bool is_alive = cw_site_is_heard(controller, site);
    size_t index;
    json_t *path;
    json_array_foreach(json_object_get(engine, "paths"), index, path)
    {
        json_t *copy = json_copy(path);
        if (!is_alive) {
            json_object_set_new(copy, "up", json_false());
            json_object_set_new(copy, "state", json_string("down"));
        }
        json_object_del(copy, "counters");
        json_array_append_new(paths, copy);
    }
}

/* ---------------------------------------------------------------- groups */

/* One group while its status is composed. */
struct view_of {
    const struct cw_controller *controller;
    const struct cw_store_group *group;
    const json_t *primary; /* the holder's engine on it, maybe old; NULL */
    struct cw_health_facts facts;
    char commands[CW_SET_MAX][200]; /* what to type about a replica */
    char turn[200];                 /* what a holder is about that is not, or no longer, open */
};

static bool is_engine_open(const json_t *engine)
{
    const char *role = cw_json_text(engine, "role", "");
    return strcmp(role, "primary") == 0 || strcmp(role, "draining") == 0 || strcmp(role, "drained") == 0;
}

static bool is_engine_opening(const json_t *engine)
{
    const char *role = cw_json_text(engine, "role", "");
    return strcmp(role, "gathering") == 0 || strcmp(role, "fetching") == 0 ||
           strcmp(role, "reverting") == 0 || strcmp(role, "claiming") == 0 || strcmp(role, "opening") == 0;
}

/* A holder whose engine gives no reason and is not open for writes: on its way from or to somebody. */
static const char *words_of_turn(struct view_of *of)
{
    const struct cw_store_group *group = of->group;
    const char *role = cw_json_text(of->primary, "role", ""), *taker = group->request.taker;
    const char *to = taker[0] ? " to " : "", *by = taker[0] ? taker : "another site";
    bool is_let_go = group->authority.epoch != 0 && group->authority.fenced_epoch == group->authority.epoch;
    char *words = of->turn;
    if (strcmp(role, "draining") == 0)
        snprintf(words, sizeof of->turn, "it is being handed over%s%s, which gets what is written first", to,
                 taker);
    else if (strcmp(role, "drained") == 0)
        snprintf(words, sizeof of->turn, "it is being handed over%s%s; all is written", to, taker);
    else if (strcmp(role, "replica") == 0 && is_let_go)
        snprintf(words, sizeof of->turn, "it has let go of it, and %s opens it", by);
    else if (strcmp(role, "replica") == 0)
        snprintf(words, sizeof of->turn, "it is about to open it%s", taker[0] ? " again, or to let go" : "");
    else if (!role[0])
        snprintf(words, sizeof of->turn, "its engine does not have it yet");
    else
        words[0] = 0;
    return words;
}

static const char *words_of_holder(struct view_of *of, const char *holder)
{
    if (cw_store_fault(of->controller->store)[0]) /* whatever an engine says of its lease comes of that */
        return cw_store_fault(of->controller->store);
    const char *reason = cw_json_text(of->primary, "reason", "");
    const char *error = cw_view_place_error(of->controller->view, of->group->id, holder);
    if (error[0] && (!of->primary || strcmp(cw_json_text(of->primary, "role", ""), "attaching") == 0))
        return error;
    const char *refusal = cw_json_text(of->primary, "refusal", "");
    return reason[0] ? reason : refusal[0] ? refusal : words_of_turn(of);
}

/* Has a living site stopped the group, or could it not start it? Its primary only sees that it is silent. */
static bool has_stopped(const struct view_of *of, const char *site)
{
    const json_t *own = cw_facts_group(of->controller, site, of->group->id);
    const char *role = cw_json_text(own, "role", "");
    bool is_unstarted = !own || strcmp(role, "attaching") == 0;
    return cw_site_is_heard(of->controller, site) &&
           (strcmp(role, "down") == 0 ||
            (is_unstarted && cw_view_place_error(of->controller->view, of->group->id, site)[0]));
}

/* Why a replica is not what it should be: its own word if it has stopped, else its primary's. */
static const char *words_of_replica(const struct view_of *of, const json_t *peer, const char *site)
{
    const json_t *own = cw_facts_group(of->controller, site, of->group->id);
    const char *reason = cw_json_text(peer, "reason", "");
    const char *error = cw_view_place_error(of->controller->view, of->group->id, site);
    if (!has_stopped(of, site)) /* it may lack a volume, and be level in the others */
        return reason[0] ? reason : error;
    return strcmp(cw_json_text(own, "role", ""), "down") == 0 ? cw_json_text(own, "reason", "") : error;
}

/* The state that others rely on: one of five. */
static const char *replica_state(const struct view_of *of, const json_t *peer, const char *site)
{
    bool is_seen = of->facts.is_holder_alive && of->facts.is_primary;
    const char *state = cw_json_text(peer, "state", "disconnected");
    const json_t *copy = json_object_get(peer, "copy");
    if (!is_seen || !cw_site_is_heard(of->controller, site) || has_stopped(of, site))
        return strcmp(state, "diverged") == 0 ? "diverged" : "disconnected";
    return cw_json_bool(copy, "active", false) ? "resync" : state;
}

/* In the lane that carries the group, where a session has several: the others are not its concern. */
static bool is_path_up(const json_t *path, const json_t *group)
{
    const json_t *lane = json_array_get(json_object_get(path, "lanes"), cw_json_u64(group, "lane", 0));
    return cw_json_bool(lane ? lane : path, "up", false);
}

/* Does the site live, and has the primary a path to it? A session that is made anew is no change of health.
 */
static bool is_reachable(const struct view_of *of, const char *site)
{
    const char *holder = of->group->authority.holder;
    const struct cw_site_seen *seen = cw_site_seen(of->controller, holder);
    bool is_self = strcmp(holder, of->controller->config.site) == 0;
    const json_t *engine = is_self && of->controller->engine.status ? of->controller->engine.status
                           : seen                                   ? json_object_get(seen->facts, "engine")
                                                                    : NULL;
    size_t index;
    json_t *path;
    if (!cw_site_is_heard(of->controller, site) || has_stopped(of, site))
        return false;
    json_array_foreach(json_object_get(engine, "paths"), index, path)
    {
        if (strcmp(cw_json_text(path, "remote", ""), site) == 0 && is_path_up(path, of->primary))
            return true;
    }
    return false;
}

static void learn_replica(struct view_of *of, const char *site)
{
    const json_t *peer = cw_facts_peer(of->primary, site);
    const json_t *own = cw_facts_group(of->controller, site, of->group->id);
    const char *state = replica_state(of, peer, site);
    bool is_resync = strcmp(state, "resync") == 0;
    struct cw_health_replica *replica = &of->facts.replicas[of->facts.replica_count++];
    *replica = (struct cw_health_replica){
        .site = site,
        .reason = words_of_replica(of, peer, site),
        .is_member = cw_set_find(&of->group->authority.set, site) != NULL,
        .is_streaming = strcmp(state, "streaming") == 0 || strcmp(state, "in-sync") == 0,
        .is_promotable = peer && own && !is_resync && strcmp(state, "diverged") != 0 &&
                         strcmp(cw_json_text(own, "image", "whole"), "whole") == 0,
        .is_reachable = is_reachable(of, site),
        .is_stalled = cw_json_bool(peer, "stalled", false),
        .needs_copy = cw_json_bool(peer, "needs_copy", false),
        .is_lag_known = !of->facts.is_holder_unknown && cw_json_bool(peer, "lag_known", true),
        .lag_seconds = cw_json_number(peer, "lag_seconds", 0),
        .lag_bytes = cw_json_u64(peer, "lag_bytes", 0)};
    const struct cw_store_place *lacked = cw_place_lacked(of->controller, of->group->id, site);
    if (lacked && cw_site_is_heard(of->controller, site)) {
        replica->lacks = cw_place_volume(of->controller, lacked);
        replica->lacks_why = lacked->error;
    }
    if (strcmp(state, "diverged") != 0)
        return;
    char *command = of->commands[of->facts.replica_count - 1];
    snprintf(command, sizeof of->commands[0],
             "it applied writes that %s does not have. To keep them in a file and copy it in full: causeway "
             "resync %s --site %s",
             of->group->authority.holder, of->group->name, site);
    replica->reason = command;
}

static json_t *show_replica(const struct view_of *of, const struct cw_health_replica *replica)
{
    const json_t *peer = cw_facts_peer(of->primary, replica->site);
    const json_t *own = cw_facts_group(of->controller, replica->site, of->group->id);
    const json_t *best = own ? own : peer; /* its own word is nearer than its primary's */
    json_t *shown =
        json_pack("{s:s,s:s,s:b,s:b,s:s,s:I,s:I,s:I,s:f,s:b,s:n,s:n,s:s}", "site", replica->site, "state",
                  replica_state(of, peer, replica->site), "member", replica->is_member, "awaited",
                  cw_json_bool(peer, "awaited", false), "reason", replica->reason, "durable_sequence",
                  (json_int_t)cw_json_u64(best, "durable", 0), "applied_sequence",
                  (json_int_t)cw_json_u64(best, "applied", 0), "lag_bytes", (json_int_t)replica->lag_bytes,
                  "lag_seconds", replica->lag_seconds, "lag_known", replica->is_lag_known, "verified_seconds",
                  "drill_seconds", "image", cw_json_text(own, "image", ""));
    const json_t *copy = json_object_get(peer, "copy"), *old = json_object_get(own, "old_image");
    if (json_is_object(old))
        json_object_set(shown, "old_image", (json_t *)old);
    if (cw_json_bool(copy, "active", false))
        json_object_set(shown, "copy", (json_t *)copy);
    return shown;
}

static json_t *show_volume(const struct view_of *of, const struct cw_store_volume *volume)
{
    const struct cw_controller *controller = of->controller;
    const char *holder = of->group->authority.holder;
    const struct cw_store_place *there =
        cw_view_place(controller->view, volume->group, volume->volume, holder[0] ? holder : of->group->first);
    const struct cw_store_place *here =
        cw_view_place(controller->view, volume->group, volume->volume, controller->config.site);
    const json_t *engine = cw_engine_volume(of->primary, volume->volume);
    bool is_open = of->facts.is_holder_alive && cw_json_bool(engine, "open", false);
    const char *unexported = of->facts.is_holder_alive ? cw_json_text(engine, "error", "") : "";
    const char *error = here && here->error[0] ? here->error : unexported;
    char uri[CW_STORE_PATH_SIZE + 64] = "";
    if (is_open && there)
        snprintf(uri, sizeof uri, "nbd+unix:///%s?socket=%s", volume->name, there->socket);
    return json_pack("{s:s,s:I,s:s,s:s,s:b,s:I,s:s,s:s}", "name", volume->name, "size",
                     (json_int_t)volume->size, "uri", strcmp(holder, controller->config.site) == 0 ? uri : "",
                     "primary_uri", uri, "deleting", volume->is_deleting, "connections",
                     (json_int_t)cw_json_u64(engine, "connections", 0), "path", here ? here->path : "",
                     "error", error);
}

/* The first volume that its primary tried to export, or to have at all, and could not. */
static void learn_exports(struct view_of *of)
{
    const struct cw_store_view *view = of->controller->view;
    uint32_t group = of->group->id;
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const char *error = cw_json_text(cw_engine_volume(of->primary, volume->volume), "error", "");
        if (of->facts.unexported || volume->is_deleting || !error[0])
            continue;
        of->facts.unexported = volume->name;
        of->facts.export_error = error;
    }
    const struct cw_store_place *lacked = cw_place_lacked(of->controller, group, of->group->authority.holder);
    if (lacked && !of->facts.unexported) {
        of->facts.unexported = cw_place_volume(of->controller, lacked);
        of->facts.export_error = lacked->error;
    }
}

static void learn(struct view_of *of)
{
    const struct cw_store_group *group = of->group;
    const char *holder = group->authority.holder;
    bool is_unknown = cw_authority_is_unknown(&group->authority);
    const char *primary = holder[0] || is_unknown ? holder : group->first; /* "": any of them may have been */
    of->primary = primary[0] ? cw_facts_group(of->controller, primary, group->id) : NULL;
    of->facts = (struct cw_health_facts){
        .group = group->name,
        .holder = holder,
        .is_holder_unknown = is_unknown,
        .holder_reason = words_of_holder(of, holder),
        .store_silent_seconds = cw_store_silent_seconds(of->controller),
        .holder_age_seconds = holder[0] ? cw_site_age_seconds(of->controller, holder) : -1,
        .is_holder_alive = holder[0] && cw_site_is_heard(of->controller, holder),
        .is_primary = is_engine_open(of->primary),
        .is_opening = is_engine_opening(of->primary),
        .is_frozen = cw_json_bool(of->primary, "frozen", false) ||
                     strcmp(cw_json_text(of->primary, "role", ""), "primary") != 0,
        .goes_on_by_grants =
            strcmp(cw_json_text(json_object_get(of->primary, "lease"), "by", ""), "grants") == 0,
        .mode = group->mode,
        .max_loss_seconds = (double)group->max_loss_ms / 1000.0,
        .max_loss_bytes = group->max_loss_bytes};
    for (uint32_t i = 0; i < group->site_count; i++) {
        const char *site = group->sites[i];
        if (strcmp(site, primary) != 0)
            learn_replica(of, site);
    }
    learn_exports(of);
}

static void show_volumes(const struct view_of *of, json_t *volumes, bool is_deleting)
{
    const struct cw_store_view *view = of->controller->view;
    uint32_t group = of->group->id;
    for (uint32_t i = cw_view_volumes_from(view, group); cw_view_is_volume_of(view, i, group); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        if (volume->is_deleting == is_deleting)
            json_array_append_new(volumes, show_volume(of, volume));
    }
}

/* Sites that still have something of it. */
static json_t *show_left(const struct cw_controller *controller, uint32_t group)
{
    json_t *left = json_array();
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume == CW_STORE_JOURNAL)
            json_array_append_new(left, json_string(place->site));
    }
    return left;
}

static json_t *show_lists(const struct view_of *of, json_t *shown)
{
    json_t *volumes = json_array(), *replicas = json_array(), *members = json_array();
    show_volumes(of, volumes, false);
    show_volumes(of, volumes, true); /* last: another one may have the name by now */
    for (uint32_t i = 0; i < of->facts.replica_count; i++)
        json_array_append_new(replicas, show_replica(of, &of->facts.replicas[i]));
    for (uint32_t i = 0; i < of->group->authority.set.count; i++)
        json_array_append_new(members, json_string(of->group->authority.set.list[i].site));
    json_object_set_new(shown, "volumes", volumes);
    json_object_set_new(shown, "replicas", replicas);
    json_object_set_new(shown, "members", members);
    return shown;
}

static void show_last_known(const struct view_of *of, json_t *shown)
{
    if (!of->facts.is_holder_alive)
        json_object_set_new(shown, "as_of_seconds", seconds_or_null(of->facts.holder_age_seconds));
}

struct cw_health cw_status_health(const struct cw_controller *controller, const struct cw_store_group *group)
{
    struct view_of of = {.controller = controller, .group = group};
    learn(&of);
    return cw_health_compute(&of.facts);
}

enum cw_health_level cw_group_health(struct cw_controller *controller, const struct cw_store_group *group)
{
    return cw_status_health(controller, group).level;
}

json_t *cw_status_group(struct cw_controller *controller, const struct cw_store_group *group)
{
    struct view_of of = {.controller = controller, .group = group};
    learn(&of);
    const json_t *own = cw_engine_group(controller, group->id);
    struct cw_health health = cw_health_compute(&of.facts);
    json_t *shown = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:s,s:I,s:o,s:o,s:s,s:I,s:s,s:I,s:I,s:b,s:s}", "name", group->name, "mode",
        cw_mode_word_name(group->mode), "epoch", (json_int_t)group->authority.epoch, "primary",
        group->authority.holder, "health", cw_health_name(health.level), "reason", health.reason, "sequence",
        (json_int_t)cw_json_u64(of.primary, "head", 0), "rpo_seconds",
        health.is_rpo_known ? json_real(health.rpo_seconds) : json_null(), "rpo_bytes",
        health.is_rpo_known ? json_integer((json_int_t)health.rpo_bytes) : json_null(), "role_here",
        cw_json_text(own, "role", ""), "min_in_sync", (json_int_t)group->min_in_sync, "role",
        cw_json_text(of.primary, "role", ""), "throughput_bytes_per_second",
        (json_int_t)cw_json_u64(of.primary, "throughput_bytes_per_second", 0), "iops",
        (json_int_t)cw_json_u64(of.primary, "iops", 0), "deleting", group->is_deleting, "home", group->home);
    json_object_set_new(shown, "outside_store",
                        json_boolean(cw_outside_is_held(controller->store, group->id)));
    if (group->is_deleting)
        json_object_set_new(shown, "left_at", show_left(controller, group->id));
    json_object_set_new(shown, "failover", cw_automatic_status(controller, group));
    show_last_known(&of, shown);
    return show_lists(&of, shown);
}

/* What a site has, or last had, and the store does not know. */
static void show_unknown(const struct cw_controller *controller, const char *site, json_t *unknown)
{
    const struct cw_site_seen *seen = cw_site_seen(controller, site);
    size_t index;
    json_t *entry;
    json_array_foreach(seen ? json_object_get(seen->facts, "unknown") : NULL, index, entry)
    {
        json_t *shown = json_copy(entry);
        json_object_set_new(shown, "site", json_string(site));
        json_array_append_new(unknown, shown);
    }
}

json_t *cw_status_public(struct cw_controller *controller)
{
    json_t *sites = json_array(), *groups = json_array(), *paths = json_array(), *unknown = json_array();
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        json_array_append_new(sites, show_site(controller, &controller->view->sites[i]));
        show_paths(controller, controller->view->sites[i].name, paths);
        show_unknown(controller, controller->view->sites[i].name, unknown);
    }
    for (uint32_t i = 0; i < controller->view->group_count; i++)
        json_array_append_new(groups, cw_status_group(controller, &controller->view->groups[i]));
    double full_seconds = cw_store_full_seconds(controller);
    double silent_seconds = CW_MAX(cw_store_silent_seconds(controller), full_seconds);
    const char *fault = cw_store_fault(controller->store);
    json_t *shown =
        json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:f,s:s,s:o,s:o,s:o,s:o,s:s}", "site", controller->config.site,
                  "version", CW_VERSION, "store", controller->store_name, "store_refused",
                  fault[0] ? fault : controller->store_behind, "store_answers", silent_seconds == 0,
                  "store_full", full_seconds > 0, "store_silent_seconds", silent_seconds, "store_trouble",
                  silent_seconds > 0 ? cw_store_wrong(controller) : "", "sites", sites, "groups", groups,
                  "paths", paths, "unknown", unknown, "audit_damage", controller->audit_damage);
    json_object_set_new(shown, "store_unreadable", cw_unreadable_status(controller));
    json_object_set_new(shown, "book_trouble", json_string(cw_book_wrong(controller)));
    json_object_set_new(shown, "book_moved", json_string(controller->own_book.moved));
    return shown;
}
