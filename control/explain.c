/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/explain.h"

#include <stdarg.h>
#include <string.h>

#include "base/numbers.h"

const char *cw_explain_section_name(enum cw_explain_section section)
{
    static const char *const names[CW_EXPLAIN_SECTIONS] = {"now", "replicas", "next", "burns", "type"};
    return (unsigned)section < CW_EXPLAIN_SECTIONS ? names[section] : "now";
}

/* A line of what is explained now; the last one is left out of a list that is full. */
__attribute__((format(printf, 4, 5))) static struct cw_explain_line *
say(struct cw_explanation *to, enum cw_explain_section section, const char *command, const char *format, ...)
{
    struct cw_explain_line *line = &to->lines[CW_MIN(to->count, CW_EXPLAIN_LINES_MAX - 1)];
    va_list arguments;
    if (to->count < CW_EXPLAIN_LINES_MAX)
        to->count++;
    line->section = section;
    va_start(arguments, format);
    vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
    snprintf(line->command, sizeof line->command, "%s", command);
    return line;
}

__attribute__((format(printf, 2, 3))) static const char *command_of(char command[CW_EXPLAIN_COMMAND],
                                                                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, CW_EXPLAIN_COMMAND, format, arguments);
    va_end(arguments);
    return command;
}

/* "4.2 s", "12 min", "3 h", "5 days" */
static const char *time_words(double seconds, char text[24])
{
    if (seconds < 100)
        snprintf(text, 24, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(text, 24, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, 24, "%.0f h", seconds / 3600);
    else
        snprintf(text, 24, "%.0f days", seconds / 86400);
    return text;
}

static const char *bytes_words(double bytes, char text[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 24, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}

static bool is_store_silent(const struct cw_explain_facts *facts)
{
    return facts->store_silent_seconds > 0;
}

static bool is_lease_gone(const struct cw_explain_facts *facts)
{
    return facts->is_holder_heard && facts->is_open && facts->lease_left_seconds == 0;
}

/* It was open, and a rebuilt store does not know where last. */
static bool is_holder_unknown(const struct cw_explain_facts *facts)
{
    return !facts->holder[0] && facts->epoch != 0;
}

static uint32_t member_count(const struct cw_explain_facts *facts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->replica_count; i++)
        count += facts->replicas[i].is_member;
    return count;
}

/* Frozen for want of a replica in the set. */
static bool is_held_for_replica(const struct cw_explain_facts *facts)
{
    return facts->is_frozen && cw_mode_word_has_set(facts->mode) && member_count(facts) < facts->min_in_sync;
}

/* ---------------------------------------------------------------- now */

static void say_holder(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    char time[24], since[40] = "";
    if (facts->holder_for_seconds >= 0)
        snprintf(since, sizeof since, " for %s now", time_words(facts->holder_for_seconds, time));
    if (is_holder_unknown(facts))
        say(to, CW_EXPLAIN_NOW, "",
            "Who held it last, in epoch %lu, is not known since the store was rebuilt.", facts->epoch);
    else if (!facts->holder[0])
        say(to, CW_EXPLAIN_NOW, "", "Nobody has opened it yet; its first primary is to be %s.", facts->first);
    else if (!facts->is_holder_heard && facts->holder_age_seconds < 0)
        say(to, CW_EXPLAIN_NOW, "", "%s holds it (epoch %lu%s); nothing was ever heard of that site here.",
            facts->holder, facts->epoch, since);
    else if (!facts->is_holder_heard)
        say(to, CW_EXPLAIN_NOW, "", "%s holds it (epoch %lu%s), and was last heard %s ago.", facts->holder,
            facts->epoch, since, time_words(facts->holder_age_seconds, time));
    else if (facts->is_open)
        say(to, CW_EXPLAIN_NOW, "", "%s is primary (epoch %lu%s).", facts->holder, facts->epoch, since);
    else
        say(to, CW_EXPLAIN_NOW, "", "%s holds it (epoch %lu%s), and has not opened it%s%s.", facts->holder,
            facts->epoch, since, facts->down_words[0] ? ": " : "", facts->down_words);
    if (facts->is_outside)
        say(to, CW_EXPLAIN_NOW, "",
            "It was taken over by operators' tokens; %s alone keeps it until a quorum of the store does%s%s.",
            facts->holder, facts->outside_trouble[0] ? ". Now " : "", facts->outside_trouble);
    if (facts->taker[0])
        say(to, CW_EXPLAIN_NOW, "", "%s is asking for it right now.", facts->taker);
}

static void say_lease(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    char left[24];
    if (!facts->holder[0])
        return;
    if (facts->is_let_go)
        say(to, CW_EXPLAIN_NOW, "", "Lease: none; %s has confirmed that it answers nothing any more.",
            facts->holder);
    else if (!facts->is_holder_heard && is_store_silent(facts))
        say(to, CW_EXPLAIN_NOW, "", "Lease: not known; %s may have one of a store that %s does not reach.",
            facts->holder, facts->site);
    else if (!facts->is_holder_heard && facts->taker_wait_seconds > 0)
        say(to, CW_EXPLAIN_NOW, "", "Lease: unless %s still renews it, unheard, it runs out in %s.",
            facts->holder, time_words(facts->taker_wait_seconds, left));
    else if (!facts->is_holder_heard && facts->taker_wait_seconds < 0)
        say(to, CW_EXPLAIN_NOW, "", "Lease: %s does not watch it; the sites of the group do.", facts->site);
    else if (!facts->is_holder_heard)
        say(to, CW_EXPLAIN_NOW, "", "Lease: that of the store has run out, as seen from %s.", facts->site);
    else if (is_lease_gone(facts) && !facts->is_frozen)
        say(to, CW_EXPLAIN_NOW, "",
            "Lease: that of the store has run out; it goes on by what its peers grant.");
    else if (is_lease_gone(facts))
        say(to, CW_EXPLAIN_NOW, "", "Lease: run out, and not renewed; it is for %.0f s each time.",
            facts->lease_seconds);
    else if (facts->is_open && facts->lease_left_seconds > 0)
        say(to, CW_EXPLAIN_NOW, "", "Lease: %s left of %.0f s; it is renewed every second.",
            time_words(facts->lease_left_seconds, left), facts->lease_seconds);
}

static void say_store(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    if (facts->store_fault[0])
        say(to, CW_EXPLAIN_NOW, "", "Authority: %s", facts->store_fault);
    else if (is_store_silent(facts))
        say(to, CW_EXPLAIN_NOW, "", "Authority: the store %s has not answered %s for %.0f s%s%s.",
            facts->store, facts->site, facts->store_silent_seconds, facts->store_trouble[0] ? ": " : "",
            facts->store_trouble);
    else if (facts->is_store_full)
        say(to, CW_EXPLAIN_NOW, "", "Authority: the store %s answers and takes no changes: %s.", facts->store,
            facts->store_trouble);
    if (facts->unreadable[0])
        say(to, CW_EXPLAIN_NOW, "", "Authority: %s.", facts->unreadable);
    if (facts->older_words[0])
        say(to, CW_EXPLAIN_NOW, "", "Authority: %s.", facts->older_words);
    if (facts->votes[0])
        say(to, CW_EXPLAIN_NOW, "", "Votes: %s.", facts->votes);
    if (facts->book_wrong[0])
        say(to, CW_EXPLAIN_NOW, "",
            "Events and audit of %s are in memory: %s. Roles can change all the same; a command's line of "
            "audit is at the sites that it has links to.",
            facts->site, facts->book_wrong);
}

static void say_set(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    char members[CW_SET_MAX * CW_NAME_SIZE] = "";
    if (!cw_mode_word_has_set(facts->mode) || !facts->holder[0])
        return;
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        size_t used = strlen(members);
        if (facts->replicas[i].is_member)
            snprintf(members + used, sizeof members - used, "%s%s", used ? ", " : "",
                     facts->replicas[i].site);
    }
    say(to, CW_EXPLAIN_NOW, "", "In the set (has every acknowledged write): %s%s%s.", facts->holder,
        members[0] ? ", " : " alone", members);
}

