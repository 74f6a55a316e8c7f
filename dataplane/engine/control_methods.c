/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/control.h"
#include "engine/control_certificates.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/net_lcore.h"

/* ---------------------------------------------------------------- JSON */

json_t *cw_json_from_hex(uint64_t number)
{
    return json_sprintf("%llx", (unsigned long long)number);
}

static bool parse_hex(const char *text, size_t length, uint64_t *number)
{
    char digits[17] = "", *end;
    if (length == 0 || length > 16 || strspn(text, "0123456789abcdefABCDEF") < length)
        return false;
    memcpy(digits, text, length);
    *number = strtoull(digits, &end, 16);
    return true;
}

bool cw_json_hex(const json_t *value, uint64_t *number)
{
    const char *text = json_string_value(value);
    return text != NULL && parse_hex(text, strlen(text), number);
}

/* 128 bits as 32 digits. */
json_t *cw_json_from_id(const uint64_t id[2])
{
    return json_sprintf("%016llx%016llx", (unsigned long long)id[0], (unsigned long long)id[1]);
}

bool cw_json_id(const json_t *value, uint64_t id[2])
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == 32 && parse_hex(text, 16, &id[0]) &&
           parse_hex(text + 16, 16, &id[1]);
}

json_t *cw_json_identity(const struct cw_engine *engine, uint8_t site, const struct cw_identity *identity)
{
    return json_pack("{s:s, s:o, s:o, s:o}", "site", cw_engine_site_name(engine, site), "boot_id",
                     cw_json_from_id(identity->boot_id), "journal_id", cw_json_from_id(identity->journal_id),
                     "process_start", cw_json_from_hex(identity->process_start));
}

bool cw_json_to_identity(const struct cw_engine *engine, const json_t *value, uint8_t *site,
                         struct cw_identity *identity)
{
    const char *name = json_string_value(json_object_get(value, "site"));
    *site = name != NULL ? cw_engine_site_id(engine, name) : CW_SITES_MAX;
    return *site < CW_SITES_MAX && cw_json_id(json_object_get(value, "boot_id"), identity->boot_id) &&
           cw_json_id(json_object_get(value, "journal_id"), identity->journal_id) &&
           cw_json_hex(json_object_get(value, "process_start"), &identity->process_start);
}

bool cw_call_u64(const struct cw_call *call, const char *key, uint64_t *value)
{
    const json_t *found = json_object_get(call->params, key);
    if (!json_is_integer(found) || json_integer_value(found) < 0)
        return false;
    *value = (uint64_t)json_integer_value(found);
    return true;
}

bool cw_call_text(const struct cw_call *call, const char *key, char *to, size_t size)
{
    const char *found = json_string_value(json_object_get(call->params, key));
    if (found == NULL || strlen(found) >= size)
        return false;
    snprintf(to, size, "%s", found);
    return true;
}

/* ---------------------------------------------------------------- answers */

static void end(struct cw_call *call, json_t *message)
{
    struct cw_rpc_connection *asker = cw_rpc_find(&call->control->server, call->connection);
    if (asker != NULL)
        asker->awaited--;
    if (call->id != NULL) {
        json_object_set_new(message, "jsonrpc", json_string("2.0"));
        json_object_set(message, "id", call->id);
        cw_rpc_send(&call->control->server, call->connection, message);
    } else {
        json_decref(message);
    }
    json_decref(call->id);
    json_decref(call->params);
    free(call);
}

void cw_call_reply(struct cw_call *call, json_t *result)
{
    end(call, json_pack("{s:o}", "result", result != NULL ? result : json_object()));
}

static void end_with_error(struct cw_call *call, int code, enum cw_status status, const char *words)
{
    end(call, json_pack("{s:{s:i, s:s, s:{s:s}}}", "error", "code", code, "message", words, "data", "status",
                        cw_status_name(status)));
}

