/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/survival.h"

#include <string.h>

#include "base/numbers.h"

const char *cw_survival_level_name(enum cw_survival_level level)
{
    static const char *const names[CW_SURVIVAL_LEVELS] = {"survivable", "survivable by hand", "not known",
                                                          "not survivable"};
    return (unsigned)level < CW_SURVIVAL_LEVELS ? names[level] : "not known";
}

bool cw_survival_is_lost(const struct cw_survival_loss *loss, int site)
{
    for (int i = 0; i < loss->count; i++) {
        if (loss->sites[i] == site)
            return true;
    }
    return false;
}

static bool is_younger(double age_seconds, double limit_seconds)
{
    return age_seconds >= 0 && age_seconds <= limit_seconds;
}

bool cw_survival_is_heard(const struct cw_survival_site *site)
{
    return is_younger(site->age_seconds, CW_SURVIVAL_STALE_SECONDS);
}

static enum cw_survival_level worse(enum cw_survival_level a, enum cw_survival_level b)
{
    return CW_MAX(a, b);
}

/* ---------------------------------------------------------------- votes */

static bool is_majority(int count, int all)
{
    return count * 2 > all;
}

bool cw_survival_answers(const struct cw_survival_facts *facts, const struct cw_survival_vote *vote)
{
    const struct cw_survival_site *site =
        vote->site == CW_SURVIVAL_NOWHERE ? NULL : &facts->sites[vote->site];
    bool is_alone = site && !cw_survival_is_heard(site) && site->age_seconds >= 0;
    return is_younger(vote->age_seconds, CW_SURVIVAL_VOTES_SECONDS) &&
           (!is_alone || vote->age_seconds + CW_SURVIVAL_AFTER_SECONDS < site->age_seconds);
}

struct cw_survival_votes cw_survival_count(const struct cw_survival_facts *facts,
                                           const struct cw_survival_loss *loss)
{
    struct cw_survival_votes votes = {.level = CW_SURVIVES, .all = facts->vote_count};
    if (facts->is_embedded)
        return votes;
    for (int i = 0; i < facts->vote_count; i++) {
        const struct cw_survival_vote *vote = &facts->votes[i];
        if (vote->site != CW_SURVIVAL_NOWHERE && cw_survival_is_lost(loss, vote->site))
            votes.burned++;
        else if (!cw_survival_answers(facts, vote))
            votes.silent++;
        else if (vote->site == CW_SURVIVAL_NOWHERE)
            votes.unplaced++;
        else
            votes.left++;
    }
    if (!is_younger(facts->votes_age_seconds, CW_SURVIVAL_VOTES_SECONDS) || facts->vote_count == 0)
        votes.level = CW_SURVIVAL_UNKNOWN;
    else if (!is_majority(votes.left, votes.all))
        votes.level =
            is_majority(votes.left + votes.unplaced, votes.all) ? CW_SURVIVAL_UNKNOWN : CW_SURVIVES_NOT;
    return votes;
}

/* ---------------------------------------------------------------- a group */

static struct cw_survival_group_fate fate_of(enum cw_survival_level level, enum cw_survival_fate fate,
                                             int site, int replica)
{
    return (struct cw_survival_group_fate){.level = level, .fate = fate, .site = site, .replica = replica};
}

static bool is_within_objective(const struct cw_survival_group *group,
                                const struct cw_survival_replica *replica)
{
    return replica->lag_seconds <= group->max_loss_seconds && replica->lag_bytes <= group->max_loss_bytes;
}