/* ---------------------------------------------------------------- replicas */

/* "it lacked 3.0 MiB of writes, the oldest 12 s old"; when: "" for now, or " then" */
static void lag_words(const struct cw_explain_replica *replica, const char *when, char *text, size_t size)
{
    char time[24], bytes[24];
    const char *verb = when[0] ? "lacked" : "lacks";
    if (replica->needs_copy)
        snprintf(text, size, "it has to be copied in full");
    else if (!replica->is_lag_known)
        snprintf(text, size, "what it lacks is not known");
    else if (replica->lag_bytes == 0 && replica->lag_seconds < 0.1)
        snprintf(text, size, "it %s nothing%s", verb, when);
    else
        snprintf(text, size, "it %s %s of writes%s, the oldest %s old", verb,
                 bytes_words((double)replica->lag_bytes, bytes), when,
                 time_words(replica->lag_seconds, time));
}

static void say_copy(const struct cw_explain_replica *replica, struct cw_explanation *to)
{
    char done[24], total[24], left[24];
    say(to, CW_EXPLAIN_REPLICAS, "", "%s is being copied in full: %s of %s, about %s to go. %s",
        replica->site, bytes_words(replica->copy_done_bytes, done),
        bytes_words(replica->copy_total_bytes, total), time_words(replica->copy_eta_seconds, left),
        "Until then it cannot take over without loss.");
}

