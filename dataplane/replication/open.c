/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening for writes, and ceasing to be primary.
 *
 * GATHERING asks every other member of the set what it holds, and whoever else is up for the epochs that it
 * knows; FETCHING takes the longest unbroken run beyond our own; REVERTING, instead of it, goes back to the
 * image of before a full copy (revert.c); CLAIMING asks the store, by compare-and-swap, for the next epoch with
 * ourselves as the only member; OPENING makes the new reign durable here; then the reign begins with a marker
 * record. Whatever goes wrong before the claim leaves everything as it was, but that a copy that was given up
 * begins anew.
 */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define GATHER_UNREACHABLE_NS (300 * CW_MS) /* no session, or no member: not waited for longer */
#define FETCH_AGAIN_NS        CW_SECOND
#define FETCH_GIVE_UP_NS      (5 * CW_SECOND) /* nothing came for so long */
#define CLAIM_AGAIN_NS        (100 * CW_MS)
#define DRAINING_MAX_NS       (10 * CW_SECOND)
#define DRAINED_MAX_NS        (30 * CW_SECOND) /* whoever was to take over has not fenced us */

enum cw_status cw_open_refuse(struct cw_group *g, const char *why)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    snprintf(g->refusal, sizeof g->refusal, "%s", why);
    if (g->role != CW_ROLE_REPLICA) {
        cw_group_role_set(g, CW_ROLE_REPLICA);
        g->epoch = last ? last->epoch : 0;
        g->reign = last ? last->reign : 0;
        cw_log_drop_above(g, g->head); /* what was fetched beyond a gap */
    }
    cw_group_event(g, 1, "opening for writes was refused (see status)", 0, 0, 0);
    return CW_REFUSED;
}

static bool is_image_usable(struct cw_group *g, const struct cw_open_request *open)
{
    return g->super.image_state == CW_IMAGE_WHOLE || open->inconsistent ||
           (open->accept_loss && cw_group_has_old_image(g));
}

static const char *words_of_image(const struct cw_group *g)
{
    if (g->super.image_state == CW_IMAGE_BROKEN && (g->super.is_damaged || g->is_recovered_damaged))
        return "the journal here is damaged: promote another site that is whole, and this one is copied from "
               "it; or open what is here for salvage with --inconsistent";
    return "no whole image is here: a full copy was not finished; let it finish, or open what is here for "
           "salvage with --inconsistent";
}

static enum cw_status refuse_image(struct cw_group *g)
{
    char words[sizeof g->refusal];

    snprintf(words, sizeof words,
             "a full copy is not finished; let it finish, or open the whole image of before it, which ends "
             "with sequence %llu: --accept-loss",
             (unsigned long long)g->super.image_sequence);
    if (cw_group_has_old_image(g))
        return cw_open_refuse(g, words);
    return cw_open_refuse(g, words_of_image(g));
}

static uint64_t last_epoch(const struct cw_history *history)
{
    const struct cw_history_entry *last = cw_history_last(history);

    return last ? last->epoch : 0;
}

bool cw_open_is_unbegun(const struct cw_group *g, const struct cw_open_request *open)
{
    uint64_t own = CW_MAX(last_epoch(&g->super.history), last_epoch(&g->super.image_history));
    bool is_alone = open->members == cw_bit(g->config.self); /* only who has opened takes others in */
    /* What tokens give is written here, into this site's file: never late. */
    bool is_by_tokens =
        open->epoch_floor != 0 || (open->store_epoch >> 32 != 0 && (uint32_t)open->store_epoch == 0);

#if CW_PLANTED_BUG == 49 /* whoever holds it by the row has opened it */
    return false;
#endif
    return open->holder == g->config.self && is_alone && !is_by_tokens && open->first_sequence != 0 &&
           own < open->store_epoch;
}

/* Members are asked for their records. So is every site, up or not, when our own reign never began, and whoever
 * is up when writes are given up, that as few as possible are; or else only for the epochs that they know. */
static void ask_sites(struct cw_group *g)
{
    struct cw_opening *o = &g->opening;
    uint8_t needed = o->request.members;

    if (cw_open_is_unbegun(g, &o->request))
        needed |= g->config.sites;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        bool is_member = (needed & cw_bit(s)) != 0;
        bool is_there = g->peers[s].is_configured && g->peers[s].is_up;
        if (s == g->config.self || !(is_member || is_there))
            continue;
        if (is_member || o->request.accept_loss)
            o->asked |= cw_bit(s);
        else
            o->heard_out |= cw_bit(s);
        if (g->peers[s].is_up)
            cw_group_send_hello(g, &g->peers[s], CW_HELLO_ASK);
    }
}

