/* SPDX-License-Identifier: BSD-3-Clause */
#include "plan_rig.h"

#include <stdlib.h>

struct rig rig;

static void set(char *to, size_t size, const char *text)
{
    size_t length = strlen(text);
    assert_true(length < size);
    memmove(to, text, length + 1);
}
#define SET(to, text) set(to, sizeof(to), text)

struct cw_card_fact *rig_card(const char *address)
{
    for (uint32_t i = 0; i < rig.facts.card_count; i++)
        if (strcmp(rig.facts.cards[i].address, address) == 0)
            return &rig.facts.cards[i];
    fail_msg("no card %s", address);
    return NULL;
}

struct cw_interface_fact *rig_interface(const char *name)
{
    for (uint32_t i = 0; i < rig.facts.interface_count; i++)
        if (strcmp(rig.facts.interfaces[i].name, name) == 0)
            return &rig.facts.interfaces[i];
    fail_msg("no interface %s", name);
    return NULL;
}

struct cw_card_fact *rig_add_card(const char *address, const char *driver, const char *pmd,
                                  enum cw_pmd_kind kind, int32_t node, int32_t group)
{
    assert_true(rig.facts.card_count < CW_CARDS_MAX);
    struct cw_card_fact *card = &rig.facts.cards[rig.facts.card_count++];
    *card = (struct cw_card_fact){.node = node,
                                  .iommu_group = group,
                                  .pmd_kind = kind,
                                  .functions_max = 0,
                                  .functions_offset = CW_FACT_UNKNOWN,
                                  .functions_stride = CW_FACT_UNKNOWN,
                                  .link_mts = CW_FACT_UNKNOWN,
                                  .link_lanes = CW_FACT_UNKNOWN};
    SET(card->address, address);
    SET(card->driver, driver);
    SET(card->pmd, pmd);
    return card;
}

struct cw_interface_fact *rig_add_interface(const char *name, const char *card, const char *kind)
{
    assert_true(rig.facts.interface_count < CW_INTERFACES_MAX);
    uint32_t index = rig.facts.interface_count++;
    struct cw_interface_fact *interface = &rig.facts.interfaces[index];
    *interface = (struct cw_interface_fact){.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)index},
                                            .mtu = 1500,
                                            .mtu_max = 9600,
                                            .is_up = true,
                                            .has_carrier = true,
                                            .speed_mbps = CW_FACT_UNKNOWN,
                                            .queues = CW_FACT_UNKNOWN,
                                            .queues_max = CW_FACT_UNKNOWN,
                                            .rx_queues = CW_FACT_UNKNOWN,
                                            .rx_queues_max = CW_FACT_UNKNOWN,
                                            .tx_queues = CW_FACT_UNKNOWN};
    SET(interface->name, name);
    SET(interface->card, card);
    SET(interface->kind, kind);
    return interface;
}

void rig_add_member(int32_t group, const char *address, const char *driver, const char *use, bool is_bridge)
{
    struct cw_member_fact *member = &rig.facts.members[rig.facts.member_count++];
    *member = (struct cw_member_fact){.group = group, .is_bridge = is_bridge};
    SET(member->address, address);
    SET(member->driver, driver);
    SET(member->use, use);
}

void rig_add_address(const char *interface, const char *address)
{
    struct cw_interface_fact *of = rig_interface(interface);
    struct cw_address_fact *fact = &of->addresses[of->address_count++];
    fact->is_link_local = strncmp(address, "fe80:", 5) == 0;
    SET(fact->text, address);
}

struct cw_wish_path *rig_add_path(const char *name, const char *card)
{
    struct cw_wish_path *path = &rig.wish.paths[rig.wish.path_count++];
    *path = (struct cw_wish_path){.queues = 1, .mtu = 1500};
    SET(path->name, name);
    SET(path->card, card);
    return path;
}

void rig_force(const char *name)
{
    SET(rig.wish.force[rig.wish.force_count], name);
    rig.wish.force_count++;
}

