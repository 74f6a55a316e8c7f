/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line causeway-nic, which `causeway nic` runs. Each command is a row in a table. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic-config/commands.h"
#include "nic-config/probe.h"
#include "nic-config/say.h"
#include "nic-config/show.h"
#include "nic-config/verify.h"

#define WORDS_MAX 2

struct command {
    const char *name, *operands;
    int words_min, words_max;
    bool has_yes, has_root;
    int (*run)(const struct cw_nic_command *command, char **words); /* NULL: reads its arguments itself */
    const char *summary;                                            /* NULL: not in the list */
    const char *help;
};

/* ---------------------------------------------------------------- commands */

static int run_show(const struct cw_nic_command *command, char **words)
{
    (void)words;
    struct cw_facts *facts = calloc(1, sizeof *facts);
    if (!facts)
        return cw_nic_say(command, CW_NIC_FAILED, "no memory");
    command->hands->probe(command, facts);
    if (command->is_json) {
        json_t *json = cw_show_json(facts);
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(json);
    } else {
        cw_show_text(facts, stdout);
    }
    free(facts);
    return CW_NIC_DONE;
}

static int run_plan(const struct cw_nic_command *command, char **words)
{
    return cw_nic_plan(command, words[0]);
}

static int run_apply(const struct cw_nic_command *command, char **words)
{
    return cw_nic_apply(command, words[0]);
}

static int run_revert(const struct cw_nic_command *command, char **words)
{
    (void)words;
    return cw_nic_revert(command);
}

static int run_boot(const struct cw_nic_command *command, char **words)
{
    (void)words;
    return cw_nic_boot(command);
}

static int run_boot_late(const struct cw_nic_command *command, char **words)
{
    (void)words;
    return cw_nic_boot_late(command);
}

static const struct command commands[] = {
    {"show", "[--root DIR]", 0, 0, false, true, run_show,
     "cards, their drivers, who uses them, memory and cores",
     "Shows every network card with its driver, interfaces, who uses it, its IOMMU group and NUMA node; and\n"
     "hugepages and cores by node. Changes nothing. What cannot be read without root is named.\n"
     "  --root DIR   of a recorded machine: DIR has its /sys, /proc and answers/"},
    {"plan", "WISH [--root DIR]", 1, 1, false, true, run_plan, "what apply would do, step by step",
     "Reads WISH (nic-config/wish.example.yaml has every key) and says what apply would do, in order:\n"
     "each step with its reason, as commands that do it by hand, and its undo; what is refused, and why.\n"
     "Changes nothing. Exit 3: something is refused.\n"
     "  --root DIR   of a recorded machine"},
    {"apply", "WISH [--yes]", 1, 1, true, false, run_apply, "do it, and keep what was there before",
     "Without --yes the same as plan. With it, as root: does each step, after what undoes it has been kept\n"
     "in /var/lib/causeway/nic. Stops at the first that fails; causeway nic revert undoes what was done.\n"
     "The same wish again changes nothing where nothing is to be changed; another one is refused until\n"
     "revert. Ctrl-C ends it after the step that it is at. After a reboot a unit of systemd does it again.\n"
     "Exit 3, and nothing is changed: something is refused, or used by a program.\n"
     "  --yes   do it"},
    {"verify", "", 0, 0, false, false, NULL, cw_nic_verify_summary, cw_nic_verify_help},
    {"revert", "[--yes [--forget]]", 0, 0, true, false, run_revert, "give everything back",
     "Without --yes says what it would undo. With it, as root: undoes each step, the last first; also after\n"
     "apply was killed, or the machine. What somebody else has changed since is left, and said. An undo\n"
     "that fails does not keep the others from being done; then exit 1, and revert goes on another time:\n"
     "what was kept of a card that is gone, or that somebody has given to another driver, waits for it.\n"
     "Refused (exit 3) while an engine, or another program, uses what would be given back: stop that first.\n"
     "  --yes      do it\n"
     "  --forget   and give up what was kept of what is gone; revert --json shows all of that before"},
    {"boot", "", 0, 0, false, false, run_boot, NULL,
     "For the unit causeway-nic.service: after a reboot, does again what it has undone, by the wish that was\n"
     "applied, with the same checks. Where nothing was applied it does nothing. A wish that was not wholly\n"
     "applied, or is half reverted, is not gone on with: exit 1, and causeway nic revert is the way."},
    {"boot-late", "", 0, 0, false, false, run_boot_late, NULL,
     "For the unit causeway-nic-late.service: once the network is configured, looks after what boot has done,\n"
     "as a second apply would: paths on interfaces that the network makes (VLANs), and what it has changed."},
    {NULL, NULL, 0, 0, false, false, NULL, NULL, NULL},
};

/* ---------------------------------------------------------------- the command line */

static int print_overview(FILE *to)
{
    fprintf(to, "usage: causeway nic COMMAND [OPERANDS] [OPTIONS]\n\n");
    for (const struct command *command = commands; command->name; command++)
        if (command->summary)
            fprintf(to, "  %-8s %s\n", command->name, command->summary);
    fprintf(to, "\nOf this machine alone: it talks to no engine and no controller.\n"
                "For example:\n"
                "  causeway nic show\n"
                "  causeway nic plan wish.yaml\n"
                "  causeway nic apply wish.yaml --yes\n"
                "  causeway nic revert --yes\n\n"
                "  --json         the outcome as JSON\n\n"
                "Exit: 0 done, 1 failed, 2 wrong usage or a wish that cannot be read, 3 refused as unsafe.\n"
                "causeway nic COMMAND --help tells more.\n");
    return to == stdout ? CW_NIC_DONE : CW_NIC_USAGE;
}

