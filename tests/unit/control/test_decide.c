/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules of authority: tables of who may and who may not, and a seeded model of sites with clocks of their
 * own that pause, renew, fence and take, in which at no instant two engines believe that they may answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "control/decide.h"

#define LEASE_NS (5 * CW_SECOND)

static struct cw_member member(const char *site, const char *boot, const char *journal, const char *start)
{
    struct cw_member m = {0};
    snprintf(m.site, sizeof m.site, "%s", site);
    snprintf(m.boot_id, sizeof m.boot_id, "%s", boot);
    snprintf(m.journal_id, sizeof m.journal_id, "%s", journal);
    snprintf(m.process_start, sizeof m.process_start, "%s", start);
    return m;
}

static struct cw_authority held(uint64_t epoch, const char *holder)
{
    struct cw_authority a = {.epoch = epoch, .reign = 7};
    struct cw_member east = member("east", "b1", "j1", "p1"), west = member("west", "b2", "j2", "p2");
    snprintf(a.holder, sizeof a.holder, "%s", holder);
    cw_set_put(&a.set, &west);
    cw_set_put(&a.set, &east);
    return a;
}

static struct cw_candidate candidate(struct cw_member identity)
{
    return (struct cw_candidate){.group = "db", .identity = identity, .mode = CW_WORD_SYNC};
}

/* ---------------------------------------------------------------- who may */

/* A site that could not serve a volume: somebody may say that it goes on without, and nobody does by itself. */
static void test_lacks_volume(void **state)
{
    struct cw_authority now = held(3, "east");
    struct cw_candidate west = candidate(member("west", "b2", "j2", "p2"));
    snprintf(west.lacks, sizeof west.lacks, "data");
    struct cw_verdict verdict = cw_decide_candidate(&now, &west);
    assert_int_equal(verdict.answer, CW_ANSWER_NO);
    assert_non_null(strstr(verdict.words, "west lacks volume data of group db"));
    assert_non_null(strstr(verdict.words, "causeway promote db --site west --accept-loss"));
    west.accept_loss = true;
    assert_int_equal(cw_decide_candidate(&now, &west).answer, CW_ANSWER_YES);
    west.is_automatic = true;
    west.mode = CW_WORD_ASYNC;
    assert_int_equal(cw_decide_candidate(&now, &west).answer, CW_ANSWER_NO);
    west.lacks[0] = 0;
    assert_int_equal(cw_decide_candidate(&now, &west).answer, CW_ANSWER_YES);
    struct cw_candidate east = candidate(member("east", "b1", "j1", "p1"));
    snprintf(east.lacks, sizeof east.lacks, "data"); /* it holds the group: it opens what it has */
    assert_int_equal(cw_decide_candidate(&now, &east).answer, CW_ANSWER_YES);
}

/* A group that left semi-sync: what a member held in memory went with its process, in every mode. */
static void test_memory_is_remembered(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_candidate west = candidate(member("west", "b2", "j2", "p2"));
    struct cw_candidate restarted = candidate(member("west", "b2", "j2", "other"));
    for (uint32_t i = 0; i < now.set.count; i++)
        now.set.list[i].in_memory = true;
    for (enum cw_mode_word mode = 0; mode < CW_WORD_COUNT; mode++) {
        west.mode = restarted.mode = mode;
        assert_int_equal(cw_decide_candidate(&now, &west).answer, CW_ANSWER_YES);
        assert_int_equal(cw_decide_candidate(&now, &restarted).answer, CW_ANSWER_NO);
    }
    struct cw_set same = held(3, "east").set, anew = {0};
    assert_int_equal(cw_decide_set(&now, "east", 3, &now.set, &same, &next).answer, CW_ANSWER_YES);
    assert_int_equal(cw_decide_candidate(&next, &restarted).answer, CW_ANSWER_NO);
    cw_set_put(&anew, cw_set_find(&same, "east"));
    cw_set_put(&anew, &restarted.identity); /* attached again: level by its journal */
    assert_int_equal(cw_decide_set(&now, "east", 3, &now.set, &anew, &next).answer, CW_ANSWER_YES);
    struct cw_candidate again = candidate(member("west", "b2", "j2", "third"));
    assert_int_equal(cw_decide_candidate(&next, &again).answer, CW_ANSWER_YES);
}