void cw_call_refuse(struct cw_call *call, enum cw_status status, const char *format, ...)
{
    char words[CW_WHY_SIZE + 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    end_with_error(call, -32000, status, words);
}

static void bad_params(struct cw_call *call, const char *words)
{
    end_with_error(call, -32602, CW_INVALID, words);
}

void cw_call_end_with(struct cw_command *command)
{
    struct cw_call *call = command->context;
    char words[CW_WHY_SIZE];
    cw_control_put_names(call->control->engine, command->why, words, sizeof words);
    if (command->status == CW_OK)
        cw_call_reply(call, NULL);
    else
        cw_call_refuse(call, command->status, "%s", words);
    cw_control_free_command(command);
}

/* ---------------------------------------------------------------- small methods */

static void engine_hello(struct cw_call *call)
{
    const struct cw_engine *engine = call->control->engine;
    cw_call_reply(call,
                  json_pack("{s:s, s:s, s:i, s:o, s:o}", "site", engine->config.site, "version", CW_VERSION,
                            "pid", (int)getpid(), "boot_id", cw_json_from_id(engine->boot_id),
                            "process_start", cw_json_from_hex(engine->process_start)));
}

static void control_register(struct cw_call *call)
{
    struct cw_control *control = call->control;
    struct cw_rpc_connection *connection = cw_rpc_find(&control->server, call->connection);
    if (control->controller != call->connection) {
        if (control->controller != 0) /* told to the one before, too */
            cw_control_event(
                control, 1, 0,
                "another controller has registered: it is asked now, and the one before when that "
                "one's connection is gone");
        connection->registered = ++control->registrations;
        cw_control_take_controller(control, connection);
        cw_control_event(control, 0, 0, "a controller has registered");
    }
    cw_call_reply(call, NULL);
}

static void on_status(struct cw_command *command)
{
    struct cw_call *call = command->context;
    json_t *status = cw_status_json(call->control, command->snapshot);
    cw_telemetry_update(call->control, command->snapshot);
    cw_call_reply(call, status);
    free(command->snapshot);
    cw_control_free_command(command);
}

static void status(struct cw_call *call)
{
    struct cw_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        cw_call_refuse(call, CW_NO_SPACE, "no memory");
        return;
    }
    struct cw_command *command = cw_control_command(CW_COMMAND_SNAPSHOT, 0, on_status, call);
    command->snapshot = snapshot;
    snapshot->command = command;
    cw_control_post(call->control, command);
}

static void trace_append(const struct cw_control *control, const struct cw_snapshot *snapshot, uint32_t ring,
                         json_t *list)
{
    bool has_lane = ring >= CW_TRACE_NET && control->engine->config.lane_count > 1;
    for (uint32_t i = 0; i < snapshot->trace->counts[ring]; i++) {
        const struct cw_trace_entry *entry = &snapshot->trace->entries[ring][i];
        char numbered[CW_EVENT_TEXT], words[CW_EVENT_TEXT];
        uint64_t age_ns = snapshot->taken_ns - CW_MIN(snapshot->taken_ns, entry->time_ns);
        cw_trace_words(entry, numbered, sizeof numbered);
        cw_control_put_names(control->engine, numbered, words, sizeof words);
        json_t *object = json_pack("{s:f, s:I, s:s}", "seconds_ago", (double)age_ns / 1e9, "group",
                                   (json_int_t)entry->object, "text", words);
        if (has_lane)
            json_object_set_new(object, "lane", json_integer((json_int_t)(ring - CW_TRACE_NET)));
        json_array_append_new(list, object);
    }
}

static json_t *trace_json(const struct cw_control *control, const struct cw_snapshot *snapshot,
                          uint32_t first, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t ring = first; ring < first + count; ring++)
        trace_append(control, snapshot, ring, list);
    return list;
}

