/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine made by hand for the plan: two nodes of four cores with siblings, and cards of each kind. Tests change it and
 * the wish, and look at the plan as text.
 *
 *     00:03.0 eth0  node 0 group 1   igb     default route, login: not to be taken
 *     03:00.0 eth1  node 0 group 14  ice     free, 25 Gb/s, virtual functions possible
 *     03:00.1 eth2  node 0 group 15  ice     free, 25 Gb/s
 *     05:00.0 eth3  node 0 group 16  r8169   no driver in DPDK, 8 queues
 *     41:00.0 eth4  node 1 group 30  mlx5    bifurcated, 100 Gb/s
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "nic-config/plan.h"

struct rig {
    struct cw_facts facts;
    struct cw_wish wish;
    struct cw_nic_folders folders;
    struct cw_plan plan;
    char text[65536];
};
extern struct rig rig;

/* The machine, and a wish of one path, wan0, for 03:00.0: no lcores, no hugepages, no systemd. */
void rig_begin(void);
struct cw_card_fact *rig_card(const char *address);
struct cw_interface_fact *rig_interface(const char *name);
struct cw_card_fact *rig_add_card(const char *address, const char *driver, const char *pmd,
                                  enum cw_pmd_kind kind, int32_t node, int32_t group);
struct cw_interface_fact *rig_add_interface(const char *name, const char *card, const char *kind);
void rig_add_member(int32_t group, const char *address, const char *driver, const char *use, bool is_bridge);
void rig_add_address(const char *interface, const char *address);
/* One more path of the wish; its card by address. */
struct cw_wish_path *rig_add_path(const char *name, const char *card);
void rig_force(const char *name);
/* Makes the plan, twice, and holds that it is the same both times. */
void rig_plan(void);
/* The steps, one a line: "bind 0000:03:00.0 = vfio-pci (eth1)"; of files only the name. */
const char *rig_steps(void);
/* All refusals, one a line: "wan0: words | remedy". */
const char *rig_refusals(void);
const char *rig_warnings(void);
const char *rig_notes(void);
/* The facts as they are when the steps of the plan are done. */
void rig_do_steps(void);
