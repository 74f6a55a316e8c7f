/* SPDX-License-Identifier: BSD-3-Clause */
/* What is true of facts whatever the machine has told. */
#pragma once

#include <string.h>

#include "base/assert.h"
#include "nic-config/facts.h"

#define SOUND_TEXT(array) sound_text(array, sizeof(array))

static inline void sound_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    CW_ASSERT(length < size);
    for (size_t i = 0; i < length; i++)
        CW_ASSERT(text[i] >= ' ' && text[i] <= '~');
}

static inline void sound_range(int64_t value, int64_t min, int64_t max)
{
    CW_ASSERT(value == CW_FACT_UNKNOWN || (value >= min && value <= max));
}

static inline void sound_cores(const struct cw_facts *facts)
{
    CW_ASSERT(facts->cpu_count <= CW_CPUS_MAX && facts->node_count <= CW_NODES_MAX);
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        const struct cw_cpu_fact *cpu = &facts->cpus[i];
        CW_ASSERT(cpu->id < CW_CPUS_MAX && (i == 0 || cpu->id > facts->cpus[i - 1].id));
        CW_ASSERT(cpu->node == CW_FACT_UNKNOWN || cw_facts_node(facts, cpu->node) != NULL);
        sound_range(cpu->core, 0, CW_CPUS_MAX - 1);
        sound_range(cpu->khz_max, 1, 20000000);
        SOUND_TEXT(cpu->governor);
    }
    for (uint32_t i = 0; i < facts->node_count; i++) {
        const struct cw_node_fact *node = &facts->nodes[i];
        CW_ASSERT(node->id >= 0 && (i == 0 || node->id > facts->nodes[i - 1].id));
        CW_ASSERT(node->page_count <= CW_PAGE_SIZES_MAX);
        for (uint32_t j = 0; j < node->page_count; j++) {
            sound_range(node->pages[j].total, 0, INT64_MAX);
            sound_range(node->pages[j].free, 0, INT64_MAX);
            CW_ASSERT(node->pages[j].free <= node->pages[j].total || node->pages[j].total == CW_FACT_UNKNOWN);
        }
    }
    sound_range(facts->hugepage_kib, 4, 16 << 20);
    CW_ASSERT(facts->mount_count <= CW_MOUNTS_MAX);
    for (uint32_t i = 0; i < facts->mount_count; i++) {
        SOUND_TEXT(facts->mounts[i].folder);
        sound_range(facts->mounts[i].page_kib, 1, 16 << 20);
    }
}

static inline void sound_cards(const struct cw_facts *facts)
{
    CW_ASSERT(facts->card_count <= CW_CARDS_MAX && facts->member_count <= CW_MEMBERS_MAX);
    for (uint32_t i = 0; i < facts->card_count; i++) {
        const struct cw_card_fact *card = &facts->cards[i];
        SOUND_TEXT(card->address);
        SOUND_TEXT(card->name);
        SOUND_TEXT(card->driver);
        SOUND_TEXT(card->override);
        SOUND_TEXT(card->physical);
        SOUND_TEXT(card->pmd);
        CW_ASSERT(card->node == CW_FACT_UNKNOWN || cw_facts_node(facts, card->node) != NULL);
        sound_range(card->iommu_group, 0, INT32_MAX);
        sound_range(card->functions, 0, 65535);
        sound_range(card->functions_max, 0, 65535);
        CW_ASSERT(card->functions_max == CW_FACT_UNKNOWN || card->functions <= card->functions_max);
        sound_range(card->link_mts, 1000, 256900);
        sound_range(card->link_lanes, 1, 32);
        CW_ASSERT(card->irq_count <= CW_CARD_IRQS_MAX);
    }
    for (uint32_t i = 0; i < facts->member_count; i++) {
        SOUND_TEXT(facts->members[i].address);
        SOUND_TEXT(facts->members[i].driver);
        SOUND_TEXT(facts->members[i].use);
        CW_ASSERT(facts->members[i].group >= 0 && facts->members[i].class_code <= 0xffffff);
    }
}

static inline void sound_interface(const struct cw_interface_fact *interface)
{
    SOUND_TEXT(interface->name);
    CW_ASSERT(interface->name[0] != '\0');
    SOUND_TEXT(interface->card);
    SOUND_TEXT(interface->kind);
    SOUND_TEXT(interface->master);
    SOUND_TEXT(interface->space);
    SOUND_TEXT(interface->lost_route);
    CW_ASSERT(interface->lower_count <= CW_LOWER_MAX && interface->address_count <= CW_ADDRESSES_MAX &&
              interface->route_count <= CW_ROUTES_MAX);
    for (uint32_t i = 0; i < interface->lower_count; i++)
        SOUND_TEXT(interface->lower[i]);
    for (uint32_t i = 0; i < interface->address_count; i++)
        SOUND_TEXT(interface->addresses[i].text);
    for (uint32_t i = 0; i < interface->route_count; i++) {
        SOUND_TEXT(interface->routes[i].text);
        CW_ASSERT(strpbrk(interface->routes[i].text, "$`'\"\\;|&<>(){}*?!~#\n") == NULL &&
                  "it goes to a shell");
    }
    sound_range(interface->vlan, 0, 4095);
    sound_range(interface->mtu, 0, 1 << 20);
    sound_range(interface->mtu_max, 1, INT32_MAX);
    sound_range(interface->speed_mbps, 1, 1600000);
    sound_range(interface->queues, 0, 65535);
    sound_range(interface->queues_max, 0, 65535);
    sound_range(interface->rx_queues, 0, 65535);
    sound_range(interface->rx_queues_max, 0, 65535);
    sound_range(interface->tx_queues, 0, 65535);
}

static inline void facts_are_sound(const struct cw_facts *facts)
{
    SOUND_TEXT(facts->kernel);
    SOUND_TEXT(facts->command_line);
    SOUND_TEXT(facts->iommu);
    sound_cores(facts);
    sound_cards(facts);
    CW_ASSERT(facts->interface_count <= CW_INTERFACES_MAX && facts->login_count <= CW_LOGINS_MAX);
    for (uint32_t i = 0; i < facts->interface_count; i++)
        sound_interface(&facts->interfaces[i]);
    for (uint32_t i = 0; i < facts->login_count; i++) {
        SOUND_TEXT(facts->logins[i].who);
        SOUND_TEXT(facts->logins[i].from);
        SOUND_TEXT(facts->logins[i].local);
        SOUND_TEXT(facts->logins[i].interface);
    }
    CW_ASSERT(facts->doubt_count <= CW_DOUBTS_MAX && facts->unread_count <= CW_DOUBTS_MAX);
    for (uint32_t i = 0; i < facts->doubt_count; i++) {
        SOUND_TEXT(facts->doubts[i].file);
        SOUND_TEXT(facts->doubts[i].words);
        CW_ASSERT(facts->doubts[i].words[0] != '\0');
    }
    for (uint32_t i = 0; i < facts->unread_count; i++) {
        SOUND_TEXT(facts->unread[i].file);
        SOUND_TEXT(facts->unread[i].words);
    }
}
