/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What drives a card: what the wish says, or what fits. vfio where the card is behind an IOMMU; nothing at all for cards
 * that the kernel and DPDK share (bifurcated); af_xdp where DPDK has no driver, or where its driver is of VMBus.
 *
 * Without an IOMMU nothing is chosen: what there is then (noiommu, uio) lets the card, and whoever drives it, write
 * anywhere in memory, and is done when it is asked for by its name.
 */
#include <stdio.h>
#include <string.h>

#include "nic-config/plan_internal.h"

/* Of af_xdp: a frame has to fit into a page of memory beside what the kernel keeps there. */
#define AF_XDP_MTU_MAX 3498u

const char *cw_plan_kernel_driver(enum cw_wish_driver driver)
{
    switch (driver) {
    case CW_DRIVER_VFIO:
    case CW_DRIVER_NOIOMMU:
    case CW_DRIVER_VF:
        return "vfio-pci";
    case CW_DRIVER_UIO:
        return "uio_pci_generic";
    default:
        return "";
    }
}

bool cw_plan_is_taken(const struct cw_plan_path *path)
{
    return path->driver == CW_DRIVER_VFIO || path->driver == CW_DRIVER_NOIOMMU ||
           path->driver == CW_DRIVER_UIO;
}

/* A card whose number of queues was not believed, or could not be read, has some number of them; an interface that has no
 * notion of them has one. */
int32_t cw_plan_receive_queues(const struct cw_plan_work *work, const struct cw_interface_fact *interface)
{
    const struct cw_doubt_fact *lists[] = {work->facts->doubts, work->facts->unread};
    const uint32_t counts[] = {work->facts->doubt_count, work->facts->unread_count};
    if (interface->queues >= 1)
        return interface->queues;
    if (interface->rx_queues >= 1)
        return interface->rx_queues;
    for (int list = 0; list < 2; list++)
        for (uint32_t i = 0; i < counts[list]; i++)
            if (strstr(lists[list][i].file, interface->name) != NULL &&
                (strstr(lists[list][i].words, "queue") != NULL ||
                 strstr(lists[list][i].file, "queue") != NULL))
                return CW_FACT_UNKNOWN;
    return 1;
}

static void refuse_unknown_pmd(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const char *why = "";
    for (uint32_t i = 0; i < work->facts->unread_count; i++)
        if (strcmp(work->facts->unread[i].file, "DPDK") == 0)
            why = work->facts->unread[i].words;
    cw_plan_remedy(
        cw_plan_refuse(work, path, "whether DPDK has a driver for %s is not known%s%s", path->card->address,
                       why[0] != 0 ? ": " : "", why),
        "see that DPDK's drivers are installed, as the engine needs them too, and can be read; or say "
        "driver: af_xdp");
}

/* ---------------------------------------------------------------- behind an IOMMU, or not */

static bool is_behind_iommu(const struct cw_plan_work *work, const struct cw_card_fact *card)
{
    return work->facts->has_iommu && card->iommu_group >= 0 && !card->is_noiommu;
}

static void refuse_without_iommu(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_facts *facts = work->facts;
    struct cw_refusal *refusal =
        facts->has_iommu
            ? cw_plan_refuse(work, path, "%s is in no IOMMU group, though others are", path->card->address)
            : cw_plan_refuse(work, path,
                             "this machine has no IOMMU that the kernel uses, and nothing else keeps "
                             "%s from writing anywhere in memory",
                             path->card->address);
    cw_plan_remedy(
        refusal,
        "switch it on: VT-d or AMD-Vi in the firmware, intel_iommu=on or amd_iommu=on for the kernel, and "
        "reboot; where there is none (most cloud machines): driver: %s, with that danger; or driver: "
        "af_xdp, which leaves the card to the kernel",
        facts->has_noiommu ? "noiommu" : "uio");
}

static void choose_vfio(struct cw_plan_work *work, struct cw_plan_path *path)
{
    path->driver = CW_DRIVER_VFIO;
    if (!is_behind_iommu(work, path->card))
        refuse_without_iommu(work, path);
    else if (!work->facts->has_vfio && strcmp(path->card->driver, "vfio-pci") != 0)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "this kernel has no module vfio-pci"),
            "install the kernel's modules (Debian's cloud kernel leaves some out: linux-image-amd64 has it); "
            "or say driver: af_xdp");
}

