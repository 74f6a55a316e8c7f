/* SPDX-License-Identifier: BSD-3-Clause */
/* What an operator reads of a group in each state, whole and as it is printed in 80 columns: to be reviewed
 * by reading. A change of words changes the text here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "control/explain.h"
#include "control/paragraph.h"

static const struct cw_verdict yes = {.answer = CW_ANSWER_YES};

/* db: sync, east primary, west in its set, three votes. */
static struct cw_explain_facts healthy(void)
{
    return (struct cw_explain_facts){.group = "db",
                                     .site = "east",
                                     .mode = CW_WORD_SYNC,
                                     .holder = "east",
                                     .first = "east",
                                     .epoch = 3,
                                     .holder_for_seconds = 7300,
                                     .is_holder_heard = true,
                                     .is_open = true,
                                     .down_words = "",
                                     .lease_seconds = 5,
                                     .lease_left_seconds = 4.2,
                                     .taker = "",
                                     .store = "/causeway/default",
                                     .store_fault = "",
                                     .store_trouble = "",
                                     .book_wrong = "",
                                     .unreadable = "",
                                     .outside_trouble = "",
                                     .older_words = "",
                                     .votes = "3 of 3 answer (east, west and lemon), a majority",
                                     .has_votes = true,
                                     .max_loss_seconds = 60,
                                     .burn_words = "west can take over; it has every acknowledged write",
                                     .burn_command = "causeway promote db --site west",
                                     .replica_count = 1,
                                     .replicas = {{.site = "west",
                                                   .state = CW_STATE_IN_SYNC,
                                                   .reason = "",
                                                   .is_heard = true,
                                                   .is_member = true,
                                                   .is_reachable = true,
                                                   .is_lag_known = true,
                                                   .is_told = true,
                                                   .promote = yes,
                                                   .promote_loss = yes,
                                                   .switchover = yes,
                                                   .ready_words = ""}}};
}

static void state(struct cw_explain_facts *facts, enum cw_health_level level, const char *reason)
{
    facts->health.level = level;
    snprintf(facts->health.reason, sizeof facts->health.reason, "%s", reason);
}

/* west, as one that is not in the set: if east burned, burn would be said and nothing could be typed. */
static struct cw_explain_replica *out_of_the_set(struct cw_explain_facts *facts, enum cw_explain_state as,
                                                 const char *burn)
{
    facts->replicas[0].state = as;
    facts->replicas[0].is_member = false;
    facts->burn_words = burn;
    facts->burn_command = "";
    return &facts->replicas[0];
}

static struct cw_verdict no(const char *words)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_NO};
    snprintf(verdict.words, sizeof verdict.words, "%s", words);
    return verdict;
}

static char *text_of(const struct cw_explain_facts *facts)
{
    static struct cw_explanation explanation;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    cw_explain(facts, &explanation);
    cw_explain_print(to, &explanation, 80, false);
    fclose(to);
    return text;
}

static void assert_reads(const struct cw_explain_facts *facts, const char *wanted)
{
    char *text = text_of(facts);
    if (getenv("CW_SHOW"))
        printf("%s\n", text);
    else
        assert_string_equal(text, wanted);
    free(text);
}

/* One thing in it, of a state that is read whole elsewhere. */
static void assert_says(const struct cw_explain_facts *facts, const char *part)
{
    char *text = text_of(facts);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
    free(text);
}

static void assert_says_not(const struct cw_explain_facts *facts, const char *part)
{
    char *text = text_of(facts);
    if (strstr(text, part))
        fail_msg("\"%s\" is in:\n%s", part, text);
    free(text);
}

/* What engines have seen, and the store has not. */
static void older_store(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_FROZEN, "");
    assert_says_not(&facts, "older than the data");
    facts.older_words = "the store is older than the data";
    assert_says(&facts, "Authority: the store is older than the data.");
}

/* ---------------------------------------------------------------- whole texts */

