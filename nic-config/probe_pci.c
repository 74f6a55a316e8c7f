/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cards: what is a network device on PCI or on Hyper-V's VMBus, with and without a driver. Sysfs is read by ourselves, as
 * libpci knows nothing of drivers and groups; libpci gives their names.
 */
#include <pci/pci.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "nic-config/probe_private.h"

#define PCI_FOLDER    "/sys/bus/pci/devices"
#define VMBUS_FOLDER  "/sys/bus/vmbus/devices"
#define VMBUS_NETWORK "f8615163-df3e-46c5-913f-f2d2f965ed0e" /* the class of its network devices */
#define CLASS_NETWORK 0x02

/* Physical cards first, so that hundreds of virtual functions leave them their room. */
struct card_search {
    struct cw_probe *probe;
    bool takes_virtual;
    uint32_t left_out;
};

struct number_search {
    struct cw_probe *probe;
    struct cw_card_fact *card;
    uint32_t left_out;
};

static void card_file(const struct cw_card_fact *card, const char *name, char path[CW_PROBE_PATH])
{
    snprintf(path, CW_PROBE_PATH, "%s/%s/%s", card->bus == CW_BUS_PCI ? PCI_FOLDER : VMBUS_FOLDER,
             card->address, name);
}

static bool card_number(struct cw_probe *probe, const struct cw_card_fact *card, const char *name,
                        int64_t min, int64_t max, int64_t *value)
{
    char path[CW_PROBE_PATH];
    card_file(card, name, path);
    return cw_probe_number(probe, path, min, max, value, "what a card is");
}

static uint16_t card_id(struct cw_probe *probe, const struct cw_card_fact *card, const char *name)
{
    int64_t id = 0;
    card_number(probe, card, name, 0, 0xffff, &id);
    return (uint16_t)id;
}

static void probe_driver(struct cw_probe *probe, struct cw_card_fact *card)
{
    char path[CW_PROBE_PATH], text[sizeof card->override];
    card_file(card, "driver", path);
    cw_probe_link(probe, path, card->driver, sizeof card->driver, "the driver of a card");
    card_file(card, "driver_override", path);
    if (!cw_probe_text(probe, path, text, sizeof text, "the driver that a card is kept for") ||
        strcmp(text, "(null)") == 0 || text[0] == '\0')
        return;
    if (cw_probe_is_name(text, sizeof text))
        snprintf(card->override, sizeof card->override, "%s", text);
    else
        cw_probe_doubt(probe, path, "says \"%s\", which is no driver: not believed", text);
}

static void probe_place(struct cw_probe *probe, struct cw_card_fact *card)
{
    char path[CW_PROBE_PATH], name[CW_DRIVER_NAME];
    int64_t number;
    card_file(card, "numa_node", path);
    if (card_number(probe, card, "numa_node", -1, 65535, &number) && number >= 0 &&
        probe->facts->node_count > 0) {
        if (cw_facts_node(probe->facts, (int32_t)number) != NULL)
            card->node = (int32_t)number;
        else
            cw_probe_doubt(probe, path, "says node %d, which is not there: not believed", (int)number);
    }
    card_file(card, "iommu_group", path);
    if (!cw_probe_link(probe, path, name, sizeof name, "who shares an IOMMU group with a card"))
        return;
    if (!cw_probe_parse(name, 10, &number) || number < 0 || number > INT32_MAX) {
        cw_probe_doubt(probe, path, "leads to \"%s\", which is no group: not believed", name);
        return;
    }
    card->iommu_group = (int32_t)number;
    snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%d/name", card->iommu_group);
    card->is_noiommu =
        cw_probe_text(probe, path, name, sizeof name, "what a group is") && strcmp(name, "vfio-noiommu") == 0;
}

/* 0 only where the kernel says so, or has no such file, as of a card without SR-IOV: nobody may lose virtual functions to a
 * file that could not be read. */
static int32_t count_functions(struct cw_probe *probe, const struct cw_card_fact *card, const char *name)
{
    char path[CW_PROBE_PATH], text[64];
    int64_t count;
    card_file(card, name, path);
    enum cw_status status = cw_machine_text(probe->machine, path, text, sizeof text);
    if (status == CW_NOT_FOUND)
        return 0;
    if (status == CW_IO)
        cw_probe_unread(probe, path, "an error: how many virtual functions a card has");
    return card_number(probe, card, name, 0, 65535, &count) ? (int32_t)count : CW_FACT_UNKNOWN;
}

