/* SPDX-License-Identifier: BSD-3-Clause */
/* nic: all of it is another program, which this process becomes: its terminal, its words, its exit code. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/cli.h"

int cw_become_nic(char **arguments)
{
    static const char *const beside[2] = {"causeway-nic", "../nic-config/causeway-nic"};
    char file[512];
    cw_program_file(beside, "CAUSEWAY_NIC", file, sizeof file);
    arguments[0] = file;
    signal(SIGPIPE, SIG_DFL);
    execvp(file, arguments);
    fprintf(stderr, "causeway: %s cannot be run: %s\n", file, strerror(errno));
    return CW_EXIT_FAILED;
}

/* With an option before the word: the program has options of its own. */
int cw_run_nic(struct cw_cli *cli)
{
    return cw_failed(cli, CW_EXIT_USAGE, "nic comes first, its options after it: causeway nic show --json");
}