enum cw_status cw_group_open(struct cw_group *g, const struct cw_open_request *open, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    CW_ASSERT(open->reign != 0);
    if (g->role == CW_ROLE_DOWN || g->is_stopping)
        return CW_SHUTDOWN;
    if (g->role != CW_ROLE_REPLICA)
        return CW_EXISTS;
    if (!cw_cover_may_open(g, open))
        return CW_AGAIN;
    if (!is_image_usable(g, open))
        return refuse_image(g);
    if (cw_group_is_changing(g) || g->is_claim_in_flight)
        return CW_AGAIN;
    cw_follow_stop(g);
    memset(&g->opening, 0, sizeof g->opening);
    g->opening.request = *open;
    g->opening.request.accept_loss |= open->inconsistent;
    g->opening.started_ns = now_ns;
    g->opening.best = CW_SITES_MAX;
    g->opening.own_epoch = CW_MAX(last_epoch(&g->super.history), last_epoch(&g->super.image_history));
    g->refusal[0] = 0;
    cw_group_role_set(g, CW_ROLE_GATHERING);
    ask_sites(g);
    return CW_OK;
}

void cw_open_on_hello(struct cw_group *g, struct cw_peer *peer)
{
    g->opening.answered |= cw_bit(peer->site);
}

/* ---------------------------------------------------------------- gathering */

static bool is_valid_member(const struct cw_group *g, uint8_t site, const struct cw_identity *identity)
{
    const struct cw_open_request *r = &g->opening.request;

#if CW_PLANTED_BUG == 6 /* a rebooted member counts */
    return (r->members & cw_bit(site)) != 0;
#endif
    return (r->members & cw_bit(site)) &&
           cw_identity_equal(identity, &r->identities[site],
                             g->config.mode == CW_MODE_SEMI_SYNC || (r->in_memory & cw_bit(site)) != 0);
}

static uint8_t valid_others(const struct cw_group *g)
{
    uint8_t bits = 0;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if ((g->opening.answered & cw_bit(s)) && !(g->peers[s].hello_flags & CW_HELLO_NEEDS_COPY) &&
            is_valid_member(g, s, &g->peers[s].hello.identity))
            bits |= cw_bit(s);
    return bits;
}

/*
 * Of a reign that never began here: is nothing missing? Where there is a set we were in it when we claimed, and
 * no other claim was written since: what was acknowledged until then we were sent, and have, as long as we are
 * who claimed. Without a set the loss was accepted as it was then: where we stand as we stood. Else all others
 * must have answered. With another journal nothing of this is known to be our own.
 */
static bool has_all_of_unbegun(const struct cw_group *g, bool is_same_journal)
{
    const struct cw_open_request *r = &g->opening.request;
    uint8_t others = (uint8_t)(g->config.sites & ~cw_bit(g->config.self));
    bool is_as_claimed = cw_mode_has_set(g->config.mode)
                             ? is_valid_member(g, g->config.self, &g->config.identity)
                             : r->first_sequence == g->head + 1;

    return is_same_journal && (is_as_claimed || (g->opening.answered & others) == others);
}

/* May this site open with what it can reach, without accepting a loss? */
static bool is_safe(const struct cw_group *g)
{
    const struct cw_open_request *r = &g->opening.request;
    const struct cw_identity *own = &g->config.identity, *known = &r->identities[g->config.self];
    bool is_alone = (r->members & ~cw_bit(g->config.self)) == 0;
    bool is_same_journal =
        own->journal_id[0] == known->journal_id[0] && own->journal_id[1] == known->journal_id[1];

    bool is_same_boot = cw_identity_equal(own, known, false);

    if ((r->store_epoch == 0 && g->super.history.count == 0) || valid_others(g) != 0)
        return true;
    if (g->is_recovered_damaged)
        return false;
    if (cw_open_is_unbegun(g, r))
        return has_all_of_unbegun(g, is_same_journal);
    if (is_valid_member(g, g->config.self, own))
        return true;
    /* The holder's own journal has all it acknowledged, in every mode; after a reboot only what was durable.
     */
    return r->holder == g->config.self && (is_same_boot || (is_alone && is_same_journal));
}

