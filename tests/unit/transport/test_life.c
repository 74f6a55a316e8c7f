/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions that go down and come back: restarts, silence, closing, worn keys, no entropy, no credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "one_pair.h"
#include "transport/session_internal.h"

static const struct cw_link_config good_link = {.delay_ns = CW_MS};

static void go_up(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
    cw_pair_run(pair, pair->now_ns + 10 * CW_MS, NULL);
}

static void expect_delivery(int from)
{
    assert_true(cw_pair_send(pair, from, CW_STREAM_LIVE, 96, 16384));
    uint32_t id = pair->sides[from].sent_count - 1;
    assert_true(cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, cw_pair_is_finished));
    assert_int_equal(pair->sides[from].messages[id].state, CW_PAIR_DELIVERED);
}

static void some_traffic(void)
{
    static const uint32_t bodies[] = {0, 4096, 32768, 131072};
    for (int i = 0; i < 6; i++)
        cw_pair_send(pair, i & 1, (enum cw_stream)cw_rng_below(&pair->rng, CW_STREAM_COUNT), 96,
                     bodies[cw_rng_below(&pair->rng, CW_COUNT_OF(bodies))]);
}

static void restarts_at_random_moments(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cw_link_config link = {.delay_ns = 3 * CW_MS,
                                      .jitter_ns = CW_MS,
                                      .loss_per_million = 20000,
                                      .duplicate_per_million = 20000};
        begin_alike(&link, seed);
        for (int round = 0; round < 4; round++) {
            uint64_t until_ns = pair->now_ns + cw_rng_below(&pair->rng, 200 * CW_MS);
            while (pair->now_ns < until_ns) {
                some_traffic();
                cw_pair_run(pair, pair->now_ns + cw_rng_below(&pair->rng, 10 * CW_MS), NULL);
            }
            int victim = (int)cw_rng_below(&pair->rng, 2);
            cw_pair_restart(pair, victim);
            if (cw_rng_below(&pair->rng, 3) == 0)
                continue; /* and again, before it is up */
            assert_true(cw_pair_run(pair, pair->now_ns + 30 * CW_SECOND, cw_pair_is_up));
        }
        /* A side may still believe in a session whose other end is gone: it finds out by itself. */
        cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, NULL);
        go_up();
        assert_true(cw_pair_run(pair, pair->now_ns + 30 * CW_SECOND, cw_pair_is_finished));
        expect_delivery(0);
        expect_delivery(1);
        if (seed < 30)
            cw_pair_fini(pair);
    }
}

static void restart_of_the_initiator_is_told_as_such(void **state)
{
    begin_alike(&good_link, 1);
    go_up();
    expect_delivery(0);
    cw_pair_restart(pair, 0);
    cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL); /* no waiting for an idle time-out */
    assert_int_equal(pair->sides[1].downs, 1);
    assert_int_equal(pair->sides[1].last_why, CW_DOWN_PEER_RESTARTED);
    assert_true(cw_pair_is_up(pair));
    expect_delivery(0);
    expect_delivery(1);
}

static void restart_of_the_responder_is_found_out(void **state)
{
    begin_alike(&good_link, 2);
    go_up();
    cw_pair_restart(pair, 1);
    assert_true(cw_pair_run(pair, pair->now_ns + 1500 * CW_MS, cw_pair_is_up)); /* silence, before idle */
    cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL);
    assert_int_equal(pair->sides[0].downs, 1);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_PEER_RESTARTED);
    expect_delivery(0);
    expect_delivery(1);
}

static void set_loss(uint32_t per_million)
{
    pair->sides[0].out[0].config.loss_per_million = pair->sides[1].out[0].config.loss_per_million =
        per_million;
}

static void an_idle_session_stays_up(void **state)
{
    struct cw_link_config link = {.delay_ns = 10 * CW_MS, .loss_per_million = 50000};
    begin_alike(&link, 3);
    go_up();
    cw_pair_run(pair, pair->now_ns + 120 * CW_SECOND, NULL);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
    assert_true(cw_pair_counter(pair, 0, CW_SESSION_DATAGRAMS_OUT) < 3000);
}

