/* SPDX-License-Identifier: BSD-3-Clause */
/* lab up, down, status, kill, start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/lab.h"
#include "engine/config/node_config.h"

#define ETCD_UP_MS    60000 /* until all members have found each other */
#define ETCD_ONE_MS   10000 /* until one that was started again has found a quorum */
#define SEEN_TRIES    100
#define NBD_NAME_ROOM 24 /* of GROUP-VOLUME in a socket's path, at least */

/* ---------------------------------------------------------------- up */

static int read_sites(const struct cw_cli *cli, struct cw_lab *lab)
{
    json_t *sites = cw_cli_list(cli, "sites"), *entry;
    size_t index;
    int code = 0;
    if (json_array_size(sites) == 0) {
        json_array_append_new(sites, json_string("east"));
        json_array_append_new(sites, json_string("west"));
    }
    if (json_array_size(sites) < 2 || json_array_size(sites) > CW_LAB_SITES_MAX)
        code =
            cw_failed(cli, CW_EXIT_USAGE, "--sites wants 2 to %u names, such as east,west", CW_LAB_SITES_MAX);
    json_array_foreach(sites, index, entry)
    {
        const char *name = json_string_value(entry);
        if (code)
            break;
        if (!cw_config_name_check(name) || cw_lab_has_site(lab, name))
            code = cw_failed(cli, CW_EXIT_USAGE, "%s cannot be the name of a site, or is named twice", name);
        else
            snprintf(lab->sites[lab->site_count++], CW_NAME_SIZE, "%s", name);
    }
    json_decref(sites);
    return code;
}

/* It comes behind the sites with engines. */
static int read_witness(const struct cw_cli *cli, struct cw_lab *lab)
{
    char why[256];
    const char *name = cw_cli_value(cli, "witness");
    if (!name)
        return 0;
    if (!cw_config_name_check(name) || cw_lab_has_site(lab, name))
        return cw_failed(cli, CW_EXIT_USAGE, "%s cannot be the name of a witness, or is a site's", name);
    if (lab->site_count != 2)
        return cw_failed(cli, CW_EXIT_USAGE, "with --witness --sites wants 2 names, such as east,west");
    if (!cw_lab_etcd_check(why, sizeof why))
        return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
    snprintf(lab->sites[lab->site_count++], CW_NAME_SIZE, "%s", name);
    lab->has_witness = true;
    return 0;
}

static int check_length(const struct cw_cli *cli, const struct cw_lab *lab, const char *directory)
{
    for (uint32_t i = 0; i < lab->site_count; i++) {
        size_t length = strlen(directory) + 1 + strlen(lab->sites[i]) + strlen("/nbd/.sock") + NBD_NAME_ROOM;
        if (strlen(directory) >= sizeof lab->directory || length > 107)
            return cw_failed(
                cli, CW_EXIT_USAGE,
                "%s is too long: the sockets of a lab are below it, and a socket's path has at most 107 "
                "bytes. Use a shorter --lab DIR",
                directory);
    }
    return 0;
}

static int read_mtu(const struct cw_cli *cli, struct cw_lab *lab)
{
    const char *text = cw_cli_value(cli, "mtu");
    uint64_t mtu = 1500, highest = lab->is_veth ? 3498 : 9600;
    if (text && (!cw_quantity_bytes(text, &mtu) || mtu < 576 || mtu > highest))
        return cw_failed(cli, CW_EXIT_USAGE, "--mtu wants 576 to %lu with this link", highest);
    lab->mtu = (uint32_t)mtu;
    return 0;
}

static int read_paths(const struct cw_cli *cli, struct cw_lab *lab)
{
    const char *text = cw_cli_value(cli, "paths");
    lab->path_count = 1;
    if (!text)
        return 0;
    if (text[0] < '1' || text[0] > '0' + (char)CW_LAB_PATHS_MAX || text[1])
        return cw_failed(cli, CW_EXIT_USAGE, "--paths wants 1 to %u between each two sites",
                         CW_LAB_PATHS_MAX);
    lab->path_count = (uint32_t)(text[0] - '0');
    return 0;
}

static int read_net_lcores(const struct cw_cli *cli, struct cw_lab *lab)
{
    const char *text = cw_cli_value(cli, "net-lcores");
    if (!text)
        return 0;
    if (text[0] < '1' || text[0] > '0' + (char)CW_CONFIG_LANES_MAX || text[1])
        return cw_failed(cli, CW_EXIT_USAGE, "--net-lcores wants 1 to %u of each engine",
                         CW_CONFIG_LANES_MAX);
    lab->net_lcores = (uint32_t)(text[0] - '0');
    return 0;
}

