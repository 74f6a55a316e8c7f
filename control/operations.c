/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What somebody waits for: a promotion, a switchover, a group or volume that is being made. An operation
 * lives in the controller that was asked and dies with it: then nothing goes on by itself later, when nobody
 * expects it. What must be undone when it fails is undone here. Of promotions and switchovers the steps are
 * in taking.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/automatic.h"
#include "control/controller.h"

#define WITHDRAW_NS   CW_SECOND
#define UNDO_LIMIT_NS (10 * CW_SECOND)
#define COPY_SEEN_NS  (3 * CW_SECOND)
#define REFUSED_NS    (20 * CW_SECOND)

struct cw_operation *cw_operation_start(struct cw_controller *controller, enum cw_operation_kind kind,
                                        uint32_t group, uint64_t limit_ns)
{
    struct cw_operation *slot = NULL;
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        struct cw_operation *operation = &controller->operations[i];
        if ((operation->kind == CW_OP_NONE || operation->is_done) && (!slot || operation->id < slot->id))
            slot = operation; /* the oldest that is over */
    }
    if (!slot)
        return NULL;
    CW_ASSERT(controller->asking != NULL && "somebody asks for it right now");
    *slot = (struct cw_operation){.id = ++controller->last_operation,
                                  .asking = *controller->asking,
                                  .kind = kind,
                                  .group = group,
                                  .started_ns = cw_monotonic_ns(),
                                  .deadline_ns = controller->now_ns + limit_ns};
    return slot;
}

struct cw_operation *cw_operation_find(struct cw_controller *controller, uint64_t id)
{
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        if (controller->operations[i].kind != CW_OP_NONE && controller->operations[i].id == id)
            return &controller->operations[i];
    }
    return NULL;
}

struct cw_operation *cw_operation_taking(struct cw_controller *controller, uint32_t group)
{
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        struct cw_operation *operation = &controller->operations[i];
        if ((operation->kind == CW_OP_PROMOTE || operation->kind == CW_OP_SWITCHOVER) &&
            !operation->is_done && !operation->moved_ns && operation->group == group)
            return operation;
    }
    return NULL;
}

bool cw_operations_are_running(const struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        if (controller->operations[i].kind != CW_OP_NONE && !controller->operations[i].is_done)
            return true;
    }
    return false;
}

void cw_operation_say(struct cw_operation *operation, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(operation->words, sizeof operation->words, format, arguments);
    va_end(arguments);
}

/* A taker that gives up takes its request back, so that the holder opens again at once. */
static enum cw_status withdraw(struct cw_controller *controller, uint32_t group)
{
    enum cw_status status = cw_store_request_clear(controller->store, group, controller->config.site);
    (void)cw_view_refresh(controller);
    return status;
}

/* What the store did not take, or may still take: a request that timed out can be written when the store is
 * back, and a holder that went on by grants would let go for nobody. Looked for until it would have lapsed. */
static void withdraw_late(struct cw_controller *controller, struct cw_work *work)
{
    if (!work->withdrawals || controller->now_ns < work->withdraw_ns ||
        cw_store_silent_ms(controller->store) > 0 || cw_operation_taking(controller, work->group))
        return;
    work->withdraw_ns = controller->now_ns + WITHDRAW_NS;
    (void)cw_view_refresh(controller);
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, work->group);
    bool is_ours = group && strcmp(group->request.taker, controller->config.site) == 0;
    if (is_ours && withdraw(controller, work->group) == CW_OK)
        cw_event(controller, 1, group->name,
                 "the request of %s is taken back: it ended while the store was away",
                 controller->config.site);
    else if (!is_ours)
        work->withdrawals--;
}

static void withdraw_or_note(struct cw_controller *controller, const struct cw_operation *operation)
{
    struct cw_work *work = cw_work_of(controller, operation->group);
    bool is_taken_back = withdraw(controller, operation->group) == CW_OK && !operation->unanswered_ns;
    if (!is_taken_back && work)
        work->withdrawals = CW_TAKER_SILENT_NS / WITHDRAW_NS;
}

