/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a batch: private to journal/. Little-endian. The check is XXH3-64 over the header from the
 * journal id to the last record header and stands right behind the magic, so that one run of bytes is hashed,
 * and no more of it than is used; the rest of the sector is written as zeroes and not looked at. The check is
 * at the same time the batch's link in the chain.
 *
 * Where a payload lies is not stored but follows from the lengths before it: there is one way only to lay out
 * the same records, and a header whose `sectors` differ from that is no header of ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"
#include "journal/journal.h"
#include "wire/record.h"

#define CW_BATCH_MAGIC       0x3168637461627763ull /* "cwbatch1" as it stands on the device */
#define CW_BATCH_VERSION     1u
#define CW_BATCH_FLAG_FILLER 1u /* no records; takes the rest of the ring */

enum cw_batch_offset {
    CW_BATCH_AT_MAGIC = 0,
    CW_BATCH_AT_CHECK = 8,
    CW_BATCH_AT_JOURNAL_ID = 16,
    CW_BATCH_AT_POSITION = 32,
    CW_BATCH_AT_NUMBER = 40,
    CW_BATCH_AT_VERSION = 48,
    CW_BATCH_AT_FLAGS = 52,
    CW_BATCH_AT_SECTORS = 56,
    CW_BATCH_AT_RECORD_COUNT = 60,
    CW_BATCH_AT_CHAIN = 64,
    CW_BATCH_AT_WRITTEN_SEQUENCE = 72,
    CW_BATCH_AT_DURABLE_SEQUENCE = 80,
    CW_BATCH_AT_WRITTEN_POSITION = 88,
    CW_BATCH_AT_DURABLE_POSITION = 96,
    CW_BATCH_AT_COMMIT = 104,
    CW_BATCH_AT_TAIL_POSITION = 112,
    CW_BATCH_AT_GROUP = 120,
    CW_BATCH_AT_UNANSWERED = 124,
    CW_BATCH_AT_RECORDS = 128
};

#define CW_BATCH_CHECKED_FROM CW_BATCH_AT_JOURNAL_ID
/* A batch begins only where one record of any length fits before the ring's end, else a filler goes there. */
#define CW_BATCH_ONE_RECORD_SECTORS (1u + CW_RECORD_PAYLOAD_MAX / CW_SECTOR_SIZE)
#define CW_BATCH_FILLER_SECTORS_MAX (CW_BATCH_ONE_RECORD_SECTORS - 1u)
/* Keeps arithmetic on positions and device offsets far from wrapping; foreign headers beyond are refused. */
#define CW_POSITION_MAX     (1ull << 62)
#define CW_RING_SECTORS_MAX (1ull << 48)

static_assert(CW_BATCH_AT_RECORDS + CW_BATCH_RECORDS_MAX * CW_RECORD_HEADER_SIZE == CW_SECTOR_SIZE,
              "the header sector is exactly filled by the most records");
static_assert(CW_BATCH_AT_UNANSWERED + 4 == CW_BATCH_AT_RECORDS, "no byte of the header without a name");
static_assert(CW_BATCH_CHECKED_FROM == CW_BATCH_AT_CHECK + 8, "all but magic and check itself is checked");
static_assert(CW_RECORD_PAYLOAD_MAX % CW_SECTOR_SIZE == 0, "the longest payload ends with a sector");
static_assert(CW_BATCH_ONE_RECORD_SECTORS <= CW_BATCH_SECTORS_MAX, "one record always fits an empty batch");
static_assert(CW_RING_SECTORS_MAX <= UINT64_MAX / CW_SECTOR_SIZE / 2, "device offsets do not wrap");

/* What a header says of its batch, beside the records. */
struct cw_batch_head {
    uint64_t journal_id[2];
    uint64_t position, number, chain_before;
    uint64_t written_sequence, durable_sequence, written_position, durable_position;
    uint64_t commit, tail_position;
    uint64_t answered; /* at most written_sequence; 0: not told */
    uint32_t sectors, record_count, group;
    bool is_filler;
};

static inline uint32_t cw_batch_header_used(uint32_t record_count)
{
    return CW_BATCH_AT_RECORDS + record_count * CW_RECORD_HEADER_SIZE;
}

/* Byte offset in the batch of the next payload when `laid_out` bytes are taken. */
static inline uint32_t cw_batch_place(uint32_t laid_out, uint32_t payload_length)
{
    uint32_t unit = payload_length >= CW_SECTOR_SIZE ? CW_SECTOR_SIZE : CW_BLOCK_SIZE_MIN;

    return payload_length == 0 ? laid_out : (uint32_t)cw_round_up(laid_out, unit);
}

static inline uint32_t cw_batch_sectors_of(uint32_t bytes)
{
    return (bytes + CW_SECTOR_SIZE - 1) / CW_SECTOR_SIZE;
}

/* Fills in magic, head and check around record headers that are in the sector already; returns the chain. */
uint64_t cw_batch_seal(const struct cw_batch_head *head, uint8_t *sector);

/* Record i when *laid_out is what the records before it took; moves *laid_out on. Checks no payload. */
enum cw_status cw_batch_walk(const struct cw_batch_view *view, uint32_t i, uint32_t *laid_out,
                             struct cw_record *record, const uint8_t **payload) CW_MUST_CHECK;
bool cw_batch_payload_matches(const struct cw_record *record, const uint8_t *payload);
bool cw_sector_is_zero(const uint8_t *sector);
