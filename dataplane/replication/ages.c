/* SPDX-License-Identifier: BSD-3-Clause */
#include "replication/ages.h"

#include <string.h>

#include "base/assert.h"

void cw_ages_begin(struct cw_ages *ages, uint64_t head, uint64_t now_ns)
{
    ages->count = 1;
    ages->list[0].sequence = head;
    ages->list[0].time_ns = now_ns;
}

/* Which sample is missed least: the span that its going would open, in thousandths of the age of that span.
 */
static uint32_t dispensable(const struct cw_ages *ages, uint64_t now_ns)
{
    uint64_t least = UINT64_MAX;
    uint32_t best = 1;

    for (uint32_t i = 1; i + 1 < ages->count; i++) { /* the first says when the reign began */
        uint64_t span_ns = ages->list[i + 1].time_ns - ages->list[i - 1].time_ns;
        uint64_t age_ns = now_ns - ages->list[i + 1].time_ns + CW_AGES_INTERVAL_NS;
        uint64_t cost = span_ns / (age_ns / 1000 + 1);
        if (cost < least) {
            least = cost;
            best = i;
        }
    }
    return best;
}

void cw_ages_note(struct cw_ages *ages, uint64_t head, uint64_t now_ns)
{
    CW_ASSERT(ages->count > 0);
    if (now_ns - ages->list[ages->count - 1].time_ns < CW_AGES_INTERVAL_NS)
        return;
    if (ages->count == CW_AGES) {
        uint32_t gone = dispensable(ages, now_ns);
        ages->count--;
        memmove(&ages->list[gone], &ages->list[gone + 1], sizeof ages->list[0] * (ages->count - gone));
    }
    ages->list[ages->count].sequence = head;
    ages->list[ages->count++].time_ns = now_ns;
}

uint64_t cw_ages_since(const struct cw_ages *ages, uint64_t sequence)
{
    CW_ASSERT(ages->count > 0);
    for (uint32_t i = ages->count; i-- > 0;)
        if (ages->list[i].sequence < sequence)
            return ages->list[i].time_ns;
    return ages->list[0].time_ns;
}