static void add_cpus(void)
{
    for (uint32_t i = 0; i < 16; i++) { /* 8 to 15 are the siblings of 0 to 7 */
        struct cw_cpu_fact *cpu = &rig.facts.cpus[rig.facts.cpu_count++];
        *cpu = (struct cw_cpu_fact){.id = i,
                                    .node = (int32_t)(i % 8 / 4),
                                    .package = (int32_t)(i % 8 / 4),
                                    .core = (int32_t)(i % 8),
                                    .is_online = true,
                                    .may_be_used = true,
                                    .khz_max = 3000000,
                                    .governor = "performance"};
    }
    for (int32_t n = 0; n < 2; n++) {
        struct cw_node_fact *node = &rig.facts.nodes[rig.facts.node_count++];
        *node = (struct cw_node_fact){.id = n, .memory_mib = 16384, .page_count = 2};
        node->pages[0] = (struct cw_page_fact){.kib = 2048, .total = 0, .free = 0};
        node->pages[1] = (struct cw_page_fact){.kib = 1048576, .total = 0, .free = 0};
        for (uint32_t i = 0; i < 16; i++)
            if ((int32_t)(i % 8 / 4) == n)
                cw_cpu_set_add(&node->cpus, i);
    }
}

static void add_cards(void)
{
    rig_add_card("0000:00:03.0", "igb", "net_e1000_igb", CW_PMD_USERSPACE, 0, 1);
    rig_add_interface("eth0", "0000:00:03.0", "")->has_default_route = true;
    rig_interface("eth0")->has_login = true;
    rig_add_address("eth0", "192.0.2.2/24");
    rig.facts.logins[rig.facts.login_count++] = (struct cw_login_fact){
        .who = "anna", .from = "198.51.100.7", .local = "192.0.2.2", .interface = "eth0"};
    struct cw_card_fact *card = rig_add_card("0000:03:00.0", "ice", "net_ice", CW_PMD_USERSPACE, 0, 14);
    card->functions_max = 8;
    card->functions_offset = 8;
    card->functions_stride = 1;
    rig_add_interface("eth1", "0000:03:00.0", "")->speed_mbps = 25000;
    rig_add_address("eth1", "fe80::1/64");
    rig_add_card("0000:03:00.1", "ice", "net_ice", CW_PMD_USERSPACE, 0, 15);
    rig_add_interface("eth2", "0000:03:00.1", "")->speed_mbps = 25000;
    rig_add_card("0000:05:00.0", "r8169", "", CW_PMD_NONE, 0, 16);
    rig_add_interface("eth3", "0000:05:00.0", "")->queues = 8;
    rig_interface("eth3")->queues_max = 8;
    rig_add_card("0000:41:00.0", "mlx5_core", "mlx5_pci", CW_PMD_BIFURCATED, 1, 30);
    rig_add_interface("eth4", "0000:41:00.0", "")->speed_mbps = 100000;
}

void rig_begin(void)
{
    memset(&rig, 0, sizeof rig);
    struct cw_facts *facts = &rig.facts;
    facts->is_root = true;
    facts->has_iommu = true;
    facts->is_use_known = true;
    SET(facts->iommu, "dmar");
    facts->has_vfio = true;
    facts->has_noiommu = true;
    facts->has_uio_generic = true;
    facts->has_smt = true;
    facts->hugepage_kib = 2048;
    add_cpus();
    add_cards();
    rig_add_path("wan0", "0000:03:00.0");
    rig.wish.are_lcores_named = true; /* none */
    SET(rig.folders.state, "/var/lib/causeway/nic");
    SET(rig.folders.prepared, "/run/causeway/nic");
    SET(rig.folders.units, "/etc/systemd/system");
    SET(rig.folders.program, "/usr/bin/causeway-nic");
}

