/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths as bad as they come, in virtual time: losses of 30 % in bursts, 750 ms of round trip, reordering,
 * damage, doubling, black holes, a size that shrinks under way, and all of them together; with and without
 * forward error correction, under every rate control, with keys that are replaced every few packets; one to
 * three such paths. Everything arrives once; where a session may go down, what came back undelivered is sent
 * again by whoever sent it, as the layer above does. Memory is that of before (pair.h).
 *
 *     test_transport_scenarios [FIRST COUNT [NAME]]      seeds; tests/soak.sh has thousands
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "pair.h"
#include "transport/session_internal.h"

#define MESSAGES       30u /* a side */
#define LIMIT_NS       (900 * CW_SECOND)
#ifdef __SANITIZE_ADDRESS__
#define SEEDS_OF_SUITE 6u
#else
#define SEEDS_OF_SUITE 18u /* about 20 s of one core */
#endif
#define PATHS_MAX      3u
static_assert(SEEDS_OF_SUITE % PATHS_MAX == 0, "as many of each number of paths");

static struct cw_pair *pair;
static struct cw_rng rng;

struct scenario {
    const char *name;
    struct cw_link_config link;
    uint64_t idle_ns; /* 0: so long that no session ends */
    bool is_mtu_probed;
    uint64_t change_each_ns; /* `change` is called so often; 0: never */
    void (*change)(void);
};

static void set_mtu(uint32_t path, uint32_t mtu)
{
    for (int i = 0; i < 2; i++)
        pair->sides[i].out[path].config.mtu = mtu;
}

/* A path that got smaller, and one day larger again; never below what it must carry. */
static void shrink(void)
{
    static const uint32_t sizes[] = {8972, 4000, 1472, 1400, 1252, 1200};
    uint32_t path = (uint32_t)cw_rng_below(&rng, pair->sides[0].config.path_count);
    uint32_t now = pair->sides[0].out[path].config.mtu;
    for (uint32_t i = 0; i < CW_COUNT_OF(sizes); i++)
        if (sizes[i] < now && cw_rng_below(&rng, 2)) {
            set_mtu(path, sizes[i]);
            return;
        }
    if (cw_rng_below(&rng, 8) == 0)
        set_mtu(path, sizes[0]);
}

#define RATE 12500000u /* 100 Mbit/s */

static const struct scenario scenarios[] = {
    /* Gilbert-Elliott with a bad state that loses all: bursts of 20 in the mean, begun once in 47 */
    {.name = "bursts",
     .link = {.delay_ns = 10 * CW_MS,
              .rate_bytes_per_second = RATE,
              .burst_per_million = 21400,
              .burst_length = 20}},
    {.name = "far",
     .link = {.delay_ns = 375 * CW_MS, .rate_bytes_per_second = RATE, .loss_per_million = 10000}},
    {.name = "reordered",
     .link = {.delay_ns = 10 * CW_MS,
              .rate_bytes_per_second = RATE,
              .jitter_ns = 5 * CW_MS,
              .late_per_million = 100000,
              .late_ns = 60 * CW_MS}},
    {.name = "damaged",
     .link = {.delay_ns = 10 * CW_MS,
              .rate_bytes_per_second = RATE,
              .corrupt_per_million = 20000,
              .truncate_per_million = 5000}},
    {.name = "doubled",
     .link = {.delay_ns = 10 * CW_MS,
              .rate_bytes_per_second = RATE,
              .jitter_ns = 10 * CW_MS,
              .duplicate_per_million = 500000}},
    {.name = "holes",
     .link = {.delay_ns = 10 * CW_MS,
              .rate_bytes_per_second = RATE,
              .hole_period_ns = 5 * CW_SECOND,
              .hole_ns = 2 * CW_SECOND}},
    {.name = "holes-and-ends",
     .link = {.delay_ns = 40 * CW_MS,
              .rate_bytes_per_second = RATE / 50,
              .hole_period_ns = 5 * CW_SECOND,
              .hole_ns = 2 * CW_SECOND},
     .idle_ns = 1500 * CW_MS},
    {.name = "shrinking",
     .link = {.delay_ns = 10 * CW_MS, .rate_bytes_per_second = RATE / 20, .mtu = 8972},
     .is_mtu_probed = true,
     .change_each_ns = 300 * CW_MS,
     .change = shrink},
    {.name = "all",
     .link = {.delay_ns = 50 * CW_MS,
              .rate_bytes_per_second = RATE / 10,
              .queue_ns = 200 * CW_MS,
              .jitter_ns = 2 * CW_MS,
              .loss_per_million = 10000,
              .burst_per_million = 1000,
              .burst_length = 30,
              .duplicate_per_million = 20000,
              .late_per_million = 20000,
              .late_ns = 100 * CW_MS,
              .corrupt_per_million = 5000,
              .truncate_per_million = 2000,
              .mtu = 8972,
              .hole_period_ns = 7 * CW_SECOND,
              .hole_ns = 600 * CW_MS},
     .is_mtu_probed = true,
     .change_each_ns = 700 * CW_MS,
     .change = shrink},
};

/* ---- one of them -----------------------------------------------------------------------------------------
 */

static void draw_fec(struct cw_fec_config *fec)
{
    fec->mode = (enum cw_fec_mode)cw_rng_below(&rng, 3);
    fec->sources = (uint8_t)(1 + cw_rng_below(&rng, 64));
    fec->repairs = (uint8_t)(1 + cw_rng_below(&rng, 4));
    fec->depth = (uint16_t)(1 + cw_rng_below(&rng, 16));
}

