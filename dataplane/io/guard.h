/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeps a memif port's bursts and the rest of DPDK apart. Private to io/.
 *
 * When its peer dies, the memif driver unmaps the shared rings on EAL's interrupt thread, without waiting for
 * a burst that is copying into them on the lcore: a kill -9 of one site would now and then take its peer
 * along by SIGSEGV. The driver clears its "connected" flag first, and a burst looks at the flag first: it is
 * enough that the unmapping waits for the burst in progress. guard.c therefore stands in for munmap in this
 * process, and it waits while a burst runs in any guarded port.
 *
 * The same guard lets the thread that reconnects a client stop and start the port while the lcore polls.
 *
 * Dekker's pattern: the lcore stores `turns` (odd: in a burst), then loads the driver's flag or is_held; the
 * other side stores the flag or is_held, then loads `turns`. Both need a full fence between. The lcore's
 * would wait until all it has copied is out of its store buffer, at each burst; so the other side, which
 * comes once in a blue moon, has it made where our threads run (membarrier, Linux 4.14). Without that both
 * have their own.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cw_guard {
    _Atomic uint32_t turns; /* written by the lcore; odd while in a burst */
    _Atomic bool is_held;   /* written by the holder */
};

/* Whether the other side makes the lcore's fences. Once true it stays so. */
extern _Atomic bool cw_guard_is_light;

static inline void cw_guard_fence(void)
{
    if (atomic_load_explicit(&cw_guard_is_light, memory_order_relaxed))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* Lcore. False: the port is being restarted, leave it alone. */
static inline bool cw_guard_enter(struct cw_guard *guard)
{
    uint32_t turns = atomic_load_explicit(&guard->turns, memory_order_relaxed); /* ours alone */
    atomic_store_explicit(&guard->turns, turns + 1, memory_order_relaxed);
    cw_guard_fence();
    if (!atomic_load_explicit(&guard->is_held, memory_order_relaxed))
        return true;
    atomic_store_explicit(&guard->turns, turns + 2, memory_order_release);
    return false;
}

/* Lcore. The release pairs with the acquire of the waiter: what the burst touched is touched no more. */
static inline void cw_guard_leave(struct cw_guard *guard)
{
    uint32_t turns = atomic_load_explicit(&guard->turns, memory_order_relaxed);
    atomic_store_explicit(&guard->turns, turns + 1, memory_order_release);
}

/* Any other thread: no burst runs from the return of hold until release. */
void cw_guard_hold(struct cw_guard *guard);
void cw_guard_release(struct cw_guard *guard);

/* Main thread: munmap waits for bursts of registered guards. At most 64, one a queue; false when there are more. */
bool cw_guard_register(struct cw_guard *guard);
void cw_guard_unregister(struct cw_guard *guard);
