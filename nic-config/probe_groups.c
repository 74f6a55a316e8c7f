/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who shares an IOMMU group with a card, and what that is to somebody: the group is taken as a whole or not at all. What a disk
 * is used for is told by the mounts and the swap of this mount namespace, through partitions and what holds them
 * (device mapper, md); a disk that neither knows of is still named as a disk.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic-config/probe_private.h"

#define BLOCKS_MAX       16384u
#define MOUNTS_BYTES_MAX (4u << 20)
#define HOLDERS_DEPTH    6u
#define WANTED           "what the disks of an IOMMU group are used for"
#define CLASS_BRIDGE     0x0604 /* of PCI to PCI */
#define CLASS_HOST       0x0600

struct block {
    char name[32], mapper[128], number[16]; /* "dm-0", "vg-root", "253:0" */
    char disk[32];                          /* of a partition: whose; else "" */
    char card[CW_PCI_ADDRESS];              /* the last device of PCI below it */
};

struct groups {
    struct cw_probe *probe;
    struct block *blocks;
    uint32_t block_count, block_room;
    char *mounts, *swaps; /* /proc/self/mountinfo, or else /proc/mounts; /proc/swaps */
    bool has_numbers;     /* it is mountinfo */
    int32_t group;        /* that is looked at */
    uint32_t left_out;
    bool is_group_cut;   /* of the group: not all of it was looked at */
    bool are_blocks_cut; /* what disks are used for is not known of all */
};

static void block_file(const char *block, const char *name, char path[CW_PROBE_PATH])
{
    snprintf(path, CW_PROBE_PATH, "/sys/class/block/%.64s/%s", block, name);
}

static bool has_room_for_block(struct groups *groups)
{
    if (groups->block_count < groups->block_room)
        return true;
    uint32_t room = groups->block_room == 0 ? 256 : groups->block_room * 2;
    struct block *blocks = room <= BLOCKS_MAX ? realloc(groups->blocks, room * sizeof *blocks) : NULL;
    if (blocks == NULL)
        return false;
    groups->blocks = blocks;
    groups->block_room = room;
    return true;
}

/* "../../devices/pci0000:00/0000:00:1f.2/ata1/…/block/sda/sda1" */
static void take_block(void *context, const char *name)
{
    struct groups *groups = context;
    struct cw_probe *probe = groups->probe;
    char path[CW_PROBE_PATH], target[1024];
    if (!cw_probe_is_name(name, sizeof groups->blocks[0].name) || !has_room_for_block(groups)) {
        groups->are_blocks_cut = true;
        return;
    }
    snprintf(path, sizeof path, "/sys/class/block/%s", name);
    if (cw_machine_target(probe->machine, path, target, sizeof target) != CW_OK) {
        groups->are_blocks_cut = true;
        return;
    }
    struct block *block = &groups->blocks[groups->block_count++];
    *block = (struct block){0};
    snprintf(block->name, sizeof block->name, "%s", name);
    cw_probe_card_of_target(target, block->card, sizeof block->card);
    char *last = strrchr(target, '/'), *before = NULL;
    if (last != NULL) {
        *last = '\0';
        before = strrchr(target, '/');
    }
    if (before != NULL && cw_probe_is_name(before + 1, sizeof block->disk)) {
        snprintf(path, sizeof path, "/sys/class/block/%.32s", before + 1);
        if (cw_machine_has(probe->machine, path)) /* a partition lies in the folder of its disk */
            snprintf(block->disk, sizeof block->disk, "%s", before + 1);
    }
    block_file(name, "dm/name", path);
    if (cw_machine_text(probe->machine, path, block->mapper, sizeof block->mapper) != CW_OK)
        block->mapper[0] = '\0';
    block_file(name, "dev", path);
    if (cw_machine_text(probe->machine, path, block->number, sizeof block->number) != CW_OK)
        block->number[0] = '\0';
}

static const struct block *find_block(const struct groups *groups, const char *name)
{
    for (uint32_t i = 0; i < groups->block_count; i++)
        if (strcmp(groups->blocks[i].name, name) == 0)
            return &groups->blocks[i];
    return NULL;
}

static bool is_device(const struct block *block, const char *source)
{
    if (strncmp(source, "/dev/mapper/", 12) == 0)
        return block->mapper[0] != '\0' && strcmp(source + 12, block->mapper) == 0;
    return strncmp(source, "/dev/", 5) == 0 && strcmp(source + 5, block->name) == 0;
}

/* "36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root rw" */
static bool read_mount(const struct groups *groups, const char *line, char *number, char *folder,
                       char *source)
{
    number[0] = '\0';
    if (!groups->has_numbers)
        return sscanf(line, "%255s %255s", source, folder) == 2;
    const char *dash = strstr(line, " - ");
    const char *end = strchr(line, '\n');
    return dash != NULL && (end == NULL || dash < end) &&
           sscanf(line, "%*s %*s %15s %*s %255s", number, folder) == 2 &&
           sscanf(dash, " - %*s %255s", source) == 1;
}

