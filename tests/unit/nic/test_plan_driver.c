/* SPDX-License-Identifier: BSD-3-Clause */
/* Which card a path means, what drives it, and the steps that follow; each row changes the machine of plan_rig.h. */
#include "plan_rig.h"

#define WAN0 "file /run/causeway/nic/wan0.yaml\n"
#define VFIO "module vfio-pci\ngive-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n"

#define wan0 (&rig.wish.paths[0])

static void name_interface(const char *name)
{
    wan0->card[0] = 0;
    snprintf(wan0->interface, sizeof wan0->interface, "%s", name);
}

static void name_card(const char *address)
{
    snprintf(wan0->card, sizeof wan0->card, "%s", address);
}

static void name_speed(int64_t mbps)
{
    wan0->card[0] = 0;
    wan0->speed_mbps = mbps;
}

static void name_mac(uint8_t last)
{
    wan0->card[0] = 0;
    wan0->has_mac = true;
    memcpy(wan0->mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, last}, 6);
}

static void want(enum cw_wish_driver driver)
{
    wan0->driver = driver;
}

static void take_iommu_away(void)
{
    rig.facts.has_iommu = false;
    for (uint32_t i = 0; i < rig.facts.card_count; i++)
        rig.facts.cards[i].iommu_group = CW_FACT_UNKNOWN;
}

static void add_prepared(const char *name, const char *card)
{
    struct cw_file_fact *file = &rig.facts.files[rig.facts.file_count++];
    snprintf(file->path, sizeof file->path, "/run/causeway/nic/%s.yaml", name);
    snprintf(file->text, sizeof file->text, "format: 1\npath: %s\ncard: %s\nshared: false", name, card);
}

/* ---------------------------------------------------------------- which card */

