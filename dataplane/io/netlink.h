/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel would do with a packet, and the link addresses that it knows (rtnetlink): for a port whose
 * interface it keeps. Private to io/. One thread; every question waits for its answer, at most a second.
 *
 * No answer is kept: whoever asks does so again when cw_netlink_take_changes says that something is
 * different.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

struct cw_netlink {
    int questions; /* socket */
    int changes;   /* socket: readable when routes, neighbours, addresses or links have changed */
    uint32_t sequence;
};

/* 0 or -errno. */
int cw_netlink_open(struct cw_netlink *netlink);
void cw_netlink_close(struct cw_netlink *netlink);

enum cw_netlink_way {
    CW_NETLINK_NO_WAY, /* no route to there by this interface, now */
    CW_NETLINK_OURS,   /* it is an address of this machine */
    CW_NETLINK_WAY
};
/* Whom the kernel would give a packet between these addresses that leaves by the interface: the gateway, or
 * `to` itself. A gateway may be of the other version. */
enum cw_netlink_way cw_netlink_route(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *from,
                                     const struct cw_ip *to, struct cw_ip *next_hop);
/* The link address that the kernel would send to. False: it knows none. */
bool cw_netlink_neighbour(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *ip,
                          uint8_t mac[6]);
/* As if the kernel had a packet for it: it asks for the address, or checks one that it has not heard from. */
void cw_netlink_use(struct cw_netlink *netlink, unsigned interface, const struct cw_ip *ip);
/* Has anything changed since the last call? */
bool cw_netlink_take_changes(struct cw_netlink *netlink);