static int read_choice(const struct cw_cli *cli, const char *option, const char *first, const char *second,
                       bool *is_second)
{
    const char *value = cw_cli_value(cli, option);
    *is_second = value && strcmp(value, second) == 0;
    if (value && !*is_second && strcmp(value, first) != 0)
        return cw_failed(cli, CW_EXIT_USAGE, "--%s wants %s or %s", option, first, second);
    return 0;
}

static int read_wan(const struct cw_cli *cli, struct cw_lab *lab)
{
    char why[1024];
    const char *wan = cw_cli_value(cli, "wan");
    if (!wan)
        return 0;
    if (strlen(wan) >= sizeof lab->wan || !*wan)
        return cw_failed(cli, CW_EXIT_USAGE,
                         "--wan wants settings such as rtt=80ms,loss=1%%, %zu letters at most",
                         sizeof lab->wan - 1);
    snprintf(lab->wan, sizeof lab->wan, "%s", wan);
    int code = cw_lab_wan_check(lab, why, sizeof why);
    return code ? cw_failed(cli, code, "--wan: %s", why) : 0;
}

static int read_lab(const struct cw_cli *cli, struct cw_lab *lab)
{
    const char *directory = cw_cli_lab(cli);
    *lab = (struct cw_lab){0};
    if (directory[0] != '/')
        return cw_failed(cli, CW_EXIT_USAGE, "--lab wants an absolute directory, not %s", directory);
    int code = read_sites(cli, lab);
    if (!code)
        code = read_witness(cli, lab);
    if (!code)
        code = check_length(cli, lab, directory);
    if (!code)
        code = read_choice(cli, "link", "memif", "veth", &lab->is_veth);
    if (!code)
        code = read_choice(cli, "storage", "disk", "memory", &lab->is_memory);
    if (!code)
        code = read_mtu(cli, lab);
    if (!code)
        code = read_paths(cli, lab);
    if (!code)
        code = read_net_lcores(cli, lab);
    lab->has_tls = cw_cli_has(cli, "tls") || lab->has_witness;
    if (!code)
        code = read_wan(cli, lab);
    if (!code)
        snprintf(lab->directory, sizeof lab->directory, "%s", directory);
    return code;
}

/* A lab that is there is used as it is; what was asked for must fit. */
static int check_same(const struct cw_cli *cli, const struct cw_lab *there, const struct cw_lab *asked)
{
    bool same = (!cw_cli_has(cli, "sites") && !cw_cli_has(cli, "witness")) ||
                (there->site_count == asked->site_count && there->has_witness == asked->has_witness &&
                 memcmp(there->sites, asked->sites, sizeof there->sites) == 0);
    same = same && (!cw_cli_has(cli, "link") || there->is_veth == asked->is_veth);
    same = same && (!cw_cli_has(cli, "storage") || there->is_memory == asked->is_memory);
    same = same && (!cw_cli_has(cli, "mtu") || there->mtu == asked->mtu);
    same = same && (!cw_cli_has(cli, "paths") || there->path_count == asked->path_count);
    same = same && (!cw_cli_has(cli, "net-lcores") || there->net_lcores == asked->net_lcores);
    same = same && (!cw_cli_has(cli, "tls") || there->has_tls);
    same = same && (!cw_cli_has(cli, "wan") || strcmp(there->wan, asked->wan) == 0);
    if (same)
        return 0;
    return cw_failed(cli, CW_EXIT_USAGE,
                     "a lab with other settings is at %s: causeway lab down first, or --lab DIR",
                     there->directory);
}

/* Whatever was made goes again; the words stay. */
static int undo(const struct cw_cli *cli, const struct cw_lab *lab, const char *why)
{
    char ignored[256];
    for (uint32_t i = 0; i < lab->site_count; i++)
        (void)cw_lab_kill_site(lab, lab->sites[i]);
    cw_lab_wan_stop(lab);
    cw_lab_link_down(lab);
    (void)cw_lab_remove_files(lab, ignored, sizeof ignored);
    return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
}

