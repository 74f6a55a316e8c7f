/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as libcyaml gives it: every value still a word, NULL when it is not there. */
#pragma once

#include "engine/config/node_config.h"
#include "engine/config/yaml_lines.h"

struct cw_raw_endpoint {
    char *mac, *ip, *port, *gateway;
};

struct cw_raw_path {
    char *name, *remote, *remote_node, *device, *mtu, *vlan, *shared, *rate, *rate_control, *fec;
    struct cw_raw_endpoint *local, *peer;
};

struct cw_raw_site {
    char *name, *id, *directory;
};

struct cw_raw_config {
    char *node, *site, *directory, *storage, *cluster_key, *poll, *engine_socket, *control_socket, *store,
        *lease_seconds, *duplicate_latency;
    struct {
        char *certificate, *key, *authority, *revocations;
    } * security;
    struct {
        char *net, *store;
    } * lcores;
    struct {
        char *payload_mb, *receive_mb;
    } * memory;
    struct {
        char *mode, *group;
    } * sockets;
    struct cw_raw_site *sites;
    uint32_t sites_count;
    struct cw_raw_path *paths;
    uint32_t paths_count;
};

/* Fills config and names everything that means something impossible. */
void cw_config_check_meaning(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                             bool look_at_files, struct cw_node_config *config,
                             struct cw_config_mistakes *mistakes);
