/* SPDX-License-Identifier: BSD-3-Clause */
/* explain GROUP: the words are the controller's (explain.h); here they are printed. */
#include <stdlib.h>
#include <string.h>

#include "control/cli.h"
#include "control/explain.h"
#include "control/paragraph.h"

static enum cw_explain_section section_of(const char *name)
{
    for (unsigned i = 0; i < CW_EXPLAIN_SECTIONS; i++) {
        if (strcmp(cw_explain_section_name((enum cw_explain_section)i), name) == 0)
            return (enum cw_explain_section)i;
    }
    return CW_EXPLAIN_NOW;
}

static void read_lines(const json_t *answer, struct cw_explanation *explanation)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(answer, "lines"), index, entry)
    {
        if (explanation->count == CW_EXPLAIN_LINES_MAX)
            break;
        struct cw_explain_line *line = &explanation->lines[explanation->count++];
        line->section = section_of(cw_json_text(entry, "section", ""));
        snprintf(line->text, sizeof line->text, "%s", cw_json_text(entry, "text", ""));
        snprintf(line->command, sizeof line->command, "%s", cw_json_text(entry, "command", ""));
    }
}

static void print_answer(const json_t *answer)
{
    struct cw_explanation *explanation = calloc(1, sizeof *explanation);
    const char *health = cw_json_text(answer, "health", "");
    if (!explanation)
        return;
    while (explanation->health < CW_HEALTH_DOWN && strcmp(cw_health_name(explanation->health), health) != 0)
        explanation->health++;
    snprintf(explanation->group, sizeof explanation->group, "%s", cw_json_text(answer, "group", ""));
    snprintf(explanation->holder, sizeof explanation->holder, "%s", cw_json_text(answer, "primary", ""));
    snprintf(explanation->why, sizeof explanation->why, "%s", cw_json_text(answer, "why", ""));
    read_lines(answer, explanation);
    cw_explain_print(stdout, explanation, cw_terminal_width(), cw_has_colour());
    free(explanation);
}

int cw_run_explain(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    json_t *answer =
        cw_ask(cli, cli->site, "explain", json_pack("{s:s}", "group", cli->operands[0]), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    if (cli->is_json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(CW_JSON_DIGITS));
        putchar('\n');
    } else {
        print_answer(answer);
    }
    json_decref(answer);
    return CW_EXIT_DONE;
}
