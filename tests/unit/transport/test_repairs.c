/* SPDX-License-Identifier: BSD-3-Clause */
/* Repairs on another path than their sources: what that survives, and what it must not cost. */
#include "paths.h"

#include "wire/packet.h"

#define BODY 131072u

/* The tap loses a packet by breaking its tag, so that it is chosen by what its clear header says. */
static struct {
    bool (*is_lost)(uint32_t path, const struct cw_packet *packet);
    uint32_t lost;
    uint32_t repairs[2][2]; /* of blocks of the first, on the second */
} wire;

static void tap(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    struct cw_packet packet;
    if (from != 0 || cw_packet_check(datagram, length, &packet) != CW_PACKET_OK)
        return;
    if (packet.type == CW_PACKET_REPAIR)
        wire.repairs[packet.position & 1][of->tap_path & 1]++;
    if (!wire.is_lost || packet.type == CW_PACKET_HANDSHAKE || !wire.is_lost(of->tap_path, &packet))
        return;
    datagram[length - 1] ^= 1;
    wire.lost++;
}

static void begin_with(const struct cw_link_config *links, const struct cw_fec_config *fec, uint64_t seed)
{
    configure(2, seed);
    for (int i = 0; i < 2; i++) {
        for (uint32_t path = 0; path < 2; path++) {
            configs[i].paths[path].packets_in_flight_max = 8192;
            configs[i].paths[path].rate_bytes_per_second = links[path].rate_bytes_per_second;
            configs[i].paths[path].fec = fec[path];
        }
        configs[i].messages_max = 256;
        configs[i].receive_count[CW_CLASS_SMALL] = 256;
        configs[i].receive_count[CW_CLASS_MEDIUM] = 64;
        configs[i].receive_count[CW_CLASS_LARGE] = 128;
        configs[i].idle_timeout_ns = 10 * CW_SECOND;
    }
    memset(&wire, 0, sizeof wire);
    begin(links, seed);
    pair->tap = tap;
    go_up();
    assert_int_equal(paths_up(0), 2);
}

/* As much as goes. */
static void load(uint64_t ns)
{
    for (uint64_t end_ns = pair->now_ns + ns; pair->now_ns < end_ns; run(CW_MS))
        while (cw_session_can_send(pair->sides[0].session, CW_STREAM_LIVE, BODY) &&
               cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, BODY))
            continue;
}

static uint64_t sender(uint32_t counter)
{
    return cw_pair_counter(pair, 0, counter);
}

static uint64_t receiver(uint32_t counter)
{
    return cw_pair_counter(pair, 1, counter);
}

static const struct cw_fec_config fec_16_2_8[] = {{CW_FEC_FIXED, 16, 2, 8}, {CW_FEC_FIXED, 16, 2, 8}};
/* A stripe and its repairs take longer than a round trip of much less than this. */
static const struct cw_link_config alike[] = {{.rate_bytes_per_second = 12500000, .delay_ns = 10 * CW_MS},
                                              {.rate_bytes_per_second = 12500000, .delay_ns = 10 * CW_MS}};

/* ---- bursts ------------------------------------------------------------------------------------------ */

/* Runs of depth * repairs on the first path, whatever they are. */
static bool is_in_a_burst(uint32_t path, const struct cw_packet *packet)
{
    static uint32_t count;
    return path == 0 && packet->type != CW_PACKET_CONTROL && count++ % 500 >= 500 - 16;
}

/* A stripe, and what follows it: its repairs, if they were there. */
static bool is_a_stripe_s_end(uint32_t path, const struct cw_packet *packet)
{
    bool is_source = packet->type == CW_PACKET_DATA && packet->fec_repairs > 0;
    static bool is_on;
    if (path != 0)
        return false;
    if (is_source)
        is_on = packet->fec_block % 32 < 8 && packet->fec_index >= 14;
    return is_on && packet->type != CW_PACKET_CONTROL;
}

static void a_burst_with_all_that_follows_it_is_not_sent_again(void **state)
{
    bool (*const bursts[])(uint32_t, const struct cw_packet *) = {is_in_a_burst, is_a_stripe_s_end};
    for (uint32_t i = 0; i < CW_COUNT_OF(bursts); i++) {
        begin_with(alike, fec_16_2_8, 21 + i);
        load(500 * CW_MS);
        uint64_t before = sender(CW_SESSION_RETRANSMITTED);
        wire.is_lost = bursts[i];
        load(CW_SECOND);
        wire.is_lost = NULL;
        uint64_t again = sender(CW_SESSION_RETRANSMITTED) - before;
        expect_all_once();
        printf("  bursts of %s: %u lost, %lu of them sent again\n",
               i == 0 ? "depth * repairs packets" : "a stripe's end and what follows", wire.lost, again);
        assert_true(wire.lost > 200);
        assert_true(again * 50 < wire.lost); /* where the queue was short stripes are narrower */
        assert_true(wire.repairs[0][1] > 20 * wire.repairs[0][0]);
        assert_true(wire.repairs[1][0] > 20 * wire.repairs[1][1]);
        assert_int_equal(stats_of(0, 1).counters[CW_SESSION_FEC_REPAIRS_CROSSED], wire.repairs[0][1]);
        assert_int_equal(receiver(CW_SESSION_FEC_BAD) + receiver(CW_SESSION_DROP_FRAME), 0);
        if (i == 0)
            cw_pair_fini(pair);
    }
}

