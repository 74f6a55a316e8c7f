/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

void cw_cpu_set_text(const struct cw_cpu_set *set, char *text, size_t size)
{
    size_t used = 0;
    if (size > 0)
        text[0] = 0;
    for (uint32_t cpu = 0; cpu < CW_CPUS_MAX && used < size; cpu++) {
        uint32_t last = cpu;
        if (!cw_cpu_set_has(set, cpu))
            continue;
        while (cw_cpu_set_has(set, last + 1))
            last++;
        int more = snprintf(text + used, size - used, "%s%" PRIu32, used > 0 ? "," : "", cpu);
        used += more > 0 ? (size_t)more : 0;
        if (last > cpu && used < size) {
            more = snprintf(text + used, size - used, "-%" PRIu32, last);
            used += more > 0 ? (size_t)more : 0;
        }
        cpu = last;
    }
}

enum cw_driver_use cw_driver_use(const char *driver)
{
    static const struct {
        const char *begin;
        enum cw_driver_use use;
    } drivers[] = {
        {"vfio", CW_DRIVER_FOR_PROGRAMS},    {"uio_", CW_DRIVER_FOR_PROGRAMS},
        {"igb_uio", CW_DRIVER_FOR_PROGRAMS}, {"pci-stub", CW_DRIVER_FOR_GUESTS},
        {"pciback", CW_DRIVER_FOR_GUESTS},   {"xen-pciback", CW_DRIVER_FOR_GUESTS},
    };
    for (size_t i = 0; i < CW_COUNT_OF(drivers); i++)
        if (strncmp(driver, drivers[i].begin, strlen(drivers[i].begin)) == 0)
            return drivers[i].use;
    return CW_DRIVER_FOR_KERNEL;
}

const struct cw_card_fact *cw_facts_card(const struct cw_facts *facts, const char *address)
{
    for (uint32_t i = 0; i < facts->card_count; i++)
        if (strcmp(facts->cards[i].address, address) == 0)
            return &facts->cards[i];
    return NULL;
}

const struct cw_interface_fact *cw_facts_interface(const struct cw_facts *facts, const char *name)
{
    const struct cw_interface_fact *found = NULL;
    for (uint32_t i = 0; i < facts->interface_count; i++)
        if (strcmp(facts->interfaces[i].name, name) == 0 &&
            (found == NULL || facts->interfaces[i].space[0] == '\0'))
            found = &facts->interfaces[i];
    return found;
}

bool cw_facts_stands_on(const struct cw_interface_fact *upper, const struct cw_interface_fact *lower)
{
    for (uint32_t i = 0; i < upper->lower_count && lower->space[0] == '\0'; i++)
        if (strcmp(upper->lower[i], lower->name) == 0)
            return true;
    return false;
}

const struct cw_node_fact *cw_facts_node(const struct cw_facts *facts, int32_t id)
{
    for (uint32_t i = 0; i < facts->node_count; i++)
        if (facts->nodes[i].id == id)
            return &facts->nodes[i];
    return NULL;
}

const struct cw_cpu_fact *cw_facts_cpu(const struct cw_facts *facts, uint32_t id)
{
    for (uint32_t i = 0; i < facts->cpu_count; i++)
        if (facts->cpus[i].id == id)
            return &facts->cpus[i];
    return NULL;
}

const struct cw_file_fact *cw_facts_file(const struct cw_facts *facts, const char *path)
{
    for (uint32_t i = 0; i < facts->file_count; i++)
        if (strcmp(facts->files[i].path, path) == 0)
            return &facts->files[i];
    return NULL;
}
