/* SPDX-License-Identifier: BSD-3-Clause */
/* A plan as text: sentences wrapped at 100 columns, commands as they are, so that they can be copied. */
#include <stdio.h>
#include <string.h>

#include "nic-config/plan.h"

#define COLUMNS       100u
#define COMMANDS_SIZE (CW_STEP_VALUE + 512u)

/* What came from the machine may hold what a terminal obeys. */
static void put_safely(const char *text, size_t length, FILE *out)
{
    for (size_t i = 0; i < length; i++)
        (void)fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i], out);
}

static void put_spaces(size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        (void)fputc(' ', out);
}

/* The lead, then the words; lines after the first begin below the words. A word that is too long has a line alone. */
static void put_wrapped(const char *lead, const char *text, FILE *out)
{
    size_t indent = strlen(lead), column = indent;
    (void)fputs(lead, out);
    for (bool is_first = true; text[0] != 0; is_first = false) {
        size_t spaces = strspn(text, " "), length = strcspn(text + spaces, " ");
        text += spaces;
        if (!is_first && column + 1 + length > COLUMNS) {
            (void)fputc('\n', out);
            put_spaces(indent, out);
            column = indent;
        } else if (!is_first) {
            (void)fputc(' ', out);
            column++;
        }
        put_safely(text, length, out);
        column += length;
        text += length;
    }
    (void)fputc('\n', out);
}

static void put_lines(const char *lead, const char *text, FILE *out)
{
    size_t indent = strlen(lead);
    (void)fputs(lead, out);
    for (bool is_first = true; text[0] != 0; is_first = false) {
        size_t length = strcspn(text, "\n");
        put_spaces(is_first ? 0 : indent, out);
        put_safely(text, length, out);
        (void)fputc('\n', out);
        text += length + (text[length] == '\n');
    }
}

static void put_step(const struct cw_step *step, const struct cw_facts *facts, uint32_t number, FILE *out)
{
    char text[COMMANDS_SIZE], lead[16];
    snprintf(lead, sizeof lead, "%3u. ", number);
    cw_step_words(step, text, sizeof text);
    put_wrapped(lead, text, out);
    put_wrapped("     why:  ", step->why, out);
    if (step->kind == CW_STEP_FILE) {
        put_lines("     with: ", step->value, out);
    } else {
        cw_step_commands(step, text, sizeof text);
        put_lines("     do:   ", text, out);
    }
    cw_step_undo_commands(step, facts, text, sizeof text);
    put_lines("     undo: ", text, out);
}

static void put_list(const char *title, const char (*list)[CW_STEP_WHY], uint32_t count, FILE *out)
{
    if (count > 0)
        fprintf(out, "\n%s\n", title);
    for (uint32_t i = 0; i < count; i++)
        put_wrapped("  - ", list[i], out);
}

static void put_refusals(const struct cw_plan *plan, FILE *out)
{
    char lead[CW_PATH_NAME + 16];
    if (plan->refusal_count > 0)
        (void)fputs("\nRefused:\n", out);
    for (uint32_t i = 0; i < plan->refusal_count; i++) {
        const struct cw_refusal *refusal = &plan->refusals[i];
        snprintf(lead, sizeof lead, "  - %s%s", refusal->path, refusal->path[0] != 0 ? ": " : "");
        put_wrapped(lead, refusal->words, out);
        put_wrapped("    what to do: ", refusal->remedy, out);
    }
    if (plan->is_cut)
        (void)fputs("\nRefused: there is no room for all steps; prepare fewer paths.\n", out);
}

static void put_prepared(const struct cw_plan *plan, FILE *out)
{
    char lead[CW_PATH_NAME + 8], words[512];
    if (plan->prepared_count > 0)
        (void)fputs("\nPrepared then, for `device: prepared` in the node's configuration:\n", out);
    for (uint32_t i = 0; i < plan->prepared_count; i++) {
        const struct cw_prepared *path = &plan->prepared[i];
        snprintf(lead, sizeof lead, "  - %s: ", path->name);
        int used = snprintf(words, sizeof words, "%s", path->device);
        if (path->driver[0] != 0)
            used += snprintf(words + used, sizeof words - (size_t)used, ", driver %s", path->driver);
        if (path->is_shared)
            used += snprintf(words + used, sizeof words - (size_t)used, ", shared with the kernel");
        used += snprintf(words + used, sizeof words - (size_t)used, ", %u queue%s, mtu %u", path->queues,
                         path->queues == 1 ? "" : "s", path->mtu);
        if (path->vlan != 0)
            used += snprintf(words + used, sizeof words - (size_t)used, ", vlan %u", path->vlan);
        if (path->node >= 0)
            snprintf(words + used, sizeof words - (size_t)used, ", node %d", path->node);
        put_wrapped(lead, words, out);
    }
}

void cw_plan_print(const struct cw_plan *plan, const struct cw_facts *facts, FILE *out)
{
    if (plan->refusal_count > 0 || plan->is_cut)
        (void)fputs("This plan is refused, and nothing of it is done; why stands below.\n", out);
    else if (plan->step_count == 0)
        (void)fputs("Nothing to do: all is as it is wished for.\n", out);
    else
        fprintf(out, "%u step%s, in this order:\n", plan->step_count, plan->step_count == 1 ? "" : "s");
    if (plan->step_count > 0 && plan->refusal_count > 0)
        (void)fputs("\nSteps of what is not refused:\n", out);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        (void)fputc('\n', out);
        put_step(&plan->steps[i], facts, i + 1, out);
    }
    put_refusals(plan, out);
    put_list("Warnings:", plan->warnings, plan->warning_count, out);
    put_list("Chosen:", plan->notes, plan->note_count, out);
    put_prepared(plan, out);
}
