/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What leaves a session of one to three paths with forward error correction, in which order, and what is said
 * of it: a write has left only when its packets and their repairs have, on whichever paths; repairs of a
 * resync wait while live data does.
 */
#include "paths.h"

#include "wire/packet.h"

#define BLOCKS 4096u

static const struct cw_link_config slow_links[CW_SESSION_PATHS_MAX] = {
    {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 10000000},
    {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 10000000},
    {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 10000000}};

static struct {
    uint64_t told; /* live messages that had left, as of the datagram before */
    struct {
        uint64_t first; /* lowest live message that is in it */
        uint8_t stream; /* of its sources, which are all of one lane */
    } blocks[CW_SESSION_PATHS_MAX][BLOCKS];
    uint32_t live_repairs[CW_SESSION_PATHS_MAX], bulk_repairs;
    uint32_t sources[CW_SESSION_PATHS_MAX];
} departures;

static uint64_t left_now(void)
{
    return cw_session_live_left(pair->sides[0].session);
}

/* A first packet of a message; one that is sent again says nothing of what has left. */
static void on_source(const struct cw_packet *packet, uint32_t path)
{
    bool is_again = packet->flags & CW_PACKET_RETRANSMISSION, is_live = packet->stream == CW_STREAM_LIVE;
    assert_true(!is_live || is_again || packet->position >= departures.told);
    if (packet->fec_repairs == 0)
        return;
    if (packet->fec_index == 0)
        departures.blocks[path][packet->fec_block % BLOCKS].first = UINT64_MAX;
    departures.blocks[path][packet->fec_block % BLOCKS].stream = packet->stream;
    uint64_t *first = &departures.blocks[path][packet->fec_block % BLOCKS].first;
    if (is_live && !is_again)
        *first = CW_MIN(*first, packet->position);
    departures.sources[path] += is_live;
}

/* Neither of what was said to have left, nor of a resync before what is live, on whichever path. */
static void on_repair(const struct cw_packet *packet)
{
    uint32_t path = 0;
    while (pair->sides[0].session->paths[path].live->number != packet->position)
        path++;
    assert_true(departures.blocks[path][packet->fec_block % BLOCKS].first >= departures.told);
    if (departures.blocks[path][packet->fec_block % BLOCKS].stream != CW_STREAM_RESYNC) {
        departures.live_repairs[path]++;
        return;
    }
    departures.bulk_repairs++;
    assert_int_equal(cw_send_waiting_units(&pair->sides[0].session->send, CW_STREAM_LIVE), 0);
}

static void watch(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    struct cw_packet packet;
    if (from != 0 || cw_packet_check(datagram, length, &packet) != CW_PACKET_OK)
        return;
    if (packet.type == CW_PACKET_DATA)
        on_source(&packet, of->tap_path);
    if (packet.type == CW_PACKET_REPAIR)
        on_repair(&packet);
    assert_true(left_now() >= departures.told);
    departures.told = left_now();
}

static void begin_watched(uint32_t count, struct cw_fec_config fec, uint64_t seed)
{
    memset(&departures, 0, sizeof departures);
    configure(count, seed);
    for (int side = 0; side < 2; side++)
        for (uint32_t path = 0; path < count; path++) {
            configs[side].paths[path].fec = fec;
            configs[side].paths[path].packets_in_flight_max = 4096;
        }
    begin(slow_links, seed);
    pair->tap = watch;
    go_up();
}

static const struct cw_fec_config fec_8_2_2 = {CW_FEC_FIXED, 8, 2, 2};

/* The next datagram that any path has to send, looked at and then thrown away. */
static uint8_t next_type(uint32_t first_path)
{
    static uint8_t datagram[9000];
    struct cw_packet packet;
    for (uint32_t i = 0; i < pair->sides[0].session->config.path_count; i++) {
        pair->tap_path = (first_path + i) % pair->sides[0].session->config.path_count;
        size_t length = cw_session_transmit(pair->sides[0].session, pair->tap_path, datagram, pair->now_ns);
        if (length == 0)
            continue;
        assert_int_equal(cw_packet_check(datagram, length, &packet), CW_PACKET_OK);
        watch(pair, 0, datagram, length);
        return packet.type;
    }
    return 0;
}

/* One packet each: it has not left until its repair has, whichever path takes them. */
static void on_any_path_left_is_with_the_repairs(void **state)
{
    begin_watched(3, fec_8_2_2, 1);
    for (uint32_t message = 0; message < 60; message++) {
        uint8_t type;
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 100));
        while ((type = next_type(message % 3)) != CW_PACKET_REPAIR) {
            assert_int_not_equal(type, 0);
            assert_int_equal(left_now(), message);
        }
        assert_int_equal(left_now(), message + 1);
        run(200 * CW_MS); /* it is found missing, and sent again */
    }
    for (uint32_t path = 0; path < 3; path++)
        assert_true(departures.sources[path] > 5);
    expect_all_once();
}

static void on_no_path_leaves_what_is_said_to_have_left(void **state)
{
    for (uint32_t count = 1; count <= 3; count++) {
        begin_watched(count, fec_8_2_2, 10 + count);
        for (uint32_t path = 0; path < count; path++)
            pair->sides[0].out[path].config.loss_per_million = 20000;
        for (uint32_t i = 0; i < 300; i++) {
            for (uint32_t j = cw_rng_below(&pair->rng, 5); j > 0; j--)
                (void)cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, cw_rng_below(&pair->rng, 3) ? 20000 : 100);
            run(cw_rng_below(&pair->rng, 4 * CW_MS));
        }
        expect_all_once();
        run(CW_SECOND);
        assert_int_equal(left_now(), pair->sides[0].sent_count);
        for (uint32_t path = 0; path < count; path++)
            assert_true(departures.live_repairs[path] > 50);
        if (count < 3)
            cw_pair_fini(pair);
    }
}

static void repairs_of_a_resync_wait_for_live_data(void **state)
{
    for (uint32_t count = 1; count <= 3; count++) {
        begin_watched(count, fec_8_2_2, 20 + count);
        for (uint32_t i = 0; i < 300; i++) {
            while (cw_session_can_send(pair->sides[0].session, CW_STREAM_RESYNC, 65536))
                assert_true(cw_pair_send(pair, 0, CW_STREAM_RESYNC, 96, 65536));
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
            run(cw_rng_below(&pair->rng, 4 * CW_MS));
        }
        expect_all_once();
        assert_true(departures.bulk_repairs > 300);
        if (count < 3)
            cw_pair_fini(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(on_any_path_left_is_with_the_repairs),
        STORY(on_no_path_leaves_what_is_said_to_have_left),
        STORY(repairs_of_a_resync_wait_for_live_data),
    };
    return cmocka_run_group_tests_name("transport/departures", tests, NULL, NULL);
}
