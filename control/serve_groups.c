/* SPDX-License-Identifier: BSD-3-Clause */
/* group.create, group.set, group.delete: changes of the store; every site's controller then does its part. */
#include <stdio.h>
#include <string.h>

#include "control/serve.h"
#include "control/try.h"

#define JOURNAL_BYTES_DEFAULT (512 * CW_MIB)
#define JOURNAL_BYTES_MIN     (16 * CW_MIB)
#define CREATE_LIMIT_NS       (600 * CW_SECOND)

#define REPLICA_TIMEOUT_MS_MAX 600000ul /* the engine takes no more, and would not attach the group again */
#define COPY_BRAKE_MS_MAX      60000ul  /* the same */
#define MAX_LOSS_MS_MAX        86400000ul
#define MAX_LOSS_BYTES_MAX     (1ull << 50)
#define AFTER_MS_MIN           1000ul
#define AFTER_MS_MAX           3600000ul

/* ---------------------------------------------------------------- create */

static uint32_t groups_at(const struct cw_store_view *view, const char *site)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->group_count; i++)
        count += cw_group_has_site(&view->groups[i], site);
    return count;
}

/* Of the sites of a group, those with one number; NULL when good. */
static json_t *check_numbers(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group)
{
    const char *has[CW_SET_MAX] = {NULL};
    for (uint32_t i = 0; i < group->site_count; i++) {
        const char *site = group->sites[i];
        uint32_t id = cw_view_site(controller->view, site)->id;
        if (id < CW_SET_MAX && has[id])
            return cw_answer(message, 1, "%s and %s have the same id, %u: no group can be at both", has[id],
                             site, id);
        if (id < CW_SET_MAX)
            has[id] = site;
        if (groups_at(controller->view, site) >= CW_NODE_GROUPS_MAX)
            return cw_answer(message, 1, "%s has %u groups, as many as a node is given: take another one",
                             site, CW_NODE_GROUPS_MAX);
    }
    return NULL;
}

/* params.sites, the primary first; NULL when good. */
static json_t *read_sites(struct cw_controller *controller, const struct cw_rpc_message *message,
                          struct cw_store_group *group)
{
    const json_t *sites = json_object_get(message->params, "sites");
    size_t index;
    json_t *entry;
    if (json_array_size(sites) < 2 || json_array_size(sites) > CW_SET_MAX)
        return cw_misuse(message,
                         "a group wants a primary and at least one replica: --primary SITE --replica SITE");
    json_array_foreach(sites, index, entry)
    {
        const char *name = json_string_value(entry);
        if (!name || !cw_view_site(controller->view, name))
            return cw_answer(message, 2, "no site is called %.40s: see causeway status", name ? name : "?");
        if (cw_group_has_site(group, name))
            return cw_answer(message, 2, "%s is named twice", name);
        if (cw_site_is_witness(controller, name))
            return cw_answer(message, 2, "%s is a witness: it has no engine, and no group can be there",
                             name);
        snprintf(group->sites[group->site_count++], CW_NAME_SIZE, "%s", name);
    }
    memcpy(group->first, group->sites[0], sizeof group->first);
    memcpy(group->home, group->sites[0], sizeof group->home);
    return check_numbers(controller, message, group);
}

static json_t *read_group(struct cw_controller *controller, const struct cw_rpc_message *message,
                          struct cw_store_group *group)
{
    const json_t *params = message->params;
    const char *name = cw_json_text(params, "group", "");
    *group =
        (struct cw_store_group){.replica_timeout_ms = 5000,
                                .max_loss_ms = 60000,
                                .after_ms = CW_STORE_AFTER_MS,
                                .copy_brake_ms = 2000,
                                .journal_bytes = cw_json_u64(params, "journal_bytes", JOURNAL_BYTES_DEFAULT)};
    if (!cw_config_name_check(name))
        return cw_answer(message, 2, "a group's name has 1 to %u letters, digits, '-', '_', '.'",
                         CW_NAME_SIZE - 1);
    snprintf(group->name, sizeof group->name, "%s", name);
    if (!cw_mode_word_parse(cw_json_text(params, "mode", ""), &group->mode))
        return cw_misuse(message, "--mode wants async, network-sync, semi-sync or sync");
    if (group->journal_bytes < JOURNAL_BYTES_MIN || group->journal_bytes % 4096)
        return cw_answer(message, 2, "--journal-size wants at least %lluM, a multiple of 4K",
                         JOURNAL_BYTES_MIN / CW_MIB);
    return read_sites(controller, message, group);
}

