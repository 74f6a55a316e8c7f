/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups and volumes come and go. Whatever blocks is a job of the worker; whatever the store lcore owns goes
 * there as a command. One change of a group at a time: a second is refused with "again".
 *
 *   group.attach:  job opens the journal -> nothing missing: job recovers -> command GROUP_ADD -> reply
 *                                        -> volumes missing: reply with their list; state waiting
 *   volume.attach: job opens the file -> waiting, and it was the last one: job recovers -> GROUP_ADD -> reply
 *                                     -> running: command VOLUME_ADD -> reply
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/attach_params.h"
#include "engine/clock.h"

struct attach_job {
    struct cw_job job;
    struct cw_control *control;
    struct cw_control_group *group;
    struct cw_call *call;
    bool is_attach; /* reply as group.attach does */
    enum cw_status status;
    char why[CW_WHY_SIZE];
    /* group.attach */
    char path[512];
    uint64_t size;
    bool create;
    /* volume.attach */
    struct cw_volume_params volume;
    struct cw_store_volume *opened;
};

static struct attach_job *job_new(struct cw_call *call, void (*run)(struct cw_job *),
                                  void (*done)(struct cw_job *))
{
    struct attach_job *job = calloc(1, sizeof *job);
    CW_ASSERT(job != NULL && "a few kilobytes on the control thread");
    job->job.run = run;
    job->job.done = done;
    job->control = call->control;
    job->group = call->group;
    job->call = call;
    return job;
}

static void submit(struct attach_job *job)
{
    job->group->is_busy = true;
    cw_jobs_submit(&job->control->jobs, &job->job);
}

static bool is_busy(struct cw_call *call)
{
    if (call->group == NULL || !call->group->is_busy)
        return false;
    cw_call_refuse(call, CW_AGAIN, "an earlier change of group %s is still under way", call->group->name);
    return true;
}

/* ---------------------------------------------------------------- starting */

static json_t *missing_json(const struct cw_control_group *group)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        if (group->setup.missing & 1ull << i)
            json_array_append_new(list, json_integer(i));
    }
    return list;
}

static void reply_attached(struct cw_control_group *group, struct cw_call *call)
{
    const struct cw_engine *engine = call->control->engine;
    cw_call_reply(call, json_pack("{s:o, s:o}", "identity",
                                  cw_json_identity(engine, engine->config.site_id, &group->identity),
                                  "missing_volumes", missing_json(group)));
}

static void finish(struct attach_job *job)
{
    job->group->is_busy = false;
    if (job->status != CW_OK)
        cw_call_refuse(job->call, job->status, "%s", job->why);
    else if (job->is_attach)
        reply_attached(job->group, job->call);
    else
        cw_call_reply(job->call, NULL);
    free(job);
}

static void on_added(struct cw_command *command)
{
    struct attach_job *job = command->context;
    struct cw_control_group *group = job->group;
    cw_control_free_command(command);
    group->state = CW_ATTACH_RUNNING;
    group->reason[0] = 0;
    cw_control_event(job->control, 0, group->id, "attached: %llu records put in place, %llu kept for later",
                     (unsigned long long)group->setup.records_applied,
                     (unsigned long long)group->setup.records_kept);
    finish(job);
}

static void say_missing(struct cw_control_group *group)
{
    size_t length =
        (size_t)snprintf(group->reason, sizeof group->reason, "it waits for volumes to be attached:");
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX && length < sizeof group->reason - 8; i++) {
        if (group->setup.missing & 1ull << i)
            length += (size_t)snprintf(group->reason + length, sizeof group->reason - length, " %u", i);
    }
}

static void wait_for_volumes(struct attach_job *job)
{
    job->group->state = CW_ATTACH_WAITING;
    say_missing(job->group);
    finish(job);
}

static void run_start(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    job->status = cw_setup_start(&job->group->setup, job->why, sizeof job->why);
}

static void done_start(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    struct cw_control_group *group = job->group;
    if (job->status == CW_OK) {
        struct cw_command *command = cw_control_command(CW_COMMAND_GROUP_ADD, group->slot, on_added, job);
        command->group = group->setup.group;
        cw_control_post(job->control, command);
        return;
    }
    if (job->status == CW_NOT_FOUND && group->setup.missing != 0) {
        job->status = CW_OK;
        wait_for_volumes(job);
        return;
    }
    group->state = CW_ATTACH_WAITING;
    snprintf(group->reason, sizeof group->reason, "%s", job->why);
    cw_control_event(job->control, 2, group->id, "%s cannot start: %s", group->name, job->why);
    finish(job);
}