static void say_away(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                     struct cw_explanation *to)
{
    char age[24], lag[128];
    bool has_primary = facts->is_holder_heard && facts->is_open;
    const char *dot = replica->reason[0] ? " It says: " : "";
    lag_words(replica,
              !replica->is_heard ? " then"
              : has_primary      ? " so far"
                                 : " when it last heard one",
              lag, sizeof lag);
    if (!replica->is_heard && replica->age_seconds < 0)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s: nothing was ever heard of that site here.", replica->site);
    else if (!replica->is_heard)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s: the site was last heard %s ago; %s.", replica->site,
            time_words(replica->age_seconds, age), lag);
    else if (!has_primary)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s runs, and waits for a primary; %s.%s%s", replica->site, lag, dot,
            replica->reason);
    else
        say(to, CW_EXPLAIN_REPLICAS, "", "%s runs, but %s does not reach it; %s.%s%s", replica->site,
            facts->holder, lag, dot, replica->reason);
}

static void say_replica(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                        struct cw_explanation *to)
{
    char lag[128];
    const char *more = replica->reason[0] ? ". " : "";
    lag_words(replica, "", lag, sizeof lag);
    if (replica->state == CW_STATE_RESYNC)
        say_copy(replica, to);
    else if (replica->state == CW_STATE_AWAY)
        say_away(facts, replica, to);
    else if (replica->state == CW_STATE_DIVERGED)
        say(to, CW_EXPLAIN_REPLICAS, "",
            "%s is diverged: it applied writes that %s does not have. It takes nothing until it is copied in "
            "full; they are kept in a file then.",
            replica->site, facts->holder[0] ? facts->holder : "the primary");
    else if (replica->is_stalled)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s is connected, and nothing moves; %s%s%s.", replica->site, lag,
            more, replica->reason);
    else if (replica->state == CW_STATE_IN_SYNC && cw_mode_word_has_set(facts->mode) && !replica->is_member)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s has everything, and is about to return to the set.",
            replica->site);
    else if (replica->state == CW_STATE_IN_SYNC)
        say(to, CW_EXPLAIN_REPLICAS, "", "%s is in the set%s%s%s.", replica->site,
            replica->lag_bytes ? "; on its way to it are the newest writes" : " and level", more,
            replica->reason);
    else
        say(to, CW_EXPLAIN_REPLICAS, "", "%s receives what is written; %s%s%s.", replica->site, lag, more,
            replica->reason);
}

/* ---------------------------------------------------------------- what happens by itself */

static void say_lacks(const char *site, const char *volume, struct cw_explanation *to)
{
    say(to, CW_EXPLAIN_NEXT, "",
        "%s tries to make or open volume %s every few seconds: it is there by itself when nothing stands in its "
        "way (move away or remove what is at its path there, make room, or mend its disk).",
        site, volume);
}

static void say_return(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                       struct cw_explanation *to)
{
    char left[24];
    const char *site = replica->site;
    if (replica->state == CW_STATE_DIVERGED)
        say(to, CW_EXPLAIN_NEXT, "", "%s: nothing, until somebody has it copied.", site);
    else if (replica->state == CW_STATE_RESYNC)
        say(to, CW_EXPLAIN_NEXT, "", "%s returns when the copy has ended: in about %s.", site,
            time_words(replica->copy_eta_seconds, left));
    else if (replica->needs_copy)
        say(to, CW_EXPLAIN_NEXT, "",
            "%s is copied in full as soon as it can be reached: what it lacks is no longer in the journal.",
            site);
    else if (!replica->is_heard || !replica->is_reachable)
        say(to, CW_EXPLAIN_NEXT, "",
            "%s returns when it runs and can be reached: it is sent what it lacks from the journal of %s, or "
            "copied in full if that no longer has it.",
            site, facts->holder);
    else if (replica->lacks)
        say_lacks(site, replica->lacks, to);
    else if (replica->is_stalled)
        say(to, CW_EXPLAIN_NEXT, "", "%s: nothing is known to come; see causeway events.", site);
    else if (cw_mode_word_has_set(facts->mode) && !replica->is_member)
        say(to, CW_EXPLAIN_NEXT, "", "%s returns to the set as soon as it has everything.", site);
    else if (!cw_mode_word_has_set(facts->mode) && replica->lag_seconds > facts->max_loss_seconds)
        say(to, CW_EXPLAIN_NEXT, "", "%s catches up as fast as the path carries.", site);
}

