/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store lcore's turn: commands, messages, completions, timers, steps, actions, answers, replies. Replies
 * are submitted at once, everything else by cw_store_submit.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/store.h"

const char *const cw_store_counter_names[CW_STORE_COUNTER_COUNT] = {CW_STORE_COUNTERS(CW_COUNTER_NAME)};

/* ---------------------------------------------------------------- building */

static void init_free_lists(struct cw_store *store)
{
    for (uint32_t i = 0; i < CW_STORE_OPS; i++) {
        store->ops[i].next = store->ops_free;
        store->ops_free = &store->ops[i];
        store->pieces[i].next = store->pieces_free;
        store->pieces_free = &store->pieces[i];
    }
    for (uint32_t i = 0; i < CW_STORE_READS; i++) {
        store->reads[i].next = store->reads_free;
        store->reads_free = &store->reads[i];
    }
    store->ops_free_count = store->pieces_free_count = CW_STORE_OPS;
}

static void init_peers(struct cw_store *store)
{
    for (unsigned i = 0; i < CW_SITES_MAX; i++)
        store->peer_of[i] = -1;
    for (uint32_t i = 0; i < store->engine->config.peer_count; i++) {
        store->peers[i].site = cw_engine_peer_site(store->engine, i);
        store->peer_of[store->peers[i].site] = (int8_t)i;
    }
}

enum cw_status cw_store_init(struct cw_store *store, struct cw_engine *engine, struct cw_arena *arena,
                             uint32_t receive_slots, char *why, size_t why_size)
{
    const struct cw_nbd_config nbd = {.connections_max = CW_NODE_CLIENTS_MAX,
                                      .export_connections_max = CW_VOLUME_CLIENTS_MAX,
                                      .requests_max = 64,
                                      .exports_max = CW_NODE_EXPORTS_MAX};
    uint64_t payload_bytes = (uint64_t)engine->config.payload_mb * CW_MIB;
    memset(store, 0, sizeof *store);
    store->engine = engine;
    cw_payload_memory_init(&store->payloads, arena, payload_bytes);
    cw_pool_init(&store->received, arena, CW_MAX(receive_slots, 1u), sizeof(struct cw_store_received), 16);
    store->ops = cw_arena_take(arena, sizeof *store->ops * CW_STORE_OPS, 64);
    store->pieces = cw_arena_take(arena, sizeof *store->pieces * CW_STORE_OPS, 64);
    store->reads = cw_arena_take(arena, sizeof *store->reads * CW_STORE_READS, 64);
    cw_trace_init(&store->trace, arena, CW_TRACE_ENTRIES);
    cw_trace_init(&store->disks, arena, CW_TRACE_ENTRIES);
    cw_store_direct_init(store, arena);
    cw_nbd_init(&store->nbd, arena, arena->memory != NULL ? &store->uring : NULL, &nbd);
    if (arena->memory == NULL)
        return CW_OK;
    init_free_lists(store);
    init_peers(store);
    cw_lease_init(&store->lease, cw_clock_now_ns());
    return cw_uring_init(&store->uring, CW_STORE_URING_ENTRIES, why, why_size);
}

/* ---------------------------------------------------------------- to control */

bool cw_store_mail(struct cw_store *store, const struct cw_mail *mail)
{
    bool pushed = cw_ring_push(&store->engine->mails, mail);
    CW_ASSERT((pushed || mail->type == CW_MAIL_EVENT) && "room was seen before");
    store->has_told_control |= pushed;
    return pushed;
}

void cw_store_event(struct cw_store *store, uint8_t level, uint32_t group, const char *text, uint64_t a,
                    uint64_t b, uint64_t c)
{
    struct cw_mail mail = {.type = CW_MAIL_EVENT};
    mail.event.level = level;
    mail.event.group = group;
    mail.event.text = text;
    mail.event.values[0] = a;
    mail.event.values[1] = b;
    mail.event.values[2] = c;
    cw_store_trace(store, group, text, a, b, c);
    if (cw_ring_room(&store->engine->mails) > CW_COMMANDS_MAX) /* what is left is for answers */
        (void)cw_store_mail(store, &mail);
}

void cw_store_answer_command(struct cw_store *store, struct cw_command *command)
{
    struct cw_mail mail = {.type = CW_MAIL_DONE, .command = command};
    (void)cw_store_mail(store, &mail);
}

