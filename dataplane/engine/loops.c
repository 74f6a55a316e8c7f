/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/loops.h"

#include <errno.h>
#include <poll.h>
#include <rte_lcore.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/no_alloc.h"

#define SPIN_NS (100 * CW_US)
/* Of a loop with a thread of its own for the other half: a wake-up away, and not given away meanwhile. */
#define SPIN_ALONE_NS  (20 * CW_US)
#define SLICE_NS       (100 * CW_US)
#define SLEEP_SHORT_NS (20 * CW_US)
#define SLEEP_NS       (200 * CW_US)
#define SLEEP_IDLE_NS  CW_MS
#define QUIET_NS       (2 * CW_MS)
#define IDLE_NS        (20 * CW_MS)
#define SLEEP_LONG_NS  (3 * CW_MS)
#define LONG_NS        CW_SECOND

/* How long this loop may sleep now; 0: not yet. worked_ns: when data last moved; heartbeats are no work, or
 * an idle engine would never come to rest. */
static uint64_t sleep_for(uint64_t spin_ns, bool may_be_idle, uint64_t now_ns, uint64_t worked_ns,
                          uint64_t deadline_ns)
{
    uint64_t quiet_ns = now_ns - worked_ns;
    if (quiet_ns < spin_ns || deadline_ns <= now_ns)
        return 0;
    uint64_t ns = quiet_ns < QUIET_NS ? SLEEP_SHORT_NS : SLEEP_NS;
    if (quiet_ns >= IDLE_NS || (may_be_idle && quiet_ns >= QUIET_NS))
        ns = quiet_ns >= LONG_NS ? SLEEP_LONG_NS : SLEEP_IDLE_NS;
    return CW_MIN(ns, deadline_ns - now_ns);
}

static bool has_net_thread(const struct cw_engine *engine)
{
    return engine->config.lane_count > 1 || engine->config.lcores_net[0] != engine->config.lcore_store;
}

/* Nothing that control says to this net lcore. */
static bool has_no_verdict(struct cw_engine *engine, uint32_t lane)
{
    if (cw_net_must_start_over(engine->lanes[lane].net))
        return false;
    return !engine->config.security.has_certificates || cw_ring_is_empty(&engine->lanes[lane].verdicts);
}

static bool is_dedicated(const struct cw_engine *engine)
{
    return engine->config.poll == CW_CONFIG_POLL_DEDICATED;
}

/* The kernel's struct sched_attr, which no header of libc has. */
struct slice_request {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
};

/* A thread that asks for short slices may go before those with long ones when it wakes (Linux 6.12 and later;
 * elsewhere nothing changes): between two sleeps a loop needs tens of microseconds. */
static void ask_for_short_slices(void)
{
    struct slice_request request = {.size = sizeof request, .slice_ns = SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &request, 0);
}

