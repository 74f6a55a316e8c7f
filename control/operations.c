/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What somebody waits for: a promotion, a switchover, a group or volume that is being made. An operation
 * lives in the controller that was asked and dies with it: then nothing goes on by itself later, when nobody
 * expects it. What must be undone when it fails is undone here.
 *
 * A promotion never opens before the old holder's fence is confirmed or its lease has run out: an engine that
 * gathered earlier could miss what the old primary acknowledged afterwards.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/automatic.h"
#include "control/controller.h"

#define UNDO_LIMIT_NS  (10 * CW_SECOND)
#define LEVEL_LIMIT_NS (5 * CW_SECOND)
#define COPY_SEEN_NS   (3 * CW_SECOND)
#define HEARTBEAT_NS   (1 * CW_SECOND)
#define REFUSED_NS     (20 * CW_SECOND)
#define PAUSE_TOLD_NS  (2500 * CW_MS)
#define STORE_LIMIT_MS 6000u           /* one that elects a leader is silent for less */
#define OPEN_LOST_NS   (2 * CW_SECOND) /* an opening answered so long ago shows in the status, or is lost */

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
static void withdraw(struct cw_controller *controller, const struct cw_operation *operation)
{
    if (cw_store_request_clear(controller->store, operation->group, controller->config.site) != CW_OK)
        fprintf(stderr, "the store did not take the request back; it lapses in 10 s\n");
    (void)cw_view_refresh(controller);
}

static void tell_automatic(struct cw_controller *controller, const struct cw_operation *operation)
{
    const struct cw_store_group *group = cw_view_group_by_id(controller->view, operation->group);
    cw_event(controller, operation->exit ? 2 : 1, group ? group->name : "", "automatic failover to %s %s: %s",
             controller->config.site, operation->exit ? "ends" : "is done", operation->words);
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
        withdraw(controller, operation);
    if (operation->is_automatic)
        tell_automatic(controller, operation);
    cw_audit(controller, &operation->asking,
             exit == 0   ? "done"
             : exit == 3 ? "refused"
                         : "failed",
             exit, operation->words, operation->id);
}

/* ---------------------------------------------------------------- taking a group */

/* Opens; what comes of it is seen in the engine's status. */
static void open_taken(struct cw_controller *controller, struct cw_operation *operation,
                       const struct cw_store_group *group, struct cw_work *work)
{
    const json_t *engine = cw_engine_group(controller, group->id);
    if (!operation->is_put_off) /* else why was said */
        cw_operation_say(operation, "opening %s at %s", group->name, controller->config.site);
    if (!work->is_busy && !work->is_attaching && strcmp(cw_json_text(engine, "role", ""), "replica") == 0 &&
        cw_group_is_level(controller, group))
        operation->is_open_sent =
            cw_role_open(controller, group, work, operation->accept_loss, operation->inconsistent);
}

/* After group.open was answered: primary, refused, or still on its way. */
static void watch_opening(struct cw_controller *controller, struct cw_operation *operation,
                          const struct cw_store_group *group, const json_t *engine)
{
    const char *role = cw_json_text(engine, "role", ""), *refusal = cw_json_text(engine, "refusal", "");
    cw_operation_say(operation, "opening %s at %s: %s", group->name, controller->config.site, role);
    if (!operation->open_answered_ns || controller->engine.status_at_ns < operation->open_answered_ns)
        return;
    if (strcmp(role, "replica") == 0 && refusal[0])
        cw_operation_end(controller, operation, 3, "%s", refusal);
    else if (strcmp(role, "down") == 0)
        cw_operation_end(controller, operation, 1, "%s is down at %s: %s", group->name,
                         controller->config.site, cw_json_text(engine, "reason", "no reason given"));
    else if (strcmp(role, "replica") == 0 &&
             controller->engine.status_at_ns - operation->open_answered_ns > OPEN_LOST_NS) {
        operation->is_open_sent =
            false; /* the engine was started anew, or another site was faster: ask again */
        operation->open_answered_ns = 0;
    }
}

static bool is_primary_here(struct cw_controller *controller, const struct cw_store_group *group,
                            const json_t *engine)
{
    return strcmp(group->authority.holder, controller->config.site) == 0 &&
           strcmp(cw_json_text(engine, "role", ""), "primary") == 0 &&
           cw_json_u64(engine, "epoch", 0) == group->authority.epoch;
}

