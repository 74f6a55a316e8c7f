/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Roles: what the engine is for a group, against what the store says.
 *
 *   holder here, nobody asks for it   replica -> open; drained and not wanted any more -> fence, then open
 *   holder here, a taker asks         fence (or drain first) -> confirm in the store -> wait for the taker;
 *                                     if its heartbeat stands still for 10 s, the request is dropped
 *   holder here, stopped by an error  fence -> confirm in the store: another site may have it at once
 *   holder elsewhere                  whatever still thinks it is primary here is fenced
 *   nobody, first primary here        open
 *
 * A promotion to this site is an operation (taking.c), which opens by the same function.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "control/controller.h"
#include "control/words.h"

#define REOPEN_NS (2 * CW_SECOND)
#define ASKED_NS  (3 * CW_SECOND) /* the store is asked once a second */

static bool is_role(const json_t *engine, const char *role)
{
    return strcmp(cw_json_text(engine, "role", ""), role) == 0;
}

static bool is_opening(const json_t *engine)
{
    return is_role(engine, "gathering") || is_role(engine, "fetching") || is_role(engine, "reverting") ||
           is_role(engine, "claiming") || is_role(engine, "opening");
}

/* An engine that has just started tells of its volumes when they are attached: the store's word on their data
 * may be of before a full copy that has ended since. */
static bool has_all_volumes(const struct cw_controller *controller, const struct cw_store_group *group,
                            const char *site, const json_t *engine)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group->id); cw_view_is_volume_of(view, i, group->id); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const struct cw_store_place *here = cw_view_place(view, group->id, volume->volume, site);
        bool is_to_be_there = !volume->is_deleting && here && here->is_made;
        if (is_to_be_there && !cw_engine_volume(engine, volume->volume))
            return false;
    }
    return true;
}

/* Did a volume begin here with other data than at the first primary, and no full copy has ended since? The
 * copy gives a volume the base of its source. */
static bool has_other_data(const struct cw_controller *controller, const struct cw_store_group *group,
                           const char *site, const json_t *engine)
{
    const struct cw_store_view *view = controller->view;
    for (uint32_t i = cw_view_volumes_from(view, group->id); cw_view_is_volume_of(view, i, group->id); i++) {
        const struct cw_store_volume *volume = &view->volumes[i];
        const struct cw_store_place *first = cw_view_place(view, group->id, volume->volume, group->first);
        const struct cw_store_place *here = cw_view_place(view, group->id, volume->volume, site);
        if (volume->is_deleting || !first || !here)
            continue;
        const json_t *there = cw_engine_volume(engine, volume->volume);
        if (first->base != cw_json_hex(there, "base", here->base))
            return true;
    }
    return false;
}

bool cw_candidate_at(const struct cw_controller *controller, const struct cw_store_group *group,
                     const char *site, struct cw_candidate *candidate)
{
    const json_t *engine = cw_facts_group(controller, site, group->id);
    const char *image = cw_json_text(engine, "image", "whole");
    *candidate = (struct cw_candidate){.group = group->name,
                                       .mode = group->mode,
                                       .is_first = strcmp(group->first, site) == 0,
                                       .image = strcmp(image, "broken") == 0    ? CW_WORD_BROKEN
                                                : strcmp(image, "copying") == 0 ? CW_WORD_COPYING
                                                                                : CW_WORD_WHOLE};
    const json_t *old = json_object_get(engine, "old_image");
    candidate->has_old_image = json_is_object(old);
    candidate->old_sequence = cw_json_u64(old, "sequence", 0);
    candidate->old_age_seconds = cw_json_u64(old, "age_seconds", 0);
    candidate->is_foreign = has_other_data(controller, group, site, engine);
    const struct cw_store_place *lacked = cw_place_lacked(controller, group->id, site);
    if (lacked && !lacked->is_made) /* one that was here once is waited for */
        snprintf(candidate->lacks, sizeof candidate->lacks, "%s", cw_place_volume(controller, lacked));
    return engine && has_all_volumes(controller, group, site, engine) &&
           cw_member_from_json(json_object_get(engine, "identity"), &candidate->identity) &&
           strcmp(candidate->identity.site, site) == 0;
}