static void protected_group(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_PROTECTED, "");
    assert_reads(&facts, "Group db is protected. It is sync, and every replica has every acknowledged\n"
                         "write.\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: 4.2 s left of 5 s; it is renewed every second.\n"
                         "  In the set (has every acknowledged write): east, west.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west is in the set and level.\n"
                         "\n"
                         "What happens by itself\n"
                         "  Nothing: all is as it should be.\n"
                         "\n"
                         "If east burned now\n"
                         "  west can take over; it has every acknowledged write:\n"
                         "      causeway promote db --site west\n"
                         "\n"
                         "What you can type\n"
                         "  Move it to west in order, nothing lost:\n"
                         "      causeway switchover db --site west\n"
                         "  Only if that does not work: take it over at west; no acknowledged write is\n"
                         "    lost.\n"
                         "      causeway promote db --site west\n");
}

static void primary_is_silent(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN,
          "east, its primary, was last seen 4 s ago: causeway promote db --site SITE");
    facts.site = "west";
    facts.is_holder_heard = facts.is_open = false;
    facts.holder_age_seconds = 4;
    facts.taker_wait_seconds = 1.1;
    facts.votes = "2 of 3 answer (west and lemon), a majority; missing: e0 (east)";
    facts.burn_words = facts.burn_command = "";
    facts.replicas[0].state = CW_STATE_AWAY;
    assert_reads(&facts, "Group db is down. east, its primary, was last seen 4 s ago: causeway promote db\n"
                         "--site SITE.\n"
                         "\n"
                         "Now\n"
                         "  east holds it (epoch 3 for 2 h now), and was last heard 4.0 s ago.\n"
                         "  Lease: unless east still renews it, unheard, it runs out in 1.1 s.\n"
                         "  In the set (has every acknowledged write): east, west.\n"
                         "  Votes: 2 of 3 answer (west and lemon), a majority; missing: e0 (east).\n"
                         "\n"
                         "Replicas\n"
                         "  west runs, and waits for a primary; it lacked nothing when it last heard one.\n"
                         "\n"
                         "What happens by itself\n"
                         "  No site takes it over by itself (failover=manual): somebody has to say so.\n"
                         "  When east comes back, and nobody has taken it over, it opens there again, with\n"
                         "    everything.\n"
                         "\n"
                         "What you can type\n"
                         "  Take it over at west; no acknowledged write is lost. It first waits for the\n"
                         "    lease of east, 1.1 s more.\n"
                         "      causeway promote db --site west\n");
    facts.taker_wait_seconds = 0;
    assert_says(&facts, "Lease: that of the store has run out, as seen from west.");
    assert_says_not(&facts, "It first waits");
    facts.taker_wait_seconds = -1;
    assert_says(&facts, "Lease: west does not watch it; the sites of the group do.");
}

static void primary_is_silent_and_replica_lacks(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN,
          "east, its primary, was last seen 300 s ago: causeway promote db --site SITE");
    facts.site = "west";
    facts.is_holder_heard = facts.is_open = false;
    facts.holder_age_seconds = 300;
    facts.burn_words = facts.burn_command = "";
    facts.replicas[0].state = CW_STATE_AWAY;
    facts.replicas[0].is_member = false;
    facts.replicas[0].lag_bytes = 3 << 20;
    facts.replicas[0].lag_seconds = 12;
    facts.replicas[0].promote = no(
        "west is not in the in-sync set of group db: writes acknowledged at east may be missing here. Bring "
        "east back, or promote a site that is in the set (causeway status); to go on without those writes: "
        "causeway promote db --site west --accept-loss");
    assert_reads(&facts, "Group db is down. east, its primary, was last seen 300 s ago: causeway promote\n"
                         "db --site SITE.\n"
                         "\n"
                         "Now\n"
                         "  east holds it (epoch 3 for 2 h now), and was last heard 5 min ago.\n"
                         "  Lease: that of the store has run out, as seen from west.\n"
                         "  In the set (has every acknowledged write): east alone.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west runs, and waits for a primary; it lacked 3.0 MiB of writes when it last\n"
                         "    heard one, the oldest 12 s old.\n"
                         "\n"
                         "What happens by itself\n"
                         "  No site takes it over by itself (failover=manual): somebody has to say so.\n"
                         "  When east comes back, and nobody has taken it over, it opens there again, with\n"
                         "    everything.\n"
                         "\n"
                         "What you can type\n"
                         "  Take it over at west: refused without --accept-loss. west is not in the\n"
                         "    in-sync set of group db: writes acknowledged at east may be missing here.\n"
                         "    Bring east back, or promote a site that is in the set (causeway status); to\n"
                         "    go on without those writes: causeway promote db --site west --accept-loss\n"
                         "  Only if east is lost: take it over at west, and lose what it lacks (when east\n"
                         "    was last heard, 3.0 MiB of writes, the oldest 12 s old; and what came\n"
                         "    after):\n"
                         "      causeway promote db --site west --accept-loss\n");
}

