/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes this site's engine be what the store says: groups and volumes attached, with their settings, and
 * detached when they are to go. One call about a group at a time; each step looks afresh at store and engine,
 * so it does not matter who changed what, in which order, or which of us was restarted.
 *
 *   not in the engine --group.attach--> journal made? remembered in the store, so that a lost journal is
 *   never quietly made anew --volume.attach, replicas first--> level --> roles.c
 *
 * What is to be let go comes before all of that, and goes past a call about a file that is still out: a
 * device that is missing or hangs keeps nobody else from taking over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "control/controller.h"

#define RETRY_NS       (2 * CW_SECOND)
#define AGAIN_NS       (100 * CW_MS)
#define RESTART_NS     (10 * CW_SECOND)
#define STATUS_BUSY_NS (60 * CW_MS)
#define STATUS_IDLE_NS (500 * CW_MS)

struct cw_work *cw_work_of(struct cw_controller *controller, uint32_t group)
{
    struct cw_work *free_one = NULL;
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++) {
        struct cw_work *work = &controller->works[i];
        if (work->group == group)
            return work;
        if (!free_one && !work->is_busy && !work->is_attaching &&
            !cw_view_group_by_id(controller->view, work->group))
            free_one = work;
    }
    if (free_one)
        *free_one = (struct cw_work){.group = group};
    return free_one;
}

struct cw_work *cw_work_answered(struct cw_controller *controller, uint32_t group)
{
    struct cw_work *work = cw_work_of(controller, group);
    work->is_busy = false;
    work->changed_ns = cw_monotonic_ns();
    cw_engine_status_refresh(controller);
    return work;
}

/* The same of a call about its files. */
static struct cw_work *attach_answered(struct cw_controller *controller, uint32_t group)
{
    struct cw_work *work = cw_work_of(controller, group);
    work->is_attaching = false;
    work->changed_ns = cw_monotonic_ns();
    cw_engine_status_refresh(controller);
    return work;
}

static void try_later(struct cw_controller *controller, struct cw_work *work)
{
    work->attach_not_before_ns = controller->now_ns + RETRY_NS;
}

/* Remembers at a place how an attach went; what is new is told. */
static void note_place(struct cw_controller *controller, uint32_t group, int32_t volume, bool is_made,
                       const char *error)
{
    const struct cw_store_place *found =
        cw_view_place(controller->view, group, volume, controller->config.site);
    if (!found)
        return;
    struct cw_store_place place = *found;
    place.is_made = place.is_made || is_made;
    place.is_unseen = place.is_unseen && !is_made;
    place.is_refused = false;
    snprintf(place.error, sizeof place.error, "%s", error);
    cw_place_put(controller, &place);
}

/* A failed attach: "again" and a lost engine are no failures of the disk. */
static void note_failure(struct cw_controller *controller, const struct cw_engine_call *call,
                         struct cw_work *work, const char *status, const char *words)
{
    if (strcmp(status, "disconnected") == 0)
        return;
    if (strcmp(status, "again") == 0) {
        work->attach_not_before_ns = controller->now_ns + AGAIN_NS;
        return;
    }
    if (strcmp(status, "exists") == 0)
        cw_place_refuse(controller, call->group, call->volume, NULL);
    else
        note_place(controller, call->group, call->volume, false, *words ? words : status);
    try_later(controller, work);
}

/* ---------------------------------------------------------------- attaching groups */

static bool is_unstarted(const json_t *engine)
{
    return !engine || strcmp(cw_json_text(engine, "role", ""), "attaching") == 0;
}

/* A file or device that stays when its volume is deleted gets what was acknowledged before: a group that
 * starts has it once more, if it is there. */
static bool wants_last_writes(const struct cw_controller *controller, const struct cw_store_volume *volume,
                              const json_t *engine)
{
    const struct cw_store_place *place =
        cw_view_place(controller->view, volume->group, volume->volume, controller->config.site);
    return is_unstarted(engine) && place && place->is_made && !place->is_ours && !place->error[0];
}

/* Numbers that were given to volumes which are no more, or shall be no more: what the log has of them, or a
 * peer still sends, is waited for by nobody. */
static json_t *removed_volumes(const struct cw_controller *controller, const struct cw_store_group *group,
                               const json_t *engine)
{
    json_t *removed = json_array();
    int32_t end =
        CW_MIN(group->next_volume, (int32_t)CW_VOLUMES_PER_GROUP_MAX); /* the engine knows no others */
    for (int32_t number = 0; number < end; number++) {
        const struct cw_store_volume *volume = cw_view_volume_by_id(controller->view, group->id, number);
        if (!volume || (volume->is_deleting && !wants_last_writes(controller, volume, engine)))
            json_array_append_new(removed, json_integer(number));
    }
    return removed;
}

