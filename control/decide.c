/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

static const char *const mode_words[CW_WORD_COUNT] = {"async", "semi-sync", "sync", "network-sync"};

bool cw_mode_word_parse(const char *text, enum cw_mode_word *mode)
{
    for (unsigned i = 0; i < CW_WORD_COUNT; i++) {
        if (strcmp(text, mode_words[i]) == 0) {
            *mode = (enum cw_mode_word)i;
            return true;
        }
    }
    return false;
}

const char *cw_mode_word_name(enum cw_mode_word mode)
{
    return (unsigned)mode < CW_WORD_COUNT ? mode_words[mode] : "unknown";
}

/* ---------------------------------------------------------------- sets */

const struct cw_member *cw_set_find(const struct cw_set *set, const char *site)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (strcmp(set->list[i].site, site) == 0)
            return &set->list[i];
    }
    return NULL;
}

bool cw_set_put(struct cw_set *set, const struct cw_member *member)
{
    uint32_t at = 0;
    while (at < set->count && strcmp(set->list[at].site, member->site) < 0)
        at++;
    if (at < set->count && strcmp(set->list[at].site, member->site) == 0) {
        set->list[at] = *member;
        return true;
    }
    if (set->count == CW_SET_MAX)
        return false;
    memmove(&set->list[at + 1], &set->list[at], (set->count - at) * sizeof set->list[0]);
    set->list[at] = *member;
    set->count++;
    return true;
}

bool cw_member_equal(const struct cw_member *a, const struct cw_member *b)
{
    return strcmp(a->site, b->site) == 0 && strcmp(a->boot_id, b->boot_id) == 0 &&
           strcmp(a->journal_id, b->journal_id) == 0 && strcmp(a->process_start, b->process_start) == 0;
}

bool cw_set_equal(const struct cw_set *a, const struct cw_set *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (!cw_member_equal(&a->list[i], &b->list[i]))
            return false;
    }
    return true;
}

/* Whoever changes a row that he read before a mark was set would take the mark away. */
static bool same_marks(const struct cw_set *a, const struct cw_set *b)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        if (a->list[i].in_memory != b->list[i].in_memory)
            return false;
    }
    return true;
}

bool cw_authority_equal(const struct cw_authority *a, const struct cw_authority *b)
{
    return a->epoch == b->epoch && a->reign == b->reign && strcmp(a->holder, b->holder) == 0 &&
           a->first_sequence == b->first_sequence && cw_set_equal(&a->set, &b->set) &&
           same_marks(&a->set, &b->set) && a->fenced_epoch == b->fenced_epoch &&
           cw_member_equal(&a->handover, &b->handover) && a->automatic_epoch == b->automatic_epoch;
}

/* Are the same sites in both, the holder (which is always in) left aside? */
static bool same_sites(const struct cw_set *a, const struct cw_set *b, const char *holder)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->list[i].site, holder) != 0 && !cw_set_find(b, a->list[i].site))
            return false;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        if (strcmp(b->list[i].site, holder) != 0 && !cw_set_find(a, b->list[i].site))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- verdicts */

static struct cw_verdict yes(void)
{
    return (struct cw_verdict){.answer = CW_ANSWER_YES};
}

__attribute__((format(printf, 1, 2))) static struct cw_verdict no(const char *format, ...)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_NO};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict.words, sizeof verdict.words, format, arguments);
    va_end(arguments);
    return verdict;
}

void cw_lease_watch_see(struct cw_lease_watch *watch, uint64_t epoch, uint64_t counter, uint64_t now_ns)
{
    if (watch->is_seen && watch->epoch == epoch && watch->counter == counter)
        return;
    *watch = (struct cw_lease_watch){.is_seen = true, .epoch = epoch, .counter = counter, .since_ns = now_ns};
}

uint64_t cw_lease_watch_remaining_ns(const struct cw_lease_watch *watch, uint64_t epoch, uint64_t lease_ns,
                                     uint64_t now_ns)
{
    uint64_t wait_ns = lease_ns + lease_ns / 100 + 1;
    if (!watch->is_seen || watch->epoch != epoch)
        return wait_ns;
#if CW_PLANTED_BUG == 17 /* seen once is enough */
    return 0;
#endif
    uint64_t watched_ns = now_ns > watch->since_ns ? now_ns - watch->since_ns : 0;
    return watched_ns >= wait_ns ? 0 : wait_ns - watched_ns;
}

