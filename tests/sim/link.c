/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions between sites as transport/session.h promises them, and nothing better: a message arrives whole
 * and at most once, in any order, late by resends; a session goes down when nothing was heard for two
 * seconds, at each end at its own time; whatever was not acknowledged then is given back and may have
 * arrived. Cuts are one way. The bytes of a sender are compared at the end, because it lent them.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "transport/session.h"

#define TICK_NS (50 * CW_MS)
#define IDLE_NS (2 * CW_SECOND)

struct message {
    struct message *next;
    struct world *world;
    uint8_t from, to;
    bool is_gone; /* given back: its event frees it */
    bool has_arrived;
    uint64_t session, tag;
    uint8_t *head, *body;
    const uint8_t *lent;
    uint32_t head_length, body_length;
};

bool link_is_cut(struct world *w, uint32_t from, uint32_t to)
{
    return w->now_ns < w->cut_until_ns[from][to];
}

static uint64_t travel(struct world *w, uint32_t from, uint32_t to)
{
    uint64_t ns = w->latency_ns[from][to];

    if (w->options.is_story)
        return ns;
    ns += world_random(w, ns / 4 + 1000);
    while (world_random(w, 1000000) < w->loss_ppm)
        ns += 2 * w->latency_ns[from][to] + world_random(w, 5 * CW_MS);
    return ns;
}

static void message_free(void *data)
{
    struct message *m = data;

    free(m->head);
    free(m->body);
    free(m);
}

static void give_back(struct message *m, bool delivered)
{
    struct site *from = &m->world->sites[m->from];

    if (m->tag || m->body_length) {
        struct fact *fact = fact_new(FACT_SENT);
        fact->peer = m->to;
        fact->token = m->tag;
        fact->delivered = delivered;
        site_post(from, fact);
    }
}

static void unlink_message(struct message *m)
{
    struct message **at = &m->world->sites[m->from].unacked[m->to];

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
}

static void message_moves(struct world *w, void *data, uint64_t a);

static void arrive(struct world *w, struct message *m)
{
    struct fact *fact = fact_new(FACT_MESSAGE);

    fact->peer = m->from;
    fact->head = m->head;
    fact->head_length = m->head_length;
    fact->body = m->body;
    fact->body_length = m->body_length;
    if (m->body && memcmp(m->body, m->lent, m->body_length) != 0)
        world_fail(w, "site %u: the body of a message changed while it was lent", m->from);
    m->head = m->body = NULL;
    m->has_arrived = true;
    site_post(&w->sites[m->to], fact);
}

static void message_moves(struct world *w, void *data, uint64_t a)
{
    struct message *m = data;
    struct link_end *target = &w->sites[m->to].ends[m->from];
    uint64_t again = w->now_ns + travel(w, m->from, m->to) + world_between(w, CW_MS, 50 * CW_MS);

    if (m->is_gone) {
        message_free(m);
        return;
    }
    if (!m->has_arrived) {
        if (link_is_cut(w, m->from, m->to) || !target->is_up || target->session != m->session) {
            queue_owned_at(w, again, message_moves, m, 0, message_free);
            return;
        }
        arrive(w, m);
        queue_owned_at(w, w->now_ns + travel(w, m->to, m->from), message_moves, m, 0, message_free);
        return;
    }
    if (link_is_cut(w, m->to, m->from)) {
        queue_owned_at(w, again, message_moves, m, 0, message_free);
        return;
    }
    unlink_message(m);
    give_back(m, true);
    message_free(m);
}