/* Could this replica have it, when its primary burns? */
static struct cw_survival_group_fate judge_taker(const struct cw_survival_facts *facts,
                                                 const struct cw_survival_group *group, int index)
{
    const struct cw_survival_replica *replica = &group->replicas[index];
    const struct cw_survival_site *site = &facts->sites[replica->site];
    enum cw_survival_level taken =
        group->is_automatic && replica->is_ready ? CW_SURVIVES : CW_SURVIVES_BY_HAND;
    if (!cw_survival_is_heard(site))
        return fate_of(CW_SURVIVAL_UNKNOWN, CW_FATE_SILENT, replica->site, index);
    if (!site->is_engine_alive)
        return fate_of(CW_SURVIVES_NOT, CW_FATE_ENGINE, replica->site, index);
    if (!replica->is_told)
        return fate_of(CW_SURVIVAL_UNKNOWN, CW_FATE_SILENT, replica->site, index);
    if (replica->verdict.answer == CW_ANSWER_YES)
        return fate_of(taken, CW_FATE_TAKEN, replica->site, index);
    if (cw_mode_word_has_set(group->mode) || replica->with_loss.answer != CW_ANSWER_YES)
        return fate_of(CW_SURVIVES_NOT, CW_FATE_REFUSED, replica->site, index);
    if (!replica->is_lag_known)
        return fate_of(CW_SURVIVAL_UNKNOWN, CW_FATE_LOSS_UNKNOWN, replica->site, index);
    if (!is_within_objective(group, replica))
        return fate_of(CW_SURVIVES_NOT, CW_FATE_LOSS_LARGE, replica->site, index);
    return fate_of(taken, CW_FATE_TAKEN_LOSS, replica->site, index);
}

static struct cw_survival_group_fate judge_takers(const struct cw_survival_facts *facts,
                                                  const struct cw_survival_loss *loss,
                                                  const struct cw_survival_group *group)
{
    struct cw_survival_group_fate best =
        fate_of(CW_SURVIVES_NOT, CW_FATE_GONE, CW_SURVIVAL_NOWHERE, CW_SURVIVAL_NOWHERE);
    for (uint32_t i = 0; i < group->replica_count; i++) {
        if (cw_survival_is_lost(loss, group->replicas[i].site))
            continue;
        struct cw_survival_group_fate fate = judge_taker(facts, group, (int)i);
        bool is_nearer = best.replica != CW_SURVIVAL_NOWHERE && fate.level == best.level &&
                         group->replicas[i].lag_bytes < group->replicas[best.replica].lag_bytes;
        if (best.replica == CW_SURVIVAL_NOWHERE || fate.level < best.level || is_nearer)
            best = fate;
    }
    return best;
}

/* Its primary is there: what is left of those that have everything? */
static struct cw_survival_group_fate judge_rest(const struct cw_survival_facts *facts,
                                                const struct cw_survival_loss *loss,
                                                const struct cw_survival_group *group)
{
    uint32_t members = 0, of_use = 0, touched = 0;
    for (uint32_t i = 0; i < group->replica_count; i++) {
        const struct cw_survival_replica *replica = &group->replicas[i];
        bool is_lost = cw_survival_is_lost(loss, replica->site);
        bool is_there = !is_lost && cw_survival_is_heard(&facts->sites[replica->site]);
        touched += is_lost;
        members += is_there && replica->is_member;
        of_use += is_there && (replica->is_member || (!cw_mode_word_has_set(group->mode) &&
                                                      replica->with_loss.answer == CW_ANSWER_YES));
    }
    if (touched > 0 && cw_mode_word_has_set(group->mode) && members < group->min_in_sync)
        return fate_of(CW_SURVIVES_BY_HAND, CW_FATE_HELD, group->holder, CW_SURVIVAL_NOWHERE);
    if (of_use == 0)
        return fate_of(CW_SURVIVES, CW_FATE_UNPROTECTED, group->holder, CW_SURVIVAL_NOWHERE);
    return fate_of(CW_SURVIVES, CW_FATE_GOES_ON, group->holder, CW_SURVIVAL_NOWHERE);
}

/* Without the store a primary goes on while every other site of its group grants it (or, with freeze, not at
 * all). *missing: one that does not; CW_SURVIVAL_NOWHERE: there is none. */
static bool goes_on_by_grants(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                              const struct cw_survival_group *group, int *missing)
{
    *missing = CW_SURVIVAL_NOWHERE;
    for (uint32_t i = 0; group->has_grants && i < group->replica_count; i++) {
        const struct cw_survival_site *site = &facts->sites[group->replicas[i].site];
        bool grants = cw_survival_is_heard(site) && site->is_engine_alive && group->replicas[i].is_told;
        if (cw_survival_is_lost(loss, group->replicas[i].site) || !grants)
            *missing = group->replicas[i].site;
    }
    return group->has_grants && group->replica_count > 0 && *missing == CW_SURVIVAL_NOWHERE;
}