/* A mark is part of the row: who read it before does not take it away. One that is taken in while the engine
 * is still in semi-sync has it; one that comes back when it is not has not, as it is level by its journal. */
static void test_marks_of_memory(void **state)
{
    struct cw_authority before = held(3, "east"), now = before, next;
    struct cw_set east = {0}, both = before.set;
    struct cw_candidate restarted = candidate(member("west", "b2", "j2", "other"));
    now.set.list[1].in_memory = true;
    assert_string_equal(now.set.list[1].site, "west");
    assert_false(cw_authority_equal(&before, &now));
    assert_true(cw_authority_equal(&now, &now));
    cw_set_put(&east, cw_set_find(&before.set, "east"));
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &east, &next).answer, CW_ANSWER_YES);
    now = next; /* west is out */
    assert_int_equal(cw_decide_set(&now, "east", 3, &east, &both, &next).answer, CW_ANSWER_YES);
    assert_int_equal(cw_decide_candidate(&next, &restarted).answer, CW_ANSWER_YES);
    both.list[1].in_memory = true;
    assert_int_equal(cw_decide_set(&now, "east", 3, &east, &both, &next).answer, CW_ANSWER_YES);
    assert_int_equal(cw_decide_candidate(&next, &restarted).answer, CW_ANSWER_NO);
}

static void test_candidates(void **state)
{
    static const struct {
        const char *site, *boot, *journal, *start;
        enum cw_mode_word mode;
        enum cw_image_word image;
        bool is_foreign, accept_loss, inconsistent;
        enum cw_answer answer;
        const char *words; /* part of them */
    } rows[] = {
        {"west", "b2", "j2", "p2", CW_WORD_SYNC, 0, 0, 0, 0, CW_ANSWER_YES, ""},
        {"west", "b2", "j2", "other", CW_WORD_SYNC, 0, 0, 0, 0, CW_ANSWER_YES, ""},
        {"west", "b2", "j2", "other", CW_WORD_SEMI_SYNC, 0, 0, 0, 0, CW_ANSWER_NO, "been restarted"},
        {"west", "b2", "j2", "other", CW_WORD_SEMI_SYNC, 0, 0, 1, 0, CW_ANSWER_YES, ""},
        {"west", "other", "j2", "p2", CW_WORD_SYNC, 0, 0, 0, 0, CW_ANSWER_NO, "been rebooted"},
        {"west", "b2", "other", "p2", CW_WORD_SYNC, 0, 0, 0, 0, CW_ANSWER_NO, "repaired its journal"},
        {"north", "b3", "j3", "p3", CW_WORD_SYNC, 0, 0, 0, 0, CW_ANSWER_NO, "not in the in-sync set"},
        {"north", "b3", "j3", "p3", CW_WORD_SYNC, 0, 0, 1, 0, CW_ANSWER_YES, ""},
        {"west", "b2", "j2", "p2", CW_WORD_SYNC, CW_WORD_BROKEN, 0, 0, 0, CW_ANSWER_NO, "--inconsistent"},
        {"west", "b2", "j2", "p2", CW_WORD_SYNC, CW_WORD_BROKEN, 0, 1, 0, CW_ANSWER_NO, "no whole image"},
        {"west", "b2", "j2", "p2", CW_WORD_SYNC, CW_WORD_BROKEN, 0, 0, 1, CW_ANSWER_YES, ""},
        {"west", "b2", "j2", "p2", CW_WORD_SYNC, 0, 1, 1, 0, CW_ANSWER_NO, "first copy has not ended"},
        {"north", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 0, 1, 0, CW_ANSWER_NO, "nothing whole"},
        {"north", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 0, 0, 0, CW_ANSWER_NO, "--inconsistent"},
        {"north", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 0, 0, 1, CW_ANSWER_YES, ""},
        {"old", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 0, 0, 0, CW_ANSWER_NO,
         "sequence 77 and is 9 s"},
        {"old", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 0, 1, 0, CW_ANSWER_YES, ""},
        {"old", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_COPYING, 1, 1, 0, CW_ANSWER_NO, "first copy"},
        {"old", "b3", "j3", "p3", CW_WORD_SYNC, CW_WORD_BROKEN, 0, 1, 0, CW_ANSWER_NO, "no whole image"},
        {"east", "other", "other", "other", CW_WORD_SEMI_SYNC, 0, 0, 0, 0, CW_ANSWER_YES,
         ""}, /* it is the holder */
    };
    struct cw_authority now = held(3, "east");
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        struct cw_candidate who =
            candidate(member(rows[i].site, rows[i].boot, rows[i].journal, rows[i].start));
        who.mode = rows[i].mode;
        who.image = rows[i].image;
        who.is_foreign = rows[i].is_foreign;
        who.accept_loss = rows[i].accept_loss;
        who.inconsistent = rows[i].inconsistent;
        who.has_old_image = strcmp(rows[i].site, "old") == 0;
        who.old_sequence = 77;
        who.old_age_seconds = 9;
        struct cw_verdict verdict = cw_decide_candidate(&now, &who);
        if (verdict.answer != rows[i].answer || !strstr(verdict.words, rows[i].words))
            fail_msg("row %zu: %d %s", i, verdict.answer, verdict.words);
    }
}

