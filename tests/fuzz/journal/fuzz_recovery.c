/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole recovery over any ring. The input is laid over the ring at the tail, again and again a few
 * sectors further when the first byte says so; the reads fail by the second byte. Whatever lies there, the
 * scan ends within two reads a sector, counts every sector once, and yields only records that match their
 * hashes, in an unbroken order; and what it found can be appended to.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "journal/batch_format.h"
#include "sizes.h"

const size_t cw_fuzz_input_max = CW_FUZZ_INPUT_MAX;

#define GROUP 3u

static const struct cw_superblock superblock = {.generation = 1,
                                                .journal_id = {1, 2},
                                                .group = GROUP,
                                                .ring_sectors = CW_FUZZ_RING_SECTORS,
                                                .image_state = CW_IMAGE_WHOLE};
static uint8_t ring[CW_FUZZ_RING_SECTORS * CW_SECTOR_SIZE];

static struct cw_arena arena_of(void *memory, size_t size)
{
    struct cw_arena arena;

    cw_arena_init(&arena, memory, size);
    return arena;
}

static void check_end(const struct cw_recovery_report *report, uint64_t records)
{
    uint64_t counted = 0;

    for (uint32_t i = 0; i < CW_SECTOR_CLASS_COUNT; i++)
        counted += report->sectors[i];
    CW_ASSERT(counted == CW_FUZZ_RING_SECTORS && "each sector is of one class");
    CW_ASSERT(report->records == records);
    CW_ASSERT(report->tip.head_position == report->hole_position);
    CW_ASSERT(report->hole_position <= superblock.tail_position + CW_FUZZ_RING_SECTORS);
    CW_ASSERT(report->tip.commit <= report->tip.last_sequence);
}

static void scan(struct cw_recovery *recovery, uint32_t fail_one_in)
{
    uint64_t offset, position, wants = 0, last = 0, records = 0;
    const uint8_t *payload;
    struct cw_record record;
    uint32_t length, sectors;
    uint8_t *memory;

    while (cw_recovery_want(recovery, &offset, &length, &memory)) {
        uint64_t at = offset - CW_JOURNAL_RING_SECTOR * CW_SECTOR_SIZE;

        CW_ASSERT(offset >= CW_JOURNAL_RING_SECTOR * CW_SECTOR_SIZE && at + length <= sizeof ring);
        CW_ASSERT(++wants <= 2 * CW_FUZZ_RING_SECTORS);
        memcpy(memory, ring + at, length);
        cw_recovery_feed(recovery, fail_one_in == 0 || wants % fail_one_in != 0);
        while (cw_recovery_record(recovery, &record, &payload, &position, &sectors)) {
            uint32_t size = cw_record_payload_length(&record);

            CW_ASSERT(cw_record_valid(&record) && record.group == GROUP);
            CW_ASSERT(size == 0 || cw_hash64(payload, size) == record.payload_hash);
            CW_ASSERT(last == 0 || record.sequence <= last + 1);
            last = record.sequence;
            records++;
        }
    }
    check_end(cw_recovery_report(recovery), records);
}

static void go_on(const struct cw_recovery_report *report)
{
    static uint8_t *memory;
    const struct cw_journal_config config = {
        .ring_sectors = CW_FUZZ_RING_SECTORS, .journal_id = {1, 2}, .group = GROUP, .batch_slots = 2};
    struct cw_arena measure;

    cw_arena_measure(&measure);
    cw_journal_new(&config, &measure);
    if (!memory)
        memory = aligned_alloc(4096, cw_round_up(measure.used, 4096));
    CW_ASSERT(memory);
    struct cw_arena arena = arena_of(memory, measure.used);
    struct cw_journal *journal = cw_journal_new(&config, &arena);

    cw_journal_start(journal, &report->tip);
    if (cw_journal_begin(journal))
        cw_journal_written(journal, cw_journal_close(journal, 1, true)->slot);
}

int cw_fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t *memory;
    struct cw_arena measure;

    if (size > CW_FUZZ_INPUT_MAX || size < 2)
        return 0;
    cw_arena_measure(&measure);
    cw_recovery_new(&superblock, 0, &measure);
    if (!memory)
        memory = aligned_alloc(4096, cw_round_up(measure.used, 4096));
    CW_ASSERT(memory);
    struct cw_arena arena = arena_of(memory, measure.used);
    memset(ring, 0, sizeof ring);
    size_t step = data[0] % 16 == 0 ? cw_round_up(size, CW_SECTOR_SIZE) : sizeof ring;
    for (size_t at = 0; at + size <= sizeof ring; at += step)
        memcpy(ring + at, data, size);
    struct cw_recovery *recovery = cw_recovery_new(&superblock, data[1] % 4, &arena);
    scan(recovery, data[1] % 8 == 7 ? 1 + data[0] % 7 : 0);
    go_on(cw_recovery_report(recovery));
    return 0;
}

/* A short log: batches chained, some with payloads, perhaps a stray of another run behind. */
size_t cw_fuzz_good_input(struct cw_rng *rng, uint8_t *data)
{
    uint64_t position = 0, sequence = 1, number = 0, chain = 0;

    memset(data, 0, CW_FUZZ_INPUT_MAX);
    while (position < 40) {
        uint8_t *bytes = data + position * CW_SECTOR_SIZE;
        uint32_t count = (uint32_t)cw_rng_below(rng, 4), laid_out = CW_SECTOR_SIZE;
        struct cw_batch_head head = {.journal_id = {1, 2},
                                     .position = position,
                                     .number = number++,
                                     .chain_before = chain,
                                     .group = GROUP,
                                     .record_count = count,
                                     .written_position = position,
                                     .written_sequence = sequence - 1,
                                     .durable_position = position / 2,
                                     .commit = sequence - 1};

        if (cw_rng_below(rng, 8) == 0)
            sequence = 1 + cw_rng_below(rng, sequence); /* a cut */
        for (uint32_t i = 0; i < count; i++) {
            uint32_t length = (uint32_t)(1 + cw_rng_below(rng, 24)) * 512,
                     at = cw_batch_place(laid_out, length);
            struct cw_record record = {.kind = CW_RECORD_WRITE,
                                       .length = length,
                                       .sequence = sequence++,
                                       .epoch = 1,
                                       .group = GROUP};

            memset(bytes + at, (int)cw_rng_below(rng, 3), length);
            record.payload_hash = cw_hash64(bytes + at, length);
            cw_record_encode(&record, bytes + cw_batch_header_used(i));
            laid_out = at + length;
        }
        head.sectors = cw_batch_sectors_of(laid_out);
        chain = cw_batch_seal(&head, bytes) + (cw_rng_below(rng, 16) == 0);
        position += head.sectors + (cw_rng_below(rng, 16) == 0);
    }
    return position * CW_SECTOR_SIZE;
}