static void a_short_black_hole_is_survived(void **state)
{
    begin_alike(&good_link, 4);
    go_up();
    for (int round = 0; round < 10; round++) {
        some_traffic();
        set_loss(1000000);
        cw_pair_run(pair, pair->now_ns + 900 * CW_MS, NULL);
        set_loss(0);
        assert_true(cw_pair_run(pair, pair->now_ns + 3 * CW_SECOND, cw_pair_is_finished));
    }
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
}

static void a_long_black_hole_brings_both_down_and_everything_back(void **state)
{
    begin_alike(&good_link, 5);
    go_up();
    set_loss(1000000);
    for (int i = 0; i < 20; i++)
        some_traffic();
    uint32_t sent = pair->sides[0].sent_count;
    assert_true(sent > 0);
    cw_pair_run(pair, pair->now_ns + 3 * CW_SECOND, NULL);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_IDLE);
    assert_int_equal(pair->sides[1].last_why, CW_DOWN_IDLE);
    assert_true(cw_pair_is_finished(pair));
    for (uint32_t i = 0; i < sent; i++)
        assert_int_equal(pair->sides[0].messages[i].state, CW_PAIR_GIVEN_BACK);
    assert_false(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 0));
    set_loss(0);
    go_up();
    expect_delivery(0);
    expect_delivery(1);
}

/* Nothing comes through any more, and as much is in flight as may be: what wants to leave besides, and may
 * not, is no reason to be called again at once (cw_pair_run asserts that a deadline is served). */
static void a_full_window_is_waited_for(void **state)
{
    begin_alike(&good_link, 16);
    go_up();
    struct cw_session *s = pair->sides[0].session;
    struct cw_path *p = &s->paths[0];
    pair->sides[0].out[0].config.loss_per_million = 1000000;
    while (cw_pair_send(pair, 0, CW_STREAM_CONTROL, 96, 131072))
        continue;
    cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    for (uint32_t i = 0; i < CW_IN_FLIGHT_RESERVE + 4; i++) {
        p->ping_due = true;
        cw_pair_run(pair, pair->now_ns, NULL);
    }
    assert_int_equal(p->inflight.outstanding_count, p->config->packets_in_flight_max);
    assert_true(p->ping_due);
    s->credit_ns = pair->now_ns;
    assert_true(cw_session_deadline_ns(s) > pair->now_ns);
    pair->sides[0].out[0].config.loss_per_million = 0;
    assert_true(cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, cw_pair_is_finished));
    assert_int_equal(pair->sides[0].downs, 0);
}

/* Each ack looks at all that are remembered. */
static void losses_of_long_ago_are_forgotten(void **state)
{
    begin_alike(&good_link, 17);
    go_up();
    struct cw_inflight *inflight = &pair->sides[0].session->paths[0].inflight;
    pair->sides[0].out[0].config.loss_per_million = 20000;
    while (inflight->lost_count < 20)
        expect_delivery(0);
    pair->sides[0].out[0].config.loss_per_million = 0;
    uint64_t last = inflight->next_number;
    while (inflight->next_number < last + 4096)
        expect_delivery(0);
    assert_int_equal(inflight->lost_count, 0);
}

static void closing_tells_the_peer(void **state)
{
    begin_alike(&good_link, 6);
    go_up();
    some_traffic();
    cw_session_close(pair->sides[1].session, pair->now_ns);
    cw_pair_run(pair, pair->now_ns + 2 * CW_MS, NULL);
    assert_int_equal(pair->sides[1].last_why, CW_DOWN_LOCAL);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_CLOSED_BY_PEER);
    assert_true(cw_pair_is_finished(pair));
    go_up();
    expect_delivery(0);
}

static uint64_t counter(int side, uint32_t which)
{
    return cw_pair_counter(pair, side, which);
}

static void load_both_ways(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        for (int side = 0; side < 2; side++)
            while (!cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 131072))
                cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    }
    assert_true(cw_pair_run(pair, pair->now_ns + 60 * CW_SECOND, cw_pair_is_finished));
}

