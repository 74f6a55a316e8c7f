/* SPDX-License-Identifier: BSD-3-Clause */
/* Which losses would be survived: topologies as text, and what is said of the loss of each site and pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "control/survival.h"

enum { EAST = 0, WEST, LEMON, SITES };

/* What a test changes of a healthy cluster: three sites with a vote each, lemon a witness; db at east, sync,
 * west in its set; mail at west, async, east 2 s behind. */
struct world {
    struct cw_survival_facts facts;
    struct cw_survival_site sites[SITES];
    struct cw_survival_vote votes[5];
    struct cw_survival_group groups[2];
};

static const struct cw_verdict no_words = {.answer = CW_ANSWER_NO, .words = "WHY NOT"};

static struct world *healthy(void)
{
    static struct world world;
    world = (struct world){
        .sites = {{.name = "east", .is_engine_alive = true},
                  {.name = "west", .is_engine_alive = true},
                  {.name = "lemon", .is_witness = true}},
        .votes = {{.name = "e0", .site = EAST}, {.name = "e1", .site = WEST}, {.name = "e2", .site = LEMON}},
        .groups = {
            {.name = "db",
             .mode = CW_WORD_SYNC,
             .holder = EAST,
             .reason = "",
             .replica_count = 1,
             .max_loss_seconds = 60,
             .max_loss_bytes = UINT64_MAX,
             .replicas =
                 {{.site = WEST, .is_told = true, .is_member = true, .is_lag_known = true, .not_ready = ""}}},
            {.name = "mail",
             .mode = CW_WORD_ASYNC,
             .holder = WEST,
             .reason = "",
             .replica_count = 1,
             .max_loss_seconds = 60,
             .max_loss_bytes = UINT64_MAX,
             .replicas = {{.site = EAST,
                           .is_told = true,
                           .is_lag_known = true,
                           .not_ready = "",
                           .lag_seconds = 2,
                           .lag_bytes = 4096}}}}};
    for (int i = 0; i < SITES; i++)
        world.sites[i].certificate_days = CW_SURVIVAL_NO_CERTIFICATE;
    world.groups[1].replicas[0].verdict = no_words;
    world.facts = (struct cw_survival_facts){.lease_seconds = 5,
                                             .site_count = SITES,
                                             .vote_count = 3,
                                             .group_count = 2,
                                             .sites = world.sites,
                                             .votes = world.votes,
                                             .groups = world.groups};
    return &world;
}

static enum cw_survival_level level_of(struct world *world, int first, int second)
{
    struct cw_survival_loss loss = {.count = second < 0 ? 1 : 2, .sites = {first, second}};
    return cw_survival_judge(&world->facts, &loss).level;
}

static void assert_said(const char *said, const char *part)
{
    if (!strstr(said, part))
        fail_msg("not said: \"%s\", but: \"%s\"", part, said);
}

/* All that is said of a loss, in one text. */
static const char *all_words(struct world *world, int first, int second)
{
    static char all[8192];
    char text[CW_SURVIVAL_WORDS];
    struct cw_survival_loss loss = {.count = second < 0 ? 1 : 2, .sites = {first, second}};
    struct cw_survival_verdict verdict = cw_survival_judge(&world->facts, &loss);
    size_t used = (size_t)snprintf(all, sizeof all, "%s: ", cw_survival_level_name(verdict.level));
    used += (size_t)snprintf(all + used, sizeof all - used, "%s\n",
                             cw_survival_say_verdict(&world->facts, &loss, &verdict, text, sizeof text));
    used += (size_t)snprintf(all + used, sizeof all - used, "%s\n",
                             cw_survival_say_votes(&world->facts, &loss, &verdict.votes, text, sizeof text));
    for (int i = 0; i < world->facts.group_count; i++) {
        struct cw_survival_group_fate fate =
            cw_survival_of_group(&world->facts, &loss, &verdict.votes, &world->groups[i]);
        used += (size_t)snprintf(
            all + used, sizeof all - used, "%s ",
            cw_survival_say_group(&world->facts, &world->groups[i], &fate, text, sizeof text));
        used += (size_t)snprintf(
            all + used, sizeof all - used, "[%s]\n",
            cw_survival_say_command(&world->facts, &world->groups[i], &fate, text, sizeof text));
    }
    used += (size_t)snprintf(all + used, sizeof all - used, "%s\n",
                             cw_survival_say_controllers(&world->facts, &loss, text, sizeof text));
    snprintf(all + used, sizeof all - used, "%s\n",
             cw_survival_say_certificates(&world->facts, &verdict, text, sizeof text));
    return all;
}

/* ---------------------------------------------------------------- topologies */