static void nothing(void)
{
}
static void no_such_card(void)
{
    name_card("0000:99:00.0");
}
static void by_interface(void)
{
    name_interface("eth1");
}
static void no_such_interface(void)
{
    name_interface("eth9");
}
static void by_mac(void)
{
    name_mac(1);
}
static void mac_of_vlan_too(void)
{
    name_mac(3);
    struct cw_interface_fact *vlan = rig_add_interface("eth3.5", "", "vlan");
    memcpy(vlan->mac, wan0->mac, 6);
    vlan->lower_count = 1;
    snprintf(vlan->lower[0], sizeof vlan->lower[0], "eth3");
}
static void mac_of_netvsc(void)
{
    name_mac(3);
    memcpy(rig_interface("eth1")->mac, wan0->mac, 6);
    snprintf(rig_interface("eth1")->master, CW_INTERFACE_NAME, "eth3");
}
static void mac_of_two(void)
{
    name_mac(1);
    memcpy(rig_interface("eth2")->mac, wan0->mac, 6);
}
static void mac_of_none(void)
{
    name_mac(99);
}
static void by_speed(void)
{
    name_speed(25000);
}
static void by_speed_second(void)
{
    name_speed(25000);
    rig_add_address("eth1", "10.1.0.1/24");
}
static void by_speed_of_other_path(void)
{
    name_speed(25000);
    rig_add_path("wan1", "0000:03:00.0");
}
static void by_speed_none(void)
{
    name_speed(25000);
    rig_add_address("eth1", "10.1.0.1/24");
    snprintf(rig_interface("eth2")->master, CW_INTERFACE_NAME, "bond0");
}
static void by_speed_in_group(void)
{
    name_speed(25000);
    rig_add_member(14, "0000:02:00.0", "nvme", "disk nvme0n1, mounted at /", false);
    rig_card("0000:03:00.1")->functions = 2;
}
static void by_speed_unknown_use(void)
{
    name_speed(25000);
    rig.facts.is_use_known = false;
}
static void given_by_interface(void)
{
    name_interface("eth9");
    snprintf(rig_card("0000:03:00.0")->driver, CW_DRIVER_NAME, "vfio-pci");
    add_prepared("wan0", "\"0000:03:00.0\"");
    rig.facts.is_vfio_pci_loaded = true;
}
static void given_by_speed(void)
{
    name_speed(25000);
    snprintf(rig_card("0000:03:00.1")->driver, CW_DRIVER_NAME, "vfio-pci");
    add_prepared("wan0", "0000:03:00.1");
    rig.facts.is_vfio_pci_loaded = true;
}
static void shared_by_speed(void) /* the engine runs */
{
    name_speed(25000);
    want(CW_DRIVER_AF_XDP);
    add_prepared("wan0", "0000:03:00.1");
    rig_interface("eth2")->has_program = true;
    rig_add_address("eth2", "10.2.0.1/24");
}
static void given_back_since(void) /* the file is a leftover: the kernel has the card */
{
    name_speed(100000);
    add_prepared("wan0", "0000:03:00.1");
}
/* As the unit sees it: no link is up yet, /run is empty, and the journal tells which card the path had. */
static void boot_by_speed(void)
{
    name_speed(25000);
    for (uint32_t i = 0; i < rig.facts.interface_count; i++) {
        rig.facts.interfaces[i].speed_mbps = CW_FACT_UNKNOWN;
        rig.facts.interfaces[i].is_up = rig.facts.interfaces[i].has_carrier = false;
    }
    snprintf(wan0->given, sizeof wan0->given, "0000:03:00.1");
}
static void boot_by_speed_shared(void)
{
    boot_by_speed();
    want(CW_DRIVER_AF_XDP);
}
static void boot_by_speed_in_use(void)
{
    boot_by_speed();
    rig_add_address("eth2", "10.2.0.1/24");
}
static void boot_by_speed_card_gone(void) /* another one is free, and up */
{
    boot_by_speed();
    rig_interface("eth1")->speed_mbps = 25000;
    snprintf(wan0->given, sizeof wan0->given, "0000:07:00.0");
}
static void boot_by_speed_vf(void) /* which is not made yet */
{
    boot_by_speed();
    want(CW_DRIVER_VF);
    snprintf(wan0->given, sizeof wan0->given, "0000:03:01.0");
}
/* The VLAN of wan0 is made by the network service; wan1 is a card. */
static void boot_before_network(void)
{
    name_interface("stor.100");
    wan0->may_wait = true;
    rig_add_path("wan1", "0000:03:00.1");
}
static void boot_before_network_by_mac(void)
{
    boot_before_network();
    wan0->interface[0] = 0;
    name_mac(99);
}
static void again_without_files(void) /* somebody has removed what was in /run */
{
    given_by_interface();
    rig.facts.file_count = 0;
    snprintf(wan0->given, sizeof wan0->given, "0000:03:00.0");
}

/* ---------------------------------------------------------------- vfio and what is instead of it */

