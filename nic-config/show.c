/* SPDX-License-Identifier: BSD-3-Clause */
/* The text: the machine, its cards with their interfaces, other interfaces, memory, CPUs, and what is not known. */
#include "nic-config/show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "nic-config/show_parts.h"

#define COLUMNS 100u

static const char *speed_words(int64_t mbps, char words[32])
{
    if (mbps < 0)
        return "speed not known";
    if (mbps < 1000)
        snprintf(words, 32, "%" PRId64 " Mb/s", mbps);
    else if (mbps % 1000 == 0)
        snprintf(words, 32, "%" PRId64 " Gb/s", mbps / 1000);
    else
        snprintf(words, 32, "%.1f Gb/s", (double)mbps / 1000);
    return words;
}

static const char *module_words(bool is_there, bool is_loaded)
{
    return is_loaded ? "loaded" : is_there ? "can be loaded" : "not there";
}

static void show_machine(const struct cw_facts *facts, FILE *out)
{
    fprintf(out, "Linux %s\n", facts->kernel[0] ? facts->kernel : "of a version that is not known");
    fprintf(out, "  IOMMU: %s\n",
            !facts->has_iommu ? "none"
            : facts->iommu[0] ? facts->iommu
                              : "of a kind that is not known");
    fprintf(out, "  vfio-pci: %s; its mode without an IOMMU: %s; uio_pci_generic: %s\n",
            module_words(facts->has_vfio, facts->is_vfio_pci_loaded),
            facts->is_noiommu_on ? "on"
            : facts->has_noiommu ? "off"
                                 : "not there",
            module_words(facts->has_uio_generic, facts->is_uio_generic_loaded));
    if (facts->has_irqbalance)
        fprintf(out, "  irqbalance runs, and moves interrupts\n");
    if (!facts->has_systemd)
        fprintf(out, "  systemd does not run: nothing is done again after a reboot\n");
}

/* ---- what may be long: goes on in the next line, further in ---- */

struct list {
    FILE *out;
    const char *begin, *between; /* before the first, and between two */
    size_t indent, column;
    uint32_t count;
};

__attribute__((format(printf, 2, 3))) static void item(struct list *list, const char *format, ...)
{
    char words[CW_FACT_WORDS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    const char *before = list->count ? list->between : list->begin;
    size_t length = strlen(before) + strlen(words);
    if (list->count && list->column + length > COLUMNS) {
        fprintf(list->out, "%.*s\n%*s%s", (int)strcspn(before, " "), before, (int)list->indent, "", words);
        list->column = list->indent + strlen(words);
    } else {
        fprintf(list->out, "%s%s", before, words);
        list->column += length;
    }
    list->count++;
}

/* ---- who uses an interface ---- */

static void show_logins(const struct cw_facts *facts, const char *name, struct list *list)
{
    for (uint32_t i = 0; i < facts->login_count; i++) {
        const struct cw_login_fact *login = &facts->logins[i];
        if (strcmp(login->interface, name) == 0)
            item(list, "login of %s from %s", login->who[0] ? login->who : "somebody",
                 login->from[0] ? login->from : "somewhere");
    }
}

/* Made by somebody on purpose, and not said yet. */
static bool is_somebodys(const struct cw_route_fact *route)
{
    return !route->is_default && !route->is_of_kernel;
}

static void show_uses(const struct cw_facts *facts, const struct cw_interface_fact *one, FILE *out)
{
    struct list uses = {.out = out, .begin = "      in use: ", .between = "; ", .indent = 8};
    char path[40];
    if (!one->card[0] && cw_show_prepared(facts, "interface", one->name, path))
        item(&uses, "prepared for the engine as path %s", path);
    if (one->space[0])
        item(&uses, "in network namespace %s", one->space);
    if (one->master[0])
        item(&uses, "part of %s", one->master);
    uint32_t order[CW_INTERFACES_MAX];
    cw_show_order(facts, order);
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        const struct cw_interface_fact *upper = &facts->interfaces[order[i]];
        if (cw_facts_stands_on(upper, one) && strcmp(upper->name, one->master) != 0)
            item(&uses, "below %s%s%s", upper->name, upper->space[0] ? " of the network namespace " : "",
                 upper->space);
    }
    for (uint32_t i = 0; i < one->address_count; i++)
        if (!one->addresses[i].is_link_local)
            item(&uses, "%s", one->addresses[i].text);
    if (one->has_default_route)
        item(&uses, "the default route");
    if (one->has_login)
        show_logins(facts, one->name, &uses);
    if (one->has_program)
        item(&uses, "an XDP program");
    bool has_routes = false;
    for (uint32_t i = 0; i < one->route_count; i++)
        has_routes |= is_somebodys(&one->routes[i]);
    if (has_routes)
        item(&uses, "routes");
    if (uses.count)
        fprintf(out, "\n");
    else if (!facts->is_use_known)
        fprintf(out, "      whether it is in use is not known: see below\n");
    else if (one->card[0])
        fprintf(out, "      free\n");
    for (uint32_t i = 0; i < one->route_count; i++)
        if (is_somebodys(&one->routes[i]))
            fprintf(out, "      route %s\n", one->routes[i].text);
    if (one->is_cut)
        fprintf(out, "      and more addresses, routes or interfaces than are kept here\n");
}