void cw_operation_end(struct cw_controller *controller, struct cw_operation *operation, int exit,
                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(operation->words, sizeof operation->words, format, arguments);
    va_end(arguments);
    operation->is_done = true;
    operation->exit = exit;
    if (exit && !operation->is_automatic &&
        (operation->kind == CW_OP_PROMOTE || operation->kind == CW_OP_SWITCHOVER))
        withdraw_or_note(controller, operation);
    if (operation->is_automatic)
        cw_automatic_ended(controller, operation);
    cw_audit(controller, &operation->asking,
             exit == 0   ? "done"
             : exit == 3 ? "refused"
                         : "failed",
             exit, operation->words, operation->id);
}

/* ---------------------------------------------------------------- making things */

/* The first site that could not make it; NULL. */
static const struct cw_store_place *find_failed(const struct cw_controller *controller, uint32_t group,
                                                int32_t volume)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume == volume && place->error[0] && !place->is_made)
            return place;
    }
    return NULL;
}

static bool is_made_everywhere(struct cw_controller *controller, struct cw_operation *operation,
                               int32_t volume)
{
    const struct cw_store_view *view = controller->view;
    uint32_t group = operation->group;
    for (uint32_t i = cw_view_places_from(view, group); cw_view_is_place_of(view, i, group); i++) {
        const struct cw_store_place *place = &view->places[i];
        if (place->volume != volume || place->is_made || !cw_site_is_alive(controller, place->site))
            continue;
        cw_operation_say(operation, "%s makes %s", place->site, place->path);
        return false;
    }
    return true;
}

/* What was begun goes again; the command ends when it is gone. status: of the store's taking that. */
static void undo(struct cw_controller *controller, struct cw_operation *operation,
                 const struct cw_store_place *failed, enum cw_status status)
{
    if (status != CW_OK)
        return; /* the store did not take it: again at the next turn */
    operation->is_undoing = true;
    operation->exit = failed->is_refused ? 3 : 1;
    operation->deadline_ns = controller->now_ns + UNDO_LIMIT_NS;
    cw_operation_say(operation, "%s: %s", failed->site, failed->error);
    (void)cw_view_refresh(controller);
}

static void run_undo(struct cw_controller *controller, struct cw_operation *operation)
{
    const struct cw_store_view *view = controller->view;
    bool is_there = operation->kind == CW_OP_GROUP_CREATE && cw_view_group_by_id(view, operation->group);
    if (operation->kind == CW_OP_VOLUME_CREATE)
        is_there = cw_view_volume_by_id(view, operation->group, operation->volume) != NULL;
    if (is_there && controller->now_ns < operation->deadline_ns)
        return;
    char words[sizeof operation->words];
    snprintf(words, sizeof words, "%s", operation->words);
    cw_operation_end(controller, operation, operation->exit, "%.560s (%s)", words,
                     is_there ? "a site has not undone it yet" : "nothing was kept");
}

static void run_group_create(struct cw_controller *controller, struct cw_operation *operation)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, operation->group);
    const struct cw_store_place *failed = find_failed(controller, operation->group, CW_STORE_JOURNAL);
    if (!group) {
        cw_operation_end(controller, operation, 1, "the group was deleted");
        return;
    }
    if (failed) {
        undo(controller, operation, failed, cw_store_group_deleting(controller->store, group->id));
        return;
    }
    if (!is_made_everywhere(controller, operation, CW_STORE_JOURNAL))
        return;
    const json_t *first = cw_facts_group(controller, group->first, group->id);
    const char *refusal = cw_json_text(first, "refusal", "");
    if (strcmp(cw_json_text(first, "role", ""), "primary") == 0)
        cw_operation_end(controller, operation, 0, "%s is primary of %s", group->first, group->name);
    else if (!cw_site_is_alive(controller, group->first))
        cw_operation_end(controller, operation, 0, "%s is made; it opens when %s is there", group->name,
                         group->first);
    else if (refusal[0] && controller->now_ns - operation->started_ns > REFUSED_NS)
        cw_operation_end(controller, operation, 1, "%s is made, but %s does not open it: %s", group->name,
                         group->first, refusal);
    else
        cw_operation_say(operation, "waiting for %s to open %s%s%s", group->first, group->name,
                         refusal[0] ? ": " : "", refusal);
}

/* A replica that began with other data is copied to in full. Until its primary says so, it still looks level:
 * that is waited out, so that who looks next sees the truth. */
