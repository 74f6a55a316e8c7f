/* SPDX-License-Identifier: BSD-3-Clause */
/* A sum over the recent past: eight buckets of 2^shift nanoseconds, the newest of them still filling. */
#pragma once

#include <stdint.h>

#define CW_METER_BUCKETS 8u

struct cw_meter {
    uint32_t shift;
    uint64_t newest; /* now >> shift of the newest bucket */
    uint64_t buckets[CW_METER_BUCKETS];
};

static inline void cw_meter_advance(struct cw_meter *meter, uint64_t now_ns)
{
    uint64_t to = now_ns >> meter->shift;
    if (to <= meter->newest)
        return;
    uint64_t steps = to - meter->newest < CW_METER_BUCKETS ? to - meter->newest : CW_METER_BUCKETS;
    for (uint64_t i = 0; i < steps; i++)
        meter->buckets[(to - i) % CW_METER_BUCKETS] = 0;
    meter->newest = to;
}

static inline void cw_meter_add(struct cw_meter *meter, uint64_t amount, uint64_t now_ns)
{
    cw_meter_advance(meter, now_ns);
    meter->buckets[meter->newest % CW_METER_BUCKETS] += amount;
}

/* Over the last seven to eight bucket times. */
static inline uint64_t cw_meter_sum(struct cw_meter *meter, uint64_t now_ns)
{
    uint64_t sum = 0;
    cw_meter_advance(meter, now_ns);
    for (uint32_t i = 0; i < CW_METER_BUCKETS; i++)
        sum += meter->buckets[i];
    return sum;
}
