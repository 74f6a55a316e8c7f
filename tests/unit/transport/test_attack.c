/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who does not have the key, or only has what was on the wire: nothing he sends is accepted, all of it is
 * counted, it costs no state, and the session that is up does not notice. What floods cost: test_flood.c.
 *
 *   what                                      | counted as             | where
 *   a sealed one not yet received, each bit   | by its place: FORMAT,  | every_bit_of_a_sealed_datagram
 *     changed, each length cut, bytes added   |   SPI, REPLAY, TAG,    |
 *                                             |   SHORT, VERSION,      |
 *                                             |   RESERVED             |
 *   a handshake message not yet received,     | the same, HANDSHAKE    | every_byte_of_a_handshake
 *     each byte changed, each length cut      |                        |
 *   sealed ones again                         | REPLAY                 | again_and_turned_round
 *   sealed ones to their own sender           | SPI                    | again_and_turned_round
 *   handshakes to their own sender            | HANDSHAKE              | again_and_turned_round
 *   of another session, and with our SPI      | SPI; REPLAY, TAG       | of_another_session
 *   of another lane, and with our lane        | LANE; TAG, HANDSHAKE   | of_another_lane
 *   of another cluster: sealed, handshakes    | SPI, TAG; HANDSHAKE    | of_another_session
 *   sealed ones in each state of a handshake  | SPI; under the SPI that| before_there_are_keys
 *                                             |   is being agreed, TAG |
 *   a thousand forged ones                    | TAG                    | forgeries_wear_no_key
 *   old handshakes, true to the byte          | their kind             | old_handshakes_do_not_...; no answer
 *                                             |                        |   is larger than its question
 *   all of it at once                         | summed up              | nothing_on_the_wire_is_of_use
 *
 * "No state" is meant to the byte: but for counters and the count of blocks that were tried to open, the
 * memory of the session is the same afterwards.
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

/* Hands a copy to a session, as an attacker would who takes his time: none is dropped for being one of many.
 */
static void inject(int to, const uint8_t *bytes, size_t length)
{
    uint8_t copy[2048];
    memcpy(copy, bytes, length);
    pair->sides[to].session->paths[0].flood.next_ns = 0;
    cw_session_on_datagram(pair->sides[to].session, 0, copy, length, pair->now_ns);
}

