/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit of a lab's wire: a bare pair of memif ports, two threads, nothing done with the frames. Prints
 * one line of JSON: packets and bits per second at frames for 1500 and 9000 byte MTUs, and the round trip of
 * 64 and 4096 byte frames. Two busy threads: on two cores anything else that runs shows, so measure it in the
 * same minute as what it shall be compared with.
 */
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
#include "io/port.h"

#define BURST   32u
#define ROUNDS  20000u
#define RATE_NS (1ull * CW_SECOND)

enum role { ROLE_SINK, ROLE_ECHO };

struct worker {
    uint16_t port;
    enum role role;
    _Atomic bool must_stop;
    _Atomic uint64_t packets, bytes;
};

static struct worker worker;
static uint64_t samples[ROUNDS];

static uint64_t now_ns(void)
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

static void measure_rate(uint16_t from, uint16_t to, struct rte_mempool *pool, uint16_t length,
                         double *packets, double *gigabits)
{
    struct rte_mbuf *frames[BURST];
    worker_start(to, ROLE_SINK);
    uint64_t start = now_ns(), packets_0 = worker.packets, bytes_0 = worker.bytes, now = start;
    while ((now = now_ns()) - start < RATE_NS) {
        if (rte_pktmbuf_alloc_bulk(pool, frames, BURST) != 0)
            continue;
        for (unsigned i = 0; i < BURST; i++)
            frames[i]->data_len = (uint16_t)(frames[i]->pkt_len = length);
        uint16_t sent = rte_eth_tx_burst(from, 0, frames, BURST);
        rte_pktmbuf_free_bulk(frames + sent, BURST - sent);
    }
    double seconds = (double)(now - start) / (double)CW_SECOND;
    *packets = (double)(worker.packets - packets_0) / seconds;
    *gigabits = (double)(worker.bytes - bytes_0) * 8e-9 / seconds;
    worker_stop();
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Until this very frame is back: what a rate left in the rings is echoed too, and would come at once. */
static void ping(uint16_t port, struct rte_mempool *pool, uint16_t length)
{
    struct rte_mbuf *frame = frame_new(pool, length), *back;
    uint64_t number = now_ns(), got;
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

static void measure_round_trip(uint16_t from, uint16_t to, struct rte_mempool *pool, uint16_t length,
                               double *p50, double *p99)
{
    worker_start(to, ROLE_ECHO);
    for (unsigned i = 0; i < 1000; i++)
        ping(from, pool, length);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns();
        ping(from, pool, length);
        samples[i] = now_ns() - start;
    }
    worker_stop();
    qsort(samples, ROUNDS, sizeof samples[0], compare);
    *p50 = (double)samples[ROUNDS / 2] * 1e-3;
    *p99 = (double)samples[ROUNDS / 100 * 99] * 1e-3;
}

struct pair {
    struct cw_port *server, *client;
    uint16_t server_id, client_id;
};

static struct cw_port *open_end(const char *folder, unsigned index, uint16_t mtu, bool is_server,
                                uint16_t *id)
{
    char why[256] = "";
    struct cw_port_config config = {.mtu = mtu};
    char name[32];
    snprintf(name, sizeof name, "net_memif%u", index);
    snprintf(config.name, sizeof config.name, "%s", name);
    snprintf(config.device, sizeof config.device, "%s,role=%s,socket=%s/%u", name,
             is_server ? "server" : "client", folder, mtu);
    struct cw_port *port = cw_port_open(&config, why, sizeof why);
    if (port == NULL || rte_eth_dev_get_port_by_name(name, id) != 0) {
        fprintf(stderr, "bench-memif: %s\n", why);
        exit(1);
    }
    return port;
}

static void open_pair(struct pair *pair, const char *folder, unsigned index, uint16_t mtu)
{
    pair->server = open_end(folder, index, mtu, true, &pair->server_id);
    pair->client = open_end(folder, index + 1, mtu, false, &pair->client_id);
    uint64_t start = now_ns();
    while (!cw_port_is_link_up(pair->server) || !cw_port_is_link_up(pair->client)) {
        if (now_ns() - start > 10 * CW_SECOND) {
            fprintf(stderr, "bench-memif: the ports do not find each other\n");
            exit(1);
        }
        usleep(1000);
    }
}

static void close_pair(struct pair *pair)
{
    cw_port_close(pair->client);
    cw_port_close(pair->server);
}

static void measure_and_print(struct pair *small, struct pair *jumbo, struct rte_mempool *pool)
{
    double packets[2], gigabits[2], p50[2], p99[2];
    measure_rate(small->client_id, small->server_id, pool, 1514, &packets[0], &gigabits[0]);
    measure_rate(jumbo->client_id, jumbo->server_id, pool, 9014, &packets[1], &gigabits[1]);
    measure_round_trip(jumbo->client_id, jumbo->server_id, pool, 64, &p50[0], &p99[0]);
    measure_round_trip(jumbo->client_id, jumbo->server_id, pool, 4096, &p50[1], &p99[1]);
    printf("{\"memif\":{\"packets_per_second_1500\":%.0f,\"gigabits_per_second_1500\":%.3f,"
           "\"packets_per_second_9000\":%.0f,\"gigabits_per_second_9000\":%.3f,"
           "\"round_trip_us_64\":{\"p50\":%.2f,\"p99\":%.2f},\"round_trip_us_4096\":{\"p50\":%.2f,\"p99\":%."
           "2f}}}\n",
           packets[0], gigabits[0], packets[1], gigabits[1], p50[0], p99[0], p50[1], p99[1]);
}

int main(void)
{
    char folder[] = "/tmp/bench-memif-XXXXXX", path[64], why[256];
    struct cw_eal_config config = {.memory_mb = 384, .may_use_hugepages = true, .lcores = "0@0,1@1"};
    struct pair small, jumbo;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "bench-memif: needs two processors and /tmp\n");
        return 1;
    }
    snprintf(config.file_prefix, sizeof config.file_prefix, "bench-memif-%d", (int)getpid());
    if (cw_eal_start(&config, why, sizeof why) != CW_OK) {
        fprintf(stderr, "bench-memif: %s\n", why);
        return 1;
    }
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("bench", 2048, 256, 0, 9344 + RTE_PKTMBUF_HEADROOM, -1);
    if (pool == NULL)
        return 1;
    open_pair(&small, folder, 0, 1500);
    open_pair(&jumbo, folder, 2, 9000);
    measure_and_print(&small, &jumbo, pool);
    close_pair(&small);
    close_pair(&jumbo);
    cw_eal_stop();
    for (unsigned mtu = 1500; mtu <= 9000; mtu += 7500) {
        snprintf(path, sizeof path, "%s/%u", folder, mtu);
        (void)unlink(path);
    }
    return rmdir(folder) == 0 ? 0 : 1;
}
