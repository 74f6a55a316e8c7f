/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has left a port. At the least that is what its driver took. Where the driver tells of each descriptor
 * whether the device is done with it, that counts instead.
 *
 * rte_eth_tx_descriptor_status looks at the descriptor `offset` places behind the one that is filled next, in
 * a ring: at the last place is what was filled last. Frames have one segment, so the one with `after` others
 * behind it lies at or before the descriptor `after` places from the end; before, where drivers put a
 * descriptor of their own beside a frame's. Looking too late is safe, since a queue is done in order. But a
 * driver's own descriptors are never said to be done, so the last one is looked at as well. Neither are those
 * that it has cleaned up to fill them next, some 32: when nearly a lap was sent behind a frame, and something
 * is still out, nobody knows any more that it has left, until the lap is full.
 *
 * Two things are in the way of believing every driver:
 *
 *   - Most let the device report each 32nd descriptor only, and round the place up to the next such: what was
 *     sent last is not reported until more is sent, and may be taken for what was there a lap ago. So a
 *     threshold of 1 is wished for, and the queue must say that it has it.
 *   - Some report what was done only while they send (what has been cleaned up). So a driver is believed from
 *     when it has once reported a frame with none behind it.
 *
 * Drivers that know no such threshold (mlx5 asks its card for a completion each 32 frames, and has another
 * meaning of offset) say so by the threshold that they report: what they took has left.
 */
#include <rte_ethdev.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/port_internal.h"

void cw_port_left_wish(const struct rte_eth_dev_info *info, struct rte_eth_txconf *conf)
{
    *conf = info->default_txconf;
    conf->tx_rs_thresh = 1;
    conf->tx_thresh.wthresh = 0; /* else the device collects so many before it reports any */
}

/* Is the frame done that has so many others behind it, in the queue? */
static bool is_done(const struct cw_port *port, uint64_t after)
{
    CW_ASSERT(after < port->descriptors);
    if (cw_port_has_let_go(port))
        return false; /* nobody knows any more: the path is about to be down */
    uint16_t offset = (uint16_t)(port->descriptors - 1 - after);
    return rte_eth_tx_descriptor_status(port->id, port->queue, offset) == RTE_ETH_TX_DESC_DONE;
}

static void ask(struct cw_port *port)
{
    struct rte_eth_txq_info info;
    if (rte_eth_tx_queue_info_get(port->id, port->queue, &info) != 0 || info.nb_desc == 0 ||
        info.conf.tx_rs_thresh != 1 || info.conf.tx_thresh.wthresh != 0)
        return;
    if (rte_eth_tx_descriptor_status(port->id, port->queue, (uint16_t)(info.nb_desc - 1)) < 0)
        return;
    port->descriptors = info.nb_desc;
    atomic_store_explicit(&port->reports, CW_PORT_REPORTS_TRIED, memory_order_relaxed); /* no thread yet */
}

void cw_port_left_ask(struct cw_port *port)
{
    for (uint32_t lane = 0; lane < cw_port_queues(port); lane++)
        ask(cw_port_lane(port, lane));
}

static unsigned reports(const struct cw_port *port)
{
    return atomic_load_explicit(&port->reports, memory_order_relaxed); /* nothing is handed over by it */
}

void cw_port_left_try(struct cw_port *port)
{
    if (reports(port) != CW_PORT_REPORTS_TRIED || cw_port_handed(port) == port->refused_at)
        return;
    if (is_done(port, 0))
        atomic_store_explicit(&port->reports, CW_PORT_REPORTS_BELIEVED, memory_order_relaxed);
}

uint64_t cw_port_committed(const struct cw_port *port)
{
    return port->committed;
}

bool cw_port_has_left(const struct cw_port *port, uint64_t committed)
{
    uint64_t handed = cw_port_handed(port);
    CW_ASSERT(committed <= port->committed);
    if (handed < committed)
        return false;
    if (reports(port) != CW_PORT_REPORTS_BELIEVED)
        return true;
    uint64_t after = handed - CW_MAX(committed, port->refused_at); /* a refused one has no descriptor */
    if (after >= port->descriptors)
        return true; /* theirs are in use again */
    return is_done(port, after) || (after > 0 && is_done(port, 0));
}

bool cw_port_reports_done(const struct cw_port *port)
{
    bool all = true;
    CW_ASSERT(port->queue == 0);
    for (uint32_t lane = 0; lane < cw_port_queues(port); lane++)
        all = all && reports(lane == 0 ? port : port->others[lane]) == CW_PORT_REPORTS_BELIEVED;
    return all;
}
