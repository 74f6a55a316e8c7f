/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may not be taken, and why: each with what to do, and what to write under `force:` where that helps. What is forced
 * is a warning, which says what is taken. Never forced: what another network namespace has, as it could not be given back
 * there, and what cannot work.
 */
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "nic-config/plan_internal.h"

#define ADDRESSES_SAID 3u

bool cw_plan_is_forced(const struct cw_plan_work *work, const struct cw_card_fact *card,
                       const struct cw_interface_fact *interface)
{
    return (interface != NULL && cw_wish_has_force(work->wish, interface->name)) ||
           (card != NULL && cw_wish_has_force(work->wish, card->address));
}

static bool is_group_forced(const struct cw_plan_work *work, int32_t group)
{
    char name[24];
    snprintf(name, sizeof name, "group %d", group);
    return cw_wish_has_force(work->wish, name);
}

/* ---------------------------------------------------------------- an interface in use */

__attribute__((format(printf, 3, 4))) static void add(char *words, size_t size, const char *format, ...)
{
    size_t used = strlen(words);
    va_list arguments;
    if (used > 0 && used + 2 < size)
        used += (size_t)snprintf(words + used, size - used, "; ");
    va_start(arguments, format);
    (void)vsnprintf(words + used, size - used, format, arguments);
    va_end(arguments);
}

static void add_logins(const struct cw_facts *facts, const struct cw_interface_fact *interface, char *words,
                       size_t size)
{
    for (uint32_t i = 0; i < facts->login_count; i++) {
        const struct cw_login_fact *login = &facts->logins[i];
        if (strcmp(login->interface, interface->name) != 0)
            continue;
        add(words, size, "%s is logged in over it, from %s", login->who, login->from);
        return;
    }
    add(words, size, "somebody is logged in over it");
}

static void add_addresses(const struct cw_interface_fact *interface, char *words, size_t size)
{
    char list[ADDRESSES_SAID * (CW_ADDRESS_TEXT + 2) + 1] = "";
    uint32_t count = 0;
    for (uint32_t i = 0; i < interface->address_count; i++) {
        size_t used = strlen(list);
        if (!interface->addresses[i].is_link_local && count++ < ADDRESSES_SAID)
            snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "",
                     interface->addresses[i].text);
    }
    if (count > ADDRESSES_SAID)
        add(words, size, "it has the addresses %s and %u more", list, count - ADDRESSES_SAID);
    else if (count > 0)
        add(words, size, "it has the address%s %s", count > 1 ? "es" : "", list);
}

/* Those that somebody made on purpose: they go without an address too, and to another table than the usual one. */
static void add_routes(const struct cw_interface_fact *interface, char *words, size_t size)
{
    const char *first = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < interface->route_count; i++) {
        const struct cw_route_fact *route = &interface->routes[i];
        if (route->is_default || route->is_of_kernel)
            continue;
        first = first ? first : route->text;
        count++;
    }
    if (count > 1)
        add(words, size, "it has the route %s and %u more", first, count - 1);
    else if (count == 1)
        add(words, size, "it has the route %s", first);
}

void cw_plan_uses(const struct cw_facts *facts, const struct cw_interface_fact *interface, char *words,
                  size_t size)
{
    words[0] = 0;
    if (interface->space[0] != 0)
        add(words, size, "it is in the network namespace %s", interface->space);
    if (interface->has_login)
        add_logins(facts, interface, words, size);
    if (interface->has_default_route)
        add(words, size, "it has the default route");
    add_addresses(interface, words, size);
    add_routes(interface, words, size);
    if (interface->is_cut)
        add(words, size, "it has more addresses or routes than were looked at");
    if (interface->has_program)
        add(words, size, "somebody has an XDP program at it");
    if (interface->master[0] != 0)
        add(words, size, "it is part of %s", interface->master);
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        const struct cw_interface_fact *upper = &facts->interfaces[i];
        if (!cw_facts_stands_on(upper, interface) || strcmp(upper->name, interface->master) == 0)
            continue;
        if (upper->space[0] != 0)
            add(words, size, "%s (%s) stands on it, in the network namespace %s", upper->name, upper->kind,
                upper->space);
        else
            add(words, size, "%s (%s) stands on it", upper->name, upper->kind);
    }
}

