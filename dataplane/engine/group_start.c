/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/group_start.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"

#define SUPERBLOCK_BYTES (CW_JOURNAL_RING_SECTOR * CW_SECTOR_SIZE)
#define ZERO_CHUNK       (1u << 20)

/* ---------------------------------------------------------------- the journal */

static void random_id(uint64_t id[2])
{
    ssize_t got = getrandom(id, 16, 0);
    CW_ASSERT(got == 16);
}

static enum cw_status write_superblock(struct cw_setup *setup)
{
    const struct cw_disk_file *journal = &setup->group->journal;
    uint32_t homes[2];
    uint8_t *block = aligned_alloc(4096, CW_SECTOR_SIZE);
    enum cw_status status = block != NULL ? CW_OK : CW_NO_SPACE;
    if (block == NULL)
        return status;
    cw_superblock_encode(&setup->superblock, block);
    cw_superblock_homes(setup->superblock.generation, homes);
    for (unsigned i = 0; i < 2 && status == CW_OK; i++)
        status = cw_disk_pwrite(journal, block, CW_SECTOR_SIZE, (uint64_t)homes[i] * CW_SECTOR_SIZE);
    free(block);
    return status == CW_OK ? cw_disk_sync(journal) : status;
}

static enum cw_status format(struct cw_setup *setup, char *why, size_t why_size)
{
    struct cw_store_group *group = setup->group;
    uint64_t journal_id[2];
    uint64_t ring_sectors = group->journal.size / CW_SECTOR_SIZE - CW_JOURNAL_RING_SECTOR;
    random_id(journal_id);
    cw_group_format(&setup->superblock, group->id, setup->engine->config.site_id, ring_sectors, journal_id);
    setup->is_fresh = true;
    enum cw_status status = write_superblock(setup);
    if (status != CW_OK)
        snprintf(why, why_size, "the superblock of journal %s cannot be written: %s", group->journal.path,
                 cw_status_name(status));
    return status;
}

static bool all_are(const enum cw_sector_class classes[CW_SUPERBLOCK_COPIES], enum cw_sector_class one)
{
    for (unsigned i = 0; i < CW_SUPERBLOCK_COPIES; i++) {
        if (classes[i] != one)
            return false;
    }
    return true;
}

static enum cw_status check_owner(const struct cw_setup *setup, char *why, size_t why_size)
{
    const struct cw_superblock *s = &setup->superblock;
    const char *path = setup->group->journal.path;
    uint64_t sectors = setup->group->journal.size / CW_SECTOR_SIZE;
    if (s->group != setup->group->id || s->site != setup->engine->config.site_id) {
        snprintf(why, why_size,
                 "%s is the journal of group %u at site %u, not of group %u at site %u: give the right path",
                 path, s->group, s->site, setup->group->id, setup->engine->config.site_id);
        return CW_REFUSED;
    }
    if (s->ring_sectors + CW_JOURNAL_RING_SECTOR > sectors || s->ring_sectors < CW_JOURNAL_RING_SECTORS_MIN) {
        snprintf(why, why_size,
                 "%s was made with %" PRIu64 " sectors and has %" PRIu64 " now: it was cut short", path,
                 s->ring_sectors + CW_JOURNAL_RING_SECTOR, sectors);
        return CW_CORRUPT;
    }
    return CW_OK;
}

static enum cw_status pick_superblock(struct cw_setup *setup, bool create, char *why, size_t why_size)
{
    enum cw_sector_class classes[CW_SUPERBLOCK_COPIES];
    const char *path = setup->group->journal.path;
    uint8_t *sectors = aligned_alloc(4096, SUPERBLOCK_BYTES);
    if (sectors == NULL)
        return CW_NO_SPACE;
    enum cw_status status = cw_disk_pread(&setup->group->journal, sectors, SUPERBLOCK_BYTES, 0);
    if (status == CW_OK)
        status = cw_superblock_pick(sectors, &setup->superblock, classes);
    else
        snprintf(why, why_size, "journal %s cannot be read", path);
    free(sectors);
    if (status == CW_NOT_FOUND && create && all_are(classes, CW_SECTOR_EMPTY))
        return format(setup, why, why_size); /* created, and stopped before its first superblock */
    if (status == CW_NOT_FOUND)
        snprintf(why, why_size, "%s is not a journal of ours: give the right path, or create it", path);
    else if (status == CW_CORRUPT)
        snprintf(why, why_size,
                 "%s was a journal, but all superblocks are damaged: move it away, create it anew, and this "
                 "site is copied in full",
                 path);
    else if (status == CW_OK && create) {
        snprintf(why, why_size, "a journal stands at %s already: attach without create, or delete it first",
                 path);
        status = CW_EXISTS;
    }
    return status == CW_OK ? check_owner(setup, why, why_size) : status;
}