static void test_first_opening(void **state)
{
    struct cw_authority nobody = {0};
    struct cw_candidate who = candidate(member("west", "b", "j", "p"));
    assert_int_equal(cw_decide_candidate(&nobody, &who).answer, CW_ANSWER_NO);
    who.is_first = true;
    assert_int_equal(cw_decide_candidate(&nobody, &who).answer, CW_ANSWER_YES);
    nobody.epoch = 4; /* it was open, and a rebuilt store does not know who held it */
    assert_int_equal(cw_decide_candidate(&nobody, &who).answer, CW_ANSWER_NO);
    who.accept_loss = true;
    assert_int_equal(cw_decide_candidate(&nobody, &who).answer, CW_ANSWER_YES);
}

static void test_handover(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_member north = member("north", "b3", "j3", "p3"), later = member("north", "b4", "j3", "p3");
    struct cw_candidate who = candidate(north);
    assert_int_equal(cw_decide_fence(&now, "west", 3, &north, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_fence(&now, "east", 2, &north, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_fence(&now, "east", 3, &north, &next).answer, CW_ANSWER_YES);
    assert_int_equal(cw_decide_candidate(&next, &who).answer, CW_ANSWER_YES);
    who.identity = later; /* rebooted since it was drained to */
    assert_int_equal(cw_decide_candidate(&next, &who).answer, CW_ANSWER_NO);
    assert_false(cw_decide_renew(&next, "east", 3));
    assert_true(cw_decide_renew(&now, "east", 3));
    assert_false(cw_decide_renew(&now, "east", 2));
    assert_false(cw_decide_renew(&now, "west", 3));
}

/* ---------------------------------------------------------------- claims */

static struct cw_claim claim_of(const struct cw_authority *now, const struct cw_candidate *who)
{
    struct cw_claim claim = {
        .from_epoch = now->epoch, .epoch = now->epoch + 1, .reign = 99, .first_sequence = 11};
    cw_set_put(&claim.members, &who->identity);
    return claim;
}

static void test_claims(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_candidate who = candidate(member("west", "b2", "j2", "p2"));
    struct cw_claim claim = claim_of(&now, &who), bad;
    struct cw_lease_watch watch = {0};
    bool compare = false;
    cw_lease_watch_see(&watch, 3, 50, 1000);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, 1000, &next, &compare).answer,
                     CW_ANSWER_LATER);
    /* --accept-loss and --inconsistent never shorten the wait. */
    who.accept_loss = who.inconsistent = true;
    uint64_t almost = 1000 + LEASE_NS + LEASE_NS / 100;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_LATER);
    who.accept_loss = who.inconsistent = false;
    assert_int_equal(
        cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, almost + 1, &next, &compare).answer,
        CW_ANSWER_YES);
    assert_true(compare);
    assert_int_equal(next.epoch, 4);
    assert_string_equal(next.holder, "west");
    assert_int_equal(next.set.count, 1);
    /* A counter that has moved begins the wait anew. */
    cw_lease_watch_see(&watch, 3, 51, almost);
    assert_int_equal(
        cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, almost + 1, &next, &compare).answer,
        CW_ANSWER_LATER);
    now.fenced_epoch = 3;
    assert_int_equal(
        cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, almost + 1, &next, &compare).answer,
        CW_ANSWER_YES);
    assert_false(compare);
    bad = claim;
    bad.from_epoch = 2;
    assert_int_equal(cw_decide_claim(&now, &who, &bad, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_NO);
    bad = claim;
    bad.epoch = 3;
    assert_int_equal(cw_decide_claim(&now, &who, &bad, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_NO);
    bad = claim;
    bad.highest_seen_epoch = 9;
    assert_int_equal(cw_decide_claim(&now, &who, &bad, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_NO);
    bad = claim;
    bad.reign = now.reign;
    assert_int_equal(cw_decide_claim(&now, &who, &bad, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_NO);
    bad = claim;
    bad.members.count = 0;
    assert_int_equal(cw_decide_claim(&now, &who, &bad, &watch, LEASE_NS, almost, &next, &compare).answer,
                     CW_ANSWER_NO);
}

/* ---------------------------------------------------------------- a store that was put back */

/* Somebody has seen a later epoch than the row has: nobody claims from that but by hand, accepting the loss. */
static void test_older_store(void **state)
{
    static const struct {
        const char *site, *seen_by;
        uint64_t seen;
        bool accept_loss, inconsistent, is_automatic, is_by_tokens;
        enum cw_answer answer;
        const char *words; /* part of them */
    } rows[] = {
        {"west", "west", 3, 0, 0, 0, 0, CW_ANSWER_YES, ""},
        {"west", "west", 2, 0, 0, 0, 0, CW_ANSWER_YES, ""}, /* it followed nobody in the last one */
        {"west", "west", 4, 0, 0, 0, 0, CW_ANSWER_NO, "the engine of west has seen 4: the store is older"},
        {"west", "north", 9, 0, 0, 0, 0, CW_ANSWER_NO, "engine of north has seen 9: the store is older"},
        {"west", "north", 9, 0, 0, 0, 0, CW_ANSWER_NO, "the store has epoch 3 of group db"},
        {"west", "north", 9, 0, 0, 0, 0, CW_ANSWER_NO, "causeway store rebuild --replace"},
        {"east", "east", 4, 0, 0, 0, 0, CW_ANSWER_NO, "the store is older"}, /* the holder, by itself */
        {"west", "north", 9, 1, 0, 0, 0, CW_ANSWER_YES, ""},
        {"west", "north", 9, 0, 1, 0, 0, CW_ANSWER_YES, ""},
        {"west", "north", 9, 1, 0, 1, 0, CW_ANSWER_NO, "the store is older"}, /* nobody accepted it */
        {"west", "north", 9, 0, 0, 1, 0, CW_ANSWER_NO, "the store is older"},
        {"west", "north", 1ull << 32, 0, 0, 0, 0, CW_ANSWER_NO, "operators' tokens promoted group db"},
        {"west", "north", 1ull << 32, 0, 0, 0, 0, CW_ANSWER_NO, "bring up that site's controller"},
        {"west", "north", 1ull << 32, 1, 0, 0, 0, CW_ANSWER_YES, ""},
        {"west", "north", 9, 0, 0, 0, 1, CW_ANSWER_YES, ""}, /* the row is as it was last heard */
    };
    struct cw_authority now = held(3, "east"), next;
    struct cw_lease_watch watch = {0};
    bool compare;
    cw_lease_watch_see(&watch, 3, 50, 1000);
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        bool is_east = strcmp(rows[i].site, "east") == 0;
        struct cw_candidate who =
            candidate(is_east ? member("east", "b1", "j1", "p1") : member("west", "b2", "j2", "p2"));
        struct cw_claim claim = claim_of(&now, &who);
        who.mode = CW_WORD_ASYNC;
        who.accept_loss = rows[i].accept_loss;
        who.inconsistent = rows[i].inconsistent;
        who.is_automatic = rows[i].is_automatic;
        who.is_by_tokens = rows[i].is_by_tokens;
        claim.highest_seen_epoch = rows[i].seen;
        claim.epoch = CW_MAX(rows[i].seen, now.epoch) + 1;
        snprintf(claim.seen_by, sizeof claim.seen_by, "%s", rows[i].seen_by);
        struct cw_verdict verdict =
            cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, 2000 + 2 * LEASE_NS, &next, &compare);
        if (verdict.answer != rows[i].answer || !strstr(verdict.words, rows[i].words) ||
            verdict.is_older != (rows[i].answer == CW_ANSWER_NO))
            fail_msg("row %zu: %d %s", i, verdict.answer, verdict.words);
    }
}

/* Who accepts the loss waits all the same: that the row's holder has let go says nothing of who came later. */
static void test_older_store_waits(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_candidate who = candidate(member("west", "b2", "j2", "p2"));
    struct cw_lease_watch watch = {0};
    bool compare = false;
    now.fenced_epoch = 3;
    who.accept_loss = true;
    cw_lease_watch_see(&watch, 3, 50, 1000);
    struct cw_claim claim = claim_of(&now, &who);
    claim.highest_seen_epoch = 5;
    claim.epoch = 6;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, 1000, &next, &compare).answer,
                     CW_ANSWER_LATER);
    assert_int_equal(
        cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, 1001 + LEASE_NS / 100 * 101, &next, &compare)
            .answer,
        CW_ANSWER_YES);
    assert_true(compare);
}