static void probe_functions(struct cw_probe *probe, struct cw_card_fact *card)
{
    char path[CW_PROBE_PATH];
    int64_t number;
    card->functions_max = count_functions(probe, card, "sriov_totalvfs");
    card->functions = count_functions(probe, card, "sriov_numvfs");
    card_file(card, "sriov_numvfs", path);
    if (card->functions_max != CW_FACT_UNKNOWN && card->functions > card->functions_max) {
        cw_probe_doubt(probe, path, "says %d of %d: not believed", card->functions, card->functions_max);
        card->functions = CW_FACT_UNKNOWN;
    }
    if (card_number(probe, card, "sriov_offset", 0, 65535, &number))
        card->functions_offset = (int32_t)number;
    if (card_number(probe, card, "sriov_stride", 0, 65535, &number))
        card->functions_stride = (int32_t)number;
    card_file(card, "physfn", path);
    if (cw_probe_link(probe, path, card->physical, sizeof card->physical, "whose a virtual function is") &&
        !cw_probe_is_pci(card->physical)) {
        cw_probe_doubt(probe, path, "leads to \"%s\", which is no card: not believed", card->physical);
        card->physical[0] = '\0';
    }
}

/* "16.0 GT/s PCIe"; "Unknown" while the card sleeps. */
static void probe_link(struct cw_probe *probe, struct cw_card_fact *card)
{
    char path[CW_PROBE_PATH], text[64];
    int64_t lanes;
    int consumed = 0;
    unsigned whole, tenth = 0;
    card_file(card, "current_link_speed", path);
    if (cw_probe_text(probe, path, text, sizeof text, "how fast a card's slot is") &&
        strncmp(text, "Unknown", 7) != 0) {
        bool is_speed = sscanf(text, "%4u.%1u%n", &whole, &tenth, &consumed) == 2 ||
                        (tenth = 0, sscanf(text, "%4u%n", &whole, &consumed) == 1);
        if (is_speed && strncmp(text + consumed, " GT/s", 5) == 0 && whole >= 1 && whole <= 256)
            card->link_mts = whole * 1000ll + tenth * 100;
        else
            cw_probe_doubt(probe, path, "says \"%s\": not believed", text);
    }
    /* 0, and all bits, are how a card without a link says so */
    card_file(card, "current_link_width", path);
    if (card_number(probe, card, "current_link_width", 0, 255, &lanes) && lanes != 0 && lanes != 63 &&
        lanes != 255) {
        if (lanes <= 32)
            card->link_lanes = (int32_t)lanes;
        else
            cw_probe_doubt(probe, path, "says %d lanes: not believed", (int)lanes);
    }
}

static void take_irq(void *context, const char *name)
{
    struct number_search *search = context;
    struct cw_card_fact *card = search->card;
    int64_t irq;
    if (!cw_probe_parse(name, 10, &irq) || irq <= 0 || irq > INT32_MAX) {
        char path[CW_PROBE_PATH];
        card_file(card, "msi_irqs", path);
        cw_probe_doubt(search->probe, path, "has \"%.40s\", which is no interrupt: not believed", name);
    } else if (card->irq_count == CW_CARD_IRQS_MAX)
        search->left_out++;
    else {
        uint32_t at = card->irq_count++;
        for (; at > 0 && card->irqs[at - 1] > irq; at--)
            card->irqs[at] = card->irqs[at - 1];
        card->irqs[at] = (uint32_t)irq;
    }
}

static void probe_irqs(struct cw_probe *probe, struct cw_card_fact *card)
{
    struct number_search search = {.probe = probe, .card = card};
    char path[CW_PROBE_PATH];
    int64_t irq;
    card_file(card, "msi_irqs", path);
    cw_machine_list(probe->machine, path, take_irq, &search);
    if (search.left_out > 0)
        cw_probe_doubt(probe, path, "has %u interrupts more than there is room for", search.left_out);
    if (card->irq_count == 0 && card->driver[0] != '\0' &&
        card_number(probe, card, "irq", 0, INT32_MAX, &irq) && irq > 0)
        card->irqs[card->irq_count++] = (uint32_t)irq;
    for (uint32_t i = 0; i < card->irq_count; i++) {
        snprintf(path, sizeof path, "/proc/irq/%u/smp_affinity_list", card->irqs[i]);
        cw_probe_cpus(probe, path, &card->irq_cpus[i], "where a card's interrupts go");
    }
}

static struct cw_card_fact *add_card(struct card_search *search, enum cw_bus bus, const char *address)
{
    struct cw_facts *facts = search->probe->facts;
    if (facts->card_count == CW_CARDS_MAX) {
        search->left_out++;
        return NULL;
    }
    struct cw_card_fact *card = &facts->cards[facts->card_count++];
    *card = (struct cw_card_fact){.bus = bus,
                                  .node = CW_FACT_UNKNOWN,
                                  .iommu_group = CW_FACT_UNKNOWN,
                                  .link_mts = CW_FACT_UNKNOWN,
                                  .link_lanes = CW_FACT_UNKNOWN};
    snprintf(card->address, sizeof card->address, "%s", address);
    return card;
}

