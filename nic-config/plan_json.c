/* SPDX-License-Identifier: BSD-3-Clause */
/* A plan for programs. */
#include <stdio.h>
#include <string.h>

#include "nic-config/plan.h"

/* JSON takes UTF-8 only; a name of the machine may be none. */
static json_t *text_of(const char *text)
{
    char plain[CW_STEP_VALUE + 512];
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    snprintf(plain, sizeof plain, "%s", text);
    for (char *at = plain; at[0] != 0; at++)
        at[0] = (unsigned char)at[0] < 0x80 ? at[0] : '?';
    return json_string(plain);
}

static json_t *step_json(const struct cw_step *step, const struct cw_facts *facts)
{
    char words[512], does[CW_STEP_VALUE + 512], undoes[CW_STEP_VALUE + 512];
    cw_step_words(step, words, sizeof words);
    cw_step_commands(step, does, sizeof does);
    cw_step_undo_commands(step, facts, undoes, sizeof undoes);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "kind", cw_step_names[step->kind], "subject",
                     text_of(step->subject), "value", text_of(step->value), "words", text_of(words), "why",
                     text_of(step->why), "do", text_of(does), "undo", text_of(undoes), "again_after_reboot",
                     cw_step_is_volatile(step));
}

static json_t *prepared_json(const struct cw_prepared *path)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:i, s:i, s:i, s:i}", "path", text_of(path->name),
                     "device", text_of(path->device), "card", text_of(path->card), "interface",
                     text_of(path->interface), "driver", text_of(path->driver), "shared", path->is_shared,
                     "node", (int)path->node, "queues", (int)path->queues, "mtu", (int)path->mtu, "vlan",
                     (int)path->vlan);
}

static json_t *list_json(const char (*list)[CW_STEP_WHY], uint32_t count)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(array, text_of(list[i]));
    return array;
}

json_t *cw_plan_json(const struct cw_plan *plan, const struct cw_facts *facts)
{
    json_t *steps = json_array(), *refusals = json_array(), *prepared = json_array(), *lcores = json_array();
    for (uint32_t i = 0; i < plan->step_count; i++)
        (void)json_array_append_new(steps, step_json(&plan->steps[i], facts));
    for (uint32_t i = 0; i < plan->refusal_count; i++)
        (void)json_array_append_new(refusals,
                                    json_pack("{s:o, s:o, s:o}", "path", text_of(plan->refusals[i].path),
                                              "why", text_of(plan->refusals[i].words), "remedy",
                                              text_of(plan->refusals[i].remedy)));
    for (uint32_t i = 0; i < plan->prepared_count; i++)
        (void)json_array_append_new(prepared, prepared_json(&plan->prepared[i]));
    for (uint32_t i = 0; i < plan->lcore_count; i++)
        (void)json_array_append_new(lcores, json_integer(plan->lcores[i]));
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "refused",
                     plan->refusal_count > 0 || plan->is_cut, "steps", steps, "refusals", refusals,
                     "warnings", list_json(plan->warnings, plan->warning_count), "chosen",
                     list_json(plan->notes, plan->note_count), "prepared", prepared, "lcores", lcores);
}
