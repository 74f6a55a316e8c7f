/* SPDX-License-Identifier: BSD-3-Clause */
/* lab cut, lab heal: of the data network, and, in a lab with a witness, of the control network. */
#include <stdio.h>
#include <string.h>

#include "control/lab.h"

static int load(const struct cw_cli *cli, struct cw_lab *lab)
{
    char why[320], sites[CW_LAB_LIST_SIZE];
    if (!cw_lab_load(cw_cli_lab(cli), lab, why, sizeof why))
        return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
    for (uint32_t i = 0; i < cli->operand_count; i++) {
        if (!cw_lab_has_site(lab, cli->operands[i]))
            return cw_failed(cli, CW_EXIT_USAGE, "the lab %s has no site %s, but %s", lab->directory,
                             cli->operands[i], cw_lab_site_list(lab, sites, sizeof sites));
    }
    return 0;
}

/* ---------------------------------------------------------------- one path */

/* Drops, or no longer drops, what this site exchanges with another, "" for all others, on one path. */
static bool set_path(const struct cw_lab *lab, const char *site, const char *remote, const char *name,
                     bool is_cut, struct cw_rpc_failure *failure)
{
    char path[CW_LAB_PATH_SIZE];
    cw_lab_site_file(lab, site, "engine.sock", path, sizeof path);
    json_t *params =
        json_pack("{s:s,s:b,s:b,s:s}", "remote", remote, "receive", is_cut, "transmit", is_cut, "path", name);
    json_t *answer = cw_ask_socket(path, "lab.cut", params, 5000, failure);
    json_decref(answer);
    return answer != NULL;
}

static int cut_path(const struct cw_cli *cli, const struct cw_lab *lab, const char *name)
{
    struct cw_rpc_failure failure = {0};
    const char *site = cli->operands[0], *remote = cli->operand_count > 1 ? cli->operands[1] : "";
    bool is_here = set_path(lab, site, remote, name, true, &failure);
    if (*remote) /* the one that lives can do it alone */
        is_here |= set_path(lab, remote, site, name, true, &failure);
    if (!is_here)
        return cw_say_failure(cli, &failure);
    return cw_done(cli, "%s is cut from %s on %s", site, *remote ? remote : "all others", name);
}

/* Not every site has every path. */
static int heal_path(const struct cw_cli *cli, const struct cw_lab *lab, const char *name)
{
    struct cw_rpc_failure failure = {0};
    bool is_any = false;
    for (uint32_t i = 0; i < cw_lab_engine_count(lab); i++)
        is_any |= set_path(lab, lab->sites[i], "", name, false, &failure);
    return is_any ? cw_done(cli, "%s is whole again", name) : cw_say_failure(cli, &failure);
}

/* ---------------------------------------------------------------- whole networks */

struct cut {
    uint32_t site, remote; /* remote = site_count: all others */
    bool is_one_way, has_data, has_control;
};

static bool has_control(const struct cw_lab *lab)
{
    return lab->has_witness && lab->has_spaces;
}

static int read_cut(const struct cw_cli *cli, const struct cw_lab *lab, struct cut *cut)
{
    const char *only = cw_cli_value(cli, "only");
    cut->site = cw_lab_site_index(lab, cli->operands[0]);
    cut->remote = cli->operand_count > 1 ? cw_lab_site_index(lab, cli->operands[1]) : lab->site_count;
    cut->is_one_way = cw_cli_has(cli, "one-way");
    cut->has_data = !only || strcmp(only, "data") == 0;
    cut->has_control = only ? strcmp(only, "control") == 0 : has_control(lab);
    uint32_t engines = cw_lab_engine_count(lab);
    bool is_witness = cut->site >= engines || (cut->remote >= engines && cut->remote < lab->site_count);
    if (cut->site == cut->remote)
        return cw_failed(cli, CW_EXIT_USAGE, "a site cannot be cut from itself");
    if (!cut->has_data && !cut->has_control)
        return cw_failed(cli, CW_EXIT_USAGE, "--only wants data or control");
    if (cut->has_control && !lab->has_witness)
        return cw_failed(
            cli, CW_EXIT_FAILED,
            "this lab has no control network: its store is a file, which every controller reaches. "
            "One with a witness has (causeway lab up --witness W)");
    if (cut->has_control && !lab->has_spaces)
        return cw_failed(
            cli, CW_EXIT_FAILED,
            "the control network of this lab is this machine's loopback, which cannot be cut: no "
            "network namespaces could be made when it was brought up (they want root and iproute2)");
    if (!cut->has_control && is_witness)
        return cw_failed(cli, CW_EXIT_FAILED, "the witness has no data network%s",
                         lab->has_spaces
                             ? ""
                             : ", and the control network of this lab is this machine's loopback, "
                               "which cannot be cut");
    return 0;
}

