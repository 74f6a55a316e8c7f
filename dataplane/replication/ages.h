/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How old is a write that has left memory? Samples of (head, time), taken just before a write enters: what
 * has a higher sequence than a sample is younger than it. An answer is never too young, and too old by at
 * most the distance to the next sample.
 *
 * The samples are CW_AGES at most. When they are full, one goes whose neighbours lie close together for
 * their age, so that distances grow with age: recent writes are known to INTERVAL, old ones roughly.
 */
#pragma once

#include <stdint.h>

#define CW_AGES             128u
#define CW_AGES_INTERVAL_NS (50ull * 1000 * 1000)

struct cw_ages {
    uint32_t count; /* 0: nothing is known; else times and sequences never fall */
    struct {
        uint64_t sequence, time_ns;
    } list[CW_AGES];
};

/* A reign begins: all it writes is above `head`, and not before now. */
void cw_ages_begin(struct cw_ages *ages, uint64_t head, uint64_t now_ns);
/* The next write will be head + 1, and enters now. */
void cw_ages_note(struct cw_ages *ages, uint64_t head, uint64_t now_ns);
/* A time not after that at which `sequence` was written; of a sequence of before the reign: its beginning. */
uint64_t cw_ages_since(const struct cw_ages *ages, uint64_t sequence);