/* The last reign that anybody who answered knows of, or we. */
static uint64_t newest_reign(const struct cw_group *g, const struct cw_history *own)
{
    uint64_t newest = last_epoch(own);

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->opening.answered & cw_bit(s))
            newest = CW_MAX(newest, last_epoch(&g->peers[s].hello.history));
    return newest;
}

/* Is what this site holds worth taking? Members have what was acknowledged. Of all others, who are asked when
 * our reign never began, a longer run of an older reign may be what nobody acknowledged, in the place of what
 * somebody did. */
static bool may_be_best(const struct cw_group *g, uint8_t site, const struct cw_history *own)
{
    const struct cw_message_hello *hello = &g->peers[site].hello;

    if (is_valid_member(g, site, &hello->identity) || g->opening.request.accept_loss)
        return true;
    return cw_open_is_unbegun(g, &g->opening.request) && last_epoch(&hello->history) == newest_reign(g, own);
}

/* Picks the longest run beyond what we open from. false: somebody holds a newer reign that this does not fit.
 */
static bool choose_best(struct cw_group *g)
{
    struct cw_opening *o = &g->opening;
    bool is_old = cw_group_has_old_image(g);
    const struct cw_history *own = is_old ? &g->super.image_history : &g->super.history;
    const struct cw_history_entry *own_last = cw_history_last(own);
    uint64_t head = is_old ? g->super.image_sequence : g->head;

    o->fetch_to = head;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        const struct cw_message_hello *hello = &g->peers[s].hello;
        const struct cw_history_entry *last = cw_history_last(&hello->history);
        bool is_member = (o->request.members & cw_bit(s)) != 0;
        uint64_t common;
        if (!(o->answered & cw_bit(s)) || (g->peers[s].hello_flags & CW_HELLO_NEEDS_COPY) || !last)
            continue;
        if (!may_be_best(g, s, own))
            continue;
        bool shared = cw_history_common(own, head, &hello->history, hello->sequences.received, &common);
        bool is_prefix = common == head && (shared || head == 0);
        if (!is_prefix && own_last && last->epoch > own_last->epoch && (is_member || !o->request.accept_loss))
            return false;
        if (is_prefix && hello->sequences.received > o->fetch_to) { /* in semi-sync memory counts */
            o->fetch_to = hello->sequences.received;
            o->best = s;
        }
    }
    return true;
}

static bool is_gathered(const struct cw_group *g)
{
    const struct cw_opening *o = &g->opening;
    uint64_t waited = g->now_ns - o->started_ns;
    uint8_t up = 0;

    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].is_up)
            up |= cw_bit(s);
    if ((o->heard_out & up & ~o->answered) != 0 && waited < GATHER_UNREACHABLE_NS)
        return false;
    if ((o->asked & ~o->answered) == 0)
        return true;
    if ((o->asked & up & ~o->answered) == 0)
        return waited >= GATHER_UNREACHABLE_NS;
    return waited >= g->config.gather_timeout_ns;
}

static void gather(struct cw_group *g)
{
    struct cw_opening *o = &g->opening;

    if (!is_gathered(g))
        return;
    if (!is_safe(g) && !o->request.accept_loss) {
        cw_open_refuse(
            g, g->is_recovered_damaged
                   ? "acknowledged records of this journal are unreadable and no other member is reachable; "
                     "bring "
                     "one back, or accept the loss with --accept-loss"
               : cw_open_is_unbegun(g, &o->request)
                   ? "the store says that this site holds it, which it never opened, and not every site "
                     "answers: bring them back, or accept the loss with --accept-loss"
                   : "this site is not a member of the in-sync set (or has restarted since) and no member is "
                     "reachable; bring one back, or accept the loss with --accept-loss");
        return;
    }
    if (!choose_best(g)) {
        cw_open_refuse(
            g, "another site holds newer writes than this one; promote that site, or let this one catch "
               "up first");
        return;
    }
    if (g->super.image_state != CW_IMAGE_WHOLE) {
        if (o->best < CW_SITES_MAX) {
            cw_open_refuse(
                g, "another site is whole and holds newer writes; promote that site, or let the full copy "
                   "finish");
            return;
        }
        cw_group_role_set(g, CW_ROLE_REVERTING);
        cw_revert_begin(g);
        return;
    }
    o->reached = valid_others(g);
    if (o->best == CW_SITES_MAX) {
        cw_group_role_set(g, CW_ROLE_CLAIMING);
        return;
    }
    const struct cw_peer *best = &g->peers[o->best];
    g->super.history = best->hello.history;
    g->commit = CW_MAX(CW_MIN(g->commit, g->head), CW_MIN(best->hello.sequences.commit, o->fetch_to));
    o->super_ticket = cw_super_ask(g);
    o->progress_ns = g->now_ns;
    cw_group_event(g, 0, "fetching records %llu to %llu from site %llu", g->head + 1, o->fetch_to, o->best);
    cw_group_role_set(g, CW_ROLE_FETCHING);
}