static void healthy_three_sites(void **state)
{
    struct world *world = healthy();
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND);
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_BY_HAND);
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES);
    assert_string_equal(all_words(world, EAST, -1),
                        "survivable by hand: 1 group waits for somebody to type\n"
                        "2 of 3 votes are left (west and lemon): a majority\n"
                        "db: west can take over; it has every acknowledged write "
                        "[causeway promote db --site west]\n"
                        "mail goes on at west, with no replica that could take over []\n"
                        "west and lemon show everything and take every command\n\n");
    assert_said(all_words(world, WEST, -1),
                "mail: east can take over, without what it lacks: now 2.0 s, 4096 "
                "bytes (max_loss allows 60 s); it is async "
                "[causeway promote mail --site east --accept-loss]");
    assert_string_equal(all_words(world, LEMON, -1),
                        "survivable: \n"
                        "2 of 3 votes are left (east and west): a majority\n"
                        "db goes on at east []\n"
                        "mail goes on at west []\n"
                        "east and west show everything and take every command\n\n");
}

static void automatic_is_green(void **state)
{
    struct world *world = healthy();
    world->groups[0].is_automatic = world->groups[1].is_automatic = true;
    world->groups[0].replicas[0].not_ready = "it was tried already";
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND);
    assert_said(all_words(world, EAST, -1),
                "db: west can take over; it has every acknowledged write. Not by itself: "
                "it was tried already [causeway promote db --site west]");
    world->groups[0].replicas[0].is_ready = world->groups[1].replicas[0].is_ready = true;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES);
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES);
    assert_said(all_words(world, EAST, -1),
                "db: west takes over by itself; it has every acknowledged write []");
}

/* 2022: the votes and the tool that promotes were in the site that burned. */
static void outage_of_2022(void **state)
{
    struct world *world = healthy();
    for (int i = 0; i < 3; i++)
        world->votes[i].site = EAST;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1),
                "not survivable: all votes are at east: nobody is left who could promote anything");
    assert_said(all_words(world, EAST, -1),
                "all 3 votes are at east: with them burns the authority to promote "
                "anything anywhere, whatever is left elsewhere");
    assert_said(all_words(world, EAST, -1),
                "db stops: nobody may hold it any more, and nobody may promote it");
    /* the only controllers that could command anything, too */
    world->sites[WEST].age_seconds = -1;
    world->sites[LEMON].age_seconds = -1;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1),
                "not survivable: all votes and the only controller are at east: nobody is "
                "left who could promote anything");
    assert_said(all_words(world, EAST, -1), "nothing shows what is left, and nothing commands it");
}

/* Three controllers do not help: nor does losing somebody else hurt the votes. */
static void votes_in_one_site(void **state)
{
    struct world *world = healthy();
    world->votes[1].site = world->votes[2].site = EAST;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES);
    world->votes[1].site = WEST; /* two of three at east */
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1), "1 of 3 votes are left (west): no majority");
    assert_said(all_words(world, EAST, -1),
                "no majority of votes is left: nobody is left who could promote anything");
}

/* What has its primary and all who must grant it goes on without votes; nothing of it can change. */
static void without_votes_by_grants(void **state)
{
    struct world *world = healthy();
    world->votes[0].site = world->votes[1].site = LEMON;
    assert_said(all_words(world, LEMON, -1),
                "db stops within a lease: nobody may hold it any more, and nobody may "
                "promote it, for lack of votes; with on_store_loss: freeze it does "
                "not go on without them []");
    world->groups[0].has_grants = true;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_NOT); /* of mail, and nobody can promote */
    assert_said(
        all_words(world, LEMON, -1),
        "db goes on at east: without a majority of votes by grants, while every one of its sites lives; "
        "its roles and its in-sync set cannot change before it is back []");
    assert_said(all_words(world, LEMON, -1),
                "nobody is left who could promote anything; 1 group goes on by grants, "
                "while each of its sites lives");
    world->groups[1].has_grants = true;
    assert_said(all_words(world, LEMON, -1), "2 groups go on by grants, while each of their sites lives");
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_NOT); /* still: nobody could move them */
    /* one of those that would have to grant it is not there */
    world->votes[0].site = world->votes[1].site = WEST;
    assert_said(all_words(world, WEST, -1),
                "db stops within a lease: nobody may hold it any more, and nobody may "
                "promote it, for lack of votes; to go on without them it needs a grant "
                "of west []");
    assert_said(all_words(world, WEST, -1),
                "mail stops: nobody may hold it any more, and nobody may promote it, "
                "for lack of votes []");
    world->votes[0].site = world->votes[1].site = LEMON;
    world->sites[WEST].is_engine_alive = false;
    assert_said(all_words(world, LEMON, -1), "db stops within a lease");
    /* nobody knows whether they vote: it goes on either way */
    world = healthy();
    world->groups[0].has_grants = true;
    world->facts.votes_age_seconds = -1;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, LEMON, -1), "db goes on at east: without");
}

