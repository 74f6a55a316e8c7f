/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cw_health_name(enum cw_health_level level)
{
    static const char *const names[CW_HEALTH_COUNT] = {"protected", "degraded", "unprotected", "frozen",
                                                       "down"};
    return (unsigned)level < CW_HEALTH_COUNT ? names[level] : "unknown";
}

__attribute__((format(printf, 3, 4))) static void say(struct cw_health *health, enum cw_health_level level,
                                                      const char *format, ...)
{
    va_list arguments;
    health->level = level;
    va_start(arguments, format);
    vsnprintf(health->reason, sizeof health->reason, format, arguments);
    va_end(arguments);
}

static bool is_within_objective(const struct cw_health_facts *facts, const struct cw_health_replica *replica)
{
    if (replica->is_stalled || replica->lacks)
        return false;
    if (cw_mode_word_has_set(facts->mode))
        return replica->is_member && replica->is_reachable;
    return replica->is_promotable && !replica->needs_copy && replica->is_lag_known &&
           replica->lag_seconds <= facts->max_loss_seconds &&
           (facts->max_loss_bytes == 0 || replica->lag_bytes <= facts->max_loss_bytes);
}

static bool is_of_use(const struct cw_health_facts *facts, const struct cw_health_replica *replica)
{
    return cw_mode_word_has_set(facts->mode) ? replica->is_member : replica->is_promotable;
}

/* What the best promotable replica lacks of what was acknowledged; a member of a synchronous set lacks
 * nothing. */
static void compute_rpo(const struct cw_health_facts *facts, struct cw_health *health)
{
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct cw_health_replica *replica = &facts->replicas[i];
        bool has_all = cw_mode_word_has_set(facts->mode) && replica->is_member;
        double seconds = has_all ? 0 : replica->lag_seconds;
        uint64_t bytes = has_all ? 0 : replica->lag_bytes;
        if (!has_all && !(replica->is_promotable && replica->is_lag_known))
            continue;
        if (health->is_rpo_known && bytes >= health->rpo_bytes)
            continue;
        health->is_rpo_known = true;
        health->rpo_seconds = seconds;
        health->rpo_bytes = bytes;
    }
}

static void say_replica(struct cw_health *health, enum cw_health_level level,
                        const struct cw_health_facts *facts, const struct cw_health_replica *replica)
{
    if (replica->lacks && replica->is_reachable)
        say(health, level, "%s does not have volume %s: %s", replica->site, replica->lacks,
            replica->lacks_why);
    else if (replica->reason[0])
        say(health, level, "%s: %s", replica->site, replica->reason);
    else if (!cw_mode_word_has_set(facts->mode) && replica->is_promotable && !replica->is_lag_known)
        say(health, level, "%s has not been heard since the group was opened: what it holds is not known",
            replica->site);
    else if (!cw_mode_word_has_set(facts->mode) && replica->is_promotable && facts->max_loss_bytes &&
             replica->lag_bytes > facts->max_loss_bytes)
        say(health, level, "%s lags by %lu KiB, more than max_loss (%lu KiB)", replica->site,
            replica->lag_bytes / 1024, facts->max_loss_bytes / 1024);
    else if (!cw_mode_word_has_set(facts->mode) && replica->is_promotable)
        say(health, level, "%s lags by %.1f s, more than max_loss (%.1f s)", replica->site,
            replica->lag_seconds, facts->max_loss_seconds);
    else if (cw_mode_word_has_set(facts->mode) && replica->is_member)
        say(health, level, "%s cannot be reached; it holds everything so far", replica->site);
    else
        say(health, level, "%s is not in the in-sync set%s", replica->site,
            replica->is_streaming ? ": it is catching up" : ": it is not connected");
}

static void judge_replicas(const struct cw_health_facts *facts, struct cw_health *health)
{
    const struct cw_health_replica *bad = NULL;
    uint32_t useful = 0;
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        useful += is_of_use(facts, &facts->replicas[i]);
        if (!bad && !is_within_objective(facts, &facts->replicas[i]))
            bad = &facts->replicas[i];
    }
    if (facts->replica_count == 0)
        say(health, CW_HEALTH_UNPROTECTED, "the group has no replica");
    else if (bad)
        say_replica(health, useful ? CW_HEALTH_DEGRADED : CW_HEALTH_UNPROTECTED, facts, bad);
}

static void judge_absence(const struct cw_health_facts *facts, struct cw_health *health)
{
    if (facts->is_holder_unknown)
        say(health, CW_HEALTH_DOWN,
            "who held it last is not known since the store was rebuilt, and nothing opens it by itself: find out "
            "which site has the newest writes (causeway status, causeway losses %s), and open it there: "
            "causeway promote %s --site SITE --accept-loss",
            facts->group, facts->group);
    else if (!facts->holder[0])
        say(health, CW_HEALTH_DOWN, "it was never opened: its first primary is not there");
    else if (!facts->is_holder_alive && facts->store_silent_seconds > 0)
        say(health, CW_HEALTH_DOWN,
            "the store has not answered for %.0f s: nothing newer is known of %s, "
            "its primary, which is not heard",
            facts->store_silent_seconds, facts->holder);
    else if (!facts->is_holder_alive && facts->holder_age_seconds < 0)
        say(health, CW_HEALTH_DOWN, "%s, its primary, was not seen", facts->holder);
    else if (!facts->is_holder_alive)
        say(health, CW_HEALTH_DOWN,
            "%s, its primary, was last seen %.0f s ago: causeway promote %s --site SITE", facts->holder,
            facts->holder_age_seconds, facts->group);
    else
        say(health, CW_HEALTH_DOWN, "%s holds it, and is not open: %s", facts->holder,
            facts->holder_reason[0] ? facts->holder_reason : "it has not said why");
}

/* The data is as safe as before, roles cannot change: both are to be seen. */
static void add_store_loss(const struct cw_health_facts *facts, struct cw_health *health)
{
    char before[sizeof health->reason];
    bool is_served = health->level <= CW_HEALTH_UNPROTECTED;
    memcpy(before, health->reason, sizeof before);
    if (facts->goes_on_by_grants && is_served)
        say(health, health->level, "%.300s%s%.160s", before, before[0] ? "; " : "", facts->holder_reason);
}

struct cw_health cw_health_compute(const struct cw_health_facts *facts)
{
    struct cw_health health = {.level = CW_HEALTH_PROTECTED};
    if (!facts->is_holder_unknown)
        compute_rpo(facts, &health);
    if (facts->is_holder_alive && facts->is_opening)
        say(&health, CW_HEALTH_FROZEN, "%s is opening it", facts->holder);
    else if (!facts->is_holder_alive || !facts->is_primary)
        judge_absence(facts, &health);
    else if (facts->is_frozen)
        say(&health, CW_HEALTH_FROZEN, "writes are held: %s",
            facts->holder_reason[0] ? facts->holder_reason : "it has not said why");
    else
        judge_replicas(facts, &health);
    if (health.level == CW_HEALTH_PROTECTED && facts->unexported)
        say(&health, CW_HEALTH_DEGRADED, "%s does not export volume %s: %s", facts->holder, facts->unexported,
            facts->export_error);
    add_store_loss(facts, &health);
    return health;
}
