/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * promote, switchover, failback, operation. They begin an operation; what is unsafe is refused by
 * it, in words, before anything moves (taking.c).
 */
#include <stdio.h>
#include <string.h>

#include "control/automatic.h"
#include "control/serve.h"

#define PROMOTE_LIMIT_NS    (60 * CW_SECOND) /* beside the lease */
#define SWITCHOVER_LIMIT_NS (60 * CW_SECOND)

/* Can this site take it at all? NULL: yes. */
static json_t *look_here(struct cw_controller *controller, const struct cw_rpc_message *message,
                         const struct cw_store_group *group)
{
    if (group->is_deleting)
        return cw_answer(message, 1, "group %s is being deleted", group->name);
    if (!controller->engine.is_registered)
        return cw_answer(message, 1, "the engine of %s does not answer: see its log in %s",
                         controller->config.site, controller->config.directory);
    return NULL;
}

static json_t *answer_taking(const struct cw_rpc_message *message, const struct cw_store_group *group,
                             const char *site)
{
    return cw_answer(message, 3, "%s is already taking %s: wait for that to end (causeway status)", site,
                     group->name);
}

/* What promote and switchover have in common before anything is decided. NULL: go on with *group. */
static json_t *look_first(struct cw_controller *controller, const struct cw_rpc_message *message,
                          struct cw_store_group *group)
{
    json_t *reply = NULL;
    const char *site = cw_json_text(message->params, "site", controller->config.site);
    const struct cw_store_group *found = cw_asked_group(controller, message, &reply);
    if (!found)
        return reply;
    *group = *found;
    if (!cw_group_has_site(group, site))
        return cw_answer(message, 2, "%.40s is no site of group %s", site, group->name);
    if (strcmp(site, controller->config.site) != 0)
        return cw_go_elsewhere(controller, message, site);
    return look_here(controller, message, group);
}

static json_t *start_taking(struct cw_controller *controller, const struct cw_rpc_message *message,
                            enum cw_operation_kind kind, const struct cw_store_group *group,
                            uint64_t limit_ns)
{
    struct cw_operation *operation = cw_operation_start(controller, kind, group->id, limit_ns);
    if (!operation)
        return cw_fail(message, "too many commands at once: try again");
    operation->accept_loss = cw_json_bool(message->params, "accept_loss", false);
    operation->inconsistent = cw_json_bool(message->params, "inconsistent", false);
    snprintf(operation->only_from, sizeof operation->only_from, "%.31s",
             cw_json_text(message->params, "from", ""));
    if (cw_json_bool(message->params, "break_glass", false))
        operation->outside_epoch = cw_outside_permitted(controller->store, group->id);
    cw_event(controller, 1, group->name, "%s to %s was asked for%s%s",
             kind == CW_OP_PROMOTE ? "promotion" : "switchover", controller->config.site,
             operation->accept_loss ? ", loss accepted" : "",
             operation->inconsistent ? ", inconsistent" : "");
    return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)operation->id));
}

/* Without a loss accepted, of a mode without a set, whose primary lives: a switchover is what is meant. Where
 * a copy is not finished that would not do either, and whoever judges the promotion says so. */
static bool should_switch_over(struct cw_controller *controller, const struct cw_rpc_message *message,
                               const struct cw_store_group *group)
{
    struct cw_candidate candidate;
    const char *holder = group->authority.holder;
    return !cw_mode_word_has_set(group->mode) && !cw_json_bool(message->params, "accept_loss", false) &&
           holder[0] && strcmp(holder, controller->config.site) != 0 &&
           cw_site_is_heard(controller, holder) && cw_candidate_here(controller, group, &candidate) &&
           candidate.image == CW_WORD_WHOLE;
}

/* Would a promotion that takes the place of an automatic one be refused at once? Then that one goes on. NULL:
 * no. */
static json_t *judge_against(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group)
{
    const char *site = controller->config.site;
    struct cw_candidate candidate;
    if (!cw_candidate_at(controller, group, site, &candidate))
        return NULL;
    candidate.accept_loss = cw_json_bool(message->params, "accept_loss", false);
    candidate.inconsistent = cw_json_bool(message->params, "inconsistent", false);
    struct cw_verdict verdict = cw_decide_candidate(&group->authority, &candidate);
    if (verdict.answer == CW_ANSWER_YES)
        return NULL;
    return cw_answer(message, 3, "%s. Meanwhile %s takes %s over by itself, within what it may lose",
                     verdict.words, site, group->name);
}

