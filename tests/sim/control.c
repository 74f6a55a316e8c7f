/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store, and a small controller at each site. The store is truth and never fails: rows, lease counters
 * and "write this row if that one still stands". Everything that is decided about a row is decided by the
 * rules that the product has (control/decide.c), at the site that asks, on its own clock and on what it read
 * before; a site may be cut from the store, and a request or a reply may get lost, so a site may be wrong
 * about what the store did.
 *
 *     READ (row and counter, at the store) -> DECIDE (at the site) -> SWAP (at the store) -> ANSWER
 *
 * A renewal is one transaction: READ -> ANSWER.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define CLAIM_TRIES_MAX 150u

enum ask_kind { ASK_LEASE, ASK_CLAIM, ASK_SET, ASK_FENCE };
enum ask_stage { STAGE_READ, STAGE_DECIDE, STAGE_SWAP, STAGE_ANSWER };

struct claim {
    struct site *site;
    uint64_t life, before_ns; /* site's clock before the request that the lease counts from */
    uint8_t kind, stage;
    bool was_lost;
    uint64_t answer_ns; /* not before */
    int result;         /* enum cw_claim_result */
    uint64_t epoch;
    uint8_t members_to;
    struct cw_claim want;
    struct cw_set from;
    struct cw_member handover;
    struct cw_candidate candidate;
    struct cw_authority now, next;
    uint64_t counter;
    bool compare_counter;
};

static const char *const names[SIM_SITES_MAX] = {"A", "B", "C"};

uint64_t control_lease_deadline(struct site *site, uint64_t before_ns)
{
    return before_ns + site->world->lease_ns * 99 / 100 - 100 * CW_MS;
}

/* ------------------------------------------------------------------ names and numbers */

