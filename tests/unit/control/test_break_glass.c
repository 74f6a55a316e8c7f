/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tokens: good ones, each way in which one is not, and every flipped character. The keys and signatures of
 * RFC 8032 hold ours against another implementation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/numbers.h"
#include "control/break_glass.h"

#define NOW 1795379400ll /* 2026-11-22T20:30:00Z */

static struct cw_config_break_glass keys;
static uint8_t seeds[4][CW_TOKEN_SEED];
static const char *const names[] = {"alice", "bob", "carol", "dave"}; /* dave is not listed */
static char texts[4][CW_TOKEN_SIZE];
static struct cw_token_facts facts;
static struct cw_token_mark marks[CW_TOKENS_MAX];

static void public_of(const uint8_t *seed, uint8_t *public)
{
    size_t size = 32;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, CW_TOKEN_SEED);
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, public, &size), 1);
    EVP_PKEY_free(key);
}

static struct cw_token_request wanted(void)
{
    return (struct cw_token_request){.cluster = "prod", .group = 7, .name = "db", .epoch = 3, .site = "west"};
}

static void sign(uint32_t who, const struct cw_token_request *request, int64_t until)
{
    assert_int_equal(cw_token_sign(request, until, names[who], seeds[who], texts[who]), CW_OK);
}

static int make(void **state)
{
    struct cw_token_request request = wanted();
    (void)state;
    keys = (struct cw_config_break_glass){.threshold = 2, .key_count = 3, .cluster = "prod"};
    for (uint32_t i = 0; i < 4; i++) {
        memset(seeds[i], (int)i + 1, sizeof seeds[i]);
        sign(i, &request, NOW + 3600);
    }
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(keys.keys[i].name, sizeof keys.keys[i].name, "%s", names[i]);
        public_of(seeds[i], keys.keys[i].key);
    }
    facts = (struct cw_token_facts){.keys = &keys, .wanted = wanted(), .now = NOW};
    return 0;
}

static struct cw_verdict judge(uint32_t first, uint32_t second)
{
    const char *const list[] = {texts[first], texts[second]};
    return cw_tokens_judge(list, 2, &facts, marks);
}

static void expect_no(struct cw_verdict verdict, const char *words)
{
    assert_int_equal(verdict.answer, CW_ANSWER_NO);
    if (!strstr(verdict.words, words))
        fail_msg("%s: expected %s", verdict.words, words);
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(judge(0, 1).answer, CW_ANSWER_YES);
    assert_string_equal(judge(2, 0).words, "carol, alice");
    const char *const all[] = {texts[0], texts[1], texts[2]};
    assert_int_equal(cw_tokens_judge(all, 3, &facts, marks).answer, CW_ANSWER_YES);
    assert_memory_not_equal(&marks[0], &marks[1], sizeof marks[0]);
    facts.now = NOW + 3599;
    assert_int_equal(judge(0, 1).answer, CW_ANSWER_YES);
}

static void test_who(void **state)
{
    (void)state;
    expect_no(cw_tokens_judge(NULL, 0, &facts, marks), "0 of 2 tokens");
    const char *const one[] = {texts[1]};
    expect_no(cw_tokens_judge(one, 1, &facts, marks), "1 of 2 tokens, of bob");
    expect_no(judge(0, 0), "alice signed two of the tokens");
    struct cw_token_request request = wanted();
    snprintf(texts[3], sizeof texts[3], "%s", texts[0]);
    sign(0, &request, NOW + 60);
    expect_no(judge(0, 3), "alice signed two of the tokens"); /* not the same token, the same key */
    make(state);
    expect_no(judge(0, 3), "dave is not among break_glass.keys");
    /* dave, in the name of bob */
    assert_int_equal(cw_token_sign(&request, NOW + 60, "bob", seeds[3], texts[3]), CW_OK);
    expect_no(judge(0, 3), "not signed with the key that break_glass.keys has for bob");
}

