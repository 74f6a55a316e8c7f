/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forward error correction in two sessions over a link: what is lost within what repairs can give back is
 * never sent again, statistics stay honest, and whatever else happens all arrives once.
 *
 * The tap loses a packet by breaking its tag, so that it is chosen by what its clear header says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "pair.h"
#include "transport/fec_auto.h"
#include "transport/fec_sender.h"
#include "transport/session_internal.h"
#include "wire/packet.h"

static struct cw_pair *pair;
static struct {
    bool (*is_lost)(const struct cw_packet *packet);
    uint32_t lost, repairs, sources;
} wire;

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    wire.is_lost = NULL;
    wire.lost = wire.repairs = wire.sources = 0;
    return pair ? 0 : -1;
}

static int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    return 0;
}

/* Of side 0 only. */
static void tap(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    struct cw_packet packet;
    if (from != 0 || cw_packet_check(datagram, length, &packet) != CW_PACKET_OK)
        return;
    wire.repairs += packet.type == CW_PACKET_REPAIR;
    wire.sources += packet.type == CW_PACKET_DATA && packet.fec_repairs > 0;
    if (!wire.is_lost || packet.type == CW_PACKET_HANDSHAKE || !wire.is_lost(&packet))
        return;
    datagram[length - 1] ^= 1;
    wire.lost++;
}

static void begin(const struct cw_link_config *link, struct cw_fec_config fec, uint64_t seed)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, seed);
    initiator.paths[0].fec = responder.paths[0].fec = fec;
    initiator.paths[0].packets_in_flight_max = responder.paths[0].packets_in_flight_max = 4096;
    for (int c = 0; c < CW_CLASS_COUNT; c++)
        initiator.receive_count[c] = responder.receive_count[c] = 64;
    initiator.paths[0].rate_bytes_per_second = responder.paths[0].rate_bytes_per_second =
        link->rate_bytes_per_second;
    cw_pair_init(pair, &initiator, &responder, link, seed);
    pair->tap = tap;
    assert_true(cw_pair_run(pair, pair->now_ns + 2 * CW_SECOND, cw_pair_is_up));
    assert_true(cw_pair_run(pair, pair->now_ns + 300 * CW_MS, NULL)); /* credit */
}

/* Side 0 sends so many messages as fast as they are taken, and all come back delivered. */
static void send_all(uint32_t count, enum cw_stream stream, uint32_t body_length)
{
    uint64_t end_ns = pair->now_ns + 300 * CW_SECOND;
    struct cw_pair_side *s = &pair->sides[0];
    uint32_t all = s->sent_count + count;
    while (s->sent_count < all && pair->now_ns < end_ns)
        if (!cw_pair_send(pair, 0, stream, 96, body_length))
            cw_pair_run(pair, pair->now_ns + CW_MS / 10, NULL);
    assert_true(cw_pair_run(pair, end_ns, cw_pair_is_finished));
    for (uint32_t i = 0; i < s->sent_count; i++)
        assert_int_equal(s->messages[i].state, CW_PAIR_DELIVERED);
    assert_int_equal(s->downs, 0);
    cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL); /* the last acks */
}

static uint64_t sender(uint32_t counter)
{
    return cw_pair_counter(pair, 0, counter);
}

static uint64_t receiver(uint32_t counter)
{
    return cw_pair_counter(pair, 1, counter);
}

static const struct cw_fec_config fec_32_2_4 = {CW_FEC_FIXED, 32, 2, 4};

/* ---- within what repairs give back ------------------------------------------------------------------- */

/* The last two of a block that is (about) full, or the first of any block. */
static bool is_one_or_two_of_a_block(const struct cw_packet *packet)
{
    if (packet->type != CW_PACKET_DATA || packet->fec_repairs == 0)
        return false;
    return packet->fec_block & 1 ? packet->fec_index >= 30 : packet->fec_index == 0;
}