bool cw_plan_is_taken_by_wish(const struct cw_plan_work *work, const char *card)
{
    for (uint32_t i = 0; i < work->path_count; i++)
        if (work->paths[i].card != NULL && cw_plan_is_taken(&work->paths[i]) &&
            strcmp(work->paths[i].card->address, card) == 0)
            return true;
    return false;
}

static bool is_last_interface(const struct cw_plan_work *work, const struct cw_interface_fact *interface)
{
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *other = &work->facts->interfaces[i];
        if (other->kind[0] == 0 && other->space[0] == 0 && strcmp(other->name, "lo") != 0 &&
            strcmp(other->card, interface->card) != 0 && !cw_plan_is_taken_by_wish(work, other->card))
            return false;
    }
    return true;
}

/* What of an interface is in the way of its card's being taken. */
static void check_interface(struct cw_plan_work *work, struct cw_plan_path *path,
                            const struct cw_interface_fact *interface)
{
    char words[CW_STEP_WHY - 64];
    if (interface->space[0] != 0) {
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s is in the network namespace %s, and could not be given "
                                      "back there",
                                      interface->name, interface->space),
                       "move it here first: ip -n %s link set dev %s netns 1", interface->space,
                       interface->name);
        return;
    }
    cw_plan_check_put_back(work, path, interface);
    cw_plan_uses(work->facts, interface, words, sizeof words);
    if (!work->facts->is_use_known)
        add(words, sizeof words, "all of its addresses, routes and logins could not be found out");
    if (is_last_interface(work, interface))
        add(words, sizeof words, "this machine has no other");
    if (words[0] == 0)
        return;
    if (cw_plan_is_forced(work, cw_facts_card(work->facts, interface->card), interface)) {
        cw_plan_warn(work, "path %s: forced: %s is taken, although %s", path->wish->name, interface->name,
                     words);
        return;
    }
    cw_plan_remedy(
        cw_plan_refuse(work, path, "%s is in use, or may be: %s", interface->name, words),
        "take another card; or say driver: af_xdp, which shares it with the kernel; or free it "
        "(ip addr flush dev %s, and what else is said); or say force: [%s], and lose what is said until "
        "revert",
        interface->name, interface->name);
}

/* ---------------------------------------------------------------- a card that is taken */

/* It is done already: what could be lost by it is lost. */
static bool is_given(const struct cw_plan_path *path)
{
    return cw_driver_use(path->card->driver) == CW_DRIVER_FOR_PROGRAMS &&
           strcmp(path->given, path->card->address) == 0;
}

static void check_functions(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    const char *name = path->interface != NULL ? path->interface->name : card->address;
    char count[32] = "";
    if (card->functions == 0 || path->driver == CW_DRIVER_BIFURCATED || is_given(path))
        return;
    if (card->functions > 0)
        snprintf(count, sizeof count, "%d ", card->functions);
    if (cw_plan_is_forced(work, card, path->interface))
        cw_plan_warn(work, "path %s: forced: the %svirtual functions of %s go with it, %swhoever has them",
                     path->wish->name, count, card->address, card->functions < 0 ? "if it has some, " : "");
    else if (card->functions < 0)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "whether %s has virtual functions, which would go with it, is not "
                                      "known (sriov_numvfs)",
                                      card->address),
                       "find out what keeps it from being read (causeway nic show names it); or take another "
                       "card; or say force: [%s]",
                       name);
    else
        cw_plan_remedy(cw_plan_refuse(work, path, "%s has %svirtual functions, which would go with it",
                                      card->address, count),
                       "say driver: vf, which takes one of them; or take them away (echo 0 > "
                       "/sys/bus/pci/devices/%s/sriov_numvfs); or say force: [%s]",
                       card->address, name);
}

/* With one of uio, which uses no IOMMU, vfio would not take the group. */
bool cw_plan_is_member_in_way(const struct cw_member_fact *member)
{
    bool is_of_vfio = strcmp(member->driver, "vfio-pci") == 0;
    bool has_other = member->driver[0] != 0 && !is_of_vfio && strcmp(member->driver, "pci-stub") != 0;
    return !member->is_bridge && (has_other || (member->use[0] != 0 && !is_of_vfio));
}

