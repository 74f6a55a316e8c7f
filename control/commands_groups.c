/* SPDX-License-Identifier: BSD-3-Clause */
/* group create, set, delete; volume create, delete, attach, detach. */
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "control/cli.h"
#include "engine/config/node_config.h"

#define BYTES_MAX                                                                                            \
    (1024ull * 1024 * CW_GIB) /* of anything: a JSON number holds it, and no controller takes more */

#define GONE_MS 30000u /* for the sites that are there to let go of a group */

/* The option's size, if it is there; 0 or an exit code. */
static int read_size(const struct cw_cli *cli, const char *name, const char *example, uint64_t *bytes)
{
    const char *size = cw_cli_value(cli, name);
    if (!size)
        return 0;
    if (!cw_quantity_bytes(size, bytes))
        return cw_failed(cli, CW_EXIT_USAGE, "--%s wants a size such as %s, not %s", name, example, size);
    if (*bytes == 0 || *bytes > BYTES_MAX)
        return cw_failed(cli, CW_EXIT_USAGE,
                         "--%s %s is out of range: expected more than 0 and at most 1024T", name, size);
    return 0;
}

/* ---------------------------------------------------------------- groups */

/* The primary first, then every replica. NULL with an exit code. */
static json_t *read_sites(const struct cw_cli *cli, int *code)
{
    const char *primary = cw_cli_value(cli, "primary");
    json_t *replicas = cw_cli_list(cli, "replica"), *sites = json_array();
    if (!primary || json_array_size(replicas) == 0 || !cw_cli_value(cli, "mode")) {
        *code = cw_failed(
            cli, CW_EXIT_USAGE,
            "--mode M, --primary SITE and --replica SITE[,SITE] are wanted: causeway group create --help");
        json_decref(replicas);
        json_decref(sites);
        return NULL;
    }
    json_array_append_new(sites, json_string(primary));
    json_array_extend(sites, replicas);
    json_decref(replicas);
    return sites;
}

int cw_run_group_create(struct cw_cli *cli)
{
    int code = 0;
    uint64_t bytes = 512ull << 20;
    const char *mode = cw_cli_value(cli, "mode");
    json_t *sites = read_sites(cli, &code);
    if (!sites)
        return code;
    json_t *params = json_pack("{s:s,s:s,s:o,s:o}", "group", cli->operands[0], "mode", mode, "sites", sites,
                               "journals", cw_cli_by_site(cli, "journal"));
    json_t *journals = json_object_get(params, "journals");
    json_t *anywhere = json_object_get(journals, "");
    if (anywhere) { /* without a site it is the primary's */
        json_object_set(journals, json_string_value(json_array_get(sites, 0)), anywhere);
        json_object_del(journals, "");
    }
    code = read_size(cli, "journal-size", "2G", &bytes);
    if (code) {
        json_decref(params);
        return code;
    }
    json_object_set_new(params, "journal_bytes", json_integer((json_int_t)bytes));
    return cw_ask_and_wait(cli, cli->site, "group.create", params, "created");
}

