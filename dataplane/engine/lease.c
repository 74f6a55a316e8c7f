/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/lease.h"

void cw_lease_init(struct cw_lease *lease, uint64_t now_ns)
{
    *lease = (struct cw_lease){.deadline_ns = 0, .next_ns = now_ns};
}

bool cw_lease_wants_request(struct cw_lease *lease, uint64_t now_ns)
{
    if (now_ns < lease->next_ns)
        return false;
    lease->next_ns = now_ns + CW_LEASE_INTERVAL_NS;
    return true;
}

void cw_lease_hurry(struct cw_lease *lease, uint64_t now_ns)
{
    lease->next_ns = CW_MIN(lease->next_ns, now_ns);
}

bool cw_lease_on_granted(struct cw_lease *lease, uint64_t asked_ns, uint64_t lease_ms)
{
    if (lease_ms > CW_LEASE_MS_MAX)
        return false;
    uint64_t usable_ns = lease_ms * CW_MS / 100 * 99;
    if (usable_ns <= CW_LEASE_MARGIN_NS)
        return false;
    uint64_t deadline_ns = asked_ns + usable_ns - CW_LEASE_MARGIN_NS;
    if (deadline_ns <= lease->deadline_ns)
        return false;
    lease->deadline_ns = deadline_ns;
    return true;
}
