/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's own stack at the other end of a veth pair, for tests of ports. This process gets a network
 * namespace of its own with one end; the other lies in a namespace that a child holds. What is to be done
 * there is done by children, while this process polls the port.
 *
 * The far end has 10.0.0.2/24 and fd00::2/64, and behind it, as if routed, 10.0.7.2 and fd00:0:0:7::2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ip.h"
#include "base/numbers.h"
#include "io/port.h"

#define RIG_UDP_PORT 7400
#define RIG_LIMIT_NS (60 * CW_SECOND) /* of any wait: then the test has failed */

/* Once a process, before EAL starts. False: no right to, or no ip. */
bool rig_make(const char *near, const char *far);
/* What a group of tests ends its set-up with: EAL, under a prefix made of this name. -1: words were printed.
 */
int rig_start(const char *name);
int rig_stop(void **state); /* the tear-down of a group: EAL, and the far namespace */
/* Ends the test as skipped, and says what cannot be had here, unless it can. */
void rig_skip_without(bool has, const char *what);
#define RIG_VETH "network namespaces with a veth pair"
bool rig_link(const char *near,
              const char *far); /* the pair anew; whatever was set up at the near end is gone */
/* The link address of an interface of this namespace; fails the test where there is none. */
void rig_mac(const char *interface, uint8_t mac[6]);
bool rig_run(const char *command);
bool rig_run_there(const char *command); /* without a single quote in it */
/* A child that ends with this process, however that ends. */
pid_t rig_fork(void);
/* Such a child, which calls what there and ends with its result. */
pid_t rig_there(int (*what)(const struct cw_ip *), const struct cw_ip *ip);

/* Of the network 10.0.N.0/24 or fd00:0:0:N::/64. */
struct cw_ip rig_address(uint8_t version, uint8_t network, uint8_t last);
int rig_echo_datagrams(
    const struct cw_ip *own);             /* sends them back to where they came from, until it is killed */
int rig_ping(const struct cw_ip *target); /* 0: every size was answered, unchanged */
#define RIG_PINGS(version) ((version) == 6 ? 7u : 8u)

struct rig_inbox {
    uint32_t count;
    size_t length;
    uint8_t last[9000];
};

uint64_t rig_now_ns(void);
void rig_poll(struct cw_port *port, struct rig_inbox *inbox);
void rig_wait_for_next_hop(struct cw_port *port);
/* Sends until it comes back: the program there may not listen yet, and what the kernel refuses is lost. */
void rig_there_and_back(struct cw_port *port, size_t length);
int rig_poll_until_it_ends(struct cw_port *port, pid_t child); /* its exit code */
void rig_kill(pid_t child);