static void check_interfaces_of(struct cw_plan_work *work, struct cw_plan_path *path, const char *card)
{
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &work->facts->interfaces[i];
        if (strcmp(interface->card, card) == 0 && interface->kind[0] == 0)
            check_interface(work, path, interface);
    }
}

static const struct cw_plan_path *path_that_keeps(const struct cw_plan_work *work, const char *card)
{
    for (uint32_t i = 0; i < work->path_count; i++)
        if (work->paths[i].card != NULL && strcmp(work->paths[i].card->address, card) == 0)
            return &work->paths[i];
    return NULL;
}

/* "disk nvme0n1, mounted at /": revert would give the disk back, and not what stood on it. */
static bool is_disk_in_use(const struct cw_member_fact *member)
{
    return strncmp(member->use, "disk ", strlen("disk ")) == 0 && strchr(member->use, ',') != NULL;
}

/* The group is forced: what goes with it has to be free, too, or forced by its own name. */
static void check_forced_member(struct cw_plan_work *work, struct cw_plan_path *path,
                                const struct cw_member_fact *member, const char *words)
{
    const struct cw_plan_path *other = path_that_keeps(work, member->address);
    if (other != NULL)
        cw_plan_remedy(cw_plan_refuse(work, path,
                                      "%s is in the same IOMMU group, and the path %s needs it as it is",
                                      member->address, other->wish->name),
                       "take another card for one of the two paths");
    else if (is_disk_in_use(member))
        cw_plan_remedy(
            cw_plan_refuse(work, path,
                           "%s is in the same IOMMU group, and what is on the disk would be lost to whoever "
                           "uses it, also after revert",
                           words),
            "free the disk first (umount, swapoff, or out of what it is part of), or put the card into "
            "another slot");
    else
        cw_plan_warn(work, "path %s: forced: %s is taken from the kernel, as it is in IOMMU group %d",
                     path->wish->name, words, member->group);
    check_interfaces_of(work, path, member->address);
}

static void check_unseen_members(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (!card->is_group_cut)
        return;
    if (is_group_forced(work, card->iommu_group))
        cw_plan_warn(
            work,
            "path %s: forced: %s is taken, although not all that shares IOMMU group %d with it could "
            "be found out",
            path->wish->name, card->address, card->iommu_group);
    else
        cw_plan_remedy(
            cw_plan_refuse(work, path,
                           "who shares IOMMU group %d with %s, and what that is used for, could not be found "
                           "out wholly",
                           card->iommu_group, card->address),
            "see what is doubted or could not be read (causeway nic show); or take another card; or say driver: "
            "af_xdp; or, if you know that nobody uses what is in the group, say force: [group %d]",
            card->iommu_group);
}

/* A group is given as a whole: vfio opens it only when no member has a driver of the kernel. */
static void check_group(struct cw_plan_work *work, struct cw_plan_path *path)
{
    int32_t group = path->card->iommu_group;
    check_unseen_members(work, path);
    for (uint32_t i = 0; i < work->facts->member_count; i++) {
        const struct cw_member_fact *member = &work->facts->members[i];
        char words[CW_STEP_WHY / 2];
        if (member->group != group || !cw_plan_is_member_in_way(member) ||
            cw_plan_is_taken_by_wish(work, member->address))
            continue;
        snprintf(words, sizeof words, "%s (%s%s%s)", member->address, member->use,
                 member->use[0] != 0 && member->driver[0] != 0 ? "; driver " : "", member->driver);
        if (is_group_forced(work, group)) {
            check_forced_member(work, path, member, words);
            continue;
        }
        cw_plan_remedy(
            cw_plan_refuse(work, path, "%s shares IOMMU group %d with %s, and a group is given as a whole",
                           path->card->address, group, words),
            "put the card into another slot, or switch on ACS in the firmware; or say driver: af_xdp; or say "
            "force: [group %d], and it is taken from whoever has it until revert",
            group);
    }
}

/* Of a card with two ports behind one address DPDK makes two, in an order of its own. */
static void warn_of_ports(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < work->facts->interface_count; i++)
        count += strcmp(work->facts->interfaces[i].card, path->card->address) == 0 &&
                 work->facts->interfaces[i].kind[0] == 0;
    if (count > 1)
        cw_plan_warn(work, "path %s: %s has %u ports at one address: the engine opens the first one",
                     path->wish->name, path->card->address, count);
}

