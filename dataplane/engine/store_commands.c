/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control asks of the store lcore, and what follows from a group's role.
 *
 * Most commands are answered at once. Four wait: a fence until the role has left, a volume's removal until
 * nothing refers to it, a group's removal until it has stopped, the stop of the engine until all have.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/store.h"

#define VOLUME_REMOVAL_NS (5 * CW_SECOND)

__attribute__((format(printf, 3, 4))) static void refuse(struct cw_command *command, enum cw_status status,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    command->status = status;
    vsnprintf(command->why, sizeof command->why, format, arguments);
    va_end(arguments);
}

/* ---------------------------------------------------------------- exports follow the role */

static bool is_open_role(enum cw_role role)
{
    return role == CW_ROLE_PRIMARY || role == CW_ROLE_DRAINING || role == CW_ROLE_DRAINED;
}

static void export_open(struct cw_store_volume *volume)
{
    struct cw_store *store = volume->group->store;
    const struct cw_node_config *config = &store->engine->config;
    char why[CW_WHY_SIZE] = "";
    if (volume->socket[0] == 0)
        return;
    enum cw_status status = cw_nbd_export_add(&store->nbd, &volume->block, volume->socket,
                                              config->socket_mode, config->socket_group, why, sizeof why);
    if (status == CW_OK) {
        volume->export_state = CW_EXPORT_OPEN;
        volume->export_error[0] = 0;
    } else if (strcmp(volume->export_error, why) != 0) {
        memcpy(volume->export_error, why, sizeof volume->export_error);
        fprintf(stderr, "causeway-engine: volume %s/%s is not exported: %s\n", volume->group->name,
                volume->block.name, why);
        cw_store_event(store, 2, volume->group->id, "volume %llu cannot be exported: see the log",
                       volume->index, 0, 0);
    }
}

static void export_close(struct cw_store_volume *volume)
{
    if (volume->export_state != CW_EXPORT_OPEN)
        return;
    cw_nbd_export_remove(&volume->group->store->nbd, &volume->block);
    volume->export_state = CW_EXPORT_CLOSING;
}

static void export_follow(struct cw_store_volume *volume, bool must_be_open)
{
    if (volume->export_state == CW_EXPORT_CLOSING &&
        cw_nbd_export_is_gone(&volume->group->store->nbd, &volume->block))
        volume->export_state = CW_EXPORT_CLOSED;
    if (!must_be_open) {
        export_close(volume);
        volume->export_error[0] = 0;
    } else if (volume->export_state == CW_EXPORT_CLOSED) {
        export_open(volume);
    }
}

/* ---------------------------------------------------------------- what waits */

static void volume_finish_removal(struct cw_store_volume *volume, const struct cw_group_status *status)
{
    struct cw_store_group *group = volume->group;
    struct cw_command *command = volume->removal;
    bool is_free = volume->export_state == CW_EXPORT_CLOSED && volume->runs == 0 && !group->is_image_lent;
    bool is_in_place = status->sequences.applied >= volume->removal_sequence;
    if (is_free && is_in_place && volume->in_flight == 0) {
        cw_group_volume_remove(group->group, volume->index);
        *command->add = *volume;
        memset(volume, 0, sizeof *volume);
    } else if (group->store->now_ns - volume->removal_ns > VOLUME_REMOVAL_NS) {
        volume->removal = NULL;
        refuse(
            command, CW_AGAIN,
            "writes to this volume are not in place yet, or its clients do not leave; detach it again later");
    } else {
        return;
    }
    cw_store_answer_command(group->store, command);
}

static bool group_is_free(const struct cw_store_group *group)
{
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        const struct cw_store_volume *volume = &group->volumes[i];
        if (volume->is_used && (volume->export_state != CW_EXPORT_CLOSED || volume->runs > 0))
            return false;
    }
    return cw_group_is_stopped(group->group) && group->ops_in_flight == 0 && group->sends_in_flight == 0 &&
           group->reads_in_flight == 0 && group->requests == 0 && !group->is_image_lent &&
           !group->is_backlogged;
}