static void draw_path(struct cw_session_path_config *path, const struct scenario *scenario)
{
    path->is_mtu_probed = scenario->is_mtu_probed;
    path->datagram_bytes_max = scenario->is_mtu_probed ? 8972 : 1472;
    path->rate_kind = (enum cw_rate_kind)cw_rng_below(&rng, CW_RATE_KIND_COUNT);
    path->rate_bytes_per_second = scenario->link.rate_bytes_per_second;
    path->packets_in_flight_max = 64u << cw_rng_below(&rng, 5);
    if (cw_rng_below(&rng, 3))
        draw_fec(&path->fec);
    if (cw_rng_below(&rng, 2)) /* for 6 % of loss these are too strict: some trip */
        path->guard = (struct cw_fixed_config){.loss_percent = 6, .delay_ns = 5 * CW_MS};
}

static void begin(const struct scenario *scenario, uint64_t seed)
{
    struct cw_session_config configs[2];
    uint32_t path_count = 1 + (uint32_t)(seed % PATHS_MAX);
    cw_pair_defaults(&configs[0], &configs[1], seed);
    for (int i = 0; i < 2; i++) {
        struct cw_session_config *c = &configs[i];
        c->idle_timeout_ns = scenario->idle_ns ? scenario->idle_ns : 60 * CW_SECOND;
        c->path_count = path_count;
        for (uint32_t path = 0; path < path_count; path++) {
            c->paths[path] = c->paths[0];
            c->paths[path].name_hash = 100 + path;
            draw_path(&c->paths[path], scenario);
        }
    }
    cw_pair_init(pair, &configs[0], &configs[1], &scenario->link, seed);
    for (int i = 0; i < 2; i++) {
        pair->sides[i].hold_buffers = cw_rng_below(&rng, 2);
        pair->sides[i].session->rotate_blocks = 100 + cw_rng_below(&rng, 20000);
    }
}

static void send_any(int side)
{
    static const uint32_t bodies[] = {0, 1, 512, 4096, 4097, 16384, 32768, 65536, 131072};
    static const uint32_t heads[] = {4, 15, 16, 32, 96, 2048};
    (void)cw_pair_send(pair, side, (enum cw_stream)cw_rng_below(&rng, CW_STREAM_COUNT),
                       heads[cw_rng_below(&rng, CW_COUNT_OF(heads))],
                       bodies[cw_rng_below(&rng, CW_COUNT_OF(bodies))]);
}

static uint32_t delivered(const struct cw_pair_side *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->sent_count; i++)
        count += s->messages[i].state == CW_PAIR_DELIVERED;
    return count;
}

static bool are_all_delivered(struct cw_pair *of)
{
    return delivered(&of->sides[0]) >= MESSAGES && delivered(&of->sides[1]) >= MESSAGES &&
           cw_pair_is_finished(of);
}

/* Those that are open or were delivered; others came back and are to be sent again. */
static void send_what_lacks(int side)
{
    struct cw_pair_side *s = &pair->sides[side];
    uint32_t open = s->sent_count - s->finished_count;
    for (uint32_t i = delivered(s) + open; i < MESSAGES; i++)
        send_any(side);
}

static void check_end(const struct scenario *scenario)
{
    for (int side = 0; side < 2; side++) {
        struct cw_pair_side *s = &pair->sides[side];
        CW_ASSERT(scenario->idle_ns > 0 || s->downs == 0);
        CW_ASSERT(scenario->idle_ns > 0 || delivered(s) == s->sent_count);
        CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_DROP_FRAME) == 0 && "the peer is honest");
        CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_DROP_CREDIT) == 0 && "likewise");
        CW_ASSERT(cw_pair_counter(pair, side, CW_SESSION_FEC_BAD) == 0 && "likewise");
    }
}

static void run_one(const struct scenario *scenario, uint64_t seed)
{
    rng.state = seed;
    begin(scenario, seed);
    uint64_t end_ns = pair->now_ns + LIMIT_NS, change_ns = pair->now_ns;
    while (!are_all_delivered(pair)) {
        CW_ASSERT(pair->now_ns < end_ns && "it ends");
        for (int side = 0; side < 2; side++)
            send_what_lacks(side);
        if (scenario->change && pair->now_ns >= change_ns) {
            scenario->change();
            change_ns = pair->now_ns + scenario->change_each_ns;
        }
        cw_pair_run(pair, pair->now_ns + cw_rng_below(&rng, 20 * CW_MS), are_all_delivered);
    }
    check_end(scenario);
    cw_pair_fini(pair);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : SEEDS_OF_SUITE;
    pair = calloc(1, sizeof *pair);
    if (pair == NULL)
        return 1;
    for (uint32_t i = 0; i < CW_COUNT_OF(scenarios); i++) {
        uint64_t ran = 0;
        for (uint64_t seed = first; seed < first + count; seed++) {
            if (argc > 3 && strcmp(argv[3], scenarios[i].name) != 0)
                continue;
            fprintf(stderr, "\r%s, seed %lu ", scenarios[i].name,
                    seed); /* the last words of one that fails */
            run_one(&scenarios[i], seed);
            ran++;
        }
        fprintf(stderr, "\r%-20s %lu seeds\n", scenarios[i].name, ran);
    }
    free(pair);
    return 0;
}
