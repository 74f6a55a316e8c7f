/* SPDX-License-Identifier: BSD-3-Clause */
/* What the stories of sessions with several paths share: each file that includes this has a pair of its own.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "one_pair.h"
#include "transport/session_internal.h"

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static struct cw_session_config configs[2];

/* Paths 0..count - 1 on both sides, alike. */
static inline void configure(uint32_t count, uint64_t seed)
{
    cw_pair_defaults(&configs[0], &configs[1], seed);
    for (int i = 0; i < 2; i++) {
        configs[i].path_count = count;
        for (uint32_t path = 0; path < count; path++) {
            configs[i].paths[path] = configs[i].paths[0];
            configs[i].paths[path].name_hash = 100 + path;
            configs[i].paths[path].rate_bytes_per_second = 10000000; /* so that no path has room for all */
        }
    }
}

static inline void begin(const struct cw_link_config *links, uint64_t seed)
{
    cw_pair_init(pair, &configs[0], &configs[1], &links[0], seed);
    for (int i = 0; i < 2; i++)
        for (uint32_t path = 0; path < configs[i].path_count; path++)
            pair->sides[i].out[path].config = links[path];
}

static inline void run(uint64_t ns)
{
    cw_pair_run(pair, pair->now_ns + ns, NULL);
}

static inline void go_up(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
    run(300 * CW_MS);
}

static inline void cut(uint32_t path, bool is_cut)
{
    for (int i = 0; i < 2; i++)
        pair->sides[i].out[path].config.loss_per_million = is_cut ? 1000000 : 0;
}

static inline uint32_t paths_up(int side)
{
    uint32_t count = 0;
    for (uint32_t path = 0; path < CW_SESSION_PATHS_MAX; path++)
        count += pair->sides[side].is_path_up[path];
    return count;
}

static inline struct cw_session_path_stats stats_of(int side, uint32_t path)
{
    struct cw_session_path_stats stats;
    cw_session_path_stats(pair->sides[side].session, path, &stats);
    return stats;
}

static inline void expect_all_once(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 60 * CW_SECOND, cw_pair_is_finished));
    expect_all_arrived_once();
}

static const struct cw_link_config good_links[CW_SESSION_PATHS_MAX] __attribute__((unused)) = {
    {.delay_ns = CW_MS}, {.delay_ns = CW_MS}, {.delay_ns = CW_MS}, {.delay_ns = CW_MS}};
