/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine reads of a path whose configuration says `device: prepared`: /run/causeway/nic/NAME.yaml, gone with
 * a reboot until `causeway nic boot` has prepared it again. Read by dataplane/engine/config/prepared.c. Every key is always
 * there, words in double quotes; tests/unit/nic/golden has two:
 *
 *     format: 1
 *     path: wan0
 *     device: 0000:03:00.0     # as DPDK takes it
 *     driver: vfio-pci         # that the kernel has to have given it; "" of a device that is none of PCI
 *     card: 0000:03:00.0       # its address; "" none
 *     interface: ""            # of af_xdp and bifurcated drivers
 *     shared: false
 *     node: 0                  # of NUMA; -1 not known
 *     queues: 2
 *     mtu: 9000
 *     vlan: 0                  # 0: none
 *     lcores: [2, 3]           # that were kept free for this machine's engine
 */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "nic-config/plan.h"

/* The text of the file. CW_RANGE: no room, and the text is "". Pure. */
enum cw_status cw_prepared_text(const struct cw_plan *plan, uint32_t index, char *text,
                                size_t size) CW_MUST_CHECK;