/* No interface is known of it, so nothing would be asked of one, and nothing kept for revert: no force helps. */
static void check_unseen_interfaces(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (!work->facts->lacks_interfaces || card->driver[0] == 0 ||
        cw_driver_use(card->driver) == CW_DRIVER_FOR_PROGRAMS)
        return;
    cw_plan_remedy(
        cw_plan_refuse(work, path,
                       "which interfaces %s has could not be found out: one may be that of the default "
                       "route or of a login, and nothing of it could be given back",
                       card->address),
        "see what could not be read (causeway nic show): ip -json -details link show has to answer");
}

/* It is with a driver for programs already, and not by us: there is no step of giving it, before which is asked who has it. */
static void check_foreign_user(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    if (cw_driver_use(card->driver) != CW_DRIVER_FOR_PROGRAMS || is_given(path))
        return;
    if (card->user[0] != 0)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "%s has been given to %s by somebody else, and is in use: %s",
                           card->address, card->driver, card->user),
            "stop that process first (of a virtual machine: take the card out of it); or take another card");
    else
        cw_plan_warn(
            work,
            "path %s: %s has been given to %s by somebody else already: make sure that no virtual machine and "
            "no other program uses it",
            path->wish->name, card->address, card->driver);
}

static void check_taken(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    check_interfaces_of(work, path, card->address);
    check_unseen_interfaces(work, path);
    if (card->is_network_driver_gone)
        cw_plan_remedy(
            cw_plan_refuse(work, path,
                           "%s is driven by %s and has no interface here: another network namespace, a "
                           "container perhaps, has it",
                           card->address, card->driver),
            "take it out of there first: in that namespace, ip link set dev NAME netns 1");
    warn_of_ports(work, path);
    check_functions(work, path);
    if (path->driver == CW_DRIVER_VFIO)
        check_group(work, path);
    check_foreign_user(work, path);
}

/* ---------------------------------------------------------------- an interface that is kept */

static void check_program(struct cw_plan_work *work, struct cw_plan_path *path)
{
    char file[CW_FACT_PATH + CW_PATH_NAME + 8];
    snprintf(file, sizeof file, "%s/%s.yaml", work->folders->prepared, path->wish->name);
    if (!path->interface->has_program || cw_facts_file(work->facts, file) != NULL)
        return; /* the engine's own, of a path that is prepared */
    cw_plan_remedy(cw_plan_refuse(work, path, "%s has an XDP program already, and has room for one",
                                  path->interface->name),
                   "if nobody needs it: ip link set dev %s xdp off", path->interface->name);
}

static void check_queues(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    int32_t queues = cw_plan_receive_queues(work, interface);
    if (interface->rx_queues > 1 || (interface->rx_queues == 1 && interface->queues >= 1))
        cw_plan_remedy(
            cw_plan_refuse(
                work, path,
                "%s counts queues to receive apart (it has %d), and the engine's port wants one in "
                "all",
                interface->name, interface->rx_queues),
            "ethtool -L %s rx %d", interface->name, interface->queues >= 1 ? 0 : 1);
    else if (queues == CW_FACT_UNKNOWN && cw_plan_is_forced(work, path->card, interface))
        cw_plan_warn(work,
                     "path %s: forced: how many queues %s has is not known; more than one, and the engine "
                     "refuses the path",
                     path->wish->name, interface->name);
    else if (queues == CW_FACT_UNKNOWN)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "how many queues %s has is not known, and one is needed",
                           interface->name),
            "see what is doubted or could not be read (causeway-nic show), and ethtool -l %s; or say force: "
            "[%s]",
            interface->name, interface->name);
}

/* The wish may leave the prefix out. */
static bool is_address(const char *has, const char *wanted)
{
    size_t length = strchr(wanted, '/') != NULL ? strlen(has) : strcspn(has, "/");
    return strlen(wanted) == length && strncmp(has, wanted, length) == 0;
}

