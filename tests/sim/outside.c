/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Break-glass: the store is lost to every site, whoever held the group is gone or cut off, and operators open
 * another site (or the same one) by tokens. Whether the tokens are good is judged by the product
 * (control/break_glass.c), and so is what may be held outside of the store, what becomes of it when the store
 * answers, and how long an old side waits (control/outside.c). The model of store_outside.c is here: which
 * row a site reads and writes, and what of it outlives its process and its controller.
 *
 *   (none) --tokens--> PERMITTED --claim, into the site's file--> HELD --the store takes it--> TAKEN_OVER
 *
 * What operators state is true here: the store is lost to all sites, so whoever held the group answers
 * nothing once the lease and the grants have run out, which the claim waits for; one that was dead comes back
 * after the promoted site has opened. Without that there could be two primaries until they meet: tokens rest
 * on people's word, and the simulator does not break it. As the product asks for it, too, the promoted site
 * is there when the store is back, for less time than others wait.
 *
 * Rules: tokens of another epoch, site or signer, too few, and old ones are refused; nobody else answers from
 * the claim on; what is held goes into the store, and is never passed by another epoch.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "control/break_glass.h"
#include "sim.h"

#define OPERATORS  3u
#define HOLD_NS    (5 * CW_SECOND) /* as the product has it */
#define SPREAD_NS  (2 * CW_SECOND) /* from the first site that reaches the store again to the last */
#define TRY_NS     (300 * CW_MS)
#define WALL_BEGAN 1790000000

enum wrong { WRONG_EPOCH, WRONG_SITE, TOO_FEW, TWICE, TOO_OLD, WRONG_KINDS, RIGHT = WRONG_KINDS };
static const char *const wrong_names[] = {"of another epoch",       "of another site", "of one operator",
                                          "of one operator, twice", "that have ended", "good"};

static const char *const names[SIM_SITES_MAX] = {"A", "B", "C"};

static struct outside *of(struct site *site)
{
    return &site->world->outside[site->id];
}

/* ------------------------------------------------------------------ what others ask */

struct store *outside_view(struct site *site)
{
    uint8_t state = of(site)->state;

    return state == OUTSIDE_HELD || state == OUTSIDE_PERMITTED ? &of(site)->own : &site->world->store;
}

struct store *outside_store(struct site *site, bool is_claim)
{
    uint8_t state = of(site)->state;
    bool is_own = state == OUTSIDE_HELD || (state == OUTSIDE_PERMITTED && is_claim);

    return is_own ? &of(site)->own : &site->world->store;
}

const struct store *outside_truth(const struct world *w)
{
    for (uint32_t i = 0; i < w->site_count; i++)
        if (w->outside[i].state == OUTSIDE_HELD)
            return &w->outside[i].own;
    return w->put_back.is_older ? &w->put_back.truth : &w->store;
}

bool outside_can_act(struct site *site)
{
    const struct outside *o = of(site);

    return o->state == OUTSIDE_PERMITTED || (o->state == OUTSIDE_HELD && o->has_begun);
}

uint64_t outside_floor(struct site *site)
{
    return of(site)->state == OUTSIDE_PERMITTED ? of(site)->epoch : 0;
}

bool outside_may_renew(struct site *site)
{
    const struct outside *o = of(site);
    bool is_exempt = o->state == OUTSIDE_HELD || o->state == OUTSIDE_TAKEN_OVER;

    return is_exempt || cw_outside_may_renew(&o->wait, site_clock(site, site->world->now_ns));
}

bool outside_may_claim(struct site *site, const struct cw_authority *expected,
                       const struct cw_authority *next)
{
    const struct outside *o = of(site);

    if (o->state == OUTSIDE_PERMITTED)
        return cw_outside_may_claim(&o->own.row, expected, next, o->epoch, names[site->id]);
    bool is_exempt = o->state == OUTSIDE_HELD || o->state == OUTSIDE_TAKEN_OVER;
    return is_exempt || cw_outside_may_open(&o->wait, site_clock(site, site->world->now_ns));
}

void outside_claimed(struct site *site)
{
    struct world *w = site->world;
    struct outside *o = of(site);

    if (o->state != OUTSIDE_PERMITTED)
        return;
    o->state = OUTSIDE_HELD;
    o->own.was_drained = w->store.was_drained;
    o->own.is_loss_accepted = w->store.is_loss_accepted;
    w->by_tokens++;
    note(w, site, "holds by tokens", o->own.row.epoch, 0, 0);
}

