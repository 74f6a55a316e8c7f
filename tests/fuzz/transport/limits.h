/* SPDX-License-Identifier: BSD-3-Clause */
/* What a path holds is within its limits, whoever the peer is. */
#pragma once

#include "base/assert.h"
#include "transport/session_internal.h"

static inline void check_path_limits(const struct cw_path *p, uint32_t packets_in_flight_max)
{
    uint32_t held = 0;
    for (const struct cw_lost *lost = cw_inflight_oldest_lost(&p->inflight); lost;
         lost = cw_inflight_lost_after(&p->inflight, lost))
        held += lost->is_held;
    CW_ASSERT(held == (p->fec ? p->fec->held_count : 0));
    CW_ASSERT(p->inflight.outstanding_count <= packets_in_flight_max);
    CW_ASSERT(p->inflight.lost_count <= CW_LOST_REMEMBERED);
    CW_ASSERT(cw_inflight_is_valid(&p->inflight));
}