static void no_lease_store_silent(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_FROZEN,
          "writes are held: the lease has run out: reads and writes are held until it is renewed");
    facts.is_frozen = true;
    facts.lease_left_seconds = 0;
    facts.store_silent_seconds = 12;
    facts.store_trouble = "etcd https://10.0.0.1:2379 did not answer in time";
    facts.has_votes = false;
    facts.votes = "which members etcd has, and who of them answers, is not known here now";
    facts.burn_words = "whether enough votes would be left to hold or promote it is not known";
    facts.burn_command = "";
    assert_reads(&facts, "Group db is frozen. writes are held: the lease has run out: reads and writes are\n"
                         "held until it is renewed.\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: run out, and not renewed; it is for 5 s each time.\n"
                         "  In the set (has every acknowledged write): east, west.\n"
                         "  Authority: the store /causeway/default has not answered east for 12 s: etcd\n"
                         "    https://10.0.0.1:2379 did not answer in time.\n"
                         "  Votes: which members etcd has, and who of them answers, is not known here now.\n"
                         "\n"
                         "Replicas\n"
                         "  west is in the set and level.\n"
                         "\n"
                         "What happens by itself\n"
                         "  As soon as the store answers, leases are renewed and everything goes on. Until\n"
                         "    then no role changes.\n"
                         "\n"
                         "If east burned now\n"
                         "  whether enough votes would be left to hold or promote it is not known.\n"
                         "\n"
                         "What you can type\n"
                         "  Bring back members of etcd until a majority answers. Until then no promotion\n"
                         "    and no switchover goes through, at whatever site it is asked for.\n"
                         "  If they are gone for good: promotion by operators' tokens (break_glass in the\n"
                         "    configuration) is not set up here.\n");
}

static void no_quorum_for_good(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN,
          "east, its primary, was last seen 60 s ago: causeway promote db --site SITE");
    facts.is_holder_heard = facts.is_open = facts.has_votes = false;
    facts.store_silent_seconds = 60;
    facts.site = "west";
    facts.break_glass = 2;
    assert_says(&facts, "Lease: not known; east may have one of a store that west does not reach.");
    assert_says(&facts, "Only if they are gone for good, and east surely writes no more");
    assert_says(&facts, "causeway promote db --site west --break-glass");
}

static void taken_by_tokens(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_UNPROTECTED, "west is not in the in-sync set: it is not connected");
    assert_says_not(&facts, "tokens");
    facts.is_outside = true;
    assert_says(&facts, "It was taken over by operators' tokens; east alone keeps it until a quorum of\n"
                        "    the store does.");
    facts.outside_trouble = "the store answers, and does not get it";
    assert_says(&facts, "the store does. Now the store answers, and does not get it.");
}

static void goes_on_by_grants(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_PROTECTED, "");
    facts.store_silent_seconds = 60;
    facts.lease_left_seconds = 0;
    assert_says(&facts, "Lease: that of the store has run out; it goes on by what its peers grant.");
}

