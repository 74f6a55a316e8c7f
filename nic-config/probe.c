/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of the probe, and what is known of the machine as a whole. */
#include "nic-config/probe.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nic-config/probe_private.h"

#define MODULES_BYTES_MAX (8u << 20) /* of modules.dep */

static void probe_words(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    char text[sizeof facts->command_line];
    if (cw_probe_text(probe, "/proc/sys/kernel/osrelease", text, sizeof facts->kernel, "shown"))
        cw_probe_printable(text, facts->kernel, sizeof facts->kernel);
    enum cw_status status = cw_machine_text(probe->machine, "/proc/cmdline", text, sizeof text);
    if (status == CW_OK || status == CW_RANGE)
        cw_probe_printable(text, facts->command_line, sizeof facts->command_line);
}

/* Of a recorded machine whoever recorded it; where that is not told nothing is said to be missing. */
static void probe_rights(struct cw_probe *probe)
{
    if (probe->machine->root[0] == '\0') {
        probe->facts->is_root = geteuid() == 0;
        return;
    }
    char *text = cw_probe_whole(probe, "/proc/self/status", 1u << 16, "who asks");
    const char *line = text != NULL ? strstr(text, "\nUid:") : NULL;
    unsigned effective = 0;
    if (line != NULL && sscanf(line, "\nUid: %*u %u", &effective) != 1)
        effective = 0;
    probe->facts->is_root = effective == 0;
    free(text);
}

struct modules {
    char *dep, *builtin, *config;
};

/* "kernel/drivers/vfio/pci/vfio-pci.ko.xz: …": a name has - or _ there, as its author liked. */
static bool lists_module(const char *list, const char *module)
{
    size_t length = strlen(module);
    for (const char *at = list; at != NULL && (at = strchr(at, '/')) != NULL;) {
        at++;
        size_t i = 0;
        while (i < length && (at[i] == module[i] || (at[i] == '-' && module[i] == '_')))
            i++;
        if (i == length && strncmp(at + i, ".ko", 3) == 0)
            return true;
    }
    return false;
}

static bool is_driver_loaded(struct cw_probe *probe, const char *module, const char *driver)
{
    char path[CW_PROBE_PATH];
    snprintf(path, sizeof path, "/sys/module/%s", module);
    if (cw_machine_has(probe->machine, path))
        return true;
    snprintf(path, sizeof path, "/sys/bus/pci/drivers/%s",
             driver); /* part of the kernel, and without parameters */
    return cw_machine_has(probe->machine, path);
}

static char *release_file(struct cw_probe *probe, const char *format, const char *wanted)
{
    char path[CW_PROBE_PATH], release[sizeof probe->facts->kernel];
    snprintf(release, sizeof release, "%s", probe->facts->kernel);
    if (release[0] == '\0' || strchr(release, '/') != NULL || release[0] == '.')
        return NULL;
    const char *star = strchr(format, '*');
    snprintf(path, sizeof path, "%.*s%s%s", (int)(star - format), format, release, star + 1);
    return cw_probe_whole(probe, path, MODULES_BYTES_MAX, wanted);
}

/* The mode without an IOMMU is a parameter of vfio once that is loaded; before, the kernel's configuration tells; where
 * that is not kept, kernels of distributions have it. */
static void probe_noiommu(struct cw_probe *probe, const struct modules *modules)
{
    static const char file[] = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    struct cw_facts *facts = probe->facts;
    char text[16];
    if (cw_machine_has(probe->machine, file)) {
        facts->has_noiommu = true;
        if (!cw_probe_text(probe, file, text, sizeof text, "whether vfio works without an IOMMU"))
            return;
        if (strcmp(text, "Y") != 0 && strcmp(text, "N") != 0 && strcmp(text, "1") != 0 &&
            strcmp(text, "0") != 0)
            cw_probe_doubt(probe, file, "says \"%s\": not believed", text);
        facts->is_noiommu_on = strcmp(text, "Y") == 0 || strcmp(text, "1") == 0;
        return;
    }
    bool is_left_out = modules->config != NULL && strstr(modules->config, "CONFIG_VFIO_NOIOMMU=y") == NULL;
    facts->has_noiommu = facts->has_vfio && !is_left_out && !facts->is_vfio_loaded;
}

