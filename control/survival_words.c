/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of survival.h: for somebody who reads them in a hurry. Pure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "control/survival.h"

#define VOTERS_MAX 9 /* sites of votes that are named */

__attribute__((format(printf, 3, 4))) static const char *say(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return text;
}

static const char *site_name(const struct cw_survival_facts *facts, int site)
{
    return site == CW_SURVIVAL_NOWHERE ? "nobody" : facts->sites[site].name;
}

/* "east" or "east and west" */
static const char *loss_name(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                             char *text, size_t size)
{
    return say(text, size, loss->count == 2 ? "%s and %s" : "%s", site_name(facts, loss->sites[0]),
               loss->count == 2 ? site_name(facts, loss->sites[1]) : "");
}

static const char *s_of(int count)
{
    return count == 1 ? "" : "s";
}

/* Adds "a", ", b", " and c" as they come: called with how many there are in all. */
static void add_name(char *text, size_t size, int index, int count, const char *name)
{
    size_t used = strlen(text);
    const char *before = index == 0 ? "" : index + 1 == count ? " and " : ", ";
    snprintf(text + used, size - used, "%s%s", before, name);
}

/* The sites of the votes that are left. */
static void say_voters(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss, char *text,
                       size_t size)
{
    int sites[VOTERS_MAX], count = 0;
    text[0] = 0;
    for (int i = 0; i < facts->site_count && count < VOTERS_MAX; i++) {
        bool has_vote = false;
        for (int k = 0; k < facts->vote_count; k++)
            has_vote =
                has_vote || (facts->votes[k].site == i && cw_survival_answers(facts, &facts->votes[k]));
        if (has_vote && !cw_survival_is_lost(loss, i))
            sites[count++] = i;
    }
    for (int i = 0; i < count; i++)
        add_name(text, size, i, count, site_name(facts, sites[i]));
}

/* What the votes that do not count are. */
static void say_missing(const struct cw_survival_votes *votes, char *text, size_t size)
{
    text[0] = 0;
    if (votes->silent > 0)
        snprintf(text, size, "; %d of the others do%s not answer", votes->silent,
                 votes->silent == 1 ? "es" : "");
    size_t used = strlen(text);
    if (votes->unplaced > 0)
        snprintf(text + used, size - used, "; of %d nobody knows at which site %s", votes->unplaced,
                 votes->unplaced == 1 ? "it is" : "they are");
}

const char *cw_survival_say_votes(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                                  const struct cw_survival_votes *votes, char *text, size_t size)
{
    char left[VOTERS_MAX * CW_NAME_SIZE + 32], missing[128], lost[2 * CW_NAME_SIZE + 8];
    if (facts->is_embedded)
        return say(text, size,
                   "the store is a file on this machine, not a site's: it stays as long as the machine does");
    if (facts->vote_count == 0 || facts->votes_age_seconds < 0)
        return say(text, size, "which members etcd has is not known here: who could vote then is not known");
    if (facts->votes_age_seconds > CW_SURVIVAL_VOTES_SECONDS)
        return say(text, size, "etcd has not told its members for %.0f s: who could vote then is not known",
                   facts->votes_age_seconds);
    say_voters(facts, loss, left, sizeof left);
    say_missing(votes, missing, sizeof missing);
    loss_name(facts, loss, lost, sizeof lost);
    if (votes->level == CW_SURVIVES)
        return say(text, size, "%d of %d votes are left (%s): a majority%s", votes->left, votes->all, left,
                   missing);
    if (votes->burned == votes->all && votes->all == 1)
        return say(
            text, size,
            "the only vote is at %s: with it burns the authority to promote anything anywhere, whatever "
            "is left elsewhere",
            lost);
    if (votes->burned == votes->all)
        return say(text, size,
                   "all %d votes are at %s: with them burns the authority to promote anything anywhere, "
                   "whatever is left elsewhere",
                   votes->all, lost);
    return say(text, size, "%d of %d votes are left%s%s%s: %s%s", votes->left, votes->all,
               left[0] ? " (" : "", left, left[0] ? ")" : "",
               votes->level == CW_SURVIVAL_UNKNOWN ? "perhaps no majority" : "no majority", missing);
}

