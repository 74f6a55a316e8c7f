/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of the configuration that leads to an etcd, the lease, and what is done without a store. What the
 * files of etcd hold is the controller's to judge. */
#include <stdio.h>
#include <string.h>

#include "engine/config/raw_config.h"

#define PREFIX "/causeway/default"

struct etcd_check {
    const struct cw_raw_config *raw;
    const struct cw_yaml_lines *lines;
    struct cw_config_mistakes *mistakes;
    struct cw_config_etcd *etcd;
};

static void expected(const struct etcd_check *check, const char *path, const char *value, const char *words)
{
    cw_config_expected(check->mistakes, check->lines, path, value, words);
}

/* true: one of them is to be reached by TLS. */
static bool check_endpoints(const struct etcd_check *check)
{
    bool is_tls = false;
    if (!check->raw->etcd->endpoints)
        expected(check, "etcd.endpoints", NULL, "a list of its members");
    for (uint32_t i = 0; i < check->raw->etcd->endpoints_count; i++) {
        char path[CW_YAML_PATH_SIZE];
        const char *value = check->raw->etcd->endpoints[i];
        snprintf(path, sizeof path, "etcd.endpoints[%u]", i);
        if (strlen(value) >= CW_CONFIG_PATH_SIZE || !cw_config_parse_url(value))
            expected(check, path, value, "https://HOST:PORT (http only to this machine)");
        snprintf(check->etcd->endpoints[check->etcd->count++], CW_CONFIG_PATH_SIZE, "%s", value);
        is_tls = is_tls || strncmp(value, "https:", 6) == 0;
    }
    return is_tls;
}

static void check_prefix(const struct etcd_check *check)
{
    const char *prefix = check->raw->etcd->prefix ? check->raw->etcd->prefix : PREFIX;
    size_t length = strlen(prefix);
    if (prefix[0] != '/' || length < 2 || prefix[length - 1] == '/' || length >= CW_CONFIG_ETCD_PREFIX_SIZE)
        expected(check, "etcd.prefix", prefix, "a key such as /causeway/NAME, of at most 127 bytes");
    snprintf(check->etcd->prefix, sizeof check->etcd->prefix, "%s", prefix);
}

static void check_file(const struct etcd_check *check, const char *path, const char *value,
                       const char *otherwise, char *to)
{
    if (!value && *otherwise)
        value = otherwise;
    if (!value || value[0] != '/' || strlen(value) >= CW_CONFIG_PATH_SIZE)
        expected(check, path, value, "an absolute path");
    else
        snprintf(to, CW_CONFIG_PATH_SIZE, "%s", value);
}

void cw_config_check_etcd(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                          struct cw_node_config *config, struct cw_config_mistakes *mistakes)
{
    struct cw_config_etcd *etcd = &config->etcd;
    const struct etcd_check check = {.raw = raw, .lines = lines, .mistakes = mistakes, .etcd = etcd};
    const struct cw_config_security *security = &config->security;
    if (raw->store)
        expected(&check, "store", raw->store, "either store, the embedded one, or etcd, not both");
    bool is_tls = check_endpoints(&check);
    check_prefix(&check);
    if (!is_tls)
        return;
    check_file(&check, "etcd.certificate", raw->etcd->certificate, security->files[0], etcd->certificate);
    check_file(&check, "etcd.key", raw->etcd->key, security->files[1], etcd->key);
    check_file(&check, "etcd.authority", raw->etcd->authority, security->files[2], etcd->authority);
}

void cw_config_check_lease(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                           struct cw_node_config *config, struct cw_config_mistakes *mistakes)
{
    const char *word = raw->on_store_loss;
    uint64_t lease = 5000;
    if (raw->lease_seconds && !cw_quantity_milliseconds(raw->lease_seconds, &lease))
        lease = 0;
    if (lease < 1000 || lease > 60000)
        cw_config_expected(mistakes, lines, "lease_seconds", raw->lease_seconds, "1 to 60 seconds");
    config->lease_ms = (uint32_t)lease;
    config->peer_grants = !word || strcmp(word, "peer-grants") == 0;
    if (word && !config->peer_grants && strcmp(word, "freeze") != 0)
        cw_config_expected(mistakes, lines, "on_store_loss", word, "peer-grants or freeze");
}