static void test_bound(void **state)
{
    static const struct {
        struct cw_token_request request;
        const char *words;
    } others[] = {
        {{.cluster = "test", .group = 7, .name = "db", .epoch = 3, .site = "west"}, "for cluster test"},
        {{.cluster = "prod", .group = 8, .name = "db", .epoch = 3, .site = "west"}, "for group db (8)"},
        {{.cluster = "prod", .group = 7, .name = "db2", .epoch = 3, .site = "west"}, "for group db2 (7)"},
        {{.cluster = "prod", .group = 7, .name = "db", .epoch = 2, .site = "west"}, "from epoch 2"},
        {{.cluster = "prod", .group = 7, .name = "db", .epoch = 4, .site = "west"}, "from epoch 4"},
        {{.cluster = "prod", .group = 7, .name = "db", .epoch = 3, .site = "north"}, "promotes north"},
    };
    (void)state;
    for (size_t i = 0; i < CW_COUNT_OF(others); i++) {
        sign(1, &others[i].request, NOW + 3600);
        expect_no(judge(0, 1), others[i].words);
        expect_no(judge(1, 0), others[i].words);
    }
}

static void test_time(void **state)
{
    struct cw_token_request request = wanted();
    (void)state;
    facts.now = NOW + 3600;
    expect_no(judge(0, 1), "ended 20261122T213000Z, and the clock here says 20261122T213000Z");
    facts.now = NOW;
    sign(1, &request, NOW + 72 * 3600);
    assert_int_equal(judge(0, 1).answer, CW_ANSWER_YES);
    sign(1, &request, NOW + 72 * 3600 + 1);
    expect_no(judge(0, 1), "more than 72 h");
    /* a clock of long ago does not keep a token for ever */
    make(state);
    facts.now = NOW - 100 * 86400;
    expect_no(judge(0, 1), "is the clock here right?");
}

static void test_once(void **state)
{
    struct cw_token_mark used[2];
    (void)state;
    assert_int_equal(judge(0, 1).answer, CW_ANSWER_YES);
    memcpy(used, marks, sizeof used);
    facts.used = used;
    facts.used_count = 2;
    expect_no(judge(1, 2), "bob was used already");
    expect_no(judge(2, 0), "alice was used already");
    facts.used_count = 1;
    assert_int_equal(judge(1, 2).answer, CW_ANSWER_YES);
}

/* No other character, none less and none more makes a token that counts. */
static void test_each_character(void **state)
{
    char good[CW_TOKEN_SIZE];
    size_t length = strlen(texts[1]);
    (void)state;
    snprintf(good, sizeof good, "%s", texts[1]);
    for (size_t at = 0; at < length; at++) {
        for (const char *other = "0123456789abcdefTZ:-.AF \n"; *other; other++) {
            texts[1][at] = *other;
            if (good[at] != *other && judge(0, 1).answer == CW_ANSWER_YES)
                fail_msg("%s", texts[1]);
        }
        texts[1][at] = 0;
        assert_int_equal(judge(0, 1).answer, CW_ANSWER_NO);
        texts[1][at] = good[at];
    }
    snprintf(texts[1] + length, sizeof texts[1] - length, "0");
    expect_no(judge(0, 1), "is no token");
    snprintf(texts[1], sizeof texts[1], " %s", good);
    expect_no(judge(0, 1), "is no token");
}

