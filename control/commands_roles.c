/* SPDX-License-Identifier: BSD-3-Clause */
/* promote, switchover, resync. The rules are the controller's; here only the asking. */
#include <stdio.h>

#include "control/cli.h"

int cw_run_promote(struct cw_cli *cli)
{
    if (cw_cli_has(cli, "break-glass"))
        return cw_failed(cli, CW_EXIT_USAGE, "--break-glass comes with a later version");
    if (!cli->site)
        return cw_failed(cli, CW_EXIT_USAGE, "which site is to be primary? --site SITE");
    return cw_ask_and_wait(cli, cli->site, "promote",
                           json_pack("{s:s,s:s,s:b,s:b}", "group", cli->operands[0], "site", cli->site,
                                     "accept_loss", cw_cli_has(cli, "accept-loss"), "inconsistent",
                                     cw_cli_has(cli, "inconsistent")),
                           "");
}

int cw_run_switchover(struct cw_cli *cli)
{
    if (!cli->site)
        return cw_failed(cli, CW_EXIT_USAGE, "which site is to be primary? --site SITE");
    return cw_ask_and_wait(cli, cli->site, "switchover",
                           json_pack("{s:s,s:s}", "group", cli->operands[0], "site", cli->site), "");
}

int cw_run_resync(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    if (!cli->site)
        return cw_failed(cli, CW_EXIT_USAGE, "which replica is to be copied in full? --site SITE");
    /* Any controller knows who is primary; the replica's own may be the one that does not answer. */
    json_t *answer = cw_ask(cli, NULL, "resync",
                            json_pack("{s:s,s:s}", "group", cli->operands[0], "site", cli->site), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_decref(answer);
    return cw_done(cli, "%s is copied to %s in full; causeway status --watch shows how far it is",
                   cli->operands[0], cli->site);
}
