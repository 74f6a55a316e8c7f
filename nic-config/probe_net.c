/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interfaces, as iproute2 tells of them: also those of cards that are in another network namespace. Their queues and speed
 * are ethtool's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "nic-config/links.h"
#include "nic-config/probe_private.h"

#define LINK_ANSWER "ip -json -details link show"
#define SPACES_MAX  1024u   /* each costs a program that is started */
#define SPEED_MAX   1600000 /* Mb/s */
#define MTU_MAX     (1 << 20)

/* By its place in sysfs: a virtio device stands between an interface and its card. */
static void card_of_device(struct cw_probe *probe, const char *bus, const char *device, char *address,
                           size_t size)
{
    char path[CW_PROBE_PATH], target[1024];
    if (!cw_probe_is_name(bus, 32) || !cw_probe_is_name(device, 64))
        return;
    if (cw_probe_card_of_target(device, address, size))
        return;
    snprintf(path, sizeof path, "/sys/bus/%s/devices/%s", bus, device);
    if (cw_machine_target(probe->machine, path, target, sizeof target) == CW_OK)
        cw_probe_card_of_target(target, address, size);
}

static void probe_card_of(struct cw_probe *probe, const json_t *link, struct cw_interface_fact *interface)
{
    char path[CW_PROBE_PATH], target[1024];
    const char *device = cw_probe_json_text(link, "parentdev");
    if (device[0] != '\0')
        card_of_device(probe, cw_probe_json_text(link, "parentbus"), device, interface->card,
                       sizeof interface->card);
    else if (interface->kind[0] == '\0' && interface->space[0] == '\0') { /* an older iproute2 */
        snprintf(path, sizeof path, "/sys/class/net/%s", interface->name);
        if (cw_machine_target(probe->machine, path, target, sizeof target) == CW_OK)
            cw_probe_card_of_target(target, interface->card, sizeof interface->card);
    }
}

static bool has_flag(const json_t *link, const char *flag)
{
    size_t i;
    const json_t *value;
    json_array_foreach(json_object_get(link, "flags"), i,
                       value) if (json_is_string(value) &&
                                  strcmp(json_string_value(value), flag) == 0) return true;
    return false;
}

static void probe_mac(struct cw_probe *probe, const json_t *link, struct cw_interface_fact *interface)
{
    const char *text = cw_probe_json_text(link, "address");
    unsigned b[6];
    char rest;
    if (strcmp(cw_probe_json_text(link, "link_type"), "ether") != 0)
        return;
    if (strlen(text) == 17 &&
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &rest) == 6)
        for (int i = 0; i < 6; i++)
            interface->mac[i] = (uint8_t)b[i];
    else
        cw_probe_doubt(probe, LINK_ANSWER, "%s has the address \"%.40s\": not believed", interface->name,
                       text);
}

static void probe_mtu(struct cw_probe *probe, const json_t *link, struct cw_interface_fact *interface)
{
    int64_t mtu = cw_probe_json_number(link, "mtu", CW_FACT_UNKNOWN);
    int64_t mtu_max = cw_probe_json_number(link, "max_mtu", 0); /* 0: no limit is told */
    if (mtu >= 0 && mtu <= MTU_MAX)
        interface->mtu = (int32_t)mtu;
    else if (mtu != CW_FACT_UNKNOWN || json_object_get(link, "mtu") != NULL)
        cw_probe_doubt(probe, LINK_ANSWER, "%s has the mtu %" PRId64 ": not believed", interface->name, mtu);
    if (mtu_max > 0 && mtu_max <= UINT32_MAX)
        interface->mtu_max = (int32_t)CW_MIN(mtu_max, (int64_t)INT32_MAX);
    else if (mtu_max != 0)
        cw_probe_doubt(probe, LINK_ANSWER, "%s has the max_mtu %" PRId64 ": not believed", interface->name,
                       mtu_max);
}

static void add_lower(struct cw_interface_fact *interface, const char *name)
{
    if (interface->lower_count == CW_LOWER_MAX)
        interface->is_cut = true;
    else
        snprintf(interface->lower[interface->lower_count++], CW_INTERFACE_NAME, "%s", name);
}

