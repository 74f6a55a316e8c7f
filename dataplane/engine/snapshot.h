/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A picture of the engine, for status and telemetry: allocated by control, filled by the store lcore, then by
 * all net lcores, each its own part, and read by control when it has come back. Nobody reads another thread's
 * data directly.
 */
#pragma once

#include "engine/mail.h"
#include "engine/path_log.h"
#include "frontend/nbd.h"
#include "io/port.h"
#include "wire/packet.h"

#define CW_STORE_COUNTERS(X)                                                                                 \
    X(CW_STORE_TURNS, "store_turns")                                                                         \
    X(CW_STORE_SLEEPS, "store_sleeps")                                                                       \
    X(CW_STORE_BAD_MESSAGE, "message_malformed")                                                             \
    X(CW_STORE_WRONG_SITE, "message_wrong_site")                                                             \
    X(CW_STORE_WRONG_LANE, "message_wrong_lane")                                                             \
    X(CW_STORE_UNKNOWN_GROUP, "message_unknown_group")                                                       \
    X(CW_STORE_HELD_AT_REPLY, "replies_held_at_last_check")                                                  \
    X(CW_STORE_NO_BUFFER, "requests_waited_for_buffer")                                                      \
    X(CW_STORE_NO_ROOM, "requests_waited_for_room")
enum { CW_STORE_COUNTERS(CW_COUNTER_ENUM) CW_STORE_COUNTER_COUNT };
extern const char *const cw_store_counter_names[CW_STORE_COUNTER_COUNT];

struct cw_volume_snapshot {
    bool is_used, is_open;
    uint16_t volume;
    uint32_t connections;
    uint64_t size, base;
    char name[64];
    char path[512];
    char socket[108];
    char export_error[CW_WHY_SIZE]; /* "": it is exported, or should not be */
    char uri[CW_NBD_URI_BYTES];
};

/* What the engine has acknowledged or answered, by reign: when first and last, by CLOCK_MONOTONIC, which all
 * engines of a machine share. Two sites' never overlap; tests ask. */
#define CW_ANSWERED_REIGNS 4u
struct cw_answered_reign {
    uint64_t epoch, first_ns, last_ns, count;
};

struct cw_group_snapshot {
    bool is_used;
    uint32_t group;
    struct cw_group_status status;
    uint64_t bytes_per_second, writes_per_second;
    uint64_t lease_deadline_ns;
    struct cw_answered_reign answered[CW_ANSWERED_REIGNS]; /* newest first; count 0: no more */
    uint32_t volume_count;
    struct cw_volume_snapshot volumes[CW_VOLUMES_PER_GROUP_MAX];
};

struct cw_path_snapshot {
    bool is_up;
    char address[CW_PORT_ADDRESS_TEXT]; /* of the peer, in use */
    uint32_t pending; /* messages waiting for the session to take them */
    struct cw_session_path_stats stats;
    uint64_t port[CW_PORT_COUNTER_COUNT];
};

#define CW_TRACE_ENTRIES 512u /* a ring */

/* Copies of the rings of base/trace.h, each made by the thread that writes it. */
/* CW_TRACE_NET + lane. */
enum cw_trace_ring {
    CW_TRACE_STORE,
    CW_TRACE_DISKS,
    CW_TRACE_NET,
    CW_TRACE_RINGS = CW_TRACE_NET + CW_LANES_MAX
};
struct cw_trace_copy {
    uint32_t counts[CW_TRACE_RINGS];
    struct cw_trace_entry entries[CW_TRACE_RINGS][CW_TRACE_ENTRIES];
};

/* Of one net lcore, written by it alone. */
struct cw_lane_snapshot {
    uint64_t cycle_ns_max; /* since the last picture */
    uint64_t turns;
    struct cw_path_snapshot paths[CW_PATHS_MAX];
};

struct cw_snapshot {
    uint64_t taken_ns;
    uint64_t lease_deadline_ns;
    uint64_t store_cycle_ns_max; /* since the last picture */
    uint64_t store_counters[CW_STORE_COUNTER_COUNT];
    uint64_t nbd_counters[CW_NBD_COUNTER_COUNT];
    uint64_t payload_free[CW_CLASS_COUNT];
    struct cw_group_snapshot groups[CW_GROUPS_MAX];
    struct cw_lane_snapshot lanes[CW_LANES_MAX];
    uint32_t lanes_due;          /* store: net lcores that have not given it back */
    struct cw_command *command;  /* the SNAPSHOT command it travels with */
    struct cw_trace_copy *trace; /* NULL: not asked for */
    bool has_log;                /* path.log: */
    uint8_t log_lane;
    struct cw_path_log *log; /* the next one, and on the way back the last; NULL: none */
};

/* A path as it is in all lanes: counters and rates are sums, it is up when it is in each of them, all else is
 * of the first in which it is not, or of lane 0. */
void cw_snapshot_path(const struct cw_snapshot *snapshot, uint32_t lane_count, uint32_t path,
                      struct cw_path_snapshot *to);
