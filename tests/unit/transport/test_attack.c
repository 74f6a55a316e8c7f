/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who does not have the key, or only has what was on the wire: nothing he sends is accepted, all of it is
 * counted, it costs no state, and the session that is up does not notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "pair.h"
#include "transport/session_internal.h"

struct captured {
    int from;
    size_t length;
    uint8_t bytes[1472];
};

static struct cw_pair *pair;
static struct captured *tape;
static uint32_t tape_count;
#define TAPE_MAX 512u

static void record(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    if (tape_count == TAPE_MAX)
        return;
    struct captured *c = &tape[tape_count++];
    c->from = from;
    c->length = length;
    memcpy(c->bytes, datagram, length);
}

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    tape = calloc(TAPE_MAX, sizeof *tape);
    tape_count = 0;
    return pair && tape ? 0 : -1;
}

static int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    free(tape);
    return 0;
}

static const struct cw_link_config good_link = {.delay_ns = 100 * CW_US};

static void begin(uint64_t seed)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, seed);
    cw_pair_init(pair, &initiator, &responder, &good_link, seed);
    pair->tap = record;
}

static void go_up(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    assert_true(cw_pair_run(pair, pair->now_ns + CW_MS, NULL));
}

static void talk(int messages)
{
    for (int i = 0; i < messages; i++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
        assert_true(cw_pair_send(pair, 1, CW_STREAM_CONTROL, 64, 0));
        assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_finished));
    }
}

/* Hands a copy to a session, as an attacker would. */
static void inject(int to, const uint8_t *bytes, size_t length)
{
    uint8_t copy[2048];
    memcpy(copy, bytes, length);
    cw_session_on_datagram(pair->sides[to].session, copy, length, pair->now_ns);
}

static uint64_t drops(int side)
{
    static const uint32_t counters[] = {
        CW_SESSION_DROP_SHORT,  CW_SESSION_DROP_FORMAT,    CW_SESSION_DROP_SPI,   CW_SESSION_DROP_TAG,
        CW_SESSION_DROP_REPLAY, CW_SESSION_DROP_HANDSHAKE, CW_SESSION_DROP_COOKIE};
    uint64_t sum = 0;
    for (size_t i = 0; i < CW_COUNT_OF(counters); i++)
        sum += cw_pair_counter(pair, side, counters[i]);
    return sum;
}

static void expect_no_event(int side)
{
    struct cw_session_event event;
    assert_false(cw_session_event(pair->sides[side].session, &event));
}

static void wrong_cluster_key(void **state)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 1);
    responder.cluster_key[31] ^= 1;
    cw_pair_init(pair, &initiator, &responder, &good_link, 1);
    cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, NULL);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_HANDSHAKE) > 5);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_DATAGRAMS_OUT), 0);
}

static void wrong_names(void **state)
{
    for (int which = 0; which < 4; which++) {
        struct cw_session_config initiator, responder;
        cw_pair_defaults(&initiator, &responder, 1);
        char *names[] = {initiator.local_name, initiator.remote_name, responder.local_name,
                         responder.remote_name};
        memcpy(names[which], "north", 6);
        cw_pair_init(pair, &initiator, &responder, &good_link, 1);
        cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, NULL);
        assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
        assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_HANDSHAKE) > 3);
        assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_DATAGRAMS_OUT), 0);
        if (which < 3)
            cw_pair_fini(pair);
    }
}

/* No key: not one answer. */
static void a_flood_of_strangers(void **state)
{
    begin(3);
    uint8_t out[2048];
    cw_pair_run(pair, pair->now_ns + 50 * CW_US, NULL);
    assert_int_equal(tape[0].from, 0);
    assert_int_equal(tape[0].length, CW_HANDSHAKE_BYTES);
    struct cw_session *s = pair->sides[1].session;
    uint64_t before = drops(1);
    for (int i = 0; i < 2000; i++) {
        uint8_t hello[CW_HANDSHAKE_BYTES];
        memcpy(hello, tape[0].bytes, sizeof hello);
        hello[40 + cw_rng_below(&pair->rng, sizeof hello - 40)] ^=
            (uint8_t)(1 + cw_rng_below(&pair->rng, 255));
        inject(1, hello, sizeof hello);
        assert_int_equal(cw_session_transmit(s, out, pair->now_ns), 0);
    }
    assert_int_equal(drops(1) - before, 2000);
    assert_false(cw_session_wants_entropy(s));
    assert_int_equal(s->handshake.state, CW_HANDSHAKE_LISTENING);
}

/* Who repeats a true HELLO from anywhere: one answer each, no longer than the question, and no state. */
static void hello_without_cookie_costs_nothing(void **state)
{
    begin(4);
    uint8_t out[2048];
    cw_pair_run(pair, pair->now_ns + 50 * CW_US, NULL);
    struct cw_session *s = pair->sides[1].session;
    for (int i = 0; i < 500; i++) {
        inject(1, tape[0].bytes, tape[0].length);
        assert_true(cw_session_transmit(s, out, pair->now_ns) <= tape[0].length);
        assert_int_equal(cw_session_transmit(s, out, pair->now_ns), 0);
    }
    assert_false(cw_session_wants_entropy(s)); /* no secret was spent */
    assert_int_equal(s->handshake.state, CW_HANDSHAKE_LISTENING);
    assert_false(s->next->is_ready);
    for (int i = 0; i < 100; i++) /* more questions than answers that could leave */
        inject(1, tape[0].bytes, tape[0].length);
    assert_true(cw_session_transmit(s, out, pair->now_ns) > 0);
    assert_int_equal(cw_session_transmit(s, out, pair->now_ns), 0);
}