static void vfio_loaded(void)
{
    rig.facts.is_vfio_loaded = rig.facts.is_vfio_pci_loaded = true;
}
static void bound_by_hand(void)
{
    vfio_loaded();
    snprintf(rig_card("0000:03:00.0")->driver, CW_DRIVER_NAME, "vfio-pci");
    rig.facts.interfaces[1] = rig.facts.interfaces[--rig.facts.interface_count];
}
static void no_vfio(void)
{
    rig.facts.has_vfio = false;
}
static void no_group(void)
{
    rig_card("0000:03:00.0")->iommu_group = CW_FACT_UNKNOWN;
}
static void add_hugepages(void)
{
    rig.facts.nodes[1].pages[0].total = rig.facts.nodes[1].pages[0].free = 512;
}
static void noiommu(void)
{
    take_iommu_away();
    add_hugepages();
    want(CW_DRIVER_NOIOMMU);
}
static void noiommu_loaded(void)
{
    noiommu();
    rig.facts.is_vfio_loaded = rig.facts.is_vfio_pci_loaded = true;
}
static void noiommu_is_on(void)
{
    noiommu_loaded();
    rig.facts.is_noiommu_on = true;
}
static void noiommu_in_group(void)
{
    want(CW_DRIVER_NOIOMMU);
}
static void noiommu_missing(void)
{
    noiommu();
    rig.facts.has_noiommu = false;
}
static void noiommu_missing_all(void)
{
    noiommu_missing();
    rig.facts.has_uio_generic = false;
}
static void noiommu_without_hugepages(void)
{
    noiommu();
    rig.facts.nodes[1].pages[0].total = 0;
    rig.facts.nodes[1].pages[1].total = 4; /* of 1 GiB: not those that the engine asks for */
}
static void uio(void)
{
    take_iommu_away();
    add_hugepages();
    want(CW_DRIVER_UIO);
}
static void uio_loaded(void)
{
    uio();
    rig.facts.is_uio_generic_loaded = true;
}
static void uio_without_hugepages(void)
{
    uio();
    rig.facts.nodes[1].pages[0].total = 0;
}
static void uio_of_function(void)
{
    uio();
    snprintf(rig_card("0000:03:00.0")->physical, CW_PCI_ADDRESS, "0000:03:00.7");
}
static void uio_missing(void)
{
    uio();
    rig.facts.has_uio_generic = false;
}
static void uio_in_group(void)
{
    want(CW_DRIVER_UIO);
}
static void virtio(void)
{
    snprintf(rig_card("0000:03:00.0")->pmd, CW_DRIVER_NAME, "net_virtio");
}
static void vfio_without_pmd(void)
{
    name_card("0000:05:00.0");
    want(CW_DRIVER_VFIO);
}
static void pmds_unread(void)
{
    rig_card("0000:03:00.0")->pmd_kind = CW_PMD_UNKNOWN;
    rig.facts.unread[rig.facts.unread_count++] = (struct cw_doubt_fact){"DPDK", "there are no plug-ins"};
}
static void vfio_of_unknown(void)
{
    pmds_unread();
    want(CW_DRIVER_VFIO);
}
static void vf_of_unknown(void)
{
    pmds_unread();
    want(CW_DRIVER_VF);
}
static void af_xdp_of_unknown(void)
{
    pmds_unread();
    want(CW_DRIVER_AF_XDP);
}
static void vfio_of_bifurcated(void)
{
    name_card("0000:41:00.0");
    want(CW_DRIVER_VFIO);
}
static void vfio_of_veth(void)
{
    rig_add_interface("veth0", "", "veth");
    name_interface("veth0");
    want(CW_DRIVER_VFIO);
}

/* ---------------------------------------------------------------- bifurcated */

static void bifurcated(void)
{
    name_card("0000:41:00.0");
}
static void bifurcated_jumbo(void)
{
    bifurcated();
    wan0->mtu = 9000;
}
static void bifurcated_forced(void)
{
    bifurcated();
    rig_add_address("eth4", "10.4.0.1/24");
    rig_force("eth4");
}
static void bifurcated_not(void)
{
    want(CW_DRIVER_BIFURCATED);
}
static void bifurcated_gone(void)
{
    bifurcated();
    snprintf(rig_card("0000:41:00.0")->driver, CW_DRIVER_NAME, "vfio-pci");
}

/* ---------------------------------------------------------------- af_xdp */

static void no_pmd(void)
{
    name_card("0000:05:00.0");
}
static void af_xdp(void)
{
    want(CW_DRIVER_AF_XDP);
}
static void af_xdp_jumbo(void)
{
    af_xdp();
    wan0->mtu = 3000;
}
static void af_xdp_too_big(void)
{
    af_xdp();
    wan0->mtu = 9000;
}
static void af_xdp_queues(void)
{
    af_xdp();
    wan0->queues = 2;
}
static void af_xdp_vlan(void)
{
    af_xdp();
    wan0->vlan = 120;
}
static void af_xdp_copy(void)
{
    af_xdp();
    wan0->copy = CW_CHOICE_SECOND;
    wan0->mode = CW_CHOICE_FIRST;
}
static void af_xdp_zero(void)
{
    af_xdp();
    wan0->copy = CW_CHOICE_FIRST;
}
static void af_xdp_veth(void)
{
    rig_add_interface("veth0", "", "veth");
    name_interface("veth0");
}
static void af_xdp_bond(void)
{
    rig_add_interface("bond0", "", "bond");
    name_interface("bond0");
}
static void af_xdp_lo(void)
{
    rig_add_interface("lo", "", "");
    name_interface("lo");
}
static void af_xdp_without_interface(void)
{
    af_xdp();
    rig.facts.interfaces[1] = rig.facts.interfaces[--rig.facts.interface_count];
}
static void netvsc(void)
{
    struct cw_card_fact *card = rig_add_card("7ad35d50-c05b-47ab-b3a0-56a9a845852b", "hv_netvsc",
                                             "net_netvsc", CW_PMD_HYPERV, -1, -1);
    card->bus = CW_BUS_VMBUS;
    rig_add_interface("eth7", card->address, "");
    name_interface("eth7");
}
static void netvsc_of_unknown(void)
{
    netvsc();
    rig.facts.cards[rig.facts.card_count - 1].pmd_kind = CW_PMD_UNKNOWN;
}
static void netvsc_vfio(void)
{
    netvsc();
    want(CW_DRIVER_VFIO);
}

