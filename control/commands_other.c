/* SPDX-License-Identifier: BSD-3-Clause */
/* events, version, the debugging aid rpc, and the commands of later versions. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/cli.h"

static void print_time(double when)
{
    time_t seconds = (time_t)when;
    struct tm local;
    char clock[32];
    localtime_r(&seconds, &local);
    strftime(clock, sizeof clock, "%F %T", &local);
    printf("%s.%03d  ", clock, (int)((when - (double)seconds) * 1000));
}

static void print_event(const struct cw_cli *cli, const json_t *event)
{
    if (cli->is_json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    const char *level = cw_json_text(event, "level", ""), *group = cw_json_text(event, "group", "");
    print_time(cw_json_number(event, "time", 0));
    bool is_loud = cw_has_colour() && strcmp(level, "info") != 0;
    printf("%-8s %s%-7s%s %s%s%s\n", cw_json_text(event, "site", ""),
           is_loud ? (strcmp(level, "error") == 0 ? "\033[31m" : "\033[33m") : "", level,
           is_loud ? "\033[0m" : "", group, *group ? ": " : "", cw_json_text(event, "text", ""));
}

/* Lines of other hands too: nothing in them moves the terminal. */
static void print_text(const json_t *line, const char *key, const char *before, const char *after)
{
    const char *text = cw_json_text(line, key, "");
    if (!*text)
        return;
    fputs(before, stdout);
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    fputs(after, stdout);
}

static void print_audit(const struct cw_cli *cli, const json_t *entry)
{
    const json_t *line = json_object_get(entry, "line");
    bool is_good = cw_json_bool(entry, "good", false);
    if (cli->is_json) {
        json_dumpf(entry, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        putchar('\n');
        return;
    }
    print_time(cw_json_number(line, "time", 0));
    printf("%-8s ", cw_json_text(line, "site", "?"));
    if (!is_good)
        printf("%sCHANGED%s ", cw_has_colour() ? "\033[31m" : "", cw_has_colour() ? "\033[0m" : "");
    print_text(line, "who", "", "");
    print_text(line, "from", ", ", "");
    print_text(line, "command", ": ", "");
    print_text(line, "reason", " (because: ", ")");
    print_text(line, "what", " -> ", "");
    print_text(line, "words", ": ", "");
    putchar('\n');
}

/* Has the site look through all of its audit: a piece a call, so that it does its work in between. */
static int check_audit(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    uint64_t end = UINT64_MAX, rounds = 0;
    while (rounds < end) {
        json_t *answer = cw_ask(
            cli, cli->site, "audit",
            json_pack("{s:I,s:i,s:b}", "after", (json_int_t)INT64_MAX, "limit", 1, "check", 1), &failure);
        if (!answer)
            return cw_say_failure(cli, &failure);
        rounds = cw_json_u64(answer, "rounds", UINT64_MAX);
        json_decref(answer);
        end = end == UINT64_MAX ? rounds + 2 : end; /* the first may have begun before us */
        cw_progress(cli, "the audit is looked through");
    }
    cw_progress_end();
    return CW_EXIT_DONE;
}

/* One look: *after moves. Exit code when it is over, or -1: there is more at once. */
static int show_audit(struct cw_cli *cli, uint64_t *after, bool *is_damaged)
{
    struct cw_rpc_failure failure;
    size_t index;
    json_t *entry;
    bool is_changed = false;
    json_t *answer = cw_ask(cli, cli->site, "audit",
                            json_pack("{s:I,s:i}", "after", (json_int_t)*after, "limit", 100), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_t *lines = json_object_get(answer, "lines");
    json_array_foreach(lines, index, entry)
    {
        *after = cw_json_u64(entry, "id", *after);
        print_audit(cli, entry);
        is_changed = is_changed || !cw_json_bool(entry, "good", false);
    }
    bool is_more = json_array_size(lines) == 100;
    const char *damage = cw_json_text(answer, "damage", "");
    if (*damage && !is_more && !*is_damaged) {
        *is_damaged = true;
        fflush(stdout);
        fprintf(stderr, "causeway: the audit is not whole: %s. Compare it with that of another site\n",
                damage);
    }
    *is_damaged = *is_damaged || is_changed;
    json_decref(answer);
    return is_more ? -1 : *is_damaged ? CW_EXIT_FAILED : CW_EXIT_DONE;
}

static int run_audit(struct cw_cli *cli)
{
    uint64_t after = 0;
    bool is_damaged = false;
    int code = check_audit(cli);
    if (code != CW_EXIT_DONE)
        return code;
    for (;;) {
        code = show_audit(cli, &after, &is_damaged);
        if (fflush(stdout) != 0)
            return CW_EXIT_FAILED;
        if (code >= 0 && !cw_cli_has(cli, "follow"))
            return code;
        if (code > CW_EXIT_FAILED)
            return code;
        if (code >= 0)
            cw_pause_ms(500);
    }
}

int cw_run_events(struct cw_cli *cli)
{
    if (cw_cli_has(cli, "audit"))
        return run_audit(cli);
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
