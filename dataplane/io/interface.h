/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of one of its network interfaces. Private to io/; main thread. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

struct cw_interface {
    char name[IF_NAMESIZE];
    unsigned index;
    uint32_t mtu;
    uint32_t queues; /* that it receives by; 1 where the driver has no notion of them */
};

/* False: there is no such interface; errno says why. */
bool cw_interface_find(const char *name, struct cw_interface *interface);
bool cw_interface_has(const struct cw_interface *interface, const struct cw_ip *ip);
/* Its addresses, as words; "" when it has none. Those that every interface makes for itself (link-local) only
 * when they are asked for. */
void cw_interface_addresses(const struct cw_interface *interface, bool with_link_local, char *text,
                            size_t size);
/* At least CW_INTERFACE_IP_SIZE bytes. Returns text. */
#define CW_INTERFACE_IP_SIZE 46u
const char *cw_interface_ip_text(const struct cw_ip *ip, char *text);
