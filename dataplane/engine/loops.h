/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lcore threads: one that runs net and store in turn, or one for each; then there may be several for net.
 *
 * Dedicated: they never sleep. Adaptive, for CPUs that others need, too: 20 us after data last moved they
 * sleep, at first 20 us at a time, later 200 us, and 1 ms once no data has moved for 20 ms or no path is up,
 * 3 ms after a whole second; never past the next deadline. One thread for both also sleeps at once, up to 1
 * ms, when it is primary and owes nobody an answer; and when 8 or more requests are out, it naps 5 us for
 * each, at most 200, whenever there is nothing to do: on a machine of few cores that is what makes batches.
 * It asks the kernel for short slices, which puts it first when it wakes beside strangers. One thread on two
 * CPUs does more than two: a write then wakes nobody between net and store. The store sleeps in its io_uring,
 * where disks, clients and commands end the sleep; a port has no interrupt, so a packet that ends an idle
 * time waits for up to the timer. A net thread of its own sleeps in ppoll on an eventfd.
 */
#pragma once

#include <pthread.h>

#include "engine/net_lcore.h"
#include "engine/store.h"

struct cw_loops {
    struct cw_engine *engine;
    pthread_t store_thread, net_threads[CW_LANES_MAX];
    uint32_t net_thread_count; /* 0: the store's thread runs the net, too */
};

/* Words in why. */
enum cw_status cw_loops_start(struct cw_loops *loops, struct cw_engine *engine, char *why,
                              size_t why_size) CW_MUST_CHECK;
/* Waits until they have ended: the store after its STOP, the net lcores after the store. */
void cw_loops_join(struct cw_loops *loops);
/* Control: something stands in the store's ring. */
void cw_loops_wake_store(struct cw_engine *engine);
/* Control: a verdict stands in the ring of this net lcore. */
void cw_loops_wake_net(struct cw_engine *engine, uint32_t lane);