static enum cw_status create_journal(const char *path, uint64_t size, char *why, size_t why_size)
{
    uint64_t least = (CW_JOURNAL_RING_SECTORS_MIN + CW_JOURNAL_RING_SECTOR) * CW_SECTOR_SIZE;
    if (size < least || size % CW_SECTOR_SIZE != 0) {
        snprintf(why, why_size,
                 "a journal has at least %" PRIu64 " bytes, a multiple of %u: %" PRIu64 " was asked", least,
                 CW_SECTOR_SIZE, size);
        return CW_INVALID;
    }
    enum cw_status status = cw_disk_create(path, size, CW_DISK_WRITE_THROUGH, NULL, NULL, why, why_size);
    return status == CW_EXISTS ? CW_OK : status; /* pick_superblock tells what stands there */
}

static uint64_t volumes_of(const struct cw_superblock *superblock)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < superblock->volume_count; i++)
        bits |= 1ull << superblock->volumes[i].volume;
    return bits;
}

enum cw_status cw_setup_journal(struct cw_setup *setup, const char *path, uint64_t size, bool create,
                                char *why, size_t why_size)
{
    struct cw_store_group *group = setup->group;
    enum cw_status status = create ? create_journal(path, size, why, why_size) : CW_OK;
    if (status != CW_OK)
        return status;
    status = cw_disk_open(&group->journal, path, why, why_size);
    if (status != CW_OK)
        return status;
    status = pick_superblock(setup, create, why, why_size);
    if (status != CW_OK) {
        cw_disk_close(&group->journal);
        return status;
    }
    group->journal.fault = &group->journal_fault;
    setup->config.identity.journal_id[0] = setup->superblock.journal_id[0];
    setup->config.identity.journal_id[1] = setup->superblock.journal_id[1];
    setup->missing = volumes_of(&setup->superblock) & ~setup->removed;
    return CW_OK;
}

/* ---------------------------------------------------------------- volumes */

static enum cw_status check_volume(const struct cw_disk_file *file, const struct cw_volume_params *params,
                                   char *why, size_t why_size)
{
    bool fits = file->is_device ? file->size >= params->size : file->size == params->size;
    if (fits)
        return CW_OK;
    snprintf(why, why_size, "%s has %" PRIu64 " bytes, the volume %" PRIu64, file->path, file->size,
             params->size);
    return CW_INVALID;
}

static void fill_block(struct cw_store_volume *volume, const char *group_name,
                       const struct cw_volume_params *params)
{
    volume->block = (struct cw_block_volume){.size = params->size,
                                             .block_size = params->block_size,
                                             .index = params->index,
                                             .ops = &cw_store_block_ops,
                                             .engine = volume};
    snprintf(volume->block.group, sizeof volume->block.group, "%s", group_name);
    snprintf(volume->block.name, sizeof volume->block.name, "%s", params->name);
}

enum cw_status cw_setup_volume(struct cw_store_volume *volume, const char *group_name,
                               const struct cw_volume_params *params, char *why, size_t why_size)
{
    enum cw_disk_fill fill = params->is_thin ? CW_DISK_THIN : CW_DISK_RESERVE;
    enum cw_status status = CW_OK;
    memset(volume, 0, sizeof *volume);
    if (params->create)
        status = cw_disk_create(params->path, params->size, fill, NULL, NULL, why, why_size);
    if (status == CW_OK)
        status = cw_disk_open(&volume->file, params->path, why, why_size);
    if (status != CW_OK)
        return status;
    status = check_volume(&volume->file, params, why, why_size);
    if (status != CW_OK) {
        cw_disk_close(&volume->file);
        return status;
    }
    volume->index = params->index;
    volume->is_thin = params->is_thin;
    volume->size = params->size;
    volume->base = params->base;
    snprintf(volume->socket, sizeof volume->socket, "%s", params->socket);
    fill_block(volume, group_name, params);
    volume->file.fault = &volume->fault;
    volume->is_used = true;
    return CW_OK;
}

void cw_setup_volume_close(struct cw_store_volume *volume)
{
    if (!volume->is_used)
        return;
    cw_disk_close(&volume->file);
    if (volume->has_copy)
        cw_disk_close(&volume->copy);
    volume->is_used = false;
}

/* ---------------------------------------------------------------- scanning */

