/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wanem itself carries, so that a result through it can be told from a result of it. One busy thread
 * here sends and receives, wanem is busy on another CPU. Prints one line of JSON: packets and bits a second
 * at both frame sizes through a plain wire; what a frame takes of wanem's time when it has plenty to do (the
 * median turn, which others on the CPU hardly move); the rate that comes out of a line of 1 Gbit/s that is
 * offered more; and how much later than they should frames of 1 Gbit/s come out behind 10 ms.
 *
 *     bench-wanem build/gcc/perf/wanem/wanem
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "base/numbers.h"
#include "program.h"
#include "wanem/pair.h"

#define RATE_NS    (2 * CW_SECOND)
#define WARM_NS    (CW_SECOND / 2)
#define SAMPLES    160000u
#define ROUNDS     3u
#define PACE_BITS  1000000000ull
#define DELAY_NS   (10 * CW_MS)
#define LINE_OFFER 1300000000ull
#define WINDOW     200u
#define FRAME_1500 1514u
#define FRAME_9000 9014u

static const char *program;
static struct rte_mempool *pool;
static uint64_t samples[SAMPLES];

struct run {
    uint64_t pace_bits; /* 0: as fast as it goes */
    uint32_t frame_bytes;
    uint64_t begin_ns, offered_bytes;
    uint64_t packets, bytes; /* received after the warm-up */
    uint32_t sample_count;
    uint64_t frame_ns; /* wanem's own */
};

/* May this many more bytes leave by now? */
static bool is_due(const struct run *run, uint64_t now_ns)
{
    return run->pace_bits == 0 ||
           run->offered_bytes * 8 * CW_SECOND / run->pace_bits <= now_ns - run->begin_ns;
}

/* Bursts where nothing paces, else one frame, which carries its time. */
static void send_some(struct cw_wanem_pair *pair, struct run *run, uint64_t now_ns)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t count = run->pace_bits == 0 ? CW_PORT_BURST : 1;
    if (!is_due(run, now_ns) || rte_pktmbuf_alloc_bulk(pool, frames, count) != 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        frames[i]->data_len = (uint16_t)(frames[i]->pkt_len = run->frame_bytes);
        memcpy(rte_pktmbuf_mtod_offset(frames[i], void *, 14), &now_ns, sizeof now_ns);
    }
    uint32_t sent = cw_port_transmit_frames(pair->ports[0], frames, count);
    run->offered_bytes += (uint64_t)sent * run->frame_bytes;
    rte_pktmbuf_free_bulk(frames + sent, count - sent);
}

static void receive_some(struct cw_wanem_pair *pair, struct run *run, bool is_warm)
{
    struct rte_mbuf *frames[CW_PORT_BURST];
    uint32_t count = cw_port_receive_frames(pair->ports[1], frames, CW_PORT_BURST);
    uint64_t now_ns = count > 0 ? cw_wanem_now_ns() : 0, sent_ns;
    for (uint32_t i = 0; i < count && is_warm; i++) {
        memcpy(&sent_ns, rte_pktmbuf_mtod_offset(frames[i], void *, 14), sizeof sent_ns);
        run->packets++;
        run->bytes += rte_pktmbuf_pkt_len(frames[i]);
        if (run->sample_count < SAMPLES)
            samples[run->sample_count++] = now_ns - sent_ns;
    }
    rte_pktmbuf_free_bulk(frames, count);
}

static void measure(const char *spec, const char *poll, uint16_t mtu, uint64_t pace_bits, struct run *run)
{
    const char *const more[] = {"--wan", spec, "--poll", poll, "--cpu", "1", "--huge", NULL};
    struct cw_wanem_pair pair;
    char why[512], json[4096];
    if (!cw_wanem_pair_open(&pair, program, mtu, more, why, sizeof why))
        bench_fail(why);
    *run = (struct run){.pace_bits = pace_bits, .frame_bytes = mtu == 1500 ? FRAME_1500 : FRAME_9000};
    run->begin_ns = cw_wanem_now_ns();
    for (uint64_t now_ns = run->begin_ns; now_ns - run->begin_ns < WARM_NS + RATE_NS;
         now_ns = cw_wanem_now_ns()) {
        send_some(&pair, run, now_ns);
        receive_some(&pair, run, now_ns - run->begin_ns >= WARM_NS);
    }
    if (!cw_wanem_pair_close(&pair, json, sizeof json))
        bench_fail("wanem did not end well");
    run->frame_ns = cw_wanem_counter(json, "frame_ns_p50", 0);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The best of some rounds: others on the machine only take away. */
static void print_rate(uint16_t mtu)
{
    double packets = 0, bits = 0;
    uint64_t frame_ns = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct run run;
        measure("", "busy", mtu, 0, &run);
        packets = CW_MAX(packets, (double)run.packets * CW_SECOND / RATE_NS);
        bits = CW_MAX(bits, (double)run.bytes * 8 * CW_SECOND / RATE_NS);
        frame_ns = CW_MIN(frame_ns, run.frame_ns);
    }
    printf("\"packets_per_second_%u\":%.0f,\"gigabits_per_second_%u\":%.3f,\"frame_ns_%u\":%lu,", mtu,
           packets, mtu, bits * 1e-9, mtu, frame_ns);
}

/* The least p99 of any 200 frames in a row: what it is like while nobody takes the CPU away. */
static double quietest_p99(uint32_t count)
{
    uint64_t window[WINDOW], best_ns = UINT64_MAX;
    for (uint32_t at = 0; at + WINDOW <= count; at += WINDOW) {
        memcpy(window, samples + at, sizeof window);
        qsort(window, WINDOW, sizeof window[0], compare);
        best_ns = CW_MIN(best_ns, window[WINDOW / 100 * 99]);
    }
    return (double)(best_ns - DELAY_NS) / CW_US;
}

static void print_lateness(const char *poll)
{
    double p50 = 1e9, p99 = 1e9, quiet = 1e9;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct run run;
        measure("delay=10ms", poll, 1500, PACE_BITS, &run);
        if (run.sample_count < 1000)
            bench_fail("too few frames came through");
        quiet = CW_MIN(quiet, quietest_p99(run.sample_count));
        qsort(samples, run.sample_count, sizeof samples[0], compare);
        if (samples[0] < DELAY_NS)
            bench_fail("a frame came before its time");
        p50 = CW_MIN(p50, (double)(samples[run.sample_count / 2] - DELAY_NS) / CW_US);
        p99 = CW_MIN(p99, (double)(samples[run.sample_count / 100 * 99] - DELAY_NS) / CW_US);
    }
    printf(",\"late_us_%s\":{\"p50\":%.1f,\"p99\":%.1f,\"quietest_p99\":%.1f}", poll, p50, p99, quiet);
}

int main(int argc, char **argv)
{
    struct run run;
    bench_start("bench-wanem", "0@0", 256);
    if (argc != 2)
        bench_fail("wants the path of wanem");
    program = argv[1];
    pool = rte_pktmbuf_pool_create("bench", 2047, 256, 0, 9344 + RTE_PKTMBUF_HEADROOM, -1);
    if (pool == NULL)
        bench_fail("no memory");
    printf("{\"wanem\":{");
    print_rate(1500);
    print_rate(9000);
    measure("rate=1gbit,delay=10ms", "busy", 1500, LINE_OFFER, &run);
    printf("\"line_1gbit_gigabits_per_second\":%.4f", (double)run.bytes * 8e-9 * CW_SECOND / RATE_NS);
    print_lateness("busy");
    print_lateness("adaptive");
    printf("}}\n");
    fflush(stdout);
    cw_eal_stop();
    return 0;
}