/* Is this the one that the set means? In semi-sync a member holds writes in memory: it must be the same
 * process; so must who was recorded then. */
static bool is_same_holder_of_data(const struct cw_member *recorded, const struct cw_member *reported,
                                   enum cw_mode_word mode)
{
    return strcmp(recorded->site, reported->site) == 0 && strcmp(recorded->boot_id, reported->boot_id) == 0 &&
           strcmp(recorded->journal_id, reported->journal_id) == 0 &&
           ((mode != CW_WORD_SEMI_SYNC && !recorded->in_memory) ||
            strcmp(recorded->process_start, reported->process_start) == 0);
}

static struct cw_verdict decide_image(const struct cw_candidate *candidate)
{
    const char *site = candidate->identity.site;
    if (candidate->inconsistent)
        return yes();
    if (candidate->image == CW_WORD_BROKEN)
        return no(
            "%s has no whole image of group %s: a full copy was overwriting it. Let the copy end (bring its "
            "primary back), or promote another site; to salvage what is there, inconsistent as it is: "
            "causeway promote %s --site %s --inconsistent",
            site, candidate->group, candidate->group, site);
    if (candidate->image == CW_WORD_COPYING && !candidate->has_old_image)
        return no(
            "%s has no whole image of group %s: a full copy to it has not ended, and nothing whole was there "
            "before. Let the copy end (bring its primary back), or promote another site; to salvage what is "
            "there, inconsistent as it is: causeway promote %s --site %s --inconsistent",
            site, candidate->group, candidate->group, site);
    if (candidate->image == CW_WORD_COPYING && !candidate->accept_loss)
        return no(
            "%s is in the middle of a full copy of group %s. Let the copy end (bring its primary back), or "
            "promote another site; to go on with the whole image of before the copy, which ends with "
            "sequence %lu and is %lu s old, and without everything after it: "
            "causeway promote %s --site %s --accept-loss",
            site, candidate->group, candidate->old_sequence, candidate->old_age_seconds, candidate->group,
            site);
    if (candidate->is_foreign)
        return no(
            "%s has never held a whole image of group %s: its first copy has not ended. Bring the primary "
            "back and let it end, or promote another site; to salvage what is there, inconsistent as it is: "
            "causeway promote %s --site %s --inconsistent",
            site, candidate->group, candidate->group, site);
    return yes();
}

/* What nobody asked for is held to more: a whole image, a set where there is one, and rest after the last. */
static struct cw_verdict decide_automatic(const struct cw_authority *now,
                                          const struct cw_candidate *candidate)
{
    const char *site = candidate->identity.site, *group = candidate->group;
    if (!candidate->is_automatic)
        return yes();
    if (now->holder[0] == 0)
        return no("group %s was never open: its first opening is asked for by somebody", group);
    if (now->automatic_epoch != 0 && CW_PLANTED_BUG != 41) /* 41: one after the other */
        return no(
            "group %s failed over by itself already (epoch %lu), and has not come to rest since. By hand: "
            "causeway promote %s --site %s; to allow another one now: causeway group set %s "
            "failover=automatic",
            group, now->automatic_epoch, group, site, group);
    if (candidate->inconsistent || candidate->image != CW_WORD_WHOLE)
        return no("%s has no whole image of group %s: that is opened by hand only", site, group);
    if (candidate->accept_loss && cw_mode_word_has_set(candidate->mode) && CW_PLANTED_BUG != 40)
        return no("in mode %s no loss is accepted without somebody who says so",
                  cw_mode_word_name(candidate->mode));
    return yes();
}

/* Who accepts a loss by hand goes on without that volume; nobody does so by itself. */
static struct cw_verdict decide_lacks(const struct cw_candidate *candidate)
{
    const char *site = candidate->identity.site, *group = candidate->group;
    bool is_accepted = !candidate->is_automatic && (candidate->accept_loss || candidate->inconsistent);
    if (!candidate->lacks[0] || is_accepted)
        return yes();
    return no(
        "%s lacks volume %s of group %s, and could not serve it: causeway explain %s says what stands in "
        "its way. Mend that, or promote another site; to go on at %s without it: "
        "causeway promote %s --site %s --accept-loss",
        site, candidate->lacks, group, group, site, group, site);
}