static void probe_modules(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    struct modules modules = {
        .dep = release_file(probe, "/lib/modules/*/modules.dep", "which modules can be loaded"),
        .builtin = release_file(probe, "/lib/modules/*/modules.builtin", "which modules are built in"),
        .config = release_file(probe, "/boot/config-*", "whether vfio can work without an IOMMU"),
    };
    facts->is_vfio_loaded = cw_machine_has(probe->machine, "/sys/module/vfio");
    facts->is_vfio_pci_loaded = is_driver_loaded(probe, "vfio_pci", "vfio-pci");
    facts->has_vfio = facts->is_vfio_pci_loaded || lists_module(modules.dep, "vfio_pci") ||
                      lists_module(modules.builtin, "vfio_pci");
    facts->is_uio_generic_loaded = is_driver_loaded(probe, "uio_pci_generic", "uio_pci_generic");
    facts->has_uio_generic = facts->is_uio_generic_loaded || lists_module(modules.dep, "uio_pci_generic") ||
                             lists_module(modules.builtin, "uio_pci_generic");
    probe_noiommu(probe, &modules);
    free(modules.dep);
    free(modules.builtin);
    free(modules.config);
}

/* "dmar0", "ivhd1", "smmu3.0x000000002b400000": what the kernel's driver is called. */
static void take_iommu(void *context, const char *name)
{
    struct cw_probe *probe = context;
    char *kind = probe->facts->iommu;
    if (kind[0] != '\0')
        return;
    if (strncmp(name, "ivhd", 4) == 0) {
        snprintf(kind, sizeof probe->facts->iommu, "AMD-Vi");
        return;
    }
    cw_probe_printable(name, kind, sizeof probe->facts->iommu);
    char *dot = strchr(kind, '.');
    if (dot != NULL) {
        *dot = '\0';
        return;
    }
    for (size_t length = strlen(kind); length > 1 && isdigit((unsigned char)kind[length - 1]); length--)
        kind[length - 1] = '\0';
}

static void take_group(void *context, const char *name)
{
    struct cw_probe *probe = context;
    char path[CW_PROBE_PATH], text[64];
    int64_t number;
    if (!cw_probe_parse(name, 10, &number) || number < 0)
        return;
    snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%s/name", name);
    if (cw_machine_text(probe->machine, path, text, sizeof text) != CW_OK ||
        strcmp(text, "vfio-noiommu") != 0)
        probe->facts->has_iommu = true;
}

void cw_probe(const struct cw_machine *machine, struct cw_facts *facts)
{
    memset(facts, 0, sizeof *facts);
    struct cw_probe probe = {.machine = machine, .facts = facts};
    probe_words(&probe);
    probe_rights(&probe);
    probe_modules(&probe);
    cw_machine_list(machine, "/sys/class/iommu", take_iommu, &probe);
    cw_machine_list(machine, "/sys/kernel/iommu_groups", take_group, &probe);
    facts->has_systemd = cw_machine_has(machine, "/run/systemd/system");
    facts->is_use_known = true; /* the parts that ask say otherwise */
    cw_probe_nodes(&probe);
    cw_probe_cpu_facts(&probe);
    cw_probe_mounts(&probe);
    cw_probe_cards(&probe);
    cw_probe_pmds(&probe);
    cw_probe_interfaces(&probe);
    cw_probe_addresses(&probe);
    cw_probe_routes(&probe);
    cw_probe_queues(&probe);
    cw_probe_groups(&probe);
    cw_probe_users(&probe);
    cw_probe_count_alike(&probe);
}
