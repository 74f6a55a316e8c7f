/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control network of a lab with a witness: etcd's members and the controllers speak over it. Every two
 * sites' namespaces are joined by a veth pair of their own; a site has one address, on each of its devices,
 * with the other end's as its peer, so that there is one route between two sites and no other. Neighbours are
 * not asked for, but written down: what one site sends to another is lost, without a word to anybody, once
 * the wrong MAC address is written down for it. So each direction can be cut alone.
 *
 * Without namespaces: addresses of the loopback, made up of the lab's tag, which nothing can cut.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/numbers.h"
#include "control/lab.h"

#define RUN(...) cw_lab_run((const char *const[]){__VA_ARGS__, NULL}, false)

#define NOBODY "02:cb:00:00:ff:ff"

void cw_lab_control_ip(const struct cw_lab *lab, uint32_t site, char *text, size_t size)
{
    unsigned tag = (unsigned)strtoul(lab->tag, NULL, 16);
    if (lab->has_spaces)
        snprintf(text, size, "10.78.0.%u", site + 1);
    else
        snprintf(text, size, "127.%u.%u.%u", 1 + tag % 250, tag / 250 % 256, site + 1);
}

/* The end at a site of its pair with another. */
static void end_of(const struct cw_lab *lab, uint32_t site, uint32_t other, char *name, size_t size)
{
    snprintf(name, size, "cw%s%c%u", lab->tag, site < other ? 'c' : 'd', site + other - 1);
}

static void mac_of(uint32_t site, uint32_t other, char *mac, size_t size)
{
    snprintf(mac, size, "02:cb:00:00:%02x:%02x", site + other - 1, site + 1);
}

bool cw_lab_control_set(const struct cw_lab *lab, uint32_t from, uint32_t to, bool is_cut)
{
    char space[64], name[16], mac[24], ip[CW_LAB_IP_SIZE];
    cw_lab_namespace(lab, lab->sites[from], space, sizeof space);
    end_of(lab, from, to, name, sizeof name);
    mac_of(to, from, mac, sizeof mac);
    cw_lab_control_ip(lab, to, ip, sizeof ip);
    return RUN("ip", "-n", space, "neigh", "replace", ip, "lladdr", is_cut ? NOBODY : mac, "dev", name, "nud",
               "permanent");
}

static bool place_end(const struct cw_lab *lab, uint32_t site, uint32_t other)
{
    char space[64], name[16], mac[24], ip[CW_LAB_IP_SIZE], peer[CW_LAB_IP_SIZE];
    cw_lab_namespace(lab, lab->sites[site], space, sizeof space);
    end_of(lab, site, other, name, sizeof name);
    mac_of(site, other, mac, sizeof mac);
    cw_lab_control_ip(lab, site, ip, sizeof ip);
    cw_lab_control_ip(lab, other, peer, sizeof peer);
    return RUN("ip", "link", "set", name, "netns", space) &&
           RUN("ip", "-n", space, "addr", "add", ip, "peer", peer, "dev", name) &&
           RUN("ip", "-n", space, "link", "set", name, "address", mac, "up") &&
           cw_lab_control_set(lab, site, other, false);
}

bool cw_lab_control_up(const struct cw_lab *lab)
{
    char near[16], far[16];
    for (uint32_t b = 1; b < lab->site_count; b++) {
        for (uint32_t a = 0; a < b; a++) {
            end_of(lab, a, b, near, sizeof near);
            end_of(lab, b, a, far, sizeof far);
            if (!RUN("ip", "link", "add", near, "type", "veth", "peer", "name", far) ||
                !place_end(lab, a, b) || !place_end(lab, b, a))
                return false;
        }
    }
    return true;
}
