/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where each group of a site goes that is to be left. Pure: numbers in, numbers out, O(groups).
 *
 * Only what fits is chosen: a site that could open the group now with nothing lost. Of several the one that
 * has the fewest primaries so far, those of this plan counted; then the one that lacks least; then the first
 * of the group's own order. So the same facts give the same plan, at whichever site it is made.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/decide.h"

struct cw_evacuate_choice {
    uint32_t site; /* its number in loads */
    bool is_fit;
    uint64_t lag_bytes;
};

struct cw_evacuate_group {
    uint32_t choice_count;
    struct cw_evacuate_choice choices[CW_SET_MAX];
    int chosen; /* out: one of choices, or -1: none fits */
};

/* loads: primaries that each site has now; in the end, with what comes. Returns how many have somewhere to
 * go. */
uint32_t cw_evacuate_plan(struct cw_evacuate_group *groups, uint32_t count, uint32_t *loads);
