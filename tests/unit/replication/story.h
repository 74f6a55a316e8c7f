/* SPDX-License-Identifier: BSD-3-Clause */
/* What every story of this folder includes and how most begin. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "pair.h"

#define A 0
#define B 1
#define C 2

/* A is primary and, in the synchronous modes, every other site is in the set. */
static inline bool is_protected(struct pair *p)
{
    uint8_t all = (uint8_t)((1u << p->site_count) - 1);

    for (uint8_t s = 1; s < p->site_count; s++)
        if (pair_peer(p, A, s)->state != CW_PEER_STREAMING)
            return false;
    return !cw_mode_has_set(p->mode) || p->sites[A].group->set.members == all;
}

static inline void begin(struct pair *p, uint32_t sites, enum cw_mode mode)
{
    pair_init(p, sites, mode);
    assert_true(pair_open(p, A, false));
    assert_true(pair_until(p, is_protected));
}

static inline void write_some(struct pair *p, uint8_t site, uint32_t count, uint8_t value)
{
    for (uint32_t i = 0; i < count; i++)
        pair_write(p, site, i % PAIR_BLOCKS, (uint8_t)(value + i), false);
}

static inline bool all_done(struct pair *p)
{
    for (uint32_t i = 0; i < p->request_count; i++)
        if (!pair_is_done(p, i))
            return false;
    return true;
}
