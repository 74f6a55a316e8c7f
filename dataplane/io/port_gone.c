/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that goes away under a running port. The kernel takes a card out of vfio-pci's hands (it is pulled out, or
 * somebody changes its driver) only when who has it open has let go of it, and waits for that, for ever; it says so by
 * an interrupt, which DPDK passes on as the event REMOVE of the device. A driver whose kernel half stays (mlx5) says it
 * by RTE_ETH_EVENT_INTR_RMV. Either way:
 *
 *     THERE --the event, on DPDK's thread--> CALLED BACK --each lane, in its next turn--> LET GO
 *           --an alarm on DPDK's thread, once all lanes have: stop, close, remove--> RELEASED
 *
 * From LET GO on a lane touches the device no more: it receives nothing and sends nothing, as a port whose device takes
 * nothing does, so that the session finds the path down by itself. A device that comes back is opened by the next start
 * of the engine.
 *
 * Not done: the monitor of DPDK for the kernel's own events, and its handler of SIGBUS, which cards driven by uio would
 * need; who pulls out such a card may end the engine. memif has an end of its own (memif.c).
 */
#define ALLOW_EXPERIMENTAL_API /* the events of devices are, in DPDK 22.11 */

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

#include "io/device.h"
#include "io/port_internal.h"

#define LET_GO_WAIT_US 10000

static struct cw_port *lane_of(struct cw_port *port, uint32_t lane)
{
    return lane == 0 ? port : port->others[lane];
}

static void call_back(struct cw_port *port);

static void on_device_event(const char *name, enum rte_dev_event_type event, void *context)
{
    if (event == RTE_DEV_EVENT_REMOVE)
        call_back(context);
}

static int on_port_event(uint16_t id, enum rte_eth_event_type event, void *context, void *result)
{
    call_back(context);
    return 0;
}

/* With the lock, while there is a device. An event that is being told takes no lock and no time. */
static void unwatch(struct cw_port *port)
{
    while (port->is_watched &&
           rte_dev_event_callback_unregister(rte_dev_name(port->device), on_device_event, port) == -EAGAIN)
        rte_pause();
    while (port->is_watched &&
           rte_eth_dev_callback_unregister(port->id, RTE_ETH_EVENT_INTR_RMV, on_port_event, port) == -EAGAIN)
        rte_pause();
    port->is_watched = false;
}

/* On DPDK's interrupt thread, as an alarm: in the event itself a device may not be removed. */
static void release(void *context)
{
    struct cw_port *port = context;
    for (uint32_t lane = 0; lane < cw_port_queues(port); lane++) {
        /* Pairs with cw_port_let_go: what the lane last did to the device is over. */
        if (!atomic_load_explicit(&lane_of(port, lane)->has_let_go, memory_order_acquire)) {
            (void)rte_eal_alarm_set(LET_GO_WAIT_US, release, port);
            return;
        }
    }
    pthread_mutex_lock(&port->describing);
    unwatch(port);
    (void)rte_eth_dev_stop(port->id);
    (void)rte_eth_dev_close(port->id);
    (void)rte_dev_remove(port->device);
    port->is_released = true;
    pthread_mutex_unlock(&port->describing);
}

static void call_back(struct cw_port *port)
{
    if (atomic_exchange_explicit(&port->is_called_back, true, memory_order_relaxed))
        return; /* vfio-pci repeats it while it waits */
    for (uint32_t lane = 1; lane < cw_port_queues(port); lane++)
        atomic_store_explicit(&port->others[lane]->is_called_back, true, memory_order_relaxed);
    (void)rte_eal_alarm_set(LET_GO_WAIT_US, release, port);
}

void cw_port_gone_watch(struct cw_port *port)
{
    if (port->is_memif || port->device == NULL ||
        rte_dev_event_callback_register(rte_dev_name(port->device), on_device_event, port) != 0)
        return;
    port->is_watched = true;
    (void)rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_RMV, on_port_event, port);
}

bool cw_port_gone_unwatch(struct cw_port *port)
{
    pthread_mutex_lock(&port->describing);
    unwatch(port); /* nothing, if it is released */
    pthread_mutex_unlock(&port->describing);
    (void)rte_eal_alarm_cancel(release, port); /* waits for one that runs; none comes any more */
    return port->is_released;
}

void cw_port_let_go(struct cw_port *port)
{
    atomic_store_explicit(&port->has_let_go, true, memory_order_release);
}

bool cw_port_is_gone(const struct cw_port *port)
{
    return atomic_load_explicit(&port->is_called_back, memory_order_relaxed); /* it is only told */
}

bool cw_port_gone_describe(const struct cw_port *port, char *text, size_t size)
{
    char name[IF_NAMESIZE + 1];
    if (cw_port_is_gone(port)) {
        snprintf(text, size,
                 "its device is gone: %.*s was pulled out, or taken back (causeway nic show); an engine that "
                 "is started anew opens it again",
                 (int)strcspn(port->config.device, ","), port->config.device);
        return true;
    }
    if (!cw_device_argument(port->config.device, "iface", name, sizeof name) || if_nametoindex(name) != 0)
        return false;
    snprintf(text, size, "its interface %s is gone; an engine that is started anew opens it again", name);
    return true;
}
