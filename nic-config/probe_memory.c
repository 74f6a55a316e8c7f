/* SPDX-License-Identifier: BSD-3-Clause */
/* NUMA nodes, their memory and hugepages, and where hugetlbfs is mounted. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "nic-config/probe_private.h"

#define NODE_FOLDER      "/sys/devices/system/node"
#define MOUNTS_BYTES_MAX (4u << 20)
#define MEMORY_MIB_MAX   (64ll << 20) /* 64 TiB in a node */
#define PAGE_KIB_MAX     (16ll << 20)
#define PAGES_WANTED     "hugepages of a node"

struct node_search {
    struct cw_probe *probe;
    struct cw_node_fact *node;
    struct cw_cpu_set online; /* nodes */
    bool knows_online;
};

/* By number: the folder's names are in the order of their bytes. */
static void take_node(void *context, const char *name)
{
    const struct node_search *search = context;
    struct cw_probe *probe = search->probe;
    struct cw_facts *facts = probe->facts;
    int64_t id;
    if (strncmp(name, "node", 4) != 0 || !cw_probe_parse(name + 4, 10, &id) || id < 0 || id > 65535)
        return;
    if (search->knows_online && !cw_cpu_set_has(&search->online, (uint32_t)id)) {
        cw_probe_doubt(probe, NODE_FOLDER "/online", "leaves out %s, which is there: not looked at", name);
        return;
    }
    if (facts->node_count == CW_NODES_MAX) {
        cw_probe_doubt(probe, NODE_FOLDER, "has more than %u nodes: %s is not looked at", CW_NODES_MAX, name);
        return;
    }
    uint32_t at = facts->node_count++;
    for (; at > 0 && facts->nodes[at - 1].id > id; at--)
        facts->nodes[at] = facts->nodes[at - 1];
    facts->nodes[at] = (struct cw_node_fact){.id = (int32_t)id, .memory_mib = CW_FACT_UNKNOWN};
}

/* "Node 0 MemTotal:       65536000 kB" */
static void probe_size(struct cw_probe *probe, struct cw_node_fact *node)
{
    char path[CW_PROBE_PATH], number[32];
    int64_t kib;
    snprintf(path, sizeof path, NODE_FOLDER "/node%d/meminfo", node->id);
    char *text = cw_probe_whole(probe, path, 1u << 16, "memory of a node");
    const char *at = text != NULL ? strstr(text, "MemTotal:") : NULL;
    if (at == NULL || sscanf(at, "MemTotal: %31s kB", number) != 1)
        ; /* not known */
    else if (!cw_probe_parse(number, 10, &kib) || kib < 0 || kib / 1024 > MEMORY_MIB_MAX)
        cw_probe_doubt(probe, path, "says MemTotal: %s kB: not believed", number);
    else
        node->memory_mib = kib / 1024;
    free(text);
}

static bool probe_counts(struct cw_probe *probe, const char *folder, struct cw_page_fact *pages)
{
    char path[CW_PROBE_PATH];
    int64_t max = MEMORY_MIB_MAX * 1024 / pages->kib;
    snprintf(path, sizeof path, "%s/nr_hugepages", folder);
    if (!cw_probe_number(probe, path, 0, max, &pages->total, PAGES_WANTED))
        return false;
    snprintf(path, sizeof path, "%s/free_hugepages", folder);
    return cw_probe_number(probe, path, 0, max, &pages->free, PAGES_WANTED);
}

/* "hugepages-2048kB" */
static void take_size(void *context, const char *name)
{
    const struct node_search *search = context;
    struct cw_node_fact *node = search->node;
    char folder[CW_PROBE_PATH], unit[4];
    struct cw_page_fact pages = {.total = CW_FACT_UNKNOWN, .free = CW_FACT_UNKNOWN};
    snprintf(folder, sizeof folder, NODE_FOLDER "/node%d/hugepages/%.64s", node->id, name);
    if (sscanf(name, "hugepages-%" SCNd64 "%3s", &pages.kib, unit) != 2 || strcmp(unit, "kB") != 0 ||
        pages.kib < 4 || pages.kib > PAGE_KIB_MAX || !cw_is_power_of_two((uint64_t)pages.kib)) {
        cw_probe_doubt(search->probe, folder, "is no size of a page: not believed");
        return;
    }
    if (node->page_count == CW_PAGE_SIZES_MAX) {
        cw_probe_doubt(search->probe, folder, "is the size beyond %u: not looked at", CW_PAGE_SIZES_MAX);
        return;
    }
    /* Read one after the other: between the two somebody may have given pages back. */
    bool is_known = probe_counts(search->probe, folder, &pages);
    if (is_known && pages.free > pages.total)
        is_known = probe_counts(search->probe, folder, &pages);
    if (is_known && pages.free > pages.total) {
        cw_probe_doubt(search->probe, folder,
                       "has %" PRId64 " pages, and %" PRId64 " of them free: not believed", pages.total,
                       pages.free);
        pages.total = pages.free = CW_FACT_UNKNOWN;
    }
    node->pages[node->page_count++] = pages;
}

