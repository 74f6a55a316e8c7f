/* SPDX-License-Identifier: BSD-3-Clause */
/* events, version, the debugging aid rpc, and the commands of later versions. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/cli.h"

static void print_event(const struct cw_cli *cli, const json_t *event)
{
    if (cli->is_json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    const char *level = cw_json_text(event, "level", ""), *group = cw_json_text(event, "group", "");
    double when = cw_json_number(event, "time", 0);
    time_t seconds = (time_t)when;
    struct tm local;
    char clock[32];
    localtime_r(&seconds, &local);
    strftime(clock, sizeof clock, "%F %T", &local);
    bool is_loud = cw_has_colour() && strcmp(level, "info") != 0;
    printf("%s.%03d  %-8s %s%-7s%s %s%s%s\n", clock, (int)((when - (double)seconds) * 1000),
           cw_json_text(event, "site", ""),
           is_loud ? (strcmp(level, "error") == 0 ? "\033[31m" : "\033[33m") : "", level,
           is_loud ? "\033[0m" : "", group, *group ? ": " : "", cw_json_text(event, "text", ""));
}

int cw_run_events(struct cw_cli *cli)
{
    uint64_t after = 0;
    struct cw_rpc_failure failure;
    for (;;) {
        size_t index;
        json_t *event;
        json_t *answer = cw_ask(cli, cli->site, "events",
                                json_pack("{s:I,s:i}", "after", (json_int_t)after, "limit", 1000), &failure);
        if (!answer && !(after && cw_cli_has(cli, "follow")))
            return cw_say_failure(cli, &failure);
        if (!answer) { /* who follows waits for a site to come back */
            cw_progress(cli, "%s; trying again", failure.words);
            cw_pause_ms(1000);
            continue;
        }
        cw_progress_end();
        json_t *events = json_object_get(answer, "events");
        json_array_foreach(events, index, event)
        {
            after = cw_json_u64(event, "id", after);
            print_event(cli, event);
        }
        bool is_more = json_array_size(events) == 1000;
        json_decref(answer);
        if (fflush(stdout) != 0)
            return CW_EXIT_FAILED; /* nobody reads any more */
        if (!is_more && !cw_cli_has(cli, "follow"))
            return CW_EXIT_DONE;
        if (!is_more)
            cw_pause_ms(200);
    }
}

int cw_run_version(struct cw_cli *cli)
{
    if (cli->is_json)
        printf("{\"version\":\"%s\"}\n", CW_VERSION);
    else
        printf("causeway %s\n", CW_VERSION);
    return CW_EXIT_DONE;
}

int cw_run_rpc(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    json_error_t where;
    const char *text = cli->operand_count > 1 ? cli->operands[1] : "{}";
    json_t *params = json_loads(text, 0, &where);
    if (!json_is_object(params)) {
        json_decref(params);
        return cw_failed(cli, CW_EXIT_USAGE, "%s: expected a JSON object", text);
    }
    json_t *answer = cw_ask(cli, cli->site, "engine",
                            json_pack("{s:s,s:o}", "method", cli->operands[0], "params", params), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_dumpf(answer, stdout,
               (cli->is_json ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(CW_JSON_DIGITS));
    putchar('\n');
    json_decref(answer);
    return CW_EXIT_DONE;
}

int cw_run_later(struct cw_cli *cli)
{
    return cw_failed(cli, CW_EXIT_USAGE, "%s comes with a later version", cli->command->words);
}