/* Under load, over paths that lose and reorder: generation after generation, and nobody notices. */
static void keys_change_under_load(void **state)
{
    static const struct cw_link_config links[] = {
        {.delay_ns = 5 * CW_MS},
        {.delay_ns = 5 * CW_MS, .loss_per_million = 20000, .jitter_ns = 4 * CW_MS},
        {.delay_ns = CW_MS, .late_per_million = 50000, .late_ns = 3 * CW_MS, .duplicate_per_million = 50000},
        {.delay_ns = 40 * CW_MS, .burst_per_million = 3000, .burst_length = 30},
    };
    for (size_t l = 0; l < CW_COUNT_OF(links); l++) {
        begin_alike(&links[l], 30 + l);
        for (int side = 0; side < 2; side++)
            pair->sides[side].session->rotate_blocks = 2500; /* 40 KB */
        go_up();
        uint32_t first[2] = {pair->sides[0].session->paths[0].live->spi_out,
                             pair->sides[1].session->paths[0].live->spi_out};
        load_both_ways(40);
        cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
        for (int side = 0; side < 2; side++) {
            uint64_t rotated = counter(side, CW_SESSION_KEYS_ROTATED);
            assert_true(rotated >= 8); /* one a round trip at most */
            assert_int_equal(counter(!side, CW_SESSION_KEYS_FOLLOWED), rotated);
            assert_int_equal(pair->sides[side].session->paths[0].live->spi_out - first[side], rotated);
            assert_int_equal(pair->sides[side].ups, 1);
            assert_int_equal(pair->sides[side].downs, 0);
            assert_int_equal(counter(side, CW_SESSION_DROP_TAG), 0);
        }
        /* What is late opens under the last key: without loss on the path nothing is sent again for it. */
        if (l == 0)
            assert_int_equal(counter(0, CW_SESSION_DROP_SPI) + counter(1, CW_SESSION_LOST), 0);
        if (l + 1 < CW_COUNT_OF(links))
            cw_pair_fini(pair);
    }
}

static void keys_change_with_age(void **state)
{
    begin_alike(&good_link, 35);
    go_up();
    cw_pair_run(pair, pair->now_ns + 310 * CW_SECOND, NULL); /* pings alone */
    for (int side = 0; side < 2; side++) {
        assert_int_equal(counter(side, CW_SESSION_KEYS_ROTATED), 5);
        assert_int_equal(pair->sides[side].downs, 0);
    }
}

/* Nobody goes two generations ahead of a peer from which nothing is heard. */
static void no_key_changes_unheard(void **state)
{
    begin_alike(&good_link, 36);
    pair->sides[0].session->rotate_blocks = 100;
    go_up();
    load_both_ways(1);
    pair->sides[1].out[0].config.loss_per_million = 1000000;
    uint64_t before = counter(0, CW_SESSION_KEYS_ROTATED);
    for (int i = 0; i < 20; i++)
        (void)cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 100000);
    cw_pair_run(pair, pair->now_ns + 1500 * CW_MS, NULL);
    assert_true(pair->sides[0].session->paths[0].live->blocks_out > 1000);
    assert_in_range(counter(0, CW_SESSION_KEYS_ROTATED), before, before + 1);
}

