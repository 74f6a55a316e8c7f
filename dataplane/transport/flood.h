/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many handshake datagrams a session looks at on one of its paths. A MAC costs more than all else that an unknown datagram
 * can cause, and anybody can send datagrams that need one looked at: what is above the limit is dropped
 * unseen.
 *
 * While a live session is heard there is hardly any need of handshakes, and the limit is low. When it is not,
 * its peer may have begun anew, and only a handshake says so: then the limit protects the other sessions of
 * the lcore, and an honest peer, who repeats himself, gets through among fifty times as many strangers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"

#define CW_FLOOD_LIVE_PER_SECOND 200u /* answers: 0.4 Mbit/s */
#define CW_FLOOD_DOWN_PER_SECOND 10000u
#define CW_FLOOD_AT_ONCE         64u /* an honest handshake takes fewer, with certificates of 16 KiB too */

struct cw_flood {
    uint64_t next_ns; /* when the datagrams looked at so far were due, one after the other */
};

/* One has come: is it looked at? */
static inline bool cw_flood_take(struct cw_flood *flood, bool is_live, uint64_t now_ns)
{
    uint64_t each_ns = CW_SECOND / (is_live ? CW_FLOOD_LIVE_PER_SECOND : CW_FLOOD_DOWN_PER_SECOND);
    uint64_t next_ns = CW_MAX(flood->next_ns, now_ns);
    if (next_ns - now_ns >= CW_FLOOD_AT_ONCE * each_ns)
        return false;
    flood->next_ns = next_ns + each_ns;
    return true;
}