/* ---- lone writes ------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t times_ns[CW_PAIR_MESSAGES];

static void sort_times(void)
{
    for (uint32_t i = 0; i < pair->sides[0].sent_count; i++)
        times_ns[i] = pair->sides[0].messages[i].arrived_ns - pair->sides[0].messages[i].sent_ns;
    qsort(times_ns, pair->sides[0].sent_count, sizeof times_ns[0], by_size);
}

/* One of the paths is bad (runs of losses, of which writes of one packet see many) or half dead. */
static void lone_writes_do_not_wait_for_a_bad_path(void **state)
{
    static const struct cw_link_config links[] = {{.rate_bytes_per_second = 12500000,
                                                   .delay_ns = 5 * CW_MS,
                                                   .burst_per_million = 50000,
                                                   .burst_length = 2},
                                                  {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS}};
    begin_with(links, fec_16_2_8, 31);
    for (uint32_t i = 0; i < 4000; i++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 1000));
        run(3 * CW_MS);
    }
    expect_all_once();
    sort_times();
    printf("  writes of 1000 bytes, a path loses runs: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, slowest %.2f "
           "ms; %lu lost, %lu sent again\n",
           (double)times_ns[2000] / 1e6, (double)times_ns[3960] / 1e6, (double)times_ns[3996] / 1e6,
           (double)times_ns[3999] / 1e6, sender(CW_SESSION_LOST), sender(CW_SESSION_RETRANSMITTED));
    assert_true(pair->sides[0].out[0].dropped > 100);
    assert_true(times_ns[3960] < 6 * CW_MS);
    assert_true(times_ns[3996] < 6 * CW_MS);
}

/* A write and its repair are of two paths: the end of either is not noticed, but for what was lost before. */
static void a_repair_that_comes_alone_is_enough(void **state)
{
    static const struct cw_link_config links[] = {{.delay_ns = 4 * CW_MS}, {.delay_ns = 5 * CW_MS}};
    begin_with(links, fec_16_2_8, 32);
    for (uint32_t i = 0; i < 50; i++) {
        bool is_last = i == 49;
        if (is_last) /* towards us it goes on living */
            pair->sides[0].out[0].config.loss_per_million = 1000000;
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 500));
        run(5 * CW_MS + CW_MS / 2);
        assert_int_equal(pair->sides[1].arrived_count, i + 1);
        run(6 * CW_MS);
        assert_int_equal(pair->sides[0].finished_count, i + 1); /* and our side knows it */
    }
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), 0);
    assert_true(receiver(CW_SESSION_FEC_EARLY) > 0);
}

/* ---- what is no loss ---------------------------------------------------------------------------------- */

static const struct cw_link_config unlike[] = {
    {.rate_bytes_per_second = 12500000, .delay_ns = 5 * CW_MS, .queue_ns = 50 * CW_MS},
    {.rate_bytes_per_second = 12500000, .delay_ns = 40 * CW_MS, .queue_ns = 50 * CW_MS}};

/* A stripe takes no longer than what is lost waits for its repairs, and on the slow path longer than the fast
 * one's are ahead. */
static const struct cw_fec_config fec_unlike[] = {{CW_FEC_FIXED, 16, 2, 4}, {CW_FEC_FIXED, 32, 2, 16}};

/* Paths that reorder, and of which now one, now the other is there first. */
static void what_is_only_overtaken_is_no_loss(void **state)
{
    static const struct cw_link_config links[] = {
        {.rate_bytes_per_second = 12500000, .delay_ns = 10 * CW_MS, .jitter_ns = CW_MS},
        {.rate_bytes_per_second = 12500000, .delay_ns = 9 * CW_MS, .jitter_ns = CW_MS}};
    begin_with(links, fec_16_2_8, 43);
    load(CW_SECOND);
    expect_all_once();
    printf("  two that reorder, nothing lost: early %lu, taken for lost %lu\n",
           receiver(CW_SESSION_FEC_EARLY), sender(CW_SESSION_LOST));
    assert_true(receiver(CW_SESSION_FEC_EARLY) > 100);
    assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), 0);
    assert_int_equal(sender(CW_SESSION_LOST), 0);
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), 0);
}

