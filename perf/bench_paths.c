/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One session on several paths, each through an emulated WAN: what each path carries alone, what they carry
 * together, and how long what was sent stands still when one of them is cut under full load. Prints one line
 * of JSON.
 *
 *     bench-paths WANEM SPEC MBIT SECONDS
 *
 * MBIT is what is sent on each path, a little less than its line carries: what is measured is how a session
 * spreads what it has, and no controller. Both ends are turned by one thread on one CPU; the wanems share the
 * other one. Both rest when they have nothing to do, so that neither keeps the other from its time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "bench_end.h"
#include "memif_bare.h"
#include "program.h"
#include "transport/session_internal.h"
#include "wanem/pair.h"

#define PATHS      2u
#define BODY_BYTES 131072u
#define MESSAGES   64u
#define IN_FLIGHT  32768u
#define UP_NS      (10 * CW_SECOND)
#define WARM_NS    (2 * CW_SECOND)
#define CUT_NS     (3 * CW_SECOND)
#define ORDER_RING 1024u
static_assert(ORDER_RING > 2 * MESSAGES - 1, "a number is clear again before it comes anew");

static uint64_t rate_bytes; /* a second, of each path */
static struct bench_end near_end, far_end;
static struct cw_wanem_pair wans[PATHS];

/* How long the first message that has not come holds up those behind it. */
static struct {
    bool has_come[ORDER_RING];
    uint64_t next, moved_ns, longest_ns;
} order;

static void note_order(struct bench_end *end, uint64_t number, uint64_t sent_ns)
{
    order.has_come[number % ORDER_RING] = true;
    if (number != order.next)
        return;
    order.longest_ns = CW_MAX(order.longest_ns, end->now_ns - order.moved_ns);
    order.moved_ns = end->now_ns;
    for (; order.has_come[order.next % ORDER_RING]; order.next++)
        order.has_come[order.next % ORDER_RING] = false;
}

static void turn(void)
{
    bench_end_feed(&near_end, BODY_BYTES);
    bench_end_turn(&near_end);
    bench_end_turn(&far_end);
}

static void run_for(uint64_t duration_ns)
{
    uint64_t begin_ns = bench_now_ns();
    do {
        turn();
    } while (near_end.now_ns - begin_ns < duration_ns);
}

/* A session on `count` paths from `first` on, up and warm on all of them. */
static void open_session(uint32_t first, uint32_t count)
{
    struct bench_end_config config = {.is_initiator = true,
                                      .rate_kind = CW_RATE_FIXED,
                                      .rate_bytes_per_second = rate_bytes,
                                      .packets_in_flight = IN_FLIGHT,
                                      .messages = MESSAGES,
                                      .path_count = count};
    for (uint32_t i = 0; i < count; i++)
        config.ports[i] = wans[first + i].ports[0];
    bench_end_open(&near_end, &config);
    config.is_initiator = false;
    for (uint32_t i = 0; i < count; i++)
        config.ports[i] = wans[first + i].ports[1];
    bench_end_open(&far_end, &config);
    memset(&order, 0, sizeof order);
    far_end.on_received = note_order;
    uint64_t begin_ns = bench_now_ns();
    while (!near_end.is_up) {
        bench_end_turn(&near_end);
        bench_end_turn(&far_end);
        if (near_end.now_ns - begin_ns > UP_NS)
            bench_fail("the session does not come up");
    }
    run_for(WARM_NS);
}

static void close_session(void)
{
    bench_end_close(&near_end);
    bench_end_close(&far_end);
}

/* Megabits a second of what came. */
static double goodput(uint64_t seconds)
{
    uint64_t begin_ns = far_end.now_ns, bytes = far_end.received_bytes;
    run_for(seconds * CW_SECOND);
    return (double)(far_end.received_bytes - bytes) * 8e3 / (double)(far_end.now_ns - begin_ns);
}

static uint64_t probe_ns(const struct bench_end *end)
{
    uint64_t longest_ns = 0;
    for (uint32_t i = 0; i < PATHS; i++)
        longest_ns = CW_MAX(longest_ns, cw_loss_probe_wait_ns(&end->session->paths[i].loss));
    return longest_ns;
}

/* Nothing passes the last path any more, in no direction, and nobody is told. What had been sent must come.
 */
static void cut_one(void)
{
    order.longest_ns = 0;
    run_for(CUT_NS);
    double before_ms = (double)order.longest_ns * 1e-6;
    order.longest_ns = 0;
    double limit_ms = 3e-6 * (double)probe_ns(&near_end);
    for (unsigned end = 0; end < 2; end++)
        cw_port_cut_set(wans[PATHS - 1].ports[end], true, true);
    run_for(CUT_NS);
    uint64_t begin_ns = near_end.now_ns;
    while (order.next < near_end.sent_messages) {
        bench_end_turn(&near_end);
        bench_end_turn(&far_end);
        if (near_end.now_ns - begin_ns > UP_NS)
            bench_fail("what was sent before one path was cut does not arrive");
    }
    printf(",\"stall_ms\":%.3f,\"probes_ms\":%.3f,\"before_ms\":%.3f", (double)order.longest_ns * 1e-6,
           limit_ms, before_ms);
    if (near_end.gap_count > 0 || far_end.gap_count > 0)
        bench_fail("the session went down when one of its paths did");
}

static void open_wans(const char *program, const char *spec)
{
    char why[512];
    for (unsigned i = 0; i < PATHS; i++) {
        const char *const more[] = {"--wan", spec, "--poll", "adaptive", "--cpu", "1", NULL};
        if (!cw_wanem_pair_open(&wans[i], program, 1500, more, why, sizeof why))
            bench_fail(why);
    }
}

static void close_wans(void)
{
    static char json[4096];
    uint64_t dropped = 0;
    for (unsigned i = 0; i < PATHS; i++) {
        if (!cw_wanem_pair_close(&wans[i], json, sizeof json))
            bench_fail("wanem did not end well");
        dropped += cw_wanem_counter(json, "drop_no_memory", 0);
    }
    printf(",\"wanem_no_memory\":%lu", dropped);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "bench-paths WANEM SPEC MBIT SECONDS\n");
        return 2;
    }
    bench_start("bench-paths", "0@0", 384);
    rate_bytes = bench_number(argv[3], 100000) * 125000;
    uint64_t seconds = bench_number(argv[4], 3600);
    open_wans(argv[1], argv[2]);
    printf("{\"paths\":{\"alone\":[");
    for (uint32_t i = 0; i < PATHS; i++) {
        open_session(i, 1);
        printf("%s%.1f", i == 0 ? "" : ",", goodput(seconds));
        close_session();
    }
    open_session(0, PATHS);
    printf("],\"both\":%.1f", goodput(seconds));
    cut_one();
    close_session();
    close_wans();
    printf("}}\n");
    cw_eal_stop();
    return 0;
}
