/* SPDX-License-Identifier: BSD-3-Clause */
/* The same facts as JSON: format 1, all keys always there, null what is not known. */
#include <inttypes.h>
#include <string.h>

#include "nic-config/show.h"

static json_t *known_text(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *known(int64_t value)
{
    return value == CW_FACT_UNKNOWN ? json_null() : json_integer(value);
}

static void put(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key,
                              value); /* without memory the key is not there, and the reader sees it */
}

static void put_text(json_t *object, const char *key, const char *text)
{
    put(object, key, known_text(text));
}

static void put_bool(json_t *object, const char *key, bool value)
{
    put(object, key, json_boolean(value));
}

static void put_number(json_t *object, const char *key, int64_t value)
{
    put(object, key, known(value));
}

/* As lspci writes them: "8086:159b". */
static void put_pair(json_t *object, const char *key, bool is_known, uint16_t vendor, uint16_t device)
{
    char words[16];
    snprintf(words, sizeof words, "%04x:%04x", vendor, device);
    put_text(object, key, is_known ? words : "");
}

static json_t *begin(json_t *list)
{
    json_t *object = json_object();
    (void)json_array_append_new(list, object);
    return object;
}

static json_t *cpus_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        const struct cw_cpu_fact *cpu = &facts->cpus[i];
        json_t *object = begin(list);
        put_number(object, "id", cpu->id);
        put_number(object, "node", cpu->node);
        put_number(object, "package", cpu->package);
        put_number(object, "core", cpu->core);
        put_bool(object, "online", cpu->is_online);
        put_bool(object, "isolated", cpu->is_isolated);
        put_bool(object, "tickless", cpu->is_tickless);
        put_bool(object, "efficient", cpu->is_efficient);
        put_bool(object, "usable", cpu->may_be_used);
        put_number(object, "khz_max", cpu->khz_max);
        put_text(object, "governor", cpu->governor);
    }
    return list;
}

static json_t *nodes_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->node_count; i++) {
        const struct cw_node_fact *node = &facts->nodes[i];
        char words[512];
        cw_show_cpus(&node->cpus, words, sizeof words);
        json_t *object = begin(list), *pages = json_array();
        put_number(object, "id", node->id);
        put_text(object, "cpus", strcmp(words, "none") == 0 ? "" : words);
        put_number(object, "memory_mib", node->memory_mib);
        for (uint32_t j = 0; j < node->page_count; j++) {
            json_t *page = begin(pages);
            put_number(page, "kib", node->pages[j].kib);
            put_number(page, "total", node->pages[j].total);
            put_number(page, "free", node->pages[j].free);
        }
        put(object, "hugepages", pages);
    }
    return list;
}

static json_t *mounts_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->mount_count; i++) {
        json_t *object = begin(list);
        put_text(object, "folder", facts->mounts[i].folder);
        put_number(object, "page_kib", facts->mounts[i].page_kib);
    }
    return list;
}

/* Numbers of interrupts are left out: they are others each time that a driver takes the card. */
static void put_card(json_t *object, const struct cw_facts *facts, const struct cw_card_fact *card)
{
    static const char *const kinds[] = {[CW_PMD_NONE] = "",
                                        [CW_PMD_USERSPACE] = "userspace",
                                        [CW_PMD_BIFURCATED] = "bifurcated",
                                        [CW_PMD_HYPERV] = "hyperv",
                                        [CW_PMD_UNKNOWN] = ""};
    char name[40];
    bool is_pci = card->bus == CW_BUS_PCI;
    put_text(object, "address", card->address);
    put_text(object, "bus", is_pci ? "pci" : "vmbus");
    put_pair(object, "id", is_pci, card->vendor, card->device);
    put_pair(object, "subsystem", is_pci, card->subsystem_vendor, card->subsystem_device);
    put_text(object, "name", card->name);
    put_text(object, "driver", card->driver);
    put_text(object, "override", card->override);
    put_text(object, "pmd", card->pmd);
    put_text(object, "pmd_kind", kinds[card->pmd_kind]);
    put_number(object, "node", card->node);
    put_number(object, "iommu_group", card->iommu_group);
    put_bool(object, "noiommu", card->is_noiommu);
    put_number(object, "functions", card->functions);
    put_number(object, "functions_max", card->functions_max);
    put_text(object, "physical", card->physical);
    put_number(object, "link_mts", card->link_mts);
    put_number(object, "link_lanes", card->link_lanes);
    put_number(object, "link_mbps", cw_show_link_mbps(card));
    put_number(object, "interrupts", card->irq_count);
    put_bool(object, "interface_elsewhere", card->is_network_driver_gone);
    const char *path = cw_show_prepared(facts, "card", card->address, name);
    put_text(object, "prepared", path ? path : "");
}

static json_t *cards_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->card_count; i++)
        put_card(begin(list), facts, &facts->cards[i]);
    return list;
}

static json_t *members_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->member_count; i++) {
        const struct cw_member_fact *member = &facts->members[i];
        json_t *object = begin(list);
        put_number(object, "group", member->group);
        put_text(object, "address", member->address);
        put_text(object, "driver", member->driver);
        char class[16];
        snprintf(class, sizeof class, "%06x", member->class_code);
        put_text(object, "class", class);
        put_text(object, "use", member->use);
        put_bool(object, "bridge", member->is_bridge);
    }
    return list;
}