void rig_plan(void)
{
    static struct cw_plan again;
    memset(&rig.plan, 0x55, sizeof rig.plan);
    memset(&again, 0xaa, sizeof again);
    cw_plan_make(&rig.facts, &rig.wish, &rig.folders, &rig.plan);
    cw_plan_make(&rig.facts, &rig.wish, &rig.folders, &again);
    assert_memory_equal(&rig.plan, &again, sizeof again);
}

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    size_t used = strlen(rig.text);
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(rig.text + used, sizeof rig.text - used, format, arguments);
    va_end(arguments);
    assert_true(written >= 0 && (size_t)written < sizeof rig.text - used);
}

const char *rig_steps(void)
{
    rig.text[0] = 0;
    for (uint32_t i = 0; i < rig.plan.step_count; i++) {
        const struct cw_step *step = &rig.plan.steps[i];
        add("%s %s", cw_step_names[step->kind], step->subject);
        if (step->kind != CW_STEP_FILE && step->value[0] != 0)
            add(" = %s", step->value);
        if (step->interface[0] != 0)
            add(" (%s)", step->interface);
        add("\n");
    }
    return rig.text;
}

const char *rig_refusals(void)
{
    rig.text[0] = 0;
    for (uint32_t i = 0; i < rig.plan.refusal_count; i++)
        add("%s: %s | %s\n", rig.plan.refusals[i].path, rig.plan.refusals[i].words,
            rig.plan.refusals[i].remedy);
    return rig.text;
}

const char *rig_warnings(void)
{
    rig.text[0] = 0;
    for (uint32_t i = 0; i < rig.plan.warning_count; i++)
        add("%s\n", rig.plan.warnings[i]);
    return rig.text;
}

const char *rig_notes(void)
{
    rig.text[0] = 0;
    for (uint32_t i = 0; i < rig.plan.note_count; i++)
        add("%s\n", rig.plan.notes[i]);
    return rig.text;
}

/* ---------------------------------------------------------------- as it is afterwards */

static void forget_interfaces(const char *card)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rig.facts.interface_count; i++)
        if (strcmp(rig.facts.interfaces[i].card, card) != 0 || rig.facts.interfaces[i].kind[0] != 0)
            rig.facts.interfaces[kept++] = rig.facts.interfaces[i];
    rig.facts.interface_count = kept;
}

static void do_bind(const struct cw_step *step)
{
    forget_interfaces(step->subject);
    for (uint32_t i = 0; i < rig.facts.card_count; i++) {
        struct cw_card_fact *card = &rig.facts.cards[i];
        if (strcmp(card->address, step->subject) != 0)
            continue;
        SET(card->driver, step->value);
        card->irq_count = 0;
        if (rig.facts.is_noiommu_on && card->iommu_group < 0) {
            card->is_noiommu = true;
            card->iommu_group = (int32_t)i;
        }
    }
    for (uint32_t i = 0; i < rig.facts.member_count; i++)
        if (strcmp(rig.facts.members[i].address, step->subject) == 0)
            SET(rig.facts.members[i].driver, step->value);
}

static void make_functions(const char *address, int count)
{
    struct cw_card_fact *card = rig_card(address);
    unsigned bus, device, part;
    card->functions = count;
    assert_int_equal(sscanf(address, "%*x:%x:%x.%x", &bus, &device, &part), 3);
    for (int k = 0; k < count && rig.facts.card_count < CW_CARDS_MAX; k++) {
        char name[CW_PCI_ADDRESS];
        unsigned id = bus * 256 + device * 8 + part + (unsigned)card->functions_offset +
                      (unsigned)(k * card->functions_stride);
        snprintf(name, sizeof name, "0000:%02x:%02x.%x", id / 256, id / 8 % 32, id % 8);
        struct cw_card_fact *made =
            rig_add_card(name, "iavf", "net_iavf", CW_PMD_USERSPACE, card->node, 100 + k);
        SET(made->physical, address);
    }
}