struct cw_verdict cw_decide_candidate(const struct cw_authority *now, const struct cw_candidate *candidate)
{
    const char *site = candidate->identity.site, *group = candidate->group;
    const struct cw_member *recorded = cw_set_find(&now->set, site);
    struct cw_verdict image = decide_image(candidate), automatic = decide_automatic(now, candidate),
                      lacks = decide_lacks(candidate);
    if (strcmp(now->holder, site) == 0)
        return yes();
    if (automatic.answer != CW_ANSWER_YES)
        return automatic;
    if (image.answer != CW_ANSWER_YES)
        return image;
    if (lacks.answer != CW_ANSWER_YES)
        return lacks;
    if (candidate->accept_loss || candidate->inconsistent)
        return yes();
    if (now->holder[0] == 0 && now->epoch == 0 && candidate->is_first)
        return yes();
    if (now->holder[0] == 0 && now->epoch != 0)
        return no(
            "who held group %s last is not known since the store was rebuilt: writes that were acknowledged "
            "elsewhere may be missing at %s. Find out which site has the newest (causeway status, causeway "
            "losses), and open it there: causeway promote %s --site SITE --accept-loss",
            group, site, group);
    if (now->holder[0] == 0)
        return no(
            "group %s was never open, and %s is not its first primary. Start that site, or take it here: "
            "causeway promote %s --site %s --accept-loss",
            group, site, group, site);
    if (now->fenced_epoch == now->epoch &&
        is_same_holder_of_data(&now->handover, &candidate->identity, candidate->mode))
        return yes();
    if (!recorded)
        return no(
            "%s is not in the in-sync set of group %s: writes acknowledged at %s may be missing here. Bring "
            "%s back, or promote a site that is in the set (causeway status); to go on without those writes: "
            "causeway promote %s --site %s --accept-loss",
            site, group, now->holder, now->holder, group, site);
    if (!is_same_holder_of_data(recorded, &candidate->identity, candidate->mode))
        return no("%s was in the in-sync set of group %s, but has since %s: writes acknowledged at %s may be "
                  "missing here. Bring %s back; to go on without those writes: "
                  "causeway promote %s --site %s --accept-loss",
                  site, group,
                  strcmp(recorded->boot_id, candidate->identity.boot_id) != 0 ? "been rebooted"
                  : strcmp(recorded->journal_id, candidate->identity.journal_id) != 0
                      ? "lost or repaired its journal"
                      : "been restarted",
                  now->holder, now->holder, group, site);
    return yes();
}

/* A holder whose own journal may lack acknowledged writes cannot leave out all who may have them. What was
 * acknowledged, every member has: one that was reached will do. */
static struct cw_verdict decide_left_out(const struct cw_authority *now, const struct cw_candidate *candidate,
                                         const struct cw_claim *claim)
{
    const struct cw_member *own = cw_set_find(&now->set, candidate->identity.site);
    if (candidate->accept_loss || candidate->inconsistent || !own)
        return yes();
    if (strcmp(own->boot_id, candidate->identity.boot_id) == 0 &&
        strcmp(own->journal_id, candidate->identity.journal_id) == 0)
        return yes();
    for (uint32_t i = 0; i < claim->reached.count; i++) {
        if (cw_set_find(&now->set, claim->reached.list[i].site) &&
            strcmp(claim->reached.list[i].site, own->site) != 0)
            return yes();
    }
    for (uint32_t i = 0; i < now->set.count; i++) {
        const char *other = now->set.list[i].site;
        if (!cw_set_find(&claim->members, other))
            return no(
                "%s has been rebooted or lost its journal since it was last primary of group %s, and %s, "
                "which may hold writes that it lacks, cannot be reached. Bring %s back, or go on without "
                "those writes: causeway promote %s --site %s --accept-loss",
                own->site, candidate->group, other, other, candidate->group, own->site);
    }
    return yes();
}

