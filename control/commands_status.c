/* SPDX-License-Identifier: BSD-3-Clause */
/* status: JSON as the controller gives it, or a table; --watch again every second; --check an exit code by
 * health. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/cli.h"

static bool has_colour;

static const char *colour(const char *word)
{
    static const struct {
        const char *word, *colour;
    } colours[] = {{"protected", "\033[32m"},    {"in-sync", "\033[32m"},   {"up", "\033[32m"},
                   {"degraded", "\033[33m"},     {"streaming", "\033[33m"}, {"resync", "\033[33m"},
                   {"unprotected", "\033[31m"},  {"frozen", "\033[31m"},    {"down", "\033[31m"},
                   {"disconnected", "\033[31m"}, {"diverged", "\033[31m"}};
    for (size_t i = 0; has_colour && i < sizeof colours / sizeof colours[0]; i++) {
        if (strcmp(colours[i].word, word) == 0)
            return colours[i].colour;
    }
    return "";
}

static const char *plain(void)
{
    return has_colour ? "\033[0m" : "";
}

static const char *bold(void)
{
    return has_colour ? "\033[1m" : "";
}

/* "3.2 s ago", "not seen" */
static const char *age_words(const json_t *seconds, char *text, size_t size)
{
    if (json_is_number(seconds))
        snprintf(text, size, "%.1f s ago", json_number_value(seconds));
    else
        snprintf(text, size, "not seen");
    return text;
}

/* What the store has not told since, and that it does not. */
static bool print_store(FILE *to, const json_t *status)
{
    const char *trouble = cw_json_text(status, "store_trouble", "");
    const char *refused = cw_json_text(status, "store_refused", "");
    if (*refused) {
        fprintf(to, "%s\n", refused);
        return true;
    }
    if (cw_json_bool(status, "store_answers", true))
        return false;
    if (cw_json_bool(status, "store_full", false)) {
        fprintf(
            to,
            "the store %s has taken no changes for %.1f s (%s): no lease is renewed and no role changes\n",
            cw_json_text(status, "store", ""), cw_json_number(status, "store_silent_seconds", 0), trouble);
        return true;
    }
    fprintf(to,
            "the store %s has not answered for %.1f s (%s): what is shown of other sites "
            "is what was last read, and no lease is renewed\n",
            cw_json_text(status, "store", ""), cw_json_number(status, "store_silent_seconds", 0),
            *trouble ? trouble : "locked by another program?");
    return true;
}

static void print_sites(const json_t *sites, bool is_heard)
{
    size_t index;
    json_t *site;
    json_array_foreach(sites, index, site)
    {
        char age[32];
        bool is_alive = cw_json_bool(site, "alive", false);
        const char *word = is_alive ? "up" : is_heard ? "down" : "unheard";
        printf("site %-14s %s%-6s%s seen %s%s\n", cw_json_text(site, "name", ""), colour(word), word, plain(),
               age_words(json_object_get(site, "last_seen_seconds"), age, sizeof age),
               cw_json_bool(site, "witness", false) ? "  witness" : "");
    }
}

static void print_copy(const json_t *copy)
{
    char done[32], total[32], rate[32];
    if (!copy)
        return;
    printf("      copy %s of %s, %s/s, %.0f s to go\n",
           cw_size_words(cw_json_number(copy, "done_bytes", 0), done, sizeof done),
           cw_size_words(cw_json_number(copy, "total_bytes", 0), total, sizeof total),
           cw_size_words(cw_json_number(copy, "rate_bytes_per_second", 0), rate, sizeof rate),
           cw_json_number(copy, "eta_seconds", 0));
}

static void print_old_image(const json_t *old)
{
    char age[32];
    if (json_is_object(old))
        printf("      the whole image of before the copy ends with sequence %lu, %s\n",
               cw_json_u64(old, "sequence", 0),
               age_words(json_object_get(old, "age_seconds"), age, sizeof age));
}

static void print_replicas(const json_t *replicas)
{
    size_t index;
    json_t *replica;
    json_array_foreach(replicas, index, replica)
    {
        const char *state = cw_json_text(replica, "state", ""), *reason = cw_json_text(replica, "reason", "");
        char lag[32];
        printf("    replica %-10s %s%-13s%s durable %lu  applied %lu  lag %s%s, %.3f s%s%s\n",
               cw_json_text(replica, "site", ""), colour(state), state, plain(),
               cw_json_u64(replica, "durable_sequence", 0), cw_json_u64(replica, "applied_sequence", 0),
               cw_json_bool(replica, "lag_known", true) ? "" : "at least ",
               cw_size_words(cw_json_number(replica, "lag_bytes", 0), lag, sizeof lag),
               cw_json_number(replica, "lag_seconds", 0), *reason ? "  " : "", reason);
        print_copy(json_object_get(replica, "copy"));
        print_old_image(json_object_get(replica, "old_image"));
    }
}

