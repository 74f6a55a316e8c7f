/* SPDX-License-Identifier: BSD-3-Clause */
/* What may not be taken, why, what to do, and what a force makes of it; each row changes the machine of plan_rig.h. */
#include "plan_rig.h"

#define WAN0  "file /run/causeway/nic/wan0.yaml\n"
#define TAKEN "give-up eth1\nbind 0000:03:00.0 = vfio-pci (eth1)\n"

#define wan0 (&rig.wish.paths[0])

static void nothing(void)
{
}
static void default_route(void)
{
    rig_interface("eth1")->has_default_route = true;
}
static void login(void)
{
    snprintf(wan0->card, sizeof wan0->card, "0000:00:03.0");
}
static void login_of_nobody(void)
{
    rig_interface("eth1")->has_login = true;
}
static void address(void)
{
    rig_add_address("eth1", "10.1.0.1/24");
}
static void addresses(void)
{
    static const char *const texts[] = {"10.1.0.1/24", "10.1.0.2/24", "2001:db8::1/64", "10.1.0.3/24"};
    for (size_t i = 0; i < CW_COUNT_OF(texts); i++)
        rig_add_address("eth1", texts[i]);
}
static void member_of_bond(void)
{
    struct cw_interface_fact *bond = rig_add_interface("bond0", "", "bond");
    bond->lower_count = 1;
    snprintf(bond->lower[0], CW_INTERFACE_NAME, "eth1");
    snprintf(rig_interface("eth1")->master, CW_INTERFACE_NAME, "bond0");
}
static void part_of(const char *name, const char *kind)
{
    rig_add_interface(name, "", kind);
    snprintf(rig_interface("eth1")->master, CW_INTERFACE_NAME, "%s", name);
}
static void member_of_bridge(void)
{
    part_of("br0", "bridge");
}
static void member_of_team(void)
{
    part_of("team0", "team");
}
static void member_of_switch(void)
{
    part_of("ovs-system", "openvswitch");
}
static void member_of_vrf(void)
{
    part_of("red", "vrf");
}
static void bifurcated_member_of_bond(void)
{
    snprintf(wan0->card, sizeof wan0->card, "0000:41:00.0");
    rig_add_interface("bond0", "", "bond");
    snprintf(rig_interface("eth4")->master, CW_INTERFACE_NAME, "bond0");
}
static void bifurcated_below_vlan(void)
{
    snprintf(wan0->card, sizeof wan0->card, "0000:41:00.0");
    struct cw_interface_fact *vlan = rig_add_interface("eth4.120", "", "vlan");
    vlan->lower_count = 1;
    snprintf(vlan->lower[0], CW_INTERFACE_NAME, "eth4");
}
static void bifurcated_below_vlan_prepared(void)
{
    bifurcated_below_vlan();
    snprintf(rig.facts.files[rig.facts.file_count++].path, CW_FACT_PATH, "/run/causeway/nic/wan0.yaml");
}
static void below_vlan(void)
{
    struct cw_interface_fact *vlan = rig_add_interface("eth1.120", "", "vlan");
    vlan->lower_count = 1;
    snprintf(vlan->lower[0], CW_INTERFACE_NAME, "eth1");
}
static void below_vlan_elsewhere(void)
{
    below_vlan();
    snprintf(rig_interface("eth1.120")->space, sizeof rig_interface("eth1.120")->space, "tenant");
}
static struct cw_interface_fact *add_on(const char *name, const char *kind, const char *lower)
{
    struct cw_interface_fact *interface = rig_add_interface(name, "", kind);
    interface->lower_count = 1;
    snprintf(interface->lower[0], CW_INTERFACE_NAME, "%s", lower);
    return interface;
}
static void below_macvlan(void)
{
    add_on("mv0", "macvlan", "eth1");
}
static void below_two_vlans(void)
{
    below_vlan();
    add_on("inner", "vlan", "eth1.120");
}
static void below_vlan_of_bridge(void) /* which takes it in again */
{
    below_vlan();
    add_on("br0", "bridge", "eth1.120");
    snprintf(rig_interface("eth1.120")->master, CW_INTERFACE_NAME, "br0");
}
static void below_two_vlans_elsewhere(void)
{
    below_two_vlans();
    snprintf(rig_interface("inner")->space, sizeof rig_interface("inner")->space, "tenant");
}
static void encapsulated(void)
{
    snprintf(rig_interface("eth1")->lost_route, CW_FACT_LOST, "an encapsulation");
}
static void vlan_encapsulated(void)
{
    below_vlan();
    snprintf(rig_interface("eth1.120")->lost_route, CW_FACT_LOST, "an attribute");
}
static void group_below_macvlan(void)
{
    rig_add_member(14, "0000:03:00.1", "ice", "", false);
    add_on("mv0", "macvlan", "eth2");
}
static void bifurcated_below_macvlan(void)
{
    bifurcated_below_vlan();
    add_on("mv0", "macvlan", "eth4");
}
static void bifurcated_below_macvlan_prepared(void)
{
    bifurcated_below_vlan_prepared();
    add_on("mv0", "macvlan", "eth4");
}
static void with_routes(void)
{
    struct cw_interface_fact *eth1 = rig_interface("eth1");
    eth1->routes[0] = (struct cw_route_fact){"10.3.0.0/24 proto kernel", .is_of_kernel = true};
    eth1->routes[1] = (struct cw_route_fact){"10.99.0.0/16 table 77 scope link"};
    eth1->route_count = 2;
}
static void with_two_routes(void)
{
    with_routes();
    struct cw_interface_fact *eth1 = rig_interface("eth1");
    eth1->routes[eth1->route_count++] = (struct cw_route_fact){"10.98.0.0/16 via 10.0.0.1"};
}
static void with_more(void) /* routes than there is room for, and those that are kept are the kernel's */
{
    rig_interface("eth1")->is_cut = true;
}
static void with_program(void)
{
    rig_interface("eth1")->has_program = true;
}
static void in_namespace(void)
{
    snprintf(rig_interface("eth1")->space, sizeof rig_interface("eth1")->space, "tenant");
}
static void in_container(void)
{
    rig_card("0000:03:00.0")->is_network_driver_gone = true;
    rig.facts.interfaces[1] = rig.facts.interfaces[--rig.facts.interface_count];
}
static void unknown_use(void)
{
    rig.facts.is_use_known = false;
}
static void no_interfaces(void)
{
    rig.facts.is_use_known = false;
    rig.facts.lacks_interfaces = true;
    rig.facts.interface_count = 0;
}
static void only_one(void)
{
    rig.facts.interfaces[0] = *rig_interface("eth1");
    rig.facts.interface_count = 1;
    rig_add_interface("lo", "", "");
    rig_add_interface("veth0", "", "veth");
}
static void another_of_no_card(void) /* of a system on a chip */
{
    only_one();
    rig_add_interface("end0", "", "");
}
static void only_two(void) /* both are wished for */
{
    rig.facts.interfaces[0] = *rig_interface("eth1");
    rig.facts.interfaces[1] = *rig_interface("eth2");
    rig.facts.interface_count = 2;
    rig_add_path("wan1", "0000:03:00.1");
}
static void functions(void)
{
    rig_card("0000:03:00.0")->functions = 4;
}
static void functions_unknown(void)
{
    rig_card("0000:03:00.0")->functions = CW_FACT_UNKNOWN;
}
static void group_with_disk(void)
{
    rig_add_member(14, "0000:02:00.0", "nvme", "disk nvme0n1, mounted at /", false);
    rig_add_member(14, "0000:02:01.0", "pcieport", "", true);
    rig_add_member(15, "0000:02:02.0", "ahci", "", false);
}
static void group_not_seen(void)
{
    rig_card("0000:03:00.0")->is_group_cut = true;
}
static void group_with_idle_disk(void)
{
    rig_add_member(14, "0000:02:00.0", "nvme", "disk nvme0n1", false);
}
static void group_with_card(void)
{
    rig_card("0000:03:00.1")->iommu_group = 14;
    rig_add_member(14, "0000:03:00.1", "ice", "", false);
}
static void group_with_login(void)
{
    rig_card("0000:00:03.0")->iommu_group = 14;
    rig_add_member(14, "0000:00:03.0", "igb", "", false);
}
static void group_with_login_forced(void)
{
    group_with_login();
    rig_force("eth0");
}
static void group_with_other_path(void)
{
    group_with_card();
    rig_add_path("wan1", "0000:03:00.1")->driver = CW_DRIVER_AF_XDP;
}
static void group_both_wanted(void)
{
    group_with_card();
    rig_add_member(14, "0000:03:00.0", "ice", "", false);
    rig_add_path("wan1", "0000:03:00.1");
}
static void group_idle(void)
{
    rig_add_member(14, "0000:02:00.0", "", "", false);
    rig_add_member(14, "0000:02:00.1", "vfio-pci", "", false);
    rig_add_member(14, "0000:02:00.2", "pci-stub", "", false);
}
static void group_of_uio(void)
{
    rig_add_member(14, "0000:02:00.0", "uio_pci_generic", "", false);
}
static void group_of_igb_uio(void)
{
    rig_add_member(14, "0000:02:00.0", "igb_uio", "", false);
}
static void group_of_noiommu(void)
{
    rig.facts.has_iommu = false;
    rig_card("0000:03:00.0")->iommu_group = CW_FACT_UNKNOWN;
    rig_add_member(CW_FACT_UNKNOWN, "0000:02:00.0", "nvme", "disk nvme0n1", false);
    wan0->driver = CW_DRIVER_NOIOMMU;
    rig.facts.nodes[0].pages[0].total = 512;
}
static void same_card(void)
{
    rig_add_path("wan1", "0000:03:00.0");
}
static void same_interface(void)
{
    wan0->driver = CW_DRIVER_AF_XDP;
    rig_add_path("wan1", "0000:03:00.0")->driver = CW_DRIVER_AF_XDP;
}
static void vf_and_card(void)
{
    rig_add_path("wan1", "0000:03:00.0")->driver = CW_DRIVER_VF;
}
static void parent_and_child(void)
{
    snprintf(rig_card("0000:03:00.1")->physical, CW_PCI_ADDRESS, "0000:03:00.0");
    rig_add_path("wan1", "0000:03:00.1");
}
static void parent_and_kept_child(void)
{
    parent_and_child();
    rig.wish.paths[1].driver = CW_DRIVER_AF_XDP;
}
static void vlan_of_taken(void)
{
    below_vlan();
    rig_add_path("wan1", "");
    snprintf(rig.wish.paths[1].interface, CW_INTERFACE_NAME, "eth1.120");
}
static void too_big(void)
{
    wan0->mtu = 9600;
    rig_interface("eth1")->mtu_max = 9000;
}
static void af_xdp_on(const char *name, const char *kind, uint32_t mtu)
{
    add_on(name, kind, "eth2")->queues = 1;
    wan0->card[0] = 0;
    snprintf(wan0->interface, CW_INTERFACE_NAME, "%s", name);
    wan0->driver = CW_DRIVER_AF_XDP;
    wan0->mtu = mtu;
}
static void vlan_too_big(void)
{
    af_xdp_on("eth2.5", "vlan", 2000);
}
static void macvlan_too_big(void)
{
    af_xdp_on("mv0", "macvlan", 2000);
}
static void vlan_fits(void)
{
    af_xdp_on("eth2.5", "vlan", 2000);
    rig_interface("eth2")->mtu = 2000;
}
static void vlan_has_it(void) /* by itself, as its kernel lets it */
{
    af_xdp_on("eth2.5", "vlan", 2000);
    rig_interface("eth2.5")->mtu = 2000;
}
static void vlan_after_lower(void)
{
    struct cw_wish_path *path = rig_add_path("wan1", "");
    rig_add_interface("eth2.5", "", "vlan")->lower_count = 1;
    snprintf(rig_interface("eth2.5")->lower[0], CW_INTERFACE_NAME, "eth2");
    snprintf(path->interface, CW_INTERFACE_NAME, "eth2.5");
    snprintf(wan0->card, CW_PCI_ADDRESS, "0000:03:00.1");
    path->driver = wan0->driver = CW_DRIVER_AF_XDP;
    path->mtu = wan0->mtu = 2000;
}
static void address_of_kernel(void)
{
    snprintf(wan0->addresses[0], CW_ADDRESS_TEXT, "192.0.2.2/30");
    wan0->address_count = 1;
}
static void address_of_none(void)
{
    snprintf(wan0->addresses[0], CW_ADDRESS_TEXT, "192.0.2.20/24");
    wan0->address_count = 1;
}
static void address_of_its_own(void)
{
    address();
    snprintf(wan0->addresses[0], CW_ADDRESS_TEXT, "10.1.0.1/24");
    wan0->address_count = 1;
}
static void af_xdp(void)
{
    login();
    wan0->driver = CW_DRIVER_AF_XDP;
}
static void af_xdp_in_namespace(void)
{
    wan0->driver = CW_DRIVER_AF_XDP;
    in_namespace();
}
static void af_xdp_of_bond(void)
{
    wan0->driver = CW_DRIVER_AF_XDP;
    member_of_bond();
}
static void af_xdp_program(void)
{
    af_xdp();
    rig_interface("eth0")->has_program = true;
}
static void af_xdp_program_ours(void)
{
    af_xdp_program();
    snprintf(rig.facts.files[0].path, CW_FACT_PATH, "/run/causeway/nic/wan0.yaml");
    rig.facts.file_count = 1;
}
static void af_xdp_receive_queues(void)
{
    af_xdp();
    rig_interface("eth0")->rx_queues = 4;
}
static void af_xdp_both_queues(void)
{
    af_xdp();
    rig_interface("eth0")->queues = 1;
    rig_interface("eth0")->rx_queues = 1;
}
static void af_xdp_one_receive_queue(void)
{
    af_xdp();
    rig_interface("eth0")->rx_queues = 1;
}
static void af_xdp_doubted_queues(void)
{
    af_xdp();
    rig.facts.doubts[rig.facts.doubt_count++] =
        (struct cw_doubt_fact){"answers/ethtool.json: eth0", "says 4000000000 queues: not believed"};
}
static void af_xdp_address(void)
{
    af_xdp();
    snprintf(wan0->addresses[0], CW_ADDRESS_TEXT, "192.0.2.2/24");
    snprintf(wan0->addresses[1], CW_ADDRESS_TEXT, "192.0.2.3/24");
    snprintf(wan0->addresses[2], CW_ADDRESS_TEXT, "192.0.2.2");
    wan0->address_count = 3;
}
static void doubted(void)
{
    rig.facts.doubts[rig.facts.doubt_count++] = (struct cw_doubt_fact){
        "/sys/bus/pci/devices/0000:03:00.0/numa_node", "says 99, and there are 2 nodes: not believed"};
    rig.facts.doubts[rig.facts.doubt_count++] =
        (struct cw_doubt_fact){"/sys/bus/pci/devices/0000:03:00.1/numa_node", "says 98: not believed"};
}
static void slow_slot(void)
{
    rig_interface("eth1")->speed_mbps = 100000;
    rig_card("0000:03:00.0")->link_mts = 8000;
    rig_card("0000:03:00.0")->link_lanes = 8;
}
static void old_slot(void)
{
    rig_card("0000:03:00.0")->link_mts = 5000;
    rig_card("0000:03:00.0")->link_lanes = 8;
}
static void unread(void)
{
    rig.facts.is_root = false;
    for (int i = 0; i < 10; i++)
        rig.facts.unread[rig.facts.unread_count++] =
            (struct cw_doubt_fact){"/proc/irq/1/smp_affinity_list", "needs root: where interrupts go"};
}

