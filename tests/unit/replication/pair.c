/* SPDX-License-Identifier: BSD-3-Clause */
/* See pair.h. */
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define GROUP        5u
#define TURN_NS      (100 * CW_US)
#define LEASE_NS     (5 * CW_SECOND)
#define VOLUME_BYTES ((uint64_t)PAIR_BLOCK * PAIR_BLOCKS)

static uint64_t fresh(struct pair *p)
{
    p->random++;
    return cw_hash64(&p->random, sizeof p->random) | 1;
}

/* ---------------------------------------------------------------- payloads */

static uint8_t *payload_new(struct pair_site *site, uint32_t length)
{
    uint8_t *data = aligned_alloc(PAIR_BLOCK, cw_round_up(length, PAIR_BLOCK));

    CW_ASSERT(data);
    site->payloads++;
    return data;
}

static void payload_free(struct pair_site *site, uint64_t handle)
{
    CW_ASSERT(site->payloads > 0);
    site->payloads--;
    free((void *)(uintptr_t)handle);
}

static uint64_t handle_of(const uint8_t *data)
{
    return (uint64_t)(uintptr_t)data;
}

/* ---------------------------------------------------------------- starting */

static void *arena_for(struct cw_arena *arena, size_t size)
{
    size = cw_round_up(size + PAIR_BLOCK, PAIR_BLOCK);
    void *memory = aligned_alloc(PAIR_BLOCK, size);

    CW_ASSERT(memory);
    cw_arena_init(arena, memory, size);
    return memory;
}

static void group_new(struct pair_site *site, const struct cw_superblock *super)
{
    struct pair *p = site->pair;
    struct cw_group_config config = {
        .group = GROUP,
        .self = site->id,
        .sites = (uint8_t)((1u << p->site_count) - 1),
        .mode = p->mode,
        .min_in_sync = p->min_in_sync,
        .replica_timeout_ns = 5 * CW_SECOND,
        .commit_interval_ns = 100 * CW_MS,
        .gather_timeout_ns = 2 * CW_SECOND,
        .checkpoint_interval_ns = CW_SECOND,
        .identity = {.boot_id = {site->boot, site->id + 1}, .process_start = fresh(p)},
        .log_entries = PAIR_LOG_ENTRIES,
        .payload_bytes_soft = 256 * CW_KIB,
    };
    struct cw_arena arena;

    cw_arena_measure(&arena);
    cw_group_new(&config, super, &arena);
    site->arena = arena_for(&arena, arena.used);
    site->group = cw_group_new(&config, super, &arena);
    cw_arena_seal(&arena);
}

static void redo(struct pair_site *site, const struct cw_record *record, const uint8_t *payload)
{
    uint32_t length = cw_record_payload_length(record);
    struct cw_payload kept = {.length = length};

    switch (cw_group_recover_redo(site->group, record)) {
    case CW_REDO_SKIP:
        return;
    case CW_REDO_APPLY:
        CW_ASSERT(record->kind == CW_RECORD_WRITE);
        cw_device_write(&site->volume, payload, length, record->offset);
        return;
    case CW_REDO_KEEP:
        if (length > 0) {
            kept.data = payload_new(site, length);
            kept.handle = handle_of(kept.data);
            memcpy(kept.data, payload, length);
        }
        cw_group_recover_keep(site->group, record, length > 0 ? &kept : NULL);
        return;
    }
}

static void scan(struct pair_site *site, const struct cw_superblock *super, bool is_first)
{
    struct cw_arena arena;
    uint64_t offset, position;
    uint32_t length, sectors;
    uint8_t *window;

    cw_arena_measure(&arena);
    cw_recovery_new(super, super->applied_sequence, &arena);
    void *memory = arena_for(&arena, arena.used);
    struct cw_recovery *recovery = cw_recovery_new(super, super->applied_sequence, &arena);
    while (cw_recovery_want(recovery, &offset, &length, &window)) {
        struct cw_record record;
        const uint8_t *payload;
        bool ok = cw_device_read(&site->journal, window, length, offset);
        cw_recovery_feed(recovery, ok);
        while (cw_recovery_record(recovery, &record, &payload, &position, &sectors)) {
            if (is_first)
                cw_group_recover_index(site->group, &record, position, sectors);
            else
                redo(site, &record, payload);
        }
    }
    if (is_first)
        cw_group_recover_report(site->group, cw_recovery_report(recovery));
    free(memory);
}