static void tell_what(const struct cw_message *m, char *text, size_t size)
{
    unsigned long long a = 0, b = 0;
    const char *form = "";

    switch (m->type) {
    case CW_MSG_RECORD:
        a = m->record.record.sequence, b = m->record.record.epoch, form = " %llu of epoch %llu";
        break;
    case CW_MSG_ATTACH:
        a = m->attach.sequence, b = m->epoch, form = ": keep up to %llu, epoch %llu follows";
        break;
    case CW_MSG_ATTACHED:
        a = m->attached.sequence, b = m->attached.result, form = ": stands at %llu, result %llu";
        break;
    case CW_MSG_COMMIT:
        a = m->commit.commit, b = m->commit.sync_to, form = " %llu, sync to %llu";
        break;
    case CW_MSG_ACK:
        a = m->ack.sequences.written, b = m->ack.sequences.durable, form = ": written %llu, durable %llu";
        break;
    case CW_MSG_FETCH:
        a = m->fetch.first, b = m->fetch.last, form = " %llu..%llu";
        break;
    case CW_MSG_COPY_CHUNK:
        a = m->copy_chunk.index, b = m->copy_chunk.sequence, form = " %llu as after %llu";
        break;
    default:
        break;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, size, form, a, b);
#pragma GCC diagnostic pop
}

/* Heartbeats: an acknowledgement or a commit that says what the last one said. */
static bool is_told(struct world *w, uint8_t from, uint8_t to, const struct cw_message *m, const char *what)
{
    if (m->type != CW_MSG_ACK && m->type != CW_MSG_COMMIT)
        return false;
    char *last = w->told[from][to][m->type == CW_MSG_ACK];
    bool same = strcmp(last, what) == 0;
    snprintf(last, sizeof w->told[0][0][0], "%s", what);
    return same;
}

/* How a story shows a message; says whether the story wants this one to be lost once. */
static bool tell_send(struct site *site, const struct cw_action *action)
{
    struct world *w = site->world;
    struct cw_message m;
    char what[64];

    if (cw_message_decode(action->head, action->head_length, action->body_length, &m) != CW_MESSAGE_OK)
        return false;
    bool is_lost = w->lose_type == m.type && w->lose_from == site->id && w->lose_to == action->peer;
    tell_what(&m, what, sizeof what);
    if (!is_told(w, site->id, action->peer, &m, what) || is_lost)
        tell(w, site, "> %c  %s%s%s", "ABC"[action->peer], cw_message_type_name((enum cw_message_type)m.type),
             what, is_lost ? "   (lost on the way)" : "");
    if (is_lost)
        w->lose_type = CW_MSG_NONE;
    return is_lost;
}

void site_left(struct site *site, uint8_t peer, uint64_t departure)
{
    struct fact *fact = fact_new(FACT_LEFT);

    fact->peer = peer;
    fact->token = departure;
    site->left[peer] = departure & ((1ull << 48) - 1);
    site_post(site, fact);
}

/* What goes before it takes its time: one queue for records and chunks, as they were sent. */
static uint64_t queue_on_link(struct world *w, const struct message *m, uint8_t stream)
{
    uint64_t *busy_ns = &w->link_busy_ns[m->from][m->to];

    if (w->link_rate == 0 || stream == CW_STREAM_CONTROL)
        return 0;
    *busy_ns = CW_MAX(*busy_ns, w->now_ns) + (m->head_length + m->body_length) * CW_SECOND / w->link_rate;
    return *busy_ns - w->now_ns;
}

/* Asleep between a question and its answers: when it wakes, these are old. */
static void sleep_at_ask(struct site *site, const struct cw_action *action)
{
    struct world *w = site->world;

    if (site->sleeps_at_ask_ns == 0 || action->head[0] != CW_MSG_GRANT_ASK || w->phase != PHASE_SAFETY)
        return;
    site->paused_until_ns = w->now_ns + site->sleeps_at_ask_ns;
    site->sleeps_at_ask_ns = 0;
    note(w, site, "pause", site->paused_until_ns, 0, 0);
    w->pauses++;
}