static void a_cookie_of_another_time_or_process(void **state)
{
    begin(5);
    go_up();
    uint32_t shown = 0;
    for (uint32_t i = 0; i < tape_count && !shown; i++)
        if (tape[i].bytes[26] == CW_HANDSHAKE_HELLO && tape[i].bytes[104] != 0)
            shown = i;
    assert_true(shown > 0);
    cw_pair_restart(pair, 1);
    inject(1, tape[shown].bytes, tape[shown].length);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_DROP_COOKIE), 1);
    assert_false(cw_session_wants_entropy(pair->sides[1].session));
}

/* Everything ever on the wire again, to both sides, whole, cut at every length, and with each byte changed.
 */
static void nothing_on_the_wire_is_of_use(void **state)
{
    begin(6);
    go_up();
    talk(3);
    uint32_t count = tape_count;
    uint64_t expected[2] = {drops(0), drops(1)};
    uint64_t in[2] = {cw_pair_counter(pair, 0, CW_SESSION_DATAGRAMS_IN),
                      cw_pair_counter(pair, 1, CW_SESSION_DATAGRAMS_IN)};
    for (uint32_t i = 0; i < count; i++) {
        const struct captured *c = &tape[i];
        bool is_handshake = c->bytes[16] == (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE);
        for (int to = 0; to < 2; to++) {
            for (size_t length = 0; length < c->length; length += 1 + length / 64)
                inject(to, c->bytes, length);
            for (size_t at = 0; at < c->length; at += 1 + at / 64) {
                struct captured changed = *c;
                changed.bytes[at] ^= (uint8_t)(1u << cw_rng_below(&pair->rng, 8));
                inject(to, changed.bytes, changed.length);
            }
            if (!is_handshake)
                inject(to, c->bytes, c->length);
            expect_no_event(to);
        }
    }
    for (int side = 0; side < 2; side++)
        assert_int_equal(drops(side) - expected[side],
                         cw_pair_counter(pair, side, CW_SESSION_DATAGRAMS_IN) - in[side]);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_TAG) > 0);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_REPLAY) > 0);
    talk(3);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
}

/* All old handshakes, true to the byte, into a live session; at once, and when the cookies have aged. */
static void old_handshakes_do_not_bring_a_session_down(void **state)
{
    begin(7);
    go_up();
    cw_session_close(pair->sides[0].session, pair->now_ns); /* so that there are two of them */
    cw_pair_run(pair, pair->now_ns + 3 * CW_SECOND, NULL);
    assert_true(cw_pair_is_up(pair));
    assert_int_equal(pair->sides[0].ups, 2);
    uint32_t downs = pair->sides[0].downs + pair->sides[1].downs;
    for (int round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < tape_count; i++)
            if (tape[i].bytes[16] == (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE)) {
                inject(0, tape[i].bytes, tape[i].length);
                inject(1, tape[i].bytes, tape[i].length);
            }
        pair->tap = NULL; /* what the replays cause stays out of the tape */
        talk(1);
        cw_pair_run(pair, pair->now_ns + 700 * CW_MS, NULL);
        assert_true(cw_pair_is_up(pair));
    }
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, downs);
}

static void sealed_datagrams_before_a_handshake(void **state)
{
    begin(8);
    go_up();
    talk(2);
    cw_pair_restart(pair, 1);
    uint64_t before = cw_pair_counter(pair, 1, CW_SESSION_DROP_SPI), sealed = 0;
    for (uint32_t i = 0; i < tape_count; i++)
        if (tape[i].bytes[16] != (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE)) {
            inject(1, tape[i].bytes, tape[i].length);
            sealed++;
        }
    assert_true(sealed > 0);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_DROP_SPI) - before, sealed);
    expect_no_event(1);
}

/* A peer that has the keys and breaks the rules: counted, refused, survived. */
static void more_than_was_granted(void **state)
{
    begin(9);
    go_up();
    pair->sides[1].hold_buffers = true;
    struct cw_session *s = pair->sides[0].session;
    s->send.granted[CW_CLASS_LARGE] += 8; /* it helps itself */
    pair->sides[1].is_deaf = true;
    for (int i = 0; i < 6; i++)
        assert_true(cw_pair_send(pair, 0, CW_STREAM_CONTROL, 32, 100000));
    cw_pair_run(pair, pair->now_ns + 50 * CW_MS, NULL);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_CREDIT) > 0);
    assert_int_equal(cw_pair_counter(pair, 1, CW_SESSION_MESSAGES_IN), 4);
    pair->sides[1].is_deaf = false;
    pair->sides[1].hold_buffers = false;
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_finished)); /* by resending */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wrong_cluster_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hello_without_cookie_costs_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cookie_of_another_time_or_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_on_the_wire_is_of_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_handshakes_do_not_bring_a_session_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sealed_datagrams_before_a_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_was_granted, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("transport/attack", tests, NULL, NULL);
}