static json_t *group_parameters(const struct cw_controller *controller, const struct cw_store_group *group,
                                const struct cw_store_place *journal, const json_t *engine)
{
    json_t *sites = json_array();
    for (uint32_t i = 0; i < group->site_count; i++)
        json_array_append_new(sites, json_string(group->sites[i]));
    return json_pack("{s:i,s:s,s:s,s:i,s:I,s:I,s:o,s:o,s:{s:s,s:I,s:b}}", "group", (int)group->id, "name",
                     group->name, "mode", cw_mode_word_name(group->mode), "min_in_sync",
                     (int)group->min_in_sync, "replica_timeout_ms", (json_int_t)group->replica_timeout_ms,
                     "copy_brake_ms", (json_int_t)group->copy_brake_ms, "sites", sites, "removed_volumes",
                     removed_volumes(controller, group, engine), "journal", "path", journal->path, "size",
                     (json_int_t)group->journal_bytes, "create", 0);
}

static void on_group_attached(struct cw_controller *controller, const struct cw_engine_call *call,
                              const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = attach_answered(controller, call->group);
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, call->group);
    if (!group)
        return;
    if (result) {
        snprintf(work->attached, sizeof work->attached, "%s", json_string_value(call->kept));
        note_place(controller, call->group, CW_STORE_JOURNAL, true, "");
    } else if (strcmp(status, "exists") == 0 && !call->is_somebodys) {
        /* Made, but we were stopped before that was remembered. */
        note_place(controller, call->group, CW_STORE_JOURNAL, true, "");
    } else {
        note_failure(controller, call, work, status, words);
    }
}

/* Was the journal looked at, so that it can be attached? An engine that has a group of a number of which
 * nothing was made here has it of another store. */
static enum cw_place_sight see_journal(struct cw_controller *controller, const struct cw_store_place *journal,
                                       const json_t *engine)
{
    if (!engine || !journal->is_unseen)
        return cw_place_see(controller, journal->group, CW_STORE_JOURNAL);
    cw_place_refuse(controller, journal->group, CW_STORE_JOURNAL,
                    "the engine here has a group of that number already, of before this store was made: stop "
                    "that engine, and look at its journal before it is started anew");
    return CW_PLACE_UNSEEN;
}

/* Attaches, or tells changed settings; true: a call is out, or must not be made. */
static bool attach_group(struct cw_controller *controller, const struct cw_store_group *group,
                         struct cw_work *work, const json_t *engine)
{
    const struct cw_store_place *journal =
        cw_view_place(controller->view, group->id, CW_STORE_JOURNAL, controller->config.site);
    if (!journal)
        return false;
    enum cw_place_sight sight = see_journal(controller, journal, engine);
    journal = cw_view_place(controller->view, group->id, CW_STORE_JOURNAL, controller->config.site);
    if (sight == CW_PLACE_UNSEEN || !journal)
        return true;
    json_t *parameters = group_parameters(controller, group, journal, engine);
    char *text = json_dumps(parameters, JSON_COMPACT | JSON_SORT_KEYS);
    bool is_needed = text && (!engine || strcmp(text, work->attached) != 0);
    if (is_needed) {
        bool create = !engine && !journal->is_made;
        json_object_set_new(json_object_get(parameters, "journal"), "create", json_boolean(create));
        json_object_set_new(parameters, "epoch", json_integer((json_int_t)group->authority.epoch));
        work->is_attaching =
            cw_engine_ask(controller, "group.attach", json_incref(parameters),
                          (struct cw_engine_call){
                              .answer = on_group_attached,
                              .group = group->id,
                              .volume = CW_STORE_JOURNAL,
                              .is_somebodys = create && (!journal->is_ours || sight == CW_PLACE_SEEN_NOW),
                              .kept = json_string(text)});
    }
    free(text);
    json_decref(parameters);
    return is_needed;
}

/* ---------------------------------------------------------------- attaching volumes */

static void on_volume_attached(struct cw_controller *controller, const struct cw_engine_call *call,
                               const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = attach_answered(controller, call->group);
    if (result || (strcmp(status, "exists") == 0 && !call->is_somebodys)) {
        note_place(controller, call->group, call->volume, true, "");
    } else {
        note_failure(controller, call, work, status, words);
    }
}

