/* SPDX-License-Identifier: BSD-3-Clause */
/* See guard.h. */
#include "io/guard.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/numbers.h"

#define GUARDS_MAX      64u
#define WAIT_YIELDS_MAX 1000000u /* a paused lcore must not stop a dying process */

static _Atomic(struct cw_guard *) guards[GUARDS_MAX];
static pthread_once_t once = PTHREAD_ONCE_INIT;
_Atomic bool cw_guard_is_light;

static void ask_for_light(void)
{
    long error = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    atomic_store(&cw_guard_is_light, error == 0);
}

/* Between our store, or the driver's, and the load of turns: a fence here, and in all running threads. It
 * does not fail for who has registered. */
static void fence_everywhere(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&cw_guard_is_light))
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* Behind a fence. Returns when the burst that may have been running at the call is over. */
static void wait_for_burst(struct cw_guard *guard)
{
    uint32_t turns = atomic_load_explicit(&guard->turns, memory_order_seq_cst);
    if ((turns & 1) == 0)
        return;
    for (uint32_t i = 0; i < WAIT_YIELDS_MAX; i++) {
        if (atomic_load_explicit(&guard->turns, memory_order_acquire) != turns)
            return;
        sched_yield();
    }
}

void cw_guard_hold(struct cw_guard *guard)
{
    atomic_store_explicit(&guard->is_held, true, memory_order_seq_cst);
    fence_everywhere();
    wait_for_burst(guard);
}

void cw_guard_release(struct cw_guard *guard)
{
    atomic_store_explicit(&guard->is_held, false, memory_order_release);
}

bool cw_guard_register(struct cw_guard *guard)
{
    (void)pthread_once(&once, ask_for_light);
    for (uint32_t i = 0; i < GUARDS_MAX; i++) {
        struct cw_guard *none = NULL;
        if (atomic_compare_exchange_strong(&guards[i], &none, guard))
            return true;
    }
    return false;
}

void cw_guard_unregister(struct cw_guard *guard)
{
    for (uint32_t i = 0; i < GUARDS_MAX; i++) {
        struct cw_guard *expected = guard;
        (void)atomic_compare_exchange_strong(&guards[i], &expected, NULL);
    }
}

/* Takes the place of the C library's for every shared library of the process. */
int munmap(void *address, size_t length)
{
    bool is_fenced = false;
    for (uint32_t i = 0; i < GUARDS_MAX; i++) {
        struct cw_guard *guard = atomic_load_explicit(&guards[i], memory_order_acquire);
        if (guard == NULL)
            continue;
        if (!is_fenced)
            fence_everywhere(); /* the driver's flag was cleared by a plain store */
        is_fenced = true;
        wait_for_burst(guard);
    }
    return (int)syscall(SYS_munmap, address, length);
}