static void say_automatic(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct cw_explain_replica *replica = &facts->replicas[i];
        if (!replica->ready_words[0])
            continue;
        if (replica->is_ready)
            say(to, CW_EXPLAIN_NEXT, "", "By itself: %s.", replica->ready_words);
        else
            say(to, CW_EXPLAIN_NEXT, "", "%s does not take it over by itself: %s.", replica->site,
                replica->ready_words);
    }
}

static void say_next_without_primary(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    if (is_holder_unknown(facts)) {
        say(to, CW_EXPLAIN_NEXT, "",
            "Nothing: it is opened by hand, at the site that has the newest writes (causeway status, causeway "
            "losses %s).",
            facts->group);
        return;
    }
    if (facts->is_automatic)
        say_automatic(facts, to);
    else if (facts->holder[0] && facts->replica_count > 0)
        say(to, CW_EXPLAIN_NEXT, "",
            "No site takes it over by itself (failover=manual): somebody has to say so.");
    if (!facts->holder[0])
        say(to, CW_EXPLAIN_NEXT, "", "It opens when %s is there.", facts->first);
    else if (!facts->is_holder_heard)
        say(to, CW_EXPLAIN_NEXT, "",
            "When %s comes back, and nobody has taken it over, it opens there again, with everything.",
            facts->holder);
    else
        say(to, CW_EXPLAIN_NEXT, "", "%s tries to open it every few seconds, unless an error has stopped it.",
            facts->holder);
}

static void say_next(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    uint32_t before = to->count;
    if (facts->store_fault[0])
        say(to, CW_EXPLAIN_NEXT, "", "Nothing, until that is done which the store's words name.");
    else if (is_store_silent(facts))
        say(to, CW_EXPLAIN_NEXT, "",
            "As soon as the store answers, leases are renewed and everything goes on. "
            "Until then no role changes.");
    else if (facts->is_store_full)
        say(to, CW_EXPLAIN_NEXT, "",
            "As soon as the store takes changes, leases are renewed and everything goes on. Until then "
            "no role changes.");
    if (facts->is_opening)
        say(to, CW_EXPLAIN_NEXT, "", "%s opens it within moments.", facts->holder);
    else if (!facts->is_holder_heard || !facts->is_open)
        say_next_without_primary(facts, to);
    else if (is_held_for_replica(facts))
        say(to, CW_EXPLAIN_NEXT, "", "Writes go on as soon as a replica is back in the set.");
    else if (is_lease_gone(facts) && !is_store_silent(facts))
        say(to, CW_EXPLAIN_NEXT, "", "Writes go on with the next renewal of the lease.");
    for (uint32_t i = 0; i < facts->replica_count && facts->is_open && facts->is_holder_heard; i++)
        say_return(facts, &facts->replicas[i], to);
    if (facts->lacks && facts->is_open && facts->is_holder_heard)
        say_lacks(facts->holder, facts->lacks, to);
    if (to->count == before && facts->unreadable[0])
        say(to, CW_EXPLAIN_NEXT, "", "Nothing moves it before that row of the store is put right.");
    if (to->count == before && facts->is_automatic)
        say_automatic(facts, to);
    if (to->count == before)
        say(to, CW_EXPLAIN_NEXT, "", "%s",
            facts->health.level == CW_HEALTH_PROTECTED ? "Nothing: all is as it should be."
                                                       : "Nothing that is known here.");
}

/* ---------------------------------------------------------------- what to type */

/* What a promotion of a replica that may lack something costs, as far as anybody can say. */
static void loss_words(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                       char *text, size_t size)
{
    char bytes[24], time[24];
    if (!replica->is_lag_known || replica->needs_copy || replica->state == CW_STATE_DIVERGED)
        snprintf(text, size, "how much nobody can say");
    else
        snprintf(text, size, "when %s was last heard, %s of writes, the oldest %s old; and what came after",
                 facts->holder, bytes_words((double)replica->lag_bytes, bytes),
                 time_words(replica->lag_seconds, time));
}