/* ------------------------------------------------------------------ tokens */

static void seed_of(uint32_t operator_, uint8_t seed[CW_TOKEN_SEED])
{
    memset(seed, (int)(operator_ + 1), CW_TOKEN_SEED);
}

static struct cw_config_break_glass make_keys(void)
{
    struct cw_config_break_glass keys = {.threshold = 2, .key_count = OPERATORS, .cluster = "sim"};
    uint8_t seed[CW_TOKEN_SEED];

    for (uint32_t i = 0; i < OPERATORS; i++) {
        size_t size = sizeof keys.keys[i].key;
        seed_of(i, seed);
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
        CW_ASSERT(key && EVP_PKEY_get_raw_public_key(key, keys.keys[i].key, &size) == 1);
        EVP_PKEY_free(key);
        snprintf(keys.keys[i].name, sizeof keys.keys[i].name, "operator-%u", i);
    }
    return keys;
}

static void sign(const struct cw_token_request *request, int64_t until, uint32_t operator_, char *text)
{
    uint8_t seed[CW_TOKEN_SEED];
    char who[32];

    seed_of(operator_, seed);
    snprintf(who, sizeof who, "operator-%u", operator_);
    CW_ASSERT(cw_token_sign(request, until, who, seed, text) == CW_OK);
}

/* What two operators sign, wrong in one way, or in none. */
static uint32_t sign_all(struct world *w, struct cw_token_request request, int64_t now, enum wrong wrong,
                         char texts[2][CW_TOKEN_SIZE])
{
    int64_t until = wrong == TOO_OLD ? now - (int64_t)world_random(w, 100) : now + 3600;
    uint32_t first = (uint32_t)world_random(w, OPERATORS);

    if (wrong == WRONG_EPOCH)
        request.epoch += world_chance(w, 500) ? 1 : request.epoch > 1 ? -1 : 2;
    if (wrong == WRONG_SITE)
        snprintf(request.site, sizeof request.site, "%s", request.site[0] == 'A' ? "B" : "A");
    sign(&request, until, first, texts[0]);
    sign(&request, until, wrong == TWICE ? first : (first + 1) % OPERATORS, texts[1]);
    return wrong == TOO_FEW ? 1 : 2;
}

/* The highest epoch that this site knows of: its row, its engine, the engines that it hears. */
static uint64_t known_epoch(struct site *site)
{
    struct world *w = site->world;
    uint64_t known = CW_MAX(of(site)->own.row.epoch, site->status.epoch);

    for (uint32_t i = 0; i < w->site_count; i++)
        if (i != site->id && w->sites[i].state == SITE_RUNNING && !link_is_cut(w, i, site->id))
            known = CW_MAX(known, w->sites[i].status.epoch);
    return known;
}

static void show_tokens(struct site *site, enum wrong wrong)
{
    struct world *w = site->world;
    struct outside *o = of(site);
    struct cw_config_break_glass keys = make_keys();
    struct cw_token_facts facts = {.keys = &keys,
                                   .now = WALL_BEGAN + (int64_t)(w->now_ns / CW_SECOND),
                                   .used = o->used,
                                   .used_count = o->used_count};
    char texts[2][CW_TOKEN_SIZE];
    const char *list[2] = {texts[0], texts[1]};
    struct cw_token_mark marks[CW_TOKENS_MAX];

    facts.wanted = (struct cw_token_request){
        .cluster = "sim", .group = SIM_GROUP, .name = "g", .epoch = known_epoch(site)};
    snprintf(facts.wanted.site, sizeof facts.wanted.site, "%s", names[site->id]);
    uint32_t count = sign_all(w, facts.wanted, facts.now, wrong, texts);
    struct cw_verdict verdict = cw_tokens_judge(list, count, &facts, marks);
    note(w, site, "tokens are shown", wrong, verdict.answer, facts.wanted.epoch);
    if ((verdict.answer == CW_ANSWER_YES) != (wrong == RIGHT))
        world_fail(w, "tokens: those %s were %s at site %u: %s", wrong_names[wrong],
                   verdict.answer == CW_ANSWER_YES ? "taken" : "refused", site->id, verdict.words);
    if (verdict.answer != CW_ANSWER_YES)
        return;
    o->state = OUTSIDE_PERMITTED;
    o->epoch = cw_break_glass_epoch(facts.wanted.epoch);
    for (uint32_t i = 0; i < count; i++)
        o->used[o->used_count++ % OUTSIDE_USED] = marks[i];
    o->used_count = CW_MIN(o->used_count, OUTSIDE_USED);
}