static void switch_files(struct pair_site *site)
{
    if (site->has_target) {
        struct cw_device old = site->volume;
        site->volume = site->target;
        site->target = old;
    }
    site->has_target = false;
}

static void connect_all(struct pair *p, uint8_t a)
{
    for (uint8_t b = 0; b < p->site_count; b++)
        if (b != a && p->is_linked[a][b] && p->sites[a].is_alive && p->sites[b].is_alive) {
            cw_group_on_peer_up(p->sites[a].group, b, p->now_ns);
            cw_group_on_peer_up(p->sites[b].group, a, p->now_ns);
        }
}

void pair_start(struct pair *p, uint8_t id)
{
    struct pair_site *site = &p->sites[id];
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
    struct cw_superblock super;

    CW_ASSERT(!site->is_alive);
    enum cw_status status = cw_superblock_pick(site->journal.seen, &super, classes);
    CW_ASSERT(status == CW_OK);
    if (cw_group_superblock_wants_switch(&super))
        switch_files(site);
    site->has_target = false;
    group_new(site, &super);
    cw_group_volume_add(site->group, 0, VOLUME_BYTES, 0, false);
    scan(site, &super, true);
    scan(site, &super, false);
    cw_device_sync(&site->volume);
    uint64_t journal_id[2] = {fresh(p), fresh(p)};
    cw_group_start(site->group, journal_id, p->now_ns);
    site->is_alive = true;
    connect_all(p, id);
}

static void format(struct pair_site *site)
{
    uint64_t journal_id[2] = {fresh(site->pair), fresh(site->pair)};
    struct cw_superblock super;
    uint32_t homes[2];
    uint8_t block[CW_SECTOR_SIZE];

    cw_group_format(&super, GROUP, site->id, PAIR_RING_SECTORS, journal_id);
    cw_superblock_encode(&super, block);
    cw_superblock_homes(super.generation, homes);
    for (uint32_t i = 0; i < 2; i++)
        cw_device_write(&site->journal, block, sizeof block, (uint64_t)homes[i] * CW_SECTOR_SIZE);
    cw_device_sync(&site->journal);
}

void pair_init(struct pair *p, uint32_t sites, enum cw_mode mode)
{
    CW_ASSERT(sites <= PAIR_SITES_MAX);
    *p = (struct pair){.site_count = sites, .mode = mode, .now_ns = CW_SECOND, .renews_lease = true};
    p->store.holder = CW_SITES_MAX;
    p->messages_end = &p->messages;
    for (uint8_t a = 0; a < sites; a++) {
        struct pair_site *site = &p->sites[a];
        site->pair = p;
        site->id = a;
        site->boot = fresh(p);
        site->answers_end = &site->answers;
        cw_device_init(&site->journal, (CW_JOURNAL_RING_SECTOR + PAIR_RING_SECTORS) * CW_SECTOR_SIZE);
        cw_device_init(&site->volume, VOLUME_BYTES);
        cw_device_init(&site->target, VOLUME_BYTES);
        for (uint8_t b = 0; b < sites; b++)
            p->is_linked[a][b] = a != b;
        format(site);
        pair_start(p, a);
    }
}

/* ---------------------------------------------------------------- ending */

static void forget_answers(struct pair_site *site)
{
    while (site->answers) {
        struct pair_answer *answer = site->answers;
        site->answers = answer->next;
        free(answer);
    }
    site->answers_end = &site->answers;
}

/* Messages between a and b are lost; the senders that live hear of it. */
static void drop_messages(struct pair *p, uint8_t a, uint8_t b)
{
    struct pair_message **at = &p->messages;

    while (*at) {
        struct pair_message *m = *at;
        if (!((m->from == a && m->to == b) || (m->from == b && m->to == a))) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        if (m->tag && p->sites[m->from].is_alive)
            cw_group_on_sent(p->sites[m->from].group, m->to, m->tag, false);
        free(m);
    }
    p->messages_end = at;
}