static struct cw_recovery *recovery_make(const struct cw_superblock *superblock, void **memory)
{
    /* What the superblock itself proves was written: what is in place was in the log before. */
    uint64_t floor_sequence = superblock->applied_sequence;
    struct cw_arena arena;
    cw_arena_measure(&arena);
    (void)cw_recovery_new(superblock, floor_sequence, &arena);
    size_t size = cw_round_up(arena.used, 4096);
    *memory = aligned_alloc(4096, size);
    if (*memory == NULL)
        return NULL;
    cw_arena_init(&arena, *memory, size);
    return cw_recovery_new(superblock, floor_sequence, &arena);
}

enum cw_status cw_scan_journal(const struct cw_disk_file *journal, const struct cw_superblock *superblock,
                               cw_scan_record *on_record, void *context, struct cw_recovery_report *report)
{
    void *memory = NULL;
    struct cw_recovery *recovery = recovery_make(superblock, &memory);
    if (recovery == NULL)
        return CW_NO_SPACE;
    enum cw_status status = CW_OK;
    uint64_t offset, position;
    uint32_t length, sectors;
    uint8_t *window;
    while (status == CW_OK && cw_recovery_want(recovery, &offset, &length, &window)) {
        cw_recovery_feed(recovery, cw_disk_pread(journal, window, length, offset) == CW_OK);
        struct cw_record record;
        const uint8_t *payload;
        while (status == CW_OK && cw_recovery_record(recovery, &record, &payload, &position, &sectors))
            status = on_record(context, &record, payload, position, sectors);
    }
    if (report != NULL)
        *report = *cw_recovery_report(recovery);
    free(memory);
    return status;
}

/* ---------------------------------------------------------------- redo */

static enum cw_status index_record(void *context, const struct cw_record *record, const uint8_t *payload,
                                   uint64_t position, uint32_t sectors)
{
    struct cw_setup *setup = context;
    cw_group_recover_index(setup->group->group, record, position, sectors);
    return CW_OK;
}

static enum cw_status zero_extent(const struct cw_disk_file *file, uint64_t offset, uint64_t length)
{
    static const _Alignas(4096) uint8_t zeroes[ZERO_CHUNK];
    enum cw_status status = CW_OK;
    for (uint64_t done = 0; done < length && status == CW_OK;) {
        uint64_t piece = CW_MIN(length - done, ZERO_CHUNK);
        status = cw_disk_pwrite(file, zeroes, piece, offset + done);
        done += piece;
    }
    return status;
}

static enum cw_status redo_apply(struct cw_setup *setup, const struct cw_record *record,
                                 const uint8_t *payload)
{
    const struct cw_store_volume *volume = &setup->group->volumes[record->volume];
    const struct cw_disk_file *file = volume->has_copy ? &volume->copy : &volume->file;
    setup->records_applied++;
    if (record->offset + record->length > volume->size)
        return CW_RANGE;
    enum cw_status status = record->kind == CW_RECORD_WRITE
                                ? cw_disk_pwrite(file, payload, record->length, record->offset)
                                : zero_extent(file, record->offset, record->length);
    if (status != CW_OK)
        setup->failed_path = file->path;
    return status;
}

static enum cw_status redo_keep(struct cw_setup *setup, const struct cw_record *record,
                                const uint8_t *payload)
{
    struct cw_store_group *group = setup->group;
    struct cw_payload kept = {.length = cw_record_payload_length(record)};
    setup->records_kept++;
    if (kept.length > 0) {
        CW_ASSERT(group->recovered_count < CW_LOG_ENTRIES);
        kept.data = aligned_alloc(4096, cw_round_up(kept.length, 4096));
        if (kept.data == NULL)
            return CW_NO_SPACE;
        memcpy(kept.data, payload, kept.length);
        uint32_t slot = group->recovered_count++;
        group->recovered[slot] = kept.data;
        group->recovered_live++;
        kept.handle =
            cw_payload_handle((struct cw_handle){.index = slot, .generation = 1}, CW_HANDLE_RECOVERED);
    }
    cw_group_recover_keep(group->group, record, kept.length > 0 ? &kept : NULL);
    return CW_OK;
}

static enum cw_status redo_record(void *context, const struct cw_record *record, const uint8_t *payload,
                                  uint64_t position, uint32_t sectors)
{
    struct cw_setup *setup = context;
    enum cw_redo redo = cw_group_recover_redo(setup->group->group, record);
    if (redo == CW_REDO_SKIP)
        return CW_OK;
    bool is_removed = setup->removed & 1ull << record->volume;
    if (record->kind != CW_RECORD_MARKER && !is_removed && !setup->group->volumes[record->volume].is_used) {
        setup->missing |= 1ull << record->volume;
        return CW_NOT_FOUND;
    }
    if (redo == CW_REDO_KEEP)
        return redo_keep(setup, record, payload);
    return record->kind == CW_RECORD_MARKER ? CW_OK : redo_apply(setup, record, payload);
}