/* ------------------------------------------------------------------ a site looks at the store */

/* The store answers, and is offered what is held here. */
static void offer(struct site *site)
{
    struct world *w = site->world;
    struct outside *o = of(site);

    if (cw_outside_meets(&w->store.row, &o->own.row) == CW_OUTSIDE_IS_PASSED) {
        world_fail(w, "tokens: site %u holds epoch %llu by tokens, and the store has gone on to %llu",
                   site->id, (unsigned long long)o->own.epoch, (unsigned long long)w->store.epoch);
        return;
    }
    store_take_over(w, &o->own);
    note(w, site, "store: has taken over", w->store.epoch, 0, 0);
    if (!world_chance(w, 100)) /* else the answer is lost */
        o->state = OUTSIDE_TAKEN_OVER;
}

static void starts(struct site *site)
{
    struct outside *o = of(site);

    if (o->life == site->life)
        return;
    o->life = site->life;
    if (o->state == OUTSIDE_PERMITTED) /* what was to come of it ended with the process */
        o->state = OUTSIDE_NONE;
    if (site->watch.is_seen && o->state == OUTSIDE_HELD) /* its controller lives on */
        return;
    site->watch = (struct cw_lease_watch){0};
    if (o->state == OUTSIDE_TAKEN_OVER)
        o->state = OUTSIDE_NONE;
    o->has_begun = false;
    o->silent_since_ns = 0;
    o->wait = (struct cw_outside_wait){.lease_ns = site->world->lease_ns,
                                       .hold_ns = HOLD_NS,
                                       .opened_ns = site_clock(site, site->world->now_ns)};
}

void outside_tick(struct site *site)
{
    struct world *w = site->world;
    struct outside *o = of(site);
    uint64_t now = site_clock(site, w->now_ns);

    if (!w->has_tokens)
        return;
    starts(site);
    if (site->is_store_cut && o->silent_since_ns == 0)
        o->silent_since_ns = now;
    if (!site->is_store_cut)
        o->silent_since_ns = 0;
    cw_outside_look(&o->wait, site->is_store_cut ? now - o->silent_since_ns + 1 : 0, now);
    if (o->state == OUTSIDE_TAKEN_OVER && cw_outside_is_long(&o->wait))
        o->state = OUTSIDE_NONE;
    if (site->is_store_cut)
        return;
    o->has_begun = true;
    if (o->state == OUTSIDE_HELD)
        offer(site);
    else if (o->state == OUTSIDE_PERMITTED)
        o->state = OUTSIDE_NONE;
    if (o->state == OUTSIDE_NONE)
        o->own = w->store; /* as it was last heard */
}

/* As a promotion by tokens does it; 0: it is not its turn. */
int outside_wants(struct site *site, const struct cw_candidate *candidate)
{
    struct cw_candidate lossy = *candidate;

    if (of(site)->state != OUTSIDE_PERMITTED)
        return 0;
    if (cw_decide_candidate(&of(site)->own.row, candidate).answer == CW_ANSWER_YES)
        return 1;
    lossy.accept_loss = true;
    return cw_decide_candidate(&of(site)->own.row, &lossy).answer == CW_ANSWER_YES ? 2 : 0;
}

/* ------------------------------------------------------------------ what happens */

static bool is_promoted(struct site *site)
{
    return site->state == SITE_RUNNING && site->status.role == CW_ROLE_PRIMARY &&
           site->status.epoch >> 32 > site->world->disaster.epoch >> 32;
}