static void losses_that_repairs_give_back_are_not_sent_again(void **state)
{
    static const struct cw_link_config links[] = {
        {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 125000000},
        {.delay_ns = 40 * CW_MS, .rate_bytes_per_second = 125000000},
        {.delay_ns = 40 * CW_MS, .rate_bytes_per_second = 1250000},
        {.delay_ns = 40 * CW_MS},
    };
    for (uint32_t i = 0; i < CW_COUNT_OF(links); i++) {
        if (i > 0)
            cw_pair_fini(pair);
        wire.is_lost = NULL;
        begin(&links[i], fec_32_2_4, 31 + i);
        wire.is_lost = is_one_or_two_of_a_block;
        wire.lost = 0;
        uint64_t before = sender(CW_SESSION_RETRANSMITTED);
        send_all(150, CW_STREAM_LIVE, 65536);
        send_all(50, CW_STREAM_RESYNC, 131072);
        assert_true(wire.lost > 200);
        assert_int_equal(sender(CW_SESSION_RETRANSMITTED) - before, 0);
        assert_int_equal(receiver(CW_SESSION_DUPLICATE), 0);
        assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), wire.lost);
        assert_int_equal(receiver(CW_SESSION_FEC_UNRECOVERABLE), 0);
        assert_int_equal(sender(CW_SESSION_SPURIOUS), 0);
        if (links[i].rate_bytes_per_second == 0)
            continue; /* all in one instant: more gaps than an ACK has ranges */
        assert_int_equal(sender(CW_SESSION_LOST), wire.lost); /* honest */
        assert_int_equal(sender(CW_SESSION_LOSSES_RECOVERED), wire.lost);
    }
}

static bool is_every_data(const struct cw_packet *packet)
{
    return packet->type == CW_PACKET_DATA;
}

/* A write alone, and its packet lost: the repair comes right behind it. */
static void a_lone_packet_that_is_lost_comes_at_once(void **state)
{
    struct cw_link_config link = {.delay_ns = 50 * CW_MS, .rate_bytes_per_second = 125000000};
    begin(&link, fec_32_2_4, 41);
    wire.is_lost = is_every_data;
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 512));
        cw_pair_run(pair, pair->now_ns + link.delay_ns + CW_MS / 10, NULL);
        assert_int_equal(pair->sides[1].arrived_count, i + 1);
        cw_pair_run(pair, pair->now_ns + 200 * CW_MS, NULL);
    }
    assert_int_equal(wire.lost, 20);
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), 0);
}

/* Bulk traffic is striped: a burst as long as depth * repairs is nothing. */
static bool is_in_a_burst(const struct cw_packet *packet)
{
    static uint32_t count;
    if (packet->type == CW_PACKET_CONTROL)
        return false;
    return count++ % 1000 >= 1000 - 32;
}

static void a_burst_within_a_stripe_is_not_sent_again(void **state)
{
    struct cw_link_config link = {.delay_ns = 20 * CW_MS, .rate_bytes_per_second = 125000000};
    begin(&link, (struct cw_fec_config){CW_FEC_FIXED, 16, 2, 16}, 42);
    wire.is_lost = is_in_a_burst;
    send_all(150, CW_STREAM_LIVE, 131072);
    assert_true(wire.lost >= 13 * 32);
    /* stripes are narrower where the queue was short, so not all bursts are within one */
    assert_true(sender(CW_SESSION_RETRANSMITTED) * 20 < wire.lost);
}

/* ---- beyond it --------------------------------------------------------------------------------------- */

static bool is_three_of_some_blocks(const struct cw_packet *packet)
{
    return packet->type == CW_PACKET_DATA && packet->fec_repairs > 0 && packet->fec_block % 8 == 1 &&
           packet->fec_index < 3 && !(packet->flags & CW_PACKET_RETRANSMISSION);
}

static void what_repairs_cannot_give_back_is_sent_again(void **state)
{
    struct cw_link_config link = {.delay_ns = 20 * CW_MS, .rate_bytes_per_second = 125000000};
    begin(&link, fec_32_2_4, 43);
    wire.is_lost = is_three_of_some_blocks;
    send_all(200, CW_STREAM_LIVE, 131072);
    assert_true(wire.lost > 100);
    assert_int_equal(sender(CW_SESSION_RETRANSMITTED), wire.lost);
    assert_int_equal(sender(CW_SESSION_LOST), wire.lost);
    assert_int_equal(receiver(CW_SESSION_DUPLICATE), 0);
    assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), 0);
    assert_true(receiver(CW_SESSION_FEC_UNRECOVERABLE) > 30);
}

