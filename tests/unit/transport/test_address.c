/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer whose address changes is followed; nobody else moves a path. Addresses are tokens: what a side sends
 * comes from where it is, and what is sent to where it is not is lost. pair.c checks all the while that
 * everything arrives once.
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
#include "transport/session_internal.h"

#define ELSEWHERE 0xe15e000000000001ull
#define THIRD     0x7417d00000000002ull
#define ATTACKER  0xbad0000000000003ull
#define ITS_OTHER 0xbad0000000000004ull

static struct cw_pair *pair;
static const struct cw_link_config good_link = {.delay_ns = 10 * CW_MS};

static struct {
    uint8_t bytes[2048];
    size_t length;
} caught[2]; /* the last sealed datagram of a side */
static uint64_t bytes_to_attacker, datagrams_to_attacker;
static bool relays;

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    memset(caught, 0, sizeof caught);
    bytes_to_attacker = datagrams_to_attacker = 0;
    relays = false;
    return pair ? 0 : -1;
}

static int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    return 0;
}

/* As if it came from there. */
static void hand_over(int to, uint64_t from, const uint8_t *bytes, size_t length)
{
    uint8_t copy[2048];
    assert_true(length <= sizeof copy);
    memcpy(copy, bytes, length);
    cw_session_on_datagram_from(pair->sides[to].session, 0, from, false, copy, length, pair->now_ns);
}

static void catch_sealed(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    if (cw_load32be(datagram + 4) == CW_SPI_HANDSHAKE || length > sizeof caught[0].bytes)
        return;
    memcpy(caught[from].bytes, datagram, length);
    caught[from].length = length;
    if (relays) /* faster than the network */
        hand_over(!from, from == 0 ? ATTACKER : ITS_OTHER, datagram, length);
}

/* What comes to the attacker goes on to the other side, from an address of his: a relay both ways. */
static void take_stray(struct cw_pair *p, int from, uint64_t to, const uint8_t *datagram, size_t length)
{
    if (to != ATTACKER && to != ITS_OTHER)
        return;
    bytes_to_attacker += length;
    datagrams_to_attacker++;
    if (relays)
        hand_over(!from, to == ATTACKER ? ITS_OTHER : ATTACKER, datagram, length);
}

static void begin(const struct cw_link_config *link, uint64_t seed)
{
    struct cw_session_config configs[2];
    cw_pair_defaults(&configs[0], &configs[1], seed);
    cw_pair_init(pair, &configs[0], &configs[1], link, seed);
    pair->has_addresses = true;
    pair->tap = catch_sealed;
    pair->stray = take_stray;
}

static void run(uint64_t ns)
{
    cw_pair_run(pair, pair->now_ns + ns, NULL);
}

static void go_up(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
    run(100 * CW_MS);
}

static uint64_t present(int side)
{
    return pair->sides[side].session->paths[0].address.present;
}

static uint64_t counter(int side, uint32_t which)
{
    return cw_pair_counter(pair, side, which);
}

static void move_to(int side, uint64_t address)
{
    pair->sides[side].address = pair->sides[side].also = address;
}

/* Both sides send for so long, as much as they may. */
static void load_for(uint64_t ns)
{
    for (uint64_t end_ns = pair->now_ns + ns; pair->now_ns < end_ns;) {
        for (int side = 0; side < 2; side++)
            while (cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 16384) && pair->sides[side].sent_count < 4000)
                continue;
        run(5 * CW_MS);
    }
}

static void expect_all_delivered(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 60 * CW_SECOND, cw_pair_is_finished));
    for (int side = 0; side < 2; side++) {
        assert_int_equal(pair->sides[side].downs, 0);
        for (uint32_t i = 0; i < pair->sides[side].sent_count; i++)
            assert_int_equal(pair->sides[side].messages[i].state, CW_PAIR_DELIVERED);
    }
}

static void a_peer_that_moves_is_followed(void **state)
{
    for (int side = 0; side < 2; side++) {
        begin(&good_link, 1);
        go_up();
        load_for(200 * CW_MS);
        move_to(side, ELSEWHERE);
        load_for(CW_SECOND);
        assert_int_equal(present(!side), ELSEWHERE);
        assert_int_equal(present(side), 0);
        assert_int_equal(pair->moves[!side], 1);
        assert_int_equal(pair->moves[side], 0);
        assert_int_equal(counter(!side, CW_SESSION_ADDRESS_ASKED), 1);
        assert_int_equal(counter(!side, CW_SESSION_ADDRESS_MOVED), 1);
        expect_all_delivered();
        if (side == 0)
            cw_pair_fini(pair);
    }
}

