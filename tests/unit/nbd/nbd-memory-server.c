/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NBD server on its own, in front of memory: for trying real clients and for measuring what the front
 * end costs without an engine behind it.
 *
 *     nbd-memory-server SOCKET SIZE [BLOCK_SIZE [BUFFERS [SPIN_US]]]
 *
 * The loop is the engine's in small: reap, flush, submit; spins SPIN_US (default 50) after the last work,
 * then sleeps. SIGINT and SIGTERM stop it in order; SIGUSR1 removes the export and adds it again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/numbers.h"
#include "frontend/nbd.h"
#include "memory.h"

static volatile sig_atomic_t stop_asked, renew_asked;
static struct cw_uring uring;
static struct cw_nbd server;
static struct cw_memory memory;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        renew_asked = 1;
    else
        stop_asked = 1;
    cw_uring_wake(&uring);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void *map(size_t size)
{
    /* Populated: a page fault costs more than what is measured here. */
    void *memory_of_map =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory_of_map == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory_of_map;
}

static void carve(struct cw_arena *arena, uint8_t *data, uint64_t size, uint32_t block_size, uint32_t buffers)
{
    const struct cw_nbd_config config = {.export_connections_max = 64};
    cw_memory_init(&memory, arena, data, size, block_size, buffers);
    cw_nbd_init(&server, arena, &uring, &config);
}

static void export_or_die(const char *path)
{
    char why[256];
    if (cw_nbd_export_add(&server, &memory.volume, path, 0600, (gid_t)-1, why, sizeof why) != CW_OK) {
        fprintf(stderr, "nbd-memory-server: %s\n", why);
        exit(1);
    }
}

static void on_signals(const char *path)
{
    static bool is_renewing;
    if (stop_asked == 1) {
        stop_asked = 2;
        cw_nbd_stop(&server);
    }
    if (renew_asked && stop_asked == 0) {
        renew_asked = 0;
        is_renewing = true;
        cw_nbd_export_remove(&server, &memory.volume);
    }
    if (is_renewing && cw_nbd_export_is_gone(&server, &memory.volume) && stop_asked == 0) {
        is_renewing = false;
        export_or_die(path);
    }
}

static void loop(const char *path, uint64_t spin_ns)
{
    uint64_t busy_ns = now_ns();
    while (!cw_nbd_is_stopped(&server)) {
        uint32_t reaped = cw_uring_reap(&uring, 256);
        on_signals(path);
        if (cw_memory_room_again(&memory))
            cw_nbd_on_room(&server);
        uint64_t now = now_ns();
        cw_nbd_on_time(&server, now);
        bool has_more = cw_nbd_flush(&server);
        if (reaped > 0 || has_more)
            busy_ns = now;
        if (now - busy_ns < spin_ns || memory.is_short)
            cw_uring_submit(&uring);
        else
            cw_uring_sleep(&uring, CW_MIN(cw_nbd_deadline_ns(&server) - now, CW_SECOND));
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: nbd-memory-server SOCKET SIZE [BLOCK_SIZE [BUFFERS [SPIN_US]]]\n");
        return 2;
    }
    uint64_t size = strtoull(argv[2], NULL, 0);
    uint32_t block_size = argc > 3 ? (uint32_t)atoi(argv[3]) : 512;
    uint32_t buffers = argc > 4 ? (uint32_t)atoi(argv[4]) : 1024;
    uint64_t spin_ns = (argc > 5 ? strtoull(argv[5], NULL, 0) : 50) * CW_US;
    char why[256];
    if (cw_uring_init(&uring, 1024, why, sizeof why) != CW_OK) {
        fprintf(stderr, "nbd-memory-server: %s\n", why);
        return 1;
    }
    uint8_t *data = map(size);
    struct cw_arena arena;
    cw_arena_measure(&arena);
    carve(&arena, data, size, block_size, buffers);
    size_t needed = cw_round_up(arena.used, 4096);
    cw_arena_init(&arena, map(needed), needed);
    carve(&arena, data, size, block_size, buffers);
    cw_arena_seal(&arena);
    export_or_die(argv[1]);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    loop(argv[1], spin_ns);
    for (unsigned i = 0; i < CW_NBD_COUNTER_COUNT; i++)
        fprintf(stderr, "%s %llu\n", cw_nbd_counter_names[i],
                (unsigned long long)cw_counter_read(&server.counters[i]));
    fprintf(stderr, "buffers_out %u\n", memory.slices_out);
    cw_uring_fini(&uring);
    return memory.slices_out == 0 ? 0 : 1;
}
