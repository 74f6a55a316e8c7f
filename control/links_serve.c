/* SPDX-License-Identifier: BSD-3-Clause */
/* What controllers say to each other: what is new ("book.pull"), and what the other is to do ("forward"). */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/serve.h"

#define PULL_NS          (1 * CW_SECOND)
#define PULL_BUSY_NS     (200 * CW_MS)
#define PULL_LIMIT_NS    (3 * CW_SECOND)      /* without an answer the connection ends */
#define FORWARD_LIMIT_NS (14 * CW_SECOND)     /* the command line waits for 15 s */
#define FACTS_BYTES_MAX  (6u * 1024u * 1024u) /* of all sites in one answer */
static_assert(FACTS_BYTES_MAX + CW_RPC_LINE_MAX < CW_RPC_ANSWER_MAX, "with what the books add, it fits");

/* ---------------------------------------------------------------- calls */

static struct cw_link_call *call_begin(struct cw_controller *controller, enum cw_link_call_kind kind,
                                       uint32_t site, const char *method, json_t *params)
{
    struct cw_links *links = &controller->mesh;
    struct cw_link_call *call = NULL;
    int serial = 0;
    struct cw_rpc_connection *connection = cw_links_connection(controller, site, &serial);
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX && !call; i++)
        call = links->calls[i].kind == CW_LINK_CALL_NONE ? &links->calls[i] : NULL;
    if (!connection || !call) {
        json_decref(params);
        return NULL;
    }
    *call = (struct cw_link_call){.kind = kind,
                                  .id = ++links->last_id,
                                  .site = site,
                                  .connection = serial,
                                  .asked_ns = controller->now_ns};
    if (cw_rpc_connection_send(connection, cw_rpc_call(call->id, method, params)))
        return call;
    *call = (struct cw_link_call){0};
    cw_links_break(controller, serial, "it does not take what is sent");
    return NULL;
}

static struct cw_client *client_of(struct cw_controller *controller, int serial)
{
    for (uint32_t i = 0; serial && i < CW_CLIENTS_MAX; i++) {
        if (controller->clients[i].serial == serial)
            return &controller->clients[i];
    }
    for (uint32_t i = 0; serial && i < CW_REMOTES_MAX; i++) {
        if (controller->remotes[i].serial == serial)
            return &controller->remotes[i];
    }
    return NULL;
}

/* Hands the answer of another site on to whom it is for; takes the reply's reference. */
static void hand_on(struct cw_controller *controller, const struct cw_link_call *call, json_t *reply)
{
    struct cw_client *client = client_of(controller, call->client);
    if (client)
        (void)cw_rpc_connection_send(&client->connection, reply); /* one that is gone is found by the loop */
    else
        json_decref(reply);
}

static json_t *failure(const json_t *id, const char *words)
{
    return cw_rpc_error((json_t *)id, CW_RPC_FAILED, words, json_pack("{s:i}", "exit", 1));
}

static void end_call(struct cw_controller *controller, struct cw_link_call *slot, const char *words)
{
    struct cw_link_call call = *slot;
    char said[2 * CW_LINK_WORDS];
    *slot = (struct cw_link_call){0};
    if (call.kind == CW_LINK_CALL_FORWARD) {
        snprintf(said, sizeof said, "the controller of %s: %s", controller->config.sites[call.site].name,
                 words);
        hand_on(controller, &call, failure(call.kept, said));
    }
    json_decref(call.kept);
}

void cw_links_calls_fail(struct cw_controller *controller, int connection, const char *words)
{
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX; i++) {
        struct cw_link_call *call = &controller->mesh.calls[i];
        uint64_t age_ns = controller->now_ns - call->asked_ns;
        if (call->kind == CW_LINK_CALL_NONE)
            continue;
        if (connection != 0 && call->connection == connection)
            end_call(controller, call, words);
        else if (connection == 0 && call->kind == CW_LINK_CALL_FORWARD && age_ns > FORWARD_LIMIT_NS)
            end_call(controller, call, words);
        else if (connection == 0 && call->kind == CW_LINK_CALL_PULL && age_ns > PULL_LIMIT_NS)
            cw_links_break(controller, call->connection, "it does not answer");
    }
}

/* ---------------------------------------------------------------- facts */

static json_t *show_facts(const char *site, uint64_t life, uint64_t tick, const json_t *facts)
{
    return json_pack("{s:s,s:I,s:I,s:O}", "site", site, "life", (json_int_t)life, "tick", (json_int_t)tick,
                     "facts", facts);
}

/* What is too much for one answer is left out: it comes from the site itself, or the next time. Takes entry. */
static void add_facts(json_t *list, json_t *entry, size_t *bytes)
{
    size_t size = json_dumpb(entry, NULL, 0, JSON_COMPACT);
    if (*bytes + size <= FACTS_BYTES_MAX) {
        *bytes += size;
        json_array_append(list, entry);
    }
    json_decref(entry);
}

