/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What store_paths.c says of a path that several lanes tell of: each thing once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "engine/store.h"
#include "transport/session.h"

static struct cw_engine engine;
static struct cw_store store;
static char said[1024]; /* the events, each in brackets */

void cw_store_event(struct cw_store *of, uint8_t level, uint32_t group, const char *text, uint64_t a,
                    uint64_t b, uint64_t c)
{
    size_t length = strlen(said);
    snprintf(said + length, sizeof said - length, "[%.40s]", text);
}

static void begin(uint32_t lanes)
{
    memset(&store, 0, sizeof store);
    memset(&engine, 0, sizeof engine);
    store.engine = &engine;
    engine.config.lane_count = lanes;
    engine.config.peer_count = 1;
    engine.config.peers[0].path_count = 2;
    engine.config.peers[0].paths[0] = 0;
    engine.config.peers[0].paths[1] = 1;
    said[0] = 0;
}

static void expect(const char *text)
{
    assert_string_equal(said, text);
    said[0] = 0;
}

static void held(uint32_t lane, uint8_t state)
{
    cw_store_on_path(&store, lane,
                     &(struct cw_from_net){.type = CW_FROM_NET_PATH_HELD, .path = 1, .why = state});
}

static void moved(uint32_t lane, bool is_home)
{
    cw_store_on_path(&store, lane,
                     &(struct cw_from_net){.type = CW_FROM_NET_PATH_MOVED, .path = 1, .is_home = is_home});
}

#define YIELDS "[path %llu: a queue of %llu ms stands in ]"
#define TRIPS  "[path %llu: the circuit breaker tripped: ]"
#define FREE   "[path %llu sends at its rate again]"
#define AWAY   "[path %llu: the peer speaks from another ]"
#define HOME   "[path %llu: the peer is back at the addre]"

static void one_lane_says_all_that_it_hears(void **state)
{
    begin(1);
    held(0, CW_FIXED_YIELDING);
    held(0, CW_FIXED_TRIPPED);
    held(0, CW_FIXED_FREE);
    held(0, CW_FIXED_TRIPPED);
    expect(YIELDS TRIPS FREE TRIPS);
    moved(0, false);
    moved(0, false);
    moved(0, true);
    expect(AWAY AWAY HOME);
}

static void a_path_is_held_once(void **state)
{
    begin(3);
    held(1, CW_FIXED_YIELDING);
    held(0, CW_FIXED_YIELDING);
    held(2, CW_FIXED_YIELDING);
    expect(YIELDS);
    held(2, CW_FIXED_TRIPPED); /* worse than what was said */
    held(1, CW_FIXED_TRIPPED);
    expect(TRIPS);
    held(1, CW_FIXED_FREE);
    held(2, CW_FIXED_FREE);
    expect("");
    held(0, CW_FIXED_FREE);
    expect(FREE);
    held(0, CW_FIXED_TRIPPED);
    expect(TRIPS);
}

static void a_peer_moves_once(void **state)
{
    begin(2);
    moved(1, false);
    moved(0, false);
    expect(AWAY);
    moved(0, false); /* the other told of the first move, and tells of the next */
    moved(1, false);
    expect(AWAY);
    moved(1, true);
    expect("");
    moved(0, true);
    expect(HOME);
}

/* What the next session finds is told anew. */
static void a_session_that_ended_is_forgotten(void **state)
{
    begin(2);
    moved(0, false);
    moved(1, false);
    expect(AWAY);
    for (uint32_t lane = 0; lane < 2; lane++)
        cw_store_paths_end(&store, lane, &(struct cw_from_net){.type = CW_FROM_NET_DOWN, .why = CW_DOWN_IDLE},
                           false);
    expect("");
    moved(1, false);
    expect(AWAY);
}

static void a_path_is_up_in_all_lanes_or_not(void **state)
{
    struct cw_from_net up = {.type = CW_FROM_NET_PATH_UP, .path = 1};
    struct cw_from_net down = {.type = CW_FROM_NET_PATH_DOWN, .path = 1, .why = CW_PATH_DOWN_PROBES};
    begin(2);
    cw_store_on_path(&store, 0, &up);
    expect("");
    cw_store_on_path(&store, 1, &up);
    expect("[path %llu is up]");
    cw_store_on_path(&store, 1, &down);
    expect("[path %llu is down: 3 probe time-outs; pa]");
    cw_store_on_path(&store, 0, &down);
    expect("");
    cw_store_on_path(&store, 0, &up);
    cw_store_on_path(&store, 1, &up);
    expect("[path %llu is back]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_lane_says_all_that_it_hears),
        cmocka_unit_test(a_path_is_held_once),
        cmocka_unit_test(a_peer_moves_once),
        cmocka_unit_test(a_session_that_ended_is_forgotten),
        cmocka_unit_test(a_path_is_up_in_all_lanes_or_not),
    };
    return cmocka_run_group_tests_name("engine/paths", tests, NULL, NULL);
}
