/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration of a node: one YAML file, read by causeway-engine and by causeway-control.
 * control/example-node.yaml is the worked example, with every key and its default.
 *
 * Reading never stops at the first mistake: the file is walked once with libyaml, against the same table
 * that libcyaml loads by, so that every unknown key and every value of the wrong shape has its line; then
 * libcyaml loads it, then meaning is checked (ranges, names, files, lengths of socket paths) with the lines
 * of the first walk. Only a file that is no YAML at all ends at its first mistake.
 *
 * Not done: reloading while running, inclusion of other files, YAML aliases (refused).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/ip.h"
#include "base/status.h"

#define CW_CONFIG_NAME_SIZE      32u  /* of nodes, sites, paths: 31 letters, digits, '-', '_', '.' */
#define CW_CONFIG_PATH_SIZE      256u /* of files and directories */
#define CW_CONFIG_SOCKET_SIZE    108u /* sun_path, with its end */
#define CW_CONFIG_SITES_MAX      8u
#define CW_CONFIG_PATHS_MAX      16u
#define CW_CONFIG_PEER_PATHS_MAX 4u
#define CW_CONFIG_MISTAKES_MAX   64u
#define CW_CONFIG_BYTES_MAX      (256u * 1024u)
#define CW_NODE_EXPORTS_MAX      256u  /* volumes that one node exports at a time */
#define CW_NODE_CLIENTS_MAX      1024u /* NBD clients of one node */
#define CW_VOLUME_CLIENTS_MAX    128u /* of one volume, so that no volume's clients keep those of others out */

enum cw_config_poll { CW_CONFIG_POLL_DEDICATED = 0, CW_CONFIG_POLL_ADAPTIVE };

/* How fast a path is sent on: at its configured rate, or as the network answers. */
enum cw_config_rate_control {
    CW_CONFIG_RATE_FIXED = 0,
    CW_CONFIG_RATE_BBR,
    CW_CONFIG_RATE_CUBIC,
    CW_CONFIG_RATE_COUNT
};

struct cw_config_endpoint {
    uint8_t mac[6]; /* all 0: local, the device's; peer, it is asked for */
    struct cw_ip ip;
    uint8_t
        prefix_bits; /* of the link's network, as in 10.0.0.1/24; 0: not given, everybody is on the link */
    uint16_t port;
};

/* Forward error correction of a path; the numbers when it is fixed only. */
enum cw_config_fec_mode { CW_CONFIG_FEC_OFF = 0, CW_CONFIG_FEC_FIXED, CW_CONFIG_FEC_AUTO };
#define CW_CONFIG_FEC_SOURCES_MAX 64u
#define CW_CONFIG_FEC_REPAIRS_MAX 8u
#define CW_CONFIG_FEC_DEPTH_MAX   256u

struct cw_config_fec {
    enum cw_config_fec_mode mode;
    uint32_t sources, repairs; /* of a block */
    uint32_t depth;            /* blocks of a stripe */
};

/* How peers know each other: by certificates, in place of the cluster key. Files: certificate, key,
 * authority, revocations. */
#define CW_CONFIG_SECURITY_FILES 4u
struct cw_config_security {
    bool has_certificates;
    char files[CW_CONFIG_SECURITY_FILES][CW_CONFIG_PATH_SIZE];
    uint32_t lines[CW_CONFIG_SECURITY_FILES]; /* where the configuration names them */
};
extern const char *const cw_config_security_keys[CW_CONFIG_SECURITY_FILES]; /* "security.certificate"... */

struct cw_config_path {
    char name[CW_CONFIG_NAME_SIZE];
    char remote[CW_CONFIG_NAME_SIZE];      /* a site of the list, not our own */
    char remote_node[CW_CONFIG_NAME_SIZE]; /* that its certificate must name; "": any of the site */
    char device[CW_CONFIG_PATH_SIZE];      /* as EAL's --vdev or -a takes it */
    uint16_t mtu;
    uint16_t vlan;  /* 802.1Q tag, 1 to 4094; 0: none */
    bool is_shared; /* the device's interface stays the kernel's, which has the addresses, neighbours and
                       routes */
    struct cw_config_endpoint local;
    struct cw_config_endpoint peer; /* its MAC address is that of the gateway, if there is one */
    struct cw_ip gateway;           /* none: the peer is on our link */
    uint64_t rate_bits_per_second;  /* never more than it; 0: no limit */
    enum cw_config_rate_control rate_control;
    struct cw_config_fec fec;
    uint8_t peer_index; /* of the peer that it leads to */
};