/* The same claim once more, since its answer was lost: it stands. Any other one does not. */
static void test_claim_again(void **state)
{
    struct cw_authority now = held(3, "east"), next, moved;
    struct cw_candidate who = candidate(member("west", "b2", "j2", "p2"));
    struct cw_claim claim = claim_of(&now, &who), other;
    struct cw_lease_watch watch = {0};
    bool compare = false;
    now.fenced_epoch = 3;
    assert_false(cw_decide_is_claimed(&now, "west", &claim));
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_YES);
    assert_true(cw_decide_is_claimed(&next, "west", &claim));
    assert_false(cw_decide_is_claimed(&next, "east", &claim));
    other = claim;
    other.reign++;
    assert_false(cw_decide_is_claimed(&next, "west", &other));
    other = claim;
    other.epoch++;
    assert_false(cw_decide_is_claimed(&next, "west", &other));
    other = claim;
    other.first_sequence++;
    assert_false(cw_decide_is_claimed(&next, "west", &other));
    other = claim;
    struct cw_member east = member("east", "b1", "j1", "p1");
    cw_set_put(&other.members, &east);
    assert_false(cw_decide_is_claimed(&next, "west", &other));
    moved = next;
    moved.fenced_epoch = moved.epoch; /* it has let go again meanwhile */
    assert_false(cw_decide_is_claimed(&moved, "west", &claim));
    moved = next;
    snprintf(moved.holder, sizeof moved.holder, "east");
    assert_false(cw_decide_is_claimed(&moved, "west", &claim));
}