/* ---------------------------------------------------------------- virtual functions */

static void vf(void)
{
    want(CW_DRIVER_VF);
}
static void vf_of_login(void)
{
    vf();
    rig_interface("eth1")->has_login = true;
    rig_interface("eth1")->is_up = false;
    wan0->mtu = 9000;
}
static void vf_twice(void)
{
    vf();
    rig_add_path("wan1", "0000:03:00.0")->driver = CW_DRIVER_VF;
}
static void vf_twice_with_mtu(void)
{
    vf_twice();
    wan0->mtu = 3000;
    rig.wish.paths[1].mtu = 9000;
}
static void vf_twice_with_less_mtu(void)
{
    vf_twice();
    wan0->mtu = 9000;
    rig.wish.paths[1].mtu = 3000;
}
static void vf_too_many(void)
{
    vf_twice();
    rig_card("0000:03:00.0")->functions_max = 1;
}
static void vf_of_none(void)
{
    vf();
    name_card("0000:03:00.1");
}
static void vf_of_vf(void)
{
    vf_of_none();
    snprintf(rig_card("0000:03:00.1")->physical, CW_PCI_ADDRESS, "0000:03:00.0");
}
static void vf_of_bifurcated(void)
{
    vf();
    name_card("0000:41:00.0");
    rig_card("0000:41:00.0")->functions_max = 8;
}
static void vf_without_driver(void)
{
    vf();
    rig_card("0000:03:00.0")->driver[0] = 0;
}
static void vf_without_iommu(void)
{
    vf();
    take_iommu_away();
}
static void vf_without_vfio(void)
{
    vf();
    no_vfio();
}
static void vf_without_numbers(void)
{
    vf();
    rig_card("0000:03:00.0")->functions_offset = CW_FACT_UNKNOWN;
}
static void vf_unknown(void)
{
    vf();
    rig_card("0000:03:00.0")->functions_max = CW_FACT_UNKNOWN;
}
static void vf_there(void)
{
    vf();
    rig_card("0000:03:00.0")->functions = 2;
    snprintf(rig_add_card("0000:03:01.0", "vfio-pci", "net_iavf", CW_PMD_USERSPACE, 0, 50)->physical,
             CW_PCI_ADDRESS, "0000:03:00.0");
    snprintf(rig_add_card("0000:03:01.1", "iavf", "net_iavf", CW_PMD_USERSPACE, 0, 51)->physical,
             CW_PCI_ADDRESS, "0000:03:00.0");
    rig_add_interface("eth1v1", "0000:03:01.1", "");
}
static void vf_there_in_use(void)
{
    vf_there();
    rig_add_address("eth1v1", "10.1.1.1/24");
}
static void vf_there_and_named(void) /* by the other path, which comes after it */
{
    vf_there();
    rig_add_path("wan1", "0000:03:01.1");
}
static void vf_there_and_another_named(void)
{
    vf_there_and_named();
    rig_card("0000:03:00.0")->functions = 3;
    snprintf(rig_add_card("0000:03:01.2", "iavf", "net_iavf", CW_PMD_USERSPACE, 0, 52)->physical,
             CW_PCI_ADDRESS, "0000:03:00.0");
}
static void vf_there_given(void)
{
    vf_there();
    vfio_loaded();
    add_prepared("wan0", "0000:03:01.0");
}
static void vf_given_by_speed(void)
{
    vf_there_given();
    name_speed(25000);
}
static void vf_across_bus(void)
{
    vf();
    rig_card("0000:03:00.0")->functions_offset = 256;
}

