/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Floods of handshakes, of every kind that somebody can send: what work they make, counted at the functions
 * that do it (the linker puts ours before them), what of a slow path their answers take, and that a peer that
 * begins anew still gets through. Sessions know no addresses: each of these comes from as many as one likes.
 *
 *   kind      | who can send it                     | what it may cost                | what it must not do
 *   stranger  | anybody                             | one MAC, up to a rate           | be answered
 *   unasked   | who saw a HELLO; certificates: all  | three MACs, up to a rate        | have state, X25519,
 * TLS shown     | who saw HELLOs with cookies, or     | two X25519 ten times a second;  | end the session, or
 * keep | sees the path (certificates)        | certificates: TLS each 2 s      | a new one from coming answer
 * | who saw what a responder said       | one MAC, up to a rate           | begin or end anything
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/numbers.h"
#include "pair.h"
#include "transport/session_internal.h"

#define TAPE_MAX      64u
#define STRANGERS     32u
#define PER_SECOND    50000u
#define SLOW_RATE     1250000u /* bytes a second: 10 Mbit/s */
#define EPHEMERAL_MAX 11u      /* a second: one each 100 ms */

static struct {
    uint64_t macs, x25519, judgements;
} work;

void __real_cw_hmac(const uint8_t key[CW_KEY_SIZE], const struct cw_bytes *pieces, size_t count,
                    uint8_t mac[CW_HASH_SIZE]);
void __wrap_cw_hmac(const uint8_t key[CW_KEY_SIZE], const struct cw_bytes *pieces, size_t count,
                    uint8_t mac[CW_HASH_SIZE]);
void __wrap_cw_hmac(const uint8_t key[CW_KEY_SIZE], const struct cw_bytes *pieces, size_t count,
                    uint8_t mac[CW_HASH_SIZE])
{
    work.macs++;
    __real_cw_hmac(key, pieces, count, mac);
}

void __real_cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral);
void __wrap_cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral);
void __wrap_cw_keys_ephemeral(const uint8_t seed[CW_SEED_SIZE], struct cw_ephemeral *ephemeral)
{
    work.x25519++;
    __real_cw_keys_ephemeral(seed, ephemeral);
}

bool __real_cw_keys_session(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                            const struct cw_offer *initiator, const struct cw_offer *responder,
                            const uint8_t own_secret[CW_KEY_SIZE], bool is_initiator,
                            struct cw_session_keys *keys);
bool __wrap_cw_keys_session(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                            const struct cw_offer *initiator, const struct cw_offer *responder,
                            const uint8_t own_secret[CW_KEY_SIZE], bool is_initiator,
                            struct cw_session_keys *keys);
bool __wrap_cw_keys_session(const uint8_t cluster_key[CW_KEY_SIZE], const struct cw_names *names,
                            const struct cw_offer *initiator, const struct cw_offer *responder,
                            const uint8_t own_secret[CW_KEY_SIZE], bool is_initiator,
                            struct cw_session_keys *keys)
{
    work.x25519++;
    return __real_cw_keys_session(cluster_key, names, initiator, responder, own_secret, is_initiator, keys);
}

struct datagrams {
    uint32_t count;
    uint8_t bytes[TAPE_MAX][CW_HANDSHAKE_BYTES];
};

static struct cw_pair *pair;
static struct datagrams unasked, shown, answers; /* on the wire so far */
static bool must_refuse;                         /* the responder's authenticator */
static uint32_t answered[2];                     /* handshake datagrams that left each side */

/* ---- what is on the wire, and what is said of it ----------------------------------------------------------
 */

static void add(struct datagrams *all, const uint8_t *datagram)
{
    if (all->count < TAPE_MAX)
        memcpy(all->bytes[all->count++], datagram, CW_HANDSHAKE_BYTES);
}

static void record(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    if (datagram[16] != (CW_PACKET_VERSION << 4 | CW_PACKET_HANDSHAKE))
        return;
    answered[from]++;
    if (length != CW_HANDSHAKE_BYTES)
        return;
    if (from == 1 || datagram[26] != CW_HANDSHAKE_HELLO)
        add(&answers, datagram);
    else
        add(sodium_is_zero(datagram + 104, 32) ? &unasked : &shown, datagram);
}

