/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record: one write, write-zeroes, discard or marker of a group's write order. The same 64 bytes stand
 * in the journal and on the wire, and (epoch, reign, sequence) names one record for ever.
 *
 * The payload is hashed once, when it enters, over a private copy; header_check covers the first 60 bytes,
 * payload_hash among them, so that a whole record is checked by two comparisons wherever it rests.
 *
 *  0  u8  kind         1  u8  flags       2  u16 volume      4  u32 length
 *  8  u64 sequence    16  u64 epoch      24  u64 reign      32  u64 offset
 * 40  u64 time_ns     48  u64 payload_hash                  56  u32 group     60  u32 header_check
 *
 * Little-endian. header_check = low 32 bits of XXH3-64 over bytes 0..59.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

#define CW_RECORD_HEADER_SIZE 64u
#define CW_BLOCK_SIZE_MIN 512u                 /* offsets and lengths are multiples of it */
#define CW_RECORD_PAYLOAD_MAX (128u * 1024u)   /* a larger write is several consecutive records */
#define CW_RECORD_EXTENT_MAX (1u << 30)        /* zeroes and discards: no payload, longer extents */
#define CW_VOLUMES_PER_GROUP_MAX 64u

enum cw_record_kind {
    CW_RECORD_NONE = 0,
    CW_RECORD_WRITE,
    CW_RECORD_ZEROES,
    CW_RECORD_DISCARD,
    CW_RECORD_MARKER, /* no extent: opens an epoch, or a checkpoint */
    CW_RECORD_KIND_COUNT
};

#define CW_RECORD_FUA 0x01u  /* durable together with all before it */
#define CW_RECORD_MORE 0x02u /* the next record belongs to the same request */
#define CW_RECORD_FLAGS_KNOWN 0x03u

struct cw_record {
    uint8_t kind;
    uint8_t flags;
    uint16_t volume;       /* index in the group, < CW_VOLUMES_PER_GROUP_MAX */
    uint32_t length;       /* bytes of the extent; of the payload too when kind is WRITE */
    uint64_t sequence;     /* from 1 */
    uint64_t epoch;        /* from 1 */
    uint64_t reign;
    uint64_t offset;       /* bytes */
    uint64_t time_ns;      /* the primary's monotonic clock when the write entered */
    uint64_t payload_hash; /* XXH3-64 of the payload; 0 where there is none */
    uint32_t group;
};

static_assert(sizeof(struct cw_record) <= CW_RECORD_HEADER_SIZE, "the decoded form is no larger than the bytes");

enum cw_record_error {
    CW_RECORD_OK = 0,
    CW_RECORD_BAD_CHECK, /* header_check does not match: nothing else was looked at */
    CW_RECORD_BAD_KIND,
    CW_RECORD_BAD_FLAGS,
    CW_RECORD_BAD_VOLUME,
    CW_RECORD_BAD_LENGTH,  /* zero, above the maximum, not a multiple of 512, or present on a marker */
    CW_RECORD_BAD_OFFSET,  /* not a multiple of 512, or offset + length wraps, or present on a marker */
    CW_RECORD_BAD_SEQUENCE, /* sequence or epoch 0 */
    CW_RECORD_BAD_HASH,     /* a payload_hash where there is no payload */
    CW_RECORD_ERROR_COUNT
};

/* Our own struct; asserts that it is valid. Writes exactly CW_RECORD_HEADER_SIZE bytes. */
void cw_record_encode(const struct cw_record *record, uint8_t *bytes);
/* Foreign bytes (CW_RECORD_HEADER_SIZE of them). The record is written only when CW_RECORD_OK. */
enum cw_record_error cw_record_decode(const uint8_t *bytes, struct cw_record *record);
const char *cw_record_error_name(enum cw_record_error error);
bool cw_record_valid(const struct cw_record *record);

/* Bytes of payload that travel with this record. */
static inline uint32_t cw_record_payload_length(const struct cw_record *record)
{
    return record->kind == CW_RECORD_WRITE ? record->length : 0;
}
