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
#include <unistd.h>

#define AUDIT_CHECK_LINES 2000u
#define AUDIT_LINES_MAX   100ul /* of an answer */
static_assert(AUDIT_LINES_MAX * (2 * CW_BOOK_TEXT_MAX + 512) < CW_RPC_LINE_MAX, "an answer fits in a line");

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

json_t *cw_fail_store(struct cw_controller *controller, const struct cw_rpc_message *message,
                      const char *what, enum cw_status status)
{
    const char *trouble =
        status == CW_STALE ? "others change the same all the time" : cw_store_trouble(controller->store);
    return cw_answer(message, 1,
                     "the store did not take %s%s%s. See causeway status, and give the command again", what,
                     *trouble ? ": " : "", trouble);
}

json_t *cw_go_elsewhere(struct cw_controller *controller, const struct cw_rpc_message *message,
                        const char *site)
{
    const struct cw_store_site *found = cw_view_site(controller->view, site);
    if (cw_links_leads_to(controller, site) && !controller->mesh.is_forwarded)
        return cw_links_forward(controller, controller->asking_client, message, site, message->method,
                                json_incref(message->params));
    if (!found)
        return cw_answer(message, 2, "no site is called %.40s: see causeway status", site);
    if (controller->mesh.is_forwarded)
        return cw_answer(message, 1, "%s cannot do that, but %s: try again", controller->config.site, site);
    return cw_rpc_error(message->id, CW_RPC_FAILED, "another site does that",
                        json_pack("{s:i,s:s,s:s}", "exit", 1, "site", site, "socket", found->control_socket));
}

bool cw_view_refresh(struct cw_controller *controller)
{
    uint64_t version = cw_store_version(controller->store);
    if (controller->is_view_copied)
        return true; /* the store is older than this copy of it */
    if (version != 0 && version == controller->view->version)
        return true;
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
    for (uint32_t i = 0; i < CW_REMOTES_MAX; i++) {
        if (controller->remotes[i].serial == serial)
            return &controller->remotes[i];
    }
    return NULL;
}

/* What only tells, whatever its parameters. */
static bool is_look_only(const char *method)
{
    static const char *const methods[] = {"status", "events", "engine.hello", "trace.dump"};
    for (size_t i = 0; i < CW_COUNT_OF(methods); i++) {
        if (strcmp(methods[i], method) == 0)
            return true;
    }
    return false;
}

static bool is_lab_method(const char *method)
{
    return strncmp(method, "lab.", 4) == 0;
}

bool cw_is_of_lab(const struct cw_controller *controller)
{
    char file[sizeof controller->config.directory + 16];
    snprintf(file, sizeof file, "%s/../lab.json", controller->config.directory);
    return access(file, F_OK) == 0;
}

/* What moves no role and takes nothing from anybody: samples; in a lab load and faults, too. Elsewhere load is
 * written over somebody's data. */
static bool is_engine_harmless(const struct cw_controller *controller, const char *method)
{
    bool is_play = strncmp(method, "direct.", 7) == 0 || is_lab_method(method);
    return is_look_only(method) || strcmp(method, "path.log") == 0 || strcmp(method, "direct.stats") == 0 ||
           (is_play && cw_is_of_lab(controller));
}

static const char *words_of_exit(int exit)
{
    return exit == 0 ? "done" : exit == 3 ? "refused" : "failed";
}

static void on_forwarded(struct cw_controller *controller, const struct cw_engine_call *call,
                         const json_t *result, const char *status, const char *words)
{
    struct cw_client *client = client_of(controller, call->client);
    struct cw_asking asking;
    int exit = result ? 0 : strcmp(status, "refused") == 0 ? 3 : 1;
    if (cw_asking_from_json(json_object_get(call->kept, "asking"), &asking))
        cw_audit(controller, &asking, words_of_exit(exit), exit, *words || result ? words : status, 0);
    if (!client || call->client == 0)
        return;
    json_t *id = json_object_get(call->kept, "id");
    json_t *reply = result ? cw_rpc_result(id, json_incref((json_t *)result))
                           : cw_rpc_error(id, CW_RPC_FAILED, *words ? words : status,
                                          json_pack("{s:i,s:s}", "exit", exit, "status", status));
    /* A client that does not take it is found dead by the loop. */
    (void)cw_rpc_connection_send(&client->connection, reply);
}

