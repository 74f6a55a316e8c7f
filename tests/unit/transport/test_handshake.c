/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake alone, also against a member of the cluster who plays false: his MACs are good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "transport/handshake.h"
#include "wire/packet.h"

static struct cw_handshake initiator, responder;
static uint8_t datagram[CW_HANDSHAKE_BYTES];
static uint64_t now_ns;
static uint8_t next_seed;

static void give_seed(struct cw_handshake *h)
{
    uint8_t seed[CW_SEED_SIZE];
    memset(seed, ++next_seed, sizeof seed);
    cw_handshake_seed(h, seed);
}

static uint32_t lanes[2][2]; /* of each side: which, of how many; 0: one */

static void begin(uint32_t path_count)
{
    static const uint8_t cluster_key[CW_KEY_SIZE] = {7}, seeds[2][CW_SEED_SIZE] = {{1}, {2}};
    struct cw_handshake_config config = {.is_initiator = true,
                                         .local_name = "east",
                                         .remote_name = "west",
                                         .cluster_key = cluster_key,
                                         .seed = seeds[0],
                                         .window = 256,
                                         .lane = lanes[0][0],
                                         .lane_count = lanes[0][1],
                                         .path_count = path_count,
                                         .paths = {{.datagram_bytes = 1472}}};
    for (uint32_t i = 0; path_count > 1 && i < path_count; i++)
        config.paths[i] = (struct cw_path_offer){.name_hash = i + 1, .datagram_bytes = 1472};
    cw_handshake_init(&initiator, &config);
    config.is_initiator = false;
    config.local_name = "west";
    config.remote_name = "east";
    config.seed = seeds[1];
    config.lane = lanes[1][0];
    config.lane_count = lanes[1][1];
    cw_handshake_init(&responder, &config);
    now_ns = 100 * CW_SECOND;
    next_seed = 10;
}

static int set_up(void **state)
{
    memset(lanes, 0, sizeof lanes);
    begin(1);
    return 0;
}

/* The next message of one, which must be of this kind, left in `datagram`. */
static void say(struct cw_handshake *from, enum cw_handshake_kind kind)
{
    assert_int_equal(cw_handshake_transmit(from, 0, datagram, now_ns), CW_HANDSHAKE_BYTES);
    assert_int_equal(datagram[26], kind);
}

static void hear(struct cw_handshake *to, enum cw_handshake_result expected)
{
    assert_int_equal(cw_handshake_on_datagram(to, 0, datagram, sizeof datagram, now_ns), expected);
}

static void pass(struct cw_handshake *from, enum cw_handshake_kind kind, enum cw_handshake_result expected)
{
    say(from, kind);
    hear(from == &initiator ? &responder : &initiator, expected);
}

/* Puts the MAC right after `datagram` was changed. */
static void sign(bool from_initiator)
{
    uint8_t mac[CW_HASH_SIZE];
    struct cw_bytes all = {datagram, CW_HANDSHAKE_BYTES - CW_MAC_SIZE};
    cw_hmac(from_initiator ? initiator.mac_keys.from_initiator : initiator.mac_keys.from_responder, &all, 1,
            mac);
    memcpy(datagram + CW_HANDSHAKE_BYTES - CW_MAC_SIZE, mac, CW_MAC_SIZE);
}

static void until_hello_with_cookie(void)
{
    cw_handshake_start(&initiator, now_ns);
    pass(&initiator, CW_HANDSHAKE_HELLO, CW_HANDSHAKE_ASKED);
    pass(&responder, CW_HANDSHAKE_COOKIE, CW_HANDSHAKE_TAKEN);
    assert_int_equal(initiator.state, CW_HANDSHAKE_SHOWING);
    say(&initiator, CW_HANDSHAKE_HELLO);
}