/* Where the journal of one site goes: as asked, or the default; NULL when good. */
static json_t *place_journal(struct cw_controller *controller, const struct cw_rpc_message *message,
                             const struct cw_store_group *group, const char *site,
                             struct cw_store_place *place)
{
    const char *asked = cw_json_text(json_object_get(message->params, "journals"), site, NULL);
    bool is_one_machine = !controller->config.etcd.count;
    char why[sizeof place->error];
    int error;
    *place = (struct cw_store_place){.group = group->id, .volume = CW_STORE_JOURNAL};
    snprintf(place->site, sizeof place->site, "%s", site);
    int length = asked ? snprintf(place->path, sizeof place->path, "%s", asked)
                       : snprintf(place->path, sizeof place->path, "%.200s/%s.journal",
                                  cw_view_site(controller->view, site)->storage, group->name);
    if (length < 0 || (size_t)length >= sizeof place->path || place->path[0] != '/')
        return cw_misuse(message, "a journal wants an absolute path of at most 255 bytes");
    place->is_unseen = !is_one_machine; /* at other machines only their own controllers can look */
    if (!is_one_machine && strcmp(site, controller->config.site) != 0)
        return NULL;
    bool is_free = cw_place_is_free(place->path, &error);
    place->is_ours = is_free && is_one_machine;
    if (is_free || error || cw_place_is_device(place->path)) /* the engine says what is wrong with a path */
        return NULL;
    cw_place_words(controller, place, why, sizeof why);
    return cw_answer(message, 3, "%s", why);
}

/* A group keeps its name until every site has forgotten it: its journals bear that name. */
static json_t *answer_taken(const struct cw_controller *controller, const struct cw_rpc_message *message,
                            const char *name)
{
    const struct cw_store_group *group = cw_view_group(controller->view, name);
    if (!group || !group->is_deleting)
        return cw_answer(message, 1, "there is a group %s already", name);
    const char *away = cw_deletion_site(controller, group->id, CW_STORE_JOURNAL, false);
    if (!away)
        return cw_answer(message, 1, "group %s is still being deleted: give the command again in a moment",
                         name);
    return cw_answer(
        message, 1,
        "group %s is still being deleted: %s, which is not there, has its part of it yet. Start %s: "
        "then the name is free. Or take another name",
        name, away, away);
}

/* In one transaction; NULL when good. */
static json_t *store_group(struct cw_controller *controller, const struct cw_rpc_message *message,
                           struct cw_store_group *group)
{
    enum cw_status status = cw_store_group_add(controller->store, group);
    if (status == CW_EXISTS)
        return answer_taken(controller, message, group->name);
    if (status == CW_NO_SPACE)
        return cw_answer(message, 1,
                         "there are %u groups, as many as the store keeps: delete one that is not needed",
                         CW_STORE_GROUPS_MAX);
    if (status != CW_OK)
        return cw_fail_store(controller, message, "the group", status);
    for (uint32_t i = 0; i < group->site_count; i++) {
        struct cw_store_place place;
        json_t *reply = place_journal(controller, message, group, group->sites[i], &place);
        if (reply)
            return reply;
        status = cw_store_place_put(controller->store, &place);
        if (status == CW_EXISTS)
            return cw_answer(message, 1, "%s is in use by another group", place.path);
        if (status != CW_OK)
            return cw_fail_store(controller, message, "the group", status);
    }
    return NULL;
}

