/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions whose peers are judged by authenticators, here two that exchange three flights of bytes and know
 * no certificates: what they say is carried whole over a path that loses, doubles, reorders and changes;
 * their verdict decides; until it falls, and after it was taken back, not one byte of data is sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "pair.h"
#include "transport/session_internal.h"

#define ALERT_BYTES 20u

struct authenticator {
    uint32_t attempt, heard, said;
    uint8_t context[CW_AUTH_CONTEXT_BYTES];
    bool is_initiator, is_judged;
    bool has_judged; /* since its process began */
    uint32_t begun, ups, up_attempt;
    uint8_t reason;       /* its verdict on the other; 0: good */
    uint32_t flight[3];   /* bytes: the initiator's, the responder's, the initiator's again */
    bool is_silent;       /* it never says anything */
    bool has_other_faith; /* the secret is not the other's */
};

static struct cw_pair *pair;
static struct authenticator authenticators[2];
static const struct cw_link_config good_link = {.delay_ns = 10 * CW_MS};
static uint32_t sealed_before[2]; /* sealed datagrams sent while the sender's authenticator had not judged */
static uint32_t handshakes_sent[2];
static size_t largest_early[2];

/* Never 0: that is an alert. */
static uint8_t byte_of(int side, uint32_t at)
{
    return (uint8_t)(at * 5 + at / 97 + (uint32_t)side * 3) | 1;
}

static void tell(int side, uint8_t type, uint8_t reason)
{
    struct authenticator *a = &authenticators[side];
    struct cw_auth_answer out = {.type = type, .attempt = a->attempt, .reason = reason};
    if (type == CW_AUTH_KEYED)
        crypto_hash_sha256(out.secret, a->context, sizeof a->context - a->has_other_faith);
    cw_session_auth_answer(pair->sides[side].session, &out, pair->now_ns);
}

static void put(int side, uint32_t length, bool is_alert)
{
    struct authenticator *a = &authenticators[side];
    struct cw_auth_answer out = {.type = CW_AUTH_OUT, .attempt = a->attempt};
    for (uint32_t done = 0; done < length; done += out.length) {
        out.length = (uint16_t)CW_MIN(length - done, CW_AUTH_CHUNK);
        for (uint32_t i = 0; i < out.length; i++)
            out.bytes[i] = is_alert ? 0 : byte_of(side, a->said++);
        cw_session_auth_answer(pair->sides[side].session, &out, pair->now_ns);
    }
}

static void judge(int side)
{
    struct authenticator *a = &authenticators[side];
    a->is_judged = a->has_judged = true;
    if (a->reason)
        put(side, ALERT_BYTES, true);
    else if (a->is_initiator)
        put(side, a->flight[2], false);
    tell(side, a->reason ? CW_AUTH_REFUSED : CW_AUTH_KEYED, a->reason);
}

/* Like TLS 1.3: the initiator has judged before the responder has seen anything of his. */
static void on_bytes(int side, const struct cw_auth_request *request)
{
    struct authenticator *a = &authenticators[side];
    for (uint32_t i = 0; i < request->length; i++) {
        if (request->bytes[i] == 0) {
            tell(side, CW_AUTH_REFUSED, CW_AUTH_REFUSED_BY_PEER);
            return;
        }
        assert_int_equal(request->bytes[i], byte_of(!side, a->heard++));
    }
    if (!a->is_initiator && a->heard >= a->flight[0] && a->said == 0)
        put(side, a->flight[1], false);
    if (!a->is_judged && a->heard >= (a->is_initiator ? a->flight[1] : a->flight[0] + a->flight[2]))
        judge(side);
}

static void authenticate(struct cw_pair *p, int side)
{
    struct cw_auth_request request;
    struct authenticator *a = &authenticators[side];
    while (cw_session_auth_request(p->sides[side].session, &request)) {
        if (request.type == CW_AUTH_UP) {
            a->ups++;
            a->up_attempt = request.attempt;
        } else if (request.type == CW_AUTH_BEGIN) {
            a->attempt = request.attempt;
            a->is_initiator = request.is_initiator;
            a->heard = a->said = 0;
            a->is_judged = false;
            a->begun++;
            memcpy(a->context, request.context, sizeof a->context);
            if (a->is_initiator && !a->is_silent)
                put(side, a->flight[0], false);
        } else {
            assert_int_equal(request.attempt, a->attempt);
            if (!a->is_silent)
                on_bytes(side, &request);
        }
    }
}

