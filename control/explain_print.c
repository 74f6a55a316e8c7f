/* SPDX-License-Identifier: BSD-3-Clause */
/* How an explanation is read: the state first, then a part each for what follows; commands stand alone. */
#include "control/explain.h"
#include "control/paragraph.h"

static const char *colour(enum cw_health_level level)
{
    return level == CW_HEALTH_PROTECTED ? "\033[32m" : level == CW_HEALTH_DEGRADED ? "\033[33m" : "\033[31m";
}

static void print_title(FILE *to, const struct cw_explanation *explanation, enum cw_explain_section section)
{
    switch (section) {
    case CW_EXPLAIN_NOW:
        fprintf(to, "\nNow\n");
        return;
    case CW_EXPLAIN_REPLICAS:
        fprintf(to, "\nReplicas\n");
        return;
    case CW_EXPLAIN_NEXT:
        fprintf(to, "\nWhat happens by itself\n");
        return;
    case CW_EXPLAIN_BURNS:
        fprintf(to, "\nIf %s burned now\n", explanation->holder);
        return;
    case CW_EXPLAIN_TYPE:
    case CW_EXPLAIN_SECTIONS:
        break;
    }
    fprintf(to, "\nWhat you can type\n");
}

void cw_explain_print(FILE *to, const struct cw_explanation *explanation, unsigned width, bool has_colour)
{
    char head[96];
    snprintf(head, sizeof head, "Group %s is %s%s%s. ", explanation->group,
             has_colour ? colour(explanation->health) : "", cw_health_name(explanation->health),
             has_colour ? "\033[0m" : "");
    cw_paragraph(to, width, head, 0, explanation->why);
    for (uint32_t i = 0; i < explanation->count; i++) {
        const struct cw_explain_line *line = &explanation->lines[i];
        if (i == 0 || explanation->lines[i - 1].section != line->section)
            print_title(to, explanation, line->section);
        cw_paragraph(to, width, "  ", 4, line->text);
        if (line->command[0])
            fprintf(to, "      %s%s%s\n", has_colour ? "\033[1m" : "", line->command,
                    has_colour ? "\033[0m" : "");
    }
}
