/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is wanted: a YAML file, one for a machine. `wish.example.yaml` has every key.
 *
 *     paths:
 *       - name: wan0                # of the path in the node's configuration that says `device: prepared`
 *         card: 0000:03:00.0        # or interface: eth2, or mac: "52:54:00:00:00:01", or speed: 25G (any free card
 *                                   # whose link is that fast)
 *         driver: auto              # optional: auto, vfio, noiommu, uio, bifurcated, af_xdp, vf
 *         queues: 2                 # optional: 1; one net lcore each
 *         mtu: 9000                 # optional: 1500; of IP
 *         vlan: 120                 # optional
 *         addresses: [10.9.0.1/24]  # optional: what the path will have; checked against what the kernel has
 *         mode: native              # optional, of af_xdp: auto, native, generic; and
 *         copy: auto                # auto, zero, copy
 *     lcores: 3                     # optional: how many are dedicated, or a list of CPUs: [2, 3, 4]
 *     hugepages: 2G                 # optional: 1G; on the nodes of the cards; 0: none
 *     force: [eth2, group 14]       # optional: what may be taken though it is in use, each by its name
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nic-config/facts.h"

#define CW_WISH_PATHS_MAX  8u
#define CW_WISH_FORCE_MAX  16u
#define CW_WISH_FORCE_NAME CW_PCI_ADDRESS
#define CW_WISH_LCORES_MAX 32u
#define CW_WISH_QUEUES_MAX 4u /* as many as a node has net lcores */
#define CW_PATH_NAME       32u
#define CW_WISH_BYTES_MAX  65536u

enum cw_wish_driver {
    CW_DRIVER_AUTO,
    CW_DRIVER_VFIO,
    CW_DRIVER_NOIOMMU,
    CW_DRIVER_UIO, /* uio_pci_generic: as noiommu, with a driver that every kernel has */
    CW_DRIVER_BIFURCATED,
    CW_DRIVER_AF_XDP,
    CW_DRIVER_VF, /* a virtual function is made of the card and given to vfio-pci; the card stays the kernel's */
    CW_DRIVER_COUNT
};
extern const char *const cw_wish_driver_names[CW_DRIVER_COUNT];

enum cw_wish_choice {
    CW_CHOICE_AUTO,
    CW_CHOICE_FIRST,
    CW_CHOICE_SECOND
}; /* mode: native, generic; copy: zero, copy */

struct cw_wish_path {
    char name[CW_PATH_NAME];
    /* one of four, the others empty */
    char card[CW_PCI_ADDRESS];
    char interface[CW_INTERFACE_NAME];
    uint8_t mac[6];
    bool has_mac;
    int64_t speed_mbps; /* 0: not by speed */
    enum cw_wish_driver driver;
    uint32_t queues, mtu, vlan; /* vlan 0: none */
    char addresses[CW_ADDRESSES_MAX][CW_ADDRESS_TEXT];
    uint32_t address_count;
    enum cw_wish_choice mode, copy;
    /* Not of the file, but of the journal: the device that the path has had since an earlier apply ("": none); and that it
     * is left out, and not refused, while its interface is not there yet. */
    char given[CW_PCI_ADDRESS];
    bool may_wait;
};

struct cw_wish {
    struct cw_wish_path paths[CW_WISH_PATHS_MAX];
    uint32_t path_count;
    uint32_t lcores[CW_WISH_LCORES_MAX]; /* chosen by the administrator; none: the plan chooses */
    uint32_t lcore_count;                /* how many, either way */
    bool are_lcores_named;
    int64_t hugepages_mib;
    char force[CW_WISH_FORCE_MAX][CW_WISH_FORCE_NAME]; /* "eth2", "0000:03:00.0", "group 14" */
    uint32_t force_count;
};

/* Reads a wish. false: mistakes has a line "FILE:LINE: KEY is VALUE: expected …" for each, as many as fit, without the
 * end of the last one. Pure: the text is the caller's. Addresses of cards are as the kernel writes them. */
bool cw_wish_read(const char *file, const char *text, size_t length, struct cw_wish *wish, char *mistakes,
                  size_t mistakes_size);
bool cw_wish_has_force(const struct cw_wish *wish, const char *name);
