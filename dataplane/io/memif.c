/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Living with the memif driver of DPDK 22.11, which expects a tamer world than sites that die:
 *
 * - A client connects when its port is started and never again. Each client has a thread, the keeper, that
 *   stops and starts the port while the link is down.
 * - The driver works on EAL's interrupt thread without locks against a caller of stop and start: both may
 *   free the same rings. So stop, start and close are run on that thread, as alarms.
 * - Its connect blocks while the queue of a stopped server is full, and would block all other memif ports
 * with it. So the keeper connects first, by itself and without blocking, and only when the server has greeted
 *   (every memif server says hello first) the driver may.
 * - A server that accepts a connection which is closed already frees what it still watches. So the keeper
 *   never closes a connection before the greeting or the end of the other side.
 * - It unmaps rings under a running burst: guard.h.
 */
#include "io/memif.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_ethdev.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/device.h"

#define STEP_MS             50
#define LINK_WAIT_STEPS_MAX 32u

struct errand {
    void (*run)(struct cw_memif *memif);
    struct cw_memif *memif;
    _Atomic bool is_done;
};

static void on_alarm(void *argument)
{
    struct errand *errand = argument;
    errand->run(errand->memif);
    atomic_store_explicit(&errand->is_done, true, memory_order_release); /* pairs with the wait below */
}

/* Runs it on the interrupt thread and waits. That thread never blocks for long: see above. */
static void run_on_interrupt_thread(struct cw_memif *memif, void (*run)(struct cw_memif *memif))
{
    struct errand errand = {.run = run, .memif = memif};
    if (rte_eal_alarm_set(1, on_alarm, &errand) != 0)
        return; /* out of memory: the next attempt will do */
    while (!atomic_load_explicit(&errand.is_done, memory_order_acquire))
        nanosleep(&(struct timespec){.tv_nsec = (long)CW_MS}, NULL);
}

static bool is_connected(const struct cw_memif *memif)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(memif->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void hold(struct cw_memif *memif)
{
    for (uint32_t i = 0; i < memif->guard_count; i++)
        cw_guard_hold(memif->guards[i]);
}

static void release(struct cw_memif *memif)
{
    for (uint32_t i = 0; i < memif->guard_count; i++)
        cw_guard_release(memif->guards[i]);
}

static void restart(struct cw_memif *memif)
{
    if (is_connected(memif))
        return;
    hold(memif);
    (void)rte_eth_dev_stop(memif->port);
    if (rte_eth_dev_start(memif->port) == 0)
        release(memif);
    /* Else it stays held: ethdev complains loudly about a burst on a port that is not started. */
}

static void stop_and_close(struct cw_memif *memif)
{
    (void)rte_eth_dev_stop(memif->port);
    (void)rte_eth_dev_close(memif->port);
}

static void probe_close(struct cw_memif *memif)
{
    if (memif->probe >= 0)
        close(memif->probe);
    memif->probe = -1;
}

/* Starts to ask, if it is not asking. */
static void probe_open(struct cw_memif *memif)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (memif->probe >= 0)
        return;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", memif->socket);
    memif->probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (memif->probe >= 0 && connect(memif->probe, (struct sockaddr *)&address, sizeof address) < 0)
        probe_close(memif);
}

/* True when the server has greeted. */
static bool probe_answered(struct cw_memif *memif)
{
    uint8_t hello[256];
    struct pollfd wait = {.fd = memif->probe, .events = POLLIN};
    if (memif->probe < 0 || poll(&wait, 1, STEP_MS) <= 0)
        return false;
    bool is_alive = recv(memif->probe, hello, sizeof hello, MSG_DONTWAIT) > 0;
    probe_close(memif);
    return is_alive;
}

static bool must_stop(struct cw_memif *memif)
{
    return atomic_load_explicit(&memif->must_stop, memory_order_relaxed);
}

static void sleep_step(void)
{
    nanosleep(&(struct timespec){.tv_nsec = STEP_MS * (long)CW_MS}, NULL);
}

/* The next restart breaks a handshake off, so it gets time; but one that a server refuses (it listens before
 * its port is started) cannot be told from a slow one. Hence a little at first, and twice as much each time.
 */
static void *keep_connected(void *argument)
{
    struct cw_memif *memif = argument;
    unsigned wait_steps = 1;
    pthread_setname_np(pthread_self(), "memif-keeper");
    while (!must_stop(memif)) {
        if (is_connected(memif)) {
            wait_steps = 1;
            sleep_step();
            continue;
        }
        probe_open(memif);
        if (memif->probe < 0)
            sleep_step(); /* no server */
        if (!probe_answered(memif))
            continue;
        cw_count(memif->reconnects, 1);
        run_on_interrupt_thread(memif, restart);
        for (unsigned i = 0; i < wait_steps && !is_connected(memif) && !must_stop(memif); i++)
            sleep_step();
        wait_steps = CW_MIN(2 * wait_steps, LINK_WAIT_STEPS_MAX);
    }
    probe_close(memif);
    return NULL;
}

int cw_memif_start(struct cw_memif *memif, uint16_t port, const char *device, cw_counter *reconnects)
{
    memif->port = port;
    memif->probe = -1;
    memif->reconnects = reconnects;
    memif->is_client = cw_device_is_memif_client(device);
    if (!cw_device_argument(device, "socket", memif->socket, sizeof memif->socket))
        return -EINVAL;
    for (uint32_t i = 0; i < memif->guard_count; i++) {
        if (!cw_guard_register(memif->guards[i]))
            return -ENOSPC;
    }
    if (!memif->is_client)
        return rte_eth_dev_start(port);
    hold(memif); /* until the keeper has found the server and started the port */
    int error = pthread_create(&memif->keeper, NULL, keep_connected, memif);
    memif->has_keeper = error == 0;
    return -error;
}

void cw_memif_close(struct cw_memif *memif)
{
    atomic_store_explicit(&memif->must_stop, true, memory_order_relaxed);
    if (memif->has_keeper)
        pthread_join(memif->keeper, NULL);
    run_on_interrupt_thread(memif, stop_and_close);
    for (uint32_t i = 0; i < memif->guard_count; i++)
        cw_guard_unregister(memif->guards[i]);
}