static void a_vote_is_away(void **state)
{
    struct world *world = healthy();
    world->votes[2].age_seconds = CW_SURVIVAL_VOTES_SECONDS + 1;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1),
                "1 of 3 votes are left (west): no majority; 1 of the others does not answer");
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES);
    world->votes[2].age_seconds = -1;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    /* its site is silent: does the member answer since? */
    world->sites[LEMON].age_seconds = 7;
    world->votes[2].age_seconds = 8;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    world->votes[2].age_seconds = 5; /* perhaps between the site's last word and the fire */
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    world->votes[2].age_seconds = 2;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND);
}

static void a_vote_has_no_place(void **state)
{
    struct world *world = healthy();
    world->votes[2].site = CW_SURVIVAL_NOWHERE;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, EAST, -1), "perhaps no majority; of 1 nobody knows at which site it is");
    for (int i = 0; i < 3; i++)
        world->votes[i].site = CW_SURVIVAL_NOWHERE;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
}

static void five_votes(void **state)
{
    struct world *world = healthy();
    world->facts.vote_count = 5;
    world->votes[3] = (struct cw_survival_vote){.name = "e3", .site = EAST};
    world->votes[4] = (struct cw_survival_vote){.name = "e4", .site = WEST};
    assert_int_equal(cw_survival_is_good(level_of(world, EAST, -1)), true);
    world->votes[2].age_seconds = -1;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1), "2 of 5 votes are left (west): no majority");
}

static void embedded_two_sites(void **state)
{
    struct world *world = healthy();
    world->facts.is_embedded = true;
    world->facts.vote_count = 0;
    world->facts.votes_age_seconds = -1;
    world->facts.site_count = 2;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND);
    assert_said(all_words(world, EAST, -1), "the store is a file on this machine, not a site's");
    assert_said(all_words(world, EAST, -1), "west shows everything and takes every command\n");
    assert_int_equal(level_of(world, EAST, WEST), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, WEST), "db: every copy of it is there; the data would be gone");
}

static void pairs(void **state)
{
    struct world *world = healthy();
    assert_int_equal(level_of(world, EAST, WEST), CW_SURVIVES_NOT);
    assert_int_equal(level_of(world, EAST, LEMON), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, LEMON), "1 of 3 votes are left (west): no majority");
    assert_said(all_words(world, EAST, LEMON), "mail stops within a lease");
    assert_said(all_words(world, EAST, LEMON),
                "west shows everything and takes every command, and nobody else does");
}

/* ---------------------------------------------------------------- replicas */

static void replica_not_in_set(void **state)
{
    struct world *world = healthy();
    world->groups[0].replicas[0].is_member = false;
    world->groups[0].replicas[0].verdict = no_words;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1), "db: WHY NOT []");
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES);
}

static void the_better_replica_counts(void **state)
{
    struct world *world = healthy();
    struct cw_survival_group *db = &world->groups[0];
    db->replica_count = 2;
    db->replicas[1] = db->replicas[0];
    db->replicas[1].site = LEMON;
    world->sites[LEMON].is_engine_alive = true;
    db->replicas[0].verdict = no_words;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND);
    assert_said(all_words(world, EAST, -1), "[causeway promote db --site lemon]");
}

static void async_behind(void **state)
{
    struct world *world = healthy();
    struct cw_survival_replica *east = &world->groups[1].replicas[0];
    east->lag_seconds = 61;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, WEST, -1),
                "mail: east lacks more than max_loss allows: 61.0 s, 4096 bytes, of 60 s");
    east->lag_seconds = 2;
    world->groups[1].max_loss_bytes = 4095;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_NOT);
    world->groups[1].max_loss_bytes = 4096;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_BY_HAND);
    east->is_lag_known = false;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, WEST, -1), "mail: how much east lacks is not known");
    east->with_loss = no_words;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_NOT);
}

static void frozen_group(void **state)
{
    struct world *world = healthy();
    world->groups[0].health = CW_HEALTH_FROZEN;
    world->groups[0].reason = "writes are held: no lease";
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, LEMON, -1), "db is frozen already now: writes are held: no lease");
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_BY_HAND); /* west could have it all the same */
    world->groups[0].holder = CW_SURVIVAL_NOWHERE;
    world->groups[0].health = CW_HEALTH_DOWN;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_NOT);
}

static void min_in_sync_holds(void **state)
{
    struct world *world = healthy();
    world->groups[0].min_in_sync = 1;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES_BY_HAND);
    assert_said(all_words(world, WEST, -1), "db: its writes are held at east, because min_in_sync is 1 "
                                            "[causeway group set db min_in_sync=0]");
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES);
}