static void stop_when_all_have(struct cw_store *store)
{
    if (store->stop == NULL)
        return;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL && !group_is_free(store->groups[i]))
            return;
    }
    if (!cw_nbd_is_stopped(&store->nbd))
        return;
    cw_store_answer_command(store, store->stop);
    store->stop = NULL;
    store->is_done = true;
}

static void finish_fence(struct cw_store_group *group)
{
    if (group->fence == NULL || is_open_role(group->role) || group->answers_first != NULL)
        return;
    cw_store_answer_command(group->store, group->fence);
    group->fence = NULL;
}

static void finish_removal(struct cw_store_group *group)
{
    if (group->removal == NULL || !group_is_free(group))
        return;
    struct cw_command *command = group->removal;
    group->store->groups[group->slot] = NULL;
    group->removal = NULL;
    command->group = group;
    cw_store_answer_command(group->store, command);
}

static void trace_role(struct cw_store_group *group, uint8_t role, uint64_t epoch)
{
    static const char *const texts[CW_ROLE_COUNT] = {
        [CW_ROLE_REPLICA] = "is replica, epoch %llu",   [CW_ROLE_GATHERING] = "is gathering, epoch %llu",
        [CW_ROLE_FETCHING] = "is fetching, epoch %llu", [CW_ROLE_CLAIMING] = "is claiming, epoch %llu",
        [CW_ROLE_OPENING] = "is opening, epoch %llu",   [CW_ROLE_PRIMARY] = "is primary, epoch %llu",
        [CW_ROLE_DRAINING] = "is draining, epoch %llu", [CW_ROLE_DRAINED] = "is drained, epoch %llu",
        [CW_ROLE_DOWN] = "is down, epoch %llu"};
    cw_store_trace(group->store, group->id, texts[role], epoch, 0, 0);
}

void cw_store_look(struct cw_store_group *group)
{
    struct cw_group_status status;
    struct cw_store *store = group->store;
    cw_group_status(group->group, store->now_ns, &status);
    if (status.role != group->role)
        trace_role(group, status.role, status.epoch);
    if (status.role != group->role && status.role >= CW_ROLE_OPENING)
        cw_lease_hurry(&store->lease, store->now_ns);
    group->role = status.role;
    group->epoch = status.epoch;
    group->must_look = false;
    group->role_check_ns = store->now_ns + CW_ROLE_CHECK_NS;
    group->is_watched =
        group->is_stopping || group->fence != NULL || store->stop != NULL ||
        (group->role != CW_ROLE_REPLICA && group->role != CW_ROLE_PRIMARY && group->role != CW_ROLE_DOWN);
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        struct cw_store_volume *volume = &group->volumes[i];
        if (!volume->is_used)
            continue;
        bool is_leaving = volume->removal != NULL || group->is_stopping;
        export_follow(volume, is_open_role(group->role) && !is_leaving);
        group->is_watched |= volume->export_state == CW_EXPORT_CLOSING || volume->removal != NULL;
        if (volume->removal != NULL)
            volume_finish_removal(volume, &status);
    }
    finish_fence(group);
    finish_removal(group);
}

/* ---------------------------------------------------------------- commands about groups */

static void group_stop(struct cw_store_group *group)
{
    if (group->is_stopping)
        return;
    group->is_stopping = true;
    group->must_look = true;
    cw_group_stop(group->group, group->store->now_ns);
}

static void group_add(struct cw_store *store, struct cw_command *command)
{
    struct cw_store_group *group = command->group;
    CW_ASSERT(command->slot < CW_GROUPS_MAX);
    CW_ASSERT(store->groups[command->slot] == NULL);
    group->store = store;
    group->slot = command->slot;
    group->lane = (uint8_t)cw_engine_lane_of(store->engine, group->id);
    group->must_look = true;
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++)
        group->volumes[i].group = group;
    store->groups[command->slot] = group;
    cw_store_tell_peers_up(group);
    if (store->stop != NULL) /* it was being recovered when all others were told */
        group_stop(group);
}

