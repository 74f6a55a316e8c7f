/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of a machine: filled by the probe, read by show and plan, which know nothing else of it.
 * Plain arrays with fixed limits, no pointers; a few MiB, so never on a stack. Words are as the kernel has
 * them. What is not known is "" or CW_FACT_UNKNOWN; what was read and cannot be true stands in doubts, and is then
 * unknown.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_FACT_UNKNOWN   (-1)
#define CW_CPUS_MAX       512u
#define CW_NODES_MAX      8u
#define CW_CARDS_MAX      64u
#define CW_INTERFACES_MAX 256u
#define CW_ADDRESSES_MAX  16u
#define CW_ROUTES_MAX     32u
#define CW_MEMBERS_MAX    256u /* devices that share an IOMMU group with a card */
#define CW_PAGE_SIZES_MAX 4u
#define CW_CARD_IRQS_MAX  256u
#define CW_LOGINS_MAX     32u
#define CW_MOUNTS_MAX     8u
#define CW_DOUBTS_MAX     64u
#define CW_INTERFACE_NAME 16u
#define CW_FACT_LOST      64u
#define CW_SPACE_NAME     256u /* a file in /run/netns: "cni-", "qdhcp-" and a UUID have 40 and more */
#define CW_PCI_ADDRESS    40u  /* "0000:03:00.0"; of a VMBus device its name there, 36 characters */
#define CW_DRIVER_NAME    40u
#define CW_FACT_PATH      192u
#define CW_FACT_WORDS     256u
#define CW_ADDRESS_TEXT   52u /* "2001:db8::1/64" */
#define CW_LOWER_MAX      8u
#define CW_FILES_MAX      16u
#define CW_FILE_BYTES     2048u

struct cw_cpu_set {
    uint64_t words[CW_CPUS_MAX / 64];
};

static inline bool cw_cpu_set_has(const struct cw_cpu_set *set, uint32_t cpu)
{
    return cpu < CW_CPUS_MAX && (set->words[cpu / 64] >> cpu % 64 & 1) != 0;
}

static inline void cw_cpu_set_add(struct cw_cpu_set *set, uint32_t cpu)
{
    if (cpu < CW_CPUS_MAX)
        set->words[cpu / 64] |= 1ull << cpu % 64;
}

/* "2-3,8", as the kernel writes lists; cut where there is no room. All have room in CW_CPUS_TEXT: a CPU adds three digits
 * and what is between two of them, at most. */
#define CW_CPUS_TEXT (4 * CW_CPUS_MAX)
static_assert(CW_CPUS_MAX <= 1000, "a number of three digits");
void cw_cpu_set_text(const struct cw_cpu_set *set, char *text, size_t size);

struct cw_cpu_fact {
    uint32_t id;
    int32_t node, package, core; /* core: the lowest CPU of it; siblings of one core have the same */
    bool is_online;
    bool is_isolated;  /* isolcpus=, or a cpuset partition that is isolated */
    bool is_tickless;  /* nohz_full= */
    bool is_efficient; /* the slower kind of a processor with two kinds of cores */
    bool may_be_used;  /* this process's own cpuset has it */
    int64_t khz_max;   /* of cpufreq */
    char governor
        [24]; /* of cpufreq: "performance", "schedutil"; "" where frequency is not the kernel's to choose */
};

struct cw_page_fact {
    int64_t kib; /* of one page */
    int64_t total, free;
};

struct cw_node_fact {
    int32_t id;
    struct cw_cpu_set cpus;
    int64_t memory_mib;
    struct cw_page_fact pages[CW_PAGE_SIZES_MAX];
    uint32_t page_count;
};

struct cw_address_fact {
    char text[CW_ADDRESS_TEXT]; /* with its prefix */
    bool is_link_local;         /* fe80::, 169.254.: comes by itself, and counts as no use */
};

struct cw_route_fact {
    char text[CW_FACT_WORDS]; /* as `ip route` wants it, without "dev" */
    bool is_default;
    bool is_of_kernel; /* proto kernel: comes and goes with an address */
    uint8_t version;   /* 4 or 6 */
};