/* What nobody asked for is held to more, leaves its mark, and is not done twice. */
static void test_automatic_claims(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_candidate who = candidate(member("west", "b2", "j2", "p2"));
    struct cw_lease_watch watch = {0};
    uint64_t over = 1001 + LEASE_NS + LEASE_NS / 100;
    bool compare = false;
    cw_lease_watch_see(&watch, 3, 50, 1000);
    who.is_automatic = true;
    who.accept_loss = true;
    assert_int_equal(cw_decide_candidate(&now, &who).answer, CW_ANSWER_NO);
    who.mode = CW_WORD_ASYNC;
    assert_int_equal(cw_decide_candidate(&now, &who).answer, CW_ANSWER_YES);
    who.image = CW_WORD_COPYING;
    who.has_old_image = true;
    assert_int_equal(cw_decide_candidate(&now, &who).answer, CW_ANSWER_NO);
    who = candidate(member("west", "b2", "j2", "p2"));
    who.is_automatic = true;
    struct cw_claim claim = claim_of(&now, &who);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, over - 1, &next, &compare).answer,
                     CW_ANSWER_LATER);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, over, &next, &compare).answer,
                     CW_ANSWER_YES);
    assert_int_equal(next.automatic_epoch, 4);
    claim = claim_of(&next, &who); /* it opens again: the mark stays */
    claim.reign = 100;
    now = next;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, over, &next, &compare).answer,
                     CW_ANSWER_YES);
    assert_int_equal(next.automatic_epoch, 4);
    struct cw_member east = member("east", "b1", "j1", "p1");
    assert_true(cw_set_put(&now.set, &east));
    who = candidate(east);
    who.is_automatic = true;
    cw_lease_watch_see(&watch, 4, 50, 1000);
    claim = claim_of(&now, &who);
    claim.reign = 101;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, over, &next, &compare).answer,
                     CW_ANSWER_NO);
    who.is_automatic = false;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &watch, LEASE_NS, over, &next, &compare).answer,
                     CW_ANSWER_YES);
    assert_int_equal(next.automatic_epoch, 0);
    struct cw_authority nobody = {0};
    who.is_first = who.is_automatic = true;
    assert_int_equal(cw_decide_candidate(&nobody, &who).answer, CW_ANSWER_NO);
}