/* Where there is an IOMMU, a card that is driven without it reaches no memory at all. */
static bool refuse_behind_iommu(struct cw_plan_work *work, struct cw_plan_path *path)
{
    if (!is_behind_iommu(work, path->card))
        return false;
    cw_plan_remedy(cw_plan_refuse(work, path,
                                  "%s is behind an IOMMU (group %d), and is not driven without it",
                                  path->card->address, path->card->iommu_group),
                   "say driver: vfio");
    return true;
}

static void warn_of_danger(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    cw_plan_warn(
        work,
        "path %s: without an IOMMU the card %s, and whoever drives it, may read and write all memory of this "
        "machine: a mistake there, or a frame that exploits one, is worse than a crash%s",
        path->wish->name, path->card->address,
        path->driver == CW_DRIVER_NOIOMMU ? ". The kernel marks itself tainted" : "");
}

static void choose_noiommu(struct cw_plan_work *work, struct cw_plan_path *path)
{
    if (refuse_behind_iommu(work, path))
        return;
    if (!work->facts->has_vfio || !work->facts->has_noiommu) {
        cw_plan_remedy(
            cw_plan_refuse(work, path, "this kernel has no vfio without an IOMMU (CONFIG_VFIO_NOIOMMU)"),
            work->facts->has_uio_generic
                ? "say driver: uio, which is as dangerous; or driver: af_xdp"
                : "say driver: af_xdp; or take a kernel that has it, or uio_pci_generic for driver: uio");
        return;
    }
    warn_of_danger(work, path);
}

static void choose_uio(struct cw_plan_work *work, struct cw_plan_path *path)
{
    if (refuse_behind_iommu(work, path))
        return;
    if (!work->facts->has_uio_generic)
        cw_plan_remedy(cw_plan_refuse(work, path, "this kernel has no module uio_pci_generic"),
                       "say driver: noiommu, or driver: af_xdp");
    else if (path->card->physical[0] != 0)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s is a virtual function: it has no legacy interrupt, without which "
                                      "uio_pci_generic takes no card",
                                      path->card->address),
                       "say driver: noiommu");
    else
        warn_of_danger(work, path);
}

/* ---------------------------------------------------------------- cards that the kernel keeps */

static void choose_bifurcated(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    path->driver = CW_DRIVER_BIFURCATED;
    if (card->pmd_kind != CW_PMD_BIFURCATED)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s cannot be shared between the kernel's driver and DPDK's (%s)",
                                      card->address, card->pmd[0] != 0 ? card->pmd : "there is none"),
                       "say driver: auto");
    else if (card->driver[0] == 0 || cw_driver_use(card->driver) == CW_DRIVER_FOR_PROGRAMS ||
             path->interface == NULL)
        cw_plan_remedy(
            cw_plan_refuse(work, path,
                           "DPDK drives %s through the kernel's own driver, which has not got it%s%s",
                           card->address, card->driver[0] != 0 ? ": it is bound to " : "", card->driver),
            "give it back: echo > /sys/bus/pci/devices/%s/driver_override, echo %s > "
            "/sys/bus/pci/devices/%s/driver/unbind, echo %s > /sys/bus/pci/drivers_probe",
            card->address, card->address, card->address, card->address);
    else
        cw_plan_note(
            work,
            "path %s: nothing is bound: DPDK's %s works beside the kernel's %s, and needs its modules for "
            "verbs (mlx5_ib or mlx4_ib, and ib_uverbs)",
            path->wish->name, card->pmd, card->driver);
}

static bool is_kind_shared(const struct cw_interface_fact *interface)
{
    static const char *const kinds[] = {"veth", "vlan", "macvlan", "dummy"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(interface->kind, kinds[i]) == 0)
            return true;
    return interface->kind[0] == 0 && strcmp(interface->name, "lo") != 0;
}