static void test_text(void **state)
{
    static const char *const wrong[] = {"",
                                        ":",
                                        "causeway-break-glass-1:prod:7:db:3",
                                        "causeway-break-glass-1:prod:7:db:3:west:",
                                        "causeway-break-glass-2:prod:7:db:3:west",
                                        "causeway-break-glass-1:prod:07:db:3:west",
                                        "causeway-break-glass-1:prod:7:db:+3:west",
                                        "causeway-break-glass-1:prod:4294967296:db:3:west",
                                        "causeway-break-glass-1:prod:7:db:9223372036854775808:west",
                                        "causeway-break-glass-1:prod:7::3:west",
                                        "causeway-break-glass-1:prod:7:d b:3:west",
                                        "causeway-break-glass-1:prod:7:db:3:../west"};
    struct cw_token_request request;
    struct cw_token token;
    char text[CW_TOKEN_SIZE];
    (void)state;
    for (size_t i = 0; i < CW_COUNT_OF(wrong); i++)
        assert_false(cw_token_request_parse(wrong[i], &request));
    cw_token_request_format(&facts.wanted, text);
    assert_string_equal(text, "causeway-break-glass-1:prod:7:db:3:west");
    assert_true(cw_token_request_parse(text, &request));
    assert_memory_equal(&request, &facts.wanted, sizeof request);
    assert_true(cw_token_parse(texts[0], &token));
    assert_int_equal(token.until, NOW + 3600);
    assert_int_equal(cw_token_sign(&request, NOW, "al:ice", seeds[0], text), CW_INVALID);
    assert_int_equal(cw_token_sign(&request, -1, "alice", seeds[0], text), CW_INVALID);
}

/* Test 1 of RFC 8032, 7.1: the public key that belongs to a private one. */
static void test_rfc_8032(void **state)
{
    static const uint8_t seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
                                     0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
                                     0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    struct cw_config_operator_key key;
    uint8_t public[32];
    (void)state;
    assert_true(cw_config_parse_operator_key(
        "a:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", &key));
    public_of(seed, public);
    assert_memory_equal(key.key, public, sizeof public);
}

static void test_epoch(void **state)
{
    (void)state;
    assert_int_equal(cw_break_glass_epoch(0), 1ull << 32);
    assert_int_equal(cw_break_glass_epoch(17), 1ull << 32);
    assert_int_equal(cw_break_glass_epoch(1ull << 32), 2ull << 32);
    assert_int_equal(cw_break_glass_epoch((2ull << 32) + 5), 3ull << 32);
}

/* west is to be promoted; the store last said that east holds epoch 3, as does the journal here. */
static struct cw_token_sites group_of(struct cw_token_site east, struct cw_token_site north)
{
    struct cw_token_sites sites = {.group = "db",
                                   .site = "west",
                                   .holder = "east",
                                   .store_epoch = 3,
                                   .own_epoch = 3,
                                   .rank = 1,
                                   .count = 2,
                                   .ranks = {0, 2}};
    east.name = "east";
    north.name = "north";
    sites.others[0] = east;
    sites.others[1] = north;
    return sites;
}

static struct cw_verdict judge_north(struct cw_token_site north)
{
    struct cw_token_sites sites = group_of((struct cw_token_site){.epoch = 3, .is_primary = true}, north);
    return cw_tokens_judge_sites(&sites);
}

static void test_nobody_else(void **state)
{
    static const struct cw_token_site replica = {.is_told = true, .is_alive = true, .epoch = 3};
    (void)state;
    struct cw_verdict verdict = judge_north((struct cw_token_site){.epoch = 3});
    assert_int_equal(verdict.answer, CW_ANSWER_YES);
    assert_string_equal(verdict.words, "east, north");
    verdict = judge_north(replica);
    assert_int_equal(verdict.answer, CW_ANSWER_YES);
    assert_string_equal(verdict.words, "east");
    /* the holder's controller is there, and says that its engine is not */
    struct cw_token_sites sites =
        group_of((struct cw_token_site){.is_told = true, .epoch = 3, .is_primary = true}, replica);
    assert_int_equal(cw_tokens_judge_sites(&sites).answer, CW_ANSWER_YES);
    sites.others[0].is_alive = true;
    expect_no(cw_tokens_judge_sites(&sites), "east is heard here, and says that it is primary of db");
    sites.others[0].is_primary = false;
    expect_no(cw_tokens_judge_sites(&sites), "east, which holds db, is heard here: it lives");
}

