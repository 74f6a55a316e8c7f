/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the process share: constant after start, or one of the rings of mail.h.
 */
#pragma once

#include "base/ring.h"
#include "engine/config/node_config.h"
#include "engine/mail.h"
#include "wire/packet.h"

/* A thread that goes to sleep exchanges true in, then looks at its rings a last time; whoever has pushed
 * something exchanges false in, and wakes it if that was true. Both are read-modify-writes of one word:
 * either the sleeper's comes second and sees the push, or the pusher's does and sees the sleeper. */
struct cw_sleeper {
    _Atomic bool is_sleeping;
};

/* A net lcore and its rings: lane 0 is the first. Others have nothing in common but the store. */
struct cw_engine_lane {
    struct cw_net *net;
    struct cw_ring to_net;      /* store -> net: struct cw_to_net */
    struct cw_ring large_heads; /* store -> net: CW_MESSAGE_HEAD_MAX bytes each */
    struct cw_ring from_net;    /* net -> store: struct cw_from_net */
    struct cw_ring
        questions;           /* net -> control: struct cw_net_question. With certificates only, as the next */
    struct cw_ring verdicts; /* control -> net: struct cw_net_verdict */
    struct cw_sleeper sleeper;
};

struct cw_engine {
    struct cw_node_config config;
    uint64_t boot_id[2];
    uint64_t process_start;
    uint64_t started_ns;
    size_t memory_bytes; /* all that was reserved at start */

    struct cw_ring commands;                   /* control -> store: struct cw_command * */
    struct cw_ring mails;                      /* store -> control: struct cw_mail */
    struct cw_engine_lane lanes[CW_LANES_MAX]; /* config.lane_count */

    int control_wake_fd; /* eventfd: store and net -> control */
    struct cw_sleeper store_sleeper;
    struct cw_store *store;
    _Atomic uint32_t rewinds; /* how often control found that all sessions must start over (rewind.h) */
    _Atomic bool must_stop; /* the lcore loops end when it is set */
};

/* Index of a site in the configuration's list, or of none: CW_SITES_MAX. */
uint8_t cw_engine_site_id(const struct cw_engine *engine, const char *name);
/* The site that a peer of the configuration (config.peers) is. */
uint8_t cw_engine_peer_site(const struct cw_engine *engine, uint32_t peer);
/* A group's messages travel in one lane, so that their order is kept. */
static inline uint32_t cw_engine_lane_of(const struct cw_engine *engine, uint32_t group)
{
    return group % engine->config.lane_count;
}
/* "?" for an id that no site has. */
const char *cw_engine_site_name(const struct cw_engine *engine, uint8_t id);
/* Groups' log sizes are the same at every node: it is part of the protocol's flow control. */
#define CW_LOG_ENTRIES 8192u
