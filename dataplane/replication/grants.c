/* SPDX-License-Identifier: BSD-3-Clause */
#include "replication/grants.h"

#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"

#ifndef CW_PLANTED_BUG
#define CW_PLANTED_BUG 0
#endif

#define INTERVAL_NS CW_SECOND
#define MARGIN_NS   (100 * CW_MS)
#define ALIVE_NS    (3 * CW_SECOND) /* who asked so lately lives: three asks in a row do not get lost */
#define REFUSE_NS   (2 * CW_SECOND)

static_assert(CW_GRANT_ASKS * INTERVAL_NS >= 5 * CW_SECOND, "an answer of one lease ago still finds its ask");

static uint64_t promised_ns(uint64_t lease_ns)
{
    return lease_ns + lease_ns / 100;
}

void cw_grants_init(struct cw_grants *grants, bool is_on, bool is_blank, uint64_t lease_ns, uint64_t now_ns)
{
    *grants = (struct cw_grants){.is_on = is_on && lease_ns > 0,
                                 .lease_ns = lease_ns,
                                 .given_to = CW_SITES_MAX,
                                 .is_untold = is_blank};
#if CW_PLANTED_BUG == 27 /* what was granted before the start is forgotten */
    return;
#endif
    /* In freeze, too: the process before this one may have been configured otherwise. */
    grants->start_ends_ns = lease_ns ? now_ns + promised_ns(lease_ns) : 0;
}

/* ---------------------------------------------------------------- the primary */

void cw_grants_begin_reign(struct cw_grants *grants, uint64_t epoch, uint64_t reign, uint8_t sites)
{
    CW_ASSERT(epoch > 0);
    grants->epoch = epoch;
    grants->reign = reign;
    grants->sites = sites;
    memset(grants->from, 0, sizeof grants->from);
}

void cw_grants_end_reign(struct cw_grants *grants)
{
    grants->epoch = grants->reign = 0;
    memset(grants->from, 0, sizeof grants->from);
}

bool cw_grants_wants_ask(const struct cw_grants *grants, uint8_t site, uint64_t now_ns)
{
    return grants->is_on && grants->epoch > 0 && (grants->sites >> site & 1) &&
           now_ns >= grants->from[site].ask_again_ns;
}

struct cw_message_grant_ask cw_grants_ask(struct cw_grants *grants, uint8_t site, uint64_t now_ns)
{
    struct cw_grant_from *from = &grants->from[site];

    CW_ASSERT(grants->epoch > 0 && grants->lease_ns >= CW_MS);
    from->ask_again_ns = now_ns + CW_MIN(INTERVAL_NS, grants->lease_ns / 3);
    from->number++;
    from->asks[from->number % CW_GRANT_ASKS] =
        (struct cw_grant_question){.number = from->number, .asked_ns = now_ns};
    return (struct cw_message_grant_ask){.number = from->number,
                                         .lease_ms = (uint32_t)(grants->lease_ns / CW_MS)};
}

void cw_grants_on_grant(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign,
                        const struct cw_message_grant *grant, uint64_t now_ns)
{
    struct cw_grant_from *from = &grants->from[site];
    struct cw_grant_question *ask = &from->asks[grant->number % CW_GRANT_ASKS];

    if (grants->epoch == 0 || epoch != grants->epoch || reign != grants->reign)
        return;
    if (ask->number != grant->number || grant->number == 0)
        return;
    ask->number = 0; /* a grant answers one ask */
    from->has_answered = true;
    from->result = (uint8_t)grant->result;
    if (grant->result != CW_GRANT_GIVEN) /* what it granted before, it keeps */
        return;
    uint64_t lease_ns = CW_MIN(grant->lease_ms * CW_MS, grants->lease_ns);
    uint64_t usable_ns = lease_ns / 100 * 99;
    uint64_t asked_ns = ask->asked_ns;
#if CW_PLANTED_BUG == 26 /* a grant counts from its receipt */
    asked_ns = now_ns;
#endif
    if (usable_ns > MARGIN_NS)
        from->deadline_ns = CW_MAX(from->deadline_ns, asked_ns + usable_ns - MARGIN_NS);
}

uint64_t cw_grants_deadline_ns(const struct cw_grants *grants, uint64_t epoch, uint64_t reign)
{
    uint64_t deadline_ns = UINT64_MAX;

    if (!grants->is_on || grants->sites == 0 || grants->epoch == 0 || grants->epoch != epoch ||
        grants->reign != reign)
        return 0;
#if CW_PLANTED_BUG == 30 /* one of them is enough */
    deadline_ns = 0;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        deadline_ns = CW_MAX(deadline_ns, grants->from[s].deadline_ns);
    return deadline_ns;
#endif
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (grants->sites >> s & 1)
            deadline_ns = CW_MIN(deadline_ns, grants->from[s].deadline_ns);
    return deadline_ns;
}

uint8_t cw_grants_missing(const struct cw_grants *grants, uint64_t now_ns)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if ((grants->sites >> s & 1) && now_ns >= grants->from[s].deadline_ns)
            return s;
    return CW_SITES_MAX;
}

/* ---------------------------------------------------------------- the granter */

void cw_grants_on_ask(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign,
                      const struct cw_message_grant_ask *ask)
{
    CW_ASSERT(site < CW_SITES_MAX);
    grants->asked[site] = (struct cw_grant_asked){
        .is_waiting = true, .is_new = true, .epoch = epoch, .reign = reign, .ask = *ask};
}