static void free_payloads_of(struct pair_site *site)
{
    struct cw_group *g = site->group;

    for (uint32_t i = 0; i < g->held.slot_count; i++) {
        struct cw_handle handle = {.index = i, .generation = g->held.generations[i]};
        const struct cw_held *held = cw_pool_get(&g->held, handle);
        if (held)
            payload_free(site, held->payload.handle);
    }
    for (uint32_t i = 0; i < CW_COUNT_OF(g->target.chunks); i++)
        if (g->target.chunks[i].is_present && g->target.chunks[i].handle)
            payload_free(site, g->target.chunks[i].handle);
    for (uint32_t i = 0; i < CW_APPLY_SLOTS; i++)
        if (g->apply[i].is_used && g->apply[i].is_chunk && g->apply[i].handle)
            payload_free(site, g->apply[i].handle);
}

static bool nothing_lands(void *context, uint32_t write, uint64_t unit)
{
    return false;
}

void pair_kill(struct pair *p, uint8_t id, enum cw_device_crash how)
{
    struct pair_site *site = &p->sites[id];

    site->is_alive = false;
    for (uint8_t b = 0; b < p->site_count; b++) {
        if (b == id)
            continue;
        drop_messages(p, id, b);
        if (p->is_linked[id][b] && p->sites[b].is_alive)
            cw_group_on_peer_down(p->sites[b].group, id, p->now_ns);
    }
    forget_answers(site);
    for (uint64_t action_count = 0; site->group->action_head != site->group->action_tail; action_count++) {
        struct cw_action action;
        if (cw_group_action(site->group, &action) && action.type == CW_ACT_RELEASE)
            payload_free(site, action.handle);
    }
    free_payloads_of(site);
    CW_ASSERT(site->payloads == 0 && "every buffer is the group's or was given back");
    free(site->arena);
    site->arena = NULL;
    cw_device_crash_by(&site->journal, how, nothing_lands, NULL);
    cw_device_crash_by(&site->volume, how, nothing_lands, NULL);
    cw_device_crash_by(&site->target, how, nothing_lands, NULL);
    memset(site->holds, 0, sizeof site->holds);
    memset(site->fails, 0, sizeof site->fails);
    if (how == CW_DEVICE_POWER_FAILS)
        site->boot = fresh(p);
}

void pair_fini(struct pair *p)
{
    for (uint8_t a = 0; a < p->site_count; a++) {
        if (p->sites[a].is_alive)
            pair_kill(p, a, CW_DEVICE_PROCESS_DIES);
        cw_device_fini(&p->sites[a].journal);
        cw_device_fini(&p->sites[a].volume);
        cw_device_fini(&p->sites[a].target);
    }
}

void pair_link(struct pair *p, uint8_t a, uint8_t b, bool is_up)
{
    CW_ASSERT(p->is_linked[a][b] != is_up);
    p->is_linked[a][b] = p->is_linked[b][a] = is_up;
    if (!p->sites[a].is_alive || !p->sites[b].is_alive)
        return;
    if (!is_up) {
        drop_messages(p, a, b);
        cw_group_on_peer_down(p->sites[a].group, b, p->now_ns);
        cw_group_on_peer_down(p->sites[b].group, a, p->now_ns);
        return;
    }
    cw_group_on_peer_up(p->sites[a].group, b, p->now_ns);
    cw_group_on_peer_up(p->sites[b].group, a, p->now_ns);
}

/* ---------------------------------------------------------------- actions */

static void answer_later(struct pair_site *site, enum pair_fact fact, const struct cw_action *action)
{
    struct pair_answer *answer = calloc(1, sizeof *answer);

    CW_ASSERT(answer);
    answer->fact = fact;
    answer->action = *action;
    *site->answers_end = answer;
    site->answers_end = &answer->next;
}