static void probe_lowers(struct cw_probe *probe, const json_t *link, struct cw_interface_fact *interface)
{
    const char *names[CW_LINK_LOWERS];
    unsigned count = cw_link_lowers(link, names);
    for (unsigned i = 0; i < count; i++)
        if (cw_probe_is_name(names[i], CW_INTERFACE_NAME))
            add_lower(interface, names[i]);
        else
            cw_probe_doubt(probe, LINK_ANSWER, "%s stands on \"%.40s\": not believed", interface->name,
                           names[i]);
}

static void probe_kind(struct cw_probe *probe, const json_t *link, struct cw_interface_fact *interface)
{
    const json_t *info = json_object_get(link, "linkinfo");
    const char *kind = cw_probe_json_text(info, "info_kind"), *master = cw_probe_json_text(link, "master");
    cw_probe_printable(kind, interface->kind, sizeof interface->kind);
    if (has_flag(link, "LOOPBACK"))
        snprintf(interface->kind, sizeof interface->kind, "loopback");
    if (cw_probe_is_name(master, sizeof interface->master))
        snprintf(interface->master, sizeof interface->master, "%s", master);
    else if (master[0] != '\0')
        cw_probe_doubt(probe, LINK_ANSWER, "%s is part of \"%.40s\": not believed", interface->name, master);
    probe_lowers(probe, link, interface);
    if (strcmp(kind, "vlan") == 0) {
        int64_t id = cw_probe_json_number(json_object_get(info, "info_data"), "id", CW_FACT_UNKNOWN);
        if (id >= 0 && id <= 4095)
            interface->vlan = (int32_t)id;
        else
            cw_probe_doubt(probe, LINK_ANSWER, "%s has the VLAN %" PRId64 ": not believed", interface->name,
                           id);
    }
}

static const char *kind_of(const json_t *link)
{
    return cw_probe_json_text(json_object_get(link, "linkinfo"), "info_kind");
}

/* There is no room for it. One of a pair stands on no card; any other might stand on the one that is asked for. */
static void leave_out(struct cw_probe *probe, const struct cw_interface_fact *interface)
{
    if (!cw_link_is_pair(interface->kind))
        probe->facts->is_use_known = false;
    cw_probe_doubt(probe, LINK_ANSWER, "has more than %u interfaces: %s is not looked at", CW_INTERFACES_MAX,
                   interface->name);
}

/* What stands in another namespace on an interface of this one (here) tells of it by number only, and by which number that
 * one knows this namespace; that number may as well be a third one's, and is taken for ours: better refused than lost. */
static void probe_lower_here(const json_t *link, const json_t *there, const json_t *here,
                             struct cw_interface_fact *interface)
{
    size_t i;
    const json_t *lower;
    int64_t index = cw_link_lower_elsewhere(link, there);
    json_array_foreach(here, i, lower)
    {
        const char *name = cw_probe_json_text(lower, "ifname");
        if (index > 0 && cw_probe_json_number(lower, "ifindex", 0) == index &&
            cw_probe_is_name(name, CW_INTERFACE_NAME))
            add_lower(interface, name);
    }
}

/* Of another namespace (there: its links) only what stands on a card is wanted, or on an interface of this one. */
static void take_link(struct cw_probe *probe, const char *space, const json_t *link, const json_t *there,
                      const json_t *here)
{
    struct cw_facts *facts = probe->facts;
    const char *name = cw_probe_json_text(link, "ifname");
    if (!cw_probe_is_name(name, CW_INTERFACE_NAME)) {
        facts->is_use_known = false;
        cw_probe_doubt(probe, LINK_ANSWER, "has an interface \"%.40s\": not believed", name);
        return;
    }
    struct cw_interface_fact interface = {
        .vlan = CW_FACT_UNKNOWN,
        .mtu = CW_FACT_UNKNOWN,
        .mtu_max = CW_FACT_UNKNOWN,
        .is_up = has_flag(link, "UP"),
        .has_carrier = has_flag(link, "LOWER_UP"),
        .has_program = json_is_object(json_object_get(link, "xdp")),
        .speed_mbps = CW_FACT_UNKNOWN,
        .queues = CW_FACT_UNKNOWN,
        .queues_max = CW_FACT_UNKNOWN,
        .rx_queues = CW_FACT_UNKNOWN,
        .rx_queues_max = CW_FACT_UNKNOWN,
        .tx_queues = CW_FACT_UNKNOWN,
    };
    snprintf(interface.name, sizeof interface.name, "%s", name);
    snprintf(interface.space, sizeof interface.space, "%s", space);
    probe_kind(probe, link, &interface);
    probe_card_of(probe, link, &interface);
    if (space[0] != '\0') {
        interface.lower_count = 0; /* names of its own namespace */
        probe_lower_here(link, there, here, &interface);
        if (interface.card[0] == '\0' && interface.lower_count == 0)
            return;
    }
    if (facts->interface_count == CW_INTERFACES_MAX) {
        leave_out(probe, &interface);
        return;
    }
    probe_mac(probe, link, &interface);
    probe_mtu(probe, link, &interface);
    facts->interfaces[facts->interface_count++] = interface;
}