#define VF(count) "write /sys/bus/pci/devices/0000:03:00.0/sriov_numvfs = " count "\n"
#define VF_TWICE_9000                                                                                        \
    "module vfio-pci\n" VF("2") "mtu eth1 = 9000\nbind 0000:03:01.0 = vfio-pci\n"                            \
                                "bind 0000:03:01.1 = vfio-pci\n" WAN0 "file /run/causeway/nic/wan1.yaml\n"
static const struct row {
    void (*change)(void);
    const char *steps, *refusals, *warnings,
        *notes; /* steps: all; the others: a part of what is said, NULL: nothing */
} rows[] = {
    {nothing, VFIO WAN0, NULL, NULL,
     "path wan0: driver vfio: DPDK's net_ice drives 0000:03:00.0, which is behind an IOMMU (group 14)"},
    {no_such_card, "",
     "wan0: there is no network card at 0000:99:00.0 | take one of these: 0000:00:03.0 (eth0), 0000:03:00.0 (eth1)"},
    {by_interface, VFIO WAN0, NULL, NULL, "driver vfio"},
    {no_such_interface, "", "there is no interface eth9 | take one of these: eth0, eth1, eth2, eth3, eth4\n"},
    {by_mac, VFIO WAN0, NULL, NULL, "driver vfio"},
    {mac_of_vlan_too, "channels eth3 = 1\n" WAN0, NULL, "", "af_xdp"},
    {mac_of_netvsc, "channels eth3 = 1\n" WAN0, NULL, "", "af_xdp"},
    {mac_of_two, "", "several interfaces have the address 52:54:00:00:00:01: eth1, eth2 | name one of them"},
    {mac_of_none, "", "no interface has the address 52:54:00:00:00:63 | name the card"},
    {by_speed, VFIO WAN0, NULL, NULL,
     "0000:03:00.0 (eth1) has a link of 25000 Mb/s and is free; of several such, it has the lowest address"},
    {by_speed_second, "module vfio-pci\ngive-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\n" WAN0, NULL, NULL,
     "0000:03:00.1 (eth2) has a link of 25000 Mb/s and is free\n"},
    {by_speed_of_other_path,
     "module vfio-pci\ngive-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\ngive-up eth1\n"
     "bind 0000:03:00.0 = vfio-pci (eth1)\n" WAN0 "file /run/causeway/nic/wan1.yaml\n",
     NULL, NULL, "eth2"},
    {by_speed_none, "",
     "no free card has a link of 25000 Mb/s: eth1 it has the address 10.1.0.1/24, eth2 it is part of bond0 | name a card"},
    {by_speed_in_group, "", "eth1 shares its IOMMU group with 0000:02:00.0, eth2 has virtual functions"},
    {by_speed_unknown_use, "", "eth1 may be in use, eth2 may be in use"},
    {given_by_interface, WAN0, NULL, NULL, "driver vfio"},
    {given_by_speed, WAN0, NULL, NULL, "driver vfio"},
    {shared_by_speed, WAN0},
    {given_back_since, WAN0, NULL, NULL, "0000:41:00.0 (eth4) has a link of 100000 Mb/s"},
    {boot_by_speed, "module vfio-pci\ngive-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\n" WAN0, NULL, NULL,
     "driver vfio"},
    {boot_by_speed_shared, WAN0},
    {boot_by_speed_in_use, "", "eth2 is in use, or may be: it has the address 10.2.0.1/24", NULL,
     "driver vfio"},
    {boot_by_speed_card_gone, "",
     "wan0: it had the card 0000:07:00.0, which is not there now | put it back into its slot"},
    {boot_by_speed_vf, "module vfio-pci\n" VF("1") "bind 0000:03:01.0 = vfio-pci\n" WAN0, NULL,
     "a virtual function carries nothing while eth1 is down"},
    {boot_before_network,
     "module vfio-pci\ngive-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\nfile /run/causeway/nic/wan1.yaml\n",
     NULL, NULL, "path wan0: its interface is not there yet: the path waits until the network is configured"},
    {boot_before_network_by_mac,
     "module vfio-pci\ngive-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\nfile /run/causeway/nic/wan1.yaml\n",
     NULL, NULL, "path wan0: its interface is not there yet"},
    {again_without_files, WAN0, NULL, NULL, "driver vfio"},
    {vfio_loaded, "give-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n" WAN0, NULL, NULL, "driver vfio"},
    {bound_by_hand, WAN0, NULL, "0000:03:00.0 has been given to vfio-pci by somebody else already",
     "driver vfio"},
    {no_vfio, "", "this kernel has no module vfio-pci | install"},
    {take_iommu_away, "",
     "this machine has no IOMMU that the kernel uses, and nothing else keeps 0000:03:00.0 from writing anywhere in memory | "
     "switch it on: VT-d or AMD-Vi in the firmware, intel_iommu=on or amd_iommu=on for the kernel, and reboot; where there is none (most cloud "
     "machines): driver: noiommu, with that danger; or driver: af_xdp"},
    {no_group, "", "0000:03:00.0 is in no IOMMU group, though others are | switch it on"},
    {noiommu, "module vfio = enable_unsafe_noiommu_mode=1\n" VFIO WAN0, NULL,
     "is worse than a crash. The kernel marks itself tainted"},
    {noiommu_without_hugepages, "",
     "without an IOMMU 0000:03:00.0 is driven with hugepages only, and there are none | say hugepages: 1G",
     "may read and write all memory"},
    {noiommu_loaded,
     "write /sys/module/vfio/parameters/enable_unsafe_noiommu_mode = Y\ngive-up eth1\n"
     "bind 0000:03:00.0 = vfio-pci (eth1)\n" WAN0,
     NULL, "may read and write all memory"},
    {noiommu_is_on, "give-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n" WAN0, NULL,
     "may read and write all memory"},
    {noiommu_in_group, "",
     "0000:03:00.0 is behind an IOMMU (group 14), and is not driven without it | say driver: vfio\n"},
    {noiommu_missing, "",
     "this kernel has no vfio without an IOMMU (CONFIG_VFIO_NOIOMMU) | say driver: uio, which is as dangerous"},
    {noiommu_missing_all, "", "(CONFIG_VFIO_NOIOMMU) | say driver: af_xdp; or take a kernel that has it"},
    {uio, "module uio_pci_generic\ngive-up eth1\nbind 0000:03:00.0 = uio_pci_generic (eth1)\n" WAN0, NULL,
     "is worse than a crash\n"},
    {uio_without_hugepages, "", "0000:03:00.0 is driven with hugepages only",
     "may read and write all memory"},
    {uio_loaded, "give-up eth1\nbind 0000:03:00.0 = uio_pci_generic (eth1)\n" WAN0, NULL,
     "may read and write all memory"},
    {uio_of_function, "", "0000:03:00.0 is a virtual function: it has no legacy interrupt"},
    {uio_missing, "", "this kernel has no module uio_pci_generic | say driver: noiommu"},
    {uio_in_group, "", "behind an IOMMU (group 14)"},
    {virtio, VFIO WAN0, NULL, "iommu_platform=on", "driver vfio"},
    {pmds_unread, "",
     "whether DPDK has a driver for 0000:03:00.0 is not known: there are no plug-ins | see that DPDK's drivers are",
     "DPDK could not be read: there are no plug-ins"},
    {vfio_of_unknown, "", "is not known: there are no plug-ins | ", "DPDK"},
    {vf_of_unknown, "", "is not known: there are no plug-ins | ", "DPDK"},
    {af_xdp_of_unknown, WAN0, NULL, "DPDK"},
    {netvsc_of_unknown, WAN0, NULL, "the kernel's netvsc takes no XDP program while lro is on"},
    {vfio_without_pmd, "",
     "DPDK has no driver for 0000:05:00.0: given to vfio-pci, nobody drives it | say driver: af_xdp"},
    {vfio_of_bifurcated, "",
     "DPDK drives 0000:41:00.0 through the kernel's own driver: given to vfio-pci, nobody drives it | say driver: auto"},
    {vfio_of_veth, "", "veth0 (veth) is no card that could be given away"},
    {bifurcated, WAN0, NULL, NULL, "nothing is bound: DPDK's mlx5_pci works beside the kernel's mlx5_core"},
    {bifurcated_jumbo, "mtu eth4 = 9000\n" WAN0, NULL, NULL, "nothing is bound"},
    {bifurcated_forced, "give-up eth4\n" WAN0, NULL,
     "forced: eth4 is taken, although it has the address 10.4.0.1/24", "nothing is bound"},
    {bifurcated_not, "",
     "0000:03:00.0 cannot be shared between the kernel's driver and DPDK's (net_ice) | say driver: auto"},
    {bifurcated_gone, "",
     "DPDK drives 0000:41:00.0 through the kernel's own driver, which has not got it: it is bound to vfio-pci"},
    {no_pmd, "channels eth3 = 1\n" WAN0, NULL, "all that eth3 receives comes by one queue",
     "driver af_xdp: DPDK has no driver for 0000:05:00.0"},
    {af_xdp, WAN0},
    {af_xdp_jumbo, "mtu eth1 = 3000\n" WAN0},
    {af_xdp_too_big, "", "mtu 9000 is impossible: af_xdp takes 3498 at most"},
    {af_xdp_queues, "", "a shared interface has one queue for a path, and 2 are wished for | say queues: 1"},
    {af_xdp_vlan, "",
     "VLANs of an interface that the kernel keeps are the kernel's | make one, and say interface: eth1.120 without vlan "
     "(ip link add link eth1 name eth1.120 type vlan id 120)"},
    {af_xdp_copy, WAN0, NULL, "Whether that is the native mode which is wished for"},
    {af_xdp_zero, WAN0, NULL, "zero-copy is the driver's to choose"},
    {af_xdp_veth, WAN0},
    {af_xdp_bond, "", "bond0 (bond) is not shared by af_xdp"},
    {af_xdp_lo, "", "lo (the machine's own) is not shared by af_xdp"},
    {af_xdp_without_interface, "", "0000:03:00.0 has no interface of the kernel, which af_xdp needs"},
    {netvsc, WAN0, NULL, "takes no XDP program while lro is on: ethtool -K eth7 lro off",
     "by uio_hv_generic, which this program does not bind"},
    {netvsc_vfio, "", "7ad35d50-c05b-47ab-b3a0-56a9a845852b is a device of Hyper-V"},
    {vf, "module vfio-pci\n" VF("1") "bind 0000:03:01.0 = vfio-pci\n" WAN0},
    {vf_of_login, "module vfio-pci\n" VF("1") "mtu eth1 = 9000\nbind 0000:03:01.0 = vfio-pci\n" WAN0, NULL,
     "some drivers restart the link of eth1"},
    {vf_twice, "module vfio-pci\n" VF("2") "bind 0000:03:01.0 = vfio-pci\nbind 0000:03:01.1 = vfio-pci\n" WAN0
                                           "file /run/causeway/nic/wan1.yaml\n"},
    {vf_twice_with_mtu, VF_TWICE_9000},
    {vf_twice_with_less_mtu, VF_TWICE_9000},
    {vf_too_many, "module vfio-pci\n" VF("1") "bind 0000:03:01.0 = vfio-pci\n" WAN0,
     "wan1: 0000:03:00.0 can have 1 virtual functions, and the wish asks for more"},
    {vf_of_none, "", "0000:03:00.1 has no virtual functions (SR-IOV) | switch SR-IOV on"},
    {vf_of_vf, "", "0000:03:00.1 has no virtual functions (SR-IOV): it is one itself | say driver: auto"},
    {vf_of_bifurcated, "", "is shared with the kernel as it is, and needs no virtual function"},
    {vf_without_driver, "", "0000:03:00.0 has no driver of the kernel, which makes virtual functions"},
    {vf_without_iommu, "", "this machine has no IOMMU"},
    {vf_without_vfio, "", "this kernel has no module vfio-pci"},
    {vf_without_numbers, "", "where virtual functions of 0000:03:00.0 appear is not known"},
    {vf_unknown, "",
     "how many virtual functions 0000:03:00.0 has, and can have, is not known (sriov_numvfs, sriov_totalvfs) | find out"},
    {vf_there, "module vfio-pci\ngive-up eth1v1\nbind 0000:03:01.1 = vfio-pci (eth1v1)\n" WAN0},
    {vf_there_in_use, "", "0000:03:00.0 has 2 virtual functions, none of them known to be free"},
    {vf_there_and_named,
     "module vfio-pci\ngive-up eth1v1\nbind 0000:03:01.1 = vfio-pci (eth1v1)\nfile /run/causeway/nic/wan1.yaml\n",
     "wan0: 0000:03:00.0 has 2 virtual functions, none of them known to be free", NULL,
     "path wan1: driver vfio"},
    {vf_there_and_another_named,
     "module vfio-pci\nbind 0000:03:01.2 = vfio-pci\ngive-up eth1v1\nbind 0000:03:01.1 = vfio-pci (eth1v1)\n" WAN0
     "file /run/causeway/nic/wan1.yaml\n",
     NULL, NULL, "path wan1: driver vfio"},
    {vf_there_given, WAN0},
    {vf_given_by_speed, WAN0},
    {vf_across_bus, "module vfio-pci\n" VF("1") "bind 0000:04:00.0 = vfio-pci\n" WAN0},
};

