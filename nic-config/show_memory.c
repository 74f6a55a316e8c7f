/* SPDX-License-Identifier: BSD-3-Clause */
/* Of the text: memory with its hugepages, and CPUs, node by node. */
#include "nic-config/show_parts.h"

#include <inttypes.h>
#include <string.h>

#include "nic-config/show.h"

#define CPUS_TEXT 512u

static const char *size_words(int64_t kib, char words[32])
{
    if (kib % (1024 * 1024) == 0)
        snprintf(words, 32, "%" PRId64 " GiB", kib / 1024 / 1024);
    else if (kib % 1024 == 0)
        snprintf(words, 32, "%" PRId64 " MiB", kib / 1024);
    else
        snprintf(words, 32, "%" PRId64 " KiB", kib);
    return words;
}

static void show_pages(const struct cw_page_fact *pages, FILE *out)
{
    char size[32];
    if (pages->total < 0)
        fprintf(out, "; of %s: not known", size_words(pages->kib, size));
    else if (pages->total == 0)
        fprintf(out, "; of %s: none", size_words(pages->kib, size));
    else if (pages->free >= 0)
        fprintf(out, "; of %s: %" PRId64 ", %" PRId64 " free", size_words(pages->kib, size), pages->total,
                pages->free);
    else
        fprintf(out, "; of %s: %" PRId64, size_words(pages->kib, size), pages->total);
}

void cw_show_memory(const struct cw_facts *facts, FILE *out)
{
    char size[32];
    fprintf(out, "Memory and hugepages\n");
    for (uint32_t i = 0; i < facts->node_count; i++) {
        const struct cw_node_fact *node = &facts->nodes[i];
        fprintf(out, "  node %d: ", node->id);
        if (node->memory_mib >= 0)
            fprintf(out, "%" PRId64 " MiB", node->memory_mib);
        else
            fprintf(out, "memory not known");
        if (node->page_count == 0)
            fprintf(out, "; no hugepages in this kernel");
        for (uint32_t j = 0; j < node->page_count; j++)
            show_pages(&node->pages[j], out);
        fprintf(out, "\n");
    }
    for (uint32_t i = 0; i < facts->mount_count; i++)
        fprintf(out, "  hugetlbfs of %s at %s\n",
                facts->mounts[i].page_kib > 0 ? size_words(facts->mounts[i].page_kib, size)
                                              : "the usual size",
                facts->mounts[i].folder);
    if (facts->mount_count == 0)
        fprintf(out, "  hugetlbfs is not mounted\n");
}

/* ---- CPUs ---- */

enum property { ONLINE, ISOLATED, TICKLESS, EFFICIENT, FORBIDDEN };

static bool has_property(const struct cw_cpu_fact *cpu, enum property property)
{
    switch (property) {
    case ONLINE:
        return cpu->is_online;
    case ISOLATED:
        return cpu->is_isolated;
    case TICKLESS:
        return cpu->is_tickless;
    case EFFICIENT:
        return cpu->is_efficient;
    case FORBIDDEN:
        return cpu->is_online && !cpu->may_be_used;
    }
    return false;
}

static bool cpus_with(const struct cw_facts *facts, int32_t node, enum property property,
                      char words[CPUS_TEXT])
{
    struct cw_cpu_set set = {{0}};
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->cpu_count; i++)
        if (facts->cpus[i].node == node && has_property(&facts->cpus[i], property)) {
            cw_cpu_set_add(&set, facts->cpus[i].id);
            count++;
        }
    cw_show_cpus(&set, words, CPUS_TEXT);
    return count > 0;
}

/* The CPUs of the core whose lowest CPU this is, and how many they are. */
static uint32_t siblings(const struct cw_facts *facts, const struct cw_cpu_fact *first,
                         struct cw_cpu_set *set)
{
    uint32_t count = 0;
    *set = (struct cw_cpu_set){{0}};
    for (uint32_t i = 0; i < facts->cpu_count; i++)
        if (facts->cpus[i].is_online && facts->cpus[i].core == first->core) {
            cw_cpu_set_add(set, facts->cpus[i].id);
            count++;
        }
    return count;
}

struct threads {
    struct cw_cpu_set lowest, others;
    uint32_t cores;
    bool are_in_rounds;    /* two a core, and the second ones in the order of the first ones */
    bool are_side_by_side; /* two a core, one after the other */
};

static struct threads threads_of(const struct cw_facts *facts, int32_t node)
{
    struct threads threads = {.are_in_rounds = true, .are_side_by_side = true};
    struct cw_cpu_set core;
    uint32_t second_before = 0;
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        const struct cw_cpu_fact *first = &facts->cpus[i];
        if (first->node != node || !first->is_online || first->core != (int32_t)first->id)
            continue;
        uint32_t count = siblings(facts, first, &core), second = first->id + 1;
        if (count < 2)
            continue;
        while (!cw_cpu_set_has(&core, second))
            second++;
        threads.are_in_rounds &= count == 2 && second > second_before;
        threads.are_side_by_side &= count == 2 && second == first->id + 1;
        cw_cpu_set_add(&threads.lowest, first->id);
        cw_cpu_set_add(&threads.others, second);
        second_before = second;
        threads.cores++;
    }
    return threads;
}

