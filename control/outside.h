/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of what is held outside of the store by operators' tokens (store_outside.h has the file and the
 * store around it). Pure: rows and times go in, answers come out.
 */
#pragma once

#include "control/decide.h"

/* May what was permitted in `permitted` be claimed? heard: the store's row as it was last heard. */
bool cw_outside_may_claim(const struct cw_authority *heard, const struct cw_authority *expected,
                          const struct cw_authority *next, uint64_t permitted, const char *site);

/* The store answers again: what becomes of a row that is held outside of it? */
enum cw_outside_meeting {
    CW_OUTSIDE_GOES_IN,  /* over a row of a lower epoch; no lease is waited for */
    CW_OUTSIDE_IS_IN,    /* the store has this reign: what differs (its set) goes in */
    CW_OUTSIDE_IS_PASSED /* by a higher epoch, or another reign of this one: it is over */
};
enum cw_outside_meeting cw_outside_meets(const struct cw_authority *store, const struct cw_authority *held);

/* The row for both, where it is not passed. before: what the store had when `held` began to be handed over;
 * NULL: that has not begun. From then on `held` does not change, so a row of this reign that is another one
 * is the store's own, and newer. Where it has not begun, neither is known to be the newer one (the answer to
 * a swap got lost; a file came back from a copy): who is in both sets has everything, whichever that is. */
void cw_outside_settle(const struct cw_authority *store, const struct cw_authority *held,
                       const struct cw_authority *before, struct cw_authority *next);

/* What a site that may be the old side leaves to the promoted one: time to reach the store first. */
struct cw_outside_wait {
    uint64_t lease_ns, hold_ns; /* hold_ns 0: no tokens are configured, and nobody waits */
    uint64_t opened_ns;         /* this controller began then */
    uint64_t silence_ns;        /* how long the store has been silent, as last looked; 0: it answers */
    uint64_t renew_at_ns;       /* nothing is renewed before */
};
void cw_outside_look(struct cw_outside_wait *wait, uint64_t silence_ns, uint64_t now_ns);
/* So long that somebody may have been promoted by tokens meanwhile. */
static inline bool cw_outside_is_long(const struct cw_outside_wait *wait)
{
    return wait->silence_ns > wait->lease_ns;
}
bool cw_outside_may_renew(const struct cw_outside_wait *wait, uint64_t now_ns);
bool cw_outside_may_open(const struct cw_outside_wait *wait, uint64_t now_ns);