/* Judges at once, without a word: only how often it is asked is looked at. */
static void authenticate(struct cw_pair *of, int side)
{
    struct cw_auth_request request;
    while (cw_session_auth_request(of->sides[side].session, &request)) {
        if (request.type != CW_AUTH_BEGIN)
            continue;
        work.judgements++;
        struct cw_auth_answer verdict = {.type = CW_AUTH_KEYED, .attempt = request.attempt};
        if (must_refuse && side == 1)
            verdict = (struct cw_auth_answer){
                .type = CW_AUTH_REFUSED, .attempt = request.attempt, .reason = CW_AUTH_BROKEN};
        else
            crypto_hash_sha256(verdict.secret, request.context, sizeof request.context);
        cw_session_auth_answer(of->sides[side].session, &verdict, of->now_ns);
    }
}

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    memset(&work, 0, sizeof work);
    unasked.count = shown.count = answers.count = 0;
    must_refuse = false;
    return pair ? 0 : -1;
}

static int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    return 0;
}

/* Up for the fourth time: there are HELLOs whose cookies are still good. */
static void begin(bool has_certificates, uint64_t rate, uint64_t seed)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS, .rate_bytes_per_second = rate};
    struct cw_session_config configs[2];
    cw_pair_defaults(&configs[0], &configs[1], seed);
    for (int i = 0; i < 2; i++) {
        configs[i].paths[0].rate_bytes_per_second = rate;
        configs[i].has_certificates = has_certificates;
        if (has_certificates)
            memset(configs[i].cluster_key, 0, sizeof configs[i].cluster_key);
    }
    cw_pair_init(pair, &configs[0], &configs[1], &link, seed);
    pair->tap = record;
    pair->authenticate = authenticate;
    for (uint32_t life = 0; life < 4; life++) {
        if (life > 0)
            cw_pair_restart(pair, 0);
        assert_true(cw_pair_run(pair, pair->now_ns + 3 * CW_SECOND, cw_pair_is_up));
        cw_pair_run(pair, pair->now_ns + 20 * CW_MS, NULL);
    }
    assert_true(unasked.count >= 4 && shown.count >= 4 && answers.count >= 12);
}

/* ---- the flood ----------------------------------------------------------------------------------------- */

static void inject(int to, const uint8_t *datagram)
{
    uint8_t copy[CW_HANDSHAKE_BYTES];
    memcpy(copy, datagram, sizeof copy);
    cw_session_on_datagram(pair->sides[to].session, 0, copy, sizeof copy, pair->now_ns);
}

/* One that was never on the wire, and whose MAC is wrong. */
static void inject_strange(int to)
{
    uint8_t strange[CW_HANDSHAKE_BYTES];
    memcpy(strange, unasked.bytes[0], sizeof strange);
    strange[40 + cw_rng_below(&pair->rng, 216)] ^= (uint8_t)(1 + cw_rng_below(&pair->rng, 255));
    inject(to, strange);
}

enum kind { NOTHING, STRANGER, UNASKED, SHOWN, ANSWER };

static void inject_next(enum kind kind, uint32_t i)
{
    static const struct datagrams *const tapes[] = {
        [UNASKED] = &unasked, [SHOWN] = &shown, [ANSWER] = &answers};
    if (kind == STRANGER)
        inject_strange((int)(i & 1));
    else if (kind != NOTHING)
        inject(kind == ANSWER ? 0 : 1, tapes[kind]->bytes[i % tapes[kind]->count]);
}

/* So many a second, while the initiator sends what it can. */
static void flood(enum kind kind, uint32_t per_second, uint64_t ns)
{
    struct cw_pair_side *s = &pair->sides[0];
    uint64_t end_ns = pair->now_ns + ns;
    for (uint32_t i = 0; pair->now_ns < end_ns;) {
        for (uint32_t n = 0; n < per_second / 1000; n++)
            inject_next(kind, i++);
        while (cw_session_can_send(s->session, CW_STREAM_LIVE, 4096) && s->sent_count < CW_PAIR_MESSAGES)
            assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 4096));
        cw_pair_run(pair, pair->now_ns + CW_MS, NULL);
    }
}

static uint64_t counter(int side, uint32_t which)
{
    return cw_pair_counter(pair, side, which);
}

/* What arrives in two seconds, and what else is counted then. */
static uint32_t arrived_under(enum kind kind)
{
    uint32_t before = pair->sides[1].arrived_count;
    flood(kind, PER_SECOND, 2 * CW_SECOND);
    return pair->sides[1].arrived_count - before;
}