/* ---------------------------------------------------------------- fetching */

bool cw_open_on_fetched(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m, uint8_t *body,
                        uint64_t handle)
{
    const struct cw_record *r = &m->record.record;
    uint32_t length = cw_record_payload_length(r);

    if (g->role != CW_ROLE_FETCHING || peer->site != g->opening.best || r->sequence > g->opening.fetch_to)
        return false;
    if (r->sequence <= g->head || cw_log_has(g, r->sequence) || r->sequence > g->log_first + g->log_mask)
        return false;
    if (!cw_history_has(&g->super.history, r->sequence, r->epoch, r->reign) || r->group != g->config.group ||
        (length > 0 && cw_hash64(body, length) != r->payload_hash)) {
        cw_count(&g->counters[CW_GROUP_BAD_HASH], 1);
        return false;
    }
    struct cw_payload payload = {.handle = handle, .data = body, .length = length};
    cw_log_add(g, r, length > 0 ? &payload : NULL);
    cw_follow_take_unbroken(g);
    g->opening.progress_ns = g->now_ns;
    return length > 0;
}

static void fetch(struct cw_group *g)
{
    struct cw_opening *o = &g->opening;
    struct cw_message m = {.type = CW_MSG_FETCH};

    if (!g->peers[o->best].is_up) {
        cw_open_refuse(g,
                       "the site that holds the newest writes went away while they were fetched; try again");
        return;
    }
    if (g->head >= o->fetch_to) {
        cw_group_role_set(g, CW_ROLE_CLAIMING);
        return;
    }
    if (g->now_ns - o->progress_ns >= FETCH_GIVE_UP_NS) {
        cw_open_refuse(
            g, "the site that holds the newest writes sends none of those that lack here (its journal may "
               "no longer have them): promote that site, and this one is copied from it");
        return;
    }
    bool is_stalled = g->now_ns - o->fetch_asked_ns >= FETCH_AGAIN_NS;
    if (g->head < o->fetch_piece_end && !is_stalled)
        return;
    if (!cw_group_can_send(g))
        return;
    m.fetch.first = g->head + 1;
    m.fetch.last = CW_MIN(o->fetch_to, g->head + g->log_mask / 4);
    if (m.fetch.last > g->log_first + g->log_mask)
        return; /* ends when what is committed has been applied */
    o->fetch_piece_end = m.fetch.last;
    o->fetch_asked_ns = g->now_ns;
    cw_group_send(g, o->best, 0, &m, NULL, 0, 0);
}

/* ---------------------------------------------------------------- claiming */

/* The highest epoch that was ever seen here, and by whom. g->epoch: of the copy that was given up, of which our
 * history no longer tells. */
static uint64_t highest_seen(const struct cw_group *g, uint8_t *by)
{
    const struct cw_opening *o = &g->opening;
    uint64_t highest = CW_MAX(CW_MAX(o->own_epoch, g->epoch), last_epoch(&g->super.history));

    *by = g->config.self;
    if (g->grants.given_epoch > highest) {
        highest = g->grants.given_epoch;
        *by = g->grants.given_to;
    }
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        uint64_t theirs = g->peers[s].has_hello ? last_epoch(&g->peers[s].hello.history) : 0;
        if (theirs <= highest)
            continue;
        highest = theirs;
        *by = s;
    }
    return highest;
}