/* (32,2) leaves 4.3e-4 of the sources where 1e-2 are lost (test_fec_blocks): a 23rd. */
static void of_random_losses_few_are_sent_again(void **state)
{
    struct cw_link_config link = {
        .delay_ns = 20 * CW_MS, .rate_bytes_per_second = 125000000, .loss_per_million = 10000};
    begin(&link, fec_32_2_4, 44);
    send_all(900, CW_STREAM_LIVE, 131072);
    uint64_t lost = sender(CW_SESSION_LOST), again = sender(CW_SESSION_RETRANSMITTED);
    assert_in_range(lost, 600, 1300);
    assert_true(again * 12 < lost);
    assert_true(again > 0);
    assert_true(sender(CW_SESSION_SPURIOUS) * 50 < lost);
    assert_true(sender(CW_SESSION_LOSSES_RECOVERED) * 100 >=
                85 * lost); /* the rest were repairs, and residue */
}

/* Narrow or wide, the overhead of a full queue is that of the code. */
static void the_overhead_is_that_of_the_code(void **state)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 125000000};
    begin(&link, fec_32_2_4, 45);
    send_all(300, CW_STREAM_LIVE, 131072);
    assert_true(wire.sources > 300 * 94);
    assert_true(wire.repairs * 32 >= wire.sources * 2);
    assert_true(wire.repairs * 32 * 10 < wire.sources * 2 * 12);
    assert_int_equal(sender(CW_SESSION_FEC_REPAIRS_OUT), wire.repairs);
    assert_int_equal(receiver(CW_SESSION_FEC_REPAIRS_IN), wire.repairs);
    assert_int_equal(receiver(CW_SESSION_FEC_LATE) + receiver(CW_SESSION_FEC_BAD), 0);
}

/* ---- who has it -------------------------------------------------------------------------------------- */

static void one_side_without_it_means_none(void **state)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS};
    for (int without = 0; without < 2; without++) {
        struct cw_session_config initiator, responder;
        cw_pair_defaults(&initiator, &responder, 46);
        (without == 0 ? &responder : &initiator)->paths[0].fec = fec_32_2_4;
        if (without == 1)
            cw_pair_fini(pair);
        cw_pair_init(pair, &initiator, &responder, &link, 46);
        pair->tap = tap;
        assert_true(cw_pair_run(pair, pair->now_ns + 2 * CW_SECOND, cw_pair_is_up));
        assert_true(cw_pair_run(pair, pair->now_ns + CW_MS, NULL));
        send_all(20, CW_STREAM_LIVE, 131072);
        assert_int_equal(wire.sources + wire.repairs, 0);
    }
}

/* Each in its own shape; the smaller memory counts. */
static void sides_of_different_shapes_agree(void **state)
{
    struct cw_link_config link = {
        .delay_ns = 5 * CW_MS, .rate_bytes_per_second = 125000000, .loss_per_million = 5000};
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 47);
    initiator.paths[0].fec = (struct cw_fec_config){CW_FEC_FIXED, 64, 8, 256};
    responder.paths[0].fec = (struct cw_fec_config){CW_FEC_FIXED, 8, 1, 1};
    responder.paths[0].datagram_bytes_max = 700;
    cw_pair_init(pair, &initiator, &responder, &link, 47);
    pair->tap = tap;
    assert_true(cw_pair_run(pair, pair->now_ns + 2 * CW_SECOND, cw_pair_is_up));
    assert_true(cw_pair_run(pair, pair->now_ns + CW_MS, NULL));
    send_all(100, CW_STREAM_LIVE, 131072);
    assert_true(receiver(CW_SESSION_FEC_RECOVERED) > 50);
    assert_int_equal(receiver(CW_SESSION_FEC_BAD), 0);
}

/* ---- auto -------------------------------------------------------------------------------------------- */

static void auto_has_a_floor_and_a_ceiling(void **state)
{
    uint32_t before = 0;
    for (uint64_t lost = 0; lost <= 1000000; lost += 100) {
        struct cw_fec_shape shape = cw_fec_auto_shape(lost, 1);
        uint32_t overhead = shape.repairs * 1000u / shape.sources;
        assert_true(shape.repairs >= 1);
        assert_true(overhead <= 250);
        assert_true(overhead >= before); /* never less for more loss */
        before = overhead;
        assert_true(shape.depth >= 2);
    }
    assert_int_equal(before, 250);
    assert_int_equal(cw_fec_auto_shape(1000, 50).depth, CW_FEC_AUTO_DEPTH);
    assert_int_equal(cw_fec_auto_shape(1000, 8).depth, 8);
}