static void take_pci(void *context, const char *address)
{
    struct card_search *search = context;
    struct cw_probe *probe = search->probe;
    char path[CW_PROBE_PATH];
    int64_t class_code;
    if (!cw_probe_is_pci(address)) {
        if (!search->takes_virtual)
            cw_probe_doubt(probe, PCI_FOLDER, "has \"%.40s\", which is no address of PCI: not believed",
                           address);
        return;
    }
    snprintf(path, sizeof path, PCI_FOLDER "/%s/physfn", address);
    if (cw_machine_has(probe->machine, path) != search->takes_virtual)
        return;
    snprintf(path, sizeof path, PCI_FOLDER "/%s/class", address);
    if (!cw_probe_number(probe, path, 0, 0xffffff, &class_code, "what a device is") ||
        class_code >> 16 != CLASS_NETWORK)
        return;
    struct cw_card_fact *card = add_card(search, CW_BUS_PCI, address);
    if (card == NULL)
        return;
    card->vendor = card_id(probe, card, "vendor");
    card->device = card_id(probe, card, "device");
    card->subsystem_vendor = card_id(probe, card, "subsystem_vendor");
    card->subsystem_device = card_id(probe, card, "subsystem_device");
    probe_driver(probe, card);
    probe_place(probe, card);
    probe_functions(probe, card);
    probe_link(probe, card);
    probe_irqs(probe, card);
}

/* class_id: "{f8615163-df3e-46c5-913f-f2d2f965ed0e}" */
static void take_vmbus(void *context, const char *name)
{
    struct card_search *search = context;
    char path[CW_PROBE_PATH], text[64], address[CW_PCI_ADDRESS];
    snprintf(path, sizeof path, VMBUS_FOLDER "/%.64s/class_id", name);
    if (!cw_probe_text(search->probe, path, text, sizeof text, "what a device is") ||
        strncasecmp(text + (text[0] == '{'), VMBUS_NETWORK, sizeof VMBUS_NETWORK - 1) != 0)
        return;
    if (!cw_probe_card_of_target(name, address, sizeof address)) {
        cw_probe_doubt(search->probe, VMBUS_FOLDER, "has \"%.40s\", which is no device: not believed", name);
        return;
    }
    struct cw_card_fact *card = add_card(search, CW_BUS_VMBUS, address);
    if (card == NULL)
        return;
    snprintf(card->name, sizeof card->name, "Microsoft Hyper-V network adapter");
    probe_driver(search->probe, card);
    probe_place(search->probe, card);
}

/* libpci's own way to tell of a file that is none of its kind would end the program; ours may not return. */
static _Thread_local jmp_buf after_mistake;

__attribute__((noreturn)) static void take_mistake(char *format, ...)
{
    longjmp(after_mistake, 1);
}

static void take_words(char *format, ...)
{
}

static void name_card(struct pci_access *access, struct cw_card_fact *card)
{
    char vendor[128], device[128], both[sizeof vendor + sizeof device];
    const int flags = PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB;
    const char *first =
        pci_lookup_name(access, vendor, sizeof vendor, flags | PCI_LOOKUP_VENDOR, card->vendor);
    const char *second =
        pci_lookup_name(access, device, sizeof device, flags | PCI_LOOKUP_DEVICE, card->vendor, card->device);
    if (first == NULL && second == NULL)
        return;
    snprintf(both, sizeof both, "%s%s%s", first != NULL ? first : "",
             first != NULL && second != NULL ? " " : "", second != NULL ? second : "");
    cw_probe_printable(both, card->name, sizeof card->name);
}

static void name_cards(struct cw_probe *probe, struct pci_access *access, const char *file)
{
    access->error = take_mistake;
    access->warning = access->debug = take_words;
    if (setjmp(after_mistake) != 0) {
        cw_probe_doubt(probe, file, "is no list of names: not believed");
        return;
    }
    for (uint32_t i = 0; i < probe->facts->card_count; i++)
        if (probe->facts->cards[i].bus == CW_BUS_PCI)
            name_card(access, &probe->facts->cards[i]);
}

/* The machine's own list, by its descriptor: a recorded one's links would lead libpci elsewhere. */
static void probe_names(struct cw_probe *probe)
{
    static const char *const files[] = {"/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"};
    uint32_t i = 0;
    int fd = cw_machine_open(probe->machine, files[i]);
    if (fd < 0)
        fd = cw_machine_open(probe->machine, files[++i]);
    struct pci_access *access = fd >= 0 ? pci_alloc() : NULL;
    char *path = access != NULL ? malloc(64) : NULL;
    if (path != NULL) {
        snprintf(path, 64, "/proc/self/fd/%d", fd);
        pci_set_name_list_path(access, path, 1);
        name_cards(probe, access, files[i]);
    }
    if (access != NULL)
        pci_cleanup(access);
    if (fd >= 0)
        close(fd);
}

void cw_probe_cards(struct cw_probe *probe)
{
    struct card_search search = {.probe = probe};
    cw_machine_list(probe->machine, PCI_FOLDER, take_pci, &search);
    cw_machine_list(probe->machine, VMBUS_FOLDER, take_vmbus, &search);
    search.takes_virtual = true;
    cw_machine_list(probe->machine, PCI_FOLDER, take_pci, &search);
    if (search.left_out > 0)
        cw_probe_doubt(probe, PCI_FOLDER, "has %u network devices more than there is room for",
                       search.left_out);
    probe_names(probe);
}