/* What a bond or bridge stands on is told by its parts only. */
static void probe_parts(struct cw_facts *facts)
{
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        const struct cw_interface_fact *part = &facts->interfaces[i];
        if (part->master[0] == '\0' || part->space[0] != '\0')
            continue;
        struct cw_interface_fact *master =
            (struct cw_interface_fact *)cw_facts_interface(facts, part->master);
        if (master != NULL && strcmp(master->kind, "vrf") != 0)
            add_lower(master, part->name);
    }
}

static void probe_space(struct cw_probe *probe, const char *space, const json_t *here)
{
    const char *const arguments[] = {"ip", "-netns", space, "-json", "-details", "link", "show", NULL};
    char name[CW_SPACE_NAME + 32], why[CW_FACT_WORDS] = "", file[CW_SPACE_NAME + 32];
    snprintf(name, sizeof name, "netns-%s-ip-link", space);
    snprintf(file, sizeof file, "/run/netns/%s", space);
    json_t *answer = cw_machine_ask(probe->machine, name, arguments, why, sizeof why);
    size_t i;
    const json_t *link;
    if (answer == NULL && cw_machine_is_stale_space(probe->machine, file)) {
        cw_probe_doubt(probe, file, "is no network namespace any more: not looked into; ip netns del %s",
                       space);
    } else if (answer == NULL) {
        probe->facts->is_use_known = false; /* what is there may stand on a card that is here */
        cw_probe_unread(probe, file, "%.160s: whether it has a card's interface, or what stands on one", why);
    }
    json_array_foreach(answer, i, link) take_link(probe, space, link, answer, here);
    json_decref(answer);
}

static void probe_spaces(struct cw_probe *probe, const json_t *here)
{
    static const char *const arguments[] = {"ip", "-json", "netns", "list", NULL};
    char why[CW_FACT_WORDS] = "";
    json_t *answer = cw_machine_ask(probe->machine, "ip-netns", arguments, why, sizeof why);
    size_t i;
    const json_t *space;
    if (answer == NULL) {
        probe->facts->is_use_known = false;
        cw_probe_unread(probe, "ip -json netns list", "%.160s: which interfaces are in other namespaces",
                        why);
    }
    json_array_foreach(answer, i, space)
    {
        const char *name = cw_probe_json_text(space, "name");
        if (i >= SPACES_MAX) {
            probe->facts->is_use_known = false;
            cw_probe_unread(probe, "ip -json netns list",
                            "has more than %u namespaces: the rest was not looked at", SPACES_MAX);
            break;
        }
        if (cw_probe_is_name(name, CW_SPACE_NAME)) {
            probe_space(probe, name, here);
            continue;
        }
        probe->facts->is_use_known = false;
        cw_probe_doubt(probe, "ip -json netns list", "has a namespace \"%.40s\": not believed", name);
    }
    json_decref(answer);
}

struct child_search {
    struct cw_probe *probe;
    const char *card;
    bool has_network;
};

static void take_child(void *context, const char *name)
{
    struct child_search *search = context;
    char path[CW_PROBE_PATH];
    if (strncmp(name, "virtio", 6) != 0)
        return;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%.64s/net", search->card, name);
    search->has_network |= cw_machine_has(search->probe->machine, path);
}

/* A virtio device may be without its network driver; its folder net stays where an interface went elsewhere. */
static bool is_gone(struct cw_probe *probe, const struct cw_card_fact *card)
{
    struct child_search search = {.probe = probe, .card = card->address};
    char path[CW_PROBE_PATH];
    for (uint32_t i = 0; i < probe->facts->interface_count; i++)
        if (strcmp(probe->facts->interfaces[i].card, card->address) == 0)
            return false;
    if (card->driver[0] == '\0' || cw_driver_use(card->driver) != CW_DRIVER_FOR_KERNEL)
        return false;
    if (card->bus != CW_BUS_PCI || strcmp(card->driver, "virtio-pci") != 0)
        return true;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", card->address);
    cw_machine_list(probe->machine, path, take_child, &search);
    return search.has_network;
}

