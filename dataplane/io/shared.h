/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port on an interface that the kernel keeps: the kernel has its addresses, answers ARP and echo, routes,
 * and takes whatever is not a datagram of the path. Private to io/.
 *
 * - af_xdp: a program of ours gives the path's datagrams to the port (steer.h). af_packet: the port gets
 * copies of everything, and drops what is not the path's.
 * - The path's UDP port is claimed by a socket, so that no other program takes it and the kernel refuses no
 * datagram that reaches it. What does reach it is dropped there and, with af_xdp, counted: it came by a queue
 * of the card that the port does not poll.
 * - Who the next hop is, and its link address, is what the kernel says. A thread, the keeper, asks it: at
 * once when routes or neighbours change, and every second until the address is known, every five seconds from
 * then on, by which the kernel is made to check it. An address that was known stays in use until there is
 * another one.
 *
 *      cw_shared_open -> the driver's port is opened (with xdp_prog=steer.path when is_steered) ->
 * cw_shared_start
 *      -> ... -> cw_shared_close -> the driver's port is closed
 *
 * Main thread, except where said.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/ip.h"
#include "base/status.h"
#include "io/interface.h"
#include "io/netlink.h"
#include "io/port.h"
#include "io/steer.h"

struct cw_shared {
    bool is_open, is_steered, has_keeper;
    struct cw_interface interface;
    struct cw_ip local, remote;
    struct cw_steer steer;
    struct cw_netlink netlink; /* the keeper's */
    int claim;                 /* UDP socket */
    int stop;                  /* eventfd: the keeper ends */
    cw_counter *strays;        /* written by the keeper; borrowed */
    pthread_t keeper;
    pthread_mutex_t lock; /* of these three: the keeper writes, who describes reads */
    enum cw_netlink_way way;
    struct cw_ip next_hop;
    bool is_resolved;      /* by the kernel, now */
    _Atomic uint64_t told; /* link address of the next hop; 0: none was ever known. The lcore reads */
};

/* Words in why. Refuses what cannot work: no such interface, an address that is not its, a path's mtu above
 * its mtu, several queues of which none is named, a UDP port that is taken, a stranger's XDP program. */
enum cw_status cw_shared_open(struct cw_shared *shared, const struct cw_port_config *config, char *why,
                              size_t why_size) CW_MUST_CHECK;
enum cw_status cw_shared_start(struct cw_shared *shared, cw_counter *strays, char *why,
                               size_t why_size) CW_MUST_CHECK;
/* Also of one that is zeroed. */
void cw_shared_close(struct cw_shared *shared);
/* The lcore: whom to send to. False: nobody is known yet. */
static inline bool cw_shared_next_hop(const struct cw_shared *shared, uint8_t mac[6])
{
    uint64_t told = atomic_load_explicit(&shared->told, memory_order_relaxed); /* all of it is in this word */
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)(told >> 8 * i);
    return told != 0;
}
/* Any thread: how it stands with the next hop. */
void cw_shared_describe(struct cw_shared *shared, char *text, size_t size);

/* A device of af_xdp without a program of its own, on an interface with addresses: its driver's program would
 * take everything from the kernel. CW_REFUSED, with the next step in why. */
enum cw_status cw_shared_check_taken(const struct cw_port_config *config, char *why,
                                     size_t why_size) CW_MUST_CHECK;