/* With what a promotion that may lose something is offered. */
static void only_if(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                    char *text, size_t size)
{
    char loss[160];
    loss_words(facts, replica, loss, sizeof loss);
    if (is_holder_unknown(facts))
        snprintf(text, size, "Only if no other site has newer writes: open it at %s, and lose what it lacks:",
                 replica->site);
    else if (!facts->holder[0])
        snprintf(text, size, "Only if %s does not come: open it at %s:", facts->first, replica->site);
    else
        snprintf(text, size,
                 "Only if %s is lost: take it over at %s, and lose what it lacks (%s):", facts->holder,
                 replica->site, loss);
}

static void say_promote_loss(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                             struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND], condition[320];
    if (replica->promote_loss.answer != CW_ANSWER_YES) {
        say(to, CW_EXPLAIN_TYPE, "", "Take it over at %s: refused. %s", replica->site,
            replica->promote_loss.words);
        return;
    }
    only_if(facts, replica, condition, sizeof condition);
    if (cw_mode_word_has_set(facts->mode))
        say(to, CW_EXPLAIN_TYPE, "", "Take it over at %s: refused without --accept-loss. %s", replica->site,
            replica->promote.words);
    say(to, CW_EXPLAIN_TYPE,
        command_of(command, "causeway promote %s --site %s --accept-loss", facts->group, replica->site), "%s",
        condition);
}

/* A lease that may still run keeps everybody waiting. */
static void wait_words(const struct cw_explain_facts *facts, char *text, size_t size)
{
    char left[24];
    text[0] = 0;
    if (!facts->is_let_go && !facts->is_holder_heard && facts->taker_wait_seconds > 0)
        snprintf(text, size, " It first waits for the lease of %s, %s more.", facts->holder,
                 time_words(facts->taker_wait_seconds, left));
}

static void say_promote(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                        struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND], wait[96];
    const char *site = replica->site;
    bool is_primary_well = facts->is_holder_heard && facts->is_open;
    if (!replica->is_heard) {
        say(to, CW_EXPLAIN_TYPE, "", "Take it over at %s: not while that site is not heard.", site);
        return;
    }
    if (!replica->is_told) {
        say(to, CW_EXPLAIN_TYPE, "", "Take it over at %s: not yet; its engine has not said what it has.",
            site);
        return;
    }
    if (replica->promote.answer != CW_ANSWER_YES) {
        say_promote_loss(facts, replica, to);
        return;
    }
    wait_words(facts, wait, sizeof wait);
    command_of(command, "causeway promote %s --site %s", facts->group, site);
    if (!facts->holder[0])
        say(to, CW_EXPLAIN_TYPE, command, "Open it at %s:", site);
    else
        say(to, CW_EXPLAIN_TYPE, command, "%sake it over at %s; no acknowledged write is lost.%s",
            is_primary_well ? "Only if that does not work: t" : "T", site, wait);
}

static void say_switchover(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                           struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND];
    if (!facts->is_holder_heard || !facts->is_open || !replica->is_heard || !replica->is_told)
        return;
    if (replica->switchover.answer == CW_ANSWER_YES)
        say(to, CW_EXPLAIN_TYPE,
            command_of(command, "causeway switchover %s --site %s", facts->group, replica->site),
            "Move it to %s in order, nothing lost:", replica->site);
    else
        say(to, CW_EXPLAIN_TYPE, "", "Move it to %s in order: refused now. %s.", replica->site,
            replica->switchover.words);
}

static void say_repair(const struct cw_explain_facts *facts, const struct cw_explain_replica *replica,
                       struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND];
    command_of(command, "causeway resync %s --site %s", facts->group, replica->site);
    if (!facts->is_open || !facts->is_holder_heard)
        return;
    if (replica->state == CW_STATE_DIVERGED)
        say(to, CW_EXPLAIN_TYPE, command,
            "Keep in a file what only %s has, and copy it in full from %s:", replica->site, facts->holder);
    else if (replica->is_stalled)
        say(to, CW_EXPLAIN_TYPE, command, "If %s still does not move: copy it in full:", replica->site);
}

