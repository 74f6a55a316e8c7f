/* SPDX-License-Identifier: BSD-3-Clause */
/* Good inputs that are texts: the targets of this folder have a few each. */
#pragma once

#include <string.h>

#include "base/assert.h"
#include "fuzz.h"

#define CW_FUZZ_TEXT_MAX 8192u

static inline size_t cw_fuzz_pick(struct cw_rng *rng, const char *const *seeds, size_t count, uint8_t *data)
{
    const char *seed = seeds[cw_rng_below(rng, count)];

    CW_ASSERT(strlen(seed) <= CW_FUZZ_TEXT_MAX);
    memcpy(data, seed, strlen(seed));
    return strlen(seed);
}