static void on_trace(struct cw_command *command)
{
    struct cw_call *call = command->context;
    const struct cw_snapshot *snapshot = command->snapshot;
    cw_call_reply(call, json_pack("{s:o, s:o, s:o}", "store",
                                  trace_json(call->control, snapshot, CW_TRACE_STORE, 1), "journals",
                                  trace_json(call->control, snapshot, CW_TRACE_DISKS, 1), "net",
                                  trace_json(call->control, snapshot, CW_TRACE_NET,
                                             call->control->engine->config.lane_count)));
    free(snapshot->trace);
    free(command->snapshot);
    cw_control_free_command(command);
}

static void trace_dump(struct cw_call *call)
{
    struct cw_command *command = cw_control_command(CW_COMMAND_SNAPSHOT, 0, on_trace, call);
    command->snapshot = calloc(1, sizeof *command->snapshot);
    struct cw_trace_copy *trace = calloc(1, sizeof *trace);
    CW_ASSERT(command->snapshot != NULL && trace != NULL && "on the control thread, and given back at once");
    command->snapshot->trace = trace;
    command->snapshot->command = command;
    cw_control_post(call->control, command);
}

static void events(struct cw_call *call)
{
    const struct cw_control *control = call->control;
    uint64_t after = 0, limit = 100;
    (void)cw_call_u64(call, "after", &after);
    (void)cw_call_u64(call, "limit", &limit);
    uint64_t oldest = control->next_event > CW_EVENTS_KEPT ? control->next_event - CW_EVENTS_KEPT : 1;
    uint64_t id = CW_MAX(after < control->next_event ? after + 1 : control->next_event, oldest);
    json_t *list = json_array();
    for (; id < control->next_event && json_array_size(list) < CW_MIN(limit, CW_EVENTS_KEPT); id++)
        json_array_append_new(list, cw_control_event_json(&control->events[id % CW_EVENTS_KEPT]));
    cw_call_reply(call, json_pack("{s:o, s:I}", "events", list, "next", (json_int_t)(id - 1)));
}

static void lab_cut(struct cw_call *call)
{
    struct cw_engine *engine = call->control->engine;
    const char *remote = json_string_value(json_object_get(call->params, "remote"));
    const char *name = json_string_value(json_object_get(call->params, "path"));
    bool receive = json_is_true(json_object_get(call->params, "receive"));
    bool transmit = json_is_true(json_object_get(call->params, "transmit"));
    unsigned count = 0;
    for (uint32_t i = 0; remote != NULL && i < engine->config.path_count; i++) {
        if (remote[0] != 0 && strcmp(engine->config.paths[i].remote, remote) != 0)
            continue;
        if (name != NULL && strcmp(engine->config.paths[i].name, name) != 0)
            continue;
        cw_port_cut_set(engine->lanes[0].net->paths[i].port, receive, transmit);
        count++;
    }
    if (count == 0) {
        cw_call_refuse(call, CW_NOT_FOUND, "no such path leads to that site");
        return;
    }
    cw_control_event(call->control, 1, 0, "lab: %s to %s: receiving %s, sending %s",
                     name != NULL ? name : "paths", remote[0] != 0 ? remote : "everybody",
                     receive ? "cut" : "on", transmit ? "cut" : "on");
    cw_call_reply(call, NULL);
}

static void engine_stop(struct cw_call *call)
{
    struct cw_control *control = call->control;
    cw_call_reply(call, NULL);
    cw_control_stop(control);
}

/* ---------------------------------------------------------------- methods about a running group */

static void post(struct cw_call *call, struct cw_command *command)
{
    cw_control_post(call->control, command);
}

static struct cw_command *command_for(struct cw_call *call, uint8_t type)
{
    return cw_control_command(type, call->slot, cw_call_end_with, call);
}

static bool read_set(const struct cw_call *call, struct cw_open_request *open)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(call->params, "set"), i, one)
    {
        struct cw_identity identity;
        uint8_t site;
        if (!cw_json_to_identity(call->control->engine, one, &site, &identity))
            return false;
        open->members |= (uint8_t)(1u << site);
        open->identities[site] = identity;
        if (json_is_true(json_object_get(one, "in_memory")))
            open->in_memory |= (uint8_t)(1u << site);
    }
    return true;
}

