/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys that are of no more use are nowhere: the memory of sessions is searched for every key that was ever
 * made, all the time, and at the end all that the process may write to. What is looked for is remembered
 * inverted, or the search would find itself.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "io/aead.h"
#include "pair.h"
#include "transport/session_internal.h"

#define KEYS_MAX 4096u

static struct cw_pair *pair;
static uint8_t (*inverted)[CW_KEY_SIZE]; /* every key that was expanded, and what else was secret */
static uint32_t inverted_count;
static const struct cw_link_config good_link = {.delay_ns = CW_MS};

static bool is_at(const uint8_t *at, const uint8_t of[CW_KEY_SIZE])
{
    for (uint32_t i = 0; i < CW_KEY_SIZE; i++)
        if ((at[i] ^ of[i]) != 0xff)
            return false;
    return true;
}

/* Both sides expand each key. */
static void remember(const uint8_t secret[CW_KEY_SIZE])
{
    CW_ASSERT(inverted_count < KEYS_MAX);
    for (uint32_t i = 0; i < inverted_count; i++)
        if (is_at(secret, inverted[i]))
            return;
    for (uint32_t i = 0; i < CW_KEY_SIZE; i++)
        inverted[inverted_count][i] = (uint8_t)~secret[i];
    inverted_count++;
}

static void expand(void *state, const uint8_t key[32])
{
    remember(key);
    cw_aead_ipsecmb()->key_expand(state, key);
}

/* The real one; the first bytes of its key state are the key (FIPS 197: so are the first round keys). */
static const struct cw_aead_ops *watched(void)
{
    static struct cw_aead_ops ops;
    ops = *cw_aead_ipsecmb();
    ops.key_expand = expand;
    return &ops;
}

static uint32_t count_in(const uint8_t *memory, size_t size, const uint8_t of[CW_KEY_SIZE])
{
    uint32_t count = 0;
    uint8_t first = (uint8_t)~of[0];
    const uint8_t *end = memory + size - CW_KEY_SIZE + 1;
    for (const uint8_t *at = memory; at < end && (at = memchr(at, first, (size_t)(end - at))); at++)
        count += is_at(at, of);
    return count;
}

/* How often the key may be there: as often as it is in use. */
static uint32_t uses(const struct cw_session *s, const struct cw_sa *sa, const uint8_t of[CW_KEY_SIZE])
{
    bool is_late = sa->last_until_ns > 0 && s->now_ns < sa->last_until_ns;
    return is_at(sa->key_out, of) + is_at(sa->key_in, of) + is_at(sa->key_in_next, of) +
           (is_late && is_at(sa->key_in_last, of));
}

static uint32_t may_be_there(const struct cw_session *s, const uint8_t of[CW_KEY_SIZE])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->config.path_count; i++) {
        const struct cw_path *p = &s->paths[i];
        if (s->state == CW_STATE_UP)
            count += uses(s, p->live, of);
        else if (p->close_due)
            count += is_at(p->live->key_out, of);
        if (p->next->is_ready)
            count += uses(s, p->next, of);
    }
    return count;
}

/* Small things first: buffers of messages are large, hold no keys, and are searched now and then. */
static void look(bool everywhere)
{
    for (int side = 0; side < 2; side++) {
        struct cw_pair_side *of = &pair->sides[side];
        const uint8_t *end = everywhere ? of->memory + of->memory_size : of->session->receive.memory;
        for (uint32_t i = 0; i < inverted_count; i++)
            assert_int_equal(count_in(of->memory, (size_t)(end - of->memory), inverted[i]),
                             may_be_there(of->session, inverted[i]));
    }
}

static int set_up(void **state)
{
    pair = calloc(1, sizeof *pair);
    inverted = calloc(KEYS_MAX, sizeof *inverted);
    inverted_count = 0;
    return pair && inverted ? 0 : -1;
}

static int tear_down(void **state)
{
    cw_pair_fini(pair);
    free(pair);
    free(inverted);
    return 0;
}