static void the_four_messages(void **state)
{
    uint8_t hello[CW_HANDSHAKE_BYTES], confirm[CW_HANDSHAKE_BYTES];
    until_hello_with_cookie();
    memcpy(hello, datagram, sizeof hello);
    hear(&responder, CW_HANDSHAKE_KEYED);
    pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
    assert_memory_equal(&initiator.keys, &responder.keys, sizeof initiator.keys);
    assert_int_equal(initiator.peer.paths[0].spi, responder.own_offer.paths[0].spi);
    assert_int_equal(responder.peer.paths[0].spi, initiator.own_offer.paths[0].spi);
    say(&initiator, CW_HANDSHAKE_CONFIRM);
    memcpy(confirm, datagram, sizeof confirm);
    hear(&responder, CW_HANDSHAKE_COMPLETED);
    hear(&responder, CW_HANDSHAKE_REPEATED);
    cw_handshake_done(&initiator);
    assert_int_equal(initiator.state, CW_HANDSHAKE_RESTING);
    assert_int_equal(cw_handshake_deadline_ns(&initiator), CW_NEVER);
    assert_int_equal(cw_handshake_deadline_ns(&responder), CW_NEVER);
    /* Late copies: no answer, no seed spent. */
    give_seed(&responder);
    memcpy(datagram, hello, sizeof hello);
    hear(&responder, CW_HANDSHAKE_TAKEN);
    assert_false(cw_handshake_has_output(&responder, 0));
    assert_false(cw_handshake_wants_seed(&responder));
    assert_int_equal(responder.state, CW_HANDSHAKE_LISTENING);
}

/* A HELLO without a cookie, or with a bad one, gets its COOKIE where it came from; what is due to who has
 * shown one stays due, and on his path. */
static void who_has_shown_nothing_moves_nothing(void **state)
{
    uint8_t first[CW_HANDSHAKE_BYTES], second[CW_HANDSHAKE_BYTES];
    begin(2);
    cw_handshake_start(&initiator, now_ns);
    say(&initiator, CW_HANDSHAKE_HELLO);
    memcpy(first, datagram, sizeof first);
    hear(&responder, CW_HANDSHAKE_ASKED);
    pass(&responder, CW_HANDSHAKE_COOKIE, CW_HANDSHAKE_TAKEN);
    pass(&initiator, CW_HANDSHAKE_HELLO, CW_HANDSHAKE_KEYED);
    memcpy(datagram, first, sizeof first);
    assert_int_equal(cw_handshake_on_datagram(&responder, 1, datagram, sizeof datagram, now_ns),
                     CW_HANDSHAKE_ASKED);
    datagram[104] ^= 1;
    sign(true);
    assert_int_equal(cw_handshake_on_datagram(&responder, 1, datagram, sizeof datagram, now_ns),
                     CW_HANDSHAKE_BAD_COOKIE);
    assert_int_equal(cw_handshake_transmit(&responder, 1, second, now_ns), CW_HANDSHAKE_BYTES);
    assert_int_equal(second[26], CW_HANDSHAKE_COOKIE);
    assert_false(cw_handshake_has_output(&responder, 1));
    pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
}

static void a_false_answer(void **state)
{
    until_hello_with_cookie();
    hear(&responder, CW_HANDSHAKE_KEYED);
    say(&responder, CW_HANDSHAKE_ANSWER);
    static const size_t places[] = {40, 72, 104, 136, 140, 144, 152, 156, 158, 207, 208, 239};
    for (size_t i = 0; i < CW_COUNT_OF(places); i++) {
        datagram[places[i]] ^= 4;
        sign(false);
        hear(&initiator, CW_HANDSHAKE_DROPPED);
        datagram[places[i]] ^= 4;
        assert_int_equal(initiator.state, CW_HANDSHAKE_SHOWING);
    }
    sign(false);
    hear(&initiator, CW_HANDSHAKE_KEYED);
}

static void a_false_confirm(void **state)
{
    until_hello_with_cookie();
    hear(&responder, CW_HANDSHAKE_KEYED);
    pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
    say(&initiator, CW_HANDSHAKE_CONFIRM);
    static const size_t places[] = {40, 72, 104, 135, 136, 239}; /* behind 135 are zeros */
    for (size_t i = 0; i < CW_COUNT_OF(places); i++) {
        datagram[places[i]] ^= 1;
        sign(true);
        hear(&responder, CW_HANDSHAKE_DROPPED);
        datagram[places[i]] ^= 1;
        assert_int_equal(responder.state, CW_HANDSHAKE_ANSWERED);
    }
    sign(true);
    hear(&responder, CW_HANDSHAKE_COMPLETED);
}

static void offers_out_of_range(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } bad[] = {{136, 0},        {140, 0},          {140, 5}, {140, 2},       {140, 257}, {140, 0x040001},
               {140, 0x010301}, {140, 0x01000001}, {152, 0}, {156, 0},       {156, 511}, {156, 65508},
               {160, 1},        {204, 1},          {208, 1}, {236, 1u << 31}};
    until_hello_with_cookie();
    for (size_t i = 0; i < CW_COUNT_OF(bad); i++) {
        uint32_t good = cw_load32le(datagram + bad[i].at);
        cw_store32le(datagram + bad[i].at, bad[i].value);
        sign(true);
        hear(&responder, CW_HANDSHAKE_DROPPED);
        cw_store32le(datagram + bad[i].at, good);
    }
    sign(true);
    hear(&responder, CW_HANDSHAKE_KEYED);
}

