/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See pair.h. Here: sites that are made, start, die and are linked. pair_turn.c carries out what groups ask
 * for and delivers; pair_story.c is what stories do and look at.
 */
#include "pair_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

uint64_t pair_fresh(struct pair *p)
{
    p->random++;
    return cw_hash64(&p->random, sizeof p->random) | 1;
}

/* ---------------------------------------------------------------- payloads */

uint8_t *pair_payload_new(struct pair_site *site, uint32_t length)
{
    uint8_t *data = aligned_alloc(PAIR_BLOCK, cw_round_up(length, PAIR_BLOCK));

    CW_ASSERT(data);
    site->payloads++;
    return data;
}

void pair_payload_free(struct pair_site *site, uint64_t handle)
{
    CW_ASSERT(site->payloads > 0);
    site->payloads--;
    free((void *)(uintptr_t)handle);
}

uint64_t pair_handle_of(const uint8_t *data)
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
        .copy_brake_ns = 2 * CW_SECOND,
        .copy_chunk_bytes = PAIR_COPY_CHUNK,
        .commit_interval_ns = 100 * CW_MS,
        .gather_timeout_ns = 2 * CW_SECOND,
        .checkpoint_interval_ns = CW_SECOND,
        .identity = {.boot_id = {site->boot, site->id + 1}, .process_start = pair_fresh(p)},
        .log_entries = p->log_entries,
        .payload_bytes_soft = 256 * CW_KIB,
        .lease_ns = p->lease_ns,
        .peer_grants = p->peer_grants,
        .is_store_epoch_told = p->tells_store_epoch,
        .store_epoch = p->store.epoch,
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
        if (record->kind != CW_RECORD_WRITE || record->offset + length > VOLUME_BYTES)
            return; /* of a hostile peer: the engine refuses to start such a group */
        cw_device_write(&site->volume, payload, length, record->offset);
        return;
    case CW_REDO_KEEP:
        if (length > 0) {
            kept.data = pair_payload_new(site, length);
            kept.handle = pair_handle_of(kept.data);
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
    if (is_first) {
        site->report = *cw_recovery_report(recovery);
        cw_group_recover_report(site->group, &site->report);
    }
    free(memory);
}

void pair_switch_files(struct pair_site *site)
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
        pair_switch_files(site);
    site->has_target = false;
    group_new(site, &super);
    cw_group_volume_add(site->group, 0, VOLUME_BYTES, 0, false);
    scan(site, &super, true);
    scan(site, &super, false);
    cw_device_sync(&site->volume);
    uint64_t journal_id[2] = {pair_fresh(p), pair_fresh(p)};
    cw_group_start(site->group, journal_id, p->now_ns);
    site->is_alive = true;
    connect_all(p, id);
}

static void format(struct pair_site *site)
{
    uint64_t journal_id[2] = {pair_fresh(site->pair), pair_fresh(site->pair)};
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

static void init(struct pair *p, uint32_t sites, enum cw_mode mode, uint64_t lease_ns, bool peer_grants)
{
    CW_ASSERT(sites <= PAIR_SITES_MAX);
    *p = (struct pair){.site_count = sites,
                       .mode = mode,
                       .now_ns = CW_SECOND,
                       .log_entries = PAIR_LOG_ENTRIES,
                       .renews_lease = true,
                       .lease_ns = lease_ns,
                       .peer_grants = peer_grants,
                       .tells_store_epoch = lease_ns > 0};
    p->store.holder = CW_SITES_MAX;
    p->messages_end = &p->messages;
    for (uint8_t a = 0; a < sites; a++) {
        struct pair_site *site = &p->sites[a];
        site->pair = p;
        site->id = a;
        site->boot = pair_fresh(p);
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

void pair_init(struct pair *p, uint32_t sites, enum cw_mode mode)
{
    init(p, sites, mode, 0, false);
}

void pair_init_granting(struct pair *p, uint32_t sites, enum cw_mode mode, bool peer_grants)
{
    init(p, sites, mode, LEASE_NS, peer_grants);
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
            pair_payload_free(site, held->payload.handle);
    }
    for (uint32_t i = 0; i < CW_COUNT_OF(g->target.chunks); i++)
        if (g->target.chunks[i].is_present && g->target.chunks[i].handle)
            pair_payload_free(site, g->target.chunks[i].handle);
    for (uint32_t i = 0; i < CW_APPLY_SLOTS; i++)
        if (g->apply[i].is_used && g->apply[i].is_chunk && g->apply[i].handle)
            pair_payload_free(site, g->apply[i].handle);
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
            pair_payload_free(site, action.handle);
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
        site->boot = pair_fresh(p);
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