static void check_addresses(struct cw_plan_work *work, struct cw_plan_path *path)
{
    for (uint32_t i = 0; i < path->wish->address_count; i++) {
        bool has_it = false;
        for (uint32_t a = 0; a < path->interface->address_count; a++)
            has_it = has_it || is_address(path->interface->addresses[a].text, path->wish->addresses[i]);
        if (!has_it)
            cw_plan_warn(work,
                         "path %s: %s is the kernel's, and has not the address %s: ip addr add %s dev %s",
                         path->wish->name, path->interface->name, path->wish->addresses[i],
                         path->wish->addresses[i], path->interface->name);
    }
}

static void check_kept(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    if (interface->space[0] != 0)
        cw_plan_remedy(cw_plan_refuse(work, path, "%s is in the network namespace %s, and the engine is not",
                                      interface->name, interface->space),
                       "move it here first: ip -n %s link set dev %s netns 1", interface->space,
                       interface->name);
    if (interface->master[0] != 0 && cw_plan_is_forced(work, path->card, interface))
        cw_plan_warn(work, "path %s: forced: %s is shared, although it is part of %s", path->wish->name,
                     interface->name, interface->master);
    else if (interface->master[0] != 0)
        cw_plan_remedy(
            cw_plan_refuse(work, path, "%s is part of %s, and has no addresses of its own", interface->name,
                           interface->master),
            "take another interface; or take it out: ip link set dev %s nomaster; or say force: [%s]",
            interface->name, interface->name);
    check_program(work, path);
    check_queues(work, path);
    check_addresses(work, path);
}

/* ---------------------------------------------------------------- all kinds */

/* As it is when this path's turn comes: a path before it may raise that of the interface below. */
static int64_t mtu_below(const struct cw_plan_work *work, const struct cw_plan_path *path,
                         const struct cw_interface_fact *lower)
{
    int64_t mtu = lower->mtu;
    for (const struct cw_plan_path *before = work->paths; before < path; before++)
        if (before->interface == lower && !before->is_refused)
            mtu = CW_MAX(mtu, (int64_t)before->wish->mtu);
    return mtu;
}

/* The kernel lets what stands on an interface have no longer frames than that. */
static void check_mtu_below(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    if (strcmp(interface->kind, "vlan") != 0 && strcmp(interface->kind, "macvlan") != 0)
        return;
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *lower = &work->facts->interfaces[i];
        if (!cw_facts_stands_on(interface, lower) || lower->mtu < 0)
            continue;
        int64_t mtu = mtu_below(work, path, lower);
        if ((int64_t)path->wish->mtu > interface->mtu && (int64_t)path->wish->mtu > mtu)
            cw_plan_remedy(
                cw_plan_refuse(work, path, "mtu %u is impossible: %s stands on %s, which has %lld",
                               path->wish->mtu, interface->name, lower->name, (long long)mtu),
                "ip link set dev %s mtu %u first; or say mtu: %lld in this path, and in the node's configuration "
                "at both ends",
                lower->name, path->wish->mtu, (long long)mtu);
    }
}

static void check_mtu(struct cw_plan_work *work, struct cw_plan_path *path)
{
    const struct cw_interface_fact *interface = path->interface;
    if (interface != NULL)
        check_mtu_below(work, path);
    if (interface != NULL && interface->mtu_max > 0 && (int64_t)path->wish->mtu > interface->mtu_max)
        cw_plan_remedy(cw_plan_refuse(work, path, "mtu %u is impossible: %s takes %d at most",
                                      path->wish->mtu, interface->name, interface->mtu_max),
                       "say mtu: %d in this path, and in the node's configuration at both ends",
                       interface->mtu_max);
}

/* The address of a path that has its port for itself may not be the kernel's: both would answer for it. */
static void check_own_addresses(struct cw_plan_work *work, struct cw_plan_path *path)
{
    for (uint32_t i = 0; i < work->facts->interface_count; i++) {
        const struct cw_interface_fact *interface = &work->facts->interfaces[i];
        if (interface->space[0] != 0 ||
            (interface->card[0] != 0 && cw_plan_is_taken_by_wish(work, interface->card)))
            continue;
        for (uint32_t a = 0; a < interface->address_count; a++)
            for (uint32_t w = 0; w < path->wish->address_count; w++) {
                const char *has = interface->addresses[a].text, *wants = path->wish->addresses[w];
                size_t length = strcspn(has, "/");
                if (length != strcspn(wants, "/") || strncmp(has, wants, length) != 0)
                    continue;
                cw_plan_remedy(cw_plan_refuse(work, path,
                                              "the address %s is the kernel's already, at %s: both "
                                              "would answer for it",
                                              has, interface->name),
                               "ip addr del %s dev %s; or another address for this path", has,
                               interface->name);
            }
    }
}