json_t *cw_serve_promote(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_group group;
    json_t *reply = look_first(controller, message, &group);
    if (reply)
        return reply;
    struct cw_operation *running = cw_operation_taking(controller, group.id);
    if (running && !running->is_automatic)
        return answer_taking(message, &group, controller->config.site);
    if (running && (reply = judge_against(controller, message, &group)) != NULL)
        return reply;
    bool is_by_tokens = cw_json_bool(message->params, "break_glass", false);
    const char *holder = group.authority.holder, *site = controller->config.site;
    if (!is_by_tokens && should_switch_over(controller, message, &group))
        return cw_answer(
            message, 3,
            "%s is primary of %s and answers, and in %s %s may lack what was acknowledged there. To move "
            "it with nothing lost: causeway switchover %s --site %s. To go on without those writes: "
            "causeway promote %s --site %s --accept-loss",
            holder, group.name, cw_mode_word_name(group.mode), site, group.name, site, group.name, site);
    if (is_by_tokens && (reply = cw_break_glass_judge(controller, message, &group)) != NULL)
        return reply;
    if (running)
        cw_automatic_give_way(controller, running);
    reply = start_taking(controller, message, CW_OP_PROMOTE, &group,
                         controller->config.lease_ms * CW_MS + PROMOTE_LIMIT_NS);
    if (!cw_operation_taking(controller, group.id))
        cw_outside_withdraw(controller->store, group.id);
    return reply;
}

/* To this site. One that is on its way already is joined: who asks twice waits for the same. */
static json_t *switch_over(struct cw_controller *controller, const struct cw_rpc_message *message,
                           const struct cw_store_group *found)
{
    struct cw_store_group group = *found;
    struct cw_operation *running = cw_operation_taking(controller, group.id);
    const char *holder = group.authority.holder, *site = controller->config.site;
    if (running && running->kind == CW_OP_SWITCHOVER)
        return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)running->id));
    if (running && !running->is_automatic)
        return answer_taking(message, &group, site);
    if (cw_authority_is_unknown(&group.authority))
        return cw_answer(
            message, 3,
            "who held group %s last is not known since the store was rebuilt, so there is nobody to "
            "take it from. Find out which site has the newest writes (causeway status, causeway "
            "losses %s), and open it there: causeway promote %s --site SITE --accept-loss",
            group.name, group.name, group.name);
    if (!holder[0])
        return cw_answer(message, 3, "group %s was never open: causeway promote %s --site %s", group.name,
                         group.name, site);
    if (strcmp(holder, site) != 0 && cw_site_is_silent(controller, holder))
        return cw_answer(
            message, 3,
            "%s does not answer, and a switchover needs both sides. Bring it back (%s %s), or take over "
            "without it: causeway promote %s --site %s",
            holder, cw_is_of_lab(controller) ? "causeway lab start" : "start engine and controller of",
            holder, group.name, site);
    if (running)
        cw_automatic_give_way(controller, running);
    return start_taking(controller, message, CW_OP_SWITCHOVER, &group, SWITCHOVER_LIMIT_NS);
}

json_t *cw_serve_switchover(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_group group;
    json_t *reply = look_first(controller, message, &group);
    return reply ? reply : switch_over(controller, message, &group);
}

/* A switchover to where the group belongs. Whoever is asked refuses what he sees to be of no use; the rest is
 * decided at home. */
json_t *cw_serve_failback(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_group *found = cw_asked_group(controller, message, &reply);
    if (!found)
        return reply;
    struct cw_store_group group = *found;
    const char *home = group.home, *holder = group.authority.holder;
    if (strcmp(holder, home) == 0)
        return cw_answer(
            message, 3,
            "%s is primary of %s, and that is where it belongs: nothing is to be moved. Another home: "
            "causeway group set %s home=SITE",
            home, group.name, group.name);
    if (cw_site_is_silent(controller, home))
        return cw_answer(
            message, 3,
            "%s, where %s belongs, does not answer. Bring it back and let it catch up first (causeway "
            "status); %s stays primary",
            home, group.name, holder[0] ? holder : "nobody");
    if (strcmp(home, controller->config.site) != 0)
        return cw_go_elsewhere(controller, message, home);
    reply = look_here(controller, message, &group);
    return reply ? reply : switch_over(controller, message, &group);
}

json_t *cw_serve_operation(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    const char *site = cw_json_text(message->params, "site", controller->config.site);
    if (strcmp(site, controller->config.site) != 0)
        return cw_go_elsewhere(controller, message, site);
    const struct cw_operation *operation =
        cw_operation_find(controller, cw_json_u64(message->params, "id", 0));
    if (!operation)
        return cw_fail(message, "that command is not known here any more: see causeway status");
    json_t *result = json_pack("{s:b,s:i,s:s,s:b}", "done", operation->is_done, "exit", operation->exit,
                               "words", operation->words, "moved", operation->moved_ns != 0);
    json_t *pause = operation->moved_ns ? cw_pause_json(&operation->pause) : NULL;
    if (pause)
        json_object_set_new(result, "pause", pause);
    return cw_rpc_result(message->id, result);
}