/* ---------------------------------------------------------------- what is not known */

static void old_facts_are_no_facts(void **state)
{
    struct world *world = healthy();
    world->sites[WEST].age_seconds = CW_SURVIVAL_STALE_SECONDS + 1;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, EAST, -1), "db: west has said nothing for 6 s, so it counts as gone");
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN); /* mail is at west */
    world->sites[WEST].age_seconds = -1;
    assert_said(all_words(world, EAST, -1), "db: of west nothing is known");
    world = healthy();
    world->groups[0].replicas[0].is_told = false;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVAL_UNKNOWN);
    world = healthy();
    world->sites[WEST].is_engine_alive = false;
    assert_int_equal(level_of(world, EAST, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, EAST, -1), "db: the engine of west, which would take over, does not run");
}

static void old_votes_are_no_votes(void **state)
{
    struct world *world = healthy();
    world->facts.votes_age_seconds = CW_SURVIVAL_VOTES_SECONDS + 1;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, LEMON, -1), "etcd has not told its members for 11 s");
    world->facts.votes_age_seconds = -1;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
    world = healthy();
    world->facts.vote_count = 0;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
    world = healthy();
    world->facts.store_silent_seconds = 3;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVAL_UNKNOWN);
    assert_said(all_words(world, LEMON, -1), "the store has not answered for 3 s");
}

static void certificates(void **state)
{
    struct world *world = healthy();
    world->sites[WEST].certificate_days = 3;
    world->sites[WEST].certificate = "/etc/causeway/cert.pem";
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_BY_HAND);
    assert_said(all_words(world, LEMON, -1),
                "a certificate of west ends in 3.0 days (/etc/causeway/cert.pem)");
    world->sites[WEST].certificate_days = -0.5;
    assert_int_equal(level_of(world, LEMON, -1), CW_SURVIVES_NOT);
    assert_said(all_words(world, LEMON, -1), "a certificate of west has ended");
    world->groups[0].is_automatic = world->groups[0].replicas[0].is_ready = true;
    world->groups[1].is_automatic = world->groups[1].replicas[0].is_ready = true;
    assert_int_equal(level_of(world, WEST, -1), CW_SURVIVES); /* its own burns with it */
}

/* Whatever one fact becomes worse, no verdict becomes better. */
static void worse_is_never_better(void **state)
{
    for (int change = 0; change < 6; change++) {
        for (int first = 0; first < SITES; first++) {
            for (int second = -1; second < first; second++) {
                struct world *world = healthy();
                enum cw_survival_level before = level_of(world, first, second);
                for (int i = 0; i < 3; i++)
                    world->votes[i].age_seconds = change == 0 ? 100 : 0;
                world->votes[change % 3].site =
                    change == 1 ? CW_SURVIVAL_NOWHERE : world->votes[change % 3].site;
                world->sites[WEST].is_engine_alive = change != 2;
                world->sites[EAST].age_seconds = change == 3 ? 100 : 0;
                world->groups[0].replicas[0].verdict =
                    change == 4 ? no_words : world->groups[0].replicas[0].verdict;
                world->groups[1].replicas[0].is_lag_known = change != 5;
                enum cw_survival_level after = level_of(world, first, second);
                /* where a vote is that was known to burn may become unknown */
                assert_true(change == 1 ? cw_survival_is_good(before) || !cw_survival_is_good(after)
                                        : after >= before);
                assert_true(level_of(world, first, second >= 0 ? second : (first + 1) % SITES) >=
                            level_of(world, first, -1));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(healthy_three_sites),
                                       cmocka_unit_test(automatic_is_green),
                                       cmocka_unit_test(outage_of_2022),
                                       cmocka_unit_test(votes_in_one_site),
                                       cmocka_unit_test(without_votes_by_grants),
                                       cmocka_unit_test(a_vote_is_away),
                                       cmocka_unit_test(a_vote_has_no_place),
                                       cmocka_unit_test(five_votes),
                                       cmocka_unit_test(embedded_two_sites),
                                       cmocka_unit_test(pairs),
                                       cmocka_unit_test(replica_not_in_set),
                                       cmocka_unit_test(the_better_replica_counts),
                                       cmocka_unit_test(async_behind),
                                       cmocka_unit_test(frozen_group),
                                       cmocka_unit_test(min_in_sync_holds),
                                       cmocka_unit_test(old_facts_are_no_facts),
                                       cmocka_unit_test(old_votes_are_no_votes),
                                       cmocka_unit_test(certificates),
                                       cmocka_unit_test(worse_is_never_better)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
