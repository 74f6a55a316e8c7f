/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the queues of one port share, when it has several: one a net lcore, which is one a lane. Private to
 * io/.
 *
 * A device chooses by its own rules on which queue a frame arrives. A queue passes what is another lane's to
 * that lane's queue, by a ring of pointers from each to each; what finds no room there is the passer's to
 * drop and count. All that is no datagram of ours (ARP, neighbour discovery, ICMP) is lane 0's.
 *
 * Where to send is found out by queue 0 and read by the others: one word, so it is whole when it is read.
 *
 * That a router calls a datagram too big comes to queue 0, too, which hands it to the lane whose datagram it
 * was; what that lane's session believes is told to the others, whose datagrams go the same way. Both by
 * small rings: what finds no room is forgotten, it is a hint.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"
#include "io/host.h"
#include "wire/packet.h"

struct cw_lanes {
    uint32_t count;
    struct cw_ring passed[CW_LANES_MAX][CW_LANES_MAX]; /* from, to: pointers; none to itself */
    struct cw_ring hints[CW_LANES_MAX][CW_LANES_MAX];  /* from, to: struct cw_host_too_big; likewise */
    uint64_t hop_told;                                 /* what queue 0 published last */
    _Atomic uint64_t hop;                              /* bit 48: known; below, the link address */
};

/* Main thread, both. NULL: no memory. Free gives no frames back: take them out before. */
struct cw_lanes *cw_lanes_new(uint32_t count);
void cw_lanes_free(struct cw_lanes *lanes);

/* The lcore of `from`. False: no room, the frame stays the caller's. */
bool cw_lanes_pass(struct cw_lanes *lanes, uint32_t from, uint32_t to, void *frame);
/* The lcore of `to`. Of what the others have passed, from each an equal share of frames_max at most. */
uint32_t cw_lanes_take(struct cw_lanes *lanes, uint32_t to, void **frames, uint32_t frames_max);

/* The lcore of `from`; and of `to`: the next one that it was told. False: none. */
void cw_lanes_hint(struct cw_lanes *lanes, uint32_t from, uint32_t to, const struct cw_host_too_big *hint);
bool cw_lanes_take_hint(struct cw_lanes *lanes, uint32_t to, struct cw_host_too_big *hint);

/* Queue 0's lcore. mac NULL: nowhere. */
void cw_lanes_publish_hop(struct cw_lanes *lanes, const uint8_t mac[6]);
/* Any lcore. False: not known. */
bool cw_lanes_hop(const struct cw_lanes *lanes, uint8_t mac[6]);