#define NOIOMMU "write /sys/module/vfio/parameters/enable_unsafe_noiommu_mode = Y\n"
#define FREED   "take another card; or say driver: af_xdp, which shares it with the kernel; or free it"
static void given_by_hand_and_open(void)
{
    struct cw_card_fact *card = rig_card("0000:03:00.0");
    snprintf(card->driver, sizeof card->driver, "vfio-pci");
    snprintf(card->user, sizeof card->user, "qemu-system-x86, process 4711, has it open");
    rig.facts.interfaces[1] = rig.facts.interfaces[--rig.facts.interface_count];
    rig.facts.is_vfio_pci_loaded = true;
}
static void given_by_us_and_open(void) /* our own engine runs */
{
    given_by_hand_and_open();
    snprintf(wan0->given, sizeof wan0->given, "0000:03:00.0");
}

/* As a boot finds it. */
static void away_by_address(void)
{
    snprintf(wan0->card, sizeof wan0->card, "0000:07:00.0");
    snprintf(wan0->given, sizeof wan0->given, "0000:07:00.0");
}
static void away_by_interface(void) /* whose name another has now */
{
    wan0->card[0] = 0;
    snprintf(wan0->interface, sizeof wan0->interface, "eth1");
    snprintf(wan0->given, sizeof wan0->given, "0000:07:00.0");
}

