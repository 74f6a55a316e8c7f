/* SPDX-License-Identifier: BSD-3-Clause */
/* promote, switchover, failback, resync. The rules are the controller's; here only the asking. */
#include <stdio.h>

#include "control/cli.h"

int cw_run_promote(struct cw_cli *cli)
{
    json_t *tokens = NULL;
    if (!cli->site)
        return cw_failed(cli, CW_EXIT_USAGE, "which site is to be primary? --site SITE");
    json_t *params =
        json_pack("{s:s,s:s,s:b,s:b}", "group", cli->operands[0], "site", cli->site, "accept_loss",
                  cw_cli_has(cli, "accept-loss"), "inconsistent", cw_cli_has(cli, "inconsistent"));
    if (cw_cli_has(cli, "break-glass")) {
        if (!cw_break_glass_tokens(cli, &tokens)) {
            json_decref(params);
            return CW_EXIT_USAGE;
        }
        json_object_set_new(params, "break_glass", json_true());
        json_object_set_new(params, "tokens", tokens);
    }
    return cw_ask_and_wait(cli, cli->site, "promote", params, "");
}

int cw_run_switchover(struct cw_cli *cli)
{
    if (!cli->site)
        return cw_failed(cli, CW_EXIT_USAGE, "which site is to be primary? --site SITE");
    return cw_ask_and_wait(cli, cli->site, "switchover",
                           json_pack("{s:s,s:s}", "group", cli->operands[0], "site", cli->site), "");
}

int cw_run_failback(struct cw_cli *cli)
{
    return cw_ask_and_wait(cli, cli->site, "failback", json_pack("{s:s}", "group", cli->operands[0]), "");
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
    bool has_begun = cw_json_bool(answer, "begun", true); /* an engine of an older version does not say */
    json_decref(answer);
    if (has_begun)
        return cw_done(cli, "%s is copied to %s in full; causeway status --watch shows how far it is",
                       cli->operands[0], cli->site);
    return cw_done(
        cli,
        "nothing is copied yet: the primary of %s does not reach %s. The order is kept, and the full copy "
        "begins by itself when it does. See to it that %s runs and a path leads there: causeway status",
        cli->operands[0], cli->site, cli->site);
}