static int by_size(const void *a, const void *b)
{
    const struct cw_page_fact *x = a, *y = b;
    return (x->kib > y->kib) - (x->kib < y->kib);
}

/* A CPU is of one node: of the first that has it. */
static void probe_node_cpus(struct cw_probe *probe, struct cw_node_fact *node)
{
    char path[CW_PROBE_PATH];
    bool is_shared = false;
    snprintf(path, sizeof path, NODE_FOLDER "/node%d/cpulist", node->id);
    cw_probe_cpus(probe, path, &node->cpus, "CPUs of a node");
    for (const struct cw_node_fact *other = probe->facts->nodes; other < node; other++)
        for (uint32_t i = 0; i < CW_CPUS_MAX / 64; i++) {
            is_shared |= (other->cpus.words[i] & node->cpus.words[i]) != 0;
            node->cpus.words[i] &= ~other->cpus.words[i];
        }
    if (is_shared)
        cw_probe_doubt(probe, path, "has CPUs that another node has: not believed of these");
}

/* "Hugepagesize:       2048 kB": the command line may say it in many ways, or not at all. */
static void probe_default_page(struct cw_probe *probe)
{
    int64_t kib = CW_FACT_UNKNOWN;
    char *text = cw_probe_whole(probe, "/proc/meminfo", 1u << 16, "the size of a hugepage");
    const char *at = text != NULL ? strstr(text, "Hugepagesize:") : NULL;
    if (at != NULL && (sscanf(at, "Hugepagesize: %" SCNd64 " kB", &kib) != 1 || kib < 4 ||
                       kib > PAGE_KIB_MAX || !cw_is_power_of_two((uint64_t)kib))) {
        cw_probe_doubt(probe, "/proc/meminfo", "says %.40s: not believed", at);
        kib = CW_FACT_UNKNOWN;
    }
    probe->facts->hugepage_kib = kib;
    free(text);
}

void cw_probe_nodes(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    struct node_search search = {.probe = probe};
    search.knows_online =
        cw_probe_cpus(probe, NODE_FOLDER "/online", &search.online, "which nodes there are");
    cw_machine_list(probe->machine, NODE_FOLDER, take_node, &search);
    probe_default_page(probe);
    for (uint32_t i = 0; i < facts->node_count; i++) {
        char path[CW_PROBE_PATH];
        search.node = &facts->nodes[i];
        probe_node_cpus(probe, search.node);
        probe_size(probe, search.node);
        snprintf(path, sizeof path, NODE_FOLDER "/node%d/hugepages", search.node->id);
        cw_machine_list(probe->machine, path, take_size, &search);
        qsort(search.node->pages, search.node->page_count, sizeof search.node->pages[0], by_size);
    }
}

/* "pagesize=2M" among the options; -1: not there, 0: not believed. */
static int64_t page_of_options(const char *options)
{
    const char *at = strstr(options, "pagesize=");
    if (at == NULL)
        return -1;
    char *end;
    long long size = strtoll(at + 9, &end, 10);
    int64_t unit = *end == 'K' ? 1 : *end == 'M' ? 1024 : *end == 'G' ? 1024 * 1024 : 0;
    if (size <= 0 || size > PAGE_KIB_MAX || unit == 0 || size * unit > PAGE_KIB_MAX)
        return 0;
    return size * unit;
}

/* The kernel writes a space in a name as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        unsigned code;
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3 && sscanf(from + 1, "%3o", &code) == 1 &&
            code > 0 && code < 256) {
            *to++ = (char)code;
            from += 4;
        } else
            *to++ = *from++;
    }
    *to = '\0';
}

static void take_mount(struct cw_probe *probe, char *line)
{
    struct cw_facts *facts = probe->facts;
    char *source = strsep(&line, " "), *folder = strsep(&line, " "), *type = strsep(&line, " ");
    const char *options = strsep(&line, " ");
    if (source == NULL || folder == NULL || type == NULL || options == NULL || strcmp(type, "hugetlbfs") != 0)
        return;
    unescape(folder);
    int64_t kib = page_of_options(options);
    struct cw_mount_fact *mount = &facts->mounts[facts->mount_count];
    if (kib == 0)
        cw_probe_doubt(probe, "/proc/mounts", "hugetlbfs with %.60s: not believed", options);
    else if (facts->mount_count == CW_MOUNTS_MAX)
        cw_probe_doubt(probe, "/proc/mounts", "hugetlbfs at %.60s: no room for it", folder);
    else {
        cw_probe_printable(folder, mount->folder, sizeof mount->folder);
        if (folder[0] != '/' || strcmp(mount->folder, folder) != 0) {
            cw_probe_doubt(probe, "/proc/mounts", "hugetlbfs at %.60s: left out for its name", folder);
            return;
        }
        mount->page_kib = kib < 0 ? facts->hugepage_kib : kib;
        facts->mount_count++;
    }
}

void cw_probe_mounts(struct cw_probe *probe)
{
    char *text = cw_probe_whole(probe, "/proc/mounts", MOUNTS_BYTES_MAX, "where hugetlbfs is mounted");
    char *rest = text, *line;
    while (text != NULL && (line = strsep(&rest, "\n")) != NULL)
        take_mount(probe, line);
    free(text);
}