/* The job goes on as the one that starts the group, if nothing is missing. */
static void start_or_wait(struct attach_job *job)
{
    if (job->group->setup.missing != 0) {
        wait_for_volumes(job);
        return;
    }
    job->group->state = CW_ATTACH_STARTING;
    job->group->reason[0] = 0;
    job->job.run = run_start;
    job->job.done = done_start;
    submit(job);
}

/* ---------------------------------------------------------------- group.attach */

static struct cw_control_group *unused_group(struct cw_control *control)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (control->groups[i].state == CW_ATTACH_NONE)
            return &control->groups[i];
    }
    return NULL;
}

static void fill_config(const struct cw_engine *engine, const struct cw_attach_params *params,
                        struct cw_group_config *config)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t wall_ns = wall.tv_sec * (int64_t)CW_SECOND + wall.tv_nsec;
    *config =
        (struct cw_group_config){.group = (uint32_t)params->id,
                                 .self = engine->config.site_id,
                                 .sites = params->sites,
                                 .mode = params->mode,
                                 .min_in_sync = (uint8_t)params->min_in_sync,
                                 .replica_timeout_ns = params->timeout_ms * CW_MS,
                                 .copy_brake_ns = params->brake_ms * CW_MS,
                                 .commit_interval_ns = 100 * CW_MS,
                                 .gather_timeout_ns = 2 * CW_SECOND,
                                 .checkpoint_interval_ns = CW_SECOND,
                                 .lease_ns = engine->config.lease_ms * CW_MS,
                                 .peer_grants = engine->config.peer_grants,
                                 .is_store_epoch_told = params->has_store_epoch,
                                 .store_epoch = params->store_epoch,
                                 .wall_offset_ns = wall_ns - (int64_t)cw_clock_now_ns(),
                                 .log_entries = CW_LOG_ENTRIES,
                                 .copy_chunk_bytes = CW_RECORD_PAYLOAD_MAX,
                                 .payload_bytes_soft = (uint64_t)engine->config.payload_mb * CW_MIB / 4};
    config->identity.boot_id[0] = engine->boot_id[0];
    config->identity.boot_id[1] = engine->boot_id[1];
    config->identity.process_start = engine->process_start;
}

static bool make_setup(struct cw_control *control, struct cw_control_group *group,
                       const struct cw_attach_params *params)
{
    struct cw_store_group *stored = calloc(1, sizeof *stored);
    uint8_t **recovered = calloc(CW_LOG_ENTRIES, sizeof *recovered);
    if (stored == NULL || recovered == NULL) {
        free(stored);
        free(recovered);
        return false;
    }
    stored->recovered = recovered;
    stored->id = (uint32_t)params->id;
    stored->slot = group->slot;
    stored->sites = params->sites;
    snprintf(stored->name, sizeof stored->name, "%s", params->name);
    group->setup = (struct cw_setup){.engine = control->engine, .group = stored, .removed = params->removed};
    fill_config(control->engine, params, &group->setup.config);
    group->identity = group->setup.config.identity;
    return true;
}

static void run_journal(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    job->status =
        cw_setup_journal(&job->group->setup, job->path, job->size, job->create, job->why, sizeof job->why);
}

static void done_journal(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    struct cw_control_group *group = job->group;
    if (job->status == CW_OK) {
        group->identity = group->setup.config.identity;
        start_or_wait(job);
        return;
    }
    free(group->setup.group->recovered);
    free(group->setup.group);
    group->setup.group = NULL;
    group->state = CW_ATTACH_NONE;
    finish(job);
}

static void on_set(struct cw_command *command)
{
    struct cw_call *call = command->context;
    reply_attached(call->group, call);
    cw_control_free_command(command);
}

/* What it waited for may have been deleted meanwhile: then that was the last of what it waited for. */
static void change_unstarted(struct cw_call *call, const struct cw_attach_params *params)
{
    struct cw_control_group *group = call->group;
    struct cw_setup *setup = &group->setup;
    setup->group->sites = params->sites;
    setup->removed = params->removed;
    if ((setup->missing & params->removed) == 0) {
        reply_attached(group, call);
        return;
    }
    setup->missing &= ~params->removed;
    struct attach_job *job = job_new(call, run_start, done_start);
    job->is_attach = true;
    start_or_wait(job);
}