/* Repairs of the slow path overtake their sources, those of the fast one do not go round by the slow one. */
static void what_comes_early_is_no_loss(void **state)
{
    begin_with(unlike, fec_unlike, 41);
    load(CW_SECOND);
    for (uint32_t i = 0; i < 300; i++) { /* and stripes of few packets */
        (void)cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 512 << i % 8);
        run(i % 7 * CW_MS);
    }
    expect_all_once();
    printf("  10 and 80 ms, nothing lost: %u repairs of the slow on the fast path, %u on itself; early %lu, "
           "late "
           "%lu, lost %lu\n",
           wire.repairs[1][0], wire.repairs[1][1], receiver(CW_SESSION_FEC_EARLY),
           receiver(CW_SESSION_FEC_LATE), sender(CW_SESSION_LOST));
    assert_int_equal(sender(CW_SESSION_LOST), 0);
    assert_int_equal(sender(CW_SESSION_LOSSES_RECOVERED), 0);
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), 0);
    assert_int_equal(receiver(CW_SESSION_FEC_UNRECOVERABLE), 0);
    assert_true(wire.repairs[1][0] > 400);
    assert_true(receiver(CW_SESSION_FEC_EARLY) > 100);
    assert_int_equal(wire.repairs[0][1], 0);
}

static void losses_of_unlike_paths_are_given_back(void **state)
{
    begin_with(unlike, fec_unlike, 42);
    for (uint32_t path = 0; path < 2; path++)
        pair->sides[0].out[path].config.loss_per_million = 10000;
    load(3 * CW_SECOND);
    expect_all_once();
    run(CW_SECOND);
    uint64_t lost = sender(CW_SESSION_LOST), again = sender(CW_SESSION_RETRANSMITTED);
    uint64_t dropped = pair->sides[0].out[0].dropped + pair->sides[0].out[1].dropped;
    printf("  10 and 80 ms, 1 %% lost: %lu lost (%lu on the links), %lu given back, %lu sent again, %lu were "
           "none\n",
           lost, dropped, sender(CW_SESSION_LOSSES_RECOVERED), again, sender(CW_SESSION_SPURIOUS));
    assert_in_range(lost, dropped * 95 / 100, dropped * 105 / 100); /* honest */
    assert_true(again * 12 < lost);
    assert_true(sender(CW_SESSION_SPURIOUS) * 50 < lost);
}

/* ---- a path that dies ---------------------------------------------------------------------------------- */

static void repairs_come_home_when_a_path_dies(void **state)
{
    begin_with(alike, fec_16_2_8, 51);
    load(500 * CW_MS);
    assert_true(wire.repairs[0][1] > 50);
    assert_true(wire.repairs[0][0] * 20 < wire.repairs[0][1]);
    cut(1, true);
    load(CW_SECOND / 2);
    assert_false(pair->sides[0].is_path_up[1]);
    memset(wire.repairs, 0, sizeof wire.repairs);
    load(CW_SECOND / 2);
    assert_true(wire.repairs[0][0] > 100);
    assert_int_equal(wire.repairs[0][1] + wire.repairs[1][0] + wire.repairs[1][1], 0);
    cut(1, false);
    load(CW_SECOND);
    assert_int_equal(paths_up(0), 2);
    assert_true(wire.repairs[0][1] > 50);
    expect_all_once();
}

/* One that has no room for them does not get them. */
static void a_narrow_path_does_not_hold_up_repairs(void **state)
{
    static const struct cw_link_config links[] = {{.rate_bytes_per_second = 50000000, .delay_ns = 5 * CW_MS},
                                                  {.rate_bytes_per_second = 1000000, .delay_ns = 5 * CW_MS}};
    begin_with(links, fec_16_2_8, 52);
    load(2 * CW_SECOND);
    expect_all_once();
    printf(
        "  50 beside 1 MB/s: %u repairs of the wide path on itself, %u on the narrow one; unprotected %lu\n",
        wire.repairs[0][0], wire.repairs[0][1], sender(CW_SESSION_FEC_UNPROTECTED));
    assert_true(wire.repairs[0][0] > 1000);
    assert_true(wire.repairs[0][1] > 50);
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), 0);
    assert_true(sender(CW_SESSION_FEC_UNPROTECTED) * 50 < stats_of(0, 0).counters[CW_SESSION_DATAGRAMS_OUT]);
}

/* A path with small datagrams carries no repair that it cannot hold, but its own go round by the other. */
static void repairs_fit_the_datagrams_of_the_path(void **state)
{
    configure(2, 53);
    for (int i = 0; i < 2; i++) {
        for (uint32_t path = 0; path < 2; path++) {
            configs[i].paths[path].fec = fec_16_2_8[0];
            configs[i].paths[path].packets_in_flight_max = 4096;
        }
        configs[i].paths[1].datagram_bytes_max = 4000;
    }
    memset(&wire, 0, sizeof wire);
    begin(good_links, 53);
    pair->tap = tap;
    go_up();
    load(CW_SECOND);
    expect_all_once();
    assert_true(wire.repairs[0][1] > 50);
    assert_true(wire.repairs[1][1] > 50);
    assert_true(wire.repairs[1][0] * 10 < wire.repairs[1][1]);
}