static void group_open(struct cw_call *call)
{
    char holder[64];
    struct cw_command *command = command_for(call, CW_COMMAND_OPEN);
    struct cw_open_request *open = &command->open;
    bool is_good = cw_call_u64(call, "epoch", &open->store_epoch) &&
                   cw_call_text(call, "holder", holder, sizeof holder) &&
                   cw_json_hex(json_object_get(call->params, "reign"), &open->reign) && open->reign != 0 &&
                   read_set(call, open);
    uint64_t fenced_epoch = 0;
    (void)cw_call_u64(call, "epoch_floor", &open->epoch_floor);
    (void)cw_call_u64(call, "first_sequence", &open->first_sequence);
    (void)cw_call_u64(call, "fenced_epoch", &fenced_epoch);
    open->is_fenced = open->store_epoch > 0 && fenced_epoch == open->store_epoch;
    open->accept_loss = json_is_true(json_object_get(call->params, "accept_loss"));
    open->inconsistent = json_is_true(json_object_get(call->params, "inconsistent"));
    open->ends_grants = json_is_true(json_object_get(call->params, "ends_grants"));
    if (!is_good) {
        cw_control_free_command(command);
        bad_params(call, "group.open needs epoch, holder, set of identities of configured sites, and a reign "
                         "that is not 0");
        return;
    }
    open->holder = holder[0] != 0 ? cw_engine_site_id(call->control->engine, holder) : CW_SITES_MAX;
    post(call, command);
}

static void group_drain(struct cw_call *call)
{
    post(call, command_for(call, CW_COMMAND_DRAIN));
}

static void group_fence(struct cw_call *call)
{
    struct cw_command *command = command_for(call, CW_COMMAND_FENCE);
    if (cw_call_u64(call, "epoch", &command->epoch)) {
        post(call, command);
        return;
    }
    cw_control_free_command(command);
    bad_params(call, "group.fence needs an epoch");
}

/* An order for a site that is not there is kept (the superblock has it), and the caller is told which it is. */
static void on_resync(struct cw_command *command)
{
    struct cw_call *call = command->context;
    if (command->status == CW_OK)
        cw_call_reply(call, json_pack("{s:b}", "begun", command->resync.is_begun));
    else
        cw_call_refuse(call, command->status, "%s", command->why);
    cw_control_free_command(command);
}

static void group_resync(struct cw_call *call)
{
    char site[64] = "";
    (void)cw_call_text(call, "site", site, sizeof site);
    uint8_t peer = cw_engine_site_id(call->control->engine, site);
    if (peer >= CW_SITES_MAX) {
        bad_params(call, "group.resync needs a configured site");
        return;
    }
    struct cw_command *command = cw_control_command(CW_COMMAND_RESYNC, call->slot, on_resync, call);
    command->resync.site = peer;
    post(call, command);
}

static bool read_errno(const struct cw_call *call, int *error)
{
    char name[16];
    if (!cw_call_text(call, "errno", name, sizeof name))
        return false;
    *error = strcmp(name, "EIO") == 0 ? EIO : strcmp(name, "ENOSPC") == 0 ? ENOSPC : 0;
    return *error != 0 || name[0] == 0;
}

static void lab_fault(struct cw_call *call)
{
    struct cw_command *command = command_for(call, CW_COMMAND_FAULT);
    const json_t *volume = json_object_get(call->params, "volume");
    json_int_t index = json_integer_value(volume);
    (void)cw_call_u64(call, "after_writes", &command->fault.after_writes);
    if (!json_is_integer(volume) || index < -1 || index >= (json_int_t)CW_VOLUMES_PER_GROUP_MAX ||
        !read_errno(call, &command->fault.error)) {
        cw_control_free_command(command);
        bad_params(call, "lab.fault needs a volume (-1: the journal) and errno EIO, ENOSPC or \"\"");
        return;
    }
    command->fault.is_journal = index < 0;
    command->volume = index < 0 ? 0 : (uint16_t)index;
    post(call, command);
}

