/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: what is understood, and what is wrong usage (exit 2), before anybody is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "control/cli.h"

#define WORDS_MAX      32
#define OPTION_LETTERS "abcdefghijklmnopqrstuvwxyz-"

/* Splits at spaces into argv; returns argc. */
static int split(char *text, char **argv)
{
    int argc = 0;
    argv[argc++] = (char *)"causeway";
    for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
        argv[argc++] = word;
    return argc;
}

/* Runs the command line without its words; there is no lab where it looks. */
static int run(const char *line)
{
    char text[256], *argv[WORDS_MAX];
    snprintf(text, sizeof text, "%s", line);
    fflush(NULL);
    int out = dup(1), err = dup(2), none = open("/dev/null", O_WRONLY);
    dup2(none, 1);
    dup2(none, 2);
    int code = cw_cli_main(split(text, argv), argv);
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    close(none);
    return code;
}

static const struct {
    const char *line;
    int code;
} lines[] = {
    {"", 2},
    {"--help", 0},
    {"nonsense", 2},
    {"-h", 0},
    {"group", 2},
    {"--help nonsense", 2},
    {"group --help", 0},
    {"group -h", 0},
    {"--help group", 0},
    {"group --nonsense", 2},
    {"group nonsense", 2},
    {"group nonsense --help", 2},
    {"volume", 2},
    {"volume --help", 0},
    {"lab", 2},
    {"lab --help", 0},
    {"lab --json", 2},
    {"drill", 2},
    {"drill --help", 0},
    {"create", 2},
    {"status --help", 0},
    {"group create --help", 0},
    {"version", 0},
    {"version --json", 0},
    {"version more", 2},
    {"status --nonsense", 2},
    {"status --watch=1", 2},
    {"status --site", 2},
    {"group create", 2},
    {"group create db", 2},
    {"group create db --mode sync --primary east", 2},
    {"group create db --mode sync --primary east --replica west --journal-size big", 2},
    {"group set db", 2},
    {"group set db mode", 2},
    {"group set db =1", 2},
    {"volume create db", 2},
    {"volume create db/ --size 1G", 2},
    {"volume create db/v --size huge", 2},
    {"volume attach db/v", 2},
    {"volume attach db/v --ublk", 2},
    {"volume attach db/v --vhost /x", 2},
    {"volume attach db/v --nbd --nbd-tls 1", 2},
    {"promote", 2},
    {"promote db", 2},
    {"promote db --site east --break-glass /nowhere/x", 2},
    {"promote db --break-glass", 2},
    {"break-glass", 2},
    {"break-glass key a/b", 2},
    {"break-glass sign causeway-break-glass-1:c:1:db:1:east", 2},
    {"break-glass sign causeway-break-glass-1:c:1:db:1:east --key alice", 2},
    {"break-glass sign causeway-break-glass-1:c:1:db:1:east --key a.key --hours 73", 2},
    {"break-glass sign causeway:c:1:db:1:east --key a.key", 2},
    {"switchover db", 2},
    {"resync db", 2},
    {"lab up --wan", 2},
    {"lab up --wan=", 2},
    {"lab up --tls=yes", 2},
    {"lab up --witness", 2},
    {"lab up --witness east", 2},
    {"lab up --witness ../x", 2},
    {"lab up --sites a,b,c --witness d", 2},
    {"lab cut east west --only", 2},
    {"lab up --sites east", 2},
    {"lab up --sites a,b,c,d", 2},
    {"lab up --sites east,east", 2},
    {"lab up --link tin", 2},
    {"lab up --storage tape", 2},
    {"lab up --mtu 100", 2},
    {"lab up --link veth --mtu 3499", 2},
    {"lab up --paths 0", 2},
    {"lab up --paths 5", 2},
    {"lab up --paths 2x", 2},
    {"lab cut east west --path", 2},
    {"lab up --lab relative", 2},
    {"lab up --lab /a/directory/so/long/that/no/socket/would/have/room/below/it/at/all/here/and/so/on", 2},
    {"rpc status nonsense", 2},
    {"failback", 2},
    {"evacuate", 2},
    {"verify db", 2},
    {"checkpoint db --label x", 2},
    {"rewind db --to 5", 2},
    {"drill start db", 2},
    {"capacity", 2},
    {"explain", 2},
    {"explain db extra", 2},
    {"losses", 2},
    {"losses db --epoch 3", 2},
    {"losses db --list --epoch x", 2},
    {"salvage f --to image", 2},
    {"salvage f --volume 0 --extent 12", 2},
    {"perf path", 2},
    {"--json nic show", 2},
    /* understood, and then nobody is there */
    {"nic show", 1},
    {"status", 1},
    {"--site east status", 1},
    {"status --json --check", 1},
    {"audit", 1},
    {"explain db", 1},
    {"group create db --mode sync --primary east --replica west --journal-size 1G", 1},
    {"volume create db/v --size=10G --path east=/x --overwrite west", 1},
    {"promote db --site east --accept-loss", 1},
    {"promote db --site east --break-glass", 1},
    {"promote db --site east --break-glass a:b,c:d", 1},
    {"break-glass sign causeway-break-glass-1:c:1:db:1:east --key /nowhere/a.key --hours 72", 1},
    {"resync db --site west", 1},
    {"lab kill east", 1},
    {"lab --json kill east", 1},
    {"lab down", 1},
    {"lab status", 1},
    {"lab status --json", 1},
    {"events", 1},
    {"rpc status", 1},
    {"--socket /nowhere/control.sock status", 1},
};