/* The paths to one site, which one session uses together. */
struct cw_config_peer {
    uint8_t path_count;
    uint8_t paths[CW_CONFIG_PEER_PATHS_MAX]; /* their indexes in the list of paths; by name */
};

struct cw_config_site {
    char name[CW_CONFIG_NAME_SIZE];
    uint8_t id;
    char directory[CW_CONFIG_PATH_SIZE]; /* of that site, on this machine; "" when it is elsewhere */
};

struct cw_node_config {
    char node[CW_CONFIG_NAME_SIZE];
    char site[CW_CONFIG_NAME_SIZE];
    uint8_t site_id;
    uint32_t site_count;
    struct cw_config_site sites[CW_CONFIG_SITES_MAX];
    char directory[CW_CONFIG_PATH_SIZE];        /* sockets, logs */
    char storage[CW_CONFIG_PATH_SIZE];          /* default place of volumes and journals */
    char cluster_key_file[CW_CONFIG_PATH_SIZE]; /* "" and zeros with certificates */
    uint8_t cluster_key[32];
    struct cw_config_security security;
    enum cw_config_poll poll;
    uint32_t lcore_net, lcore_store; /* CPU numbers; equal: one thread does both */
    uint32_t payload_mb, receive_mb;
    mode_t socket_mode; /* 0600 or 0660 */
    gid_t socket_group; /* (gid_t)-1: leave it */
    char engine_socket[CW_CONFIG_SOCKET_SIZE];
    char control_socket[CW_CONFIG_SOCKET_SIZE];
    char store_file[CW_CONFIG_PATH_SIZE];
    uint32_t lease_ms;
    uint32_t path_count;
    struct cw_config_path paths[CW_CONFIG_PATHS_MAX];
    uint32_t peer_count;
    struct cw_config_peer peers[CW_CONFIG_PATHS_MAX];
    bool is_latency_duplicated; /* on the two best paths to a site, where there are two */
};

struct cw_config_mistake {
    uint32_t line; /* from 1; 0: of the file as a whole */
    char text[256];
};

struct cw_config_mistakes {
    uint32_t count;
    uint32_t left_out; /* more than the list holds */
    struct cw_config_mistake list[CW_CONFIG_MISTAKES_MAX];
};

/* Reads and checks a file, and the key file it names. CW_INVALID: mistakes has them all, by line. Any thread.
 */
enum cw_status cw_node_config_load(const char *file, struct cw_node_config *config,
                                   struct cw_config_mistakes *mistakes) CW_MUST_CHECK;

/* The same over bytes in memory. look_at_files: also read the cluster key and ask for groups and directories.
 */
enum cw_status cw_node_config_parse(const char *text, size_t length, bool look_at_files,
                                    struct cw_node_config *config,
                                    struct cw_config_mistakes *mistakes) CW_MUST_CHECK;

/* One mistake a line, as FILE:LINE: what, and what was expected. */
void cw_config_mistakes_print(FILE *to, const char *file, const struct cw_config_mistakes *mistakes);

/* What `--config FILE --check` does: prints the mistakes or that the file is good; the exit code. */
int cw_node_config_check_main(const char *file);

/* "64MiB", "10G", "512" (bytes); K, M, G, T and KiB, MiB... are powers of 1024. */
bool cw_quantity_bytes(const char *text, uint64_t *bytes);
/* "10gbit", "100mbit", "8000kbit", "5bit": powers of 1000, bits per second. */
bool cw_quantity_bits_per_second(const char *text, uint64_t *rate);
/* "5", "5s", "500ms", "2m", "1h" in milliseconds. */
bool cw_quantity_milliseconds(const char *text, uint64_t *milliseconds);
/* A name of ours: 1..31 letters, digits, '-', '_' and '.', beginning with a letter or digit. */
bool cw_config_name_check(const char *name);