/* Records of a volume that never came here would wait for it for ever. One that is attached ends by its own
 * removal, when nothing is under way to it. */
static void forget_removed(struct cw_store_group *group, uint64_t removed)
{
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        if ((removed & 1ull << i) && !group->volumes[i].is_used)
            cw_group_volume_remove(group->group, (uint16_t)i);
    }
}

/* Sites that are peers from now on, and those that no longer are; and the other settings. */
static void group_set(struct cw_store_group *group, const struct cw_command *command)
{
    struct cw_store *store = group->store;
    uint8_t before = group->sites, after = command->set.sites;
    cw_group_set_mode(group->group, command->set.mode, command->set.min_in_sync, after);
    cw_group_set_replica_timeout(group->group, command->set.replica_timeout_ns);
    cw_group_set_copy_brake(group->group, command->set.copy_brake_ns);
    forget_removed(group, command->set.removed);
    group->sites = after;
    for (uint8_t peer = 0; peer < CW_SITES_MAX; peer++) {
        bool was = before & 1u << peer, is = after & 1u << peer;
        if (!cw_store_is_site_up(store, group->lane, peer) || was == is)
            continue;
        if (is)
            cw_group_on_peer_up(group->group, peer, store->now_ns);
        else
            cw_group_on_peer_down(group->group, peer, store->now_ns);
    }
}

static void group_open(struct cw_store_group *group, struct cw_command *command)
{
    enum cw_status status = cw_group_open(group->group, &command->open, group->store->now_ns);
    if (status == CW_OK)
        return;
    struct cw_group_status now;
    cw_group_status(group->group, group->store->now_ns, &now);
    refuse(command, status, "%s", now.refusal[0] != 0 ? now.refusal : "the group cannot be opened now");
}

static void group_drain(struct cw_store_group *group, struct cw_command *command)
{
    enum cw_status status = cw_group_drain(group->group, group->store->now_ns);
    if (status != CW_OK)
        refuse(command, status, "only a primary can be drained, and this site is not");
}

static void group_resync(struct cw_store_group *group, struct cw_command *command)
{
    enum cw_status status = cw_group_resync(group->group, command->resync.site);
    if (status != CW_OK)
        refuse(command, status, "a full copy is ordered at the primary, for another site of the group");
    command->resync.is_begun = cw_store_is_site_up(group->store, group->lane, command->resync.site);
}

static bool fence_is_done(struct cw_store_group *group, struct cw_command *command)
{
    if (group->fence != NULL) {
        refuse(command, CW_AGAIN, "a fence is under way already");
        return true;
    }
    cw_group_fence(group->group, command->epoch, group->store->now_ns);
    group->must_look = true;
    struct cw_group_status status;
    cw_group_status(group->group, group->store->now_ns, &status);
    if (status.epoch > command->epoch)
        return true; /* what may be answered is of a later epoch */
    group->fence = command;
    return false;
}

static void image_done(struct cw_store_group *group, struct cw_command *command)
{
    CW_ASSERT(group->is_image_lent);
    group->is_image_lent = false;
    cw_group_on_image(group->group, command->status);
    command->status = CW_OK;
}

static void claimed(struct cw_store_group *group, struct cw_command *command)
{
    CW_ASSERT(command->claimed.serial == group->claim_serial && "one claim at a time, and each is answered");
    cw_group_on_claimed(group->group, command->claimed.result, command->why, group->store->now_ns);
    group->must_look = true;
    cw_lease_hurry(&group->store->lease, group->store->now_ns);
}

/* ---------------------------------------------------------------- commands about volumes */