static void auto_follows_the_path(void **state)
{
    struct cw_link_config link = {.delay_ns = 10 * CW_MS, .rate_bytes_per_second = 125000000};
    begin(&link, (struct cw_fec_config){.mode = CW_FEC_AUTO}, 48);
    send_all(100, CW_STREAM_LIVE, 131072);
    assert_true(wire.repairs * 32 < wire.sources); /* nothing is lost: about one of 64 */
    pair->sides[0].out[0].config.loss_per_million = 10000;
    send_all(400, CW_STREAM_LIVE, 131072);
    uint64_t again = sender(CW_SESSION_RETRANSMITTED);
    wire.repairs = wire.sources = 0;
    send_all(400, CW_STREAM_LIVE, 131072);
    assert_true(wire.repairs * 64 > wire.sources * 4);
    assert_true(wire.repairs * 4 < wire.sources);
    assert_true((sender(CW_SESSION_RETRANSMITTED) - again) * 2000 < wire.sources);
}

/* ---- anything ---------------------------------------------------------------------------------------- */

static void a_shape(struct cw_fec_config *fec, struct cw_rng *rng)
{
    *fec = (struct cw_fec_config){.mode = CW_FEC_AUTO};
    if (cw_rng_below(rng, 4))
        *fec = (struct cw_fec_config){CW_FEC_FIXED, (uint8_t)(1 + cw_rng_below(rng, 64)),
                                      (uint8_t)(1 + cw_rng_below(rng, 8)),
                                      (uint16_t)(1 + cw_rng_below(rng, 40))};
}

static void random_traffic(struct cw_rng *rng, uint32_t count)
{
    static const uint32_t bodies[] = {0, 512, 4096, 32768, 131072};
    uint64_t end_ns = pair->now_ns + 300 * CW_SECOND;
    while (pair->sides[0].sent_count + pair->sides[1].sent_count < 2 * count && pair->now_ns < end_ns) {
        for (int i = 0; i < 8; i++)
            cw_pair_send(pair, (int)cw_rng_below(rng, 2), (enum cw_stream)cw_rng_below(rng, CW_STREAM_COUNT),
                         96, bodies[cw_rng_below(rng, CW_COUNT_OF(bodies))]);
        cw_pair_run(pair, pair->now_ns + cw_rng_below(rng, 5 * CW_MS), NULL);
    }
    assert_true(cw_pair_run(pair, end_ns, cw_pair_is_finished));
}

static void everything_arrives_over_hundreds_of_bad_links(void **state)
{
    uint64_t recovered = 0;
    for (uint64_t seed = 1; seed <= CW_PAIR_SEEDS(200u); seed++) {
        struct cw_session_config initiator, responder;
        struct cw_link_config link;
        struct cw_rng rng = {seed};
        cw_pair_adversary(&initiator, &responder, &link, &rng, seed);
        a_shape(&initiator.paths[0].fec, &rng);
        a_shape(&responder.paths[0].fec, &rng);
        if (seed > 1)
            cw_pair_fini(pair);
        cw_pair_init(pair, &initiator, &responder, &link, seed);
        random_traffic(&rng, 20);
        for (int side = 0; side < 2; side++) {
            assert_int_equal(pair->sides[side].downs, 0);
            for (uint32_t i = 0; i < pair->sides[side].sent_count; i++)
                assert_int_equal(pair->sides[side].messages[i].arrived, 1);
            assert_int_equal(cw_pair_counter(pair, side, CW_SESSION_FEC_BAD), 0);
            assert_int_equal(cw_pair_counter(pair, side, CW_SESSION_DROP_FRAME), 0);
            recovered += cw_pair_counter(pair, side, CW_SESSION_FEC_RECOVERED);
        }
    }
    assert_true(recovered > CW_PAIR_SEEDS(2000u));
}

/* ---- what has left ----------------------------------------------------------------------------------- */

