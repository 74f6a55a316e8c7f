/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store.show, store.plan, store.rebuild: an etcd that was lost for good or put back to an older copy gets its
 * rows from what this controller hears of every site (rebuild.h decides, store_etcd_rebuild.h writes). A
 * site's word counts when it came over its link just now; what the book has of one that is silent does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "control/rebuild.h"
#include "control/serve.h"
#include "control/store_etcd_rebuild.h"

#define HEARD_NS     (5 * CW_SECOND)
#define ENGINE_AGE_S 5.0 /* of the engine's own last word */

struct gathered {
    struct cw_rebuild_facts facts;
    json_t *told[CW_CONFIG_SITES_MAX]; /* each site's facts */
    json_t *store;
    bool is_interrupted, was_replace; /* a rebuild stands there that did not end */
};

static void drop(struct gathered *gathered, struct cw_rebuild_plan *plan)
{
    for (uint32_t i = 0; i < CW_CONFIG_SITES_MAX; i++)
        json_decref(gathered->told[i]);
    json_decref(gathered->store);
    if (plan) {
        json_decref(plan->rows);
        json_decref(plan->gone);
    }
    free(plan);
    free(gathered);
}

static bool is_left_out(const json_t *without, const char *site)
{
    size_t index;
    json_t *name;
    json_array_foreach(without, index, name)
    {
        if (json_is_string(name) && strcmp(json_string_value(name), site) == 0)
            return true;
    }
    return false;
}

/* A site whose controller works with the store as it is has what the store has. */
static void take_site(struct cw_controller *controller, struct gathered *gathered, uint32_t at)
{
    struct cw_rebuild_site *site = &gathered->facts.sites[at];
    const struct cw_config_site *config = &controller->config.sites[at];
    bool is_self = strcmp(config->name, controller->config.site) == 0;
    uint64_t heard_ns = controller->mesh.sites[at].heard_ns, counter = 0;
    site->name = config->name;
    site->is_witness = config->is_witness;
    if (cw_book_facts(controller->book, config->name, &gathered->told[at], &counter) != CW_OK)
        return;
    const json_t *told = gathered->told[at], *copy = json_object_get(told, "store_copy");
    double age = cw_json_number(told, "engine_age_seconds", -1);
    site->is_heard = told && (is_self || (heard_ns != 0 && controller->now_ns - heard_ns < HEARD_NS));
    site->is_engine_heard =
        site->is_heard && cw_json_bool(told, "engine_alive", false) && age >= 0 && age < ENGINE_AGE_S;
    bool is_begun = cw_json_bool(told, "store_begun", false);
    site->copy = is_begun ? gathered->store : json_object_get(copy, "rows");
    site->revision = is_begun ? 0 : cw_json_u64(copy, "revision", 0);
    site->engine = json_object_get(json_object_get(told, "engine"), "groups");
}

/* NULL: *reply says why. */
static struct gathered *gather(struct cw_controller *controller, const struct cw_rpc_message *message,
                               json_t **reply)
{
    const json_t *without = json_object_get(message->params, "without");
    uint64_t revision = 0;
    if (controller->config.etcd.count == 0) {
        *reply =
            cw_refuse(message, "the embedded store is a file on this machine, and is not rebuilt: put back "
                               "the file, with every engine stopped");
        return NULL;
    }
    struct gathered *gathered = calloc(1, sizeof *gathered);
    const char *fault = cw_store_fault(controller->store);
    if (!gathered || fault[0] ||
        cw_etcd_rows(cw_outside_inner(controller->store), &gathered->store, &revision) != CW_OK) {
        free(gathered);
        *reply =
            fault[0]
                ? cw_answer(message, 3,
                            "%s. Start the controllers of all sites anew (their engines may go on), then ask "
                            "again",
                            fault)
                : cw_answer(message, 1, "the store %s does not answer: %s", controller->store_name,
                            cw_store_trouble(controller->store));
        return NULL;
    }
    const json_t *mark = json_object_get(gathered->store, CW_REBUILD_MARK);
    gathered->is_interrupted = cw_rebuild_is_interrupted(mark);
    gathered->was_replace = cw_json_bool(mark, "replace", false);
    gathered->facts.site_count = controller->config.site_count;
    gathered->facts.store = gathered->store;
    gathered->facts.is_replace = cw_json_bool(message->params, "replace", false) || gathered->was_replace;
    while (gathered->facts.seed == 0 &&
           getrandom(&gathered->facts.seed, sizeof gathered->facts.seed, 0) == sizeof gathered->facts.seed)
        gathered->facts.seed &= INT64_MAX;
    for (uint32_t i = 0; i < controller->config.site_count; i++) {
        take_site(controller, gathered, i);
        gathered->facts.sites[i].is_left_out = is_left_out(without, controller->config.sites[i].name);
    }
    return gathered;
}

/* ---------------------------------------------------------------- shown */