void link_send(struct site *site, const struct cw_action *action)
{
    struct world *w = site->world;

    sleep_at_ask(site, action);
    if (w->has_sessions) {
        net_send(site, action);
        return;
    }
    struct message *m = calloc(1, sizeof *m);

    CW_ASSERT(m != NULL);
    CW_ASSERT(action->peer < w->site_count && action->peer != site->id);
    *m = (struct message){.world = w,
                          .from = site->id,
                          .to = action->peer,
                          .tag = action->token,
                          .head_length = action->head_length,
                          .body_length = action->body_length,
                          .session = site->ends[action->peer].session,
                          .lent = action->memory};
    note(w, site, "send", action->peer, action->head[0], action->body_length);
    if (m->tag || m->body_length)
        site->sends_unanswered++;
    if (!site->ends[action->peer].is_up) {
        give_back(m, false);
        message_free(m);
        return;
    }
    m->head = malloc(m->head_length);
    CW_ASSERT(m->head != NULL);
    memcpy(m->head, action->head, m->head_length);
    if (m->body_length) {
        m->body = malloc(m->body_length);
        CW_ASSERT(m->body != NULL);
        memcpy(m->body, action->memory, m->body_length);
    }
    if (action->departure)
        site_left(site, m->to, action->departure);
    m->next = site->unacked[m->to];
    site->unacked[m->to] = m;
    uint64_t late = w->options.is_story && tell_send(site, action) ? 20 * CW_MS : 0;
    if ((w->faults & FAULT_LINK_NOISE) && w->phase == PHASE_SAFETY && world_chance(w, 3))
        late = world_between(w, 500 * CW_MS, 8 * CW_SECOND); /* legal, and maybe of another reign by then */
    else if ((w->faults & FAULT_LINK_NOISE) && action->stream == CW_STREAM_RESYNC &&
             world_chance(w, w->focus->is_busy ? 150 : 20))
        late = world_between(w, 10 * CW_MS, 300 * CW_MS); /* everything else goes before it */
    late += queue_on_link(w, m, action->stream);
    queue_owned_at(w, w->now_ns + late + travel(w, m->from, m->to), message_moves, m, 0, message_free);
}

/* A message of the reign before the last that this site knows, from there. */
static bool is_ghost(struct site *to, uint8_t from, struct cw_message *m)
{
    bool is_up = to->world->has_sessions ? net_is_up(to, from) : to->ends[from].is_up;

    if (from == to->id || to->state != SITE_RUNNING || to->status.role != CW_ROLE_REPLICA || !is_up ||
        to->status.history.count < 2)
        return false;
    const struct cw_history_entry *old = &to->status.history.entries[to->status.history.count - 2];
    *m = (struct cw_message){.type = CW_MSG_RECORD,
                             .from_site = from,
                             .group = SIM_GROUP,
                             .epoch = old->epoch,
                             .reign = old->reign,
                             .serial = to->serial_heard[from] + 1};
    return true;
}

static void deliver_ghost(struct site *to, const struct cw_message *m)
{
    struct fact *fact = fact_new(FACT_MESSAGE);

    fact->peer = m->from_site;
    fact->delivered = true;
    fact->head = malloc(CW_MESSAGE_HEAD_MAX);
    CW_ASSERT(fact->head != NULL);
    fact->head_length = cw_message_encode(m, fact->head);
    note(to->world, to, "a word of a deposed primary", m->from_site, m->epoch, m->type);
    site_post(to, fact);
}

void link_ghost(struct world *w)
{
    struct site *to = &w->sites[world_random(w, w->site_count)];
    uint8_t from = (uint8_t)world_random(w, w->site_count);
    struct cw_message m;

    if (to->status.primary == from || !is_ghost(to, from, &m))
        return;
    uint64_t next = to->status.sequences.received + 1;
    if (world_chance(w, w->peer_grants ? 300 : 0)) { /* it has learned at last that its reign is over */
        m.type = CW_MSG_GRANT_RELEASE;
    } else if (world_chance(w, 500)) { /* it has written more, alone, and committed that */
        m.type = CW_MSG_COMMIT;
        m.commit = (struct cw_message_commit){.commit = next + world_random(w, 8), .sync_to = next};
    } else {
        m.record.record = (struct cw_record){.kind = CW_RECORD_ZEROES,
                                             .length = SIM_BLOCK,
                                             .group = SIM_GROUP,
                                             .sequence = next,
                                             .epoch = m.epoch,
                                             .reign = m.reign};
    }
    deliver_ghost(to, &m);
}

