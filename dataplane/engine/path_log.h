/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What paths went through, in samples, for plots: round trip, rate, window, what was sent, lost, given back.
 *
 * Control makes an empty log and sends it with a snapshot; the net lcore takes it for the one that it has (or
 * for none), and gives that one back with the snapshot. So there is memory only while somebody records, the
 * lcore neither allocates nor formats, and nobody reads what another thread writes. A log that is full ends:
 * who stopped asking leaves nothing behind that works.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/session.h"

#define CW_PATH_LOG_SAMPLES      2048u
#define CW_PATH_LOG_EVERY_US_MIN 100u
#define CW_PATH_LOG_EVERY_US_MAX 10000000u

/* Counters since the start of the engine, all else as it was at that time. */
#define CW_PATH_LOG_COUNTERS(X)                                                                              \
    X(CW_SESSION_DATAGRAMS_OUT)                                                                              \
    X(CW_SESSION_BYTES_OUT)                                                                                  \
    X(CW_SESSION_DATAGRAMS_IN)                                                                               \
    X(CW_SESSION_BYTES_IN)                                                                                   \
    X(CW_SESSION_LOST)                                                                                       \
    X(CW_SESSION_SPURIOUS)                                                                                   \
    X(CW_SESSION_LOSSES_RECOVERED)                                                                           \
    X(CW_SESSION_RETRANSMITTED)                                                                              \
    X(CW_SESSION_PROBES)                                                                                     \
    X(CW_SESSION_FEC_REPAIRS_OUT)                                                                            \
    X(CW_SESSION_FEC_RECOVERED)
#define CW_PATH_LOG_ONE(name)     +1
#define CW_PATH_LOG_COUNTER_COUNT (0 CW_PATH_LOG_COUNTERS(CW_PATH_LOG_ONE))
extern const uint8_t cw_path_log_counters[CW_PATH_LOG_COUNTER_COUNT]; /* which of the session's */

struct cw_path_sample {
    uint64_t time_ns;
    uint64_t rtt_ns_latest, rtt_ns_smoothed;
    uint64_t pacing_bytes_per_second, window_bytes, bytes_in_flight; /* as in struct cw_session_path_stats */
    uint32_t pending; /* messages that the session does not take yet */
    uint8_t path;
    bool is_up;
    const char *state; /* of the rate controller */
    uint64_t counters[CW_PATH_LOG_COUNTER_COUNT];
};

struct cw_path_log {
    uint64_t every_ns;
    uint64_t next_ns; /* CW_NEVER: it is full */
    uint32_t count;
    struct cw_path_sample samples[CW_PATH_LOG_SAMPLES];
};

/* What the session knows of it. */
void cw_path_sample_fill(struct cw_path_sample *sample, const struct cw_session_path_stats *stats);

struct cw_call;
/* The RPC path.log, on the control thread. */
void cw_method_path_log(struct cw_call *call);