static void a_live_session(bool has_certificates, enum kind kind)
{
    const uint64_t seconds = 2, looked_at = CW_FLOOD_LIVE_PER_SECOND * seconds + CW_FLOOD_AT_ONCE;
    begin(has_certificates, SLOW_RATE, 11 + (uint64_t)kind);
    flood(NOTHING, 0, CW_SECOND);
    uint32_t alone = arrived_under(NOTHING);
    uint32_t downs = pair->sides[0].downs + pair->sides[1].downs;
    memset(&work, 0, sizeof work);
    answered[0] = answered[1] = 0;
    uint32_t flooded = arrived_under(kind);
    assert_true(alone > 500);
    assert_true(flooded * 100 >= alone * 95);
    assert_int_equal(pair->sides[0].downs + pair->sides[1].downs, downs);
    assert_true(counter(0, CW_SESSION_DROP_FLOOD) + counter(1, CW_SESSION_DROP_FLOOD) >=
                seconds * PER_SECOND - 2 * looked_at);
    /* each that is looked at: a MAC; then a cookie tried twice and made once, and the MAC of an answer */
    assert_true(work.macs <= 2 * looked_at * 5);
    assert_true(work.x25519 <= 2 * EPHEMERAL_MAX * seconds);
    assert_true(answered[1] <= looked_at);
    assert_true(work.judgements <= 2);
    assert_true(kind == SHOWN || work.x25519 == 0);
    assert_true(kind == UNASKED || kind == SHOWN || answered[0] + answered[1] == 0);
}

static void live_sessions_keep_their_rate(void **state)
{
    for (int has_certificates = 0; has_certificates < 2; has_certificates++)
        for (enum kind kind = STRANGER; kind <= ANSWER; kind++) {
            a_live_session(has_certificates, kind);
            cw_pair_fini(pair);
        }
    begin(false, SLOW_RATE, 1);
}

/* ---- one by one ------------------------------------------------------------------------------------------
 */

static uint64_t macs_of(const uint8_t *datagram, bool is_answered)
{
    uint8_t out[CW_HANDSHAKE_BYTES];
    struct cw_session *s = pair->sides[1].session;
    s->paths[0].flood.next_ns = 0; /* the limit is looked at elsewhere */
    uint64_t before = work.macs;
    inject(1, datagram);
    size_t length = cw_session_transmit(s, 0, out, pair->now_ns);
    assert_int_equal(length, is_answered ? CW_HANDSHAKE_BYTES : 0);
    return work.macs - before;
}

static void what_each_costs(void **state)
{
    begin(false, 0, 2);
    cw_pair_restart(pair, 1); /* down, and of another secret: no cookie is good */
    uint64_t x25519 = work.x25519;
    uint8_t strange[CW_HANDSHAKE_BYTES];
    memcpy(strange, unasked.bytes[0], sizeof strange);
    strange[250] ^= 1;
    assert_int_equal(macs_of(strange, false), 1);
    assert_int_equal(macs_of(unasked.bytes[0], true), 3); /* its own, the cookie, the answer's */
    assert_int_equal(macs_of(shown.bytes[0], true), 5);   /* and two cookies that it is not */
    assert_int_equal(macs_of(answers.bytes[0], false), 1);
    assert_int_equal(work.x25519 - x25519, 0);
}

/* Ten a second, however many different ones, and whatever became of the last. */
static void good_cookies_are_answered_ten_times_a_second(void **state)
{
    begin(false, 0, 3);
    uint64_t before = work.x25519;
    flood(SHOWN, PER_SECOND, 3 * CW_SECOND);
    uint64_t spent = work.x25519 - before;
    assert_true(spent >= 20); /* the attack does reach what it is about */
    assert_true(spent <= 2 * EPHEMERAL_MAX * 3);
    assert_true(cw_pair_is_up(pair));
}

