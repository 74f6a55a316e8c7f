/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the arguments: options may stand anywhere, "--" ends them, "--name=value" is "--name value". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli.h"

enum option_kind { OPTION_UNKNOWN, OPTION_FLAG, OPTION_VALUE, OPTION_MAYBE };

/* Looks NAME up in "a b= c=?". */
static enum option_kind kind_of(const char *options, const char *name, size_t length)
{
    for (const char *at = options; *at;) {
        size_t word = strcspn(at, " ");
        if (word >= length && strncmp(at, name, length) == 0) {
            if (word == length)
                return OPTION_FLAG;
            if (word == length + 1 && at[length] == '=')
                return OPTION_VALUE;
            if (word == length + 2 && at[length] == '=' && at[length + 1] == '?')
                return OPTION_MAYBE;
        }
        at += word + strspn(at + word, " ");
    }
    return OPTION_UNKNOWN;
}

static int misuse(const struct cw_cli *cli, const char *what, const char *name)
{
    fprintf(stderr, "causeway: %s%s\n", what, name);
    if (cli->command)
        fprintf(stderr, "usage: causeway %s %s   (causeway %s --help tells more)\n", cli->command->words,
                cli->command->operands, cli->command->words);
    else
        fprintf(stderr, "causeway %s%s--help lists the commands\n", cli->family ? cli->family : "",
                cli->family ? " " : "");
    return CW_EXIT_USAGE;
}

static const char global_options[] = "site= lab= socket= connect= identity= reason= json help";

/* Takes the value of a global option; true: it was one. */
static bool take_global(struct cw_cli *cli, const char *name, size_t length, const char *value, bool *is_help)
{
    static const struct {
        const char *name;
        size_t offset;
    } globals[] = {
        {"site", offsetof(struct cw_cli, site)},         {"lab", offsetof(struct cw_cli, lab)},
        {"socket", offsetof(struct cw_cli, socket)},     {"connect", offsetof(struct cw_cli, connect)},
        {"identity", offsetof(struct cw_cli, identity)}, {"reason", offsetof(struct cw_cli, reason)}};
    if (length == 4 && strncmp(name, "json", 4) == 0)
        return cli->is_json = true;
    if (length == 4 && strncmp(name, "help", 4) == 0)
        return *is_help = true;
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++) {
        if (strlen(globals[i].name) != length || strncmp(globals[i].name, name, length) != 0)
            continue;
        *(const char **)((char *)cli + globals[i].offset) = value;
        return true;
    }
    return false;
}

/* One "--name..."; *at moves over a value taken from the next argument. 0 or an exit code. */
static int take_option(struct cw_cli *cli, int argc, char **argv, int *at, bool *is_help)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '='), *value = equals ? equals + 1 : NULL;
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    bool is_global = kind_of(global_options, name, length) != OPTION_UNKNOWN;
    enum option_kind kind = kind_of(is_global      ? global_options
                                    : cli->command ? cli->command->options
                                                   : "",
                                    name, length);
    if (kind == OPTION_UNKNOWN)
        return misuse(cli, "unknown option ", argv[*at]);
    if (kind == OPTION_FLAG && value)
        return misuse(cli, "no value belongs to ", argv[*at]);
    bool has_next = *at + 1 < argc && (kind == OPTION_VALUE || argv[*at + 1][0] != '-');
    if (kind != OPTION_FLAG && !value && has_next)
        value = argv[++*at];
    if (kind == OPTION_VALUE && !value)
        return misuse(cli, "a value is missing after ", argv[*at]);
    if (is_global)
        return take_global(cli, name, length, value, is_help) ? 0 : misuse(cli, "unknown option ", name);
    if (cli->option_count == CW_ARGUMENTS_MAX)
        return misuse(cli, "too many options at ", argv[*at]);
    cli->options[cli->option_count].name = name;
    cli->options[cli->option_count++].value = value;
    return 0;
}

/* Whether commands of two words begin with this one. */
static bool is_family(const struct cw_command *commands, const char *word)
{
    size_t length = strlen(word);
    for (const struct cw_command *command = commands; command->words; command++) {
        if (strncmp(command->words, word, length) == 0 && command->words[length] == ' ')
            return true;
    }
    return false;
}

static const struct cw_command *find_command(const struct cw_command *commands, const char *family,
                                             const char *word)
{
    size_t skip = family ? strlen(family) + 1 : 0;
    for (const struct cw_command *command = commands; command->words; command++) {
        bool is_in =
            !family || (strncmp(command->words, family, skip - 1) == 0 && command->words[skip - 1] == ' ');
        if (is_in && strcmp(command->words + skip, word) == 0)
            return command;
    }
    return NULL;
}