static void print_volumes(const json_t *volumes)
{
    size_t index;
    json_t *volume;
    json_array_foreach(volumes, index, volume)
    {
        char size[32];
        const char *uri = cw_json_text(volume, "primary_uri", ""), *error = cw_json_text(volume, "error", "");
        printf("    volume  %-10s %s  %s%s%s\n", cw_json_text(volume, "name", ""),
               cw_size_words(cw_json_number(volume, "size", 0), size, sizeof size),
               *uri ? uri : "not exported", *error ? "  " : "", error);
    }
}

static void print_rpo(const json_t *group)
{
    char bytes[32], age[48] = "", text[32];
    const json_t *seconds = json_object_get(group, "rpo_seconds"),
                 *as_of = json_object_get(group, "as_of_seconds");
    if (as_of)
        snprintf(age, sizeof age, " (as of %s)", age_words(as_of, text, sizeof text));
    if (json_is_number(seconds))
        printf("RPO %.3f s, %s%s", json_number_value(seconds),
               cw_size_words(cw_json_number(group, "rpo_bytes", 0), bytes, sizeof bytes), age);
    else
        printf("RPO unknown%s", age);
}

static void print_group(const json_t *group)
{
    const char *health = cw_json_text(group, "health", ""), *reason = cw_json_text(group, "reason", "");
    const char *primary = cw_json_text(group, "primary", "");
    char rate[32];
    printf("\n%sgroup %s%s  %s  %s%s%s%s%s\n", bold(), cw_json_text(group, "name", ""), plain(),
           cw_json_text(group, "mode", ""), colour(health), health, plain(), *reason ? ": " : "", reason);
    printf("    primary %-10s epoch %lu  sequence %lu  ", *primary ? primary : "nobody",
           cw_json_u64(group, "epoch", 0), cw_json_u64(group, "sequence", 0));
    print_rpo(group);
    printf("  writing %s/s, %lu IOPS\n",
           cw_size_words(cw_json_number(group, "throughput_bytes_per_second", 0), rate, sizeof rate),
           cw_json_u64(group, "iops", 0));
    print_replicas(json_object_get(group, "replicas"));
    print_volumes(json_object_get(group, "volumes"));
}

static void print_paths(const json_t *paths)
{
    size_t index;
    json_t *path;
    char rate[32];
    if (json_array_size(paths) > 0)
        printf("\n");
    json_array_foreach(paths, index, path)
    {
        bool is_up = cw_json_bool(path, "up", false);
        const char *state = is_up ? "up" : cw_json_text(path, "state", "down");
        printf("path %s > %s  %-8s %s%s%s", cw_json_text(path, "local", ""), cw_json_text(path, "remote", ""),
               cw_json_text(path, "name", ""), colour(is_up ? "up" : "down"), state, plain());
        if (is_up)
            printf("    rtt %.0f us  loss %.2f %%  sending %s/s", cw_json_number(path, "rtt_us", 0),
                   cw_json_number(path, "loss", 0) * 100,
                   cw_size_words(cw_json_number(path, "rate_bps", 0) / 8, rate, sizeof rate));
        const char *reason = cw_json_text(json_object_get(path, "rate_control"), "reason", "");
        printf("%s%s\n", is_up && *reason ? "\n    " : "", is_up ? reason : "");
    }
}

/* What a site has and the store does not know, and what to do. */
static void print_unknown(FILE *to, const json_t *status)
{
    const json_t *unknown = json_object_get(status, "unknown");
    size_t index;
    json_t *entry;
    json_array_foreach(unknown, index, entry)
    {
        const char *group = cw_json_text(entry, "group", "");
        fprintf(to, "%s has %s%s%s%s, which the store does not know\n", cw_json_text(entry, "site", ""),
                group[0] ? "group " : "", group, group[0] ? " with its journal " : "the journal ",
                cw_json_text(entry, "journal", ""));
    }
    if (json_array_size(unknown) > 0)
        fprintf(to,
                "If the store was lost or replaced, put the last one back as %s (never an older copy while "
                "engines run). Remove no journal and no volume whose group was not deleted: "
                "it may be the only copy.\n",
                cw_json_text(status, "store", "store.db"));
}

/* Rows of the store that are garbage; what they are about is not decided. */
static void print_unreadable(FILE *to, const json_t *status)
{
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(status, "store_unreadable"), index, row)
    {
        const char *group = cw_json_text(row, "group", "");
        fprintf(to, "%s%s%s\n", group, *group ? ": " : "", cw_json_text(row, "words", ""));
    }
}

/* What keeps the site's own book out of its file; no role hangs on it. */
static void print_book(FILE *to, const json_t *status)
{
    const char *trouble = cw_json_text(status, "book_trouble", ""), *site = cw_json_text(status, "site", "");
    if (*trouble)
        fprintf(to,
                "The book of %s (events, audit) is in memory: %s. Make room, or let it be written; what is "
                "told until then goes there when it is, and to the sites that it has links to at once\n",
                site, trouble);
}

