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

static void keep_common(struct cw_set *set, const struct cw_set *other)
{
    struct cw_set both = {.count = 0};
    for (uint32_t i = 0; i < set->count; i++) {
        struct cw_member member = set->list[i];
        const struct cw_member *twin = cw_set_find(other, member.site);
        if (!twin || !cw_member_equal(twin, &member))
            continue;
        member.in_memory = member.in_memory || twin->in_memory;
        both.list[both.count++] = member;
    }
    *set = both;
}

void cw_outside_settle(const struct cw_authority *store, const struct cw_authority *held,
                       const struct cw_authority *before, struct cw_authority *next)
{
    bool is_again = before && cw_authority_equal(store, before);
    if (is_again || cw_outside_meets(store, held) == CW_OUTSIDE_GOES_IN) {
        *next = *held;
        return;
    }
    *next = *store;
    if (before)
        return;
    keep_common(&next->set, &held->set);
    if (next->automatic_epoch == 0) /* while it stands there is no second failover */
        next->automatic_epoch = held->automatic_epoch;
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