/* Forward error correction on one of them only: the other carries its repairs. */
static void a_path_without_it_carries_repairs(void **state)
{
    configure(2, 54);
    configs[0].paths[0].fec = configs[1].paths[0].fec = fec_16_2_8[0];
    memset(&wire, 0, sizeof wire);
    begin(good_links, 54);
    pair->tap = tap;
    go_up();
    load(CW_SECOND);
    expect_all_once();
    assert_true(wire.repairs[0][1] > 50);
    assert_int_equal(wire.repairs[1][0] + wire.repairs[1][1], 0);
    assert_int_equal(receiver(CW_SESSION_DROP_FRAME), 0);
}

/* ---- anything ---------------------------------------------------------------------------------------- */

static void everything_arrives_whatever_the_paths_do(void **state)
{
    static const uint32_t bodies[] = {0, 512, 4096, 32768, 131072};
    uint64_t crossed = 0, early = 0, recovered = 0;
    for (uint64_t seed = 1; seed <= CW_PAIR_SEEDS(60u); seed++) {
        struct cw_link_config link;
        struct cw_rng rng = {seed};
        if (seed > 1)
            cw_pair_fini(pair);
        cw_pair_adversary(&configs[0], &configs[1], &link, &rng, seed);
        configure(2 + seed % 2, seed);
        for (int i = 0; i < 2; i++) {
            configs[i].idle_timeout_ns = 30 * CW_SECOND;
            for (uint32_t path = 0; path < configs[i].path_count; path++) {
                configs[i].paths[path].fec = (struct cw_fec_config){
                    cw_rng_below(&rng, 5) ? CW_FEC_FIXED : CW_FEC_OFF, (uint8_t)(1 + cw_rng_below(&rng, 40)),
                    (uint8_t)(1 + cw_rng_below(&rng, 8)), (uint16_t)(1 + cw_rng_below(&rng, 20))};
                configs[i].paths[path].rate_kind = (enum cw_rate_kind)cw_rng_below(&rng, CW_RATE_KIND_COUNT);
            }
        }
        cw_pair_init(pair, &configs[0], &configs[1], &link, seed);
        for (uint32_t path = 0; path < configs[0].path_count; path++)
            pair->sides[path & 1].out[path].config.delay_ns = cw_rng_below(&rng, 60 * CW_MS);
        uint64_t end_ns = pair->now_ns + 300 * CW_SECOND;
        while (pair->sides[0].sent_count + pair->sides[1].sent_count < 60 && pair->now_ns < end_ns) {
            for (int i = 0; i < 8; i++)
                cw_pair_send(pair, (int)cw_rng_below(&rng, 2),
                             (enum cw_stream)cw_rng_below(&rng, CW_STREAM_COUNT), 96,
                             bodies[cw_rng_below(&rng, CW_COUNT_OF(bodies))]);
            run(cw_rng_below(&rng, 5 * CW_MS));
        }
        expect_all_once();
        for (int side = 0; side < 2; side++) {
            assert_int_equal(cw_pair_counter(pair, side, CW_SESSION_FEC_BAD), 0);
            assert_int_equal(cw_pair_counter(pair, side, CW_SESSION_DROP_FRAME), 0);
            crossed += cw_pair_counter(pair, side, CW_SESSION_FEC_REPAIRS_CROSSED);
            early += cw_pair_counter(pair, side, CW_SESSION_FEC_EARLY);
            recovered += cw_pair_counter(pair, side, CW_SESSION_FEC_RECOVERED);
        }
    }
    assert_true(crossed > CW_PAIR_SEEDS(1000u));
    assert_true(early > CW_PAIR_SEEDS(100u));
    assert_true(recovered > CW_PAIR_SEEDS(1000u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_burst_with_all_that_follows_it_is_not_sent_again),
        STORY(lone_writes_do_not_wait_for_a_bad_path),
        STORY(a_repair_that_comes_alone_is_enough),
        STORY(what_comes_early_is_no_loss),
        STORY(what_is_only_overtaken_is_no_loss),
        STORY(losses_of_unlike_paths_are_given_back),
        STORY(repairs_come_home_when_a_path_dies),
        STORY(a_narrow_path_does_not_hold_up_repairs),
        STORY(repairs_fit_the_datagrams_of_the_path),
        STORY(a_path_without_it_carries_repairs),
        STORY(everything_arrives_whatever_the_paths_do),
    };
    return cmocka_run_group_tests_name("transport/repairs", tests, NULL, NULL);
}
