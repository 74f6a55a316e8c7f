/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What give-up keeps, and revert puts back, is what is in this network namespace: the interface, the VLANs on it, and their
 * routes. What is beyond that would be lost, whatever is forced. The step refuses it as well, as it may have come since
 * the plan was made; but that is in the middle of apply. A bond or bridge gets its part back, as a new one: who forces that
 * is told what the part had there.
 */
#include <string.h>

#include "nic-config/plan_internal.h"

static void refuse_elsewhere(struct cw_plan_work *work, struct cw_plan_path *path,
                             const struct cw_interface_fact *upper, const struct cw_interface_fact *lower)
{
    cw_plan_remedy(cw_plan_refuse(work, path,
                                  "%s (%s) stands on %s, is in the network namespace %s, and could not be "
                                  "given back there",
                                  upper->name, upper->kind, lower->name, upper->space),
                   "take another card; or take it away: ip -n %s link del dev %s; or move it here: ip -n "
                   "%s link set dev %s netns 1",
                   upper->space, upper->name, upper->space, upper->name);
}

static void refuse_upper(struct cw_plan_work *work, struct cw_plan_path *path,
                         const struct cw_interface_fact *upper, const struct cw_interface_fact *lower)
{
    cw_plan_remedy(cw_plan_refuse(work, path, "%s (%s) stands on %s, and could not be put back", upper->name,
                                  upper->kind, lower->name),
                   "take another card; or take it away first: ip link del dev %s", upper->name);
}

static void check_routes(struct cw_plan_work *work, struct cw_plan_path *path,
                         const struct cw_interface_fact *interface)
{
    if (interface->lost_route[0])
        cw_plan_remedy(cw_plan_refuse(work, path, "%s has a route with %s, which could not be put back",
                                      interface->name, interface->lost_route),
                       "take another card; or remove it first: ip route show table all dev %s, ip route del",
                       interface->name);
}

/* What a part is to its master, the kernel forgets when it is taken out. */
static void check_master(struct cw_plan_work *work, struct cw_plan_path *path,
                         const struct cw_interface_fact *part, bool is_forced)
{
    const struct cw_interface_fact *master =
        part->master[0] != 0 ? cw_facts_interface(work->facts, part->master) : NULL;
    if (master == NULL)
        return;
    if (strcmp(master->kind, "openvswitch") == 0)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s is a port of Open vSwitch, and could not be put back there",
                                      part->name),
                       "take another card; or take it out first: ovs-vsctl del-port %s", part->name);
    else if (is_forced && strcmp(master->kind, "bridge") == 0)
        cw_plan_warn(
            work,
            "path %s: %s comes back to %s as a new port: what is set of the port there (cost, priority, "
            "hairpin, learning, flooding, isolation, its VLANs, static and multicast entries) is lost; to "
            "see: bridge -details link show dev %s, bridge vlan show dev %s",
            path->wish->name, part->name, master->name, part->name, part->name);
    else if (is_forced && (strcmp(master->kind, "bond") == 0 || strcmp(master->kind, "team") == 0))
        cw_plan_warn(
            work,
            "path %s: %s comes back to %s as its last port: the order of its ports, which one is active, "
            "and what is set of the port there (queue, priority, own MAC address) may be others then; to "
            "see: ip -details link show dev %s",
            path->wish->name, part->name, master->name, part->name);
}

/* Of the card's interface, or of a VLAN on it, below which nothing more is kept. */
static void check_one(struct cw_plan_work *work, struct cw_plan_path *path,
                      const struct cw_interface_fact *lower, bool is_vlan, bool is_forced)
{
    check_routes(work, path, lower);
    check_master(work, path, lower, is_forced);
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *upper = &work->facts->interfaces[i];
        if (!cw_facts_stands_on(upper, lower))
            continue;
        if (upper->space[0] != 0)
            refuse_elsewhere(work, path, upper, lower);
        else if (strcmp(upper->name, lower->master) == 0)
            continue; /* a bond or bridge stays, and takes it in again */
        else if (is_vlan || strcmp(upper->kind, "vlan") != 0)
            refuse_upper(work, path, upper, lower);
        else
            check_one(work, path, upper, true, is_forced);
    }
}

void cw_plan_check_put_back(struct cw_plan_work *work, struct cw_plan_path *path,
                            const struct cw_interface_fact *interface)
{
    if (path->driver != CW_DRIVER_BIFURCATED ||
        (interface == path->interface && cw_plan_is_emptied(work, path)))
        check_one(work, path, interface, false,
                  cw_plan_is_forced(work, cw_facts_card(work->facts, interface->card), interface));
}