static void hold(size_t row, const char *what, const char *said, const char *expected)
{
    if (expected == NULL ? said[0] != 0 : strstr(said, expected) == NULL)
        fail_msg("row %zu: %s are\n%s\nand not\n%s", row, what, said, expected != NULL ? expected : "none");
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        rig_begin();
        rows[i].change();
        rig_plan();
        if (strcmp(rig_steps(), rows[i].steps) != 0)
            fail_msg("row %zu: steps are\n%s\nand not\n%s", i, rig.text, rows[i].steps);
        hold(i, "refusals", rig_refusals(), rows[i].refusals);
        hold(i, "warnings", rig_warnings(), rows[i].warnings);
        hold(i, "notes", rig_notes(), rows[i].notes);
        assert_false(rig.plan.is_cut);
    }
}

static const struct cw_prepared *prepared_of(void (*change)(void))
{
    rig_begin();
    change();
    rig_plan();
    assert_int_equal(rig.plan.refusal_count, 0);
    return &rig.plan.prepared[0];
}

static void test_prepared(void **state)
{
    const struct cw_prepared *prepared = prepared_of(nothing);
    assert_string_equal(prepared->device, "0000:03:00.0");
    assert_string_equal(prepared->card, "0000:03:00.0");
    assert_string_equal(prepared->driver, "vfio-pci");
    assert_string_equal(prepared->interface, "");
    assert_int_equal(prepared->node, 0);
    assert_false(prepared->is_shared);
    prepared = prepared_of(bifurcated_jumbo);
    assert_string_equal(prepared->device, "0000:41:00.0");
    assert_string_equal(prepared->driver, "mlx5_core");
    assert_string_equal(prepared->interface, "eth4");
    assert_int_equal(prepared->mtu, 9000);
    prepared = prepared_of(af_xdp_copy);
    assert_string_equal(prepared->device, "net_af_xdp0,iface=eth1,force_copy=1");
    assert_string_equal(prepared->driver, "");
    assert_true(prepared->is_shared);
    prepared = prepared_of(vf_twice);
    assert_string_equal(prepared[1].device, "0000:03:01.1");
    assert_string_equal(prepared[1].card, "0000:03:01.1");
    prepared = prepared_of(af_xdp_veth);
    assert_string_equal(prepared->card, "");
    assert_int_equal(prepared->node, CW_FACT_UNKNOWN);
}

/* Several shared interfaces are as many devices of DPDK. */
static void test_devices_have_names(void **state)
{
    rig_begin();
    af_xdp();
    rig_add_path("wan1", "0000:03:00.1")->driver = CW_DRIVER_AF_XDP;
    rig_plan();
    assert_string_equal(rig.plan.prepared[0].device, "net_af_xdp0,iface=eth1");
    assert_string_equal(rig.plan.prepared[1].device, "net_af_xdp1,iface=eth2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_devices_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