/* The holder opens again without waiting; rebooted, it may not leave out one who may have more. */
static void test_holder_reopens(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_candidate who = candidate(member("east", "b1", "j1", "new process"));
    struct cw_claim claim = claim_of(&now, &who);
    struct cw_lease_watch never = {0};
    struct cw_member west = member("west", "b2", "j2", "p2");
    bool compare = true;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_YES);
    assert_false(compare);
    who.identity = member("east", "rebooted", "j1", "new process");
    claim = claim_of(&now, &who);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_NO);
    cw_set_put(&claim.members, &west);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_YES);
    claim = claim_of(&now, &who); /* it has taken in what a member holds */
    cw_set_put(&claim.reached, &who.identity);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_NO);
    cw_set_put(&claim.reached, &west);
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_YES);
    claim = claim_of(&now, &who);
    who.accept_loss = true;
    assert_int_equal(cw_decide_claim(&now, &who, &claim, &never, LEASE_NS, 0, &next, &compare).answer,
                     CW_ANSWER_YES);
}

static void test_sets(void **state)
{
    struct cw_authority now = held(3, "east"), next;
    struct cw_set both = now.set, alone = {0}, none = {0};
    cw_set_put(&alone, cw_set_find(&now.set, "east"));
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &alone, &next).answer, CW_ANSWER_YES);
    assert_null(cw_set_find(&next.set, "west"));
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &none, &next).answer, CW_ANSWER_YES);
    assert_non_null(cw_set_find(&next.set, "east")); /* the holder is always in */
    now.set = next.set;                              /* the answer got lost: the same question again */
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &alone, &next).answer, CW_ANSWER_YES);
    assert_true(cw_set_equal(&now.set, &next.set));
    struct cw_set three = both;
    struct cw_member north = member("north", "b3", "j3", "p3");
    cw_set_put(&three, &north);
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &three, &next).answer, CW_ANSWER_NO);
    now.set = both;
    assert_int_equal(cw_decide_set(&now, "east", 3, &alone, &three, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_set(&now, "east", 2, &both, &alone, &next).answer, CW_ANSWER_NO);
    assert_int_equal(cw_decide_set(&now, "west", 3, &both, &alone, &next).answer, CW_ANSWER_NO);
    now.fenced_epoch = 3;
    assert_int_equal(cw_decide_set(&now, "east", 3, &both, &alone, &next).answer, CW_ANSWER_NO);
}