static void warn_of_modes(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    static const char *const modes[] = {"", "native", "generic"};
    if (path->wish->mode != CW_CHOICE_AUTO)
        cw_plan_warn(
            work,
            "path %s: the kernel chooses the mode of the XDP program: native where the driver of %s has it, "
            "else generic. Whether that is the %s mode which is wished for, causeway-nic verify tells",
            path->wish->name, path->interface->name, modes[path->wish->mode]);
    if (path->wish->copy == CW_CHOICE_FIRST)
        cw_plan_warn(
            work,
            "path %s: zero-copy is the driver's to choose, and cannot be asked for; causeway-nic verify tells "
            "what it got",
            path->wish->name);
}

static void choose_af_xdp(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    path->driver = CW_DRIVER_AF_XDP;
    if (interface == NULL) {
        cw_plan_remedy(
            cw_plan_refuse(work, path, "%s has no interface of the kernel, which af_xdp needs",
                           path->card->address),
            "give it back to its driver (causeway-nic revert, or echo > .../driver_override and echo %s > "
            "/sys/bus/pci/drivers_probe), or see why it has none: dmesg",
            path->card->address);
        return;
    }
    if (!is_kind_shared(interface))
        cw_plan_remedy(cw_plan_refuse(work, path, "%s (%s) is not shared by af_xdp", interface->name,
                                      interface->kind[0] != 0 ? interface->kind : "the machine's own"),
                       "take the interface of a card, or a VLAN of one");
    if (path->wish->queues > 1)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "a shared interface has one queue for a path, and %u are wished for",
                                      path->wish->queues),
                       "say queues: 1");
    if (path->wish->vlan != 0)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "VLANs of an interface that the kernel keeps are the kernel's"),
            "make one, and say interface: %s.%u without vlan (ip link add link %s name %s.%u type vlan id %u)",
            interface->name, path->wish->vlan, interface->name, interface->name, path->wish->vlan,
            path->wish->vlan);
    if (path->wish->mtu > AF_XDP_MTU_MAX)
        cw_plan_remedy(cw_plan_refuse(work, path, "mtu %u is impossible: af_xdp takes %u at most",
                                      path->wish->mtu, AF_XDP_MTU_MAX),
                       "say mtu: %u, or another driver", AF_XDP_MTU_MAX);
    warn_of_modes(work, path);
}

/* ---------------------------------------------------------------- virtual functions */

static const struct cw_card_fact *function_of(const struct cw_plan_work *work,
                                              const struct cw_card_fact *card, uint32_t function)
{
    char address[CW_PCI_ADDRESS];
    return cw_plan_function_address(card, function, address, sizeof address)
               ? cw_facts_card(work->facts, address)
               : NULL;
}

/* Of a path before this one that takes one of the same card; or of any that names it, which has it whatever is chosen. */
static bool is_others_function(const struct cw_plan_work *work, const struct cw_plan_path *path,
                               uint32_t function)
{
    const struct cw_card_fact *card = function_of(work, path->card, function);
    for (uint32_t i = 0; i < work->path_count && card != NULL; i++)
        if (work->paths[i].card == card)
            return true;
    for (uint32_t i = 0; i < work->path_count && &work->paths[i] != path; i++)
        if (work->paths[i].card == path->card && work->paths[i].driver == CW_DRIVER_VF &&
            work->paths[i].function == function)
            return true;
    return false;
}

/* One that is there and nobody's; or the one that was given to this path. */
static bool is_function_free(const struct cw_plan_work *work, const struct cw_plan_path *path,
                             uint32_t function)
{
    const struct cw_card_fact *card = function_of(work, path->card, function);
    char words[CW_STEP_WHY];
    if (card == NULL || is_others_function(work, path, function))
        return false;
    if (strcmp(path->given, card->address) == 0)
        return true;
    if (cw_driver_use(card->driver) == CW_DRIVER_FOR_PROGRAMS || card->is_network_driver_gone)
        return false;
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &work->facts->interfaces[i];
        if (strcmp(interface->card, card->address) != 0)
            continue;
        cw_plan_uses(work->facts, interface, words, sizeof words);
        if (words[0] != 0 || !work->facts->is_use_known)
            return false;
    }
    return true;
}

static bool choose_existing(struct cw_plan_work *work, struct cw_plan_path *path)
{
    int found = -1;
    for (int i = 0; i < path->card->functions; i++) {
        const struct cw_card_fact *card = function_of(work, path->card, (uint32_t)i);
        bool is_given = card != NULL && strcmp(path->given, card->address) == 0;
        if (is_function_free(work, path, (uint32_t)i) && (found < 0 || is_given))
            found = i;
        if (is_given && found == i)
            break;
    }
    path->function = found >= 0 ? (uint32_t)found : 0;
    path->is_function_there = found >= 0;
    return found >= 0;
}