/* Datagrams of the last generation, and made up ones of the next: kept for a while; not followed. */
static void generations_that_are_old_or_made_up(void **state)
{
    uint8_t datagram[2048];
    begin_alike(&good_link, 37);
    go_up();
    load_both_ways(1);
    struct cw_session *s = pair->sides[0].session, *to = pair->sides[1].session;
    s->paths[0].ping_due = true;
    size_t length = cw_session_transmit(s, 0, datagram, pair->now_ns); /* held back on its way */
    assert_true(length > 0);
    cw_session_sa_rotate(&s->paths[0], pair->now_ns);
    s->paths[0].ping_due = true;
    cw_pair_run(pair, pair->now_ns + 3 * CW_MS, NULL);
    assert_int_equal(to->paths[0].live->spi_in, s->paths[0].live->spi_out);
    uint8_t copy[2048];
    memcpy(copy, datagram, length);
    cw_session_on_datagram(to, 0, copy, length, pair->now_ns);
    memcpy(copy, datagram, length);
    cw_session_on_datagram(to, 0, copy, length, pair->now_ns); /* it was opened: now it is a repetition */
    assert_int_equal(counter(1, CW_SESSION_DROP_REPLAY), 1);
    assert_int_equal(counter(1, CW_SESSION_DROP_SPI), 0);
    uint32_t spi = to->paths[0].live->spi_in;
    memcpy(copy, datagram, length);
    cw_store32be(copy + 4, cw_spi_after(spi)); /* sealed under another key than its SPI says */
    cw_store64be(copy + 8, s->paths[0].live->next_iv + 5);
    cw_session_on_datagram(to, 0, copy, length, pair->now_ns);
    assert_int_equal(counter(1, CW_SESSION_DROP_TAG), 1);
    assert_int_equal(to->paths[0].live->spi_in, spi);
    pair->now_ns += 2 * CW_SECOND; /* far more than three probe time-outs */
    memcpy(copy, datagram, length);
    cw_session_on_datagram(to, 0, copy, length, pair->now_ns);
    assert_int_equal(counter(1, CW_SESSION_DROP_SPI), 1);
}

static void worn_keys_are_replaced(void **state)
{
    for (int side = 0; side < 2; side++) {
        begin_alike(&good_link, 7);
        pair->sides[side].session->key_blocks_max = 20000; /* 320 KB */
        go_up();
        for (int i = 0; i < 12; i++) {
            while (!cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 131072))
                cw_pair_run(pair, pair->now_ns + 5 * CW_MS, NULL);
            assert_true(cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, cw_pair_is_finished));
        }
        assert_int_equal(pair->sides[0].last_why, CW_DOWN_KEYS_WORN);
        assert_int_equal(pair->sides[1].last_why, CW_DOWN_KEYS_WORN);
        assert_true(pair->sides[0].ups >= 3);
        cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
        if (side == 0)
            cw_pair_fini(pair);
    }
}

/* ---- a picture of a session's memory comes to life again */

static uint8_t *picture_of(int side)
{
    struct cw_pair_side *of = &pair->sides[side];
    uint8_t *picture = malloc(of->memory_size);
    memcpy(picture, of->memory, of->memory_size);
    return picture;
}

static uint64_t sealed_by[2];

static void count_sealed(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    sealed_by[from] += cw_load32be(datagram + 4) != CW_SPI_HANDSHAKE;
}

/* The shell is told: not one more datagram is sealed under keys that may have been used since, not even a
 * CLOSE; the seed in reserve is not used either. */
static void starting_over(void **state)
{
    for (int side = 0; side < 2; side++) {
        begin_alike(&good_link, 20);
        go_up();
        load_both_ways(1);
        struct cw_session *s = pair->sides[side].session;
        pair->tap = count_sealed;
        for (int i = 0; i < 3; i++)
            assert_true(cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 32768)); /* and nothing has left yet */
        uint8_t reserve[CW_SEED_SIZE];
        memcpy(reserve, s->handshake.seed, sizeof reserve);
        memset(sealed_by, 0, sizeof sealed_by);
        cw_session_start_over(s, pair->now_ns);
        assert_true(cw_session_wants_entropy(s));
        assert_true(memmem(pair->sides[side].memory, (size_t)(s->receive.memory - pair->sides[side].memory),
                           reserve, sizeof reserve) == NULL);
        pair->sides[side].has_entropy = false;
        cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, NULL);
        assert_int_equal(sealed_by[side], 0);
        assert_false(cw_pair_is_up(pair));
        assert_int_equal(pair->sides[side].last_why, CW_DOWN_REWOUND);
        assert_true(cw_pair_is_finished(pair)); /* given back */
        pair->sides[side].has_entropy = true;
        go_up();
        expect_delivery(0);
        expect_delivery(1);
        cw_session_close(s, pair->now_ns);
        cw_session_start_over(s, pair->now_ns); /* also when it is down: the CLOSE does not leave */
        sealed_by[side] = 0;
        cw_pair_run(pair, pair->now_ns + CW_MS / 2, NULL);
        assert_int_equal(sealed_by[side], 0);
        go_up();
        if (side == 0)
            cw_pair_fini(pair);
    }
}