struct cw_interface_fact {
    char name[CW_INTERFACE_NAME];
    char card[CW_PCI_ADDRESS]; /* the device below it; "" of a virtual one */
    char kind[16]; /* "" of a card; else as ip link has it: vlan, bond, bridge, veth, macvlan… */
    char master[CW_INTERFACE_NAME]; /* the bond or bridge that it is part of */
    char lower[CW_LOWER_MAX]
              [CW_INTERFACE_NAME]; /* what it stands on in this namespace: of a VLAN, its interface */
    uint32_t lower_count;
    char space[CW_SPACE_NAME]; /* the network namespace that it is in, as ip netns names it; "" this one */
    uint8_t mac[6];
    int32_t vlan; /* of kind vlan */
    int32_t mtu, mtu_max;
    bool is_up, has_carrier;
    bool has_program;                            /* an XDP program is at it */
    int64_t speed_mbps;                          /* of the link; unknown while there is none */
    int32_t queues, queues_max;                  /* combined, as ethtool -l has it */
    int32_t rx_queues, rx_queues_max, tx_queues; /* where receiving and sending are counted apart */
    struct cw_address_fact addresses[CW_ADDRESSES_MAX];
    uint32_t address_count;
    struct cw_route_fact routes[CW_ROUTES_MAX];
    uint32_t route_count;
    bool has_default_route;
    char lost_route
        [CW_FACT_LOST]; /* a route of it could not be put back: what it has, "an encapsulation"; "" */
    bool has_login;     /* somebody is logged in over one of its addresses: facts->logins say who */
    bool is_cut;        /* it has more addresses, routes or lowers than there is room for */
};

enum cw_bus {
    CW_BUS_PCI,
    CW_BUS_VMBUS /* of Hyper-V: netvsc */
};

/* What DPDK drives a card by, as its driver's own description has it (PMD_INFO_STRING in the plug-in). */
enum cw_pmd_kind {
    CW_PMD_NONE,       /* no driver of this DPDK knows the card */
    CW_PMD_USERSPACE,  /* the card is taken from the kernel: vfio-pci, uio_pci_generic */
    CW_PMD_BIFURCATED, /* the kernel's driver stays, and both use it: mlx4, mlx5 */
    CW_PMD_HYPERV,     /* uio_hv_generic */
    CW_PMD_UNKNOWN     /* the descriptions could not be read: unread has why, as of the file "DPDK" */
};

struct cw_card_fact {
    enum cw_bus bus;
    char address[CW_PCI_ADDRESS];
    uint16_t vendor, device, subsystem_vendor, subsystem_device;
    char name[96];                 /* of pci.ids */
    char driver[CW_DRIVER_NAME];   /* the kernel's driver that has it now; "" none */
    char override[CW_DRIVER_NAME]; /* driver_override; "" none */
    char user[CW_FACT_WORDS]; /* who has it open, where no kernel's driver has it; "" nobody, or not known */
    int32_t node;             /* NUMA; unknown where the firmware does not say */
    int32_t iommu_group;
    bool is_noiommu;   /* its group is one of vfio without an IOMMU */
    bool is_group_cut; /* not all that shares its group was looked at, or what that is used for */
    int32_t functions_max, functions; /* SR-IOV: virtual functions it can have, and has; 0 without */
    /* Of the physical function, sriov_offset and sriov_stride: virtual function k is at its routing id (bus * 256 +
     * device * 8 + function) + offset + k * stride. */
    int32_t functions_offset, functions_stride;
    char physical[CW_PCI_ADDRESS]; /* of a virtual function: whose; else "" */
    int64_t link_mts; /* of PCI Express, in MT/s, and lanes: what is slower than the port is warned of */
    int32_t link_lanes;
    uint32_t irqs[CW_CARD_IRQS_MAX];
    struct cw_cpu_set irq_cpus[CW_CARD_IRQS_MAX]; /* smp_affinity_list of each; empty: unknown */
    uint32_t irq_count;
    enum cw_pmd_kind pmd_kind;
    char pmd[CW_DRIVER_NAME]; /* "net_ice" */
    bool
        is_network_driver_gone; /* bound to a kernel driver of networks, and no interface is seen: in another namespace */
};

/* Who shares an IOMMU group with a card, the card itself not; of several cards in one group each is here. */
struct cw_member_fact {
    int32_t group;
    char address[CW_PCI_ADDRESS];
    char driver[CW_DRIVER_NAME];
    uint32_t class_code; /* 0x010802: NVMe */
    char use[64];        /* what it is to somebody: "disk nvme0n1, mounted at /"; "" nothing known */
    bool is_bridge;      /* of PCI: goes with the group, and harms nobody */
};

