/* SPDX-License-Identifier: BSD-3-Clause */
/* Real etcd members for tests, on loopback, each with its data in a directory of the test. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/etcd_client.h"
#include "control/store.h"

#define ETCD_MEMBERS_MAX 3u

struct etcd_cluster {
    char directory[64]; /* under /tmp; removed by etcd_end */
    uint32_t count;
    struct etcd_member {
        pid_t pid; /* 0: not running */
        uint16_t client_port, peer_port;
        char data[96];
    } members[ETCD_MEMBERS_MAX];
    const char *options[4]; /* more for every member, NULL behind the last */
    bool is_tls;
    struct cw_etcd_address address; /* of all members */
};

/* false: there is no etcd on this machine. */
bool etcd_is_there(void);
/* A directory and ports for count members; with certificates (authority, member, client, stranger) when
 * is_tls. */
void etcd_make(struct etcd_cluster *cluster, uint32_t count, bool is_tls);
void etcd_start(struct etcd_cluster *cluster, uint32_t member);
void etcd_start_all(struct etcd_cluster *cluster); /* and waits until they answer */
void etcd_wait_ready(struct etcd_cluster *cluster);
void etcd_signal(struct etcd_cluster *cluster, uint32_t member, int signal);
void etcd_kill(struct etcd_cluster *cluster, uint32_t member); /* kill -9, and waits */
void etcd_end(struct etcd_cluster *cluster);
/* Runs a shell command in the directory of the cluster; false: it failed. */
bool etcd_shell(const struct etcd_cluster *cluster, const char *format, ...);
#define ETCD_PATIENCE_MS 60000u /* for what has to answer sooner or later */
/* The store under prefix when it has answered, within so long; NULL with words in why, as a controller has them. */
struct cw_store *etcd_open_store(const struct cw_etcd_address *address, const char *prefix, uint32_t limit_ms,
                                 char *why, size_t why_size);
/* Which member leads; ETCD_MEMBERS_MAX: none. */
uint32_t etcd_leader(struct etcd_cluster *cluster);