void cw_probe_interfaces(struct cw_probe *probe)
{
    static const char *const arguments[] = {"ip", "-json", "-details", "link", "show", NULL};
    struct cw_facts *facts = probe->facts;
    char why[CW_FACT_WORDS] = "";
    json_t *answer = cw_machine_ask(probe->machine, "ip-link", arguments, why, sizeof why);
    size_t i;
    const json_t *link;
    if (!json_is_array(answer)) {
        facts->is_use_known = false;
        facts->lacks_interfaces = true;
        cw_probe_unread(probe, LINK_ANSWER, "%.160s: which interfaces there are",
                        answer == NULL ? why : "is no list");
    }
    /* A host of containers has hundreds of pairs: they come last, and take nobody's room. */
    json_array_foreach(answer, i, link) if (!cw_link_is_pair(kind_of(link)))
        take_link(probe, "", link, NULL, NULL);
    probe_spaces(probe, answer);
    json_array_foreach(answer, i, link) if (cw_link_is_pair(kind_of(link)))
        take_link(probe, "", link, NULL, NULL);
    probe_parts(facts);
    for (uint32_t card = 0; json_is_array(answer) && card < facts->card_count; card++)
        facts->cards[card].is_network_driver_gone = is_gone(probe, &facts->cards[card]);
    json_decref(answer);
}

/* An int32_t for a number of queues that can be true. */
static int32_t take_queues(struct cw_probe *probe, const json_t *said, const char *name, const char *key)
{
    int64_t number = cw_probe_json_number(said, key, CW_FACT_UNKNOWN);
    if (number >= 0 && number <= 65535)
        return (int32_t)number;
    const json_t *value = json_object_get(said, key);
    if (json_is_integer(value))
        cw_probe_doubt(probe, "ethtool", "%s: %s is %" PRId64 ": not believed", name, key, number);
    else if (value != NULL)
        cw_probe_doubt(probe, "ethtool", "%s: %s is no number: not believed", name, key);
    return CW_FACT_UNKNOWN;
}

/* -1, in all bits of the kernel's number, is its word for a speed that it does not know: of every virtual card. 0 is what
 * some drivers have without a link. */
static void take_speed(struct cw_probe *probe, const json_t *said, struct cw_interface_fact *interface)
{
    const json_t *value = json_object_get(said, "speed");
    int64_t speed = cw_probe_json_number(said, "speed", INT64_MIN);
    if (value == NULL || speed == -1 || speed == UINT32_MAX || (speed == 0 && !interface->has_carrier))
        return;
    if (speed > 0 && speed <= SPEED_MAX)
        interface->speed_mbps = speed;
    else if (!json_is_integer(value))
        cw_probe_doubt(probe, "ethtool", "%s: its speed is no number: not believed", interface->name);
    else
        cw_probe_doubt(probe, "ethtool", "%s: its speed is %" PRId64 " Mb/s%s: not believed", interface->name,
                       speed, interface->has_carrier ? " with a link" : "");
}

void cw_probe_queues(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    char why[CW_FACT_WORDS] = "";
    json_t *answer = cw_machine_ethtool(probe->machine, why, sizeof why);
    if (!json_is_object(answer))
        cw_probe_unread(probe, "ethtool", "%.160s: queues and speeds", answer == NULL ? why : "is no object");
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        struct cw_interface_fact *interface = &facts->interfaces[i];
        const json_t *said = json_object_get(answer, interface->name);
        if (interface->space[0] != '\0' || said == NULL)
            continue;
        interface->queues = take_queues(probe, said, interface->name, "queues");
        interface->queues_max = take_queues(probe, said, interface->name, "queues_max");
        interface->rx_queues = take_queues(probe, said, interface->name, "rx_queues");
        interface->rx_queues_max = take_queues(probe, said, interface->name, "rx_queues_max");
        interface->tx_queues = take_queues(probe, said, interface->name, "tx_queues");
        if (interface->queues > interface->queues_max && interface->queues_max != CW_FACT_UNKNOWN) {
            cw_probe_doubt(probe, "ethtool", "%s has %d queues of %d: not believed", interface->name,
                           interface->queues, interface->queues_max);
            interface->queues = interface->queues_max = CW_FACT_UNKNOWN;
        }
        take_speed(probe, said, interface);
    }
    json_decref(answer);
}
