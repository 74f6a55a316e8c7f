/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/evacuate.h"

static bool is_better(const struct cw_evacuate_choice *one, const struct cw_evacuate_choice *than,
                      const uint32_t *loads)
{
    if (loads[one->site] != loads[than->site])
        return loads[one->site] < loads[than->site];
    return one->lag_bytes < than->lag_bytes;
}

uint32_t cw_evacuate_plan(struct cw_evacuate_group *groups, uint32_t count, uint32_t *loads)
{
    uint32_t going = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct cw_evacuate_group *group = &groups[i];
        group->chosen = -1;
        for (uint32_t c = 0; c < group->choice_count; c++) {
            const struct cw_evacuate_choice *choice = &group->choices[c];
            if (choice->is_fit &&
                (group->chosen < 0 || is_better(choice, &group->choices[group->chosen], loads)))
                group->chosen = (int)c;
        }
        if (group->chosen < 0)
            continue;
        loads[group->choices[group->chosen].site]++;
        going++;
    }
    return going;
}