int cw_run_group_set(struct cw_cli *cli)
{
    json_t *settings = json_object();
    struct cw_rpc_failure failure;
    for (uint32_t i = 1; i < cli->operand_count; i++) {
        const char *equals = strchr(cli->operands[i], '=');
        char key[64];
        if (!equals || equals == cli->operands[i] || equals - cli->operands[i] >= (long)sizeof key) {
            json_decref(settings);
            return cw_failed(cli, CW_EXIT_USAGE, "%s: expected KEY=VALUE", cli->operands[i]);
        }
        snprintf(key, sizeof key, "%.*s", (int)(equals - cli->operands[i]), cli->operands[i]);
        json_object_set_new(settings, key, json_string(equals + 1));
    }
    json_t *answer =
        cw_ask(cli, cli->site, "group.set",
               json_pack("{s:s,s:o}", "group", cli->operands[0], "settings", settings), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_decref(answer);
    return cw_done(cli, "set");
}

static int ask_simply(const struct cw_cli *cli, const char *method, json_t *params, const char *done)
{
    struct cw_rpc_failure failure;
    json_t *answer = cw_ask(cli, cli->site, method, params, &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_decref(answer);
    return cw_done(cli, "%s", done);
}

static bool is_site_alive(const json_t *status, const char *name)
{
    size_t index;
    json_t *site;
    json_array_foreach(json_object_get(status, "sites"), index, site)
    {
        if (strcmp(cw_json_text(site, "name", ""), name) == 0)
            return cw_json_bool(site, "alive", false);
    }
    return false;
}

/* Of the sites that the deleted group is left at, one that is there, else one that is away, into name. */
static bool is_left_to_others(const json_t *status, const json_t *group, char *name, size_t name_size)
{
    const json_t *left = json_object_get(group, "left_at");
    size_t index;
    json_t *site;
    json_array_foreach(left, index, site)
    {
        snprintf(name, name_size, "%s", json_string_value(site));
        if (is_site_alive(status, name))
            return false;
    }
    return json_array_size(left) > 0;
}

static const json_t *find_group(const json_t *status, const char *name)
{
    size_t index;
    json_t *group;
    json_array_foreach(json_object_get(status, "groups"), index, group)
    {
        if (strcmp(cw_json_text(group, "name", ""), name) == 0)
            return group;
    }
    return NULL;
}

/* Asks for the status until the group is no longer in it, or only sites that are away still have it. */
static int wait_gone(const struct cw_cli *cli, const char *name)
{
    char left[64] = "a site";
    uint64_t end_ms = cw_now_ms() + GONE_MS;
    for (;;) {
        struct cw_rpc_failure failure;
        json_t *status = cw_ask(cli, cli->site, "status", NULL, &failure);
        if (!status)
            return cw_failed(cli, CW_EXIT_FAILED,
                             "%s; the sites let go of %s by themselves all the same: causeway status",
                             failure.words, name);
        const json_t *group = find_group(status, name);
        bool is_there = group != NULL, is_left = is_left_to_others(status, group, left, sizeof left);
        json_decref(status);
        if (!is_there)
            return cw_done(cli, "deleted");
        if (is_left)
            return cw_done(cli,
                           "deleted; %s is not there and forgets it when it is started again: until then the "
                           "name %s is taken",
                           left, name);
        if (cw_now_ms() >= end_ms)
            return cw_failed(
                cli, CW_EXIT_FAILED,
                "%s is being deleted, and %s has not let go of it after %u s: it goes on, and until then the "
                "name is taken. See causeway status, and the log of the engine of %s",
                name, left, GONE_MS / 1000, left);
        cw_progress(cli, "waiting for %s to let go of it", left);
        cw_pause_ms(100);
    }
}

int cw_run_group_delete(struct cw_cli *cli)
{
    struct cw_rpc_failure failure;
    json_t *answer =
        cw_ask(cli, cli->site, "group.delete", json_pack("{s:s}", "group", cli->operands[0]), &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    json_decref(answer);
    return wait_gone(cli, cli->operands[0]);
}

/* ---------------------------------------------------------------- volumes */

/* "GROUP/NAME" into params; NULL with an exit code. */
static json_t *read_volume(const struct cw_cli *cli, int *code)
{
    const char *whole = cli->operands[0], *slash = strchr(whole, '/');
    if (!slash || slash == whole || !slash[1]) {
        *code = cw_failed(cli, CW_EXIT_USAGE, "%s: expected GROUP/NAME", whole);
        return NULL;
    }
    json_t *params = json_object();
    json_object_set_new(params, "group", json_stringn(whole, (size_t)(slash - whole)));
    json_object_set_new(params, "volume", json_string(slash + 1));
    return params;
}

int cw_run_volume_create(struct cw_cli *cli)
{
    int code = 0;
    uint64_t bytes = 0, block = 512;
    const char *block_size = cw_cli_value(cli, "block-size");
    json_t *params = read_volume(cli, &code);
    if (!params)
        return code;
    code = read_size(cli, "size", "10G or 512M", &bytes);
    if (!code && block_size && !cw_quantity_bytes(block_size, &block))
        code = cw_failed(cli, CW_EXIT_USAGE, "--block-size wants 512 or 4096, not %s", block_size);
    if (code) {
        json_decref(params);
        return code;
    }
    json_object_set_new(params, "size", json_integer((json_int_t)bytes));
    json_object_set_new(params, "block_size", json_integer((json_int_t)block));
    json_object_set_new(params, "thin", json_boolean(cw_cli_has(cli, "thin")));
    json_object_set_new(params, "paths", cw_cli_by_site(cli, "path"));
    json_object_set_new(params, "overwrite", cw_cli_list(cli, "overwrite"));
    return cw_ask_and_wait(cli, cli->site, "volume.create", params, "created");
}

int cw_run_volume_delete(struct cw_cli *cli)
{
    int code = 0;
    json_t *params = read_volume(cli, &code);
    if (!params)
        return code;
    json_object_set_new(params, "force", json_boolean(cw_cli_has(cli, "force")));
    return cw_ask_and_wait(cli, cli->site, "volume.delete", params, "deleted");
}

/* --nbd [SOCKET], --nbd-tls ADDRESS and those of later versions; 0 or an exit code. */
static int read_attachment(const struct cw_cli *cli, json_t *params)
{
    static const char *const later[] = {"vhost", "ublk"};
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (cw_cli_has(cli, later[i]))
            return cw_failed(cli, CW_EXIT_USAGE,
                             "--%s comes with a later version; this one has --nbd and --nbd-tls", later[i]);
    }
    if (cw_cli_has(cli, "nbd") == cw_cli_has(cli, "nbd-tls"))
        return cw_failed(cli, CW_EXIT_USAGE, "one of --nbd SOCKET and --nbd-tls [HOST:]PORT is wanted");
    const char *kind = cw_cli_has(cli, "nbd") ? "nbd" : "nbd-tls", *address = cw_cli_value(cli, kind);
    const char *certificates = cw_cli_value(cli, "certificates");
    json_object_set_new(params, "kind", json_string(kind));
    json_object_set_new(params, "address", json_string(address ? address : ""));
    json_object_set_new(params, "certificates", json_string(certificates ? certificates : ""));
    return 0;
}

static int run_attachment(struct cw_cli *cli, const char *method, const char *done)
{
    int code = 0;
    json_t *params = read_volume(cli, &code);
    if (!params)
        return code;
    code = read_attachment(cli, params);
    if (code) {
        json_decref(params);
        return code;
    }
    return ask_simply(cli, method, params, done);
}

int cw_run_volume_attach(struct cw_cli *cli)
{
    return run_attachment(cli, "volume.attach",
                          "attached; it follows the group to whichever site is primary");
}

int cw_run_volume_detach(struct cw_cli *cli)
{
    return run_attachment(cli, "volume.detach", "detached");
}