static void send(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    struct pair_message *m = calloc(1, sizeof *m);

    CW_ASSERT(m);
    m->from = site->id;
    m->to = a->peer;
    memcpy(m->head, a->head, a->head_length);
    m->head_length = a->head_length;
    m->body = a->memory;
    m->body_length = a->body_length;
    m->tag = a->token;
    if (!p->is_linked[m->from][m->to] || !p->sites[m->to].is_alive) {
        if (m->tag)
            cw_group_on_sent(site->group, m->to, m->tag, false);
        free(m);
        return;
    }
    *p->messages_end = m;
    p->messages_end = &m->next;
}

static void complete(struct pair *p, const struct cw_action *a)
{
    uint32_t request = (uint32_t)((uintptr_t)a->request - 1);

    CW_ASSERT(request < p->request_count && !p->requests[request].is_done);
    p->requests[request].is_done = true;
    p->requests[request].status = a->status;
}

static void note_event(struct pair_site *site, const struct cw_action *a)
{
    site->events++;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(site->last_event, sizeof site->last_event, a->text, (unsigned long long)a->a,
             (unsigned long long)a->b, (unsigned long long)a->c);
#pragma GCC diagnostic pop
    if (getenv("PAIR_TELL"))
        printf("[%8.3f ms] %c: %s\n", (double)site->pair->now_ns / 1e6, 'A' + site->id, site->last_event);
}

static void act(struct pair_site *site, const struct cw_action *a)
{
    static const int facts[CW_ACT_TYPE_COUNT] = {[CW_ACT_JOURNAL_WRITE] = PAIR_JOURNAL_WRITTEN,
                                                 [CW_ACT_JOURNAL_SYNC] = PAIR_JOURNAL_SYNCED,
                                                 [CW_ACT_JOURNAL_READ] = PAIR_JOURNAL_READ,
                                                 [CW_ACT_SUPER_WRITE] = PAIR_SUPER_WRITTEN,
                                                 [CW_ACT_APPLY] = PAIR_APPLIED,
                                                 [CW_ACT_VOLUMES_SYNC] = PAIR_VOLUMES_SYNCED,
                                                 [CW_ACT_COPY_READ] = PAIR_COPY_READ,
                                                 [CW_ACT_IMAGE] = PAIR_IMAGE,
                                                 [CW_ACT_SALVAGE] = PAIR_SALVAGED,
                                                 [CW_ACT_CLAIM] = PAIR_CLAIMED,
                                                 [CW_ACT_SET] = PAIR_SET};

    switch (a->type) {
    case CW_ACT_SEND:
        send(site, a);
        return;
    case CW_ACT_COMPLETE:
        complete(site->pair, a);
        return;
    case CW_ACT_RELEASE:
        payload_free(site, a->handle);
        return;
    case CW_ACT_EVENT:
        note_event(site, a);
        return;
    default:
        answer_later(site, (enum pair_fact)facts[a->type], a);
    }
}

/* ---------------------------------------------------------------- facts */

static bool write_batch(struct pair_site *site, const struct cw_action *a)
{
    const struct cw_journal_batch *batch = cw_journal_batch(cw_group_journal(site->group), a->slot);

    for (uint32_t i = 0; i < batch->segment_count; i++) {
        const struct cw_journal_segment *s = &batch->segments[i];
        cw_device_complete(&site->journal,
                           cw_device_submit(&site->journal, s->data, s->length, s->offset, batch->is_dsync));
    }
    return true;
}

static void write_super(struct pair_site *site, const struct cw_action *a)
{
    for (uint32_t i = 0; i < 2; i++)
        cw_device_write(&site->journal, a->memory, CW_SECTOR_SIZE, (uint64_t)a->sectors[i] * CW_SECTOR_SIZE);
    cw_device_sync(&site->journal);
}

static void apply(struct pair_site *site, const struct cw_action *a)
{
    struct cw_device *device = a->to_copy ? &site->target : &site->volume;
    uint8_t zeroes[PAIR_BLOCK] = {0};

    CW_ASSERT(!a->to_copy || site->has_target);
    if (a->kind == CW_RECORD_WRITE)
        cw_device_write(device, a->memory, (uint32_t)a->length, a->offset);
    for (uint64_t at = 0; a->kind != CW_RECORD_WRITE && at < a->length; at += PAIR_BLOCK)
        cw_device_write(device, zeroes, PAIR_BLOCK, a->offset + at);
}