/* Who accepts a loss is told how large it was when the holder was last seen; afterwards nobody can say. */
static void note_lacked(struct cw_controller *controller, struct cw_operation *operation,
                        const struct cw_store_group *group)
{
    const char *holder = group->authority.holder, *self = controller->config.site;
    const json_t *peer = cw_facts_peer(cw_facts_group(controller, holder, group->id), self);
    bool is_told = operation->lacked[0] || !operation->accept_loss || operation->kind != CW_OP_PROMOTE;
    bool has_all = cw_mode_word_has_set(group->mode) && cw_set_find(&group->authority.set, self);
    if (is_told || has_all || !holder[0] || strcmp(holder, self) == 0)
        return;
    if (!peer || !cw_json_bool(peer, "lag_known", true))
        snprintf(operation->lacked, sizeof operation->lacked,
                 "; how much of what %s acknowledged is missing is not known", holder);
    else
        snprintf(
            operation->lacked, sizeof operation->lacked,
            "; when %s was last seen, %.1f s before this was asked for, %s lacked %lu bytes of what it had "
            "acknowledged, the oldest %.3f s old",
            holder, cw_site_age_seconds(controller, holder), self, cw_json_u64(peer, "lag_bytes", 0),
            cw_json_number(peer, "lag_seconds", 0));
}

static bool is_let_go(const struct cw_store_group *group)
{
    return group->authority.epoch != 0 && group->authority.fenced_epoch == group->authority.epoch;
}

/* Another site's request stands. One that lives is left to it; one that has died is waited out, and cleared.
 */
static void pass_by(struct cw_controller *controller, struct cw_operation *operation,
                    const struct cw_store_group *group, const struct cw_work *work)
{
    const char *taker = group->request.taker;
    uint64_t still_ns = controller->now_ns - work->request.since_ns;
    char words[CW_DROPPED_SIZE];
    if (still_ns > CW_TAKER_SILENT_NS) {
        operation->has_waited = !cw_request_drop(controller, group, words);
        if (!operation->has_waited)
            cw_audit(controller, &operation->asking, "cleared", 0, words, operation->id);
    } else if (cw_site_is_silent(controller, taker)) {
        operation->has_waited = true;
        cw_operation_say(operation,
                         "waiting for the request of %s, which does not answer, to lapse: %.0f s left", taker,
                         (double)(CW_TAKER_SILENT_NS - still_ns) / 1e9);
    } else {
        cw_operation_end(
            controller, operation, 3,
            "%s asks for %s as well: wait for that to end. A request that is not renewed for %u s "
            "is cleared by the next command",
            taker, group->name, (unsigned)(CW_TAKER_SILENT_NS / CW_SECOND));
    }
}

/* Keeps the request in the store alive. false: not now, or the operation has ended. */
static bool keep_asking(struct cw_controller *controller, struct cw_operation *operation,
                        const struct cw_store_group *group, const struct cw_work *work)
{
    struct cw_store_request request = {.is_drain = operation->kind == CW_OP_SWITCHOVER,
                                       .epoch = group->authority.epoch};
    if (cw_is_asked_for(controller, group)) {
        pass_by(controller, operation, group, work);
        return false;
    }
    if (controller->now_ns < operation->next_heartbeat_ns)
        return true;
    operation->next_heartbeat_ns = controller->now_ns + HEARTBEAT_NS;
    if (operation->wanted_ns == 0)
        operation->wanted_ns = cw_monotonic_ns();
    snprintf(request.taker, sizeof request.taker, "%s", controller->config.site);
    enum cw_status status = cw_store_request(controller->store, group->id, &request);
    if (status == CW_OK)
        operation->asked_ns = controller->now_ns;
    if (status == CW_OK || status == CW_STALE)
        (void)cw_view_refresh(controller);
    cw_operation_heard(controller, operation, status != CW_IO);
    if (status == CW_STALE)
        operation->next_heartbeat_ns = 0; /* somebody was faster */
    return status != CW_STALE;
}

