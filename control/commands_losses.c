/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * losses: what the takeovers of a group may have cost, and what they did cost, once the old primary's journal
 * has been read. For whoever is up at night: each takeover in a few lines, and the next command to type.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli.h"

static const char *when(double seconds, char *text, size_t size)
{
    time_t whole = (time_t)seconds;
    struct tm local;
    char clock[32];
    localtime_r(&whole, &local);
    strftime(clock, sizeof clock, "%F %T", &local);
    snprintf(text, size, "%s.%03d", clock, (int)((seconds - (double)whole) * 1000));
    return text;
}

static uint64_t number(const json_t *object, const char *key)
{
    return cw_json_u64(object, key, 0);
}

static const char *text(const json_t *object, const char *key)
{
    return cw_json_text(object, key, "");
}

/* ---------------------------------------------------------------- for people */

static void print_estimate(const json_t *failover)
{
    char size[32];
    double seconds = cw_json_number(failover, "seconds", -1);
    const json_t *after = json_object_get(failover, "after");
    printf("  estimate   %s\n", text(failover, "words"));
    if (strcmp(text(failover, "kind"), "bounded") != 0)
        return;
    printf("             known: at most %" PRIu64 " writes, about %s", number(failover, "writes"),
           cw_size_words((double)number(failover, "bytes"), size, sizeof size));
    if (seconds >= 0)
        printf(", of the last %.3f s before that word", seconds);
    printf("\n");
    if (number(after, "writes"))
        printf(
            "             likely at most: %" PRIu64 " writes, about %s, with those after it\n",
            number(failover, "writes") + number(after, "writes"),
            cw_size_words((double)(number(failover, "bytes") + number(after, "bytes")), size, sizeof size));
}

static void print_kept(const json_t *kept)
{
    char size[32];
    const char *at = text(kept, "at");
    printf("             %" PRIu64 " writes, %s, sequences %" PRIu64 " to %" PRIu64 ", kept at %s in\n"
           "             %s\n",
           number(kept, "writes"), cw_size_words((double)number(kept, "bytes"), size, sizeof size),
           number(kept, "first"), number(kept, "last"), at, text(kept, "path"));
    if (cw_json_bool(kept, "is_cut_short", false))
        printf("             that file is not as long as it was written: it was damaged since\n");
    if (cw_json_bool(kept, "lacks_some", false))
        printf("             it lacks some: the journal could not be read in full\n");
    if (number(kept, "first") > number(kept, "above") + 1)
        printf("             it has none of %" PRIu64 " to %" PRIu64 ": they had left the journal\n",
               number(kept, "above") + 1, number(kept, "first") - 1);
}

static void print_next(const json_t *failover, const char *group)
{
    const char *state = text(failover, "lost"), *from = text(failover, "from");
    const json_t *kept = json_array_get(json_object_get(failover, "kept"), 0);
    if (strcmp(state, "away") == 0)
        printf("  exact      not known before %s is back%s\n", from,
               cw_json_bool(failover, "from_alive", false)
                   ? ": it is there, but does not follow yet; see causeway status"
                   : "; it keeps what it has beyond the common point before anything is copied over it");
    else if (strcmp(state, "nothing-more") == 0)
        printf("  exact      nothing: %s is back, and its journal had no write that is not here\n", from);
    else if (strcmp(state, "unknown") == 0)
        printf("  exact      not known: %s is back, but its journal is another one now, "
               "and no file has a tail\n",
               from);
    else if (strcmp(state, "none") == 0)
        printf("  exact      nothing that was acknowledged\n");
    else
        printf("  exact      %s\n", strcmp(state, "listed") == 0
                                        ? "what the old primary had, and this history does not:"
                                        : "in part: what could be read of the old primary's journal:");
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(failover, "kept"), index, entry)
    {
        print_kept(entry);
    }
    if (kept)
        printf("  next       the list, each write with its time, place and hash, and whether it was "
               "acknowledged:\n"
               "               causeway losses %s --list --epoch %" PRIu64 "\n"
               "             a volume's writes onto a copy of it, at %s:\n"
               "               causeway salvage %s --volume N --to IMAGE\n",
               group, number(failover, "epoch"), text(kept, "at"), text(kept, "path"));
}

