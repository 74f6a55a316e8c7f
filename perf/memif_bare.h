/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bare pair of memif ports of this process, and what it gives with nothing done to the frames: the limit
 * of what goes over such a pair. After cw_eal_start with a second lcore; on the main thread, with the far
 * end on lcore 1. Two busy threads. Whoever fails prints why and ends the process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "io/port.h"

struct rte_mempool;

struct bench_memif {
    struct cw_port *server, *client;
    uint16_t server_id, client_id;
    char path[96]; /* of the socket */
};

struct bench_rate {
    double packets, gigabits; /* a second */
};

struct bench_round_trip {
    double p50_us, p99_us;
};

uint64_t bench_now_ns(void);
int bench_compare_u64(const void *a, const void *b); /* for qsort */
/* Room for frames of both sizes. */
struct rte_mempool *bench_memif_pool(void);
/* The devices are net_memif<index> and the next; the socket's name in the folder is the MTU. */
void bench_memif_open(struct bench_memif *pair, const char *folder, unsigned index, uint16_t mtu);
void bench_memif_close(struct bench_memif *pair);
/* From client to server, for so long. Some frames stay in the rings. */
struct bench_rate bench_memif_rate(const struct bench_memif *pair, struct rte_mempool *pool, uint16_t length,
                                   uint64_t duration_ns);
struct bench_round_trip bench_memif_round_trip(const struct bench_memif *pair, struct rte_mempool *pool,
                                               uint16_t length);