static void do_write(const struct cw_step *step)
{
    int node, kib;
    unsigned irq;
    char address[CW_PCI_ADDRESS];
    if (sscanf(step->subject, "/sys/devices/system/node/node%d/hugepages/hugepages-%dkB", &node, &kib) == 2) {
        for (uint32_t i = 0; i < rig.facts.node_count; i++)
            for (uint32_t p = 0; p < rig.facts.nodes[i].page_count; p++)
                if (rig.facts.nodes[i].id == node && rig.facts.nodes[i].pages[p].kib == kib)
                    rig.facts.nodes[i].pages[p].total = atoi(step->value);
    } else if (sscanf(step->subject, "/proc/irq/%u/", &irq) == 1) {
        for (uint32_t c = 0; c < rig.facts.card_count; c++)
            for (uint32_t i = 0; i < rig.facts.cards[c].irq_count; i++)
                if (rig.facts.cards[c].irqs[i] == irq) {
                    struct cw_cpu_set *set = &rig.facts.cards[c].irq_cpus[i];
                    memset(set, 0, sizeof *set);
                    for (const char *at = step->value; at[0] != 0;) {
                        char *end;
                        unsigned long from = strtoul(at, &end, 10), to = from;
                        if (end[0] == '-')
                            to = strtoul(end + 1, &end, 10);
                        for (unsigned long cpu = from; cpu <= to; cpu++)
                            cw_cpu_set_add(set, (uint32_t)cpu);
                        at = end + (end[0] == ',');
                    }
                }
    } else if (sscanf(step->subject, "/sys/bus/pci/devices/%12s", address) == 1) {
        make_functions(address, atoi(step->value));
    } else {
        assert_non_null(strstr(step->subject, "noiommu"));
        rig.facts.is_noiommu_on = true;
    }
}

static void do_file(const struct cw_step *step)
{
    const char *last = step->kind == CW_STEP_LINK ? strrchr(step->value, '/') : NULL;
    struct cw_file_fact *file = NULL;
    for (uint32_t i = 0; i < rig.facts.file_count && file == NULL; i++)
        if (strcmp(rig.facts.files[i].path, step->subject) == 0)
            file = &rig.facts.files[i];
    if (file == NULL)
        file = &rig.facts.files[rig.facts.file_count++];
    SET(file->path, step->subject);
    SET(file->text, last != NULL ? last + 1 : step->value);
    size_t length = strlen(file->text);
    if (length > 0 && file->text[length - 1] == '\n')
        file->text[length - 1] = 0; /* as cw_machine_text reads it */
}

static void do_interface(const struct cw_step *step)
{
    struct cw_interface_fact *interface = rig_interface(step->subject);
    switch (step->kind) {
    case CW_STEP_GIVE_UP:
        interface->address_count = 0;
        interface->route_count = 0;
        interface->has_default_route = false;
        interface->has_login = false;
        interface->is_up = false;
        interface->master[0] = 0;
        break;
    case CW_STEP_CHANNELS:
        interface->queues = atoi(step->value);
        break;
    default:
        interface->mtu = atoi(step->value);
        break;
    }
}

void rig_do_steps(void)
{
    for (uint32_t i = 0; i < rig.plan.step_count; i++) {
        const struct cw_step *step = &rig.plan.steps[i];
        switch (step->kind) {
        case CW_STEP_WRITE:
            do_write(step);
            break;
        case CW_STEP_MODULE:
            rig.facts.is_vfio_loaded = rig.facts.is_vfio_loaded || strncmp(step->subject, "vfio", 4) == 0;
            rig.facts.is_vfio_pci_loaded =
                rig.facts.is_vfio_pci_loaded || strcmp(step->subject, "vfio-pci") == 0;
            rig.facts.is_noiommu_on = rig.facts.is_noiommu_on || step->value[0] != 0;
            rig.facts.is_uio_generic_loaded =
                rig.facts.is_uio_generic_loaded || strcmp(step->subject, "uio_pci_generic") == 0;
            break;
        case CW_STEP_BIND:
            do_bind(step);
            break;
        case CW_STEP_FILE:
        case CW_STEP_LINK:
            do_file(step);
            break;
        default:
            do_interface(step);
            break;
        }
    }
}
