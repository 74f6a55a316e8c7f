/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as libcyaml gives it: every value still a word, NULL when it is not there. */
#pragma once

#include "engine/config/address.h"
#include "engine/config/node_config.h"
#include "engine/config/yaml_lines.h"

struct cw_raw_endpoint {
    char *mac, *ip, *port, *gateway;
};

struct cw_raw_path {
    char *name, *remote, *remote_node, *device, *mtu, *vlan, *shared, *follow, *rate, *rate_control,
        *circuit_loss, *circuit_delay, *in_flight, *fec;
    struct cw_raw_endpoint *local, *peer;
};

struct cw_raw_site {
    char *name, *id, *directory, *control, *witness;
};

struct cw_raw_config {
    char *node, *site, *directory, *storage, *cluster_key, *poll, *engine_socket, *control_socket, *store,
        *lease_seconds, *on_store_loss, *duplicate_latency, *nic_directory, *control_address,
        *metrics_address, *metrics_token;
    struct {
        char *certificate, *key, *authority, *revocations;
    } * security;
    struct {
        char **net; /* a single value in the file is a list of one here */
        uint32_t net_count;
        char *store;
    } * lcores;
    struct {
        char *payload_mb, *receive_mb;
    } * memory;
    struct {
        char **endpoints;
        uint32_t endpoints_count;
        char *prefix, *certificate, *key, *authority;
    } * etcd;
    struct {
        char *threshold, *cluster;
        char **keys;
        uint32_t keys_count;
    } * break_glass;
    struct {
        char *mode, *group, *operators;
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

/* address.c. "https://HOST:PORT"; http only to this machine, as nothing goes over a wire in clear. */
bool cw_config_parse_url(const char *text);

/* config_break_glass.c */
void cw_config_check_break_glass(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                                 struct cw_node_config *config, struct cw_config_mistakes *mistakes);
/* config_etcd.c */
void cw_config_check_lease(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                           struct cw_node_config *config, struct cw_config_mistakes *mistakes);
/* After security. */
void cw_config_check_etcd(const struct cw_raw_config *raw, const struct cw_yaml_lines *lines,
                          struct cw_node_config *config, struct cw_config_mistakes *mistakes);