/* Have all living sites but the primary made it, or failed to? */
static bool replicas_are_ready(struct cw_controller *controller, const struct cw_store_group *group,
                               const struct cw_store_volume *volume)
{
    for (uint32_t i = 0; i < group->site_count; i++) {
        const char *site = group->sites[i];
        const struct cw_store_place *place = cw_view_place(controller->view, group->id, volume->volume, site);
        bool is_self = strcmp(site, controller->config.site) == 0;
        if (place && !is_self && !place->is_made && !place->error[0] && cw_site_is_alive(controller, site))
            return false;
    }
    return true;
}

static bool is_primary_here(const struct cw_controller *controller, const struct cw_store_group *group)
{
    return strcmp(group->authority.holder, controller->config.site) == 0;
}

static bool attach_volume(struct cw_controller *controller, const struct cw_store_group *group,
                          struct cw_work *work, const struct cw_store_volume *found)
{
    const struct cw_store_volume copy = *found, *volume = &copy; /* what follows may load the view anew */
    const struct cw_store_place *place =
        cw_view_place(controller->view, group->id, volume->volume, controller->config.site);
    char base[20];
    if (!place || (!place->is_made && is_primary_here(controller, group) &&
                   !replicas_are_ready(controller, group, volume)))
        return false;
    enum cw_place_sight sight = cw_place_see(controller, group->id, volume->volume);
    place = cw_view_place(controller->view, group->id, volume->volume, controller->config.site);
    if (sight == CW_PLACE_UNSEEN || !place)
        return false;
    bool create = place->is_ours && !place->is_made;
    snprintf(base, sizeof base, "%lx", place->base);
    json_t *parameters = json_pack(
        "{s:i,s:i,s:s,s:I,s:s,s:b,s:s,s:b,s:s,s:i}", "group", (int)group->id, "volume", volume->volume,
        "name", volume->name, "size", (json_int_t)volume->size, "path", place->path, "create", create, "base",
        base, "thin", volume->is_thin, "socket", place->socket, "block_size", (int)volume->block_size);
    work->is_attaching =
        cw_engine_ask(controller, "volume.attach", parameters,
                      (struct cw_engine_call){.answer = on_volume_attached,
                                              .group = group->id,
                                              .volume = volume->volume,
                                              .is_somebodys = create && sight == CW_PLACE_SEEN_NOW});
    return true;
}

/* A full copy gives a volume the base of its source: the engine knows first, and the store must follow. */
static void follow_base(struct cw_controller *controller, const struct cw_store_group *group,
                        const struct cw_store_volume *volume, const json_t *engine)
{
    const struct cw_store_place *found =
        cw_view_place(controller->view, group->id, volume->volume, controller->config.site);
    uint64_t base = cw_json_hex(engine, "base", found ? found->base : 0);
    if (!found || !found->is_made || base == found->base)
        return;
    struct cw_store_place place = *found;
    place.base = base;
    if (cw_store_place_put(controller->store, &place) == CW_OK)
        (void)cw_view_refresh(controller);
}

/* ---------------------------------------------------------------- detaching */

/* A file at PATH.copy is the engine's only while it says that a full copy is under way: else it is somebody's. */
static bool is_copied_to(const struct cw_controller *controller, uint32_t group)
{
    const char *image = cw_json_text(cw_engine_group(controller, group), "image", "whole");
    return *image && strcmp(image, "whole") != 0;
}

static void forget_file(struct cw_controller *controller, const struct cw_store_place *place)
{
    char copy[sizeof place->path + 8];
    snprintf(copy, sizeof copy, "%s.copy", place->path);
    if (place->is_ours && place->is_made) {
        cw_place_remove_file(place->path);
        if (place->volume != CW_STORE_JOURNAL && is_copied_to(controller, place->group))
            cw_place_remove_file(copy);
    }
    if (cw_store_place_remove(controller->store, place->group, place->volume, place->site) != CW_OK)
        fprintf(stderr, "the store did not forget %s\n", place->path);
}

static bool any_place_left(const struct cw_store_view *view, uint32_t group, int32_t volume)
{
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        if (view->places[i].volume == volume)
            return true;
    }
    return false;
}

static void forget_volume(struct cw_controller *controller, uint32_t group, int32_t volume)
{
    const struct cw_store_place *place =
        cw_view_place(controller->view, group, volume, controller->config.site);
    if (place)
        forget_file(controller, place);
    (void)cw_view_refresh(controller);
    if (!any_place_left(controller->view, group, volume) &&
        cw_store_volume_remove(controller->store, group, volume) == CW_OK)
        (void)cw_view_refresh(controller);
}

static void on_volume_detached(struct cw_controller *controller, const struct cw_engine_call *call,
                               const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = attach_answered(controller, call->group);
    if (result || strcmp(status, "not found") == 0) {
        forget_volume(controller, call->group, call->volume);
    } else {
        try_later(controller, work);
    }
}

