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
        put_spaces(is_first || length == 0 ? 0 : indent, out);
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

/* "echo 0-15" of "echo 0-15 > /proc/irq/60/smp_affinity_list". */
static size_t value_length(const struct cw_step *step, const struct cw_facts *facts, char *text, size_t size)
{
    cw_step_undo_commands(step, facts, text, size);
    const char *end = strstr(text, " > ");
    return end != NULL ? (size_t)(end - text) : strlen(text);
}

static bool is_interrupt(const struct cw_step *step)
{
    return step->kind == CW_STEP_WRITE && strncmp(step->subject, "/proc/irq/", 10) == 0;
}

/* Interrupts that are moved alike, of one card: there are many of them. */
static bool are_alike(const struct cw_step *one, const struct cw_step *other, const struct cw_facts *facts)
{
    char text[COMMANDS_SIZE], others[COMMANDS_SIZE];
    if (!is_interrupt(one) || !is_interrupt(other) || strcmp(one->value, other->value) != 0 ||
        strcmp(one->why, other->why) != 0)
        return false;
    size_t length = value_length(one, facts, text, sizeof text);
    return length == value_length(other, facts, others, sizeof others) && memcmp(text, others, length) == 0;
}

static void put_interrupts(const struct cw_step *steps, uint32_t count, const struct cw_facts *facts,
                           uint32_t number, FILE *out)
{
    char text[COMMANDS_SIZE], lead[24], list[CW_STEPS_MAX * 8] = "";
    for (uint32_t i = 0; i < count; i++) {
        const char *irq = steps[i].subject + strlen("/proc/irq/");
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.*s", i > 0 ? " " : "", (int)strcspn(irq, "/"), irq);
    }
    snprintf(lead, sizeof lead, "%3u to %u. ", number, number + count - 1);
    snprintf(text, sizeof text, "move the interrupts %s to the CPUs %s", list, steps[0].value);
    put_wrapped(lead, text, out);
    put_wrapped("     why:  ", steps[0].why, out);
    fprintf(out, "     do:   for i in %s; do echo %s > /proc/irq/$i/smp_affinity_list; done\n", list,
            steps[0].value);
    int length = (int)value_length(&steps[0], facts, text, sizeof text);
    fprintf(out, "     undo: for i in %s; do %.*s > /proc/irq/$i/smp_affinity_list; done\n", list, length,
            text);
}

static void put_steps(const struct cw_plan *plan, const struct cw_facts *facts, FILE *out)
{
    for (uint32_t i = 0, count; i < plan->step_count; i += count) {
        for (count = 1;
             i + count < plan->step_count && are_alike(&plan->steps[i], &plan->steps[i + count], facts);)
            count++;
        (void)fputc('\n', out);
        if (count > 1)
            put_interrupts(&plan->steps[i], count, facts, i + 1, out);
        else
            put_step(&plan->steps[i], facts, i + 1, out);
    }
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
    put_steps(plan, facts, out);
    put_refusals(plan, out);
    put_list("Warnings:", plan->warnings, plan->warning_count, out);
    put_list("Chosen:", plan->notes, plan->note_count, out);
    put_prepared(plan, out);
}