bool cw_candidate_here(const struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_candidate *candidate)
{
    bool is_told = cw_engine_group(controller, group->id) &&
                   cw_candidate_at(controller, group, controller->config.site, candidate);
    for (uint32_t i = 0; i < CW_OPERATIONS_MAX; i++) {
        const struct cw_operation *operation = &controller->operations[i];
        if (operation->kind == CW_OP_PROMOTE && operation->group == group->id && !operation->is_done) {
            candidate->accept_loss = operation->accept_loss;
            candidate->inconsistent = operation->inconsistent;
            candidate->is_automatic = operation->is_automatic;
        }
    }
    return is_told;
}

/* ---------------------------------------------------------------- opening */

static void on_open_answered(struct cw_controller *controller, const struct cw_engine_call *call,
                             const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = cw_work_answered(controller, call->group);
    struct cw_operation *operation = cw_operation_taking(controller, call->group);
    cw_engine_status_refresh(controller);
    if (result) {
        if (operation)
            operation->open_answered_ns = cw_monotonic_ns();
        if (operation)
            operation->is_put_off = false;
        return;
    }
    work->open_sent_ns = 0;
    work->not_before_ns = controller->now_ns + REOPEN_NS;
    if (operation && strcmp(status, "disconnected") == 0)
        operation->is_open_sent = false; /* the next engine knows nothing of it */
    else if (operation && strcmp(status, "again") == 0) {
        /* Ends by itself: files of a copy are made or switched, or a primary lives by a grant of this site.
         */
        operation->is_open_sent = false;
        operation->is_put_off = true;
        cw_operation_say(operation, "%s", words);
    } else if (operation)
        cw_operation_end(controller, operation, strcmp(status, "refused") == 0 ? 3 : 1, "%s", words);
}

/* Somebody promotes this site, and the store has taken his request just now: a primary that the store has not
 * heard of for a lease is not to go on by this site's grants. While the store is silent it is: nothing could
 * take its place. */
static bool ends_grants(struct cw_controller *controller, uint32_t group)
{
    const struct cw_operation *operation = cw_operation_taking(controller, group);
    return operation && operation->kind == CW_OP_PROMOTE && operation->asked_ns != 0 &&
           controller->now_ns - operation->asked_ns < ASKED_NS;
}

bool cw_role_open(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                  bool accept_loss, bool inconsistent)
{
    const struct cw_authority *authority = &group->authority;
    struct cw_set set = authority->set;
    uint64_t reign = 0;
    while (reign == 0) {
        if (getrandom(&reign, sizeof reign, 0) != sizeof reign)
            return false;
    }
    /* Drained to this site: it is as good as a member. */
    if (authority->fenced_epoch == authority->epoch && authority->handover.site[0])
        (void)cw_set_put(&set, &authority->handover);
    json_t *parameters = json_pack(
        "{s:i,s:I,s:I,s:I,s:s,s:o,s:o,s:b,s:b,s:I,s:b}", "group", (int)group->id, "epoch",
        (json_int_t)authority->epoch, "first_sequence", (json_int_t)authority->first_sequence, "fenced_epoch",
        (json_int_t)authority->fenced_epoch, "holder", authority->holder, "set", cw_set_to_json(&set),
        "reign", cw_json_from_hex(reign), "accept_loss", accept_loss, "inconsistent", inconsistent,
        "epoch_floor", (json_int_t)cw_outside_permitted(controller->store, group->id), "ends_grants",
        ends_grants(controller, group->id));
    work->is_busy = cw_engine_ask(controller, "group.open", parameters,
                                  (struct cw_engine_call){.answer = on_open_answered, .group = group->id});
    if (work->is_busy)
        work->open_sent_ns = controller->now_ns;
    return work->is_busy;
}

/* Open what is ours; after a refusal, again from time to time: what was missing may have come back. */
static void open_own(struct cw_controller *controller, const struct cw_store_group *group,
                     struct cw_work *work, const json_t *engine)
{
    struct cw_operation *operation = cw_operation_taking(controller, group->id);
    if (!is_role(engine, "replica") || controller->engine.status_at_ns < work->open_sent_ns ||
        !cw_group_is_level(controller, group))
        return;
    if (operation && operation->kind == CW_OP_PROMOTE)
        return; /* it opens by itself, with its own flags */
    if (work->open_sent_ns && controller->now_ns - work->open_sent_ns < REOPEN_NS)
        return;
    (void)cw_role_open(controller, group, work, false, false);
}

/* ---------------------------------------------------------------- letting go */