/* ---------------------------------------------------------------- the load generator */

static void on_direct_started(struct cw_command *command)
{
    struct cw_call *call = command->context;
    if (command->status == CW_OK)
        cw_call_reply(call, json_pack("{s:I}", "run", (json_int_t)command->direct.result.run));
    else
        cw_call_refuse(call, command->status, "%s", command->why);
    cw_control_free_command(command);
}

static bool read_direct(const struct cw_call *call, struct cw_direct_request *request)
{
    char op[16];
    uint64_t size = 0, depth = 0, duration_ms = 0;
    *request = (struct cw_direct_request){.seed = 1};
    bool is_good = cw_call_text(call, "op", op, sizeof op) && cw_call_u64(call, "size", &size) &&
                   cw_call_u64(call, "depth", &depth);
    (void)cw_call_u64(call, "count", &request->count);
    (void)cw_call_u64(call, "duration_ms", &duration_ms);
    (void)cw_call_u64(call, "seed", &request->seed);
    (void)cw_call_u64(call, "span", &request->span);
    if (!is_good || size > UINT32_MAX || depth > UINT32_MAX || duration_ms > UINT32_MAX)
        return false;
    request->op = strcmp(op, "write") == 0 ? CW_BLOCK_WRITE : CW_BLOCK_READ;
    request->is_sequential = json_is_true(json_object_get(call->params, "sequential"));
    request->size = (uint32_t)size;
    request->depth = (uint32_t)depth;
    request->duration_ns = duration_ms * CW_MS;
    return strcmp(op, "write") == 0 || strcmp(op, "read") == 0;
}

static void direct_start(struct cw_call *call)
{
    uint64_t volume = CW_VOLUMES_PER_GROUP_MAX;
    struct cw_command *command =
        cw_control_command(CW_COMMAND_DIRECT_START, call->slot, on_direct_started, call);
    (void)cw_call_u64(call, "volume", &volume);
    if (volume < CW_VOLUMES_PER_GROUP_MAX && read_direct(call, &command->direct.request)) {
        command->volume = (uint16_t)volume;
        post(call, command);
        return;
    }
    cw_control_free_command(command);
    bad_params(call, "direct.start needs volume, op write or read, size, depth, and count or duration_ms");
}

static void on_direct_stats(struct cw_command *command)
{
    struct cw_call *call = command->context;
    const struct cw_direct_result *r = &command->direct.result;
    if (command->status == CW_OK)
        cw_call_reply(call, json_pack("{s:b, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "done", r->is_done,
                                      "ops", (json_int_t)r->ops, "bytes", (json_int_t)r->bytes, "errors",
                                      (json_int_t)r->errors, "seconds", (double)r->elapsed_ns / 1e9, "p50_us",
                                      (double)r->p50_ns / 1e3, "p99_us", (double)r->p99_ns / 1e3, "p999_us",
                                      (double)r->p999_ns / 1e3, "max_us", (double)r->max_ns / 1e3));
    else
        cw_call_refuse(call, command->status, "%s", command->why);
    cw_control_free_command(command);
}

static void direct_stats(struct cw_call *call)
{
    uint64_t run = 0;
    struct cw_command *command = cw_control_command(CW_COMMAND_DIRECT_STATS, 0, on_direct_stats, call);
    (void)cw_call_u64(call, "run", &run);
    command->direct.request.run = (uint32_t)run;
    post(call, command);
}

/* ---------------------------------------------------------------- the table */

enum group_need { NEEDS_NOTHING, NEEDS_GROUP, NEEDS_RUNNING };

