/* SPDX-License-Identifier: BSD-3-Clause */
/* Device strings of EAL, private to io/: what kind a device is and what we add to its arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "io/port.h"

#define CW_DEVICE_ARGUMENTS_MAX 384u

bool cw_device_is_pci(const char *device);
/* Of Hyper-V: the name of a device of VMBus, a GUID; "vmbus:" may stand before it, as DPDK's guides have it. */
bool cw_device_is_vmbus(const char *device);
bool cw_device_is_memif(const char *device);
bool cw_device_is_af_xdp(const char *device);
bool cw_device_is_memif_client(const char *device);
/* The name of the port: up to the comma; a PCI address with its domain, a GUID as the kernel writes it. */
void cw_device_name(const char *device, char *name, size_t size);
/* The value of key=value, or false. */
bool cw_device_argument(const char *device, const char *key, char *value, size_t size);
/* A card that no IOMMU stands before: its driver gives it addresses of memory as they are, and DPDK knows
 * those of hugepages only. */
bool cw_device_needs_hugepages(const char *device);
/* The string as EAL shall get it. */
enum cw_status cw_device_complete(const struct cw_port_config *config, char *device, size_t size, char *why,
                                  size_t why_size) CW_MUST_CHECK;
/* Removes the socket file of a memif server that died. CW_REFUSED: it lives. */
enum cw_status cw_device_prepare(const char *device, char *why, size_t why_size) CW_MUST_CHECK;