static enum cw_status sync_volumes(const struct cw_store_group *group)
{
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        const struct cw_store_volume *volume = &group->volumes[i];
        if (volume->is_used && cw_disk_sync(volume->has_copy ? &volume->copy : &volume->file) != CW_OK)
            return CW_IO;
    }
    return CW_OK;
}

static enum cw_status recover(struct cw_setup *setup, char *why, size_t why_size)
{
    struct cw_store_group *group = setup->group;
    struct cw_recovery_report report;
    enum cw_status status =
        cw_scan_journal(&group->journal, &setup->superblock, index_record, setup, &report);
    if (status == CW_OK) {
        cw_group_recover_report(group->group, &report);
        /* A process that was killed left writes in a cache: what is put in place now must outlive them. */
        status = cw_disk_sync(&group->journal);
    }
    if (status == CW_OK)
        status = cw_scan_journal(&group->journal, &setup->superblock, redo_record, setup, NULL);
    if (status == CW_OK)
        status = sync_volumes(group);
    if (status == CW_OK)
        return CW_OK;
    if (status == CW_NOT_FOUND)
        snprintf(why, why_size, "the journal holds writes for a volume that is not attached");
    else if (setup->failed_path)
        snprintf(why, why_size, "%s: a record of the journal cannot be put in place: %s", setup->failed_path,
                 status == CW_NO_SPACE ? "its device is full; free space, it is tried again"
                                       : cw_status_name(status));
    else
        snprintf(why, why_size, "recovery of journal %s: %s", group->journal.path, cw_status_name(status));
    return status;
}

/* ---------------------------------------------------------------- starting */

static enum cw_status make_group(struct cw_setup *setup)
{
    struct cw_store_group *group = setup->group;
    struct cw_arena arena;
    cw_arena_measure(&arena);
    (void)cw_group_new(&setup->config, &setup->superblock, &arena);
    group->memory_size = cw_round_up(arena.used, 4096);
    group->memory = aligned_alloc(4096, group->memory_size);
    if (group->memory == NULL)
        return CW_NO_SPACE;
    cw_arena_init(&arena, group->memory, group->memory_size);
    group->group = cw_group_new(&setup->config, &setup->superblock, &arena);
    cw_arena_seal(&arena);
    return CW_OK;
}

static void free_recovered(struct cw_store_group *group)
{
    for (uint32_t i = 0; i < group->recovered_count; i++)
        free(group->recovered[i]);
    group->recovered_count = group->recovered_live = 0;
}

static void unmake_group(struct cw_store_group *group)
{
    free_recovered(group);
    free(group->memory);
    group->memory = NULL;
    group->group = NULL;
}

/* One that is attached is none that was removed: it is detached first. */
static void name_volumes(const struct cw_setup *setup)
{
    struct cw_store_group *group = setup->group;
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++) {
        const struct cw_store_volume *volume = &group->volumes[i];
        if (volume->is_used)
            cw_group_volume_add(group->group, volume->index, volume->size, volume->base,
                                volume->file.is_device);
        else if (setup->removed & 1ull << i)
            cw_group_volume_remove(group->group, (uint16_t)i);
    }
}

enum cw_status cw_setup_start(struct cw_setup *setup, char *why, size_t why_size)
{
    struct cw_store_group *group = setup->group;
    uint64_t new_journal_id[2];
    setup->records_applied = setup->records_kept = 0;
    setup->failed_path = NULL;
    enum cw_status status = cw_image_settle(group, &setup->superblock, why, why_size);
    if (status != CW_OK)
        return status;
    status = make_group(setup);
    if (status != CW_OK) {
        snprintf(why, why_size, "no memory for the group");
        return status;
    }
    name_volumes(setup);
    status = recover(setup, why, why_size);
    if (status != CW_OK) {
        unmake_group(group);
        return status;
    }
    random_id(new_journal_id);
    cw_group_start(group->group, new_journal_id, cw_clock_now_ns());
    return CW_OK;
}

void cw_setup_group_free(struct cw_store_group *group)
{
    for (unsigned i = 0; i < CW_VOLUMES_PER_GROUP_MAX; i++)
        cw_setup_volume_close(&group->volumes[i]);
    cw_disk_close(&group->journal);
    unmake_group(group);
    free(group->recovered);
    free(group);
}