static void volume_add(struct cw_store_group *group, struct cw_command *command)
{
    struct cw_store_volume *volume = &group->volumes[command->volume];
    if (volume->is_used) {
        refuse(command, CW_EXISTS, "volume %u is attached already", command->volume);
        return;
    }
    if (group->is_image_lent) { /* a job goes through the volumes now */
        refuse(command, CW_AGAIN,
               "files of a full copy are being made or switched; attach the volume again in a moment");
        return;
    }
    *volume = *command->add;
    volume->group = group;
    volume->block.engine = volume;
    volume->file.fault = &volume->fault;
    cw_group_volume_add(group->group, volume->index, volume->size, volume->base, volume->file.is_device);
    group->must_look = true;
}

static bool volume_remove_is_done(struct cw_store_group *group, struct cw_command *command)
{
    struct cw_store_volume *volume = &group->volumes[command->volume];
    if (!volume->is_used || volume->removal != NULL) {
        refuse(command, CW_NOT_FOUND, "volume %u is not attached, or is being detached", command->volume);
        return true;
    }
    struct cw_group_status status;
    cw_group_status(group->group, group->store->now_ns, &status);
    volume->removal = command;
    volume->removal_sequence = CW_MAX(status.head, status.sequences.received);
    volume->removal_ns = group->store->now_ns;
    group->must_look = true;
    return false;
}

static void fault(struct cw_store_group *group, struct cw_command *command)
{
    struct cw_store_volume *volume = &group->volumes[command->volume];
    struct cw_disk_fault *where = command->fault.is_journal ? &group->journal_fault : &volume->fault;
    if (!command->fault.is_journal && !volume->is_used) {
        refuse(command, CW_NOT_FOUND, "volume %u is not attached", command->volume);
        return;
    }
    *where = (struct cw_disk_fault){.write_errno = command->fault.error,
                                    .sync_errno = command->fault.error,
                                    .after_writes = command->fault.after_writes,
                                    .after_syncs = command->fault.after_writes};
}

/* ---------------------------------------------------------------- the lease */

static void lease(struct cw_store *store, const struct cw_command *command)
{
    struct cw_lease granted = {0};
    (void)cw_lease_on_granted(&store->lease, command->lease.asked_ns, command->lease.lease_ms);
    bool is_lease = cw_lease_on_granted(&granted, command->lease.asked_ns, command->lease.lease_ms);
    for (uint32_t i = 0; i < command->lease.count && is_lease; i++) {
        const struct cw_lease_group *one = &command->lease.groups[i];
        struct cw_store_group *group = store->groups[one->slot];
        bool is_same = group != NULL && group->id == one->group && group->epoch == one->epoch;
        if (!is_same || granted.deadline_ns <= group->lease_deadline_ns)
            continue;
        group->lease_deadline_ns = granted.deadline_ns;
        cw_group_lease(group->group, granted.deadline_ns);
    }
    for (uint32_t i = 0; i < command->lease.lost_count; i++) {
        const struct cw_lease_group *one = &command->lease.lost[i];
        struct cw_store_group *group = store->groups[one->slot];
        if (group == NULL || group->id != one->group)
            continue;
        cw_store_event(store, 2, group->id,
                       "the lease of epoch %llu is lost: the store names another holder or epoch, "
                       "or does not know the group",
                       one->epoch, 0, 0);
        cw_group_fence(group->group, one->epoch, store->now_ns);
    }
}

/* ---------------------------------------------------------------- pictures */

static void snapshot_volume(struct cw_store *store, const struct cw_store_volume *volume,
                            struct cw_volume_snapshot *to)
{
    to->is_used = true;
    to->volume = volume->index;
    to->size = volume->size;
    to->base = cw_group_volume_base(volume->group->group, volume->index);
    to->is_open = volume->export_state == CW_EXPORT_OPEN;
    to->connections = to->is_open ? cw_nbd_export_connections(&store->nbd, &volume->block) : 0;
    memcpy(to->name, volume->block.name, sizeof to->name);
    memcpy(to->path, volume->file.path, sizeof to->path);
    memcpy(to->socket, volume->socket, sizeof to->socket);
    memcpy(to->export_error, volume->export_error, sizeof to->export_error);
    if (to->is_open)
        cw_nbd_export_uri(&store->nbd, &volume->block, to->uri, sizeof to->uri);
}

