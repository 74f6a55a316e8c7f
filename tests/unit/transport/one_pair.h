/* SPDX-License-Identifier: BSD-3-Clause */
/* For files whose every test has one pair of sessions, made by set_up and gone with tear_down; the test itself
 * says what it is: cw_pair_init, or begin_alike. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pair.h"

static struct cw_pair *pair;

static inline int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    return pair ? 0 : -1;
}

static inline int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    return 0;
}

/* Both sides as they are by default. */
static inline void begin_alike(const struct cw_link_config *link, uint64_t seed)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, seed);
    cw_pair_init(pair, &initiator, &responder, link, seed);
}

/* All has come back: the session never went down, and each message arrived once. */
static inline void expect_all_arrived_once(void)
{
    for (int side = 0; side < 2; side++) {
        struct cw_pair_side *s = &pair->sides[side];
        assert_int_equal(s->downs, 0);
        for (uint32_t i = 0; i < s->sent_count; i++) {
            assert_int_equal(s->messages[i].state, CW_PAIR_DELIVERED);
            assert_int_equal(s->messages[i].arrived, 1);
        }
    }
}