static struct cw_verdict decide_numbers(const struct cw_authority *now, const struct cw_candidate *candidate,
                                        const struct cw_claim *claim)
{
    const struct cw_member *self = cw_set_find(&claim->members, candidate->identity.site);
    if (claim->from_epoch != now->epoch)
        return no("group %s is at epoch %lu, held by %s, not %lu any more: look again with causeway status",
                  candidate->group, now->epoch, now->holder[0] ? now->holder : "nobody", claim->from_epoch);
    /* The engine chose 1 + the highest that store or any reachable superblock has. */
    if (claim->epoch <= now->epoch || claim->epoch <= claim->highest_seen_epoch)
        return no("epoch %lu was asked for where the store has %lu and %lu was seen", claim->epoch,
                  now->epoch, claim->highest_seen_epoch);
    if (claim->reign == 0 || claim->reign == now->reign)
        return no("a reign must have a name of its own");
    if (!self || !cw_member_equal(self, &candidate->identity))
        return no("the new set must have %s in it, as it reports itself now", candidate->identity.site);
    return yes();
}

void cw_decide_say_older(const struct cw_authority *now, const char *group, const char *seen_by,
                         uint64_t seen_epoch, char *words, size_t size)
{
    if (seen_epoch >> 32 > now->epoch >> 32)
        snprintf(words, size,
                 "operators' tokens promoted group %s in epoch %lu, as the engine of %s knows, and the store "
                 "has only epoch %lu. It takes that over when the promoted site reaches it: bring up that "
                 "site's controller and its way to the store; if the store had it already and was put back "
                 "since: causeway store rebuild --replace",
                 group, seen_epoch, seen_by, now->epoch);
    else
        snprintf(words, size,
                 "the store has epoch %lu of group %s, and the engine of %s has seen %lu: the store is older "
                 "than the data, as one that was restored from a backup is. Put its rows right: causeway "
                 "store rebuild --replace (with --dry-run first)",
                 now->epoch, group, seen_by, seen_epoch);
}

/* Does what engines have seen speak against the row? Somebody who accepts the loss may pass over that, by
 * hand; what nobody asked for may not, nor does a holder that opens by itself. */
static struct cw_verdict decide_older(const struct cw_authority *now, const struct cw_candidate *candidate,
                                      const struct cw_claim *claim)
{
    struct cw_verdict verdict = {.answer = CW_ANSWER_NO, .is_older = true};
    bool is_by_hand = (candidate->accept_loss || candidate->inconsistent) && !candidate->is_automatic;
#if CW_PLANTED_BUG == 48 /* whatever the engines have seen */
    return yes();
#endif
    if (!cw_decide_is_older(now, claim->highest_seen_epoch) || is_by_hand || candidate->is_by_tokens)
        return yes();
    cw_decide_say_older(now, candidate->group, claim->seen_by, claim->highest_seen_epoch, verdict.words,
                        sizeof verdict.words);
    return verdict;
}

/* Who stays the same still has in memory what it had; who is recorded anew, what whoever asks says. */
static void keep_in_memory(const struct cw_set *before, struct cw_set *after)
{
    for (uint32_t i = 0; i < after->count; i++) {
        const struct cw_member *old = cw_set_find(before, after->list[i].site);
        bool is_kept = old && old->in_memory && cw_member_equal(old, &after->list[i]);
        after->list[i].in_memory = after->list[i].in_memory || is_kept;
    }
}

/* Must the holder's lease have run out, as far as we can see? In a row that is older than the data a fence says
 * nothing of those who came after. */
static bool must_wait_for_lease(const struct cw_authority *now, const char *site,
                                const struct cw_claim *claim)
{
    bool is_let_go = now->fenced_epoch == now->epoch && !cw_decide_is_older(now, claim->highest_seen_epoch);
    return now->holder[0] != 0 && strcmp(now->holder, site) != 0 && !is_let_go;
}

/* A holder that opens again changes nothing about it; somebody who moves the group has looked at it. */
static uint64_t automatic_epoch(const struct cw_authority *now, const struct cw_candidate *candidate,
                                const struct cw_claim *claim)
{
    if (strcmp(now->holder, candidate->identity.site) == 0)
        return now->automatic_epoch;
    return candidate->is_automatic ? claim->epoch : 0;
}