/* Of several paths on one card, in their order. */
static void choose_function(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    char address[CW_PCI_ADDRESS];
    if (card->functions > 0) {
        if (!choose_existing(work, path))
            cw_plan_remedy(
                cw_plan_refuse(
                    work, path,
                    "%s has %d virtual functions, none of them known to be free, and their number can "
                    "only be changed from 0",
                    card->address, card->functions),
                "name one: card: ADDRESS OF A VIRTUAL FUNCTION, driver: vfio; or, if nobody uses them, echo 0 > "
                "/sys/bus/pci/devices/%s/sriov_numvfs",
                card->address);
        return;
    }
    for (path->function = 0; is_others_function(work, path, path->function);)
        path->function++;
    if ((int64_t)path->function >= card->functions_max)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s can have %d virtual functions, and the wish asks for more",
                                      card->address, card->functions_max),
                       "take another card for this path");
    else if (!cw_plan_function_address(card, path->function, address, sizeof address))
        cw_plan_remedy(
            cw_plan_refuse(work, path,
                           "where virtual functions of %s appear is not known (sriov_offset, sriov_stride)",
                           card->address),
            "make one by hand (echo 1 > /sys/bus/pci/devices/%s/sriov_numvfs), and name it: card: ADDRESS, "
            "driver: vfio",
            card->address);
}

static void choose_vf(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (card->functions_max < 0 || card->functions < 0) {
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "how many virtual functions %s has, and can have, is not known "
                                      "(sriov_numvfs, sriov_totalvfs)",
                                      card->address),
                       "find out what keeps it from being read (causeway nic show names it); or say driver: "
                       "auto");
        return;
    }
    if (card->functions_max == 0) {
        cw_plan_remedy(cw_plan_refuse(work, path, "%s has no virtual functions (SR-IOV)%s", card->address,
                                      card->physical[0] != 0 ? ": it is one itself" : ""),
                       card->physical[0] != 0
                           ? "say driver: auto"
                           : "switch SR-IOV on in the firmware, if the card has it; or say driver: auto");
        return;
    }
    if (card->pmd_kind == CW_PMD_BIFURCATED) {
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s is shared with the kernel as it is, and needs no virtual function",
                                      card->address),
                       "say driver: auto");
        return;
    }
    if (card->driver[0] == 0 || cw_driver_use(card->driver) == CW_DRIVER_FOR_PROGRAMS) {
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s has no driver of the kernel, which makes virtual functions",
                                      card->address),
                       "give it back to its driver first, or say driver: vfio");
        return;
    }
    if (!is_behind_iommu(work, card)) {
        refuse_without_iommu(work, path);
        return;
    }
    if (!work->facts->has_vfio)
        cw_plan_remedy(cw_plan_refuse(work, path, "this kernel has no module vfio-pci"),
                       "install the kernel's modules; or say driver: af_xdp");
    choose_function(work, path);
}

/* ---------------------------------------------------------------- what fits */

static void choose_auto(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    switch (card->pmd_kind) {
    case CW_PMD_BIFURCATED:
        choose_bifurcated(work, path);
        return;
    case CW_PMD_USERSPACE:
        choose_vfio(work, path);
        if (!path->is_refused)
            cw_plan_note(work,
                         "path %s: driver vfio: DPDK's %s drives %s, which is behind an IOMMU (group %d)",
                         path->wish->name, card->pmd, card->address, card->iommu_group);
        return;
    case CW_PMD_HYPERV:
        cw_plan_note(
            work,
            "path %s: driver af_xdp: DPDK's %s would take %s by uio_hv_generic, which this program does not bind "
            "(dpdk-devbind.py does not either; DPDK's guide of netvsc tells how)",
            path->wish->name, card->pmd, card->address);
        break;
    case CW_PMD_UNKNOWN:
        if (card->bus == CW_BUS_VMBUS)
            break; /* whatever DPDK has for it, it is not bound here */
        refuse_unknown_pmd(work, path);
        return;
    case CW_PMD_NONE:
        cw_plan_note(work, "path %s: driver af_xdp: DPDK has no driver for %s", path->wish->name,
                     card->address);
        break;
    }
    choose_af_xdp(work, path);
}