static uint64_t drops(int side)
{
    static const uint32_t counters[] = {
        CW_SESSION_DROP_SHORT,  CW_SESSION_DROP_FORMAT, CW_SESSION_DROP_VERSION, CW_SESSION_DROP_RESERVED,
        CW_SESSION_DROP_SPI,    CW_SESSION_DROP_TAG,    CW_SESSION_DROP_REPLAY,  CW_SESSION_DROP_HANDSHAKE,
        CW_SESSION_DROP_COOKIE, CW_SESSION_DROP_FLOOD,  CW_SESSION_DROP_LANE};
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

/* ---- nothing is accepted, counted by its reason, kept, or answered ------------------------------------- */

static bool is_handshake(const uint8_t *datagram)
{
    return datagram[16] == (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE);
}

static struct {
    uint8_t *memory;
    struct cw_session_stats stats;
} kept;

static void remember(int side)
{
    const struct cw_pair_side *s = &pair->sides[side];
    kept.memory = aligned_alloc(4096, s->memory_size);
    assert_non_null(kept.memory);
    struct cw_session_path_stats path;
    cw_session_path_stats(s->session, 0, &path); /* its meters go on with the time */
    cw_session_stats(s->session, &kept.stats);
    memcpy(kept.memory, s->memory, s->memory_size);
}

static void expect_nothing_kept(int side)
{
    const struct cw_pair_side *s = &pair->sides[side];
    const struct cw_session *now = s->session;
    struct cw_session *then = (struct cw_session *)(kept.memory + ((const uint8_t *)now - s->memory));
    memcpy(then->counters, now->counters, sizeof then->counters);
    memcpy(then->paths[0].counters, now->paths[0].counters, sizeof then->paths[0].counters);
    then->now_ns = now->now_ns;
    then->paths[0].flood = now->paths[0].flood;
    for (size_t i = 0; i < s->memory_size; i++)
        if (kept.memory[i] != s->memory[i])
            fail_msg("byte %zu of the session's memory is another one", i);
    free(kept.memory);
}

/* The one counter that grew since the last look, but for those of all datagrams. */
static uint32_t reason_of(int side)
{
    uint32_t reason = CW_SESSION_COUNTER_COUNT;
    struct cw_session_stats stats;
    cw_session_stats(pair->sides[side].session, &stats);
    for (uint32_t i = 0; i < CW_SESSION_COUNTER_COUNT; i++) {
        uint64_t grown = stats.counters[i] - kept.stats.counters[i];
        if (grown == 0 || i == CW_SESSION_DATAGRAMS_IN || i == CW_SESSION_BYTES_IN)
            continue;
        assert_int_equal(grown, 1);
        assert_int_equal(reason, CW_SESSION_COUNTER_COUNT);
        reason = i;
    }
    kept.stats = stats;
    return reason;
}

#define IS(reason) (1ull << CW_SESSION_DROP_##reason)
static_assert(CW_SESSION_COUNTER_COUNT < 64, "reasons are bits of one word");

/* Between remember and expect_nothing_kept. */
static void refused(int side, const uint8_t *bytes, size_t length, uint64_t reasons)
{
    inject(side, bytes, length);
    uint32_t reason = reason_of(side);
    if (reason == CW_SESSION_COUNTER_COUNT)
        fail_msg("not counted");
    if (!(reasons >> reason & 1))
        fail_msg("counted as %s", cw_session_counter_names[reason]);
    expect_no_event(side);
}

static void expect_no_answer(int side)
{
    uint8_t out[2048];
    assert_int_equal(cw_session_transmit(pair->sides[side].session, 0, out, pair->now_ns), 0);
}

/* Nothing is under way, due or about to be. */
static void be_quiet(void)
{
    cw_pair_run(pair, pair->now_ns + 20 * CW_MS, NULL);
    expect_no_answer(0);
    expect_no_answer(1);
}

/* What a change at this place of a DATA packet is found out by. Any may make the number an old one. */
static uint64_t reasons_of_place(size_t at)
{
    static const struct {
        size_t end;
        uint64_t reasons;
    } places[] = {
        {4, IS(FORMAT)},                               /* PSP */
        {8, IS(SPI) | IS(TAG)},                        /* the next generation's has a key */
        {16, IS(TAG) | IS(REPLAY)},                    /* number */
        {17, IS(FORMAT) | IS(VERSION) | IS(RESERVED)}, /* version, type; CONTROL has no position */
        {18, IS(RESERVED) | IS(TAG) | IS(LANE)},       /* flags: those that there are, and others; lane */
        {24, IS(TAG)},                                 /* session, time */
        {26, IS(FORMAT)},                              /* length */
        {27, IS(TAG)},                                 /* stream */
        {32, IS(RESERVED) | IS(TAG)},                  /* forward error correction */
        {SIZE_MAX, IS(TAG)},                           /* position, payload, tag */
    };
    for (size_t i = 0;; i++)
        if (at < places[i].end)
            return places[i].reasons;
}

static void every_bit_of_a_sealed_datagram(void **state)
{
    uint8_t true_one[1472], changed[2048];
    begin(21);
    go_up();
    be_quiet();
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 900));
    size_t length = cw_session_transmit(pair->sides[0].session, 0, true_one, pair->now_ns);
    assert_true(length > 1000);
    remember(1);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        memcpy(changed, true_one, length);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused(1, changed, length, reasons_of_place(bit / 8));
    }
    for (size_t cut = 0; cut < length; cut++)
        refused(1, true_one, cut, cut < CW_PACKET_OVERHEAD ? IS(SHORT) : IS(FORMAT));
    memcpy(changed, true_one, length);
    memset(changed + length, 0, 100);
    for (size_t more = 1; more <= 100; more++)
        refused(1, changed, length + more, IS(FORMAT));
    expect_nothing_kept(1);
    expect_no_answer(1);
    inject(1, true_one, length);
    struct cw_session_event event;
    assert_true(cw_session_event(pair->sides[1].session, &event));
    assert_int_equal(event.type, CW_SESSION_RECEIVED);
    cw_session_release(pair->sides[1].session, event.received.buffer);
    remember(1);
    refused(1, true_one, length, IS(REPLAY));
    expect_nothing_kept(1);
}

/* HELLO, COOKIE, HELLO, ANSWER, CONFIRM: each spoilt in all ways before it arrives as it is. */
static void every_byte_of_a_handshake(void **state)
{
    begin(22);
    int from = 0;
    for (uint32_t message = 0; message < 5; message++, from = !from) {
        uint8_t true_one[1472], changed[1472];
        int to = !from;
        size_t length = cw_session_transmit(pair->sides[from].session, 0, true_one, pair->now_ns);
        assert_int_equal(length, CW_HANDSHAKE_BYTES);
        expect_no_answer(to);
        remember(to);
        for (size_t at = 0; at < length; at++) {
            memcpy(changed, true_one, length);
            changed[at] ^= (uint8_t)(1 + cw_rng_below(&pair->rng, 255));
            refused(to, changed, length,
                    at < CW_PACKET_HEADER_SIZE
                        ? IS(HANDSHAKE) | IS(FORMAT) | IS(VERSION) | IS(RESERVED) | IS(LANE)
                        : IS(HANDSHAKE));
        }
        for (size_t cut = 0; cut < length; cut++)
            refused(to, true_one, cut, cut < CW_PACKET_OVERHEAD ? IS(SHORT) : IS(FORMAT));
        expect_nothing_kept(to);
        expect_no_answer(to);
        inject(to, true_one, length);
    }
    assert_true(cw_session_is_up(pair->sides[1].session));
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
}