static json_t *start_creating(struct cw_controller *controller, const struct cw_rpc_message *message,
                              enum cw_operation_kind kind, uint32_t group, int32_t volume)
{
    struct cw_operation *operation = cw_operation_start(controller, kind, group, CREATE_LIMIT_NS);
    if (!operation)
        return cw_fail(message, "too many commands at once: try again");
    operation->volume = volume;
    return cw_rpc_result(message->id, json_pack("{s:I}", "operation", (json_int_t)operation->id));
}

json_t *cw_serve_group_create(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    struct cw_store_group group;
    json_t *reply = read_group(controller, message, &group);
    if (reply)
        return reply;
    enum cw_status status = CW_STALE;
    for (uint32_t i = 0; i < CW_STORE_TRIES && status == CW_STALE && !reply; i++) {
        if (cw_store_begin(controller->store) != CW_OK)
            return cw_fail_store(controller, message, "the group", CW_IO);
        reply = store_group(controller, message, &group);
        status = cw_store_end(controller->store, reply == NULL);
    }
    if (status != CW_OK && !reply)
        reply = cw_fail_store(controller, message, "the group", status);
    if (reply)
        return reply;
    (void)cw_view_refresh(controller);
    cw_event(controller, 0, group.name, "created, %s, primary %s", cw_mode_word_name(group.mode),
             group.first);
    return start_creating(controller, message, CW_OP_GROUP_CREATE, group.id, CW_STORE_JOURNAL);
}

/* ---------------------------------------------------------------- set and delete */

/* TIME, SIZE, or TIME,SIZE; what is not named stays. */
static json_t *set_max_loss(const struct cw_rpc_message *message, struct cw_store_group *group,
                            const char *value)
{
    char first[40];
    const char *comma = strchr(value, ',');
    uint64_t time_ms = 0, bytes = 0;
    snprintf(first, sizeof first, "%.*s", comma ? (int)CW_MIN(comma - value, 39) : 39, value);
    bool is_time = strcmp(first, "0") != 0 && cw_quantity_milliseconds(first, &time_ms);
    const char *size = comma ? comma + 1 : value;
    bool is_size = is_time == (comma != NULL) && (strcmp(size, "0") == 0 || cw_quantity_bytes(size, &bytes));
    if ((comma && !is_size) || (!is_time && !is_size) ||
        (is_time && (time_ms < 100 || time_ms > MAX_LOSS_MS_MAX)) || (is_size && bytes > MAX_LOSS_BYTES_MAX))
        return cw_misuse(message,
                         "max_loss wants a time from 100ms to 24h, a size up to 1P (0: any), or both: "
                         "max_loss=10s,64M");
    if (is_time)
        group->max_loss_ms = time_ms;
    if (is_size)
        group->max_loss_bytes = bytes;
    return NULL;
}

static json_t *set_failover(const struct cw_controller *controller, const struct cw_rpc_message *message,
                            struct cw_store_group *group, const char *value)
{
    bool is_automatic = strcmp(value, "automatic") == 0;
    if (!is_automatic && strcmp(value, "manual") != 0)
        return cw_misuse(message, "failover wants manual or automatic");
    if (is_automatic && controller->config.etcd.count == 0)
        return cw_refuse(
            message,
            "the embedded store is a file of one machine: whatever takes that machine away takes all "
            "sites and the store with it, and nothing could fail over by itself. Failover is manual "
            "there: causeway promote. For failover=automatic, sites on machines of their own with "
            "etcd at three of them (etcd: in the configuration)");
    group->is_automatic = is_automatic;
    return NULL;
}

