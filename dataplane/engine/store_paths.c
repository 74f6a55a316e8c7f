/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to paths, in words: events of the store.
 *
 * Each lane tells of each path by itself. With several lanes a path is up when it is up in all of them, and
 * down as soon as it is not.
 */
#include "base/assert.h"
#include "base/numbers.h"
#include "engine/store.h"

#define DOWN_TEXTS(who)                                                                                      \
    {                                                                                                        \
        [CW_DOWN_NONE] = who, [CW_DOWN_IDLE] = who ": nothing is heard from there",                          \
        [CW_DOWN_CLOSED_BY_PEER] = who ": the other end closed the session",                                 \
        [CW_DOWN_PEER_RESTARTED] = who ": the other end was restarted",                                      \
        [CW_DOWN_KEYS_WORN] = who ": the keys are used up, new ones are made",                               \
        [CW_DOWN_LOCAL] = who ": the session was closed here",                                               \
        [CW_DOWN_UNTRUSTED] = who ": the certificate of the other end is not good any more",                 \
        [CW_DOWN_REWOUND] = who ": this machine may have gone back to a picture of its memory; new keys "    \
                                "are made",                                                                  \
    }
static const char *const path_texts[CW_DOWN_COUNT] = DOWN_TEXTS("path %llu is down");
static const char *const site_texts[CW_DOWN_COUNT] = DOWN_TEXTS("all paths to site %llu are down");

void cw_store_paths_end(struct cw_store *store, uint32_t lane, const struct cw_from_net *element,
                        bool was_whole)
{
    const struct cw_config_peer *config = &store->engine->config.peers[element->peer];
    CW_ASSERT(element->why < CW_DOWN_COUNT);
    for (unsigned p = 0; p < config->path_count; p++) {
        struct cw_store_path *path = &store->paths[config->paths[p]];
        path->lanes_up &= (uint8_t) ~(1u << lane);
        path->lanes_away &= (uint8_t) ~(1u << lane); /* a later session tells of it anew */
        path->was_down = false;
    }
    if (was_whole && config->path_count == 1)
        cw_store_event(store, 1, 0, path_texts[element->why], config->paths[0], 0, 0);
    else if (was_whole)
        cw_store_event(store, 1, 0, site_texts[element->why], store->peers[element->peer].site, 0, 0);
}

static bool is_path_whole(const struct cw_store *store, uint8_t path)
{
    return store->paths[path].lanes_up == (1u << store->engine->config.lane_count) - 1;
}

static void on_path_up(struct cw_store *store, uint32_t lane, uint8_t path)
{
    store->paths[path].lanes_up |= (uint8_t)(1u << lane);
    if (!is_path_whole(store, path))
        return;
    cw_store_event(store, 0, 0, store->paths[path].was_down ? "path %llu is back" : "path %llu is up", path,
                   0, 0);
    store->paths[path].was_down = false;
}

static const char *const path_down_texts[CW_PATH_DOWN_COUNT] = {
    [CW_PATH_DOWN_PROBES] = "path %llu is down: 3 probe time-outs; path %llu carries on",
    [CW_PATH_DOWN_SILENT] = "path %llu is down: nothing is heard on it; path %llu carries on",
};

/* The last path of a session does not go down before the session does. */
static void on_path_down(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    const struct cw_config_peer *peer = &store->engine->config.peers[element->peer];
    uint8_t other = element->path;
    bool was_whole = is_path_whole(store, element->path);
    store->paths[element->path].lanes_up &= (uint8_t) ~(1u << lane);
    store->paths[element->path].was_down = true;
    for (unsigned p = 0; p < peer->path_count; p++) {
        if (store->paths[peer->paths[p]].lanes_up & 1u << lane)
            other = peer->paths[p];
    }
    CW_ASSERT(element->why < CW_PATH_DOWN_COUNT);
    if (was_whole)
        cw_store_event(store, 1, 0, path_down_texts[element->why], element->path, other, 0);
}