static void print_failover(const json_t *failover, const char *group)
{
    char at[64];
    printf("epoch %" PRIu64 ": %s took over from %s (epoch %" PRIu64
           ", %s) at %s%s, with all up to sequence %" PRIu64 "\n",
           number(failover, "epoch"), text(failover, "site"), text(failover, "from"),
           number(failover, "from_epoch"), text(failover, "mode"),
           when(cw_json_number(failover, "time", 0), at, sizeof at),
           cw_json_bool(failover, "accept_loss", false) ? ", with --accept-loss" : "",
           number(failover, "held_sequence"));
    print_estimate(failover);
    print_next(failover, group);
}

static int show(const struct cw_cli *cli, const json_t *answer)
{
    const json_t *failovers = json_object_get(answer, "failovers"),
                 *others = json_object_get(answer, "others");
    size_t index;
    json_t *entry;
    if (cli->is_json) {
        json_dumpf(answer, stdout, JSON_COMPACT | JSON_REAL_PRECISION(CW_JSON_DIGITS + 6));
        putchar('\n');
        return CW_EXIT_DONE;
    }
    if (json_array_size(failovers) == 0)
        printf(
            "%s was never taken over by another site, as far as any site knows: nothing was lost that way\n",
            text(answer, "group"));
    json_array_foreach(failovers, index, entry)
    {
        if (index)
            printf("\n");
        print_failover(entry, text(answer, "group"));
    }
    if (json_array_size(others) > 0)
        printf("\ntails that no takeover above explains:\n");
    json_array_foreach(others, index, entry)
    {
        print_kept(entry);
    }
    return CW_EXIT_DONE;
}

/* ---------------------------------------------------------------- the list */

static void print_record(const struct cw_cli *cli, FILE *to, const json_t *record)
{
    char at[64];
    double time = cw_json_number(record, "time", -1);
    if (cli->is_json) {
        json_dumpf(record, to, JSON_COMPACT | JSON_REAL_PRECISION(CW_JSON_DIGITS + 6));
        putc('\n', to);
        return;
    }
    fprintf(to,
            "%12" PRIu64 "  epoch %" PRIu64 "  %-23s  %-7s  %s%svolume %" PRIu64 "  %" PRIu64 " +%" PRIu64
            "  hash %s  acknowledged: %s\n",
            number(record, "sequence"), number(record, "epoch"),
            time < 0 ? "time not known" : when(time, at, sizeof at), text(record, "kind"),
            text(record, "name"), *text(record, "name") ? ", " : "", number(record, "volume"),
            number(record, "offset"), number(record, "length"), text(record, "hash"),
            text(record, "acknowledged"));
}

struct listing {
    FILE *to;
    uint64_t yes, unknown, no, markers;
};

static void print_page(const struct cw_cli *cli, const json_t *answer, struct listing *listing)
{
    size_t index;
    json_t *record;
    json_array_foreach(json_object_get(answer, "records"), index, record)
    {
        const char *acknowledged = text(record, "acknowledged");
        if (strcmp(text(record, "kind"), "marker") == 0) {
            listing->markers++; /* opens an epoch: no client's */
            continue;
        }
        listing->yes += strcmp(acknowledged, "yes") == 0;
        listing->no += strcmp(acknowledged, "no") == 0;
        listing->unknown += strcmp(acknowledged, "unknown") == 0;
        print_record(cli, listing->to, record);
    }
}

