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
#include <sys/types.h>

#include "base/ip.h"
#include "base/status.h"
#include "engine/config/mistakes.h"
#include "engine/config/quantity.h"

#define CW_CONFIG_PATH_SIZE        256u /* of files and directories */
#define CW_CONFIG_SOCKET_SIZE      108u /* sun_path, with its end */
#define CW_CONFIG_SITES_MAX        8u
#define CW_CONFIG_ETCD_MAX         8u /* members */
#define CW_CONFIG_ETCD_PREFIX_SIZE 128u
#define CW_CONFIG_OPERATOR_KEYS    16u
#define CW_CONFIG_PATHS_MAX        16u
#define CW_CONFIG_LANES_MAX        4u
#define CW_CONFIG_PEER_PATHS_MAX   4u
#define CW_CONFIG_BYTES_MAX        (256u * 1024u)
#define CW_NODE_GROUPS_MAX         64u  /* that one node is given; its engine may take fewer: CW_GROUPS_MAX */
#define CW_NODE_EXPORTS_MAX        256u /* volumes that one node exports at a time */
#define CW_NODE_CLIENTS_MAX        1024u /* NBD clients of one node */
#define CW_VOLUME_CLIENTS_MAX      128u /* of one volume, so that no volume's clients keep those of others out */

#define CW_CONFIG_PREPARED "prepared" /* in the place of a device */

enum cw_config_poll { CW_CONFIG_POLL_DEDICATED = 0, CW_CONFIG_POLL_ADAPTIVE };

/* Packets on their way on one path: a power of two. Without `in_flight`, what the rate carries in that time,
 * within these bounds; adaptive: with bbr or cubic. A packet takes 40 bytes of memory, with them 104. */
#define CW_CONFIG_IN_FLIGHT_MS         250u
#define CW_CONFIG_PACKETS_FIXED_MIN    4096u
#define CW_CONFIG_PACKETS_ADAPTIVE_MIN 16384u
#define CW_CONFIG_PACKETS_MAX          (1u << 18)
#define CW_CONFIG_PACKETS_ASKED_MAX    (1u << 20)
#define CW_CONFIG_IN_FLIGHT_MAX        (1ull << 30) /* bytes, of `in_flight` */

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
    uint32_t device_line;                  /* where the configuration names it */
    bool is_prepared; /* `device: prepared`: until prepared.h has found out, device is that word */
    uint16_t mtu;
    uint16_t vlan;    /* 802.1Q tag, 1 to 4094; 0: none */
    bool is_shared;   /* the device's interface stays the kernel's, which has the addresses, neighbours and
                         routes */
    bool is_followed; /* the peer, when its address changes */
    struct cw_config_endpoint local;
    struct cw_config_endpoint peer; /* its MAC address is that of the gateway, if there is one */
    struct cw_ip gateway;           /* none: the peer is on our link */
    uint64_t rate_bits_per_second;  /* never more than it; 0: no limit */
    enum cw_config_rate_control rate_control;
    uint32_t circuit_loss_percent, circuit_delay_ms; /* of a fixed rate: rate_fixed.h; 0: off */
    uint64_t in_flight_bytes; /* sent and not acknowledged at most; 0: what the rate wants */
    struct cw_config_fec fec;
    uint8_t peer_index; /* of the peer that it leads to */
};

/* The paths to one site, which one session uses together. */
struct cw_config_peer {
    uint8_t path_count;
    uint8_t paths[CW_CONFIG_PEER_PATHS_MAX]; /* their indexes in the list of paths; by name */
};

/* An end of a connection between controllers. */
struct cw_config_address {
    struct cw_ip ip;
    uint16_t port; /* 0: none is given */
};

struct cw_config_site {
    char name[CW_CONFIG_NAME_SIZE];
    uint8_t id;
    char directory[CW_CONFIG_PATH_SIZE]; /* of that site, on this machine; "" when it is elsewhere */
    struct cw_config_address control;    /* where its controller listens for others */
    bool is_witness;                     /* a controller and no engine: no group is there */
};

/* The store in etcd, in the place of the embedded one. */
struct cw_config_etcd {
    uint32_t count; /* 0: the store is embedded */
    char endpoints[CW_CONFIG_ETCD_MAX][CW_CONFIG_PATH_SIZE];
    char prefix[CW_CONFIG_ETCD_PREFIX_SIZE];
    /* PEM, for https; where none is named, those of security; "": none */
    char certificate[CW_CONFIG_PATH_SIZE], key[CW_CONFIG_PATH_SIZE], authority[CW_CONFIG_PATH_SIZE];
};

/* Whose tokens promote a site when no quorum of the store is left (control/break_glass.h). */
struct cw_config_break_glass {
    uint32_t threshold; /* so many different operators must agree; 0: not configured */
    uint32_t key_count;
    char cluster[CW_CONFIG_NAME_SIZE]; /* what their tokens name, so that none counts in another cluster */
    struct cw_config_operator_key {
        char name[CW_CONFIG_NAME_SIZE];
        uint8_t key[32]; /* Ed25519, public */
    } keys[CW_CONFIG_OPERATOR_KEYS];
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
    uint32_t lane_count;                      /* net lcores, each with a lane of every session */
    uint32_t lcores_net[CW_CONFIG_LANES_MAX]; /* CPU numbers */
    uint32_t lcore_store;                     /* equal to the only one of net: one thread does both */
    uint32_t payload_mb, receive_mb;
    mode_t socket_mode; /* 0600 or 0660 */
    gid_t socket_group; /* (gid_t)-1: leave it */
    bool has_operators; /* of those whom the sockets' group lets in, only members of that group may change */
    gid_t operators;
    char engine_socket[CW_CONFIG_SOCKET_SIZE];
    char control_socket[CW_CONFIG_SOCKET_SIZE];
    char store_file[CW_CONFIG_PATH_SIZE]; /* "" with etcd */
    struct cw_config_etcd etcd;
    struct cw_config_break_glass break_glass;
    struct cw_config_address control_address; /* where our controller listens for others */
    struct cw_config_address metrics_address; /* and for Prometheus */
    char metrics_token[CW_CONFIG_PATH_SIZE];  /* a file, what it has to show; "": nothing */
    uint32_t lease_ms;
    bool peer_grants; /* on_store_loss: peer-grants, not freeze */
    uint32_t path_count;
    struct cw_config_path paths[CW_CONFIG_PATHS_MAX];
    uint32_t peer_count;
    struct cw_config_peer peers[CW_CONFIG_PATHS_MAX];
    char nic_directory[CW_CONFIG_PATH_SIZE]; /* where `causeway nic apply` tells of prepared paths */
    bool is_latency_duplicated;              /* on the two best paths to a site, where there are two */
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

/* What `--config FILE --check` does: prints the mistakes or that the file is good; the exit code. */
int cw_node_config_check_main(const char *file);

/* "10.0.1.1:7443", "[fd00::1]:7443": of a host, no names. */
bool cw_config_address_parse(const char *text, struct cw_config_address *address);
/* Of this machine alone: nothing that is said there goes over a wire. */
bool cw_config_address_is_loopback(const struct cw_config_address *address);
/* "alice:64 hexadecimal digits" of an operator's public key. */
bool cw_config_parse_operator_key(const char *text, struct cw_config_operator_key *key);
/* A device whose interface the kernel may keep: af_xdp, af_packet. */
bool cw_config_may_be_shared(const char *device);
/* How many packets may be on their way on the path: a power of two. */
uint32_t cw_config_packets_in_flight(const struct cw_config_path *path);