static void change_image(struct pair_site *site, const struct cw_action *a)
{
    if (a->kind == CW_IMAGE_SWITCH) {
        switch_files(site);
        site->copies++;
        return;
    }
    site->has_target = a->kind == CW_IMAGE_PREPARE;
    cw_device_fini(&site->target);
    cw_device_init(&site->target, VOLUME_BYTES);
}

static void do_claim(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    bool fits = a->from_epoch == p->store.epoch && a->members_from == p->store.members;

    if (fits && !p->store.is_away) {
        p->store.epoch = a->epoch;
        p->store.reign = a->reign;
        p->store.holder = site->id;
        p->store.members = a->members_to;
        memcpy(p->store.identities, a->identities, sizeof p->store.identities);
    }
    if (p->store.is_stuck)
        return;
    enum cw_claim_result result = p->store.is_away ? CW_CLAIM_AGAIN : fits ? CW_CLAIM_OK : CW_CLAIM_REFUSED;
    cw_group_on_claimed(site->group, result, "the store has another", p->now_ns);
}

static void do_set(struct pair_site *site, const struct cw_action *a)
{
    struct pair *p = site->pair;
    bool is_so = p->store.epoch == a->epoch && p->store.reign == a->reign &&
                 (p->store.members == a->members_to || p->store.members == a->members_from);

    if (is_so && !p->store.is_away) {
        p->store.members = a->members_to;
        memcpy(p->store.identities, a->identities, sizeof p->store.identities);
    }
    if (!p->store.is_stuck)
        cw_group_on_set_changed(site->group, is_so && !p->store.is_away, p->now_ns);
}

static void tell(struct pair_site *site, const struct pair_answer *answer)
{
    const struct cw_action *a = &answer->action;
    struct cw_group *g = site->group;
    enum cw_status status = site->fails[answer->fact];
    bool ok = status == CW_OK;

    switch (answer->fact) {
    case PAIR_JOURNAL_WRITTEN:
        if (ok)
            write_batch(site, a);
        cw_group_on_journal_written(g, a->slot, status);
        return;
    case PAIR_JOURNAL_SYNCED:
        if (ok)
            cw_device_sync(&site->journal);
        cw_group_on_journal_synced(g, status);
        return;
    case PAIR_JOURNAL_READ:
        cw_device_read(&site->journal, a->memory, (uint32_t)a->length, a->offset);
        cw_group_on_journal_read(g, a->token, status);
        return;
    case PAIR_SUPER_WRITTEN:
        if (ok)
            write_super(site, a);
        cw_group_on_super_written(g, status);
        return;
    case PAIR_APPLIED:
        if (ok)
            apply(site, a);
        cw_group_on_applied(g, a->token, status);
        return;
    case PAIR_VOLUMES_SYNCED:
        cw_device_sync(a->to_copy ? &site->target : &site->volume);
        cw_group_on_volumes_synced(g, status);
        return;
    case PAIR_COPY_READ:
        cw_device_read(&site->volume, a->memory, (uint32_t)a->length, a->offset);
        cw_group_on_copy_read(g, a->token, status);
        return;
    case PAIR_IMAGE:
        if (ok)
            change_image(site, a);
        cw_group_on_image(g, status);
        return;
    case PAIR_SALVAGED:
        site->salvages += ok;
        site->salvaged_above = a->sequence;
        cw_group_on_salvaged(g, status);
        return;
    case PAIR_CLAIMED:
        do_claim(site, a);
        return;
    case PAIR_SET:
        do_set(site, a);
        return;
    default:
        CW_ASSERT(!"a fact");
    }
}

/* The answers to what was asked in earlier turns, but for those that are held. */
static bool tell_answers(struct pair_site *site)
{
    struct pair_answer *todo = site->answers;
    bool any = false;

    site->answers = NULL;
    site->answers_end = &site->answers;
    while (todo) {
        struct pair_answer *answer = todo;
        todo = answer->next;
        if (site->holds[answer->fact]) {
            answer->next = NULL;
            *site->answers_end = answer;
            site->answers_end = &answer->next;
            continue;
        }
        any = true;
        tell(site, answer);
        free(answer);
    }
    return any;
}