static void wait_for_holder(struct cw_controller *controller, struct cw_operation *operation,
                            const struct cw_store_group *group, struct cw_work *work)
{
    const char *holder = group->authority.holder;
    uint64_t left_ns = cw_lease_watch_remaining_ns(&work->lease, group->authority.epoch,
                                                   controller->config.lease_ms * CW_MS, cw_monotonic_ns());
    if (operation->only_from[0] && strcmp(operation->only_from, holder) != 0) {
        cw_operation_end(controller, operation, 0, "%s has left %s already: %s is its primary", group->name,
                         operation->only_from, holder);
        return;
    }
    if (operation->has_waited && operation->from_epoch != group->authority.epoch) {
        cw_operation_end(controller, operation, 3,
                         "%s has taken %s meanwhile: look again with causeway status", holder, group->name);
        return;
    }
    snprintf(operation->from, sizeof operation->from, "%s", holder);
    operation->from_epoch = group->authority.epoch;
    if (!operation->is_automatic && !keep_asking(controller, operation, group, work))
        return;
    if (is_let_go(group) || (operation->kind == CW_OP_PROMOTE && left_ns == 0))
        open_taken(controller, operation, group, work);
    else if (operation->kind == CW_OP_SWITCHOVER && cw_site_is_silent(controller, holder))
        cw_operation_end(
            controller, operation, 1,
            "%s no longer answers, and has not let go of %s. Bring it back, or take over without it: "
            "causeway promote %s --site %s",
            holder, group->name, group->name, controller->config.site);
    else if (operation->kind == CW_OP_SWITCHOVER)
        cw_operation_say(operation, "waiting for %s to bring everybody level and let go of %s", holder,
                         group->name);
    else if (cw_site_is_alive(controller, holder))
        cw_operation_say(operation, "waiting for %s to let go of %s", holder, group->name);
    else
        cw_operation_say(operation, "waiting for the lease of %s to run out: %.1f s left", holder,
                         (double)left_ns / 1e9);
}

/* What a switchover needs beside both sites: a target that is level, or will be at once. */
struct cw_verdict cw_switchover_level(const struct cw_controller *controller,
                                      const struct cw_store_group *group,
                                      const struct cw_candidate *candidate)
{
    const char *site = candidate->identity.site;
    char behind[200];
    cw_catch_up_words(controller, group, site, behind, sizeof behind);
    struct cw_verdict verdict = {.answer = CW_ANSWER_NO};
    if (is_let_go(group))
        return cw_decide_candidate(&group->authority, candidate);
    if (candidate->image != CW_WORD_WHOLE || candidate->is_foreign)
        snprintf(verdict.words, sizeof verdict.words,
                 "%s is still being copied to: wait until causeway status says in-sync%s", site, behind);
    else if (cw_mode_word_has_set(group->mode) &&
             cw_decide_candidate(&group->authority, candidate).answer != CW_ANSWER_YES)
        snprintf(verdict.words, sizeof verdict.words,
                 "%s is not in the in-sync set of %s: wait until causeway status says in-sync%s", site,
                 group->name, behind);
    else if (!cw_mode_word_has_set(group->mode) && cw_is_far_behind(controller, group, site))
        snprintf(verdict.words, sizeof verdict.words,
                 "%s is so far behind that writes would be held for long: wait until it is nearer (causeway "
                 "status)%s",
                 site, behind);
    else
        verdict.answer = CW_ANSWER_YES;
    return verdict;
}

/* false: not now (the words say why), or refused for good. What passes by itself is waited for a little. */
static bool may_go_on(struct cw_controller *controller, struct cw_operation *operation,
                      const struct cw_store_group *group, const struct cw_candidate *candidate)
{
    bool is_switchover = operation->kind == CW_OP_SWITCHOVER;
    struct cw_verdict verdict = is_switchover ? cw_switchover_level(controller, group, candidate)
                                              : cw_decide_candidate(&group->authority, candidate);
    if (verdict.answer == CW_ANSWER_YES)
        return true;
    cw_operation_say(operation, "%s", verdict.words);
    if (!is_switchover || controller->now_ns - operation->started_ns > LEVEL_LIMIT_NS)
        cw_operation_end(controller, operation, 3, "%s", verdict.words);
    return false;
}

/* Nobody asked for it, and its time is not, or no longer: until the claim is made, everything is as before.
 */
static bool is_called_off(struct cw_controller *controller, struct cw_operation *operation,
                          const struct cw_store_group *group)
{
    struct cw_failover_verdict verdict;
    if (!operation->is_automatic || strcmp(group->authority.holder, controller->config.site) == 0 ||
        cw_automatic_goes_on(controller, group, &verdict))
        return false;
    cw_operation_end(controller, operation, 1, "called off: %s", verdict.words);
    return true;
}