static void on_path_one_sided(struct cw_store *store, uint32_t lane, uint8_t path)
{
    if (lane == 0) /* the others say the same */
        cw_store_event(
            store, 1, 0,
            "path %llu is not used: the other end has none of that name; give it one, or take this one away",
            path, 0, 0);
}

static void on_other_lanes(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    if (lane == 0) /* which both ends have: the others say the same */
        cw_store_event(
            store, 2, 0,
            "path %llu: refused: the other end has %llu net lcores and this one %llu; name as many CPUs "
            "in lcores.net of both",
            element->path, element->generation, store->engine->config.lane_count);
}

static const char *const path_held_texts[CW_FIXED_STATE_COUNT] = {
    [CW_FIXED_FREE] = "path %llu sends at its rate again",
    [CW_FIXED_YIELDING] =
        "path %llu: a queue of %llu ms stands in it: three quarters of what arrives are sent for "
        "%llu s; give it a rate that the circuit carries, or rate_control: bbr",
    [CW_FIXED_TRIPPED] =
        "path %llu: the circuit breaker tripped: %llu per cent were lost; little is sent for %llu s, then "
        "its rate is tried again; give it a rate that the circuit carries, or rate_control: bbr",
};

/* The worst that other lanes have said of it. */
static uint8_t held_elsewhere(const struct cw_store_path *path, uint32_t lane)
{
    uint8_t worst = CW_FIXED_FREE;
    for (uint32_t other = 0; other < CW_LANES_MAX; other++) {
        if (other != lane)
            worst = CW_MAX(worst, path->held[other]);
    }
    return worst;
}

/* Each lane watches what becomes of its part of the rate, and finds the same soon after another. Told is what
 * is worse than others have said, and that none is held any more. */
static void on_path_held(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    struct cw_store_path *path = &store->paths[element->path];
    uint8_t elsewhere = held_elsewhere(path, lane);
    CW_ASSERT(element->why < CW_FIXED_STATE_COUNT);
    path->held[lane] = element->why;
    if (element->why == CW_FIXED_FREE ? elsewhere != CW_FIXED_FREE : element->why <= elsewhere)
        return;
    cw_store_event(store, element->why != CW_FIXED_FREE, 0, path_held_texts[element->why], element->path,
                   element->held.amount, element->held.retry_ms / 1000);
}

/* Each lane follows by itself, since each is sent from a port of its own. Told is what the first one does,
 * and when the last one is back. */
static void on_path_moved(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    struct cw_store_path *path = &store->paths[element->path];
    bool is_first = path->lanes_away == 0;
    if (element->is_home)
        path->lanes_away &= (uint8_t) ~(1u << lane);
    else
        path->lanes_away |= (uint8_t)(1u << lane);
    if (element->is_home ? path->lanes_away != 0 : !is_first && path->mover != lane)
        return;
    path->mover = (uint8_t)lane;
    const char *text =
        element->is_home
            ? "path %llu: the peer is back at the address of the configuration"
            : "path %llu: the peer speaks from another address and has answered there, so it is "
              "followed (status shows where to); change the configuration if it is to stay there";
    cw_store_event(store, 1, 0, text, element->path, 0, 0);
}

void cw_store_on_path(struct cw_store *store, uint32_t lane, const struct cw_from_net *element)
{
    switch (element->type) {
    case CW_FROM_NET_PATH_UP:
        on_path_up(store, lane, element->path);
        break;
    case CW_FROM_NET_PATH_DOWN:
        on_path_down(store, lane, element);
        break;
    case CW_FROM_NET_PATH_HELD:
        on_path_held(store, lane, element);
        break;
    case CW_FROM_NET_PATH_MOVED:
        on_path_moved(store, lane, element);
        break;
    case CW_FROM_NET_PATH_ONE_SIDED:
        on_path_one_sided(store, lane, element->path);
        break;
    default:
        CW_ASSERT(element->type == CW_FROM_NET_OTHER_LANES);
        on_other_lanes(store, lane, element);
    }
}