static void put_words(char *text, size_t size, const uint64_t words[2])
{
    snprintf(text, size, "%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1]);
}

static void take_words(const char *text, uint64_t words[2])
{
    unsigned long long a = 0, b = 0;

    if (sscanf(text, "%16llx%16llx", &a, &b) == 2)
        words[0] = a, words[1] = b;
}

static struct cw_member member_of(uint8_t site, const struct cw_identity *identity)
{
    struct cw_member m = {0};

    CW_ASSERT(site < SIM_SITES_MAX);
    snprintf(m.site, sizeof m.site, "%s", names[site]);
    put_words(m.boot_id, sizeof m.boot_id, identity->boot_id);
    put_words(m.journal_id, sizeof m.journal_id, identity->journal_id);
    snprintf(m.process_start, sizeof m.process_start, "%016llx", (unsigned long long)identity->process_start);
    return m;
}

static struct cw_identity identity_of(const struct cw_member *m)
{
    struct cw_identity identity = {0};

    take_words(m->boot_id, identity.boot_id);
    take_words(m->journal_id, identity.journal_id);
    identity.process_start = strtoull(m->process_start, NULL, 16);
    return identity;
}

static uint8_t number_of(const char *name)
{
    for (uint8_t i = 0; i < SIM_SITES_MAX; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return CW_SITES_MAX;
}

static struct cw_set set_of(uint8_t bits, const struct cw_identity *identities)
{
    struct cw_set set = {0};

    for (uint8_t i = 0; i < SIM_SITES_MAX; i++)
        if (bits >> i & 1) {
            struct cw_member m = member_of(i, &identities[i]);
            CW_ASSERT(cw_set_put(&set, &m));
        }
    return set;
}

/* The row in the simulator's numbers, for the oracles. */
static void mirror(struct store *s)
{
    s->epoch = s->row.epoch;
    s->reign = s->row.reign;
    s->first_sequence = s->row.first_sequence;
    s->holder = number_of(s->row.holder);
    s->members = 0;
    for (uint32_t i = 0; i < s->row.set.count; i++) {
        uint8_t site = number_of(s->row.set.list[i].site);
        CW_ASSERT(site < SIM_SITES_MAX);
        s->members |= (uint8_t)(1u << site);
        s->identities[site] = identity_of(&s->row.set.list[i]);
    }
}

static bool is_let_go(const struct store *s)
{
    return s->epoch != 0 && s->row.fenced_epoch == s->epoch;
}

/* ------------------------------------------------------------------ at the store */

static struct store *store_for(const struct claim *c)
{
    return outside_store(c->site, c->kind == ASK_CLAIM);
}

void store_take_over(struct world *w, const struct store *own)
{
    w->store.row = own->row;
    w->store.was_drained = own->was_drained;
    w->store.is_loss_accepted = own->is_loss_accepted;
    mirror(&w->store);
}

void store_put_row(struct world *w, const struct cw_authority *row)
{
    w->store.row = *row;
    mirror(&w->store);
}

static void tell_store(struct world *w, const struct store *s)
{
    tell(w, NULL, "the store: epoch %llu of %c, set%s%s%s", (unsigned long long)s->epoch, "ABC"[s->holder],
         s -> members & 1 ? " A" : "", s->members & 2 ? " B" : "", s->members & 4 ? " C" : "");
}

static void store_read(struct world *w, struct claim *c)
{
    struct store *s = store_for(c);

    c->now = s->row;
    c->counter = s->holder < SIM_SITES_MAX ? s->counters[s->holder] : 0;
    if (c->kind != ASK_LEASE)
        return;
    c->result = !outside_may_renew(c->site)                              ? CW_CLAIM_AGAIN
                : cw_decide_renew(&c->now, names[c->site->id], c->epoch) ? CW_CLAIM_OK
                : cw_decide_is_older(&c->now, c->epoch) ? CW_CLAIM_AGAIN /* it keeps what it has */
                                                        : CW_CLAIM_REFUSED;
    if (c->result == CW_CLAIM_OK) {
        s->counters[c->site->id]++;
        w->renewed_ns[c->site->id] = w->now_ns;
    }
}

static void wrote_claim(struct world *w, struct claim *c, uint8_t holder_before, uint64_t epoch_before)
{
    bool is_promised = c->candidate.is_automatic && cw_mode_has_set(w->mode); /* nobody accepted anything */
    outside_claimed(c->site);
    struct store *s = store_for(c);
    s->is_loss_accepted |= c->candidate.accept_loss && !is_promised;
    automatic_claimed(c->site, c->candidate.is_automatic, holder_before);
    note(w, c->site, "store: claimed", s->epoch, s->first_sequence, s->members);
    if (c->next.epoch <= epoch_before)
        world_fail(w, "site %u claims epoch %llu, the store had %llu", c->site->id,
                   (unsigned long long)c->next.epoch, (unsigned long long)epoch_before);
    if (holder_before != c->site->id && epoch_before != 0)
        w->promotions++;
    tell_store(w, s);
}

static void wrote_set(struct world *w, struct claim *c, uint8_t before)
{
    const struct store *s = store_for(c);

    note(w, c->site, "store: set", before, s->members, s->epoch);
    tell_store(w, s);
    check_joined(w, (uint8_t)(s->members & ~before), s->epoch);
    if (s->members == 1u << c->site->id)
        check_alone(w, s->epoch);
}

static void wrote_fence(struct world *w, struct claim *c)
{
    struct store *s = store_for(c);

    note(w, c->site, "store: let go", s->epoch, c->handover.site[0] != 0, 0);
    s->was_drained = c->handover.site[0] != 0;
    w->switchovers += c->handover.site[0] != 0;
}

static void store_swap(struct world *w, struct claim *c)
{
    struct store *s = store_for(c);
    uint64_t counter = s->holder < SIM_SITES_MAX ? s->counters[s->holder] : 0, epoch = s->epoch;
    uint8_t holder = s->holder, members = s->members;

    if (!cw_authority_equal(&s->row, &c->now) || (c->compare_counter && counter != c->counter)) {
        c->result = c->kind == ASK_SET ? CW_CLAIM_REFUSED : CW_CLAIM_AGAIN; /* somebody moved: look again */
        return;
    }
    if (c->kind == ASK_CLAIM && !outside_may_claim(c->site, &c->now, &c->next)) {
        c->result = CW_CLAIM_AGAIN;
        return;
    }
    check_store_moves(w);
    put_back_remember(w);
    s->row = c->next;
    mirror(s);
    c->result = CW_CLAIM_OK;
    if (w->put_back.is_older && c->kind != ASK_CLAIM)
        return;                   /* a late one of the old holder, in a row that does not count */
    w->put_back.is_older = false; /* a claim from that row makes it the one that counts */
    if (c->kind == ASK_CLAIM)
        wrote_claim(w, c, holder, epoch);
    else if (c->kind == ASK_SET)
        wrote_set(w, c, members);
    else
        wrote_fence(w, c);
}

/* ------------------------------------------------------------------ at the site that asks */

/* A failover that nobody asked for: a holder that opens again needs none. */
static bool is_still_wanted(struct claim *c)
{
    struct cw_candidate candidate = c->candidate;

    candidate.accept_loss = false;
    return number_of(c->now.holder) == c->site->id || automatic_goes_on(c->site, &candidate);
}

/* true: the swap is to be made */
static bool decide(struct world *w, struct claim *c)
{
    struct site *site = c->site;
    uint64_t now = site_clock(site, w->now_ns);
    struct cw_verdict verdict;

    cw_lease_watch_see(&site->watch, c->now.epoch, c->counter, now);
    if (c->kind == ASK_CLAIM && c->candidate.is_automatic && !is_still_wanted(c)) {
        c->result = CW_CLAIM_REFUSED;
        return false;
    }
    switch (c->kind) {
    case ASK_CLAIM:
        verdict = cw_decide_claim(&c->now, &c->candidate, &c->want, &site->watch, w->lease_ns, now, &c->next,
                                  &c->compare_counter);
        break;
    case ASK_SET:
        verdict = cw_decide_set(&c->now, names[site->id], c->epoch, &c->from, &c->want.members, &c->next);
        break;
    default:
        verdict = cw_decide_fence(&c->now, names[site->id], c->epoch,
                                  c->handover.site[0] ? &c->handover : NULL, &c->next);
        break;
    }
    c->before_ns = now;
    c->result = verdict.answer == CW_ANSWER_LATER ? CW_CLAIM_AGAIN : CW_CLAIM_REFUSED;
    if (verdict.answer == CW_ANSWER_NO && w->options.trace)
        fprintf(w->options.out, "      ! %s: %s\n", names[site->id], verdict.words);
    return verdict.answer == CW_ANSWER_YES;
}

static void reply_lease(struct site *site, uint64_t before_ns)
{
    struct fact *fact = fact_new(FACT_LEASE);

    fact->a = before_ns;
    note(site->world, site, "lease", before_ns, 0, 0);
    site_post(site, fact);
}

static void reply_fence(struct site *site, uint64_t epoch)
{
    struct fact *fact = fact_new(FACT_FENCE);

    fact->a = epoch;
    site_post(site, fact);
}

static void answer_claim(struct claim *c)
{
    struct site *site = c->site;
    struct fact *fact = fact_new(FACT_CLAIMED);

    if (c->result == CW_CLAIM_AGAIN && ++site->claim_tries > CLAIM_TRIES_MAX && !c->was_lost)
        c->result = CW_CLAIM_REFUSED;
    fact->claim = c->result;
    site_post(site, fact);
    if (c->result == CW_CLAIM_OK)
        reply_lease(site, c->before_ns);
}

static void answer(struct claim *c)
{
    struct site *site = c->site;

    if (site->life != c->life || site->state != SITE_RUNNING)
        return; /* another process by now */
    if (c->was_lost)
        c->result = CW_CLAIM_AGAIN;
    if (c->kind == ASK_CLAIM) {
        answer_claim(c);
    } else if (c->kind == ASK_SET) {
        struct fact *fact = fact_new(FACT_SET);
        fact->delivered = c->result == CW_CLAIM_OK;
        site_post(site, fact);
    } else if (c->kind == ASK_LEASE) {
        site->lease_request_pending = false;
        if (c->result == CW_CLAIM_OK)
            reply_lease(site, c->before_ns);
        else if (c->result == CW_CLAIM_REFUSED)
            reply_fence(site, c->epoch);
    }
}

/* ------------------------------------------------------------------ the way there and back */

static uint64_t store_travel(struct world *w)
{
    if (w->options.is_story)
        return CW_MS;
    if (w->phase == PHASE_SAFETY && world_chance(w, w->focus->is_automatic ? 60 : 10))
        return world_between(w, 100 * CW_MS, 3 * CW_SECOND);
    return world_between(w, 200 * CW_US, 10 * CW_MS);
}

static bool is_lost(struct world *w, const struct site *site)
{
    return site->is_store_cut ||
           ((w->faults & FAULT_STORE_LOST_REPLY) && w->phase == PHASE_SAFETY && world_chance(w, 30));
}

static void ask_moves(struct world *w, void *data, uint64_t a)
{
    struct claim *c = data;
    bool is_at_store = c->stage == STAGE_READ || c->stage == STAGE_SWAP;

    if (!is_at_store && w->now_ns < c->site->paused_until_ns) { /* the controller sleeps, too */
        queue_owned_at(w, c->site->paused_until_ns, ask_moves, c, 0, free);
        return;
    }
    bool is_own = store_for(c) != &w->store;
    c->was_lost = c->was_lost || (!is_own && is_lost(w, c->site));
    if (c->stage == STAGE_ANSWER) {
        answer(c);
        free(c);
        return;
    }
    uint64_t travel = c->was_lost ? CW_SECOND : store_travel(w);
    if (c->was_lost) {
        c->stage = STAGE_ANSWER;
    } else if (c->stage == STAGE_READ) {
        store_read(w, c);
        c->stage = c->kind == ASK_LEASE ? STAGE_ANSWER : STAGE_DECIDE;
    } else if (c->stage == STAGE_DECIDE) {
        c->stage = decide(w, c) ? STAGE_SWAP : STAGE_ANSWER;
    } else {
        store_swap(w, c);
        c->stage = STAGE_ANSWER;
    }
    uint64_t at_ns = w->now_ns + travel;
    queue_owned_at(w, c->stage == STAGE_ANSWER ? CW_MAX(at_ns, c->answer_ns) : at_ns, ask_moves, c, 0, free);
}

static struct claim *ask(struct site *site, enum ask_kind kind, uint64_t epoch)
{
    struct world *w = site->world;
    struct claim *c = calloc(1, sizeof *c);
    uint64_t at_ns = w->now_ns;

    CW_ASSERT(c != NULL);
    if (w->phase == PHASE_SAFETY && at_ns < site->controller_hangs_until_ns)
        at_ns = site->controller_hangs_until_ns;
    c->site = site;
    c->life = site->life;
    c->kind = (uint8_t)kind;
    c->epoch = epoch;
    c->before_ns = site_clock(site, w->now_ns);
    queue_owned_at(w, at_ns + store_travel(w), ask_moves, c, 0, free);
    return c;
}

void control_late_renewal(struct site *site, uint64_t until_ns)
{
    ask(site, ASK_LEASE, site->status.epoch)->answer_ns = until_ns;
    site->lease_request_pending = true;
    site->controller_hangs_until_ns = until_ns;
}

static struct cw_candidate candidate_of(struct site *site, bool accept_loss)
{
    static const enum cw_image_word images[] = {[CW_IMAGE_WHOLE] = CW_WORD_WHOLE,
                                                [CW_IMAGE_COPYING] = CW_WORD_COPYING,
                                                [CW_IMAGE_BROKEN] = CW_WORD_BROKEN};
    static const enum cw_mode_word modes[] = {[CW_MODE_ASYNC] = CW_WORD_ASYNC,
                                              [CW_MODE_SEMI_SYNC] = CW_WORD_SEMI_SYNC,
                                              [CW_MODE_SYNC] = CW_WORD_SYNC,
                                              [CW_MODE_NETWORK_SYNC] = CW_WORD_NETWORK_SYNC};

    return (struct cw_candidate){.group = "g",
                                 .identity = member_of(site->id, &site->status.identity),
                                 .mode = modes[site->world->mode],
                                 .image = images[site->status.image_state],
                                 .has_old_image = site->status.image_sequence > 0,
                                 .is_first = site->id == 0,
                                 .accept_loss = accept_loss};
}

void control_claim(struct site *site, const struct cw_action *a)
{
    note(site->world, site, "claim", a->epoch, a->first_sequence,
         (uint64_t)a->members_from << 8 | a->members_to);
    struct claim *c = ask(site, ASK_CLAIM, a->epoch);
    c->want = (struct cw_claim){.from_epoch = a->from_epoch,
                                .epoch = a->epoch,
                                .reign = a->reign,
                                .first_sequence = a->first_sequence,
                                .own_epoch = a->own_epoch,
                                .highest_seen_epoch = a->seen_epoch,
                                .members = set_of(a->members_to, a->identities),
                                .reached = set_of(a->reached, a->identities)};
    c->candidate = candidate_of(site, site->last_open_accept_loss);
    snprintf(c->want.seen_by, sizeof c->want.seen_by, "%s", names[a->seen_by]);
    c->candidate.is_automatic = site->last_open_is_automatic;
    c->candidate.is_by_tokens = outside_floor(site) != 0;
    c->candidate.identity = *cw_set_find(&c->want.members, names[site->id]);
}

void control_set(struct site *site, const struct cw_action *a)
{
    note(site->world, site, "ask for set", a->epoch, a->members_from, a->members_to);
    struct claim *c = ask(site, ASK_SET, a->epoch);
    c->from = set_of(a->members_from, a->identities);
    c->want.members = set_of(a->members_to, a->identities);
}

/* The engine has said that nothing of this epoch is answered any more. */
void control_fenced(struct site *site, uint64_t epoch)
{
    if (!site->let_go)
        return;
    struct claim *c = ask(site, ASK_FENCE, epoch);
    c->handover = site->handover;
    site->let_go = false;
}

/* ------------------------------------------------------------------ the controller of a site */

static bool is_reigning(const struct site *site)
{
    uint8_t role = site->status.role;
    return role == CW_ROLE_PRIMARY || role == CW_ROLE_DRAINING || role == CW_ROLE_DRAINED;
}

void control_open(struct site *site, bool accept_loss)
{
    struct world *w = site->world;
    struct store *s = outside_view(site);
    struct cw_open_request open = {.store_epoch = s->epoch,
                                   .first_sequence = s->first_sequence,
                                   .holder = s->holder,
                                   .members = s->members,
                                   .reign = cw_rng_next(&w->rng) | 1,
                                   .is_fenced = is_let_go(s),
                                   .epoch_floor = outside_floor(site),
                                   .accept_loss = accept_loss};
    uint8_t handed = number_of(s->row.handover.site);

    if (s->holder >= SIM_SITES_MAX)
        open.holder = CW_SITES_MAX;
    memcpy(open.identities, s->identities, sizeof open.identities);
    if (is_let_go(s) && handed < SIM_SITES_MAX) { /* as good as a member */
        open.members |= (uint8_t)(1u << handed);
        open.identities[handed] = identity_of(&s->row.handover);
    }
    note(w, site, "open", s->epoch, s->members, accept_loss);
    site->last_open_accept_loss = accept_loss;
    site->open_tries++;
    site->claim_tries = 0;
    enum cw_status status = cw_group_open(site->group, &open, site_clock(site, w->now_ns));
    if (status != CW_OK)
        note(w, site, "open refused", status, 0, 0);
}

/* In a turn, before the step. */
void control_turn(struct site *site)
{
    uint64_t now = site_clock(site, site->world->now_ns);

    if (site->want_open) {
        control_open(site, (site->want_open & 2) != 0);
        site->last_open_is_automatic = (site->want_open & OPEN_AUTOMATIC) != 0;
    }
    if (site->want_drain && cw_group_drain(site->group, now) != CW_OK)
        site->drain_target = 0;
    if (site->want_resync && cw_group_resync(site->group, (uint8_t)(site->want_resync - 1)) != CW_OK)
        note(site->world, site, "resync refused", site->want_resync - 1u, 0, 0);
    volumes_turn(site);
    site->want_open = 0;
    site->want_drain = false;
    site->want_resync = 0;
}

/* The planned move: drained, then fenced, and only then let go, in favour of a taker who has everything.
 * A promotion while the holder still lives: it is fenced, and lets go in nobody's favour. */
static void switchover_tick(struct site *site)
{
    struct world *w = site->world;
    uint8_t target = (uint8_t)(site->drain_target - 1);
    const struct cw_peer_status *peer = &site->status.peers[target];

    site->let_go = false;
    if (site->status.role == CW_ROLE_DRAINED && peer->sequences.durable >= site->status.head) {
        site->let_go = true;
        site->handover = member_of(target, &peer->identity);
        w->switch_target = (uint8_t)site->drain_target;
    } else if (site->gives_up_undrained) {
        site->let_go = true;
        site->handover = (struct cw_member){0};
        w->switch_target = (uint8_t)site->drain_target;
    } else if (w->now_ns <= site->drain_deadline_ns) {
        return;
    }
    site->gives_up_undrained = false;
    reply_fence(site, site->status.epoch);
    site->drain_target = 0;
}

static void watch(struct site *site)
{
    struct store *s = outside_view(site);
    uint64_t counter = s->holder < SIM_SITES_MAX ? s->counters[s->holder] : 0;

    cw_lease_watch_see(&site->watch, s->epoch, counter, site_clock(site, site->world->now_ns));
}

/* Whether somebody would ask this replica to open, and how. */
static int would_open(struct site *site)
{
    struct world *w = site->world;
    struct store *s = outside_view(site);
    bool is_member = s->members >> site->id & 1;
    bool is_given_up = w->phase == PHASE_HEALING && w->now_ns - w->healing_since_ns > 60 * CW_SECOND;
    bool may_lose = w->phase == PHASE_SAFETY ? (w->faults & FAULT_LOSSY) != 0 : is_given_up;
    int how = site->open_tries > 6 && may_lose && world_chance(w, 200) ? 2 : 1;

    if (s->epoch == 0)
        return site->id == 0;
    if (is_let_go(s))
        return w->switch_target == site->id + 1 || world_chance(w, 50) ? how : 0;
    if (s->holder == site->id)
        return how;
    if (w->phase == PHASE_HEALING && w->now_ns < w->healing_since_ns + HOLDER_FIRST_NS)
        return 0;
    uint64_t silent = site_clock(site, w->now_ns) - site->watch.since_ns;
    bool looks_dead = site->watch.is_seen && silent > w->lease_ns;
    if (site->gives_up_copy && looks_dead)
        return 2;
    bool is_hurried = w->phase == PHASE_SAFETY && w->now_ns < w->hurry_until_ns;
    if (is_hurried && world_chance(w, 300)) /* the rules must make him wait */
        return is_member ? 1 : (w->faults & FAULT_LOSSY) ? 2 : 0;
    if (w->phase == PHASE_SAFETY && (w->faults & FAULT_PROMOTE) && is_member && world_chance(w, 5))
        return 1;
    if (!looks_dead || !(w->faults & FAULT_PROMOTE || w->phase == PHASE_HEALING))
        return 0;
    if (!is_member)
        return may_lose && silent > 4 * w->lease_ns && world_chance(w, 30) ? 2 : 0;
    return world_chance(w, 100) ? how : 0;
}

/* The controller asks its rules first; now and then somebody speaks to the engine past them. */
static int wants_to_open(struct site *site)
{
    struct world *w = site->world;
    int how = would_open(site);

    if (how == 2 && w->put_back.is_older)
        how = 1;
    if (how == 2 && w->phase == PHASE_HEALING)
        check_loss_is_needed(site);
    struct cw_candidate candidate = candidate_of(site, how == 2);

    if (how == 0 || cw_decide_candidate(&outside_view(site)->row, &candidate).answer == CW_ANSWER_YES)
        return how;
    site->open_tries++;
    return w->phase == PHASE_SAFETY && world_chance(w, 100) ? how : 0;
}

void control_tick(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;

    uint64_t pause = w->options.is_story ? 250 * CW_MS : world_between(w, 150 * CW_MS, 350 * CW_MS);
    queue_at(w, w->now_ns + pause, control_tick, site, 0);
    if (site->state != SITE_RUNNING || w->now_ns < site->paused_until_ns)
        return;
    if (w->phase == PHASE_SAFETY && w->now_ns < site->controller_hangs_until_ns)
        return;
    if (is_reigning(site) && !site->lease_request_pending) {
        ask(site, ASK_LEASE, site->status.epoch);
        site->lease_request_pending = true;
        /* Asleep between the question and its answer: when it wakes, the answer is old. */
        if ((w->faults & FAULT_PAUSE) && w->phase == PHASE_SAFETY && world_chance(w, 20)) {
            site->paused_until_ns = w->now_ns + world_between(w, 4 * CW_SECOND, 14 * CW_SECOND);
            note(w, site, "pause", site->paused_until_ns, 0, 0);
            w->pauses++;
            /* ... and nobody is there to tell the engine that it was deposed meanwhile. */
            if (world_chance(w, 700))
                site->controller_hangs_until_ns =
                    site->paused_until_ns + world_between(w, CW_SECOND, 6 * CW_SECOND);
            return;
        }
    }
    site_turn_soon(site);
    if (site->drain_target)
        switchover_tick(site);
    outside_tick(site);
    if (site->is_store_cut && !outside_can_act(site))
        return;
    struct store *s = outside_view(site);
    watch(site);
    site->want_volumes = true;
    if (is_reigning(site)) {
        site->open_tries = 0;
        site->gives_up_copy = false;
        if (s->epoch > site->status.epoch || outside_floor(site) > site->status.epoch)
            reply_fence(site, site->status.epoch);
    } else if (site->status.role == CW_ROLE_REPLICA) {
        struct cw_candidate candidate = candidate_of(site, false);
        site->want_open = automatic_wants(site, &candidate);
        if (outside_floor(site))
            site->want_open = outside_wants(site, &candidate);
        else if (!site->want_open)
            site->want_open = wants_to_open(site);
    }
}

void control_init(struct world *w)
{
    mirror(&w->store);
    for (uint32_t i = 0; i < w->site_count; i++)
        queue_at(w, w->options.is_story ? 50 * CW_MS : world_between(w, CW_MS, 300 * CW_MS), control_tick,
                 &w->sites[i], 0);
}
