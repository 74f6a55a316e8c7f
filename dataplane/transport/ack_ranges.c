/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport/ack_ranges.h"

#include <string.h>

#include "base/numbers.h"

void cw_ack_ranges_reset(struct cw_ack_ranges *acks)
{
    acks->count = 0;
    acks->marked = 0;
    acks->largest_ns = 0;
    acks->unacked = 0;
    acks->deadline_ns = CW_NEVER;
}

bool cw_ack_ranges_is_valid(const struct cw_ack_ranges *acks)
{
    if (acks->count > CW_ACK_RANGES_MAX)
        return false;
    for (uint32_t i = 0; i < acks->count; i++) {
        if (acks->ranges[i].first > acks->ranges[i].last)
            return false;
        if (i > 0 && acks->ranges[i].last + 1 >= acks->ranges[i - 1].first)
            return false;
    }
    return true;
}

static void remove_at(struct cw_ack_ranges *acks, uint32_t i)
{
    memmove(&acks->ranges[i], &acks->ranges[i + 1], (acks->count - i - 1) * sizeof acks->ranges[0]);
    acks->count--;
}

/* A range of its own at index i. When full the lowest goes, which may be the new one. */
static void insert_at(struct cw_ack_ranges *acks, uint32_t i, uint64_t number)
{
    if (i == CW_ACK_RANGES_MAX)
        return;
    if (acks->count == CW_ACK_RANGES_MAX)
        acks->count--;
    memmove(&acks->ranges[i + 1], &acks->ranges[i], (acks->count - i) * sizeof acks->ranges[0]);
    acks->ranges[i] = (struct cw_range){number, number};
    acks->count++;
}

static void insert(struct cw_ack_ranges *acks, uint64_t number)
{
    uint32_t i = 0;
    while (i < acks->count && number + 1 < acks->ranges[i].first) /* most arrive in order: i is 0 */
        i++;
    if (i == acks->count) {
        insert_at(acks, i, number);
        return;
    }
    struct cw_range *range = &acks->ranges[i];
    if (number > range->last + 1) {
        insert_at(acks, i, number);
    } else if (number ==
               range->last + 1) { /* cannot touch the one above: the search would have stopped there */
        range->last = number;
    } else if (number + 1 == range->first) {
        range->first = number;
        if (i + 1 < acks->count && acks->ranges[i + 1].last + 1 == number) {
            range->first = acks->ranges[i + 1].first;
            remove_at(acks, i + 1);
        }
    }
}

void cw_ack_ranges_add(struct cw_ack_ranges *acks, uint64_t number, bool wants_ack, uint64_t now_ns)
{
    bool new_gap = acks->count > 0 ? number > acks->ranges[0].last + 1 : number > 1;
    bool is_largest = acks->count == 0 || number > acks->ranges[0].last;
    insert(acks, number);
    if (is_largest)
        acks->largest_ns = now_ns;
    if (!wants_ack)
        return;
    acks->unacked++;
    if (new_gap || acks->unacked >= CW_ACK_PACKETS)
        acks->deadline_ns = now_ns;
    else
        acks->deadline_ns = CW_MIN(acks->deadline_ns, now_ns + CW_ACK_DELAY_NS);
}

bool cw_ack_ranges_take(struct cw_ack_ranges *acks, struct cw_ack *ack, uint64_t now_ns)
{
    if (acks->count == 0) {
        acks->deadline_ns = CW_NEVER;
        return false;
    }
    uint64_t delay = now_ns - acks->largest_ns;
    ack->delay_ns = delay > UINT32_MAX ? UINT32_MAX : (uint32_t)delay;
    ack->range_count = acks->count;
    ack->marked = acks->marked;
    memcpy(ack->ranges, acks->ranges, acks->count * sizeof acks->ranges[0]);
    acks->unacked = 0;
    acks->deadline_ns = CW_NEVER;
    return true;
}

void cw_ack_ranges_forget(struct cw_ack_ranges *acks, uint64_t number)
{
    if (acks->unacked > 0) /* what came late may lie below, and has not been told yet */
        return;
    while (acks->count > 1 && acks->ranges[acks->count - 1].last <= number)
        acks->count--;
}
