/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting a process on what its disks hold, in the order that group.h gives: superblock, files of a copy,
 * two scans of the journal, redo in place, sync, start. What the scan finds is also the truth about what this
 * journal holds from now on.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define ARENA_SLACK (64u * 1024u)

static struct cw_recovery *recovery_new(const struct cw_superblock *super, void **memory)
{
    struct cw_arena arena;
    uint64_t floor = super->applied_sequence;

    cw_arena_measure(&arena);
    cw_recovery_new(super, floor, &arena);
    size_t size = cw_round_up(arena.used + 1, 4096);
    *memory = aligned_alloc(4096, size);
    CW_ASSERT(*memory != NULL);
    cw_arena_init(&arena, *memory, size);
    return cw_recovery_new(super, floor, &arena);
}

static struct cw_group *group_new(struct site *site, const struct cw_superblock *super)
{
    struct world *w = site->world;
    struct cw_group_config config = {
        .group = SIM_GROUP,
        .self = site->id,
        .sites = (uint8_t)((1u << w->site_count) - 1),
        .mode = w->mode,
        .min_in_sync = w->min_in_sync,
        .replica_timeout_ns = 5 * CW_SECOND,
        .commit_interval_ns = 100 * CW_MS,
        .gather_timeout_ns = 2 * CW_SECOND,
        .checkpoint_interval_ns = CW_SECOND,
        .identity = site->identity,
        .log_entries = w->log_entries,
        .payload_bytes_soft = 256 * CW_KIB,
    };
    struct cw_arena arena;

    cw_arena_measure(&arena);
    cw_group_new(&config, super, &arena);
    size_t size = cw_round_up(arena.used + ARENA_SLACK, 4096);
    site->arena_memory = aligned_alloc(4096, size);
    CW_ASSERT(site->arena_memory != NULL);
    cw_arena_init(&arena, site->arena_memory, size);
    struct cw_group *group = cw_group_new(&config, super, &arena);
    cw_arena_seal(&arena);
    return group;
}

static void redo(struct site *site, const struct cw_record *record, const uint8_t *payload)
{
    switch (cw_group_recover_redo(site->group, record)) {
    case CW_REDO_SKIP:
        break;
    case CW_REDO_APPLY:
        note(site->world, site, "redo", record->sequence, record->epoch, 0);
        if (record->kind != CW_RECORD_MARKER)
            disk_write(site_image(site, record->volume, false), record->offset,
                       record->kind == CW_RECORD_WRITE ? payload : NULL, record->length);
        break;
    case CW_REDO_KEEP: {
        struct cw_payload kept = {.length = cw_record_payload_length(record)};
        if (kept.length) {
            kept.handle = site_payload_take(site, kept.length, &kept.data);
            memcpy(kept.data, payload, kept.length);
        }
        note(site->world, site, "keep", record->sequence, record->epoch, 0);
        cw_group_recover_keep(site->group, record, kept.length ? &kept : NULL);
        break;
    }
    }
}

static void scan(struct site *site, const struct cw_superblock *super, bool is_first)
{
    void *memory;
    struct cw_recovery *recovery = recovery_new(super, &memory);
    uint64_t offset, position;
    uint32_t length, sectors;
    uint8_t *window;

    while (cw_recovery_want(recovery, &offset, &length, &window)) {
        struct cw_record record;
        const uint8_t *payload;
        CW_ASSERT(offset + length <= site->journal.size);
        memcpy(window, site->journal.live + offset, length);
        cw_recovery_feed(recovery, true);
        while (cw_recovery_record(recovery, &record, &payload, &position, &sectors)) {
            oracle_seen(site->world, site, &record, payload);
            if (is_first) {
                cw_group_recover_index(site->group, &record, position, sectors);
                struct truth_entry entry = {record.sequence, record.epoch, record.reign, 0, false};
                truth_written(site, &entry);
            } else {
                redo(site, &record, payload);
            }
        }
    }
    const struct cw_recovery_report *report = cw_recovery_report(recovery);
    if (is_first) {
        note(site->world, site, "recovered", report->tip.last_sequence, report->tip.commit,
             report->is_damaged);
        site->is_journal_tainted |= report->is_damaged && site->is_super_doubtful;
        if (report->is_damaged && !site->is_journal_tainted)
            world_fail(
                site->world,
                "site %u: recovery calls the journal damaged (up to %llu, found %llu), but no medium lied",
                site->id, (unsigned long long)report->lost_up_to,
                (unsigned long long)report->tip.last_sequence);
        bool same_boot = memcmp(super->boot_id, site->identity.boot_id, sizeof super->boot_id) == 0;
        if (report->is_written_lost && same_boot && !site->is_journal_tainted)
            world_fail(site->world, "site %u: records up to %llu were written, and a kill lost them",
                       site->id, (unsigned long long)report->lost_up_to);
        cw_group_recover_report(site->group, report);
    }
    free(memory);
}

bool site_recover(struct site *site)
{
    struct world *w = site->world;
    struct cw_superblock super;
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
    enum cw_status status = cw_superblock_pick(site->journal.live, &super, classes);

    if (status != CW_OK && site->is_journal_tainted) {
        media_replace(site);
        status = cw_superblock_pick(site->journal.live, &super, classes);
    }
    if (status != CW_OK) {
        world_fail(w, "site %u: no superblock can be read: %s", site->id, cw_status_name(status));
        return false;
    }
    media_super_picked(site, &super);
    if (cw_group_superblock_wants_switch(&super)) {
        note(w, site, "switch at start", super.copy_id, 0, 0);
        site_image_switch(site);
    } else if (!site->is_device) {
        for (uint32_t v = 0; v < site->world->volume_count; v++)
            site->target_exists[v] = false;
    }
    site->group = group_new(site, &super);
    for (uint16_t v = 0; v < site->world->volume_count; v++)
        cw_group_volume_add(site->group, v, w->volume_blocks[v] * SIM_BLOCK, 0, site->is_device);
    free(site->truth);
    site->truth = NULL;
    site->truth_capacity = 0;
    scan(site, &super, true);
    disk_sync_begin(&site->journal);
    disk_sync_end(&site->journal);
    site->truth_durable_serial = site->truth_serial;
    scan(site, &super, false);
    for (uint32_t v = 0; v < site->world->volume_count; v++) {
        disk_sync_begin(&site->volumes[v]);
        disk_sync_end(&site->volumes[v]);
    }
    uint64_t journal_id[2] = {cw_rng_next(&w->rng), cw_rng_next(&w->rng)};
    cw_group_start(site->group, journal_id, site_clock(site, w->now_ns));
    return !w->failed;
}
