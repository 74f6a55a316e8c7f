/* SPDX-License-Identifier: BSD-3-Clause */
/* See log.h. Asserts instead of cmocka, so that the fuzzers and the simulator can use it too. */
#include "log.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"

void log_make_payload(uint64_t epoch, uint64_t sequence, uint8_t *payload, uint32_t length)
{
    struct cw_rng rng = {epoch * 1000003 + sequence};

    for (uint32_t i = 0; i < length; i += 8)
        cw_store64le(payload + i, cw_rng_next(&rng));
}

struct cw_record log_make_record(uint64_t epoch, uint64_t sequence, uint8_t kind, uint32_t length,
                                 uint8_t *payload)
{
    struct cw_record record = {.kind = kind,
                               .volume = (uint16_t)(sequence % 3),
                               .length = kind == CW_RECORD_MARKER ? 0 : length,
                               .sequence = sequence,
                               .epoch = epoch,
                               .reign = epoch * 77,
                               .offset = kind == CW_RECORD_MARKER ? 0 : sequence * 512,
                               .time_ns = sequence * 1000,
                               .group = LOG_GROUP};

    if (kind == CW_RECORD_WRITE) {
        log_make_payload(epoch, sequence, payload, length);
        record.payload_hash = cw_hash64(payload, length);
    }
    return record;
}

void log_init(struct log *log, uint64_t ring_sectors)
{
    *log = (struct log){.epoch = 1, .next_sequence = 1};
    log->superblock = (struct cw_superblock){.generation = 1,
                                             .journal_id = {0x1122334455667788, 0x99aabbccddeeff00},
                                             .group = LOG_GROUP,
                                             .ring_sectors = ring_sectors,
                                             .image_state = CW_IMAGE_WHOLE};
    cw_device_init(&log->device, (CW_JOURNAL_RING_SECTOR + ring_sectors) * CW_SECTOR_SIZE);
}

void log_fini(struct log *log)
{
    log_stop(log);
    cw_device_fini(&log->device);
}

static void free_payloads(struct log *log)
{
    for (uint32_t i = 0; i < log->payload_count; i++)
        free(log->payloads[i]);
    log->payload_count = 0;
}

void log_stop(struct log *log)
{
    free_payloads(log);
    free(log->memory);
    log->memory = NULL;
    log->journal = NULL;
}

static void *take_memory(struct cw_arena *arena, size_t size)
{
    void *memory = aligned_alloc(4096, cw_round_up(size, 4096));

    CW_ASSERT(memory);
    memset(memory, 0xa5, size);
    cw_arena_init(arena, memory, size);
    return memory;
}

void log_start(struct log *log, const struct log_found *found)
{
    struct cw_journal_config config = {
        .ring_sectors = log->superblock.ring_sectors,
        .journal_id = {log->superblock.journal_id[0], log->superblock.journal_id[1]},
        .group = LOG_GROUP,
        .batch_slots = LOG_SLOTS};
    struct cw_journal_tip fresh = {0};
    struct cw_arena arena;

    cw_arena_measure(&arena);
    CW_ASSERT(cw_journal_new(&config, &arena) == NULL);
    log->memory = take_memory(&arena, arena.used);
    log->journal = cw_journal_new(&config, &arena);
    cw_journal_start(log->journal, found ? &found->report.tip : &fresh);
    for (uint32_t i = 0; found && i < found->count; i++)
        cw_journal_index_add(log->journal, found->positions[i], found->sectors[i], found->sequences[i],
                             found->sequences[i]);
    log->superblock.start_position = found ? found->report.tip.head_position : 0;
    log->superblock.start_number = found ? found->report.tip.next_number : 0;
    log->next_sequence = (found ? found->report.tip.last_sequence : 0) + 1;
}

bool log_add(struct log *log, uint8_t kind, uint32_t length)
{
    uint32_t size = kind == CW_RECORD_WRITE ? length : 0;
    uint8_t *payload = size ? aligned_alloc(4096, cw_round_up(size, 4096)) : NULL;
    struct cw_record record = log_make_record(log->epoch, log->next_sequence, kind, length, payload);

    if (!cw_journal_add(log->journal, &record, payload)) {
        free(payload);
        return false;
    }
    log->next_sequence++;
    if (size > 0 && size <= CW_BATCH_COPY_MAX) { /* it was copied: let any other use show */
        memset(payload, 0xee, size);
        free(payload);
    } else if (size > 0) {
        CW_ASSERT(log->payload_count < CW_COUNT_OF(log->payloads));
        log->payloads[log->payload_count++] = payload;
    }
    return true;
}