const char *cw_survival_say_now(const struct cw_survival_facts *facts, const struct cw_survival_votes *votes,
                                char *text, size_t size)
{
    char there[VOTERS_MAX * CW_NAME_SIZE + 32], missing[160] = "";
    struct cw_survival_loss none = {0};
    if (facts->is_embedded)
        return say(text, size, "none; the store is a file on this machine");
    if (facts->vote_count == 0 || facts->votes_age_seconds < 0 ||
        facts->votes_age_seconds > CW_SURVIVAL_VOTES_SECONDS)
        return say(text, size, "which members etcd has, and who of them answers, is not known here now");
    say_voters(facts, &none, there, sizeof there);
    for (int i = 0; i < facts->vote_count && votes->silent > 0; i++) {
        size_t used = strlen(missing);
        if (!cw_survival_answers(facts, &facts->votes[i]))
            snprintf(missing + used, sizeof missing - used, "%s%s (%s)",
                     used ? ", " : "; missing: ", facts->votes[i].name,
                     site_name(facts, facts->votes[i].site));
    }
    int answering = votes->left + votes->unplaced;
    return say(text, size, "%d of %d answer%s (%s)%s%s", answering, votes->all, answering == 1 ? "s" : "",
               there[0] ? there : "nobody knows where",
               answering * 2 > votes->all ? ", a majority" : ", which is no majority", missing);
}

/* ---------------------------------------------------------------- a group */

static const char *say_lag(const struct cw_survival_replica *replica, char *text, size_t size)
{
    return say(text, size, "%.1f s, %lu bytes", replica->lag_seconds, replica->lag_bytes);
}

static const char *say_taken(const struct cw_survival_facts *facts, const struct cw_survival_group *group,
                             const struct cw_survival_group_fate *fate, char *text, size_t size)
{
    char lag[64];
    const struct cw_survival_replica *replica = &group->replicas[fate->replica];
    bool is_unready = group->is_automatic && !replica->is_ready;
    const char *by = group->is_automatic && replica->is_ready ? "takes over by itself" : "can take over";
    const char *why = is_unready ? replica->not_ready : "";
    if (fate->fate == CW_FATE_TAKEN)
        return say(text, size, "%s: %s %s; it has every acknowledged write%s%s", group->name,
                   site_name(facts, fate->site), by, *why ? ". Not by itself: " : "", why);
    say_lag(replica, lag, sizeof lag);
    return say(text, size, "%s: %s %s, without what it lacks: now %s (max_loss allows %.0f s); it is %s%s%s",
               group->name, site_name(facts, fate->site), by, lag, group->max_loss_seconds,
               cw_mode_word_name(group->mode), *why ? ". Not by itself: " : "", why);
}

static const char *say_silent(const struct cw_survival_facts *facts, const struct cw_survival_group *group,
                              int site, char *text, size_t size)
{
    double age = site == CW_SURVIVAL_NOWHERE ? -1 : facts->sites[site].age_seconds;
    if (age < 0)
        return say(text, size, "%s: of %s nothing is known", group->name, site_name(facts, site));
    if (age <= CW_SURVIVAL_STALE_SECONDS)
        return say(text, size, "%s: the engine of %s has not said what it has of it", group->name,
                   site_name(facts, site));
    return say(text, size, "%s: %s has said nothing for %.0f s, so it counts as gone", group->name,
               site_name(facts, site), age);
}

static const char *say_loss(const struct cw_survival_facts *facts, const struct cw_survival_group *group,
                            const struct cw_survival_group_fate *fate, char *text, size_t size)
{
    char lag[64];
    const struct cw_survival_replica *replica = &group->replicas[fate->replica];
    if (fate->fate == CW_FATE_LOSS_UNKNOWN)
        return say(text, size, "%s: how much %s lacks is not known", group->name,
                   site_name(facts, fate->site));
    say_lag(replica, lag, sizeof lag);
    return say(text, size, "%s: %s lacks more than max_loss allows: %s, of %.0f s", group->name,
               site_name(facts, fate->site), lag, group->max_loss_seconds);
}

