/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/eal_arguments.h"

#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"

void cw_eal_add(struct cw_eal_arguments *arguments, const char *text)
{
    CW_ASSERT(arguments->count < (int)CW_EAL_ARGUMENTS_MAX);
    char *to = arguments->text[arguments->count];
    int written = snprintf(to, sizeof arguments->text[0], "%s", text);
    CW_ASSERT(written >= 0 && (size_t)written < sizeof arguments->text[0]);
    arguments->vector[arguments->count++] = to;
}

void cw_eal_add_pair(struct cw_eal_arguments *arguments, const char *option, const char *value)
{
    cw_eal_add(arguments, option);
    cw_eal_add(arguments, value);
}

static void add_lcores(struct cw_eal_arguments *arguments, const char *lcores)
{
    char all[32];
    snprintf(all, sizeof all, "0@(0-%ld)", CW_MAX(sysconf(_SC_NPROCESSORS_ONLN) - 1, 1));
    if (lcores[0] == 0 && sysconf(_SC_NPROCESSORS_ONLN) == 1)
        snprintf(all, sizeof all, "0");
    cw_eal_add_pair(arguments, "--lcores", lcores[0] != 0 ? lcores : all);
}

/* Without a card of its own the bus of PCI is not looked at: it would take every card that is bound for DPDK, and
 * those of mlx5, which the kernel drives. */
static enum cw_status add_devices(struct cw_eal_arguments *arguments, const struct cw_eal_config *config,
                                  char *why, size_t why_size)
{
    bool has_pci = false;
    for (uint32_t i = 0; i < config->port_count; i++) {
        if (config->ports[i].is_shared)
            continue; /* what its driver needs is made when the port is opened */
        char device[CW_DEVICE_ARGUMENTS_MAX];
        enum cw_status status = cw_device_complete(&config->ports[i], device, sizeof device, why, why_size);
        if (status == CW_OK)
            status = cw_device_prepare(device, why, why_size);
        if (status != CW_OK)
            return status;
        bool is_pci = cw_device_is_pci(device);
        has_pci = has_pci || is_pci;
        cw_eal_add_pair(arguments, is_pci || cw_device_is_vmbus(device) ? "-a" : "--vdev", device);
    }
    if (!has_pci)
        cw_eal_add(arguments, "--no-pci");
    return CW_OK;
}

enum cw_status cw_eal_arguments_of(const struct cw_eal_config *config, struct cw_eal_arguments *arguments,
                                   char *why, size_t why_size)
{
    arguments->count = 0;
    cw_eal_add(arguments, "causeway-engine");
    cw_eal_add_pair(arguments, "--file-prefix", config->file_prefix);
    add_lcores(arguments, config->lcores);
    cw_eal_add_pair(arguments, "--log-level", "*:error");
    return add_devices(arguments, config, why, why_size);
}
