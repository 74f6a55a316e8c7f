/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line `causeway`; cli.c has its table. */
#include "control/cli.h"

int main(int argc, char **argv)
{
    return cw_cli_main(argc, argv);
}
