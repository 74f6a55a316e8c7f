/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's telemetry socket answers from what the control thread saw last, at most a second old: its callbacks
 * run on a thread of DPDK, which asks nobody and waits for nobody.
 */
#include <pthread.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "engine/control.h"

struct group_line {
    bool is_used;
    char name[64];
    char role[16];
    uint64_t epoch, head, durable, applied;
};

struct path_line {
    char name[32];
    bool is_up;
};

static struct {
    pthread_mutex_t lock;
    char site[CW_CONFIG_NAME_SIZE];
    struct group_line groups[CW_GROUPS_MAX];
    struct path_line paths[CW_PATHS_MAX];
    uint32_t path_count;
    uint64_t counters[CW_STORE_COUNTER_COUNT];
    uint64_t nbd[CW_NBD_COUNTER_COUNT];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void add_group(struct rte_tel_data *to, const struct group_line *group)
{
    struct rte_tel_data *one = rte_tel_data_alloc();
    if (one == NULL)
        return;
    rte_tel_data_start_dict(one);
    rte_tel_data_add_dict_string(one, "role", group->role);
    rte_tel_data_add_dict_u64(one, "epoch", group->epoch);
    rte_tel_data_add_dict_u64(one, "head", group->head);
    rte_tel_data_add_dict_u64(one, "durable", group->durable);
    rte_tel_data_add_dict_u64(one, "applied", group->applied);
    rte_tel_data_add_dict_container(to, group->name, one, 0);
}

static int on_status(const char *command, const char *parameters, struct rte_tel_data *data)
{
    rte_tel_data_start_dict(data);
    pthread_mutex_lock(&seen.lock);
    rte_tel_data_add_dict_string(data, "site", seen.site);
    for (uint32_t i = 0; i < seen.path_count; i++)
        rte_tel_data_add_dict_u64(data, seen.paths[i].name, seen.paths[i].is_up);
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (seen.groups[i].is_used)
            add_group(data, &seen.groups[i]);
    }
    pthread_mutex_unlock(&seen.lock);
    return 0;
}

static int on_counters(const char *command, const char *parameters, struct rte_tel_data *data)
{
    rte_tel_data_start_dict(data);
    pthread_mutex_lock(&seen.lock);
    for (unsigned i = 0; i < CW_STORE_COUNTER_COUNT; i++)
        rte_tel_data_add_dict_u64(data, cw_store_counter_names[i], seen.counters[i]);
    for (unsigned i = 0; i < CW_NBD_COUNTER_COUNT; i++)
        rte_tel_data_add_dict_u64(data, cw_nbd_counter_names[i], seen.nbd[i]);
    pthread_mutex_unlock(&seen.lock);
    return 0;
}

void cw_telemetry_register(struct cw_control *control)
{
    snprintf(seen.site, sizeof seen.site, "%s", control->engine->config.site);
    int error =
        rte_telemetry_register_cmd("/causeway/status", on_status, "Groups and paths. Takes no parameters");
    error |= rte_telemetry_register_cmd("/causeway/counters", on_counters, "Counters. Takes no parameters");
    if (error != 0)
        fprintf(stderr,
                "causeway-engine: DPDK takes no telemetry commands: that source of counters is missing\n");
}

static void update_group(struct group_line *to, const struct cw_control_group *group,
                         const struct cw_group_snapshot *from)
{
    to->is_used = group->state == CW_ATTACH_RUNNING && from->is_used;
    if (!to->is_used)
        return;
    snprintf(to->name, sizeof to->name, "%.63s", group->name);
    snprintf(to->role, sizeof to->role, "%s", cw_role_name(from->status.role));
    to->epoch = from->status.epoch;
    to->head = from->status.head;
    to->durable = from->status.sequences.durable;
    to->applied = from->status.sequences.applied;
}

void cw_telemetry_update(struct cw_control *control, const struct cw_snapshot *snapshot)
{
    const struct cw_node_config *config = &control->engine->config;
    pthread_mutex_lock(&seen.lock);
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++)
        update_group(&seen.groups[i], &control->groups[i], &snapshot->groups[i]);
    seen.path_count = config->path_count;
    for (uint32_t i = 0; i < config->path_count; i++) {
        snprintf(seen.paths[i].name, sizeof seen.paths[i].name, "%s", config->paths[i].name);
        struct cw_path_snapshot path;
        cw_snapshot_path(snapshot, config->lane_count, i, &path);
        seen.paths[i].is_up = path.is_up;
    }
    memcpy(seen.counters, snapshot->store_counters, sizeof seen.counters);
    memcpy(seen.nbd, snapshot->nbd_counters, sizeof seen.nbd);
    pthread_mutex_unlock(&seen.lock);
}