static void held_for_replica(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_FROZEN,
          "writes are held: min_in_sync is 1 and no replica is in the set: writes are held");
    facts.is_frozen = true;
    facts.min_in_sync = 1;
    struct cw_explain_replica *west =
        out_of_the_set(&facts, CW_STATE_AWAY, "west has said nothing for 21 s, so it counts as gone");
    west->is_reachable = west->is_heard = west->is_told = false;
    west->age_seconds = 21;
    assert_reads(&facts, "Group db is frozen. writes are held: min_in_sync is 1 and no replica is in the\n"
                         "set: writes are held.\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: 4.2 s left of 5 s; it is renewed every second.\n"
                         "  In the set (has every acknowledged write): east alone.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west: the site was last heard 21 s ago; it lacked nothing then.\n"
                         "\n"
                         "What happens by itself\n"
                         "  Writes go on as soon as a replica is back in the set.\n"
                         "  west returns when it runs and can be reached: it is sent what it lacks from\n"
                         "    the journal of east, or copied in full if that no longer has it.\n"
                         "\n"
                         "If east burned now\n"
                         "  west has said nothing for 21 s, so it counts as gone.\n"
                         "\n"
                         "What you can type\n"
                         "  Let east go on alone, unprotected:\n"
                         "      causeway group set db min_in_sync=0\n"
                         "  Take it over at west: not while that site is not heard.\n");
    facts.store_silent_seconds = 5; /* then no setting can change, either */
    assert_says_not(&facts, "min_in_sync=0");
}

static void replica_is_copied(void **unused)
{
    struct cw_explain_facts facts = healthy();
    struct cw_explain_replica *west = out_of_the_set(
        &facts, CW_STATE_RESYNC, "west is in the middle of a full copy of group db. Let the copy end");
    state(&facts, CW_HEALTH_UNPROTECTED, "west is not in the in-sync set: it is catching up");
    west->copy_done_bytes = 3 << 28;
    west->copy_total_bytes = 3u << 30;
    west->copy_eta_seconds = 95;
    west->promote = no("west is in the middle of a full copy of group db. Let the copy end.");
    west->promote_loss = no("west has no whole image of group db. Let the copy end.");
    west->switchover = no("west is still being copied to: wait until causeway status says in-sync");
    assert_reads(&facts, "Group db is unprotected. west is not in the in-sync set: it is catching up.\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: 4.2 s left of 5 s; it is renewed every second.\n"
                         "  In the set (has every acknowledged write): east alone.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west is being copied in full: 768 MiB of 3.0 GiB, about 95 s to go. Until then\n"
                         "    it cannot take over without loss.\n"
                         "\n"
                         "What happens by itself\n"
                         "  west returns when the copy has ended: in about 95 s.\n"
                         "\n"
                         "If east burned now\n"
                         "  west is in the middle of a full copy of group db. Let the copy end.\n"
                         "\n"
                         "What you can type\n"
                         "  Move it to west in order: refused now. west is still being copied to: wait\n"
                         "    until causeway status says in-sync.\n"
                         "  Take it over at west: refused. west has no whole image of group db. Let the\n"
                         "    copy end.\n");
}

static void replica_is_diverged(void **unused)
{
    struct cw_explain_facts facts = healthy();
    struct cw_explain_replica *west =
        out_of_the_set(&facts, CW_STATE_DIVERGED, "west is not in the in-sync set of group db");
    state(&facts, CW_HEALTH_UNPROTECTED, "west: it applied writes that east does not have");
    west->promote = no("west is not in the in-sync set of group db.");
    west->switchover = no("west is not in the in-sync set of db: wait until causeway status says in-sync");
    assert_reads(&facts, "Group db is unprotected. west: it applied writes that east does not have.\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: 4.2 s left of 5 s; it is renewed every second.\n"
                         "  In the set (has every acknowledged write): east alone.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west is diverged: it applied writes that east does not have. It takes nothing\n"
                         "    until it is copied in full; they are kept in a file then.\n"
                         "\n"
                         "What happens by itself\n"
                         "  west: nothing, until somebody has it copied.\n"
                         "\n"
                         "If east burned now\n"
                         "  west is not in the in-sync set of group db.\n"
                         "\n"
                         "What you can type\n"
                         "  Keep in a file what only west has, and copy it in full from east:\n"
                         "      causeway resync db --site west\n"
                         "  Move it to west in order: refused now. west is not in the in-sync set of db:\n"
                         "    wait until causeway status says in-sync.\n"
                         "  Take it over at west: refused without --accept-loss. west is not in the\n"
                         "    in-sync set of group db.\n"
                         "  Only if east is lost: take it over at west, and lose what it lacks (how much\n"
                         "    nobody can say):\n"
                         "      causeway promote db --site west --accept-loss\n");
}