static enum cw_grant_result judge(const struct cw_grants *grants, const struct cw_grant_asked *asked,
                                  uint64_t known_epoch, bool is_opening, uint64_t now_ns)
{
    bool is_known = asked->epoch == grants->given_epoch;

    if (!grants->is_on)
        return CW_GRANT_FREEZE;
    if (is_opening || now_ns < grants->refuses_until_ns)
        return CW_GRANT_OPENING;
#if CW_PLANTED_BUG == 29 /* a reign of an epoch that is over is granted, too */
    return CW_GRANT_GIVEN;
#endif
    if (grants->is_untold || asked->epoch < CW_MAX(known_epoch, grants->given_epoch) ||
        asked->epoch <= grants->over_epoch)
        return CW_GRANT_STALE;
    if (is_known && asked->reign != grants->given_reign) /* two reigns of one number: whoever came first */
        return CW_GRANT_STALE;
    return CW_GRANT_GIVEN;
}

static void give(struct cw_grants *grants, uint8_t site, const struct cw_grant_asked *asked,
                 uint64_t lease_ns, uint64_t now_ns)
{
    grants->given_to = site;
    grants->given_epoch = asked->epoch;
    grants->given_reign = asked->reign;
    grants->given_ns = now_ns;
    grants->given_ends_ns = CW_MAX(grants->given_ends_ns, now_ns + promised_ns(lease_ns));
}

bool cw_grants_answer(struct cw_grants *grants, uint8_t site, uint64_t known_epoch, bool is_opening,
                      uint64_t now_ns, struct cw_message_grant *grant, uint64_t *epoch, uint64_t *reign)
{
    struct cw_grant_asked *asked = &grants->asked[site];

    if (!asked->is_waiting)
        return false;
    if (asked->is_new) {
        asked->is_new = false;
        return false;
    }
    asked->is_waiting = false;
    *epoch = asked->epoch;
    *reign = asked->reign;
    enum cw_grant_result result = judge(grants, asked, known_epoch, is_opening, now_ns);
    uint64_t lease_ns = CW_MIN(asked->ask.lease_ms * CW_MS, grants->lease_ns);
    *grant = (struct cw_message_grant){.number = asked->ask.number, .result = result};
    if (result != CW_GRANT_GIVEN)
        return true;
    grant->lease_ms = (uint32_t)(lease_ns / CW_MS);
    give(grants, site, asked, lease_ns, now_ns);
    return true;
}

bool cw_grants_has_asks(const struct cw_grants *grants)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (grants->asked[s].is_waiting)
            return true;
    return false;
}

void cw_grants_on_release(struct cw_grants *grants, uint8_t site, uint64_t epoch, uint64_t reign)
{
    bool is_it = site == grants->given_to && epoch == grants->given_epoch && reign == grants->given_reign;

#if CW_PLANTED_BUG == 31 /* whatever epoch it speaks for */
    is_it = true;
#endif
    if (!is_it)
        return;
    grants->given_ns = grants->given_ends_ns = 0;
    grants->over_epoch = CW_MAX(grants->over_epoch, epoch);
}

void cw_grants_on_store_epoch(struct cw_grants *grants, uint64_t epoch)
{
    grants->is_untold = false;
    if (epoch > 0)
        grants->over_epoch = CW_MAX(grants->over_epoch, epoch - 1);
}

/*
 * Is it sure that no reign goes on? The store's reign is over if it was ours, or if the store says so; all
 * before it are, if it truly began: its opener waited for its grants, and gave none to any of them from then
 * on. That it began we know when its epoch is in our history, or when it asked us. Of one that was only
 * claimed, and whose site then died, we know nothing.
 */
static bool is_all_over(const struct cw_grants *grants, const struct cw_grant_opening *o)
{
    bool has_begun = o->own_epoch == o->store_epoch || grants->given_epoch == o->store_epoch;

    if (grants->given_epoch > o->store_epoch || o->own_epoch > o->store_epoch)
        return false; /* the store is older than what we know */
    if (o->store_epoch == 0)
        return true; /* and neither knows of any reign */
    if (o->is_fenced && has_begun)
        return true;
    return o->is_ours && o->own_epoch == o->store_epoch && grants->given_epoch < o->store_epoch;
}

uint64_t cw_grants_claim_ns(const struct cw_grants *grants, const struct cw_grant_opening *opening)
{
    if (is_all_over(grants, opening))
        return 0;
#if CW_PLANTED_BUG == 28 /* claims while its own grant runs */
    return grants->start_ends_ns;
#endif
    return CW_MAX(grants->start_ends_ns, grants->given_ends_ns);
}

bool cw_grants_is_in_use(const struct cw_grants *grants, const struct cw_grant_opening *opening,
                         uint64_t now_ns)
{
#if CW_PLANTED_BUG == 28
    return false;
#endif
    return grants->is_on && now_ns < grants->given_ends_ns && now_ns - grants->given_ns < ALIVE_NS &&
           grants->given_epoch >= opening->store_epoch && !is_all_over(grants, opening);
}

void cw_grants_refuse(struct cw_grants *grants, uint64_t now_ns)
{
    grants->refuses_until_ns = now_ns + REFUSE_NS;
}

uint64_t cw_grants_ending_ns(const struct cw_grants *grants, const struct cw_grant_opening *opening,
                             uint64_t now_ns)
{
    bool is_refusing = now_ns < grants->refuses_until_ns;

    if (!is_refusing || now_ns >= grants->given_ends_ns || is_all_over(grants, opening))
        return 0;
    return grants->given_ends_ns - now_ns;
}
