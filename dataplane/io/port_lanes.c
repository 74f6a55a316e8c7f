/* SPDX-License-Identifier: BSD-3-Clause */
/* The lanes of a port with several queues: lanes.h has what they share. */
#include "io/port_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

bool cw_port_lanes_add(struct cw_port *port, char *why, size_t why_size)
{
    uint32_t count = cw_port_queues(port);
    CW_ASSERT(count <= CW_LANES_MAX);
    if (count == 1)
        return true;
    port->lanes = cw_lanes_new(count);
    bool has_all = port->lanes != NULL;
    for (uint32_t lane = 1; lane < count && has_all; lane++) {
        struct cw_port *other = port->others[lane] = calloc(1, sizeof *other);
        has_all = other != NULL;
        if (!has_all)
            break;
        other->queue = (uint16_t)lane;
        other->lanes = port->lanes;
        other->config = port->config;
    }
    if (!has_all)
        snprintf(why, why_size, "path %s: out of memory", port->config.name);
    return has_all;
}

void cw_port_lanes_tell(struct cw_port *port)
{
    for (uint32_t lane = 1; lane < cw_port_queues(port); lane++) {
        struct cw_port *other = port->others[lane];
        struct cw_frame_addresses addresses = port->path.addresses;
        addresses.lane = (uint16_t)lane;
        cw_frame_path_init(&other->path, &addresses);
        if (port->path.is_sum_device_s)
            cw_frame_path_leave_sum(&other->path);
        other->id = port->id;
        other->is_memif = port->is_memif;
        other->datagram_bytes_max = port->datagram_bytes_max;
        other->transmit_flags = port->transmit_flags;
        other->sum_good_flag = port->sum_good_flag;
        other->sum_doubted_flag = port->sum_doubted_flag;
        other->pool = port->pool;
    }
}

struct cw_port *cw_port_lane(struct cw_port *port, uint32_t lane)
{
    CW_ASSERT(port->queue == 0);
    CW_ASSERT(lane < cw_port_queues(port));
    return lane == 0 ? port : port->others[lane];
}

void cw_port_share_hop(struct cw_port *port)
{
    uint8_t mac[6];
    if (port->queue == 0) {
        cw_lanes_publish_hop(port->lanes, cw_port_may_send(port) ? port->path.addresses.remote_mac : NULL);
        return;
    }
    port->is_hop_known = cw_lanes_hop(port->lanes, mac);
    if (port->is_hop_known && memcmp(mac, port->path.addresses.remote_mac, sizeof mac) != 0)
        cw_frame_path_set_remote_mac(&port->path, mac);
}

/* Whose it is. What no lane of ours has stays where it is, for the session there to drop. */
static uint32_t lane_of(const struct cw_port *port, enum cw_frame_verdict verdict, const uint8_t *payload,
                        size_t length)
{
    if (verdict == CW_FRAME_NOT_OURS)
        return 0;
    uint32_t lane = verdict == CW_FRAME_OK ? cw_packet_lane(payload, length) : port->queue;
    return lane < port->lanes->count ? lane : port->queue;
}

bool cw_port_pass(struct cw_port *port, struct rte_mbuf **slot, enum cw_frame_verdict verdict,
                  const uint8_t *payload, size_t length)
{
    uint32_t lane = lane_of(port, verdict, payload, length);
    if (lane == port->queue)
        return false;
    bool is_passed = cw_lanes_pass(port->lanes, port->queue, lane, *slot);
    cw_count(&port->counters[is_passed ? CW_PORT_LANE_PASSED : CW_PORT_LANE_FULL], 1);
    if (is_passed)
        *slot = NULL;
    return true;
}