static bool detach_volume(struct cw_controller *controller, const struct cw_store_group *group,
                          struct cw_work *work, const struct cw_store_volume *volume)
{
    if (!cw_view_place(controller->view, group->id, volume->volume, controller->config.site)) {
        if (any_place_left(controller->view, group->id, volume->volume))
            return false;
        forget_volume(controller, group->id, volume->volume); /* begun, and stopped in between */
        return true;
    }
    work->is_attaching = cw_engine_ask(
        controller, "volume.detach",
        json_pack("{s:i,s:i}", "group", (int)group->id, "volume", volume->volume),
        (struct cw_engine_call){.answer = on_volume_detached, .group = group->id, .volume = volume->volume});
    return true;
}

static void forget_group(struct cw_controller *controller, uint32_t id)
{
    const struct cw_store_view *view = controller->view;
    cw_failovers_forget(controller, id);
    for (uint32_t i = cw_view_places_from(view, id); cw_view_is_place_of(view, i, id); i++) {
        if (strcmp(view->places[i].site, controller->config.site) == 0)
            forget_file(controller, &view->places[i]);
    }
    (void)cw_view_refresh(controller);
    if (cw_view_is_place_of(view, cw_view_places_from(view, id), id))
        return;
    if (cw_store_group_remove(controller->store, id) == CW_OK)
        (void)cw_view_refresh(controller);
}

static void on_group_detached(struct cw_controller *controller, const struct cw_engine_call *call,
                              const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = attach_answered(controller, call->group);
    if (result || strcmp(status, "not found") == 0) {
        forget_group(controller, call->group);
        *work = (struct cw_work){0};
    } else {
        try_later(controller, work);
    }
}

static void on_deleted_group_fenced(struct cw_controller *controller, const struct cw_engine_call *call,
                                    const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = cw_work_of(controller, call->group);
    work->is_attaching =
        cw_engine_ask(controller, "group.detach", json_pack("{s:i}", "group", (int)call->group),
                      (struct cw_engine_call){.answer = on_group_detached, .group = call->group});
}

static void delete_group(struct cw_controller *controller, const struct cw_store_group *group,
                         struct cw_work *work, const json_t *engine)
{
    if (!engine) {
        forget_group(controller, group->id);
        return;
    }
    work->is_attaching =
        cw_engine_ask(controller, "group.fence",
                      json_pack("{s:i,s:I}", "group", (int)group->id, "epoch",
                                (json_int_t)CW_MAX(group->authority.epoch, cw_json_u64(engine, "epoch", 0))),
                      (struct cw_engine_call){.answer = on_deleted_group_fenced, .group = group->id});
}

/* ---------------------------------------------------------------- after a failed disk */

static void on_group_restarted(struct cw_controller *controller, const struct cw_engine_call *call,
                               const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = attach_answered(controller, call->group);
    work->attached[0] = 0;
}

/* A group that an I/O error stopped is detached from time to time, so that it is recovered from its journal
 * and comes back when its disk does. The first pause is whole: its reason is to be seen. */
static bool restart_if_down(struct cw_controller *controller, const struct cw_store_group *group,
                            struct cw_work *work, const json_t *engine)
{
    if (strcmp(cw_json_text(engine, "role", ""), "down") != 0 ||
        controller->now_ns - work->down_ns < RESTART_NS)
        return false;
    work->down_ns = controller->now_ns;
    cw_event(controller, 1, group->name, "%s tries it again", controller->config.site);
    work->is_attaching =
        cw_engine_ask(controller, "group.detach", json_pack("{s:i}", "group", (int)group->id),
                      (struct cw_engine_call){.answer = on_group_restarted, .group = group->id});
    return work->is_attaching;
}

/* ---------------------------------------------------------------- the step */

/* One volume that is not as wanted is taken in hand: true. */
static bool step_volumes(struct cw_controller *controller, const struct cw_store_group *group,
                         struct cw_work *work, const json_t *engine)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group->id); cw_view_is_volume_of(view, i, group->id); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const json_t *there = cw_engine_volume(engine, volume->volume);
        bool is_to_be_there = !volume->is_deleting || wants_last_writes(controller, volume, engine);
        if (!is_to_be_there) {
            if (detach_volume(controller, group, work, volume))
                return true;
        } else if (!there) {
            if (attach_volume(controller, group, work, volume))
                return true;
        } else {
            note_place(controller, group->id, volume->volume, true, "");
            follow_base(controller, group, volume, there);
        }
    }
    return false;
}

