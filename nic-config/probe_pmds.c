/* SPDX-License-Identifier: BSD-3-Clause */
/* What DPDK drives each card by, and how: by the description in each driver. */
#include <stdio.h>
#include <string.h>

#include "nic-config/probe_private.h"

#define ANY_ID 0xffff

static bool is_id(const json_t *ids, size_t at, uint16_t own)
{
    const json_t *id = json_array_get(ids, at);
    return json_is_integer(id) && (json_integer_value(id) == ANY_ID || json_integer_value(id) == own);
}

static bool drives(const json_t *pmd, const struct cw_card_fact *card)
{
    size_t i;
    const json_t *ids;
    if (card->bus == CW_BUS_VMBUS)
        return strstr(cw_probe_json_text(pmd, "kmod"), "uio_hv_generic") != NULL;
    json_array_foreach(json_object_get(pmd, "pci_ids"), i,
                       ids) if (is_id(ids, 0, card->vendor) && is_id(ids, 1, card->device) &&
                                is_id(ids, 2, card->subsystem_vendor) &&
                                is_id(ids, 3, card->subsystem_device)) return true;
    return false;
}

/* "* igb_uio | vfio-pci": one of them takes the card; "* ib_uverbs & mlx5_core & mlx5_ib": all of them have to stay. */
static enum cw_pmd_kind kind_of(const char *modules)
{
    if (strstr(modules, "uio_hv_generic") != NULL)
        return CW_PMD_HYPERV;
    if (strstr(modules, "vfio") == NULL &&
        (strstr(modules, "ib_uverbs") != NULL || strstr(modules, "mlx4_core") != NULL ||
         strstr(modules, "mlx5_core") != NULL))
        return CW_PMD_BIFURCATED;
    return CW_PMD_USERSPACE;
}

static void match(const json_t *pmds, struct cw_card_fact *card)
{
    size_t i;
    const json_t *pmd;
    json_array_foreach(pmds, i, pmd)
    {
        const char *name = cw_probe_json_text(pmd, "name");
        if (!cw_probe_is_name(name, sizeof card->pmd) || !drives(pmd, card))
            continue;
        snprintf(card->pmd, sizeof card->pmd, "%s", name);
        card->pmd_kind = kind_of(cw_probe_json_text(pmd, "kmod"));
        return;
    }
}

void cw_probe_pmds(struct cw_probe *probe)
{
    struct cw_facts *facts = probe->facts;
    char why[CW_FACT_WORDS] = "";
    json_t *pmds = cw_machine_pmds(probe->machine, why, sizeof why);
    if (!json_is_array(pmds))
        cw_probe_unread(probe, "DPDK", "%.160s: what its drivers know of the cards",
                        pmds == NULL ? why : "answers/pmds.json is no list");
    for (uint32_t i = 0; i < facts->card_count; i++)
        if (json_is_array(pmds))
            match(pmds, &facts->cards[i]);
        else
            facts->cards[i].pmd_kind = CW_PMD_UNKNOWN;
    json_decref(pmds);
}