static void show_queues(const struct cw_interface_fact *one, FILE *out)
{
    if (one->queues > 0)
        fprintf(out, ", %d of %d queues", one->queues, one->queues_max);
    if (one->rx_queues > 0)
        fprintf(out, ", %d of %d queues to receive", one->rx_queues, one->rx_queues_max);
    if (one->tx_queues > 0)
        fprintf(out, ", %d to send", one->tx_queues);
}

static void show_interface(const struct cw_facts *facts, const struct cw_interface_fact *one, FILE *out)
{
    char speed[32];
    fprintf(out, "    %s: ", one->name);
    if (strcmp(one->kind, "vlan") == 0 && one->vlan >= 0)
        fprintf(out, "VLAN %d, ", one->vlan);
    else if (one->kind[0])
        fprintf(out, "%s, ", one->kind);
    for (uint32_t i = 0; i < one->lower_count; i++)
        fprintf(out, "%s%s%s", i ? " " : "on ", one->lower[i], i + 1 == one->lower_count ? ", " : "");
    fprintf(out, "%s", !one->is_up ? "down" : one->has_carrier ? "up" : "up, no carrier");
    if (one->is_up && one->has_carrier && (one->card[0] || one->speed_mbps > 0))
        fprintf(out, ", %s", speed_words(one->speed_mbps, speed));
    if (one->mtu > 0)
        fprintf(out, ", mtu %d", one->mtu);
    if (one->mtu_max > one->mtu)
        fprintf(out, " of %d", one->mtu_max);
    show_queues(one, out);
    fprintf(out, "\n");
    show_uses(facts, one, out);
}

/* ---- cards ---- */

static void show_driver(const struct cw_card_fact *card, FILE *out)
{
    static const char *const how[] = {
        [CW_PMD_NONE] = "",
        [CW_PMD_USERSPACE] = ", which takes the card from the kernel",
        [CW_PMD_BIFURCATED] = ", beside the kernel's driver",
        [CW_PMD_HYPERV] = ", by uio_hv_generic in the place of the kernel's driver",
        [CW_PMD_UNKNOWN] = "",
    };
    fprintf(out, "    driver %s", card->driver[0] ? card->driver : "none");
    if (card->override[0])
        fprintf(out, " (override %s)", card->override);
    if (card->pmd_kind == CW_PMD_UNKNOWN)
        fprintf(out, "; whether DPDK has one for it is not known\n");
    else if (card->pmd_kind == CW_PMD_NONE)
        fprintf(out, "; no driver of DPDK is known for it\n");
    else
        fprintf(out, "; of DPDK %s%s\n", card->pmd, how[card->pmd_kind]);
}

static void show_place(const struct cw_card_fact *card, FILE *out)
{
    char speed[32];
    if (card->node >= 0)
        fprintf(out, "    NUMA node %d", card->node);
    else
        fprintf(out, "    NUMA node not known");
    if (card->link_mts > 0 && card->link_lanes > 0)
        fprintf(out, "; PCI Express %g GT/s x%d: %s", (double)card->link_mts / 1000, card->link_lanes,
                speed_words(cw_show_link_mbps(card) / 1000 * 1000, speed));
    if (card->irq_count > 0)
        fprintf(out, "; %u interrupt%s", card->irq_count, card->irq_count == 1 ? "" : "s");
    fprintf(out, "\n");
}