static json_t *show_group(const struct cw_rebuild_group *group)
{
    json_t *set = json_array();
    for (uint32_t i = 0; i < group->authority.set.count; i++)
        json_array_append_new(set, json_string(group->authority.set.list[i].site));
    return json_pack("{s:s,s:i,s:I,s:s,s:s,s:o,s:s}", "name", group->name, "number", (int)group->id, "epoch",
                     (json_int_t)group->authority.epoch, "kind", cw_rebuild_kind_name(group->kind), "holder",
                     group->authority.holder, "in_sync", set, "words", group->words);
}

static json_t *show_plan(const struct gathered *gathered, const struct cw_rebuild_plan *plan, bool is_written)
{
    json_t *groups = json_array(), *without = json_array(), *gone = json_array(), *value;
    const char *key;
    for (uint32_t i = 0; i < plan->group_count; i++)
        json_array_append_new(groups, show_group(&plan->groups[i]));
    for (uint32_t i = 0; i < gathered->facts.site_count; i++) {
        if (gathered->facts.sites[i].is_left_out)
            json_array_append_new(without, json_string(gathered->facts.sites[i].name));
    }
    json_object_foreach(plan->gone, key, value) json_array_append_new(gone, json_string(key));
    return json_pack("{s:b,s:b,s:i,s:o,s:o,s:o}", "written", (int)is_written, "replace",
                     (int)gathered->facts.is_replace, "rows", (int)json_object_size(plan->rows), "removed",
                     gone, "without", without, "groups", groups);
}

/* ---------------------------------------------------------------- writing */

static enum cw_status write_rows(struct cw_controller *controller, const struct gathered *gathered,
                                 const struct cw_rebuild_plan *plan)
{
    struct cw_etcd_rebuild how = {.site = controller->config.site,
                                  .rows = plan->rows,
                                  .gone = plan->gone,
                                  .seen = gathered->store,
                                  .is_replace = gathered->facts.is_replace,
                                  .may_replace = gathered->facts.is_replace || gathered->is_interrupted};
    while (how.id == 0)
        if (getrandom(&how.id, sizeof how.id, 0) != sizeof how.id)
            return CW_IO;
    return cw_etcd_rebuild(cw_outside_inner(controller->store), &how);
}

static void tell(struct cw_controller *controller, const struct cw_rebuild_plan *plan)
{
    cw_event(controller, 1, "",
             "the store %s was rebuilt from what the sites had: %u groups, %zu rows; removed: %zu",
             controller->store_name, plan->group_count, json_object_size(plan->rows),
             json_object_size(plan->gone));
    for (uint32_t i = 0; i < plan->group_count; i++) {
        const struct cw_rebuild_group *group = &plan->groups[i];
        cw_event(controller, group->kind == CW_REBUILD_NOBODY ? 2 : 1, group->name,
                 "rebuilt in epoch %lu: %s", group->authority.epoch, group->words);
    }
}

static json_t *serve(struct cw_controller *controller, const struct cw_rpc_message *message, bool is_to_write)
{
    json_t *reply = NULL;
    struct gathered *gathered = gather(controller, message, &reply);
    struct cw_rebuild_plan *plan = gathered ? calloc(1, sizeof *plan) : NULL;
    if (!gathered)
        return reply;
    if (!plan) {
        drop(gathered, plan);
        return cw_fail(message, "no memory");
    }
    cw_rebuild_plan(&gathered->facts, plan);
    if (plan->refusal[0])
        reply = cw_refuse(message, plan->refusal);
    enum cw_status status = !reply && is_to_write ? write_rows(controller, gathered, plan) : CW_OK;
    if (status == CW_STALE || status == CW_EXISTS)
        reply = cw_refuse(message,
                          "somebody else rebuilds or changes the store at this moment: look with causeway "
                          "store rebuild --dry-run, then ask again");
    else if (status != CW_OK)
        reply = cw_answer(message, 1,
                          "the store %s did not take all of it: %s. Nothing is decided with it until a "
                          "rebuild has come to its end: ask again",
                          controller->store_name, cw_store_trouble(controller->store));
    if (!reply && is_to_write)
        tell(controller, plan);
    reply = reply ? reply : cw_rpc_result(message->id, show_plan(gathered, plan, is_to_write));
    controller->store_try_ns = 0;
    drop(gathered, plan);
    return reply;
}

json_t *cw_serve_store_plan(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    return serve(controller, message, false);
}

json_t *cw_serve_store_rebuild(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    return serve(controller, message, true);
}

json_t *cw_serve_store_show(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    const json_t *copy = controller->store_copy;
    const char *fault = cw_store_fault(controller->store);
    json_t *shown =
        json_pack("{s:s,s:s,s:b,s:s,s:o}", "site", controller->config.site, "store", controller->store_name,
                  "used", (int)(controller->is_store_begun && !fault[0] && !controller->store_behind[0]),
                  "why_not", fault[0] ? fault : controller->store_behind, "copy", json_null());
    if (copy)
        json_object_set_new(
            shown, "copy",
            json_pack("{s:I,s:I,s:i}", "revision", (json_int_t)cw_json_u64(copy, "revision", 0),
                      "age_seconds",
                      (json_int_t)time(NULL) - (json_int_t)cw_json_u64(copy, "saved_seconds", 0), "rows",
                      (int)json_object_size(json_object_get(copy, "rows"))));
    return cw_rpc_result(message->id, shown);
}