/* No majority will come back: what is left is people's word. */
static void say_break_glass(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND];
    if (facts->break_glass == 0)
        say(to, CW_EXPLAIN_TYPE, "",
            "If they are gone for good: promotion by operators' tokens (break_glass in the configuration) is "
            "not set up here.");
    for (uint32_t i = 0; i < facts->replica_count && facts->break_glass > 0; i++) {
        const char *site = facts->replicas[i].site;
        if (!facts->replicas[i].is_heard)
            continue;
        say(to, CW_EXPLAIN_TYPE,
            command_of(command, "causeway promote %s --site %s --break-glass", facts->group, site),
            "Only if they are gone for good, and %s surely writes no more: take it over at %s by the word of "
            "%u operator%s. This says what they must sign:",
            facts->holder[0] ? facts->holder : "nobody else", site, facts->break_glass,
            facts->break_glass == 1 ? "" : "s");
    }
}

static void say_votes_lost(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    if (facts->store_fault[0])
        say(to, CW_EXPLAIN_TYPE, "",
            "Start engine and controller of this site anew, when the store is the right one again.");
    else if (is_store_silent(facts) && facts->is_embedded)
        say(to, CW_EXPLAIN_TYPE, "", "End the program that has locked %s, if it is locked.", facts->store);
    else if (facts->is_store_full && !is_store_silent(facts))
        say(to, CW_EXPLAIN_TYPE, "",
            "Make room in etcd, and end its alarm, as is said above. Until then no promotion and no "
            "switchover goes through, at whatever site it is asked for.");
    else if (is_store_silent(facts) || !facts->has_votes)
        say(to, CW_EXPLAIN_TYPE, "",
            "Bring back members of etcd until a majority answers. Until then no promotion and no switchover "
            "goes through, at whatever site it is asked for.");
    if (!facts->store_fault[0] && !facts->is_embedded && is_store_silent(facts))
        say_break_glass(facts, to);
}

/* Then no role and no setting can change, and to offer it would be a waste of somebody's time. */
static bool is_stuck(const struct cw_explain_facts *facts)
{
    return facts->store_fault[0] || facts->unreadable[0] || is_store_silent(facts) || facts->is_store_full ||
           !facts->has_votes;
}

static void say_commands(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    char command[CW_EXPLAIN_COMMAND];
    say_votes_lost(facts, to);
    for (uint32_t i = 0; i < facts->replica_count; i++)
        say_repair(facts, &facts->replicas[i], to);
    if (is_held_for_replica(facts) && !is_stuck(facts))
        say(to, CW_EXPLAIN_TYPE, command_of(command, "causeway group set %s min_in_sync=0", facts->group),
            "Let %s go on alone, unprotected:", facts->holder);
    for (uint32_t i = 0; i < facts->replica_count && !is_stuck(facts); i++)
        say_switchover(facts, &facts->replicas[i], to);
    for (uint32_t i = 0; i < facts->replica_count && !is_stuck(facts); i++)
        say_promote(facts, &facts->replicas[i], to);
    if (facts->replica_count == 0)
        say(to, CW_EXPLAIN_TYPE, "", "Nothing moves it: it has no replica.");
}

/* ---------------------------------------------------------------- all of it */

static void say_why(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    bool has_set = cw_mode_word_has_set(facts->mode);
    if (facts->health.level != CW_HEALTH_PROTECTED)
        snprintf(to->why, sizeof to->why, "%s.", facts->health.reason);
    else
        snprintf(to->why, sizeof to->why, "It is %s, and %s.", cw_mode_word_name(facts->mode),
                 has_set ? "every replica has every acknowledged write"
                         : "every replica lags less than max_loss allows");
}

void cw_explain(const struct cw_explain_facts *facts, struct cw_explanation *to)
{
    to->count = 0;
    to->health = facts->health.level;
    snprintf(to->group, sizeof to->group, "%s", facts->group);
    snprintf(to->holder, sizeof to->holder, "%s", facts->holder);
    say_why(facts, to);
    say_holder(facts, to);
    say_lease(facts, to);
    say_set(facts, to);
    say_store(facts, to);
    for (uint32_t i = 0; i < facts->replica_count; i++)
        say_replica(facts, &facts->replicas[i], to);
    say_next(facts, to);
    if (facts->burn_words[0])
        say(to, CW_EXPLAIN_BURNS, facts->burn_command, "%s%s", facts->burn_words,
            facts->burn_command[0] ? ":" : ".");
    say_commands(facts, to);
}
