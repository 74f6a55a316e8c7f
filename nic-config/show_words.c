/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic-config/show.h"

#include <string.h>

void cw_show_cpus(const struct cw_cpu_set *set, char *words, size_t size)
{
    size_t at = 0;
    snprintf(words, size, "none");
    for (uint32_t cpu = 0; cpu < CW_CPUS_MAX; cpu++) {
        if (!cw_cpu_set_has(set, cpu))
            continue;
        uint32_t last = cpu;
        while (cw_cpu_set_has(set, last + 1))
            last++;
        if (at < size) {
            int length = last == cpu ? snprintf(words + at, size - at, "%s%u", at ? "," : "", cpu)
                                     : snprintf(words + at, size - at, "%s%u-%u", at ? "," : "", cpu, last);
            at += (size_t)length;
        }
        cpu = last;
    }
}

void cw_show_order(const struct cw_facts *facts, uint32_t order[CW_INTERFACES_MAX])
{
    for (uint32_t i = 0; i < facts->interface_count; i++) {
        uint32_t at = i;
        for (; at > 0; at--) {
            const struct cw_interface_fact *before = &facts->interfaces[order[at - 1]];
            int by_name = strcmp(before->name, facts->interfaces[i].name);
            if (by_name < 0 || (by_name == 0 && strcmp(before->space, facts->interfaces[i].space) <= 0))
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

const char *cw_show_prepared(const struct cw_facts *facts, const char *key, const char *value, char name[40])
{
    static const char path[] = "\npath: \"";
    char wanted[96];
    snprintf(wanted, sizeof wanted, "\n%s: \"%s\"\n", key, value);
    for (uint32_t i = 0; i < facts->file_count; i++) {
        const char *text = facts->files[i].text, *begin = strstr(text, path);
        if (!begin || !strstr(text, wanted))
            continue;
        begin += sizeof path - 1;
        snprintf(name, 40, "%.*s", (int)strcspn(begin, "\"\n"), begin);
        return name;
    }
    return NULL;
}

int64_t cw_show_link_mbps(const struct cw_card_fact *card)
{
    if (card->link_mts <= 0 || card->link_lanes <= 0)
        return CW_FACT_UNKNOWN;
    bool is_8b10b = card->link_mts <= 5000; /* the first two generations; then 128 bits in 130 */
    return card->link_lanes * (is_8b10b ? card->link_mts * 8 / 10 : card->link_mts * 128 / 130);
}
