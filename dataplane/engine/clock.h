/* SPDX-License-Identifier: BSD-3-Clause */
/* The one clock of the engine: CLOCK_MONOTONIC in nanoseconds. Wall time is read for event logs only. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t cw_clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}
