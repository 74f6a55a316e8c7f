/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A batch's header: sealing our own, judging foreign bytes. The order of judgement is what keeps payload
 * bytes, leftovers and other journals out: magic, check, journal, sense, place. Only what has passed the
 * first four is believed in anything it says; the place comes last because a sound header in the wrong place
 * is still a witness (recovery listens to it).
 *
 * Not done: a keyed check. Who can write the device can forge a log; the journal id, random and known to
 * nobody who only writes to a volume, keeps a payload from passing for a header.
 */
#include "journal/batch_format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

/* Told as what is missing to the written sequence, so that four bytes do: one more than that; 0: not told. */
static uint32_t unanswered_of(const struct cw_batch_head *head)
{
    uint64_t missing = head->written_sequence - head->answered;

    return head->answered == 0 || missing >= UINT32_MAX ? 0 : (uint32_t)missing + 1;
}

static uint64_t answered_of(uint64_t written_sequence, uint32_t unanswered)
{
    return unanswered == 0 || unanswered > written_sequence ? 0 : written_sequence + 1 - unanswered;
}

uint64_t cw_batch_seal(const struct cw_batch_head *head, uint8_t *sector)
{
    CW_ASSERT(head->record_count <= CW_BATCH_RECORDS_MAX);
    CW_ASSERT(head->durable_position <= head->written_position);
    CW_ASSERT(head->written_position <= head->position);
    CW_ASSERT(head->tail_position <= head->position);
    CW_ASSERT(head->answered <= head->written_sequence);
    cw_store64le(sector + CW_BATCH_AT_MAGIC, CW_BATCH_MAGIC);
    cw_store64le(sector + CW_BATCH_AT_JOURNAL_ID, head->journal_id[0]);
    cw_store64le(sector + CW_BATCH_AT_JOURNAL_ID + 8, head->journal_id[1]);
    cw_store64le(sector + CW_BATCH_AT_POSITION, head->position);
    cw_store64le(sector + CW_BATCH_AT_NUMBER, head->number);
    cw_store32le(sector + CW_BATCH_AT_VERSION, CW_BATCH_VERSION);
    cw_store32le(sector + CW_BATCH_AT_FLAGS, head->is_filler ? CW_BATCH_FLAG_FILLER : 0);
    cw_store32le(sector + CW_BATCH_AT_SECTORS, head->sectors);
    cw_store32le(sector + CW_BATCH_AT_RECORD_COUNT, head->record_count);
    cw_store64le(sector + CW_BATCH_AT_CHAIN, head->chain_before);
    cw_store64le(sector + CW_BATCH_AT_WRITTEN_SEQUENCE, head->written_sequence);
    cw_store64le(sector + CW_BATCH_AT_DURABLE_SEQUENCE, head->durable_sequence);
    cw_store64le(sector + CW_BATCH_AT_WRITTEN_POSITION, head->written_position);
    cw_store64le(sector + CW_BATCH_AT_DURABLE_POSITION, head->durable_position);
    cw_store64le(sector + CW_BATCH_AT_COMMIT, head->commit);
    cw_store64le(sector + CW_BATCH_AT_TAIL_POSITION, head->tail_position);
    cw_store32le(sector + CW_BATCH_AT_GROUP, head->group);
    cw_store32le(sector + CW_BATCH_AT_UNANSWERED, unanswered_of(head));

    uint64_t check = cw_hash64(sector + CW_BATCH_CHECKED_FROM,
                               cw_batch_header_used(head->record_count) - CW_BATCH_CHECKED_FROM);
    cw_store64le(sector + CW_BATCH_AT_CHECK, check);
    return check;
}

bool cw_sector_is_zero(const uint8_t *sector)
{
    return sector[0] == 0 && memcmp(sector, sector + 1, CW_SECTOR_SIZE - 1) == 0;
}

static void load_view(const uint8_t *bytes, struct cw_batch_view *view)
{
    *view = (struct cw_batch_view){
        .position = cw_load64le(bytes + CW_BATCH_AT_POSITION),
        .number = cw_load64le(bytes + CW_BATCH_AT_NUMBER),
        .chain_before = cw_load64le(bytes + CW_BATCH_AT_CHAIN),
        .chain = cw_load64le(bytes + CW_BATCH_AT_CHECK),
        .commit = cw_load64le(bytes + CW_BATCH_AT_COMMIT),
        .written_sequence = cw_load64le(bytes + CW_BATCH_AT_WRITTEN_SEQUENCE),
        .durable_sequence = cw_load64le(bytes + CW_BATCH_AT_DURABLE_SEQUENCE),
        .written_position = cw_load64le(bytes + CW_BATCH_AT_WRITTEN_POSITION),
        .durable_position = cw_load64le(bytes + CW_BATCH_AT_DURABLE_POSITION),
        .tail_position = cw_load64le(bytes + CW_BATCH_AT_TAIL_POSITION),
        .sectors = cw_load32le(bytes + CW_BATCH_AT_SECTORS),
        .record_count = cw_load32le(bytes + CW_BATCH_AT_RECORD_COUNT),
        .group = cw_load32le(bytes + CW_BATCH_AT_GROUP),
        .is_filler = cw_load32le(bytes + CW_BATCH_AT_FLAGS) == CW_BATCH_FLAG_FILLER,
        .answered = answered_of(cw_load64le(bytes + CW_BATCH_AT_WRITTEN_SEQUENCE),
                                cw_load32le(bytes + CW_BATCH_AT_UNANSWERED)),
        .bytes = bytes,
    };
}