static void show_siblings(const struct cw_facts *facts, int32_t node, FILE *out)
{
    struct threads threads = threads_of(facts, node);
    char lowest[CPUS_TEXT], others[CPUS_TEXT];
    if (threads.cores == 0)
        return;
    fprintf(out, "    siblings:");
    if (threads.are_side_by_side) {
        for (size_t i = 0; i < sizeof threads.lowest.words / sizeof *threads.lowest.words; i++)
            threads.lowest.words[i] |= threads.others.words[i];
        cw_show_cpus(&threads.lowest, lowest, sizeof lowest);
        fprintf(out, " %s, two by two\n", lowest);
    } else if (threads.are_in_rounds) {
        cw_show_cpus(&threads.lowest, lowest, sizeof lowest);
        cw_show_cpus(&threads.others, others, sizeof others);
        fprintf(out, " %s with %s\n", lowest, others);
    } else {
        struct cw_cpu_set core;
        const char *before = " ";
        for (uint32_t i = 0; i < facts->cpu_count; i++)
            if (cw_cpu_set_has(&threads.lowest, facts->cpus[i].id)) {
                siblings(facts, &facts->cpus[i], &core);
                cw_show_cpus(&core, lowest, sizeof lowest);
                fprintf(out, "%s%s", before, lowest);
                before = "  ";
            }
        fprintf(out, "\n");
    }
}

static void show_governors(const struct cw_facts *facts, int32_t node, FILE *out)
{
    const char *before = "    frequency: ";
    for (uint32_t i = 0; i < facts->cpu_count; i++) {
        const struct cw_cpu_fact *first = &facts->cpus[i];
        if (first->node != node || !first->governor[0])
            continue;
        struct cw_cpu_set set = {{0}};
        bool is_first = true;
        for (uint32_t j = 0; j < facts->cpu_count; j++) {
            const struct cw_cpu_fact *cpu = &facts->cpus[j];
            if (cpu->node != node || strcmp(cpu->governor, first->governor) != 0 ||
                cpu->khz_max != first->khz_max)
                continue;
            is_first = is_first && j >= i;
            cw_cpu_set_add(&set, cpu->id);
        }
        if (!is_first)
            continue;
        char words[CPUS_TEXT];
        cw_show_cpus(&set, words, sizeof words);
        fprintf(out, "%s%s %s", before, words, first->governor);
        if (first->khz_max > 0)
            fprintf(out, " up to %" PRId64 " MHz", first->khz_max / 1000);
        before = "; ";
    }
    if (before[0] == ';')
        fprintf(out, "\n");
}

static void show_node_cpus(const struct cw_facts *facts, int32_t node, FILE *out)
{
    static const struct {
        enum property property;
        const char *words;
    } lines[] = {{ISOLATED, "isolated"},
                 {TICKLESS, "tickless"},
                 {EFFICIENT, "of the slower kind"},
                 {FORBIDDEN, "not for this process"}};
    char words[CPUS_TEXT];
    bool is_any = cpus_with(facts, node, ONLINE, words);
    if (node >= 0)
        fprintf(out, "  node %d: %s\n", node, words);
    else if (is_any)
        fprintf(out, "  of no node that is known: %s\n", words);
    show_siblings(facts, node, out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (cpus_with(facts, node, lines[i].property, words))
            fprintf(out, "    %s: %s\n", lines[i].words, words);
        else if (lines[i].property == ISOLATED && is_any)
            fprintf(out, "    isolated: none\n");
    show_governors(facts, node, out);
}

/* Of these the kernel tells neither node nor core. */
static void show_offline(const struct cw_facts *facts, FILE *out)
{
    struct cw_cpu_set set = {{0}};
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->cpu_count; i++)
        if (!facts->cpus[i].is_online) {
            cw_cpu_set_add(&set, facts->cpus[i].id);
            count++;
        }
    char words[CPUS_TEXT];
    cw_show_cpus(&set, words, sizeof words);
    if (count > 0)
        fprintf(out, "  offline: %s\n", words);
}

void cw_show_processors(const struct cw_facts *facts, FILE *out)
{
    fprintf(out, "CPUs%s\n", facts->has_smt ? "" : ", one thread a core");
    for (uint32_t i = 0; i < facts->node_count; i++)
        show_node_cpus(facts, facts->nodes[i].id, out);
    show_node_cpus(facts, CW_FACT_UNKNOWN, out);
    show_offline(facts, out);
}