static const struct row {
    void (*change)(void);
    const char *force; /* one name; NULL: none */
    const char *steps, *refusals, *warnings;
} rows[] = {
    {nothing, NULL, TAKEN WAN0},
    {given_by_hand_and_open, NULL, "",
     "wan0: 0000:03:00.0 has been given to vfio-pci by somebody else, and is in use: qemu-system-x86, process 4711, has it "
     "open | stop that process first"},
    {given_by_hand_and_open, "0000:03:00.0", "", "is in use: qemu-system-x86, process 4711"},
    {given_by_us_and_open, NULL, WAN0},
    {away_by_address, NULL, "",
     "wan0: it had the card 0000:07:00.0, which is not there now | put it back into its slot: the next boot prepares it again, "
     "or causeway nic apply --yes of the same wish; or causeway-nic revert --yes"},
    {away_by_interface, NULL, "", "wan0: it had the card 0000:07:00.0, which is not there now | put it back"},
    {default_route, NULL, "", "wan0: eth1 is in use, or may be: it has the default route | " FREED},
    {default_route, "eth1", TAKEN WAN0, NULL,
     "path wan0: forced: eth1 is taken, although it has the default route\n"},
    {default_route, "0000:03:00.0", TAKEN WAN0, NULL, "forced: eth1 is taken"},
    {default_route, "eth2", "", "say force: [eth1], and lose what is said until revert\n"},
    {login, NULL, "",
     "eth0 is in use, or may be: anna is logged in over it, from 198.51.100.7; it has the default route; it has the "
     "address 192.0.2.2/24 | " FREED},
    {login, "eth0", "give-up eth0\nbind 0000:00:03.0 = vfio-pci (eth0)\n" WAN0, NULL,
     "forced: eth0 is taken, although anna is logged in"},
    {login_of_nobody, NULL, "", "somebody is logged in over it"},
    {address, NULL, "", "it has the address 10.1.0.1/24 | "},
    {addresses, NULL, "", "it has the addresses 10.1.0.1/24, 10.1.0.2/24, 2001:db8::1/64 and 1 more | "},
    {member_of_bond, NULL, "", "eth1 is in use, or may be: it is part of bond0 | "},
    {member_of_bond, "eth1", TAKEN WAN0, NULL, "wan0: eth1 comes back to bond0 as its last port: "},
    {member_of_bridge, "eth1", TAKEN WAN0, NULL,
     "wan0: eth1 comes back to br0 as a new port: what is set of the port there (cost, "},
    {member_of_team, "eth1", TAKEN WAN0, NULL, "wan0: eth1 comes back to team0 as its last port: "},
    {member_of_switch, "eth1", "",
     "wan0: eth1 is a port of Open vSwitch, and could not be put back there | take another card; or take it out first: "
     "ovs-vsctl del-port eth1\n",
     "forced: eth1 is taken, although it is part of ovs-system"},
    {member_of_vrf, "eth1", TAKEN WAN0, NULL, "forced: eth1 is taken, although it is part of red\n"},
    {below_vlan, NULL, "", "eth1 is in use, or may be: eth1.120 (vlan) stands on it | "},
    {bifurcated_member_of_bond, NULL, "", "eth4 is in use, or may be: it is part of bond0 | "},
    {bifurcated_member_of_bond, "eth4", "give-up eth4\n" WAN0, NULL,
     "forced: eth4 is taken, although it is part of bond0\n"},
    {bifurcated_below_vlan, "eth4", "give-up eth4\n" WAN0, NULL, "eth4.120 (vlan) stands on it"},
    {bifurcated_below_vlan_prepared, "eth4", WAN0, NULL, "eth4.120 (vlan) stands on it"},
    {with_routes, NULL, "",
     "eth1 is in use, or may be: it has the route 10.99.0.0/16 table 77 scope link | "},
    {with_two_routes, NULL, "", "scope link and 1 more | "},
    {with_more, NULL, "",
     "eth1 is in use, or may be: it has more addresses or routes than were looked at | "},
    {with_program, NULL, "", "eth1 is in use, or may be: somebody has an XDP program at it | "},
    {below_vlan, "eth1", TAKEN WAN0, NULL, "eth1.120 (vlan) stands on it"},
    {below_vlan_elsewhere, NULL, "",
     "eth1 is in use, or may be: eth1.120 (vlan) stands on it, in the network namespace tenant | "},
    {below_vlan_elsewhere, "eth1", "",
     "eth1.120 (vlan) stands on eth1, is in the network namespace tenant, and could not be given back there | take "
     "another card; or take it away: ip -n tenant link del dev eth1.120; or move it here: ip -n tenant link set dev "
     "eth1.120 netns 1\n",
     "forced: eth1 is taken, although eth1.120 (vlan) stands on it, in the network namespace tenant\n"},
    {below_macvlan, "eth1", "",
     "wan0: mv0 (macvlan) stands on eth1, and could not be put back | take another card; or take it away first: ip link "
     "del dev mv0\n",
     "forced: eth1 is taken, although mv0 (macvlan) stands on it"},
    {below_two_vlans, "eth1", "", "wan0: inner (vlan) stands on eth1.120, and could not be put back | ",
     "forced"},
    {below_vlan_of_bridge, "eth1", TAKEN WAN0, NULL, "wan0: eth1.120 comes back to br0 as a new port: "},
    {below_two_vlans_elsewhere, "eth1", "",
     "inner (vlan) stands on eth1.120, is in the network namespace tenant, and could not be given back there",
     "forced"},
    {encapsulated, "eth1", "",
     "wan0: eth1 has a route with an encapsulation, which could not be put back | take another card; or remove it first: "
     "ip route show table all dev eth1, ip route del\n"},
    {vlan_encapsulated, "eth1", "", "wan0: eth1.120 has a route with an attribute, which", "forced"},
    {group_below_macvlan, "group 14", "", "mv0 (macvlan) stands on eth2, and could not be put back",
     "forced"},
    {bifurcated_below_macvlan, "eth4", "", "mv0 (macvlan) stands on eth4, and could not be put back",
     "forced"},
    {bifurcated_below_macvlan_prepared, "eth4", WAN0, NULL, "mv0 (macvlan) stands on it"},
    {in_namespace, NULL, "",
     "eth1 is in the network namespace tenant, and could not be given back there | move it here first: ip -n tenant link "
     "set dev eth1 netns 1\n"},
    {in_namespace, "eth1", "", "in the network namespace tenant"},
    {in_container, "0000:03:00.0", "",
     "0000:03:00.0 is driven by ice and has no interface here: another network namespace"},
    {unknown_use, NULL, "", "could not be found out"},
    {unknown_use, "eth1", TAKEN WAN0, NULL, "forced"},
    {no_interfaces, "0000:03:00.0", "", "which interfaces 0000:03:00.0 has could not be found out"},
    {only_one, NULL, "", "this machine has no other | "},
    {only_one, "eth1", TAKEN WAN0, NULL, "although this machine has no other\n"},
    {another_of_no_card, NULL, TAKEN WAN0},
    {only_two, NULL, "", "wan1: eth2 is in use, or may be: this machine has no other"},
    {functions, NULL, "", "0000:03:00.0 has 4 virtual functions, which would go with it | say driver: vf"},
    {functions_unknown, NULL, "",
     "whether 0000:03:00.0 has virtual functions, which would go with it, is not known (sriov_numvfs) | find out"},
    {functions_unknown, "eth1", TAKEN WAN0, NULL,
     "the virtual functions of 0000:03:00.0 go with it, if it has some, whoever has them"},
    {functions, "eth1", TAKEN WAN0, NULL,
     "the 4 virtual functions of 0000:03:00.0 go with it, whoever has them"},
    {group_not_seen, NULL, "",
     "who shares IOMMU group 14 with 0000:03:00.0, and what that is used for, could not be found out wholly | "},
    {group_not_seen, "eth1", "",
     "if you know that nobody uses what is in the group, say force: [group 14]\n"},
    {group_not_seen, "group 14", TAKEN WAN0, NULL,
     "forced: 0000:03:00.0 is taken, although not all that shares IOMMU group 14 with it could be found out"},
    {group_with_disk, NULL, "",
     "0000:03:00.0 shares IOMMU group 14 with 0000:02:00.0 (disk nvme0n1, mounted at /; driver nvme), and a group is "
     "given as a whole | put the card into another slot"},
    {group_with_disk, "group 14", "",
     "0000:02:00.0 (disk nvme0n1, mounted at /; driver nvme) is in the same IOMMU group, and what is on the disk would be "
     "lost"},
    {group_with_idle_disk, NULL, "", "shares IOMMU group 14 with 0000:02:00.0 (disk nvme0n1; driver nvme)"},
    {group_with_idle_disk, "group 14", "bind 0000:02:00.0 = vfio-pci\n" TAKEN WAN0, NULL,
     "forced: 0000:02:00.0 (disk nvme0n1; driver nvme) is taken from the kernel"},
    {group_with_disk, "group 15", "", "shares IOMMU group 14"},
    {group_with_card, NULL, "", "shares IOMMU group 14 with 0000:03:00.1 (ice)"},
    {group_with_card, "group 14", "give-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\n" TAKEN WAN0, NULL,
     "0000:03:00.1 (ice) is taken"},
    {group_with_login, "group 14", "", "wan0: eth0 is in use, or may be: anna is logged in over it",
     "forced: 0000:00:03.0 (igb) is taken"},
    {group_with_login_forced, "group 14", "give-up eth0\nbind 0000:00:03.0 = vfio-pci (eth0)\n" TAKEN WAN0,
     NULL, "forced: eth0 is taken, although"},
    {group_with_other_path, "group 14", "file /run/causeway/nic/wan1.yaml\n",
     "wan0: 0000:03:00.1 is in the same IOMMU group, and the path wan1 needs it as it is"},
    {group_both_wanted, NULL,
     TAKEN "give-up eth2\nbind 0000:03:00.1 = vfio-pci (eth2)\n" WAN0 "file /run/causeway/nic/wan1.yaml\n"},
    {group_idle, NULL, TAKEN WAN0},
    {group_of_uio, NULL, "",
     "shares IOMMU group 14 with 0000:02:00.0 (uio_pci_generic), and a group is given as a"},
    {group_of_igb_uio, NULL, "",
     "shares IOMMU group 14 with 0000:02:00.0 (igb_uio), and a group is given as a whole"},
    {group_of_uio, "group 14", "bind 0000:02:00.0 = vfio-pci\n" TAKEN WAN0, NULL,
     "forced: 0000:02:00.0 (uio_pci_generic) is taken"},
    {group_of_noiommu, NULL, NOIOMMU TAKEN WAN0, NULL, "may read and write all memory"},
    {same_card, NULL, TAKEN WAN0,
     "wan1: 0000:03:00.0 (eth1) is the path wan0's already | name another card; or say driver: vf in both"},
    {same_interface, NULL, WAN0, "wan1: 0000:03:00.0 (eth1) is the path wan0's already"},
    {vf_and_card, NULL, TAKEN WAN0, "wan1: 0000:03:00.0 (eth1) is the path wan0's already"},
    {parent_and_child, NULL, TAKEN WAN0,
     "wan1: 0000:03:00.1 (eth2) and 0000:03:00.0 (eth1) of the path wan0 belong together"},
    {parent_and_kept_child, NULL, TAKEN WAN0,
     "wan1: 0000:03:00.1 (eth2) and 0000:03:00.0 (eth1) of the path wan0 belong"},
    {vlan_of_taken, "eth1", TAKEN WAN0, "wan1: eth1.120 and 0000:03:00.0 (eth1) of the path wan0 belong",
     "forced"},
    {too_big, NULL, "", "mtu 9600 is impossible: eth1 takes 9000 at most | say mtu: 9000"},
    {vlan_too_big, NULL, "",
     "wan0: mtu 2000 is impossible: eth2.5 stands on eth2, which has 1500 | ip link set dev eth2 mtu 2000 first; or say "
     "mtu: 1500 in this path"},
    {macvlan_too_big, NULL, "", "wan0: mtu 2000 is impossible: mv0 stands on eth2, which has 1500"},
    {vlan_fits, NULL, "mtu eth2.5 = 2000\n" WAN0},
    {vlan_has_it, NULL, WAN0},
    {vlan_after_lower, NULL,
     "mtu eth2 = 2000\nmtu eth2.5 = 2000\n" WAN0 "file /run/causeway/nic/wan1.yaml\n"},
    {address_of_kernel, NULL, "",
     "the address 192.0.2.2/24 is the kernel's already, at eth0: both would answer for it"},
    {address_of_none, NULL, TAKEN WAN0},
    {address_of_its_own, "eth1", TAKEN WAN0, NULL, "forced"},
    {af_xdp, NULL, WAN0},
    {af_xdp_in_namespace, "eth1", "", "eth1 is in the network namespace tenant, and the engine is not"},
    {af_xdp_of_bond, NULL, "", "eth1 is part of bond0, and has no addresses of its own"},
    {af_xdp_of_bond, "eth1", WAN0, NULL, "forced: eth1 is shared, although it is part of bond0"},
    {af_xdp_program, "eth0", "",
     "eth0 has an XDP program already, and has room for one | if nobody needs it: ip link set dev eth0 xdp off"},
    {af_xdp_program_ours, NULL, WAN0},
    {af_xdp_receive_queues, NULL, "",
     "eth0 counts queues to receive apart (it has 4), and the engine's port wants one in all | ethtool -L eth0 rx 1\n"},
    {af_xdp_both_queues, NULL, "", "| ethtool -L eth0 rx 0\n"},
    {af_xdp_one_receive_queue, NULL, WAN0},
    {af_xdp_doubted_queues, NULL, "", "how many queues eth0 has is not known, and one is needed",
     "says 4000000000 queues: not believed"},
    {af_xdp_doubted_queues, "eth0", WAN0, NULL, "forced: how many queues eth0 has is not known"},
    {af_xdp_address, NULL, WAN0, NULL,
     "eth0 is the kernel's, and has not the address 192.0.2.3/24: ip addr add 192.0.2.3/24 dev eth0\n"},
    {doubted, NULL, TAKEN WAN0, NULL,
     "path wan0: /sys/bus/pci/devices/0000:03:00.0/numa_node says 99, and there are 2 nodes: not believed\n"},
    {slow_slot, NULL, TAKEN WAN0, NULL,
     "0000:03:00.0 sits on 8 lanes of PCI Express, which carry 63008 Mb/s in all, and its port 100000"},
    {old_slot, NULL, TAKEN WAN0},
    {unread, NULL, TAKEN WAN0, NULL, "2 more could not be read"},
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
        rig.facts.is_vfio_loaded = rig.facts.is_vfio_pci_loaded = true;
        rows[i].change();
        if (rows[i].force != NULL)
            rig_force(rows[i].force);
        rig_plan();
        if (strcmp(rig_steps(), rows[i].steps) != 0)
            fail_msg("row %zu: steps are\n%s\nand not\n%s", i, rig.text, rows[i].steps);
        hold(i, "refusals", rig_refusals(), rows[i].refusals);
        hold(i, "warnings", rig_warnings(), rows[i].warnings);
    }
}

/* Every refusal says what to do. */
static void test_remedies(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        rig_begin();
        rows[i].change();
        rig_plan();
        for (uint32_t r = 0; r < rig.plan.refusal_count; r++)
            assert_true(rig.plan.refusals[r].remedy[0] != 0);
    }
}

/* Of an interface that wish and facts are full of: what does not fit is left out, and it stays refused. */
static void test_many(void **state)
{
    rig_begin();
    for (int i = 0; i < 200; i++)
        rig_add_member(14, "0000:02:00.0", "nvme", "disk", false);
    rig_plan();
    assert_int_equal(rig.plan.refusal_count, CW_REFUSALS_MAX);
    assert_int_equal(rig.plan.step_count, 0);
    assert_int_equal(rig.plan.prepared_count, 0);
    rig_force("group 14");
    for (uint32_t i = 0; i < 200; i++)
        snprintf(rig.facts.members[i].address, CW_PCI_ADDRESS, "0000:02:%02x.%x", i / 8, i % 8);
    rig_plan();
    assert_true(rig.plan.is_cut);
    assert_int_equal(rig.plan.step_count, CW_STEPS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_remedies),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