/* What it is mounted at: / before all others. */
static bool find_mount(const struct groups *groups, const struct block *block, char *place, size_t size)
{
    bool is_found = false;
    for (const char *line = groups->mounts; line != NULL; line = strchr(line, '\n')) {
        char number[16], folder[256], source[256];
        line += *line == '\n';
        if (!read_mount(groups, line, number, folder, source))
            continue;
        if (!is_device(block, source) && (number[0] == '\0' || strcmp(number, block->number) != 0))
            continue;
        if (!is_found || strcmp(folder, "/") == 0)
            cw_probe_printable(folder, place, size);
        is_found = true;
    }
    return is_found;
}

static bool is_swap(const struct groups *groups, const struct block *block)
{
    for (const char *line = groups->swaps; line != NULL; line = strchr(line, '\n')) {
        char source[256];
        line += *line == '\n';
        if (sscanf(line, "%255s", source) == 1 && is_device(block, source))
            return true;
    }
    return false;
}

/* What is known of a disk, the worse of it: a mount, else swap, else what holds it. */
struct disk_use {
    const struct groups *groups;
    uint32_t depth;
    char mount[128];
    bool is_swap;
    char holder[32];
};

static void look_at_block(struct disk_use *use, const struct block *block);

static void take_holder(void *context, const char *name)
{
    struct disk_use *use = context;
    const struct block *holder = find_block(use->groups, name);
    if (use->holder[0] == '\0')
        cw_probe_printable(name, use->holder, sizeof use->holder);
    if (holder != NULL)
        look_at_block(use, holder);
}

static void look_at_block(struct disk_use *use, const struct block *block)
{
    const struct groups *groups = use->groups;
    char path[CW_PROBE_PATH], place[sizeof use->mount];
    if (use->depth == HOLDERS_DEPTH)
        return;
    use->depth++;
    if (find_mount(groups, block, place, sizeof place) && (use->mount[0] == '\0' || strcmp(place, "/") == 0))
        snprintf(use->mount, sizeof use->mount, "%s", place);
    use->is_swap |= is_swap(groups, block);
    for (uint32_t i = 0; i < groups->block_count; i++)
        if (strcmp(groups->blocks[i].disk, block->name) == 0)
            look_at_block(use, &groups->blocks[i]);
    block_file(block->name, "holders", path);
    cw_machine_list(groups->probe->machine, path, take_holder, use);
    use->depth--;
}

static void say_use(const struct disk_use *use, const char *disk, char *words, size_t size)
{
    if (use->mount[0] != '\0')
        snprintf(words, size, "disk %s, mounted at %s", disk, use->mount);
    else if (use->is_swap)
        snprintf(words, size, "disk %s, swap", disk);
    else if (use->holder[0] != '\0')
        snprintf(words, size, "disk %s, part of %s", disk, use->holder);
    else
        snprintf(words, size, "disk %s", disk);
}

struct member_disks {
    struct groups *groups;
    char words[192];
    bool is_used; /* the words are of a disk that is in use */
    char controller[32];
    const char *address;
};

static void take_disk(struct member_disks *disks, const struct block *block)
{
    struct disk_use use = {.groups = disks->groups};
    look_at_block(&use, block);
    bool is_used = use.mount[0] != '\0' || use.is_swap || use.holder[0] != '\0';
    if (disks->words[0] == '\0' || (is_used && !disks->is_used) || strcmp(use.mount, "/") == 0)
        say_use(&use, block->name, disks->words, sizeof disks->words);
    disks->is_used |= is_used;
}

/* Where several paths lead to one disk, the disk is none of PCI: "nvme0c1n1" is the path of nvme0n1 over this one. */
static void take_namespace(void *context, const char *name)
{
    struct member_disks *disks = context;
    char disk[32];
    unsigned subsystem, controller, space;
    int length = 0;
    if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &controller, &space, &length) != 3 || name[length] != '\0')
        return;
    snprintf(disk, sizeof disk, "nvme%un%u", subsystem, space);
    const struct block *block = find_block(disks->groups, disk);
    if (block != NULL)
        take_disk(disks, block);
    else if (disks->words[0] == '\0')
        snprintf(disks->words, sizeof disks->words, "disk %s", disk);
}

static void take_controller(void *context, const char *name)
{
    struct member_disks *disks = context;
    char path[CW_PROBE_PATH];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/nvme/%.64s", disks->address, name);
    cw_machine_list(disks->groups->probe->machine, path, take_namespace, disks);
}

