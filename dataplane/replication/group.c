/* SPDX-License-Identifier: BSD-3-Clause */
/* Building a group, its turn, its actions, and where messages go. */
#include "replication/group_private.h"

#include <stdio.h>
#include <string.h>

#define ACTIONS_MAX     16384u
#define DEADLINE_MIN_NS (100 * CW_US)
#define ACTIONS_RESERVE 2048u /* the facts of one turn add fewer than this between two drains */

const char *const cw_group_counter_names[CW_GROUP_COUNTER_COUNT] = {CW_GROUP_COUNTERS(CW_COUNTER_NAME)};

static const struct cw_fsm_row role_rows[CW_ROLE_COUNT] = {
    [CW_ROLE_DOWN] = {"down", CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_REPLICA] = {"replica", CW_TO(CW_ROLE_GATHERING) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_GATHERING] = {"gathering", CW_TO(CW_ROLE_FETCHING) | CW_TO(CW_ROLE_REVERTING) |
                                            CW_TO(CW_ROLE_CLAIMING) | CW_TO(CW_ROLE_REPLICA) |
                                            CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_REVERTING] = {"reverting",
                           CW_TO(CW_ROLE_CLAIMING) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_FETCHING] = {"fetching", CW_TO(CW_ROLE_CLAIMING) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_CLAIMING] = {"claiming", CW_TO(CW_ROLE_OPENING) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_OPENING] = {"opening", CW_TO(CW_ROLE_PRIMARY) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_PRIMARY] = {"primary", CW_TO(CW_ROLE_DRAINING) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_DRAINING] = {"draining", CW_TO(CW_ROLE_DRAINED) | CW_TO(CW_ROLE_PRIMARY) |
                                          CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
    [CW_ROLE_DRAINED] = {"drained", CW_TO(CW_ROLE_PRIMARY) | CW_TO(CW_ROLE_REPLICA) | CW_TO(CW_ROLE_DOWN)},
};

const char *cw_mode_name(enum cw_mode mode)
{
    static const char *const names[CW_MODE_COUNT] = {"async", "semi-sync", "sync", "network-sync"};
    return (unsigned)mode < CW_MODE_COUNT ? names[mode] : "?";
}

const char *cw_role_name(enum cw_role role)
{
    return (unsigned)role < CW_ROLE_COUNT ? role_rows[role].name : "?";
}

static void note_turn(struct cw_group *g, enum cw_role role)
{
    struct cw_turn *turn = &g->turn;
    bool was_open = cw_group_is_open(g);

    if (role == CW_ROLE_GATHERING)
        turn->asked_ns = g->now_ns;
    if (role == CW_ROLE_PRIMARY && was_open)
        turn->left_epoch = turn->held_ns = turn->drained_ns = turn->left_ns = 0; /* the drain was given up */
    else if (role == CW_ROLE_PRIMARY)
        turn->opened_ns = g->now_ns, turn->opened_epoch = g->epoch;
    if (!was_open || role == CW_ROLE_PRIMARY)
        return;
    if (g->role == CW_ROLE_PRIMARY)
        turn->left_epoch = g->epoch, turn->held_ns = g->now_ns, turn->drained_ns = turn->left_ns = 0;
    if (role == CW_ROLE_DRAINED)
        turn->drained_ns = g->now_ns;
    if (role == CW_ROLE_REPLICA)
        turn->left_ns = g->now_ns;
}

void cw_group_role_set(struct cw_group *g, enum cw_role role)
{
    CW_ASSERT((role_rows[g->role].may_go_to & CW_TO(role)) && "the drawing in group.h");
    note_turn(g, role);
    g->role = (uint8_t)role;
}

/* ---------------------------------------------------------------- building */

static void carve_queue(struct cw_waiter_queue *queue, struct cw_arena *arena, uint32_t count)
{
    queue->ring = cw_arena_take(arena, sizeof(struct cw_waiter) * count, 64);
    queue->mask = count - 1;
}

static void carve(struct cw_group *g, struct cw_arena *arena, const struct cw_group_config *config)
{
    uint32_t held_count = config->log_entries + CW_HELD_SENDS_MAX;

    g->log = cw_arena_take(arena, sizeof(struct cw_log_entry) * config->log_entries, 64);
    cw_pool_init(&g->held, arena, held_count, sizeof(struct cw_held), 64);
    cw_overlay_init(&g->overlay, arena, config->log_entries);
    uint32_t action_count = ACTIONS_MAX;
    while (action_count <
           ACTIONS_MAX + 2 * config->log_entries) /* a cut may give every payload back at once */
        action_count *= 2;
    carve_queue(&g->writes, arena, config->log_entries);
    carve_queue(&g->flushes, arena, CW_FLUSHES_MAX);
    g->super_block = cw_arena_take(arena, CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    for (uint32_t i = 0; i < CW_READ_SLOTS; i++)
        g->read_slots[i].memory =
            cw_arena_take(arena, (size_t)CW_BATCH_SECTORS_MAX * CW_SECTOR_SIZE, CW_SECTOR_SIZE);
    for (uint32_t i = 0; i < CW_COPY_SLOTS; i++)
        g->copy_slots[i].memory = cw_arena_take(arena, CW_RECORD_PAYLOAD_MAX, CW_SECTOR_SIZE);
    for (uint32_t s = 0; s < CW_SITES_MAX; s++)
        cw_ledger_carve(&g->peers[s].ledger, arena);
    g->actions = cw_arena_take(arena, sizeof(struct cw_action) * action_count, 64);
    g->action_mask = action_count - 1;
    g->short_heads = cw_arena_take(arena, (size_t)CW_SHORT_HEAD * ACTIONS_MAX, 64);
    g->heads = cw_arena_take(arena, (size_t)CW_MESSAGE_HEAD_MAX * CW_LONG_HEADS, 64);
}

static void init_peers(struct cw_group *g)
{
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        struct cw_peer *peer = &g->peers[s];
        peer->site = s;
        peer->is_configured = s != g->config.self && (g->config.sites & cw_bit(s));
        peer->read_slot = -1;
        peer->needs_copy = g->super.peers[s].is_used && g->super.peers[s].needs_copy;
    }
}

struct cw_group *cw_group_new(const struct cw_group_config *config, const struct cw_superblock *superblock,
                              struct cw_arena *arena)
{
    CW_ASSERT(cw_is_power_of_two(config->log_entries));
    CW_ASSERT(config->self < CW_SITES_MAX);
    CW_ASSERT(cw_is_power_of_two(config->copy_chunk_bytes));
    CW_ASSERT(config->copy_chunk_bytes >= CW_BLOCK_SIZE_MIN &&
              config->copy_chunk_bytes <= CW_RECORD_PAYLOAD_MAX);
    struct cw_group *g = cw_arena_take(arena, sizeof *g, 64);
    struct cw_group scratch = {0}; /* measuring: the same calls against nothing */
    struct cw_group *target = g ? g : &scratch;

    carve(target, arena, config);
    struct cw_journal_config journal = {.ring_sectors = superblock->ring_sectors,
                                        .journal_id = {superblock->journal_id[0], superblock->journal_id[1]},
                                        .group = config->group,
                                        .batch_slots = 8};
    target->journal = cw_journal_new(&journal, arena);
    if (!g)
        return NULL;
    g->config = *config;
    g->config.identity.journal_id[0] = superblock->journal_id[0];
    g->config.identity.journal_id[1] = superblock->journal_id[1];
    g->super = *superblock;
    g->role = CW_ROLE_REPLICA;
    g->log_mask = config->log_entries - 1;
    g->follow.primary = CW_SITES_MAX;
    init_peers(g);
    return g;
}

struct cw_journal *cw_group_journal(struct cw_group *group)
{
    return group->journal;
}

void cw_group_volume_add(struct cw_group *g, uint16_t volume, uint64_t size, uint64_t base, bool is_device)
{
    CW_ASSERT(volume < CW_VOLUMES_PER_GROUP_MAX);
    struct cw_superblock *s = &g->super;
    uint32_t i = 0;

    while (i < s->volume_count && s->volumes[i].volume != volume)
        i++;
    if (i == s->volume_count) {
        CW_ASSERT(s->volume_count < CW_VOLUMES_PER_GROUP_MAX);
        s->volumes[s->volume_count].volume = volume;
        s->volumes[s->volume_count].size = size;
        s->volumes[s->volume_count++].base = base;
        cw_super_ask(g);
        cw_target_on_volume_added(g);
    }
    g->volumes[volume] = (struct cw_volume){
        .is_present = true, .is_device = is_device, .size = size, .base = s->volumes[i].base};
    for (uint8_t p = 0; p < CW_SITES_MAX; p++)
        cw_ledger_end(&g->peers[p].ledger);    /* beside its file there is none to go on with */
    for (uint8_t p = 0; p < CW_SITES_MAX; p++) /* what each side has must be compared again */
        if (g->peers[p].is_up && cw_group_is_open(g))
            cw_source_reset(g, &g->peers[p], CW_PEER_GREETING);
}

uint64_t cw_group_volume_base(const struct cw_group *g, uint16_t volume)
{
    CW_ASSERT(volume < CW_VOLUMES_PER_GROUP_MAX);
    return g->volumes[volume].base;
}

void cw_group_volume_remove(struct cw_group *g, uint16_t volume)
{
    CW_ASSERT(volume < CW_VOLUMES_PER_GROUP_MAX);
    struct cw_superblock *s = &g->super;

    if (g->volumes[volume].is_present)
        cw_copy_on_volume_removed(g, volume);
    g->volumes[volume].is_present = false;
    g->volumes[volume].is_removed = true;
    for (uint32_t i = 0; i < s->volume_count; i++)
        if (s->volumes[i].volume == volume) {
            memmove(&s->volumes[i], &s->volumes[i + 1], sizeof s->volumes[0] * (s->volume_count - i - 1));
            s->volume_count--;
            cw_super_ask(g);
            return;
        }
}

void cw_group_set_mode(struct cw_group *g, enum cw_mode mode, uint8_t min_in_sync, uint8_t sites)
{
    g->config.mode = mode;
    g->config.min_in_sync = min_in_sync;
    g->config.sites = sites;
    for (uint8_t s = 0; s < CW_SITES_MAX; s++) {
        bool was_configured = g->peers[s].is_configured;
        g->peers[s].is_awaited = g->peers[s].is_awaited && mode == CW_MODE_NETWORK_SYNC;
        g->peers[s].is_configured = s != g->config.self && (sites & cw_bit(s));
        if (!was_configured || g->peers[s].is_configured)
            continue;
        cw_source_reset(g, &g->peers[s], CW_PEER_GREETING);
        if (g->follow.primary == s)
            cw_follow_stop(g);
    }
}

void cw_group_set_replica_timeout(struct cw_group *g, uint64_t timeout_ns)
{
    CW_ASSERT(timeout_ns > 0);
    g->config.replica_timeout_ns = timeout_ns;
}

void cw_group_set_copy_brake(struct cw_group *g, uint64_t brake_ns)
{
    g->config.copy_brake_ns = brake_ns;
}

/* ---------------------------------------------------------------- actions */

struct cw_action *cw_group_act(struct cw_group *g, enum cw_action_type type)
{
    CW_ASSERT(g->action_tail - g->action_head <= g->action_mask && "every pump asks for room first");
    struct cw_action *action = &g->actions[g->action_tail++ & g->action_mask];

    memset(action, 0, sizeof *action);
    action->type = (uint8_t)type;
    return action;
}

bool cw_group_action(struct cw_group *g, struct cw_action *action)
{
    if (g->action_head == g->action_tail) {
        g->short_used = 0;
        g->head_used = 0;
        return false;
    }
    *action = g->actions[g->action_head++ & g->action_mask];
    return true;
}

bool cw_group_can_send(const struct cw_group *g)
{
    uint32_t used = g->action_tail - g->action_head;

    return used < ACTIONS_MAX - ACTIONS_RESERVE && g->short_used < ACTIONS_MAX - ACTIONS_RESERVE &&
           g->head_used < CW_LONG_HEADS;
}

void cw_group_event(struct cw_group *g, uint8_t level, const char *text, uint64_t a, uint64_t b, uint64_t c)
{
    struct cw_action *action = cw_group_act(g, CW_ACT_EVENT);

    action->level = level;
    action->text = text;
    action->a = a;
    action->b = b;
    action->c = c;
}

void cw_group_down(struct cw_group *g, const char *why)
{
    if (g->role == CW_ROLE_DOWN)
        return;
    g->role = CW_ROLE_DOWN;
    snprintf(g->reason, sizeof g->reason, "%s", why);
    cw_follow_stop(g);
    cw_group_event(g, 2, why, 0, 0, 0);
}

void cw_group_send(struct cw_group *g, uint8_t peer, uint8_t stream, struct cw_message *message,
                   uint8_t *body, uint32_t body_length, uint64_t tag)
{
    uint8_t scratch[CW_MESSAGE_HEAD_MAX];
    uint8_t *head = scratch;

    message->from_site = g->config.self;
    message->group = g->config.group;
    message->epoch = message->epoch ? message->epoch : g->epoch;
    message->reign = message->reign ? message->reign : g->reign;
    message->serial = ++g->serial;
    uint32_t length = cw_message_encode(message, scratch);
    if (length <= CW_SHORT_HEAD && g->short_used < ACTIONS_MAX)
        head = g->short_heads + (size_t)CW_SHORT_HEAD * g->short_used++;
    else if (g->head_used < CW_LONG_HEADS)
        head = g->heads[g->head_used++];
    else
        return; /* a state message in a turn that is full of them: it is said again */
    memcpy(head, scratch, length);
    struct cw_action *action = cw_group_act(g, CW_ACT_SEND);
    action->peer = peer;
    action->stream = stream;
    action->head = head;
    action->head_length = length;
    action->memory = body;
    action->body_length = body_length;
    action->token = tag;
}

/* ---------------------------------------------------------------- messages */

void cw_group_on_peer_up(struct cw_group *g, uint8_t site, uint64_t now_ns)
{
    struct cw_peer *peer = &g->peers[site];

    cw_group_clock(g, now_ns);
    peer->is_up = true;
    peer->session++;
    peer->has_hello = false;
    peer->serial_seen = peer->beginning_seen = 0;
    peer->sends = 0;
    peer->send_bytes = 0;
    peer->hello_asked_ns = now_ns;
    cw_source_reset(g, peer, CW_PEER_GREETING);
    if (g->follow.primary == site)
        cw_follow_stop(g);
    cw_group_send_hello(g, peer, CW_HELLO_ASK);
}

void cw_group_on_peer_down(struct cw_group *g, uint8_t site, uint64_t now_ns)
{
    struct cw_peer *peer = &g->peers[site];

    cw_group_clock(g, now_ns);
    peer->is_up = false;
    peer->has_hello = false;
    g->opening.answered &= ~cw_bit(site);
    cw_source_reset(g, peer, CW_PEER_DISCONNECTED);
    if (g->follow.primary == site)
        cw_follow_stop(g);
    if (cw_group_is_open(g))
        cw_group_event(g, 1, "site %llu disconnected", site, 0, 0);
}

/* Speaks the sender of this message for the reign that we follow? */
static bool is_of_followed(struct cw_group *g, const struct cw_peer *peer, const struct cw_message *m)
{
#if CW_PLANTED_BUG == 5 /* a stale primary's frames are taken */
    (void)m;
    return g->follow.state == CW_FOLLOW_STREAMING && !cw_group_is_open(g) && peer->site < CW_SITES_MAX;
#endif
    return g->role == CW_ROLE_REPLICA && g->follow.primary == peer->site && g->follow.epoch == m->epoch &&
           g->follow.reign == m->reign;
}

static bool is_of_our_reign(const struct cw_group *g, const struct cw_message *m)
{
    return cw_group_is_open(g) && m->epoch == g->epoch && m->reign == g->reign;
}

static void on_hello(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    peer->hello = m->hello;
    peer->hello_flags = m->flags;
    peer->hello_epoch = m->epoch;
    peer->hello_reign = m->reign;
    peer->has_hello = true;
    if ((m->flags & CW_HELLO_PRIMARY) && m->epoch > g->epoch && g->role > CW_ROLE_REPLICA)
        cw_group_leave(g, m->epoch);
    if (m->flags & CW_HELLO_ASK)
        cw_group_send_hello(g, peer, 0);
    if (g->role == CW_ROLE_GATHERING)
        cw_open_on_hello(g, peer);
    else if (cw_group_is_open(g))
        cw_source_on_hello(g, peer);
}

/* Messages of the primary to us. The return value: was the body taken? */
static bool on_followed(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m, uint8_t *body,
                        uint32_t body_length, uint64_t handle)
{
    if (!is_of_followed(g, peer, m)) {
        cw_count(&g->counters[CW_GROUP_STALE], 1);
        return false;
    }
    switch (m->type) {
    case CW_MSG_RECORD:
        return cw_follow_on_record(g, peer, m, body, body_length, handle);
    case CW_MSG_COMMIT:
        cw_heard_commit(g, m);
        cw_follow_on_commit(g, peer, m);
        return false;
    case CW_MSG_COPY_CHUNK:
        return cw_target_on_chunk(g, peer, m, body, body_length, handle);
    case CW_MSG_COPY_END:
        cw_target_on_end(g, peer, m);
        return false;
    default:
        return false;
    }
}

/* Messages of a replica to us. */
static void on_answer(struct cw_group *g, struct cw_peer *peer, const struct cw_message *m)
{
    if (!is_of_our_reign(g, m)) {
        cw_count(&g->counters[CW_GROUP_STALE], 1);
        return;
    }
    if (m->type == CW_MSG_ACK)
        cw_source_on_ack(g, peer, &m->ack);
    else if (m->type == CW_MSG_ATTACHED)
        cw_source_on_attached(g, peer, &m->attached);
    else
        cw_copy_on_ack(g, peer, m);
}

/* Messages overtake each other: a BEGIN of a copy that was left, or an ATTACH, says nothing after a newer one
 * of either was taken. It would make a member drop what it was attached for. */
static bool is_old_beginning(struct cw_peer *peer, const struct cw_message *m)
{
    if (m->type != CW_MSG_ATTACH && m->type != CW_MSG_COPY_BEGIN)
        return false;
    if (m->serial <= peer->beginning_seen)
        return true;
    peer->beginning_seen = m->serial;
    return false;
}

static bool is_old_state(struct cw_peer *peer, const struct cw_message *m)
{
    if (m->type != CW_MSG_HELLO && m->type != CW_MSG_ACK && m->type != CW_MSG_COMMIT)
        return false;
    if (m->serial <= peer->serial_seen)
        return true;
    peer->serial_seen = m->serial;
    return false;
}

bool cw_group_on_message(struct cw_group *g, const struct cw_message *m, uint8_t *body, uint32_t body_length,
                         uint64_t handle, uint64_t now_ns)
{
    CW_ASSERT(m->from_site < CW_SITES_MAX);
    struct cw_peer *peer = &g->peers[m->from_site];

    cw_group_clock(g, now_ns);
    if (!peer->is_configured || !peer->is_up || g->is_stopping)
        return false;
    if (m->type >= CW_MSG_GRANT_ASK) {
        cw_cover_on_message(g, peer, m);
        return false;
    }
    if (g->role == CW_ROLE_DOWN)
        return false;
    if (is_old_state(peer, m) || is_old_beginning(peer, m))
        return false;
    switch (m->type) {
    case CW_MSG_HELLO:
        on_hello(g, peer, m);
        return false;
    case CW_MSG_ATTACH:
        cw_follow_on_attach(g, peer, m);
        return false;
    case CW_MSG_COPY_BEGIN:
        cw_target_on_begin(g, peer, m);
        return false;
    case CW_MSG_FETCH:
        cw_source_on_fetch(g, peer, m);
        return false;
    case CW_MSG_RECORD:
        if (m->flags & CW_RECORD_MSG_FETCHED)
            return cw_open_on_fetched(g, peer, m, body, handle);
        return on_followed(g, peer, m, body, body_length, handle);
    case CW_MSG_COMMIT:
    case CW_MSG_COPY_CHUNK:
    case CW_MSG_COPY_END:
        return on_followed(g, peer, m, body, body_length, handle);
    case CW_MSG_ACK:
    case CW_MSG_ATTACHED:
    case CW_MSG_COPY_ACK:
        on_answer(g, peer, m);
        return false;
    default:
        return false;
    }
}

/* ---------------------------------------------------------------- the turn */

void cw_group_lease(struct cw_group *g, uint64_t deadline_ns)
{
    g->lease_deadline_ns = deadline_ns;
}

/* Nothing is under way any more. What is still held (a tail without its commit, all of a group that is down)
 * is in the journal as far as it counts; the buffers are the node's, and others need them. */
static void give_back(struct cw_group *g)
{
    cw_log_drop_above(g, 0);
    cw_target_release(g);
}

void cw_group_step(struct cw_group *g, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    if (g->role != CW_ROLE_DOWN) {
        cw_open_step(g);
        cw_revert_step(g);
        cw_follow_step(g);
        cw_target_step(g);
        cw_tail_step(g);
        cw_source_step(g);
        cw_logging_step(g);
        cw_salvage_step(g);
        cw_commit_step(g);
        cw_apply_step(g);
        cw_target_settle(g);
        cw_landing_step(g);
        cw_members_step(g);
        cw_departures_step(g);
        cw_watch_step(g);
        cw_checkpoint_step(g);
    } else if (g->is_stopping) {
        g->is_stopped = cw_group_is_idle(g);
    }
    cw_cover_step(g);
    cw_requests_complete(g);
    if (g->is_stopped)
        give_back(g);
    else
        cw_log_retire(g);
    cw_super_step(g);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return CW_MIN(a, b);
}

uint64_t cw_group_deadline_ns(const struct cw_group *g)
{
    uint64_t deadline = g->now_ns + 20 * CW_MS; /* slow timers: heartbeats, greetings, members, checkpoints */
    uint64_t commit = CW_MIN(g->commit, g->head);
    bool is_behind = cw_journal_durable_commit(g->journal) < commit || cw_group_durable(g) < g->head ||
                     g->applied < commit;

    if (g->action_head != g->action_tail)
        return g->now_ns;
    if (cw_grants_has_asks(&g->grants))
        return g->now_ns + DEADLINE_MIN_NS;
    if (g->role == CW_ROLE_DOWN)
        return CW_NEVER;
    if (is_behind || g->is_stopping)
        deadline = earlier(deadline, g->now_ns + 2 * CW_MS);
    deadline = earlier(deadline, cw_source_deadline(g));
    deadline = earlier(deadline, cw_follow_deadline(g));
    return CW_MAX(deadline, g->now_ns + DEADLINE_MIN_NS); /* what is overdue now waits for something else */
}

void cw_group_stop(struct cw_group *g, uint64_t now_ns)
{
    cw_group_clock(g, now_ns);
    g->is_stopping = true;
    if (g->role > CW_ROLE_REPLICA && !cw_group_is_open(g))
        cw_group_leave(g, g->epoch);
}

bool cw_group_is_in_place(const struct cw_group *g)
{
    return g->applied == g->head;
}

bool cw_group_is_stopped(const struct cw_group *g)
{
    return g->is_stopped;
}