/* Attached already: other settings take effect, the journal stays what it is. */
static void change_settings(struct cw_call *call, const struct cw_attach_params *params)
{
    struct cw_control_group *group = call->group;
    if (params->create) {
        cw_call_refuse(call, CW_EXISTS, "group %s is attached already", group->name);
        return;
    }
    group->mode = params->mode;
    group->min_in_sync = (uint8_t)params->min_in_sync;
    group->sites = params->sites;
    group->setup.config.mode = params->mode;
    group->setup.config.min_in_sync = (uint8_t)params->min_in_sync;
    group->setup.config.sites = params->sites;
    group->setup.config.replica_timeout_ns = params->timeout_ms * CW_MS;
    group->setup.config.copy_brake_ns = params->brake_ms * CW_MS;
    if (group->state != CW_ATTACH_RUNNING) {
        change_unstarted(call, params);
        return;
    }
    struct cw_command *command = cw_control_command(CW_COMMAND_GROUP_SET, group->slot, on_set, call);
    command->set.mode = params->mode;
    command->set.min_in_sync = (uint8_t)params->min_in_sync;
    command->set.sites = params->sites;
    command->set.replica_timeout_ns = params->timeout_ms * CW_MS;
    command->set.copy_brake_ns = params->brake_ms * CW_MS;
    command->set.removed = params->removed;
    cw_control_post(call->control, command);
}

static void attach_new(struct cw_call *call, const struct cw_attach_params *params)
{
    struct cw_control_group *group = unused_group(call->control);
    if (group == NULL) {
        cw_call_refuse(call, CW_NO_SPACE, "%u groups are attached, as many as one engine carries",
                       CW_GROUPS_MAX);
        return;
    }
    if (!make_setup(call->control, group, params)) {
        cw_call_refuse(call, CW_NO_SPACE, "no memory for the group");
        return;
    }
    group->state = CW_ATTACH_OPENING;
    group->id = (uint32_t)params->id;
    group->mode = params->mode;
    group->min_in_sync = (uint8_t)params->min_in_sync;
    group->sites = params->sites;
    group->volumes = 0;
    group->reason[0] = 0;
    snprintf(group->name, sizeof group->name, "%s", params->name);
    call->group = group;
    call->slot = group->slot;
    struct attach_job *job = job_new(call, run_journal, done_journal);
    job->is_attach = true;
    snprintf(job->path, sizeof job->path, "%s", params->path);
    job->size = params->size;
    job->create = params->create;
    submit(job);
}

void cw_method_group_attach(struct cw_call *call)
{
    struct cw_attach_params params;
    const char *mistake = cw_attach_params_of_group(call, &params);
    if (mistake != NULL) {
        cw_call_refuse(call, CW_INVALID, "group.attach: %s", mistake);
        return;
    }
    call->group = cw_control_find(call->control, (uint32_t)params.id);
    if (call->group == NULL)
        attach_new(call, &params);
    else if (!is_busy(call))
        change_settings(call, &params);
}

/* ---------------------------------------------------------------- group.detach */

static void run_close(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    cw_setup_group_free(job->group->setup.group);
}

static void done_close(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    job->group->setup.group = NULL;
    job->group->state = CW_ATTACH_NONE;
    cw_control_event(job->control, 0, job->group->id, "%s is detached", job->group->name);
    finish(job);
}

static void close_group(struct cw_call *call)
{
    call->group->state = CW_ATTACH_LEAVING;
    submit(job_new(call, run_close, done_close));
}

static void on_removed(struct cw_command *command)
{
    struct cw_call *call = command->context;
    cw_control_free_command(command);
    close_group(call);
}

void cw_method_group_detach(struct cw_call *call)
{
    if (is_busy(call))
        return;
    call->group->is_busy = true;
    if (call->group->state != CW_ATTACH_RUNNING) {
        close_group(call);
        return;
    }
    call->group->state = CW_ATTACH_LEAVING;
    cw_control_post(call->control, cw_control_command(CW_COMMAND_GROUP_REMOVE, call->slot, on_removed, call));
}

/* ---------------------------------------------------------------- volume.attach */