static bool is_copy_due(struct cw_controller *controller, struct cw_operation *operation,
                        const struct cw_store_group *group)
{
    const char *holder = group->authority.holder;
    const struct cw_store_place *there =
        cw_view_place(controller->view, group->id, operation->volume, holder);
    const json_t *peers = json_object_get(cw_facts_group(controller, holder, group->id), "peers");
    bool is_due = false, is_level = true;
    size_t index;
    json_t *peer;
    json_array_foreach(peers, index, peer)
    {
        const char *site = cw_json_text(peer, "site", ""), *state = cw_json_text(peer, "state", "");
        const struct cw_store_place *here =
            cw_view_place(controller->view, group->id, operation->volume, site);
        is_due = is_due || (there && here && here->base != there->base);
        is_level = is_level && (strcmp(state, "in-sync") == 0 || strcmp(state, "streaming") == 0);
    }
    if (!is_due || !is_level)
        return false;
    if (operation->made_ns == 0)
        operation->made_ns = controller->now_ns;
    cw_operation_say(operation, "waiting for the full copy to begin");
    return controller->now_ns - operation->made_ns < COPY_SEEN_NS;
}

static void run_volume_create(struct cw_controller *controller, struct cw_operation *operation)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, operation->group);
    const struct cw_store_place *failed = find_failed(controller, operation->group, operation->volume);
    if (!group) {
        cw_operation_end(controller, operation, 1, "the group was deleted");
        return;
    }
    if (failed) {
        undo(controller, operation, failed,
             cw_store_volume_deleting(controller->store, operation->group, operation->volume));
        return;
    }
    if (!is_made_everywhere(controller, operation, operation->volume))
        return;
    const char *holder = group->authority.holder;
    const json_t *primary = cw_facts_group(controller, holder, group->id);
    const json_t *volume = cw_engine_volume(primary, operation->volume);
    const char *error = cw_json_text(volume, "error", "");
    if (cw_json_bool(volume, "open", false) && !is_copy_due(controller, operation, group))
        cw_operation_end(controller, operation, 0, "exported at %s", holder);
    else if (!cw_site_is_alive(controller, holder))
        cw_operation_end(controller, operation, 0, "made; it is exported when the group has a primary");
    else if (error[0])
        cw_operation_end(controller, operation, 1, "the volume is made, but %s does not export it: %.300s",
                         holder, error);
    else
        cw_operation_say(operation, "waiting for %s to export it", holder);
}

void cw_operations_fail(struct cw_controller *controller, const char *words)
{
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        struct cw_operation *operation = &controller->operations[i];
        if (operation->kind == CW_OP_NONE || operation->is_done)
            continue;
        cw_outside_withdraw(controller->store, operation->group);
        snprintf(operation->words, sizeof operation->words, "%s", words);
        operation->is_done = true;
        operation->exit = 1;
    }
}

void cw_operations_run(struct cw_controller *controller)
{
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++)
        withdraw_late(controller, &controller->works[i]);
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        struct cw_operation *operation = &controller->operations[i];
        if (operation->kind == CW_OP_NONE || operation->is_done)
            continue;
        if (operation->is_undoing) {
            run_undo(controller, operation);
        } else if (controller->now_ns > operation->deadline_ns && !operation->moved_ns) {
            char waited[sizeof operation->words], store[96] = "";
            snprintf(waited, sizeof waited, "%.400s", operation->words);
            if (controller->store_failed_ns)
                snprintf(store, sizeof store,
                         "the store has taken nothing for %.0f s (locked by another program?); ",
                         (double)(controller->now_ns - controller->store_failed_ns) / 1e9);
            cw_operation_end(controller, operation, 1, "gave up after %.0f s: %s%s",
                             (double)(controller->now_ns - operation->started_ns) / 1e9, store, waited);
        } else if (operation->kind == CW_OP_GROUP_CREATE) {
            run_group_create(controller, operation);
        } else if (operation->kind == CW_OP_VOLUME_CREATE) {
            run_volume_create(controller, operation);
        } else if (operation->kind == CW_OP_VOLUME_DELETE) {
            cw_deletion_run(controller, operation);
        } else {
            cw_taking_run(controller, operation);
        }
    }
}
