/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/outside.h"

#include <string.h>

#include "base/numbers.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

bool cw_outside_may_claim(const struct cw_authority *heard, const struct cw_authority *expected,
                          const struct cw_authority *next, uint64_t permitted, const char *site)
{
    return cw_authority_equal(heard, expected) && next->epoch == permitted && strcmp(next->holder, site) == 0;
}

enum cw_outside_meeting cw_outside_meets(const struct cw_authority *store, const struct cw_authority *held)
{
    if (store->epoch < held->epoch)
        return CW_OUTSIDE_GOES_IN;
    bool is_same_reign = store->epoch == held->epoch && store->reign == held->reign;
    return is_same_reign ? CW_OUTSIDE_IS_IN : CW_OUTSIDE_IS_PASSED;
}

void cw_outside_look(struct cw_outside_wait *wait, uint64_t silence_ns, uint64_t now_ns)
{
    if (silence_ns == 0 && cw_outside_is_long(wait))
        wait->renew_at_ns = now_ns + wait->hold_ns;
    wait->silence_ns = silence_ns;
}

bool cw_outside_may_renew(const struct cw_outside_wait *wait, uint64_t now_ns)
{
#if CW_PLANTED_BUG == 47 /* the old side goes on as soon as the store answers */
    return true;
#endif
    return now_ns >= wait->renew_at_ns;
}

bool cw_outside_may_open(const struct cw_outside_wait *wait, uint64_t now_ns)
{
    return now_ns >= CW_MAX(wait->renew_at_ns, wait->opened_ns + wait->hold_ns);
}