static bool has_already(const json_t *have, const char *site, uint64_t life, uint64_t tick)
{
    const json_t *known = json_object_get(have, site);
    return life == 0 || (cw_json_u64(known, "life", 0) == life && cw_json_u64(known, "tick", 0) >= tick);
}

/* Those that the asker has not; our own first. */
static json_t *facts_since(struct cw_controller *controller, const json_t *have)
{
    const struct cw_links *links = &controller->mesh;
    json_t *list = json_array();
    size_t bytes = 0;
    if (links->facts && !has_already(have, controller->config.site, links->life, links->tick))
        add_facts(list, show_facts(controller->config.site, links->life, links->tick, links->facts), &bytes);
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        const char *site = controller->config.sites[i].name;
        const struct cw_link_site *link = &links->sites[i];
        json_t *facts = NULL;
        uint64_t counter = 0;
        if (strcmp(site, controller->config.site) == 0 || has_already(have, site, link->life, link->tick) ||
            cw_book_facts(controller->book, site, &facts, &counter) != CW_OK)
            continue;
        if (facts)
            add_facts(list, show_facts(site, link->life, link->tick, facts), &bytes);
        json_decref(facts);
    }
    return list;
}

void cw_links_facts(struct cw_controller *controller, const json_t *facts)
{
    struct cw_links *links = &controller->mesh;
    if (!links->is_on)
        return;
    json_decref(links->facts);
    links->facts = json_incref((json_t *)facts);
    links->tick++;
}

/* From the site itself another life is a new one; by way of others only a later one: their copy may be old.
 */
static bool is_newer(const struct cw_link_site *link, uint64_t life, uint64_t tick, bool is_direct)
{
    if (life == link->life)
        return tick > link->tick;
    return life > link->life || is_direct;
}

static void take_facts(struct cw_controller *controller, uint32_t from, const json_t *entry)
{
    const char *site = cw_json_text(entry, "site", "");
    uint64_t life = cw_json_u64(entry, "life", 0), tick = cw_json_u64(entry, "tick", 0);
    const json_t *facts = json_object_get(entry, "facts");
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        struct cw_link_site *link = &controller->mesh.sites[i];
        if (strcmp(controller->config.sites[i].name, site) != 0 || strcmp(site, controller->config.site) == 0)
            continue;
        if (life == 0 || !json_is_object(facts) || !is_newer(link, life, tick, i == from))
            return;
        if (cw_book_facts_put(controller->book, site, facts) != CW_OK)
            return;
        link->life = life;
        link->tick = tick;
        link->heard_ns = controller->now_ns;
        if (link->is_silence_told)
            cw_event(controller, 0, "", "the controller of %s is heard of again", site);
        link->is_silence_told = false;
    }
}

/* ---------------------------------------------------------------- pulling */

void cw_links_pull(struct cw_controller *controller, uint32_t site)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    json_t *facts = json_object();
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX; i++) {
        const struct cw_link_call *call = &controller->mesh.calls[i];
        if (call->kind == CW_LINK_CALL_PULL && call->site == site) {
            json_decref(facts);
            return; /* it has not answered the last one */
        }
    }
    for (uint32_t i = 0; i < controller->config.site_count; i++)
        json_object_set_new(facts, controller->config.sites[i].name,
                            json_pack("{s:I,s:I}", "life", (json_int_t)controller->mesh.sites[i].life, "tick",
                                      (json_int_t)controller->mesh.sites[i].tick));
    link->pull_due_ns = controller->now_ns + (cw_is_in_transition(controller) ? PULL_BUSY_NS : PULL_NS);
    (void)call_begin(controller, CW_LINK_CALL_PULL, site, "book.pull",
                     json_pack("{s:o,s:o}", "have", cw_book_have(controller->book), "facts", facts));
}

static void tell_differs(struct cw_controller *controller, uint32_t site, const char *stream)
{
    struct cw_link_site *link = &controller->mesh.sites[site];
    const char *name = controller->config.sites[site].name;
    if (strcmp(link->differs, stream) == 0)
        return;
    snprintf(link->differs, sizeof link->differs, "%s", stream);
    cw_event(controller, 2, "",
             "the audit of %s is another one at %s than here: one of them was written anew", stream, name);
}

static void take_pull(struct cw_controller *controller, uint32_t site, const json_t *result)
{
    struct cw_book_taken taken;
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(result, "facts"), index, entry) take_facts(controller, site, entry);
    if (cw_book_take(controller->book, controller->config.site, result, &taken) != CW_OK)
        return;
    if (taken.is_own_ahead && cw_book_begin_anew(controller->book) == CW_OK)
        cw_event(
            controller, 2, "",
            "%s knows more of what this site told than its own book: that was put back to an older copy, and "
            "goes on as another one",
            controller->config.sites[site].name);
    if (taken.differs[0])
        tell_differs(controller, site, taken.differs);
    if (taken.is_more && (taken.events || taken.lines))
        controller->mesh.sites[site].pull_due_ns = 0;
}