/* Nobody tells it, but the peer: an ack of what was not sent yet. From its coming on nothing is sealed. */
static void a_picture_finds_itself_out(void **state)
{
    for (int side = 0; side < 2; side++) {
        begin_alike(&good_link, 22);
        go_up();
        struct cw_pair_side *of = &pair->sides[side];
        uint8_t *picture = picture_of(side);
        load_both_ways(3);
        cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
        uint64_t ahead = of->session->paths[0].live->next_iv;
        memcpy(of->memory, picture, of->memory_size);
        free(picture);
        assert_true(of->session->paths[0].live->next_iv < ahead);
        /* what it would seal meets the numbers of its other life, which this test forbids: the peer speaks
         * first */
        pair->sides[!side].session->paths[0].ping_due = true;
        pair->sides[!side].session->paths[0].acks.deadline_ns = pair->now_ns;
        of->is_asleep = true;
        cw_pair_run(pair, pair->now_ns + 5 * CW_MS, NULL);
        of->is_asleep = false;
        uint64_t bad = counter(side, CW_SESSION_DROP_FRAME);
        cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL);
        assert_int_equal(counter(side, CW_SESSION_DROP_FRAME), bad + 1);
        assert_int_equal(of->last_why, CW_DOWN_REWOUND);
        go_up();
        expect_delivery(0);
        expect_delivery(1);
        if (side == 0)
            cw_pair_fini(pair);
    }
}

static void a_seed_is_used_once(void **state)
{
    begin_alike(&good_link, 8);
    pair->sides[0].has_entropy = false;
    go_up();
    assert_true(cw_session_wants_entropy(pair->sides[0].session));
    cw_session_close(pair->sides[0].session, pair->now_ns);
    cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, NULL);
    assert_false(cw_pair_is_up(pair));
    assert_int_equal(pair->sides[0].ups, 1);
    pair->sides[0].has_entropy = true;
    go_up();
    expect_delivery(0);
}

static void unread_events_are_bounded(void **state)
{
    begin_alike(&good_link, 9);
    go_up();
    pair->sides[1].is_deaf = true;
    for (int i = 0; i < 100; i++) {
        cw_pair_restart(pair, 0);
        cw_pair_run(pair, pair->now_ns + 300 * CW_MS, NULL);
        some_traffic();
    }
    assert_true(pair->sides[1].session->state_events <= CW_EVENTS_OF_STATE);
    pair->sides[1].is_deaf = false;
    cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, NULL);
    go_up();
    expect_delivery(0);
    expect_delivery(1);
}

static void no_buffer_no_credit(void **state)
{
    begin_alike(&good_link, 10);
    go_up();
    struct cw_pair_side *receiver = &pair->sides[1];
    struct cw_session_event event;
    receiver->is_deaf = true; /* nothing is released */
    uint32_t sent = 0;
    while (cw_pair_send(pair, 0, CW_STREAM_CONTROL, 32, 4096))
        sent++;
    cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL);
    assert_int_equal(sent, 32);
    assert_int_equal(pair->sides[0].sent_count - pair->sides[0].finished_count, 0); /* all arrived */
    assert_false(cw_session_can_send(pair->sides[0].session, CW_STREAM_CONTROL, 4096));
    assert_true(cw_session_can_send(pair->sides[0].session, CW_STREAM_CONTROL, 4097)); /* another class */
    receiver->is_deaf = false;
    cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL);
    assert_true(cw_session_can_send(pair->sides[0].session, CW_STREAM_RESYNC, 4096));
    assert_int_equal(cw_pair_counter(pair, 0, CW_SESSION_DROP_CREDIT), 0);
    cw_session_release(receiver->session, 0);
    cw_session_release(receiver->session, UINT64_MAX);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_STALE_RELEASES), 2);
    assert_false(cw_session_event(receiver->session, &event));
}