static void run_volume(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    job->status = cw_setup_volume(job->opened, job->group->name, &job->volume, job->why, sizeof job->why);
}

static void on_volume_added(struct cw_command *command)
{
    struct attach_job *job = command->context;
    job->status = command->status;
    memcpy(job->why, command->why, sizeof job->why);
    cw_control_free_command(command);
    if (job->status != CW_OK)
        cw_setup_volume_close(job->opened);
    else
        job->group->volumes |= 1ull << job->volume.index;
    free(job->opened);
    finish(job);
}

/* Not started yet: the volume waits in the group for the recovery. */
static void keep_volume(struct attach_job *job)
{
    struct cw_control_group *group = job->group;
    struct cw_store_volume *place = &group->setup.group->volumes[job->volume.index];
    *place = *job->opened;
    free(job->opened);
    place->group = group->setup.group;
    place->block.engine = place;
    place->file.fault = &place->fault;
    group->setup.missing &= ~(1ull << job->volume.index);
    group->volumes |= 1ull << job->volume.index;
    start_or_wait(job);
}

static void done_volume(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    if (job->status != CW_OK) {
        free(job->opened);
        finish(job);
    } else if (job->group->state == CW_ATTACH_RUNNING) {
        struct cw_command *command =
            cw_control_command(CW_COMMAND_VOLUME_ADD, job->group->slot, on_volume_added, job);
        command->volume = job->volume.index;
        command->add = job->opened;
        cw_control_post(job->control, command);
    } else {
        keep_volume(job);
    }
}

void cw_method_volume_attach(struct cw_call *call)
{
    struct cw_volume_params params;
    const char *mistake = cw_attach_params_of_volume(call, &params);
    if (mistake != NULL) {
        cw_call_refuse(call, CW_INVALID, "volume.attach: %s", mistake);
        return;
    }
    if (is_busy(call))
        return;
    if (call->group->volumes & 1ull << params.index) { /* else its lock would be blamed on another engine */
        cw_call_refuse(call, CW_EXISTS, "volume %u is attached already", params.index);
        return;
    }
    struct attach_job *job = job_new(call, run_volume, done_volume);
    job->volume = params;
    job->opened = calloc(1, sizeof *job->opened);
    CW_ASSERT(job->opened != NULL);
    submit(job);
}

/* ---------------------------------------------------------------- volume.detach */

static void run_volume_close(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    cw_setup_volume_close(job->opened);
}

static void done_volume_close(struct cw_job *base)
{
    struct attach_job *job = CW_CONTAINER_OF(base, struct attach_job, job);
    free(job->opened);
    finish(job);
}

static void on_volume_removed(struct cw_command *command)
{
    struct attach_job *job = command->context;
    job->status = command->status;
    memcpy(job->why, command->why, sizeof job->why);
    cw_control_free_command(command);
    if (job->status == CW_OK) {
        job->group->volumes &= ~(1ull << job->volume.index);
        submit(job);
        return;
    }
    free(job->opened);
    finish(job);
}

void cw_method_volume_detach(struct cw_call *call)
{
    uint64_t index = CW_VOLUMES_PER_GROUP_MAX;
    (void)cw_call_u64(call, "volume", &index);
    if (index >= CW_VOLUMES_PER_GROUP_MAX) {
        cw_call_refuse(call, CW_INVALID, "volume.detach needs a volume from 0 to 63");
        return;
    }
    if (is_busy(call))
        return;
    if (!(call->group->volumes & 1ull << index)) {
        cw_call_refuse(call, CW_NOT_FOUND, "volume %u is not attached", (unsigned)index);
        return;
    }
    if (call->group->state != CW_ATTACH_RUNNING) {
        cw_call_refuse(call, CW_AGAIN, "group %s has not started: %s", call->group->name,
                       call->group->reason);
        return;
    }
    struct attach_job *job = job_new(call, run_volume_close, done_volume_close);
    job->opened = calloc(1, sizeof *job->opened);
    CW_ASSERT(job->opened != NULL);
    job->volume.index = (uint16_t)index;
    job->group->is_busy = true;
    struct cw_command *command =
        cw_control_command(CW_COMMAND_VOLUME_REMOVE, call->slot, on_volume_removed, job);
    command->volume = (uint16_t)index;
    command->add = job->opened;
    cw_control_post(call->control, command);
}