static void claim(struct cw_group *g)
{
    struct cw_opening *o = &g->opening;

    if (!o->request.accept_loss &&
        !cw_history_may_add(&g->super.history, g->head + 1, g->super.applied_sequence)) {
        cw_open_refuse(
            g, "too many openings ended before what they found was in place: one more would forget whose "
               "writes wait in the journal; promote another site, or accept their loss (--accept-loss)");
        return;
    }
    g->sync_wanted = CW_MAX(g->sync_wanted, g->head);
    /* What the store is told must outlive us: the records, and the history by which they count. */
    if (o->is_claim_sent || g->now_ns < o->claim_again_ns || cw_group_durable(g) < g->head ||
        !cw_super_is_done(g, o->super_ticket) || !cw_group_can_send(g) || !cw_cover_may_claim(g))
        return;
    uint8_t seen_by;
    uint64_t seen = highest_seen(g, &seen_by);
    o->epoch = CW_MAX(CW_MAX(seen, o->request.store_epoch) + 1, o->request.epoch_floor);
#if CW_PLANTED_BUG == 4 /* the reign of before the restart goes on */
    const struct cw_history_entry *last = cw_history_last(&g->super.history);
    if (last) {
        o->epoch = last->epoch;
        o->request.reign = last->reign;
    }
#endif
    o->is_claim_sent = g->is_claim_in_flight = true;
    g->set.identities[g->config.self] = g->config.identity;
    struct cw_action *action = cw_group_act(g, CW_ACT_CLAIM);
    action->from_epoch = o->request.store_epoch;
    action->epoch = o->epoch;
    action->reign = o->request.reign;
    action->first_sequence = g->head + 1;
    action->own_epoch = o->own_epoch;
    action->seen_epoch = seen;
    action->seen_by = seen_by;
    action->members_from = o->request.members;
    action->members_to = cw_bit(g->config.self);
    action->reached = o->reached;
    action->identities = g->set.identities;
}

/* For people, one day: when was it that a record of this reign was written? */
static void note_opening(struct cw_group *g)
{
    memmove(&g->super.openings[1], &g->super.openings[0],
            sizeof g->super.openings[0] * (CW_OPENINGS_MAX - 1));
    g->super.openings[0].epoch = g->epoch;
    g->super.openings[0].wall_offset_ns = g->config.wall_offset_ns;
}

void cw_group_on_claimed(struct cw_group *g, enum cw_claim_result result, const char *why, uint64_t now_ns)
{
    struct cw_opening *o = &g->opening;

    cw_group_clock(g, now_ns);
    g->is_claim_in_flight = false;
    if (g->role != CW_ROLE_CLAIMING || !o->is_claim_sent)
        return; /* of an opening that was left: whatever the store has now, the next one asks anew */
    o->is_claim_sent = false;
    if (result == CW_CLAIM_AGAIN) {
        o->claim_again_ns = now_ns + CLAIM_AGAIN_NS;
        return;
    }
    if (result == CW_CLAIM_REFUSED) {
        cw_open_refuse(g, why);
        return;
    }
    g->epoch = o->epoch;
    g->reign = o->request.reign;
#if CW_PLANTED_BUG == 4
    if (cw_history_last(&g->super.history) == NULL || cw_history_last(&g->super.history)->epoch != g->epoch)
#endif
        cw_history_add(&g->super.history, g->epoch, g->reign, g->head + 1);
    cw_super_set_whole(&g->super); /* else --inconsistent was asked for */
    note_opening(g);
    o->super_ticket = cw_super_ask(g);
    memset(&g->target, 0, sizeof g->target);
    cw_group_role_set(g, CW_ROLE_OPENING);
}

static void append_marker(struct cw_group *g)
{
    struct cw_record record = {.kind = CW_RECORD_MARKER,
                               .sequence = ++g->head,
                               .epoch = g->epoch,
                               .reign = g->reign,
                               .time_ns = g->now_ns,
                               .group = g->config.group};
    cw_log_add(g, &record, NULL);
}