static void warn_of_doubts(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const struct cw_facts *facts = work->facts;
    for (uint32_t i = 0; i < facts->doubt_count; i++) {
        const char *file = facts->doubts[i].file;
        if ((path->card != NULL && strstr(file, path->card->address) != NULL) ||
            (path->interface != NULL && strstr(file, path->interface->name) != NULL))
            cw_plan_warn(work, "path %s: %s %s", path->wish->name, file, facts->doubts[i].words);
    }
}

/* What PCI Express carries of its lanes' transfers: 8 of 10 bits up to 5 GT/s, 128 of 130 above. */
static void warn_of_link(struct cw_plan_work *work, const struct cw_plan_path *path)
{
    const struct cw_card_fact *card = path->card;
    int64_t speed = path->interface != NULL ? path->interface->speed_mbps : CW_FACT_UNKNOWN;
    if (card == NULL || card->link_mts <= 0 || card->link_lanes <= 0 || speed <= 0)
        return;
    int64_t mbps = card->link_mts <= 5000 ? card->link_mts * 8 / 10 : card->link_mts * 128 / 130;
    mbps *= card->link_lanes;
    if (mbps < speed)
        cw_plan_warn(
            work,
            "path %s: %s sits on %d lanes of PCI Express, which carry %lld Mb/s in all, and its port %lld: "
            "another slot has more",
            path->wish->name, card->address, card->link_lanes, (long long)mbps, (long long)speed);
}

void cw_plan_check_path(struct cw_plan_work *work, struct cw_plan_path *path)
{
    if (path->driver == CW_DRIVER_AF_XDP) {
        check_kept(work, path);
    } else {
        if (cw_plan_is_taken(path) || path->driver == CW_DRIVER_BIFURCATED)
            check_taken(work, path);
        check_own_addresses(work, path);
    }
    check_mtu(work, path);
    warn_of_doubts(work, path);
    warn_of_link(work, path);
}

static bool is_same_port(const struct cw_plan_path *one, const struct cw_plan_path *other)
{
    if (one->card != NULL && one->card == other->card)
        return one->driver != CW_DRIVER_VF || other->driver != CW_DRIVER_VF;
    return one->interface != NULL && one->interface == other->interface;
}

/* What the one has, or stands on, goes when the other's card is taken. */
static bool goes_with(const struct cw_plan_path *path, const struct cw_plan_path *other)
{
    if (!cw_plan_is_taken(other) && other->driver != CW_DRIVER_BIFURCATED)
        return false;
    if (path->card != NULL && other->card != NULL && strcmp(path->card->physical, other->card->address) == 0)
        return true;
    return path->interface != NULL && other->interface != NULL &&
           cw_facts_stands_on(path->interface, other->interface);
}

static void check_pair(struct cw_plan_work *work, struct cw_plan_path *path, struct cw_plan_path *other)
{
    char words[CW_CARD_WORDS], others[CW_CARD_WORDS];
    if (is_same_port(path, other))
        cw_plan_remedy(cw_plan_refuse(work, path, "%s is the path %s's already",
                                      cw_plan_card_words(path, words), other->wish->name),
                       "name another card%s",
                       path->card != NULL && path->card->functions_max > 1
                           ? "; or say driver: vf in both, and each has a virtual function"
                           : "");
    else if (goes_with(path, other) || goes_with(other, path))
        cw_plan_remedy(
            cw_plan_refuse(
                work, path,
                "%s and %s of the path %s belong together: what is taken of the one is gone for the "
                "other",
                cw_plan_card_words(path, words), cw_plan_card_words(other, others), other->wish->name),
            "take two virtual functions, or another card");
}

/* What two paths of one wish may not have in common: the later one is refused. */
void cw_plan_check_together(struct cw_plan_work *work)
{
    for (uint32_t i = 0; i < work->path_count; i++)
        for (uint32_t k = 0; k < i; k++)
            check_pair(work, &work->paths[i], &work->paths[k]);
}