static void a_cookie_is_bound_to_its_hello_and_ages(void **state)
{
    until_hello_with_cookie();
    static const size_t places[] = {41, 73, 105, 136, 145, 153, 156, 158};
    for (size_t i = 0; i < CW_COUNT_OF(places); i++) {
        datagram[places[i]] ^= 1;
        sign(true);
        hear(&responder, CW_HANDSHAKE_BAD_COOKIE);
        datagram[places[i]] ^= 1;
    }
    sign(true);
    now_ns += 18 * CW_SECOND;
    hear(&responder, CW_HANDSHAKE_BAD_COOKIE);
    pass(&responder, CW_HANDSHAKE_COOKIE, CW_HANDSHAKE_TAKEN); /* and the initiator shows the new one */
    pass(&initiator, CW_HANDSHAKE_HELLO, CW_HANDSHAKE_KEYED);
}

static void each_role_hears_only_the_other(void **state)
{
    cw_handshake_start(&initiator, now_ns);
    say(&initiator, CW_HANDSHAKE_HELLO);
    hear(&initiator, CW_HANDSHAKE_DROPPED); /* reflected */
    sign(false);
    hear(&initiator, CW_HANDSHAKE_DROPPED);
    sign(true);
    hear(&responder, CW_HANDSHAKE_ASKED);
    say(&responder, CW_HANDSHAKE_COOKIE);
    hear(&responder, CW_HANDSHAKE_DROPPED);
    sign(true);
    hear(&responder, CW_HANDSHAKE_DROPPED);
}

static void resending_backs_off_and_gives_up(void **state)
{
    cw_handshake_start(&initiator, now_ns);
    say(&initiator, CW_HANDSHAKE_HELLO);
    uint64_t waits[7], last_ns = now_ns;
    for (size_t i = 0; i < CW_COUNT_OF(waits); i++) {
        now_ns = cw_handshake_deadline_ns(&initiator);
        waits[i] = now_ns - last_ns;
        last_ns = now_ns;
        cw_handshake_on_time(&initiator, now_ns);
        say(&initiator, CW_HANDSHAKE_HELLO);
    }
    assert_int_equal(waits[0], 100 * CW_MS);
    assert_int_equal(waits[1], 200 * CW_MS);
    assert_int_equal(waits[5], 1600 * CW_MS);
    assert_int_equal(waits[6], 1600 * CW_MS);
    hear(&responder, CW_HANDSHAKE_ASKED);
    pass(&responder, CW_HANDSHAKE_COOKIE, CW_HANDSHAKE_TAKEN);
    pass(&initiator, CW_HANDSHAKE_HELLO, CW_HANDSHAKE_KEYED);
    pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
    for (int i = 0; i < 100 && initiator.state == CW_HANDSHAKE_CONFIRMING; i++) {
        now_ns = cw_handshake_deadline_ns(&initiator);
        cw_handshake_on_time(&initiator, now_ns);
    }
    assert_int_equal(initiator.state, CW_HANDSHAKE_RESTING);
    now_ns += 10 * CW_SECOND;
    cw_handshake_on_time(&responder, now_ns);
    assert_int_equal(responder.state, CW_HANDSHAKE_LISTENING);
}

static void without_a_seed_nothing_starts_and_nothing_is_answered(void **state)
{
    uint8_t first[32];
    until_hello_with_cookie();
    memcpy(first, initiator.own.random, sizeof first);
    responder.has_seed = false;
    hear(&responder, CW_HANDSHAKE_DROPPED);
    assert_true(cw_handshake_wants_seed(&responder));
    give_seed(&responder);
    hear(&responder, CW_HANDSHAKE_KEYED);
    assert_true(cw_handshake_wants_seed(&responder));
    cw_handshake_stop(&initiator);
    cw_handshake_start(&initiator, now_ns);
    assert_int_equal(initiator.state, CW_HANDSHAKE_RESTING);
    assert_int_equal(cw_handshake_deadline_ns(&initiator), CW_NEVER);
    give_seed(&initiator);
    cw_handshake_on_time(&initiator, now_ns);
    assert_int_equal(initiator.state, CW_HANDSHAKE_ASKING);
    assert_memory_not_equal(first, initiator.own.random, sizeof first);
}