static void watch(struct cw_pair *p, int from, uint8_t *datagram, size_t length)
{
    bool is_handshake = datagram[16] == (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE);
    handshakes_sent[from] += is_handshake;
    if (!is_handshake && !authenticators[from].has_judged)
        sealed_before[from]++;
    if (is_handshake && authenticators[from].begun == 0)
        largest_early[from] = CW_MAX(largest_early[from], length);
}

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    memset(authenticators, 0, sizeof authenticators);
    memset(sealed_before, 0, sizeof sealed_before);
    memset(handshakes_sent, 0, sizeof handshakes_sent);
    memset(largest_early, 0, sizeof largest_early);
    for (int i = 0; i < 2; i++)
        memcpy(authenticators[i].flight, (uint32_t[]){300, 3000, 2500}, sizeof authenticators[i].flight);
    return 0;
}

static int tear_down(void **state)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(sealed_before[i], 0);
    cw_pair_fini(pair);
    free(pair);
    return 0;
}

static void begin(const struct cw_link_config *link, uint64_t seed)
{
    struct cw_session_config configs[2];
    cw_pair_defaults(&configs[0], &configs[1], seed);
    for (int i = 0; i < 2; i++) {
        configs[i].has_certificates = true;
        memset(configs[i].cluster_key, 0, sizeof configs[i].cluster_key);
    }
    cw_pair_init(pair, &configs[0], &configs[1], link, seed);
    pair->authenticate = authenticate;
    pair->tap = watch;
}

static void run(uint64_t ns)
{
    cw_pair_run(pair, pair->now_ns + ns, NULL);
}

static void talk(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (int side = 0; side < 2; side++) {
            while (!cw_session_can_send(pair->sides[side].session, CW_STREAM_LIVE, 5000))
                run(CW_MS); /* credit comes */
            assert_true(cw_pair_send(pair, side, CW_STREAM_LIVE, 64, 5000));
        }
    assert_true(cw_pair_run(pair, pair->now_ns + 30 * CW_SECOND, cw_pair_is_finished));
    assert_int_equal(pair->sides[0].arrived_count, pair->sides[1].sent_count);
}

static void up_and_in_use(void **state)
{
    begin(&good_link, 1);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    talk(3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(authenticators[i].begun, 1);
        assert_int_equal(authenticators[i].ups, 1);
        assert_int_equal(authenticators[i].up_attempt, authenticators[i].attempt);
        assert_int_equal(cw_pair_counter(pair, i, CW_SESSION_DROP_HANDSHAKE), 0);
    }
    assert_memory_equal(authenticators[0].context, authenticators[1].context, CW_AUTH_CONTEXT_BYTES);
    assert_true(largest_early[1] <=
                CW_HANDSHAKE_BYTES); /* before the cookie no answer is above its question */
}

static void a_path_that_is_no_good(void **state)
{
    static const struct cw_link_config bad[] = {
        {.delay_ns = 20 * CW_MS, .loss_per_million = 300000},
        {.delay_ns = 20 * CW_MS, .duplicate_per_million = 400000, .jitter_ns = 30 * CW_MS},
        {.delay_ns = 5 * CW_MS, .late_per_million = 300000, .late_ns = 50 * CW_MS, .loss_per_million = 50000},
        {.delay_ns = 5 * CW_MS, .corrupt_per_million = 150000, .truncate_per_million = 150000},
        {.delay_ns = 375 * CW_MS},
    };
    for (uint64_t seed = 0; seed < 40; seed++) {
        memset(authenticators, 0, sizeof authenticators);
        for (int i = 0; i < 2; i++)
            memcpy(authenticators[i].flight, (uint32_t[]){300, 3000, 2500}, sizeof authenticators[i].flight);
        begin(&bad[seed % CW_COUNT_OF(bad)], seed + 10);
        assert_true(cw_pair_run(pair, pair->now_ns + 60 * CW_SECOND, cw_pair_is_up));
        talk(1);
        if (seed < 39)
            cw_pair_fini(pair);
    }
}

static void expect_refused(int by, uint8_t reason, uint32_t counter)
{
    authenticators[by].reason = reason;
    begin(&good_link, 3);
    run(5 * CW_SECOND);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
    uint64_t here = cw_pair_counter(pair, by, counter);
    assert_in_range(here, 2, 4); /* again every two seconds, not faster */
    assert_in_range(cw_pair_counter(pair, !by, CW_SESSION_REFUSED_BY_PEER), here - 1, here);
    assert_in_range(handshakes_sent[1], 1, 60);
    authenticators[by].reason = 0; /* and when the reason is gone */
    assert_true(cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, cw_pair_is_up));
    talk(1);
}