static void deliver(struct pair *p, struct pair_message *m)
{
    struct pair_site *to = &p->sites[m->to];
    struct cw_message message;
    uint8_t *body = NULL;

    enum cw_message_error error = cw_message_decode(m->head, m->head_length, m->body_length, &message);
    CW_ASSERT(error == CW_MESSAGE_OK);
    if (m->body_length > 0) {
        body = payload_new(to, m->body_length);
        memcpy(body, m->body, m->body_length);
    }
    if (!cw_group_on_message(to->group, &message, body, m->body_length, handle_of(body), p->now_ns) && body)
        payload_free(to, handle_of(body));
    if (m->tag)
        cw_group_on_sent(p->sites[m->from].group, m->to, m->tag, true);
    free(m);
}

static bool deliver_all(struct pair *p)
{
    struct pair_message *todo = p->messages;
    bool any = false;

    p->messages = NULL;
    p->messages_end = &p->messages;
    while (todo) {
        struct pair_message *m = todo;
        todo = m->next;
        m->next = NULL;
        if (p->is_held[m->from][m->to]) {
            *p->messages_end = m;
            p->messages_end = &m->next;
            continue;
        }
        any = true;
        deliver(p, m);
    }
    return any;
}

/* ---------------------------------------------------------------- time */

static void check_site(struct pair_site *site)
{
    struct cw_group *g = site->group;

    CW_ASSERT(g->applied <= g->issued);
    CW_ASSERT(g->logged <= g->head);
    CW_ASSERT(cw_group_durable(g) <= cw_group_written(g));
    CW_ASSERT(cw_history_valid(&g->super.history));
    CW_ASSERT(cw_pool_is_valid(&g->held));
    if (g->target.state != CW_TARGET_MARKING) /* the log in memory is the one that the superblock names */
        CW_ASSERT(memcmp(g->config.identity.journal_id, g->super.journal_id, sizeof g->super.journal_id) ==
                  0);
}

void pair_turn(struct pair *p)
{
    bool any = deliver_all(p);
    uint64_t next_ns = CW_NEVER;

    for (uint8_t a = 0; a < p->site_count; a++) {
        struct pair_site *site = &p->sites[a];
        struct cw_action action;
        if (!site->is_alive)
            continue;
        any |= tell_answers(site);
        if (p->renews_lease && p->store.holder == a)
            cw_group_lease(site->group, p->now_ns + LEASE_NS);
        cw_group_step(site->group, p->now_ns);
        while (cw_group_action(site->group, &action))
            act(site, &action);
        check_site(site);
        next_ns = CW_MIN(next_ns, cw_group_deadline_ns(site->group));
    }
    p->turns++;
    next_ns = any ? p->now_ns + TURN_NS : CW_MIN(next_ns, p->now_ns + CW_SECOND);
    p->now_ns = CW_MAX(next_ns, p->now_ns + TURN_NS);
}

void pair_run(struct pair *p, uint64_t ns)
{
    for (uint64_t end = p->now_ns + ns; p->now_ns < end;)
        pair_turn(p);
}

bool pair_until(struct pair *p, bool (*is_so)(struct pair *pair))
{
    for (uint64_t end = p->now_ns + 60 * CW_SECOND; p->now_ns < end;) {
        if (is_so(p))
            return true;
        pair_turn(p);
    }
    return is_so(p);
}

/* ---------------------------------------------------------------- what stories do */

bool pair_open(struct pair *p, uint8_t id, bool accept_loss)
{
    struct cw_group *g = p->sites[id].group;
    struct cw_open_request open = {.store_epoch = p->store.epoch,
                                   .holder = p->store.holder,
                                   .members = p->store.members,
                                   .reign = fresh(p),
                                   .accept_loss = accept_loss};

    memcpy(open.identities, p->store.identities, sizeof open.identities);
    for (uint32_t tries = 0;; tries++) {
        enum cw_status status = cw_group_open(g, &open, p->now_ns);
        if (status == CW_OK)
            break;
        if (status != CW_AGAIN || tries > 1000)
            return false;
        pair_turn(p);
    }
    for (uint64_t end = p->now_ns + 30 * CW_SECOND; p->now_ns < end && g->role != CW_ROLE_PRIMARY;) {
        pair_turn(p);
        if (g->role <= CW_ROLE_REPLICA)
            return false;
    }
    return g->role == CW_ROLE_PRIMARY;
}