static void confirm_fence(struct cw_controller *controller, const struct cw_engine_call *call)
{
    struct cw_authority now, next;
    struct cw_member handover = {0};
    uint64_t counter;
    bool is_handover = cw_member_from_json(call->kept, &handover);
    if (cw_store_authority(controller->store, call->group, &now, &counter) != CW_OK)
        return;
    struct cw_verdict verdict =
        cw_decide_fence(&now, controller->config.site, call->epoch, is_handover ? &handover : NULL, &next);
    if (verdict.answer != CW_ANSWER_YES ||
        cw_store_swap(controller->store, call->group, &now, &next, false, 0) != CW_OK)
        return;
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, call->group);
    cw_event(controller, 1, group ? group->name : "", "%s has let go of epoch %lu", controller->config.site,
             call->epoch);
    (void)cw_view_refresh(controller);
}

static void on_fenced(struct cw_controller *controller, const struct cw_engine_call *call,
                      const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = cw_work_answered(controller, call->group);
    work->open_sent_ns = 0;
    if (result && json_is_object(call->kept))
        confirm_fence(controller, call);
    else if (!result)
        work->not_before_ns = controller->now_ns + CW_SECOND;
}

/* confirm: NULL, or the handover ({} for none) to write with the confirmation. Taken. */
static void fence(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                  json_t *confirm)
{
    json_t *parameters =
        json_pack("{s:i,s:I}", "group", (int)group->id, "epoch", (json_int_t)group->authority.epoch);
    work->is_busy = cw_engine_ask(
        controller, "group.fence", parameters,
        (struct cw_engine_call){
            .answer = on_fenced, .group = group->id, .epoch = group->authority.epoch, .kept = confirm});
    if (!work->is_busy)
        json_decref(confirm);
}

void cw_role_fence(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work)
{
    if (!work->is_busy)
        fence(controller, group, work, NULL);
}

static void on_draining(struct cw_controller *controller, const struct cw_engine_call *call,
                        const json_t *result, const char *status, const char *words)
{
    struct cw_work *work = cw_work_answered(controller, call->group);
    if (!result)
        work->not_before_ns = controller->now_ns + CW_SECOND;
}

/* Drained, and the taker has everything too: it is named in the confirmation. */
static void hand_over(struct cw_controller *controller, const struct cw_store_group *group,
                      struct cw_work *work, const json_t *engine)
{
    const json_t *peer = cw_facts_peer(engine, group->request.taker);
    json_t *identity = json_object_get(peer, "identity");
    if (!peer || !identity || cw_json_u64(peer, "durable", 0) < cw_json_u64(engine, "head", UINT64_MAX))
        return; /* async: it may still be on its way */
    fence(controller, group, work, json_incref(identity));
}

static void let_go(struct cw_controller *controller, const struct cw_store_group *group, struct cw_work *work,
                   const json_t *engine)
{
    if (!group->request.is_drain || is_role(engine, "replica") || is_role(engine, "down") ||
        is_opening(engine))
        fence(controller, group, work, json_object());
    else if (is_role(engine, "drained"))
        hand_over(controller, group, work, engine);
    else if (is_role(engine, "primary"))
        work->is_busy = cw_engine_ask(controller, "group.drain", json_pack("{s:i}", "group", (int)group->id),
                                      (struct cw_engine_call){.answer = on_draining, .group = group->id});
}

/* ---------------------------------------------------------------- the step */

bool cw_is_asked_for(const struct cw_controller *controller, const struct cw_store_group *group)
{
    return group->request.taker[0] && group->request.epoch == group->authority.epoch &&
           strcmp(group->request.taker, controller->config.site) != 0;
}

void cw_request_see(struct cw_controller *controller, const struct cw_store_group *group,
                    struct cw_work *work)
{
    if (strcmp(work->taker, group->request.taker) != 0)
        work->request.is_seen = false;
    memcpy(work->taker, group->request.taker, sizeof work->taker);
    cw_lease_watch_see(&work->request, group->request.epoch, group->request.heartbeat, controller->now_ns);
}

bool cw_request_drop(struct cw_controller *controller, const struct cw_store_group *group,
                     char words[CW_DROPPED_SIZE])
{
    if (cw_store_request_drop(controller->store, group->id, &group->request) != CW_OK)
        return false;
    snprintf(words, CW_DROPPED_SIZE, "the request of %s for %s is cleared: it was not renewed for %u s",
             group->request.taker, group->name, (unsigned)(CW_TAKER_SILENT_NS / CW_SECOND));
    cw_event(controller, 1, group->name, "%s", words);
    (void)cw_view_refresh(controller);
    return true;
}