static void refused_by_the_initiator(void **state)
{
    expect_refused(0, CW_AUTH_OTHER_SITE, CW_SESSION_REFUSED_SITE);
}

static void refused_by_the_responder_who_judges_last(void **state)
{
    expect_refused(1, CW_AUTH_REVOKED, CW_SESSION_REFUSED_REVOKED);
}

static void secrets_that_differ(void **state)
{
    authenticators[1].has_other_faith = true;
    begin(&good_link, 4);
    run(10 * CW_SECOND);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
}

static void an_authenticator_that_says_nothing(void **state)
{
    authenticators[1].is_silent = true;
    begin(&good_link, 5);
    run(25 * CW_SECOND);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
    assert_true(authenticators[0].begun >= 2); /* it gave up, and began anew */
    authenticators[1].is_silent = false;
    assert_true(cw_pair_run(pair, pair->now_ns + 25 * CW_SECOND, cw_pair_is_up));
}

static void one_that_says_too_much(void **state)
{
    for (int i = 0; i < 2; i++)
        authenticators[i].flight[0] = CW_CARRY_BYTES_MAX + 1;
    begin(&good_link, 6);
    run(3 * CW_SECOND);
    assert_true(cw_pair_counter(pair, 0, CW_SESSION_REFUSED_BROKEN) > 0);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
}

/* Neither a verdict of another attempt nor one that comes twice does anything. */
static void answers_that_are_late(void **state)
{
    begin(&good_link, 7);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    static const uint8_t types[] = {CW_AUTH_OUT, CW_AUTH_KEYED, CW_AUTH_REFUSED, CW_AUTH_ENDED};
    for (size_t i = 0; i < CW_COUNT_OF(types); i++)
        for (int side = 0; side < 2; side++)
            for (uint32_t attempt = 0; attempt < 4; attempt++) {
                if (types[i] == CW_AUTH_ENDED && attempt == authenticators[side].attempt)
                    continue;
                struct cw_auth_answer late = {
                    .type = types[i], .attempt = attempt, .reason = CW_AUTH_EXPIRED, .length = 10};
                cw_session_auth_answer(pair->sides[side].session, &late, pair->now_ns);
            }
    talk(2);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, 0);
}

static void belief_that_is_taken_back(void **state)
{
    begin(&good_link, 8);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    talk(1);
    assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 64, 5000));
    authenticators[1].reason = CW_AUTH_REVOKED;
    tell(1, CW_AUTH_ENDED, CW_AUTH_REVOKED);
    assert_false(cw_session_is_up(pair->sides[1].session));
    run(4 * CW_SECOND);
    assert_int_equal(pair->sides[1].last_why, CW_DOWN_UNTRUSTED);
    assert_int_equal(pair->sides[0].last_why, CW_DOWN_CLOSED_BY_PEER);
    assert_int_equal(pair->sides[0].ups, 1);
    assert_int_equal(pair->sides[1].arrived_count, 1);
    assert_true(cw_pair_counter(pair, 1, CW_SESSION_REFUSED_REVOKED) >= 2);
}

/* One side restarts: the other's live session is not touched until the new one is judged. */
static void a_restart(void **state)
{
    begin(&good_link, 9);
    assert_true(cw_pair_run(pair, pair->now_ns + CW_SECOND, cw_pair_is_up));
    for (int side = 0; side < 2; side++) {
        authenticators[side].has_judged = false;
        cw_pair_restart(pair, side);
        run(6 * CW_SECOND);
        assert_true(cw_pair_is_up(pair));
        talk(1);
    }
}

static void key_against_certificates(void **state)
{
    struct cw_session_config configs[2];
    cw_pair_defaults(&configs[0], &configs[1], 11);
    memset(configs[0].cluster_key, 0, 32); /* and even when the key of the other is known to all */
    memset(configs[1].cluster_key, 0, 32);
    configs[0].has_certificates = true;
    cw_pair_init(pair, &configs[0], &configs[1], &good_link, 11);
    pair->authenticate = authenticate;
    run(10 * CW_SECOND);
    assert_int_equal(pair->sides[0].ups + pair->sides[1].ups, 0);
    assert_int_equal(authenticators[0].begun, 0);
    assert_true(cw_pair_counter(pair, 0, CW_SESSION_DROP_HANDSHAKE) > 0);
}