static const struct {
    const char *name;
    void (*run)(struct cw_call *call);
    enum group_need need;
} methods[] = {
    {"engine.hello", engine_hello, NEEDS_NOTHING},
    {"control.register", control_register, NEEDS_NOTHING},
    {"status", status, NEEDS_NOTHING},
    {"events", events, NEEDS_NOTHING},
    {"trace.dump", trace_dump, NEEDS_NOTHING},
    {"path.log", cw_method_path_log, NEEDS_NOTHING},
    {"engine.stop", engine_stop, NEEDS_NOTHING},
    {"lab.cut", lab_cut, NEEDS_NOTHING},
    {"certificates.reload", cw_method_certificates_reload, NEEDS_NOTHING},
    {"group.attach", cw_method_group_attach, NEEDS_NOTHING},
    {"group.detach", cw_method_group_detach, NEEDS_GROUP},
    {"volume.attach", cw_method_volume_attach, NEEDS_GROUP},
    {"volume.detach", cw_method_volume_detach, NEEDS_GROUP},
    {"group.open", group_open, NEEDS_RUNNING},
    {"group.drain", group_drain, NEEDS_RUNNING},
    {"group.fence", group_fence, NEEDS_RUNNING},
    {"group.resync", group_resync, NEEDS_RUNNING},
    {"lab.fault", lab_fault, NEEDS_RUNNING},
    {"direct.start", direct_start, NEEDS_RUNNING},
    {"direct.stats", direct_stats, NEEDS_NOTHING},
};

/* A group that has not started acknowledges nothing: it is fenced as it is. */
static bool answer_unstarted(struct cw_call *call, const char *method)
{
    if (strcmp(method, "group.fence") == 0) {
        cw_call_reply(call, NULL);
        return true;
    }
    cw_call_refuse(call, CW_AGAIN, "group %s has not started: %s", call->group->name,
                   call->group->reason[0] != 0 ? call->group->reason : "its journal is being recovered");
    return true;
}

/* True when the call has been ended here. */
static bool lacks_group(struct cw_call *call, const char *method, enum group_need need)
{
    uint64_t id = 0;
    if (need == NEEDS_NOTHING)
        return false;
    (void)cw_call_u64(call, "group", &id);
    call->group = id <= UINT32_MAX ? cw_control_find(call->control, (uint32_t)id) : NULL;
    if (call->group == NULL) {
        cw_call_refuse(call, CW_NOT_FOUND, "group %llu is not attached here", (unsigned long long)id);
        return true;
    }
    call->slot = call->group->slot;
    if (need == NEEDS_RUNNING && call->group->state != CW_ATTACH_RUNNING)
        return answer_unstarted(call, method);
    return false;
}

static void run(struct cw_call *call, const char *name)
{
    for (size_t i = 0; i < CW_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, name) != 0)
            continue;
        if (call->control->is_stopping && methods[i].run != status)
            cw_call_refuse(call, CW_SHUTDOWN, "the engine is stopping");
        else if (!lacks_group(call, name, methods[i].need))
            methods[i].run(call);
        return;
    }
    end_with_error(call, -32601, CW_NOT_FOUND, "there is no such method; RPC.md lists them");
}

void cw_control_on_message(void *context, struct cw_rpc_connection *connection, json_t *message)
{
    struct cw_control *control = context;
    const char *method = json_string_value(json_object_get(message, "method"));
    if (method == NULL) {
        if (connection->id == control->controller)
            cw_control_on_answer(control, message);
        return;
    }
    struct cw_call *call = calloc(1, sizeof *call);
    CW_ASSERT(call != NULL && "a few bytes on the control thread");
    call->control = control;
    call->connection = connection->id;
    connection->awaited++;
    call->id = json_incref(json_object_get(message, "id"));
    json_t *params = json_object_get(message, "params");
    call->params = json_is_object(params) ? json_incref(params) : json_object();
    run(call, method);
}