/* One KEY=VALUE; NULL when good. */
static json_t *set_one(const struct cw_controller *controller, const struct cw_rpc_message *message,
                       struct cw_store_group *group, const char *key, const char *value)
{
    uint64_t number = 0;
    if (strcmp(key, "mode") == 0)
        return cw_mode_word_parse(value, &group->mode)
                   ? NULL
                   : cw_misuse(message, "mode wants async, network-sync, semi-sync or sync");
    if (strcmp(key, "min_in_sync") == 0) {
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return cw_misuse(message, "min_in_sync wants 0 (goes on alone) or 1 (holds writes when alone)");
        group->min_in_sync = value[0] == '1';
        return NULL;
    }
    if (strcmp(key, "replica_timeout") == 0) {
        if (!cw_quantity_milliseconds(value, &number) || number < 100 || number > REPLICA_TIMEOUT_MS_MAX)
            return cw_misuse(message, "replica_timeout wants a time from 100ms to 10m, such as 5s");
        group->replica_timeout_ms = number;
        return NULL;
    }
    if (strcmp(key, "max_loss") == 0)
        return set_max_loss(message, group, value);
    if (strcmp(key, "copy_brake") == 0) {
        if (strcmp(value, "0") != 0 &&
            (!cw_quantity_milliseconds(value, &number) || number > COPY_BRAKE_MS_MAX))
            return cw_misuse(message,
                             "copy_brake wants a time up to 60s, or 0: no write is slowed for a copy");
        group->copy_brake_ms = number;
        return NULL;
    }
    if (strcmp(key, "home") == 0) {
        if (!cw_group_has_site(group, value))
            return cw_answer(message, 2, "home wants a site of group %s", group->name);
        snprintf(group->home, sizeof group->home, "%s", value);
        return NULL;
    }
    if (strcmp(key, "failover") == 0)
        return set_failover(controller, message, group, value);
    if (strcmp(key, "after") == 0) {
        if (!cw_quantity_milliseconds(value, &number) || number < AFTER_MS_MIN || number > AFTER_MS_MAX)
            return cw_misuse(message, "after wants a time from 1s to 1h, such as 3s");
        group->after_ms = number;
        return NULL;
    }
    return cw_answer(message, 2,
                     "no setting is called %.40s: mode, min_in_sync, replica_timeout, max_loss, copy_brake, "
                     "home, failover, after",
                     key);
}

/* What was asked for, and nothing else, on what the row is now. NULL when good. */
static json_t *set_all(const struct cw_controller *controller, const struct cw_rpc_message *message,
                       struct cw_store_group *group)
{
    const char *key;
    json_t *value, *reply = NULL;
    if (group->is_deleting)
        return cw_answer(message, 1, "group %s is being deleted", group->name);
    json_object_foreach(json_object_get(message->params, "settings"), key, value)
    {
        if (!reply)
            reply = set_one(controller, message, group, key,
                            json_string_value(value) ? json_string_value(value) : "");
    }
    return reply;
}

/* With the settings goes what is known of a group that leaves semi-sync: its members may hold acknowledged
 * writes in memory only, whatever the mode is from now on. Who says failover=automatic allows another one,
 * however lately the last one was. */
static enum cw_status update_authority(struct cw_store *store, uint32_t group, bool leaves_memory,
                                       bool allows_failover)
{
    struct cw_authority now, next;
    uint64_t counter;
    if (!leaves_memory && !allows_failover)
        return CW_OK;
    CW_TRY(cw_store_authority(store, group, &now, &counter));
    if (!leaves_memory && now.automatic_epoch == 0)
        return CW_OK;
    next = now;
    for (uint32_t i = 0; i < next.set.count; i++)
        next.set.list[i].in_memory = next.set.list[i].in_memory || leaves_memory;
    if (allows_failover)
        next.automatic_epoch = 0;
    return cw_store_swap(store, group, &now, &next, false, counter);
}

