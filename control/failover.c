/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/failover.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

#define RANK_NS        (2 * CW_SECOND) /* a candidate leaves so much time to each that comes before it */
#define WORD_LATE_NS   (1 * CW_SECOND) /* a word may have been under way for so long */
#define WHOLE_NS       (60 * CW_SECOND)
#define LONG_ENOUGH_NS (600 * CW_SECOND)
#define AGAIN_NS_MIN   (5 * CW_SECOND) /* after a try that failed */
#define AGAIN_NS_MAX   (60 * CW_SECOND)

const char *cw_failover_name(enum cw_failover_answer answer)
{
    static const char *const names[CW_FAILOVER_ANSWER_COUNT] = {"off", "no", "ready", "wait", "go"};
    return (unsigned)answer < CW_FAILOVER_ANSWER_COUNT ? names[answer] : "unknown";
}

__attribute__((format(printf, 3, 4))) static void say(struct cw_failover_verdict *verdict,
                                                      enum cw_failover_answer answer, const char *format, ...)
{
    va_list arguments;
    verdict->answer = answer;
    va_start(arguments, format);
    vsnprintf(verdict->words, sizeof verdict->words, format, arguments);
    va_end(arguments);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* ---------------------------------------------------------------- signs of life */

/* The counter's own last movement, as far as it was seen in this epoch. */
static uint64_t counter_moved_ns(const struct cw_failover_facts *facts)
{
    bool is_this = facts->lease->is_seen && facts->lease->epoch == facts->authority->epoch;
    return is_this ? facts->lease->since_ns : facts->now_ns;
}

static uint64_t granted_ns(const struct cw_failover_facts *facts)
{
#if CW_PLANTED_BUG == 46 /* who lives by our grant is as good as dead */
    return 0;
#endif
    return facts->granted_ns;
}

/* The store knows that nothing of this epoch is answered any more: who serves again does so in the next. */
static bool is_fenced(const struct cw_failover_facts *facts)
{
    return facts->authority->fenced_epoch == facts->authority->epoch;
}

static uint64_t last_sign_ns(const struct cw_failover_facts *facts)
{
    uint64_t sign_ns = CW_MAX(counter_moved_ns(facts), facts->began_ns);
    if (is_fenced(facts))
        return CW_MIN(CW_MAX(facts->began_ns, facts->fenced_ns), facts->now_ns);
#if CW_PLANTED_BUG == 42 /* a silent controller is a dead site */
    return facts->told_ns;
#endif
    uint64_t grant_ns = granted_ns(facts) > facts->lease_ns ? granted_ns(facts) - facts->lease_ns : 0;
    return CW_MIN(CW_MAX(sign_ns, CW_MAX(facts->told_ns, grant_ns)), facts->now_ns);
}

/* When the primary can have acknowledged its last write: its lease, or a grant, is no longer than that. */
static uint64_t last_write_ns(const struct cw_failover_facts *facts)
{
    return last_sign_ns(facts) + (is_fenced(facts) ? 0 : facts->lease_ns);
}

/* ---------------------------------------------------------------- what may be lost */

/* For how long it can have acknowledged after a word of this age. */
static uint64_t unheard_ns(const struct cw_failover_facts *facts, uint64_t as_of_ns)
{
    uint64_t end_ns = last_write_ns(facts);
#if CW_PLANTED_BUG == 43 /* the last word counts as if it were of now */
    return 0;
#endif
    return (end_ns > as_of_ns ? end_ns - as_of_ns : 0) + WORD_LATE_NS;
}

static void estimate_loss(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    const struct cw_failover_lag *lag = &facts->lag;
    verdict->loss_ns = lag->lag_ns + unheard_ns(facts, lag->as_of_ns);
    verdict->loss_bytes = lag->lag_bytes + (uint64_t)((double)lag->bytes_per_second *
                                                      seconds(unheard_ns(facts, lag->bytes_as_of_ns)));
}

/* Modes without a set. true: within the objective. */
static bool judge_loss(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    if (facts->max_loss_bytes == 0) {
        say(verdict, CW_FAILOVER_NO,
            "max_loss of group %s has no limit in bytes, without which nothing that may lose writes fails "
            "over by itself: causeway group set %s max_loss=%.0fs,64M",
            facts->group, facts->group, seconds(facts->max_loss_ns));
        return false;
    }
    if (!facts->lag.is_known) {
        say(verdict, CW_FAILOVER_NO,
            "what %s lacks of group %s is not known: %s has not said it since it opened", facts->site,
            facts->group, facts->authority->holder);
        return false;
    }
    estimate_loss(facts, verdict);
    if (verdict->loss_ns <= facts->max_loss_ns && verdict->loss_bytes <= facts->max_loss_bytes)
        return true;
    say(verdict, CW_FAILOVER_NO,
        "%s may lack up to %.1f s and about %lu KiB of what %s acknowledges (what is on its way, and a lease "
        "of %.1f s that it goes on unheard), and max_loss of group %s is %.1f s and %lu KiB. By hand: "
        "causeway promote %s --site %s --accept-loss",
        facts->site, seconds(verdict->loss_ns), verdict->loss_bytes / 1024, facts->authority->holder,
        seconds(facts->lease_ns), facts->group, seconds(facts->max_loss_ns), facts->max_loss_bytes / 1024,
        facts->group, facts->site);
    return false;
}

/* ---------------------------------------------------------------- may this site at all */

static bool is_concerned(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    const char *holder = facts->authority->holder;
    if (facts->is_deleting)
        say(verdict, CW_FAILOVER_OFF, "group %s is being deleted", facts->group);
    else if (!facts->is_automatic)
        say(verdict, CW_FAILOVER_OFF, "failover is manual: causeway promote %s --site SITE", facts->group);
    else if (facts->is_embedded)
        say(verdict, CW_FAILOVER_OFF,
            "the embedded store is of one machine, and nothing fails over by itself with it: "
            "causeway promote %s --site SITE",
            facts->group);
    else if (!facts->is_site_of_group)
        say(verdict, CW_FAILOVER_OFF, "%s has no part of group %s", facts->site, facts->group);
    else if (strcmp(holder, facts->site) == 0)
        say(verdict, CW_FAILOVER_OFF, "%s is primary of group %s itself", holder, facts->group);
    else
        return true;
    return false;
}

static bool may_take(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    if (!facts->candidate) {
        say(verdict, CW_FAILOVER_NO, "the engine of %s does not have group %s, or does not answer",
            facts->site, facts->group);
        return false;
    }
    if (cw_authority_is_unknown(facts->authority)) {
        say(verdict, CW_FAILOVER_NO,
            "who held group %s last is not known since the store was rebuilt: it is opened by hand, where the "
            "newest writes are (causeway status, causeway losses %s): causeway promote %s --site SITE "
            "--accept-loss",
            facts->group, facts->group, facts->group);
        return false;
    }
    struct cw_candidate candidate = *facts->candidate;
    candidate.is_automatic = true;
    candidate.inconsistent = false;
    candidate.accept_loss = !cw_mode_word_has_set(candidate.mode) || CW_PLANTED_BUG == 40;
    struct cw_verdict may = cw_decide_candidate(facts->authority, &candidate);
    if (may.answer != CW_ANSWER_YES) {
        say(verdict, CW_FAILOVER_NO, "%s", may.words);
        return false;
    }
    verdict->accept_loss = candidate.accept_loss;
    return cw_mode_word_has_set(candidate.mode) || judge_loss(facts, verdict);
}

/* ---------------------------------------------------------------- when */

static uint64_t lease_over_ns(const struct cw_failover_facts *facts)
{
    uint64_t wait_ns = facts->lease_ns + facts->lease_ns / 100 + 1;
    uint64_t left_ns =
        cw_lease_watch_remaining_ns(facts->lease, facts->authority->epoch, facts->lease_ns, facts->now_ns);
    uint64_t over_ns = left_ns ? facts->now_ns + left_ns : facts->lease->since_ns + wait_ns;
    if (is_fenced(facts))
        return 0;
    return CW_MAX(over_ns, granted_ns(facts));
}

/* By the primary's silence alone, whatever was tried. */
static uint64_t silent_long_enough_ns(const struct cw_failover_facts *facts)
{
    uint64_t due_ns = CW_MAX(last_sign_ns(facts) + facts->after_ns, lease_over_ns(facts));
#if CW_PLANTED_BUG == 44 /* silent for an instant is silent for `after` */
    due_ns = lease_over_ns(facts);
#endif
    return due_ns + facts->rank * RANK_NS;
}

/* More than twice the pace of what primaries say of themselves (a second): nobody is called silent before. */
static bool is_there(const struct cw_failover_facts *facts)
{
    if (is_fenced(facts))
        return false;
    return facts->now_ns - last_sign_ns(facts) < CW_MIN(facts->after_ns, 2500 * CW_MS);
}

/* "east is silent for 3.2 s", "east lives, and has stopped it for 3.2 s (why)" */
static void say_gone(const struct cw_failover_facts *facts, char *text, size_t size)
{
    const char *holder = facts->authority->holder;
    double silent = seconds(facts->now_ns - last_sign_ns(facts));
    if (facts->stopped[0])
        snprintf(text, size, "%s lives, and has stopped it for %.1f s (%.160s)", holder, silent,
                 facts->stopped);
    else
        snprintf(text, size, "%s %s for %.1f s", holder, is_fenced(facts) ? "has let go of it" : "is silent",
                 silent);
}

static void judge_time(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    const char *holder = facts->authority->holder;
    char gone[256];
    uint64_t silent_ns = silent_long_enough_ns(facts), due = CW_MAX(silent_ns, facts->not_before_ns);
    say_gone(facts, gone, sizeof gone);
    if (is_there(facts)) {
        say(verdict, CW_FAILOVER_READY,
            "%s takes group %s over when %s is silent for %.1f s (and its lease of %.1f s is over)",
            facts->site, facts->group, holder, seconds(facts->after_ns), seconds(facts->lease_ns));
        return;
    }
    verdict->deadline_ns = due;
    if (facts->taker[0]) {
        say(verdict, CW_FAILOVER_WAIT, "%s; %s takes group %s already", gone, facts->taker, facts->group);
    } else if (facts->now_ns < due && due > silent_ns && facts->failed && facts->failed[0]) {
        say(verdict, CW_FAILOVER_WAIT,
            "%s; %s tried to take group %s over, in vain (%.120s), and tries again in %.1f s. At once, by hand: "
            "causeway promote %s --site %s",
            gone, facts->site, facts->group, facts->failed, seconds(due - facts->now_ns), facts->group,
            facts->site);
    } else if (facts->now_ns < due && facts->rank > 0) {
        say(verdict, CW_FAILOVER_WAIT, "%s; %s takes group %s over before %s does, which would in %.1f s",
            gone, facts->preferred, facts->group, facts->site, seconds(due - facts->now_ns));
    } else if (facts->now_ns < due) {
        say(verdict, CW_FAILOVER_WAIT, "%s; %s takes group %s over in %.1f s unless it comes back", gone,
            facts->site, facts->group, seconds(due - facts->now_ns));
    } else {
        say(verdict, CW_FAILOVER_GO, "%s%s: %s takes group %s over", gone,
            is_fenced(facts) ? "" : ", and its lease is over", facts->site, facts->group);
    }
}

void cw_failover_judge(const struct cw_failover_facts *facts, struct cw_failover_verdict *verdict)
{
    *verdict = (struct cw_failover_verdict){.answer = CW_FAILOVER_OFF};
    if (!is_concerned(facts, verdict))
        return;
    if (facts->store_trouble[0]) {
        say(verdict, CW_FAILOVER_NO,
            "nobody can take group %s over while the store is in trouble, by itself or by hand: %s",
            facts->group, facts->store_trouble);
        return;
    }
    if (may_take(facts, verdict))
        judge_time(facts, verdict);
    if (verdict->answer != CW_FAILOVER_GO)
        verdict->accept_loss = false;
}

/* ---------------------------------------------------------------- after a failure */

void cw_failover_failed(struct cw_failover_tries *tries, uint64_t epoch, uint64_t now_ns, const char *words)
{
    uint64_t wait_ns = AGAIN_NS_MIN;
    if (tries->epoch != epoch)
        *tries = (struct cw_failover_tries){.epoch = epoch};
    for (uint32_t i = 0; i < tries->failed && wait_ns < AGAIN_NS_MAX; i++)
        wait_ns *= 2;
    tries->failed++;
    tries->not_before_ns = now_ns + CW_MIN(wait_ns, AGAIN_NS_MAX);
    snprintf(tries->words, sizeof tries->words, "%s", words);
}

/* ---------------------------------------------------------------- rest */

bool cw_failover_rests(struct cw_failover_rest *rest, const struct cw_authority *authority, bool is_protected,
                       bool has_candidate, uint64_t now_ns)
{
    if (rest->epoch != authority->epoch)
        *rest = (struct cw_failover_rest){.epoch = authority->epoch, .since_ns = now_ns};
    if (!is_protected)
        rest->whole_since_ns = 0;
    else if (rest->whole_since_ns == 0)
        rest->whole_since_ns = now_ns;
    bool is_whole = rest->whole_since_ns != 0 && now_ns - rest->whole_since_ns >= WHOLE_NS;
    return is_whole || (has_candidate && now_ns - rest->since_ns >= LONG_ENOUGH_NS);
}