/* Page by page, from the site that has the file. An exit code; if it is not 0, the words are said. */
static int list_file(const struct cw_cli *cli, const json_t *kept, bool lost_none, struct listing *listing)
{
    struct cw_rpc_failure failure;
    uint64_t from = 0;
    do {
        json_t *answer =
            cw_ask(cli, text(kept, "at"), "losses.list",
                   json_pack("{s:s,s:s,s:I,s:b}", "site", text(kept, "at"), "file", text(kept, "file"),
                             "from", (json_int_t)from, "lost_none", lost_none),
                   &failure);
        if (!answer)
            return cw_failed(cli, failure.exit, "%s (the file is %s, at %s)", failure.words,
                             text(kept, "path"), text(kept, "at"));
        print_page(cli, answer, listing);
        from = cw_json_u64(answer, "next", 0);
        char why[300];
        snprintf(why, sizeof why, "%s", text(answer, "why"));
        json_decref(answer);
        if (why[0])
            return cw_failed(cli, CW_EXIT_FAILED, "%s at %s: %s; what is listed before it is sound",
                             text(kept, "path"), text(kept, "at"), why);
    } while (from);
    return CW_EXIT_DONE;
}

/* The one of that epoch; epoch 0: the last that has a file. */
static const json_t *choose(const json_t *answer, uint64_t epoch)
{
    const json_t *chosen = NULL;
    size_t index;
    json_t *failover;
    json_array_foreach(json_object_get(answer, "failovers"), index, failover)
    {
        bool has_file = json_array_size(json_object_get(failover, "kept")) > 0;
        if (epoch ? number(failover, "epoch") == epoch : has_file)
            chosen = failover;
    }
    return chosen;
}

static int list_failover(const struct cw_cli *cli, const json_t *failover, struct listing *listing)
{
    size_t index;
    json_t *kept;
    int code = CW_EXIT_DONE;
    json_array_foreach(json_object_get(failover, "kept"), index, kept)
    {
        if (!code)
            code = list_file(cli, kept, strcmp(text(failover, "kind"), "none") == 0, listing);
    }
    return code;
}

static int list(const struct cw_cli *cli, const json_t *answer, uint64_t epoch)
{
    const json_t *failover = choose(answer, epoch);
    const char *path = cw_cli_value(cli, "list");
    struct listing listing = {.to = stdout};
    if (epoch && !failover)
        return cw_failed(cli, CW_EXIT_FAILED, "no takeover in epoch %" PRIu64 " is known: causeway losses %s",
                         epoch, text(answer, "group"));
    if (!failover || json_array_size(json_object_get(failover, "kept")) == 0)
        return cw_failed(
            cli, CW_EXIT_FAILED, "no list is there%s: causeway losses %s tells what is known",
            failover && strcmp(text(failover, "lost"), "away") == 0 ? " before the old primary is back" : "",
            text(answer, "group"));
    if (path && !(listing.to = fopen(path, "we")))
        return cw_failed(cli, CW_EXIT_FAILED, "%s cannot be written", path);
    int code = list_failover(cli, failover, &listing);
    bool is_written = fflush(listing.to) == 0 && !ferror(listing.to);
    if (path)
        is_written = fclose(listing.to) == 0 && is_written;
    if (!code && !is_written)
        return cw_failed(cli, CW_EXIT_FAILED, "%s could not be written in full", path ? path : "the list");
    if (code || (cli->is_json && !path))
        return code;
    return cw_done(cli,
                   "%" PRIu64 " writes: %" PRIu64 " were acknowledged, of %" PRIu64
                   " nobody can know, %" PRIu64 " were not",
                   listing.yes + listing.unknown + listing.no, listing.yes, listing.unknown, listing.no);
}

int cw_run_losses(struct cw_cli *cli)
{
    const char *wanted = cw_cli_value(cli, "epoch");
    struct cw_rpc_failure failure;
    uint64_t epoch = 0;
    char more;
    if (wanted && (!cw_cli_has(cli, "list") || sscanf(wanted, "%" SCNu64 "%c", &epoch, &more) != 1 || !epoch))
        return cw_failed(cli, CW_EXIT_USAGE, "--epoch wants a number, and --list with it");
    json_t *answer =
        cw_ask(cli, cli->site, "losses", json_pack("{s:s}", "group", cli->operands[0]), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    int code = cw_cli_has(cli, "list") ? list(cli, answer, epoch) : show(cli, answer);
    json_decref(answer);
    return code;
}