/* Where a promotion by tokens has come to. */
static const char *words_of_outside(const struct cw_controller *controller,
                                    const struct cw_operation *operation)
{
    return operation->outside_epoch && cw_outside_is_held(controller->store, operation->group)
               ? "; outside of the store, which takes it over when a quorum of it answers"
               : "";
}

/* The taker's engine has opened. A switchover then waits a little for what the old holder says of the pause.
 */
static void end_taken(struct cw_controller *controller, struct cw_operation *operation,
                      const struct cw_store_group *group, const json_t *engine)
{
    const json_t *old = cw_facts_group(controller, operation->from, group->id);
    const char *boot = cw_json_text(json_object_get(engine, "identity"), "boot_id", "");
    bool is_one_clock = strcmp(boot, cw_json_text(json_object_get(old, "identity"), "boot_id", "-")) == 0;
    struct cw_turn_told from = cw_turn_from_json(json_object_get(old, "turn"));
    struct cw_turn_told to = cw_turn_from_json(json_object_get(engine, "turn"));
    char pause[160];
    bool is_moved = operation->kind == CW_OP_SWITCHOVER && operation->from[0];
    if (is_moved && operation->moved_ns == 0)
        operation->moved_ns = controller->now_ns;
    operation->pause = cw_pause_compute(&from, operation->from_epoch, &to, group->authority.epoch,
                                        is_one_clock, operation->wanted_ns);
    cw_pause_words(&operation->pause, pause, sizeof pause);
    cw_operation_say(operation, "%s is primary of %s; waiting for what %s says of the pause",
                     controller->config.site, group->name, operation->from);
    if (is_moved && !operation->pause.is_known && controller->now_ns - operation->moved_ns < PAUSE_TOLD_NS)
        return;
    if (is_moved)
        cw_event(controller, 0, group->name, "switchover from %s to %s, epoch %lu; %s", operation->from,
                 controller->config.site, group->authority.epoch, pause);
    cw_operation_end(controller, operation, 0, "%s is primary of %s, epoch %lu%s%s%s%s",
                     controller->config.site, group->name, group->authority.epoch, is_moved ? "; " : "",
                     is_moved ? pause : "", operation->lacked, words_of_outside(controller, operation));
}

/* A promotion by tokens: false, when it has ended, or waits for this site's own engine to end its reign. */
static bool may_break_glass(struct cw_controller *controller, struct cw_operation *operation,
                            const struct cw_store_group *group, struct cw_work *work, const json_t *engine)
{
    const char *role = cw_json_text(engine, "role", "");
    if (operation->outside_epoch == 0 || cw_outside_is_held(controller->store, group->id))
        return true;
    if (cw_store_silent_ms(controller->store) == 0 || !cw_outside_permitted(controller->store, group->id)) {
        cw_operation_end(controller, operation, 3,
                         "a quorum of the store answers again, and tokens are not for that; nothing was "
                         "changed: causeway promote %s --site %s",
                         group->name, controller->config.site);
        return false;
    }
    struct cw_verdict verdict = cw_break_glass_goes_on(controller, operation, group);
    if (verdict.answer == CW_ANSWER_NO)
        cw_operation_end(controller, operation, 3, "%s", verdict.words);
    else if (verdict.answer == CW_ANSWER_LATER)
        cw_operation_say(operation, "%s", verdict.words);
    if (verdict.answer != CW_ANSWER_YES)
        return false;
    if (strcmp(role, "primary") != 0 && strcmp(role, "draining") != 0 && strcmp(role, "drained") != 0)
        return true;
    cw_operation_say(operation, "waiting for the engine of %s to end epoch %lu", controller->config.site,
                     group->authority.epoch);
    cw_role_fence(controller, group, work);
    return false;
}

void cw_operation_heard(struct cw_controller *controller, struct cw_operation *operation, bool is_answered)
{
    if (is_answered)
        operation->unanswered_ns = 0;
    else if (operation->unanswered_ns == 0)
        operation->unanswered_ns = controller->now_ns;
}