bool cw_group_is_level(const struct cw_controller *controller, const struct cw_store_group *group)
{
    const json_t *engine = cw_engine_group(controller, group->id);
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group->id); cw_view_is_volume_of(view, i, group->id); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const struct cw_store_place *place =
            cw_view_place(view, group->id, volume->volume, controller->config.site);
        /* One that never was here cannot hold up an opening; one that was must be there again first. */
        if (!volume->is_deleting && place && place->is_made && !cw_engine_volume(engine, volume->volume))
            return false;
    }
    return engine != NULL;
}

/* With a store that is not worked with: what was made here once is attached, so that its superblock is read.
 */
static void attach_only(struct cw_controller *controller, const struct cw_store_group *group,
                        struct cw_work *work, const json_t *engine)
{
    const struct cw_store_view *view = controller->view;
    const struct cw_store_place *journal =
        cw_view_place(view, group->id, CW_STORE_JOURNAL, controller->config.site);
    if (group->is_deleting || !journal || !journal->is_made)
        return;
    if (!engine) {
        (void)attach_group(controller, group, work, engine);
        return;
    }
    for (uint32_t i = cw_view_volumes_from(view, group->id); cw_view_is_volume_of(view, i, group->id); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const struct cw_store_place *place =
            cw_view_place(view, group->id, volume->volume, controller->config.site);
        if (!volume->is_deleting && place && place->is_made && !cw_engine_volume(engine, volume->volume)) {
            (void)attach_volume(controller, group, work, volume);
            return;
        }
    }
}

static void step_group(struct cw_controller *controller, const struct cw_store_group *group)
{
    struct cw_work *work = cw_work_of(controller, group->id);
    const json_t *engine = cw_engine_group(controller, group->id);
    if (!work || work->is_busy || controller->now_ns < work->not_before_ns ||
        controller->engine.status_at_ns < work->changed_ns)
        return;
    if (!controller->is_store_begun) {
        if (!work->is_attaching && controller->now_ns >= work->attach_not_before_ns)
            attach_only(controller, group, work, engine);
        return;
    }
    if (!group->is_deleting && cw_role_let_go(controller, group, work, engine))
        return;
    if (work->is_attaching || controller->now_ns < work->attach_not_before_ns)
        return;
    if (group->is_deleting)
        delete_group(controller, group, work, engine);
    else if (!attach_group(controller, group, work, engine) && engine &&
             !restart_if_down(controller, group, work, engine) &&
             !step_volumes(controller, group, work, engine))
        cw_reconcile_role(controller, group, work, engine);
}

static void watch_leases(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        bool is_here = cw_group_has_site(group, controller->config.site);
        struct cw_work *work = is_here ? cw_work_of(controller, group->id) : NULL;
        uint64_t counter = 0;
        if (!work)
            continue;
        if (group->authority.holder[0] &&
            cw_store_lease_counter(controller->store, group->authority.holder, &counter) == CW_OK)
            cw_lease_watch_see(&work->lease, group->authority.epoch, counter, cw_monotonic_ns());
        cw_request_see(controller, group, work);
    }
}

bool cw_is_handing_over(const struct cw_controller *controller)
{
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        const struct cw_store_group *group = &controller->view->groups[i];
        if (cw_is_asked_for(controller, group) &&
            strcmp(group->authority.holder, controller->config.site) == 0 &&
            group->authority.fenced_epoch != group->authority.epoch)
            return true;
    }
    return false;
}

bool cw_is_in_transition(const struct cw_controller *controller)
{
    if (cw_operations_are_running(controller) || cw_is_handing_over(controller))
        return true;
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++) {
        const struct cw_work *work = &controller->works[i];
        if (work->group && (work->is_busy || work->is_attaching || work->open_sent_ns))
            return true;
    }
    return false;
}

void cw_reconcile(struct cw_controller *controller)
{
    struct cw_engine_link *engine = &controller->engine;
    watch_leases(controller);
    if (!engine->is_registered)
        return;
    uint64_t pause_ns = cw_is_in_transition(controller) ? STATUS_BUSY_NS : STATUS_IDLE_NS;
    if (cw_monotonic_ns() - engine->status_asked_ns >= pause_ns)
        cw_engine_status_refresh(controller);
    if (!engine->status || cw_store_fault(controller->store)[0])
        return;
    for (uint32_t i = 0; i < controller->view->group_count; i++) {
        if (!cw_group_has_site(&controller->view->groups[i], controller->config.site))
            continue;
        /* A copy: a step may load the view anew. */
        struct cw_store_group group = controller->view->groups[i];
        step_group(controller, &group);
    }
}