struct cw_survival_group_fate cw_survival_of_group(const struct cw_survival_facts *facts,
                                                   const struct cw_survival_loss *loss,
                                                   const struct cw_survival_votes *votes,
                                                   const struct cw_survival_group *group)
{
    bool is_holder_lost = group->holder != CW_SURVIVAL_NOWHERE && cw_survival_is_lost(loss, group->holder);
    if (group->holder == CW_SURVIVAL_NOWHERE)
        return fate_of(CW_SURVIVES_NOT, CW_FATE_ALREADY, CW_SURVIVAL_NOWHERE, CW_SURVIVAL_NOWHERE);
    struct cw_survival_group_fate fate =
        is_holder_lost ? judge_takers(facts, loss, group) : judge_rest(facts, loss, group);
    if (fate.fate == CW_FATE_GONE)
        return fate;
    if (!is_holder_lost && !cw_survival_is_heard(&facts->sites[group->holder]))
        return fate_of(CW_SURVIVAL_UNKNOWN, CW_FATE_SILENT, group->holder, CW_SURVIVAL_NOWHERE);
    if (!is_holder_lost && group->health >= CW_HEALTH_FROZEN)
        return fate_of(CW_SURVIVES_NOT, CW_FATE_ALREADY, group->holder, CW_SURVIVAL_NOWHERE);
    if (votes->level < CW_SURVIVAL_UNKNOWN || votes->level < fate.level)
        return fate;
    int missing = CW_SURVIVAL_NOWHERE;
    if (!is_holder_lost && goes_on_by_grants(facts, loss, group, &missing))
        return fate_of(CW_SURVIVES, CW_FATE_BY_GRANTS, group->holder, CW_SURVIVAL_NOWHERE);
    return fate_of(votes->level, CW_FATE_NO_VOTES, missing, fate.replica);
}

/* ---------------------------------------------------------------- all of it */

static void judge_controllers(const struct cw_survival_facts *facts, const struct cw_survival_loss *loss,
                              struct cw_survival_verdict *verdict)
{
    double soonest = CW_SURVIVAL_ENDING_DAYS;
    for (int i = 0; i < facts->site_count; i++) {
        const struct cw_survival_site *site = &facts->sites[i];
        if (cw_survival_is_lost(loss, i))
            continue;
        if (!cw_survival_is_heard(site)) {
            verdict->controllers_silent++;
            continue;
        }
        verdict->controllers_left++;
        if (site->certificate_days >= soonest)
            continue;
        soonest = site->certificate_days;
        verdict->certificate_site = i;
    }
    if (verdict->certificate_site != CW_SURVIVAL_NOWHERE)
        verdict->certificates = soonest > 0 ? CW_SURVIVES_BY_HAND : CW_SURVIVES_NOT;
}

struct cw_survival_verdict cw_survival_judge(const struct cw_survival_facts *facts,
                                             const struct cw_survival_loss *loss)
{
    struct cw_survival_verdict verdict = {.certificate_site = CW_SURVIVAL_NOWHERE,
                                          .votes = cw_survival_count(facts, loss)};
    judge_controllers(facts, loss, &verdict);
    verdict.level = worse(verdict.votes.level, verdict.certificates);
    if (verdict.controllers_left == 0)
        verdict.level =
            worse(verdict.level, verdict.controllers_silent ? CW_SURVIVAL_UNKNOWN : CW_SURVIVES_NOT);
    if (facts->store_silent_seconds > 0)
        verdict.level = worse(verdict.level, CW_SURVIVAL_UNKNOWN);
    for (int i = 0; i < facts->group_count; i++) {
        struct cw_survival_group_fate fate =
            cw_survival_of_group(facts, loss, &verdict.votes, &facts->groups[i]);
        verdict.by_level[fate.level]++;
        verdict.by_grants += fate.fate == CW_FATE_BY_GRANTS;
        verdict.level = worse(verdict.level, fate.level);
    }
    return verdict;
}
