/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * audit: which losses of sites would be survived, right now? The words are the controller's; here is only in
 * which order they stand: what is worst first, and what just goes on is counted.
 */
#include <stdio.h>
#include <string.h>

#include "control/cli.h"
#include "control/paragraph.h"

#define GROUPS_LISTED_MAX 8

static bool has_colour;
static unsigned width;

static const char *colour(const char *verdict)
{
    if (!has_colour)
        return "";
    return strcmp(verdict, "survivable") == 0           ? "\033[32m"
           : strcmp(verdict, "survivable by hand") == 0 ? "\033[33m"
                                                        : "\033[31m";
}

static const char *plain(void)
{
    return has_colour ? "\033[0m" : "";
}

/* "east", "east and west" */
static const char *names_of(const json_t *loss, char *text, size_t size)
{
    const json_t *sites = json_object_get(loss, "sites");
    const char *second = json_string_value(json_array_get(sites, 1));
    snprintf(text, size, "%s%s%s", json_string_value(json_array_get(sites, 0)), second ? " and " : "",
             second ? second : "");
    return text;
}

static void print_line(const char *mark, const char *text)
{
    char head[16];
    snprintf(head, sizeof head, "  %s ", mark);
    if (*text)
        cw_paragraph(stdout, width, head, 4, text);
}

static void print_groups(const json_t *loss)
{
    const json_t *groups = json_object_get(loss, "groups");
    size_t index, count = json_array_size(groups);
    json_t *group;
    json_array_foreach(groups, index, group)
    {
        const char *command = cw_json_text(group, "command", ""),
                   *verdict = cw_json_text(group, "verdict", "");
        if (index == GROUPS_LISTED_MAX && count > GROUPS_LISTED_MAX + 1)
            break;
        print_line(strcmp(verdict, "survivable") == 0           ? "+"
                   : strcmp(verdict, "survivable by hand") == 0 ? "*"
                                                                : "!",
                   cw_json_text(group, "words", ""));
        if (*command)
            printf("      %s\n", command);
    }
    if (index < count)
        printf("  * %zu more groups like these: causeway audit --json\n", count - index);
    unsigned long go_on = cw_json_u64(loss, "groups_go_on", 0);
    if (go_on > 0)
        printf("  + %lu group%s %s on untouched\n", go_on, go_on == 1 ? "" : "s", go_on == 1 ? "goes" : "go");
}

static void print_loss(const json_t *loss)
{
    char name[80], head[160];
    const char *verdict = cw_json_text(loss, "verdict", ""), *summary = cw_json_text(loss, "summary", "");
    const json_t *votes = json_object_get(loss, "votes");
    snprintf(head, sizeof head, "%s burns: %s%s%s%s", names_of(loss, name, sizeof name), colour(verdict),
             verdict, plain(), *summary ? ": " : "");
    cw_paragraph(stdout, width, head, 4, summary);
    print_line(cw_json_bool(votes, "good", false) ? "+" : "!", cw_json_text(votes, "words", ""));
    print_groups(loss);
    print_line(cw_json_u64(json_object_get(loss, "controllers"), "left", 0) ? "+" : "!",
               cw_json_text(json_object_get(loss, "controllers"), "words", ""));
    print_line("*", cw_json_text(loss, "certificates", ""));
    printf("\n");
}

static bool is_single(const json_t *loss)
{
    return json_array_size(json_object_get(loss, "sites")) == 1;
}

/* One line each: to lose two sites at once is more than most are made for. */
static void print_pairs(const json_t *losses)
{
    size_t index;
    json_t *loss;
    bool is_first = true;
    json_array_foreach(losses, index, loss)
    {
        char name[80], head[160];
        const char *verdict = cw_json_text(loss, "verdict", ""), *summary = cw_json_text(loss, "summary", "");
        if (is_single(loss))
            continue;
        if (is_first)
            printf("Two at once (does not count for the exit code):\n");
        is_first = false;
        snprintf(head, sizeof head, "  %s: %s%s%s%s", names_of(loss, name, sizeof name), colour(verdict),
                 verdict, plain(), *summary ? ": " : "");
        cw_paragraph(stdout, width, head, 4, summary);
    }
    if (!is_first)
        printf("\n");
}

