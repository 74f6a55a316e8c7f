/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The steps of a promotion or switchover to this site (operations.c says who waits for it).
 *
 * A promotion never opens before the old holder's fence is confirmed or its lease has run out: an engine that
 * gathered earlier could miss what the old primary acknowledged afterwards.
 */
#include <stdio.h>
#include <string.h>

#include "control/automatic.h"
#include "control/controller.h"

#define LEVEL_LIMIT_NS (5 * CW_SECOND)
#define HEARTBEAT_NS   (1 * CW_SECOND)
#define PAUSE_TOLD_NS  (2500 * CW_MS)
#define ENGINE_GONE_NS (3 * CW_SECOND) /* one that is started anew at once is back before */
#define STORE_LIMIT_MS 6000u           /* one that elects a leader is silent for less */
#define OPEN_LOST_NS   (2 * CW_SECOND) /* an opening answered so long ago shows in the status, or is lost */

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

/* Whatever it waits for meanwhile, its own engine included: a request that lapses lets the holder open again.
 */
static void keep_alive(struct cw_controller *controller, struct cw_operation *operation,
                       const struct cw_store_group *group, const struct cw_work *work)
{
    if (operation->asked_ns && operation->from_epoch == group->authority.epoch)
        (void)keep_asking(controller, operation, group, work);
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
    if (candidate->lacks[0])
        snprintf(
            verdict.words, sizeof verdict.words,
            "%s lacks volume %s of %s, and could not serve it: causeway explain %s says what stands in its "
            "way",
            site, candidate->lacks, group->name, group->name);
    else if (candidate->image != CW_WORD_WHOLE || candidate->is_foreign)
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
 * What tokens permit is judged elsewhere. true: it has ended. */
static bool is_store_lost(struct cw_controller *controller, struct cw_operation *operation,
                          const struct cw_store_group *group)
{
    const char *how, *wrong = cw_store_wrong(controller), *site = controller->config.site;
    bool is_promotion = operation->kind == CW_OP_PROMOTE;
    double seconds = store_in_the_way(controller, operation, &how);
    char tokens[160] = "", command[100];
    if (operation->outside_epoch || seconds <= 0)
        return false;
    if (operation->is_automatic) { /* it is tried again */
        cw_operation_end(controller, operation, 1, "the store %.60s %s, for %.0f s: %.250s",
                         controller->store_name, how, seconds, wrong[0] ? wrong : "it does not say why");
        return true;
    }
    snprintf(command, sizeof command, "causeway %s %.31s --site %.31s",
             is_promotion ? "promote" : "switchover", group->name, site);
    if (is_promotion && controller->config.break_glass.threshold && cw_store_silent_ms(controller->store))
        snprintf(tokens, sizeof tokens, "; if its members are gone for good: %s --break-glass", command);
    cw_operation_end(
        controller, operation, operation->is_open_sent ? 1 : 3,
        "the store %.60s %s, for %.0f s: %.250s. %s. When it is mended: %s%s", controller->store_name, how,
        seconds, wrong[0] ? wrong : "locked by another program?",
        operation->is_open_sent ? "If the claim is written all the same, causeway status shows it then"
        : operation->asked_ns ? "What the holder was asked for is taken back as soon as the store takes that"
                              : "Nothing was changed",
        command, tokens);
    return true;
}

static void end_without_engine(struct cw_controller *controller, struct cw_operation *operation,
                               const struct cw_store_group *group)
{
    const char *site = controller->config.site, *holder = group->authority.holder;
    const char *how = controller->engine.is_registered ? "does not answer" : "has ended, and is not back";
    char back[120] = "";
    if (operation->asked_ns)
        snprintf(back, sizeof back, ". The request is taken back: %.31s opens it again, if it is there",
                 holder);
    if (strcmp(holder, site) == 0)
        cw_operation_end(
            controller, operation, 1,
            "%s holds %s, and its engine %s: see its log in %s. It opens when the engine is there "
            "again; at another site: causeway promote %s --site SITE",
            site, group->name, how, controller->config.directory, group->name);
    else
        cw_operation_end(controller, operation, 1,
                         "the engine of %s %s: see its log in %s%s. When the engine is back: causeway %s %s "
                         "--site %s",
                         site, how, controller->config.directory, back,
                         operation->kind == CW_OP_SWITCHOVER ? "switchover" : "promote", group->name, site);
}

/* Without this site's own engine nothing goes on. One that is not back soon ends it: the holder is kept from
 * opening for nothing. */
static bool has_engine(struct cw_controller *controller, struct cw_operation *operation,
                       const struct cw_store_group *group)
{
    if (cw_site_is_heard(controller, controller->config.site)) {
        operation->engine_gone_ns = 0;
        return true;
    }
    if (operation->engine_gone_ns == 0)
        operation->engine_gone_ns = controller->now_ns;
    if (!controller->engine.is_registered)
        operation->is_open_sent = false; /* the next engine knows nothing of it */
    cw_operation_say(operation, "waiting for the engine of %s to be back", controller->config.site);
    if (controller->now_ns - operation->engine_gone_ns >= ENGINE_GONE_NS)
        end_without_engine(controller, operation, group);
    return false;
}

void cw_taking_run(struct cw_controller *controller, struct cw_operation *operation)
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
    keep_alive(controller, operation, &group, work);
    if (operation->is_done || !has_engine(controller, operation, &group))
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
