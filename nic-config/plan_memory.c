/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hugepages on the nodes of the cards: raised where there are too few, never lowered. Nothing is mounted: the engine runs
 * with --in-memory and asks for pages of the default size (dataplane/io/eal.c), so others count for nothing here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nic-config/plan_internal.h"

#define QUARTERS_AT_MOST 3 /* of a node's memory that may be hugepages */

static const struct cw_page_fact *pages_of(const struct cw_node_fact *node, int64_t kib)
{
    for (uint32_t i = 0; i < node->page_count; i++)
        if (node->pages[i].kib == kib)
            return &node->pages[i];
    return NULL;
}

/* The nodes of the cards, each once; the first one that has memory where none is known. */
static uint32_t find_nodes(const struct cw_plan_work *work, const struct cw_node_fact *nodes[CW_NODES_MAX])
{
    uint32_t count = 0, wanted = 0;
    for (uint32_t i = 0; i < work->path_count; i++) {
        const struct cw_plan_path *path = &work->paths[i];
        bool is_there = path->is_refused || count == CW_NODES_MAX;
        const struct cw_node_fact *node =
            path->card != NULL ? cw_facts_node(work->facts, path->card->node) : NULL;
        for (uint32_t k = 0; k < count; k++)
            is_there = is_there || nodes[k] == node;
        wanted += !path->is_refused;
        if (!is_there && node != NULL)
            nodes[count++] = node;
    }
    for (uint32_t i = 0; i < work->facts->node_count && count == 0 && wanted > 0; i++)
        if (work->facts->nodes[i].memory_mib > 0)
            nodes[count++] = &work->facts->nodes[i];
    return count;
}

static int64_t hugepages_mib(const struct cw_node_fact *node)
{
    int64_t kib = 0;
    for (uint32_t i = 0; i < node->page_count; i++)
        kib += node->pages[i].total > 0 ? node->pages[i].total * node->pages[i].kib : 0;
    return kib / 1024;
}

static void reserve_on(struct cw_plan_work *work, const struct cw_node_fact *node, int64_t mib)
{
    char file[CW_STEP_SUBJECT], value[24];
    int64_t kib = work->facts->hugepage_kib, need = (mib * 1024 + kib - 1) / kib;
    const struct cw_page_fact *pages = pages_of(node, kib);
    if (pages == NULL || pages->total < 0) {
        cw_plan_warn(work,
                     "node %d: how many hugepages of %" PRId64
                     " KiB it has is not known; without them the engine runs "
                     "with --no-huge, slower",
                     node->id, kib);
        return;
    }
    if (pages->total >= need) {
        if (pages->free >= 0 && pages->free < need)
            cw_plan_warn(work,
                         "node %d: of its %" PRId64 " hugepages %" PRId64 " are free, and %" PRId64
                         " are wished for: an "
                         "engine that runs has them, or somebody else",
                         node->id, pages->total, pages->free, need);
        return;
    }
    int64_t after = hugepages_mib(node) + (need - pages->total) * kib / 1024;
    if (node->memory_mib > 0 && after > node->memory_mib * QUARTERS_AT_MOST / 4) {
        cw_plan_remedy(
            cw_plan_refuse(work, NULL,
                           "node %d has %" PRId64 " MiB of memory, and would have %" PRId64 " MiB of it in "
                           "hugepages: more than three quarters",
                           node->id, node->memory_mib, after),
            "say hugepages: less (the engine takes 256M and what memory: in the node's configuration says)");
        return;
    }
    snprintf(file, sizeof file,
             "/sys/devices/system/node/node%d/hugepages/hugepages-%" PRId64 "kB/nr_hugepages", node->id, kib);
    snprintf(value, sizeof value, "%" PRId64, need);
    (void)cw_plan_step(work, CW_STEP_WRITE, file, value,
                       "%" PRId64 " MiB in hugepages of %" PRId64
                       " KiB on node %d, where the cards are; it has %" PRId64 " of them",
                       mib, kib, node->id, pages->total);
}

static bool has_hugepages(const struct cw_facts *facts)
{
    for (uint32_t i = 0; i < facts->node_count; i++) {
        const struct cw_page_fact *pages = pages_of(&facts->nodes[i], facts->hugepage_kib);
        if (pages != NULL && pages->total > 0)
            return true;
    }
    return false;
}

/* Without an IOMMU a card is told addresses of memory as they are, and DPDK knows those of hugepages only. */
void cw_plan_check_memory(struct cw_plan_work *work)
{
    if (work->wish->hugepages_mib > 0 || has_hugepages(work->facts))
        return;
    for (uint32_t i = 0; i < work->path_count; i++) {
        struct cw_plan_path *path = &work->paths[i];
        if (!path->is_refused && (path->driver == CW_DRIVER_NOIOMMU || path->driver == CW_DRIVER_UIO))
            cw_plan_remedy(
                cw_plan_refuse(work, path,
                               "without an IOMMU %s is driven with hugepages only, and there are none",
                               path->card->address),
                "say hugepages: 1G (or leave it out: that is the default)");
    }
}

void cw_plan_reserve_memory(struct cw_plan_work *work)
{
    const struct cw_node_fact *nodes[CW_NODES_MAX];
    uint32_t count = find_nodes(work, nodes);
    if (work->wish->hugepages_mib <= 0 || work->path_count == 0)
        return;
    if (work->facts->hugepage_kib <= 0) {
        cw_plan_warn(work, "how large the kernel's hugepages are is not known (/proc/meminfo: Hugepagesize): "
                           "none are reserved; without them the engine runs with --no-huge, slower");
        return;
    }
    if (work->facts->node_count == 0)
        cw_plan_warn(work,
                     "no node of memory is known: reserve hugepages by hand (/proc/sys/vm/nr_hugepages)");
    for (uint32_t i = 0; i < count; i++)
        reserve_on(work, nodes[i], (work->wish->hugepages_mib + count - 1) / count);
}