/* A controller wants its store to answer when it starts. */
static bool start_etcd(const struct cw_cli *cli, const struct cw_lab *lab, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < lab->site_count; i++) {
        if (!cw_lab_start_programs(lab, lab->sites[i], CW_LAB_ETCD, CW_LAB_ETCD, why, why_size))
            return false;
    }
    for (uint32_t i = 0; i < lab->site_count && lab->has_witness; i++) {
        if (!cw_lab_etcd_wait(cli, lab, lab->sites[i], ETCD_UP_MS, why, why_size))
            return false;
    }
    return true;
}

/* Does this site see all the others? */
static bool sees_all(const struct cw_lab *lab, const char *site)
{
    char path[CW_LAB_PATH_SIZE];
    struct cw_rpc_failure failure = {0};
    size_t index;
    json_t *entry;
    cw_lab_site_file(lab, site, "control.sock", path, sizeof path);
    json_t *status = cw_ask_socket(path, "status", NULL, 2000, &failure);
    bool is_all = status != NULL;
    json_array_foreach(json_object_get(status, "sites"), index, entry)
    {
        is_all = is_all && cw_json_bool(entry, "alive", false);
    }
    is_all = is_all && json_array_size(json_object_get(status, "sites")) == lab->site_count;
    json_decref(status);
    return is_all;
}

/* Until links have told all sites of each other: who looks then sees a lab that is up. No failure if not. */
static void wait_seen(const struct cw_cli *cli, const struct cw_lab *lab)
{
    for (uint32_t tries = 0, i = 0; tries < SEEN_TRIES && i < lab->site_count && lab->has_witness; tries++) {
        if (sees_all(lab, lab->sites[i])) {
            i++;
            continue;
        }
        cw_progress(cli, "waiting until %s sees all sites", lab->sites[i]);
        cw_pause_ms(100);
    }
}

static int start_all(const struct cw_cli *cli, const struct cw_lab *lab, char *why, size_t why_size)
{
    if (!cw_lab_wan_start(lab, why, why_size) || !start_etcd(cli, lab, why, why_size))
        return CW_EXIT_FAILED;
    for (uint32_t i = 0; i < lab->site_count; i++) {
        if (!cw_lab_start_site(lab, lab->sites[i], why, why_size))
            return CW_EXIT_FAILED;
    }
    for (uint32_t i = 0; i < lab->site_count; i++) {
        if (!cw_lab_wait_ready(cli, lab, lab->sites[i], why, why_size))
            return CW_EXIT_FAILED;
    }
    wait_seen(cli, lab);
    return 0;
}

/* ", with the witness central and an etcd of three members" */
static const char *witness_words(const struct cw_lab *lab, char *text, size_t size)
{
    text[0] = 0;
    if (lab->has_witness)
        snprintf(text, size, "; %s is the witness, the store an etcd of %u members%s",
                 lab->sites[lab->site_count - 1], lab->site_count,
                 lab->has_spaces
                     ? ""
                     : " (on the loopback, as no network namespaces can be made here: the control "
                       "network cannot be cut)");
    return text;
}

static int told_up(const struct cw_cli *cli, const struct cw_lab *lab)
{
    char sites[CW_LAB_LIST_SIZE], paths[32] = "", witness[256];
    struct cw_lab engines = *lab; /* the witness is told of behind */
    engines.site_count = cw_lab_engine_count(lab);
    if (lab->path_count > 1)
        snprintf(paths, sizeof paths, " on %u paths", lab->path_count);
    return cw_done(cli, "the lab %s is up: %s by %s%s%s, MTU %u%s%s, data in %s%s", lab->directory,
                   cw_lab_site_list(&engines, sites, sizeof sites), lab->is_veth ? "veth" : "memif", paths,
                   lab->has_tls ? " with certificates" : "", lab->mtu, *lab->wan ? ", over a WAN of " : "",
                   lab->wan, lab->storage_root, witness_words(lab, witness, sizeof witness));
}

int cw_run_lab_up(struct cw_cli *cli)
{
    struct cw_lab lab, there;
    char why[1024] = "";
    int code = read_lab(cli, &lab);
    if (code)
        return code;
    if (cw_lab_load(lab.directory, &there, why, sizeof why)) {
        code = check_same(cli, &there, &lab);
        if (!code && start_all(cli, &there, why, sizeof why))
            code = cw_failed(cli, CW_EXIT_FAILED, "%s", why);
        return code ? code : told_up(cli, &there);
    }
    if (!cw_lab_plan(&lab, why, sizeof why) || !cw_lab_make_files(&lab, why, sizeof why))
        return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
    if (!cw_lab_link_up(&lab, why, sizeof why) || start_all(cli, &lab, why, sizeof why))
        return undo(cli, &lab, why);
    return told_up(cli, &lab);
}