/* For how long the store is in the way of this taking, and how. 0: it is not. */
static double store_in_the_way(const struct cw_controller *controller, const struct cw_operation *operation,
                               const char **how)
{
    uint64_t silent_ms = cw_store_silent_ms(controller->store);
    uint64_t failed_ns = operation->unanswered_ns ? controller->now_ns - operation->unanswered_ns : 0;
    double full_seconds = cw_store_full_seconds(controller);
    *how = silent_ms >= STORE_LIMIT_MS ? "has no quorum that answers" : "takes no changes";
    if (silent_ms >= STORE_LIMIT_MS)
        return (double)silent_ms / 1e3;
    if (full_seconds > 0)
        return full_seconds;
    return failed_ns >= STORE_LIMIT_MS * CW_MS ? (double)failed_ns / 1e9 : 0;
}

/* Without the store nobody is promoted: who waits is told why, and what is next, as soon as that is clear.
 * What tokens permit, and what nobody asked for, is judged elsewhere. true: it has ended. */
static bool is_store_lost(struct cw_controller *controller, struct cw_operation *operation,
                          const struct cw_store_group *group)
{
    const char *how, *wrong = cw_store_wrong(controller), *site = controller->config.site;
    bool is_promotion = operation->kind == CW_OP_PROMOTE;
    double seconds = store_in_the_way(controller, operation, &how);
    char tokens[160] = "", command[100];
    if (operation->is_automatic || operation->outside_epoch || seconds <= 0)
        return false;
    snprintf(command, sizeof command, "causeway %s %.31s --site %.31s",
             is_promotion ? "promote" : "switchover", group->name, site);
    if (is_promotion && controller->config.break_glass.threshold && cw_store_silent_ms(controller->store))
        snprintf(tokens, sizeof tokens, "; if its members are gone for good: %s --break-glass", command);
    cw_operation_end(controller, operation, operation->is_open_sent ? 1 : 3,
                     "the store %.60s %s, for %.0f s: %.250s. %s. When it is mended: %s%s",
                     controller->store_name, how, seconds, wrong[0] ? wrong : "locked by another program?",
                     operation->is_open_sent
                         ? "If the claim is written all the same, causeway status shows it then"
                         : "Nothing was changed",
                     command, tokens);
    return true;
}

static void run_taking(struct cw_controller *controller, struct cw_operation *operation)
{
    const struct cw_store_group *found = cw_view_group_by_id(controller->view, operation->group);
    const json_t *engine = cw_engine_group(controller, operation->group);
    struct cw_work *work = cw_work_of(controller, operation->group);
    struct cw_candidate candidate;
    if (!found || !work || found->is_deleting) {
        cw_operation_end(controller, operation, 1, "the group was deleted");
        return;
    }
    struct cw_store_group group = *found; /* what follows may load the view anew */
    if (group.authority.epoch >= operation->outside_epoch && is_primary_here(controller, &group, engine)) {
        end_taken(controller, operation, &group, engine);
        return;
    }
    if (operation->moved_ns) { /* and has gone on since */
        cw_operation_end(controller, operation, 0, "%s was primary of %s, and is no longer: causeway status",
                         controller->config.site, group.name);
        return;
    }
    if (is_store_lost(controller, operation, &group) ||
        !may_break_glass(controller, operation, &group, work, engine))
        return;
    note_lacked(controller, operation, &group);
    if (!cw_candidate_here(controller, &group, &candidate)) {
        const char *why = cw_view_place_error(controller->view, operation->group, controller->config.site);
        cw_operation_say(operation, "waiting for the engine of %s%s%s", controller->config.site,
                         why[0] ? ": " : "", why);
        return;
    }
    if (is_called_off(controller, operation, &group))
        return;
    if (controller->engine.status_at_ns < operation->started_ns)
        return; /* judged by what the engine says now, not by what it said before */
    if (!operation->is_open_sent && !may_go_on(controller, operation, &group, &candidate))
        return;
    if (operation->is_open_sent)
        watch_opening(controller, operation, &group, engine);
    else if (!group.authority.holder[0] || strcmp(group.authority.holder, controller->config.site) == 0)
        open_taken(controller, operation, &group, work);
    else
        wait_for_holder(controller, operation, &group, work);
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
    cw_operation_end(controller, operation, 1, "%.440s (%s)", words,
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
        struct cw_store_group gone = *group;
        gone.is_deleting = true;
        undo(controller, operation, failed, cw_store_group_update(controller->store, &gone));
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
            run_taking(controller, operation);
        }
    }
}
