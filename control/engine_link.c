/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection to this site's engine: calls both ways on one socket. It is made again whenever it breaks;
 * a broken one answers every open call with a failure first, so that nobody waits for ever.
 *
 * What the engine asks the store for costs a transaction and a synced file each, and when a site dies every
 * group asks at the same time. So these stand in line and one is served a turn of the loop, while a lease is
 * renewed at once: it is never renewed too late because of what other groups ask for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "control/controller.h"

#define RETRY_NS (200 * CW_MS)
#define STATUS_LIMIT_NS                                                                                      \
    (3 * CW_SECOND) /* then it is asked for again: nothing waits for one answer for ever */

static void end_call(struct cw_controller *controller, struct cw_engine_call *slot, const json_t *result,
                     const char *status, const char *words)
{
    struct cw_engine_call call = *slot;
    *slot = (struct cw_engine_call){0}; /* before the answer: it may ask again */
    call.answer(controller, &call, result, status, words);
    json_decref(call.kept);
}

static struct cw_rpc_message first_ask(struct cw_engine_link *engine)
{
    struct cw_rpc_message ask = engine->asks[engine->first_ask];
    engine->first_ask = (engine->first_ask + 1) % CW_ENGINE_ASKS_MAX;
    engine->ask_count--;
    return ask;
}

static void drop_asks(struct cw_engine_link *engine)
{
    while (engine->ask_count > 0)
        json_decref(first_ask(engine).whole);
}

void cw_engine_lost(struct cw_controller *controller, const char *why)
{
    struct cw_engine_link *engine = &controller->engine;
    bool was_registered = engine->is_registered;
    cw_rpc_connection_close(&engine->connection);
    drop_asks(engine);
    engine->is_registered = false;
    engine->is_status_asked = false;
    engine->next_try_ns = controller->now_ns + RETRY_NS;
    json_decref(engine->status);
    engine->status = NULL;
    engine->status_at_ns = 0;
    for (uint32_t i = 0; i < CW_CALLS_MAX; i++) {
        if (engine->calls[i].id)
            end_call(controller, &engine->calls[i], NULL, "disconnected", why);
    }
    for (uint32_t i = 0; i < CW_NODE_GROUPS_MAX; i++) {
        struct cw_work *work = &controller->works[i];
        work->is_busy = work->is_attaching = false;
        work->attached[0] = 0;
        work->open_sent_ns = 0;
        work->changed_ns = 0;
    }
    if (was_registered)
        cw_event(controller, 2, "", "the engine of %s is gone: %s", controller->config.site, why);
}

bool cw_engine_ask(struct cw_controller *controller, const char *method, json_t *params,
                   struct cw_engine_call call)
{
    struct cw_engine_link *engine = &controller->engine;
    struct cw_engine_call *slot = NULL;
    CW_ASSERT(call.answer != NULL);
    for (uint32_t i = 0; i < CW_CALLS_MAX && !slot; i++)
        slot = engine->calls[i].id == 0 ? &engine->calls[i] : NULL;
    if (!slot || engine->connection.fd < 0) {
        json_decref(params);
        return false;
    }
    call.id = ++engine->last_id;
    if (!cw_rpc_connection_send(&engine->connection, cw_rpc_call(call.id, method, params))) {
        cw_engine_lost(controller, "its socket does not take requests");
        return false;
    }
    *slot = call;
    return true;
}

/* ---------------------------------------------------------------- status */

static void on_status(struct cw_controller *controller, const struct cw_engine_call *call,
                      const json_t *result, const char *status, const char *words)
{
    struct cw_engine_link *engine = &controller->engine;
    engine->is_status_asked = false;
    if (!result)
        return;
    if (!engine->status)
        controller->facts_due_ns = 0;
    json_decref(engine->status);
    engine->status = json_incref((json_t *)result);
    json_decref(engine->status_kept);
    engine->status_kept = json_incref(engine->status);
    engine->status_at_ns = engine->kept_at_ns = call->asked_ns;
    cw_paths_look(controller);
    if (cw_is_in_transition(controller))
        controller->next_tick_ns = 0; /* somebody waits for what it says */
    if (engine->is_status_stale)
        cw_engine_status_refresh(controller);
}

void cw_engine_status_refresh(struct cw_controller *controller)
{
    struct cw_engine_link *engine = &controller->engine;
    uint64_t now_ns = cw_monotonic_ns();
    bool is_waiting = engine->is_status_asked && now_ns - engine->status_asked_ns < STATUS_LIMIT_NS;
    engine->is_status_stale = is_waiting;
    if (!engine->is_registered || is_waiting)
        return;
    engine->status_asked_ns = now_ns;
    engine->is_status_asked = cw_engine_ask(controller, "status", NULL,
                                            (struct cw_engine_call){.answer = on_status, .asked_ns = now_ns});
}

const json_t *cw_engine_group(const struct cw_controller *controller, uint32_t group)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(controller->engine.status, "groups"), index, entry)
    {
        if (cw_json_u64(entry, "group", 0) == group)
            return entry;
    }
    return NULL;
}

const json_t *cw_engine_volume(const json_t *engine_group, int32_t volume)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(engine_group, "volumes"), index, entry)
    {
        if (cw_json_u64(entry, "volume", UINT64_MAX) == (uint64_t)volume)
            return entry;
    }
    return NULL;
}