static void async_group(void **unused)
{
    struct cw_explain_facts facts = healthy();
    struct cw_explain_replica *west = out_of_the_set(
        &facts, CW_STATE_STREAMING, "west lacks more than max_loss allows: 75.0 s, 5242880 bytes, of 60 s");
    state(&facts, CW_HEALTH_DEGRADED, "west lags by 75.0 s, more than max_loss (60.0 s)");
    facts.mode = CW_WORD_ASYNC;
    west->lag_bytes = 5 << 20;
    west->lag_seconds = 75;
    west->promote = no("west is not in the in-sync set of group db.");
    assert_reads(&facts, "Group db is degraded. west lags by 75.0 s, more than max_loss (60.0 s).\n"
                         "\n"
                         "Now\n"
                         "  east is primary (epoch 3 for 2 h now).\n"
                         "  Lease: 4.2 s left of 5 s; it is renewed every second.\n"
                         "  Votes: 3 of 3 answer (east, west and lemon), a majority.\n"
                         "\n"
                         "Replicas\n"
                         "  west receives what is written; it lacks 5.0 MiB of writes, the oldest 75 s\n"
                         "    old.\n"
                         "\n"
                         "What happens by itself\n"
                         "  west catches up as fast as the path carries.\n"
                         "\n"
                         "If east burned now\n"
                         "  west lacks more than max_loss allows: 75.0 s, 5242880 bytes, of 60 s.\n"
                         "\n"
                         "What you can type\n"
                         "  Move it to west in order, nothing lost:\n"
                         "      causeway switchover db --site west\n"
                         "  Only if east is lost: take it over at west, and lose what it lacks (when east\n"
                         "    was last heard, 5.0 MiB of writes, the oldest 75 s old; and what came\n"
                         "    after):\n"
                         "      causeway promote db --site west --accept-loss\n");
}

/* ---------------------------------------------------------------- one thing of it */

static void never_opened(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN, "it was never opened: its first primary is not there");
    facts.holder = "";
    facts.epoch = 0;
    facts.is_holder_heard = facts.is_open = false;
    facts.holder_for_seconds = -1;
    facts.burn_words = facts.burn_command = "";
    assert_says(&facts, "Nobody has opened it yet; its first primary is to be east.");
    assert_says(&facts, "It opens when east is there.");
    assert_says(&facts, "Open it at west:\n      causeway promote db --site west\n");
    facts.replicas[0].promote = no("It was never open.");
    assert_says(&facts, "Only if east does not come: open it at west:\n      causeway promote db --site west "
                        "--accept-loss\n");
}

static void holder_unknown(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN, "who held it last is not known since the store was rebuilt");
    facts.holder = "";
    facts.is_holder_heard = facts.is_open = false;
    facts.is_automatic = true;
    facts.holder_for_seconds = -1;
    facts.burn_words = facts.burn_command = "";
    facts.replicas[0].state = CW_STATE_AWAY;
    facts.replicas[0].is_lag_known = false;
    facts.replicas[0].promote = no("It is not known.");
    assert_says(&facts, "Who held it last, in epoch 3, is not known since the store was rebuilt.");
    assert_says(&facts, "Nothing: it is opened by hand, at the site that has the newest writes");
    assert_says(&facts,
                "Only if no other site has newer writes: open it at west, and lose what it\n    lacks:\n");
    assert_says(&facts, "causeway promote db --site west --accept-loss\n");
    assert_says_not(&facts, "Nobody has opened it yet");
    assert_says_not(&facts, "It opens when east is there");
}

