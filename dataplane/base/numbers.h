/* SPDX-License-Identifier: BSD-3-Clause */
/* Small arithmetic that every module needs once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CW_MAX(a, b) ((a) > (b) ? (a) : (b))
#define CW_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CW_CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define CW_KIB 1024ull
#define CW_MIB (1024ull * CW_KIB)
#define CW_GIB (1024ull * CW_MIB)
#define CW_US 1000ull /* all times are in nanoseconds */
#define CW_MS (1000ull * CW_US)
#define CW_SECOND (1000ull * CW_MS)
#define CW_NEVER UINT64_MAX

static inline bool cw_is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static inline uint64_t cw_round_up(uint64_t n, uint64_t unit_power_of_two)
{
    return (n + unit_power_of_two - 1) & ~(unit_power_of_two - 1);
}

/* Do [a, a + a_length) and [b, b + b_length) share a byte? Neither may wrap. */
static inline bool cw_overlaps(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a < b + b_length && b < a + a_length;
}