/* Where everything is now: by that the rest can be checked. */
static void print_sites(const json_t *survey)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(survey, "sites"), index, entry)
    {
        char members[160] = "", text[320];
        size_t k;
        json_t *vote;
        json_array_foreach(json_object_get(survey, "votes"), k, vote)
        {
            size_t used = strlen(members);
            if (strcmp(cw_json_text(vote, "site", ""), cw_json_text(entry, "name", "")) == 0)
                snprintf(members + used, sizeof members - used, ", vote %s%s",
                         cw_json_text(vote, "member", ""),
                         cw_json_bool(vote, "answers", false) ? "" : " (does not answer)");
        }
        bool is_heard = cw_json_bool(entry, "controller", false);
        snprintf(text, sizeof text, "%s%s%s", is_heard ? "controller" : "nothing heard",
                 cw_json_bool(entry, "engine", false)    ? ", engine"
                 : cw_json_bool(entry, "witness", false) ? ", witness"
                                                         : ", no engine",
                 members);
        printf("  %-10s %s\n", cw_json_text(entry, "name", ""), text);
    }
    json_array_foreach(json_object_get(survey, "votes"), index, entry)
    {
        if (!*cw_json_text(entry, "site", ""))
            printf("  %-10s vote %s%s\n", "(nowhere)", cw_json_text(entry, "member", ""),
                   cw_json_bool(entry, "answers", false) ? "" : " (does not answer)");
    }
    printf("\n");
}

static int exit_code(const json_t *survey)
{
    size_t index;
    json_t *loss;
    json_array_foreach(json_object_get(survey, "losses"), index, loss)
    {
        if (is_single(loss) && !cw_json_bool(loss, "survivable", false))
            return CW_EXIT_FAILED;
    }
    return CW_EXIT_DONE;
}

static void print_head(const json_t *survey, int code)
{
    printf("Which losses would be survived right now? %s%s%s\n",
           colour(code ? "not survivable" : "survivable"),
           code ? "Not that of every site." : "That of any one site.", plain());
    if (cw_json_bool(survey, "embedded", false))
        cw_paragraph(stdout, width, "", 0,
                     "All sites are on this one machine, and so is the store: \"burns\" means here that the "
                     "processes of a site are lost. What is lost with the machine is lost.");
    printf("\n");
}

static void print_survey(const json_t *survey, int code)
{
    size_t index;
    json_t *entry;
    print_head(survey, code);
    json_array_foreach(json_object_get(survey, "losses"), index, entry)
    {
        if (is_single(entry) && !cw_json_bool(entry, "survivable", false))
            print_loss(entry);
    }
    json_array_foreach(json_object_get(survey, "losses"), index, entry)
    {
        if (is_single(entry) && cw_json_bool(entry, "survivable", false))
            print_loss(entry);
    }
    print_pairs(json_object_get(survey, "losses"));
    printf("Now there are (seen from %s):\n", cw_json_text(survey, "site", ""));
    print_sites(survey);
    printf("Not known:\n");
    json_array_foreach(json_object_get(survey, "not_known"), index, entry)
        print_line("-", json_string_value(entry));
}

int cw_run_audit(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    json_t *survey = cw_ask(cli, cli->site, "survey", json_pack("{s:b}", "pairs", true), &failure);
    if (!survey)
        return cw_say_failure(cli, &failure);
    int code = exit_code(survey);
    has_colour = cw_has_colour();
    width = cw_terminal_width();
    if (cli->is_json) {
        json_dumpf(survey, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(CW_JSON_DIGITS));
        putchar('\n');
    } else {
        print_survey(survey, code);
    }
    json_decref(survey);
    return code;
}
