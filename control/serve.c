/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the command line may ask. A method answers at once; what takes long is an operation, whose number is
 * the answer and whose progress is asked for. A command that only another site can do is answered with that
 * site's socket, and the asker goes there.
 */
#include "control/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *answer_error(const struct cw_rpc_message *message, int exit, const char *words)
{
    return cw_rpc_error(message->id, exit == 2 ? CW_RPC_PARAMS : CW_RPC_FAILED, words,
                        json_pack("{s:i}", "exit", exit));
}

json_t *cw_refuse(const struct cw_rpc_message *message, const char *words)
{
    return answer_error(message, 3, words);
}

json_t *cw_fail(const struct cw_rpc_message *message, const char *words)
{
    return answer_error(message, 1, words);
}

json_t *cw_misuse(const struct cw_rpc_message *message, const char *words)
{
    return answer_error(message, 2, words);
}

json_t *cw_answer(const struct cw_rpc_message *message, int exit, const char *format, ...)
{
    char words[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return answer_error(message, exit, words);
}

json_t *cw_go_elsewhere(struct cw_controller *controller, const struct cw_rpc_message *message,
                        const char *site)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    if (!found)
        return cw_answer(message, 2, "no site is called %.40s: see causeway status", site);
    return cw_rpc_error(message->id, CW_RPC_FAILED, "another site does that",
                        json_pack("{s:i,s:s,s:s}", "exit", 1, "site", site, "socket", found->control_socket));
}

bool cw_view_refresh(struct cw_controller *controller)
{
    return cw_store_load(controller->store, controller->view) == CW_OK;
}

const struct cw_store_group *cw_asked_group(struct cw_controller *controller,
                                            const struct cw_rpc_message *message, json_t **reply)
{
    const char *name = cw_json_text(message->params, "group", "");
    (void)cw_view_refresh(controller);
    cw_facts_look(controller);
    const struct cw_store_group *group = cw_view_group(controller->view, name);
    if (!group)
        *reply = cw_answer(message, 1, "there is no group %.40s: see causeway status", name);
    return group;
}

/* ---------------------------------------------------------------- forwarding to the engine */

static struct cw_client *client_of(struct cw_controller *controller, int serial)
{
    for (uint32_t i = 0; i < CW_CLIENTS_MAX; i++) {
        if (controller->clients[i].serial == serial)
            return &controller->clients[i];
    }
    return NULL;
}

static void on_forwarded(struct cw_controller *controller, const struct cw_engine_call *call,
                         const json_t *result, const char *status, const char *words)
{
    struct cw_client *client = client_of(controller, call->client);
    if (!client || call->client == 0)
        return;
    json_t *reply = result
                        ? cw_rpc_result(call->kept, json_incref((json_t *)result))
                        : cw_rpc_error(call->kept, CW_RPC_FAILED, *words ? words : status,
                                       json_pack("{s:i,s:s}", "exit", strcmp(status, "refused") == 0 ? 3 : 1,
                                                 "status", status));
    /* A client that does not take it is found dead by the loop. */
    (void)cw_rpc_connection_send(&client->connection, reply);
}

static json_t *forward(struct cw_controller *controller, struct cw_client *client,
                       const struct cw_rpc_message *message, const char *method, json_t *parameters)
{
    struct cw_engine_call call = {
        .answer = on_forwarded, .kept = json_incref(message->id), .client = client->serial};
    if (controller->engine.is_registered && cw_engine_ask(controller, method, parameters, call))
        return NULL;
    json_decref(call.kept);
    return cw_answer(message, 1, "the engine of %s does not answer: see its log in %s",
                     controller->config.site, controller->config.directory);
}

static json_t *serve_engine(struct cw_controller *controller, struct cw_client *client,
                            const struct cw_rpc_message *message)
{
    json_t *parameters = json_object_get(message->params, "params");
    const char *method = cw_json_text(message->params, "method", "");
    if (strcmp(method, "control.register") == 0)
        return cw_misuse(message, "only the controller itself registers");
    return forward(controller, client, message, method,
                   json_is_object(parameters) ? json_incref(parameters) : NULL);
}

