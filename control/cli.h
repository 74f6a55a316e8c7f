/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line `causeway`. Each command is a row in a table (cli.c) with its words, options and help; its
 * function is in the file of its family. It finds a controller, asks it, tells what came of it.
 *
 * Exit codes, everywhere: 0 done, 1 failed, 2 wrong usage, 3 refused as unsafe (and the words say why, and
 * what would make it safe).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/rpc.h"

#define CW_ARGUMENTS_MAX 32u
#define CW_LAB_DEFAULT   "/run/causeway-lab"
#define CW_LAB_PATH_SIZE 256u
#define CW_JSON_DIGITS   9 /* of numbers that are shown: 0.005 and not 0.0050000000000000001 */

enum { CW_EXIT_DONE = 0, CW_EXIT_FAILED = 1, CW_EXIT_USAGE = 2, CW_EXIT_REFUSED = 3 };

struct cw_cli;

/* An option of a command: "name" is a flag, "name=" takes a value, "name=?" may take one. */
struct cw_command {
    const char *words;    /* "group create" */
    const char *operands; /* shown in the usage: "NAME" */
    uint32_t operands_min, operands_max;
    const char *options; /* "mode= primary= replica= journal= journal-size=" */
    int (*run)(struct cw_cli *cli);
    const char *summary; /* one line; NULL: not in the list */
    const char *help;
};

struct cw_cli {
    const char *family;               /* "group" of "group create"; NULL: a command of one word */
    const struct cw_command *command; /* NULL: none given, or a family without a command of it */
    const char *site, *lab, *socket;  /* NULL: not given */
    const char *connect, *identity;   /* a controller elsewhere, and who we are */
    const char *reason;               /* for the audit */
    bool is_json;
    uint32_t operand_count;
    const char *operands[CW_ARGUMENTS_MAX];
    uint32_t option_count;
    struct {
        const char *name;
        const char *value; /* NULL: a flag, or left out */
    } options[CW_ARGUMENTS_MAX];
};

/*
 * options.c: 0, or an exit code with words said. --help makes command->run be skipped: *is_help. Without it
 * command is there, or else family: a first word alone.
 */
int cw_cli_parse(const struct cw_command *commands, int argc, char **argv, struct cw_cli *cli, bool *is_help);
bool cw_cli_has(const struct cw_cli *cli, const char *option);
/* The last one given, or NULL. */
const char *cw_cli_value(const struct cw_cli *cli, const char *option);
/* "[SITE=]VALUE" options into {"SITE":"VALUE"}, "" for those without a site. New reference. */
json_t *cw_cli_by_site(const struct cw_cli *cli, const char *option);
/* "a,b" of an option that may come several times, into a list. New reference. */
json_t *cw_cli_list(const struct cw_cli *cli, const char *option);
/* The lab: --lab, CAUSEWAY_LAB or the default. */
const char *cw_cli_lab(const struct cw_cli *cli);
void cw_cli_help(const struct cw_command *command);

/* program_file.c: another program of ours: where the environment says, or beside this one (two names, relative to its
 * folder: installed, and as built), or by PATH. */
void cw_program_file(const char *const beside[2], const char *variable, char *file, size_t size);

/* commands_nic.c: becomes causeway-nic; arguments as of main, from "nic" on. Returns only where it cannot. */
int cw_become_nic(char **arguments);

/* cli.c */
extern const struct cw_command cw_commands[];
int cw_cli_main(int argc, char **argv);

/* terminal.c: messages. With --json the outcome is one object on stdout, without it words. */
int cw_done(const struct cw_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* more: what else the object of --json has; taken, may be NULL. */
int cw_done_with(const struct cw_cli *cli, json_t *more, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int cw_failed(const struct cw_cli *cli, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int cw_failed_with(const struct cw_cli *cli, int exit, json_t *more, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool cw_has_colour(void);
/* A line that overwrites itself on a terminal; nothing in a pipe. */
void cw_progress(const struct cw_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cw_progress_end(void);
void cw_pause_ms(int milliseconds);
/* By the monotonic clock. */
uint64_t cw_now_ms(void);
/* "1.5 GiB" */
const char *cw_size_words(double bytes, char *text, size_t size);

/* client.c: one call to a controller. Follows "ask that site". NULL with failure filled. */
json_t *cw_ask(const struct cw_cli *cli, const char *site, const char *method, json_t *params,
               struct cw_rpc_failure *failure);
/* The same, and what it starts is waited for, with progress. Exit code, everything said. */
int cw_ask_and_wait(const struct cw_cli *cli, const char *site, const char *method, json_t *params,
                    const char *done);
/* client_link.c: the controller at cli->connect. Takes params. */
json_t *cw_ask_remote(const struct cw_cli *cli, const char *method, json_t *params, int timeout_ms,
                      struct cw_rpc_failure *failure);
/* A thread that has asked, and ends: its connection is closed. Threads may ask at the same time. */
void cw_ask_end(void);
/* Any socket: engine.sock too. */
json_t *cw_ask_socket(const char *path, const char *method, json_t *params, int timeout_ms,
                      struct cw_rpc_failure *failure);
int cw_say_failure(const struct cw_cli *cli, const struct cw_rpc_failure *failure);

/* commands_break_glass.c: the tokens of --break-glass, from its words and files; false: said why not. New
 * reference. */
bool cw_break_glass_tokens(const struct cw_cli *cli, json_t **tokens);

/* The families. */
int cw_run_explain(struct cw_cli *cli);
int cw_run_audit(struct cw_cli *cli);
int cw_run_status(struct cw_cli *cli);
int cw_run_group_create(struct cw_cli *cli);
int cw_run_group_set(struct cw_cli *cli);
int cw_run_group_delete(struct cw_cli *cli);
int cw_run_volume_create(struct cw_cli *cli);
int cw_run_volume_delete(struct cw_cli *cli);
int cw_run_volume_attach(struct cw_cli *cli);
int cw_run_volume_detach(struct cw_cli *cli);
int cw_run_break_glass_key(struct cw_cli *cli);
int cw_run_break_glass_sign(struct cw_cli *cli);
int cw_run_promote(struct cw_cli *cli);
int cw_run_switchover(struct cw_cli *cli);
int cw_run_failback(struct cw_cli *cli);
int cw_run_evacuate(struct cw_cli *cli);
int cw_run_store_rebuild(struct cw_cli *cli);
int cw_run_store_show(struct cw_cli *cli);
int cw_run_resync(struct cw_cli *cli);
int cw_run_lab_up(struct cw_cli *cli);
int cw_run_lab_down(struct cw_cli *cli);
int cw_run_lab_status(struct cw_cli *cli);
int cw_run_lab_kill(struct cw_cli *cli);
int cw_run_lab_start(struct cw_cli *cli);
int cw_run_lab_cut(struct cw_cli *cli);
int cw_run_lab_heal(struct cw_cli *cli);
int cw_run_cert_init(struct cw_cli *cli);
int cw_run_cert_issue(struct cw_cli *cli);
int cw_run_cert_list(struct cw_cli *cli);
int cw_run_cert_renew(struct cw_cli *cli);
int cw_run_cert_revoke(struct cw_cli *cli);
int cw_run_salvage(struct cw_cli *cli);
int cw_run_losses(struct cw_cli *cli);
int cw_run_events(struct cw_cli *cli);
int cw_run_version(struct cw_cli *cli);
int cw_run_rpc(struct cw_cli *cli);
int cw_run_nic(struct cw_cli *cli);
int cw_run_later(struct cw_cli *cli);
