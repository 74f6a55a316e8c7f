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
        .copy_brake_ns = 2 * CW_SECOND,
        .copy_chunk_bytes = site->world->copy_chunk_bytes,
        .commit_interval_ns = 100 * CW_MS,
        .gather_timeout_ns = 2 * CW_SECOND,
        .checkpoint_interval_ns = CW_SECOND,
        .identity = site->identity,
        .log_entries = w->log_entries,
        .payload_bytes_soft = 256 * CW_KIB,
        .lease_ns = w->options.is_story ? 0 : w->lease_ns,
        .peer_grants = (w->peer_grants >> site->id & 1) != 0,
        .is_store_epoch_told = !site->is_store_cut,
        .store_epoch = w->store.epoch,
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

struct found {
    struct cw_record record;
    const uint8_t *payload;
    uint64_t position;
    uint32_t sectors;
};

/* Every record of the journal, in the order of the log. */
static void scan(struct site *site, const struct cw_superblock *super,
                 void (*on_record)(struct site *site, const struct found *found, uint32_t *context),
                 uint32_t *context, struct cw_recovery_report *report)
{
    void *memory;
    struct cw_recovery *recovery = recovery_new(super, &memory);
    uint64_t offset;
    uint32_t length;
    uint8_t *window;
    struct found found;

    while (cw_recovery_want(recovery, &offset, &length, &window)) {
        CW_ASSERT(offset + length <= site->journal.size);
        memcpy(window, site->journal.live + offset, length);
        cw_recovery_feed(recovery, true);
        while (cw_recovery_record(recovery, &found.record, &found.payload, &found.position, &found.sectors)) {
            oracle_seen(site->world, site, &found.record, found.payload);
            on_record(site, &found, context);
        }
    }
    *report = *cw_recovery_report(recovery);
    free(memory);
}

static void note_volume(struct site *site, const struct found *found, uint32_t *volumes)
{
    if (found->record.kind != CW_RECORD_MARKER)
        *volumes |= 1u << found->record.volume;
}

static void index_one(struct site *site, const struct found *found, uint32_t *context)
{
    const struct cw_record *r = &found->record;
    struct truth_entry entry = {r->sequence, r->epoch, r->reign, 0, false};

    cw_group_recover_index(site->group, r, found->position, found->sectors);
    truth_written(site, &entry);
}

static void redo_one(struct site *site, const struct found *found, uint32_t *context)
{
    redo(site, &found->record, found->payload);
}

/* Is there a place for every record? */
static bool has_volumes(struct site *site, const struct cw_superblock *super)
{
    struct cw_recovery_report report;
    uint32_t unknown, found = 0;

    volumes_hear(site);
    unknown = volumes_unknown(site);
    if (unknown)
        scan(site, super, note_volume, &found, &report);
    return volumes_provide(site, unknown & found);
}

static void on_report(struct site *site, const struct cw_superblock *super,
                      const struct cw_recovery_report *report)
{
    struct world *w = site->world;
    bool same_boot = memcmp(super->boot_id, site->identity.boot_id, sizeof super->boot_id) == 0;

    note(w, site, "recovered", report->tip.last_sequence, report->tip.commit, report->is_damaged);
    site->is_journal_tainted |= report->is_damaged && site->is_super_doubtful;
    if (report->is_damaged && !site->is_journal_tainted)
        world_fail(
            w, "site %u: recovery calls the journal damaged (up to %llu, found %llu), but no medium lied",
            site->id, (unsigned long long)report->lost_up_to, (unsigned long long)report->tip.last_sequence);
    if (report->is_written_lost && same_boot && !site->is_journal_tainted)
        world_fail(w, "site %u: records up to %llu were written, and a kill lost them", site->id,
                   (unsigned long long)report->lost_up_to);
    cw_group_recover_report(site->group, report);
}

/* What a killed process left unsynced counts, and must outlive what is put in place now. */
static void sync_journal(struct site *site)
{
#if CW_PLANTED_BUG == 20 /* recovery puts in place what is not durable */
    return;
#endif
    disk_sync_begin(&site->journal);
    disk_sync_end(&site->journal);
    site->truth_durable_serial = site->truth_serial;
}

static void recover_from(struct site *site, const struct cw_superblock *super)
{
    struct cw_recovery_report report;

    scan(site, super, index_one, NULL, &report);
    on_report(site, super, &report);
    sync_journal(site);
    scan(site, super, redo_one, NULL, &report);
    for (uint32_t v = 0; v < site->world->volume_count; v++) {
        disk_sync_begin(&site->volumes[v]);
        disk_sync_end(&site->volumes[v]);
    }
}

enum recovery site_recover(struct site *site)
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
        return RECOVERY_FAILED;
    }
    if (!has_volumes(site, &super))
        return RECOVERY_WAITS;
    media_super_picked(site, &super);
    if (cw_group_superblock_wants_switch(&super)) {
        note(w, site, "switch at start", super.copy_id, 0, 0);
        site_image_switch(site);
    } else if (!site->is_device) {
        for (uint32_t v = 0; v < site->world->volume_count; v++)
            site->target_exists[v] = false;
    }
    site->group = group_new(site, &super);
    volumes_tell(site);
    free(site->truth);
    site->truth = NULL;
    site->truth_capacity = 0;
    recover_from(site, &super);
    uint64_t journal_id[2] = {cw_rng_next(&w->rng), cw_rng_next(&w->rng)};
    cw_group_start(site->group, journal_id, site_clock(site, w->now_ns));
    return w->failed ? RECOVERY_FAILED : RECOVERY_DONE;
}