void link_old_release(struct site *to, uint8_t from)
{
    struct cw_message m;

    if (!is_ghost(to, from, &m))
        return;
    m.type = CW_MSG_GRANT_RELEASE;
    deliver_ghost(to, &m);
}

/* ------------------------------------------------------------------ up and down */

static void drop_unacked(struct site *site, uint8_t peer, bool tell)
{
    struct message *m = site->unacked[peer];

    site->unacked[peer] = NULL;
    while (m) {
        struct message *next = m->next;
        m->is_gone = true;
        if (tell)
            give_back(m, false);
        m = next;
    }
}

static void end_goes_down(struct site *site, uint8_t peer)
{
    struct fact *fact = fact_new(FACT_PEER_DOWN);

    site->ends[peer].is_up = false;
    site->ends[peer].session = 0; /* the other end notices */
    tell(site->world, site, "session with %c is down", "ABC"[peer]);
    fact->peer = peer;
    drop_unacked(site, peer, true);
    site_post(site, fact);
}

static void end_comes_up(struct world *w, void *data, uint64_t a)
{
    struct site *site = data;
    uint8_t peer = (uint8_t)(a & 0xff);
    uint64_t session = a >> 8;
    struct link_end *end = &site->ends[peer];

    if (site->state != SITE_RUNNING || end->is_up || end->session != session)
        return; /* it crashed or gave up meanwhile */
    end->is_up = true;
    end->last_heard_ns = w->now_ns;
    tell(w, site, "session with %c is up", "ABC"[peer]);
    struct fact *fact = fact_new(FACT_PEER_UP);
    fact->peer = peer;
    site_post(site, fact);
}

static bool is_awake(struct world *w, const struct site *site)
{
    return site->state == SITE_RUNNING && w->now_ns >= site->paused_until_ns;
}

/* What one end notices at a tick. */
static void end_tick(struct world *w, struct site *site, struct site *peer)
{
    struct link_end *end = &site->ends[peer->id], *other = &peer->ends[site->id];

    if (!end->is_up || !is_awake(w, site))
        return;
    bool hears = is_awake(w, peer) && !link_is_cut(w, peer->id, site->id);
    if (hears && other->session == end->session && (other->is_up || w->now_ns < other->coming_until_ns))
        end->last_heard_ns = w->now_ns;
    else if (hears || w->now_ns - end->last_heard_ns > IDLE_NS)
        end_goes_down(site, peer->id);
}

static void pair_tick(struct world *w, struct site *a, struct site *b)
{
    struct link_end *ea = &a->ends[b->id], *eb = &b->ends[a->id];

    end_tick(w, a, b);
    end_tick(w, b, a);
    if (!is_awake(w, a) || !is_awake(w, b) || ea->is_up || eb->is_up)
        return;
    if (link_is_cut(w, a->id, b->id) || link_is_cut(w, b->id, a->id))
        return;
    if (w->now_ns < ea->coming_until_ns || w->now_ns < eb->coming_until_ns)
        return; /* shaking hands */
    uint64_t session = ++w->sessions;
    uint64_t a_up = w->now_ns + travel(w, b->id, a->id), b_up = a_up + travel(w, a->id, b->id);
    ea->session = eb->session = session;
    ea->coming_until_ns = eb->coming_until_ns = b_up + 1;
    queue_at(w, a_up, end_comes_up, a, session << 8 | b->id);
    queue_at(w, b_up, end_comes_up, b, session << 8 | a->id);
}

static void tick(struct world *w, void *data, uint64_t x)
{
    for (uint32_t a = 0; a < w->site_count && !w->has_sessions; a++)
        for (uint32_t b = a + 1; b < w->site_count; b++)
            pair_tick(w, &w->sites[a], &w->sites[b]);
    queue_at(w, w->now_ns + TICK_NS, tick, NULL, 0);
}

void link_init(struct world *w)
{
    queue_at(w, TICK_NS, tick, NULL, 0);
}

void link_crash(struct site *site)
{
    for (uint8_t peer = 0; peer < SIM_SITES_MAX; peer++) {
        drop_unacked(site, peer, false);
        site->ends[peer] = (struct link_end){0};
    }
}
