/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/losses.h"

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "wire/record.h"

const char *cw_loss_kind_name(enum cw_loss_kind kind)
{
    static const char *const names[CW_LOSS_KIND_COUNT] = {"none", "bounded", "unknown"};
    return (unsigned)kind < CW_LOSS_KIND_COUNT ? names[kind] : "unknown";
}

/* Nothing acknowledged is missing; NULL: that cannot be said. */
static const char *why_none(const struct cw_loss_facts *facts)
{
    if (facts->is_inconsistent)
        return NULL;
    if (facts->is_handed_over)
        return "the old primary brought this site level and let go: it has every write";
    if (!cw_mode_word_has_set(facts->mode))
        return NULL;
    if (facts->is_member)
        return facts->mode == CW_WORD_SYNC
                   ? "this site was in the in-sync set: no write was acknowledged that its journal lacked"
                   : "this site was in the in-sync set: no write was acknowledged that it had not received";
    if (facts->has_reached_member)
        return "this site took in all that a member of the in-sync set had: every acknowledged write";
    return NULL;
}

/* What a write holds on the average; the most that one may where nothing is known. */
static double average_bytes(const struct cw_loss_facts *facts)
{
    const struct cw_loss_word *status = &facts->status;
    uint64_t lacked = status->head > facts->held ? status->head - facts->held : 0;
    if (status->is_known && status->writes_per_second > 0 && status->bytes_per_second > 0)
        return status->bytes_per_second / status->writes_per_second;
    if (status->is_known && status->is_bytes_known && status->lag_bytes > 0 && lacked > 0)
        return (double)status->lag_bytes / (double)lacked;
    return CW_RECORD_PAYLOAD_MAX;
}

/* The last status counted bytes that had not come; what was written between it and the last word is reckoned.
 */
static double bytes_missing(const struct cw_loss_facts *facts, const struct cw_loss *loss)
{
    const struct cw_loss_word *status = &facts->status;
    double each = average_bytes(facts);
    if (loss->writes == 0)
        return 0;
    if (!status->is_known || !status->is_bytes_known || status->lag_bytes == 0)
        return (double)loss->writes * each;
    double later = loss->head > status->head ? (double)(loss->head - status->head) * each : 0;
    return CW_MIN((double)status->lag_bytes + later, (double)loss->writes * CW_RECORD_PAYLOAD_MAX);
}

static void say_bounded(const struct cw_loss_facts *facts, struct cw_loss *loss)
{
    char after[240];
    if (!loss->is_rate_known)
        snprintf(after, sizeof after,
                 "how fast it went on after that, until its lease ran out, is not known");
    else if (loss->after_writes == 0)
        snprintf(after, sizeof after, "it was writing nothing then");
    else
        snprintf(after, sizeof after,
                 "if it went on as fast as before until its lease ran out, up to about %lu more writes",
                 loss->after_writes);
    snprintf(
        loss->words, sizeof loss->words,
        "as of the last word of %s, %.1f s before %s took over, at most %lu writes that it had given out "
        "were missing here; %s",
        facts->from, loss->silent_seconds, facts->site, loss->writes, after);
}

static void bound(const struct cw_loss_facts *facts, struct cw_loss *loss)
{
    const struct cw_loss_word *heard = &facts->heard, *status = &facts->status;
    double rate = CW_MAX(heard->is_known ? heard->writes_per_second : 0,
                         status->is_known ? status->writes_per_second : 0);
    bool is_heard_newer = heard->is_known && (!status->is_known || heard->age_seconds <= status->age_seconds);
    const struct cw_loss_word *last = is_heard_newer ? heard : status;
    loss->kind = CW_LOSS_BOUNDED;
    loss->head = CW_MAX(heard->is_known ? heard->head : 0, status->is_known ? status->head : 0);
    loss->writes = loss->head > facts->held ? loss->head - facts->held : 0;
    loss->bytes = (uint64_t)bytes_missing(facts, loss);
    loss->seconds = loss->writes == 0 ? 0 : last->lag_seconds;
    loss->silent_seconds = last->age_seconds;
    /* A word says how fast it went only when there were two before it. A status counts a second: nothing in it
     * means idle, unless the other word tells of writes that it has not. */
    loss->is_rate_known = rate > 0 || (status->is_known && loss->head == status->head);
    loss->after_writes = (uint64_t)(rate * loss->silent_seconds + 0.999);
    loss->after_bytes = (uint64_t)((double)loss->after_writes * average_bytes(facts));
    say_bounded(facts, loss);
}

void cw_loss_judge(const struct cw_loss_facts *facts, struct cw_loss *loss)
{
    const char *none = why_none(facts);
    *loss = (struct cw_loss){.kind = CW_LOSS_UNKNOWN, .seconds = -1};
    if (none) {
        loss->kind = CW_LOSS_NONE;
        loss->seconds = 0;
        snprintf(loss->words, sizeof loss->words, "%s", none);
    } else if (facts->is_inconsistent) {
        snprintf(loss->words, sizeof loss->words,
                 "what %s opened is the state after no sequence: anything may be missing or torn",
                 facts->site);
    } else if (!facts->heard.is_known && !facts->status.is_known) {
        snprintf(loss->words, sizeof loss->words,
                 "%s heard nothing of what %s did in its last reign: how much is missing is not known",
                 facts->site, facts->from);
    } else {
        bound(facts, loss);
    }
}