static bool is_hit(const struct cw_lab *lab, const struct cut *cut, uint32_t site, uint32_t other)
{
    return site != other && cut->site == site && (cut->remote == other || cut->remote == lab->site_count);
}

/* All directions that the cut adds; false: the kernel did not want it. */
static bool add(const struct cw_lab *lab, const struct cut *cut, struct cw_lab_cuts *cuts)
{
    bool is_done = true;
    for (uint32_t from = 0; from < lab->site_count; from++) {
        for (uint32_t to = 0; to < lab->site_count; to++) {
            if (!is_hit(lab, cut, from, to) && (cut->is_one_way || !is_hit(lab, cut, to, from)))
                continue;
            if (cut->has_data && from < cw_lab_engine_count(lab) && to < cw_lab_engine_count(lab))
                cuts->data[from][to] = true;
            if (cut->has_control) {
                cuts->control[from][to] = true;
                is_done &= cw_lab_control_set(lab, from, to, true);
            }
        }
    }
    return is_done;
}

/* Engines that run are told. false: none of them answered. */
static bool tell(const struct cw_lab *lab, const struct cw_lab_cuts *cuts, bool must_all,
                 struct cw_rpc_failure *failure)
{
    uint32_t asked = 0, told = 0;
    for (uint32_t i = 0; i < cw_lab_engine_count(lab); i++) {
        if (!cw_lab_is_running(lab, lab->sites[i], CW_LAB_ENGINE))
            continue;
        asked++;
        told += cw_lab_cuts_tell(lab, cuts, i, failure);
    }
    return must_all ? told == asked : told > 0 || asked == 0;
}

static int told_cut(const struct cw_cli *cli, const struct cw_lab *lab, const struct cut *cut)
{
    const char *site = cli->operands[0], *remote = cli->operand_count > 1 ? cli->operands[1] : NULL;
    const char *network = cut->has_data && cut->has_control ? ""
                          : cut->has_data                   ? " for data"
                                                            : " for control";
    const char *loopback = lab->has_witness && !lab->has_spaces
                               ? " (the control network of this lab is the loopback, which cannot be cut)"
                               : "";
    if (!lab->has_witness)
        network = "";
    if (cut->is_one_way)
        return cw_done(cli, "what %s sends does not reach %s any more%s%s", site, remote ? remote : "anybody",
                       network, loopback);
    return cw_done(cli, "%s is cut from %s%s%s", site, remote ? remote : "all others", network, loopback);
}

int cw_run_lab_cut(struct cw_cli *cli)
{
    struct cw_lab lab;
    struct cw_lab_cuts cuts;
    struct cut cut;
    struct cw_rpc_failure failure = {0};
    const char *name = cw_cli_value(cli, "path");
    int code = load(cli, &lab);
    if (!code && name && (cw_cli_has(cli, "only") || cw_cli_has(cli, "one-way")))
        code = cw_failed(cli, CW_EXIT_USAGE, "--path goes without --only and --one-way");
    if (!code)
        code = read_cut(cli, &lab, &cut);
    if (code)
        return code;
    if (name)
        return cut_path(cli, &lab, name);
    cw_lab_cuts_load(&lab, &cuts);
    bool is_done = add(&lab, &cut, &cuts);
    if (!cw_lab_cuts_save(&lab, &cuts) || !is_done)
        return cw_failed(cli, CW_EXIT_FAILED,
                         "the network of the lab %s could not be cut: is it still there?", lab.directory);
    if (cut.has_data && !tell(&lab, &cuts, false, &failure))
        return cw_say_failure(cli, &failure);
    return told_cut(cli, &lab, &cut);
}

int cw_run_lab_heal(struct cw_cli *cli)
{
    struct cw_lab lab;
    struct cw_lab_cuts cuts, none = {0};
    struct cw_rpc_failure failure = {0};
    const char *name = cw_cli_value(cli, "path");
    int code = load(cli, &lab);
    if (code)
        return code;
    if (name)
        return heal_path(cli, &lab, name);
    cw_lab_cuts_load(&lab, &cuts);
    bool is_done = true;
    for (uint32_t from = 0; from < lab.site_count; from++) {
        for (uint32_t to = 0; to < lab.site_count; to++)
            is_done &= !cuts.control[from][to] || cw_lab_control_set(&lab, from, to, false);
    }
    if (!cw_lab_cuts_save(&lab, &none) || !is_done)
        return cw_failed(cli, CW_EXIT_FAILED,
                         "the network of the lab %s could not be healed: is it still there?", lab.directory);
    if (!tell(&lab, &none, true, &failure))
        return cw_say_failure(cli, &failure);
    return cw_done(cli, "all paths are whole again");
}