static void print_status(const json_t *status)
{
    size_t index;
    json_t *group;
    bool is_silent = print_store(stdout, status);
    print_sites(json_object_get(status, "sites"), !is_silent);
    json_array_foreach(json_object_get(status, "groups"), index, group) print_group(group);
    print_paths(json_object_get(status, "paths"));
    if (*cw_json_text(status, "audit_damage", ""))
        printf("\nThe audit at %s is not whole: %s (causeway events --audit)\n",
               cw_json_text(status, "site", ""), cw_json_text(status, "audit_damage", ""));
    if (*cw_json_text(status, "book_trouble", "") || *cw_json_text(status, "book_moved", ""))
        printf("\n");
    if (json_array_size(json_object_get(status, "store_unreadable")) > 0)
        printf("\n");
    print_unreadable(stdout, status);
    print_book(stdout, status);
    if (*cw_json_text(status, "book_moved", ""))
        printf("A damaged book of %s is kept as %s\n", cw_json_text(status, "site", ""),
               cw_json_text(status, "book_moved", ""));
    if (json_array_size(json_object_get(status, "unknown")) > 0)
        printf("\n");
    print_unknown(stdout, status);
}

/* 0 when every group is protected and the store knows all that is there, else 1, with the reasons. */
static int check_health(const struct cw_cli *cli, const json_t *status)
{
    size_t index;
    json_t *group;
    int code = CW_EXIT_DONE;
    json_array_foreach(json_object_get(status, "groups"), index, group)
    {
        const char *health = cw_json_text(group, "health", "");
        if (strcmp(health, "protected") == 0)
            continue;
        code = CW_EXIT_FAILED;
        if (!cli->is_json)
            fprintf(stderr, "%s is %s: %s\n", cw_json_text(group, "name", ""), health,
                    cw_json_text(group, "reason", ""));
    }
    if (!cw_json_bool(status, "store_answers", true) || *cw_json_text(status, "store_refused", "")) {
        code = CW_EXIT_FAILED;
        if (!cli->is_json)
            (void)print_store(stderr, status);
    }
    if (json_array_size(json_object_get(status, "store_unreadable")) > 0) {
        code = CW_EXIT_FAILED;
        if (!cli->is_json)
            print_unreadable(stderr, status);
    }
    if (*cw_json_text(status, "book_trouble", "")) {
        code = CW_EXIT_FAILED;
        if (!cli->is_json)
            print_book(stderr, status);
    }
    if (json_array_size(json_object_get(status, "unknown")) > 0) {
        code = CW_EXIT_FAILED;
        if (!cli->is_json)
            print_unknown(stderr, status);
    }
    return code;
}

static int show_once(const struct cw_cli *cli, json_t *status)
{
    int code = CW_EXIT_DONE;
    if (cli->is_json) {
        size_t layout = cw_cli_has(cli, "watch") ? JSON_COMPACT : JSON_INDENT(2);
        json_dumpf(status, stdout, layout | JSON_REAL_PRECISION(CW_JSON_DIGITS));
        putchar('\n');
    } else if (!cw_cli_has(cli, "check")) {
        print_status(status);
    }
    if (cw_cli_has(cli, "check"))
        code = check_health(cli, status);
    json_decref(status);
    return code;
}

/* A frame of --watch on a terminal is one write that begins with clearing: nothing flickers, and a failure
 * stands in the frame instead of below it. */
static void begin_frame(const struct cw_cli *cli)
{
    char clock[32];
    struct tm local;
    time_t now = time(NULL);
    localtime_r(&now, &local);
    strftime(clock, sizeof clock, "%T", &local);
    printf("\033[H\033[J%scauseway status%s%s%s  %s, every second; Ctrl-C ends\n\n", bold(), plain(),
           cli->site ? " at " : "", cli->site ? cli->site : "", clock);
}

/* Until nobody reads any more. A site that is down for a moment does not end the watching. */
static int watch(const struct cw_cli *cli)
{
    static char frame[1 << 16];
    bool is_drawn = isatty(STDOUT_FILENO) && !cli->is_json;
    setvbuf(stdout, frame, _IOFBF, sizeof frame);
    for (;;) {
        struct cw_rpc_failure failure;
        json_t *status = cw_ask(cli, cli->site, "status", NULL, &failure);
        if (is_drawn)
            begin_frame(cli);
        if (status)
            (void)show_once(cli, status);
        else if (is_drawn)
            printf("%s\n", failure.words);
        else
            (void)cw_say_failure(cli, &failure);
        if (fflush(stdout) != 0)
            return CW_EXIT_FAILED;
        cw_pause_ms(1000);
    }
}

int cw_run_status(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    has_colour = cw_has_colour();
    if (cw_cli_has(cli, "watch"))
        return watch(cli);
    json_t *status = cw_ask(cli, cli->site, "status", NULL, &failure);
    return status ? show_once(cli, status) : cw_say_failure(cli, &failure);
}
