/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeded pseudo-random numbers for tests, the simulator and load generators (SplitMix64: Steele, Lea and
 * Flood, 2014). Never for keys: those come from getrandom by way of the shells.
 */
#pragma once

#include <stdint.h>

struct cw_rng {
    uint64_t state;
};

static inline uint64_t cw_rng_next(struct cw_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform enough for tests; bound > 0. */
static inline uint64_t cw_rng_below(struct cw_rng *rng, uint64_t bound)
{
    return cw_rng_next(rng) % bound;
}

/* True with probability per_million / 1e6. */
static inline int cw_rng_chance(struct cw_rng *rng, uint32_t per_million)
{
    return cw_rng_below(rng, 1000000) < per_million;
}