static void test_exit_codes(void **state)
{
    setenv("CAUSEWAY_LAB", "/tmp/cw-test-no-lab-here", 1);
    setenv("CAUSEWAY_NIC", "/nowhere/causeway-nic", 1);
    for (size_t i = 0; i < CW_COUNT_OF(lines); i++) {
        int code = run(lines[i].line);
        if (code != lines[i].code)
            fail_msg("\"%s\" gave %d, wanted %d", lines[i].line, code, lines[i].code);
    }
}

static void test_values(void **state)
{
    char text[] = "volume create db/v --path east=/dev/a --path /dev/b --path west=/dev/c=d --overwrite a,b "
                  "--overwrite c "
                  "--size 1G --json --size 2G";
    char *argv[WORDS_MAX];
    struct cw_cli cli;
    bool is_help;
    assert_int_equal(cw_cli_parse(cw_commands, split(text, argv), argv, &cli, &is_help), 0);
    assert_true(cli.is_json);
    assert_string_equal(cw_cli_value(&cli, "size"), "2G");
    json_t *paths = cw_cli_by_site(&cli, "path"), *sites = cw_cli_list(&cli, "overwrite");
    assert_string_equal(cw_json_text(paths, "east", ""), "/dev/a");
    assert_string_equal(cw_json_text(paths, "", ""), "/dev/b");
    assert_string_equal(cw_json_text(paths, "west", ""), "/dev/c=d");
    assert_int_equal(json_array_size(sites), 3);
    json_decref(paths);
    json_decref(sites);
}

static void test_optional_value(void **state)
{
    char text[] = "volume attach db/v --nbd --json";
    char *argv[WORDS_MAX];
    struct cw_cli cli;
    bool is_help;
    assert_int_equal(cw_cli_parse(cw_commands, split(text, argv), argv, &cli, &is_help), 0);
    assert_true(cw_cli_has(&cli, "nbd"));
    assert_false(cw_cli_has(&cli, "nbd-tls"));
    assert_null(cw_cli_value(&cli, "nbd"));
    assert_true(cli.is_json);
}

/* "--name" stands in the text, not as the beginning of a longer one. */
static bool names(const char *text, const char *name, size_t length)
{
    for (const char *at = text; (at = strstr(at, "--")) != NULL; at += 2) {
        if (strncmp(at + 2, name, length) == 0 && strspn(at + 2, OPTION_LETTERS) == length)
            return true;
    }
    return false;
}

/* What comes later is understood, so that it can be refused by name, and is not in the help. */
static bool is_later(const char *name, size_t length)
{
    static const char *const later[] = {"vhost", "ublk"};
    for (size_t i = 0; i < CW_COUNT_OF(later); i++) {
        if (strlen(later[i]) == length && strncmp(later[i], name, length) == 0)
            return true;
    }
    return false;
}

static void expect_options_told(const struct cw_command *command)
{
    for (const char *at = command->options; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        size_t length = strspn(at, OPTION_LETTERS);
        bool is_told = names(command->help, at, length) || names(command->operands, at, length);
        if (!is_told && !is_later(at, length))
            fail_msg("%s: the help does not tell of --%.*s", command->words, (int)length, at);
    }
}

static void expect_told_options(const struct cw_command *command, const char *text)
{
    char options[256];
    snprintf(options, sizeof options, " %s site= lab= socket= json ", command->options);
    for (const char *at = text; (at = strstr(at, "--")) != NULL; at += 2) {
        char word[64], flag[68], value[68];
        snprintf(word, sizeof word, "%.*s", (int)strspn(at + 2, OPTION_LETTERS), at + 2);
        snprintf(flag, sizeof flag, " %s ", word);
        snprintf(value, sizeof value, " %s=", word);
        if (!strstr(options, flag) && !strstr(options, value))
            fail_msg("%s: its help tells of --%s, which it does not understand", command->words, word);
    }
}

/* What the help of a command tells is what it understands, and the other way round. */
static void test_help_is_true(void **state)
{
    for (const struct cw_command *command = cw_commands; command->words; command++) {
        if (command->run == cw_run_later)
            continue;
        expect_options_told(command);
        expect_told_options(command, command->help);
        expect_told_options(command, command->operands);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exit_codes), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_optional_value),
                                       cmocka_unit_test(test_help_is_true)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