static void snapshot_rates(struct cw_store_group *group, struct cw_group_snapshot *to)
{
    uint64_t now_ns = group->store->now_ns, passed_ns = now_ns - group->rate_ns;
    uint64_t bytes = to->status.counters[CW_GROUP_WRITE_BYTES], writes = to->status.counters[CW_GROUP_WRITES];
    if (passed_ns >= 200 * CW_MS) {
        group->bytes_per_second = (uint64_t)((double)(bytes - group->rate_bytes) * 1e9 / (double)passed_ns);
        group->writes_per_second =
            (uint64_t)((double)(writes - group->rate_writes) * 1e9 / (double)passed_ns);
        group->rate_ns = now_ns;
        group->rate_bytes = bytes;
        group->rate_writes = writes;
    }
    to->bytes_per_second = group->bytes_per_second;
    to->writes_per_second = group->writes_per_second;
}

static void snapshot_group(struct cw_store_group *group, struct cw_group_snapshot *to)
{
    to->is_used = true;
    to->group = group->id;
    cw_group_status(group->group, group->store->now_ns, &to->status);
    to->lease_deadline_ns = group->lease_deadline_ns;
    memcpy(to->answered, group->answered, sizeof to->answered);
    snapshot_rates(group, to);
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        if (group->volumes[i].is_used)
            snapshot_volume(group->store, &group->volumes[i], &to->volumes[to->volume_count++]);
    }
}

static void snapshot_trace(const struct cw_store *store, struct cw_trace_copy *to)
{
    to->counts[CW_TRACE_STORE] = cw_trace_last(&store->trace, to->entries[CW_TRACE_STORE], CW_TRACE_ENTRIES);
    to->counts[CW_TRACE_DISKS] = cw_trace_last(&store->disks, to->entries[CW_TRACE_DISKS], CW_TRACE_ENTRIES);
}

static void snapshot(struct cw_store *store, struct cw_snapshot *to)
{
    if (to->trace != NULL)
        snapshot_trace(store, to->trace);
    to->taken_ns = store->now_ns;
    to->lease_deadline_ns = store->lease.deadline_ns;
    to->store_cycle_ns_max = store->cycle_ns_max;
    store->cycle_ns_max = 0;
    for (unsigned i = 0; i < CW_STORE_COUNTER_COUNT; i++)
        to->store_counters[i] = cw_counter_read(&store->counters[i]);
    for (unsigned i = 0; i < CW_NBD_COUNTER_COUNT; i++)
        to->nbd_counters[i] = cw_counter_read(&store->nbd.counters[i]);
    for (unsigned c = 0; c < CW_CLASS_COUNT; c++)
        to->payload_free[c] = store->payloads.classes[c].free_count;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL)
            snapshot_group(store->groups[i], &to->groups[i]);
    }
    struct cw_to_net element = {.type = CW_TO_NET_SNAPSHOT, .snapshot = to};
    to->lanes_due = store->engine->config.lane_count;
    for (uint32_t lane = 0; lane < to->lanes_due; lane++)
        cw_store_push_to_net(store, lane, &element);
}

/* ---------------------------------------------------------------- all of them */

static void stop(struct cw_store *store, struct cw_command *command)
{
    cw_store_trace(store, 0, "stops in order", 0, 0, 0);
    store->stop = command;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL)
            group_stop(store->groups[i]);
    }
    cw_nbd_stop(&store->nbd);
}