static void an_idle_one_is_too_and_comes_back(void **state)
{
    begin(&good_link, 2);
    go_up();
    static const uint64_t ways[] = {ELSEWHERE, 0, THIRD, ELSEWHERE, 0};
    for (size_t i = 0; i < CW_COUNT_OF(ways); i++) {
        move_to(0, ways[i]);
        run(1900 * CW_MS); /* pings alone */
        assert_int_equal(present(1), ways[i]);
        assert_int_equal(counter(1, CW_SESSION_ADDRESS_MOVED), i + 1);
    }
    expect_all_delivered();
    load_for(100 * CW_MS);
    expect_all_delivered();
}

/* The network gives the path another address now and then, under load, and loses and reorders. */
static void moves_under_load_over_a_bad_path(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct cw_link_config link = {
            .delay_ns = 8 * CW_MS, .jitter_ns = 4 * CW_MS, .loss_per_million = 30000 * (uint32_t)(seed % 4)};
        begin(&link, 30 + seed);
        go_up();
        for (uint64_t i = 1; i <= 6; i++) {
            load_for(100 * CW_MS);
            move_to((int)(cw_rng_below(&pair->rng, 2)), i % 3 == 0 ? 0 : ELSEWHERE + i);
            load_for(1500 * CW_MS);
            for (int side = 0; side < 2; side++)
                assert_int_equal(present(!side), pair->sides[side].address);
        }
        expect_all_delivered();
        if (seed < 8)
            cw_pair_fini(pair);
    }
}

/* Each still gets for a while what goes to its old address. */
static void both_move_at_once(void **state)
{
    begin(&good_link, 4);
    go_up();
    load_for(100 * CW_MS);
    pair->sides[0].address = ELSEWHERE; /* `also` stays */
    pair->sides[1].address = THIRD;
    load_for(CW_SECOND);
    assert_int_equal(present(1), ELSEWHERE);
    assert_int_equal(present(0), THIRD);
    pair->sides[0].also = ELSEWHERE;
    pair->sides[1].also = THIRD;
    load_for(CW_SECOND);
    expect_all_delivered();
}

static void challenges_that_are_lost_are_sent_again(void **state)
{
    begin(&good_link, 5);
    go_up();
    move_to(0, ELSEWHERE);
    pair->sides[0].session->paths[0].ping_due = true;
    pair->sides[1].out[0].config.loss_per_million = 1000000;
    run(200 * CW_MS);
    assert_int_equal(counter(1, CW_SESSION_ADDRESS_ASKED), 1);
    assert_int_equal(present(1), 0);
    pair->sides[1].out[0].config.loss_per_million = 0;
    for (int i = 0; i < 4; i++) { /* so that it may say more than it was told */
        pair->sides[0].session->paths[0].ping_due = true;
        run(200 * CW_MS);
    }
    assert_int_equal(present(1), ELSEWHERE);
    expect_all_delivered();
}

/* Off the path: a captured packet overtakes the original, from an address of his. */
static void a_captured_packet_from_elsewhere_moves_nothing(void **state)
{
    begin(&good_link, 6);
    go_up();
    for (int round = 0; round < 20; round++) {
        pair->sides[0].session->paths[0].ping_due = true;
        run(0);
        hand_over(1, ATTACKER, caught[0].bytes, caught[0].length); /* the original is under way */
        uint64_t given = caught[0].length * (uint64_t)(round + 1);
        run(500 * CW_MS);
        assert_int_equal(present(1), 0);
        assert_true(bytes_to_attacker <= given);
    }
    assert_int_equal(pair->moves[1], 0);
    assert_true(counter(1, CW_SESSION_ADDRESS_KEPT) >= 10);
    assert_true(datagrams_to_attacker > 0);
    load_for(100 * CW_MS);
    expect_all_delivered();
}

/* The same when the original is lost: the peer answers from where it is. */
static void a_packet_that_was_taken_away_moves_nothing(void **state)
{
    begin(&good_link, 7);
    go_up();
    for (int round = 0; round < 5; round++) {
        pair->sides[0].out[0].config.loss_per_million = 1000000;
        pair->sides[0].session->paths[0].ping_due = true;
        run(0);
        pair->sides[0].out[0].config.loss_per_million = 0;
        hand_over(1, ATTACKER, caught[0].bytes, caught[0].length);
        run(CW_SECOND);
        assert_int_equal(present(1), 0);
    }
    assert_int_equal(counter(1, CW_SESSION_ADDRESS_ASKED), 5);
    assert_int_equal(counter(1, CW_SESSION_ADDRESS_KEPT), 5);
    expect_all_delivered();
}