static uint32_t request_new(struct pair *p)
{
    CW_ASSERT(p->request_count < PAIR_REQUESTS_MAX);
    return p->request_count++;
}

static struct cw_block_request *request_handle(uint32_t request)
{
    return (struct cw_block_request *)(uintptr_t)(request + 1);
}

uint32_t pair_write(struct pair *p, uint8_t id, uint32_t block, uint8_t value, bool fua)
{
    struct pair_site *site = &p->sites[id];
    uint32_t request = request_new(p);
    uint8_t *data = payload_new(site, PAIR_BLOCK);
    struct cw_group_write write = {
        .request = request_handle(request),
        .kind = CW_RECORD_WRITE,
        .fua = fua,
        .offset = (uint64_t)block * PAIR_BLOCK,
        .length = PAIR_BLOCK,
        .payload_count = 1,
        .payloads = {{.handle = handle_of(data), .data = data, .length = PAIR_BLOCK}},
    };

    memset(data, value, PAIR_BLOCK);
    enum cw_status status = cw_group_write(site->group, &write, p->now_ns);
    for (uint32_t tries = 0; status == CW_AGAIN && tries < 1000; tries++) {
        pair_turn(p);
        status = cw_group_write(site->group, &write, p->now_ns);
    }
    if (status != CW_OK) {
        payload_free(site, handle_of(data));
        p->requests[request].is_done = true;
        p->requests[request].status = status;
    }
    return request;
}

uint32_t pair_flush(struct pair *p, uint8_t id)
{
    uint32_t request = request_new(p);
    enum cw_status status = cw_group_flush(p->sites[id].group, request_handle(request), p->now_ns);

    CW_ASSERT(status == CW_OK);
    return request;
}

bool pair_is_done(const struct pair *p, uint32_t request)
{
    CW_ASSERT(request < p->request_count);
    return p->requests[request].is_done;
}

uint8_t pair_on_disk(const struct pair *p, uint8_t id, uint32_t block)
{
    return p->sites[id].volume.seen[(uint64_t)block * PAIR_BLOCK];
}

uint8_t pair_read(struct pair *p, uint8_t id, uint32_t block)
{
    struct pair_site *site = &p->sites[id];
    struct cw_group_read read = {.offset = (uint64_t)block * PAIR_BLOCK, .length = PAIR_BLOCK};
    uint8_t bytes[PAIR_BLOCK], *slices[1] = {bytes};

    enum cw_status status = cw_group_read_begin(site->group, &read);
    CW_ASSERT(status == CW_OK);
    cw_device_read(&site->volume, bytes, PAIR_BLOCK, read.offset);
    cw_group_read_end(site->group, &read, slices, 1);
    status = cw_group_read_may_answer(site->group, &read, p->now_ns);
    CW_ASSERT(status == CW_OK);
    return bytes[0];
}

bool pair_is_level(struct pair *p)
{
    uint64_t head = 0;

    for (uint8_t a = 0; a < p->site_count; a++) {
        const struct cw_group *g = p->sites[a].group;
        if (!p->sites[a].is_alive)
            continue;
        head = head ? head : g->head;
        if (g->role != CW_ROLE_PRIMARY && g->follow.state != CW_FOLLOW_STREAMING)
            return false;
        if (g->head != head || g->applied != head || g->target.state != CW_TARGET_NONE)
            return false;
        if (memcmp(p->sites[a].volume.seen, p->sites[0].volume.seen, VOLUME_BYTES) != 0)
            return false;
    }
    return true;
}

struct cw_peer *pair_peer(struct pair *p, uint8_t id, uint8_t peer)
{
    return &p->sites[id].group->peers[peer];
}
