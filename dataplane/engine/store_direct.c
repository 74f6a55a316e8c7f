/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of the load generator: a few at a time, on volumes of groups that are open here. A run ends by its
 * own limit, when its volume leaves, or when its group is no longer open; a finished one is kept for its
 * figures until its place is needed.
 */
#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/store.h"

#include <stdio.h>

static uint64_t now(void *context)
{
    return cw_clock_now_ns();
}

void cw_store_direct_init(struct cw_store *store, struct cw_arena *arena)
{
    store->runs = cw_arena_take(arena, sizeof *store->runs * CW_STORE_RUNS, 64);
}

static struct cw_store_run *place_for(struct cw_store *store)
{
    struct cw_store_run *oldest = NULL;
    for (unsigned i = 0; i < CW_STORE_RUNS; i++) {
        struct cw_store_run *run = &store->runs[i];
        if (!run->is_active && (oldest == NULL || run->number < oldest->number))
            oldest = run;
    }
    return oldest;
}

static void config_of(const struct cw_direct_request *request, struct cw_direct_config *config)
{
    *config = (struct cw_direct_config){.write_percent = request->op == CW_BLOCK_WRITE ? 100 : 0,
                                        .size = request->size,
                                        .depth = request->depth,
                                        .is_sequential = request->is_sequential,
                                        .span = request->span,
                                        .count = request->count,
                                        .duration_ns = request->duration_ns,
                                        .seed = request->seed};
}

void cw_store_direct_start(struct cw_store_group *group, struct cw_command *command)
{
    struct cw_store_volume *volume = &group->volumes[command->volume];
    struct cw_store_run *run = place_for(group->store);
    struct cw_direct_config config;
    bool is_open = group->role == CW_ROLE_PRIMARY && volume->is_used && volume->removal == NULL;
    command->status = !is_open ? CW_REFUSED : run == NULL ? CW_AGAIN : CW_OK;
    snprintf(command->why, sizeof command->why, "%s",
             !is_open ? "the group is not open for writes here, or has no such volume"
                      : "as many runs as there may be are under way; wait for one to end");
    if (command->status != CW_OK)
        return;
    config_of(&command->direct.request, &config);
    run->number = ++group->store->last_run;
    run->op = command->direct.request.op;
    run->volume = volume;
    run->is_active = true;
    run->started_ns = group->store->now_ns;
    volume->runs++;
    command->direct.result.run = run->number;
    command->status =
        cw_direct_start(&run->direct, &volume->block, &config, now, NULL, command->why, sizeof command->why);
    if (command->status != CW_OK) {
        run->is_active = false;
        volume->runs--;
    }
}

void cw_store_direct_stats(struct cw_store *store, struct cw_command *command)
{
    struct cw_direct_result *result = &command->direct.result;
    for (unsigned i = 0; i < CW_STORE_RUNS; i++) {
        struct cw_store_run *run = &store->runs[i];
        if (run->number == 0 || run->number != command->direct.request.run)
            continue;
        const struct cw_direct_stats *stats = cw_direct_stats(&run->direct);
        const struct cw_direct_histogram *histogram =
            run->op == CW_BLOCK_WRITE ? &stats->write : &stats->read;
        *result = (struct cw_direct_result){.run = run->number,
                                            .is_done = !run->is_active,
                                            .ops = stats->ops,
                                            .bytes = stats->bytes,
                                            .errors = stats->errors,
                                            .elapsed_ns = run->is_active ? store->now_ns - run->started_ns
                                                                         : stats->elapsed_ns,
                                            .p50_ns = cw_direct_quantile_ns(histogram, 500000),
                                            .p99_ns = cw_direct_quantile_ns(histogram, 990000),
                                            .p999_ns = cw_direct_quantile_ns(histogram, 999000),
                                            .max_ns = histogram->max_ns};
        return;
    }
    command->status = CW_NOT_FOUND;
    snprintf(command->why, sizeof command->why,
             "there is no such run, or its figures have made place for others");
}

uint32_t cw_store_direct_turn(struct cw_store *store, bool has_room)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < CW_STORE_RUNS; i++) {
        struct cw_store_run *run = &store->runs[i];
        if (!run->is_active)
            continue;
        const struct cw_store_volume *volume = run->volume;
        if (volume->removal != NULL || volume->group->is_stopping || volume->group->role != CW_ROLE_PRIMARY)
            cw_direct_stop(&run->direct);
        if (has_room)
            cw_direct_on_room(&run->direct);
        count += cw_direct_step(&run->direct);
        if (cw_direct_is_done(&run->direct)) {
            run->is_active = false;
            run->volume->runs--;
        }
    }
    return count;
}
