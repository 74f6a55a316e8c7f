/* SPDX-License-Identifier: BSD-3-Clause */
/* cert init, issue, list, renew, revoke: the cluster's certificates, made where the command runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/certificates.h"
#include "control/cli.h"

#define DIRECTORY_DEFAULT "/etc/causeway/authority"
#define DAYS_AUTHORITY    3650
#define DAYS_NODE         365
#define WARN_SECONDS      (30 * 86400)
#define WHY_SIZE          512

static const char *directory_of(const struct cw_cli *cli)
{
    const char *directory = cw_cli_value(cli, "directory");
    return directory ? directory : DIRECTORY_DEFAULT;
}

/* The number, or -1, which no limit allows. */
static int days_of(const struct cw_cli *cli, int otherwise)
{
    const char *text = cw_cli_value(cli, "days");
    char *end;
    if (!text)
        return otherwise;
    long days = strtol(text, &end, 10);
    return *text && !*end && days > 0 && days < 1000000 ? (int)days : -1;
}

static int say(const struct cw_cli *cli, enum cw_status status, const char *why)
{
    int code = status == CW_INVALID                          ? CW_EXIT_USAGE
               : status == CW_EXISTS || status == CW_REFUSED ? CW_EXIT_REFUSED
                                                             : CW_EXIT_FAILED;
    return cw_failed(cli, code, "%s", why);
}

int cw_run_cert_init(struct cw_cli *cli)
{
    char why[WHY_SIZE] = "";
    enum cw_status status = cw_authority_create(directory_of(cli), cli->operands[0],
                                                days_of(cli, DAYS_AUTHORITY), why, sizeof why);
    if (status != CW_OK)
        return say(cli, status, why);
    return cw_done(cli, "authority of %s in %s; keep a copy of the directory where no node can read it",
                   cli->operands[0], directory_of(cli));
}

/* SITE or SITE/NODE, split in place of `text`; without a node it has the site's name. */
static void split_name(char *text, const char **site, const char **node)
{
    char *slash = strchr(text, '/');
    *site = text;
    *node = slash ? slash + 1 : text;
    if (slash)
        *slash = 0;
}

/* "client", "operator" or "viewer"; NULL: of a node. false: several at once. */
static bool role_of(const struct cw_cli *cli, const char **role)
{
    static const char *const roles[] = {"client", "operator", "viewer"};
    size_t count = 0;
    *role = NULL;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (!cw_cli_has(cli, roles[i]))
            continue;
        *role = roles[i];
        count++;
    }
    return count <= 1;
}

static int issue(struct cw_cli *cli, bool is_renewal)
{
    char why[WHY_SIZE] = "", name[2 * CW_CERTIFICATE_NAME_MAX + 16];
    struct cw_certificate_order order = {.days = days_of(cli, DAYS_NODE)};
    json_t *hosts = cw_cli_list(cli, "host"), *certificate;
    snprintf(name, sizeof name, "%s", cli->operands[0]);
    bool is_clear = role_of(cli, &order.role);
    if (order.role)
        order.node = name;
    else
        split_name(name, &order.site, &order.node);
    enum cw_status status = CW_INVALID;
    if (!is_clear) {
        snprintf(why, sizeof why, "only one of --client, --operator, --viewer");
    } else if (json_array_size(hosts) > CW_CERTIFICATE_HOSTS) {
        snprintf(why, sizeof why, "--host: at most %u", CW_CERTIFICATE_HOSTS);
    } else {
        for (size_t i = 0; i < json_array_size(hosts); i++)
            order.hosts[i] = json_string_value(json_array_get(hosts, i));
        status = cw_authority_issue(directory_of(cli), &order, is_renewal, &certificate, why, sizeof why);
    }
    json_decref(hosts);
    if (status != CW_OK)
        return say(cli, status, why);
    const char *serial = json_string_value(json_object_get(certificate, "serial"));
    int code =
        order.site
            ? cw_done(cli, "%s/%s: certificate %s for %d days; copy %s/issued/%s/%s to the node", order.site,
                      order.node, serial, order.days, directory_of(cli), order.site, order.node)
            : cw_done(cli, "%s %s: certificate %s for %d days; copy %s/%ss/%s to the %s", order.role,
                      order.node, serial, order.days, directory_of(cli), order.role, order.node, order.role);
    json_decref(certificate);
    return code;
}

int cw_run_cert_issue(struct cw_cli *cli)
{
    return issue(cli, false);
}

int cw_run_cert_renew(struct cw_cli *cli)
{
    return issue(cli, true);
}

int cw_run_cert_revoke(struct cw_cli *cli)
{
    char why[WHY_SIZE] = "", name[2 * CW_CERTIFICATE_NAME_MAX + 16];
    size_t count;
    const char *role;
    if (!role_of(cli, &role))
        return cw_failed(cli, CW_EXIT_USAGE, "only one of --client, --operator, --viewer");
    bool is_serial = strlen(cli->operands[0]) == 32 && strchr(cli->operands[0], '/') == NULL;
    const char *slash = strchr(cli->operands[0], '/') || is_serial ? "" : "/";
    if (role)
        snprintf(name, sizeof name, "%s:%s", role, cli->operands[0]);
    else
        snprintf(name, sizeof name, "%s%s%s", cli->operands[0], slash, *slash ? cli->operands[0] : "");
    enum cw_status status = cw_authority_revoke(directory_of(cli), name, &count, why, sizeof why);
    if (status != CW_OK)
        return say(cli, status, why);
    return cw_done(cli, "%zu certificate%s of %s revoked; copy ca-crl.pem to every node", count,
                   count == 1 ? "" : "s", role ? cli->operands[0] : name);
}

static void print_line(const json_t *line)
{
    const char *state = cw_json_text(line, "state", "");
    time_t until = (time_t)cw_json_u64(line, "valid_until", 0);
    bool is_late = strcmp(state, "valid") == 0 && until - time(NULL) < WARN_SECONDS;
    bool is_loud = cw_has_colour() && (is_late || strcmp(state, "valid") != 0);
    struct tm utc;
    char day[32];
    gmtime_r(&until, &utc);
    strftime(day, sizeof day, "%F", &utc);
    const char *site = cw_json_text(line, "site", "");
    char role[24];
    snprintf(role, sizeof role, "(%s)", cw_json_text(line, "role", ""));
    printf("%-32s  %-16s %-16s %s%-8s%s until %s%s\n", cw_json_text(line, "serial", ""), *site ? site : role,
           cw_json_text(line, "node", ""), is_loud ? "\033[33m" : "", state, is_loud ? "\033[0m" : "", day,
           is_late ? "  renew it" : "");
}

int cw_run_cert_list(struct cw_cli *cli)
{
    char why[WHY_SIZE] = "";
    json_t *list, *line;
    size_t index;
    enum cw_status status = cw_authority_list(directory_of(cli), &list, why, sizeof why);
    if (status != CW_OK)
        return say(cli, status, why);
    if (cli->is_json) {
        json_dumpf(list, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        json_array_foreach(json_object_get(list, "certificates"), index, line) print_line(line);
        if (json_array_size(json_object_get(list, "certificates")) == 0)
            printf("none yet; causeway cert issue SITE makes one\n");
    }
    json_decref(list);
    return CW_EXIT_DONE;
}