/* Stopping is for attempts that the responder has not completed yet. */
static void stop_ends_what_has_no_answer(void **state)
{
    until_hello_with_cookie();
    hear(&responder, CW_HANDSHAKE_KEYED);
    pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
    cw_handshake_stop(&initiator);
    assert_int_equal(initiator.state, CW_HANDSHAKE_CONFIRMING);
    pass(&initiator, CW_HANDSHAKE_CONFIRM, CW_HANDSHAKE_COMPLETED);
}

static void begin_lanes(uint32_t initiators, uint32_t initiators_count, uint32_t responders,
                        uint32_t responders_count)
{
    lanes[0][0] = initiators;
    lanes[0][1] = initiators_count;
    lanes[1][0] = responders;
    lanes[1][1] = responders_count;
    begin(1);
}

/* The same seeds, and yet no key that two lanes have in common. */
static void lanes_have_keys_of_their_own(void **state)
{
    struct cw_session_keys keys[CW_LANES_MAX];
    for (uint32_t lane = 0; lane < CW_LANES_MAX; lane++) {
        begin_lanes(lane, CW_LANES_MAX, lane, CW_LANES_MAX);
        until_hello_with_cookie();
        assert_int_equal(cw_packet_lane(datagram, sizeof datagram), lane);
        hear(&responder, CW_HANDSHAKE_KEYED);
        pass(&responder, CW_HANDSHAKE_ANSWER, CW_HANDSHAKE_KEYED);
        assert_memory_equal(&initiator.keys, &responder.keys, sizeof keys[lane]);
        keys[lane] = initiator.keys;
        for (uint32_t other = 0; other < lane; other++) {
            assert_memory_not_equal(keys[other].initiator_confirm, keys[lane].initiator_confirm, 32);
            assert_memory_not_equal(keys[other].paths[0].from_initiator, keys[lane].paths[0].from_initiator,
                                    32);
            assert_memory_not_equal(keys[other].paths[0].chain_from_responder,
                                    keys[lane].paths[0].chain_from_responder, 32);
        }
    }
}

/* Of another lane, as it is and with the lane in its clear changed: nothing, not even a cookie. */
static void a_hello_of_another_lane_is_dropped(void **state)
{
    begin_lanes(1, 2, 0, 2);
    cw_handshake_start(&initiator, now_ns);
    say(&initiator, CW_HANDSHAKE_HELLO);
    hear(&responder, CW_HANDSHAKE_DROPPED);
    datagram[CW_PACKET_LANE_AT] = 0;
    hear(&responder, CW_HANDSHAKE_DROPPED);
    sign(true);
    hear(&responder, CW_HANDSHAKE_DROPPED);
    assert_false(cw_handshake_has_output(&responder, 0));
}

/* It is said once the other side has shown a cookie, so no stranger has it said. */
static void another_number_of_lanes_is_refused(void **state)
{
    begin_lanes(0, 3, 0, 2);
    until_hello_with_cookie();
    hear(&responder, CW_HANDSHAKE_OTHER_LANES);
    assert_int_equal(responder.lanes_heard, 3);
    assert_int_equal(responder.state, CW_HANDSHAKE_LISTENING);
    assert_false(cw_handshake_has_output(&responder, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_four_messages, set_up),
        cmocka_unit_test_setup(who_has_shown_nothing_moves_nothing, set_up),
        cmocka_unit_test_setup(a_false_answer, set_up),
        cmocka_unit_test_setup(a_false_confirm, set_up),
        cmocka_unit_test_setup(offers_out_of_range, set_up),
        cmocka_unit_test_setup(a_cookie_is_bound_to_its_hello_and_ages, set_up),
        cmocka_unit_test_setup(each_role_hears_only_the_other, set_up),
        cmocka_unit_test_setup(resending_backs_off_and_gives_up, set_up),
        cmocka_unit_test_setup(without_a_seed_nothing_starts_and_nothing_is_answered, set_up),
        cmocka_unit_test_setup(stop_ends_what_has_no_answer, set_up),
        cmocka_unit_test_setup(lanes_have_keys_of_their_own, set_up),
        cmocka_unit_test_setup(a_hello_of_another_lane_is_dropped, set_up),
        cmocka_unit_test_setup(another_number_of_lanes_is_refused, set_up),
    };
    return cmocka_run_group_tests_name("transport/handshake", tests, NULL, NULL);
}