/* Who is primary now stays it for a lease, if it does not burn: why not for longer? */
static const char *say_no_votes(const struct cw_survival_facts *facts, const struct cw_survival_group *group,
                                const struct cw_survival_group_fate *fate, char *text, size_t size)
{
    char why[2 * CW_NAME_SIZE + 64] = "";
    bool is_there = fate->replica == CW_SURVIVAL_NOWHERE;
    if (fate->level == CW_SURVIVAL_UNKNOWN)
        return say(text, size, "%s: whether enough votes would be left to hold or promote it is not known",
                   group->name);
    if (is_there && fate->site != CW_SURVIVAL_NOWHERE)
        snprintf(why, sizeof why, "; to go on without them it needs a grant of %s",
                 site_name(facts, fate->site));
    else if (is_there && !group->has_grants)
        snprintf(why, sizeof why, "; with on_store_loss: freeze it does not go on without them");
    return say(text, size,
               "%s stops%s: nobody may hold it any more, and nobody may promote it, for lack of votes%s",
               group->name, is_there ? " within a lease" : "", why);
}

const char *cw_survival_say_group(const struct cw_survival_facts *facts,
                                  const struct cw_survival_group *group,
                                  const struct cw_survival_group_fate *fate, char *text, size_t size)
{
    const char *site = site_name(facts, fate->site);
    switch (fate->fate) {
    case CW_FATE_GOES_ON:
        return say(text, size, "%s goes on at %s", group->name, site);
    case CW_FATE_UNPROTECTED:
        return say(text, size, "%s goes on at %s, with no replica that could take over", group->name, site);
    case CW_FATE_HELD:
        return say(text, size, "%s: its writes are held at %s, because min_in_sync is %u", group->name, site,
                   group->min_in_sync);
    case CW_FATE_TAKEN:
    case CW_FATE_TAKEN_LOSS:
        return say_taken(facts, group, fate, text, size);
    case CW_FATE_SILENT:
        return say_silent(facts, group, fate->site, text, size);
    case CW_FATE_LOSS_UNKNOWN:
    case CW_FATE_LOSS_LARGE:
        return say_loss(facts, group, fate, text, size);
    case CW_FATE_REFUSED:
        return say(text, size, "%s: %s", group->name,
                   cw_mode_word_has_set(group->mode) ? group->replicas[fate->replica].verdict.words
                                                     : group->replicas[fate->replica].with_loss.words);
    case CW_FATE_ENGINE:
        return say(text, size, "%s: the engine of %s, which would take over, does not run", group->name,
                   site);
    case CW_FATE_ALREADY:
        return say(text, size, "%s is %s already now: %s", group->name, cw_health_name(group->health),
                   group->reason);
    case CW_FATE_BY_GRANTS:
        return say(text, size,
                   "%s goes on at %s: without a majority of votes by grants, while every one of its sites "
                   "lives; its roles and its in-sync set cannot change before it is back",
                   group->name, site);
    case CW_FATE_NO_VOTES:
        return say_no_votes(facts, group, fate, text, size);
    case CW_FATE_GONE:
        break;
    }
    return say(text, size, "%s: every copy of it is there; the data would be gone", group->name);
}

const char *cw_survival_say_command(const struct cw_survival_facts *facts,
                                    const struct cw_survival_group *group,
                                    const struct cw_survival_group_fate *fate, char *text, size_t size)
{
    const char *site = site_name(facts, fate->site);
    text[0] = 0;
    if (fate->fate == CW_FATE_HELD)
        say(text, size, "causeway group set %s min_in_sync=0", group->name);
    else if (fate->fate == CW_FATE_TAKEN && fate->level != CW_SURVIVES)
        say(text, size, "causeway promote %s --site %s", group->name, site);
    else if (fate->fate == CW_FATE_TAKEN_LOSS && fate->level != CW_SURVIVES)
        say(text, size, "causeway promote %s --site %s --accept-loss", group->name, site);
    return text;
}

/* ---------------------------------------------------------------- all of it */