/* Resync may fill what it is allowed to; live and control still find room. */
static void higher_streams_have_room_kept(void **state)
{
    begin_alike(&good_link, 11);
    go_up();
    pair->sides[1].is_deaf = true;
    uint32_t resync = 0, live = 0, control = 0;
    while (cw_pair_send(pair, 0, CW_STREAM_RESYNC, 32, 4096))
        resync++;
    while (cw_pair_send(pair, 0, CW_STREAM_LIVE, 32, 4096))
        live++;
    while (cw_pair_send(pair, 0, CW_STREAM_CONTROL, 32, 4096))
        control++;
    assert_int_equal(resync, 24);
    assert_int_equal(live, 6);
    assert_int_equal(control, 2);
    pair->sides[1].is_deaf = false;
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished));
}

static uint8_t order_of_streams[4096];
static uint32_t order_count;

static void note_stream(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    if (from == 0 && datagram[16] == (CW_PACKET_VERSION << 4 | CW_PACKET_DATA) &&
        order_count < sizeof order_of_streams)
        order_of_streams[order_count++] = datagram[26];
}

static void control_before_live_before_resync(void **state)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 12);
    initiator.paths[0].rate_bytes_per_second = 10000000;
    cw_pair_init(pair, &initiator, &responder, &good_link, 12);
    go_up();
    pair->tap = note_stream;
    order_count = 0;
    assert_true(cw_pair_send(pair, 0, CW_STREAM_RESYNC, 32, 131072));
    cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 32, 32768));
    assert_true(cw_pair_send(pair, 0, CW_STREAM_CONTROL, 32, 4096));
    uint32_t before = order_count;
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished));
    assert_true(before < 20);
    for (uint32_t i = before + 1; i < order_count; i++)
        assert_true(order_of_streams[i] >= order_of_streams[i - 1]);
    assert_int_equal(order_of_streams[before], CW_STREAM_CONTROL);
}

static uint64_t paced_begin_ns, paced_bytes;

static void add_bytes(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    if (from != 0)
        return;
    paced_bytes += length;
    assert_true(paced_bytes <= (p->now_ns - paced_begin_ns) / 50 + CW_PACER_QUANTUM_MAX);
}

static void the_rate_is_kept_and_used(void **state)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 13);
    initiator.paths[0].rate_bytes_per_second = 20000000; /* a byte every 50 ns */
    cw_pair_init(pair, &initiator, &responder, &good_link, 13);
    go_up();
    paced_begin_ns = pair->now_ns;
    paced_bytes = 0;
    pair->tap = add_bytes;
    while (pair->now_ns < paced_begin_ns + CW_SECOND) {
        while (cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 32768))
            ;
        cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    }
    assert_true(paced_bytes > 19500000);
    struct cw_session_path_stats stats;
    cw_session_path_stats(pair->sides[0].session, 0, &stats);
    assert_true(stats.rate_bytes_per_second > 17000000);
    assert_true(stats.rate_bytes_per_second <= 20500000);
    assert_true(stats.rtt_ns_min >= 2 * CW_MS);
    assert_true(stats.rtt_ns_smoothed < 4 * CW_MS);
    assert_true(stats.loss == 0);
    cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(restarts_at_random_moments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(restart_of_the_initiator_is_told_as_such, set_up, tear_down),
        cmocka_unit_test_setup_teardown(restart_of_the_responder_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_session_stays_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_black_hole_is_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_black_hole_brings_both_down_and_everything_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_window_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_of_long_ago_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_tells_the_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_change_under_load, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_change_with_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_key_changes_unheard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(generations_that_are_old_or_made_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(worn_keys_are_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(starting_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_picture_finds_itself_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_seed_is_used_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unread_events_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_buffer_no_credit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(higher_streams_have_room_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_before_live_before_resync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_rate_is_kept_and_used, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/life", tests, NULL, NULL);
}