static void replica_disconnected(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DEGRADED, "west cannot be reached; it holds everything so far");
    facts.replicas[0].state = CW_STATE_AWAY;
    facts.replicas[0].is_reachable = false;
    assert_says(&facts, "west runs, but east does not reach it; it lacked nothing so far.");
    assert_says(&facts, "west returns when it runs and can be reached: it is sent what it lacks");
    facts.replicas[0].needs_copy = true;
    assert_says(&facts, "west is copied in full as soon as it can be reached");
    assert_says(&facts, "west runs, but east does not reach it; it has to be copied in full.");
    facts.replicas[0].needs_copy = false;
    facts.replicas[0].is_lag_known = false;
    assert_says(&facts, "east does not reach it; what it lacks is not known.");
}

static void replica_returns(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_UNPROTECTED, "west is not in the in-sync set: it is catching up");
    facts.replicas[0].is_member = false;
    assert_says(&facts, "west has everything, and is about to return to the set.");
    assert_says(&facts, "west returns to the set as soon as it has everything.");
    facts.replicas[0].state = CW_STATE_STREAMING;
    facts.replicas[0].lag_bytes = 2048;
    facts.replicas[0].lag_seconds = 3;
    assert_says(&facts, "west receives what is written; it lacks 2.0 KiB of writes, the oldest");
}

static void replica_stalled(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DEGRADED, "west: nothing moves");
    facts.replicas[0].state = CW_STATE_STREAMING;
    facts.replicas[0].is_member = false;
    facts.replicas[0].is_stalled = true;
    facts.replicas[0].lag_bytes = 4096;
    facts.replicas[0].lag_seconds = 33;
    assert_says(&facts, "west is connected, and nothing moves; it lacks 4.0 KiB of writes, the oldest\n"
                        "    33 s old.");
    assert_says(&facts, "copy it in full:\n      causeway resync db --site west\n");
}

static void store_went_back(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_FROZEN, "writes are held: the store went back");
    facts.store_fault = "the store went back: its revision was 9 and is 7.";
    assert_says(&facts, "Authority: the store went back: its revision was 9 and is 7.");
    assert_says(&facts, "Nothing, until that is done which the store's words name.");
    assert_says_not(&facts, "causeway switchover");
}

static void automatic_failover(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_DOWN,
          "east, its primary, was last seen 4 s ago: causeway promote db --site SITE");
    facts.is_holder_heard = facts.is_open = false;
    facts.is_automatic = true;
    facts.replicas[0].is_ready = true;
    facts.replicas[0].ready_words = "west takes group db over in 1.2 s";
    assert_says(&facts, "By itself: west takes group db over in 1.2 s.");
    facts.replicas[0].is_ready = false;
    facts.replicas[0].ready_words = "it did so before";
    assert_says(&facts, "west does not take it over by itself: it did so before.");
    facts = healthy();
    facts.is_automatic = true;
    facts.replicas[0].is_ready = true;
    facts.replicas[0].ready_words = "west takes group db over when east is silent";
    assert_says(&facts, "By itself: west takes group db over when east is silent.");
}

static void handing_over(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_FROZEN, "west is opening it");
    facts.is_open = false;
    facts.is_opening = facts.is_frozen = true;
    facts.is_let_go = true;
    facts.taker = "west";
    assert_says(&facts, "west is asking for it right now.");
    assert_says(&facts, "Lease: none; east has confirmed that it answers nothing any more.");
    assert_says(&facts, "east opens it within moments.");
}

static void no_replica(void **unused)
{
    struct cw_explain_facts facts = healthy();
    state(&facts, CW_HEALTH_UNPROTECTED, "the group has no replica");
    facts.replica_count = 0;
    assert_says(&facts, "In the set (has every acknowledged write): east alone.");
    assert_says(&facts, "Nothing moves it: it has no replica.");
    assert_says(&facts, "Nothing that is known here.");
}

