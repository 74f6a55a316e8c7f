/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Health of a group, computed from sequences and ages, never from the name of a state alone. Pure.
 *
 *   protected    every configured replica is within its objective: in the synchronous modes it is in the set,
 *                in async it lags by at most max_loss
 *   degraded     not all of them, but: synchronous modes: at least one is in the set; async: at least one
 *                could be promoted; or all of them, and one lacks a volume, or a volume could not be exported
 *   unprotected  writes are taken, and no replica meets what "degraded" needs
 *   frozen       a primary is there and holds its writes (no lease, min_in_sync, or it is just opening)
 *   down         no primary is there
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/decide.h"

enum cw_health_level {
    CW_HEALTH_PROTECTED = 0,
    CW_HEALTH_DEGRADED,
    CW_HEALTH_UNPROTECTED,
    CW_HEALTH_FROZEN,
    CW_HEALTH_DOWN,
    CW_HEALTH_COUNT
};
const char *cw_health_name(enum cw_health_level level);

struct cw_health_replica {
    const char *site;
    const char *reason;            /* the engine's words on it; may be "" */
    const char *lacks, *lacks_why; /* a volume that it could not make or open, and why; NULL: none */
    bool is_member;
    bool is_streaming;  /* receives live records */
    bool is_promotable; /* holds a whole image of this history */
    bool is_reachable;  /* its site lives and a path of the primary leads there */
    bool is_stalled;    /* connected, lacks something, and nothing moves */
    bool needs_copy;    /* what it lacks is no longer in its primary's journal */
    bool is_lag_known;  /* false: it has not attached since the group was opened; it lacks at least what
                           follows */
    double lag_seconds;
    uint64_t lag_bytes;
};

struct cw_health_facts {
    const char *group, *holder;  /* holder "": never opened, or */
    bool is_holder_unknown;      /* opened before, and a rebuilt store does not know by whom last */
    const char *holder_reason;   /* the engine's words on the group; may be "" */
    double store_silent_seconds; /* of others nothing newer is known than so old; 0: the store answers */
    double holder_age_seconds;   /* since its site was last seen; negative: never */
    bool is_holder_alive, is_primary, is_opening, is_frozen;
    bool goes_on_by_grants; /* the store does not renew its lease; holder_reason says so */
    enum cw_mode_word mode;
    double max_loss_seconds;
    uint64_t max_loss_bytes;               /* 0: any */
    const char *unexported, *export_error; /* a volume that its primary cannot export, and why; NULL: none */
    uint32_t replica_count;
    struct cw_health_replica replicas[CW_SET_MAX];
};

struct cw_health {
    enum cw_health_level level;
    char reason[480]; /* "" when protected, unless it goes on without the store */
    bool is_rpo_known;
    double rpo_seconds;
    uint64_t rpo_bytes;
};

struct cw_health cw_health_compute(const struct cw_health_facts *facts);