static void wake_control(struct cw_store *store)
{
    uint64_t one = 1;
    ssize_t written = write(store->engine->control_wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

void cw_store_wake_others(struct cw_store *store)
{
    if (store->has_told_control)
        wake_control(store);
    store->has_told_control = false;
}

/* ---------------------------------------------------------------- timers */

static bool is_ours(const struct cw_store_group *group)
{
    return group->role == CW_ROLE_OPENING || group->role == CW_ROLE_PRIMARY ||
           group->role == CW_ROLE_DRAINING;
}

void cw_store_lease(struct cw_store *store)
{
    if (cw_ring_room(&store->engine->mails) <= CW_COMMANDS_MAX ||
        !cw_lease_wants_request(&store->lease, store->now_ns))
        return;
    /* A clock read of its own: nothing of the request may be older than its time. */
    struct cw_mail mail = {.type = CW_MAIL_LEASE};
    mail.lease.asked_ns = cw_clock_now_ns();
    mail.lease.count = 0;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        const struct cw_store_group *group = store->groups[i];
        if (group == NULL || !is_ours(group))
            continue;
        mail.lease.groups[mail.lease.count++] =
            (struct cw_lease_group){.slot = (uint8_t)i, .group = group->id, .epoch = group->epoch};
    }
    (void)cw_store_mail(store, &mail);
}

static void timers(struct cw_store *store)
{
    cw_store_lease(store);
    if (store->now_ns >= cw_nbd_deadline_ns(&store->nbd))
        cw_nbd_on_time(&store->nbd, store->now_ns);
}

/* ---------------------------------------------------------------- the turn */

/* No step while actions are left: heads of messages live until the next step only. */
static uint32_t turn_group(struct cw_store_group *group)
{
    uint32_t count = group->is_backlogged ? cw_store_drain_actions(group) : 0;
    if (group->is_backlogged)
        return count;
    cw_group_step(group->group, group->store->now_ns);
    count += cw_store_drain_actions(group);
    if (group->must_look || group->store->now_ns >= group->role_check_ns)
        cw_store_look(group);
    return count + cw_store_answer(group);
}

static uint32_t turn_groups(struct cw_store *store)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL)
            count += turn_group(store->groups[i]);
    }
    return count;
}

/* Replies last: everything that was answered in this turn leaves in one submission. */
static uint32_t turn_frontends(struct cw_store *store, bool has_progress)
{
    bool has_room = store->is_room_wanted && has_progress;
    if (has_room) {
        store->is_room_wanted = false;
        cw_nbd_on_room(&store->nbd);
    }
    uint32_t count = cw_store_direct_turn(store, has_room);
    return count + (cw_nbd_flush(&store->nbd) ? 1 : 0);
}

uint32_t cw_store_turn(struct cw_store *store, uint64_t now_ns)
{
    store->now_ns = now_ns;
    cw_count(&store->counters[CW_STORE_TURNS], 1);
    uint32_t count = cw_store_commands(store);
    count += cw_store_receive(store);
    count += cw_uring_reap(&store->uring, CW_STORE_REAP_MAX);
    timers(store);
    count += turn_groups(store);
    count += turn_frontends(store, count > 0);
    store->has_replied = store->nbd.has_sends;
    store->nbd.has_sends = false;
    if (store->has_replied)
        cw_store_submit(store);
    cw_store_wake_others(store);
    store->cycle_ns_max = CW_MAX(store->cycle_ns_max, cw_clock_now_ns() - now_ns);
    return count;
}

void cw_store_submit(struct cw_store *store)
{
    cw_uring_submit(&store->uring);
}

uint64_t cw_store_deadline_ns(struct cw_store *store)
{
    uint64_t deadline_ns = CW_MIN(cw_lease_wake_ns(&store->lease), cw_nbd_deadline_ns(&store->nbd));
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        const struct cw_store_group *group = store->groups[i];
        if (group == NULL)
            continue;
        if (group->is_backlogged)
            return 0;
        deadline_ns = CW_MIN(deadline_ns, cw_group_deadline_ns(group->group));
        bool waits = group->answers_first != NULL || group->fence != NULL || group->is_stopping;
        if (waits || store->is_room_wanted)
            deadline_ns = CW_MIN(deadline_ns, store->now_ns + CW_MS);
        if (group->is_watched)
            deadline_ns = CW_MIN(deadline_ns, group->role_check_ns);
    }
    return deadline_ns;
}

uint32_t cw_store_requests(const struct cw_store *store)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL)
            count += store->groups[i]->requests;
    }
    return count;
}

bool cw_store_is_primary(const struct cw_store *store)
{
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        if (store->groups[i] != NULL && store->groups[i]->role == CW_ROLE_PRIMARY)
            return true;
    }
    return false;
}
