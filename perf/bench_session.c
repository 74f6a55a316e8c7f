/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two sessions back to back in one thread and in virtual time, under a seal that does nothing: what is left
 * is the transport's own work for a datagram (fragment, headers, in-flight map, reassembly, acks). A message
 * of 128 KiB is one step: both ends' whole work for it, its acks and its credit.
 */
#include "bench_micro_c.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "tests/lib/null_aead.h"
#include "transport/session.h"

#define BODY_BYTES 131072u
#define STEP_NS    (20 * CW_US)

struct bench_session {
    struct cw_session *sides[2];
    void *memory[2];
    uint64_t now_ns, datagrams, delivered;
    bool is_timed; /* what the sender does for acks is counted in ack_ns */
    uint64_t ack_ns;
    uint8_t datagram[9216];
    uint8_t body[BODY_BYTES];
};

static struct cw_session *make(struct bench_session *bench, int side, const struct cw_session_config *config)
{
    struct cw_arena arena;
    cw_arena_measure(&arena);
    (void)cw_session_new(config, &arena, 0);
    size_t size = cw_round_up(arena.used, 4096);
    bench->memory[side] = aligned_alloc(4096, size);
    CW_ASSERT(bench->memory[side] != NULL);
    cw_arena_init(&arena, bench->memory[side], size);
    return cw_session_new(config, &arena, 0);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CW_SECOND + (uint64_t)now.tv_nsec;
}

static void deliver(struct bench_session *bench, int to, size_t length)
{
    uint64_t begin_ns = bench->is_timed && to == 0 ? clock_ns() : 0;
    cw_session_on_datagram(bench->sides[to], 0, bench->datagram, length, bench->now_ns);
    if (begin_ns > 0)
        bench->ack_ns += clock_ns() - begin_ns;
}

/* Everything that one side may send now goes to the other at once. */
static void carry(struct bench_session *bench, int from)
{
    size_t length;
    while ((length = cw_session_transmit(bench->sides[from], 0, bench->datagram, bench->now_ns)) > 0) {
        deliver(bench, !from, length);
        bench->datagrams += from == 0 || !bench->is_timed;
    }
}

static void turn(struct bench_session *bench)
{
    struct cw_session_event event;
    bench->now_ns += STEP_NS;
    for (int side = 0; side < 2; side++) {
        if (cw_session_deadline_ns(bench->sides[side]) <= bench->now_ns)
            cw_session_on_time(bench->sides[side], bench->now_ns);
        carry(bench, side);
    }
    for (int side = 0; side < 2; side++) {
        while (cw_session_event(bench->sides[side], &event)) {
            if (event.type == CW_SESSION_RECEIVED)
                cw_session_release(bench->sides[side], event.received.buffer);
            bench->delivered += event.type == CW_SESSION_SENT && event.delivered;
        }
    }
}

struct bench_session *bench_session_new(size_t datagram_bytes)
{
    struct bench_session *bench = calloc(1, sizeof *bench);
    CW_ASSERT(bench != NULL);
    CW_ASSERT(datagram_bytes <= sizeof bench->datagram);
    for (int side = 0; side < 2; side++) {
        struct cw_session_config config = {
            .is_initiator = side == 0,
            .aead = &null_aead,
            .path_count = 1,
            .paths = {{.datagram_bytes_max = (uint32_t)datagram_bytes,
                       .rate_bytes_per_second = 12500000000ull,
                       .packets_in_flight_max = 4096}},
            .messages_max = 256,
            .receive_count = {64, 16, 32},
        };
        memcpy(config.local_name, side == 0 ? "east" : "west", 5);
        memcpy(config.remote_name, side == 0 ? "west" : "east", 5);
        config.seed[0] = (uint8_t)(side + 1);
        bench->sides[side] = make(bench, side, &config);
    }
    while (!cw_session_can_send(bench->sides[0], CW_STREAM_LIVE, BODY_BYTES))
        turn(bench);
    return bench;
}

uint64_t bench_session_message(struct bench_session *bench)
{
    static const uint8_t head[96];
    uint64_t datagrams = bench->datagrams, delivered = bench->delivered;
    while (cw_session_send(bench->sides[0], CW_STREAM_LIVE, head, sizeof head, bench->body, BODY_BYTES, 1) !=
           CW_OK)
        turn(bench);
    while (bench->delivered == delivered)
        turn(bench);
    return bench->datagrams - datagrams;
}

uint64_t bench_session_acks(struct bench_session *bench, uint64_t *datagrams)
{
    uint64_t ack_ns = bench->ack_ns;
    bench->is_timed = true;
    *datagrams = bench_session_message(bench);
    bench->is_timed = false;
    return bench->ack_ns - ack_ns;
}

void bench_session_free(struct bench_session *bench)
{
    for (int side = 0; side < 2; side++)
        free(bench->memory[side]);
    free(bench);
}