static int print_help(const struct command *command)
{
    printf("usage: causeway nic %s%s%s\n\n%s\n", command->name, command->operands[0] ? " " : "",
           command->operands, command->help);
    printf(
        "\nEverywhere: --json (the outcome as JSON); for tests --state DIR (default /var/lib/causeway/nic),\n"
        "--prepared DIR (/run/causeway/nic), --units DIR (/etc/systemd/system).\n"
        "Exit: 0 done, 1 failed, 2 wrong usage or a wish that cannot be read, 3 refused as unsafe.\n");
    return CW_NIC_DONE;
}

static int misuse(const struct command *command, const char *what, const char *name)
{
    fprintf(stderr, "causeway nic: %s%s\n", what, name);
    if (command)
        fprintf(stderr, "usage: causeway nic %s %s   (causeway nic %s --help tells more)\n", command->name,
                command->operands, command->name);
    else
        fprintf(stderr, "causeway nic --help lists the commands\n");
    return CW_NIC_USAGE;
}

/* Room for the path of a folder: an absolute one. 0 or an exit code. */
static int take_folder(const struct command *row, char *to, size_t size, const char *value)
{
    bool is_line = true; /* it stands in a unit of systemd, which has lines */
    for (const char *at = value; *at; at++)
        is_line = is_line && (unsigned char)*at >= ' ' && *at != 0x7f;
    if (value[0] != '/' || strlen(value) >= size || !is_line)
        return misuse(
            row,
            "expected an absolute path, not longer than a path can be, without control characters: ", value);
    snprintf(to, size, "%s", value);
    return 0;
}

/* Of a folder that is none, or another than was meant, the probe would tell a machine that has nothing. 0 or an exit code. */
static int take_root(const struct command *row, struct cw_nic_command *command, const char *value)
{
    static const char *const folders[] = {"sys", "proc", "answers"};
    char path[CW_MACHINE_ROOT + 16], words[sizeof path + 128];
    struct stat about;
    if (!value[0] || strlen(value) >= CW_MACHINE_ROOT)
        return misuse(row, "expected the folder of a recorded machine, with a shorter path: --root ", value);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", value, folders[i]);
        int error = stat(path, &about) != 0 ? errno : S_ISDIR(about.st_mode) ? 0 : ENOTDIR;
        snprintf(words, sizeof words, "%s: %s", path, strerror(error));
        if (error)
            return misuse(row, "no recorded machine, which has sys, proc and answers: ", words);
    }
    command->root = value;
    return 0;
}

/* One "--name" or "--name=value"; *at moves over a value. 0 or an exit code. */
static int take_option(const struct command *row, struct cw_nic_command *command, int argc, char **argv,
                       int *at)
{
    char *name = argv[*at] + 2, *value = strchr(name, '=');
    size_t length = value ? (size_t)(value - name) : strlen(name);
    struct {
        const char *name;
        char *folder;
    } folders[] = {{"state", command->folders.state},
                   {"prepared", command->folders.prepared},
                   {"units", command->folders.units}};
    if (strcmp(name, "json") == 0) {
        command->is_json = true;
        return 0;
    }
    if (strcmp(name, "yes") == 0 && row->has_yes) {
        command->is_yes = true;
        return 0;
    }
    if (strcmp(name, "forget") == 0 && row->run == run_revert) {
        command->is_forget = true;
        return 0;
    }
    if (!value && *at + 1 < argc && argv[*at + 1][0] != '-')
        value = argv[++*at];
    else if (value)
        value++;
    bool is_root = length == 4 && strncmp(name, "root", 4) == 0;
    if (is_root && row->has_root && value)
        return take_root(row, command, value);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (strlen(folders[i].name) == length && strncmp(name, folders[i].name, length) == 0 && value)
            return take_folder(row, folders[i].folder, CW_FACT_PATH, value);
    return misuse(row, "unknown option, or without its value: --", name);
}

static const struct command *find(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static void set_defaults(struct cw_nic_command *command)
{
    *command = (struct cw_nic_command){
        .hands = &cw_nic_hands, .root = "", .is_root = geteuid() == 0, .lock_tries = 300};
    struct cw_nic_folders *folders = &command->folders;
    snprintf(folders->state, sizeof folders->state, CW_NIC_STATE);
    snprintf(folders->prepared, sizeof folders->prepared, CW_NIC_PREPARED);
    snprintf(folders->units, sizeof folders->units, CW_NIC_UNITS);
    ssize_t length = readlink("/proc/self/exe", folders->program, sizeof folders->program - 1);
    bool is_whole = length > 0 && (size_t)length < sizeof folders->program - 1;
    folders->program[is_whole ? length : 0] = 0;
}

int main(int argc, char **argv)
{
    struct cw_nic_command command;
    char *words[WORDS_MAX];
    int count = 0;
    if (argc < 2)
        return print_overview(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_overview(stdout);
    const struct command *row = find(argv[1]);
    if (!row)
        return misuse(NULL, "there is no command ", argv[1]);
    if (!row->run)
        return cw_nic_verify(argc - 1, argv + 1);
    set_defaults(&command);
    signal(SIGPIPE, SIG_IGN); /* who reads our words may go; the steps do not */
    for (int at = 2; at < argc; at++) {
        int code = 0;
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            return print_help(row);
        if (strncmp(argv[at], "--", 2) == 0)
            code = take_option(row, &command, argc, argv, &at);
        else if (count == row->words_max)
            code = misuse(row, "too much: ", argv[at]);
        else
            words[count++] = argv[at];
        if (code)
            return code;
    }
    if (count < row->words_min)
        return misuse(row, "something is missing: ", row->operands);
    return row->run(&command, words);
}