uint32_t log_submit(struct log *log, uint64_t commit, bool dsync)
{
    const struct cw_journal_batch *batch = cw_journal_close(log->journal, commit, dsync);

    for (uint32_t i = 0; i < batch->segment_count; i++) {
        const struct cw_journal_segment *segment = &batch->segments[i];

        CW_ASSERT(segment->length % 4096 == 0 && segment->offset % 4096 == 0);
        CW_ASSERT((uintptr_t)segment->data % 4096 == 0);
        log->writes[batch->slot][i] =
            cw_device_submit(&log->device, segment->data, segment->length, segment->offset, batch->is_dsync);
    }
    return batch->slot;
}

void log_complete(struct log *log, uint32_t slot)
{
    const struct cw_journal_batch *batch = cw_journal_batch(log->journal, slot);

    for (uint32_t i = 0; i < batch->segment_count; i++)
        cw_device_complete(&log->device, log->writes[slot][i]);
    cw_journal_written(log->journal, slot);
    if (cw_journal_is_idle(log->journal))
        free_payloads(log);
}

void log_put(struct log *log, uint32_t length)
{
    struct cw_journal_batch *batch = cw_journal_begin(log->journal);

    CW_ASSERT(batch);
    CW_ASSERT(log_add(log, CW_RECORD_WRITE, length));
    log_complete(log, log_submit(log, 0, false));
}

void log_sync(struct log *log)
{
    cw_journal_sync_begin(log->journal);
    cw_device_sync(&log->device);
    cw_journal_sync_end(log->journal);
}

void log_release(struct log *log, uint64_t sequence)
{
    uint64_t position = cw_journal_release_position(log->journal, sequence);

    log->superblock.generation++;
    log->superblock.tail_position = position;
    log->superblock.tail_sequence = sequence;
    CW_ASSERT(cw_journal_release(log->journal, sequence) == position);
}

static void take_record(struct log_found *found, const struct cw_record *record, const uint8_t *payload,
                        uint64_t position, uint32_t sectors)
{
    static uint8_t expected[CW_RECORD_PAYLOAD_MAX];
    struct cw_record made =
        log_make_record(record->epoch, record->sequence, record->kind, record->length, expected);

    uint8_t want[CW_RECORD_HEADER_SIZE], got[CW_RECORD_HEADER_SIZE];

    cw_record_encode(&made, want);
    cw_record_encode(record, got);
    CW_ASSERT(memcmp(want, got, sizeof want) == 0);
    CW_ASSERT((payload != NULL) == (record->kind == CW_RECORD_WRITE));
    if (payload)
        CW_ASSERT(memcmp(payload, expected, record->length) == 0);
    CW_ASSERT(found->count < LOG_RECORDS_MAX);
    found->sequences[found->count] = record->sequence;
    found->epochs[found->count] = record->epoch;
    found->positions[found->count] = position;
    found->sectors[found->count] = sectors;
    found->count++;
}

void log_recover(struct log *log, uint64_t floor_sequence, struct log_found *found)
{
    struct cw_arena arena;
    cw_arena_measure(&arena);
    CW_ASSERT(cw_recovery_new(&log->superblock, floor_sequence, &arena) == NULL);
    void *own = take_memory(&arena, arena.used);
    struct cw_recovery *recovery = cw_recovery_new(&log->superblock, floor_sequence, &arena);
    uint64_t wants = 0, offset, position;
    uint32_t length, sectors;
    uint8_t *memory;

    found->count = 0;
    while (cw_recovery_want(recovery, &offset, &length, &memory)) {
        struct cw_record record;
        const uint8_t *payload;

        CW_ASSERT(offset >= CW_JOURNAL_RING_SECTOR * CW_SECTOR_SIZE && length > 0 &&
                  length % CW_SECTOR_SIZE == 0);
        CW_ASSERT(++wants <= 2 * log->superblock.ring_sectors);
        cw_recovery_feed(recovery, cw_device_read(&log->device, memory, length, offset));
        while (cw_recovery_record(recovery, &record, &payload, &position, &sectors))
            take_record(found, &record, payload, position, sectors);
    }
    found->report = *cw_recovery_report(recovery);
    free(own);
}

struct log log_;

int log_setup(void **state)
{
    (void)state;
    log_init(&log_, LOG_RING_SECTORS);
    log_start(&log_, NULL);
    return 0;
}

int log_teardown(void **state)
{
    (void)state;
    log_fini(&log_);
    return 0;
}