static void trace_command(struct cw_store_group *group, const struct cw_command *command)
{
    static const char *const texts[CW_COMMAND_TYPE_COUNT] = {
        [CW_COMMAND_GROUP_REMOVE] = "control takes it away",
        [CW_COMMAND_GROUP_SET] = "control changes its settings",
        [CW_COMMAND_VOLUME_ADD] = "control gives it volume %llu",
        [CW_COMMAND_VOLUME_REMOVE] = "control takes volume %llu away",
        [CW_COMMAND_OPEN] = "control wants it opened",
        [CW_COMMAND_DRAIN] = "control wants it drained",
        [CW_COMMAND_FENCE] = "control fences it",
        [CW_COMMAND_RESYNC] = "control wants a replica copied in full",
        [CW_COMMAND_CLAIMED] = "control has answered to the claim",
        [CW_COMMAND_SET_CHANGED] = "control has answered about the set",
        [CW_COMMAND_IMAGE_DONE] = "the copy's files are ready",
        [CW_COMMAND_SALVAGE_DONE] = "the tail is salvaged",
        [CW_COMMAND_FAULT] = "lab: disk errors are set",
        [CW_COMMAND_DIRECT_START] = "the load generator starts on volume %llu"};
    CW_ASSERT(command->type < CW_COMMAND_TYPE_COUNT && texts[command->type] != NULL);
    cw_store_trace(group->store, group->id, texts[command->type], command->volume, 0, 0);
}

/* True when the answer can go back now. */
static bool on_group_command(struct cw_store_group *group, struct cw_command *command)
{
    trace_command(group, command);
    switch ((enum cw_command_type)command->type) {
    case CW_COMMAND_GROUP_REMOVE:
        group->removal = command;
        group_stop(group);
        return false;
    case CW_COMMAND_GROUP_SET:
        group_set(group, command);
        return true;
    case CW_COMMAND_VOLUME_ADD:
        volume_add(group, command);
        return true;
    case CW_COMMAND_VOLUME_REMOVE:
        return volume_remove_is_done(group, command);
    case CW_COMMAND_OPEN:
        group_open(group, command);
        return true;
    case CW_COMMAND_DRAIN:
        group_drain(group, command);
        return true;
    case CW_COMMAND_FENCE:
        return fence_is_done(group, command);
    case CW_COMMAND_RESYNC:
        group_resync(group, command);
        return true;
    case CW_COMMAND_CLAIMED:
        claimed(group, command);
        return true;
    case CW_COMMAND_SET_CHANGED:
        if (command->set_changed.serial == group->set_serial)
            cw_group_on_set_changed(group->group, command->set_changed.is_ok, group->store->now_ns);
        return true;
    case CW_COMMAND_IMAGE_DONE:
        image_done(group, command);
        return true;
    case CW_COMMAND_SALVAGE_DONE:
        cw_group_on_salvaged(group->group, command->status);
        command->status = CW_OK;
        return true;
    case CW_COMMAND_FAULT:
        fault(group, command);
        return true;
    case CW_COMMAND_DIRECT_START:
        cw_store_direct_start(group, command);
        return true;
    default:
        CW_ASSERT(!"no other command names a group");
    }
    return true;
}

static bool on_command(struct cw_store *store, struct cw_command *command)
{
    switch ((enum cw_command_type)command->type) {
    case CW_COMMAND_GROUP_ADD:
        group_add(store, command);
        return true;
    case CW_COMMAND_LEASE:
        lease(store, command);
        return true;
    case CW_COMMAND_SNAPSHOT:
        snapshot(store, command->snapshot);
        return false; /* goes on to the net lcores */
    case CW_COMMAND_DIRECT_STATS:
        cw_store_direct_stats(store, command);
        return true;
    case CW_COMMAND_STOP:
        stop(store, command);
        return false;
    default:
        break;
    }
    struct cw_store_group *group = command->slot < CW_GROUPS_MAX ? store->groups[command->slot] : NULL;
    if (group != NULL)
        return on_group_command(group, command);
    refuse(command, CW_NOT_FOUND, "the group is not attached here");
    return true;
}

uint32_t cw_store_commands(struct cw_store *store)
{
    struct cw_command *command;
    uint32_t count = 0;
    while (count < CW_STORE_COMMANDS_MAX && cw_store_has_room_to_all(store) &&
           cw_ring_pop(&store->engine->commands, &command)) {
        if (on_command(store, command))
            cw_store_answer_command(store, command);
        count++;
    }
    stop_when_all_have(store);
    return count;
}
