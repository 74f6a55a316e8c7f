/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine with a little of all: two cores of two threads and two nodes; a card of Intel with an interface, one of Mellanox with
 * one in another namespace, one of virtio, and a virtual function that a guest has; a disk that shares a group.
 */
#pragma once

#include "tree.h"

static const struct {
    const char *path, *text;
} small_files[] = {
    {"/proc/sys/kernel/osrelease", "6.1.0-test\n"},
    {"/proc/cmdline", "root=/dev/sda1 isolcpus=2-3\n"},
    {"/proc/meminfo", "MemTotal:       16000000 kB\nHugepagesize:       2048 kB\n"},
    {"/proc/mounts", "/dev/mapper/vg-root / ext4 rw 0 0\n"
                     "hugetlbfs /dev/hugepages hugetlbfs rw,relatime 0 0\n"
                     "hugetlbfs /mnt/huge\\040one hugetlbfs rw,pagesize=1024M 0 0\n"},
    {"/proc/swaps", "Filename Type Size Used Priority\n/dev/sda3 partition 1000 0 -2\n"},
    {"/proc/self/status", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCpus_allowed_list:\t0-2\n"},
    {"/proc/77/comm", "irqbalance\n"},
    {"/lib/modules/6.1.0-test/modules.dep",
     "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n"},
    {"/lib/modules/6.1.0-test/modules.builtin", "kernel/drivers/uio/uio_pci_generic.ko\n"},
    {"/boot/config-6.1.0-test", "CONFIG_VFIO=m\nCONFIG_VFIO_NOIOMMU=y\n"},
    {"/usr/share/misc/pci.ids", "8086  Intel Corporation\n\t1592  Ethernet Controller E810-C\n"},
    {"/sys/devices/system/cpu/online", "0-3\n"},
    {"/sys/devices/system/cpu/isolated", "2\n"},
    {"/sys/fs/cgroup/cpuset.cpus.isolated", "3\n"},
    {"/sys/devices/system/cpu/nohz_full", "(null)\n"},
    {"/sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"},
    {"/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"},
    {"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"},
    {"/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3900000\n"},
    {"/sys/devices/system/cpu/cpu0/cpu_capacity", "1024\n"},
    {"/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"},
    {"/sys/devices/system/cpu/cpu1/cpu_capacity", "500\n"},
    {"/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"},
    {"/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"},
    {"/sys/devices/system/node/node0/cpulist", "0,2\n"},
    {"/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       8192000 kB\n"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "512\n"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "500\n"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages", "0\n"},
    {"/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages", "0\n"},
    {"/sys/devices/system/node/node1/cpulist", "1,3\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/class", "0x020000\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/device", "0x1592\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/subsystem_vendor", "0x8086\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/subsystem_device", "0x0002\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/numa_node", "1\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/driver_override", "(null)\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/sriov_totalvfs", "128\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/sriov_numvfs", "1\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/sriov_offset", "8\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/sriov_stride", "1\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/current_link_speed", "16.0 GT/s PCIe\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/current_link_width", "16\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/msi_irqs/100", "msix\n"},
    {"/sys/bus/pci/devices/0000:03:00.0/msi_irqs/99", "msix\n"},
    {"/proc/irq/99/smp_affinity_list", "0-1\n"},
    {"/sys/bus/pci/devices/0000:03:01.0/class", "0x020000\n"},
    {"/sys/bus/pci/devices/0000:03:01.0/driver_override", "vfio-pci\n"},
    {"/sys/bus/pci/devices/0000:04:00.0/class", "0x020000\n"},
    {"/sys/bus/pci/devices/0000:04:00.0/vendor", "0x15b3\n"},
    {"/sys/bus/pci/devices/0000:04:00.0/device", "0x1017\n"},
    {"/sys/bus/pci/devices/0000:04:00.0/numa_node", "-1\n"},
    {"/sys/bus/pci/devices/0000:05:00.0/class", "0x020000\n"},
    {"/sys/bus/pci/devices/0000:05:00.0/vendor", "0x1af4\n"},
    {"/sys/bus/pci/devices/0000:05:00.0/device", "0x1041\n"},
    {"/sys/bus/pci/devices/0000:06:00.0/class", "0x010601\n"},
    {"/sys/bus/pci/devices/0000:00:01.0/class", "0x060400\n"},
    {"/sys/bus/vmbus/devices/000d3a11-2233-000d-3a11-2233000d3a11/class_id",
     "{f8615163-df3e-46c5-913f-f2d2f965ed0e}\n"},
    {"/sys/devices/virtual/block/dm-0/dm/name", "vg-root\n"},
    {"/sys/devices/pci0000:00/0000:00:01.0/0000:06:00.0/ata1/block/sda/sda2/holders/dm-0", ""},
    {"/answers/ip-link.json",
     "[{\"ifname\":\"lo\",\"flags\":[\"LOOPBACK\",\"UP\",\"LOWER_UP\"],\"mtu\":65536,\"link_type\":\"loopback\"},"
     "{\"ifname\":\"ens1\",\"flags\":[\"UP\",\"LOWER_UP\"],\"mtu\":1500,\"max_mtu\":9702,\"link_type\":\"ether\","
     "\"address\":\"02:00:00:00:00:01\",\"parentbus\":\"pci\",\"parentdev\":\"0000:03:00.0\",\"master\":\"bond0\"},"
     "{\"ifname\":\"eth5\",\"flags\":[],\"mtu\":1500,\"link_type\":\"ether\",\"address\":\"02:00:00:00:00:05\","
     "\"parentbus\":\"virtio\",\"parentdev\":\"virtio2\"},"
     "{\"ifname\":\"bond0\",\"flags\":[\"UP\",\"LOWER_UP\"],\"mtu\":1500,\"link_type\":\"ether\","
     "\"address\":\"02:00:00:00:00:01\",\"linkinfo\":{\"info_kind\":\"bond\"},\"xdp\":{\"mode\":1}},"
     "{\"ifname\":\"bond0.7\",\"link\":\"bond0\",\"flags\":[\"UP\"],\"mtu\":1500,\"link_type\":\"ether\","
     "\"address\":\"02:00:00:00:00:01\",\"linkinfo\":{\"info_kind\":\"vlan\",\"info_data\":{\"id\":7}}},"
     "{\"ifname\":\"veth0\",\"link\":\"ens1\",\"flags\":[],\"mtu\":1500,\"link_type\":\"ether\","
     "\"address\":\"02:00:00:00:00:09\",\"linkinfo\":{\"info_kind\":\"veth\"}}]"},
    {"/answers/ip-address.json",
     "[{\"ifname\":\"bond0\",\"addr_info\":[{\"local\":\"192.0.2.2\",\"prefixlen\":24},"
     "{\"local\":\"fe80::1\",\"prefixlen\":64}]}]"},
    {"/answers/ip-route4.json",
     "[{\"dst\":\"default\",\"gateway\":\"192.0.2.1\",\"dev\":\"bond0\",\"protocol\":\"dhcp\",\"metric\":100},"
     "{\"dst\":\"default\",\"gateway\":\"10.0.0.1\",\"dev\":\"eth5\",\"table\":\"1001\",\"flags\":[\"onlink\"]},"
     "{\"dst\":\"192.0.2.0/24\",\"dev\":\"bond0\",\"protocol\":\"kernel\",\"scope\":\"link\","
     "\"prefsrc\":\"192.0.2.2\"},"
     "{\"dst\":\"10.9.0.0/16\",\"nexthops\":[{\"gateway\":\"192.0.2.9\",\"dev\":\"bond0\"},"
     "{\"via\":{\"family\":\"inet6\",\"host\":\"fe80::9\"},\"dev\":\"bond0.7\",\"encap\":\"ip\"}]},"
     "{\"type\":\"local\",\"dst\":\"192.0.2.2\",\"dev\":\"bond0\",\"table\":\"local\"},"
     "{\"type\":\"local\",\"dst\":\"192.0.2.7\",\"dev\":\"ens1\",\"table\":\"local\",\"protocol\":\"kernel\",\"nhid\":8},"
     "{\"type\":\"anycast\",\"dst\":\"192.0.2.8\",\"dev\":\"eth5\",\"table\":\"local\",\"nhid\":7}]"},
    {"/answers/ip-route6.json", "[]"},
    {"/answers/ip-netns.json", "[{\"name\":\"blue\"}]"},
    {"/answers/netns-blue-ip-link.json",
     "[{\"ifname\":\"lo\",\"flags\":[\"LOOPBACK\"]},{\"ifname\":\"mlx0\",\"flags\":[\"UP\"],\"link_type\":\"ether\","
     "\"address\":\"02:00:00:00:00:04\",\"parentbus\":\"pci\",\"parentdev\":\"0000:04:00.0\"}]"},
    {"/answers/ethtool.json", "{\"ens1\":{\"queues\":8,\"queues_max\":16,\"speed\":100000},"
                              "\"eth5\":{\"queues\":1,\"queues_max\":1,\"speed\":4294967295}}"},
    {"/answers/pmds.json",
     "[{\"name\":\"net_ice\",\"kmod\":\"* igb_uio | vfio-pci\",\"pci_ids\":[[32902,5522,65535,65535]]},"
     "{\"name\":\"mlx5_eth\",\"kmod\":\"* ib_uverbs & mlx5_core & mlx5_ib\",\"pci_ids\":[[5555,4119,65535,65535]]},"
     "{\"name\":\"net_netvsc\",\"kmod\":\"* uio_hv_generic\",\"pci_ids\":[]}]"},
    {"/answers/logins.json", "[{\"who\":\"alice\",\"from\":\"198.51.100.7\",\"local\":\"192.0.2.2\"}]"},
};

static const struct {
    const char *path, *target;
} small_links[] = {
    {"/sys/bus/pci/devices/0000:03:00.0/driver", "../../../bus/pci/drivers/ice"},
    {"/sys/bus/pci/devices/0000:03:00.0/iommu_group", "../../../kernel/iommu_groups/14"},
    {"/sys/bus/pci/devices/0000:03:01.0/driver", "../../../bus/pci/drivers/vfio-pci"},
    {"/sys/bus/pci/devices/0000:03:01.0/physfn", "../0000:03:00.0"},
    {"/sys/bus/pci/devices/0000:04:00.0/driver", "../../../bus/pci/drivers/mlx5_core"},
    {"/sys/bus/pci/devices/0000:05:00.0/driver", "../../../bus/pci/drivers/virtio-pci"},
    {"/sys/bus/pci/devices/0000:06:00.0/driver", "../../../bus/pci/drivers/ahci"},
    {"/sys/bus/vmbus/devices/000d3a11-2233-000d-3a11-2233000d3a11/driver", "../../drivers/hv_netvsc"},
    {"/sys/bus/virtio/devices/virtio2", "../../../devices/pci0000:00/0000:05:00.0/virtio2"},
    {"/sys/kernel/iommu_groups/14/devices/0000:03:00.0", "../x"},
    {"/sys/kernel/iommu_groups/14/devices/0000:06:00.0", "../x"},
    {"/sys/kernel/iommu_groups/14/devices/0000:00:01.0", "../x"},
    {"/sys/class/iommu/dmar0", "../x"},
    {"/sys/class/block/dm-0", "../../devices/virtual/block/dm-0"},
    {"/sys/class/block/sda", "../../devices/pci0000:00/0000:00:01.0/0000:06:00.0/ata1/block/sda"},
    {"/sys/class/block/sda2", "../../devices/pci0000:00/0000:00:01.0/0000:06:00.0/ata1/block/sda/sda2"},
    {"/sys/class/block/sda3", "../../devices/pci0000:00/0000:00:01.0/0000:06:00.0/ata1/block/sda/sda3"},
};

static inline void small_machine(struct cw_machine *tree)
{
    tree_begin(tree);
    for (size_t i = 0; i < sizeof small_files / sizeof small_files[0]; i++)
        tree_put(tree, small_files[i].path, small_files[i].text);
    for (size_t i = 0; i < sizeof small_links / sizeof small_links[0]; i++)
        tree_link(tree, small_links[i].path, small_links[i].target);
}