/* Every record header decodes, belongs to the group, and together they take exactly `sectors`. */
static bool records_make_sense(const struct cw_batch_view *view)
{
    uint32_t laid_out = CW_SECTOR_SIZE;

    for (uint32_t i = 0; i < view->record_count; i++) {
        struct cw_record record;
        const uint8_t *payload;

        if (cw_batch_walk(view, i, &laid_out, &record, &payload) != CW_OK)
            return false;
        if (record.group != view->group)
            return false;
    }
    return cw_batch_sectors_of(laid_out) == view->sectors;
}

/* A sound check says that we, or a forger, wrote it; this says that it can be. */
static bool head_makes_sense(const struct cw_batch_view *view, uint64_t ring_sectors)
{
    if (view->position > CW_POSITION_MAX || view->number > CW_POSITION_MAX)
        return false;
    if (view->written_position > view->position || view->durable_position > view->written_position)
        return false;
    if (view->tail_position > view->position || view->position - view->tail_position > ring_sectors)
        return false;
    uint64_t rest = ring_sectors - view->position % ring_sectors;
    if (view->sectors == 0 || view->sectors > rest || view->sectors > CW_BATCH_SECTORS_MAX)
        return false;
    if (view->is_filler)
        return view->record_count == 0 && view->sectors == rest;
    return records_make_sense(view);
}

enum cw_sector_class cw_batch_check(const uint8_t *bytes, size_t length, uint64_t position,
                                    uint64_t ring_sectors, const uint64_t journal_id[2],
                                    struct cw_batch_view *view)
{
    CW_ASSERT(length >= CW_SECTOR_SIZE);
    if (cw_load64le(bytes + CW_BATCH_AT_MAGIC) != CW_BATCH_MAGIC)
        return cw_sector_is_zero(bytes) ? CW_SECTOR_EMPTY : CW_SECTOR_FOREIGN;

    uint32_t record_count = cw_load32le(bytes + CW_BATCH_AT_RECORD_COUNT);
    if (record_count > CW_BATCH_RECORDS_MAX)
        return CW_SECTOR_TORN;
    uint64_t check =
        cw_hash64(bytes + CW_BATCH_CHECKED_FROM, cw_batch_header_used(record_count) - CW_BATCH_CHECKED_FROM);
    if (check != cw_load64le(bytes + CW_BATCH_AT_CHECK))
        return CW_SECTOR_TORN;
    if (cw_load64le(bytes + CW_BATCH_AT_JOURNAL_ID) != journal_id[0] ||
        cw_load64le(bytes + CW_BATCH_AT_JOURNAL_ID + 8) != journal_id[1])
        return CW_SECTOR_FOREIGN;
    if (cw_load32le(bytes + CW_BATCH_AT_VERSION) != CW_BATCH_VERSION ||
        cw_load32le(bytes + CW_BATCH_AT_FLAGS) > CW_BATCH_FLAG_FILLER)
        return CW_SECTOR_FOREIGN;

    struct cw_batch_view found;
    load_view(bytes, &found);
    if (!head_makes_sense(&found, ring_sectors))
        return CW_SECTOR_FOREIGN;
    *view = found;
    if (found.position == position)
        return CW_SECTOR_VALID;
    return found.position % ring_sectors == position % ring_sectors ? CW_SECTOR_STALE : CW_SECTOR_MISDIRECTED;
}

enum cw_status cw_batch_walk(const struct cw_batch_view *view, uint32_t i, uint32_t *laid_out,
                             struct cw_record *record, const uint8_t **payload)
{
    CW_ASSERT(i < view->record_count && i < CW_BATCH_RECORDS_MAX);
    const uint8_t *header = view->bytes + CW_BATCH_AT_RECORDS + i * CW_RECORD_HEADER_SIZE;
    if (cw_record_decode(header, record) != CW_RECORD_OK)
        return CW_CORRUPT;

    uint32_t length = cw_record_payload_length(record);
    uint32_t at = cw_batch_place(*laid_out, length);
    if (length > CW_RECORD_PAYLOAD_MAX || at + length > view->sectors * CW_SECTOR_SIZE)
        return CW_CORRUPT;
    *payload = length == 0 ? NULL : view->bytes + at;
    *laid_out = at + length;
    return CW_OK;
}

bool cw_batch_payload_matches(const struct cw_record *record, const uint8_t *payload)
{
    if (!payload)
        return record->payload_hash == 0;
    return cw_hash64(payload, cw_record_payload_length(record)) == record->payload_hash;
}

enum cw_status cw_batch_record(const struct cw_batch_view *view, uint32_t i, struct cw_record *record,
                               const uint8_t **payload)
{
    uint32_t laid_out = CW_SECTOR_SIZE;

    for (uint32_t k = 0; k <= i; k++)
        if (cw_batch_walk(view, k, &laid_out, record, payload) != CW_OK)
            return CW_CORRUPT;
    return cw_batch_payload_matches(record, *payload) ? CW_OK : CW_CORRUPT;
}