static uint64_t left_now(void)
{
    return cw_session_live_left(pair->sides[0].session);
}

/* Datagrams go nowhere; true when one was a repair. */
static bool transmit_one(void)
{
    static uint8_t datagram[9000];
    struct cw_packet packet;
    size_t length = cw_session_transmit(pair->sides[0].session, 0, datagram, pair->now_ns);
    assert_true(length > 0);
    assert_int_equal(cw_packet_check(datagram, length, &packet), CW_PACKET_OK);
    return packet.type == CW_PACKET_REPAIR;
}

static void left_is_what_left_with_its_repairs(void **state)
{
    static const struct cw_fec_config off = {CW_FEC_OFF, 0, 0, 0};
    struct cw_link_config link = {.delay_ns = 5 * CW_MS};
    begin(&link, off, 31);
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 3000));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(left_now(), 0);
        assert_false(transmit_one());
    }
    assert_int_equal(left_now(), 1);
    cw_pair_fini(pair);

    begin(&link, fec_32_2_4, 32);
    for (uint32_t message = 0; message < 3; message++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 100)); /* of one packet: it and a repair */
        assert_int_equal(left_now(), message);
        assert_false(transmit_one());
        assert_int_equal(left_now(), message);
        assert_true(transmit_one());
        assert_int_equal(left_now(), message + 1);
    }
}

static struct {
    uint64_t told;                 /* as of the datagram before */
    uint64_t first_of_block[4096]; /* lowest live message that is in it */
    uint32_t checked;
} departures;

/* Nothing of a message that was said to have left leaves for the first time, nor a repair of it. */
static void watch_departures(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    struct cw_packet packet;
    tap(of, from, datagram, length);
    if (from != 0 || cw_packet_check(datagram, length, &packet) != CW_PACKET_OK)
        return;
    uint64_t *first = &departures.first_of_block[packet.fec_block % CW_COUNT_OF(departures.first_of_block)];
    if (packet.type == CW_PACKET_REPAIR) {
        assert_true(*first >= departures.told);
        departures.checked++;
    }
    if (packet.type == CW_PACKET_DATA && packet.stream == CW_STREAM_LIVE) {
        bool is_again = packet.flags & CW_PACKET_RETRANSMISSION;
        assert_true(is_again || packet.position >= departures.told);
        if (packet.fec_repairs > 0 && packet.fec_index == 0)
            *first = UINT64_MAX;
        if (packet.fec_repairs > 0 && !is_again)
            *first = CW_MIN(*first, packet.position);
    }
    assert_true(left_now() >= departures.told);
    departures.told = left_now();
}

static bool is_one_in_fifty(const struct cw_packet *packet)
{
    return packet->iv % 50 == 0;
}

static void nothing_leaves_later_than_it_is_said_to(void **state)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = 12500000};
    memset(&departures, 0, sizeof departures);
    begin(&link, fec_32_2_4, 33);
    wire.is_lost = is_one_in_fifty;
    pair->tap = watch_departures;
    for (uint32_t i = 0; i < 20; i++)
        send_all(20, CW_STREAM_LIVE, i % 3 == 0 ? 100 : 20000);
    assert_int_equal(left_now(), 400);
    assert_true(departures.checked > 100);
}

/* ---- a peer that has the keys and means ill ------------------------------------------------------------ */

/* A packet of side 0 that its session never sealed. The payload stands behind the headers. */
static void forge(uint8_t *datagram, struct cw_packet *packet, uint64_t iv)
{
    struct cw_session *from = pair->sides[0].session;
    uint8_t nonce[12], *payload = datagram + CW_PACKET_HEADER_SIZE;
    packet->spi = from->paths[0].live->spi_out;
    packet->iv = iv;
    cw_packet_encode(packet, datagram);
    cw_packet_nonce(datagram, nonce);
    from->config.aead->seal(from->paths[0].live->key_out, payload, payload, packet->length, nonce, datagram,
                            CW_PACKET_HEADER_SIZE, payload + packet->length);
    cw_session_on_datagram(pair->sides[1].session, 0, datagram,
                           CW_PACKET_HEADER_SIZE + packet->length + CW_PACKET_TAG_SIZE, pair->now_ns);
}