static void find_use(struct groups *groups, struct cw_member_fact *member)
{
    const struct cw_facts *facts = groups->probe->facts;
    struct member_disks disks = {.groups = groups, .address = member->address};
    char path[CW_PROBE_PATH];
    for (uint32_t i = 0; i < groups->block_count; i++)
        if (groups->blocks[i].disk[0] == '\0' && strcmp(groups->blocks[i].card, member->address) == 0)
            take_disk(&disks, &groups->blocks[i]);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/nvme", member->address);
    cw_machine_list(groups->probe->machine, path, take_controller, &disks);
    if (disks.words[0] != '\0')
        cw_probe_printable(disks.words, member->use, sizeof member->use);
    for (uint32_t i = 0; member->use[0] == '\0' && i < facts->interface_count; i++)
        if (strcmp(facts->interfaces[i].card, member->address) == 0)
            snprintf(member->use, sizeof member->use, "interface %s", facts->interfaces[i].name);
}

static void take_member(void *context, const char *address)
{
    struct groups *groups = context;
    struct cw_probe *probe = groups->probe;
    struct cw_facts *facts = probe->facts;
    char path[CW_PROBE_PATH];
    int64_t class_code = 0;
    if (!cw_probe_is_pci(address)) {
        snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%d/devices", groups->group);
        cw_probe_doubt(probe, path, "has \"%.40s\", which is no device of PCI: not looked at", address);
        groups->is_group_cut = true;
        return;
    }
    if (facts->member_count == CW_MEMBERS_MAX) {
        groups->left_out++;
        groups->is_group_cut = true;
        return;
    }
    struct cw_member_fact *member = &facts->members[facts->member_count++];
    *member = (struct cw_member_fact){.group = groups->group};
    snprintf(member->address, sizeof member->address, "%s", address);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", address);
    if (cw_probe_number(probe, path, 0, 0xffffff, &class_code, "who shares an IOMMU group with a card"))
        member->class_code = (uint32_t)class_code;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", address);
    bool has_driver = cw_machine_has(probe->machine, path);
    if (has_driver && !cw_probe_link(probe, path, member->driver, sizeof member->driver,
                                     "who shares an IOMMU group with a card"))
        snprintf(member->use, sizeof member->use, "a driver whose name is not believed");
    member->is_bridge = class_code >> 8 == CLASS_BRIDGE || (class_code >> 8 == CLASS_HOST && !has_driver);
    find_use(groups, member);
}

/* A card alone in its group shares it with nobody. True: somebody else is there. */
static bool drop_alone(struct cw_facts *facts, uint32_t first)
{
    bool is_alone =
        facts->member_count == first + 1 && cw_facts_card(facts, facts->members[first].address) != NULL;
    if (is_alone)
        facts->member_count = first;
    return !is_alone;
}

static bool was_looked_at(const struct cw_facts *facts, uint32_t card)
{
    for (uint32_t i = 0; i < card; i++)
        if (facts->cards[i].iommu_group == facts->cards[card].iommu_group)
            return true;
    return false;
}

/* The members of the group of a card, if no card before had the same. */
static void look_at_group(struct groups *groups, uint32_t card)
{
    struct cw_facts *facts = groups->probe->facts;
    uint32_t first = facts->member_count;
    char path[CW_PROBE_PATH];
    groups->group = facts->cards[card].iommu_group;
    groups->is_group_cut = false;
    if (groups->group == CW_FACT_UNKNOWN || was_looked_at(facts, card))
        return;
    snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%d/devices", groups->group);
    if (!cw_machine_list(groups->probe->machine, path, take_member, groups)) {
        cw_probe_unread(groups->probe, path, "cannot be read: who shares an IOMMU group with %s",
                        facts->cards[card].address);
        groups->is_group_cut = true;
    }
    if (drop_alone(facts, first) && groups->are_blocks_cut)
        groups->is_group_cut = true;
    for (uint32_t i = card; i < facts->card_count; i++)
        facts->cards[i].is_group_cut |= groups->is_group_cut && facts->cards[i].iommu_group == groups->group;
}

void cw_probe_groups(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    struct groups groups = {.probe = probe};
    cw_machine_list(probe->machine, "/sys/class/block", take_block, &groups);
    groups.mounts = cw_probe_whole(probe, "/proc/self/mountinfo", MOUNTS_BYTES_MAX, WANTED);
    groups.has_numbers = groups.mounts != NULL;
    if (groups.mounts == NULL)
        groups.mounts = cw_probe_whole(probe, "/proc/mounts", MOUNTS_BYTES_MAX, WANTED);
    groups.swaps = cw_probe_whole(probe, "/proc/swaps", MOUNTS_BYTES_MAX, WANTED);
    for (uint32_t i = 0; i < facts->card_count; i++)
        look_at_group(&groups, i);
    if (groups.left_out > 0)
        cw_probe_doubt(probe, "/sys/kernel/iommu_groups", "have %u devices more than there is room for",
                       groups.left_out);
    if (groups.are_blocks_cut)
        cw_probe_doubt(probe, "/sys/class/block",
                       "has disks that were not looked at: what an IOMMU group is used for is not known");
    free(groups.blocks);
    free(groups.mounts);
    free(groups.swaps);
}