/* Nothing is decided about it, so nothing is offered but to put the row right. */
static void row_unreadable(void **unused)
{
    struct cw_explain_facts facts = healthy();
    facts.unreadable = "the row /causeway/default/authority/0000000001 in etcd cannot be read";
    assert_says(&facts, "Authority: the row /causeway/default/authority/0000000001");
    assert_says(&facts, "Nothing moves it before that row of the store is put right.");
    assert_says_not(&facts, "causeway switchover");
}

/* A site's book is of no group; what is not kept of it is told all the same. */
static void book_in_memory(void **unused)
{
    struct cw_explain_facts facts = healthy();
    facts.site = "east";
    facts.book_wrong = "the book /var/lib/causeway/book.sqlite: disk I/O error";
    assert_says(&facts, "Events and audit of east are in memory: the book\n");
    assert_says(&facts, "/var/lib/causeway/book.sqlite: disk I/O error. Roles can change all");
}

/* Words come from others: however long they are, and whatever is in them, they are cut and stay text. */
static void long_words(void **unused)
{
    static char words[4000];
    struct cw_explain_facts facts = healthy();
    memset(words, 'x', sizeof words - 1);
    memcpy(words, "%s%n ", 5); /* no format */
    facts.store_fault = facts.store_trouble = facts.votes = facts.burn_words = words;
    facts.replicas[0].reason = facts.replicas[0].ready_words = words;
    facts.replica_count = CW_SET_MAX;
    for (uint32_t i = 1; i < CW_SET_MAX; i++)
        facts.replicas[i] = facts.replicas[0];
    assert_says(&facts, "%s%n\n    xxx");
}

static void paragraphs(void **unused)
{
    static const struct {
        unsigned width;
        const char *head, *text, *wanted;
    } rows[] = {
        {20, "  - ", "one two three four five", "  - one two three\n    four five\n"},
        {0, "- ", "one two three four five", "- one two three four five\n"},
        {10, "", "averylongwordthatdoesnotfit and", "averylongwordthatdoesnotfit\n    and\n"},
        {20, "\033[1m  - \033[0m", "one two three four", "\033[1m  - \033[0mone two three\n    four\n"},
        {20, "  ", "", "  \n"}};
    for (size_t i = 0; i < CW_COUNT_OF(rows); i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        assert_non_null(to);
        cw_paragraph(to, rows[i].width, rows[i].head, 4, rows[i].text);
        fclose(to);
        assert_string_equal(text, rows[i].wanted);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(protected_group),
                                       cmocka_unit_test(older_store),
                                       cmocka_unit_test(primary_is_silent),
                                       cmocka_unit_test(primary_is_silent_and_replica_lacks),
                                       cmocka_unit_test(no_lease_store_silent),
                                       cmocka_unit_test(no_quorum_for_good),
                                       cmocka_unit_test(taken_by_tokens),
                                       cmocka_unit_test(goes_on_by_grants),
                                       cmocka_unit_test(held_for_replica),
                                       cmocka_unit_test(replica_is_copied),
                                       cmocka_unit_test(replica_is_diverged),
                                       cmocka_unit_test(async_group),
                                       cmocka_unit_test(never_opened),
                                       cmocka_unit_test(holder_unknown),
                                       cmocka_unit_test(replica_disconnected),
                                       cmocka_unit_test(replica_returns),
                                       cmocka_unit_test(replica_stalled),
                                       cmocka_unit_test(store_went_back),
                                       cmocka_unit_test(automatic_failover),
                                       cmocka_unit_test(handing_over),
                                       cmocka_unit_test(no_replica),
                                       cmocka_unit_test(row_unreadable),
                                       cmocka_unit_test(book_in_memory),
                                       cmocka_unit_test(long_words),
                                       cmocka_unit_test(paragraphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