struct cw_verdict cw_decide_claim(const struct cw_authority *now, const struct cw_candidate *candidate,
                                  const struct cw_claim *claim, const struct cw_lease_watch *watch,
                                  uint64_t lease_ns, uint64_t now_ns, struct cw_authority *next,
                                  bool *compare_counter)
{
    const char *site = candidate->identity.site;
    struct cw_verdict verdict = decide_numbers(now, candidate, claim);
    if (verdict.answer == CW_ANSWER_YES)
        verdict = decide_older(now, candidate, claim);
    if (verdict.answer == CW_ANSWER_YES)
        verdict = cw_decide_candidate(now, candidate);
    if (verdict.answer == CW_ANSWER_YES)
        verdict = decide_left_out(now, candidate, claim);
    if (verdict.answer != CW_ANSWER_YES)
        return verdict;
    *compare_counter = must_wait_for_lease(now, site, claim);
    if (*compare_counter) {
        uint64_t wait_ns = cw_lease_watch_remaining_ns(watch, now->epoch, lease_ns, now_ns);
        if (wait_ns > 0)
            return (struct cw_verdict){.answer = CW_ANSWER_LATER, .wait_ms = wait_ns / CW_MS + 1};
    }
    *next = (struct cw_authority){.epoch = claim->epoch,
                                  .reign = claim->reign,
                                  .first_sequence = claim->first_sequence,
                                  .set = claim->members,
                                  .fenced_epoch = now->fenced_epoch,
                                  .automatic_epoch = automatic_epoch(now, candidate, claim)};
    keep_in_memory(&now->set, &next->set);
    snprintf(next->holder, sizeof next->holder, "%s", site);
    CW_ASSERT(next->fenced_epoch < next->epoch);
    return verdict;
}

bool cw_decide_is_claimed(const struct cw_authority *now, const char *site, const struct cw_claim *claim)
{
    return cw_decide_renew(now, site, claim->epoch) && now->reign == claim->reign &&
           now->first_sequence == claim->first_sequence && cw_set_equal(&now->set, &claim->members);
}

bool cw_decide_renew(const struct cw_authority *now, const char *site, uint64_t epoch)
{
    return epoch != 0 && now->epoch == epoch && strcmp(now->holder, site) == 0 && now->fenced_epoch < epoch;
}

struct cw_verdict cw_decide_set(const struct cw_authority *now, const char *site, uint64_t epoch,
                                const struct cw_set *from, const struct cw_set *to, struct cw_authority *next)
{
    if (!cw_decide_renew(now, site, epoch))
        return no("%s does not hold epoch %lu any more: epoch %lu is %s's", site, epoch, now->epoch,
                  now->holder[0] ? now->holder : "nobody");
    /* The store may have it already: the answer to the same question got lost. */
    if (!same_sites(&now->set, from, site) && !same_sites(&now->set, to, site))
        return no("the set is not what this engine believes it to be");
    *next = *now;
    next->set = *to;
    const struct cw_member *own = cw_set_find(&now->set, site);
    if (own && !cw_set_find(to, site) && !cw_set_put(&next->set, own))
        return no("the set is larger than %u", CW_SET_MAX);
    keep_in_memory(&now->set, &next->set);
    return yes();
}

struct cw_verdict cw_decide_fence(const struct cw_authority *now, const char *site, uint64_t epoch,
                                  const struct cw_member *handover, struct cw_authority *next)
{
#if CW_PLANTED_BUG == 45 /* of whatever epoch the fence is */
    epoch = now->epoch;
#endif
    if (now->epoch != epoch || strcmp(now->holder, site) != 0)
        return no("%s does not hold epoch %lu", site, epoch);
    *next = *now;
    next->fenced_epoch = epoch;
    next->handover = handover ? *handover : (struct cw_member){.site = ""};
    return yes();
}

struct cw_verdict cw_decide_rest(const struct cw_authority *now, const char *site, uint64_t epoch,
                                 struct cw_authority *next)
{
    if (!cw_decide_renew(now, site, epoch))
        return no("%s does not hold epoch %lu any more", site, epoch);
    *next = *now;
    next->automatic_epoch = 0;
    return yes();
}
