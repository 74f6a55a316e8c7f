/* SPDX-License-Identifier: BSD-3-Clause */
/* One worker thread, which is the far end: it sinks what comes, or sends it back. */
#include "memif_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "base/numbers.h"
#include "ends.h"

#define BURST  32u
#define ROUNDS 20000u

enum role { ROLE_SINK, ROLE_ECHO };

struct worker {
    uint16_t port;
    enum role role;
    _Atomic bool must_stop;
    _Atomic uint64_t packets, bytes;
};

static struct worker worker;
static uint64_t samples[ROUNDS];

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void send_all(uint16_t port, struct rte_mbuf **frames, uint16_t count)
{
    for (uint16_t sent = 0; sent < count && !worker.must_stop;)
        sent = (uint16_t)(sent + rte_eth_tx_burst(port, 0, frames + sent, (uint16_t)(count - sent)));
}

static int run_worker(void *unused)
{
    struct rte_mbuf *frames[BURST];
    while (!worker.must_stop) {
        uint16_t count = rte_eth_rx_burst(worker.port, 0, frames, BURST);
        uint64_t bytes = 0;
        for (uint16_t i = 0; i < count; i++)
            bytes += frames[i]->pkt_len;
        worker.packets += count;
        worker.bytes += bytes;
        if (worker.role == ROLE_ECHO)
            send_all(worker.port, frames, count);
        else
            rte_pktmbuf_free_bulk(frames, count);
    }
    return 0;
}

static void worker_start(uint16_t port, enum role role)
{
    worker.port = port;
    worker.role = role;
    worker.must_stop = false;
    worker.packets = worker.bytes = 0;
    (void)rte_eal_remote_launch(run_worker, NULL, 1);
}

static void worker_stop(void)
{
    worker.must_stop = true;
    rte_eal_mp_wait_lcore();
}

static struct rte_mbuf *frame_new(struct rte_mempool *pool, uint16_t length)
{
    struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
    if (frame != NULL && rte_pktmbuf_append(frame, length) == NULL)
        abort(); /* the pool was made for this size */
    return frame;
}

struct bench_rate bench_memif_rate(const struct bench_memif *pair, struct rte_mempool *pool, uint16_t length,
                                   uint64_t duration_ns)
{
    struct rte_mbuf *frames[BURST];
    worker_start(pair->server_id, ROLE_SINK);
    uint64_t start = bench_now_ns(), packets_0 = worker.packets, bytes_0 = worker.bytes, now = start;
    while ((now = bench_now_ns()) - start < duration_ns) {
        if (rte_pktmbuf_alloc_bulk(pool, frames, BURST) != 0)
            continue;
        for (unsigned i = 0; i < BURST; i++)
            frames[i]->data_len = (uint16_t)(frames[i]->pkt_len = length);
        uint16_t sent = rte_eth_tx_burst(pair->client_id, 0, frames, BURST);
        rte_pktmbuf_free_bulk(frames + sent, BURST - sent);
    }
    double seconds = (double)(now - start) / (double)CW_SECOND;
    struct bench_rate rate = {.packets = (double)(worker.packets - packets_0) / seconds,
                              .gigabits = (double)(worker.bytes - bytes_0) * 8e-9 / seconds};
    worker_stop();
    return rate;
}

int bench_compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Until this very frame is back: what a rate left in the rings is echoed too, and would come at once. */
static void ping(uint16_t port, struct rte_mempool *pool, uint16_t length)
{
    struct rte_mbuf *frame = frame_new(pool, length), *back;
    uint64_t number = bench_now_ns(), got;
    if (frame == NULL)
        abort();
    memcpy(rte_pktmbuf_mtod(frame, void *), &number, sizeof number);
    send_all(port, &frame, 1);
    do {
        while (rte_eth_rx_burst(port, 0, &back, 1) == 0)
            continue;
        memcpy(&got, rte_pktmbuf_mtod(back, void *), sizeof got);
        rte_pktmbuf_free(back);
    } while (got != number);
}

struct bench_round_trip bench_memif_round_trip(const struct bench_memif *pair, struct rte_mempool *pool,
                                               uint16_t length)
{
    worker_start(pair->server_id, ROLE_ECHO);
    for (unsigned i = 0; i < 1000; i++)
        ping(pair->client_id, pool, length);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = bench_now_ns();
        ping(pair->client_id, pool, length);
        samples[i] = bench_now_ns() - start;
    }
    worker_stop();
    qsort(samples, ROUNDS, sizeof samples[0], bench_compare_u64);
    return (struct bench_round_trip){(double)samples[ROUNDS / 2] * 1e-3,
                                     (double)samples[ROUNDS / 100 * 99] * 1e-3};
}

struct rte_mempool *bench_memif_pool(void)
{
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("bench", 2048, 256, 0, 9344 + RTE_PKTMBUF_HEADROOM, -1);
    if (pool == NULL) {
        fprintf(stderr, "memif: no memory for frames\n");
        exit(1);
    }
    return pool;
}

static struct cw_port *open_end(const char *folder, unsigned index, uint16_t mtu, bool is_server,
                                uint16_t *id)
{
    char why[256] = "";
    struct cw_port_config config = {.mtu = mtu};
    char name[32];
    bench_address(&config, is_server ? 1 : 0);
    snprintf(name, sizeof name, "net_memif%u", index);
    snprintf(config.name, sizeof config.name, "%s", name);
    snprintf(config.device, sizeof config.device, "%s,role=%s,socket=%s/%u", name,
             is_server ? "server" : "client", folder, mtu);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL || rte_eth_dev_get_port_by_name(name, id) != 0) {
        fprintf(stderr, "memif: %s\n", why);
        exit(1);
    }
    return port;
}

void bench_memif_open(struct bench_memif *pair, const char *folder, unsigned index, uint16_t mtu)
{
    snprintf(pair->path, sizeof pair->path, "%s/%u", folder, mtu);
    pair->server = open_end(folder, index, mtu, true, &pair->server_id);
    pair->client = open_end(folder, index + 1, mtu, false, &pair->client_id);
    uint64_t start = bench_now_ns();
    while (!cw_port_is_link_up(pair->server) || !cw_port_is_link_up(pair->client)) {
        if (bench_now_ns() - start > 10 * CW_SECOND) {
            fprintf(stderr, "memif: the ports do not find each other\n");
            exit(1);
        }
        usleep(1000);
    }
}

void bench_memif_close(struct bench_memif *pair)
{
    cw_port_close(pair->client);
    cw_port_close(pair->server);
    (void)unlink(pair->path);
}