/* Not started by the engine: it acknowledges nothing, so the fence is confirmed at once. */
static void let_go_unstarted(struct cw_controller *controller, const struct cw_store_group *group,
                             struct cw_work *work, const json_t *engine)
{
    struct cw_engine_call call = {.group = group->id, .epoch = group->authority.epoch, .kept = json_object()};
    if (engine)
        fence(controller, group, work, json_incref(call.kept));
    else
        confirm_fence(controller, &call);
    json_decref(call.kept);
}

static bool is_holder(const struct cw_controller *controller, const struct cw_store_group *group)
{
    const char *site = controller->config.site, *holder = group->authority.holder;
    bool was_never_open = !holder[0] && group->authority.epoch == 0;
    return strcmp(holder, site) == 0 || (was_never_open && strcmp(group->first, site) == 0);
}

static void tell_changes(struct cw_controller *controller, const struct cw_store_group *group,
                         struct cw_work *work, const json_t *engine)
{
    uint64_t epoch = cw_json_u64(engine, "epoch", 0);
    uint64_t left_ns = cw_json_u64(json_object_get(engine, "turn"), "left_ns", 0);
    if (left_ns != work->left_ns)
        controller->facts_due_ns = 0; /* the taker waits for our part of the pause */
    work->left_ns = left_ns;
    if (is_role(engine, "primary"))
        work->open_sent_ns = 0;
    if (!is_role(engine, "primary") || work->opened_epoch == epoch)
        return;
    work->opened_epoch = epoch;
    cw_event(controller, 0, group->name, "%s is primary, epoch %lu", controller->config.site, epoch);
}

static void tell_stop(struct cw_controller *controller, const struct cw_store_group *group,
                      struct cw_work *work, const json_t *engine)
{
    if (!is_role(engine, "down")) {
        work->down_ns = 0;
    } else if (work->down_ns == 0) {
        work->down_ns = controller->now_ns;
        cw_event(controller, 2, group->name, "%s has stopped it: %s", controller->config.site,
                 cw_json_text(engine, "reason", "no reason given"));
    }
}

/* Held here, and an error has stopped it: the engine answers nothing of that epoch any more, and the store is
 * to know, so that another site may have it at once. */
static void let_go_of_stopped(struct cw_controller *controller, const struct cw_store_group *group,
                              struct cw_work *work)
{
    const struct cw_authority *authority = &group->authority;
    if (strcmp(authority->holder, controller->config.site) != 0 ||
        authority->fenced_epoch == authority->epoch || cw_store_silent_ms(controller->store) > 0)
        return;
    work->not_before_ns = controller->now_ns + CW_SECOND; /* again, where the store did not take it */
    fence(controller, group, work, json_object());
}

/* Held here, and asked for elsewhere, or was. */
static void let_go_of_held(struct cw_controller *controller, const struct cw_store_group *group,
                           struct cw_work *work, const json_t *engine)
{
    const struct cw_authority *authority = &group->authority;
    bool is_asked = cw_is_asked_for(controller, group);
    char words[CW_DROPPED_SIZE];
    if (is_asked && controller->now_ns - work->request.since_ns > CW_TAKER_SILENT_NS) {
        (void)cw_request_drop(controller, group, words);
    } else if (is_asked && authority->fenced_epoch != authority->epoch) {
        if (!engine || is_role(engine, "attaching"))
            let_go_unstarted(controller, group, work, engine);
        else
            let_go(controller, group, work, engine);
    } else if (!is_asked && (is_role(engine, "draining") || is_role(engine, "drained"))) {
        fence(controller, group, work, NULL); /* nobody wants it any more: fenced, it opens again */
    }
}

bool cw_role_let_go(struct cw_controller *controller, const struct cw_store_group *group,
                    struct cw_work *work, const json_t *engine)
{
    bool is_taking = cw_operation_taking(controller, group->id) != NULL;
    tell_changes(controller, group, work, engine);
    tell_stop(controller, group, work, engine);
    if (is_holder(controller, group))
        let_go_of_held(controller, group, work, engine);
    else if (is_role(engine, "primary") || is_role(engine, "draining") || is_role(engine, "drained") ||
             (is_opening(engine) && !is_taking))
        fence(controller, group, work, NULL);
    if (is_role(engine, "down") && !work->is_busy)
        let_go_of_stopped(controller, group, work);
    return work->is_busy;
}

void cw_reconcile_role(struct cw_controller *controller, const struct cw_store_group *group,
                       struct cw_work *work, const json_t *engine)
{
    if (is_holder(controller, group) && !cw_is_asked_for(controller, group))
        open_own(controller, group, work, engine);
}