/* ---------------------------------------------------------------- the model */

#define SITES 3u
#define STEPS 4000u

/* An engine and its controller: a clock of their own rate, and pauses in which nothing is done or noticed. */
struct model_site {
    char name[8];
    struct cw_member identity;
    double rate;          /* of its clock, 0.995 to 1.005: any two differ by less than 1 % */
    double paused_until;  /* true seconds */
    uint64_t epoch;       /* it believes that it holds this; 0: nothing */
    uint64_t deadline_ns; /* on its clock: answers until then */
    struct cw_lease_watch watch;
    bool wants; /* an operator asked for promotion here */
    /* A renewal on its way: the clock was read, the store not yet asked; then the reply not yet seen. */
    int renewal;
    uint64_t renewal_asked_ns;
    bool renewal_ok;
    /* A claim whose reply is not yet seen. */
    uint64_t claimed_epoch, claim_asked_ns;
};

struct model {
    struct cw_rng rng;
    double now;
    struct cw_authority authority;
    uint64_t counters[SITES];
    struct model_site sites[SITES];
    uint32_t takeovers;
};

static uint64_t clock_of(const struct model *m, const struct model_site *s)
{
    return (uint64_t)((m->now + 1000) * s->rate * 1e9);
}

static uint32_t index_of(const struct model *m, const char *name)
{
    for (uint32_t i = 0; i < SITES; i++) {
        if (strcmp(m->sites[i].name, name) == 0)
            return i;
    }
    return SITES;
}

static bool answers(const struct model *m, const struct model_site *s)
{
    return s->epoch != 0 && clock_of(m, s) < s->deadline_ns;
}

static uint64_t lease_deadline(uint64_t asked_ns)
{
    return asked_ns + LEASE_NS / 100 * 99 - 100 * CW_MS;
}

/* The three halves of a renewal may be any time apart. */
static void model_renew(struct model *m, uint32_t i)
{
    struct model_site *s = &m->sites[i];
    if (s->renewal == 0 && s->epoch) {
        s->renewal_asked_ns = clock_of(m, s);
        s->renewal = 1;
    } else if (s->renewal == 1) {
        s->renewal_ok = cw_decide_renew(&m->authority, s->name, s->epoch);
        m->counters[i] += s->renewal_ok;
        s->renewal = 2;
    } else if (s->renewal == 2) {
        if (s->renewal_ok && s->epoch)
            s->deadline_ns = CW_MAX(s->deadline_ns, lease_deadline(s->renewal_asked_ns));
        else
            s->epoch = 0;
        s->renewal = 0;
    }
}

static void model_claim(struct model *m, uint32_t i)
{
    struct model_site *s = &m->sites[i];
    struct cw_candidate who = {
        .group = "g", .identity = s->identity, .mode = CW_WORD_SYNC, .accept_loss = true};
    struct cw_claim claim = {
        .from_epoch = m->authority.epoch, .epoch = m->authority.epoch + 1, .reign = cw_rng_next(&m->rng) | 1};
    struct cw_authority next;
    bool compare = false;
    uint32_t holder = index_of(m, m->authority.holder);
    cw_set_put(&claim.members, &s->identity);
    s->claim_asked_ns = clock_of(m, s);
    struct cw_verdict verdict =
        cw_decide_claim(&m->authority, &who, &claim, &s->watch, LEASE_NS, s->claim_asked_ns, &next, &compare);
    if (verdict.answer != CW_ANSWER_YES || (compare && m->counters[holder] != s->watch.counter))
        return;
    m->takeovers += holder != i;
    m->authority = next;
    s->claimed_epoch = next.epoch;
    s->wants = false;
}