/* Not the holder that the store last named, but another site. */
static void test_another_primary(void **state)
{
    struct cw_token_site north = {.is_told = true, .is_alive = true, .is_primary = true, .epoch = 1ull << 32};
    (void)state;
    expect_no(judge_north(north),
              "north is heard here, and says that it is primary of db, in epoch 4294967296");
    north.epoch = 3;
    expect_no(judge_north(north), "in epoch 3");
    north.epoch = 2; /* over, as the store knows */
    assert_int_equal(judge_north(north).answer, CW_ANSWER_YES);
    /* its controller speaks for what its engine opens again, too */
    north = (struct cw_token_site){.is_told = true, .epoch = 1ull << 32, .held = 1ull << 32};
    expect_no(judge_north(north), "north is heard here, and holds db by tokens itself, in epoch 4294967296");
    /* its engine alone: nobody says what it is */
    north = (struct cw_token_site){.has_path = true, .epoch = 3};
    expect_no(judge_north(north), "the engine of north is heard here, and its controller says nothing of it");
    north.is_told = true;
    expect_no(judge_north(north), "the engine of north is heard here");
    north.is_alive = true;
    assert_int_equal(judge_north(north).answer, CW_ANSWER_YES);
}

static void test_newer_elsewhere(void **state)
{
    const struct cw_token_site north = {.is_told = true, .is_alive = true, .epoch = 4};
    (void)state;
    expect_no(judge_north(north),
              "north is heard here, and has seen epoch 4 of db, where the engine of west has 3");
    expect_no(judge_north(north), "causeway promote db --site north --break-glass");
    struct cw_token_sites sites = group_of((struct cw_token_site){.epoch = 3}, north);
    sites.accept_loss = true;
    assert_int_equal(cw_tokens_judge_sites(&sites).answer, CW_ANSWER_YES);
    sites.accept_loss = false;
    sites.own_epoch = 4;
    assert_int_equal(cw_tokens_judge_sites(&sites).answer, CW_ANSWER_YES);
    sites.own_epoch = 3;
    sites.others[1].is_told = sites.others[1].is_alive = false; /* what it once said does not stop anybody */
    assert_int_equal(cw_tokens_judge_sites(&sites).answer, CW_ANSWER_YES);
}

/* Of two at once that hear each other, one gives up, and the other waits for that. */
static void test_two_at_once(void **state)
{
    const struct cw_token_site breaking = {
        .is_told = true, .is_alive = true, .epoch = 3, .breaking = 1ull << 32};
    (void)state;
    assert_int_equal(judge_north(breaking).answer, CW_ANSWER_LATER);
    struct cw_token_sites sites = group_of(breaking, (struct cw_token_site){.epoch = 3});
    sites.holder = "south";
    expect_no(cw_tokens_judge_sites(&sites), "tokens are about to promote east for db as well");
    sites.others[0].is_told = sites.others[0].is_alive = false;
    assert_int_equal(cw_tokens_judge_sites(&sites).answer, CW_ANSWER_YES);
    /* a refusal of another one comes before the wait */
    sites = group_of((struct cw_token_site){.is_told = true, .is_alive = true, .epoch = 3}, breaking);
    expect_no(cw_tokens_judge_sites(&sites), "east, which holds db, is heard here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, make),  cmocka_unit_test_setup(test_who, make),
        cmocka_unit_test_setup(test_bound, make), cmocka_unit_test_setup(test_time, make),
        cmocka_unit_test_setup(test_once, make),  cmocka_unit_test_setup(test_each_character, make),
        cmocka_unit_test_setup(test_text, make),  cmocka_unit_test_setup(test_rfc_8032, make),
        cmocka_unit_test_setup(test_epoch, make), cmocka_unit_test(test_nobody_else),
        cmocka_unit_test(test_another_primary),   cmocka_unit_test(test_newer_elsewhere),
        cmocka_unit_test(test_two_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