/* What of a card has to be known beside how it is bound. */
static void warn_of_specialties(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (card == NULL || path->is_refused)
        return;
    if (strstr(card->pmd, "virtio") != NULL && path->driver == CW_DRIVER_VFIO)
        cw_plan_warn(work,
                     "path %s: a virtio card behind an IOMMU works only if its host made it so (QEMU: "
                     "iommu_platform=on), which cannot be seen from here: causeway-nic verify tells",
                     path->wish->name);
    if (card->bus == CW_BUS_VMBUS && path->driver == CW_DRIVER_AF_XDP)
        cw_plan_warn(
            work, "path %s: the kernel's netvsc takes no XDP program while lro is on: ethtool -K %s lro off",
            path->wish->name, path->interface->name);
    if (path->driver == CW_DRIVER_VF && path->interface != NULL && !path->interface->is_up)
        cw_plan_warn(work,
                     "path %s: a virtual function carries nothing while %s is down: ip link set dev %s up",
                     path->wish->name, path->interface->name, path->interface->name);
    if (path->driver == CW_DRIVER_VF && !path->is_function_there && path->interface != NULL &&
        (path->interface->has_login || path->interface->has_default_route))
        cw_plan_warn(
            work,
            "path %s: some drivers restart the link of %s when virtual functions are made: it may be gone for "
            "some seconds",
            path->wish->name, path->interface->name);
}

static bool refuse_unfit(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (path->driver == CW_DRIVER_AF_XDP || path->driver == CW_DRIVER_AUTO)
        return false;
    if (card == NULL)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "%s (%s) is no card that could be given away", path->interface->name,
                           path->interface->kind[0] != 0 ? path->interface->kind : "no PCI device"),
            "name the card (card: ADDRESS); or say driver: af_xdp");
    else if (card->bus == CW_BUS_VMBUS)
        cw_plan_remedy(
            cw_plan_refuse(
                work, path,
                "%s is a device of Hyper-V, that only uio_hv_generic gives away, which this program "
                "does not bind",
                card->address),
            "say driver: af_xdp; or bind it by hand as DPDK's guide of netvsc tells, and write the device into "
            "the node's configuration");
    else if (card->pmd_kind == CW_PMD_UNKNOWN)
        refuse_unknown_pmd(work, path);
    else if (card->pmd_kind == CW_PMD_BIFURCATED && cw_plan_is_taken(path))
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "DPDK drives %s through the kernel's own driver: given to %s, nobody "
                                      "drives it",
                                      card->address, cw_plan_kernel_driver(path->driver)),
                       "say driver: auto");
    else if (card->pmd_kind == CW_PMD_NONE && cw_plan_is_taken(path))
        cw_plan_remedy(cw_plan_refuse(work, path, "DPDK has no driver for %s: given to %s, nobody drives it",
                                      card->address, cw_plan_kernel_driver(path->driver)),
                       "say driver: af_xdp; or see whether DPDK's drivers are installed (causeway-nic show)");
    else
        return false;
    return true;
}

void cw_plan_choose_driver(struct cw_plan_work *work, struct cw_plan_path *path)
{
    path->driver = path->wish->driver;
    if (refuse_unfit(work, path))
        return;
    switch (path->driver) {
    case CW_DRIVER_AUTO:
        if (path->card != NULL)
            choose_auto(work, path);
        else
            choose_af_xdp(work, path);
        break;
    case CW_DRIVER_VFIO:
        choose_vfio(work, path);
        break;
    case CW_DRIVER_NOIOMMU:
        choose_noiommu(work, path);
        break;
    case CW_DRIVER_UIO:
        choose_uio(work, path);
        break;
    case CW_DRIVER_BIFURCATED:
        choose_bifurcated(work, path);
        break;
    case CW_DRIVER_AF_XDP:
        choose_af_xdp(work, path);
        break;
    case CW_DRIVER_VF:
        choose_vf(work, path);
        break;
    case CW_DRIVER_COUNT:
        break;
    }
    warn_of_specialties(work, path);
}
