/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/path_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/control.h"

#define INDEX(name) name,
const uint8_t cw_path_log_counters[CW_PATH_LOG_COUNTER_COUNT] = {CW_PATH_LOG_COUNTERS(INDEX)};
static_assert(CW_SESSION_COUNTER_COUNT <= UINT8_MAX, "an index fits");

#define NUMBERS (6 + CW_PATH_LOG_COUNTER_COUNT)
static_assert((NUMBERS + 3) * 21 * CW_PATH_LOG_SAMPLES < 1u << 20, "a log is a line that clients take");

/* ---- the net lcore ---- */

void cw_path_sample_fill(struct cw_path_sample *sample, const struct cw_session_path_stats *stats)
{
    sample->rtt_ns_latest = stats->rtt_ns_latest;
    sample->rtt_ns_smoothed = stats->rtt_ns_smoothed;
    sample->pacing_bytes_per_second = stats->pacing_bytes_per_second;
    sample->window_bytes = stats->window_bytes;
    sample->bytes_in_flight = stats->bytes_in_flight;
    sample->state = stats->rate_state;
    for (uint32_t i = 0; i < CW_PATH_LOG_COUNTER_COUNT; i++)
        sample->counters[i] = stats->counters[cw_path_log_counters[i]];
}

/* ---- control ---- */

static json_t *columns_json(void)
{
    static const char *const names[] = {"path",
                                        "up",
                                        "state",
                                        "time_ns",
                                        "rtt_ns_latest",
                                        "rtt_ns",
                                        "pacing_bytes_per_second",
                                        "window_bytes",
                                        "bytes_in_flight",
                                        "pending"};
    json_t *list = json_array();
    for (size_t i = 0; i < CW_COUNT_OF(names); i++)
        json_array_append_new(list, json_string(names[i]));
    for (uint32_t i = 0; i < CW_PATH_LOG_COUNTER_COUNT; i++)
        json_array_append_new(list, json_string(cw_session_counter_names[cw_path_log_counters[i]]));
    return list;
}

static json_t *sample_json(const struct cw_engine *engine, const struct cw_path_sample *sample)
{
    const uint64_t numbers[] = {sample->time_ns,         sample->rtt_ns_latest,
                                sample->rtt_ns_smoothed, sample->pacing_bytes_per_second,
                                sample->window_bytes,    sample->bytes_in_flight,
                                sample->pending};
    json_t *row =
        json_pack("[s, b, s]", engine->config.paths[sample->path].name, (int)sample->is_up, sample->state);
    for (size_t i = 0; i < CW_COUNT_OF(numbers); i++)
        json_array_append_new(row,
                              numbers[i] == UINT64_MAX ? json_null() : json_integer((json_int_t)numbers[i]));
    for (uint32_t i = 0; i < CW_PATH_LOG_COUNTER_COUNT; i++)
        json_array_append_new(row, json_integer((json_int_t)sample->counters[i]));
    return row;
}

static void on_log(struct cw_command *command)
{
    struct cw_call *call = command->context;
    const struct cw_path_log *log = command->snapshot->log;
    json_t *samples = json_array();
    for (uint32_t i = 0; log != NULL && i < log->count; i++)
        json_array_append_new(samples, sample_json(call->control->engine, &log->samples[i]));
    cw_call_reply(call, json_pack("{s:o, s:b, s:o}", "columns", columns_json(), "is_full",
                                  log != NULL && log->next_ns == CW_NEVER, "samples", samples));
    free(command->snapshot->log);
    free(command->snapshot);
    cw_control_free_command(command);
}

void cw_method_path_log(struct cw_call *call)
{
    uint64_t every_us = 0, lane = 0;
    (void)cw_call_u64(call, "every_us", &every_us);
    (void)cw_call_u64(call, "lane", &lane);
    if (every_us != 0 && (every_us < CW_PATH_LOG_EVERY_US_MIN || every_us > CW_PATH_LOG_EVERY_US_MAX)) {
        cw_call_refuse(call, CW_INVALID, "every_us is %u to %u, or 0 to end the recording",
                       CW_PATH_LOG_EVERY_US_MIN, CW_PATH_LOG_EVERY_US_MAX);
        return;
    }
    if (lane >= call->control->engine->config.lane_count) {
        cw_call_refuse(call, CW_INVALID, "lane is below %u, as many as lcores.net has CPUs",
                       call->control->engine->config.lane_count);
        return;
    }
    struct cw_command *command = cw_control_command(CW_COMMAND_SNAPSHOT, 0, on_log, call);
    command->snapshot = calloc(1, sizeof *command->snapshot);
    CW_ASSERT(command->snapshot != NULL && "on the control thread, and given back at once");
    if (every_us > 0) {
        command->snapshot->log = calloc(1, sizeof *command->snapshot->log);
        CW_ASSERT(command->snapshot->log != NULL && "likewise, when the next one is asked for");
        command->snapshot->log->every_ns = every_us * CW_US;
    }
    command->snapshot->has_log = true;
    command->snapshot->log_lane = (uint8_t)lane;
    command->snapshot->command = command;
    cw_control_post(call->control, command);
}