static void begin(const struct cw_link_config *link, uint64_t seed)
{
    struct cw_session_config configs[2];
    cw_pair_defaults(&configs[0], &configs[1], seed);
    for (int i = 0; i < 2; i++) {
        configs[i].aead = watched();
        configs[i].receive_count[CW_CLASS_SMALL] = configs[i].receive_count[CW_CLASS_MEDIUM] = 4;
    }
    cw_pair_init(pair, &configs[0], &configs[1], link, seed);
}

/* In steps, looking after each. */
static void run(uint64_t ns, uint64_t step_ns)
{
    for (uint64_t end_ns = pair->now_ns + ns; pair->now_ns < end_ns;) {
        cw_pair_run(pair, pair->now_ns + step_ns, NULL);
        look(false);
    }
}

static void go_up(void)
{
    assert_true(cw_pair_run(pair, pair->now_ns + 20 * CW_SECOND, cw_pair_is_up));
    cw_pair_run(pair, pair->now_ns + 10 * CW_MS, NULL); /* credit comes */
    look(true);
}

/* The memory of a session holds each key that is used once, so what the search finds or not means something.
 */
static void keys_in_use_are_found(void **state)
{
    begin(&good_link, 1);
    go_up();
    uint32_t found = 0;
    for (uint32_t i = 0; i < inverted_count; i++)
        found += may_be_there(pair->sides[0].session, inverted[i]);
    assert_int_equal(found, 3); /* out, in, and the one that follows in */
}

static void seeds_and_secrets_of_a_handshake(void **state)
{
    struct cw_ephemeral own;
    begin(&good_link, 2);
    for (int side = 0; side < 2; side++) {
        cw_keys_ephemeral(pair->sides[side].config.seed, &own);
        remember(pair->sides[side].config.seed);
        remember(pair->sides[side].config.seed + CW_KEY_SIZE);
        remember(own.secret);
    }
    assert_int_equal(count_in(pair->sides[1].memory, pair->sides[1].memory_size, inverted[3]), 1);
    go_up();                                          /* looks for them: nobody may have them any more */
    remember(pair->sides[0].session->handshake.seed); /* the reserve */
    uint32_t reserve = inverted_count - 1;
    assert_int_equal(count_in(pair->sides[0].memory, pair->sides[0].memory_size, inverted[reserve]), 1);
    pair->sides[0].has_entropy = false;
    cw_session_close(pair->sides[0].session, pair->now_ns);
    go_up();
}

/* Chains are not expanded: they are taken from where they stand. */
static void keys_that_were_replaced(void **state)
{
    begin(&good_link, 3);
    go_up();
    for (int round = 0; round < 5; round++) {
        for (int side = 0; side < 2; side++) {
            struct cw_path *p = &pair->sides[side].session->paths[0];
            remember(p->live->chain_out);
            cw_session_sa_rotate(p, pair->now_ns);
            p->ping_due = true;
        }
        for (int side = 0; side < 2; side++)
            assert_true(cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 4096));
        cw_pair_run(pair, pair->now_ns + 2 * CW_MS, NULL);
        assert_true(pair->sides[0].session->paths[0].live->last_until_ns > pair->now_ns);
        run(200 * CW_MS, CW_MS);
        assert_int_equal(pair->sides[0].session->paths[0].live->last_until_ns, 0);
    }
    assert_int_equal(pair->sides[0].session->counters[CW_SESSION_DOWNS], 0);
}

static void every_end_of_a_session(void **state)
{
    static const enum cw_session_down ends[] = {CW_DOWN_LOCAL, CW_DOWN_CLOSED_BY_PEER, CW_DOWN_PEER_RESTARTED,
                                                CW_DOWN_KEYS_WORN, CW_DOWN_IDLE};
    begin(&good_link, 4);
    for (size_t i = 0; i < CW_COUNT_OF(ends); i++) {
        struct cw_session *s = pair->sides[0].session;
        go_up();
        for (int side = 0; side < 2; side++) {
            remember(pair->sides[side].session->paths[0].live->chain_out);
            remember(pair->sides[side].session->paths[0].live->chain_in);
        }
        /* here the chains of both are in use: nothing is looked at before the end */
        pair->sides[0].has_entropy = pair->sides[1].has_entropy = false;
        sodium_memzero(s->handshake.seed, sizeof s->handshake.seed);
        s->handshake.has_seed = false;
        cw_session_go_down(s, ends[i], pair->now_ns);
        bool tells = s->paths[0].close_due;
        assert_int_equal(tells, ends[i] != CW_DOWN_CLOSED_BY_PEER && ends[i] != CW_DOWN_PEER_RESTARTED);
        cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, NULL);
        assert_false(cw_session_is_up(pair->sides[1].session));
        look(true);
        pair->sides[0].has_entropy = pair->sides[1].has_entropy = true;
    }
}