static json_t *serve_resync(struct cw_controller *controller, struct cw_client *client,
                            const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_group *group = cw_asked_group(controller, message, &reply);
    const char *site = cw_json_text(message->params, "site", "");
    if (!group)
        return reply;
    const char *holder = group->authority.holder;
    if (!cw_group_has_site(group, site))
        return cw_answer(message, 2, "%.40s is no site of group %s", site, group->name);
    if (!holder[0])
        return cw_answer(message, 1, "group %s has no primary to copy from", group->name);
    if (strcmp(site, holder) == 0)
        return cw_answer(message, 3, "%s is the primary of %s: it is what the others are copied from", site,
                         group->name);
    if (strcmp(holder, controller->config.site) != 0)
        return cw_go_elsewhere(controller, message, holder);
    cw_event(controller, 1, group->name, "a full copy to %s was asked for", site);
    return forward(controller, client, message, "group.resync",
                   json_pack("{s:i,s:s}", "group", (int)group->id, "site", site));
}

/* ---------------------------------------------------------------- looking */

static json_t *serve_hello(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *sites = json_array();
    for (uint32_t i = 0; i < controller->view->site_count; i++) {
        const struct cw_store_site *site = &controller->view->sites[i];
        json_array_append_new(sites,
                              json_pack("{s:s,s:s}", "name", site->name, "socket", site->control_socket));
    }
    return cw_rpc_result(message->id,
                         json_pack("{s:s,s:s,s:b,s:o}", "site", controller->config.site, "version",
                                   CW_VERSION, "engine", controller->engine.status != NULL, "sites", sites));
}

static json_t *serve_status(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    (void)cw_view_refresh(controller);
    cw_facts_look(controller);
    return cw_rpc_result(message->id, cw_status_public(controller));
}

static json_t *serve_events(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    uint64_t limit = cw_json_u64(message->params, "limit", 100);
    json_t *events = cw_store_events(controller->store, cw_json_u64(message->params, "after", 0),
                                     (uint32_t)CW_MIN(CW_MAX(limit, 1ul), 1000ul));
    return cw_rpc_result(message->id, json_pack("{s:o}", "events", events));
}

/* ---------------------------------------------------------------- the table */

static const struct {
    const char *name;
    cw_method *method;
    json_t *(*method_with_client)(struct cw_controller *, struct cw_client *, const struct cw_rpc_message *);
    bool is_change;
} methods[] = {
    {"hello", serve_hello, NULL, false},
    {"status", serve_status, NULL, false},
    {"events", serve_events, NULL, false},
    {"group.create", cw_serve_group_create, NULL, true},
    {"group.set", cw_serve_group_set, NULL, true},
    {"group.delete", cw_serve_group_delete, NULL, true},
    {"volume.create", cw_serve_volume_create, NULL, true},
    {"volume.delete", cw_serve_volume_delete, NULL, true},
    {"volume.attach", cw_serve_volume_attach, NULL, true},
    {"volume.detach", cw_serve_volume_detach, NULL, true},
    {"promote", cw_serve_promote, NULL, true},
    {"switchover", cw_serve_switchover, NULL, true},
    {"operation", cw_serve_operation, NULL, false},
    {"resync", NULL, serve_resync, true},
    {"engine", NULL, serve_engine, false},
};

json_t *cw_serve(struct cw_controller *controller, struct cw_client *client,
                 const struct cw_rpc_message *message)
{
    for (size_t i = 0; i < CW_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, message->method) != 0)
            continue;
        (void)cw_view_refresh(controller); /* another controller may just have written: a site, a group */
        if (methods[i].is_change && cw_store_fault(controller->store)[0])
            return cw_fail(message, cw_store_fault(controller->store));
        return methods[i].method ? methods[i].method(controller, message)
                                 : methods[i].method_with_client(controller, client, message);
    }
    return cw_rpc_error(message->id, CW_RPC_METHOD, "this controller knows no such method", NULL);
}
