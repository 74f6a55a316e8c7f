/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit of a lab's wire: a bare pair of memif ports, two threads, nothing done with the frames. Prints
 * one line of JSON: packets and bits per second at frames for 1500 and 9000 byte MTUs, and the round trip of
 * 64 and 4096 byte frames. Two busy threads: on two cores anything else that runs shows, so measure it in the
 * same minute as what it shall be compared with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/numbers.h"
#include "memif_bare.h"

static void measure_and_print(const struct bench_memif *small, const struct bench_memif *jumbo)
{
    struct rte_mempool *pool = bench_memif_pool();
    struct bench_rate at_1500 = bench_memif_rate(small, pool, 1514, CW_SECOND);
    struct bench_rate at_9000 = bench_memif_rate(jumbo, pool, 9014, CW_SECOND);
    struct bench_round_trip of_64 = bench_memif_round_trip(jumbo, pool, 64);
    struct bench_round_trip of_4096 = bench_memif_round_trip(jumbo, pool, 4096);
    printf("{\"memif\":{\"packets_per_second_1500\":%.0f,\"gigabits_per_second_1500\":%.3f,"
           "\"packets_per_second_9000\":%.0f,\"gigabits_per_second_9000\":%.3f,"
           "\"round_trip_us_64\":{\"p50\":%.2f,\"p99\":%.2f},"
           "\"round_trip_us_4096\":{\"p50\":%.2f,\"p99\":%.2f}}}\n",
           at_1500.packets, at_1500.gigabits, at_9000.packets, at_9000.gigabits, of_64.p50_us, of_64.p99_us,
           of_4096.p50_us, of_4096.p99_us);
}

int main(void)
{
    char folder[] = "/tmp/bench-memif-XXXXXX", why[256];
    struct cw_eal_config config = {.memory_mb = 384, .may_use_hugepages = true, .lcores = "0@0,1@1"};
    struct bench_memif small, jumbo;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "bench-memif: needs two processors and /tmp\n");
        return 1;
    }
    snprintf(config.file_prefix, sizeof config.file_prefix, "bench-memif-%d", (int)getpid());
    if (cw_eal_start(&config, why, sizeof why) != CW_OK) {
        fprintf(stderr, "bench-memif: %s\n", why);
        return 1;
    }
    bench_memif_open(&small, folder, 0, 1500);
    bench_memif_open(&jumbo, folder, 2, 9000);
    measure_and_print(&small, &jumbo);
    bench_memif_close(&small);
    bench_memif_close(&jumbo);
    cw_eal_stop();
    return rmdir(folder) == 0 ? 0 : 1;
}