/* Who forges enough of them may not end the session by it: the limit of a key is on what was sealed under it.
 */
static void forgeries_wear_no_key(void **state)
{
    uint8_t forged[1472];
    begin(27);
    go_up();
    talk(2);
    be_quiet();
    pair->sides[1].session->key_blocks_max = 10000; /* 107 packets of this length */
    uint32_t last = tape_count - 1;
    while (tape[last].from == 1 || is_handshake(tape[last].bytes) || tape[last].length < 1000)
        last--;
    memcpy(forged, tape[last].bytes, tape[last].length);
    for (uint64_t i = 0; i < 1000; i++) {
        cw_store64be(forged + 8, 100000 + i);
        inject(1, forged, tape[last].length);
    }
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_DROP_TAG) >= 1000);
    talk(1);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
}

static void again_and_turned_round(void **state)
{
    begin(23);
    go_up();
    talk(20);
    be_quiet();
    pair->tap = NULL;
    uint32_t seen[2] = {0};
    for (int to = 0; to < 2; to++) {
        remember(to);
        for (uint32_t i = 0; i < tape_count; i++) {
            const struct captured *c = &tape[i];
            if (c->from == to)
                refused(to, c->bytes, c->length, is_handshake(c->bytes) ? IS(HANDSHAKE) : IS(SPI));
            else if (!is_handshake(c->bytes))
                refused(to, c->bytes, c->length, IS(REPLAY));
            seen[is_handshake(c->bytes)]++;
        }
        expect_nothing_kept(to);
        expect_no_answer(to);
    }
    assert_true(seen[0] > 100 && seen[1] >= 10);
    talk(1);
}

/* The tape is of another session: of the same cluster, or of one whose key is another. */
static void of_another(uint64_t seed, bool is_same_cluster)
{
    struct cw_session_config initiator, responder;
    begin(seed);
    go_up();
    talk(10);
    cw_pair_defaults(&initiator, &responder, seed);
    initiator.seed[0] ^= 1;
    responder.seed[0] ^= 1;
    initiator.cluster_key[5] ^= !is_same_cluster;
    responder.cluster_key[5] ^= !is_same_cluster;
    cw_pair_fini(pair);
    cw_pair_init(pair, &initiator, &responder, &good_link, seed);
    go_up();
    be_quiet();
    for (int to = 0; to < 2; to++) {
        remember(to);
        for (uint32_t i = 0; i < tape_count; i++) {
            struct captured c = tape[i];
            if (is_handshake(c.bytes)) {
                if (!is_same_cluster)
                    refused(to, c.bytes, c.length, IS(HANDSHAKE));
                continue;
            }
            refused(to, c.bytes, c.length, IS(SPI));
            cw_store32be(c.bytes + 4, pair->sides[to].session->paths[0].live->spi_in);
            refused(to, c.bytes, c.length, IS(REPLAY) | IS(TAG));
            cw_store64be(c.bytes + 8, 1000000 + i);
            refused(to, c.bytes, c.length, IS(TAG));
        }
        expect_nothing_kept(to);
        expect_no_answer(to);
    }
    talk(1);
}

/* Two lanes of the same nodes, and even of the same seeds and so the same SPIs: what one sealed, and its
 * handshakes, opens nothing in the other, as it was or with the lane in its clear changed. */
static void of_another_lane(void **state)
{
    struct cw_session_config initiator, responder;
    cw_pair_defaults(&initiator, &responder, 27);
    initiator.lane_count = responder.lane_count = 2;
    for (uint32_t lane = 0; lane < 2; lane++) {
        if (lane > 0)
            cw_pair_fini(pair);
        initiator.lane = responder.lane = lane;
        cw_pair_init(pair, &initiator, &responder, &good_link, 27);
        pair->tap = lane == 0 ? record : NULL;
        go_up();
        talk(lane == 0 ? 10 : 1);
    }
    be_quiet();
    for (int to = 0; to < 2; to++) {
        remember(to);
        for (uint32_t i = 0; i < tape_count; i++) {
            struct captured c = tape[i];
            assert_int_equal(cw_packet_lane(c.bytes, c.length), 0);
            refused(to, c.bytes, c.length, IS(LANE));
            c.bytes[CW_PACKET_LANE_AT] |= 1u << CW_PACKET_LANE_SHIFT;
            if (!is_handshake(c.bytes))
                cw_store64be(c.bytes + 8, 1000000 + i);
            refused(to, c.bytes, c.length, is_handshake(c.bytes) ? IS(HANDSHAKE) : IS(TAG) | IS(SPI));
        }
        expect_nothing_kept(to);
        expect_no_answer(to);
    }
    talk(1);
}