/* However much is asked for, the controller's own calls have their places. NULL: there is room. */
static json_t *refuse_many(const struct cw_controller *controller, const struct cw_client *client,
                           const struct cw_rpc_message *message)
{
    uint32_t own = 0, all = 0;
    for (uint32_t i = 0; i < CW_CALLS_MAX; i++) {
        const struct cw_engine_call *call = &controller->engine.calls[i];
        all += call->id != 0 && call->client != 0;
        own += call->id != 0 && call->client == client->serial;
    }
    if (own < CW_CALLS_EACH_MAX && all < CW_CALLS_GIVEN_MAX)
        return NULL;
    return cw_answer(message, 3,
                     "the engine of %s has %u calls %s to answer: wait for one of them, then ask again",
                     controller->config.site, own < CW_CALLS_EACH_MAX ? all : own,
                     own < CW_CALLS_EACH_MAX ? "of those who ask here" : "of this connection");
}

static json_t *forward(struct cw_controller *controller, struct cw_client *client,
                       const struct cw_rpc_message *message, const char *method, json_t *parameters)
{
    json_t *refusal = refuse_many(controller, client, message);
    if (refusal) {
        json_decref(parameters);
        return refusal;
    }
    struct cw_engine_call call = {
        .answer = on_forwarded, .kept = json_pack("{s:O}", "id", message->id), .client = client->serial};
    if (!cw_rpc_may_pass_on(parameters)) {
        json_decref(call.kept);
        json_decref(parameters);
        return cw_misuse(message, "these parameters are too long for an engine");
    }
    if (!is_engine_harmless(controller, method)) /* its line comes with the answer */
        json_object_set_new(call.kept, "asking", cw_asking_to_json(controller->asking));
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
    if (is_lab_method(method) && !cw_is_of_lab(controller))
        return cw_answer(message, 3,
                         "%.40s plays a fault, and %s is no site of a lab: causeway lab up makes one", method,
                         controller->config.site);
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
    json_t *events = cw_book_events(controller->book, cw_json_u64(message->params, "after", 0),
                                    (uint32_t)CW_MIN(CW_MAX(limit, 1ul), 1000ul));
    return cw_rpc_result(message->id, json_pack("{s:o}", "events", events));
}

/* The audit that this site has, of all sites. With "check" a piece of it is looked through: who asks on until
 * "rounds" is two more has had all of it looked through since he began. */
static json_t *serve_audit(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    uint64_t limit = cw_json_u64(message->params, "limit", 100);
    if (cw_json_bool(message->params, "check", false))
        cw_audit_check(controller, AUDIT_CHECK_LINES);
    json_t *lines = cw_book_audit(controller->book, cw_json_u64(message->params, "after", 0),
                                  (uint32_t)CW_MIN(CW_MAX(limit, 1ul), AUDIT_LINES_MAX));
    return cw_rpc_result(message->id,
                         json_pack("{s:o,s:s,s:I}", "lines", lines, "damage", controller->audit_damage,
                                   "rounds", (json_int_t)controller->audit_rounds));
}

/* ---------------------------------------------------------------- the table */

/* To look, a viewer will do; to change, it takes an operator, and it is a line of audit. */
enum need { LOOK = 0, CHANGE, ENGINE };