/* With a cookie but no certificate: one judgement in two seconds, however many HELLOs he makes up. */
static void a_stranger_on_the_path(void **state)
{
    struct cw_session_config configs[2];
    uint8_t datagram[1472];
    begin(&good_link, 12);
    cw_pair_fini(pair);
    cw_pair_defaults(&configs[0], &configs[1], 12);
    authenticators[0].begun = authenticators[1].begun = 0;
    begin(&(struct cw_link_config){.loss_per_million = 1000000}, 12); /* nothing of the true one arrives */
    struct cw_session *responder = pair->sides[1].session;
    struct cw_handshake stranger;
    for (int i = 0; i < 200; i++) {
        uint8_t seed[CW_SEED_SIZE] = {(uint8_t)i, 99};
        struct cw_carry carry;
        const struct cw_handshake_config config = {.is_initiator = true,
                                                   .local_name = "east",
                                                   .remote_name = "west",
                                                   .cluster_key = configs[0].cluster_key,
                                                   .carry = &carry,
                                                   .seed = seed,
                                                   .window = 256,
                                                   .path_count = 1,
                                                   .paths = {{.datagram_bytes = 1472}}};
        memset((void *)configs[0].cluster_key, 0, 32);
        cw_handshake_init(&stranger, &config);
        cw_handshake_start(&stranger, pair->now_ns);
        for (int turn = 0; turn < 2; turn++) {
            size_t asked = cw_handshake_transmit(&stranger, 0, datagram, pair->now_ns);
            cw_session_on_datagram(responder, 0, datagram, asked, pair->now_ns);
            size_t length = cw_session_transmit(responder, 0, datagram, pair->now_ns);
            assert_true(length <= asked);
            if (turn == 0)
                assert_int_equal(cw_handshake_on_datagram(&stranger, 0, datagram, length, pair->now_ns),
                                 CW_HANDSHAKE_TAKEN);
        }
        run(50 * CW_MS);
    }
    assert_in_range(authenticators[1].begun, 4, 6); /* ten seconds */
    assert_int_equal(pair->sides[1].ups, 0);
}

/* CARRY of a member of the attempt, made up: out of range, of other randoms, cut. */
static void carries_that_are_refused(void **state)
{
    static uint8_t last[1472];
    uint8_t datagram[1472];
    begin(&good_link, 13);
    run(25 * CW_MS);
    while (authenticators[1].begun == 0)
        run(CW_MS);
    struct cw_handshake *h = &pair->sides[1].session->handshake;
    struct cw_handshake *from = &pair->sides[0].session->handshake;
    assert_int_equal(h->state, CW_HANDSHAKE_JUDGING);
    while (from->state != CW_HANDSHAKE_CARRYING)
        run(CW_MS);
    run(CW_MS);
    cw_carry_resend(from->carry);
    size_t length = cw_handshake_transmit(from, 0, last, pair->now_ns);
    assert_int_equal(length, 128 + 300);
    static const struct {
        size_t at;
        uint32_t value;
    } bad[] = {{40, 7}, {72, 7}, {104, 1}, {108, 16384}, {108, 16384 - 299}, {108, UINT32_MAX}};
    for (size_t i = 0; i < CW_COUNT_OF(bad); i++) {
        uint8_t mac[CW_HASH_SIZE];
        memcpy(datagram, last, length);
        cw_store32le(datagram + bad[i].at, bad[i].value);
        struct cw_bytes all = {datagram, length - CW_MAC_SIZE};
        cw_hmac(h->mac_keys.from_initiator, &all, 1, mac);
        memcpy(datagram + length - CW_MAC_SIZE, mac, CW_MAC_SIZE);
        assert_int_equal(cw_handshake_on_datagram(h, 0, datagram, length, pair->now_ns),
                         CW_HANDSHAKE_DROPPED);
    }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(cw_handshake_on_datagram(h, 0, last, cut, pair->now_ns), CW_HANDSHAKE_DROPPED);
    assert_int_equal(h->carry->got, 0);
    assert_int_equal(cw_handshake_on_datagram(h, 0, last, length, pair->now_ns), CW_HANDSHAKE_TAKEN);
    assert_int_equal(h->carry->got, 300);
    assert_true(cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, cw_pair_is_up));
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(up_and_in_use),
        STORY(a_path_that_is_no_good),
        STORY(refused_by_the_initiator),
        STORY(refused_by_the_responder_who_judges_last),
        STORY(secrets_that_differ),
        STORY(an_authenticator_that_says_nothing),
        STORY(one_that_says_too_much),
        STORY(answers_that_are_late),
        STORY(belief_that_is_taken_back),
        STORY(a_restart),
        STORY(key_against_certificates),
        STORY(a_stranger_on_the_path),
        STORY(carries_that_are_refused),
    };
    return cmocka_run_group_tests_name("transport/certificates", tests, NULL, NULL);
}