static json_t *serve_pull(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *answer = cw_book_since(controller->book, json_object_get(message->params, "have"));
    json_object_set_new(answer, "facts", facts_since(controller, json_object_get(message->params, "facts")));
    return cw_rpc_result(message->id, answer);
}

/* ---------------------------------------------------------------- commands for another site */

json_t *cw_links_forward(struct cw_controller *controller, struct cw_client *client,
                         const struct cw_rpc_message *message, const char *site, const char *method,
                         json_t *params)
{
    uint32_t index = 0;
    CW_ASSERT(controller->asking != NULL);
    if (!cw_rpc_may_pass_on(params)) {
        json_decref(params);
        return cw_misuse(message, "these parameters are too long for a controller of another site");
    }
    while (strcmp(controller->config.sites[index].name, site) != 0)
        index++;
    CW_ASSERT(index < controller->config.site_count && "cw_links_leads_to has said so");
    json_t *asking = cw_asking_to_json(controller->asking);
    struct cw_link_call *call = call_begin(controller, CW_LINK_CALL_FORWARD, index, "forward",
                                           json_pack("{s:s,s:o,s:o}", "method", method, "params",
                                                     params ? params : json_object(), "asking", asking));
    if (!call) {
        const char *why = controller->mesh.sites[index].why;
        return cw_answer(message, 1, "the controller of %s does not answer: %s", site,
                         *why ? why : "there is no link to it yet");
    }
    call->client = client->serial;
    call->kept = json_incref(message->id);
    return NULL;
}

static void take_forwarded(struct cw_controller *controller, const struct cw_link_call *call,
                           const struct cw_rpc_message *message)
{
    json_t *reply;
    if (message->kind == CW_RPC_RESULT) {
        if (json_object_get(message->result,
                            "operation")) /* whoever asks how far it is asks for that site's */
            json_object_set_new(message->result, "site",
                                json_string(controller->config.sites[call->site].name));
        reply = cw_rpc_result(call->kept, json_incref(message->result));
    } else {
        const json_t *data = json_object_get(message->error, "data");
        reply = cw_rpc_error(call->kept, (int)json_integer_value(json_object_get(message->error, "code")),
                             cw_json_text(message->error, "message", "failed, without words"),
                             json_pack("{s:I}", "exit", (json_int_t)cw_json_u64(data, "exit", 1)));
    }
    hand_on(controller, call, reply);
}

/* Served as for whom it is, with his rights, and never sent further: so nothing goes round. */
static json_t *serve_forward(struct cw_controller *controller, struct cw_client *client,
                             const struct cw_rpc_message *message)
{
    struct cw_asking asking;
    struct cw_rpc_message inner = *message;
    inner.method = cw_json_text(message->params, "method", "");
    inner.params = json_object_get(message->params, "params");
    if (!cw_asking_from_json(json_object_get(message->params, "asking"), &asking) ||
        !json_is_object(inner.params))
        return cw_misuse(message, "nobody asks that");
    size_t used = strlen(asking.asker.from);
    snprintf(asking.asker.from + used, sizeof asking.asker.from - used, ", by way of %s", client->site);
    controller->mesh.is_forwarded = true;
    json_t *reply = cw_serve_for(controller, client, &asking.asker, &inner);
    controller->mesh.is_forwarded = false;
    return reply;
}

json_t *cw_links_serve(struct cw_controller *controller, struct cw_client *client,
                       const struct cw_rpc_message *message)
{
    if (strcmp(message->method, "book.pull") == 0)
        return serve_pull(controller, message);
    if (strcmp(message->method, "forward") == 0)
        return serve_forward(controller, client, message);
    return cw_rpc_error(message->id, CW_RPC_METHOD, "a controller asks no such thing of another", NULL);
}

void cw_links_answer(struct cw_controller *controller, int connection, const struct cw_rpc_message *message)
{
    json_int_t id = json_integer_value(message->id);
    for (uint32_t i = 0; i < CW_LINK_CALLS_MAX; i++) {
        struct cw_link_call *slot = &controller->mesh.calls[i], call = *slot;
        if (call.kind == CW_LINK_CALL_NONE || call.id != id || call.connection != connection)
            continue;
        *slot = (struct cw_link_call){0};
        if (call.kind == CW_LINK_CALL_PULL && message->kind == CW_RPC_RESULT)
            take_pull(controller, call.site, message->result);
        else if (call.kind == CW_LINK_CALL_FORWARD)
            take_forwarded(controller, &call, message);
        json_decref(call.kept);
        return;
    }
}