static void begin_reign(struct cw_group *g)
{
    g->set.members = cw_bit(g->config.self);
    g->set.asked = 0;
    g->set.retry_ns = 0;
    g->completed = g->flushed = g->head;
    memset(&g->answers, 0, sizeof g->answers);
    g->unlogged_bytes = 0;
    g->commit = CW_MIN(g->commit, g->head); /* more may have been committed in a history that was lost */
    g->sync_wanted = CW_MIN(g->sync_wanted, g->head);
    g->is_recovered_damaged = false;
    g->super.is_damaged = false;
    cw_group_role_set(g, CW_ROLE_PRIMARY);
    cw_ages_begin(&g->ages, g->head, g->now_ns);
    append_marker(g);
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].is_configured) {
            cw_source_reset(g, &g->peers[s], CW_PEER_GREETING);
            memset(&g->peers[s].acked, 0, sizeof g->peers[s].acked);
            g->peers[s].is_measured = false;
            g->super.peers[s].sequence =
                CW_MIN(g->super.peers[s].sequence, g->head - 1); /* not of a lost branch */
        }
    cw_group_event(g, 0, "open for writes in epoch %llu from sequence %llu", g->epoch, g->head, 0);
}

void cw_open_step(struct cw_group *g)
{
    switch (g->role) {
    case CW_ROLE_GATHERING:
        gather(g);
        return;
    case CW_ROLE_FETCHING:
        fetch(g);
        return;
    case CW_ROLE_CLAIMING:
        claim(g);
        return;
    case CW_ROLE_OPENING:
        if (cw_super_is_done(g, g->opening.super_ticket) && cw_log_has_room(g, 1))
            begin_reign(g);
        return;
    case CW_ROLE_DRAINING:
    case CW_ROLE_DRAINED:
        cw_drain_step(g);
        return;
    default:
        return;
    }
}

/* ---------------------------------------------------------------- ceasing */

void cw_group_leave(struct cw_group *g, uint64_t seen_epoch)
{
    const struct cw_history_entry *last = cw_history_last(&g->super.history);

    if (g->role <= CW_ROLE_REPLICA)
        return;
    cw_group_event(g, 1, "no longer primary in epoch %llu (epoch %llu was seen)", g->epoch, seen_epoch, 0);
    cw_group_role_set(g, CW_ROLE_REPLICA);
    cw_log_drop_above(g, g->head); /* fetched beyond a gap */
    g->set.members = g->set.asked = 0;
    g->epoch = last ? last->epoch : 0;
    g->reign = last ? last->reign : 0;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        cw_source_reset(g, &g->peers[s], CW_PEER_GREETING);
}

void cw_group_fence(struct cw_group *g, uint64_t epoch, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    if (g->role > CW_ROLE_REPLICA && (!cw_group_is_open(g) || g->epoch <= epoch)) {
        cw_group_leave(g, epoch);
        cw_requests_complete(g); /* answers SHUTDOWN to what was waiting */
    }
}

static bool is_any_peer_streaming(const struct cw_group *g)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++)
        if (g->peers[s].state == CW_PEER_STREAMING)
            return true;
    return false;
}

enum cw_status cw_group_drain(struct cw_group *g, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    if (g->role == CW_ROLE_DRAINING || g->role == CW_ROLE_DRAINED)
        return CW_OK;
    if (g->role != CW_ROLE_PRIMARY)
        return CW_SHUTDOWN;
    if (!is_any_peer_streaming(g))
        return CW_REFUSED;
    cw_group_role_set(g, CW_ROLE_DRAINING);
    g->drain_ends_ns = now_ns + DRAINING_MAX_NS;
    return CW_OK;
}

/* Level: everything is durable at every member, and every member knows that it is committed. A drain that
 * does not get there, and one that nobody follows up with a fence, ends: we were and are the only holder. */
void cw_drain_step(struct cw_group *g)
{
    uint8_t others = g->set.members & ~cw_bit(g->config.self);

    if (g->now_ns >= g->drain_ends_ns) {
        cw_group_event(g, 1, "the drain was given up: requests are taken again", 0, 0, 0);
        cw_group_role_set(g, CW_ROLE_PRIMARY);
        return;
    }
    if (g->role == CW_ROLE_DRAINED)
        return;
    g->sync_wanted = CW_MAX(g->sync_wanted, g->head);
    if (g->commit < g->head || g->set.asked || others == 0)
        return;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        const struct cw_peer *peer = &g->peers[s];
        if ((others & cw_bit(s)) && (peer->acked.durable < g->head || peer->told_commit < g->head))
            return;
    }
    cw_group_role_set(g, CW_ROLE_DRAINED);
    g->drain_ends_ns = g->now_ns + DRAINED_MAX_NS;
    cw_group_event(g, 0, "drained at sequence %llu: every member holds everything", g->head, 0, 0);
}