static const struct method {
    const char *name;
    cw_method *method;
    json_t *(*method_with_client)(struct cw_controller *, struct cw_client *, const struct cw_rpc_message *);
    enum need need;
} methods[] = {
    {"hello", serve_hello, NULL, LOOK},
    {"status", serve_status, NULL, LOOK},
    {"events", serve_events, NULL, LOOK},
    {"audit", serve_audit, NULL, LOOK},
    {"survey", cw_serve_survey, NULL, LOOK},
    {"explain", cw_serve_explain, NULL, LOOK},
    {"group.create", cw_serve_group_create, NULL, CHANGE},
    {"group.set", cw_serve_group_set, NULL, CHANGE},
    {"group.delete", cw_serve_group_delete, NULL, CHANGE},
    {"volume.create", cw_serve_volume_create, NULL, CHANGE},
    {"volume.delete", cw_serve_volume_delete, NULL, CHANGE},
    {"volume.attach", cw_serve_volume_attach, NULL, CHANGE},
    {"volume.detach", cw_serve_volume_detach, NULL, CHANGE},
    {"promote", cw_serve_promote, NULL, CHANGE},
    {"switchover", cw_serve_switchover, NULL, CHANGE},
    {"failback", cw_serve_failback, NULL, CHANGE},
    {"evacuate", cw_serve_evacuate, NULL, CHANGE},
    {"evacuate.plan", cw_serve_evacuate_plan, NULL, LOOK},
    {"operation", cw_serve_operation, NULL, LOOK},
    {"store.show", cw_serve_store_show, NULL, LOOK},
    {"store.plan", cw_serve_store_plan, NULL, LOOK},
    {"store.rebuild", cw_serve_store_rebuild, NULL, CHANGE},
    {"losses", cw_serve_losses, NULL, LOOK},
    {"losses.list", cw_serve_losses_list, NULL, LOOK},
    {"resync", NULL, serve_resync, CHANGE},
    {"engine", NULL, serve_engine, ENGINE},
};

static const char *words_of_operators(const struct cw_controller *controller)
{
    return controller->config.has_operators ? "root, the controller's user, the group of sockets.operators, "
                                              "or a certificate of cert issue --operator"
                                            : "a certificate of cert issue --operator";
}

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < CW_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    }
    return NULL;
}

static bool is_change(const struct cw_controller *controller, const struct method *method,
                      const struct cw_rpc_message *message, bool is_audited)
{
    const char *engine = cw_json_text(message->params, "method", "");
    if (method->need != ENGINE)
        return method->need == CHANGE;
    return is_audited ? !is_engine_harmless(controller, engine) : !is_look_only(engine);
}

/* The line of what was answered at once. One that goes on has its last line when it ends; what another site
 * does has one there. */
static void audit_reply(struct cw_controller *controller, const struct cw_asking *asking, const json_t *reply)
{
    const json_t *error = json_object_get(reply, "error"), *data = json_object_get(error, "data");
    uint64_t operation = cw_json_u64(json_object_get(reply, "result"), "operation", 0);
    int exit = error ? (int)cw_json_u64(data, "exit", 1) : 0;
    if (!reply || json_object_get(data, "socket"))
        return;
    cw_audit(controller, asking, operation ? "begun" : words_of_exit(exit), exit,
             cw_json_text(error, "message", ""), operation);
}

static json_t *run(struct cw_controller *controller, struct cw_client *client, const struct method *method,
                   const struct cw_rpc_message *message)
{
    (void)cw_view_refresh(controller); /* another controller may just have written: a site, a group */
    bool is_rebuild = method->method == cw_serve_store_rebuild; /* for which the store need not be whole */
    if (method->need == CHANGE && cw_store_fault(controller->store)[0] && !is_rebuild)
        return cw_refuse(message, cw_store_fault(controller->store));
    if (method->need == CHANGE && controller->store_behind[0] && !is_rebuild)
        return cw_refuse(message, controller->store_behind);
    if (method->need == CHANGE && !controller->is_store_begun && !is_rebuild)
        return cw_answer(message, 1, "the store %s has not answered yet since this controller started: %s",
                         controller->store_name, cw_store_trouble(controller->store));
    char words[700];
    const struct cw_store_group *group =
        cw_view_group(controller->view, cw_json_text(message->params, "group", ""));
    if (method->need == CHANGE && !is_rebuild && group &&
        cw_unreadable_words(controller, group->id, words, sizeof words))
        return cw_refuse(message, words);
    return method->method ? method->method(controller, message)
                          : method->method_with_client(controller, client, message);
}

json_t *cw_serve(struct cw_controller *controller, struct cw_client *client,
                 const struct cw_rpc_message *message)
{
    if (client->asker.role == CW_LINK_CONTROLLER)
        return cw_links_serve(controller, client, message);
    return cw_serve_for(controller, client, &client->asker, message);
}