/* ---------------------------------------------------------------- the others */

static int load(const struct cw_cli *cli, struct cw_lab *lab)
{
    char why[320];
    if (cw_lab_load(cw_cli_lab(cli), lab, why, sizeof why))
        return 0;
    return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
}

/* The lab, and operand `index` as one of its sites. */
static int load_with_site(const struct cw_cli *cli, struct cw_lab *lab, uint32_t index)
{
    char sites[CW_LAB_LIST_SIZE];
    int code = load(cli, lab);
    if (!code && !cw_lab_has_site(lab, cli->operands[index]))
        code = cw_failed(cli, CW_EXIT_USAGE, "the lab %s has no site %s, but %s", lab->directory,
                         cli->operands[index], cw_lab_site_list(lab, sites, sizeof sites));
    return code;
}

int cw_run_lab_down(struct cw_cli *cli)
{
    struct cw_lab lab;
    char why[320];
    int code = load(cli, &lab);
    if (code)
        return code;
    for (uint32_t i = 0; i < lab.site_count; i++)
        cw_lab_stop_site(cli, &lab, lab.sites[i]);
    for (uint32_t i = 0; i < lab.site_count; i++)
        cw_lab_stop_etcd(&lab, lab.sites[i]);
    cw_lab_wan_stop(&lab);
    cw_lab_link_down(&lab);
    if (!cw_lab_remove_files(&lab, why, sizeof why))
        return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
    return cw_done(cli, "the lab %s is gone, its data too", lab.directory);
}

static json_t *site_status(const struct cw_lab *lab, uint32_t site)
{
    const char *name = lab->sites[site];
    json_t *status = json_pack(
        "{s:s,s:b,s:b,s:b}", "name", name, "engine", cw_lab_is_running(lab, name, CW_LAB_ENGINE), "control",
        cw_lab_is_running(lab, name, CW_LAB_CONTROL), "witness", site >= cw_lab_engine_count(lab));
    if (lab->has_witness)
        json_object_set_new(status, "etcd", json_boolean(cw_lab_is_running(lab, name, CW_LAB_ETCD)));
    return status;
}

static json_t *lab_status(const struct cw_lab *lab)
{
    struct cw_lab_cuts cuts;
    json_t *sites = json_array();
    cw_lab_cuts_load(lab, &cuts);
    for (uint32_t i = 0; i < lab->site_count; i++)
        json_array_append_new(sites, site_status(lab, i));
    return json_pack("{s:s,s:s,s:s,s:b,s:b,s:i,s:i,s:s,s:s,s:o,s:o,s:o}", "directory", lab->directory, "tag",
                     lab->tag, "link", lab->is_veth ? "veth" : "memif", "namespaces", lab->has_spaces, "tls",
                     lab->has_tls, "mtu", (int)lab->mtu, "paths", (int)lab->path_count, "wan", lab->wan,
                     "storage_root", lab->storage_root, "sites", sites, "cuts", cw_lab_cuts_list(lab, &cuts),
                     "wans", cw_lab_wan_status(lab));
}

static const char *running_words(const json_t *json, const char *key)
{
    return cw_json_bool(json, key, false) ? "runs" : "does not run";
}

/* "east > west  1200 frames, 12 dropped" for both directions of one wanem. */
static void print_wan(const json_t *wan)
{
    json_t *direction, *sites = json_object_get(wan, "sites");
    size_t index;
    printf("%s  %s - %s  %s\n", cw_json_text(wan, "path", "wan"), json_string_value(json_array_get(sites, 0)),
           json_string_value(json_array_get(sites, 1)), running_words(wan, "running"));
    json_array_foreach(json_object_get(json_object_get(wan, "counters"), "directions"), index, direction)
    {
        uint64_t frames = cw_json_u64(direction, "frames", 0), passed = cw_json_u64(direction, "passed", 0);
        printf("    %s > %s  %lu frames, %lu dropped, at most %lu under way\n",
               json_string_value(json_array_get(sites, index)),
               json_string_value(json_array_get(sites, 1 - index)), frames, frames - passed,
               cw_json_u64(direction, "most_under_way", 0));
    }
}

static void print_site(const json_t *site)
{
    printf("site %-14s ", cw_json_text(site, "name", ""));
    if (cw_json_bool(site, "witness", false))
        printf("witness, ");
    else
        printf("engine %s, ", running_words(site, "engine"));
    printf("control %s", running_words(site, "control"));
    if (json_object_get(site, "etcd"))
        printf(", etcd %s", running_words(site, "etcd"));
    printf("\n");
}