static void of_another_session(void **state)
{
    of_another(24, true);
    cw_pair_fini(pair);
    tape_count = 0;
    of_another(25, false);
}

/* In each state of a handshake, at both sides: what an earlier session sealed, and that under the SPI which
 * is being agreed. */
static void before_there_are_keys(void **state)
{
    uint8_t datagram[1472];
    uint32_t agreed = 0;
    begin(26);
    go_up();
    talk(10);
    pair->tap = NULL;
    cw_pair_restart(pair, 0);
    cw_pair_restart(pair, 1);
    int from = 0;
    for (uint32_t message = 0; message < 5; message++, from = !from) {
        for (int to = 0; to < 2; to++) {
            uint32_t spi = pair->sides[to].session->handshake.own.spi[0];
            bool has_keys = pair->sides[to].session->handshake.state == CW_HANDSHAKE_CONFIRMING;
            remember(to);
            for (uint32_t i = 0; i < tape_count; i++) {
                struct captured c = tape[i];
                if (is_handshake(c.bytes))
                    continue;
                refused(to, c.bytes, c.length, IS(SPI));
                if (spi == 0)
                    continue;
                cw_store32be(c.bytes + 4, spi);
                refused(to, c.bytes, c.length, has_keys ? IS(TAG) : IS(SPI));
                agreed += has_keys;
            }
            expect_nothing_kept(to);
        }
        size_t length = cw_session_transmit(pair->sides[from].session, 0, datagram, pair->now_ns);
        assert_int_equal(length, CW_HANDSHAKE_BYTES);
        inject(!from, datagram, length);
    }
    assert_true(agreed > 0);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
}

/* ---- more ------------------------------------------------------------------------------------------------
 */

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
        assert_int_equal(cw_session_transmit(s, 0, out, pair->now_ns), 0);
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
        assert_true(cw_session_transmit(s, 0, out, pair->now_ns) <= tape[0].length);
        assert_int_equal(cw_session_transmit(s, 0, out, pair->now_ns), 0);
    }
    assert_false(cw_session_wants_entropy(s)); /* no secret was spent */
    assert_int_equal(s->handshake.state, CW_HANDSHAKE_LISTENING);
    assert_false(s->paths[0].next->is_ready);
    for (int i = 0; i < 100; i++) /* more questions than answers that could leave */
        inject(1, tape[0].bytes, tape[0].length);
    assert_true(cw_session_transmit(s, 0, out, pair->now_ns) > 0);
    assert_int_equal(cw_session_transmit(s, 0, out, pair->now_ns), 0);
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
        for (int to = 0; to < 2; to++) {
            for (size_t length = 0; length < c->length; length += 1 + length / 64)
                inject(to, c->bytes, length);
            for (size_t at = 0; at < c->length; at += 1 + at / 64) {
                struct captured changed = *c;
                changed.bytes[at] ^= (uint8_t)(1u << cw_rng_below(&pair->rng, 8));
                inject(to, changed.bytes, changed.length);
            }
            if (!is_handshake(c->bytes))
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

/* An old handshake again: what is answered is not longer than it. (Sealed ones leave by themselves.) */
static void expect_small_answers(int to, const struct captured *c)
{
    uint8_t out[2048];
    size_t length, answered = 0;
    inject(to, c->bytes, c->length);
    while ((length = cw_session_transmit(pair->sides[to].session, 0, out, pair->now_ns)) > 0) {
        answered += is_handshake(out) ? length : 0;
        cw_link_push(&pair->sides[to].out[0], out, length, pair->now_ns);
    }
    assert_true(answered <= c->length);
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
            if (is_handshake(tape[i].bytes)) {
                expect_small_answers(0, &tape[i]);
                expect_small_answers(1, &tape[i]);
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
        if (!is_handshake(tape[i].bytes)) {
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
        cmocka_unit_test_setup_teardown(every_bit_of_a_sealed_datagram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_byte_of_a_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_another_lane, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgeries_wear_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(again_and_turned_round, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_another_session, set_up, tear_down),
        cmocka_unit_test_setup_teardown(before_there_are_keys, set_up, tear_down),
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