/* ---------------------------------------------------------------- connecting */

static void on_registered(struct cw_controller *controller, const struct cw_engine_call *call,
                          const json_t *result, const char *status, const char *words)
{
    if (!result)
        return;
    controller->engine.is_registered = true;
    controller->facts_due_ns = 0; /* others wait for this */
    cw_event(controller, 0, "", "the engine of %s is here", controller->config.site);
    cw_engine_status_refresh(controller);
}

static void on_hello(struct cw_controller *controller, const struct cw_engine_call *call,
                     const json_t *result, const char *status, const char *words)
{
    const char *site = cw_json_text(result, "site", "");
    if (!result)
        return;
    if (strcmp(site, controller->config.site) != 0) {
        fprintf(stderr, "the engine at %s is of site %.40s, not %s: see its configuration\n",
                controller->config.engine_socket, site, controller->config.site);
        return;
    }
    (void)cw_engine_ask(controller, "control.register", NULL,
                        (struct cw_engine_call){.answer = on_registered});
}

void cw_engine_poll(struct cw_controller *controller)
{
    struct cw_engine_link *engine = &controller->engine;
    if (engine->connection.fd >= 0 || controller->now_ns < engine->next_try_ns)
        return;
    engine->next_try_ns = controller->now_ns + RETRY_NS;
    int fd = cw_rpc_connect(controller->config.engine_socket);
    if (fd < 0)
        return;
    cw_rpc_connection_start(&engine->connection, fd);
    (void)cw_engine_ask(controller, "engine.hello", NULL, (struct cw_engine_call){.answer = on_hello});
}

/* ---------------------------------------------------------------- what it says */

static void take_answer(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_engine_link *engine = &controller->engine;
    json_int_t id = json_integer_value(message->id);
    for (uint32_t i = 0; i < CW_CALLS_MAX; i++) {
        if (engine->calls[i].id == 0 || engine->calls[i].id != id)
            continue;
        const json_t *data = json_object_get(message->error, "data");
        end_call(controller, &engine->calls[i], message->result, cw_json_text(data, "status", ""),
                 cw_json_text(message->error, "message", ""));
        return;
    }
}

static void take_note(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    static const char *const levels[] = {"info", "warning", "error"};
    if (strcmp(message->method, "event") != 0)
        return;
    const char *level = cw_json_text(message->params, "level", "");
    int number = (int)cw_json_u64(message->params, "level", 0);
    for (int i = 0; i < 3; i++)
        number = strcmp(level, levels[i]) == 0 ? i : number;
    const json_t *group = json_object_get(message->params, "group");
    const char *name = json_string_value(group);
    if (!name && json_is_integer(group)) {
        const struct cw_store_group *found =
            cw_view_group_by_id(controller->view, (uint32_t)json_integer_value(group));
        name = found ? found->name : "";
    }
    cw_event(controller, number, name ? name : "", "%s", cw_json_text(message->params, "text", ""));
    if (cw_is_in_transition(controller))
        cw_engine_status_refresh(controller); /* most often it is the step that was waited for */
}

static void serve_ask(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = cw_engine_asks(controller, message);
    if (reply && !cw_rpc_connection_send(&controller->engine.connection, reply))
        cw_engine_lost(controller, "its socket does not take answers");
}

/* Takes the message's reference. */
static void take_message(struct cw_controller *controller, struct cw_rpc_message *message)
{
    struct cw_engine_link *engine = &controller->engine;
    if (message->kind == CW_RPC_RESULT || message->kind == CW_RPC_ERROR) {
        take_answer(controller, message);
    } else if (message->kind == CW_RPC_NOTE) {
        take_note(controller, message);
    } else if (strcmp(message->method, "lease.renew") == 0) {
        serve_ask(controller, message);
    } else if (engine->ask_count < CW_ENGINE_ASKS_MAX) {
        engine->asks[(engine->first_ask + engine->ask_count++) % CW_ENGINE_ASKS_MAX] = *message;
        return;
    } else {
        cw_engine_lost(controller, "it asks for more than all of its groups could");
    }
    json_decref(message->whole);
}

bool cw_engine_waits(const struct cw_controller *controller)
{
    return controller->engine.ask_count > 0;
}

void cw_engine_serve(struct cw_controller *controller)
{
    if (controller->engine.ask_count == 0)
        return;
    struct cw_rpc_message ask = first_ask(&controller->engine);
    serve_ask(controller, &ask);
    json_decref(ask.whole);
}

void cw_engine_readable(struct cw_controller *controller)
{
    struct cw_engine_link *engine = &controller->engine;
    bool is_open = cw_rpc_connection_read(&engine->connection);
    while (engine->connection.fd >= 0) {
        struct cw_rpc_message message;
        enum cw_rpc_next next = cw_rpc_lines_next(&engine->connection.in, &message);
        if (next == CW_RPC_NEXT_NONE)
            break;
        if (next != CW_RPC_NEXT_MESSAGE) {
            cw_engine_lost(controller, "it spoke something that is not JSON-RPC");
            return;
        }
        take_message(controller, &message);
    }
    if (!is_open && engine->connection.fd >= 0)
        cw_engine_lost(controller, "its socket was closed");
}