/* "cut: east does not reach west (data)" */
static void print_cuts(const json_t *status, const char *network)
{
    json_t *entry;
    size_t index;
    json_array_foreach(json_object_get(json_object_get(status, "cuts"), network), index, entry)
        printf("cut: %s does not reach %s (%s)\n", cw_json_text(entry, "from", ""),
               cw_json_text(entry, "to", ""), network);
}

static void print_lab(const json_t *status)
{
    const char *wan = cw_json_text(status, "wan", "");
    json_t *entry;
    size_t index;
    printf("lab %s: %s%s, paths between two sites %lu, MTU %lu%s%s, data in %s\n",
           cw_json_text(status, "directory", ""), cw_json_text(status, "link", ""),
           cw_json_bool(status, "tls", false) ? " with certificates" : "", cw_json_u64(status, "paths", 1),
           cw_json_u64(status, "mtu", 0), *wan ? ", WAN " : "", wan,
           cw_json_text(status, "storage_root", ""));
    json_array_foreach(json_object_get(status, "sites"), index, entry) print_site(entry);
    print_cuts(status, "data");
    print_cuts(status, "control");
    json_array_foreach(json_object_get(status, "wans"), index, entry) print_wan(entry);
}

int cw_run_lab_status(struct cw_cli *cli)
{
    struct cw_lab lab;
    int code = load(cli, &lab);
    if (code)
        return code;
    json_t *status = lab_status(&lab);
    if (cli->is_json) {
        json_dumpf(status, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_lab(status);
    }
    json_decref(status);
    return CW_EXIT_DONE;
}

int cw_run_lab_kill(struct cw_cli *cli)
{
    struct cw_lab lab;
    int code = load_with_site(cli, &lab, 0);
    if (code)
        return code;
    bool was_running = cw_lab_kill_site(&lab, cli->operands[0]);
    return cw_done(cli, was_running ? "%s was killed" : "%s was dead already", cli->operands[0]);
}

/* Engine and controller are worth having without a quorum, too: then that is told. */
static bool start_member(const struct cw_cli *cli, const struct cw_lab *lab, const char *site,
                         bool *has_quorum, char *why, size_t why_size)
{
    *has_quorum = true;
    if (!lab->has_witness)
        return true;
    if (!cw_lab_start_programs(lab, site, CW_LAB_ETCD, CW_LAB_ETCD, why, why_size))
        return false;
    *has_quorum = cw_lab_etcd_wait(cli, lab, site, ETCD_ONE_MS, why, why_size);
    return *has_quorum || cw_lab_is_running(lab, site, CW_LAB_ETCD);
}

/* What is cut stays so for an engine that was started again. */
static bool tell_cuts(const struct cw_lab *lab, const char *site, char *why, size_t why_size)
{
    static const struct cw_lab_cuts none;
    struct cw_lab_cuts cuts;
    struct cw_rpc_failure failure = {0};
    cw_lab_cuts_load(lab, &cuts);
    if (!cw_lab_has_program(lab, site, CW_LAB_ENGINE) || memcmp(&cuts, &none, sizeof cuts) == 0)
        return true;
    bool is_told = cw_lab_cuts_tell(lab, &cuts, cw_lab_site_index(lab, site), &failure);
    if (!is_told)
        snprintf(why, why_size, "%s", failure.words);
    return is_told;
}

int cw_run_lab_start(struct cw_cli *cli)
{
    struct cw_lab lab;
    char why[1024];
    bool has_quorum;
    const char *site = cli->operands[0];
    int code = load_with_site(cli, &lab, 0);
    if (code)
        return code;
    if (!cw_lab_wan_start(&lab, why, sizeof why) ||
        !start_member(cli, &lab, site, &has_quorum, why, sizeof why) ||
        !cw_lab_start_site(&lab, site, why, sizeof why) ||
        !cw_lab_wait_ready(cli, &lab, site, why, sizeof why) || !tell_cuts(&lab, site, why, sizeof why))
        return cw_failed(cli, CW_EXIT_FAILED, "%s", why);
    return cw_done(
        cli, "%s runs%s", site,
        has_quorum ? ""
                   : "; its member of etcd finds no quorum yet: nothing is decided until two of the three "
                     "members run and reach each other (causeway lab status)");
}