/* Whoever is off stays so until there is a promoted one that it reaches, or the store is back. */
static void old_side_comes_back(struct world *w, void *data, uint64_t a)
{
    struct site *site = data, *promoted = &w->sites[w->disaster.promoted];

    if (w->phase != PHASE_SAFETY || site->state != SITE_OFF)
        return;
    bool is_connected = is_promoted(promoted) && !link_is_cut(w, site->id, promoted->id);
    bool is_over = w->now_ns > w->disaster.until_ns + 3 * SPREAD_NS;
    if ((is_connected && world_chance(w, 200)) || is_over)
        site_start(site);
    else
        queue_at(w, w->now_ns + TRY_NS, old_side_comes_back, site, 0);
}

static void goes(struct world *w, struct site *site)
{
    if (site->state != SITE_RUNNING)
        return;
    if (world_chance(w, 600)) { /* it is only cut off, and holds its answers soon */
        uint64_t until = w->disaster.until_ns - CW_SECOND + world_random(w, 8 * CW_SECOND);
        note(w, site, "is cut off", until, 0, 0);
        for (uint32_t i = 0; i < w->site_count; i++)
            if (i != site->id)
                w->cut_until_ns[i][site->id] = w->cut_until_ns[site->id][i] = until;
        return;
    }
    site_crash(site, world_chance(w, 500));
    queue_at(w, w->now_ns + TRY_NS, old_side_comes_back, site, 0);
}

static bool is_heard(struct site *site, struct site *holder)
{
    return holder != site && holder->state == SITE_RUNNING && !link_is_cut(site->world, holder->id, site->id);
}

/* Those who have the tokens, at the site that is to be promoted. */
static void operators_act(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;
    struct outside *o = of(site);
    uint64_t left_ns = w->disaster.until_ns - CW_MIN(w->disaster.until_ns, w->now_ns);

    if (w->phase != PHASE_SAFETY || left_ns == 0)
        return;
    queue_at(w, w->now_ns + TRY_NS, operators_act, site, 0);
    if (site->state != SITE_RUNNING || w->now_ns < site->controller_hangs_until_ns)
        return;
    if (is_promoted(site) && left_ns > 3 * CW_SECOND && world_chance(w, 30)) {
        site_crash(site, world_chance(w, 500));
        queue_at(w, w->now_ns + world_between(w, 10 * CW_MS, CW_SECOND), world_restart, site, 0);
    }
    if (o->state != OUTSIDE_NONE || !o->has_begun || !site->is_store_cut || !cw_outside_is_long(&o->wait) ||
        o->own.epoch == 0 || is_heard(site, &w->sites[o->own.holder]))
        return;
    show_tokens(site, world_chance(w, 600) ? (enum wrong)world_random(w, WRONG_KINDS) : RIGHT);
}

static void store_is_back(struct world *w, void *data, uint64_t a)
{
    ((struct site *)data)->is_store_cut = false;
}

static void disaster(struct world *w, void *data, uint64_t a)
{
    struct site *primary = world_the_primary(w);

    if (w->phase != PHASE_SAFETY)
        return;
    queue_at(w, w->now_ns + (primary ? 32 * CW_SECOND : CW_SECOND), disaster, NULL, 0);
    if (!primary || primary->id != w->store.holder || outside_truth(w) != &w->store)
        return;
    bool is_own = world_chance(w, 150);
    uint32_t promoted =
        (primary->id + (is_own ? 0 : 1 + (uint32_t)world_random(w, w->site_count - 1))) % w->site_count;
    w->disaster.until_ns = w->now_ns + world_between(w, 16 * CW_SECOND, 26 * CW_SECOND);
    w->disaster.promoted = promoted;
    w->disaster.epoch = w->store.epoch;
    note(w, primary, "a disaster", promoted, w->disaster.until_ns, w->store.epoch);
    for (uint32_t i = 0; i < w->site_count; i++) {
        struct site *site = &w->sites[i];
        site->is_store_cut = true;
        queue_at(w, w->disaster.until_ns + world_random(w, SPREAD_NS), store_is_back, site, 0);
        if (i != promoted && (i == primary->id || world_chance(w, 500)))
            goes(w, site);
    }
    queue_at(w, w->now_ns + w->lease_ns, operators_act, &w->sites[promoted], 0);
}

void outside_choose(struct world *w)
{
    w->has_tokens = w->focus->has_tokens && !w->options.is_story;
    if (w->has_tokens)
        queue_at(w, world_between(w, 8 * CW_SECOND, 15 * CW_SECOND), disaster, NULL, 0);
}