/* The initiator hears no ANSWER, or it is not heard any more: what the responder made is given up. */
static void a_handshake_that_comes_to_nothing(void **state)
{
    struct cw_ephemeral own;
    begin(&good_link, 5);
    cw_keys_ephemeral(pair->sides[1].config.seed, &own);
    while (pair->sides[1].session->handshake.state != CW_HANDSHAKE_ANSWERED)
        run(100 * CW_US, 100 * CW_US);
    remember(own.secret); /* though the attempt goes on */
    look(true);
    assert_true(pair->sides[1].session->paths[0].next->is_ready);
    pair->sides[0].out[0].config.loss_per_million = 1000000;
    run(30 * CW_SECOND, 200 * CW_MS);
    for (int side = 0; side < 2; side++)
        assert_false(pair->sides[side].session->paths[0].next->is_ready);
    pair->sides[0].out[0].config.loss_per_million = 0;
    go_up();
}

static void lives_of_all_kinds(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cw_link_config link = {.delay_ns = 3 * CW_MS, .jitter_ns = CW_MS, .loss_per_million = 50000};
        inverted_count = 0;
        begin(&link, seed);
        for (int side = 0; side < 2; side++)
            pair->sides[side].session->rotate_blocks = 2500;
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < 4; i++)
                (void)cw_pair_send(pair, i & 1, CW_STREAM_LIVE, 96, 32768);
            run(cw_rng_below(&pair->rng, 200 * CW_MS), 2 * CW_MS);
            if (cw_rng_below(&pair->rng, 3) == 0)
                cw_session_close(pair->sides[cw_rng_below(&pair->rng, 2)].session, pair->now_ns);
        }
        look(true);
        if (seed < 4)
            cw_pair_fini(pair);
    }
}

/* ---- the whole process */

static void search(int memory, uint64_t from, uint64_t to)
{
    static uint8_t piece[1 << 16];
    for (uint64_t at = from; at + CW_KEY_SIZE <= to; at += sizeof piece - CW_KEY_SIZE) {
        uint64_t size = CW_MIN(to - at, (uint64_t)sizeof piece);
        bool is_own = at < (uintptr_t)(piece + sizeof piece) && at + size > (uintptr_t)piece;
        if (is_own || pread(memory, piece, size, (off_t)at) != (ssize_t)size)
            continue;
        for (uint32_t i = 0; i < inverted_count; i++)
            if (count_in(piece, size, inverted[i]) != 0)
                fail_msg("key %u of %u is between %" PRIx64 " and %" PRIx64, i, inverted_count, at,
                         at + size);
    }
    memset(piece, 0, sizeof piece);
}

static void nothing_is_left_in_the_process(void **state)
{
    char line[512];
    begin(&good_link, 7);
    go_up();
    for (int round = 0; round < 3; round++) {
        for (int side = 0; side < 2; side++) {
            cw_session_sa_rotate(&pair->sides[side].session->paths[0], pair->now_ns);
            assert_true(cw_pair_send(pair, side, CW_STREAM_LIVE, 96, 4096));
        }
        cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
    }
    pair->sides[0].has_entropy = false;
    pair->sides[0].session->handshake.has_seed = false;
    cw_session_close(pair->sides[0].session, pair->now_ns);
    cw_pair_run(pair, pair->now_ns + 100 * CW_MS, NULL);
    assert_false(cw_session_is_up(pair->sides[1].session));
    assert_true(inverted_count >= 10);
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        uint64_t from, to;
        char rights[8];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, rights) == 3 && rights[1] == 'w')
            search(memory, from, to);
    }
    fclose(maps);
    close(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_in_use_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(seeds_and_secrets_of_a_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_that_were_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_end_of_a_session, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_handshake_that_comes_to_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lives_of_all_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_left_in_the_process, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
