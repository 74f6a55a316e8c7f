/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port's inside, for port.c and its parts (port_open.c, port_lanes.c, port_follow.c, port_left.c,
 * port_gone.c): one queue of a
 * device. With several, lane 0's is the one that opened it; the others begin as its copies and share its
 * pool.
 */
#pragma once

#include <pthread.h>

#include <rte_mbuf.h>

#include "io/frame.h"
#include "io/guard.h"
#include "io/host.h"
#include "io/lanes.h"
#include "io/memif.h"
#include "io/port.h"
#include "io/shared.h"

#define CW_PORT_AWAYS                                                                                        \
    2u /* the address in use, when it is not the configured one, and one that is being asked */

struct cw_port_away {
    uint64_t token; /* 0: none */
    struct cw_frame_path path;
};

/*
 * What the driver is believed about descriptors that are done (port_left.c):
 *
 *     UNASKED --the queue says that it reports each one--> TRIED --a frame's, with none behind it--> BELIEVED
 */
enum cw_port_reports { CW_PORT_REPORTS_UNASKED = 0, CW_PORT_REPORTS_TRIED, CW_PORT_REPORTS_BELIEVED };

struct cw_port {
    uint16_t id, queue;
    bool is_memif;
    bool is_hop_known;      /* lanes above 0: as lane 0 told with the last turn */
    struct cw_lanes *lanes; /* NULL: there is one queue */
    struct cw_guard guard;  /* of this queue's bursts, on a memif */
    uint32_t datagram_bytes_max;
    uint64_t transmit_flags;   /* of each datagram's mbuf: what the device computes */
    uint64_t sum_good_flag;    /* of a received mbuf: it has found right what cw_frame_check would compute */
    uint64_t sum_doubted_flag; /* that flag, where it is not believed (config.is_sum_doubted) */
    bool is_spread;            /* the device was asked to spread by UDP ports */
    struct rte_mempool *pool;
    struct cw_frame_path path;
    struct cw_host host;    /* only when it has addresses */
    _Atomic uint64_t entry; /* of the address, for other threads: cw_port_entry_publish */
    uint64_t now_ns;        /* of this turn */
    bool has_too_big;       /* the host was told of this lane, and nobody asked yet */
    struct rte_mbuf *next;  /* handed out by transmit_next, or kept for it */
    struct rte_mbuf *burst[CW_PORT_BURST];
    uint32_t burst_count;
    uint64_t committed;   /* frames, ever: those of the burst are the last ones */
    uint64_t refused_at;  /* of them had been handed over when one was thrown away that the driver refused */
    uint16_t descriptors; /* of the transmit queue, once it is asked for those that are done */
    _Atomic unsigned reports; /* enum cw_port_reports: written by the lcore */
    _Atomic bool is_receive_cut, is_transmit_cut;
    struct cw_memif memif;
    struct cw_shared shared; /* open when the kernel keeps the interface */
    cw_counter counters[CW_PORT_COUNTER_COUNT];
    struct cw_port_config config;
    struct rte_device *device;
    _Atomic bool is_called_back;  /* port_gone.c: the device is to be let go; by DPDK's thread */
    _Atomic bool has_let_go;      /* it is not touched any more; by the lcore */
    bool is_watched, is_released; /* of lane 0 */
    pthread_mutex_t describing;   /* of lane 0: the device is being asked, or released */
    struct cw_port_away aways[CW_PORT_AWAYS];
    struct cw_port *others[CW_LANES_MAX]; /* of lane 0: the other lanes, from 1 on */
};

static inline uint32_t cw_port_queues(const struct cw_port *port)
{
    return port->config.queues > 0 ? port->config.queues : 1;
}

static inline bool cw_port_may_send(const struct cw_port *port)
{
    if (port->queue > 0)
        return port->is_hop_known;
    return cw_neighbour_is_usable(&port->host.neighbour) && cw_host_has_address(&port->host);
}

/* Tells other threads how it stands with the address (entry): once it is set, and when that changes. */
void cw_port_entry_publish(struct cw_port *port);

/* Writes the headers of this path before the datagram, and keeps it for the next flush. */
void cw_port_commit_by(struct cw_port *port, const struct cw_frame_path *path, size_t length);

/* Frames that have been handed to the driver, or were refused by it. */
static inline uint64_t cw_port_handed(const struct cw_port *port)
{
    return port->committed - port->burst_count;
}

/* port_left.c. What a queue is set up with, so that its driver reports each descriptor that is done. */
struct rte_eth_dev_info;
struct rte_eth_txconf;
void cw_port_left_wish(const struct rte_eth_dev_info *info, struct rte_eth_txconf *conf);
/* Of a port that is started: will it? */
void cw_port_left_ask(struct cw_port *port);
/* Once a turn: does it? */
void cw_port_left_try(struct cw_port *port);

/* port_gone.c. Of a port that is started: is told when its device goes away. */
void cw_port_gone_watch(struct cw_port *port);
/* True: the device has been released, and there is nothing to close. */
bool cw_port_gone_unwatch(struct cw_port *port);
/* The lane's next turn after that; from then on it leaves the device alone. */
void cw_port_let_go(struct cw_port *port);
/* True: in its words, what there was is not there any more. */
bool cw_port_gone_describe(const struct cw_port *port, char *text, size_t size);

static inline bool cw_port_has_let_go(const struct cw_port *port)
{
    return atomic_load_explicit(&port->has_let_go, memory_order_relaxed); /* the lane's own word */
}

/* Makes the others, as many as the configuration says; tells them what is known once the device is set up. */
bool cw_port_lanes_add(struct cw_port *port, char *why, size_t why_size);
void cw_port_lanes_tell(struct cw_port *port);
/* Once a turn, where there are others: lane 0 tells them where to send, these look. */
void cw_port_share_hop(struct cw_port *port);
/* True when the frame in the slot is another lane's: then it is passed on and gone from the slot, or there
 * was no room for it. */
bool cw_port_pass(struct cw_port *port, struct rte_mbuf **slot, enum cw_frame_verdict verdict,
                  const uint8_t *payload, size_t length);