/* One word of the command, the first of two or the last. */
static int take_word(const struct cw_command *commands, struct cw_cli *cli, const char *word)
{
    if (!cli->family && is_family(commands, word)) {
        cli->family = word;
        return 0;
    }
    cli->command = find_command(commands, cli->family, word);
    return cli->command ? 0 : misuse(cli, "there is no command ", word);
}

static int check_count(const struct cw_cli *cli)
{
    if (!cli->command)
        return cli->family ? 0 : misuse(cli, "which command?", "");
    if (cli->operand_count < cli->command->operands_min)
        return misuse(cli, "something is missing: ", cli->command->operands);
    if (cli->operand_count > cli->command->operands_max)
        return misuse(cli, "too much: ", cli->operands[cli->command->operands_max]);
    return 0;
}

int cw_cli_parse(const struct cw_command *commands, int argc, char **argv, struct cw_cli *cli, bool *is_help)
{
    bool is_over = false;
    *cli = (struct cw_cli){0};
    *is_help = false;
    for (int at = 1; at < argc; at++) {
        int code = 0;
        if (!is_over && strcmp(argv[at], "--") == 0)
            is_over = true;
        else if (!is_over && strcmp(argv[at], "-h") == 0)
            *is_help = true;
        else if (!is_over && strncmp(argv[at], "--", 2) == 0)
            code = take_option(cli, argc, argv, &at, is_help);
        else if (!cli->command)
            code = take_word(commands, cli, argv[at]);
        else if (cli->operand_count == CW_ARGUMENTS_MAX)
            code = misuse(cli, "too much: ", argv[at]);
        else
            cli->operands[cli->operand_count++] = argv[at];
        if (code)
            return code;
    }
    return *is_help ? 0 : check_count(cli);
}

static bool is_option(const struct cw_cli *cli, uint32_t index, const char *option)
{
    const char *name = cli->options[index].name;
    return strncmp(name, option, strlen(option)) == 0 &&
           (name[strlen(option)] == 0 || name[strlen(option)] == '=');
}

bool cw_cli_has(const struct cw_cli *cli, const char *option)
{
    for (uint32_t i = 0; i < cli->option_count; i++) {
        if (is_option(cli, i, option))
            return true;
    }
    return false;
}

const char *cw_cli_value(const struct cw_cli *cli, const char *option)
{
    const char *value = NULL;
    for (uint32_t i = 0; i < cli->option_count; i++) {
        if (is_option(cli, i, option))
            value = cli->options[i].value;
    }
    return value;
}

json_t *cw_cli_by_site(const struct cw_cli *cli, const char *option)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < cli->option_count; i++) {
        const char *value = cli->options[i].value;
        if (!is_option(cli, i, option) || !value)
            continue;
        char site[64] = "";
        const char *equals = value[0] == '/' ? NULL : strchr(value, '=');
        if (equals)
            snprintf(site, sizeof site, "%.*s", (int)(equals - value), value);
        json_object_set_new(map, site, json_string(equals ? equals + 1 : value));
    }
    return map;
}

json_t *cw_cli_list(const struct cw_cli *cli, const char *option)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < cli->option_count; i++) {
        const char *at = cli->options[i].value;
        if (!is_option(cli, i, option) || !at)
            continue;
        while (*at) {
            size_t length = strcspn(at, ",");
            if (length > 0)
                json_array_append_new(list, json_stringn(at, length));
            at += length + (at[length] == ',');
        }
    }
    return list;
}

const char *cw_cli_lab(const struct cw_cli *cli)
{
    const char *environment = getenv("CAUSEWAY_LAB");
    return cli->lab ? cli->lab : environment && *environment ? environment : CW_LAB_DEFAULT;
}

void cw_cli_help(const struct cw_command *command)
{
    bool is_site_taken = strstr(command->operands, "--site S") != NULL;
    printf("usage: causeway %s%s%s\n\n%s\n", command->words, command->operands[0] ? " " : "",
           command->operands, command->help);
    printf("\nEverywhere: --json (the outcome as JSON), %s--lab DIR (or CAUSEWAY_LAB;\n"
           "default %s), --socket PATH (a controller outside a lab),\n"
           "--connect ADDRESS:PORT --identity DIR (one elsewhere, by the certificate in DIR),\n"
           "--reason TEXT (why, for the audit: causeway events --audit).\n"
           "Exit: 0 done, 1 failed, 2 wrong usage, 3 refused as unsafe.\n",
           is_site_taken ? "" : "--site S (ask that site's controller), ", CW_LAB_DEFAULT);
}
