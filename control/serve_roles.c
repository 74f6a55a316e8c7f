/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * promote, switchover, operation. They begin an operation; what is unsafe is refused by
 * it, in words, before anything moves (operations.c).
 */
#include <stdio.h>
#include <string.h>

#include "control/serve.h"

#define PROMOTE_LIMIT_NS    (60 * CW_SECOND) /* beside the lease */
#define SWITCHOVER_LIMIT_NS (60 * CW_SECOND)

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
    if (cw_operation_taking(controller, group->id))
        return cw_answer(message, 1, "%s is already taking %s", site, group->name);
    if (group->is_deleting)
        return cw_answer(message, 1, "group %s is being deleted", group->name);
    if (!controller->engine.is_registered)
        return cw_answer(message, 1, "the engine of %s does not answer: see its log in %s",
                         controller->config.site, controller->config.directory);
    return NULL;
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
    cw_event(controller, 1, group->name, "%s to %s was asked for%s%s",
             kind == CW_OP_PROMOTE ? "promotion" : "switchover", controller->config.site,
             operation->accept_loss ? ", loss accepted" : "",
             operation->inconsistent ? ", inconsistent" : "");
    return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)operation->id));
}

json_t *cw_serve_promote(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_group group;
    json_t *reply = look_first(controller, message, &group);
    if (reply)
        return reply;
    return start_taking(controller, message, CW_OP_PROMOTE, &group,
                        controller->config.lease_ms * CW_MS + PROMOTE_LIMIT_NS);
}

json_t *cw_serve_switchover(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_group group;
    json_t *reply = look_first(controller, message, &group);
    if (reply)
        return reply;
    const char *holder = group.authority.holder, *site = controller->config.site;
    if (!holder[0])
        return cw_answer(message, 3, "group %s was never open: causeway promote %s --site %s", group.name,
                         group.name, site);
    if (strcmp(holder, site) != 0 && cw_site_is_silent(controller, holder))
        return cw_answer(
            message, 3,
            "%s does not answer, and a switchover needs both sides. Bring it back (causeway lab start "
            "%s), or take over without it: causeway promote %s --site %s",
            holder, holder, group.name, site);
    return start_taking(controller, message, CW_OP_SWITCHOVER, &group, SWITCHOVER_LIMIT_NS);
}

json_t *cw_serve_operation(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    const struct cw_operation *operation =
        cw_operation_find(controller, cw_json_u64(message->params, "id", 0));
    if (!operation)
        return cw_fail(message, "that command is not known here any more: see causeway status");
    return cw_rpc_result(message->id, json_pack("{s:b,s:i,s:s}", "done", operation->is_done, "exit",
                                                operation->exit, "words", operation->words));
}