/* One try, as one change of the store. *reply: refused, or nonsense. */
static enum cw_status update_group(struct cw_controller *controller, const struct cw_rpc_message *message,
                                   struct cw_store_group *group, json_t **reply)
{
    const json_t *settings = json_object_get(message->params, "settings");
    struct cw_store *store = controller->store;
    CW_TRY(cw_store_begin(store));
    enum cw_status status = cw_store_group_read(store, group->id, group);
    bool was_in_memory = group->mode == CW_WORD_SEMI_SYNC;
    if (status == CW_OK)
        *reply = set_all(controller, message, group);
    if (status == CW_OK && !*reply)
        status = cw_store_group_update(store, group);
    if (status == CW_OK && !*reply)
        status = update_authority(store, group->id, was_in_memory && group->mode != CW_WORD_SEMI_SYNC,
                                  strcmp(cw_json_text(settings, "failover", ""), "automatic") == 0);
    enum cw_status ended = cw_store_end(store, status == CW_OK && !*reply);
    return status == CW_OK ? ended : status;
}

json_t *cw_serve_group_set(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_group *found = cw_asked_group(controller, message, &reply);
    if (!found)
        return reply;
    struct cw_store_group group = *found;
    enum cw_status status = CW_STALE;
    for (uint32_t i = 0; i < CW_STORE_TRIES && status == CW_STALE && !reply; i++)
        status = update_group(controller, message, &group, &reply);
    if (reply)
        return reply;
    if (status == CW_NOT_FOUND)
        return cw_answer(message, 1, "group %s was deleted", group.name);
    if (status != CW_OK)
        return cw_fail_store(controller, message, "the settings", status);
    (void)cw_view_refresh(controller);
    cw_event(
        controller, 0, group.name,
        "settings: mode=%s min_in_sync=%u replica_timeout=%lums max_loss=%lums,%lu copy_brake=%lums home=%s "
        "failover=%s after=%lums",
        cw_mode_word_name(group.mode), group.min_in_sync, group.replica_timeout_ms, group.max_loss_ms,
        group.max_loss_bytes, group.copy_brake_ms, group.home, group.is_automatic ? "automatic" : "manual",
        group.after_ms);
    return cw_rpc_result(message->id, NULL);
}

/* What has a volume of it first goes altogether. */
static json_t *answer_has_volume(const struct cw_controller *controller, const struct cw_rpc_message *message,
                                 const struct cw_store_group *group, const struct cw_store_volume *volume)
{
    const char *away = cw_deletion_site(controller, group->id, volume->volume, false);
    if (!volume->is_deleting)
        return cw_answer(message, 3, "group %s has volumes; delete them first: causeway volume delete %s/%s",
                         group->name, group->name, volume->name);
    if (!away)
        return cw_answer(message, 1,
                         "volume %s/%s is still being deleted: give the command again in a moment",
                         group->name, volume->name);
    return cw_answer(
        message, 1,
        "volume %s/%s is still being deleted: %s, which is not there, has its part of it yet. Start "
        "%s, then give the command again",
        group->name, volume->name, away, away);
}

json_t *cw_serve_group_delete(struct cw_controller *controller, const struct cw_rpc_message *message)
{
    json_t *reply = NULL;
    const struct cw_store_group *found = cw_asked_group(controller, message, &reply);
    if (!found)
        return reply;
    struct cw_store_group group = *found;
    uint32_t first = cw_view_volumes_from(controller->view, group.id);
    if (cw_view_is_volume_of(controller->view, first, group.id))
        return answer_has_volume(controller, message, &group, &controller->view->volumes[first]);
    enum cw_status status = cw_store_group_deleting(controller->store, group.id);
    if (status == CW_EXISTS)
        return cw_answer(message, 1, "a volume of group %s was made just now: see causeway status",
                         group.name);
    if (status != CW_OK)
        return cw_fail_store(controller, message, "that", status);
    (void)cw_view_refresh(controller);
    cw_event(controller, 1, group.name, "is being deleted");
    return cw_rpc_result(message->id, NULL);
}