/* Nobody is there any more to answer: no more goes to the attacker than came from him. */
static void nothing_is_amplified(void **state)
{
    begin(&good_link, 12);
    go_up();
    pair->sides[0].out[0].config.loss_per_million = 1000000;
    pair->sides[0].session->paths[0].ping_due = true;
    run(0);
    pair->sides[0].is_asleep = true;
    size_t given = caught[0].length;
    hand_over(1, ATTACKER, caught[0].bytes, given);
    cw_pair_run(pair, pair->now_ns + 1500 * CW_MS, NULL);
    pair->sides[0].is_asleep = false; /* what was sent to it, and to him, comes out of the link now */
    pair->sides[0].out[0].config.loss_per_million = 0;
    run(100 * CW_MS);
    assert_true(datagrams_to_attacker > 0);
    assert_true(bytes_to_attacker <= given);
}

/* He passes on, both ways, whatever is sent to him, and copies everything faster than the network carries it.
 */
static void a_relay_that_overtakes_moves_nothing(void **state)
{
    begin(&good_link, 8);
    go_up();
    relays = true;
    for (int round = 0; round < 200; round++) {
        for (int side = 0; side < 2 && round % 10 == 0; side++)
            pair->sides[side].session->paths[0].ping_due = true;
        run(2 * CW_MS);
        assert_int_equal(present(0) | present(1), 0);
    }
    load_for(500 * CW_MS);
    assert_int_equal(present(0) | present(1), 0);
    assert_true(counter(0, CW_SESSION_ADDRESS_ASKED) + counter(1, CW_SESSION_ADDRESS_ASKED) > 5);
    assert_true(datagrams_to_attacker > 5);
    load_for(100 * CW_MS);
    expect_all_delivered();
}

static void what_is_old_or_forged_begins_nothing(void **state)
{
    uint8_t copy[2048];
    begin(&good_link, 9);
    go_up();
    pair->sides[0].session->paths[0].ping_due = true;
    run(200 * CW_MS);
    hand_over(1, ATTACKER, caught[0].bytes, caught[0].length); /* a replay */
    memcpy(copy, caught[0].bytes, caught[0].length);
    cw_store64be(copy + 8, cw_load64be(copy + 8) + 100);
    hand_over(1, ATTACKER, copy, caught[0].length); /* another number: the seal is not good */
    run(500 * CW_MS);
    assert_int_equal(counter(1, CW_SESSION_ADDRESS_ASKED), 0);
    assert_int_equal(datagrams_to_attacker, 0);
    /* a packet that was held back, and is not the newest any more */
    pair->sides[0].out[0].config.loss_per_million = 1000000;
    pair->sides[0].session->paths[0].ping_due = true;
    run(0);
    uint8_t held[2048];
    size_t length = caught[0].length;
    memcpy(held, caught[0].bytes, length);
    pair->sides[0].out[0].config.loss_per_million = 0;
    pair->sides[0].session->paths[0].ping_due = true;
    run(100 * CW_MS);
    hand_over(1, ATTACKER, held, length);
    run(500 * CW_MS);
    assert_int_equal(counter(1, CW_SESSION_ADDRESS_ASKED), 0);
    expect_all_delivered();
}

/* A session that ends is where the configuration says; a handshake from elsewhere is not looked at. */
static void the_end_of_a_session_is_the_end_of_it(void **state)
{
    begin(&good_link, 10);
    go_up();
    move_to(0, ELSEWHERE);
    run(2 * CW_SECOND);
    assert_int_equal(present(1), ELSEWHERE);
    cw_session_close(pair->sides[1].session, pair->now_ns);
    run(20 * CW_MS);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_CLOSED_BY_PEER); /* that was told to where it is */
    assert_int_equal(present(1), 0);
    run(5 * CW_SECOND);
    assert_false(cw_pair_is_up(pair));
    assert_true(counter(1, CW_SESSION_DROP_HANDSHAKE) > 0);
    move_to(0, 0);
    go_up();
    load_for(100 * CW_MS);
    assert_true(cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, cw_pair_is_finished));
}

/* One that moved and began anew there is answered there. */
static void a_restart_where_it_went(void **state)
{
    begin(&good_link, 11);
    go_up();
    move_to(0, ELSEWHERE);
    run(2 * CW_SECOND);
    assert_int_equal(present(1), ELSEWHERE);
    cw_pair_restart(pair, 0);
    run(300 * CW_MS);
    assert_true(cw_pair_is_up(pair));
    assert_int_equal(pair->sides[1].last_why, CW_DOWN_PEER_RESTARTED);
    assert_int_equal(present(1), ELSEWHERE);
    load_for(100 * CW_MS);
    assert_true(cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, cw_pair_is_finished));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_peer_that_moves_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_one_is_too_and_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moves_under_load_over_a_bad_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_move_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(challenges_that_are_lost_are_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_captured_packet_from_elsewhere_moves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_packet_that_was_taken_away_moves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_amplified, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_relay_that_overtakes_moves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_old_or_forged_begins_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_of_a_session_is_the_end_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_where_it_went, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/address", tests, NULL, NULL);
}