/* Nobody would learn that it was done, and who asked has perhaps done something else since: a controller that
 * stood still does not do then what it was asked for long ago. */
static json_t *drop_gone(struct cw_controller *controller, const struct cw_client *client,
                         const struct cw_asking *asking, const struct method *method,
                         const struct cw_rpc_message *message)
{
    static const char words[] = "the one who asked has gone";
    if (!method || !is_change(controller, method, message, true) || asking->asker.role < CW_LINK_OPERATOR ||
        !cw_rpc_connection_is_gone(&client->connection))
        return NULL; /* a viewer is refused, here or where it leads, which has a limit of its own */
    cw_audit(controller, asking, "dropped", 1, words, 0);
    return cw_fail(message, words);
}

bool cw_serve_gone(struct cw_controller *controller, const struct cw_client *client,
                   const struct cw_rpc_message *message)
{
    struct cw_rpc_message inner = *message;
    struct cw_asking asking;
    if (strcmp(message->method, "at") == 0) {
        inner.method = cw_json_text(message->params, "method", "");
        inner.params = json_object_get(message->params, "params");
    }
    cw_asking_fill(&asking, &client->asker, inner.method, inner.params);
    json_t *reply = drop_gone(controller, client, &asking, find_method(inner.method), &inner);
    json_decref(reply);
    return reply != NULL;
}

/* A command for the controller of one site, given at any. */
static json_t *serve_at(struct cw_controller *controller, struct cw_client *client,
                        const struct cw_asker *asker, const struct cw_rpc_message *message)
{
    const char *site = cw_json_text(message->params, "site", "");
    struct cw_rpc_message inner = *message;
    struct cw_asking asking;
    inner.method = cw_json_text(message->params, "method", "");
    inner.params = json_object_get(message->params, "params");
    if (strcmp(inner.method, "at") == 0 || (inner.params && !json_is_object(inner.params)))
        return cw_misuse(message, "at is for a method and its parameters");
    if (strcmp(site, controller->config.site) == 0)
        return cw_serve_for(controller, client, asker, &inner);
    cw_asking_fill(&asking, asker, inner.method, inner.params);
    json_t *reply = drop_gone(controller, client, &asking, find_method(inner.method), &inner);
    if (reply)
        return reply;
    controller->asking = &asking;
    controller->asking_client = client;
    reply = cw_go_elsewhere(controller, &inner, site);
    controller->asking = NULL;
    return reply;
}

/* What he who asks is told beside what came of it. */
static void add_note(const struct cw_controller *controller, json_t *result)
{
    char note[CW_BOOK_WORDS_SIZE + CW_BOOK_FILE_SIZE + 100];
    if (!cw_book_wrong(controller)[0] || !json_is_object(result))
        return;
    snprintf(note, sizeof note, "the line of the audit is in memory at %s, and could not be written: %s",
             controller->config.site, cw_book_wrong(controller));
    json_object_set_new(result, "note", json_string(note));
}

json_t *cw_serve_for(struct cw_controller *controller, struct cw_client *client, const struct cw_asker *asker,
                     const struct cw_rpc_message *message)
{
    struct cw_asking asking;
    const struct method *method = find_method(message->method);
    if (strcmp(message->method, "at") == 0)
        return serve_at(controller, client, asker, message);
    if (!method)
        return cw_rpc_error(message->id, CW_RPC_METHOD, "this controller knows no such method", NULL);
    cw_asking_fill(&asking, asker, message->method, message->params);
    if (is_change(controller, method, message, false) && asker->role < CW_LINK_OPERATOR) {
        cw_audit_refused(controller, &asking, "an operator may do that, a viewer may look");
        return cw_answer(message, 3, "%s may look and change nothing: that takes an operator (%s)",
                         asker->who, words_of_operators(controller));
    }
    json_t *reply = drop_gone(controller, client, &asking, method, message);
    if (reply)
        return reply;
    controller->asking = &asking;
    controller->asking_client = client;
    reply = run(controller, client, method, message);
    controller->asking = NULL;
    if (is_change(controller, method, message, true)) {
        audit_reply(controller, &asking, reply);
        add_note(controller, json_object_get(reply, "result"));
    }
    return reply;
}