static json_t *addresses_of(const struct cw_interface_fact *one)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < one->address_count; i++) {
        json_t *object = begin(list);
        put_text(object, "address", one->addresses[i].text);
        put_bool(object, "link_local", one->addresses[i].is_link_local);
    }
    return list;
}

static json_t *routes_of(const struct cw_interface_fact *one)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < one->route_count; i++) {
        json_t *object = begin(list);
        put_text(object, "route", one->routes[i].text);
        put_number(object, "version", one->routes[i].version);
        put_bool(object, "default", one->routes[i].is_default);
        put_bool(object, "of_kernel", one->routes[i].is_of_kernel);
    }
    return list;
}

static void put_interface(json_t *object, const struct cw_facts *facts, const struct cw_interface_fact *one)
{
    char name[40];
    const char *path = cw_show_prepared(facts, "interface", one->name, name);
    char mac[18];
    snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", one->mac[0], one->mac[1], one->mac[2],
             one->mac[3], one->mac[4], one->mac[5]);
    json_t *lower = json_array();
    for (uint32_t i = 0; i < one->lower_count; i++)
        (void)json_array_append_new(lower, known_text(one->lower[i]));
    put_text(object, "name", one->name);
    put_text(object, "card", one->card);
    put_text(object, "kind", one->kind);
    put_text(object, "namespace", one->space);
    put_text(object, "master", one->master);
    put(object, "lower", lower);
    put_number(object, "vlan", one->vlan);
    put_text(object, "mac", mac);
    put_number(object, "mtu", one->mtu);
    put_number(object, "mtu_max", one->mtu_max);
    put_bool(object, "up", one->is_up);
    put_bool(object, "carrier", one->has_carrier);
    put_number(object, "speed_mbps", one->speed_mbps);
    put_number(object, "queues", one->queues);
    put_number(object, "queues_max", one->queues_max);
    put_number(object, "rx_queues", one->rx_queues);
    put_number(object, "rx_queues_max", one->rx_queues_max);
    put_number(object, "tx_queues", one->tx_queues);
    put_bool(object, "xdp", one->has_program);
    put(object, "addresses", addresses_of(one));
    put(object, "routes", routes_of(one));
    put_bool(object, "default_route", one->has_default_route);
    put_bool(object, "login", one->has_login);
    put_bool(object, "cut", one->is_cut);
    put_text(object, "prepared", path ? path : "");
}

static json_t *interfaces_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    uint32_t order[CW_INTERFACES_MAX];
    cw_show_order(facts, order);
    for (uint32_t i = 0; i < facts->interface_count; i++)
        put_interface(begin(list), facts, &facts->interfaces[order[i]]);
    return list;
}

static json_t *logins_of(const struct cw_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < facts->login_count; i++) {
        json_t *object = begin(list);
        put_text(object, "who", facts->logins[i].who);
        put_text(object, "from", facts->logins[i].from);
        put_text(object, "local", facts->logins[i].local);
        put_text(object, "interface", facts->logins[i].interface);
    }
    return list;
}

static json_t *not_known(const struct cw_doubt_fact *found, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *object = begin(list);
        put_text(object, "file", found[i].file);
        put_text(object, "words", found[i].words);
    }
    return list;
}

json_t *cw_show_json(const struct cw_facts *facts)
{
    json_t *all = json_object();
    put_number(all, "format", 1);
    put_text(all, "kernel", facts->kernel);
    put_text(all, "command_line", facts->command_line);
    put_bool(all, "root", facts->is_root);
    put_bool(all, "has_iommu", facts->has_iommu);
    put_text(all, "iommu", facts->iommu);
    put_bool(all, "vfio", facts->has_vfio);
    put_bool(all, "vfio_loaded", facts->is_vfio_loaded);
    put_bool(all, "vfio_pci_loaded", facts->is_vfio_pci_loaded);
    put_bool(all, "noiommu", facts->has_noiommu);
    put_bool(all, "noiommu_on", facts->is_noiommu_on);
    put_bool(all, "uio_generic", facts->has_uio_generic);
    put_bool(all, "uio_generic_loaded", facts->is_uio_generic_loaded);
    put_bool(all, "smt", facts->has_smt);
    put_bool(all, "irqbalance", facts->has_irqbalance);
    put_bool(all, "systemd", facts->has_systemd);
    put(all, "cards", cards_of(facts));
    put(all, "interfaces", interfaces_of(facts));
    put(all, "group_members", members_of(facts));
    put(all, "nodes", nodes_of(facts));
    put(all, "hugetlbfs", mounts_of(facts));
    put(all, "cpus", cpus_of(facts));
    put_bool(all, "use_known", facts->is_use_known);
    put(all, "logins", logins_of(facts));
    put(all, "doubts", not_known(facts->doubts, facts->doubt_count));
    put(all, "unread", not_known(facts->unread, facts->unread_count));
    return all;
}
