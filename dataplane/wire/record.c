/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record's 64 bytes. One function, record_fault, holds every rule about a record; encode asserts it of
 * our own structs and decode asks it about foreign bytes, so that whatever decodes can be encoded again to
 * the same bytes. The payload is not seen here: its hash is checked by whoever holds it.
 */
#include "wire/record.h"

#include "base/bytes.h"
#include "base/hash.h"

#define CHECK_OFFSET 60u

static_assert(CHECK_OFFSET + sizeof(uint32_t) == CW_RECORD_HEADER_SIZE, "the check is the last field");
static_assert(CW_RECORD_PAYLOAD_MAX % CW_BLOCK_SIZE_MIN == 0, "the largest write is whole blocks");
static_assert(CW_RECORD_EXTENT_MAX % CW_BLOCK_SIZE_MIN == 0, "the largest extent is whole blocks");

static uint32_t header_check(const uint8_t *bytes)
{
    return (uint32_t)cw_hash64(bytes, CHECK_OFFSET);
}

static bool length_is_possible(const struct cw_record *record)
{
    uint32_t max = record->kind == CW_RECORD_WRITE ? CW_RECORD_PAYLOAD_MAX : CW_RECORD_EXTENT_MAX;

    if (record->kind == CW_RECORD_MARKER)
        return record->length == 0;
    return record->length > 0 && record->length <= max && record->length % CW_BLOCK_SIZE_MIN == 0;
}

static bool offset_is_possible(const struct cw_record *record)
{
    if (record->kind == CW_RECORD_MARKER)
        return record->offset == 0;
    return record->offset % CW_BLOCK_SIZE_MIN == 0 && record->offset <= UINT64_MAX - record->length;
}

static enum cw_record_error record_fault(const struct cw_record *record)
{
    if (record->kind == CW_RECORD_NONE || record->kind >= CW_RECORD_KIND_COUNT)
        return CW_RECORD_BAD_KIND;
    if (record->flags & ~CW_RECORD_FLAGS_KNOWN)
        return CW_RECORD_BAD_FLAGS;
    if (record->volume >= CW_VOLUMES_PER_GROUP_MAX)
        return CW_RECORD_BAD_VOLUME;
    if (!length_is_possible(record))
        return CW_RECORD_BAD_LENGTH;
    if (!offset_is_possible(record))
        return CW_RECORD_BAD_OFFSET;
    if (record->sequence == 0 || record->epoch == 0)
        return CW_RECORD_BAD_SEQUENCE;
    if (record->kind != CW_RECORD_WRITE && record->payload_hash != 0)
        return CW_RECORD_BAD_HASH;
    return CW_RECORD_OK;
}

bool cw_record_valid(const struct cw_record *record)
{
    return record_fault(record) == CW_RECORD_OK;
}

void cw_record_encode(const struct cw_record *record, uint8_t *bytes)
{
    CW_ASSERT(cw_record_valid(record));
    bytes[0] = record->kind;
    bytes[1] = record->flags;
    cw_store16le(bytes + 2, record->volume);
    cw_store32le(bytes + 4, record->length);
    cw_store64le(bytes + 8, record->sequence);
    cw_store64le(bytes + 16, record->epoch);
    cw_store64le(bytes + 24, record->reign);
    cw_store64le(bytes + 32, record->offset);
    cw_store64le(bytes + 40, record->time_ns);
    cw_store64le(bytes + 48, record->payload_hash);
    cw_store32le(bytes + 56, record->group);
    cw_store32le(bytes + CHECK_OFFSET, header_check(bytes));
}

enum cw_record_error cw_record_decode(const uint8_t *bytes, struct cw_record *record)
{
    if (cw_load32le(bytes + CHECK_OFFSET) != header_check(bytes))
        return CW_RECORD_BAD_CHECK;
    struct cw_record found = {
        .kind = bytes[0],
        .flags = bytes[1],
        .volume = cw_load16le(bytes + 2),
        .length = cw_load32le(bytes + 4),
        .sequence = cw_load64le(bytes + 8),
        .epoch = cw_load64le(bytes + 16),
        .reign = cw_load64le(bytes + 24),
        .offset = cw_load64le(bytes + 32),
        .time_ns = cw_load64le(bytes + 40),
        .payload_hash = cw_load64le(bytes + 48),
        .group = cw_load32le(bytes + 56),
    };
    enum cw_record_error fault = record_fault(&found);
    if (fault == CW_RECORD_OK)
        *record = found;
    return fault;
}

const char *cw_record_error_name(enum cw_record_error error)
{
    static const char *const names[CW_RECORD_ERROR_COUNT] = {
        [CW_RECORD_OK] = "ok",
        [CW_RECORD_BAD_CHECK] = "header check differs",
        [CW_RECORD_BAD_KIND] = "unknown kind",
        [CW_RECORD_BAD_FLAGS] = "unknown flags",
        [CW_RECORD_BAD_VOLUME] = "volume out of range",
        [CW_RECORD_BAD_LENGTH] = "impossible length",
        [CW_RECORD_BAD_OFFSET] = "impossible offset",
        [CW_RECORD_BAD_SEQUENCE] = "sequence or epoch 0",
        [CW_RECORD_BAD_HASH] = "payload hash without payload",
    };
    return (unsigned)error < CW_RECORD_ERROR_COUNT ? names[error] : "unknown";
}