static void model_site_step(struct model *m, uint32_t i)
{
    struct model_site *s = &m->sites[i];
    uint32_t holder = index_of(m, m->authority.holder);
    if (m->now < s->paused_until)
        return;
    if (s->claimed_epoch) { /* the reply arrives now; the lease counts from the request */
        s->epoch = s->claimed_epoch;
        s->deadline_ns = lease_deadline(s->claim_asked_ns);
        s->claimed_epoch = 0;
        s->renewal = 0;
        return;
    }
    /* Between its look and its claim a renewal may come: the store's comparison of the counter is for that.
     */
    if (holder < SITES && cw_rng_chance(&m->rng, 500000))
        cw_lease_watch_see(&s->watch, m->authority.epoch, m->counters[holder], clock_of(m, s));
    if (s->epoch && clock_of(m, s) >= s->deadline_ns && cw_rng_chance(&m->rng, 100000))
        s->epoch = 0; /* the process was restarted */
    if (s->epoch || s->renewal)
        model_renew(m, i);
    else if (s->wants || holder == i || holder == SITES)
        model_claim(m, i);
    if (s->epoch && cw_rng_chance(&m->rng, 5000)) { /* fenced by request, and confirmed */
        struct cw_authority next;
        uint64_t epoch = s->epoch;
        s->epoch = 0;
        if (cw_decide_fence(&m->authority, s->name, epoch, NULL, &next).answer == CW_ANSWER_YES)
            m->authority = next;
    }
}

static void model_run(uint64_t seed, uint32_t *takeovers)
{
    static const char *const names[SITES] = {"east", "west", "north"};
    struct model m = {.rng = {seed}};
    for (uint32_t i = 0; i < SITES; i++) {
        m.sites[i].identity = member(names[i], "b", "j", "p");
        snprintf(m.sites[i].name, sizeof m.sites[i].name, "%s", names[i]);
        m.sites[i].rate = 0.9955 + (double)cw_rng_below(&m.rng, 90) / 10000;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        struct model_site *s = &m.sites[cw_rng_below(&m.rng, SITES)];
        m.now += (double)cw_rng_below(&m.rng, 200) / 1000;
        if (cw_rng_chance(&m.rng, 20000))
            s->paused_until = m.now + (double)cw_rng_below(&m.rng, 15);
        if (cw_rng_chance(&m.rng, 10000))
            s->wants = true;
        model_site_step(&m, (uint32_t)(s - m.sites));
        uint32_t answering = 0;
        for (uint32_t i = 0; i < SITES; i++)
            answering += answers(&m, &m.sites[i]);
        if (answering > 1)
            fail_msg("seed %lu step %u: %u engines answer", seed, step, answering);
    }
    *takeovers += m.takeovers;
}

static void test_model(void **state)
{
    uint32_t takeovers = 0;
    for (uint64_t seed = 1; seed <= 400; seed++)
        model_run(seed, &takeovers);
    assert_true(takeovers > 1000); /* the model does what it is for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates),      cmocka_unit_test(test_memory_is_remembered),
        cmocka_unit_test(test_marks_of_memory), cmocka_unit_test(test_first_opening),
        cmocka_unit_test(test_handover),        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_older_store),     cmocka_unit_test(test_older_store_waits),
        cmocka_unit_test(test_claim_again),     cmocka_unit_test(test_automatic_claims),
        cmocka_unit_test(test_holder_reopens),  cmocka_unit_test(test_sets),
        cmocka_unit_test(test_model),           cmocka_unit_test(test_lacks_volume)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