static void prepare_thread(const char *name, const struct cw_engine *engine, uint32_t cpu)
{
    (void)pthread_setname_np(pthread_self(), name);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (rte_thread_register() != 0) /* gives the port's buffer pool a cache of this thread's own */
        fprintf(stderr, "causeway-engine: %s runs without a DPDK lcore id: slower, but well\n", name);
    if (!is_dedicated(engine)) {
        ask_for_short_slices();
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        fprintf(stderr, "causeway-engine: %s cannot be bound to CPU %u\n", name, cpu);
}

/* ---------------------------------------------------------------- sleeping */

/* The store's part of cw_sleeper: is there anything that came after the last look? */
static void store_sleep(struct cw_engine *engine, uint64_t ns)
{
    struct cw_store *store = engine->store;
    (void)atomic_exchange(&engine->store_sleeper.is_sleeping, true);
    bool is_empty = cw_ring_is_empty(&engine->commands);
    for (uint32_t lane = 0; lane < engine->config.lane_count; lane++)
        is_empty = is_empty && cw_ring_is_empty(&engine->lanes[lane].from_net);
    if (!has_net_thread(engine)) /* else they are that thread's to look at */
        is_empty = is_empty && has_no_verdict(engine, 0);
    cw_count(&store->counters[CW_STORE_SLEEPS], 1);
    cw_uring_sleep(&store->uring, is_empty ? ns : 0);
    atomic_store(&engine->store_sleeper.is_sleeping, false);
}

static void net_sleep(struct cw_net *net, uint64_t ns)
{
    struct cw_engine_lane *mail = net->mail;
    (void)atomic_exchange(&mail->sleeper.is_sleeping, true);
    if (cw_ring_is_empty(&mail->to_net) && has_no_verdict(net->engine, net->lane)) {
        struct pollfd wake = {.fd = net->wake_fd, .events = POLLIN};
        struct timespec timeout = {.tv_sec = (time_t)(ns / CW_SECOND), .tv_nsec = (long)(ns % CW_SECOND)};
        uint64_t count;
        if (ppoll(&wake, 1, &timeout, NULL) > 0 && read(wake.fd, &count, sizeof count) < 0)
            CW_ASSERT(errno == EAGAIN || errno == EINTR);
    }
    atomic_store(&mail->sleeper.is_sleeping, false);
}

static void wake_net(struct cw_engine *engine, uint32_t lane)
{
    if (!atomic_exchange(&engine->lanes[lane].sleeper.is_sleeping, false))
        return;
    uint64_t one = 1;
    ssize_t written = write(engine->lanes[lane].net->wake_fd, &one, sizeof one);
    (void)written;
}

static void wake_nets(struct cw_engine *engine, uint32_t lanes)
{
    for (uint32_t lane = 0; lanes != 0; lane++, lanes >>= 1) {
        if (lanes & 1)
            wake_net(engine, lane);
    }
}

void cw_loops_wake_store(struct cw_engine *engine)
{
    if (atomic_exchange(&engine->store_sleeper.is_sleeping, false))
        cw_uring_wake(&engine->store->uring);
}

void cw_loops_wake_net(struct cw_engine *engine, uint32_t lane)
{
    if (has_net_thread(engine))
        wake_net(engine, lane);
    else
        cw_loops_wake_store(engine);
}

/* ---------------------------------------------------------------- the loops */

/* While it spins the CPU is everybody's: on few cores the client, or the other engine, is what it waits for.
 * A primary that owes no answer waits for its clients only, and their sockets end the sleep. */
static void rest_both(struct cw_engine *engine, uint64_t now_ns, uint64_t worked_ns)
{
    const struct cw_net *net = engine->lanes[0].net;
    if (is_dedicated(engine)) {
        __builtin_ia32_pause();
        return;
    }
    if (now_ns - worked_ns < SPIN_NS) { /* deadlines take a while to ask for */
        (void)sched_yield();
        return;
    }
    uint64_t deadline_ns = CW_MIN(cw_net_deadline_ns(net), cw_store_deadline_ns(engine->store));
    uint64_t ns = sleep_for(SPIN_NS, !cw_net_is_any_up(net), now_ns, worked_ns, deadline_ns);
    bool owes_nothing = cw_store_requests(engine->store) == 0 && cw_store_is_primary(engine->store);
    if (owes_nothing && ns > 0)
        ns = CW_MIN(CW_MAX(ns, SLEEP_IDLE_NS), deadline_ns - now_ns);
    if (ns == 0)
        (void)sched_yield();
    else
        store_sleep(engine, ns);
}

/* Replies leave before anything else is begun, and whoever waited for the last of them shall run. What is
 * prepared for the disk and for the next request can wait until the peers have theirs. */
static uint32_t transmit_both(struct cw_engine *engine)
{
    struct cw_store *store = engine->store;
    if (store->has_replied && !is_dedicated(engine) && cw_store_requests(store) == 0)
        (void)sched_yield();
    uint32_t count = cw_net_transmit(engine->lanes[0].net, cw_clock_now_ns());
    cw_store_submit(store);
    return count;
}

static void *both_loop(void *argument)
{
    struct cw_engine *engine = argument;
    struct cw_net *net = engine->lanes[0].net;
    struct cw_store *store = engine->store;
    prepare_thread("causeway-lcore", engine, engine->config.lcore_store);
    uint64_t now_ns = cw_clock_now_ns(), worked_ns = now_ns;
    cw_no_alloc = true;
    while (!store->is_done) {
        uint32_t count = cw_net_receive(net, now_ns);
        count += cw_store_turn(store, now_ns);
        count += transmit_both(engine);
        uint64_t end_ns = cw_clock_now_ns();
        net->cycle_ns_max = CW_MAX(net->cycle_ns_max, end_ns - now_ns);
        now_ns = end_ns;
        if (net->has_worked || store->has_worked)
            worked_ns = now_ns;
        net->has_worked = store->has_worked = false;
        if (count > 0)
            continue;
        rest_both(engine, now_ns, worked_ns);
        now_ns = cw_clock_now_ns();
    }
    cw_net_close_sessions(net, now_ns);
    cw_no_alloc = false;
    return NULL;
}

static void *store_loop(void *argument)
{
    struct cw_engine *engine = argument;
    struct cw_store *store = engine->store;
    prepare_thread("causeway-store", engine, engine->config.lcore_store);
    uint64_t now_ns = cw_clock_now_ns(), worked_ns = now_ns;
    cw_no_alloc = true;
    while (!store->is_done) {
        uint32_t count = cw_store_turn(store, now_ns);
        cw_store_submit(store);
        wake_nets(engine, store->told_lanes);
        store->told_lanes = 0;
        now_ns = cw_clock_now_ns();
        if (store->has_worked)
            worked_ns = now_ns;
        store->has_worked = false;
        if (count > 0)
            continue;
        uint64_t deadline_ns = cw_store_deadline_ns(store);
        bool must_spin = is_dedicated(engine) || now_ns - worked_ns < SPIN_ALONE_NS || deadline_ns <= now_ns;
        if (must_spin)
            __builtin_ia32_pause();
        else
            store_sleep(engine, deadline_ns - now_ns);
        now_ns = cw_clock_now_ns();
    }
    atomic_store(&engine->must_stop, true);
    wake_nets(engine, (1u << engine->config.lane_count) - 1);
    cw_no_alloc = false;
    return NULL;
}

static void *net_loop(void *argument)
{
    struct cw_net *net = argument;
    struct cw_engine *engine = net->engine;
    char name[16] = "causeway-net";
    if (engine->config.lane_count > 1)
        snprintf(name, sizeof name, "causeway-net%u", net->lane);
    prepare_thread(name, engine, engine->config.lcores_net[net->lane]);
    uint64_t now_ns = cw_clock_now_ns(), worked_ns = now_ns;
    cw_no_alloc = true;
    while (!atomic_load_explicit(&engine->must_stop, memory_order_relaxed)) {
        uint32_t count = cw_net_receive(net, now_ns);
        count += cw_net_transmit(net, now_ns);
        if (net->has_pushed)
            cw_loops_wake_store(engine);
        net->has_pushed = false;
        uint64_t end_ns = cw_clock_now_ns();
        net->cycle_ns_max = CW_MAX(net->cycle_ns_max, end_ns - now_ns);
        now_ns = end_ns;
        if (net->has_worked)
            worked_ns = now_ns;
        net->has_worked = false;
        if (count > 0)
            continue;
        uint64_t ns = is_dedicated(engine) ? 0
                                           : sleep_for(SPIN_ALONE_NS, !cw_net_is_any_up(net), now_ns,
                                                       worked_ns, cw_net_deadline_ns(net));
        if (ns > 0)
            net_sleep(net, ns);
        else
            __builtin_ia32_pause();
        now_ns = cw_clock_now_ns();
    }
    cw_net_close_sessions(net, now_ns);
    cw_no_alloc = false;
    return NULL;
}

/* ---------------------------------------------------------------- starting */

/* Lcores take no signals: those are the control thread's. */
static int start_thread(pthread_t *thread, void *(*loop)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV); /* a blocked fault kills without last words */
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, loop, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

enum cw_status cw_loops_start(struct cw_loops *loops, struct cw_engine *engine, char *why, size_t why_size)
{
    loops->engine = engine;
    bool is_apart = has_net_thread(engine);
    int error = start_thread(&loops->store_thread, is_apart ? store_loop : both_loop, engine);
    for (uint32_t lane = 0; is_apart && lane < engine->config.lane_count && error == 0; lane++) {
        error = start_thread(&loops->net_threads[lane], net_loop, engine->lanes[lane].net);
        loops->net_thread_count += error == 0;
    }
    if (error == 0)
        return CW_OK;
    snprintf(why, why_size, "cannot start a thread: %s", strerror(error));
    return CW_IO;
}

void cw_loops_join(struct cw_loops *loops)
{
    (void)pthread_join(loops->store_thread, NULL);
    for (uint32_t i = 0; i < loops->net_thread_count; i++)
        (void)pthread_join(loops->net_threads[i], NULL);
}