const char *cw_survival_say_controllers(const struct cw_survival_facts *facts,
                                        const struct cw_survival_loss *loss, char *text, size_t size)
{
    char names[256] = "";
    int count = 0, index = 0, silent = 0;
    for (int i = 0; i < facts->site_count; i++) {
        bool is_heard = cw_survival_is_heard(&facts->sites[i]);
        count += is_heard && !cw_survival_is_lost(loss, i);
        silent += !is_heard && !cw_survival_is_lost(loss, i);
    }
    for (int i = 0; i < facts->site_count; i++) {
        if (cw_survival_is_heard(&facts->sites[i]) && !cw_survival_is_lost(loss, i))
            add_name(names, sizeof names, index++, count, facts->sites[i].name);
    }
    if (count == 0)
        return say(text, size, "no controller is left%s: nothing shows what is left, and nothing commands it",
                   silent ? " that has been heard lately" : "");
    return say(text, size, "%s show%s everything and take%s every command%s", names, count == 1 ? "s" : "",
               count == 1 ? "s" : "", count == 1 && facts->site_count > 2 ? ", and nobody else does" : "");
}

const char *cw_survival_say_certificates(const struct cw_survival_facts *facts,
                                         const struct cw_survival_verdict *verdict, char *text, size_t size)
{
    text[0] = 0;
    if (verdict->certificate_site == CW_SURVIVAL_NOWHERE)
        return text;
    const struct cw_survival_site *site = &facts->sites[verdict->certificate_site];
    if (site->certificate_days <= 0)
        return say(text, size, "a certificate of %s has ended (%s): nobody believes %s any more", site->name,
                   site->certificate, site->name);
    return say(text, size, "a certificate of %s ends in %.1f days (%s): renew it before (causeway cert)",
               site->name, site->certificate_days, site->certificate);
}

const char *cw_survival_say_verdict(const struct cw_survival_facts *facts,
                                    const struct cw_survival_loss *loss,
                                    const struct cw_survival_verdict *verdict, char *text, size_t size)
{
    char lost[2 * CW_NAME_SIZE + 8], grants[96] = "";
    int hard = verdict->by_level[CW_SURVIVES_NOT], doubtful = verdict->by_level[CW_SURVIVAL_UNKNOWN],
        by_hand = verdict->by_level[CW_SURVIVES_BY_HAND];
    text[0] = 0;
    if (verdict->controllers_left == 0 && verdict->votes.burned == verdict->votes.all && !facts->is_embedded)
        return say(text, size,
                   "all votes and the only controller are at %s: nobody is left who could promote anything",
                   loss_name(facts, loss, lost, sizeof lost));
    if (verdict->by_grants > 0)
        snprintf(grants, sizeof grants, "; %d group%s go%s on by grants, while each of %s sites lives",
                 verdict->by_grants, s_of(verdict->by_grants), verdict->by_grants == 1 ? "es" : "",
                 verdict->by_grants == 1 ? "its" : "their");
    if (verdict->votes.level == CW_SURVIVES_NOT && verdict->votes.burned == verdict->votes.all)
        return say(text, size, "all votes are at %s: nobody is left who could promote anything%s",
                   loss_name(facts, loss, lost, sizeof lost), grants);
    if (verdict->votes.level == CW_SURVIVES_NOT)
        return say(text, size, "no majority of votes is left: nobody is left who could promote anything%s",
                   grants);
    if (hard > 0)
        return say(text, size, "%d group%s would be lost or stand still", hard, s_of(hard));
    if (verdict->controllers_left == 0)
        return say(text, size, "nobody is left to command anything");
    if (verdict->certificates == CW_SURVIVES_NOT)
        return say(text, size, "who is left does not believe each other: a certificate has ended");
    if (facts->store_silent_seconds > 0)
        return say(text, size, "the store has not answered for %.0f s: nobody knows what would be left",
                   facts->store_silent_seconds);
    if (verdict->votes.level == CW_SURVIVAL_UNKNOWN)
        return say(text, size, "whether a majority of votes is left is not known");
    if (doubtful > 0)
        return say(text, size, "of %d group%s not enough is known", doubtful, s_of(doubtful));
    if (by_hand > 0)
        return say(text, size, "%d group%s wait%s for somebody to type", by_hand, s_of(by_hand),
                   by_hand == 1 ? "s" : "");
    if (verdict->certificates == CW_SURVIVES_BY_HAND)
        return say(text, size, "a certificate ends soon");
    return text;
}