/* A stranger who sees the path, and ends each of his attempts at once by bytes that are none of TLS. */
static void one_judgement_in_two_seconds_however_it_ends(void **state)
{
    static struct cw_handshake strangers[STRANGERS];
    static struct cw_carry carries[STRANGERS];
    static const uint8_t nobody[CW_KEY_SIZE];
    uint8_t datagram[CW_HANDSHAKE_BYTES];
    begin(true, 0, 4);
    struct cw_session *responder = pair->sides[1].session;
    shown.count = 0;
    for (uint32_t i = 0; i < STRANGERS; i++) {
        const uint8_t seed[CW_SEED_SIZE] = {(uint8_t)i, 99};
        const struct cw_handshake_config config = {.is_initiator = true,
                                                   .local_name = "east",
                                                   .remote_name = "west",
                                                   .cluster_key = nobody,
                                                   .carry = &carries[i],
                                                   .seed = seed,
                                                   .window = 256,
                                                   .path_count = 1,
                                                   .paths = {{.datagram_bytes = 1472}}};
        cw_handshake_init(&strangers[i], &config);
        cw_handshake_start(&strangers[i], pair->now_ns);
        cw_pair_run(pair, pair->now_ns + 10 * CW_MS, NULL);
        (void)cw_handshake_transmit(&strangers[i], 0, datagram, pair->now_ns);
        responder->paths[0].flood.next_ns = 0;
        inject(1, datagram);
        assert_int_equal(cw_session_transmit(responder, 0, datagram, pair->now_ns), CW_HANDSHAKE_BYTES);
        assert_int_equal(cw_handshake_on_datagram(&strangers[i], 0, datagram, sizeof datagram, pair->now_ns),
                         CW_HANDSHAKE_TAKEN);
        (void)cw_handshake_transmit(&strangers[i], 0, datagram, pair->now_ns);
        add(&shown, datagram);
    }
    must_refuse = true;
    memset(&work, 0, sizeof work);
    flood(SHOWN, PER_SECOND, 7 * CW_SECOND);
    assert_in_range(work.judgements, 2, 4);
    assert_true(work.x25519 <= work.judgements);
    assert_true(cw_pair_is_up(pair));
}

/* ---- a peer that begins anew -----------------------------------------------------------------------------
 */

static void it_comes_up(bool has_certificates, enum kind kind, uint32_t per_second, uint64_t limit_ns)
{
    begin(has_certificates, 0, 21 + (uint64_t)kind);
    cw_pair_restart(pair, 0);
    uint64_t end_ns = pair->now_ns + limit_ns;
    while (!cw_pair_is_up(pair) || pair->sides[1].ups < 5) {
        assert_true(pair->now_ns < end_ns);
        flood(kind, per_second, 5 * CW_MS);
    }
    flood(kind, per_second, CW_SECOND);
    assert_true(cw_pair_is_up(pair));
    cw_pair_fini(pair);
}

static void a_peer_that_begins_anew_gets_through(void **state)
{
    for (int has_certificates = 0; has_certificates < 2; has_certificates++) {
        it_comes_up(has_certificates, STRANGER, 2000, 10 * CW_SECOND);
        it_comes_up(has_certificates, UNASKED, 2000, 20 * CW_SECOND);
        it_comes_up(has_certificates, ANSWER, 2000, 10 * CW_SECOND);
    }
    it_comes_up(false, SHOWN, 2000, 30 * CW_SECOND); /* until those cookies are of no use any more */
    begin(false, 0, 1);
}

/* A flood on one path takes nothing from the handshakes on another. */
static void the_other_path_is_free(void **state)
{
    struct cw_link_config link = {.delay_ns = 5 * CW_MS};
    struct cw_session_config configs[2];
    uint8_t copy[CW_HANDSHAKE_BYTES], out[CW_HANDSHAKE_BYTES];
    begin(false, 0, 5);
    memcpy(configs, (struct cw_session_config[]){pair->sides[0].config, pair->sides[1].config},
           sizeof configs);
    cw_pair_fini(pair);
    for (int i = 0; i < 2; i++) {
        configs[i].path_count = 2;
        configs[i].paths[1] = configs[i].paths[0];
        configs[i].paths[1].name_hash = configs[i].paths[0].name_hash + 1;
    }
    cw_pair_init(pair, &configs[0], &configs[1], &link, 5);
    struct cw_session *responder = pair->sides[1].session;
    for (uint32_t i = 0; i < 10 * CW_FLOOD_AT_ONCE; i++)
        inject_strange(1);
    assert_int_equal(counter(1, CW_SESSION_DROP_FLOOD), 9 * CW_FLOOD_AT_ONCE);
    assert_int_equal(cw_session_transmit(responder, 1, out, pair->now_ns), 0);
    memcpy(copy, unasked.bytes[0], sizeof copy);
    cw_session_on_datagram(responder, 1, copy, sizeof copy, pair->now_ns);
    assert_int_equal(cw_session_transmit(responder, 1, out, pair->now_ns), CW_HANDSHAKE_BYTES);
    assert_int_equal(out[26], CW_HANDSHAKE_COOKIE);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(what_each_costs),
        STORY(live_sessions_keep_their_rate),
        STORY(good_cookies_are_answered_ten_times_a_second),
        STORY(one_judgement_in_two_seconds_however_it_ends),
        STORY(a_peer_that_begins_anew_gets_through),
        STORY(the_other_path_is_free),
    };
    return cmocka_run_group_tests_name("transport/flood", tests, NULL, NULL);
}