static void forge_ping(uint64_t iv)
{
    uint8_t datagram[128] = {0};
    struct cw_packet packet = {.type = CW_PACKET_CONTROL, .length = CW_FRAME_PING_SIZE};
    datagram[CW_PACKET_HEADER_SIZE] = CW_FRAME_PING;
    forge(datagram, &packet, iv);
}

/* The one repair of a block of one PING, whose number's low half is this. */
static void forge_repair_of(uint32_t path, uint32_t block, uint32_t low, uint64_t iv)
{
    enum { LENGTH = CW_FEC_HEAD_SIZE + CW_FRAME_PING_SIZE };
    struct cw_fec_code code;
    uint8_t symbol[LENGTH] = {CW_FRAME_PING_SIZE, 0, 0, CW_PACKET_DATA}, datagram[128] = {0};
    uint8_t *row = datagram + CW_PACKET_HEADER_SIZE;
    struct cw_packet packet = {.type = CW_PACKET_REPAIR,
                               .stream = CW_STREAM_LIVE,
                               .fec_repairs = 1,
                               .fec_block = block,
                               .position = path,
                               .length = LENGTH};
    cw_store32le(symbol + 4, low);
    symbol[CW_FEC_HEAD_SIZE] = CW_FRAME_PING;
    cw_fec_code_init(&code);
    cw_fec_code_add(&code, 1, 0, symbol, LENGTH, &row);
    forge(datagram, &packet, iv);
}

static void forge_repair(uint32_t block, uint32_t low, uint64_t iv)
{
    forge_repair_of(0, block, low, iv);
}

/* A path that there is not has no blocks. */
static void repairs_of_a_path_that_there_is_not(void **state)
{
    static const struct cw_link_config link = {.rate_bytes_per_second = 1000000, .delay_ns = CW_MS};
    begin(&link, fec_32_2_4, 34);
    uint64_t highest = pair->sides[0].session->paths[0].live->next_iv + 1000;
    for (uint32_t path = 1; path < CW_SESSION_PATHS_MAX; path++) {
        forge_repair_of(path, 100, (uint32_t)highest, highest + path);
        assert_int_equal(receiver(CW_SESSION_DROP_FRAME), path);
    }
    assert_int_equal(receiver(CW_SESSION_FEC_REPAIRS_IN), 0);
    forge_repair_of(0, 100, (uint32_t)highest, highest + 10);
    assert_int_equal(receiver(CW_SESSION_FEC_REPAIRS_IN), 1);
    assert_int_equal(receiver(CW_SESSION_DROP_FRAME), CW_SESSION_PATHS_MAX - 1);
}

/* Numbers that repairs claim are below the highest that came, never before the first; two that one frame
 * cannot tell of go in two. */
static void repairs_that_lie_about_numbers(void **state)
{
    static const struct cw_link_config link = {.rate_bytes_per_second = 1000000, .delay_ns = CW_MS};
    begin(&link, fec_32_2_4, 31);
    uint64_t highest = pair->sides[0].session->paths[0].live->next_iv + 1000, far = 1ull << 40;
    uint64_t before = receiver(CW_SESSION_FEC_RECOVERED);
    forge_repair(100, 0xffffff00u, highest); /* would be before the first */
    assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), before);
    forge_repair(101, (uint32_t)highest - 10, highest + 1);
    assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), before + 1);
    forge_ping(far);
    forge_repair(102, (uint32_t)far - 10, far + 1000);
    assert_int_equal(receiver(CW_SESSION_FEC_RECOVERED), before + 2);
    cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(losses_that_repairs_give_back_are_not_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lone_packet_that_is_lost_comes_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_burst_within_a_stripe_is_not_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_repairs_cannot_give_back_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_random_losses_few_are_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_overhead_is_that_of_the_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_side_without_it_means_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sides_of_different_shapes_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repairs_that_lie_about_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repairs_of_a_path_that_there_is_not, set_up, tear_down),
        cmocka_unit_test(auto_has_a_floor_and_a_ceiling),
        cmocka_unit_test_setup_teardown(auto_follows_the_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_arrives_over_hundreds_of_bad_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(left_is_what_left_with_its_repairs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_leaves_later_than_it_is_said_to, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/fec_session", tests, NULL, NULL);
}