static void show_group(const struct cw_facts *facts, const struct cw_card_fact *card, FILE *out)
{
    if (card->iommu_group < 0)
        return;
    fprintf(out, "    IOMMU group %d%s", card->iommu_group,
            card->is_noiommu ? ", of vfio without an IOMMU" : "");
    struct list others = {.out = out, .begin = ", with ", .between = "; ", .indent = 6, .column = 20};
    for (uint32_t i = 0; i < facts->member_count; i++) {
        const struct cw_member_fact *member = &facts->members[i];
        if (member->group != card->iommu_group || strcmp(member->address, card->address) == 0)
            continue;
        const char *driver = member->is_bridge   ? "(bridge)"
                             : member->driver[0] ? member->driver
                                                 : "without a driver";
        if (member->use[0])
            item(&others, "%s %s (%s)", member->address, driver, member->use);
        else
            item(&others, "%s %s", member->address, driver);
    }
    if (card->is_group_cut)
        item(&others, "others, perhaps: see below");
    fprintf(out, others.count ? "\n" : ", alone in it\n");
}

static const char *count_words(int32_t count, char words[16])
{
    snprintf(words, 16, count < 0 ? "(not known)" : "%d", count);
    return words;
}

static void show_functions(const struct cw_facts *facts, const struct cw_card_fact *card, FILE *out)
{
    if (card->physical[0])
        fprintf(out, "    virtual function of %s\n", card->physical);
    if (card->functions_max == 0 && card->functions == 0)
        return;
    char count[16], max[16];
    fprintf(out, "    virtual functions: %s of %s", count_words(card->functions, count),
            count_words(card->functions_max, max));
    struct list list = {.out = out, .begin = ": ", .between = " ", .indent = 6, .column = 30};
    for (uint32_t i = 0; i < facts->card_count; i++)
        if (strcmp(facts->cards[i].physical, card->address) == 0)
            item(&list, "%s", facts->cards[i].address);
    fprintf(out, "\n");
}

static void show_card(const struct cw_facts *facts, const struct cw_card_fact *card, FILE *out)
{
    fprintf(out, "  %s  %s\n", card->address, card->name[0] ? card->name : "of no name that is known");
    if (card->bus == CW_BUS_PCI)
        fprintf(out, "    %04x:%04x, subsystem %04x:%04x\n", card->vendor, card->device,
                card->subsystem_vendor, card->subsystem_device);
    show_driver(card, out);
    show_place(card, out);
    show_group(facts, card, out);
    show_functions(facts, card, out);
    char path[40];
    if (cw_show_prepared(facts, "card", card->address, path))
        fprintf(out, "    prepared for the engine as path %s\n", path);
    uint32_t order[CW_INTERFACES_MAX], shown = 0;
    cw_show_order(facts, order);
    for (uint32_t i = 0; i < facts->interface_count; i++)
        if (strcmp(facts->interfaces[order[i]].card, card->address) == 0) {
            show_interface(facts, &facts->interfaces[order[i]], out);
            shown++;
        }
    if (card->is_network_driver_gone)
        fprintf(out, "    its interface is not seen: it is in a network namespace that has no name here\n");
    else if (shown == 0)
        fprintf(out, "    no interface\n");
}

static void show_interfaces(const struct cw_facts *facts, FILE *out)
{
    uint32_t order[CW_INTERFACES_MAX], shown = 0;
    cw_show_order(facts, order);
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        const struct cw_interface_fact *one = &facts->interfaces[order[i]];
        if (one->card[0] || strcmp(one->name, "lo") == 0)
            continue;
        if (shown++ == 0)
            fprintf(out, "Interfaces without a card\n");
        show_interface(facts, one, out);
    }
}

static void show_not_known(const char *title, const struct cw_doubt_fact *found, uint32_t count,
                           uint32_t room, FILE *out)
{
    if (count == 0)
        return;
    fprintf(out, "%s\n", title);
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "  %s: %s\n", found[i].file, found[i].words);
    if (count == room)
        fprintf(out, "  and perhaps more: there is room for %u\n", room);
}

void cw_show_text(const struct cw_facts *facts, FILE *out)
{
    show_machine(facts, out);
    fprintf(out, "Cards%s\n", facts->card_count ? "" : ": none");
    for (uint32_t i = 0; i < facts->card_count; i++)
        show_card(facts, &facts->cards[i], out);
    show_interfaces(facts, out);
    cw_show_memory(facts, out);
    cw_show_processors(facts, out);
    struct list logins = {
        .out = out, .begin = "Over no interface known here: ", .between = "; ", .indent = 2};
    show_logins(facts, "", &logins);
    if (logins.count)
        fprintf(out, "\n");
    show_not_known("Read, and not believed", facts->doubts, facts->doubt_count, CW_DOUBTS_MAX, out);
    show_not_known(facts->is_root ? "Could not be read" : "Could not be read, not being root", facts->unread,
                   facts->unread_count, CW_DOUBTS_MAX, out);
}