struct cw_login_fact {
    char who[32];
    char from[CW_ADDRESS_TEXT];        /* the other end */
    char local[CW_ADDRESS_TEXT];       /* our address that it came to */
    char interface[CW_INTERFACE_NAME]; /* "" unknown */
};

struct cw_mount_fact {
    char folder[CW_FACT_PATH];
    int64_t page_kib;
};

struct cw_doubt_fact {
    char file[CW_FACT_PATH];
    char words[CW_FACT_WORDS]; /* "says 99, and there are 2 nodes: not believed" */
};

/* A file that an earlier apply has left: a prepared path, the unit, its link (text: the last part of what it names). */
struct cw_file_fact {
    char path[CW_FACT_PATH];
    char text[CW_FILE_BYTES]; /* cut: it is not as ours would be */
};

struct cw_facts {
    char kernel[80];
    char command_line[1024];
    bool is_root;
    bool has_iommu;             /* devices have groups */
    char iommu[32];             /* "dmar", "AMD-Vi", "smmu3"; "" none */
    bool has_vfio, has_noiommu; /* modules that are loaded, or can be; vfio with its mode without an IOMMU */
    bool is_vfio_loaded;        /* its core: /sys/module/vfio is there, also where it is part of the kernel */
    bool is_vfio_pci_loaded;    /* /sys/bus/pci/drivers/vfio-pci is there */
    bool is_noiommu_on;
    bool has_uio_generic;       /* the module uio_pci_generic is there, loaded or not */
    bool is_uio_generic_loaded; /* /sys/bus/pci/drivers/uio_pci_generic is there */
    bool has_smt;               /* siblings are on */
    bool has_irqbalance;        /* runs, and would move interrupts back */
    bool has_systemd;
    char
        program_doubt[CW_FACT_PATH +
                      128]; /* why causeway-nic may not be started at each boot; "" it may, or is not known */
    struct cw_cpu_fact cpus[CW_CPUS_MAX];
    uint32_t cpu_count;
    struct cw_node_fact nodes[CW_NODES_MAX];
    uint32_t node_count;
    int64_t hugepage_kib;                       /* of the size that is got where none is asked for */
    struct cw_mount_fact mounts[CW_MOUNTS_MAX]; /* of hugetlbfs */
    uint32_t mount_count;
    struct cw_card_fact cards[CW_CARDS_MAX];
    uint32_t card_count;
    struct cw_interface_fact interfaces[CW_INTERFACES_MAX];
    uint32_t interface_count;
    struct cw_member_fact members[CW_MEMBERS_MAX];
    uint32_t member_count;
    /* Addresses, routes and logins were all told, and are believed. Else an interface that seems to be free may be in use, and nobody may
     * count on it. */
    bool is_use_known;
    bool
        lacks_interfaces; /* which there are could not be found out: a card that has none here may have the one of the login */
    struct cw_login_fact logins[CW_LOGINS_MAX];
    uint32_t login_count;
    struct cw_file_fact files[CW_FILES_MAX]; /* cw_probe_files fills them */
    uint32_t file_count;
    struct cw_doubt_fact doubts[CW_DOUBTS_MAX]; /* read, and cannot be true */
    uint32_t doubt_count;
    struct cw_doubt_fact unread[CW_DOUBTS_MAX]; /* could not be read, and what that keeps from being known */
    uint32_t unread_count;
};

/* By name or address, an interface of this network namespace before those of others; NULL: none. */
/* For whom a driver has a card, if not for the kernel; no interface is expected of it then. */
enum cw_driver_use { CW_DRIVER_FOR_KERNEL, CW_DRIVER_FOR_PROGRAMS, CW_DRIVER_FOR_GUESTS };
enum cw_driver_use cw_driver_use(const char *driver);

const struct cw_card_fact *cw_facts_card(const struct cw_facts *facts, const char *address);
const struct cw_interface_fact *cw_facts_interface(const struct cw_facts *facts, const char *name);
const struct cw_node_fact *cw_facts_node(const struct cw_facts *facts, int32_t id);
const struct cw_cpu_fact *cw_facts_cpu(const struct cw_facts *facts, uint32_t id);
const struct cw_file_fact *cw_facts_file(const struct cw_facts *facts, const char *path);

/* What another namespace has under the same name is below nobody that we know of. */
bool cw_facts_stands_on(const struct cw_interface_fact *upper, const struct cw_interface_fact *lower);
